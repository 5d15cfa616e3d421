//! Effective settings: those that differ from their defaults, with their sources. A run logs them in its first line.

use std::fmt;

use toml::Value;

use super::Layers;
use super::environment::Environment;
use super::settings::{Kind, SETTINGS, Secrecy, Setting};

/// A flag of the command line, such as `--name`, with its value (empty for a switch).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GivenFlag {
    /// The flag with its dashes.
    pub name: String,
    /// The value as typed.
    pub value: String,
}

/// A setting that is not left to its default.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EffectiveSetting {
    /// Its key in the file, or the flag if the file has no key.
    pub setting: String,
    /// Its value, masked if necessary.
    pub shown: String,
    /// The flag, variable or file.
    pub source: String,
}

impl fmt::Display for EffectiveSetting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={} ({})", self.setting, self.shown, self.source)
    }
}

impl<E: Environment> Layers<E> {
    /// Returns all settings that are not left to their defaults, in the order of the file.
    pub fn effective_settings(&self, flags: &[GivenFlag]) -> Vec<EffectiveSetting> {
        let mut settings = Vec::new();
        for setting in SETTINGS {
            let flag = flags.iter().find(|flag| flag.name == setting.flag && !setting.flag.is_empty());
            let name = if setting.key.is_empty() { setting.variable } else { setting.key };
            let effective = |shown, source| EffectiveSetting { setting: name.to_owned(), shown, source };
            match flag {
                Some(flag) => settings.push(effective(of_flag(setting, &flag.value), flag.name.clone())),
                None => {
                    let mut given: Vec<_> = setting.variables().iter().filter_map(|variable| self.variable(variable)).collect();
                    if given.is_empty() {
                        settings.extend(self.in_file(setting).map(|shown| effective(shown, self.file_name())));
                    }
                    let of_variable = given.drain(..).map(|given| effective(setting.shown(&given.value), given.source));
                    settings.extend(of_variable);
                }
            }
        }
        let others = flags.iter().filter(|flag| SETTINGS.iter().all(|setting| setting.flag != flag.name));
        settings.extend(others.map(|flag| EffectiveSetting {
            setting: flag.name.trim_start_matches('-').to_owned(),
            shown: if flag.value.is_empty() { "true".to_owned() } else { flag.value.clone() },
            source: flag.name.clone(),
        }));
        settings
    }

    /// Returns the file's value of a setting.
    fn in_file(&self, setting: &Setting) -> Option<String> {
        let Some((section, key)) = setting.key.split_once('.') else {
            return self.written.get(setting.key).map(|_| setting.shown("…"));
        };
        let shown = |value: &Value| match value {
            Value::String(text) => setting.shown(text),
            _ if setting.secrecy == Secrecy::Secret => setting.shown(""),
            Value::Array(items) if setting.kind == Kind::List => {
                items.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(",")
            }
            other => setting.shown(&other.to_string()),
        };
        match self.written.get(section)? {
            Value::Table(table) => table.get(key).map(shown),
            // Several hubs: the value of each, in their order.
            Value::Array(tables) => {
                let values: Vec<String> =
                    tables.iter().filter_map(Value::as_table).filter_map(|table| table.get(key)).map(shown).collect();
                (!values.is_empty()).then(|| values.join(" | "))
            }
            _ => None,
        }
    }

    fn file_name(&self) -> String {
        self.path.as_deref().unwrap_or(std::path::Path::new(super::DEFAULT_FILE)).display().to_string()
    }
}

fn of_flag(setting: &Setting, value: &str) -> String {
    if setting.kind == Kind::Switch && value.is_empty() { "true".to_owned() } else { setting.shown(value) }
}

#[cfg(test)]
mod tests {
    use crate::config::layers;

    use super::*;

    #[test]
    fn effective_settings_name_their_sources_and_show_no_secret() {
        let variables = [
            ("HUBWATCH_HUB", "http://ada:s3cret@hub:7000"),
            ("HUBWATCH_HEADERS", "Authorization=s3cret"),
            ("HUBWATCH_INTERVAL", "1s"),
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://jaeger:4317"),
            ("OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", "http://loki:4317"),
            ("HUBWATCH_NOTIFY", "[{ name = 'a', url = 'http://s3cret' }]"),
        ];
        let file = "[hub]\nname = 'a'\n[watch]\ninterval = '5s'\n[backend]\nbearer = 's3cret'\n[servers.github]\nexpected = ['disabled']\n[privacy]\nkeep = true\n";
        let flags = [("--name", "b"), ("--stdin", ""), ("--for", "48h"), ("--header", "A: s3cret")];
        let flags = flags.map(|(name, value)| GivenFlag { name: name.to_owned(), value: value.to_owned() });
        let lines: Vec<String> = layers(&variables, file).effective_settings(&flags).iter().map(ToString::to_string).collect();
        insta::assert_snapshot!(lines.join("\n"), @r"
        hub.url=http://hub:7000 (HUBWATCH_HUB)
        hub.name=b (--name)
        hub.stdin=true (--stdin)
        hub.headers=[secret] (--header)
        watch.interval=1s (HUBWATCH_INTERVAL)
        privacy.keep=true (hubwatch.toml)
        otlp.endpoint=http://jaeger:4317 (OTEL_EXPORTER_OTLP_ENDPOINT)
        otlp.endpoint=http://loki:4317 (OTEL_EXPORTER_OTLP_LOGS_ENDPOINT)
        backend.bearer=[secret] (hubwatch.toml)
        servers=[…] (hubwatch.toml)
        notify=[secret] (HUBWATCH_NOTIFY)
        for=48h (--for)
        ");
        assert!(!lines.join("").contains("s3cret"));
    }

    #[test]
    fn with_several_hubs_the_value_of_each_is_listed() {
        let file = "[[hub]]\nurl = 'http://a:1'\n[[hub]]\nurl = 'http://b:1'\nname = 'b'\n";
        let lines: Vec<String> = layers(&[], file).effective_settings(&[]).iter().map(ToString::to_string).collect();
        assert_eq!(lines, ["hub.url=http://a:1 | http://b:1 (hubwatch.toml)", "hub.name=b (hubwatch.toml)"]);
    }
}
