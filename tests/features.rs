//! What a hub can't have is not applicable, what is switched off is not judged, and neither stands in the way of a pass; what is not
//! known stays inconclusive, and where nothing was judged nothing passes.

mod period;
mod watched;

use hubwatch::judge::evaluate::Ground;
use hubwatch::judge::obstacle::ObstacleKind;
use hubwatch::judge::rules::{RuleFile, parse};
use hubwatch::judge::verdict::Verdict;
use hubwatch::judge::{Assessment, Judge};
use hubwatch::simulator::Profile;
use hubwatch::watch::*;
use period::*;
use serde_json::Value;

/// The criteria about what the public hub has not.
const ABOUT_THE_FORK: [&str; 8] = [
    "integration.gemini_response_time",
    "integration.token_budget",
    "integration.gemini_without_errors",
    "integration.session_isolation",
    "integration.meta_tool_succeeds",
    "performance.meta_tool_time",
    "degradation.gemini_fallback",
    "degradation.session_cleanup",
];

fn rules(text: &str) -> Vec<RuleFile> {
    vec![parse(text).unwrap()]
}

fn filtering(outcome: ApiOutcome) -> FilteringPoll {
    let is_there = outcome == ApiOutcome::Ok;
    FilteringPoll {
        outcome,
        duration: Micros::new(1_000),
        enabled: is_there.then_some(true),
        mode: is_there.then(|| Text::from("prompt-based")),
        total: None,
        exposed: None,
        cache_hits: None,
        llm_cache_hits: None,
    }
}

/// The hub of these Watches says its version, and what it answers to `GET /api/filtering/stats`.
fn says(watches: &mut [Watch], version: &str, outcome: Option<ApiOutcome>) {
    for watch in watches {
        watch.sources.checkpoints = Some(false);
        let poll = watch.poll.as_mut().unwrap();
        poll.api.version = Some(Text::from(version));
        poll.filtering = outcome.map(filtering);
    }
}

/// A healthy day of the public hub, with a crash that it mended and high load.
fn npm_day() -> Vec<Watch> {
    let mut watches = Stage { calls: false, sessions: false, gemini: None, ..Stage::default() }.watches();
    says(&mut watches, "4.2.1", Some(ApiOutcome::NotFound));
    watches
}

fn ground(assessment: &Assessment, id: &str) -> Ground {
    assessment.criteria.iter().find(|(criterion, _)| criterion.id == id).unwrap().1.ground
}

fn assert_all(assessment: &Assessment, expected: Verdict) {
    for id in ABOUT_THE_FORK {
        assert_eq!(verdict(assessment, id), expected, "{id}: {}", why(assessment, id));
    }
}

#[test]
fn a_healthy_hub_without_a_meta_tool_passes_and_the_report_says_what_it_has_not() {
    let assessment = judge(&npm_day());
    assert_all(&assessment, Verdict::NotApplicable);
    assert_eq!(
        why(&assessment, "integration.meta_tool_succeeds"),
        "this hub (mcp-hub 4.2.1) has no meta-tool: GET /api/filtering/stats answers 404"
    );
    let judged = assessment.criteria.iter().filter(|(criterion, _)| !ABOUT_THE_FORK.contains(&criterion.id.as_str()));
    for (criterion, judged) in judged {
        assert_eq!(judged.verdict, Verdict::Pass, "{}: {}", criterion.id, judged.why);
    }
    assert_eq!(assessment.overall, Verdict::Pass);
}

#[test]
fn a_hub_that_has_not_answered_the_question_may_have_everything() {
    let unknown =
        [None, Some(ApiOutcome::Timeout), Some(ApiOutcome::ServerError), Some(ApiOutcome::Denied), Some(ApiOutcome::Unreadable)];
    for outcome in unknown {
        let mut watches = npm_day();
        says(&mut watches, "4.2.1", outcome);
        let assessment = judge(&watches);
        assert_all(&assessment, Verdict::Inconclusive);
        // Requests that fail all the time are a fault of their own.
        let expected = if outcome.is_none() { Verdict::Inconclusive } else { Verdict::Fail };
        assert_eq!(assessment.overall, expected, "{outcome:?}");
    }
    // The 404 of a hub that didn't answer otherwise is the 404 of whatever stands before it.
    let mut watches: Vec<Watch> = (0..DAY).map(|minute| watch(minute, ApiOutcome::NotFound)).collect();
    says(&mut watches, "4.2.1", Some(ApiOutcome::NotFound));
    assert_all(&judge(&watches), Verdict::Inconclusive);
}

