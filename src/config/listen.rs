//! Where hubwatch itself listens.

use std::net::{Ipv4Addr, SocketAddr};
use std::str::FromStr;

use super::environment::Environment;
use super::{ConfigError, Layers, parse};

/// The port of `--listen` without a value. It is no well-known port of anything that stands beside a hub.
pub const DEFAULT_PORT: u16 = 9684;

/// `--listen` without a value: this host alone, since whoever can connect can read what was watched.
pub const DEFAULT_LISTEN: &str = "127.0.0.1:9684";

/// An address to listen on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Listen(pub SocketAddr);

impl Listen {
    /// Whether only this host can connect.
    pub fn is_loopback(self) -> bool {
        self.0.ip().is_loopback()
    }
}

impl FromStr for Listen {
    type Err = &'static str;

    /// `9684` and `localhost:9684` are this host alone; any other address has to be said: `0.0.0.0:9684`, `[::]:9684`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let help = "it is no address to listen on; give one like 127.0.0.1:9684, or 0.0.0.0:9684 to be reached from elsewhere";
        if let Ok(port) = text.strip_prefix("localhost:").unwrap_or(text).parse::<u16>() {
            return Ok(Self(SocketAddr::from((Ipv4Addr::LOCALHOST, port))));
        }
        text.parse().map(Self).map_err(|_| help)
    }
}

impl<E: Environment> Layers<E> {
    /// Where to listen; nowhere unless told: the journal is for its owner alone, and a port is open to everybody on the host.
    pub fn listen(&self, flag: Option<&str>) -> Result<Option<Listen>, ConfigError> {
        let key = ("serve.listen", self.file.serve.listen.as_deref());
        self.pick(("--listen", flag), "HUBWATCH_LISTEN", key).map(|picked| parse(picked, Listen::from_str)).transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_address_that_was_written_out_is_reachable_from_elsewhere() {
        let listen = |text: &str| Listen::from_str(text);
        assert_eq!(listen("9684"), listen(DEFAULT_LISTEN));
        assert_eq!(listen("localhost:9684"), Ok(Listen(SocketAddr::from((Ipv4Addr::LOCALHOST, DEFAULT_PORT)))));
        assert!(listen("localhost:9684").unwrap().is_loopback() && listen("[::1]:1").unwrap().is_loopback());
        assert!(!listen("0.0.0.0:9684").unwrap().is_loopback());
        assert!(listen(":9684").unwrap_err().contains("0.0.0.0:9684"));
        assert!(listen("hub").is_err() && listen("127.0.0.1").is_err() && listen("70000").is_err());
    }
}
