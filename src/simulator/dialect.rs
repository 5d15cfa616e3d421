//! The two dialects of the event stream: the npm hub sends one object per event; the fork sends batches, except for the greeting.

use super::fields::{Fields, quote};
use super::notice::Notice;
use super::profile::{Flavor, Profile};
use crate::watch::Timestamp;

/// An event of the stream and its receiver.
pub(super) struct Frame {
    /// The one subscriber that gets it; `None` for all.
    pub(super) only: Option<String>,
    pub(super) text: String,
}

/// Returns the event of a notice at `now` by the hub's clock; `None` if the stream doesn't show it (recordings: `events.sse`).
pub(super) fn frame(notice: &Notice, profile: &Profile, now: Timestamp) -> Option<Frame> {
    let (name, json, critical) = match notice {
        Notice::Logged(entry) => ("log", entry.event_json(profile.logger), true),
        Notice::HubState(json) => ("hub_state", json.clone(), true),
        Notice::Greeting { id, json } => {
            return Some(Frame { only: Some(id.clone()), text: event("hub_state", json) });
        }
        Notice::Changed(members) => ("subscription_event", with_timestamp(members, profile, now), false),
        Notice::Heartbeat(connections) => {
            ("heartbeat", with_timestamp(&format!("\"connections\":{connections}"), profile, now), false)
        }
        Notice::LogTruncated | Notice::ToolsChanged { .. } | Notice::FellBack { .. } | Notice::Answered { .. } | Notice::Gone => {
            return None;
        }
    };
    let text = match profile.flavor {
        Flavor::Npm => event(name, &json),
        Flavor::Fork => batch(name, &json, critical, now),
    };
    Some(Frame { only: None, text })
}

/// Returns the time of an event: text in the npm hub, milliseconds in the fork.
fn with_timestamp(members: &str, profile: &Profile, now: Timestamp) -> String {
    match profile.flavor {
        Flavor::Npm => format!("{{{members},\"timestamp\":{}}}", quote(&now.to_string())),
        Flavor::Fork => format!("{{{members},\"timestamp\":{}}}", now.get() / 1_000),
    }
}

fn batch(name: &str, json: &str, critical: bool, now: Timestamp) -> String {
    let name = format!("{name}_batch");
    let whole = Fields::new()
        .text("type", &name)
        .raw("batchSize", 1)
        .raw("events", format!("[{json}]"))
        .text("reason", if critical { "critical" } else { "time_window" })
        .text("timestamp", &now.to_string());
    event(&name, &whole.object())
}

fn event(name: &str, json: &str) -> String {
    format!("event: {name}\ndata: {json}\n\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(profile: &Profile, notice: Notice, now: &str) -> String {
        frame(&notice, profile, Timestamp::parse(now).unwrap()).unwrap().text
    }

    #[test]
    fn heartbeats_are_as_recorded() {
        assert_eq!(
            text(&Profile::npm(), Notice::Heartbeat(1), "2026-11-23T03:43:35.504Z"),
            "event: heartbeat\ndata: {\"connections\":1,\"timestamp\":\"2026-11-23T03:43:35.504Z\"}\n\n"
        );
        let fork = text(&Profile::fork_pino(), Notice::Heartbeat(1), "2026-11-23T03:40:48.103Z");
        let recorded = r#"data: {"type":"heartbeat_batch","batchSize":1,"events":[{"connections":1,"timestamp":1795405248103}],"reason":"time_window","timestamp":"2026-11-23T03:40:48.103Z"}"#;
        assert_eq!(fork, format!("event: heartbeat_batch\n{recorded}\n\n"));
    }

    #[test]
    fn a_greeting_is_not_a_batch_and_goes_only_to_the_new_subscriber() {
        let notice = Notice::Greeting { id: "s-1".into(), json: "{\"state\":\"ready\"}".into() };
        let frame = frame(&notice, &Profile::fork_pino(), Timestamp::new(0)).unwrap();
        assert_eq!(frame.only.as_deref(), Some("s-1"));
        assert_eq!(frame.text, "event: hub_state\ndata: {\"state\":\"ready\"}\n\n");
    }
}
