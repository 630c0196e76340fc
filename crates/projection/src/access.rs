//! How a block is run: in which order occurrences are bound, and through which look-up.
//!
//! In: a stage of a plan and the relations it reads. Out: a [`BlockExec`]: the order for enumerating everything, for
//! evaluating one key, for every nested query, and a [`Lift`] per occurrence; and the indexes that these need.

use std::collections::{BTreeMap, BTreeSet};

use readside_expr::as_equality;
use readside_pgtype::Type;
use readside_plan::{ColumnRef, Distinct, Expr, OccId, Query, Relation, Stage, SubqueryKind};

use crate::level::{Level, Scopes, head_exprs, query_exprs};
use crate::lift::Lift;
use crate::{ProjectionError, RelationId};

/// Expressions with the type by whose equality they are compared.
pub(crate) type Parts = Vec<(Expr, Type)>;

/// Columns of a relation with their types.
pub(crate) type KeyColumns = Vec<(u16, Type)>;

/// An index over a relation: expressions over its columns (as occurrence 0) with the type whose equality they are compared by.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct IndexDef {
    /// Of what.
    pub(crate) relation: RelationId,
    /// Over what.
    pub(crate) parts: Vec<(Expr, Type)>,
}

/// What the planner of accesses must know of relations; it hands out index ids.
pub(crate) trait Relations {
    /// The columns of the row key, in key order, with their types.
    fn key_columns(&self, relation: RelationId) -> Vec<(u16, Type)>;
    /// How many columns a base table has.
    fn column_count(&self, relation: RelationId) -> usize;
    /// Whether a column is never NULL.
    fn is_not_null(&self, relation: RelationId, column: u16) -> bool;
    /// Whether it never has more than one row.
    fn single_row(&self, relation: RelationId) -> bool;
    /// The id of an index, made if it does not exist yet.
    fn index(&mut self, def: IndexDef) -> u32;
    /// The relation of an occurrence that is a stage.
    fn stage(&self, stage: readside_plan::StageId) -> RelationId;
}

/// How an occurrence's rows are found.
#[derive(Debug, Clone)]
pub(crate) enum Access {
    /// The row that the key names, bound before.
    Fixed,
    /// One row by its whole key.
    Key(Vec<(Expr, Type)>),
    /// Rows by an index.
    Index { id: u32, parts: Vec<(Expr, Type)> },
    /// All rows.
    Scan,
    /// The rows of a nested query.
    Nested,
}

/// One step of binding.
#[derive(Debug, Clone)]
pub(crate) enum Step {
    /// Bind an occurrence to each of its rows in turn; rows that fail a check are skipped.
    Bind {
        occ: OccId,
        access: Access,
        checks: Vec<Expr>,
    },
    /// What must hold of what is bound.
    Check(Vec<Expr>),
    /// A null-supplying side.
    Left {
        /// In an evaluation by key: the side bound to the rows that the key names.
        keyed: Option<Steps>,
        /// The side as it is.
        free: Steps,
        /// Everything that is absent when it has no match.
        occs: Vec<OccId>,
        /// Key occurrences directly in this side.
        key_occs: Vec<OccId>,
    },
}

pub(crate) type Steps = Vec<Step>;

/// How one query is run.
#[derive(Debug)]
pub(crate) struct QueryExec {
    pub(crate) query: Query,
    pub(crate) steps: Steps,
    /// Its FROM occurrences that have rows in state, for the order of ties.
    pub(crate) tie_occs: Vec<OccId>,
}

/// A base or internal relation's occurrence, and what is read of it.
#[derive(Debug)]
pub(crate) struct OccExec {
    pub(crate) relation: Option<RelationId>,
    pub(crate) alias: String,
    pub(crate) columns: BTreeSet<u16>,
    pub(crate) lift: Option<Lift>,
}

/// What must hold of a key's own rows alone if a level is there.
#[derive(Debug)]
pub(crate) struct KeyChecks {
    /// The level's key occurrences; it is there if one of them is. None for the outermost level, which always is.
    pub(crate) level: Vec<OccId>,
    pub(crate) conjuncts: Vec<Expr>,
}

