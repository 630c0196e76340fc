use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use super::*;

struct Project {
    dir: tempfile::TempDir,
}

impl Project {
    fn new() -> Project {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("views")).unwrap();
        for name in ["orders", "revenue"] {
            std::fs::write(
                dir.path().join(format!("views/{name}.sql")),
                "SELECT id FROM orders;\n",
            )
            .unwrap();
        }
        Project { dir }
    }

    fn parse_with(
        &self,
        text: &str,
        variables: &[(&str, &str)],
        change: impl Fn(&mut Surroundings<'_>),
    ) -> Result<Config, Problems> {
        let variables: BTreeMap<String, String> = variables
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
            .collect();
        let variable = |name: &str| variables.get(name).cloned();
        let mut surroundings = Surroundings {
            variable: &variable,
            resolve_secrets: true,
            listen: None,
            token: None,
        };
        change(&mut surroundings);
        Config::parse(text, &self.dir.path().join("readside.toml"), &surroundings)
    }

    fn parse(&self, text: &str) -> Result<Config, Problems> {
        self.parse_with(text, &[("PW", "hunter2")], |_| {})
    }

    /// The problems as printed, with this directory's name taken out.
    fn refused(&self, text: &str) -> String {
        let error = self.parse(text).expect_err("refused").to_string();
        error.replace(&format!("{}/", self.dir.path().display()), "")
    }
}

const WHOLE: &str = r#"
[source]
url = "postgres://readside@db:5432/shop"
password = { env = "PW" }

[data]
dir = "state"
changelog_bytes_max = "10GB"

[sinks.search]
type = "elasticsearch"
url = "https://search:9200"

[sinks.cache]
type = "redis"
url = "redis://cache:6379"

[sinks.reporting]
type = "postgres"
url = "postgres://reporting@warehouse/reports"

[views.orders]
query = "views/orders.sql"
into = [{ sink = "search" }, { sink = "cache", key = "order:{id}" }]
lag_max = "5m"
on_error = "keep"

[views.revenue]
query = "views/revenue.sql"
into = [{ sink = "reporting", table = "revenue_per_day" }, { sink = "cache" }]
"#;

#[test]
fn defaults_are_those_of_the_manual() {
    let place = Project::new();
    let config = place.parse(WHOLE).unwrap();
    assert_eq!(config.source.publication, "readside");
    assert_eq!(config.source.slot, "readside");
    assert_eq!(config.data.dir, place.dir.path().join("state"));
    assert_eq!(
        config.data.changelog_bytes_max,
        Some(ByteSize(10_000_000_000))
    );
    assert_eq!(config.admin.listen, DEFAULT_LISTEN);
    assert_eq!(config.sinks["reporting"].schema, "readside");
    let orders = &config.views["orders"];
    assert_eq!(orders.lag_max, Duration::from_secs(300));
    assert_eq!(orders.on_error, OnError::Keep);
    assert_eq!(orders.into[0].place, Place::Index("orders".to_owned()));
    assert_eq!(orders.into[1].location(), "order:{id}");
    let revenue = &config.views["revenue"];
    assert_eq!(revenue.lag_max, Duration::from_secs(60));
    assert_eq!(revenue.on_error, OnError::Remove);
    assert_eq!(revenue.into[1].place, Place::Key(None));
    assert_eq!(revenue.sql, "SELECT id FROM orders;\n");
    assert!(config.warnings.is_empty(), "{:?}", config.warnings);
}

#[test]
fn every_problem_is_reported_at_once_with_its_line_and_path() {
    let place = Project::new();
    let refused = place.refused(
        r#"[source]
url = "mysql://db/shop"
pasword = "x"
slot = "Read-Side"

[data]
changelog_bytes_max = 512

[sinks.search]
type = "elasticsaerch"
url = "https://search:9200"

[sinks.cache]
type = "redis"
url = "https://cache"
schema = "x"
password = { env = "NOT_THERE" }

[views.orders]
query = "views/missing.sql"
into = [{ sink = "cahce" }, { sink = "cache", index = "orders", key = "order:{id" }]
lag_max = "soon"

[views."no good"]
query = "views/orders.sql"
into = []

[extra]
"#,
    );
    let expected = include_str!("../../tests/expected/config_problems.txt");
    assert_eq!(refused.trim_end(), expected.trim_end(), "\n{refused}");
}

