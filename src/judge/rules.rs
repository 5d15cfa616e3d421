//! What is judged by: the built-in file, and what a configuration says differently in the same form.
//!
//! A [`RuleFile`] is a part of `hubwatch.toml`. The same parts travel in the Watches, one entry each, so that a report made
//! elsewhere judges by the watch's configuration; the report's own configuration has precedence.

use std::collections::BTreeMap;
use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::alert::{Alert, Alerts};
use super::budget::{Budget, BudgetEntry};
use super::criterion::{Criterion, Group, Limit, Severity};
use super::features::Feature;
use super::incident::{Gravity, IncidentKind};
use super::leak::LeakRules;
use super::measure::Measure;
use super::moment::Moment;
use crate::base::nearest::nearest;
use crate::base::toml_text;
use crate::watch::{MAX_TEXT_BYTES, Micros};

/// The default criteria and alerts; the file's comments are their documentation.
pub const DEFAULT: &str = include_str!("criteria.toml");

/// A period shorter than this gives no verdict: the strategy watches for 24 to 48 hours.
pub const MIN_PERIOD: Micros = Micros::new(24 * 3600 * 1_000_000);

/// From so many MCP clients on, the strategy speaks of high load.
pub const HIGH_LOAD_CLIENTS: u32 = 10;

/// The states that a hub claims of a server.
const SERVER_STATES: [&str; 5] = ["connected", "connecting", "disconnected", "unauthorized", "disabled"];

/// A length of time, written `30s`, `5m` or `24h`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Length(pub Micros);

impl<'de> Deserialize<'de> for Length {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let read = |text: &str| std::time::Duration::try_from(text.parse::<jiff::SignedDuration>().ok()?).ok();
        let problem = || serde::de::Error::custom(format!("invalid duration `{text}`; write 30s, 5m or 24h"));
        read(&text).map(|duration| Self(Micros::from_duration(duration))).ok_or_else(problem)
    }
}

impl fmt::Display for Length {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.get() / 1_000_000;
        match seconds {
            0 => f.write_str("0s"),
            _ if !seconds.is_multiple_of(60) => write!(f, "{seconds}s"),
            _ if !seconds.is_multiple_of(3600) => write!(f, "{}m", seconds / 60),
            _ => write!(f, "{}h", seconds / 3600),
        }
    }
}

impl Serialize for Length {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// The part of a configuration that is about judging. What is left out stays as it is.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RuleFile {
    /// `[judge]`: how it is judged.
    #[serde(default, skip_serializing_if = "JudgeEntry::is_empty")]
    pub judge: JudgeEntry,
    /// `[budget]`: what the hub's LLM may use, and what that costs.
    #[serde(default, skip_serializing_if = "BudgetEntry::is_empty")]
    pub budget: BudgetEntry,
    /// `[[criterion]]`: a criterion that is changed or added.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub criterion: Vec<CriterionEntry>,
    /// `[[alert]]`: an alert that is changed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub alert: Vec<AlertEntry>,
    /// `[[waiver]]`: accepts a criterion without a verdict.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub waiver: Vec<Waiver>,
    /// `[servers.NAME]`: what is expected of a server.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub servers: BTreeMap<String, ServerEntry>,
}

/// `[judge]`
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JudgeEntry {
    /// The shortest period that can pass.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_period: Option<Length>,
    /// From so many MCP clients on it is high load.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub high_load_clients: Option<u32>,
    /// Memory's floor is taken within this.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub leak_window: Option<Length>,
    /// How much of a process's beginning is left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub leak_warm_up: Option<Length>,
    /// How long a process must be watched beyond that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub leak_min_steady: Option<Length>,
    /// Growth in the whole time below this share is no leak (thousandths).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub leak_min_growth_permille: Option<u64>,
    /// Growth in the whole time below so many bytes is no leak.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub leak_min_growth_bytes: Option<u64>,
    /// A pass needs growth that is surely below this share a day (thousandths) …
    #[serde(skip_serializing_if = "Option::is_none")]
    pub leak_tolerated_permille_per_day: Option<u64>,
    /// … or below so many bytes a day.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub leak_tolerated_bytes_per_day: Option<u64>,
    /// Whether the hub has the meta-tool; found out from the hub if not said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub has_meta_tool: Option<bool>,
    /// Whether it asks Gemini.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub has_gemini: Option<bool>,
    /// Whether it has sessions with tools of their own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub has_sessions: Option<bool>,
}

