//! What the sources at hand can show. What can't be seen is said to be so, never taken for zero.

use std::collections::BTreeSet;

use super::Watch;
use super::poll::{ApiOutcome, LogShape, Sources, Visibility};
use super::record::terms;

terms! {
    /// Something about a hub that can be seen or not, depending on its sources.
    pub enum Aspect {
        /// Its state and its answers.
        Hub = "hub",
        /// Its starts, its stops and what led to them.
        HubEnds = "hub_ends",
        /// Its servers, and when each of them changed.
        Servers = "servers",
        /// The servers' processes.
        ServerProcesses = "server_processes",
        /// MCP clients that come and go.
        Clients = "clients",
        /// Sessions and what they are offered.
        Sessions = "sessions",
        /// Meta-tool calls and their Gemini part.
        Calls = "calls",
        /// Which end of a call belongs to which beginning while several are in flight.
        CallPairing = "call_pairing",
        /// How much is logged.
        LogVolume = "log_volume",
        /// Warnings and errors.
        LogLevels = "log_levels",
        /// The log file's size and the room that it has.
        LogFile = "log_file",
        /// Processor time and memory of the hub.
        Process = "process",
        /// What the tool filtering does.
        Filtering = "filtering",
        /// Ordinary tool calls.
        ToolCalls = "tool_calls",
        /// Each request to an LLM, and the tokens that it used.
        LlmRequests = "llm_requests",
    }
}

impl Aspect {
    /// What it is, for people.
    pub const fn title(self) -> &'static str {
        match self {
            Self::Hub => "the hub's state and answers",
            Self::HubEnds => "the hub's starts and stops",
            Self::Servers => "the servers' changes",
            Self::ServerProcesses => "the servers' processes",
            Self::Clients => "MCP clients",
            Self::Sessions => "sessions",
            Self::Calls => "meta-tool calls",
            Self::CallPairing => "the durations of overlapping calls",
            Self::LogVolume => "how much is logged",
            Self::LogLevels => "warnings and errors",
            Self::LogFile => "the log file",
            Self::Process => "processor time and memory",
            Self::Filtering => "the tool filtering",
            Self::ToolCalls => "ordinary tool calls",
            Self::LlmRequests => "requests to the LLM and their tokens",
        }
    }
}

/// Whether something can be seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Visible {
    /// All of it.
    Yes,
    /// Some of it: what is missing, and why.
    Partly(String),
    /// Nothing of it: why, and what would change that.
    No(String),
}

const LOG_UNREAD: &str = "the hub's log was not read";
const PROCESS_UNSEEN: &str = "the hub's process can't be seen from here: run hubwatch on its host (--pid, where it isn't found); \
     in containers share its PID namespace (shareProcessNamespace, or HUBWATCH_SHARED_PIDS) or mount its control group (HUBWATCH_CGROUP)";
const TOOL_CALLS_UNSEEN: &str = "ordinary tool calls leave no line in any of the hub's sources: start the hub with its instrumentation \
     (`hubwatch instrument node`), and `hubwatch run` with --receive";
const TOKENS_UNSEEN: &str = "no source of the hub shows single requests to the LLM and their tokens: start the hub with its instrumentation \
     (`hubwatch instrument node`), and `hubwatch run` with --receive";
const API_UNASKED: &str = "the hub's API did not answer";

/// How often a source was read, and how often it should have been.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Readings {
    read: u64,
    partial: u64,
    missing: u64,
}

impl Readings {
    fn add(&mut self, visibility: Visibility) {
        match visibility {
            Visibility::Read => self.read += 1,
            Visibility::Partial => self.partial += 1,
            Visibility::Missing => self.missing += 1,
            Visibility::Off => {}
        }
    }

    const fn any(self) -> bool {
        self.read + self.partial > 0
    }

    /// Which share of the times it could not be read, in thousandths.
    fn missing_permille(self) -> u64 {
        let all = self.read + self.partial + self.missing;
        (self.missing * 1_000).checked_div(all).unwrap_or(0)
    }
}

