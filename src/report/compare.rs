//! This report beside an earlier one, the last build that was promoted for example: what became better or worse, and what differs by
//! no more than it varies anyway.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::model::{CriterionRow, Overall, Provenance, Report};
use crate::judge::history::{ApiHistory, CallHistory, Coverage, ProcessHistory};
use crate::judge::measure::{Measure, Unit};
use crate::judge::moment::Moment;
use crate::judge::series::Series;
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
    /// What makes the two hard to compare.
    pub caveats: Vec<String>,
    /// Criteria whose verdict is another one.
    pub criteria: Vec<CriterionChange>,
    /// Figures of both.
    pub figures: Vec<FigureChange>,
}

/// A criterion whose verdict is another one than before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CriterionChange {
    /// Its stable name.
    pub id: String,
    /// Its title.
    pub title: String,
    /// What it was; `None` for one that was not judged then.
    pub before: Option<Verdict>,
    /// What it is.
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
    /// What it was.
    pub before: Option<u64>,
    /// What it is.
    pub now: Option<u64>,
    /// A difference up to this is noise.
    pub noise: u64,
    /// What became of it. Of all figures less is better.
    pub change: Change,
}

/// As much of an earlier report as is compared; whatever else that version had or lacked does not matter.
#[derive(Debug, Clone, Deserialize)]
pub struct Earlier {
    version: u32,
    provenance: Provenance,
    overall: Overall,
    coverage: Coverage,
    criteria: Vec<CriterionRow>,
    calls: CallHistory,
    process: ProcessHistory,
    api: ApiHistory,
    series: Series,
}

impl Earlier {
    /// Reads `report.json` of an earlier report; the error says what is wrong with it.
    pub fn parse(json: &[u8]) -> Result<Self, String> {
        let earlier: Self = serde_json::from_slice(json).map_err(|error| format!("it is no report.json of hubwatch: {error}"))?;
        if earlier.version == super::model::VERSION {
            Ok(earlier)
        } else {
            Err(format!("its form is version {}, and this hubwatch compares version {}", earlier.version, super::model::VERSION))
        }
    }
}

/// What is compared of a report.
struct Side<'a> {
    coverage: &'a Coverage,
    criteria: &'a [CriterionRow],
    calls: &'a CallHistory,
    process: &'a ProcessHistory,
    api: &'a ApiHistory,
    series: &'a Series,
}

impl<'a> From<&'a Report> for Side<'a> {
    fn from(report: &'a Report) -> Self {
        let Report { coverage, criteria, calls, process, api, series, .. } = report;
        Self { coverage, criteria, calls, process, api, series }
    }
}

impl<'a> From<&'a Earlier> for Side<'a> {
    fn from(report: &'a Earlier) -> Self {
        let Earlier { coverage, criteria, calls, process, api, series, .. } = report;
        Self { coverage, criteria, calls, process, api, series }
    }
}

/// How much a figure differs without meaning anything.
#[derive(Clone, Copy)]
enum Noise {
    /// By as much as it varies within the periods.
    Varies(fn(&Series) -> Vec<u64>),
    /// A number of events: by chance alone it differs by twice the square root of both together.
    Events,
    /// Not at all.
    None,
}

/// The figures, in the order in which they are shown.
const FIGURES: &[(&str, Measure, Noise)] = &[
    ("Processor, mean", Measure::CpuMean, Noise::Varies(|series| means(&series.cpu_permille.points, |point| point.mean))),
    ("Processor, peak", Measure::CpuPeak, Noise::Varies(|series| means(&series.cpu_permille.points, |point| point.max))),
    ("Memory, peak", Measure::MemoryPeak, Noise::Varies(|series| means(&series.rss_bytes.points, |point| point.max))),
    ("API answers, mean", Measure::ApiMean, Noise::Varies(|series| means(&series.api_us.points, |point| point.mean))),
    ("API answers, 95 of 100 within", Measure::ApiP95, Noise::Varies(|series| means(&series.api_us.points, |point| point.p95))),
    ("Meta-tool calls, mean", Measure::CallsMean, Noise::Varies(|series| means(&series.calls_us.points, |point| point.mean))),
    (
        "Meta-tool calls, 95 of 100 within",
        Measure::CallsP95,
        Noise::Varies(|series| means(&series.calls_us.points, |point| point.p95)),
    ),
    ("Gemini's part, mean", Measure::GeminiMean, Noise::Varies(|series| means(&series.calls_us.points, |point| point.mean))),
    ("Failed meta-tool calls", Measure::CallsFailedShare, Noise::None),
    ("Failed operations", Measure::ErrorsShare, Noise::None),
    ("Log, a day", Measure::LogGrowthPerDay, Noise::None),
    ("Lines of level error, a day", Measure::LogErrors, Noise::Events),
    ("Servers down", Measure::ServersDownTime, Noise::None),
    ("Disconnections of servers", Measure::ServersDisconnections, Noise::Events),
    ("Hub not answering", Measure::HubDownTime, Noise::None),
    ("Ends of the hub's process", Measure::HubEnds, Noise::Events),
];

