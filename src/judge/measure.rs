//! What can be measured: a measure is one row of [`topics`](super::topics), and this is what a row consists of.
//!
//! A row says everything about its measure: its name, what it means, how it is computed, and what the report says about it. So a new
//! measure is a new row, and the compiler names each column that the row lacks.

use std::borrow::Cow;
use std::sync::LazyLock;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::exact::Exact;
use super::features::Feature;
use super::history::{Basis, History};
use super::topics::{Degradations, TOPICS};
use crate::watch::terms;

/// A number that criteria can be set on: a pointer to its row.
#[derive(Clone, Copy)]
pub struct Measure(pub(super) &'static Row);

/// The row of a measure. The unit is part of its meaning.
pub struct Row {
    /// The name in criteria, configurations and reports. It never changes.
    pub word: &'static str,
    /// The exact definition, line by line: the row's own documentation.
    pub definition: &'static [&'static str],
    /// The unit of the number.
    pub unit: Unit,
    /// Whether more data could make it less.
    pub kind: Kind,
    /// Whether what happens in planned disturbances counts.
    pub when_planned: WhenPlanned,
    /// The source that it stands on: a pass needs that to be read for most of the period.
    pub basis: Basis,
    /// What a hub must have for it: without that, the measure is not applicable.
    pub needs: Option<Feature>,
    /// What it is, for people.
    pub title: &'static str,
    /// The same beside a criterion's title, so shorter. `{}` stands for the value.
    pub label: &'static str,
    /// What the report says about a value beyond its limit.
    pub sentence: Sentence,
    /// The time that this sentence ends with.
    pub dated: Dated,
    /// The events behind the value, which the report lists as evidence.
    pub events: Events,
    /// Where to look if there are no events: the worst moments.
    pub worst: Worst,
    /// What to do about a value beyond its limit.
    pub advice: Advice,
    /// What to do if nothing happened that it could be measured on.
    pub traffic: &'static str,
    /// Computes it.
    pub(super) measured: fn(&History, &Degradations) -> Measured,
}

/// Declares the measures of a topic: rows, each with its documentation as the definition.
macro_rules! measures {
    ($($(#[doc = $line:literal])+ $name:ident: $row:ident { $($column:tt)* })+) => {
        impl Measure {
            $($(#[doc = $line])+ pub const $name: Self = Self(&$row { definition: &[$($line),+], $($column)* });)+
        }

        /// The topic's measures, in the order in which a report lists them.
        pub(super) const MEASURES: &[Measure] = &[$(Measure::$name),+];
    };
}
pub(super) use measures;

/// What to do if nothing happened that most measures could be measured on.
pub(super) const ANY_TRAFFIC: &str = "These checks need traffic during the period.";

impl Measure {
    /// Returns every measure, in the order in which a report lists them.
    pub fn all() -> impl Iterator<Item = Self> {
        TOPICS.iter().flat_map(|topic| topic.iter().copied())
    }

    /// Returns the measure of a name.
    pub fn parse(word: &str) -> Option<Self> {
        Self::all().find(|measure| measure.word == word)
    }

    /// Returns what it came to. What can't exist on this hub is not applicable; but what was seen is judged.
    pub(super) fn measure(self, history: &History, degradations: &Degradations) -> Measured {
        let why_not = self.needs.and_then(|feature| history.features.lacks(feature));
        match ((self.measured)(history, degradations), why_not) {
            (
                Measured::NotVisible(_) | Measured::NotVerifiable(_) | Measured::NotExercised(_) | Measured::TooLittle(_),
                Some(why),
            ) => Measured::NotApplicable(why.to_owned()),
            (measured, _) => measured,
        }
    }
}

/// A measure is read as its row: `measure.unit`.
impl std::ops::Deref for Measure {
    type Target = Row;

    fn deref(&self) -> &Row {
        self.0
    }
}

impl PartialEq for Measure {
    fn eq(&self, other: &Self) -> bool {
        self.word == other.word
    }
}

impl Eq for Measure {}

impl std::fmt::Debug for Measure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.word)
    }
}

impl std::fmt::Display for Measure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.word)
    }
}

impl Serialize for Measure {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.word)
    }
}

/// All names, for the error that an unknown one gets.
static WORDS: LazyLock<Vec<&str>> = LazyLock::new(|| Measure::all().map(|measure| measure.0.word).collect());

impl<'de> Deserialize<'de> for Measure {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let word = Cow::<str>::deserialize(deserializer)?;
        Self::parse(&word).ok_or_else(|| serde::de::Error::unknown_variant(&word, &WORDS))
    }
}

impl JsonSchema for Measure {
    fn schema_name() -> Cow<'static, str> {
        "Measure".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let words = Self::all().map(|measure| {
            let lines: Vec<&str> = measure.definition.iter().map(|line| line.trim()).collect();
            json_schema!({ "description": lines.join("\n"), "type": "string", "const": measure.word })
        });
        json_schema!({
            "description": "A number that criteria can be set on. The unit is part of its meaning.",
            "oneOf": words.collect::<Vec<_>>(),
        })
    }
}

terms! {
    /// What a measure's number counts.
    pub enum Unit {
        /// Microseconds.
        Micros = "µs",
        /// Thousandths of a whole.
        Permille = "permille",
        /// Bytes.
        Bytes = "bytes",
        /// Bytes an hour.
        BytesPerHour = "bytes/h",
        /// Bare numbers.
        Count = "count",
    }
}

