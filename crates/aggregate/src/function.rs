//! Which aggregate function a call means, and what it gives.

use std::sync::Arc;

use readside_pgtype::Type;

/// One aggregate function for fixed argument types.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum AggFunc {
    /// `count(*)`
    CountStar,
    /// `count(x)`
    Count,
    /// `sum(smallint)`, `sum(integer)`: a bigint
    SumInt,
    /// `sum(bigint)`: a numeric
    SumBigint,
    /// `sum(numeric)`
    SumNumeric,
    /// `sum(real)`
    SumFloat4,
    /// `sum(double precision)`
    SumFloat8,
    /// `sum(interval)`
    SumInterval,
    /// `avg` of an integer type: a numeric
    AvgInt,
    /// `avg(numeric)`
    AvgNumeric,
    /// `avg` of a float type: a double
    AvgFloat,
    /// `avg(interval)`
    AvgInterval,
    /// `min`
    Min,
    /// `max`
    Max,
    /// `bool_and`, `every`
    BoolAnd,
    /// `bool_or`
    BoolOr,
    /// `bit_and` of integers
    BitAnd,
    /// `bit_or` of integers
    BitOr,
    /// `bit_xor` of integers
    BitXor,
    /// The variance family over integers and numeric
    SpreadNumeric(Spread),
    /// The variance family over floats
    SpreadFloat(Spread),
    /// `string_agg(text, text)`
    StringAgg,
    /// `string_agg(bytea, bytea)`
    ByteaAgg,
    /// `array_agg` of anything but arrays
    ArrayAgg,
    /// `array_agg` of arrays: one more dimension
    ArrayAggArrays,
    /// `json_agg`
    JsonAgg,
    /// `jsonb_agg`
    JsonbAgg,
    /// `json_object_agg`
    JsonObjectAgg,
    /// `jsonb_object_agg`
    JsonbObjectAgg,
    /// `json_agg_strict`: without NULLs
    JsonAggStrict,
    /// `jsonb_agg_strict`: without NULLs
    JsonbAggStrict,
    /// `json_object_agg_strict`: without pairs whose value is NULL
    JsonObjectAggStrict,
    /// `jsonb_object_agg_strict`: without pairs whose value is NULL
    JsonbObjectAggStrict,
    /// `mode() WITHIN GROUP (ORDER BY x)`; arguments: x
    Mode,
    /// `percentile_disc(f) WITHIN GROUP (ORDER BY x)`; arguments: f, x
    PercentileDisc,
    /// `percentile_cont(f) WITHIN GROUP (ORDER BY x)` of doubles or intervals; arguments: f, x
    PercentileCont,
}

/// Which of the variance family.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Spread {
    /// `var_pop`
    PopulationVariance,
    /// `var_samp`, `variance`
    SampleVariance,
    /// `stddev_pop`
    PopulationDeviation,
    /// `stddev_samp`, `stddev`
    SampleDeviation,
}

impl Spread {
    /// Whether it divides by N - 1.
    pub(crate) fn is_sample(self) -> bool {
        matches!(self, Spread::SampleVariance | Spread::SampleDeviation)
    }

    /// Whether it is the square root.
    pub(crate) fn is_deviation(self) -> bool {
        matches!(self, Spread::PopulationDeviation | Spread::SampleDeviation)
    }
}

