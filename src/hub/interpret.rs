//! From lines to facts: each thing that happened on the hub becomes one fact with its time. What polls add is in `polled`.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::watch::{
    BreakerChanged, CategorizationFailed, ClaimKind, ClaimRefusal, ClaimsDropped, ClientConnected, ClientDisconnected, Count,
    ExposureChanged, FactAmended, FactId, FactKind, GeminiFailure, GeminiRoundFailed, HubFact, HubStopped, HubStopping, Level,
    Lines, LogFact, LogShape, LogVolume, LogWriteFailed, MarketplaceFailed, Micros, RecordUid, ServersStarted, SessionClosed,
    SessionHash, SessionOpened, SharedSign, Source, StreamJoined, StreamLeft, StreamVolume, SubscriberFailed, Text, Timestamp,
    ToolCategorized, When,
};

use super::calls::{Calls, EndedCall, LineContext};
use super::claims::{Claim, Claimed, Claims, Held, HeldLine, Requests, ServerClaim};
use super::clients::Clients;
use super::clocks::Clocks;
use super::detail::{Detail, joined};
use super::lane::{Brought, Lane};
use super::line::{LogLine, parse};
use super::mask::{self, Mask};
use super::meaning::{self, Meaning};
use super::merge::{LineSource, Merge, RETENTION, Sources};
pub use super::polled::{PollAnswer, Sent};
use super::servers::{Noticed, Servers};
use super::settle::{Identity, port_of};
use super::storms::{Storms, Untimed};

/// A line whose time is known less well than this has no rate.
const RATED: Micros = Micros::new(60_000_000);

/// What is told of lines without a rate is of this time at least.
const HISTORY: Micros = Micros::new(3600 * 1_000_000);

/// An error this shortly before the hub's stop is its cause: the fork's error helper raises SIGTERM in the same millisecond
/// (hub notes, "An invalid Gemini key stops the hub").
pub const CAUSE_WINDOW: Micros = Micros::new(50_000);

/// The hub notes its own start some milliseconds after its first line; two starts this close are one.
pub const SAME_START: Micros = Micros::new(10_000_000);

/// Kinds of warnings and errors that are told apart in one interval; further ones are counted together.
pub const MAX_TEMPLATES: usize = 64;

/// What is counted together once [`MAX_TEMPLATES`] is reached.
pub const OTHER_TEMPLATES: &str = "(other lines)";

/// A line as it was read.
#[derive(Debug, Clone, Copy)]
pub struct RawLine<'a> {
    /// What it was read from.
    pub source: LineSource,
    /// Its text, without the line end.
    pub text: &'a str,
    /// Its record.
    pub uid: RecordUid,
    /// Its length in the file, with the line end.
    pub size: u64,
    /// The time that a container's runtime gave it, if one did.
    pub stamped: Option<Timestamp>,
    /// When it was read.
    pub read: Timestamp,
    /// When the source's end was last reached before: an untimed line was written after that.
    pub earliest: Timestamp,
    /// Whether it was there before the present process of the hub: it goes out, but is no fact of this run.
    pub historic: bool,
}

/// What is known of a line after it was taken in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interpreted<'a> {
    /// When it was written.
    pub when: When,
    /// The time that it states itself, by the clock of the hub.
    pub stated: Option<Timestamp>,
    /// Its level, where it has one.
    pub level: Option<Level>,
    /// Its message with secrets masked.
    pub text: Cow<'a, str>,
    /// The whole line with secrets masked; not made for one that stands behind a count.
    pub original: Option<Cow<'a, str>>,
    /// Whether it stands behind a storm's count instead of going out.
    pub collapsed: bool,
    /// Whether its message is an object, which the legacy file can't show.
    pub object: bool,
    /// The record that began the call it belongs to.
    pub call: Option<RecordUid>,
}

/// Where a fact comes from, for its id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Evidence {
    /// A line, and which of the facts of that line it is.
    Line(RecordUid, u32),
    /// The poll or the sidecar itself: its place in the Watch.
    Watch,
}

/// A fact without its id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PendingFact {
    /// Where it comes from.
    pub evidence: Evidence,
    /// When it happened.
    pub when: When,
    /// What showed it.
    pub source: Source,
    /// What it was.
    pub kind: FactKind,
}

/// What is known of the hub's process.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct HubLife {
    /// Whether the last poll was answered; `None` before the first.
    pub(super) reachable: Option<bool>,
    pub(super) last_answered: Option<Timestamp>,
    /// When it was last looked for in vain.
    #[serde(default)]
    pub(super) last_unanswered: Option<Timestamp>,
    /// Whether a line told of a start or a stop since somebody last asked.
    #[serde(skip)]
    stirred: bool,
    pub(super) state: Option<String>,
    /// When the event stream last told it, by the hub's clock.
    #[serde(default)]
    pub(super) state_said: Option<Timestamp>,
    pub(super) pid: Option<u32>,
    /// When the present process started.
    pub(super) started: Option<When>,
    /// Whether the present process was seen to stop.
    pub(super) stopping: bool,
    pub(super) exit_reported: bool,
    pub(super) process_seen: bool,
    /// Whether a line said that it stops with its last event-stream subscriber.
    #[serde(default)]
    pub(super) stops_alone: bool,
    /// Which process the API last said that it is.
    #[serde(default)]
    pub(super) identity: Option<Identity>,
    /// The process before it.
    #[serde(default)]
    pub(super) previous: Option<u32>,
    /// What stood in its entry and was another hub's, while the hub answered.
    #[serde(default)]
    pub(super) usurper: Option<Identity>,
    /// The port that it listens on, as it says.
    #[serde(default)]
    pub(super) port: Option<u32>,
    /// Whether the present process's start was told.
    #[serde(default)]
    pub(super) start_told: bool,
    /// When the hub was last lost.
    #[serde(default)]
    pub(super) lost: Option<When>,
    /// How many polls in a row were not answered.
    #[serde(default)]
    pub(super) failures: u32,
}

