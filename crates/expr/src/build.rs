use readside_pgtype::Type;
use crate::{Typed,Collation,Refused,CastContext,Expr};
const NY: &str = "not built yet";
/// See the manual.
#[allow(missing_docs, clippy::needless_pass_by_value, reason="signature first")]
pub fn resolve_operator(_op: &str, _left: Option<Typed>, _right: Typed) -> Result<Typed, Refused> { Err(Refused::new(NY)) }
/// See the manual.
#[allow(missing_docs, clippy::needless_pass_by_value, reason="signature first")]
pub fn resolve_function(_name: &str, _args: Vec<Typed>) -> Result<Typed, Refused> { Err(Refused::new(NY)) }
/// See the manual.
#[allow(missing_docs, clippy::needless_pass_by_value, reason="signature first")]
pub fn cast(_arg: Typed, _to: &Type, _typmod: i32, _context: CastContext) -> Result<Typed, Refused> { Err(Refused::new(NY)) }
/// See the manual.
#[allow(missing_docs, clippy::needless_pass_by_value, reason="signature first")]
pub fn case(_branches: Vec<(Typed, Typed)>, _otherwise: Option<Typed>) -> Result<Typed, Refused> { Err(Refused::new(NY)) }
/// See the manual.
#[allow(missing_docs, clippy::needless_pass_by_value, reason="signature first")]
pub fn simple_case(_operand: Typed, _branches: Vec<(Typed, Typed)>, _otherwise: Option<Typed>) -> Result<Typed, Refused> { Err(Refused::new(NY)) }
/// See the manual.
#[allow(missing_docs, clippy::needless_pass_by_value, reason="signature first")]
pub fn coalesce(_args: Vec<Typed>) -> Result<Typed, Refused> { Err(Refused::new(NY)) }
/// See the manual.
#[allow(missing_docs, clippy::needless_pass_by_value, reason="signature first")]
pub fn nullif(_left: Typed, _right: Typed) -> Result<Typed, Refused> { Err(Refused::new(NY)) }
/// See the manual.
#[allow(missing_docs, clippy::needless_pass_by_value, reason="signature first")]
pub fn greatest(_args: Vec<Typed>) -> Result<Typed, Refused> { Err(Refused::new(NY)) }
/// See the manual.
#[allow(missing_docs, clippy::needless_pass_by_value, reason="signature first")]
pub fn least(_args: Vec<Typed>) -> Result<Typed, Refused> { Err(Refused::new(NY)) }
/// See the manual.
#[allow(missing_docs, clippy::needless_pass_by_value, reason="signature first")]
pub fn array(_elements: Vec<Typed>) -> Result<Typed, Refused> { Err(Refused::new(NY)) }
/// See the manual.
#[allow(missing_docs, clippy::needless_pass_by_value, reason="signature first")]
pub fn row(_fields: Vec<Typed>) -> Result<Typed, Refused> { Err(Refused::new(NY)) }
/// See the manual.
#[allow(missing_docs, clippy::needless_pass_by_value, reason="signature first")]
pub fn field(_record: Typed, _name: &str) -> Result<Typed, Refused> { Err(Refused::new(NY)) }
/// See the manual.
#[allow(missing_docs, clippy::needless_pass_by_value, reason="signature first")]
pub fn in_list(_left: Typed, _list: Vec<Typed>, _negated: bool) -> Result<Typed, Refused> { Err(Refused::new(NY)) }
/// See the manual.
#[allow(missing_docs, clippy::needless_pass_by_value, reason="signature first")]
pub fn any_array(_op: &str, _left: Typed, _array: Typed) -> Result<Typed, Refused> { Err(Refused::new(NY)) }
/// See the manual.
#[allow(missing_docs, clippy::needless_pass_by_value, reason="signature first")]
pub fn all_array(_op: &str, _left: Typed, _array: Typed) -> Result<Typed, Refused> { Err(Refused::new(NY)) }
/// See the manual.
#[allow(missing_docs, clippy::needless_pass_by_value, reason="signature first")]
pub fn is_null(_arg: Typed) -> Result<Typed, Refused> { Err(Refused::new(NY)) }
/// See the manual.
#[allow(missing_docs, clippy::needless_pass_by_value, reason="signature first")]
pub fn is_not_null(_arg: Typed) -> Result<Typed, Refused> { Err(Refused::new(NY)) }
/// See the manual.
#[allow(missing_docs, clippy::needless_pass_by_value, reason="signature first")]
pub fn is_distinct(_left: Typed, _right: Typed) -> Result<Typed, Refused> { Err(Refused::new(NY)) }
/// See the manual.
#[allow(missing_docs, clippy::needless_pass_by_value, reason="signature first")]
pub fn is_not_distinct(_left: Typed, _right: Typed) -> Result<Typed, Refused> { Err(Refused::new(NY)) }
/// See the manual.
#[allow(missing_docs, clippy::needless_pass_by_value, reason="signature first")]
pub fn between(_arg: Typed, _low: Typed, _high: Typed, _negated: bool, _symmetric: bool) -> Result<Typed, Refused> { Err(Refused::new(NY)) }
/// See the manual.
#[allow(missing_docs, clippy::needless_pass_by_value, reason="signature first")]
pub fn like(_arg: Typed, _pattern: Typed, _escape: Option<Typed>, _insensitive: bool, _negated: bool) -> Result<Typed, Refused> { Err(Refused::new(NY)) }
/// See the manual.
#[allow(missing_docs, clippy::needless_pass_by_value, reason="signature first")]
pub fn is_truth(_arg: Typed, _truth: Option<bool>, _negated: bool) -> Result<Typed, Refused> { Err(Refused::new(NY)) }
/// See the manual.
#[allow(missing_docs, clippy::needless_pass_by_value, reason="signature first")]
pub fn at_time_zone(_arg: Typed, _zone: Typed) -> Result<Typed, Refused> { Err(Refused::new(NY)) }
/// See the manual.
#[allow(missing_docs, clippy::needless_pass_by_value, reason="signature first")]
pub fn subscript(_array: Typed, _index: Typed) -> Result<Typed, Refused> { Err(Refused::new(NY)) }
/// See the manual.
#[allow(missing_docs, clippy::needless_pass_by_value, reason="signature first")]
pub fn collate(_arg: Typed, _collation: Collation) -> Result<Typed, Refused> { Err(Refused::new(NY)) }
/// See the manual.
#[allow(missing_docs, clippy::needless_pass_by_value, reason="signature first")]
pub fn and(_args: Vec<Typed>) -> Result<Typed, Refused> { Err(Refused::new(NY)) }
/// See the manual.
#[allow(missing_docs, clippy::needless_pass_by_value, reason="signature first")]
pub fn or(_args: Vec<Typed>) -> Result<Typed, Refused> { Err(Refused::new(NY)) }
/// See the manual.
#[allow(missing_docs, clippy::needless_pass_by_value, reason="signature first")]
pub fn not(_arg: Typed) -> Result<Typed, Refused> { Err(Refused::new(NY)) }
pub fn unify(_args: Vec<Typed>, _context: &str) -> Result<(Vec<Typed>, Type), Refused> { Err(Refused::new(NY)) }
pub fn as_equality(_expr: &Expr) -> Option<(&Expr, &Expr, Type)> { None }
