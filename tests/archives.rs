//! Archives that were once judged wrongly, read by the program as a user hands them to it: `hubwatch report --backend file=…`. Each with
//! its right verdict, and beside it one that differs by as little as makes another verdict right.

mod period;

use hubwatch::watch::*;
use period::*;
use serde_json::Value;

const CONNECTED: &str = "integration.servers_connected";
const DISCONNECTIONS: &str = "integration.no_unexpected_disconnections";
const UPTIME: &str = "stability.uptime";
const RESTARTS: &str = "stability.no_restarts";
const ERRORS: &str = "stability.error_rate";
const CPU: &str = "performance.cpu";
const MEMORY: &str = "performance.memory";
const LOGGING: &str = "integration.logging_without_loss";
const GROWTH: &str = "performance.log_growth";
const MINUTE: u64 = 60_000_000;

fn at(minute: u64) -> Timestamp {
    START.plus(Micros::new(minute * MINUTE))
}

/// A quiet day, changed minute by minute.
fn day(change: impl Fn(&mut Watch, u64)) -> Vec<Watch> {
    days(DAY, change)
}

fn days(minutes: u64, change: impl Fn(&mut Watch, u64)) -> Vec<Watch> {
    let mut watches = quiet(minutes).watches();
    watches.iter_mut().zip(0..).for_each(|(watch, minute)| change(watch, minute));
    watches
}

fn process(watch: &mut Watch) -> &mut ProcessPoll {
    watch.poll.as_mut().unwrap().process.as_mut().unwrap()
}

/// The hub refuses connections in these minutes.
fn silence(watches: &mut [Watch], minutes: std::ops::Range<usize>) {
    add_at(&mut watches[minutes.start], at(minutes.start as u64), HubUnreachable { outcome: ApiOutcome::Refused });
    for watch in &mut watches[minutes.clone()] {
        watch.poll = Some(poll(ApiOutcome::Refused, Liveness::Unknown, watch.interval.end()));
    }
    add_at(&mut watches[minutes.end], at(minutes.end as u64), HubReachable { restarted: None });
}

/// The verdicts are these; the report's row otherwise.
fn assert_verdicts(report: &Value, expected: &[(&str, &str)]) {
    for (id, verdict) in expected {
        let row = report["criteria"].as_array().unwrap().iter().find(|row| row["id"] == *id).unwrap();
        assert_eq!(row["verdict"], *verdict, "{row:#}");
    }
}

fn exact<'a>(report: &'a Value, name: &str) -> &'a Value {
    &report["measures"].as_array().unwrap().iter().find(|measure| measure["measure"] == name).unwrap()["exact"]
}

#[test]
fn a_server_that_was_down_before_the_period_began_is_down_in_it() {
    let mut watches = day(|_, _| ());
    crash(&mut watches, 300, 12_000, false);
    let report = reported_between(&watches, (at(400), at(DAY)));
    assert_verdicts(&report, &[(CONNECTED, "fail"), (DISCONNECTIONS, "pass")]);
    assert_eq!(report["servers"][0]["down_us"], 100 * MINUTE);
    let after = reported_between(&watches, (at(500), at(DAY)));
    assert_verdicts(&after, &[(CONNECTED, "pass"), (DISCONNECTIONS, "pass")]);
}

#[test]
fn a_hub_that_is_away_when_the_period_begins_is_no_hub_that_is_awaited() {
    let mut watches = day(|_, _| ());
    silence(&mut watches, 180..780);
    let report = reported_between(&watches, (at(240), at(DAY)));
    assert_verdicts(&report, &[(UPTIME, "fail")]);
    assert_eq!((&report["hub"]["down_us"], &report["hub"]["awaited"]), (&(540 * MINUTE).into(), &Value::Null));
    let after = reported_between(&watches, (at(780), at(DAY)));
    assert_verdicts(&after, &[(UPTIME, "pass")]);
}

#[test]
fn a_mark_of_twenty_seconds_excuses_no_outage_of_ten_hours() {
    let marked = |seconds: u64| {
        let mut watches = day(|_, _| ());
        add_at(&mut watches[100], at(100), MarkBegan { name: Text::from("restart") });
        add_at(&mut watches[100], at(100).plus(Micros::new(20_000_000)), MarkEnded { name: Text::from("restart") });
        crash(&mut watches, 100, seconds, false);
        reported(&watches)
    };
    assert_verdicts(&marked(36_000), &[(CONNECTED, "fail"), (DISCONNECTIONS, "fail")]);
    assert_verdicts(&marked(20), &[(CONNECTED, "pass"), (DISCONNECTIONS, "pass")]);
}

