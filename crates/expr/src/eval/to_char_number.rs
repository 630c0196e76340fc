//! `to_char` of numbers: digits (`9`, `0`), point, commas, `FM`, sign (`S`, `MI`), and text around them.

use readside_pgtype::{Numeric, Value};

use super::{Result, error, mistyped, text};

/// Where the sign stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sign {
    /// Before the first digit; a blank if positive.
    Implied,
    /// `S` before the digits.
    Leading,
    /// `S` after them.
    Trailing,
    /// `MI` after them.
    TrailingMinus,
}

#[derive(Debug)]
struct Format {
    prefix: String,
    suffix: String,
    fill: bool,
    sign: Sign,
    /// `9`, `0` and `,` before the point.
    integer: Vec<char>,
    /// `9` and `0` after it.
    fraction: Vec<char>,
    has_point: bool,
}

fn parse(format: &str) -> std::result::Result<Format, String> {
    let mut parsed = Format {
        prefix: String::new(),
        suffix: String::new(),
        fill: false,
        sign: Sign::Implied,
        integer: Vec::new(),
        fraction: Vec::new(),
        has_point: false,
    };
    let refuse = |what: &str| {
        Err(format!(
            "the number format `{format}` is not supported: {what}"
        ))
    };
    let mut rest = format;
    let mut ended = false;
    while let Some(c) = rest.chars().next() {
        let begun = parsed.has_point || !parsed.integer.is_empty();
        let upper = rest.get(..2).unwrap_or_default().to_ascii_uppercase();
        if upper == "FM" && (rest.starts_with("FM") || rest.starts_with("fm")) {
            if begun {
                return refuse("`FM` after the digits");
            }
            parsed.fill = true;
            rest = &rest[2..];
            continue;
        }
        if upper == "MI" {
            if !begun || parsed.sign != Sign::Implied || !parsed.suffix.is_empty() {
                return refuse("`MI` is supported after the digits only");
            }
            parsed.sign = Sign::TrailingMinus;
            ended = true;
            rest = &rest[2..];
            continue;
        }
        match c {
            '9' | '0' | ',' | '.' if ended => return refuse("digits in two places"),
            '9' | '0' if parsed.has_point => parsed.fraction.push(c),
            '9' | '0' => parsed.integer.push(c),
            ',' if !parsed.has_point && !parsed.integer.is_empty() => parsed.integer.push(c),
            ',' => return refuse("a comma that isn't between digits"),
            '.' if parsed.has_point => return refuse("two points"),
            '.' => parsed.has_point = true,
            'S' | 's' => {
                if parsed.sign != Sign::Implied
                    || !parsed.prefix.is_empty()
                    || !parsed.suffix.is_empty()
                {
                    return refuse("a sign here");
                }
                parsed.sign = if begun { Sign::Trailing } else { Sign::Leading };
                ended = begun;
            }
            '"' => {
                let Some(end) = rest[1..].find('"') else {
                    return refuse("an open quote");
                };
                let literal = &rest[1..=end];
                if literal.contains('\\') {
                    return refuse("an escape");
                }
                if begun {
                    parsed.suffix.push_str(literal);
                    ended = true;
                } else {
                    parsed.prefix.push_str(literal);
                }
                rest = &rest[end + 2..];
                continue;
            }
            ' ' | '%' | '(' | ')' | '-' | '+' | '/' | ':' | '€' | '#' | '*' | '_' => {
                if begun {
                    parsed.suffix.push(c);
                    ended = true;
                } else {
                    parsed.prefix.push(c);
                }
            }
            _ => return refuse("use digits, a point, commas, `FM`, `S`, `MI` and quoted text"),
        }
        rest = &rest[c.len_utf8()..];
    }
    if parsed.integer.is_empty() {
        return refuse("no digit before the point");
    }
    if parsed.has_point && parsed.fraction.is_empty() {
        return refuse("a point without digits after it");
    }
    if !parsed.prefix.is_empty() && parsed.sign == Sign::Leading {
        return refuse("text before the sign");
    }
    if parsed.integer.last() == Some(&',') {
        return refuse("a comma that isn't between digits");
    }
    Ok(parsed)
}

