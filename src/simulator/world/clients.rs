//! MCP clients: their handshake, and the storm of lines when they disconnect.

use super::*;
use crate::simulator::hub::Client;

/// The hub's name for a client that left before its handshake.
const UNNAMED: &str = "Unknown";

/// Rate of a storm's lines: about 2,167 lines in a quarter of a second.
const LINES_PER_TURN: u32 = 10;
const TURN: Micros = Micros::new(1_000);

/// Microseconds for which a hub answers nobody, for each line of a storm: 0.14 to 0.26 s for a client that leaves (recorded: 1.4 to
/// 2.8 s when ten leave together, 7.5 to 26 s when fifty do).
const DEAF_PER_LINE: u64 = 70;

impl World {
    pub(super) fn connect_client(&mut self, name: String) {
        let session = self.random.uuid();
        let handshake = self.about(150_000);
        self.open_session(session.clone());
        self.later(handshake, Event::NameSession { session, name });
    }

    /// Opens a client's MCP stream: the fork gives it a session and exposes the meta-tool.
    pub(super) fn open_session(&mut self, session: String) {
        let Some(hub) = &mut self.hub else { return };
        if !hub.is_settled() {
            return;
        }
        hub.clients.push(Client { session: session.clone(), name: None, exposed: Vec::new() });
        if self.profile.is_fork() {
            let fields = Fields::new()
                .text("sessionId", &session)
                .raw("initialCategories", "[\"meta\"]")
                .text("defaultExposure", "meta-only")
                .text("filteringMode", "prompt-based")
                .raw("promptBasedEnabled", true);
            self.say(Saying::debug("CHECKPOINT: Session initialized with tool exposure").swapped(fields));
            self.expose_first(&session);
        }
    }

    /// Makes the first exposure, which changes nothing: the session was created with it.
    fn expose_first(&mut self, session: &str) {
        let meta = ["meta".to_owned()];
        if let Some(client) = self.hub.as_mut().and_then(|hub| hub.client_mut(session)) {
            client.exposed = meta.to_vec();
        }
        self.expose(session, &meta);
    }

    /// Completes the client's handshake.
    pub(super) fn name_session(&mut self, session: &str, name: String) {
        let Some(client) = self.hub.as_mut().and_then(|hub| hub.client_mut(session)) else { return };
        if client.name.is_some() {
            return;
        }
        client.name = Some(name.clone());
        self.say(Saying::info(format!("'{name}' client connected to MCP HUB")));
        self.record(Happening::ClientConnected { name, session: session.into() });
    }

    pub(super) fn disconnect_client(&mut self, name: &str) {
        if let Some(session) = self.newest_session(name) {
            self.close_session(&session);
        }
    }

    pub(super) fn newest_session(&self, name: &str) -> Option<String> {
        let clients = &self.hub.as_ref()?.clients;
        clients.iter().rev().find(|client| client.name.as_deref() == Some(name)).map(|client| client.session.clone())
    }

    /// Closes the connection: the session is dropped at once, the storm follows a moment later.
    pub(super) fn close_session(&mut self, session: &str) {
        let Some(name) = self.drop_session(session) else { return };
        let deaf = Micros::new(u64::from(self.storm_size(session)) * DEAF_PER_LINE);
        if let Some(hub) = &mut self.hub {
            hub.storms_until = hub.storms_until.max(self.now).plus(deaf);
        }
        let after = self.random.micros(35_000, 105_000);
        self.later(after, Event::StormBegins { name: name.into(), session: session.into() });
    }

    /// Drops a session; the fork logs it. Returns the name that the lines about it will have.
    pub(super) fn drop_session(&mut self, session: &str) -> Option<String> {
        let hub = self.hub.as_mut()?;
        let index = hub.clients.iter().position(|client| client.session == session)?;
        let client = hub.clients.remove(index);
        if self.profile.is_fork() {
            self.say(Saying::debug(format!("Cleaned up session {session}")));
        }
        let name = client.name.clone().unwrap_or_else(|| UNNAMED.to_owned());
        let lines = self.storm_size(session);
        self.record(Happening::ClientDisconnected { name: client.name, session: session.into(), lines });
        Some(name)
    }

    /// Returns the number of lines at the end of a session. It depends only on the session, so that it is known beforehand.
    fn storm_size(&self, session: &str) -> u32 {
        let (least, most) = self.profile.storm_lines;
        let seed = session.bytes().fold(self.profile.seed, |seed, byte| seed.wrapping_mul(31) ^ u64::from(byte));
        let size = Random::new(seed).between(u64::from(least), u64::from(most.max(least)));
        u32::try_from(size).unwrap_or(least)
    }

    /// Logs the stack overflow of the recursive closing. In about half of the recorded cases the error comes twice.
    pub(super) fn storm_begins(&mut self, name: Arc<str>, session: String) {
        let mut left = self.storm_size(&session);
        if left == 1 {
            self.say(Saying::info(format!("'{name}' client disconnected from MCP HUB")));
            return;
        }
        let error = Arc::new(Saying::warn(format!("Error closing server connected to {name}: Maximum call stack size exceeded")));
        let gone = Arc::new(Saying::info(format!("'{name}' client disconnected from MCP HUB")));
        self.say_shared(Arc::clone(&error));
        if left > 1 && self.random.chance(500) {
            self.say_shared(Arc::clone(&gone));
            self.say_shared(error);
            left -= 1;
        }
        self.storm_goes_on(gone, left);
    }

    pub(super) fn storm_goes_on(&mut self, saying: Arc<Saying>, left: u32) {
        let turn = left.min(LINES_PER_TURN);
        for _ in 0..turn {
            self.say_shared(Arc::clone(&saying));
        }
        if left > turn {
            if let Some(hub) = &mut self.hub {
                // The hub does nothing else until the next lines are written, so the storm has no gaps.
                hub.busy_until = hub.busy_until.max(self.now.plus(TURN).plus(LINE_COST));
                hub.resources.work(TURN.get() / 2);
            }
            self.later(TURN, Event::StormGoesOn { saying, left: left - turn });
        }
    }
}
