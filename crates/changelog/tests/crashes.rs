//! The log on a simulated disk: a source that sends, resends and aborts; crashes at any operation; readers and trimming.
//!
//! After each step: what readers get is exactly a stretch of the source's history, whole and in order, and it reaches at
//! least what was confirmed.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::sync::Arc;

use bytes::Bytes;
use proptest::prelude::*;
use readside_changelog::sim::{Crash, SimDisk};
use readside_changelog::{
    Appended, Changelog, ChangelogError, Options, Reader, Record, Spool, TransactionHead,
};
use readside_model::{Lsn, SourceIdentity, Timestamp, Xid};

fn identity() -> SourceIdentity {
    SourceIdentity {
        system_id: "7".to_owned(),
        database_oid: 5,
        database: "d".to_owned(),
        slot: "s".to_owned(),
        timeline: 1,
    }
}

fn options() -> Options {
    Options {
        segment_bytes: 600,
        bytes_max: 1 << 30,
        spool_memory_bytes: 400,
        buffer_bytes: 300,
    }
}

#[derive(Debug, Clone)]
struct Sent {
    commit: Lsn,
    end: Lsn,
    xid: Xid,
    streamed: bool,
    /// Subtransaction (0 is the transaction itself), message.
    messages: Vec<(u32, Bytes)>,
    /// Before which message which subtransaction aborts.
    aborts: Vec<(usize, u32)>,
}

impl Sent {
    /// What is left of it at the commit.
    fn kept(&self) -> Vec<Bytes> {
        self.messages
            .iter()
            .enumerate()
            .filter(|(i, (sub, message))| {
                let aborted = self.aborts.iter().any(|(at, of)| of == sub && at > i);
                !aborted || message.starts_with(b"R")
            })
            .map(|(_, (_, message))| message.clone())
            .collect()
    }

    fn spool_into(&self, log: &mut Changelog) -> Result<Spool, ChangelogError> {
        let mut spool = log.spool(self.xid, self.streamed);
        for (i, (sub, message)) in self.messages.iter().enumerate() {
            for (at, of) in &self.aborts {
                if *at == i {
                    spool.abort(Xid(self.xid.0 + of));
                }
            }
            spool.push(Xid(self.xid.0 + sub), message.clone())?;
        }
        for (at, of) in &self.aborts {
            if *at >= self.messages.len() {
                spool.abort(Xid(self.xid.0 + of));
            }
        }
        Ok(spool)
    }
}

#[derive(Debug, Clone)]
enum Step {
    /// Sizes of messages, the subtransaction of each, and who aborts where.
    Transaction {
        messages: Vec<(u32, usize, bool)>,
        abort: Option<(usize, u32)>,
    },
    Keepalive,
    Control,
    Sync,
    Confirm,
    Read,
    Trim,
    Reconnect,
    Reopen,
    Crash(Crash),
    FailAfter(u64),
    DiskFull(bool),
    Timeline,
}

fn step() -> impl Strategy<Value = Step> {
    let message = (0u32..3, prop_oneof![0usize..60, Just(500)], any::<bool>());
    let transaction = (
        proptest::collection::vec(message, 0..8),
        proptest::option::of((1usize..9, 1u32..3)),
    );
    prop_oneof![
        10 => transaction.prop_map(|(messages, abort)| Step::Transaction { messages, abort }),
        2 => Just(Step::Keepalive),
        1 => Just(Step::Control),
        6 => Just(Step::Sync),
        3 => Just(Step::Confirm),
        4 => Just(Step::Read),
        2 => Just(Step::Trim),
        1 => Just(Step::Reconnect),
        1 => Just(Step::Reopen),
        1 => Just(Step::Crash(Crash::Process)),
        2 => any::<u64>().prop_map(|seed| Step::Crash(Crash::Power { seed })),
        2 => (0u64..12).prop_map(Step::FailAfter),
        1 => any::<bool>().prop_map(Step::DiskFull),
        1 => Just(Step::Timeline),
    ]
}

struct World {
    disk: SimDisk,
    log: Option<Changelog>,
    reader: Option<Reader>,
    /// What the reader must get next, and everything after it.
    read_to: Lsn,
    history: Vec<Sent>,
    /// The first of the history that has not been sent on this connection.
    unsent: usize,
    now: u64,
    confirmed: Lsn,
    trimmed: Lsn,
    timeline: u32,
}

