//! Where alerts go.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{Certificate, Url};

use crate::base::secret::Secret;
use crate::judge::incident::Gravity;

/// What a target understands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Our own JSON.
    Webhook,
    /// The incoming webhooks of Slack, Mattermost and their like: a text.
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
            _ => Err("it is none of webhook, slack, alertmanager"),
        }
    }
}

/// How often an alert that lasts is told again: once a shift or so is a reminder, not a nuisance.
pub const REPEAT: Duration = Duration::from_secs(4 * 3600);

/// Alertmanager forgets what it isn't told again within five minutes, and sorts out repetitions itself.
pub const REPEAT_ALERTMANAGER: Duration = Duration::from_secs(60);

/// How many messages an hour a target gets: one every two minutes, each with all there is to say by then.
pub const AN_HOUR: u32 = 30;

/// The same for Alertmanager, which is told again each minute and is no person.
pub const AN_HOUR_ALERTMANAGER: u32 = 600;

/// An alert that Alertmanager isn't told again lasts at least so long, as it does by Alertmanager's own default (`resolve_timeout`).
const LASTS: Duration = Duration::from_secs(5 * 60);

/// A target.
#[derive(Clone)]
pub struct Target {
    /// Its name in logs and in the state folder.
    pub name: String,
    /// What it understands.
    pub kind: Kind,
    /// Where it is. It may hold a credential: never shown.
    pub url: Secret,
    /// Headers that go with every message.
    pub headers: Vec<(String, Secret)>,
    /// The least grave incidents that it is told of.
    pub level: Gravity,
    /// How long an incident must last before it is told of it: more than nothing makes the target an escalation.
    pub after: Duration,
    /// How often it is told again while an incident lasts.
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

/// Why a target can't be used. What was given is not shown: it may hold a credential.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// The address is none.
    #[error("the alert target `{0}` has no address that can be used: give one like https://hooks.example.com/…")]
    Url(String),
    /// A header that HTTP doesn't allow.
    #[error("the alert target `{0}` has a header that HTTP doesn't allow: `{1}`")]
    Header(String, String),
    /// A certificate authority that can't be used.
    #[error("the alert target `{name}` has a certificate authority that can't be used: {path}: {reason}")]
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
    /// How long it takes an alert for one that goes on without being told again: five repetitions, as often as they may be sent.
    pub(super) fn lasts(&self) -> Duration {
        let each = Duration::from_secs(3600) / self.an_hour.max(1);
        LASTS.max(self.repeat.max(each).saturating_mul(5))
    }

    /// The file in the state folder that keeps what it was told.
    pub(crate) fn file_name(&self) -> String {
        let safe = |character: char| if character.is_ascii_alphanumeric() { character } else { '_' };
        format!("alerts-{}.json", self.name.chars().map(safe).collect::<String>())
    }

    /// The address that messages are posted to.
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

    /// The certificate authorities, if there are any of its own.
    pub(super) fn authorities(&self) -> Result<Vec<Certificate>, TargetError> {
        let Some(path) = &self.ca else { return Ok(Vec::new()) };
        let wrong = |reason| TargetError::Authority { name: self.name.clone(), path: path.clone(), reason };
        let pem = std::fs::read(path).map_err(|error| wrong(error.to_string()))?;
        crate::base::tls::authorities(&pem).map_err(wrong)
    }

    /// The headers as HTTP has them.
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
