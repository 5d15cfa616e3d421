//! Known defects of hubs: what a hub says or does that a scenario meets, and where it comes from.
//!
//! A known defect is still a failure. Naming it saves whoever reads the result the search for its cause.

/// A known defect.
#[derive(Debug, PartialEq, Eq)]
pub struct Defect {
    /// What is wrong, in a sentence.
    pub means: &'static str,
    /// Where it is, or is described.
    pub link: &'static str,
}

/// The source of the fork in which the defects were found, at that commit.
macro_rules! fork {
    ($place:literal) => {
        concat!("https://github.com/ollieb89/mcp_hub/blob/9a40e7a438f7f634609948150c41de1a320ae507/", $place)
    };
}

/// `tools/list` reads a field that is never assigned.
pub(super) static TOOLS_LIST: Defect = Defect {
    means: "tools/list reads a configuration that the endpoint never keeps, so it fails for every client",
    link: fork!("src/mcp/server.js#L792"),
};

/// A server's tool that is called over MCP runs, and its answer can't be read.
pub(super) static TOOL_ANSWER: Defect = Defect {
    means: "the tool ran, but its answer is parsed without a schema, so the client gets an error instead",
    link: fork!("src/mcp/server.js#L776"),
};

/// A stdio server whose process ended stays `connected`, and nothing reconnects it.
pub(super) static NO_RECONNECTION: Defect = Defect {
    means: "the end of a server's process is not noticed: the server stays \"connected\", and nothing reconnects it",
    link: fork!("src/MCPConnection.js#L1148"),
};

/// The fallback to keywords is told in the log only.
pub(super) static SILENT_FALLBACK: Defect = Defect {
    means: "the fallback to keywords is told in the answer's reasoning and in the log, by no error and no notification",
    link: fork!("src/utils/llm-provider.js#L181"),
};

/// A client that leaves during its call stops the hub.
pub(super) static MID_CALL_LEAVE: Defect = Defect {
    means: "the session of a client that left during its call is not found when the answer comes, and that stops the hub",
    link: fork!("src/mcp/server.js#L307"),
};

/// A client that vanished is never noticed.
pub(super) static HALF_OPEN: Defect = Defect {
    means: "the MCP endpoint neither pings its clients nor limits their idle time",
    link: fork!("src/mcp/server.js#L1148"),
};

/// What hubs say when a client meets one of these.
static BY_MESSAGE: [(&str, &Defect); 2] = [
    ("Cannot read properties of undefined (reading 'toolFiltering')", &TOOLS_LIST),
    ("Cannot read properties of null (reading 'parse')", &TOOL_ANSWER),
];

/// The defect behind a hub's message.
pub(super) fn of_message(message: &str) -> Option<&'static Defect> {
    BY_MESSAGE.iter().find(|(part, _)| message.contains(part)).map(|(_, defect)| *defect)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_fork_answered_is_known_and_an_ordinary_error_is_not() {
        let recorded = "MCP error -32603: Cannot read properties of undefined (reading 'toolFiltering')";
        assert_eq!(of_message(recorded), Some(&TOOLS_LIST));
        assert_eq!(of_message("MCP error -32603: Not connected"), None);
    }
}
