//! `hubwatch.toml`.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use crate::base::toml_text;
use crate::judge::rules::{AlertEntry, CriterionEntry, JudgeEntry, RuleFile, Rules, ServerEntry, Waiver};

/// The whole file. Every key can be left out; a key that doesn't exist is refused.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct File {
    /// `[hub]`: the hub under watch; `[[hub]]` more than once: several of them.
    #[serde(default, rename = "hub", deserialize_with = "one_or_many")]
    pub hubs: Vec<HubSection>,
    /// `[logs]`: what becomes of the hub's log lines.
    #[serde(default)]
    pub logs: LogsSection,
    /// `[privacy]`: what may leave.
    #[serde(default)]
    pub privacy: PrivacySection,
    /// `[watch]`: how it is watched.
    #[serde(default)]
    pub watch: WatchSection,
    /// `[otlp]`: where telemetry goes.
    #[serde(default)]
    pub otlp: DestinationSection,
    /// `[[destination]]`: where else it goes.
    #[serde(default, rename = "destination")]
    pub destinations: Vec<DestinationSection>,
    /// `[journal]`: the bounds of what is kept.
    #[serde(default)]
    pub journal: JournalSection,
    /// `[backend]`: where a period is read from.
    #[serde(default)]
    pub backend: BackendSection,
    /// `[serve]`: what hubwatch itself serves.
    #[serde(default)]
    pub serve: ServeSection,
    /// `[[notify]]`: who is told of incidents.
    #[serde(default)]
    pub notify: Vec<NotifySection>,
    /// `[dashboard]`: the strategy's `dashboard.json`.
    #[serde(default)]
    pub dashboard: DashboardSection,
    /// `[servers.NAME]`: what is expected of a server.
    #[serde(default)]
    pub servers: BTreeMap<String, ServerEntry>,
    /// `[judge]`: how it is judged.
    #[serde(default)]
    pub judge: JudgeEntry,
    /// `[[criterion]]`: a criterion that is changed or added.
    #[serde(default)]
    pub criterion: Vec<CriterionEntry>,
    /// `[[alert]]`: an alert that is changed.
    #[serde(default)]
    pub alert: Vec<AlertEntry>,
    /// `[[waiver]]`: a criterion without a verdict that somebody answers for.
    #[serde(default)]
    pub waiver: Vec<Waiver>,
    /// `[report]`: who signs, and whom to ask.
    #[serde(default)]
    pub report: ReportSection,
}

/// `[hub]`
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HubSection {
    /// Its address, with a path prefix if it is behind a proxy.
    pub url: Option<String>,
    /// What the team calls it.
    pub name: Option<String>,
    /// Where it runs: `staging`, for example.
    pub environment: Option<String>,
    /// Its log file.
    pub log: Option<PathBuf>,
    /// Whether its output is piped into the sidecar beside that file.
    pub stdin: Option<bool>,
    /// Its process id, where it can't be found out.
    pub pid: Option<u32>,
    /// Whether the process ids that the hub tells of itself count here, too: its PID namespace is shared.
    pub shared_pids: Option<bool>,
    /// The control group of its container, mounted as a folder, where its process can't be seen.
    pub cgroup: Option<PathBuf>,
    /// The build under test.
    pub build: Option<String>,
    /// Headers that go with every request.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// A certificate authority to trust beside the system's.
    pub ca: Option<PathBuf>,
}

impl File {
    /// What the file says about judging.
    pub fn rules(&self) -> RuleFile {
        RuleFile {
            judge: self.judge.clone(),
            criterion: self.criterion.clone(),
            alert: self.alert.clone(),
            waiver: self.waiver.clone(),
            servers: self.servers.clone(),
        }
    }

    /// The only hub, or an empty section where there is none.
    pub fn hub(&self) -> &HubSection {
        static NONE: LazyLock<HubSection> = LazyLock::new(HubSection::default);
        self.hubs.first().unwrap_or(&NONE)
    }
}

/// `[hub]` or `[[hub]]`: an error inside keeps its place and its suggestion.
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
    /// Whether lines that repeat become one count after a few samples (the default), or all go out.
    pub collapse: Option<bool>,
    /// Whether a record of a JSON line carries the whole line beside its message (the default).
    pub original: Option<bool>,
}

/// `[privacy]`
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PrivacySection {
    /// Whether prompts, tool arguments and key-like strings go out as they are; masked if not said.
    pub keep: Option<bool>,
}

/// `[watch]`
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WatchSection {
    /// How often the hub is polled, such as `15s`.
    pub interval: Option<String>,
    /// The state folder.
    pub state_dir: Option<PathBuf>,
    /// When to join the hub's event stream: `auto`, `always` or `never`.
    pub event_stream: Option<String>,
    /// How long the way out may take to send what is left, such as `5s`.
    pub drain: Option<String>,
}

/// `[otlp]` or `[[destination]]`
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DestinationSection {
    /// Under which name its place in the journal is kept; `main` for `[otlp]`.
    pub name: Option<String>,
    /// The receiver's address.
    pub endpoint: Option<String>,
    /// `grpc` or `http/protobuf`.
    pub protocol: Option<String>,
    /// Headers that go with every request.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// `gzip` or `none`.
    pub compression: Option<String>,
    /// How long a request may take, such as `10s`.
    pub timeout: Option<String>,
    /// What goes there: some of `traces`, `logs`, `metrics`; all of them if not said.
    pub signals: Option<Vec<String>>,
    /// What metrics count from: `cumulative` or `delta`.
    pub temporality: Option<String>,
    /// A certificate authority to trust beside the system's.
    pub ca: Option<PathBuf>,
    /// Our own certificate.
    pub client_certificate: Option<PathBuf>,
    /// Its key.
    pub client_key: Option<PathBuf>,
}

