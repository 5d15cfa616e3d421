//! A state folder that is lost while it is in use: told, not ready, and made again with all that was learned, or the run ends in an error.

mod played;
mod watched;

use std::path::Path;

use hubwatch::journal::FILE_NAME;
use hubwatch::watch::{Fact, FactKind, WatcherFact};
use played::{Logger, Played};
use serde_json::Value;
use watched::{Hub, told, until};

fn watches(path: &Path) -> Option<i64> {
    let flags = rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY;
    let connection = rusqlite::Connection::open_with_flags(path, flags).ok()?;
    connection.query_row("SELECT count(*) FROM span WHERE kind = 'watch'", [], |row| row.get(0)).ok()
}

/// A sidecar that has kept a few Watches.
async fn watching(hub: &Hub) -> (watched::Sidecar, i64) {
    let sidecar = hub.watch(&["--interval", "1s"]);
    let journal = hub.state_dir().join(FILE_NAME);
    let kept = until("a few Watches are kept", async || watches(&journal).filter(|kept| *kept > 3)).await;
    (sidecar, kept)
}

async fn lose(what: &str, lose: impl Fn(&Path)) {
    let hub = Hub::start().await;
    let (sidecar, before) = watching(&hub).await;
    let state = hub.state_dir();
    lose(&state);
    let said = until(&format!("{what}: /readyz is not ready"), async || {
        let (status, body) = sidecar.get("/readyz").await;
        (status == 503).then_some(body)
    })
    .await;
    assert!(said.contains("the state folder") && said.contains("is lost"), "{what}: {said}");
    sidecar.until("/readyz", |body| body.contains("\"ready\":true")).await;
    assert!(sidecar.told().contains("was created again with all data of the journal"), "{what}: {}", sidecar.told());
    let journal = state.join(FILE_NAME);
    until(&format!("{what}: all is there again"), async || watches(&journal).filter(|kept| *kept > before + 3)).await;
    // The live judge and the report go on with it.
    sidecar.until_json("/report.json", |report| report["coverage"]["watches"].as_i64() > Some(before + 3)).await;
    sidecar.stop();
    let report = hub.report();
    assert!(report["blind_spots"].to_string().contains("was lost while it was in use"), "{what}: {:#}", report["blind_spots"]);
    assert_eq!(report["coverage"]["missing_watches"], 0, "{what}");
    assert_eq!(report["coverage"]["gaps"].as_array().map(Vec::len), Some(0), "{what}");
    use std::os::unix::fs::PermissionsExt as _;
    assert_eq!(std::fs::metadata(&journal).unwrap().permissions().mode() & 0o777, 0o600, "{what}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_state_folder_that_is_removed_is_made_again_with_all_that_it_held() {
    lose("the folder is removed", |state| std::fs::remove_dir_all(state).unwrap()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_state_folder_that_is_renamed_is_made_again_with_all_that_it_held() {
    lose("the folder is renamed", |state| std::fs::rename(state, state.with_file_name("elsewhere")).unwrap()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_journal_that_is_removed_alone_is_made_again() {
    lose("the journal is removed", |state| std::fs::remove_file(state.join(FILE_NAME)).unwrap()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_ahead_log_that_is_removed_alone_takes_nothing_along() {
    lose("the write-ahead log is removed", |state| std::fs::remove_file(state.join("journal.db-wal")).unwrap()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_journal_that_another_file_replaces_is_left_alone_and_the_run_ends_in_an_error() {
    let hub = Hub::start().await;
    let state = hub.state_dir();
    let mut command = hub.command("run", &["--hub", &hub.url, "--name", "simulated", "--interval", "200ms"]);
    let mut child = command.stderr(std::process::Stdio::piped()).spawn().unwrap();
    let journal = state.join(FILE_NAME);
    let kept = until("a few Watches are kept", async || watches(&journal).filter(|kept| *kept > 3)).await;
    std::fs::write(state.join("other"), "this is somebody else's").unwrap();
    std::fs::rename(state.join("other"), &journal).unwrap();
    let status = until("the run ends", async || child.try_wait().unwrap()).await;
    let (_, _, stderr) = told(child.wait_with_output().unwrap());
    assert_eq!(status.code(), Some(2), "{stderr}");
    assert!(stderr.contains("another file replaced"), "{stderr}");
    assert_eq!(std::fs::read_to_string(&journal).unwrap(), "this is somebody else's");
    let saved = std::fs::read_dir(&state).unwrap().map(|entry| entry.unwrap().path());
    let saved = saved.filter(|path| path.to_string_lossy().contains("journal.db.saved-")).max().expect(&stderr);
    assert!(watches(&saved) >= Some(kept), "what was kept is saved beside it");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_can_not_keep_what_it_learned_ends_in_an_error() {
    let hub = Hub::start().await;
    let (sidecar, _) = watching(&hub).await;
    let state = hub.state_dir();
    // A file where the folder was: it can't be created again.
    std::fs::rename(&state, state.with_file_name("elsewhere")).unwrap();
    std::fs::write(&state, "a file").unwrap();
    until("it says that it can't keep anything", async || {
        let (status, body) = sidecar.get("/readyz").await;
        (status == 503 && body.contains("can't be created again")).then_some(())
    })
    .await;
    let (code, told) = sidecar.end();
    assert_eq!(code, Some(2), "{told}");
    assert!(told.contains("the last data could not be saved"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_is_not_there_is_told_at_once_and_when_it_appears() {
    let hub = Hub::start().await;
    let log = hub.folder.path().join("later/x.log");
    let mut sidecar_log = String::from("--log=");
    sidecar_log.push_str(log.to_str().unwrap());
    let mut command = hub.command("run", &["--hub", &hub.url, "--name", "simulated", "--interval", "200ms", &sidecar_log]);
    let sidecar = watched::Sidecar::begin(command.args(["--listen", "127.0.0.1:0"]));
    let warned = |body: &str| {
        let page: Value = serde_json::from_str(body).unwrap();
        page["ready"] == true && page["hubs"][0]["warnings"].as_array().is_some_and(|warnings| warnings.len() == 1)
    };
    let body = sidecar.until("/readyz", warned).await;
    assert!(body.contains("later/x.log"), "{body}");
    assert!(sidecar.told().contains("check --log"), "{}", sidecar.told());
    let unseen = |report: &Value| report["blind_spots"].to_string().contains("The hub's log file did not exist");
    sidecar.until_json("/report.json", unseen).await;
    std::fs::create_dir(log.parent().unwrap()).unwrap();
    std::fs::write(&log, "{\"level\":\"info\",\"time\":\"2026-11-01T06:00:00.000Z\",\"msg\":\"Hello\"}\n").unwrap();
    sidecar.until("/readyz", |body| body.contains("\"warnings\":[]")).await;
    assert!(sidecar.told().contains("the log is there and is read"), "{}", sidecar.told());
    sidecar.stop();
    assert_eq!(hub.report()["log"]["lines"], 1);
}

#[tokio::test]
async fn a_journal_that_the_very_last_commit_creates_again_says_so() {
    let mut played = Played::up(Logger::Pino).await;
    played.runs(75.0, 120.0).await;
    played.loses_its_state();
    let told = played.ends().await;
    let created: Vec<&Fact> =
        told.facts().filter(|fact| matches!(fact.kind, FactKind::Watcher(WatcherFact::JournalCreatedAgain(_)))).collect();
    assert_eq!(created.len(), 1);
    assert_eq!(told.watches[0].interval.start(), played::at(-10.0), "what was kept before is kept");
}
