//! The storage form of values: exact, compact, self-describing.
//!
//! | first byte | value | then |
//! | --- | --- | --- |
//! | `80`–`FF` | integer 0 to 127 | – |
//! | `00` | NULL | – |
//! | `01` `02` | false, true | – |
//! | `03` | integer | zigzag varint |
//! | `04` `05` | real, double precision | 4 or 8 bytes, little-endian |
//! | `06` | numeric | scale varint, unscaled zigzag varint |
//! | `07` | large numeric | scale varint, length varint, two's complement, little-endian |
//! | `08` `09` `0A` | numeric NaN, Infinity, -Infinity | – |
//! | `0B` `0C` `0D` `0E` | text, bytea, json, jsonb | length varint, bytes |
//! | `0F` | date | zigzag varint |
//! | `10` `11` `12` | time, timestamp, timestamptz | 8 bytes, little-endian |
//! | `13` | interval | months, days, microseconds: zigzag varints |
//! | `14` | uuid | 16 bytes |
//! | `15` | enum | ordinal varint, label as text |
//! | `16` | array | dimensions varint, each lower bound (zigzag) and length; elements |
//! | `17` | row | fields varint; fields |
//!
//! Always: decoding any bytes gives a value or [`CorruptValue`], without a panic and without memory beyond a multiple of the input.

use std::sync::Arc;

use num_bigint::BigInt;

use crate::numeric::SCALE_MAX;
use crate::{Array, EnumLabel, Interval, Numeric, Value};

const DEPTH_MAX: usize = 64;

/// Bytes that are not a stored value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("stored value is corrupt at byte {at}")]
pub struct CorruptValue {
    /// How far decoding came.
    pub at: usize,
}

/// Appends an unsigned LEB128 number.
pub fn put_varint(out: &mut Vec<u8>, mut n: u64) {
    while n >= 0x80 {
        out.push(u8::try_from(n & 0x7F).unwrap_or(0) | 0x80);
        n >>= 7;
    }
    out.push(u8::try_from(n).unwrap_or(0));
}

/// Appends a signed number, small magnitudes short.
pub fn put_zigzag(out: &mut Vec<u8>, n: i64) {
    put_varint(out, (n.cast_unsigned() << 1) ^ (n >> 63).cast_unsigned());
}

fn put_bytes(out: &mut Vec<u8>, tag: u8, bytes: &[u8]) {
    out.push(tag);
    put_length(out, bytes.len());
    out.extend_from_slice(bytes);
}

fn put_length(out: &mut Vec<u8>, n: usize) {
    put_varint(out, u64::try_from(n).unwrap_or(u64::MAX));
}

/// Appends the storage form of a value.
pub fn encode_value(out: &mut Vec<u8>, value: &Value) {
    match value {
        Value::Null => out.push(0),
        Value::Bool(b) => out.push(1 + u8::from(*b)),
        Value::Int(n) => match u8::try_from(*n) {
            Ok(small) if small < 0x80 => out.push(small | 0x80),
            _ => {
                out.push(3);
                put_zigzag(out, *n);
            }
        },
        Value::Float4(x) => {
            out.push(4);
            out.extend_from_slice(&x.to_le_bytes());
        }
        Value::Float8(x) => {
            out.push(5);
            out.extend_from_slice(&x.to_le_bytes());
        }
        Value::Numeric(n) => put_numeric(out, n),
        Value::Text(s) => put_bytes(out, 0x0B, s.as_bytes()),
        Value::Bytea(b) => put_bytes(out, 0x0C, b),
        Value::Json(s) => put_bytes(out, 0x0D, s.as_bytes()),
        Value::Jsonb(s) => put_bytes(out, 0x0E, s.as_bytes()),
        Value::Date(d) => {
            out.push(0x0F);
            put_zigzag(out, (*d).into());
        }
        Value::Time(t) => put_moment(out, 0x10, *t),
        Value::Timestamp(t) => put_moment(out, 0x11, *t),
        Value::TimestampTz(t) => put_moment(out, 0x12, *t),
        Value::Interval(i) => {
            out.push(0x13);
            put_zigzag(out, i.months.into());
            put_zigzag(out, i.days.into());
            put_zigzag(out, i.micros);
        }
        Value::Uuid(bytes) => {
            out.push(0x14);
            out.extend_from_slice(bytes);
        }
        Value::Enum(label) => {
            out.push(0x15);
            put_varint(out, label.ordinal.into());
            put_length(out, label.label.len());
            out.extend_from_slice(label.label.as_bytes());
        }
        Value::Array(array) => {
            out.push(0x16);
            put_length(out, array.dimensions.len());
            for (lower, length) in &array.dimensions {
                put_zigzag(out, (*lower).into());
                put_length(out, *length);
            }
            for element in &array.elements {
                encode_value(out, element);
            }
        }
        Value::Record(fields) => {
            out.push(0x17);
            put_length(out, fields.len());
            for field in fields.iter() {
                encode_value(out, field);
            }
        }
    }
}

