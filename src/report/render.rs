//! Renders the model with templates, for people.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Serialize;
use tera::{Context, Kwargs, State, Tera};

use super::chart::{Chart, spark};
use super::compare::{Change, Comparison, FigureChange};
use super::instrumented::{self, Instrumented};
use super::model::{Delta, Phase, Report};
use super::scenarios::ScenarioView;
use super::{figures, own, scenarios, told, words};
use crate::base::causes;
use crate::judge::history::KeptCall;
use crate::judge::measure::Measure;
use crate::judge::series::{LatencyPoint, Line, Point};
use crate::judge::verdict::Verdict;

/// An output that a template makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Template {
    /// The whole report as Markdown.
    Markdown,
    /// The whole report as a single HTML page.
    Html,
    /// The verdict and the next steps, for a chat or the summary of a CI step.
    Summary,
}

impl Template {
    const fn name(self) -> &'static str {
        match self {
            Self::Markdown => "report.md",
            Self::Html => "report.html",
            Self::Summary => "summary.md",
        }
    }

    const fn embedded(self) -> &'static str {
        match self {
            Self::Markdown => include_str!("../../templates/report.md"),
            Self::Html => include_str!("../../templates/report.html"),
            Self::Summary => include_str!("../../templates/summary.md"),
        }
    }
}

/// Why a report could not be rendered.
#[derive(Debug, thiserror::Error)]
pub enum RenderError {
    /// The user's template can't be read.
    #[error("can't read the template {path}: {reason}")]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// Why.
        reason: std::io::Error,
    },
    /// The template has an error.
    #[error("the template {path} has an error: {reason}")]
    Template {
        /// Which one.
        path: PathBuf,
        /// The error and its place.
        reason: String,
    },
}

/// The data of templates beside the report's own fields.
#[derive(Serialize)]
struct Page<'a> {
    #[serde(flatten)]
    report: &'a Report,
    /// SVG charts; none for Markdown, which can't show them.
    charts: Vec<Chart>,
    /// Small charts made of characters.
    sparks: Vec<Spark>,
    /// A small chart of each server's states.
    strips: Vec<String>,
    /// Criteria that were not judged, grouped by reason.
    not_judged: Vec<String>,
    /// The word and the colour class of each server's state.
    standings: Vec<(&'static str, &'static str)>,
    /// The phases, ready for a table.
    phase_rows: Vec<Vec<String>>,
    /// The comparison on one line.
    comparison_line: Option<String>,
    /// The comparison's figures, ready for a table.
    figure_rows: Vec<Vec<String>>,
    /// Each measure's value by its name, with `_` for its dot; `–` where it has none.
    shown: BTreeMap<String, &'a str>,
    /// How long each incident lasted.
    lasted: Vec<String>,
    /// The address of each incident's trace; empty if unknown.
    incident_urls: Vec<String>,
    /// The slowest calls, ready for a table.
    slowest_rows: Vec<CallRow>,
    /// The last calls that failed, ready for a table.
    failed_rows: Vec<CallRow>,
    /// The sidecar's own figures, ready for a table.
    own_rows: Vec<own::Row>,
    /// What the hub told of its servers' start and its work in the background.
    told: Vec<String>,
    /// The scenarios that ran.
    scenario_views: Vec<ScenarioView>,
    /// The same, one line each.
    scenario_lines: Vec<String>,
    /// What clients measured, ready for a table.
    client_rows: Vec<Vec<String>>,
    /// Where clients measured something else than the hub's log shows.
    client_differences: Vec<String>,
    /// What instrumentation of the hub showed.
    instrumented: Instrumented,
    style: &'static str,
}

/// A call worth a look.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct CallRow {
    /// When it ended; empty if unknown.
    at: String,
    took: String,
    outcome: String,
    trace: String,
    /// The address of its trace; empty if unknown.
    url: String,
}

/// A small chart.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Spark {
    name: &'static str,
    line: String,
    least: String,
    most: String,
}