impl JudgeEntry {
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// `[[criterion]]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CriterionEntry {
    /// Its name: the group, a dot, and a word.
    pub id: String,
    /// What is said of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// How much it decides.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub severity: Option<Severity>,
    /// How much of the period must be covered for a pass (thousandths).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_coverage: Option<u64>,
    /// How many samples a verdict needs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_samples: Option<u64>,
    /// Whether it is judged at all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
    /// What must hold; a measure that is there already is changed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub limits: Vec<LimitEntry>,
}

/// One of a criterion's limits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LimitEntry {
    /// Which measure.
    pub measure: Measure,
    /// Beyond this it warns.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub warn: Option<u64>,
    /// Beyond this it fails.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fail: Option<u64>,
    /// Whether values below, not above, are beyond.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub below: Option<bool>,
    /// Whether a value that reaches a limit is beyond it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub strict: Option<bool>,
    /// Whether the criterion's other limits decide where this measure can't be had.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub optional: Option<bool>,
}

/// `[[alert]]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AlertEntry {
    /// Which kind of incident.
    pub kind: IncidentKind,
    /// How bad it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub severity: Option<Gravity>,
    /// Beyond this it is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub threshold: Option<u64>,
    /// Within which time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub window: Option<Length>,
    /// Whether it is an incident at all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
}

/// `[[waiver]]`: accepts that a criterion has no verdict. It does not excuse a failure.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Waiver {
    /// Which criterion.
    pub criterion: String,
    /// Why the verdict is not needed.
    pub reason: String,
    /// Who is responsible for the waiver.
    pub by: String,
    /// When the waiver expires, such as `2026-12-31T00:00:00Z`.
    pub until: Moment,
}

/// `[servers.NAME]`
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServerEntry {
    /// The states in which this server may be: `["connecting", "disconnected"]` for one that lacks its token.
    #[serde(default)]
    pub expected: Vec<String>,
}

/// Returns whether a server with these expected states should work: every server should, unless the configuration says otherwise.
pub fn should_work(expected: &[String]) -> bool {
    expected.is_empty() || expected.iter().any(|state| state == "connected")
}

/// Why rules can't be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RuleError {
    /// It is no TOML, or not of the form.
    #[error("{0}")]
    Form(String),
    /// A name that nothing has.
    #[error("{place}: there is no {what} `{name}`{}{hint}", suggested(.suggestion.as_deref()))]
    Unknown {
        /// Where it stands.
        place: String,
        /// What it should be the name of.
        what: &'static str,
        /// The name.
        name: String,
        /// The nearest one that there is.
        suggestion: Option<String>,
        /// What else can be done.
        hint: &'static str,
    },
    /// Something is missing or contradicts itself.
    #[error("{place}: {problem}")]
    Wrong {
        /// Where it stands.
        place: String,
        /// What is wrong, and what would be right.
        problem: String,
    },
}

fn suggested(name: Option<&str>) -> String {
    name.map_or(String::new(), |name| format!("; did you mean `{name}`?"))
}

/// What is judged by.
#[derive(Debug, Clone, PartialEq)]
pub struct Rules {
    /// The criteria.
    pub criteria: Vec<Criterion>,
    /// From when on what is an incident.
    pub alerts: Alerts,
    /// In which states which servers may be.
    pub expected_servers: BTreeMap<String, Vec<String>>,
    /// The waivers.
    pub waivers: Vec<Waiver>,
    /// The shortest period that can pass.
    pub min_period: Micros,
    /// From so many MCP clients on it is high load.
    pub high_load_clients: u32,
    /// How a leak is looked for.
    pub leak: LeakRules,
    /// What the hub's LLM may use.
    pub budget: Budget,
    /// Declarations of whether the hub has a feature.
    pub has: BTreeMap<Feature, bool>,
}

