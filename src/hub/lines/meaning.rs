//! What a line of the hub means: exact texts, from the recordings (docs/hub.md, "Lines with a meaning").

use crate::watch::{Breaker, ClaimKind, GeminiFailure, Notification};

/// A pattern: the lines that begin or end a process of the hub, and so end the calls in flight.
macro_rules! process_lines {
    () => {
        Meaning::HubStarting | Meaning::HubStopping { .. }
    };
}

/// A pattern: the other lines about the hub itself. With these patterns each topic's `match` names all meanings.
macro_rules! hub_lines {
    () => {
        Meaning::HubStopped
            | Meaning::ServersRestarting { .. }
            | Meaning::ServerConfigured(_)
            | Meaning::HubStartFailed
            | Meaning::StopsAlone { .. }
    };
}

/// A pattern: the lines about servers.
macro_rules! server_lines {
    () => {
        Meaning::ServerStarting(_) | Meaning::ServerConnected(_) | Meaning::ServerClosed(_) | Meaning::ServerFailed { .. }
    };
}

/// A pattern: the lines about clients and their sessions.
macro_rules! client_lines {
    () => {
        Meaning::ClientConnected(_)
            | Meaning::ClientDisconnected(_)
            | Meaning::ClientClosing(_)
            | Meaning::SessionOpened
            | Meaning::SessionClosed(_)
    };
}

/// A pattern: the lines about what the hub does beside serving its clients.
macro_rules! background_lines {
    () => {
        Meaning::Breaker(_)
            | Meaning::ToolCategorized { .. }
            | Meaning::CategorizationFailed { .. }
            | Meaning::MarketplaceFailed(_)
            | Meaning::ServersStarted { .. }
            | Meaning::SubscriberFailed(_)
            | Meaning::LogWriteFailed(_)
    };
}

/// A pattern: the lines about meta-tool calls. [`Meaning::ExposureUpdated`] is about a call or about a session's beginning.
macro_rules! call_lines {
    () => {
        Meaning::CallEntered
            | Meaning::GeminiAsked
            | Meaning::GeminiDone
            | Meaning::CallUpdating
            | Meaning::CallNotified(_)
            | Meaning::CallUpdated
            | Meaning::CallSucceeded
            | Meaning::CallErred
            | Meaning::CallRefused
            | Meaning::GeminiFailed(_)
            | Meaning::GeminiRecovered
            | Meaning::GeminiFallback
            | Meaning::NoCategories
    };
}

pub(in crate::hub) use {background_lines, call_lines, client_lines, hub_lines, process_lines, server_lines};

