//! Calls of the meta-tool, and Gemini's part in them.

use super::facts;
use crate::watch::ids::{SessionHash, TraceId};
use crate::watch::names;
use crate::watch::quantity::{Micros, Timestamp};
use crate::watch::record::{record, terms};
use crate::watch::text::Text;

terms! {
    /// How a meta-tool call ended.
    pub enum CallOutcome {
        /// With categories that Gemini found.
        Ok = "ok",
        /// With the static keywords, because Gemini failed.
        Fallback = "fallback",
        /// In an error.
        Error = "error",
        /// Turned away at once: no LLM client, or no prompt.
        Refused = "refused",
        /// The hub stopped meanwhile.
        Aborted = "aborted",
        /// No end was ever logged.
        Lost = "lost",
    }
}

terms! {
    /// How the end of a call was matched with its beginning.
    pub enum Pairing {
        /// By the session id, or because it was the only call in flight.
        Exact = "exact",
        /// The best supported guess among the calls in flight: the sum of durations is right, a single one may not be.
        Guessed = "guessed",
        /// Its beginning was not seen: the call is counted, how long it took is unknown.
        Partial = "partial",
    }
}

terms! {
    /// How the Gemini part of a call ended.
    pub enum GeminiOutcome {
        /// It answered at the first try.
        Ok = "ok",
        /// It answered after at least one failed round.
        Recovered = "recovered",
        /// It never answered usefully.
        Failed = "failed",
        /// It was not asked.
        NotAsked = "not_asked",
        /// The call ended before it did.
        Unfinished = "unfinished",
        /// Its lines were not seen: the call's beginning was missed.
        Unseen = "unseen",
    }
}

terms! {
    /// Why a round of Gemini requests failed.
    pub enum GeminiFailure {
        /// HTTP 429.
        RateLimited = "rate_limited",
        /// The answer was withheld by the safety filter.
        SafetyFilter = "safety_filter",
        /// The API key is not valid: the hub then stops itself (docs/hub.md).
        KeyInvalid = "key_invalid",
        /// Anything else.
        Failed = "failed",
    }
}

terms! {
    /// What became of the `tools/list_changed` notification of a call.
    pub enum Notification {
        /// It was sent.
        Sent = "sent",
        /// Nothing had changed.
        Skipped = "skipped",
        /// Sending it failed.
        Failed = "failed",
        /// There was no client to send it to.
        NoClient = "no_client",
    }
}

record! {
    /// A meta-tool call ended (or was given up).
    pub struct CallEnded {
        /// When it began; where its beginning was missed, when it was first seen.
        pub started: Timestamp = names::CALL_STARTED,
        /// How long it took. Absent where its beginning was missed (such a call is seen in part), and where the hub's clock was set in its midst.
        pub duration: Option<Micros> = names::CALL_DURATION,
        /// How it ended.
        pub outcome: CallOutcome = names::CALL_OUTCOME,
        /// How sure it is that this end belongs to that beginning.
        pub pairing: Pairing = names::CALL_PAIRING,
        /// Calls in flight when it ended, itself included.
        pub in_flight: u32 = names::CALL_IN_FLIGHT,
        /// How its Gemini part ended.
        pub gemini: GeminiOutcome = names::CALL_GEMINI,
        /// How long the Gemini part took, retries included.
        pub gemini_duration: Option<Micros> = names::CALL_GEMINI_DURATION,
        /// Failed rounds; of a call seen in part, those that were seen.
        pub gemini_failed_rounds: u32 = names::CALL_GEMINI_FAILED_ROUNDS,
        /// Why the last of them failed.
        pub gemini_failure: Option<GeminiFailure> = names::GEMINI_FAILURE,
        /// What became of the notification.
        pub notification: Option<Notification> = names::CALL_NOTIFICATION,
        /// Which session, where the source says.
        pub session: Option<SessionHash> = names::SESSION,
        /// The call's own trace.
        pub trace: TraceId = names::CALL_TRACE,
        /// The categories that the analysis found, separated by commas, where the source says.
        pub categories: Option<Text> = names::CALL_CATEGORIES,
        /// Whether all of these are among those that the hub knows, where the source says both.
        pub categories_known: Option<bool> = names::CALL_CATEGORIES_KNOWN,
        /// How many of them were new to the session, where the source says.
        pub categories_added: Option<u32> = names::CALL_CATEGORIES_ADDED,
        /// How sure the analysis was, in thousandths, where the source says.
        pub confidence: Option<u32> = names::CALL_CONFIDENCE,
        /// Whether the response had all its parts (categories, confidence, reasoning, message), where the source shows it.
        pub response_complete: Option<bool> = names::CALL_RESPONSE_COMPLETE,
    }
}

record! {
    /// A round of Gemini requests failed.
    pub struct GeminiRoundFailed {
        /// Why.
        pub failure: GeminiFailure = names::GEMINI_FAILURE,
    }
}

facts! {
    /// Calls of the meta-tool, and Gemini's part in them.
    pub enum CallFact in Call {
        CallEnded = "mcphub.call.ended",
        GeminiRoundFailed = "mcphub.gemini.round_failed",
    }
}
