use proptest::prelude::*;

use super::*;
use crate::watch::Bytes;

const RULES: LeakRules = LeakRules::DEFAULT;
const MB: f64 = 1e6;
const POLL: u64 = 15;
const START: u64 = 1_000_200;

fn process(pid: u32, started: u64, rss: f64) -> ProcessPoll {
    ProcessPoll {
        pid,
        started: Timestamp::from_secs(started),
        cpu_time: Micros::new(0),
        rss: Bytes::new(rss as u64),
        memory_limit: Some(Bytes::new(512_000_000)),
        fds: None,
        threads: None,
        children: 0,
        host_cpus: 2,
        host_memory: Bytes::new(8_000_000_000),
    }
}

/// The same noise in every run: a few megabytes, like a heap between two collections.
fn noise(hour: f64) -> f64 {
    ((hour * 7919.0).sin() * 43_758.5).fract().abs() * 4.0 * MB
}

/// Polls a process that started so many seconds before; `rss` says its memory by the hours since the first poll.
fn feed(watch: &mut LeakWatch, from: u64, hours: u64, rss: impl Fn(f64) -> Option<f64>) {
    for second in (0..hours * 3600).step_by(POLL as usize) {
        if let Some(rss) = rss(second as f64 / 3600.0) {
            watch.take(&process(1, from, rss), Load::default(), Timestamp::from_secs(from + second), &RULES);
        }
    }
}

fn watched(hours: u64, rss: impl Fn(f64) -> Option<f64>) -> MemoryTrend {
    let mut watch = LeakWatch::default();
    feed(&mut watch, START, hours, rss);
    watch.trend(&RULES).unwrap()
}

fn loaded(hours: u64, load: impl Fn(f64) -> (u32, u64), rss: impl Fn(f64) -> f64) -> MemoryTrend {
    let mut watch = LeakWatch::default();
    for second in (0..hours * 3600).step_by(POLL as usize) {
        let hour = second as f64 / 3600.0;
        let (clients, operations) = load(hour);
        watch.take(&process(1, START, rss(hour)), Load { clients, operations }, Timestamp::from_secs(START + second), &RULES);
    }
    watch.trend(&RULES).unwrap()
}

#[test]
fn a_leak_is_told_with_its_slope_and_the_time_that_is_left() {
    let trend = watched(48, |hour| Some(100.0 * MB + hour * 2.0 * MB + noise(hour)));
    assert_eq!(trend.growth, Growth::Leaking);
    assert!((trend.slope_bytes_per_hour - 2_000_000).abs() < 50_000, "{trend:?}");
    assert!(trend.slope_low > 1_800_000 && trend.slope_high < 2_200_000, "{trend:?}");
    assert!((trend.to_bytes as f64 - 196.0 * MB).abs() < 3.0 * MB, "it is the memory where the time ends: {trend:?}");
    let left = trend.time_to_limit_us.unwrap() as f64 / HOUR_US;
    assert!((left - (512.0 - 196.0) / 2.0).abs() < 5.0, "{left}");
}

#[test]
fn a_small_leak_is_found_over_two_days() {
    let trend = watched(48, |hour| Some(100.0 * MB + hour * 0.2 * MB + noise(hour)));
    assert_eq!(trend.growth, Growth::Leaking, "{trend:?}");
}

#[test]
fn growth_that_stopped_is_no_leak_and_has_no_days_to_the_limit() {
    let trend = watched(36, |hour| Some(100.0 * MB + hour.min(18.0) * 0.5 * MB + noise(hour)));
    assert_eq!((trend.growth, trend.time_to_limit_us), (Growth::Settled, None), "{trend:?}");
}

#[test]
fn a_sawtooth_is_no_leak_however_long_its_teeth_are() {
    for teeth_per_hour in [3.0, 0.5, 1.0 / 3.0] {
        let trend = watched(24, |hour| Some(100.0 * MB + (hour * teeth_per_hour).fract() * 60.0 * MB));
        assert_eq!(trend.growth, Growth::Steady, "{teeth_per_hour}: {trend:?}");
    }
}