impl Rules {
    /// Returns whether the hub is declared to have a feature; `None` if it must be detected.
    pub fn has(&self, feature: Feature) -> Option<bool> {
        self.has.get(&feature).copied()
    }

    /// The built-in rules.
    pub fn builtin() -> Self {
        let nothing = Self {
            criteria: Vec::new(),
            alerts: Alerts::default(),
            expected_servers: BTreeMap::new(),
            waivers: Vec::new(),
            min_period: MIN_PERIOD,
            high_load_clients: HIGH_LOAD_CLIENTS,
            leak: LeakRules::DEFAULT,
            budget: Budget::none(),
            has: BTreeMap::new(),
        };
        let mut rules = nothing.clone();
        let read = parse(DEFAULT).and_then(|file| rules.apply(&file));
        // A test reads the built-in file; one that can't be read would be a fault of this very build.
        if read.is_ok() { rules } else { nothing }
    }

    /// Changes what the file says differently. After an error nothing is changed.
    pub fn apply(&mut self, file: &RuleFile) -> Result<(), RuleError> {
        let mut changed = self.clone();
        changed.judge(&file.judge);
        changed.budget.change(&file.budget)?;
        for entry in &file.criterion {
            changed.criterion(entry)?;
        }
        for entry in &file.alert {
            changed.alert(entry);
        }
        for (name, server) in &file.servers {
            changed.server(name, server)?;
        }
        for waiver in &file.waiver {
            changed.waive(waiver)?;
        }
        *self = changed;
        Ok(())
    }

    fn judge(&mut self, entry: &JudgeEntry) {
        let length = |to: &mut Micros, from: Option<Length>| *to = from.map_or(*to, |length| length.0);
        length(&mut self.min_period, entry.min_period);
        length(&mut self.leak.window, entry.leak_window);
        length(&mut self.leak.warm_up, entry.leak_warm_up);
        length(&mut self.leak.min_steady, entry.leak_min_steady);
        self.high_load_clients = entry.high_load_clients.unwrap_or(self.high_load_clients);
        let leak = &mut self.leak;
        leak.min_growth_permille = entry.leak_min_growth_permille.unwrap_or(leak.min_growth_permille);
        leak.min_growth_bytes = entry.leak_min_growth_bytes.unwrap_or(leak.min_growth_bytes);
        leak.tolerated_permille_per_day = entry.leak_tolerated_permille_per_day.unwrap_or(leak.tolerated_permille_per_day);
        leak.tolerated_bytes_per_day = entry.leak_tolerated_bytes_per_day.unwrap_or(leak.tolerated_bytes_per_day);
        for feature in Feature::ALL {
            let said = match feature {
                Feature::MetaTool => entry.has_meta_tool,
                Feature::Gemini => entry.has_gemini,
                Feature::Sessions => entry.has_sessions,
            };
            self.has.extend(said.map(|said| (*feature, said)));
        }
    }

    fn criterion(&mut self, entry: &CriterionEntry) -> Result<(), RuleError> {
        let place = || format!("[[criterion]] id = \"{}\"", entry.id);
        if let Some(known) = self.criteria.iter_mut().find(|known| known.id == entry.id) {
            return known.change(entry).map_err(|problem| RuleError::Wrong { place: place(), problem });
        }
        let (Some(severity), false) = (entry.severity, entry.limits.is_empty()) else {
            let known = self.criteria.iter().map(|known| known.id.as_str());
            let suggestion = nearest(&entry.id, known);
            let hint = "\na criterion of your own needs a `severity` and `limits`";
            return Err(RuleError::Unknown { place: place(), what: "criterion", name: entry.id.clone(), suggestion, hint });
        };
        let group = entry.id.split_once('.').and_then(|(group, _)| Group::parse(group));
        let group = group.ok_or_else(|| {
            let groups: Vec<&str> = Group::ALL.iter().map(|group| group.as_str()).collect();
            RuleError::Wrong { place: place(), problem: format!("the id must begin with one of {} and a dot", groups.join(", ")) }
        })?;
        let mut criterion = Criterion::new(entry.id.clone(), group, severity);
        criterion.change(entry).map_err(|problem| RuleError::Wrong { place: place(), problem })?;
        self.criteria.push(criterion);
        Ok(())
    }

