//! Down time, outages and their incidents: periods in which a figure that looks right would be wrong, with their right verdicts.

mod period;

use hubwatch::judge::history::{CountsAs, Ending, Outage, ServerHistory};
use hubwatch::judge::incident::{Incident, IncidentKind};
use hubwatch::judge::verdict::Verdict;
use hubwatch::judge::{Assessment, Judge};
use hubwatch::watch::*;
use period::*;

const CONNECTED: &str = "integration.servers_connected";
const DISCONNECTIONS: &str = "integration.no_unexpected_disconnections";
const RECOVERY: &str = "degradation.server_recovery";
const UPTIME: &str = "stability.uptime";
const MINUTE: u64 = 60_000_000;

fn at(minute: u64) -> Timestamp {
    START.plus(Micros::new(minute * MINUTE))
}

fn seconds(count: u64) -> Micros {
    Micros::new(count * 1_000_000)
}

/// A quiet day.
fn day() -> Vec<Watch> {
    quiet(DAY).watches()
}

fn show(watches: &mut [Watch], liveness: Liveness, minutes: std::ops::Range<usize>) {
    for watch in &mut watches[minutes] {
        watch.poll.as_mut().unwrap().servers[0].liveness = liveness;
    }
}

fn caused(from: Liveness, to: Liveness, cause: ChangeCause) -> ServerChanged {
    ServerChanged { cause: Some(cause), ..changed(from, to) }
}

fn between(watches: &[Watch], from: Timestamp, to: Timestamp) -> Assessment {
    let mut judge = Judge::between(Vec::new(), (from, to), None);
    watches.iter().for_each(|watch| drop(judge.take(watch)));
    judge.assess(to)
}

fn server(assessment: &Assessment) -> &ServerHistory {
    &assessment.history.servers.0["filesystem"]
}

fn only(outages: &[Outage]) -> &Outage {
    assert_eq!(outages.len(), 1, "{outages:#?}");
    &outages[0]
}

fn of_kind(assessment: &Assessment, kind: IncidentKind) -> Vec<&Incident> {
    assessment.incidents.iter().filter(|incident| incident.kind == kind).collect()
}

fn critical(assessment: &Assessment) -> Vec<&Incident> {
    let kinds = [IncidentKind::HubDown, IncidentKind::ServerDown, IncidentKind::ServerNeverUp];
    assessment.incidents.iter().filter(|incident| kinds.contains(&incident.kind)).collect()
}

/// The hub does not answer in these minutes.
fn silence(watches: &mut [Watch], minutes: std::ops::Range<usize>) {
    add_at(&mut watches[minutes.start], at(minutes.start as u64), HubUnreachable { outcome: ApiOutcome::Refused });
    for watch in &mut watches[minutes.clone()] {
        watch.poll = Some(poll(ApiOutcome::Refused, Liveness::Unknown, watch.interval.end()));
    }
    add_at(&mut watches[minutes.end], at(minutes.end as u64), HubReachable { restarted: None });
}

#[test]
fn a_server_that_does_not_come_back_after_a_planned_restart_is_down_from_the_windows_end() {
    let mut watches = day();
    planned(&mut watches, "restart", 100, 104);
    add_at(&mut watches[101], at(101), changed(Liveness::Up, Liveness::Unknown));
    show(&mut watches, Liveness::Unknown, 101..103);
    add_at(&mut watches[103], at(103), changed(Liveness::Unknown, Liveness::Down));
    show(&mut watches, Liveness::Down, 103..DAY as usize);
    let assessment = judge(&watches);
    let down = only(&server(&assessment).down);
    assert_eq!((down.from.0, down.to, down.unplanned_us), (at(103), None, (DAY - 105) * MINUTE));
    assert_eq!(down.planned.as_deref(), Some("restart"), "two of its minutes are planned");
    assert_eq!([CONNECTED, DISCONNECTIONS].map(|id| verdict(&assessment, id)), [Verdict::Fail; 2]);
    let incidents = of_kind(&assessment, IncidentKind::ServerDown);
    assert_eq!(incidents.iter().map(|incident| (incident.end, incident.planned.clone())).collect::<Vec<_>>(), [(None, None)]);
}

