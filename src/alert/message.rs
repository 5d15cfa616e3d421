//! The text and the payloads of alert messages.

use serde_json::{Value, json};

use super::ledger::{Notice, Status};
use super::target::Kind;
use crate::judge::incident::Incident;
use crate::report::words;
use crate::watch::{Micros, Timestamp};

/// The version of the webhook's payload.
pub const VERSION: u32 = 1;

/// The hub that the alerts are about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sender {
    /// The hub.
    pub hub: String,
    /// Where it runs.
    pub environment: String,
    /// The build under test.
    pub build: Option<String>,
}

/// Makes the body of a message. `lasts`: Alertmanager resolves an alert that is not repeated within this time.
pub fn body(kind: Kind, sender: &Sender, notices: &[Notice], now: Timestamp, lasts: Micros) -> Value {
    match kind {
        Kind::Webhook => webhook(sender, notices, now),
        Kind::Slack => json!({ "text": text(sender, notices) }),
        Kind::Alertmanager => notices.iter().map(|notice| alertmanager(sender, notice, now.plus(lasts))).collect(),
    }
}

fn webhook(sender: &Sender, notices: &[Notice], now: Timestamp) -> Value {
    let alert = |notice: &Notice| {
        let incident = &notice.incident;
        json!({
            "id": incident.id,
            "status": notice.status,
            "again": notice.again,
            "kind": incident.kind,
            "severity": incident.severity,
            "subject": incident.subject,
            "title": incident.title,
            "cause": incident.cause,
            "effect": incident.effect,
            "count": incident.count,
            "startsAt": incident.start,
            "endsAt": incident.end,
        })
    };
    json!({
        "version": VERSION,
        "sender": concat!("hubwatch/", env!("CARGO_PKG_VERSION")),
        "hub": sender.hub,
        "environment": sender.environment,
        "build": sender.build,
        "sentAt": now.to_string(),
        "text": text(sender, notices),
        "alerts": notices.iter().map(alert).collect::<Vec<_>>(),
    })
}

/// Writes one line for each alert. Slack's documentation asks to escape these three characters.
fn text(sender: &Sender, notices: &[Notice]) -> String {
    let mut lines = vec![format!("hubwatch: {} ({})", sender.hub, sender.environment)];
    lines.extend(notices.iter().map(line));
    lines.join("\n").replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

fn line(notice: &Notice) -> String {
    let incident = &notice.incident;
    let since = words::minute(incident.start);
    match notice.status {
        Status::Resolved => format!("✅ resolved after {}: {} (from {since} UTC)", lasted(incident), incident.title),
        Status::Firing => {
            let again = if notice.again { "still " } else { "" };
            let cause = incident.cause.as_ref().map_or(String::new(), |cause| format!(" Cause: {cause}."));
            let (severity, title, effect) = (incident.severity, &incident.title, &incident.effect);
            let next = incident.kind.next_step();
            format!("{} {again}{severity} since {since} UTC: {title}.{cause} Effect: {effect}. Next: {next}.", sign(incident))
        }
    }
}

fn sign(incident: &Incident) -> &'static str {
    use crate::judge::incident::Gravity;
    match incident.severity {
        Gravity::Critical => "❌",
        Gravity::Warning => "⚠️",
        Gravity::Notice => "ℹ️",
    }
}

fn lasted(incident: &Incident) -> String {
    words::duration(incident.end.map_or(0, |end| end.0.since(incident.start.0).get()))
}

fn alertmanager(sender: &Sender, notice: &Notice, forgotten: Timestamp) -> Value {
    let incident = &notice.incident;
    let mut labels = json!({
        "alertname": alert_name(incident.kind.as_str()),
        "hub": sender.hub,
        "environment": sender.environment,
        "severity": incident.severity,
        // Two incidents of the same kind and subject are two alerts.
        "incident": incident.id,
    });
    // Alertmanager treats an empty label as absent.
    if !incident.subject.is_empty() {
        labels["subject"] = incident.subject.clone().into();
    }
    let ends = match (notice.status, incident.end) {
        (Status::Resolved, Some(end)) => end.0,
        (Status::Resolved, None) | (Status::Firing, _) => forgotten,
    };
    let mut annotations = json!({ "summary": incident.title, "effect": incident.effect });
    if let Some(cause) = &incident.cause {
        annotations["cause"] = cause.clone().into();
    }
    json!({ "labels": labels, "annotations": annotations, "startsAt": incident.start, "endsAt": ends.to_string() })
}

