//! Nested queries, evaluated from scratch under the outer binding: subqueries in expressions, derived tables, LATERAL.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use readside_aggregate::{AggCall, SortKey, collect};
use readside_expr::EvalError;
use readside_pgtype::{Array, Type, Value, compare_typed, encode_key};
use readside_plan::{Distinct, Expr, Grouping, SubqueryId, SubqueryKind};

use crate::ProjectionError;
use crate::access::{QueryExec, wants_order};
use crate::eval::{Evaluator, Flow, Slot};

type Cell = Result<Value, EvalError>;

/// Argument values and sort values of an aggregate call.
pub(crate) type Arguments = (Vec<Value>, Vec<Value>);

/// A row on its way through ORDER BY.
struct Sorted {
    sort: Vec<Cell>,
    tie: Vec<u8>,
    row: Rc<[Cell]>,
}

/// One group on its way through GROUP BY.
struct Group {
    keys: Vec<Cell>,
    calls: Vec<Contributions>,
}

/// The argument rows of one aggregate.
#[derive(Default)]
struct Contributions {
    rows: Vec<Contribution>,
    error: Option<EvalError>,
}

struct Contribution {
    args: Vec<Value>,
    sort: Vec<Value>,
    tie: Vec<u8>,
}

impl<'s, 'p> Evaluator<'s, 'p> {
    pub(crate) fn subquery_value(&self, id: SubqueryId) -> Cell {
        let Some((query, kind)) = self.block.subqueries.get(usize::from(id.0)) else {
            return Err(self.break_with(ProjectionError::Corrupt(
                "a subquery is missing from its plan".to_owned(),
            )));
        };
        self.subquery_of(query, kind)
            .unwrap_or_else(|error| Err(self.break_with(error)))
    }

    fn subquery_of(
        &self,
        query: &'p QueryExec,
        kind: &'p SubqueryKind,
    ) -> Result<Cell, ProjectionError> {
        match kind {
            SubqueryKind::Exists => {
                if query.query.group.is_some() || wants_order(&query.query) {
                    return Ok(Ok(Value::Bool(!self.query_rows(query)?.is_empty())));
                }
                let mut found = false;
                let mut error = None;
                self.run(&query.steps, &mut |this| {
                    error = this.path_error();
                    found = error.is_none();
                    Ok(if found { Flow::Stop } else { Flow::Continue })
                })?;
                Ok(match error {
                    Some(error) if !found => Err(error),
                    _ => Ok(Value::Bool(found)),
                })
            }
            SubqueryKind::Scalar => {
                let rows = self.query_rows(query)?;
                if rows.len() > 1 {
                    return Ok(Err(EvalError {
                        sqlstate: "21000",
                        message: "more than one row returned by a subquery used as an expression"
                            .to_owned(),
                    }));
                }
                Ok(rows
                    .first()
                    .and_then(|row| row.first())
                    .cloned()
                    .unwrap_or(Ok(Value::Null)))
            }
            SubqueryKind::Array => {
                let mut elements = Vec::new();
                for row in self.query_rows(query)? {
                    match row.first().cloned().unwrap_or(Ok(Value::Null)) {
                        Ok(value) => elements.push(value),
                        Err(error) => return Ok(Err(error)),
                    }
                }
                Ok(array_of(elements))
            }
            SubqueryKind::In { equals, output } => {
                let mut any_null = false;
                let mut failed = None;
                for row in self.query_rows(query)? {
                    self.bind(*output, Slot::Values(row));
                    let value = self.value(equals);
                    self.bind(*output, Slot::Unbound);
                    match value? {
                        Ok(Value::Bool(true)) => return Ok(Ok(Value::Bool(true))),
                        Ok(Value::Null) => any_null = true,
                        Ok(_) => {}
                        Err(error) => failed = Some(error),
                    }
                }
                Ok(match failed {
                    Some(error) => Err(error),
                    None if any_null => Ok(Value::Null),
                    None => Ok(Value::Bool(false)),
                })
            }
        }
    }

    /// The rows of a nested query in its order.
    pub(crate) fn query_rows(
        &self,
        query: &'p QueryExec,
    ) -> Result<Vec<Rc<[Cell]>>, ProjectionError> {
        let mut rows: Vec<Sorted> = Vec::new();
        match &query.query.group {
            None => {
                self.run(&query.steps, &mut |this| {
                    let tie = this.tie(query);
                    rows.push(this.sorted(query, tie)?);
                    Ok(Flow::Continue)
                })?;
            }
            Some(group) => self.groups(query, group, &mut rows)?,
        }
        if rows.len() > 1 {
            rows.sort_by(|a, b| {
                compare_cells(&a.sort, &b.sort, &query.query.order).then_with(|| a.tie.cmp(&b.tie))
            });
        }
        match &query.query.distinct {
            Distinct::No => {}
            Distinct::All => {
                let mut seen = BTreeSet::new();
                rows.retain(|r| seen.insert(canonical(&r.row, &query.query.types)));
                if query.query.order.is_empty() {
                    rows.sort_by_cached_key(|r| canonical(&r.row, &query.query.types));
                }
            }
            Distinct::On(exprs) => {
                // The values of ON stand behind the sort keys.
                let types: Vec<Type> = exprs.iter().map(|(_, ty)| ty.clone()).collect();
                let skip = query.query.order.len();
                let mut seen = BTreeSet::new();
                rows.retain(|r| seen.insert(canonical(&r.sort[skip..], &types)));
            }
        }
        let offset = usize::try_from(query.query.offset).unwrap_or(usize::MAX);
        let limit = query
            .query
            .limit
            .map_or(usize::MAX, |l| usize::try_from(l).unwrap_or(usize::MAX));
        Ok(rows
            .into_iter()
            .skip(offset)
            .take(limit)
            .map(|r| r.row)
            .collect())
    }