#[test]
fn a_sawtooth_on_a_rising_floor_is_a_leak() {
    for teeth_per_hour in [3.0, 0.5, 1.0 / 3.0] {
        let trend = watched(24, |hour| Some(100.0 * MB + hour * 2.0 * MB + (hour * teeth_per_hour).fract() * 60.0 * MB));
        assert_eq!(trend.growth, Growth::Leaking, "{teeth_per_hour}: {trend:?}");
        assert!((trend.slope_bytes_per_hour - 2_000_000).abs() < 500_000, "{trend:?}");
    }
}

#[test]
fn a_warm_up_and_then_a_plateau_is_no_leak() {
    let trend = watched(24, |hour| Some(60.0 * MB + 60.0 * MB * (1.0 - (-hour * 4.0).exp()) + noise(hour)));
    assert!(trend.growth.is_decided() && trend.growth != Growth::Leaking, "{trend:?}");
}

#[test]
fn steps_are_no_leak() {
    for step in [3.0, 6.0, 12.0, 20.0] {
        let trend = watched(24, |hour| Some(if hour < step { 100.0 } else { 150.0 } * MB + noise(hour)));
        assert_eq!(trend.growth, Growth::Settled, "at {step}: {trend:?}");
    }
    let trend = watched(24, |hour| Some((100.0 + 12.0 * (hour / 6.0).floor()) * MB + noise(hour)));
    assert_ne!(trend.growth, Growth::Leaking, "{trend:?}");
}

#[test]
fn a_cache_that_still_fills_can_not_be_told_from_a_leak_and_the_reason_says_so() {
    let trend = watched(24, |hour| Some(100.0 * MB + 60.0 * MB * (1.0 - (-hour / 12.0).exp()) + noise(hour)));
    assert_eq!(trend.growth, Growth::Growing, "{trend:?}");
    let why = trend.undecided().unwrap();
    assert!(why.starts_with("can't tell in 24 h: memory grows by about 0.") && why.contains("cache"), "{why}");
}

#[test]
fn a_day_s_cycle_neither_makes_a_leak_nor_hides_one() {
    let cycle = |hour: f64| (hour / 24.0 * std::f64::consts::TAU).sin() * 10.0 * MB + noise(hour);
    assert_eq!(watched(48, |hour| Some(100.0 * MB + cycle(hour))).growth, Growth::Steady);
    assert_eq!(watched(48, |hour| Some(100.0 * MB + hour * 2.0 * MB + cycle(hour))).growth, Growth::Leaking);
}

#[test]
fn a_leak_that_begins_later_is_found_and_it_is_told_since_when() {
    let trend = watched(24, |hour| Some(100.0 * MB + (hour - 12.0).max(0.0) * 2.0 * MB + noise(hour)));
    assert_eq!(trend.growth, Growth::Leaking, "{trend:?}");
    let since = trend.grows_since.unwrap().0.since(Timestamp::from_secs(START)).get() as f64 / HOUR_US;
    assert!((since - 12.0).abs() < 1.5, "{since}");
}

#[test]
fn processes_that_were_restarted_are_judged_together() {
    let lives = |slope: f64| {
        let mut watch = LeakWatch::default();
        for life in 0..4 {
            feed(&mut watch, START + life * 6 * 3600, 6, |hour| Some(100.0 * MB + slope * hour * MB + noise(hour)));
        }
        watch.trend(&RULES).unwrap()
    };
    let leaking = lives(2.0);
    assert_eq!((leaking.growth, leaking.processes), (Growth::Leaking, 4), "{leaking:?}");
    assert_ne!(lives(0.0).growth, Growth::Leaking);
}

#[test]
fn memory_that_follows_the_clients_is_no_leak() {
    let clients = |hour: f64| if hour < 10.0 { 2 } else { 20 };
    let trend = loaded(24, |hour| (clients(hour), 0), |hour| (100.0 + f64::from(clients(hour))) * MB + noise(hour));
    assert!(trend.growth.is_decided() && trend.growth != Growth::Leaking, "{trend:?}");
}

#[test]
fn a_leak_of_each_operation_is_told_for_each_operation() {
    // Busy for two hours of six, a hundred operations an hour then.
    let operations = |hour: f64| ((hour / 6.0).floor() * 2.0 + (hour % 6.0).min(2.0)) * 100.0;
    let trend = loaded(24, |hour| (0, operations(hour) as u64), |hour| 100.0 * MB + operations(hour) * 0.06 * MB + noise(hour));
    assert_eq!((trend.growth, trend.course), (Growth::Leaking, Some(Course::GrowsWithLoad)), "{trend:?}");
    assert!((trend.bytes_per_operation.unwrap() as f64 - 60_000.0).abs() < 8_000.0, "{trend:?}");
}

