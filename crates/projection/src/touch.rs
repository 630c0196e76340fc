//! `touch(S, o, row)`: the block keys that a row of an occurrence may contribute to.
//!
//! In: a snapshot, an occurrence, the key of a row that exists in that snapshot. Out: block keys, maybe too many, never too few:
//! for each null-supplying side that holds key occurrences also the key with that side absent.

use std::rc::Rc;

use readside_plan::OccId;

use crate::ProjectionError;
use crate::access::Variant;
use crate::block_key::encode_block_key;
use crate::eval::{Evaluator, Flow, Slot};

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
        }
        self.bind(occ, Slot::Unbound);
        Ok(())
    }

    fn variants(
        &self,
        todo: &[&'p Variant],
        add: &mut dyn FnMut(Vec<u8>) -> Result<(), ProjectionError>,
    ) -> Result<(), ProjectionError> {
        let Some((variant, rest)) = todo.split_first() else {
            return add(encode_block_key(&self.current_key()));
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
