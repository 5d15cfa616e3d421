//! How the hub and its servers stood, followed from the Watches by "Down time" of the document.

use std::collections::BTreeMap;

use hubwatch::watch::*;

use super::{Opinion, Place, Taken, Window, is_planned, place_of, us, whole};

/// "A start may take 5 min", and a hub is awaited for so long.
const PATIENCE: u64 = 5 * 60_000_000;
/// "What is not back after 30 s".
const RECOVERY: u64 = 30_000_000;

/// What a stretch of time counts as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Counts {
    Up,
    Down,
    OnPurpose,
    Starting,
    Unknown,
}

/// From then on it was so.
#[derive(Debug, Clone, Copy)]
struct Change {
    at: u64,
    /// The earliest instant at which it may have become so.
    earliest: u64,
    liveness: Liveness,
    counts: Counts,
    asked_for: bool,
    /// Nothing tells whether it was asked for.
    unexplained: bool,
    by_hub: bool,
}

/// All that is known of how one thing stood.
#[derive(Debug, Clone, Default)]
struct Course {
    changes: Vec<Change>,
    /// When patience with what lasts ends.
    patience: Option<u64>,
    /// Whether a gap was the last thing that happened.
    blind: bool,
    /// The first instant that counts.
    from: u64,
}

impl Course {
    fn last(&self) -> Option<&Change> {
        self.changes.last()
    }

    fn counts(&self) -> Counts {
        self.last().map_or(Counts::Unknown, |last| last.counts)
    }

    fn is_down(&self) -> bool {
        self.counts() == Counts::Down
    }

    fn is_known(&self) -> bool {
        !self.changes.is_empty() && !self.blind
    }

    /// Time passes: patience may end.
    fn pass(&mut self, to: u64) {
        let Some(late) = self.patience.filter(|patience| *patience < to) else { return };
        let Some(last) = self.last().copied() else { return };
        let at = late.max(last.at);
        let liveness = if last.liveness == Liveness::Starting { Liveness::Starting } else { Liveness::Down };
        self.patience = None;
        self.changes.push(Change {
            at,
            earliest: at,
            liveness,
            counts: Counts::Down,
            asked_for: false,
            unexplained: false,
            by_hub: false,
        });
        self.blind = false;
    }

    /// It is said to be so from then on.
    fn say(&mut self, earliest: u64, at: u64, liveness: Liveness, cause: Option<ChangeCause>) {
        if self.last().is_some_and(|last| last.liveness == liveness) {
            return;
        }
        self.force(earliest, at, liveness, cause);
    }

    fn force(&mut self, earliest: u64, at: u64, liveness: Liveness, cause: Option<ChangeCause>) {
        let at = self.last().map_or(at, |last| at.max(last.at));
        self.pass(at);
        let on_purpose = cause.is_some_and(|cause| cause != ChangeCause::Unprompted);
        let counts = match liveness {
            Liveness::Up => Counts::Up,
            Liveness::Disabled | Liveness::Removed => Counts::OnPurpose,
            Liveness::Unknown => Counts::Unknown,
            Liveness::Down | Liveness::Unauthorized | Liveness::Starting if self.is_down() => Counts::Down,
            Liveness::Down | Liveness::Unauthorized if on_purpose => Counts::OnPurpose,
            Liveness::Down | Liveness::Unauthorized => Counts::Down,
            Liveness::Starting if on_purpose || self.counts() == Counts::OnPurpose => Counts::OnPurpose,
            Liveness::Starting if self.counts() == Counts::Up => Counts::Down,
            Liveness::Starting => Counts::Starting,
        };
        self.patience = (liveness == Liveness::Starting && counts != Counts::Down)
            .then_some(if at + 1 == self.from { self.from } else { at } + PATIENCE);
        let asked_for = matches!(cause, Some(ChangeCause::Requested | ChangeCause::Configured));
        let (unexplained, by_hub) = (cause == Some(ChangeCause::Unknown), cause == Some(ChangeCause::Hub));
        self.changes.push(Change { at, earliest, liveness, counts, asked_for, unexplained, by_hub });
        self.blind = false;
    }

