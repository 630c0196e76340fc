//! Random schemas: tables with keys of one or two columns, columns that refer to each other without saying so, small value domains.

use std::collections::BTreeMap;
use std::sync::Arc;

use readside_model::{Catalog, Column, RelationKind, ReplicaIdentity, Table, UniqueIndex};
use readside_pgtype::{DomainType, EnumType, Type};

use crate::dice::Dice;

const MOOD: u32 = 90_000;
const DOSE: u32 = 90_001;

/// What the types need before the tables.
pub(crate) const TYPES: &str =
    "CREATE TYPE mood AS ENUM ('sad', 'fine', 'great'); CREATE DOMAIN dose AS numeric;";

/// A column's type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Ty {
    Int,
    Long,
    Text,
    Number,
    Float,
    Bool,
    Time,
    /// `char(3)`
    Blank,
    Span,
    /// `int[]`
    List,
    /// An enum.
    Mood,
    /// A domain over numeric.
    Dose,
    /// `jsonb`, whose order depends on the database's collation.
    Json,
}

impl Ty {
    pub(crate) const ALL: [Ty; 13] = [
        Ty::Int,
        Ty::Long,
        Ty::Text,
        Ty::Number,
        Ty::Float,
        Ty::Bool,
        Ty::Time,
        Ty::Blank,
        Ty::Span,
        Ty::List,
        Ty::Mood,
        Ty::Dose,
        Ty::Json,
    ];

    /// Those that can be sorted by.
    pub(crate) const ORDERED: &'static [Ty] = Ty::ALL.split_last().unwrap().1;

    pub(crate) fn of_model(self) -> Type {
        match self {
            Ty::Int => Type::Int4,
            Ty::Long => Type::Int8,
            Ty::Text => Type::Text,
            Ty::Number => Type::Numeric,
            Ty::Float => Type::Float8,
            Ty::Bool => Type::Bool,
            Ty::Time => Type::Timestamp,
            Ty::Blank => Type::Bpchar,
            Ty::Span => Type::Interval,
            Ty::List => Type::Array(Arc::new(Type::Int4)),
            Ty::Mood => Type::Enum(Arc::new(EnumType {
                oid: MOOD,
                name: "mood".to_owned(),
                labels: ["sad", "fine", "great"].map(Arc::from).to_vec(),
            })),
            Ty::Dose => Type::Domain(Arc::new(DomainType {
                oid: DOSE,
                name: "dose".to_owned(),
                base: Type::Numeric,
                typmod: -1,
            })),
            Ty::Json => Type::Jsonb,
        }
    }

    pub(crate) fn sql(self) -> &'static str {
        match self {
            Ty::Int => "int",
            Ty::Long => "bigint",
            Ty::Text => "text",
            Ty::Number => "numeric",
            Ty::Float => "double precision",
            Ty::Bool => "boolean",
            Ty::Time => "timestamp",
            Ty::Blank => "char(3)",
            Ty::Span => "interval",
            Ty::List => "int[]",
            Ty::Mood => "mood",
            Ty::Dose => "dose",
            Ty::Json => "jsonb",
        }
    }

    /// `pg_type.oid`
    pub(crate) fn oid(self) -> u32 {
        self.of_model().oid()
    }

    pub(crate) fn typmod(self) -> i32 {
        if self == Ty::Blank { 3 + 4 } else { -1 }
    }

    /// A value's text, from few; `plain` leaves out equal numbers that look different.
    pub(crate) fn value(self, dice: &mut Dice, plain: bool) -> &'static str {
        match self {
            Ty::Int | Ty::Long => dice.one(&["0", "1", "2", "3", "4", "5"]),
            Ty::Text => dice.one(&["", "a", "b", "B", "ä", "1", "2"]),
            Ty::Number | Ty::Dose if plain => dice.one(&["0", "1", "2.5", "-1.25", "3"]),
            Ty::Number | Ty::Dose => dice.one(&["0", "1", "1.0", "1.00", "2.5", "2.50", "-1", "3"]),
            Ty::Float if plain => dice.one(&["0", "1.5", "2.25", "-3"]),
            Ty::Float => dice.one(&["0", "-0", "0.1", "1e+300", "-1e+300", "NaN", "3"]),
            Ty::Bool => dice.one(&["t", "f"]),
            Ty::Time => dice.one(&[
                "2024-01-01 00:00:00",
                "2024-01-01 10:30:00",
                "2024-02-29 23:59:59.5",
                "2025-12-31 12:00:00",
            ]),
            Ty::Blank => dice.one(&["   ", "a  ", "ab ", "abc", "B  "]),
            Ty::Span if plain => dice.one(&["00:00:00", "1 day", "-02:30:00", "1 mon 03:00:00"]),
            Ty::Span => dice.one(&["00:00:00", "1 day", "24:00:00", "30 days", "1 mon"]),
            Ty::List => dice.one(&["{}", "{1}", "{1,2}", "{2,NULL}", "{NULL}"]),
            Ty::Mood => dice.one(&["sad", "fine", "great"]),
            Ty::Json if plain => dice.one(&["null", "1", "\"a\"", "[1, 2]", "{\"a\": 1}", "{}"]),
            Ty::Json => dice.one(&[
                "null",
                "1",
                "1.0",
                "[1.00, \"x\"]",
                "{\"a\": 1.0}",
                "{\"a\": 1}",
            ]),
        }
    }
}

