//! The event stream: the subscription, and its messages beside log lines.

use crate::hub::facts::{Evidence, PendingFact};
use crate::hub::interpret::{Interpreter, Sent};
use crate::watch::{HubStateChanged, Source, StreamJoined, StreamLeft, Text, Timestamp, When};

impl Interpreter {
    /// The event stream was joined.
    pub fn stream_joined(&mut self, at: Timestamp) {
        self.joined = true;
        self.requests.heard_from(self.clocks.steady(at));
        self.stream_pid = None;
        self.stream_read = Some(self.clocks.steady(at));
        self.stream.begin_anew();
        self.notice(When::At(at), StreamJoined {});
    }

    /// The event stream ended.
    pub fn stream_left(&mut self, reason: &str, at: Timestamp) {
        if std::mem::take(&mut self.joined) {
            self.requests.unheard();
            self.stream_pid = None;
            self.stream_read = Some(self.clocks.steady(at));
            self.notice(When::At(at), StreamLeft { reason: Text::new(reason) });
        }
    }

    fn sent(&self, sent: Sent) -> When {
        let (earliest, read) = (self.clocks.steady(sent.earliest), self.clocks.steady(sent.read));
        sent.said.map_or(When::At(read), |said| self.clocks.sent(said, earliest, read))
    }

    /// Reads the hub's state and its process from the event stream.
    pub fn stream_state(&mut self, state: &str, pid: Option<u32>, sent: Sent) {
        let when = self.sent(sent);
        if let Some(pid) = pid {
            self.expect_process(pid);
            self.stream_pid = Some(pid);
        }
        match state {
            "restarting" => self.requests.restart(false, when),
            "restarted" => self.requests.restart(true, when),
            _ => {}
        }
        self.hub.state_said = self.hub.state_said.max(sent.said);
        let before = self.hub.state.replace(state.to_owned());
        if let Some(before) = before.filter(|before| before != state) {
            let kind = HubStateChanged { from: Text::new(before), to: Text::new(state) }.into();
            self.facts.push(PendingFact { evidence: Evidence::Watch, when, source: Source::EventStream, kind });
        }
    }

    /// Reads an action on these servers from the event stream.
    pub fn stream_servers(&mut self, servers: Vec<String>, configured: bool, sent: Sent) {
        let when = self.sent(sent);
        if configured { self.requests.configured(servers, when) } else { self.requests.requested(servers, when) }
    }
}
