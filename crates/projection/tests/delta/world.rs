//! One view maintained through a history, and the same view filled afresh.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use readside_model::{Catalog, DocumentForm, Lsn, Timestamp};
use readside_plan::Plan;
use readside_projection::{
    Engine, GeneratedColumns, Rebuild, RebuiltRows, Rendered, TransactionHeader, ViewSpec, pending,
};
use readside_state::sim::SimBase;
use readside_state::{FlushMode, Options, Read, State};

use crate::dice::Dice;
use crate::history::{Change, Tables, message, relation};
use crate::schema::{Schema, TableSpec};

/// An engine over a state in memory.
pub(crate) struct World {
    pub(crate) state: State,
    pub(crate) engine: Engine,
    base: SimBase,
    catalog: Catalog,
    spec: ViewSpec,
    lsn: u64,
    rebuild: Option<Rebuilding>,
    /// How often the rebuild that is not switched yet was begun.
    begun: u32,
}

/// A rebuild in the making.
struct Rebuilding {
    rebuild: Rebuild,
    stage: usize,
    rows: Vec<RebuiltRows>,
}

type Entries = BTreeMap<Vec<u8>, Vec<u8>>;

fn options() -> Options {
    Options {
        flush_mode: FlushMode::Deferred,
        ..Options::default()
    }
}

impl World {
    /// Filled from these rows.
    pub(crate) fn fill(schema: &Schema, plan: &Arc<Plan>, tables: &Tables) -> World {
        let catalog = schema.catalog();
        let base = SimBase::new();
        let mut state = State::with_base(Arc::new(base.clone()), options()).unwrap();
        let spec = ViewSpec {
            plan: Arc::clone(plan),
            targets: vec!["t".to_owned()],
        };
        let (mut engine, needs) = Engine::open(
            &mut state,
            &catalog,
            &GeneratedColumns::new(),
            std::slice::from_ref(&spec),
            &BTreeSet::new(),
        )
        .unwrap();
        for oid in &needs.tables {
            copy(&mut state, &engine, *oid, tables);
        }
        state.commit(state.committed());
        for oid in &needs.tables {
            engine.adopt_table(&mut state, *oid, Lsn(10)).unwrap();
        }
        engine
            .fill(&mut state, &plan.view, &mut |_| Ok(()))
            .unwrap();
        World {
            state,
            engine,
            base,
            catalog,
            spec,
            lsn: 100,
            rebuild: None,
            begun: 0,
        }
    }

    /// As after a stop and a start.
    pub(crate) fn reopen(self) -> World {
        let World {
            state,
            engine,
            base,
            catalog,
            spec,
            lsn,
            rebuild,
            mut begun,
        } = self;
        drop(engine);
        let interrupted = rebuild.map(|_| spec.plan.view.clone());
        // One that never comes to its switch is not begun for ever.
        let given_up = interrupted.clone().filter(|_| begun == 3);
        let again = interrupted.filter(|_| begun < 3);
        if given_up.is_some() {
            begun = 0;
        }
        state.close().unwrap();
        let mut state = State::with_base(Arc::new(base.clone()), options()).unwrap();
        let (engine, needs) = Engine::open(
            &mut state,
            &catalog,
            &GeneratedColumns::new(),
            std::slice::from_ref(&spec),
            &BTreeSet::new(),
        )
        .unwrap();
        assert_eq!(
            needs,
            readside_projection::Needs {
                rebuilds: again.into_iter().collect(),
                given_up: given_up.into_iter().collect(),
                ..readside_projection::Needs::default()
            },
            "a start after a stop has nothing to do but to begin a rebuild again"
        );
        World {
            state,
            engine,
            base,
            catalog,
            spec,
            lsn,
            rebuild: None,
            begun,
        }
    }