/// What was seen so far: fed with Watches, asked for aspects.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sight {
    polls: Readings,
    log: Readings,
    stream: Readings,
    process: Readings,
    instrumentation: Readings,
    shapes: BTreeSet<LogShape>,
    /// Watches whose sources show the checkpoint lines, or don't.
    checkpoints: Readings,
    levels: bool,
    children: bool,
    log_file: bool,
    filtering: Option<bool>,
    /// Whether the hub itself said that it has no tool filtering.
    no_filtering: bool,
}

impl Sight {
    /// What one Watch shows.
    pub fn of_watch(watch: &Watch) -> Self {
        let mut sight = Self::default();
        sight.add(watch);
        sight
    }

    /// Adds a Watch.
    pub fn add(&mut self, watch: &Watch) {
        self.add_sources(&watch.sources);
        let volume = &watch.log;
        self.levels |= [volume.debug, volume.info, volume.warn, volume.error].iter().any(|level| level.get() > 0);
        let Some(poll) = &watch.poll else { return };
        self.polls.add(watch.sources.polls);
        self.process.add(watch.sources.process);
        self.children |= poll.servers.iter().any(|server| server.child_pid.is_some());
        self.log_file |= poll.log_file.is_some();
        match poll.filtering.as_ref().map(|filtering| filtering.outcome) {
            Some(ApiOutcome::NotFound) => self.no_filtering = true,
            Some(outcome) => self.filtering = Some(self.filtering == Some(true) || outcome == ApiOutcome::Ok),
            None => {}
        }
    }

    fn add_sources(&mut self, sources: &Sources) {
        self.log.add(sources.log);
        self.stream.add(sources.event_stream);
        if let Some(instrumentation) = sources.instrumentation {
            self.instrumentation.add(instrumentation);
        }
        self.shapes.extend(sources.log_shape);
        match sources.checkpoints {
            Some(true) => self.checkpoints.add(Visibility::Read),
            Some(false) => self.checkpoints.add(Visibility::Missing),
            None => {}
        }
    }

    /// Whether an aspect can be seen.
    pub fn of(&self, aspect: Aspect) -> Visible {
        match aspect {
            Aspect::Hub => of_source(self.polls, API_UNASKED),
            Aspect::HubEnds => self.hub_ends(),
            Aspect::Servers => self.servers(),
            Aspect::ServerProcesses if self.children => Visible::Yes,
            Aspect::ServerProcesses => no("no child process of the hub was identified as a server's; remote servers have none"),
            Aspect::Clients => self.clients(),
            Aspect::Sessions => self.sessions(),
            Aspect::Calls if !self.checkpoints.any() && self.instrumentation.any() => {
                of_source(self.instrumentation, TOOL_CALLS_UNSEEN)
            }
            Aspect::Calls => of_source(
                self.checkpoints,
                "no source shows the lines of meta-tool calls (the plain log file never does): \
                 let the event stream be joined, or read the hub's standard output",
            ),
            Aspect::CallPairing => self.pairing(),
            Aspect::LogVolume => self.log_volume(),
            Aspect::LogLevels => self.log_levels(),
            Aspect::LogFile if self.log_file => Visible::Yes,
            Aspect::LogFile => no("the hub's log is not read from a file"),
            Aspect::Process => of_source(self.process, PROCESS_UNSEEN),
            Aspect::Filtering => match self.filtering {
                Some(true) => Visible::Yes,
                Some(false) => no("the hub did not answer GET /api/filtering/stats"),
                None => no("the hub has no tool filtering, or was not asked"),
            },
            Aspect::ToolCalls => of_source(self.instrumentation, TOOL_CALLS_UNSEEN),
            Aspect::LlmRequests => of_source(self.instrumentation, TOKENS_UNSEEN),
        }
    }

    /// In which share of the Watches no source showed meta-tool calls, in thousandths.
    pub fn calls_unseen_permille(&self) -> u64 {
        self.checkpoints.missing_permille()
    }

    /// Every aspect that is not wholly visible. What this hub has not can't be missed.
    pub fn blind_spots(&self) -> Vec<(Aspect, Visible)> {
        let aspects = Aspect::ALL.iter().filter(|aspect| !self.is_absent(**aspect)).map(|aspect| (*aspect, self.of(*aspect)));
        aspects.filter(|(_, visible)| *visible != Visible::Yes).collect()
    }