impl World {
    fn new() -> Self {
        let mut world = World {
            disk: SimDisk::new(),
            log: None,
            reader: None,
            read_to: Lsn::ZERO,
            history: Vec::new(),
            unsent: 0,
            now: 100,
            confirmed: Lsn::ZERO,
            trimmed: Lsn::ZERO,
            timeline: 1,
        };
        world.open();
        world
    }

    fn open(&mut self) {
        self.reader = None;
        self.log = None;
        let relied_on = self.confirmed.max(self.read_to);
        let log = Changelog::open(
            Arc::new(self.disk.clone()),
            &identity(),
            relied_on,
            options(),
        )
        .unwrap();
        log.check_confirmed(self.confirmed).unwrap();
        self.log = Some(log);
        self.reconnect();
        self.check_content();
    }

    /// The source starts again from what it was told.
    fn reconnect(&mut self) {
        self.unsent = self
            .history
            .iter()
            .position(|t| t.end > self.confirmed)
            .unwrap_or(self.history.len());
    }

    fn crash(&mut self, crash: Crash) {
        self.reader = None;
        self.log = None;
        self.disk.crash(crash);
        self.disk.limit_bytes(None);
        self.open();
    }

    fn log(&mut self) -> &mut Changelog {
        self.log.as_mut().unwrap()
    }

    /// An operation failed: for want of room the connection is closed; else the process ends, in any way.
    fn failed(&mut self, error: &ChangelogError) {
        if error.is_lack_of_room() {
            self.reconnect();
        } else {
            assert!(
                matches!(error, ChangelogError::Io { .. } | ChangelogError::Poisoned),
                "{error}"
            );
            self.crash(Crash::Power { seed: self.now });
        }
    }

    fn send(&mut self) -> Result<(), ChangelogError> {
        while let Some(sent) = self.history.get(self.unsent).cloned() {
            let log = self.log();
            let has = log.has(sent.commit);
            let mut spool = sent.spool_into(log)?;
            assert_eq!(spool.messages(), sent.kept().len() as u64);
            let appended = log.append(&mut spool, sent.commit, sent.end, Timestamp(5))?;
            assert_eq!(has, appended == Appended::Duplicate);
            self.unsent += 1;
        }
        Ok(())
    }

    /// A fresh reader gets the history from the start of the log to its durable end.
    fn check_content(&mut self) {
        let durable = self.log().durable();
        let start = durable.start().max(self.trimmed);
        let mut reader = durable.reader("check", start).unwrap();
        let mut expected = self
            .history
            .iter()
            .filter(|t| t.end > start && t.end <= durable.end());
        while let Some(record) = reader.next().unwrap() {
            if let Record::Transaction(transaction) = record {
                let sent = expected.next().expect("a transaction that was sent");
                check(sent, &transaction);
            }
        }
        assert_eq!(expected.map(|t| t.end).next(), None, "missing");
        assert_eq!(reader.end().max(durable.end()), durable.end());
        assert!(durable.end() >= self.confirmed.max(self.read_to));
    }

    fn read(&mut self) {
        if self.reader.is_none() {
            let durable = self.log().durable();
            self.reader = Some(durable.reader("projection", self.read_to).unwrap());
        }
        let Some(reader) = &mut self.reader else {
            return;
        };
        for _ in 0..2 {
            match reader.next().unwrap() {
                None => return,
                Some(Record::Transaction(transaction)) => {
                    let sent = self.history.iter().find(|t| t.end > self.read_to).unwrap();
                    check(sent, &transaction);
                    self.read_to = sent.end;
                }
                Some(Record::Keepalive { lsn, .. }) => {
                    assert!(lsn > self.read_to);
                    assert!(
                        !self
                            .history
                            .iter()
                            .any(|t| t.end > self.read_to && t.end <= lsn)
                    );
                    self.read_to = lsn;
                }
                Some(Record::Control { at, json }) => {
                    assert!(at >= self.read_to);
                    assert!(serde_json::from_slice::<serde_json::Value>(&json).is_ok());
                }
            }
        }
    }

