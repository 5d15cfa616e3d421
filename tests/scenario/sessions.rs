//! The three session test cases on hubs of every kind.

use hubwatch::scenario::Scenario;
use hubwatch::simulator::{Behaviour, Counts, Gemini, Notifies};

use super::hub::{answers, fork, fork_that, npm, without_hints};
use super::play::{case, plays_as, step};

fn leaks() -> Behaviour {
    Behaviour { leaks_exposure: true, ..Behaviour::default() }
}

fn notifies(notifies: Notifies) -> Behaviour {
    Behaviour { notifies, ..Behaviour::default() }
}

fn counts(counts: Counts) -> Behaviour {
    Behaviour { counts, ..Behaviour::default() }
}

fn at_most(clients: usize) -> Behaviour {
    Behaviour { most_clients: Some(clients), ..Behaviour::default() }
}

fn dies_at(request: u64) -> Behaviour {
    Behaviour { dies_at_request: Some(request), ..Behaviour::default() }
}

fn says(text: &str) -> Behaviour {
    Behaviour { meta_tool_says: Some(text.to_owned()), ..Behaviour::default() }
}

fn no_llm() -> Behaviour {
    Behaviour { has_no_llm: true, ..Behaviour::default() }
}

#[tokio::test]
async fn isolation_holds_on_the_fork_and_each_kind_of_leak_fails_its_step() {
    let possible = "1.1+- 1.2+-?0 1.3+-?0 1.4+-? 1.5+-?0 1.6+-?0 1.7+-?0 1.8+-?0 after+-";
    let not_reached = "1.1- 1.2? 1.3? 1.4? 1.5? 1.6? 1.7? 1.8? after+";
    let stopped_at_choice = "1.1+ 1.2? 1.3? 1.4? 1.5? 1.6? 1.7? 1.8? after+";
    let all = "1.1+ 1.2+ 1.3+ 1.4+ 1.5+ 1.6+ 1.7+ 1.8+ after+";
    let by_default = Behaviour { default_exposure: vec!["memory".to_owned()], ..Behaviour::default() };
    let nothing = Behaviour { exposes_nothing: true, ..Behaviour::default() };
    let cases = vec![
        case("the recorded fork", fork(), all),
        case("without a meta-tool", npm(), "1.1+ 1.20 1.30 1.4+ 1.50 1.60 1.70 1.80 after+"),
        case("exposes a server to everybody, by configuration", fork_that(by_default), all),
        case("leaks", fork_that(leaks()), "1.1+ 1.2+ 1.3+ 1.4+ 1.5- 1.6+ 1.7- 1.8- after+"),
        case("exposes nothing", fork_that(nothing), "1.1+ 1.2+ 1.3- 1.4+ 1.5+ 1.6+ 1.7- 1.8+ after+"),
        case("notifies all", fork_that(notifies(Notifies::Everybody)), "1.1+ 1.2+ 1.3+ 1.4+ 1.5+ 1.6+ 1.7+ 1.8- after+"),
        case("no harmless tool", without_hints(), "1.1+ 1.2+ 1.3? 1.4+ 1.5? 1.6+ 1.7? 1.8? after+"),
        case("no model", fork_that(no_llm()), stopped_at_choice),
        case("no JSON", fork_that(says("tools: github")), "1.1+ 1.2- 1.3? 1.4? 1.5? 1.6? 1.7? 1.8? after+"),
        case("no category fits", fork(), "1.1+ 1.2- 1.3? 1.4? 1.5? 1.6? 1.7? 1.8? after+").gemini(Gemini::NoCategories),
        case("falls back", fork(), "1.1+ 1.2? 1.3+ 1.4+ 1.5+ 1.6? 1.7+ 1.8+ after+").gemini(Gemini::RateLimited),
        case("counts nobody", fork_that(counts(Counts::Zero)), "1.1- 1.2+ 1.3+ 1.4- 1.5+ 1.6+ 1.7+ 1.8+ after+"),
        case("does not count", fork_that(counts(Counts::Absent)), all),
        case("takes no client", fork_that(at_most(0)), not_reached),
        case("takes one client", fork_that(at_most(1)), "1.1+ 1.2+ 1.3+ 1.4- 1.5? 1.6? 1.7? 1.8? after+"),
        // 3 requests to connect, 3 probes, the call, 3 probes; then the same for B.
        case("dies when B chooses", fork_that(dies_at(17)), "1.1+ 1.2+ 1.3+ 1.4+ 1.5+ 1.6- 1.7? 1.8? after-"),
    ];
    let played = plays_as(Scenario::SessionIsolation, possible, cases).await;
    let (hub, fork) = &played[0];
    assert!(step(fork, "1.7").detail.contains("client B may use the tools of filesystem, nothing else"), "{:?}", step(fork, "1.7"));
    // What is exposed has run: the fork's error comes afterwards.
    assert_eq!(hub.tools_run(), 3);
}

