//! Decides when to look at the log: on a file event, or by the clock if none comes.
//!
//! Events are hints that only shorten the wait. Bind mounts, network and user-space file systems may send none, two renames in
//! quick succession lose some, and there may be no inotify instance left.

use std::path::{Path, PathBuf};
use std::time::Duration;

use futures_util::FutureExt as _;
use linemux::MuxedEvents;
use tokio::task::coop::unconstrained;
use tokio::time::{Instant, sleep_until};

use super::poll_interval::{MIN_INTERVAL, PollInterval};

/// With more events than this between two looks, polling is less work.
const MANY_EVENTS: usize = 200;

/// Files beyond this number are polled instead of watched.
const MANY_FILES: usize = 64;

/// How long to poll before events are tried again after a failure.
const RETRY: Duration = Duration::from_secs(60);

/// Decides when the next look is due.
pub struct Wake {
    interval: PollInterval,
    events: Option<Events>,
    /// Time of the last look.
    last: Instant,
    /// True if the last look did not reach the log's end.
    due_now: bool,
    /// True if an event came since the last look.
    event_seen: bool,
    /// True if lines came without an event, which may only be late.
    suspected_miss: bool,
    /// Consecutive times that lines came without an event.
    misses: u32,
    /// True once the lack of events was logged.
    reported: bool,
    retry: Instant,
}

struct Events {
    muxed: MuxedEvents,
    watched: Vec<PathBuf>,
    /// True if all of the log's files are watched.
    all: bool,
}

impl Wake {
    /// Creates a `Wake` whose first look is due at once.
    pub fn new() -> Self {
        let now = Instant::now();
        Self {
            interval: PollInterval::default(),
            events: None,
            last: now,
            due_now: true,
            event_seen: true,
            suspected_miss: false,
            misses: 0,
            reported: false,
            retry: now,
        }
    }

    /// Waits until the next look is due. Safe to cancel and call again.
    pub async fn wait(&mut self) {
        while !self.due_now {
            let with_events = self.events.as_ref().is_some_and(|events| events.all);
            let wait = if self.event_seen { MIN_INTERVAL } else { self.interval.wait(with_events) };
            tokio::select! {
                () = sleep_until(self.last + wait) => return,
                event_seen = next(&mut self.events), if !self.event_seen => match event_seen {
                    Ok(()) => self.event_seen = true,
                    Err(reason) => self.do_without(&reason),
                },
            }
        }
    }

    /// Makes the next look due at once, because this one did not reach the log's end.
    pub fn go_on(&mut self) {
        self.due_now = true;
    }

    /// Records a look that reached the log's end: whether it found lines, and the log's files.
    pub async fn looked<'a>(&mut self, moved: bool, files: impl Iterator<Item = &'a Path>) {
        self.due_now = false;
        let waited = self.last.elapsed();
        self.last = Instant::now();
        let was_quiet = self.interval.is_quiet();
        self.interval.looked(moved, waited);
        let more = self.events.as_mut().map_or(0, Events::drain);
        let event_seen = std::mem::take(&mut self.event_seen) || more > 0;
        self.check_events_arrive(moved && was_quiet, event_seen);
        if more > MANY_EVENTS {
            self.events = None;
        } else if self.events.is_none()
            && (self.interval.is_quiet() || !moved)
            && !self.interval.are_events_missing()
            && self.last >= self.retry
        {
            match MuxedEvents::new() {
                Ok(muxed) => self.events = Some(Events { muxed, watched: Vec::new(), all: false }),
                Err(error) => self.do_without(&error.to_string()),
            }
        }
        if let Some(events) = &mut self.events {
            events.watch(files).await;
        }
    }

    /// Detects that events don't arrive.
    fn check_events_arrive(&mut self, surprising: bool, event_seen: bool) {
        if event_seen {
            self.misses = 0;
        } else if self.suspected_miss {
            // A watch can get lost when its file is renamed, so a new one gets one more chance.
            self.misses += 1;
            self.events = None;
            if self.misses > 1 {
                self.interval.mark_events_missing();
                self.report_once("new lines came without an event");
            }
        }
        self.suspected_miss = surprising && !event_seen && self.events.as_ref().is_some_and(|events| events.all);
    }

    fn do_without(&mut self, reason: &str) {
        self.events = None;
        self.retry = Instant::now() + RETRY;
        self.report_once(reason);
    }

    fn report_once(&mut self, reason: &str) {
        if !std::mem::replace(&mut self.reported, true) {
            tracing::info!(reason, "file events are not available; the log is polled");
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
        f.debug_struct("Wake").field("interval", &self.interval).field("watched", &watched).finish_non_exhaustive()
    }
}

