//! Every setting there is: its key in the file, its variable, its flag, and what it means. The table in docs/configuration.md is made
//! of this; whatever the file can say, a variable can say, too.

use toml::Value;

use super::destinations::header_list;
use crate::base::secret::without_credentials;

/// What a variable's text is read as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// As it is: a word, an address, a time, a size, a path.
    Text,
    /// `true` or `false`.
    Switch,
    /// A whole number.
    Number,
    /// `name=value,name=value`, percent-encoded as in OpenTelemetry's own variables.
    Headers,
    /// Words, separated by commas.
    List,
    /// A TOML value: an array of inline tables, or one inline table.
    Toml,
}

/// How much of a setting may be shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Secrecy {
    /// All of it.
    Open,
    /// An address: all but the user's name and password.
    Address,
    /// Nothing.
    Secret,
}

/// One setting.
#[derive(Debug, Clone, Copy)]
pub struct Setting {
    /// `section.key` in `hubwatch.toml`, or the section alone where a variable holds all of it; empty for what no file can say.
    pub key: &'static str,
    /// Its variable.
    pub variable: &'static str,
    /// Its flag, empty where there is none. Not every command has it.
    pub flag: &'static str,
    /// How its variable is read.
    pub kind: Kind,
    /// How much of it may be shown.
    pub secrecy: Secrecy,
    /// What holds where nothing is said.
    pub default: &'static str,
    /// What it is.
    pub meaning: &'static str,
}

/// `key variable flag kind secrecy default meaning`, a line each.
macro_rules! settings {
    ($($key:literal $variable:literal $flag:literal $kind:ident $secrecy:ident $default:literal $meaning:literal)*) => {
        &[$(Setting {
            key: $key,
            variable: $variable,
            flag: $flag,
            kind: Kind::$kind,
            secrecy: Secrecy::$secrecy,
            default: $default,
            meaning: $meaning,
        }),*]
    };
}