    /// Nobody watched from then on.
    fn blind(&mut self, from: u64) {
        if !self.changes.is_empty() {
            self.force(from, from, Liveness::Unknown, None);
            self.blind = true;
        }
    }

    /// What is learned first of it was so since the Watch's start, unless the Watch is the first of its run.
    fn learn(&mut self, watch: &Watch, at: u64, liveness: Liveness, cause: Option<ChangeCause>) {
        if !self.is_known() && watch.origin.sequence.get() > 0 {
            let at = at.min(us(watch.interval.start()));
            self.say(at, at, liveness, cause);
        }
    }
}

/// What a course comes to between two instants.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Sums {
    pub up: u64,
    pub down: u64,
    pub neither: u64,
    pub unplanned: u64,
    pub outages: u64,
    pub disconnections: u64,
    pub unplanned_disconnections: u64,
    pub recoveries: Vec<u64>,
    pub by_hand: u64,
}

/// How much of an interval lies outside all windows, as spans. The effects of a window are no part of it here.
fn outside(windows: &[Window], from: u64, to: u64) -> Vec<(u64, u64)> {
    let mut cuts: Vec<u64> = windows.iter().flat_map(|window| [window.from, window.end()]).chain([from, to]).collect();
    cuts.retain(|cut| from <= *cut && *cut <= to);
    cuts.sort_unstable();
    cuts.dedup();
    let mut free: Vec<(u64, u64)> = Vec::new();
    for pair in cuts.windows(2) {
        let inside = windows.iter().any(|window| window.from <= pair[0] && pair[1] <= window.end());
        match free.last_mut() {
            Some(last) if !inside && last.1 == pair[0] => last.1 = pair[1],
            _ if !inside => free.push((pair[0], pair[1])),
            _ => {}
        }
    }
    free
}

fn sums(course: &Course, windows: &[Window], (from, end): (u64, u64)) -> Sums {
    let mut sums = Sums::default();
    let changes = &course.changes;
    let until = |index: usize| changes.get(index + 1).map_or(end, |next| next.at);
    sums.neither = changes.first().map_or(end, |first| first.at).saturating_sub(from);
    for (index, change) in changes.iter().enumerate() {
        let lasted = until(index).saturating_sub(change.at.max(from));
        match change.counts {
            Counts::Up => sums.up += lasted,
            Counts::Down => sums.down += lasted,
            Counts::OnPurpose | Counts::Starting | Counts::Unknown => sums.neither += lasted,
        }
    }
    let mut index = 0;
    while index < changes.len() {
        if changes[index].counts != Counts::Down {
            index += 1;
            continue;
        }
        let over = (index..changes.len()).find(|later| changes[*later].counts != Counts::Down);
        outage(changes, (index, over), windows, (from, end), &mut sums);
        index = over.unwrap_or(changes.len());
    }
    sums
}

/// An outage: from its first change to the one that ends it.
fn outage(changes: &[Change], (first, over): (usize, Option<usize>), windows: &[Window], (from, end): (u64, u64), sums: &mut Sums) {
    let began = changes[first].at;
    let ended = over.map(|over| changes[over]);
    // What was over when the period began is none of its outages.
    if ended.is_some_and(|ended| ended.at < from || ended.at == from && began < from) {
        return;
    }
    let (begin, finish) = (began.max(from), ended.map_or(end, |ended| ended.at).max(began.max(from)));
    let mut free = outside(windows, begin, finish);
    let surely = ended.map_or(finish, |ended| ended.earliest);
    if free.last().is_some_and(|last| last.1 == finish && last.0 > begin && surely <= last.0) {
        free.pop();
    }
    let unplanned: u64 = free.iter().map(|(from, to)| to - from).sum();
    sums.outages += 1;
    sums.unplanned += unplanned;
    // Whether it worked when that was last known: what was switched off or removed meanwhile begins anew.
    let known = changes[..first].iter().rev().find(|change| {
        matches!(change.counts, Counts::Up | Counts::Down) || matches!(change.liveness, Liveness::Disabled | Liveness::Removed)
    });
    let disconnection = began >= from && known.is_some_and(|known| known.counts == Counts::Up);
    sums.disconnections += u64::from(disconnection);
    sums.unplanned_disconnections += u64::from(disconnection && (unplanned > 0 || !is_planned(windows, begin)));
    let asked_for = over.is_some_and(|over| changes[first + 1..=over].iter().any(|change| change.asked_for));
    let unexplained = over.is_some_and(|over| changes[first + 1..=over].iter().any(|change| change.unexplained));
    let works = ended.is_some_and(|ended| ended.counts == Counts::Up);
    let lasted = finish - begin;
    let recovered = works && !asked_for && !unexplained && ended.is_some_and(|ended| !ended.by_hub);
    if works && asked_for {
        sums.by_hand += 1;
    } else if recovered || lasted > RECOVERY {
        sums.recoveries.push(lasted);
    }
}