    /// Goes one step on with a rebuild of the view, or begins one.
    pub(crate) fn rebuild(&mut self) {
        let Some(mut going) = self.rebuild.take() else {
            let rebuild = self
                .engine
                .begin_rebuild(&mut self.state, &self.spec.plan.view)
                .unwrap();
            self.begun += 1;
            self.rebuild = rebuild.map(|rebuild| Rebuilding {
                rebuild,
                stage: 0,
                rows: Vec::new(),
            });
            return;
        };
        if let Some(rows) = going.rows.pop() {
            self.engine
                .take_rows(&mut self.state, &going.rebuild.target(), &rows)
                .unwrap();
        } else if going.stage < going.rebuild.stages() {
            let snapshot = self.state.snapshot().unwrap();
            going
                .rebuild
                .each(going.stage, snapshot, &mut |rows| {
                    going.rows.push(rows);
                    Ok(())
                })
                .unwrap();
            going.stage += 1;
        } else {
            self.engine.switch(&mut self.state, going.rebuild).unwrap();
            self.begun = 0;
            let view = self.spec.plan.view.clone();
            while self
                .engine
                .clear_rebuilt(&mut self.state, &view, 3)
                .unwrap()
            {}
            self.engine.end_rebuild(&mut self.state, &view).unwrap();
            return;
        }
        self.rebuild = Some(going);
    }

    /// A batch of some transactions; gives the keys that it marked.
    pub(crate) fn batch(
        &mut self,
        schema: &Schema,
        tables: &mut Tables,
        dice: &mut Dice,
    ) -> BTreeSet<Vec<u8>> {
        let mut transactions = Vec::new();
        for _ in 0..dice.weighted(&[(4, 1), (2, 2), (1, 4)]) {
            let mut changes = Vec::new();
            for _ in 0..dice.weighted(&[(5, 1), (3, 2), (1, 6)]) {
                let table = dice.pick(&schema.tables);
                changes.extend(tables.change(table, dice, schema.plain).map(|c| (table, c)));
            }
            transactions.push(changes);
        }
        self.apply(schema, &transactions, dice)
    }

    /// A batch of these transactions; gives the keys that it marked.
    pub(crate) fn apply(
        &mut self,
        schema: &Schema,
        transactions: &[Vec<(&TableSpec, Change)>],
        dice: &mut Dice,
    ) -> BTreeSet<Vec<u8>> {
        let mut batch = self.engine.begin(&self.state).unwrap();
        for changes in transactions {
            let mut messages: Vec<Bytes> = schema.tables.iter().map(relation).collect();
            messages.extend(changes.iter().map(|(table, c)| message(table, c, dice)));
            self.lsn += 10;
            let header = TransactionHeader {
                commit_lsn: Lsn(self.lsn),
                end_lsn: Lsn(self.lsn + 8),
                commit_time: Timestamp::default(),
            };
            let mut messages = messages.into_iter();
            self.engine
                .apply(&mut self.state, &mut batch, header, &mut messages)
                .unwrap();
        }
        self.engine.finish(&mut self.state, batch).unwrap();
        self.take_pending()
    }

    /// Changes of a table that are seen by copying it anew; gives the keys that this marked.
    pub(crate) fn copy_anew(
        &mut self,
        schema: &Schema,
        tables: &mut Tables,
        dice: &mut Dice,
    ) -> BTreeSet<Vec<u8>> {
        let table = dice.pick(&schema.tables);
        if !self.engine.tables().contains_key(&table.oid) {
            return BTreeSet::new();
        }
        for _ in 0..3 {
            tables.change(table, dice, schema.plain);
        }
        self.lsn += 10;
        copy(&mut self.state, &self.engine, table.oid, tables);
        self.state.commit(self.state.committed());
        self.engine
            .adopt_table(&mut self.state, table.oid, Lsn(self.lsn))
            .unwrap();
        self.take_pending()
    }

    /// The keys that are pending, which are not any more.
    pub(crate) fn take_pending(&mut self) -> BTreeSet<Vec<u8>> {
        let target = self.engine.views()[0].targets[0];
        let keys: BTreeSet<Vec<u8>> = pending::queued(&self.state, target, None, usize::MAX)
            .unwrap()
            .into_iter()
            .map(|q| q.key)
            .collect();
        for key in &keys {
            pending::acknowledge(&mut self.state, target, key, Lsn(u64::MAX)).unwrap();
        }
        self.state.commit(self.state.committed());
        keys
    }

