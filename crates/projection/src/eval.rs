//! `eval(S, k)` and enumeration: binding occurrences to rows of one snapshot, and values under a binding.
//!
//! In: a [`BlockExec`] and a snapshot. Out: rows under a callback, each with the errors that its conjuncts raised.
//!
//! Always: pure but for reads; a snapshot is an argument, nothing here knows about time.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use readside_expr::{Context, EvalError};
use readside_pgtype::{Type, Value, encode_key};
use readside_plan::{ColumnRef, Expr, OccId, SubqueryId};
use readside_state::Read;

use crate::access::{Access, BlockExec, Step};
use crate::keyspace;
use crate::row::Row;
use crate::{ProjectionError, RelationId};

/// What an occurrence is bound to.
#[derive(Debug, Clone)]
pub(crate) enum Slot<'s> {
    Unbound,
    Absent,
    Row { key: Rc<[u8]>, row: Row<'s> },
    Values(Rc<[Result<Value, EvalError>]>),
}

/// What a key says of a key occurrence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum KeyPart {
    Row(Rc<[u8]>),
    Absent,
}

/// Whether to go on enumerating.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flow {
    Continue,
    Stop,
}

/// What a key has in a snapshot.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Evaluated<T> {
    Absent,
    Row(T),
    Failed(EvalError),
}

/// A block bound, step by step, to rows of one snapshot.
pub(crate) struct Evaluator<'s, 'p> {
    pub(crate) block: &'p BlockExec,
    pub(crate) read: &'s dyn Read,
    slots: RefCell<Vec<Slot<'s>>>,
    fixed: RefCell<Vec<Option<KeyPart>>>,
    /// Errors of conjuncts on the way to the current binding.
    path_errors: RefCell<Vec<EvalError>>,
    /// A failure of the state inside an expression's evaluation, which can only report SQL errors.
    broken: Cell<Option<ProjectionError>>,
}

pub(crate) type Emit<'e, 's, 'p> =
    &'e mut dyn FnMut(&Evaluator<'s, 'p>) -> Result<Flow, ProjectionError>;

impl<'s, 'p> Evaluator<'s, 'p> {
    pub(crate) fn new(block: &'p BlockExec, read: &'s dyn Read) -> Self {
        let count = block.occs.len();
        Evaluator {
            block,
            read,
            slots: RefCell::new(vec![Slot::Unbound; count]),
            fixed: RefCell::new(vec![None; count]),
            path_errors: RefCell::new(Vec::new()),
            broken: Cell::new(None),
        }
    }