/// What a line says that is worth a fact.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Meaning<'a> {
    /// The hub's process begins to listen: the first line of a new process.
    HubStarting,
    /// The hub received a signal to stop.
    HubStopping {
        /// `SIGTERM` or `SIGINT`.
        signal: &'a str,
    },
    /// The hub shut down cleanly.
    HubStopped,
    /// The hub restarts all of its servers, because its API was asked to, or is done with that.
    ServersRestarting {
        /// Whether it is done.
        done: bool,
    },
    /// What the configuration says of a server changed: the hub did what follows from it.
    ServerConfigured(&'a str),
    /// A server is being started.
    ServerStarting(&'a str),
    /// A server is connected.
    ServerConnected(&'a str),
    /// The connection to a server's process closed, for whatever reason.
    ServerClosed(&'a str),
    /// A server could not be started.
    ServerFailed {
        /// Which.
        server: &'a str,
        /// What the hub says about it.
        error: &'a str,
    },
    /// An MCP client finished its handshake.
    ClientConnected(&'a str),
    /// An MCP client went away. The hub says this thousands of times for one client.
    ClientDisconnected(&'a str),
    /// Closing the connection of an MCP client met an error.
    ClientClosing(&'a str),
    /// A session begins.
    SessionOpened,
    /// A session's state was cleaned up.
    SessionClosed(&'a str),
    /// A meta-tool call begins.
    CallEntered,
    /// It asks Gemini.
    GeminiAsked,
    /// Gemini's part is over, with or without success.
    GeminiDone,
    /// It updates the client's tools.
    CallUpdating,
    /// What became of the notification.
    CallNotified(Notification),
    /// The client's tools are updated.
    CallUpdated,
    /// It ends well.
    CallSucceeded,
    /// It ends in an error.
    CallErred,
    /// It is turned away.
    CallRefused,
    /// A round of Gemini requests failed.
    GeminiFailed(GeminiFailure),
    /// The analysis succeeded after a failed round.
    GeminiRecovered,
    /// All rounds of the analysis failed; the static keywords are used instead.
    GeminiFallback,
    /// The analysis found no category: the call ends well, with nothing to change.
    NoCategories,
    /// What a session is offered was set.
    ExposureUpdated,
    /// The circuit breaker changed.
    Breaker(Breaker),
    /// A tool was sorted into a category.
    ToolCategorized {
        /// Which tool.
        tool: &'a str,
        /// Into which category.
        category: &'a str,
    },
    /// A tool could not be sorted.
    CategorizationFailed {
        /// Which tool.
        tool: &'a str,
        /// Why.
        error: &'a str,
    },
    /// The marketplace's registry can't be had.
    MarketplaceFailed(&'a str),
    /// The start of all servers is over.
    ServersStarted {
        /// How many are up.
        up: u32,
        /// Of how many.
        total: u32,
    },
    /// The connection to an event-stream subscriber broke.
    SubscriberFailed(&'a str),
    /// The hub can't write its log.
    LogWriteFailed(&'a str),
    /// The process that starts can't listen: something has its port.
    HubStartFailed,
    /// The hub stops itself once its last event-stream subscriber leaves (`--auto-shutdown`), or does so now.
    StopsAlone {
        /// Whether it does so now.
        now: bool,
    },
}

impl Meaning<'_> {
    /// What the line claims of the hub or its servers that only the hub itself can confirm.
    pub const fn claims(self) -> Option<ClaimKind> {
        match self {
            Self::HubStarting => Some(ClaimKind::HubStart),
            Self::HubStopping { .. } | Self::HubStopped => Some(ClaimKind::HubStop),
            server_lines!() => Some(ClaimKind::ServerChange),
            Self::ServersRestarting { .. } | Self::ServerConfigured(_) | Self::HubStartFailed | Self::StopsAlone { .. } => None,
            client_lines!() | background_lines!() | call_lines!() | Self::ExposureUpdated => None,
        }
    }

    /// Whether the line is one of those whose message the hub hands over as an object. (Its error, `CHECKPOINT 7`, is none.)
    pub const fn is_checkpoint(self) -> bool {
        matches!(
            self,
            Self::SessionOpened
                | Self::CallEntered
                | Self::GeminiAsked
                | Self::GeminiDone
                | Self::CallUpdating
                | Self::CallUpdated
                | Self::CallSucceeded
        )
    }

    /// Whether the line belongs to a meta-tool call, or ends those in flight.
    pub const fn concerns_calls(self) -> bool {
        match self {
            process_lines!() | call_lines!() | Self::ExposureUpdated => true,
            hub_lines!() | server_lines!() | client_lines!() | background_lines!() => false,
        }
    }
}

/// What a storm of this line is known to mean.
pub fn of_storm(text: &str) -> Option<&'static str> {
    match of(text)? {
        Meaning::ClientDisconnected(_) => Some("one MCP client disconnected: the hub closes its connection again and again"),
        Meaning::ClientClosing(_) => Some("the hub can't close a client's connection"),
        _ => None,
    }
}

/// What the line means, if it is one of those that mean something.
pub fn of(text: &str) -> Option<Meaning<'_>> {
    match text.as_bytes().first()? {
        b'\'' => of_quoted(text),
        b'C' => of_checkpoint(text),
        b'0'..=b'9' => of_summary(text),
        _ => of_fixed(text),
    }
}

/// `'NAME' …`
fn of_quoted<'a>(text: &'a str) -> Option<Meaning<'a>> {
    let quoted = text.strip_prefix('\'')?;
    type Named<'a> = fn(&'a str) -> Meaning<'a>;
    let endings: [(&str, Named<'a>); 4] = [
        ("' client disconnected from MCP HUB", Meaning::ClientDisconnected),
        ("' client connected to MCP HUB", Meaning::ClientConnected),
        ("' transport closed", Meaning::ServerClosed),
        ("' MCP server connected", Meaning::ServerConnected),
    ];
    endings.into_iter().find_map(|(ending, meaning)| quoted.strip_suffix(ending).map(meaning))
}

fn of_checkpoint(text: &str) -> Option<Meaning<'_>> {
    if let Some(session) = text.strip_prefix("Cleaned up session ") {
        return Some(Meaning::SessionClosed(session));
    }
    if text.starts_with("Cannot send notification: client") {
        return Some(Meaning::CallNotified(Notification::NoClient));
    }
    if text.starts_with("Circuit breaker ") {
        return of_breaker(text).map(Meaning::Breaker);
    }
    Some(match text.strip_prefix("CHECKPOINT")? {
        ": Session initialized with tool exposure" => Meaning::SessionOpened,
        " 1: handleAnalyzePrompt entry" => Meaning::CallEntered,
        " 2: Calling analyzePromptWithFallback" => Meaning::GeminiAsked,
        " 3: LLM analysis complete" => Meaning::GeminiDone,
        " 4: Updating client tools" => Meaning::CallUpdating,
        " 5: Client tools updated" => Meaning::CallUpdated,
        " 6: Returning success response" => Meaning::CallSucceeded,
        " 7: Error in analyze_prompt meta-tool" => Meaning::CallErred,
        _ => return None,
    })
}

fn of_breaker(text: &str) -> Option<Breaker> {
    let change = text.strip_prefix("Circuit breaker ")?;
    if change.starts_with("opened after ") {
        Some(Breaker::Open)
    } else if change.starts_with("transitioned to half-open") {
        Some(Breaker::HalfOpen)
    } else {
        (change.starts_with("reset from ") && change.ends_with(" to closed")).then_some(Breaker::Closed)
    }
}

/// `1/2 servers started successfully`
fn of_summary(text: &str) -> Option<Meaning<'_>> {
    let (up, total) = text.strip_suffix(" servers started successfully")?.split_once('/')?;
    Some(Meaning::ServersStarted { up: up.parse().ok()?, total: total.parse().ok()? })
}

fn of_fixed(text: &str) -> Option<Meaning<'_>> {
    Some(match text {
        "Graceful shutdown completed successfully" => Meaning::HubStopped,
        "Sent tools/list_changed notification to client" => Meaning::CallNotified(Notification::Sent),
        "No new categories added, skipping notification" => Meaning::CallNotified(Notification::Skipped),
        "Failed to send tools/list_changed notification" => Meaning::CallNotified(Notification::Failed),
        "Gemini rate limit exceeded during prompt analysis" => Meaning::GeminiFailed(GeminiFailure::RateLimited),
        "Gemini API key invalid during prompt analysis" => Meaning::GeminiFailed(GeminiFailure::KeyInvalid),
        "No categories identified by LLM analysis" => Meaning::NoCategories,
        "Updated client tool exposure" => Meaning::ExposureUpdated,
        "SSE_SEND_ERROR" => Meaning::SubscriberFailed(text),
        "Setting up auto shutting down" => Meaning::StopsAlone { now: false },
        "No active SSE connections, initiating shutdown" => Meaning::StopsAlone { now: true },
        "Restarting MCP Hub" => Meaning::ServersRestarting { done: false },
        "MCP Hub restarted successfully" => Meaning::ServersRestarting { done: true },
        "LLM analysis succeeded after retry" => Meaning::GeminiRecovered,
        "LLM analysis failed, using heuristic fallback" => Meaning::GeminiFallback,
        "LLM client not available for prompt analysis" | "Empty or invalid prompt provided to analyze_prompt" => {
            Meaning::CallRefused
        }
        _ => return of_beginning(text),
    })
}

fn of_beginning(text: &str) -> Option<Meaning<'_>> {
    if text.starts_with("Starting HTTP server on port ") {
        return Some(Meaning::HubStarting);
    }
    if text.starts_with("Gemini safety filter triggered") {
        return Some(Meaning::GeminiFailed(GeminiFailure::SafetyFilter));
    }
    if text.starts_with("Gemini prompt analysis failed: ") {
        return Some(Meaning::GeminiFailed(GeminiFailure::Failed));
    }
    if let Some(rest) = text.strip_prefix("Received ") {
        return rest.strip_suffix(" signal - initiating graceful shutdown").map(|signal| Meaning::HubStopping { signal });
    }
    if text.starts_with("HTTP_SERVER_START_ERROR: ") {
        return Some(Meaning::HubStartFailed);
    }
    if let Some(rest) = text.strip_prefix("Initializing MCP server '") {
        return rest.strip_suffix('\'').map(Meaning::ServerStarting);
    }
    if let Some(rest) = text.strip_prefix("LLM ") {
        return of_categorization(rest);
    }
    if let Some(server) = of_configuration(text) {
        return Some(Meaning::ServerConfigured(server));
    }
    if let Some(error) = text.strip_prefix("Failed to initialize marketplace registry: ") {
        return Some(Meaning::MarketplaceFailed(error));
    }
    if let Some(error) = text.strip_prefix("Failed to initialize log file: ") {
        return Some(Meaning::LogWriteFailed(error));
    }
    if let Some(rest) = text.strip_prefix("Error closing server connected to ") {
        return rest.split_once(": ").map(|(name, _)| Meaning::ClientClosing(name));
    }
    if text.starts_with("SSE_CONNECTION_ERROR: ") {
        return Some(Meaning::SubscriberFailed(text));
    }
    // The npm hub writes `'NAME' failed to start connection: …` before this line; both hubs write this one.
    let (server, error) = text.strip_prefix("Failed to connect to \"")?.split_once("\" MCP server: ")?;
    Some(Meaning::ServerFailed { server, error })
}

/// `Added new server 'NAME'` · `Removed server NAME` · `Updated server 'NAME'` · `Server 'NAME' disabled` · `Server 'NAME' enabled`
fn of_configuration(text: &str) -> Option<&str> {
    match text.as_bytes().first()? {
        b'A' => text.strip_prefix("Added new server '")?.strip_suffix('\''),
        b'R' => text.strip_prefix("Removed server "),
        b'U' => text.strip_prefix("Updated server '")?.strip_suffix('\''),
        b'S' => {
            let named = text.strip_prefix("Server '")?;
            named.strip_suffix("' disabled").or_else(|| named.strip_suffix("' enabled"))
        }
        _ => None,
    }
}

/// `LLM categorized TOOL as: CAT` · `LLM categorization failed for TOOL: …` · `LLM API timeout after N ms for TOOL`
fn of_categorization(text: &str) -> Option<Meaning<'_>> {
    if let Some(rest) = text.strip_prefix("categorized ") {
        let (tool, category) = rest.rsplit_once(" as: ")?;
        return Some(Meaning::ToolCategorized { tool, category });
    }
    if let Some(rest) = text.strip_prefix("categorization failed for ") {
        let (tool, error) = rest.split_once(": ")?;
        return Some(Meaning::CategorizationFailed { tool, error });
    }
    let (_, tool) = text.strip_prefix("API timeout after ")?.split_once(" for ")?;
    Some(Meaning::CategorizationFailed { tool, error: "timeout" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_taken_out_of_their_quotes() {
        assert_eq!(of("'filesystem' transport closed"), Some(Meaning::ServerClosed("filesystem")));
        assert_eq!(of("'it's me' client connected to MCP HUB"), Some(Meaning::ClientConnected("it's me")));
        assert_eq!(of("Initializing MCP server 'github'"), Some(Meaning::ServerStarting("github")));
        assert_eq!(
            of("Failed to connect to \"github\" MCP server: MCP error -32000: Connection closed"),
            Some(Meaning::ServerFailed { server: "github", error: "MCP error -32000: Connection closed" })
        );
    }

    #[test]
    fn background_work_of_the_hub_is_understood() {
        assert_eq!(of("1/2 servers started successfully"), Some(Meaning::ServersStarted { up: 1, total: 2 }));
        assert_eq!(of("Circuit breaker opened after 5 consecutive failures"), Some(Meaning::Breaker(Breaker::Open)));
        assert_eq!(of("Circuit breaker reset from half-open to closed"), Some(Meaning::Breaker(Breaker::Closed)));
        let sorted = Meaning::ToolCategorized { tool: "a__b", category: "web" };
        assert_eq!(of("LLM categorized a__b as: web"), Some(sorted));
        let late = Meaning::CategorizationFailed { tool: "a__b", error: "timeout" };
        assert_eq!(of("LLM API timeout after 5000 ms for a__b"), Some(late));
    }

    #[test]
    fn a_changed_configuration_names_its_servers() {
        for text in
            ["Added new server 'it's me'", "Removed server it's me", "Updated server 'it's me'", "Server 'it's me' disabled"]
        {
            assert_eq!(of(text), Some(Meaning::ServerConfigured("it's me")), "{text}");
        }
        assert_eq!(of("Restarting MCP Hub"), Some(Meaning::ServersRestarting { done: false }));
    }

    #[test]
    fn lines_that_only_look_alike_mean_nothing() {
        for text in ["", "filesystem stderr: 'x' transport closed!", "CHECKPOINT 8: unheard of", "Received wisdom"] {
            assert_eq!(of(text), None, "{text}");
        }
    }
}
