//! Which hub a command means, and where its state is: the same answer for every command.
//!
//! A name that was given (flag, variable or file) goes before all. Without one, `run` and `validate` know the hub's address: the name by
//! which the state folder knows that address, else the address itself. `report`, `export` and `mark` know no address: the only hub that
//! the state folder knows in that environment.

use std::path::{Path, PathBuf};

use super::CliError;
use crate::backend::BackendError;
use crate::base::nearest::nearest;
use crate::base::secret;
use crate::config::environment::Environment;
use crate::config::{self, Layers, Sourced};
use crate::journal::{FILE_NAME, JournalReader, KnownHub};
use crate::watch::{self, HubName};

/// The folder of the hubs of a configuration with several, in the state folder.
const HUBS: &str = "hubs";

/// A hub that a state folder knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    /// The hub.
    pub hub: HubName,
    /// Where it runs.
    pub environment: watch::Environment,
    /// Its address, where it was noted.
    pub address: Option<String>,
    /// Where its journal is.
    pub state_dir: PathBuf,
}

/// The hub's name for a command that knows its address.
pub fn of_address(
    layers: &Layers<impl Environment>,
    flag: Option<&str>,
    address: &Sourced<String>,
    (state_dir, environment): (&Path, &watch::Environment),
) -> Result<HubName, CliError> {
    if let Some(name) = layers.hub_name(flag)? {
        return Ok(name);
    }
    let shown = secret::without_credentials(&address.value);
    // What can't be read now is told by whoever needs it.
    let known = all(state_dir).unwrap_or_default();
    let same = |known: &&Known| known.environment == *environment && known.address.as_deref() == Some(shown.as_str());
    if let Some(known) = known.iter().rev().find(same) {
        return Ok(known.hub.clone());
    }
    Ok(config::parse(address.clone(), config::name_of_address)?)
}

/// The hub that is meant, and where its state is, for a command that reads what was watched. Without an environment it is sought in all.
pub fn watched(state_dir: &Path, name: Option<HubName>, environment: Option<&watch::Environment>) -> Result<Known, CliError> {
    let all = all(state_dir)?;
    let is_here = |known: &&Known| environment.is_none_or(|environment| known.environment == *environment);
    // A hub of several has a folder of its own, which comes last.
    let mut here: Vec<&Known> =
        all.iter().rev().filter(is_here).filter(|known| name.as_ref().is_none_or(|name| known.hub == *name)).collect();
    // One hub by two addresses is one hub.
    here.sort_by_key(|known| (known.hub.as_str(), known.environment.as_str()));
    here.dedup_by(|one, other| (&one.hub, &one.environment) == (&other.hub, &other.environment));
    let problem = match (here.as_slice(), name, environment) {
        ([only], ..) => return Ok((*only).clone()),
        ([], Some(name), environment) => unknown(&name, environment, &all),
        ([], None, Some(environment)) => format!("no hub was watched in environment {environment}{}", list(&all)),
        ([], None, None) => format!("no hub was watched{}", list(&all)),
        (_, Some(name), _) => {
            format!("{name} was watched in more than one environment: say which with --environment{}", list(&all))
        }
        (_, None, _) => format!("more than one hub was watched: say which with --name{}", list(&all)),
    };
    Err(CliError::Usage(problem))
}

/// All hubs that the state folder and those of several hubs in it know.
fn all(state_dir: &Path) -> Result<Vec<Known>, CliError> {
    let mut folders = Vec::new();
    if let Ok(entries) = std::fs::read_dir(state_dir.join(HUBS)) {
        folders.extend(entries.flatten().map(|entry| entry.path()).filter(|folder| folder.join(FILE_NAME).exists()));
        folders.sort();
    }
    if state_dir.join(FILE_NAME).exists() || folders.is_empty() {
        folders.insert(0, state_dir.to_owned());
    }
    let mut all = Vec::new();
    for folder in folders {
        let hubs = JournalReader::open(&folder).and_then(|reader| reader.hubs()).map_err(BackendError::from)?;
        all.extend(hubs.into_iter().map(|KnownHub { hub, environment, address }| Known {
            hub,
            environment,
            address,
            state_dir: folder.clone(),
        }));
    }
    Ok(all)
}

fn unknown(name: &HubName, environment: Option<&watch::Environment>, all: &[Known]) -> String {
    let elsewhere: Vec<String> = all.iter().filter(|known| known.hub == *name).map(|known| known.environment.to_string()).collect();
    if let (Some(environment), false) = (environment, elsewhere.is_empty()) {
        let elsewhere = elsewhere.join(", ");
        return format!("{name} was not watched in environment {environment}, but in {elsewhere}: say --environment");
    }
    let names: Vec<&str> = all.iter().map(|known| known.hub.as_str()).collect();
    let meant = nearest(name.as_str(), names).map_or(String::new(), |meant| format!("; did you mean `{meant}`?"));
    format!("no hub `{name}` was watched here{meant}{}", list(all))
}

/// The hubs that there are, for a message.
fn list(all: &[Known]) -> String {
    let names: std::collections::BTreeSet<String> =
        all.iter().map(|known| format!("{} ({})", known.hub, known.environment)).collect();
    let names: Vec<String> = names.into_iter().collect();
    if names.is_empty() { "; nothing was watched yet".to_owned() } else { format!("; known here: {}", names.join(", ")) }
}