/// All settings, in the order of the file.
pub const SETTINGS: &[Setting] = settings! {
    "" "HUBWATCH_CONFIG" "--config" Text Open "`hubwatch.toml` of the working folder, else `/etc/hubwatch/hubwatch.toml`, if it is there" "the configuration file"
    "" "HUBWATCH_VERBOSITY" "" Text Open "`normal`" "how much is said on stderr: `quiet` (`-q`), `normal`, `verbose` (`-v`) or `debug` (`-vv`)"
    "hub.url" "HUBWATCH_HUB" "--hub" Text Address "the hub that runs on this host" "the hub's address, with a path prefix if it is behind a proxy"
    "hub.name" "HUBWATCH_NAME" "--name" Text Open "the hub's host and port" "what the report calls the hub"
    "hub.environment" "HUBWATCH_ENVIRONMENT" "--environment" Text Open "`staging`" "where the hub runs"
    "hub.log" "HUBWATCH_LOG" "--log" Text Open "none; for a discovered hub where it writes it" "the hub's log: a file, a pattern of files, or `-` for standard input"
    "hub.stdin" "HUBWATCH_STDIN" "--stdin" Switch Open "`false`" "whether the hub's output is piped into hubwatch beside its log file"
    "hub.pid" "HUBWATCH_PID" "--pid" Number Open "found out" "the hub's process id, where it can't be found out"
    "hub.shared_pids" "HUBWATCH_SHARED_PIDS" "" Switch Open "`false`" "whether the process ids that the hub tells of itself count here, too: containers that share a PID namespace, and a hub that is not reached by a loopback address"
    "hub.cgroup" "HUBWATCH_CGROUP" "" Text Open "none" "the folder at which the control group (v2) of the hub's container is mounted, where its processes can't be seen: memory and processor time are the whole container's then"
    "hub.build" "HUBWATCH_BUILD" "--build" Text Open "none" "the build under test"
    "hub.headers" "HUBWATCH_HEADERS" "--header" Headers Secret "none" "headers for every request to the hub"
    "hub.ca" "HUBWATCH_CA" "--ca" Text Open "the system's roots" "a file with a certificate authority that the hub's certificate may come from"
    "watch.interval" "HUBWATCH_INTERVAL" "--interval" Text Open "`15s`" "how often the hub is polled: 200ms to 10m"
    "watch.state_dir" "HUBWATCH_STATE_DIR" "--state-dir" Text Open "`$XDG_STATE_HOME/hubwatch`, `~/.local/state/hubwatch`" "the folder of the journal and all else that is kept"
    "watch.event_stream" "HUBWATCH_EVENT_STREAM" "--event-stream" Text Open "`auto`" "when to join the hub's event stream: `auto` (unless that keeps a hub alive that stops with its last subscriber), `always` or `never`"
    "watch.drain" "HUBWATCH_DRAIN" "--drain" Text Open "`5s`" "how long the way out may take to send what is left"
    "logs.collapse" "HUBWATCH_LOGS_COLLAPSE" "" Switch Open "`true`" "whether lines that repeat become one count after a few samples"
    "logs.original" "HUBWATCH_LOGS_ORIGINAL" "" Switch Open "`true`" "whether a record of a JSON line carries the whole line beside its message"
    "privacy.keep" "HUBWATCH_PRIVACY_KEEP" "" Switch Open "`false`" "whether prompts, tool arguments and key-like strings go out as they are"
    "otlp.endpoint" "OTEL_EXPORTER_OTLP_ENDPOINT" "--otlp" Text Address "none: the journal alone" "the receiver's address"
    "otlp.protocol" "OTEL_EXPORTER_OTLP_PROTOCOL" "--otlp-protocol" Text Open "`grpc` for port 4317, else `http/protobuf`" "how telemetry is carried: `grpc` or `http/protobuf`"
    "otlp.headers" "OTEL_EXPORTER_OTLP_HEADERS" "" Headers Secret "none" "headers for every request"
    "otlp.compression" "OTEL_EXPORTER_OTLP_COMPRESSION" "" Text Open "`none`" "`gzip` or `none`"
    "otlp.timeout" "OTEL_EXPORTER_OTLP_TIMEOUT" "" Text Open "`10s`" "how long a request may take: milliseconds in the variable, such as `10s` in the file"
    "otlp.ca" "OTEL_EXPORTER_OTLP_CERTIFICATE" "" Text Open "the system's roots" "a file with a certificate authority that the receiver's certificate may come from"
    "otlp.client_certificate" "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE" "" Text Open "none" "a file with our own certificate"
    "otlp.client_key" "OTEL_EXPORTER_OTLP_CLIENT_KEY" "" Text Open "none" "a file with its key"
    "otlp.temporality" "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE" "" Text Open "`cumulative`" "what metrics count from: `cumulative`, `delta` or `lowmemory`"
    "otlp.signals" "HUBWATCH_OTLP_SIGNALS" "" List Open "`traces,logs,metrics`" "what is sent"
    "otlp.name" "HUBWATCH_OTLP_NAME" "" Text Open "`main`" "under which name its place in the journal is kept"
    "destination" "HUBWATCH_DESTINATION" "" Toml Secret "none" "further receivers: `[{ name = \"tempo\", endpoint = \"http://tempo:4317\", signals = [\"traces\"] }]`"
    "journal.max_bytes" "HUBWATCH_JOURNAL_MAX_BYTES" "" Text Open "`1 GiB`" "the journal's size beyond which the oldest rows are dropped"
    "journal.max_age" "HUBWATCH_JOURNAL_MAX_AGE" "" Text Open "`336h`" "how long anything is kept; no single reading of a clock drops anything, and the last 48 hours of running stay while there is room"
    "journal.reserve" "HUBWATCH_JOURNAL_RESERVE" "" Text Open "`256 MiB`" "how much of the disk is left free"
    "backend.source" "HUBWATCH_BACKEND" "--backend" Text Address "the state folder" "where a report reads from: `jaeger=URL`, `tempo=URL` or `file=PATH`"
    "backend.headers" "HUBWATCH_BACKEND_HEADERS" "--backend-header" Headers Secret "none" "headers for every request to it"
    "backend.bearer" "HUBWATCH_BACKEND_BEARER" "" Text Secret "none" "a token: `Authorization: Bearer …`"
    "backend.user" "HUBWATCH_BACKEND_USER" "" Text Open "none" "a user: `Authorization: Basic …`"
    "backend.password" "HUBWATCH_BACKEND_PASSWORD" "" Text Secret "none" "the user's password"
    "backend.ca" "HUBWATCH_BACKEND_CA" "--backend-ca" Text Open "the system's roots" "a file with a certificate authority that its certificate may come from"
    "backend.timeout" "HUBWATCH_BACKEND_TIMEOUT" "" Text Open "`30s`" "how long one answer may take"
    "serve.listen" "HUBWATCH_LISTEN" "--listen" Text Open "nothing is served; the image: `127.0.0.1:9684`" "where the status page, health, metrics and traces by id are served"
    "dashboard.file" "HUBWATCH_DASHBOARD" "--dashboard" Text Open "`dashboard.json` in the state folder" "where the strategy's `dashboard.json` is kept"
    "dashboard.interval" "HUBWATCH_DASHBOARD_INTERVAL" "" Text Open "with each poll" "how often it is written at most"
    "servers" "HUBWATCH_SERVERS" "" Toml Open "every server works" "what is expected of servers: `{ github = { expected = [\"disconnected\"] } }`"
    "judge" "HUBWATCH_JUDGE" "" Toml Open "[criteria.toml](../src/judge/criteria.toml)" "how the period is judged, and what the hub has where that is not to be found out: `{ min_period = \"24h\", has_gemini = false }`"
    "criterion" "HUBWATCH_CRITERION" "" Toml Open "[criteria.toml](../src/judge/criteria.toml)" "criteria that are changed, added or switched off (`enabled = false`): `[{ id = \"performance.api_response_time\", limits = [{ measure = \"api.mean\", fail = 1500000 }] }]`"
    "alert" "HUBWATCH_ALERT" "" Toml Open "[criteria.toml](../src/judge/criteria.toml)" "alerts that are changed: `[{ kind = \"api_failing\", severity = \"critical\" }]`"
    "notify" "HUBWATCH_NOTIFY" "" Toml Secret "nobody" "who is told of incidents: `[{ name = \"chat\", kind = \"slack\", url_file = \"/run/secrets/chat\" }]`"
    "waiver" "HUBWATCH_WAIVER" "" Toml Open "none" "criteria without a verdict that somebody answers for: `[{ criterion = \"…\", reason = \"…\", by = \"…\", until = \"…\" }]`"
    "report.trace_url" "HUBWATCH_TRACE_URL" "" Text Address "Jaeger's own UI for `jaeger=`, else none" "where people see a trace: an address with `{trace_id}` in it"
    "report.lead" "HUBWATCH_REPORT_LEAD" "" Text Open "nobody" "who leads the monitoring"
    "report.escalation" "HUBWATCH_REPORT_ESCALATION" "" List Open "nobody" "whom to go to, in this order, when a must criterion fails"
    "report.contacts" "HUBWATCH_REPORT_CONTACTS" "" Toml Open "nobody" "whom else to ask: `{ Gemini = \"ml@example.com\" }`"
    "report.signatures" "HUBWATCH_REPORT_SIGNATURES" "" List Open "none" "the roles that sign before the build is promoted"
};

