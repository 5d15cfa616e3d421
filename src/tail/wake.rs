//! Tells when to look at the log: an event of the file system wakes, the clock makes sure.
//!
//! Events are hints. They come for nothing on bind mounts, network and user-space file systems, they are lost when a file is
//! renamed twice in a moment, and there may be no inotify instance left. So no look depends on one; they only shorten the wait.

use std::path::{Path, PathBuf};
use std::time::Duration;

use futures_util::FutureExt as _;
use linemux::MuxedEvents;
use tokio::time::{Instant, sleep_until};

use super::pace::{GAP, Pace};

/// More events than this between two looks are more work than looking by the clock.
const MANY_EVENTS: usize = 200;

/// More files than this are not watched, only looked at.
const MANY_FILES: usize = 64;

/// How long to do without events after they failed.
const RETRY: Duration = Duration::from_secs(60);

/// Says when the next look is due.
pub struct Wake {
    pace: Pace,
    events: Option<Events>,
    /// When the last look was.
    last: Instant,
    /// The last look did not come to the end.
    at_once: bool,
    /// Whether an event came since.
    heard: bool,
    /// Lines came without an event: maybe it is only late.
    suspicion: bool,
    /// How often in a row that was so.
    missed: u32,
    /// Whether people know that there are no events.
    said: bool,
    retry: Instant,
}

struct Events {
    muxed: MuxedEvents,
    watched: Vec<PathBuf>,
    /// Whether all of the log's files are watched.
    all: bool,
}

impl Wake {
    /// The first look is due at once.
    pub fn new() -> Self {
        let now = Instant::now();
        Self {
            pace: Pace::default(),
            events: None,
            last: now,
            at_once: true,
            heard: true,
            suspicion: false,
            missed: 0,
            said: false,
            retry: now,
        }
    }

    /// Waits until the next look is due. It may be given up and begun again at any time.
    pub async fn wait(&mut self) {
        while !self.at_once {
            let told = self.events.as_ref().is_some_and(|events| events.all);
            let wait = if self.heard { GAP } else { self.pace.wait(told) };
            tokio::select! {
                () = sleep_until(self.last + wait) => return,
                heard = next(&mut self.events), if !self.heard => match heard {
                    Ok(()) => self.heard = true,
                    Err(reason) => self.do_without(&reason),
                },
            }
        }
    }

    /// The look did not come to the log's end: the next one is due at once.
    pub fn go_on(&mut self) {
        self.at_once = true;
    }

    /// Takes note of a look to the log's end: whether it found lines, and where the log's files stand.
    pub async fn looked<'a>(&mut self, moved: bool, files: impl Iterator<Item = &'a Path>) {
        self.at_once = false;
        let waited = self.last.elapsed();
        self.last = Instant::now();
        let was_quiet = self.pace.is_quiet();
        self.pace.looked(moved, waited);
        let more = self.events.as_mut().map_or(0, Events::drain);
        let heard = std::mem::take(&mut self.heard) || more > 0;
        self.judge(moved && was_quiet, heard);
        if more > MANY_EVENTS {
            self.events = None;
        } else if self.events.is_none() && (self.pace.is_quiet() || !moved) && !self.pace.is_untold() && self.last >= self.retry {
            match MuxedEvents::new() {
                Ok(muxed) => self.events = Some(Events { muxed, watched: Vec::new(), all: false }),
                Err(error) => self.do_without(&error.to_string()),
            }
        }
        if let Some(events) = &mut self.events {
            events.watch(files).await;
        }
    }

    /// Finds out whether events come at all.
    fn judge(&mut self, surprising: bool, heard: bool) {
        if heard {
            self.missed = 0;
        } else if self.suspicion {
            // A watch can get lost when its file is renamed: one that is made anew gets one more chance.
            self.missed += 1;
            self.events = None;
            if self.missed > 1 {
                self.pace.is_not_told();
                self.say("none came for new lines");
            }
        }
        self.suspicion = surprising && !heard && self.events.as_ref().is_some_and(|events| events.all);
    }

    fn do_without(&mut self, reason: &str) {
        self.events = None;
        self.retry = Instant::now() + RETRY;
        self.say(reason);
    }

    fn say(&mut self, reason: &str) {
        if !std::mem::replace(&mut self.said, true) {
            tracing::info!(reason, "no file events here; the log is looked at by the clock");
        }
    }
}

