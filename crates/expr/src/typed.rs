//! An expression with what the binder must know of it: type, modifier, collation, whether it can be NULL.

use readside_pgtype::{Type, Value, parse_input};

use crate::catalog::is_collatable;
use crate::{ColumnRef, Expr};

/// An expression and its static properties.
#[derive(Debug, Clone, PartialEq)]
pub struct Typed {
    /// What is evaluated.
    pub expr: Expr,
    /// Its type; [`Type::Unknown`] for an untyped literal or NULL.
    pub ty: Type,
    /// Its modifier, -1 for none.
    pub typmod: i32,
    /// The collation of a text type; [`Collation::none`] for other types and for literals.
    pub collation: Collation,
    /// Whether it is proven never to be NULL.
    pub not_null: bool,
}

/// How a collation came to an expression (manual, 24.2.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Derivation {
    /// Not collatable, or a literal, which takes the collation of whatever it meets.
    None,
    /// From a column.
    Implicit,
    /// From a COLLATE clause.
    Explicit,
    /// Two different implicit collations met: nothing that needs one may follow.
    Conflict,
}

/// What is known of a collation. Postgres' own order and case mapping can be followed only where this says so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Collation {
    /// Order is by bytes (`C`, `POSIX`, `C.UTF-8`).
    pub bytewise: bool,
    /// Case mapping is of ASCII letters only (`C`, `POSIX`).
    pub ctype_c: bool,
    /// Equality is of bytes.
    pub deterministic: bool,
    /// Where it came from.
    pub derivation: Derivation,
    /// For messages; also how `C.UTF-8` is recognised.
    pub name: String,
    /// Whether it is the database's default, which gives way to any other implicit one.
    pub is_default: bool,
}

/// How letters change case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CaseMapping {
    /// ASCII letters only.
    Ascii,
    /// Unicode's simple mapping, one character to one character.
    Unicode,
}

impl Collation {
    /// No collation: other types, and literals.
    #[must_use]
    pub fn none() -> Collation {
        Collation {
            bytewise: false,
            ctype_c: false,
            deterministic: true,
            derivation: Derivation::None,
            name: "default".to_owned(),
            is_default: true,
        }
    }

    /// `COLLATE "C"`, explicit.
    #[must_use]
    pub fn c() -> Collation {
        Collation {
            bytewise: true,
            ctype_c: true,
            deterministic: true,
            derivation: Derivation::Explicit,
            name: "C".to_owned(),
            is_default: false,
        }
    }

    /// A collation by its name as a COLLATE clause gives it, if it is one whose order is known.
    #[must_use]
    pub fn by_name(name: &str) -> Option<Collation> {
        match name {
            "C" | "POSIX" | "ucs_basic" => Some(Collation {
                name: name.to_owned(),
                ..Collation::c()
            }),
            "C.UTF-8" | "C.utf8" | "pg_c_utf8" => Some(Collation {
                ctype_c: false,
                name: name.to_owned(),
                ..Collation::c()
            }),
            _ => None,
        }
    }

    /// How `lower`, `upper`, `initcap` and ILIKE treat letters, where that can be known.
    ///
    /// `C` and `POSIX` map ASCII letters. `C.UTF-8` maps by Unicode's simple mapping: the C library's tables and Rust's were compared
    /// over all of Unicode; the few letters that differ are listed in `case.rs`.
    #[must_use]
    pub fn case_mapping(&self) -> Option<CaseMapping> {
        let utf8 = matches!(
            self.name.to_ascii_lowercase().as_str(),
            "c.utf-8" | "c.utf8" | "pg_c_utf8"
        );
        if self.derivation == Derivation::Conflict {
            None
        } else if self.ctype_c {
            Some(CaseMapping::Ascii)
        } else if self.bytewise && utf8 {
            Some(CaseMapping::Unicode)
        } else {
            None
        }
    }

    /// The collation of an expression over several collated arguments.
    ///
    /// # Errors
    /// Two different explicit collations.
    pub fn merge<'a>(all: impl IntoIterator<Item = &'a Collation>) -> Result<Collation, Refused> {
        let mut merged = Collation::none();
        for next in all {
            if next.derivation == Derivation::None {
                continue;
            }
            let same = merged.name == next.name && merged.bytewise == next.bytewise;
            match (merged.derivation, next.derivation) {
                (Derivation::Explicit, Derivation::Explicit) if !same => {
                    return Err(Refused::new(format!(
                        "collation mismatch between explicit collations \"{}\" and \"{}\"",
                        merged.name, next.name
                    )));
                }
                (Derivation::None, _) | (_, Derivation::Explicit) => merged = next.clone(),
                (Derivation::Explicit | Derivation::Conflict, _) => {}
                (Derivation::Implicit, Derivation::Conflict) => merged = next.clone(),
                (Derivation::Implicit, _) if same || next.is_default => {}
                (Derivation::Implicit, _) if merged.is_default => merged = next.clone(),
                (Derivation::Implicit, _) => {
                    merged.derivation = Derivation::Conflict;
                    merged.bytewise = false;
                    merged.ctype_c = false;
                }
            }
        }
        Ok(merged)
    }
}

