//! What happened: each thing one fact, with its time, its id and the source that showed it.

use super::ids::{FactId, SessionHash, TraceId};
use super::names;
use super::poll::{ApiOutcome, Liveness};
use super::quantity::{Bytes, Count, Micros, Timestamp};
use super::read::ReadAttributes;
use super::record::{Attributes, RecordError, record, terms};
use super::text::Text;

terms! {
    /// Where a fact was seen.
    pub enum Source {
        /// An answer of the hub's API, or its absence.
        Poll = "poll",
        /// The log file or the container's output.
        Log = "log",
        /// The hub's event stream.
        EventStream = "event_stream",
        /// The process table.
        Process = "process",
        /// The sidecar itself.
        Sidecar = "sidecar",
    }
}

/// When a fact happened: as exactly as its source can tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum When {
    /// At this instant, by the source's own time.
    At(Timestamp),
    /// Somewhere in between: the source gives no time (the legacy log file), or two polls enclose the change.
    Between {
        /// Not before.
        earliest: Timestamp,
        /// Not after.
        latest: Timestamp,
    },
}

impl When {
    /// An interval, whichever way round its ends come.
    pub fn between(one: Timestamp, other: Timestamp) -> Self {
        if one == other { Self::At(one) } else { Self::Between { earliest: one.min(other), latest: one.max(other) } }
    }

    /// The same, known not to have been after this. What can only have been later was then.
    #[must_use]
    pub fn not_after(self, latest: Timestamp) -> Self {
        Self::between(self.earliest().min(latest), self.latest().min(latest))
    }

    /// The earliest instant that it can have been.
    pub const fn earliest(self) -> Timestamp {
        match self {
            Self::At(at) => at,
            Self::Between { earliest, .. } => earliest,
        }
    }

    /// The latest instant that it can have been.
    pub const fn latest(self) -> Timestamp {
        match self {
            Self::At(at) => at,
            Self::Between { latest, .. } => latest,
        }
    }

    /// How much is unknown; a windowed criterion skips facts wider than its window.
    pub const fn width(self) -> Micros {
        self.latest().since(self.earliest())
    }
}

#[cfg(test)]
impl proptest::arbitrary::Arbitrary for When {
    type Parameters = ();
    type Strategy = proptest::strategy::BoxedStrategy<Self>;
    fn arbitrary_with((): ()) -> Self::Strategy {
        use proptest::prelude::*;
        any::<(Timestamp, Timestamp)>().prop_map(|(one, other)| Self::between(one, other)).boxed()
    }
}

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[cfg_attr(test, derive(proptest_derive::Arbitrary))]
pub struct Fact {
    /// Derived from what showed it: the same fact read twice has the same id.
    pub id: FactId,
    /// When it happened.
    pub when: When,
    /// What showed it.
    pub source: Source,
    /// What it was.
    pub kind: FactKind,
}

terms! {
    /// How a meta-tool call ended.
    pub enum CallOutcome {
        /// With categories that Gemini found.
        Ok = "ok",
        /// With the static keywords, because Gemini failed.
        Fallback = "fallback",
        /// In an error.
        Error = "error",
        /// Turned away at once: no LLM client, or no prompt.
        Refused = "refused",
        /// The hub stopped meanwhile.
        Aborted = "aborted",
        /// No end was ever logged.
        Lost = "lost",
    }
}

terms! {
    /// How the end of a call was matched with its beginning.
    pub enum Pairing {
        /// By the session id, or because it was the only call in flight.
        Exact = "exact",
        /// The best supported guess among the calls in flight: the sum of durations is right, a single one may not be.
        Guessed = "guessed",
        /// Its beginning was not seen: the call is counted, how long it took is unknown.
        Partial = "partial",
    }
}

terms! {
    /// How the Gemini part of a call ended.
    pub enum GeminiOutcome {
        /// It answered at the first try.
        Ok = "ok",
        /// It answered after at least one failed round.
        Recovered = "recovered",
        /// It never answered usefully.
        Failed = "failed",
        /// It was not asked.
        NotAsked = "not_asked",
        /// The call ended before it did.
        Unfinished = "unfinished",
        /// Its lines were not seen: the call's beginning was missed.
        Unseen = "unseen",
    }
}

