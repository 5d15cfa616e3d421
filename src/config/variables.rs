//! The environment as a layer over the file: each variable stands for a key, a secret may lie in a file that its variable names.

use std::collections::BTreeMap;

use serde::Deserialize as _;
use toml::{Table, Value};

use super::environment::Environment;
use super::settings::{FILE_SUFFIX, Kind, PREFIX, SETTINGS, Setting, of_variable};
use super::{ConfigError, File, FileError, Layers, file};

/// A name less like one of ours than this is somebody else's: it is told and left alone.
const LIKE_OURS: f64 = 0.88;

/// Reads `NAME_FILE` for each secret `NAME`.
pub(super) fn from_files(environment: &impl Environment) -> Result<BTreeMap<String, String>, ConfigError> {
    let mut found = BTreeMap::new();
    for name in SETTINGS.iter().filter(|setting| setting.may_be_in_file()).flat_map(Setting::variables) {
        let variable = format!("{name}{FILE_SUFFIX}");
        let Some(path) = environment.get(&variable) else { continue };
        // Whoever writes the secret itself there must not read it in an error.
        let shown = if path.starts_with(['/', '.']) { path.clone() } else { "[hidden]".to_owned() };
        let wrong = |problem: String| ConfigError::Value { setting: variable.clone(), value: shown.clone(), problem };
        if environment.get(&name).is_some() {
            return Err(wrong(format!("is given beside {name}: give one of them")));
        }
        let text = std::fs::read_to_string(&path);
        let text = text.map_err(|error| wrong(format!("can't be read: {error}; it is a file that holds what {name} would")))?;
        let text = text.trim_end_matches(['\r', '\n']);
        if text.is_empty() {
            return Err(wrong(format!("is an empty file; it should hold what {name} would")));
        }
        found.insert(name, text.to_owned());
    }
    Ok(found)
}

/// Variables that begin as ours do and are none. One that is very like a setting's is refused: it was meant to say something.
pub(super) fn strangers(environment: &impl Environment) -> Result<Vec<String>, ConfigError> {
    let mut strangers = Vec::new();
    for name in environment.names() {
        let Some(rest) = name.strip_prefix(PREFIX).filter(|_| environment.get(&name).is_some()) else { continue };
        let of_file = name.strip_suffix(FILE_SUFFIX).and_then(of_variable);
        if of_variable(&name).is_some() || of_file.is_some_and(Setting::may_be_in_file) || is_service_link(rest) {
            continue;
        }
        if let Some(hint) = hint(&name, rest, of_file) {
            return Err(ConfigError::Unknown { name, hint });
        }
        strangers.push(name);
    }
    Ok(strangers)
}

/// Kubernetes tells each container of the services of its namespace; one that is called `hubwatch…` is told in names like ours.
fn is_service_link(rest: &str) -> bool {
    let rest = format!("_{rest}");
    rest.contains("_SERVICE_") || rest.contains("_PORT_") || rest.ends_with("_PORT")
}

fn hint(name: &str, rest: &str, of_file: Option<&Setting>) -> Option<String> {
    if let Some(setting) = of_file {
        return Some(format!("{} is no secret, so it has to be given itself, not in a file", setting.variable));
    }
    let by_key = |setting: &&Setting| setting.key.replace('.', "_").eq_ignore_ascii_case(rest);
    if let Some(setting) = SETTINGS.iter().find(by_key) {
        return Some(format!("`{}` is {}", setting.key, setting.variable));
    }
    let ours = SETTINGS.iter().filter_map(|setting| setting.variable.strip_prefix(PREFIX));
    let alike = ours.map(|known| (strsim::jaro_winkler(rest, known), known));
    let (likeness, nearest) = alike.max_by(|one, other| one.0.total_cmp(&other.0))?;
    (likeness > LIKE_OURS && name != PREFIX).then(|| format!("did you mean {PREFIX}{nearest}?"))
}

impl<E: Environment> Layers<E> {
    /// The file with what our own variables say in its stead. OpenTelemetry's are read where they are used: each may be for one signal.
    pub(super) fn overlaid(&self) -> Result<File, ConfigError> {
        let mut merged = self.written.clone();
        for setting in SETTINGS.iter().filter(|setting| setting.variable.starts_with(PREFIX) && !setting.key.is_empty()) {
            let Some(given) = self.variable(setting.variable) else { continue };
            let wrong = |problem: String| ConfigError::Value {
                setting: given.source.clone(),
                value: setting.shown(&given.value),
                problem: format!("can't be used: {problem}"),
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
        Ok(whole.map_err(|problem| FileError::Invalid { path: path(), problem: format!("with the variables: {problem}") })?)
    }
}

fn read(table: Table) -> Result<File, String> {
    File::deserialize(Value::Table(table)).map_err(|error| crate::base::toml_text::without_value(error.message()))
}

/// Lays a value over what the file says: over each hub where it has several, beside the headers that it has.
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
    fn what_only_the_file_could_say_a_variable_says_in_its_stead() {
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
    fn a_variable_is_for_each_hub_of_the_file() {
        let file = layers(&[("HUBWATCH_BUILD", "4.3.0")], "[[hub]]\nurl = 'http://a'\n[[hub]]\nurl = 'http://b'\n").file;
        assert!(file.hubs.len() == 2 && file.hubs.iter().all(|hub| hub.build.as_deref() == Some("4.3.0")));
    }

    #[test]
    fn what_is_wrong_is_told_with_the_variables_name_and_without_a_secret() {
        let told = [
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
        assert!(told.iter().all(|told| !told.contains("s3cret")), "{told:#?}");
        insta::assert_snapshot!(told.join("\n"));
    }

    #[test]
    fn what_somebody_else_calls_like_ours_is_left_alone() {
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
        ];
        let told = layers(&variables, "").strangers().to_vec();
        assert_eq!(
            told,
            ["HUBWATCH_BIN", "HUBWATCH_IMAGE", "HUBWATCH_KILLS", "HUBWATCH_LIVE_JAEGER", "HUBWATCH_NO_NAMESPACES", "HUBWATCH_SEED"]
        );
    }

    #[test]
    fn a_secret_lies_in_a_file_that_its_variable_names() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "to ken\n").unwrap();
        let path = file.path().to_str().unwrap();
        let layers = layers(&[("HUBWATCH_BACKEND_BEARER_FILE", path), ("OTEL_EXPORTER_OTLP_LOGS_HEADERS_FILE", path)], "");
        assert_eq!(layers.file.backend.bearer.as_deref(), Some("to ken"));
        let logs = layers.variable("OTEL_EXPORTER_OTLP_LOGS_HEADERS").unwrap();
        assert_eq!((logs.value.as_str(), logs.source.as_str()), ("to ken", "OTEL_EXPORTER_OTLP_LOGS_HEADERS_FILE"));
    }
}
