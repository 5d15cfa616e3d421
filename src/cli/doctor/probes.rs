//! What becomes of traces on their way to a backend: probes are written, and read back.

use std::time::Duration;

use prost::Message as _;
use tokio::time::Instant;

use super::backend::{PERIOD, advice};
use super::finding::Finding;
use crate::backend::probe::{Difference, Probe};
use crate::backend::{Backend, BackendError, Trace};
use crate::base::secret;
use crate::cli::{CliError, period_source};
use crate::export::response::ExportResult;
use crate::export::{Destination, SpawnError};
use crate::journal::Signal;
use crate::watch::{Timestamp, TraceId};

/// How long probes may take to come back: backends and Collectors batch for seconds.
pub(super) const DEFAULT_WAIT: Duration = Duration::from_secs(30);

/// How often it is looked whether they are there.
const LOOK: Duration = Duration::from_millis(500);

/// Small traces, of which a sampler would keep some: one that keeps nine of ten loses none of twenty once in eight times.
const SMALL_PROBES: u32 = 20;

/// A trace of the size at which hubwatch goes on in the next one: 2 MB, a span for each poll of a quarter-hour.
const LARGE_SPANS: u32 = 60;
const LARGE_EVENTS: u32 = 32;

/// A report made at once should find the last minute of the period.
const SLOW: Duration = Duration::from_secs(60);

/// What was written.
struct Probes {
    small: Vec<Probe>,
    large: Probe,
    old: Probe,
}

impl Probes {
    fn new(seed: u64) -> Self {
        let now = Timestamp::now();
        let small = (0..SMALL_PROBES).map(|number| Probe::new(seed, number, now, 1, 1)).collect();
        let large = Probe::new(seed, SMALL_PROBES, now, LARGE_SPANS, LARGE_EVENTS);
        let old = Probe::new(seed, SMALL_PROBES + 1, now.minus(PERIOD), 1, 1);
        Self { small, large, old }
    }

    fn all(&self) -> impl Iterator<Item = &Probe> {
        self.small.iter().chain([&self.large, &self.old])
    }
}

/// Writes probes, and says what became of them. What the receiver doesn't take is a finding, and so is what can't be read back.
pub(super) async fn examine(backend: &dyn Backend, to: &Destination, seed: u64, wait: Duration) -> Result<Vec<Finding>, CliError> {
    let probes = Probes::new(seed);
    let Some(transport) = to.transport(Signal::Traces).map_err(SpawnError::from)? else {
        return Ok(vec![Finding::wrong("writing", "traces go nowhere", "let traces go to a destination, too")]);
    };
    let (mut findings, mut written) = (Vec::new(), Vec::new());
    for probe in probes.all() {
        let answer = transport.send(Signal::Traces, probe.request().encode_to_vec().into()).await;
        // A receiver that is away, or takes none of the smallest, takes no other.
        let ends = !matches!(
            answer,
            ExportResult::Accepted | ExportResult::Partial { .. } | ExportResult::TooLarge(_) | ExportResult::Exhausted(_)
        );
        match refused(answer, to) {
            None => written.push(*probe),
            Some(refused) if findings.contains(&refused) => {}
            Some(refused) => findings.push(refused),
        }
        if ends {
            break;
        }
    }
    if written.is_empty() {
        return Ok(findings);
    }
    if findings.is_empty() {
        let receiver = secret::without_credentials(to.endpoint());
        findings.push(Finding::ok("writing", format!("{receiver} takes traces by OTLP")));
    }
    findings.extend(arrival(&probes, &read_back(backend, written, wait).await, wait));
    Ok(findings)
}

