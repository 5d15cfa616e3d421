//! The one writer: a thread that owns the connection, and its handle.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{Read as _, Seek as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OptionalExtension as _, Transaction, params};
use tokio::sync::{mpsc, oneshot, watch};

use super::{
    Commit, DestinationName, FILE_NAME, JournalError, LOCK_NAME, LogRows, MinuteRow, NotCommitted, NotableRow, Signal, SpanRow,
    SpanRowKind, schema,
};
use crate::watch::{Bytes, Timestamp, WatcherId};

/// Jobs that may wait for the writer: more would only hide that the disk can't follow.
const MAX_WAITING: usize = 64;

/// The journal's size beyond which the oldest rows are dropped, and counted: 48 hours of a busy hub take about 100 MB.
pub const MAX_BYTES: u64 = 1024 * 1024 * 1024;

/// How many rows are dropped at a time, so that dropping never holds up what comes in.
const DROP_ROWS: u32 = 5_000;

/// Looking at the size costs a pragma; every so many commits are enough.
const COMMITS_BETWEEN_LOOKS: u32 = 64;

type Job = Box<dyn FnOnce(&mut Writer) + Send>;

/// The handle of the writer. Clones share it.
#[derive(Debug, Clone)]
pub struct Journal {
    jobs: mpsc::Sender<Job>,
    /// Counts commits, so that senders can wait for the next one.
    commits: watch::Receiver<u64>,
}

/// A journal that was opened for writing.
#[derive(Debug)]
pub struct Opened {
    /// Its handle.
    pub journal: Journal,
    /// Who watches: made once.
    pub watcher: WatcherId,
    /// The number of this run: one more each time.
    pub run: u32,
    /// The key that hides session ids: made once.
    pub session_key: [u8; 32],
    /// The state of the last commit.
    pub checkpoint: Option<Vec<u8>>,
    /// Where a damaged journal was set aside.
    pub recovered: Option<PathBuf>,
}

/// Rows that a destination lacks, as one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outgoing {
    /// The rows' requests one after the other: together one request.
    pub otlp: Vec<u8>,
    /// How many rows.
    pub rows: u32,
    /// The last of them.
    pub last: i64,
    /// How many records.
    pub records: u64,
}

struct Writer {
    connection: Connection,
    destinations: Vec<DestinationName>,
    commits: watch::Sender<u64>,
    since_look: u32,
    /// Locked as long as it is open.
    _lock: File,
    /// Set when the writer shall end. The last field, so that it is dropped after the connection and the lock.
    closing: Option<oneshot::Sender<()>>,
}

impl Journal {
    /// Opens the journal of a state folder for writing; makes both if they aren't there. A damaged file is set aside.
    pub fn open(state_dir: &Path) -> Result<Opened, JournalError> {
        let folder = |reason| JournalError::Folder { path: state_dir.to_owned(), reason };
        DirBuilder::new().recursive(true).mode(0o700).create(state_dir).map_err(folder)?;
        let lock = lock(state_dir)?;
        let path = state_dir.join(FILE_NAME);
        // SQLite would make it readable for everybody; lines of a log may hold what is nobody's business.
        OpenOptions::new().append(true).create(true).mode(0o600).open(&path).map_err(folder)?;
        let (mut connection, recovered) = open_or_set_aside(&path, folder)?;
        let identity = identify(&mut connection, state_dir)?;
        let (commits, committed) = watch::channel(0);
        let writer = Writer { connection, destinations: Vec::new(), commits, since_look: 0, _lock: lock, closing: None };
        let (jobs, waiting) = mpsc::channel(MAX_WAITING);
        std::thread::Builder::new().name("journal".to_owned()).spawn(move || writer.work(waiting)).map_err(folder)?;
        let (watcher, run, session_key, checkpoint) = identity;
        Ok(Opened { journal: Self { jobs, commits: committed }, watcher, run, session_key, checkpoint, recovered })
    }

