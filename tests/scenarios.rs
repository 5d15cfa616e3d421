//! What scenarios tell, on its way into criteria and the report: steps, measurements, and that what they cause counts for them alone.

mod period;

use hubwatch::judge::Assessment;
use hubwatch::judge::evaluate::Ground;
use hubwatch::judge::history::CallMatch;
use hubwatch::judge::incident::{Incident, IncidentKind};
use hubwatch::judge::measure::Measure;
use hubwatch::judge::verdict::Verdict;
use hubwatch::watch::*;
use period::*;
use serde_json::Value;

const DEFECT: &str = "https://github.com/ravitemer/mcp-hub/issues/128";

/// The steps of one run of a scenario, told at the end of a Watch.
struct Run {
    scenario: &'static str,
    id: ScenarioRun,
    sequence: u32,
}

impl Run {
    fn of(scenario: &'static str, seed: u8) -> Self {
        Self { scenario, id: ScenarioRun::from_seed(&[seed]), sequence: 0 }
    }

    fn tell(&mut self, watch: &mut Watch, kind: impl Into<FactKind>) {
        let FactKind::Scenario(told) = kind.into() else { panic!("not of a scenario") };
        self.sequence += 1;
        let fact =
            Fact { id: told.id(), when: When::At(watch.interval.end()), source: Source::Scenario, kind: FactKind::Scenario(told) };
        watch.facts.push(fact);
    }

    fn step(&mut self, watch: &mut Watch, verdict: StepVerdict, detail: &str) {
        let checked = self.checked(verdict, detail);
        self.tell(watch, checked);
    }

    fn checked(&self, verdict: StepVerdict, detail: &str) -> ScenarioChecked {
        ScenarioChecked {
            scenario: Text::new(self.scenario),
            run: self.id,
            sequence: self.sequence,
            check: Text::new(format!("1.{}", self.sequence + 1)),
            title: Text::new("each client has its own tools"),
            verdict,
            detail: (!detail.is_empty()).then(|| Text::new(detail)),
            known_defect: None,
            trace_id: Some(Text::new("0123456789abcdef0123456789abcdef")),
        }
    }

    fn measured(&mut self, watch: &mut Watch, measured: MeasuredByClient, count: u64, mean_us: u64) {
        let took = Some(Micros::new(mean_us));
        let measured = ScenarioMeasured {
            scenario: Text::new(self.scenario),
            run: self.id,
            sequence: self.sequence,
            measured,
            count: Count::new(count + 1),
            failed: Count::new(1),
            sum: Micros::new(count * mean_us),
            p50: took,
            p95: took,
            p99: took,
            max: took,
        };
        self.tell(watch, measured);
    }
}

/// A quiet day in which a scenario ran with these steps.
fn day(scenario: &'static str, steps: &[(StepVerdict, &str)]) -> Vec<Watch> {
    let mut watches = quiet(DAY).watches();
    let mut run = Run::of(scenario, 1);
    planned(&mut watches, scenario, 300, 302);
    steps.iter().for_each(|(verdict, detail)| run.step(&mut watches[301], *verdict, detail));
    watches
}

fn judged<'a>(assessment: &'a Assessment, id: &str) -> &'a hubwatch::judge::evaluate::Judged {
    &assessment.criteria.iter().find(|(criterion, _)| criterion.id == id).unwrap().1
}

fn criterion<'a>(report: &'a Value, id: &str) -> &'a Value {
    report["criteria"].as_array().unwrap().iter().find(|row| row["id"] == id).unwrap()
}

fn scenario<'a>(report: &'a Value, name: &str) -> &'a Value {
    report["scenarios"].as_array().unwrap().iter().find(|scenario| scenario["name"] == name).unwrap()
}

/// The criterion that each scenario's steps are judged by.
const JUDGED: [(&str, &str); 13] = [
    ("session_isolation", "integration.session_isolation"),
    ("concurrent_sessions", "integration.session_isolation"),
    ("tools_usable", "integration.tools_synchronised"),
    ("meta_tool", "integration.meta_tool_succeeds"),
    ("session_cleanup", "degradation.session_cleanup"),
    ("sse_lost", "degradation.session_cleanup"),
    ("half_open", "degradation.session_cleanup"),
    ("mid_call_leave", "degradation.session_cleanup"),
    ("gemini_failure", "degradation.gemini_fallback"),
    ("server_crash", "degradation.server_recovery"),
    ("high_load", "degradation.high_load"),
    ("log_growth", "stability.degradation_passes"),
    ("log_disk_full", "stability.degradation_passes"),
];

