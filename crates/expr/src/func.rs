//! The functions, operators and casts that are built: each variant is one meaning for fixed argument types.
//!
//! Always: a variant says all that evaluating it needs; its `Debug` form is stable and goes into plans' fingerprints.

use std::sync::Arc;

use readside_pgtype::Type;

use crate::CaseMapping;

/// One implementation of a function, operator or cast for fixed argument types.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Func {
    /// `= <> < <= > >=` on two values of one type.
    Compare {
        /// Which.
        op: Comparison,
        /// The type of both operands.
        ty: Type,
    },
    /// `IS DISTINCT FROM`: never NULL.
    Distinct {
        /// The type of both operands.
        ty: Type,
    },
    /// `left op ANY (array)`, `left op ALL (array)`.
    Quantified {
        /// The operator, applied to the left operand and an element.
        op: Box<Func>,
        /// ALL rather than ANY.
        all: bool,
    },
    /// `IS [NOT] TRUE/FALSE/UNKNOWN`: never NULL.
    Truth {
        /// TRUE, FALSE or (`None`) UNKNOWN.
        truth: Option<bool>,
        /// IS NOT.
        negated: bool,
    },
    /// Arithmetic on two or one operand; integers of mixed widths have the result's.
    Arithmetic {
        /// Which.
        op: Arithmetic,
        /// The type of the result.
        ty: Number,
    },
    /// A mathematical function.
    Math {
        /// Which.
        function: Math,
        /// The type of its arguments.
        ty: Number,
    },
    /// A cast, or the application of a type modifier (`from` equal to `to`).
    Cast {
        /// The argument's type, domains looked through.
        from: Type,
        /// The result's type, domains looked through.
        to: Type,
        /// The result's modifier, or -1.
        typmod: i32,
        /// `CAST` or `::`: too long text is cut rather than refused.
        explicit: bool,
    },
    /// `lower`, `upper`, `initcap`.
    Case {
        /// Which.
        to: CaseChange,
        /// How letters change.
        mapping: CaseMapping,
    },
    /// `LIKE`; the arguments are the text and the pattern, whose escape is a backslash.
    Like {
        /// ILIKE, by this mapping.
        insensitive: Option<CaseMapping>,
    },
    /// `~` and what belongs to it.
    Regex {
        /// Which.
        function: RegexFunction,
    },
    /// A function of text or bytes.
    Text(TextFunction),
    /// A function that shows values of any type.
    Show {
        /// Which.
        function: ShowFunction,
        /// The arguments' types.
        types: Arc<[Type]>,
    },
    /// A function of dates, times, intervals.
    Datetime(DatetimeFunction),
    /// A function of `json` or `jsonb`.
    Json {
        /// Which.
        function: JsonFunction,
        /// The arguments' types.
        types: Arc<[Type]>,
    },
    /// A function of arrays.
    Array {
        /// Which.
        function: ArrayFunction,
        /// The element type.
        element: Type,
    },
    /// `array[index]`
    Subscript,
    /// A field of a record, by its place.
    Field(usize),
    /// A ranking window function over its arguments: the partition, then the sort keys. It has no value of its own: a stage of the
    /// plan gives it one.
    Rank(Arc<RankOver>),
    /// The greatest (or least) argument that is not NULL.
    Extreme {
        /// GREATEST rather than LEAST.
        greatest: bool,
        /// The arguments' type.
        ty: Type,
    },
}

/// The window of a ranking function.
#[derive(Debug, Clone, PartialEq)]
pub struct RankOver {
    /// Which function.
    pub ranking: Ranking,
    /// The types of PARTITION BY.
    pub partition: Vec<Type>,
    /// ORDER BY: type, DESC, NULLS FIRST.
    pub order: Vec<(Type, bool, bool)>,
}

/// A ranking window function.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "each is named as in Postgres' manual")]
pub enum Ranking {
    RowNumber,
    Rank,
    DenseRank,
}

