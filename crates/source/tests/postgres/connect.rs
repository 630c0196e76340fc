use std::path::Path;
use std::process::Command;

use anyhow::{Result, ensure};
use readside_source::{
    Remedy, ReplicationClient, Secret, SourceConfig, SourceError, SqlClient, connect_sql,
};

use crate::support::server;

/// Both kinds of connection; the answer is whether they are encrypted, and how the session was authenticated.
async fn both(config: &SourceConfig) -> Result<bool, SourceError> {
    let client = connect_sql(config).await?;
    let mut replication = ReplicationClient::connect(config).await?;
    replication.ping().await?;
    assert_eq!(client.is_encrypted(), replication.is_encrypted());
    Ok(client.is_encrypted())
}

/// Replaces pg_hba.conf, and reloads it.
async fn hba(admin: &SqlClient, lines: &str) -> Result<()> {
    let path: String = admin
        .query_one("SELECT current_setting('hba_file')", &[])
        .await?
        .get(0);
    std::fs::write(path, lines)?;
    admin.batch_execute("SELECT pg_reload_conf()").await?;
    // The postmaster reads it when it gets to it.
    tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    Ok(())
}

#[tokio::test]
async fn every_password_method_lets_the_right_password_in_and_no_other() -> Result<()> {
    let (_postgres, admin, client) = server(&[]).await?;
    client
        .batch_execute(
            "SET password_encryption = 'md5'; CREATE ROLE of_md5 LOGIN REPLICATION PASSWORD 'pass'; \
             SET password_encryption = 'scram-sha-256'; CREATE ROLE of_scram LOGIN REPLICATION PASSWORD 'päss \u{2168}'; \
             CREATE ROLE of_clear LOGIN REPLICATION PASSWORD 'pass'",
        )
        .await?;
    hba(
        &client,
        "host all of_md5 all md5\nhost all of_scram all scram-sha-256\nhost all of_clear all password\nhost all postgres all trust\n",
    )
    .await?;
    for (user, password) in [
        ("of_md5", "pass"),
        ("of_scram", "päss \u{2168}"),
        ("of_clear", "pass"),
    ] {
        let mut config = admin.clone().with_password(Secret::new(password));
        config.user = user.to_owned();
        ensure!(!both(&config).await?, "{user} is encrypted");
        let wrong = config.clone().with_password(Secret::new("wrong"));
        for error in [
            connect_sql(&wrong).await.unwrap_err(),
            ReplicationClient::connect(&wrong).await.unwrap_err(),
        ] {
            ensure!(matches!(error, SourceError::Auth { .. }), "{user}: {error}");
            ensure!(error.remedy() == Remedy::Operator);
        }
        config.password = None;
        for error in [
            connect_sql(&config).await.unwrap_err(),
            ReplicationClient::connect(&config).await.unwrap_err(),
        ] {
            ensure!(matches!(error, SourceError::Auth { .. }), "{user}: {error}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn what_cannot_be_reached_is_said_plainly() -> Result<()> {
    let (postgres, config, _client) = server(&[]).await?;
    let mut missing = config.clone();
    missing.database = "nowhere".to_owned();
    for error in [
        connect_sql(&missing).await.unwrap_err(),
        ReplicationClient::connect(&missing).await.unwrap_err(),
    ] {
        ensure!(
            matches!(&error, SourceError::DatabaseMissing { database, .. } if database == "nowhere"),
            "{error}"
        );
    }
    // The second host answers.
    let url = postgres.url().replace("127.0.0.1", "127.0.0.1:1,127.0.0.1");
    both(&SourceConfig::parse(&url)?).await?;
    let url = format!("postgres://u@127.0.0.1:{}/d", 1);
    let error = connect_sql(&SourceConfig::parse(&url)?).await.unwrap_err();
    ensure!(matches!(error, SourceError::Unreachable { .. }), "{error}");
    ensure!(error.remedy() == Remedy::Retry);
    Ok(())
}

#[tokio::test]
async fn a_role_without_replication_is_told_so() -> Result<()> {
    let (_postgres, config, client) = server(&[]).await?;
    client
        .batch_execute("CREATE ROLE plain LOGIN PASSWORD 'p'")
        .await?;
    let mut plain = config.with_password(Secret::new("p"));
    plain.user = "plain".to_owned();
    let error = ReplicationClient::connect(&plain).await.unwrap_err();
    ensure!(matches!(error, SourceError::Privilege(_)), "{error}");
    Ok(())
}

#[tokio::test]
async fn values_print_the_same_whatever_the_database_says() -> Result<()> {
    let (_postgres, config, client) = server(&[]).await?;
    client
        .batch_execute(
            "ALTER DATABASE postgres SET TimeZone = 'Asia/Tokyo'; ALTER DATABASE postgres SET DateStyle = 'German'; \
             ALTER DATABASE postgres SET bytea_output = 'escape'; ALTER ROLE postgres SET IntervalStyle = 'iso_8601'; \
             ALTER ROLE postgres SET extra_float_digits = 0; ALTER DATABASE postgres SET statement_timeout = 1; \
             ALTER DATABASE postgres SET quote_all_identifiers = on",
        )
        .await?;
    let client = connect_sql(&config).await?;
    let row = client
        .query_one(
            "SELECT concat_ws(' ', timestamptz '2020-01-01 00:00+00', interval '1 day 2 s', bytea 'ab', 0.1::float4 + 0.2::float4, \
             current_setting('statement_timeout'), current_setting('application_name'), pg_sleep(0.01))",
            &[],
        )
        .await?;
    let text: String = row.get(0);
    assert_eq!(
        text.trim_end(),
        "2020-01-01 00:00:00+00 1 day 00:00:02 \\x6162 0.3 0 readside"
    );
    Ok(())
}

/// An authority, and a certificate of `localhost` signed by it.
fn certificates(dir: &Path) -> Result<()> {
    let openssl = |args: &[&str]| -> Result<()> {
        let done = Command::new("openssl")
            .args(args)
            .current_dir(dir)
            .output()?;
        ensure!(
            done.status.success(),
            "{}",
            String::from_utf8_lossy(&done.stderr)
        );
        Ok(())
    };
    for name in ["ca", "other"] {
        openssl(&[
            "req",
            "-x509",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-days",
            "2",
            "-subj",
            "/CN=authority",
            "-keyout",
            &format!("{name}.key"),
            "-out",
            &format!("{name}.crt"),
        ])?;
    }
    openssl(&[
        "req",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-subj",
        "/CN=localhost",
        "-keyout",
        "server.key",
        "-out",
        "server.csr",
    ])?;
    std::fs::write(dir.join("ext"), "subjectAltName=DNS:localhost\n")?;
    openssl(&[
        "x509",
        "-req",
        "-in",
        "server.csr",
        "-CA",
        "ca.crt",
        "-CAkey",
        "ca.key",
        "-CAcreateserial",
        "-days",
        "2",
        "-sha384",
        "-extfile",
        "ext",
        "-out",
        "server.crt",
    ])
}

#[tokio::test]
async fn tls_is_checked_exactly_as_far_as_the_mode_says() -> Result<()> {
    let dir = tempfile::tempdir()?;
    certificates(dir.path())?;
    let (postgres, admin, client) = server(&[]).await?;
    // The server wants its key where it owns it.
    let data: String = client
        .query_one("SELECT current_setting('data_directory')", &[])
        .await?
        .get(0);
    for name in ["server.crt", "server.key"] {
        let to = Path::new(&data).join(name);
        std::fs::copy(dir.path().join(name), &to)?;
        let owner = Command::new("chown")
            .arg(format!("--reference={data}"))
            .arg(&to)
            .status()?;
        let mode = Command::new("chmod").arg("600").arg(&to).status()?;
        ensure!(owner.success() && mode.success());
    }
    client.batch_execute("ALTER SYSTEM SET ssl = on").await?;
    hba(
        &client,
        "hostssl all all all scram-sha-256\nhostnossl all postgres all reject\n",
    )
    .await?;
    drop(client);

    let file = |name: &str| dir.path().join(name).display().to_string();
    let url = |host: &str, rest: &str| {
        let url = postgres.url().replace("127.0.0.1", host);
        SourceConfig::parse(&format!("{url}?{rest}"))
    };
    let (ca, other) = (file("ca.crt"), file("other.crt"));
    // `allow` is refused without TLS and comes back with it; `prefer` takes it at once.
    for mode in ["allow", "prefer", "require"] {
        ensure!(
            both(&url("localhost", &format!("sslmode={mode}"))?).await?,
            "{mode}"
        );
    }
    let good = [
        ("localhost", format!("sslmode=verify-full&sslrootcert={ca}")),
        ("127.0.0.1", format!("sslmode=verify-ca&sslrootcert={ca}")),
        ("127.0.0.1", format!("sslmode=require&sslrootcert={ca}")),
        (
            "localhost",
            format!("sslmode=verify-full&sslrootcert={ca}&hostaddr=127.0.0.1"),
        ),
    ];
    for (host, rest) in good {
        ensure!(both(&url(host, &rest)?).await?, "{host} {rest}");
    }
    let bad = [
        ("127.0.0.1", format!("sslmode=verify-full&sslrootcert={ca}")),
        (
            "localhost",
            format!("sslmode=verify-full&sslrootcert={other}"),
        ),
        (
            "localhost",
            format!("sslmode=verify-ca&sslrootcert={other}"),
        ),
        ("localhost", format!("sslmode=require&sslrootcert={other}")),
        (
            "localhost",
            "sslmode=verify-full&sslrootcert=system".to_owned(),
        ),
        (
            "localhost",
            format!("sslmode=verify-ca&sslrootcert={}", file("missing")),
        ),
    ];
    for (host, rest) in bad {
        for error in [
            connect_sql(&url(host, &rest)?).await.unwrap_err(),
            ReplicationClient::connect(&url(host, &rest)?)
                .await
                .unwrap_err(),
        ] {
            ensure!(
                matches!(error, SourceError::Tls { .. }),
                "{host} {rest}: {error}"
            );
        }
    }
    let error = connect_sql(&url("localhost", "sslmode=disable")?)
        .await
        .unwrap_err();
    ensure!(matches!(error, SourceError::Auth { .. }), "{error}");

    // Bound to the TLS session by a certificate that was signed with SHA-384; without TLS there is nothing to bind to.
    let bound = url("localhost", "sslmode=require&channel_binding=require")?;
    ensure!(both(&bound).await?);
    ensure!(
        both(&url(
            "localhost",
            "sslmode=require&channel_binding=disable"
        )?)
        .await?
    );
    let over_tls = connect_sql(&bound).await?;
    hba(&over_tls, "host all all all scram-sha-256\n").await?;
    let unbound = url("localhost", "sslmode=disable&channel_binding=require")?;
    for error in [
        connect_sql(&unbound).await.unwrap_err(),
        ReplicationClient::connect(&unbound).await.unwrap_err(),
    ] {
        ensure!(matches!(error, SourceError::Auth { .. }), "{error}");
    }
    let admin_tls = connect_sql(&url("localhost", "sslmode=require")?).await?;
    let row = admin_tls
        .query_one(
            "SELECT ssl, version FROM pg_stat_ssl WHERE pid = pg_backend_pid()",
            &[],
        )
        .await?;
    ensure!(row.get::<_, bool>(0) && row.get::<_, String>(1) == "TLSv1.3");
    drop(admin);
    Ok(())
}
