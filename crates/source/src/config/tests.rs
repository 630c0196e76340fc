use super::*;

fn parse(text: &str) -> SourceConfig {
    SourceConfig::parse_in(text, &Environment::default()).unwrap()
}

#[test]
fn a_url_says_everything() {
    let config = parse(
        "postgres://read%40side:p%3As%2Fs@db.example:5433/my%20shop?sslmode=verify-full&sslrootcert=/ca.pem&application_name=x&connect_timeout=3&options=-c%20geqo%3Doff",
    );
    assert_eq!(config.user, "read@side");
    assert_eq!(config.password, Some(Secret::new("p:s/s")));
    assert_eq!(config.database, "my shop");
    assert_eq!(config.hosts[0].name, "db.example");
    assert_eq!(config.hosts[0].port, 5433);
    assert_eq!(config.ssl_mode, SslMode::VerifyFull);
    assert_eq!(
        config.ssl_root,
        Some(RootCertificates::File("/ca.pem".into()))
    );
    assert_eq!(config.application_name, "x");
    assert_eq!(config.connect_timeout, Duration::from_secs(3));
    assert_eq!(config.options, "-c geqo=off");
}

#[test]
fn both_forms_mean_the_same() {
    assert_eq!(
        parse("postgresql://u:p@h:1/d?sslmode=disable"),
        parse(r"host = h port=1 user='u' password = 'p' dbname=d sslmode=disable")
    );
    assert_eq!(
        parse(r"user=u host=h password='it\'s \\ it'").password,
        Some(Secret::new(r"it's \ it"))
    );
}

#[test]
fn the_database_defaults_to_the_user_and_the_port_to_5432() {
    let config = parse("postgres://u@h");
    assert_eq!(
        (config.database.as_str(), config.hosts[0].port),
        ("u", 5432)
    );
    assert_eq!(config.application_name, "readside");
}

#[test]
fn several_hosts_ipv6_and_sockets_are_understood() {
    let config = parse("postgres://u@a:1,[::1]:2,c/d");
    let shown: Vec<String> = config.hosts.iter().map(ToString::to_string).collect();
    assert_eq!(shown, ["a:1", "[::1]:2", "c:5432"]);
    let socket = parse("postgres://u@%2Fvar%2Frun/d");
    assert!(socket.hosts[0].is_socket());
    assert_eq!(socket.hosts[0].to_string(), "/var/run/.s.PGSQL.5432");
    let config = parse("host=a,b port=7 user=u hostaddr=10.0.0.1,10.0.0.2");
    assert_eq!(config.hosts[1].port, 7);
    assert_eq!(config.hosts[1].address, "10.0.0.2".parse().ok());
}

#[test]
fn a_password_is_never_printed() {
    let config = parse("postgres://u:hush@h/d");
    assert!(!format!("{config:?} {config}").contains("hush"));
    let error = SourceConfig::parse_in("postgres//u:hush@h", &Environment::default()).unwrap_err();
    assert!(!format!("{error:?} {error}").contains("hush"), "{error}");
}

#[test]
fn mistakes_are_named() {
    let error = |text: &str| {
        SourceConfig::parse_in(text, &Environment::default())
            .unwrap_err()
            .to_string()
    };
    assert!(error("postgres://u@h?sslmod=disable").contains("`sslmod`"));
    assert!(error("postgres://u@h?sslmode=on").contains("one of disable"));
    assert!(error("postgres://u@h:x/d").contains("1 to 65535"));
    assert!(error("postgres://u@h:0/d").contains("1 to 65535"));
    assert!(error("mysql://u@h").contains("postgres://"));
    assert!(error("host=h").contains("PGUSER"));
    assert!(error("host=h user='u").contains("closing quote"));
    assert!(error("host h").contains("no `=`"));
}

#[test]
fn the_environment_and_the_password_file_fill_in_what_is_missing() {
    let home = tempfile::tempdir().unwrap();
    std::fs::write(
        home.path().join(".pgpass"),
        "# comment\nother:*:*:*:no\n*:5432:shop:u:se\\:cret\n*:*:*:*:last\n",
    )
    .unwrap();
    let environment = Environment::new(
        &[("PGHOST", "h"), ("PGUSER", "u"), ("PGSSLMODE", "require")],
        Some(home.path()),
    );
    let config = SourceConfig::parse_in("dbname=shop", &environment).unwrap();
    assert_eq!(config.hosts[0].name, "h");
    assert_eq!(config.ssl_mode, SslMode::Require);
    assert_eq!(config.password, Some(Secret::new("se:cret")));
    let config = SourceConfig::parse_in("dbname=x", &environment).unwrap();
    assert_eq!(config.password, Some(Secret::new("last")));
    let config = SourceConfig::parse_in("dbname=x password=given", &environment).unwrap();
    assert_eq!(config.password, Some(Secret::new("given")));
}
