use super::*;
use crate::hub::topics::children::Child;
use crate::hub::topics::claims::{Claim, Decision};
use crate::hub::topics::requests::Requests;
use crate::watch::{ClaimRefusal, Micros, RecordUid, ServerFact, WatcherId};

fn server(status: &str, uptime: f64, started: Option<u64>) -> api::Server {
    api::Server {
        name: "filesystem".into(),
        transport: Some("stdio".into()),
        status: status.into(),
        error: None,
        capabilities: api::Capabilities { tools: api::Length(14) },
        uptime,
        last_started: started.map(Timestamp::from_secs),
    }
}

fn answer(server: api::Server, now: u64) -> api::Servers {
    api::Servers { servers: vec![server], timestamp: Some(Timestamp::from_secs(now)) }
}

fn times(at: u64) -> Asked {
    let now = Timestamp::from_secs(at);
    Asked { asked: Timestamp::from_millis(at * 1_000 - 5), now, hub_now: now, ahead: 0, set_at: None }
}

type Seen = (Liveness, Liveness, Option<ChangeCause>);

fn poll(servers: &mut Servers, seen: api::Server, at: u64) -> Vec<Seen> {
    let (_, noticed) = servers.poll(&answer(seen, at), None, times(at), &Requests::default());
    noticed.iter().filter_map(changed).collect()
}

fn changed(noticed: &Noticed) -> Option<Seen> {
    match &noticed.kind {
        FactKind::Server(ServerFact::ServerChanged(change)) => Some((change.from, change.to, change.cause)),
        _ => None,
    }
}

fn claim(what: ServerClaim, at: u64) -> Claim {
    Claim {
        uid: RecordUid::of_line(WatcherId::from_seed(b"test"), "log", 0, at),
        ordinal: 0,
        when: When::At(Timestamp::from_secs(at)),
        said: Some(Timestamp::from_secs(at)),
        earliest: Timestamp::from_secs(at),
        read: Timestamp::from_secs(at),
        source: Source::Log,
        pid: None,
        own: false,
        what: Claimed::Server(what),
    }
}

fn weigh(servers: &Servers, what: ServerClaim, said: u64, seen: api::Server, at: u64) -> Decision {
    servers.weigh(&claim(what.clone(), said), &what, std::iter::empty(), &answer(seen, at), times(at), true)
}

fn closed() -> ServerClaim {
    ServerClaim::Closed { server: Text::new("filesystem"), twice: false }
}

const UNPROMPTED: Option<ChangeCause> = Some(ChangeCause::Unprompted);
const REQUESTED: Option<ChangeCause> = Some(ChangeCause::Requested);
const HUB: Option<ChangeCause> = Some(ChangeCause::Hub);

#[test]
fn a_crashed_server_that_stays_connected_is_down() {
    let mut servers = Servers::default();
    assert_eq!(poll(&mut servers, server("connected", 7.0, Some(100)), 107), [(Liveness::Unknown, Liveness::Up, HUB)]);
    assert_eq!(poll(&mut servers, server("connected", 0.0, Some(100)), 122), [(Liveness::Up, Liveness::Down, UNPROMPTED)]);
    assert_eq!(poll(&mut servers, server("connected", 0.0, Some(100)), 137), []);
}

#[test]
fn a_server_that_took_six_seconds_to_start_is_not_down_when_it_has_just_connected() {
    let mut servers = Servers::default();
    assert_eq!(poll(&mut servers, server("connecting", 0.0, Some(100)), 101), [(Liveness::Unknown, Liveness::Starting, HUB)]);
    assert_eq!(poll(&mut servers, server("connected", 0.0, Some(100)), 106), []);
    assert_eq!(poll(&mut servers, server("connected", 15.0, Some(100)), 121), [(Liveness::Starting, Liveness::Up, HUB)]);
}

#[test]
fn who_begins_to_watch_a_server_with_an_uptime_of_zero_waits_for_the_next_poll() {
    for (uptime, to) in [(0.0, Liveness::Down), (15.0, Liveness::Up)] {
        let mut servers = Servers::default();
        assert_eq!(poll(&mut servers, server("connected", 0.0, Some(100)), 400)[0].1, Liveness::Starting);
        assert_eq!(poll(&mut servers, server("connected", uptime, Some(100)), 415)[0].1, to);
    }
}

#[test]
fn two_looks_within_a_second_are_not_enough_to_call_a_fresh_server_dead() {
    let mut servers = Servers::default();
    poll(&mut servers, server("connecting", 0.0, Some(100)), 105);
    assert_eq!(poll(&mut servers, server("connected", 0.0, Some(100)), 106), []);
    assert_eq!(poll(&mut servers, server("connected", 0.0, Some(100)), 107), []);
}

#[test]
fn a_restarted_server_that_has_just_connected_is_not_down() {
    let mut servers = Servers::default();
    poll(&mut servers, server("connected", 7.0, Some(100)), 107);
    let unknown = Some(ChangeCause::Unknown);
    assert_eq!(poll(&mut servers, server("connected", 0.0, Some(116)), 122), [(Liveness::Up, Liveness::Starting, unknown)]);
    assert_eq!(poll(&mut servers, server("connected", 15.0, Some(116)), 137), [(Liveness::Starting, Liveness::Up, unknown)]);
    // One that counts again at the next poll leaves the same trace.
    let both = [(Liveness::Up, Liveness::Starting, unknown), (Liveness::Starting, Liveness::Up, unknown)];
    assert_eq!(poll(&mut servers, server("connected", 5.0, Some(146)), 152), both);
}

