//! `hubwatch.toml`.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use crate::base::toml_text;
use crate::judge::budget::BudgetEntry;
use crate::judge::rules::{AlertEntry, CriterionEntry, JudgeEntry, RuleFile, Rules, ServerEntry, Waiver};

/// The whole file. Every key is optional; an unknown key is an error.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct File {
    /// `[hub]`: the hub under watch; several `[[hub]]` for several hubs.
    #[serde(default, rename = "hub", deserialize_with = "one_or_many")]
    pub hubs: Vec<HubSection>,
    /// `[logs]`: how log lines are sent.
    #[serde(default)]
    pub logs: LogsSection,
    /// `[privacy]`: masking.
    #[serde(default)]
    pub privacy: PrivacySection,
    /// `[watch]`: polling, state folder, shutdown.
    #[serde(default)]
    pub watch: WatchSection,
    /// `[otlp]`: the main receiver of telemetry.
    #[serde(default)]
    pub otlp: DestinationSection,
    /// `[[destination]]`: further receivers.
    #[serde(default, rename = "destination")]
    pub destinations: Vec<DestinationSection>,
    /// `[journal]`: retention limits.
    #[serde(default)]
    pub journal: JournalSection,
    /// `[backend]`: the backend that reports read from.
    #[serde(default)]
    pub backend: BackendSection,
    /// `[serve]`: the HTTP server.
    #[serde(default)]
    pub serve: ServeSection,
    /// `[receive]`: the OTLP receiver.
    #[serde(default)]
    pub receive: ReceiveSection,
    /// `[[notify]]`: receivers of alerts.
    #[serde(default)]
    pub notify: Vec<NotifySection>,
    /// `[dashboard]`: the strategy's `dashboard.json`.
    #[serde(default)]
    pub dashboard: DashboardSection,
    /// `[servers.NAME]`: the expected states of a server.
    #[serde(default)]
    pub servers: BTreeMap<String, ServerEntry>,
    /// `[budget]`: what the hub's LLM may use.
    #[serde(default)]
    pub budget: BudgetEntry,
    /// `[judge]`: rules for the verdict.
    #[serde(default)]
    pub judge: JudgeEntry,
    /// `[[criterion]]`: a changed or added criterion.
    #[serde(default)]
    pub criterion: Vec<CriterionEntry>,
    /// `[[alert]]`: a changed alert.
    #[serde(default)]
    pub alert: Vec<AlertEntry>,
    /// `[[waiver]]`: a criterion without a verdict that a named person accepts.
    #[serde(default)]
    pub waiver: Vec<Waiver>,
    /// `[report]`: signatures and contacts.
    #[serde(default)]
    pub report: ReportSection,
}

/// `[hub]`
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HubSection {
    /// The hub's address, with a path prefix if it is behind a proxy.
    pub url: Option<String>,
    /// The hub's name in reports.
    pub name: Option<String>,
    /// Its environment, such as `staging`.
    pub environment: Option<String>,
    /// Its log file.
    pub log: Option<PathBuf>,
    /// True if its output is also piped into the sidecar.
    pub stdin: Option<bool>,
    /// Its process id, if it can't be detected.
    pub pid: Option<u32>,
    /// True if the hub's container shares its PID namespace with us, so that the process ids that the hub reports are valid here.
    pub shared_pids: Option<bool>,
    /// The mounted cgroup folder of the hub's container, for a hub whose process we can't see.
    pub cgroup: Option<PathBuf>,
    /// The build under test.
    pub build: Option<String>,
    /// Headers for every request.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// An additional trusted certificate authority.
    pub ca: Option<PathBuf>,
}

impl File {
    /// Returns the rules for the verdict.
    pub fn rules(&self) -> RuleFile {
        RuleFile {
            judge: self.judge.clone(),
            budget: self.budget.clone(),
            criterion: self.criterion.clone(),
            alert: self.alert.clone(),
            waiver: self.waiver.clone(),
            servers: self.servers.clone(),
        }
    }

    /// Returns the only hub, or an empty section if there is none.
    pub fn hub(&self) -> &HubSection {
        static NONE: LazyLock<HubSection> = LazyLock::new(HubSection::default);
        self.hubs.first().unwrap_or(&NONE)
    }
}

/// Reads `[hub]` or `[[hub]]`. Errors inside keep their line and suggestion.
fn one_or_many<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<HubSection>, D::Error> {
    struct OneOrMany;
    impl<'de> Visitor<'de> for OneOrMany {
        type Value = Vec<HubSection>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a table [hub], or several tables [[hub]]")
        }

        fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Vec<HubSection>, A::Error> {
            HubSection::deserialize(MapAccessDeserializer::new(map)).map(|hub| vec![hub])
        }

        fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Vec<HubSection>, A::Error> {
            Vec::deserialize(SeqAccessDeserializer::new(seq))
        }
    }
    deserializer.deserialize_any(OneOrMany)
}

