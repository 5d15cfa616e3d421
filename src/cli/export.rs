//! `hubwatch export`: archives a period as a file, so that a report can be made later on another machine.

use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use flate2::write::GzEncoder;
use futures_util::{StreamExt as _, stream};
use serde::Serialize;

use super::hub_args::{WatchedHub, WatchedHubArgs};
use super::period_source::{self, BackendArgs, PeriodArgs, Source, progress};
use super::report::print;
use super::{CliError, Exit};
use crate::backend::Trace;
use crate::backend::otlp_json::OtlpTraces;
use crate::backend::period::{self, Wanted};
use crate::base::atomic::{Readers, Replacement};
use crate::config::Layers;
use crate::config::environment::Environment;
use crate::judge::moment::Moment;
use crate::watch::{Slot, names};

/// zstd's default level: it compresses 48 hours in a second.
const ZSTD_LEVEL: i32 = 3;

/// Archive a period: write its watch spans as lines of OTLP JSON
#[derive(Debug, Args)]
#[command(
    after_help = "The file contains everything that a report needs, in the format of the OpenTelemetry Collector's file exporter.
The file's name says how it is compressed: .zst, .gz, or not at all.

Examples:
  hubwatch export --out staging.jsonl.zst                    # the last 48 hours of the state folder
  hubwatch report --backend file=staging.jsonl.zst --name hub-a --since 48h
  hubwatch export --backend jaeger=http://jaeger:16686 --name hub-a --since 24h --out day.jsonl.gz
  hubwatch export --out - | jq '.resourceSpans[].scopeSpans[].spans[].name'"
)]
pub struct ExportArgs {
    #[command(flatten)]
    period: PeriodArgs,
    #[command(flatten)]
    backend: BackendArgs,
    #[command(flatten)]
    hub: WatchedHubArgs,
    /// The file to write, such as staging.jsonl.zst; - is stdout
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// The format of the result on stdout
    #[arg(long, value_name = "FORM", default_value = "text")]
    format: Form,
}

/// The format of the result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Form {
    /// One line for people
    Text,
    /// A JSON object for scripts
    Json,
}

/// The result.
#[derive(Debug, Serialize)]
struct Written {
    hub: String,
    environment: String,
    from: Moment,
    to: Moment,
    backend: String,
    traces: u64,
    watch_spans: u64,
    /// Traces that the backend reported as incomplete. The archive lacks the same spans.
    partial_traces: u64,
    /// Losses that the backend itself reports, in traces without a known id.
    cuts: Vec<String>,
    /// Size before compression.
    bytes: u64,
    file: String,
}

/// Writes the archive.
pub(super) async fn export(args: ExportArgs, layers: &Layers<impl Environment>) -> Result<Exit, CliError> {
    let WatchedHub { name, environment, state_dir } = args.hub.hub(layers)?;
    let chosen = args.backend.chosen(layers)?;
    let Source { backend, hub, .. } = period_source::open(chosen.as_ref(), &state_dir, name, &environment)?;
    let period = args.period.period()?;
    let wanted = Wanted { hub, environment, from: period.from, to: period.to };
    let failed = |reason| CliError::Output { path: args.out.clone(), reason };
    let mut archive = Archive::create(&args.out).map_err(failed)?;
    let bar = progress(wanted.slots_with_context().len() as u64, "archiving: {pos} of {len} quarter-hours {bar:30}");
    let (from, of) = (&*backend, &wanted);
    let ask = |slot: Slot| async move { (slot, period::parts(from, of, slot).await) };
    let mut slots = stream::iter(wanted.slots_with_context()).map(ask).buffered(backend.concurrency());
    let (mut traces, mut watch_spans, mut partial_traces) = (0, 0, 0);
    while let Some((slot, parts)) = slots.next().await {
        let parts = parts?;
        partial_traces += parts.iter().filter(|part| part.partial.is_some()).count() as u64;
        for trace in parts.into_iter().map(|part| merged(slot, part)).filter(|trace| !trace.is_empty()) {
            archive.line(&trace).map_err(failed)?;
            traces += 1;
            watch_spans += watch_spans_of(&trace);
        }
        bar.inc(1);
    }
    bar.finish_and_clear();
    let bytes = archive.finish().map_err(failed)?;
    let written = Written {
        hub: wanted.hub.to_string(),
        environment: wanted.environment.to_string(),
        from: Moment(wanted.from),
        to: Moment(wanted.to),
        backend: backend.name(),
        traces,
        watch_spans,
        partial_traces,
        cuts: backend.cuts().to_vec(),
        bytes,
        file: args.out.display().to_string(),
    };
    print_result(&written, args.format, args.out == Path::new("-"))?;
    for cut in &written.cuts {
        tracing::warn!("{cut}");
    }
    let whole = watch_spans > 0 && partial_traces == 0 && written.cuts.is_empty();
    Ok(if whole { Exit::Ok } else { Exit::NoVerdict })
}

