//! How a row is told apart in a sink: the key of the last block, shown by the output where it can be, hidden where not.

use readside_expr::{ColumnRef, Expr, OccId};
use readside_pgtype::Type;
use readside_plan::{KeyPiece, Query, Relation, SinkKeyPlan};
use sqlparser::tokenizer::{Location, Span};

use super::Planner;
use super::block::Numbers;
use super::facts::{Facts, candidate_keys};
use crate::arena::NamedColumn;
use crate::refusal::{Checked, Problem};

/// A sink key in the arena's numbers.
#[derive(Debug)]
pub(super) struct SinkKey {
    pub(super) pieces: Vec<Piece>,
}

/// A piece of it.
#[derive(Debug)]
pub(super) struct Piece {
    column: Option<usize>,
    pub(super) name: String,
    source: ColumnRef,
    supplied: bool,
    ty: Type,
    nullable: bool,
    /// How the query's text names it, if it is hidden.
    pub(super) text: Option<String>,
}

impl SinkKey {
    pub(super) fn renumbered(&self, numbers: &Numbers) -> SinkKeyPlan {
        SinkKeyPlan {
            pieces: self
                .pieces
                .iter()
                .map(|p| KeyPiece {
                    column: p.column,
                    name: p.name.clone(),
                    expr: numbers.expr(&Expr::Column(p.source)),
                    nullable_side: p.supplied.then(|| numbers.occ(p.source.occ)),
                    ty: p.ty.clone(),
                    nullable: p.nullable,
                })
                .collect(),
        }
    }
}

impl Planner<'_> {
    pub(super) fn sink_key(
        &mut self,
        query: &Query,
        columns: &[NamedColumn],
        root: Option<Location>,
        group: Option<OccId>,
        span: Span,
    ) -> Checked<SinkKey> {
        let key = self.block_key(query, span)?;
        let mut pieces = Vec::new();
        let facts = Facts::of(&self.arena, query);
        let equal = facts.equal_columns();
        let similar = facts.similar_columns().to_vec();
        for occ in &key {
            let Some(identity) = candidate_keys(&self.arena, *occ).into_iter().next() else {
                return Err(Problem::hinted(
                    self.arena.occ(*occ).span,
                    format!("`{}` has no key", self.arena.occ(*occ).alias),
                    "add a primary key to the table",
                ));
            };
            let supplied = facts.supplied.contains_key(occ);
            for column in identity {
                let source = ColumnRef { occ: *occ, column };
                let typed = &self.arena.occ(*occ).columns[usize::from(column)].typed;
                let shown = query.select.iter().position(|e| match e {
                    Expr::Column(c) if *c == source => true,
                    e if !supplied => {
                        equal.iter().any(|(l, r)| *l == source && r == e)
                            || matches!(e, Expr::Column(c) if equal.iter().any(|(l, r)|
                                l == c && *r == Expr::Column(source)))
                    }
                    _ => false,
                });
                pieces.push(Piece {
                    column: shown,
                    name: shown
                        .and_then(|i| columns.get(i))
                        .map_or_else(String::new, |c| c.name.clone()),
                    source,
                    supplied,
                    ty: typed.ty.clone(),
                    nullable: supplied || !typed.not_null,
                    text: None,
                });
            }
        }
        if pieces.iter().all(|p| p.column.is_some()) {
            pieces.sort_by_key(|p| p.column);
            pieces.dedup_by_key(|p| p.column);
            return Ok(SinkKey { pieces });
        }
        // A hidden piece that the others determine is left out; something must tell an absent side from one that is there.
        let mut i = 0;
        while i < pieces.len() {
            let piece = &pieces[i];
            let alone = pieces
                .iter()
                .filter(|p| p.source.occ == piece.source.occ)
                .count()
                == 1;
            if piece.column.is_some() || (piece.supplied && alone) {
                i += 1;
                continue;
            }
            let rest = pieces
                .iter()
                .enumerate()
                .filter(|(j, _)| *j != i)
                .map(|(_, p)| p.source);
            let known = facts.closure([], rest);
            if key.iter().all(|occ| known.occs.contains_key(occ)) {
                pieces.remove(i);
            } else {
                i += 1;
            }
        }
        if pieces.iter().all(|p| p.column.is_some()) {
            pieces.sort_by_key(|p| p.column);
            pieces.dedup_by_key(|p| p.column);
            return Ok(SinkKey { pieces });
        }
        let mut hidden = 0;
        let mut names = Vec::new();
        for piece in &mut pieces {
            if piece.column.is_some() {
                continue;
            }
            hidden += 1;
            piece.name = format!("_key_{hidden}");
            let occ = self.arena.occ(piece.source.occ);
            let shown = self.expr_name(&Expr::Column(piece.source));
            // A key is written in canonical form, so whatever equals it may stand for it.
            let text = std::iter::once(Expr::Column(piece.source))
                .chain(
                    similar
                        .iter()
                        .filter(|(c, _)| *c == piece.source && !piece.supplied)
                        .map(|(_, other)| other.clone()),
                )
                .find_map(|e| self.text_of(&e, root, group));
            if text.is_none() {
                return Err(Problem::hinted(
                    span,
                    format!(
                        "rows of this view are told apart by `{shown}`, which the outermost query cannot name"
                    ),
                    match &occ.relation {
                        Relation::Table(_) => {
                            format!("select `{shown}` in the subquery, and show it in the output")
                        }
                        _ => "show the group columns in the output".to_owned(),
                    },
                ));
            }
            piece.text = text;
            names.push(shown);
        }
        self.arena.warnings.push(format!(
            "the output does not show {}, by which its rows are told apart: the key is hidden, and a Redis template cannot use it",
            names
                .iter()
                .map(|n| format!("`{n}`"))
                .collect::<Vec<_>>()
                .join(", ")
        ));
        Ok(SinkKey { pieces })
    }

    /// How the query whose SELECT stands at `site` can name `e`.
    pub(super) fn text_of(
        &self,
        e: &Expr,
        site: Option<Location>,
        group: Option<OccId>,
    ) -> Option<String> {
        let texts = self.texts.get(&site?)?;
        if let Some(occ) = group {
            return texts.group.iter().enumerate().find_map(|(i, text)| {
                let key = Expr::Column(ColumnRef {
                    occ,
                    column: super::column(i).ok()?,
                });
                (self.arena.resolve(&key) == *e).then(|| text.clone())
            });
        }
        texts
            .columns
            .iter()
            .find(|(_, expr)| self.arena.resolve(expr) == *e)
            .map(|(text, _)| text.clone())
    }
}