#[test]
fn a_window_of_twenty_seconds_excuses_twenty_seconds() {
    let mut watches = day();
    let begin = at(100);
    add_at(&mut watches[100], begin, MarkBegan { name: Text::from("restart") });
    add_at(&mut watches[100], begin.plus(seconds(20)), MarkEnded { name: Text::from("restart") });
    crash(&mut watches, 100, 36_000, false);
    let assessment = judge(&watches);
    let down = only(&server(&assessment).down);
    assert_eq!((down.duration_us, down.unplanned_us), (36_000_000_000, 35_980_000_000));
    assert_eq!([CONNECTED, DISCONNECTIONS].map(|id| verdict(&assessment, id)), [Verdict::Fail; 2]);
    assert_eq!(of_kind(&assessment, IncidentKind::ServerDown)[0].planned, None);
}

#[test]
fn an_outage_within_its_window_is_planned_whatever_the_poll_that_notices_its_end() {
    let mut watches = day();
    planned(&mut watches, "crash", 99, 100);
    add_at(&mut watches[100], at(100), changed(Liveness::Up, Liveness::Down));
    // Somewhere between the last poll in the window and the next one.
    add_at(&mut watches[101], at(102), changed(Liveness::Down, Liveness::Up));
    watches[101].facts.last_mut().unwrap().when = When::between(at(100).plus(seconds(30)), at(101).plus(seconds(10)));
    show(&mut watches, Liveness::Down, 100..101);
    let assessment = judge(&watches);
    let down = only(&server(&assessment).down);
    assert_eq!((down.duration_us, down.unplanned_us, down.planned.as_deref()), (70_000_000, 0, Some("crash")));
    assert_eq!([CONNECTED, DISCONNECTIONS].map(|id| verdict(&assessment, id)), [Verdict::Pass; 2]);
}

#[test]
fn a_period_that_begins_inside_an_outage_is_down_from_its_first_instant() {
    let mut watches = day();
    crash(&mut watches, 300, 12_000, false);
    for first in [400, 385] {
        let assessment = between(&watches[first..], at(400), at(DAY));
        let down = only(&server(&assessment).down);
        assert_eq!((down.from.0, down.duration_us, down.disconnection), (at(400), 100 * MINUTE, false));
        assert_eq!(verdict(&assessment, CONNECTED), Verdict::Fail);
        assert_eq!(verdict(&assessment, DISCONNECTIONS), Verdict::Fail.min(verdict(&assessment, DISCONNECTIONS)));
        let incident = of_kind(&assessment, IncidentKind::ServerDown)[0];
        assert_eq!((incident.start.0, incident.end.map(|end| end.0)), (at(400), Some(at(500))), "{incident:#?}");
    }
    let to_its_end = between(&watches[350..], at(350), at(450));
    assert!(server(&to_its_end).never_up);
    assert_eq!(critical(&to_its_end).iter().map(|incident| incident.kind).collect::<Vec<_>>(), [IncidentKind::ServerDown]);
}

#[test]
fn a_hub_outage_counts_from_the_periods_start_and_is_no_waiting_for_the_hub() {
    let mut watches = day();
    silence(&mut watches, 180..780);
    let whole = judge(&watches);
    assert_eq!(whole.history.hub.down_us, 600 * MINUTE);
    for (first, from) in [(240, at(240)), (180, at(180).plus(seconds(14))), (225, at(240))] {
        let assessment = between(&watches[first..], from, at(DAY));
        let hub = &assessment.history.hub;
        assert_eq!(hub.down_us, at(780).since(from).get());
        assert_eq!((only(&hub.unreachable).from.0, &hub.awaited), (from, &None));
        assert_eq!(verdict(&assessment, UPTIME), Verdict::Fail);
        let incident = of_kind(&assessment, IncidentKind::HubDown)[0];
        assert_eq!((incident.start.0, incident.end.map(|end| end.0)), (from, Some(at(780))));
        assert!(of_kind(&assessment, IncidentKind::HubAwaited).is_empty());
    }
}

