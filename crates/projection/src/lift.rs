//! The way from a changed row to the keys of a block.
//!
//! In: a block's levels and what its relations are indexed by. Out: a [`Lift`] per occurrence: look-ups towards the key occurrences,
//! the variants in which null-supplying sides are absent, and whether some step has to read everything.
//!
//! Always: a lift reaches every key that a row of the occurrence is part of, before or after; it may reach more.

use std::collections::{BTreeMap, BTreeSet};

use readside_expr::{SubqueryId, as_equality};
use readside_plan::{Distinct, Expr, OccId, Query, SubqueryKind};

use crate::access::{Access, Planner, Step, Steps, equality_on, is_strict};
use crate::level::{Level, Link};

/// A null-supplying side that holds key occurrences, for enumerating keys from a lift.
#[derive(Debug)]
pub(crate) struct Variant {
    /// All key occurrences in it and below.
    pub(crate) key_occs: Vec<OccId>,
    /// How its own key occurrences are bound from what is bound above it.
    pub(crate) steps: Steps,
    pub(crate) children: Vec<Variant>,
}

/// The way from a changed row to keys of rows that a side has none in, by what it has in its absence.
#[derive(Debug)]
pub(crate) struct AbsentLift {
    /// Look-ups towards what the side is joined to.
    pub(crate) steps: Steps,
    /// The side's occurrences, which are absent from here on.
    pub(crate) side: Vec<OccId>,
    /// Look-ups of the other key occurrences that are always there.
    pub(crate) rest: Steps,
    pub(crate) variants: Vec<Variant>,
}

/// The way from a changed row to the block's keys.
#[derive(Debug)]
pub(crate) struct Lift {
    /// Conjuncts on the changed row alone: an image that fails one contributes to nothing.
    pub(crate) residual: Vec<Expr>,
    /// Look-ups towards the key occurrences that are always there.
    pub(crate) steps: Steps,
    pub(crate) variants: Vec<Variant>,
    /// The ways on which a side that the row stands in is absent, where other look-ups read that side.
    pub(crate) absent: Vec<AbsentLift>,
    /// Some step has to read every row of something.
    pub(crate) global: bool,
}

/// What a lift may walk along.
///
/// A null-supplying side is known by its first occurrence. Its conjuncts hold only if it is there: that is known of the sides that
/// the changed row stands in, of the one whose keys are looked for, and of every side of which an occurrence was found by something
/// that holds. Another one may have no row, so no way leads through it.
#[derive(Debug, Clone, Default)]
struct Pool {
    conjuncts: Vec<PoolConjunct>,
    /// Each occurrence with the sides that it stands in.
    sides: BTreeMap<OccId, Vec<OccId>>,
    /// The sides that are there.
    there: BTreeSet<OccId>,
}

/// Something that holds.
#[derive(Debug, Clone)]
struct PoolConjunct {
    /// As it stands.
    written: Expr,
    /// With the columns of the query that the changed row is in seen through.
    seen: Expr,
    /// The sides that must be there for it to hold.
    sides: Vec<OccId>,
}

impl Pool {
    fn add(&mut self, level: &Level, sides: &[OccId], inner: Option<(OccId, &Query)>) {
        for occ in &level.occs {
            self.sides.insert(*occ, sides.to_vec());
        }
        for conjunct in &level.conjuncts {
            let seen = match inner {
                Some((derived, query)) => through(conjunct, derived, query),
                None => conjunct.clone(),
            };
            self.conjuncts.push(PoolConjunct {
                written: conjunct.clone(),
                seen,
                sides: sides.to_vec(),
            });
        }
        for child in &level.children {
            let mut sides = sides.to_vec();
            sides.extend(child.occs.first());
            self.add(child, &sides, inner);
        }
    }

