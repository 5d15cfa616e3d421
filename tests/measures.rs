//! Archives that were once judged wrongly, each with its right verdict; and `docs/measures.md`, which is made from the code.

mod period;

use std::collections::BTreeMap;
use std::fmt::Write as _;

use hubwatch::judge::history::Basis;
use hubwatch::judge::measure::{Kind, Measure, WhenPlanned};
use hubwatch::watch::*;
use period::*;
use serde_json::Value;

fn criterion<'a>(report: &'a Value, id: &str) -> &'a Value {
    report["criteria"].as_array().unwrap().iter().find(|row| row["id"] == id).unwrap()
}

fn verdict_of(report: &Value, id: &str) -> String {
    criterion(report, id)["verdict"].as_str().unwrap().to_owned()
}

fn limit<'a>(report: &'a Value, id: &str, measure: &str) -> &'a Value {
    criterion(report, id)["limits"].as_array().unwrap().iter().find(|limit| limit["measure"] == measure).unwrap()
}

fn measure<'a>(report: &'a Value, name: &str) -> &'a Value {
    report["measures"].as_array().unwrap().iter().find(|measure| measure["measure"] == name).unwrap()
}

fn with(minutes: u64, change: impl Fn(&mut Watch, u64)) -> Vec<Watch> {
    let mut watches = quiet(minutes).watches();
    for (minute, watch) in watches.iter_mut().enumerate() {
        change(watch, minute as u64);
    }
    watches
}

fn process(watch: &mut Watch) -> &mut ProcessPoll {
    watch.poll.as_mut().unwrap().process.as_mut().unwrap()
}

/// A day in which the process uses so many µs of a core in each minute.
fn busy(micros_a_minute: u64) -> Vec<Watch> {
    with(DAY, |watch, minute| process(watch).cpu_time = Micros::new(minute * micros_a_minute))
}

fn error_lines(count: u64) -> Lines {
    Lines { level: Level::Error, template: Text::from("it failed"), count: Count::new(count) }
}

#[test]
fn a_share_that_is_beyond_its_limit_by_less_than_a_thousandth_fails_and_is_printed_beyond_it() {
    let report = reported(&busy(657_000));
    assert_eq!(verdict_of(&report, "performance.cpu"), "fail");
    let mean = limit(&report, "performance.cpu", "cpu.mean");
    assert_eq!((&mean["exact"], &mean["shown"], &mean["value"]), (&"219/20".into(), &"1.1 %".into(), &11.into()));
    assert!(mean["why"].as_str().unwrap().contains("1.1 % (limit < 1 %)"), "{mean}");
    // The strategy says "<1 %": one per cent is not below it.
    let reached = reported(&busy(600_000));
    assert_eq!(verdict_of(&reached, "performance.cpu"), "fail");
    let below = reported(&busy(599_999));
    let mean = limit(&below, "performance.cpu", "cpu.mean");
    assert_eq!(
        (mean["verdict"].as_str(), mean["shown"].as_str(), mean["value"].as_u64()),
        (Some("pass"), Some("0.999998 %"), Some(9))
    );
    // 2.149 % of the host's 16 GB.
    let memory = with(DAY, |watch, _| process(watch).rss = Bytes::new(343_840_000));
    let report = reported(&memory);
    assert_eq!(verdict_of(&report, "performance.memory"), "fail");
    assert_eq!(limit(&report, "performance.memory", "memory.host_mean")["shown"], "2.1 %");
}

#[test]
fn a_share_of_failures_is_what_it_is_and_not_rounded_up() {
    let failing = |failed: u64| {
        with(DAY, move |watch, minute| {
            let bad = CallEnded { outcome: CallOutcome::Error, ..call(CallOutcome::Error) };
            (0..2).for_each(
                |half| if minute * 2 + half < failed { add(watch, bad.clone()) } else { add(watch, call(CallOutcome::Ok)) },
            );
        })
    };
    // Each minute has a call beside: 4,320 calls in all, of which 43 are 9.95 thousandths and 44 are 10.2.
    let judged = |failed| reported(&failing(failed));
    assert_eq!(verdict_of(&judged(43), "integration.meta_tool_succeeds"), "warn");
    let beyond = judged(44);
    assert_eq!(verdict_of(&beyond, "integration.meta_tool_succeeds"), "fail");
    assert_eq!(limit(&beyond, "integration.meta_tool_succeeds", "calls.failed_share")["exact"], "275/27");
}

