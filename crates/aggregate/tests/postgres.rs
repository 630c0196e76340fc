//! Every answer of the golden file, which a real Postgres gave (`golden/generate.sql`), asked again of this crate; and what holds
//! between states that add and subtract and rows collected afresh.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::sync::Arc;

use proptest::prelude::*;
use readside_aggregate::{Accumulator, AggFunc, Spread, collect, resolve, resolve_ordered_set};
use readside_expr::EvalError;
use readside_pgtype::{
    EnumType, Interval, Numeric, RecordType, Type, Value, compare_typed, parse_input, parse_value,
    write_text,
};

/// COPY's text format, one line.
fn fields(line: &str) -> Vec<String> {
    line.split('\t')
        .map(|field| {
            let mut out = String::new();
            let mut chars = field.chars();
            while let Some(c) = chars.next() {
                match c {
                    '\\' => out.push(match chars.next() {
                        Some('n') => '\n',
                        Some('t') => '\t',
                        Some(c) => c,
                        None => '\\',
                    }),
                    c => out.push(c),
                }
            }
            out
        })
        .collect()
}

fn ty(name: &str) -> (Type, i32) {
    if let Some(element) = name.strip_suffix("[]") {
        let (element, typmod) = ty(element);
        return (Type::Array(Arc::new(element)), typmod);
    }
    let plain = match name {
        "boolean" => Type::Bool,
        "smallint" => Type::Int2,
        "integer" => Type::Int4,
        "bigint" => Type::Int8,
        "real" => Type::Float4,
        "double precision" => Type::Float8,
        "numeric" => Type::Numeric,
        "text" => Type::Text,
        "char(3)" => return (Type::Bpchar, 7),
        "bytea" => Type::Bytea,
        "uuid" => Type::Uuid,
        "date" => Type::Date,
        "timestamptz" => Type::TimestampTz,
        "interval" => Type::Interval,
        "json" => Type::Json,
        "jsonb" => Type::Jsonb,
        "mood" => Type::Enum(Arc::new(EnumType {
            oid: 1,
            name: "mood".to_owned(),
            labels: vec!["sad".into(), "ok".into(), "happy".into()],
        })),
        "pair" => Type::Record(Arc::new(RecordType {
            oid: 2,
            fields: vec![("a".into(), Type::Int4), ("b".into(), Type::Text)],
        })),
        other => panic!("type {other}"),
    };
    (plain, -1)
}

/// A value as the argument type that the aggregate wants.
fn argument(text: &Value, own: &(Type, i32), wanted: &Type) -> Value {
    let Value::Text(text) = text else {
        return Value::Null;
    };
    let value = parse_input(&own.0, own.1, text).unwrap();
    match (value, wanted) {
        (Value::Int(n), Type::Numeric) => Value::Numeric(Numeric::from_i64(n)),
        (Value::Float4(x), Type::Float8) => Value::Float8(x.into()),
        (Value::Int(n), Type::Float8) => Value::Float8(Numeric::from_i64(n).to_f64().unwrap()),
        (Value::Numeric(n), Type::Float8) => Value::Float8(n.to_f64().unwrap()),
        (value, _) => value,
    }
}

fn shown(answer: &Result<Value, EvalError>, ty: &Type) -> String {
    match answer {
        Ok(Value::Null) => "NULL".to_owned(),
        Ok(value) => {
            let mut out = String::new();
            write_text(&mut out, value, ty);
            out
        }
        Err(e) => format!("ERROR:{}:{}", e.sqlstate, e.message),
    }
}

/// Equal, or floats that differ in the last digits only.
fn close(a: &str, b: &str) -> bool {
    if a == b {
        return true;
    }
    match (a.parse::<f64>(), b.parse::<f64>()) {
        (Ok(a), Ok(b)) => (a - b).abs() <= a.abs().max(b.abs()) * 1e-6,
        _ => false,
    }
}

