//! Why bytes are not a message.

/// Bytes that are not a pgoutput message.
///
/// The stream cannot be resumed behind one: the connection is closed and the slot read again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// The message ended inside a field.
    #[error("pgoutput message `{message}` ends inside `{field}` at byte {offset}")]
    Truncated {
        /// The message's tag, `?` before it was read.
        message: char,
        /// The field being read.
        field: &'static str,
        /// Where the bytes ended.
        offset: usize,
    },
    /// A tag that no known protocol version has.
    #[error("unknown pgoutput message `{}` (0x{tag:02x})", char::from(*.tag).escape_default())]
    UnknownMessage {
        /// The first byte.
        tag: u8,
    },
    /// A byte that selects among alternatives and is none of them.
    #[error("pgoutput message `{message}` has 0x{value:02x} for `{field}` at byte {offset}")]
    UnexpectedByte {
        /// The message's tag.
        message: char,
        /// The field being read.
        field: &'static str,
        /// What stood there.
        value: u8,
        /// Where.
        offset: usize,
    },
    /// A length or count below zero.
    #[error("pgoutput message `{message}` has the length {value} for `{field}` at byte {offset}")]
    NegativeLength {
        /// The message's tag.
        message: char,
        /// The field being read.
        field: &'static str,
        /// What stood there.
        value: i32,
        /// Where.
        offset: usize,
    },
    /// A name that is not UTF-8; cannot happen with `client_encoding=UTF8`.
    #[error("pgoutput message `{message}` has a `{field}` that is not UTF-8 at byte {offset}")]
    NotUtf8 {
        /// The message's tag.
        message: char,
        /// The field being read.
        field: &'static str,
        /// Where it starts.
        offset: usize,
    },
    /// Bytes behind the last field: a newer protocol than was asked for.
    #[error("pgoutput message `{message}` has {count} bytes behind its end")]
    TrailingBytes {
        /// The message's tag.
        message: char,
        /// How many.
        count: usize,
    },
}