terms! {
    /// Why a round of Gemini requests failed.
    pub enum GeminiFailure {
        /// HTTP 429.
        RateLimited = "rate_limited",
        /// The answer was withheld by the safety filter.
        SafetyFilter = "safety_filter",
        /// The API key is not valid: the hub then stops itself (hub notes).
        KeyInvalid = "key_invalid",
        /// Anything else.
        Failed = "failed",
    }
}

terms! {
    /// What became of the `tools/list_changed` notification of a call.
    pub enum Notification {
        /// It was sent.
        Sent = "sent",
        /// Nothing had changed.
        Skipped = "skipped",
        /// Sending it failed.
        Failed = "failed",
        /// There was no client to send it to.
        NoClient = "no_client",
    }
}

terms! {
    /// The level of a line.
    pub enum Level {
        /// `trace` and `debug`.
        Debug = "debug",
        /// `info`.
        Info = "info",
        /// `warn`.
        Warn = "warn",
        /// `error` and `fatal`.
        Error = "error",
    }
}

terms! {
    /// Why a server changed, as far as the hub shows it.
    pub enum ChangeCause {
        /// Nobody asked for it: the server failed, or the hub acted by itself.
        Unprompted = "unprompted",
        /// Somebody asked for it through the hub's API: a start, a stop, a disable, a restart.
        Requested = "requested",
        /// The configuration changed.
        Configured = "configured",
        /// The whole hub stopped, started or went away.
        Hub = "hub",
        /// Nothing tells: a request through the hub's API leaves its trace in the event stream alone, and that was not heard.
        Unknown = "unknown",
    }
}

terms! {
    /// What lines of text claim and only the API, the process table or the event stream can confirm.
    pub enum ClaimKind {
        /// That the hub started.
        HubStart = "hub_start",
        /// That the hub stops or stopped.
        HubStop = "hub_stop",
        /// That a server changed.
        ServerChange = "server_change",
    }
}

terms! {
    /// Why a claim was not believed.
    pub enum ClaimRefusal {
        /// The line names another process than the hub's.
        OtherProcess = "other_process",
        /// The API shows the opposite.
        Contradicted = "contradicted",
        /// The hub's list has no such server.
        NotListed = "not_listed",
        /// Nothing confirmed it in time.
        Unconfirmed = "unconfirmed",
        /// More claims waited for confirmation than are kept.
        TooMany = "too_many",
    }
}

terms! {
    /// What shows that another hub writes into the log as well.
    pub enum SharedSign {
        /// Lines of another process.
        OtherProcess = "other_process",
        /// A start or stop that the watched hub's API contradicts.
        ForeignStart = "foreign_start",
    }
}

record! {
    /// The hub's process started.
    pub struct HubStarted {
        /// Its process id, where the source says.
        pub pid: Option<u32> = names::PROCESS_PID,
    }
}
record! {
    /// The hub began to stop.
    pub struct HubStopping {
        /// The signal that it says it received.
        pub signal: Option<Text> = names::SIGNAL,
        /// What led to it, from the lines just before.
        pub cause: Option<Text> = names::CAUSE,
    }
}
record! {
    /// The hub said its last words: a graceful stop.
    pub struct HubStopped {}
}
record! {
    /// The hub's process ended without a word, or was replaced by another.
    pub struct HubExited {
        /// The process that is gone.
        pub pid: Option<u32> = names::PROCESS_PID,
        /// What led to it, as far as anything tells.
        pub cause: Option<Text> = names::CAUSE,
    }
}
record! {
    /// The API stopped answering.
    pub struct HubUnreachable {
        /// How the request failed.
        pub outcome: ApiOutcome = names::HEALTH_OUTCOME,
    }
}
record! {
    /// The API answers (again).
    pub struct HubReachable {
        /// Whether another process answers than before; absent where that can't be told.
        pub restarted: Option<bool> = names::RESTARTED,
    }
}
record! {
    /// The hub's own state changed.
    pub struct HubStateChanged {
        /// Before.
        pub from: Text = names::FROM,
        /// Now.
        pub to: Text = names::TO,
    }
}
record! {
    /// A server changed, as judged.
    pub struct ServerChanged {
        /// Which.
        pub server: Text = names::SERVER_NAME,
        /// Before.
        pub from: Liveness = names::FROM,
        /// Now.
        pub to: Liveness = names::TO,
        /// Why we think so.
        pub reason: Text = names::REASON,
        /// Who or what brought it about. Absent in what earlier versions wrote: read it as unprompted.
        pub cause: Option<ChangeCause> = names::CHANGE_CAUSE,
    }
}