impl Default for Wake {
    fn default() -> Self {
        Self::new()
    }
}

impl std::fmt::Debug for Wake {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let watched = self.events.as_ref().map(|events| &events.watched);
        f.debug_struct("Wake").field("pace", &self.pace).field("watched", &watched).finish_non_exhaustive()
    }
}

/// Waits for an event; for ever if nothing is watched.
async fn next(events: &mut Option<Events>) -> Result<(), String> {
    match events {
        Some(events) if !events.watched.is_empty() => match events.muxed.next_event().await {
            Ok(Some(_)) => Ok(()),
            Ok(None) => Err("nothing is watched any more".to_owned()),
            Err(error) => Err(error.to_string()),
        },
        _ => std::future::pending().await,
    }
}

impl Events {
    /// Takes what came meanwhile: the queue has no bound of its own. What is wrong with it shows at the next wait.
    fn drain(&mut self) -> usize {
        let mut drained = 0;
        while !self.watched.is_empty()
            && drained <= MANY_EVENTS
            && matches!(self.muxed.next_event().now_or_never(), Some(Ok(Some(_))))
        {
            drained += 1;
        }
        drained
    }

    async fn watch<'a>(&mut self, files: impl Iterator<Item = &'a Path>) {
        self.all = true;
        for file in files {
            if self.watched.iter().any(|watched| watched == file) {
                continue;
            }
            if self.watched.len() >= MANY_FILES {
                self.all = false;
                return;
            }
            // Links are followed here: a watch is on a file, and the library looks at folders' links from the wrong place.
            let target = std::fs::canonicalize(file).unwrap_or_else(|_| file.to_owned());
            match self.muxed.add_file(target).await {
                Ok(_) => self.watched.push(file.to_owned()),
                // Its folder is not there yet, or the limit of watches is reached.
                Err(_) => self.all = false,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    /// Looks that find nothing, until it is quiet.
    async fn quiet(wake: &mut Wake, file: &Path) {
        for _ in 0..40 {
            wake.wait().await;
            wake.looked(false, std::iter::once(file)).await;
        }
    }

    #[tokio::test]
    async fn a_line_wakes_before_the_clock_does() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("hub.log");
        std::fs::write(&path, "").unwrap();
        let mut wake = Wake::new();
        wake.looked(false, std::iter::once(path.as_path())).await;
        // The clock alone would take an hour.
        wake.last = Instant::now() + Duration::from_secs(3600);
        let mut file = std::fs::File::options().append(true).open(&path).unwrap();
        file.write_all(b"line\n").unwrap();
        assert!(next(&mut wake.events).await.is_ok());
        assert!(wake.events.as_ref().unwrap().all);
    }

    #[tokio::test(start_paused = true)]
    async fn where_no_event_ever_comes_the_clock_takes_over_and_it_is_said_once() {
        // No event ever tells of what lies behind a procfs file.
        let path = Path::new("/proc/self/stat");
        let mut wake = Wake::new();
        for _ in 0..3 {
            quiet(&mut wake, path).await;
            wake.wait().await;
            wake.looked(true, std::iter::once(path)).await;
        }
        quiet(&mut wake, path).await;
        assert!(wake.said && wake.pace.is_untold() && wake.events.is_none());
    }

    #[tokio::test]
    async fn a_folder_that_is_not_there_can_be_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("not/yet/hub.log");
        let mut wake = Wake::new();
        wake.looked(false, std::iter::once(path.as_path())).await;
        assert!(wake.events.as_ref().is_some_and(|events| !events.all));
        wake.wait().await;
    }
}
