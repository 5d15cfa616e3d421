//! Files with one request of OTLP JSON per line, as the OpenTelemetry Collector's file exporter and `hubwatch export` write them,
//! plain or compressed. A file is read once to index the lines of each trace; lines without a watch span are skipped. The complete
//! lines of a truncated file (its writer was killed, or a copy stopped) are read, and the truncation is reported.

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
    form: "PATH",
    target: "a file of OTLP JSON lines (.gz, .zst too), or a folder with such files",
    request: "OTLP JSON lines, plain, `.gz`, `.zst`",
    tested_with: "`hubwatch export`, and the file exporter of the real OpenTelemetry Collector, compressed and uncompressed",
    trace_url: None,
    open: |target, _: &Access| Ok(Box::new(OtlpFile::open(Path::new(target.strip_prefix("file://").unwrap_or(target)))?)),
};

/// Endings of the files that are read in a folder.
const ENDINGS: [&str; 3] = [".json", ".jsonl", ".ndjson"];
const COMPRESSED: [&str; 3] = ["", ".gz", ".zst"];

/// Lines parsed at once: one for each CPU of a small machine. A busy quarter-hour takes about 10 MB while it is parsed.
const CONCURRENCY: usize = 2;

const GZIP: [u8; 2] = [0x1f, 0x8b];
const ZSTD: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// In the Collector's compressed format, four bytes before each compressed request hold its length.
const LENGTH_BYTES: usize = 4;

/// Files of OTLP JSON lines.
#[derive(Debug)]
pub struct OtlpFile {
    path: PathBuf,
    index: Arc<Index>,
}

/// The lines of each trace.
#[derive(Debug, Default)]
struct Index {
    files: Vec<IndexedFile>,
    lines: Vec<IndexedLine>,
    /// The first half of a trace id, and a line that contains the id; sorted.
    traces: Vec<(u64, u32)>,
    /// Messages about truncated files.
    cuts: Vec<String>,
}

/// A file with lines to read: the named file itself, or the decompressed lines of it.
#[derive(Debug)]
struct IndexedFile {
    name: PathBuf,
    content: File,
}

#[derive(Debug)]
struct IndexedLine {
    file: usize,
    number: u64,
    offset: u64,
    length: usize,
}

impl OtlpFile {
    /// Indexes a file, or all files in a folder.
    pub fn open(path: &Path) -> Result<Self, BackendError> {
        let mut index = Index::default();
        for name in files(path)? {
            let failed = |error: io::Error| BackendError::File { path: name.clone(), reason: error.to_string() };
            index.add(&name).map_err(failed)?;
        }
        index.traces.sort_unstable();
        index.traces.dedup();
        if index.lines.is_empty() {
            tracing::warn!(path = %path.display(), "no line contains a watch span; check that the watch exported to this file");
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
            // Saves a thread and its memory.
            return Ok(T::default());
        }
        // Parsing takes longer than reading: parallel parsing uses several CPUs.
        let read = tokio::task::spawn_blocking(move || read(&index, id)).await;
        read.unwrap_or_else(|gone| Err(BackendError::Unreadable { trace: id, reason: gone.to_string() }))
    }
}

