//! What a connection string leaves out.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::parse::Parameters;
use super::{
    ChannelBindingMode, ConfigError, Host, RootCertificates, Secret, SourceConfig, SslMode,
};

/// Without one in the connection string; libpq would wait for ever.
const CONNECT_TIMEOUT_DEFAULT: Duration = Duration::from_secs(15);

/// The environment variables and the home directory that defaults are taken from.
#[derive(Debug, Clone, Default)]
pub struct Environment {
    variables: BTreeMap<String, String>,
    home: Option<PathBuf>,
}

impl Environment {
    /// This process' own.
    #[must_use]
    pub fn of_process() -> Environment {
        Environment {
            variables: std::env::vars()
                .filter(|(name, _)| name.starts_with("PG") || name == "USER")
                .collect(),
            home: std::env::var_os("HOME").map(PathBuf::from),
        }
    }

    /// One with these variables and this home directory.
    #[must_use]
    pub fn new(variables: &[(&str, &str)], home: Option<&Path>) -> Environment {
        Environment {
            variables: variables
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
            home: home.map(Path::to_owned),
        }
    }

    fn get(&self, name: &str) -> Option<String> {
        self.variables.get(name).filter(|v| !v.is_empty()).cloned()
    }
}

/// Every keyword that means something here, and the variable that stands in for it.
const KNOWN: &[(&str, &str)] = &[
    ("host", "PGHOST"),
    ("hostaddr", "PGHOSTADDR"),
    ("port", "PGPORT"),
    ("user", "PGUSER"),
    ("password", "PGPASSWORD"),
    ("passfile", "PGPASSFILE"),
    ("dbname", "PGDATABASE"),
    ("sslmode", "PGSSLMODE"),
    ("sslrootcert", "PGSSLROOTCERT"),
    ("sslcert", "PGSSLCERT"),
    ("sslkey", "PGSSLKEY"),
    ("channel_binding", "PGCHANNELBINDING"),
    ("application_name", "PGAPPNAME"),
    ("connect_timeout", "PGCONNECT_TIMEOUT"),
    ("options", "PGOPTIONS"),
];

/// Keywords of libpq that change nothing here, so that a string that works elsewhere works here.
const IGNORED: &[&str] = &[
    "client_encoding",
    "fallback_application_name",
    "gssencmode",
    "keepalives",
    "keepalives_count",
    "keepalives_idle",
    "keepalives_interval",
    "krbsrvname",
    "load_balance_hosts",
    "replication",
    "sslcompression",
    "sslsni",
    "target_session_attrs",
    "tcp_user_timeout",
];

/// Fills in the rest.
pub(super) fn complete(
    given: Parameters,
    environment: &Environment,
) -> Result<SourceConfig, ConfigError> {
    if let Some(name) = given
        .keys()
        .find(|name| !IGNORED.contains(&name.as_str()) && !KNOWN.iter().any(|(k, _)| k == name))
    {
        return Err(ConfigError::UnknownParameter { name: name.clone() });
    }
    let get = |keyword: &str| {
        given
            .get(keyword)
            .filter(|value| !value.is_empty())
            .cloned()
            .or_else(|| {
                let (_, variable) = KNOWN.iter().find(|(k, _)| *k == keyword)?;
                environment.get(variable)
            })
    };

    let user = get("user")
        .or_else(|| environment.get("USER"))
        .ok_or(ConfigError::NoUser)?;
    let database = get("dbname").unwrap_or_else(|| user.clone());
    let hosts = hosts(get("host"), get("hostaddr"), get("port"))?;
    let ssl_mode = match get("sslmode") {
        Some(text) => ssl_mode(&text)?,
        None => SslMode::default(),
    };
    let channel_binding = match get("channel_binding").as_deref() {
        Some("disable") => ChannelBindingMode::Disable,
        Some("prefer") | None => ChannelBindingMode::Prefer,
        Some("require") => ChannelBindingMode::Require,
        Some(other) => {
            return Err(ConfigError::InvalidValue {
                name: "channel_binding",
                value: other.to_owned(),
                reason: "it is one of disable, prefer, require",
            });
        }
    };
    let ssl_root = get("sslrootcert").map(|path| match path.as_str() {
        "system" => RootCertificates::System,
        path => RootCertificates::File(PathBuf::from(path)),
    });
    let ssl_root = ssl_root.or_else(|| {
        let path = environment.home.as_ref()?.join(".postgresql/root.crt");
        path.exists().then_some(RootCertificates::File(path))
    });
    let password = get("password").or_else(|| {
        let path = get("passfile")
            .map(PathBuf::from)
            .or_else(|| Some(environment.home.as_ref()?.join(".pgpass")))?;
        let text = std::fs::read_to_string(path).ok()?;
        pgpass(&text, hosts.first()?, &database, &user)
    });
    let connect_timeout = match get("connect_timeout") {
        Some(text) => match text.trim().parse::<u64>() {
            Ok(0) => CONNECT_TIMEOUT_DEFAULT,
            Ok(seconds) => Duration::from_secs(seconds),
            Err(_) => {
                return Err(ConfigError::InvalidValue {
                    name: "connect_timeout",
                    value: text,
                    reason: "it is a number of seconds",
                });
            }
        },
        None => CONNECT_TIMEOUT_DEFAULT,
    };
    Ok(SourceConfig {
        hosts,
        user,
        password: password.map(Secret::new),
        database,
        ssl_mode,
        ssl_root,
        ssl_client: get("sslcert")
            .zip(get("sslkey"))
            .map(|(cert, key)| (PathBuf::from(cert), PathBuf::from(key))),
        channel_binding,
        application_name: get("application_name").unwrap_or_else(|| "readside".to_owned()),
        connect_timeout,
        options: get("options").unwrap_or_default(),
    })
}

