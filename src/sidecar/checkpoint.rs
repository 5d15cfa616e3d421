//! The state for the next run, committed with the data: the read position and the knowledge of the hub. The two halves have their
//! own versions and are decoded independently, so that losing the knowledge never loses the position.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::assemble::Assembler;
use super::state::Lost;
use crate::hub::framing::Unframer;
use crate::tail;
use crate::watch::{Drops, Environment, HubName, Origin, StateHalf, StateLost, Text, Timestamp};

/// The version of the envelope. Up to version 3 both halves were one object, which [`Flat`] reads.
const FORM: u32 = 4;

/// The last version in which both halves were one object.
const FLAT_FORM: u32 = 3;

/// The version of [`Position`]; increased if an older hubwatch would misread it.
const POSITION_VERSION: u32 = 1;

/// The version of the knowledge, an [`Assembler`]; increased if an older hubwatch would misread it.
const KNOWLEDGE_VERSION: u32 = 1;

/// The read position.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Position {
    /// The watched hub: the state folder can be used for another one later.
    pub hub: HubName,
    /// The hub's environment.
    pub environment: Environment,
    /// The path of the log.
    pub log: Option<PathBuf>,
    /// The positions in the log's files.
    pub files: Option<tail::State>,
    /// The time when the log was last read to its end.
    pub log_reached: Option<Timestamp>,
    /// Data lost since the last Watch.
    pub lost: Lost,
    /// The journal's drops at the last report.
    #[serde(default)]
    pub dropped: Drops,
    /// Number of connections to the event stream so far, which is part of the lines' ids.
    pub connections: u64,
    /// The beginning of an incomplete line.
    pub unframer: Unframer,
}

/// Both halves, for writing.
#[derive(Serialize)]
struct Written<'a> {
    version: u32,
    position: Versioned<&'a Position>,
    knowledge: Versioned<&'a Assembler>,
}

#[derive(Serialize)]
struct Versioned<T> {
    version: u32,
    value: T,
}

/// Both halves, for reading, not decoded yet.
#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow)]
    position: Raw<'a>,
    #[serde(borrow)]
    knowledge: Raw<'a>,
}

#[derive(Deserialize)]
struct Raw<'a> {
    version: u32,
    #[serde(borrow)]
    value: &'a RawValue,
}

/// The envelope up to version 3: the fields of the position beside the knowledge.
#[derive(Deserialize)]
struct Flat<'a> {
    log: Option<PathBuf>,
    position: Option<tail::State>,
    log_reached: Option<Timestamp>,
    lost: Lost,
    #[serde(default)]
    dropped: Drops,
    connections: u64,
    unframer: Unframer,
    #[serde(borrow)]
    assembler: &'a RawValue,
}

/// The readable parts of a checkpoint.
#[derive(Debug, Default)]
pub(super) struct Saved {
    /// The read position, if it is readable.
    pub position: Option<Position>,
    /// The knowledge of the hub, if it is readable.
    pub knowledge: Option<Assembler>,
    /// The parts that are not readable, and why.
    pub losses: Vec<StateLost>,
}

/// Encodes both halves.
pub(super) fn write(position: &Position, knowledge: &Assembler) -> Result<Vec<u8>, serde_json::Error> {
    serde_json::to_vec(&Written {
        version: FORM,
        position: Versioned { version: POSITION_VERSION, value: position },
        knowledge: Versioned { version: KNOWLEDGE_VERSION, value: knowledge },
    })
}

/// Decodes the checkpoint of an earlier run, half by half. The state of another hub than `origin`'s is ignored.
pub(super) fn read(bytes: &[u8], origin: &Origin) -> Saved {
    let saved = read_halves(bytes);
    let of = saved.position.as_ref().map(|position| (&position.hub, &position.environment));
    let of = of.or(saved.knowledge.as_ref().map(|known| (&known.origin().hub, &known.origin().environment)));
    if let Some((hub, environment)) = of.filter(|of| *of != (&origin.hub, &origin.environment)) {
        tracing::warn!(%hub, %environment, "the last run watched another hub; watching begins anew");
        return Saved::default();
    }
    for StateLost { half, reason } in &saved.losses {
        tracing::warn!(%half, %reason, "a part of the last run's state can't be read; it begins anew");
    }
    saved
}

