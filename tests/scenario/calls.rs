//! Scenarios of one client: the meta-tool, the tools, the log, a long time.

use std::time::Duration;

use hubwatch::scenario::{Options, Scenario};
use hubwatch::simulator::{Behaviour, Counts, Gemini, Notifies};

use super::hub::{answers, answers_after, fork, fork_that, mended, npm, without_hints};
use super::play::{case, plays_as, step};

/// Longer than the strategy allows for a call of the meta-tool.
const SLOW: u64 = 6_100;

fn slowly(options: &mut Options) {
    options.patience.meta_tool = Duration::from_secs(20);
}

fn at_most(clients: usize) -> Behaviour {
    Behaviour { most_clients: Some(clients), ..Behaviour::default() }
}

#[tokio::test]
async fn the_meta_tool_is_judged_by_its_time_its_answer_its_notification_and_its_error() {
    let possible = "1+- 2+-?0 3+-?0 4+-?0 5+-?0 6+-?0 7+-?0 after+-";
    let says = |text: &str| fork_that(Behaviour { meta_tool_says: Some(text.to_owned()), ..Behaviour::default() });
    let silent = fork_that(Behaviour { notifies: Notifies::Nobody, ..Behaviour::default() });
    let no_llm = fork_that(Behaviour { has_no_llm: true, ..Behaviour::default() });
    let dies = fork_that(Behaviour { dies_at_request: Some(5), ..Behaviour::default() });
    let isolated = fork_that(Behaviour { session_isolation: Some(true), ..Behaviour::default() });
    let cases = vec![
        case("the recorded fork", fork(), "1+ 2+ 3+ 4+ 5+ 6+ 7+ after+"),
        case("isolated by its configuration", isolated, "1+ 2+ 3+ 4+ 5+ 6+ 7+ after+"),
        case("without a meta-tool", npm(), "1+ 20 30 40 50 60 70 after+"),
        case("slow", fork(), "1+ 2+ 3+ 4- 5+ 6+ 7+ after+").gemini(answers_after(SLOW, &["github"])).option(slowly),
        case("falls back", fork(), "1+ 2+ 3- 4+ 5+ 6+ 7+ after+").gemini(Gemini::RateLimited),
        case("an unknown category", fork(), "1+ 2+ 3+ 4+ 5- 6+ 7+ after+").gemini(answers(&["weather"])),
        case("nothing new", fork(), "1+ 2+ 3+ 4+ 5+ 6? 7+ after+").gemini(answers(&["meta"])),
        case("notifies nobody", silent, "1+ 2+ 3+ 4+ 5+ 6- 7+ after+"),
        case("no model", no_llm, "1+ 2? 3? 4? 5? 6? 7? after+"),
        case("no JSON", says("use github"), "1+ 2- 3? 4? 5? 6? 7- after+"),
        case("JSON without categories", says("{\"tools\":[]}"), "1+ 2- 3? 4? 5? 6? 7- after+"),
        case("categories for nothing", says("{\"categories\":[\"git\"]}"), "1+ 2+ 3+ 4+ 5+ 6- 7- after+"),
        case("no category fits", fork(), "1+ 2- 3? 4? 5? 6? 7+ after+").gemini(Gemini::NoCategories),
        case("never answers", fork(), "1+ 2- 3? 4? 5? 6? 7+ after+").gemini(Gemini::Silent),
        case("stops because Gemini fails", fork(), "1+ 2- 3? 4? 5? 6? 7- after-").gemini(Gemini::Fails),
        case("takes no client", fork_that(at_most(0)), "1- 2? 3? 4? 5? 6? 7? after+"),
        case("dies at the empty prompt", dies, "1+ 2+ 3+ 4+ 5+ 6+ 7- after-"),
    ];
    plays_as(Scenario::MetaTool, possible, cases).await;
}

