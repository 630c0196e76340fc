//! One ordered pass over all layers.
//!
//! In: the layers and a range. Out: each live entry once, in order, as the uppermost layer has it.

use std::cmp::Ordering;
use std::ops::Bound;

use imbl::ordmap::RangedIter;
use smallvec::SmallVec;

use crate::StateError;
use crate::base::{Entries, Entry};
use crate::key::Key;
use crate::layer::{Layer, Value};
use crate::read::Layers;
use crate::trace;

/// The first byte of keys that belong to this crate; no reader sees them.
pub(crate) const RESERVED: u8 = 0xFF;

type Edge = SmallVec<[u8; 64]>;

/// `lower <= key < upper`
pub(crate) struct Range {
    pub(crate) lower: Edge,
    pub(crate) upper: Edge,
}

impl Range {
    /// All keys with a prefix. No prefix means all keys but the reserved ones.
    pub(crate) fn of_prefix(prefix: &[u8]) -> Self {
        Range {
            lower: Edge::from_slice(prefix),
            upper: successor(prefix),
        }
    }

    pub(crate) fn of_prefix_from(prefix: &[u8], from: Option<&[u8]>) -> Self {
        let mut range = Self::of_prefix(prefix);
        if let Some(from) = from.filter(|from| *from > range.lower.as_slice()) {
            range.lower = Edge::from_slice(from);
        }
        range
    }

    pub(crate) fn of_prefix_back_from(prefix: &[u8], from: Option<&[u8]>) -> Self {
        let mut range = Self::of_prefix(prefix);
        if let Some(from) = from.filter(|from| *from < range.upper.as_slice()) {
            // The smallest key above `from`, so that `from` itself is inside.
            range.upper = Edge::from_slice(from);
            range.upper.push(0);
        }
        range
    }

    fn is_empty(&self) -> bool {
        self.lower >= self.upper
    }
}

/// The smallest key above every key with this prefix.
fn successor(prefix: &[u8]) -> Edge {
    let mut out = Edge::from_slice(prefix);
    while out.last() == Some(&RESERVED) {
        out.pop();
    }
    match out.last_mut() {
        Some(last) => *last += 1,
        // Every key but the reserved ones; after a run of 0xFF there is nothing to see.
        None => out.push(RESERVED),
    }
    out
}

/// An iterator over the live entries of a range.
pub struct Scan<'a> {
    active: Cursor<'a>,
    frozen: Cursor<'a>,
    base: Option<Entries<'a>>,
    base_head: Option<Entry<'a>>,
    back: bool,
    /// Set once the base failed; handed out, then the scan ends.
    failed: Option<StateError>,
    pass: trace::Pass,
}

/// One layer's part in the scan.
struct Cursor<'a> {
    iter: Option<RangedIter<'a, Key, Option<Value>, imbl::shared_ptr::DefaultSharedPtr>>,
    head: Option<(&'a [u8], Option<&'a [u8]>)>,
}

impl<'a> Cursor<'a> {
    fn new(layer: Option<&'a Layer>, range: &Range, back: bool) -> Self {
        let iter = layer
            .filter(|layer| !layer.entries.is_empty())
            .map(|layer| {
                layer.entries.range::<(Bound<&[u8]>, Bound<&[u8]>), [u8]>((
                    Bound::Included(range.lower.as_slice()),
                    Bound::Excluded(range.upper.as_slice()),
                ))
            });
        let mut cursor = Cursor { iter, head: None };
        cursor.advance(back);
        cursor
    }

    fn advance(&mut self, back: bool) {
        let next = self
            .iter
            .as_mut()
            .and_then(|iter| if back { iter.next_back() } else { iter.next() });
        self.head = next.map(|(key, value)| (key.as_slice(), value.as_deref()));
    }
}

impl<'a> Scan<'a> {
    pub(crate) fn new(
        layers: &Layers<'a>,
        range: &Range,
        back: bool,
        pass: trace::Pass,
    ) -> Result<Self, StateError> {
        let mut scan = Scan {
            active: Cursor {
                iter: None,
                head: None,
            },
            frozen: Cursor {
                iter: None,
                head: None,
            },
            base: None,
            base_head: None,
            back,
            failed: None,
            pass,
        };
        if range.is_empty() {
            return Ok(scan);
        }
        scan.active = Cursor::new(Some(layers.active), range, back);
        scan.frozen = Cursor::new(layers.frozen, range, back);
        scan.base = Some(if back {
            layers.view.range_back(&range.lower, &range.upper)?
        } else {
            layers.view.range(&range.lower, &range.upper)?
        });
        scan.advance_base();
        Ok(scan)
    }

    fn advance_base(&mut self) {
        self.base_head = match self.base.as_mut().and_then(Iterator::next) {
            Some(Ok(entry)) => Some(entry),
            Some(Err(error)) => {
                self.failed = Some(error);
                None
            }
            None => None,
        };
        if self.base_head.is_none() {
            self.base = None;
        }
    }

    /// Whether `key` comes before `than` in this scan's direction.
    fn order(&self, key: &[u8], than: &[u8]) -> Ordering {
        if self.back {
            than.cmp(key)
        } else {
            key.cmp(than)
        }
    }
}

impl<'a> Iterator for Scan<'a> {
    type Item = Result<Entry<'a>, StateError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(error) = self.failed.take() {
                self.active = Cursor {
                    iter: None,
                    head: None,
                };
                self.frozen = Cursor {
                    iter: None,
                    head: None,
                };
                return Some(Err(error));
            }
            let mut key: Option<&'a [u8]> = None;
            for head in [
                self.active.head.map(|(key, _)| key),
                self.frozen.head.map(|(key, _)| key),
                self.base_head.map(|(key, _)| key),
            ]
            .into_iter()
            .flatten()
            {
                if key.is_none_or(|key| self.order(head, key) == Ordering::Less) {
                    key = Some(head);
                }
            }
            let Some(key) = key else {
                self.pass.end();
                return None;
            };
            // The uppermost layer that has the key decides; all that have it move on.
            let mut value = None;
            if let Some((_, v)) = self.base_head.filter(|(k, _)| *k == key) {
                value = Some(v);
                self.advance_base();
            }
            if let Some((_, v)) = self.frozen.head.filter(|(k, _)| *k == key) {
                value = v;
                self.frozen.advance(self.back);
            }
            if let Some((_, v)) = self.active.head.filter(|(k, _)| *k == key) {
                value = v;
                self.active.advance(self.back);
            }
            if let Some(value) = value {
                self.pass.step();
                return Some(Ok((key, value)));
            }
        }
    }
}
