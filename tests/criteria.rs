//! Each criterion of the strategy has a period in which it passes, one in which it warns (where it can), one in which it fails, and
//! one that says too little.

mod period;

use hubwatch::judge::criterion::Severity;
use hubwatch::judge::evaluate::Ground;
use hubwatch::judge::rules::Rules;
use hubwatch::judge::verdict::Verdict;
use hubwatch::watch::*;
use period::*;

type Make = fn() -> Vec<Watch>;

/// A criterion and its periods.
struct Case {
    id: &'static str,
    warns: Option<Make>,
    fails: Make,
    inconclusive: Make,
    ground: Ground,
}

fn staged() -> Vec<Watch> {
    instrumented(2_000_000, 500)
}

/// The healthy day of an instrumented hub: each minute an LLM answers after so many µs and takes so many tokens, of a million a day.
fn instrumented(took: u64, tokens: u64) -> Vec<Watch> {
    let mut watches = Stage::default().watches();
    let (mut durations, one) = (Histogram::default(), Count::new(1));
    durations.add(took);
    let attempt = LlmAttemptsCounted {
        provider: None,
        model: "gemini-2.5-flash".into(),
        outcome: LlmOutcome::Ok,
        injected: false,
        count: one,
        retries: Count::new(0),
        sum: Micros::new(took),
        max: Micros::new(took),
        durations,
        with_tokens: one,
        input_tokens: Count::new(tokens),
        output_tokens: Count::new(0),
        reasoning_tokens: Count::new(0),
        input_sizes: None,
        output_sizes: None,
    };
    for watch in &mut watches {
        watch.sources.instrumentation = Some(Visibility::Read);
        add(watch, attempt.clone());
    }
    add(&mut watches[0], RuleStated { rule: "[budget]\ntokens_per_day = 1000000\n".into() });
    watches
}

/// The healthy day, changed.
fn with(change: impl FnOnce(&mut Vec<Watch>)) -> Vec<Watch> {
    let mut watches = staged();
    change(&mut watches);
    watches
}

/// The healthy day with each of its polls changed, planned disturbances left as they are.
fn with_polls(change: impl Fn(&mut Poll, u64)) -> Vec<Watch> {
    with(|watches| {
        for (minute, watch) in watches.iter_mut().enumerate() {
            change(watch.poll.as_mut().unwrap(), minute as u64);
        }
    })
}

fn with_processes(change: impl Fn(&mut ProcessPoll, u64)) -> Vec<Watch> {
    with_polls(|poll, minute| change(poll.process.as_mut().unwrap(), minute))
}

fn without_process() -> Vec<Watch> {
    with_polls(|poll, _| poll.process = None)
}

/// So many calls beside the good ones.
fn with_calls(count: usize, bad: &CallEnded) -> Vec<Watch> {
    with(|watches| watches.iter_mut().skip(200).take(count).for_each(|watch| add(watch, bad.clone())))
}

fn with_durations(duration: u64) -> Vec<Watch> {
    let mut watches = Stage { calls: false, ..Stage::default() }.watches();
    let slow = CallEnded { duration: Some(Micros::new(duration)), ..call(CallOutcome::Ok) };
    watches.iter_mut().for_each(|watch| add(watch, slow.clone()));
    watches
}

fn with_log(bytes: u64) -> Vec<Watch> {
    with(|watches| watches.iter_mut().for_each(|watch| watch.log.bytes = Bytes::new(bytes)))
}

fn without_log() -> Vec<Watch> {
    with(|watches| {
        for watch in watches {
            watch.sources.log = Visibility::Off;
            watch.log = LogVolume::default();
            watch.poll.as_mut().unwrap().log_file = None;
        }
    })
}

fn without_calls() -> Vec<Watch> {
    let stage = Stage { calls: false, gemini: None, ..Stage::default() };
    stage.watches()
}

/// Half of the Watches are not there.
fn half_missing() -> Vec<Watch> {
    let mut watches = staged();
    watches.drain(300..1_000);
    watches
}

fn never_answered() -> Vec<Watch> {
    (0..DAY).map(|minute| watch(minute, ApiOutcome::Refused)).collect()
}

fn nothing_exercised() -> Vec<Watch> {
    quiet(DAY).watches()
}

fn rising(bytes_an_hour: u64) -> Vec<Watch> {
    with_processes(|process, minute| process.rss = Bytes::new(100_000_000 + bytes_an_hour * minute / 60))
}

fn slow_answers(duration: u64) -> Vec<Watch> {
    with_polls(|poll, _| {
        poll.api.health_duration = Micros::new(duration);
        poll.api.servers_duration = Some(Micros::new(duration));
    })
}

