//! `hubwatch report`: reads the Watches of a period and judges them.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use clap::Args;

use super::hub_args::{WatchedHub, WatchedHubArgs};
use super::outputs::{Format, Output, outputs, own_templates};
use super::period_source::{self, BackendArgs, DEFAULT_PERIOD, Period, PeriodArgs, Source, progress};
use super::{CliError, Exit};
use crate::backend::Backend;
use crate::backend::period::{self, Found, Wanted};
use crate::base::atomic::{self, Readers};
use crate::config::Layers;
use crate::config::backend::Chosen;
use crate::config::environment::Environment;
use crate::config::file::ReportSection;
use crate::judge::moment::Moment;
use crate::judge::rules::RuleFile;
use crate::judge::{self, Judge};
use crate::report::compare::Compared;
use crate::report::link::TraceLinks;
use crate::report::{self, Given, Provenance, Report, SignOff, Template, baseline, words};
use crate::watch::{HubName, Micros, Timestamp};

/// Report on a watched period
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  hubwatch report                                  # the last 48 hours, to STAGING_INTEGRATION_HEALTH_REPORT.md
  hubwatch report --since 24h --out - | less
  hubwatch report --backend jaeger=http://jaeger:16686 --name hub-a
  hubwatch report --backend tempo=https://tempo.example.com --backend-header 'X-Scope-OrgID: staging' --name hub-a
  hubwatch report --backend file=staging.jsonl.zst --name hub-a --from 2026-11-21T06:00:00Z --to 2026-11-23T06:00:00Z
  hubwatch report --from 2026-11-21T06:00:00Z --to 2026-11-23T06:00:00Z --format json
  hubwatch report --out reports/                   # every format, into that folder
  hubwatch report --out report.md --out report.html --out junit.xml
  hubwatch report --compare promoted/report.json   # compare with the last promoted build
  hubwatch report --since 24h --format summary     # the daily summary, to stdout")]
pub struct ReportArgs {
    #[command(flatten)]
    period: PeriodArgs,
    #[command(flatten)]
    backend: BackendArgs,
    #[command(flatten)]
    hub: WatchedHubArgs,
    /// The output: a file whose ending selects the format, a folder for all formats, or - for stdout; can be repeated [default:
    /// STAGING_INTEGRATION_HEALTH_REPORT.md]
    #[arg(long, value_name = "PATH")]
    out: Vec<PathBuf>,
    /// The format; without --out it goes to stdout; can be repeated
    #[arg(long, value_name = "FORM")]
    format: Vec<Format>,
    /// An earlier report.json to compare with, such as that of the last promoted build
    #[arg(long, value_name = "EARLIER_REPORT.json")]
    compare: Option<PathBuf>,
    /// A template to use instead of the built-in one; its ending (.md, .html or summary.md) selects the format; can be repeated
    #[arg(long, value_name = "FILE")]
    template: Vec<PathBuf>,
}

/// A report to make.
pub(super) struct Job {
    /// The period.
    pub period: Period,
    /// The hub's name; `None` is the only watched hub.
    pub name: Option<HubName>,
    /// The hub's environment.
    pub environment: crate::watch::Environment,
    /// The backend; `None` is the journal.
    pub backend: Option<Chosen>,
    /// The address of a trace's page, with `{trace_id}` in it.
    pub trace_url: Option<String>,
    /// The state folder, or the hub's own folder in it.
    pub state_dir: PathBuf,
    /// The output files and formats.
    pub outputs: Vec<Output>,
    /// Custom templates.
    pub templates: Vec<(Template, PathBuf)>,
    /// Overrides of the default criteria, beside those that the Watches carry.
    pub rules: Vec<RuleFile>,
    /// Signatures and contacts.
    pub sign_off: SignOff,
    /// An earlier report to compare with.
    pub earlier: Option<Compared>,
    /// The time of the report: now, or the end of a rehearsed period.
    pub made_at: Timestamp,
}

