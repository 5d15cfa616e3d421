//! The log itself: its warnings and errors, lines that repeat, and what its shape can show.

use crate::hub::interpret::Interpreter;
use crate::hub::lines::line::LogLine;
use crate::hub::lines::mask;
use crate::hub::sources::merge::LineSource;
use crate::hub::sources::raw::RawLine;
use crate::hub::sources::storms::Untimed;
use crate::watch::{Level, LogShape, Micros, Text, Timestamp, When};

/// A line whose time is known less well than this has no rate.
const RATED: Micros = Micros::new(60_000_000);

/// The shortest time of a fact about lines without a rate.
pub(in crate::hub) const HISTORY: Micros = Micros::new(3600 * 1_000_000);

/// Maximum number of different warnings and errors in one interval; further ones are counted together.
pub(crate) const MAX_TEMPLATES: usize = 64;

/// What is counted together once [`MAX_TEMPLATES`] is reached.
pub(crate) const OTHER_TEMPLATES: &str = "(other lines)";

/// A warning or error, and what it is counted under.
#[derive(Debug, Clone)]
pub(in crate::hub) struct Notable {
    level: Level,
    text: String,
    template: String,
}

impl Interpreter {
    /// Whether the log alone shows every line whole: the event stream's lines are dispensable then.
    pub(in crate::hub) fn log_shows_everything(&self) -> bool {
        self.log.shows_checkpoints() == Some(true)
    }

    /// Returns whether the event stream's lines are taken in. A log that shows everything makes them redundant: the subscription is for
    /// events that are not in lines. A missing log shows nothing.
    pub fn heeds_streamed_lines(&self, log_is_there: bool) -> bool {
        !(log_is_there && self.log_shows_everything())
    }

    /// Returns whether the log or the piped output shows the checkpoint lines, judged by their shapes.
    pub fn log_shows_checkpoints(&self) -> Option<bool> {
        match (self.log.shows_checkpoints(), self.output.shows_checkpoints()) {
            (Some(true), _) | (_, Some(true)) => Some(true),
            (Some(false), None) if self.has_output => None,
            (log, _) => log,
        }
    }

    /// Whether the line stands behind a storm's count. A storm is a rate. Lines of an earlier process, or of a time that is not known,
    /// are collapsed and counted apart.
    pub(in crate::hub) fn collapses(
        &mut self,
        line: &LogLine<'_>,
        raw: &RawLine<'_>,
        when: When,
        counted_with: LineSource,
        earlier: bool,
    ) -> bool {
        let untimed = Untimed::new(raw.text, line.time_at.clone());
        let has_rate = !raw.historic && !earlier && when.width() <= RATED;
        if !has_rate {
            let earliest = if raw.historic && line.time.is_none() { Timestamp::new(0) } else { when.earliest() };
            self.history_since = Some(self.history_since.map_or(earliest, |since| since.min(earliest)));
        }
        if self.keeps_storms {
            return false;
        }
        let storms = if has_rate { &mut self.lane(counted_with).storms } else { &mut self.history };
        let collapsed = storms.line(untimed, &line.text, raw.size, when.latest());
        if collapsed {
            self.lane(raw.source).collapsed();
        }
        collapsed
    }

    /// Whether the log beside this source can't show the line: objects in the plain file, and what the runtime itself writes.
    pub(in crate::hub) fn is_hidden_from_log(&self, line: &LogLine<'_>, source: LineSource) -> bool {
        let object = line.object && self.log.shows_checkpoints() == Some(false);
        match source {
            LineSource::Log => false,
            LineSource::Output => object || line.shape == LogShape::LegacyFile,
            LineSource::EventStream => !self.no_log && object,
        }
    }

    /// The text without secrets.
    pub(in crate::hub) fn masked(&self, text: &str) -> Text {
        Text::new(self.mask.text(text))
    }

    pub(in crate::hub) fn group(&mut self, line: &LogLine<'_>, at: Timestamp) {
        let Some(level @ (Level::Warn | Level::Error)) = line.level else { return };
        if level == Level::Error
            && self.last_error.as_ref().is_none_or(|(before, text)| *before != at || text.as_str() != line.text)
        {
            self.suspects(line, at);
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
}
