//! Postgres' data types: values, text and JSON forms, order, canonical equality.
//!
//! In: text as the server prints it under the settings of the replication and COPY connections
//! (`TimeZone=UTC DateStyle=ISO IntervalStyle=postgres extra_float_digits=3 bytea_output=hex`).
//! Out: [`Value`]s, and from them text, JSON and keys, byte for byte as Postgres prints them.
//!
//! Always: pure; no clock, no locale, no I/O.

mod codec;
pub mod datetime;
mod error;
mod float;
mod input;
pub mod jsonb;
mod key;
mod key_decode;
mod nested;
mod numeric;
mod oid;
mod order;
mod output;
mod types;
mod value;

pub use codec::{
    CorruptValue, Decoder, decode_value, decode_value_prefix, encode_value, put_varint, put_zigzag,
};
pub use datetime::Interval;
pub use error::{ParseError, ValueError};
pub use float::{parse_float4, parse_float8, write_float4, write_float8};
pub use input::{pad_bpchar, parse_input, parse_value};
pub use jsonb::{Json, canonical_jsonb, check_jsonb, write_json, write_jsonb};
pub use key::{encode_key, encode_key_desc, skip_key};
pub use key_decode::decode_key;
pub use numeric::{Numeric, numeric_typmod};
pub use oid::{TypeCategory, format_type};
pub use order::{compare, compare_typed};
pub use output::{key_text, write_output, write_text};
pub use types::{DomainType, EnumType, OtherType, RecordType, Type};
pub use value::{Array, EnumLabel, Value};
