//! Finds the hub that a command is about, and its state folder, by the same rules for every command.
//!
//! A configured name (flag, variable or file) has precedence. Without one, `run` and `validate` know the hub's address: they use
//! the name that the state folder has for that address, else the address itself. `report`, `export` and `mark` know no address:
//! they use the only hub of that environment in the state folder.

use std::path::{Path, PathBuf};

use super::CliError;
use crate::backend::BackendError;
use crate::base::nearest::nearest;
use crate::base::secret;
use crate::config::environment::Environment;
use crate::config::{self, Layers, Sourced};
use crate::journal::{FILE_NAME, JournalReader, KnownHub};
use crate::watch::{self, HubName};

/// The subfolder of the state folder for a configuration with several hubs.
const HUBS: &str = "hubs";

/// A hub that a state folder knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Known {
    /// The hub.
    pub hub: HubName,
    /// The hub's environment.
    pub environment: watch::Environment,
    /// Its address, if recorded.
    pub address: Option<String>,
    /// The folder of its journal.
    pub state_dir: PathBuf,
}

/// Returns the hub's name for a command that knows its address.
pub(super) fn of_address(
    layers: &Layers<impl Environment>,
    flag: Option<&str>,
    address: &Sourced<String>,
    (state_dir, environment): (&Path, &watch::Environment),
) -> Result<HubName, CliError> {
    if let Some(name) = layers.hub_name(flag)? {
        return Ok(name);
    }
    let shown = secret::without_credentials(&address.value);
    // An unreadable folder is reported later, by the code that needs it.
    let known = all(state_dir).unwrap_or_default();
    let same = |known: &&Known| known.environment == *environment && known.address.as_deref() == Some(shown.as_str());
    if let Some(known) = known.iter().rev().find(same) {
        return Ok(known.hub.clone());
    }
    Ok(config::parse(address.clone(), config::name_of_address)?)
}

/// Finds the hub and its state folder for a command that reads Watches. Without an environment, all environments are searched.
pub(super) fn watched(
    state_dir: &Path,
    name: Option<HubName>,
    environment: Option<&watch::Environment>,
) -> Result<Known, CliError> {
    let all = all(state_dir)?;
    let is_here = |known: &&Known| environment.is_none_or(|environment| known.environment == *environment);
    // With several hubs, each has its own folder, which comes last.
    let mut here: Vec<&Known> =
        all.iter().rev().filter(is_here).filter(|known| name.as_ref().is_none_or(|name| known.hub == *name)).collect();
    // A hub with two addresses is still one hub.
    here.sort_by_key(|known| (known.hub.as_str(), known.environment.as_str()));
    here.dedup_by(|one, other| (&one.hub, &one.environment) == (&other.hub, &other.environment));
    let problem = match (here.as_slice(), name, environment) {
        ([only], ..) => return Ok((*only).clone()),
        ([], Some(name), environment) => unknown(&name, environment, &all),
        ([], None, Some(environment)) => format!("no hub has been watched in environment {environment}{}", list(&all)),
        ([], None, None) => format!("no hub has been watched{}", list(&all)),
        (_, Some(name), _) => {
            format!("{name} has been watched in several environments: choose one with --environment{}", list(&all))
        }
        (_, None, _) => format!("several hubs have been watched: choose one with --name{}", list(&all)),
    };
    Err(CliError::Usage(problem))
}

/// Returns all hubs in the state folder and in its subfolders.
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
        return format!(
            "{name} has not been watched in environment {environment}, but in {elsewhere}: choose one with --environment"
        );
    }
    let names: Vec<&str> = all.iter().map(|known| known.hub.as_str()).collect();
    let meant = nearest(name.as_str(), names).map_or(String::new(), |meant| format!("; did you mean `{meant}`?"));
    format!("no hub `{name}` has been watched here{meant}{}", list(all))
}

/// Lists the known hubs for a message.
fn list(all: &[Known]) -> String {
    let names: std::collections::BTreeSet<String> =
        all.iter().map(|known| format!("{} ({})", known.hub, known.environment)).collect();
    let names: Vec<String> = names.into_iter().collect();
    if names.is_empty() { "; the state folder has no Watches".to_owned() } else { format!("; known here: {}", names.join(", ")) }
}
