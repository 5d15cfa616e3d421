//! Marks: planned maintenance and tests, announced with `hubwatch mark` or by a scenario. They are files in a folder beside the journal, which the
//! sidecar reads with its next poll or when it starts, so it need not run when they are made.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::base::atomic;
use crate::watch::{Fact, FactKind, MarkBegan, MarkEnded, Micros, Text, Timestamp, WatcherFact};

/// The folder of the marks in the state folder.
const FOLDER: &str = "marks";

/// The known disturbances: the scenarios, and `sse_disconnect`, which a person marks. Criteria refer to these names.
pub const KNOWN: [&str; 15] = [
    "server_crash",
    "gemini_failure",
    "session_isolation",
    "sse_disconnect",
    "high_load",
    "session_cleanup",
    "concurrent_sessions",
    "meta_tool",
    "tools_usable",
    "sse_lost",
    "log_growth",
    "half_open",
    "mid_call_leave",
    "log_disk_full",
    "soak",
];

/// The kind of a mark.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Edge {
    /// The beginning of a window.
    Begin,
    /// Its end.
    End,
}

/// A mark.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// Its time.
    pub at: Timestamp,
    /// Its kind.
    pub edge: Edge,
    /// The name of the disturbance.
    pub name: String,
}

impl Mark {
    /// Returns the mark of a fact; `None` for other facts.
    pub fn of_fact(fact: &Fact) -> Option<Self> {
        let (edge, name) = match &fact.kind {
            FactKind::Watcher(WatcherFact::MarkBegan(mark)) => (Edge::Begin, &mark.name),
            FactKind::Watcher(WatcherFact::MarkEnded(mark)) => (Edge::End, &mark.name),
            _ => return None,
        };
        Some(Self { at: fact.when.latest(), edge, name: name.to_string() })
    }

    /// Returns the mark as a fact.
    pub fn fact(&self) -> FactKind {
        let name = Text::new(self.name.as_str());
        match self.edge {
            Edge::Begin => MarkBegan { name }.into(),
            Edge::End => MarkEnded { name }.into(),
        }
    }
}

/// A planned window.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Announced {
    /// Its name.
    pub name: String,
    /// Its beginning.
    pub begun: Timestamp,
    /// Its end, if it is known.
    pub ended: Option<Timestamp>,
}

impl Announced {
    /// Returns whether it is open at this time. Without an end it is open for at most `longest`.
    pub fn is_on(&self, at: Timestamp, longest: Micros) -> bool {
        let end = self.begun.plus(longest);
        self.begun <= at && at < self.ended.map_or(end, |ended| ended.min(end))
    }

    /// Returns whether its end is missing, so that only its first hours count.
    pub fn is_forgotten(&self, now: Timestamp, longest: Micros) -> bool {
        self.ended.unwrap_or(now).since(self.begun) > longest
    }
}

/// Pairs beginnings with ends. Like the judge, it ignores the beginning of an open window and the end of one that is not open. A
/// window without an end is closed after the longest time.
pub fn announced(mut marks: Vec<Mark>, longest: Micros) -> Vec<Announced> {
    marks.sort_by_key(|mark| (mark.at, mark.edge));
    let mut all: Vec<Announced> = Vec::new();
    for Mark { at, edge, name } in marks {
        let told_again = all.iter().any(|known| known.name == name && known.begun == at);
        let open = all.iter_mut().rev().find(|announced| announced.name == name && announced.ended.is_none());
        match (edge, open) {
            (Edge::Begin, Some(open)) if open.is_on(at, longest) => {}
            (Edge::Begin, _) if told_again => {}
            (Edge::Begin, _) => all.push(Announced { name, begun: at, ended: None }),
            (Edge::End, Some(open)) => open.ended = Some(at),
            (Edge::End, None) => {}
        }
    }
    all
}

