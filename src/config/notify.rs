//! Receivers of alerts: `[[notify]]`.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use super::environment::Environment;
use super::file::NotifySection;
use super::{ConfigError, Layers, Sourced, duration, parse};
use crate::alert::{AN_HOUR, AN_HOUR_ALERTMANAGER, Kind, REPEAT, REPEAT_ALERTMANAGER, Target};
use crate::base::nearest::nearest;
use crate::base::secret::Secret;
use crate::judge::incident::Gravity;

/// Repeating an alert more often would annoy people, and Alertmanager doesn't need it.
const SHORTEST_REPEAT: Duration = Duration::from_secs(10);

impl<E: Environment> Layers<E> {
    /// Returns all receivers of alerts.
    pub fn alert_targets(&self) -> Result<Vec<Target>, ConfigError> {
        let mut files = BTreeSet::new();
        let mut targets = Vec::new();
        for section in &self.file.notify {
            let target = target(section).map_err(without_address)?;
            if !files.insert(target.file_name()) {
                let problem = "is the name of another target, or differs from one only in characters that a file name can't hold; use a different name";
                return Err(without_address(wrong("notify.name", &target.name, problem)));
            }
            targets.push(target);
        }
        Ok(targets)
    }
}

/// Hides an address in an error: it is a credential even when it was written into the wrong key.
fn without_address(error: ConfigError) -> ConfigError {
    match error {
        ConfigError::Value { setting, value, problem } if value.contains("://") => {
            ConfigError::Value { setting, value: "[hidden]".to_owned(), problem }
        }
        other => other,
    }
}

fn wrong(setting: &str, value: &str, problem: impl Into<String>) -> ConfigError {
    ConfigError::Value { setting: setting.to_owned(), value: value.to_owned(), problem: problem.into() }
}

fn target(section: &NotifySection) -> Result<Target, ConfigError> {
    let name = section.name.clone().filter(|name| !name.trim().is_empty());
    let name =
        name.ok_or_else(|| wrong("notify.name", "", "is missing: each [[notify]] needs a name for logs and the state folder"))?;
    let kind = parse(setting("kind", section.kind.as_deref().unwrap_or("webhook")), str::parse::<Kind>)?;
    let (repeat, an_hour) = match kind {
        Kind::Alertmanager => (REPEAT_ALERTMANAGER, AN_HOUR_ALERTMANAGER),
        Kind::Webhook | Kind::Slack => (REPEAT, AN_HOUR),
    };
    let repeat = time("repeat", section.repeat.as_deref(), repeat)?;
    if repeat < SHORTEST_REPEAT {
        return Err(wrong("notify.repeat", section.repeat.as_deref().unwrap_or(""), "is too short: the minimum is 10s"));
    }
    Ok(Target {
        url: url(&name, section)?,
        level: parse(setting("severity", section.severity.as_deref().unwrap_or(Gravity::Warning.as_str())), gravity)?,
        after: time("after", section.after.as_deref(), Duration::ZERO)?,
        repeat,
        an_hour: section.per_hour.unwrap_or(an_hour),
        headers: section.headers.iter().map(|(name, value)| (name.clone(), Secret::new(value.as_str()))).collect(),
        ca: section.ca.clone(),
        name,
        kind,
    })
}

fn setting(key: &str, value: &str) -> Sourced<String> {
    Sourced { value: value.to_owned(), source: format!("notify.{key}") }
}

fn time(key: &str, value: Option<&str>, default: Duration) -> Result<Duration, ConfigError> {
    value.map_or(Ok(default), |value| parse(setting(key, value), duration))
}

fn gravity(text: &str) -> Result<Gravity, String> {
    let all = || Gravity::ALL.iter().map(|gravity| gravity.as_str());
    Gravity::parse(text).ok_or_else(|| {
        let meant = nearest(text, all()).map_or(String::new(), |meant| format!("; did you mean `{meant}`?"));
        format!("must be one of {}{meant}", all().collect::<Vec<_>>().join(", "))
    })
}

/// Returns the address. That of a chat webhook is a credential: it may be in a file of its own, and no error shows it.
fn url(name: &str, section: &NotifySection) -> Result<Secret, ConfigError> {
    match (&section.url, &section.url_file) {
        (Some(url), None) => Ok(Secret::new(url.as_str())),
        (None, Some(file)) => read(file),
        (Some(_), Some(_)) => Err(wrong("notify.url_file", name, "has both url and url_file: set only one")),
        (None, None) => {
            Err(wrong("notify.url", name, "has no address: set url, or url_file with the path of a file that holds it"))
        }
    }
}

fn read(file: &Path) -> Result<Secret, ConfigError> {
    let text = std::fs::read_to_string(file);
    let text = text.map_err(|error| wrong("notify.url_file", &file.to_string_lossy(), format!("can't be read: {error}")))?;
    Ok(Secret::new(text.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::layers;

    fn targets(file: &str) -> Result<Vec<Target>, String> {
        layers(&[], file).alert_targets().map_err(|error| error.to_string())
    }

    #[test]
    fn a_target_needs_a_name_and_an_address_and_the_rest_has_defaults() {
        let targets = targets("[[notify]]\nname = 'am'\nkind = 'alertmanager'\nurl = 'http://am:9093'\n").unwrap();
        let target = &targets[0];
        assert_eq!((target.level, target.after, target.repeat), (Gravity::Warning, Duration::ZERO, REPEAT_ALERTMANAGER));
    }

    #[test]
    fn errors_do_not_show_the_address() {
        let with = |more: &str| targets(&format!("[[notify]]\nname = 'a'\nurl = 'http://a/s3cret'\n{more}")).unwrap_err();
        let errors = [
            with("severity = 'critcal'\n"),
            with("kind = 'pager'\n"),
            with("repeat = '1s'\n"),
            with("after = 'soon'\n"),
            with("url_file = '/x'\n"),
            with("[[notify]]\nname = 'a'\nurl = 'http://b'\n"),
            targets("[[notify]]\nname = 'a'\nurl_file = '/nonexistent'\n").unwrap_err(),
            targets("[[notify]]\nname = 'a'\n").unwrap_err(),
            targets("[[notify]]\nname = 'a'\nurl_file = 'https://a/s3cret'\n").unwrap_err(),
            targets("[[notify]]\nname = 'a'\nkind = 'https://a/s3cret'\nurl = 'x'\n").unwrap_err(),
            targets("[[notify]]\nurl = 'http://a/s3cret'\n").unwrap_err(),
        ];
        assert!(errors.iter().all(|error| !error.contains("s3cret")), "{errors:#?}");
        insta::assert_snapshot!(errors.join("\n"));
    }

    #[test]
    fn targets_that_would_share_a_state_file_are_rejected() {
        let of = |one: &str, other: &str| {
            targets(&format!("[[notify]]\nname = '{one}'\nurl = 'http://a'\n[[notify]]\nname = '{other}'\nurl = 'http://b'\n"))
        };
        assert!(of("team-a", "team.a").unwrap_err().contains("`team.a` is the name of another target"));
        assert_eq!(of("team-a", "team-b").unwrap().len(), 2);
    }
}
