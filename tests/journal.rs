//! The journal keeps what it acknowledged, and says what it can't do.

use std::path::Path;

use hubwatch::journal::{Commit, FILE_NAME, Journal, JournalError, JournalReader, MinuteRow, Opened};

fn open(folder: &Path) -> Opened {
    Journal::open(folder).unwrap()
}

fn state(bytes: &[u8]) -> Commit {
    Commit { checkpoint: Some(bytes.to_vec()), ..Commit::default() }
}

#[tokio::test]
async fn the_next_run_is_the_same_watcher_with_the_last_state() {
    let folder = tempfile::tempdir().unwrap();
    let first = open(folder.path());
    assert_eq!((first.run, &first.checkpoint), (1, &None));
    first.journal.commit(state(b"one")).await.unwrap();
    first.journal.commit(state(b"two")).await.unwrap();
    first.journal.close().await.unwrap();
    let second = open(folder.path());
    assert_eq!((second.run, second.checkpoint.as_deref()), (2, Some(&b"two"[..])));
    assert_eq!((second.watcher, second.session_key), (first.watcher, first.session_key));
}

#[tokio::test]
async fn a_folder_has_one_writer() {
    let folder = tempfile::tempdir().unwrap();
    let first = open(folder.path());
    let second = Journal::open(folder.path());
    let Err(JournalError::Locked { holder, .. }) = second else { panic!("{second:?}") };
    assert_eq!(holder, std::process::id().to_string());
    assert!(JournalReader::open(folder.path()).unwrap().is_running());
    first.journal.close().await.unwrap();
    assert!(!JournalReader::open(folder.path()).unwrap().is_running());
    open(folder.path());
}

#[tokio::test]
async fn minutes_are_added_up_and_people_can_look_into_them() {
    let folder = tempfile::tempdir().unwrap();
    let opened = open(folder.path());
    for _ in 0..2 {
        let minutes = vec![MinuteRow { minute: 29_923_334, level: "warn".to_owned(), lines: 3, bytes: 100 }];
        opened.journal.commit(Commit { minutes, ..Commit::default() }).await.unwrap();
    }
    let connection = rusqlite::Connection::open(folder.path().join(FILE_NAME)).unwrap();
    let row = connection.query_row("SELECT minute, level, lines, bytes FROM log_minutes", [], |row| {
        Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?, row.get::<_, i64>(2)?, row.get::<_, i64>(3)?))
    });
    assert_eq!(row.unwrap(), ("2026-11-23 02:14:00".to_owned(), "warn".to_owned(), 6, 200));
}

#[tokio::test]
async fn a_damaged_file_is_set_aside_and_the_watch_begins_anew() {
    let folder = tempfile::tempdir().unwrap();
    open(folder.path()).journal.close().await.unwrap();
    let path = folder.path().join(FILE_NAME);
    std::fs::write(&path, vec![b'x'; 100_000]).unwrap();
    let opened = open(folder.path());
    let aside = opened.recovered.unwrap();
    assert_eq!(std::fs::read(&aside).unwrap().len(), 100_000);
    opened.journal.commit(state(b"new")).await.unwrap();
}

#[test]
fn a_folder_without_a_journal_is_told_apart_from_an_empty_one() {
    let folder = tempfile::tempdir().unwrap();
    assert!(matches!(JournalReader::open(folder.path()), Err(JournalError::Absent { .. })));
}

#[cfg(unix)]
#[test]
fn nobody_else_can_read_it() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("new");
    let _opened = open(&state);
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&state), mode(&state.join(FILE_NAME))), (0o700, 0o600));
}