/// Writes a mark to the folder, atomically.
pub fn lay(state_dir: &Path, mark: &Mark) -> std::io::Result<()> {
    let folder = state_dir.join(FOLDER);
    // Names sort by time; the PID and the edge distinguish marks of the same time.
    let edge = match mark.edge {
        Edge::Begin => "begin",
        Edge::End => "end",
    };
    let name = format!("{:020}-{}-{edge}", mark.at.get(), std::process::id());
    atomic::write_json(&folder.join(format!("{name}.json")), mark)
}

/// Returns the waiting marks and their files, by time. Unreadable files are renamed with a warning.
pub fn waiting(state_dir: &Path) -> Vec<(PathBuf, Mark)> {
    waiting_but(state_dir, &HashSet::new())
}

/// Returns the waiting marks without those of files that are known.
pub fn waiting_but(state_dir: &Path, known: &HashSet<PathBuf>) -> Vec<(PathBuf, Mark)> {
    let new = super::files(&state_dir.join(FOLDER)).into_iter().filter(|path| !known.contains(path));
    new.filter_map(|path| super::read(&path, "this mark").map(|mark| (path, mark))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::announce::done;

    #[test]
    fn marks_wait_in_order_until_they_are_done_and_a_broken_one_is_set_aside() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(waiting(folder.path()), []);
        let mark = |second, edge| Mark { at: Timestamp::from_secs(second), edge, name: "server_crash".to_owned() };
        lay(folder.path(), &mark(200, Edge::End)).unwrap();
        lay(folder.path(), &mark(100, Edge::Begin)).unwrap();
        std::fs::write(folder.path().join("marks/0.json"), "{").unwrap();
        let found = waiting(folder.path());
        let marks: Vec<&Mark> = found.iter().map(|(_, mark)| mark).collect();
        assert_eq!(marks, [&mark(100, Edge::Begin), &mark(200, Edge::End)]);
        assert!(folder.path().join("marks/0.unreadable").exists());
        done(&found.into_iter().map(|(path, _)| path).collect::<Vec<_>>());
        assert_eq!(waiting(folder.path()), []);
    }

    #[test]
    fn a_disturbance_lasts_from_its_begin_to_its_end_and_at_most_for_the_longest_time() {
        let mark = |second, edge, name: &str| Mark { at: Timestamp::from_secs(second), edge, name: name.to_owned() };
        let longest = Micros::new(1_000_000_000);
        let marks = vec![
            mark(100, Edge::Begin, "a"),
            mark(100, Edge::Begin, "a"),
            mark(150, Edge::Begin, "a"),
            mark(120, Edge::Begin, "b"),
            mark(200, Edge::End, "a"),
            mark(300, Edge::End, "a"),
            mark(400, Edge::End, "c"),
            mark(5_000, Edge::Begin, "b"),
        ];
        let all = announced(marks, longest);
        let spans: Vec<_> = all.iter().map(|one| (one.name.as_str(), one.begun, one.ended)).collect();
        let second = Timestamp::from_secs;
        assert_eq!(spans, [("a", second(100), Some(second(200))), ("b", second(120), None), ("b", second(5_000), None)]);
        let on = |at| all.iter().filter(|one| one.is_on(second(at), longest)).count();
        assert_eq!([99, 100, 130, 200, 1_119, 1_120, 5_000, 6_000].map(on), [0, 1, 2, 1, 1, 0, 1, 0]);
        assert!(all[1].is_forgotten(second(6_000), longest) && !all[2].is_forgotten(second(6_000), longest));
    }

    #[test]
    fn the_known_disturbances_are_those_that_criteria_judge() {
        let criteria = crate::judge::rules::DEFAULT;
        let judged: std::collections::BTreeSet<&str> = criteria
            .split("\"checks.")
            .skip(1)
            .filter_map(|rest| rest.split('"').next())
            .filter(|name| *name != "failed")
            .collect();
        assert!(judged.iter().all(|name| KNOWN.contains(name)), "{judged:?}");
        assert!(judged.contains("server_crash"));
    }
}
