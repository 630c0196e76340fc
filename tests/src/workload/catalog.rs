//! The tables that random statements are made for.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result};
use tokio_postgres::Client;

/// All tables.
#[derive(Debug)]
pub(super) struct Catalog {
    pub(super) tables: Vec<Table>,
}

/// A table. Partitions are written through their root.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) oid: u32,
    /// Quoted, with its schema.
    pub(super) name: String,
    pub(super) columns: Vec<Column>,
    /// Columns of the primary key; of all columns where there is none.
    pub(super) key: Vec<usize>,
    pub(super) has_primary_key: bool,
    pub(super) foreign_keys: Vec<ForeignKey>,
    pub(super) is_referenced: bool,
}

#[derive(Debug)]
pub(super) struct Column {
    /// Quoted.
    pub(super) name: String,
    /// As it is written in a cast.
    pub(super) sql_type: String,
    pub(super) kind: Kind,
    pub(super) not_null: bool,
    /// Generated, or an identity that can't be given: never written.
    pub(super) computed: bool,
    /// Has a sequence, or another default.
    pub(super) has_default: bool,
}

/// What values a column takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kind {
    Bool,
    Int(u32),
    Numeric {
        precision: u32,
        scale: u32,
    },
    Float,
    /// At most so many characters.
    Text(Option<usize>),
    Uuid,
    Date,
    Time,
    Timestamp,
    Interval,
    Json,
    Bytea,
    Enum(Vec<String>),
    Array(Box<Kind>),
    /// Not known here: NULL or the default.
    Other,
}

#[derive(Debug)]
pub(super) struct ForeignKey {
    pub(super) columns: Vec<usize>,
    /// Index into [`Catalog::tables`].
    pub(super) target: usize,
    pub(super) target_columns: Vec<usize>,
}

impl Catalog {
    pub(super) async fn read(client: &Client, skip: &[String]) -> Result<Self> {
        let enums = enums(client).await?;
        let mut tables = Vec::new();
        let rows = client
            .query(
                "SELECT c.oid, format('%I.%I', n.nspname, c.relname), c.relname::text \
                 FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
                 WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relpersistence = 'p' \
                 AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' ORDER BY 2",
                &[],
            )
            .await?;
        for row in rows {
            if skip.contains(&row.get::<_, String>(2)) {
                continue;
            }
            tables.push(table(client, row.get(0), row.get(1), &enums).await?);
        }
        let mut catalog = Self { tables };
        catalog.read_foreign_keys(client).await?;
        Ok(catalog)
    }

    async fn read_foreign_keys(&mut self, client: &Client) -> Result<()> {
        let rows = client
            .query(
                "SELECT conrelid, confrelid, conkey, confkey FROM pg_constraint \
                 WHERE contype = 'f' AND conparentid = 0 ORDER BY conrelid, conname",
                &[],
            )
            .await?;
        for row in rows {
            let find = |oid: u32| self.tables.iter().position(|table| table.oid == oid);
            let (Some(source), Some(target)) = (find(row.get(0)), find(row.get(1))) else {
                continue;
            };
            let key = ForeignKey {
                columns: positions(client, row.get(0), row.get(2)).await?,
                target,
                target_columns: positions(client, row.get(1), row.get(3)).await?,
            };
            self.tables[source].foreign_keys.push(key);
            self.tables[target].is_referenced = true;
        }
        Ok(())
    }

    /// Indexes of tables, each after those that it refers to as far as that goes.
    pub(super) fn parents_first(&self) -> Vec<usize> {
        let mut order = Vec::new();
        let mut done = BTreeSet::new();
        while order.len() < self.tables.len() {
            let ready = (0..self.tables.len()).find(|at| {
                !done.contains(at)
                    && self.tables[*at]
                        .foreign_keys
                        .iter()
                        .all(|key| key.target == *at || done.contains(&key.target))
            });
            // A circle: any of it.
            let next = ready.or_else(|| (0..self.tables.len()).find(|at| !done.contains(at)));
            let Some(next) = next else { break };
            done.insert(next);
            order.push(next);
        }
        order
    }
}

/// Positions among the live columns of attribute numbers.
async fn positions(client: &Client, oid: u32, attributes: Vec<i16>) -> Result<Vec<usize>> {
    let rows = client
        .query(
            "SELECT attnum FROM pg_attribute WHERE attrelid = $1 AND attnum > 0 AND NOT attisdropped ORDER BY attnum",
            &[&oid],
        )
        .await?;
    let live: Vec<i16> = rows.iter().map(|row| row.get(0)).collect();
    attributes
        .iter()
        .map(|number| {
            live.iter()
                .position(|other| other == number)
                .with_context(|| format!("attribute {number} of {oid}"))
        })
        .collect()
}

