//! Whether a backend can be read, and what becomes of traces on their way to it.

use std::time::Duration;

use prost::Message as _;
use tokio::time::Instant;

use super::DoctorArgs;
use super::finding::Finding;
use crate::backend::probe::{Difference, Probe};
use crate::backend::{Backend, BackendError, Trace};
use crate::cli::{CliError, reading};
use crate::config::backend::Chosen;
use crate::config::destinations::Flags;
use crate::config::environment::Environment;
use crate::config::{self, Layers};
use crate::export::answer::Answer;
use crate::export::{Destination, SpawnError};
use crate::journal::{JournalReader, Signal};
use crate::watch::{Micros, Slot, Timestamp, TraceId};

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

/// Clocks further apart than this make a period's ends uncertain.
const SKEW: i64 = 5;

/// The period of the strategy: a trace that is as old as its beginning must be there at its end.
const PERIOD: Micros = Micros::new(48 * 3600 * 1_000_000);

/// Looks at a backend, and at the way to it if a receiver is named.
pub(super) async fn examine(
    args: &DoctorArgs,
    chosen: &Chosen,
    wait: Duration,
    layers: &Layers<impl Environment>,
) -> Result<Vec<Finding>, CliError> {
    let backend = match chosen.open() {
        Ok(backend) => backend,
        Err(error @ BackendError::Settings(_)) => return Err(error.into()),
        Err(error) => return Ok(vec![unreadable(&error)]),
    };
    let seed = Timestamp::now().get();
    let mut findings = vec![match backend.trace(TraceId::of_probe(seed, u32::MAX)).await {
        Ok(trace) if trace.spans.is_empty() => Finding::ok("reading", format!("{} answers as it should", backend.name())),
        Ok(_) => Finding::wrong("reading", "it gave a trace that nobody wrote", "it is no trace backend"),
        Err(error) => return Ok(vec![unreadable(&error)]),
    }];
    findings.extend(backend.clock_offset().map(clock));
    let destinations = layers.destinations(Flags { endpoint: args.otlp.as_deref(), protocol: None })?;
    match destinations.first() {
        Some(destination) => findings.extend(probe(&*backend, destination, seed, wait).await?),
        None => findings.push(Finding::note("probes", "no probe was written", "say where a watch sends its telemetry: --otlp URL")),
    }
    findings.extend(retention(args, &*backend, layers).await?);
    Ok(findings)
}

fn unreadable(error: &BackendError) -> Finding {
    let advice = match error {
        BackendError::Unreachable { .. } => "look at the address, the network, and whether the server runs",
        BackendError::Denied { .. } => "give --backend-header, or bearer, user and password in [backend] of the configuration",
        BackendError::WrongServer { .. } => {
            "look at the path, the port and the kind: jaeger=URL is the UI's address, tempo=URL the query API's"
        }
        BackendError::File { .. } => "give a file that `hubwatch export` or the Collector's file exporter wrote",
        _ => "look at the server's own log",
    };
    Finding::unreachable("reading", error.to_string(), advice)
}

fn clock(offset: i64) -> Finding {
    if offset.abs() <= SKEW {
        return Finding::ok("clock", format!("within {SKEW} s of ours"));
    }
    let word = if offset > 0 { "ahead of" } else { "behind" };
    Finding::note("clock", format!("the backend's clock is {} s {word} ours", offset.abs()), "keep both by NTP")
}

/// What was written, and when each probe was back.
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

async fn probe(backend: &dyn Backend, to: &Destination, seed: u64, wait: Duration) -> Result<Vec<Finding>, CliError> {
    let probes = Probes::new(seed);
    let Some(transport) = to.transport(Signal::Traces).map_err(SpawnError::from)? else {
        return Ok(vec![Finding::wrong("writing", "traces go nowhere", "let traces go to a destination, too")]);
    };
    for probe in probes.all() {
        if let Some(refused) = refused(transport.send(Signal::Traces, probe.request().encode_to_vec().into()).await, to) {
            return Ok(vec![refused]);
        }
    }
    let receiver = config::without_credentials(to.endpoint());
    let mut findings = vec![Finding::ok("writing", format!("{receiver} takes traces by OTLP"))];
    let back = read_back(backend, &probes, wait).await?;
    findings.extend(arrival(&probes, &back, wait));
    Ok(findings)
}

/// Why the receiver did not take a probe.
fn refused(answer: Answer, to: &Destination) -> Option<Finding> {
    let receiver = config::without_credentials(to.endpoint());
    let (seen, advice) = match answer {
        Answer::Accepted => return None,
        Answer::Partial { message, .. } => (format!("{receiver} refused probe spans: {message}"), "look at the receiver's limits"),
        Answer::Retry { why, .. } => {
            return Some(Finding::unreachable(
                "writing",
                format!("{receiver} does not take traces: {why}"),
                "look at the address and at the protocol: gRPC is port 4317 by custom, HTTP is 4318",
            ));
        }
        Answer::TooLarge(why) => (format!("{receiver} takes no request of 2 MB: {why}"), "raise its limit for a request's size"),
        Answer::Exhausted(why) => (format!("{receiver} has no room: {why}"), "look at its limits and its memory"),
        Answer::Unauthorized(why) => (format!("{receiver} wants other credentials: {why}"), "set OTEL_EXPORTER_OTLP_HEADERS"),
        Answer::Bad(why) | Answer::Refused(why) => {
            (format!("{receiver} refuses traces: {why}"), "look at the path and at the receiver's pipelines")
        }
    };
    Some(Finding::wrong("writing", seen, advice))
}