    pub(crate) fn slot(&self, occ: OccId) -> Slot<'s> {
        self.slots
            .borrow()
            .get(usize::from(occ.0))
            .cloned()
            .unwrap_or(Slot::Unbound)
    }

    pub(crate) fn bind(&self, occ: OccId, slot: Slot<'s>) {
        if let Some(place) = self.slots.borrow_mut().get_mut(usize::from(occ.0)) {
            *place = slot;
        }
    }

    /// An expression's value. Failures of the state come out as errors of the projection.
    pub(crate) fn value(&self, expr: &Expr) -> Result<Result<Value, EvalError>, ProjectionError> {
        let value = expr.eval(self);
        match self.broken.take() {
            Some(error) => Err(error),
            None => Ok(value),
        }
    }

    /// The error of the current binding's conjuncts, if one of them raised one.
    pub(crate) fn path_error(&self) -> Option<EvalError> {
        self.path_errors.borrow().first().cloned()
    }

    /// Every row of the outermost query.
    pub(crate) fn for_each(&self, emit: Emit<'_, 's, 'p>) -> Result<Flow, ProjectionError> {
        self.run(&self.block.root.steps, emit)
    }

    /// The row of a key, as `f` sees it.
    pub(crate) fn by_key<T>(
        &self,
        key: &[KeyPart],
        f: &mut dyn FnMut(&Self) -> Result<T, ProjectionError>,
    ) -> Result<Evaluated<T>, ProjectionError> {
        {
            let mut fixed = self.fixed.borrow_mut();
            for (occ, part) in self.block.key.iter().zip(key) {
                fixed[usize::from(occ.0)] = Some(part.clone());
            }
        }
        let mut found = Evaluated::Absent;
        let mut twice = false;
        let result = self.run(&self.block.keyed, &mut |this| {
            if !matches!(found, Evaluated::Absent) {
                twice = true;
                return Ok(Flow::Stop);
            }
            found = match this.path_error() {
                Some(error) => Evaluated::Failed(error),
                None => Evaluated::Row(f(this)?),
            };
            Ok(Flow::Continue)
        });
        for occ in &self.block.key {
            self.fixed.borrow_mut()[usize::from(occ.0)] = None;
        }
        result?;
        if twice {
            return Err(ProjectionError::NotUnique {
                view: String::new(),
                alias: self
                    .block
                    .occs
                    .first()
                    .map(|o| o.alias.clone())
                    .unwrap_or_default(),
            });
        }
        Ok(found)
    }

    /// The key of the current binding.
    pub(crate) fn current_key(&self) -> Vec<KeyPart> {
        self.block
            .key
            .iter()
            .map(|occ| match self.slot(*occ) {
                Slot::Row { key, .. } => KeyPart::Row(key),
                _ => KeyPart::Absent,
            })
            .collect()
    }

    /// Binds what the steps say in every way that holds.
    pub(crate) fn run(
        &self,
        steps: &'p [Step],
        emit: Emit<'_, 's, 'p>,
    ) -> Result<Flow, ProjectionError> {
        let Some((step, rest)) = steps.split_first() else {
            return emit(self);
        };
        match step {
            Step::Check(checks) => self.checked(checks, rest, emit),
            Step::Bind {
                occ,
                access,
                checks,
            } => {
                let flow = self.rows(*occ, access, &mut |this, slot| {
                    this.bind(*occ, slot);
                    this.checked(checks, rest, emit)
                });
                self.bind(*occ, Slot::Unbound);
                flow
            }
            Step::Left {
                keyed,
                free,
                occs,
                key_occs,
            } => self.left(keyed.as_deref(), free, occs, key_occs, rest, emit),
        }
    }

    fn left(
        &self,
        keyed: Option<&'p [Step]>,
        free: &'p [Step],
        occs: &[OccId],
        key_occs: &[OccId],
        rest: &'p [Step],
        emit: Emit<'_, 's, 'p>,
    ) -> Result<Flow, ProjectionError> {
        let fixed = |occ: &OccId| {
            self.fixed
                .borrow()
                .get(usize::from(occ.0))
                .cloned()
                .flatten()
        };
        let mut matched = false;
        match keyed.filter(|_| occs.iter().any(|o| fixed(o).is_some())) {
            None => {
                let flow = self.run(free, &mut |this| {
                    matched = true;
                    this.run(rest, emit)
                })?;
                if flow == Flow::Stop || matched {
                    return Ok(flow);
                }
            }
            Some(keyed) => {
                let absent = !key_occs.is_empty()
                    && key_occs
                        .iter()
                        .all(|o| !matches!(fixed(o), Some(KeyPart::Row(_))));
                if !absent {
                    let flow = self.run(keyed, &mut |this| {
                        matched = true;
                        this.run(rest, emit)
                    })?;
                    if flow == Flow::Stop || matched {
                        return Ok(flow);
                    }
                }
                if occs
                    .iter()
                    .any(|o| matches!(fixed(o), Some(KeyPart::Row(_))))
                {
                    return Ok(Flow::Continue);
                }
                // The key says that this side is not there: any match disproves it.
                self.run(free, &mut |_| {
                    matched = true;
                    Ok(Flow::Stop)
                })?;
                if matched {
                    return Ok(Flow::Continue);
                }
            }
        }
        for occ in occs {
            self.bind(*occ, Slot::Absent);
        }
        let flow = self.run(rest, emit);
        for occ in occs {
            self.bind(*occ, Slot::Unbound);
        }
        flow
    }

    /// Goes on if no check is false or NULL; an error goes along, since a later false one wins over it.
    fn checked(
        &self,
        checks: &[Expr],
        rest: &'p [Step],
        emit: Emit<'_, 's, 'p>,
    ) -> Result<Flow, ProjectionError> {
        let errors_before = self.path_errors.borrow().len();
        for check in checks {
            match self.value(check)? {
                Ok(Value::Bool(true)) => {}
                Ok(_) => {
                    self.path_errors.borrow_mut().truncate(errors_before);
                    return Ok(Flow::Continue);
                }
                Err(error) => self.path_errors.borrow_mut().push(error),
            }
        }
        let flow = self.run(rest, emit);
        self.path_errors.borrow_mut().truncate(errors_before);
        flow
    }

    /// Whether all of these hold of the current binding; errors count as holding.
    pub(crate) fn may_hold(&self, checks: &[Expr]) -> Result<bool, ProjectionError> {
        for check in checks {
            match self.value(check)? {
                Ok(Value::Bool(true)) | Err(_) => {}
                Ok(_) => return Ok(false),
            }
        }
        Ok(true)
    }

    /// Binds an occurrence to the row of this key, if there is one.
    pub(crate) fn row_of(
        &self,
        relation: RelationId,
        key: Rc<[u8]>,
    ) -> Result<Option<Slot<'s>>, ProjectionError> {
        let found = self.read.get(&keyspace::row(relation, &key))?;
        Ok(found.map(|bytes| Slot::Row {
            key,
            row: Row(bytes),
        }))
    }

    fn rows(
        &self,
        occ: OccId,
        access: &'p Access,
        each: &mut dyn FnMut(&Self, Slot<'s>) -> Result<Flow, ProjectionError>,
    ) -> Result<Flow, ProjectionError> {
        if let Access::Nested = access {
            let Some(query) = self.block.nested.get(&occ) else {
                return Err(ProjectionError::Corrupt(
                    "a nested query is missing from its plan".to_owned(),
                ));
            };
            for row in self.query_rows(query)? {
                if each(self, Slot::Values(row))? == Flow::Stop {
                    return Ok(Flow::Stop);
                }
            }
            return Ok(Flow::Continue);
        }
        let Some(relation) = self
            .block
            .occs
            .get(usize::from(occ.0))
            .and_then(|o| o.relation)
        else {
            return Err(ProjectionError::Corrupt(
                "an occurrence without a relation is read".to_owned(),
            ));
        };
        match access {
            Access::Fixed => {
                let part = self
                    .fixed
                    .borrow()
                    .get(usize::from(occ.0))
                    .cloned()
                    .flatten();
                if let Some(KeyPart::Row(key)) = part
                    && let Some(slot) = self.row_of(relation, key)?
                {
                    return each(self, slot);
                }
                Ok(Flow::Continue)
            }
            Access::Key(parts) => {
                let mut key = Vec::new();
                if !self.key_of(parts, &mut key)? {
                    return Ok(Flow::Continue);
                }
                match self.row_of(relation, key.into())? {
                    Some(slot) => each(self, slot),
                    None => Ok(Flow::Continue),
                }
            }
            Access::Index { id, parts } => {
                let mut prefix = keyspace::prefix(keyspace::INDEX, *id);
                if !self.key_of(parts, &mut prefix)? {
                    return Ok(Flow::Continue);
                }
                for entry in self.read.scan(&prefix, None)? {
                    let (entry_key, _) = entry?;
                    let key: Rc<[u8]> = entry_key[prefix.len()..].into();
                    let Some(slot) = self.row_of(relation, key)? else {
                        return Err(ProjectionError::Corrupt(format!(
                            "index {id} names a row that is not there"
                        )));
                    };
                    if each(self, slot)? == Flow::Stop {
                        return Ok(Flow::Stop);
                    }
                }
                Ok(Flow::Continue)
            }
            Access::Scan => {
                let prefix = keyspace::rows(relation);
                for entry in self.read.scan(&prefix, None)? {
                    let (key, bytes) = entry?;
                    let slot = Slot::Row {
                        key: key[prefix.len()..].into(),
                        row: Row(bytes),
                    };
                    if each(self, slot)? == Flow::Stop {
                        return Ok(Flow::Stop);
                    }
                }
                Ok(Flow::Continue)
            }
            Access::Nested => Ok(Flow::Continue),
        }
    }

    /// Appends the key that these parts make; false if one is NULL, so that nothing equals it. An error goes along the path.
    fn key_of(&self, parts: &[(Expr, Type)], out: &mut Vec<u8>) -> Result<bool, ProjectionError> {
        for (expr, ty) in parts {
            match self.value(expr)? {
                Ok(Value::Null) => return Ok(false),
                Ok(value) => encode_key(out, &value, ty),
                Err(_) => return Ok(false),
            }
        }
        Ok(true)
    }

    pub(crate) fn break_with(&self, error: ProjectionError) -> EvalError {
        self.broken.set(Some(error));
        EvalError {
            sqlstate: "XX000",
            message: "the state could not be read".to_owned(),
        }
    }
}