#[test]
fn aggregates_give_what_postgres_gives() {
    let mut wrong = Vec::new();
    let mut asked = 0;
    for line in include_str!("golden/aggregate.tsv")
        .lines()
        .filter(|l| !l.is_empty())
    {
        let fields = fields(line);
        let [name, types, rows, expected] = fields.as_slice() else {
            panic!("{line}");
        };
        asked += 1;
        let own: Vec<(Type, i32)> = types.split(',').map(ty).collect();
        let own_types: Vec<Type> = own.iter().map(|(t, _)| t.clone()).collect();
        // `percentile_disc 0.5` is WITHIN GROUP, with its fraction.
        let (function, fraction) = name.split_once(' ').unwrap_or((name, ""));
        let ordered_set = ["mode", "percentile_disc", "percentile_cont"].contains(&function);
        let resolved = if ordered_set {
            let direct = vec![Type::Numeric; usize::from(!fraction.is_empty())];
            resolve_ordered_set(function, &direct, &own_types[0]).unwrap()
        } else {
            resolve(name, &own_types, false).unwrap()
        };
        let Value::Array(list) = parse_value(&Type::Array(Arc::new(Type::Text)), rows).unwrap()
        else {
            panic!("{rows}");
        };
        let text_pair = Type::Record(Arc::new(RecordType {
            oid: 2249,
            fields: vec![("v".into(), Type::Text), ("d".into(), Type::Text)],
        }));
        let mut rows: Vec<Vec<Value>> = list
            .elements
            .iter()
            .map(|row| {
                if ordered_set {
                    let value = argument(row, &own[0], resolved.arg_types.last().unwrap());
                    return match fraction.parse() {
                        Ok(fraction) => vec![Value::Float8(fraction), value],
                        Err(_) => vec![value],
                    };
                }
                if own.len() == 1 {
                    return vec![argument(row, &own[0], &resolved.arg_types[0])];
                }
                let Value::Text(row) = row else { panic!() };
                let Value::Record(parts) = parse_value(&text_pair, row).unwrap() else {
                    panic!()
                };
                (0..2)
                    .map(|i| argument(&parts[i], &own[i], &resolved.arg_types[i]))
                    .collect()
            })
            .collect();
        if ordered_set {
            let ty = resolved.arg_types.last().unwrap();
            rows.sort_by(|a, b| compare_typed(a.last().unwrap(), b.last().unwrap(), ty));
        }
        let answer = collect(
            &resolved.func,
            &resolved.arg_types,
            &mut rows.iter().map(Vec::as_slice),
        );
        let got = shown(&answer, &resolved.result);
        let rounds = matches!(resolved.func, AggFunc::SpreadFloat(_));
        // Postgres keeps squares for averages too, which overflow from 1e154 up; here they are exact.
        let squares = matches!(resolved.func, AggFunc::SpreadFloat(_) | AggFunc::AvgFloat)
            && expected.contains("overflow");
        // Without rows there is no fraction to look at.
        if ordered_set && rows.is_empty() && expected.starts_with("ERROR:22003:percentile value") {
            continue;
        }
        if got != *expected && !(rounds && close(&got, expected)) && !squares {
            wrong.push(format!(
                "{name}({types}) of {rows:?}\n  postgres {expected}\n  readside {got}"
            ));
        }
        if !resolved.func.needs_order_index() {
            let mut accumulator = Accumulator::new(&resolved.func);
            rows.iter().rev().for_each(|row| accumulator.add(row));
            let got = shown(&accumulator.value(), &resolved.result);
            let float = matches!(
                resolved.func,
                AggFunc::SumFloat4
                    | AggFunc::SumFloat8
                    | AggFunc::AvgFloat
                    | AggFunc::SpreadFloat(_)
            );
            // A sum that overflowed on the way may not, taken exactly.
            let excused = float && (close(&got, expected) || expected.contains("overflow"));
            if got != *expected && !excused {
                wrong.push(format!(
                    "state of {name}({types}) of {rows:?}\n  postgres {expected}\n  readside {got}"
                ));
            }
        }
    }
    assert!(asked > 1000, "{asked}");
    assert!(
        wrong.is_empty(),
        "{} of {asked} differ\n{}",
        wrong.len(),
        wrong
            .iter()
            .take(40)
            .cloned()
            .collect::<Vec<_>>()
            .join("\n")
    );
}