#[test]
fn a_failed_step_fails_the_criterion_of_its_scenario_and_steps_that_hold_do_not() {
    for (name, id) in JUDGED {
        let fails = judge(&day(name, &[(StepVerdict::Pass, ""), (StepVerdict::Fail, "A saw B's tools")]));
        assert_eq!(verdict(&fails, id), Verdict::Fail, "{name}: {}", why(&fails, id));
        assert_eq!(verdict(&fails, "stability.degradation_passes") == Verdict::Fail, !id.starts_with("integration"), "{name}");
        let holds = judge(&day(name, &[(StepVerdict::Pass, ""), (StepVerdict::NotApplicable, "no such thing")]));
        assert_ne!(verdict(&holds, id), Verdict::Fail, "{name}: {}", why(&holds, id));
        if id != "stability.degradation_passes" {
            assert_eq!(verdict(&holds, id), Verdict::Pass, "{name}: {}", why(&holds, id));
        }
    }
}

#[test]
fn steps_that_cannot_be_verified_or_do_not_apply_decide_nothing_and_say_why() {
    let id = "integration.session_isolation";
    let unseen = judge(&day(
        "session_isolation",
        &[(StepVerdict::NotApplicable, "no meta-tool"), (StepVerdict::NotVerifiable, "one server only")],
    ));
    assert_eq!((judged(&unseen, id).verdict, judged(&unseen, id).ground), (Verdict::Inconclusive, Ground::NotVerifiable));
    assert_eq!(why(&unseen, id), "not verifiable: one server only");
    let lacking = judge(&day("session_isolation", &[(StepVerdict::NotApplicable, "the hub has no meta-tool")]));
    assert_eq!(verdict(&lacking, id), Verdict::NotApplicable);
    assert_eq!(why(&lacking, id), "the hub has no meta-tool");
    let absent = judge(&quiet(DAY).watches());
    assert_eq!(verdict(&absent, id), Verdict::Inconclusive);
}

#[test]
fn a_scenario_that_could_not_look_at_what_it_is_for_is_no_pass_until_a_later_run_could() {
    let id = "integration.session_isolation";
    let connected_only = [(StepVerdict::Pass, ""), (StepVerdict::NotVerifiable, "no harmless tool")];
    let mut watches = day("session_isolation", &connected_only);
    let unseen = judge(&watches);
    assert_eq!((judged(&unseen, id).verdict, judged(&unseen, id).ground), (Verdict::Inconclusive, Ground::NotVerifiable));
    assert_eq!(why(&unseen, id), "not verifiable: no harmless tool");
    Run::of("session_isolation", 2).step(&mut watches[500], StepVerdict::Pass, "");
    assert_eq!(verdict(&judge(&watches), id), Verdict::Pass);
    Run::of("session_isolation", 3).step(&mut watches[600], StepVerdict::NotVerifiable, "no harmless tool again");
    assert_eq!(verdict(&judge(&watches), id), Verdict::Inconclusive);
    Run::of("session_isolation", 4).step(&mut watches[700], StepVerdict::Fail, "a leak");
    assert_eq!(verdict(&judge(&watches), id), Verdict::Fail, "what failed has happened, whatever else can't be seen");
}