#[test]
fn a_log_that_was_read_for_five_minutes_of_a_day_vouches_for_nothing() {
    let watches = with(DAY, |watch, minute| {
        if minute >= 5 {
            watch.sources.log = Visibility::Missing;
            watch.log = LogVolume::default();
            add(watch, LogUnreadable { path: Text::from("mcp-hub.log"), reason: Text::from("no permission") });
            watch.facts.retain(|fact| minute == 5 || !matches!(fact.kind, FactKind::Log(LogFact::LogUnreadable(_))));
        }
    });
    let mut silent = watches.clone();
    silent.iter_mut().for_each(|watch| {
        watch.facts.clear();
        if watch.sources.log == Visibility::Missing {
            watch.sources.log = Visibility::Off;
        }
    });
    let report = reported(&silent);
    for id in ["integration.logging_without_loss", "performance.log_growth"] {
        let row = criterion(&report, id);
        assert_eq!(row["verdict"], "inconclusive", "{row:#}");
    }
    let row = criterion(&report, "integration.logging_without_loss");
    assert_eq!((&row["ground"], row["coverage_permille"].as_u64()), (&"too_little_coverage".into(), Some(3)));
    assert!(row["why"].as_str().unwrap().contains("the hub's log was read for only 0.3 % of the period (needed: 95 %)"), "{row:#}");
    // That it could not be read has happened, however much else of it was read.
    assert_eq!(verdict_of(&reported(&watches), "integration.logging_without_loss"), "fail");
}

#[test]
fn a_process_that_was_seen_at_few_polls_vouches_for_nothing() {
    let watches = with(DAY, |watch, minute| {
        if minute >= 25 {
            watch.poll.as_mut().unwrap().process = None;
            watch.sources.process = Visibility::Missing;
        }
    });
    let report = reported(&watches);
    for id in ["performance.cpu", "performance.memory"] {
        let row = criterion(&report, id);
        assert_eq!((&row["verdict"], &row["ground"]), (&"inconclusive".into(), &"too_little_coverage".into()), "{row:#}");
        assert!(row["why"].as_str().unwrap().contains("the hub's process was seen for only 1.7 % of the period"), "{row:#}");
    }
    assert_eq!(limit(&report, "performance.cpu", "cpu.mean")["source"], "process");
}

#[test]
fn an_estimate_with_little_coverage_fails_only_if_the_rest_could_not_make_up_for_it() {
    let seen_for = |minutes: u64, bytes: u64| {
        with(DAY, move |watch, minute| {
            watch.log.bytes = Bytes::new(bytes);
            if minute >= minutes {
                watch.sources.log = Visibility::Off;
                watch.log = LogVolume::default();
            }
        })
    };
    // 144 MB a day as long as it was read; half a day of it is 72 MB, whatever came afterwards.
    assert_eq!(verdict_of(&reported(&seen_for(DAY / 2, 100_000)), "performance.log_growth"), "inconclusive");
    assert_eq!(verdict_of(&reported(&seen_for(DAY / 2, 200_000)), "performance.log_growth"), "fail");
}

#[test]
fn a_log_that_was_there_before_the_watch_is_no_growth_and_its_errors_are_none() {
    let watches = with(DAY, |watch, minute| {
        if minute == 0 {
            add(watch, WatcherStarted { resumed: false });
        }
        // 95 MB take three looks.
        if minute < 3 {
            watch.log.bytes = Bytes::new(95_000_000 / 3);
            watch.log.error = Count::new(400);
            watch.sources.log = if minute < 2 { Visibility::Partial } else { Visibility::Read };
        }
    });
    let report = reported(&watches);
    assert_eq!(verdict_of(&report, "performance.log_growth"), "pass", "{:#}", criterion(&report, "performance.log_growth"));
    assert_eq!(measure(&report, "log.growth_per_day")["exact"], "1440000", "a thousand bytes a minute");
    assert_eq!((&report["log"]["errors"], &measure(&report, "log.errors")["value"]), (&0.into(), &0.into()));
    assert_eq!(report["log"]["by_level"]["error"], 1200, "the raw count has them");
}

