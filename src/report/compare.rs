//! This report beside an earlier one, the last build that was promoted for example: what became better or worse, and what differs by
//! no more than it varies anyway.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::model::{CriterionRow, Provenance, Report, VERSION};
use crate::judge::evaluate::MeasureFigure;
use crate::judge::exact::Exact;
use crate::judge::measure::{Measure, Unit};
use crate::judge::moment::Moment;
use crate::judge::number::{self, Bound};
use crate::judge::series::{LatencyPoint, Line, Point};
use crate::judge::verdict::{Verdict, weight};
use crate::watch::terms;

/// A difference below this share of the earlier figure (per cent) is no difference, however steady the figure is: two staging periods
/// never see the same load.
const LEAST_SHARE: u64 = 5;

/// A share of a core, of memory or of calls must differ by half a per cent.
const LEAST_PERMILLE: u64 = 5;

/// A duration must differ by a millisecond: below it the host's scheduler is measured.
const LEAST_MICROS: u64 = 1_000;

/// A size must differ by 2 MB, as memory must grow by that much to be said to grow.
const LEAST_BYTES: u64 = 2_000_000;

terms! {
    /// What became of a figure or a criterion.
    pub enum Change {
        /// Better, by more than noise.
        Better = "better",
        /// Worse, by more than noise.
        Worse = "worse",
        /// The same, as far as can be told.
        Same = "same",
        /// One of the two is not known.
        Unknown = "unknown",
    }
}

/// The comparison with an earlier report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Comparison {
    /// The earlier report's hub.
    pub hub: String,
    /// Where it ran.
    pub environment: String,
    /// The earlier builds.
    pub builds: Vec<String>,
    /// The earlier period's start.
    pub from: Moment,
    /// Its end.
    pub to: Moment,
    /// The earlier verdict.
    pub verdict: Verdict,
    /// Why the two are hard to compare.
    pub caveats: Vec<String>,
    /// Criteria whose verdict changed.
    pub criteria: Vec<CriterionChange>,
    /// Figures of both.
    pub figures: Vec<FigureChange>,
}

/// A criterion whose verdict changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CriterionChange {
    /// Its stable name.
    pub id: String,
    /// Its title.
    pub title: String,
    /// The earlier verdict; `None` if the criterion was not judged then.
    pub before: Option<Verdict>,
    /// The present verdict.
    pub now: Verdict,
    /// Whether that is better.
    pub change: Change,
}

/// A figure then and now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FigureChange {
    /// What it is.
    pub name: String,
    /// In which unit.
    pub unit: Unit,
    /// The earlier value, to the nearest whole number. Counts and sums are scaled to the length of the present period.
    pub before: Option<u64>,
    /// The present value, to the nearest whole number on the same side of its limits.
    pub now: Option<u64>,
    /// The earlier value for people: from the exact value, on its side of this report's limits.
    #[serde(default)]
    pub before_shown: Option<String>,
    /// The present value for people, the same text as everywhere.
    #[serde(default)]
    pub now_shown: Option<String>,
    /// A difference up to this is noise.
    pub noise: u64,
    /// How it changed. For all figures less is better.
    pub change: Change,
}

/// The parts of a report that are compared; other fields of its version are ignored.
#[derive(Debug, Clone, Deserialize)]
pub struct Compared {
    version: u32,
    provenance: Origin,
    overall: Whole,
    coverage: Covered,
    criteria: Vec<Row>,
    #[serde(default)]
    measures: Vec<Value>,
    series: Lines,
}

#[derive(Debug, Clone, Deserialize)]
struct Origin {
    hub: String,
    environment: String,
    builds: Vec<String>,
    from: Moment,
    to: Moment,
    criteria_digest: String,
    overrides: Vec<String>,
}

#[derive(Debug, Clone, Deserialize)]
struct Whole {
    verdict: Verdict,
}

#[derive(Debug, Clone, Deserialize)]
struct Covered {
    covered_us: u64,
}

#[derive(Debug, Clone, Deserialize)]
struct Row {
    id: String,
    title: String,
    verdict: Verdict,
}

#[derive(Debug, Clone, Deserialize)]
struct Value {
    measure: Measure,
    exact: Option<Exact>,
}

