//! What can be said of a view's text without a catalog.

use crate::refusal::Refusal;
use crate::syntax::parse_view;

/// Whether the text is one SELECT in Postgres' grammar. Names, types and support are for [`compile`](crate::compile) to judge.
///
/// # Errors
/// Where the text stops making sense.
pub fn check_syntax(view: &str, sql: &str) -> Result<(), Refusal> {
    parse_view(sql)
        .map(|_| ())
        .map_err(|problem| problem.into_refusal(view, sql))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn syntax_is_judged_without_a_catalog() {
        assert!(check_syntax("v", "SELECT nowhere.x FROM nowhere; -- done").is_ok());
        let refusal = check_syntax("v", "SELECT a\nFROM t WHERE (a = 1").expect_err("refused");
        assert_eq!((refusal.view.as_str(), refusal.line), ("v", 2), "{refusal}");
        assert!(check_syntax("v", "DELETE FROM t").is_err());
    }
}
