//! Which hubs a journal knows: by what name a watch called the hub of which address. Other commands find the name by the address.

use rusqlite::{Connection, OptionalExtension as _};
use serde::{Deserialize, Serialize};

use super::JournalError;
use crate::watch::{Environment, HubName};

/// Where it is kept in `meta`.
const KEY: &str = "hubs";

/// A state folder is for one hub; a few more were watched from it by mistake. More than this nobody asks for by address.
const MOST: usize = 64;

/// A hub that was watched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownHub {
    /// What the watch calls it.
    pub hub: HubName,
    /// Where it runs.
    pub environment: Environment,
    /// Its address without credentials; `None` for a journal of an older hubwatch.
    pub address: Option<String>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Noted {
    hub: String,
    environment: String,
    address: String,
}

/// Notes a hub, the latest last.
pub(super) fn note(connection: &Connection, known: &KnownHub) -> Result<(), JournalError> {
    let mut noted = noted(connection)?;
    let now = Noted {
        hub: known.hub.to_string(),
        environment: known.environment.to_string(),
        address: known.address.clone().unwrap_or_default(),
    };
    noted.retain(|other| (&other.environment, &other.address) != (&now.environment, &now.address));
    noted.push(now);
    noted.drain(..noted.len().saturating_sub(MOST));
    let json = serde_json::to_vec(&noted).map_err(JournalError::checkpoint)?;
    Ok(super::writer::put(connection, KEY, &json)?)
}

/// Returns every hub that the journal holds Watches of or that a watch was begun for.
pub(super) fn all(connection: &Connection) -> Result<Vec<KnownHub>, JournalError> {
    let mut all = Vec::new();
    for Noted { hub, environment, address } in noted(connection)? {
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

/// What an older or a newer hubwatch may have written otherwise is as good as nothing.
fn noted(connection: &Connection) -> Result<Vec<Noted>, rusqlite::Error> {
    let sql = "SELECT value FROM meta WHERE key = ?";
    let json: Option<Vec<u8>> = connection.query_row(sql, [KEY], |row| row.get(0)).optional()?;
    Ok(json.and_then(|json| serde_json::from_slice(&json).ok()).unwrap_or_default())
}
