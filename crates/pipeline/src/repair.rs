//! Mending what a comparison found: exactly those keys are written or deleted again.

use std::collections::BTreeSet;
use std::sync::Arc;

use readside_model::Lsn;
use readside_projection::{RenderedKey, written};
use readside_sink::{SinkError, Visibility};
use tokio::sync::oneshot;

use crate::VerifiedView;
use crate::opening::{STRAYS_PAGE, key_parts};
use crate::writer::{SinkWorker, Target, stopping};

/// Where repaired keys wait: from before everything, but told apart from a view that has never been there.
const REPAIRED_FROM: Lsn = Lsn(2);

impl SinkWorker {
    /// Marks what differs in one of this sink's views.
    pub(crate) async fn repair(
        &self,
        index: usize,
        target: &Arc<Target>,
        verified: &VerifiedView,
    ) -> Result<(), SinkError> {
        if verified.missing.is_empty() && verified.stale.is_empty() && verified.ghost.is_empty() {
            return Ok(());
        }
        // Whatever stands there now, and by whatever version, what is written again wins.
        self.raise_offset();
        let ghosts = self.ghosts(index, target, &verified.ghost).await?;
        let wrong: BTreeSet<Arc<str>> = verified
            .missing
            .iter()
            .chain(&verified.stale)
            .map(|text| Arc::from(text.as_str()))
            .collect();
        let id = target.id;
        let (answer, answered) = oneshot::channel();
        self.with(Box::new(move |state, engine| {
            if let Some(view) = engine.view_of(id) {
                written::mark_repairs(state, &view, id, &wrong, &ghosts, REPAIRED_FROM)?;
            }
            let _ = answer.send(());
            Ok(true)
        }))?;
        answered.await.map_err(|_| stopping())
    }

    /// These keys as the sink has them, with what a deletion needs.
    async fn ghosts(
        &self,
        index: usize,
        target: &Arc<Target>,
        texts: &[String],
    ) -> Result<Vec<RenderedKey>, SinkError> {
        let wanted: BTreeSet<&str> = texts.iter().map(String::as_str).collect();
        let mut found = Vec::new();
        if wanted.is_empty() {
            return Ok(found);
        }
        if self.sink.visibility() == Visibility::AfterRefresh {
            self.sink.refresh(index).await?;
        }
        let mut after = None;
        loop {
            let page = self.sink.read_page(index, after, STRAYS_PAGE).await?;
            for row in page.rows.iter().filter(|row| wanted.contains(&*row.key)) {
                found.push(RenderedKey {
                    parts: key_parts(&row.key, &row.body, &target.layout),
                    text: Arc::clone(&row.key),
                });
            }
            match page.next {
                Some(next) => after = Some(next),
                None => return Ok(found),
            }
        }
    }
}
