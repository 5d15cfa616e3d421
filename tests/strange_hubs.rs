//! Hubs, and what stands before them, that look as if something had happened.

mod played;

use hubwatch::judge::obstacle::ObstacleKind;
use hubwatch::watch::{ChangeCause, Liveness};
use played::{Hub, Logger, Played, Server, Told};

use ChangeCause::{Configured, Hub as OfHub, Requested, Unprompted};
use Liveness::{Down, Removed, Up};

/// The hub of the same address that has run for an hour.
fn sibling(hub: &Hub, pid: u32) -> Hub {
    let mut other = Hub { pid, started: -3_600.0, ..hub.clone() };
    other.servers.insert("files", Server::up(-3_590.0));
    other
}

fn obstacles(told: &Told) -> Vec<ObstacleKind> {
    told.judged().obstacles.iter().map(|obstacle| obstacle.kind).filter(|kind| *kind != ObstacleKind::TooShort).collect()
}

/// The changes of the server after the hub's start.
fn changes(told: &Told) -> Vec<(Liveness, ChangeCause)> {
    told.changes("files").split_off(2)
}

#[tokio::test]
async fn hubs_that_answer_in_turn_at_one_address_do_not_die_at_each_poll_and_there_is_no_verdict_on_them() {
    for hubs in [2, 4] {
        let mut played = Played::up(Logger::Pino).await;
        let one = played.hub.clone();
        for turn in 1..24_u32 {
            let number = turn % hubs;
            played.hub = if number == 0 { one.clone() } else { sibling(&one, 200 + number) };
            played.poll(60.0 + 15.0 * f64::from(turn)).await;
        }
        let told = played.ends().await;
        assert!(told.ends_and_starts().iter().all(|what| *what == "started"), "{hubs}: {:?}", told.life());
        assert!(!told.changes("files").iter().any(|(to, _)| *to == Down), "{hubs}");
        assert!(told.incidents().is_empty(), "{hubs}: {:?}", told.incidents());
        assert_eq!(obstacles(&told), [ObstacleKind::TwoHubs], "{hubs}");
    }
}

#[tokio::test]
async fn a_hub_that_takes_over_from_one_that_has_not_ended_is_no_death() {
    let mut played = Played::up(Logger::Pino).await;
    played.hub = sibling(&played.hub, 200);
    played.runs(75.0, 180.0).await;
    let told = played.ends().await;
    assert_eq!(told.ends_and_starts(), ["started", "started"]);
    assert!(told.incidents().is_empty(), "{:?}", told.incidents());
    assert_eq!(obstacles(&told), []);
}

#[tokio::test]
async fn a_server_that_is_listed_twice_is_one_server() {
    let mut played = Played::up(Logger::Pino).await;
    played.hub.twice = Some(("files", Server::stopped()));
    played.runs(75.0, 180.0).await;
    assert_eq!(played.hub.servers.len(), 1);
    let told = played.ends().await;
    assert_eq!(changes(&told), []);
    assert_eq!(told.last_poll().servers.len(), 1);
    assert!(told.incidents().is_empty(), "{:?}", told.incidents());
}

#[tokio::test]
async fn a_server_that_is_renamed_is_one_that_was_removed_and_one_that_is_new() {
    let mut played = Played::up(Logger::Pino).await;
    played.hub.servers.remove("files");
    played.hub.servers.insert("papers", Server::up(66.0));
    played.runs(75.0, 180.0).await;
    let told = played.ends().await;
    assert_eq!(changes(&told), [(Removed, Configured)]);
    assert_eq!(told.changes("papers"), [(Up, OfHub)]);
    assert!(told.incidents().is_empty(), "{:?}", told.incidents());
}

#[tokio::test]
async fn servers_whose_names_differ_in_case_alone_are_two() {
    let mut played = Played::up(Logger::Pino).await;
    played.hub.servers.insert("FILES", Server::up(61.0));
    played.poll(65.0).await;
    played.line(70.0, 100, "'FILES' transport closed").await;
    played.hub.servers.insert("FILES", Server::crashed(61.0));
    played.runs(75.0, 180.0).await;
    let told = played.ends().await;
    assert_eq!(changes(&told), []);
    assert_eq!(told.changes("FILES").last(), Some(&(Down, Unprompted)));
    assert_eq!(told.incidents(), ["server_down FILES"]);
}

#[tokio::test]
async fn a_crash_is_one_though_the_hub_calls_itself_restarting_for_ever() {
    let mut played = Played::up(Logger::Pino).await;
    played.line(65.0, 100, "Restarting MCP Hub").await;
    played.hub.state = "restarting";
    played.runs(75.0, 600.0).await;
    played.line(610.0, 100, "'files' transport closed").await;
    played.hub.servers.insert("files", Server::crashed(1.0));
    played.runs(615.0, 700.0).await;
    let told = played.ends().await;
    assert_eq!(changes(&told), [(Down, Unprompted)]);
    assert_eq!(told.incidents(), ["server_down files"]);
}

#[tokio::test]
async fn a_crash_is_one_though_nobody_heard_that_the_restart_before_it_was_over() {
    let mut played = Played::up(Logger::Pino).await;
    played.line(65.0, 100, "Restarting MCP Hub").await;
    played.line(65.1, 100, "'files' transport closed").await;
    played.line(65.12, 100, "'files' transport closed").await;
    played.hub.state = "restarted";
    played.hub.servers.insert("files", Server::up(67.0));
    played.runs(75.0, 105.0).await;
    played.line(110.0, 100, "'files' transport closed").await;
    let up = played.hub.servers["files"].clone();
    played.hub.servers.insert("files", Server { up_since: None, ..up });
    played.runs(120.0, 180.0).await;
    let told = played.ends().await;
    let [closed, up, crashed] = changes(&told)[..] else { panic!("{:?}", changes(&told)) };
    assert_eq!((closed, up.0, crashed), ((Down, Requested), Up, (Down, Unprompted)));
    assert_eq!(told.incidents(), ["server_down files"]);
}
