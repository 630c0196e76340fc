//! Any bytes decode or are refused; what decodes can be walked, and its rows read back.

#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use readside_pgoutput::{Message, TupleData, decode};

fn walk(tuple: &TupleData) {
    assert_eq!(tuple.iter().count(), tuple.len());
    assert_eq!(tuple.shared().count(), tuple.len());
    assert_eq!(TupleData::from_encoded(tuple.encoded()).as_ref(), Ok(tuple));
}

fuzz_target!(|data: &[u8]| {
    let bytes = Bytes::copy_from_slice(data);
    for streaming in [false, true] {
        match decode(&bytes, streaming) {
            Ok(Message::Insert(insert)) => walk(&insert.new),
            Ok(Message::Update(update)) => {
                walk(&update.new);
                if let Some(old) = &update.old {
                    walk(&old.tuple);
                }
            }
            Ok(Message::Delete(delete)) => walk(&delete.old.tuple),
            Ok(_) | Err(_) => {}
        }
    }
});
