//! The strategy's `dashboard.json`, with its fields, names and units.

use serde::Serialize;

use super::vitals::Deployment;
use super::{Latest, SoFar};
use crate::judge::Assessment;
use crate::judge::evaluate::bounds_on;
use crate::judge::exact::Exact;
use crate::judge::incident::Incident;
use crate::judge::measure::{Measure, Unit};
use crate::judge::moment::Moment;
use crate::judge::number::{self, Bound};
use crate::report::words;
use crate::watch::{ApiOutcome, Liveness, Poll, ServerPoll};

/// The file's default name in the state folder.
pub const FILE_NAME: &str = "dashboard.json";

/// The dashboard.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Dashboard {
    deployment_info: DeploymentInfo,
    current_state: CurrentState,
    metrics: Metrics,
    incidents: Vec<DashboardIncident>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
struct DeploymentInfo {
    start_time: Option<Moment>,
    pid: Option<u32>,
    port: Option<u16>,
    config_file: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
struct CurrentState {
    timestamp: Moment,
    status: String,
    uptime: Option<String>,
    cpu: Option<String>,
    memory: Option<String>,
    active_clients: Option<u32>,
    servers: Vec<Server>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
struct Server {
    name: String,
    status: String,
    tools: u32,
    uptime: String,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Metrics {
    total_health_checks: u64,
    error_count: u64,
    success_rate: Option<String>,
    avg_response_time: Option<String>,
    peak_memory_usage: Option<String>,
    peak_cpu_usage: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
struct DashboardIncident {
    id: String,
    severity: &'static str,
    title: String,
    cause: Option<String>,
    start_time: Moment,
    end_time: Option<Moment>,
}

/// Returns the dashboard as of the last poll; `None` before the first. Unknown values are null.
pub fn dashboard(so_far: &SoFar, deployment: &Deployment) -> Option<Dashboard> {
    let Latest { at, poll } = so_far.latest.as_ref()?;
    let assessment = &so_far.assessment;
    let history = &assessment.history;
    let started = poll.api.started.or(poll.process.as_ref().map(|process| process.started));
    let (polls, answered) = (history.coverage.polls, history.coverage.polls_answered);
    Some(Dashboard {
        deployment_info: DeploymentInfo {
            start_time: history.coverage.first,
            pid: poll.process.as_ref().map(|process| process.pid).or(poll.api.pid),
            port: deployment.port,
            config_file: deployment.config_file.clone(),
        },
        current_state: CurrentState {
            timestamp: Moment(*at),
            status: status(poll),
            uptime: started.map(|started| words::duration(at.since(started).get())),
            cpu: history.latest_cpu().map(|share| percent(assessment, Measure::CPU_MEAN, share)),
            memory: memory_share(poll).map(|share| percent(assessment, Measure::MEMORY_HOST_MEAN, share)),
            active_clients: poll.api.mcp_clients,
            servers: poll.servers.iter().map(server).collect(),
        },
        metrics: Metrics {
            total_health_checks: polls,
            error_count: polls.saturating_sub(answered),
            success_rate: Exact::permille(answered, polls).map(|share| spelled(&number::value(Unit::Permille, share, &[ALL]))),
            avg_response_time: shown(assessment, Measure::API_MEAN),
            peak_memory_usage: shown(assessment, Measure::MEMORY_PEAK),
            peak_cpu_usage: shown(assessment, Measure::CPU_PEAK).map(|share| spelled(&share)),
        },
        incidents: assessment.incidents.iter().map(incident).collect(),
    })
}

/// Only all of them are 100 %.
const ALL: Bound = Bound { limit: 1_000, below: true, strict: false };

/// A measure as it stands in the report.
fn shown(assessment: &Assessment, measure: Measure) -> Option<String> {
    assessment.measures.iter().find(|figure| figure.measure == measure)?.shown.clone()
}

/// Of the host's memory, as the strategy has it.
fn memory_share(poll: &Poll) -> Option<Exact> {
    let process = poll.process.as_ref()?;
    Exact::permille(process.rss.get(), process.host_memory.get())
}

/// The share at the last poll, on its side of the limits that are set on a measure.
fn percent(assessment: &Assessment, measure: Measure, share: Exact) -> String {
    let criteria = assessment.criteria.iter().map(|(criterion, _)| criterion);
    spelled(&number::value(Unit::Permille, share, &bounds_on(measure, criteria)))
}

/// As the strategy writes shares: `0.4%`, `100%`.
fn spelled(share: &str) -> String {
    share.replacen(".0 %", "%", 1).replacen(" %", "%", 1)
}

/// Returns the hub's status. The hub reports `ok` whenever it answers, so its state says more.
fn status(poll: &Poll) -> String {
    match (poll.api.health, &poll.api.state) {
        (ApiOutcome::Ok, Some(state)) if state.as_str() == "ready" => "ok".to_owned(),
        (ApiOutcome::Ok, Some(state)) => state.to_string(),
        (outcome, _) => outcome.to_string(),
    }
}

/// Returns a server's state. A server that reports `connected` and is dead is not connected.
fn server(server: &ServerPoll) -> Server {
    let status = match server.liveness {
        Liveness::Down if server.status.as_str() == "connected" => "down".to_owned(),
        Liveness::Up
        | Liveness::Down
        | Liveness::Starting
        | Liveness::Unauthorized
        | Liveness::Disabled
        | Liveness::Unknown
        | Liveness::Removed => server.status.to_string(),
    };
    Server { name: server.name.to_string(), status, tools: server.tools, uptime: words::duration(server.uptime.get()) }
}

fn incident(incident: &Incident) -> DashboardIncident {
    DashboardIncident {
        id: incident.id.clone(),
        severity: incident.severity.as_str(),
        title: incident.title.clone(),
        cause: incident.cause.clone(),
        start_time: incident.start,
        end_time: incident.end,
    }
}
