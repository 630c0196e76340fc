//! What must hold at every instant, and what must hold once nothing is under way any more.

use std::collections::{BTreeMap, BTreeSet};

use readside_model::{Body, Lsn};
use readside_projection::{TargetId, dead, pending, written};
use readside_state::{Read, State};

use super::World;
use super::life::Life;
use super::sink::{Kind, poisoned};
use super::views::{Content, Fresh};

/// Everything under a tag and an id, without that prefix.
fn lies(state: &dyn Read, tag: u8, id: u32) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let mut prefix = vec![tag];
    prefix.extend_from_slice(&id.to_be_bytes());
    state
        .scan(&prefix, None)
        .unwrap()
        .map(|entry| {
            entry
                .map(|(k, v)| (k[prefix.len()..].to_vec(), v.to_vec()))
                .unwrap()
        })
        .collect()
}

const ROW: u8 = 0x10;
/// Rows, accumulators, contributions, distinct values, candidates of a stage.
const OF_STAGES: [u8; 5] = [0x20, 0x21, 0x22, 0x23, 0x24];

/// What state says of a target's keys, by key text.
struct Keys {
    pending: BTreeSet<String>,
    dead: BTreeSet<String>,
    /// Marked because the sink lost its rows, or never had them.
    refilled: bool,
}

impl World {
    /// After every step. `full` also compares with what is computed from scratch.
    pub(super) fn check(&mut self, life: &mut Life, full: bool) {
        for (name, sink) in &self.sinks {
            let problems = sink.problems();
            assert!(
                problems.is_empty(),
                "sink `{name}`: {}",
                problems.join("; ")
            );
        }
        self.check_positions(life);
        self.check_facts(life);
        self.check_moments(life);
        if full {
            self.check_all(life);
        }
    }

    fn check_positions(&self, life: &Life) {
        let durable = life.capture.changelog.durable();
        let slot = self.server.slot.unwrap();
        assert!(
            slot <= durable.end(),
            "{slot} is confirmed, and {} is durable",
            durable.end()
        );
        let published = life.projector.state.committed().published;
        assert!(
            published <= durable.end().max(life.loaded),
            "state is at {published}, and the log is durable up to {}",
            durable.end()
        );
        let needed = life.projector.state.durable().published;
        assert!(
            durable.start() <= needed.max(life.loaded),
            "the log starts at {}, and state needs it from {needed}",
            durable.start()
        );
    }

    /// Watermarks as told agree with what is pending, and never go back but for a sink that did.
    fn check_facts(&mut self, life: &Life) {
        let state = &life.projector.state;
        let published = state.committed().published;
        let inner = life.facts.lock();
        for (id, facts) in &inner.targets {
            let (watermark, _) = pending::watermark(state, *id, published).unwrap();
            let name = format!("view `{}` in `{}`", facts.view, facts.sink);
            assert_eq!(
                facts.acknowledged, watermark,
                "{name}: the watermark as told, and as it is"
            );
            assert_eq!(
                facts.pending,
                pending::count(state, *id).unwrap(),
                "{name}: pending keys as told, and as they are"
            );
            assert_eq!(
                facts.dead,
                dead::count(state, id.0).unwrap(),
                "{name}: dead letters as told, and as they are"
            );
            assert!(
                facts.watermark <= published,
                "{name}: {} is visible, and state is at {published}",
                facts.watermark
            );
            let before = self
                .watermarks
                .insert(id.0, (facts.acknowledged, facts.watermark))
                .unwrap_or_default();
            let refilled = watermark < Lsn(1_000);
            assert!(
                refilled || facts.acknowledged >= before.0,
                "{name}: the watermark went from {} to {}",
                before.0,
                facts.acknowledged
            );
            assert!(
                refilled || facts.watermark >= before.1,
                "{name}: what is visible went from {} to {}",
                before.1,
                facts.watermark
            );
        }
    }