#[test]
fn a_watch_waits_five_minutes_for_its_hub_and_then_the_hub_is_down() {
    let mut late = day();
    silence(&mut late, 0..3);
    let assessment = judge(&late);
    assert_eq!((assessment.history.hub.down_us, verdict(&assessment, UPTIME)), (0, Verdict::Pass));
    assert_eq!(assessment.history.hub.awaited.as_ref().map(|awaited| awaited.duration_us), Some(3 * MINUTE));
    let incident = of_kind(&assessment, IncidentKind::HubAwaited)[0];
    assert_eq!(incident.end.map(|end| end.0), Some(at(3)));

    let mut too_late = day();
    silence(&mut too_late, 0..600);
    let assessment = judge(&too_late);
    assert_eq!((assessment.history.hub.down_us, verdict(&assessment, UPTIME)), (595 * MINUTE, Verdict::Fail));
    assert_eq!(of_kind(&assessment, IncidentKind::HubDown)[0].start.0, at(5));
}

#[test]
fn a_restart_lasts_as_long_in_its_incident_as_in_the_down_time() {
    let mut watches = day();
    let (stop, start) = (at(100).plus(seconds(12)), at(100).plus(Micros::new(20_400_000)));
    add_at(&mut watches[100], stop, HubStopping { signal: Some(Text::from("SIGTERM")), cause: None });
    add_at(&mut watches[100], stop, HubStopped {});
    add_at(&mut watches[100], start, HubStarted { pid: Some(8) });
    let seen = |outcome, watches: &mut Vec<Watch>| {
        let poll = When::between(at(100).plus(seconds(10)), at(100).plus(seconds(15)));
        add_at(&mut watches[100], at(101), HubUnreachable { outcome });
        watches[100].facts.last_mut().unwrap().when = poll;
        add_at(&mut watches[100], at(100).plus(seconds(30)), HubReachable { restarted: Some(true) });
    };
    let told_by_lines = judge(&watches);
    seen(ApiOutcome::Refused, &mut watches);
    for assessment in [told_by_lines, judge(&watches)] {
        let hub = &assessment.history.hub;
        let incident = of_kind(&assessment, IncidentKind::HubDown)[0];
        assert_eq!((hub.down_us, only(&hub.unreachable).from.0), (8_400_000, stop));
        assert_eq!((incident.start.0, incident.end.map(|end| end.0)), (stop, Some(start)));
        assert_eq!(incident.title, "The hub shut down cleanly");
        assert_eq!(verdict(&assessment, UPTIME), Verdict::Fail);
    }
}

#[test]
fn a_proxys_page_is_no_answer_of_the_hub_though_no_fact_says_so() {
    let mut watches = day();
    watches[300].poll = Some(poll(ApiOutcome::ServerError, Liveness::Unknown, watches[300].interval.end()));
    let assessment = judge(&watches);
    assert_eq!((assessment.history.hub.down_us, verdict(&assessment, UPTIME)), (MINUTE, Verdict::Fail));
}

#[test]
fn a_server_that_is_down_on_both_sides_of_a_hub_restart_was_disconnected_once() {
    let mut watches = day();
    add_at(&mut watches[300], at(300), changed(Liveness::Up, Liveness::Down));
    add_at(&mut watches[310], at(310), caused(Liveness::Down, Liveness::Unknown, ChangeCause::Hub));
    add_at(&mut watches[312], at(312), changed(Liveness::Unknown, Liveness::Down));
    add_at(&mut watches[320], at(320), changed(Liveness::Down, Liveness::Up));
    show(&mut watches, Liveness::Down, 300..320);
    show(&mut watches, Liveness::Unknown, 310..312);
    let assessment = judge(&watches);
    let history = server(&assessment);
    assert_eq!((history.down_us, history.outages, history.disconnections), (18 * MINUTE, 2, 1));

    let mut broken = day();
    add_at(&mut broken[310], at(310), caused(Liveness::Up, Liveness::Unknown, ChangeCause::Hub));
    show(&mut broken, Liveness::Unknown, 310..312);
    show(&mut broken, Liveness::Down, 312..320);
    let assessment = judge(&broken);
    let history = server(&assessment);
    assert_eq!((history.down_us, history.disconnections), (8 * MINUTE, 1), "it worked before the restart, and not after");
    assert_eq!(verdict(&assessment, DISCONNECTIONS), Verdict::Fail);
}

