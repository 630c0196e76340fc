//! A view's table, and the SQL that it is made, written and read with.
//!
//! In: a view's target. Out: texts of SQL.
//!
//! Always: a value's image decides whether a row changes, not its type's equality (`1.0` and `1.00` differ); a key text in SQL
//! is what `encode_key_text` makes of the row.

use std::fmt::Write as _;
use std::sync::Arc;

use readside_pgtype::Type;
use readside_sink::{SinkError, ViewTarget};

/// The hidden column for a key that can't be a primary key.
pub(super) const HIDDEN_KEY: &str = "_key";
const NAME_BYTES_MAX: usize = 63;
/// Oids below are of types that every server has.
const FIRST_OWN_OID: u32 = 16_384;

/// A table.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Table {
    pub(super) schema: String,
    pub(super) name: String,
    pub(super) view: String,
    pub(super) columns: Vec<Column>,
    pub(super) identity: Identity,
}

/// A column: its name, its type as SQL, and what a key text makes of it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Column {
    pub(super) name: String,
    pub(super) sql_type: String,
    base: Type,
}

/// What tells rows apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Identity {
    /// These columns are the primary key, in the key's order.
    Columns(Vec<usize>),
    /// `_key` is, with the key text.
    Hidden,
}

impl Table {
    /// The table of a view.
    pub(super) fn new(schema: &str, target: &ViewTarget) -> Result<Table, SinkError> {
        let name = if target.location.is_empty() {
            target.view.clone()
        } else {
            target.location.clone()
        };
        let refuse = |message: String, hint: String| SinkError::Operator {
            message: format!("view `{}`: {message}", target.view),
            hint,
        };
        if name.len() > NAME_BYTES_MAX || name.starts_with("_readside_") {
            return Err(refuse(
                format!("`{name}` cannot be a table: it is too long or begins with `_readside_`"),
                "set `table` for this view to another name".to_owned(),
            ));
        }
        let columns: Vec<Column> = target
            .columns
            .iter()
            .map(|c| Column {
                name: c.name.clone(),
                sql_type: sql_type(&c.ty, c.typmod),
                base: c.ty.base().clone(),
            })
            .collect();
        let shown: Option<Vec<usize>> = target.key.iter().copied().collect();
        let identity = match shown {
            Some(key)
                if !target.key_nullable
                    && !key.is_empty()
                    && key.iter().all(|i| {
                        columns
                            .get(*i)
                            .is_some_and(|c| canonical("", &c.base).is_some())
                    }) =>
            {
                Identity::Columns(key)
            }
            _ => Identity::Hidden,
        };
        let system = ["tableoid", "xmin", "cmin", "xmax", "cmax", "ctid"];
        if let Some(column) = columns.iter().find(|c| {
            c.name.len() > NAME_BYTES_MAX
                || system.contains(&c.name.as_str())
                || (identity == Identity::Hidden && c.name == HIDDEN_KEY)
        }) {
            return Err(refuse(
                format!("a table cannot have a column `{}` of its own", column.name),
                "give the column another name with AS".to_owned(),
            ));
        }
        Ok(Table {
            schema: schema.to_owned(),
            name,
            view: target.view.clone(),
            columns,
            identity,
        })
    }

    /// `"schema"."name"`
    pub(super) fn path(&self) -> String {
        quoted(&[&self.schema, &self.name])
    }

    /// The columns with their types, as in CREATE TABLE.
    fn definition(&self) -> String {
        let mut parts = Vec::new();
        if self.identity == Identity::Hidden {
            parts.push(format!("{HIDDEN_KEY} text COLLATE \"C\" NOT NULL"));
        }
        if let Identity::Columns(key) = &self.identity {
            parts.extend(self.columns.iter().enumerate().map(|(i, c)| {
                let not_null = if key.contains(&i) { " NOT NULL" } else { "" };
                format!("{} {}{not_null}", quoted(&[&c.name]), c.sql_type)
            }));
        } else {
            parts.extend(
                self.columns
                    .iter()
                    .map(|c| format!("{} {}", quoted(&[&c.name]), c.sql_type)),
            );
        }
        parts.join(", ")
    }

    fn key_columns(&self) -> Vec<String> {
        match &self.identity {
            Identity::Hidden => vec![HIDDEN_KEY.to_owned()],
            Identity::Columns(key) => key
                .iter()
                .filter_map(|i| self.columns.get(*i))
                .map(|c| quoted(&[&c.name]))
                .collect(),
        }
    }

