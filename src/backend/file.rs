//! Files with a line of OTLP JSON a request: what the OpenTelemetry Collector's file exporter and `hubwatch export` write, plain or
//! compressed. A file is looked through once, for where each trace lies; lines without a watch span are passed over. What a file that was
//! cut (its writer was killed, its copy broke off) still holds in whole lines is read, and the cut is told.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Read, Seek as _, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use flate2::read::MultiGzDecoder;
use memchr::memmem::Finder;
use opentelemetry_proto::tonic::trace::v1::ResourceSpans;
use serde::de::IgnoredAny;

use super::access::Access;
use super::http::MAX_BODY_BYTES;
use super::otlp_json::OtlpTraces;
use super::{Backend, BackendError, Kind, Reading, Trace, TraceWatches};
use crate::base::atomic::UNFINISHED;
use crate::watch::{JsonTraces, TraceId, names};

/// `--backend file=PATH`.
pub const KIND: Kind = Kind {
    word: "file",
    target: "a file of OTLP JSON lines (.gz, .zst too), or a folder with such files",
    trace_url: None,
    open: |target, _: &Access| Ok(Box::new(OtlpFile::open(Path::new(target.strip_prefix("file://").unwrap_or(target)))?)),
};

/// Names that may be files of ours in a folder.
const ENDINGS: [&str; 3] = [".json", ".jsonl", ".ndjson"];
const COMPRESSED: [&str; 3] = ["", ".gz", ".zst"];

/// How many lines are parsed at once: one a processor of a small machine. A busy quarter-hour takes some 10 MB while it is parsed.
const CONCURRENCY: usize = 2;

const GZIP: [u8; 2] = [0x1f, 0x8b];
const ZSTD: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// The Collector's own compression: the length of each compressed request in four bytes before it.
const LENGTH_BYTES: usize = 4;

/// Files of OTLP JSON lines.
#[derive(Debug)]
pub struct OtlpFile {
    path: PathBuf,
    index: Arc<Index>,
}

/// Where each trace lies.
#[derive(Debug, Default)]
struct Index {
    files: Vec<Indexed>,
    lines: Vec<Line>,
    /// The first half of a trace's id, and a line that names it; sorted.
    traces: Vec<(u64, u32)>,
    /// Which files are not whole, in words.
    cuts: Vec<String>,
}

/// A file that lines can be read from: the named one, or what a compressed one was unpacked to.
#[derive(Debug)]
struct Indexed {
    name: PathBuf,
    content: File,
}

#[derive(Debug)]
struct Line {
    file: usize,
    number: u64,
    offset: u64,
    length: usize,
}

impl OtlpFile {
    /// Looks a file through, or all those in a folder.
    pub fn open(path: &Path) -> Result<Self, BackendError> {
        let mut index = Index::default();
        for name in files(path)? {
            let failed = |error: io::Error| BackendError::File { path: name.clone(), reason: error.to_string() };
            index.add(&name).map_err(failed)?;
        }
        index.traces.sort_unstable();
        index.traces.dedup();
        if index.lines.is_empty() {
            tracing::warn!(path = %path.display(), "no line holds a span of a watch");
        }
        Ok(Self { path: path.to_owned(), index: Arc::new(index) })
    }

    async fn read<T: Default + Send + 'static>(
        &self,
        id: TraceId,
        read: fn(&Index, TraceId) -> Result<T, BackendError>,
    ) -> Result<T, BackendError> {
        let index = self.index.clone();
        if index.lines_of(id).next().is_none() {
            // No thread of its own, and no memory of that thread's own.
            return Ok(T::default());
        }
        // Parsing takes longer than reading: several lines at once use several processors.
        let read = tokio::task::spawn_blocking(move || read(&index, id)).await;
        read.unwrap_or_else(|gone| Err(BackendError::Unreadable { trace: id, reason: gone.to_string() }))
    }
}

