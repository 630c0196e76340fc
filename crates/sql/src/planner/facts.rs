//! What determines what among the rows of a FROM clause: candidate keys, equalities, constants.
//!
//! In: a query's FROM and WHERE. Out: which occurrences and columns follow from a given set of them.
//!
//! Always: a null-supplied occurrence is determined only by what holds whenever it is there, the ON of its own outer join.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use readside_expr::{ColumnRef, Expr, OccId, as_equality};
use readside_model::{ReplicaIdentity, Table, UniqueIndex};
use readside_pgtype::Type;
use readside_plan::{Distinct, FromItem, Grouping, Head, Query, Relation};

use crate::arena::{Arena, columns_of};
use crate::type_facts::equality_is_identity;

/// The dependencies of one FROM clause.
#[derive(Debug)]
pub(super) struct Facts<'a, 'c> {
    arena: &'a Arena<'c>,
    pub(super) occs: Vec<OccId>,
    /// Conjuncts that hold for each row in which the occurrence is there.
    usable: HashMap<OccId, Vec<Expr>>,
    /// The outer join that may leave an occurrence without a row.
    pub(super) supplied: HashMap<OccId, Supplied>,
    /// Columns that always equal an expression, where equal values are the same value.
    equal: Vec<(ColumnRef, Expr)>,
    /// Columns that equal an expression by the operator, though the two may be written differently.
    similar: Vec<(ColumnRef, Expr)>,
}

/// How an outer join supplies an occurrence.
#[derive(Debug, Clone)]
pub(super) struct Supplied {
    /// Its ON.
    pub(super) on: Vec<Expr>,
    /// Whether the occurrence is all of the null-supplying side.
    pub(super) alone: bool,
    /// Whether that outer join itself stands on the null-supplying side of another.
    pub(super) nested: bool,
}

/// Why an occurrence has one row.
#[derive(Debug, Clone)]
pub(super) enum How {
    /// It was given.
    Given,
    /// Each column of one of its keys is known.
    Key(Vec<(u16, Source)>),
}

/// Where a key column's value comes from.
#[derive(Debug, Clone)]
pub(super) enum Source {
    /// The column itself is known.
    Own,
    /// This conjunct equates it with something known.
    Conjunct(Expr),
}

/// What follows from what was given.
#[derive(Debug, Default)]
pub(super) struct Closure {
    pub(super) occs: BTreeMap<OccId, How>,
    pub(super) columns: BTreeSet<ColumnRef>,
}

impl Closure {
    pub(super) fn has_column(&self, column: ColumnRef) -> bool {
        self.columns.contains(&column) || self.occs.contains_key(&column.occ)
    }
}

impl<'a, 'c> Facts<'a, 'c> {
    pub(super) fn of(arena: &'a Arena<'c>, query: &Query) -> Facts<'a, 'c> {
        let mut facts = Facts {
            arena,
            occs: Vec::new(),
            usable: HashMap::new(),
            supplied: HashMap::new(),
            equal: Vec::new(),
            similar: Vec::new(),
        };
        if let Some(from) = &query.from {
            facts.occs = from.occurrences();
            facts.collect(from, &query.filter, None);
        }
        let mut always: Vec<Expr> = query.filter.clone();
        if let Some(from) = &query.from {
            inner_conjuncts(from, &mut always);
        }
        for conjunct in &always {
            let Some((l, r, ty)) = as_equality(conjunct) else {
                continue;
            };
            for (side, other) in [(l, r), (r, l)] {
                let Expr::Column(c) = side else { continue };
                if !facts.occs.contains(&c.occ) {
                    continue;
                }
                // Columns of the same char(n) are padded alike.
                let padded = matches!(ty, Type::Bpchar)
                    && matches!(other, Expr::Column(o) if typmod(arena, *c) == typmod(arena, *o) && typmod(arena, *c) > 0);
                if equality_is_identity(&ty) || padded {
                    facts.equal.push((*c, other.clone()));
                }
                facts.similar.push((*c, other.clone()));
            }
        }
        facts
    }