/// The hub's course, and what is remembered beside.
#[derive(Debug, Default)]
struct HubCourse {
    course: Course,
    /// A start that was told and that nothing has contradicted yet.
    told: Option<u64>,
    /// The last start that was told.
    last_start: Option<u64>,
    /// From when the hub was awaited, and until when if that is over.
    awaited: Option<(u64, Option<u64>)>,
}

impl HubCourse {
    fn is_awaiting(&self) -> bool {
        matches!(self.awaited, Some((_, None)))
    }

    fn say(&mut self, earliest: u64, at: u64, liveness: Liveness) {
        if let Some(told) = self.told.take()
            && self.course.is_down()
            && liveness == Liveness::Down
        {
            self.course.say(told, told, Liveness::Up, None);
        }
        self.course.say(earliest, at, liveness, None);
        self.settle();
    }

    fn settle(&mut self) {
        if self.is_awaiting()
            && let Some(last) = self.course.last()
            && last.counts != Counts::Unknown
        {
            self.awaited = self.awaited.map(|(from, _)| (from, Some(last.at)));
        }
    }

    fn answers(&mut self, earliest: u64, at: u64) {
        let (earliest, at) = self.told.take().map_or((earliest, at), |told| (told, told));
        self.say(earliest, at, Liveness::Up);
    }

    fn silent(&mut self, earliest: u64, at: u64, watch: &Watch) {
        let begins = watch.origin.run <= 1 && watch.origin.sequence.get() == 0;
        if !self.course.is_known() && self.awaited.is_none() && begins {
            let start = us(watch.interval.start());
            self.say(start, start, Liveness::Unknown);
            self.course.patience = Some(start + PATIENCE);
            self.awaited = Some((start, None));
        } else if !self.is_awaiting() {
            self.course.learn(watch, at, Liveness::Down, None);
            self.say(earliest, at, Liveness::Down);
        }
    }

    /// What a poll beyond the period tells of the time before it.
    fn learn(&mut self, poll: &Poll, watch: &Watch, at: u64) {
        let answers = poll.api.health == ApiOutcome::Ok;
        if answers || self.course.is_known() || watch.origin.run > 1 || watch.origin.sequence.get() > 0 {
            self.course.learn(watch, at, if answers { Liveness::Up } else { Liveness::Down }, None);
        } else {
            self.silent(at, at, watch);
        }
    }

    fn fact(&mut self, kind: &FactKind, earliest: u64, at: u64, watch: &Watch) {
        match kind {
            FactKind::Hub(HubFact::HubStarted(_)) => (self.told, self.last_start) = (Some(at), Some(at)),
            FactKind::Hub(HubFact::HubStopping(_)) => {
                self.course.learn(watch, at, Liveness::Up, None);
                self.say(earliest, at, Liveness::Down);
            }
            FactKind::Hub(HubFact::HubStopped(_)) if self.last_start.is_none_or(|start| start < at) => {
                self.say(earliest, at, Liveness::Down);
            }
            FactKind::Hub(HubFact::HubExited(_)) => {
                self.course.learn(watch, at, Liveness::Up, None);
                if self.last_start.is_none_or(|start| start < earliest) {
                    self.say(earliest, at, Liveness::Down);
                }
            }
            FactKind::Hub(HubFact::HubUnreachable(_)) => {
                self.course.learn(watch, at, Liveness::Up, None);
                self.told = None;
                self.silent(earliest, at, watch);
            }
            FactKind::Hub(HubFact::HubReachable(_)) => {
                self.course.learn(watch, at, Liveness::Down, None);
                self.answers(earliest, at);
            }
            _ => {}
        }
    }