#[test]
fn what_is_read_after_a_gap_belongs_to_the_gap() {
    // 60 kB a minute are 86.4 MB a day; for half a day nobody watched, and then all of it was read at once.
    let mut watches = with(DAY, |watch, _| watch.log.bytes = Bytes::new(60_000));
    watches.drain(300..300 + 12 * 60);
    for (sequence, watch) in watches.iter_mut().enumerate() {
        watch.origin.sequence = Count::new(sequence as u64);
    }
    add(&mut watches[300], WatcherStarted { resumed: true });
    watches[300].log.bytes = Bytes::new(60_000 * (12 * 60 + 1));
    let report = reported(&watches);
    assert_eq!(measure(&report, "log.growth_per_day")["exact"], "86400000");
    // Half a day was not watched: that is no pass, and twice the growth would have been a failure.
    let row = criterion(&report, "performance.log_growth");
    assert_eq!((&row["verdict"], &row["ground"]), (&"inconclusive".into(), &"too_little_coverage".into()), "{row:#}");

    // Where Watches are missing their bytes are, too: the growth is taken up when the log's end is reached again.
    let mut missing = with(DAY, |watch, _| watch.log.bytes = Bytes::new(60_000));
    missing.drain(300..330);
    missing[300].log.bytes = Bytes::new(700_000_000);
    let report = reported(&missing);
    assert_eq!(measure(&report, "log.growth_per_day")["exact"], "86400000");
    assert_eq!(report["coverage"]["missing_watches"], 30);
}

#[test]
fn planned_disturbances_are_left_out_of_every_measure_of_the_log_the_calls_and_the_api() {
    let mut watches = quiet(DAY).watches();
    planned(&mut watches, "disk_full", 300, 310);
    let slow = CallEnded {
        duration: Some(Micros::new(30_000_000)),
        gemini_duration: Some(Micros::new(29_000_000)),
        ..call(CallOutcome::Ok)
    };
    for watch in &mut watches[301..310] {
        watch.log.bytes = Bytes::new(200_000_000);
        add(watch, LogWriteFailed { error: Text::from("ENOSPC") });
        add(watch, error_lines(50));
        (0..20).for_each(|_| add(watch, slow.clone()));
        let poll = watch.poll.as_mut().unwrap();
        (poll.api.health_duration, poll.api.servers_duration) = (Micros::new(4_000_000), Some(Micros::new(4_000_000)));
        poll.process.as_mut().unwrap().rss = Bytes::new(9_000_000_000);
    }
    let report = reported(&watches);
    for id in [
        "performance.log_growth",
        "integration.logging_without_loss",
        "performance.meta_tool_time",
        "performance.api_response_time",
        "performance.memory",
    ] {
        assert_eq!(verdict_of(&report, id), "pass", "{:#}", criterion(&report, id));
    }
    let value = |name| measure(&report, name)["value"].as_u64().unwrap();
    assert_eq!(
        ["log.losses", "log.errors", "calls.p95", "calls.mean", "gemini.mean"].map(value),
        [0, 0, 800_000, 800_000, 700_000]
    );
    assert_eq!(["api.mean", "api.p95", "api.p99", "api.max"].map(value), [2_000; 4]);
    assert_eq!(report["calls"]["planned"].as_u64(), Some(9 * 20 + 11), "they are told all the same");
}

