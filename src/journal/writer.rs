//! The journal's only writer: a thread that owns the connection, and its handle.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{Read as _, Seek as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;

use rusqlite::{Connection, OptionalExtension as _, params};
use tokio::sync::{mpsc, oneshot, watch};

use super::file_loss::{JournalFiles, Loss};
use super::received::{self, Hours, ReceivedRows, Recorded};
use super::recovery::{self, Recovered};
use super::retention::{self, Limits, Retention};
use super::{
    Commit, Commits, CreatedAgain, FILE_NAME, JournalError, KnownHub, LOCK_NAME, NotCommitted, Recipient, Signal, Stats, hubs,
    rows, schema, spool,
};
use crate::clocks::{self, ReadClocks};
use crate::journal::DestinationName;
use crate::watch::{Bytes, Timestamp, WatcherId};

/// Maximum queue of jobs: a longer one would only hide a slow disk.
const MAX_WAITING: usize = 64;

type Job = Box<dyn FnOnce(&mut Writer) + Send>;

/// The handle of the writer; clones share the writer.
#[derive(Debug, Clone)]
pub struct Journal {
    jobs: mpsc::Sender<Job>,
    /// Counts commits, so that senders can wait for the next one.
    commits: Commits,
}

/// A journal opened for writing.
#[derive(Debug)]
pub struct Opened {
    /// Its handle.
    pub journal: Journal,
    /// The watcher's id, generated once.
    pub watcher: WatcherId,
    /// The number of this run; each run adds one.
    pub run: u32,
    /// The key that hashes session ids, generated once.
    pub session_key: [u8; 32],
    /// The state of the last commit.
    pub checkpoint: Option<Vec<u8>>,
    /// The recovery of a damaged journal, if there was one.
    pub recovered: Option<Recovered>,
}

/// Rows for a destination, as one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outgoing {
    /// The rows' encoded requests, concatenated to one request.
    pub otlp: Vec<u8>,
    /// Number of rows.
    pub rows: u32,
    /// The last row.
    pub last: Passed,
    /// Number of records.
    pub records: u64,
}

/// A row of a sender's queue, by its table and id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Passed {
    /// One of our own spans.
    Span(i64),
    /// A row of the spool: logs, metrics, and what others sent to the receiver.
    Spool(i64),
}

/// A request that a destination permanently rejected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    /// An encoded request.
    pub otlp: Vec<u8>,
    /// Number of records.
    pub records: u64,
    /// Why it was rejected.
    pub reason: String,
}

struct Writer {
    connection: Connection,
    recipients: Vec<Recipient>,
    commits: watch::Sender<u64>,
    retention: Retention,
    clocks: ReadClocks,
    files: JournalFiles,
    /// The loss for which the last commit failed.
    lost: Option<Loss>,
    /// Repaired losses that were not reported yet.
    created_again: Vec<CreatedAgain>,
    /// The age of received requests.
    hours: Hours,
    /// The lock file, locked while it is open.
    lock: File,
    /// Set to stop the writer. The last field, so that it is dropped after the connection and the lock.
    closing: Option<oneshot::Sender<()>>,
}

impl Journal {
    /// Opens the journal of a state folder for writing, with the default limits.
    pub fn open(state_dir: &Path) -> Result<Opened, JournalError> {
        Self::open_within(state_dir, Limits::default())
    }

    /// Opens the journal of a state folder for writing, and creates both if needed. A damaged file is kept beside it, and its readable
    /// rows are copied to a new one.
    pub fn open_within(state_dir: &Path, limits: Limits) -> Result<Opened, JournalError> {
        Self::open_by(state_dir, limits, clocks::of_machine())
    }