/// All that is carried from line to line and from poll to poll.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Interpreter {
    pub(super) calls: Calls,
    pub(super) servers: Servers,
    pub(super) clients: Clients,
    pub(super) hub: HubLife,
    /// The hub's clock, and ours.
    #[serde(default)]
    pub(super) clocks: Clocks,
    log: Lane,
    /// The hub's output, where it is read beside the log.
    #[serde(default)]
    output: Lane,
    stream: Lane,
    /// Whether the event stream is joined.
    #[serde(skip)]
    joined: bool,
    /// The process that it comes from, as it says.
    #[serde(skip)]
    pub(super) stream_pid: Option<u32>,
    /// When the event stream was last joined or read.
    stream_read: Option<Timestamp>,
    /// What lines claim and nothing has confirmed yet.
    #[serde(default)]
    pub(super) claims: Claims,
    /// Lines of processes of which it is not known whether they are the hub's.
    #[serde(default)]
    pub(super) held: Held,
    /// The traces of requests and of changed configurations.
    #[serde(default)]
    pub(super) requests: Requests,
    /// When it was last told by which sign that the log is shared.
    #[serde(default)]
    pub(super) shared: BTreeMap<SharedSign, Timestamp>,
    /// When the log was last emptied.
    #[serde(default)]
    pub(super) log_emptied: Option<Timestamp>,
    /// Processes of which it became known that they are or were the hub, before a poll has taken that up.
    #[serde(skip)]
    pub(super) accepted: Vec<u32>,
    /// Whether there is nothing besides lines.
    #[serde(skip)]
    lines_alone: bool,
    /// What lines led to that another source may show, too.
    #[serde(default)]
    merge: Merge<Trace>,
    /// Whether there is a log beside the event stream.
    #[serde(skip)]
    has_log: bool,
    /// Whether the hub's output is read beside the log.
    #[serde(skip)]
    has_output: bool,
    /// Whether lines that repeat go out one by one.
    #[serde(skip)]
    keeps_storms: bool,
    /// Lines that repeat and whose rate is not known: they were there before the watch, or their times are known to minutes at best.
    #[serde(default)]
    history: Storms,
    /// The earliest time that they can be of.
    #[serde(default)]
    history_since: Option<Timestamp>,
    /// Timed lines before this are of an earlier process of the hub: they go out, but are no facts of this run.
    facts_since: Option<Timestamp>,
    model: Option<String>,
    pub(super) last_error: Option<(Timestamp, Text)>,
    notable: BTreeMap<Level, BTreeMap<String, u64>>,
    /// The latest warning or error: it may come again at once, thousands of times.
    #[serde(skip)]
    latest_notable: Option<Notable>,
    pub(super) facts: Vec<PendingFact>,
    #[serde(skip)]
    pub(super) ended: Vec<EndedCall>,
    #[serde(skip)]
    mask: Mask,
}

/// A warning or error, and what it is counted under.
#[derive(Debug, Clone)]
struct Notable {
    level: Level,
    text: String,
    template: String,
}

/// What a line led to: its facts, which another source's line of the same event may still complete.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Trace {
    facts: Led,
    when: When,
    grouped: bool,
    call: Option<RecordUid>,
}

/// Facts of a line.
#[derive(Debug, Clone, Serialize, Deserialize)]
enum Led {
    /// They wait for the end of the interval, at these places.
    Pending(std::ops::Range<usize>),
    /// They have been told.
    Told(Vec<FactId>),
    /// They are claimed by this line, and wait to be confirmed.
    Claimed(RecordUid),
}

/// What an interval brought, besides its poll.
#[derive(Debug)]
pub struct Harvest {
    /// The facts, in the order in which they were learned.
    pub facts: Vec<PendingFact>,
    /// What was read from the log.
    pub volume: LogVolume,
    /// In which shape.
    pub shape: Option<LogShape>,
    /// What was read from the event stream, if it was joined.
    pub stream: Option<StreamVolume>,
    /// Whether a source shows the checkpoint lines, as far as that is known.
    pub checkpoints: Option<bool>,
}

impl Interpreter {
    /// Knows nothing yet. The key hides session ids.
    pub fn new(key: [u8; 32]) -> Self {
        Self {
            calls: Calls::default(),
            servers: Servers::default(),
            clients: Clients::default(),
            hub: HubLife::default(),
            clocks: Clocks::default(),
            log: Lane::default(),
            output: Lane::default(),
            stream: Lane::default(),
            joined: false,
            stream_pid: None,
            stream_read: None,
            claims: Claims::default(),
            held: Held::default(),
            requests: Requests::default(),
            shared: BTreeMap::new(),
            log_emptied: None,
            accepted: Vec::new(),
            lines_alone: false,
            merge: Merge::default(),
            has_log: true,
            has_output: false,
            keeps_storms: false,
            history: Storms::default(),
            history_since: None,
            facts_since: None,
            model: None,
            last_error: None,
            notable: BTreeMap::new(),
            latest_notable: None,
            facts: Vec::new(),
            ended: Vec::new(),
            mask: Mask::new(key),
        }
    }

    /// Takes up what an earlier run of the sidecar knew.
    #[must_use]
    pub fn with_key(mut self, key: [u8; 32]) -> Self {
        self.mask = Mask::new(key);
        self.has_log = true;
        // A pipe can't be taken up: what an earlier run knew of its own says nothing of this one's.
        self.output = Lane::default();
        self
    }