/// A column.
#[derive(Debug, Clone)]
pub(crate) struct ColumnSpec {
    pub(crate) name: String,
    pub(crate) ty: Ty,
    pub(crate) not_null: bool,
}

/// A table; the first `key` columns are its primary key.
#[derive(Debug, Clone)]
pub(crate) struct TableSpec {
    pub(crate) oid: u32,
    pub(crate) name: String,
    pub(crate) columns: Vec<ColumnSpec>,
    pub(crate) key: usize,
    /// A further unique column, where NULLs are distinct.
    pub(crate) unique: Option<usize>,
}

/// Some tables.
#[derive(Debug, Clone)]
pub(crate) struct Schema {
    /// Without equal numbers that look different, since which of them Postgres shows is undetermined.
    pub(crate) plain: bool,
    pub(crate) tables: Vec<TableSpec>,
}

impl Schema {
    /// Three to five tables.
    pub(crate) fn random(dice: &mut Dice, plain: bool) -> Schema {
        let count = dice.range(3, 5);
        let mut tables = Vec::new();
        for t in 0..count {
            let mut columns = Vec::new();
            let key = if dice.one_in(3) { 2 } else { 1 };
            for k in 0..key {
                let ty = dice.weighted(&[
                    (6, Ty::Int),
                    (2, Ty::Long),
                    (2, Ty::Text),
                    (1, Ty::Number),
                    (1, Ty::Blank),
                    (1, Ty::Span),
                    (1, Ty::Mood),
                ]);
                columns.push(ColumnSpec {
                    name: format!("k{k}"),
                    ty,
                    not_null: true,
                });
            }
            for (c, name) in ["a", "b", "c", "d", "e", "f"]
                .iter()
                .enumerate()
                .take(dice.range(3, 6))
            {
                let ty = match c {
                    0 | 1 => dice.weighted(&[(5, Ty::Int), (1, Ty::Long), (2, Ty::Text)]),
                    _ => *dice.pick(&Ty::ALL),
                };
                columns.push(ColumnSpec {
                    name: (*name).to_owned(),
                    ty,
                    not_null: dice.one_in(4),
                });
            }
            let unique = dice.one_in(3).then_some(key);
            let oid = 100 + u32::try_from(t).unwrap();
            tables.push(TableSpec {
                oid,
                name: format!("t{t}"),
                columns,
                key,
                unique,
            });
        }
        Schema { plain, tables }
    }

    /// As the compiler sees it.
    pub(crate) fn catalog(&self) -> Catalog {
        let tables: BTreeMap<u32, Table> = self.tables.iter().map(|t| (t.oid, t.table())).collect();
        Catalog {
            server_version: 150_000,
            search_path: vec!["pg_catalog".to_owned(), "public".to_owned()],
            default_collation_is_bytewise: true,
            default_ctype_is_c: false,
            default_collation: "C.UTF-8".to_owned(),
            tables,
            types: [Ty::Mood, Ty::Dose]
                .map(|ty| (ty.oid(), ty.of_model()))
                .into(),
            ..Catalog::default()
        }
    }
}

impl TableSpec {
    fn table(&self) -> Table {
        let key: Vec<usize> = (0..self.key).collect();
        let index = |name: &str, columns: Vec<usize>, primary| UniqueIndex {
            name: format!("{}_{name}", self.name),
            columns,
            primary,
            nulls_not_distinct: false,
            immediate: true,
        };
        let mut unique = vec![index("pkey", key.clone(), true)];
        unique.extend(self.unique.map(|c| index("u", vec![c], false)));
        Table {
            oid: self.oid,
            schema: "public".to_owned(),
            name: self.name.clone(),
            kind: RelationKind::Table,
            columns: self
                .columns
                .iter()
                .enumerate()
                .map(|(i, c)| Column {
                    attnum: i16::try_from(i + 1).unwrap(),
                    name: c.name.clone(),
                    ty: c.ty.of_model(),
                    typmod: c.ty.typmod(),
                    not_null: c.not_null,
                    bytewise: true,
                    ctype_is_c: false,
                    deterministic: true,
                    collation: None,
                    generated: None,
                })
                .collect(),
            identity: key,
            replica_identity: ReplicaIdentity::PrimaryKey,
            unique,
            leaves: Vec::new(),
            foreign_keys: Vec::new(),
            estimated_rows: -1,
            row_security: false,
        }
    }

    /// As Postgres makes it.
    pub(crate) fn ddl(&self) -> String {
        let mut parts: Vec<String> = self
            .columns
            .iter()
            .map(|c| {
                format!(
                    "{} {}{}",
                    c.name,
                    c.ty.sql(),
                    if c.not_null { " NOT NULL" } else { "" }
                )
            })
            .collect();
        let key: Vec<&str> = self.columns[..self.key]
            .iter()
            .map(|c| c.name.as_str())
            .collect();
        parts.push(format!("PRIMARY KEY ({})", key.join(", ")));
        parts.extend(
            self.unique
                .map(|c| format!("UNIQUE ({})", self.columns[c].name)),
        );
        format!("CREATE TABLE {} ({});", self.name, parts.join(", "))
    }
}