fn read_halves(bytes: &[u8]) -> Saved {
    #[derive(Deserialize)]
    struct Form {
        version: u32,
    }
    let mut saved = Saved::default();
    match serde_json::from_slice::<Form>(bytes) {
        Ok(Form { version: FORM }) => match serde_json::from_slice::<Envelope<'_>>(bytes) {
            Ok(Envelope { position, knowledge }) => {
                saved.position = saved.half(StateHalf::Position, position.value, position.version, POSITION_VERSION);
                saved.knowledge = saved.half(StateHalf::Knowledge, knowledge.value, knowledge.version, KNOWLEDGE_VERSION);
            }
            Err(error) => saved.lose_both(&error.to_string()),
        },
        Ok(Form { version: FLAT_FORM }) => match serde_json::from_slice::<Flat<'_>>(bytes) {
            Ok(flat) => saved.take_flat(flat),
            Err(error) => saved.lose_both(&error.to_string()),
        },
        Ok(Form { version }) => saved.lose_both(&format!("its form is {version}, this hubwatch reads {FLAT_FORM} and {FORM}")),
        Err(error) => saved.lose_both(&error.to_string()),
    }
    saved
}

impl Saved {
    fn half<T: serde::de::DeserializeOwned>(&mut self, half: StateHalf, value: &RawValue, version: u32, known: u32) -> Option<T> {
        if version != known {
            self.lose(half, &format!("its version is {version}, this hubwatch reads {known}"));
            return None;
        }
        match serde_json::from_str(value.get()) {
            Ok(value) => Some(value),
            Err(error) => {
                self.lose(half, &error.to_string());
                None
            }
        }
    }

    /// Splits an envelope up to version 3, in which only the knowledge has the hub's name.
    fn take_flat(&mut self, flat: Flat<'_>) {
        #[derive(Deserialize)]
        struct Of {
            origin: Origin,
        }
        let of = serde_json::from_str::<Of>(flat.assembler.get());
        self.knowledge = self.half(StateHalf::Knowledge, flat.assembler, KNOWLEDGE_VERSION, KNOWLEDGE_VERSION);
        match of {
            Ok(Of { origin }) => {
                self.position = Some(Position {
                    hub: origin.hub,
                    environment: origin.environment,
                    log: flat.log,
                    files: flat.position,
                    log_reached: flat.log_reached,
                    lost: flat.lost,
                    dropped: flat.dropped,
                    connections: flat.connections,
                    unframer: flat.unframer,
                });
            }
            Err(error) => self.lose(StateHalf::Position, &format!("the hub that it is about can't be read: {error}")),
        }
    }

    fn lose_both(&mut self, reason: &str) {
        self.lose(StateHalf::Position, reason);
        self.lose(StateHalf::Knowledge, reason);
    }

