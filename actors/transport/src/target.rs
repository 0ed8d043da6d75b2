//! The one place a transport can connect to.

use std::{fmt, net::IpAddr};

use crate::tls::Tls;

/// Scheme, host and port; a transport reaches this target and nothing else, whatever a request says.
#[derive(Clone, Debug)]
pub struct Target {
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) tls: Option<Tls>,
}

impl Target {
    /// Names a target; `host` is a name or an IP address without brackets, `tls` is `None` for plain text.
    pub fn new(host: impl Into<String>, port: u16, tls: Option<Tls>) -> Self {
        Self { host: host.into(), port, tls }
    }

    /// Says whether the target is this very machine, by address or by the name `localhost`.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        let host = self.host.strip_suffix('.').unwrap_or(&self.host);
        match host.parse::<IpAddr>() {
            Ok(IpAddr::V6(address)) => {
                address.is_loopback() || address.to_ipv4_mapped().is_some_and(|address| address.is_loopback())
            }
            Ok(address) => address.is_loopback(),
            Err(_) => host.eq_ignore_ascii_case("localhost"),
        }
    }

    /// Says whether connections are encrypted.
    #[must_use]
    pub fn is_encrypted(&self) -> bool {
        self.tls.is_some()
    }

    /// Host and port as they stand in a URL and in a Host header; the default port is left out.
    #[must_use]
    pub fn authority(&self) -> String {
        let default = if self.tls.is_some() { 443 } else { 80 };
        let (open, close) = if self.host.contains(':') { ("[", "]") } else { ("", "") };
        if self.port == default {
            format!("{open}{}{close}", self.host)
        } else {
            format!("{open}{}{close}:{}", self.host, self.port)
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.authority())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_is_an_address_of_this_machine_or_localhost() {
        for host in
            ["127.0.0.1", "127.1.2.3", "::1", "::ffff:127.0.0.1", "localhost", "LOCALHOST", "localhost."]
        {
            assert!(Target::new(host, 80, None).is_loopback(), "{host}");
        }
        for host in ["10.0.0.1", "0.0.0.0", "::", "localhost.example", "127.0.0.1.example", "example.com"] {
            assert!(!Target::new(host, 80, None).is_loopback(), "{host}");
        }
    }

    #[test]
    fn the_authority_brackets_ipv6_and_leaves_out_the_default_port() {
        assert_eq!(Target::new("::1", 8080, None).authority(), "[::1]:8080");
        assert_eq!(Target::new("example.com", 80, None).authority(), "example.com");
    }
}