/// A block, ready to run.
#[derive(Debug)]
pub(crate) struct BlockExec {
    pub(crate) occs: Vec<OccExec>,
    pub(crate) root: QueryExec,
    pub(crate) keyed: Steps,
    pub(crate) subqueries: Vec<(QueryExec, SubqueryKind)>,
    pub(crate) nested: BTreeMap<OccId, QueryExec>,
    pub(crate) key: Vec<OccId>,
    pub(crate) key_checks: Vec<KeyChecks>,
}

/// Works out accesses and lifts.
pub(crate) struct Planner<'p, 'r> {
    pub(crate) stage: &'p Stage,
    pub(crate) scopes: Scopes<'p>,
    pub(crate) relations: &'r mut dyn Relations,
}

/// Collects the conjuncts that speak of key occurrences alone, level by level.
fn add_key_checks(level: &Level, outermost: bool, key: &BTreeSet<OccId>, out: &mut Vec<KeyChecks>) {
    let of_key = |conjunct: &&Expr| {
        let mut of_key = true;
        conjunct.walk(&mut |e| match e {
            Expr::Column(column) => of_key &= key.contains(&column.occ),
            Expr::Present(occ) => of_key &= key.contains(occ),
            Expr::Subquery(_) => of_key = false,
            _ => {}
        });
        of_key
    };
    let conjuncts: Vec<Expr> = level.conjuncts.iter().filter(of_key).cloned().collect();
    let own: Vec<OccId> = level
        .all_occs()
        .into_iter()
        .filter(|occ| !outermost && key.contains(occ))
        .collect();
    // Of a side without a key the key does not say whether it is there.
    if !conjuncts.is_empty() && (outermost || !own.is_empty()) {
        out.push(KeyChecks {
            level: own,
            conjuncts,
        });
    }
    for child in &level.children {
        add_key_checks(child, false, key, out);
    }
}

/// Works out how a stage's block is run.
pub(crate) fn block_exec(
    view: &str,
    stage: &Stage,
    relations: &mut dyn Relations,
) -> Result<BlockExec, ProjectionError> {
    let scopes = Scopes::of(&stage.block, &stage.head);
    let mut planner = Planner {
        stage,
        scopes,
        relations,
    };
    planner.block(view)
}

impl Planner<'_, '_> {
    pub(crate) fn relation(&self, occ: OccId) -> Option<RelationId> {
        match &self
            .stage
            .block
            .occurrences
            .get(usize::from(occ.0))?
            .relation
        {
            Relation::Table(oid) => Some(RelationId::Table(*oid)),
            Relation::Stage(stage) => Some(self.relations.stage(*stage)),
            Relation::Query(_) | Relation::Grouping => None,
        }
    }

    fn block(&mut self, view: &str) -> Result<BlockExec, ProjectionError> {
        let block = &self.stage.block;
        let key: BTreeSet<OccId> = block.key.iter().copied().collect();
        let root_level = self.scopes.list[0].level.clone();
        let free = self.steps(&root_level, &mut BTreeSet::new(), None);
        let keyed = self.steps(&root_level, &mut BTreeSet::new(), Some(&key));
        let root = self.query_exec(&block.query, free);
        let mut key_checks = Vec::new();
        add_key_checks(&root_level, true, &key, &mut key_checks);
        let mut subqueries = Vec::new();
        for subquery in &block.subqueries {
            let steps = self.nested_steps(&subquery.query);
            subqueries.push((
                self.query_exec(&subquery.query, steps),
                subquery.kind.clone(),
            ));
        }
        let mut nested = BTreeMap::new();
        for (i, occurrence) in block.occurrences.iter().enumerate() {
            if let Relation::Query(query) = &occurrence.relation {
                let steps = self.nested_steps(query);
                nested.insert(occ_id(i), self.query_exec(query, steps));
            }
        }
        let read = self.read_columns();
        let mut occs = Vec::new();
        for (i, occurrence) in block.occurrences.iter().enumerate() {
            let occ = occ_id(i);
            let relation = self.relation(occ);
            let lift = match relation {
                Some(_) if self.scopes.of_occ.contains_key(&occ) => Some(self.lift(occ)),
                _ => None,
            };
            occs.push(OccExec {
                relation,
                alias: occurrence.alias.clone(),
                columns: read.get(&occ).cloned().unwrap_or_default(),
                lift,
            });
        }
        for occ in &block.key {
            if self.relation(*occ).is_none() {
                return Err(ProjectionError::Plan {
                    view: view.to_owned(),
                    reason: "a key occurrence has no rows in state".to_owned(),
                });
            }
        }
        Ok(BlockExec {
            occs,
            root,
            keyed,
            subqueries,
            nested,
            key: block.key.clone(),
            key_checks,
        })
    }

