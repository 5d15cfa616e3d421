//! Lines that claim that the hub or one of its servers started, stopped or changed. All hubs of a user write into one log, and a
//! server's stderr looks like the hub's own lines from its second line on, so a line proves nothing: claims wait until the API, an
//! unanswered poll or the event stream confirms or contradicts them.

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};

use crate::watch::{ChangeCause, ClaimKind, ClaimRefusal, Micros, RecordUid, Source, Text, Timestamp, When};

use super::servers::Causes;
use crate::hub::lines::line::parse;
use crate::hub::lines::meaning::{self, Meaning};
use crate::hub::sources::clocks::Clocks;
use crate::hub::sources::merge::LineSource;

/// More claims than any hub makes between two polls: a start of a hundred servers makes two or three hundred.
pub const MAX_CLAIMS: usize = 512;

/// No name has more than a few: a server is started, connects and is lost again. Names that a log is filled with keep nobody else's
/// claims out.
pub const MAX_CLAIMS_OF_A_SERVER: usize = 64;

/// Claims about the hub itself: a process that starts and stops makes three.
pub const MAX_CLAIMS_OF_THE_HUB: usize = 64;

/// A claim that nothing decided for so long is dropped. A server may take five minutes to start, and its hub does not list it before.
pub const UNCONFIRMED_AFTER: Micros = Micros::new(10 * 60 * 1_000_000);

/// A hub that closes a server's connection says so twice: at once, and when the process has ended (10 to 45 ms later on the recorded
/// hubs; a process that does not end at once is killed after 4 s). A crash is said once.
pub const SAME_CLOSING: Micros = Micros::new(5_000_000);

/// The hub tells its subscribers of a request when that is done, at once after the line, in batches of 0.1 s.
const REQUEST_AFTER: Micros = Micros::new(1_000_000);

/// A line about a changed configuration follows when the server has connected again: a hub gives it a minute.
const CONFIGURED_AFTER: Micros = Micros::new(60_000_000);

/// Traces of requests that are kept.
const MAX_TRACES: usize = 256;

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
    /// The hub stopped in good order.
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
        match (self, other) {
            (Self::Server(one), Self::Server(other)) => one.server() == other.server(),
            (Self::Server(_), _) | (_, Self::Server(_)) => false,
            _ => true,
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
    /// Nothing tells yet.
    Waits,
    /// It is known already.
    Known,
}

/// The claims that wait, in the order in which they were read.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Claims {
    waiting: VecDeque<Claim>,
    refused: BTreeMap<ClaimKind, BTreeMap<ClaimRefusal, u64>>,
}

impl Claims {
    /// A claim waits, unless too many do.
    pub fn push(&mut self, claim: Claim) {
        if !self.has_room_for(&claim.what) {
            self.refuse(claim.what.kind(), ClaimRefusal::TooMany);
            return;
        }
        self.waiting.push_back(claim);
    }

    /// Whether so few claims of this kind wait that one more may.
    pub fn has_room_for(&self, what: &Claimed) -> bool {
        let most = match what {
            Claimed::Server(_) => MAX_CLAIMS_OF_A_SERVER,
            Claimed::HubStarting { .. } | Claimed::StopsAlone { .. } | Claimed::HubStopping { .. } | Claimed::HubStopped { .. } => {
                MAX_CLAIMS_OF_THE_HUB
            }
        };
        self.waiting.iter().filter(|claim| claim.what.competes_with(what)).count() < most
    }

    /// Takes out the oldest claim of this kind whose line names its process.
    pub fn take_oldest_of_named_process(&mut self, what: &Claimed) -> Option<Claim> {
        let place = self.waiting.iter().position(|claim| claim.pid.is_some() && claim.what.competes_with(what))?;
        self.waiting.remove(place)
    }

    /// Whether a further claim of a server that the hub's list does not have would be too many.
    pub fn is_full(&self) -> bool {
        self.waiting.len() >= MAX_CLAIMS
    }

