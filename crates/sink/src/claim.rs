//! Who may replace a marker.
//!
//! In: what the sink's marker says now, and what this process last saw or wrote there.
//! Out: leave to write, or the reason why not.
//!
//! Always: a marker that somebody else replaced is [`SinkError::Fenced`]; one that vanished or went back under us is
//! [`SinkError::Lost`] and is never written over, since that would hide the loss. Reading the marker accepts what it says.

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::{Marker, SinkError};

/// What this process may take for its own marker.
#[derive(Debug)]
pub struct MarkerClaim {
    owner_epoch: String,
    expected: Mutex<Expected>,
}

#[derive(Debug, Default)]
struct Expected {
    /// Texts of which the stored one must be one; `None` stands for no marker. Empty: neither read nor written yet.
    /// More than one only after writes whose outcome is unknown.
    texts: Vec<Option<String>>,
}

/// Bounds what ambiguous writes leave behind; the oldest expectation gives way.
const AMBIGUOUS_MAX: usize = 32;

impl MarkerClaim {
    /// A claim by this owner epoch, which has seen nothing yet: its first write takes the marker over.
    #[must_use]
    pub fn new(owner_epoch: &str) -> MarkerClaim {
        MarkerClaim {
            owner_epoch: owner_epoch.to_owned(),
            expected: Mutex::new(Expected::default()),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Expected> {
        self.expected.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The stored texts that may be replaced (`None`: no marker); `None` where anything may.
    #[must_use]
    pub fn accepted(&self) -> Option<Vec<Option<String>>> {
        let expected = self.lock();
        (!expected.texts.is_empty()).then(|| expected.texts.clone())
    }

    /// Whether `stored` may be replaced.
    ///
    /// # Errors
    /// [`SinkError::Fenced`] if another owner wrote it, [`SinkError::Lost`] if it is gone or older than what we wrote.
    pub fn judge(&self, stored: Option<&str>) -> Result<(), SinkError> {
        let accepted = {
            let expected = self.lock();
            expected.texts.is_empty() || expected.texts.iter().any(|text| text.as_deref() == stored)
        };
        if accepted {
            return Ok(());
        }
        Err(match stored {
            None => SinkError::Lost("the sink's marker is gone".to_owned()),
            Some(text) => match decode_marker(text) {
                Ok(marker) if marker.owner_epoch == self.owner_epoch => {
                    SinkError::Lost("the sink's marker is older than what was written".to_owned())
                }
                Ok(_) => SinkError::Fenced(
                    "another process with a copy of this data directory has taken over the sink"
                        .to_owned(),
                ),
                Err(error) => error,
            },
        })
    }

    /// The marker was read: this is what the next write replaces.
    pub fn seen(&self, stored: Option<&str>) {
        self.lock().texts = vec![stored.map(str::to_owned)];
    }

    /// `text` is about to be written; until [`written`](Self::written) it may or may not be there.
    pub fn attempted(&self, text: &str) {
        let mut expected = self.lock();
        if expected.texts.is_empty() {
            return;
        }
        if expected.texts.len() >= AMBIGUOUS_MAX {
            expected.texts.remove(1);
        }
        expected.texts.push(Some(text.to_owned()));
    }

    /// `text` was written.
    pub fn written(&self, text: &str) {
        self.lock().texts = vec![Some(text.to_owned())];
    }
}

/// The marker text without these views of these generations; `None` if it has none of them.
///
/// # Errors
/// As [`decode_marker`].
pub fn forget_views(text: &str, lost: &[(&str, u64)]) -> Result<Option<String>, SinkError> {
    let mut marker = decode_marker(text)?;
    let before = marker.views.len();
    marker.views.retain(|view, watermark| {
        !lost
            .iter()
            .any(|(name, generation)| name == view && *generation == watermark.generation)
    });
    if marker.views.len() == before {
        return Ok(None);
    }
    encode_marker(&marker).map(Some)
}

/// A marker as the text that sinks keep.
///
/// # Errors
/// [`SinkError::Operator`], which cannot happen for a marker of ours.
pub fn encode_marker(marker: &Marker) -> Result<String, SinkError> {
    serde_json::to_string(marker).map_err(|error| SinkError::Operator {
        message: format!("the marker cannot be written as JSON: {error}"),
        hint: "report this as a defect".to_owned(),
    })
}

/// A marker from the text that a sink keeps.
///
/// # Errors
/// [`SinkError::Operator`] where it is not one: somebody else wrote there, or a newer version of readside did.
pub fn decode_marker(text: &str) -> Result<Marker, SinkError> {
    serde_json::from_str(text).map_err(|error| SinkError::Operator {
        message: format!("the sink's marker is not one of this version of readside: {error}"),
        hint: "if nothing else writes there, remove the marker; the sink is then refilled"
            .to_owned(),
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn marker(owner_epoch: &str, version_max: u64) -> String {
        encode_marker(&Marker {
            instance: "i".to_owned(),
            owner_epoch: owner_epoch.to_owned(),
            offset: 0,
            version_max,
            sink: String::new(),
            raised: 0,
            sequence: 0,
            views: BTreeMap::new(),
        })
        .unwrap()
    }

    #[test]
    fn the_first_write_takes_over_and_the_former_owner_is_fenced() {
        let new = MarkerClaim::new("new");
        let old = MarkerClaim::new("old");
        old.written(&marker("old", 1));
        assert!(new.judge(Some(&marker("old", 1))).is_ok());
        let stored = marker("new", 1);
        assert!(matches!(
            old.judge(Some(&stored)),
            Err(SinkError::Fenced(_))
        ));
    }

    #[test]
    fn a_marker_that_vanished_or_went_back_is_never_written_over_until_it_was_read() {
        let claim = MarkerClaim::new("me");
        claim.written(&marker("me", 1));
        claim.written(&marker("me", 2));
        assert!(matches!(claim.judge(None), Err(SinkError::Lost(_))));
        let back = marker("me", 1);
        assert!(matches!(claim.judge(Some(&back)), Err(SinkError::Lost(_))));
        claim.seen(Some(&back));
        assert!(claim.judge(Some(&back)).is_ok());
        claim.seen(None);
        assert!(claim.judge(None).is_ok());
    }

    #[test]
    fn after_an_ambiguous_write_either_text_is_ours() {
        let claim = MarkerClaim::new("me");
        claim.written(&marker("me", 1));
        claim.attempted(&marker("me", 2));
        assert!(claim.judge(Some(&marker("me", 1))).is_ok());
        assert!(claim.judge(Some(&marker("me", 2))).is_ok());
        claim.written(&marker("me", 2));
        assert!(claim.judge(Some(&marker("me", 1))).is_err());
    }
}
