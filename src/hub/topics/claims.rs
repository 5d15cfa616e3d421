//! Lines that claim that the hub or one of its servers started, stopped or changed. All hubs of a user write into one log, and a
//! server's stderr looks like the hub's own lines from its second line on, so a line proves nothing: claims wait until the API, an
//! unanswered poll or the event stream confirms or contradicts them.

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};

use crate::hub::interpret::Interpreter;
use crate::hub::sources::clocks::Clocks;
use crate::watch::{ClaimKind, ClaimRefusal, ClaimsDropped, Count, Micros, RecordUid, Source, Text, Timestamp, When};

/// More claims than any hub makes between two polls: a start of a hundred servers makes two or three hundred.
pub(crate) const MAX_CLAIMS: usize = 512;

/// No name has more than a few: a server is started, connects and is lost again. Names that fill a log take no place from other
/// servers' claims out.
pub(crate) const MAX_CLAIMS_OF_A_SERVER: usize = 64;

/// Claims about the hub itself: a process that starts and stops makes three.
pub(crate) const MAX_CLAIMS_OF_THE_HUB: usize = 64;

/// A claim that nothing decided for so long is dropped. A server may take five minutes to start, and its hub does not list it before.
pub(crate) const UNCONFIRMED_AFTER: Micros = Micros::new(10 * 60 * 1_000_000);

/// A hub that closes a server's connection says so twice: at once, and when the process has ended (10 to 45 ms later on the recorded
/// hubs; a process that does not end at once is killed after 4 s). A crash is said once.
pub(crate) const SAME_CLOSING: Micros = Micros::new(5_000_000);

/// What a line claims of a server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ServerClaim {
    /// It is being started.
    Starting(Text),
    /// It is connected.
    Connected(Text),
    /// Its connection closed.
    Closed {
        /// Which server.
        server: Text,
        /// Whether the line came twice, as it does when the hub closes the connection itself.
        twice: bool,
    },
    /// It could not be started.
    Failed {
        /// Which server.
        server: Text,
        /// Why.
        error: Text,
    },
}

impl ServerClaim {
    /// Which server.
    pub fn server(&self) -> &str {
        match self {
            Self::Starting(server) | Self::Connected(server) | Self::Closed { server, .. } | Self::Failed { server, .. } => {
                server.as_str()
            }
        }
    }
}

/// What a line claims.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Claimed {
    /// The hub's process starts.
    HubStarting {
        /// On this port.
        port: Option<u32>,
        /// The connections that were open before it, where the line names no process.
        open: BTreeMap<String, u32>,
        /// Whether a later line says that it could not listen.
        #[serde(default)]
        failed: bool,
    },
    /// The hub stops with its last event-stream subscriber, or does so now.
    StopsAlone {
        /// Whether it does so now.
        now: bool,
    },
    /// The hub stops.
    HubStopping {
        /// The signal that it received.
        signal: Text,
        /// What led to it.
        cause: Option<Text>,
    },
    /// The hub shut down cleanly.
    HubStopped {
        /// The connections that were open then, where the line names no process.
        open: BTreeMap<String, u32>,
    },
    /// A server changed.
    Server(ServerClaim),
}

impl Claimed {
    /// Whether both are about the hub itself, or about the same server.
    fn competes_with(&self, other: &Self) -> bool {
        self.server() == other.server()
    }

    /// The server that it is about; `None` if it is about the hub itself.
    fn server(&self) -> Option<&str> {
        match self {
            Self::Server(claim) => Some(claim.server()),
            Self::HubStarting { .. } | Self::StopsAlone { .. } | Self::HubStopping { .. } | Self::HubStopped { .. } => None,
        }
    }

    /// What kind of claim it is.
    pub const fn kind(&self) -> ClaimKind {
        match self {
            Self::HubStarting { .. } | Self::StopsAlone { now: false } => ClaimKind::HubStart,
            Self::StopsAlone { now: true } | Self::HubStopping { .. } | Self::HubStopped { .. } => ClaimKind::HubStop,
            Self::Server(_) => ClaimKind::ServerChange,
        }
    }
}