    /// There is no log: the event stream's lines are all there is.
    pub fn without_log(&mut self) {
        self.has_log = false;
    }

    /// There is nothing besides lines, as in a recording: no hub will confirm or contradict what they claim, so it is taken as it
    /// stands.
    pub fn lines_alone(&mut self) {
        self.lines_alone = true;
    }

    /// The hub's API or its event stream says that its process is this one, before a poll has taken that up.
    pub(super) fn expect_process(&mut self, pid: u32) {
        if !self.accepted.contains(&pid) {
            self.accepted.push(pid);
        }
    }

    pub(super) const fn takes_lines_alone(&self) -> bool {
        self.lines_alone
    }

    /// The hub's output is read beside its log.
    pub fn with_output(&mut self) {
        self.has_output = true;
    }

    /// Lines of before this are no facts of this run.
    pub fn facts_since(&mut self, since: Timestamp) {
        self.facts_since = Some(self.clocks.steady(since));
    }

    /// Our clock jumped by so many microseconds. Facts are to be harvested before: they have the time that they were noticed at.
    pub fn clock_jumped(&mut self, by: i64) {
        self.clocks.jump(by);
    }

    /// How many facts wait for the end of the interval.
    pub fn pending(&self) -> usize {
        self.facts.len()
    }

    /// The Gemini model that the hub says it uses.
    pub fn model(&self) -> Option<&str> {
        self.model.as_deref()
    }

    /// The hub's process, as far as its own answers have shown it. Its entry alone can be another hub's.
    pub fn hub_pid(&self) -> Option<u32> {
        self.hub.identity.as_ref().and_then(|identity| identity.pid)
    }

    /// When the hub's present process started, as far as it is known.
    pub fn hub_started(&self) -> Option<When> {
        self.hub.started.map(|started| self.clocks.wall_when(started))
    }

    /// Something that the sidecar itself noticed.
    pub fn notice(&mut self, when: When, kind: impl Into<FactKind>) {
        let kind = kind.into();
        let when = When::between(self.clocks.steady(when.earliest()), self.clocks.steady(when.latest()));
        if matches!(kind, FactKind::Log(LogFact::LogTruncated(_))) {
            self.log_emptied = Some(when.latest());
        }
        self.facts.push(PendingFact { evidence: Evidence::Watch, when, source: Source::Sidecar, kind });
    }

    /// Sends every line out, however often it repeats.
    pub fn keep_storms(&mut self) {
        self.keeps_storms = true;
    }

    /// Lets prompts, arguments and key-like strings out as they are.
    pub fn keep_private(&mut self) {
        self.mask.keep();
    }

    /// Whether the log, or the output beside it, shows the checkpoint lines, as far as their shapes tell.
    pub fn log_shows_checkpoints(&self) -> Option<bool> {
        match (self.log.shows_checkpoints(), self.output.shows_checkpoints()) {
            (Some(true), _) | (_, Some(true)) => Some(true),
            (Some(false), None) if self.has_output => None,
            (log, _) => log,
        }
    }

    /// Whether the log says that the hub stops once its last event-stream subscriber leaves.
    ///
    /// A line that waits counts: a hub that is kept alive by us is worse than a stream that is joined a poll later.
    pub fn hub_stops_alone(&self) -> bool {
        self.hub.stops_alone || self.claims.say_that_it_stops_alone()
    }

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

    /// Whether a line told of a start or a stop of the hub since this was last asked: a reason to look at it now.
    pub fn take_stir(&mut self) -> bool {
        std::mem::take(&mut self.hub.stirred)
    }

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