const ALL: &[(AggFunc, &str)] = &[
    (AggFunc::CountStar, "count(*)"),
    (AggFunc::Count, "count"),
    (AggFunc::SumInt, "sum(int)"),
    (AggFunc::SumBigint, "sum(bigint)"),
    (AggFunc::SumNumeric, "sum(numeric)"),
    (AggFunc::SumFloat4, "sum(real)"),
    (AggFunc::SumFloat8, "sum(double)"),
    (AggFunc::SumInterval, "sum(interval)"),
    (AggFunc::AvgInt, "avg(int)"),
    (AggFunc::AvgNumeric, "avg(numeric)"),
    (AggFunc::AvgFloat, "avg(double)"),
    (AggFunc::AvgInterval, "avg(interval)"),
    (AggFunc::Min, "min"),
    (AggFunc::Max, "max"),
    (AggFunc::BoolAnd, "bool_and"),
    (AggFunc::BoolOr, "bool_or"),
    (AggFunc::BitAnd, "bit_and"),
    (AggFunc::BitOr, "bit_or"),
    (AggFunc::BitXor, "bit_xor"),
    (
        AggFunc::SpreadNumeric(Spread::PopulationVariance),
        "var_pop(numeric)",
    ),
    (
        AggFunc::SpreadNumeric(Spread::SampleVariance),
        "var_samp(numeric)",
    ),
    (
        AggFunc::SpreadNumeric(Spread::PopulationDeviation),
        "stddev_pop(numeric)",
    ),
    (
        AggFunc::SpreadNumeric(Spread::SampleDeviation),
        "stddev_samp(numeric)",
    ),
    (
        AggFunc::SpreadFloat(Spread::PopulationVariance),
        "var_pop(double)",
    ),
    (
        AggFunc::SpreadFloat(Spread::SampleVariance),
        "var_samp(double)",
    ),
    (
        AggFunc::SpreadFloat(Spread::PopulationDeviation),
        "stddev_pop(double)",
    ),
    (
        AggFunc::SpreadFloat(Spread::SampleDeviation),
        "stddev_samp(double)",
    ),
    (AggFunc::StringAgg, "string_agg"),
    (AggFunc::ByteaAgg, "string_agg(bytea)"),
    (AggFunc::ArrayAgg, "array_agg"),
    (AggFunc::ArrayAggArrays, "array_agg(array)"),
    (AggFunc::JsonAgg, "json_agg"),
    (AggFunc::JsonbAgg, "jsonb_agg"),
    (AggFunc::JsonObjectAgg, "json_object_agg"),
    (AggFunc::JsonbObjectAgg, "jsonb_object_agg"),
    (AggFunc::JsonAggStrict, "json_agg_strict"),
    (AggFunc::JsonbAggStrict, "jsonb_agg_strict"),
    (AggFunc::JsonObjectAggStrict, "json_object_agg_strict"),
    (AggFunc::JsonbObjectAggStrict, "jsonb_object_agg_strict"),
    (AggFunc::Mode, "mode"),
    (AggFunc::PercentileDisc, "percentile_disc"),
    (AggFunc::PercentileCont, "percentile_cont"),
];

impl AggFunc {
    /// A stable name, for plans and fingerprints.
    #[must_use]
    pub fn name(&self) -> &'static str {
        ALL.iter().find(|(f, _)| f == self).map_or("", |(_, n)| n)
    }

    /// The function with this [`AggFunc::name`].
    #[must_use]
    pub fn from_name(name: &str) -> Option<AggFunc> {
        ALL.iter().find(|(_, n)| *n == name).map(|(f, _)| *f)
    }

    /// Whether the value has to be computed from an ordered index of contributions: no state that subtracts can hold it.
    #[must_use]
    pub fn needs_order_index(&self) -> bool {
        matches!(
            self,
            AggFunc::Min
                | AggFunc::Max
                | AggFunc::StringAgg
                | AggFunc::ByteaAgg
                | AggFunc::ArrayAgg
                | AggFunc::ArrayAggArrays
                | AggFunc::JsonAgg
                | AggFunc::JsonbAgg
                | AggFunc::JsonObjectAgg
                | AggFunc::JsonbObjectAgg
                | AggFunc::JsonAggStrict
                | AggFunc::JsonbAggStrict
                | AggFunc::JsonObjectAggStrict
                | AggFunc::JsonbObjectAggStrict
                | AggFunc::Mode
                | AggFunc::PercentileDisc
                | AggFunc::PercentileCont
        )
    }

    /// For `min` and `max`, the first contribution of an index by value: `Some(false)` ascending, `Some(true)` descending.
    #[must_use]
    pub fn extreme(&self) -> Option<bool> {
        match self {
            AggFunc::Min => Some(false),
            AggFunc::Max => Some(true),
            _ => None,
        }
    }

    /// Whether it gives the same with and without DISTINCT.
    #[must_use]
    pub fn ignores_duplicates(&self) -> bool {
        matches!(
            self,
            AggFunc::Min
                | AggFunc::Max
                | AggFunc::BoolAnd
                | AggFunc::BoolOr
                | AggFunc::BitAnd
                | AggFunc::BitOr
        )
    }

    /// Whether the value depends on the order of its input beyond rounding.
    #[must_use]
    pub fn depends_on_order(&self) -> bool {
        self.needs_order_index() && self.extreme().is_none()
    }
}