/// Renders the report with the embedded template, or with `own`.
pub fn render(report: &Report, template: Template, own: Option<&Path>) -> Result<String, RenderError> {
    let path = own.map_or_else(|| Path::new("(embedded)").join(template.name()), Path::to_owned);
    let text = match own {
        None => template.embedded().to_owned(),
        Some(own) => std::fs::read_to_string(own).map_err(|reason| RenderError::Unreadable { path: path.clone(), reason })?,
    };
    let wrong = |error: tera::Error| RenderError::Template { path: path.clone(), reason: causes::of(&error) };
    let mut tera = Tera::default();
    tera.autoescape_on(vec![".html"]);
    filters(&mut tera);
    tera.add_raw_template(template.name(), &text).map_err(wrong)?;
    let span = figures::span(report);
    let page = Page {
        report,
        charts: if template == Template::Html { figures::figures(report) } else { Vec::new() },
        sparks: sparks(report),
        strips: report.servers.iter().map(|server| spark::states(&server.timeline, server.should_work(), span)).collect(),
        not_judged: not_judged(report),
        standings: report.servers.iter().map(|server| (server.standing.word(), server.standing.class())).collect(),
        phase_rows: report.phases.iter().map(phase_row).collect(),
        comparison_line: report.comparison.as_ref().map(comparison_line),
        figure_rows: report.comparison.iter().flat_map(|comparison| &comparison.figures).map(figure_row).collect(),
        shown: shown(report),
        lasted: report.incidents.iter().map(|incident| words::lasted(incident, report.provenance.provisional)).collect(),
        incident_urls: report
            .incidents
            .iter()
            .map(|incident| report.trace_urls.get(&incident.id).cloned().unwrap_or_default())
            .collect(),
        slowest_rows: report.calls.slowest.iter().map(|call| call_row(call, report)).collect(),
        failed_rows: report.calls.failed.iter().map(|call| call_row(call, report)).collect(),
        own_rows: own::rows(report),
        told: told::sentences(report),
        scenario_views: scenarios::views(report),
        scenario_lines: scenarios::lines(report),
        client_rows: scenarios::measured_rows(report),
        client_differences: scenarios::differences(report),
        instrumented: instrumented::view(report),
        style: STYLE,
    };
    let context = Context::from_serialize(&page).map_err(wrong)?;
    tera.render(template.name(), &context).map_err(wrong)
}

fn shown(report: &Report) -> BTreeMap<String, &str> {
    let of = |measure: Measure| (measure.word.replace('.', "_"), report.shown(measure).unwrap_or("–"));
    Measure::all().map(of).collect()
}

/// The style sheet of the page and its charts.
pub const STYLE: &str = include_str!("../../templates/style.css");

fn filters(tera: &mut Tera) {
    tera.register_filter("duration", |value: u64, _: Kwargs, _: &State| words::duration(value));
    tera.register_filter("bytes", |value: u64, _: Kwargs, _: &State| words::bytes(value));
    tera.register_filter("permille", |value: u64, _: Kwargs, _: &State| words::permille(value));
    tera.register_filter("minute", |value: &str, _: Kwargs, _: &State| minute(value));
    tera.register_filter("cell", |value: &str, _: Kwargs, _: &State| cell(value));
    tera.register_filter("prose", |value: &str, _: Kwargs, _: &State| prose(value));
    tera.register_filter("prose_html", |value: &str, _: Kwargs, _: &State| prose_html(value));
    tera.register_filter("badge", |value: &str, _: Kwargs, _: &State| in_words(value, badge));
    tera.register_filter("sign", |value: &str, _: Kwargs, _: &State| in_words(value, sign));
    tera.register_filter("headline", |value: &str, _: Kwargs, _: &State| in_words(value, headline));
    tera.register_filter("means", |value: &str, _: Kwargs, _: &State| in_words(value, means));
}

/// Returns one sentence for each reason why criteria were not judged.
fn not_judged(report: &Report) -> Vec<String> {
    let mut by_reason: Vec<(&str, Vec<&str>)> = Vec::new();
    for row in report.criteria.iter().filter(|row| row.verdict == Verdict::NotApplicable) {
        match by_reason.iter_mut().find(|(why, _)| *why == row.why) {
            Some((_, titles)) => titles.push(&row.title),
            None => by_reason.push((&row.why, vec![&row.title])),
        }
    }
    by_reason.into_iter().map(|(why, titles)| format!("{}: {why}", titles.join("; "))).collect()
}

