//! All settings: key in the file, variable, flag and meaning. The table in docs/configuration.md is generated from this list; every
//! key of the file has a variable.

use toml::Value;

use super::destinations::header_list;
use crate::base::secret::without_credentials;

/// The format of a variable's text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Plain text: a word, an address, a time, a size, a path.
    Text,
    /// `true` or `false`.
    Switch,
    /// A whole number.
    Number,
    /// `name=value,name=value`, percent-encoded as in OpenTelemetry's own variables.
    Headers,
    /// Words separated by commas.
    List,
    /// A TOML value: an array of inline tables, or one inline table.
    Toml,
}

/// How much of a setting messages may show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Secrecy {
    /// The whole value.
    Open,
    /// An address without user name and password.
    Address,
    /// Nothing.
    Secret,
}

/// One setting.
#[derive(Debug, Clone, Copy)]
pub struct Setting {
    /// `section.key` in `hubwatch.toml`, or the section alone if a variable holds all of it; empty if the file has no such key.
    pub key: &'static str,
    /// Its variable.
    pub variable: &'static str,
    /// Its flag, empty if there is none. Not every command has it.
    pub flag: &'static str,
    /// The format of its variable.
    pub kind: Kind,
    /// How much of it messages may show.
    pub secrecy: Secrecy,
    /// The default.
    pub default: &'static str,
    /// The meaning.
    pub meaning: &'static str,
}

