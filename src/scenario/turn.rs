//! One at a time: what one scenario took away, another one would put back too early.

use std::fs::{File, TryLockError};
use std::path::Path;

/// The file in the state folder that is locked.
const FILE: &str = "scenario.lock";

/// The turn of one command. It ends when this is dropped, also with the process.
#[derive(Debug)]
pub struct Turn {
    _locked: File,
}

impl Turn {
    /// Takes the turn.
    ///
    /// # Errors
    /// Another command has it, or the state folder can't be written; in words for people.
    pub fn take(state_dir: &Path) -> Result<Self, String> {
        let unusable = |error: std::io::Error| {
            format!("the state folder {} can't be used: {error}; choose another one with --state-dir", state_dir.display())
        };
        std::fs::create_dir_all(state_dir).map_err(unusable)?;
        let file = File::options().create(true).append(true).open(state_dir.join(FILE)).map_err(unusable)?;
        match file.try_lock() {
            Ok(()) => Ok(Self { _locked: file }),
            Err(TryLockError::WouldBlock) => Err(format!(
                "another `hubwatch scenario run` uses the state folder {}: wait until it has ended",
                state_dir.display()
            )),
            Err(TryLockError::Error(error)) => Err(unusable(error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_turn_is_one_command_s_until_it_ends() {
        let folder = tempfile::tempdir().unwrap();
        let first = Turn::take(folder.path()).unwrap();
        assert!(Turn::take(folder.path()).unwrap_err().contains("wait until it has ended"));
        drop(first);
        Turn::take(folder.path()).unwrap();
    }

    #[test]
    fn a_state_folder_that_cannot_be_made_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        std::fs::write(&file, "").unwrap();
        assert!(Turn::take(&file.join("state")).unwrap_err().contains("--state-dir"));
    }
}