    /// What a key has.
    pub(crate) fn render(&self, key: &[u8]) -> Rendered {
        self.engine.views()[0]
            .render(&self.state, key, DocumentForm::Json)
            .unwrap()
    }

    /// Rows, indexes, internal tables, accumulators, candidates and the stages' dead letters, with the ids of stages and indexes told by
    /// what they are of. Without what a rebuild has not switched to yet.
    pub(crate) fn entries(&self) -> Entries {
        let registry = self.engine.registry();
        let record = &registry.views[&self.spec.plan.view];
        let unread = record.rebuild.as_ref().map_or(&[][..], |r| &r.stages);
        let place = |id: &u32| record.stages.iter().position(|stage| stage == id);
        let mut names: BTreeMap<u32, Option<String>> = BTreeMap::new();
        for id in unread {
            names.insert(*id, None);
        }
        for id in &record.stages {
            names.insert(*id, place(id).map(|at| format!("stage {at}")));
        }
        for (signature, index) in &registry.indexes {
            let mut name = Some(signature.clone());
            for id in unread.iter().chain(&record.stages) {
                let of = format!("relation: Stage({id})");
                if signature.contains(&of) {
                    name = place(id).map(|at| signature.replace(&of, &format!("of stage {at}")));
                }
            }
            names.insert(index.id, name);
        }
        let mut out = Entries::new();
        for tag in [0x10, 0x11, 0x20, 0x21, 0x22, 0x23, 0x24, 0x32] {
            for entry in self.state.scan(&[tag], None).unwrap() {
                let (key, value) = entry.unwrap();
                let id = u32::from_be_bytes(key[1..5].try_into().unwrap());
                let name = match names.get(&id) {
                    _ if tag == 0x10 => format!("table {id}"),
                    Some(Some(name)) => name.clone(),
                    Some(None) => continue,
                    None => format!("nobody's {id}"),
                };
                let told = [&[tag], name.as_bytes(), b" ", &key[5..]].concat();
                out.insert(told, value.to_vec());
            }
        }
        out
    }
}

/// Writes a copy of a table's rows to where the engine wants it.
fn copy(state: &mut State, engine: &Engine, oid: u32, tables: &Tables) {
    let table = &engine.tables()[&oid];
    let stored: Vec<usize> = (0..table.table.columns.len())
        .filter(|i| table.stored[*i])
        .collect();
    for row in tables.0[&oid].values() {
        let value = |i: &usize| {
            row[*i]
                .as_ref()
                .map(|v| Bytes::copy_from_slice(v.as_bytes()))
        };
        let columns: Vec<Option<Bytes>> = stored.iter().map(value).collect();
        let (key, row) = engine.loaded_row(oid, oid, &columns).unwrap();
        state.put(&key, &row).unwrap();
    }
}

/// What tells two states apart, in words.
pub(crate) fn difference(kept: &Entries, fresh: &Entries) -> Option<String> {
    let mut out = Vec::new();
    for (key, value) in kept {
        match fresh.get(key) {
            None => out.push(format!("kept only:  {} = {}", shown(key), shown(value))),
            Some(other) if other != value => {
                out.push(format!(
                    "differs:    {}\n  kept  {}\n  fresh {}",
                    shown(key),
                    shown(value),
                    shown(other)
                ));
            }
            Some(_) => {}
        }
    }
    out.extend(
        fresh
            .iter()
            .filter(|(key, _)| !kept.contains_key(*key))
            .map(|(key, value)| format!("fresh only: {} = {}", shown(key), shown(value))),
    );
    (!out.is_empty()).then(|| out.join("\n"))
}

fn shown(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        use std::fmt::Write;
        if byte.is_ascii_graphic() {
            text.push(char::from(*byte));
        } else {
            let _ = write!(text, "\\{byte:02x}");
        }
        text
    })
}

/// A view's rows by block key.
pub(crate) type Rows = BTreeMap<Vec<u8>, Rendered>;

/// The rows of a filled world, marks taken away.
pub(crate) fn rows_of(world: &mut World) -> Rows {
    world
        .take_pending()
        .into_iter()
        .map(|key| (key.clone(), world.render(&key)))
        .collect()
}
