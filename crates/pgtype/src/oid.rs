//! Types by oid and name, and what operator resolution needs to know of them.

use std::sync::Arc;

use crate::{RecordType, Type};

/// oid, oid of the array type, name, name that `format_type` prints.
type Builtin = (Type, u32, u32, &'static str);

static BUILTINS: &[Builtin] = &[
    (Type::Bool, 16, 1000, "boolean"),
    (Type::Bytea, 17, 1001, "bytea"),
    (Type::Name, 19, 1003, "name"),
    (Type::Int8, 20, 1016, "bigint"),
    (Type::Int2, 21, 1005, "smallint"),
    (Type::Int4, 23, 1007, "integer"),
    (Type::Text, 25, 1009, "text"),
    (Type::Oid, 26, 1028, "oid"),
    (Type::Json, 114, 199, "json"),
    (Type::Float4, 700, 1021, "real"),
    (Type::Float8, 701, 1022, "double precision"),
    (Type::Unknown, 705, 0, "unknown"),
    (Type::Bpchar, 1042, 1014, "character"),
    (Type::Varchar, 1043, 1015, "character varying"),
    (Type::Date, 1082, 1182, "date"),
    (Type::Time, 1083, 1183, "time without time zone"),
    (Type::Timestamp, 1114, 1115, "timestamp without time zone"),
    (Type::TimestampTz, 1184, 1185, "timestamp with time zone"),
    (Type::Interval, 1186, 1187, "interval"),
    (Type::Numeric, 1700, 1231, "numeric"),
    (Type::Uuid, 2950, 2951, "uuid"),
    (Type::Jsonb, 3802, 3807, "jsonb"),
];

const RECORD: u32 = 2249;
const RECORD_ARRAY: u32 = 2287;

/// `pg_type.typcategory`, as far as these types have one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TypeCategory {
    /// `A`
    Array,
    /// `B`
    Boolean,
    /// `C`
    Composite,
    /// `D`
    DateTime,
    /// `E`
    Enum,
    /// `N`
    Numeric,
    /// `P`: an anonymous record
    Pseudo,
    /// `S`
    String,
    /// `T`
    Timespan,
    /// `U`
    UserDefined,
    /// `X`
    Unknown,
}

impl Type {
    /// A built-in type, or an array of one, by `pg_type.oid`.
    #[must_use]
    pub fn from_oid(oid: u32) -> Option<Type> {
        if oid == 0 {
            return None;
        }
        BUILTINS
            .iter()
            .find_map(|(ty, own, array, _)| {
                if *own == oid {
                    Some(ty.clone())
                } else if *array == oid {
                    Some(Type::Array(Arc::new(ty.clone())))
                } else {
                    None
                }
            })
            .or_else(|| {
                let record = || {
                    Type::Record(Arc::new(RecordType {
                        oid: RECORD,
                        fields: Vec::new(),
                    }))
                };
                match oid {
                    RECORD => Some(record()),
                    RECORD_ARRAY => Some(Type::Array(Arc::new(record()))),
                    _ => None,
                }
            })
    }

    /// `pg_type.oid`; 0 for an array of a type that is not built in, whose oid is not kept.
    #[must_use]
    pub fn oid(&self) -> u32 {
        let builtin = |ty: &Type| BUILTINS.iter().find(|(t, ..)| t == ty);
        match self {
            Type::Enum(e) => e.oid,
            Type::Domain(d) => d.oid,
            Type::Record(r) => r.oid,
            Type::Other(o) => o.oid,
            Type::Array(element) => match &**element {
                Type::Record(r) if r.oid == RECORD => RECORD_ARRAY,
                element => builtin(element).map_or(0, |(_, _, array, _)| *array),
            },
            ty => builtin(ty).map_or(0, |(_, oid, ..)| *oid),
        }
    }