/// `[journal]`
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JournalSection {
    /// Its size beyond which the oldest rows are dropped, such as `1 GiB`.
    pub max_bytes: Option<String>,
    /// How long anything is kept, such as `336h`.
    pub max_age: Option<String>,
    /// How much of the disk is left free, such as `256 MiB`.
    pub reserve: Option<String>,
}

/// `[backend]`
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BackendSection {
    /// `KIND=TARGET`, as after `--backend`.
    pub source: Option<String>,
    /// Headers that go with every request.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// `Authorization: Bearer …`.
    pub bearer: Option<String>,
    /// `Authorization: Basic …`.
    pub user: Option<String>,
    /// The user's password.
    pub password: Option<String>,
    /// A certificate authority to trust beside the system's.
    pub ca: Option<PathBuf>,
    /// How long one answer may take, such as `30s`.
    pub timeout: Option<String>,
}

/// `[serve]`
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServeSection {
    /// Where to listen.
    pub listen: Option<String>,
}

/// `[[notify]]`
#[derive(Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NotifySection {
    /// Its name in logs and in the state folder.
    pub name: Option<String>,
    /// `webhook` (our own JSON; if not said), `slack` (Slack, Mattermost and their like) or `alertmanager` (its API, version 2).
    pub kind: Option<String>,
    /// Where it is. A credential, for a chat's webhook.
    pub url: Option<String>,
    /// A file that holds the address instead.
    pub url_file: Option<PathBuf>,
    /// Headers that go with every message.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// The least grave incidents that it is told of: `notice`, `warning` (if not said) or `critical`.
    pub severity: Option<String>,
    /// How long an incident must last before it is told, such as `15m`: an escalation.
    pub after: Option<String>,
    /// How often it is told again of what lasts, such as `4h`.
    pub repeat: Option<String>,
    /// The most messages an hour.
    pub per_hour: Option<u32>,
    /// A certificate authority to trust beside the system's.
    pub ca: Option<PathBuf>,
}

/// An address and headers that may be credentials are not shown.
impl fmt::Debug for NotifySection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NotifySection").field("name", &self.name).field("kind", &self.kind).finish_non_exhaustive()
    }
}

/// `[dashboard]`
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DashboardSection {
    /// Where it is kept.
    pub file: Option<PathBuf>,
    /// How often it is written at most, such as `1m`.
    pub interval: Option<String>,
}

/// `[report]`
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReportSection {
    /// Where people see a trace: an address with `{trace_id}` in it.
    pub trace_url: Option<String>,
    /// Who leads the monitoring.
    pub lead: Option<String>,
    /// Whom to go to, in this order, when a must criterion fails.
    #[serde(default)]
    pub escalation: Vec<String>,
    /// Whom else to ask, by subject.
    #[serde(default)]
    pub contacts: BTreeMap<String, String>,
    /// The roles that sign before the build is promoted.
    #[serde(default)]
    pub signatures: Vec<String>,
}

/// Why the file can't be used.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// It can't be read.
    #[error("can't read the configuration {path}: {reason}")]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// Why.
        reason: std::io::Error,
    },
    /// It is not what a configuration is.
    #[error("the configuration {path} is not valid: {problem}")]
    Invalid {
        /// Which file.
        path: PathBuf,
        /// What is wrong, where, and what may have been meant.
        problem: String,
    },
}

/// Reads the file.
pub fn read(path: &Path) -> Result<toml::Table, FileError> {
    let text = std::fs::read_to_string(path).map_err(|reason| FileError::Unreadable { path: path.to_owned(), reason })?;
    let file = parse(&text).map_err(|problem| FileError::Invalid { path: path.to_owned(), problem })?;
    // Rules that can't be used are found when the file is read, not when somebody wants a verdict.
    check_rules(&file).map_err(|problem| FileError::Invalid { path: path.to_owned(), problem })?;
    text.parse().map_err(|_| FileError::Invalid { path: path.to_owned(), problem: "it is no TOML table".to_owned() })
}

/// Whether what it says about judging can be used.
pub(super) fn check_rules(file: &File) -> Result<(), String> {
    let usable = Rules::builtin().apply(&file.rules()).and_then(|()| file.rules().entries().map(|_| ()));
    usable.map_err(|error| error.to_string())
}

/// Reads the text of one; an error says where and what may have been meant, and shows no value: any may be a credential.
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
        let told = [
            "[[notify]]\nname = 'a'\nurll = 'https://hooks.example.com/s3cret'\n",
            "[backend]\nbearerr = 's3cret'\n",
            "[otlp]\nheaders = 'Authorization: Bearer \"s3cret\"'\n",
            "[hub]\npid = 's3cret'\n",
            "[backend]\nbearer = \"s3cret\npassword = 's3cret'\n",
            "[backend]\nbearer = s3cret\n",
            "[backend]\nbearer = 's3cret'\nbearer = 's3cret'\n",
        ]
        .map(|text| parse(text).unwrap_err());
        assert!(told.iter().all(|told| !told.contains("s3cret") && told.starts_with("line ")), "{told:#?}");
        assert!(told[0].contains("`urll`") && told[0].contains("did you mean `url`?"), "{}", told[0]);
        insta::assert_snapshot!(told[2], @"line 2, column 11, `headers`: invalid type: string [hidden], expected a map");
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
        assert!(file.serve.listen.is_some() && file.judge.min_period.is_some());
        assert!(file.dashboard.file.is_some() && file.dashboard.interval.is_some());
        assert_eq!((file.criterion.len(), file.alert.len(), file.waiver.len(), file.notify.len()), (1, 1, 1, 2));
        assert!(file.backend.source.is_some());
    }
}