/// A resolved aggregate call.
#[derive(Debug, Clone, PartialEq)]
pub struct ResolvedAgg {
    /// The function.
    pub func: AggFunc,
    /// What the arguments have to be coerced to.
    pub arg_types: Vec<Type>,
    /// The type of the result.
    pub result: Type,
    /// The modifier of the result: always -1.
    pub typmod: i32,
}

/// Whether `min` and `max` exist for it.
fn has_extremes(ty: &Type) -> bool {
    match ty {
        Type::Bool
        | Type::Bytea
        | Type::Uuid
        | Type::Json
        | Type::Jsonb
        | Type::Record(_)
        | Type::Unknown
        | Type::Other(_)
        | Type::Name => false,
        Type::Array(element) => element.is_comparable(),
        _ => true,
    }
}

/// Finds the aggregate that Postgres would call. `count(*)` has no argument types.
///
/// # Errors
/// The reason, naming the call: no such aggregate for these types, or not one that readside computes.
pub fn resolve(name: &str, arg_types: &[Type], distinct: bool) -> Result<ResolvedAgg, String> {
    let refuse = || {
        let types: Vec<String> = arg_types.iter().map(Type::name).collect();
        Err(format!(
            "aggregate `{name}({})` is not supported",
            types.join(", ")
        ))
    };
    let bases: Vec<Type> = arg_types.iter().map(|t| t.base().clone()).collect();
    let found = |func: AggFunc, args: Vec<Type>, result: Type| {
        Ok(ResolvedAgg {
            func,
            arg_types: args,
            result,
            typmod: -1,
        })
    };
    // An untyped literal is text to functions that take anything.
    let known = |ty: &Type| match ty {
        Type::Unknown => Type::Text,
        ty => ty.clone(),
    };
    let same = |func: AggFunc, ty: &Type| found(func, vec![ty.clone()], ty.clone());
    if distinct && bases.iter().any(|t| !t.is_comparable()) {
        let types: Vec<String> = bases
            .iter()
            .filter(|t| !t.is_comparable())
            .map(Type::name)
            .collect();
        return Err(format!(
            "`{name}(DISTINCT …)` over type {}, which has no equality operator",
            types.join(", ")
        ));
    }
    match (name, bases.as_slice()) {
        ("count", []) => found(AggFunc::CountStar, Vec::new(), Type::Int8),
        ("count", [ty]) => found(AggFunc::Count, vec![known(ty)], Type::Int8),
        ("sum", [ty]) => match ty {
            Type::Int2 | Type::Int4 => found(AggFunc::SumInt, vec![ty.clone()], Type::Int8),
            Type::Int8 => found(AggFunc::SumBigint, vec![Type::Int8], Type::Numeric),
            Type::Numeric => same(AggFunc::SumNumeric, ty),
            Type::Float4 => same(AggFunc::SumFloat4, ty),
            Type::Float8 => same(AggFunc::SumFloat8, ty),
            Type::Interval => same(AggFunc::SumInterval, ty),
            Type::Time => found(AggFunc::SumInterval, vec![Type::Interval], Type::Interval),
            _ => refuse(),
        },
        ("avg", [ty]) => match ty {
            Type::Int2 | Type::Int4 | Type::Int8 => {
                found(AggFunc::AvgInt, vec![ty.clone()], Type::Numeric)
            }
            Type::Numeric => same(AggFunc::AvgNumeric, ty),
            Type::Float4 | Type::Float8 => found(AggFunc::AvgFloat, vec![ty.clone()], Type::Float8),
            Type::Interval => same(AggFunc::AvgInterval, ty),
            Type::Time => found(AggFunc::AvgInterval, vec![Type::Interval], Type::Interval),
            _ => refuse(),
        },
        ("min" | "max", [ty]) => {
            let func = if name == "min" {
                AggFunc::Min
            } else {
                AggFunc::Max
            };
            match ty {
                Type::Varchar | Type::Name | Type::Unknown => same(func, &Type::Text),
                ty if has_extremes(ty) => same(func, ty),
                _ => refuse(),
            }
        }
        ("bool_and" | "every", [Type::Bool | Type::Unknown]) => same(AggFunc::BoolAnd, &Type::Bool),
        ("bool_or", [Type::Bool | Type::Unknown]) => same(AggFunc::BoolOr, &Type::Bool),
        ("bit_and", [ty @ (Type::Int2 | Type::Int4 | Type::Int8)]) => same(AggFunc::BitAnd, ty),
        ("bit_or", [ty @ (Type::Int2 | Type::Int4 | Type::Int8)]) => same(AggFunc::BitOr, ty),
        ("bit_xor", [ty @ (Type::Int2 | Type::Int4 | Type::Int8)]) => same(AggFunc::BitXor, ty),
        ("string_agg", [Type::Bytea, Type::Bytea | Type::Unknown]) => found(
            AggFunc::ByteaAgg,
            vec![Type::Bytea, Type::Bytea],
            Type::Bytea,
        ),
        ("string_agg", [value, delimiter]) => {
            let is_text = |t: &Type| {
                matches!(
                    t,
                    Type::Text | Type::Varchar | Type::Bpchar | Type::Name | Type::Unknown
                )
            };
            if is_text(value) && is_text(delimiter) {
                found(AggFunc::StringAgg, vec![Type::Text, Type::Text], Type::Text)
            } else {
                refuse()
            }
        }
        ("array_agg", [ty @ Type::Array(_)]) => same(AggFunc::ArrayAggArrays, ty),
        ("array_agg", [Type::Unknown]) => {
            Err("function array_agg(unknown) is not unique".to_owned())
        }
        // The elements of the result are of the domain itself.
        ("array_agg", [ty]) => found(
            AggFunc::ArrayAgg,
            vec![ty.clone()],
            Type::Array(Arc::new(arg_types[0].clone())),
        ),
        ("json_agg" | "json_agg_strict" | "jsonb_agg" | "jsonb_agg_strict", [Type::Unknown]) => {
            Err("could not determine polymorphic type because input has type unknown".to_owned())
        }
        ("json_agg", [ty]) => found(AggFunc::JsonAgg, vec![ty.clone()], Type::Json),
        ("json_agg_strict", [ty]) => found(AggFunc::JsonAggStrict, vec![ty.clone()], Type::Json),
        ("jsonb_agg", [ty]) => found(AggFunc::JsonbAgg, vec![ty.clone()], Type::Jsonb),
        ("jsonb_agg_strict", [ty]) => found(AggFunc::JsonbAggStrict, vec![ty.clone()], Type::Jsonb),
        ("json_object_agg", [key, value]) => found(
            AggFunc::JsonObjectAgg,
            vec![known(key), known(value)],
            Type::Json,
        ),
        ("jsonb_object_agg", [key, value]) => found(
            AggFunc::JsonbObjectAgg,
            vec![known(key), known(value)],
            Type::Jsonb,
        ),
        ("json_object_agg_strict", [key, value]) => found(
            AggFunc::JsonObjectAggStrict,
            vec![known(key), known(value)],
            Type::Json,
        ),
        ("jsonb_object_agg_strict", [key, value]) => found(
            AggFunc::JsonbObjectAggStrict,
            vec![known(key), known(value)],
            Type::Jsonb,
        ),
        (_, [ty]) => {
            let spread = match name {
                "var_pop" => Spread::PopulationVariance,
                "var_samp" | "variance" => Spread::SampleVariance,
                "stddev_pop" => Spread::PopulationDeviation,
                "stddev_samp" | "stddev" => Spread::SampleDeviation,
                _ => return refuse(),
            };
            match ty {
                Type::Int2 | Type::Int4 | Type::Int8 | Type::Numeric => found(
                    AggFunc::SpreadNumeric(spread),
                    vec![Type::Numeric],
                    Type::Numeric,
                ),
                Type::Float4 | Type::Float8 => found(
                    AggFunc::SpreadFloat(spread),
                    vec![Type::Float8],
                    Type::Float8,
                ),
                _ => refuse(),
            }
        }
        _ => refuse(),
    }
}

