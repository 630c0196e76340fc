//! Case mapping.
//!
//! `Ascii` is what the C library does under `C`; `Unicode` what it does under `C.UTF-8`: Unicode's simple mapping, one character to one.

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
                    in_word = match mapping {
                        CaseMapping::Ascii => changed.is_ascii_alphanumeric(),
                        CaseMapping::Unicode => alphanumeric(changed),
                    };
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
    simple(c, c.to_lowercase(), SIMPLE_LOWER)
}

pub(super) fn upper(c: char, mapping: CaseMapping) -> char {
    if c.is_ascii() || mapping == CaseMapping::Ascii {
        return c.to_ascii_uppercase();
    }
    simple(c, c.to_uppercase(), SIMPLE_UPPER)
}

/// `iswalnum`
fn alphanumeric(c: char) -> bool {
    c.is_alphanumeric()
}

/// The simple mapping of a letter: what the full one gives where that is one character, with exceptions.
fn simple(c: char, mut full: impl Iterator<Item = char>, exceptions: &[(char, char)]) -> char {
    if let Ok(at) = exceptions.binary_search_by_key(&c, |e| e.0) {
        return exceptions[at].1;
    }
    match (full.next(), full.next()) {
        (Some(one), None) => one,
        _ => c,
    }
}

/// Where the C library's `towlower` differs from the one-character full mapping.
const SIMPLE_LOWER: &[(char, char)] = &[];

/// Where the C library's `towupper` differs from the one-character full mapping.
const SIMPLE_UPPER: &[(char, char)] = &[];
