use anyhow::{Result, ensure};
use readside_model::{RelationKind, ReplicaIdentity};
use readside_pgtype::Type;
use readside_source::load_catalog;

use crate::support::{oid, server, version};

#[tokio::test]
async fn the_catalog_is_as_the_application_made_it() -> Result<()> {
    let (_postgres, _config, client) = server(&[]).await?;
    client
        .batch_execute(
            "CREATE SCHEMA shop;
             CREATE TYPE shop.status AS ENUM ('new', 'paid'); ALTER TYPE shop.status ADD VALUE 'draft' BEFORE 'new';
             CREATE DOMAIN shop.money_amount AS numeric(12,2) CHECK (VALUE >= 0);
             CREATE DOMAIN shop.price AS shop.money_amount;
             CREATE TYPE shop.address AS (street text, zip varchar(9));
             CREATE TABLE shop.customers (id bigint PRIMARY KEY, email text NOT NULL UNIQUE, nick text COLLATE \"C\", note text COLLATE \"POSIX\", addr shop.address);
             CREATE TABLE shop.orders (dropped int, id int NOT NULL, customer_id bigint REFERENCES shop.customers, status shop.status,
                total shop.price, tags text[], double numeric GENERATED ALWAYS AS (total * 2) STORED, place point, code char(3),
                CONSTRAINT o_pk PRIMARY KEY (id) INCLUDE (status));
             ALTER TABLE shop.orders DROP COLUMN dropped;
             CREATE UNIQUE INDEX partial ON shop.orders (customer_id) WHERE status = 'new';
             CREATE UNIQUE INDEX expr ON shop.orders (lower(code));
             CREATE UNIQUE INDEX pair ON shop.orders (code, id) NULLS NOT DISTINCT;
             CREATE TABLE shop.events (id int, day date, PRIMARY KEY (id, day)) PARTITION BY RANGE (day);
             CREATE TABLE shop.events_1 (day date NOT NULL, id int NOT NULL);
             ALTER TABLE shop.events ATTACH PARTITION shop.events_1 FOR VALUES FROM ('2020-01-01') TO ('2021-01-01');
             CREATE TABLE shop.events_2 PARTITION OF shop.events FOR VALUES FROM ('2021-01-01') TO ('2022-01-01') PARTITION BY RANGE (id);
             CREATE TABLE shop.events_2a PARTITION OF shop.events_2 DEFAULT;
             CREATE TABLE parent (id int PRIMARY KEY); CREATE TABLE child () INHERITS (parent);
             CREATE TABLE full_identity (a int, b int); ALTER TABLE full_identity REPLICA IDENTITY FULL;
             CREATE TABLE by_index (a int NOT NULL, b int); CREATE UNIQUE INDEX by_index_a ON by_index (a);
             ALTER TABLE by_index REPLICA IDENTITY USING INDEX by_index_a;
             CREATE TEMP TABLE mine (a int);
             CREATE VIEW shop.paid AS SELECT id FROM shop.orders WHERE status = 'paid';
             INSERT INTO shop.customers SELECT i, i FROM generate_series(1, 1000) i; ANALYZE shop.customers",
        )
        .await?;
    let catalog = load_catalog(&client).await?;
    assert_eq!(catalog.server_version / 10_000, version());
    ensure!(catalog.search_path.contains(&"public".to_owned()));
    ensure!(catalog.default_collation_is_bytewise && !catalog.default_ctype_is_c);
    assert_eq!(catalog.default_collation, "C.UTF-8");
    let names: Vec<String> = catalog.tables.values().map(|t| t.display_name()).collect();
    let mut sorted = names.clone();
    sorted.sort();
    assert_eq!(
        sorted,
        [
            "public.by_index",
            "public.child",
            "public.full_identity",
            "public.parent",
            "shop.customers",
            "shop.events",
            "shop.orders"
        ]
    );
    let table = |name: &str| catalog.tables.values().find(|t| t.name == name).unwrap();

    let customers = table("customers");
    assert_eq!(customers.estimated_rows, 1000);
    let email = &customers.columns[1];
    ensure!(email.not_null && email.bytewise && !email.ctype_is_c && email.collation.is_none());
    let nick = &customers.columns[2];
    ensure!(nick.bytewise && nick.ctype_is_c && nick.collation.as_deref() == Some("C"));
    ensure!(customers.columns[0].bytewise && customers.columns[0].deterministic);
    ensure!(
        matches!(&customers.columns[4].ty, Type::Record(r) if r.fields.len() == 2 && r.fields[1].1 == Type::Varchar)
    );

    let orders = table("orders");
    let columns: Vec<&str> = orders.columns.iter().map(|c| c.name.as_str()).collect();
    assert_eq!(
        columns,
        [
            "id",
            "customer_id",
            "status",
            "total",
            "tags",
            "double",
            "place",
            "code"
        ]
    );
    assert_eq!(orders.identity, [0]);
    assert_eq!(orders.replica_identity, ReplicaIdentity::PrimaryKey);
    let unique: Vec<_> = orders
        .unique
        .iter()
        .map(|u| {
            (
                u.name.as_str(),
                u.columns.clone(),
                u.primary,
                u.nulls_not_distinct,
            )
        })
        .collect();
    assert_eq!(
        unique,
        [
            ("o_pk", vec![0], true, false),
            ("pair", vec![7, 0], false, true)
        ]
    );
    assert_eq!(orders.foreign_keys, [(vec![1], customers.oid, vec![0])]);
    ensure!(
        matches!(&orders.columns[2].ty, Type::Enum(e) if e.name == "shop.status"
        && e.labels.iter().map(|l| &**l).collect::<Vec<_>>() == ["draft", "new", "paid"])
    );
    ensure!(
        matches!(&orders.columns[3].ty, Type::Domain(d) if d.base == Type::Numeric && d.name == "shop.price" && d.typmod == ((12 << 16) | 2) + 4)
    );
    ensure!(matches!(&orders.columns[4].ty, Type::Array(element) if **element == Type::Text));
    let generated = orders.columns[5].generated.as_ref().unwrap();
    ensure!(
        generated.stored && generated.expression.contains("* "),
        "{generated:?}"
    );
    ensure!(matches!(&orders.columns[6].ty, Type::Other(o) if o.name == "point"));
    assert_eq!(
        (&orders.columns[7].ty, orders.columns[7].typmod),
        (&Type::Bpchar, 7)
    );

    let events = table("events");
    assert_eq!(events.kind, RelationKind::Partitioned);
    assert_eq!(table("parent").kind, RelationKind::Parent);
    assert_eq!(table("child").kind, RelationKind::Table);
    let mut leaves = vec![
        oid(&client, "shop.events_1").await?,
        oid(&client, "shop.events_2a").await?,
    ];
    leaves.sort_unstable();
    assert_eq!(events.leaves, leaves);
    assert_eq!(
        (events.replica_identity, events.identity.as_slice()),
        (ReplicaIdentity::PrimaryKey, &[0, 1][..])
    );
    client
        .batch_execute("ALTER TABLE shop.events_2a REPLICA IDENTITY NOTHING")
        .await?;
    let again = load_catalog(&client).await?;
    assert_eq!(
        again.tables[&events.oid].replica_identity,
        ReplicaIdentity::Missing
    );

    assert_eq!(
        table("full_identity").replica_identity,
        ReplicaIdentity::Full
    );
    ensure!(table("full_identity").identity.is_empty());
    assert_eq!(
        (
            table("by_index").replica_identity,
            table("by_index").identity.as_slice()
        ),
        (ReplicaIdentity::Index, &[0][..])
    );

    ensure!(catalog.views[&("shop".to_owned(), "paid".to_owned())].contains("SELECT"));
    let kinds: Vec<&str> = catalog
        .types
        .values()
        .map(|t| match t {
            Type::Enum(_) => "enum",
            Type::Domain(_) => "domain",
            Type::Record(_) => "record",
            _ => "other",
        })
        .collect();
    assert_eq!(kinds, ["enum", "domain", "domain", "record"]);
    Ok(())
}

#[tokio::test]
async fn text_order_is_called_bytewise_only_where_it_is() -> Result<()> {
    let (postgres, _config, admin) = server(&[]).await?;
    admin
        .batch_execute(
            "CREATE DATABASE of_icu TEMPLATE template0 LOCALE_PROVIDER icu ICU_LOCALE 'en-US'",
        )
        .await?;
    admin
        .batch_execute("CREATE DATABASE of_c TEMPLATE template0 LOCALE 'C'")
        .await?;
    for (database, bytewise, ctype) in [("of_icu", false, false), ("of_c", true, true)] {
        let config = readside_source::SourceConfig::parse(&postgres.url_of(database))?;
        let client = readside_source::connect_sql(&config).await?;
        client
            .batch_execute(
                "CREATE COLLATION loose (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
                 CREATE TABLE t (id int PRIMARY KEY, a text, b text COLLATE \"C\", c text COLLATE loose)",
            )
            .await?;
        let catalog = load_catalog(&client).await?;
        assert_eq!(
            (
                catalog.default_collation_is_bytewise,
                catalog.default_ctype_is_c
            ),
            (bytewise, ctype),
            "{database}"
        );
        let columns = &catalog.tables.values().next().unwrap().columns;
        ensure!(columns[0].bytewise && columns[1].bytewise == bytewise && columns[2].bytewise);
        ensure!(!columns[3].bytewise && !columns[3].deterministic);
    }
    Ok(())
}
