//! MCP clients: connected and disconnected once each, though the hub writes the line of a disconnect thousands of times
//! (`tests/recordings/npm-4.2.1/mcp-hub.log.gz`: 2,168 times for one client).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::hub::facts::Said;
use crate::hub::interpret::Interpreter;
use crate::hub::lines::detail::{Detail, joined};
use crate::hub::lines::line::LogLine;
use crate::hub::lines::meaning::{Meaning, background_lines, call_lines, hub_lines, process_lines, server_lines};
use crate::watch::{
    ClientConnected, ClientDisconnected, ExposureChanged, Micros, SessionClosed, SessionHash, SessionOpened, Text, Timestamp, When,
};

/// Lines of one disconnect follow each other within about 0.3 s in the recordings; stray copies at the hub's shutdown find no open
/// connection. Two seconds of quiet separate two disconnects of clients with the same name.
pub(crate) const QUIET_BETWEEN_DISCONNECTS: Micros = Micros::new(2_000_000);

/// Around each disconnect the hub logs one or two errors, 3 ms apart at most in the recordings; one that comes later than this
/// after the last is about another connection of the same name.
pub(crate) const SAME_CLOSING: Micros = Micros::new(20_000);

/// More names than any staging hub sees; beyond it new names are not tracked, so that garbage can't fill the memory.
pub(crate) const MAX_NAMES: usize = 4096;

/// More open connections of one name than any staging hub has.
pub(crate) const MAX_OPEN: u32 = 4096;

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Connections {
    open: u32,
    last_line: Option<Timestamp>,
    last_closing: Option<Timestamp>,
}

/// The open connections by client name.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Clients {
    by_name: BTreeMap<String, Connections>,
}

impl Clients {
    /// A client connected.
    pub(crate) fn connected(&mut self, name: &str) {
        if self.by_name.len() < MAX_NAMES || self.by_name.contains_key(name) {
            let connections = self.by_name.entry(name.to_owned()).or_default();
            connections.open = connections.open.saturating_add(1).min(MAX_OPEN);
            // A disconnect after a new connect is a new one, however soon it comes.
            connections.last_line = None;
        }
    }

    /// A line says that closing a client's connection met an error: the disconnect lines that follow are of this connection. A line
    /// without a time that can be of the last one is.
    pub(crate) fn closing(&mut self, name: &str, when: When) {
        let at = when.earliest();
        let Some(connections) = self.by_name.get_mut(name) else { return };
        let before = connections.last_closing;
        connections.last_closing = before.max(Some(at));
        if before.is_some_and(|before| at.since(before) > SAME_CLOSING) {
            connections.last_line = None;
        }
    }

    /// A line says that a client disconnected; whether that is news. A line without a time that can be of the last disconnect is.
    pub(crate) fn disconnected(&mut self, name: &str, when: When) -> bool {
        let at = when.earliest();
        let Some(connections) = self.by_name.get_mut(name) else { return false };
        let repeats = connections.last_line.is_some_and(|last| at.since(last) < QUIET_BETWEEN_DISCONNECTS);
        connections.last_line = connections.last_line.max(Some(at));
        if repeats || connections.open == 0 {
            return false;
        }
        connections.open -= 1;
        true
    }

    /// How many connections of each name are open.
    pub(crate) fn open(&self) -> BTreeMap<String, u32> {
        let open = self.by_name.iter().filter(|(_, connections)| connections.open > 0);
        open.map(|(name, connections)| (name.clone(), connections.open)).collect()
    }

    /// The hub's process ended when these connections were open, as became known later: the names of those that had not ended since,
    /// one entry each.
    pub(crate) fn ended_of(&mut self, open: &BTreeMap<String, u32>) -> Vec<String> {
        let mut ended = Vec::new();
        for (name, before) in open {
            let Some(connections) = self.by_name.get_mut(name) else { continue };
            let gone = connections.open.min(*before);
            connections.open -= gone;
            ended.extend(std::iter::repeat_n(name.clone(), gone as usize));
        }
        self.by_name.retain(|_, connections| connections.open > 0);
        ended
    }

    /// The hub's process ended, and all connections with it: the names of those that were still open, one entry each.
    pub(crate) fn hub_ended(&mut self) -> Vec<String> {
        let open = std::mem::take(&mut self.by_name).into_iter();
        open.flat_map(|(name, connections)| std::iter::repeat_n(name, connections.open as usize)).collect()
    }
}