    /// Whether the hub has no such thing: the public package has neither tool filtering nor what comes with it.
    fn is_absent(&self, aspect: Aspect) -> bool {
        let with_filtering =
            matches!(aspect, Aspect::Sessions | Aspect::Calls | Aspect::CallPairing | Aspect::Filtering | Aspect::LlmRequests);
        with_filtering && self.no_filtering && self.filtering.is_none()
    }

    fn shows_lines(&self) -> bool {
        self.log.any() || self.stream.any()
    }

    /// Whether all lines that were read are of the log file without times and levels.
    fn plain_only(&self) -> bool {
        self.shapes.iter().all(|shape| *shape == LogShape::LegacyFile)
    }

    fn hub_ends(&self) -> Visible {
        if self.log.any() {
            return of_source(self.log, LOG_UNREAD);
        }
        if self.stream.any() {
            return partly("the event stream ends with the hub: its stop is seen, its start only by the next poll");
        }
        if self.polls.any() {
            return partly("polls show that the hub was gone or is another process, not why: read its log");
        }
        no("neither the hub's log nor its API was read")
    }

    fn servers(&self) -> Visible {
        match (self.polls.any(), self.shows_lines()) {
            (true, true) => of_source(self.polls, API_UNASKED),
            (true, false) => partly("changes between two polls are not seen, their times only to the next poll: read the log"),
            (false, true) => partly("the API did not answer: a server that hangs says nothing in the log"),
            (false, false) => no("neither the hub's log nor its API was read"),
        }
    }

    fn clients(&self) -> Visible {
        if self.shows_lines() {
            return Visible::Yes;
        }
        if self.polls.any() {
            return partly("only how many are connected at each poll: read the log, or let the event stream be joined");
        }
        no("neither the hub's log nor its API was read")
    }

    fn sessions(&self) -> Visible {
        if self.checkpoints.any() {
            return of_source(self.checkpoints, "no source shows sessions");
        }
        if self.log.any() {
            return partly("the plain log file shows the ends of sessions, not their beginnings nor what they are offered");
        }
        no("no source shows sessions; the npm hub has none")
    }

    fn pairing(&self) -> Visible {
        // A span has both ends.
        if self.instrumentation.any() {
            return of_source(self.instrumentation, TOOL_CALLS_UNSEEN);
        }
        if !self.checkpoints.any() {
            return no("no source shows the lines of meta-tool calls");
        }
        let of_console = self.shapes.contains(&LogShape::LegacyStdout) || self.shapes.contains(&LogShape::Mixed);
        if of_console || (self.stream.any() && self.plain_only()) {
            return Visible::Yes;
        }
        partly("this hub's logger drops session ids: calls that overlap are paired by the best supported guess, and say so")
    }

    fn log_volume(&self) -> Visible {
        if self.log.any() {
            return of_source(self.log, LOG_UNREAD);
        }
        if self.stream.any() {
            return partly("the event stream shows what is logged, not what the log file comes to");
        }
        no(LOG_UNREAD)
    }

    fn log_levels(&self) -> Visible {
        if self.levels {
            return if self.shapes.contains(&LogShape::LegacyFile) {
                partly("some of the log has no levels")
            } else {
                of_source(self.log, LOG_UNREAD)
            };
        }
        if self.stream.any() && (self.plain_only() || !self.log.any()) {
            return partly("levels are known of what the event stream shows, and of that only where the hub gives it levels");
        }
        if self.log.any() {
            return no("the plain log file has no levels: read the hub's standard output, or let the event stream be joined");
        }
        no(LOG_UNREAD)
    }
}

/// A source on its own: seen, but not always.
fn of_source(readings: Readings, never: &str) -> Visible {
    match (readings.any(), readings.missing_permille()) {
        (false, _) => no(never),
        (true, 0) => Visible::Yes,
        (true, missing) => Visible::Partly(format!("not seen {}.{} % of the time", missing / 10, missing % 10)),
    }
}

