//! Functions of dates, times, timestamps and intervals. `timestamptz` is taken in UTC.

use readside_pgtype::datetime::{
    self, Field, MICROS_PER_DAY, MICROS_PER_HOUR, MICROS_PER_MINUTE, TIMESTAMP_INFINITY,
    TIMESTAMP_NEGATIVE_INFINITY, Zone,
};
use readside_pgtype::{Interval, Numeric, Value, ValueError};

use super::{Result, error, float, int, mistyped, text, to_char};
use crate::DatetimeFunction;

fn date(args: &[Value], at: usize) -> Result<i32> {
    match args.get(at) {
        Some(Value::Date(d)) => Ok(*d),
        _ => Err(mistyped("date")),
    }
}

fn time(args: &[Value], at: usize) -> Result<i64> {
    match args.get(at) {
        Some(Value::Time(t)) => Ok(*t),
        _ => Err(mistyped("time")),
    }
}

/// A timestamp with or without time zone.
fn moment(args: &[Value], at: usize) -> Result<i64> {
    match args.get(at) {
        Some(Value::Timestamp(t) | Value::TimestampTz(t)) => Ok(*t),
        _ => Err(mistyped("timestamp")),
    }
}

fn interval(args: &[Value], at: usize) -> Result<&Interval> {
    match args.get(at) {
        Some(Value::Interval(i)) => Ok(i),
        _ => Err(mistyped("interval")),
    }
}

/// A moment of the same type as an argument.
fn like(args: &[Value], at: usize, micros: i64) -> Value {
    match args.get(at) {
        Some(Value::TimestampTz(_)) => Value::TimestampTz(micros),
        _ => Value::Timestamp(micros),
    }
}

fn micros_interval(micros: i64) -> Value {
    Value::Interval(Interval {
        months: 0,
        days: 0,
        micros,
    })
}

fn unit(name: &str, what: &str) -> Result<Field> {
    Field::parse(name)
        .ok_or_else(|| error("22023", format!("{what} units \"{name}\" not recognized")))
}

fn zone(args: &[Value], at: usize) -> Result<Zone> {
    Ok(match args.get(at) {
        Some(Value::Interval(i)) => Zone::from_interval(i)?,
        _ => Zone::parse(text(args, at)?)?,
    })
}