    /// The conjuncts that hold, given what has been found.
    fn usable(&self, reached: &BTreeSet<OccId>) -> Vec<&PoolConjunct> {
        let there = |side: &OccId| {
            self.there.contains(side)
                || reached
                    .iter()
                    .any(|o| self.sides.get(o).is_some_and(|s| s.contains(side)))
        };
        self.conjuncts
            .iter()
            .filter(|c| c.sides.iter().all(there))
            .collect()
    }

    /// Whether the occurrence has a row wherever the conjunct holds.
    fn has_row(&self, occ: OccId, conjunct: &PoolConjunct) -> bool {
        self.sides
            .get(&occ)
            .is_some_and(|sides| sides.iter().all(|side| conjunct.sides.contains(side)))
    }
}

impl Planner<'_, '_> {
    /// The lift from one occurrence.
    pub(crate) fn lift(&mut self, occ: OccId) -> Lift {
        let pool = self.lift_pool(occ);
        let mut bound = BTreeSet::from([occ]);
        let root = self.scopes.list[0].level.clone();
        let key: BTreeSet<OccId> = self.stage.block.key.iter().copied().collect();
        let always: Vec<OccId> = root
            .occs
            .iter()
            .filter(|o| key.contains(o))
            .copied()
            .collect();
        let mut global = false;
        let steps = self.walk(&mut bound, &always, &pool, Some(&mut global));
        let mut variants = Vec::new();
        for child in &root.children {
            variants.extend(self.variant(child, &bound, &key, &pool, &mut global));
        }
        let mut absent = Vec::new();
        for side in &pool.there {
            absent.extend(self.absent_lift(occ, *side, &pool, &always, &key, &mut global));
        }
        Lift {
            residual: self.residual(occ),
            steps,
            variants,
            absent,
            global,
        }
    }

    /// What a side's absence decides elsewhere, as in `… LEFT JOIN b ON … LEFT JOIN c ON c.id = coalesce(b.c_id, 1)`: when the row of
    /// `b` goes, other rows of `c` come, to which no row that changed leads.
    fn absent_lift(
        &mut self,
        occ: OccId,
        side: OccId,
        pool: &Pool,
        always: &[OccId],
        key: &BTreeSet<OccId>,
        global: &mut bool,
    ) -> Option<AbsentLift> {
        let in_side = |sides: &Vec<OccId>| sides.contains(&side);
        let own: BTreeSet<OccId> = pool
            .sides
            .iter()
            .filter(|(_, sides)| in_side(sides))
            .map(|(occ, _)| *occ)
            .collect();
        let reads_side = |c: &PoolConjunct| {
            !in_side(&c.sides) && !self.scopes.needs(&c.written).is_disjoint(&own)
        };
        if !pool.conjuncts.iter().any(reads_side) {
            return None;
        }
        let mut towards = pool.clone();
        towards.conjuncts.retain(|c| !reads_side(c));
        let mut beyond = pool.clone();
        beyond.there.remove(&side);
        beyond.conjuncts.retain(|c| !in_side(&c.sides));
        for conjunct in &mut beyond.conjuncts {
            if reads_side(conjunct) {
                conjunct.seen = conjunct.written.clone();
            }
        }
        beyond.sides.retain(|_, sides| !in_side(sides));
        let mut bound = BTreeSet::from([occ]);
        let steps = self.walk(&mut bound, always, &towards, None);
        bound.extend(&own);
        let rest = self.walk(&mut bound, always, &beyond, Some(global));
        let root = self.scopes.list[0].level.clone();
        let mut variants = Vec::new();
        for child in root
            .children
            .iter()
            .filter(|c| c.occs.first() != Some(&side))
        {
            variants.extend(self.variant(child, &bound, key, &beyond, global));
        }
        Some(AbsentLift {
            steps,
            side: own.into_iter().collect(),
            rest,
            variants,
        })
    }