impl ServerChanged {
    /// Whether nobody asked for the change: the server failed or recovered, or the hub acted by itself.
    pub fn is_unprompted(&self) -> bool {
        self.cause.unwrap_or(ChangeCause::Unprompted) == ChangeCause::Unprompted
    }
}

record! {
    /// A server could not be started.
    pub struct ServerStartFailed {
        /// Which.
        pub server: Text = names::SERVER_NAME,
        /// What the hub says about it.
        pub error: Text = names::SERVER_ERROR,
    }
}
record! {
    /// The number of a server's tools changed.
    pub struct ToolsChanged {
        /// Which server.
        pub server: Text = names::SERVER_NAME,
        /// Before.
        pub from: u32 = names::FROM,
        /// Now.
        pub to: u32 = names::TO,
    }
}
record! {
    /// An MCP client connected.
    pub struct ClientConnected {
        /// The name that it gave itself.
        pub client: Text = names::CLIENT_NAME,
    }
}
record! {
    /// An MCP client disconnected: once, however often the hub says it.
    pub struct ClientDisconnected {
        /// The name that it gave itself.
        pub client: Text = names::CLIENT_NAME,
    }
}
record! {
    /// A session began, with its tool exposure set up.
    pub struct SessionOpened {
        /// Which, where the source says.
        pub session: Option<SessionHash> = names::SESSION,
        /// The categories of tools that it begins with, separated by commas, where the source says.
        pub categories: Option<Text> = names::CATEGORIES,
    }
}
record! {
    /// What a session is offered changed.
    pub struct ExposureChanged {
        /// Which session.
        pub session: Option<SessionHash> = names::SESSION,
        /// The categories that came in addition, separated by commas.
        pub added: Text = names::CATEGORIES_ADDED,
        /// All its categories now.
        pub categories: Text = names::CATEGORIES,
    }
}
record! {
    /// A session's state was cleaned up.
    pub struct SessionClosed {
        /// Which, where the source says.
        pub session: Option<SessionHash> = names::SESSION,
    }
}
record! {
    /// A meta-tool call ended (or was given up).
    pub struct CallEnded {
        /// When it began; where its beginning was missed, when it was first seen.
        pub started: Timestamp = names::CALL_STARTED,
        /// How long it took. Absent where its beginning was missed: such a call is seen in part.
        pub duration: Option<Micros> = names::CALL_DURATION,
        /// How it ended.
        pub outcome: CallOutcome = names::CALL_OUTCOME,
        /// How sure it is that this end belongs to that beginning.
        pub pairing: Pairing = names::CALL_PAIRING,
        /// Calls in flight when it ended, itself included.
        pub in_flight: u32 = names::CALL_IN_FLIGHT,
        /// How its Gemini part ended.
        pub gemini: GeminiOutcome = names::CALL_GEMINI,
        /// How long the Gemini part took, retries included.
        pub gemini_duration: Option<Micros> = names::CALL_GEMINI_DURATION,
        /// Failed rounds; of a call seen in part, those that were seen.
        pub gemini_failed_rounds: u32 = names::CALL_GEMINI_FAILED_ROUNDS,
        /// Why the last of them failed.
        pub gemini_failure: Option<GeminiFailure> = names::GEMINI_FAILURE,
        /// What became of the notification.
        pub notification: Option<Notification> = names::CALL_NOTIFICATION,
        /// Which session, where the source says.
        pub session: Option<SessionHash> = names::SESSION,
        /// The call's own trace.
        pub trace: TraceId = names::CALL_TRACE,
        /// The categories that the analysis found, separated by commas, where the source says.
        pub categories: Option<Text> = names::CALL_CATEGORIES,
        /// Whether all of these are among those that the hub knows, where the source says both.
        pub categories_known: Option<bool> = names::CALL_CATEGORIES_KNOWN,
        /// How many of them were new to the session, where the source says.
        pub categories_added: Option<u32> = names::CALL_CATEGORIES_ADDED,
        /// How sure the analysis was, in thousandths, where the source says.
        pub confidence: Option<u32> = names::CALL_CONFIDENCE,
        /// Whether the response had all its parts (categories, confidence, reasoning, message), where the source shows it.
        pub response_complete: Option<bool> = names::CALL_RESPONSE_COMPLETE,
    }
}
record! {
    /// A round of Gemini requests failed.
    pub struct GeminiRoundFailed {
        /// Why.
        pub failure: GeminiFailure = names::GEMINI_FAILURE,
    }
}
terms! {
    /// The state of the circuit breaker before the LLM that sorts tools into categories.
    pub enum Breaker {
        /// Requests go through.
        Closed = "closed",
        /// Requests are refused.
        Open = "open",
        /// A request is tried.
        HalfOpen = "half_open",
    }
}