impl Interpreter {
    pub(in crate::hub) fn of_client(&mut self, meaning: Meaning<'_>, line: &LogLine<'_>, said: &mut Said) {
        match meaning {
            Meaning::ClientConnected(name) => {
                self.clients.connected(name);
                said.say(ClientConnected { client: Text::new(name) });
            }
            Meaning::ClientClosing(name) => self.clients.closing(name, said.when),
            Meaning::ClientDisconnected(name) if self.clients.disconnected(name, said.when) => {
                said.say(ClientDisconnected { client: Text::new(name) });
            }
            Meaning::SessionOpened => {
                let session = line.session.as_deref().map(|session| SessionHash::of(session, self.mask.key()));
                let categories = Detail::of(line.data).initial_categories;
                said.say(SessionOpened { session, categories: categories.map(|categories| Text::new(joined(&categories))) });
            }
            Meaning::ExposureUpdated => {
                let detail = Detail::of(line.data);
                if let (Some(added), Some(all)) =
                    (detail.added_categories.filter(|added| !added.is_empty()), detail.total_categories)
                {
                    let session = line.session.as_deref().map(|session| SessionHash::of(session, self.mask.key()));
                    let (added, categories) = (Text::new(joined(&added)), Text::new(joined(&all)));
                    said.say(ExposureChanged { session, added, categories });
                }
            }
            Meaning::SessionClosed(session) => {
                said.say(SessionClosed { session: Some(SessionHash::of(session, self.mask.key())) });
            }
            Meaning::ClientDisconnected(_) => {}
            process_lines!() | hub_lines!() | server_lines!() | background_lines!() | call_lines!() => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_thousand_lines_are_one_disconnect() {
        let mut clients = Clients::default();
        clients.connected("probe");
        let news = (0..2_168).filter(|index| clients.disconnected("probe", When::At(Timestamp::from_millis(*index / 7)))).count();
        assert_eq!(news, 1);
    }

    #[test]
    fn there_are_never_more_disconnects_than_open_connections() {
        let mut clients = Clients::default();
        clients.connected("a");
        assert!(clients.disconnected("a", When::At(Timestamp::from_secs(1))));
        assert!(!clients.disconnected("a", When::At(Timestamp::from_secs(60))));
        assert!(!clients.disconnected("never seen", When::At(Timestamp::from_secs(60))));
    }

    #[test]
    fn connections_that_are_open_end_with_the_hub() {
        let mut clients = Clients::default();
        for name in ["a", "a", "b"] {
            clients.connected(name);
        }
        assert!(clients.disconnected("a", When::At(Timestamp::from_secs(1))));
        assert!(
            !clients.disconnected("a", When::At(Timestamp::from_secs(1))),
            "a second one can't be told from the storm of the first"
        );
        assert_eq!(clients.hub_ended(), ["a", "b"]);
        assert!(clients.hub_ended().is_empty());
    }

    #[test]
    fn the_same_storm_read_late_from_a_source_without_times_is_no_other_disconnect() {
        let mut clients = Clients::default();
        clients.connected("a");
        clients.connected("a");
        assert!(clients.disconnected("a", When::At(Timestamp::from_secs(10))));
        assert!(!clients.disconnected("a", When::between(Timestamp::from_secs(9), Timestamp::from_secs(30))));
        assert!(clients.disconnected("a", When::At(Timestamp::from_secs(13))));
    }

    #[test]
    fn the_second_error_of_a_closing_read_first_from_a_source_without_times_is_of_the_same_closing() {
        let at = Timestamp::from_millis;
        let mut clients = Clients::default();
        clients.connected("a");
        clients.connected("a");
        clients.closing("a", When::At(at(10_848)));
        assert!(clients.disconnected("a", When::At(at(10_850))));
        clients.closing("a", When::between(at(10_750), at(11_000)));
        assert!(!clients.disconnected("a", When::between(at(10_750), at(11_000))));
        clients.closing("a", When::At(at(10_851)));
        assert!(!clients.disconnected("a", When::At(at(10_852))));
        clients.closing("a", When::At(at(11_400)));
        assert!(clients.disconnected("a", When::At(at(11_402))), "another connection of the same name");
    }

    #[test]
    fn a_client_that_comes_back_at_once_disconnects_again() {
        let mut clients = Clients::default();
        clients.connected("a");
        assert!(clients.disconnected("a", When::At(Timestamp::from_secs(1))));
        clients.connected("a");
        assert!(clients.disconnected("a", When::At(Timestamp::from_secs(2))));
    }
}