/// `key variable flag kind secrecy default meaning`, one setting a line.
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
    "" "HUBWATCH_VERBOSITY" "" Text Open "`normal`" "the log level on stderr: `quiet` (`-q`), `normal`, `verbose` (`-v`) or `debug` (`-vv`)"
    "hub.url" "HUBWATCH_HUB" "--hub" Text Address "the hub that runs on this host" "the hub's address, with a path prefix if it is behind a proxy"
    "hub.name" "HUBWATCH_NAME" "--name" Text Open "the hub's host and port" "the hub's name in reports"
    "hub.environment" "HUBWATCH_ENVIRONMENT" "--environment" Text Open "`staging`" "the hub's environment"
    "hub.log" "HUBWATCH_LOG" "--log" Text Open "none; the log of a discovered hub is found" "the hub's log: a file, a pattern of files, or `-` for standard input"
    "hub.stdin" "HUBWATCH_STDIN" "--stdin" Switch Open "`false`" "`true` if the hub's output is also piped into hubwatch"
    "hub.pid" "HUBWATCH_PID" "--pid" Number Open "detected" "the hub's process id, if it can't be detected"
    "hub.shared_pids" "HUBWATCH_SHARED_PIDS" "" Switch Open "`false`" "`true` if the process ids that the hub reports are valid here: its container shares a PID namespace with hubwatch, or its address is no loopback address"
    "hub.cgroup" "HUBWATCH_CGROUP" "" Text Open "none" "the folder where the cgroup (v2) of the hub's container is mounted, for a hub whose processes hubwatch can't see: memory and CPU time are then those of the whole container"
    "hub.build" "HUBWATCH_BUILD" "--build" Text Open "none" "the build under test"
    "hub.headers" "HUBWATCH_HEADERS" "--header" Headers Secret "none" "headers for every request to the hub"
    "hub.ca" "HUBWATCH_CA" "--ca" Text Open "the system's roots" "a PEM file with an additional certificate authority for the hub"
    "watch.interval" "HUBWATCH_INTERVAL" "--interval" Text Open "`15s`" "the polling interval: 200ms to 10m"
    "watch.state_dir" "HUBWATCH_STATE_DIR" "--state-dir" Text Open "`$XDG_STATE_HOME/hubwatch`, `~/.local/state/hubwatch`" "the folder for the journal and all other state"
    "watch.event_stream" "HUBWATCH_EVENT_STREAM" "--event-stream" Text Open "`auto`" "when to subscribe to the hub's event stream: `auto` (unless that keeps alive a hub that stops with its last subscriber), `always` or `never`"
    "watch.drain" "HUBWATCH_DRAIN" "--drain" Text Open "`5s`" "how long to keep sending at shutdown"
    "logs.collapse" "HUBWATCH_LOGS_COLLAPSE" "" Switch Open "`true`" "collapse repeated lines into a count after a few samples"
    "logs.original" "HUBWATCH_LOGS_ORIGINAL" "" Switch Open "`true`" "attach the whole JSON line to its log record"
    "privacy.keep" "HUBWATCH_PRIVACY_KEEP" "" Switch Open "`false`" "send prompts, tool arguments and key-like strings unmasked"
    "otlp.endpoint" "OTEL_EXPORTER_OTLP_ENDPOINT" "--otlp" Text Address "none: the journal alone" "the receiver's address"
    "otlp.protocol" "OTEL_EXPORTER_OTLP_PROTOCOL" "--otlp-protocol" Text Open "`grpc` for port 4317, else `http/protobuf`" "the protocol: `grpc` or `http/protobuf`"
    "otlp.headers" "OTEL_EXPORTER_OTLP_HEADERS" "" Headers Secret "none" "headers for every request"
    "otlp.compression" "OTEL_EXPORTER_OTLP_COMPRESSION" "" Text Open "`none`" "`gzip` or `none`"
    "otlp.timeout" "OTEL_EXPORTER_OTLP_TIMEOUT" "" Text Open "`10s`" "timeout of a request: in milliseconds in the variable, a duration such as `10s` in the file"
    "otlp.ca" "OTEL_EXPORTER_OTLP_CERTIFICATE" "" Text Open "the system's roots" "a PEM file with an additional certificate authority for the receiver"
    "otlp.client_certificate" "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE" "" Text Open "none" "a file with hubwatch's client certificate"
    "otlp.client_key" "OTEL_EXPORTER_OTLP_CLIENT_KEY" "" Text Open "none" "a file with its key"
    "otlp.temporality" "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE" "" Text Open "`cumulative`" "temporality of metrics: `cumulative`, `delta` or `lowmemory`"
    "otlp.signals" "HUBWATCH_OTLP_SIGNALS" "" List Open "`traces,logs,metrics`" "the signals to send"
    "otlp.name" "HUBWATCH_OTLP_NAME" "" Text Open "`main`" "the name of its cursor in the journal"
    "destination" "HUBWATCH_DESTINATION" "" Toml Secret "none" "further receivers: `[{ name = \"tempo\", endpoint = \"http://tempo:4317\", signals = [\"traces\"] }]`"
    "journal.max_bytes" "HUBWATCH_JOURNAL_MAX_BYTES" "" Text Open "`1 GiB`" "the journal's size beyond which the oldest rows are dropped"
    "journal.max_age" "HUBWATCH_JOURNAL_MAX_AGE" "" Text Open "`336h`" "retention time; a single wrong clock reading drops nothing, and the last 48 hours of running are kept while there is room"
    "journal.reserve" "HUBWATCH_JOURNAL_RESERVE" "" Text Open "`256 MiB`" "disk space to leave free"
    "backend.source" "HUBWATCH_BACKEND" "--backend" Text Address "the state folder" "the backend that a report reads, as `KIND=TARGET`: [the kinds](../README.md#backends)"
    "backend.headers" "HUBWATCH_BACKEND_HEADERS" "--backend-header" Headers Secret "none" "headers for every request to the backend"
    "backend.bearer" "HUBWATCH_BACKEND_BEARER" "" Text Secret "none" "a token: `Authorization: Bearer …`"
    "backend.user" "HUBWATCH_BACKEND_USER" "" Text Open "none" "a user: `Authorization: Basic …`"
    "backend.password" "HUBWATCH_BACKEND_PASSWORD" "" Text Secret "none" "the user's password"
    "backend.ca" "HUBWATCH_BACKEND_CA" "--backend-ca" Text Open "the system's roots" "a PEM file with an additional certificate authority for the backend"
    "backend.timeout" "HUBWATCH_BACKEND_TIMEOUT" "" Text Open "`30s`" "timeout of one answer"
    "serve.listen" "HUBWATCH_LISTEN" "--listen" Text Open "no server; in the image `127.0.0.1:9684`" "the address that serves the status page, health, metrics and traces by id"
    "receive.listen" "HUBWATCH_RECEIVE" "--receive" Text Open "no receiver" "where to receive OTLP: an IP address for HTTP on port 4318 and gRPC on port 4317, or an address with a port for both protocols"
    "receive.token_file" "HUBWATCH_RECEIVE_TOKEN_FILE" "" Text Open "none" "a file with the token that senders need: `Authorization: Bearer …`; required beyond loopback"
    "receive.allow_without_token" "HUBWATCH_RECEIVE_ALLOW_WITHOUT_TOKEN" "" Switch Open "`false`" "`true` to let other hosts send without a token"
    "receive.certificate" "HUBWATCH_RECEIVE_CERTIFICATE" "" Text Open "none: not encrypted" "a PEM file with the receiver's certificate"
    "receive.key" "HUBWATCH_RECEIVE_KEY" "" Text Open "none" "a PEM file with its key"
    "dashboard.file" "HUBWATCH_DASHBOARD" "--dashboard" Text Open "`dashboard.json` in the state folder" "the path of the strategy's `dashboard.json`"
    "dashboard.interval" "HUBWATCH_DASHBOARD_INTERVAL" "" Text Open "each poll" "the minimum time between two writes"
    "servers" "HUBWATCH_SERVERS" "" Toml Open "every server is up" "the expected states of servers: `{ github = { expected = [\"disconnected\"] } }`"
    "judge" "HUBWATCH_JUDGE" "" Toml Open "[criteria.toml](../src/judge/criteria.toml)" "rules for the verdict, and features of the hub that can't be detected: `{ min_period = \"24h\", has_gemini = false }`"
    "budget" "HUBWATCH_BUDGET" "" Toml Open "none" "what the hub's LLM may use, and what that costs: `{ tokens_per_day = 2000000, input_per_million = 0.30, output_per_million = 2.50, currency = \"USD\" }`"
    "criterion" "HUBWATCH_CRITERION" "" Toml Open "[criteria.toml](../src/judge/criteria.toml)" "criteria to change, add or disable (`enabled = false`): `[{ id = \"performance.api_response_time\", limits = [{ measure = \"api.mean\", fail = 1500000 }] }]`"
    "alert" "HUBWATCH_ALERT" "" Toml Open "[criteria.toml](../src/judge/criteria.toml)" "alerts to change: `[{ kind = \"api_failing\", severity = \"critical\" }]`"
    "notify" "HUBWATCH_NOTIFY" "" Toml Secret "none" "receivers of alerts: `[{ name = \"chat\", kind = \"slack\", url_file = \"/run/secrets/chat\" }]`"
    "waiver" "HUBWATCH_WAIVER" "" Toml Open "none" "criteria without a verdict that a named person accepts: `[{ criterion = \"…\", reason = \"…\", by = \"…\", until = \"…\" }]`"
    "report.trace_url" "HUBWATCH_TRACE_URL" "" Text Address "Jaeger's own UI for `jaeger=`, else none" "the address of a trace's page, with `{trace_id}` in it"
    "report.lead" "HUBWATCH_REPORT_LEAD" "" Text Open "none" "the person who leads the monitoring"
    "report.escalation" "HUBWATCH_REPORT_ESCALATION" "" List Open "none" "the people to contact when a must criterion fails, in this order"
    "report.contacts" "HUBWATCH_REPORT_CONTACTS" "" Toml Open "none" "further contacts: `{ Gemini = \"ml@example.com\" }`"
    "report.signatures" "HUBWATCH_REPORT_SIGNATURES" "" List Open "none" "the roles that sign before the build is promoted"
};

