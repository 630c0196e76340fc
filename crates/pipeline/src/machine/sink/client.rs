//! The client's side of a simulated sink: what the pipeline calls.

use std::collections::{BTreeMap, BTreeSet};
use std::future::poll_fn;
use std::sync::{Arc, Mutex};
use std::task::Poll;

use async_trait::async_trait;
use readside_model::DocumentForm;
use readside_sink::{
    Batch, Fence, Marker, MarkerClaim, Outcome, Page, Receipt, Row, Sink, SinkError, ViewTarget,
    Visibility, WriterScope, decode_marker, encode_marker,
};

use super::{Kind, Request, SimServer, down};

/// A client of a sink: what a life of the pipeline holds.
pub(in crate::machine) struct SimSink {
    pub(super) server: SimServer,
    pub(super) life: u64,
    pub(super) claim: MarkerClaim,
    pub(super) targets: Mutex<Vec<String>>,
    /// By view: the receipt that stands for all that was acknowledged, and the highest count that was sent.
    pub(super) counts: Mutex<BTreeMap<String, (Receipt, u64)>>,
}

/// Marks the request of a dropped future.
struct Sent<'a>(&'a SimServer, u64);

impl Drop for Sent<'_> {
    fn drop(&mut self) {
        let mut server = self.0.lock();
        if let Some(request) = server.requests.iter_mut().find(|r| r.id == self.1) {
            request.abandoned = true;
        }
    }
}

impl SimSink {
    fn stumble(&self) -> Result<(), SinkError> {
        let mut server = self.server.lock();
        if !server.calm && server.dice.once_in(25) {
            return Err(down("not reachable"));
        }
        Ok(())
    }
}

#[async_trait]
impl Sink for SimSink {
    fn form(&self) -> DocumentForm {
        if self.server.kind == Kind::Moments {
            DocumentForm::Columns
        } else {
            DocumentForm::Json
        }
    }

    fn visibility(&self) -> Visibility {
        if self.server.kind == Kind::Versioned {
            Visibility::AfterRefresh
        } else {
            Visibility::Immediate
        }
    }

    fn writer_scope(&self) -> WriterScope {
        if self.server.kind == Kind::Moments {
            WriterScope::PerSink
        } else {
            WriterScope::PerView
        }
    }

    fn batch_bytes_max(&self) -> usize {
        400
    }

    async fn check(&self) -> Result<Vec<String>, SinkError> {
        Ok(Vec::new())
    }

    async fn prepare(&self, targets: &[ViewTarget]) -> Result<(), SinkError> {
        self.stumble()?;
        *self.targets.lock().unwrap() = targets.iter().map(|t| t.view.clone()).collect();
        Ok(())
    }

    async fn fence(&self) -> Result<Fence, SinkError> {
        self.stumble()?;
        let mut server = self.server.lock();
        if server.requests.iter().any(|r| !r.abandoned) {
            server
                .problems
                .push("a fence while requests are awaited".to_owned());
        }
        if server.kind == Kind::Versioned {
            server.requests.iter_mut().for_each(|r| r.fenced = true);
        } else {
            server.requests.clear();
        }
        Ok(Fence::established())
    }

    async fn read_marker(&self) -> Result<Option<Marker>, SinkError> {
        self.stumble()?;
        let mut server = self.server.lock();
        server.losses_read = server.losses;
        let marker = server.marker.as_deref().map(decode_marker).transpose()?;
        self.claim.seen(server.marker.as_deref());
        server.issued_max = server
            .issued_max
            .max(marker.as_ref().map_or(0, |m| m.version_max));
        Ok(marker)
    }

    async fn write_marker(&self, marker: &Marker) -> Result<(), SinkError> {
        self.stumble()?;
        let text = encode_marker(marker)?;
        {
            let mut server = self.server.lock();
            self.claim.judge(server.marker.as_deref())?;
            self.claim.attempted(&text);
            server.marker = Some(text.clone());
            server.issued_max = server.issued_max.max(marker.version_max);
            server.checkpoint();
        }
        self.stumble()?;
        self.claim.written(&text);
        Ok(())
    }

    async fn read_receipts(&self) -> Result<Vec<Option<Receipt>>, SinkError> {
        if self.server.kind == Kind::Moments {
            return Ok(Vec::new());
        }
        self.stumble()?;
        let server = self.server.lock();
        let mut counts = self.counts.lock().unwrap();
        let views = self.targets.lock().unwrap().clone();
        Ok(views
            .into_iter()
            .map(|view| {
                let found = server.receipts.get(&view).cloned();
                let nothing = Receipt {
                    history: if self.server.kind == Kind::Plain {
                        String::new()
                    } else {
                        "first".to_owned()
                    },
                    count: 0,
                };
                let known = found.clone().unwrap_or(nothing);
                let count = known.count;
                counts.insert(view, (known, count));
                found
            })
            .collect())
    }

    fn receipt(&self, target: usize) -> Option<Receipt> {
        let views = self.targets.lock().unwrap();
        let counts = self.counts.lock().unwrap();
        counts
            .get(&views[target])
            .map(|(receipt, _)| receipt.clone())
    }

