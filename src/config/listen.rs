//! The address that hubwatch itself listens on.

use std::net::{Ipv4Addr, SocketAddr};
use std::str::FromStr;

use super::environment::Environment;
use super::{ConfigError, Layers, parse};

/// The port of `--listen` without a value. No program that usually runs beside a hub has it as its well-known port.
pub const DEFAULT_PORT: u16 = 9684;

/// `--listen` without a value: loopback only, since everyone who can connect can read the recorded data.
pub const DEFAULT_LISTEN: &str = "127.0.0.1:9684";

/// An address to listen on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Listen(pub SocketAddr);

impl Listen {
    /// Returns true if only this host can connect.
    pub fn is_loopback(self) -> bool {
        self.0.ip().is_loopback()
    }
}

impl FromStr for Listen {
    type Err = &'static str;

    /// Parses an address. `9684` and `localhost:9684` mean loopback; any other address must be explicit: `0.0.0.0:9684`,
    /// `[::]:9684`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let help = "not an address; try 127.0.0.1:9684, or 0.0.0.0:9684 to allow other hosts";
        if let Ok(port) = text.strip_prefix("localhost:").unwrap_or(text).parse::<u16>() {
            return Ok(Self(SocketAddr::from((Ipv4Addr::LOCALHOST, port))));
        }
        text.parse().map(Self).map_err(|_| help)
    }
}

impl<E: Environment> Layers<E> {
    /// Returns the address to listen on. The default is none: only the owner can read the journal, but everyone on the host can
    /// connect to a port.
    pub fn listen(&self, flag: Option<&str>) -> Result<Option<Listen>, ConfigError> {
        let key = ("serve.listen", self.file.serve.listen.as_deref());
        self.pick(("--listen", flag), "HUBWATCH_LISTEN", key).map(|picked| parse(picked, Listen::from_str)).transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_explicit_address_is_reachable_from_other_hosts() {
        let listen = |text: &str| Listen::from_str(text);
        assert_eq!(listen("9684"), listen(DEFAULT_LISTEN));
        assert_eq!(listen("localhost:9684"), Ok(Listen(SocketAddr::from((Ipv4Addr::LOCALHOST, DEFAULT_PORT)))));
        assert!(listen("localhost:9684").unwrap().is_loopback() && listen("[::1]:1").unwrap().is_loopback());
        assert!(!listen("0.0.0.0:9684").unwrap().is_loopback());
        assert!(listen(":9684").unwrap_err().contains("0.0.0.0:9684"));
        assert!(listen("hub").is_err() && listen("127.0.0.1").is_err() && listen("70000").is_err());
    }
}