    /// Makes room for a claim of a listed server: one of a name that is not listed gives way.
    pub fn make_room(&mut self, is_listed: impl Fn(&str) -> bool) -> bool {
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
    pub fn refuse(&mut self, claim: ClaimKind, refusal: ClaimRefusal) {
        *self.refused.entry(claim).or_default().entry(refusal).or_default() += 1;
    }

    /// The claims that were not believed since it was last asked.
    pub fn take_refused(&mut self) -> BTreeMap<ClaimKind, BTreeMap<ClaimRefusal, u64>> {
        std::mem::take(&mut self.refused)
    }

    /// More is known of the hub's clock: the times of lines that wait are corrected.
    pub fn retime(&mut self, clocks: &Clocks) {
        for claim in &mut self.waiting {
            if let Some(said) = claim.said {
                claim.when = clocks.corrected(claim.when, said, claim.earliest, claim.read);
            }
        }
    }

    /// Takes all out, to decide on each.
    pub fn take(&mut self) -> VecDeque<Claim> {
        std::mem::take(&mut self.waiting)
    }

    /// Puts back those that wait on.
    pub fn put_back(&mut self, waiting: VecDeque<Claim>) {
        let newer = std::mem::replace(&mut self.waiting, waiting);
        self.waiting.extend(newer);
    }

    /// Whether any wait.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// How many wait, by their kind.
    pub fn undecided(&self) -> BTreeMap<ClaimKind, u64> {
        let mut undecided = BTreeMap::new();
        for claim in &self.waiting {
            *undecided.entry(claim.what.kind()).or_default() += 1;
        }
        undecided
    }

    /// Whether a line that waits says that the hub stops with its last event-stream subscriber.
    pub fn say_that_it_stops_alone(&self) -> bool {
        self.waiting.iter().any(|claim| matches!(claim.what, Claimed::StopsAlone { .. }))
    }

    /// The process that was the last to start in this source could not listen.
    pub fn start_failed(&mut self, source: Source, pid: Option<u32>) {
        let mut of_source = self.waiting.iter_mut().rev().filter(|claim| claim.source == source && claim.pid == pid);
        if let Some(Claimed::HubStarting { failed, .. }) =
            of_source.find(|claim| matches!(claim.what, Claimed::HubStarting { .. })).map(|claim| &mut claim.what)
        {
            *failed = true;
        }
    }

    /// The claim of this line, if it waits.
    pub fn of_line(&mut self, uid: RecordUid) -> Option<&mut Claim> {
        self.waiting.iter_mut().find(|claim| claim.uid == uid)
    }

    /// A server's connection closed: whether the last claim about it says the same, so that this is the second line of one closing.
    pub fn is_second_closing(&mut self, name: &str, when: When) -> bool {
        let mut of_server =
            self.waiting.iter_mut().rev().filter(|claim| matches!(&claim.what, Claimed::Server(what) if what.server() == name));
        let near = |claim: &Claim| when.earliest().since(claim.when.latest()) <= SAME_CLOSING;
        let first = match of_server.next() {
            // A restart begins the new connection before the old process has ended.
            Some(Claim { what: Claimed::Server(ServerClaim::Starting(_)), .. }) => of_server.next(),
            last => last,
        };
        let Some(first) = first.filter(|claim| near(claim)) else { return false };
        match &mut first.what {
            Claimed::Server(ServerClaim::Closed { twice, .. }) => {
                *twice = true;
                true
            }
            _ => false,
        }
    }
}

/// Why a server changed, as a trace says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum Trace {
    /// The hub told its subscribers that a request was done.
    Request,
    /// The hub said that the configuration changed.
    Configuration,
}

/// The traces that requests to the hub's API and changes of its configuration leave.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Requests {
    traces: VecDeque<(String, When, Trace)>,
    /// From when to when all servers are restarted on request, as the hub's state and its lines say.
    restarts: VecDeque<(When, Option<When>)>,
    /// Whether the hub's state confirms that.
    restarting: bool,
    /// Since when the event stream has been heard without a break: what was requested since then has left its trace.
    #[serde(skip)]
    heard_since: Option<Timestamp>,
}

