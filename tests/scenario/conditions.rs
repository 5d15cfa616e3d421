//! What must be given before anything is done: without it, nothing is.

use hubwatch::mcp::{Client, Closing, Endpoint, Limits, TransportKind};
use hubwatch::simulator::{Behaviour, Step};

use super::command::{Running, Said};
use super::hub::{Hub, answers_after, fork, fork_that, mended, until};
use super::processes::HubProcess;

/// Expects that nothing was done because of this, and that it is said.
async fn refused(hub: &Hub, arguments: &[&str], why: &str) -> Said {
    let before = hub.mcp_requests();
    let said = hub.runs(arguments).await;
    assert_eq!(said.code, Some(3), "{arguments:?}: {}", said.stderr);
    let results = said.json();
    assert_eq!(results["verdict"], "not_verifiable");
    for step in results["scenarios"][0]["steps"].as_array().unwrap() {
        assert!(step["detail"].as_str().unwrap().contains(why), "{step:#}");
    }
    assert!(said.stderr.contains(why), "{}", said.stderr);
    assert_eq!(hub.mcp_requests(), before, "nothing is done");
    said
}

async fn holds(hub: &Hub, arguments: &[&str]) {
    let said = hub.runs(arguments).await;
    assert_eq!(said.code, Some(0), "{arguments:?}: {}", said.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_production_hub_is_left_alone_unless_that_is_meant() {
    let hub = Hub::start(fork()).await;
    refused(&hub, &["meta_tool", "--environment", "production"], "--allow production").await;
    holds(&hub, &["meta_tool", "--environment", "production", "--allow", "production"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn other_clients_are_not_disturbed_unless_that_is_meant() {
    let hub = Hub::start(fork()).await;
    let endpoint = Endpoint::new(&hub.url, &[], None).unwrap();
    let other = Client::connect(&endpoint, TransportKind::HttpSse, Limits::default(), "editor").await.unwrap();
    until("it is counted", async || (hub.clients().await == 1).then_some(())).await;
    refused(&hub, &["session_isolation"], "1 other MCP clients").await;
    holds(&hub, &["session_isolation", "--allow", "foreign-clients"]).await;
    assert_eq!((other.ended(), other.notifications()), (None, vec![]));
    other.close(Closing::Finish).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hub_that_bun_runs_is_left_alone_unless_that_is_meant() {
    // A link is the same program by another name.
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let bun = folder.path().join("bun");
    std::fs::hard_link(std::env::current_exe().unwrap(), &bun).unwrap();
    let process = HubProcess::of(&bun);
    let hub = Hub::of_pid(fork(), process.pid()).await;
    refused(&hub, &["sse_lost"], "Bun").await;
    holds(&hub, &["sse_lost", "--allow", "bun"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hub_that_the_first_call_stops_is_not_called_unless_that_is_meant() {
    let hub = Hub::start(fork_that(Behaviour { session_isolation: Some(false), ..Behaviour::default() })).await;
    refused(&hub, &["meta_tool"], "sessionIsolation: false").await;
    let said = hub.runs(&["meta_tool", "--allow", "hub-stop"]).await;
    assert_eq!((said.code, said.signs().as_str()), (Some(1), "1+ 2- 3? 4? 5? 6? 7- after-"), "{}", said.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hub_that_is_not_ready_is_left_alone_and_a_restarted_one_is_ready() {
    let hub = Hub::start(mended()).await;
    hub.happens(Step::RestartServers);
    refused(&hub, &["tools_usable"], "its state is restarting").await;
    until("the servers count", async || (hub.usable().await.len() == 3).then_some(())).await;
    assert_eq!(hub.asks("/api/health").await["state"], "restarted");
    holds(&hub, &["tools_usable"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_allowed_or_not_meant_is_a_matter_of_usage() {
    let hub = Hub::start(fork()).await;
    let list = hub.file("list.txt", "tools_usable/2\nsession_isolaton/1.1\n");
    let list = list.to_str().unwrap();
    for (arguments, part) in [
        (&["server_crash"][..], "add --allow server-crash"),
        (&["half_open", "--allow", "gemini"], "add --allow hub-stop"),
        (&["gemini_failure"], "add --allow gemini"),
        (&["sesion_isolation"], "did you mean `session_isolation`?"),
        (&["meta_tool", "--probe", "whoami"], "SERVER__TOOL"),
        (&["high_load", "--clients", "51"], "from 1 to 50"),
        (&["high_load", "--clients", "0"], "from 1 to 50"),
        (&["soak", "--every", "often"], "--every"),
        (&["tools_usable", "--expected-failures", list], "did you mean `session_isolation/1.1`?"),
        (&["tools_usable", "--expected-failures", "nowhere.txt"], "nowhere.txt"),
        (&["meta_tool", "--allow", "everything"], "everything"),
    ] {
        let said = hub.runs(arguments).await;
        assert_eq!(said.code, Some(2), "{arguments:?}: {}", said.stderr);
        assert!(said.stderr.contains(part), "{arguments:?}: {}", said.stderr);
    }
    assert_eq!(hub.mcp_requests(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_shows_what_would_be_done_and_does_nothing() {
    let hub = Hub::start(fork()).await;
    let dry = async |arguments: &[&str]| hub.runs(&[arguments, &["--dry-run"]].concat()).await;
    let said = dry(&["all", "--allow", "server-crash"]).await;
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    for part in ["nothing is done", "server_crash: Kills the process", "✓ the hub is ready: its state is ready", "3.4"] {
        assert!(said.stdout.contains(part), "{part}: {}", said.stdout);
    }
    let said = dry(&["meta_tool", "--environment", "production"]).await;
    assert_eq!(said.code, Some(3));
    assert!(said.stdout.contains("✗ the hub is no production hub") && said.stdout.contains("It would not run"), "{}", said.stdout);
    assert_eq!(dry(&["server_crash"]).await.code, Some(2));
    assert_eq!((hub.mcp_requests(), hub.tools_run()), (0, 0));
    assert!(!hub.state_dir().join("put-back.json").exists());
    hub.happens(Step::KillHub);
    let said = dry(&["meta_tool"]).await;
    assert_eq!(said.code, Some(4), "{}", said.stdout);
}

#[tokio::test(flavor = "multi_thread")]
async fn scenarios_with_one_state_folder_take_turns() {
    let hub = Hub::start(fork()).await;
    hub.inside(|live| live.set_gemini(Some(answers_after(1_000, &["github"]))));
    let first = Running::start(hub.command(&["meta_tool"]));
    until("the first one has begun", async || (hub.mcp_requests() > 0).then_some(())).await;
    let second = hub.runs(&["meta_tool"]).await;
    assert!(second.code == Some(2) && second.stderr.contains("wait until it has ended"), "{}", second.stderr);
    assert_eq!(first.end().await.code, Some(0));
    holds(&hub, &["meta_tool"]).await;
}
