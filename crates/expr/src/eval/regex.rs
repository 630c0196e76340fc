//! Regular expressions: a subset whose meaning is the same in every engine.

use readside_pgtype::Value;

use super::{Result, error};
use crate::RegexFunction;

pub(crate) fn check(_pattern: &str) -> std::result::Result<(), String> {
    Err("regular expressions are not supported".to_owned())
}
pub(crate) fn check_replacement(_replacement: &str) -> std::result::Result<(), String> {
    Ok(())
}
pub(crate) fn check_flags(_flags: &str) -> std::result::Result<(), String> {
    Ok(())
}
pub(super) fn apply(_function: RegexFunction, _args: &[Value]) -> Result {
    Err(error("0A000", "regular expressions are not supported"))
}
