//! Random values, as the text that Postgres reads.

use rand::Rng;
use rand::rngs::StdRng;

use super::catalog::{Column, Kind};

const WORDS: &[&str] = &[
    "oak",
    "steel",
    "Ærø",
    "naïve",
    "日本",
    "кот",
    "🦀",
    "O'Neil",
    "a\"b",
    "back\\slash",
    "tab\there",
    "two  spaces",
    "ZEBRA",
    "İstanbul",
    "ß",
    "{curly}",
    "null",
    "%_",
    "line\nbreak",
    "",
];

/// A value for a column; `None` is NULL.
pub(super) fn random(rng: &mut StdRng, column: &Column, toast: f64) -> Option<String> {
    if column.kind == Kind::Other || (!column.not_null && rng.random_bool(0.15)) {
        return None;
    }
    Some(of(rng, &column.kind, toast))
}

fn of(rng: &mut StdRng, kind: &Kind, toast: f64) -> String {
    match kind {
        Kind::Bool => rng.random_bool(0.5).to_string(),
        Kind::Int(bytes) => {
            let high = match (rng.random_range(0..4), bytes) {
                (0, _) => 5,
                (1, _) => 100,
                (_, 2) => 30_000,
                _ => 1_000_000,
            };
            rng.random_range(-2..high).to_string()
        }
        Kind::Numeric { precision, scale } => numeric(rng, *precision, *scale),
        // Eighths add up to the same sum in any order.
        Kind::Float => (f64::from(rng.random_range(-40..8000)) / 8.0).to_string(),
        Kind::Text(limit) => text(rng, *limit, toast),
        Kind::Uuid => {
            let bits: u128 = rng.random();
            format!("{bits:032x}")
        }
        Kind::Date => date(rng),
        Kind::Time => format!(
            "{:02}:{:02}:{:02}",
            rng.random_range(0..24),
            rng.random_range(0..60),
            rng.random_range(0..60)
        ),
        Kind::Timestamp => {
            let fraction = ["", ".5", ".123456", ".120000"][rng.random_range(0..4)];
            format!("{} {}{fraction}", date(rng), of(rng, &Kind::Time, 0.0))
        }
        Kind::Interval => [
            "1 day",
            "1 mon -1 day",
            "25:00:00",
            "-00:00:01.5",
            "1 year 2 mons 3 days 04:05:06.789",
            "0",
        ][rng.random_range(0..6)]
        .to_owned(),
        Kind::Json => json(rng, 0),
        Kind::Bytea => {
            let length = [0, 1, 8, 40][rng.random_range(0..4)];
            let bytes: String = (0..length)
                .map(|_| format!("{:02x}", rng.random::<u8>()))
                .collect();
            format!("\\x{bytes}")
        }
        Kind::Enum(labels) => labels[rng.random_range(0..labels.len())].clone(),
        Kind::Array(element) => {
            let items: Vec<String> = (0..rng.random_range(0..4))
                .map(|_| {
                    if rng.random_bool(0.1) {
                        return "NULL".to_owned();
                    }
                    let item = of(rng, element, 0.0);
                    format!("\"{}\"", item.replace('\\', "\\\\").replace('"', "\\\""))
                })
                .collect();
            format!("{{{}}}", items.join(","))
        }
        Kind::Other => String::new(),
    }
}

fn numeric(rng: &mut StdRng, precision: u32, scale: u32) -> String {
    let digits = precision.saturating_sub(scale).min(4);
    let whole = rng.random_range(0..10_u32.pow(digits));
    let fraction_digits = rng.random_range(0..=scale.min(6));
    let sign = if rng.random_bool(0.05) { "-" } else { "" };
    if fraction_digits == 0 {
        return format!("{sign}{whole}");
    }
    let fraction = rng.random_range(0..10_u32.pow(fraction_digits));
    let width = usize::try_from(fraction_digits).unwrap_or(0);
    format!("{sign}{whole}.{fraction:0width$}")
}

fn date(rng: &mut StdRng) -> String {
    format!(
        "{}-{:02}-{:02}",
        rng.random_range(2023..2027),
        rng.random_range(1..13),
        rng.random_range(1..29)
    )
}

fn text(rng: &mut StdRng, limit: Option<usize>, toast: f64) -> String {
    if limit.is_none_or(|limit| limit >= 20_000) && rng.random_bool(toast) {
        // Too varied to be compressed into a row.
        return (0..rng.random_range(300..800))
            .map(|_| format!("{:08x} ", rng.random::<u32>()))
            .collect();
    }
    let mut text = WORDS[rng.random_range(0..WORDS.len())].to_owned();
    if rng.random_bool(0.7) {
        text.push_str(&format!("{}", rng.random_range(0..10_000)));
    }
    match limit {
        Some(limit) => text.chars().take(limit).collect(),
        None => text,
    }
}

fn json(rng: &mut StdRng, depth: u32) -> String {
    match rng.random_range(0..if depth < 2 { 8 } else { 6 }) {
        0 => "null".to_owned(),
        1 => rng.random_bool(0.5).to_string(),
        2 => rng.random_range(-5..1000).to_string(),
        3 => {
            ["1.50", "0.1", "1e3", "12345678901234567890", "-0"][rng.random_range(0..5)].to_owned()
        }
        4 | 5 => serde_json::Value::from(WORDS[rng.random_range(0..WORDS.len())]).to_string(),
        6 => {
            let items: Vec<String> = (0..rng.random_range(0..3))
                .map(|_| json(rng, depth + 1))
                .collect();
            format!("[{}]", items.join(", "))
        }
        _ => {
            let fields: Vec<String> = (0..rng.random_range(0..4))
                .map(|_| {
                    let name = ["b", "a", "long name", "ключ", "n"][rng.random_range(0..5)];
                    format!("\"{name}\": {}", json(rng, depth + 1))
                })
                .collect();
            format!("{{{}}}", fields.join(", "))
        }
    }
}