    fn sorted(&self, query: &'p QueryExec, tie: Vec<u8>) -> Result<Sorted, ProjectionError> {
        let error = self.path_error();
        let cell = |expr: &Expr| match &error {
            Some(error) => Ok(Err(error.clone())),
            None => self.value(expr),
        };
        let mut sort = query
            .query
            .order
            .iter()
            .map(|o| cell(&o.expr))
            .collect::<Result<Vec<_>, _>>()?;
        if let Distinct::On(exprs) = &query.query.distinct {
            for (expr, _) in exprs {
                sort.push(cell(expr)?);
            }
        }
        let row = query
            .query
            .select
            .iter()
            .map(cell)
            .collect::<Result<Vec<_>, _>>()?;
        Ok(Sorted {
            sort,
            tie,
            row: row.into(),
        })
    }

    fn tie(&self, query: &QueryExec) -> Vec<u8> {
        let mut out = Vec::new();
        for occ in &query.tie_occs {
            if let Slot::Row { key, .. } = self.slot(*occ) {
                out.extend_from_slice(&key);
            }
        }
        out
    }

    fn groups(
        &self,
        query: &'p QueryExec,
        group: &'p Grouping,
        rows: &mut Vec<Sorted>,
    ) -> Result<(), ProjectionError> {
        let mut groups: BTreeMap<Vec<u8>, Group> = BTreeMap::new();
        let fresh = |keys| Group {
            keys,
            calls: group
                .aggregates
                .iter()
                .map(|_| Contributions::default())
                .collect(),
        };
        if group.keys.is_empty() {
            groups.insert(Vec::new(), fresh(Vec::new()));
        }
        self.run(&query.steps, &mut |this| {
            let mut keys = Vec::with_capacity(group.keys.len());
            for key in &group.keys {
                keys.push(this.value(key)?);
            }
            let tie = this.tie(query);
            let entry = groups
                .entry(canonical(&keys, &group.key_types))
                .or_insert_with(|| fresh(keys));
            for (call, into) in group.aggregates.iter().zip(&mut entry.calls) {
                this.contribute(call, &tie, into)?;
            }
            Ok(Flow::Continue)
        })?;
        for (tie, state) in groups {
            let mut values: Vec<Cell> = state.keys;
            for (call, contributions) in group.aggregates.iter().zip(state.calls) {
                values.push(aggregate(call, contributions));
            }
            self.bind(group.occ, Slot::Values(values.into()));
            let holds = self.holds(&query.query.having)?;
            if let Some(failed) = holds {
                let mut sorted = self.sorted(query, tie)?;
                if let Some(error) = failed {
                    sorted.row = sorted.row.iter().map(|_| Err(error.clone())).collect();
                }
                rows.push(sorted);
            }
            self.bind(group.occ, Slot::Unbound);
        }
        Ok(())
    }

    /// `None` if one of these is not true; else the error that one raised, if any.
    fn holds(&self, conjuncts: &[Expr]) -> Result<Option<Option<EvalError>>, ProjectionError> {
        let mut failed = None;
        for conjunct in conjuncts {
            match self.value(conjunct)? {
                Ok(Value::Bool(true)) => {}
                Ok(_) => return Ok(None),
                Err(error) => failed = Some(error),
            }
        }
        Ok(Some(failed))
    }

    fn contribute(
        &self,
        call: &AggCall,
        tie: &[u8],
        into: &mut Contributions,
    ) -> Result<(), ProjectionError> {
        if let Some(error) = self.path_error() {
            into.error = Some(error);
            return Ok(());
        }
        match self.arguments(call)? {
            Ok(Some((args, sort))) => into.rows.push(Contribution {
                args,
                sort,
                tie: tie.to_vec(),
            }),
            Ok(None) => {}
            Err(error) => into.error = Some(error),
        }
        Ok(())
    }