#[test]
fn requests_to_a_hub_that_is_not_there_yet_are_no_failed_requests() {
    let mut watches = quiet(DAY).watches();
    for (minute, watch) in watches.iter_mut().enumerate().take(3) {
        watch.poll = Some(poll(ApiOutcome::Refused, Liveness::Unknown, watch.interval.end()));
        watch.facts.clear();
        if minute == 0 {
            add(watch, HubUnreachable { outcome: ApiOutcome::Refused });
        }
    }
    add(&mut watches[3], HubReachable { restarted: None });
    let report = reported(&watches);
    assert_eq!((&report["api"]["failed"], report["api"]["requests"].as_u64()), (&0.into(), Some((DAY - 3) * 2)));
    // A hub that was there and went is another matter.
    let mut watches = quiet(DAY).watches();
    for watch in &mut watches[600..605] {
        watch.poll = Some(poll(ApiOutcome::Refused, Liveness::Unknown, watch.interval.end()));
    }
    assert_eq!(reported(&watches)["api"]["failed"], 5);
}

#[test]
fn errors_in_a_log_without_levels_are_not_visible_and_not_zero() {
    let plain = |watch: &mut Watch| {
        watch.sources.log_shape = Some(LogShape::LegacyFile);
        watch.log = LogVolume { unlevelled: watch.log.lines, info: Count::new(0), ..watch.log.clone() };
    };
    let report = reported(&with(DAY, |watch, _| plain(watch)));
    assert_eq!((&report["log"]["errors"], &measure(&report, "log.errors")["value"]), (&Value::Null, &Value::Null));
    assert!(measure(&report, "log.errors")["why"].as_str().unwrap().starts_with("not visible"));
    let joined = with(DAY, |watch, minute| {
        plain(watch);
        watch.sources.event_stream = Visibility::Read;
        if minute == 700 {
            add(watch, error_lines(3));
        }
    });
    let report = reported(&joined);
    let errors = report["series"]["error_lines"]["points"].as_array().unwrap();
    let drawn: u64 = errors.iter().map(|point| point["sum"].as_u64().unwrap()).sum();
    assert_eq!((&report["log"]["errors"], drawn), (&3.into(), 3));
}

#[test]
fn mean_and_peak_of_the_processor_stand_on_the_same_stretches_and_a_start_is_told_apart() {
    // A process that begins in minute 100 and uses half a core for its first minute.
    let watches = with(DAY, |watch, minute| {
        let now = watch.interval.end();
        let process = process(watch);
        if minute >= 100 {
            process.pid = 8;
            process.started = START.plus(Micros::new(100 * INTERVAL.get() + 20_000_000));
            process.cpu_time = Micros::new(20_000_000 + now.since(process.started).get() / 1_000);
        }
    });
    let report = reported(&watches);
    let (mean, peak) = (measure(&report, "cpu.mean"), measure(&report, "cpu.peak"));
    assert_eq!(mean["samples"], peak["samples"]);
    assert!(mean["value"].as_u64() <= peak["value"].as_u64());
    assert_eq!(peak["exact"], "5", "the highest is the first process's half a per cent");
    let process = &report["process"];
    let started = (process["start_up_cpu_us"].as_u64().unwrap(), process["start_up_us"].as_u64().unwrap());
    assert_eq!(started, (20_040_000 + 60_000, 40_000_000 + 60_000_000), "the time before its second poll is not lost");
}

#[test]
fn watches_that_were_lost_at_the_beginning_of_a_run_are_missing() {
    let mut watches = quiet(DAY).watches();
    for (index, watch) in watches.iter_mut().enumerate().skip(600) {
        watch.origin.run = 2;
        watch.origin.sequence = Count::new(index as u64 - 600);
    }
    watches.drain(600..607);
    let report = reported(&watches);
    assert_eq!(report["coverage"]["missing_watches"], 7);
    // A period that begins inside a run misses nothing of what was before it.
    let report = reported(&quiet(DAY).watches()[300..]);
    assert_eq!(report["coverage"]["missing_watches"], 0);
}

#[test]
fn a_row_of_characters_shows_the_percentile_of_each_part_of_the_period() {
    // In each hour sixty calls take less than a second, and two take four.
    let watches = with(DAY, |watch, minute| {
        if minute % 30 == 0 {
            add(watch, CallEnded { duration: Some(Micros::new(4_000_000)), ..call(CallOutcome::Ok) });
        }
    });
    let report = reported(&watches);
    let points = report["series"]["calls_parts_us"]["points"].as_array().unwrap();
    assert_eq!(points.len(), 48);
    assert!(points.iter().all(|point| point["p95"] == 800_000 && point["max"] == 4_000_000), "{points:#?}");
}

