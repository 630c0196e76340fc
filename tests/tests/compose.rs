//! `docker-compose.yml` and `Dockerfile`, checked without a container engine: everything that one part names is there in another.
//!
//! Not checked, since nothing here can: that the images exist and start.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::process::Command;

use readside_tests::{readside, shop, workspace};
use saphyr::{LoadableYamlNode, Scalar, Yaml};
use serde_json::{Map, Value};

fn read(path: &str) -> String {
    let path = workspace().join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("`{}`: {error}", path.display()))
}

/// A YAML file as JSON, with its aliases resolved.
fn yaml(path: &str) -> Value {
    let text = read(path);
    let documents = Yaml::load_from_str(&text).unwrap();
    assert_eq!(documents.len(), 1, "`{path}` is one document");
    json(&documents[0])
}

fn json(yaml: &Yaml<'_>) -> Value {
    match yaml {
        Yaml::Value(Scalar::Null) => Value::Null,
        Yaml::Value(Scalar::Boolean(value)) => (*value).into(),
        Yaml::Value(Scalar::Integer(value)) => (*value).into(),
        Yaml::Value(Scalar::FloatingPoint(value)) => value.into_inner().into(),
        Yaml::Value(Scalar::String(text)) => text.as_ref().into(),
        Yaml::Sequence(items) => items.iter().map(json).collect(),
        Yaml::Mapping(pairs) => {
            let pairs = pairs.iter();
            let pairs = pairs.map(|(key, value)| (key.as_str().unwrap().to_owned(), json(value)));
            Value::Object(pairs.collect::<Map<_, _>>())
        }
        other => panic!("{other:?}"),
    }
}

struct Compose {
    whole: Value,
    services: Map<String, Value>,
}

impl Compose {
    fn load() -> Self {
        let whole = yaml("docker-compose.yml");
        let services = whole["services"].as_object().unwrap().clone();
        Self { whole, services }
    }

    fn environment(&self, service: &str) -> BTreeMap<String, String> {
        let environment = self.services[service].get("environment");
        let pairs = environment.and_then(Value::as_object).into_iter().flatten();
        pairs
            .map(|(name, value)| {
                // A number or a boolean would be sent as YAML prints it; a text says what is meant.
                let text = value.as_str();
                let text = text.unwrap_or_else(|| panic!("{service}: `{name}` is not a text"));
                (name.clone(), text.to_owned())
            })
            .collect()
    }

    fn words(&self, service: &str, field: &str) -> Vec<String> {
        let words = self.services[service].get(field);
        let words = words.and_then(Value::as_array).into_iter().flatten();
        words
            .map(|word| word.as_str().unwrap().to_owned())
            .collect()
    }

    /// The ports that a service listens on inside.
    fn inner_ports(&self, service: &str) -> BTreeSet<u16> {
        let ports = self.words(service, "ports");
        let inner = ports.iter().map(|port| port.rsplit(':').next().unwrap());
        inner.map(|port| port.parse().unwrap()).collect()
    }

    /// Fails unless a URL names a service and a port on which that one listens.
    fn reaches(&self, who: &str, url: &str) {
        let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
        let authority = rest.split('/').next().unwrap();
        let host = authority.rsplit('@').next().unwrap();
        let (host, port) = host.split_once(':').unwrap();
        assert!(
            self.services.contains_key(host),
            "{who}: no service `{host}` for {url}"
        );
        let ports = self.inner_ports(host);
        assert!(
            ports.contains(&port.parse().unwrap()),
            "{who}: `{host}` is not at {port}"
        );
    }
}

/// What a service may have, of the Compose specification.
const FIELDS: &[&str] = &[
    "build",
    "command",
    "depends_on",
    "environment",
    "healthcheck",
    "image",
    "init",
    "ports",
    "restart",
    "volumes",
];