#[tokio::test]
async fn tools_are_listed_and_called_where_that_works_and_the_fork_s_defects_are_named() {
    let possible = "1+- 2+-? 3+-? 4+-? 5+-? after+-";
    let nothing = Behaviour { exposes_nothing: true, tools_work: true, ..Behaviour::default() };
    let by_default = Behaviour { default_exposure: vec!["memory".to_owned()], tools_work: true, ..Behaviour::default() };
    let too_much = Behaviour { lists_everything: true, tools_work: true, ..Behaviour::default() };
    let dies = Behaviour { dies_at_request: Some(12), tools_work: true, ..Behaviour::default() };
    let cases = vec![
        case("the recorded fork", fork(), "1+ 2- 3? 4- 5+ after+"),
        case("without a meta-tool", npm(), "1+ 2+ 3+ 4+ 5+ after+"),
        case("mended", mended(), "1+ 2+ 3+ 4+ 5+ after+"),
        case("exposes nothing", fork_that(nothing), "1+ 2+ 3- 4- 5+ after+"),
        case("exposes a server to everybody, by configuration", fork_that(by_default), "1+ 2+ 3+ 4+ 5+ after+")
            .gemini(answers(&["github"])),
        case("lists too much", fork_that(too_much), "1+ 2+ 3- 4+ 5+ after+").gemini(answers(&["github"])),
        case("no harmless tool", without_hints(), "1+ 2- 3? 4? 5? after+"),
        case("a harmless tool that is named", without_hints(), "1+ 2- 3? 4- 5+ after+")
            .option(|options| options.probes = vec!["github__whoami".to_owned(), "nothing__whoami".to_owned()]),
        case("takes no client", fork_that(at_most(0)), "1- 2? 3? 4? 5? after+"),
        // 3 requests to connect, 3 probes, 3 choices, the list, 3 calls.
        case("dies at the second call", fork_that(dies), "1+ 2+ 3+ 4- 5- after-"),
    ];
    let played = plays_as(Scenario::ToolsUsable, possible, cases).await;
    let (_, fork) = &played[0];
    for id in ["2", "4"] {
        assert!(step(fork, id).known_defect.unwrap().starts_with("https://github.com/"), "{:?}", step(fork, id));
    }
}

#[tokio::test]
async fn a_long_time_is_judged_by_all_its_rounds() {
    let possible = "1+- 2+-?0 3+-?0 4+-? 5+-? after+-";
    let short = |options: &mut Options| {
        options.every = Duration::from_millis(200);
        options.length = Some(Duration::from_millis(900));
    };
    let dies = Behaviour { dies_at_request: Some(6), tools_work: true, survives_leaving: true, ..Behaviour::default() };
    let no_llm = fork_that(Behaviour { has_no_llm: true, ..Behaviour::default() });
    let absent = fork_that(Behaviour { counts: Counts::Absent, ..Behaviour::default() });
    let cases = vec![
        case("the recorded fork", fork(), "1+ 2+ 3+ 4- 5+ after+").option(short),
        case("without a meta-tool", npm(), "1+ 20 30 4+ 5+ after+").option(short),
        case("mended", mended(), "1+ 2+ 3+ 4+ 5+ after+").option(short),
        case("slow", mended(), "1+ 2+ 3- 4+ 5+ after+").option(short).option(slowly).gemini(answers_after(SLOW, &["github"])),
        case("no model", no_llm, "1+ 2- 3? 4? 5+ after+").option(short),
        case("no harmless tool", without_hints(), "1+ 2+ 3+ 4? 5+ after+").option(short),
        case("does not count", absent, "1+ 2+ 3+ 4- 5+ after+").option(short),
        case("takes no client", fork_that(at_most(0)), "1- 2? 3? 4? 5? after+").option(short),
        // 3 requests to connect, 2 each round.
        case("dies in the second round", fork_that(dies), "1+ 2- 3+ 4- 5- after-").option(short),
    ];
    plays_as(Scenario::Soak, possible, cases).await;
}
