//! An exact sum of numerics that can take back what it was given.

use std::collections::BTreeMap;

use num_bigint::BigInt;
use readside_pgtype::{CorruptValue, Decoder, Numeric, ValueError, put_varint, put_zigzag};

use crate::accumulator::{get_bigint, put_bigint};

/// The finite sum, how many values have each display scale, and how many are not finite.
///
/// The display scale of a sum is the largest among the values that are in it: 1.50 + 2.5 - 1.50 prints 2.5.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct NumericSum {
    unscaled: BigInt,
    scale: u16,
    scales: BTreeMap<u16, i64>,
    nan: i64,
    positive_infinite: i64,
    negative_infinite: i64,
}

fn pow10(n: u16) -> BigInt {
    BigInt::from(10u8).pow(n.into())
}

impl NumericSum {
    /// Adds (`sign` 1) or takes back (`sign` -1) one value.
    pub(crate) fn apply(&mut self, value: &Numeric, sign: i64) {
        match value.to_parts() {
            Some((unscaled, scale)) => {
                self.count_scale(scale, sign);
                self.add_parts(&(unscaled * sign), scale);
            }
            None if value.is_nan() => self.nan += sign,
            None if value.signum() > 0 => self.positive_infinite += sign,
            None => self.negative_infinite += sign,
        }
    }

    fn count_scale(&mut self, scale: u16, by: i64) {
        let count = self.scales.entry(scale).or_insert(0);
        *count += by;
        if *count == 0 {
            self.scales.remove(&scale);
        }
        self.shrink();
    }

    fn add_parts(&mut self, unscaled: &BigInt, scale: u16) {
        if scale > self.scale {
            self.unscaled *= pow10(scale - self.scale);
            self.scale = scale;
        }
        self.unscaled += unscaled * pow10(self.scale - scale);
        self.shrink();
    }

    /// Brings the sum back to the largest scale in use, where it is exact; so equal contents have equal states.
    fn shrink(&mut self) {
        let wanted = self.scales.last_key_value().map_or(0, |(s, _)| *s);
        while self.scale > wanted {
            let tenth = &self.unscaled / 10;
            if &tenth * 10 != self.unscaled {
                return;
            }
            self.unscaled = tenth;
            self.scale -= 1;
        }
    }

    /// Adds all that the other has.
    pub(crate) fn merge(&mut self, other: &NumericSum) {
        for (scale, count) in &other.scales {
            self.count_scale(*scale, *count);
        }
        self.add_parts(&other.unscaled, other.scale);
        self.nan += other.nan;
        self.positive_infinite += other.positive_infinite;
        self.negative_infinite += other.negative_infinite;
    }

    /// How many values are in it.
    pub(crate) fn count(&self) -> i64 {
        self.scales.values().sum::<i64>()
            + self.nan
            + self.positive_infinite
            + self.negative_infinite
    }

    /// Whether all values in it are finite.
    pub(crate) fn is_finite(&self) -> bool {
        self.nan == 0 && self.positive_infinite == 0 && self.negative_infinite == 0
    }

    /// The sum, at the largest display scale of its values.
    pub(crate) fn value(&self) -> Result<Numeric, ValueError> {
        if self.nan > 0 || (self.positive_infinite > 0 && self.negative_infinite > 0) {
            return Ok(Numeric::NAN);
        }
        if self.positive_infinite > 0 {
            return Ok(Numeric::INFINITY);
        }
        if self.negative_infinite > 0 {
            return Ok(Numeric::NEGATIVE_INFINITY);
        }
        let scale = self.scales.last_key_value().map_or(0, |(s, _)| *s);
        let sum = Numeric::from_parts(self.unscaled.clone(), self.scale).rescale(scale);
        // Adding zero checks the number of digits.
        sum.add(&Numeric::ZERO)
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        put_varint(out, self.scale.into());
        put_bigint(out, &self.unscaled);
        put_varint(out, u64::try_from(self.scales.len()).unwrap_or(0));
        for (scale, count) in &self.scales {
            put_varint(out, (*scale).into());
            put_zigzag(out, *count);
        }
        put_zigzag(out, self.nan);
        put_zigzag(out, self.positive_infinite);
        put_zigzag(out, self.negative_infinite);
    }

    pub(crate) fn decode(decoder: &mut Decoder<'_>) -> Result<NumericSum, CorruptValue> {
        let corrupt = |d: &Decoder<'_>| CorruptValue { at: d.position() };
        let scale = |d: &mut Decoder<'_>| {
            u16::try_from(d.varint()?)
                .ok()
                .filter(|s| *s <= 0x7FFF)
                .ok_or(corrupt(d))
        };
        let own_scale = scale(decoder)?;
        let unscaled = get_bigint(decoder)?;
        let mut scales = BTreeMap::new();
        for _ in 0..decoder.varint()? {
            let s = scale(decoder)?;
            scales.insert(s, decoder.zigzag()?);
        }
        Ok(NumericSum {
            unscaled,
            scale: own_scale,
            scales,
            nan: decoder.zigzag()?,
            positive_infinite: decoder.zigzag()?,
            negative_infinite: decoder.zigzag()?,
        })
    }
}