#[test]
fn what_was_asked_for_is_no_disconnection_and_no_incident() {
    use ChangeCause::{Configured, Requested};
    use Liveness::{Disabled, Down, Removed, Starting, Up};
    let disabled = [(0, Up, Down, Requested), (1, Down, Disabled, Requested)];
    let restarted = [(0, Up, Down, Requested), (1, Down, Starting, Requested), (6, Starting, Up, Requested)];
    let removed = [(0, Up, Down, Configured), (1, Down, Removed, Configured)];
    for changes in [&disabled[..], &restarted[..], &removed[..]] {
        let mut watches = day();
        for (second, from, to, cause) in changes {
            add_at(&mut watches[100], at(100).plus(seconds(*second)), caused(*from, *to, *cause));
        }
        let last = changes.last().unwrap().2;
        show(&mut watches, last, 100..DAY as usize);
        if last == Removed {
            watches[100..].iter_mut().for_each(|watch| watch.poll.as_mut().unwrap().servers.clear());
        }
        let assessment = judge(&watches);
        let history = server(&assessment);
        assert_eq!((history.down_us, history.disconnections, critical(&assessment).len()), (0, 0, 0), "{changes:?}");
        assert_eq!([CONNECTED, DISCONNECTIONS].map(|id| verdict(&assessment, id)), [Verdict::Pass; 2], "{changes:?}");
        assert!(history.is_well() && history.removed.is_some() == (last == Removed));
    }
}

#[test]
fn a_server_that_was_stopped_on_request_is_not_down_in_a_period_that_begins_later() {
    let mut watches = day();
    add_at(&mut watches[100], at(100), caused(Liveness::Up, Liveness::Down, ChangeCause::Requested));
    show(&mut watches, Liveness::Down, 100..DAY as usize);
    for watch in &mut watches[100..] {
        watch.poll.as_mut().unwrap().servers[0].cause = Some(ChangeCause::Requested);
    }
    let assessment = between(&watches[400..], at(400), at(DAY));
    let history = server(&assessment);
    assert_eq!((history.down_us, history.counts_as), (0, CountsAs::OnPurpose));
}

#[test]
fn a_start_that_was_asked_for_and_fails_is_an_outage() {
    let mut watches = day();
    let second = |second| at(100).plus(seconds(second));
    add_at(&mut watches[100], second(0), caused(Liveness::Up, Liveness::Down, ChangeCause::Requested));
    add_at(&mut watches[100], second(5), caused(Liveness::Down, Liveness::Starting, ChangeCause::Requested));
    add_at(&mut watches[100], second(9), caused(Liveness::Starting, Liveness::Down, ChangeCause::Unprompted));
    show(&mut watches, Liveness::Down, 100..DAY as usize);
    let assessment = judge(&watches);
    let down = only(&server(&assessment).down);
    assert_eq!((down.from.0, down.to, down.disconnection), (second(9), None, true));
    assert_eq!(verdict(&assessment, CONNECTED), Verdict::Fail);

    let mut hangs = day();
    add_at(&mut hangs[100], second(0), caused(Liveness::Up, Liveness::Starting, ChangeCause::Requested));
    show(&mut hangs, Liveness::Starting, 100..DAY as usize);
    let assessment = judge(&hangs);
    assert_eq!(only(&server(&assessment).down).from.0, at(105), "a start may take five minutes");
}

#[test]
fn a_server_that_is_removed_while_it_is_down_was_down_until_then() {
    let mut watches = day();
    add_at(&mut watches[100], at(100), changed(Liveness::Up, Liveness::Down));
    show(&mut watches, Liveness::Down, 100..110);
    watches[110..].iter_mut().for_each(|watch| watch.poll.as_mut().unwrap().servers[0].name = Text::from("other"));
    let unsaid = judge(&watches);
    let removed = caused(Liveness::Down, Liveness::Removed, ChangeCause::Configured);
    add_at(&mut watches[110], at(110).plus(seconds(5)), removed);
    for (assessment, end) in [(unsaid, at(111)), (judge(&watches), at(110).plus(seconds(5)))] {
        let history = server(&assessment);
        let down = only(&history.down);
        assert_eq!((down.to.map(|to| to.0), down.ending), (Some(end), Some(Ending::Removed)));
        assert_eq!(history.removed.map(|at| at.0), Some(end));
        assert_eq!(history.timeline.stretches.last().map(|stretch| stretch.to.0), Some(end));
        let incident = of_kind(&assessment, IncidentKind::ServerDown)[0];
        assert_eq!(incident.end.map(|end| end.0), Some(end));
    }
}