/// Refuses a format of which anything isn't built.
pub(crate) fn check(format: &str) -> std::result::Result<(), String> {
    parse(format).map(|_| ())
}

/// `to_char(number, format)`
pub(super) fn number(args: &[Value]) -> Result {
    let value = match args.first() {
        Some(Value::Int(n)) => Numeric::from_bigint((*n).into()),
        Some(Value::Numeric(n)) => n.clone(),
        _ => return Err(mistyped("to_char")),
    };
    let pattern = text(args, 1)?;
    if pattern.is_empty() {
        return Ok(Value::Null);
    }
    let format = parse(pattern).map_err(|e| error("0A000", e))?;
    if !value.is_finite() {
        return Err(error(
            "0A000",
            "`to_char` of NaN and infinity is not computed",
        ));
    }
    let places = format.fraction.len();
    let rounded = value.round(i32::try_from(places).unwrap_or(0));
    let negative = rounded.signum() < 0;
    let plain = rounded.abs().to_string();
    let (whole, decimals) = plain.split_once('.').unwrap_or((&plain, ""));
    let slots = format.integer.iter().filter(|c| **c != ',').count();
    Ok(Value::text(if whole.len() > slots {
        overflowed(&format, negative)
    } else {
        filled(&format, negative, whole, decimals, slots)
    }))
}

/// `#` for every digit.
fn overflowed(format: &Format, negative: bool) -> String {
    filled(
        format,
        negative,
        &"#".repeat(format.integer.iter().filter(|c| **c != ',').count()),
        &"#".repeat(format.fraction.len()),
        format.integer.iter().filter(|c| **c != ',').count(),
    )
}

fn filled(format: &Format, negative: bool, whole: &str, decimals: &str, slots: usize) -> String {
    let mut out = format.prefix.clone();
    let first_zero = format
        .integer
        .iter()
        .filter(|c| **c != ',')
        .position(|c| *c == '0');
    let blanks = (slots - whole.len()).min(first_zero.unwrap_or(usize::MAX));
    let padded = format!("{whole:0>slots$}");
    // How many decimals are shown: under FM, zeros at the end that stand for a `9` are not.
    let shown_decimals = if format.fill {
        let forced = format
            .fraction
            .iter()
            .rposition(|c| *c == '0')
            .map_or(0, |at| at + 1);
        decimals.trim_end_matches('0').len().max(forced)
    } else {
        decimals.len()
    };
    let bare_zero = whole == "0" && first_zero.is_none() && !format.fraction.is_empty();
    let mut slot = 0;
    let mut signed = false;
    let mut digits = padded.chars();
    for c in &format.integer {
        if *c == ',' {
            if slot > blanks {
                out.push(',');
            } else if !format.fill {
                out.push(' ');
            }
            continue;
        }
        let digit = digits.next().unwrap_or('0');
        if slot < blanks {
            if !format.fill {
                out.push(' ');
            }
        } else {
            // A lone zero before decimals is blank, but for FM where nothing else would be left.
            if bare_zero && !format.fill {
                out.push(' ');
            }
            if !signed {
                signed = true;
                match (format.sign, negative) {
                    (Sign::Implied | Sign::Leading, true) => out.push('-'),
                    (Sign::Leading, false) => out.push('+'),
                    (Sign::Implied, false) if !format.fill => out.push(' '),
                    _ => {}
                }
            }
            if !bare_zero {
                out.push(digit);
            } else if format.fill && shown_decimals == 0 {
                out.push('0');
            }
        }
        slot += 1;
    }
    if !format.fraction.is_empty() {
        out.push('.');
        out.push_str(&decimals[..shown_decimals.min(decimals.len())]);
    }
    match (format.sign, negative) {
        (Sign::Trailing | Sign::TrailingMinus, true) => out.push('-'),
        (Sign::Trailing, false) => out.push('+'),
        (Sign::TrailingMinus, false) if !format.fill => out.push(' '),
        _ => {}
    }
    out.push_str(&format.suffix);
    out
}