#[test]
fn a_healthy_day_asks_for_nothing_and_what_is_advised_names_what_did_not_pass() {
    let healthy = reported(&Stage::default().watches());
    assert_eq!(healthy["overall"]["verdict"], "pass");
    assert_eq!(healthy["recommendations"], serde_json::json!([]));
    let report = reported(&quiet(DAY).watches());
    let advised = report["recommendations"].as_array().unwrap();
    assert!(!advised.is_empty());
    for advice in advised {
        let ids = advice["criteria"].as_array().unwrap();
        assert!(!ids.is_empty() && ids.iter().all(|id| verdict_of(&report, id.as_str().unwrap()) != "pass"), "{advice:#}");
    }
    let asks_for_calls = |advice: &Value| advice["action"].as_str().unwrap().contains("call the meta-tool");
    assert!(!advised.iter().any(asks_for_calls), "1,440 calls were made");
}

// --- The document --------------------------------------------------------------------------------------------------------

const LIFE: &str = include_str!("../src/judge/history/life.rs");

/// What the code's own names mean to a reader who does not have it.
const PLAIN: [(&str, &str); 6] = [
    ("[`SETTLE`]", "30 s"),
    ("[`STARTING`]", "5 min"),
    ("[`MAX_OUTAGES`](super::MAX_OUTAGES)", "2,000"),
    ("- [`", "- Step `"),
    ("([`", "(step `"),
    ("`]", "`"),
];

fn plain(text: &str) -> String {
    PLAIN.iter().fold(text.to_owned(), |text, (name, meaning)| text.replace(name, meaning))
}

/// What a module says of itself, below its first sentence.
fn rules_of(source: &str) -> String {
    let lines = source.lines().map_while(|line| line.strip_prefix("//!")).map(|line| line.strip_prefix(' ').unwrap_or(line));
    let text = lines.fold(String::new(), |text, line| text + line + "\n");
    text.split_once("\n\n").map_or(text.as_str(), |(_, rules)| rules).to_owned()
}

/// The report's parts, and where their figures are described: at the fields that hold them.
const FIGURES: [(&str, &str, &str); 13] = [
    ("coverage", "Coverage", include_str!("../src/judge/history/coverage.rs")),
    ("coverage.sources", "SourceTime", include_str!("../src/judge/history/sources.rs")),
    ("hub", "HubHistory", include_str!("../src/judge/history/hub.rs")),
    ("servers[]", "ServerHistory", include_str!("../src/judge/history/servers.rs")),
    ("servers[].down[] and hub.unreachable[]", "Outage", LIFE),
    ("clients", "ClientHistory", include_str!("../src/judge/history/clients.rs")),
    ("calls", "CallHistory", include_str!("../src/judge/history/calls.rs")),
    ("process", "ProcessHistory", include_str!("../src/judge/history/process.rs")),
    ("log", "LogHistory", include_str!("../src/judge/history/log.rs")),
    ("api", "ApiHistory", include_str!("../src/judge/history/api.rs")),
    ("api.under_load", "LoadHistory", include_str!("../src/judge/history/api.rs")),
    ("series", "Series", include_str!("../src/judge/series.rs")),
    ("phases[]", "Phase", include_str!("../src/report/model.rs")),
];

/// The fields or variants of an item with what is said of each, in order; those that no report has are left out.
fn described(source: &str, begins: &str) -> Vec<(String, String)> {
    let body = source.split_once(begins).unwrap_or_else(|| panic!("no {begins}")).1;
    let (mut all, mut doc, mut skip) = (Vec::new(), String::new(), false);
    for line in body.lines().skip(1).map(str::trim).take_while(|line| *line != "}") {
        if let Some(text) = line.strip_prefix("/// ") {
            let _ = write!(doc, "{}{text}", if doc.is_empty() { "" } else { " " });
        } else if line.starts_with("#[") {
            skip |= line.contains("skip)");
        } else {
            let name = line.strip_prefix("pub ").and_then(|field| field.split_once(": ")).map(|(name, _)| name.to_owned());
            let name = name.or_else(|| Some(line.split_once(" = \"")?.1.trim_end_matches("\",").to_owned()));
            if let Some(name) = name.filter(|_| !skip) {
                assert!(!doc.is_empty(), "{name} says nothing of itself");
                all.push((name, doc.replace('|', "\\|")));
            }
            (doc, skip) = (String::new(), false);
        }
    }
    all
}