fn ssl_mode(text: &str) -> Result<SslMode, ConfigError> {
    Ok(match text {
        "disable" => SslMode::Disable,
        "allow" => SslMode::Allow,
        "prefer" => SslMode::Prefer,
        "require" => SslMode::Require,
        "verify-ca" => SslMode::VerifyCa,
        "verify-full" => SslMode::VerifyFull,
        _ => {
            return Err(ConfigError::InvalidValue {
                name: "sslmode",
                value: text.to_owned(),
                reason: "it is one of disable, allow, prefer, require, verify-ca, verify-full",
            });
        }
    })
}

/// Lists of equal length; one port may stand for all.
fn hosts(
    names: Option<String>,
    addresses: Option<String>,
    ports: Option<String>,
) -> Result<Vec<Host>, ConfigError> {
    let split = |list: &Option<String>| -> Vec<String> {
        list.as_deref()
            .map(|text| text.split(',').map(|part| part.trim().to_owned()).collect())
            .unwrap_or_default()
    };
    let (mut names, addresses, ports) = (split(&names), split(&addresses), split(&ports));
    if names.is_empty() {
        names = match addresses.len() {
            0 => vec![String::new()],
            _ => addresses.clone(),
        };
    }
    if !addresses.is_empty() && addresses.len() != names.len() {
        return Err(ConfigError::InvalidValue {
            name: "hostaddr",
            value: addresses.join(","),
            reason: "it has another number of entries than `host`",
        });
    }
    if ports.len() > 1 && ports.len() != names.len() {
        return Err(ConfigError::InvalidValue {
            name: "port",
            value: ports.join(","),
            reason: "it has another number of entries than `host`",
        });
    }
    names
        .into_iter()
        .enumerate()
        .map(|(i, name)| {
            let address = addresses.get(i).filter(|a| !a.is_empty());
            let address = address
                .map(|text| {
                    text.parse().map_err(|_| ConfigError::InvalidValue {
                        name: "hostaddr",
                        value: text.clone(),
                        reason: "it is not an IP address",
                    })
                })
                .transpose()?;
            let port = ports.get(i).or(ports.first().filter(|_| ports.len() == 1));
            let port = match port.filter(|p| !p.is_empty()) {
                Some(text) => text
                    .parse::<u16>()
                    .ok()
                    .filter(|&port| port > 0)
                    .ok_or_else(|| ConfigError::InvalidValue {
                        name: "port",
                        value: text.clone(),
                        reason: "it is a number from 1 to 65535",
                    })?,
                None => 5432,
            };
            let name = if name.is_empty() {
                default_host()
            } else {
                name
            };
            Ok(Host {
                name,
                address,
                port,
            })
        })
        .collect()
}

/// Where libpq looks when no host is named: Debian's socket directory if it is there.
fn default_host() -> String {
    ["/var/run/postgresql", "/tmp"]
        .into_iter()
        .find(|path| Path::new(path).exists())
        .unwrap_or("localhost")
        .to_owned()
}

/// The first line of a password file that matches: `host:port:database:user:password`, `*` for any, `\` escapes.
fn pgpass(text: &str, host: &Host, database: &str, user: &str) -> Option<String> {
    let port = host.port.to_string();
    let name = if host.is_socket() {
        "localhost"
    } else {
        &host.name
    };
    text.lines()
        .filter(|line| !line.starts_with('#'))
        .find_map(|line| {
            let mut fields = vec![String::new()];
            let mut chars = line.chars();
            while let Some(c) = chars.next() {
                match (c, fields.len()) {
                    (':', 1..=4) => fields.push(String::new()),
                    ('\\', _) => fields.last_mut()?.extend(chars.next()),
                    (c, _) => fields.last_mut()?.push(c),
                }
            }
            let [h, p, d, u, password] = <[String; 5]>::try_from(fields).ok()?;
            let matches = |pattern: &str, value: &str| pattern == "*" || pattern == value;
            (matches(&h, name) && matches(&p, &port) && matches(&d, database) && matches(&u, user))
                .then_some(password)
        })
}
