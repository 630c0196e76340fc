//! `json` and `jsonb`: canonical text, parsed trees, navigation on text, operators.
//!
//! In: JSON text. Out: text exactly as `jsonb_out` prints it, or slices of the input.
//!
//! Always: object keys in jsonb are unique and ordered by length, then bytes; numbers keep their scale; a slice of canonical
//! text is canonical, so navigation works on the text of both types.

mod builder;
mod operators;
mod order;
mod parse;
mod render;
mod scan;
mod tree;

pub use builder::{array_text, json_object_text, jsonb_object_text};
pub use operators::{
    concat, contains, delete_index, delete_key, delete_path, exists, set_path, strip_nulls,
};
pub use order::{canonical_numbers, compare_jsonb};
pub use parse::{canonical_jsonb, check_json, parse_json};
pub use render::{check_jsonb, json_key, write_json, write_json_string, write_jsonb};
pub use scan::{
    Kind, array_length, elements, entries, get_element, get_field, get_jsonb_element, get_path,
    kind, scalar_text,
};
pub use tree::Json;