#[test]
fn a_processor_share_just_beyond_its_limit_fails_and_one_just_below_passes() {
    let busy = |micros: u64| reported(&day(|watch, minute| process(watch).cpu_time = Micros::new(minute * micros)));
    let beyond = busy(657_000);
    assert_verdicts(&beyond, &[(CPU, "fail")]);
    assert_eq!(exact(&beyond, "cpu.mean"), "219/20");
    assert_verdicts(&busy(599_999), &[(CPU, "pass")]);
}

#[test]
fn memory_just_beyond_its_limit_fails_and_just_below_passes() {
    let uses = |bytes: u64| reported(&day(|watch, _| process(watch).rss = Bytes::new(bytes)));
    // 2.149 % of the host's 16 GB; the limit is 2 %.
    let beyond = uses(343_840_000);
    assert_verdicts(&beyond, &[(MEMORY, "fail")]);
    assert_eq!(exact(&beyond, "memory.host_mean"), "2149/100");
    assert_verdicts(&uses(319_999_999), &[(MEMORY, "pass")]);
}

#[test]
fn a_log_that_was_read_for_five_minutes_of_a_day_gives_no_verdict() {
    let read = |minutes: u64| {
        reported(&day(|watch, minute| {
            if minute >= minutes {
                watch.sources.log = Visibility::Off;
                watch.log = LogVolume::default();
            }
        }))
    };
    assert_verdicts(&read(5), &[(LOGGING, "inconclusive"), (GROWTH, "inconclusive")]);
    assert_verdicts(&read(1_400), &[(LOGGING, "pass"), (GROWTH, "pass")]);
}

#[test]
fn a_process_that_was_seen_at_twenty_five_of_5760_polls_gives_no_verdict() {
    let seen = |polls: u64| {
        reported(&days(5_760, |watch, minute| {
            if minute >= polls {
                watch.poll.as_mut().unwrap().process = None;
                watch.sources.process = Visibility::Missing;
            }
        }))
    };
    assert_verdicts(&seen(25), &[(CPU, "inconclusive"), (MEMORY, "inconclusive")]);
    assert_verdicts(&seen(5_600), &[(CPU, "pass"), (MEMORY, "pass")]);
}

#[test]
fn a_log_that_was_there_before_the_watch_has_not_grown() {
    let there = |resumed: bool| {
        reported(&day(|watch, minute| {
            if minute == 1 {
                add(watch, WatcherStarted { resumed });
            }
            if (1..4).contains(&minute) {
                watch.log.bytes = Bytes::new(60_000_000);
                watch.sources.log = if minute < 3 { Visibility::Partial } else { Visibility::Read };
            }
        }))
    };
    assert_verdicts(&there(false), &[(GROWTH, "pass")]);
    assert_verdicts(&there(true), &[(GROWTH, "fail")]);
}

#[test]
fn a_log_that_was_read_in_part_until_its_file_was_gone_grew_by_what_was_read() {
    let gone = |bytes: u64| {
        reported(&day(|watch, minute| {
            watch.log.bytes = Bytes::new(if minute == 1 { bytes } else { 0 });
            watch.sources.log = if minute == 1 { Visibility::Partial } else { Visibility::Missing };
        }))
    };
    assert_eq!(exact(&gone(1_439_000), "log.growth_per_day"), "1440000", "what was read in 1,439 min");
    assert_verdicts(&gone(1_439_000), &[(GROWTH, "inconclusive")]);
    assert_eq!(exact(&gone(0), "log.growth_per_day"), &Value::Null, "nothing of it was read");
}

#[test]
fn what_is_read_after_a_gap_of_twelve_hours_was_written_in_it() {
    let gap = |bytes: u64| {
        let mut watches = day(|watch, _| watch.log.bytes = Bytes::new(bytes));
        watches.drain(300..300 + 12 * 60);
        for (watch, sequence) in watches.iter_mut().zip(0..) {
            watch.origin.sequence = Count::new(sequence);
        }
        add(&mut watches[300], WatcherStarted { resumed: true });
        watches[300].log.bytes = Bytes::new(bytes * (12 * 60 + 1));
        reported(&watches)
    };
    let report = gap(60_000);
    assert_eq!(exact(&report, "log.growth_per_day"), "86400000");
    assert_verdicts(&report, &[(GROWTH, "inconclusive")]);
    // Even if the half that was not watched had had nothing.
    assert_verdicts(&gap(200_000), &[(GROWTH, "fail")]);
}