#[test]
fn every_run_counts_the_reason_names_the_step_its_known_defect_and_the_runs_and_a_step_told_twice_counts_once() {
    let mut watches = quiet(DAY).watches();
    for (seed, minute) in [(1, 300), (2, 500), (3, 700)] {
        let mut run = Run::of("session_isolation", seed);
        run.step(&mut watches[minute], StepVerdict::Pass, "");
        let verdict = if seed == 2 { StepVerdict::Fail } else { StepVerdict::Pass };
        let checked = ScenarioChecked { known_defect: Some(Text::new(DEFECT)), ..run.checked(verdict, "A saw github") };
        run.tell(&mut watches[minute], checked);
    }
    // The file of a failed step was read again after a kill.
    let again = watches[500].facts.last().unwrap().clone();
    watches[510].facts.push(again);
    let report = reported(&watches);
    let row = criterion(&report, "integration.session_isolation");
    assert_eq!(row["verdict"], "fail");
    let why = row["why"].as_str().unwrap();
    let steps = "1.2 each client has its own tools (a known defect of the hub)";
    assert_eq!(why, format!("1 step of scenario session_isolation failed (allowed: 0), in 3 runs, at 2026-11-18 19:27: {steps}"));
    assert_eq!(row["value"], "failed steps of session_isolation 1 in 3 runs");
    let evidence = &row["evidence"][0];
    assert_eq!(evidence["trace"], "0123456789abcdef0123456789abcdef");
    assert!(evidence["what"].as_str().unwrap().contains("A saw github"), "{evidence}");
    let told = scenario(&report, "session_isolation");
    assert_eq!((&told["runs"], &told["steps"]["passed"], &told["steps"]["failed"]), (&3.into(), &5.into(), &1.into()));
    assert_eq!(told["failures"][0]["times"], 1);
    assert_eq!(told["latest"]["run"].as_str().unwrap(), ScenarioRun::from_seed(&[3]).to_string());
    assert_eq!((told["latest"]["steps"].as_array().unwrap().len(), told["earlier"].as_array().unwrap().len()), (2, 2));
    assert_eq!(told["earlier"][0]["failed"], serde_json::json!(["1.2"]));
}

#[test]
fn of_many_runs_the_latest_is_whole_and_the_others_are_lines_that_are_bounded() {
    let mut watches = quiet(DAY).watches();
    for minute in 0..200_u8 {
        let mut run = Run::of("soak", minute);
        (0..20).for_each(|_| run.step(&mut watches[usize::from(minute) * 5 + 10], StepVerdict::Pass, "fine"));
    }
    let told = &judge(&watches).history.scenarios.all[0];
    assert_eq!((told.runs, told.steps.passed), (200, 4_000));
    assert_eq!((told.latest.steps.len(), told.earlier.len(), told.earlier_left_out), (20, 20, 179));
    assert!(told.earlier.iter().all(|run| run.steps.is_empty() && run.counts.passed == 20 && run.from < told.latest.from));
}

#[test]
fn what_clients_measure_counts_for_performance_only_where_nothing_is_overloaded_or_disturbed() {
    let measured = |name, mean_us| {
        let mut watches = quiet(DAY).watches();
        let mut run = Run::of(name, 1);
        run.measured(&mut watches[300], MeasuredByClient::MetaToolCall, 10, mean_us * 3);
        run.measured(&mut watches[300], MeasuredByClient::ApiRequest, 10, mean_us);
        judge(&watches)
    };
    let slow = 2_500_000;
    for name in ["meta_tool", "tools_usable", "session_isolation", "session_cleanup", "concurrent_sessions", "log_growth", "soak"] {
        let assessment = measured(name, slow);
        for id in ["performance.meta_tool_time", "performance.api_response_time"] {
            assert_eq!(verdict(&assessment, id), Verdict::Fail, "{name}: {}", why(&assessment, id));
        }
        assert_ne!(verdict(&assessment, "degradation.high_load"), Verdict::Fail, "{name}");
    }
    for name in ["high_load", "gemini_failure", "server_crash", "sse_lost", "half_open", "mid_call_leave", "log_disk_full"] {
        let assessment = measured(name, slow);
        for id in ["performance.meta_tool_time", "performance.api_response_time"] {
            assert_eq!(verdict(&assessment, id), Verdict::Pass, "{name}: {}", why(&assessment, id));
        }
        assert_eq!(verdict(&assessment, "degradation.high_load") == Verdict::Fail, name == "high_load", "{name}");
    }
    let assessment = measured("meta_tool", 1_500_000);
    assert_eq!(verdict(&assessment, "performance.api_response_time"), Verdict::Warn);
    let figure = assessment.measures.iter().find(|figure| figure.measure == Measure::CLIENT_API_MEAN).unwrap();
    assert_eq!((figure.value, figure.samples), (Some(1_500_000), 10), "failed ones have no duration");
}

