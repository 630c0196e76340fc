//! Connection strings to keyword and value.

use std::collections::BTreeMap;

use percent_encoding::percent_decode_str;

use super::ConfigError;

/// Keyword → value, as given.
pub(super) type Parameters = BTreeMap<String, String>;

fn malformed(what: impl Into<String>) -> ConfigError {
    ConfigError::Malformed { what: what.into() }
}

/// Either form.
pub(super) fn parameters(text: &str) -> Result<Parameters, ConfigError> {
    let text = text.trim();
    match text
        .strip_prefix("postgres://")
        .or_else(|| text.strip_prefix("postgresql://"))
    {
        Some(rest) => url(rest),
        None if text.contains("://") => Err(malformed(
            "the URL does not start with `postgres://` or `postgresql://`",
        )),
        None => keywords(text),
    }
}

fn decode(text: &str) -> Result<String, ConfigError> {
    percent_decode_str(text)
        .decode_utf8()
        .map(std::borrow::Cow::into_owned)
        .map_err(|_| malformed("a percent-encoded part is not UTF-8"))
}

/// `[user[:password]@][host[:port][,…]][/database][?keyword=value[&…]]`
fn url(rest: &str) -> Result<Parameters, ConfigError> {
    let mut out = Parameters::new();
    // A fragment is no part of a connection string; libpq takes it literally, so do we.
    let (rest, query) = match rest.split_once('?') {
        Some((rest, query)) => (rest, Some(query)),
        None => (rest, None),
    };
    let (authority, database) = match rest.split_once('/') {
        Some((authority, database)) => (authority, Some(database)),
        None => (rest, None),
    };
    let hosts = match authority.rsplit_once('@') {
        Some((user, hosts)) => {
            let (user, password) = match user.split_once(':') {
                Some((user, password)) => (user, Some(password)),
                None => (user, None),
            };
            if !user.is_empty() {
                out.insert("user".to_owned(), decode(user)?);
            }
            if let Some(password) = password {
                out.insert("password".to_owned(), decode(password)?);
            }
            hosts
        }
        None => authority,
    };
    if !hosts.is_empty() {
        let mut names = Vec::new();
        let mut ports = Vec::new();
        for host in hosts.split(',') {
            let (name, port) = match host.strip_prefix('[') {
                Some(v6) => {
                    let (name, after) = v6
                        .split_once(']')
                        .ok_or_else(|| malformed("an IPv6 address has no closing `]`"))?;
                    match after.strip_prefix(':') {
                        Some(port) => (name, port),
                        None if after.is_empty() => (name, ""),
                        None => return Err(malformed("something other than a port follows `]`")),
                    }
                }
                None => host.split_once(':').unwrap_or((host, "")),
            };
            names.push(decode(name)?);
            ports.push(decode(port)?);
        }
        out.insert("host".to_owned(), names.join(","));
        if ports.iter().any(|port| !port.is_empty()) {
            out.insert("port".to_owned(), ports.join(","));
        }
    }
    if let Some(database) = database.filter(|name| !name.is_empty()) {
        out.insert("dbname".to_owned(), decode(database)?);
    }
    for pair in query
        .unwrap_or_default()
        .split('&')
        .filter(|p| !p.is_empty())
    {
        let (name, value) = pair
            .split_once('=')
            .ok_or_else(|| malformed("a parameter behind `?` has no `=`"))?;
        let (name, value) = (decode(name)?, decode(value)?);
        match (name.as_str(), value.as_str()) {
            ("ssl", "true") => out.insert("sslmode".to_owned(), "require".to_owned()),
            _ => out.insert(name, value),
        };
    }
    Ok(out)
}

/// `keyword = value …`, values in single quotes where they hold spaces; `\` escapes the next character.
fn keywords(text: &str) -> Result<Parameters, ConfigError> {
    let mut out = Parameters::new();
    let mut chars = text.chars().peekable();
    loop {
        while chars.next_if(|c| c.is_whitespace()).is_some() {}
        if chars.peek().is_none() {
            return Ok(out);
        }
        let mut name = String::new();
        while let Some(c) = chars.next_if(|&c| c != '=' && !c.is_whitespace()) {
            name.push(c);
        }
        while chars.next_if(|c| c.is_whitespace()).is_some() {}
        if name.is_empty() || chars.next_if_eq(&'=').is_none() {
            return Err(malformed("a keyword has no `=` behind it"));
        }
        while chars.next_if(|c| c.is_whitespace()).is_some() {}
        let mut value = String::new();
        let quoted = chars.next_if_eq(&'\'').is_some();
        loop {
            match chars.next() {
                Some('\'') if quoted => break,
                Some('\\') => value.extend(chars.next()),
                Some(c) if c.is_whitespace() && !quoted => break,
                Some(c) => value.push(c),
                None if quoted => return Err(malformed("a quoted value has no closing quote")),
                None => break,
            }
        }
        out.insert(name, value);
    }
}
