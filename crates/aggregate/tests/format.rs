//! The bytes of states that are kept on disk, pinned: what an older build has stored, a newer one has to read.
#![allow(clippy::unwrap_used, reason = "tests")]

use readside_aggregate::{Accumulator, AggFunc, Spread};
use readside_pgtype::{Interval, Value};

#[test]
fn states_are_stored_as_ever() {
    let numeric = |s: &str| Value::Numeric(s.parse().unwrap());
    let ints = [Value::Int(5), Value::Int(-300), Value::Null];
    let floats = [
        Value::Float8(1.5),
        Value::Float8(-0.0),
        Value::Float8(f64::NAN),
    ];
    let samples: [(AggFunc, &[Value], &str); 8] = [
        (AggFunc::CountStar, &ints, "06"),
        (AggFunc::Count, &ints, "04"),
        (AggFunc::SumInt, &ints, "0402d9fe"),
        (
            AggFunc::SumNumeric,
            &[numeric("1.50"), numeric("2.5"), numeric("-Infinity")],
            "0202900102010202020000 02",
        ),
        (AggFunc::SumFloat8, &floats, "0103010402 02 0000"),
        (
            AggFunc::SumInterval,
            &[Value::Interval(Interval::new(1, -1, 1000))],
            "02010101ff02e803",
        ),
        (
            AggFunc::BoolAnd,
            &[Value::Bool(true), Value::Bool(false)],
            "0202",
        ),
        (
            AggFunc::SpreadNumeric(Spread::SampleVariance),
            &[numeric("1.5")],
            "01010f01010200000002 02e100010202000000",
        ),
    ];
    for (func, values, expected) in samples {
        let mut accumulator = Accumulator::new(&func);
        for value in values {
            accumulator.add(std::slice::from_ref(value));
        }
        let bytes = accumulator.encode();
        let hex: String = bytes.iter().map(|b| format!("{b:02x}")).collect();
        assert_eq!(hex, expected.replace(' ', ""), "{}", func.name());
        assert_eq!(Accumulator::decode(&func, &bytes).unwrap(), accumulator);
    }
}
