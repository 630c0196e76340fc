//! Sinks in memory whose requests are late, doubled, half applied or lost as the machine decides.
//!
//! Always: a request takes effect when the machine says so, not when it is sent; after a fence none of an earlier connection does,
//! unless versions make it harmless.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use readside_model::{Body, Lsn};
use readside_sink::{Batch, DeadReason, MarkerClaim, Outcome, Receipt, SinkError, encode_marker};

use super::dice::Dice;

mod client;

pub(super) use client::SimSink;

/// What a sink is like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// The last write wins; a fence kills what is under way.
    Plain,
    /// Versions as `external_gte`; late requests go on living; visible after a refresh.
    Versioned,
    /// One transaction for all views, with the marker; a fence ends older sessions.
    Moments,
}

/// A row, or the place of one that was deleted.
#[derive(Debug, Clone, PartialEq)]
struct Cell {
    version: u64,
    body: Option<Body>,
}

type Cells = BTreeMap<(String, String), Cell>;

struct Request {
    id: u64,
    life: u64,
    batch: Batch,
    views: Vec<String>,
    /// Between which counts the receipt has to stand, and the count that this request leaves.
    counts: (u64, u64),
    /// Operations that were taken when it was applied last.
    taken: u64,
    /// The sender has gone or was told of a failure.
    abandoned: bool,
    /// Since it was abandoned there was a fence.
    fenced: bool,
    applied: bool,
    /// It never takes effect (any more).
    dead: bool,
    answer: Option<Result<Vec<Vec<Outcome>>, SinkError>>,
}

#[derive(Clone)]
struct Checkpoint {
    cells: Cells,
    marker: Option<String>,
    receipts: BTreeMap<String, Receipt>,
}

/// What survives of a sink between the lives of its clients.
struct Server {
    kind: Kind,
    cells: Cells,
    visible: Cells,
    marker: Option<String>,
    /// By view: a number that the client gives, or how many operations were taken.
    receipts: BTreeMap<String, Receipt>,
    requests: Vec<Request>,
    next: u64,
    issued_max: u64,
    /// By view and key: the highest version ever sent.
    sent: BTreeMap<(String, String), u64>,
    /// The highest position that any life has had applied.
    position_max: u64,
    /// The same for lives before this one.
    position_before: u64,
    life: u64,
    checkpoints: Vec<Checkpoint>,
    /// How often it lost what it had acknowledged; how often when the marker was last read; and when a client was last open.
    losses: u64,
    losses_read: u64,
    losses_noticed: u64,
    /// The moment that all views show, for checks.
    moments: Vec<Lsn>,
    calm: bool,
    refuses: bool,
    dice: Dice,
    problems: Vec<String>,
}

/// A sink of the machine.
#[derive(Clone)]
pub(super) struct SimServer {
    pub(super) kind: Kind,
    server: Arc<Mutex<Server>>,
}

fn down(what: &str) -> SinkError {
    SinkError::Unavailable(what.to_owned())
}

