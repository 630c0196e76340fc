//! Case mapping.
//!
//! `Ascii` is what the C library does under `C`. `Unicode` is what it does under `C.UTF-8`: one character to one, by the tables of
//! glibc 2.36 (Unicode 15), which `ctype.tsv` holds in full; `ctype.sql` says how it was read from a server. Another C library may
//! know newer letters; none maps an older one otherwise.

use std::sync::OnceLock;

use crate::{CaseChange, CaseMapping};

pub(super) fn change(text: &str, to: CaseChange, mapping: CaseMapping) -> String {
    match to {
        CaseChange::Lower => text.chars().map(|c| lower(c, mapping)).collect(),
        CaseChange::Upper => text.chars().map(|c| upper(c, mapping)).collect(),
        CaseChange::Initcap => {
            let mut in_word = false;
            text.chars()
                .map(|c| {
                    let changed = if in_word {
                        lower(c, mapping)
                    } else {
                        upper(c, mapping)
                    };
                    in_word = alphanumeric(changed, mapping);
                    changed
                })
                .collect()
        }
    }
}

pub(super) fn lower(c: char, mapping: CaseMapping) -> char {
    if c.is_ascii() || mapping == CaseMapping::Ascii {
        return c.to_ascii_lowercase();
    }
    mapped(&tables().lower, c)
}

pub(super) fn upper(c: char, mapping: CaseMapping) -> char {
    if c.is_ascii() || mapping == CaseMapping::Ascii {
        return c.to_ascii_uppercase();
    }
    mapped(&tables().upper, c)
}

fn alphanumeric(c: char, mapping: CaseMapping) -> bool {
    if c.is_ascii() || mapping == CaseMapping::Ascii {
        return c.is_ascii_alphanumeric();
    }
    find(&tables().alphanumeric, u32::from(c)).is_some()
}

/// Every `stride`th character from `first` to `last`.
#[derive(Debug)]
struct Range {
    first: u32,
    last: u32,
    stride: u32,
    shift: i32,
}

#[derive(Debug, Default)]
struct Tables {
    lower: Vec<Range>,
    upper: Vec<Range>,
    alphanumeric: Vec<Range>,
}

fn tables() -> &'static Tables {
    static TABLES: OnceLock<Tables> = OnceLock::new();
    TABLES.get_or_init(|| {
        let mut tables = Tables::default();
        for line in include_str!("ctype.tsv").lines() {
            let parts: Vec<&str> = line.split('\t').collect();
            let [name, first, last, stride, shift] = parts[..] else {
                continue;
            };
            let range = Range {
                first: u32::from_str_radix(first, 16).unwrap_or(0),
                last: u32::from_str_radix(last, 16).unwrap_or(0),
                stride: stride.parse().unwrap_or(1),
                shift: shift.parse().unwrap_or(0),
            };
            match name {
                "lower" => tables.lower.push(range),
                "upper" => tables.upper.push(range),
                _ => tables.alphanumeric.push(range),
            }
        }
        tables
    })
}

/// The range that holds a character; ranges of stride 2 may interleave with others, so a few before it are looked at.
fn find(ranges: &[Range], c: u32) -> Option<&Range> {
    let after = ranges.partition_point(|r| r.first <= c);
    ranges[..after]
        .iter()
        .rev()
        .take(3)
        .find(|r| c <= r.last && (c - r.first).is_multiple_of(r.stride))
}

fn mapped(ranges: &[Range], c: char) -> char {
    find(ranges, u32::from(c))
        .and_then(|r| u32::from(c).checked_add_signed(r.shift))
        .and_then(char::from_u32)
        .unwrap_or(c)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// FNV-1a over everything that the server answered, which the fixture can't hold in full.
    #[test]
    fn the_whole_table_is_what_the_server_answered() {
        let mut hash = 0xcbf2_9ce4_8422_2325_u64;
        let mut feed = |n: u32| {
            for b in n.to_le_bytes() {
                hash = (hash ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3);
            }
        };
        for c in (1..=0x0010_FFFF).filter_map(char::from_u32) {
            feed(u32::from(lower(c, CaseMapping::Unicode)));
            feed(u32::from(upper(c, CaseMapping::Unicode)));
            let is_letter = alphanumeric(upper(c, CaseMapping::Unicode), CaseMapping::Unicode);
            feed(u32::from(is_letter));
        }
        assert_eq!(hash, HASH, "{hash:#x}");
    }

    const HASH: u64 = 0xad09_4eaf_1355_399a;

    #[test]
    fn letters_change_one_to_one() {
        let unicode = |s, to| change(s, to, CaseMapping::Unicode);
        assert_eq!(unicode("İÉß", CaseChange::Lower), "iéß");
        assert_eq!(
            unicode("straße ﬁ ǆ", CaseChange::Upper),
            "STRASSE ﬁ Ǆ".replace("SS", "ß")
        );
        assert_eq!(change("É", CaseChange::Lower, CaseMapping::Ascii), "É");
    }
}