fn call_row(call: &KeptCall, report: &Report) -> CallRow {
    let trace = call.trace.to_string();
    CallRow {
        at: call.at.map(|at| minute(&at.to_string())).unwrap_or_default(),
        took: call.duration_us.map_or("unknown".to_owned(), words::duration),
        outcome: call.outcome.to_string(),
        url: report.trace_urls.get(&trace).cloned().unwrap_or_default(),
        trace,
    }
}

fn phase_row(phase: &Phase) -> Vec<String> {
    vec![
        phase.name.clone(),
        minute(&phase.from.to_string()),
        minute(&phase.to.to_string()),
        phase.cpu_mean_permille.say(words::permille),
        phase.rss_mean_bytes.say(words::bytes),
        phase.api_mean_us.say(words::duration),
        phase.calls.to_string(),
        phase.error_lines.to_string(),
        words::bytes(phase.log_bytes),
        phase.incidents.to_string(),
    ]
}

fn comparison_line(comparison: &Comparison) -> String {
    let of = |change| comparison.figures.iter().filter(|figure| figure.change == change).count();
    let (better, worse) = (of(Change::Better), of(Change::Worse));
    let earlier = match comparison.builds.as_slice() {
        [] => format!("the report of {}", minute(&comparison.to.to_string())),
        builds => format!("build {}", builds.join(" → ")),
    };
    let criteria = match comparison.criteria.len() {
        0 => "no verdict changed".to_owned(),
        1 => "1 verdict changed".to_owned(),
        many => format!("{many} verdicts changed"),
    };
    let better = if better == 1 { "1 figure is better".to_owned() } else { format!("{better} figures are better") };
    format!("Compared with {earlier}: {better}, {worse} worse; {criteria}")
}

/// Returns a row: name, earlier value, present value, change, noise.
fn figure_row(figure: &FigureChange) -> Vec<String> {
    let say = |value| words::in_unit(figure.unit, value);
    let known = |shown: &Option<String>| shown.clone().unwrap_or_else(|| "–".to_owned());
    let change = match (figure.change, figure.before, figure.now) {
        (Change::Better | Change::Worse, Some(before), Some(now)) => {
            let sign = if now < before { '−' } else { '+' };
            format!("{}: {sign}{}", figure.change, say(now.abs_diff(before)))
        }
        (Change::Better | Change::Worse, None, _)
        | (Change::Better | Change::Worse, Some(_), None)
        | (Change::Same | Change::Unknown, _, _) => figure.change.to_string(),
    };
    vec![figure.name.clone(), known(&figure.before_shown), known(&figure.now_shown), change, format!("±{}", say(figure.noise))]
}

fn sparks(report: &Report) -> Vec<Spark> {
    let series = &report.series;
    let say = words::permille;
    let all = [
        numbers(report, "CPU usage, of one core", &series.cpu_permille, |point| point.max, say),
        numbers(report, "Memory", &series.rss_bytes, |point| point.max, words::bytes),
        durations(report, "API response time, p95", &series.api_parts_us),
        durations(report, "Meta-tool call duration, p95", &series.calls_parts_us),
        numbers(report, "Errors", &series.error_lines, |point| point.sum, |count| count.to_string()),
        numbers(report, "Warnings", &series.warn_lines, |point| point.sum, |count| count.to_string()),
        numbers(report, "Log volume", &series.log_bytes, |point| point.sum, words::bytes),
        numbers(report, "MCP clients", &series.clients, |point| point.max, |count| count.to_string()),
    ];
    all.into_iter().flatten().collect()
}

fn numbers(
    report: &Report,
    name: &'static str,
    line: &Line<Point>,
    pick: impl Fn(&Point) -> u64 + Clone,
    say: impl Fn(u64) -> String,
) -> Option<Spark> {
    drawn(report, name, line.points.iter().map(|point| (point.at.0, pick(point))), say)
}

fn durations(report: &Report, name: &'static str, line: &Line<LatencyPoint>) -> Option<Spark> {
    drawn(report, name, line.points.iter().map(|point| (point.at.0, point.p95)), words::duration)
}