    /// Opens the journal with other clocks than the machine's, for tests of clock jumps.
    pub fn open_by(state_dir: &Path, limits: Limits, clocks: ReadClocks) -> Result<Opened, JournalError> {
        let folder = |reason| JournalError::Folder { path: state_dir.to_owned(), reason };
        DirBuilder::new().recursive(true).mode(0o700).create(state_dir).map_err(folder)?;
        let lock = lock(state_dir)?;
        let path = state_dir.join(FILE_NAME);
        // SQLite would create a file that every user can read, but log lines may hold private data.
        OpenOptions::new().append(true).create(true).mode(0o600).open(&path).map_err(folder)?;
        let (mut connection, recovered) = recovery::open(&path, folder)?;
        let identity = identify(&mut connection, state_dir)?;
        let (commits, committed) = watch::channel(0);
        let retention = Retention::new(limits, state_dir.to_owned());
        let files = JournalFiles::of_open(state_dir, &lock);
        let writer = Writer {
            connection,
            recipients: Vec::new(),
            commits,
            retention,
            clocks,
            files,
            lost: None,
            created_again: Vec::new(),
            hours: Hours::default(),
            lock,
            closing: None,
        };
        let (jobs, waiting) = mpsc::channel(MAX_WAITING);
        std::thread::Builder::new().name("journal".to_owned()).spawn(move || writer.work(waiting)).map_err(folder)?;
        let (watcher, run, session_key, checkpoint) = identity;
        Ok(Opened { journal: Self { jobs, commits: Commits(committed) }, watcher, run, session_key, checkpoint, recovered })
    }

    async fn job<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut Writer) -> Result<T, JournalError> + Send + 'static,
    ) -> Result<T, JournalError> {
        let (reply, result) = oneshot::channel();
        let job: Job = Box::new(move |writer| {
            // The caller may be gone at shutdown.
            let _ = reply.send(job(writer));
        });
        self.jobs.send(job).await.map_err(|_| JournalError::Gone)?;
        result.await.map_err(|_| JournalError::Gone)?
    }

    /// Commits in one transaction, which is on disk when this returns. On an error, returns the commit for a retry.
    pub async fn commit(&self, commit: Commit) -> Result<(), NotCommitted> {
        let commit = Box::new(commit);
        let committed = self.job(move |writer| Ok(writer.commit(&commit).map_err(|error| (error, commit)))).await;
        match committed {
            Ok(Ok(())) => Ok(()),
            Ok(Err((error, commit))) => Err(NotCommitted { error, commit }),
            Err(error) => Err(NotCommitted { error, commit: Box::default() }),
        }
    }

    /// Records received requests in one transaction, which is on disk when this returns. A request whose hash is known is not recorded
    /// again.
    pub async fn receive(&self, rows: Vec<ReceivedRows>) -> Result<Vec<Recorded>, JournalError> {
        self.job(move |writer| writer.receive(&rows)).await
    }

    /// Returns the observations of received requests that no commit of the watch has used, with their ids and in their order.
    pub async fn observed(&self) -> Result<Vec<(i64, Vec<u8>)>, JournalError> {
        self.job(|writer| Ok(received::observed(&writer.connection)?)).await
    }

    /// Sets the destinations of what is committed from now on. A new one begins with the next spans; one that is no longer listed
    /// is deleted with its queue.
    pub async fn register(&self, recipients: Vec<Recipient>) -> Result<(), JournalError> {
        self.job(move |writer| writer.register(recipients)).await
    }

    /// Returns the next rows of a signal for a destination: at most `max_bytes` together, but at least one row.
    pub async fn outgoing(
        &self,
        destination: &DestinationName,
        signal: Signal,
        max_bytes: usize,
    ) -> Result<Option<Outgoing>, JournalError> {
        let destination = destination.clone();
        self.job(move |writer| writer.outgoing(&destination, signal, max_bytes)).await
    }

    /// Records that the destination has everything up to row `last`.
    pub async fn sent(&self, destination: &DestinationName, signal: Signal, last: Passed) -> Result<(), JournalError> {
        let destination = destination.clone();
        self.job(move |writer| writer.passed(&destination, signal, last)).await
    }

    /// Saves a request that the destination permanently rejected as a dead letter.
    pub async fn reject(&self, destination: &DestinationName, signal: Signal, letter: DeadLetter) -> Result<(), JournalError> {
        let destination = destination.clone();
        self.job(move |writer| writer.reject(&destination, signal, &letter)).await
    }

    /// Returns the number of rows that wait for destinations.
    pub async fn unsent(&self) -> Result<u64, JournalError> {
        self.job(|writer| Ok(spool::unsent(&writer.connection)?.0)).await
    }

    /// Returns the journal's size, backlog and losses.
    pub async fn stats(&self) -> Result<Stats, JournalError> {
        self.job(|writer| writer.stats()).await
    }

    /// Saves the name and address of the watched hub.
    pub async fn remember(&self, hub: KnownHub) -> Result<(), JournalError> {
        self.job(move |writer| hubs::remember(&writer.connection, &hub)).await
    }

    /// Returns the news of commits.
    pub fn commits(&self) -> Commits {
        self.commits.clone()
    }

    /// Checkpoints the write-ahead log and releases the folder. Commits are safe without it as well; later calls of other handles
    /// fail.
    pub async fn close(self) -> Result<(), JournalError> {
        let (closing, closed) = oneshot::channel();
        self.job(move |writer| {
            writer.closing = Some(closing);
            // The pragma returns a row. If the checkpoint fails, the next open does it.
            if let Err(error) = writer.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())) {
                tracing::warn!(%error, "could not checkpoint the journal's write-ahead log; the next start does it");
            }
            Ok(())
        })
        .await?;
        // Always an error: the writer drops the sender after the connection and the lock.
        let _: Result<(), _> = closed.await;
        Ok(())
    }
}