#[test]
fn every_service_has_what_it_names() {
    let compose = Compose::load();
    let top: BTreeSet<&str> = compose
        .whole
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    assert_eq!(top, BTreeSet::from(["name", "services", "volumes"]));
    let declared: BTreeSet<&String> = compose.whole["volumes"]
        .as_object()
        .unwrap()
        .keys()
        .collect();
    let (mut used, mut host_ports) = (BTreeSet::new(), BTreeSet::new());
    for (name, service) in &compose.services {
        for field in service.as_object().unwrap().keys() {
            assert!(FIELDS.contains(&field.as_str()), "{name}: `{field}`");
        }
        let image = service["image"].as_str().unwrap();
        let tagged = image.contains(':') && !image.ends_with(":latest");
        assert!(
            tagged || service.get("build").is_some(),
            "{name}: `{image}` may be any version"
        );
        if let Some(build) = service.get("build") {
            assert_eq!(build["context"], ".", "{name}");
            let target = build["target"].as_str().unwrap();
            assert!(
                stages().iter().any(|stage| stage.name == target),
                "{name}: no stage `{target}`"
            );
        }
        for port in compose.words(name, "ports") {
            let parts: Vec<&str> = port.split(':').collect();
            assert_eq!((parts.len(), parts[0]), (3, "127.0.0.1"), "{name}: {port}");
            assert!(
                host_ports.insert(parts[1].to_owned()),
                "{name}: {port} is taken"
            );
        }
        let mut targets = BTreeSet::new();
        for volume in compose.words(name, "volumes") {
            let parts: Vec<&str> = volume.split(':').collect();
            assert!(
                targets.insert(parts[1].to_owned()) && parts[1].starts_with('/'),
                "{name}: {volume}"
            );
            if let Some(path) = parts[0].strip_prefix("./") {
                assert!(
                    workspace().join(path).is_dir(),
                    "{name}: no directory `{path}`"
                );
                assert_eq!(parts.get(2), Some(&"ro"), "{name}: {volume}");
            } else {
                let (volume, _) = declared
                    .iter()
                    .map(|name| (*name, ()))
                    .find(|(name, ())| *name == parts[0])
                    .unwrap();
                assert!(used.insert(volume), "{name}: `{volume}` is somebody else's");
            }
        }
    }
    assert_eq!(declared, used, "every volume is somebody's");
}

#[test]
fn services_start_in_an_order_that_ends() {
    let compose = Compose::load();
    let mut after: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (name, service) in &compose.services {
        let before: Vec<&str> = match service.get("depends_on") {
            None => Vec::new(),
            Some(Value::Array(names)) => names.iter().map(|name| name.as_str().unwrap()).collect(),
            Some(conditions) => {
                for (other, condition) in conditions.as_object().unwrap() {
                    let other = &compose.services[other];
                    match condition["condition"].as_str().unwrap() {
                        "service_started" => {}
                        "service_healthy" => assert!(other.get("healthcheck").is_some(), "{name}"),
                        // What is restarted never completes.
                        "service_completed_successfully" => {
                            assert!(other.get("restart").is_none(), "{name}")
                        }
                        other => panic!("{name}: `{other}`"),
                    }
                }
                conditions
                    .as_object()
                    .unwrap()
                    .keys()
                    .map(String::as_str)
                    .collect()
            }
        };
        for other in &before {
            assert!(
                compose.services.contains_key(*other),
                "{name} waits for `{other}`"
            );
        }
        after.insert(name, before);
    }
    let mut started: BTreeSet<&str> = BTreeSet::new();
    while started.len() < after.len() {
        let next: Vec<&str> = after
            .iter()
            .filter(|(name, before)| {
                !started.contains(*name) && before.iter().all(|b| started.contains(b))
            })
            .map(|(name, _)| *name)
            .collect();
        assert!(
            !next.is_empty(),
            "these wait for each other: {after:?}, started: {started:?}"
        );
        started.extend(next);
    }
}

#[test]
fn what_one_service_is_told_of_another_is_so() {
    let compose = Compose::load();
    for service in compose.services.keys() {
        for (name, value) in compose.environment(service) {
            if value.contains("://") {
                compose.reaches(&format!("{service}, {name}"), &value);
            }
            if let Some(port) = value.strip_prefix("0.0.0.0:") {
                assert_eq!(
                    compose.inner_ports(service),
                    BTreeSet::from([port.parse().unwrap()]),
                    "{service}"
                );
            }
        }
    }
    let config: toml::Table = readside_shop::CONFIG.parse().unwrap();
    let mut urls = vec![config["source"]["url"].as_str().unwrap()];
    let sinks = config["sinks"].as_table().unwrap();
    urls.extend(sinks.values().map(|sink| sink["url"].as_str().unwrap()));
    for url in urls {
        compose.reaches("readside.toml", url);
    }
    // The query service reads where readside writes.
    let query = compose.environment("shop-query");
    for (sink, name) in [("cache", "SHOP_CACHE_URL"), ("search", "SHOP_SEARCH_URL")] {
        assert_eq!(sinks[sink]["url"].as_str().unwrap(), query[name], "{name}");
    }
    let place = |url: &str| url.rsplit('@').next().unwrap().to_owned();
    let reporting = sinks["reporting"]["url"].as_str().unwrap();
    assert_eq!(place(reporting), place(&query["SHOP_REPORTING_URL"]));
    // And knows nothing of the source.
    let source = config["source"]["url"].as_str().unwrap();
    let source = place(source).split(':').next().unwrap().to_owned();
    for (name, value) in &query {
        assert!(
            !value.contains(&format!("@{source}:")),
            "shop-query: {name}"
        );
    }
    // Who scrapes and who asks has the token; where Grafana asks there is a Prometheus.
    let token = &compose.environment("readside")["READSIDE_TOKEN"];
    assert_eq!(&query["READSIDE_TOKEN"], token);
    let prometheus = yaml("dashboards/prometheus/prometheus.yml");
    for job in prometheus["scrape_configs"].as_array().unwrap() {
        assert_eq!(
            job["authorization"]["credentials"].as_str(),
            Some(token.as_str())
        );
        for target in job["static_configs"][0]["targets"].as_array().unwrap() {
            compose.reaches("prometheus.yml", target.as_str().unwrap());
        }
    }
    let sources = yaml("dashboards/grafana/provisioning/datasources/prometheus.yml");
    for source in sources["datasources"].as_array().unwrap() {
        compose.reaches("Grafana's data source", source["url"].as_str().unwrap());
    }
    let providers = yaml("dashboards/grafana/provisioning/dashboards/readside.yml");
    let mounted = compose.words("grafana", "volumes");
    for provider in providers["providers"].as_array().unwrap() {
        let path = provider["options"]["path"].as_str().unwrap();
        let mount = format!("./dashboards/grafana:{path}:ro");
        assert!(mounted.contains(&mount), "{mount}: {mounted:?}");
    }
}