    fn run(&mut self, step: &Step) -> Result<(), ChangelogError> {
        match step {
            Step::Transaction { messages, abort } => {
                let number = self.now;
                self.now += 50;
                self.history.push(Sent {
                    commit: Lsn(number + 10),
                    end: Lsn(number + 40),
                    xid: Xid(u32::try_from(number).unwrap()),
                    streamed: abort.is_some(),
                    messages: messages
                        .iter()
                        .enumerate()
                        .map(|(i, (sub, bytes, relation))| {
                            let first = if *relation { b'R' } else { b'I' };
                            let mut message = vec![u8::try_from(i).unwrap(); *bytes];
                            message.insert(0, first);
                            // Nothing comes from a subtransaction after it has aborted.
                            let sub = match abort {
                                Some((at, of)) if of != sub || i < *at => *sub,
                                _ => 0,
                            };
                            (sub, Bytes::from(message))
                        })
                        .collect(),
                    aborts: abort.iter().copied().collect(),
                });
                self.send()
            }
            Step::Keepalive => {
                self.send()?;
                self.now += 10;
                let now = Lsn(self.now);
                self.log().append_keepalive(now, Timestamp(9)).map(|_| ())
            }
            Step::Control => self.log().append_control(b"{}"),
            Step::Sync => {
                self.send()?;
                let end = self.log().sync()?;
                assert_eq!(end, self.log().durable().end());
                Ok(())
            }
            Step::Confirm => {
                self.confirmed = self.log().durable().end();
                Ok(())
            }
            Step::Read => {
                self.read();
                Ok(())
            }
            Step::Trim => {
                // State is durable where the reader stands, and the source has been told.
                let below = self.read_to.min(self.confirmed);
                self.trimmed = self.trimmed.max(below);
                self.log().trim_below(below)
            }
            Step::Reconnect => {
                self.reconnect();
                self.send()
            }
            Step::Reopen => {
                self.open();
                self.send()
            }
            Step::Crash(crash) => {
                self.crash(*crash);
                Ok(())
            }
            Step::FailAfter(operations) => {
                self.disk.fail_after(*operations);
                Ok(())
            }
            Step::DiskFull(full) => {
                self.disk.limit_bytes(full.then_some(2_000));
                Ok(())
            }
            Step::Timeline => {
                self.timeline += 1;
                let timeline = self.timeline;
                self.log().set_timeline(timeline)
            }
        }
    }
}

fn check(sent: &Sent, transaction: &readside_changelog::Transaction) {
    let head = &transaction.head;
    assert_eq!(
        (head.commit, head.end, head.xid, head.streamed),
        (sent.commit, sent.end, sent.xid, sent.streamed)
    );
    let messages: Vec<_> = transaction
        .messages()
        .unwrap()
        .collect::<Result<_, _>>()
        .unwrap();
    assert!(messages == sent.kept(), "{sent:?}");
    assert_eq!(head.messages, messages.len() as u64);
}

proptest! {
    #[test]
    fn a_log_is_a_stretch_of_the_history_whatever_crashes(steps in proptest::collection::vec(step(), 1..80)) {
        let mut world = World::new();
        for step in &steps {
            // An armed failure during the reopening itself is another crash.
            if let Step::Reopen = step {
                world.disk.crash(Crash::Process);
            }
            if let Err(error) = world.run(step) {
                world.failed(&error);
            }
            world.check_content();
        }
        // Whatever happened, it all gets there in the end.
        world.crash(Crash::Power { seed: 1 });
        world.send().unwrap();
        world.log().sync().unwrap();
        world.check_content();
        let all = world.history.last().map_or(Lsn::ZERO, |t| t.end);
        prop_assert!(world.log().durable().end() >= all);
        while world.read_to < all {
            world.read();
        }
        let end = world.log().durable().end();
        world.reader = None;
        world.trimmed = end;
        world.log().trim_below(end).unwrap();
        world.check_content();
        let left: Vec<_> = readside_changelog::Disk::list(&world.disk).unwrap();
        prop_assert!(left.iter().all(|(name, _)| !name.ends_with(".side")), "{left:?}");
    }
}

fn head(number: u64, messages: u64) -> TransactionHead {
    TransactionHead {
        commit: Lsn(number * 100 + 10),
        end: Lsn(number * 100 + 40),
        committed_at: Timestamp(1),
        xid: Xid(u32::try_from(number).unwrap()),
        streamed: false,
        messages,
    }
}