#[test]
fn a_server_that_somebody_restarted_shows_no_reconnection_of_the_hubs() {
    let mut watches = day();
    let back = Micros::new(19_800_000);
    add_at(&mut watches[100], at(100), changed(Liveness::Up, Liveness::Down));
    add_at(&mut watches[100], at(100).plus(seconds(19)), caused(Liveness::Down, Liveness::Starting, ChangeCause::Requested));
    add_at(&mut watches[100], at(100).plus(back), changed(Liveness::Starting, Liveness::Up));
    let assessment = judge(&watches);
    assert_eq!(only(&server(&assessment).down).ending, Some(Ending::ByHand));
    assert_eq!(verdict(&assessment, RECOVERY), Verdict::Fail);
    let incident = of_kind(&assessment, IncidentKind::ServerDown)[0];
    assert_eq!(incident.title, "Server filesystem was down until it was restarted by hand");

    let mut alone = day();
    crash(&mut alone, 100, 20, false);
    assert_eq!(verdict(&judge(&alone), RECOVERY), Verdict::Pass);
}

#[test]
fn an_outage_that_the_watch_saw_no_end_of_shows_no_quick_recovery() {
    let ends_after = |minutes: usize| {
        let mut watches = day();
        add_at(&mut watches[DAY as usize - minutes], at(DAY).minus(seconds(20)), changed(Liveness::Up, Liveness::Down));
        show(&mut watches, Liveness::Down, DAY as usize - 1..DAY as usize);
        verdict(&judge(&watches), RECOVERY)
    };
    assert_eq!(ends_after(1), Verdict::Inconclusive);
    let mut watches = day();
    add_at(&mut watches[100], at(100), changed(Liveness::Up, Liveness::Down));
    show(&mut watches, Liveness::Down, 100..DAY as usize);
    assert_eq!(verdict(&judge(&watches), RECOVERY), Verdict::Fail);
}

#[test]
fn one_error_each_six_minutes_for_six_hours_is_one_incident_of_sixty_errors() {
    let mut watches = day();
    for error in 0..60 {
        let lines = Lines { level: Level::Error, template: Text::from("it failed"), count: Count::new(1) };
        add(&mut watches[100 + error * 6], lines);
    }
    let assessment = judge(&watches);
    let incidents = of_kind(&assessment, IncidentKind::ErrorRate);
    let spans: Vec<_> =
        incidents.iter().map(|incident| (incident.start.0, incident.end.map(|end| end.0), incident.count)).collect();
    assert_eq!(spans, [(at(101), Some(at(455)), 60)]);
}

#[test]
fn a_server_that_flaps_five_times_flaps_once() {
    let mut watches = day();
    [100, 102, 104, 106, 108].into_iter().for_each(|minute| crash(&mut watches, minute, 20, false));
    let assessment = judge(&watches);
    let flapping = of_kind(&assessment, IncidentKind::ServerFlapping);
    assert_eq!(flapping.iter().map(|incident| incident.count).collect::<Vec<_>>(), [5]);
}

#[test]
fn what_is_about_the_hub_is_over_with_the_hub() {
    let mut watches = day();
    for watch in &mut watches[..600] {
        let process = watch.poll.as_mut().unwrap().process.as_mut().unwrap();
        process.rss = Bytes::new(8_000_000_000);
    }
    watches.truncate(601);
    add_at(&mut watches[600], at(600).plus(seconds(1)), HubStopping { signal: None, cause: None });
    watches[600].poll = None;
    let assessment = judge(&watches);
    let memory = of_kind(&assessment, IncidentKind::MemoryHigh)[0];
    assert_eq!(memory.end.map(|end| end.0), Some(at(600).plus(seconds(1))));
    assert_eq!(of_kind(&assessment, IncidentKind::HubDown)[0].end, None, "the hub has not come back");
}

#[test]
fn nobody_knows_what_a_server_did_while_nobody_watched() {
    let mut watches = day();
    add_at(&mut watches[100], at(100), changed(Liveness::Up, Liveness::Down));
    show(&mut watches, Liveness::Down, 100..400);
    watches.drain(200..300);
    let assessment = judge(&watches);
    let history = server(&assessment);
    assert_eq!((history.down_us, history.disconnections), (201 * MINUTE, 1), "the poll that shows that it works ends its minute");
    assert_eq!(
        history.down_us + history.up_us + MINUTE,
        assessment.history.coverage.covered_us,
        "a run's first poll ends its first minute"
    );
}

