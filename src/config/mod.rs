//! Configuration: flags go before environment variables, these before `hubwatch.toml`, that before the defaults.

pub mod backend;
pub mod dashboard;
pub mod destinations;
pub mod environment;
pub mod file;
pub mod journal;
pub mod listen;
pub mod notify;
pub mod origin;
pub mod settings;
mod variables;

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::watch::{HubName, NameError};
use environment::Environment;
pub use file::{File, FileError};

/// How often the hub is polled unless told otherwise. The strategy wants a recovery within 30 s to be seen: two polls fit in; and
/// 48 hours stay at 11,520 Watches.
pub const DEFAULT_INTERVAL: Duration = Duration::from_secs(15);

/// Polling more often than this would be load, not observation.
pub const MIN_INTERVAL: Duration = Duration::from_millis(200);

/// A poll once an hour would not see a crash and its repair.
pub const MAX_INTERVAL: Duration = Duration::from_secs(600);

/// The environment that the strategy speaks of.
pub const DEFAULT_ENVIRONMENT: &str = "staging";

/// How long the way out may take: a container runtime kills after ten seconds.
pub const DEFAULT_DRAIN: Duration = Duration::from_secs(5);

/// The configuration's name where nobody says one.
pub const DEFAULT_FILE: &str = "hubwatch.toml";

/// Where a service or a container has it, if not in its working folder.
pub const SYSTEM_FILE: &str = "/etc/hubwatch/hubwatch.toml";

/// Why the configuration can't be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file.
    #[error(transparent)]
    File(#[from] FileError),
    /// A setting has a value that it can't have.
    #[error("{setting}: `{value}` {problem}")]
    Value {
        /// Which setting, as the user gave it.
        setting: String,
        /// What was given.
        value: String,
        /// What is wrong, and what would be right.
        problem: String,
    },
    /// A variable that is none of ours, and very like one that is.
    #[error("{name} is no setting (docs/configuration.md lists all): {hint}")]
    Unknown {
        /// Its name.
        name: String,
        /// What may have been meant.
        hint: String,
    },
}

/// When to join the hub's event stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Joining {
    /// Unless that would keep a hub alive that stops with its last subscriber.
    #[default]
    Auto,
    /// In any case.
    Always,
    /// In no case.
    Never,
}

impl std::str::FromStr for Joining {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "auto" => Ok(Self::Auto),
            "always" => Ok(Self::Always),
            "never" => Ok(Self::Never),
            _ => Err("it is none of auto, always, never"),
        }
    }
}

/// A value and where it came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sourced<T> {
    /// The value.
    pub value: T,
    /// The flag, variable or file that gave it.
    pub source: String,
}

/// What all commands read before their own flags: environment and file.
#[derive(Debug)]
pub struct Layers<E> {
    environment: E,
    /// What the file says, and what variables say in its stead; empty where neither says anything.
    pub file: File,
    path: Option<PathBuf>,
    /// What the file alone says, for telling where a setting came from.
    written: toml::Table,
    /// What lies in files that variables name: the variable, and what it stands for.
    from_files: BTreeMap<String, String>,
    strangers: Vec<String>,
}

impl<E: Environment> Layers<E> {
    /// Reads the file: the one named by flag or by `HUBWATCH_CONFIG`, otherwise `hubwatch.toml` of the working folder or
    /// `/etc/hubwatch/hubwatch.toml` if one of them is there.
    pub fn read(flag: Option<&Path>, environment: E) -> Result<Self, ConfigError> {
        let named = flag.map(Path::to_owned).or_else(|| environment.get("HUBWATCH_CONFIG").map(PathBuf::from));
        let usual = || [DEFAULT_FILE, SYSTEM_FILE].map(PathBuf::from).into_iter().find(|path| path.exists());
        let path = named.or_else(usual);
        let written = path.as_deref().map(file::read).transpose()?.unwrap_or_default();
        Self::assemble(environment, written, path)
    }

    fn assemble(environment: E, written: toml::Table, path: Option<PathBuf>) -> Result<Self, ConfigError> {
        let strangers = variables::strangers(&environment)?;
        let from_files = variables::from_files(&environment)?;
        let mut layers = Self { environment, file: File::default(), path, written, from_files, strangers };
        layers.file = layers.overlaid()?;
        Ok(layers)
    }

    /// The environment, for paths.
    pub fn environment(&self) -> &E {
        &self.environment
    }

    /// What a variable says, be it by a file that it names; the name of the one that does is the source.
    pub fn variable(&self, name: &str) -> Option<Sourced<String>> {
        let from_file = || self.from_files.get(name).map(|value| (value.clone(), format!("{name}{}", settings::FILE_SUFFIX)));
        let (value, source) = self.environment.get(name).map(|value| (value, name.to_owned())).or_else(from_file)?;
        Some(Sourced { value, source })
    }

