//! T+0: what the hub was like when somebody first validated it, kept in the state folder.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::Baseline;
use crate::watch::{Environment, HubName, Micros, Timestamp};

/// Its name in the state folder.
pub const FILE_NAME: &str = "baseline.json";

/// A baseline of an earlier deployment tells nothing about this one: the strategy's period is two days.
const OLDEST: Micros = Micros::new(7 * 24 * 3600 * 1_000_000);

/// A baseline and whose it is: a state folder can be used for another hub.
#[derive(Debug, Serialize, Deserialize)]
struct Stored {
    hub: String,
    environment: String,
    baseline: Baseline,
}

/// The baseline of this hub that holds for a period which ends at `to`.
pub fn read(state_dir: &Path, hub: &HubName, environment: &Environment, to: Timestamp) -> Option<Baseline> {
    let path = state_dir.join(FILE_NAME);
    let bytes = std::fs::read(&path).ok()?;
    match serde_json::from_slice::<Stored>(&bytes) {
        Ok(stored) if (stored.hub.as_str(), stored.environment.as_str()) == (hub.as_str(), environment.as_str()) => {
            let at = stored.baseline.at.0;
            (at <= to && to.since(at) <= OLDEST).then_some(stored.baseline)
        }
        Ok(_) => None,
        Err(error) => {
            tracing::warn!(path = %path.display(), %error, "the baseline can't be read: the first hour is taken instead");
            None
        }
    }
}

/// Keeps it.
pub fn store(state_dir: &Path, hub: &HubName, environment: &Environment, baseline: &Baseline) -> std::io::Result<()> {
    let stored = Stored { hub: hub.to_string(), environment: environment.to_string(), baseline: baseline.clone() };
    crate::atomic::write_json(&state_dir.join(FILE_NAME), &stored)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::judge::moment::Moment;

    #[test]
    fn a_baseline_is_of_its_hub_and_grows_old() {
        let folder = tempfile::tempdir().unwrap();
        let (one, other) = (HubName::parse("one").unwrap(), HubName::parse("other").unwrap());
        let staging = Environment::parse("staging").unwrap();
        let at = Timestamp::from_secs(1_000_000);
        let baseline = Baseline {
            at: Moment(at),
            origin: "hubwatch validate".to_owned(),
            cpu_permille: Some(4),
            rss_bytes: None,
            api_us: None,
            mcp_clients: None,
            tools: None,
            servers_up: Some(1),
        };
        store(folder.path(), &one, &staging, &baseline).unwrap();
        assert_eq!(read(folder.path(), &one, &staging, at.plus(Micros::new(1))), Some(baseline));
        assert_eq!(read(folder.path(), &other, &staging, at), None);
        assert_eq!(read(folder.path(), &one, &staging, at.minus(Micros::new(1))), None);
        assert_eq!(read(folder.path(), &one, &staging, at.plus(Micros::new(OLDEST.get() + 1))), None);
    }
}