    fn query_exec(&self, query: &Query, steps: Steps) -> QueryExec {
        let tie_occs = query
            .from
            .as_ref()
            .map(readside_plan::FromItem::occurrences)
            .unwrap_or_default()
            .into_iter()
            .filter(|occ| self.relation(*occ).is_some())
            .collect();
        QueryExec {
            query: query.clone(),
            steps,
            tie_occs,
        }
    }

    fn nested_steps(&mut self, query: &Query) -> Steps {
        let mut bound = self.scopes.needs_of_query(query);
        self.steps(&Level::of(query), &mut bound, None)
    }

    fn read_columns(&self) -> BTreeMap<OccId, BTreeSet<u16>> {
        let mut out: BTreeMap<OccId, BTreeSet<u16>> = BTreeMap::new();
        let mut add = |expr: &Expr| {
            expr.walk(&mut |e| {
                if let Expr::Column(c) = e {
                    out.entry(c.occ).or_default().insert(c.column);
                }
            });
        };
        for scope in &self.scopes.list {
            query_exprs(scope.query).into_iter().for_each(&mut add);
        }
        head_exprs(&self.stage.head).into_iter().for_each(&mut add);
        for subquery in &self.stage.block.subqueries {
            if let SubqueryKind::In { equals, .. } = &subquery.kind {
                add(equals);
            }
        }
        out
    }

    /// The order in which a level is bound, given what is bound already; `bound` holds the level's occurrences afterwards.
    fn steps(
        &mut self,
        level: &Level,
        bound: &mut BTreeSet<OccId>,
        key: Option<&BTreeSet<OccId>>,
    ) -> Steps {
        let mut out = Steps::new();
        let mut conjuncts: Vec<(Expr, BTreeSet<OccId>)> = level
            .conjuncts
            .iter()
            .map(|c| (c.clone(), self.scopes.needs(c)))
            .collect();
        let mut left: Vec<OccId> = level.occs.clone();
        let mut children: Vec<&Level> = level.children.iter().collect();
        let early = take_ready(&mut conjuncts, bound);
        if !early.is_empty() {
            out.push(Step::Check(early));
        }
        loop {
            let mut best: Option<(u8, usize, Access, Vec<Expr>)> = None;
            for (i, occ) in left.iter().enumerate() {
                let Some((cost, access, used)) = self.access(*occ, &conjuncts, bound, key) else {
                    continue;
                };
                if best.as_ref().is_none_or(|(c, ..)| cost < *c) {
                    best = Some((cost, i, access, used));
                }
            }
            // A scan can wait until the outer joins that need nothing of it are done: they may give a look-up.
            let ready = children
                .iter()
                .position(|child| self.child_needs(child).is_subset(bound));
            let best_is_scan = best.as_ref().is_none_or(|(cost, ..)| *cost >= SCAN);
            if let Some(at) = ready.filter(|_| {
                best_is_scan && (best.is_none() || !bound.is_empty() && !out.is_empty())
            }) {
                let child = children.remove(at);
                let occs = child.all_occs();
                let key_occs: Vec<OccId> = child
                    .occs
                    .iter()
                    .filter(|o| key.is_some_and(|k| k.contains(o)))
                    .copied()
                    .collect();
                let any_key = key.is_some_and(|k| occs.iter().any(|o| k.contains(o)));
                let keyed = if any_key {
                    Some(self.steps(child, &mut bound.clone(), key))
                } else {
                    None
                };
                let free = self.steps(child, &mut bound.clone(), None);
                bound.extend(occs.iter().copied());
                out.push(Step::Left {
                    keyed,
                    free,
                    occs,
                    key_occs,
                });
                let checks = take_ready(&mut conjuncts, bound);
                if !checks.is_empty() {
                    out.push(Step::Check(checks));
                }
                continue;
            }
            let Some((_, i, access, used)) = best else {
                break;
            };
            let occ = left.remove(i);
            conjuncts.retain(|(c, _)| !used.contains(c));
            bound.insert(occ);
            let checks = take_ready(&mut conjuncts, bound);
            out.push(Step::Bind {
                occ,
                access,
                checks,
            });
        }
        out
    }