impl SimServer {
    pub(super) fn new(kind: Kind, seed: u64, refuses: bool) -> SimServer {
        let server = Server {
            kind,
            cells: Cells::new(),
            visible: Cells::new(),
            marker: None,
            receipts: BTreeMap::new(),
            requests: Vec::new(),
            next: 0,
            issued_max: 0,
            sent: BTreeMap::new(),
            position_max: 0,
            position_before: 0,
            life: 0,
            checkpoints: Vec::new(),
            losses: 0,
            losses_read: 0,
            losses_noticed: 0,
            moments: Vec::new(),
            calm: false,
            refuses,
            dice: Dice::new(seed),
            problems: Vec::new(),
        };
        SimServer {
            kind,
            server: Arc::new(Mutex::new(server)),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Server> {
        self.server.lock().unwrap()
    }

    /// A client of a new life.
    pub(super) fn client(&self, owner_epoch: &str) -> SimSink {
        let mut server = self.lock();
        server.life += 1;
        server.position_before = server.position_max;
        server.issued_max = 0;
        // Other views may be configured than when the last moment was written.
        server.moments.clear();
        // State may have forgotten what the life before noticed.
        server.losses_noticed = 0;
        SimSink {
            server: self.clone(),
            life: server.life,
            claim: MarkerClaim::new(owner_epoch),
            targets: Mutex::new(Vec::new()),
            counts: Mutex::default(),
        }
    }

    /// Whatever is under way arrives now or never.
    pub(super) fn settle_late(&self, dice: &mut Dice) {
        let mut server = self.lock();
        for i in 0..server.requests.len() {
            if !server.requests[i].dead && dice.once_in(2) {
                let _ = server.apply(i, usize::MAX, false);
            }
        }
        server.requests.clear();
    }

    /// Nothing was refreshed yet.
    pub(super) fn hide(&self) {
        self.lock().visible.clear();
    }

    /// It loses the last writes that changed a row, and nothing else: the marker is from before them. Says whether there were any.
    pub(super) fn lose_last_writes(&self) -> bool {
        let mut server = self.lock();
        let before = server
            .checkpoints
            .iter()
            .rposition(|c| c.cells != server.cells);
        let Some(before) = before.map(|at| server.checkpoints[at].clone()) else {
            return false;
        };
        server.cells = before.cells;
        server.visible = server.cells.clone();
        server.receipts = before.receipts;
        if server.kind == Kind::Moments {
            server.marker = before.marker;
        }
        server.losses += 1;
        true
    }

    /// From now on everything goes well.
    pub(super) fn calm(&self) {
        self.lock().calm = true;
    }

    /// The rows of a view as readers see them.
    pub(super) fn rows(&self, view: &str, visible: bool) -> BTreeMap<String, Body> {
        let server = self.lock();
        let cells = if visible && server.kind == Kind::Versioned {
            &server.visible
        } else {
            &server.cells
        };
        cells
            .iter()
            .filter(|((v, _), _)| v == view)
            .filter_map(|((_, key), cell)| Some((key.clone(), cell.body.clone()?)))
            .collect()
    }

    /// It lost what it had acknowledged, and no client has been opened since.
    pub(super) fn went_back(&self) -> bool {
        let server = self.lock();
        server.losses > server.losses_noticed
    }

    /// A client is open that has read the marker.
    pub(super) fn opened(&self) {
        let mut server = self.lock();
        server.losses_noticed = server.losses_read;
    }

    /// Positions are of another course of history from now on.
    pub(super) fn begins_anew(&self) {
        let mut server = self.lock();
        server.position_max = 0;
        server.position_before = 0;
    }

    /// Losses count as noticed from now on, whether they were or not.
    pub(super) fn found_out(&self) {
        let mut server = self.lock();
        server.losses_noticed = server.losses;
    }

    pub(super) fn problems(&self) -> Vec<String> {
        std::mem::take(&mut self.lock().problems)
    }

    /// Positions of batches that were applied as one moment since the last call.
    pub(super) fn moments(&self) -> Vec<Lsn> {
        std::mem::take(&mut self.lock().moments)
    }

    pub(super) fn has_requests(&self) -> bool {
        self.lock().requests.iter().any(|r| !r.abandoned)
    }

    /// Something happens on the server's side.
    pub(super) fn step(&self, dice: &mut Dice) {
        let mut server = self.lock();
        let calm = server.calm;
        if !calm && dice.once_in(60) {
            server.lose(dice);
            return;
        }
        if !calm && server.kind == Kind::Versioned && dice.once_in(80) {
            server.meddle(dice);
        }
        if server.kind == Kind::Versioned && dice.once_in(8) {
            server.visible = server.cells.clone();
        }
        if server.requests.is_empty() {
            return;
        }
        let i = if calm {
            server.requests.iter().position(|r| !r.abandoned)
        } else {
            Some(dice.below(server.requests.len()))
        };
        let Some(i) = i.filter(|i| !server.requests[*i].dead) else {
            return;
        };
        let fails = !calm && dice.once_in(4);
        let abandoned = server.requests[i].abandoned;
        if server.requests[i].applied && !abandoned {
            // The answer, at last or never.
            if fails {
                server.requests[i].answer = Some(Err(down("the answer was lost")));
            }
            server.requests[i].abandoned |= fails;
            return;
        }
        match dice.below(4) {
            // Not applied, and maybe later.
            0 if fails && !abandoned => {
                server.requests[i].answer = Some(Err(down("timed out")));
                server.requests[i].abandoned = true;
            }
            // Never.
            1 if fails || abandoned => {
                if !abandoned {
                    server.requests[i].answer = Some(Err(down("refused to connect")));
                }
                server.requests[i].abandoned = true;
                server.kill(i);
            }
            // A part, in a sink that takes keys one by one.
            2 if fails && server.kind != Kind::Moments => {
                let writes = server.requests[i].batch.views[0].writes.len();
                let part = dice.below(writes + 1);
                let _ = server.apply(i, part, false);
                if !abandoned {
                    server.requests[i].answer = Some(Err(down("connection reset")));
                }
                server.requests[i].abandoned = true;
            }
            _ => {
                let outcomes = server.apply(i, usize::MAX, !calm && dice.once_in(3));
                server.requests[i].applied = true;
                if abandoned {
                    // A versioned sink may see a repeated request later still.
                    if server.kind != Kind::Versioned || dice.once_in(2) {
                        server.requests.remove(i);
                    }
                } else if fails {
                    server.requests[i].answer = Some(Err(down("the answer was lost")));
                    server.requests[i].abandoned = true;
                } else {
                    server.requests[i].answer = Some(outcomes);
                }
            }
        }
    }
}

impl Server {
    /// This request never takes effect; it stays until its sender has been told.
    fn kill(&mut self, i: usize) {
        self.requests[i].abandoned = true;
        self.requests[i].dead = true;
        if self.requests[i].answer.is_none() {
            self.requests.remove(i);
        }
    }

    /// It comes back as it was at an earlier moment.
    fn lose(&mut self, dice: &mut Dice) {
        if self.checkpoints.is_empty() {
            return;
        }
        let at = dice.below(self.checkpoints.len());
        let checkpoint = self.checkpoints[at].clone();
        self.checkpoints.truncate(at + 1);
        self.cells = checkpoint.cells;
        self.visible = self.cells.clone();
        self.marker = checkpoint.marker;
        self.receipts = checkpoint.receipts;
        if self.kind == Kind::Versioned && dice.once_in(2) {
            // Restored from a copy, and not merely cut off.
            for receipt in self.receipts.values_mut() {
                receipt.history = format!("restored {}", self.losses);
            }
        }
        self.losses += 1;
        for request in &mut self.requests {
            if !request.abandoned {
                request.answer = Some(Err(down("the server went away")));
                request.abandoned = true;
            }
            request.dead = true;
        }
        self.requests.retain(|r| r.answer.is_some());
    }

    /// Somebody else writes the same row again, at a version that is not ours.
    fn meddle(&mut self, dice: &mut Dice) {
        let keys: Vec<(String, String)> = self.cells.keys().cloned().collect();
        if keys.is_empty() {
            return;
        }
        let key = dice.pick(&keys).clone();
        let highest = self
            .cells
            .values()
            .map(|c| c.version)
            .max()
            .unwrap_or(0)
            .max(self.issued_max);
        let version = highest + 1 + u64::try_from(dice.below(500)).unwrap();
        if let Some(cell) = self.cells.get_mut(&key) {
            cell.version = version;
        }
    }

    /// Applies the first `part` writes of a request.
    fn apply(
        &mut self,
        i: usize,
        part: usize,
        hesitant: bool,
    ) -> Result<Vec<Vec<Outcome>>, SinkError> {
        let request = &self.requests[i];
        let (life, batch, views) = (request.life, request.batch.clone(), request.views.clone());
        let counts = request.counts;
        let before: u64 = self.receipts.values().map(|r| r.count).sum();
        if batch.position.0 < self.position_before
            && life == self.life
            && batch.views.iter().any(|v| !v.writes.is_empty())
        {
            self.problems.push(format!(
                "a write at {} after an earlier life wrote at {}",
                batch.position,
                Lsn(self.position_before)
            ));
        }
        let mut outcomes = Vec::new();
        for writes in &batch.views {
            let view = &views[writes.target];
            let mut out = Vec::new();
            for write in writes.writes.iter().take(part) {
                let key = (view.clone(), write.key.to_string());
                if self.refuses && write.body.as_ref().is_some_and(poisoned) {
                    out.push(Outcome::Refused(DeadReason("poison".to_owned())));
                    continue;
                }
                if hesitant && self.kind != Kind::Moments && self.dice.once_in(3) {
                    out.push(Outcome::Retry("busy".to_owned()));
                    continue;
                }
                out.push(self.put(key, &write.body, batch.version.0));
            }
            if self.kind == Kind::Plain && part >= writes.writes.len() {
                let receipt = self.receipts.entry(view.clone()).or_insert(Receipt {
                    history: String::new(),
                    count: 0,
                });
                if receipt.count < counts.0 || receipt.count >= counts.1 {
                    self.checkpoint();
                    return Err(SinkError::Lost("the receipt is another one".to_owned()));
                }
                receipt.count = counts.1;
            }
            outcomes.push(out);
        }
        self.position_max = self.position_max.max(batch.position.0);
        if let Some(marker) = &batch.marker {
            self.marker = Some(encode_marker(marker)?);
            if marker.views.values().all(|v| v.watermark >= batch.position) {
                self.moments.push(batch.position);
            } else {
                self.moments.clear();
            }
        }
        let after: u64 = self.receipts.values().map(|r| r.count).sum();
        self.requests[i].taken = after - before;
        self.checkpoint();
        Ok(outcomes)
    }

    fn put(&mut self, key: (String, String), body: &Option<Body>, version: u64) -> Outcome {
        if self.kind == Kind::Versioned
            && let Some(found) = self.cells.get(&key)
        {
            if found.version > version {
                return if found.version <= self.issued_max {
                    Outcome::Applied
                } else {
                    Outcome::Newer(readside_model::Version(found.version))
                };
            }
            if found.version == version && found.body != *body {
                self.problems.push(format!(
                    "{key:?} has two contents at version {version}: {:?} and {body:?}",
                    found.body
                ));
            }
        }
        if self.kind == Kind::Versioned {
            let receipt = self.receipts.entry(key.0.clone()).or_insert(Receipt {
                history: "first".to_owned(),
                count: 0,
            });
            receipt.count += 1;
        }
        self.cells.insert(
            key,
            Cell {
                version,
                body: body.clone(),
            },
        );
        Outcome::Applied
    }

    fn checkpoint(&mut self) {
        // Two moments that differ in the marker alone are enough.
        let same = |c: &Checkpoint| c.cells == self.cells && c.receipts == self.receipts;
        if self
            .checkpoints
            .iter()
            .rev()
            .take(2)
            .filter(|c| same(c))
            .count()
            == 2
        {
            self.checkpoints.pop();
        }
        self.checkpoints.push(Checkpoint {
            cells: self.cells.clone(),
            marker: self.marker.clone(),
            receipts: self.receipts.clone(),
        });
        if self.checkpoints.len() > 8 {
            self.checkpoints.remove(0);
        }
    }
}

/// A document that a sink refuses.
pub(super) fn poisoned(body: &Body) -> bool {
    match body {
        Body::Json(json) => json.windows(6).any(|w| w == b"poison"),
        Body::Columns(columns) => columns.iter().flatten().any(|c| &**c == b"poison"),
    }
}
