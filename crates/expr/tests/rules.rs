//! What holds of expressions beyond the values that they give: refusals, laziness, errors as values, strictness.

#![allow(clippy::unwrap_used, clippy::panic, missing_docs, reason = "tests")]

use readside_expr::{
    CastContext, Collation, ColumnRef, Context, Derivation, EvalError, Expr, OccId, Refused,
    SubqueryId, Typed, and, any_array, as_equality, between, case, cast, coalesce, collate,
    greatest, in_list, is_not_null, is_null, is_truth, like, not, or, resolve_function,
    resolve_operator,
};
use readside_pgtype::{DomainType, Type, Value};
use std::sync::Arc;

const OCC: OccId = OccId(1);
const OTHER: OccId = OccId(2);

/// Every column of `OCC` holds this.
struct Row(Value);

impl Context for Row {
    fn column(&self, column: ColumnRef) -> Result<Value, EvalError> {
        if column.occ == OCC {
            Ok(self.0.clone())
        } else {
            Ok(Value::Int(1))
        }
    }
    fn present(&self, occ: OccId) -> bool {
        occ != OCC || !self.0.is_null()
    }
    fn subquery(&self, _: SubqueryId) -> Result<Value, EvalError> {
        Ok(Value::Null)
    }
}

fn named(name: &str, bytewise: bool, ctype_c: bool) -> Collation {
    Collation {
        bytewise,
        ctype_c,
        deterministic: true,
        derivation: Derivation::Implicit,
        name: name.to_owned(),
        is_default: true,
    }
}

fn column(occ: OccId, ty: Type, collation: Collation) -> Typed {
    Typed::column(ColumnRef { occ, column: 0 }, ty, -1, collation, false)
}

fn number(occ: OccId) -> Typed {
    column(occ, Type::Int4, Collation::none())
}

fn english() -> Typed {
    column(OCC, Type::Text, named("en_US.UTF-8", false, false))
}

fn int(n: &str) -> Typed {
    Typed::number(n).unwrap()
}

fn op(name: &str, left: Typed, right: Typed) -> Typed {
    resolve_operator(name, Some(left), right).unwrap()
}

fn refusal(result: Result<Typed, Refused>) -> String {
    let refused = result.unwrap_err();
    format!("{} / {}", refused.message, refused.hint.unwrap_or_default())
}

fn eval(typed: &Typed, value: Value) -> Result<Value, EvalError> {
    typed.expr.eval(&Row(value))
}

#[test]
fn text_order_that_is_not_known_is_refused_with_the_remedy() {
    for refused in [
        resolve_operator("<", Some(english()), Typed::literal("m")),
        between(
            english(),
            Typed::literal("a"),
            Typed::literal("m"),
            false,
            false,
        ),
        greatest(vec![english(), Typed::literal("m")]),
        any_array(
            "<",
            english(),
            resolve_function("string_to_array", vec![english(), Typed::literal(",")]).unwrap(),
        ),
    ] {
        let shown = refusal(refused);
        assert!(
            shown.contains("`en_US.UTF-8`") && shown.contains("COLLATE \"C\""),
            "{shown}"
        );
    }
    // Equality needs no order, and an explicit collation gives one.
    assert!(resolve_operator("=", Some(english()), Typed::literal("m")).is_ok());
    assert!(
        in_list(
            english(),
            vec![Typed::literal("a"), Typed::literal("b")],
            true
        )
        .is_ok()
    );
    let bytewise = collate(english(), Collation::c()).unwrap();
    let less = op("<", bytewise, Typed::literal("m"));
    assert_eq!(eval(&less, Value::text("a")).unwrap(), Value::Bool(true));
}

#[test]
fn equality_under_a_nondeterministic_collation_is_refused() {
    let loose = column(
        OCC,
        Type::Text,
        Collation {
            deterministic: false,
            ..named("und-x-icu", false, false)
        },
    );
    let shown = refusal(resolve_operator(
        "=",
        Some(loose.clone()),
        Typed::literal("a"),
    ));
    assert!(shown.contains("nondeterministic"), "{shown}");
    assert!(like(loose, Typed::literal("a%"), None, false, false).is_err());
}

#[test]
fn conflicting_collations_are_refused_and_explicit_ones_win() {
    let a = column(
        OCC,
        Type::Text,
        Collation {
            is_default: false,
            ..named("C", true, true)
        },
    );
    let b = column(
        OTHER,
        Type::Text,
        Collation {
            is_default: false,
            ..named("de_DE", false, false)
        },
    );
    let shown = refusal(resolve_operator("=", Some(a.clone()), b.clone()));
    assert!(
        shown.contains("could not determine which collation"),
        "{shown}"
    );
    let explicit = collate(b, Collation::c()).unwrap();
    assert!(resolve_operator("<", Some(a.clone()), explicit).is_ok());
    // The default gives way to a column's own.
    assert!(resolve_operator("<", Some(a), english()).is_ok());
}