    fn variant(
        &mut self,
        level: &Level,
        bound: &BTreeSet<OccId>,
        key: &BTreeSet<OccId>,
        pool: &Pool,
        global: &mut bool,
    ) -> Option<Variant> {
        let key_occs: Vec<OccId> = level
            .all_occs()
            .into_iter()
            .filter(|o| key.contains(o))
            .collect();
        if key_occs.is_empty() {
            return None;
        }
        let own: Vec<OccId> = level
            .occs
            .iter()
            .filter(|o| key.contains(o))
            .copied()
            .collect();
        let mut bound = bound.clone();
        let mut pool = pool.clone();
        pool.there.extend(level.occs.first());
        let steps = self.walk(&mut bound, &own, &pool, Some(global));
        let mut children = Vec::new();
        for child in &level.children {
            children.extend(self.variant(child, &bound, key, &pool, global));
        }
        Some(Variant {
            key_occs,
            steps,
            children,
        })
    }

    /// Look-ups that bind all targets. A target that cannot be reached is read whole, which `global` then says, or is left out where
    /// there is nobody to tell.
    fn walk(
        &mut self,
        bound: &mut BTreeSet<OccId>,
        targets: &[OccId],
        pool: &Pool,
        mut global: Option<&mut bool>,
    ) -> Steps {
        let mut steps: Vec<(OccId, Access, BTreeSet<OccId>)> = Vec::new();
        let mut reached = bound.clone();
        let missing =
            |reached: &BTreeSet<OccId>| targets.iter().find(|t| !reached.contains(t)).copied();
        while let Some(target) = missing(&reached) {
            let usable = pool.usable(&reached);
            let mut best: Option<(u8, OccId, Access)> = None;
            for occ in pool.sides.keys() {
                let Some(relation) = self.relation(*occ).filter(|_| !reached.contains(occ)) else {
                    continue;
                };
                let mut equalities = Vec::new();
                for conjunct in &usable {
                    if let Some((own, other, ty)) =
                        equality_on(&conjunct.seen, *occ, &reached, &|e| self.scopes.needs(e))
                        && (is_strict(&own)
                            || matches!(own, Expr::Record(_)) && pool.has_row(*occ, conjunct))
                    {
                        let (own, other, ty) = self.bare(relation, own, other, ty);
                        equalities.push((conjunct.seen.clone(), own, other, ty));
                    }
                }
                if equalities.is_empty() {
                    continue;
                }
                let (cost, access, _) = self.lookup(*occ, relation, &equalities);
                let cost = if targets.contains(occ) {
                    cost
                } else {
                    cost + 4
                };
                if best.as_ref().is_none_or(|(c, ..)| cost < *c) {
                    best = Some((cost, *occ, access));
                }
            }
            let (occ, access) = match best {
                Some((_, occ, access)) => (occ, access),
                None => match &mut global {
                    Some(global) => {
                        **global = true;
                        (target, Access::Scan)
                    }
                    None => break,
                },
            };
            let needs = match &access {
                Access::Key(parts) | Access::Index { parts, .. } => parts
                    .iter()
                    .flat_map(|(e, _)| self.scopes.needs(e))
                    .collect(),
                _ => BTreeSet::new(),
            };
            reached.insert(occ);
            steps.push((occ, access, needs));
        }
        // Only what leads to a target is looked up.
        let mut wanted: BTreeSet<OccId> = targets.iter().copied().collect();
        let mut out = Steps::new();
        for (occ, access, needs) in steps.into_iter().rev() {
            if wanted.contains(&occ) {
                wanted.extend(needs);
                bound.insert(occ);
                out.push(Step::Bind {
                    occ,
                    access,
                    checks: Vec::new(),
                });
            }
        }
        out.reverse();
        out
    }