impl Job {
    /// Returns a report with default settings.
    pub(super) fn new(layers: &Layers<impl Environment>) -> Result<Self, CliError> {
        let now = Timestamp::now();
        Ok(Self {
            period: Period { from: now.minus(Micros::from_duration(DEFAULT_PERIOD)), to: now, is_asked: false },
            backend: None,
            trace_url: layers.trace_url(None)?,
            name: None,
            environment: layers.environment_name(None)?,
            state_dir: layers.state_dir(None),
            outputs: outputs(&[], &[])?,
            templates: Vec::new(),
            rules: vec![layers.file.rules()],
            sign_off: sign_off(&layers.file.report),
            earlier: None,
            made_at: now,
        })
    }
}

/// Returns the signatures and contacts of the configuration.
pub(super) fn sign_off(section: &ReportSection) -> SignOff {
    let ReportSection { lead, escalation, contacts, signatures, trace_url: _ } = section.clone();
    SignOff { lead, escalation, contacts, signatures }
}

/// Makes the report that the arguments describe.
pub(super) async fn report(args: ReportArgs, layers: &Layers<impl Environment>) -> Result<Exit, CliError> {
    let WatchedHub { name, environment, state_dir } = args.hub.hub(layers)?;
    let backend = args.backend.chosen(layers)?;
    let job = Job {
        period: args.period.period()?,
        trace_url: layers.trace_url(backend.as_ref())?,
        backend,
        state_dir,
        name,
        environment,
        outputs: outputs(&args.out, &args.format)?,
        templates: own_templates(&args.template)?,
        earlier: args.compare.as_deref().map(earlier).transpose()?,
        ..Job::new(layers)?
    };
    make(job).await
}

fn earlier(path: &Path) -> Result<Compared, CliError> {
    let json =
        std::fs::read(path).map_err(|error| CliError::Usage(format!("--compare: can't read {}: {error}", path.display())))?;
    Compared::parse(&json).map_err(|problem| CliError::Usage(format!("--compare: {}: {problem}", path.display())))
}

/// Makes a report and writes it.
pub(super) async fn make(job: Job) -> Result<Exit, CliError> {
    let Source { backend, hub, state_dir, running } =
        period_source::open(job.backend.as_ref(), &job.state_dir, job.name.clone(), &job.environment)?;
    let wanted = Wanted { hub, environment: job.environment.clone(), from: job.period.from, to: job.period.to };
    let bar = progress(wanted.slots_with_context().len() as u64, "reading: {pos} of {len} quarter-hours {bar:30}");
    let baseline = baseline::read(&state_dir, &wanted.hub, &wanted.environment, wanted.to);
    let hours_from = baseline.baseline.as_ref().map(|baseline| baseline.at.0);
    let begin = || Judge::between(job.rules.clone(), (wanted.from, wanted.to), hours_from);
    let read = period::read(
        &*backend,
        &wanted,
        begin,
        |judge, watch| drop(judge.take(&watch)),
        judge::interleave,
        |done, _| bar.set_position(done),
    )
    .await;
    bar.finish_and_clear();
    let (judge, found) = read?;
    tracing::debug!(watches = found.watches, slots = found.slots, empty = found.empty_slots, "read");
    if found.watches == 0 && running.is_none() {
        keep_reports(&job.outputs, &*backend, &wanted)?;
    }
    let provisional = goes_on(running, &found, job.made_at);
    let assessment = judge.assess(wanted.to);
    let young = assessment.history.coverage.first.filter(|first| !job.period.is_asked && first.0 > wanted.from);
    let provenance = Provenance {
        from: young.unwrap_or(Moment(wanted.from)),
        asked_from: young.map(|_| Moment(wanted.from)),
        ..provenance(&wanted, &found, backend.name(), provisional, job.made_at)
    };
    if let Some(note) = &baseline.note {
        tracing::warn!("{note}");
    }
    let given = Given { provenance, sign_off: job.sign_off, baseline };
    let mut report = report::report(assessment, given);
    report.comparison = job.earlier.as_ref().map(|earlier| report::compare::compare(&report, earlier));
    if let Some(template) = job.trace_url {
        report::link::link(&mut report, &TraceLinks { template, hub: wanted.hub.clone(), environment: wanted.environment.clone() });
    }
    write(&report, &job.outputs, &job.templates)?;
    Ok(report::exit(report.overall.verdict))
}