#[test]
fn case_mapping_is_known_for_c_and_c_utf8_only() {
    let shown = refusal(resolve_function("lower", vec![english()]));
    assert!(shown.contains("COLLATE \"C\""), "{shown}");
    let ascii = resolve_function(
        "lower",
        vec![column(OCC, Type::Text, named("C", true, true))],
    )
    .unwrap();
    assert_eq!(eval(&ascii, Value::text("ÉA")).unwrap(), Value::text("Éa"));
    let unicode = resolve_function(
        "lower",
        vec![column(OCC, Type::Text, named("C.UTF-8", true, false))],
    )
    .unwrap();
    assert_eq!(
        eval(&unicode, Value::text("ÉA")).unwrap(),
        Value::text("éa")
    );
}

#[test]
fn what_changes_by_itself_is_refused() {
    for name in [
        "now",
        "random",
        "current_user",
        "clock_timestamp",
        "gen_random_uuid",
    ] {
        let refused = resolve_function(name, vec![]).unwrap_err();
        assert!(
            refused.message.contains(name) && refused.hint.is_some(),
            "{refused:?}"
        );
    }
    assert!(resolve_function("age", vec![Typed::literal("2024-01-01")]).is_err());
    let set = refusal(resolve_function(
        "unnest",
        vec![
            cast(
                Typed::literal("{1}"),
                &Type::Array(Arc::new(Type::Int4)),
                -1,
                CastContext::Explicit,
            )
            .unwrap(),
        ],
    ));
    assert!(set.contains("use it in FROM"), "{set}");
}

#[test]
fn casts_whose_rules_are_not_known_are_refused() {
    let domain = Type::Domain(Arc::new(DomainType {
        oid: 1,
        name: "positive".to_owned(),
        base: Type::Int4,
        typmod: -1,
    }));
    let shown = refusal(cast(number(OCC), &domain, -1, CastContext::Explicit));
    assert!(
        shown.contains("cast to its base type, `integer`"),
        "{shown}"
    );
    // A domain's column computes as its base type.
    let value = column(OCC, domain, Collation::none());
    let sum = op("+", value, int("1"));
    assert_eq!(
        (sum.ty.clone(), eval(&sum, Value::Int(2)).unwrap()),
        (Type::Int4, Value::Int(3))
    );
    // Assignment casts aren't implicit ones.
    assert!(cast(number(OCC), &Type::Int2, -1, CastContext::Implicit).is_err());
    assert!(cast(number(OCC), &Type::Int2, -1, CastContext::Assignment).is_ok());
    assert!(cast(number(OCC), &Type::Bool, -1, CastContext::Assignment).is_err());
}

#[test]
fn a_pattern_has_to_be_a_constant_of_the_subset() {
    for pattern in [
        "a\\w",
        "(a)\\1",
        "a(?=b)",
        "[[:alpha:]]",
        "a**",
        "(?i)a",
        "\\ya",
        "",
    ] {
        assert!(
            resolve_operator("~", Some(english()), Typed::literal(pattern)).is_err(),
            "{pattern}"
        );
    }
    assert!(resolve_operator("~", Some(english()), english()).is_err());
    let digits = op("~", english(), Typed::literal("^\\d{3}-[0-9]+$"));
    assert_eq!(
        eval(&digits, Value::text("123-4")).unwrap(),
        Value::Bool(true)
    );
    assert_eq!(
        eval(&digits, Value::text("123-4\n")).unwrap(),
        Value::Bool(false)
    );
    assert_eq!(
        eval(
            &op("~", english(), Typed::literal("a.b")),
            Value::text("a\nb")
        )
        .unwrap(),
        Value::Bool(true)
    );
}

#[test]
fn the_decisive_value_wins_over_an_error_and_an_error_over_null() {
    let fails = op("=", op("/", int("1"), number(OCC)), int("1"));
    let no = op("=", number(OTHER), int("2"));
    let yes = op("=", number(OTHER), int("1"));
    let unknown = cast(Typed::null(), &Type::Bool, -1, CastContext::Explicit).unwrap();
    let at_zero = |typed: Typed| eval(&typed, Value::Int(0)).map_err(|e| e.sqlstate);
    assert_eq!(
        at_zero(and(vec![fails.clone(), no.clone()]).unwrap()),
        Ok(Value::Bool(false))
    );
    assert_eq!(
        at_zero(or(vec![fails.clone(), yes.clone()]).unwrap()),
        Ok(Value::Bool(true))
    );
    assert_eq!(
        at_zero(and(vec![fails.clone(), yes]).unwrap()),
        Err("22012")
    );
    assert_eq!(
        at_zero(and(vec![fails.clone(), unknown.clone()]).unwrap()),
        Err("22012")
    );
    assert_eq!(
        at_zero(and(vec![unknown, no]).unwrap()),
        Ok(Value::Bool(false))
    );
    assert_eq!(at_zero(not(fails).unwrap()), Err("22012"));
}

