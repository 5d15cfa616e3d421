//! Numbers over time: lines, the range between least and most, bars, limits, and stretches that are shaded.

use super::scale::{self, Unit};
use super::svg::{Anchor, LEFT, RIGHT, Svg};
use super::{Chart, Key, Span, Table, WIDTH};
use crate::watch::{Micros, Timestamp};

const HEIGHT: f64 = 230.0;
const TOP: f64 = 24.0;
const BOTTOM: f64 = HEIGHT - 40.0;
/// About so many marks on the axis of numbers.
const MARKS: u32 = 4;
/// Points that are further apart than this many of their buckets are not connected: the values between are unknown.
const GAP_BUCKETS: u64 = 3;
/// A limit so far above everything would press all else flat: it is named below the chart instead.
const FAR: f64 = 3.0;
/// So many points are shown one by one.
const FEW: usize = 80;
/// The least distance between two texts of the same column.
const TEXT_HEIGHT: f64 = 13.0;

/// The room that "time in UTC" takes at the right edge.
const UNIT_WIDTH: f64 = 80.0;
/// The rows of a chart's table.
const TABLE_ROWS: u64 = 12;

/// How numbers are drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Draw {
    /// A line through the points; the style is one of three, which differ in colour and dash.
    Line(u8),
    /// The range between two series of the same times, as an area behind the line of this style.
    Range(u8),
    /// A bar for each bucket, in one of three styles.
    Bars(u8),
}

impl Draw {
    fn class(self) -> String {
        match self {
            Self::Line(style) => format!("line s{style}"),
            Self::Range(style) => format!("range s{style}"),
            Self::Bars(style) => format!("bar s{style}"),
        }
    }
}

/// A number at a time: the second is the lower end of a range, and equal to the first for everything else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Point {
    /// The middle of what it stands for.
    pub at: Timestamp,
    /// The number.
    pub value: u64,
    /// The lower end.
    pub least: u64,
}

/// What is drawn.
#[derive(Debug, Clone)]
pub struct Trace {
    /// What it is.
    pub name: String,
    /// How.
    pub draw: Draw,
    /// How much time a point stands for.
    pub width: Micros,
    /// The points, in order.
    pub points: Vec<Point>,
}

/// A bound that the numbers must keep to.
#[derive(Debug, Clone)]
pub struct Limit {
    /// What it is.
    pub name: String,
    /// The number.
    pub value: u64,
}

/// A stretch of time that explains something.
#[derive(Debug, Clone)]
pub struct Shade {
    /// Its class: `blind` or `planned`.
    pub class: &'static str,
    /// From when to when.
    pub span: Span,
    /// What it was.
    pub name: String,
}

/// A fitted line.
#[derive(Debug, Clone)]
pub struct Fit {
    /// What it says.
    pub name: String,
    /// Its ends.
    pub ends: [(Timestamp, u64); 2],
}

/// A chart of numbers over time.
#[derive(Debug, Clone)]
pub struct Plot<'a> {
    /// Its name inside the page.
    pub id: &'a str,
    /// What it shows.
    pub title: &'a str,
    /// What is measured: the axis's name.
    pub quantity: &'a str,
    /// In which unit.
    pub unit: Unit,
    /// Over which time.
    pub span: Span,
    /// What is drawn, the first at the back.
    pub traces: Vec<Trace>,
    /// A fitted line.
    pub fit: Option<Fit>,
    /// Bounds.
    pub limits: Vec<Limit>,
    /// Stretches to shade.
    pub shades: Vec<Shade>,
}