#[test]
fn one_answer_of_many_failures_is_enough_and_many_answers_of_one_version_say_nothing_of_another() {
    let mut watches = npm_day();
    says(&mut watches[1..], "4.2.1", Some(ApiOutcome::Timeout));
    assert_all(&judge(&watches), Verdict::NotApplicable);
    let upgraded = |outcome| {
        let mut watches = npm_day();
        says(&mut watches[1_000..], "4.3.0", outcome);
        judge(&watches)
    };
    assert_all(&upgraded(Some(ApiOutcome::Ok)), Verdict::Inconclusive);
    assert_all(&upgraded(Some(ApiOutcome::Timeout)), Verdict::Inconclusive);
    let both = upgraded(Some(ApiOutcome::NotFound));
    assert_all(&both, Verdict::NotApplicable);
    assert!(why(&both, "performance.meta_tool_time").contains("(mcp-hub 4.2.1, then 4.3.0)"));
}

#[test]
fn a_hub_that_says_no_version_is_known_by_its_process() {
    let mut watches = npm_day();
    for (minute, watch) in watches.iter_mut().enumerate() {
        let poll = watch.poll.as_mut().unwrap();
        poll.api.version = None;
        poll.api.pid = Some(if minute < 700 { 7 } else { 8 });
        poll.api.started = Some(START);
    }
    let known = judge(&watches);
    assert_all(&known, Verdict::NotApplicable);
    assert!(why(&known, "performance.meta_tool_time").starts_with("this hub has no meta-tool"));
    for watch in &mut watches[700..] {
        watch.poll.as_mut().unwrap().filtering = None;
    }
    assert_all(&judge(&watches), Verdict::Inconclusive);
}

#[test]
fn what_was_seen_is_judged_whatever_the_hub_or_a_user_says() {
    let mut watches = npm_day();
    for watch in &mut watches[200..230] {
        watch.sources.checkpoints = Some(true);
        add(watch, call(CallOutcome::Error));
    }
    let answered = judge(&watches);
    assert_eq!(verdict(&answered, "integration.meta_tool_succeeds"), Verdict::Fail);
    assert_eq!(verdict(&answered, "integration.session_isolation"), Verdict::Inconclusive);
    let said = judge_by(&watches, rules("[judge]\nhas_meta_tool = false\nhas_sessions = false\n"));
    assert_eq!(verdict(&said, "integration.meta_tool_succeeds"), Verdict::Fail);
    assert_eq!(verdict(&said, "integration.session_isolation"), Verdict::NotApplicable);
}

#[test]
fn a_user_can_say_what_the_hub_has() {
    let has = judge_by(&npm_day(), rules("[judge]\nhas_meta_tool = true\nhas_gemini = true\nhas_sessions = true\n"));
    assert_all(&has, Verdict::Inconclusive);
    assert_eq!(has.overall, Verdict::Inconclusive);
    let mut watches = npm_day();
    says(&mut watches, "4.3.0", None);
    let has_not = judge_by(&watches, rules("[judge]\nhas_meta_tool = false\nhas_gemini = false\nhas_sessions = false\n"));
    assert_all(&has_not, Verdict::NotApplicable);
    assert_eq!(
        why(&has_not, "integration.gemini_without_errors"),
        "this hub does not use Gemini: hubwatch.toml says so ([judge] has_gemini = false)"
    );
    assert_eq!(has_not.overall, Verdict::Pass);
    assert_eq!(has_not.overrides.len(), 1, "the report says so");
    let slip = parse("[judge]\nhas_metatool = true\n").unwrap_err().to_string();
    assert!(slip.contains("has_metatool") && slip.contains("did you mean `has_meta_tool`?"), "{slip}");
}

