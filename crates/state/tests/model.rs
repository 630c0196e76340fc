//! Random operations against a `BTreeMap`, on LMDB and on the simulated base.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use readside_model::{Lsn, Position};
use readside_state::sim::{Fault, SimBase};
use readside_state::{Committed, FlushMode, Options, Read, Snapshot, State};

type Model = BTreeMap<Vec<u8>, Vec<u8>>;

#[derive(Debug, Clone)]
enum Step {
    Put(Vec<u8>, Vec<u8>),
    Delete(Vec<u8>),
    DeletePrefix(Vec<u8>),
    Commit,
    Rollback,
    MaybeFlush,
    FlushNow,
    Snapshot,
    DropSnapshot,
    Reopen,
    Crash(Option<Fault>),
    Load(u8),
    BeginLarge,
}

/// Few short keys, so that steps meet; some share more bytes than LMDB's keys have.
fn key() -> impl Strategy<Value = Vec<u8>> {
    let short = proptest::collection::vec(prop_oneof![0u8..3, Just(0xFE), Just(0xFF)], 0..4);
    (
        0u8..4,
        short,
        prop_oneof![4 => Just(0usize), 1 => Just(477), 1 => Just(478), 1 => Just(600)],
    )
        .prop_map(|(first, rest, padding)| {
            let mut key = vec![first];
            key.extend(std::iter::repeat_n(7, padding));
            key.extend(rest);
            key
        })
}

fn step() -> impl Strategy<Value = Step> {
    let value = proptest::collection::vec(any::<u8>(), 0..40);
    prop_oneof![
        12 => (key(), value).prop_map(|(k, v)| Step::Put(k, v)),
        5 => key().prop_map(Step::Delete),
        1 => key().prop_map(Step::DeletePrefix),
        5 => Just(Step::Commit),
        1 => Just(Step::Rollback),
        3 => Just(Step::MaybeFlush),
        1 => Just(Step::FlushNow),
        1 => Just(Step::Snapshot),
        1 => Just(Step::DropSnapshot),
        1 => Just(Step::Reopen),
        1 => prop_oneof![
            Just(None),
            Just(Some(Fault::BeforeApply)),
            Just(Some(Fault::BeforeSync)),
            Just(Some(Fault::AfterSync)),
        ].prop_map(Step::Crash),
        1 => (0u8..4).prop_map(Step::Load),
        2 => Just(Step::BeginLarge),
    ]
}

fn options(flush_mode: FlushMode) -> Options {
    Options {
        map_bytes: 64 << 20,
        flush_bytes: 600,
        flush_interval: Duration::from_secs(3600),
        flush_mode,
    }
}

enum Store<'a> {
    Disk(&'a Path),
    Simulated(SimBase),
}

impl Store<'_> {
    fn open(&self) -> State {
        match self {
            Store::Disk(dir) => State::open(dir, options(FlushMode::Background)).unwrap(),
            Store::Simulated(base) => {
                State::with_base(Arc::new(base.clone()), options(FlushMode::Deferred)).unwrap()
            }
        }
    }
}

fn compare(state: &dyn Read, model: &Model, probe: &[u8]) {
    let entries: Model = state
        .scan(&[], None)
        .unwrap()
        .map(|e| e.map(|(k, v)| (k.to_vec(), v.to_vec())))
        .collect::<Result<_, _>>()
        .unwrap();
    assert_eq!(&entries, model);
    let owned = |e: Result<(&[u8], &[u8]), _>| {
        let (k, v): (&[u8], &[u8]) = Result::<_, readside_state::StateError>::unwrap(e);
        (k.to_vec(), v.to_vec())
    };
    let back: Vec<_> = state.scan_back(&[], None).unwrap().map(owned).collect();
    assert!(back.iter().map(|(k, v)| (k, v)).eq(model.iter().rev()));
    assert_eq!(
        state.get(probe).unwrap(),
        model.get(probe).map(Vec::as_slice)
    );
    for prefix_bytes in [1, probe.len() / 2, probe.len()] {
        let prefix = &probe[..prefix_bytes.max(1)];
        let expected: Vec<_> = model
            .iter()
            .filter(|(k, _)| k.starts_with(prefix))
            .map(|(k, v)| (k.clone(), v.clone()))
            .collect();
        let found: Vec<_> = state.scan(prefix, None).unwrap().map(owned).collect();
        assert_eq!(found, expected);
        let found: Vec<_> = state
            .scan(prefix, Some(probe))
            .unwrap()
            .map(owned)
            .collect();
        let from: Vec<_> = expected
            .iter()
            .filter(|(k, _)| k.as_slice() >= probe)
            .cloned()
            .collect();
        assert_eq!(found, from);
        let found: Vec<_> = state
            .scan_back(prefix, Some(probe))
            .unwrap()
            .map(owned)
            .collect();
        let from: Vec<_> = expected
            .iter()
            .rev()
            .filter(|(k, _)| k.as_slice() <= probe)
            .cloned()
            .collect();
        assert_eq!(found, from);
        assert_eq!(
            state.last(prefix).unwrap().map(|(k, _)| k.to_vec()),
            expected.last().map(|(k, _)| k.clone())
        );
    }
}

