//! Whether a backend can be read, and whether it has what a report would ask for. What becomes of traces on their way to it is looked at
//! by [`probes`], where that was asked for.

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

/// Clocks further apart than this make a period's ends uncertain.
const SKEW: i64 = 5;

/// The period of the strategy: a trace that is as old as its beginning must be there at its end.
pub(super) const PERIOD: Micros = Micros::new(48 * 3600 * 1_000_000);

/// The number of a probe that nobody writes.
const UNWRITTEN: u32 = u32::MAX;

/// Looks at a backend, and at the way to it if a receiver is named. Whatever can't be read is a finding, and the next thing is looked at.
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
        Ok(trace) if trace.spans.is_empty() => Finding::ok("reading", format!("{} answers as it should", backend.name())),
        Ok(_) => Finding::wrong("reading", "it gave a trace that nobody wrote", "it is no trace backend"),
        // Where nothing can be read there is nothing else to look at.
        Err(error) => return Ok(vec![unreadable(&error)]),
    }];
    let cut = |cut: &String| Finding::wrong("reading", cut, "copy it once more, or archive the period anew");
    findings.extend(backend.cuts().iter().map(cut));
    findings.extend(backend.clock_offset().map(clock));
    let read_only = read_only(chosen, &*backend);
    findings.extend(match read_only {
        Some(why) => vec![Finding::note("probes", format!("no probe was written: {why}"), "look at the Watches that it has")],
        None if args.otlp.is_none() => vec![unasked(receivers.first())],
        None => match receivers.first() {
            Some(receiver) => probes::examine(&*backend, receiver, seed, wait).await?,
            None => vec![Finding::wrong("writing", "traces go nowhere", "let traces go to a destination, too")],
        },
    });
    let subject = match subject {
        Ok(subject) => subject,
        Err(unknown) => {
            let advice = format!("say of which hub with --name: {unknown}");
            findings.push(Finding::note("watches", "it was not looked for Watches", advice));
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

/// Whose Watches the backend should have.
struct Subject {
    hub: HubName,
    environment: crate::watch::Environment,
    /// What the state folder knows of this hub.
    journal: Option<(JournalReader, WatchedPeriod)>,
}

impl Subject {
    /// The hub that a report would be about. Where the doctor is asked, nothing need have been watched: a hub that was named will do, and
    /// without a name it is said why none is meant.
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

/// Why nothing that is written anywhere would come back from it.
fn read_only(chosen: &Chosen, backend: &dyn Backend) -> Option<&'static str> {
    if chosen.kind.word == file::KIND.word {
        Some("a file gives back what it holds, and nothing else")
    } else if backend.serves_a_journal() {
        Some("a hubwatch that serves its journal gives back what it saw itself, and nothing else")
    } else {
        None
    }
}

/// What is written stays in somebody's backend: so it is written only where that was asked for in so many words.
fn unasked(receiver: Option<&Destination>) -> Finding {
    let Some(receiver) = receiver else {
        return Finding::note("probes", "no probe was written", "say where a watch sends its telemetry: --otlp URL");
    };
    let receiver = secret::without_credentials(receiver.endpoint());
    let advice = format!("a watch would send to {receiver}: to have probe traces written there, say --otlp {receiver}");
    Finding::note("probes", "no probe was written: nobody asked for it", advice)
}

pub(super) fn unreadable(error: &BackendError) -> Finding {
    Finding::unreachable("reading", error.to_string(), advice(error))
}

/// What to do about something that can't be read.
pub(super) fn advice(error: &BackendError) -> &'static str {
    match error {
        BackendError::Unreachable { .. } => "look at the address, the network, and whether the server runs",
        BackendError::Untrusted { .. } => "give the certificate of the authority that made the server's, or another address",
        BackendError::Denied { .. } => "give --backend-header, or bearer, user and password in [backend] of the configuration",
        BackendError::WrongServer { .. } => {
            "look at the path, the port and the kind: jaeger=URL is the UI's address, tempo=URL the query API's"
        }
        BackendError::File { .. } => "give a file that `hubwatch export` or the Collector's file exporter wrote",
        _ => "look at the server's own log",
    }
}

fn clock(offset: i64) -> Finding {
    if offset.abs() <= SKEW {
        return Finding::ok("clock", format!("within {SKEW} s of ours"));
    }
    let word = if offset > 0 { "ahead of" } else { "behind" };
    Finding::note("clock", format!("the backend's clock is {} s {word} ours", offset.abs()), "keep both by NTP")
}

/// Whether it has Watches of the period. Without any, one that can't get them any more is no use; another may get them later.
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
            let advice = "look at --name, --environment, and the period (--since, or --from and --to)";
            if is_all { Finding::wrong("watches", seen, advice) } else { Finding::note("watches", seen, advice) }
        }
        Err(error) => Finding::unreachable("watches", format!("the Watches of {hub} can't be read: {error}"), advice(&error)),
    }
}

/// The first of these quarter-hours whose trace is there.
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

/// Whether the backend has what the journal has of the period's beginning.
async fn retention(backend: &dyn Backend, journal: &JournalReader, watched: &WatchedPeriod) -> Option<Finding> {
    let from = watched.first.max(Timestamp::now().minus(PERIOD));
    // The first quarter-hour of the period that is over, and so should be there for certain.
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
                "its retention is shorter than the period, or it was not sent there: raise the retention, or look at --otlp";
            Finding::wrong("retention", format!("the journal has {hub} at {}, the backend has not", slot.start()), advice)
        }
        Ok(_) => Finding::ok("retention", format!("the first quarter-hour of {hub} in the period is there")),
        Err(error) => unread(&error),
    })
}