    fn lose(&mut self, half: StateHalf, reason: &str) {
        self.losses.push(StateLost { half, reason: Text::new(reason) });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::watch::{Count, Micros, WatcherId};

    /// Written by the last hubwatch that kept both halves in one object.
    const FLAT: &str = include_str!("../../tests/checkpoints/form-3.json");
    /// Written by the first hubwatch with the present envelope.
    const HALVES: &str = include_str!("../../tests/checkpoints/form-4.json");

    fn origin(hub: &str) -> Origin {
        Origin {
            hub: HubName::parse(hub).unwrap(),
            environment: Environment::parse("staging").unwrap(),
            watcher: WatcherId::from_seed(b"test"),
            run: 2,
            sequence: Count::new(0),
            part: 0,
            tool_version: Text::from("test"),
            build: None,
            interval: Micros::new(15_000_000),
        }
    }

    fn halves(saved: &Saved) -> (bool, bool, Vec<StateHalf>) {
        (saved.position.is_some(), saved.knowledge.is_some(), saved.losses.iter().map(|loss| loss.half).collect())
    }

    #[test]
    fn every_form_that_was_ever_released_in_halves_or_whole_gives_position_and_knowledge() {
        for bytes in [FLAT, HALVES] {
            let saved = read(bytes.as_bytes(), &origin("staging-hub"));
            assert_eq!(halves(&saved), (true, true, vec![]));
            let position = saved.position.unwrap();
            assert_eq!(position.files.as_ref().map(tail::State::generations), Some(1));
            assert!(position.log_reached.is_some());
            assert!(saved.knowledge.unwrap().interpreter.hub_started().is_some());
        }
    }

    #[test]
    fn what_is_written_is_read_again() {
        let saved = read(FLAT.as_bytes(), &origin("staging-hub"));
        let (position, knowledge) = (saved.position.unwrap(), saved.knowledge.unwrap());
        let bytes = write(&position, &knowledge).unwrap();
        let again = read(&bytes, &origin("staging-hub"));
        assert_eq!(halves(&again), (true, true, vec![]));
        assert_eq!(write(&again.position.unwrap(), &again.knowledge.unwrap()).unwrap(), bytes);
    }

    #[test]
    fn knowledge_that_cannot_be_read_leaves_the_position() {
        let mut halves_of: serde_json::Value = serde_json::from_str(HALVES).unwrap();
        halves_of["knowledge"]["value"]["interpreter"] = serde_json::json!("of a later form");
        let saved = read(halves_of.to_string().as_bytes(), &origin("staging-hub"));
        assert_eq!(halves(&saved), (true, false, vec![StateHalf::Knowledge]));
        halves_of["knowledge"]["version"] = 99.into();
        let saved = read(halves_of.to_string().as_bytes(), &origin("staging-hub"));
        assert_eq!(halves(&saved), (true, false, vec![StateHalf::Knowledge]));
        assert!(saved.losses[0].reason.as_str().contains("99"), "{:?}", saved.losses);
    }

    #[test]
    fn a_position_that_cannot_be_read_leaves_the_knowledge() {
        let mut halves_of: serde_json::Value = serde_json::from_str(HALVES).unwrap();
        halves_of["position"]["value"]["files"] = serde_json::json!(7);
        let saved = read(halves_of.to_string().as_bytes(), &origin("staging-hub"));
        assert_eq!(halves(&saved), (false, true, vec![StateHalf::Position]));
    }

    #[test]
    fn knowledge_of_the_flat_form_that_cannot_be_read_leaves_the_position() {
        let mut flat: serde_json::Value = serde_json::from_str(FLAT).unwrap();
        flat["assembler"]["metrics"] = serde_json::json!([]);
        let saved = read(flat.to_string().as_bytes(), &origin("staging-hub"));
        assert_eq!(halves(&saved), (true, false, vec![StateHalf::Knowledge]));
    }

    #[test]
    fn garbage_and_unknown_forms_lose_both_halves_and_say_so() {
        for bytes in ["", "{", "[]", r#"{"version":2}"#, r#"{"version":4}"#, r#"{"version":3,"log":null}"#] {
            let saved = read(bytes.as_bytes(), &origin("staging-hub"));
            assert_eq!(halves(&saved), (false, false, vec![StateHalf::Position, StateHalf::Knowledge]), "{bytes}");
        }
    }

    #[test]
    fn the_state_of_another_hub_is_left_aside() {
        for bytes in [FLAT, HALVES] {
            assert_eq!(halves(&read(bytes.as_bytes(), &origin("another-hub"))), (false, false, vec![]));
        }
    }
}
