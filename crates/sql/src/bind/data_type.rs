//! Type names.

use std::sync::Arc;

use readside_pgtype::Type;
use sqlparser::ast::{
    self, ArrayElemTypeDef, CharacterLength, DataType, ExactNumberInfo, TimezoneInfo,
};
use sqlparser::tokenizer::Span;

use super::Binder;
use super::from::identifiers;
use crate::refusal::{Checked, Problem};
use crate::scope::fold;

impl Binder<'_> {
    /// A type name with its modifier.
    pub(super) fn data_type(&self, data_type: &DataType, span: Span) -> Checked<(Type, i32)> {
        let plain = |ty: Type| Ok((ty, -1));
        match data_type {
            DataType::Array(element) => {
                let element = match element {
                    ArrayElemTypeDef::SquareBracket(inner, _)
                    | ArrayElemTypeDef::Qualified(inner, _) => inner,
                    _ => return Err(unknown_type(data_type, span)),
                };
                let (ty, typmod) = self.data_type(element, span)?;
                Ok((
                    match ty {
                        // The number of dimensions is not part of the type.
                        Type::Array(_) => ty,
                        ty => Type::Array(Arc::new(ty)),
                    },
                    typmod,
                ))
            }
            DataType::Bool | DataType::Boolean => plain(Type::Bool),
            DataType::SmallInt(None) | DataType::Int2(None) => plain(Type::Int2),
            DataType::Int(None) | DataType::Integer(None) | DataType::Int4(None) => {
                plain(Type::Int4)
            }
            DataType::BigInt(None) | DataType::Int8(None) => plain(Type::Int8),
            DataType::Real | DataType::Float4 => plain(Type::Float4),
            DataType::Float8
            | DataType::DoublePrecision
            | DataType::Double(ExactNumberInfo::None)
            | DataType::Float(ExactNumberInfo::None) => plain(Type::Float8),
            DataType::Float(ExactNumberInfo::Precision(bits)) => match bits {
                1..=24 => plain(Type::Float4),
                25..=53 => plain(Type::Float8),
                _ => Err(unknown_type(data_type, span)),
            },
            DataType::Numeric(info) | DataType::Decimal(info) | DataType::Dec(info) => {
                Ok((Type::Numeric, numeric_modifier(info, data_type, span)?))
            }
            DataType::Text => plain(Type::Text),
            DataType::Varchar(length)
            | DataType::CharacterVarying(length)
            | DataType::CharVarying(length) => {
                Ok((Type::Varchar, length_modifier(*length, data_type, span)?))
            }
            DataType::Char(length) | DataType::Character(length) => Ok((
                Type::Bpchar,
                match length {
                    None => 5,
                    length => length_modifier(*length, data_type, span)?,
                },
            )),
            DataType::Uuid => plain(Type::Uuid),
            DataType::Bytea => plain(Type::Bytea),
            DataType::Date => plain(Type::Date),
            DataType::JSON => plain(Type::Json),
            DataType::JSONB => plain(Type::Jsonb),
            DataType::Time(precision, TimezoneInfo::None | TimezoneInfo::WithoutTimeZone) => {
                Ok((Type::Time, precision_modifier(*precision, data_type, span)?))
            }
            DataType::Timestamp(precision, zone) => Ok((
                match zone {
                    TimezoneInfo::None | TimezoneInfo::WithoutTimeZone => Type::Timestamp,
                    TimezoneInfo::WithTimeZone | TimezoneInfo::Tz => Type::TimestampTz,
                },
                precision_modifier(*precision, data_type, span)?,
            )),
            DataType::Interval {
                fields: None,
                precision: None,
            } => plain(Type::Interval),
            DataType::Custom(name, modifiers) => {
                let parts = identifiers(name)?;
                let (schema, name) = match parts.as_slice() {
                    [name] => (None, fold(name)),
                    [schema, name] => (Some(fold(schema)), fold(name)),
                    _ => return Err(unknown_type(data_type, span)),
                };
                if !modifiers.is_empty() {
                    return Err(unknown_type(data_type, span));
                }
                if schema.as_deref().is_none_or(|s| s == "pg_catalog")
                    && let Some(ty) = builtin(&name)
                {
                    return plain(ty);
                }
                self.user_type(schema.as_deref(), &name)
                    .map(|ty| (ty, -1))
                    .ok_or_else(|| unknown_type(data_type, span))
            }
            _ => Err(unknown_type(data_type, span)),
        }
    }

    /// An enum, domain or composite of the source.
    fn user_type(&self, schema: Option<&str>, name: &str) -> Option<Type> {
        self.arena
            .catalog
            .types
            .values()
            .find(|ty| {
                let shown = match ty {
                    Type::Enum(e) => &e.name,
                    Type::Domain(d) => &d.name,
                    Type::Other(o) => &o.name,
                    _ => return false,
                };
                let (own_schema, own_name) = split_name(shown);
                own_name == name
                    && match (schema, own_schema.as_deref()) {
                        (Some(wanted), Some(own)) => wanted == own,
                        // Shown without a schema: it is on the search path.
                        (Some(wanted), None) => {
                            self.arena.catalog.search_path.iter().any(|s| s == wanted)
                        }
                        (None, own) => own.is_none(),
                    }
            })
            .cloned()
    }
}