/// What the name of a variable begins with that is ours.
pub const PREFIX: &str = "HUBWATCH_";

/// What the names of OpenTelemetry's variables for all signals begin with; one for a signal has the signal's name after it.
const OTLP: &str = "OTEL_EXPORTER_OTLP_";

/// Behind the name of a variable that names a file with the value.
pub const FILE_SUFFIX: &str = "_FILE";

impl Setting {
    /// Whether a file can hold it instead of the variable: `…_FILE`.
    pub fn may_be_in_file(&self) -> bool {
        self.secrecy != Secrecy::Open
    }

    /// Its variable and, for what each signal can have for itself, the signals' own.
    pub fn variables(&self) -> Vec<String> {
        let own = self.variable.strip_prefix(OTLP).filter(|rest| !rest.starts_with("METRICS_"));
        let of_signals =
            own.into_iter().flat_map(|rest| ["TRACES", "LOGS", "METRICS"].map(|signal| format!("{OTLP}{signal}_{rest}")));
        std::iter::once(self.variable.to_owned()).chain(of_signals).collect()
    }

    /// The variable's text as the file would hold it.
    ///
    /// # Errors
    /// What is wrong, without the text: it may be a secret.
    pub fn value(&self, text: &str) -> Result<Value, String> {
        match self.kind {
            Kind::Text => Ok(Value::String(text.to_owned())),
            Kind::Switch => text.parse().map(Value::Boolean).map_err(|_| "it is neither true nor false".to_owned()),
            Kind::Number => text.parse().map(Value::Integer).map_err(|_| "it is no whole number".to_owned()),
            Kind::List => Ok(Value::Array(text.split(',').map(|word| Value::String(word.trim().to_owned())).collect())),
            Kind::Headers => {
                let pairs = header_list(text).into_iter();
                Ok(Value::Table(pairs.map(|(name, value)| (name, Value::String(value.reveal().to_owned()))).collect()))
            }
            Kind::Toml => {
                let inline = |error: toml::de::Error| {
                    format!("it is no TOML value: {}", crate::base::toml_text::without_value(error.message()))
                };
                text.trim().parse().map_err(inline)
            }
        }
    }

