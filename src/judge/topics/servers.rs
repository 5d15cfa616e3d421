//! Measures of the servers.

use super::{NEVER_ANSWERED, counted, happened, total};
use crate::judge::history::{Basis, Ending, History, Outage, ServerHistory};
use crate::judge::measure::{
    ANY_TRAFFIC, Advice, Dated, Events, Kind, Measure, Measured, Names, Row, Sentence, Unit, WhenPlanned, Worst, measures,
};
use crate::watch::Micros;

measures! {
    /// How long servers that should work did not, outside planned windows, all servers together (µs): the sum of their unplanned down
    /// time.
    SERVERS_DOWN_TIME: Row {
        word: "servers.down_time",
        unit: Unit::Micros,
        kind: Kind::Happened,
        when_planned: WhenPlanned::LeftOut,
        basis: Basis::Servers,
        needs: None,
        title: "server down time",
        label: "down time {}",
        sentence: Sentence::SummedOver(
            Names::DownServers,
            "Server {names} was down for {}",
            "Servers {names} were down for {} in total",
        ),
        dated: Dated::ServerOutages,
        events: Events::ServerOutages,
        worst: Worst::None,
        advice: Advice::Servers,
        traffic: ANY_TRAFFIC,
        measured: |history, _| of_servers(history, |server| server.down_unplanned_us),
    }

    /// How often a server that should work and did ceased to, outside planned disturbances.
    SERVERS_DISCONNECTIONS: Row {
        word: "servers.disconnections",
        unit: Unit::Count,
        kind: Kind::Happened,
        when_planned: WhenPlanned::LeftOut,
        basis: Basis::Servers,
        needs: None,
        title: "unexpected server disconnections",
        label: "disconnections {}",
        sentence: Sentence::CountedOf(
            Names::DisconnectedServers,
            "{} unexpected disconnection of {names}",
            "{} unexpected disconnections of {names}",
        ),
        dated: Dated::Disconnections,
        events: Events::ServerOutages,
        worst: Worst::None,
        advice: Advice::Servers,
        traffic: ANY_TRAFFIC,
        measured: |history, _| of_servers(history, |server| server.disconnections_unplanned),
    }

    /// The longest time from a server's end to its working again, planned or not (µs). Recoveries that somebody asked for, and
    /// those of unknown cause within 30 s, are left out; an outage that had not ended after 30 s counts with the time that it lasted. A server
    /// that never worked in the period (`up_us` is 0) has nothing to recover. Samples: the times that servers were down.
    SERVERS_SLOWEST_RECOVERY: Row {
        word: "servers.slowest_recovery",
        unit: Unit::Micros,
        kind: Kind::Happened,
        when_planned: WhenPlanned::Counts,
        basis: Basis::Servers,
        needs: None,
        title: "slowest server recovery",
        label: "slowest recovery {}",
        sentence: Sentence::Plain("The slowest server recovery took {}"),
        dated: Dated::Never,
        events: Events::ServerOutages,
        worst: Worst::None,
        advice: Advice::Servers,
        traffic: ANY_TRAFFIC,
        measured: |history, _| slowest_recovery(history),
    }

    /// How often a server worked again only after somebody had restarted it, planned or not.
    SERVERS_RECOVERED_BY_HAND: Row {
        word: "servers.recovered_by_hand",
        unit: Unit::Count,
        kind: Kind::Happened,
        when_planned: WhenPlanned::Counts,
        basis: Basis::Servers,
        needs: None,
        title: "servers that came back only after a manual restart",
        label: "manual restarts {}",
        sentence: Sentence::Counted(
            "{} server outage ended only by a manual restart",
            "{} server outages ended only by a manual restart",
        ),
        dated: Dated::Never,
        events: Events::ServerOutages,
        worst: Worst::None,
        advice: Advice::Servers,
        traffic: ANY_TRAFFIC,
        measured: |history, _| recovered_by_hand(history),
    }

    /// How often the number of tools of a server that should work changed while it worked: facts `mcphub.server.tools_changed`
    /// outside planned disturbances whose `from` is above zero, in a Watch whose poll shows the server as up.
    SERVERS_TOOL_CHANGES: Row {
        word: "servers.tool_changes",
        unit: Unit::Count,
        kind: Kind::Happened,
        when_planned: WhenPlanned::LeftOut,
        basis: Basis::Servers,
        needs: None,
        title: "tool list changes of connected servers",
        label: "tool list changes {}",
        sentence: Sentence::Counted(
            "{} change of a tool list while the server was connected",
            "{} changes of tool lists while the server was connected",
        ),
        dated: Dated::Never,
        events: Events::None,
        worst: Worst::None,
        advice: Advice::None,
        traffic: ANY_TRAFFIC,
        measured: |history, _| of_servers(history, |server| server.tool_changes),
    }
}