impl Plot<'_> {
    /// Draws it; `None` where there is nothing to draw.
    pub fn draw(&self) -> Option<Chart> {
        let most = self.traces.iter().flat_map(|trace| &trace.points).max_by_key(|point| point.value)?;
        let near = |limit: &&Limit| (limit.value as f64) <= (most.value as f64) * FAR;
        let drawn: Vec<&Limit> = self.limits.iter().filter(near).collect();
        let top = drawn.iter().map(|limit| limit.value).fold(most.value, u64::max) as f64;
        let (unit, factor) = self.unit.named(top);
        let marks = scale::marks(top / factor, MARKS, self.unit == Unit::Count);
        let frame = Frame { span: self.span, top: marks.last().copied().unwrap_or(1.0) * factor };
        let description = self.description(most.value, most.at);
        let mut svg = Svg::new(self.id, HEIGHT, self.title, &description);
        for shade in &self.shades {
            let (from, to) = (frame.x(shade.span.from), frame.x(shade.span.to));
            svg.rect(&format!("shade {}", shade.class), (from, TOP), ((to - from).max(1.0), BOTTOM - TOP), &shade.name);
        }
        number_axis(&mut svg, &marks, factor, &frame);
        let axis = if unit.is_empty() { self.quantity.to_owned() } else { format!("{} ({unit})", self.quantity) };
        svg.text("tick unit", (4.0, 12.0), Anchor::Start, &axis);
        svg.time_axis(self.span, LEFT, TOP, BOTTOM);
        self.traces.iter().for_each(|trace| draw_trace(&mut svg, trace, &frame));
        if let Some(fit) = &self.fit {
            let ends = fit.ends.map(|(at, value)| (frame.x(at), frame.y(value)));
            svg.path("fit", &ends, false);
        }
        draw_limits(&mut svg, &drawn, &frame);
        let far = self.limits.iter().filter(|limit| !near(limit)).map(|limit| limit.name.clone());
        let far: Vec<_> = far.collect();
        let note = (!far.is_empty()).then(|| format!("Far above this chart: {}.", far.join("; ")));
        Some(Chart {
            id: self.id.to_owned(),
            title: self.title.to_owned(),
            description,
            svg: svg.finish(),
            keys: self.keys(!drawn.is_empty()),
            note,
            table: self.table(),
        })
    }

    fn description(&self, most: u64, at: Timestamp) -> String {
        let names: Vec<_> = self.traces.iter().map(|trace| trace.name.as_str()).collect();
        let limits: Vec<_> = self.limits.iter().map(|limit| limit.name.as_str()).collect();
        let limits = if limits.is_empty() { String::new() } else { format!(" Limits: {}.", limits.join("; ")) };
        format!(
            "{} from {} to {} ({}). The most is {} at {at}.{limits}",
            self.quantity,
            self.span.from,
            self.span.to,
            names.join(", "),
            self.unit.say(most)
        )
    }

    fn keys(&self, limits: bool) -> Vec<Key> {
        let of_trace = |trace: &Trace| match trace.draw {
            Draw::Line(_) => Key::line(&trace.draw.class(), &trace.name),
            Draw::Range(_) | Draw::Bars(_) => Key::area(&trace.draw.class(), &trace.name),
        };
        let mut keys: Vec<_> = self.traces.iter().map(of_trace).collect();
        keys.extend(self.fit.iter().map(|fit| Key::line("fit", &fit.name)));
        if limits {
            keys.push(Key::line("limit", "limit"));
        }
        for (class, name) in [("planned", "planned disturbance"), ("blind", "not watched")] {
            if self.shades.iter().any(|shade| shade.class == class) {
                keys.push(Key::area(&format!("shade {class}"), name));
            }
        }
        keys
    }

    fn table(&self) -> Table {
        let lines: Vec<&Trace> = self.traces.iter().filter(|trace| !matches!(trace.draw, Draw::Range(_))).collect();
        let head = std::iter::once("from (UTC)".to_owned());
        let head = head.chain(lines.iter().map(|trace| format!("{}, at most", trace.name))).collect();
        let row = |part: Span| {
            let most = |trace: &&Trace| {
                let inside = trace.points.iter().filter(|point| part.from <= point.at && point.at < part.to);
                inside.map(|point| point.value).max().map_or("–".to_owned(), |value| self.unit.say(value))
            };
            let minute = part.from.to_string().get(..16).map(|text| text.replace('T', " ")).unwrap_or_default();
            std::iter::once(minute).chain(lines.iter().map(most)).collect()
        };
        Table { head, rows: scale::parts(self.span, TABLE_ROWS).into_iter().map(row).collect() }
    }
}

/// The place of the numbers in the drawing.
struct Frame {
    span: Span,
    /// The number at the upper edge.
    top: f64,
}

impl Frame {
    fn x(&self, at: Timestamp) -> f64 {
        LEFT + self.span.share(at) * (WIDTH - RIGHT - LEFT)
    }

    fn y(&self, value: u64) -> f64 {
        BOTTOM - (value as f64 / self.top).min(1.0) * (BOTTOM - TOP)
    }
}

fn number_axis(svg: &mut Svg, marks: &[f64], factor: f64, frame: &Frame) {
    for mark in marks {
        let y = BOTTOM - (mark * factor / frame.top) * (BOTTOM - TOP);
        svg.line("grid", (LEFT, y), (WIDTH - RIGHT, y));
        svg.text("tick", (LEFT - 8.0, y + 4.0), Anchor::End, &scale::number(*mark));
    }
    svg.line("axis", (LEFT, TOP), (LEFT, BOTTOM));
}

