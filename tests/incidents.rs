//! Each alert of the strategy: what is just below its threshold is no incident, what is beyond it is one, and it ends.

mod period;

use hubwatch::judge::incident::{Evidence, Gravity, Incident, IncidentKind};
use hubwatch::judge::obstacle::ObstacleKind;
use hubwatch::judge::{Judge, interleave};
use hubwatch::watch::*;
use period::*;

/// A quiet stretch of so many minutes, changed.
fn minutes(count: u64, change: impl FnOnce(&mut Vec<Watch>)) -> Vec<Watch> {
    let mut watches = Stage { calls: false, ..quiet(count) }.watches();
    change(&mut watches);
    watches
}

/// Its incidents of one kind.
fn incidents(kind: IncidentKind, watches: &[Watch]) -> Vec<Incident> {
    judge(watches).incidents.into_iter().filter(|incident| incident.kind == kind).collect()
}

/// The only incident of that kind.
fn one(kind: IncidentKind, watches: &[Watch]) -> Incident {
    let found = incidents(kind, watches);
    assert_eq!(found.len(), 1, "{kind}: {found:#?}");
    found.into_iter().next().unwrap()
}

fn none(kind: IncidentKind, watches: &[Watch]) {
    assert_eq!(incidents(kind, watches), [], "{kind}");
}

/// From and to in minutes after the start.
fn span(incident: &Incident) -> (u64, Option<u64>) {
    let minute = |at: Timestamp| at.since(START).get() / INTERVAL.get();
    (minute(incident.start.0), incident.end.map(|end| minute(end.0)))
}

fn errors(count: u64) -> Lines {
    Lines { level: Level::Error, template: Text::from("it failed"), count: Count::new(count) }
}

fn with_errors(at: &[(usize, u64)]) -> Vec<Watch> {
    minutes(200, |watches| at.iter().for_each(|(minute, count)| add(&mut watches[*minute], errors(*count))))
}

fn with_polls(count: u64, change: impl Fn(&mut Poll, u64)) -> Vec<Watch> {
    minutes(count, |watches| {
        for (minute, watch) in watches.iter_mut().enumerate() {
            change(watch.poll.as_mut().unwrap(), minute as u64);
        }
    })
}

fn with_processes(count: u64, change: impl Fn(&mut ProcessPoll, u64)) -> Vec<Watch> {
    with_polls(count, |poll, minute| change(poll.process.as_mut().unwrap(), minute))
}

#[test]
fn more_than_ten_errors_in_five_minutes_are_a_spike() {
    let kind = IncidentKind::ErrorSpike;
    none(kind, &with_errors(&[(10, 10)]));
    none(kind, &with_errors(&[(10, 6), (16, 6)]));
    let spike = one(kind, &with_errors(&[(10, 6), (13, 6)]));
    assert_eq!((spike.severity, spike.count), (Gravity::Critical, 12));
    assert_eq!(span(&spike), (11, Some(14)), "from the first error to the last");
    assert_eq!(incidents(kind, &with_errors(&[(10, 11), (30, 11)])).len(), 2);
}

#[test]
fn more_than_ten_errors_in_an_hour_are_too_many() {
    let kind = IncidentKind::ErrorRate;
    none(kind, &with_errors(&[(10, 5), (40, 5)]));
    none(kind, &with_errors(&[(10, 6), (75, 6)]));
    let rate = one(kind, &with_errors(&[(10, 6), (40, 6)]));
    assert_eq!((rate.severity, span(&rate)), (Gravity::Warning, (11, Some(41))));
}

#[test]
fn a_line_whose_time_is_not_known_well_enough_is_in_no_window() {
    let mut watches = with_errors(&[(100, 50)]);
    let end = watches[100].interval.end();
    watches[100].facts.last_mut().unwrap().when = When::between(START, end);
    none(IncidentKind::ErrorSpike, &watches);
    assert!(judge(&watches).too_wide_facts > 0);
}

#[test]
fn the_errors_of_a_known_defect_are_no_spike() {
    let mut watches = with_errors(&[]);
    let known =
        Lines { template: Text::from("Error closing server connected to x: Maximum call stack size exceeded"), ..errors(50) };
    add(&mut watches[10], known);
    none(IncidentKind::ErrorSpike, &watches);
}

