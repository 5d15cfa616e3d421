//! `hubwatch report`: reads the Watches of a period back and says what they come to.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;

use super::outputs::{Format, Output, outputs, own_templates};
use super::{CliError, Exit};
use crate::backend::embedded::Embedded;
use crate::backend::period::{self, Found, Wanted};
use crate::backend::{Backend, BackendError};
use crate::config::environment::Environment;
use crate::config::file::ReportSection;
use crate::config::{self, Layers, Sourced};
use crate::journal::{JournalReader, Watched};
use crate::judge::moment::Moment;
use crate::judge::rules::RuleFile;
use crate::judge::verdict::Verdict;
use crate::judge::{self, Judge};
use crate::report::compare::Earlier;
use crate::report::{self, Given, Provenance, Report, SignOff, Template, baseline};
use crate::watch::{HubName, Micros, Timestamp};

/// How much of the past a report is about unless told otherwise: the strategy's period.
const DEFAULT_PERIOD: Duration = Duration::from_secs(48 * 3600);

/// Report on a period that was watched
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  hubwatch report                                  # the last 48 hours, to STAGING_INTEGRATION_HEALTH_REPORT.md
  hubwatch report --since 24h --out - | less
  hubwatch report --from 2026-11-21T06:00:00Z --to 2026-11-23T06:00:00Z --format json
  hubwatch report --out reports/                   # every form, into that folder
  hubwatch report --out report.md --out report.html --out junit.xml
  hubwatch report --compare promoted/report.json   # beside the build that was promoted last
  hubwatch report --since 24h --format summary     # the daily summary, to stdout")]
pub struct ReportArgs {
    /// How far to look back [default: 48h]
    #[arg(long, value_name = "TIME", conflicts_with_all = ["from", "to"])]
    since: Option<String>,
    /// The period's start, such as 2026-11-21T06:00:00Z
    #[arg(long, value_name = "INSTANT")]
    from: Option<String>,
    /// The period's end [default: now]
    #[arg(long, value_name = "INSTANT", requires = "from")]
    to: Option<String>,
    /// Which hub, if more than one was watched
    #[arg(long, value_name = "HUB")]
    name: Option<String>,
    /// Where that hub runs [default: staging]
    #[arg(long, value_name = "ENV")]
    environment: Option<String>,
    /// The state folder of `hubwatch run` [default: $XDG_STATE_HOME/hubwatch]
    #[arg(long, value_name = "DIR")]
    state_dir: Option<PathBuf>,
    /// Where to write: a file whose ending says the form, a folder for all forms, or - for stdout; can be repeated
    /// [default: STAGING_INTEGRATION_HEALTH_REPORT.md]
    #[arg(long, value_name = "PATH")]
    out: Vec<PathBuf>,
    /// In which form: without --out it goes to stdout; can be repeated
    #[arg(long, value_name = "FORM")]
    format: Vec<Format>,
    /// An earlier report.json to compare with, such as that of the build that was promoted last
    #[arg(long, value_name = "EARLIER_REPORT.json")]
    compare: Option<PathBuf>,
    /// A template to use instead of the built-in one for .md, .html or summary.md, as its name ends; can be repeated
    #[arg(long, value_name = "FILE")]
    template: Vec<PathBuf>,
}

/// The period to report on.
#[derive(Debug, Clone, Copy)]
pub struct Period {
    /// From when.
    pub from: Timestamp,
    /// To when.
    pub to: Timestamp,
}

/// A report to make.
pub struct Job {
    /// On which period.
    pub period: Period,
    /// On which hub; the only one that was watched if none is named.
    pub name: Option<HubName>,
    /// Where that hub runs.
    pub environment: crate::watch::Environment,
    /// Whose journal to read.
    pub state_dir: PathBuf,
    /// Where to write, and in which forms.
    pub outputs: Vec<Output>,
    /// Templates of one's own.
    pub templates: Vec<(Template, PathBuf)>,
    /// What is judged otherwise than the built-in rules and the watch say.
    pub rules: Vec<RuleFile>,
    /// Who signs, and whom to ask.
    pub sign_off: SignOff,
    /// An earlier report to compare with.
    pub earlier: Option<Earlier>,
    /// When the report is made: the end of the period for a rehearsed one.
    pub made_at: Timestamp,
}