#[derive(Debug, Clone, Deserialize)]
struct Lines {
    cpu_permille: Line<Point>,
    rss_bytes: Line<Point>,
    api_us: Line<LatencyPoint>,
    calls_us: Line<LatencyPoint>,
    error_lines: Line<Point>,
}

impl Compared {
    /// Reads the `report.json` of an earlier report; the error says what is wrong with it.
    pub fn parse(json: &[u8]) -> Result<Self, String> {
        let earlier: Self = serde_json::from_slice(json).map_err(|error| format!("not a report.json of hubwatch: {error}"))?;
        if earlier.version == VERSION {
            Ok(earlier)
        } else {
            Err(format!("its format has version {}; this hubwatch compares version {VERSION}", earlier.version))
        }
    }
}

impl From<&Report> for Compared {
    fn from(report: &Report) -> Self {
        let Provenance { hub, environment, builds, from, to, criteria_digest, overrides, .. } = report.provenance.clone();
        let value = |figure: &MeasureFigure| Value { measure: figure.measure, exact: figure.exact };
        let row = |row: &CriterionRow| Row { id: row.id.clone(), title: row.title.clone(), verdict: row.verdict };
        let series = &report.series;
        Self {
            version: report.version,
            provenance: Origin { hub, environment, builds, from, to, criteria_digest, overrides },
            overall: Whole { verdict: report.overall.verdict },
            coverage: Covered { covered_us: report.coverage.covered_us },
            criteria: report.criteria.iter().map(row).collect(),
            measures: report.measures.iter().map(value).collect(),
            series: Lines {
                cpu_permille: series.cpu_permille.clone(),
                rss_bytes: series.rss_bytes.clone(),
                api_us: series.api_us.clone(),
                calls_us: series.calls_us.clone(),
                error_lines: series.error_lines.clone(),
            },
        }
    }
}

/// How large a difference of a figure has no meaning.
#[derive(Clone, Copy)]
enum Noise {
    /// As much as the figure varies within the periods.
    Varies(fn(&Lines) -> Vec<u64>),
    /// A count of events: chance alone makes a difference of twice the square root of the sum of both counts.
    Events,
    /// None, but the figure is a sum: a longer period has more of it.
    Adds,
    /// None.
    None,
}

/// The figures, in the order in which they are shown.
const FIGURES: &[(&str, Measure, Noise)] = &[
    ("CPU usage, average", Measure::CPU_MEAN, Noise::Varies(|series| means(&series.cpu_permille.points, |point| point.mean))),
    ("CPU usage, peak", Measure::CPU_PEAK, Noise::Varies(|series| means(&series.cpu_permille.points, |point| point.max))),
    ("Memory, peak", Measure::MEMORY_PEAK, Noise::Varies(|series| means(&series.rss_bytes.points, |point| point.max))),
    ("API response time, average", Measure::API_MEAN, Noise::Varies(|series| means(&series.api_us.points, |point| point.mean))),
    ("API response time, p95", Measure::API_P95, Noise::Varies(|series| means(&series.api_us.points, |point| point.p95))),
    (
        "Meta-tool call duration, average",
        Measure::CALLS_MEAN,
        Noise::Varies(|series| means(&series.calls_us.points, |point| point.mean)),
    ),
    ("Meta-tool call duration, p95", Measure::CALLS_P95, Noise::Varies(|series| means(&series.calls_us.points, |point| point.p95))),
    ("Gemini part, average", Measure::GEMINI_MEAN, Noise::Varies(|series| means(&series.calls_us.points, |point| point.mean))),
    ("Failed meta-tool calls", Measure::CALLS_FAILED_SHARE, Noise::None),
    ("Failed operations", Measure::ERRORS_SHARE, Noise::None),
    ("Log growth per day", Measure::LOG_GROWTH_PER_DAY, Noise::None),
    ("Error lines per day", Measure::LOG_ERRORS, Noise::Events),
    ("Server down time", Measure::SERVERS_DOWN_TIME, Noise::Adds),
    ("Server disconnections", Measure::SERVERS_DISCONNECTIONS, Noise::Events),
    ("Hub down time", Measure::HUB_DOWN_TIME, Noise::Adds),
    ("Hub process stops", Measure::HUB_ENDS, Noise::Events),
];

fn means<P>(points: &[P], pick: impl Fn(&P) -> u64) -> Vec<u64> {
    points.iter().map(pick).collect()
}

