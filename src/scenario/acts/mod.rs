//! The scenarios, a file each: its steps, and what decides each of them.

pub(super) mod concurrent_sessions;
pub(super) mod gemini_failure;
pub(super) mod half_open;
pub(super) mod high_load;
pub(super) mod log_disk_full;
pub(super) mod log_growth;
pub(super) mod meta_tool;
pub(super) mod mid_call_leave;
pub(super) mod server_crash;
pub(super) mod session_cleanup;
pub(super) mod session_isolation;
pub(super) mod soak;
pub(super) mod sse_lost;
pub(super) mod tools_usable;

mod sessions;

use std::rc::Rc;
use std::time::Duration;

use super::actor::Actor;
use super::outcome::Outcome;
use super::plan::Scenario;
use super::stage::{Interrupted, Stage};

/// Plays the scenario of this stage.
pub(super) async fn play(stage: &Stage<'_>) -> Result<(), Interrupted> {
    match stage.scenario {
        Scenario::SessionIsolation => session_isolation::play(stage).await,
        Scenario::SessionCleanup => session_cleanup::play(stage).await,
        Scenario::ConcurrentSessions => concurrent_sessions::play(stage).await,
        Scenario::MetaTool => meta_tool::play(stage).await,
        Scenario::ToolsUsable => tools_usable::play(stage).await,
        Scenario::HighLoad => high_load::play(stage).await,
        Scenario::SseLost => sse_lost::play(stage).await,
        Scenario::LogGrowth => log_growth::play(stage).await,
        Scenario::ServerCrash => server_crash::play(stage).await,
        Scenario::GeminiFailure => gemini_failure::play(stage).await,
        Scenario::HalfOpen => half_open::play(stage).await,
        Scenario::MidCallLeave => mid_call_leave::play(stage).await,
        Scenario::LogDiskFull => log_disk_full::play(stage).await,
        Scenario::Soak => soak::play(stage).await,
    }
}

/// A client connects, and the hub counts it. `None` if it could not connect: the step has failed then.
async fn connects(stage: &Stage<'_>, id: &'static str, label: &str) -> Result<Option<Rc<Actor>>, Interrupted> {
    let step = stage.begin(id)?;
    let before = stage.until(stage.clients()).await?;
    let connected = match stage.until(stage.connect(label)).await? {
        Ok(actor) => actor,
        Err(error) => {
            step.end(Outcome::fail(format!("client {label} can't connect: {error}")));
            return Ok(None);
        }
    };
    let Some(before) = before else {
        step.end(Outcome::pass("the handshake is done; the hub does not count its clients"));
        return Ok(Some(connected));
    };
    let counted = async || stage.clients().await.filter(|clients| *clients > before);
    step.end(match stage.await_that(stage.options.patience.counted, counted).await? {
        Some(clients) => Outcome::pass(format!("the handshake is done, and the hub counts {}", of_clients(clients))),
        None => Outcome::fail(format!(
            "the handshake is done, but the hub still counts {} after {} s",
            of_clients(before),
            stage.options.patience.counted.as_secs_f64()
        )),
    });
    Ok(Some(connected))
}

/// A client has left: the hub's count has gone down.
async fn counted_out(stage: &Stage<'_>, before: Option<u32>) -> Result<Outcome, Interrupted> {
    let Some(before) = before else { return Ok(Outcome::unseen("the hub does not count its clients")) };
    let began = tokio::time::Instant::now();
    let gone = async || stage.clients().await.filter(|clients| *clients < before);
    Ok(match stage.await_that(stage.options.patience.left, gone).await? {
        Some(clients) => {
            Outcome::pass(format!("the hub counts {} instead of {before} after {}", of_clients(clients), seconds(began.elapsed())))
        }
        None => Outcome::fail(format!(
            "the hub still counts {} {} s after the client left",
            of_clients(before),
            stage.options.patience.left.as_secs_f64()
        )),
    })
}

/// A number of clients in words.
fn of_clients(clients: u32) -> String {
    if clients == 1 { "1 client".to_owned() } else { format!("{clients} clients") }
}

/// A duration for people.
fn seconds(length: Duration) -> String {
    if length < Duration::from_secs(1) { format!("{} ms", length.as_millis()) } else { format!("{:.1} s", length.as_secs_f64()) }
}

/// Microseconds for people.
fn micros(length: u64) -> String {
    seconds(Duration::from_micros(length))
}

/// Names for people.
fn list<T: AsRef<str>>(names: impl IntoIterator<Item = T>) -> String {
    let names: Vec<String> = names.into_iter().map(|name| name.as_ref().to_owned()).collect();
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}
