//! The state of one aggregate of one group: contributions can be added and taken back, in any order.
//!
//! Always: after any additions and subtractions the state is the one that the remaining contributions alone would give. Counts may
//! be below zero in between, so a state can also hold a difference that is merged later.

use num_bigint::BigInt;
use readside_expr::EvalError;
use readside_pgtype::{
    CorruptValue, Decoder, Interval, Numeric, Value, ValueError, put_varint, put_zigzag,
};

use crate::AggFunc;
use crate::float_sum::FloatSum;
use crate::numeric_sum::NumericSum;
use crate::spread;

/// The state of one aggregate of one group. Encoded:
///
/// | state | bytes (numbers are zigzag varints) |
/// | --- | --- |
/// | counts | the count |
/// | integer sums and averages | count, sum as length and two's complement |
/// | interval sums and averages | count, sums of months, days, microseconds |
/// | booleans | trues, falses |
/// | bits | count, count of ones for each of 64 bits |
/// | numeric sums and averages | scale, sum, scales with their counts, NaNs, Infinities, -Infinities |
/// | float sums and averages | sum, binary exponent, finite values, negative zeros, NaNs, Infinities, -Infinities |
/// | variances | the sum, then the sum of squares |
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accumulator {
    func: AggFunc,
    state: State,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum State {
    Count(i64),
    Integer {
        count: i64,
        sum: i128,
    },
    Interval {
        count: i64,
        months: i128,
        days: i128,
        micros: i128,
    },
    Bool {
        trues: i64,
        falses: i64,
    },
    Bits {
        count: i64,
        ones: Box<[i64; 64]>,
    },
    Numeric(Box<NumericSum>),
    Float(Box<FloatSum>),
    NumericSpread {
        sum: Box<NumericSum>,
        squares: Box<NumericSum>,
    },
    FloatSpread {
        sum: Box<FloatSum>,
        squares: Box<FloatSum>,
    },
    /// The function is computed from an ordered index; there is nothing to keep.
    Indexed,
}

pub(crate) fn raise(error: ValueError) -> EvalError {
    EvalError {
        sqlstate: error.sqlstate,
        message: error.message,
    }
}

pub(crate) fn put_bigint(out: &mut Vec<u8>, n: &BigInt) {
    let bytes = n.to_signed_bytes_le();
    put_varint(out, u64::try_from(bytes.len()).unwrap_or(0));
    out.extend_from_slice(&bytes);
}

pub(crate) fn get_bigint(decoder: &mut Decoder<'_>) -> Result<BigInt, CorruptValue> {
    let length = usize::try_from(decoder.varint()?).map_err(|_| CorruptValue {
        at: decoder.position(),
    })?;
    Ok(BigInt::from_signed_bytes_le(decoder.take(length)?))
}

/// A float overflow as Postgres reports it.
pub(crate) fn float_overflow() -> EvalError {
    EvalError {
        sqlstate: "22003",
        message: "value out of range: overflow".to_owned(),
    }
}

/// A value that is not of the type that the plan says: a defect, reported rather than guessed around.
pub(crate) fn mistyped(func: AggFunc, value: &Value) -> EvalError {
    EvalError {
        sqlstate: "XX000",
        message: format!("aggregate `{}` was given {value:?}", func.name()),
    }
}

impl Accumulator {
    /// The state of no contributions.
    ///
    /// Functions that need an ordered index ([`AggFunc::needs_order_index`]) have none: their state ignores what it is given and
    /// its value is an error.
    #[must_use]
    pub fn new(func: &AggFunc) -> Accumulator {
        let state = match func {
            AggFunc::CountStar | AggFunc::Count => State::Count(0),
            AggFunc::SumInt | AggFunc::SumBigint | AggFunc::AvgInt => {
                State::Integer { count: 0, sum: 0 }
            }
            AggFunc::SumNumeric | AggFunc::AvgNumeric => State::Numeric(Box::default()),
            AggFunc::SumFloat4 | AggFunc::SumFloat8 | AggFunc::AvgFloat => {
                State::Float(Box::default())
            }
            AggFunc::SumInterval | AggFunc::AvgInterval => State::Interval {
                count: 0,
                months: 0,
                days: 0,
                micros: 0,
            },
            AggFunc::BoolAnd | AggFunc::BoolOr => State::Bool {
                trues: 0,
                falses: 0,
            },
            AggFunc::BitAnd | AggFunc::BitOr | AggFunc::BitXor => State::Bits {
                count: 0,
                ones: Box::new([0; 64]),
            },
            AggFunc::SpreadNumeric(_) => State::NumericSpread {
                sum: Box::default(),
                squares: Box::default(),
            },
            AggFunc::SpreadFloat(_) => State::FloatSpread {
                sum: Box::default(),
                squares: Box::default(),
            },
            AggFunc::Min
            | AggFunc::Max
            | AggFunc::StringAgg
            | AggFunc::ByteaAgg
            | AggFunc::ArrayAgg
            | AggFunc::ArrayAggArrays
            | AggFunc::JsonAgg
            | AggFunc::JsonbAgg
            | AggFunc::JsonObjectAgg
            | AggFunc::JsonbObjectAgg
            | AggFunc::JsonAggStrict
            | AggFunc::JsonbAggStrict
            | AggFunc::JsonObjectAggStrict
            | AggFunc::JsonbObjectAggStrict
            | AggFunc::Mode
            | AggFunc::PercentileDisc
            | AggFunc::PercentileCont => State::Indexed,
        };
        Accumulator { func: *func, state }
    }

    /// Adds the contribution of one row: the values of the arguments, none for `count(*)`.
    pub fn add(&mut self, args: &[Value]) {
        self.apply(args, 1);
    }

    /// Takes back a contribution that was added with these values.
    pub fn subtract(&mut self, args: &[Value]) {
        self.apply(args, -1);
    }

    fn apply(&mut self, args: &[Value], sign: i64) {
        let value = args.first().unwrap_or(&Value::Null);
        if self.func == AggFunc::CountStar {
            if let State::Count(count) = &mut self.state {
                *count += sign;
            }
            return;
        }
        match (&mut self.state, value) {
            (_, Value::Null) => {}
            (State::Count(count), _) => *count += sign,
            (State::Integer { count, sum }, Value::Int(n)) => {
                *count += sign;
                *sum += i128::from(*n) * i128::from(sign);
            }
            (
                State::Interval {
                    count,
                    months,
                    days,
                    micros,
                },
                Value::Interval(i),
            ) => {
                *count += sign;
                *months += i128::from(i.months) * i128::from(sign);
                *days += i128::from(i.days) * i128::from(sign);
                *micros += i128::from(i.micros) * i128::from(sign);
            }
            (State::Bool { trues, .. }, Value::Bool(true)) => *trues += sign,
            (State::Bool { falses, .. }, Value::Bool(false)) => *falses += sign,
            (State::Bits { count, ones }, Value::Int(n)) => {
                *count += sign;
                for (bit, one) in ones.iter_mut().enumerate() {
                    *one += (n >> bit & 1) * sign;
                }
            }
            (State::Numeric(sum), Value::Numeric(n)) => sum.apply(n, sign),
            (State::Float(sum), Value::Float4(x)) => sum.apply((*x).into(), sign),
            (State::Float(sum), Value::Float8(x)) => sum.apply(*x, sign),
            (State::NumericSpread { sum, squares }, Value::Numeric(n)) => {
                sum.apply(n, sign);
                // The square of a finite value is exact, unless its scale exceeds what numeric can show.
                squares.apply(&n.mul(n).unwrap_or(Numeric::NAN), sign);
            }
            (State::FloatSpread { sum, squares }, Value::Float8(x)) => {
                sum.apply(*x, sign);
                squares.apply_square(*x, sign);
            }
            // Values of another type than the plan's cannot come; those of indexed functions are in the index.
            _ => {}
        }
    }

    /// Adds all contributions that another state of the same function has, differences included.
    pub fn merge(&mut self, other: &Accumulator) {
        match (&mut self.state, &other.state) {
            (State::Count(a), State::Count(b)) => *a += b,
            (
                State::Integer { count, sum },
                State::Integer {
                    count: other_count,
                    sum: other_sum,
                },
            ) => {
                *count += other_count;
                *sum += other_sum;
            }
            (
                State::Interval {
                    count,
                    months,
                    days,
                    micros,
                },
                State::Interval {
                    count: c,
                    months: m,
                    days: d,
                    micros: u,
                },
            ) => {
                *count += c;
                *months += m;
                *days += d;
                *micros += u;
            }
            (
                State::Bool { trues, falses },
                State::Bool {
                    trues: t,
                    falses: f,
                },
            ) => {
                *trues += t;
                *falses += f;
            }
            (State::Bits { count, ones }, State::Bits { count: c, ones: o }) => {
                *count += c;
                for (one, other) in ones.iter_mut().zip(o.iter()) {
                    *one += other;
                }
            }
            (State::Numeric(a), State::Numeric(b)) => a.merge(b),
            (State::Float(a), State::Float(b)) => a.merge(b),
            (
                State::NumericSpread { sum, squares },
                State::NumericSpread { sum: s, squares: q },
            ) => {
                sum.merge(s);
                squares.merge(q);
            }
            (State::FloatSpread { sum, squares }, State::FloatSpread { sum: s, squares: q }) => {
                sum.merge(s);
                squares.merge(q);
            }
            _ => {}
        }
    }

    /// The aggregate's value.
    ///
    /// # Errors
    /// What Postgres would raise, such as `bigint out of range`; XX000 for a function that needs an ordered index.
    pub fn value(&self) -> Result<Value, EvalError> {
        match &self.state {
            State::Count(count) => Ok(Value::Int(*count)),
            State::Integer { count: 0, .. } | State::Interval { count: 0, .. } => Ok(Value::Null),
            State::Integer { count, sum } => self.integer(*count, *sum),
            State::Interval {
                count,
                months,
                days,
                micros,
            } => {
                let overflow = || raise(ValueError::datetime_out_of_range("interval"));
                let sum = Interval {
                    months: i32::try_from(*months).map_err(|_| overflow())?,
                    days: i32::try_from(*days).map_err(|_| overflow())?,
                    micros: i64::try_from(*micros).map_err(|_| overflow())?,
                };
                if self.func == AggFunc::SumInterval {
                    return Ok(Value::Interval(sum));
                }
                sum.div(count_as_f64(*count))
                    .map(Value::Interval)
                    .map_err(raise)
            }
            State::Bool {
                trues: 0,
                falses: 0,
            } => Ok(Value::Null),
            State::Bool { trues, falses } => Ok(Value::Bool(if self.func == AggFunc::BoolAnd {
                *falses == 0
            } else {
                *trues > 0
            })),
            State::Bits { count: 0, .. } => Ok(Value::Null),
            State::Bits { count, ones } => {
                let mut result = 0i64;
                for (bit, one) in ones.iter().enumerate() {
                    let set = match self.func {
                        AggFunc::BitAnd => one == count,
                        AggFunc::BitOr => *one > 0,
                        _ => one % 2 != 0,
                    };
                    result |= i64::from(set) << bit;
                }
                Ok(Value::Int(result))
            }
            State::Numeric(sum) => match sum.count() {
                0 => Ok(Value::Null),
                count => {
                    let total = sum.value().map_err(raise)?;
                    if self.func == AggFunc::SumNumeric {
                        return Ok(Value::Numeric(total));
                    }
                    total
                        .div(&Numeric::from_i64(count))
                        .map(Value::Numeric)
                        .map_err(raise)
                }
            },
            State::Float(sum) => self.float(sum),
            State::NumericSpread { sum, squares } => match self.func {
                AggFunc::SpreadNumeric(spread) => spread::numeric(spread, sum, squares),
                _ => Ok(Value::Null),
            },
            State::FloatSpread { sum, squares } => match self.func {
                AggFunc::SpreadFloat(spread) => spread::float(spread, sum, squares),
                _ => Ok(Value::Null),
            },
            State::Indexed => Err(EvalError {
                sqlstate: "XX000",
                message: format!("aggregate `{}` has no state of its own", self.func.name()),
            }),
        }
    }

    fn integer(&self, count: i64, sum: i128) -> Result<Value, EvalError> {
        let wide = Numeric::from_bigint(sum.into());
        match self.func {
            AggFunc::SumInt => i64::try_from(sum)
                .map(Value::Int)
                .map_err(|_| raise(ValueError::out_of_range("bigint"))),
            AggFunc::SumBigint => Ok(Value::Numeric(wide)),
            _ => wide
                .div(&Numeric::from_i64(count))
                .map(Value::Numeric)
                .map_err(raise),
        }
    }

    fn float(&self, sum: &FloatSum) -> Result<Value, EvalError> {
        let count = sum.count();
        if count == 0 {
            return Ok(Value::Null);
        }
        let total = sum.value();
        if total.is_infinite() && sum.special().is_none() {
            return Err(float_overflow());
        }
        match self.func {
            AggFunc::SumFloat4 => {
                #[allow(
                    clippy::cast_possible_truncation,
                    reason = "rounding to the nearest is meant, overflow is checked"
                )]
                let narrow = total as f32;
                if narrow.is_infinite() && total.is_finite() {
                    return Err(float_overflow());
                }
                Ok(Value::Float4(narrow))
            }
            AggFunc::SumFloat8 => Ok(Value::Float8(total)),
            _ => Ok(Value::Float8(total / count_as_f64(count))),
        }
    }

    /// The state as bytes; the function itself is not in them.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        match &self.state {
            State::Count(count) => put_zigzag(&mut out, *count),
            State::Integer { count, sum } => {
                put_zigzag(&mut out, *count);
                put_bigint(&mut out, &BigInt::from(*sum));
            }
            State::Interval {
                count,
                months,
                days,
                micros,
            } => {
                put_zigzag(&mut out, *count);
                for sum in [months, days, micros] {
                    put_bigint(&mut out, &BigInt::from(*sum));
                }
            }
            State::Bool { trues, falses } => {
                put_zigzag(&mut out, *trues);
                put_zigzag(&mut out, *falses);
            }
            State::Bits { count, ones } => {
                put_zigzag(&mut out, *count);
                for one in ones.iter() {
                    put_zigzag(&mut out, *one);
                }
            }
            State::Numeric(sum) => sum.encode(&mut out),
            State::Float(sum) => sum.encode(&mut out),
            State::NumericSpread { sum, squares } => {
                sum.encode(&mut out);
                squares.encode(&mut out);
            }
            State::FloatSpread { sum, squares } => {
                sum.encode(&mut out);
                squares.encode(&mut out);
            }
            State::Indexed => {}
        }
        out
    }

    /// The state of `func` from its bytes.
    ///
    /// # Errors
    /// Where the bytes are not exactly one such state.
    pub fn decode(func: &AggFunc, bytes: &[u8]) -> Result<Accumulator, CorruptValue> {
        let mut decoder = Decoder::new(bytes);
        let mut accumulator = Accumulator::new(func);
        let d = &mut decoder;
        match &mut accumulator.state {
            State::Count(count) => *count = d.zigzag()?,
            State::Integer { count, sum } => {
                *count = d.zigzag()?;
                *sum = get_i128(d)?;
            }
            State::Interval {
                count,
                months,
                days,
                micros,
            } => {
                *count = d.zigzag()?;
                *months = get_i128(d)?;
                *days = get_i128(d)?;
                *micros = get_i128(d)?;
            }
            State::Bool { trues, falses } => {
                *trues = d.zigzag()?;
                *falses = d.zigzag()?;
            }
            State::Bits { count, ones } => {
                *count = d.zigzag()?;
                for one in ones.iter_mut() {
                    *one = d.zigzag()?;
                }
            }
            State::Numeric(sum) => **sum = NumericSum::decode(d)?,
            State::Float(sum) => **sum = FloatSum::decode(d)?,
            State::NumericSpread { sum, squares } => {
                **sum = NumericSum::decode(d)?;
                **squares = NumericSum::decode(d)?;
            }
            State::FloatSpread { sum, squares } => {
                **sum = FloatSum::decode(d)?;
                **squares = FloatSum::decode(d)?;
            }
            State::Indexed => {}
        }
        if decoder.is_at_end() {
            Ok(accumulator)
        } else {
            Err(CorruptValue {
                at: decoder.position(),
            })
        }
    }
}

fn get_i128(decoder: &mut Decoder<'_>) -> Result<i128, CorruptValue> {
    let n = get_bigint(decoder)?;
    i128::try_from(&n).map_err(|_| CorruptValue {
        at: decoder.position(),
    })
}

/// A count as a double; groups of more than 2^53 rows don't exist.
pub(crate) fn count_as_f64(count: i64) -> f64 {
    #[allow(clippy::cast_precision_loss, reason = "counts are below 2^53")]
    let x = count as f64;
    x
}