/// Compares the report with an earlier one.
pub fn compare(report: &Report, earlier: &Compared) -> Comparison {
    let now = Compared::from(report);
    let Origin { hub, environment, builds, from, to, .. } = earlier.provenance.clone();
    Comparison {
        hub,
        environment,
        builds,
        from,
        to,
        verdict: earlier.overall.verdict,
        caveats: caveats(&now, earlier),
        criteria: now.criteria.iter().filter_map(|row| criterion(row, earlier)).collect(),
        figures: FIGURES.iter().map(|shown| figure(shown, report, earlier, &now)).collect(),
    }
}

fn caveats(now: &Compared, earlier: &Compared) -> Vec<String> {
    let mut caveats = Vec::new();
    let (one, other) = (&now.provenance, &earlier.provenance);
    if (&one.hub, &one.environment) != (&other.hub, &other.environment) {
        caveats.push(format!("the earlier report is about {} ({})", other.hub, other.environment));
    }
    if (&one.criteria_digest, &one.overrides) != (&other.criteria_digest, &other.overrides) {
        caveats.push("its criteria were different: verdicts may differ for that reason alone".to_owned());
    }
    let (one, other) = (now.coverage.covered_us, earlier.coverage.covered_us);
    if one.abs_diff(other) > one.max(other) / 100 * LEAST_SHARE {
        caveats.push("its counts are scaled to the length of this period".to_owned());
    }
    if one.min(other) < one.max(other) / 2 {
        caveats.push("one of the periods is less than half as long as the other".to_owned());
    }
    caveats
}

fn criterion(row: &Row, earlier: &Compared) -> Option<CriterionChange> {
    let known = earlier.criteria.iter().find(|before| before.id == row.id).map(|before| before.verdict);
    if known == Some(row.verdict) {
        return None;
    }
    let change = match known {
        None => Change::Unknown,
        // A verdict can't be better or worse than a missing one.
        Some(before) if [before, row.verdict].iter().any(|one| matches!(one, Verdict::Inconclusive | Verdict::NotApplicable)) => {
            Change::Unknown
        }
        Some(before) if weight(row.verdict) < weight(before) => Change::Better,
        Some(_) => Change::Worse,
    };
    Some(CriterionChange { id: row.id.clone(), title: row.title.clone(), before: known, now: row.verdict, change })
}

fn figure((name, measure, noise): &(&str, Measure, Noise), report: &Report, before: &Compared, now: &Compared) -> FigureChange {
    let (measure, noise, unit) = (*measure, *noise, measure.unit);
    let (new, raw) = (now.value(measure), before.value(measure));
    let counted = |value: Option<Exact>| value.map_or(0, Exact::rounded);
    let lengths = (now.coverage.covered_us, before.coverage.covered_us);
    let old = match noise {
        // This figure is per day already.
        Noise::Events if measure == Measure::LOG_ERRORS => raw,
        Noise::Events | Noise::Adds => raw.and_then(|raw| scaled(raw, lengths)),
        Noise::Varies(_) | Noise::None => raw,
    };
    let varies = match noise {
        Noise::Varies(values) => spread(values(&before.series)).max(spread(values(&now.series))),
        // A first stop of the process is a change, however rare, and so is its absence.
        Noise::Events if measure == Measure::HUB_ENDS && [raw, new].iter().flatten().any(|count| count.is_zero()) => 0,
        Noise::Events if measure == Measure::LOG_ERRORS => {
            chance((before.error_lines(), (DAY, lengths.1)), (now.error_lines(), (DAY, lengths.0)))
        }
        Noise::Events => chance((counted(raw), lengths), (counted(new), (1, 1))),
        Noise::Adds | Noise::None => 0,
    };
    let least = match (noise, unit) {
        (Noise::Events, _) | (_, Unit::Count) => 0,
        (_, Unit::Micros) => LEAST_MICROS,
        (_, Unit::Permille) => LEAST_PERMILLE,
        (_, Unit::Bytes | Unit::BytesPerHour) => LEAST_BYTES,
    };
    let noise = varies.max(least).max(counted(old) / 100 * LEAST_SHARE);
    let bounds = bounds_on(report, measure);
    let say = |value: Exact| number::value(unit, value, &bounds);
    FigureChange {
        name: (*name).to_owned(),
        unit,
        before: old.map(Exact::rounded),
        now: new.map(|value| number::rounded(value, &bounds)),
        before_shown: old.map(say),
        now_shown: new.map(say),
        noise,
        change: change(old, new, noise),
    }
}

