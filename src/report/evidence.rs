//! What happened that speaks for a verdict.

use super::model::Evidence;
use super::words;
use crate::judge::criterion::Criterion;
use crate::judge::history::History;
use crate::judge::measure::Measure;

/// Enough to begin looking; the incident log has the rest.
const MOST: usize = 5;

/// The events behind a criterion's measures, the first few.
pub fn evidence(criterion: &Criterion, history: &History) -> Vec<Evidence> {
    let mut all: Vec<Evidence> = criterion.limits.iter().flat_map(|limit| of_measure(limit.measure, history)).collect();
    all.sort_by(|one, other| (one.at, &one.what).cmp(&(other.at, &other.what)));
    all.dedup();
    all.truncate(MOST);
    all
}

fn of_measure(measure: Measure, history: &History) -> Vec<Evidence> {
    match measure {
        Measure::ServersDownTime | Measure::ServersDisconnections | Measure::ServersSlowestRecovery => servers(history),
        Measure::HubDownTime => {
            let stretches = history.hub.unreachable.iter();
            stretches.map(|gone| plain(gone.from, format!("{}, {}", gone.reason, words::duration(gone.duration_us)))).collect()
        }
        Measure::HubEnds => {
            let how = |stop: &crate::judge::history::HubStop| match (&stop.cause, &stop.signal) {
                (Some(cause), _) => format!("the hub ended: {cause}"),
                (None, Some(signal)) => format!("the hub ended: it received {signal}"),
                (None, None) => "the hub ended".to_owned(),
            };
            history.hub.stops.iter().chain(&history.hub.exits).map(|stop| plain(stop.at, how(stop))).collect()
        }
        Measure::GeminiFailedShare | Measure::GeminiNotFallenBack => history
            .calls
            .last_failed_rounds
            .iter()
            .map(|round| plain(round.at, format!("a Gemini round: {}", round.failure)))
            .collect(),
        Measure::LogGrowthPerDay => {
            let storm = |(line, storm): (&String, &crate::judge::history::StormHistory)| {
                plain(storm.first, format!("{} in {} repetitions of: {line}", words::bytes(storm.bytes), storm.lines))
            };
            history.log.storms.iter().map(storm).collect()
        }
        _ => Vec::new(),
    }
}

fn servers(history: &History) -> Vec<Evidence> {
    let expected = history.servers.0.values().filter(|server| server.should_work());
    let downs = expected.flat_map(|server| server.down.iter().map(move |down| (server, down)));
    let told = |(server, down): (&crate::judge::history::ServerHistory, &crate::judge::history::Stretch)| {
        plain(down.from, format!("{} down for {}: {}", server.name, words::duration(down.duration_us), down.reason))
    };
    downs.map(told).collect()
}

fn plain(at: crate::judge::moment::Moment, what: String) -> Evidence {
    Evidence { at, what, trace: None, trace_url: None }
}
