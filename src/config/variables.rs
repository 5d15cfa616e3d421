//! The environment as a layer over the file: each variable sets a key; a `…_FILE` variable names a file with a secret.

use std::collections::BTreeMap;

use serde::Deserialize as _;
use toml::{Table, Value};

use super::environment::Environment;
use super::settings::{FILE_SUFFIX, Kind, PREFIX, SETTINGS, Setting, of_variable};
use super::{ConfigError, File, FileError, Layers, file};

/// Below this similarity the variable is foreign: warn and ignore it.
const LIKE_OURS: f64 = 0.88;

/// Variables of the instrumentation in the hub's process. Hub and watch may share an environment.
const OF_INSTRUMENTATION: [&str; 4] =
    ["HUBWATCH_ALLOW_FAULTS", "HUBWATCH_FAULT_FILE", "HUBWATCH_LLM_HOSTS", "HUBWATCH_SEND_SESSION_IDS"];

/// Reads `NAME_FILE` for each secret `NAME`.
pub(super) fn from_files(environment: &impl Environment) -> Result<BTreeMap<String, String>, ConfigError> {
    let mut found = BTreeMap::new();
    for name in SETTINGS.iter().filter(|setting| setting.may_be_in_file()).flat_map(Setting::variables) {
        let variable = format!("{name}{FILE_SUFFIX}");
        let Some(path) = environment.get(&variable) else { continue };
        // A user may have written the secret itself there; the error must not show it.
        let shown = if path.starts_with(['/', '.']) { path.clone() } else { "[hidden]".to_owned() };
        let wrong = |problem: String| ConfigError::Value { setting: variable.clone(), value: shown.clone(), problem };
        if environment.get(&name).is_some() {
            return Err(wrong(format!("is set together with {name}: set only one")));
        }
        let text = std::fs::read_to_string(&path);
        let text =
            text.map_err(|error| wrong(format!("can't be read: {error}; it must be the path of a file with the value of {name}")))?;
        let text = text.trim_end_matches(['\r', '\n']);
        if text.is_empty() {
            return Err(wrong(format!("is an empty file; it must hold the value of {name}")));
        }
        found.insert(name, text.to_owned());
    }
    Ok(found)
}

/// Returns unknown variables with our prefix. A name that is close to a setting's is an error: it is probably a typing mistake.
pub(super) fn unknown(environment: &impl Environment) -> Result<Vec<String>, ConfigError> {
    let mut unknown = Vec::new();
    for name in environment.names() {
        let Some(rest) = name.strip_prefix(PREFIX).filter(|_| environment.get(&name).is_some()) else { continue };
        let of_file = name.strip_suffix(FILE_SUFFIX).and_then(of_variable);
        if of_variable(&name).is_some()
            || OF_INSTRUMENTATION.contains(&name.as_str())
            || of_file.is_some_and(Setting::may_be_in_file)
            || is_service_link(rest)
        {
            continue;
        }
        if let Some(hint) = hint(&name, rest, of_file) {
            return Err(ConfigError::Unknown { name, hint });
        }
        unknown.push(name);
    }
    Ok(unknown)
}

/// Returns true for the service variables that Kubernetes gives each container: those of a service called `hubwatch…` have our
/// prefix.
fn is_service_link(rest: &str) -> bool {
    let rest = format!("_{rest}");
    rest.contains("_SERVICE_") || rest.contains("_PORT_") || rest.ends_with("_PORT")
}

fn hint(name: &str, rest: &str, of_file: Option<&Setting>) -> Option<String> {
    if let Some(setting) = of_file {
        return Some(format!("{} is not a secret: set it directly, not by a file", setting.variable));
    }
    let by_key = |setting: &&Setting| setting.key.replace('.', "_").eq_ignore_ascii_case(rest);
    if let Some(setting) = SETTINGS.iter().find(by_key) {
        return Some(format!("the variable of `{}` is {}", setting.key, setting.variable));
    }
    let ours = SETTINGS.iter().filter_map(|setting| setting.variable.strip_prefix(PREFIX));
    let alike = ours.map(|known| (strsim::jaro_winkler(rest, known), known));
    let (likeness, nearest) = alike.max_by(|one, other| one.0.total_cmp(&other.0))?;
    (likeness > LIKE_OURS && name != PREFIX).then(|| format!("did you mean {PREFIX}{nearest}?"))
}

