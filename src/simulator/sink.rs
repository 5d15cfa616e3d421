//! Destinations of the hub's log file.

use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::Path;

/// A destination of a simulated hub's log lines.
pub trait LogSink {
    /// Empties the file: the legacy logger does that at every start of the hub.
    fn truncate(&mut self) -> io::Result<()>;

    /// Writes one line, without its line end.
    fn line(&mut self, file_line: &str) -> io::Result<()>;

    /// Makes everything written so far readable by others. Called at the end of each advance.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl LogSink for Vec<u8> {
    fn truncate(&mut self) -> io::Result<()> {
        self.clear();
        Ok(())
    }

    fn line(&mut self, file_line: &str) -> io::Result<()> {
        self.extend_from_slice(file_line.as_bytes());
        self.push(b'\n');
        Ok(())
    }
}

/// A log file on disk, opened for appending like the hub does: emptying it keeps the inode.
#[derive(Debug)]
pub struct FileSink {
    file: BufWriter<File>,
}

impl FileSink {
    /// Opens the file or creates it; its content stays.
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().create(true).append(true).open(path)?;
        Ok(Self { file: BufWriter::new(file) })
    }
}

impl LogSink for FileSink {
    fn truncate(&mut self) -> io::Result<()> {
        self.file.flush()?;
        self.file.get_ref().set_len(0)
    }

    fn line(&mut self, file_line: &str) -> io::Result<()> {
        self.file.write_all(file_line.as_bytes())?;
        self.file.write_all(b"\n")
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_truncated_file_is_written_from_its_beginning() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("mcp-hub.log");
        let mut sink = FileSink::open(&path).unwrap();
        sink.line("before the restart").unwrap();
        sink.truncate().unwrap();
        sink.line("after").unwrap();
        sink.flush().unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "after\n");
    }
}
