//! Alert targets: their addresses, formats and limits.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{Certificate, Url};

use crate::base::secret::Secret;
use crate::judge::incident::Gravity;

/// The format that a target accepts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The JSON of hubwatch.
    Webhook,
    /// Incoming webhooks of Slack, Mattermost and similar chats: a text.
    Slack,
    /// Alertmanager's API, version 2.
    Alertmanager,
}

impl std::str::FromStr for Kind {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "webhook" => Ok(Self::Webhook),
            "slack" => Ok(Self::Slack),
            "alertmanager" => Ok(Self::Alertmanager),
            _ => Err("valid kinds: webhook, slack, alertmanager"),
        }
    }
}

/// How often an open alert is repeated: about once a shift.
pub const REPEAT: Duration = Duration::from_secs(4 * 3600);

/// Alertmanager resolves alerts that are not repeated within five minutes, and deduplicates them itself.
pub const REPEAT_ALERTMANAGER: Duration = Duration::from_secs(60);

/// The default limit of messages per hour: one every two minutes, each with all due alerts.
pub const AN_HOUR: u32 = 30;

/// Higher limit for Alertmanager, which must be refreshed every minute.
pub const AN_HOUR_ALERTMANAGER: u32 = 600;

/// The minimum time until Alertmanager resolves an alert that is not repeated: its own default (`resolve_timeout`).
const LASTS: Duration = Duration::from_secs(5 * 60);

/// A target.
#[derive(Clone)]
pub struct Target {
    /// Its name in logs and in the state folder.
    pub name: String,
    /// The format that it accepts.
    pub kind: Kind,
    /// Its address. It may contain a credential: never shown.
    pub url: Secret,
    /// Headers that go with every message.
    pub headers: Vec<(String, Secret)>,
    /// The lowest severity that is sent.
    pub level: Gravity,
    /// How long an incident must last before it is sent: more than zero makes the target an escalation.
    pub after: Duration,
    /// How often an open alert is repeated.
    pub repeat: Duration,
    /// The most messages an hour.
    pub an_hour: u32,
    /// A certificate authority that the target's certificate may come from, beside the system's.
    pub ca: Option<PathBuf>,
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Target").field("name", &self.name).field("kind", &self.kind).finish_non_exhaustive()
    }
}

/// Why a target can't be used. Errors never show the given values: they may contain a credential.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// The address is invalid.
    #[error("alert target `{0}`: invalid address; write one like https://hooks.example.com/…")]
    Url(String),
    /// A header that HTTP doesn't allow.
    #[error("alert target `{0}`: invalid HTTP header `{1}`")]
    Header(String, String),
    /// A certificate authority that can't be used.
    #[error("alert target `{name}`: can't use the certificate authority {path}: {reason}")]
    Authority {
        /// Whose.
        name: String,
        /// Which file.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
}

impl Target {
    /// Returns how long an alert stays open without a refresh: five repetitions at the allowed rate.
    pub(super) fn lasts(&self) -> Duration {
        let each = Duration::from_secs(3600) / self.an_hour.max(1);
        LASTS.max(self.repeat.max(each).saturating_mul(5))
    }

    /// Returns the name of its ledger in the state folder.
    pub(crate) fn file_name(&self) -> String {
        let safe = |character: char| if character.is_ascii_alphanumeric() { character } else { '_' };
        format!("alerts-{}.json", self.name.chars().map(safe).collect::<String>())
    }

    /// Returns the address that messages are posted to.
    pub(super) fn endpoint(&self) -> Result<Url, TargetError> {
        let wrong = || TargetError::Url(self.name.clone());
        let mut url = Url::parse(self.url.reveal()).map_err(|_| wrong())?;
        if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
            return Err(wrong());
        }
        if self.kind == Kind::Alertmanager && !url.path().ends_with("/api/v2/alerts") {
            let path = format!("{}/api/v2/alerts", url.path().trim_end_matches('/'));
            url.set_path(&path);
        }
        Ok(url)
    }

    /// Reads the target's own certificate authorities.
    pub(super) fn authorities(&self) -> Result<Vec<Certificate>, TargetError> {
        let Some(path) = &self.ca else { return Ok(Vec::new()) };
        let wrong = |reason| TargetError::Authority { name: self.name.clone(), path: path.clone(), reason };
        let pem = std::fs::read(path).map_err(|error| wrong(error.to_string()))?;
        crate::base::tls::authorities(&pem).map_err(wrong)
    }

    /// Returns the headers for the HTTP client.
    pub(super) fn header_map(&self) -> Result<HeaderMap, TargetError> {
        let mut map = HeaderMap::new();
        for (name, value) in &self.headers {
            let wrong = || TargetError::Header(self.name.clone(), name.clone());
            let header = HeaderName::from_bytes(name.as_bytes()).map_err(|_| wrong())?;
            let mut value = HeaderValue::from_str(value.reveal()).map_err(|_| wrong())?;
            value.set_sensitive(true);
            map.append(header, value);
        }
        Ok(map)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(kind: Kind, url: &str) -> Target {
        Target {
            name: "on-call".to_owned(),
            kind,
            url: Secret::new(url),
            headers: vec![("Authorization".to_owned(), Secret::new("Bearer hush"))],
            level: Gravity::Warning,
            after: Duration::ZERO,
            repeat: REPEAT,
            an_hour: AN_HOUR,
            ca: None,
        }
    }

    #[test]
    fn alertmanagers_path_is_added_where_it_is_missing() {
        let path = |url| target(Kind::Alertmanager, url).endpoint().unwrap().path().to_owned();
        assert_eq!(path("http://am:9093"), "/api/v2/alerts");
        assert_eq!(path("http://proxy/am/"), "/am/api/v2/alerts");
        assert_eq!(path("http://am:9093/api/v2/alerts"), "/api/v2/alerts");
    }

    #[test]
    fn what_is_secret_is_not_shown() {
        let target = target(Kind::Slack, "hooks.example.com/T0/s3cret");
        let error = target.endpoint().unwrap_err().to_string();
        assert!(error.contains("on-call") && !error.contains("s3cret"), "{error}");
        let shown = format!("{target:?}");
        assert!(!shown.contains("s3cret") && !shown.contains("hush"), "{shown}");
    }
}