    async fn job<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut Writer) -> Result<T, JournalError> + Send + 'static,
    ) -> Result<T, JournalError> {
        let (reply, answer) = oneshot::channel();
        let job: Job = Box::new(move |writer| {
            // Nobody waits any more when the command is being torn down.
            let _ = reply.send(job(writer));
        });
        self.jobs.send(job).await.map_err(|_| JournalError::Gone)?;
        answer.await.map_err(|_| JournalError::Gone)?
    }

    /// Commits in one transaction; it is on the disk when this returns. What can't be committed is given back.
    pub async fn commit(&self, commit: Commit) -> Result<(), NotCommitted> {
        let commit = Box::new(commit);
        let committed = self.job(move |writer| Ok(writer.commit(&commit).map_err(|error| (error, commit)))).await;
        match committed {
            Ok(Ok(())) => Ok(()),
            Ok(Err((error, commit))) => Err(NotCommitted { error, commit }),
            Err(error) => Err(NotCommitted { error, commit: Box::default() }),
        }
    }

    /// Says who wants what is committed from now on. A destination that is new begins with the spans that come; one that is no
    /// longer there is forgotten with all that waited for it.
    pub async fn register(&self, destinations: Vec<DestinationName>) -> Result<(), JournalError> {
        self.job(move |writer| writer.register(destinations)).await
    }

    /// What a destination lacks of a signal next: whole rows of at most `max_bytes` together, but at least one.
    pub async fn outgoing(
        &self,
        destination: &DestinationName,
        signal: Signal,
        max_bytes: usize,
    ) -> Result<Option<Outgoing>, JournalError> {
        let destination = destination.clone();
        self.job(move |writer| writer.outgoing(&destination, signal, max_bytes)).await
    }

    /// The destination has everything up to this row.
    pub async fn sent(&self, destination: &DestinationName, signal: Signal, last: i64) -> Result<(), JournalError> {
        let destination = destination.clone();
        self.job(move |writer| writer.passed(&destination, signal, last)).await
    }

    /// The destination refuses these rows for good: they are set aside, and the way is free for the next.
    pub async fn refused(
        &self,
        destination: &DestinationName,
        signal: Signal,
        rows: Outgoing,
        reason: String,
    ) -> Result<(), JournalError> {
        let destination = destination.clone();
        self.job(move |writer| writer.refused(&destination, signal, &rows, &reason)).await
    }

    /// How many rows wait for a destination.
    pub async fn unsent(&self) -> Result<u64, JournalError> {
        self.job(|writer| writer.unsent()).await
    }

    /// The size of the journal.
    pub async fn size(&self) -> Result<Bytes, JournalError> {
        self.job(|writer| writer.size()).await
    }

    /// Waits for a commit after `seen`; gives back its number.
    pub async fn committed_after(&mut self, seen: u64) -> Result<u64, JournalError> {
        self.commits.wait_for(|commits| *commits > seen).await.map(|commits| *commits).map_err(|_| JournalError::Gone)
    }

    /// Brings the write-ahead log home and lets go of the folder. What was committed is safe without it, too; what other handles
    /// ask for afterwards is refused.
    pub async fn close(self) -> Result<(), JournalError> {
        let (closing, closed) = oneshot::channel();
        self.job(move |writer| {
            writer.closing = Some(closing);
            // It answers with a row: how much of the log came home. Where it can't, the next opening brings it home.
            if let Err(error) = writer.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())) {
                tracing::warn!(%error, "the journal's write-ahead log stays beside it");
            }
            Ok(())
        })
        .await?;
        // Ends in an error by design: the writer drops its end once everything else of it is dropped.
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
            // Only information: an unreadable holder is an unknown one.
            let _ = file.read_to_string(&mut holder);
            let holder = if holder.is_empty() { "unknown".to_owned() } else { holder };
            Err(JournalError::Locked { path: state_dir.to_owned(), holder })
        }
        Err(TryLockError::Error(reason)) => Err(folder(reason)),
    }
}

fn open_or_set_aside(
    path: &Path,
    folder: impl Fn(std::io::Error) -> JournalError,
) -> Result<(Connection, Option<PathBuf>), JournalError> {
    match open(path) {
        Err(error) if error.is_corrupt() => {
            let aside = path.with_extension(format!("db.damaged-{}", Timestamp::now().get() / 1_000_000));
            std::fs::rename(path, &aside).map_err(&folder)?;
            for rest in ["db-wal", "db-shm"] {
                // They belong to the damaged file and may not be there.
                let _ = std::fs::rename(path.with_extension(rest), aside.with_extension(rest));
            }
            OpenOptions::new().append(true).create(true).mode(0o600).open(path).map_err(&folder)?;
            Ok((open(path)?, Some(aside)))
        }
        opened => Ok((opened?, None)),
    }
}

fn open(path: &Path) -> Result<Connection, JournalError> {
    let mut connection = Connection::open(path)?;
    schema::prepare(&mut connection)?;
    let verdict: String = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
    if verdict == "ok" { Ok(connection) } else { Err(rusqlite::Error::SqliteFailure(corrupt(), Some(verdict)).into()) }
}

fn corrupt() -> rusqlite::ffi::Error {
    rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_CORRUPT)
}

type Identity = (WatcherId, u32, [u8; 32], Option<Vec<u8>>);

/// Reads who we are, or makes it up once; begins a new run.
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
        None => random_key(state_dir)?,
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

fn random_key(state_dir: &Path) -> Result<[u8; 32], JournalError> {
    let mut key = [0; 32];
    File::open("/dev/urandom")
        .and_then(|mut random| random.read_exact(&mut key))
        .map_err(|reason| JournalError::Folder { path: state_dir.to_owned(), reason })?;
    Ok(key)
}

