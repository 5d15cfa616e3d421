//! The host that a request names.

use std::net::IpAddr;

/// Returns whether a `Host` is an IP address or `localhost`, with or without a port. A server on loopback takes no other: a page of the
/// internet whose name resolves to this host would make a browser ask by that name (DNS rebinding).
pub fn is_address(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|digit| digit.is_ascii_digit()) => name,
        _ => host,
    };
    name == "localhost" || name.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_and_localhost_are_accepted_as_host() {
        for host in ["127.0.0.1:9684", "localhost:9684", "localhost", "[::1]:9684", "[::1]", "10.0.0.7"] {
            assert!(is_address(host), "{host}");
        }
        for host in ["attacker.example:9684", "localhost.attacker.example", "", "127.0.0.1.attacker.example"] {
            assert!(!is_address(host), "{host}");
        }
    }
}