#[test]
fn case_and_coalesce_evaluate_no_more_than_they_need() {
    let quotient = op("/", int("1"), number(OCC));
    let guarded = case(
        vec![(op("<>", number(OCC), int("0")), quotient.clone())],
        Some(int("-1")),
    )
    .unwrap();
    assert_eq!(eval(&guarded, Value::Int(0)).unwrap(), Value::Int(-1));
    assert_eq!(eval(&guarded, Value::Int(1)).unwrap(), Value::Int(1));
    let first = coalesce(vec![number(OCC), quotient]).unwrap();
    assert_eq!(eval(&first, Value::Int(0)).unwrap(), Value::Int(0));
}

#[test]
fn an_equality_is_recognised_with_its_type() {
    let equal = op(
        "=",
        number(OCC),
        column(OTHER, Type::Int8, Collation::none()),
    );
    let (left, right, ty) = as_equality(&equal.expr).unwrap();
    assert_eq!(ty, Type::Int8);
    assert!(
        matches!((left, right), (Expr::Column(a), Expr::Column(b)) if a.occ == OCC && b.occ == OTHER)
    );
    let dates = op(
        "=",
        column(OCC, Type::Date, Collation::none()),
        column(OTHER, Type::Timestamp, Collation::none()),
    );
    assert_eq!(as_equality(&dates.expr).unwrap().2, Type::Timestamp);
    for other in [
        op("<>", number(OCC), int("1")),
        op("<", number(OCC), int("1")),
        is_null(number(OCC)).unwrap(),
    ] {
        assert!(as_equality(&other.expr).is_none());
    }
}

/// Claims of strictness are checked by evaluating with every column NULL.
#[test]
fn strictness_is_claimed_where_it_holds() {
    let x = || number(OCC);
    let y = || number(OTHER);
    let strict = [
        op("=", x(), y()),
        op(">", op("+", x(), int("1")), y()),
        is_not_null(x()).unwrap(),
        and(vec![op("=", y(), int("1")), op("=", x(), int("1"))]).unwrap(),
        or(vec![op("=", x(), int("1")), op("=", x(), int("2"))]).unwrap(),
        not(op("=", x(), int("1"))).unwrap(),
        in_list(x(), vec![int("1"), int("2")], true).unwrap(),
        is_truth(op("=", x(), int("1")), Some(true), false).unwrap(),
        op("=", coalesce(vec![x(), x()]).unwrap(), int("1")),
    ];
    for typed in strict {
        assert!(typed.expr.is_strict_in(OCC), "{:?}", typed.expr);
        assert_ne!(
            eval(&typed, Value::Null).unwrap(),
            Value::Bool(true),
            "{:?}",
            typed.expr
        );
    }
    let lenient = [
        is_null(x()).unwrap(),
        or(vec![op("=", x(), int("1")), op("=", y(), int("1"))]).unwrap(),
        op("=", coalesce(vec![x(), int("0")]).unwrap(), int("0")),
        is_truth(op("=", x(), int("1")), Some(true), true).unwrap(),
        op("=", y(), int("1")),
    ];
    for typed in lenient {
        assert!(!typed.expr.is_strict_in(OCC), "{:?}", typed.expr);
    }
}

#[test]
fn an_operator_that_the_types_do_not_have_is_explained() {
    let shown = refusal(resolve_operator("+", Some(english()), int("1")));
    assert_eq!(
        shown,
        "operator does not exist: text + integer / add explicit type casts"
    );
    let shown = refusal(case(vec![(Typed::bool(true), int("1"))], Some(english())));
    assert!(
        shown.starts_with("CASE types text and integer cannot be matched"),
        "{shown}"
    );
    let shown = refusal(and(vec![number(OCC), Typed::bool(true)]));
    assert!(
        shown.starts_with("argument of AND must be type boolean, not type integer"),
        "{shown}"
    );
    assert!(
        refusal(resolve_function("shop_total", vec![int("1")]))
            .contains("`shop_total` is not supported")
    );
}