fn get(connection: &Connection, key: &str) -> Result<Option<Vec<u8>>, rusqlite::Error> {
    connection.query_row("SELECT value FROM meta WHERE key = ?", [key], |row| row.get(0)).optional()
}

fn put(connection: &Connection, key: &str, value: &[u8]) -> Result<(), rusqlite::Error> {
    connection.execute("INSERT OR REPLACE INTO meta(key, value) VALUES (?, ?)", params![key, value]).map(drop)
}

fn int(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

impl Writer {
    fn work(mut self, mut jobs: mpsc::Receiver<Job>) {
        while self.closing.is_none() {
            let Some(job) = jobs.blocking_recv() else { return };
            job(&mut self);
        }
    }

    fn commit(&mut self, commit: &Commit) -> Result<(), JournalError> {
        let transaction = self.connection.transaction()?;
        insert_spans(&transaction, &commit.spans)?;
        insert_logs(&transaction, &commit.logs)?;
        for destination in &self.destinations {
            if let Some(metrics) = &commit.metrics {
                insert_outgoing(&transaction, destination, Signal::Metrics, 1, metrics)?;
            }
        }
        add_minutes(&transaction, &commit.minutes)?;
        insert_notable(&transaction, &commit.notable)?;
        if let Some(checkpoint) = &commit.checkpoint {
            put(&transaction, "checkpoint", checkpoint)?;
        }
        transaction.commit()?;
        self.commits.send_modify(|commits| *commits += 1);
        self.bound()
    }

    /// Keeps the journal below [`MAX_BYTES`]: what waits for a destination goes first, Watches last. What goes is counted.
    fn bound(&mut self) -> Result<(), JournalError> {
        self.since_look += 1;
        if self.since_look < COMMITS_BETWEEN_LOOKS {
            return Ok(());
        }
        self.since_look = 0;
        if self.size()?.get() <= MAX_BYTES {
            return Ok(());
        }
        for oldest in ["outbox", "dead_letter", "notable", "span WHERE kind = 'call'", "span"] {
            let (table, condition) = oldest.split_once(" WHERE ").unwrap_or((oldest, "1"));
            let sql =
                format!("DELETE FROM {table} WHERE id IN (SELECT id FROM {table} WHERE {condition} ORDER BY id LIMIT {DROP_ROWS})");
            let dropped = self.connection.execute(&sql, [])?;
            if dropped > 0 {
                tracing::warn!(table, dropped, "the journal is full: its oldest rows were dropped");
                self.connection.execute_batch("PRAGMA incremental_vacuum(2000)")?;
                return Ok(());
            }
        }
        Ok(())
    }

    fn register(&mut self, destinations: Vec<DestinationName>) -> Result<(), JournalError> {
        let transaction = self.connection.transaction()?;
        let names: Vec<&str> = destinations.iter().map(DestinationName::as_str).collect();
        let known = format!("({})", vec!["?"; names.len()].join(","));
        for table in ["cursor", "outbox"] {
            let sql = format!("DELETE FROM {table} WHERE destination NOT IN {known}");
            transaction.execute(&sql, rusqlite::params_from_iter(&names))?;
        }
        for name in names {
            let sql = "INSERT OR IGNORE INTO cursor SELECT ?, coalesce(max(id), 0) FROM span";
            transaction.execute(sql, [name])?;
        }
        transaction.commit()?;
        self.destinations = destinations;
        Ok(())
    }

    fn outgoing(&self, destination: &DestinationName, signal: Signal, max: usize) -> Result<Option<Outgoing>, JournalError> {
        let sql = match signal {
            Signal::Traces => {
                "SELECT id, 1, otlp FROM span WHERE id > (SELECT passed FROM cursor WHERE destination = ?1) AND ?2 = ?2 ORDER BY id"
            }
            Signal::Logs | Signal::Metrics => {
                "SELECT id, records, otlp FROM outbox WHERE destination = ?1 AND signal = ?2 ORDER BY id"
            }
        };
        let mut statement = self.connection.prepare_cached(sql)?;
        let mut rows = statement.query(params![destination.as_str(), signal.as_str()])?;
        let mut outgoing = Outgoing { otlp: Vec::new(), rows: 0, last: 0, records: 0 };
        while let Some(row) = rows.next()? {
            let otlp = row.get_ref(2)?.as_blob().map_err(rusqlite::Error::from)?;
            // Cumulative metrics are sent one by one: a receiver that refuses a point refuses the whole request.
            let alone = signal == Signal::Metrics && outgoing.rows > 0;
            if alone || outgoing.rows > 0 && outgoing.otlp.len() + otlp.len() > max {
                break;
            }
            outgoing.otlp.extend_from_slice(otlp);
            outgoing.rows += 1;
            outgoing.last = row.get(0)?;
            outgoing.records += row.get::<_, u32>(1)? as u64;
        }
        Ok((outgoing.rows > 0).then_some(outgoing))
    }

    fn passed(&self, destination: &DestinationName, signal: Signal, last: i64) -> Result<(), JournalError> {
        match signal {
            Signal::Traces => {
                let sql = "UPDATE cursor SET passed = max(passed, ?) WHERE destination = ?";
                self.connection.execute(sql, params![last, destination.as_str()])?;
            }
            Signal::Logs | Signal::Metrics => {
                let sql = "DELETE FROM outbox WHERE destination = ? AND signal = ? AND id <= ?";
                self.connection.execute(sql, params![destination.as_str(), signal.as_str(), last])?;
            }
        }
        Ok(())
    }

    fn refused(
        &mut self,
        destination: &DestinationName,
        signal: Signal,
        rows: &Outgoing,
        reason: &str,
    ) -> Result<(), JournalError> {
        let sql = "INSERT INTO dead_letter(destination, signal, reason, records, otlp) VALUES (?, ?, ?, ?, ?)";
        self.connection.execute(sql, params![destination.as_str(), signal.as_str(), reason, int(rows.records), rows.otlp])?;
        self.passed(destination, signal, rows.last)
    }

    fn unsent(&self) -> Result<u64, JournalError> {
        let sql =
            "SELECT (SELECT count(*) FROM outbox) + coalesce((SELECT sum((SELECT count(*) FROM span WHERE span.id > cursor.passed))
                   FROM cursor), 0)";
        let unsent: i64 = self.connection.prepare_cached(sql)?.query_row([], |row| row.get(0))?;
        Ok(u64::try_from(unsent).unwrap_or(0))
    }

    fn size(&self) -> Result<Bytes, JournalError> {
        let pragma = |name| self.connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
        let pages = pragma("page_count")? - pragma("freelist_count")?;
        Ok(Bytes::new(u64::try_from(pages * pragma("page_size")?).unwrap_or(0)))
    }
}