#[test]
fn a_criterion_that_is_switched_off_counts_nowhere_and_is_told() {
    let off = |id: &str| format!("[[criterion]]\nid = '{id}'\nenabled = false\n");
    let mut watches = npm_day();
    crash(&mut watches, 400, 200, true);
    let judged = judge(&watches);
    assert_eq!((verdict(&judged, "degradation.server_recovery"), judged.overall), (Verdict::Fail, Verdict::Fail));
    let judged = judge_by(&watches, rules(&off("degradation.server_recovery")));
    assert_eq!(verdict(&judged, "degradation.server_recovery"), Verdict::NotApplicable);
    assert_eq!(ground(&judged, "degradation.server_recovery"), Ground::Disabled);
    assert_eq!(verdict(&judged, "stability.degradation_passes"), Verdict::Pass, "{}", why(&judged, "stability.degradation_passes"));
    assert_eq!(judged.overall, Verdict::Pass);
    assert!(judged.overrides.iter().any(|said| said.rule.contains("enabled = false")));
    // It travels with the Watches, and can be switched on again where it is judged.
    let stated = RuleStated { rule: Text::new(off("degradation.server_recovery")) };
    add(&mut watches[0], stated);
    assert_eq!(judge(&watches).overall, Verdict::Pass);
    let on = "[[criterion]]\nid = 'degradation.server_recovery'\nenabled = true\n";
    assert_eq!(judge_by(&watches, rules(on)).overall, Verdict::Fail);
}

#[test]
fn a_build_of_which_nothing_is_asked_does_not_pass() {
    let musts = judge(&npm_day()).criteria.into_iter().map(|(criterion, _)| criterion);
    let off: String = musts.map(|criterion| format!("[[criterion]]\nid = '{}'\nenabled = false\n", criterion.id)).collect();
    let judged = judge_by(&npm_day(), rules(&off));
    assert_eq!(judged.overall, Verdict::Inconclusive);
    assert_eq!(judged.obstacles.iter().map(|obstacle| obstacle.kind).collect::<Vec<_>>(), [ObstacleKind::NothingJudged]);
}

#[test]
fn what_the_hub_has_not_comes_back_from_every_backend_as_spans_do() {
    let watches = npm_day();
    let mut judge = Judge::new(Vec::new(), watches[0].interval.start());
    for watch in &watches {
        judge.take(&decode(&(&encode(watch)).into()).unwrap());
    }
    let assessment = judge.assess(watches.last().unwrap().interval.end());
    assert_all(&assessment, Verdict::NotApplicable);
    assert_eq!(assessment.overall, Verdict::Pass);
}

fn row<'a>(report: &'a Value, id: &str) -> &'a Value {
    report["criteria"].as_array().unwrap().iter().find(|row| row["id"] == id).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_report_on_a_public_hub_says_what_does_not_apply_in_each_form() {
    let hub = watched::Hub::of(Profile::npm()).await;
    hub.configure(
        "[servers.github]\nexpected = ['disconnected', 'connecting']\n\
         [[criterion]]\nid = 'degradation.server_recovery'\nenabled = false\n",
    );
    let sidecar = hub.watch(&[]);
    let works = |server: &Value| server["name"] == "filesystem" && server["standing"] == "up";
    let started = |report: &Value| report["servers"].as_array().is_some_and(|servers| servers.iter().any(works));
    let served = sidecar.until_json("/report.json", started).await;
    sidecar.stop();
    let report = hub.report();
    for report in [&served, &report] {
        for id in ABOUT_THE_FORK {
            assert_eq!(row(report, id)["verdict"], "not_applicable", "{id}: {:#}", row(report, id));
        }
        assert_eq!(row(report, "degradation.server_recovery")["ground"], "disabled");
        assert_ne!(row(report, "integration.servers_connected")["verdict"], "not_applicable");
    }
    assert_eq!(report["api"]["failed"], 0, "{:#}", report["api"]);
    let unseen = report["blind_spots"].as_array().unwrap();
    assert!(unseen.iter().all(|spot| !spot.as_str().unwrap().contains("meta-tool")), "{unseen:#?}");
    let said = |format: &str| {
        let output = hub.command("report", &["--name", "simulated", "--since", "1h", "--format", format]).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    let why = "this hub (mcp-hub 4.2.1) has no meta-tool: GET /api/filtering/stats answers 404";
    assert!(said("md").replace('\\', "").contains(why));
    assert!(said("html").contains(why.replace('/', "&#x2F;").as_str()) || said("html").contains(why));
    let junit = said("junit");
    let case = junit.split("<testcase").find(|case| case.contains("\"degradation.server_recovery\"")).unwrap();
    assert!(case.contains("<skipped") && case.contains("switched off"), "{case}");
}