fn builtin(name: &str) -> Option<Type> {
    Some(match name {
        "bool" => Type::Bool,
        "int2" => Type::Int2,
        "int4" => Type::Int4,
        "int8" => Type::Int8,
        "oid" => Type::Oid,
        "float4" => Type::Float4,
        "float8" => Type::Float8,
        "numeric" => Type::Numeric,
        "text" => Type::Text,
        "varchar" => Type::Varchar,
        "bpchar" => Type::Bpchar,
        "name" => Type::Name,
        "bytea" => Type::Bytea,
        "date" => Type::Date,
        "time" => Type::Time,
        "timestamp" => Type::Timestamp,
        "timestamptz" => Type::TimestampTz,
        "interval" => Type::Interval,
        "uuid" => Type::Uuid,
        "json" => Type::Json,
        "jsonb" => Type::Jsonb,
        _ => return None,
    })
}

/// `schema.name` as `format_type` prints it, quotes undone.
fn split_name(shown: &str) -> (Option<String>, String) {
    let mut parts = vec![String::new()];
    let mut quoted = false;
    for c in shown.chars() {
        match c {
            '"' => quoted = !quoted,
            '.' if !quoted => parts.push(String::new()),
            c => {
                if let Some(last) = parts.last_mut() {
                    last.push(c);
                }
            }
        }
    }
    let name = parts.pop().unwrap_or_default();
    (parts.pop(), name)
}

fn unknown_type(data_type: &DataType, span: Span) -> Box<Problem> {
    Problem::hinted(
        span,
        format!("type {data_type} is not supported here"),
        "cast to one of Postgres' basic types, or show the column as it is",
    )
}

fn length_modifier(
    length: Option<CharacterLength>,
    data_type: &DataType,
    span: Span,
) -> Checked<i32> {
    match length {
        None => Ok(-1),
        Some(CharacterLength::IntegerLength { length, .. }) => i32::try_from(length)
            .ok()
            .filter(|n| (1..=10_485_760).contains(n))
            .map(|n| n + 4)
            .ok_or_else(|| unknown_type(data_type, span)),
        Some(CharacterLength::Max) => Err(unknown_type(data_type, span)),
    }
}

fn precision_modifier(precision: Option<u64>, data_type: &DataType, span: Span) -> Checked<i32> {
    match precision {
        None => Ok(-1),
        Some(p) => i32::try_from(p)
            .ok()
            .filter(|p| *p <= 6)
            .ok_or_else(|| unknown_type(data_type, span)),
    }
}

fn numeric_modifier(info: &ExactNumberInfo, data_type: &DataType, span: Span) -> Checked<i32> {
    let (precision, scale) = match info {
        ExactNumberInfo::None => return Ok(-1),
        ExactNumberInfo::Precision(p) => (*p, 0),
        ExactNumberInfo::PrecisionAndScale(p, s) => (*p, *s),
    };
    let precision = i32::try_from(precision)
        .ok()
        .filter(|p| (1..=1000).contains(p));
    let scale = i32::try_from(scale)
        .ok()
        .filter(|s| (-1000..=1000).contains(s));
    match (precision, scale) {
        (Some(p), Some(s)) => Ok(((p << 16) | (s & 0x7ff)) + 4),
        _ => Err(unknown_type(data_type, span)),
    }
}

/// The name by which a cast names its column: the last part of the type's name in the catalog.
pub(super) fn catalog_name(data_type: &DataType) -> String {
    match data_type {
        DataType::Array(
            ArrayElemTypeDef::SquareBracket(inner, _) | ArrayElemTypeDef::Qualified(inner, _),
        ) => catalog_name(inner),
        DataType::Bool | DataType::Boolean => "bool".to_owned(),
        DataType::SmallInt(_) | DataType::Int2(_) => "int2".to_owned(),
        DataType::Int(_) | DataType::Integer(_) | DataType::Int4(_) => "int4".to_owned(),
        DataType::BigInt(_) | DataType::Int8(_) => "int8".to_owned(),
        DataType::Real | DataType::Float4 => "float4".to_owned(),
        DataType::Float(ExactNumberInfo::Precision(1..=24)) => "float4".to_owned(),
        DataType::Float8 | DataType::DoublePrecision | DataType::Double(_) | DataType::Float(_) => {
            "float8".to_owned()
        }
        DataType::Numeric(_) | DataType::Decimal(_) | DataType::Dec(_) => "numeric".to_owned(),
        DataType::Varchar(_) | DataType::CharacterVarying(_) | DataType::CharVarying(_) => {
            "varchar".to_owned()
        }
        DataType::Char(_) | DataType::Character(_) => "bpchar".to_owned(),
        DataType::Timestamp(_, TimezoneInfo::WithTimeZone | TimezoneInfo::Tz) => {
            "timestamptz".to_owned()
        }
        DataType::Timestamp(..) => "timestamp".to_owned(),
        DataType::Time(..) => "time".to_owned(),
        DataType::Interval { .. } => "interval".to_owned(),
        DataType::Custom(name, _) => match name.0.last() {
            Some(ast::ObjectNamePart::Identifier(ident)) => fold(ident),
            _ => name.to_string(),
        },
        other => other.to_string().to_ascii_lowercase(),
    }
}