/// The prefix of our own variables.
pub const PREFIX: &str = "HUBWATCH_";

/// The prefix of OpenTelemetry's variables. A variable for one signal has the signal's name after the prefix.
const OTLP: &str = "OTEL_EXPORTER_OTLP_";

/// The suffix of a variable that names a file with the value.
pub const FILE_SUFFIX: &str = "_FILE";

impl Setting {
    /// Returns true if a `…_FILE` variable can name a file with the value.
    pub fn may_be_in_file(&self) -> bool {
        self.secrecy != Secrecy::Open
    }

    /// Returns its variable and, if each signal can have its own, those of the signals.
    pub fn variables(&self) -> Vec<String> {
        let own = self.variable.strip_prefix(OTLP).filter(|rest| !rest.starts_with("METRICS_"));
        let of_signals =
            own.into_iter().flat_map(|rest| ["TRACES", "LOGS", "METRICS"].map(|signal| format!("{OTLP}{signal}_{rest}")));
        std::iter::once(self.variable.to_owned()).chain(of_signals).collect()
    }

    /// Returns the variable's text as the file would hold it.
    ///
    /// # Errors
    /// Describes the problem without the text, which may be a secret.
    pub fn value(&self, text: &str) -> Result<Value, String> {
        match self.kind {
            Kind::Text => Ok(Value::String(text.to_owned())),
            Kind::Switch => text.parse().map(Value::Boolean).map_err(|_| "must be true or false".to_owned()),
            Kind::Number => text.parse().map(Value::Integer).map_err(|_| "not a whole number".to_owned()),
            Kind::List => Ok(Value::Array(text.split(',').map(|word| Value::String(word.trim().to_owned())).collect())),
            Kind::Headers => {
                let pairs = header_list(text).into_iter();
                Ok(Value::Table(pairs.map(|(name, value)| (name, Value::String(value.reveal().to_owned()))).collect()))
            }
            Kind::Toml => {
                let inline = |error: toml::de::Error| {
                    format!("not a TOML value: {}", crate::base::toml_text::without_value(error.message()))
                };
                text.trim().parse().map_err(inline)
            }
        }
    }