    /// Takes a line in.
    pub fn line<'a>(&mut self, raw: RawLine<'a>) -> Interpreted<'a> {
        let raw = RawLine { read: self.clocks.steady(raw.read), earliest: self.clocks.steady(raw.earliest), ..raw };
        let mut line = parse(raw.text);
        line.time = line.time.or(raw.stamped);
        let written = line.time.map(|said| match raw.source {
            LineSource::EventStream => self.clocks.sent(said, raw.earliest, raw.read),
            LineSource::Log | LineSource::Output => self.clocks.written(said, raw.earliest, raw.read),
        });
        // The sources don't agree on how often a line came, so a storm is the log's; but what the log can't show is counted with it.
        let hidden = self.is_hidden_from_log(&line, raw.source);
        if raw.source == LineSource::EventStream {
            line.level = self.stream.believe_level(line.level);
            self.stream.delayed(written.map(When::latest), raw.read);
            self.stream_read = Some(raw.read);
        }
        let lane = self.lane(raw.source);
        let when = lane.when(written, &raw);
        lane.count(&line, raw.size);
        let untimed = Untimed::new(raw.text, line.time_at.clone());
        let counted_with = if hidden { LineSource::Log } else { raw.source };
        // Also where nothing is known of the hub's clock: a log of last week was not written just now.
        let earlier = line.time.zip(self.facts_since).is_some_and(|(said, since)| self.clocks.ours(said) < since);
        // A storm is a rate. Lines of an earlier process, or of a time that is not known, are collapsed and counted apart.
        let has_rate = !raw.historic && !earlier && when.width() <= RATED;
        if !has_rate {
            let earliest = if raw.historic && line.time.is_none() { Timestamp::new(0) } else { when.earliest() };
            self.history_since = Some(self.history_since.map_or(earliest, |since| since.min(earliest)));
        }
        let collapses = !self.keeps_storms;
        let storms = if has_rate { &mut self.lane(counted_with).storms } else { &mut self.history };
        let collapsed = collapses && storms.line(untimed, &line.text, raw.size, when.latest());
        if collapsed {
            self.lane(raw.source).collapsed();
        }
        let call = if raw.historic || earlier { None } else { self.learn(&line, &raw, when) };
        let original = (!collapsed).then(|| self.mask.text(raw.text));
        let text = match line.text {
            // A part of a line that holds nothing private.
            Cow::Borrowed(text) if matches!(original, Some(Cow::Borrowed(_))) => Cow::Borrowed(text),
            Cow::Borrowed(text) => self.mask.text(text),
            Cow::Owned(text) => Cow::Owned(self.mask.text(&text).into_owned()),
        };
        let when = self.clocks.wall_when(when);
        Interpreted { when, stated: line.time, level: line.level, text, original, collapsed, object: line.object, call }
    }

    fn lane(&mut self, source: LineSource) -> &mut Lane {
        match source {
            LineSource::Log => &mut self.log,
            LineSource::Output => &mut self.output,
            LineSource::EventStream => &mut self.stream,
        }
    }

    /// What the line tells about the hub; the call that it belongs to.
    pub(super) fn learn(&mut self, line: &LogLine<'_>, raw: &RawLine<'_>, when: When) -> Option<RecordUid> {
        // The hub's bare lines hold no checkpoints: it writes `[object Object]` for them. What looks like one is a server's output.
        let bare = line.shape == LogShape::LegacyFile;
        let meaning = meaning::of(&line.text).filter(|meaning| !(bare && meaning.is_checkpoint()));
        let notable = matches!(line.level, Some(Level::Warn | Level::Error));
        if meaning.is_none() && !notable && line.model.is_none() {
            return None;
        }
        if let Some(pid) = line.pid.filter(|_| raw.source != LineSource::EventStream)
            && !self.is_ours(pid)
        {
            self.of_unknown_process(pid, meaning, raw, when);
            return None;
        }
        if let Some(model) = line.model.as_deref().filter(|_| self.model.is_none()) {
            self.model = Some(model.to_owned());
        }
        if meaning.is_none() && !notable {
            return None;
        }
        let sources = self.shown_by(line, raw.read);
        if !sources.are_several() {
            return self.news(meaning, line, raw, when);
        }
        let mut merge = std::mem::take(&mut self.merge);
        let completed = merge.shown(raw.source, sources, &line.text, when, |trace| self.complete(trace, line, raw.source, when));
        self.merge = merge;
        if let Some(call) = completed {
            return call;
        }
        let first = self.facts.len();
        let call = self.news(meaning, line, raw, when);
        let facts = first..self.facts.len();
        let claimed = self.claims.of_line(raw.uid).is_some();
        // Of thousands of equal lines only those that told something wait: the sources don't agree on how many there are. Neither
        // may thousands of warnings, each another, take the place of what told something.
        let may_wait = self.merge.has_room() && !matches!(meaning, Some(Meaning::ClientDisconnected(_)));
        if !facts.is_empty() || may_wait || claimed {
            let facts = if claimed { Led::Claimed(raw.uid) } else { Led::Pending(facts) };
            let trace = Trace { facts, when, grouped: line.level.is_some(), call };
            self.merge.wait(raw.source, &line.text, when, raw.read, trace);
        }
        call
    }

    fn news(&mut self, meaning: Option<Meaning<'_>>, line: &LogLine<'_>, raw: &RawLine<'_>, when: When) -> Option<RecordUid> {
        self.group(line, when.latest());
        meaning.and_then(|meaning| self.facts_of(meaning, line, raw, when))
    }

    /// Whether the log beside this source can't show the line: objects in the plain file, and what the runtime itself writes.
    fn is_hidden_from_log(&self, line: &LogLine<'_>, source: LineSource) -> bool {
        let object = line.object && self.log.shows_checkpoints() == Some(false);
        match source {
            LineSource::Log => false,
            LineSource::Output => object || line.shape == LogShape::LegacyFile,
            LineSource::EventStream => self.has_log && object,
        }
    }

    /// The sources that show such a line, or have. What a source showed before the stream ended, another may show after: a hub that
    /// stops closes the stream before anybody looks at its log again. The plain file shows no objects.
    fn shown_by(&self, line: &LogLine<'_>, read: Timestamp) -> Sources {
        let joined = self.joined && self.log_shows_checkpoints() != Some(true);
        let streamed = joined || self.stream_read.is_some_and(|at| read.since(at) <= RETENTION);
        let logged = self.has_log && (!line.object || self.log.shows_checkpoints() != Some(false));
        let sources = Sources::default().and(LineSource::Log, logged).and(LineSource::Output, self.has_output);
        sources.and(LineSource::EventStream, streamed)
    }

    /// Another source shows the same line: it may know its time or its level better, and the error that the first one can't show.
    fn complete(&mut self, trace: &mut Trace, line: &LogLine<'_>, source: LineSource, when: When) -> Option<RecordUid> {
        let better = when.width() < trace.when.width();
        if better {
            trace.when = when;
        }
        let cause = self.cause(when.latest());
        match &trace.facts {
            Led::Pending(places) => {
                for fact in self.facts.get_mut(places.clone()).unwrap_or_default() {
                    if better {
                        fact.when = when;
                    }
                    complete_cause(&mut fact.kind, cause.as_ref());
                }
            }
            Led::Told(facts) if better => facts.iter().for_each(|fact| self.say_from_log(when, FactAmended { fact: *fact })),
            Led::Told(_) => {}
            Led::Claimed(uid) => self.complete_claim(*uid, source, better.then_some((when, line.time)), cause.as_ref()),
        }
        if !trace.grouped && line.level.is_some() {
            trace.grouped = true;
            self.group(line, when.latest());
        }
        trace.call
    }

    /// The same of a line whose facts wait to be confirmed, or were since its interval began.
    fn complete_claim(
        &mut self,
        uid: RecordUid,
        source: LineSource,
        better: Option<(When, Option<Timestamp>)>,
        cause: Option<&Text>,
    ) {
        if let Some(claim) = self.claims.of_line(uid) {
            claim.own |= source == LineSource::EventStream;
            if let Some((when, said)) = better {
                (claim.when, claim.said) = (when, said);
            }
            if let Claimed::HubStopping { cause: unknown @ None, .. } = &mut claim.what {
                *unknown = cause.cloned();
            }
            return;
        }
        for fact in self.facts.iter_mut().filter(|fact| matches!(fact.evidence, Evidence::Line(record, _) if record == uid)) {
            if let Some((when, _)) = better {
                fact.when = when;
            }
            complete_cause(&mut fact.kind, cause);
        }
    }

    /// The facts go out now: what is learned of them from now on is an amendment.
    fn told(&mut self) {
        for trace in self.merge.led_to() {
            let facts = match &trace.facts {
                Led::Pending(places) => self.facts.get(places.clone()).unwrap_or_default(),
                Led::Claimed(uid) if self.claims.of_line(*uid).is_none() => self.facts.as_slice(),
                Led::Claimed(_) | Led::Told(_) => continue,
            };
            let of = match &trace.facts {
                Led::Claimed(uid) => Some(*uid),
                Led::Pending(_) | Led::Told(_) => None,
            };
            let ids = facts.iter().filter_map(|fact| match fact.evidence {
                Evidence::Line(record, ordinal) if of.is_none_or(|uid| uid == record) => Some(FactId::of_line(record, ordinal)),
                Evidence::Line(..) | Evidence::Watch => None,
            });
            trace.facts = Led::Told(ids.collect());
        }
    }

    /// Whether the process is the hub's, as far as is known: what names none or can't be told apart is.
    fn is_ours(&self, pid: u32) -> bool {
        let known = self.hub.identity.as_ref().and_then(|identity| identity.pid);
        known.is_none_or(|known| known == pid) || self.hub.previous == Some(pid) || self.accepted.contains(&pid)
    }

    /// A line of a process that is not known to be the hub's: it may have been replaced, or it is another hub's.
    fn of_unknown_process(&mut self, pid: u32, meaning: Option<Meaning<'_>>, raw: &RawLine<'_>, when: When) {
        if meaning == Some(Meaning::HubStarting) {
            self.held.begins(pid);
        }
        if self.held.is_other(pid) {
            self.is_of_other(pid, meaning, raw.read);
            return;
        }
        let RawLine { source, text, uid, size, stamped, earliest, read, .. } = *raw;
        let line = HeldLine { pid, source, text: text.to_owned(), uid, size, stamped, earliest, read, when };
        let Some(let_go) = self.held.hold(line) else { return };
        // More than is held: the log of a long time in which nobody watched. A process that began on the hub's port was the hub.
        let on_its_port = |line: &HeldLine| {
            let text = parse(&line.text).text;
            line.pid == let_go.pid && meaning::of(&text) == Some(Meaning::HubStarting) && port_of(&text) == self.hub.port
        };
        let failed = |line: &HeldLine| line.pid == let_go.pid && line.means(Meaning::HubStartFailed);
        let began = on_its_port(&let_go) || self.held.lines().any(on_its_port);
        if self.hub.port.is_some() && began && !self.held.lines().any(failed) {
            self.accepted.push(let_go.pid);
            self.take_up(&let_go);
            for line in self.held.take_of(let_go.pid) {
                self.take_up(&line);
            }
        }
    }

    fn facts_of(&mut self, meaning: Meaning<'_>, line: &LogLine<'_>, raw: &RawLine<'_>, when: When) -> Option<RecordUid> {
        let at = when.latest();
        let source = match raw.source {
            LineSource::Log | LineSource::Output => Source::Log,
            LineSource::EventStream => Source::EventStream,
        };
        let mut said = Said { uid: raw.uid, when, source, facts: Vec::new(), ordinal: 0 };
        // What such a line claims of the hub's end is sure of the process that it names, and of the hub whose stream shows it.
        let sure = line.pid.is_some() || raw.source == LineSource::EventStream;
        let claimed = self.of_hub(meaning, line, raw, &mut said).or_else(|| self.of_server(meaning));
        self.of_client(meaning, line, &mut said);
        self.of_background(meaning, &mut said);
        if let Meaning::GeminiFailed(failure) = meaning {
            said.say(GeminiRoundFailed { failure });
            self.may_stop_the_hub(failure, line, at);
        }
        let ends_calls = matches!(meaning, Meaning::HubStarting | Meaning::HubStopping { .. });
        let concerned = meaning.concerns_calls() && (sure || !ends_calls || self.lines_alone);
        let call = if concerned { self.of_call(meaning, line, &mut said) } else { None };
        let ordinal = u32::try_from(said.facts.len()).unwrap_or(u32::MAX);
        self.facts.append(&mut said.facts);
        if let Some(what) = claimed {
            let own = raw.source == LineSource::EventStream;
            let (said, earliest, read) = (line.time, raw.earliest, raw.read);
            self.claim(Claim { uid: raw.uid, ordinal, when, said, earliest, read, source, pid: line.pid, own, what });
        }
        call
    }

    /// A claim waits for the next poll.
    fn claim(&mut self, claim: Claim) {
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
        if !self.claims.has_room_for(&claim.what)
            && let Some(oldest) = self.claims.take_oldest_of_named_process(&claim.what)
        {
            // Its line names the hub's process: it can't be another hub's, and nothing will show what was so long ago.
            self.believe(oldest);
        }
        self.claims.push(claim);
    }

    fn of_call(&mut self, meaning: Meaning<'_>, line: &LogLine<'_>, said: &mut Said) -> Option<RecordUid> {
        let session = line.session.as_deref().map(|session| SessionHash::of(session, self.mask.key()));
        let context = LineContext { uid: said.uid, at: said.when.latest(), session, data: line.data };
        let ended = self.calls.line(meaning, self.masked(&line.text).as_str(), context);
        for call in &ended {
            said.say(call.fact.clone());
        }
        self.ended.extend(ended);
        self.calls.touched()
    }

    /// The fork's error helper stops the hub after some of these, whatever level a source gives them (hub notes).
    fn may_stop_the_hub(&mut self, failure: GeminiFailure, line: &LogLine<'_>, at: Timestamp) {
        if matches!(failure, GeminiFailure::KeyInvalid | GeminiFailure::Failed) {
            self.last_error = Some((at, self.masked(&line.text)));
        }
    }

    /// What the hub does beside serving its clients.
    fn of_background(&self, meaning: Meaning<'_>, said: &mut Said) {
        match meaning {
            Meaning::Breaker(to) => said.say(BreakerChanged { to }),
            Meaning::ToolCategorized { tool, category } => {
                said.say(ToolCategorized { tool: Text::new(tool), category: Text::new(category) });
            }
            Meaning::CategorizationFailed { tool, error } => {
                said.say(CategorizationFailed { tool: Text::new(tool), error: self.masked(error) });
            }
            Meaning::MarketplaceFailed(error) => said.say(MarketplaceFailed { error: self.masked(error) }),
            Meaning::ServersStarted { up, total } => said.say(ServersStarted { up, total }),
            Meaning::SubscriberFailed(error) => said.say(SubscriberFailed { error: self.masked(error) }),
            Meaning::LogWriteFailed(error) => said.say(LogWriteFailed { error: self.masked(error) }),
            _ => {}
        }
    }

    /// The text without secrets.
    pub(super) fn masked(&self, text: &str) -> Text {
        Text::new(self.mask.text(text))
    }

    fn group(&mut self, line: &LogLine<'_>, at: Timestamp) {
        let Some(level @ (Level::Warn | Level::Error)) = line.level else { return };
        if level == Level::Error
            && self.last_error.as_ref().is_none_or(|(before, text)| *before != at || text.as_str() != line.text)
        {
            self.last_error = Some((at, self.masked(&line.text)));
        }
        let text = &*line.text;
        let latest = self.latest_notable.take().filter(|latest| latest.level == level && latest.text == text);
        let latest = latest.unwrap_or_else(|| {
            let template = mask::template(&self.mask.text(text));
            Notable { level, text: text.to_owned(), template }
        });
        let counts = self.notable.entry(level).or_default();
        if let Some(count) = counts.get_mut(&latest.template) {
            *count += 1;
        } else {
            let template = if counts.len() < MAX_TEMPLATES { latest.template.clone() } else { OTHER_TEMPLATES.to_owned() };
            *counts.entry(template).or_default() += 1;
        }
        self.latest_notable = Some(latest);
    }

    /// What the line says of the hub: told at once where the hub's own event stream says it, and claimed otherwise.
    fn of_hub(&mut self, meaning: Meaning<'_>, line: &LogLine<'_>, raw: &RawLine<'_>, said: &mut Said) -> Option<Claimed> {
        self.hub.stirred |= matches!(meaning, Meaning::HubStarting | Meaning::HubStopping { .. } | Meaning::HubStopped);
        let streamed = raw.source == LineSource::EventStream;
        match meaning {
            Meaning::HubStarting => {
                let open = self.open_connections(line, said);
                return Some(Claimed::HubStarting { port: port_of(&line.text), open, failed: false });
            }
            Meaning::HubStopping { signal } => {
                let cause = self.cause(said.when.latest());
                let signal = Text::new(signal);
                if !streamed {
                    return Some(Claimed::HubStopping { signal, cause });
                }
                self.hub.stopping = true;
                self.servers.hub_stopping();
                said.say(HubStopping { signal: Some(signal), cause });
            }
            Meaning::HubStopped if streamed => {
                self.hub.stopping = true;
                for client in self.clients.hub_ended() {
                    said.say(ClientDisconnected { client: Text::new(client) });
                }
                said.say(HubStopped {});
            }
            Meaning::HubStopped => {
                let open = self.open_connections(line, said);
                return Some(Claimed::HubStopped { open });
            }
            Meaning::ServersRestarting { done } => self.requests.restart(done, said.when),
            Meaning::ServerConfigured(server) => self.requests.configured([server.to_owned()], said.when),
            Meaning::HubStartFailed if !streamed => self.claims.start_failed(said.source, line.pid),
            Meaning::StopsAlone { now } => {
                if now {
                    self.last_error = Some((said.when.latest(), self.masked(&line.text)));
                }
                if !streamed && line.pid.is_none() {
                    return Some(Claimed::StopsAlone { now });
                }
                self.hub.stops_alone = true;
            }
            _ => {}
        }
        None
    }

    /// The connections of a process that ends: ended where the line names the process, and otherwise those that end with it if it is
    /// the hub's.
    fn open_connections(&mut self, line: &LogLine<'_>, said: &mut Said) -> BTreeMap<String, u32> {
        if line.pid.is_none() && !self.lines_alone {
            return self.clients.open();
        }
        for client in self.clients.hub_ended() {
            said.say(ClientDisconnected { client: Text::new(client) });
        }
        BTreeMap::new()
    }

    /// The error that made the hub stop at `at`.
    fn cause(&self, at: Timestamp) -> Option<Text> {
        let near = |error: &&(Timestamp, Text)| at.since(error.0) <= CAUSE_WINDOW;
        self.last_error.as_ref().filter(near).map(|(_, text)| text.clone())
    }

    pub(super) fn hub_begins(&mut self, pid: Option<u32>, when: When) {
        self.clocks.begins();
        self.hub.started = Some(when);
        self.hub.pid = pid;
        self.hub.stopping = false;
        self.hub.exit_reported = false;
        self.stream.begin_anew();
    }

    fn of_server(&self, meaning: Meaning<'_>) -> Option<Claimed> {
        Some(Claimed::Server(match meaning {
            Meaning::ServerStarting(name) => ServerClaim::Starting(Text::new(name)),
            Meaning::ServerConnected(name) => ServerClaim::Connected(Text::new(name)),
            Meaning::ServerClosed(name) => ServerClaim::Closed { server: Text::new(name), twice: false },
            Meaning::ServerFailed { server, error } => ServerClaim::Failed { server: Text::new(server), error: self.masked(error) },
            _ => return None,
        }))
    }

    fn of_client(&mut self, meaning: Meaning<'_>, line: &LogLine<'_>, said: &mut Said) {
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
            _ => {}
        }
    }

    /// The hub's process is gone: what it was doing never ended, and its connections are closed.
    pub(super) fn hub_ended(&mut self, when: When) {
        for client in self.clients.hub_ended() {
            self.say_from_log(when, ClientDisconnected { client: Text::new(client) });
        }
        let aborted = self.calls.abort(when.latest());
        for call in &aborted {
            self.say_from_log(when, call.fact.clone());
        }
        self.ended.extend(aborted);
    }

    /// The calls that ended since it was last asked; each is among the facts, too.
    pub fn ended_calls(&mut self) -> Vec<EndedCall> {
        let mut ended = std::mem::take(&mut self.ended);
        ended.iter_mut().for_each(|call| call.retime(|at| self.clocks.wall(at)));
        ended
    }

    /// Ends the interval: gives what it brought and begins to count anew.
    pub fn harvest(&mut self, now: Timestamp) -> Harvest {
        let now = self.clocks.steady(now);
        let lost = self.calls.give_up(now);
        for call in &lost {
            self.say_from_log(When::At(now), call.fact.clone());
        }
        self.ended.extend(lost);
        // The sources don't agree on how often a line came: the log is the hub's own record, and the stream stands in for it.
        let from_stream = self.stream.storms.report(now);
        let from_log = self.log.storms.report(now);
        self.output.storms.report(now);
        // Its time is told as wide as it takes for nobody to make a rate of it.
        let since = self.history_since.take().unwrap_or(now).min(now.minus(HISTORY));
        for mut storm in self.history.report(now) {
            storm.line = self.masked(storm.line.as_str());
            self.say_from_log(When::between(since.min(storm.first), now), storm);
        }
        for mut storm in if self.has_log { from_log } else { from_stream } {
            storm.line = self.masked(storm.line.as_str());
            self.say_from_log(When::between(storm.first, storm.last), storm);
        }
        for (level, counts) in std::mem::take(&mut self.notable) {
            for (template, count) in counts {
                self.say_from_log(When::At(now), Lines { level, template: Text::new(template), count: Count::new(count) });
            }
        }
        for (claim, refusals) in self.claims.take_refused() {
            for (refusal, count) in refusals {
                self.say_from_log(When::At(now), ClaimsDropped { claim, count: Count::new(count), refusal });
            }
        }
        self.told();
        let checkpoints = if self.joined { Some(true) } else { self.log_shows_checkpoints() };
        let logged = self.log.harvest(now);
        let put_out = self.output.harvest(now);
        let (volume, shape) = logged.beside(&put_out);
        let Brought { volume: streamed, max_delay, .. } = self.stream.harvest(now);
        let stream = StreamVolume { lines: streamed.lines, bytes: streamed.bytes, max_delay };
        let stream = (self.joined || streamed.lines.get() > 0).then_some(stream);
        let mut facts = std::mem::take(&mut self.facts);
        for fact in &mut facts {
            fact.when = self.clocks.wall_when(fact.when);
            self.clocks.to_wall(&mut fact.kind);
        }
        Harvest { facts, volume, shape, stream, checkpoints }
    }

    pub(super) fn say_from_log(&mut self, when: When, kind: impl Into<FactKind>) {
        self.facts.push(PendingFact { evidence: Evidence::Watch, when, source: Source::Log, kind: kind.into() });
    }
}