fn filled(disk: &SimDisk, transactions: u64) -> Changelog {
    let mut log =
        Changelog::open(Arc::new(disk.clone()), &identity(), Lsn::ZERO, options()).unwrap();
    for number in 1..=transactions {
        let message = Bytes::from(vec![b'I'; 100]);
        log.append_messages(&head(number, 1), [message].iter())
            .unwrap();
        log.sync().unwrap();
    }
    log
}

fn reopen(disk: &SimDisk, relied_on: Lsn) -> Result<Changelog, ChangelogError> {
    Changelog::open(Arc::new(disk.clone()), &identity(), relied_on, options())
}

fn names(disk: &SimDisk) -> Vec<String> {
    let mut names: Vec<_> = readside_changelog::Disk::list(disk)
        .unwrap()
        .into_iter()
        .map(|(name, _)| name)
        .collect();
    names.sort();
    names
}

#[test]
fn damage_below_the_confirmed_position_is_never_cut() {
    let disk = SimDisk::new();
    let log = filled(&disk, 2);
    let end = log.end();
    drop(log);
    disk.corrupt(&names(&disk)[0], 300).unwrap();
    let refusal = match reopen(&disk, end) {
        Ok(_) => panic!("opened a damaged log"),
        Err(e) => e,
    };
    assert!(
        matches!(refusal, ChangelogError::Corrupt { .. }),
        "{refusal}"
    );
    assert!(refusal.to_string().contains("hint:"), "{refusal}");
    let before = readside_changelog::Disk::list(&disk).unwrap();
    assert!(reopen(&disk, end).is_err());
    assert_eq!(readside_changelog::Disk::list(&disk).unwrap(), before);

    // The same damage above what anyone relied on is a torn tail.
    let log = reopen(&disk, Lsn::ZERO).unwrap();
    assert!(log.end() < end && log.cut_bytes() > 0);
    let refusal = log.check_confirmed(end).unwrap_err();
    assert!(
        matches!(refusal, ChangelogError::Behind { .. }),
        "{refusal}"
    );
}

#[test]
fn damage_in_the_middle_is_found_by_the_reader() {
    let disk = SimDisk::new();
    let log = filled(&disk, 20);
    let (end, files) = (log.end(), names(&disk));
    drop(log);
    assert!(files.len() > 3, "{files:?}");
    disk.corrupt(&files[1], 300).unwrap();
    let log = reopen(&disk, end).unwrap();
    let mut reader = log.durable().reader("test", Lsn::ZERO).unwrap();
    let error = loop {
        match reader.next() {
            Ok(Some(_)) => {}
            Ok(None) => panic!("read over the damage"),
            Err(e) => break e,
        }
    };
    assert!(
        matches!(&error, ChangelogError::Corrupt { file, .. } if *file == files[1]),
        "{error}"
    );
}

#[test]
fn a_missing_or_shortened_segment_is_noticed() {
    use readside_changelog::Disk;
    let disk = SimDisk::new();
    let log = filled(&disk, 20);
    let (end, files) = (log.end(), names(&disk));
    drop(log);
    let file = disk.open(&files[1]).unwrap();
    let bytes = file.len().unwrap();
    file.set_len(bytes - 1).unwrap();
    assert!(matches!(
        reopen(&disk, end),
        Err(ChangelogError::Corrupt { .. })
    ));
    disk.remove(&files[1]).unwrap();
    assert!(matches!(
        reopen(&disk, end),
        Err(ChangelogError::Corrupt { .. })
    ));
}

#[test]
fn an_empty_directory_is_behind_what_was_confirmed() {
    let refusal = match reopen(&SimDisk::new(), Lsn(7)) {
        Ok(_) => panic!("began a log anew"),
        Err(e) => e,
    };
    assert!(
        matches!(refusal, ChangelogError::Behind { .. }),
        "{refusal}"
    );
}

#[test]
fn another_source_is_refused() {
    let disk = SimDisk::new();
    drop(filled(&disk, 1));
    let other = SourceIdentity {
        slot: "other".to_owned(),
        ..identity()
    };
    let refusal = match Changelog::open(Arc::new(disk.clone()), &other, Lsn::ZERO, options()) {
        Ok(_) => panic!("opened another source's log"),
        Err(e) => e.to_string(),
    };
    assert!(
        refusal.contains("`other`") && refusal.contains("hint:"),
        "{refusal}"
    );
    // A promotion of the same source is not another source.
    let promoted = SourceIdentity {
        timeline: 2,
        ..identity()
    };
    Changelog::open(Arc::new(disk), &promoted, Lsn::ZERO, options()).unwrap();
}

