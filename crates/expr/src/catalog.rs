//! Postgres' own operators, functions, casts and types: what overload resolution decides over.
//!
//! In: the tables beside this module, written by `catalog/generate.sql` from a PostgreSQL 15.
//! Out: candidates by name, casts by pair of types, categories.
//!
//! Always: complete for every name in it, so that an overload is never chosen because a better one is missing.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use readside_pgtype::{OtherType, RecordType, Type};

/// A type's oid, as in `pg_type`.
pub(crate) type Oid = u32;

/// The built-in types that resolution treats by name.
pub(crate) mod oid {
    use super::Oid;
    pub(crate) const BOOL: Oid = 16;
    pub(crate) const BYTEA: Oid = 17;
    pub(crate) const NAME: Oid = 19;
    pub(crate) const INT8: Oid = 20;
    pub(crate) const INT2: Oid = 21;
    pub(crate) const INT4: Oid = 23;
    pub(crate) const TEXT: Oid = 25;
    pub(crate) const OID: Oid = 26;
    pub(crate) const JSON: Oid = 114;
    pub(crate) const FLOAT4: Oid = 700;
    pub(crate) const FLOAT8: Oid = 701;
    pub(crate) const UNKNOWN: Oid = 705;
    pub(crate) const BPCHAR: Oid = 1042;
    pub(crate) const VARCHAR: Oid = 1043;
    pub(crate) const DATE: Oid = 1082;
    pub(crate) const TIME: Oid = 1083;
    pub(crate) const TIMESTAMP: Oid = 1114;
    pub(crate) const TIMESTAMPTZ: Oid = 1184;
    pub(crate) const INTERVAL: Oid = 1186;
    pub(crate) const NUMERIC: Oid = 1700;
    pub(crate) const RECORD: Oid = 2249;
    pub(crate) const ANY: Oid = 2276;
    pub(crate) const ANYARRAY: Oid = 2277;
    pub(crate) const ANYELEMENT: Oid = 2283;
    pub(crate) const ANYNONARRAY: Oid = 2776;
    pub(crate) const UUID: Oid = 2950;
    pub(crate) const ANYENUM: Oid = 3500;
    pub(crate) const JSONB: Oid = 3802;
    pub(crate) const ANYRANGE: Oid = 3831;
    pub(crate) const ANYMULTIRANGE: Oid = 4537;
    pub(crate) const ANYCOMPATIBLE: Oid = 5077;
    pub(crate) const ANYCOMPATIBLEARRAY: Oid = 5078;
    pub(crate) const ANYCOMPATIBLENONARRAY: Oid = 5079;
    pub(crate) const ANYCOMPATIBLERANGE: Oid = 5080;
    pub(crate) const ANYCOMPATIBLEMULTIRANGE: Oid = 4538;
}

/// What `pg_type` says of a type.
#[derive(Debug)]
pub(crate) struct TypeRow {
    pub(crate) name: &'static str,
    pub(crate) category: char,
    pub(crate) preferred: bool,
    pub(crate) element: Option<Oid>,
}

/// An operator or function with its argument types.
#[derive(Debug, Clone)]
pub(crate) struct Signature {
    /// Argument types; one for a prefix operator.
    pub(crate) args: Vec<Oid>,
    pub(crate) defaults: usize,
    /// The element type of a VARIADIC last argument.
    pub(crate) variadic: Option<Oid>,
    pub(crate) result: Oid,
    /// `i`, `s` or `v`.
    pub(crate) volatility: char,
    pub(crate) returns_set: bool,
    /// The function inside Postgres that implements it: the stable name of its meaning.
    pub(crate) function: &'static str,
}

/// A row of `pg_cast`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CastRow {
    /// `i`, `a` or `e`.
    pub(crate) context: char,
    /// `f` by a function, `b` none needed, `i` by way of text.
    pub(crate) method: char,
}

/// The tables, parsed.
#[derive(Debug, Default)]
pub(crate) struct Catalog {
    types: HashMap<Oid, TypeRow>,
    by_name: HashMap<&'static str, Oid>,
    array_of: HashMap<Oid, Oid>,
    operators: HashMap<&'static str, Vec<Signature>>,
    functions: HashMap<&'static str, Vec<Signature>>,
    casts: HashMap<(Oid, Oid), CastRow>,
}

fn rows(text: &'static str) -> impl Iterator<Item = Vec<&'static str>> {
    text.lines().map(|line| line.split('\t').collect())
}

/// The one catalog.
pub(crate) fn catalog() -> &'static Catalog {
    static CATALOG: OnceLock<Catalog> = OnceLock::new();
    CATALOG.get_or_init(Catalog::parse)
}

