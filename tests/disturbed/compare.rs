//! What is said of a session against what really happened in it.
//!
//! A watcher sees a hub only at its polls, and where its sources show more, at its lines. So a claim is right if the truth has it
//! within the polls around it, and something is missed only if the polls could have shown it.

use hubwatch::judge::incident::{Gravity, IncidentKind};
use hubwatch::sidecar::clock::HELD;
use hubwatch::simulator::{DownCause, Happening, UpCause};
use hubwatch::watch::{CallFact, FactKind, Micros, Pairing, Timestamp};
use serde_json::Value;

use super::play::{Played, Seen};
use super::session::{Disturbance, SECOND, Session, Veil};

/// How far a line's time and the truth may lie apart: the log has milliseconds, and is looked at ten times a second.
const SLACK: u64 = 3 * SECOND;

/// The hub's log has milliseconds: so far can a call's duration lie beside the truth.
const MEASURED: u64 = 5_000;

/// A server whose connection is gone shows that in two polls; and a fresh start shows no uptime for a second.
const FRESH: u64 = 3 * SECOND;

/// A stretch of time in which something really was so.
#[derive(Debug, Clone)]
struct Span {
    from: u64,
    to: u64,
    /// Why a server came back, if it did.
    ended: Option<Ended>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ended {
    Up(UpCause),
    PutAway,
    HubGone,
    Removed,
    Restarted,
}

impl Span {
    fn meets(&self, from: u64, to: u64) -> bool {
        from <= self.to && self.from <= to
    }
}

struct Compared<'a> {
    session: &'a Session,
    played: &'a Played,
    errors: Vec<String>,
}

/// What is wrong, in words.
pub(super) fn errors(session: &Session, played: &Played) -> Vec<String> {
    let mut compared = Compared { session, played, errors: Vec::new() };
    compared.names();
    compared.hub_ends();
    compared.hub_outages();
    compared.servers();
    compared.incidents();
    compared.calls();
    compared.errors
}

fn micros(at: Timestamp) -> u64 {
    at.get()
}