    /// Variables whose names begin as ours do and are no settings.
    pub fn strangers(&self) -> &[String] {
        &self.strangers
    }

    /// The first of flag, variable and file that says something.
    pub fn pick(&self, flag: (&str, Option<&str>), variable: &str, key: (&str, Option<&str>)) -> Option<Sourced<String>> {
        let from_flag = flag.1.map(|value| Sourced { value: value.to_owned(), source: flag.0.to_owned() });
        let from_file = || key.1.map(|value| Sourced { value: value.to_owned(), source: self.place(key.0) });
        from_flag.or_else(|| self.variable(variable)).or_else(from_file)
    }

    /// A key of the file, as it is told to people.
    fn place(&self, key: &str) -> String {
        format!("{}: {key}", self.path.as_deref().unwrap_or(Path::new(DEFAULT_FILE)).display())
    }

    /// The state folder: `$XDG_STATE_HOME/hubwatch` unless told otherwise.
    pub fn state_dir(&self, flag: Option<&Path>) -> PathBuf {
        let file = self.file.watch.state_dir.as_deref();
        flag.map(Path::to_owned)
            .or_else(|| file.map(Path::to_owned))
            .unwrap_or_else(|| environment::state_home(&self.environment).join("hubwatch"))
    }

    /// The hub's name, where one was given.
    pub fn hub_name(&self, flag: Option<&str>) -> Result<Option<HubName>, ConfigError> {
        let picked = self.pick(("--name", flag), "HUBWATCH_NAME", ("hub.name", self.file.hub().name.as_deref()));
        picked.map(|name| parse(name, HubName::parse)).transpose()
    }

    /// The environment's name.
    pub fn environment_name(&self, flag: Option<&str>) -> Result<crate::watch::Environment, ConfigError> {
        let default = || Sourced { value: DEFAULT_ENVIRONMENT.to_owned(), source: "default".to_owned() };
        self.environment_given(flag)?.map_or_else(|| parse(default(), crate::watch::Environment::parse), Ok)
    }

    /// The environment's name, where one was given.
    pub fn environment_given(&self, flag: Option<&str>) -> Result<Option<crate::watch::Environment>, ConfigError> {
        let file = self.file.hub().environment.as_deref();
        let picked = self.pick(("--environment", flag), "HUBWATCH_ENVIRONMENT", ("hub.environment", file));
        picked.map(|name| parse(name, crate::watch::Environment::parse)).transpose()
    }

    /// How often the hub is polled.
    pub fn interval(&self, flag: Option<&str>) -> Result<Duration, ConfigError> {
        let file = self.file.watch.interval.as_deref();
        let Some(picked) = self.pick(("--interval", flag), "HUBWATCH_INTERVAL", ("watch.interval", file)) else {
            return Ok(DEFAULT_INTERVAL);
        };
        parse(picked, |text| {
            let interval = duration(text)?;
            if (MIN_INTERVAL..=MAX_INTERVAL).contains(&interval) {
                Ok(interval)
            } else {
                Err("is not between 200ms and 10m".to_owned())
            }
        })
    }

    /// When to join the hub's event stream.
    pub fn event_stream(&self, flag: Option<&str>) -> Result<Joining, ConfigError> {
        let file = self.file.watch.event_stream.as_deref();
        let picked = self.pick(("--event-stream", flag), "HUBWATCH_EVENT_STREAM", ("watch.event_stream", file));
        picked.map_or(Ok(Joining::Auto), |picked| parse(picked, str::parse))
    }

    /// How long the way out may take.
    pub fn drain(&self, flag: Option<&str>) -> Result<Duration, ConfigError> {
        let picked = self.pick(("--drain", flag), "HUBWATCH_DRAIN", ("watch.drain", self.file.watch.drain.as_deref()));
        picked.map_or(Ok(DEFAULT_DRAIN), |picked| parse(picked, duration))
    }

    /// Whether the hub's output is piped into us beside its log file.
    pub fn stdin(&self, flag: bool) -> Result<bool, ConfigError> {
        let file = self.file.hub().stdin.map(|stdin| stdin.to_string());
        let picked = self.pick(("--stdin", flag.then_some("true")), "HUBWATCH_STDIN", ("hub.stdin", file.as_deref()));
        picked.map_or(Ok(false), |picked| parse(picked, |text| text.parse().map_err(|_| "it is neither true nor false")))
    }

    /// The same settings for one hub of several.
    pub fn of_hub(&self, hub: &file::HubSection) -> Self
    where
        E: Clone,
    {
        Self {
            environment: self.environment.clone(),
            file: File { hubs: vec![hub.clone()], ..self.file.clone() },
            path: self.path.clone(),
            written: self.written.clone(),
            from_files: self.from_files.clone(),
            strangers: Vec::new(),
        }
    }

