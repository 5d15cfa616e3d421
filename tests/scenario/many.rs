//! Scenarios with clients that come, break and leave: load, lost connections, vanished clients.

use std::time::Duration;

use hubwatch::scenario::{Options, Scenario};
use hubwatch::simulator::{Behaviour, Counts, Profile, UnderLoad};
use hubwatch::watch::Micros;

use super::hub::{answers, answers_after, fork, fork_that, mended, npm, without_hints};
use super::play::{case, plays_as, step};

fn keeps() -> Behaviour {
    Behaviour { keeps_sessions: true, ..Behaviour::default() }
}

fn at_most(clients: usize) -> Behaviour {
    Behaviour { most_clients: Some(clients), ..Behaviour::default() }
}

fn counts(counts: Counts) -> Behaviour {
    Behaviour { counts, ..Behaviour::default() }
}

fn under_load(delay: Duration, fails: bool) -> Profile {
    let load = UnderLoad { clients: 3, delay: Micros::from_duration(delay), fails };
    fork_that(Behaviour { under_load: Some(load), ..Behaviour::default() })
}

fn slowly(options: &mut Options) {
    options.patience.meta_tool = Duration::from_secs(20);
}

#[tokio::test]
async fn many_clients_are_counted_answered_and_leave_one_by_one() {
    let possible = "1+- 2+-? 3+-?0 4+-? 5+-? 6+-? after+-";
    let no_llm = fork_that(Behaviour { has_no_llm: true, ..Behaviour::default() });
    let dies = fork_that(Behaviour { dies_at_request: Some(14), ..Behaviour::default() });
    let slow_gemini = answers_after(6_100, &["github"]);
    let cases = vec![
        case("the recorded fork", fork(), "1+ 2+ 3+ 4+ 5+ 6+ after+"),
        case("without a meta-tool", npm(), "1+ 2+ 30 4+ 5+ 6+ after+"),
        case("slow", fork(), "1+ 2+ 3- 4+ 5+ 6+ after+").gemini(slow_gemini).option(slowly),
        case("no model", no_llm, "1+ 2- 3? 4+ 5+ 6+ after+"),
        case("no harmless tool", without_hints(), "1+ 2+ 3+ 4+ 5+ 6+ after+"),
        case("an API that fails under load", under_load(Duration::ZERO, true), "1+ 2+ 3+ 4- 5- 6? after+"),
        case("an API that is slow under load", under_load(Duration::from_millis(2_100), false), "1+ 2+ 3+ 4+ 5- 6+ after+"),
        case("does not count", fork_that(counts(Counts::Absent)), "1+ 2+ 3+ 4+ 5+ 6? after+"),
        case("counts nobody", fork_that(counts(Counts::Zero)), "1- 2+ 3+ 4+ 5+ 6- after+"),
        case("keeps sessions", fork_that(keeps()), "1+ 2+ 3+ 4+ 5+ 6- after+"),
        case("takes two clients", fork_that(at_most(2)), "1- 2? 3? 4? 5? 6? after+"),
        case("dies under load", dies, "1+ 2- 3+ 4- 5+ 6- after-"),
    ];
    let played = plays_as(Scenario::HighLoad, possible, cases).await;
    for (hub, _) in played.iter().take(5) {
        let departures = hub.departures();
        let apart = departures.windows(2).map(|pair| pair[1].since(pair[0]).as_duration());
        assert!(apart.clone().all(|apart| apart >= Duration::from_millis(500)), "{:?}", apart.collect::<Vec<_>>());
        assert_eq!((departures.len(), hub.left_during_calls()), (3, 0));
    }
}

#[tokio::test]
async fn a_connection_that_breaks_is_noticed_and_nobody_else_is_affected() {
    let possible = "1+- 2+-? 3+-? 4+-? 5+-? 6+-? 7+-? 8+-? after+-";
    let all = "1+ 2+ 3+ 4+ 5+ 6+ 7+ 8+ after+";
    // The witness: 3 requests to connect, 3 probes. Each other one: 3 requests to connect, 1 with the old id.
    let dies_at = |request: u64| fork_that(Behaviour { dies_at_request: Some(request), ..Behaviour::default() });
    let cases = vec![
        case("the recorded fork", fork(), all),
        case("without a meta-tool", npm(), all),
        case("no harmless tool", without_hints(), all),
        case("keeps sessions", fork_that(keeps()), "1+ 2+ 3- 4- 5+ 6- 7- 8+ after+"),
        case("does not count", fork_that(counts(Counts::Absent)), "1+ 2+ 3? 4+ 5+ 6? 7+ 8+ after+"),
        case("counts nobody", fork_that(counts(Counts::Zero)), "1- 2- 3- 4+ 5- 6- 7+ 8+ after+"),
        case("takes no client", fork_that(at_most(0)), "1- 2? 3? 4? 5? 6? 7? 8? after+"),
        case("takes one client", fork_that(at_most(1)), "1+ 2- 3? 4? 5? 6? 7? 8? after+"),
        case("dies when the second one connects", dies_at(11), "1+ 2+ 3+ 4+ 5- 6? 7? 8? after-"),
        case("dies at the witness's ping", dies_at(15), "1+ 2+ 3+ 4+ 5+ 6+ 7+ 8- after-"),
    ];
    plays_as(Scenario::SseLost, possible, cases).await;
}

#[tokio::test]
async fn a_vanished_client_is_noticed_only_by_a_hub_that_pings() {
    let possible = "1+- 2+-? after+";
    let pings = fork_that(Behaviour { drops_silent_after: Some(Micros::new(300_000)), ..Behaviour::default() });
    let briefly = |options: &mut Options| options.length = Some(Duration::from_millis(1_500));
    let cases = vec![
        case("the recorded fork", fork(), "1+ 2- after+").option(briefly),
        case("without a meta-tool", npm(), "1+ 2- after+").option(briefly),
        case("pings", pings, "1+ 2+ after+").option(briefly),
        case("does not count", fork_that(counts(Counts::Absent)), "1+ 2? after+").option(briefly),
        case("takes no client", fork_that(at_most(0)), "1- 2? after+").option(briefly),
    ];
    let played = plays_as(Scenario::HalfOpen, possible, cases).await;
    assert!(step(&played[0].1, "2").known_defect.is_some());
}

#[tokio::test]
async fn a_client_that_leaves_during_its_call_stops_the_fork() {
    let possible = "1+- 2+?0 3+-?0 after+-";
    let cases = vec![
        case("the recorded fork", fork(), "1+ 2+ 3- after-"),
        case("mended", mended(), "1+ 2+ 3+ after+"),
        case("without a meta-tool", npm(), "1+ 20 30 after+"),
        case("answers at once", fork(), "1+ 2? 3? after+").gemini(answers(&["github"])),
        case("takes no client", fork_that(at_most(0)), "1- 2? 3? after+"),
    ];
    let played = plays_as(Scenario::MidCallLeave, possible, cases).await;
    assert!(step(&played[0].1, "3").known_defect.is_some());
    assert_eq!((played[0].0.left_during_calls(), played[1].0.left_during_calls()), (1, 1));
}