    fn collect(&mut self, item: &FromItem, usable: &[Expr], supplied: Option<&Supplied>) {
        match item {
            FromItem::Occurrence(occ) => {
                self.usable.insert(*occ, usable.to_vec());
                if let Some(supplied) = supplied {
                    self.supplied.insert(*occ, supplied.clone());
                }
            }
            FromItem::Inner { left, right, on } => {
                let all = [usable, on].concat();
                self.collect(left, &all, supplied);
                self.collect(right, &all, supplied);
            }
            FromItem::Left { left, right, on } => {
                self.collect(left, usable, supplied);
                let inner = Supplied {
                    on: on.clone(),
                    alone: matches!(**right, FromItem::Occurrence(_)),
                    nested: supplied.is_some(),
                };
                self.collect(right, on, Some(&inner));
            }
        }
    }

    /// Columns that always equal an expression, where equal values are the same value.
    pub(super) fn equal_columns(&self) -> Vec<(ColumnRef, Expr)> {
        self.equal
            .iter()
            .filter(|(column, _)| !self.supplied.contains_key(&column.occ))
            .cloned()
            .collect()
    }

    /// Columns that equal an expression by the operator, though the two may be written differently.
    pub(super) fn similar_columns(&self) -> &[(ColumnRef, Expr)] {
        &self.similar
    }

    /// The candidate keys of an occurrence, each a list of its columns.
    pub(super) fn candidate_keys(&self, occ: OccId) -> Vec<Vec<u16>> {
        candidate_keys(self.arena, occ)
    }

    /// Everything that follows from these occurrences and columns.
    pub(super) fn closure(
        &self,
        occs: impl IntoIterator<Item = OccId>,
        columns: impl IntoIterator<Item = ColumnRef>,
    ) -> Closure {
        let mut known = Closure {
            occs: occs.into_iter().map(|o| (o, How::Given)).collect(),
            columns: columns.into_iter().collect(),
        };
        loop {
            let mut grew = false;
            for occ in &self.occs {
                if !known.occs.contains_key(occ)
                    && let Some(how) = self.determined(*occ, &known)
                {
                    known.occs.insert(*occ, how);
                    grew = true;
                }
            }
            for (column, other) in &self.equal {
                if !known.has_column(*column)
                    && !self.supplied.contains_key(&column.occ)
                    && self.is_known(other, &known)
                {
                    known.columns.insert(*column);
                    grew = true;
                }
            }
            if !grew {
                return known;
            }
        }
    }

    /// Whether every column that `e` reads is known. What stands outside of this FROM is.
    pub(super) fn is_known(&self, e: &Expr, known: &Closure) -> bool {
        columns_of(e)
            .iter()
            .all(|c| !self.occs.contains(&c.occ) || known.has_column(*c))
            && self.arena.free_occs_of_expr(e).iter().all(|o| {
                !self.occs.contains(o) || known.occs.contains_key(o) || !reads_whole(e, *o)
            })
            && readside_plan::subqueries_of(e).is_empty()
    }

    /// Whether these of a grouping's keys determine all of them.
    pub(super) fn group_is_known(&self, group: &Grouping, keys: &[&Expr]) -> bool {
        let known = self.closure(
            [],
            keys.iter().filter_map(|k| match k {
                Expr::Column(c) => Some(*c),
                _ => None,
            }),
        );
        group
            .keys
            .iter()
            .all(|k| keys.contains(&k) || self.is_known(k, &known))
    }

    fn determined(&self, occ: OccId, known: &Closure) -> Option<How> {
        if let Relation::Query(inner) = &self.arena.occ(occ).relation {
            let outer = self.arena.free_occs(inner);
            let bound = outer
                .iter()
                .all(|o| !self.occs.contains(o) || known.occs.contains_key(o));
            if !bound {
                return None;
            }
            if at_most_one_row(inner) {
                return Some(How::Key(Vec::new()));
            }
        }
        self.candidate_keys(occ).into_iter().find_map(|key| {
            key.iter()
                .map(|column| self.source(occ, *column, known).map(|s| (*column, s)))
                .collect::<Option<Vec<_>>>()
                .map(How::Key)
        })
    }