/// The file itself, or a folder's files in the order of their names.
fn files(path: &Path) -> Result<BTreeSet<PathBuf>, BackendError> {
    let failed = |error: io::Error| BackendError::File { path: path.to_owned(), reason: error.to_string() };
    if !path.is_dir() {
        return Ok(BTreeSet::from([path.to_owned()]));
    }
    let mut files = BTreeSet::new();
    for entry in std::fs::read_dir(path).map_err(failed)? {
        let name = entry.map_err(failed)?.path();
        let text = name.to_string_lossy();
        if ENDINGS.iter().any(|ending| COMPRESSED.iter().any(|packed| text.ends_with(&format!("{ending}{packed}")))) {
            files.insert(name);
        }
    }
    if files.is_empty() {
        let reason = "the folder holds no file that ends in .json, .jsonl or .ndjson (or these with .gz or .zst)".to_owned();
        return Err(BackendError::File { path: path.to_owned(), reason });
    }
    Ok(files)
}

impl Index {
    fn add(&mut self, name: &Path) -> io::Result<()> {
        let mut file = File::open(name)?;
        let mut head = [0; LENGTH_BYTES + ZSTD.len()];
        let read = file.read(&mut head)?;
        file.rewind()?;
        let head = &head[..read];
        let packed: Box<dyn BufRead> = if head.starts_with(&GZIP) {
            Box::new(BufReader::new(MultiGzDecoder::new(BufReader::new(file))))
        } else if head.starts_with(&ZSTD) {
            Box::new(BufReader::new(zstd::Decoder::new(file)?))
        } else if head.get(LENGTH_BYTES..) == Some(&ZSTD) {
            Box::new(BufReader::new(Framed { file: BufReader::new(file), frame: io::Cursor::default() }))
        } else {
            let content = file.try_clone()?;
            return self.look_through(name, BufReader::new(file), Place::There(content));
        };
        self.look_through(name, packed, Place::Unpacked(BufWriter::new(unnamed()?)))
    }

    fn look_through(&mut self, name: &Path, from: impl BufRead, mut place: Place) -> io::Result<()> {
        let (file, watch) = (self.files.len(), Finder::new(names::WATCH_SPAN));
        let (mut lines, mut offset) = (Lines { from, line: Vec::new(), number: 0 }, 0);
        let end = loop {
            match lines.next()? {
                Next::Line => {}
                end => break end,
            }
            let (line, number) = (&lines.line, lines.number);
            let holds_watches = watch.find(line).is_some();
            if holds_watches {
                let at = u32::try_from(self.lines.len()).map_err(io::Error::other)?;
                self.traces.extend(trace_ids(line).map(|id| (id, at)));
                self.lines.push(Line { file, number, offset, length: line.len() });
            }
            offset += place.keep(line, holds_watches)?;
        };
        self.cuts.extend(cut(name, &end, lines.number));
        self.files.push(Indexed { name: name.to_owned(), content: place.content()? });
        Ok(())
    }

    /// Where lines with spans of a trace are; perhaps others, too, since half an id is compared.
    fn lines_of(&self, id: TraceId) -> impl Iterator<Item = &Line> {
        let half = half_of(&id.to_string()).unwrap_or_default();
        let from = self.traces.partition_point(|(other, _)| *other < half);
        self.traces[from..].iter().take_while(move |(other, _)| *other == half).map(|(_, line)| &self.lines[*line as usize])
    }

    fn trace(&self, id: TraceId) -> Result<Trace, BackendError> {
        let mut trace = Trace::default();
        for line in self.lines_of(id) {
            let traces: OtlpTraces = serde_json::from_slice(&self.text(line)?).map_err(|error| self.no_otlp(line, &error))?;
            trace.spans.extend(traces.resource_spans.into_iter().filter_map(|resource| of_trace(resource, id)));
        }
        Ok(trace)
    }

    fn watches(&self, id: TraceId) -> Result<TraceWatches, BackendError> {
        let mut trace = TraceWatches::default();
        for line in self.lines_of(id) {
            let text = self.text(line)?;
            let traces: JsonTraces<'_> = serde_json::from_slice(&text).map_err(|error| self.no_otlp(line, &error))?;
            for span in traces.into_spans().filter(|span| *span.trace_id == *id.as_bytes()) {
                trace.exists = true;
                trace.decoded.take(&span);
            }
        }
        Ok(trace)
    }

