//! Measures of requests to LLMs, which instrumentation of the hub shows.

use super::valued;
use crate::judge::exact::Exact;
use crate::judge::features::Feature;
use crate::judge::history::{Basis, History, LlmHistory};
use crate::judge::measure::{Advice, Dated, Events, Kind, Measure, Measured, Row, Sentence, Unit, WhenPlanned, Worst, measures};

/// How to see them.
const NOT_INSTRUMENTED: &str = "no source of the hub shows single requests to the LLM and their tokens: start the hub with \
     `hubwatch instrument node`, and `hubwatch run` with --receive";

/// How to make some.
const LLM_REQUESTS: &str = "These checks need traffic: let a client call the meta-tool during the period.";

/// What to do about slow or failed attempts.
const LOOK_AT_ATTEMPTS: &str =
    "Look at the traces of the failed and slowest LLM attempts (section 5), and at the provider's status page.";

/// What to do about too many tokens.
const FEWER_TOKENS: &str = "Find out which clients call the meta-tool so often, or raise [budget] tokens_per_day.";

measures! {
    /// Failed attempts to ask an LLM (`mcphub.llm.outcome` is not `ok`), for a thousand; injected ones are left out. Each HTTP request is an
    /// attempt of its own, retries included. A fact `mcphub.llm.attempts_counted` of which any part touches a planned disturbance is left
    /// out whole. Samples: the attempts.
    LLM_FAILED_SHARE: Row {
        word: "llm.failed_share",
        unit: Unit::Permille,
        kind: Kind::Estimated,
        when_planned: WhenPlanned::LeftOut,
        basis: Basis::Instrumentation,
        needs: Some(Feature::Gemini),
        title: "failed LLM attempts",
        label: "failed LLM attempts {}",
        sentence: Sentence::Plain("{} of LLM attempts failed"),
        dated: Dated::Never,
        events: Events::None,
        worst: Worst::None,
        advice: Advice::Do(LOOK_AT_ATTEMPTS),
        traffic: LLM_REQUESTS,
        measured: |history, _| judged(history, |llm| llm.judged, |llm| Exact::permille(llm.failed, llm.judged)),
    }

    /// The mean duration of the attempts of `llm.failed_share` that were answered (`ok`), in µs.
    LLM_MEAN: Row {
        word: "llm.mean",
        unit: Unit::Micros,
        kind: Kind::Estimated,
        when_planned: WhenPlanned::LeftOut,
        basis: Basis::Instrumentation,
        needs: Some(Feature::Gemini),
        title: "LLM attempt, average",
        label: "average {}",
        sentence: Sentence::Plain("The LLM answered after {} on average"),
        dated: Dated::Never,
        events: Events::None,
        worst: Worst::None,
        advice: Advice::Do(LOOK_AT_ATTEMPTS),
        traffic: LLM_REQUESTS,
        measured: |history, _| judged(history, |llm| llm.answered, LlmHistory::mean),
    }

    /// The duration that 95 of 100 of the attempts of `llm.mean` keep to (µs), by nearest rank: the end of its bucket
    /// (docs/telemetry.md), at most an eighth above it, and not above the longest.
    LLM_P95: Row {
        word: "llm.p95",
        unit: Unit::Micros,
        kind: Kind::Estimated,
        when_planned: WhenPlanned::LeftOut,
        basis: Basis::Instrumentation,
        needs: Some(Feature::Gemini),
        title: "LLM attempt, p95",
        label: "p95 {}",
        sentence: Sentence::Plain("The LLM answered within {} at p95"),
        dated: Dated::Never,
        events: Events::None,
        worst: Worst::None,
        advice: Advice::Do(LOOK_AT_ATTEMPTS),
        traffic: LLM_REQUESTS,
        measured: |history, _| judged(history, |llm| llm.answered, |llm| llm.p95_us.map(Exact::whole)),
    }

    /// Tokens a day: those of prompts and of answers (thinking included) of the attempts of `llm.failed_share`, at the rate of the time in
    /// which instrumentation could be read outside planned disturbances (`coverage.sources.instrumentation_us`). Samples: the attempts that
    /// told their tokens.
    LLM_TOKENS_PER_DAY: Row {
        word: "llm.tokens_per_day",
        unit: Unit::Count,
        kind: Kind::Estimated,
        when_planned: WhenPlanned::LeftOut,
        basis: Basis::Instrumentation,
        needs: Some(Feature::Gemini),
        title: "tokens a day",
        label: "tokens a day {}",
        sentence: Sentence::Plain("The hub used {} tokens a day"),
        dated: Dated::Never,
        events: Events::None,
        worst: Worst::None,
        advice: Advice::Do(FEWER_TOKENS),
        traffic: LLM_REQUESTS,
        measured: |history, _| judged(history, |llm| llm.tokens.attempts, LlmHistory::per_day),
    }

    /// The share of `[budget] tokens_per_day` that `llm.tokens_per_day` is, in thousandths.
    LLM_BUDGET_USED: Row {
        word: "llm.budget_used",
        unit: Unit::Permille,
        kind: Kind::Estimated,
        when_planned: WhenPlanned::LeftOut,
        basis: Basis::Instrumentation,
        needs: Some(Feature::Gemini),
        title: "share of the token budget",
        label: "token budget used {}",
        sentence: Sentence::Plain("The hub used {} of its token budget"),
        dated: Dated::Never,
        events: Events::None,
        worst: Worst::None,
        advice: Advice::Do(FEWER_TOKENS),
        traffic: LLM_REQUESTS,
        measured: |history, _| match judged(history, |llm| llm.tokens.attempts, LlmHistory::per_day) {
            Measured::Value { samples, .. } => valued(history.llm.budget_used(), samples, NO_BUDGET),
            unknown => unknown,
        },
    }
}

const NO_BUDGET: &str = "there is no budget to hold the tokens against: set [budget] tokens_per_day in hubwatch.toml";

/// What is measured on judged attempts, of which there are so many.
fn judged(history: &History, count: impl Fn(&LlmHistory) -> u64, of: impl Fn(&LlmHistory) -> Option<Exact>) -> Measured {
    let llm = &history.llm;
    match count(llm) {
        0 if history.coverage.sources.instrumentation_us == 0 => Measured::NotVisible(NOT_INSTRUMENTED.to_owned()),
        0 => Measured::NotExercised("no such request to an LLM was made".to_owned()),
        samples => valued(of(llm), samples, NOT_INSTRUMENTED),
    }
}
