//! What can be said of an expression without evaluating it.

use std::collections::BTreeSet;

use crate::{ColumnRef, Expr, OccId};

impl Expr {
    /// Every column that the expression reads. Subqueries are not entered.
    #[must_use]
    pub fn columns(&self) -> BTreeSet<ColumnRef> {
        let mut found = BTreeSet::new();
        self.walk(&mut |e| {
            if let Expr::Column(c) = e {
                found.insert(*c);
            }
        });
        found
    }

    /// Every occurrence that the expression refers to. Subqueries are not entered.
    #[must_use]
    pub fn occurrences(&self) -> BTreeSet<OccId> {
        let mut found = BTreeSet::new();
        self.walk(&mut |e| match e {
            Expr::Column(c) => {
                found.insert(c.occ);
            }
            Expr::Present(occ) => {
                found.insert(*occ);
            }
            _ => {}
        });
        found
    }

    /// Whether the expression is NULL or false whenever the occurrence is absent; `false` where that isn't known.
    #[must_use]
    pub fn is_strict_in(&self, _occ: OccId) -> bool {
        false
    }
}