    fn poll(&mut self, poll: &Poll, watch: &Watch, at: u64) {
        if poll.api.health != ApiOutcome::Ok {
            self.told = None;
            return self.silent(at, at, watch);
        }
        let fell = self.course.is_down() && self.course.last().is_some_and(|last| last.at > us(watch.interval.start()));
        let stops = poll.api.state.as_ref().is_some_and(|state| state.as_str().starts_with("stop"));
        if self.told.is_some() || !(fell || stops && self.course.is_down()) {
            self.course.learn(watch, at, Liveness::Up, None);
            self.answers(at, at);
        }
    }
}

/// Everything that is followed.
#[derive(Debug, Default)]
struct All {
    hub: HubCourse,
    servers: BTreeMap<String, Course>,
}

impl All {
    fn server(&mut self, name: &str) -> &mut Course {
        let from = self.hub.course.from;
        self.servers.entry(name.to_owned()).or_insert_with(|| Course { from, ..Course::default() })
    }

    /// The servers that the hub has, as far as is known.
    fn listed(&mut self) -> impl Iterator<Item = &mut Course> {
        self.servers.values_mut().filter(|course| course.last().is_some_and(|last| last.liveness != Liveness::Removed))
    }

    /// After something was said of the hub: what becomes of its servers while it is down is not known.
    fn hub_is_gone(&mut self, before: Option<u64>) {
        let Some(since) = self.down_since().filter(|since| before != Some(*since)) else { return };
        let stays = |course: &Course| course.is_down() && course.last().is_some_and(|last| last.liveness != Liveness::Starting);
        self.listed().filter(|course| !stays(course)).for_each(|course| course.say(since, since, Liveness::Unknown, None));
    }

    fn down_since(&self) -> Option<u64> {
        self.hub.course.last().filter(|last| last.counts == Counts::Down).map(|last| last.at)
    }

    fn fact(&mut self, fact: &Fact, (earliest, at): (u64, u64), watch: &Watch) {
        let before = self.down_since();
        self.hub.fact(&fact.kind, earliest, at, watch);
        self.hub_is_gone(before);
        if let FactKind::Server(ServerFact::ServerChanged(change)) = &fact.kind {
            let server = self.server(change.server.as_str());
            server.learn(watch, at, change.from, None);
            server.say(earliest, at, change.to, change.cause);
        }
    }

    /// What a change beyond the period tells of the time before it.
    fn before(&mut self, fact: &Fact, watch: &Watch) {
        let (at, gone) = (us(watch.interval.start()), self.down_since());
        match &fact.kind {
            FactKind::Hub(HubFact::HubStopping(_) | HubFact::HubExited(_) | HubFact::HubUnreachable(_)) => {
                self.hub.course.learn(watch, at, Liveness::Up, None);
            }
            FactKind::Hub(HubFact::HubReachable(_)) => self.hub.course.learn(watch, at, Liveness::Down, None),
            FactKind::Server(ServerFact::ServerChanged(change)) => {
                self.server(change.server.as_str()).learn(watch, at, change.from, None);
            }
            _ => {}
        }
        self.hub_is_gone(gone);
    }

    fn poll(&mut self, poll: &Poll, watch: &Watch, at: u64) {
        let before = self.down_since();
        self.hub.poll(poll, watch, at);
        self.hub_is_gone(before);
        for seen in &poll.servers {
            let server = self.server(seen.name.as_str());
            server.learn(watch, at, seen.liveness, seen.cause);
            server.say(at, at, seen.liveness, seen.cause);
        }
        let lists = poll.api.health == ApiOutcome::Ok && poll.api.servers == Some(ApiOutcome::Ok) && !poll.servers.is_empty();
        for (name, server) in &mut self.servers {
            let is_missing = !poll.servers.iter().any(|seen| seen.name.as_str() == name);
            if lists && is_missing && server.last().is_some_and(|last| last.liveness != Liveness::Removed) {
                server.say(at, at, Liveness::Removed, None);
            }
        }
    }