#[test]
fn clients_alone_decide_about_the_meta_tool_where_nobody_else_calls_it() {
    let mut watches = Stage { calls: false, ..quiet(DAY) }.watches();
    let ids = ["performance.meta_tool_time", "integration.meta_tool_succeeds"];
    let before = judge(&watches);
    ids.iter().for_each(|id| assert_eq!(verdict(&before, id), Verdict::Inconclusive, "{id}"));
    let mut run = Run::of("meta_tool", 1);
    run.step(&mut watches[300], StepVerdict::Pass, "");
    run.measured(&mut watches[300], MeasuredByClient::MetaToolCall, 10, 900_000);
    let after = judge(&watches);
    ids.iter().for_each(|id| assert_eq!(verdict(&after, id), Verdict::Pass, "{id}: {}", why(&after, id)));
}

/// A scenario whose clients made so many calls of this mean, in whose window the log shows ten of a second each.
fn compared(count: u64, mean_us: u64) -> hubwatch::judge::history::CallComparison {
    let mut watches = Stage { calls: false, ..quiet(DAY) }.watches();
    planned(&mut watches, "meta_tool", 300, 310);
    for watch in &mut watches[301..=310] {
        let started = watch.interval.start();
        add(watch, CallEnded { started, duration: Some(Micros::new(1_000_000)), ..call(CallOutcome::Ok) });
    }
    // Somebody else's, before and after.
    for minute in [200, 400] {
        let started = watches[minute].interval.start();
        add(&mut watches[minute], CallEnded { started, ..call(CallOutcome::Ok) });
    }
    Run::of("meta_tool", 1).measured(&mut watches[310], MeasuredByClient::MetaToolCall, count, mean_us);
    judge(&watches).history.scenarios.all[0].compared.clone().unwrap()
}

#[test]
fn the_same_calls_are_compared_and_a_difference_of_more_than_two_per_cent_is_told() {
    let same = compared(10, 1_020_000);
    assert_eq!((same.matched, same.hub_calls, same.difference_permille, same.differs), (CallMatch::Windows, 10, Some(20), false));
    let slower = compared(10, 1_020_001);
    assert!(slower.differs && slower.hub_mean_us == Some(1_000_000) && slower.client_mean_us == 1_020_001);
    let faster = compared(10, 900_000);
    assert_eq!((faster.difference_permille, faster.differs), (Some(-100), true));
    let others = compared(9, 2_000_000);
    assert_eq!((others.matched, others.difference_permille, others.differs), (CallMatch::OtherCalls, None, false));
}

#[test]
fn calls_of_a_scenario_without_a_window_are_compared_with_all_calls_if_they_are_as_many() {
    let mut watches = quiet(DAY).watches();
    Run::of("soak", 1).measured(&mut watches[1_400], MeasuredByClient::MetaToolCall, DAY, 900_000);
    let compared = judge(&watches).history.scenarios.all[0].compared.clone().unwrap();
    assert_eq!(
        (compared.matched, compared.hub_mean_us, compared.difference_permille),
        (CallMatch::OutsideWindows, Some(800_000), Some(125))
    );
    assert_eq!(super_quiet(), CallMatch::NotVisible);
}

/// What is said of calls that the log does not show.
fn super_quiet() -> CallMatch {
    let mut watches = Stage { calls: false, ..quiet(DAY) }.watches();
    Run::of("soak", 1).measured(&mut watches[1_400], MeasuredByClient::MetaToolCall, 5, 900_000);
    judge(&watches).history.scenarios.all[0].compared.as_ref().unwrap().matched
}

/// A day on which something happens for nine minutes of a scenario, and the same day on which it just happens.
fn with_and_without(change: impl Fn(&mut Watch)) -> [Assessment; 2] {
    [true, false].map(|is_planned| {
        let mut watches = quiet(DAY).watches();
        if is_planned {
            planned(&mut watches, "high_load", 300, 310);
        }
        watches[301..310].iter_mut().for_each(&change);
        judge(&watches)
    })
}

fn unplanned(assessment: &Assessment) -> Vec<&Incident> {
    assessment.incidents.iter().filter(|incident| incident.planned.is_none()).collect()
}

/// What is caused fails this criterion, and is an incident, unless it is planned.
fn counts_for_it_alone(id: Option<&str>, change: impl Fn(&mut Watch)) {
    let [during, without] = with_and_without(change);
    assert!(unplanned(&during).is_empty(), "{:#?}", unplanned(&during));
    assert!(!unplanned(&without).is_empty() && during.incidents.len() >= without.incidents.len(), "it is told all the same");
    if let Some(id) = id {
        assert_eq!(verdict(&during, id), Verdict::Pass, "{}", why(&during, id));
        assert_eq!(verdict(&without, id), Verdict::Fail, "{}", why(&without, id));
    }
}