/// Returns how a figure changed. A difference up to the noise is no change.
fn change(old: Option<Exact>, new: Option<Exact>, noise: u64) -> Change {
    let (Some(old), Some(new)) = (old, new) else { return Change::Unknown };
    if new.max(old) <= new.min(old).plus(Exact::whole(noise)) {
        Change::Same
    } else if new < old {
        Change::Better
    } else {
        Change::Worse
    }
}

/// Returns the limits that the report's criteria set on a measure. The limit on error lines is per period, but the figure here is per
/// day, so it has no limit.
fn bounds_on(report: &Report, measure: Measure) -> Vec<Bound> {
    let limits = report.criteria.iter().flat_map(|row| &row.limits).filter(|limit| limit.measure == measure);
    let all = limits.flat_map(|limit| [limit.warn, limit.fail].into_iter().flatten().map(|at| (at, limit.below, limit.strict)));
    let counts = measure != Measure::LOG_ERRORS;
    all.filter(|_| counts).map(|(limit, below, strict)| Bound { limit, below, strict }).collect()
}

const DAY: u64 = 24 * 3600 * 1_000_000;

/// Scales a value by the ratio of two lengths; `None` for a period without length.
fn scaled(value: Exact, (to, from): (u64, u64)) -> Option<Exact> {
    Some(value.times(Exact::of(to.into(), from.into())?))
}

/// Returns twice the standard deviation of the difference of two counts, each scaled by its ratio.
fn chance(one: (u64, (u64, u64)), other: (u64, (u64, u64))) -> u64 {
    let variance = |(count, (to, from)): (u64, (u64, u64))| {
        // In thousandths: the square of a ratio of microseconds would exceed 128 bits.
        let thousandths = (u128::from(to) * 1_000).checked_div(u128::from(from)).unwrap_or(0);
        u128::from(count).saturating_mul(thousandths.saturating_mul(thousandths))
    };
    let deviation = variance(one).saturating_add(variance(other)).isqrt() * 2 / 1_000;
    u64::try_from(deviation).unwrap_or(u64::MAX)
}

impl Compared {
    fn value(&self, measure: Measure) -> Option<Exact> {
        if measure == Measure::LOG_ERRORS {
            return self.error_lines_a_day();
        }
        self.measures.iter().find(|value| value.measure == measure)?.exact
    }

    /// Returns the error lines per day, since periods differ in length.
    fn error_lines_a_day(&self) -> Option<Exact> {
        // The series is empty where no levels were visible; that does not mean zero errors.
        if self.series.error_lines.points.is_empty() {
            return None;
        }
        Exact::of(u128::from(self.error_lines()) * u128::from(DAY), self.coverage.covered_us.into())
    }

    fn error_lines(&self) -> u64 {
        self.series.error_lines.points.iter().map(|point| point.sum).fold(0, u64::saturating_add)
    }
}

/// Returns how much the values of a period vary: half the interquartile range.
fn spread(mut values: Vec<u64>) -> u64 {
    if values.len() < 4 {
        return 0;
    }
    values.sort_unstable();
    let quartile = |quarter: usize| values[(values.len() - 1) * quarter / 4];
    (quartile(3) - quartile(1)) / 2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chance_is_reckoned_with_what_was_counted_and_scaled_afterwards() {
        assert_eq!(scaled(Exact::whole(3), (24, 48)), Exact::of(3, 2));
        assert_eq!(scaled(Exact::whole(3), (24, 0)), None);
        assert_eq!(chance((50, (1, 1)), (50, (1, 1))), 20);
        // Four in an hour are 96 a day, give or take 2 × 2 × 24.
        assert_eq!(chance((4, (24, 1)), (0, (24, 1))), 96);
    }

    #[test]
    fn a_period_varies_by_half_the_distance_of_its_quartiles() {
        assert_eq!(spread(vec![1, 2, 3]), 0);
        assert_eq!(spread((0..101).collect()), 25);
        assert_eq!(spread(vec![10, 10, 10, 10, 900]), 0, "an outlier is no spread");
    }
}
