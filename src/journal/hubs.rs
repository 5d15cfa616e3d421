//! The hubs that a journal knows, by name and address. Other commands look up the name by the address.

use rusqlite::{Connection, OptionalExtension as _};
use serde::{Deserialize, Serialize};

use super::JournalError;
use crate::watch::{Environment, HubName};

/// The key in `meta`.
const KEY: &str = "hubs";

/// A state folder is for one hub, and by mistake may have served a few more; hubs beyond this number are forgotten.
const MAX_HUBS: usize = 64;

/// A watched hub.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownHub {
    /// Its name in the watch.
    pub hub: HubName,
    /// Its environment.
    pub environment: Environment,
    /// Its address without credentials; `None` for a journal of an older hubwatch.
    pub address: Option<String>,
}

#[derive(Debug, Serialize, Deserialize)]
struct HubEntry {
    hub: String,
    environment: String,
    address: String,
}

/// Saves a hub as the latest one.
pub(super) fn remember(connection: &Connection, known: &KnownHub) -> Result<(), JournalError> {
    let mut entries = entries(connection)?;
    let now = HubEntry {
        hub: known.hub.to_string(),
        environment: known.environment.to_string(),
        address: known.address.clone().unwrap_or_default(),
    };
    entries.retain(|other| (&other.environment, &other.address) != (&now.environment, &now.address));
    entries.push(now);
    entries.drain(..entries.len().saturating_sub(MAX_HUBS));
    let json = serde_json::to_vec(&entries).map_err(JournalError::checkpoint)?;
    Ok(super::writer::put(connection, KEY, &json)?)
}

/// Returns every hub with Watches in the journal, or for which a watch was begun.
pub(super) fn all(connection: &Connection) -> Result<Vec<KnownHub>, JournalError> {
    let mut all = Vec::new();
    for HubEntry { hub, environment, address } in entries(connection)? {
        if let (Ok(hub), Ok(environment)) = (HubName::parse(&hub), Environment::parse(&environment)) {
            all.push(KnownHub { hub, environment, address: Some(address) });
        }
    }
    let mut statement = connection.prepare("SELECT DISTINCT hub, environment FROM span WHERE hub IS NOT NULL")?;
    let rows = statement.query_map([], |row| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?)))?;
    for row in rows {
        let (hub, environment) = row?;
        if let (Ok(hub), Ok(environment)) = (HubName::parse(&hub), Environment::parse(&environment))
            && all.iter().all(|known| (&known.hub, &known.environment) != (&hub, &environment))
        {
            all.push(KnownHub { hub, environment, address: None });
        }
    }
    Ok(all)
}

/// Returns nothing if an older or newer hubwatch wrote another format.
fn entries(connection: &Connection) -> Result<Vec<HubEntry>, rusqlite::Error> {
    let sql = "SELECT value FROM meta WHERE key = ?";
    let json: Option<Vec<u8>> = connection.query_row(sql, [KEY], |row| row.get(0)).optional()?;
    Ok(json.and_then(|json| serde_json::from_slice(&json).ok()).unwrap_or_default())
}