#[test]
fn a_full_disk_that_was_planned_is_no_loss_and_no_growth() {
    let full = |is_planned: bool| {
        let mut watches = day(|_, _| ());
        if is_planned {
            planned(&mut watches, "disk_full", 300, 310);
        }
        for watch in &mut watches[301..310] {
            watch.log.bytes = Bytes::new(200_000_000);
            add(watch, LogWriteFailed { error: Text::from("ENOSPC") });
        }
        reported(&watches)
    };
    assert_verdicts(&full(true), &[(LOGGING, "pass"), (GROWTH, "pass")]);
    assert_verdicts(&full(false), &[(LOGGING, "fail"), (GROWTH, "fail")]);
}

#[test]
fn requests_that_were_refused_before_the_hub_was_there_have_not_failed() {
    let refused = |minutes: std::ops::Range<usize>| {
        let mut watches = day(|_, _| ());
        silence(&mut watches, minutes);
        reported(&watches)
    };
    let before = refused(0..4);
    assert_verdicts(&before, &[(ERRORS, "pass"), (UPTIME, "pass")]);
    assert_eq!((&before["api"]["failed"], &before["hub"]["down_us"]), (&0.into(), &0.into()));
    let later = refused(600..604);
    assert_verdicts(&later, &[(UPTIME, "fail")]);
    assert_eq!((&later["api"]["failed"], &later["hub"]["down_us"]), (&4.into(), &(4 * MINUTE).into()));
}

#[test]
fn an_error_each_six_minutes_is_one_incident_of_all_of_them() {
    let report = reported(&day(|watch, minute| {
        if (100..460).contains(&minute) && minute % 6 == 0 {
            add(watch, Lines { level: Level::Error, template: Text::from("it failed"), count: Count::new(1) });
        }
    }));
    let errors: Vec<&Value> = report["incidents"].as_array().unwrap().iter().filter(|one| one["kind"] == "error_rate").collect();
    assert_eq!(errors.iter().map(|one| one["count"].as_u64().unwrap()).collect::<Vec<_>>(), [60], "{:#}", report["incidents"]);
    assert_eq!(report["log"]["errors"], 60);
    assert_verdicts(&report, &[(RESTARTS, "pass")]);
}

#[test]
fn watches_that_were_lost_at_the_beginning_of_a_run_are_missing() {
    let lost = |count: usize| {
        let mut watches = day(|watch, minute| {
            if minute >= 600 {
                watch.origin.run = 2;
                watch.origin.sequence = Count::new(minute - 600);
            }
        });
        watches.drain(600..600 + count);
        reported(&watches)
    };
    let report = lost(200);
    assert_eq!(report["coverage"]["missing_watches"], 200);
    assert_verdicts(&report, &[(UPTIME, "inconclusive"), (CONNECTED, "inconclusive")]);
    let whole = lost(0);
    assert_eq!(whole["coverage"]["missing_watches"], 0);
    assert_verdicts(&whole, &[(UPTIME, "pass"), (CONNECTED, "pass")]);
}

#[test]
fn a_call_after_the_last_watch_of_the_period_that_a_later_run_tells_of_counts_in_its_phase() {
    let mut watches = quiet(110).watches();
    // The next run begins a minute after the period and reads what the log got meanwhile.
    let mut later = watch(151, ApiOutcome::Ok);
    (later.origin.run, later.origin.sequence) = (2, Count::new(0));
    add_at(&mut later, at(151), WatcherStarted { resumed: true });
    add_at(&mut later, at(130), call(CallOutcome::Ok));
    watches.push(later);
    let report = reported_between(&watches, (at(0), at(150)));
    let phases: Vec<(&str, u64)> = report["phases"].as_array().unwrap().iter().map(phase_calls).collect();
    assert_eq!(phases, [("Initial validation", 110), ("Continuous monitoring", 1)]);
    assert_eq!(report["calls"]["total"], 111);
}

fn phase_calls(phase: &Value) -> (&str, u64) {
    (phase["name"].as_str().unwrap(), phase["calls"].as_u64().unwrap())
}

#[test]
fn an_outage_that_was_over_before_the_period_is_no_incident_though_that_is_learned_in_the_period() {
    for (second, over) in [(61 * 60 + 29, true), (61 * 60 + 31, false)] {
        let mut watches = quiet(70).watches();
        add_at(&mut watches[50], at(50), changed(Liveness::Up, Liveness::Down));
        for watch in &mut watches[50..60] {
            watch.poll.as_mut().unwrap().servers[0].liveness = Liveness::Down;
        }
        watches[60].poll = None;
        watches[61].poll = None;
        // The log is read late.
        let came_back = START.plus(Micros::new(second * 1_000_000));
        add_at(&mut watches[62], came_back, changed(Liveness::Down, Liveness::Up));
        let report = reported_between(&watches, (at(61).plus(Micros::new(30_000_000)), at(70)));
        let incidents = report["incidents"].as_array().unwrap().iter().filter(|incident| incident["kind"] == "server_down");
        let outages = &report["servers"][0]["outages"];
        assert_eq!((incidents.count(), outages.as_u64()), if over { (0, Some(0)) } else { (1, Some(1)) }, "{outages}");
    }
}