#[test]
fn three_hundred_thousand_flaps_are_counted_and_few_of_them_kept() {
    let mut watches = quiet(300).watches();
    for watch in &mut watches {
        let start = watch.interval.start();
        for flap in 0..1_000u64 {
            let at = |millis: u64| start.plus(Micros::new((flap * 60 + millis) * 1_000));
            add_at(watch, at(10), changed(Liveness::Up, Liveness::Down));
            add_at(watch, at(30), changed(Liveness::Down, Liveness::Up));
        }
    }
    let assessment = judge(&watches);
    let history = server(&assessment);
    // The first one is seen before anything is known of the server.
    assert_eq!((history.outages, history.down_us), (300_000, 300_000 * 20_000));
    assert!(history.down.len() <= 2_001 && history.timeline.stretches.len() <= 2_000);
    assert_eq!(of_kind(&assessment, IncidentKind::ServerFlapping).len(), 1);
    assert!(assessment.incidents.len() <= 10_002);
    assert_eq!(assessment.dropped_incidents, 290_000, "what is let go is counted");
}

#[test]
fn a_server_that_is_unknown_since_a_gap_at_the_periods_end_was_listed_and_was_not_disconnected() {
    let mut watches = quiet(120).watches();
    watches.drain(60..100);
    for (sequence, watch) in watches.iter_mut().enumerate() {
        watch.origin.sequence = Count::new(sequence as u64);
        // The watch is resumed, and has not polled yet.
        if sequence >= 60 {
            watch.poll = None;
        }
    }
    for to in [at(110), at(70)] {
        let assessment = between(&watches, at(0), to);
        assert!(server(&assessment).down.is_empty(), "{:#?}", server(&assessment).down);
        assert_eq!((server(&assessment).up_us, server(&assessment).disconnections), (59 * MINUTE, 0), "known since the first poll");
        assert_eq!(critical(&assessment), Vec::<&Incident>::new());
    }
}

#[test]
fn what_a_log_tells_of_counts_also_where_no_poll_was_made() {
    let mut watches = quiet(30).watches();
    for watch in &mut watches[1..] {
        watch.poll = None;
    }
    add_at(&mut watches[10], at(10), changed(Liveness::Up, Liveness::Down));
    add_at(&mut watches[20], at(20), HubExited { pid: None, cause: None });
    let assessment = between(&watches, at(5), at(30));
    assert_eq!(verdict(&assessment, DISCONNECTIONS), Verdict::Fail);
    assert_eq!(verdict(&assessment, "stability.no_restarts"), Verdict::Fail);
}

#[test]
fn an_outage_that_is_over_when_the_period_begins_is_none_of_it() {
    let mut watches = day();
    crash(&mut watches, 300, 3_600, false);
    let assessment = between(&watches, at(360), at(400));
    assert_eq!((server(&assessment).outages, server(&assessment).down_us), (0, 0));
}

#[test]
fn down_time_of_several_servers_is_said_to_be_a_sum_and_that_of_one_is_not() {
    for both in [false, true] {
        let mut watches = quiet(60).watches();
        crash(&mut watches, 30, 120, false);
        for (minute, watch) in watches.iter_mut().enumerate() {
            let servers = &mut watch.poll.as_mut().unwrap().servers;
            let liveness = if both && (40..42).contains(&minute) { Liveness::Down } else { Liveness::Up };
            servers.push(ServerPoll { name: Text::from("weather"), liveness, ..servers[0].clone() });
        }
        let of_weather = |from, to| ServerChanged { server: Text::from("weather"), ..changed(from, to) };
        if both {
            let [down, up] = [40, 42].map(|minute| watches[minute].interval.start());
            add_at(&mut watches[40], down, of_weather(Liveness::Up, Liveness::Down));
            add_at(&mut watches[42], up, of_weather(Liveness::Down, Liveness::Up));
        }
        let report = reported(&watches);
        let rows = report["criteria"].as_array().unwrap();
        let row = rows.iter().find(|row| row["id"] == "integration.servers_connected").unwrap();
        let expected = if both { "down time 4 min (sum over 2 servers)" } else { "down time 2 min" };
        assert!(row["value"].as_str().unwrap().split(", ").any(|value| value == expected), "{both}: {row:#}");
    }
}