/// Whether a function of this name is an aggregate that [`resolve`] knows for some types.
#[must_use]
pub fn is_aggregate(name: &str) -> bool {
    matches!(
        name,
        "count"
            | "sum"
            | "avg"
            | "min"
            | "max"
            | "bool_and"
            | "every"
            | "bool_or"
            | "bit_and"
            | "bit_or"
            | "bit_xor"
            | "string_agg"
            | "array_agg"
            | "json_agg"
            | "jsonb_agg"
            | "json_object_agg"
            | "jsonb_object_agg"
            | "json_agg_strict"
            | "jsonb_agg_strict"
            | "json_object_agg_strict"
            | "jsonb_object_agg_strict"
            | "var_pop"
            | "var_samp"
            | "variance"
            | "stddev_pop"
            | "stddev_samp"
            | "stddev"
    )
}

/// Finds an ordered-set aggregate, `name(direct…) WITHIN GROUP (ORDER BY sort)`.
///
/// The arguments of the call are the direct ones followed by the sort expression; its order is that of WITHIN GROUP, and
/// [`collect`](crate::collect) wants the rows in that order.
///
/// # Errors
/// The reason: no such aggregate for these types, or not one that readside computes.
pub fn resolve_ordered_set(
    name: &str,
    direct: &[Type],
    sort: &Type,
) -> Result<ResolvedAgg, String> {
    let base = match sort.base() {
        Type::Unknown | Type::Varchar => Type::Text,
        ty => ty.clone(),
    };
    let found = |func: AggFunc, args: Vec<Type>, result: Type| {
        Ok(ResolvedAgg {
            func,
            arg_types: args,
            result,
            typmod: -1,
        })
    };
    let is_fraction = |ty: &Type| {
        matches!(
            ty.base(),
            Type::Int2
                | Type::Int4
                | Type::Int8
                | Type::Numeric
                | Type::Float4
                | Type::Float8
                | Type::Unknown
        )
    };
    match (name, direct) {
        ("mode", []) if base.is_comparable() => found(AggFunc::Mode, vec![base.clone()], base),
        ("percentile_disc", [fraction]) if is_fraction(fraction) && base.is_comparable() => found(
            AggFunc::PercentileDisc,
            vec![Type::Float8, base.clone()],
            base,
        ),
        ("percentile_cont", [fraction]) if is_fraction(fraction) => {
            let ty = match base {
                Type::Interval => Type::Interval,
                Type::Int2
                | Type::Int4
                | Type::Int8
                | Type::Numeric
                | Type::Float4
                | Type::Float8 => Type::Float8,
                _ => return Err(format!("`{name}` of type {} is not supported", sort.name())),
            };
            found(AggFunc::PercentileCont, vec![Type::Float8, ty.clone()], ty)
        }
        _ => Err(format!(
            "ordered-set aggregate `{name}` of type {} is not supported",
            sort.name()
        )),
    }
}
