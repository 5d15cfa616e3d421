//! The servers over the period.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::life::{CountsAs, Life, LifeNews, News, Outage};
use super::{Planned, Timeline};
use crate::judge::moment::Moment;
use crate::judge::planned::Plans;
use crate::judge::rules::should_work;
use crate::judge::standing::Standing;
use crate::watch::{
    ApiOutcome, FactId, Liveness, Poll, ServerChanged, ServerFact, ServerPoll, Timestamp, ToolsChanged, Watch, When,
};

/// A server over the period.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ServerHistory {
    /// Its name.
    pub name: String,
    /// How the hub reaches it.
    pub transport: String,
    /// The status that the hub last claimed.
    pub last_status: String,
    /// Whether it works, as last judged.
    pub last_liveness: Liveness,
    /// What that counts as.
    #[serde(default)]
    pub counts_as: CountsAs,
    /// The same with what is expected of it: what is shown.
    #[serde(default)]
    pub standing: Standing,
    /// Why.
    pub last_reason: String,
    /// The hub's last error text about it.
    pub last_error: Option<String>,
    /// The states in which it may be, where somebody said so.
    pub expected: Vec<String>,
    /// Whether it never worked in the period.
    pub never_up: bool,
    /// When it was removed from the hub's configuration, if it was and did not come back.
    #[serde(default)]
    pub removed: Option<Moment>,
    /// The fewest tools while it worked.
    pub tools_min: Option<u32>,
    /// The most tools.
    pub tools_max: Option<u32>,
    /// The tools that it last claimed to have.
    pub tools_last: u32,
    /// When it did not work though it should have; the last [`MAX_OUTAGES`](super::MAX_OUTAGES) of them.
    pub down: Vec<Outage>,
    /// How often it was down.
    #[serde(default)]
    pub outages: u64,
    /// How long it was down, together.
    #[serde(default)]
    pub down_us: u64,
    /// How much of that lies in no planned window.
    #[serde(default)]
    pub down_unplanned_us: u64,
    /// How long it worked, together.
    #[serde(default)]
    pub up_us: u64,
    /// How long it was neither up nor down: stopped on purpose, being started, not in the hub's configuration, or nothing was known of it.
    /// The three together are `coverage.span_us`.
    #[serde(default)]
    pub neither_us: u64,
    /// How often it ceased to work.
    #[serde(default)]
    pub disconnections: u64,
    /// Of these, those outside planned disturbances.
    #[serde(default)]
    pub disconnections_unplanned: u64,
    /// How often the number of its tools changed while it worked, planned disturbances left out.
    pub tool_changes: u64,
    /// Whether it worked, stretch by stretch.
    pub timeline: Timeline,
    #[serde(skip)]
    life: Life,
}

/// All servers by name, and from when on what happens to them counts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Servers(pub BTreeMap<String, ServerHistory>, Timestamp);

impl Servers {
    pub(super) fn new(from: Timestamp) -> Self {
        Self(BTreeMap::new(), from)
    }

    /// The watch begins then.
    pub(super) fn begin(&mut self, at: Timestamp) {
        self.1 = at;
        self.0.values_mut().for_each(|server| server.life.begin(at));
    }

    pub(in crate::judge) fn get(&mut self, name: &str) -> &mut ServerHistory {
        let from = self.1;
        self.0.entry(name.to_owned()).or_insert_with(|| ServerHistory::new(name, from))
    }

    /// A server changed.
    fn changed(&mut self, change: &ServerChanged, when: When, id: FactId, watch: &Watch) {
        self.stood_before(change, when, watch);
        let server = self.get(change.server.as_str());
        let news = News { liveness: change.to, reason: change.reason.as_str(), cause: change.cause, shown_by: Some(id) };
        server.turn(when, news);
    }

    /// What a fact changes of how a server stands.
    pub(super) fn stand(&mut self, fact: &ServerFact, when: When, id: FactId, watch: &Watch) {
        match fact {
            ServerFact::ServerChanged(change) => self.changed(change, when, id, watch),
            ServerFact::ServerStartFailed(_) | ServerFact::ToolsChanged(_) | ServerFact::ServersStarted(_) => {}
        }
    }

    /// How a server stood before it changed, where nothing else tells that.
    pub(super) fn fill_before(&mut self, fact: &ServerFact, when: When, watch: &Watch) {
        match fact {
            ServerFact::ServerChanged(change) => self.stood_before(change, when, watch),
            ServerFact::ServerStartFailed(_) | ServerFact::ToolsChanged(_) | ServerFact::ServersStarted(_) => {}
        }
    }

    fn stood_before(&mut self, change: &ServerChanged, when: When, watch: &Watch) {
        let before = News { liveness: change.from, reason: "it was so before it changed", cause: None, shown_by: None };
        self.get(change.server.as_str()).fill(watch, when, before);
    }

