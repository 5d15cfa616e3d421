//! The backend that reports read from.

use std::path::PathBuf;

use super::environment::Environment;
use super::{ConfigError, Layers, Sourced, duration, parse};
use crate::backend::{self, Access, DEFAULT_TIMEOUT, KINDS, Kind, Opened};
use crate::base::secret::Secret;
use crate::report::link;

/// The flags about a backend.
#[derive(Debug, Default)]
pub struct BackendFlags<'a> {
    /// `--backend KIND=TARGET`.
    pub backend: Option<&'a str>,
    /// `--backend-header 'Name: value'`.
    pub headers: &'a [String],
    /// `--backend-ca FILE`.
    pub ca: Option<&'a PathBuf>,
}

/// The configured backend.
#[derive(Debug, Clone)]
pub struct Chosen {
    /// Its kind.
    pub kind: &'static Kind,
    /// Its address or path.
    pub target: String,
    /// Credentials, certificate authority and timeout.
    pub access: Access,
}

impl Chosen {
    /// Opens the backend. An archive file is scanned; nothing else is requested yet.
    pub fn open(&self) -> Opened {
        (self.kind.open)(&self.target, &self.access)
    }
}

/// Parses `KIND=TARGET`.
fn kind_and_target(text: &str) -> Result<(&'static Kind, String), String> {
    let forms = || KINDS.iter().map(|kind| format!("{}={}", kind.word, kind.target)).collect::<Vec<_>>().join("; ");
    let help = |what: String| format!("{what}; write KIND=TARGET, one of: {}", forms());
    let (word, target) = text.split_once('=').ok_or_else(|| help("the kind is missing".to_owned()))?;
    let kind = backend::kind(word).ok_or_else(|| help(format!("unknown backend kind `{word}`")))?;
    if target.is_empty() { Err(help("the target after `=` is missing".to_owned())) } else { Ok((kind, target.to_owned())) }
}

impl<E: Environment> Layers<E> {
    /// Returns the backend that flag, variable or file name; none means the state folder's journal.
    pub fn backend(&self, flags: &BackendFlags<'_>) -> Result<Option<Chosen>, ConfigError> {
        let file = &self.file.backend;
        let key = ("backend.source", file.source.as_deref());
        let Some(picked) = self.pick(("--backend", flags.backend), "HUBWATCH_BACKEND", key) else { return Ok(None) };
        // The error must not show the credentials of an invalid address.
        let shown = Sourced { value: crate::base::secret::without_credentials(&picked.value), source: picked.source.clone() };
        let (kind, target) = kind_and_target(&picked.value).map_err(|problem| ConfigError::Value {
            setting: shown.source,
            value: shown.value,
            problem: format!("is invalid: {problem}"),
        })?;
        Ok(Some(Chosen { kind, target, access: self.access(flags)? }))
    }

    /// Returns the address of a trace's page, with `{trace_id}` in it: the configured one, or the default of the backend's kind.
    pub fn trace_url(&self, chosen: Option<&Chosen>) -> Result<Option<String>, ConfigError> {
        let key = ("report.trace_url", self.file.report.trace_url.as_deref());
        if let Some(picked) = self.pick(("", None), "HUBWATCH_TRACE_URL", key) {
            let help = "{trace_id} is missing; write an address like http://jaeger:16686/trace/{trace_id}";
            let template = |text: &str| if text.contains(link::TRACE_ID) { Ok(text.to_owned()) } else { Err(help) };
            return parse(picked, template).map(Some);
        }
        let of_kind = |chosen: &Chosen| {
            let url = crate::base::secret::without_credentials(&chosen.target);
            chosen.kind.trace_url.map(|template| template.replace("{url}", url.trim_end_matches('/')))
        };
        Ok(chosen.and_then(of_kind))
    }

    fn access(&self, flags: &BackendFlags<'_>) -> Result<Access, ConfigError> {
        let file = &self.file.backend;
        let secret = |text: &String| Secret::new(text.clone());
        let mut headers: Vec<_> = file.headers.iter().map(|(name, value)| (name.clone(), secret(value))).collect();
        for flag in flags.headers {
            let (name, value) = super::header("--backend-header", flag)?;
            headers.push((name, Secret::new(value)));
        }
        let bearer = file.bearer.clone().map(Secret::new);
        let basic = file.user.clone().map(|user| (user, Secret::new(file.password.clone().unwrap_or_default())));
        let timeout = self.pick(("", None), "HUBWATCH_BACKEND_TIMEOUT", ("backend.timeout", file.timeout.as_deref()));
        let timeout = timeout.map(|picked| parse(picked, duration)).transpose()?.unwrap_or(DEFAULT_TIMEOUT);
        Ok(Access { headers, bearer, basic, ca: flags.ca.cloned().or_else(|| file.ca.clone()), timeout })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backend_is_named_by_its_kind_and_target() {
        let (kind, target) = kind_and_target("jaeger=http://127.0.0.1:16686/prefix?a=b").unwrap();
        assert_eq!((kind.word, target.as_str()), ("jaeger", "http://127.0.0.1:16686/prefix?a=b"));
        assert!(kind_and_target("http://127.0.0.1:16686").unwrap_err().contains("the kind is missing"));
        assert!(kind_and_target("nosuch=http://a").unwrap_err().contains("unknown backend kind `nosuch`"));
        assert!(kind_and_target("file=").unwrap_err().contains("the target after `=` is missing"));
    }
}