#[test]
fn more_than_three_cycles_in_ten_minutes_are_flapping() {
    let kind = IncidentKind::ServerFlapping;
    let with = |at: &[usize]| minutes(60, |watches| at.iter().for_each(|minute| crash(watches, *minute, 20, false)));
    none(kind, &with(&[10, 11, 12]));
    none(kind, &with(&[10, 14, 18, 22]));
    let flapping = one(kind, &with(&[10, 12, 14, 16]));
    assert_eq!((flapping.severity, flapping.subject.as_str(), flapping.count), (Gravity::Critical, "filesystem", 4));
    assert_eq!(span(&flapping).0, 10);
    assert!(flapping.end.is_some(), "quiet for ten minutes, it is over");
    let of_each = incidents(IncidentKind::ServerDown, &with(&[10, 12, 14, 16]));
    assert_eq!(of_each.len(), 4, "each time down is an incident of its own, too");
}

#[test]
fn more_than_five_attempts_to_reconnect_within_an_hour_are_told() {
    let kind = IncidentKind::ServerReconnecting;
    let with = |attempts: usize| {
        minutes(120, |watches| {
            add(&mut watches[10], changed(Liveness::Up, Liveness::Down));
            for attempt in 0..attempts {
                add(&mut watches[11 + attempt], changed(Liveness::Down, Liveness::Starting));
            }
        })
    };
    none(kind, &with(5));
    let told = one(kind, &with(6));
    assert_eq!((told.severity, told.count), (Gravity::Warning, 6));
}

#[test]
fn more_than_a_hundred_megabytes_an_hour_are_fast_growth_of_the_log() {
    let kind = IncidentKind::LogGrowth;
    let with = |bytes: u64, from: usize, to: usize| {
        minutes(240, |watches| watches[from..to].iter_mut().for_each(|watch| watch.log.bytes = Bytes::new(bytes)))
    };
    none(kind, &with(1_600_000, 10, 240));
    let growth = one(kind, &with(5_000_000, 100, 130));
    assert_eq!(growth.severity, Gravity::Warning);
    assert!(growth.count > 100_000_000 && growth.end.is_some(), "{growth:#?}");
    let mut gap = with(1_000, 0, 0);
    gap.drain(50..150);
    gap[50].log.bytes = Bytes::new(150_000_000);
    none(kind, &gap);
}

#[test]
fn memory_that_grows_by_more_than_a_hundredth_of_the_hosts_in_an_hour_is_told() {
    let kind = IncidentKind::MemoryGrowth;
    let rising =
        |an_hour: u64| with_processes(240, move |process, minute| process.rss = Bytes::new(100_000_000 + an_hour * minute / 60));
    none(kind, &rising(100_000_000));
    assert_eq!(one(kind, &rising(300_000_000)).severity, Gravity::Warning);
    let sawtooth = with_processes(240, |process, minute| process.rss = Bytes::new(100_000_000 + (minute % 8) * 50_000_000));
    none(kind, &sawtooth);
    let restarts = with_processes(240, |process, minute| {
        process.pid = 7 + u32::try_from(minute / 45).unwrap();
        process.rss = Bytes::new(100_000_000 + (minute % 45) * 5_000_000);
    });
    none(kind, &restarts);
}

#[test]
fn more_than_five_clients_are_unusual_and_more_than_ten_are_to_be_looked_into() {
    let with = |clients: u32| {
        with_polls(30, move |poll, minute| poll.api.mcp_clients = Some(if (10..20).contains(&minute) { clients } else { 1 }))
    };
    none(IncidentKind::ClientsUnusual, &with(5));
    let unusual = one(IncidentKind::ClientsUnusual, &with(6));
    assert_eq!((unusual.severity, unusual.count, span(&unusual)), (Gravity::Notice, 6, (11, Some(21))));
    none(IncidentKind::ClientsExcessive, &with(10));
    assert_eq!(one(IncidentKind::ClientsExcessive, &with(11)).severity, Gravity::Warning);
}

#[test]
fn an_answer_that_takes_more_than_ten_seconds_is_slow() {
    let kind = IncidentKind::ApiSlow;
    let with = |duration: u64| {
        with_polls(30, move |poll, minute| {
            if (10..12).contains(&minute) {
                poll.api.health_duration = Micros::new(duration);
            }
        })
    };
    none(kind, &with(10_000_000));
    assert_eq!(span(&one(kind, &with(10_000_001))), (11, Some(13)));
}