    fn child_needs(&self, child: &Level) -> BTreeSet<OccId> {
        let own: BTreeSet<OccId> = child.all_occs().into_iter().collect();
        let mut needs = BTreeSet::new();
        for conjunct in child.all_conjuncts() {
            needs.extend(self.scopes.needs(conjunct));
        }
        for occ in &own {
            if let Relation::Query(query) =
                &self.stage.block.occurrences[usize::from(occ.0)].relation
            {
                needs.extend(self.scopes.needs_of_query(query));
            }
        }
        needs.difference(&own).copied().collect()
    }

    /// The cheapest way to an occurrence's rows, its cost class, and the conjuncts that it makes true.
    fn access(
        &mut self,
        occ: OccId,
        conjuncts: &[(Expr, BTreeSet<OccId>)],
        bound: &BTreeSet<OccId>,
        key: Option<&BTreeSet<OccId>>,
    ) -> Option<(u8, Access, Vec<Expr>)> {
        if key.is_some_and(|k| k.contains(&occ)) {
            return Some((0, Access::Fixed, Vec::new()));
        }
        let Some(relation) = self.relation(occ) else {
            let Relation::Query(query) = &self.stage.block.occurrences[usize::from(occ.0)].relation
            else {
                return None;
            };
            let ready = self.scopes.needs_of_query(query).is_subset(bound);
            return ready.then_some((2, Access::Nested, Vec::new()));
        };
        let mut equalities = Vec::new();
        for (conjunct, needs) in conjuncts {
            if needs.contains(&occ)
                && let Some((own, other, ty)) =
                    equality_on(conjunct, occ, bound, &|e| self.scopes.needs(e))
                && (is_strict(&own) || matches!(own, Expr::Record(_)))
            {
                let (own, other, ty) = self.bare(relation, own, other, ty);
                equalities.push((conjunct.clone(), own, other, ty));
            }
        }
        Some(self.lookup(occ, relation, &equalities))
    }

    /// `ROW(column) = ROW(value)`, by which NULL equals NULL, as `column = value` where the column is never NULL.
    pub(crate) fn bare(
        &self,
        relation: RelationId,
        own: Expr,
        other: Expr,
        ty: Type,
    ) -> (Expr, Expr, Type) {
        if let (Expr::Record(left), Expr::Record(right), Type::Record(record)) = (&own, &other, &ty)
            && let ([Expr::Column(c)], [value], [(_, field)]) =
                (&left[..], &right[..], &record.fields[..])
            && self.relations.is_not_null(relation, c.column)
        {
            return (Expr::Column(*c), value.clone(), field.clone());
        }
        (own, other, ty)
    }

