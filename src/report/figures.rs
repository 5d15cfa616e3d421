//! The charts of a report and their data.

use super::chart::lanes::{Block, Lane, Lanes};
use super::chart::plot::{Draw, Fit, Limit, Plot, Point, Shade, Trace};
use super::chart::{Chart, Key, Span, Unit};
use super::model::{CriterionRow, Report};
use super::words;
use crate::judge::history::Timeline;
use crate::judge::incident::{Gravity, Incident};
use crate::judge::leak::{Growth, MemoryTrend};
use crate::judge::measure::Measure;
use crate::judge::moment::Moment;
use crate::judge::number;
use crate::judge::series::{LatencyPoint, Line, Point as Number};
use crate::judge::standing::Standing;
use crate::watch::Micros;

/// Returns all charts that have data.
pub fn figures(report: &Report) -> Vec<Chart> {
    let span = span(report);
    let all = [
        overview(report, span),
        cpu(report, span),
        memory(report, span),
        api(report, span),
        calls(report, span),
        log_lines(report, span),
        log_bytes(report, span),
        clients(report, span),
    ];
    all.into_iter().flatten().collect()
}

/// Returns the time that the charts show.
pub fn span(report: &Report) -> Span {
    Span { from: report.provenance.from.0, to: report.provenance.to.0 }
}

fn plot<'a>(report: &Report, span: Span, id: &'a str, title: &'a str, quantity: &'a str, unit: Unit) -> Plot<'a> {
    Plot { id, title, quantity, unit, span, traces: Vec::new(), fit: None, limits: Vec::new(), shades: shades(report) }
}

fn cpu(report: &Report, span: Span) -> Option<Chart> {
    let line = &report.series.cpu_permille;
    let traces =
        vec![numbers("peak", Draw::Line(2), line, |point| point.max), numbers("average", Draw::Line(1), line, |point| point.mean)];
    let limits = limits(report, &[(Measure::CPU_MEAN, "average"), (Measure::CPU_PEAK, "peak")]);
    Plot { traces, limits, ..plot(report, span, "cpu", "CPU usage", "share of one core", Unit::Share) }.draw()
}

fn memory(report: &Report, span: Span) -> Option<Chart> {
    let line = &report.series.rss_bytes;
    let range = line.points.iter().map(|point| Point { least: point.min, ..at(point.at, line.width_us, point.max) });
    let range = Trace { points: range.collect(), ..numbers("range", Draw::Range(1), line, |point| point.max) };
    let traces = vec![range, numbers("average", Draw::Line(1), line, |point| point.mean)];
    let limit = report.process.memory_limit_bytes;
    let limits = limit.map(|value| Limit { name: format!("memory limit {}", words::bytes(value)), value }).into_iter().collect();
    let fit = report.memory_trend.as_ref().map(trend);
    Plot { traces, limits, fit, ..plot(report, span, "memory", "Memory", "resident memory", Unit::Bytes) }.draw()
}

/// Draws the growth of the memory floor. Only a leak has a time to the limit.
fn trend(trend: &MemoryTrend) -> Fit {
    let sign = if trend.slope_bytes_per_hour < 0 { '−' } else { '+' };
    let slope = words::bytes(trend.slope_bytes_per_hour.unsigned_abs());
    let left = trend.time_to_limit_us.map_or(String::new(), |left| format!(", {} to the limit", words::duration(left)));
    let name = match trend.growth {
        Growth::Leaking => format!("leak: {sign}{slope}/h{left}"),
        Growth::Steady => "floor: no growth".to_owned(),
        Growth::Settled => "floor: growth has ended".to_owned(),
        Growth::Growing | Growth::Unclear => format!("floor: about {sign}{slope}/h at the end, a leak is not proven"),
        Growth::TooShort => "floor: too little data".to_owned(),
    };
    Fit { name, ends: [(trend.from.0, trend.from_bytes), (trend.to.0, trend.to_bytes)] }
}

fn api(report: &Report, span: Span) -> Option<Chart> {
    let limits = limits(report, &[(Measure::API_MEAN, "average")]);
    Plot {
        traces: latencies(&report.series.api_us),
        limits,
        ..plot(report, span, "api", "API response time", "duration", Unit::Duration)
    }
    .draw()
}

fn calls(report: &Report, span: Span) -> Option<Chart> {
    let limits = limits(report, &[(Measure::CALLS_MEAN, "average")]);
    let title = "Meta-tool call duration";
    Plot { traces: latencies(&report.series.calls_us), limits, ..plot(report, span, "calls", title, "duration", Unit::Duration) }
        .draw()
}

fn log_lines(report: &Report, span: Span) -> Option<Chart> {
    let series = &report.series;
    let traces = vec![
        numbers("warnings", Draw::Bars(3), &series.warn_lines, |point| point.sum),
        numbers("errors", Draw::Bars(2), &series.error_lines, |point| point.sum),
    ];
    let quantity = format!("lines per {}", words::duration(series.warn_lines.width_us));
    Plot { traces, ..plot(report, span, "errors", "Errors and warnings", &quantity, Unit::Count) }.draw()
}

fn log_bytes(report: &Report, span: Span) -> Option<Chart> {
    let line = &report.series.log_bytes;
    let traces = vec![numbers("log", Draw::Bars(1), line, |point| point.sum)];
    let quantity = format!("bytes per {}", words::duration(line.width_us));
    Plot { traces, ..plot(report, span, "log", "Log volume", &quantity, Unit::Bytes) }.draw()
}

fn clients(report: &Report, span: Span) -> Option<Chart> {
    let traces = vec![numbers("MCP clients, maximum", Draw::Line(1), &report.series.clients, |point| point.max)];
    Plot { traces, ..plot(report, span, "clients", "MCP clients", "connected clients", Unit::Count) }.draw()
}