/// Returns the file itself, or the folder's files in the order of their names.
fn files(path: &Path) -> Result<BTreeSet<PathBuf>, BackendError> {
    let failed = |error: io::Error| BackendError::File { path: path.to_owned(), reason: error.to_string() };
    if !path.is_dir() {
        return Ok(BTreeSet::from([path.to_owned()]));
    }
    let mut files = BTreeSet::new();
    for entry in std::fs::read_dir(path).map_err(failed)? {
        let name = entry.map_err(failed)?.path();
        let text = name.to_string_lossy();
        if ENDINGS.iter().any(|ending| COMPRESSED.iter().any(|compressed| text.ends_with(&format!("{ending}{compressed}")))) {
            files.insert(name);
        }
    }
    if files.is_empty() {
        let reason = "the folder contains no file that ends in .json, .jsonl or .ndjson (or these with .gz or .zst)".to_owned();
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
        let compressed: Box<dyn BufRead> = if head.starts_with(&GZIP) {
            Box::new(BufReader::new(MultiGzDecoder::new(BufReader::new(file))))
        } else if head.starts_with(&ZSTD) {
            Box::new(BufReader::new(zstd::Decoder::new(file)?))
        } else if head.get(LENGTH_BYTES..) == Some(&ZSTD) {
            Box::new(BufReader::new(Framed { file: BufReader::new(file), frame: io::Cursor::default() }))
        } else {
            let content = file.try_clone()?;
            return self.index_lines(name, BufReader::new(file), LineStore::InPlace(content));
        };
        self.index_lines(name, compressed, LineStore::Decompressed(BufWriter::new(temporary_file()?)))
    }

    fn index_lines(&mut self, name: &Path, from: impl BufRead, mut store: LineStore) -> io::Result<()> {
        let (file, watch) = (self.files.len(), Finder::new(names::WATCH_SPAN));
        let (mut lines, mut offset) = (LineReader { from, line: Vec::new(), number: 0 }, 0);
        let end = loop {
            match lines.next()? {
                LineEnd::Line => {}
                end => break end,
            }
            let (line, number) = (&lines.line, lines.number);
            let holds_watches = watch.find(line).is_some();
            if holds_watches {
                let at = u32::try_from(self.lines.len()).map_err(io::Error::other)?;
                self.traces.extend(trace_ids(line).map(|id| (id, at)));
                self.lines.push(IndexedLine { file, number, offset, length: line.len() });
            }
            offset += store.keep(line, holds_watches)?;
        };
        self.cuts.extend(truncation(name, &end, lines.number));
        self.files.push(IndexedFile { name: name.to_owned(), content: store.content()? });
        Ok(())
    }

    /// Returns the lines with spans of a trace, and perhaps others, because only half the id is compared.
    fn lines_of(&self, id: TraceId) -> impl Iterator<Item = &IndexedLine> {
        let half = id_prefix(&id.to_string()).unwrap_or_default();
        let from = self.traces.partition_point(|(other, _)| *other < half);
        self.traces[from..].iter().take_while(move |(other, _)| *other == half).map(|(_, line)| &self.lines[*line as usize])
    }

    fn trace(&self, id: TraceId) -> Result<Trace, BackendError> {
        let mut trace = Trace::default();
        for line in self.lines_of(id) {
            let traces: OtlpTraces = serde_json::from_slice(&self.text(line)?).map_err(|error| self.invalid_otlp(line, &error))?;
            trace.spans.extend(traces.resource_spans.into_iter().filter_map(|resource| of_trace(resource, id)));
        }
        Ok(trace)
    }

    fn watches(&self, id: TraceId) -> Result<TraceWatches, BackendError> {
        let mut trace = TraceWatches::default();
        for line in self.lines_of(id) {
            let text = self.text(line)?;
            let traces: JsonTraces<'_> = serde_json::from_slice(&text).map_err(|error| self.invalid_otlp(line, &error))?;
            for span in traces.into_spans().filter(|span| *span.trace_id == *id.as_bytes()) {
                trace.exists = true;
                trace.decoded.take(&span);
            }
        }
        Ok(trace)
    }

    fn text(&self, line: &IndexedLine) -> Result<Vec<u8>, BackendError> {
        let IndexedFile { name, content } = &self.files[line.file];
        let failed = |error: io::Error| BackendError::File { path: name.clone(), reason: error.to_string() };
        let mut text = vec![0; line.length];
        content.read_exact_at(&mut text, line.offset).map_err(failed)?;
        Ok(text)
    }

    fn invalid_otlp(&self, line: &IndexedLine, error: &serde_json::Error) -> BackendError {
        let reason = format!("line {} is not OTLP JSON: {error}", line.number);
        BackendError::File { path: self.files[line.file].name.clone(), reason }
    }
}

/// Reads the complete lines of a file.
struct LineReader<R> {
    from: R,
    line: Vec<u8>,
    /// Number of the last complete line.
    number: u64,
}

/// What follows a line.
enum LineEnd {
    Line,
    End,
    /// The next line is truncated.
    TruncatedInside,
    /// The file is truncated after a complete line.
    TruncatedAfter,
}

impl<R: BufRead> LineReader<R> {
    fn next(&mut self) -> io::Result<LineEnd> {
        self.line.clear();
        let read = (&mut self.from).take(MAX_BODY_BYTES as u64 + 1).read_until(b'\n', &mut self.line);
        match read {
            // The compressed stream ends early.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                return Ok(if self.line.is_empty() { LineEnd::TruncatedAfter } else { LineEnd::TruncatedInside });
            }
            Err(error) => return Err(error),
            Ok(0) => return Ok(LineEnd::End),
            Ok(length) if length > MAX_BODY_BYTES => {
                return Err(io::Error::other(format!("line {} has more than {MAX_BODY_BYTES} bytes", self.number + 1)));
            }
            // The last line of a file that is still written may be complete JSON without a line end.
            Ok(_) if !self.line.ends_with(b"\n") && is_truncated_json(&self.line) => return Ok(LineEnd::TruncatedInside),
            Ok(_) => self.number += 1,
        }
        Ok(LineEnd::Line)
    }
}

/// Returns whether a line is truncated JSON, rather than no JSON at all.
fn is_truncated_json(line: &[u8]) -> bool {
    !line.trim_ascii().is_empty() && serde_json::from_slice::<IgnoredAny>(line).is_err_and(|error| error.is_eof())
}

