//! The simulator's handle: the caller controls virtual time and receives the hub's lines. Other hubs of the same user can run, too:
//! they write the same log file and the same list of workspaces.

use std::io;

use super::api::ApiAnswer;
use super::dialect::frame;
use super::event::Event;
use super::lines::Entry;
use super::notice::Notice;
use super::process::SimulatedProcess;
use super::profile::Profile;
use super::registry::Registry;
use super::sink::LogSink;
use super::step::Step;
use super::truth::Truth;
use super::world::World;
use crate::watch::Timestamp;

/// A hub in virtual time.
pub struct Simulation {
    pub(super) world: World,
    neighbours: Vec<World>,
}

/// Another hub of the same user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Neighbour(usize);

impl Simulation {
    /// Creates a hub that isn't running until [`Step::StartHub`]; virtual time begins at `start`.
    pub fn new(profile: Profile, start: Timestamp) -> Self {
        Self { world: World::new(profile, start), neighbours: Vec::new() }
    }

    /// Adds another hub of the same user, which isn't running until its own [`Step::StartHub`]. If its port is that of a running
    /// hub, it fails to start.
    pub fn neighbour(&mut self, profile: Profile) -> Neighbour {
        self.neighbours.push(World::new(profile, self.world.now));
        Neighbour(self.neighbours.len() - 1)
    }

    /// Plans a step of another hub.
    pub fn schedule_for(&mut self, neighbour: Neighbour, at: Timestamp, step: Step) {
        if let Some(world) = self.neighbours.get_mut(neighbour.0) {
            world.plan(at, Event::Step(step));
        }
    }

    /// Plans a step. A step in the virtual past happens at the next advance.
    pub fn schedule(&mut self, at: Timestamp, step: Step) {
        self.world.plan(at, Event::Step(step));
    }

    /// Runs all events that are due up to `to`, in time order, and writes the log file's lines. Virtual time never goes back. A
    /// line that is written at `to` itself can carry a time that is up to a millisecond later, because writing takes the hub time.
    pub fn advance(&mut self, to: Timestamp, log: &mut dyn LogSink) -> io::Result<()> {
        self.advance_noticing(to, log, &mut |_| {})
    }

    /// Advances like [`Self::advance`], and passes on each log entry, from which the lines of stdout and the event stream can be
    /// made.
    pub fn advance_watched(&mut self, to: Timestamp, log: &mut dyn LogSink, watch: &mut dyn FnMut(&Entry)) -> io::Result<()> {
        self.advance_noticing(to, log, &mut |notice| {
            if let Notice::Logged(entry) = notice {
                watch(entry);
            }
        })
    }

    /// Advances like [`Self::advance`], and passes on what each subscriber of the event stream receives: events in the hub's dialect, and
    /// `None` when all connections break.
    pub fn advance_streamed(&mut self, to: Timestamp, log: &mut dyn LogSink, hear: &mut dyn FnMut(Option<&str>)) -> io::Result<()> {
        let profile = self.world.profile.clone();
        let now = self.world.clock(to);
        self.advance_noticing(to, log, &mut |notice| match notice {
            Notice::Gone => hear(None),
            notice => {
                if let Some(frame) = frame(notice, &profile, now) {
                    hear(Some(&frame.text));
                }
            }
        })
    }

    pub(super) fn advance_noticing(
        &mut self,
        to: Timestamp,
        log: &mut dyn LogSink,
        notice: &mut dyn FnMut(&Notice),
    ) -> io::Result<()> {
        while let Some(index) = self.next(to) {
            let world = self.world_mut(index);
            let logger = world.profile.logger;
            let known = world.registry.clone();
            for each in world.step(to).iter().flatten() {
                match each {
                    Notice::LogTruncated => log.truncate()?,
                    Notice::Logged(entry) => log.line(&entry.file_line(logger))?,
                    _ => {}
                }
                if index == 0 {
                    notice(each);
                }
            }
            self.notify_others(index, &known);
        }
        self.worlds_mut().for_each(|world| world.wait_until(to));
        log.flush()
    }

    fn worlds_mut(&mut self) -> impl Iterator<Item = &mut World> {
        std::iter::once(&mut self.world).chain(&mut self.neighbours)
    }

    /// Returns the hub with the next event up to `to`, if there is one; the watched hub is the first.
    fn next(&self, to: Timestamp) -> Option<usize> {
        let worlds = std::iter::once(&self.world).chain(&self.neighbours).enumerate();
        let due = worlds.filter_map(|(index, world)| Some((world.next_due(to)?, index)));
        due.min().map(|(_, index)| index)
    }

    fn world_mut(&mut self, index: usize) -> &mut World {
        match index.checked_sub(1).and_then(|index| self.neighbours.get_mut(index)) {
            Some(neighbour) => neighbour,
            None => &mut self.world,
        }
    }

    /// Passes one hub's changes of the workspace list and of its port on to the other hubs.
    fn notify_others(&mut self, changer: usize, known: &Registry) {
        if self.neighbours.is_empty() {
            return;
        }
        let world = self.world_mut(changer);
        let registry = (world.registry != *known).then(|| world.registry.clone());
        let ports: Vec<Option<u16>> = self.worlds_mut().map(|world| world.listens_on()).collect();
        for (index, world) in self.worlds_mut().enumerate() {
            let mut others = ports.iter().enumerate().filter(|(other, _)| *other != index);
            world.port_taken = others.any(|(_, port)| *port == Some(world.profile.port));
            if let Some(registry) = registry.as_ref().filter(|_| index != changer) {
                world.registry_changed(registry);
            }
        }
    }

    /// Returns the virtual time.
    pub fn now(&self) -> Timestamp {
        self.world.now
    }

    /// Returns the current answer of `GET /api/health`.
    pub fn health(&self) -> ApiAnswer {
        self.world.health()
    }

    /// Returns the current answer of `GET /api/servers`.
    pub fn servers(&self) -> ApiAnswer {
        self.world.servers()
    }

    /// Returns the current answer of `GET /api/filtering/stats`.
    pub fn filtering_stats(&self) -> ApiAnswer {
        self.world.filtering_stats()
    }

    /// Returns the hub's process; `None` when it isn't running.
    pub fn process(&self) -> Option<SimulatedProcess> {
        self.world.process()
    }

    /// Returns the real events so far, in time order.
    pub fn truth(&self) -> &[Truth] {
        &self.world.truth
    }
}