    /// What happened to servers. What changes how they stand was taken up before: it may be from before the period.
    pub(super) fn fact(&mut self, fact: &ServerFact, watch: &Watch, planned: Planned<'_>) {
        match fact {
            ServerFact::ServerStartFailed(failed) => {
                self.get(failed.server.as_str()).last_error = Some(failed.error.to_string());
            }
            ServerFact::ToolsChanged(change) => self.tools_changed(change, watch, planned),
            ServerFact::ServerChanged(_) => {}
            // It is said of all of them together: the hub's history has it.
            ServerFact::ServersStarted(_) => {}
        }
    }

    fn tools_changed(&mut self, change: &ToolsChanged, watch: &Watch, planned: Planned<'_>) {
        let polls = watch.poll.iter().flat_map(|poll| &poll.servers);
        let works = polls.filter(|server| server.liveness == Liveness::Up).any(|server| server.name == change.server);
        // From and to nothing is what a start or a stop looks like.
        if works && change.from > 0 && planned.is_none() {
            self.get(change.server.as_str()).tool_changes += 1;
        }
    }

    /// The state in a Watch after the period held before it, too, if nothing else shows the state.
    pub(super) fn fill(&mut self, poll: &Poll, watch: &Watch) {
        for seen in &poll.servers {
            self.get(seen.name.as_str()).fill(watch, When::At(watch.interval.end()), News::of_poll(seen));
        }
    }

    /// A poll shows the servers. One that the hub no longer lists is not judged any more.
    pub(super) fn poll(&mut self, poll: &Poll, watch: &Watch, at: Timestamp) {
        let at = When::At(at);
        for seen in &poll.servers {
            self.get(seen.name.as_str()).poll(seen, at, watch);
        }
        if poll.api.health != ApiOutcome::Ok || poll.api.servers != Some(ApiOutcome::Ok) || poll.servers.is_empty() {
            return;
        }
        let listed: BTreeSet<&str> = poll.servers.iter().map(|server| server.name.as_str()).collect();
        let gone = |server: &&mut ServerHistory| server.is_listed() && !listed.contains(server.name.as_str());
        for server in self.0.values_mut().filter(gone) {
            let reason = "the hub no longer lists it";
            server.turn(at, News { liveness: Liveness::Removed, reason, cause: None, shown_by: None });
        }
    }

    /// The hub does not serve: what becomes of its servers meanwhile is not known. One that is down stays so unless the watch says
    /// otherwise: it is one outage. One that was being started is started anew with its hub, however long that took before: so a watch
    /// that does not know since when it was starting comes to the same.
    pub(super) fn hub_down(&mut self, at: Timestamp) {
        let news = News { liveness: Liveness::Unknown, reason: "the hub did not answer", cause: None, shown_by: None };
        let stays_down = |server: &ServerHistory| server.life.is_down() && server.life.liveness() != Some(Liveness::Starting);
        for server in self.0.values_mut().filter(|server| server.is_listed() && !stays_down(server)) {
            server.turn(When::At(at), news);
        }
    }

    /// Nobody watched: what the servers were meanwhile is not known.
    pub(super) fn unseen(&mut self, from: Timestamp) {
        self.0.values_mut().filter(|server| server.is_listed()).for_each(|server| server.life.unseen(from));
    }

    /// The clock was set back from the first instant to the second.
    pub(super) fn set_back(&mut self, from: Timestamp, to: Timestamp) {
        self.0.values_mut().filter(|server| server.is_listed()).for_each(|server| server.life.set_back(from, to));
    }

    /// Time has passed.
    pub(super) fn advance(&mut self, to: Timestamp, plans: &Plans) {
        for server in self.0.values_mut() {
            server.life.advance(to);
            server.life.bound(plans);
        }
    }

    /// What happened to each since it was last asked.
    pub(in crate::judge) fn news(&mut self) -> Vec<ServerNews> {
        self.0.values_mut().map(ServerHistory::news).collect()
    }

    /// Closes what is open at the end of the period. A server that is expected and was never seen is reported, too: it was down for
    /// as long as the hub answered.
    pub(super) fn finish(&mut self, end: Timestamp, expected: &BTreeMap<String, Vec<String>>, plans: &Plans, hub: &Timeline) {
        for (name, states) in expected {
            self.get(name).expected.clone_from(states);
        }
        for server in self.0.values_mut() {
            // One that is unknown after a gap was there.
            if server.life.is_new() && server.should_work() {
                server.was_missing(hub);
            }
            server.finish(end, plans);
            server.standing = Standing::of(server.last_liveness, server.should_work(), server.counts_as.cause());
        }
    }
}