    /// The conjuncts and occurrences of the occurrence's own query and of the queries around it.
    fn lift_pool(&self, occ: OccId) -> Pool {
        let mut pool = Pool::default();
        let mut at = self.scopes.of_occ.get(&occ).copied();
        let mut entry = Some(occ);
        // What stands for the columns of the query that we came out of.
        let mut inner: Option<(OccId, &Query)> = None;
        while let Some(index) = at {
            let scope = &self.scopes.list[index];
            pool.add(&scope.level, &[], inner);
            if let Some(sides) = entry.and_then(|entry| pool.sides.get(&entry)) {
                pool.there.extend(sides.clone());
            }
            (inner, entry) = match scope.link {
                Link::Derived(derived) => (Some((derived, scope.query)), Some(derived)),
                Link::Root => (None, None),
                Link::Subquery(id) => {
                    if let SubqueryKind::In { equals, output } =
                        &self.stage.block.subqueries[usize::from(id.0)].kind
                    {
                        let equals = through(equals, *output, scope.query);
                        if self.null_is_false(id, scope.parent) || self.is_never_null(&equals) {
                            pool.conjuncts.push(PoolConjunct {
                                written: equals.clone(),
                                seen: equals,
                                sides: Vec::new(),
                            });
                        }
                    }
                    (None, None)
                }
            };
            at = scope.parent;
        }
        pool
    }

    /// Whether an IN is a conjunct by itself, where NULL is as good as false: then only a match matters.
    fn null_is_false(&self, id: SubqueryId, parent: Option<usize>) -> bool {
        let whole = |conjunct: &&Expr| matches!(conjunct, Expr::Subquery(whole) if *whole == id);
        parent.is_some_and(|parent| {
            let scope = &self.scopes.list[parent];
            scope.level.all_conjuncts().iter().any(whole)
                || scope.query.having.iter().any(|c| whole(&c))
        })
    }

    /// Whether an equality compares columns that are never NULL.
    fn is_never_null(&self, equality: &Expr) -> bool {
        let never = |side: &Expr| match side {
            Expr::Column(c) => self.scopes.of_occ.get(&c.occ).is_some_and(|scope| {
                let is_there = self.scopes.list[*scope].level.occs.contains(&c.occ);
                is_there
                    && self
                        .relation(c.occ)
                        .is_some_and(|r| self.relations.is_not_null(r, c.column))
            }),
            _ => false,
        };
        as_equality(equality).is_some_and(|(left, right, _)| never(left) && never(right))
    }

    /// Conjuncts of the occurrence's own level that read nothing but the occurrence.
    fn residual(&self, occ: OccId) -> Vec<Expr> {
        fn own_level(level: &Level, occ: OccId) -> Option<&Level> {
            if level.occs.contains(&occ) {
                return Some(level);
            }
            level
                .children
                .iter()
                .find_map(|child| own_level(child, occ))
        }
        let Some(scope) = self.scopes.of_occ.get(&occ) else {
            return Vec::new();
        };
        let Some(level) = own_level(&self.scopes.list[*scope].level, occ) else {
            return Vec::new();
        };
        level
            .conjuncts
            .iter()
            .filter(|c| {
                self.scopes.needs(c) == BTreeSet::from([occ])
                    && readside_plan::subqueries_of(c).is_empty()
            })
            .cloned()
            .collect()
    }
}

/// A conjunct with the columns of a nested query replaced by what they are inside of it, through a grouping to its keys.
/// Not through a LIMIT, an OFFSET or DISTINCT ON: there a row decides on others with other values.
fn through(conjunct: &Expr, derived: OccId, query: &Query) -> Expr {
    if query.limit.is_some() || query.offset > 0 || matches!(query.distinct, Distinct::On(_)) {
        return conjunct.clone();
    }
    let substituted = conjunct.map_leaves(&mut |leaf| match leaf {
        Expr::Column(c) if c.occ == derived => query.select.get(usize::from(c.column)).cloned(),
        _ => None,
    });
    let Some(group) = &query.group else {
        return substituted;
    };
    substituted.map_leaves(&mut |leaf| match leaf {
        Expr::Column(c) if c.occ == group.occ => group.keys.get(usize::from(c.column)).cloned(),
        _ => None,
    })
}
