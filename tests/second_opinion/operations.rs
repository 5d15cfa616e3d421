//! Calls of ordinary tools and requests to LLMs, as instrumentation tells them.

use std::collections::BTreeMap;

use hubwatch::watch::*;

use super::{DAY, Opinion, Period, Taken, Value, Window, facts, fraction, permille, planned_part, us, whole};

/// Operations that are judged: how many, how many failed, how long they took.
#[derive(Default)]
struct Judged {
    count: u64,
    failed: u64,
    sum: u128,
    longest: u64,
    /// How many ended in each bucket, by the bucket's end.
    ends: BTreeMap<u64, u64>,
}

impl Judged {
    fn timed(&mut self, sum: Micros, longest: Micros, durations: &Histogram) {
        self.sum += u128::from(sum.get());
        self.longest = self.longest.max(longest.get());
        for word in durations.to_string().split_whitespace() {
            let (number, count) = word.split_once(':').unwrap();
            *self.ends.entry(end_of(number.parse().unwrap())).or_default() += count.parse::<u64>().unwrap();
        }
    }

    /// By nearest rank: the end of its bucket, and not above the longest.
    fn p95(&self, of: u64) -> Value {
        let rank = (of * 95).div_ceil(100).max(1);
        let mut below = 0;
        let reached = self.ends.iter().find(|(_, count)| {
            below += **count;
            below >= rank
        });
        reached.and_then(|(end, _)| whole((*end).min(self.longest)))
    }
}

/// "Numbers below 16 are the sizes themselves; bucket `n` from 16 on holds what is not above `(9 + n % 8) * 2^(n / 8 - 1) - 1`."
fn end_of(number: u64) -> u64 {
    if number < 16 { number } else { (9 + number % 8) * 2_u64.pow(u32::try_from(number / 8 - 1).unwrap()) - 1 }
}

/// "A fact of which any part touches a planned disturbance is left out whole."
fn touches(windows: &[Window], fact: &Fact) -> bool {
    windows.iter().any(|window| window.from <= us(fact.when.latest()) && us(fact.when.earliest()) <= window.settled())
}

pub(super) fn operations(taken: &[Taken<'_>], period: Period, opinion: &mut Opinion) {
    let (mut tools, mut llm, mut answered) = (Judged::default(), Judged::default(), Judged::default());
    let (mut tokens, mut with_tokens) = (0_u64, 0);
    let windows = taken.last().map(|taken| taken.windows.as_slice()).unwrap_or_default();
    for (fact, _) in facts(taken, period).filter(|(fact, _)| !touches(windows, fact)) {
        match &fact.kind {
            FactKind::Tool(ToolFact::ToolCallsCounted(calls))
                if calls.tool.as_str() != "hub__analyze_prompt"
                    && !calls.injected
                    && calls.outcome != ToolOutcome::ClientClosed =>
            {
                tools.count += calls.count.get();
                tools.failed += if calls.outcome == ToolOutcome::Ok { 0 } else { calls.count.get() };
                tools.timed(calls.sum, calls.max, &calls.durations);
            }
            FactKind::Llm(LlmFact::LlmAttemptsCounted(attempts)) if !attempts.injected => {
                llm.count += attempts.count.get();
                tokens += attempts.input_tokens.get() + attempts.output_tokens.get();
                with_tokens += attempts.with_tokens.get();
                if attempts.outcome == LlmOutcome::Ok {
                    answered.count += attempts.count.get();
                    answered.timed(attempts.sum, attempts.max, &attempts.durations);
                } else {
                    llm.failed += attempts.count.get();
                }
            }
            _ => {}
        }
    }
    let read: u64 = taken.iter().filter(|taken| taken.is_inside()).filter_map(instrumented).sum();
    let measures = &mut opinion.measures;
    measures.insert("tools.failed_share", (permille(tools.failed, tools.count), tools.count));
    measures.insert("tools.mean", (fraction(tools.sum, u128::from(tools.count)), tools.count));
    measures.insert("tools.p95", (tools.p95(tools.count), tools.count));
    measures.insert("llm.failed_share", (permille(llm.failed, llm.count), llm.count));
    measures.insert("llm.mean", (fraction(answered.sum, u128::from(answered.count)), answered.count));
    measures.insert("llm.p95", (answered.p95(answered.count), answered.count));
    let a_day = if with_tokens > 0 { fraction(u128::from(tokens) * DAY, u128::from(read)) } else { None };
    measures.insert("llm.tokens_per_day", (a_day, with_tokens));
    opinion.calls.0 += tools.failed;
    opinion.calls.1 += tools.count;
}

/// For how long instrumentation could be read in a Watch, outside planned disturbances.
fn instrumented(taken: &Taken<'_>) -> Option<u64> {
    let (from, to) = taken.share?;
    let is_read = matches!(taken.watch.sources.instrumentation, Some(Visibility::Read | Visibility::Partial));
    is_read.then(|| to - from - planned_part(&taken.windows, from, to))
}