impl Catalog {
    fn parse() -> Catalog {
        let mut c = Catalog::default();
        let type_rows: Vec<_> = rows(include_str!("catalog/types.tsv")).collect();
        for row in &type_rows {
            if let [oid, name, ..] = row[..] {
                c.by_name.insert(name, oid.parse().unwrap_or(0));
            }
        }
        for row in type_rows {
            if let [oid, name, category, preferred, element] = row[..] {
                let oid = oid.parse().unwrap_or(0);
                let element = c.by_name.get(element).copied();
                if let Some(element) = element {
                    c.array_of.insert(element, oid);
                }
                c.types.insert(
                    oid,
                    TypeRow {
                        name,
                        category: category.chars().next().unwrap_or('U'),
                        preferred: preferred == "t",
                        element,
                    },
                );
            }
        }
        for row in rows(include_str!("catalog/operators.tsv")) {
            if let [name, left, right, result, function] = row[..] {
                let mut args = Vec::with_capacity(2);
                if left != "-" {
                    args.push(c.named(left));
                }
                args.push(c.named(right));
                let signature = Signature {
                    args,
                    defaults: 0,
                    variadic: None,
                    result: c.named(result),
                    volatility: 'i',
                    returns_set: false,
                    function,
                };
                c.operators.entry(name).or_default().push(signature);
            }
        }
        for row in rows(include_str!("catalog/functions.tsv")) {
            if let [
                name,
                args,
                defaults,
                variadic,
                result,
                volatility,
                _strict,
                set,
                function,
            ] = row[..]
            {
                let signature = Signature {
                    args: if args == "-" {
                        Vec::new()
                    } else {
                        args.split(',').map(|a| c.named(a)).collect()
                    },
                    defaults: defaults.parse().unwrap_or(0),
                    variadic: (variadic != "-").then(|| c.named(variadic)),
                    result: c.named(result),
                    volatility: volatility.chars().next().unwrap_or('v'),
                    returns_set: set == "t",
                    function,
                };
                c.functions.entry(name).or_default().push(signature);
            }
        }
        for row in rows(include_str!("catalog/casts.tsv")) {
            if let [source, target, context, method, _function] = row[..] {
                let key = (c.named(source), c.named(target));
                let context = context.chars().next().unwrap_or('e');
                let method = method.chars().next().unwrap_or('f');
                c.casts.insert(key, CastRow { context, method });
            }
        }
        c
    }

    /// A type's oid by its `typname`; 0 for one that isn't listed.
    fn named(&self, name: &str) -> Oid {
        self.by_name.get(name).copied().unwrap_or(0)
    }

    /// The type that a name stands for where a function call has the form of a cast.
    pub(crate) fn type_by_name(&self, name: &str) -> Option<Type> {
        match self.type_of(self.named(name)) {
            Type::Other(_) | Type::Unknown | Type::Record(_) | Type::Array(_) => None,
            t => Some(t),
        }
    }

    pub(crate) fn type_row(&self, oid: Oid) -> Option<&TypeRow> {
        self.types.get(&oid)
    }

    pub(crate) fn operators(&self, name: &str) -> &[Signature] {
        self.operators.get(name).map_or(&[], Vec::as_slice)
    }

    pub(crate) fn functions(&self, name: &str) -> &[Signature] {
        self.functions.get(name).map_or(&[], Vec::as_slice)
    }

    pub(crate) fn cast(&self, source: Oid, target: Oid) -> Option<CastRow> {
        self.casts.get(&(source, target)).copied()
    }

    /// The oid that stands for a type in resolution. Arrays of the source's own types have none (0).
    pub(crate) fn oid_of(&self, ty: &Type) -> Oid {
        match ty {
            Type::Bool => oid::BOOL,
            Type::Int2 => oid::INT2,
            Type::Int4 => oid::INT4,
            Type::Int8 => oid::INT8,
            Type::Oid => oid::OID,
            Type::Float4 => oid::FLOAT4,
            Type::Float8 => oid::FLOAT8,
            Type::Numeric => oid::NUMERIC,
            Type::Text => oid::TEXT,
            Type::Varchar => oid::VARCHAR,
            Type::Bpchar => oid::BPCHAR,
            Type::Name => oid::NAME,
            Type::Bytea => oid::BYTEA,
            Type::Date => oid::DATE,
            Type::Time => oid::TIME,
            Type::Timestamp => oid::TIMESTAMP,
            Type::TimestampTz => oid::TIMESTAMPTZ,
            Type::Interval => oid::INTERVAL,
            Type::Uuid => oid::UUID,
            Type::Json => oid::JSON,
            Type::Jsonb => oid::JSONB,
            Type::Enum(e) => e.oid,
            Type::Domain(d) => d.oid,
            Type::Record(r) => r.oid,
            Type::Other(o) => o.oid,
            Type::Array(element) => self
                .array_of
                .get(&self.oid_of(element))
                .copied()
                .unwrap_or(0),
            _ => oid::UNKNOWN,
        }
    }

