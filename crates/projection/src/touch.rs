//! `touch(S, o, row)`: the block keys that a row of an occurrence may contribute to.
//!
//! In: a snapshot, an occurrence, the key of a row that exists in that snapshot. Out: block keys, maybe too many, never too few:
//! for each null-supplying side that holds key occurrences also the key with that side absent.

use std::rc::Rc;

use readside_plan::OccId;

use crate::ProjectionError;
use crate::block_key::encode_block_key;
use crate::eval::{Evaluator, Flow, Slot};
use crate::lift::Variant;

impl<'s, 'p> Evaluator<'s, 'p> {
    /// Calls `add` with each key that this row touches. The snapshot must hold the row.
    pub(crate) fn touch(
        &self,
        occ: OccId,
        row_key: &[u8],
        add: &mut dyn FnMut(Vec<u8>) -> Result<(), ProjectionError>,
    ) -> Result<(), ProjectionError> {
        let Some(exec) = self.block.occs.get(usize::from(occ.0)) else {
            return Ok(());
        };
        let (Some(relation), Some(lift)) = (exec.relation, exec.lift.as_ref()) else {
            return Ok(());
        };
        let Some(slot) = self.row_of(relation, Rc::from(row_key))? else {
            return Ok(());
        };
        self.bind(occ, slot);
        let contributes = self.may_hold(&lift.residual)?;
        if contributes {
            self.run(&lift.steps, &mut |this| {
                let todo: Vec<&'p Variant> = lift.variants.iter().collect();
                this.variants(&todo, add)?;
                Ok(Flow::Continue)
            })?;
            for absent in &lift.absent {
                self.run(&absent.steps, &mut |this| {
                    let before: Vec<Slot<'s>> = absent.side.iter().map(|o| this.slot(*o)).collect();
                    for occ in &absent.side {
                        this.bind(*occ, Slot::Absent);
                    }
                    this.run(&absent.rest, &mut |this| {
                        let todo: Vec<&'p Variant> = absent.variants.iter().collect();
                        this.variants(&todo, add)?;
                        Ok(Flow::Continue)
                    })?;
                    for (occ, slot) in absent.side.iter().zip(before) {
                        this.bind(*occ, slot);
                    }
                    Ok(Flow::Continue)
                })?;
            }
        }
        self.bind(occ, Slot::Unbound);
        Ok(())
    }

    /// Whether a row can be made of the rows that the key names: else the key is none, and its text could be that of another.
    ///
    /// A row that is there in this snapshot passes. So does one that was there in the other snapshot and consists of rows that did not
    /// change: what is asked is asked of the key's own rows alone.
    fn may_be_a_key(&self) -> Result<bool, ProjectionError> {
        for checks in &self.block.key_checks {
            let there = checks.level.is_empty()
                || checks
                    .level
                    .iter()
                    .any(|occ| matches!(self.slot(*occ), Slot::Row { .. }));
            if there && !self.may_hold(&checks.conjuncts)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn variants(
        &self,
        todo: &[&'p Variant],
        add: &mut dyn FnMut(Vec<u8>) -> Result<(), ProjectionError>,
    ) -> Result<(), ProjectionError> {
        let Some((variant, rest)) = todo.split_first() else {
            return if self.may_be_a_key()? {
                add(encode_block_key(&self.current_key()))
            } else {
                Ok(())
            };
        };
        // The side absent. What the lift has bound inside of it is put back afterwards.
        let before: Vec<Slot<'s>> = variant.key_occs.iter().map(|occ| self.slot(*occ)).collect();
        for occ in &variant.key_occs {
            self.bind(*occ, Slot::Absent);
        }
        self.variants(rest, add)?;
        for (occ, slot) in variant.key_occs.iter().zip(before) {
            self.bind(*occ, slot);
        }
        // The side there.
        self.run(&variant.steps, &mut |this| {
            let mut todo: Vec<&'p Variant> = variant.children.iter().collect();
            todo.extend(rest);
            this.variants(&todo, add)?;
            Ok(Flow::Continue)
        })?;
        Ok(())
    }
}
