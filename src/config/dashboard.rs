//! Path and write interval of the strategy's `dashboard.json`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::environment::Environment;
use super::{ConfigError, Layers, duration, parse};
use crate::live::dashboard::FILE_NAME;

impl<E: Environment> Layers<E> {
    /// Returns the file (default: in the state folder) and the minimum time between two writes (default: each poll).
    pub fn dashboard(&self, flag: Option<&Path>, state_dir: &Path) -> Result<(PathBuf, Duration), ConfigError> {
        let section = &self.file.dashboard;
        let file = flag.map(Path::to_owned).or_else(|| section.file.clone());
        let key = ("dashboard.interval", section.interval.as_deref());
        let interval = self.pick(("", None), "HUBWATCH_DASHBOARD_INTERVAL", key);
        let interval = interval.map_or(Ok(Duration::ZERO), |interval| parse(interval, duration))?;
        Ok((file.unwrap_or_else(|| state_dir.join(FILE_NAME)), interval))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::config::layers;

    #[test]
    fn the_dashboard_file_is_in_the_state_folder_by_default() {
        let of = |layers: Layers<BTreeMap<&str, &str>>, flag| layers.dashboard(flag, Path::new("/state")).unwrap();
        assert_eq!(of(layers(&[], ""), None), (PathBuf::from("/state/dashboard.json"), Duration::ZERO));
        let file = "[dashboard]\nfile = '/file'\ninterval = '1m'";
        assert_eq!(of(layers(&[], file), None), (PathBuf::from("/file"), Duration::from_secs(60)));
        assert_eq!(of(layers(&[("HUBWATCH_DASHBOARD", "/variable")], file), None).0, PathBuf::from("/variable"));
        assert_eq!(of(layers(&[("HUBWATCH_DASHBOARD", "/variable")], file), Some(Path::new("/flag"))).0, PathBuf::from("/flag"));
        assert!(layers(&[], "[dashboard]\ninterval = 'often'").dashboard(None, Path::new("/")).is_err());
    }
}
