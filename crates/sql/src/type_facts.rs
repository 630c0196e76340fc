//! What can be grouped by and sorted by, and what equality leaves open.

use readside_expr::{Collation, Derivation, Typed};
use readside_model::Catalog;
use readside_pgtype::Type;
use sqlparser::tokenizer::Span;

use crate::refusal::{Checked, Problem};

/// Whether the type has a collation.
pub(crate) fn is_text(ty: &Type) -> bool {
    match ty.base() {
        Type::Text | Type::Varchar | Type::Bpchar | Type::Unknown => true,
        Type::Array(element) => is_text(element),
        _ => false,
    }
}

/// The collation of what has none of its own: the database's.
pub(crate) fn default_collation(catalog: &Catalog) -> Collation {
    Collation {
        bytewise: catalog.default_collation_is_bytewise,
        ctype_c: catalog.default_ctype_is_c,
        deterministic: true,
        derivation: Derivation::Implicit,
        name: catalog.default_collation.clone(),
        is_default: true,
    }
}

/// Whether two equal values of the type are the same value, so that one may be shown for the other.
pub(crate) fn equality_is_identity(ty: &Type) -> bool {
    match ty.base() {
        Type::Bool
        | Type::Int2
        | Type::Int4
        | Type::Int8
        | Type::Oid
        | Type::Text
        | Type::Varchar
        | Type::Name
        | Type::Bytea
        | Type::Date
        | Type::Time
        | Type::Timestamp
        | Type::TimestampTz
        | Type::Uuid
        | Type::Enum(_) => true,
        Type::Array(element) => equality_is_identity(element),
        _ => false,
    }
}

/// Refuses what Postgres can't group by, and what we can't.
pub(crate) fn groupable(typed: &Typed, span: Span) -> Checked<()> {
    if !has_equality(&typed.ty) {
        return Err(match typed.ty.base() {
            Type::Json => Problem::hinted(
                span,
                "could not identify an equality operator for type json",
                "cast it to jsonb",
            ),
            Type::Other(_) => Problem::hinted(
                span,
                format!(
                    "values of type {} can be shown, but not grouped or compared",
                    name(&typed.ty)
                ),
                "cast it to text",
            ),
            _ => Problem::at(
                span,
                format!(
                    "could not identify an equality operator for type {}",
                    name(&typed.ty)
                ),
            ),
        });
    }
    if is_text(&typed.ty) && !typed.collation.deterministic {
        return Err(Problem::hinted(
            span,
            format!(
                "the collation \"{}\" treats different texts as equal, which is not supported",
                typed.collation.name
            ),
            "add COLLATE \"C\"",
        ));
    }
    Ok(())
}

/// Refuses what has no order, or an order that we can't follow.
pub(crate) fn sortable(typed: &Typed, span: Span) -> Checked<()> {
    if !has_equality(&typed.ty) {
        return Err(Problem::at(
            span,
            format!(
                "could not identify an ordering operator for type {}",
                name(&typed.ty)
            ),
        ));
    }
    if !is_text(&typed.ty) || typed.collation.bytewise {
        return Ok(());
    }
    if typed.collation.derivation == Derivation::None && typed.expr.columns().is_empty() {
        return Ok(());
    }
    Err(Problem::hinted(
        span,
        format!(
            "text is sorted by the collation \"{}\" here, whose order readside cannot follow",
            typed.collation.name
        ),
        "add COLLATE \"C\" to the expression",
    ))
}

fn has_equality(ty: &Type) -> bool {
    match ty.base() {
        Type::Json | Type::Other(_) => false,
        Type::Array(element) => has_equality(element),
        Type::Record(record) => record.fields.iter().all(|(_, ty)| has_equality(ty)),
        _ => true,
    }
}

/// A type as Postgres' messages print it.
pub(crate) fn name(ty: &Type) -> String {
    match ty {
        Type::Bool => "boolean".to_owned(),
        Type::Int2 => "smallint".to_owned(),
        Type::Int4 => "integer".to_owned(),
        Type::Int8 => "bigint".to_owned(),
        Type::Oid => "oid".to_owned(),
        Type::Float4 => "real".to_owned(),
        Type::Float8 => "double precision".to_owned(),
        Type::Numeric => "numeric".to_owned(),
        Type::Text => "text".to_owned(),
        Type::Varchar => "character varying".to_owned(),
        Type::Bpchar => "character".to_owned(),
        Type::Name => "name".to_owned(),
        Type::Bytea => "bytea".to_owned(),
        Type::Date => "date".to_owned(),
        Type::Time => "time without time zone".to_owned(),
        Type::Timestamp => "timestamp without time zone".to_owned(),
        Type::TimestampTz => "timestamp with time zone".to_owned(),
        Type::Interval => "interval".to_owned(),
        Type::Uuid => "uuid".to_owned(),
        Type::Json => "json".to_owned(),
        Type::Jsonb => "jsonb".to_owned(),
        Type::Enum(e) => e.name.clone(),
        Type::Domain(d) => d.name.clone(),
        Type::Array(element) => format!("{}[]", name(element)),
        Type::Record(_) => "record".to_owned(),
        Type::Other(o) => o.name.clone(),
        _ => "unknown".to_owned(),
    }
}
