//! MD5 in hex.

use md5::{Digest, Md5};

pub(super) fn hex(bytes: &[u8]) -> String {
    Md5::digest(bytes)
        .iter()
        .map(|b| format!("{b:02x}"))
        .collect()
}
