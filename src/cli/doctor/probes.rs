//! Checks the way to a backend: writes probe traces, and reads them back.

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

/// The default time for probes to come back: backends and Collectors batch for seconds.
pub(super) const DEFAULT_WAIT: Duration = Duration::from_secs(30);

/// The polling interval.
const LOOK: Duration = Duration::from_millis(500);

/// Number of small traces, to detect a sampler: one that keeps 90 % goes undetected with a probability of 12 %.
const SMALL_PROBES: u32 = 20;

/// The largest trace that hubwatch writes: 2 MB, with one span for each poll of a quarter-hour.
const LARGE_SPANS: u32 = 60;
const LARGE_EVENTS: u32 = 32;

/// A report at the end of the period would lack the last minute with a longer delay than this.
const SLOW: Duration = Duration::from_secs(60);

/// The probes.
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

/// Writes the probes and reads them back. Rejected and missing probes are findings.
pub(super) async fn examine(backend: &dyn Backend, to: &Destination, seed: u64, wait: Duration) -> Result<Vec<Finding>, CliError> {
    let probes = Probes::new(seed);
    let Some(transport) = to.transport(Signal::Traces).map_err(SpawnError::from)? else {
        return Ok(vec![Finding::wrong("writing", "no destination receives traces", "configure a destination for traces")]);
    };
    let (mut findings, mut written) = (Vec::new(), Vec::new());
    for probe in probes.all() {
        let answer = transport.send(Signal::Traces, probe.request().encode_to_vec().into()).await;
        // If the receiver is unreachable or rejects a small probe, it takes no other.
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

/// Returns the finding for a rejected probe.
fn refused(answer: ExportResult, to: &Destination) -> Option<Finding> {
    let receiver = secret::without_credentials(to.endpoint());
    let (seen, advice) = match answer {
        ExportResult::Accepted => return None,
        ExportResult::Partial { message, .. } => {
            (format!("{receiver} rejected probe spans: {message}"), "check the receiver's limits")
        }
        ExportResult::Retry { why, .. } => {
            return Some(Finding::unreachable(
                "writing",
                format!("{receiver} can't be reached: {why}"),
                "check the address and the protocol: port 4317 is usually gRPC, port 4318 HTTP",
            ));
        }
        ExportResult::TooLarge(why) => {
            (format!("{receiver} takes no request of 2 MB: {why}"), "raise its limit for the size of a request")
        }
        ExportResult::Exhausted(why) => (format!("{receiver} is overloaded: {why}"), "check its limits and its memory"),
        ExportResult::Unauthorized(why) => (format!("{receiver} rejects the credentials: {why}"), "set OTEL_EXPORTER_OTLP_HEADERS"),
        ExportResult::Bad(why) | ExportResult::Rejected(why) => {
            (format!("{receiver} rejects traces: {why}"), "check the path and the receiver's pipelines")
        }
    };
    Some(Finding::wrong("writing", seen, advice))
}

/// Why a probe could not be read, and the next step.
#[derive(Debug, Clone)]
struct Problem {
    reason: String,
    advice: &'static str,
}

/// A probe, and what has come back of it.
struct Seen {
    probe: Probe,
    trace: Trace,
    /// The time until it came back.
    after: Option<Duration>,
    /// The error of the last attempt.
    problem: Option<Problem>,
}

impl Seen {
    fn is_whole(&self) -> bool {
        // A large trace may arrive in pieces.
        let spans = self.trace.spans.iter().flat_map(|resource| &resource.scope_spans).map(|scope| scope.spans.len());
        spans.sum::<usize>() as u64 >= u64::from(self.probe.spans)
    }

    fn came(&self) -> bool {
        self.after.is_some()
    }
}

/// Requests the probes until all are there, or the time is over.
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

/// Requests those that are not there yet.
async fn look(backend: &dyn Backend, all: &mut [Seen], begun: Instant) {
    let mut gone: Option<Problem> = None;
    for seen in all.iter_mut().filter(|seen| !seen.is_whole()) {
        // A server that is unreachable after several retries is not asked for the others.
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
                seen.problem = Some(Problem { reason: error.to_string(), advice: advice(&error) });
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
    if let Some(Problem { reason, advice }) = failed.first() {
        let seen = format!("{} of {} probes could not be read: {reason}", failed.len(), all.len());
        findings.push(Finding::unreachable("reading back", seen, *advice));
    }
    if !all.iter().any(Seen::came) {
        if failed.is_empty() {
            let advice =
                "check that this is the backend behind that receiver, its tenant, samplers on the way, and the Collector's own log";
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
        findings.push(content("content", differences, "times, numbers, and texts of 1 KiB come back unchanged"));
    }
    findings.extend(of(probes.large.id).map(of_large));
    findings.extend(of(probes.old.id).and_then(of_old));
    findings
}

/// Returns the finding on sampling, from the probes that could be requested.
fn sampling(small: &[&Seen], wait: u64) -> Option<Finding> {
    let asked: Vec<_> = small.iter().filter(|seen| seen.problem.is_none() || seen.came()).collect();
    let (came, of) = (asked.iter().filter(|seen| seen.came()).count(), asked.len());
    if of == 0 {
        return None;
    }
    if came == of {
        return Some(Finding::ok("sampling", format!("all {of} small probes came back")));
    }
    let advice =
        "a sampler drops traces on the way: exclude the watch from sampling, as in otel-config/collector/tail-sampling.yaml";
    Some(Finding::wrong("sampling", format!("{came} of {of} small probes came back within {wait} s"), advice))
}

fn of_delay(delay: Duration) -> Finding {
    let seen = format!("the probes were there after {:.1} s", delay.as_secs_f64());
    if delay < SLOW {
        Finding::ok("delay", seen)
    } else {
        Finding::note("delay", seen, "wait that long after the period before you make the report")
    }
}

fn of_large(seen: &Seen) -> Finding {
    let limit = "raise the backend's limit for the size of a trace";
    match &seen.problem {
        _ if seen.came() => content("size", seen.probe.compare(&seen.trace), "a trace of 2 MB comes back whole"),
        Some(Problem { reason, .. }) => Finding::wrong("size", format!("a trace of 2 MB can't be read back: {reason}"), limit),
        None => Finding::wrong("size", "a trace of 2 MB did not come back", limit),
    }
}

fn of_old(seen: &Seen) -> Option<Finding> {
    if seen.came() {
        return Some(Finding::ok("late data", "a trace from 48 hours ago comes back"));
    }
    // The error is reported by another finding.
    seen.problem.is_none().then(|| {
        Finding::wrong(
            "late data",
            "a trace from 48 hours ago did not come back",
            "its retention is shorter than the period, or it rejects late data: raise the retention",
        )
    })
}

fn content(check: &'static str, mut differences: Vec<Difference>, well: &str) -> Finding {
    differences.dedup();
    let Some(first) = differences.first() else { return Finding::ok(check, well) };
    let (seen, advice) = match first {
        Difference::Spans { came, of } => (format!("{came} of {of} spans came back"), "raise the limit for the size of a trace"),
        Difference::Events { came, of } => {
            (format!("{came} of {of} events of a span came back"), "raise the limit for the events of a span")
        }
        Difference::Text { came, of } => (
            format!("a text of {of} bytes came back with {came}"),
            "raise the limit for the length of an attribute to 2,048 bytes or more",
        ),
        Difference::Value(what) => {
            (format!("a {what} came back with another value"), "check the processors on the way: one changes attributes")
        }
        Difference::Time => ("a time came back changed".to_owned(), "check the processors on the way: one changes times"),
    };
    Finding::wrong(check, seen, advice)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::doctor::finding::Outcome;

    #[test]
    fn a_delay_of_more_than_a_minute_is_noted() {
        assert_eq!(of_delay(Duration::from_secs(59)).outcome, Outcome::Ok);
        let late = of_delay(Duration::from_secs(75));
        assert_eq!((late.outcome, late.seen.as_str()), (Outcome::Note, "the probes were there after 75.0 s"));
        assert!(late.advice.is_some_and(|advice| advice.contains("wait that long")));
    }
}