/// A decomposable function and values for it.
fn contributions() -> impl Strategy<Value = (AggFunc, Vec<Value>)> {
    fn of(
        funcs: &'static [AggFunc],
        value: impl Strategy<Value = Value> + 'static,
    ) -> BoxedStrategy<(AggFunc, Vec<Value>)> {
        let value = prop_oneof![9 => value, 1 => Just(Value::Null)];
        (
            prop::sample::select(funcs),
            prop::collection::vec(value, 0..12),
        )
            .boxed()
    }
    let int = prop_oneof![any::<i64>(), -5i64..5];
    let numeric = prop_oneof![
        20 => "-?[0-9]{1,20}\\.[0-9]{0,10}",
        20 => "-?[0-9]{1,2}\\.[0-9]{0,3}",
        1 => Just("NaN".to_owned()),
        1 => Just("Infinity".to_owned()),
        1 => Just("-Infinity".to_owned()),
    ]
    .prop_map(|s| Value::Numeric(s.parse().unwrap()));
    let float = prop_oneof![
        10 => any::<f64>().prop_map(|x| if x.is_finite() { x / 1e10 } else { 0.5 }),
        10 => (-1000i32..1000).prop_map(|n| f64::from(n) / 8.0),
        1 => prop::sample::select(vec![f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -0.0, 5e-324]),
    ];
    prop_oneof![
        of(
            &[
                AggFunc::CountStar,
                AggFunc::Count,
                AggFunc::SumInt,
                AggFunc::SumBigint,
                AggFunc::AvgInt,
                AggFunc::BitAnd,
                AggFunc::BitOr,
                AggFunc::BitXor
            ],
            int.prop_map(Value::Int)
        ),
        of(
            &[
                AggFunc::SumNumeric,
                AggFunc::AvgNumeric,
                AggFunc::SpreadNumeric(Spread::SampleDeviation),
                AggFunc::SpreadNumeric(Spread::PopulationVariance)
            ],
            numeric
        ),
        of(
            &[
                AggFunc::SumFloat8,
                AggFunc::AvgFloat,
                AggFunc::SpreadFloat(Spread::SampleVariance)
            ],
            float.clone().prop_map(Value::Float8)
        ),
        of(
            &[AggFunc::SumFloat4, AggFunc::AvgFloat],
            any::<f32>().prop_map(Value::Float4)
        ),
        of(
            &[AggFunc::SumInterval, AggFunc::AvgInterval],
            (any::<i32>(), -50i32..50, any::<i64>())
                .prop_map(|(m, d, u)| Value::Interval(Interval::new(m, d, u)))
        ),
        of(
            &[AggFunc::BoolAnd, AggFunc::BoolOr],
            any::<bool>().prop_map(Value::Bool)
        ),
    ]
}