record! {
    /// The circuit breaker changed.
    pub struct BreakerChanged {
        /// Now.
        pub to: Breaker = names::TO,
    }
}
record! {
    /// The LLM sorted a tool into a category, in the background.
    pub struct ToolCategorized {
        /// Which tool.
        pub tool: Text = names::TOOL,
        /// Into which category.
        pub category: Text = names::CATEGORY,
    }
}
record! {
    /// The LLM could not sort a tool.
    pub struct CategorizationFailed {
        /// Which tool.
        pub tool: Text = names::TOOL,
        /// Why.
        pub error: Text = names::ERROR,
    }
}
record! {
    /// The marketplace's registry can't be had: the hub goes on without.
    pub struct MarketplaceFailed {
        /// What the hub says about it.
        pub error: Text = names::ERROR,
    }
}
record! {
    /// The hub has started its servers.
    pub struct ServersStarted {
        /// How many are up.
        pub up: u32 = names::SERVERS_UP,
        /// Of how many.
        pub total: u32 = names::SERVERS_TOTAL,
    }
}
record! {
    /// The connection to an event-stream subscriber broke.
    pub struct SubscriberFailed {
        /// What the hub says about it.
        pub error: Text = names::ERROR,
    }
}
record! {
    /// The hub could not write its log.
    pub struct LogWriteFailed {
        /// What it says about it.
        pub error: Text = names::ERROR,
    }
}
record! {
    /// We joined the hub's event stream.
    pub struct StreamJoined {}
}
record! {
    /// We are no longer in the hub's event stream.
    pub struct StreamLeft {
        /// Why.
        pub reason: Text = names::REASON,
    }
}
record! {
    /// The same line again and again. It is collapsed: a few samples went out, the rest is this count.
    pub struct Storm {
        /// The line's text.
        pub line: Text = names::LINE,
        /// How often it came since the storm was last reported.
        pub count: Count = names::COUNT,
        /// How many bytes that was.
        pub bytes: Bytes = names::BYTES,
        /// The first of these lines.
        pub first: Timestamp = names::FIRST,
        /// The last of these lines.
        pub last: Timestamp = names::LAST,
        /// What such a storm is known to mean, if it is a known one.
        pub means: Option<Text> = names::MEANS,
    }
}
record! {
    /// Warnings or errors of one kind during the interval, grouped by their text with its numbers, ids and paths masked.
    pub struct Lines {
        /// Their level.
        pub level: Level = names::LEVEL,
        /// The masked text.
        pub template: Text = names::TEMPLATE,
        /// How many.
        pub count: Count = names::COUNT,
    }
}
record! {
    /// The log file was emptied: every hub does that to its legacy file when it starts.
    pub struct LogTruncated {
        /// Bytes that were in it and that nobody had read, as far as it can be known.
        pub bytes: Bytes = names::BYTES,
    }
}
record! {
    /// Another file stands under the log's name.
    pub struct LogReplaced {
        /// Its path.
        pub path: Text = names::PATH,
    }
}
record! {
    /// Lines claimed that the watched hub or one of its servers started, stopped or changed, and the hub did not confirm it: another
    /// hub that writes the same log, or a server whose output looks like the hub's lines.
    pub struct ClaimsDropped {
        /// What they claimed.
        pub claim: ClaimKind = names::CLAIM,
        /// How many lines.
        pub count: Count = names::COUNT,
        /// Why they were not believed.
        pub refusal: ClaimRefusal = names::CLAIM_REFUSAL,
    }
}
record! {
    /// Another hub writes into the log as well: all hubs of a user do, unless they are told otherwise.
    pub struct LogShared {
        /// What shows it.
        pub sign: SharedSign = names::SHARED_SIGN,
        /// The other process, where its lines name it.
        pub pid: Option<u32> = names::PROCESS_PID,
    }
}
record! {
    /// The journal was damaged: what could be read of it is kept, the file itself set aside.
    pub struct JournalRecovered {
        /// Where it was set aside.
        pub path: Text = names::PATH,
        /// What is wrong with it.
        pub reason: Text = names::REASON,
        /// How many rows could be read.
        pub rows: Count = names::COUNT,
    }
}
terms! {
    /// The halves of what a run leaves for the next one.
    pub enum StateHalf {
        /// How far the sources were read.
        Position = "position",
        /// What was known of the hub: its servers, clients, calls in flight.
        Knowledge = "knowledge",
    }
}

