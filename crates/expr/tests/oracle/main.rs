//! Expressions against PostgreSQL's answers.
//!
//! `answers.tsv` holds one expression per line, with the type and the value (or the error) that a PostgreSQL 15 gave for it in a
//! database with `LC_COLLATE=C.UTF-8` under `TimeZone=UTC`. It is written from the expressions in `expressions.sql` and the
//! combinations in `combinations.py` by `answers.py`, beside it.

#![allow(clippy::unwrap_used, clippy::panic, missing_docs, reason = "tests")]

mod syntax;

use readside_expr::{ColumnRef, Context, EvalError, OccId, SubqueryId};
use readside_pgtype::{Type, Value, format_type, write_output};

struct Empty;

impl Context for Empty {
    fn column(&self, _: ColumnRef) -> Result<Value, EvalError> {
        Ok(Value::Null)
    }
    fn present(&self, _: OccId) -> bool {
        false
    }
    fn subquery(&self, _: SubqueryId) -> Result<Value, EvalError> {
        Ok(Value::Null)
    }
}

/// `type`, `value` as the fixture has them.
fn answer(sql: &str) -> (String, String) {
    let typed = match syntax::read(sql) {
        Ok(typed) => typed.or_text(),
        Err(refused) => return (String::new(), format!("ERROR: {}", refused.message)),
    };
    let ty = format_type(&typed.ty, -1);
    let shown = match typed.expr.eval(&Empty) {
        Ok(Value::Null) => {
            if typed.not_null {
                "NULL although it was proven not to be".to_owned()
            } else {
                "∅".to_owned()
            }
        }
        Ok(value) => {
            let mut out = String::new();
            write_output(&mut out, &value, &typed.ty);
            out.replace('\\', "\\\\")
                .replace('\n', "\\n")
                .replace('\t', "\\t")
        }
        Err(e) => return (String::new(), format!("ERROR: {}", e.message)),
    };
    let ty = match typed.ty {
        Type::Record(_) => "record".to_owned(),
        _ if ty.starts_with("bpchar") => ty.replace("bpchar", "character"),
        _ => ty,
    };
    (ty, shown)
}

#[test]
fn expressions_give_what_postgres_gives() {
    let mut wrong = Vec::new();
    let mut refused = std::collections::BTreeMap::<String, usize>::new();
    let mut count = 0;
    for line in include_str!("answers.tsv").lines() {
        let mut parts = line.splitn(3, '\t');
        let (sql, ty, value) = (
            parts.next().unwrap(),
            parts.next().unwrap(),
            parts.next().unwrap(),
        );
        count += 1;
        let (our_type, ours) = answer(sql);
        if ours == value && our_type == ty {
            continue;
        }
        // What isn't built may be refused, never answered differently.
        if ours.starts_with("ERROR: ") && ours.contains("not supported") {
            *refused.entry(ours).or_default() += 1;
            continue;
        }
        wrong.push(format!(
            "{sql}\n  Postgres: {ty} {value}\n  readside: {our_type} {ours}"
        ));
    }
    if std::env::var_os("SHOW_REFUSED").is_some() {
        for (message, n) in &refused {
            wrong.push(format!("{n} {message}"));
        }
    }
    assert!(
        wrong.is_empty(),
        "{} of {count} differ:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
    assert!(count > 1000);
}