impl Context for Evaluator<'_, '_> {
    fn column(&self, column: ColumnRef) -> Result<Value, EvalError> {
        let slots = self.slots.borrow();
        match slots.get(usize::from(column.occ.0)) {
            Some(Slot::Absent) => Ok(Value::Null),
            Some(Slot::Row { row, .. }) => match row.column(usize::from(column.column)) {
                Ok(value) => Ok(value),
                Err(error) => match row.failed() {
                    Some(failed) => Err(failed),
                    None => Err(self.break_with(error)),
                },
            },
            Some(Slot::Values(values)) => match values.get(usize::from(column.column)) {
                Some(value) => value.clone(),
                None => Err(self.break_with(ProjectionError::Corrupt(
                    "a column beyond its query".to_owned(),
                ))),
            },
            Some(Slot::Unbound) | None => {
                let alias = self
                    .block
                    .occs
                    .get(usize::from(column.occ.0))
                    .map(|o| o.alias.clone())
                    .unwrap_or_default();
                Err(self.break_with(ProjectionError::Corrupt(format!(
                    "`{alias}` is read before it is bound"
                ))))
            }
        }
    }

    fn present(&self, occ: OccId) -> bool {
        !matches!(self.slot(occ), Slot::Absent | Slot::Unbound)
    }

    fn subquery(&self, id: SubqueryId) -> Result<Value, EvalError> {
        self.subquery_value(id)
    }
}