#[test]
fn a_gap_is_no_floor() {
    let gap = |hour: f64| (8.0..20.0).contains(&hour);
    let trend = watched(30, |hour| (!gap(hour)).then(|| 100.0 * MB + noise(hour)));
    assert_eq!(trend.growth, Growth::Steady, "{trend:?}");
    let leaking = watched(30, |hour| (!gap(hour)).then(|| 100.0 * MB + hour * MB + noise(hour)));
    assert_eq!(leaking.growth, Growth::Leaking, "{leaking:?}");
}

#[test]
fn less_than_six_steady_hours_say_nothing() {
    let short = watched(6, |hour| Some(100.0 * MB + hour * 10.0 * MB));
    assert_eq!(short.growth, Growth::TooShort);
    assert!(short.undecided().unwrap().contains("5.5 h"), "{:?}", short.undecided());
    let mostly_gap = watched(30, |hour| (!(2.0..27.0).contains(&hour)).then_some(100.0 * MB + hour * MB));
    assert_eq!(mostly_gap.growth, Growth::TooShort);
    assert_eq!(LeakWatch::default().trend(&RULES), None);
}

#[test]
fn where_memory_wanders_much_the_smallest_leak_that_would_have_been_found_is_named() {
    // A random walk of ten megabytes an hour.
    let mut state = 1_u64;
    let mut at = 0.0;
    let steps: Vec<f64> = (0..25 * 240)
        .map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            at += if state >> 63 == 1 { 0.65 } else { -0.65 };
            at
        })
        .collect();
    let trend = watched(24, |hour| Some((300.0 + steps[(hour * 240.0) as usize]) * MB));
    assert!(matches!(trend.growth, Growth::Unclear | Growth::Growing), "{trend:?}");
    let smallest = trend.smallest_visible_bytes_per_hour.unwrap();
    assert!(smallest > 1_000_000, "{smallest}");
}

#[test]
fn a_month_takes_no_more_memory_than_two_days() {
    let mut watch = LeakWatch::default();
    feed(&mut watch, START, 24 * 30, |hour| Some(100.0 * MB + noise(hour)));
    assert!(watch.windows.count() <= 1_024);
    assert_eq!(watch.trend(&RULES).unwrap().growth, Growth::Steady);
}

#[test]
fn what_was_asked_in_between_changes_nothing() {
    let rss = |hour: f64| Some(100.0 * MB + hour * MB + noise(hour));
    let mut watch = LeakWatch::default();
    for second in (0..24 * 3600).step_by(POLL as usize) {
        let hour = second as f64 / 3600.0;
        watch.take(&process(1, START, rss(hour).unwrap()), Load::default(), Timestamp::from_secs(START + second), &RULES);
        if second % (4 * 3600) == 0 {
            watch.clone().trend(&RULES);
        }
    }
    assert_eq!(watch.trend(&RULES).unwrap(), watched(24, rss));
}

/// Restarts each so many minutes, for so many hours; `rss` says a process's memory by its age in hours.
fn restarted(every: u64, hours: u64, rss: impl Fn(f64) -> f64) -> LeakWatch {
    let mut watch = LeakWatch::default();
    for second in (0..hours * 3600).step_by(POLL as usize) {
        let started = second / (every * 60) * every * 60;
        let (hour, age) = (second as f64 / 3600.0, (second - started) as f64 / 3600.0);
        let process = process(1, START + started, rss(age) + noise(hour));
        watch.take(&process, Load::default(), Timestamp::from_secs(START + second), &RULES);
    }
    watch
}

#[test]
fn a_leak_is_found_beside_a_warm_up_after_each_of_four_restarts() {
    let trend = restarted(360, 24, |age| (100.0 + 2.0 * age - 20.0 * (-age / 0.7).exp()) * MB).trend(&RULES).unwrap();
    assert_eq!(trend.growth, Growth::Leaking, "{trend:?}");
}