fn at(commit: u64) -> Committed {
    Committed {
        applied: Position {
            commit: Lsn(commit),
            ordinal: commit % 3,
        },
        published: Lsn(commit / 2),
    }
}

fn run(store: &Store<'_>, steps: &[Step]) {
    let mut state = store.open();
    let mut live = Model::new();
    // The content after each commit; the last is the present one.
    let mut history: BTreeMap<u64, Model> = BTreeMap::from([(0, Model::new())]);
    let mut commits = 0;
    let mut snapshots: Vec<(Snapshot, Model)> = Vec::new();
    let mut probe = vec![1];
    for step in steps {
        match step {
            Step::Put(key, value) => {
                state.put(key, value).unwrap();
                live.insert(key.clone(), value.clone());
                probe.clone_from(key);
            }
            Step::Delete(key) => {
                state.delete(key).unwrap();
                live.remove(key);
                probe.clone_from(key);
            }
            Step::DeletePrefix(prefix) => {
                state.delete_prefix(prefix).unwrap();
                live.retain(|k, _| !k.starts_with(prefix));
            }
            Step::Commit => {
                commits += 1;
                state.commit(at(commits));
                history.insert(commits, live.clone());
            }
            Step::Rollback => {
                state.rollback();
                live.clone_from(&history[&commits]);
            }
            Step::MaybeFlush => state.maybe_flush().unwrap(),
            Step::FlushNow => {
                if live == history[&commits] {
                    state.rollback();
                    state.flush_now().unwrap();
                    assert_eq!(state.durable(), state.committed());
                }
            }
            Step::Snapshot => {
                let Ok(snapshot) = state.snapshot() else {
                    assert!(state.is_large() && snapshots.len() >= 16);
                    continue;
                };
                assert_eq!(snapshot.committed(), state.committed());
                snapshots.push((snapshot, history[&commits].clone()));
            }
            Step::DropSnapshot => {
                if !snapshots.is_empty() {
                    snapshots.remove(0);
                }
            }
            Step::Reopen => {
                snapshots.clear();
                state.close().unwrap();
                state = store.open();
                live.clone_from(&history[&commits]);
                assert_eq!(state.committed(), at(commits));
            }
            Step::Crash(fault) => {
                snapshots.clear();
                let least = state.durable();
                if let (Store::Simulated(base), Some(fault)) = (store, fault) {
                    base.arm(*fault);
                    state.rollback();
                    let _ = state.flush_now();
                }
                drop(state);
                if let Store::Simulated(base) = store {
                    base.crash();
                }
                state = store.open();
                assert!(state.committed().applied >= least.applied);
                commits = state.committed().applied.commit.0;
                assert_eq!(state.committed(), at(commits));
                live.clone_from(&history[&commits]);
            }
            Step::BeginLarge => {
                if live == history[&commits] && !state.is_large() {
                    state.rollback();
                    state.begin_large().unwrap();
                }
            }
            Step::Load(_) if state.is_large() => {}
            Step::Load(n) => {
                // A prefix that no other step uses.
                let prefix = [0x10 + n];
                let mut loader = state.loader(&prefix).unwrap();
                while loader.clear(2).unwrap() > 0 {}
                let keys: Vec<_> = (0..4u8).map(|i| vec![prefix[0], i]).collect();
                loader
                    .write(keys.iter().map(|k| (k.as_slice(), k.as_slice())))
                    .unwrap();
                assert!(loader.write([(&[0xAAu8][..], &[][..])]).is_err());
                state.adopt(loader).unwrap();
                for key in keys {
                    live.insert(key.clone(), key.clone());
                    // It is durable at once, and never read through an older commit.
                    for model in history.values_mut() {
                        model.insert(key.clone(), key.clone());
                    }
                }
                snapshots.clear();
            }
        }
        compare(&state, &live, &probe);
        for (snapshot, model) in &snapshots {
            compare(snapshot, model, &probe);
        }
    }
}