#[test]
fn a_file_that_is_not_toml_says_where() {
    let refused = Project::new().refused("[source]\nurl = \"x\n");
    assert!(
        refused.starts_with("readside.toml, line 2: is not TOML:"),
        "{refused}"
    );
}

#[test]
fn an_empty_file_lacks_source_and_views() {
    let refused = Project::new().refused("");
    assert!(refused.contains("`source`: is missing"), "{refused}");
    assert!(refused.contains("`views`: is missing"), "{refused}");
}

#[test]
fn secrets_are_never_printed() {
    let place = Project::new();
    std::fs::write(place.dir.path().join("key"), "hunter2\n").unwrap();
    let text = WHOLE
        .replace("redis://cache:6379", "redis://:hunter2@cache:6379")
        .replace(
            "url = \"https://search:9200\"",
            "url = \"https://search:9200\"\napi_key = { file = \"key\" }",
        )
        .replace(
            "url = \"postgres://reporting@warehouse/reports\"",
            "url = \"postgres://reporting@warehouse/reports\"\npassword = \"hunter2\"",
        );
    let config = place.parse(&text).unwrap();
    let shown = format!("{config:?} {config:#?} {:?}", config.warnings);
    assert!(!shown.contains("hunter2"), "{shown}");
    assert_eq!(config.sinks["search"].api_key, Some(Secret::new("hunter2")));
    assert_eq!(
        config.source.connection.password,
        Some(readside_source::Secret::new("hunter2"))
    );
    assert_eq!(config.warnings.len(), 2, "{:?}", config.warnings);

    let broken = text.replace("slot", "sloth").replace(
        "[data]",
        "nonsense = { env = \"PW\" }\n[data]\ndire = \"hunter3\"",
    );
    let refused = place.refused(&broken);
    assert!(!refused.contains("hunter"), "{refused}");
}

#[test]
fn a_missing_variable_is_named_unless_secrets_are_left_alone() {
    let place = Project::new();
    let error = place.parse_with(WHOLE, &[], |_| {}).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("line 4: `source.password.env`: the environment variable `PW` is not set"),
        "{error}"
    );
    place
        .parse_with(WHOLE, &[], |s| s.resolve_secrets = false)
        .unwrap();
}

#[test]
fn two_views_never_share_a_place() {
    let place = Project::new();
    for (from, to, shape) in [
        (
            "{ sink = \"cache\" }]",
            "{ sink = \"cache\", key = \"order:{no}\" }]",
            "`order:{}`",
        ),
        (
            "table = \"revenue_per_day\" }, { sink = \"cache\" }]",
            "table = \"revenue_per_day\" }, { sink = \"search\", index = \"orders\" }]",
            "`orders`",
        ),
    ] {
        let refused = place.refused(&WHOLE.replace(from, to));
        assert!(
            refused.contains(shape) && refused.contains("is taken by the view `orders`"),
            "{refused}"
        );
    }
}

#[test]
fn anything_but_loopback_needs_a_token() {
    let place = Project::new();
    let open = format!("{WHOLE}\n[admin]\nlisten = \"0.0.0.0:7377\"\n");
    let refused = place.refused(&open);
    assert!(
        refused.contains("`admin.listen`: `0.0.0.0:7377` is not a loopback address"),
        "{refused}"
    );
    let config = place
        .parse(&format!("{open}token = {{ env = \"PW\" }}\n"))
        .unwrap();
    assert_eq!(config.admin.token, Some(Secret::new("hunter2")));
    let config = place
        .parse_with(&open, &[("PW", "x")], |s| {
            s.listen = Some("[::1]:9".to_owned());
        })
        .unwrap();
    assert_eq!(config.admin.listen.to_string(), "[::1]:9");
    let error = place
        .parse_with(WHOLE, &[("PW", "x")], |s| {
            s.listen = Some("10.0.0.1:9".to_owned());
        })
        .unwrap_err();
    assert!(error.to_string().contains("there is no token"), "{error}");
}

