//! What readside knows of the source's catalog.

use std::collections::BTreeMap;

use readside_pgtype::Type;
use serde::{Deserialize, Serialize};

/// A snapshot of the parts of the source's catalog that views are compiled against.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Catalog {
    /// `server_version_num`
    pub server_version: u32,
    /// Schemas on the search path of the role that runs the views, in order (`current_schemas(true)`).
    pub search_path: Vec<SchemaName>,
    /// `pg_database.datcollate` / `datctype` / `datlocprovider`: whether text order is bytewise.
    pub default_collation_is_bytewise: bool,
    /// Whether `lower`/`upper` on non-ASCII text are known to be ASCII-only (`C`/`POSIX` ctype).
    pub default_ctype_is_c: bool,
    /// The default collation's name, for messages.
    pub default_collation: String,
    /// Tables and partitioned tables by oid (leaves are listed in their root's `leaves`, not here).
    pub tables: BTreeMap<u32, Table>,
    /// Views: `(schema, name)` → `pg_get_viewdef`, for messages and inlining.
    pub views: BTreeMap<(String, String), String>,
    /// User-defined types by oid: enums, domains, composites.
    pub types: BTreeMap<u32, Type>,
}

/// A schema's name.
pub type SchemaName = String;

/// A table, or a partitioned table seen as one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Table {
    /// `pg_class.oid`; of the root for a partitioned table.
    pub oid: u32,
    /// Schema.
    pub schema: String,
    /// Name.
    pub name: String,
    /// What it is.
    pub kind: RelationKind,
    /// Live columns by attnum order (generated ones included, dropped ones not).
    pub columns: Vec<Column>,
    /// Indices into `columns` of the identity by which the stream names rows (primary key or replica identity index).
    pub identity: Vec<usize>,
    /// `pg_class.relreplident` and what it amounts to.
    pub replica_identity: ReplicaIdentity,
    /// Valid, non-partial unique indexes on bare columns; the primary key first.
    pub unique: Vec<UniqueIndex>,
    /// Leaf partitions' oids; empty for a plain table.
    pub leaves: Vec<u32>,
    /// Foreign keys: own column indices → table oid and its column indices. For proposals and estimates only.
    pub foreign_keys: Vec<(Vec<usize>, u32, Vec<usize>)>,
    /// `pg_class.reltuples`, -1 when never analysed.
    pub estimated_rows: i64,
    /// Row-level security is enabled.
    pub row_security: bool,
}

/// The kinds of relations that a view may read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum RelationKind {
    /// An ordinary table.
    Table,
    /// A partitioned table.
    Partitioned,
    /// An ordinary table from which others inherit: a query on it reads their rows too. Views over it are refused.
    Parent,
}

/// How the stream identifies old rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ReplicaIdentity {
    /// DEFAULT with an immediate primary key.
    PrimaryKey,
    /// USING INDEX with a live, immediate, unique, not-null index.
    Index,
    /// FULL.
    Full,
    /// NOTHING, or DEFAULT without a usable primary key: publishing it would break the application.
    Missing,
}

/// A column.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Column {
    /// `attnum`
    pub attnum: i16,
    /// Name.
    pub name: String,
    /// Type (a domain stays a domain).
    pub ty: Type,
    /// `atttypmod`, -1 for none.
    pub typmod: i32,
    /// NOT NULL.
    pub not_null: bool,
    /// Whether order by this column is bytewise (its collation is C, POSIX, C.UTF-8 or the like; true for types without collation).
    pub bytewise: bool,
    /// Whether this column's ctype is plain C (case mapping is ASCII only).
    pub ctype_is_c: bool,
    /// Whether the collation is deterministic (equality is bytewise).
    pub deterministic: bool,
    /// The collation's name if it is not the database's default, for messages.
    pub collation: Option<String>,
    /// Stored generated: its expression as `pg_get_expr` prints it.
    pub generated: Option<Generated>,
}

/// A generated column.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Generated {
    /// The expression.
    pub expression: String,
    /// STORED, as against VIRTUAL (18).
    pub stored: bool,
}

/// A unique index on bare columns.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UniqueIndex {
    /// Its name.
    pub name: String,
    /// Indices into the table's `columns`.
    pub columns: Vec<usize>,
    /// The primary key.
    pub primary: bool,
    /// NULLS NOT DISTINCT.
    pub nulls_not_distinct: bool,
    /// Checked immediately.
    pub immediate: bool,
}

impl Table {
    /// `schema.name`, for messages.
    #[must_use]
    pub fn display_name(&self) -> String {
        format!("{}.{}", self.schema, self.name)
    }
}