impl<E: Environment> Layers<E> {
    /// Returns the file's settings with our own variables laid over them. OpenTelemetry's variables are read where they are used,
    /// because each may be for one signal.
    pub(super) fn overlaid(&self) -> Result<File, ConfigError> {
        let mut merged = self.written.clone();
        for setting in SETTINGS.iter().filter(|setting| setting.variable.starts_with(PREFIX) && !setting.key.is_empty()) {
            let Some(given) = self.variable(setting.variable) else { continue };
            let wrong = |problem: String| ConfigError::Value {
                setting: given.source.clone(),
                value: setting.shown(&given.value),
                problem: format!("is invalid: {problem}"),
            };
            let value = setting.value(&given.value).map_err(wrong)?;
            let mut alone = Table::new();
            put(&mut alone, setting, value.clone());
            let read = read(alone).and_then(|file| file::check_rules(&file).map(|()| file));
            read.map_err(wrong)?;
            put(&mut merged, setting, value);
        }
        let whole = read(merged).and_then(|file| file::check_rules(&file).map(|()| file));
        let path = || self.path.clone().unwrap_or_else(|| super::DEFAULT_FILE.into());
        Ok(whole
            .map_err(|problem| FileError::Invalid { path: path(), problem: format!("together with the variables: {problem}") })?)
    }
}

fn read(table: Table) -> Result<File, String> {
    File::deserialize(Value::Table(table)).map_err(|error| crate::base::toml_text::without_value(error.message()))
}

/// Sets a value in the file's table: for each hub if there are several; headers are added to the existing ones.
fn put(file: &mut Table, setting: &Setting, value: Value) {
    let Some((section, key)) = setting.key.split_once('.') else {
        file.insert(setting.key.to_owned(), value);
        return;
    };
    match file.entry(section).or_insert_with(|| Value::Table(Table::new())) {
        Value::Table(table) => put_key(table, setting.kind, key, value),
        Value::Array(tables) => {
            for table in tables.iter_mut().filter_map(Value::as_table_mut) {
                put_key(table, setting.kind, key, value.clone());
            }
        }
        _ => {}
    }
}