/// What a line claims, and what is known of the line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claim {
    /// Its record.
    pub uid: RecordUid,
    /// How many facts the line has led to already.
    pub ordinal: u32,
    /// When it was written.
    pub when: When,
    /// The time that the line itself states, by the hub's clock.
    #[serde(default)]
    pub said: Option<Timestamp>,
    /// When its source was read to the end before.
    #[serde(default)]
    pub earliest: Timestamp,
    /// When it was read.
    pub read: Timestamp,
    /// What showed it.
    pub source: Source,
    /// The process that wrote it, where it says.
    pub pid: Option<u32>,
    /// Whether the hub's own event stream shows it as well: then it is the hub's.
    pub own: bool,
    /// What it claims.
    pub what: Claimed,
}

impl Claim {
    /// Not before this, by the hub's clock, which is so much ahead of ours.
    pub fn earliest_by_hub_clock(&self, ahead: i64) -> Timestamp {
        self.when.earliest().shifted(ahead)
    }
}

/// What becomes of a claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// It is so.
    Confirmed,
    /// It is not, or not of this hub.
    Refused(ClaimRefusal),
    /// Not known yet.
    Waits,
    /// It is known already.
    Known,
}

/// The claims that wait, in the order in which they were read.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Claims {
    waiting: VecDeque<Claim>,
    refused: BTreeMap<ClaimKind, BTreeMap<ClaimRefusal, u64>>,
}

impl Claims {
    /// A claim waits. The caller has made sure that there is room for it.
    fn push(&mut self, claim: Claim) {
        self.waiting.push_back(claim);
    }

    /// Whether so few claims of this kind wait that one more may.
    fn has_room_for(&self, what: &Claimed) -> bool {
        let most = match what {
            Claimed::Server(_) => MAX_CLAIMS_OF_A_SERVER,
            Claimed::HubStarting { .. } | Claimed::StopsAlone { .. } | Claimed::HubStopping { .. } | Claimed::HubStopped { .. } => {
                MAX_CLAIMS_OF_THE_HUB
            }
        };
        // Most of the time few claims wait: then they need not be counted.
        self.waiting.len() < most || self.waiting.iter().filter(|claim| claim.what.competes_with(what)).count() < most
    }

    /// Takes out the oldest claim of this kind whose line names its process.
    pub(crate) fn take_oldest_of_named_process(&mut self, what: &Claimed) -> Option<Claim> {
        let place = self.waiting.iter().position(|claim| claim.pid.is_some() && claim.what.competes_with(what))?;
        self.waiting.remove(place)
    }

    /// Whether a further claim of a server that the hub's list does not have would be too many.
    pub(crate) fn is_full(&self) -> bool {
        self.waiting.len() >= MAX_CLAIMS
    }

    /// Makes room for a claim of a listed server: one of a name that is not listed gives way.
    pub(crate) fn make_room(&mut self, is_listed: impl Fn(&str) -> bool) -> bool {
        if !self.is_full() {
            return true;
        }
        let unlisted = |claim: &Claim| matches!(&claim.what, Claimed::Server(what) if !is_listed(what.server()));
        let Some(place) = self.waiting.iter().position(unlisted) else { return false };
        self.waiting.remove(place);
        self.refuse(ClaimKind::ServerChange, ClaimRefusal::TooMany);
        true
    }

    /// Counts a claim that was not believed.
    pub(crate) fn refuse(&mut self, claim: ClaimKind, refusal: ClaimRefusal) {
        *self.refused.entry(claim).or_default().entry(refusal).or_default() += 1;
    }

    /// The claims that were not believed since it was last asked.
    pub(crate) fn take_refused(&mut self) -> BTreeMap<ClaimKind, BTreeMap<ClaimRefusal, u64>> {
        std::mem::take(&mut self.refused)
    }

    /// More is known of the hub's clock: the times of lines that wait are corrected.
    pub(crate) fn retime(&mut self, clocks: &Clocks) {
        for claim in &mut self.waiting {
            if let Some(said) = claim.said {
                claim.when = clocks.corrected(claim.when, said, claim.earliest, claim.read);
            }
        }
    }

    /// Takes all out, to decide on each.
    pub(crate) fn take(&mut self) -> VecDeque<Claim> {
        std::mem::take(&mut self.waiting)
    }