    /// Headers for the hub: the file's and the flags', which have the form `Name: value`.
    pub fn hub_headers(&self, flags: &[String]) -> Result<Vec<(String, String)>, ConfigError> {
        let mut headers: Vec<_> = self.file.hub().headers.clone().into_iter().collect();
        for flag in flags {
            headers.push(header("--header", flag)?);
        }
        Ok(headers)
    }
}

/// Where the state of one hub of several lies, in the state folder.
pub fn state_of_hub(state_dir: &Path, hub: &HubName) -> PathBuf {
    let safe = |letter: char| if letter.is_ascii_alphanumeric() || "-_.".contains(letter) { letter } else { '_' };
    state_dir.join("hubs").join(hub.as_str().chars().map(safe).collect::<String>().trim_start_matches('.'))
}

/// Where to read what was watched: the state folder itself, or that of the named hub in it.
pub fn watched_state(state_dir: PathBuf, hub: Option<&HubName>) -> PathBuf {
    let own = hub.map(|hub| state_of_hub(&state_dir, hub)).filter(|folder| folder.is_dir());
    own.unwrap_or(state_dir)
}

/// Reads a header flag of the form `Name: value`. The value may be a secret: an error doesn't show it.
fn header(flag: &str, text: &str) -> Result<(String, String), ConfigError> {
    let (name, value) = text.split_once(':').ok_or_else(|| ConfigError::Value {
        setting: flag.to_owned(),
        value: "[hidden]".to_owned(),
        problem: "has no colon; give it as 'Name: value'".to_owned(),
    })?;
    Ok((name.trim().to_owned(), value.trim().to_owned()))
}

/// Reads a value; an error says where the value came from.
pub fn parse<T, E: fmt::Display>(picked: Sourced<String>, read: impl Fn(&str) -> Result<T, E>) -> Result<T, ConfigError> {
    read(&picked.value).map_err(|problem| ConfigError::Value {
        setting: picked.source,
        value: picked.value,
        problem: format!("can't be used: {problem}"),
    })
}

/// Reads a duration such as `15s`, `48h` or `1h 30m`.
pub fn duration(text: &str) -> Result<Duration, String> {
    let help = "it is no duration; write one like 15s, 30m or 48h";
    let span: jiff::SignedDuration = text.parse().map_err(|_| help.to_owned())?;
    Duration::try_from(span).map_err(|_| help.to_owned())
}

/// A name made of an address, for a hub that nobody named: its host and port.
pub fn name_of_address(url: &str) -> Result<HubName, NameError> {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = rest.split('/').next().unwrap_or(rest);
    HubName::parse(authority.rsplit('@').next().unwrap_or(authority))
}

/// Layers of these variables and this text of a file, for tests.
#[cfg(test)]
pub(crate) fn layers<'a>(variables: &[(&'a str, &'a str)], file: &str) -> Layers<BTreeMap<&'a str, &'a str>> {
    Layers::assemble(variables.iter().copied().collect(), file.parse().unwrap(), None).unwrap()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flag_goes_before_a_variable_and_that_before_the_file() {
        let file = "[hub]\nname = 'file'";
        let name = |variables, flag| layers(variables, file).hub_name(flag).unwrap().unwrap().to_string();
        assert_eq!(name(&[("HUBWATCH_NAME", "variable")], Some("flag")), "flag");
        assert_eq!(name(&[("HUBWATCH_NAME", "variable")], None), "variable");
        assert_eq!(name(&[("HUBWATCH_NAME", "")], None), "file");
    }

    #[test]
    fn a_wrong_value_is_told_with_where_it_came_from() {
        let error = layers(&[("HUBWATCH_INTERVAL", "often")], "").interval(None).unwrap_err();
        assert_eq!(
            error.to_string(),
            "HUBWATCH_INTERVAL: `often` can't be used: it is no duration; write one like 15s, 30m or 48h"
        );
        assert!(layers(&[], "").interval(Some("1ms")).is_err());
        assert_eq!(layers(&[], "").interval(None).unwrap(), DEFAULT_INTERVAL);
    }

    #[test]
    fn a_hub_without_a_name_is_called_by_its_address() {
        assert_eq!(name_of_address("http://user:word@10.0.0.1:7000/hubs/a").unwrap().as_str(), "10.0.0.1:7000");
    }

    #[test]
    fn durations_are_written_as_people_write_them() {
        assert_eq!(duration("48h").unwrap(), Duration::from_secs(48 * 3600));
        assert_eq!(duration("1h 30m").unwrap(), Duration::from_secs(5400));
        assert!(duration("-5s").is_err() && duration("5").is_err());
    }
}
