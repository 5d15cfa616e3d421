//! Links from incidents, calls and evidence to their traces.

use super::model::Report;
use crate::watch::{Environment, HubName, Slot, Timestamp};

/// The placeholder of the trace id in a template.
pub const TRACE_ID: &str = "{trace_id}";

/// The address at which people see the traces of a hub.
#[derive(Debug, Clone)]
pub struct TraceLinks {
    /// An address with [`TRACE_ID`] in it.
    pub template: String,
    /// The hub of the watch traces.
    pub hub: HubName,
    /// Where that hub runs.
    pub environment: Environment,
}

impl TraceLinks {
    /// Returns the address of the given trace, or of the watch trace of that quarter of an hour.
    pub fn url(&self, trace: Option<&str>, at: Timestamp) -> String {
        let of_watch = || Slot::of(at).trace_id(&self.hub, &self.environment, 0).to_string();
        self.template.replace(TRACE_ID, &trace.map_or_else(of_watch, str::to_owned))
    }
}

/// Adds links to all incidents, kept calls, steps of scenarios and evidence.
pub fn link(report: &mut Report, links: &TraceLinks) {
    for evidence in report.criteria.iter_mut().flat_map(|criterion| &mut criterion.evidence) {
        evidence.trace_url = Some(links.url(evidence.trace.as_deref(), evidence.at.0));
    }
    let incidents = report.incidents.iter().map(|incident| (incident.id.clone(), links.url(None, incident.start.0)));
    let calls = report.calls.slowest.iter().chain(&report.calls.failed).map(|call| call.trace.to_string());
    let calls = calls.map(|trace| (trace.clone(), links.template.replace(TRACE_ID, &trace)));
    let steps = report.scenarios.iter().flat_map(|scenario| &scenario.latest.steps).filter_map(|step| step.trace.clone());
    let steps = steps.map(|trace| (trace.clone(), links.template.replace(TRACE_ID, &trace)));
    let tools = report.tool_calls.slowest.iter().chain(&report.tool_calls.last_failed).filter_map(|call| call.trace);
    let attempts = report.llm.slowest.iter().chain(&report.llm.last_failed).filter_map(|attempt| attempt.trace);
    let told = tools.chain(attempts).map(|trace| trace.to_string());
    let told = told.map(|trace| (trace.clone(), links.template.replace(TRACE_ID, &trace)));
    report.trace_urls = incidents.chain(calls).chain(steps).chain(told).collect();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_of_its_own_goes_before_that_of_the_watch() {
        let links = TraceLinks {
            template: "http://jaeger/trace/{trace_id}?uiFind=hub".to_owned(),
            hub: HubName::parse("hub-a").unwrap(),
            environment: Environment::parse("staging").unwrap(),
        };
        let at = Timestamp::from_secs(1_795_000_000);
        assert_eq!(links.url(Some("abc"), at), "http://jaeger/trace/abc?uiFind=hub");
        assert_eq!(links.url(None, at), "http://jaeger/trace/d994d30aeb43b0bb75b0f98b13343fcb?uiFind=hub");
    }
}