/// Why the receiver did not take a probe.
fn refused(answer: ExportResult, to: &Destination) -> Option<Finding> {
    let receiver = secret::without_credentials(to.endpoint());
    let (seen, advice) = match answer {
        ExportResult::Accepted => return None,
        ExportResult::Partial { message, .. } => {
            (format!("{receiver} refused probe spans: {message}"), "look at the receiver's limits")
        }
        ExportResult::Retry { why, .. } => {
            return Some(Finding::unreachable(
                "writing",
                format!("{receiver} does not take traces: {why}"),
                "look at the address and at the protocol: gRPC is port 4317 by custom, HTTP is 4318",
            ));
        }
        ExportResult::TooLarge(why) => {
            (format!("{receiver} takes no request of 2 MB: {why}"), "raise its limit for a request's size")
        }
        ExportResult::Exhausted(why) => (format!("{receiver} has no room: {why}"), "look at its limits and its memory"),
        ExportResult::Unauthorized(why) => (format!("{receiver} wants other credentials: {why}"), "set OTEL_EXPORTER_OTLP_HEADERS"),
        ExportResult::Bad(why) | ExportResult::Rejected(why) => {
            (format!("{receiver} refuses traces: {why}"), "look at the path and at the receiver's pipelines")
        }
    };
    Some(Finding::wrong("writing", seen, advice))
}

/// Why a probe could not be read, and what to do about it.
#[derive(Debug, Clone)]
struct Problem {
    told: String,
    advice: &'static str,
}

/// A probe, and what came back of it by the last look.
struct Seen {
    probe: Probe,
    trace: Trace,
    /// How long after it was written it was there.
    after: Option<Duration>,
    /// Why it could not be read at the last look.
    problem: Option<Problem>,
}

impl Seen {
    fn is_whole(&self) -> bool {
        // A large trace may come in pieces.
        let spans = self.trace.spans.iter().flat_map(|resource| &resource.scope_spans).map(|scope| scope.spans.len());
        spans.sum::<usize>() as u64 >= u64::from(self.probe.spans)
    }

    fn came(&self) -> bool {
        self.after.is_some()
    }
}

/// Asks for each probe until it is there, or the time is over.
async fn read_back(backend: &dyn Backend, written: Vec<Probe>, wait: Duration) -> Vec<Seen> {
    let begun = Instant::now();
    let mut looks = tokio::time::interval(LOOK);
    let unseen = |probe| Seen { probe, trace: Trace::default(), after: None, problem: None };
    let mut all: Vec<Seen> = written.into_iter().map(unseen).collect();
    let bar = period_source::progress(all.len() as u64, "reading the probes back: {pos} of {len} {bar:30}");
    loop {
        looks.tick().await;
        look(backend, &mut all, begun).await;
        bar.set_position(all.iter().filter(|seen| seen.is_whole()).count() as u64);
        if all.iter().all(Seen::is_whole) || begun.elapsed() >= wait {
            bar.finish_and_clear();
            return all;
        }
    }
}

/// Asks for each that isn't there yet.
async fn look(backend: &dyn Backend, all: &mut [Seen], begun: Instant) {
    let mut gone: Option<Problem> = None;
    for seen in all.iter_mut().filter(|seen| !seen.is_whole()) {
        // A server that is gone after several tries is gone for the others, too.
        seen.problem = gone.clone();
        if gone.is_some() {
            continue;
        }
        match backend.trace(seen.probe.id).await {
            Ok(trace) if trace.spans.is_empty() => {}
            Ok(trace) => {
                seen.trace = trace;
                seen.after = Some(begun.elapsed());
            }
            Err(error) => {
                seen.problem = Some(Problem { told: error.to_string(), advice: advice(&error) });
                if matches!(error, BackendError::Unreachable { .. }) {
                    gone = seen.problem.clone();
                }
            }
        }
    }
}