/// Whether more data could make a value less.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A count, a sum or the most of something: it has happened, however little else is known.
    Happened,
    /// A mean, a share, a percentile or a rate: what was not seen could have made it less.
    Estimated,
}

/// Whether what happens in planned disturbances counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WhenPlanned {
    /// It counts like everything else.
    Counts,
    /// It is left out.
    LeftOut,
}

/// What the report says about a value beyond its limit. `{}` stands for the value, `{names}` for the names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sentence {
    /// One text for every value.
    Plain(&'static str),
    /// A text for the value 1, and one for every other.
    Counted(&'static str, &'static str),
    /// The same with names.
    CountedOf(Names, &'static str, &'static str),
    /// A text for one name, and one for several whose values were added up.
    SummedOver(Names, &'static str, &'static str),
}

/// Who a sentence is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Names {
    /// The servers that were down outside planned windows.
    DownServers,
    /// The servers that disconnected outside planned disturbances.
    DisconnectedServers,
    /// The degradation criteria that failed.
    FailedScenarios,
}

/// When it happened, where that is one instant or has a first one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dated {
    /// It is a figure of the whole period, or nothing dates it.
    Never,
    /// By the first outage of a server outside planned windows.
    ServerOutages,
    /// By the first outage of a server that disconnected outside planned disturbances.
    Disconnections,
    /// By the first outage of the hub outside planned windows.
    HubOutages,
    /// By the first stop of the hub's process outside planned disturbances, with its cause.
    HubStops,
    /// By the last failed Gemini round, with what failed.
    LastFailedRound,
    /// By the first failed step of this scenario, with the number of its runs and the steps, each with the link of a known defect.
    FailedSteps(&'static str),
    /// By the highest point of [`Worst`].
    Peak,
}

/// Events that show a value: evidence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Events {
    /// There are none: a mean or a share has no event.
    None,
    /// The outages of the servers that should work.
    ServerOutages,
    /// The outages of the hub.
    HubOutages,
    /// The stops of the hub's process.
    HubStops,
    /// The last Gemini rounds that failed.
    FailedRounds,
    /// Lines that the log repeated.
    Storms,
    /// The events behind the degradation criteria that failed.
    FailedScenarios,
    /// The steps of this scenario that failed.
    FailedSteps(&'static str),
}

/// The worst moments of a measure without events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Worst {
    /// None is known.
    None,
    /// The slowest calls.
    SlowestCalls,
    /// The calls that failed.
    FailedCalls,
    /// The most processor time.
    Cpu,
    /// The most memory.
    Memory,
    /// The slowest answer of the API.
    Api,
    /// The most error lines.
    ErrorLines,
    /// The most bytes of log.
    LogBytes,
    /// The most clients.
    Clients,
}

/// What to do about a value beyond its limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Advice {
    /// Nothing is known to help.
    None,
    /// Always the same.
    Do(&'static str),
    /// It depends on each server's outages.
    Servers,
    /// It depends on what stopped the hub.
    Hub,
    /// It depends on how the last Gemini round failed.
    Gemini,
    /// It depends on whether lines were repeated.
    LogGrowth,
    /// It depends on whether a leak is proven.
    Memory,
}

/// What a measure came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Measured {
    /// A value and how many samples it stands on.
    Value {
        /// In the measure's unit, not rounded.
        value: Exact,
        /// How many samples.
        samples: u64,
    },
    /// The sources at hand can't show it.
    NotVisible(String),
    /// Scenarios tried, and none of their steps could be verified.
    NotVerifiable(String),
    /// Nothing happened that it could have been measured on.
    NotExercised(String),
    /// There is something to measure, but not enough of it.
    TooLittle(String),
    /// It doesn't apply: the memory limit of a hub that has none.
    NotApplicable(String),
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_measure_has_a_name_of_its_own_by_which_it_is_found() {
        let words: BTreeSet<&str> = Measure::all().map(|measure| measure.0.word).collect();
        assert_eq!(words.len(), Measure::all().count());
        Measure::all().for_each(|measure| assert_eq!(Measure::parse(measure.word), Some(measure)));
        assert_eq!(Measure::parse("servers.down_times"), None);
    }

    #[test]
    fn each_row_has_a_definition_and_words_with_a_place_for_the_value() {
        for measure in Measure::all() {
            let definition: String = measure.definition.concat();
            assert!(definition.trim_end().ends_with('.') && !measure.title.is_empty() && !measure.traffic.is_empty(), "{measure}");
            assert_eq!(measure.label.matches("{}").count(), 1, "{measure}");
            let texts = match measure.sentence {
                Sentence::Plain(text) => vec![text],
                Sentence::Counted(one, many) => vec![one, many],
                Sentence::CountedOf(_, one, many) | Sentence::SummedOver(_, one, many) => {
                    assert!([one, many].iter().all(|text| text.contains("{names}")), "{measure}");
                    vec![one, many]
                }
            };
            // The value 1 can be said in a word.
            assert!(texts.last().unwrap().contains("{}"), "{measure}");
        }
    }

    #[test]
    fn only_a_measure_with_a_highest_point_is_dated_by_it() {
        for measure in Measure::all().filter(|measure| measure.dated == Dated::Peak) {
            assert!(!matches!(measure.worst, Worst::None | Worst::SlowestCalls | Worst::FailedCalls), "{measure}");
        }
    }
}