fn put_moment(out: &mut Vec<u8>, tag: u8, micros: i64) {
    out.push(tag);
    out.extend_from_slice(&micros.to_le_bytes());
}

fn put_numeric(out: &mut Vec<u8>, n: &Numeric) {
    if n.is_nan() {
        out.push(8);
    } else if n.is_infinite() {
        out.push(if n.signum() > 0 { 9 } else { 10 });
    } else if let Some((unscaled, scale)) = n.to_small_parts() {
        out.push(6);
        put_varint(out, scale.into());
        put_zigzag(out, unscaled);
    } else if let Some((unscaled, scale)) = n.to_parts() {
        out.push(7);
        put_varint(out, scale.into());
        let bytes = unscaled.to_signed_bytes_le();
        put_length(out, bytes.len());
        out.extend_from_slice(&bytes);
    }
}

/// Reads storage forms off the front of a slice.
pub struct Decoder<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Decoder<'a> {
    /// From the start of these bytes.
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Decoder<'a> {
        Decoder { bytes, at: 0 }
    }

    /// How many bytes have been read.
    #[must_use]
    pub fn position(&self) -> usize {
        self.at
    }

    /// Whether everything has been read.
    #[must_use]
    pub fn is_at_end(&self) -> bool {
        self.at == self.bytes.len()
    }

    fn corrupt(&self) -> CorruptValue {
        CorruptValue { at: self.at }
    }

    /// The next `n` bytes.
    ///
    /// # Errors
    /// When there are not so many.
    pub fn take(&mut self, n: usize) -> Result<&'a [u8], CorruptValue> {
        let end = self.at.checked_add(n).ok_or_else(|| self.corrupt())?;
        let taken = self.bytes.get(self.at..end).ok_or_else(|| self.corrupt())?;
        self.at = end;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], CorruptValue> {
        let error = self.corrupt();
        self.take(N)?.try_into().map_err(|_| error)
    }

    /// One byte.
    ///
    /// # Errors
    /// At the end.
    pub fn byte(&mut self) -> Result<u8, CorruptValue> {
        Ok(self.array::<1>()?[0])
    }

    /// A number of [`put_varint`].
    ///
    /// # Errors
    /// Cut short, or longer than 64 bits.
    pub fn varint(&mut self) -> Result<u64, CorruptValue> {
        let mut n = 0u64;
        for shift in (0..64).step_by(7) {
            let b = self.byte()?;
            let part = u64::from(b & 0x7F);
            if shift == 63 && part > 1 {
                return Err(self.corrupt());
            }
            n |= part << shift;
            if b < 0x80 {
                return Ok(n);
            }
        }
        Err(self.corrupt())
    }

    /// A number of [`put_zigzag`].
    ///
    /// # Errors
    /// As [`Decoder::varint`].
    pub fn zigzag(&mut self) -> Result<i64, CorruptValue> {
        let n = self.varint()?;
        Ok((n >> 1).cast_signed() ^ -(n & 1).cast_signed())
    }

    /// A varint as a length that the remaining bytes can hold.
    fn length(&mut self) -> Result<usize, CorruptValue> {
        let n = self.varint()?;
        usize::try_from(n)
            .ok()
            .filter(|n| *n <= self.bytes.len() - self.at)
            .ok_or_else(|| self.corrupt())
    }

    fn small<T: TryFrom<i64>>(&mut self) -> Result<T, CorruptValue> {
        let n = self.zigzag()?;
        T::try_from(n).map_err(|_| self.corrupt())
    }

    fn text(&mut self) -> Result<Arc<str>, CorruptValue> {
        let length = self.length()?;
        let bytes = self.take(length)?;
        std::str::from_utf8(bytes)
            .map(Arc::from)
            .map_err(|_| self.corrupt())
    }

    fn moment(&mut self) -> Result<i64, CorruptValue> {
        Ok(i64::from_le_bytes(self.array()?))
    }

    fn scale(&mut self) -> Result<u16, CorruptValue> {
        u16::try_from(self.varint()?)
            .ok()
            .filter(|s| *s <= SCALE_MAX)
            .ok_or_else(|| self.corrupt())
    }

    /// One value.
    ///
    /// # Errors
    /// Where the bytes are not one.
    pub fn value(&mut self) -> Result<Value, CorruptValue> {
        self.nested(0)
    }

    fn nested(&mut self, depth: usize) -> Result<Value, CorruptValue> {
        if depth > DEPTH_MAX {
            return Err(self.corrupt());
        }
        let tag = self.byte()?;
        Ok(match tag {
            0x80.. => Value::Int((tag & 0x7F).into()),
            0 => Value::Null,
            1 | 2 => Value::Bool(tag == 2),
            3 => Value::Int(self.zigzag()?),
            4 => Value::Float4(f32::from_le_bytes(self.array()?)),
            5 => Value::Float8(f64::from_le_bytes(self.array()?)),
            6 => {
                let scale = self.scale()?;
                Value::Numeric(Numeric::from_scaled_i64(self.zigzag()?, scale))
            }
            7 => {
                let scale = self.scale()?;
                let length = self.length()?;
                let unscaled = BigInt::from_signed_bytes_le(self.take(length)?);
                Value::Numeric(Numeric::from_parts(unscaled, scale))
            }
            8 => Value::Numeric(Numeric::NAN),
            9 => Value::Numeric(Numeric::INFINITY),
            10 => Value::Numeric(Numeric::NEGATIVE_INFINITY),
            0x0B => Value::Text(self.text()?),
            0x0C => {
                let length = self.length()?;
                Value::Bytea(self.take(length)?.into())
            }
            0x0D => Value::Json(self.text()?),
            0x0E => Value::Jsonb(self.text()?),
            0x0F => Value::Date(self.small()?),
            0x10 => Value::Time(self.moment()?),
            0x11 => Value::Timestamp(self.moment()?),
            0x12 => Value::TimestampTz(self.moment()?),
            0x13 => Value::Interval(Interval {
                months: self.small()?,
                days: self.small()?,
                micros: self.zigzag()?,
            }),
            0x14 => Value::Uuid(self.array()?),
            0x15 => Value::Enum(EnumLabel {
                ordinal: u32::try_from(self.varint()?).map_err(|_| self.corrupt())?,
                label: self.text()?,
            }),
            0x16 => self.array_value(depth)?,
            0x17 => {
                let count = self.length()?;
                Value::Record(self.values(count, depth)?.into())
            }
            _ => return Err(self.corrupt()),
        })
    }

    fn values(&mut self, count: usize, depth: usize) -> Result<Vec<Value>, CorruptValue> {
        // Each value takes a byte at least, so the count is bounded by the input; but don't reserve on its word.
        let mut values = Vec::with_capacity(count.min(64));
        for _ in 0..count {
            values.push(self.nested(depth + 1)?);
        }
        Ok(values)
    }

    fn array_value(&mut self, depth: usize) -> Result<Value, CorruptValue> {
        let count = self.length()?;
        let mut dimensions = Vec::with_capacity(count.min(6));
        for _ in 0..count {
            dimensions.push((self.small()?, self.length()?));
        }
        let elements = if dimensions.is_empty() {
            Some(0)
        } else {
            dimensions
                .iter()
                .try_fold(1usize, |n, (_, length)| n.checked_mul(*length))
        };
        let elements = elements
            .filter(|n| *n <= self.bytes.len() - self.at)
            .ok_or_else(|| self.corrupt())?;
        Ok(Value::Array(
            Array {
                dimensions,
                elements: self.values(elements, depth)?,
            }
            .into(),
        ))
    }
}

/// A value from exactly these bytes.
///
/// # Errors
/// Where they are not one value.
pub fn decode_value(bytes: &[u8]) -> Result<Value, CorruptValue> {
    let (value, length) = decode_value_prefix(bytes)?;
    if length == bytes.len() {
        Ok(value)
    } else {
        Err(CorruptValue { at: length })
    }
}

/// The value at the front of these bytes, and how many it takes.
///
/// # Errors
/// Where they don't begin with a value.
pub fn decode_value_prefix(bytes: &[u8]) -> Result<(Value, usize), CorruptValue> {
    let mut decoder = Decoder::new(bytes);
    let value = decoder.value()?;
    Ok((value, decoder.position()))
}