    /// Returns a text of this setting, masked for messages.
    pub fn shown(&self, text: &str) -> String {
        match (self.secrecy, self.kind) {
            (Secrecy::Secret, _) => "[secret]".to_owned(),
            (_, Kind::Toml) => "[…]".to_owned(),
            (Secrecy::Address, _) => without_credentials(text),
            (Secrecy::Open, _) => text.to_owned(),
        }
    }
}

/// Returns the setting of this variable, also of a variable for one signal.
pub fn of_variable(name: &str) -> Option<&'static Setting> {
    SETTINGS.iter().find(|setting| setting.variables().iter().any(|variable| variable == name))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::time::Duration;

    use super::*;
    use crate::config::{file, journal};

    /// Returns the keys of a table, from the file parser's own error.
    fn keys_of(table: &str) -> BTreeSet<String> {
        let problem = file::parse(&format!("{table}\nnothing-of-this-name = 1\n")).unwrap_err();
        let known = problem.split_once("expected ").unwrap().1.lines().next().unwrap();
        known.split('`').skip(1).step_by(2).map(ToOwned::to_owned).collect()
    }

    #[test]
    fn every_key_of_the_file_has_a_variable() {
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
    fn the_documented_defaults_are_the_real_ones() {
        let documented = |key: &str| SETTINGS.iter().find(|setting| setting.key == key).unwrap().default.trim_matches('`');
        let time = |key: &str| crate::config::duration(documented(key)).unwrap();
        let limits = crate::journal::Limits::default();
        assert_eq!(time("watch.interval"), crate::config::DEFAULT_INTERVAL);
        assert_eq!(time("watch.drain"), crate::config::DEFAULT_DRAIN);
        assert_eq!(time("otlp.timeout"), crate::export::DEFAULT_TIMEOUT);
        assert_eq!(time("backend.timeout"), crate::backend::DEFAULT_TIMEOUT);
        assert_eq!(Duration::from_micros(0) + time("journal.max_age"), limits.max_age);
        assert_eq!(journal::bytes(documented("journal.max_bytes")), Ok(limits.max_bytes));
        assert_eq!(journal::bytes(documented("journal.reserve")), Ok(limits.reserve));
        assert_eq!(documented("hub.environment"), crate::config::DEFAULT_ENVIRONMENT);
    }

    #[test]
    fn a_signals_own_variable_is_the_same_setting() {
        assert_eq!(of_variable("OTEL_EXPORTER_OTLP_LOGS_HEADERS").map(|setting| setting.key), Some("otlp.headers"));
        assert!(of_variable("OTEL_EXPORTER_OTLP_METRICS_METRICS_TEMPORALITY_PREFERENCE").is_none());
        assert!(of_variable("HUBWATCH_HUBS").is_none());
    }
}