/// The nanoseconds of this year's first instant, in digits.
fn year(seconds: u64) -> String {
    format!("{seconds}000000000")
}

/// The reports in JSON and Markdown of a quiet hour of which the span of minute 30 was changed.
fn reported_with(change: impl Fn(&mut Value)) -> (Value, String) {
    let folder = tempfile::tempdir().unwrap();
    let [path, json, markdown] = ["watches.jsonl", "report.json", "report.md"].map(|name| folder.path().join(name));
    archive(&quiet(60).watches(), &path);
    let text = std::fs::read_to_string(&path).unwrap();
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    let mut line: Value = serde_json::from_str(&lines[30]).unwrap();
    change(&mut line["resourceSpans"][0]["scopeSpans"][0]["spans"][0]);
    lines[30] = line.to_string();
    std::fs::write(&path, lines.join("\n") + "\n").unwrap();
    let made = std::process::Command::new(env!("CARGO_BIN_EXE_hubwatch"))
        .args(["report", "--name", "hub", "--backend", &format!("file={}", path.display())])
        .args(["--from", &at(0).to_string(), "--to", &at(60).to_string()])
        .args(["--out".as_ref(), json.as_os_str(), "--out".as_ref(), markdown.as_os_str(), "--state-dir".as_ref()])
        .arg(folder.path())
        .env_remove("HUBWATCH_CONFIG")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&made.stderr);
    assert!(!said.contains("panicked"), "{said}");
    let report = std::fs::read(&json).unwrap_or_else(|_| panic!("{said}"));
    (serde_json::from_slice(&report).unwrap(), std::fs::read_to_string(&markdown).unwrap())
}

/// A Watch that was left out is counted as missing, and each report says why.
#[test]
fn a_watch_at_an_impossible_time_is_left_out_counted_and_told() {
    const START_NANOS: &str = "startTimeUnixNano";
    const END_NANOS: &str = "endTimeUnixNano";
    let nanos = |at: Timestamp| format!("{}000", at.get());
    let set = |span: &mut Value, from: String, to: String| (span[START_NANOS], span[END_NANOS]) = (from.into(), to.into());
    let cases: [(&str, String, String); 6] = [
        ("the watch span starts before the year 2000", year(915_148_800), year(915_148_860)),
        ("the watch span starts before the year 2000", "-1".to_owned(), nanos(at(31))),
        ("the watch span ends before it starts", nanos(at(31)), nanos(at(30))),
        ("the watch span is longer than 1 h", nanos(at(0)), year(253_370_764_800)),
        ("belongs to another trace than the one that it is in", year(253_370_764_800), year(253_370_764_860)),
        ("belongs to another trace than the one that it is in", nanos(at(10 * DAY)), nanos(at(10 * DAY + 1))),
    ];
    for (reason, from, to) in cases {
        let (report, markdown) = reported_with(|span| set(span, from.clone(), to.clone()));
        let blind: Vec<&str> = report["blind_spots"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
        let told = blind.iter().find(|spot| spot.contains(reason)).unwrap_or_else(|| panic!("{reason}: {blind:#?}"));
        assert!(told.starts_with("1 watch span was left out: "), "{told}");
        assert!(markdown.contains(reason), "{reason}: {markdown}");
        assert_eq!((&report["coverage"]["watches"], &report["coverage"]["missing_watches"]), (&59.into(), &1.into()), "{reason}");
        assert_eq!((&report["calls"]["total"], &report["coverage"]["polls"]), (&59.into(), &59.into()), "{reason}");
        assert_eq!(report["provenance"]["unreadable"].as_array().map(Vec::len), Some(1), "{reason}");
    }
}

#[test]
fn a_watch_whose_trace_lies_at_its_impossible_time_is_missing() {
    for second in [915_148_800, 4_102_444_800] {
        let mut watches = quiet(60).watches();
        let start = Timestamp::from_secs(second);
        watches[30].interval = Interval::new(start, start.plus(INTERVAL));
        let report = reported_between(&watches, (at(0), at(60)));
        assert_eq!((&report["coverage"]["watches"], &report["coverage"]["missing_watches"]), (&59.into(), &1.into()), "{second}");
    }
}
