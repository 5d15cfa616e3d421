//! The simulator's handle: virtual time goes where its user says, and the hub's lines go where its user wants them.

use std::io;

use super::api::ApiAnswer;
use super::event::Event;
use super::lines::Entry;
use super::notice::Notice;
use super::process::SimulatedProcess;
use super::profile::Profile;
use super::sink::LogSink;
use super::step::Step;
use super::truth::Truth;
use super::world::World;
use crate::watch::Timestamp;

/// A hub in virtual time.
pub struct Simulation {
    pub(super) world: World,
}

impl Simulation {
    /// A hub that isn't running until [`Step::StartHub`]; virtual time begins at `start`.
    pub fn new(profile: Profile, start: Timestamp) -> Self {
        Self { world: World::new(profile, start) }
    }

    /// Plans a step. One that lies in the virtual past happens at the next advance.
    pub fn schedule(&mut self, at: Timestamp, step: Step) {
        self.world.plan(at, Event::Step(step));
    }

    /// Lets everything happen that is due up to `to`, in time order, and writes the log file's lines. Virtual time never goes
    /// back. A line that is written at `to` itself can carry a time that is up to a millisecond later: writing takes the hub time.
    pub fn advance(&mut self, to: Timestamp, log: &mut dyn LogSink) -> io::Result<()> {
        self.advance_noticing(to, log, &mut |_| {})
    }

    /// Like [`Self::advance`], and shows each log entry, from which the lines of stdout and the event stream can be made.
    pub fn advance_watched(&mut self, to: Timestamp, log: &mut dyn LogSink, watch: &mut dyn FnMut(&Entry)) -> io::Result<()> {
        self.advance_noticing(to, log, &mut |notice| {
            if let Notice::Logged(entry) = notice {
                watch(entry);
            }
        })
    }

    pub(super) fn advance_noticing(
        &mut self,
        to: Timestamp,
        log: &mut dyn LogSink,
        notice: &mut dyn FnMut(&Notice),
    ) -> io::Result<()> {
        let logger = self.world.profile.logger;
        while let Some(notices) = self.world.step(to) {
            for each in &notices {
                match each {
                    Notice::LogTruncated => log.truncate()?,
                    Notice::Logged(entry) => log.line(&entry.file_line(logger))?,
                    _ => {}
                }
                notice(each);
            }
        }
        log.flush()
    }

    /// Virtual time.
    pub fn now(&self) -> Timestamp {
        self.world.now
    }

    /// What `GET /api/health` gets now.
    pub fn health(&self) -> ApiAnswer {
        self.world.health()
    }

    /// What `GET /api/servers` gets now.
    pub fn servers(&self) -> ApiAnswer {
        self.world.servers()
    }

    /// What `GET /api/filtering/stats` gets now.
    pub fn filtering_stats(&self) -> ApiAnswer {
        self.world.filtering_stats()
    }

    /// The hub's process; `None` when it isn't running.
    pub fn process(&self) -> Option<SimulatedProcess> {
        self.world.process()
    }

    /// What really happened so far, in time order.
    pub fn truth(&self) -> &[Truth] {
        &self.world.truth
    }
}
