//! The measures, topic by topic: each is one row, and what computes it stands below.

mod calls;
mod checks;
mod clients;
mod hub;
mod llm;
mod log;
mod process;
mod scenario;
mod servers;
mod tools;

pub(super) use scenario::Degradations;

use super::exact::Exact;
use super::measure::{Measure, Measured};

/// The topics' measures, in the order in which a report lists them.
pub(super) const TOPICS: [&[Measure]; 10] = [
    servers::MEASURES,
    calls::MEASURES,
    llm::MEASURES,
    tools::MEASURES,
    log::MEASURES,
    process::MEASURES,
    hub::MEASURES,
    clients::MEASURES,
    checks::MEASURES,
    scenario::MEASURES,
];

/// What to do about sessions that stay open.
const SESSIONS_LEFT: &str = "Find out why sessions stay open after their clients disconnect.";

/// How to see whether sessions are isolated.
const TWO_CLIENTS: &str = "This check needs traffic: connect two clients at once, and let each of them choose its own tools.";

/// How to have the steps of a scenario checked.
const ANY_STEPS: &str = "Let scenarios act on the hub: `hubwatch scenario run`.";

fn counted(value: u64, samples: u64) -> Measured {
    Measured::Value { value: Exact::whole(value), samples }
}

/// A count or a sum from polls and facts: without a poll it is not visible, unless there is a fact.
fn happened(value: u64, polls: u64, why: &str) -> Measured {
    if value == 0 && polls == 0 { Measured::NotVisible(why.to_owned()) } else { counted(value, polls) }
}

/// A mean, a share or a peak; without a sample there is no value.
fn valued(value: Option<Exact>, samples: u64, why: &str) -> Measured {
    match value {
        Some(value) => Measured::Value { value, samples },
        None => Measured::NotVisible(why.to_owned()),
    }
}

/// The sum, saturating: what comes from a backend can be anything.
fn total(values: impl Iterator<Item = u64>) -> u64 {
    values.fold(0, u64::saturating_add)
}

const NEVER_ANSWERED: &str = "the hub never answered";