fn insert_spans(transaction: &Transaction<'_>, spans: &[SpanRow]) -> Result<(), rusqlite::Error> {
    let sql = "INSERT OR IGNORE INTO span(kind, trace_id, span_id, start_us, end_us, hub, environment, run, sequence, otlp)
               VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
    let mut statement = transaction.prepare_cached(sql)?;
    for span in spans {
        let (kind, hub, environment, run, sequence) = match &span.kind {
            SpanRowKind::Call => ("call", None, None, None, None),
            SpanRowKind::Watch { hub, environment, run, sequence, .. } => {
                ("watch", Some(hub.as_str()), Some(environment.as_str()), Some(*run), Some(int(sequence.get())))
            }
        };
        let (start, end) = (int(span.start.get()), int(span.end.get()));
        let (trace_id, span_id) = (span.trace_id.as_bytes(), span.span_id.as_bytes());
        statement.execute(params![kind, trace_id, span_id, start, end, hub, environment, run, sequence, span.otlp])?;
    }
    Ok(())
}

fn insert_logs(transaction: &Transaction<'_>, logs: &[LogRows]) -> Result<(), rusqlite::Error> {
    for rows in logs {
        for destination in &rows.destinations {
            insert_outgoing(transaction, destination, Signal::Logs, rows.records, &rows.otlp)?;
        }
    }
    Ok(())
}

fn insert_outgoing(
    transaction: &Transaction<'_>,
    destination: &DestinationName,
    signal: Signal,
    records: u32,
    otlp: &[u8],
) -> Result<(), rusqlite::Error> {
    let sql = "INSERT INTO outbox(destination, signal, records, otlp) VALUES (?, ?, ?, ?)";
    transaction.prepare_cached(sql)?.execute(params![destination.as_str(), signal.as_str(), records, otlp]).map(drop)
}

fn add_minutes(transaction: &Transaction<'_>, minutes: &[MinuteRow]) -> Result<(), rusqlite::Error> {
    let sql = "INSERT INTO log_minute(minute, level, lines, bytes) VALUES (?, ?, ?, ?)
               ON CONFLICT DO UPDATE SET lines = lines + excluded.lines, bytes = bytes + excluded.bytes";
    let mut statement = transaction.prepare_cached(sql)?;
    for row in minutes {
        statement.execute(params![int(row.minute), row.level, int(row.lines), int(row.bytes)])?;
    }
    Ok(())
}

fn insert_notable(transaction: &Transaction<'_>, notable: &[NotableRow]) -> Result<(), rusqlite::Error> {
    let mut statement = transaction.prepare_cached("INSERT INTO notable(time_us, level, text) VALUES (?, ?, ?)")?;
    for row in notable {
        statement.execute(params![int(row.time.get()), row.level.as_str(), row.text.as_str()])?;
    }
    Ok(())
}
