//! T+0: the state of the hub when it was first validated, kept in the state folder.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::Baseline;
use crate::watch::{Environment, HubName, Micros, Timestamp};

/// The file's name in the state folder.
pub const FILE_NAME: &str = "baseline.json";

/// The maximum age of a baseline: an older one belongs to an earlier deployment. The strategy's period is two days.
const OLDEST: Micros = Micros::new(7 * 24 * 3600 * 1_000_000);

/// A baseline and its hub.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Stored {
    hub: String,
    environment: String,
    baseline: Baseline,
}

impl Stored {
    fn is_of(&self, hub: &HubName, environment: &Environment) -> bool {
        (self.hub.as_str(), self.environment.as_str()) == (hub.as_str(), environment.as_str())
    }
}

/// The file: one baseline, and those of other hubs with the same state folder.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Kept {
    #[serde(flatten)]
    first: Stored,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    others: Vec<Stored>,
}

impl Kept {
    fn all(&self) -> impl Iterator<Item = &Stored> {
        std::iter::once(&self.first).chain(&self.others)
    }
}

/// The baseline for a report, if there is one.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Found {
    /// The baseline to use.
    pub baseline: Option<Baseline>,
    /// Why the stored baselines can't be used, for people.
    pub note: Option<String>,
}

/// Reads the baseline of this hub for a period that ends at `to`.
pub fn read(state_dir: &Path, hub: &HubName, environment: &Environment, to: Timestamp) -> Found {
    let noted = |note: String| Found { baseline: None, note: Some(format!("{note}; the first hour is used as the baseline")) };
    let path = state_dir.join(FILE_NAME);
    let kept = match load(&path) {
        Ok(Some(kept)) => kept,
        Ok(None) => return Found::default(),
        Err(error) => return noted(format!("{} can't be read: {error}", path.display())),
    };
    let Some(stored) = kept.all().find(|stored| stored.is_of(hub, environment)) else {
        let known: Vec<String> = kept.all().map(|stored| format!("{} ({})", stored.hub, stored.environment)).collect();
        let known = known.join(", ");
        return noted(format!(
            "{FILE_NAME} has no baseline of {hub} ({environment}), it holds those of {known}; `hubwatch validate --name {hub}` makes one"
        ));
    };
    let at = stored.baseline.at.0;
    if at > to {
        // The period is older than the baseline.
        Found::default()
    } else if to.since(at) > OLDEST {
        noted(format!("the baseline of {hub} is from {at}, more than 7 days old; `hubwatch validate --rebaseline` makes a new one"))
    } else {
        Found { baseline: Some(stored.baseline.clone()), note: None }
    }
}

/// Returns when the baseline of this hub was taken, whatever its age; an error if the file can't be read.
pub fn taken_at(state_dir: &Path, hub: &HubName, environment: &Environment) -> Result<Option<Timestamp>, String> {
    let kept = load(&state_dir.join(FILE_NAME))?;
    Ok(kept.and_then(|kept| kept.all().find(|stored| stored.is_of(hub, environment)).map(|stored| stored.baseline.at.0)))
}

fn load(path: &Path) -> Result<Option<Kept>, String> {
    match std::fs::read(path) {
        Ok(bytes) => serde_json::from_slice(&bytes).map(Some).map_err(|error| error.to_string()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error.to_string()),
    }
}

/// Stores the baseline and replaces an earlier one of the same hub. Those of other hubs stay.
pub fn store(state_dir: &Path, hub: &HubName, environment: &Environment, baseline: &Baseline) -> std::io::Result<()> {
    let path = state_dir.join(FILE_NAME);
    let stored = Stored { hub: hub.to_string(), environment: environment.to_string(), baseline: baseline.clone() };
    // The caller has decided to overwrite a file that can't be read.
    let kept = match load(&path).ok().flatten() {
        None => Kept { first: stored, others: Vec::new() },
        Some(mut kept) if kept.first.is_of(hub, environment) => {
            kept.first = stored;
            kept
        }
        Some(mut kept) => {
            kept.others.retain(|other| !other.is_of(hub, environment));
            kept.others.push(stored);
            kept
        }
    };
    crate::base::atomic::write_json(&path, &kept)
}

/// Renames the baseline of a hub that was validated before it had a name: until then its address is its name.
pub fn adopt(state_dir: &Path, unnamed: &HubName, hub: &HubName, environment: &Environment) {
    let path = state_dir.join(FILE_NAME);
    let Ok(Some(mut kept)) = load(&path) else { return };
    if unnamed == hub || kept.all().any(|stored| stored.is_of(hub, environment)) {
        return;
    }
    let mut all = std::iter::once(&mut kept.first).chain(&mut kept.others);
    let Some(stored) = all.find(|stored| stored.is_of(unnamed, environment)) else { return };
    stored.hub = hub.to_string();
    match crate::base::atomic::write_json(&path, &kept) {
        Ok(()) => tracing::info!("the baseline of {unnamed} now belongs to {hub}, which has the same address"),
        Err(error) => tracing::warn!(path = %path.display(), %error, "the baseline of {unnamed} can't be taken over"),
    }
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
        let read = |hub: &HubName, to| read(folder.path(), hub, &staging, to);
        assert_eq!(read(&one, at.plus(Micros::new(1))), Found { baseline: Some(baseline.clone()), note: None });
        let of_other = read(&other, at);
        assert_eq!(of_other.baseline, None);
        assert!(of_other.note.unwrap().contains("holds those of one (staging)"));
        assert_eq!(read(&one, at.minus(Micros::new(1))), Found::default());
        let late = read(&one, at.plus(Micros::new(OLDEST.get() + 1)));
        assert!(late.baseline.is_none() && late.note.unwrap().contains("more than 7 days old"));
        // A second hub's baseline leaves the first one's where it is.
        store(folder.path(), &other, &staging, &Baseline { rss_bytes: Some(5), ..baseline.clone() }).unwrap();
        assert_eq!(read(&one, at).baseline, Some(baseline));
        assert_eq!(read(&other, at).baseline.unwrap().rss_bytes, Some(5));
        std::fs::write(folder.path().join(FILE_NAME), "{").unwrap();
        assert!(read(&one, at).note.unwrap().contains("can't be read") && taken_at(folder.path(), &one, &staging).is_err());
    }

    #[test]
    fn a_watch_takes_over_the_baseline_that_was_taken_before_the_hub_had_a_name() {
        let folder = tempfile::tempdir().unwrap();
        let staging = Environment::parse("staging").unwrap();
        let (unnamed, named) = (HubName::parse("127.0.0.1:7000").unwrap(), HubName::parse("hub-a").unwrap());
        let at = Timestamp::from_secs(1_000_000);
        let baseline = Baseline {
            at: Moment(at),
            origin: "hubwatch validate".to_owned(),
            cpu_permille: None,
            rss_bytes: None,
            api_us: None,
            mcp_clients: None,
            tools: None,
            servers_up: Some(1),
        };
        store(folder.path(), &unnamed, &staging, &baseline).unwrap();
        adopt(folder.path(), &HubName::parse("127.0.0.1:7001").unwrap(), &named, &staging);
        assert_eq!(read(folder.path(), &named, &staging, at).baseline, None, "another address is another hub");
        adopt(folder.path(), &unnamed, &named, &staging);
        assert_eq!(read(folder.path(), &named, &staging, at).baseline, Some(baseline));
    }
}