/// A disk is slow; `PROPTEST_CASES` asks for more.
fn cases() -> u32 {
    let asked = std::env::var("PROPTEST_CASES").ok();
    asked.and_then(|n| n.parse().ok()).unwrap_or(64)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), ..ProptestConfig::default() })]

    #[test]
    fn the_state_on_disk_is_an_ordered_map_with_commits(steps in proptest::collection::vec(step(), 1..60)) {
        let dir = tempfile::tempdir().unwrap();
        run(&Store::Disk(dir.path()), &steps);
    }

    #[test]
    fn a_crash_at_any_point_leaves_one_whole_commit(steps in proptest::collection::vec(step(), 1..120)) {
        run(&Store::Simulated(SimBase::new()), &steps);
    }
}

#[test]
fn a_second_opener_is_told_who_holds_the_directory() {
    let dir = tempfile::tempdir().unwrap();
    let state = State::open(dir.path(), options(FlushMode::Background)).unwrap();
    let refusal = match State::open(dir.path(), options(FlushMode::Background)) {
        Ok(_) => panic!("opened twice"),
        Err(e) => e.to_string(),
    };
    assert!(
        refusal.contains(&format!("in use by process {}", std::process::id())),
        "{refusal}"
    );
    drop(state);
    State::open(dir.path(), options(FlushMode::Background)).unwrap();
}

#[test]
fn reserved_keys_are_refused() {
    let mut state =
        State::with_base(Arc::new(SimBase::new()), options(FlushMode::Deferred)).unwrap();
    assert!(state.put(&[], b"x").is_err());
    assert!(state.put(&[0xFF, 1], b"x").is_err());
    assert!(state.loader(&[]).is_err());
}

#[test]
fn a_full_map_names_the_remedy_and_loses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let small = Options {
        map_bytes: 1 << 20,
        ..options(FlushMode::Background)
    };
    let mut state = State::open(dir.path(), small).unwrap();
    state.put(b"kept", b"1").unwrap();
    state.commit(at(1));
    state.flush_now().unwrap();
    state.put(b"large", &vec![1; 2 << 20]).unwrap();
    state.commit(at(2));
    let refusal = state.flush_now().unwrap_err().to_string();
    assert!(
        refusal.contains("map_size") && refusal.contains("hint:"),
        "{refusal}"
    );
    assert_eq!(state.get(b"large").unwrap().map(<[u8]>::len), Some(2 << 20));
    assert_eq!(state.durable(), at(1));
    drop(state);
    let mut state = State::open(dir.path(), options(FlushMode::Background)).unwrap();
    assert_eq!(state.committed(), at(1));
    assert_eq!(state.get(b"kept").unwrap(), Some(&b"1"[..]));
    state.put(b"large", &vec![1; 2 << 20]).unwrap();
    state.commit(at(2));
    state.flush_now().unwrap();
}

#[test]
fn snapshots_are_counted_and_aged() {
    let mut state =
        State::with_base(Arc::new(SimBase::new()), options(FlushMode::Deferred)).unwrap();
    state.put(b"a", b"1").unwrap();
    state.commit(at(1));
    let snapshot = state.snapshot().unwrap();
    std::thread::spawn(move || {
        assert_eq!(snapshot.get(b"a").unwrap(), Some(&b"1"[..]));
        std::thread::sleep(Duration::from_millis(2));
        snapshot
    })
    .join()
    .map(|snapshot| {
        let sizes = state.sizes();
        assert_eq!(sizes.snapshots, 1);
        assert!(sizes.oldest_snapshot >= Duration::from_millis(2));
        drop(snapshot);
    })
    .unwrap();
    assert_eq!(state.sizes().snapshots, 0);
}

#[test]
fn what_is_put_and_deleted_between_two_flushes_leaves_nothing_to_step_over() {
    let mut state =
        State::with_base(Arc::new(SimBase::new()), options(FlushMode::Deferred)).unwrap();
    state.put(b"base", b"1").unwrap();
    state.commit(at(1));
    state.flush_now().unwrap();
    state.put(b"queue", b"1").unwrap();
    state.commit(at(2));
    state.delete(b"queue").unwrap();
    state.commit(at(3));
    assert_eq!(state.sizes().overlay_bytes, 0);
    // What the base has must stay hidden, before and after a flush.
    state.delete(b"base").unwrap();
    state.commit(at(4));
    assert_eq!(state.get(b"base").unwrap(), None);
    assert!(state.sizes().overlay_bytes > 0);
    state.flush_now().unwrap();
    assert_eq!(state.get(b"base").unwrap(), None);
    assert_eq!(state.sizes().overlay_bytes, 0);
}
