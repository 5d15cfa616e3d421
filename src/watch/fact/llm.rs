//! Requests to LLMs, as instrumentation of the hub showed them: each HTTP attempt of its own, retries included.

use super::facts;
use crate::watch::histogram::Histogram;
use crate::watch::ids::{SessionHash, TraceId};
use crate::watch::names;
use crate::watch::quantity::{Count, Micros, Timestamp};
use crate::watch::record::{record, terms};
use crate::watch::text::Text;

terms! {
    /// How an attempt to ask an LLM ended.
    pub enum LlmOutcome {
        /// With an answer.
        Ok = "ok",
        /// HTTP 429.
        RateLimited = "rate_limited",
        /// Another HTTP status from 400 to 499.
        Rejected = "rejected",
        /// An HTTP status from 500 on.
        ServerError = "server_error",
        /// No answer in time.
        Timeout = "timeout",
        /// In another error: the connection was refused or broke, or the answer could not be read.
        Failed = "failed",
    }
}

record! {
    /// Attempts to ask one model that ended in one way, within one minute of the hub's clock.
    pub struct LlmAttemptsCounted {
        /// Whose model it is, by the GenAI conventions: `gcp.gemini`.
        pub provider: Option<Text> = names::LLM_PROVIDER,
        /// The model that was asked.
        pub model: Text = names::LLM_MODEL,
        /// How they ended.
        pub outcome: LlmOutcome = names::LLM_OUTCOME,
        /// Whether the instrumentation answered itself, because a scenario asked for it: no failure of the hub nor of the LLM.
        pub injected: bool = names::INJECTED,
        /// How many.
        pub count: Count = names::COUNT,
        /// How many of them repeated an attempt that had failed.
        pub retries: Count = names::LLM_RETRIES,
        /// Their total duration.
        pub sum: Micros = names::OPERATION_SUM,
        /// The longest.
        pub max: Micros = names::OPERATION_MAX,
        /// Their durations in µs.
        pub durations: Histogram = names::OPERATION_DURATIONS,
        /// How many of them told how many tokens they used.
        pub with_tokens: Count = names::LLM_WITH_TOKENS,
        /// Tokens of their prompts.
        pub input_tokens: Count = names::LLM_INPUT_TOKENS,
        /// Tokens of their answers.
        pub output_tokens: Count = names::LLM_OUTPUT_TOKENS,
        /// Tokens that the model spent on thinking.
        pub reasoning_tokens: Count = names::LLM_REASONING_TOKENS,
        /// The tokens of each prompt.
        pub input_sizes: Option<Histogram> = names::LLM_INPUT_SIZES,
        /// The tokens of each answer.
        pub output_sizes: Option<Histogram> = names::LLM_OUTPUT_SIZES,
    }
}

record! {
    /// An attempt to ask an LLM that failed, or one of the slowest of an interval. It is counted among the others, too.
    pub struct LlmAttemptSeen {
        /// When it began.
        pub started: Timestamp = names::OPERATION_STARTED,
        /// How long it took.
        pub duration: Micros = names::OPERATION_DURATION,
        /// The model that was asked.
        pub model: Text = names::LLM_MODEL,
        /// How it ended.
        pub outcome: LlmOutcome = names::LLM_OUTCOME,
        /// Whether the instrumentation answered itself, because a scenario asked for it.
        pub injected: bool = names::INJECTED,
        /// The HTTP status, if there was an answer.
        pub status: Option<u32> = names::LLM_STATUS,
        /// What went wrong, as `error.type` says.
        pub error: Option<Text> = names::ERROR,
        /// Which repetition it was: 1 for the first.
        pub retry: Option<u32> = names::LLM_RETRY,
        /// The session whose call caused it.
        pub session: Option<SessionHash> = names::SESSION,
        /// The tool whose call caused it.
        pub tool: Option<Text> = names::TOOL,
        /// Its trace.
        pub trace: Option<TraceId> = names::OPERATION_TRACE,
    }
}

facts! {
    /// Requests to LLMs, as instrumentation of the hub showed them.
    pub enum LlmFact in Llm {
        LlmAttemptsCounted = "mcphub.llm.attempts_counted",
        LlmAttemptSeen = "mcphub.llm.attempt_seen",
    }
}

impl LlmOutcome {
    /// What went wrong, as the conventions' `error.type`.
    pub const fn error(self) -> Option<&'static str> {
        if matches!(self, Self::Ok) { None } else { Some(self.as_str()) }
    }
}