#[test]
fn fragmentation_that_slows_down_after_each_restart_is_no_leak() {
    let trend = restarted(360, 24, |age| (100.0 + 10.0 * (age * 2.0).ln_1p()) * MB).trend(&RULES).unwrap();
    assert_eq!(trend.growth, Growth::Growing, "{trend:?}");
}

#[test]
fn growth_of_processes_that_live_for_two_hours_is_no_leak_since_each_may_only_warm_up() {
    let trend = restarted(120, 24, |age| (100.0 + 10.0 * age) * MB).trend(&RULES).unwrap();
    assert_eq!((trend.growth, trend.processes), (Growth::Growing, 12), "{trend:?}");
    assert!(trend.undecided().unwrap().ends_with("watch one process for longer"), "{:?}", trend.undecided());
    assert_eq!(restarted(120, 24, |_| 100.0 * MB).trend(&RULES).unwrap().growth, Growth::Steady);
}

#[test]
fn processes_that_never_live_beyond_their_warm_up_have_no_trend() {
    assert_eq!(restarted(20, 24, |age| (100.0 + 10.0 * age) * MB).trend(&RULES), None);
}

#[test]
fn a_leak_that_only_one_of_two_processes_has_is_told_of_that_one() {
    for leaking in [0, 1] {
        let mut watch = LeakWatch::default();
        for life in 0..2 {
            let slope = if life == leaking { 2.0 } else { 0.0 };
            feed(&mut watch, START + life * 12 * 3600, 12, |hour| Some((100.0 + slope * hour) * MB + noise(hour)));
        }
        let trend = watch.trend(&RULES).unwrap();
        assert_eq!(trend.growth, Growth::Leaking, "{leaking}: {trend:?}");
    }
    let mut watch = LeakWatch::default();
    feed(&mut watch, START, 12, |hour| Some((100.0 + 2.0 * hour) * MB + noise(hour)));
    feed(&mut watch, START + 12 * 3600, 24, |hour| Some(100.0 * MB + noise(hour)));
    let trend = watch.trend(&RULES).unwrap();
    assert_eq!((trend.growth, trend.processes), (Growth::Leaking, 1), "{trend:?}");
    assert!(trend.to.0 < Timestamp::from_secs(START + 12 * 3600), "{trend:?}");
    assert!((trend.slope_bytes_per_hour - 2_000_000).abs() < 200_000, "{trend:?}");
}

#[test]
fn a_buffer_that_is_emptied_three_times_a_day_neither_makes_a_leak_nor_hides_one() {
    for begin in [0.1, 0.6] {
        let rss =
            |slope: f64| watched(24, |hour| Some((100.0 + slope * hour + (hour / 8.0 + begin).fract() * 20.0) * MB + noise(hour)));
        assert_eq!(rss(0.0).growth, Growth::Steady, "{:?}", rss(0.0));
        assert_eq!(rss(2.0).growth, Growth::Leaking, "{:?}", rss(2.0));
        assert!((rss(2.0).slope_bytes_per_hour - 2_000_000).abs() < 200_000, "{:?}", rss(2.0));
    }
}

#[test]
fn memory_that_jumps_up_and_down_does_not_hide_a_leak() {
    let jumps = |hour: f64| if (hour / 3.4) as u64 % 2 == 1 { 20.0 } else { 0.0 };
    for slope in [1.0, 2.0] {
        let trend = watched(24, |hour| Some((100.0 + slope * hour + jumps(hour)) * MB + noise(hour)));
        assert!(!matches!(trend.growth, Growth::Steady | Growth::Settled), "{slope}: {trend:?}");
    }
}

#[test]
fn growth_that_ends_and_memory_that_doubles_once_are_no_leak() {
    let stopped = watched(24, |hour| Some((100.0 + 2.0 * hour.min(18.0)) * MB + noise(hour)));
    assert_ne!(stopped.growth, Growth::Leaking, "{stopped:?}");
    let doubled = watched(24, |hour| Some(if hour < 15.0 { 100.0 } else { 200.0 } * MB + noise(hour)));
    assert_eq!(doubled.growth, Growth::Settled, "{doubled:?}");
}