/// `[logs]`
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogsSection {
    /// Collapse repeated lines into a count after a few samples (the default), or send all.
    pub collapse: Option<bool>,
    /// Attach the whole JSON line to its record (the default).
    pub original: Option<bool>,
}

/// `[privacy]`
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PrivacySection {
    /// Send prompts, tool arguments and key-like strings unmasked (default: false).
    pub keep: Option<bool>,
}

/// `[watch]`
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WatchSection {
    /// Polling interval, such as `15s`.
    pub interval: Option<String>,
    /// The state folder.
    pub state_dir: Option<PathBuf>,
    /// When to subscribe to the hub's event stream: `auto`, `always` or `never`.
    pub event_stream: Option<String>,
    /// How long to keep sending at shutdown, such as `5s`.
    pub drain: Option<String>,
}

/// `[otlp]` or `[[destination]]`
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DestinationSection {
    /// The name of its cursor in the journal; `main` for `[otlp]`.
    pub name: Option<String>,
    /// The receiver's address.
    pub endpoint: Option<String>,
    /// `grpc` or `http/protobuf`.
    pub protocol: Option<String>,
    /// Headers for every request.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// `gzip` or `none`.
    pub compression: Option<String>,
    /// Timeout of a request, such as `10s`.
    pub timeout: Option<String>,
    /// The signals to send: some of `traces`, `logs`, `metrics` (default: all).
    pub signals: Option<Vec<String>>,
    /// Temporality of metrics: `cumulative` or `delta`.
    pub temporality: Option<String>,
    /// An additional trusted certificate authority.
    pub ca: Option<PathBuf>,
    /// Our client certificate.
    pub client_certificate: Option<PathBuf>,
    /// Its key.
    pub client_key: Option<PathBuf>,
}

/// `[journal]`
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JournalSection {
    /// The size beyond which the oldest rows are dropped, such as `1 GiB`.
    pub max_bytes: Option<String>,
    /// Retention time, such as `336h`.
    pub max_age: Option<String>,
    /// Disk space to leave free, such as `256 MiB`.
    pub reserve: Option<String>,
}

/// `[backend]`
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BackendSection {
    /// `KIND=TARGET`, as after `--backend`.
    pub source: Option<String>,
    /// Headers for every request.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// `Authorization: Bearer …`.
    pub bearer: Option<String>,
    /// `Authorization: Basic …`.
    pub user: Option<String>,
    /// The user's password.
    pub password: Option<String>,
    /// An additional trusted certificate authority.
    pub ca: Option<PathBuf>,
    /// Timeout of one answer, such as `30s`.
    pub timeout: Option<String>,
}

/// `[serve]`
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServeSection {
    /// The address to listen on.
    pub listen: Option<String>,
}

/// `[receive]`
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReceiveSection {
    /// Where to listen.
    pub listen: Option<String>,
    /// The file with the token that senders need.
    pub token_file: Option<PathBuf>,
    /// True if other hosts may send without a token.
    pub allow_without_token: Option<bool>,
    /// The receiver's certificate.
    pub certificate: Option<PathBuf>,
    /// Its key.
    pub key: Option<PathBuf>,
}

/// `[[notify]]`
#[derive(Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NotifySection {
    /// Its name in logs and in the state folder.
    pub name: Option<String>,
    /// `webhook` (the default: our own JSON), `slack` (Slack, Mattermost and compatible) or `alertmanager` (API version 2).
    pub kind: Option<String>,
    /// Its address. For a chat webhook this is a credential.
    pub url: Option<String>,
    /// A file that holds the address, instead of `url`.
    pub url_file: Option<PathBuf>,
    /// Headers for every message.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// The lowest severity to send: `notice`, `warning` (the default) or `critical`.
    pub severity: Option<String>,
    /// How long an incident must last before it is sent, such as `15m`: an escalation.
    pub after: Option<String>,
    /// How often an ongoing incident is sent again, such as `4h`.
    pub repeat: Option<String>,
    /// Maximum number of messages per hour.
    pub per_hour: Option<u32>,
    /// An additional trusted certificate authority.
    pub ca: Option<PathBuf>,
}

/// Hides the address and the headers, which may be credentials.
impl fmt::Debug for NotifySection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NotifySection").field("name", &self.name).field("kind", &self.kind).finish_non_exhaustive()
    }
}

/// `[dashboard]`
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DashboardSection {
    /// The file's path.
    pub file: Option<PathBuf>,
    /// Minimum time between two writes, such as `1m`.
    pub interval: Option<String>,
}