fn means<P>(points: &[P], pick: impl Fn(&P) -> u64) -> Vec<u64> {
    points.iter().map(pick).collect()
}

/// Compares.
pub fn compare(report: &Report, earlier: &Earlier) -> Comparison {
    let (now, before) = (Side::from(report), Side::from(earlier));
    let Earlier { provenance, overall, .. } = earlier;
    Comparison {
        hub: provenance.hub.clone(),
        environment: provenance.environment.clone(),
        builds: provenance.builds.clone(),
        from: provenance.from,
        to: provenance.to,
        verdict: overall.verdict,
        caveats: caveats(report, earlier),
        criteria: report.criteria.iter().filter_map(|row| criterion(row, &before)).collect(),
        figures: FIGURES.iter().map(|(name, measure, noise)| figure(name, *measure, *noise, &before, &now)).collect(),
    }
}

fn caveats(report: &Report, earlier: &Earlier) -> Vec<String> {
    let (now, before) = (&report.provenance, &earlier.provenance);
    let mut caveats = Vec::new();
    if (&now.hub, &now.environment) != (&before.hub, &before.environment) {
        caveats.push(format!("the earlier report is about {} ({})", before.hub, before.environment));
    }
    if (&now.criteria_digest, &now.overrides) != (&before.criteria_digest, &before.overrides) {
        caveats.push("it was judged by other criteria: verdicts may differ for that reason alone".to_owned());
    }
    let (long, short) =
        (report.coverage.covered_us.max(earlier.coverage.covered_us), report.coverage.covered_us.min(earlier.coverage.covered_us));
    if short < long / 2 {
        caveats.push("one of the periods is less than half as long as the other".to_owned());
    }
    caveats
}

fn criterion(row: &CriterionRow, before: &Side<'_>) -> Option<CriterionChange> {
    let known = before.criteria.iter().find(|earlier| earlier.id == row.id).map(|earlier| earlier.verdict);
    if known == Some(row.verdict) {
        return None;
    }
    let change = match known {
        None => Change::Unknown,
        Some(before) if weight(row.verdict) < weight(before) => Change::Better,
        Some(_) => Change::Worse,
    };
    Some(CriterionChange { id: row.id.clone(), title: row.title.clone(), before: known, now: row.verdict, change })
}

fn figure(name: &str, measure: Measure, noise: Noise, before: &Side<'_>, now: &Side<'_>) -> FigureChange {
    let (old, new) = (before.value(measure), now.value(measure));
    let varies = match noise {
        Noise::Varies(values) => spread(values(before.series)).max(spread(values(now.series))),
        Noise::Events => old.unwrap_or(0).saturating_add(new.unwrap_or(0)).isqrt().saturating_mul(2),
        Noise::None => 0,
    };
    let least = match (noise, measure.unit()) {
        (Noise::Events, _) | (_, Unit::Count) => 0,
        (_, Unit::Micros) => LEAST_MICROS,
        (_, Unit::Permille) => LEAST_PERMILLE,
        (_, Unit::Bytes | Unit::BytesPerHour) => LEAST_BYTES,
    };
    let noise = varies.max(least).max(old.unwrap_or(0) / 100 * LEAST_SHARE);
    let change = match (old, new) {
        (Some(old), Some(new)) if old.abs_diff(new) <= noise => Change::Same,
        (Some(old), Some(new)) if new < old => Change::Better,
        (Some(_), Some(_)) => Change::Worse,
        _ => Change::Unknown,
    };
    FigureChange { name: name.to_owned(), unit: measure.unit(), before: old, now: new, noise, change }
}

impl Side<'_> {
    fn value(&self, measure: Measure) -> Option<u64> {
        match measure {
            Measure::CpuMean => self.process.cpu_mean_permille,
            Measure::CpuPeak => self.process.cpu_peak_permille,
            Measure::MemoryPeak => self.process.rss_peak_bytes,
            Measure::ApiMean => self.api.mean_us,
            Measure::ApiP95 => self.api.p95_us,
            Measure::CallsMean => self.calls.mean_us,
            Measure::CallsP95 => self.calls.p95_us,
            Measure::GeminiMean => self.calls.gemini_mean_us,
            Measure::LogErrors => self.error_lines_a_day(),
            other => self.criteria.iter().flat_map(|row| &row.limits).find(|limit| limit.measure == other)?.value,
        }
    }

    /// Periods differ in length: what is counted is counted by the day.
    fn error_lines_a_day(&self) -> Option<u64> {
        const DAY: u128 = 24 * 3600 * 1_000_000;
        let lines: u64 = self.series.error_lines.points.iter().map(|point| point.sum).sum();
        let a_day = (u128::from(lines) * DAY).checked_div(u128::from(self.coverage.covered_us))?;
        u64::try_from(a_day).ok()
    }
}

/// How much the values of a period vary: half the distance between their quartiles.
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
    fn a_period_varies_by_half_the_distance_of_its_quartiles() {
        assert_eq!(spread(vec![1, 2, 3]), 0);
        assert_eq!(spread((0..101).collect()), 25);
        assert_eq!(spread(vec![10, 10, 10, 10, 900]), 0, "an outlier is no spread");
    }
}
