//! From lines to facts: each thing that happened on the hub becomes one fact with its time. What polls add is in `polled`.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::hub::amend::Trace;
use crate::hub::facts::Said;
use crate::hub::lines::line::{LogLine, parse};
use crate::hub::lines::mask::Mask;
use crate::hub::lines::meaning::Meaning;
use crate::hub::sources::clocks::Clocks;
use crate::hub::sources::lane::Lane;
use crate::hub::sources::merge::{LineSource, Merge};
use crate::hub::sources::stated::Stated;
use crate::hub::sources::storms::Storms;
use crate::hub::topics::calls::EndedCall;
use crate::hub::topics::calls::{Calls, Measured};
use crate::hub::topics::claims::{Claim, Claims};
use crate::hub::topics::clients::Clients;
use crate::hub::topics::held::Held;
use crate::hub::topics::hub_life::HubLife;
use crate::hub::topics::instrumented::Instrumented;
use crate::hub::topics::log::Notable;
use crate::hub::topics::requests::Requests;
use crate::hub::topics::servers::Servers;
use crate::watch::{GeminiRoundFailed, Level, RecordUid, SharedSign, Source, Text, Timestamp, When};

pub use super::facts::{Evidence, Harvest, PendingFact};
pub use super::polled::{PollAnswer, Sent};
pub use super::sources::raw::{Interpreted, RawLine};

/// All that is carried from line to line and from poll to poll.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Interpreter {
    pub(super) calls: Calls,
    /// What the durations of this interval's calls stand on.
    #[serde(default)]
    pub(super) measured: Measured,
    pub(super) servers: Servers,
    pub(super) clients: Clients,
    pub(super) hub: HubLife,
    /// The hub's clock, and ours.
    #[serde(default)]
    pub(super) clocks: Clocks,
    pub(super) log: Lane,
    /// The hub's output, where it is read beside the log.
    #[serde(default)]
    pub(super) output: Lane,
    pub(super) stream: Lane,
    /// Whether the event stream is joined.
    #[serde(skip)]
    pub(super) joined: bool,
    /// The process that it comes from, as it says.
    #[serde(skip)]
    pub(super) stream_pid: Option<u32>,
    /// When the event stream was last joined or read.
    pub(super) stream_read: Option<Timestamp>,
    /// What lines claim and nothing has confirmed yet.
    #[serde(default)]
    pub(super) claims: Claims,
    /// Lines of processes of which it is not known whether they are the hub's.
    #[serde(default)]
    pub(super) held: Held,
    /// The traces of requests and of changed configurations.
    #[serde(default)]
    pub(super) requests: Requests,
    /// The time of the last fact about a shared log, by sign.
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
    pub(super) lines_alone: bool,
    /// What lines led to that another source may show, too.
    #[serde(default)]
    pub(super) merge: Merge<Trace>,
    /// Whether the event stream's lines are all there is.
    #[serde(skip)]
    pub(super) no_log: bool,
    /// Whether the hub's output is read beside the log.
    #[serde(skip)]
    pub(super) has_output: bool,
    /// Whether lines that repeat go out one by one.
    #[serde(skip)]
    pub(super) keeps_storms: bool,
    /// Lines that repeat and whose rate is not known: they were there before the watch, or their times are known to minutes at best.
    #[serde(default)]
    pub(super) history: Storms,
    /// The earliest time that they can be of.
    #[serde(default)]
    pub(super) history_since: Option<Timestamp>,
    /// Timed lines before this are of an earlier process of the hub: they go out, but are no facts of this run.
    pub(super) facts_since: Option<Timestamp>,
    pub(super) model: Option<String>,
    pub(super) last_error: Option<(Timestamp, Text)>,
    pub(super) notable: BTreeMap<Level, BTreeMap<String, u64>>,
    /// The latest warning or error: it may come again at once, thousands of times.
    #[serde(skip)]
    pub(super) latest_notable: Option<Notable>,
    pub(super) facts: Vec<PendingFact>,
    /// What instrumentation in the hub's process tells.
    #[serde(default)]
    pub(super) instrumented: Instrumented,
    #[serde(skip)]
    pub(super) ended: Vec<EndedCall>,
    #[serde(skip)]
    pub(super) mask: Mask,
}

impl Interpreter {
    /// Knows nothing yet. The key hides session ids.
    pub fn new(key: [u8; 32]) -> Self {
        Self { mask: Mask::new(key), ..Self::default() }
    }

    /// Takes up what an earlier run of the sidecar knew.
    #[must_use]
    pub fn with_key(mut self, key: [u8; 32]) -> Self {
        self.mask = Mask::new(key);
        self.no_log = false;
        // A pipe can't be taken up: what an earlier run knew of its own says nothing of this one's.
        self.output = Lane::default();
        self
    }

    /// There is no log: the event stream's lines are all there is.
    pub fn without_log(&mut self) {
        self.no_log = true;
    }

    /// There is nothing besides lines, as in a recording: no hub will confirm or contradict what they claim, so it is taken as it
    /// stands.
    pub fn lines_alone(&mut self) {
        self.lines_alone = true;
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

    /// The Gemini model that the hub says it uses.
    pub fn model(&self) -> Option<&str> {
        self.model.as_deref()
    }

    /// Sends every line out, however often it repeats.
    pub fn keep_storms(&mut self) {
        self.keeps_storms = true;
    }

    /// Lets prompts, arguments and key-like strings out as they are.
    pub fn keep_private(&mut self) {
        self.mask.keep();
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
        let counted_with = if hidden { LineSource::Log } else { raw.source };
        // Also where nothing is known of the hub's clock: a log of last week was not written just now.
        let earlier = line.time.zip(self.facts_since).is_some_and(|(said, since)| self.clocks.ours(said) < since);
        let collapsed = self.collapses(&line, &raw, when, counted_with, earlier);
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

    pub(super) fn lane(&mut self, source: LineSource) -> &mut Lane {
        match source {
            LineSource::Log => &mut self.log,
            LineSource::Output => &mut self.output,
            LineSource::EventStream => &mut self.stream,
        }
    }

    pub(super) fn facts_of(
        &mut self,
        meaning: Meaning<'_>,
        line: &LogLine<'_>,
        raw: &RawLine<'_>,
        when: When,
    ) -> Option<RecordUid> {
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
        let stated = line.time.map(|time| Stated::new(time, when, raw.earliest, raw.read));
        let call = if concerned { self.of_call(meaning, line, stated, &mut said) } else { None };
        let ordinal = u32::try_from(said.facts.len()).unwrap_or(u32::MAX);
        if let Some(late) = stated.filter(|stated| stated.is_late() && ordinal > 0) {
            self.dated_late(raw.uid, late);
        }
        self.facts.append(&mut said.facts);
        if let Some(what) = claimed {
            let own = raw.source == LineSource::EventStream;
            let (said, earliest, read) = (line.time, raw.earliest, raw.read);
            self.claim(Claim { uid: raw.uid, ordinal, when, said, earliest, read, source, pid: line.pid, own, what });
        }
        call
    }
}

#[cfg(test)]
mod tests;