/// A stop whose cause is not known yet gets it.
fn complete_cause(kind: &mut FactKind, cause: Option<&Text>) {
    if let FactKind::Hub(HubFact::HubStopping(HubStopping { cause: unknown @ None, .. })) = kind {
        *unknown = cause.cloned();
    }
}

/// The facts that one line states.
pub(super) struct Said {
    pub(super) uid: RecordUid,
    pub(super) when: When,
    pub(super) source: Source,
    pub(super) facts: Vec<PendingFact>,
    /// How many facts the line has led to before.
    pub(super) ordinal: u32,
}

impl Said {
    pub(super) fn say(&mut self, kind: impl Into<FactKind>) {
        let ordinal = self.ordinal.saturating_add(u32::try_from(self.facts.len()).unwrap_or(u32::MAX));
        let evidence = Evidence::Line(self.uid, ordinal);
        self.facts.push(PendingFact { evidence, when: self.when, source: self.source, kind: kind.into() });
    }

    pub(super) fn noticed(&mut self, noticed: impl IntoIterator<Item = Noticed>) {
        for noticed in noticed {
            self.say(noticed.kind);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::watch::{ServerFact, WatcherId};

    fn at(millis: u64) -> Timestamp {
        Timestamp::parse("2026-11-23T03:40:38.000Z").unwrap().plus(Micros::new(millis * 1_000))
    }

    /// Nothing confirms or contradicts these lines.
    fn alone() -> Interpreter {
        let mut interpreter = Interpreter::new([0; 32]);
        interpreter.lines_alone();
        interpreter
    }

    /// The line as the event stream shows it.
    fn streamed(interpreter: &mut Interpreter, text: &str, millis: u64) {
        let time = format!("2026-11-23T03:40:38.{millis:03}Z");
        let line = format!(r#"{{"type":"info","message":"{text}","data":{{}},"timestamp":"{time}"}}"#);
        read(interpreter, LineSource::EventStream, &line, at(millis), at(millis));
    }

    /// The line as the file shows it, at the next look.
    fn looked_at(interpreter: &mut Interpreter, text: &str, millis: u64) {
        read(interpreter, LineSource::Log, text, at(millis.saturating_sub(250)), at(millis));
    }

    fn read(interpreter: &mut Interpreter, source: LineSource, text: &str, earliest: Timestamp, read: Timestamp) {
        let uid = RecordUid::of_line(WatcherId::from_seed(b"test"), &format!("{source:?}"), 0, read.get());
        let size = text.len() as u64;
        interpreter.line(RawLine { source, text, uid, size, stamped: None, read, earliest, historic: false });
    }

    fn facts(harvest: &Harvest) -> Vec<(When, &FactKind)> {
        let facts = harvest.facts.iter().filter(|fact| fact.source != Source::Sidecar);
        facts.map(|fact| (fact.when, &fact.kind)).collect()
    }

    const STOP: &str = "Received SIGTERM signal - initiating graceful shutdown";

    #[test]
    fn a_stop_that_the_stream_showed_before_it_closed_is_not_told_again_by_the_log() {
        let mut interpreter = alone();
        interpreter.stream_joined(at(0));
        streamed(&mut interpreter, STOP, 76);
        interpreter.stream_left("the hub closed it", at(99));
        looked_at(&mut interpreter, STOP, 250);
        looked_at(&mut interpreter, "Graceful shutdown completed successfully", 250);
        let harvest = interpreter.harvest(at(300));
        let [(stopping, FactKind::Hub(HubFact::HubStopping(_))), (_, FactKind::Hub(HubFact::HubStopped(_)))] = facts(&harvest)[..]
        else {
            panic!("{:?}", harvest.facts)
        };
        assert_eq!(stopping, When::At(at(76)));
    }

    #[test]
    fn the_stream_completes_the_time_of_what_the_log_showed_first() {
        let mut interpreter = alone();
        interpreter.stream_joined(at(0));
        looked_at(&mut interpreter, "'files' transport closed", 250);
        streamed(&mut interpreter, "'files' transport closed", 240);
        let harvest = interpreter.harvest(at(300));
        let [(closed, FactKind::Server(ServerFact::ServerChanged(_)))] = facts(&harvest)[..] else { panic!("{:?}", harvest.facts) };
        assert_eq!(closed, When::At(at(240)));
    }

    #[test]
    fn what_is_learned_of_a_fact_after_it_was_told_amends_it_whatever_the_restart() {
        let mut interpreter = alone();
        interpreter.stream_joined(at(0));
        looked_at(&mut interpreter, "'files' transport closed", 250);
        let told = interpreter.harvest(at(260));
        let Evidence::Line(record, ordinal) = told.facts.last().unwrap().evidence else { panic!("{told:?}") };
        let saved = serde_json::to_vec(&interpreter).unwrap();
        let mut interpreter: Interpreter = serde_json::from_slice::<Interpreter>(&saved).unwrap().with_key([0; 32]);
        interpreter.lines_alone();
        streamed(&mut interpreter, "'files' transport closed", 240);
        let harvest = interpreter.harvest(at(300));
        let amended = FactAmended { fact: FactId::of_line(record, ordinal) };
        assert_eq!(facts(&harvest), [(When::At(at(240)), &amended.into())]);
    }

    #[test]
    fn a_hub_that_stops_with_its_last_subscriber_says_so() {
        let mut interpreter = alone();
        looked_at(&mut interpreter, "Setting up auto shutting down", 250);
        looked_at(&mut interpreter, "Starting HTTP server on port 7000", 250);
        assert!(interpreter.hub_stops_alone());
        looked_at(&mut interpreter, "No active SSE connections, initiating shutdown", 500);
        looked_at(&mut interpreter, STOP, 500);
        let harvest = interpreter.harvest(at(600));
        let cause = harvest.facts.iter().find_map(|fact| match &fact.kind {
            FactKind::Hub(HubFact::HubStopping(stopping)) => stopping.cause.clone(),
            _ => None,
        });
        assert_eq!(cause.unwrap().as_str(), "No active SSE connections, initiating shutdown");
    }

    #[test]
    fn the_log_completes_the_level_that_the_stream_does_not_tell() {
        let mut interpreter = alone();
        interpreter.stream_joined(at(0));
        let failed = "SSE_SEND_ERROR";
        let streamed = format!(r#"{{"type":"debug","message":"{failed}","data":{{}},"timestamp":"2026-11-23T03:40:38.010Z"}}"#);
        read(&mut interpreter, LineSource::EventStream, &streamed, at(10), at(10));
        let logged = format!(r#"{{"level":"warn","time":"2026-11-23T03:40:38.010Z","msg":"{failed}"}}"#);
        read(&mut interpreter, LineSource::Log, &logged, at(0), at(250));
        let harvest = interpreter.harvest(at(300));
        let [(_, FactKind::Hub(HubFact::SubscriberFailed(_))), (_, FactKind::Log(LogFact::Lines(lines)))] = facts(&harvest)[..]
        else {
            panic!("{:?}", harvest.facts)
        };
        assert_eq!((lines.level, lines.count.get()), (Level::Warn, 1));
    }
}