record! {
    /// A part of the last run's state could not be read: it begins anew.
    pub struct StateLost {
        /// Which half.
        pub half: StateHalf = names::STATE_HALF,
        /// Why.
        pub reason: Text = names::REASON,
    }
}
record! {
    /// The log file can't be read.
    pub struct LogUnreadable {
        /// Its path.
        pub path: Text = names::PATH,
        /// Why.
        pub reason: Text = names::REASON,
    }
}
record! {
    /// The time of a fact that was told before is known better now: it is this record's own.
    pub struct FactAmended {
        /// Which fact.
        pub fact: FactId = names::FACT_AMENDED,
    }
}
record! {
    /// The sidecar started.
    pub struct WatcherStarted {
        /// Whether it took up an earlier run of its state folder.
        pub resumed: bool = names::RESUMED,
    }
}
record! {
    /// The sidecar ended on purpose.
    pub struct WatcherStopped {
        /// What made it stop: a signal, or the end of the period.
        pub reason: Text = names::REASON,
    }
}
record! {
    /// The wall clock jumped by more than a second.
    pub struct ClockJumped {
        /// By how many microseconds; negative is into the past.
        pub jump: i64 = names::JUMP,
    }
}

record! {
    /// The sidecar's process stood still (suspended, or without processor time) for longer than a poll may be late: what happened
    /// meanwhile was not watched. The interval ends where it was last awake; the next one begins after it.
    pub struct WatcherStoodStill {
        /// For how long.
        pub length: Micros = names::STOOD_STILL,
    }
}
record! {
    /// Somebody announced a disturbance: what happens until its end is planned.
    pub struct MarkBegan {
        /// What it is called: the name of a scenario, or any other.
        pub name: Text = names::MARK,
    }
}
record! {
    /// A disturbance that was announced is over.
    pub struct MarkEnded {
        /// What it is called.
        pub name: Text = names::MARK,
    }
}
record! {
    /// A scenario looked whether something held.
    pub struct ScenarioChecked {
        /// Which scenario.
        pub scenario: Text = names::SCENARIO,
        /// What should hold.
        pub check: Text = names::CHECK,
        /// Whether it did.
        pub held: bool = names::HELD,
        /// What was seen.
        pub detail: Option<Text> = names::DETAIL,
    }
}
record! {
    /// What the configuration says differently from the built-in rules: one rule in the configuration's own form. Told in the
    /// first Watch of each slot, so that a report made elsewhere judges by the same.
    pub struct RuleStated {
        /// The rule, as TOML.
        pub rule: Text = names::RULE,
    }
}