fn no(why: &str) -> Visible {
    Visible::No(why.to_owned())
}

fn partly(what: &str) -> Visible {
    Visible::Partly(what.to_owned())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sources(log: Visibility, shape: Option<LogShape>, stream: Visibility) -> Sources {
        let checkpoints = shape.is_some_and(|shape| shape != LogShape::LegacyFile) || stream == Visibility::Read;
        Sources {
            polls: Visibility::Read,
            log,
            log_shape: shape,
            log_read_to: None,
            log_behind: None,
            event_stream: stream,
            checkpoints: Some(checkpoints),
            process: Visibility::Off,
            instrumentation: None,
        }
    }

    fn sight(sources: Sources) -> Sight {
        let mut sight = Sight::default();
        sight.polls.add(sources.polls);
        sight.add_sources(&sources);
        sight
    }

    #[test]
    fn the_plain_log_file_shows_calls_only_beside_the_event_stream() {
        let alone = sight(sources(Visibility::Read, Some(LogShape::LegacyFile), Visibility::Off));
        assert!(matches!(alone.of(Aspect::Calls), Visible::No(why) if why.contains("event stream")));
        assert!(matches!(alone.of(Aspect::Sessions), Visible::Partly(_)));
        assert_eq!(alone.of(Aspect::HubEnds), Visible::Yes);
        let joined = sight(sources(Visibility::Read, Some(LogShape::LegacyFile), Visibility::Read));
        assert_eq!(joined.of(Aspect::Calls), Visible::Yes);
        assert_eq!(joined.of(Aspect::CallPairing), Visible::Yes);
    }

    #[test]
    fn pino_shows_calls_but_not_which_end_belongs_to_which_beginning() {
        let pino = sight(sources(Visibility::Read, Some(LogShape::Pino), Visibility::Off));
        assert_eq!(pino.of(Aspect::Calls), Visible::Yes);
        assert!(matches!(pino.of(Aspect::CallPairing), Visible::Partly(_)));
    }

    #[test]
    fn without_any_source_of_lines_little_is_seen_and_nothing_is_zero() {
        let blind = sight(sources(Visibility::Off, None, Visibility::Off));
        assert!(matches!(blind.of(Aspect::Clients), Visible::Partly(_)));
        assert!(matches!(blind.of(Aspect::Process), Visible::No(why) if why.contains("--pid")));
        let unseen = blind.blind_spots();
        assert!(unseen.iter().any(|(aspect, _)| *aspect == Aspect::LogVolume));
        assert!(unseen.iter().all(|(aspect, _)| *aspect != Aspect::Hub));
    }

    #[test]
    fn a_source_that_was_away_for_a_while_says_for_how_long() {
        let mut seen = sight(sources(Visibility::Read, Some(LogShape::Pino), Visibility::Off));
        seen.add_sources(&sources(Visibility::Missing, None, Visibility::Off));
        assert_eq!(seen.of(Aspect::HubEnds), Visible::Partly("not seen 50.0 % of the time".to_owned()));
    }

    #[test]
    fn calls_that_could_be_seen_for_an_hour_of_two_days_are_seen_in_part() {
        let mut seen = sight(sources(Visibility::Read, Some(LogShape::LegacyFile), Visibility::Read));
        (0..47).for_each(|_| seen.add_sources(&sources(Visibility::Read, Some(LogShape::LegacyFile), Visibility::Off)));
        assert_eq!(seen.of(Aspect::Calls), Visible::Partly("not seen 97.9 % of the time".to_owned()));
        assert_eq!(seen.calls_unseen_permille(), 979);
    }

    proptest! {
        #[test]
        fn every_reason_is_said(watches in proptest::collection::vec(any::<Watch>(), 0..4)) {
            let mut sight = Sight::default();
            watches.iter().for_each(|watch| sight.add(watch));
            for (aspect, visible) in sight.blind_spots() {
                let (Visible::No(why) | Visible::Partly(why)) = visible else { continue };
                prop_assert!(!why.is_empty(), "{aspect}");
            }
        }
    }
}
