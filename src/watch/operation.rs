//! What counts as an operation of a hub, in one place: error rates divide by the number of these.
//!
//! An operation is a meta-tool call that ended, or a request of our own to the hub's API. Ordinary tool calls leave no line in any
//! of the hub's sources, so they can't be among them. A call that fell back to the static keywords did what it is for; one that was
//! turned away, was aborted or never ended did not.

use super::fact::{CallFact, CallOutcome, FactKind};
use super::poll::ApiOutcome;
use super::quantity::Micros;
use super::record::terms;
use super::{Watch, names};

terms! {
    /// A kind of operation.
    pub enum OperationKind {
        /// A call of the meta-tool.
        MetaToolCall = "meta_tool_call",
        /// A request of the watch itself to the hub's API.
        ApiRequest = "api_request",
    }
}

/// One operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Operation {
    /// Of which kind.
    pub kind: OperationKind,
    /// How it ended, in the word of its kind.
    pub outcome: &'static str,
    /// How long it took; unknown of a call whose beginning was missed or in whose midst the hub's clock was set.
    pub duration: Option<Micros>,
    /// What went wrong, if anything did: the conventions' `error.type`.
    pub error: Option<&'static str>,
}

/// The operations of one Watch.
pub fn operations(watch: &Watch) -> impl Iterator<Item = Operation> {
    let calls = watch.facts.iter().filter_map(|fact| {
        let FactKind::Call(CallFact::CallEnded(call)) = &fact.kind else { return None };
        Some(Operation {
            kind: OperationKind::MetaToolCall,
            outcome: call.outcome.as_str(),
            duration: call.duration,
            error: call.outcome.error(),
        })
    });
    let requests = watch.poll.iter().flat_map(|poll| {
        let health = Some((poll.api.health, poll.api.health_duration));
        let servers = poll.api.servers.zip(poll.api.servers_duration);
        // The hub's own 404 says that it has no such thing: nothing failed.
        let filtering = poll.filtering.as_ref().filter(|filtering| filtering.outcome != ApiOutcome::NotFound);
        let filtering = filtering.map(|filtering| (filtering.outcome, filtering.duration));
        [health, servers, filtering].into_iter().flatten()
    });
    calls.chain(requests.map(|(outcome, duration)| Operation {
        kind: OperationKind::ApiRequest,
        outcome: outcome.as_str(),
        duration: Some(duration),
        error: outcome.error(),
    }))
}

impl CallOutcome {
    /// What went wrong, as the conventions' `error.type`; nothing with a call that fell back.
    pub const fn error(self) -> Option<&'static str> {
        match self {
            Self::Ok | Self::Fallback => None,
            Self::Error => Some(names::TOOL_ERROR),
            Self::Refused | Self::Aborted | Self::Lost => Some(self.as_str()),
        }
    }
}

impl ApiOutcome {
    /// What went wrong, as the conventions' `error.type`.
    pub const fn error(self) -> Option<&'static str> {
        if matches!(self, Self::Ok) { None } else { Some(self.as_str()) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn each_call_and_each_request_is_one_operation(watch: Watch) {
            let calls = watch.facts.iter().filter(|fact| matches!(fact.kind, FactKind::Call(CallFact::CallEnded(_)))).count();
            let counted = |kind| operations(&watch).filter(|operation| operation.kind == kind).count();
            prop_assert_eq!(counted(OperationKind::MetaToolCall), calls);
            let requests = counted(OperationKind::ApiRequest);
            prop_assert_eq!(requests > 0, watch.poll.is_some());
            prop_assert!(requests <= 3);
        }
    }
}