    /// The type of a built-in oid.
    pub(crate) fn type_of(&self, oid: Oid) -> Type {
        match oid {
            oid::BOOL => Type::Bool,
            oid::INT2 => Type::Int2,
            oid::INT4 => Type::Int4,
            oid::INT8 => Type::Int8,
            oid::OID => Type::Oid,
            oid::FLOAT4 => Type::Float4,
            oid::FLOAT8 => Type::Float8,
            oid::NUMERIC => Type::Numeric,
            oid::TEXT => Type::Text,
            oid::VARCHAR => Type::Varchar,
            oid::BPCHAR => Type::Bpchar,
            oid::NAME => Type::Name,
            oid::BYTEA => Type::Bytea,
            oid::DATE => Type::Date,
            oid::TIME => Type::Time,
            oid::TIMESTAMP => Type::Timestamp,
            oid::TIMESTAMPTZ => Type::TimestampTz,
            oid::INTERVAL => Type::Interval,
            oid::UUID => Type::Uuid,
            oid::JSON => Type::Json,
            oid::JSONB => Type::Jsonb,
            oid::UNKNOWN => Type::Unknown,
            oid::RECORD => Type::Record(Arc::new(RecordType {
                oid,
                fields: Vec::new(),
            })),
            _ => match self.type_row(oid) {
                Some(TypeRow {
                    element: Some(element),
                    ..
                }) => Type::Array(Arc::new(self.type_of(*element))),
                row => Type::Other(Arc::new(OtherType {
                    oid,
                    name: row.map_or_else(|| oid.to_string(), |r| r.name.to_owned()),
                })),
            },
        }
    }

    /// `typcategory` and `typispreferred`.
    pub(crate) fn category(&self, ty: &Type) -> (char, bool) {
        match ty {
            Type::Enum(_) => ('E', false),
            Type::Domain(d) => (self.category(&d.base).0, false),
            Type::Array(_) => ('A', false),
            Type::Record(r) if r.oid == oid::RECORD => ('P', false),
            Type::Record(_) => ('C', false),
            Type::Unknown => ('X', false),
            t => self.category_of(self.oid_of(t)),
        }
    }

    /// The same by oid.
    pub(crate) fn category_of(&self, oid: Oid) -> (char, bool) {
        self.type_row(oid)
            .map_or(('U', false), |r| (r.category, r.preferred))
    }
}

/// A type's name as messages show it.
pub(crate) fn type_name(ty: &Type) -> String {
    match ty {
        Type::Bool => "boolean".to_owned(),
        Type::Int2 => "smallint".to_owned(),
        Type::Int4 => "integer".to_owned(),
        Type::Int8 => "bigint".to_owned(),
        Type::Float4 => "real".to_owned(),
        Type::Float8 => "double precision".to_owned(),
        Type::Varchar => "character varying".to_owned(),
        Type::Bpchar => "character".to_owned(),
        Type::Time => "time without time zone".to_owned(),
        Type::Timestamp => "timestamp without time zone".to_owned(),
        Type::TimestampTz => "timestamp with time zone".to_owned(),
        Type::Enum(e) => e.name.clone(),
        Type::Domain(d) => d.name.clone(),
        Type::Other(o) => o.name.clone(),
        Type::Array(e) => format!("{}[]", type_name(e)),
        Type::Record(r) if r.oid == oid::RECORD => "record".to_owned(),
        Type::Unknown => "unknown".to_owned(),
        t => catalog()
            .type_row(catalog().oid_of(t))
            .map_or_else(|| "record".to_owned(), |r| r.name.to_owned()),
    }
}

/// Whether values of the type are compared under a collation.
pub(crate) fn is_collatable(ty: &Type) -> bool {
    match ty.base() {
        Type::Text | Type::Varchar | Type::Bpchar | Type::Name => true,
        Type::Array(e) => is_collatable(e),
        Type::Record(r) => r.fields.iter().any(|(_, t)| is_collatable(t)),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_signature_names_listed_types() {
        let c = catalog();
        for (name, list) in c.operators.iter().chain(&c.functions) {
            for s in list {
                assert!(
                    s.result != 0 && s.args.iter().all(|a| *a != 0),
                    "`{name}`: {s:?}"
                );
            }
        }
        assert!(c.operators("=").len() > 50);
        assert!(
            c.cast(oid::INT4, oid::NUMERIC)
                .is_some_and(|r| r.context == 'i')
        );
    }
}
