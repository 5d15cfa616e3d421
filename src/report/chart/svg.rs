//! Writing SVG.

use std::fmt::Write as _;

use super::{Span, WIDTH, scale};

/// The distance of the axis from the drawing's left edge, unless names stand there.
pub(super) const LEFT: f64 = 56.0;
/// Room at the right for half of the last mark's text.
pub(super) const RIGHT: f64 = 24.0;
/// Marks on the time axis: more would touch each other.
const CLOCK_MARKS: u64 = 10;

/// How text lies at its point.
#[derive(Debug, Clone, Copy)]
pub(super) enum Anchor {
    Start,
    Middle,
    End,
}

/// A drawing under construction.
pub(super) struct Svg(String);

impl Svg {
    /// Begins a drawing that says what it is to those who can't see it.
    pub(super) fn new(id: &str, height: f64, title: &str, description: &str) -> Self {
        let (title, description) = (escape(title), escape(description));
        Self(format!(
            "<svg class=\"chart\" role=\"img\" aria-labelledby=\"{id}-t {id}-d\" viewBox=\"0 0 {WIDTH} {height}\" xmlns=\"http://www.w3.org/2000/svg\">\
             <title id=\"{id}-t\">{title}</title><desc id=\"{id}-d\">{description}</desc>"
        ))
    }

    pub(super) fn line(&mut self, class: &str, from: (f64, f64), to: (f64, f64)) {
        let (x1, y1, x2, y2) = (short(from.0), short(from.1), short(to.0), short(to.1));
        self.add(format_args!("<line class=\"{class}\" x1=\"{x1}\" y1=\"{y1}\" x2=\"{x2}\" y2=\"{y2}\"/>"));
    }

    /// A rectangle; `title` is its tooltip.
    pub(super) fn rect(&mut self, class: &str, corner: (f64, f64), size: (f64, f64), title: &str) {
        let (x, y, width, height) = (short(corner.0), short(corner.1), short(size.0), short(size.1));
        self.add(format_args!("<rect class=\"{class}\" x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{height}\""));
        if title.is_empty() {
            self.add(format_args!("/>"));
        } else {
            self.add(format_args!("><title>{}</title></rect>", escape(title)));
        }
    }

    pub(super) fn text(&mut self, class: &str, at: (f64, f64), anchor: Anchor, text: &str) {
        let anchor = match anchor {
            Anchor::Start => "start",
            Anchor::Middle => "middle",
            Anchor::End => "end",
        };
        let (x, y, text) = (short(at.0), short(at.1), escape(text));
        self.add(format_args!("<text class=\"{class}\" x=\"{x}\" y=\"{y}\" text-anchor=\"{anchor}\">{text}</text>"));
    }

    pub(super) fn dot(&mut self, class: &str, at: (f64, f64)) {
        let (x, y) = (short(at.0), short(at.1));
        self.add(format_args!("<circle class=\"{class}\" cx=\"{x}\" cy=\"{y}\" r=\"2\"/>"));
    }

    /// A line through points, or with `closed` the area that they enclose.
    pub(super) fn path(&mut self, class: &str, points: &[(f64, f64)], closed: bool) {
        let mut data = String::with_capacity(points.len() * 12);
        for (index, (x, y)) in points.iter().enumerate() {
            let command = if index == 0 { 'M' } else { 'L' };
            // Writing to a String can't fail.
            let _ = write!(data, "{command}{} {}", short(*x), short(*y));
        }
        let end = if closed { "Z" } else { "" };
        self.add(format_args!("<path class=\"{class}\" d=\"{data}{end}\"/>"));
    }

    /// The time axis under a drawing that reaches down to `bottom`.
    pub(super) fn time_axis(&mut self, span: Span, left: f64, top: f64, bottom: f64) {
        let right = WIDTH - RIGHT;
        self.line("axis", (left, bottom), (right, bottom));
        let mut free_from = 0.0;
        for mark in scale::clock_marks(span, CLOCK_MARKS) {
            let x = left + span.share(mark.at) * (right - left);
            self.line("grid", (x, top), (x, bottom));
            self.line("axis", (x, bottom), (x, bottom + 4.0));
            self.text("tick", (x, bottom + 19.0), Anchor::Middle, &mark.clock);
            // A date is wider than a time: it must not reach into the one before, nor over the edge.
            let middle = x.min(WIDTH - DATE_WIDTH / 2.0);
            if let Some(date) = mark.date.filter(|_| middle >= free_from) {
                self.text("tick", (middle, bottom + 33.0), Anchor::Middle, &date);
                free_from = middle + DATE_WIDTH;
            }
        }
        self.text("tick unit", (WIDTH - 4.0, (top - 12.0).max(12.0)), Anchor::End, "time in UTC");
    }

    pub(super) fn finish(mut self) -> String {
        self.0.push_str("</svg>");
        self.0
    }

    fn add(&mut self, what: std::fmt::Arguments<'_>) {
        // Writing to a String can't fail.
        let _ = self.0.write_fmt(what);
    }
}

/// How much room a date needs, in the drawing's units.
const DATE_WIDTH: f64 = 76.0;

/// A coordinate: a tenth of a unit is finer than anybody sees.
fn short(value: f64) -> String {
    let text = format!("{value:.1}");
    text.strip_suffix(".0").map_or(text.clone(), str::to_owned)
}

/// Text that can't become markup.
pub fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            // XML has no place for them, not even escaped.
            control if control.is_control() => out.push(' '),
            other => out.push(other),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_stays_text() {
        assert_eq!(escape("a<b>&\"c\"\u{1}"), "a&lt;b&gt;&amp;&quot;c&quot; ");
        assert_eq!([short(1.0), short(1.25), short(-0.04)], ["1", "1.2", "-0"]);
    }
}
