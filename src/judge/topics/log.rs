//! Measures of the log.

use super::counted;
use crate::judge::history::{Basis, History};
use crate::judge::measure::{
    ANY_TRAFFIC, Advice, Dated, Events, Kind, Measure, Measured, Row, Sentence, Unit, WhenPlanned, Worst, measures,
};

/// What to do about log lines that were lost.
const LOG_LOSSES: &str = "Keep the log readable for hubwatch all the time, and keep rotated files for some minutes.";

measures! {
    /// Times that the log could not be read or written or a part of it was lost: facts `mcphub.log.unreadable` and
    /// `mcphub.log.write_failed`, and Watches that lost bytes of it without such a fact `unreadable`. Samples: Watches at whose end the
    /// log was read.
    LOG_LOSSES: Row {
        word: "log.losses",
        unit: Unit::Count,
        kind: Kind::Happened,
        when_planned: WhenPlanned::LeftOut,
        basis: Basis::Log,
        needs: None,
        title: "log losses and read or write failures",
        label: "log failures {}",
        sentence: Sentence::Counted(
            "The log was lost, unreadable or not writable {} time",
            "The log was lost, unreadable or not writable {} times",
        ),
        dated: Dated::Never,
        events: Events::None,
        worst: Worst::None,
        advice: Advice::Do(LOG_LOSSES),
        traffic: ANY_TRAFFIC,
        measured: |history, _| log_losses(history),
    }

    /// Bytes that the log grows by in a day: the bytes of the time in which the growth is known, by that time, times a day. See "How much
    /// the log grows". No value where no Watch outside planned disturbances read the log to its end and it is not known to have grown.
    /// Samples: the polls in that time.
    LOG_GROWTH_PER_DAY: Row {
        word: "log.growth_per_day",
        unit: Unit::Bytes,
        kind: Kind::Estimated,
        when_planned: WhenPlanned::LeftOut,
        basis: Basis::Log,
        needs: None,
        title: "log growth per day",
        label: "growth per day {}",
        sentence: Sentence::Plain("The log grew by {} per day"),
        dated: Dated::Never,
        events: Events::Storms,
        worst: Worst::LogBytes,
        advice: Advice::LogGrowth,
        traffic: ANY_TRAFFIC,
        measured: |history, _| log_growth(history),
    }

    /// Lines of level error: the sum of the counts of facts `mcphub.log.lines` of that level. Lines from before the watch make no such
    /// fact.
    LOG_ERRORS: Row {
        word: "log.errors",
        unit: Unit::Count,
        kind: Kind::Happened,
        when_planned: WhenPlanned::LeftOut,
        basis: Basis::LogLevels,
        needs: None,
        title: "error lines in the log",
        label: "error lines {}",
        sentence: Sentence::Counted("{} error line in the log", "{} error lines in the log"),
        dated: Dated::Never,
        events: Events::None,
        worst: Worst::ErrorLines,
        advice: Advice::None,
        traffic: ANY_TRAFFIC,
        measured: |history, _| log_errors(history),
    }
}

const LOG_UNREAD: &str = "the hub's log was not read";

fn log_errors(history: &History) -> Measured {
    match history.log.errors {
        Some(errors) => counted(errors, history.log.judged.watches.max(1)),
        None if history.log.lines > 0 => Measured::NotVisible(
            "the plain log file has no levels: read the hub's standard output, or let the event stream be joined".to_owned(),
        ),
        None => Measured::NotVisible(LOG_UNREAD.to_owned()),
    }
}

fn log_losses(history: &History) -> Measured {
    let judged = &history.log.judged;
    if judged.watches == 0 && judged.losses == 0 {
        return Measured::NotVisible(LOG_UNREAD.to_owned());
    }
    counted(judged.losses, judged.watches.max(1))
}

fn log_growth(history: &History) -> Measured {
    let judged = &history.log.judged;
    // A log that was read in part until its file was gone grew by what was read.
    let is_unread = judged.watches == 0 && history.log.grown_bytes == 0;
    match history.log.growth_per_day() {
        _ if is_unread => Measured::NotVisible(LOG_UNREAD.to_owned()),
        Some(growth) => Measured::Value { value: growth, samples: judged.polls },
        None => Measured::TooLittle("hubwatch reached the end of the log too seldom to measure its growth".to_owned()),
    }
}
