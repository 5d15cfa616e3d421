//! What a second source adds to a fact that a first one showed: a better time, a level, a cause.

use serde::{Deserialize, Serialize};

use crate::hub::facts::Evidence;
use crate::hub::interpret::Interpreter;
use crate::hub::lines::line::LogLine;
use crate::hub::lines::meaning::{self, Meaning};
use crate::hub::sources::merge::{LineSource, RETENTION, Sources};
use crate::hub::sources::raw::RawLine;
use crate::hub::topics::claims::Claimed;
use crate::watch::{FactAmended, FactId, FactKind, HubFact, HubStopping, Level, LogShape, RecordUid, Text, Timestamp, When};

/// What a line led to: its facts, which another source's line of the same event may still complete.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Trace {
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
    /// They have been sent.
    Told(Vec<FactId>),
    /// They are claimed by this line, and wait to be confirmed.
    Claimed(RecordUid),
}

/// A stop whose cause is not known yet gets it.
fn complete_cause(kind: &mut FactKind, cause: Option<&Text>) {
    if let FactKind::Hub(HubFact::HubStopping(HubStopping { cause: unknown @ None, .. })) = kind {
        *unknown = cause.cloned();
    }
}

impl Interpreter {
    /// The meaning of the line, and the call that it belongs to.
    pub(in crate::hub) fn learn(&mut self, line: &LogLine<'_>, raw: &RawLine<'_>, when: When) -> Option<RecordUid> {
        self.survives_errors(line, when.latest());
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
        // Of thousands of equal lines only those with facts wait, because the sources may have different numbers of them. And
        // thousands of different warnings must not displace lines with facts.
        let may_wait = self.merge.has_room() && !matches!(meaning, Some(Meaning::ClientDisconnected(_)));
        if !facts.is_empty() || may_wait || claimed {
            let facts = if claimed { Led::Claimed(raw.uid) } else { Led::Pending(facts) };
            let trace = Trace { facts, when, grouped: line.level.is_some(), call };
            self.merge.wait(raw.source, &line.text, when, raw.read, trace);
        }
        call
    }

    pub(in crate::hub) fn news(
        &mut self,
        meaning: Option<Meaning<'_>>,
        line: &LogLine<'_>,
        raw: &RawLine<'_>,
        when: When,
    ) -> Option<RecordUid> {
        self.group(line, when.latest());
        meaning.and_then(|meaning| self.facts_of(meaning, line, raw, when))
    }

    /// The sources that show such a line, or have. What a source showed before the stream ended, another may show after: a hub that
    /// stops closes the stream before anybody looks at its log again. The plain file shows no objects.
    pub(in crate::hub) fn shown_by(&self, line: &LogLine<'_>, read: Timestamp) -> Sources {
        let joined = self.joined && !self.log_shows_everything();
        let streamed = joined || self.stream_read.is_some_and(|at| read.since(at) <= RETENTION);
        let logged = !self.no_log && (!line.object || self.log.shows_checkpoints() != Some(false));
        let sources = Sources::default().and(LineSource::Log, logged).and(LineSource::Output, self.has_output);
        sources.and(LineSource::EventStream, streamed)
    }

    /// Another source shows the same line: it may know its time or its level better, and the error that the first one can't show.
    pub(in crate::hub) fn complete(
        &mut self,
        trace: &mut Trace,
        line: &LogLine<'_>,
        source: LineSource,
        when: When,
    ) -> Option<RecordUid> {
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
    pub(in crate::hub) fn told(&mut self) {
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
                Evidence::Line(..) | Evidence::Watch | Evidence::Scenario(_) => None,
            });
            trace.facts = Led::Told(ids.collect());
        }
    }
}