impl Requests {
    /// The event stream was joined.
    pub fn heard_from(&mut self, at: Timestamp) {
        self.heard_since = Some(at);
    }

    /// The event stream ended: a request leaves no trace from now on.
    pub fn unheard(&mut self) {
        self.heard_since = None;
    }

    /// The hub's event stream says that a request about these servers was done.
    pub fn requested(&mut self, servers: impl IntoIterator<Item = String>, when: When) {
        servers.into_iter().for_each(|server| self.trace(server, when, Trace::Request));
    }

    /// The configuration of these servers changed.
    pub fn configured(&mut self, servers: impl IntoIterator<Item = String>, when: When) {
        servers.into_iter().for_each(|server| self.trace(server, when, Trace::Configuration));
    }

    fn trace(&mut self, server: String, when: When, trace: Trace) {
        if self.traces.len() >= MAX_TRACES {
            self.traces.pop_front();
        }
        self.traces.push_back((server, when, trace));
    }

    /// A restart of all servers began or is over.
    pub fn restart(&mut self, done: bool, when: When) {
        match self.restarts.back_mut().filter(|(_, end)| end.is_none()) {
            Some((_, end)) if done => *end = Some(when),
            // The state and the line say the same.
            Some(_) => {}
            None if done => {}
            None => {
                if self.restarts.len() >= MAX_TRACES {
                    self.restarts.pop_front();
                }
                self.restarts.push_back((when, None));
            }
        }
    }

    /// What the hub's state says of restarts: `restarting` until all are up, then `restarted` for good.
    pub fn state(&mut self, state: &str) {
        self.restarting = matches!(state, "restarting" | "restarted");
    }

    /// Another process of the hub started: what was asked of the one before is over.
    pub fn hub_started(&mut self, when: When) {
        self.traces.retain(|(_, at, _)| at.latest() >= when.earliest());
        self.restarts.retain(|(begin, _)| begin.latest() >= when.earliest());
        self.restarting = false;
    }

    /// What is older than this can explain nothing that is still undecided.
    pub fn forget_before(&mut self, at: Timestamp) {
        self.traces.retain(|(_, when, _)| when.latest() >= at);
        self.restarts.retain(|(_, end)| end.is_none_or(|end| end.latest() >= at));
    }

    fn in_restart(&self, when: When) -> bool {
        let inside = |(begin, end): &(When, Option<When>)| {
            let begun = when.latest().plus(REQUEST_AFTER) >= begin.earliest();
            begun && end.is_none_or(|end| when.earliest() <= end.latest().plus(REQUEST_AFTER))
        };
        self.restarting && self.restarts.iter().any(inside)
    }

    fn traced(&self, server: &str, trace: Trace, when: When, after: Micros) -> bool {
        let fits = |(name, at, kind): &(String, When, Trace)| {
            let not_before = at.latest().plus(REQUEST_AFTER) >= when.earliest();
            name == server && *kind == trace && not_before && at.earliest() <= when.latest().plus(after)
        };
        self.traces.iter().any(fits)
    }
}

impl Causes for Requests {
    fn of_stop(&self, server: &str, when: When, on_purpose: bool) -> ChangeCause {
        if on_purpose && self.traced(server, Trace::Configuration, when, CONFIGURED_AFTER) {
            ChangeCause::Configured
        } else if on_purpose || self.in_restart(when) || self.traced(server, Trace::Request, when, REQUEST_AFTER) {
            ChangeCause::Requested
        } else {
            ChangeCause::Unprompted
        }
    }

    fn of_start(&self, server: &str, when: When) -> Option<ChangeCause> {
        if self.traced(server, Trace::Configuration, when, REQUEST_AFTER) {
            Some(ChangeCause::Configured)
        } else if self.in_restart(when) || self.traced(server, Trace::Request, when, REQUEST_AFTER) {
            Some(ChangeCause::Requested)
        } else {
            None
        }
    }

