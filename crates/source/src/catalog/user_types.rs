//! `pg_type` to [`Type`].

use std::collections::BTreeMap;
use std::sync::Arc;

use readside_pgtype::{DomainType, EnumType, OtherType, RecordType, Type};
use tokio_postgres::Client;

use crate::SourceError;

/// Deeper nesting than any schema has; beyond it a type is only carried.
const DEPTH_MAX: usize = 16;

struct Row {
    kind: Kind,
    name: String,
    /// Listed in [`UserTypes::named`].
    named: bool,
}

enum Kind {
    Array { element: u32 },
    Enum { labels: Vec<Arc<str>> },
    Domain { base: u32, typmod: i32 },
    Composite { fields: Vec<(Arc<str>, u32)> },
    Other,
}

/// All types of the database, by oid.
pub(super) struct UserTypes {
    rows: BTreeMap<u32, Row>,
}

impl UserTypes {
    pub(super) async fn load(client: &Client) -> Result<UserTypes, SourceError> {
        let mut labels: BTreeMap<u32, Vec<Arc<str>>> = BTreeMap::new();
        for row in client
            .query(
                "SELECT enumtypid, enumlabel::text FROM pg_catalog.pg_enum ORDER BY enumtypid, enumsortorder",
                &[],
            )
            .await?
        {
            let label: String = row.try_get(1)?;
            labels
                .entry(row.try_get(0)?)
                .or_default()
                .push(label.into());
        }
        let mut fields: BTreeMap<u32, Vec<(Arc<str>, u32)>> = BTreeMap::new();
        for row in client
            .query(
                "SELECT c.reltype, a.attname::text, a.atttypid
                 FROM pg_catalog.pg_class c JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid
                 WHERE c.reltype <> 0 AND c.relkind IN ('r', 'p', 'c', 'v', 'm', 'f') AND c.oid >= 16384
                   AND a.attnum > 0 AND NOT a.attisdropped
                 ORDER BY c.oid, a.attnum",
                &[],
            )
            .await?
        {
            let name: String = row.try_get(1)?;
            fields
                .entry(row.try_get(0)?)
                .or_default()
                .push((name.into(), row.try_get(2)?));
        }
        let mut rows = BTreeMap::new();
        for row in client
            .query(
                "SELECT t.oid, t.typtype::text, t.typelem, t.typcategory::text = 'A' AND t.typelem <> 0 AND t.typlen = -1
                        AND t.oid NOT IN (22, 30),
                        t.typbasetype, t.typtypmod, pg_catalog.format_type(t.oid, NULL), COALESCE(c.relkind = 'c', false)
                 FROM pg_catalog.pg_type t LEFT JOIN pg_catalog.pg_class c ON c.oid = t.typrelid",
                &[],
            )
            .await?
        {
            let oid: u32 = row.try_get(0)?;
            let kind: String = row.try_get(1)?;
            let is_array: bool = row.try_get(3)?;
            let standalone: bool = row.try_get(7)?;
            let (kind, named) = match kind.as_str() {
                "e" => (
                    Kind::Enum {
                        labels: labels.remove(&oid).unwrap_or_default(),
                    },
                    true,
                ),
                "d" => (
                    Kind::Domain {
                        base: row.try_get(4)?,
                        typmod: row.try_get(5)?,
                    },
                    true,
                ),
                "c" => match fields.remove(&oid) {
                    Some(fields) => (Kind::Composite { fields }, standalone),
                    None => (Kind::Other, false),
                },
                _ if is_array => (
                    Kind::Array {
                        element: row.try_get(2)?,
                    },
                    false,
                ),
                _ => (Kind::Other, false),
            };
            rows.insert(
                oid,
                Row {
                    kind,
                    // The information schema has domains of its own.
                    named: named && oid >= 16_384,
                    name: row.try_get(6)?,
                },
            );
        }
        Ok(UserTypes { rows })
    }

    /// Enums, domains and composites that users made.
    pub(super) fn named(&self) -> BTreeMap<u32, Type> {
        self.rows
            .iter()
            .filter(|(_, row)| row.named)
            .map(|(&oid, _)| (oid, self.resolve(oid)))
            .collect()
    }

    /// The type with this oid.
    pub(super) fn resolve(&self, oid: u32) -> Type {
        self.resolve_within(oid, DEPTH_MAX)
    }

    fn resolve_within(&self, oid: u32, depth: usize) -> Type {
        if let Some(ty) = builtin(oid) {
            return ty;
        }
        let other = |name: &str| {
            Type::Other(Arc::new(OtherType {
                oid,
                name: name.to_owned(),
            }))
        };
        let Some(row) = self.rows.get(&oid) else {
            return other(&format!("type {oid}"));
        };
        if depth == 0 {
            return other(&row.name);
        }
        match &row.kind {
            Kind::Other => other(&row.name),
            Kind::Array { element } => {
                Type::Array(Arc::new(self.resolve_within(*element, depth - 1)))
            }
            Kind::Enum { labels } => Type::Enum(Arc::new(EnumType {
                oid,
                name: row.name.clone(),
                labels: labels.clone(),
            })),
            Kind::Domain { base, typmod } => {
                // A domain over a domain: the modifier is the first one that is given on the way down.
                let (base, typmod) = match self.resolve_within(*base, depth - 1) {
                    Type::Domain(below) => {
                        let typmod = if *typmod == -1 { below.typmod } else { *typmod };
                        (below.base.clone(), typmod)
                    }
                    base => (base, *typmod),
                };
                Type::Domain(Arc::new(DomainType {
                    oid,
                    name: row.name.clone(),
                    base,
                    typmod,
                }))
            }
            Kind::Composite { fields } => Type::Record(Arc::new(RecordType {
                oid,
                fields: fields
                    .iter()
                    .map(|(name, ty)| (name.clone(), self.resolve_within(*ty, depth - 1)))
                    .collect(),
            })),
        }
    }
}

/// The types that readside computes with; their oids are the same in every server.
fn builtin(oid: u32) -> Option<Type> {
    Some(match oid {
        16 => Type::Bool,
        17 => Type::Bytea,
        19 => Type::Name,
        20 => Type::Int8,
        21 => Type::Int2,
        23 => Type::Int4,
        25 => Type::Text,
        26 => Type::Oid,
        114 => Type::Json,
        700 => Type::Float4,
        701 => Type::Float8,
        705 => Type::Unknown,
        1042 => Type::Bpchar,
        1043 => Type::Varchar,
        1082 => Type::Date,
        1083 => Type::Time,
        1114 => Type::Timestamp,
        1184 => Type::TimestampTz,
        1186 => Type::Interval,
        1700 => Type::Numeric,
        2249 => Type::Record(Arc::new(RecordType {
            oid: 2249,
            fields: Vec::new(),
        })),
        2950 => Type::Uuid,
        3802 => Type::Jsonb,
        _ => return None,
    })
}
