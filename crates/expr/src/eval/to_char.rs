//! `to_char`, `to_date`, `to_timestamp`: the common patterns.

use readside_pgtype::Value;

use super::{Result, error};
use crate::DatetimeFunction;

pub(crate) fn check_datetime(_format: &str, _interval: bool) -> std::result::Result<(), String> {
    Err("`to_char` is not supported".to_owned())
}
pub(crate) fn check_input(_format: &str) -> std::result::Result<(), String> {
    Err("`to_date` is not supported".to_owned())
}
pub(crate) fn check_number(_format: &str) -> std::result::Result<(), String> {
    Err("`to_char` is not supported".to_owned())
}
pub(super) fn datetime(_args: &[Value]) -> Result {
    Err(error("0A000", "`to_char` is not supported"))
}
pub(super) fn number(_args: &[Value]) -> Result {
    Err(error("0A000", "`to_char` is not supported"))
}
pub(super) fn parse(_function: DatetimeFunction, _args: &[Value]) -> Result {
    Err(error("0A000", "`to_date` is not supported"))
}
