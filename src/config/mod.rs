//! Configuration. Precedence: flags, then environment variables, then `hubwatch.toml`, then defaults.

pub mod backend;
pub mod dashboard;
pub mod destinations;
pub mod effective;
pub mod environment;
pub mod file;
pub mod journal;
pub mod listen;
pub mod notify;
pub mod receive;
pub mod settings;
mod variables;

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::watch::{HubName, NameError};
use environment::Environment;
pub use file::{File, FileError};

/// Default polling interval. The strategy wants to see a recovery within 30 s, which needs two polls; 48 hours give 11,520 Watches.
pub const DEFAULT_INTERVAL: Duration = Duration::from_secs(15);

/// Polling more often would put load on the hub.
pub const MIN_INTERVAL: Duration = Duration::from_millis(200);

/// Polling less often would miss a crash and its recovery.
pub const MAX_INTERVAL: Duration = Duration::from_secs(600);

/// The environment that the strategy describes.
pub const DEFAULT_ENVIRONMENT: &str = "staging";

/// Default time for sending at shutdown. A container runtime kills the process after ten seconds.
pub const DEFAULT_DRAIN: Duration = Duration::from_secs(5);

/// Default name of the configuration file, in the working folder.
pub const DEFAULT_FILE: &str = "hubwatch.toml";

/// Path of the file for a service or a container, read when the working folder has none.
pub const SYSTEM_FILE: &str = "/etc/hubwatch/hubwatch.toml";

/// The reason why the configuration is invalid.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file is unreadable or invalid.
    #[error(transparent)]
    File(#[from] FileError),
    /// A setting has an invalid value.
    #[error("{setting}: `{value}` {problem}")]
    Value {
        /// The setting, as the user gave it.
        setting: String,
        /// The value.
        value: String,
        /// The problem, and what would be right.
        problem: String,
    },
    /// An unknown variable whose name is close to that of a setting.
    #[error("unknown variable {name} (docs/configuration.md lists all): {hint}")]
    Unknown {
        /// The variable's name.
        name: String,
        /// The name that may have been meant.
        hint: String,
    },
}

/// When to subscribe to the hub's event stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Joining {
    /// Subscribe, unless that would keep alive a hub that stops with its last subscriber.
    #[default]
    Auto,
    /// Always subscribe.
    Always,
    /// Never subscribe.
    Never,
}

impl std::str::FromStr for Joining {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "auto" => Ok(Self::Auto),
            "always" => Ok(Self::Always),
            "never" => Ok(Self::Never),
            _ => Err("must be auto, always or never"),
        }
    }
}

/// A value and its source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sourced<T> {
    /// The value.
    pub value: T,
    /// The flag, variable or file that set it.
    pub source: String,
}

/// The sources that all commands share: environment and file.
#[derive(Debug)]
pub struct Layers<E> {
    environment: E,
    /// The file's settings, with those of variables laid over them. Empty if neither sets anything.
    pub file: File,
    path: Option<PathBuf>,
    /// The file's settings alone, to name the source of each setting.
    written: toml::Table,
    /// Values read from the files that `…_FILE` variables name, by the name of the variable without `_FILE`.
    from_files: BTreeMap<String, String>,
    unknown_variables: Vec<String>,
}

impl<E: Environment> Layers<E> {
    /// Reads the file that the flag or `HUBWATCH_CONFIG` names, otherwise `hubwatch.toml` in the working folder or
    /// `/etc/hubwatch/hubwatch.toml`, if one exists.
    pub fn read(flag: Option<&Path>, environment: E) -> Result<Self, ConfigError> {
        let named = flag.map(Path::to_owned).or_else(|| environment.get("HUBWATCH_CONFIG").map(PathBuf::from));
        let usual = || [DEFAULT_FILE, SYSTEM_FILE].map(PathBuf::from).into_iter().find(|path| path.exists());
        let path = named.or_else(usual);
        let written = path.as_deref().map(file::read).transpose()?.unwrap_or_default();
        Self::assemble(environment, written, path)
    }

    fn assemble(environment: E, written: toml::Table, path: Option<PathBuf>) -> Result<Self, ConfigError> {
        let unknown_variables = variables::unknown(&environment)?;
        let from_files = variables::from_files(&environment)?;
        let mut layers = Self { environment, file: File::default(), path, written, from_files, unknown_variables };
        layers.file = layers.overlaid()?;
        Ok(layers)
    }

    /// Returns the environment, for paths.
    pub fn environment(&self) -> &E {
        &self.environment
    }