/// Fails without any Watch. Backends other than the journal can't list their hubs, so the name may be wrong, and an empty report
/// must not replace an existing file.
fn keep_reports(outputs: &[Output], backend: &dyn Backend, wanted: &Wanted) -> Result<(), CliError> {
    let Some(path) = outputs.iter().filter_map(|output| output.path.as_ref()).find(|path| path.exists()) else { return Ok(()) };
    let Wanted { hub, environment, from, to } = wanted;
    Err(CliError::Usage(format!(
        "{} has no Watch of {hub} ({environment}) between {from} and {to}: check --name, --environment and the period; {} was not changed",
        backend.name(),
        path.display()
    )))
}

/// A watch with a Watch younger than this is still running: the longest polling interval is 10 min.
const GOES_ON: Micros = Micros::new(11 * 60 * 1_000_000);

/// Returns true if the period's watch is still running when the report is made. A running watch may be about another period. If the
/// backend doesn't know if one is running, the time of the last Watch decides.
fn goes_on(running: Option<bool>, found: &Found, made_at: Timestamp) -> bool {
    let young = |(end, ended_well): (Timestamp, bool)| !ended_well && made_at.since(end) < GOES_ON;
    match running {
        Some(running) => running && found.last.is_none_or(young),
        None => found.last.is_some_and(young),
    }
}

fn provenance(wanted: &Wanted, found: &Found, backend: String, provisional: bool, made_at: Timestamp) -> Provenance {
    Provenance {
        tool_version: env!("CARGO_PKG_VERSION").to_owned(),
        hub: wanted.hub.to_string(),
        environment: wanted.environment.to_string(),
        builds: Vec::new(),
        backend,
        from: Moment(wanted.from),
        asked_from: None,
        to: Moment(wanted.to),
        generated_at: Moment(made_at),
        provisional,
        watchers: Vec::new(),
        criteria_digest: report::built_in_digest(),
        overrides: Vec::new(),
        unreadable: found.unreadable.iter().map(ToString::to_string).collect(),
        incomplete: found.cuts.iter().cloned().chain(found.incomplete.iter().map(ToString::to_string)).collect(),
    }
}

/// Writes each output. If one goes to stdout, nothing else does; otherwise stdout gets the verdict and the list of files.
fn write(report: &Report, outputs: &[Output], templates: &[(Template, PathBuf)]) -> Result<(), CliError> {
    let rendered = |output: &Output| match output.format.template() {
        Some(template) => {
            let own = templates.iter().find(|(own, _)| *own == template).map(|(_, path)| path.as_path());
            report::render(report, template, own).map_err(CliError::from)
        }
        None if output.format == Format::Junit => Ok(report::junit(report)),
        None => Ok(report::json(report)),
    };
    let mut written = Vec::new();
    for output in outputs {
        let rendered = rendered(output)?;
        let Some(path) = &output.path else {
            print(&rendered)?;
            continue;
        };
        let failed = |reason| CliError::Output { path: path.clone(), reason };
        atomic::write(path, rendered.as_bytes(), Readers::AsUsual).map_err(failed)?;
        written.push(path.display().to_string());
    }
    if outputs.iter().all(|output| output.path.is_some()) {
        print(&format!("{}\n{}\n", headline(report), written.join("\n")))?;
    }
    Ok(())
}

/// Returns the verdict in one line.
pub(super) fn headline(report: &Report) -> String {
    let verdict = words::verdict(report.overall.verdict).headline;
    let because = report.overall.because.first().map_or(String::new(), |because| format!(" – {because}"));
    format!("{verdict}{because}")
}

/// Prints to stdout. A closed pipe is not an error: the reader has read enough.
pub(super) fn print(text: &str) -> Result<(), CliError> {
    let mut stdout = std::io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(reason) if reason.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(CliError::Output { path: PathBuf::from("stdout"), reason })
        }
        _ => Ok(()),
    }
}