/// A probe that came back, and how long after it was written.
struct Back {
    probe: Probe,
    trace: Trace,
    after: Duration,
}

/// Asks for each probe until it is there, or the time is over.
async fn read_back(backend: &dyn Backend, probes: &Probes, wait: Duration) -> Result<Vec<Back>, CliError> {
    let begun = Instant::now();
    let mut looks = tokio::time::interval(LOOK);
    let (mut missing, mut back): (Vec<Probe>, Vec<Back>) = (probes.all().copied().collect(), Vec::new());
    let bar = reading::progress(missing.len() as u64, "reading the probes back: {pos} of {len} {bar:30}");
    while !missing.is_empty() && begun.elapsed() < wait {
        looks.tick().await;
        let mut still = Vec::new();
        for probe in missing {
            let trace = backend.trace(probe.id).await?;
            // A large trace may come in pieces.
            let came = trace.spans.iter().flat_map(|resource| &resource.scope_spans).map(|scope| scope.spans.len()).sum::<usize>();
            if came as u64 >= u64::from(probe.spans) {
                back.push(Back { probe, trace, after: begun.elapsed() });
            } else {
                still.push(probe);
            }
        }
        missing = still;
        bar.set_position(back.len() as u64);
    }
    bar.finish_and_clear();
    for probe in missing {
        let trace = backend.trace(probe.id).await?;
        if !trace.spans.is_empty() {
            back.push(Back { probe, trace, after: begun.elapsed() });
        }
    }
    Ok(back)
}

fn arrival(probes: &Probes, back: &[Back], wait: Duration) -> Vec<Finding> {
    let found = |probe: &Probe| back.iter().find(|back| back.probe.id == probe.id);
    let small: Vec<&Back> = probes.small.iter().filter_map(found).collect();
    let wait = wait.as_secs();
    if back.is_empty() {
        let advice = "is this the backend behind that receiver? Look for a tenant, a sampler, and at the Collector's own log";
        return vec![Finding::wrong("reading back", format!("no probe came back within {wait} s"), advice)];
    }
    let mut findings = Vec::new();
    if small.len() == probes.small.len() {
        findings.push(Finding::ok("sampling", format!("all {SMALL_PROBES} small probes came back")));
    } else {
        let seen = format!("{} of {SMALL_PROBES} small probes came back within {wait} s", small.len());
        let advice = "a sampler drops traces on the way: keep the watch as otel-config/collector/tail-sampling.yaml does";
        findings.push(Finding::wrong("sampling", seen, advice));
    }
    let delay = small.iter().map(|back| back.after).max().unwrap_or_default();
    let told = format!("the probes were there after {:.1} s", delay.as_secs_f64());
    findings.push(if delay < SLOW {
        Finding::ok("delay", told)
    } else {
        Finding::note("delay", told, "wait that long after the period before the report is made")
    });
    let differences: Vec<Difference> = small.iter().flat_map(|back| back.probe.compare(&back.trace)).collect();
    findings.push(content("content", differences, "times, numbers, and texts of 1 KiB come back as they were"));
    findings.push(match found(&probes.large) {
        Some(back) => content("size", back.probe.compare(&back.trace), "a trace of 2 MB comes back whole"),
        None => Finding::wrong("size", "a trace of 2 MB did not come back", "raise the backend's limit for a trace's size"),
    });
    findings.push(match found(&probes.old) {
        Some(_) => Finding::ok("late data", "a trace of 48 hours ago is taken"),
        None => Finding::wrong(
            "late data",
            "a trace of 48 hours ago did not come back",
            "its retention is shorter than the period, or it refuses what is late: raise the retention",
        ),
    });
    findings
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

/// Whether the backend has what the journal has of the period.
async fn retention(
    args: &DoctorArgs,
    backend: &dyn Backend,
    layers: &Layers<impl Environment>,
) -> Result<Option<Finding>, CliError> {
    let name = layers.hub_name(args.name.as_deref())?;
    let environment = layers.environment_name(args.environment.as_deref())?;
    let state_dir = config::watched_state(layers.state_dir(args.state_dir.as_deref()), name.as_ref());
    let Ok(journal) = JournalReader::open(&state_dir) else { return Ok(None) };
    let watched = journal.watched().map_err(BackendError::from)?;
    let ours =
        watched.iter().find(|watched| watched.environment == environment && name.as_ref().is_none_or(|name| watched.hub == *name));
    let Some(watched) = ours else { return Ok(None) };
    let from = watched.first.max(Timestamp::now().minus(PERIOD));
    // The first quarter-hour of the period that is over, and so should be there for certain.
    let slot = Slot::of(from);
    let id = slot.trace_id(&watched.hub, &watched.environment, 0);
    if journal.spans_of(id).map_err(BackendError::from)?.is_empty() {
        return Ok(None);
    }
    let hub = &watched.hub;
    Ok(Some(if backend.trace(id).await?.spans.is_empty() {
        let advice = "its retention is shorter than the period, or it was not sent there: raise the retention, or look at --otlp";
        Finding::wrong("retention", format!("the journal has {hub} at {}, the backend has not", slot.start()), advice)
    } else {
        Finding::ok("retention", format!("the first quarter-hour of {hub} in the period is there"))
    }))
}