    fn text(&self, line: &Line) -> Result<Vec<u8>, BackendError> {
        let Indexed { name, content } = &self.files[line.file];
        let failed = |error: io::Error| BackendError::File { path: name.clone(), reason: error.to_string() };
        let mut text = vec![0; line.length];
        content.read_exact_at(&mut text, line.offset).map_err(failed)?;
        Ok(text)
    }

    fn no_otlp(&self, line: &Line, error: &serde_json::Error) -> BackendError {
        let reason = format!("line {} is no OTLP JSON: {error}", line.number);
        BackendError::File { path: self.files[line.file].name.clone(), reason }
    }
}

/// The lines of a file, as far as they are whole.
struct Lines<R> {
    from: R,
    line: Vec<u8>,
    /// Of the last whole line.
    number: u64,
}

/// How it goes on behind a line.
enum Next {
    Line,
    End,
    /// In the middle of the next line.
    CutInside,
    /// The line before is whole; that more was to come is known.
    CutBehind,
}

impl<R: BufRead> Lines<R> {
    fn next(&mut self) -> io::Result<Next> {
        self.line.clear();
        let read = (&mut self.from).take(MAX_BODY_BYTES as u64 + 1).read_until(b'\n', &mut self.line);
        match read {
            // A compressed stream that ends before its end.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                return Ok(if self.line.is_empty() { Next::CutBehind } else { Next::CutInside });
            }
            Err(error) => return Err(error),
            Ok(0) => return Ok(Next::End),
            Ok(length) if length > MAX_BODY_BYTES => {
                return Err(io::Error::other(format!("line {} has more than {MAX_BODY_BYTES} bytes", self.number + 1)));
            }
            // The last line of a file that is still written has no end yet, but may be all there.
            Ok(_) if !self.line.ends_with(b"\n") && is_begun(&self.line) => return Ok(Next::CutInside),
            Ok(_) => self.number += 1,
        }
        Ok(Next::Line)
    }
}

/// Whether a line is the beginning of JSON; what is none at all was not cut.
fn is_begun(line: &[u8]) -> bool {
    !line.trim_ascii().is_empty() && serde_json::from_slice::<IgnoredAny>(line).is_err_and(|error| error.is_eof())
}

/// What is to be told of a file that ends like this after so many whole lines.
fn cut(name: &Path, end: &Next, lines: u64) -> Option<String> {
    let ending = name.extension().unwrap_or_default();
    let shown = name.display();
    match end {
        Next::CutInside => Some(format!("{shown} is cut in line {}: what followed is lost", lines + 1)),
        Next::CutBehind => Some(format!("{shown} is cut after line {lines}: what followed is lost")),
        _ if name.to_string_lossy().ends_with(UNFINISHED) => {
            Some(format!("{shown} was not written to its end: `hubwatch export` was stopped after line {lines}"))
        }
        // Even nothing has a beginning and an end once it is compressed.
        _ if lines == 0 && (ending == "gz" || ending == "zst") && is_empty(name) => Some(format!("{shown} is cut: it is empty")),
        _ => None,
    }
}

fn is_empty(name: &Path) -> bool {
    std::fs::metadata(name).is_ok_and(|metadata| metadata.len() == 0)
}

/// A line holds spans of other traces, too.
fn of_trace(mut resource: ResourceSpans, id: TraceId) -> Option<ResourceSpans> {
    for scope in &mut resource.scope_spans {
        scope.spans.retain(|span| span.trace_id == id.as_bytes());
    }
    resource.scope_spans.retain(|scope| !scope.spans.is_empty());
    (!resource.scope_spans.is_empty()).then_some(resource)
}

/// The first half of each trace id that a line names.
fn trace_ids(line: &[u8]) -> impl Iterator<Item = u64> {
    const KEY: &[u8] = b"\"traceId\"";
    memchr::memmem::find_iter(line, KEY).filter_map(|at| {
        let rest = line.get(at + KEY.len()..)?.iter().copied();
        let digits: Vec<u8> = rest.skip_while(|byte| b" \t:\"".contains(byte)).take(16).collect();
        half_of(std::str::from_utf8(&digits).ok()?)
    })
}

