//! What holds for all values and all bytes: encodings return what they were given, keys order as values, nothing panics.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::sync::Arc;

use proptest::prelude::*;
use readside_pgtype::{
    Array, EnumLabel, Interval, Numeric, RecordType, Type, Value, canonical_jsonb, compare_typed,
    decode_value, decode_value_prefix, encode_key, encode_key_desc, encode_value, jsonb, key_text,
    parse_input, parse_value, skip_key, write_json, write_jsonb, write_output,
};

fn scalar() -> impl Strategy<Value = (Type, Value, Value)> {
    fn two<T: std::fmt::Debug + Clone>(
        ty: Type,
        values: impl Strategy<Value = T> + Clone,
        wrap: impl Fn(T) -> Value + Clone + 'static,
    ) -> impl Strategy<Value = (Type, Value, Value)> {
        (values.clone(), values).prop_map(move |(a, b)| (ty.clone(), wrap(a), wrap(b)))
    }
    let small = prop_oneof![any::<i64>(), -300i64..300, Just(i64::MIN), Just(i64::MAX)];
    let text = prop_oneof!["[ab\u{0}\u{1} ]{0,4}", ".{0,6}"];
    let numeric = prop_oneof![
        "-?[0-9]{1,25}\\.[0-9]{0,12}",
        "-?[0-3]{1,3}\\.[0-9]{0,2}0{0,3}",
        "-?[1-9]e-?[0-9]{1,2}",
        Just("NaN".to_owned()),
        Just("-Infinity".to_owned()),
        Just("Infinity".to_owned()),
    ];
    let interval = (
        -30i32..30,
        -40i32..40,
        prop_oneof![any::<i64>(), Just(0i64)],
    )
        .prop_map(|(m, d, u)| Interval::new(m, d, u));
    prop_oneof![
        two(Type::Bool, any::<bool>(), Value::Bool),
        two(Type::Int8, small.clone(), Value::Int),
        two(Type::Float8, any::<f64>(), Value::Float8),
        two(Type::Float4, any::<f32>(), Value::Float4),
        two(Type::Numeric, numeric, |s| Value::Numeric(
            s.parse().unwrap()
        )),
        two(Type::Text, text.clone(), Value::text),
        two(Type::Bpchar, text, Value::text),
        two(Type::Bytea, prop::collection::vec(0u8..4, 0..4), |b| {
            Value::Bytea(b.into())
        }),
        two(Type::Date, any::<i32>(), Value::Date),
        two(Type::Timestamp, small, Value::Timestamp),
        two(Type::Interval, interval, Value::Interval),
        two(Type::Uuid, any::<[u8; 16]>(), Value::Uuid),
        two(Type::Unknown, 0u32..3, |n| Value::Enum(EnumLabel {
            ordinal: n,
            label: format!("l{n}").into(),
        })),
    ]
}

/// A type and two of its values, nested up to twice.
fn pair() -> impl Strategy<Value = (Type, Value, Value)> {
    let nullable = (scalar(), 0u8..8).prop_map(|((ty, a, b), n)| match n {
        0 => (ty, Value::Null, b),
        1 => (ty, a, Value::Null),
        _ => (ty, a, b),
    });
    nullable.prop_recursive(2, 12, 4, |inner| {
        let array = prop::collection::vec(inner.clone(), 0..1).prop_flat_map({
            let inner = inner.clone();
            move |_| {
                (
                    inner.clone(),
                    prop::collection::vec(any::<bool>(), 0..4),
                    prop::collection::vec(any::<bool>(), 0..4),
                    0i32..2,
                )
            }
        });
        let array = array.prop_map(|((ty, a, b), left, right, lower)| {
            let make = |picks: Vec<bool>, lower: i32| {
                let elements: Vec<Value> = picks
                    .iter()
                    .map(|p| if *p { a.clone() } else { b.clone() })
                    .collect();
                let mut array = Array::one_dimensional(elements);
                for d in &mut array.dimensions {
                    d.0 = lower;
                }
                Value::Array(array.into())
            };
            (
                Type::Array(Arc::new(ty.clone())),
                make(left, 1),
                make(right, lower),
            )
        });
        let record = (inner.clone(), inner).prop_map(|((t1, a1, b1), (t2, a2, b2))| {
            let ty = Type::Record(Arc::new(RecordType {
                oid: 2249,
                fields: vec![("x".into(), t1), ("y".into(), t2)],
            }));
            (
                ty,
                Value::Record([a1, a2].into()),
                Value::Record([b1, b2].into()),
            )
        });
        prop_oneof![array, record]
    })
}