#[test]
fn a_meta_tool_call_that_takes_more_than_ten_seconds_is_slow() {
    let kind = IncidentKind::CallsSlow;
    let with = |duration: u64| {
        let slow = CallEnded { duration: Some(Micros::new(duration)), ..call(CallOutcome::Ok) };
        minutes(40, |watches| {
            for minute in [10, 12, 30] {
                let started = watches[minute].interval.start();
                add(&mut watches[minute], CallEnded { started, ..slow.clone() });
            }
        })
    };
    none(kind, &with(10_000_000));
    let found = incidents(kind, &with(10_000_001));
    assert_eq!(found.iter().map(|incident| incident.count).collect::<Vec<_>>(), [2, 1], "five quiet minutes end it: {found:#?}");
}

#[test]
fn a_processor_that_is_busy_for_five_minutes_is_told() {
    let kind = IncidentKind::CpuHigh;
    let with = |busy: u64| {
        with_processes(60, move |process, minute| {
            // A fifth of a core instead of nothing.
            process.cpu_time = Micros::new(minute.clamp(10, 10 + busy) * 12_000_000);
        })
    };
    none(kind, &with(4));
    let high = one(kind, &with(10));
    assert_eq!(high.severity, Gravity::Warning);
    assert!(high.end.is_some());
}

#[test]
fn memory_beyond_a_twentieth_of_the_hosts_or_four_fifths_of_the_limit_is_told() {
    let with = |rss: u64, limit: Option<u64>| {
        with_processes(10, move |process, _| {
            process.rss = Bytes::new(rss);
            process.memory_limit = limit.map(Bytes::new);
        })
    };
    none(IncidentKind::MemoryHigh, &with(800_000_000, None));
    assert_eq!(one(IncidentKind::MemoryHigh, &with(900_000_000, None)).severity, Gravity::Warning);
    none(IncidentKind::MemoryHigh, &with(900_000_000, Some(2_000_000_000)));
    none(IncidentKind::MemoryNearLimit, &with(800_000_000, Some(1_000_000_000)));
    assert_eq!(one(IncidentKind::MemoryNearLimit, &with(801_000_000, Some(1_000_000_000))).severity, Gravity::Critical);
}

#[test]
fn gemini_fails_again_and_again_by_kind() {
    let kind = IncidentKind::GeminiFailing;
    let with = |rounds: &[(usize, GeminiFailure)]| {
        minutes(40, |watches| {
            rounds.iter().for_each(|(minute, failure)| add(&mut watches[*minute], GeminiRoundFailed { failure: *failure }));
        })
    };
    let (limited, filtered) = (GeminiFailure::RateLimited, GeminiFailure::SafetyFilter);
    none(kind, &with(&[(10, limited), (11, filtered), (30, limited)]));
    let failing = one(kind, &with(&[(10, limited), (12, limited), (13, limited)]));
    assert_eq!((failing.count, failing.title.as_str()), (3, "3 Gemini rounds failed"));
    assert!(failing.cause.unwrap().contains("429"));
}

#[test]
fn a_disk_that_is_nearly_full_is_told_with_the_least_that_was_free() {
    let with = |free: [u64; 3]| {
        with_polls(3, move |poll, minute| {
            let disk_free = Some(Bytes::new(free[usize::try_from(minute).unwrap()]));
            poll.log_file = Some(LogFilePoll { size: Bytes::new(1), disk_free });
        })
    };
    none(IncidentKind::DiskLow, &with([100_000_000; 3]));
    let low = one(IncidentKind::DiskLow, &with([90_000_000, 50_000_000, 70_000_000]));
    assert_eq!((low.severity, low.count, low.end), (Gravity::Critical, 50_000_000, None));
}

#[test]
fn a_hub_that_stops_answering_is_down_until_it_answers_again() {
    let watches = minutes(60, |watches| {
        for watch in &mut watches[20..25] {
            watch.poll = Some(poll(ApiOutcome::Refused, Liveness::Unknown, watch.interval.end()));
        }
        add(&mut watches[20], HubUnreachable { outcome: ApiOutcome::Refused });
        add(&mut watches[25], HubReachable { restarted: None });
    });
    let down = one(IncidentKind::HubDown, &watches);
    assert_eq!((down.severity, span(&down)), (Gravity::Critical, (21, Some(26))));
}

#[test]
fn what_ended_a_hub_is_its_cause_and_the_failed_rounds_before_are_evidence() {
    let watches = minutes(60, |watches| {
        let at = watches[20].interval.start().plus(Micros::new(30_000_000));
        add_at(&mut watches[20], at, GeminiRoundFailed { failure: GeminiFailure::KeyInvalid });
        let cause = Some(Text::from("the Gemini API key is not valid"));
        add_at(&mut watches[20], at, HubStopping { signal: Some(Text::from("SIGTERM")), cause });
    });
    let down = one(IncidentKind::HubDown, &watches);
    assert_eq!(down.cause.as_deref(), Some("the Gemini API key is not valid"));
    let round = watches[20].facts[0].id;
    assert!(down.evidence.contains(&Evidence::Fact(round)), "{down:#?}");
}