fn lock(state_dir: &Path) -> Result<File, JournalError> {
    let folder = |reason| JournalError::Folder { path: state_dir.to_owned(), reason };
    let path = state_dir.join(LOCK_NAME);
    let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path).map_err(folder)?;
    match file.try_lock() {
        Ok(()) => {
            file.set_len(0).and_then(|()| file.rewind()).map_err(folder)?;
            write!(file, "{}", std::process::id()).map_err(folder)?;
            Ok(file)
        }
        Err(TryLockError::WouldBlock) => {
            let mut holder = String::new();
            // The PID is only for the message, so a failed read is ignored.
            let _ = file.read_to_string(&mut holder);
            let holder = if holder.is_empty() { "unknown".to_owned() } else { holder };
            Err(JournalError::Locked { path: state_dir.to_owned(), holder })
        }
        Err(TryLockError::Error(reason)) => Err(folder(reason)),
    }
}

/// Copies a whole journal to a new file that only its owner can read.
fn copy(connection: &Connection, path: &Path) -> std::io::Result<Result<(), rusqlite::Error>> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let file = OpenOptions::new().append(true).create_new(true).mode(0o600).open(path)?;
    if let Err(error) = connection.execute("VACUUM INTO ?", [path.to_string_lossy()]) {
        return Ok(Err(error));
    }
    file.sync_all()?;
    Ok(Ok(()))
}

type Identity = (WatcherId, u32, [u8; 32], Option<Vec<u8>>);

/// Reads the watcher's identity, or generates it once; begins a new run.
fn identify(connection: &mut Connection, state_dir: &Path) -> Result<Identity, JournalError> {
    let transaction = connection.transaction()?;
    let watcher: Option<Vec<u8>> = get(&transaction, "watcher")?;
    let watcher = watcher.as_deref().and_then(WatcherId::from_slice).unwrap_or_else(|| {
        let seed = format!("{} {} {}", Timestamp::now().get(), std::process::id(), state_dir.display());
        WatcherId::from_seed(seed.as_bytes())
    });
    let key: Option<Vec<u8>> = get(&transaction, "session_key")?;
    let key: [u8; 32] = match key.and_then(|key| key.try_into().ok()) {
        Some(key) => key,
        None => random_key()?,
    };
    let run: Option<Vec<u8>> = get(&transaction, "run")?;
    let run = run.and_then(|run| run.try_into().ok()).map_or(1, |run: [u8; 4]| u32::from_le_bytes(run).saturating_add(1));
    put(&transaction, "watcher", watcher.as_bytes())?;
    put(&transaction, "session_key", &key)?;
    put(&transaction, "run", &run.to_le_bytes())?;
    let checkpoint = get(&transaction, "checkpoint")?;
    transaction.commit()?;
    Ok((watcher, run, key, checkpoint))
}