/// Returns the message about a truncated file.
fn truncation(name: &Path, end: &LineEnd, lines: u64) -> Option<String> {
    let ending = name.extension().unwrap_or_default();
    let shown = name.display();
    match end {
        LineEnd::TruncatedInside => Some(format!("{shown} is truncated in line {}: the rest is lost", lines + 1)),
        LineEnd::TruncatedAfter => Some(format!("{shown} is truncated after line {lines}: the rest is lost")),
        _ if name.to_string_lossy().ends_with(UNFINISHED) => {
            Some(format!("{shown} is incomplete: `hubwatch export` was stopped after line {lines}"))
        }
        // Compressed empty data is not an empty file.
        _ if lines == 0 && (ending == "gz" || ending == "zst") && is_empty(name) => {
            Some(format!("{shown} is truncated: it is empty"))
        }
        _ => None,
    }
}

fn is_empty(name: &Path) -> bool {
    std::fs::metadata(name).is_ok_and(|metadata| metadata.len() == 0)
}

/// Removes the spans of other traces, which a line may contain.
fn of_trace(mut resource: ResourceSpans, id: TraceId) -> Option<ResourceSpans> {
    for scope in &mut resource.scope_spans {
        scope.spans.retain(|span| span.trace_id == id.as_bytes());
    }
    resource.scope_spans.retain(|scope| !scope.spans.is_empty());
    (!resource.scope_spans.is_empty()).then_some(resource)
}

/// Returns the first half of each trace id in a line.
fn trace_ids(line: &[u8]) -> impl Iterator<Item = u64> {
    const KEY: &[u8] = b"\"traceId\"";
    memchr::memmem::find_iter(line, KEY).filter_map(|at| {
        let rest = line.get(at + KEY.len()..)?.iter().copied();
        let digits: Vec<u8> = rest.skip_while(|byte| b" \t:\"".contains(byte)).take(16).collect();
        id_prefix(std::str::from_utf8(&digits).ok()?)
    })
}

fn id_prefix(digits: &str) -> Option<u64> {
    u64::from_str_radix(digits.get(..16)?, 16).ok()
}

/// The file from which lines are read later.
enum LineStore {
    /// The plain file itself.
    InPlace(File),
    /// A temporary file with the lines of a compressed file that hold Watches.
    Decompressed(BufWriter<File>),
}

impl LineStore {
    /// Stores a line if it matters; returns the distance from its beginning to the next stored line.
    fn keep(&mut self, line: &[u8], matters: bool) -> io::Result<u64> {
        match self {
            Self::InPlace(_) => Ok(line.len() as u64),
            Self::Decompressed(_) if !matters => Ok(0),
            Self::Decompressed(file) => file.write_all(line).map(|()| line.len() as u64),
        }
    }

    fn content(self) -> io::Result<File> {
        match self {
            Self::InPlace(file) => Ok(file),
            Self::Decompressed(file) => Ok(file.into_inner()?),
        }
    }
}

/// Creates a temporary file that no other process can open and that is deleted when it is closed.
fn temporary_file() -> io::Result<File> {
    let folder = std::env::temp_dir();
    let made = unnamed_file(&folder).or_else(|_| removed_file(&folder));
    made.map_err(|error| {
        io::Error::other(format!("can't decompress it to {} (set TMPDIR to a writable folder): {error}", folder.display()))
    })
}

#[cfg(target_os = "linux")]
fn unnamed_file(folder: &Path) -> io::Result<File> {
    use rustix::fs::{Mode, OFlags};
    let flags = OFlags::RDWR | OFlags::TMPFILE | OFlags::CLOEXEC;
    Ok(rustix::fs::open(folder, flags, Mode::RUSR | Mode::WUSR)?.into())
}

/// Only Linux supports files without a name, and not on every file system.
#[cfg(not(target_os = "linux"))]
fn unnamed_file(_: &Path) -> io::Result<File> {
    Err(io::ErrorKind::Unsupported.into())
}

fn removed_file(folder: &Path) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt as _;
    let path = folder.join(format!("hubwatch-{:016x}", fastrand::u64(..)));
    let file = File::options().read(true).write(true).create_new(true).mode(0o600).open(&path)?;
    std::fs::remove_file(&path)?;
    Ok(file)
}

/// Reads the lines of the Collector's compressed format: each request is compressed separately, after its length.
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
        let compressed = (&mut self.file).take(u64::from(u32::from_be_bytes(length)));
        let mut line = Vec::new();
        zstd::Decoder::new(compressed)?.take(MAX_BODY_BYTES as u64).read_to_end(&mut line)?;
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
    fn without_unnamed_files_a_temporary_file_is_removed_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let mut file = removed_file(folder.path()).unwrap();
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
        file.write_all(b"kept after removal").unwrap();
        let mut kept = [0; 4];
        file.read_exact_at(&mut kept, 0).unwrap();
        assert_eq!(&kept, b"kept");
        assert!(removed_file(&folder.path().join("absent")).is_err());
    }
}