    /// The argument and sort values of an aggregate under the current binding; `None` if its FILTER is not true.
    pub(crate) fn arguments(
        &self,
        call: &AggCall,
    ) -> Result<Result<Option<Arguments>, EvalError>, ProjectionError> {
        if let Some(filter) = &call.filter {
            match self.value(filter)? {
                Ok(Value::Bool(true)) => {}
                Ok(_) => return Ok(Ok(None)),
                Err(error) => return Ok(Err(error)),
            }
        }
        let mut args = Vec::with_capacity(call.args.len());
        for arg in &call.args {
            match self.value(arg)? {
                Ok(value) => args.push(value),
                Err(error) => return Ok(Err(error)),
            }
        }
        let mut sort = Vec::with_capacity(call.order.len());
        for key in &call.order {
            match self.value(&key.expr)? {
                Ok(value) => sort.push(value),
                Err(error) => return Ok(Err(error)),
            }
        }
        Ok(Ok(Some((args, sort))))
    }
}

/// An aggregate over its contributions: DISTINCT, then ORDER BY, then by the input's key.
fn aggregate(call: &AggCall, mut contributions: Contributions) -> Cell {
    if let Some(error) = contributions.error {
        return Err(error);
    }
    let rows = &mut contributions.rows;
    if call.order.is_empty() {
        rows.sort_by(|a, b| a.tie.cmp(&b.tie));
    } else {
        rows.sort_by(|a, b| {
            compare_values(&a.sort, &b.sort, &call.order).then_with(|| a.tie.cmp(&b.tie))
        });
    }
    if call.distinct {
        let key = |row: &Contribution| {
            let mut out = Vec::new();
            for (arg, ty) in row.args.iter().zip(&call.arg_types) {
                encode_key(&mut out, arg, ty);
            }
            out
        };
        let mut seen = BTreeSet::new();
        rows.retain(|row| seen.insert(key(row)));
        if call.order.is_empty() {
            rows.sort_by_cached_key(key);
        }
    }
    collect(
        &call.func,
        &call.arg_types,
        &mut rows.iter().map(|row| row.args.as_slice()),
    )
}

/// `ARRAY(SELECT …)` of these elements; arrays as elements make one more dimension.
fn array_of(elements: Vec<Value>) -> Cell {
    if !elements.iter().any(|e| matches!(e, Value::Array(_))) {
        return Ok(Value::Array(std::sync::Arc::new(Array::one_dimensional(
            elements,
        ))));
    }
    let mismatch = || EvalError {
        sqlstate: "2202E",
        message: "cannot accumulate arrays of different dimensionality".to_owned(),
    };
    let mut inner: Option<Vec<(i32, usize)>> = None;
    let mut flat = Vec::new();
    let count = elements.len();
    for element in elements {
        let Value::Array(array) = element else {
            return Err(mismatch());
        };
        if inner.as_ref().is_some_and(|d| *d != array.dimensions) {
            return Err(mismatch());
        }
        inner = Some(array.dimensions.clone());
        flat.extend(array.elements.iter().cloned());
    }
    let mut dimensions = vec![(1, count)];
    dimensions.extend(inner.unwrap_or_default());
    Ok(Value::Array(std::sync::Arc::new(Array {
        dimensions,
        elements: flat,
    })))
}

fn canonical(cells: &[Cell], types: &[Type]) -> Vec<u8> {
    let mut out = Vec::new();
    for (cell, ty) in cells.iter().zip(types) {
        match cell {
            Ok(value) => encode_key(&mut out, value, ty),
            Err(error) => {
                out.push(0xFE);
                out.extend_from_slice(error.message.as_bytes());
                out.push(0);
            }
        }
    }
    out
}

fn compare_cells(a: &[Cell], b: &[Cell], order: &[SortKey]) -> Ordering {
    for (key, (a, b)) in order.iter().zip(a.iter().zip(b)) {
        let ordering = match (a, b) {
            (Ok(a), Ok(b)) => compare_one(a, b, key),
            (Err(_), Ok(_)) => Ordering::Greater,
            (Ok(_), Err(_)) => Ordering::Less,
            (Err(_), Err(_)) => Ordering::Equal,
        };
        if ordering != Ordering::Equal {
            return ordering;
        }
    }
    Ordering::Equal
}

fn compare_values(a: &[Value], b: &[Value], order: &[SortKey]) -> Ordering {
    order
        .iter()
        .zip(a.iter().zip(b))
        .map(|(key, (a, b))| compare_one(a, b, key))
        .find(|o| *o != Ordering::Equal)
        .unwrap_or(Ordering::Equal)
}

fn compare_one(a: &Value, b: &Value, key: &SortKey) -> Ordering {
    match (a.is_null(), b.is_null()) {
        (true, true) => Ordering::Equal,
        (true, false) if key.nulls_first => Ordering::Less,
        (true, false) => Ordering::Greater,
        (false, true) if key.nulls_first => Ordering::Greater,
        (false, true) => Ordering::Less,
        (false, false) => {
            let ordering = compare_typed(a, b, &key.ty);
            if key.descending {
                ordering.reverse()
            } else {
                ordering
            }
        }
    }
}