    fn would_show(&self, when: When) -> bool {
        self.heard_since.is_some_and(|since| since <= when.earliest())
    }
}

/// A line of a process of which it is not known whether it is the hub's.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct HeldLine {
    /// The process.
    pub pid: u32,
    /// What it was read from.
    pub source: LineSource,
    /// Its text.
    pub text: String,
    /// Its record.
    pub uid: RecordUid,
    /// Its length in the file.
    pub size: u64,
    /// The time that a container's runtime gave it.
    pub stamped: Option<Timestamp>,
    /// When its source was read to the end before.
    #[serde(default)]
    pub earliest: Timestamp,
    /// When it was read.
    pub read: Timestamp,
    /// When it was written.
    pub when: When,
}

impl HeldLine {
    /// Whether this is what it says.
    pub fn means(&self, meaning: Meaning<'_>) -> bool {
        meaning::of(&parse(&self.text).text) == Some(meaning)
    }
}

/// The most that is held of them.
const MAX_HELD: usize = 512;
const MAX_HELD_BYTES: usize = 1024 * 1024;

/// Processes that were found to be other hubs'. More are forgotten, and found again.
const MAX_OTHERS: usize = 64;

/// The lines of processes of which it is not known yet whether they are the hub's: until the API says which it is.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Held {
    lines: VecDeque<HeldLine>,
    bytes: usize,
    others: VecDeque<u32>,
}

impl Held {
    /// Whether the process is another hub's, as far as is known.
    pub fn is_other(&self, pid: u32) -> bool {
        self.others.contains(&pid)
    }

    /// A process starts: one of that number that was another hub's is over.
    pub fn begins(&mut self, pid: u32) {
        self.others.retain(|other| *other != pid);
    }

    /// The process is another hub's.
    pub fn note_other(&mut self, pid: u32) {
        if !self.is_other(pid) {
            if self.others.len() >= MAX_OTHERS {
                self.others.pop_front();
            }
            self.others.push_back(pid);
        }
    }

    /// Holds a line. Gives the oldest back when there are too many.
    pub fn hold(&mut self, line: HeldLine) -> Option<HeldLine> {
        // Of thousands of equal lines one is enough.
        if self.lines.back().is_some_and(|last| last.pid == line.pid && last.text == line.text) {
            return None;
        }
        self.bytes += line.text.len();
        self.lines.push_back(line);
        let mut let_go = None;
        while self.lines.len() > MAX_HELD || self.bytes > MAX_HELD_BYTES {
            let Some(oldest) = self.lines.pop_front() else { break };
            self.bytes -= oldest.text.len();
            let_go.get_or_insert(oldest);
        }
        let_go
    }

    /// The lines that are held.
    pub fn lines(&self) -> impl Iterator<Item = &HeldLine> {
        self.lines.iter()
    }

    /// More is known of the hub's clock: the times of lines that wait are corrected.
    pub fn retime(&mut self, clocks: &Clocks) {
        for line in &mut self.lines {
            if let Some(said) = parse(&line.text).time.or(line.stamped) {
                line.when = clocks.corrected(line.when, said, line.earliest, line.read);
            }
        }
    }

    /// Takes out those of one process.
    pub fn take_of(&mut self, pid: u32) -> VecDeque<HeldLine> {
        let (taken, kept): (VecDeque<HeldLine>, VecDeque<HeldLine>) = self.take().into_iter().partition(|line| line.pid == pid);
        self.bytes = kept.iter().map(|line| line.text.len()).sum();
        self.lines = kept;
        taken
    }

    /// Whether any are held.
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// Takes all out.
    pub fn take(&mut self) -> VecDeque<HeldLine> {
        self.bytes = 0;
        std::mem::take(&mut self.lines)
    }
}