pub(super) fn apply(function: DatetimeFunction, args: &[Value]) -> Result {
    use DatetimeFunction as F;
    Ok(match function {
        F::DateAddDays => Value::Date(datetime::date_add_days(date(args, 0)?, int(args, 1)?)?),
        F::DateSubtractDays => {
            Value::Date(datetime::date_add_days(date(args, 0)?, -int(args, 1)?)?)
        }
        F::DateSubtract => Value::Int(datetime::date_sub_date(date(args, 0)?, date(args, 1)?)?),
        F::DateAddInterval => Value::Timestamp(datetime::date_add_interval(
            date(args, 0)?,
            interval(args, 1)?,
        )?),
        F::DateSubtractInterval => Value::Timestamp(datetime::timestamp_sub_interval(
            datetime::date_to_timestamp(date(args, 0)?)?,
            interval(args, 1)?,
        )?),
        F::DateAddTime => {
            let start = datetime::date_to_timestamp(date(args, 0)?)?;
            Value::Timestamp(datetime::timestamp_add_interval(
                start,
                &Interval {
                    months: 0,
                    days: 0,
                    micros: time(args, 1)?,
                },
            )?)
        }
        F::TimestampAddInterval => like(
            args,
            0,
            datetime::timestamp_add_interval(moment(args, 0)?, interval(args, 1)?)?,
        ),
        F::TimestampSubtractInterval => like(
            args,
            0,
            datetime::timestamp_sub_interval(moment(args, 0)?, interval(args, 1)?)?,
        ),
        F::TimestampSubtract => Value::Interval(datetime::timestamp_sub_timestamp(
            moment(args, 0)?,
            moment(args, 1)?,
        )?),
        F::TimeAddInterval => Value::Time(datetime::time_add_interval(
            time(args, 0)?,
            interval(args, 1)?,
        )),
        F::TimeSubtractInterval => {
            let back = Interval {
                months: 0,
                days: 0,
                micros: -(interval(args, 1)?.micros % MICROS_PER_DAY),
            };
            Value::Time(datetime::time_add_interval(time(args, 0)?, &back))
        }
        F::TimeSubtract => micros_interval(time(args, 0)? - time(args, 1)?),
        F::IntervalAdd => Value::Interval(interval(args, 0)?.add(interval(args, 1)?)?),
        F::IntervalSubtract => Value::Interval(interval(args, 0)?.sub(interval(args, 1)?)?),
        F::IntervalNegate => Value::Interval(interval(args, 0)?.neg()?),
        F::IntervalMultiply => Value::Interval(interval(args, 0)?.mul(float(args, 1)?)?),
        F::IntervalDivide => Value::Interval(interval(args, 0)?.div(float(args, 1)?)?),
        F::Age => Value::Interval(datetime::age(moment(args, 0)?, moment(args, 1)?)?),
        F::TruncTimestamp => like(args, 1, truncated(args)?),
        F::TruncInZone => Value::TimestampTz(datetime::date_trunc_in_zone(
            unit(text(args, 0)?, "timestamp with time zone")?,
            moment(args, 1)?,
            &zone(args, 2)?,
        )?),
        F::TruncInterval => Value::Interval(datetime::date_trunc_interval(
            unit(text(args, 0)?, "interval")?,
            interval(args, 1)?,
        )?),
        F::BinTimestamp => like(
            args,
            1,
            bin(interval(args, 0)?, moment(args, 1)?, moment(args, 2)?)?,
        ),
        F::Extract => extract(args)?.map_or(Value::Null, Value::Numeric),
        F::DatePart => {
            // Of a date it is that of its midnight.
            let args = match args {
                [field, Value::Date(d)] => {
                    vec![
                        field.clone(),
                        Value::Timestamp(datetime::date_to_timestamp(*d)?),
                    ]
                }
                _ => args.to_vec(),
            };
            match extract(&args)? {
                Some(n) => Value::Float8(n.to_f64()?),
                None => Value::Null,
            }
        }
        F::TimestampAtZone => Value::TimestampTz(datetime::timestamp_at_zone(
            moment(args, 1)?,
            &zone(args, 0)?,
        )?),
        F::TimestamptzAtZone => Value::Timestamp(datetime::timestamptz_at_zone(
            moment(args, 1)?,
            &zone(args, 0)?,
        )?),
        F::MakeDate => Value::Date(make_date(int(args, 0)?, int(args, 1)?, int(args, 2)?)?),
        F::MakeTime => Value::Time(make_time(int(args, 0)?, int(args, 1)?, float(args, 2)?)?),
        F::MakeTimestamp => {
            let day = make_date(int(args, 0)?, int(args, 1)?, int(args, 2)?)?;
            let clock = make_time(int(args, 3)?, int(args, 4)?, float(args, 5)?)?;
            let start = datetime::date_to_timestamp(day)?;
            Value::Timestamp(datetime::timestamp_add_interval(
                start,
                &Interval {
                    months: 0,
                    days: 0,
                    micros: clock,
                },
            )?)
        }
        F::MakeInterval => make_interval(args)?,
        F::IsFinite => Value::Bool(match args.first() {
            Some(Value::Date(d)) => *d != i32::MIN && *d != i32::MAX,
            Some(Value::Timestamp(t) | Value::TimestampTz(t)) => *t != i64::MIN && *t != i64::MAX,
            _ => true,
        }),
        F::JustifyDays => Value::Interval(interval(args, 0)?.justify_days()?),
        F::JustifyHours => Value::Interval(interval(args, 0)?.justify_hours()?),
        F::JustifyInterval => Value::Interval(interval(args, 0)?.justify_interval()?),
        F::ToTimestamp => Value::TimestampTz(from_unix(float(args, 0)?)?),
        F::ToChar => return to_char::datetime(args),
    })
}

/// `date_trunc(field, timestamp)`, and of a `timestamptz` in UTC.
fn truncated(args: &[Value]) -> Result<i64> {
    let zoned = matches!(args.get(1), Some(Value::TimestampTz(_)));
    let ty = if zoned {
        "timestamp with time zone"
    } else {
        "timestamp without time zone"
    };
    let field = Field::parse(text(args, 0)?).ok_or_else(|| {
        error(
            "22023",
            format!(
                "unit \"{}\" not recognized for type {ty}",
                text(args, 0).unwrap_or_default()
            ),
        )
    });
    Ok(datetime::date_trunc(field?, moment(args, 1)?).map_err(|e| {
        if zoned {
            ValueError {
                message: e.message.replace("without time zone", "with time zone"),
                ..e
            }
        } else {
            e
        }
    })?)
}

fn extract(args: &[Value]) -> Result<Option<Numeric>> {
    let name = text(args, 0)?;
    Ok(match args.get(1) {
        Some(Value::Date(d)) => datetime::extract_from_date(unit(name, "date")?, *d)?,
        Some(Value::Time(t)) => {
            datetime::extract_from_time(unit(name, "time without time zone")?, *t)?
        }
        Some(Value::Timestamp(t)) => {
            datetime::extract_from_timestamp(unit(name, "timestamp")?, *t)?
        }
        Some(Value::TimestampTz(t)) => {
            datetime::extract_from_timestamptz(unit(name, "timestamp with time zone")?, *t)?
        }
        Some(Value::Interval(i)) => datetime::extract_from_interval(unit(name, "interval")?, i)?,
        _ => return Err(mistyped("extract")),
    })
}

fn bin(stride: &Interval, at: i64, origin: i64) -> Result<i64> {
    let infinite = |t: i64| t == TIMESTAMP_INFINITY || t == TIMESTAMP_NEGATIVE_INFINITY;
    if infinite(at) {
        return Ok(at);
    }
    if infinite(origin) {
        return Err(error("22008", "origin out of range"));
    }
    if stride.months != 0 {
        return Err(error(
            "0A000",
            "timestamps cannot be binned into intervals containing months or years",
        ));
    }
    let stride = i128::from(stride.days) * i128::from(MICROS_PER_DAY) + i128::from(stride.micros);
    if stride <= 0 {
        return Err(error("22008", "stride must be greater than zero"));
    }
    let distance = i128::from(at) - i128::from(origin);
    let result = i128::from(origin) + distance.div_euclid(stride) * stride;
    i64::try_from(result).map_err(|_| error("22008", "timestamp out of range"))
}