    fn alert(&mut self, entry: &AlertEntry) {
        let alert = self.alerts.0.entry(entry.kind).or_insert_with(|| Alert::whenever(entry.kind));
        alert.severity = entry.severity.unwrap_or(alert.severity);
        alert.threshold = entry.threshold.unwrap_or(alert.threshold);
        alert.window = entry.window.map_or(alert.window, |window| window.0);
        alert.enabled = entry.enabled.unwrap_or(alert.enabled);
    }

    fn server(&mut self, name: &str, entry: &ServerEntry) -> Result<(), RuleError> {
        if let Some(unknown) = entry.expected.iter().find(|state| !SERVER_STATES.contains(&state.as_str())) {
            return Err(RuleError::Unknown {
                place: format!("[servers.{name}] expected"),
                what: "state of a server",
                name: unknown.clone(),
                suggestion: nearest(unknown, SERVER_STATES),
                hint: "; valid states: connected, connecting, disconnected, unauthorized, disabled",
            });
        }
        self.expected_servers.insert(name.to_owned(), entry.expected.clone());
        Ok(())
    }

    fn waive(&mut self, waiver: &Waiver) -> Result<(), RuleError> {
        let place = || format!("[[waiver]] criterion = \"{}\"", waiver.criterion);
        if self.criteria.iter().all(|known| known.id != waiver.criterion) {
            let suggestion = nearest(&waiver.criterion, self.criteria.iter().map(|known| known.id.as_str()));
            let name = waiver.criterion.clone();
            return Err(RuleError::Unknown { place: place(), what: "criterion", name, suggestion, hint: "" });
        }
        if waiver.reason.trim().is_empty() || waiver.by.trim().is_empty() {
            let problem = "a waiver needs a `reason`, and in `by` the name of the person who is responsible for it".to_owned();
            return Err(RuleError::Wrong { place: place(), problem });
        }
        self.waivers.retain(|known| known.criterion != waiver.criterion);
        self.waivers.push(waiver.clone());
        Ok(())
    }
}

impl Criterion {
    fn change(&mut self, entry: &CriterionEntry) -> Result<(), String> {
        self.title = entry.title.clone().unwrap_or_else(|| self.title.clone());
        self.severity = entry.severity.unwrap_or(self.severity);
        self.min_coverage = entry.min_coverage.unwrap_or(self.min_coverage);
        self.min_samples = entry.min_samples.unwrap_or(self.min_samples);
        self.enabled = entry.enabled.unwrap_or(self.enabled);
        for limit in &entry.limits {
            if let Some(known) = self.limits.iter_mut().find(|known| known.measure == limit.measure) {
                known.change(limit);
            } else {
                let mut new = Limit::new(limit.measure);
                new.change(limit);
                self.limits.push(new);
            }
        }
        self.limits.iter().try_for_each(Limit::check)
    }
}

impl Limit {
    fn change(&mut self, entry: &LimitEntry) {
        self.warn = entry.warn.or(self.warn);
        self.fail = entry.fail.or(self.fail);
        self.below = entry.below.unwrap_or(self.below);
        self.strict = entry.strict.unwrap_or(self.strict);
        self.optional = entry.optional.unwrap_or(self.optional);
    }

    /// A warning comes before the failure.
    fn check(&self) -> Result<(), String> {
        let ordered = |warn: u64, fail: u64| if self.below { warn >= fail } else { warn <= fail };
        match (self.warn, self.fail) {
            (None, None) => Err(format!("the limit of {} has neither `warn` nor `fail`", self.measure)),
            (Some(warn), Some(fail)) if !ordered(warn, fail) => {
                Err(format!("{}: `warn` ({warn}) lies beyond `fail` ({fail}), so it would never apply", self.measure))
            }
            _ => Ok(()),
        }
    }
}

/// Reads a part of a configuration. An error shows no value: the part may stand in a file with credentials.
pub fn parse(text: &str) -> Result<RuleFile, RuleError> {
    toml_text::read(text).map_err(RuleError::Form)
}

