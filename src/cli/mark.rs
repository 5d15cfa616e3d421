//! `hubwatch mark`: announces planned maintenance or a test, so that its effects don't count against the build.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use serde::Serialize;

use super::known_hubs::{self, Known};
use super::{CliError, Exit};
use crate::announce::marks::{self, Announced, Edge, KNOWN, Mark};
use crate::backend::BackendError;
use crate::base::nearest::nearest;
use crate::config::environment::Environment;
use crate::config::{self, Layers, Sourced};
use crate::journal::{JournalError, JournalReader};
use crate::judge::moment::Moment;
use crate::judge::planned::LONGEST;
use crate::watch::{Decoded, HubName, Micros, Timestamp, spans_of_request};

/// How far back `mark list` looks: the strategy's period.
const LISTED: Micros = Micros::new(48 * 3600 * 1_000_000);

/// Watches read at a time: those of an hour, about a megabyte.
const BATCH: usize = 256;

/// Mark planned maintenance: begin or end. Its effects count for the degradation criteria, and not against stability
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  hubwatch mark begin server_crash && pkill -9 -f server-filesystem
  hubwatch mark end server_crash
  hubwatch mark list                                                     # marks of the last 48 hours
  hubwatch mark begin 'database upgrade' --custom --at 2026-11-21T06:00:00Z     # a custom name, marked afterwards

The strategy's disturbances: server_crash, gemini_failure, session_isolation, sse_disconnect, high_load. The other names of scenarios are
accepted, too; `hubwatch scenario run` marks its own time.
Marks also work while `hubwatch run` is stopped. A disturbance without an end counts as planned for four hours.")]
pub struct MarkArgs {
    /// The action
    #[arg(value_name = "begin|end|list")]
    what: What,
    /// The name of the disturbance, such as server_crash
    disturbance: Option<String>,
    /// Allow a name that is not one of the strategy's disturbances
    #[arg(long)]
    custom: bool,
    /// The time, such as 2026-11-21T06:00:00Z [default: now]
    #[arg(long, value_name = "INSTANT")]
    at: Option<String>,
    /// The hub's name; required if several hubs are watched
    #[arg(long, value_name = "HUB")]
    name: Option<String>,
    /// The hub's environment; required if the hub is watched in several
    #[arg(long, value_name = "ENV")]
    environment: Option<String>,
    /// The state folder of `hubwatch run` [default: $XDG_STATE_HOME/hubwatch]
    #[arg(long, value_name = "DIR")]
    state_dir: Option<PathBuf>,
    /// The format of the list
    #[arg(long, value_name = "FORM", default_value = "text")]
    format: Form,
}

/// The actions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum What {
    /// Mark the beginning
    Begin,
    /// Mark the end
    End,
    /// List the marks of the last 48 hours
    List,
}

/// The formats of the list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Form {
    /// A table for people
    Text,
    /// A JSON array for programs
    Json,
}

/// Writes the mark to where the sidecar picks it up, or lists the marks.
pub(super) fn mark(args: &MarkArgs, layers: &Layers<impl Environment>) -> Result<Exit, CliError> {
    let state_dir = layers.state_dir(args.state_dir.as_deref());
    let environment = layers.environment_given(args.environment.as_deref())?;
    let known = known_hubs::watched(&state_dir, layers.hub_name(args.name.as_deref())?, environment.as_ref());
    let known = known.map_err(|error| match error {
        // The state folder comes from a flag, so an unusable one is a usage error.
        CliError::Backend(BackendError::Journal(absent @ JournalError::Absent { .. })) => absent.into(),
        other => other,
    })?;
    let now = Timestamp::now();
    let edge = match args.what {
        What::Begin => Edge::Begin,
        What::End => Edge::End,
        What::List => return list(args, &known, now),
    };
    let name = disturbance(args)?;
    let at = match &args.at {
        None => now,
        Some(at) => config::parse(typed("--at", at), |text| Timestamp::parse(text).ok_or("not a time; try 2026-11-21T06:00:00Z"))?,
    };
    let (all, running) = announced(&known, at.min(now).minus(LONGEST))?;
    let word = match edge {
        Edge::Begin => {
            may_begin(args, &name, at, &all)?;
            "begins"
        }
        Edge::End => {
            may_end(&name, at, &all)?;
            "ends"
        }
    };
    let mark = Mark { at, edge, name: name.clone() };
    marks::lay(&known.state_dir, &mark).map_err(|reason| CliError::Output { path: known.state_dir.clone(), reason })?;
    if !running {
        tracing::warn!("no `hubwatch run` is watching {} now: the mark takes effect when the next run starts", known.hub);
    }
    super::report::print(&format!("{name} {word} at {at}\n"))?;
    Ok(Exit::Ok)
}

fn typed(setting: &str, value: &str) -> Sourced<String> {
    Sourced { value: value.to_owned(), source: setting.to_owned() }
}

/// Returns the name. It follows the rules of a hub's name: not empty, short, and no characters that would break a report.
fn disturbance(args: &MarkArgs) -> Result<String, CliError> {
    let Some(name) = &args.disturbance else {
        return Err(CliError::Usage(format!(
            "the name is missing: use one of {}, or a custom name with --custom",
            KNOWN.join(", ")
        )));
    };
    Ok(config::parse(typed("--disturbance", name), HubName::parse)?.to_string())
}

