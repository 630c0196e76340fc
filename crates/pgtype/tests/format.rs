//! The bytes that are kept on disk, pinned: what an older build has stored, a newer one has to read.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::sync::Arc;

use readside_pgtype::{
    Array, EnumLabel, Interval, RecordType, Type, Value, decode_value, encode_key, encode_key_desc,
    encode_value,
};

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// Values with their types, stored forms and keys.
fn samples() -> Vec<(Value, Type, &'static str, &'static str)> {
    let numeric = |s: &str| Value::Numeric(s.parse().unwrap());
    let pair = Type::Record(Arc::new(RecordType {
        oid: 2249,
        fields: vec![("a".into(), Type::Int4), ("b".into(), Type::Text)],
    }));
    let two_by_one = Value::Array(
        Array {
            dimensions: vec![(0, 2), (1, 1)],
            elements: vec![Value::Int(1), Value::Null],
        }
        .into(),
    );
    let ints = Type::Array(Arc::new(Type::Int4));
    vec![
        (Value::Null, Type::Int4, "00", "7e"),
        (Value::Bool(false), Type::Bool, "01", "08"),
        (Value::Bool(true), Type::Bool, "02", "09"),
        (Value::Int(0), Type::Int4, "80", "18"),
        (Value::Int(127), Type::Int4, "ff", "197f"),
        (Value::Int(128), Type::Int4, "038002", "1980"),
        (Value::Int(-1), Type::Int4, "0301", "17fe"),
        (
            Value::Int(i64::MIN),
            Type::Int8,
            "03ffffffffffffffffff01",
            "107fffffffffffffff",
        ),
        (Value::Int(256), Type::Int4, "038004", "1a0100"),
        (
            Value::Float4(1.5),
            Type::Float4,
            "040000c03f",
            "24bff8000000000000",
        ),
        (
            Value::Float8(-1.5),
            Type::Float8,
            "05000000000000f8bf",
            "244007ffffffffffff",
        ),
        (
            Value::Float8(-0.0),
            Type::Float8,
            "050000000000000080",
            "248000000000000000",
        ),
        (
            numeric("1.50"),
            Type::Numeric,
            "0602ac02",
            "2804800000011000",
        ),
        (
            numeric("-1.50"),
            Type::Numeric,
            "0602ab02",
            "28027ffffffeefff",
        ),
        (numeric("0.00"), Type::Numeric, "060200", "2803"),
        (numeric("NaN"), Type::Numeric, "08", "2806"),
        (numeric("Infinity"), Type::Numeric, "09", "2805"),
        (numeric("-Infinity"), Type::Numeric, "0a", "2801"),
        (
            numeric("123456789012345678901.5"),
            Type::Numeric,
            "070109173a20d80b3b12ed42",
            "2804800000150d23394f5b0d23394f5b1000",
        ),
        (
            Value::text("a\u{1}b"),
            Type::Text,
            "0b03610162",
            "3061010262 00",
        ),
        (
            Value::text("ab  "),
            Type::Bpchar,
            "0b0461622020",
            "30616200",
        ),
        (
            Value::Bytea([0, 255].as_slice().into()),
            Type::Bytea,
            "0c0200ff",
            "320101ff00",
        ),
        (Value::Json("{}".into()), Type::Json, "0d027b7d", "407b7d00"),
        (
            Value::Jsonb("1.0".into()),
            Type::Jsonb,
            "0e03312e30",
            "423100",
        ),
        (Value::Date(1), Type::Date, "0f02", "3480000001"),
        (
            Value::Time(1),
            Type::Time,
            "100100000000000000",
            "368000000000000001",
        ),
        (
            Value::Timestamp(-1),
            Type::Timestamp,
            "11ffffffffffffffff",
            "387fffffffffffffff",
        ),
        (
            Value::TimestampTz(1),
            Type::TimestampTz,
            "120100000000000000",
            "3a8000000000000001",
        ),
        (
            Value::Interval(Interval::new(1, -1, 2)),
            Type::Interval,
            "13020104",
            "3c8000000000000000000002476165e002",
        ),
        (
            Value::Uuid([7; 16]),
            Type::Uuid,
            "1407070707070707070707070707070707",
            "3e07070707070707070707070707070707",
        ),
        (
            Value::Enum(EnumLabel {
                ordinal: 2,
                label: "x".into(),
            }),
            Type::Unknown,
            "15020178",
            "4400000002",
        ),
        (
            two_by_one,
            ints.clone(),
            "1602000202018100",
            "4819017e0002000000020000000180000000 80000001",
        ),
        (
            Value::Array(Array::one_dimensional(Vec::new()).into()),
            ints,
            "1600",
            "480000",
        ),
        (
            Value::Record([Value::Int(1), Value::text("b")].into()),
            pair,
            "1702810b0162",
            "4c1901306200 00",
        ),
    ]
}

#[test]
fn values_are_stored_and_keyed_as_ever() {
    for (value, ty, stored, key) in samples() {
        let mut bytes = Vec::new();
        encode_value(&mut bytes, &value);
        let mut key_bytes = Vec::new();
        encode_key(&mut key_bytes, &value, &ty);
        assert_eq!(
            (hex(&bytes).as_str(), hex(&key_bytes).as_str()),
            (stored, key.replace(' ', "").as_str()),
            "{value:?}"
        );
        assert_eq!(decode_value(&bytes).unwrap(), value);
        let mut desc = Vec::new();
        encode_key_desc(&mut desc, &value, &ty);
        assert!(
            desc.iter().zip(&key_bytes).all(|(d, k)| *d == !*k),
            "{value:?}"
        );
    }
}