fn arrival(probes: &Probes, all: &[Seen], wait: Duration) -> Vec<Finding> {
    let wait = wait.as_secs();
    let mut findings = Vec::new();
    let failed: Vec<&Problem> = all.iter().filter_map(|seen| seen.problem.as_ref()).collect();
    if let Some(Problem { told, advice }) = failed.first() {
        let seen = format!("{} of {} probes could not be read: {told}", failed.len(), all.len());
        findings.push(Finding::unreachable("reading back", seen, *advice));
    }
    if !all.iter().any(Seen::came) {
        if failed.is_empty() {
            let advice = "is this the backend behind that receiver? Look for a tenant, a sampler, and at the Collector's own log";
            findings.push(Finding::wrong("reading back", format!("no probe came back within {wait} s"), advice));
        }
        return findings;
    }
    let of = |id: TraceId| all.iter().find(|seen| seen.probe.id == id);
    let small: Vec<&Seen> = probes.small.iter().filter_map(|probe| of(probe.id)).collect();
    findings.extend(sampling(&small, wait));
    let came: Vec<&Seen> = small.into_iter().filter(|seen| seen.came()).collect();
    if let Some(delay) = came.iter().filter_map(|seen| seen.after).max() {
        findings.push(of_delay(delay));
        let differences: Vec<Difference> = came.iter().flat_map(|seen| seen.probe.compare(&seen.trace)).collect();
        findings.push(content("content", differences, "times, numbers, and texts of 1 KiB come back as they were"));
    }
    findings.extend(of(probes.large.id).map(of_large));
    findings.extend(of(probes.old.id).and_then(of_old));
    findings
}

/// Of those that could be asked for.
fn sampling(small: &[&Seen], wait: u64) -> Option<Finding> {
    let asked: Vec<_> = small.iter().filter(|seen| seen.problem.is_none() || seen.came()).collect();
    let (came, of) = (asked.iter().filter(|seen| seen.came()).count(), asked.len());
    if of == 0 {
        return None;
    }
    if came == of {
        return Some(Finding::ok("sampling", format!("all {of} small probes came back")));
    }
    let advice = "a sampler drops traces on the way: keep the watch as otel-config/collector/tail-sampling.yaml does";
    Some(Finding::wrong("sampling", format!("{came} of {of} small probes came back within {wait} s"), advice))
}

fn of_delay(delay: Duration) -> Finding {
    let told = format!("the probes were there after {:.1} s", delay.as_secs_f64());
    if delay < SLOW {
        Finding::ok("delay", told)
    } else {
        Finding::note("delay", told, "wait that long after the period before the report is made")
    }
}

fn of_large(seen: &Seen) -> Finding {
    let limit = "raise the backend's limit for a trace's size";
    match &seen.problem {
        _ if seen.came() => content("size", seen.probe.compare(&seen.trace), "a trace of 2 MB comes back whole"),
        Some(Problem { told, .. }) => Finding::wrong("size", format!("a trace of 2 MB can't be read back: {told}"), limit),
        None => Finding::wrong("size", "a trace of 2 MB did not come back", limit),
    }
}

fn of_old(seen: &Seen) -> Option<Finding> {
    if seen.came() {
        return Some(Finding::ok("late data", "a trace of 48 hours ago is taken"));
    }
    // That it can't be read was said.
    seen.problem.is_none().then(|| {
        Finding::wrong(
            "late data",
            "a trace of 48 hours ago did not come back",
            "its retention is shorter than the period, or it refuses what is late: raise the retention",
        )
    })
}

fn content(check: &'static str, mut differences: Vec<Difference>, well: &str) -> Finding {
    differences.dedup();
    let Some(first) = differences.first() else { return Finding::ok(check, well) };
    let (seen, advice) = match first {
        Difference::Spans { came, of } => (format!("{came} of {of} spans came back"), "raise the limit for a trace's size"),
        Difference::Events { came, of } => {
            (format!("{came} of {of} events of a span came back"), "raise the limit for a span's events")
        }
        Difference::Text { came, of } => (
            format!("a text of {of} bytes came back with {came}"),
            "raise the limit for an attribute's size to 2,048 bytes or more",
        ),
        Difference::Value(what) => (format!("a {what} came back as something else"), "something on the way changes attributes"),
        Difference::Time => ("a time came back as another".to_owned(), "something on the way changes times"),
    };
    Finding::wrong(check, seen, advice)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::doctor::finding::Outcome;

    #[test]
    fn a_delay_that_a_report_made_at_once_would_suffer_from_is_noted() {
        assert_eq!(of_delay(Duration::from_secs(59)).outcome, Outcome::Ok);
        let late = of_delay(Duration::from_secs(75));
        assert_eq!((late.outcome, late.seen.as_str()), (Outcome::Note, "the probes were there after 75.0 s"));
        assert!(late.advice.is_some_and(|advice| advice.contains("wait that long")));
    }
}
