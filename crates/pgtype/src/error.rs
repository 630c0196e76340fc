//! Errors that Postgres' type functions raise.

/// An error as Postgres raises it: SQLSTATE and message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ValueError {
    /// Five characters, such as `22P02`.
    pub sqlstate: &'static str,
    /// Postgres' own text, such as `invalid input syntax for type integer: "x"`.
    pub message: String,
}

/// What is wrong with a text that should be a value.
pub type ParseError = ValueError;

impl ValueError {
    /// An error with this SQLSTATE and message.
    #[must_use]
    pub fn new(sqlstate: &'static str, message: impl Into<String>) -> ValueError {
        ValueError {
            sqlstate,
            message: message.into(),
        }
    }

    /// 22P02, `invalid input syntax for type …`.
    #[must_use]
    pub fn syntax(type_name: &str, text: &str) -> ValueError {
        ValueError::new(
            "22P02",
            format!("invalid input syntax for type {type_name}: \"{text}\""),
        )
    }

    /// 22003, `value "…" is out of range for type …`.
    #[must_use]
    pub fn value_out_of_range(type_name: &str, text: &str) -> ValueError {
        ValueError::new(
            "22003",
            format!("value \"{text}\" is out of range for type {type_name}"),
        )
    }

    /// 22003, `… out of range`.
    #[must_use]
    pub fn out_of_range(type_name: &str) -> ValueError {
        ValueError::new("22003", format!("{type_name} out of range"))
    }

    /// 22008, `… out of range`: date, timestamp, interval.
    #[must_use]
    pub fn datetime_out_of_range(type_name: &str) -> ValueError {
        ValueError::new("22008", format!("{type_name} out of range"))
    }

    /// 22012, `division by zero`.
    #[must_use]
    pub fn division_by_zero() -> ValueError {
        ValueError::new("22012", "division by zero")
    }

    /// 22003, `value overflows numeric format`.
    #[must_use]
    pub fn numeric_overflow() -> ValueError {
        ValueError::new("22003", "value overflows numeric format")
    }
}