fn merged(slot: Slot, trace: Trace) -> OtlpTraces {
    if let Some(reason) = trace.partial {
        tracing::warn!(from = %slot.start(), reason, "the backend returned an incomplete trace");
    }
    OtlpTraces::merged(trace.spans)
}

fn watch_spans_of(traces: &OtlpTraces) -> u64 {
    let spans = traces.resource_spans.iter().flat_map(|resource| &resource.scope_spans).flat_map(|scope| &scope.spans);
    spans.filter(|span| span.name == names::WATCH_SPAN).count() as u64
}

fn print_result(written: &Written, form: Form, to_stdout: bool) -> Result<(), CliError> {
    let Written { hub, environment, watch_spans, from, to, file, backend, .. } = written;
    if *watch_spans == 0 {
        tracing::warn!("{backend} has no Watch of {hub} ({environment}) between {} and {}", from.0, to.0);
    }
    match form {
        // The archive itself goes to stdout, so the result can't.
        _ if to_stdout => Ok(()),
        // A struct of strings and numbers can always be written as JSON.
        Form::Json => print(&format!("{}\n", serde_json::to_string_pretty(written).unwrap_or_default())),
        Form::Text => print(&format!("{watch_spans} Watches of {hub} ({environment}) from {backend}\n{file}\n")),
    }
}

/// The archive, compressed by the ending of its name. The file gets its name when it is complete.
struct Archive {
    to: Compressed,
    bytes: u64,
}

enum Compressed {
    Stdout(BufWriter<io::Stdout>),
    Plain(BufWriter<Replacement>),
    Gzip(GzEncoder<BufWriter<Replacement>>),
    Zstd(zstd::Encoder<'static, BufWriter<Replacement>>),
}

impl Archive {
    fn create(path: &Path) -> io::Result<Self> {
        if path == Path::new("-") {
            return Ok(Self { to: Compressed::Stdout(BufWriter::new(io::stdout())), bytes: 0 });
        }
        let file = BufWriter::new(Replacement::begin(path, Readers::AsUsual)?);
        let to = match path.extension().and_then(|ending| ending.to_str()) {
            Some("zst") => Compressed::Zstd(zstd::Encoder::new(file, ZSTD_LEVEL)?),
            Some("gz") => Compressed::Gzip(GzEncoder::new(file, flate2::Compression::default())),
            _ => Compressed::Plain(file),
        };
        Ok(Self { to, bytes: 0 })
    }

    fn line(&mut self, traces: &OtlpTraces) -> io::Result<()> {
        let mut line = serde_json::to_vec(traces)?;
        line.push(b'\n');
        self.bytes += line.len() as u64;
        match &mut self.to {
            Compressed::Stdout(to) => to.write_all(&line),
            Compressed::Plain(to) => to.write_all(&line),
            Compressed::Gzip(to) => to.write_all(&line),
            Compressed::Zstd(to) => to.write_all(&line),
        }
    }

    /// Completes the file and returns its size before compression.
    fn finish(self) -> io::Result<u64> {
        let written = match self.to {
            Compressed::Stdout(mut to) => {
                to.flush()?;
                return Ok(self.bytes);
            }
            Compressed::Plain(to) => to,
            Compressed::Gzip(to) => to.finish()?,
            Compressed::Zstd(to) => to.finish()?,
        };
        written.into_inner().map_err(io::IntoInnerError::into_error)?.finish()?;
        Ok(self.bytes)
    }
}