#[test]
fn a_reader_holds_what_it_has_not_passed() {
    let disk = SimDisk::new();
    let mut log = filled(&disk, 20);
    let durable = log.durable();
    let mut reader = durable.reader("slow", Lsn::ZERO).unwrap();
    reader.next().unwrap();
    log.trim_below(log.end()).unwrap();
    assert_eq!(durable.start(), Lsn::ZERO);
    let holders = durable.holders();
    assert_eq!((holders.len(), holders[0].name.as_str()), (1, "slow"));
    let mut read = 1;
    while reader.next().unwrap().is_some() {
        read += 1;
    }
    assert_eq!(read, 20);
    let before = durable.bytes();
    log.trim_below(log.end()).unwrap();
    assert!(durable.bytes() < before);
    assert_eq!(names(&disk).len(), 1);
    assert!(matches!(
        durable.reader("late", Lsn::ZERO),
        Err(ChangelogError::Trimmed { .. })
    ));
}

#[test]
fn a_full_log_says_so_and_goes_on_once_trimmed() {
    let disk = SimDisk::new();
    let small = Options {
        bytes_max: 3_000,
        ..options()
    };
    let mut log = Changelog::open(Arc::new(disk), &identity(), Lsn::ZERO, small).unwrap();
    let message = [Bytes::from(vec![b'I'; 100])];
    let mut number = 0;
    let refusal = loop {
        number += 1;
        match log.append_messages(&head(number, 1), message.iter()) {
            Ok(_) => log.sync().unwrap(),
            Err(e) => break e,
        };
    };
    assert!(matches!(refusal, ChangelogError::Full { .. }), "{refusal}");
    // A large transaction on its way in counts, too.
    let mut spool = log.spool(Xid(9), false);
    let large = Bytes::from(vec![b'I'; 4_000]);
    assert!(spool.push(Xid(9), large).is_err());
    drop(spool);
    log.trim_below(log.end()).unwrap();
    log.append_messages(&head(number, 1), message.iter())
        .unwrap();
    log.sync().unwrap();
}

#[test]
fn transactions_out_of_commit_order_are_refused() {
    let disk = SimDisk::new();
    let mut log = filled(&disk, 2);
    let overlapping = TransactionHead {
        commit: Lsn(220),
        end: Lsn(290),
        ..head(2, 0)
    };
    let refusal = log.append_messages(&overlapping, [].iter()).unwrap_err();
    assert!(
        matches!(refusal, ChangelogError::OutOfOrder { .. }),
        "{refusal}"
    );
    assert_eq!(
        log.append_messages(&head(1, 0), [].iter()).unwrap(),
        Appended::Duplicate
    );
}

#[test]
fn a_restart_begins_at_its_position_and_forgets_the_rest() {
    let disk = SimDisk::new();
    let mut log = filled(&disk, 20);
    log.restart(&identity(), Lsn(9_000)).unwrap();
    assert_eq!(names(&disk).len(), 1);
    drop(log);
    disk.crash(Crash::Power { seed: 3 });
    let log = reopen(&disk, Lsn(9_000)).unwrap();
    assert_eq!(log.end(), Lsn(9_000));
    assert_eq!(log.durable().start(), Lsn(9_000));
    let mut reader = log.durable().reader("test", Lsn(9_000)).unwrap();
    assert!(reader.next().unwrap().is_none());
}

#[test]
fn a_segment_that_found_no_room_leaves_nothing_that_matters() {
    let disk = SimDisk::new();
    let mut log = filled(&disk, 2);
    disk.limit_bytes(Some(500));
    assert!(log.set_timeline(2).unwrap_err().is_lack_of_room());
    disk.limit_bytes(Some(560));
    assert!(log.set_timeline(2).unwrap_err().is_lack_of_room());
    disk.limit_bytes(None);
    log.set_timeline(2).unwrap();
    let end = log.end();
    drop(log);
    let log = reopen(&disk, end).unwrap();
    assert_eq!(log.identity().timeline, 2);
    assert!(names(&disk).iter().all(|name| name.ends_with(".log")));
}