async fn table(
    client: &Client,
    oid: u32,
    name: String,
    enums: &BTreeMap<u32, Vec<String>>,
) -> Result<Table> {
    let rows = client
        .query(
            "WITH RECURSIVE base AS (
                SELECT a.attnum, a.atttypid AS type, a.atttypmod AS modifier FROM pg_attribute a WHERE a.attrelid = $1
                UNION ALL
                SELECT b.attnum, t.typbasetype, CASE WHEN b.modifier >= 0 THEN b.modifier ELSE t.typtypmod END
                FROM base b JOIN pg_type t ON t.oid = b.type AND t.typtype = 'd')
             SELECT quote_ident(a.attname), format_type(a.atttypid, a.atttypmod), t.oid, t.typname::text, b.modifier,
                a.attnotnull OR d.typnotnull, a.attgenerated <> '' OR a.attidentity = 'a', a.atthasdef OR a.attidentity <> '',
                t.typelem, e.typname::text
             FROM pg_attribute a
             JOIN base b ON b.attnum = a.attnum
             JOIN pg_type t ON t.oid = b.type AND t.typtype <> 'd'
             JOIN pg_type d ON d.oid = a.atttypid
             LEFT JOIN pg_type e ON e.oid = t.typelem AND t.typcategory = 'A'
             WHERE a.attrelid = $1 AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum",
            &[&oid],
        )
        .await
        .with_context(|| format!("read the columns of {name}"))?;
    let columns: Vec<Column> = rows
        .iter()
        .map(|row| {
            let modifier = row.get(4);
            let kind = match row.get::<_, Option<&str>>(9) {
                Some(element) => Kind::Array(Box::new(kind(element, row.get(8), modifier, enums))),
                None => kind(row.get(3), row.get(2), modifier, enums),
            };
            Column {
                name: row.get(0),
                sql_type: row.get(1),
                kind,
                not_null: row.get(5),
                computed: row.get(6),
                has_default: row.get(7),
            }
        })
        .collect();
    let primary = client
        .query_opt(
            "SELECT conkey FROM pg_constraint WHERE conrelid = $1 AND contype = 'p'",
            &[&oid],
        )
        .await?;
    let key = match &primary {
        Some(row) => positions(client, oid, row.get(0)).await?,
        None => (0..columns.len()).collect(),
    };
    Ok(Table {
        oid,
        name,
        columns,
        key,
        has_primary_key: primary.is_some(),
        foreign_keys: Vec::new(),
        is_referenced: false,
    })
}

fn kind(name: &str, oid: u32, modifier: i32, enums: &BTreeMap<u32, Vec<String>>) -> Kind {
    // Lengths and precisions are stored with the four bytes of a header.
    let modifier = u32::try_from(modifier).ok().and_then(|m| m.checked_sub(4));
    match name {
        "bool" => Kind::Bool,
        "int2" => Kind::Int(2),
        "int4" => Kind::Int(4),
        "int8" => Kind::Int(8),
        "numeric" => match modifier {
            Some(modifier) => Kind::Numeric {
                precision: modifier >> 16,
                scale: modifier & 0x7ff,
            },
            None => Kind::Numeric {
                precision: 12,
                scale: 6,
            },
        },
        "float4" | "float8" => Kind::Float,
        "text" | "varchar" | "bpchar" | "citext" => Kind::Text(
            modifier
                .filter(|_| name != "text")
                .and_then(|length| usize::try_from(length).ok()),
        ),
        "uuid" => Kind::Uuid,
        "date" => Kind::Date,
        "time" => Kind::Time,
        "timestamp" | "timestamptz" => Kind::Timestamp,
        "interval" => Kind::Interval,
        "json" | "jsonb" => Kind::Json,
        "bytea" => Kind::Bytea,
        _ => enums
            .get(&oid)
            .map_or(Kind::Other, |labels| Kind::Enum(labels.clone())),
    }
}

async fn enums(client: &Client) -> Result<BTreeMap<u32, Vec<String>>> {
    let mut enums: BTreeMap<u32, Vec<String>> = BTreeMap::new();
    let rows = client
        .query(
            "SELECT enumtypid, enumlabel::text FROM pg_enum ORDER BY enumtypid, enumsortorder",
            &[],
        )
        .await?;
    for row in rows {
        enums.entry(row.get(0)).or_default().push(row.get(1));
    }
    Ok(enums)
}
