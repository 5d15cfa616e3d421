//! Finds the hub of this host if none is configured, in the list that hubs keep: `workspaces.json` in their state folder
//! (docs/hub.md, "The HTTP API").

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::answers::Workspace;

/// Why no hub was found.
#[derive(Debug, thiserror::Error)]
pub enum DiscoverError {
    /// There is no list, so no hub of this user ever ran here.
    #[error("no hub was named and none is listed in {0}: give its address with --hub http://HOST:PORT or HUBWATCH_HUB")]
    NoList(PathBuf),
    /// The list can't be read.
    #[error("can't read the hubs listed in {path}: {reason}; give the hub's address with --hub http://HOST:PORT or HUBWATCH_HUB")]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The list is empty.
    #[error("no hub runs here ({0} lists none): start one, or give its address with --hub http://HOST:PORT or HUBWATCH_HUB")]
    None(PathBuf),
    /// More than one could be meant.
    #[error("more than one hub runs here, on ports {ports}: say which with --hub http://127.0.0.1:PORT")]
    Several {
        /// Their ports.
        ports: String,
    },
}

/// Returns the address of the only hub that runs on this host. `state_home` is `$XDG_STATE_HOME`; `alive` returns whether a process
/// runs.
pub fn hub_of_this_host(state_home: &Path, alive: impl Fn(u32) -> bool) -> Result<String, DiscoverError> {
    let path = state_home.join("mcp-hub").join("workspaces.json");
    let list = match std::fs::read(&path) {
        Ok(list) => list,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Err(DiscoverError::NoList(path)),
        Err(error) => return Err(DiscoverError::Unreadable { path, reason: error.to_string() }),
    };
    let listed: BTreeMap<String, Workspace> = serde_json::from_slice(&list)
        .map_err(|error| DiscoverError::Unreadable { path: path.clone(), reason: error.to_string() })?;
    let running = |workspace: &&Workspace| workspace.pid.is_some_and(&alive);
    let ports: Vec<u16> = listed.values().filter(running).filter_map(|workspace| workspace.port).collect();
    match ports.as_slice() {
        [] => Err(DiscoverError::None(path)),
        [port] => Ok(format!("http://127.0.0.1:{port}")),
        several => {
            let ports: Vec<String> = several.iter().map(u16::to_string).collect();
            Err(DiscoverError::Several { ports: ports.join(", ") })
        }
    }
}

/// The default folder of a hub's log: `~/.mcp-hub/logs` if that folder exists, the state folder if not.
pub fn log_of_this_host(home: &Path, state_home: &Path) -> PathBuf {
    let old = home.join(".mcp-hub").join("logs");
    let folder = if old.is_dir() { old } else { state_home.join("mcp-hub").join("logs") };
    folder.join("mcp-hub.log")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(list: &str) -> Result<String, DiscoverError> {
        let home = tempfile::tempdir().unwrap();
        std::fs::create_dir(home.path().join("mcp-hub")).unwrap();
        std::fs::write(home.path().join("mcp-hub/workspaces.json"), list).unwrap();
        hub_of_this_host(home.path(), |pid| pid != 99)
    }

    #[test]
    fn the_one_running_hub_is_found() {
        let list = r#"{"7000":{"pid":1,"port":7000},"7001":{"pid":99,"port":7001}}"#;
        assert_eq!(listed(list).unwrap(), "http://127.0.0.1:7000");
    }

    #[test]
    fn two_hubs_none_and_garbage_are_told_apart() {
        let two = r#"{"7000":{"pid":1,"port":7000},"7001":{"pid":2,"port":7001}}"#;
        assert!(matches!(listed(two), Err(DiscoverError::Several { .. })));
        assert!(matches!(listed("{}"), Err(DiscoverError::None(_))));
        assert!(matches!(listed("["), Err(DiscoverError::Unreadable { .. })));
        assert!(matches!(hub_of_this_host(Path::new("/nonexistent"), |_| true), Err(DiscoverError::NoList(_))));
    }
}