    /// Puts back those that wait on.
    pub(crate) fn put_back(&mut self, waiting: VecDeque<Claim>) {
        let newer = std::mem::replace(&mut self.waiting, waiting);
        self.waiting.extend(newer);
    }

    /// Whether any wait.
    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// How many wait, by their kind.
    pub(crate) fn undecided(&self) -> BTreeMap<ClaimKind, u64> {
        let mut undecided = BTreeMap::new();
        for claim in &self.waiting {
            *undecided.entry(claim.what.kind()).or_default() += 1;
        }
        undecided
    }

    /// Whether a line that waits says that the hub stops with its last event-stream subscriber.
    pub(crate) fn say_that_it_stops_alone(&self) -> bool {
        self.waiting.iter().any(|claim| matches!(claim.what, Claimed::StopsAlone { .. }))
    }

    /// The process that was the last to start in this source could not listen.
    pub(crate) fn start_failed(&mut self, source: Source, pid: Option<u32>) {
        let mut of_source = self.waiting.iter_mut().rev().filter(|claim| claim.source == source && claim.pid == pid);
        if let Some(Claimed::HubStarting { failed, .. }) =
            of_source.find(|claim| matches!(claim.what, Claimed::HubStarting { .. })).map(|claim| &mut claim.what)
        {
            *failed = true;
        }
    }

    /// The claim of this line, if it waits.
    pub(crate) fn of_line(&mut self, uid: RecordUid) -> Option<&mut Claim> {
        self.waiting.iter_mut().find(|claim| claim.uid == uid)
    }

    /// A server's connection closed: whether the last claim about it says the same, so that this is the second line of one closing.
    pub(crate) fn is_second_closing(&mut self, name: &str, when: When) -> bool {
        let mut of_server =
            self.waiting.iter_mut().rev().filter(|claim| matches!(&claim.what, Claimed::Server(what) if what.server() == name));
        let near = |claim: &Claim| when.earliest().since(claim.when.latest()) <= SAME_CLOSING;
        let first = match of_server.next() {
            // A restart begins the new connection before the old process has ended.
            Some(Claim { what: Claimed::Server(ServerClaim::Starting(_)), .. }) => of_server.next(),
            last => last,
        };
        let Some(first) = first.filter(|claim| near(claim)) else { return false };
        let Claimed::Server(ServerClaim::Closed { twice, .. }) = &mut first.what else { return false };
        *twice = true;
        true
    }
}

impl Interpreter {
    /// Whether lines claim what only a poll can settle.
    pub fn has_undecided(&self) -> bool {
        !self.claims.is_empty() || !self.held.is_empty()
    }

    /// The watch ends: says what lines claimed that nothing has decided. A watch that goes on from here decides it.
    pub fn ends(&mut self, now: Timestamp) {
        let now = self.clocks.steady(now);
        for (claim, count) in self.claims.undecided() {
            let refusal = ClaimRefusal::Undecided;
            self.say_from_log(When::At(now), ClaimsDropped { claim, count: Count::new(count), refusal });
        }
    }

    /// A claim waits for the next poll.
    pub(in crate::hub) fn claim(&mut self, claim: Claim) {
        if self.lines_alone {
            self.believe(claim);
            return;
        }
        if let Claimed::Server(what) = &claim.what {
            if let ServerClaim::Closed { server, .. } = what {
                let again = self.claims.is_second_closing(server.as_str(), claim.when);
                if again || self.servers.closed_just_before(server.as_str(), claim.when) {
                    return;
                }
            }
            let servers = &self.servers;
            if !self.claims.make_room(|name| servers.knows(name)) {
                self.claims.refuse(ClaimKind::ServerChange, ClaimRefusal::TooMany);
                return;
            }
        }
        if !self.claims.has_room_for(&claim.what) {
            let Some(oldest) = self.claims.take_oldest_of_named_process(&claim.what) else {
                self.claims.refuse(claim.what.kind(), ClaimRefusal::TooMany);
                return;
            };
            // Its line names the hub's process: it can't be another hub's, and nothing will show what was so long ago.
            self.believe(oldest);
        }
        self.claims.push(claim);
    }

    /// Takes a claim as it stands: there is nothing that could confirm it.
    pub(in crate::hub) fn believe(&mut self, claim: Claim) {
        self.confirm(claim, None);
    }
}