const CASES: &[Case] = &[
    Case {
        id: "integration.servers_connected",
        warns: None,
        fails: || with(|watches| crash(watches, 300, 20, false)),
        inconclusive: never_answered,
        ground: Ground::NotVisible,
    },
    Case {
        id: "integration.no_unexpected_disconnections",
        warns: None,
        fails: || with(|watches| crash(watches, 300, 20, false)),
        inconclusive: half_missing,
        ground: Ground::TooLittleCoverage,
    },
    Case {
        id: "integration.tools_synchronised",
        warns: None,
        fails: || with(|watches| add(&mut watches[300], ToolsChanged { server: Text::from("filesystem"), from: 14, to: 13 })),
        inconclusive: never_answered,
        ground: Ground::NotVisible,
    },
    Case {
        id: "integration.gemini_without_errors",
        warns: Some(|| with(|watches| add_retried(&mut watches[300]))),
        fails: || with(|watches| watches[300..330].iter_mut().for_each(add_retried)),
        inconclusive: without_calls,
        ground: Ground::NotExercised,
    },
    Case {
        id: "integration.session_isolation",
        warns: None,
        fails: || with(|watches| add(&mut watches[62], exposed(1, "maps", "meta,web,maps,files"))),
        inconclusive: || Stage { sessions: false, ..Stage::default() }.watches(),
        ground: Ground::NotVisible,
    },
    Case {
        id: "integration.meta_tool_succeeds",
        warns: Some(|| with_calls(3, &call(CallOutcome::Error))),
        fails: || with_calls(30, &call(CallOutcome::Error)),
        inconclusive: without_calls,
        ground: Ground::NotExercised,
    },
    Case {
        id: "integration.logging_without_loss",
        warns: None,
        fails: || with(|watches| add(&mut watches[300], LogWriteFailed { error: Text::from("ENOSPC") })),
        inconclusive: without_log,
        ground: Ground::NotVisible,
    },
    Case {
        id: "integration.gemini_response_time",
        warns: None,
        fails: || instrumented(6_000_000, 500),
        inconclusive: || Stage::default().watches(),
        ground: Ground::NotVisible,
    },
    Case {
        id: "integration.token_budget",
        warns: Some(|| instrumented(2_000_000, 600)),
        fails: || instrumented(2_000_000, 800),
        inconclusive: || Stage::default().watches(),
        ground: Ground::NotVisible,
    },
    Case {
        id: "performance.cpu",
        warns: None,
        fails: || with_processes(|process, minute| process.cpu_time = Micros::new(minute * 60_000_000 / 50)),
        inconclusive: without_process,
        ground: Ground::NotVisible,
    },
    Case {
        id: "performance.memory",
        warns: Some(|| with_processes(|process, _| process.memory_limit = Some(Bytes::new(150_000_000)))),
        fails: || with_processes(|process, _| process.rss = Bytes::new(1_000_000_000)),
        inconclusive: without_process,
        ground: Ground::NotVisible,
    },
    Case {
        id: "performance.api_response_time",
        warns: Some(|| slow_answers(1_500_000)),
        fails: || slow_answers(2_500_000),
        inconclusive: never_answered,
        ground: Ground::NotVisible,
    },
    Case {
        id: "performance.meta_tool_time",
        warns: Some(|| with_durations(5_500_000)),
        fails: || with_durations(7_000_000),
        inconclusive: without_calls,
        ground: Ground::NotExercised,
    },
    Case {
        id: "performance.log_growth",
        warns: Some(|| with_log(50_000)),
        fails: || with_log(100_000),
        inconclusive: without_log,
        ground: Ground::NotVisible,
    },
    Case {
        id: "stability.uptime",
        warns: None,
        fails: || {
            with(|watches| {
                add(&mut watches[300], HubUnreachable { outcome: ApiOutcome::Timeout });
                add(&mut watches[301], HubReachable { restarted: Some(false) });
            })
        },
        inconclusive: half_missing,
        ground: Ground::TooLittleCoverage,
    },
    Case {
        id: "stability.no_restarts",
        warns: None,
        fails: || with(|watches| add(&mut watches[300], HubExited { pid: Some(7), cause: None })),
        inconclusive: half_missing,
        ground: Ground::TooLittleCoverage,
    },
    Case {
        id: "stability.error_rate",
        warns: Some(|| with_calls(30, &call(CallOutcome::Error))),
        fails: || with_calls(60, &call(CallOutcome::Error)),
        inconclusive: || quiet(20).watches(),
        ground: Ground::TooFewSamples,
    },
    Case {
        id: "stability.no_memory_leak",
        warns: None,
        fails: || rising(1_000_000),
        inconclusive: || quiet(180).watches(),
        ground: Ground::TooFewSamples,
    },
    Case {
        id: "stability.degradation_passes",
        warns: Some(|| Stage { load: None, ..Stage::default() }.watches()),
        fails: || Stage { crash: Some(60), ..Stage::default() }.watches(),
        inconclusive: nothing_exercised,
        ground: Ground::NotExercised,
    },
    Case {
        id: "degradation.gemini_fallback",
        warns: None,
        fails: || Stage { gemini: Some(CallOutcome::Error), ..Stage::default() }.watches(),
        inconclusive: nothing_exercised,
        ground: Ground::NotExercised,
    },
    Case {
        id: "degradation.server_recovery",
        warns: None,
        fails: || Stage { crash: Some(60), ..Stage::default() }.watches(),
        inconclusive: nothing_exercised,
        ground: Ground::NotExercised,
    },
    Case {
        id: "degradation.session_cleanup",
        warns: None,
        fails: || with(|watches| add(&mut watches[300], ClientDisconnected { client: Text::from("client") })),
        inconclusive: nothing_exercised,
        ground: Ground::NotVisible,
    },
    Case {
        id: "degradation.high_load",
        warns: Some(|| Stage { load: Some(1_500_000), ..Stage::default() }.watches()),
        fails: || Stage { load: Some(2_500_000), ..Stage::default() }.watches(),
        inconclusive: nothing_exercised,
        ground: Ground::NotExercised,
    },
];