#[test]
fn the_programs_know_their_commands_and_variables() {
    let compose = Compose::load();
    let shop = shop::binary().unwrap();
    let readside = readside::binary().unwrap();
    for (name, service) in &compose.services {
        let program = match service["image"].as_str().unwrap() {
            "readside-shop" => &shop,
            "readside" => &readside,
            _ => continue,
        };
        let command = &compose.words(name, "command")[0];
        let help = Command::new(program)
            .args([command, "--help"])
            .output()
            .unwrap();
        assert!(help.status.success(), "{name}: `{command}`");
        let help = String::from_utf8(help.stdout).unwrap();
        for variable in compose.environment(name).keys() {
            // Secrets are named by the configuration.
            let known = help.contains(variable) || readside_shop::CONFIG.contains(variable);
            let global = program == &readside
                && ["READSIDE_LISTEN", "READSIDE_TOKEN"].contains(&variable.as_str());
            assert!(
                known || global,
                "{name}: `{command}` doesn't know {variable}"
            );
        }
    }
    // The configuration is one that readside takes, with the variables that it is given.
    let check = Command::new(&readside)
        .args([
            "check",
            "--offline",
            "--config",
            "examples/shop/readside.toml",
        ])
        .envs(compose.environment("readside"))
        .current_dir(workspace())
        .output()
        .unwrap();
    assert!(
        check.status.success(),
        "{}",
        String::from_utf8_lossy(&check.stderr)
    );
}

struct Stage {
    name: String,
    from: String,
    lines: Vec<String>,
}

/// The stages of the Dockerfile.
fn stages() -> Vec<Stage> {
    let text = read("Dockerfile").replace("\\\n", " ");
    let mut stages: Vec<Stage> = Vec::new();
    for line in text
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
    {
        let words: Vec<&str> = line.split_whitespace().collect();
        if words[0] == "FROM" {
            assert_eq!((words.len(), words[2]), (4, "AS"), "{line}");
            stages.push(Stage {
                name: words[3].to_owned(),
                from: words[1].to_owned(),
                lines: Vec::new(),
            });
        } else {
            stages.last_mut().unwrap().lines.push(line.to_owned());
        }
    }
    stages
}

#[test]
fn an_image_holds_one_program_and_is_not_roots() {
    let stages = stages();
    let find = |name: &str| stages.iter().find(|stage| stage.name == name);
    let build = find("build").unwrap().lines.join("\n");
    for name in ["readside", "shop"] {
        let stage = find(name).unwrap();
        let base = find(&stage.from).unwrap();
        let user = base
            .lines
            .iter()
            .rev()
            .find_map(|line| line.strip_prefix("USER "));
        let uid: u32 = user.unwrap().split(':').next().unwrap().parse().unwrap();
        assert!(uid >= 1000 && !stage.lines.iter().any(|line| line.starts_with("USER")));
        let copies: Vec<&String> = stage
            .lines
            .iter()
            .filter(|line| line.starts_with("COPY"))
            .collect();
        assert_eq!(
            copies,
            [&format!("COPY --from=build /out/{name} /usr/local/bin/")]
        );
        assert!(
            build.contains(&format!("target/release/{name} ")),
            "{build}"
        );
        assert!(stage.lines.contains(&format!("ENTRYPOINT [\"{name}\"]")));
    }
    // What isn't sent to the builder doesn't slow it down, nor get into a layer.
    let ignored = read(".dockerignore");
    for path in [".git", ".services", "**/target"] {
        assert!(ignored.lines().any(|line| line == path), "{path}");
    }
}