    /// A sink that shows one moment of all its views shows that moment.
    fn check_moments(&mut self, life: &Life) {
        let sinks: Vec<usize> = life
            .workers
            .iter()
            .map(|w| w.sink)
            .filter(|s| self.sinks[*s].1.kind == Kind::Moments)
            .collect();
        for s in sinks {
            let Some(at) = self.sinks[s].1.moments().pop() else {
                continue;
            };
            if self.sinks[s].1.went_back() {
                continue;
            }
            let views: Vec<(String, bool)> = self
                .views
                .iter()
                .filter(|v| v.sinks.contains(&s))
                .map(|v| (v.plan.view.clone(), v.keep_failed))
                .collect();
            for (view, keep_failed) in views {
                let rows = self.sinks[s].1.rows(&view, true);
                let refuses = self.refuses;
                let content = &self.fresh_at(at).contents[&view];
                compare(
                    &format!("view `{view}` at the moment {at}"),
                    &rows,
                    content,
                    true,
                    &|text| {
                        (keep_failed && content.failed.contains(text))
                            || (refuses && (refused(content, text) || rows.contains_key(text)))
                    },
                );
            }
        }
    }

    /// State and sinks against the views from scratch.
    pub(super) fn check_all(&mut self, life: &mut Life) {
        let published = life.projector.state.committed().published;
        // Until a sink is open, it may hold what nobody knows of.
        let engine = &life.projector.engine;
        let filled: Vec<(usize, TargetId, String, bool)> = life
            .workers
            .iter()
            .flat_map(|w| w.targets().map(|target| (w.is_open(), target)))
            .filter(|(open, (_, id, t))| *open || engine.is_accounted(&t.layout.view, *id))
            .map(|(_, (s, id, t))| (s, id, t.layout.view.clone(), t.keep_failed))
            .collect();
        {
            let fresh = self.fresh_at(published);
            check_state(&life.projector, fresh);
        }
        for (s, id, view, keep_failed) in filled {
            if self.sinks[s].1.went_back() {
                continue;
            }
            let state = &life.projector.state;
            let exec = life
                .projector
                .engine
                .views()
                .iter()
                .find(|v| v.plan.view == view)
                .unwrap();
            let text = |key: &[u8]| exec.sink_key(state, key).unwrap().text.to_string();
            let queued = pending::queued(state, id, None, usize::MAX).unwrap();
            let keys = Keys {
                refilled: queued.iter().any(|q| q.first < Lsn(1_000)),
                pending: queued.iter().map(|q| text(&q.key)).collect(),
                dead: dead::list(state, id.0, usize::MAX)
                    .unwrap()
                    .iter()
                    .map(|(key, _)| text(key))
                    .collect(),
            };
            let rows = self.sinks[s].1.rows(&view, false);
            for key in rows.keys() {
                assert!(
                    keys.pending.contains(key) || written::holds(state, id, key).unwrap(),
                    "view `{view}`: {} holds {key:?}, and state does not know",
                    self.sinks[s].0
                );
            }
            let columns = self.sinks[s].1.kind == Kind::Moments;
            let name = format!("view `{view}` in `{}` at {published}", self.sinks[s].0);
            let refuses = self.refuses;
            {
                let content = &self.fresh_at(published).contents[&view];
                for key in keys.dead.iter().filter(|key| !keys.pending.contains(*key)) {
                    assert!(
                        content.failed.contains(key) || (refuses && refused(content, key)),
                        "{name}: {key:?} is a dead letter, and nothing is wrong with it"
                    );
                }
                for key in content
                    .failed
                    .iter()
                    .filter(|key| !keys.pending.contains(*key))
                {
                    assert!(
                        keys.dead.contains(key),
                        "{name}: {key:?} raises an error, and is no dead letter"
                    );
                }
                compare(&name, &rows, content, columns, &|key| {
                    keys.pending.contains(key)
                        || (keep_failed && content.failed.contains(key))
                        || (keys.dead.contains(key) && refused(content, key))
                });
            }
            if !keys.refilled && !refuses && !keep_failed {
                self.check_watermark(life, s, id, &view, published);
            }
        }
    }