    pub(super) fn create(&self) -> String {
        format!(
            "CREATE TABLE {} ({}, PRIMARY KEY ({}))",
            self.path(),
            self.definition(),
            self.key_columns().join(", ")
        )
    }

    /// A temporary table of the same shape, to compare with what is there.
    pub(super) fn create_shape(&self) -> String {
        format!(
            "CREATE TEMPORARY TABLE pg_temp.readside_shape ({}, PRIMARY KEY ({})) ON COMMIT DROP",
            self.definition(),
            self.key_columns().join(", ")
        )
    }

    pub(super) fn stage(&self, target: usize) -> String {
        format!("pg_temp.readside_stage_{target}")
    }

    /// The staging table: columns have names of ours, so that none clashes.
    pub(super) fn create_stage(&self, target: usize) -> String {
        let mut parts = Vec::new();
        if self.identity == Identity::Hidden {
            parts.push("k text".to_owned());
        }
        parts.extend(
            self.columns
                .iter()
                .enumerate()
                .map(|(i, c)| format!("c{i} {}", c.sql_type)),
        );
        parts.push("gone boolean".to_owned());
        format!(
            "CREATE TEMPORARY TABLE IF NOT EXISTS {} ({}) ON COMMIT DELETE ROWS",
            self.stage(target),
            parts.join(", ")
        )
    }

    /// Staged names beside the table's.
    fn pairs(&self) -> Vec<(String, String)> {
        let hidden =
            (self.identity == Identity::Hidden).then(|| ("k".to_owned(), HIDDEN_KEY.to_owned()));
        hidden
            .into_iter()
            .chain(
                self.columns
                    .iter()
                    .enumerate()
                    .map(|(i, c)| (format!("c{i}"), quoted(&[&c.name]))),
            )
            .collect()
    }

    /// Takes the staged deletes out.
    pub(super) fn merge_deletes(&self, target: usize) -> String {
        let staged_key: Vec<String> = match &self.identity {
            Identity::Hidden => vec!["k".to_owned()],
            Identity::Columns(key) => key.iter().map(|i| format!("c{i}")).collect(),
        };
        let conditions: Vec<String> = self
            .key_columns()
            .iter()
            .zip(staged_key)
            .map(|(column, staged)| format!("t.{column} = s.{staged}"))
            .collect();
        format!(
            "DELETE FROM {} t USING {} s WHERE s.gone AND {}",
            self.path(),
            self.stage(target),
            conditions.join(" AND ")
        )
    }

    /// Puts the staged rows in; what is there already in the same form is left alone.
    pub(super) fn merge_rows(&self, target: usize) -> String {
        let pairs = self.pairs();
        let staged: Vec<&str> = pairs.iter().map(|(staged, _)| staged.as_str()).collect();
        let columns: Vec<&str> = pairs.iter().map(|(_, column)| column.as_str()).collect();
        let list = |prefix: &str| {
            let names: Vec<String> = columns.iter().map(|c| format!("{prefix}.{c}")).collect();
            names.join(", ")
        };
        let sets: Vec<String> = columns
            .iter()
            .map(|c| format!("{c} = EXCLUDED.{c}"))
            .collect();
        format!(
            "INSERT INTO {} AS t ({}) SELECT {} FROM {} WHERE NOT gone ON CONFLICT ({}) DO UPDATE SET {} \
             WHERE ROW({})::record OPERATOR(pg_catalog.*<>) ROW({})::record",
            self.path(),
            columns.join(", "),
            staged.join(", "),
            self.stage(target),
            self.key_columns().join(", "),
            sets.join(", "),
            list("t"),
            list("EXCLUDED"),
        )
    }

    /// The key text of a row.
    fn key_text(&self) -> String {
        let Identity::Columns(key) = &self.identity else {
            return HIDDEN_KEY.to_owned();
        };
        let parts: Vec<String> = key
            .iter()
            .filter_map(|i| self.columns.get(*i))
            .filter_map(|c| canonical(&quoted(&[&c.name]), &c.base))
            .map(|text| {
                format!("CASE WHEN {text} = '' THEN '%Z' ELSE replace(replace({text}, '%', '%25'), ':', '%3A') END")
            })
            .collect();
        let whole = parts.join(" || ':' || ");
        format!(
            "CASE WHEN octet_length({whole}) > 400 \
             THEN '%H' || encode(sha256(convert_to({whole}, 'UTF8')), 'hex') ELSE {whole} END"
        )
    }