/// Places a bucket's number in the middle of the bucket.
fn at(begin: Moment, width_us: u64, value: u64) -> Point {
    Point { at: begin.0.plus(Micros::new(width_us / 2)), value, least: value }
}

fn numbers(name: &str, draw: Draw, line: &Line<Number>, pick: impl Fn(&Number) -> u64) -> Trace {
    let points = line.points.iter().map(|point| at(point.at, line.width_us, pick(point))).collect();
    Trace { name: name.to_owned(), draw, width: Micros::new(line.width_us), points }
}

fn latencies(line: &Line<LatencyPoint>) -> Vec<Trace> {
    let trace = |name: &str, style, pick: fn(&LatencyPoint) -> u64| {
        let points = line.points.iter().map(|point| at(point.at, line.width_us, pick(point))).collect();
        Trace { name: name.to_owned(), draw: Draw::Line(style), width: Micros::new(line.width_us), points }
    };
    vec![trace("p99", 3, |point| point.p99), trace("p95", 2, |point| point.p95), trace("p50", 1, |point| point.p50)]
}

/// Returns the limits that criteria set on these measures.
fn limits(report: &Report, measures: &[(Measure, &str)]) -> Vec<Limit> {
    let bound = |(measure, name): &(Measure, &str)| {
        let mut judged = report.criteria.iter().flat_map(|row: &CriterionRow| &row.limits);
        let value = judged.find(|limit| limit.measure == *measure)?.fail?;
        Some(Limit { name: format!("limit for the {name}: {}", number::limit(measure.unit, value)), value })
    };
    measures.iter().filter_map(bound).collect()
}

fn shades(report: &Report) -> Vec<Shade> {
    let end = report.provenance.to.0;
    let until = |to: Option<Moment>| to.map_or(end, |to| to.0);
    let blind = report.coverage.gaps.iter().map(|gap| Shade {
        class: "blind",
        span: Span { from: gap.from.0, to: until(gap.to) },
        name: format!("not watched: {}", gap.reason),
    });
    let planned = report.planned.iter().map(|plan| Shade {
        class: "planned",
        span: Span { from: plan.from.0, to: until(plan.to) },
        name: match (plan.forgotten, plan.to) {
            (true, _) => format!("planned: {} (no end mark: only its first hours count)", plan.name),
            (false, None) => format!("planned: {} (not ended yet)", plan.name),
            (false, Some(_)) => format!("planned: {}", plan.name),
        },
    });
    planned.chain(blind).collect()
}

/// Draws what was up, planned and failing over the whole period.
fn overview(report: &Report, span: Span) -> Option<Chart> {
    let mut lanes = vec![phases(report), Lane { name: "hub".to_owned(), blocks: liveness(&report.hub.timeline, true) }];
    lanes.extend(
        report
            .servers
            .iter()
            .map(|server| Lane { name: server.name.clone(), blocks: liveness(&server.timeline, server.should_work()) }),
    );
    let marked = |shade: Shade| Block { span: shade.span, class: shade.class, name: shade.name, text: String::new() };
    let (planned, blind): (Vec<_>, Vec<_>) = shades(report).into_iter().partition(|shade| shade.class == "planned");
    lanes.push(Lane { name: "planned".to_owned(), blocks: planned.into_iter().map(marked).collect() });
    lanes.push(Lane { name: "not watched".to_owned(), blocks: blind.into_iter().map(marked).collect() });
    let incident = |incident: &Incident| Block {
        span: Span { from: incident.start.0, to: incident.end.map_or(span.to, |end| end.0) },
        class: match incident.severity {
            Gravity::Critical => "critical",
            Gravity::Warning => "warning",
            Gravity::Notice => "notice",
        },
        name: format!("{}: {}", incident.severity, incident.title),
        text: String::new(),
    };
    lanes.push(Lane { name: "incidents".to_owned(), blocks: report.incidents.iter().map(incident).collect() });
    let down = report.servers.iter().map(|server| format!("{} was down {} times", server.name, server.outages));
    let description = format!(
        "The hub and its servers over the period, with {} incidents. {}.",
        report.incidents.len(),
        down.collect::<Vec<_>>().join(", ")
    );
    let key = |class: &str, name: &str| Key::area(&format!("block {class}"), name);
    let keys = [
        ("up", "up"),
        ("down", "down"),
        ("between", "starting or unauthorized"),
        ("expected", "down as expected, or switched off"),
        ("unknown", "unknown"),
        ("critical", "critical incident"),
        ("warning", "warning"),
        ("notice", "notice"),
    ];
    let keys = keys.map(|(class, name)| key(class, name)).into();
    Lanes { id: "overview", title: "The period at a glance", description, span, lanes, keys }.draw()
}

fn phases(report: &Report) -> Lane {
    let block = |phase: &super::model::Phase| Block {
        span: Span { from: phase.from.0, to: phase.to.0 },
        class: "phase",
        name: phase.name.clone(),
        text: phase.name.clone(),
    };
    Lane { name: "phase".to_owned(), blocks: report.phases.iter().map(block).collect() }
}

/// Returns the stretches as blocks. A server that may be down raises no alarm.
fn liveness(timeline: &Timeline, should_work: bool) -> Vec<Block> {
    let blocks = timeline.stretches.iter().map(|stretch| Block {
        span: Span { from: stretch.from.0, to: stretch.to.0 },
        class: Standing::of_stretch(stretch, should_work).class(),
        name: format!(
            "{}: {} ({} to {})",
            Standing::of_stretch(stretch, should_work).word(),
            stretch.reason,
            stretch.from,
            stretch.to
        ),
        text: String::new(),
    });
    blocks.collect()
}
