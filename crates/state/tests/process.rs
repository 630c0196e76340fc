//! What a killed process leaves, and transactions larger than the overlay.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use readside_model::{Lsn, Position};
use readside_state::{Committed, Options, Read, State};

const DIR: &str = "READSIDE_TEST_STATE_DIR";
const KEYS: u64 = 300;

fn at(commit: u64) -> Committed {
    Committed {
        applied: Position {
            commit: Lsn(commit),
            ordinal: 0,
        },
        published: Lsn(commit),
    }
}

fn open(dir: &Path) -> State {
    let options = Options {
        map_bytes: 1 << 30,
        flush_bytes: 100 << 10,
        flush_interval: Duration::from_millis(5),
        ..Options::default()
    };
    State::open(dir, options).unwrap()
}

/// Not a test: what the process does that gets killed. Every key holds the number of the last commit; every third group
/// is a large one.
#[test]
#[ignore = "runs in a process of its own, started by the test below"]
fn a_process_that_is_killed() {
    let Ok(dir) = std::env::var(DIR) else {
        return;
    };
    let mut state = open(Path::new(&dir));
    let mut commit = state.committed().applied.commit.0;
    loop {
        commit += 1;
        if commit.is_multiple_of(3) {
            state.begin_large().unwrap();
        }
        for key in 0..KEYS {
            let value = [commit.to_be_bytes().to_vec(), vec![0; 1_000]].concat();
            state
                .put(&[&b"k"[..], &key.to_be_bytes()].concat(), &value)
                .unwrap();
            if state.is_large() {
                state.maybe_flush().unwrap();
            }
        }
        state.commit(at(commit));
        state.maybe_flush().unwrap();
    }
}

#[test]
fn a_killed_process_leaves_one_whole_commit() {
    let dir = tempfile::tempdir().unwrap();
    let mut before = 0;
    for round in 0..12 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "a_process_that_is_killed", "--ignored"])
            .env(DIR, dir.path())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_millis(100 + 37 * round));
        child.kill().unwrap();
        child.wait().unwrap();
        let state = open(dir.path());
        let commit = state.committed().applied.commit.0;
        assert!(commit >= before);
        before = commit;
        let values: Vec<_> = state
            .scan(b"k", None)
            .unwrap()
            .map(|entry| u64::from_be_bytes(entry.unwrap().1[..8].try_into().unwrap()))
            .collect();
        let expected = if commit == 0 { 0 } else { KEYS };
        assert_eq!(values.len(), usize::try_from(expected).unwrap());
        assert!(values.iter().all(|v| *v == commit), "{commit}: {values:?}");
    }
    assert!(before > 0, "nothing was ever flushed");
}

#[test]
fn a_transaction_larger_than_memory_is_all_or_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let keys = 50_000u32;
    let key = |i: u32| [&b"row"[..], &i.to_be_bytes()].concat();
    let count = |state: &dyn Read, value: &[u8]| {
        let entries = state.scan(b"row", None).unwrap();
        entries
            .filter(|entry| entry.as_ref().unwrap().1 == value)
            .count()
    };
    let mut state = open(dir.path());
    for i in (0..keys).step_by(2) {
        state.put(&key(i), b"old").unwrap();
    }
    state.commit(at(1));
    state.flush_now().unwrap();
    let write = |state: &mut State| {
        state.begin_large().unwrap();
        let mut most_bytes = 0;
        for i in 0..keys {
            state.put(&key(i), b"new").unwrap();
            state.maybe_flush().unwrap();
            most_bytes = most_bytes.max(state.sizes().overlay_bytes);
        }
        assert!(most_bytes < 200 << 10, "{most_bytes}");
        assert_eq!(count(state, b"new"), 50_000);
    };

    write(&mut state);
    let snapshot = state.snapshot().unwrap();
    assert_eq!(
        (count(&snapshot, b"old"), count(&snapshot, b"new")),
        (25_000, 0)
    );
    drop(snapshot);
    state.rollback();
    assert_eq!((count(&state, b"old"), count(&state, b"new")), (25_000, 0));

    // The process ends in the middle.
    write(&mut state);
    drop(state);
    let mut state = open(dir.path());
    assert_eq!(state.committed(), at(1));
    assert_eq!((count(&state, b"old"), count(&state, b"new")), (25_000, 0));

    write(&mut state);
    state.commit(at(2));
    assert_eq!(count(&state.snapshot().unwrap(), b"new"), 50_000);
    state.close().unwrap();
    let state = open(dir.path());
    assert_eq!(state.committed(), at(2));
    assert_eq!((count(&state, b"old"), count(&state, b"new")), (0, 50_000));
}

#[test]
fn undo_records_of_an_earlier_large_transaction_are_not_taken_for_new_ones() {
    let dir = tempfile::tempdir().unwrap();
    let key = |i: u32| [&b"row"[..], &i.to_be_bytes()].concat();
    let write = |state: &mut State, value: &[u8]| {
        state.begin_large().unwrap();
        for i in 0..5_000 {
            state.put(&key(i), value).unwrap();
            state.maybe_flush().unwrap();
        }
    };
    let mut state = open(dir.path());
    write(&mut state, b"first");
    state.commit(at(1));
    write(&mut state, b"second");
    drop(state);
    let state = open(dir.path());
    assert_eq!(state.committed(), at(1));
    for entry in state.scan(b"row", None).unwrap() {
        assert_eq!(entry.unwrap().1, b"first");
    }
}