#[test]
fn a_time_when_nobody_watched_and_another_build_are_told() {
    let mut watches = minutes(120, |watches| {
        for (minute, watch) in watches.iter_mut().enumerate() {
            watch.origin.build = Some(Text::from(if minute < 90 { "4.3.0-rc.1" } else { "4.3.0-rc.2" }));
        }
    });
    watches.drain(30..60);
    assert_eq!(span(&one(IncidentKind::WatchGap, &watches)), (30, Some(60)));
    let changed = one(IncidentKind::BuildChanged, &watches);
    assert!(changed.title.contains("rc.2") && changed.title.contains("rc.1"), "{changed:#?}");
    assert!(judge(&watches).obstacles.iter().any(|obstacle| obstacle.kind == ObstacleKind::TwoBuilds));
}

#[test]
fn two_hubs_under_one_name_give_no_verdict_and_two_watchers_of_one_hub_do() {
    let with = |pid: u32| {
        let one = minutes(60, |_| {});
        let other = with_processes(60, move |process, _| process.pid = pid);
        let other = other.into_iter().map(|mut watch| {
            watch.origin.watcher = WatcherId::from_seed(b"other");
            watch
        });
        let all = interleave(one.into_iter().chain(other).collect());
        let mut judge = Judge::new(Vec::new(), START);
        all.iter().for_each(|watch| drop(judge.take(watch)));
        let assessment = judge.assess(all.last().unwrap().interval.end());
        assert_eq!(assessment.history.coverage.polls, 60, "each stretch is judged once");
        assessment.obstacles.iter().any(|obstacle| obstacle.kind == ObstacleKind::TwoHubs)
    };
    assert_eq!([with(7), with(8)], [false, true]);
}

#[test]
fn two_incidents_that_begin_at_the_same_instant_are_told_apart() {
    let slow = CallEnded { duration: Some(Micros::new(10_000_001)), started: START, ..call(CallOutcome::Ok) };
    let watches = minutes(60, |watches| [10, 30].into_iter().for_each(|minute| add(&mut watches[minute], slow.clone())));
    let ids: std::collections::BTreeSet<_> =
        incidents(IncidentKind::CallsSlow, &watches).into_iter().map(|incident| incident.id).collect();
    assert_eq!(ids.len(), 2, "{ids:?}");
}

#[test]
fn an_alert_that_nobody_wants_is_no_incident_and_a_threshold_can_be_another() {
    let rules = |toml: &str| hubwatch::judge::rules::parse(toml).unwrap();
    let kinds = |toml: &str| {
        let assessment = judge_by(&with_errors(&[(10, 12)]), vec![rules(toml)]);
        assessment.incidents.iter().map(|incident| incident.kind).collect::<Vec<_>>()
    };
    let both = [IncidentKind::ErrorRate, IncidentKind::ErrorSpike];
    assert_eq!(kinds(""), both);
    assert_eq!(kinds("[[alert]]\nkind = 'error_rate'\nenabled = false\n"), both[1..]);
    assert_eq!(kinds("[[alert]]\nkind = 'error_spike'\nthreshold = 12\n"), both[..1]);
}

/// It was made while the clock was so much ahead.
fn shift(watch: &mut Watch, by: i64) {
    watch.interval = Interval::new(watch.interval.start().shifted(by), watch.interval.end().shifted(by));
    for fact in &mut watch.facts {
        fact.when = When::between(fact.when.earliest().shifted(by), fact.when.latest().shifted(by));
    }
}

/// From this minute on, for so many minutes, the clock is so many minutes ahead.
fn jump_ahead(watches: &mut [Watch], from: usize, lasts: usize, by: u64) {
    let jump = i64::try_from(by * INTERVAL.get()).unwrap();
    add(&mut watches[from - 1], ClockJumped { jump });
    for watch in &mut watches[from..from + lasts] {
        shift(watch, jump);
    }
    add(&mut watches[from + lasts - 1], ClockJumped { jump: -jump });
}

