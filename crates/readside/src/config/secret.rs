//! Secrets: where they come from, and that they never print.

use std::fmt;
use std::path::Path;

use super::Surroundings;
use super::problem::Findings;
use super::section::Section;

/// A secret. It prints as `***`, whatever the format.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps a secret.
    #[must_use]
    pub fn new(value: impl Into<String>) -> Secret {
        Secret(value.into())
    }

    /// The secret itself, for the one place that sends it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// A place to connect to, in the form that its driver reads. It prints without a password that may be in it.
#[derive(Clone, PartialEq, Eq)]
pub struct Address(String);

impl Address {
    /// Wraps an address.
    #[must_use]
    pub fn new(value: impl Into<String>) -> Address {
        Address(value.into())
    }

    /// The address itself, a password in it included.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether a password is written in it.
    #[must_use]
    pub fn holds_password(&self) -> bool {
        self.to_string() != self.0
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = self.0.clone();
        if let Some((scheme, rest)) = text.split_once("://") {
            // A password may hold `/`, `?` or `@` unencoded by mistake: mask up to the last `@`.
            if let Some((user, host)) = rest.rsplit_once('@')
                && let Some((name, _)) = user.split_once(':')
            {
                text = format!("{scheme}://{name}:***@{host}");
            }
        }
        f.write_str(&mask_setting(&text))
    }
}

/// `password=…` of a keyword/value string, or of a URL's query.
fn mask_setting(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("password") {
        let (before, from) = rest.split_at(at + "password".len());
        out.push_str(before);
        let trimmed = from.trim_start();
        let Some(value) = trimmed.strip_prefix('=') else {
            rest = from;
            continue;
        };
        let value = value.trim_start();
        let end = if let Some(quoted) = value.strip_prefix('\'') {
            let mut escaped = false;
            quoted
                .find(|c| {
                    let end = c == '\'' && !escaped;
                    escaped = c == '\\' && !escaped;
                    end
                })
                .map_or(value.len(), |i| i + 2)
        } else {
            value
                .find(|c: char| c.is_whitespace() || c == '&')
                .unwrap_or(value.len())
        };
        out.push_str("=***");
        rest = &value[end..];
    }
    out.push_str(rest);
    out
}

/// Reads `key = "…"`, `{ env = "…" }` or `{ file = "…" }`.
pub(crate) fn read_secret(
    section: &Section<'_>,
    key: &str,
    surroundings: &Surroundings<'_>,
    base: &Path,
    findings: &mut Findings<'_>,
) -> Option<Secret> {
    let found = section.value(key)?;
    if let Some(text) = found.value.as_str() {
        if text.is_empty() {
            found.refuse(findings, "is empty", None);
            return None;
        }
        findings.warn(format!(
            "`{}` is written into the file; prefer {{ env = \"…\" }} or {{ file = \"…\" }}",
            found.path
        ));
        return Some(Secret::new(text));
    }
    let hint = "write { env = \"VARIABLE\" } or { file = \"path\" }".to_owned();
    if found.value.as_table().is_none() {
        found.refuse(findings, "is not a secret", Some(hint));
        return None;
    }
    let inner = found.section(findings)?;
    let env = inner.text(findings, "env");
    let file = inner.text(findings, "file");
    inner.finish(findings);
    match (env, file) {
        (Some(_), Some(_)) => {
            found.refuse(findings, "has both `env` and `file`", Some(hint));
            None
        }
        (None, None) => {
            found.refuse(findings, "is not a secret", Some(hint));
            None
        }
        _ if !surroundings.resolve_secrets => None,
        (Some(env), None) => match (surroundings.variable)(env.value) {
            Some(value) if !value.is_empty() => Some(Secret::new(value)),
            Some(_) => {
                let message = format!("the environment variable `{}` is empty", env.value);
                env.refuse(findings, message, None);
                None
            }
            None => {
                let message = format!("the environment variable `{}` is not set", env.value);
                env.refuse(
                    findings,
                    message,
                    Some("set it before readside starts".to_owned()),
                );
                None
            }
        },
        (None, Some(file)) => {
            let path = base.join(file.value);
            match std::fs::read_to_string(&path) {
                Ok(text) if text.trim_end_matches(['\r', '\n']).is_empty() => {
                    file.refuse(findings, format!("`{}` is empty", path.display()), None);
                    None
                }
                Ok(text) => Some(Secret::new(text.trim_end_matches(['\r', '\n']))),
                Err(error) => {
                    let message = format!("`{}` can't be read: {error}", path.display());
                    file.refuse(findings, message, None);
                    None
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_in_addresses_never_print() {
        for (address, shown) in [
            ("postgres://u:hunter2@db/x", "postgres://u:***@db/x"),
            ("postgres://u:hu@nt/er2@db/x", "postgres://u:***@db/x"),
            ("redis://:hunter2@cache:6379", "redis://:***@cache:6379"),
            ("postgres://u@db/x", "postgres://u@db/x"),
            ("https://search:9200", "https://search:9200"),
            (
                "host=db password=hunter2 user=u",
                "host=db password=*** user=u",
            ),
            (
                r"host=db password = 'hun\'ter2' user=u",
                "host=db password =*** user=u",
            ),
            (
                "postgres://u@db/x?password=hunter2&a=b",
                "postgres://u@db/x?password=***&a=b",
            ),
        ] {
            let shown = shown.replace("password =", "password=");
            let address = Address::new(address);
            assert_eq!(address.to_string(), shown);
            assert_eq!(format!("{address:?}"), shown);
            assert_eq!(address.holds_password(), shown.contains("***"));
        }
        assert_eq!(format!("{:?} {0}", Secret::new("hunter2")), "*** ***");
    }
}
