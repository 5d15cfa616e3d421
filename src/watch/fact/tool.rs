//! Calls of tools, as instrumentation of the hub showed them, and what the hub does about tools in the background: sorting them with an
//! LLM, reading the marketplace.

use super::facts;
use crate::watch::histogram::Histogram;
use crate::watch::ids::{SessionHash, TraceId};
use crate::watch::names;
use crate::watch::quantity::{Count, Micros, Timestamp};
use crate::watch::record::{record, terms};
use crate::watch::text::Text;

terms! {
    /// The state of the circuit breaker before the LLM that sorts tools into categories.
    pub enum Breaker {
        /// Requests go through.
        Closed = "closed",
        /// Requests are refused.
        Open = "open",
        /// A request is tried.
        HalfOpen = "half_open",
    }
}

record! {
    /// The circuit breaker changed.
    pub struct BreakerChanged {
        /// Now.
        pub to: Breaker = names::TO,
    }
}

record! {
    /// The LLM sorted a tool into a category, in the background.
    pub struct ToolCategorized {
        /// Which tool.
        pub tool: Text = names::TOOL,
        /// Into which category.
        pub category: Text = names::CATEGORY,
    }
}

record! {
    /// The LLM could not sort a tool.
    pub struct CategorizationFailed {
        /// Which tool.
        pub tool: Text = names::TOOL,
        /// Why.
        pub error: Text = names::ERROR,
    }
}

record! {
    /// The marketplace's registry can't be had: the hub goes on without.
    pub struct MarketplaceFailed {
        /// What the hub says about it.
        pub error: Text = names::ERROR,
    }
}

terms! {
    /// How a call of a tool ended.
    pub enum ToolOutcome {
        /// With a result.
        Ok = "ok",
        /// With a result that says `isError`.
        ToolError = "tool_error",
        /// With a JSON-RPC error or an HTTP status of an error.
        Error = "error",
        /// The client left, or said that it waits no longer, before there was an answer.
        ClientClosed = "client_closed",
        /// There was no answer.
        NoAnswer = "no_answer",
    }
}

record! {
    /// Calls of one tool that ended in one way, within one minute of the hub's clock. Those of the meta-tool are among them.
    pub struct ToolCallsCounted {
        /// The server that has the tool, where the call says.
        pub server: Option<Text> = names::SERVER_NAME,
        /// The tool, as the client called it; `(other)` for those beyond what an interval keeps apart.
        pub tool: Text = names::TOOL,
        /// How they ended.
        pub outcome: ToolOutcome = names::TOOL_OUTCOME,
        /// Whether the instrumentation changed their course, because a scenario asked for it.
        pub injected: bool = names::INJECTED,
        /// How many.
        pub count: Count = names::COUNT,
        /// Their total duration.
        pub sum: Micros = names::OPERATION_SUM,
        /// The longest.
        pub max: Micros = names::OPERATION_MAX,
        /// Their durations in µs.
        pub durations: Histogram = names::OPERATION_DURATIONS,
    }
}

record! {
    /// A call of a tool that failed, or one of the slowest of an interval. It is counted among the others, too.
    pub struct ToolCallSeen {
        /// When the request came.
        pub started: Timestamp = names::OPERATION_STARTED,
        /// How long it took until it was answered.
        pub duration: Micros = names::OPERATION_DURATION,
        /// The server that has the tool, where the call says.
        pub server: Option<Text> = names::SERVER_NAME,
        /// The tool, as the client called it.
        pub tool: Text = names::TOOL,
        /// How it ended.
        pub outcome: ToolOutcome = names::TOOL_OUTCOME,
        /// Whether the instrumentation changed its course, because a scenario asked for it.
        pub injected: bool = names::INJECTED,
        /// What went wrong, as `error.type` says.
        pub error: Option<Text> = names::ERROR,
        /// The session that called it.
        pub session: Option<SessionHash> = names::SESSION,
        /// Its trace.
        pub trace: Option<TraceId> = names::OPERATION_TRACE,
    }
}

facts! {
    /// Calls of tools, and what the hub does about tools in the background.
    pub enum ToolFact in Tool {
        BreakerChanged = "mcphub.breaker.changed",
        ToolCategorized = "mcphub.tool.categorized",
        CategorizationFailed = "mcphub.tool.categorization_failed",
        MarketplaceFailed = "mcphub.marketplace.failed",
        ToolCallsCounted = "mcphub.tool.calls_counted",
        ToolCallSeen = "mcphub.tool.call_seen",
    }
}

impl ToolOutcome {
    /// What went wrong, as the conventions' `error.type`.
    pub const fn error(self) -> Option<&'static str> {
        if matches!(self, Self::Ok) { None } else { Some(self.as_str()) }
    }
}