#[test]
fn a_process_that_is_seen_half_of_the_time_is_judged_like_any_other() {
    let each_other_poll = |hour: f64| ((hour * 240.0).round() as u64).is_multiple_of(2);
    for seen in [each_other_poll, |hour: f64| (hour as u64).is_multiple_of(2)] {
        let slope = |slope: f64| watched(24, |hour| seen(hour).then(|| (100.0 + slope * hour) * MB + noise(hour))).growth;
        assert_eq!((slope(0.0), slope(2.0)), (Growth::Steady, Growth::Leaking));
    }
}

#[test]
fn a_verdict_stands_on_a_bounded_number_of_floors_whatever_was_polled() {
    let floors = |every: u64, lives: fn(u64) -> u64| {
        let mut watch = LeakWatch::default();
        for second in (0..48 * 3600).step_by(every as usize) {
            let process = process(1, START - 3600 - lives(second), if second % 3 == 0 { 1e18 } else { 1.0 });
            watch.take(&process, Load::default(), Timestamp::from_secs(START + second), &RULES);
        }
        watch.trend(&RULES).unwrap();
        assert!(watch.windows.count() <= 1_024);
        watch.windows.points(290, 70).len()
    };
    assert_eq!(floors(1, |_| 0), 288);
    // A process for each poll, for three windows, for six, and two that alternate.
    let lives: [fn(u64) -> u64; 4] = [|second| second, |second| second / 900, |second| second / 1_800, |second| second / 60 % 2];
    for lives in lives {
        assert!(floors(60, lives) <= 435);
    }
}

#[test]
fn polls_that_lie_far_apart_are_all_kept_for_a_month() {
    let mut watch = LeakWatch::default();
    for poll in 0..30 * 24 * 6 {
        watch.take(&process(1, START - 3600, 100.0 * MB), Load::default(), Timestamp::from_secs(START + poll * 600), &RULES);
    }
    let trend = watch.trend(&RULES).unwrap();
    assert_eq!((trend.growth, trend.from.0), (Growth::Steady, Timestamp::from_secs(START)), "{trend:?}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn noise_alone_is_never_a_leak(values in proptest::collection::vec(0.0..8.0f64, 240)) {
        let trend = watched(20, |hour| Some((100.0 + values[(hour * 12.0) as usize % 240]) * MB));
        prop_assert_ne!(trend.growth, Growth::Leaking);
    }

    #[test]
    fn a_leak_stays_one_under_noise_and_where_it_is_larger(slope in 1.0..10.0f64, more in 1.0..4.0f64, values in proptest::collection::vec(0.0..4.0f64, 240)) {
        let leak = |slope: f64| watched(20, |hour| Some((100.0 + slope * hour + values[(hour * 12.0) as usize % 240]) * MB));
        prop_assert_eq!(leak(slope).growth, Growth::Leaking);
        prop_assert_eq!(leak(slope * more).growth, Growth::Leaking);
    }

    #[test]
    fn neither_the_date_nor_the_level_changes_the_growth(days in 0..2000u64, level in 0.0..50.0f64, slope in 0.0..3.0f64) {
        let trend = |days: u64, level: f64| {
            let mut watch = LeakWatch::default();
            feed(&mut watch, START + days * 86_400, 12, |hour| Some((50.0 + level + slope * hour) * MB + noise(hour)));
            watch.trend(&RULES).unwrap()
        };
        let (here, there) = (trend(0, 0.0), trend(days, level));
        prop_assert!((here.slope_bytes_per_hour - there.slope_bytes_per_hour).abs() <= 2_000, "{here:?} {there:?}");
        prop_assert_eq!(here.windows, there.windows);
    }

    #[test]
    fn no_polls_however_odd_make_it_panic(polls in proptest::collection::vec((any::<ProcessPoll>(), any::<u32>(), any::<u64>(), any::<u64>(), 0..3u32), 0..400), hours in 0..400u64) {
        let mut watch = LeakWatch::default();
        for (index, (mut process, clients, operations, at, kind)) in polls.into_iter().enumerate() {
            let at = if kind == 0 { at } else { START * 1_000_000 + index as u64 * hours * 100_000_000 };
            if kind != 0 {
                (process.pid, process.started) = (1, Timestamp::from_secs(START - 3600));
            }
            watch.take(&process, Load { clients, operations }, Timestamp::new(at), &RULES);
        }
        if let Some(trend) = watch.trend(&RULES) {
            prop_assert!(trend.slope_low <= trend.slope_high);
        }
    }
}
