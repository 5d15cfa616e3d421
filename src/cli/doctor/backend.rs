//! Checks if a backend can be read, and if it has the Watches that a report needs. With `--otlp`, [`probes`] checks the way to it,
//! too.

use std::time::Duration;

use super::finding::Finding;
use super::{DoctorArgs, probes};
use crate::backend::period::Wanted;
use crate::backend::{Backend, BackendError, file};
use crate::base::secret;
use crate::cli::{CliError, known_hubs};
use crate::config::Layers;
use crate::config::backend::Chosen;
use crate::config::destinations::Flags;
use crate::config::environment::Environment;
use crate::export::Destination;
use crate::journal::{JournalReader, WatchedPeriod};
use crate::watch::{HubName, Micros, Slot, Timestamp, TraceId};

/// Allowed clock difference in seconds: a larger one makes the ends of a period uncertain.
const SKEW: i64 = 5;

/// The period of the strategy: the backend must keep a trace for at least this long.
pub(super) const PERIOD: Micros = Micros::new(48 * 3600 * 1_000_000);

/// The number of a probe that is never written.
const UNWRITTEN: u32 = u32::MAX;

/// Checks a backend, and the way to it if a receiver is set. A failed check is a finding; the next checks still run.
pub(super) async fn examine(
    args: &DoctorArgs,
    chosen: &Chosen,
    wait: Duration,
    layers: &Layers<impl Environment>,
) -> Result<Vec<Finding>, CliError> {
    let subject = Subject::of(args, layers)?;
    let period = args.period.period()?;
    let receivers = layers.destinations(Flags { endpoint: args.otlp.as_deref(), protocol: None })?;
    let backend = match chosen.open() {
        Ok(backend) => backend,
        Err(error @ BackendError::Settings(_)) => return Err(error.into()),
        Err(error) => return Ok(vec![unreadable(&error)]),
    };
    let seed = Timestamp::now().get();
    let mut findings = vec![match backend.trace(TraceId::of_probe(seed, UNWRITTEN)).await {
        Ok(trace) if trace.spans.is_empty() => Finding::ok("reading", format!("{} answers correctly", backend.name())),
        Ok(_) => {
            Finding::wrong("reading", "it returned a trace that does not exist", "this is not a trace backend: check the address")
        }
        // Without read access no other check is possible.
        Err(error) => return Ok(vec![unreadable(&error)]),
    }];
    let cut = |cut: &String| Finding::wrong("reading", cut, "copy it again, or archive the period again with `hubwatch export`");
    findings.extend(backend.cuts().iter().map(cut));
    findings.extend(backend.clock_offset().map(clock));
    let read_only = read_only(chosen, &*backend);
    findings.extend(match read_only {
        Some(why) => vec![Finding::note("probes", format!("no probe was written: {why}"), "see the check `watches`")],
        None if args.otlp.is_none() => vec![unasked(receivers.first())],
        None => match receivers.first() {
            Some(receiver) => probes::examine(&*backend, receiver, seed, wait).await?,
            None => vec![Finding::wrong("writing", "no destination receives traces", "configure a destination for traces")],
        },
    });
    let subject = match subject {
        Ok(subject) => subject,
        Err(unknown) => {
            let advice = format!("name the hub with --name: {unknown}");
            findings.push(Finding::note("watches", "not checked: the hub is unknown", advice));
            return Ok(findings);
        }
    };
    let Subject { hub, environment, journal } = &subject;
    let wanted = Wanted { hub: hub.clone(), environment: environment.clone(), from: period.from, to: period.to };
    findings.push(watches(&*backend, &wanted, read_only.is_some()).await);
    if let Some((journal, watched)) = journal {
        findings.extend(retention(&*backend, journal, watched).await);
    }
    Ok(findings)
}

/// The hub whose Watches the backend should have.
struct Subject {
    hub: HubName,
    environment: crate::watch::Environment,
    /// The journal of this hub, and its period there; `None` if it was not watched here.
    journal: Option<(JournalReader, WatchedPeriod)>,
}

impl Subject {
    /// Returns the hub that a report would be about. It need not have been watched here if it is named; without a name and without
    /// a watched hub, returns the reason.
    fn of(args: &DoctorArgs, layers: &Layers<impl Environment>) -> Result<Result<Self, CliError>, CliError> {
        let name = layers.hub_name(args.name.as_deref())?;
        let environment = layers.environment_name(args.environment.as_deref())?;
        let known = match known_hubs::watched(&layers.state_dir(args.state_dir.as_deref()), name.clone(), Some(&environment)) {
            Ok(known) => known,
            Err(unknown) => return Ok(name.map(|hub| Self { hub, environment, journal: None }).ok_or(unknown)),
        };
        let journal = JournalReader::open(&known.state_dir).map_err(BackendError::from)?;
        let watched = journal.watched().map_err(BackendError::from)?;
        let is_meant = |watched: &WatchedPeriod| watched.environment == environment && watched.hub == known.hub;
        let journal = watched.into_iter().find(is_meant).map(|watched| (journal, watched));
        Ok(Ok(Self { hub: known.hub, environment, journal }))
    }
}