    fn select(&self) -> String {
        let columns: Vec<String> = self.columns.iter().map(|c| quoted(&[&c.name])).collect();
        let mut list = self.key_text();
        for column in columns {
            let _ = write!(list, ", {column}");
        }
        format!("SELECT {list}")
    }

    /// What the cursor of a page is made of: the primary key's texts.
    pub(super) fn cursor_width(&self) -> usize {
        self.key_columns().len()
    }

    /// A page: the key text, the columns, and the cursor of each row.
    pub(super) fn page(&self, after: Option<&[String]>, limit: usize) -> String {
        let key = self.key_columns();
        let mut sql = self.select();
        for column in &key {
            let _ = write!(sql, ", {column}");
        }
        let _ = write!(sql, " FROM {}", self.path());
        if let Some(values) = after {
            let literals: Vec<String> = values
                .iter()
                .zip(self.key_types())
                .map(|(value, ty)| format!("{}::{ty}", literal(value)))
                .collect();
            let _ = write!(
                sql,
                " WHERE ({}) > ({})",
                key.join(", "),
                literals.join(", ")
            );
        }
        let _ = write!(sql, " ORDER BY {} LIMIT {limit}", key.join(", "));
        sql
    }

    fn key_types(&self) -> Vec<&str> {
        match &self.identity {
            Identity::Hidden => vec!["text"],
            Identity::Columns(key) => key
                .iter()
                .filter_map(|i| self.columns.get(*i))
                .map(|c| c.sql_type.as_str())
                .collect(),
        }
    }

    /// The rows of these key texts.
    pub(super) fn of_keys(&self, keys: &[Arc<str>]) -> String {
        let mut direct = Vec::new();
        let mut by_text = Vec::new();
        for key in keys {
            match self.decode(key) {
                Some(values) => {
                    let literals: Vec<String> = values
                        .iter()
                        .zip(self.key_types())
                        .map(|(value, ty)| format!("{}::{ty}", literal(value)))
                        .collect();
                    direct.push(format!("({})", literals.join(", ")));
                }
                None => by_text.push(literal(key)),
            }
        }
        let mut conditions = Vec::new();
        if !direct.is_empty() {
            conditions.push(format!(
                "({}) IN ({})",
                self.key_columns().join(", "),
                direct.join(", ")
            ));
        }
        if !by_text.is_empty() {
            conditions.push(format!("{} IN ({})", self.key_text(), by_text.join(", ")));
        }
        format!(
            "{} FROM {} WHERE {}",
            self.select(),
            self.path(),
            if conditions.is_empty() {
                "false".to_owned()
            } else {
                conditions.join(" OR ")
            }
        )
    }

    /// The key's values in a key text, unless it is a hash.
    fn decode(&self, key: &str) -> Option<Vec<String>> {
        let width = match &self.identity {
            Identity::Hidden => return Some(vec![key.to_owned()]),
            Identity::Columns(columns) => columns.len(),
        };
        if key.starts_with("%H") {
            return None;
        }
        let values: Vec<String> = key
            .split(':')
            .map(|piece| match piece {
                "%Z" => String::new(),
                piece => piece.replace("%3A", ":").replace("%25", "%"),
            })
            .collect();
        (values.len() == width).then_some(values)
    }
}

/// A key piece's canonical text, for the types that can be in a primary key.
fn canonical(column: &str, ty: &Type) -> Option<String> {
    match ty {
        Type::Bool
        | Type::Int2
        | Type::Int4
        | Type::Int8
        | Type::Oid
        | Type::Text
        | Type::Varchar
        | Type::Bpchar
        | Type::Name
        | Type::Bytea
        | Type::Date
        | Type::Time
        | Type::Timestamp
        | Type::TimestampTz
        | Type::Uuid
        | Type::Enum(_) => Some(format!("{column}::text")),
        Type::Numeric => Some(format!("trim_scale({column})::text")),
        Type::Float4 | Type::Float8 => Some(format!(
            "CASE WHEN {column} = 0 THEN '0' ELSE {column}::text END"
        )),
        _ => None,
    }
}