fn make_date(year: i64, month: i64, day: i64) -> Result<i32> {
    let invalid = || {
        error(
            "22008",
            format!("date field value out of range: {year}-{month:02}-{day:02}"),
        )
    };
    if year == 0 || !(1..=12).contains(&month) {
        return Err(invalid());
    }
    // -1 is 1 BC, which astronomers call 0.
    let astronomical = if year < 0 { year + 1 } else { year };
    if !(1..=datetime::days_in_month(astronomical, month)).contains(&day) {
        return Err(invalid());
    }
    datetime::date_from_civil(astronomical, month, day).map_err(|_| {
        error(
            "22008",
            format!("date out of range: {year}-{month:02}-{day:02}"),
        )
    })
}

fn make_time(hour: i64, minute: i64, second: f64) -> Result<i64> {
    let invalid = || {
        error(
            "22008",
            format!("time field value out of range: {hour}:{minute:02}:{second:02}"),
        )
    };
    if second.is_nan() || !(0.0..=60.0).contains(&second) {
        return Err(invalid());
    }
    let micros = Numeric::from_f64((second * 1_000_000.0).round_ties_even()).to_i64()?;
    let in_range = (0..=24).contains(&hour)
        && (0..=59).contains(&minute)
        && (hour < 24 || minute == 0 && micros == 0);
    if !in_range {
        return Err(invalid());
    }
    Ok(hour * MICROS_PER_HOUR + minute * MICROS_PER_MINUTE + micros)
}

fn make_interval(args: &[Value]) -> Result {
    let part = |at: usize| {
        if args.len() > at {
            int(args, at)
        } else {
            Ok(0)
        }
    };
    let overflow = || super::EvalError::from(ValueError::datetime_out_of_range("interval"));
    let seconds = if args.len() > 6 { float(args, 6)? } else { 0.0 };
    if !seconds.is_finite() {
        return Err(overflow());
    }
    let micros = Numeric::from_f64((seconds * 1_000_000.0).round_ties_even())
        .to_i64()
        .map_err(|_| overflow())?;
    let clock = i128::from(part(4)?) * i128::from(MICROS_PER_HOUR)
        + i128::from(part(5)?) * i128::from(MICROS_PER_MINUTE)
        + i128::from(micros);
    Ok(Value::Interval(Interval {
        months: i32::try_from(part(0)? * 12 + part(1)?).map_err(|_| overflow())?,
        days: i32::try_from(part(2)? * 7 + part(3)?).map_err(|_| overflow())?,
        micros: i64::try_from(clock).map_err(|_| overflow())?,
    }))
}

/// Seconds between 1970 and 2000.
const UNIX_EPOCH_SECONDS: f64 = 946_684_800.0;

fn from_unix(seconds: f64) -> Result<i64> {
    if seconds.is_nan() {
        return Err(error("22008", "timestamp cannot be NaN"));
    }
    if seconds.is_infinite() {
        return Ok(if seconds > 0.0 {
            TIMESTAMP_INFINITY
        } else {
            TIMESTAMP_NEGATIVE_INFINITY
        });
    }
    let micros = ((seconds - UNIX_EPOCH_SECONDS) * 1_000_000.0).round_ties_even();
    let out_of_range = || {
        // As C's `%g` shows so large a number.
        let shown = format!("{seconds:.5e}");
        let (mantissa, exponent) = shown.split_once('e').unwrap_or((&shown, "0"));
        let mantissa = mantissa.trim_end_matches('0').trim_end_matches('.');
        error(
            "22008",
            format!("timestamp out of range: \"{mantissa}e+{exponent:0>2}\""),
        )
    };
    // 4714-11-24 BC up to the year 294277.
    if !(-211_813_488_000_000_000.0..9_223_371_331_200_000_000.0).contains(&micros) {
        return Err(out_of_range());
    }
    exact_integer(micros).ok_or_else(out_of_range)
}

/// A float without fraction as an integer, every bit kept.
pub(super) fn exact_integer(x: f64) -> Option<i64> {
    let bits = x.to_bits();
    let exponent = i64::try_from((bits >> 52) & 0x7ff).ok()? - 1075;
    let mantissa = i64::try_from(bits & 0x000f_ffff_ffff_ffff | 0x0010_0000_0000_0000).ok()?;
    if x == 0.0 {
        return Some(0);
    }
    let magnitude = match u32::try_from(exponent) {
        Ok(up) if up <= 10 => mantissa.checked_shl(up)?,
        Ok(_) => return None,
        Err(_) => mantissa
            .checked_shr(u32::try_from(-exponent).ok()?)
            .unwrap_or(0),
    };
    Some(if x < 0.0 { -magnitude } else { magnitude })
}