    /// A text of it as it may be shown.
    pub fn shown(&self, text: &str) -> String {
        match (self.secrecy, self.kind) {
            (Secrecy::Secret, _) => "[secret]".to_owned(),
            (_, Kind::Toml) => "[…]".to_owned(),
            (Secrecy::Address, _) => without_credentials(text),
            (Secrecy::Open, _) => text.to_owned(),
        }
    }
}

/// The setting whose variable this is, be it for one signal.
pub fn of_variable(name: &str) -> Option<&'static Setting> {
    SETTINGS.iter().find(|setting| setting.variables().iter().any(|variable| variable == name))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::time::Duration;

    use super::*;
    use crate::config::{file, journal};

    /// What the file's reader says that a table can hold.
    fn keys_of(table: &str) -> BTreeSet<String> {
        let problem = file::parse(&format!("{table}\nnothing-of-this-name = 1\n")).unwrap_err();
        let known = problem.split_once("expected ").unwrap().1.lines().next().unwrap();
        known.split('`').skip(1).step_by(2).map(ToOwned::to_owned).collect()
    }

    #[test]
    fn whatever_the_file_can_say_a_variable_can_say() {
        for section in keys_of("") {
            if SETTINGS.iter().any(|setting| setting.key == section) {
                continue;
            }
            let named: BTreeSet<String> =
                SETTINGS.iter().filter_map(|setting| setting.key.strip_prefix(&format!("{section}."))).map(str::to_owned).collect();
            assert_eq!(named, keys_of(&format!("[{section}]")), "[{section}]");
        }
    }

    #[test]
    fn no_two_settings_share_a_name() {
        let mut seen = BTreeSet::new();
        for setting in SETTINGS {
            assert!(setting.variables().into_iter().all(|variable| seen.insert(variable)), "{}", setting.variable);
        }
    }

    #[test]
    fn the_defaults_that_are_told_are_those_that_hold() {
        let told = |key: &str| SETTINGS.iter().find(|setting| setting.key == key).unwrap().default.trim_matches('`');
        let time = |key: &str| crate::config::duration(told(key)).unwrap();
        let limits = crate::journal::Limits::default();
        assert_eq!(time("watch.interval"), crate::config::DEFAULT_INTERVAL);
        assert_eq!(time("watch.drain"), crate::config::DEFAULT_DRAIN);
        assert_eq!(time("otlp.timeout"), crate::export::DEFAULT_TIMEOUT);
        assert_eq!(time("backend.timeout"), crate::backend::DEFAULT_TIMEOUT);
        assert_eq!(Duration::from_micros(0) + time("journal.max_age"), limits.max_age);
        assert_eq!(journal::bytes(told("journal.max_bytes")), Ok(limits.max_bytes));
        assert_eq!(journal::bytes(told("journal.reserve")), Ok(limits.reserve));
        assert_eq!(told("hub.environment"), crate::config::DEFAULT_ENVIRONMENT);
    }

    #[test]
    fn a_signals_own_variable_is_the_same_setting() {
        assert_eq!(of_variable("OTEL_EXPORTER_OTLP_LOGS_HEADERS").map(|setting| setting.key), Some("otlp.headers"));
        assert!(of_variable("OTEL_EXPORTER_OTLP_METRICS_METRICS_TEMPORALITY_PREFERENCE").is_none());
        assert!(of_variable("HUBWATCH_HUBS").is_none());
    }
}