#[test]
fn a_clock_that_jumps_ahead_and_is_set_back_leaves_no_time_that_nobody_watched() {
    for (by, lasts) in [(10, 1), (10, 5), (10, 20), (30 * DAY, 5)] {
        let mut set_back = minutes(100, |watches| jump_ahead(watches, 30, lasts, by));
        // Before it is set back nothing tells whether the clock skipped the time between or the machine was suspended.
        let ahead = Watch { facts: Vec::new(), ..set_back[30].clone() };
        let ahead = [&set_back[..30], &[ahead]].concat();
        assert_eq!(span(&one(IncidentKind::WatchGap, &ahead)), (30, Some(30 + by)), "{by} for {lasts}");
        crash(&mut set_back, 70, 300, false);
        none(IncidentKind::WatchGap, &set_back);
        assert_eq!(incidents(IncidentKind::ClockJumped, &set_back).len(), 2, "{by} for {lasts}: the jumps are told");
        let judged = judge(&set_back);
        let coverage = &judged.history.coverage;
        assert_eq!((coverage.gaps.as_slice(), coverage.share_permille), (&[][..], 1_000), "{by} for {lasts}");
        assert_eq!(judged.history.servers.0["filesystem"].down_us, 300_000_000, "{by} for {lasts}");
    }
}

#[test]
fn a_clock_that_is_set_back_and_jumps_to_where_it_was_leaves_no_time_that_nobody_watched() {
    let watches = minutes(100, |watches| {
        let (jump, shift) = (-i64::try_from(10 * INTERVAL.get()).unwrap(), Micros::new(10 * INTERVAL.get()));
        add(&mut watches[29], ClockJumped { jump });
        for watch in &mut watches[30..35] {
            watch.interval = Interval::new(watch.interval.start().minus(shift), watch.interval.end().minus(shift));
        }
        add(&mut watches[34], ClockJumped { jump: -jump });
    });
    none(IncidentKind::WatchGap, &watches);
    let coverage = judge(&watches).history.coverage;
    assert_eq!((coverage.gaps.as_slice(), coverage.share_permille), (&[][..], 1_000));
}

/// From this minute on the clock is so many minutes behind, for good.
fn set_back(watches: &mut [Watch], from: usize, by: u64) {
    let jump = -i64::try_from(by * INTERVAL.get()).unwrap();
    add(&mut watches[from - 1], ClockJumped { jump });
    watches[from..].iter_mut().for_each(|watch| shift(watch, jump));
}

#[test]
fn after_a_clock_was_wrong_for_a_while_incidents_begin_and_end_when_they_do() {
    for by in [10, 30 * DAY] {
        let watches = minutes(100, |watches| {
            crash(watches, 32, 60, false);
            crash(watches, 60, 300, false);
            jump_ahead(watches, 30, 5, by);
        });
        let down: Vec<_> = incidents(IncidentKind::ServerDown, &watches).iter().map(span).collect();
        // What was watched meanwhile counts as the clock before would have dated it.
        assert_eq!(down, [(32, Some(33)), (60, Some(65))], "{by}");
    }
}

/// Errors in each of twelve minutes.
fn with_spike(from: usize, change: impl FnOnce(&mut Vec<Watch>)) -> Incident {
    let watches = minutes(300, |watches| {
        watches[from..from + 12].iter_mut().for_each(|watch| add(watch, errors(3)));
        change(watches);
    });
    one(IncidentKind::ErrorSpike, &watches)
}

#[test]
fn what_goes_on_over_a_jump_of_the_clock_has_lasted_for_as_long_as_it_did() {
    let really = with_spike(28, |_| ());
    for (from, by) in [(30, 10), (30, 30 * DAY), (34, 10), (34, 30 * DAY)] {
        let spike = with_spike(28, |watches| jump_ahead(watches, from, 5, by));
        assert_eq!((span(&spike), spike.count), (span(&really), really.count), "{by} from {from}");
    }
}

#[test]
fn a_clock_that_is_set_back_for_good_shows_a_time_twice_and_each_incident_once() {
    let watches = minutes(300, |watches| {
        crash(watches, 40, 300, false);
        crash(watches, 160, 300, false);
        set_back(watches, 150, 120);
    });
    let down = incidents(IncidentKind::ServerDown, &watches);
    assert_eq!(down.iter().map(span).collect::<Vec<_>>(), [(40, Some(45)), (40, Some(45))]);
    assert_ne!(down[0].id, down[1].id);
    for from in [144, 148, 160] {
        let (really, shown) = (with_spike(from, |_| ()), with_spike(from, |watches| set_back(watches, 150, 120)));
        let (begin, end) = span(&really);
        assert_eq!(span(&shown), (begin - 120, end.map(|end| end - 120)), "from {from}: by the clock that was set");
        assert_eq!(shown.count, really.count, "from {from}");
    }
}
