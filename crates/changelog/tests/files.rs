//! The log on a real file system.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::fmt::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use readside_changelog::{
    Appended, Changelog, ChangelogError, Options, RealDisk, Record, TransactionHead,
};
use readside_model::{Lsn, SourceIdentity, Timestamp, Xid};

fn open(dir: &Path) -> Result<Changelog, ChangelogError> {
    let identity = SourceIdentity {
        system_id: "7".to_owned(),
        database_oid: 5,
        database: "d".to_owned(),
        slot: "s".to_owned(),
        timeline: 1,
    };
    let options = Options {
        segment_bytes: 1 << 20,
        spool_memory_bytes: 1 << 20,
        ..Options::default()
    };
    Changelog::open(
        Arc::new(RealDisk::open(dir)?),
        &identity,
        Lsn::ZERO,
        options,
    )
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut out, b| {
        write!(out, "{b:02x}").unwrap();
        out
    })
}

#[test]
fn a_second_opener_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path()).unwrap();
    assert!(matches!(
        open(dir.path()),
        Err(ChangelogError::Locked { .. })
    ));
    drop(log);
    open(dir.path()).unwrap();
}

#[test]
fn a_side_file_keeps_its_bytes() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = open(dir.path()).unwrap();
    let mut spool = log.spool(Xid(9), true);
    spool.push(Xid(9), Bytes::from_static(b"R")).unwrap();
    spool.push(Xid(10), Bytes::from_static(b"Ix")).unwrap();
    spool.spill().unwrap();
    spool.push(Xid(9), Bytes::from_static(b"")).unwrap();
    spool.abort(Xid(10));
    let appended = log
        .append(&mut spool, Lsn(0x100), Lsn(0x130), Timestamp(3))
        .unwrap();
    assert_eq!(appended, Appended::New);
    log.sync().unwrap();
    let bytes = std::fs::read(dir.path().join("0000000000000130.side")).unwrap();
    assert_eq!(
        hex(&bytes),
        concat!(
            "5244534453494445",
            "0100",
            "0000",
            "09000000",
            "1b000000",
            "b2b7dd18",
            "01000000",
            "09000000",
            "52",
            "02000000",
            "0a000000",
            "4978",
            "00000000",
            "09000000",
        )
    );
    let mut reader = log.durable().reader("test", Lsn::ZERO).unwrap();
    let Some(Record::Transaction(transaction)) = reader.next().unwrap() else {
        panic!("no transaction");
    };
    assert!(transaction.is_large());
    assert_eq!(transaction.head.messages, 2);
    let messages: Vec<_> = transaction
        .messages()
        .unwrap()
        .map(Result::unwrap)
        .collect();
    assert_eq!(messages, [&b"R"[..], b""]);
}

#[test]
fn a_large_transaction_streams_through_its_side_file() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = open(dir.path()).unwrap();
    let mut spool = log.spool(Xid(9), false);
    let message = |i: u32| {
        let mut message = vec![b'I'; 100];
        message.extend(i.to_be_bytes());
        Bytes::from(message)
    };
    for i in 0..100_000 {
        spool.push(Xid(9), message(i)).unwrap();
        assert!(spool.memory_bytes() <= 2 << 20);
    }
    assert!(log.durable().bytes() > 5 << 20);
    log.append(&mut spool, Lsn(1), Lsn(2), Timestamp(3))
        .unwrap();
    log.sync().unwrap();
    drop((log, spool));
    let mut log = open(dir.path()).unwrap();
    let durable = log.durable();
    assert_eq!(durable.end(), Lsn(2));
    let mut reader = durable.reader("test", Lsn::ZERO).unwrap();
    let Some(Record::Transaction(transaction)) = reader.next().unwrap() else {
        panic!("no transaction");
    };
    assert_eq!(transaction.head.messages, 100_000);
    for _ in 0..2 {
        let mut i = 0;
        for found in transaction.messages().unwrap() {
            assert_eq!(found.unwrap(), message(i));
            i += 1;
        }
        assert_eq!(i, 100_000);
    }
    assert!(reader.next().unwrap().is_none());
    log.trim_below(Lsn(2)).unwrap();
    assert!(durable.bytes() < 1_000);
}

#[test]
fn an_abandoned_spool_leaves_no_file() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = open(dir.path()).unwrap();
    let mut spool = log.spool(Xid(9), true);
    spool.push(Xid(9), Bytes::from(vec![0; 2 << 20])).unwrap();
    let files = || std::fs::read_dir(dir.path()).unwrap().count();
    let with = files();
    drop(spool);
    assert_eq!(files(), with - 1);
}

#[test]
fn a_reader_on_another_thread_is_woken_by_each_sync() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = open(dir.path()).unwrap();
    let durable = log.durable();
    let reading = std::thread::spawn(move || {
        let mut reader = durable.reader("test", Lsn::ZERO).unwrap();
        let mut seen = 0;
        while seen < 200 {
            match reader.next().unwrap() {
                Some(record) => {
                    seen += 1;
                    assert_eq!(record.end(), Lsn(seen * 100 + 50));
                }
                None => assert!(reader.wait(Duration::from_secs(30))),
            }
        }
    });
    let called = Arc::new(std::sync::atomic::AtomicU64::new(0));
    let counter = Arc::clone(&called);
    log.durable().on_advance(move |lsn| {
        counter.store(lsn.0, std::sync::atomic::Ordering::Relaxed);
    });
    for i in 1..=200 {
        let head = TransactionHead {
            commit: Lsn(i * 100),
            end: Lsn(i * 100 + 50),
            committed_at: Timestamp(0),
            xid: Xid(1),
            streamed: false,
            messages: 1,
        };
        let message = Bytes::from(vec![b'I'; 20_000]);
        log.append_messages(&head, [message].iter()).unwrap();
        let end = log.sync().unwrap();
        assert_eq!(called.load(std::sync::atomic::Ordering::Relaxed), end.0);
    }
    reading.join().unwrap();
    let end = log.durable().wait_past(Lsn(5), Duration::ZERO);
    assert_eq!(end, log.end());
}