    /// Returns a variable's value, also from the file that its `…_FILE` variable names. The source is the variable that is set.
    pub fn variable(&self, name: &str) -> Option<Sourced<String>> {
        let from_file = || self.from_files.get(name).map(|value| (value.clone(), format!("{name}{}", settings::FILE_SUFFIX)));
        let (value, source) = self.environment.get(name).map(|value| (value, name.to_owned())).or_else(from_file)?;
        Some(Sourced { value, source })
    }

    /// Returns the unknown variables whose names begin with our prefix.
    pub fn unknown_variables(&self) -> &[String] {
        &self.unknown_variables
    }

    /// Returns the value of the first source that has one: flag, variable, file.
    pub fn pick(&self, flag: (&str, Option<&str>), variable: &str, key: (&str, Option<&str>)) -> Option<Sourced<String>> {
        let from_flag = flag.1.map(|value| Sourced { value: value.to_owned(), source: flag.0.to_owned() });
        let from_file = || key.1.map(|value| Sourced { value: value.to_owned(), source: self.place(key.0) });
        from_flag.or_else(|| self.variable(variable)).or_else(from_file)
    }

    /// Names a key of the file for messages.
    fn place(&self, key: &str) -> String {
        format!("{}: {key}", self.path.as_deref().unwrap_or(Path::new(DEFAULT_FILE)).display())
    }

    /// Returns the state folder; the default is `$XDG_STATE_HOME/hubwatch`.
    pub fn state_dir(&self, flag: Option<&Path>) -> PathBuf {
        let file = self.file.watch.state_dir.as_deref();
        flag.map(Path::to_owned)
            .or_else(|| file.map(Path::to_owned))
            .unwrap_or_else(|| environment::state_home(&self.environment).join("hubwatch"))
    }

    /// Returns the hub's name, if one is set.
    pub fn hub_name(&self, flag: Option<&str>) -> Result<Option<HubName>, ConfigError> {
        let picked = self.pick(("--name", flag), "HUBWATCH_NAME", ("hub.name", self.file.hub().name.as_deref()));
        picked.map(|name| parse(name, HubName::parse)).transpose()
    }

    /// Returns the environment's name.
    pub fn environment_name(&self, flag: Option<&str>) -> Result<crate::watch::Environment, ConfigError> {
        let default = || Sourced { value: DEFAULT_ENVIRONMENT.to_owned(), source: "default".to_owned() };
        self.environment_given(flag)?.map_or_else(|| parse(default(), crate::watch::Environment::parse), Ok)
    }

    /// Returns the environment's name, if one is set.
    pub fn environment_given(&self, flag: Option<&str>) -> Result<Option<crate::watch::Environment>, ConfigError> {
        let file = self.file.hub().environment.as_deref();
        let picked = self.pick(("--environment", flag), "HUBWATCH_ENVIRONMENT", ("hub.environment", file));
        picked.map(|name| parse(name, crate::watch::Environment::parse)).transpose()
    }

    /// Returns the polling interval.
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
                Err("must be between 200ms and 10m".to_owned())
            }
        })
    }

    /// Returns when to subscribe to the hub's event stream.
    pub fn event_stream(&self, flag: Option<&str>) -> Result<Joining, ConfigError> {
        let file = self.file.watch.event_stream.as_deref();
        let picked = self.pick(("--event-stream", flag), "HUBWATCH_EVENT_STREAM", ("watch.event_stream", file));
        picked.map_or(Ok(Joining::Auto), |picked| parse(picked, str::parse))
    }

    /// Returns how long to keep sending at shutdown.
    pub fn drain(&self, flag: Option<&str>) -> Result<Duration, ConfigError> {
        let picked = self.pick(("--drain", flag), "HUBWATCH_DRAIN", ("watch.drain", self.file.watch.drain.as_deref()));
        picked.map_or(Ok(DEFAULT_DRAIN), |picked| parse(picked, duration))
    }

    /// Returns true if the hub's output is piped into us as well as written to its log file.
    pub fn stdin(&self, flag: bool) -> Result<bool, ConfigError> {
        let file = self.file.hub().stdin.map(|stdin| stdin.to_string());
        let picked = self.pick(("--stdin", flag.then_some("true")), "HUBWATCH_STDIN", ("hub.stdin", file.as_deref()));
        picked.map_or(Ok(false), |picked| parse(picked, |text| text.parse().map_err(|_| "must be true or false")))
    }

    /// Returns the same settings for one hub of several.
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
            unknown_variables: Vec::new(),
        }
    }

    /// Returns the headers for the hub: the file's and those of the flags, which have the form `Name: value`.
    pub fn hub_headers(&self, flags: &[String]) -> Result<Vec<(String, String)>, ConfigError> {
        let mut headers: Vec<_> = self.file.hub().headers.clone().into_iter().collect();
        for flag in flags {
            headers.push(header("--header", flag)?);
        }
        Ok(headers)
    }
}