    /// As `format_type(oid, NULL)` prints it.
    #[must_use]
    pub fn name(&self) -> String {
        match self {
            Type::Enum(e) => e.name.clone(),
            Type::Domain(d) => d.name.clone(),
            Type::Other(o) => o.name.clone(),
            Type::Record(_) => "record".to_owned(),
            Type::Array(element) => format!("{}[]", element.name()),
            ty => BUILTINS
                .iter()
                .find(|(t, ..)| t == ty)
                .map_or_else(String::new, |(.., name)| (*name).to_owned()),
        }
    }

    /// The type's category.
    #[must_use]
    pub fn category(&self) -> TypeCategory {
        match self.base() {
            Type::Bool => TypeCategory::Boolean,
            Type::Int2
            | Type::Int4
            | Type::Int8
            | Type::Oid
            | Type::Float4
            | Type::Float8
            | Type::Numeric => TypeCategory::Numeric,
            Type::Text | Type::Varchar | Type::Bpchar | Type::Name => TypeCategory::String,
            Type::Date | Type::Time | Type::Timestamp | Type::TimestampTz => TypeCategory::DateTime,
            Type::Interval => TypeCategory::Timespan,
            Type::Enum(_) => TypeCategory::Enum,
            Type::Array(_) => TypeCategory::Array,
            Type::Record(r) if r.oid == RECORD => TypeCategory::Pseudo,
            Type::Record(_) => TypeCategory::Composite,
            Type::Unknown => TypeCategory::Unknown,
            _ => TypeCategory::UserDefined,
        }
    }

    /// Whether this is its category's preferred type.
    #[must_use]
    pub fn is_preferred(&self) -> bool {
        matches!(
            self,
            Type::Bool | Type::Oid | Type::Float8 | Type::Text | Type::TimestampTz | Type::Interval
        )
    }

    /// Whether the type has a btree order (and so equality) that readside knows.
    #[must_use]
    pub fn is_comparable(&self) -> bool {
        match self.base() {
            Type::Json | Type::Other(_) => false,
            Type::Array(element) => element.is_comparable(),
            Type::Record(record) => record.fields.iter().all(|(_, t)| t.is_comparable()),
            _ => true,
        }
    }

    /// Whether the order and the case of its values depend on a collation.
    #[must_use]
    pub fn has_collation(&self) -> bool {
        match self.base() {
            Type::Text | Type::Varchar | Type::Bpchar | Type::Name | Type::Unknown => true,
            Type::Array(element) => element.has_collation(),
            _ => false,
        }
    }
}

/// As `format_type(oid, typmod)` prints it.
#[must_use]
pub fn format_type(ty: &Type, typmod: i32) -> String {
    match ty {
        Type::Array(element) => return format!("{}[]", format_type(element, typmod)),
        Type::Bpchar if typmod < 0 => return "bpchar".to_owned(),
        _ if typmod < 0 => return ty.name(),
        _ => {}
    }
    match ty {
        Type::Bpchar | Type::Varchar => format!("{}({})", ty.name(), typmod - 4),
        Type::Numeric => match crate::numeric_typmod(typmod) {
            Some((precision, scale)) => format!("numeric({precision},{scale})"),
            None => ty.name(),
        },
        Type::Time => format!("time({typmod}) without time zone"),
        Type::Timestamp => format!("timestamp({typmod}) without time zone"),
        Type::TimestampTz => format!("timestamp({typmod}) with time zone"),
        Type::Interval => {
            let fields = match (typmod >> 16) & 0x7FFF {
                4 => " year",
                2 => " month",
                8 => " day",
                1024 => " hour",
                2048 => " minute",
                4096 => " second",
                6 => " year to month",
                1032 => " day to hour",
                3080 => " day to minute",
                7176 => " day to second",
                3072 => " hour to minute",
                7168 => " hour to second",
                6144 => " minute to second",
                _ => "",
            };
            match typmod & 0xFFFF {
                0xFFFF => format!("interval{fields}"),
                precision => format!("interval{fields}({precision})"),
            }
        }
        _ => ty.name(),
    }
}