#[tokio::test]
async fn nothing_of_a_session_is_left_on_the_fork_and_what_is_left_elsewhere_is_seen() {
    let possible = "2.1+- 2.2+-?0 2.3+? 2.4+-? 2.5+-? 2.6+-? 2.7+-?0 after+-";
    let keeps = || Behaviour { keeps_sessions: true, ..Behaviour::default() };
    let all = "2.1+ 2.2+ 2.3+ 2.4+ 2.5+ 2.6+ 2.7+ after+";
    let cases = vec![
        case("the recorded fork", fork(), all),
        case("without a meta-tool", npm(), "2.1+ 2.20 2.3+ 2.4+ 2.5+ 2.6+ 2.70 after+"),
        case("keeps sessions", fork_that(keeps()), "2.1+ 2.2+ 2.3+ 2.4+ 2.5- 2.6- 2.7+ after+"),
        case(
            "keeps its only session",
            fork_that(Behaviour { most_clients: Some(1), ..keeps() }),
            "2.1+ 2.2+ 2.3+ 2.4+ 2.5- 2.6- 2.7- after+",
        ),
        case("leaks", fork_that(leaks()), "2.1+ 2.2+ 2.3+ 2.4+ 2.5+ 2.6+ 2.7- after+"),
        case("does not count", fork_that(counts(Counts::Absent)), "2.1+ 2.2+ 2.3? 2.4+ 2.5? 2.6+ 2.7+ after+"),
        case("counts nobody", fork_that(counts(Counts::Zero)), "2.1- 2.2+ 2.3+ 2.4+ 2.5- 2.6+ 2.7+ after+"),
        case("no model", fork_that(no_llm()), "2.1+ 2.2? 2.3+ 2.4+ 2.5+ 2.6+ 2.7? after+"),
        case("no harmless tool", without_hints(), "2.1+ 2.2+ 2.3+ 2.4+ 2.5+ 2.6+ 2.7? after+"),
        case("never answers", fork(), "2.1+ 2.2- 2.3+ 2.4- 2.5? 2.6? 2.7? after+").gemini(Gemini::Silent),
        case("takes no client", fork_that(at_most(0)), "2.1- 2.2? 2.3? 2.4? 2.5? 2.6? 2.7? after+"),
        case("dies when the old id comes", fork_that(dies_at(8)), "2.1+ 2.2+ 2.3+ 2.4+ 2.5+ 2.6- 2.7- after-"),
    ];
    let played = plays_as(Scenario::SessionCleanup, possible, cases).await;
    // A client without its answer is left alone as long as there is patience, and people are told.
    let (_, silent) = &played[9];
    assert!(silent.notes.iter().any(|note| note.contains("still wait for an answer")), "{:?}", silent.notes);
}

#[tokio::test]
async fn clients_that_choose_at_once_have_their_own_tools_each() {
    let possible = "3.1+- 3.2+-?0 3.3+-?0 3.4+-?0 3.5+-?0 3.6+-?0 after+-";
    let all = "3.1+ 3.2+ 3.3+ 3.4+ 3.5+ 3.6+ after+";
    let cases = vec![
        case("the recorded fork", fork(), all),
        case("without a meta-tool", npm(), "3.1+ 3.20 3.30 3.40 3.50 3.60 after+"),
        case("leaks", fork_that(leaks()), "3.1+ 3.2+ 3.3- 3.4+ 3.5- 3.6+ after+"),
        case("notifies twice", fork_that(notifies(Notifies::CallerTwice)), "3.1+ 3.2+ 3.3+ 3.4+ 3.5- 3.6+ after+"),
        case("notifies nobody", fork_that(notifies(Notifies::Nobody)), "3.1+ 3.2+ 3.3+ 3.4+ 3.5- 3.6+ after+"),
        case("notifies all", fork_that(notifies(Notifies::Everybody)), "3.1+ 3.2+ 3.3+ 3.4+ 3.5+ 3.6- after+"),
        case("always the same", fork(), "3.1+ 3.2+ 3.3+ 3.4+ 3.5? 3.6+ after+").gemini(answers(&["github"])),
        case("no harmless tool", without_hints(), "3.1+ 3.2+ 3.3? 3.4+ 3.5? 3.6? after+"),
        case("falls back", fork(), "3.1+ 3.2? 3.3+ 3.4? 3.5+ 3.6+ after+").gemini(Gemini::RateLimited),
        case("no model", fork_that(no_llm()), "3.1+ 3.2? 3.3? 3.4? 3.5? 3.6? after+"),
        case("no category fits", fork(), "3.1+ 3.2- 3.3? 3.4? 3.5? 3.6? after+").gemini(Gemini::NoCategories),
        case("no JSON", fork_that(says("[]")), "3.1+ 3.2- 3.3? 3.4? 3.5? 3.6? after+"),
        case("takes two clients", fork_that(at_most(2)), "3.1- 3.2? 3.3? 3.4? 3.5? 3.6? after+"),
        // 3 connections with 3 requests each, 3 probes, 3 calls, 9 probes.
        case("dies when client 2 chooses again", fork_that(dies_at(25)), "3.1+ 3.2+ 3.3+ 3.4- 3.5? 3.6? after-"),
    ];
    plays_as(Scenario::ConcurrentSessions, possible, cases).await;
}