#[test]
fn log_growth_of_a_scenario_counts_for_it_alone() {
    counts_for_it_alone(Some("performance.log_growth"), |watch| watch.log.bytes = Bytes::new(30_000_000));
}

#[test]
fn a_slow_api_of_a_scenario_counts_for_it_alone() {
    counts_for_it_alone(Some("performance.api_response_time"), |watch| {
        let poll = watch.poll.as_mut().unwrap();
        let took = Micros::new(400_000_000);
        (poll.api.health_duration, poll.api.servers_duration) = (took, Some(took));
    });
}

#[test]
fn clients_of_a_scenario_count_for_it_alone() {
    counts_for_it_alone(None, |watch| watch.poll.as_mut().unwrap().api.mcp_clients = Some(12));
}

#[test]
fn a_server_that_a_scenario_disconnects_counts_for_it_alone() {
    let days = [true, false].map(|is_planned| {
        let mut watches = quiet(DAY).watches();
        crash(&mut watches, 301, 20, is_planned);
        judge(&watches)
    });
    for id in ["integration.servers_connected", "integration.no_unexpected_disconnections"] {
        assert_eq!(days.each_ref().map(|day| verdict(day, id)), [Verdict::Pass, Verdict::Fail], "{id}");
    }
}

#[test]
fn memory_that_grew_in_a_scenario_is_no_incident_of_the_time_after_it() {
    let days = [true, false].map(|is_planned| {
        let mut watches = quiet(DAY).watches();
        if is_planned {
            planned(&mut watches, "high_load", 300, 310);
        }
        watches[305..]
            .iter_mut()
            .for_each(|watch| watch.poll.as_mut().unwrap().process.as_mut().unwrap().rss = Bytes::new(300_000_000));
        judge(&watches)
    });
    let growth = |day: &Assessment| unplanned(day).iter().filter(|incident| incident.kind == IncidentKind::MemoryGrowth).count();
    assert_eq!(days.each_ref().map(growth), [0, 1]);
}

fn storm(watch: &Watch, count: u64) -> Storm {
    let (first, last) = (watch.interval.start(), watch.interval.end());
    Storm {
        line: Text::new("Error closing a session"),
        count: Count::new(count),
        bytes: Bytes::new(1_000),
        first,
        last,
        means: None,
    }
}

#[test]
fn storms_of_a_scenario_count_for_it_alone() {
    counts_for_it_alone(None, |watch| {
        let storm = storm(watch, 5_000);
        add(watch, storm);
    });
    counts_for_it_alone(Some("stability.error_rate"), |watch| {
        let lines = Lines { level: Level::Error, template: Text::new("it failed"), count: Count::new(500) };
        add(watch, lines);
        (0..40).for_each(|_| add(watch, call(CallOutcome::Error)));
    });
}

#[test]
fn what_goes_on_after_a_scenario_is_an_incident_of_its_own_and_a_scenario_adds_nothing_to_what_was_there_before() {
    let mut watches = quiet(DAY).watches();
    planned(&mut watches, "high_load", 300, 305);
    for watch in &mut watches[301..320] {
        watch.poll.as_mut().unwrap().api.mcp_clients = Some(12);
        let storm = storm(watch, 5_000);
        add(watch, storm);
        watch.log.bytes = Bytes::new(30_000_000);
    }
    let assessment = judge(&watches);
    let mut kinds: Vec<(String, bool)> =
        assessment.incidents.iter().map(|incident| (incident.kind.to_string(), incident.planned.is_some())).collect();
    kinds.sort();
    let both = |kind: &str| [false, true].map(|is_planned| (kind.to_owned(), is_planned));
    let expected: Vec<(String, bool)> =
        ["clients_excessive", "clients_unusual", "log_growth", "log_storm"].iter().flat_map(|kind| both(kind)).collect();
    assert_eq!(kinds, expected);
    let end = watches[305].interval.end();
    assert!(unplanned(&assessment).iter().all(|incident| incident.start.0 >= end), "{:#?}", unplanned(&assessment));

    // 60 MB on each side of the limit: together they would be beyond it.
    let mut watches = quiet(DAY).watches();
    planned(&mut watches, "high_load", 300, 303);
    [299, 301, 302].iter().for_each(|minute| watches[*minute].log.bytes = Bytes::new(60_000_000));
    let assessment = judge(&watches);
    assert!(unplanned(&assessment).is_empty(), "{:#?}", unplanned(&assessment));
}