#[test]
fn there_is_a_case_for_each_criterion() {
    let rules = Rules::builtin();
    let ids: Vec<&str> = rules.criteria.iter().map(|criterion| criterion.id.as_str()).collect();
    assert_eq!(CASES.iter().map(|case| case.id).collect::<Vec<_>>(), ids);
    for (case, criterion) in CASES.iter().zip(&rules.criteria) {
        let can_warn = criterion.limits.iter().any(|limit| limit.warn.is_some());
        assert_eq!(case.warns.is_some(), can_warn, "{}", case.id);
    }
}

#[test]
fn what_cannot_be_seen_is_the_reason_before_a_scenario_that_was_not_run() {
    let mut watches = quiet(DAY).watches();
    add(&mut watches[300], SessionOpened { session: None, categories: None });
    let assessment = judge(&watches);
    let (_, judged) = assessment.criteria.iter().find(|(criterion, _)| criterion.id == "integration.session_isolation").unwrap();
    assert_eq!(judged.why, "not visible: the log lines do not name their session");
}

#[test]
fn a_healthy_staged_day_in_which_all_was_exercised_passes() {
    let assessment = judge(&staged());
    for (criterion, judged) in &assessment.criteria {
        assert_eq!(judged.verdict, Verdict::Pass, "{}: {}", criterion.id, judged.why);
    }
    assert_eq!(assessment.overall, Verdict::Pass);
    assert!(assessment.incidents.iter().all(|incident| incident.planned.is_some()), "{:#?}", assessment.incidents);
}

#[test]
fn each_criterion_warns_where_it_should() {
    for case in CASES {
        let Some(warns) = case.warns else { continue };
        let assessment = judge(&warns());
        assert_eq!(verdict(&assessment, case.id), Verdict::Warn, "{}: {}", case.id, why(&assessment, case.id));
    }
}

/// Whether the whole fails with it. A degradation that failed is a must by way of stability.degradation_passes.
fn decides(case: &Case) -> bool {
    let rules = Rules::builtin();
    let criterion = rules.criteria.iter().find(|criterion| criterion.id == case.id).unwrap();
    criterion.severity == Severity::Must || case.id.starts_with("degradation.")
}

#[test]
fn each_criterion_fails_where_it_should_and_so_does_the_whole_if_it_must_hold() {
    for case in CASES {
        let assessment = judge(&(case.fails)());
        assert_eq!(verdict(&assessment, case.id), Verdict::Fail, "{}: {}", case.id, why(&assessment, case.id));
        let whole = if decides(case) { Verdict::Fail } else { Verdict::Warn };
        assert_eq!(assessment.overall, whole, "{}", case.id);
    }
}

#[test]
fn each_criterion_without_enough_data_says_so_and_is_never_passed() {
    for case in CASES {
        let assessment = judge(&(case.inconclusive)());
        let (_, judged) = assessment.criteria.iter().find(|(criterion, _)| criterion.id == case.id).unwrap();
        assert_eq!((judged.verdict, judged.ground), (Verdict::Inconclusive, case.ground), "{}: {}", case.id, judged.why);
        assert_eq!(matches!(assessment.overall, Verdict::Inconclusive | Verdict::Fail), decides(case), "{}", case.id);
    }
}
