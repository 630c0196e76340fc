use readside_pgtype::{Type, Value};
use crate::EvalError;
pub(crate) fn parse(_text: &str, _ty: &Type, _typmod: i32) -> Result<Value, EvalError> {
    Err(EvalError { sqlstate: "0A000", message: "not built yet".to_owned() })
}