#[test]
fn the_pages_list_the_steps_and_escape_what_they_quote() {
    let mut watches = day("half_open", &[(StepVerdict::Pass, "")]);
    let mut run = Run::of("session_isolation", 2);
    let nasty = "it said | <script>alert(1)</script> [x](javascript:alert(2))";
    let checked = ScenarioChecked { known_defect: Some(Text::new(DEFECT)), ..run.checked(StepVerdict::Fail, nasty) };
    run.tell(&mut watches[400], checked);
    let checked = ScenarioChecked { known_defect: Some(Text::new("javascript:alert(3)")), ..run.checked(StepVerdict::Fail, "") };
    run.tell(&mut watches[400], checked);
    run.step(&mut watches[400], StepVerdict::NotApplicable, "no meta-tool");
    run.measured(&mut watches[400], MeasuredByClient::ApiRequest, 4, 2_000);
    let [html, md, junit, summary] = pages(&watches);
    let part = |page: &str, from: &str, to: &str| page.split_once(from).unwrap().1.split_once(to).unwrap().0.to_owned();
    let (third, fourth) = (part(&md, "## 3. ", "## 4. "), part(&md, "## 4. ", "## 5. "));
    assert!(third.contains("### Scenario half\\_open: ✓ pass") && !third.contains("session_isolation"), "{third}");
    assert!(
        fourth.contains("### Scenario session\\_isolation: ✗ FAIL\n\n1 run, 2026-11-18 17:47:40 UTC: 2 failed, 1 not applicable."),
        "{fourth}"
    );
    assert!(fourth.contains(&format!("[known defect of the hub]({DEFECT})")) && fourth.contains("– not applicable"), "{fourth}");
    assert!(
        fourth.contains("\\[x\\](javascript:alert(2))") && fourth.contains("known defect of the hub: javascript:alert(3)"),
        "{fourth}"
    );
    assert!(fourth.contains("[Trace](http://traces/0123456789abcdef0123456789abcdef)"), "{fourth}");
    assert!(!html.contains("<script>") && !html.contains("href=\"javascript:"));
    let (third, fourth) =
        (part(&html, "id=\"degradation\"", "id=\"sessions\""), part(&html, "id=\"sessions\"", "id=\"performance\""));
    assert!(third.contains("Scenario half_open") && fourth.contains("Scenario session_isolation"));
    assert!(
        html.contains("href=\"http:&#x2F;&#x2F;traces&#x2F;0123456789abcdef0123456789abcdef\"")
            || html.contains("href=\"http://traces/0123456789abcdef0123456789abcdef\"")
    );
    assert!(
        part(&md, "## 5. ", "## 6. ")
            .contains("| session\\_isolation | API requests | 5, 1 failed | 2 ms | 2 ms | 2 ms | does not show them | – |"),
        "{md}"
    );
    assert!(junit.contains("hubwatch.scenario.session_isolation") && junit.contains("known defect of the hub"), "{junit}");
    assert!(summary.contains("- ✗ FAIL – session\\_isolation: 2 failed, 1 not applicable"), "{summary}");
}

/// The report in four forms, by the program.
fn pages(watches: &[Watch]) -> [String; 4] {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("watches.jsonl");
    archive(watches, &path);
    let (from, to) = (watches[0].interval.start(), watches[watches.len() - 1].interval.end());
    ["html", "md", "junit", "summary"].map(|format| {
        let made = std::process::Command::new(env!("CARGO_BIN_EXE_hubwatch"))
            .args(["report", "--name", "hub", "--format", format, "--backend", &format!("file={}", path.display())])
            .args(["--from", &from.to_string(), "--to", &to.to_string(), "--state-dir"])
            .arg(folder.path())
            .env_remove("HUBWATCH_CONFIG")
            .env("HUBWATCH_TRACE_URL", "http://traces/{trace_id}")
            .output()
            .unwrap();
        assert!(!made.stdout.is_empty(), "{}", String::from_utf8_lossy(&made.stderr));
        String::from_utf8(made.stdout).unwrap()
    })
}