impl Job {
    /// The defaults.
    pub fn new(layers: &Layers<impl Environment>) -> Result<Self, CliError> {
        let now = Timestamp::now();
        Ok(Self {
            period: Period { from: now.minus(Micros::from_duration(DEFAULT_PERIOD)), to: now },
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

fn sign_off(section: &ReportSection) -> SignOff {
    let ReportSection { lead, escalation, contacts, signatures } = section.clone();
    SignOff { lead, escalation, contacts, signatures }
}

/// Makes the report that the arguments ask for.
pub async fn report(args: ReportArgs, layers: &Layers<impl Environment>) -> Result<Exit, CliError> {
    let name = layers.hub_name(args.name.as_deref())?;
    let job = Job {
        period: period_of(&args)?,
        state_dir: config::watched_state(layers.state_dir(args.state_dir.as_deref()), name.as_ref()),
        name,
        environment: layers.environment_name(args.environment.as_deref())?,
        outputs: outputs(&args.out, &args.format)?,
        templates: own_templates(&args.template)?,
        earlier: args.compare.as_deref().map(earlier).transpose()?,
        ..Job::new(layers)?
    };
    make(job).await
}

fn earlier(path: &Path) -> Result<Earlier, CliError> {
    let json =
        std::fs::read(path).map_err(|error| CliError::Usage(format!("--compare: can't read {}: {error}", path.display())))?;
    Earlier::parse(&json).map_err(|problem| CliError::Usage(format!("--compare: {}: {problem}", path.display())))
}

fn period_of(args: &ReportArgs) -> Result<Period, CliError> {
    let now = Timestamp::now();
    let instant = |flag: &str, text: &str| {
        let help = "it is no instant; write one like 2026-11-21T06:00:00Z";
        let picked = Sourced { value: text.to_owned(), source: flag.to_owned() };
        config::parse(picked, |text| Timestamp::parse(text).ok_or(help))
    };
    if let Some(from) = &args.from {
        let from = instant("--from", from)?;
        let to = args.to.as_deref().map_or(Ok(now), |to| instant("--to", to))?;
        if from >= to {
            return Err(CliError::Usage(format!("--from {from} is not before --to {to}")));
        }
        return Ok(Period { from, to });
    }
    let since = args.since.as_ref().map(|since| Sourced { value: since.clone(), source: "--since".to_owned() });
    let since = since.map_or(Ok(DEFAULT_PERIOD), |since| config::parse(since, config::duration))?;
    Ok(Period { from: now.minus(Micros::from_duration(since)), to: now })
}

/// Makes a report and writes it.
pub async fn make(job: Job) -> Result<Exit, CliError> {
    let reader = JournalReader::open(&job.state_dir).map_err(BackendError::from)?;
    let provisional = reader.is_running();
    let hub = hub(&job, &reader.watched().map_err(BackendError::from)?)?;
    let wanted = Wanted { hub, environment: job.environment.clone(), from: job.period.from, to: job.period.to };
    let backend = Embedded::new(reader);
    let found = period::read(&backend, &wanted, |_, _| ()).await?;
    tracing::debug!(watches = found.watches.len(), slots = found.slots, empty = found.empty_slots, "read");
    let provenance = provenance(&wanted, &found, backend.name(), provisional, job.made_at);
    let mut judge = Judge::new(job.rules, wanted.from);
    for watch in judge::interleave(found.watches) {
        judge.take(&watch);
    }
    let baseline = baseline::read(&job.state_dir, &wanted.hub, &wanted.environment, wanted.to);
    let given = Given { provenance, sign_off: job.sign_off, baseline };
    let mut report = report::report(judge.assess(wanted.to), given);
    report.comparison = job.earlier.as_ref().map(|earlier| report::compare::compare(&report, earlier));
    write(&report, &job.outputs, &job.templates)?;
    Ok(exit(report.overall.verdict))
}

/// How a verdict ends the command.
pub fn exit(verdict: Verdict) -> Exit {
    match verdict {
        Verdict::Pass | Verdict::Warn | Verdict::NotApplicable => Exit::Ok,
        Verdict::Fail => Exit::Failed,
        Verdict::Inconclusive => Exit::NoVerdict,
    }
}

/// The hub that was named, or the only one that was watched.
fn hub(job: &Job, watched: &[Watched]) -> Result<HubName, CliError> {
    let here: Vec<&Watched> = watched.iter().filter(|watched| watched.environment == job.environment).collect();
    if let Some(name) = &job.name {
        if here.iter().all(|watched| watched.hub != *name) {
            tracing::warn!(hub = %name, environment = %job.environment, "no Watch of this hub is in the journal{}", known(watched));
        }
        return Ok(name.clone());
    }
    match here.as_slice() {
        [only] => Ok(only.hub.clone()),
        [] => Err(CliError::Usage(format!("no hub was watched in environment {}{}", job.environment, known(watched)))),
        _ => Err(CliError::Usage(format!("more than one hub was watched: say which with --name{}", known(watched)))),
    }
}

fn known(watched: &[Watched]) -> String {
    let names: Vec<_> = watched.iter().map(|watched| format!("{} ({})", watched.hub, watched.environment)).collect();
    if names.is_empty() { String::new() } else { format!("; it holds: {}", names.join(", ")) }
}

fn provenance(wanted: &Wanted, found: &Found, backend: &str, provisional: bool, made_at: Timestamp) -> Provenance {
    Provenance {
        tool_version: env!("CARGO_PKG_VERSION").to_owned(),
        hub: wanted.hub.to_string(),
        environment: wanted.environment.to_string(),
        builds: Vec::new(),
        backend: backend.to_owned(),
        from: Moment(wanted.from),
        to: Moment(wanted.to),
        generated_at: Moment(made_at),
        provisional,
        watchers: Vec::new(),
        criteria_digest: report::built_in_digest(),
        overrides: Vec::new(),
        unreadable: found.unreadable.iter().map(ToString::to_string).collect(),
    }
}

/// Writes each output. What goes to stdout goes there alone; otherwise stdout has the verdict and where everything is.
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
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(failed)?;
        }
        std::fs::write(path, rendered).map_err(failed)?;
        written.push(path.display().to_string());
    }
    if outputs.iter().all(|output| output.path.is_some()) {
        print(&format!("{}\n{}\n", headline(report), written.join("\n")))?;
    }
    Ok(())
}

/// The verdict in a line.
pub fn headline(report: &Report) -> String {
    let verdict = match report.overall.verdict {
        Verdict::Pass => "PASS: promote",
        Verdict::Warn => "WARN: promote, but look",
        Verdict::Fail => "FAIL: do not promote",
        Verdict::Inconclusive => "NO VERDICT: not enough data",
        Verdict::NotApplicable => "NOT APPLICABLE",
    };
    let because = report.overall.because.first().map_or(String::new(), |because| format!(" – {because}"));
    format!("{verdict}{because}")
}

/// Prints to stdout; whoever closes the pipe early has read enough.
pub fn print(text: &str) -> Result<(), CliError> {
    let mut stdout = std::io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(reason) if reason.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(CliError::Output { path: PathBuf::from("stdout"), reason })
        }
        _ => Ok(()),
    }
}