/// Returns why a written probe can't come back from this backend; `None` if it can.
fn read_only(chosen: &Chosen, backend: &dyn Backend) -> Option<&'static str> {
    if chosen.kind.word == file::KIND.word {
        Some("a file can't receive probes")
    } else if backend.serves_a_journal() {
        Some("a hubwatch that serves its journal can't receive probes")
    } else {
        None
    }
}

/// Returns the finding for a missing `--otlp`. Probes stay in the backend, so they are only written on request.
fn unasked(receiver: Option<&Destination>) -> Finding {
    let Some(receiver) = receiver else {
        return Finding::note(
            "probes",
            "no probe was written",
            "to test the way to the backend, set the watch's receiver: --otlp URL",
        );
    };
    let receiver = secret::without_credentials(receiver.endpoint());
    let advice = format!("a watch would send to {receiver}: to write probe traces there, use --otlp {receiver}");
    Finding::note("probes", "no probe was written: --otlp is not set", advice)
}

pub(super) fn unreadable(error: &BackendError) -> Finding {
    Finding::unreachable("reading", error.to_string(), advice(error))
}

/// Returns the advice for an error.
pub(super) fn advice(error: &BackendError) -> &'static str {
    match error {
        BackendError::Unreachable { .. } => "check the address, the network, and if the server runs",
        BackendError::Untrusted { .. } => "set the certificate authority of the server with --backend-ca, or use another address",
        BackendError::Denied { .. } => "set --backend-header, or bearer, user and password in [backend] of the configuration",
        BackendError::WrongServer { .. } => {
            "check the path, the port and the kind: jaeger=URL is the UI's address, tempo=URL the query API's"
        }
        BackendError::File { .. } => "use a file written by `hubwatch export` or by the Collector's file exporter",
        BackendError::Journal(_)
        | BackendError::Settings(_)
        | BackendError::Status { .. }
        | BackendError::TooLarge { .. }
        | BackendError::Foreign { .. }
        | BackendError::Unreadable { .. } => "see the server's own log",
    }
}

fn clock(offset: i64) -> Finding {
    if offset.abs() <= SKEW {
        return Finding::ok("clock", format!("the difference to this machine's clock is at most {SKEW} s"));
    }
    let word = if offset > 0 { "ahead of" } else { "behind" };
    Finding::note("clock", format!("the backend's clock is {} s {word} ours", offset.abs()), "synchronise both with NTP")
}

/// Checks if it has Watches of the period. A backend without any is an error if it can't receive more (`is_all`), otherwise a note.
async fn watches(backend: &dyn Backend, wanted: &Wanted, is_all: bool) -> Finding {
    let Wanted { hub, environment, from, to } = wanted;
    let slots: Vec<Slot> = wanted.slots().collect();
    let found = async {
        let Some(last) = first_of(backend, wanted, slots.iter().rev()).await? else { return Ok(None) };
        let first = first_of(backend, wanted, slots.iter()).await?.unwrap_or(last);
        Ok(Some((first, last)))
    };
    match found.await {
        Ok(Some((first, last))) => {
            let (first, last) = (first.start(), Slot(last.0 + 1).start());
            Finding::ok("watches", format!("there are Watches of {hub} ({environment}), from {first} to {last}"))
        }
        Ok(None) => {
            let seen = format!("there is no Watch of {hub} ({environment}) between {from} and {to}");
            let advice = "check --name, --environment, and the period (--since, or --from and --to)";
            if is_all { Finding::wrong("watches", seen, advice) } else { Finding::note("watches", seen, advice) }
        }
        Err(error) => Finding::unreachable("watches", format!("the Watches of {hub} can't be read: {error}"), advice(&error)),
    }
}

/// Returns the first of these quarter-hours that has a trace.
async fn first_of(
    backend: &dyn Backend,
    wanted: &Wanted,
    slots: impl Iterator<Item = &Slot>,
) -> Result<Option<Slot>, BackendError> {
    for slot in slots {
        if !backend.trace(slot.trace_id(&wanted.hub, &wanted.environment, 0)).await?.spans.is_empty() {
            return Ok(Some(*slot));
        }
    }
    Ok(None)
}

/// Checks if the backend still has the beginning of the period, as the journal has it.
async fn retention(backend: &dyn Backend, journal: &JournalReader, watched: &WatchedPeriod) -> Option<Finding> {
    let from = watched.first.max(Timestamp::now().minus(PERIOD));
    // The first quarter-hour is complete, so it must be there.
    let slot = Slot::of(from);
    let id = slot.trace_id(&watched.hub, &watched.environment, 0);
    let hub = &watched.hub;
    let unread = |error: &BackendError| {
        Finding::unreachable("retention", format!("the first quarter-hour of {hub} can't be read: {error}"), advice(error))
    };
    match journal.spans_of(id) {
        Ok(ours) if ours.is_empty() => return None,
        Ok(_) => {}
        Err(error) => return Some(unread(&error.into())),
    }
    Some(match backend.trace(id).await {
        Ok(trace) if trace.spans.is_empty() => {
            let advice =
                "its retention is shorter than the period, or the traces were sent elsewhere: raise the retention, or check --otlp";
            Finding::wrong(
                "retention",
                format!("the journal has Watches of {hub} at {}, the backend has none", slot.start()),
                advice,
            )
        }
        Ok(_) => Finding::ok("retention", format!("it has the first quarter-hour of {hub} in the period")),
        Err(error) => unread(&error),
    })
}