fn fresh<'a>(func: AggFunc, values: impl Iterator<Item = &'a Value>) -> Accumulator {
    let mut accumulator = Accumulator::new(&func);
    for value in values {
        accumulator.add(std::slice::from_ref(value));
    }
    accumulator
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    #[test]
    fn what_was_taken_back_leaves_no_trace(
        (func, values) in contributions(),
        order in any::<prop::sample::Index>(),
        keep in prop::collection::vec(any::<bool>(), 12),
    ) {
        // Everything is added, from some place on and around; then what is not kept is taken back, some of it early.
        let mut accumulator = Accumulator::new(&func);
        let start = order.index(values.len().max(1));
        for i in 0..values.len() {
            let at = (start + i) % values.len();
            if !keep[at] && at % 2 == 0 {
                accumulator.subtract(std::slice::from_ref(&values[at]));
            } else {
                accumulator.add(std::slice::from_ref(&values[at]));
            }
        }
        for (at, value) in values.iter().enumerate().filter(|(at, _)| !keep[*at]) {
            if at % 2 == 0 {
                accumulator.add(std::slice::from_ref(value));
            } else {
                accumulator.subtract(std::slice::from_ref(value));
            }
        }
        let rest: Vec<&Value> = values.iter().zip(&keep).filter(|(_, k)| **k).map(|(v, _)| v).collect();
        let again = fresh(func, rest.into_iter());
        prop_assert_eq!(&accumulator, &again);
        prop_assert_eq!(accumulator.encode(), again.encode());
        prop_assert_eq!(format!("{:?}", accumulator.value()), format!("{:?}", again.value()));
    }

    #[test]
    fn states_merge_as_their_contributions_do((func, values) in contributions(), cut in any::<prop::sample::Index>()) {
        let (left, right) = values.split_at(cut.index(values.len() + 1));
        let mut merged = fresh(func, left.iter());
        merged.merge(&fresh(func, right.iter()));
        prop_assert_eq!(merged, fresh(func, values.iter()));
    }

    #[test]
    fn stored_states_come_back((func, values) in contributions()) {
        let accumulator = fresh(func, values.iter());
        let bytes = accumulator.encode();
        prop_assert_eq!(Accumulator::decode(&func, &bytes).unwrap(), accumulator);
        for cut in 0..bytes.len() {
            prop_assert!(Accumulator::decode(&func, &bytes[..cut]).is_err());
        }
    }

    #[test]
    fn damaged_states_are_refused_without_panic((func, _) in contributions(), bytes in prop::collection::vec(any::<u8>(), 0..40)) {
        if let Ok(accumulator) = Accumulator::decode(&func, &bytes) {
            let _ = accumulator.value();
        }
    }

    #[test]
    fn float_sums_are_the_exact_sum_rounded(values in prop::collection::vec(-1_000_000_000i64..1_000_000_000, 0..20), shift in -60i32..60) {
        // Sums of multiples of one power of two are exact in i64.
        let unit = f64::from(2u8).powi(shift);
        #[allow(clippy::cast_precision_loss, reason = "below 2^53")]
        let as_float = |n: i64| n as f64 * unit;
        let values: Vec<Value> = values.iter().map(|n| Value::Float8(as_float(*n))).collect();
        let exact: i64 = values.iter().map(|v| match v {
            #[allow(clippy::cast_possible_truncation, reason = "a whole number of units")]
            Value::Float8(x) => (x / unit) as i64,
            _ => 0,
        }).sum();
        let sum = fresh(AggFunc::SumFloat8, values.iter()).value().unwrap();
        prop_assert_eq!(sum, if values.is_empty() { Value::Null } else { Value::Float8(as_float(exact)) });
    }
}

#[test]
fn a_sum_of_floats_does_not_depend_on_what_has_gone() {
    let big = [Value::Float8(1e300)];
    let small = [Value::Float8(1e-300)];
    let mut accumulator = Accumulator::new(&AggFunc::SumFloat8);
    accumulator.add(&small);
    accumulator.add(&big);
    accumulator.subtract(&big);
    assert_eq!(accumulator.value().unwrap(), Value::Float8(1e-300));
}

#[test]
fn the_scale_of_a_numeric_sum_is_that_of_what_is_in_it() {
    let value = |s: &str| [Value::Numeric(s.parse().unwrap())];
    let mut accumulator = Accumulator::new(&AggFunc::SumNumeric);
    for s in ["1.50", "2.5"] {
        accumulator.add(&value(s));
    }
    assert_eq!(shown(&accumulator.value(), &Type::Numeric), "4.00");
    accumulator.subtract(&value("1.50"));
    assert_eq!(shown(&accumulator.value(), &Type::Numeric), "2.5");
    accumulator.add(&value("NaN"));
    assert_eq!(shown(&accumulator.value(), &Type::Numeric), "NaN");
    accumulator.subtract(&value("NaN"));
    accumulator.subtract(&value("2.5"));
    assert_eq!(accumulator.value().unwrap(), Value::Null);
}

#[test]
fn names_of_functions_are_distinct_and_found() {
    for func in [
        AggFunc::CountStar,
        AggFunc::SumInt,
        AggFunc::SpreadFloat(Spread::SampleDeviation),
        AggFunc::JsonbObjectAgg,
    ] {
        assert_eq!(AggFunc::from_name(func.name()), Some(func));
    }
}