impl Compared<'_> {
    fn wrong(&mut self, text: String) {
        self.errors.push(text);
    }

    fn polls(&self) -> &[Seen] {
        &self.played.polls
    }

    /// The true times that a time on the sidecar's clock can stand for: while that was wrong it was told what had happened since the
    /// poll before, too.
    fn unshifted(&self, at: u64) -> Vec<u64> {
        let start = micros(super::play::START);
        let held = u64::try_from(HELD.as_micros()).unwrap();
        let by_wrong_clock = |(from, to, veil): &(u64, u64, Veil)| {
            let Veil::Clock(ahead) = veil else { return None };
            let really = at.checked_add_signed(-ahead)?;
            let since = (start + from).saturating_sub((self.session.interval + 5) * SECOND);
            // It is believed, and what set it right, after a while.
            (since..=start + to + held + SECOND).contains(&really).then_some(really)
        };
        std::iter::once(at).chain(self.session.veils.iter().filter_map(by_wrong_clock)).collect()
    }

    /// The true stretches of time that a stretch on the sidecar's clock can stand for.
    fn unshifted_stretch(&self, (from, to): (u64, u64)) -> Vec<(u64, u64)> {
        let ends = if to == u64::MAX { vec![to] } else { self.unshifted(to) };
        let begins = self.unshifted(from);
        let pairs = begins.iter().flat_map(|from| ends.iter().map(|to| (*from, *to)));
        pairs.filter(|(from, to)| from <= to).collect()
    }

    /// Whether this holds for one of the true stretches that a claimed one can stand for.
    fn can_be(&self, claimed: (u64, u64), holds: impl Fn(u64, u64) -> bool) -> bool {
        self.unshifted_stretch(claimed).into_iter().any(|(from, to)| holds(from, to))
    }

    /// The last poll before `at` that was answered, but for the one at `at` itself.
    fn answered_before(&self, at: u64) -> u64 {
        let before = self.polls().iter().rev().filter(|seen| seen.answered && micros(seen.at) + SECOND < at);
        before.map(|seen| micros(seen.at)).next().unwrap_or(0)
    }

    /// The earliest time that a stretch can stand for. Of an end and a start between two polls of which neither's time is known, as
    /// when the hub's clock was set meanwhile, both are told at the second poll.
    fn since_when(&self, from: u64, to: u64) -> u64 {
        if from == to { self.answered_before(from) } else { from }
    }

    /// When the `nth` answered poll at or after `at` was.
    fn answered_after(&self, at: u64, nth: usize) -> Option<u64> {
        let after = self.polls().iter().filter(|seen| seen.answered && micros(seen.at) >= at);
        after.map(|seen| micros(seen.at)).nth(nth)
    }

    fn truth_times(&self, wanted: impl Fn(&Happening) -> bool) -> Vec<u64> {
        self.played.truth.iter().filter(|truth| wanted(&truth.what)).map(|truth| micros(truth.at)).collect()
    }

    fn moments(&self, list: &Value) -> Vec<u64> {
        list.as_array().unwrap().iter().map(|each| moment(&each["at"])).collect()
    }

    /// Each stop and each end without a word that is claimed is one that happened, and none is claimed twice.
    fn hub_ends(&mut self) {
        let hub = serde_json::to_value(&self.played.assessment.history.hub).unwrap();
        let really = self.truth_times(|what| matches!(what, Happening::HubStopped { .. }));
        let stopping = self.truth_times(|what| matches!(what, Happening::HubStopping | Happening::HubStopped { .. }));
        let claimed: Vec<u64> = [self.moments(&hub["stops"]), self.moments(&hub["exits"])].concat();
        for at in &claimed {
            let fits = |truth: &u64| {
                self.unshifted(*at).iter().any(|at| (self.answered_before(*at).saturating_sub(SLACK)..=at + SLACK).contains(truth))
            };
            if !stopping.iter().any(fits) {
                self.wrong(format!("the hub is said to have ended at {}, and did not", self.word(*at)));
            }
        }
        if claimed.len() > really.len() {
            self.wrong(format!("{} ends of the hub are claimed, {} there were", claimed.len(), really.len()));
        }
        let starts = hub["starts"].as_array().unwrap().len();
        let started = self.truth_times(|what| matches!(what, Happening::HubStarted { .. })).len();
        if starts > started {
            self.wrong(format!("{starts} starts of the hub are claimed, {started} there were"));
        }
    }

    /// The stretches between two answered polls in which polls were not answered.
    fn silences(&self) -> Vec<(u64, u64, u64, Option<u64>)> {
        let mut silences: Vec<(u64, u64, u64, Option<u64>)> = Vec::new();
        let mut last_ok = None;
        let mut open = false;
        for seen in self.polls() {
            let at = micros(seen.at);
            match (seen.answered, last_ok) {
                (true, _) => {
                    if let (true, Some(last)) = (open, silences.last_mut()) {
                        last.3 = Some(at);
                    }
                    open = false;
                    last_ok = Some(at);
                }
                (false, Some(before)) if !open => {
                    silences.push((before, at, at, None));
                    open = true;
                }
                (false, Some(_)) => silences.last_mut().unwrap().2 = at,
                (false, None) => {}
            }
        }
        silences
    }

    /// From when to when the hub did not answer, as it is told.
    fn outages(&self) -> Vec<(u64, u64)> {
        let hub = serde_json::to_value(&self.played.assessment.history.hub).unwrap();
        stretches(&hub["unreachable"])
    }

    fn hub_outages(&mut self) {
        let claimed = self.outages();
        let away = self.away();
        let silences = self.silences();
        for (from, to) in &claimed {
            let is_right = self.can_be((*from, *to), |from, to| {
                let from = self.since_when(from, to);
                let silent = silences
                    .iter()
                    .any(|(before, .., after)| from <= after.unwrap_or(u64::MAX) && before.saturating_sub(SLACK) <= to);
                silent || away.iter().any(|away| away.meets(from.saturating_sub(SLACK), to.saturating_add(SLACK)))
            });
            if !is_right {
                self.wrong(format!("the hub is said not to have answered from {} to {}", self.word(*from), self.word(*to)));
            }
        }
        for (before, first, last, after) in &silences {
            let met = claimed.iter().any(|outage| self.can_be(*outage, |from, to| from <= *last + SECOND && *before <= to));
            if !met {
                self.wrong(format!(
                    "the hub did not answer from {} to {}, and nothing says so",
                    self.word(*first),
                    self.word(*last)
                ));
            }
            let _ = after;
        }
        self.hub_down_time(&claimed, &silences);
    }

    fn hub_down_time(&mut self, claimed: &[(u64, u64)], silences: &[(u64, u64, u64, Option<u64>)]) {
        let end = self.session.length + micros(super::play::START);
        let told: u64 = claimed.iter().map(|(from, to)| to.min(&end).saturating_sub(*from)).sum();
        let at_least: u64 = silences.iter().map(|(_, first, last, _)| last - first).sum();
        let at_most: u64 = silences.iter().map(|(before, .., after)| after.unwrap_or(end) - before).sum();
        // A stop and a start between two polls are told by the log alone.
        let between: u64 = self.away().iter().map(|away| away.to - away.from + SLACK).sum();
        if told + SECOND < at_least || told > at_most + between {
            self.wrong(format!(
                "the hub is said not to have answered for {} s, which was between {} s and {} s",
                told / SECOND,
                at_least / SECOND,
                (at_most + between) / SECOND
            ));
        }
    }

    /// When the hub's port was closed, from its first opening on.
    fn away(&self) -> Vec<Span> {
        let mut away: Vec<Span> = Vec::new();
        for truth in &self.played.truth {
            match truth.what {
                Happening::HubStopping | Happening::HubDeaf if away.last().is_none_or(|last| last.to != u64::MAX) => {
                    away.push(Span { from: micros(truth.at), to: u64::MAX, ended: None });
                }
                Happening::HubListening => {
                    if let Some(last) = away.last_mut() {
                        last.to = micros(truth.at);
                    }
                }
                _ => {}
            }
        }
        let end = self.session.length + micros(super::play::START);
        away.iter_mut().filter(|away| away.to == u64::MAX).for_each(|away| away.to = end);
        away
    }

    /// When a server did not work though nobody had stopped it.
    fn crashes(&self, name: &str) -> Vec<Span> {
        let mut crashes: Vec<Span> = Vec::new();
        for truth in &self.played.truth {
            let at = micros(truth.at);
            let mut end = |ended: Ended| {
                if let Some(open) = crashes.last_mut().filter(|crash| crash.ended.is_none()) {
                    open.to = at;
                    open.ended = Some(ended);
                }
            };
            match &truth.what {
                Happening::ServerDown { name: of, cause: DownCause::Crashed } if of == name => {
                    crashes.push(Span { from: at, to: u64::MAX, ended: None });
                }
                Happening::ServerUp { name: of, cause } if of == name => end(Ended::Up(*cause)),
                Happening::ServerPutAway { name: of } if of == name => end(Ended::PutAway),
                Happening::ServerRemoved { name: of } if of == name => end(Ended::Removed),
                Happening::ServersRestarted => end(Ended::Restarted),
                Happening::HubStopping | Happening::HubStopped { .. } => end(Ended::HubGone),
                _ => {}
            }
        }
        let end = self.session.length + micros(super::play::START);
        crashes.iter_mut().filter(|crash| crash.ended.is_none()).for_each(|crash| crash.to = end);
        crashes
    }

    /// Only the hub's own servers are told of.
    fn names(&mut self) {
        let listed: std::collections::BTreeSet<&String> = self.polls().iter().flat_map(|seen| &seen.servers).collect();
        let known = self.played.assessment.history.servers.0.keys();
        let invented: Vec<&String> = known.filter(|name| !listed.contains(name)).collect();
        if !invented.is_empty() {
            let text = format!("the hub has no servers {invented:?}");
            self.wrong(text);
        }
    }

    fn servers(&mut self) {
        let servers = self.played.assessment.history.servers.0.iter();
        let known: Vec<(String, Value)> =
            servers.map(|(name, server)| (name.clone(), serde_json::to_value(server).unwrap())).collect();
        for (name, server) in &known {
            // It never comes up, and so is no matter of outages.
            if name != "github" {
                self.server(name, server);
            }
        }
    }

    fn server(&mut self, name: &str, server: &Value) {
        let crashes = self.crashes(name);
        let claimed = stretches(&server["down"]);
        for (index, (from, to)) in claimed.iter().enumerate() {
            let reached = |crash: &&Span| {
                let late = self.answered_after(crash.to, 2).unwrap_or(u64::MAX);
                self.can_be((*from, *to), |from, to| {
                    from <= late.saturating_add(SLACK) && crash.from <= to.saturating_add(SLACK) && from + SLACK >= crash.from
                })
            };
            let Some(crash) = crashes.iter().find(reached) else {
                self.wrong(format!("server {name} is said to have been down from {} to {}", self.word(*from), self.word(*to)));
                continue;
            };
            let crash = crash.clone();
            self.recovery(name, &server["down"][index]["ending"], &crash);
        }
        for crash in &crashes {
            let shown = self.answered_after(crash.from + FRESH, 1).is_some_and(|poll| poll + SECOND < crash.to);
            let met = claimed.iter().any(|outage| self.can_be(*outage, |from, to| crash.meets(from, to)));
            if shown && !met {
                self.wrong(format!("server {name} crashed at {}, and nothing says so", self.word(crash.from)));
            }
        }
        if claimed.len() > crashes.len() {
            self.wrong(format!("server {name} is said to have been down {} times, and was {} times", claimed.len(), crashes.len()));
        }
    }

    /// No simulated hub brings a server back by itself.
    fn recovery(&mut self, name: &str, ending: &Value, crash: &Span) {
        // Where no source shows the request, nothing tells it from a recovery.
        let shows_requests = self.session.streams || self.session.interval == 1;
        if ending == "recovered" && shows_requests {
            self.wrong(format!("server {name} is said to have recovered by itself; its outage ended: {:?}", crash.ended));
        }
    }

    fn incidents(&mut self) {
        let (away, silences) = (self.away(), self.silences());
        for incident in &self.played.assessment.incidents.clone() {
            let (from, to) = (micros(incident.start.0), incident.end.map_or(u64::MAX, |end| micros(end.0)));
            let hub_was_away = self.can_be((from, to), |from, to| {
                let from = self.since_when(from, to);
                silences.iter().any(|(before, .., after)| from <= after.unwrap_or(u64::MAX) && before.saturating_sub(SLACK) <= to)
                    || away.iter().any(|away| away.meets(from.saturating_sub(SLACK), to.saturating_add(SLACK)))
            });
            let crashed = || {
                self.crashes(&incident.subject).iter().any(|crash| {
                    let late = self.answered_after(crash.to, 2).unwrap_or(u64::MAX);
                    let meets = |from: u64, to: u64| from <= late.saturating_add(SLACK) && crash.from <= to.saturating_add(SLACK);
                    self.can_be((from, to), meets)
                })
            };
            let is_right = match incident.kind {
                IncidentKind::HubDown | IncidentKind::ApiFailing => hub_was_away,
                IncidentKind::ServerDown => crashed(),
                IncidentKind::ServerFlapping | IncidentKind::ServerReconnecting => false,
                IncidentKind::ServerNeverUp => incident.subject == "github",
                IncidentKind::ToolsLost | IncidentKind::ToolsChanged => false,
                IncidentKind::ClockJumped => self.session.has(Disturbance::ClockJump),
                // A hub that starts again and again writes the errors of its start again and again.
                IncidentKind::ErrorSpike | IncidentKind::ErrorRate => true,
                _ => incident.severity != Gravity::Critical,
            };
            if !is_right {
                self.wrong(format!("incident {} {} at {}: {}", incident.kind, incident.subject, self.word(from), incident.title));
            }
        }
        for (_, first, last, _) in &silences {
            let told = self.played.assessment.incidents.iter().any(|incident| {
                let (from, to) = (micros(incident.start.0), incident.end.map_or(u64::MAX, |end| micros(end.0)));
                matches!(incident.kind, IncidentKind::HubDown | IncidentKind::ApiFailing)
                    && self.can_be((from, to), |from, to| from <= last + SECOND && *first <= to.saturating_add(SECOND))
            });
            if !told && last - first > 2 * SECOND {
                self.wrong(format!(
                    "no incident for the hub that did not answer from {} to {}",
                    self.word(*first),
                    self.word(*last)
                ));
            }
        }
    }

    /// Calls are counted where the checkpoint lines are seen, each once, and their time is theirs.
    fn calls(&mut self) {
        if !self.session.shows_calls() {
            return;
        }
        let really: Vec<u64> = self
            .played
            .truth
            .iter()
            .filter_map(
                |truth| if let Happening::CallEnded { start, end, .. } = truth.what { Some(end.since(start).get()) } else { None },
            )
            .collect();
        let facts = self.played.watches.iter().flat_map(|watch| &watch.facts);
        let calls =
            facts.filter_map(|fact| if let FactKind::Call(CallFact::CallEnded(call)) = &fact.kind { Some(call) } else { None });
        let claimed: Vec<(Option<u64>, Pairing)> = calls.map(|call| (call.duration.map(Micros::get), call.pairing)).collect();
        if claimed.len() != really.len() {
            self.wrong(format!("{} calls are told, {} there were", claimed.len(), really.len()));
        }
        let known = || claimed.iter().filter_map(|(took, pairing)| took.map(|took| (took, *pairing)));
        let (told, were): (u64, u64) = (known().map(|(took, _)| took).sum(), really.iter().sum());
        if known().count() == claimed.len() && told.abs_diff(were) > MEASURED * really.len() as u64 {
            self.wrong(format!("the calls are said to have taken {told} µs, and took {were} µs"));
        }
        for (took, _) in known().filter(|(_, pairing)| *pairing == Pairing::Exact) {
            if !really.iter().any(|really| really.abs_diff(took) <= MEASURED) {
                self.wrong(format!("a call is said to have taken {took} µs, and the calls took {really:?} µs"));
            }
        }
        let untimed = claimed.iter().filter(|(took, pairing)| took.is_none() && *pairing != Pairing::Partial).count();
        let clock_was_set = self.session.clock_set.is_some() || self.session.has(Disturbance::ClockJump);
        if untimed > 0 && !clock_was_set {
            self.wrong(format!("{untimed} calls are said to be of unknown duration though no clock was set"));
        }
    }

    /// A time, as seconds of the session.
    fn word(&self, at: u64) -> String {
        let start = micros(super::play::START);
        let seconds = (i128::from(at) - i128::from(start)) / 100_000;
        format!("{}.{} s", seconds / 10, (seconds % 10).abs())
    }
}

/// A time in a report.
fn moment(value: &Value) -> u64 {
    Timestamp::parse(value.as_str().unwrap()).unwrap().get()
}

fn stretches(list: &Value) -> Vec<(u64, u64)> {
    let each = list.as_array().unwrap().iter();
    each.map(|stretch| {
        let to = if stretch["to"].is_null() { u64::MAX } else { moment(&stretch["to"]) };
        (moment(&stretch["from"]), to)
    })
    .collect()
}