    pub(crate) fn lookup(
        &mut self,
        occ: OccId,
        relation: RelationId,
        equalities: &[(Expr, Expr, Expr, Type)],
    ) -> (u8, Access, Vec<Expr>) {
        if equalities.is_empty() {
            let cost = if self.relations.single_row(relation) {
                1
            } else {
                SCAN
            };
            return (cost, Access::Scan, Vec::new());
        }
        let key_columns = self.relations.key_columns(relation);
        let by_column = |column: u16, ty: &Type| {
            equalities.iter().find(|(_, own, _, equality_type)| {
                *own == Expr::Column(ColumnRef { occ, column }) && same_equality(equality_type, ty)
            })
        };
        let whole_key: Option<Vec<_>> = key_columns
            .iter()
            .map(|(column, ty)| by_column(*column, ty).map(|e| (e, ty)))
            .collect();
        if let Some(parts) = whole_key.filter(|parts| !parts.is_empty()) {
            let used = parts.iter().map(|(e, _)| e.0.clone()).collect();
            let parts = parts
                .into_iter()
                .map(|(e, ty)| (e.2.clone(), ty.clone()))
                .collect();
            return (1, Access::Key(parts), used);
        }
        let mut chosen: Vec<&(Expr, Expr, Expr, Type)> = Vec::new();
        for equality in equalities {
            if !chosen.iter().any(|c| c.1 == equality.1) {
                chosen.push(equality);
            }
        }
        chosen.sort_by_key(|e| match &e.1 {
            Expr::Column(c) => (0, c.column),
            _ => (1, 0),
        });
        let parts = chosen
            .iter()
            .map(|e| (over_zero(&e.1), e.3.clone()))
            .collect();
        let id = self.relations.index(IndexDef { relation, parts });
        let used = chosen.iter().map(|e| e.0.clone()).collect();
        let parts = chosen.iter().map(|e| (e.2.clone(), e.3.clone())).collect();
        (3, Access::Index { id, parts }, used)
    }
}

const SCAN: u8 = 9;

/// A conjunct as an equality of something of `occ` alone with something that is bound. Unless the something [`is_strict`], it may
/// hold without a row of `occ`.
pub(crate) fn equality_on(
    conjunct: &Expr,
    occ: OccId,
    bound: &BTreeSet<OccId>,
    needs: &dyn Fn(&Expr) -> BTreeSet<OccId>,
) -> Option<(Expr, Expr, Type)> {
    let (a, b, ty) = as_equality(conjunct)?;
    let only = BTreeSet::from([occ]);
    for (own, other) in [(a, b), (b, a)] {
        if needs(own) == only
            && readside_plan::subqueries_of(own).is_empty()
            && !needs(other).contains(&occ)
            && needs(other).is_subset(bound)
        {
            return Some((own.clone(), other.clone(), ty));
        }
    }
    None
}

/// Whether an expression over one occurrence is NULL when the occurrence is absent: then an index of present rows misses nothing.
pub(crate) fn is_strict(expr: &Expr) -> bool {
    let Some(occ) = expr.occurrences().into_iter().next() else {
        return false;
    };
    matches!(expr, Expr::Column(_)) || expr.is_strict_in(occ)
}

/// Whether keys of a column of type `column` can be looked up by the encoding of values of type `equality`.
fn same_equality(equality: &Type, column: &Type) -> bool {
    fn class(ty: &Type) -> u8 {
        match ty.base() {
            Type::Int2 | Type::Int4 | Type::Int8 | Type::Oid => 1,
            Type::Text | Type::Varchar | Type::Name => 2,
            _ => 0,
        }
    }
    equality.base() == column.base() || class(equality) != 0 && class(equality) == class(column)
}

fn take_ready(conjuncts: &mut Vec<(Expr, BTreeSet<OccId>)>, bound: &BTreeSet<OccId>) -> Vec<Expr> {
    let mut ready = Vec::new();
    conjuncts.retain(|(conjunct, needs)| {
        let is_ready = needs.is_subset(bound);
        if is_ready {
            ready.push(conjunct.clone());
        }
        !is_ready
    });
    ready
}

/// An expression over one occurrence as an expression over occurrence 0.
fn over_zero(expr: &Expr) -> Expr {
    expr.map_leaves(&mut |leaf| match leaf {
        Expr::Column(c) => Some(Expr::Column(ColumnRef {
            occ: OccId(0),
            column: c.column,
        })),
        _ => None,
    })
}

/// The id of the occurrence at an index of a block's list.
pub(crate) fn occ_id(index: usize) -> OccId {
    OccId(u16::try_from(index).unwrap_or(u16::MAX))
}

/// Whether a query's rows have to be gathered and sorted before any is used.
pub(crate) fn wants_order(query: &Query) -> bool {
    !query.order.is_empty()
        || query.limit.is_some()
        || query.offset > 0
        || query.distinct != Distinct::No
}