#[test]
fn single_problems_say_what_to_do() {
    let place = Project::new();
    std::fs::write(place.dir.path().join("mapping.json"), "[1]").unwrap();
    for (from, to, expected) in [
        (
            "type = \"redis\"\n",
            "",
            "line 14: `sinks.cache.type`: is missing",
        ),
        (
            "into = [{ sink = \"search\" }, ",
            "into = [{ sink = \"cache\" }, ",
            "sink `cache` is named twice",
        ),
        (
            "on_error = \"keep\"",
            "on_error = \"shrug\"",
            "`shrug` is neither `remove` nor `keep`",
        ),
        ("order:{id}", "readside:{id}", "begins with `readside:`"),
        (
            "order:{id}",
            "order:{id}{no}",
            "two columns with no text between them",
        ),
        ("order:{id}", "order:{id}:{id}", "has a column twice"),
        ("order:{id}", "order:{}", "has empty braces"),
        (
            "[views.orders]",
            "[views.Orders]",
            "`Orders` can't name an index here: it has upper-case letters\n  hint: set `index`",
        ),
        (
            "table = \"revenue_per_day\"",
            "table = \"_readside_x\"",
            "`_readside_` is where markers are kept",
        ),
        (
            "{ sink = \"search\" }",
            "{ sink = \"search\", mapping = \"mapping.json\" }",
            "`mapping.json` is not a JSON object",
        ),
        (
            "{ sink = \"cache\" }]",
            "{ sink = \"cache\", table = \"x\" }]",
            "means nothing to the redis sink `cache`\n  hint: its places are named by `key`",
        ),
        (
            "dir = \"state\"",
            "dir = 7",
            "`data.dir`: wants a text, not a number",
        ),
        (
            "[data]",
            "[admin]\nlisten = \"7377\"\n[data]",
            "`7377` is not an address with a port",
        ),
    ] {
        assert!(WHOLE.contains(from), "{from}");
        let refused = place.refused(&WHOLE.replacen(from, to, 1));
        assert!(refused.contains(expected), "{expected}\n---\n{refused}");
    }
}

#[test]
fn a_sink_that_no_view_uses_is_a_warning() {
    let place = Project::new();
    let text = format!("{WHOLE}\n[sinks.spare]\ntype = \"redis\"\nurl = \"redis://spare\"\n");
    let config = place.parse(&text).unwrap();
    assert_eq!(
        config.warnings,
        ["no view is written into the sink `spare`"]
    );
}

#[test]
fn client_commands_need_only_the_admin_section() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("readside.toml");
    std::fs::write(&path, "[nonsense]\n[admin]\nlisten = \"127.0.0.1:9\"\n").unwrap();
    let variable = |_: &str| None;
    let mut surroundings = Surroundings {
        variable: &variable,
        resolve_secrets: true,
        listen: None,
        token: None,
    };
    let admin = load_admin(Some(&path), &surroundings).unwrap();
    assert_eq!(admin.listen.to_string(), "127.0.0.1:9");
    assert!(load_admin(Some(Path::new("/nowhere/readside.toml")), &surroundings).is_err());
    surroundings.listen = Some("127.0.0.1:10".to_owned());
    let admin = load_admin(Some(Path::new("/nowhere/readside.toml")), &surroundings).unwrap();
    assert_eq!(admin.listen.to_string(), "127.0.0.1:10");
}

#[test]
fn two_sinks_for_one_place_are_refused() {
    let project = Project::new();
    let sinks = |other: &str| {
        format!(
            "{WHOLE}\n[sinks.again]\n{other}\n[views.again]\nquery = \"views/revenue.sql\"\ninto = [{{ sink = \"again\" }}]\n"
        )
    };
    for (same, first) in [
        (
            "type = \"redis\"\nurl = \"redis://somebody:x@CACHE/0\"",
            "cache",
        ),
        (
            "type = \"elasticsearch\"\nurl = \"https://search:9200/\"",
            "search",
        ),
        (
            "type = \"postgres\"\nurl = \"postgresql://warehouse:5432/reports?sslmode=require\"\nschema = \"readside\"",
            "reporting",
        ),
    ] {
        let refused = project.refused(&sinks(same));
        // In the order of the names.
        let (earlier, later) = if first < "again" {
            (first, "again")
        } else {
            ("again", first)
        };
        assert!(
            refused.contains(&format!("sinks.{later}.url"))
                && refused.contains(&format!("the sink `{earlier}` writes to")),
            "{refused}"
        );
    }
    for other in [
        "type = \"redis\"\nurl = \"redis://cache:6379/1\"",
        "type = \"elasticsearch\"\nurl = \"https://search:9201\"",
        "type = \"postgres\"\nurl = \"postgres://reporting@warehouse/reports\"\nschema = \"more\"",
    ] {
        project.parse(&sinks(other)).unwrap();
    }
}
