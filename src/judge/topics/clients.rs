//! Measures of clients and their sessions.

use super::{SESSIONS_LEFT, TWO_CLIENTS, counted, valued};
use crate::judge::exact::Exact;
use crate::judge::features::Feature;
use crate::judge::history::{Basis, ClientHistory, History};
use crate::judge::measure::{
    ANY_TRAFFIC, Advice, Dated, Events, Kind, Measure, Measured, Row, Sentence, Unit, WhenPlanned, Worst, measures,
};

measures! {
    /// Clients that left (facts `mcphub.client.disconnected`) without a session being cleaned up (facts `mcphub.session.closed`), planned
    /// or not: the difference of the two, at least zero. Not visible where no session is seen to be opened or closed.
    /// Samples: the clients that left.
    SESSIONS_LEFT_OPEN: Row {
        word: "sessions.left_open",
        unit: Unit::Count,
        kind: Kind::Happened,
        when_planned: WhenPlanned::Counts,
        basis: Basis::Calls,
        needs: Some(Feature::Sessions),
        title: "sessions left open by clients that disconnected",
        label: "sessions left open {}",
        sentence: Sentence::Counted(
            "{} session stayed open after the client disconnected",
            "{} sessions stayed open after the client disconnected",
        ),
        dated: Dated::Never,
        events: Events::None,
        worst: Worst::None,
        advice: Advice::Do(SESSIONS_LEFT),
        traffic: ANY_TRAFFIC,
        measured: |history, _| seen_sessions(history, left_open),
    }

    /// Sessions that showed what belongs to another one, planned or not: facts `mcphub.session.exposure_changed` of a session, while
    /// another one was open, with a category that it neither had nor added; and sessions that began with more categories than the
    /// first one did, while another one was open. Samples: the changes while another session was open.
    SESSIONS_NOT_ISOLATED: Row {
        word: "sessions.not_isolated",
        unit: Unit::Count,
        kind: Kind::Happened,
        when_planned: WhenPlanned::Counts,
        basis: Basis::Calls,
        needs: Some(Feature::Sessions),
        title: "sessions that showed another session's tools",
        label: "sessions not isolated {}",
        sentence: Sentence::Counted("{} session showed another session's tools", "{} sessions showed another session's tools"),
        dated: Dated::Never,
        events: Events::None,
        worst: Worst::None,
        advice: Advice::None,
        traffic: TWO_CLIENTS,
        measured: |history, _| seen_sessions(history, not_isolated),
    }

    /// The most MCP clients at a poll, planned or not.
    CLIENTS_PEAK: Row {
        word: "clients.peak",
        unit: Unit::Count,
        kind: Kind::Happened,
        when_planned: WhenPlanned::Counts,
        basis: Basis::Api,
        needs: None,
        title: "MCP clients at once",
        label: "clients at once {}",
        sentence: Sentence::Counted("{} MCP client was connected at once", "{} MCP clients were connected at once"),
        dated: Dated::Never,
        events: Events::None,
        worst: Worst::Clients,
        advice: Advice::None,
        traffic: ANY_TRAFFIC,
        measured: |history, _| clients_peak(history),
    }
}

/// What is measured on sessions, where they could be seen.
fn seen_sessions(history: &History, of: fn(&ClientHistory) -> Measured) -> Measured {
    if history.clients.sessions_opened == 0 && history.clients.sessions_closed == 0 {
        return Measured::NotVisible("no source showed sessions; the npm hub has none".to_owned());
    }
    of(&history.clients)
}

fn left_open(clients: &ClientHistory) -> Measured {
    match clients.disconnected {
        0 => Measured::NotExercised("no client disconnected".to_owned()),
        gone => counted(gone.saturating_sub(clients.sessions_closed), gone),
    }
}

fn not_isolated(clients: &ClientHistory) -> Measured {
    match (clients.isolation_seen, clients.isolation_broken, clients.sessions_told_apart) {
        (_, 1.., _) => counted(clients.isolation_broken, clients.isolation_seen.max(1)),
        (0, 0, 0) => Measured::NotVisible("the log lines do not name their session".to_owned()),
        (0, 0, _) => Measured::NotExercised("no two sessions with their own tools were open at once".to_owned()),
        (seen, 0, _) => counted(0, seen),
    }
}

fn clients_peak(history: &History) -> Measured {
    let peak = history.clients.peak_mcp_clients.map(|peak| Exact::whole(peak.into()));
    valued(peak, history.coverage.polls_answered, "the hub did not say how many clients it has")
}