    fn pass(&mut self, to: u64) {
        self.hub.course.pass(to);
        self.hub.settle();
        self.servers.values_mut().for_each(|server| server.pass(to));
    }
}

/// What was followed: what is needed for other measures.
pub(super) struct Followed {
    /// At which of the Watches the hub was awaited when its poll was made.
    pub awaiting: Vec<bool>,
    /// Whether the hub was awaited and came, or was awaited for the whole time.
    pub was_awaited: bool,
}

/// Follows the states through the Watches, and says what they come to.
pub(super) fn follow(taken: &[Taken<'_>], (from, to): (u64, u64), opinion: &mut Opinion) -> Followed {
    let mut all = All::default();
    let mut awaiting = Vec::new();
    let (begin, end) = span(taken, (from, to));
    all.hub.course.from = begin;
    for taken in taken {
        let watch = &*taken.watch;
        if let Some(before) = taken.unseen_from {
            let before = before.min(to);
            all.listed().for_each(|server| server.blind(before));
            all.hub.course.blind(before);
            if let Some((since, None)) = all.hub.awaited {
                all.hub.awaited = Some((since, Some(before)));
            }
        }
        let mut facts: Vec<&Fact> = watch.facts.iter().collect();
        facts.sort_by_key(|fact| fact.when.latest());
        for fact in facts {
            if let Some(times) = told(fact, watch, (from, to)) {
                // "What was before anybody watched was so when the watch began."
                let times = if times.1 >= from && times.1 < begin { (begin - 1, begin - 1) } else { times };
                all.fact(fact, times, watch);
            } else if us(watch.interval.start()) < to && lies_beyond(fact, watch, (from, to)) {
                all.before(fact, watch);
            }
        }
        if let Some(poll) = &watch.poll {
            let end = us(watch.interval.end());
            match taken.place {
                Place::Before => all.poll(poll, watch, end.min(from - 1)),
                Place::Inside => all.poll(poll, watch, end),
                Place::Beyond if us(watch.interval.start()) < to => {
                    let before = all.down_since();
                    all.hub.learn(poll, watch, end);
                    all.hub_is_gone(before);
                    for seen in &poll.servers {
                        all.server(seen.name.as_str()).learn(watch, end, seen.liveness, seen.cause);
                    }
                }
                Place::Beyond => {}
            }
        }
        awaiting.push(all.hub.is_awaiting());
        all.pass(us(watch.interval.end()).min(to));
    }
    if let Some(told) = all.hub.told.take()
        && all.hub.course.is_down()
    {
        all.hub.say(told, told, Liveness::Up);
    }
    if let Some((since, None)) = all.hub.awaited {
        all.hub.awaited = None;
        all.hub.course.patience = Some(since);
    }
    all.pass(end);
    let windows = taken.last().map(|taken| taken.windows.clone()).unwrap_or_default();
    opinion.coverage.insert("span", end - begin);
    tell(&all, &windows, (begin, end), opinion);
    ends(taken, (from, to), opinion);
    tool_changes(taken, (from, to), opinion);
    Followed { awaiting, was_awaited: all.hub.awaited.is_some() }
}

/// From when to when the watch reaches: "a watch that began before the period or goes on after it reaches to the cut".
fn span(taken: &[Taken<'_>], (from, to): (u64, u64)) -> (u64, u64) {
    let Some(first) = taken.first() else { return (from, from) };
    let is_the_first = first.watch.origin.run <= 1 && first.watch.origin.sequence.get() == 0;
    let begin = if is_the_first { us(first.watch.interval.start()).clamp(from, to) } else { from };
    let ends = taken.iter().map(|taken| us(taken.watch.interval.end()).clamp(from, to));
    (begin, ends.max().unwrap_or(from).max(begin))
}

/// When a fact happened as far as it counts: nothing is told before it happened, and what happened before the period was so just before
/// it. Nothing for what is none of the period's and no context.
fn told(fact: &Fact, watch: &Watch, (from, to): (u64, u64)) -> Option<(u64, u64)> {
    let start = us(watch.interval.start());
    let latest = us(fact.when.latest()).min(us(watch.interval.end()));
    let at = match place_of(latest, start, (from, to)) {
        Place::Inside => latest.min(to),
        Place::Beyond => return None,
        Place::Before => {
            let late = watch.origin.sequence.get() > 0 && us(fact.when.latest()) + 15 * 60_000_000 >= from;
            if start >= from && !late {
                return None;
            }
            latest.min(from - 1)
        }
    };
    Some((us(fact.when.earliest()).min(at), at))
}

fn lies_beyond(fact: &Fact, watch: &Watch, period: (u64, u64)) -> bool {
    let latest = us(fact.when.latest()).min(us(watch.interval.end()));
    place_of(latest, us(watch.interval.start()), period) == Place::Beyond
}

fn tell(all: &All, windows: &[Window], period: (u64, u64), opinion: &mut Opinion) {
    let hub = sums(&all.hub.course, windows, period);
    opinion.measures.insert("hub.down_time", (whole(hub.unplanned), 0));
    let servers: BTreeMap<&str, Sums> =
        all.servers.iter().map(|(name, course)| (name.as_str(), sums(course, windows, period))).collect();
    let total = |pick: fn(&Sums) -> u64| servers.values().map(pick).sum::<u64>();
    let measures = &mut opinion.measures;
    measures.insert("servers.down_time", (whole(total(|sums| sums.unplanned)), 0));
    measures.insert("servers.disconnections", (whole(total(|sums| sums.unplanned_disconnections)), 0));
    // "A server that never worked in the period has nothing to recover."
    let recoveries: Vec<u64> =
        servers.values().filter(|sums| sums.up > 0).flat_map(|sums| sums.recoveries.iter().copied()).collect();
    let samples = recoveries.len() as u64;
    measures.insert("servers.slowest_recovery", (recoveries.iter().max().copied().and_then(whole), samples));
    let by_hand = total(|sums| sums.by_hand);
    measures.insert("servers.recovered_by_hand", (whole(by_hand), by_hand + samples));
    opinion.lives = servers.into_iter().map(|(name, sums)| (name.to_owned(), sums)).chain([(String::new(), hub)]).collect();
}

/// The ends of the hub's process: what it said of its stop, and ends without a word.
fn ends(taken: &[Taken<'_>], period: (u64, u64), opinion: &mut Opinion) {
    let (mut unplanned, mut is_stopping) = (0, false);
    for taken in taken {
        let mut facts: Vec<&Fact> = taken.watch.facts.iter().collect();
        facts.sort_by_key(|fact| fact.when.latest());
        for fact in facts {
            let at = us(fact.when.latest()).min(us(taken.watch.interval.end()));
            if place_of(at, us(taken.watch.interval.start()), period) != Place::Inside {
                continue;
            }
            let counts = match &fact.kind {
                FactKind::Hub(HubFact::HubStopping(_) | HubFact::HubExited(_)) => true,
                FactKind::Hub(HubFact::HubStopped(_)) => !is_stopping,
                _ => false,
            };
            match &fact.kind {
                FactKind::Hub(HubFact::HubStopping(_)) => is_stopping = true,
                FactKind::Hub(HubFact::HubStopped(_)) => is_stopping = false,
                _ => {}
            }
            unplanned += u64::from(counts && !is_planned(&taken.windows, at));
        }
    }
    opinion.measures.insert("hub.ends", (whole(unplanned), 0));
}

fn tool_changes(taken: &[Taken<'_>], period: (u64, u64), opinion: &mut Opinion) {
    let mut count = 0;
    for taken in taken {
        for fact in &taken.watch.facts {
            let FactKind::Server(ServerFact::ToolsChanged(change)) = &fact.kind else { continue };
            let at = us(fact.when.latest()).min(us(taken.watch.interval.end()));
            let inside = place_of(at, us(taken.watch.interval.start()), period) == Place::Inside;
            let mut servers = taken.watch.poll.iter().flat_map(|poll| &poll.servers);
            let works = servers.any(|seen| seen.name == change.server && seen.liveness == Liveness::Up);
            count += u64::from(inside && works && change.from > 0 && !is_planned(&taken.windows, at));
        }
    }
    opinion.measures.insert("servers.tool_changes", (whole(count), 0));
}