/// Makes the enum of all kinds of facts, each with the name of its event.
macro_rules! facts {
    ($($(#[$doc:meta])* $kind:ident = $name:literal,)+) => {
        /// What happened. Each kind is an event of the watch span.
        #[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
        #[expect(missing_docs, reason = "each variant is documented at the record that it holds")]
        pub enum FactKind { $($kind($kind),)+ }

        impl FactKind {
            /// The event names of all kinds.
            pub const NAMES: &'static [&'static str] = &[$($name,)+];

            /// The name of the event.
            pub const fn name(&self) -> &'static str {
                match self { $(Self::$kind(_) => $name,)+ }
            }

            /// Writes what this kind holds.
            pub fn write(&self, to: &mut Attributes) {
                match self { $(Self::$kind(record) => record.write(to),)+ }
            }

            /// Reads the kind that an event's name stands for; `None` for a name that this version does not know.
            pub fn read(name: &str, from: &ReadAttributes<'_>) -> Option<Result<Self, RecordError>> {
                match name { $($name => Some($kind::read(from).map(Self::$kind)),)+ _ => None }
            }
        }

        // A derived one nests all kinds in one type, which outgrows the stack of a test.
        #[cfg(test)]
        impl proptest::arbitrary::Arbitrary for FactKind {
            type Parameters = ();
            type Strategy = proptest::strategy::BoxedStrategy<Self>;
            fn arbitrary_with((): ()) -> Self::Strategy {
                use proptest::prelude::*;
                proptest::strategy::Union::new([$(any::<$kind>().prop_map(Self::$kind).boxed(),)+]).boxed()
            }
        }

        $(impl From<$kind> for FactKind {
            fn from(record: $kind) -> Self {
                Self::$kind(record)
            }
        })+
    };
}

facts! {
    HubStarted = "mcphub.hub.started",
    HubStopping = "mcphub.hub.stopping",
    HubStopped = "mcphub.hub.stopped",
    HubExited = "mcphub.hub.exited",
    HubUnreachable = "mcphub.hub.unreachable",
    HubReachable = "mcphub.hub.reachable",
    HubStateChanged = "mcphub.hub.state_changed",
    ServerChanged = "mcphub.server.changed",
    ServerStartFailed = "mcphub.server.start_failed",
    ToolsChanged = "mcphub.server.tools_changed",
    ClientConnected = "mcphub.client.connected",
    ClientDisconnected = "mcphub.client.disconnected",
    SessionOpened = "mcphub.session.opened",
    ExposureChanged = "mcphub.session.exposure_changed",
    SessionClosed = "mcphub.session.closed",
    CallEnded = "mcphub.call.ended",
    GeminiRoundFailed = "mcphub.gemini.round_failed",
    BreakerChanged = "mcphub.breaker.changed",
    ToolCategorized = "mcphub.tool.categorized",
    CategorizationFailed = "mcphub.tool.categorization_failed",
    MarketplaceFailed = "mcphub.marketplace.failed",
    ServersStarted = "mcphub.servers.started",
    SubscriberFailed = "mcphub.event_stream.subscriber_failed",
    LogWriteFailed = "mcphub.log.write_failed",
    StreamJoined = "mcphub.event_stream.joined",
    StreamLeft = "mcphub.event_stream.left",
    Storm = "mcphub.log.storm",
    Lines = "mcphub.log.lines",
    LogTruncated = "mcphub.log.truncated",
    LogReplaced = "mcphub.log.replaced",
    LogUnreadable = "mcphub.log.unreadable",
    ClaimsDropped = "mcphub.log.claims_dropped",
    LogShared = "mcphub.log.shared",
    FactAmended = "mcphub.fact.amended",
    WatcherStarted = "hubwatch.started",
    WatcherStopped = "hubwatch.stopped",
    ClockJumped = "hubwatch.clock_jumped",
    WatcherStoodStill = "hubwatch.stood_still",
    MarkBegan = "hubwatch.mark.began",
    MarkEnded = "hubwatch.mark.ended",
    ScenarioChecked = "hubwatch.scenario.checked",
    RuleStated = "hubwatch.rule",
    JournalRecovered = "hubwatch.journal_recovered",
    StateLost = "hubwatch.state_lost",
}