impl RuleFile {
    /// Whether it says anything.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// One text for each thing that it says, as they travel in the Watches. An entry that is too long for that is an error.
    pub fn entries(&self) -> Result<Vec<String>, RuleError> {
        let judge = (!self.judge.is_empty()).then(|| Self { judge: self.judge.clone(), ..Self::default() });
        let budget = (!self.budget.is_empty()).then(|| Self { budget: self.budget.clone(), ..Self::default() });
        let criteria = self.criterion.iter().map(|entry| Self { criterion: vec![entry.clone()], ..Self::default() });
        let alerts = self.alert.iter().map(|entry| Self { alert: vec![entry.clone()], ..Self::default() });
        let servers = self
            .servers
            .iter()
            .map(|(name, server)| Self { servers: BTreeMap::from([(name.clone(), server.clone())]), ..Self::default() });
        let waivers = self.waiver.iter().map(|entry| Self { waiver: vec![entry.clone()], ..Self::default() });
        judge
            .into_iter()
            .chain(budget)
            .chain(criteria)
            .chain(alerts)
            .chain(servers)
            .chain(waivers)
            .map(|entry| entry.text())
            .collect()
    }

    fn text(&self) -> Result<String, RuleError> {
        let text = toml::to_string(self).map_err(|error| RuleError::Form(error.to_string()))?;
        if text.len() > MAX_TEXT_BYTES {
            let place = text.lines().take(2).collect::<Vec<_>>().join(" ");
            let problem =
                format!("the entry is longer than {MAX_TEXT_BYTES} bytes, the most that a Watch can carry: shorten its texts");
            return Err(RuleError::Wrong { place, problem });
        }
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(text: &str) -> Result<Rules, RuleError> {
        let mut rules = Rules::builtin();
        rules.apply(&parse(text)?).map(|()| rules)
    }

    fn refused(text: &str) -> String {
        rules(text).unwrap_err().to_string()
    }

    #[test]
    fn an_error_shows_the_place_and_no_value() {
        let told = [
            "[[criterion]]\nid = 'stability.uptime'\nwindow = 's3cret'\n",
            "[[waiver]]\nreason = \"s3cret\n",
            "[[alert]]\nkindd = 's3cret'\n",
        ]
        .map(|text| parse(text).unwrap_err().to_string());
        assert!(told.iter().all(|told| told.starts_with("line ") && !told.contains("s3cret")), "{told:#?}");
        assert!(told[2].contains("did you mean `kind`?"), "{}", told[2]);
    }

    #[test]
    fn the_built_in_file_has_the_strategys_criteria_and_only_thresholds_of_alerts() {
        let mut rules = Rules { criteria: Vec::new(), alerts: Alerts::default(), ..Rules::builtin() };
        rules.apply(&parse(DEFAULT).unwrap()).unwrap();
        let of = |group| rules.criteria.iter().filter(|criterion| criterion.group == group).count();
        assert_eq!(Group::ALL.iter().map(|group| of(*group)).collect::<Vec<_>>(), [9, 5, 5, 4]);
        assert!(rules.criteria.iter().all(|criterion| !criterion.limits.is_empty()));
        let severities = rules.alerts.0.iter().filter(|(kind, alert)| alert.severity != kind.severity());
        assert_eq!(severities.count(), 0, "the severity stands beside the kind");
        assert_eq!(Rules::builtin(), rules);
    }

    #[test]
    fn an_override_changes_what_it_names_and_nothing_else() {
        let changed = rules(
            "[[criterion]]\nid = 'performance.cpu'\nseverity = 'should'\nlimits = [{ measure = 'cpu.peak', fail = 200 }]\n\
             [[alert]]\nkind = 'error_spike'\nthreshold = 50\nwindow = '10m'\n[judge]\nmin_period = '6h'\n",
        )
        .unwrap();
        let builtin = Rules::builtin();
        let cpu = changed.criteria.iter().find(|criterion| criterion.id == "performance.cpu").unwrap();
        let before = builtin.criteria.iter().find(|criterion| criterion.id == "performance.cpu").unwrap();
        assert_eq!(cpu.severity, Severity::Should);
        assert_eq!((cpu.limits[0].clone(), cpu.limits[1].fail), (before.limits[0].clone(), Some(200)));
        let spike = changed.alerts.of(IncidentKind::ErrorSpike);
        assert_eq!((spike.threshold, spike.window.get(), spike.severity), (50, 600_000_000, Gravity::Critical));
        assert_eq!(changed.min_period, Micros::new(6 * 3_600_000_000));
        assert_eq!((changed.criteria.len(), changed.leak), (23, builtin.leak));
    }

    #[test]
    fn a_criterion_can_be_added_from_any_measure() {
        let text =
            "[[criterion]]\nid = 'performance.api_p95'\nseverity = 'info'\nlimits = [{ measure = 'api.p95', fail = 500_000 }]\n";
        let added = rules(text).unwrap().criteria.pop().unwrap();
        assert_eq!((added.id.as_str(), added.group, added.severity), ("performance.api_p95", Group::Performance, Severity::Info));
    }

    #[test]
    fn slips_are_refused_with_what_may_have_been_meant() {
        insta::assert_snapshot!(refused("[[criterion]]\nid = 'performance.cpus'\nseverity = 'info'\n"), @r#"
        [[criterion]] id = "performance.cpus": there is no criterion `performance.cpus`; did you mean `performance.cpu`?
        a criterion of your own needs a `severity` and `limits`
        "#);
        insta::assert_snapshot!(refused("[[waiver]]\ncriterion = 'stability.no_memory_leaks'\nreason = 'r'\nby = 'b'\nuntil = '2026-12-01T00:00:00Z'\n"), @r#"[[waiver]] criterion = "stability.no_memory_leaks": there is no criterion `stability.no_memory_leaks`; did you mean `stability.no_memory_leak`?"#);
        insta::assert_snapshot!(refused("[servers.github]\nexpected = ['disconected']\n"), @"[servers.github] expected: there is no state of a server `disconected`; did you mean `disconnected`?; valid states: connected, connecting, disconnected, unauthorized, disabled");
        insta::assert_snapshot!(refused("[[criterion]]\nid = 'speed.x'\nseverity = 'info'\nlimits = [{ measure = 'api.p95', fail = 1 }]\n"), @r#"[[criterion]] id = "speed.x": the id must begin with one of integration, performance, stability, degradation and a dot"#);
        insta::assert_snapshot!(refused("[[criterion]]\nid = 'performance.cpu'\nlimits = [{ measure = 'cpu.mean', warn = 20 }]\n"), @r#"[[criterion]] id = "performance.cpu": cpu.mean: `warn` (20) lies beyond `fail` (10), so it would never apply"#);
        assert!(refused("[[criterion]]\nid = 'a.b'\nlimits = [{ measure = 'cpu.meen', fail = 1 }]\n").contains("cpu.meen"));
        assert!(refused("[judge]\nmin_period = 'long'\n").contains("invalid duration"));
        assert!(
            refused("[[waiver]]\ncriterion = 'performance.cpu'\nreason = ' '\nby = 'b'\nuntil = '2026-12-01T00:00:00Z'\n")
                .contains("reason")
        );
    }

    #[test]
    fn what_a_configuration_says_travels_entry_by_entry_and_means_the_same() {
        let text = "[judge]\nmin_period = '90m'\nleak_window = '45s'\n\
            [[criterion]]\nid = 'performance.cpu'\nmin_samples = 5\nlimits = [{ measure = 'cpu.mean', warn = 5, fail = 20 }]\n\
            [[alert]]\nkind = 'disk_low'\nenabled = false\n[[waiver]]\ncriterion = 'performance.cpu'\nreason = 'r'\nby = 'b'\n\
            until = '2026-12-01T00:00:00.000Z'\n[servers.github]\nexpected = ['disconnected']\n";
        let file = parse(text).unwrap();
        let entries = file.entries().unwrap();
        assert_eq!(entries.len(), 5);
        let mut travelled = Rules::builtin();
        entries.iter().for_each(|entry| travelled.apply(&parse(entry).unwrap()).unwrap());
        assert_eq!(travelled, rules(text).unwrap());
        let long = parse(&format!(
            "[[waiver]]\ncriterion = 'x'\nreason = '{}'\nby = 'b'\nuntil = '2026-12-01T00:00:00Z'",
            "r".repeat(1_100)
        ));
        assert!(long.unwrap().entries().unwrap_err().to_string().contains("longer than 1024 bytes"));
    }
}
