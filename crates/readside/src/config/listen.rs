//! `[admin]`: where `run` serves, and where the client commands look for it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;

use super::Surroundings;
use super::problem::Findings;
use super::secret::{Secret, read_secret};
use super::section::Section;

/// Where `run` serves if nothing else is said.
pub const DEFAULT_LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 7377);

const LISTEN_HINT: &str = "an address looks like `127.0.0.1:7377` or `[::1]:7377`";

/// Where `run` serves, and who may ask.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdminConfig {
    /// The address.
    pub listen: SocketAddr,
    /// What a client has to show; always there unless the address is a loopback.
    pub token: Option<Secret>,
}

/// A text that is not an address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not an address with a port")]
pub struct ListenError(String);

/// `127.0.0.1:7377`, `[::1]:7377`, `localhost:7377`.
///
/// # Errors
/// Anything else.
pub fn parse_listen(text: &str) -> Result<SocketAddr, ListenError> {
    let numeric = match text.strip_prefix("localhost:") {
        Some(port) => format!("127.0.0.1:{port}"),
        None => text.to_owned(),
    };
    numeric.parse().map_err(|_| ListenError(text.to_owned()))
}

/// Where a client on this machine reaches a server that listens there.
#[must_use]
pub fn reachable(listen: SocketAddr) -> SocketAddr {
    match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => (Ipv4Addr::LOCALHOST, listen.port()).into(),
        IpAddr::V6(ip) if ip.is_unspecified() => (Ipv6Addr::LOCALHOST, listen.port()).into(),
        _ => listen,
    }
}

pub(crate) fn read_admin(
    root: &Section<'_>,
    surroundings: &Surroundings<'_>,
    base: &Path,
    findings: &mut Findings<'_>,
) -> Option<AdminConfig> {
    let mut listen = Some(DEFAULT_LISTEN);
    let mut token = surroundings.token.clone();
    let mut has_token = token.is_some();
    if let Some(section) = root.section(findings, "admin") {
        if section.value("listen").is_some() {
            listen = section.parsed(findings, "listen", LISTEN_HINT, parse_listen);
        }
        has_token |= section.value("token").is_some();
        if token.is_none() {
            token = read_secret(&section, "token", surroundings, base, findings);
        }
        section.finish(findings);
    }
    if let Some(text) = &surroundings.listen {
        listen = match parse_listen(text) {
            Ok(address) => Some(address),
            Err(error) => {
                findings.at(
                    None,
                    "--listen",
                    error.to_string(),
                    Some(LISTEN_HINT.to_owned()),
                );
                None
            }
        };
    }
    let listen = listen?;
    if !listen.ip().is_loopback() && !has_token {
        let span = root
            .value("admin")
            .and_then(|found| found.section(findings))
            .and_then(|section| section.value("listen"))
            .map(|found| found.span);
        findings.at(
            span,
            "admin.listen",
            format!("`{listen}` is not a loopback address, and there is no token"),
            Some(
                "set admin.token = { env = \"READSIDE_TOKEN\" }, or listen on 127.0.0.1".to_owned(),
            ),
        );
        return None;
    }
    Some(AdminConfig { listen, token })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_reaches_a_wildcard_by_loopback() {
        let at = |text: &str| reachable(parse_listen(text).expect(text)).to_string();
        assert_eq!(at("0.0.0.0:1"), "127.0.0.1:1");
        assert_eq!(at("[::]:1"), "[::1]:1");
        assert_eq!(at("localhost:1"), "127.0.0.1:1");
        assert_eq!(at("10.1.2.3:1"), "10.1.2.3:1");
        for bad in ["", "7377", "localhost", "db:7377", "127.0.0.1:99999"] {
            assert!(parse_listen(bad).is_err(), "{bad}");
        }
    }
}
