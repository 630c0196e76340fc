//! Dates, times, timestamps and intervals: text, calendar, arithmetic, fields, time zones.
//!
//! In and out: the integers that [`Value`](crate::Value) holds (days or microseconds since 2000-01-01, extremes for the infinities).
//!
//! Always: pure, and no session zone: `timestamptz` is read and shown in UTC; `DateStyle` is `ISO, MDY`.

mod arithmetic;
mod civil;
mod field;
mod interval;
mod interval_parse;
mod iso;
mod parse;
mod print;
mod zone;

pub use arithmetic::{
    age, date_add_days, date_add_interval, date_sub_date, date_to_timestamp, time_add_interval,
    timestamp_add_interval, timestamp_sub_interval, timestamp_sub_timestamp, timestamp_to_date,
    timestamp_to_time,
};
pub use civil::{
    Civil, DATE_INFINITY, DATE_NEGATIVE_INFINITY, MICROS_PER_DAY, MICROS_PER_HOUR,
    MICROS_PER_MINUTE, MICROS_PER_SECOND, TIMESTAMP_INFINITY, TIMESTAMP_NEGATIVE_INFINITY,
    civil_from_days, civil_from_micros, date_from_civil, days_from_civil, days_in_month, iso_week,
    time_from_parts, timestamp_from_civil, weekday,
};
pub use field::{
    Field, date_trunc, date_trunc_in_zone, date_trunc_interval, extract_from_date,
    extract_from_interval, extract_from_time, extract_from_timestamp, extract_from_timestamptz,
};
pub use interval::{Interval, round_interval, round_micros};
pub use interval_parse::parse_interval;
pub use parse::{parse_date, parse_time, parse_timestamp, parse_timestamptz};
pub use print::{write_date, write_interval, write_time, write_timestamp, write_timestamptz};
pub use zone::{ZONE_DATA_VERSION, Zone, timestamp_at_zone, timestamptz_at_zone};
