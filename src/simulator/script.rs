//! What happens in a simulated session.

use super::random::Random;
use super::step::{Gemini, Step};
use crate::watch::{Micros, Timestamp};

const SECOND: u64 = 1_000_000;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;

/// A script: steps with their times.
pub type Script = Vec<(Timestamp, Step)>;

fn named(name: &str) -> String {
    name.to_owned()
}

fn answers(millis: u64, category: &str) -> Gemini {
    Gemini::Answers { after: Micros::new(millis * 1_000), categories: vec![named(category)] }
}

/// Half a minute with a bit of everything: three clients ask at once, Gemini refuses for once, a server dies and is restarted.
pub fn demo(start: Timestamp) -> Script {
    let at = |seconds: f64| start.plus(Micros::new((seconds * SECOND as f64) as u64));
    let mut script = vec![(at(0.0), Step::StartHub)];
    for (index, (millis, category)) in [(900, "filesystem"), (1_400, "github"), (700, "web")].into_iter().enumerate() {
        let client = format!("probe-{index}");
        script.push((at(3.0), Step::ConnectClient { name: client.clone() }));
        script.push((at(4.0 + index as f64 / 10.0), Step::Analyze { client, gemini: answers(millis, category) }));
    }
    script.push((at(6.0), Step::Analyze { client: named("probe-0"), gemini: Gemini::RateLimited }));
    script.push((at(9.0), Step::DisconnectClient { name: named("probe-1") }));
    script.push((at(11.0), Step::KillServer { name: named("filesystem") }));
    script.push((at(18.0), Step::StopServer { name: named("filesystem") }));
    script.push((at(18.2), Step::StartServer { name: named("filesystem") }));
    script.push((at(26.0), Step::DisconnectClient { name: named("probe-2") }));
    script.push((at(27.0), Step::DisconnectClient { name: named("probe-0") }));
    script
}

/// A believable staging period: clients come and go, call the meta-tool, some at once; one bad hour of Gemini's, one server crash
/// that somebody mends after twelve minutes, one restart of the hub, memory that grows and settles.
pub fn rehearsal(start: Timestamp, length: Micros, seed: u64) -> Script {
    let mut random = Random::new(seed);
    let at = |micros: u64| start.plus(Micros::new(micros));
    let mut script = vec![
        (at(0), Step::StartHub),
        (at(2 * MINUTE), Step::Subscribe),
        (at(HOUR), Step::LeakMemory { bytes_per_hour: 4_000_000 }),
        (at(7 * HOUR), Step::LeakMemory { bytes_per_hour: 0 }),
        (at(19 * HOUR), Step::KillServer { name: named("filesystem") }),
        (at(19 * HOUR + 12 * MINUTE), Step::StopServer { name: named("filesystem") }),
        (at(19 * HOUR + 12 * MINUTE + 2 * SECOND), Step::StartServer { name: named("filesystem") }),
        (at(31 * HOUR), Step::StopHub),
        (at(31 * HOUR + 40 * SECOND), Step::StartHub),
    ];
    let (mut visit, mut refused) = (10 * MINUTE, false);
    while visit + HOUR < length.get() {
        script.extend(one_visit(&mut random, start, visit, visit > 11 * HOUR && !refused));
        refused |= visit > 11 * HOUR;
        visit += random.between(20 * MINUTE, 90 * MINUTE);
    }
    script.retain(|(at, _)| *at < start.plus(length));
    script.sort_by_key(|(at, _)| *at);
    script
}

/// A client comes, asks some things, and leaves. Where Gemini is to refuse, it refuses three of its calls.
fn one_visit(random: &mut Random, start: Timestamp, begins: u64, refused: bool) -> Script {
    const CLIENTS: [&str; 4] = ["editor", "agent", "ci-probe", "desktop"];
    const CATEGORIES: [&str; 5] = ["filesystem", "github", "web", "database", "git"];
    let at = |micros: u64| start.plus(Micros::new(micros));
    let client = named(random.pick::<&str>(&CLIENTS));
    let mut script = vec![(at(begins), Step::ConnectClient { name: client.clone() })];
    let mut when = begins + 5 * SECOND;
    for call in 0..random.between(6, 22) {
        let gemini = if refused && (2..5).contains(&call) {
            Gemini::RateLimited
        } else {
            answers(random.between(450, 3_400), random.pick::<&str>(&CATEGORIES))
        };
        script.push((at(when), Step::Analyze { client: client.clone(), gemini }));
        // Now and then the next call comes while this one is under way.
        when += if random.chance(120) { random.between(50_000, 400_000) } else { random.between(20 * SECOND, 150 * SECOND) };
    }
    script.push((at(when + 60 * SECOND), Step::DisconnectClient { name: client }));
    script
}