    fn source(&self, occ: OccId, column: u16, known: &Closure) -> Option<Source> {
        let reference = ColumnRef { occ, column };
        let typed = &self.arena.occ(occ).columns.get(usize::from(column))?.typed;
        if known.columns.contains(&reference) && typed.not_null {
            return Some(Source::Own);
        }
        self.usable.get(&occ)?.iter().find_map(|conjunct| {
            let (l, r, ty) = as_equality(conjunct)?;
            // Rows of one column are equal where both are NULL, and of a table there may be many such.
            let is_stage = matches!(self.arena.occ(occ).relation, Relation::Stage(_));
            if matches!(ty, Type::Record(_)) && !typed.not_null && !is_stage {
                return None;
            }
            let other = if is_column(l, reference, &typed.ty, &ty) {
                r
            } else if is_column(r, reference, &typed.ty, &ty) {
                l
            } else {
                return None;
            };
            let of_itself = self.arena.free_occs_of_expr(other).contains(&occ);
            (!of_itself && self.is_known(other, known)).then(|| Source::Conjunct(conjunct.clone()))
        })
    }
}

fn typmod(arena: &Arena<'_>, column: ColumnRef) -> i32 {
    arena
        .occ(column.occ)
        .columns
        .get(usize::from(column.column))
        .map_or(-1, |n| n.typed.typmod)
}

/// Whether the presence of `occ` is asked for in `e`.
fn reads_whole(e: &Expr, occ: OccId) -> bool {
    let mut found = false;
    e.walk(&mut |e| found |= matches!(e, Expr::Present(o) if *o == occ));
    found
}

/// Whether `e` is the column, or a widening of it that keeps different values different.
fn is_column(e: &Expr, column: ColumnRef, own: &Type, compared: &Type) -> bool {
    match e {
        Expr::Column(c) => *c == column,
        Expr::Record(fields) => {
            matches!(fields.as_slice(), [Expr::Column(c)] if *c == column)
        }
        Expr::Call { args, .. } => {
            matches!(args.as_slice(), [Expr::Column(c)] if *c == column)
                && matches!(
                    (own.base(), compared.base()),
                    (Type::Int2, Type::Int4 | Type::Int8 | Type::Numeric)
                        | (Type::Int4, Type::Int8 | Type::Numeric)
                        | (Type::Int8, Type::Numeric)
                        | (Type::Varchar | Type::Name, Type::Text)
                )
        }
        _ => false,
    }
}

/// Whether a query in FROM gives at most one row for each binding of what it refers to.
pub(super) fn at_most_one_row(query: &Query) -> bool {
    let global = query.group.as_ref().is_some_and(|g| g.keys.is_empty());
    global || query.limit.is_some_and(|n| n <= 1) || query.from.is_none()
}

/// The candidate keys of an occurrence, each a list of its columns; the identity first.
pub(super) fn candidate_keys(arena: &Arena<'_>, occ: OccId) -> Vec<Vec<u16>> {
    let narrow = |columns: &[usize]| {
        columns
            .iter()
            .map(|i| u16::try_from(*i).ok())
            .collect::<Option<Vec<u16>>>()
    };
    match &arena.occ(occ).relation {
        Relation::Table(oid) => {
            let Some(table) = arena.catalog.tables.get(oid) else {
                return Vec::new();
            };
            let mut keys: Vec<Vec<u16>> = Vec::new();
            keys.extend(identity_columns(table).and_then(|columns| narrow(&columns)));
            for unique in &table.unique {
                if let Some(key) = narrow(&unique.columns)
                    && !keys.contains(&key)
                {
                    keys.push(key);
                }
            }
            keys
        }
        Relation::Stage(id) if arena.stage_keys.contains_key(id) => {
            arena.stage_keys.get(id).cloned().into_iter().collect()
        }
        Relation::Stage(id) => arena
            .stages
            .get(usize::from(id.0))
            .and_then(|stage| match &stage.head {
                Head::Group { keys, .. } => u16::try_from(keys.len()).ok(),
                Head::TopN {
                    partition, limit, ..
                } if *limit == 1 => u16::try_from(partition.len()).ok(),
                _ => None,
            })
            .map(|count| (0..count).collect())
            .into_iter()
            .collect(),
        Relation::Query(inner) => shown_key(arena, inner).into_iter().collect(),
        Relation::Grouping => Vec::new(),
    }
}