fn draw_trace(svg: &mut Svg, trace: &Trace, frame: &Frame) {
    let class = trace.draw.class();
    if let Draw::Bars(_) = trace.draw {
        let share = trace.width.get() as f64 / frame.span.to.since(frame.span.from).get().max(1) as f64;
        let width = (share * (WIDTH - RIGHT - LEFT) - 0.4).max(0.8);
        for point in trace.points.iter().filter(|point| point.value > 0) {
            let (y, middle) = (frame.y(point.value), frame.x(point.at));
            // A bucket can begin before the period, end after it, or be wider than all of it.
            let (from, to) = ((middle - width / 2.0).max(LEFT), (middle + width / 2.0).min(WIDTH - RIGHT));
            svg.rect(&class, (from, y), ((to - from).max(0.8), BOTTOM - y), "");
        }
        return;
    }
    let gap = trace.width.get().saturating_mul(GAP_BUCKETS);
    for run in trace.points.chunk_by(|one, other| other.at.since(one.at).get() <= gap) {
        let upper = run.iter().map(|point| (frame.x(point.at), frame.y(point.value)));
        if let Draw::Range(_) = trace.draw {
            let lower = run.iter().rev().map(|point| (frame.x(point.at), frame.y(point.least)));
            svg.path(&class, &upper.chain(lower).collect::<Vec<_>>(), true);
        } else {
            let upper: Vec<_> = upper.collect();
            svg.path(&class, &upper, false);
            // A line of one point has no length, and few points are worth seeing one by one.
            if run.len() == 1 || trace.points.len() <= FEW {
                upper.iter().for_each(|at| svg.dot(&class.replace("line", "dot"), *at));
            }
        }
    }
}

/// Limits with their names at the right, moved apart where they would overlap.
fn draw_limits(svg: &mut Svg, limits: &[&Limit], frame: &Frame) {
    let mut sorted = limits.to_vec();
    sorted.sort_by_key(|limit| std::cmp::Reverse(limit.value));
    let mut free_from = 0.0;
    for limit in sorted {
        let y = frame.y(limit.value);
        svg.line("limit", (LEFT, y), (WIDTH - RIGHT, y));
        let text = f64::max(y - 4.0, free_from);
        free_from = text + TEXT_HEIGHT;
        // At the very top the time axis's unit stands in the corner.
        let right = if text < TOP + TEXT_HEIGHT - 12.0 { WIDTH - UNIT_WIDTH } else { WIDTH - RIGHT - 4.0 };
        svg.text("name", (right, text), Anchor::End, &limit.name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plot(values: &[(u64, u64)], limits: &[u64]) -> Option<Chart> {
        let point = |(at, value): &(u64, u64)| Point { at: Timestamp::from_secs(*at), value: *value, least: *value };
        let points = values.iter().map(point).collect();
        let limit = |value: &u64| Limit { name: format!("limit {value} µs"), value: *value };
        let plot = Plot {
            id: "x",
            title: "An <example>",
            quantity: "duration",
            unit: Unit::Duration,
            span: Span { from: Timestamp::from_secs(0), to: Timestamp::from_secs(600) },
            traces: vec![Trace { name: "mean".to_owned(), draw: Draw::Line(1), width: Micros::new(15_000_000), points }],
            fit: None,
            limits: limits.iter().map(limit).collect(),
            shades: Vec::new(),
        };
        plot.draw()
    }

    #[test]
    fn a_chart_without_points_is_not_drawn() {
        assert_eq!(plot(&[], &[5]), None);
    }

    #[test]
    fn a_line_is_not_drawn_through_times_of_which_nothing_is_known() {
        let chart = plot(&[(15, 10), (30, 20), (500, 20), (515, 10)], &[]).unwrap();
        assert_eq!(chart.svg.matches("<path class=\"line s1\"").count(), 2);
    }

    #[test]
    fn a_bar_that_is_wider_than_the_period_ends_at_the_axis() {
        let at = |us| Timestamp::new(us);
        let trace = Trace {
            name: "errors".to_owned(),
            draw: Draw::Bars(1),
            width: Micros::new(1_000_000),
            points: vec![Point { at: at(500_000), value: 3, least: 3 }],
        };
        let plot = Plot {
            id: "x",
            title: "A watch of four milliseconds",
            quantity: "lines",
            unit: Unit::Count,
            span: Span { from: at(100_000), to: at(104_000) },
            traces: vec![trace],
            fit: None,
            limits: Vec::new(),
            shades: Vec::new(),
        };
        let svg = plot.draw().unwrap().svg;
        let bar = svg.split("<rect class=\"bar s1\"").nth(1).unwrap();
        let number =
            |name: &str| bar.split(&format!(" {name}=\"")).nth(1).unwrap().split('"').next().unwrap().parse::<f64>().unwrap();
        assert!((number("x") - LEFT).abs() < 0.1 && (number("width") - (WIDTH - RIGHT - LEFT)).abs() < 0.1, "{bar}");
    }

    #[test]
    fn a_limit_far_above_is_named_and_not_drawn() {
        let chart = plot(&[(15, 10)], &[2_000_000]).unwrap();
        assert!(!chart.svg.contains("class=\"limit\""));
        assert_eq!(chart.note.as_deref(), Some("Far above this chart: limit 2000000 µs."));
        assert!(plot(&[(15, 10)], &[20]).unwrap().svg.contains("class=\"limit\""));
    }

    #[test]
    fn a_chart_is_well_formed_and_says_what_it_is() {
        let chart = plot(&[(15, 1_000), (30, 2_500)], &[3_000]).unwrap();
        insta::assert_snapshot!(chart.svg.replace("><", ">\n<"));
        assert_eq!(chart.description.split(". ").nth(1), Some("The most is 2.5 ms at 1970-01-01T00:00:30.000Z"));
    }
}