/// What is not back after the strategy's 30 s is slower than that, however it went on.
const RECOVERY: Micros = Micros::new(30_000_000);

const NO_RECOVERY: &str = "no server went down and recovered";

fn expected(history: &History) -> impl Iterator<Item = &ServerHistory> {
    history.servers.0.values().filter(|server| server.should_work())
}

/// Of these, those that worked at some time in the period.
fn worked(history: &History) -> impl Iterator<Item = &ServerHistory> {
    expected(history).filter(|server| server.up_us > 0)
}

/// A sum over the servers that should work.
fn of_servers(history: &History, of: fn(&ServerHistory) -> u64) -> Measured {
    happened(total(expected(history).map(of)), history.coverage.polls_answered, NEVER_ANSWERED)
}

fn slowest_recovery(history: &History) -> Measured {
    let downs = worked(history).flat_map(|server| &server.down).filter(|down| shows_recovery(down));
    let recoveries: Vec<u64> = downs.map(|down| down.duration_us).collect();
    match recoveries.iter().max() {
        Some(slowest) => counted(*slowest, recoveries.len() as u64),
        None if history.coverage.polls_answered == 0 => Measured::NotVisible(NEVER_ANSWERED.to_owned()),
        None => Measured::NotExercised(NO_RECOVERY.to_owned()),
    }
}

fn recovered_by_hand(history: &History) -> Measured {
    let downs = || expected(history).flat_map(|server| &server.down);
    let ended = |ending| downs().filter(|down| down.ending == Some(ending)).count() as u64;
    let (by_hand, unexplained) = (ended(Ending::ByHand), ended(Ending::Unexplained));
    let recoveries = worked(history).flat_map(|server| &server.down).filter(|down| shows_recovery(down));
    let all = recoveries.count() as u64 + by_hand;
    if all == 0 && history.coverage.polls_answered == 0 {
        return Measured::NotVisible(NEVER_ANSWERED.to_owned());
    }
    // That none is known to be by hand does not mean that none was.
    if by_hand == 0 && unexplained > 0 {
        return Measured::TooLittle(unexplained_recoveries(unexplained));
    }
    if all == 0 { Measured::NotExercised(NO_RECOVERY.to_owned()) } else { counted(by_hand, all) }
}

fn unexplained_recoveries(count: u64) -> String {
    let (recoveries, them) = if count == 1 { ("1 recovery", "it") } else { (&*format!("{count} recoveries"), "them") };
    format!(
        "{recoveries} of unknown cause: either the hub or a person may have caused {them}; \
         let hubwatch join the event stream, which shows requests to the hub's API"
    )
}

/// Whether an outage says how long a recovery takes: it recovered, or had not after [`RECOVERY`]. One that was ended by hand says only
/// that.
fn shows_recovery(outage: &Outage) -> bool {
    outage.has_recovered() || outage.ending != Some(Ending::ByHand) && outage.duration_us > RECOVERY.get()
}
