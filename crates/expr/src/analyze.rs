//! What can be said of an expression without evaluating it.

use std::collections::BTreeSet;

use readside_pgtype::Value;

use crate::{ColumnRef, Expr, Func, OccId};

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
    ///
    /// An outer join below a condition that is strict in its null-supplying side is an inner join.
    #[must_use]
    pub fn is_strict_in(&self, occ: OccId) -> bool {
        self.absent(occ).not_true
    }

    /// What the expression can be when every column of the occurrence is NULL.
    fn absent(&self, occ: OccId) -> Absent {
        match self {
            Expr::Const(Value::Null) => Absent::NULL,
            Expr::Const(Value::Bool(false)) => Absent {
                not_true: true,
                null: false,
            },
            Expr::Column(c) if c.occ == occ => Absent::NULL,
            Expr::Present(o) if *o == occ => Absent {
                not_true: true,
                null: false,
            },
            Expr::Const(_) | Expr::Column(_) | Expr::Present(_) | Expr::Subquery(_) => {
                Absent::ANYTHING
            }
            Expr::Call { func, args } => match func {
                Func::Quantified { op, all: false } if op.is_strict() => {
                    Absent::null_if(args.iter().any(|a| a.absent(occ).null))
                }
                // ALL over an empty array is true whatever the left side is; over NULL it is NULL.
                Func::Quantified { .. } => {
                    Absent::null_if(args.get(1).is_some_and(|a| a.absent(occ).null))
                }
                Func::Truth { truth, negated } => {
                    let arg = args.first().map_or(Absent::ANYTHING, |a| a.absent(occ));
                    let not_true = match (truth, negated) {
                        (Some(true), false) => arg.not_true,
                        (Some(false), false) | (None, true) => arg.null,
                        _ => false,
                    };
                    Absent {
                        not_true,
                        null: false,
                    }
                }
                f if f.is_strict() => Absent::null_if(args.iter().any(|a| a.absent(occ).null)),
                _ => Absent::ANYTHING,
            },
            Expr::And(list) => Absent {
                not_true: list.iter().any(|e| e.absent(occ).not_true),
                null: !list.is_empty() && list.iter().all(|e| e.absent(occ).null),
            },
            Expr::Or(list) => Absent {
                not_true: list.iter().all(|e| e.absent(occ).not_true),
                null: !list.is_empty() && list.iter().all(|e| e.absent(occ).null),
            },
            Expr::Not(e) => Absent::null_if(e.absent(occ).null),
            Expr::Case {
                branches,
                otherwise,
            } => {
                let results = || {
                    branches
                        .iter()
                        .filter(|(c, _)| !c.absent(occ).not_true)
                        .map(|(_, r)| r)
                        .chain([&**otherwise])
                        .map(|r| r.absent(occ))
                };
                Absent {
                    not_true: results().all(|r| r.not_true),
                    null: results().all(|r| r.null),
                }
            }
            Expr::Coalesce(list) => Absent {
                not_true: list.iter().all(|e| e.absent(occ).not_true),
                null: list.iter().all(|e| e.absent(occ).null),
            },
            Expr::IsNotNull(e) => Absent {
                not_true: e.absent(occ).null,
                null: false,
            },
            Expr::IsNull(_) | Expr::Array { .. } | Expr::Record(_) => Absent::ANYTHING,
        }
    }
}

/// What is certain of a value when an occurrence is absent. An error counts as neither true nor anything else.
#[derive(Debug, Clone, Copy)]
struct Absent {
    /// NULL or false.
    not_true: bool,
    /// NULL.
    null: bool,
}

impl Absent {
    const NULL: Absent = Absent {
        not_true: true,
        null: true,
    };
    const ANYTHING: Absent = Absent {
        not_true: false,
        null: false,
    };

    fn null_if(null: bool) -> Absent {
        Absent {
            not_true: null,
            null,
        }
    }
}
