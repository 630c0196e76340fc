//! GROUP BY as a stage: the grouping becomes an internal table, and the query goes on over it.
//!
//! Always: the stage is keyed by a smallest set of group columns that determines the others. The others are looked up again after
//! it, along the same keys and conditions by which they were determined.

use std::collections::HashMap;

use readside_expr::{ColumnRef, Expr, OccId, Typed, resolve_operator};
use readside_pgtype::Value;
use readside_plan::{FromItem, Grouping, Head, Query, Relation, Stage, StageColumn, StageId};
use sqlparser::tokenizer::Span;

use super::Planner;
use super::facts::{Closure, Facts, How, Source};
use crate::arena::NamedColumn;
use crate::bind::rewrite;
use crate::refusal::{Checked, Problem};

impl Planner<'_> {
    /// A query without grouping over a stage that groups. `all_keys` keeps every group column as a key.
    pub(super) fn degroup(&mut self, mut query: Query, all_keys: bool) -> Checked<Query> {
        self.arena.resolve_query(&mut query);
        let Some(group) = query.group.take() else {
            return Ok(query);
        };
        let block = Query {
            from: query.from.take(),
            filter: std::mem::take(&mut query.filter),
            ..Query::over(None)
        };
        let span = group_span(&self.arena, &block);
        let (kept, rejoined) = self.choose_keys(&block, &group, all_keys, span)?;
        let stage_occ = rejoined.stage;
        self.write_stage(block, &group, &kept, stage_occ, span)?;
        for (i, expr) in rejoined.keys.into_iter().enumerate() {
            self.arena.replace_column(
                ColumnRef {
                    occ: group.occ,
                    column: super::column(i)?,
                },
                expr,
            );
        }
        for j in 0..group.aggregates.len() {
            self.arena.replace_column(
                ColumnRef {
                    occ: group.occ,
                    column: super::column(group.keys.len() + j)?,
                },
                Expr::Column(ColumnRef {
                    occ: stage_occ,
                    column: super::column(kept.len() + j)?,
                }),
            );
        }
        query.from = Some(rejoined.tree);
        query.filter = std::mem::take(&mut query.having);
        self.arena.resolve_query(&mut query);
        Ok(query)
    }

    /// Which group columns are keys, and how every group column is read after grouping.
    fn choose_keys(
        &mut self,
        block: &Query,
        group: &Grouping,
        all_keys: bool,
        span: Span,
    ) -> Checked<(Vec<usize>, Rejoined)> {
        let id = StageId(
            u16::try_from(self.arena.stages.len())
                .map_err(|_| Problem::at(span, "the view needs too many stages"))?,
        );
        let stage = self.arena.add_occ(Relation::Stage(id), "grouped", span)?;
        let mut kept: Vec<usize> = (0..group.keys.len()).collect();
        if !all_keys {
            // What is not part of any candidate key is given up first, later columns before earlier ones.
            let mut order: Vec<usize> = (0..group.keys.len()).rev().collect();
            let facts = Facts::of(&self.arena, block);
            order.sort_by_key(|i| {
                matches!(&group.keys[*i], Expr::Column(c)
                    if facts.candidate_keys(c.occ).iter().any(|k| k.contains(&c.column)))
            });
            for i in order {
                // Without any key it would be one group that is always there.
                if kept.len() == 1 {
                    break;
                }
                let without: Vec<usize> = kept.iter().copied().filter(|k| *k != i).collect();
                let facts = Facts::of(&self.arena, block);
                let known = closure_of(&facts, group, &without);
                if facts.is_known(&group.keys[i], &known)
                    && let Some(()) = self.try_rejoin(block, group, &without, stage)?
                {
                    kept = without;
                }
            }
        }
        let rejoined = self
            .rejoin(block, group, &kept, stage)?
            .ok_or_else(|| Problem::at(span, "the group columns cannot be looked up again"))?;
        Ok((kept, rejoined))
    }

    /// Whether every group column can be read when only these are keys.
    fn try_rejoin(
        &mut self,
        block: &Query,
        group: &Grouping,
        kept: &[usize],
        stage: OccId,
    ) -> Checked<Option<()>> {
        let before = self.arena.occs.len();
        let found = self.rejoin(block, group, kept, stage)?.map(|_| ());
        self.arena.occs.truncate(before);
        Ok(found)
    }

    fn rejoin(
        &mut self,
        block: &Query,
        group: &Grouping,
        kept: &[usize],
        stage: OccId,
    ) -> Checked<Option<Rejoined>> {
        let facts = Facts::of(&self.arena, block);
        let known = closure_of(&facts, group, kept);
        let supplied = facts.supplied.clone();
        let equal = facts.equal_columns();
        let mut keys_as_columns = Vec::new();
        for (at, i) in kept.iter().enumerate() {
            keys_as_columns.push((
                group.keys[*i].clone(),
                Expr::Column(ColumnRef {
                    occ: stage,
                    column: super::column(at)?,
                }),
            ));
        }
        let mut rejoin = Rejoin {
            planner: self,
            known: &known,
            supplied,
            equal,
            keys: keys_as_columns,
            copies: HashMap::new(),
            joining: Vec::new(),
            tree: FromItem::Occurrence(stage),
            depth: 0,
        };
        let mut keys = Vec::new();
        for key in &group.keys {
            let Some(e) = rejoin.express(key)? else {
                return Ok(None);
            };
            keys.push(e);
        }
        Ok(Some(Rejoined {
            stage,
            keys,
            tree: rejoin.tree,
        }))
    }

    fn write_stage(
        &mut self,
        block: Query,
        group: &Grouping,
        kept: &[usize],
        stage_occ: OccId,
        span: Span,
    ) -> Checked<()> {
        let keys: Vec<Expr> = kept.iter().map(|i| group.keys[*i].clone()).collect();
        let mut columns = Vec::new();
        let mut named = Vec::new();
        for i in kept {
            let name = self.expr_name(&group.keys[*i]);
            let mut typed = self.typed_of(&group.keys[*i], &group.key_types[*i]);
            typed.not_null = self.is_not_null(&block, &group.keys[*i]);
            columns.push(StageColumn {
                name: name.clone(),
                ty: typed.ty.clone(),
                not_null: typed.not_null,
            });
            named.push((name, typed));
        }
        for call in &group.aggregates {
            let (name, ty) = crate::aggregates::describe(call);
            columns.push(StageColumn {
                name: name.clone(),
                ty: ty.clone(),
                not_null: false,
            });
            named.push((name, Typed::new(Expr::Const(Value::Null), ty)));
        }
        let mut typed = Vec::new();
        for (i, (name, mut t)) in named.into_iter().enumerate() {
            t.expr = Expr::Column(ColumnRef {
                occ: stage_occ,
                column: super::column(i)?,
            });
            typed.push(NamedColumn { name, typed: t });
        }
        self.arena.occ_mut(stage_occ).columns = typed;
        let alias = match keys.as_slice() {
            [] => "total".to_owned(),
            keys => format!(
                "by {}",
                keys.iter()
                    .map(|k| self.expr_name(k))
                    .collect::<Vec<_>>()
                    .join(", ")
            ),
        };
        self.arena.occ_mut(stage_occ).alias.clone_from(&alias);
        let stage = super::column(self.arena.stages.len())?;
        self.note_aggregates(stage, kept.len(), &block, &group.aggregates);
        let (block, keys, aggregates) = self.group_block(block, keys, &group.aggregates, span)?;
        self.arena.stages.push(Stage {
            block,
            head: Head::Group { keys, aggregates },
            columns,
            label: format!("group {alias}"),
        });
        Ok(())
    }
}

