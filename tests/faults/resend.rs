//! Everything is sent a second time: receivers must end up with the same set of records, byte for byte.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;

use hubwatch::watch::names;

use super::program::{Written, calls, has_all, hub, run, until};
use super::receiver::{Fault, Receiver, Taken};

/// Copies a state folder.
fn copy(from: &Path, to: &Path) {
    let _ = std::fs::remove_dir_all(to);
    std::fs::create_dir(to).unwrap();
    for file in std::fs::read_dir(from).unwrap() {
        let file = file.unwrap();
        std::fs::copy(file.path(), to.join(file.file_name())).unwrap();
    }
}

/// Returns lines and call spans by their identity: records that don't depend on the time of reading.
fn lasting(taken: &Taken) -> BTreeMap<Vec<u8>, Vec<u64>> {
    let is_watch = |id: &Vec<u8>| taken.spans.get(id).is_some_and(|span| span.name == names::WATCH_SPAN);
    let lasting = taken.forms.iter().filter(|(id, _)| !is_watch(id));
    lasting.map(|(id, forms)| (id.clone(), forms.iter().copied().collect())).collect()
}

fn write(folder: &Path, written: &mut Written) {
    let mut log = File::options().append(true).create(true).open(folder.join("mcp-hub.log")).unwrap();
    for _ in 0..50 {
        written.lines(&mut log, 200);
        for step in ["1: handleAnalyzePrompt entry", "2: Calling analyzePromptWithFallback", "3: LLM analysis complete"] {
            written.line(&mut log, "debug", &format!("CHECKPOINT {step}"));
        }
        written.line(&mut log, "debug", "CHECKPOINT 6: Returning success response");
        written.calls += 1;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_that_are_read_and_sent_again_are_identical() {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let folder = folder.path();
    let (hub, (receiver, address)) = (hub().await, Receiver::http().await);
    let config = format!("[otlp]\nendpoint = '{address}'\nprotocol = 'http/protobuf'\n");
    std::fs::write(folder.join("hubwatch.toml"), config).unwrap();
    File::create(folder.join("mcp-hub.log")).unwrap();
    let (state, aside) = (folder.join("state"), folder.join("aside"));
    let child = run(folder, &hub);
    until("the watch begins", folder, || receiver.read(|taken| !taken.spans.is_empty())).await;
    child.stop(folder).await;
    copy(&state, &aside);
    let mut written = Written::default();
    write(folder, &mut written);
    let mut sets = Vec::new();
    // Read and sent at once; read again from an older position and queued while the receiver is down; sent again from the journal.
    for fault in [Fault::Fine, Fault::Down] {
        receiver.forget();
        copy(&aside, &state);
        receiver.behave(fault);
        let mut child = run(folder, &hub);
        if fault == Fault::Down {
            let sql = "SELECT coalesce(sum(records), 0) FROM spool WHERE signal = 'logs'";
            let kept = || {
                let journal = rusqlite::Connection::open(state.join("journal.db")).unwrap();
                journal.query_row(sql, [], |row| row.get::<_, i64>(0)).is_ok_and(|kept| kept.cast_unsigned() == written.lines)
            };
            until("everything is kept", folder, kept).await;
            child.kill();
            continue;
        }
        until("everything arrives", folder, || has_all(&receiver, written)).await;
        child.stop(folder).await;
        sets.push(receiver.read(lasting));
    }
    receiver.behave(Fault::Fine);
    copy(&state, &aside);
    for _ in 0..2 {
        receiver.forget();
        copy(&aside, &state);
        let child = run(folder, &hub);
        let all = || receiver.read(|taken| taken.lines.len() as u64 == written.lines && calls(taken) == written.calls);
        until("what was kept arrives", folder, all).await;
        child.stop(folder).await;
        sets.push(receiver.read(lasting));
    }
    assert!(sets[0].len() as u64 > written.lines, "the set includes the spans of calls");
    assert!(sets[0].values().all(|forms| forms.len() == 1));
    for (number, set) in sets.iter().enumerate() {
        assert!(*set == sets[0], "run {number} has another set: {} and {} records", set.len(), sets[0].len());
    }
}
