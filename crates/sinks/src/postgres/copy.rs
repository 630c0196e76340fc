//! Rows in COPY's text format, into a staging table.
//!
//! In: writes. Out: one line each: the hidden key if the table has one, the columns, and whether the row is to go.

use bytes::{BufMut, Bytes, BytesMut};
use readside_model::Body;
use readside_sink::{SinkError, Write};

use super::table::{Identity, Table};

/// What goes to the server in one message.
pub(super) const MESSAGE_BYTES: usize = 64 * 1024;

/// Adds the line of one write.
///
/// # Errors
/// A document that is not this table's is a defect.
pub(super) fn put_line(out: &mut BytesMut, table: &Table, write: &Write) -> Result<(), SinkError> {
    let mut first = true;
    let mut value = |out: &mut BytesMut, value: Option<&[u8]>| {
        if !std::mem::take(&mut first) {
            out.put_u8(b'\t');
        }
        match value {
            Some(text) => put_escaped(out, text),
            None => out.extend_from_slice(b"\\N"),
        }
    };
    if table.identity == Identity::Hidden {
        value(out, Some(write.key.as_bytes()));
    }
    match &write.body {
        Some(Body::Columns(columns)) if columns.len() == table.columns.len() => {
            for column in columns {
                value(out, column.as_deref());
            }
            value(out, Some(b"f"));
        }
        Some(_) => {
            return Err(SinkError::Operator {
                message: format!("a document in another form than table `{}` has", table.name),
                hint: "report this as a defect".to_owned(),
            });
        }
        None => {
            let mut texts: Vec<Option<&Bytes>> = vec![None; table.columns.len()];
            let parts: Vec<Option<Bytes>> = write
                .key_parts
                .iter()
                .map(|part| {
                    part.as_ref()
                        .map(|text| Bytes::copy_from_slice(text.as_bytes()))
                })
                .collect();
            if let Identity::Columns(key) = &table.identity {
                for (column, part) in key.iter().zip(&parts) {
                    if let Some(text) = texts.get_mut(*column) {
                        *text = part.as_ref();
                    }
                }
            }
            for text in texts {
                value(out, text.map(|t| &t[..]));
            }
            value(out, Some(b"t"));
        }
    }
    out.put_u8(b'\n');
    Ok(())
}

fn put_escaped(out: &mut BytesMut, text: &[u8]) {
    let mut rest = text;
    while let Some(at) = rest
        .iter()
        .position(|b| matches!(b, b'\\' | b'\t' | b'\n' | b'\r'))
    {
        let (plain, special) = rest.split_at(at);
        out.extend_from_slice(plain);
        let Some((byte, after)) = special.split_first() else {
            return;
        };
        out.put_u8(b'\\');
        out.put_u8(match byte {
            b'\t' => b't',
            b'\n' => b'n',
            b'\r' => b'r',
            other => *other,
        });
        rest = after;
    }
    out.extend_from_slice(rest);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn separators_in_a_value_are_escaped() {
        let mut out = BytesMut::new();
        put_escaped(&mut out, b"a\tb\nc\rd\\e\\N");
        assert_eq!(&out[..], b"a\\tb\\nc\\rd\\\\e\\\\N");
    }
}