fn half_of(digits: &str) -> Option<u64> {
    u64::from_str_radix(digits.get(..16)?, 16).ok()
}

/// Where lines are read from later.
enum Place {
    /// Where they are.
    There(File),
    /// In a file without a name, which holds those of a compressed one that matter.
    Unpacked(BufWriter<File>),
}

impl Place {
    /// Keeps a line that matters; gives back how far the next line lies from this one's beginning.
    fn keep(&mut self, line: &[u8], matters: bool) -> io::Result<u64> {
        match self {
            Self::There(_) => Ok(line.len() as u64),
            Self::Unpacked(_) if !matters => Ok(0),
            Self::Unpacked(file) => file.write_all(line).map(|()| line.len() as u64),
        }
    }

    fn content(self) -> io::Result<File> {
        match self {
            Self::There(file) => Ok(file),
            Self::Unpacked(file) => Ok(file.into_inner()?),
        }
    }
}

/// A file that nobody else can open and that is gone when it is closed: what it holds is for us alone.
fn unnamed() -> io::Result<File> {
    let folder = std::env::temp_dir();
    let made = without_name(&folder).or_else(|_| named_and_removed(&folder));
    made.map_err(|error| io::Error::other(format!("can't unpack it in {} (TMPDIR): {error}", folder.display())))
}

#[cfg(target_os = "linux")]
fn without_name(folder: &Path) -> io::Result<File> {
    use rustix::fs::{Mode, OFlags};
    let flags = OFlags::RDWR | OFlags::TMPFILE | OFlags::CLOEXEC;
    Ok(rustix::fs::open(folder, flags, Mode::RUSR | Mode::WUSR)?.into())
}

/// Only Linux has files that never had a name, and not on each of its file systems.
#[cfg(not(target_os = "linux"))]
fn without_name(_: &Path) -> io::Result<File> {
    Err(io::ErrorKind::Unsupported.into())
}

fn named_and_removed(folder: &Path) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt as _;
    let path = folder.join(format!("hubwatch-{:016x}", fastrand::u64(..)));
    let file = File::options().read(true).write(true).create_new(true).mode(0o600).open(&path)?;
    std::fs::remove_file(&path)?;
    Ok(file)
}

/// The Collector's compressed form: each request by itself, its length before it. Gives their lines, one after the other.
struct Framed<R> {
    file: R,
    frame: io::Cursor<Vec<u8>>,
}

impl<R: BufRead> Read for Framed<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        loop {
            let read = self.frame.read(into)?;
            if read > 0 || !self.next()? {
                return Ok(read);
            }
        }
    }
}

impl<R: BufRead> Framed<R> {
    fn next(&mut self) -> io::Result<bool> {
        if self.file.fill_buf()?.is_empty() {
            return Ok(false);
        }
        let mut length = [0; LENGTH_BYTES];
        self.file.read_exact(&mut length)?;
        let packed = (&mut self.file).take(u64::from(u32::from_be_bytes(length)));
        let mut line = Vec::new();
        zstd::Decoder::new(packed)?.take(MAX_BODY_BYTES as u64).read_to_end(&mut line)?;
        if !line.ends_with(b"\n") {
            line.push(b'\n');
        }
        self.frame = io::Cursor::new(line);
        Ok(true)
    }
}

impl Backend for OtlpFile {
    fn name(&self) -> String {
        format!("file {}", self.path.display())
    }

    fn concurrency(&self) -> usize {
        CONCURRENCY
    }

    fn cuts(&self) -> &[String] {
        &self.index.cuts
    }

    fn trace(&self, id: TraceId) -> Reading<'_> {
        Box::pin(self.read(id, Index::trace))
    }

    fn watches(&self, id: TraceId) -> Reading<'_, TraceWatches> {
        Box::pin(self.read(id, Index::watches))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_no_file_is_without_a_name_from_its_beginning_it_loses_it_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let mut file = named_and_removed(folder.path()).unwrap();
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
        file.write_all(b"kept all the same").unwrap();
        let mut kept = [0; 4];
        file.read_exact_at(&mut kept, 0).unwrap();
        assert_eq!(&kept, b"kept");
        assert!(named_and_removed(&folder.path().join("absent")).is_err());
    }
}