/// How group columns are read after the stage.
struct Rejoined {
    stage: OccId,
    keys: Vec<Expr>,
    tree: FromItem,
}

struct Rejoin<'r, 'p> {
    planner: &'r mut Planner<'p>,
    known: &'r Closure,
    supplied: HashMap<OccId, super::facts::Supplied>,
    equal: Vec<(ColumnRef, Expr)>,
    keys: Vec<(Expr, Expr)>,
    copies: HashMap<OccId, OccId>,
    /// The occurrence whose own conditions are being written.
    joining: Vec<OccId>,
    tree: FromItem,
    depth: usize,
}

const DEPTH_MAX: usize = 64;

impl Rejoin<'_, '_> {
    /// `e` over the stage and over tables joined to it again; `None` if it can't be had.
    fn express(&mut self, e: &Expr) -> Checked<Option<Expr>> {
        if self.depth > DEPTH_MAX {
            return Ok(None);
        }
        self.depth += 1;
        let out = self.express_below(e);
        self.depth -= 1;
        out
    }

    fn express_below(&mut self, e: &Expr) -> Checked<Option<Expr>> {
        if let Expr::Column(c) = e
            && self.joining.last() == Some(&c.occ)
            && let Some(copy) = self.copies.get(&c.occ)
        {
            return Ok(Some(Expr::Column(ColumnRef {
                occ: *copy,
                column: c.column,
            })));
        }
        if let Some((_, column)) = self.keys.iter().find(|(key, _)| key == e) {
            return Ok(Some(column.clone()));
        }
        match e {
            Expr::Column(c) => {
                let equal: Vec<Expr> = self
                    .equal
                    .iter()
                    .filter(|(column, _)| column == c)
                    .map(|(_, other)| other.clone())
                    .collect();
                for other in equal {
                    if matches!(other, Expr::Const(_)) {
                        return Ok(Some(other));
                    }
                    if let Some((_, column)) = self.keys.iter().find(|(key, _)| *key == other) {
                        return Ok(Some(column.clone()));
                    }
                }
                Ok(self.copy(c.occ)?.map(|occ| {
                    Expr::Column(ColumnRef {
                        occ,
                        column: c.column,
                    })
                }))
            }
            Expr::Present(occ) => Ok(self.copy(*occ)?.map(Expr::Present)),
            Expr::Subquery(_) => Ok(None),
            e => {
                let mut failed = false;
                let mut problem = None;
                let mut top = true;
                let out = rewrite(e, &mut |part| {
                    if std::mem::take(&mut top) {
                        return None;
                    }
                    let own =
                        matches!(part, Expr::Column(c) if self.joining.last() == Some(&c.occ));
                    if !own && let Some((_, column)) = self.keys.iter().find(|(key, _)| key == part)
                    {
                        return Some(column.clone());
                    }
                    if !matches!(part, Expr::Column(_) | Expr::Present(_) | Expr::Subquery(_)) {
                        return None;
                    }
                    match self.express(part) {
                        Ok(Some(e)) => Some(e),
                        Ok(None) => {
                            failed = true;
                            None
                        }
                        Err(p) => {
                            problem = Some(p);
                            None
                        }
                    }
                });
                match problem {
                    Some(p) => Err(p),
                    None => Ok((!failed).then_some(out)),
                }
            }
        }
    }