/// A comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Comparison {
    /// `=`
    Equal,
    /// `<>`
    NotEqual,
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterOrEqual,
}

/// An arithmetic operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Arithmetic {
    Add,
    Subtract,
    Multiply,
    Divide,
    Modulo,
    Negate,
    Plus,
    Absolute,
    And,
    Or,
    Xor,
    Not,
    ShiftLeft,
    ShiftRight,
}

/// The number types.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Number {
    Int2,
    Int4,
    Int8,
    Float4,
    Float8,
    Numeric,
}

/// `lower`, `upper`, `initcap`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names say it")]
pub enum CaseChange {
    Lower,
    Upper,
    Initcap,
}

/// An enum of functions, each with the names of the functions inside Postgres that it stands for.
macro_rules! functions {
    ($(#[$meta:meta])* $name:ident { $($variant:ident = $($internal:literal)|+,)* }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[expect(missing_docs, reason = "each is named as in Postgres' manual")]
        #[non_exhaustive]
        pub enum $name { $($variant,)* }

        impl $name {
            pub(crate) fn of(internal: &str) -> Option<$name> {
                match internal {
                    $($($internal)|+ => Some($name::$variant),)*
                    _ => None,
                }
            }
        }
    };
}

functions! {
    /// Mathematical functions.
    Math {
        Round = "dround" | "numeric_round" | "round_sql",
        Trunc = "dtrunc" | "numeric_trunc" | "trunc_sql",
        Ceil = "dceil" | "numeric_ceil",
        Floor = "dfloor" | "numeric_floor",
        Sign = "dsign" | "numeric_sign",
        Sqrt = "dsqrt" | "numeric_sqrt",
        Power = "dpow",
        Exp = "dexp",
        Ln = "dlog1",
        Log10 = "dlog10",
        Div = "numeric_div_trunc",
        Gcd = "int4gcd" | "int8gcd",
        Lcm = "int4lcm" | "int8lcm",
        Degrees = "degrees",
        Radians = "radians",
        Pi = "dpi",
        Scale = "numeric_scale",
        MinScale = "numeric_min_scale",
        TrimScale = "numeric_trim_scale",
        WidthBucket = "width_bucket_numeric" | "width_bucket_float8",
    }
}

functions! {
    /// Functions of text and bytes.
    TextFunction {
        Length = "textlen",
        LengthBpchar = "bpcharlen",
        OctetLength = "textoctetlen" | "bpcharoctetlen",
        OctetLengthBytea = "byteaoctetlen",
        BitLength = "bit_length_sql",
        Concat = "textcat",
        ConcatBytea = "byteacat",
        Substring = "text_substr" | "text_substr_no_len",
        SubstringBytea = "bytea_substr" | "bytea_substr_no_len",
        Left = "text_left",
        Right = "text_right",
        Replace = "replace_text",
        SplitPart = "split_part",
        Lpad = "lpad" | "lpad_sql",
        Rpad = "rpad" | "rpad_sql",
        Repeat = "repeat",
        Reverse = "text_reverse",
        Position = "textpos",
        PositionBytea = "byteapos",
        Btrim = "btrim" | "btrim1",
        Ltrim = "ltrim" | "ltrim1",
        Rtrim = "rtrim" | "rtrim1",
        Translate = "translate",
        Ascii = "ascii",
        Chr = "chr",
        StartsWith = "text_starts_with",
        Md5 = "md5_text",
        Md5Bytea = "md5_bytea",
        Encode = "binary_encode",
        Decode = "binary_decode",
        ToHex32 = "to_hex32",
        ToHex64 = "to_hex64",
        QuoteIdent = "quote_ident",
        QuoteLiteral = "quote_literal",
        Overlay = "textoverlay" | "textoverlay_no_len",
        LikeEscape = "like_escape",
        ToCharNumber = "numeric_to_char" | "int4_to_char" | "int8_to_char",
        StringToArray = "text_to_array" | "text_to_array_null",
    }
}

functions! {
    /// Regular expressions, of the subset that means the same everywhere.
    RegexFunction {
        Matches = "textregexeq" | "nameregexeq",
        MatchesAnyCase = "texticregexeq" | "nameicregexeq",
        NotMatches = "textregexne" | "nameregexne",
        NotMatchesAnyCase = "texticregexne" | "nameicregexne",
        Replace = "textregexreplace" | "textregexreplace_noopt",
    }
}

functions! {
    /// Functions that show values of any type.
    ShowFunction {
        Concat = "text_concat",
        ConcatWs = "text_concat_ws",
        Format = "text_format" | "text_format_nv",
        QuoteNullable = "quote_nullable",
    }
}

functions! {
    /// Functions of dates, times and intervals.
    DatetimeFunction {
        DateAddDays = "date_pli" | "integer_pl_date_sql",
        DateSubtractDays = "date_mii",
        DateSubtract = "date_mi",
        DateAddInterval = "date_pl_interval" | "interval_pl_date_sql",
        DateSubtractInterval = "date_mi_interval",
        DateAddTime = "datetime_timestamp" | "timedate_pl_sql",
        TimestampAddInterval = "timestamp_pl_interval" | "interval_pl_timestamp_sql" | "timestamptz_pl_interval" | "interval_pl_timestamptz_sql",
        TimestampSubtractInterval = "timestamp_mi_interval" | "timestamptz_mi_interval",
        TimestampSubtract = "timestamp_mi",
        TimeAddInterval = "time_pl_interval" | "interval_pl_time_sql",
        TimeSubtractInterval = "time_mi_interval",
        TimeSubtract = "time_mi_time",
        IntervalAdd = "interval_pl",
        IntervalSubtract = "interval_mi",
        IntervalNegate = "interval_um",
        IntervalMultiply = "interval_mul" | "mul_d_interval",
        IntervalDivide = "interval_div",
        Age = "timestamp_age" | "timestamptz_age",
        TruncTimestamp = "timestamp_trunc" | "timestamptz_trunc",
        TruncInZone = "timestamptz_trunc_zone",
        TruncInterval = "interval_trunc",
        BinTimestamp = "timestamp_bin" | "timestamptz_bin",
        Extract = "extract_date" | "extract_time" | "extract_timestamp" | "extract_timestamptz" | "extract_interval",
        DatePart = "date_part_sql" | "time_part" | "timestamp_part" | "timestamptz_part" | "interval_part",
        TimestampAtZone = "timestamp_zone" | "timestamp_izone",
        TimestamptzAtZone = "timestamptz_zone" | "timestamptz_izone",
        MakeDate = "make_date",
        MakeTime = "make_time",
        MakeTimestamp = "make_timestamp",
        MakeInterval = "make_interval",
        IsFinite = "date_finite" | "timestamp_finite" | "interval_finite",
        JustifyDays = "interval_justify_days",
        JustifyHours = "interval_justify_hours",
        JustifyInterval = "interval_justify_interval",
        ToTimestamp = "float8_timestamptz",
        ToChar = "timestamp_to_char" | "timestamptz_to_char" | "interval_to_char",
    }
}

functions! {
    /// Functions of `json` and `jsonb`.
    JsonFunction {
        Field = "jsonb_object_field" | "json_object_field",
        FieldText = "jsonb_object_field_text" | "json_object_field_text",
        Element = "jsonb_array_element" | "json_array_element",
        ElementText = "jsonb_array_element_text" | "json_array_element_text",
        Path = "jsonb_extract_path" | "json_extract_path",
        PathText = "jsonb_extract_path_text" | "json_extract_path_text",
        Contains = "jsonb_contains",
        Contained = "jsonb_contained",
        Exists = "jsonb_exists",
        ExistsAny = "jsonb_exists_any",
        ExistsAll = "jsonb_exists_all",
        Concat = "jsonb_concat",
        Delete = "jsonb_delete",
        DeleteIndex = "jsonb_delete_idx",
        DeleteKeys = "jsonb_delete_array",
        DeletePath = "jsonb_delete_path",
        BuildObject = "jsonb_build_object" | "jsonb_build_object_noargs",
        BuildArray = "jsonb_build_array" | "jsonb_build_array_noargs",
        JsonBuildObject = "json_build_object" | "json_build_object_noargs",
        JsonBuildArray = "json_build_array" | "json_build_array_noargs",
        ToJson = "to_json" | "row_to_json" | "array_to_json",
        ToJsonb = "to_jsonb",
        StripNulls = "jsonb_strip_nulls",
        Typeof = "jsonb_typeof" | "json_typeof",
        ArrayLength = "jsonb_array_length" | "json_array_length",
        Set = "jsonb_set",
        ObjectOfPairs = "jsonb_object",
        ObjectOfKeysAndValues = "jsonb_object_two_arg",
        JsonObjectOfPairs = "json_object",
        JsonObjectOfKeysAndValues = "json_object_two_arg",
    }
}

functions! {
    /// Functions of arrays.
    ArrayFunction {
        Append = "array_append",
        Prepend = "array_prepend",
        Concat = "array_cat",
        Length = "array_length",
        Cardinality = "array_cardinality",
        Ndims = "array_ndims",
        Lower = "array_lower",
        Upper = "array_upper",
        Position = "array_position",
        PositionFrom = "array_position_start",
        Positions = "array_positions",
        Remove = "array_remove",
        Replace = "array_replace",
        ToText = "array_to_text" | "array_to_text_null",
        Contains = "arraycontains",
        Contained = "arraycontained",
        Overlaps = "arrayoverlap",
        TrimArray = "trim_array",
    }
}

impl Number {
    pub(crate) fn of(ty: &Type) -> Option<Number> {
        Some(match ty.base() {
            Type::Int2 => Number::Int2,
            Type::Int4 => Number::Int4,
            Type::Int8 => Number::Int8,
            Type::Float4 => Number::Float4,
            Type::Float8 => Number::Float8,
            Type::Numeric => Number::Numeric,
            _ => return None,
        })
    }
}

impl Arithmetic {
    /// The operator by Postgres' function for it, such as `int48pl`.
    pub(crate) fn of(internal: &str) -> Option<Arithmetic> {
        if let Some(name) = internal.strip_prefix("numeric_") {
            return Some(match name {
                "add" => Arithmetic::Add,
                "sub" => Arithmetic::Subtract,
                "mul" => Arithmetic::Multiply,
                "div" => Arithmetic::Divide,
                "mod" => Arithmetic::Modulo,
                "uminus" => Arithmetic::Negate,
                "uplus" => Arithmetic::Plus,
                "abs" => Arithmetic::Absolute,
                _ => return None,
            });
        }
        let rest = internal
            .strip_prefix("int")
            .or_else(|| internal.strip_prefix("float"))?;
        let name = rest.trim_start_matches(|c: char| c.is_ascii_digit());
        if name.len() == rest.len() {
            return None;
        }
        Some(match name {
            "pl" => Arithmetic::Add,
            "mi" => Arithmetic::Subtract,
            "mul" => Arithmetic::Multiply,
            "div" => Arithmetic::Divide,
            "mod" => Arithmetic::Modulo,
            "um" => Arithmetic::Negate,
            "up" => Arithmetic::Plus,
            "abs" => Arithmetic::Absolute,
            "and" => Arithmetic::And,
            "or" => Arithmetic::Or,
            "xor" => Arithmetic::Xor,
            "not" => Arithmetic::Not,
            "shl" => Arithmetic::ShiftLeft,
            "shr" => Arithmetic::ShiftRight,
            _ => return None,
        })
    }
}

impl Comparison {
    /// The comparison by its operator's name.
    #[must_use]
    pub fn of(op: &str) -> Option<Comparison> {
        Some(match op {
            "=" => Comparison::Equal,
            "<>" | "!=" => Comparison::NotEqual,
            "<" => Comparison::Less,
            "<=" => Comparison::LessOrEqual,
            ">" => Comparison::Greater,
            ">=" => Comparison::GreaterOrEqual,
            _ => return None,
        })
    }

    /// Whether it needs an order, not only equality.
    #[must_use]
    pub fn is_ordering(self) -> bool {
        !matches!(self, Comparison::Equal | Comparison::NotEqual)
    }
}

impl Func {
    /// Whether a NULL argument makes the result NULL.
    #[must_use]
    pub fn is_strict(&self) -> bool {
        match self {
            Func::Distinct { .. }
            | Func::Quantified { .. }
            | Func::Truth { .. }
            | Func::Extreme { .. }
            | Func::Rank(_)
            | Func::Show { .. } => false,
            Func::Json { function, .. } => !matches!(
                function,
                JsonFunction::BuildObject
                    | JsonFunction::BuildArray
                    | JsonFunction::JsonBuildObject
                    | JsonFunction::JsonBuildArray
            ),
            Func::Array { function, .. } => !matches!(
                function,
                ArrayFunction::Append
                    | ArrayFunction::Prepend
                    | ArrayFunction::Concat
                    | ArrayFunction::Position
                    | ArrayFunction::PositionFrom
                    | ArrayFunction::Positions
                    | ArrayFunction::Remove
                    | ArrayFunction::Replace
                    | ArrayFunction::ToText
            ),
            Func::Text(TextFunction::StringToArray) => false,
            _ => true,
        }
    }

    /// Whether the result is never NULL when no argument is.
    pub(crate) fn keeps_not_null(&self) -> bool {
        match self {
            Func::Compare { .. }
            | Func::Distinct { .. }
            | Func::Truth { .. }
            | Func::Arithmetic { .. }
            | Func::Case { .. }
            | Func::Like { .. }
            | Func::Rank(_)
            | Func::Extreme { .. } => true,
            Func::Text(f) => *f != TextFunction::ToCharNumber,
            Func::Regex { .. } => true,
            // A NaN has no scale.
            Func::Math { function, .. } => !matches!(function, Math::Scale | Math::MinScale),
            Func::Cast { from, to, .. } => {
                // An infinite timestamp has no time of day.
                !(matches!(to, Type::Time) || matches!(from, Type::Json | Type::Jsonb))
            }
            Func::Show { function, .. } => !matches!(function, ShowFunction::ConcatWs),
            Func::Datetime(f) => !matches!(
                f,
                DatetimeFunction::Extract | DatetimeFunction::DatePart | DatetimeFunction::ToChar
            ),
            Func::Json { function, .. } => matches!(
                function,
                JsonFunction::Contains
                    | JsonFunction::Contained
                    | JsonFunction::Exists
                    | JsonFunction::ExistsAny
                    | JsonFunction::ExistsAll
                    | JsonFunction::Concat
                    | JsonFunction::BuildObject
                    | JsonFunction::BuildArray
                    | JsonFunction::JsonBuildObject
                    | JsonFunction::JsonBuildArray
                    | JsonFunction::ToJson
                    | JsonFunction::ToJsonb
                    | JsonFunction::Typeof
                    | JsonFunction::ArrayLength
            ),
            Func::Array { function, .. } => matches!(
                function,
                ArrayFunction::Append
                    | ArrayFunction::Prepend
                    | ArrayFunction::Concat
                    | ArrayFunction::Cardinality
                    | ArrayFunction::Contains
                    | ArrayFunction::Contained
                    | ArrayFunction::Overlaps
            ),
            Func::Quantified { .. } | Func::Subscript | Func::Field(_) => false,
        }
    }
}