fn key(value: &Value, ty: &Type) -> Vec<u8> {
    let mut out = Vec::new();
    encode_key(&mut out, value, ty);
    out
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn keys_order_as_values_do((ty, a, b) in pair()) {
        let order = compare_typed(&a, &b, &ty);
        let (ka, kb) = (key(&a, &ty), key(&b, &ty));
        prop_assert_eq!(ka.cmp(&kb), order, "{:?} {:?}", a, b);
        let (mut da, mut db) = (Vec::new(), Vec::new());
        encode_key_desc(&mut da, &a, &ty);
        encode_key_desc(&mut db, &b, &ty);
        prop_assert_eq!(db.cmp(&da), order);
        prop_assert_eq!(compare_typed(&b, &a, &ty), order.reverse());
        if !a.is_null() && !b.is_null() {
            prop_assert_eq!(key_text(&a, &ty) == key_text(&b, &ty), order.is_eq());
        }
    }

    #[test]
    fn keys_split_where_they_were_joined((ty, a, b) in pair(), desc in any::<bool>()) {
        let mut joined = Vec::new();
        if desc {
            encode_key_desc(&mut joined, &a, &ty);
        } else {
            encode_key(&mut joined, &a, &ty);
        }
        let first = joined.len();
        encode_key(&mut joined, &b, &ty);
        prop_assert_eq!(skip_key(&joined), Some(first));
        prop_assert_eq!(skip_key(&joined[first..]), Some(joined.len() - first));
    }

    #[test]
    fn stored_values_come_back((_, a, b) in pair()) {
        let mut bytes = Vec::new();
        encode_value(&mut bytes, &a);
        let first = bytes.len();
        encode_value(&mut bytes, &b);
        let (value, length) = decode_value_prefix(&bytes).unwrap();
        prop_assert_eq!(length, first);
        // NaN is not equal to itself.
        prop_assert_eq!(format!("{value:?}"), format!("{a:?}"));
        prop_assert_eq!(format!("{:?}", decode_value(&bytes[first..]).unwrap()), format!("{b:?}"));
    }

    #[test]
    fn printed_values_read_back((ty, a, _) in pair()) {
        // Text with NUL and enums without their type are not Postgres'.
        prop_assume!(!format!("{a:?}").contains("\\0") && !format!("{ty:?}").contains("Unknown"));
        prop_assume!(in_range(&a));
        let mut text = String::new();
        write_output(&mut text, &a, &ty);
        if !a.is_null() {
            let read = parse_value(&ty, &text).unwrap();
            let mut again = String::new();
            write_output(&mut again, &read, &ty);
            prop_assert_eq!(&again, &text);
            prop_assert!(compare_typed(&read, &a, &ty).is_eq() || text.contains("NaN"));
        }
        let (mut json, mut jsonb) = (String::new(), String::new());
        write_json(&mut json, &a, &ty);
        write_jsonb(&mut jsonb, &a, &ty);
        prop_assert_eq!(&*canonical_jsonb(&json).unwrap(), jsonb.as_str());
        prop_assert_eq!(&*canonical_jsonb(&jsonb).unwrap(), jsonb.as_str());
    }

    #[test]
    fn damaged_bytes_are_refused_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
        let _ = decode_value_prefix(&bytes);
        if let Some(length) = skip_key(&bytes) {
            prop_assert!(length <= bytes.len());
        }
    }

    #[test]
    fn damaged_values_are_refused_without_panic((_, a, _) in pair(), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut bytes = Vec::new();
        encode_value(&mut bytes, &a);
        let at = at.index(bytes.len());
        bytes[at] = byte;
        let _ = decode_value(&bytes);
        let _ = decode_value(&bytes[..at]);
    }

    #[test]
    fn any_text_is_read_or_refused_without_panic(
        text in prop_oneof![
            ".{0,30}",
            "[0-9:./ +TZPYMDWHSJja-]{0,30}",
            "[-+]?[0-9]{1,20} ?(year|mon|day|h|min|s|us|ago|BC|pm|Jan|c|mil)[-+ 0-9.:]{0,20}",
            "[{}\\[\\]()\",:0-9nul\\\\ =]{0,30}",
            "-?[0-9]{0,30}\\.?[0-9]{0,30}([eE][-+]?[0-9]{0,12})?",
        ],
        typmod in prop_oneof![Just(-1), -10i32..100, any::<i32>()],
    ) {
        let record = Type::Record(Arc::new(RecordType {
            oid: 1,
            fields: vec![("a".into(), Type::Int4), ("b".into(), Type::Text)],
        }));
        for ty in [
            Type::Bool, Type::Int4, Type::Oid, Type::Float4, Type::Float8, Type::Numeric, Type::Varchar,
            Type::Bpchar, Type::Bytea, Type::Date, Type::Time, Type::Timestamp, Type::TimestampTz,
            Type::Interval, Type::Uuid, Type::Json, Type::Jsonb, Type::Array(Arc::new(Type::Interval)),
            Type::Array(Arc::new(record.clone())), record,
        ] {
            // A blank-padded text as long as a modifier can say is no use.
            if ty == Type::Bpchar && typmod > 1000 {
                continue;
            }
            if let Ok(value) = parse_input(&ty, typmod, &text) {
                let mut out = String::new();
                write_output(&mut out, &value, &ty);
                write_jsonb(&mut out, &value, &ty);
                let _ = key_text(&value, &ty);
                prop_assert_eq!(skip_key(&key(&value, &ty)), Some(key(&value, &ty).len()));
            }
        }
        let _ = jsonb::get_field(&text, "a");
        let _ = jsonb::get_element(&text, 1);
        let _ = jsonb::get_path(&text, &["a", "1"]);
        let _ = jsonb::entries(&text).count();
        let _ = jsonb::scalar_text(&text);
    }

    #[test]
    fn the_short_way_of_reading_moments_agrees_with_the_long_one(
        text in "(0000|0[0-9]{3}|[129][0-9]{3,4})-[01][0-9]-[0-3][0-9]( [0-2][0-9]:[0-6][0-9]:[0-6][0-9](\\.[0-9]{1,7})?([+-][01][0-9](:[0-5][0-9])?)?)?( BC)?",
        typmod in -1i32..7,
    ) {
        // A blank in front is not what the server prints, and sends the reader the long way.
        let long = format!(" {text}");
        let unblanked = |r: Result<Value, readside_pgtype::ValueError>| {
            r.map(|v| format!("{v:?}")).map_err(|e| (e.sqlstate, e.message.replace("\" ", "\"")))
        };
        for ty in [Type::Date, Type::Timestamp, Type::TimestampTz] {
            prop_assert_eq!(unblanked(parse_input(&ty, typmod, &text)), unblanked(parse_input(&ty, typmod, &long)));
        }
        if let Some((_, time)) = text.split_once(' ') {
            prop_assert_eq!(
                unblanked(parse_input(&Type::Time, typmod, time)),
                unblanked(parse_input(&Type::Time, typmod, &format!(" {time}")))
            );
        }
    }

    #[test]
    fn numeric_sums_are_exact(a in "-?[0-9]{1,30}\\.[0-9]{0,20}", b in "-?[0-9]{1,30}\\.[0-9]{0,20}") {
        let (a, b): (Numeric, Numeric) = (a.parse().unwrap(), b.parse().unwrap());
        prop_assert!(a.add(&b).unwrap().sub(&b).unwrap().compare(&a).is_eq());
        if !b.is_zero() {
            let back = a.mul(&b).unwrap().div(&b).unwrap();
            prop_assert!(back.sub(&a).unwrap().abs().compare(&"1e-9".parse().unwrap()).is_lt());
            let quotient = a.div_trunc(&b).unwrap();
            prop_assert!(quotient.mul(&b).unwrap().add(&a.rem(&b).unwrap()).unwrap().compare(&a).is_eq());
        }
    }
}

/// Whether Postgres could hold it.
fn in_range(value: &Value) -> bool {
    match value {
        Value::Date(d) => (-2_451_545..2_145_031_949).contains(d),
        Value::Timestamp(t) => (-211_813_488_000_000_000..9_223_371_331_200_000_000).contains(t),
        Value::Array(a) => a.elements.iter().all(in_range),
        Value::Record(fields) => fields.iter().all(in_range),
        // A blank-padded text of unknown length keeps its blanks.
        _ => true,
    }
}