/// Returns the state folder of one hub of several, below the common one.
pub fn state_of_hub(state_dir: &Path, hub: &HubName) -> PathBuf {
    let safe = |letter: char| if letter.is_ascii_alphanumeric() || "-_.".contains(letter) { letter } else { '_' };
    state_dir.join("hubs").join(hub.as_str().chars().map(safe).collect::<String>().trim_start_matches('.'))
}

/// Returns the folder to read Watches from: the named hub's folder if it exists, otherwise the state folder itself.
pub fn watched_state(state_dir: PathBuf, hub: Option<&HubName>) -> PathBuf {
    let own = hub.map(|hub| state_of_hub(&state_dir, hub)).filter(|folder| folder.is_dir());
    own.unwrap_or(state_dir)
}

/// Parses a header flag of the form `Name: value`. An error doesn't show the value: it may be a secret.
fn header(flag: &str, text: &str) -> Result<(String, String), ConfigError> {
    let (name, value) = text.split_once(':').ok_or_else(|| ConfigError::Value {
        setting: flag.to_owned(),
        value: "[hidden]".to_owned(),
        problem: "has no colon; write it as 'Name: value'".to_owned(),
    })?;
    Ok((name.trim().to_owned(), value.trim().to_owned()))
}

/// Parses a value; an error names the value's source.
pub fn parse<T, E: fmt::Display>(picked: Sourced<String>, read: impl Fn(&str) -> Result<T, E>) -> Result<T, ConfigError> {
    read(&picked.value).map_err(|problem| ConfigError::Value {
        setting: picked.source,
        value: picked.value,
        problem: format!("is invalid: {problem}"),
    })
}

/// Parses a duration such as `15s`, `48h` or `1h 30m`.
pub fn duration(text: &str) -> Result<Duration, String> {
    let help = "not a duration; try 15s, 30m or 48h";
    let span: jiff::SignedDuration = text.parse().map_err(|_| help.to_owned())?;
    Duration::try_from(span).map_err(|_| help.to_owned())
}

/// Makes a name from the address of a hub without one: its host and port.
pub fn name_of_address(url: &str) -> Result<HubName, NameError> {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = rest.split('/').next().unwrap_or(rest);
    HubName::parse(authority.rsplit('@').next().unwrap_or(authority))
}

/// Builds layers from these variables and this file text, for tests.
#[cfg(test)]
pub(crate) fn layers<'a>(variables: &[(&'a str, &'a str)], file: &str) -> Layers<BTreeMap<&'a str, &'a str>> {
    Layers::assemble(variables.iter().copied().collect(), file.parse().unwrap(), None).unwrap()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flag_overrides_a_variable_and_a_variable_overrides_the_file() {
        let file = "[hub]\nname = 'file'";
        let name = |variables, flag| layers(variables, file).hub_name(flag).unwrap().unwrap().to_string();
        assert_eq!(name(&[("HUBWATCH_NAME", "variable")], Some("flag")), "flag");
        assert_eq!(name(&[("HUBWATCH_NAME", "variable")], None), "variable");
        assert_eq!(name(&[("HUBWATCH_NAME", "")], None), "file");
    }

    #[test]
    fn an_error_names_the_source_of_the_invalid_value() {
        let error = layers(&[("HUBWATCH_INTERVAL", "often")], "").interval(None).unwrap_err();
        assert_eq!(error.to_string(), "HUBWATCH_INTERVAL: `often` is invalid: not a duration; try 15s, 30m or 48h");
        assert!(layers(&[], "").interval(Some("1ms")).is_err());
        assert_eq!(layers(&[], "").interval(None).unwrap(), DEFAULT_INTERVAL);
    }

    #[test]
    fn a_hub_without_a_name_is_named_after_its_address() {
        assert_eq!(name_of_address("http://user:word@10.0.0.1:7000/hubs/a").unwrap().as_str(), "10.0.0.1:7000");
    }

    #[test]
    fn durations_are_written_as_people_write_them() {
        assert_eq!(duration("48h").unwrap(), Duration::from_secs(48 * 3600));
        assert_eq!(duration("1h 30m").unwrap(), Duration::from_secs(5400));
        assert!(duration("-5s").is_err() && duration("5").is_err());
    }
}
