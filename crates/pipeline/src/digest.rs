//! What `verify` keeps of a row: enough to tell whether both sides have the same.
//!
//! In: a row as JSON or as columns, and the plan that says what of it is not defined to the last. Out: a [`Digest`].
//!
//! Always: rows that differ by more than the order of an unordered list or the last digits of a sum of floats differ here.

use readside_pgtype::Type;
use readside_plan::Plan;
use sha2::{Digest as _, Sha256};

/// A digest of a row. Of a row with sums of floats, each half is over numbers rounded to another grid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Digest([u8; 16]);

/// The significant digits to which sums of floats agree.
const DIGITS: i32 = 6;
/// Of `real`, which Postgres adds in its own precision.
const DIGITS_REAL: i32 = 3;
/// Below this a sum is what cancelling has left of zero.
const ZERO: f64 = 1e-9;

impl Digest {
    /// Whether two rows of this plan are the same. Close numbers share a cell of one grid, if not of the other.
    pub(crate) fn agrees(&self, other: &Digest, plan: &Plan) -> bool {
        let (a, b) = (&self.0, &other.0);
        a == b || !plan.inexact.is_empty() && (a[..8] == b[..8] || a[8..] == b[8..])
    }

    /// Of a document.
    pub(crate) fn of_json(json: &[u8], plan: &Plan) -> Digest {
        if plan.unordered.is_empty() && plan.inexact.is_empty() {
            return Digest::of(json);
        }
        let Ok(mut value) = serde_json::from_slice::<serde_json::Value>(json) else {
            return Digest::of(json);
        };
        for unordered in &plan.unordered {
            if let Some(column) = plan
                .columns
                .get(unordered.column)
                .and_then(|c| value.get_mut(&c.name))
            {
                sort_arrays(column);
            }
        }
        if plan.inexact.is_empty() {
            return Digest::of(value.to_string().as_bytes());
        }
        let on = |grid: Grid| {
            let mut value = value.clone();
            for column in plan.inexact.iter().filter_map(|i| plan.columns.get(*i)) {
                if let Some(field) = value.get_mut(&column.name) {
                    *field = rounded(&field.to_string(), digits(&column.ty), grid).into();
                }
            }
            value.to_string()
        };
        Digest::of_both(on(Grid::Whole).as_bytes(), on(Grid::Half).as_bytes())
    }

    /// Of columns as text.
    pub(crate) fn of_columns(
        columns: &mut dyn Iterator<Item = Option<&[u8]>>,
        plan: &Plan,
    ) -> Digest {
        let (mut whole, mut half) = (Vec::new(), Vec::new());
        for (i, column) in columns.enumerate() {
            let Some(text) = column else {
                whole.push(0);
                half.push(0);
                continue;
            };
            let inexact = plan.columns.get(i).filter(|_| plan.inexact.contains(&i));
            for (out, grid) in [(&mut whole, Grid::Whole), (&mut half, Grid::Half)] {
                out.push(1);
                let mut text = match inexact {
                    Some(column) => {
                        rounded(&String::from_utf8_lossy(text), digits(&column.ty), grid)
                            .into_bytes()
                    }
                    None => text.to_vec(),
                };
                if plan.unordered.iter().any(|u| u.column == i) {
                    // The same characters in some order: the elements of an array or of a JSON array.
                    text.sort_unstable();
                }
                out.extend_from_slice(&text);
                out.push(0);
            }
        }
        if plan.inexact.is_empty() {
            Digest::of(&whole)
        } else {
            Digest::of_both(&whole, &half)
        }
    }

    fn of(bytes: &[u8]) -> Digest {
        let full = Sha256::digest(bytes);
        let mut out = [0; 16];
        out.copy_from_slice(&full[..16]);
        Digest(out)
    }

    fn of_both(whole: &[u8], half: &[u8]) -> Digest {
        let mut out = Digest::of(whole);
        out.0[8..].copy_from_slice(&Digest::of(half).0[..8]);
        out
    }
}

fn sort_arrays(value: &mut serde_json::Value) {
    match value {
        serde_json::Value::Array(elements) => {
            elements.iter_mut().for_each(sort_arrays);
            elements.sort_by_cached_key(ToString::to_string);
        }
        serde_json::Value::Object(fields) => fields.values_mut().for_each(sort_arrays),
        _ => {}
    }
}

/// Where the cells of rounding meet: half way between the grid's points, or at them.
#[derive(Debug, Clone, Copy)]
enum Grid {
    Whole,
    Half,
}

fn digits(ty: &Type) -> i32 {
    if *ty.base() == Type::Float4 {
        DIGITS_REAL
    } else {
        DIGITS
    }
}

/// A text with each number in it rounded.
fn rounded(text: &str, digits: i32, grid: Grid) -> String {
    let of_number = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '+' | '-');
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find(of_number) {
        let (before, word) = rest.split_at(start);
        let end = word.find(|c| !of_number(c)).unwrap_or(word.len());
        let (word, after) = word.split_at(end);
        out.push_str(before);
        match word.parse::<f64>() {
            Ok(x) if x.is_finite() => out.push_str(&round(x, digits, grid)),
            _ => out.push_str(word),
        }
        rest = after;
    }
    out.push_str(rest);
    out
}

fn round(x: f64, digits: i32, grid: Grid) -> String {
    if x.abs() < ZERO {
        return "0".to_owned();
    }
    let mut exponent = x.abs().log10().floor();
    let scaled = x / 10f64.powf(exponent - f64::from(digits - 1));
    let mut cell = match grid {
        Grid::Whole => scaled.round(),
        Grid::Half => scaled.floor(),
    };
    // 999.9999 rounds to what 1000 rounds to.
    if cell.abs() >= 10f64.powi(digits) {
        exponent += 1.0;
        cell = (cell / 10.0).trunc();
    }
    format!("{cell}e{exponent}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn alike(a: &str, b: &str, digits: i32) -> bool {
        [Grid::Whole, Grid::Half]
            .iter()
            .any(|grid| rounded(a, digits, *grid) == rounded(b, digits, *grid))
    }

    #[test]
    fn sums_of_floats_agree_but_for_their_last_digits() {
        for (a, b) in [
            ("863.2799614918233", "863.2799614918232"),
            ("0.30000000000000004", "0.3"),
            ("999.99999999999", "1000.0000000001"),
            ("-999.99999999999", "-1000"),
            ("5.551115123125783e-17", "0"),
            ("1234565.0000001", "1234564.9999999"),
            ("[{\"n\": 0.30000000000000004}]", "[{\"n\": 0.3}]"),
            ("NaN", "NaN"),
        ] {
            assert!(alike(a, b, DIGITS), "{a} {b}");
        }
        assert!(alike("678.42", "678.42004", DIGITS_REAL));
        for (a, b) in [
            ("863.28", "863.29"),
            ("1", "-1"),
            ("100", "1000"),
            ("0.001", "0"),
            ("NaN", "0"),
            ("{1.5,2}", "{1.5,3}"),
        ] {
            assert!(!alike(a, b, DIGITS), "{a} {b}");
        }
    }
}
