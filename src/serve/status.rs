//! Pages about a running watch: the status page, which is one file that loads one JSON; `dashboard.json`; and the report so far.

use std::sync::{Arc, Mutex, PoisonError};

use axum::Json;
use axum::extract::{Query, State};
use axum::http::{StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use serde::{Deserialize, Serialize};

use super::{Served, WatchedHub};
use crate::judge::incident::Incident;
use crate::judge::measure::Measure;
use crate::judge::moment::Moment;
use crate::judge::verdict::Verdict;
use crate::live::{SoFar, dashboard};
use crate::report::chart::Chart;
use crate::report::link::{self, TraceLinks};
use crate::report::{self, Given, Provenance, Report, baseline, figures, words};
use crate::watch::Timestamp;

/// The status page; it shares its style with the report.
const PAGE: &str = include_str!("../../templates/status.html");

/// Allows only what the page itself contains, and requests to this server.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; \
frame-ancestors 'none'; base-uri 'none'; form-action 'none'";

/// The page shows only the last incidents; the report has all.
const SHOWN_INCIDENTS: usize = 25;

/// The shortest refresh time of the page.
const FASTEST_REFRESH_MS: u128 = 2_000;

/// The longest refresh time: a page that no longer updates must not look alive.
const SLOWEST_REFRESH_MS: u128 = 15_000;

/// The hub that the request asks for.
#[derive(Debug, Deserialize)]
pub(super) struct Which {
    hub: Option<String>,
}

/// Serves `GET /`, the status page.
pub(super) async fn page() -> Response {
    let page = PAGE.replace("/*style*/", report::STYLE);
    ([(header::CONTENT_SECURITY_POLICY, POLICY), (header::CACHE_CONTROL, "no-cache")], Html(page)).into_response()
}

/// The content of the status page.
#[derive(Debug, Serialize)]
struct Status {
    hub: String,
    environment: String,
    /// All watched hubs, for switching between them.
    hubs: Vec<String>,
    builds: Vec<String>,
    refresh_ms: u64,
    /// The reasons why the watch is not ready.
    not_ready: Vec<String>,
    as_of: Moment,
    /// `None` until the first Watch is committed.
    watched: Option<WatchedSoFar>,
}

#[derive(Debug, Serialize)]
struct WatchedSoFar {
    from: Moment,
    period: String,
    verdict: Verdict,
    headline: String,
    because: Vec<String>,
    facts: Vec<(&'static str, String)>,
    servers: Vec<ServerRow>,
    criteria: Vec<CriterionRow>,
    incidents: Vec<IncidentRow>,
    incidents_in_all: usize,
    charts: Vec<Chart>,
}

#[derive(Debug, Serialize)]
struct ServerRow {
    name: String,
    transport: String,
    claims: String,
    judged: &'static str,
    /// The server's state in one word, compared with its expected states.
    standing: &'static str,
    /// The CSS class of the state.
    class: &'static str,
    why: String,
    tools: u32,
    down: String,
}

#[derive(Debug, Serialize)]
struct CriterionRow {
    id: String,
    title: String,
    severity: &'static str,
    verdict: Verdict,
    value: String,
    threshold: String,
    why: String,
}

#[derive(Debug, Serialize)]
struct IncidentRow {
    start: Moment,
    lasted: String,
    goes_on: bool,
    severity: &'static str,
    title: String,
    cause: Option<String>,
    planned: Option<String>,
}

/// Serves `GET /status.json`, the data of the page. Not an API: its format changes with the page.
pub(super) async fn status_json(State(served): State<Served>, Query(which): Query<Which>) -> Response {
    let Some(hub) = served.find(&which) else { return unknown(&served) };
    let now = Timestamp::now();
    let status = Status {
        hub: hub.hub.to_string(),
        environment: hub.environment.to_string(),
        hubs: served.names(),
        builds: Vec::new(),
        refresh_ms: u64::try_from(hub.interval.as_millis().clamp(FASTEST_REFRESH_MS, SLOWEST_REFRESH_MS)).unwrap_or(u64::MAX),
        not_ready: hub.vitals.wellness(hub.interval).not_ready,
        as_of: Moment(now),
        watched: None,
    };
    let status = match report(hub, now) {
        None => status,
        Some(report) => Status { builds: report.provenance.builds.clone(), watched: Some(watched(&report)), ..status },
    };
    ([(header::CACHE_CONTROL, "no-store")], Json(status)).into_response()
}

/// Serves `GET /dashboard.json`, the same content as the file.
pub(super) async fn dashboard_json(State(served): State<Served>, Query(which): Query<Which>) -> Response {
    let Some(hub) = served.find(&which) else { return unknown(&served) };
    match hub.live.so_far().and_then(|so_far| dashboard::dashboard(&so_far, &hub.vitals.deployment())) {
        Some(dashboard) => ([(header::CACHE_CONTROL, "no-store")], Json(dashboard)).into_response(),
        None => not_yet(),
    }
}

/// Serves `GET /report.json`, the output of `hubwatch report --format json` up to now.
pub(super) async fn report_json(State(served): State<Served>, Query(which): Query<Which>) -> Response {
    let Some(hub) = served.find(&which) else { return unknown(&served) };
    match report(hub, Timestamp::now()) {
        Some(report) => ([(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, "no-store")], report::json(&report))
            .into_response(),
        None => not_yet(),
    }
}

impl Served {
    /// Returns the hub that was asked for, or the first one.
    fn find(&self, which: &Which) -> Option<&WatchedHub> {
        self.hubs.iter().find(|hub| which.hub.as_deref().is_none_or(|name| hub.hub.as_str() == name))
    }

    fn names(&self) -> Vec<String> {
        self.hubs.iter().map(|hub| hub.hub.to_string()).collect()
    }
}

fn unknown(served: &Served) -> Response {
    (StatusCode::NOT_FOUND, format!("unknown hub; watched hubs: {}\n", served.names().join(", "))).into_response()
}

fn not_yet() -> Response {
    (StatusCode::SERVICE_UNAVAILABLE, "the hub has not been polled yet\n").into_response()
}

/// The last report, and the state that it was made from.
#[derive(Debug, Default)]
pub(super) struct Made(Mutex<Option<(Arc<SoFar>, Arc<Report>)>>);

/// Returns the report so far; `None` before the first Watch. It is made once for each Watch, however many clients ask.
fn report(hub: &WatchedHub, now: Timestamp) -> Option<Arc<Report>> {
    let so_far = hub.live.so_far()?;
    // The value is replaced as a whole, so it is valid even after a panic elsewhere.
    let mut made = hub.made.0.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((_, report)) = made.as_ref().filter(|(of, _)| Arc::ptr_eq(of, &so_far)) {
        return Some(report.clone());
    }
    let report = Arc::new(make(hub, &so_far, now));
    *made = Some((so_far, report.clone()));
    Some(report)
}

fn make(hub: &WatchedHub, so_far: &SoFar, now: Timestamp) -> Report {
    let (from, to) = (so_far.from, so_far.to);
    let provenance = Provenance {
        tool_version: env!("CARGO_PKG_VERSION").to_owned(),
        hub: hub.hub.to_string(),
        environment: hub.environment.to_string(),
        builds: Vec::new(),
        backend: "embedded".to_owned(),
        from: Moment(from),
        asked_from: None,
        to: Moment(to),
        generated_at: Moment(now),
        provisional: true,
        watchers: Vec::new(),
        criteria_digest: report::built_in_digest(),
        overrides: Vec::new(),
        unreadable: Vec::new(),
        incomplete: Vec::new(),
    };
    let baseline = baseline::read(&hub.state_dir, &hub.hub, &hub.environment, to);
    let given = Given { provenance, sign_off: hub.sign_off.clone(), baseline };
    let mut report = report::report(so_far.assessment.clone(), given);
    if let Some(template) = hub.trace_url.clone() {
        link::link(&mut report, &TraceLinks { template, hub: hub.hub.clone(), environment: hub.environment.clone() });
    }
    report
}

fn watched(report: &Report) -> WatchedSoFar {
    let shown = report.incidents.iter().rev().take(SHOWN_INCIDENTS);
    WatchedSoFar {
        from: report.provenance.from,
        period: words::duration(report.coverage.period_us),
        verdict: report.overall.verdict,
        headline: words::verdict(report.overall.verdict).means.to_owned(),
        because: report.overall.because.clone(),
        facts: facts(report),
        servers: report.servers.iter().map(server).collect(),
        criteria: report.criteria.iter().map(criterion).collect(),
        incidents: shown.map(incident).collect(),
        incidents_in_all: report.incidents.len(),
        charts: figures::figures(report),
    }
}

fn facts(report: &Report) -> Vec<(&'static str, String)> {
    let or = |value: Option<String>, otherwise: &str| value.unwrap_or_else(|| otherwise.to_owned());
    let coverage = &report.coverage;
    let shown = |measure| report.shown(measure).map(str::to_owned);
    let open = report.incidents.iter().filter(|incident| incident.end.is_none()).count();
    let mut facts = vec![
        ("Hub", or(report.hub.last_state.clone(), "never answered")),
        ("Polls answered", format!("{} of {}", coverage.polls_answered, coverage.polls)),
        ("Open incidents", open.to_string()),
        ("CPU, average", or(shown(Measure::CPU_MEAN), "not visible")),
        ("Memory, peak", or(shown(Measure::MEMORY_PEAK), "not visible")),
        ("API response time, average", or(shown(Measure::API_MEAN), "–")),
        ("Meta-tool calls", report.calls.total.to_string()),
        ("MCP clients, peak", or(report.clients.peak_mcp_clients.map(|peak| peak.to_string()), "–")),
        ("Log", words::bytes(report.log.bytes)),
    ];
    let records = |received: u64| format!("{received} records");
    let (received, refused) =
        (report.sidecar.received.values().sum(), report.sidecar.refused.values().flat_map(|of| of.values()).sum());
    match (received, refused) {
        (0, 0) => {}
        (_, 0) => facts.push(("Received by OTLP", records(received))),
        (_, refused) => facts.push(("Received by OTLP", format!("{}, {refused} refused", records(received)))),
    }
    facts
}

fn server(server: &crate::judge::history::ServerHistory) -> ServerRow {
    ServerRow {
        name: server.name.clone(),
        transport: server.transport.clone(),
        claims: server.last_status.clone(),
        judged: server.last_liveness.as_str(),
        standing: server.standing.word(),
        class: server.standing.class(),
        why: server.last_reason.clone(),
        tools: server.tools_last,
        down: match (server.never_up, server.outages) {
            (true, 1..) => "never up".to_owned(),
            (_, 0) => "never".to_owned(),
            (false, times) => format!("{times}×, {}", words::duration(server.down_us)),
        },
    }
}

fn criterion(row: &report::model::CriterionRow) -> CriterionRow {
    CriterionRow {
        id: row.id.clone(),
        title: row.title.clone(),
        severity: row.severity.as_str(),
        verdict: row.verdict,
        value: row.value.clone(),
        threshold: row.threshold.clone(),
        why: row.why.clone(),
    }
}

fn incident(incident: &Incident) -> IncidentRow {
    IncidentRow {
        start: incident.start,
        lasted: words::lasted(incident, true),
        goes_on: incident.end.is_none(),
        severity: incident.severity.as_str(),
        title: incident.title.clone(),
        cause: incident.cause.clone(),
        planned: incident.planned.clone(),
    }
}