    /// The occurrence, joined again.
    fn copy(&mut self, occ: OccId) -> Checked<Option<OccId>> {
        if let Some(copy) = self.copies.get(&occ) {
            return Ok(Some(*copy));
        }
        let Some(How::Key(sources)) = self.known.occs.get(&occ) else {
            return Ok(None);
        };
        let original = self.planner.arena.occ(occ).clone();
        if !matches!(original.relation, Relation::Table(_) | Relation::Stage(_)) {
            return Ok(None);
        }
        let supplied = self.supplied.get(&occ).cloned();
        let own = sources.iter().all(|(_, s)| matches!(s, Source::Own));
        let mut conditions: Vec<Expr> = Vec::new();
        match &supplied {
            // Whether the row is there at all depends on all of ON, unless a column of its own says so.
            Some(supplied) if !own => {
                if !supplied.alone || supplied.nested {
                    return Ok(None);
                }
                conditions.extend(supplied.on.iter().cloned());
            }
            _ => {
                for (_, source) in sources {
                    if let Source::Conjunct(e) = source
                        && !conditions.contains(e)
                    {
                        conditions.push(e.clone());
                    }
                }
            }
        }
        let joining = std::mem::take(&mut self.joining);
        let copied = self.copy_as(occ, &original, sources, conditions);
        self.joining = joining;
        copied
    }