/// `[report]`
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReportSection {
    /// The address of a trace's page, with `{trace_id}` in it.
    pub trace_url: Option<String>,
    /// The person who leads the monitoring.
    pub lead: Option<String>,
    /// The people to contact when a must criterion fails, in this order.
    #[serde(default)]
    pub escalation: Vec<String>,
    /// Further contacts, by subject.
    #[serde(default)]
    pub contacts: BTreeMap<String, String>,
    /// The roles that sign before the build is promoted.
    #[serde(default)]
    pub signatures: Vec<String>,
}

/// The reason why the file is unusable.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The file can't be read.
    #[error("can't read the configuration file {path}: {reason}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The system's error.
        reason: std::io::Error,
    },
    /// The file is not a valid configuration.
    #[error("invalid configuration file {path}: {problem}")]
    Invalid {
        /// The file.
        path: PathBuf,
        /// The problem, its line, and a suggestion.
        problem: String,
    },
}

/// Reads the file.
pub fn read(path: &Path) -> Result<toml::Table, FileError> {
    let text = std::fs::read_to_string(path).map_err(|reason| FileError::Unreadable { path: path.to_owned(), reason })?;
    let file = parse(&text).map_err(|problem| FileError::Invalid { path: path.to_owned(), problem })?;
    // Invalid rules must fail here, not at the end of the period when the report is due.
    check_rules(&file).map_err(|problem| FileError::Invalid { path: path.to_owned(), problem })?;
    text.parse().map_err(|_| FileError::Invalid { path: path.to_owned(), problem: "not a TOML table".to_owned() })
}

/// Checks the rules for the verdict.
pub(super) fn check_rules(file: &File) -> Result<(), String> {
    let usable = Rules::builtin().apply(&file.rules()).and_then(|()| file.rules().entries().map(|_| ()));
    usable.map_err(|error| error.to_string())
}

/// Parses a configuration. An error gives the line and a suggestion, and shows no value: any may be a credential.
pub fn parse(text: &str) -> Result<File, String> {
    toml_text::read(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_key_is_refused_with_its_place_and_a_suggestion() {
        let problem = parse("[hub]\nurll = 'http://127.0.0.1:7000'\n").unwrap_err();
        insta::assert_snapshot!(problem, @r"
        line 2, column 1: unknown field `urll`, expected one of `url`, `name`, `environment`, `log`, `stdin`, `pid`, `shared_pids`, `cgroup`, `build`, `headers`, `ca`
        did you mean `url`?
        ");
    }

    #[test]
    fn no_error_shows_a_value() {
        let errors = [
            "[[notify]]\nname = 'a'\nurll = 'https://hooks.example.com/s3cret'\n",
            "[backend]\nbearerr = 's3cret'\n",
            "[otlp]\nheaders = 'Authorization: Bearer \"s3cret\"'\n",
            "[hub]\npid = 's3cret'\n",
            "[backend]\nbearer = \"s3cret\npassword = 's3cret'\n",
            "[backend]\nbearer = s3cret\n",
            "[backend]\nbearer = 's3cret'\nbearer = 's3cret'\n",
        ]
        .map(|text| parse(text).unwrap_err());
        assert!(errors.iter().all(|error| !error.contains("s3cret") && error.starts_with("line ")), "{errors:#?}");
        assert!(errors[0].contains("`urll`") && errors[0].contains("did you mean `url`?"), "{}", errors[0]);
        insta::assert_snapshot!(errors[2], @"line 2, column 11, `headers`: invalid type: string [hidden], expected a map");
    }

    #[test]
    fn several_hubs_are_several_tables() {
        let file = parse("[[hub]]\nurl = 'http://a:1'\n[[hub]]\nurl = 'http://b:1'\n").unwrap();
        assert_eq!(file.hubs.len(), 2);
        let problem = parse("[[hub]]\nurl = 'http://a:1'\n[[hub]]\nnames = 'b'\n").unwrap_err();
        assert!(problem.contains("line 4") && problem.contains("did you mean `name`?"), "{problem}");
        assert!(parse("hub = 'http://a:1'").unwrap_err().contains("a table [hub]"));
    }

    #[test]
    fn every_key_is_read() {
        let file = parse(include_str!("example.toml")).unwrap();
        assert_eq!(file.hub().url.as_deref(), Some("http://127.0.0.1:7000"));
        assert_eq!(file.servers["github"].expected, ["connecting", "disconnected"]);
        assert!(file.hub().name.is_some() && file.watch.interval.is_some() && file.otlp.endpoint.is_some());
        assert!(file.receive.listen.is_some() && file.serve.listen.is_some() && file.judge.min_period.is_some());
        assert!(file.dashboard.file.is_some() && file.dashboard.interval.is_some());
        assert_eq!((file.criterion.len(), file.alert.len(), file.waiver.len(), file.notify.len()), (1, 1, 1, 2));
        assert!(file.backend.source.is_some());
    }
}
