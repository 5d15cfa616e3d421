//! The files that a running Node or Bun process was told to load before its program.

use std::collections::BTreeMap;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

/// A larger file is no preload of ours and is not read.
const LARGEST: u64 = 1 << 20;

/// Flags of `node` and `bun` whose value is a file to load first.
const FLAGS: [&str; 4] = ["--import", "--preload", "--require", "-r"];

/// How Bun's program is called, also as `bun.exe`. Bun ignores Node's variable.
const BUN: &str = "bun";

/// How a process was started, as far as it concerns its preloads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Start {
    pid: u32,
    /// The name of its program, such as `node` or `bun`.
    program: Option<String>,
    words: Vec<String>,
    variables: BTreeMap<String, String>,
}

impl Start {
    /// Reads how a process was started.
    ///
    /// # Errors
    /// The process has ended, or this user may not read its environment.
    pub fn of(pid: u32) -> io::Result<Self> {
        let read = |name: &str| std::fs::read(format!("/proc/{pid}/{name}"));
        let variables = words(&read("environ")?);
        let variables = variables.iter().filter_map(|pair| pair.split_once('=')).map(|(name, value)| (name.into(), value.into()));
        Ok(Self { pid, program: super::executable(pid), words: words(&read("cmdline")?), variables: variables.collect() })
    }

    /// Returns a variable of its environment; `None` if it is absent or empty.
    pub fn variable(&self, name: &str) -> Option<&str> {
        self.variables.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// Returns whether it runs under Bun.
    pub fn is_bun(&self) -> bool {
        self.program.as_deref().is_some_and(|program| program.starts_with(BUN))
    }

    /// Returns the files that it loads first, as they were named.
    pub fn preloads(&self) -> Vec<PathBuf> {
        let flags = if self.is_bun() {
            // Bun knows no quotes here.
            self.variable("BUN_OPTIONS").map(|value| value.split_whitespace().map(str::to_owned).collect())
        } else {
            self.variable("NODE_OPTIONS").map(split)
        };
        let by_variable = flags.map_or(Vec::new(), |flags: Vec<String>| files(&flags));
        // The program's own arguments follow the program, but its name can't be told from the value of an unknown flag.
        by_variable.into_iter().chain(files(self.words.get(1..).unwrap_or_default())).map(|file| path_of(&file)).collect()
    }

    /// Reads one of these files as the process sees it, in its own file system and from its own folder.
    ///
    /// # Errors
    /// The file is absent or larger than 1 MiB, is not text, or may not be read.
    pub fn text_of(&self, preload: &Path) -> io::Result<String> {
        let folder = std::fs::read_link(format!("/proc/{}/cwd", self.pid))?;
        let absolute = folder.join(preload);
        let seen = Path::new("/proc").join(self.pid.to_string()).join("root").join(absolute.strip_prefix("/").unwrap_or(&absolute));
        if std::fs::metadata(&seen)?.len() > LARGEST {
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, "the file is larger than 1 MiB"));
        }
        std::fs::read_to_string(seen)
    }
}

/// Splits what `/proc` separates by NUL.
fn words(bytes: &[u8]) -> Vec<String> {
    let text = |word: &[u8]| std::ffi::OsStr::from_bytes(word).to_string_lossy().into_owned();
    bytes.split(|byte| *byte == 0).filter(|word| !word.is_empty()).map(text).collect()
}

/// Returns the values of the flags that load a file.
fn files(words: &[String]) -> Vec<String> {
    let mut files = Vec::new();
    let mut words = words.iter();
    while let Some(word) = words.next() {
        match word.split_once('=') {
            Some((flag, file)) if FLAGS.contains(&flag) => files.push(file.to_owned()),
            None if FLAGS.contains(&word.as_str()) => files.extend(words.next().cloned()),
            Some(_) | None => {}
        }
    }
    files
}

/// Splits flags as Node does: at spaces outside of double quotes; inside them a backslash escapes.
fn split(options: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut quoted = false;
    let mut letters = options.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '"' => quoted = !quoted,
            '\\' if quoted => words.last_mut().expect("there is always one").extend(letters.next()),
            ' ' if !quoted => words.push(String::new()),
            letter => words.last_mut().expect("there is always one").push(letter),
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

/// Node also takes a `file:` URL.
fn path_of(file: &str) -> PathBuf {
    let path = reqwest::Url::parse(file).ok().filter(|url| url.scheme() == "file").and_then(|url| url.to_file_path().ok());
    path.unwrap_or_else(|| PathBuf::from(file))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn preloads(words: &[&str], variables: &[(&str, &str)]) -> Vec<String> {
        let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let start = Start { pid: 1, program: words.first().cloned(), words, variables };
        start.preloads().iter().map(|path| path.to_string_lossy().into_owned()).collect()
    }

    #[test]
    fn a_preload_is_found_in_flags_and_variables_of_node_and_bun() {
        assert_eq!(preloads(&["node", "--import", "/a.mjs", "hub.js", "--port", "1"], &[]), ["/a.mjs"]);
        assert_eq!(preloads(&["bun", "--preload=./a.mjs", "hub.js"], &[]), ["./a.mjs"]);
        assert_eq!(
            preloads(&["node", "hub.js"], &[("NODE_OPTIONS", "--max-old-space-size=99 --import  /a.mjs -r /b.cjs")]),
            ["/a.mjs", "/b.cjs"]
        );
        assert_eq!(preloads(&["bun", "hub.js"], &[("BUN_OPTIONS", "--preload /a.mjs")]), ["/a.mjs"]);
        assert_eq!(preloads(&["node", "hub.js"], &[("NODE_OPTIONS", r#"--import "/a b/\"c\".mjs""#)]), [r#"/a b/"c".mjs"#]);
        assert_eq!(preloads(&["node", "hub.js"], &[("NODE_OPTIONS", "--import=file:///a%20b.mjs")]), ["/a b.mjs"]);
        assert_eq!(preloads(&["node", "hub.js"], &[("PATH", "--import /a.mjs")]), Vec::<String>::new());
        assert_eq!(preloads(&["bun", "hub.js"], &[("NODE_OPTIONS", "--import /a.mjs")]), Vec::<String>::new());
    }

    #[test]
    fn a_process_shows_its_own_start() {
        let start = Start::of(std::process::id()).unwrap();
        assert_eq!(start.variable("PATH"), std::env::var("PATH").ok().as_deref());
        assert_eq!(start.preloads(), Vec::<PathBuf>::new());
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "text").unwrap();
        assert_eq!(start.text_of(file.path()).unwrap(), "text");
        assert!(Start::of(u32::MAX).is_err());
    }
}