fn put_key(table: &mut Table, kind: Kind, key: &str, value: Value) {
    match (kind, table.get_mut(key), value) {
        (Kind::Headers, Some(Value::Table(headers)), Value::Table(more)) => headers.extend(more),
        (_, _, value) => {
            table.insert(key.to_owned(), value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::layers;

    fn refused(variables: &[(&str, &str)], file: &str) -> String {
        let layers = Layers::assemble(variables.iter().copied().collect::<BTreeMap<_, _>>(), file.parse().unwrap(), None);
        layers.unwrap_err().to_string()
    }

    #[test]
    fn a_variable_can_set_every_key_of_the_file() {
        let variables = [
            ("HUBWATCH_LOGS_COLLAPSE", "false"),
            ("HUBWATCH_PID", "7"),
            ("HUBWATCH_HEADERS", "Authorization=Bearer%20x,X-A=b"),
            ("HUBWATCH_SERVERS", "{ github = { expected = ['disconnected'] } }"),
            ("HUBWATCH_NOTIFY", "[{ name = 'chat', url = 'http://a' }, { name = 'pager', url = 'http://b' }]"),
            ("HUBWATCH_REPORT_ESCALATION", "Ada <ada@example.com>, #staging"),
        ];
        let file = layers(&variables, "[logs]\ncollapse = true\n[hub]\nheaders = { X-Old = 'c' }\n").file;
        assert_eq!((file.logs.collapse, file.hub().pid), (Some(false), Some(7)));
        let headers: Vec<_> = file.hub().headers.iter().map(|(name, value)| format!("{name}: {value}")).collect();
        assert_eq!(headers, ["Authorization: Bearer x", "X-A: b", "X-Old: c"]);
        assert_eq!((file.servers["github"].expected.len(), file.notify.len()), (1, 2));
        assert_eq!(file.report.escalation, ["Ada <ada@example.com>", "#staging"]);
    }

    #[test]
    fn a_variable_applies_to_each_hub_of_the_file() {
        let file = layers(&[("HUBWATCH_BUILD", "4.3.0")], "[[hub]]\nurl = 'http://a'\n[[hub]]\nurl = 'http://b'\n").file;
        assert!(file.hubs.len() == 2 && file.hubs.iter().all(|hub| hub.build.as_deref() == Some("4.3.0")));
    }

    #[test]
    fn errors_name_the_variable_and_show_no_secret() {
        let errors = [
            refused(&[("HUBWATCH_PID", "seven")], ""),
            refused(&[("HUBWATCH_LOGS_COLLAPSE", "yes")], ""),
            refused(&[("HUBWATCH_NOTIFY", "[{ nmae = 's3cret' }]")], ""),
            refused(&[("HUBWATCH_NOTIFY", "s3cret")], ""),
            refused(&[("HUBWATCH_CRITERION", "[{ id = 'performance.api_response_time', severity = 'mustt' }]")], ""),
            refused(&[("HUBWATCH_INTERVALL", "1s")], ""),
            refused(&[("HUBWATCH_HUB_URL", "http://s3cret@a")], ""),
            refused(&[("HUBWATCH_NAME_FILE", "/run/secrets/name")], ""),
            refused(&[("HUBWATCH_BACKEND_BEARER_FILE", "/nonexistent/bearer")], ""),
            refused(&[("HUBWATCH_BACKEND_BEARER_FILE", "s3cret")], ""),
            refused(&[("HUBWATCH_BACKEND_BEARER_FILE", "/dev/null"), ("HUBWATCH_BACKEND_BEARER", "s3cret")], ""),
            refused(&[("HUBWATCH_BACKEND_BEARER_FILE", "/dev/null")], ""),
        ];
        assert!(errors.iter().all(|error| !error.contains("s3cret")), "{errors:#?}");
        insta::assert_snapshot!(errors.join("\n"));
    }

    #[test]
    fn foreign_variables_with_our_prefix_are_ignored() {
        let variables = [
            ("HUBWATCH_PORT", "tcp://10.0.0.1:9684"),
            ("HUBWATCH_SERVICE_HOST", "10.0.0.1"),
            ("HUBWATCH_PORT_9684_TCP_ADDR", "10.0.0.1"),
            ("HUBWATCH_IMAGE", "hubwatch:1"),
            ("HUBWATCH_NO_NAMESPACES", "1"),
            ("HUBWATCH_LIVE_JAEGER", "/jaeger"),
            ("HUBWATCH_BIN", "/hubwatch"),
            ("HUBWATCH_KILLS", "200"),
            ("HUBWATCH_SEED", "7"),
            ("HUBWATCH_INTERVALL", ""),
            ("HUBWATCH_FAULT_FILE", "/tmp/fault"),
            ("HUBWATCH_SEND_SESSION_IDS", "1"),
        ];
        let unknown = layers(&variables, "").unknown_variables().to_vec();
        assert_eq!(
            unknown,
            ["HUBWATCH_BIN", "HUBWATCH_IMAGE", "HUBWATCH_KILLS", "HUBWATCH_LIVE_JAEGER", "HUBWATCH_NO_NAMESPACES", "HUBWATCH_SEED"]
        );
    }

    #[test]
    fn a_secret_can_be_in_a_file_that_its_variable_names() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "to ken\n").unwrap();
        let path = file.path().to_str().unwrap();
        let layers = layers(&[("HUBWATCH_BACKEND_BEARER_FILE", path), ("OTEL_EXPORTER_OTLP_LOGS_HEADERS_FILE", path)], "");
        assert_eq!(layers.file.backend.bearer.as_deref(), Some("to ken"));
        let logs = layers.variable("OTEL_EXPORTER_OTLP_LOGS_HEADERS").unwrap();
        assert_eq!((logs.value.as_str(), logs.source.as_str()), ("to ken", "OTEL_EXPORTER_OTLP_LOGS_HEADERS_FILE"));
    }
}