/// Why an expression is ill-typed, or not supported.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Refused {
    /// The reason, in one sentence.
    pub message: String,
    /// What to write instead.
    pub hint: Option<String>,
}

impl Refused {
    /// A refusal without a hint.
    #[must_use]
    pub fn new(message: impl Into<String>) -> Refused {
        Refused {
            message: message.into(),
            hint: None,
        }
    }

    /// A refusal with a remedy.
    #[must_use]
    pub fn with_hint(message: impl Into<String>, hint: impl Into<String>) -> Refused {
        Refused {
            message: message.into(),
            hint: Some(hint.into()),
        }
    }
}

impl Typed {
    /// An expression of a type, without modifier or collation, that may be NULL.
    #[must_use]
    pub fn new(expr: Expr, ty: Type) -> Typed {
        Typed {
            expr,
            ty,
            typmod: -1,
            collation: Collation::none(),
            not_null: false,
        }
    }

    /// A constant.
    #[must_use]
    pub fn constant(value: Value, ty: Type) -> Typed {
        let not_null = !value.is_null();
        Typed {
            not_null,
            ..Typed::new(Expr::Const(value), ty)
        }
    }

    /// A string literal, whose type is unknown yet.
    #[must_use]
    pub fn literal(text: &str) -> Typed {
        Typed::constant(Value::text(text), Type::Unknown)
    }

    /// NULL, whose type is unknown yet.
    #[must_use]
    pub fn null() -> Typed {
        Typed::constant(Value::Null, Type::Unknown)
    }

    /// TRUE or FALSE.
    #[must_use]
    pub fn bool(b: bool) -> Typed {
        Typed::constant(Value::Bool(b), Type::Bool)
    }

    /// A number as the parser types it: `integer` if it fits, then `bigint`, else `numeric`.
    ///
    /// A minus sign directly before the number belongs to it (`-2147483648` is an `integer`); binders hand it in here.
    ///
    /// # Errors
    /// Text that is not a number.
    pub fn number(text: &str) -> Result<Typed, Refused> {
        let digits = text.strip_prefix('-').unwrap_or(text);
        if digits.bytes().all(|b| b.is_ascii_digit())
            && let Ok(n) = text.parse::<i64>()
        {
            let ty = if i32::try_from(n).is_ok() {
                Type::Int4
            } else {
                Type::Int8
            };
            return Ok(Typed::constant(Value::Int(n), ty));
        }
        let value = parse_input(&Type::Numeric, -1, text).map_err(|e| Refused::new(e.message))?;
        Ok(Typed::constant(value, Type::Numeric))
    }

    /// A column of an occurrence.
    #[must_use]
    pub fn column(
        column: ColumnRef,
        ty: Type,
        typmod: i32,
        collation: Collation,
        not_null: bool,
    ) -> Typed {
        Typed {
            expr: Expr::Column(column),
            ty,
            typmod,
            collation,
            not_null,
        }
    }

    /// The same, collated as the database by default if it is text without a collation of its own.
    ///
    /// The results of casts and functions of other types have no collation until they are given one: whoever knows the database
    /// calls this on each expression that it builds, so that `lower(id::text)` or `created_at::text < '2024'` is judged rightly.
    #[must_use]
    pub fn with_default_collation(self, default: &Collation) -> Typed {
        if self.collation.derivation == Derivation::None
            && (is_collatable(&self.ty) || self.ty == Type::Unknown)
        {
            Typed {
                collation: Collation {
                    derivation: Derivation::Implicit,
                    is_default: true,
                    ..default.clone()
                },
                ..self
            }
        } else {
            self
        }
    }

    /// An untyped literal as `text`, which is what it becomes where nothing else gives it a type.
    #[must_use]
    pub fn or_text(self) -> Typed {
        match self.ty {
            Type::Unknown => Typed {
                ty: Type::Text,
                ..self
            },
            _ => self,
        }
    }
}