/// Waits for an event; never returns if nothing is watched.
async fn next(events: &mut Option<Events>) -> Result<(), String> {
    match events {
        Some(events) if !events.watched.is_empty() => match events.muxed.next_event().await {
            Ok(Some(_)) => Ok(()),
            Ok(None) => Err("no file is watched any more".to_owned()),
            Err(error) => Err(error.to_string()),
        },
        _ => std::future::pending().await,
    }
}

impl Events {
    /// Takes the queued events, because the queue is unbounded. An error shows at the next wait.
    fn drain(&mut self) -> usize {
        let mut drained = 0;
        // Tokio lets a task take 128 messages at once and then says that there is none. So a storm would go unnoticed, and its events
        // would fill memory.
        while !self.watched.is_empty()
            && drained <= MANY_EVENTS
            && matches!(unconstrained(self.muxed.next_event()).now_or_never(), Some(Ok(Some(_))))
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
            // Resolve links here: the library resolves links of folders against the wrong folder.
            let target = std::fs::canonicalize(file).unwrap_or_else(|_| file.to_owned());
            match self.muxed.add_file(target).await {
                Ok(_) => self.watched.push(file.to_owned()),
                // Its folder does not exist yet, or the limit of inotify watches is reached.
                Err(_) => self.all = false,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    /// Far longer than it takes.
    const DEADLINE: Duration = Duration::from_secs(30);

    /// Appends a line as some loggers do, opening the file anew for each.
    fn append(log: &Path) {
        let mut file = std::fs::File::options().append(true).create(true).open(log).unwrap();
        file.write_all(b"a line\n").unwrap();
    }

    /// Looks without finding lines until the log counts as quiet.
    async fn quiet(wake: &mut Wake, file: &Path) {
        for _ in 0..40 {
            wake.wait().await;
            wake.looked(false, std::iter::once(file)).await;
        }
    }

    #[tokio::test]
    async fn a_new_line_wakes_before_the_clock_does() {
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
    async fn without_file_events_the_log_is_polled_and_that_is_logged_once() {
        // procfs sends no file events.
        let path = Path::new("/proc/self/stat");
        let mut wake = Wake::new();
        for _ in 0..3 {
            quiet(&mut wake, path).await;
            wake.wait().await;
            wake.looked(true, std::iter::once(path)).await;
        }
        quiet(&mut wake, path).await;
        assert!(wake.reported && wake.interval.are_events_missing() && wake.events.is_none());
    }

    #[tokio::test]
    async fn a_folder_that_does_not_exist_yet_does_not_end_the_wait() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("not/yet/hub.log");
        let mut wake = Wake::new();
        wake.looked(false, std::iter::once(path.as_path())).await;
        assert!(wake.events.as_ref().is_some_and(|events| !events.all));
        wake.wait().await;
    }

    #[tokio::test]
    async fn a_log_that_grows_fast_is_polled_instead_of_queueing_an_event_for_each_line() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("hub.log");
        append(&log);
        let mut wake = Wake::new();
        wake.looked(false, std::iter::once(&*log)).await;
        assert!(wake.events.as_ref().is_some_and(|events| events.all), "its events are watched");
        let done = Arc::new(AtomicBool::new(false));
        let writer = std::thread::spawn({
            let (log, done) = (log.clone(), Arc::clone(&done));
            move || {
                while !done.load(Ordering::Relaxed) {
                    append(&log);
                }
            }
        });
        let noticed = async {
            while wake.events.is_some() {
                wake.wait().await;
                wake.looked(true, std::iter::once(&*log)).await;
            }
        };
        let noticed = tokio::time::timeout(DEADLINE, noticed).await;
        done.store(true, Ordering::Relaxed);
        writer.join().unwrap();
        noticed.expect("the storm is noticed");
    }
}
