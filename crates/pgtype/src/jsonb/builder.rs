//! Objects and arrays put together from the texts of their members.

use super::render::write_json_string;
use super::tree::sort_pairs;

/// A jsonb object of keys and the jsonb texts of their values; the last of duplicate keys wins.
#[must_use]
pub fn jsonb_object_text(mut pairs: Vec<(String, String)>) -> String {
    sort_pairs(&mut pairs);
    let mut out = String::from("{");
    for (i, (key, value)) in pairs.iter().enumerate() {
        if i > 0 {
            out.push_str(", ");
        }
        write_json_string(&mut out, key);
        out.push_str(": ");
        out.push_str(value);
    }
    out.push('}');
    out
}

/// `json_build_object`: keys in order, duplicates kept, `{"a" : 1, "b" : 2}`.
#[must_use]
pub fn json_object_text(pairs: &[(String, String)]) -> String {
    let mut out = String::from("{");
    for (i, (key, value)) in pairs.iter().enumerate() {
        if i > 0 {
            out.push_str(", ");
        }
        write_json_string(&mut out, key);
        out.push_str(" : ");
        out.push_str(value);
    }
    out.push('}');
    out
}

/// `[a, b]`: what `json_build_array`, `jsonb_build_array` and a jsonb array look like.
#[must_use]
pub fn array_text<S: AsRef<str>>(elements: &[S]) -> String {
    let mut out = String::from("[");
    for (i, element) in elements.iter().enumerate() {
        if i > 0 {
            out.push_str(", ");
        }
        out.push_str(element.as_ref());
    }
    out.push(']');
    out
}