fn may_begin(args: &MarkArgs, name: &str, at: Timestamp, all: &[Announced]) -> Result<(), CliError> {
    if !args.custom && !KNOWN.contains(&name) {
        let meant = meant(name, KNOWN);
        return Err(CliError::Usage(format!(
            "`{name}` is not one of the strategy's disturbances{meant} Use one of {}, or add --custom for a custom name",
            KNOWN.join(", ")
        )));
    }
    match all.iter().find(|one| one.name == name && one.is_on(at, LONGEST)) {
        Some(on) => {
            Err(CliError::Usage(format!("{name} began at {} and has not ended: end it first with `hubwatch mark end`", on.begun)))
        }
        None => Ok(()),
    }
}

fn may_end(name: &str, at: Timestamp, all: &[Announced]) -> Result<(), CliError> {
    let open = |one: &&Announced| one.ended.is_none();
    match all.iter().filter(open).find(|one| one.name == name) {
        Some(one) if one.begun > at => {
            Err(CliError::Usage(format!("{name} began at {}: it can't end earlier, at {at}", one.begun)))
        }
        Some(_) => Ok(()),
        None => {
            let on: Vec<&str> = all.iter().filter(open).map(|one| one.name.as_str()).collect();
            let meant = meant(name, on.iter().copied());
            let on = if on.is_empty() { "no mark is open".to_owned() } else { format!("open marks: {}", on.join(", ")) };
            Err(CliError::Usage(format!("`{name}` is not open{meant} {on}; `hubwatch mark list` shows all marks")))
        }
    }
}

fn meant<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    nearest(name, known).map_or(".".to_owned(), |meant| format!("; did you mean `{meant}`?"))
}

/// Returns the marks since then, committed or not, and true if a watch is running.
fn announced(known: &Known, since: Timestamp) -> Result<(Vec<Announced>, bool), CliError> {
    let reader = JournalReader::open(&known.state_dir)?;
    let mut all: Vec<Mark> = marks::waiting(&known.state_dir).into_iter().map(|(_, mark)| mark).collect();
    let mut place = reader.first_watch(&known.hub, &known.environment, since)?;
    while let Some(first) = place {
        let rows = reader.watches_from(&known.hub, &known.environment, first, BATCH)?;
        place = rows.last().filter(|_| rows.len() == BATCH).map(|last| last.id + 1);
        let mut decoded = Decoded::default();
        for row in &rows {
            // The report can't decode such a row either, so no mark is missed.
            let _ = spans_of_request(&row.otlp, |span| decoded.take(&span));
        }
        all.extend(decoded.watches.iter().flat_map(|watch| &watch.facts).filter_map(Mark::of_fact));
    }
    Ok((marks::announced(all, LONGEST), reader.is_running()))
}

/// A mark in the list.
#[derive(Debug, Serialize)]
struct Row {
    name: String,
    began: Moment,
    ended: Option<Moment>,
    state: State,
    /// The end of the planned window.
    planned_until: Moment,
}

/// The state of a mark.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum State {
    Open,
    Ended,
    NeverEnded,
}

fn row(one: Announced, now: Timestamp) -> Row {
    let longest = one.begun.plus(LONGEST);
    let state = match one.ended {
        _ if one.is_forgotten(now, LONGEST) => State::NeverEnded,
        Some(_) => State::Ended,
        None => State::Open,
    };
    let planned_until = Moment(one.ended.map_or(longest, |ended| ended.min(longest)));
    Row { name: one.name, began: Moment(one.begun), ended: one.ended.map(Moment), state, planned_until }
}

fn list(args: &MarkArgs, known: &Known, now: Timestamp) -> Result<Exit, CliError> {
    if args.disturbance.is_some() || args.at.is_some() || args.custom {
        return Err(CliError::Usage("`mark list` lists all marks: remove the name, --at and --custom".to_owned()));
    }
    let (all, _) = announced(known, now.minus(LISTED))?;
    let rows: Vec<Row> = all.into_iter().map(|one| row(one, now)).collect();
    super::report::print(&match args.format {
        // A struct of strings can always be written as JSON.
        Form::Json => serde_json::to_string_pretty(&rows).unwrap_or_default() + "\n",
        Form::Text => table(&rows, known),
    })?;
    Ok(Exit::Ok)
}

fn table(rows: &[Row], known: &Known) -> String {
    if rows.is_empty() {
        return format!("No marks for {} in the last 48 hours.\n", known.hub);
    }
    let second = |at: Moment| at.to_string().get(..19).unwrap_or_default().replace('T', " ");
    let width = rows.iter().map(|row| row.name.chars().count()).max().unwrap_or(0).max("disturbance".len());
    let mut lines = vec![format!("{:width$}  {:19}  {:19}  {}", "disturbance", "begin (UTC)", "end (UTC)", "state")];
    for row in rows {
        let state = match row.state {
            State::Open => format!("open; planned until {} unless it ends earlier", second(row.planned_until)),
            State::Ended => "ended".to_owned(),
            State::NeverEnded => format!("not ended: was planned until {}", second(row.planned_until)),
        };
        let ended = row.ended.map_or("–".to_owned(), second);
        lines.push(format!("{:width$}  {:19}  {ended:19}  {state}", row.name, second(row.began)));
    }
    lines.join("\n") + "\n"
}
