//! States over time, a lane each: what was up and down, what was planned, what happened.

use super::svg::{Anchor, RIGHT, Svg};
use super::{Chart, Key, Span, Table, WIDTH};
use crate::watch::Timestamp;

/// Room for the names of the lanes.
const NAMES: f64 = 150.0;
/// So many characters of a name fit there.
const NAME_LENGTH: usize = 20;
const TOP: f64 = 24.0;
const LANE: f64 = 26.0;
/// Anything narrower is not visible.
const LEAST_WIDTH: f64 = 2.0;
/// A text is this much wider for each of its characters.
const CHARACTER: f64 = 6.6;

/// A stretch of a lane.
#[derive(Debug, Clone)]
pub struct Block {
    /// From when to when.
    pub span: Span,
    /// What it is: `up`, `down`, `between`, `unknown`, `expected` (down, as it should be), `phase`, `planned`, `critical`, `warning`, `notice`.
    pub class: &'static str,
    /// What it is in words.
    pub name: String,
    /// A text to stand inside, if it fits.
    pub text: String,
}

/// A lane.
#[derive(Debug, Clone)]
pub struct Lane {
    /// Its name.
    pub name: String,
    /// What happened, in order.
    pub blocks: Vec<Block>,
}

/// A chart of lanes.
#[derive(Debug, Clone)]
pub struct Lanes<'a> {
    /// Its name inside the page.
    pub id: &'a str,
    /// What it shows.
    pub title: &'a str,
    /// What it says, for those who can't see it.
    pub description: String,
    /// Over which time.
    pub span: Span,
    /// From top to bottom.
    pub lanes: Vec<Lane>,
    /// What its marks are.
    pub keys: Vec<Key>,
}

impl Lanes<'_> {
    /// Draws it; `None` where there is nothing to draw.
    pub fn draw(&self) -> Option<Chart> {
        let lanes: Vec<&Lane> = self.lanes.iter().filter(|lane| !lane.blocks.is_empty()).collect();
        if lanes.is_empty() {
            return None;
        }
        let bottom = TOP + lanes.len() as f64 * LANE;
        let mut svg = Svg::new(self.id, bottom + 40.0, self.title, &self.description);
        svg.time_axis(self.span, NAMES, TOP, bottom);
        for (index, lane) in lanes.iter().enumerate() {
            let middle = TOP + (index as f64 + 0.5) * LANE;
            svg.text("tick", (NAMES - 8.0, middle + 4.0), Anchor::End, &cut(&lane.name));
            lane.blocks.iter().for_each(|block| self.block(&mut svg, block, middle));
        }
        Some(Chart {
            id: self.id.to_owned(),
            title: self.title.to_owned(),
            description: self.description.clone(),
            svg: svg.finish(),
            keys: self.keys.clone(),
            note: None,
            table: table(&lanes),
        })
    }

    fn x(&self, at: Timestamp) -> f64 {
        NAMES + self.span.share(at) * (WIDTH - RIGHT - NAMES)
    }

    fn block(&self, svg: &mut Svg, block: &Block, middle: f64) {
        let (from, to) = (self.x(block.span.from), self.x(block.span.to));
        let width = (to - from).max(LEAST_WIDTH);
        // What is down is higher than what is up: it is seen without its colour.
        let height = match block.class {
            "up" => 8.0,
            "unknown" | "expected" => 2.0,
            "notice" => 6.0,
            "between" => 12.0,
            _ => 18.0,
        };
        let corner = (from.min(WIDTH - RIGHT - width), middle - height / 2.0);
        svg.rect(&format!("block {}", block.class), corner, (width, height), &block.name);
        if !block.text.is_empty() && block.text.chars().count() as f64 * CHARACTER + 4.0 < width {
            svg.text("inside", (from + width / 2.0, middle + 4.0), Anchor::Middle, &block.text);
        }
    }
}

/// A name that fits beside its lane.
fn cut(name: &str) -> String {
    if name.chars().count() <= NAME_LENGTH { name.to_owned() } else { name.chars().take(NAME_LENGTH - 1).chain(['…']).collect() }
}

/// What is worth telling: everything but what was as it should be.
fn table(lanes: &[&Lane]) -> Table {
    let told = lanes.iter().flat_map(|lane| lane.blocks.iter().map(move |block| (lane, block)));
    let row = |(lane, block): (&&Lane, &Block)| {
        vec![lane.name.clone(), block.span.from.to_string(), block.span.to.to_string(), block.name.clone()]
    };
    let rows = told.filter(|(_, block)| block.class != "up").map(row).collect();
    Table { head: ["lane", "from", "to", "what"].map(str::to_owned).into(), rows }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_short_is_seen_and_what_is_long_is_cut() {
        let second = |second| Timestamp::from_secs(second);
        let span = Span { from: second(0), to: second(172_800) };
        let block = |from, to, class| Block {
            span: Span { from: second(from), to: second(to) },
            class,
            name: class.to_owned(),
            text: String::new(),
        };
        let blocks = vec![block(0, 172_790, "up"), block(172_790, 172_800, "down")];
        let lanes = Lanes {
            id: "l",
            title: "Lanes",
            description: "two states".to_owned(),
            span,
            lanes: vec![Lane { name: "a server with a very long name".to_owned(), blocks }],
            keys: Vec::new(),
        };
        let chart = lanes.draw().unwrap();
        assert!(chart.svg.contains("class=\"block down\" x=\"694\" y=\"28\" width=\"2\" height=\"18\""), "{}", chart.svg);
        assert!(chart.svg.contains(">a server with a ver…<"));
        assert_eq!(chart.table.rows.len(), 1);
    }
}
