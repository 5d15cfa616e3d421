//! The simulator is held against the recordings: the same session must give the same lines and answers of the same form.

use std::collections::BTreeSet;
use std::io::Read as _;
use std::path::PathBuf;

use hubwatch::hub::line::parse;
use hubwatch::hub::mask;
use hubwatch::simulator::{ApiAnswer, Gemini, Profile, Simulation, Step};
use hubwatch::watch::{Micros, Timestamp};
use serde_json::Value;

fn path(hub: &str, file: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "tests", "recordings", hub, file].iter().collect()
}

fn recorded_log(hub: &str) -> String {
    let mut text = String::new();
    flate2::read::GzDecoder::new(std::fs::File::open(path(hub, "mcp-hub.log.gz")).unwrap()).read_to_string(&mut text).unwrap();
    text
}

/// The kinds of lines of a log: their texts with names, numbers and ids masked.
fn kinds(log: &str) -> BTreeSet<String> {
    let kind = |line: &str| {
        let text = parse(line).text.into_owned();
        ["probe-0", "probe-1", "probe-2", "probe"].iter().fold(mask::template(&text), |text, name| text.replace(name, "NAME"))
    };
    log.lines().map(kind).collect()
}

/// The recorded session (see the recordings' notes): three clients ask at once, one meets a rate limit, the filesystem server dies
/// and is restarted, an invalid key ends the hub; for the npm hub one client and the server's death.
fn play(profile: Profile, fork: bool) -> String {
    let start = Timestamp::from_secs(1_795_400_000);
    let mut simulation = Simulation::new(profile, start);
    let mut at = |seconds: u64, step| simulation.schedule(start.plus(Micros::new(seconds * 1_000_000)), step);
    let name = |index| format!("probe-{index}");
    at(0, Step::StartHub);
    at(5, Step::Subscribe);
    for index in 0..3 {
        at(6, Step::ConnectClient { name: name(index) });
        let categories = if index == 0 { vec![] } else { vec!["filesystem".to_owned()] };
        at(
            7,
            Step::Analyze {
                client: name(index),
                gemini: Gemini::Answers { after: Micros::new(500_000 + index * 1_000), categories },
            },
        );
        at(9 + index, Step::DisconnectClient { name: name(index) });
    }
    at(13, Step::ConnectClient { name: name(0) });
    at(14, Step::Analyze { client: name(0), gemini: Gemini::RateLimited });
    at(40, Step::KillServer { name: "filesystem".to_owned() });
    at(42, Step::StopServer { name: "filesystem".to_owned() });
    at(43, Step::StartServer { name: "filesystem".to_owned() });
    at(46, Step::Unsubscribe);
    if fork {
        at(50, Step::Analyze { client: name(0), gemini: Gemini::KeyInvalid });
    } else {
        at(50, Step::StopHub);
    }
    let mut log = Vec::new();
    simulation.advance(start.plus(Micros::new(70_000_000)), &mut log).unwrap();
    String::from_utf8(log).unwrap()
}

/// Every kind of line that the simulator writes was recorded; and what was recorded but isn't simulated is listed here.
fn compare(hub: &str, simulated: &str, not_simulated: &[&str]) {
    let (recorded, simulated) = (kinds(&recorded_log(hub)), kinds(simulated));
    let invented: Vec<_> = simulated.difference(&recorded).collect();
    assert!(invented.is_empty(), "{hub}: never recorded: {invented:#?}");
    let missing: Vec<_> =
        recorded.difference(&simulated).filter(|line| !not_simulated.iter().any(|known| line.contains(known))).collect();
    assert!(missing.is_empty(), "{hub}: recorded, but not simulated: {missing:#?}");
}

#[test]
fn the_lines_of_the_fork_with_pino_are_those_of_its_recording() {
    let not_simulated = ["syncCapability", "sync", "meta-tools", "Workspace cache updated", "Meta-tools", "HTTP server has been"];
    compare("fork-pino", &play(Profile::fork_pino(), true), &not_simulated);
}