/// Generates a key by a system call: a container may have no `/dev`.
fn random_key() -> Result<[u8; 32], JournalError> {
    let mut key = [0; 32];
    let filled = rustls::crypto::ring::default_provider().secure_random.fill(&mut key);
    filled.map_err(|_| JournalError::NoRandomness)?;
    Ok(key)
}

fn get(connection: &Connection, key: &str) -> Result<Option<Vec<u8>>, rusqlite::Error> {
    connection.query_row("SELECT value FROM meta WHERE key = ?", [key], |row| row.get(0)).optional()
}

pub(super) fn put(connection: &Connection, key: &str, value: &[u8]) -> Result<(), rusqlite::Error> {
    connection.execute("INSERT OR REPLACE INTO meta(key, value) VALUES (?, ?)", params![key, value]).map(drop)
}

pub(super) fn int(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

impl Writer {
    fn work(mut self, mut jobs: mpsc::Receiver<Job>) {
        while self.closing.is_none() {
            let Some(job) = jobs.blocking_recv() else { return };
            job(&mut self);
        }
    }

    /// Fails when the journal's files are lost, because data written to them would be gone with this process. The next call creates
    /// them again.
    fn check_files(&mut self) -> Result<(), JournalError> {
        let Some(loss) = self.files.loss() else {
            // The files may have been put back.
            self.lost = None;
            return Ok(());
        };
        let path = self.files.folder().to_owned();
        if loss == Loss::Replaced {
            return Err(JournalError::Replaced { path: path.join(FILE_NAME), kept: self.save_copy() });
        }
        if self.lost.replace(loss).is_none() {
            return Err(JournalError::Lost { path, loss });
        }
        self.restore_files(loss).map_err(|error| match error {
            JournalError::Locked { .. } => error,
            error => JournalError::StillLost { path, loss, reason: error.to_string() },
        })?;
        self.lost = None;
        Ok(())
    }

    /// Copies the content of the open files to new ones with the journal's names.
    fn restore_files(&mut self, loss: Loss) -> Result<(), JournalError> {
        let folder = self.files.folder().to_owned();
        let failed = |reason| JournalError::Folder { path: folder.clone(), reason };
        DirBuilder::new().recursive(true).mode(0o700).create(&folder).map_err(failed)?;
        if self.files.has_lost_lock() {
            self.lock = lock(&folder)?;
        }
        let path = folder.join(FILE_NAME);
        if loss != Loss::Lock {
            let draft = folder.join(format!("{FILE_NAME}.draft"));
            copy(&self.connection, &draft).map_err(failed)??;
            std::fs::rename(&draft, &path).map_err(failed)?;
            // The path is another file now, so SQLite leaves that file's log alone when it closes this connection.
            self.connection = Connection::open_in_memory()?;
            for rest in ["-wal", "-shm"] {
                // Delete them if they exist: SQLite would apply another file's write-ahead log to this one.
                let _ = std::fs::remove_file(folder.join(format!("{FILE_NAME}{rest}")));
            }
            self.connection = Connection::open(&path)?;
            schema::prepare(&mut self.connection, int(Timestamp::now().get()))?;
            // The first write creates the write-ahead log.
            put(&self.connection, "restored", &Timestamp::now().get().to_le_bytes())?;
        }
        let spans: i64 = self.connection.query_row("SELECT count(*) FROM span", [], |row| row.get(0))?;
        self.files = JournalFiles::of_open(&folder, &self.lock);
        let spans = u64::try_from(spans).unwrap_or(0);
        self.created_again.push(CreatedAgain { folder, loss });
        tracing::warn!(path = %path.display(), spans, "the state folder was lost ({loss}) and was created again with all data of the journal");
        Ok(())
    }

    /// Saves a copy of the journal beside the file that replaced it; returns the outcome for the message.
    fn save_copy(&self) -> String {
        let path = self.files.folder().join(format!("{FILE_NAME}.saved-{}", Timestamp::now().get() / 1_000_000));
        match copy(&self.connection, &path) {
            Ok(Ok(())) => format!("saved as {}", path.display()),
            Ok(Err(error)) => format!("lost: {error}"),
            Err(error) => format!("lost: {error}"),
        }
    }

    fn commit(&mut self, commit: &Commit) -> Result<(), JournalError> {
        self.durably(|writer| writer.try_commit(commit))
    }

    fn receive(&mut self, rows: &[ReceivedRows]) -> Result<Vec<Recorded>, JournalError> {
        self.durably(|writer| {
            let hour = writer.hours.now(&writer.connection, (writer.clocks)().monotonic)?;
            let transaction = writer.connection.transaction()?;
            let recorded = received::insert(&transaction, rows, &writer.recipients, hour)?;
            transaction.commit()?;
            Ok(recorded)
        })
    }

    /// Commits; on a full disk, retries once after room was made.
    fn durably<T>(&mut self, commit: impl Fn(&mut Self) -> Result<T, JournalError>) -> Result<T, JournalError> {
        self.check_files()?;
        let now = (self.clocks)();
        let committed = match commit(self) {
            Err(error) if error.is_full() && self.retention.make_room(&mut self.connection, now) => commit(self)?,
            other => other?,
        };
        self.commits.send_modify(|commits| *commits += 1);
        // The data is safe: failed retention is retried after the next commit.
        if let Err(error) = self.retention.after_commit(&mut self.connection, now) {
            tracing::warn!(%error, "could not drop old rows from the journal; retrying after the next commit");
        }
        Ok(committed)
    }

    fn try_commit(&mut self, commit: &Commit) -> Result<(), JournalError> {
        let transaction = self.connection.transaction()?;
        rows::insert_spans(&transaction, &commit.spans)?;
        for rows in &commit.logs {
            spool::insert(&transaction, Signal::Logs, rows.records, rows.encoding, &rows.otlp, rows.destinations.iter())?;
        }
        for metrics in &commit.metrics {
            spool::insert_metrics(&transaction, metrics, &self.recipients)?;
        }
        rows::add_minutes(&transaction, &commit.minutes)?;
        rows::insert_notable(&transaction, &commit.notable)?;
        for (what, reason, records) in commit.dropped.iter() {
            retention::count(&transaction, what, reason, records)?;
        }
        if let Some(checkpoint) = &commit.checkpoint {
            put(&transaction, "checkpoint", checkpoint)?;
        }
        if let Some(last) = commit.consumed {
            received::consume(&transaction, last)?;
        }
        Ok(transaction.commit()?)
    }

    fn register(&mut self, recipients: Vec<Recipient>) -> Result<(), JournalError> {
        let transaction = self.connection.transaction()?;
        spool::register(&transaction, &recipients)?;
        transaction.commit()?;
        self.recipients = recipients;
        Ok(())
    }

    fn outgoing(&self, destination: &DestinationName, signal: Signal, max: usize) -> Result<Option<Outgoing>, JournalError> {
        Ok(match signal {
            Signal::Traces => match spool::next_spans(&self.connection, destination, max)? {
                None => spool::next(&self.connection, destination, signal, max)?,
                spans => spans,
            },
            Signal::Logs | Signal::Metrics => spool::next(&self.connection, destination, signal, max)?,
        })
    }

    fn passed(&mut self, destination: &DestinationName, signal: Signal, last: Passed) -> Result<(), JournalError> {
        let transaction = self.connection.transaction()?;
        spool::passed(&transaction, destination, signal, last)?;
        Ok(transaction.commit()?)
    }

    fn reject(&mut self, destination: &DestinationName, signal: Signal, letter: &DeadLetter) -> Result<(), JournalError> {
        let sql = "INSERT INTO dead_letter(destination, signal, reason, records, time_us, otlp) VALUES (?, ?, ?, ?, ?, ?)";
        let DeadLetter { reason, records, otlp } = letter;
        let time = int(Timestamp::now().get());
        self.connection.execute(sql, params![destination.as_str(), signal.as_str(), reason, int(*records), time, otlp])?;
        Ok(())
    }

    fn stats(&mut self) -> Result<Stats, JournalError> {
        let (unsent, oldest_unsent) = spool::unsent(&self.connection)?;
        let size = Bytes::new(retention::size(&self.connection)?);
        let dropped = retention::dropped(&self.connection)?;
        Ok(Stats { size, unsent, oldest_unsent, dropped, created_again: std::mem::take(&mut self.created_again) })
    }
}