/// The type of a column for a type of the query.
fn sql_type(ty: &Type, typmod: i32) -> String {
    let with = |name: &str, modifier: Option<String>| match modifier {
        Some(modifier) => format!("{name}({modifier})"),
        None => name.to_owned(),
    };
    let length = || (typmod > 4).then(|| (typmod - 4).to_string());
    let precision = || (0..=6).contains(&typmod).then(|| typmod.to_string());
    let time = |name: &str, zone: &str| format!("{}{zone}", with(name, precision()));
    match ty {
        Type::Bool => "boolean".to_owned(),
        Type::Int2 => "smallint".to_owned(),
        Type::Int4 => "integer".to_owned(),
        Type::Int8 => "bigint".to_owned(),
        Type::Oid => "oid".to_owned(),
        Type::Float4 => "real".to_owned(),
        Type::Float8 => "double precision".to_owned(),
        Type::Numeric => with("numeric", numeric_modifier(typmod)),
        Type::Varchar => with("varchar", length()),
        Type::Bpchar => with("bpchar", length()),
        Type::Name => "name".to_owned(),
        Type::Bytea => "bytea".to_owned(),
        Type::Date => "date".to_owned(),
        Type::Time => time("time", " without time zone"),
        Type::Timestamp => time("timestamp", " without time zone"),
        Type::TimestampTz => time("timestamp", " with time zone"),
        Type::Interval => "interval".to_owned(),
        Type::Uuid => "uuid".to_owned(),
        Type::Json => "json".to_owned(),
        Type::Jsonb => "jsonb".to_owned(),
        Type::Domain(domain) => {
            let typmod = if typmod < 0 { domain.typmod } else { typmod };
            sql_type(&domain.base, typmod)
        }
        Type::Array(element) => format!("{}[]", sql_type(element, typmod)),
        // Names that mean an object of the source are other objects here.
        Type::Other(other)
            if other.oid < FIRST_OWN_OID
                && !other.name.starts_with("reg")
                && other.name != "aclitem" =>
        {
            other.name.clone()
        }
        _ => "text".to_owned(),
    }
}

fn numeric_modifier(typmod: i32) -> Option<String> {
    if typmod < 4 {
        return None;
    }
    let packed = typmod - 4;
    let precision = (packed >> 16) & 0xFFFF;
    let scale = ((packed & 0x7FF) ^ 1024) - 1024;
    // A scale outside 0..=precision is new in 15; the values need no modifier.
    (0..=precision)
        .contains(&scale)
        .then(|| format!("{precision},{scale}"))
}

/// Names, quoted and joined by a dot.
pub(super) fn quoted(names: &[&str]) -> String {
    let names: Vec<String> = names
        .iter()
        .map(|name| format!("\"{}\"", name.replace('"', "\"\"")))
        .collect();
    names.join(".")
}

/// A text as SQL, whatever `standard_conforming_strings` says.
pub(super) fn literal(text: &str) -> String {
    let quotes = text.replace('\'', "''");
    if text.contains('\\') {
        format!("E'{}'", quotes.replace('\\', "\\\\"))
    } else {
        format!("'{quotes}'")
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use readside_pgtype::{DomainType, EnumType, OtherType};

    use super::*;

    #[test]
    fn types_become_columns_of_the_query() {
        let enumeration = Type::Enum(Arc::new(EnumType {
            oid: 20_000,
            name: "mood".to_owned(),
            labels: Vec::new(),
        }));
        let domain = Type::Domain(Arc::new(DomainType {
            oid: 20_001,
            name: "short".to_owned(),
            base: Type::Varchar,
            typmod: 14,
        }));
        let other = |oid, name: &str| {
            Type::Other(Arc::new(OtherType {
                oid,
                name: name.to_owned(),
            }))
        };
        for (ty, typmod, expected) in [
            (Type::Numeric, ((10 << 16) | 2) + 4, "numeric(10,2)"),
            (Type::Numeric, -1, "numeric"),
            (Type::Varchar, 24, "varchar(20)"),
            (Type::Bpchar, -1, "bpchar"),
            (Type::TimestampTz, 3, "timestamp(3) with time zone"),
            (Type::Timestamp, -1, "timestamp without time zone"),
            (enumeration.clone(), -1, "text"),
            (Type::Array(Arc::new(enumeration)), -1, "text[]"),
            (domain, -1, "varchar(10)"),
            (other(869, "inet"), -1, "inet"),
            (other(2205, "regclass"), -1, "text"),
            (other(17_000, "hstore"), -1, "text"),
        ] {
            assert_eq!(sql_type(&ty, typmod), expected);
        }
    }
}