/// Makes an alert name: `server_down` becomes `McpHubServerDown`.
fn alert_name(kind: &str) -> String {
    let capital = |word: &str| {
        let mut characters = word.chars();
        characters.next().map(|first| first.to_ascii_uppercase().to_string() + characters.as_str()).unwrap_or_default()
    };
    std::iter::once("McpHub".to_owned()).chain(kind.split('_').map(capital)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::judge::incident::Gravity;
    use crate::judge::incident::IncidentKind;
    use crate::judge::moment::Moment;

    fn notices() -> Vec<Notice> {
        let start = Timestamp::parse("2026-11-01T06:00:00Z").unwrap();
        let incident = Incident {
            id: "server_down/filesystem/1".to_owned(),
            kind: IncidentKind::ServerDown,
            severity: Gravity::Critical,
            subject: "filesystem".to_owned(),
            start: Moment(start),
            end: None,
            title: "Server filesystem is down".to_owned(),
            cause: Some("its connection closed <early> & twice".to_owned()),
            effect: "its tools answer nothing".to_owned(),
            count: 1,
            evidence: Vec::new(),
            planned: None,
        };
        let over = Incident { end: Some(Moment(start.plus(Micros::new(90_000_000)))), subject: String::new(), ..incident.clone() };
        vec![
            Notice { incident, status: Status::Firing, again: false },
            Notice { incident: over, status: Status::Resolved, again: true },
        ]
    }

    fn bodies(kind: Kind) -> Value {
        let sender = Sender { hub: "hub-a".to_owned(), environment: "staging".to_owned(), build: Some("4.3.0".to_owned()) };
        body(kind, &sender, &notices(), Timestamp::parse("2026-11-01T06:02:00Z").unwrap(), Micros::new(5 * 60 * 1_000_000))
    }

    #[test]
    fn a_webhook_gets_all_there_is_to_know() {
        let mut body = bodies(Kind::Webhook);
        body["sender"] = "hubwatch".into();
        insta::assert_snapshot!(serde_json::to_string_pretty(&body).unwrap());
    }

    #[test]
    fn the_documented_form_is_the_form() {
        let page = include_str!("../../docs/alerts.md");
        let example = page.split("```json").nth(1).unwrap().split("```").next().unwrap();
        let example: Value = serde_json::from_str(example).unwrap();
        let body = bodies(Kind::Webhook);
        let keys = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
        assert_eq!(keys(&example), keys(&body));
        assert_eq!(keys(&example["alerts"][0]), keys(&body["alerts"][0]));
        let labels = keys(&bodies(Kind::Alertmanager)[0]["labels"]);
        assert!(labels.iter().all(|label| page.contains(&format!("`{label}`"))), "{labels:?}");
    }

    #[test]
    fn a_chat_gets_a_line_for_each_alert_with_its_special_characters_escaped() {
        insta::assert_snapshot!(bodies(Kind::Slack)["text"].as_str().unwrap(), @r"
        hubwatch: hub-a (staging)
        ❌ critical since 2026-11-01 06:00 UTC: Server filesystem is down. Cause: its connection closed &lt;early&gt; &amp; twice. Effect: its tools answer nothing. Next: restart the server (stop it, then start it).
        ✅ resolved after 1 min 30 s: Server filesystem is down (from 2026-11-01 06:00 UTC)
        ");
    }

    #[test]
    fn alertmanager_gets_labels_that_tell_alerts_apart_and_an_end() {
        let body = bodies(Kind::Alertmanager);
        assert_eq!(body[0]["labels"]["alertname"], "McpHubServerDown");
        assert_eq!(body[0]["labels"]["subject"], "filesystem");
        assert_eq!(body[0]["endsAt"], "2026-11-01T06:07:00.000Z");
        assert_eq!(body[1]["endsAt"], "2026-11-01T06:01:30.000Z");
        assert!(body[1]["labels"].get("subject").is_none());
    }
}