/// The output columns of a nested query that tell its rows apart, under one binding of what it refers to.
pub(super) fn shown_key(arena: &Arena<'_>, query: &Query) -> Option<Vec<u16>> {
    let shown = |e: &Expr| {
        query
            .select
            .iter()
            .position(|s| s == e)
            .and_then(|i| u16::try_from(i).ok())
    };
    if matches!(query.distinct, Distinct::All) {
        return (0..query.select.len())
            .map(|i| u16::try_from(i).ok())
            .collect();
    }
    if let Some(group) = &query.group {
        let before = before_grouping(query);
        let facts = Facts::of(arena, &before);
        let mut columns = Vec::new();
        let mut known = Vec::new();
        for (i, key) in group.keys.iter().enumerate() {
            let column = u16::try_from(i).ok()?;
            let position = shown(&Expr::Column(ColumnRef {
                occ: group.occ,
                column,
            }));
            if let Some(position) = position {
                columns.push(position);
                known.push(key);
            }
        }
        return facts.group_is_known(group, &known).then_some(columns);
    }
    let mut columns = Vec::new();
    for occ in covering(arena, query)? {
        for column in candidate_keys(arena, occ).into_iter().next()? {
            columns.push(shown(&Expr::Column(ColumnRef { occ, column }))?);
        }
    }
    Some(columns)
}

/// FROM and WHERE of a query.
pub(super) fn before_grouping(query: &Query) -> Query {
    Query {
        from: query.from.clone(),
        filter: query.filter.clone(),
        ..Query::over(None)
    }
}

/// The fewest occurrences of `query`'s FROM that determine all others, the first such in FROM order; `None` if some have no key.
pub(super) fn covering(arena: &Arena<'_>, query: &Query) -> Option<Vec<OccId>> {
    let facts = Facts::of(arena, query);
    let all = &facts.occs;
    let covers = |occs: &[OccId]| {
        let known = facts.closure(occs.iter().copied(), []);
        all.iter().all(|o| known.occs.contains_key(o))
    };
    let mut candidates = Vec::new();
    for occ in all {
        let keys = facts.candidate_keys(*occ);
        match &arena.occ(*occ).relation {
            Relation::Query(inner) if at_most_one_row(inner) => {}
            _ if keys.iter().any(Vec::is_empty) => {}
            Relation::Query(_) if keys.is_empty() => return None,
            _ => candidates.push(*occ),
        }
    }
    // The first rows of a partition are stored by their order: their keys do not tell their columns, so they are the last resort.
    let telling: Vec<OccId> = candidates
        .iter()
        .copied()
        .filter(|occ| match &arena.occ(*occ).relation {
            Relation::Stage(id) => !arena.stage_keys.contains_key(id),
            _ => true,
        })
        .collect();
    let key = if covers(&telling) {
        telling
    } else {
        candidates
    };
    Some(fewest(key, &covers))
}

/// The fewest of these occurrences that still cover.
fn fewest(candidates: Vec<OccId>, covers: &dyn Fn(&[OccId]) -> bool) -> Vec<OccId> {
    if candidates.is_empty() {
        return candidates;
    }
    for a in &candidates {
        if covers(&[*a]) {
            return vec![*a];
        }
    }
    for (i, a) in candidates.iter().enumerate() {
        for b in &candidates[i + 1..] {
            if covers(&[*a, *b]) {
                return vec![*a, *b];
            }
        }
    }
    let mut key = candidates;
    let mut i = key.len();
    while i > 0 {
        i -= 1;
        let mut without = key.clone();
        without.remove(i);
        if covers(&without) {
            key = without;
        }
    }
    key
}

/// The columns by which a table's rows are told apart.
pub(crate) fn identity_columns(table: &Table) -> Option<Vec<usize>> {
    if !table.identity.is_empty() && table.replica_identity != ReplicaIdentity::Full {
        return Some(table.identity.clone());
    }
    let strict =
        |u: &&UniqueIndex| u.immediate && u.columns.iter().all(|c| table.columns[*c].not_null);
    table
        .unique
        .iter()
        .find(|u| u.primary)
        .or_else(|| table.unique.iter().find(strict))
        .map(|u| u.columns.clone())
}

/// The conjuncts that hold for every row: those of inner joins above every outer join's null-supplying side.
fn inner_conjuncts(item: &FromItem, out: &mut Vec<Expr>) {
    match item {
        FromItem::Occurrence(_) => {}
        FromItem::Inner { left, right, on } => {
            out.extend(on.iter().cloned());
            inner_conjuncts(left, out);
            inner_conjuncts(right, out);
        }
        FromItem::Left { left, .. } => inner_conjuncts(left, out),
    }
}