#[test]
fn the_lines_of_the_npm_hub_are_those_of_its_recording() {
    compare("npm-4.2.1", &play(Profile::npm(), false), &["Workspace cache updated", "HTTP server has been"]);
}

#[test]
fn the_legacy_file_shows_no_checkpoint() {
    let log = play(Profile::fork_legacy(), true);
    assert!(log.contains("[object Object]") && !log.contains("CHECKPOINT"));
}

/// The paths of all scalars in a JSON value, with the kind of each; array elements share a path.
fn shape(value: &Value, path: &str, into: &mut BTreeSet<String>) {
    match value {
        Value::Object(members) => members.iter().for_each(|(key, value)| shape(value, &format!("{path}.{key}"), into)),
        Value::Array(elements) => elements.iter().for_each(|value| shape(value, &format!("{path}[]"), into)),
        scalar => {
            let kind = match scalar {
                Value::Null => return,
                Value::Bool(_) => "bool",
                Value::Number(_) => "number",
                _ => "string",
            };
            into.insert(format!("{path}: {kind}"));
        }
    }
}

#[test]
fn the_answers_have_the_form_of_the_recorded_ones() {
    let profiles = [("npm-4.2.1", Profile::npm()), ("fork-pino", Profile::fork_pino())];
    for (hub, profile) in profiles {
        let start = Timestamp::from_secs(1_795_400_000);
        let mut simulation = Simulation::new(profile, start);
        simulation.schedule(start, Step::StartHub);
        simulation.advance(start.plus(Micros::new(10_000_000)), &mut Vec::new()).unwrap();
        let recorded = std::fs::read(path(hub, "health.json")).unwrap();
        let ApiAnswer::Json { body, .. } = simulation.health() else { panic!("no answer") };
        let (mut theirs, mut ours) = (BTreeSet::new(), BTreeSet::new());
        shape(&serde_json::from_slice(&recorded).unwrap(), "", &mut theirs);
        shape(&serde_json::from_slice(&body).unwrap(), "", &mut ours);
        let unlike =
            |path: &&String| !path.contains("serverInfo") && !path.contains("connections[]") && !path.contains("allActive");
        let invented: Vec<_> = ours.difference(&theirs).filter(unlike).collect();
        let missing: Vec<_> = theirs.difference(&ours).filter(unlike).collect();
        assert!(invented.is_empty() && missing.is_empty(), "{hub}: invented {invented:#?}, missing {missing:#?}");
    }
}

#[test]
fn a_crashed_server_stays_connected_with_an_uptime_of_zero_and_a_start_alone_mends_nothing() {
    let start = Timestamp::from_secs(1_795_400_000);
    let mut simulation = Simulation::new(Profile::npm(), start);
    let second = |seconds: u64| start.plus(Micros::new(seconds * 1_000_000));
    simulation.schedule(start, Step::StartHub);
    simulation.schedule(second(10), Step::KillServer { name: "filesystem".to_owned() });
    simulation.schedule(second(20), Step::StartServer { name: "filesystem".to_owned() });
    simulation.advance(second(30), &mut Vec::new()).unwrap();
    let ApiAnswer::Json { body, .. } = simulation.servers() else { panic!("no answer") };
    let answer: Value = serde_json::from_slice(&body).unwrap();
    let recorded: Value = serde_json::from_slice(&std::fs::read(path("npm-4.2.1", "servers-after-crash.json")).unwrap()).unwrap();
    let filesystem = |answer: &Value| {
        let servers = answer["servers"].as_array().unwrap();
        let server = servers.iter().find(|server| server["name"] == "filesystem").unwrap();
        (server["status"].clone(), server["uptime"].clone(), server["error"].clone())
    };
    assert_eq!(filesystem(&answer), filesystem(&recorded));
}