    fn copy_as(
        &mut self,
        occ: OccId,
        original: &crate::arena::Occ,
        sources: &[(u16, Source)],
        conditions: Vec<Expr>,
    ) -> Checked<Option<OccId>> {
        let copy = self.planner.arena.add_occ(
            original.relation.clone(),
            original.alias.clone(),
            original.span,
        )?;
        let mut columns = original.columns.clone();
        for (i, column) in columns.iter_mut().enumerate() {
            column.typed.expr = Expr::Column(ColumnRef {
                occ: copy,
                column: super::column(i)?,
            });
        }
        self.planner.arena.occ_mut(copy).columns = columns;
        let mut on = Vec::new();
        for (column, source) in sources {
            if !matches!(source, Source::Own) {
                continue;
            }
            let Some(there) = self.express_key(occ, *column)? else {
                return Ok(None);
            };
            let named = &original.columns[usize::from(*column)];
            let mut here = named.typed.clone();
            here.expr = Expr::Column(ColumnRef {
                occ: copy,
                column: *column,
            });
            let mut value = named.typed.clone();
            value.expr = there;
            let equal = resolve_operator("=", Some(here), value)
                .map_err(|e| Problem::at(original.span, e.message))?;
            on.push(equal.expr);
        }
        // Inside its own conditions the occurrence is its copy.
        self.copies.insert(occ, copy);
        for condition in conditions {
            self.joining.push(occ);
            let e = self.express(&condition);
            self.joining.pop();
            let Some(e) = e? else {
                self.copies.remove(&occ);
                return Ok(None);
            };
            on.push(e);
        }
        let tree = std::mem::replace(&mut self.tree, FromItem::Occurrence(copy));
        self.tree = FromItem::Left {
            left: Box::new(tree),
            right: Box::new(FromItem::Occurrence(copy)),
            on,
        };
        Ok(Some(copy))
    }

    /// A column of `occ` whose value is known without the row: a key, or equal to something known.
    fn express_key(&mut self, occ: OccId, column: u16) -> Checked<Option<Expr>> {
        let reference = ColumnRef { occ, column };
        let e = Expr::Column(reference);
        if let Some((_, found)) = self.keys.iter().find(|(key, _)| *key == e) {
            return Ok(Some(found.clone()));
        }
        let equal: Vec<Expr> = self
            .equal
            .iter()
            .filter(|(c, _)| *c == reference)
            .map(|(_, other)| other.clone())
            .collect();
        for other in equal {
            let mut reads_itself = false;
            other.walk(&mut |e| {
                reads_itself |= matches!(e, Expr::Column(c) if c.occ == occ);
            });
            if !reads_itself && let Some(e) = self.express(&other)? {
                return Ok(Some(e));
            }
        }
        Ok(None)
    }
}

fn closure_of(facts: &Facts<'_, '_>, group: &Grouping, kept: &[usize]) -> Closure {
    facts.closure(
        [],
        kept.iter().filter_map(|i| match &group.keys[*i] {
            Expr::Column(c) => Some(*c),
            _ => None,
        }),
    )
}

fn group_span(arena: &crate::arena::Arena<'_>, block: &Query) -> Span {
    crate::arena::from_occs(block)
        .first()
        .map_or_else(Span::empty, |occ| arena.occ(*occ).span)
}