fn measures() -> String {
    let mut table = String::from(
        "| measure | definition | unit | source | kind | planned disturbances |\n| --- | --- | --- | --- | --- | --- |\n",
    );
    for measure in Measure::all() {
        let kind = match measure.kind {
            Kind::Happened => "happened",
            Kind::Estimated => "estimated",
        };
        let planned = match measure.when_planned {
            WhenPlanned::Counts => "count",
            WhenPlanned::LeftOut => "left out",
        };
        let lines: Vec<&str> = measure.definition.iter().map(|line| line.trim()).collect();
        let (doc, unit, source) = (lines.join(" ").replace('|', "\\|"), measure.unit.as_str(), measure.basis);
        let _ = writeln!(table, "| `{measure}` | {doc} | {unit} | `{source}` | {kind} | {planned} |");
    }
    table
}

fn sources() -> String {
    let mut table = String::from("| source | what it is | read for |\n| --- | --- | --- |\n");
    let basis: BTreeMap<String, String> = described(FIGURES[1].2, "pub enum Basis {").into_iter().collect();
    for source in Basis::ALL {
        let field = match source {
            Basis::Watch => "`coverage.covered_us`".to_owned(),
            Basis::Criteria => "the whole period".to_owned(),
            other => format!("`coverage.sources.{other}_us` + `planned_us`"),
        };
        let _ = writeln!(table, "| `{source}` | {} | {field} |", basis[source.as_str()]);
    }
    table
}

fn figures() -> String {
    let mut text = String::new();
    for (part, item, source) in FIGURES {
        let _ = write!(text, "\n### `{part}`\n\n| figure | definition |\n| --- | --- |\n");
        for (name, doc) in described(source, &format!("pub struct {item} {{")) {
            let _ = writeln!(text, "| `{name}` | {doc} |");
        }
    }
    text
}

#[test]
fn the_document_of_measures_is_made_from_the_code() {
    let doc = include_str!("measures/head.md")
        .replace("<!-- period -->\n", &rules_of(include_str!("../src/judge/period.rs")))
        .replace("<!-- planned -->\n", &rules_of(include_str!("../src/judge/planned.rs")))
        .replace("<!-- down -->\n", &rules_of(LIFE))
        .replace("<!-- leak -->\n", &rules_of(include_str!("../src/judge/leak/mod.rs")))
        .replace("<!-- sources -->\n", &sources())
        .replace("<!-- measures -->\n", &measures())
        .replace("<!-- figures -->\n", &figures());
    let doc = plain(&doc);
    let unexplained: Vec<&str> = doc.lines().filter(|line| line.contains("[`") || line.contains("::")).collect();
    assert!(unexplained.is_empty(), "names that only the code explains: {unexplained:#?}");
    let path = format!("{}/docs/measures.md", env!("CARGO_MANIFEST_DIR"));
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, &doc).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(written == doc, "docs/measures.md is not what the code does: run with UPDATE_DOCS=1 and look at the difference");
}

#[test]
fn every_name_on_the_page_is_a_name_that_is_sent() {
    let page = std::fs::read_to_string(format!("{}/docs/measures.md", env!("CARGO_MANIFEST_DIR"))).unwrap();
    let names = include_str!("../src/watch/names.rs");
    let quoted = page.split('`').skip(1).step_by(2).filter(|word| word.starts_with("mcphub.") || word.starts_with("hubwatch."));
    let unknown: Vec<&str> =
        quoted.filter(|word| !names.contains(&format!("\"{word}\"")) && !FactKind::names().any(|name| name == *word)).collect();
    assert!(unknown.is_empty(), "{unknown:?}");
}