    async fn audit(&self) -> Result<(), SinkError> {
        self.stumble()?;
        let server = self.server.lock();
        for (view, (known, _)) in self.counts.lock().unwrap().iter() {
            let found = server.receipts.get(view);
            if known.count > 0 && !found.is_some_and(|found| found.covers(known)) {
                return Err(SinkError::Lost(format!("`{view}` was set back")));
            }
        }
        Ok(())
    }

    async fn write(&self, batch: &Batch) -> Result<Vec<Vec<Outcome>>, SinkError> {
        self.stumble()?;
        let views = self.targets.lock().unwrap().clone();
        let marker = batch.marker.as_ref().map(encode_marker).transpose()?;
        let id = {
            let mut server = self.server.lock();
            if let Some(text) = &marker {
                self.claim.judge(server.marker.as_deref())?;
                self.claim.attempted(text);
            }
            let mut keys = BTreeSet::new();
            for writes in &batch.views {
                for write in &writes.writes {
                    let key = (views[writes.target].clone(), write.key.to_string());
                    let last = server.sent.insert(key.clone(), batch.version.0);
                    if last.is_some_and(|last| last > batch.version.0) {
                        server.problems.push(format!(
                            "{key:?}: version {} after {last:?}",
                            batch.version.0
                        ));
                    }
                    if !keys.insert(key.clone()) {
                        server
                            .problems
                            .push(format!("{key:?} is twice in one batch"));
                    }
                }
            }
            let awaited = server.requests.iter().filter(|r| !r.fenced).any(|r| {
                r.batch.views.iter().any(|v| {
                    v.writes
                        .iter()
                        .any(|w| keys.contains(&(r.views[v.target].clone(), w.key.to_string())))
                })
            });
            if awaited {
                server.problems.push(format!(
                    "two requests under way for a key of {:?}, and no fence between",
                    batch.position
                ));
            }
            server.issued_max = server.issued_max.max(batch.version.0);
            let id = server.next;
            server.next += 1;
            let mut counts = (0, u64::MAX);
            if self.server.kind == Kind::Plain {
                let mut known = self.counts.lock().unwrap();
                let (receipt, sent) = known.get_mut(&views[batch.views[0].target]).unwrap();
                *sent += 1;
                counts = (receipt.count, *sent);
            }
            server.requests.push(Request {
                id,
                life: self.life,
                batch: batch.clone(),
                views: views.clone(),
                counts,
                taken: 0,
                abandoned: false,
                fenced: false,
                applied: false,
                dead: false,
                answer: None,
            });
            id
        };
        let _sent = Sent(&self.server, id);
        let (mut count, mut taken) = (0, 0);
        let answer = poll_fn(|_| {
            let mut server = self.server.lock();
            let Some(i) = server.requests.iter().position(|r| r.id == id) else {
                return Poll::Ready(Err(down("cut off")));
            };
            match server.requests[i].answer.take() {
                None => Poll::Pending,
                Some(answer) => {
                    (count, taken) = (server.requests[i].counts.1, server.requests[i].taken);
                    // What was answered well, or is known never to take effect, is over.
                    let over = answer.is_ok() || server.requests[i].dead;
                    if over {
                        server.requests.remove(i);
                    }
                    Poll::Ready(answer)
                }
            }
        })
        .await?;
        if let Some(text) = &marker {
            self.claim.written(text);
        }
        let mut known = self.counts.lock().unwrap();
        for writes in &batch.views {
            let Some((receipt, _)) = known.get_mut(&views[writes.target]) else {
                continue;
            };
            match self.server.kind {
                Kind::Plain => receipt.count = count,
                Kind::Versioned => receipt.count += taken,
                Kind::Moments => {}
            }
        }
        Ok(answer)
    }

    async fn refresh(&self, _: usize) -> Result<(), SinkError> {
        self.stumble()?;
        let mut server = self.server.lock();
        server.visible = server.cells.clone();
        Ok(())
    }

    async fn read_page(
        &self,
        target: usize,
        after: Option<String>,
        limit: usize,
    ) -> Result<Page, SinkError> {
        self.stumble()?;
        let limit = limit.min(3);
        let view = self.targets.lock().unwrap()[target].clone();
        let mut rows: Vec<Row> = self
            .server
            .rows(&view, true)
            .into_iter()
            .filter(|(key, _)| after.as_ref().is_none_or(|after| key > after))
            .map(|(key, body)| Row {
                key: key.into(),
                body,
            })
            .collect();
        let more = rows.len() > limit;
        rows.truncate(limit);
        let next = rows.last().filter(|_| more).map(|row| row.key.to_string());
        Ok(Page { rows, next })
    }

    async fn read_keys(&self, _: usize, _: &[Arc<str>]) -> Result<Vec<Row>, SinkError> {
        Ok(Vec::new())
    }

    async fn drop_all(&self, _: &[ViewTarget]) -> Result<(), SinkError> {
        Ok(())
    }
}
