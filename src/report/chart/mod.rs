//! Charts as SVG, drawn here: [`plot`] draws numbers over time, [`lanes`] draws states over time, [`spark`] draws small ones of
//! characters. Colours and fonts come from the page's style sheet by class, so that light, dark and print are its business; what
//! a colour says is said by a dash, a height or a hatching, too.

pub mod lanes;
pub mod plot;
mod scale;
pub mod spark;
mod svg;

pub use scale::Unit;
pub use svg::escape;

use serde::Serialize;

use crate::watch::Timestamp;

/// The width of every chart, in its own units; the page scales it.
const WIDTH: f64 = 720.0;

/// A chart, ready for a page.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Chart {
    /// Its name inside the page.
    pub id: String,
    /// What it shows.
    pub title: String,
    /// The same for those who can't see it: what is highest, and when.
    pub description: String,
    /// The drawing.
    pub svg: String,
    /// What its lines and shades are.
    pub keys: Vec<Key>,
    /// What has to be known beside.
    pub note: Option<String>,
    /// The numbers, coarsely.
    pub table: Table,
}

/// An entry of a chart's legend.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Key {
    /// The class of its mark.
    pub class: String,
    /// Whether its mark is a line; otherwise it is an area.
    pub is_line: bool,
    /// What it stands for.
    pub name: String,
}

impl Key {
    fn line(class: &str, name: &str) -> Self {
        Self { class: class.to_owned(), is_line: true, name: name.to_owned() }
    }

    /// The key of an area.
    pub fn area(class: &str, name: &str) -> Self {
        Self { class: class.to_owned(), is_line: false, name: name.to_owned() }
    }
}

/// The numbers behind a chart.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Table {
    /// The columns' names.
    pub head: Vec<String>,
    /// The rows.
    pub rows: Vec<Vec<String>>,
}

/// The time that a chart shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// From when.
    pub from: Timestamp,
    /// To when.
    pub to: Timestamp,
}

impl Span {
    /// Where an instant lies: 0 at the beginning, 1 at the end.
    fn share(self, at: Timestamp) -> f64 {
        let length = self.to.since(self.from).get().max(1);
        // A clock that was set back can make a period end before it begins: all of it is at its beginning then.
        at.since(self.from).get().min(length) as f64 / length as f64
    }
}