#[test]
fn while_servers_start_nobody_s_process_is_missed() {
    let child = |pid| Child {
        pid,
        started: Timestamp::from_secs(100),
        rss: crate::watch::Bytes::new(1),
        cpu_time: Micros::new(1),
        command: "node server".to_owned(),
    };
    let mut servers = Servers::default();
    let mut look = |seen: api::Server, pid: u32, at: u64| {
        let (polls, noticed) = servers.poll(&answer(seen, at), Some(&[child(pid)]), times(at), &Requests::default());
        (polls[0].child_pid, noticed.iter().filter_map(changed).map(|(_, to, _)| to).collect::<Vec<_>>())
    };
    assert_eq!(look(server("connecting", 0.0, Some(100)), 5, 101), (Some(5), vec![Liveness::Starting]));
    assert_eq!(look(server("connected", 0.0, Some(100)), 6, 106), (Some(6), vec![]));
    assert_eq!(look(server("connected", 15.0, Some(100)), 6, 121), (Some(6), vec![Liveness::Up]));
}

#[test]
fn a_stop_and_what_follows_it_were_asked_for() {
    let mut servers = Servers::default();
    poll(&mut servers, server("connected", 7.0, Some(100)), 107);
    assert_eq!(poll(&mut servers, server("disconnected", 0.0, None), 122), [(Liveness::Up, Liveness::Down, REQUESTED)]);
    assert_eq!(poll(&mut servers, server("connected", 3.0, Some(133)), 137), [(Liveness::Down, Liveness::Up, REQUESTED)]);
    assert_eq!(poll(&mut servers, server("disabled", 0.0, None), 152), [(Liveness::Up, Liveness::Disabled, REQUESTED)]);
    assert_eq!(poll(&mut servers, server("connected", 3.0, Some(163)), 167), [(Liveness::Disabled, Liveness::Up, REQUESTED)]);
}

#[test]
fn a_crashed_server_that_somebody_stops_and_starts_did_not_recover_by_itself() {
    let mut servers = Servers::default();
    poll(&mut servers, server("connected", 7.0, Some(100)), 107);
    assert_eq!(poll(&mut servers, server("connected", 0.0, Some(100)), 122), [(Liveness::Up, Liveness::Down, UNPROMPTED)]);
    assert_eq!(poll(&mut servers, server("disconnected", 0.0, None), 137), []);
    assert_eq!(poll(&mut servers, server("connected", 3.0, Some(150)), 152), [(Liveness::Down, Liveness::Up, REQUESTED)]);
}

#[test]
fn a_server_that_could_not_be_started_failed_by_itself() {
    let mut servers = Servers::default();
    let failed = api::Server { error: Some("spawn ENOENT".into()), ..server("disconnected", 0.0, None) };
    assert_eq!(poll(&mut servers, failed, 107), [(Liveness::Unknown, Liveness::Down, UNPROMPTED)]);
}

#[test]
fn a_server_that_the_list_no_longer_has_is_removed() {
    let mut servers = Servers::default();
    poll(&mut servers, server("connected", 7.0, Some(100)), 107);
    let none = api::Servers { servers: Vec::new(), timestamp: None };
    let removed: Vec<Seen> = servers.removed(&none, times(122)).iter().filter_map(changed).collect();
    assert_eq!(removed, [(Liveness::Up, Liveness::Removed, Some(ChangeCause::Configured))]);
    assert_eq!(servers.removed(&none, times(137)), []);
}

#[test]
fn a_line_about_a_connection_that_has_lasted_since_is_of_another_hub() {
    let mut servers = Servers::default();
    poll(&mut servers, server("connected", 7.0, Some(100)), 107);
    let lasts = || server("connected", 22.0, Some(100));
    assert_eq!(weigh(&servers, closed(), 110, lasts(), 122), Decision::Refused(ClaimRefusal::Contradicted));
    // Read after the request had gone out: the next answer tells.
    assert_eq!(weigh(&servers, closed(), 122, lasts(), 122), Decision::Waits);
    let other = ServerClaim::Closed { server: Text::new("weather"), twice: false };
    assert_eq!(weigh(&servers, other, 110, lasts(), 122), Decision::Refused(ClaimRefusal::NotListed));
}

#[test]
fn a_line_about_a_server_that_died_or_was_restarted_since_is_confirmed() {
    let mut servers = Servers::default();
    poll(&mut servers, server("connected", 7.0, Some(100)), 107);
    assert_eq!(weigh(&servers, closed(), 110, server("connected", 0.0, Some(100)), 122), Decision::Confirmed);
    assert_eq!(weigh(&servers, closed(), 110, server("connected", 2.0, Some(119)), 122), Decision::Confirmed);
    assert_eq!(weigh(&servers, closed(), 110, server("disconnected", 0.0, None), 122), Decision::Confirmed);
    let connected = ServerClaim::Connected(Text::new("filesystem"));
    assert_eq!(weigh(&servers, connected.clone(), 120, server("connected", 2.0, Some(119)), 122), Decision::Confirmed);
    let contradicted = Decision::Refused(ClaimRefusal::Contradicted);
    assert_eq!(weigh(&servers, connected, 110, server("disconnected", 0.0, None), 122), contradicted);
}