    /// Each visible value is one that the view had at the watermark or after.
    fn check_watermark(&mut self, life: &Life, s: usize, id: TargetId, view: &str, published: Lsn) {
        let watermark = life.facts.lock().targets[&id].watermark;
        if watermark < Lsn(1_000) || watermark > published {
            return;
        }
        let columns = self.sinks[s].1.kind == Kind::Moments;
        let rows = self.sinks[s].1.rows(view, true);
        let images = self.server.images_between(watermark, published);
        if images.len() > 4 {
            return;
        }
        let mut moments: Vec<BTreeMap<String, Body>> = Vec::new();
        for image in images {
            let content = &self.fresh_at(Lsn(image)).contents[view];
            moments.push(if columns {
                content.columns.clone()
            } else {
                content.json.clone()
            });
        }
        let keys: BTreeSet<&String> = rows
            .keys()
            .chain(moments.iter().flat_map(BTreeMap::keys))
            .collect();
        let state = &life.projector.state;
        let exec = life
            .projector
            .engine
            .views()
            .iter()
            .find(|v| v.plan.view == view)
            .unwrap();
        for key in keys {
            let found = rows.get(key);
            if moments.iter().any(|m| m.get(key) == found) {
                continue;
            }
            let waiting: Vec<_> = pending::queued(state, id, None, usize::MAX)
                .unwrap()
                .into_iter()
                .filter(|q| *exec.sink_key(state, &q.key).unwrap().text == **key)
                .map(|q| pending::pending(state, id, &q.key).unwrap())
                .collect();
            panic!(
                "view `{view}` in `{}`: {key:?} is {found:?}, which it was at no moment from the watermark {watermark} to \
                 {published}: {:?}; pending: {waiting:?}",
                self.sinks[s].0,
                moments.iter().map(|m| m.get(key)).collect::<Vec<_>>()
            );
        }
    }

    /// Whether nothing is under way any more.
    pub(super) fn is_quiet(&self, life: &Life) -> bool {
        self.unrest(life).is_empty()
    }

    /// What is under way.
    pub(super) fn unrest(&self, life: &Life) -> String {
        let state = &life.projector.state;
        let published = state.committed().published;
        let mut out = Vec::new();
        if published < Lsn(self.server.wal) {
            out.push(format!(
                "state is at {published}, the source at {}",
                Lsn(self.server.wal)
            ));
        }
        for working in &life.workers {
            if !working.is_open() || self.sinks[working.sink].1.has_requests() {
                out.push(format!("sink `{}` is busy", self.sinks[working.sink].0));
            }
        }
        for (id, facts) in &life.facts.lock().targets {
            if facts.pending > 0 || facts.watermark < published {
                let oldest = pending::queued(state, *id, None, 1).unwrap();
                out.push(format!(
                    "view `{}` in `{}`: {} pending, visible up to {}, {oldest:?}",
                    facts.view, facts.sink, facts.pending, facts.watermark
                ));
            }
        }
        out.join("; ")
    }
}

/// Whether sinks refuse this row.
fn refused(content: &Content, text: &str) -> bool {
    content.json.get(text).is_some_and(poisoned)
}

fn compare(
    name: &str,
    rows: &BTreeMap<String, Body>,
    content: &Content,
    columns: bool,
    except: &dyn Fn(&str) -> bool,
) {
    let wanted = if columns {
        &content.columns
    } else {
        &content.json
    };
    let keys: BTreeSet<&String> = rows.keys().chain(wanted.keys()).collect();
    for key in keys {
        if !except(key) {
            assert_eq!(
                rows.get(key),
                wanted.get(key),
                "{name}: {key:?} in the sink, and as it should be"
            );
        }
    }
}

/// Base rows are the source's, and stages are what a fill from these rows makes of them.
fn check_state(projector: &crate::projector::Projector, fresh: &Fresh) {
    let (state, engine): (&State, _) = (&projector.state, &projector.engine);
    for (oid, table) in engine.tables() {
        if table.stored == fresh.engine.tables()[oid].stored {
            assert_eq!(
                lies(state, ROW, *oid),
                lies(&fresh.state, ROW, *oid),
                "rows of {} in state, and at the source",
                table.table.name
            );
        }
    }
    for (view, record) in &engine.registry().views {
        let other = &fresh.engine.registry().views[view];
        for (n, (here, there)) in record.stages.iter().zip(&other.stages).enumerate() {
            for tag in OF_STAGES {
                assert_eq!(
                    lies(state, tag, *here),
                    lies(&fresh.state, tag, *there),
                    "stage {n} of view `{view}`, kind {tag:#x}: as kept, and from scratch"
                );
            }
        }
    }
}