/// What happened to a server in a Watch.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::judge) struct ServerNews {
    pub name: String,
    pub life: LifeNews,
    pub error: Option<String>,
    /// Since when nothing more is known of it: the hub is gone, or the server is.
    pub left: Option<Timestamp>,
}

impl ServerHistory {
    fn new(name: &str, from: Timestamp) -> Self {
        Self {
            name: name.to_owned(),
            transport: "unknown".to_owned(),
            last_status: "unknown".to_owned(),
            last_liveness: Liveness::Unknown,
            counts_as: CountsAs::Unknown,
            standing: Standing::Unknown,
            last_reason: "it was never seen".to_owned(),
            last_error: None,
            expected: Vec::new(),
            never_up: true,
            removed: None,
            tools_min: None,
            tools_max: None,
            tools_last: 0,
            down: Vec::new(),
            outages: 0,
            down_us: 0,
            down_unplanned_us: 0,
            up_us: 0,
            neither_us: 0,
            disconnections: 0,
            disconnections_unplanned: 0,
            tool_changes: 0,
            timeline: Timeline::default(),
            life: Life::new(from),
        }
    }

    /// Returns whether it should work: every server should, unless the configuration says otherwise.
    pub fn should_work(&self) -> bool {
        should_work(&self.expected)
    }

    /// Whether all is well with it as it was last seen: it works, or it need not.
    pub fn is_well(&self) -> bool {
        matches!(self.counts_as, CountsAs::Up | CountsAs::OnPurpose) || !self.should_work()
    }

    /// Whether the hub has it, as far as is known.
    fn is_listed(&self) -> bool {
        self.life.liveness().is_some_and(|liveness| liveness != Liveness::Removed)
    }

    /// The first known state holds for the time before it in the same Watch, unless the run began with this Watch.
    fn fill(&mut self, watch: &Watch, when: When, news: News<'_>) {
        if self.life.is_blank() && super::continues_its_run(watch) {
            // After a gap it is known already whether it ever worked.
            if news.liveness != Liveness::Unknown && self.life.is_new() {
                self.life.was_there();
            }
            self.turn(When::At(watch.interval.start().min(when.latest())), news);
        }
    }

    fn poll(&mut self, seen: &ServerPoll, at: When, watch: &Watch) {
        self.transport = seen.transport.to_string();
        self.last_status = seen.status.to_string();
        let news = News::of_poll(seen);
        self.fill(watch, at, news);
        self.turn(at, news);
        if let Some(error) = &seen.error {
            self.last_error = Some(error.to_string());
        }
        self.tools_last = seen.tools;
        if seen.liveness == Liveness::Up {
            self.tools_min = Some(self.tools_min.map_or(seen.tools, |known| known.min(seen.tools)));
            self.tools_max = self.tools_max.max(Some(seen.tools));
        }
    }

    fn turn(&mut self, when: When, news: News<'_>) {
        self.last_liveness = news.liveness;
        news.reason.clone_into(&mut self.last_reason);
        self.never_up &= news.liveness != Liveness::Up;
        self.removed = (news.liveness == Liveness::Removed).then(|| self.removed.unwrap_or(Moment(when.latest())));
        if self.life.liveness() != Some(news.liveness) {
            self.life.turn(when, news);
        }
        self.counts_as = self.life.standing();
    }

    fn news(&mut self) -> ServerNews {
        let left = matches!(self.life.liveness(), Some(Liveness::Removed | Liveness::Unknown | Liveness::Disabled));
        ServerNews {
            name: self.name.clone(),
            life: self.life.news(),
            error: self.last_error.clone(),
            left: self.life.since().filter(|_| left),
        }
    }

    /// The hub answered and never listed it.
    fn was_missing(&mut self, hub: &Timeline) {
        for stretch in &hub.stretches {
            let liveness = if stretch.counts_as == CountsAs::Up { Liveness::Down } else { Liveness::Unknown };
            let news = News { liveness, reason: "the hub never listed it", cause: None, shown_by: None };
            self.life.turn(When::At(stretch.from.0), news);
        }
        self.counts_as = self.life.standing();
    }

    fn finish(&mut self, end: Timestamp, plans: &Plans) {
        let (down, tally) = self.life.finish(end, plans);
        self.down = down;
        (self.outages, self.down_us, self.down_unplanned_us) = (tally.outages, tally.down_us, tally.unplanned_us);
        (self.disconnections, self.disconnections_unplanned) = (tally.disconnections, tally.unplanned_disconnections);
        (self.up_us, self.neither_us) = (tally.up_us, tally.neither_us);
        self.timeline = std::mem::take(&mut self.life.timeline);
        self.counts_as = self.life.standing();
    }
}
