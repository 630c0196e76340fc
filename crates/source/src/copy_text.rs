//! COPY's text format.
//!
//! In: one line. Out: its columns, unescaped; slices of the line where nothing was escaped.

use bytes::{Bytes, BytesMut};

/// A row: `None` is NULL.
pub type Row = Vec<Option<Bytes>>;

/// Splits one line (with or without its newline) into exactly `columns` values.
pub(crate) fn split_row(line: &Bytes, columns: usize) -> Option<Row> {
    let end = match line.last() {
        Some(b'\n') => line.len() - 1,
        _ => line.len(),
    };
    let text = line.get(..end)?;
    if columns == 0 {
        return text.is_empty().then(Row::new);
    }
    let mut row = Row::with_capacity(columns);
    for field in text.split(|&b| b == b'\t') {
        // A tab inside a value is escaped, so every tab here is a separator.
        row.push(match field {
            b"\\N" => None,
            field if field.contains(&b'\\') => Some(unescape(field)?),
            field => Some(line.slice_ref(field)),
        });
    }
    (row.len() == columns).then_some(row)
}

fn unescape(field: &[u8]) -> Option<Bytes> {
    let mut out = BytesMut::with_capacity(field.len());
    let mut rest = field;
    while let Some(at) = rest.iter().position(|&b| b == b'\\') {
        let (plain, escaped) = rest.split_at(at);
        out.extend_from_slice(plain);
        let &[_, code, ref after @ ..] = escaped else {
            return None;
        };
        out.extend_from_slice(&[match code {
            b'b' => 0x08,
            b'f' => 0x0c,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'v' => 0x0b,
            other => other,
        }]);
        rest = after;
    }
    out.extend_from_slice(rest);
    Some(out.freeze())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn row(line: &'static [u8], columns: usize) -> Option<Vec<Option<Vec<u8>>>> {
        Some(
            split_row(&Bytes::from_static(line), columns)?
                .into_iter()
                .map(|v| v.map(|v| v.to_vec()))
                .collect(),
        )
    }

    #[test]
    fn nulls_empties_and_escapes_are_told_apart() {
        assert_eq!(
            row(b"\\N\t\t\\\\N\ta\\tb\\nc\\\\d\n", 4),
            Some(vec![
                None,
                Some(vec![]),
                Some(b"\\N".to_vec()),
                Some(b"a\tb\nc\\d".to_vec())
            ])
        );
        assert_eq!(row(b"\n", 1), Some(vec![Some(vec![])]));
        assert_eq!(row(b"\n", 0), Some(vec![]));
        assert_eq!(row(b"a\tb\n", 1), None);
        assert_eq!(row(b"a\\\n", 1), None);
    }

    fn escape(value: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        for &b in value {
            match b {
                0x08 => out.extend(b"\\b"),
                0x0c => out.extend(b"\\f"),
                b'\n' => out.extend(b"\\n"),
                b'\r' => out.extend(b"\\r"),
                b'\t' => out.extend(b"\\t"),
                0x0b => out.extend(b"\\v"),
                b'\\' => out.extend(b"\\\\"),
                b => out.push(b),
            }
        }
        out
    }

    proptest! {
        #[test]
        fn what_copy_escapes_comes_back(
            values in prop::collection::vec(prop::option::of(prop::collection::vec(1_u8.., 0..12)), 1..6)
        ) {
            let fields: Vec<Vec<u8>> = values
                .iter()
                .map(|v| v.as_ref().map_or(b"\\N".to_vec(), |v| escape(v)))
                .collect();
            let mut line = fields.join(&b'\t');
            line.push(b'\n');
            let row = split_row(&Bytes::from(line), values.len()).unwrap();
            let row: Vec<Option<Vec<u8>>> = row.into_iter().map(|v| v.map(|v| v.to_vec())).collect();
            prop_assert_eq!(row, values);
        }

        #[test]
        fn no_bytes_panic(line in prop::collection::vec(any::<u8>(), 0..40), columns in 0_usize..5) {
            let _ = split_row(&Bytes::from(line), columns);
        }
    }
}
