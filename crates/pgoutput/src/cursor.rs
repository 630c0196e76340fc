//! A reading position in a message that knows which field it is at.

use bytes::Bytes;
use readside_model::{Lsn, Timestamp, Xid};

use crate::DecodeError;

/// Reads big-endian fields off the front of a shared buffer; every read checks the bounds.
pub(crate) struct Cursor<'a> {
    bytes: &'a Bytes,
    offset: usize,
    message: char,
}

impl<'a> Cursor<'a> {
    pub(crate) fn new(bytes: &'a Bytes) -> Cursor<'a> {
        Cursor {
            bytes,
            offset: 0,
            message: '?',
        }
    }

    /// Reads the tag, which later errors name.
    pub(crate) fn tag(&mut self) -> Result<u8, DecodeError> {
        let tag = self.u8("tag")?;
        self.message = char::from(tag);
        Ok(tag)
    }

    pub(crate) fn offset(&self) -> usize {
        self.offset
    }

    pub(crate) fn remaining(&self) -> usize {
        self.bytes.len().saturating_sub(self.offset)
    }

    /// What lies between an earlier offset and here, sharing the buffer.
    pub(crate) fn since(&self, start: usize) -> Bytes {
        self.bytes.slice(start.min(self.offset)..self.offset)
    }

    fn truncated(&self, field: &'static str) -> DecodeError {
        DecodeError::Truncated {
            message: self.message,
            field,
            offset: self.bytes.len(),
        }
    }

    /// For a discriminating byte just read.
    pub(crate) fn unexpected(&self, field: &'static str, value: u8) -> DecodeError {
        DecodeError::UnexpectedByte {
            message: self.message,
            field,
            value,
            offset: self.offset.saturating_sub(1),
        }
    }

    pub(crate) fn take(
        &mut self,
        count: usize,
        field: &'static str,
    ) -> Result<&'a [u8], DecodeError> {
        let end = self
            .offset
            .checked_add(count)
            .ok_or_else(|| self.truncated(field))?;
        let taken = self
            .bytes
            .get(self.offset..end)
            .ok_or_else(|| self.truncated(field))?;
        self.offset = end;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self, field: &'static str) -> Result<[u8; N], DecodeError> {
        let error = self.truncated(field);
        self.take(N, field)?.try_into().map_err(|_| error)
    }

    pub(crate) fn u8(&mut self, field: &'static str) -> Result<u8, DecodeError> {
        Ok(u8::from_be_bytes(self.array(field)?))
    }

    pub(crate) fn u16(&mut self, field: &'static str) -> Result<u16, DecodeError> {
        Ok(u16::from_be_bytes(self.array(field)?))
    }

    pub(crate) fn u32(&mut self, field: &'static str) -> Result<u32, DecodeError> {
        Ok(u32::from_be_bytes(self.array(field)?))
    }

    pub(crate) fn i32(&mut self, field: &'static str) -> Result<i32, DecodeError> {
        Ok(i32::from_be_bytes(self.array(field)?))
    }

    pub(crate) fn lsn(&mut self, field: &'static str) -> Result<Lsn, DecodeError> {
        Ok(Lsn(u64::from_be_bytes(self.array(field)?)))
    }

    pub(crate) fn timestamp(&mut self, field: &'static str) -> Result<Timestamp, DecodeError> {
        Ok(Timestamp(i64::from_be_bytes(self.array(field)?)))
    }

    pub(crate) fn xid(&mut self, field: &'static str) -> Result<Xid, DecodeError> {
        Ok(Xid(self.u32(field)?))
    }

    /// A signed 32-bit length or count.
    pub(crate) fn length(&mut self, field: &'static str) -> Result<usize, DecodeError> {
        let offset = self.offset;
        let value = self.i32(field)?;
        usize::try_from(value).map_err(|_| DecodeError::NegativeLength {
            message: self.message,
            field,
            value,
            offset,
        })
    }

    /// A text ended by a zero byte.
    pub(crate) fn text(&mut self, field: &'static str) -> Result<String, DecodeError> {
        let start = self.offset;
        let rest = self.bytes.get(start..).unwrap_or_default();
        let length = rest
            .iter()
            .position(|&byte| byte == 0)
            .ok_or_else(|| self.truncated(field))?;
        let text = self.take(length, field)?;
        self.u8(field)?;
        match std::str::from_utf8(text) {
            Ok(text) => Ok(text.to_owned()),
            Err(_) => Err(DecodeError::NotUtf8 {
                message: self.message,
                field,
                offset: start,
            }),
        }
    }

    /// Nothing may be left.
    pub(crate) fn finish(&self) -> Result<(), DecodeError> {
        match self.remaining() {
            0 => Ok(()),
            count => Err(DecodeError::TrailingBytes {
                message: self.message,
                count,
            }),
        }
    }
}