fn drawn(
    report: &Report,
    name: &'static str,
    points: impl Iterator<Item = (crate::watch::Timestamp, u64)> + Clone,
    say: impl Fn(u64) -> String,
) -> Option<Spark> {
    let values = points.clone().map(|(_, value)| value);
    let (least, most) = (say(values.clone().min()?), say(values.max()?));
    Some(Spark { name, line: spark::line(points, figures::span(report))?, least, most })
}

impl Delta {
    /// Formats the value and its difference to the baseline.
    pub fn say(&self, say: impl Fn(u64) -> String) -> String {
        match (self.value, self.baseline) {
            (None, _) => "–".to_owned(),
            (Some(value), None) => say(value),
            (Some(value), Some(base)) => {
                let sign = if value < base { '−' } else { '+' };
                format!("{} ({sign}{})", say(value), say(value.abs_diff(base)))
            }
        }
    }
}

/// Shortens an instant to the minute.
fn minute(instant: &str) -> String {
    instant.get(..16).map_or_else(|| instant.to_owned(), |minute| minute.replace('T', " "))
}

/// Escapes text so that it can't end a table cell or become markup.
fn cell(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\n' | '\r' => out.push(' '),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '|' | '`' | '*' | '_' | '[' | ']' | '\\' => {
                out.push('\\');
                out.push(character);
            }
            other => out.push(other),
        }
    }
    out
}

/// Escapes text, but keeps `code` as code.
fn prose(text: &str) -> String {
    let part = |(code, part): (bool, &str)| if code { format!("`{part}`") } else { cell(part) };
    code_parts(text).map_or_else(|| cell(text), |parts| parts.map(part).collect())
}

/// Does the same for HTML.
fn prose_html(text: &str) -> String {
    let escape = super::chart::escape;
    let part = |(code, part): (bool, &str)| if code { format!("<code>{}</code>", escape(part)) } else { escape(part) };
    code_parts(text).map_or_else(|| escape(text), |parts| parts.map(part).collect())
}

/// Splits text at backticks into code and other parts; `None` if a backtick has no partner.
fn code_parts(text: &str) -> Option<impl Iterator<Item = (bool, &str)>> {
    let closed = text.matches('`').count().is_multiple_of(2);
    closed.then(|| text.split('`').enumerate().map(|(index, part)| (index % 2 == 1, part)))
}

/// Returns a verdict's words; one that is unknown stays as it is.
fn in_words(verdict: &str, say: impl Fn(Verdict) -> String) -> String {
    Verdict::parse(verdict).map_or_else(|| verdict.to_owned(), say)
}

/// Returns a verdict for a table in Markdown.
fn badge(verdict: Verdict) -> String {
    let words = words::verdict(verdict);
    let name = if verdict == Verdict::Fail { format!("**{}**", words.name) } else { words.name.to_owned() };
    format!("{} {name}", words.emoji)
}

/// Returns the same without markup, for the HTML page.
fn sign(verdict: Verdict) -> String {
    let words = words::verdict(verdict);
    format!("{} {}", words.sign, words.name)
}

/// Returns the first words of the summary.
fn headline(verdict: Verdict) -> String {
    let words = words::verdict(verdict);
    format!("{} {}", words.emoji, words.headline)
}

/// Returns what a verdict means for the build.
fn means(verdict: Verdict) -> String {
    words::verdict(verdict).means.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_stays_a_cell() {
        assert_eq!(prose("run `a_b` on <c_d>"), "run `a_b` on &lt;c\\_d&gt;");
        assert_eq!(prose("one ` alone"), "one \\` alone");
        assert_eq!(prose_html("run `a<b` <i>"), "run <code>a&lt;b</code> &lt;i&gt;");
        assert_eq!(cell("a|b\n<c> `d`"), "a\\|b &lt;c&gt; \\`d\\`");
    }

    #[test]
    fn a_delta_says_the_value_and_how_far_it_is_from_the_beginning() {
        let delta = |value, baseline| Delta { value, baseline }.say(words::bytes);
        assert_eq!(delta(Some(120_000_000), Some(100_000_000)), "120.0 MB (+20.0 MB)");
        assert_eq!(delta(Some(90_000_000), Some(100_000_000)), "90.0 MB (−10.0 MB)");
        assert_eq!([delta(None, Some(1)), delta(Some(1_000), None)], ["–", "1.0 kB"]);
    }
}
