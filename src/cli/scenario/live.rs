//! What people see on stderr while scenarios run: each step as it ends, and what is awaited.

use std::io::{IsTerminal as _, Write as _};

use indicatif::{ProgressBar, ProgressStyle};

use super::super::Color;
use super::summary::{Style, symbol};
use crate::scenario::outcome::Tally;
use crate::scenario::run::{Audience, Event};
use crate::watch::StepVerdict;

/// The screen: stderr.
pub(super) struct Screen {
    /// What is awaited, on a terminal.
    awaited: ProgressBar,
    style: Style,
}

impl Screen {
    pub(super) fn new(color: Color) -> Self {
        let awaited = if std::io::stderr().is_terminal() { ProgressBar::new_spinner() } else { ProgressBar::hidden() };
        let style = ProgressStyle::with_template("  {spinner} {msg} ({elapsed})");
        awaited.set_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
        Self { awaited, style: Style::of_stderr(color) }
    }

    fn print(&self, line: &str) {
        self.awaited.suspend(|| {
            // Nobody may be looking any more: the scenario goes on.
            let _ = writeln!(std::io::stderr(), "{line}");
        });
    }
}

impl Audience for Screen {
    fn hear(&self, event: &Event<'_>) {
        match event {
            Event::Begins { scenario } => self.print(&format!("{}: {}", self.style.bold(scenario.word()), scenario.does())),
            Event::Conditions { conditions } => {
                let given: Vec<&str> = conditions.iter().filter_map(|condition| condition.seen.as_deref().ok()).collect();
                self.print(&format!("    {}", self.style.dim(&given.join("; "))));
            }
            Event::Refused { why, .. } => self.print(&format!("  {} {why}", self.style.of(StepVerdict::NotVerifiable, "not run:"))),
            Event::Awaiting { id, holds } => {
                self.awaited.reset_elapsed();
                self.awaited.set_message(format!("{id:<6} {holds}"));
                self.awaited.enable_steady_tick(std::time::Duration::from_millis(100));
            }
            Event::Step { step, .. } => {
                let mark = self.style.of(step.verdict, symbol(step.verdict));
                self.print(&format!("  {mark} {:<6} {}", step.id, step.holds));
                self.print(&format!("           {}", self.style.dim(&step.detail)));
                if let Some(link) = step.known_defect {
                    self.print(&format!("           {}", self.style.dim(link)));
                }
            }
            Event::Said(text) => self.print(&format!("    {text}")),
            Event::Ended { played } => {
                let tally = Tally::of(&played.steps);
                let took = played.ended.0.since(played.began.0).as_secs_f64();
                let verdict = Tally::verdict_of(&played.steps);
                self.print(&format!(
                    "  {}: {} held, {} failed, {} not verifiable, {} not applicable, in {took:.1} s\n",
                    self.style.of(verdict, super::summary::word(verdict)),
                    tally.passed,
                    tally.failed,
                    tally.not_verifiable,
                    tally.not_applicable
                ));
            }
        }
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        self.awaited.finish_and_clear();
    }
}
