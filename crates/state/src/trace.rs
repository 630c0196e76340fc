//! A record of everything that is asked of the state, to be replayed against other stores (`benches/stores`).
//!
//! Only with the feature `trace`, and then only if `READSIDE_STATE_TRACE` names a file, which is appended to. Otherwise
//! nothing here does anything. The events of all threads are in one order, in which they give the same answers again.
//!
//! Numbers are 4 bytes, little endian; `bytes` are a length and so many bytes.
//!
//! | event | fields |
//! | --- | --- |
//! | 1 open | |
//! | 2 get | reader, key bytes, 1 byte: whether there was a value |
//! | 3 scan | reader, 1 byte: whether descending, prefix bytes, 1 byte: whether from a key on, its bytes, entries taken, 1 byte: whether it came to the end |
//! | 4 put | key bytes, value bytes |
//! | 5 delete | key bytes |
//! | 6 commit | |
//! | 7 rollback | |
//! | 8 snapshot | its number |
//! | 9 snapshot dropped | its number |
//! | 10 load | entries; each: key bytes, 1 byte: whether there is a value, value bytes |
//! | 11 adopt | |
//!
//! A reader is 0 for the live state, else one more than the snapshot's number. Large transactions are not recorded as
//! such.

/// Who reads.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Reader {
    Live,
    #[cfg_attr(
        not(feature = "trace"),
        allow(dead_code, reason = "read by the recorder alone")
    )]
    Snapshot(u64),
}

#[cfg(feature = "trace")]
mod recorder {
    use std::fs::File;
    use std::io::{BufWriter, Write};
    use std::sync::{Mutex, OnceLock};

    use super::Reader;
    use crate::snapshot::lock;

    static FILE: OnceLock<Option<Mutex<BufWriter<File>>>> = OnceLock::new();

    fn file() -> Option<&'static Mutex<BufWriter<File>>> {
        FILE.get_or_init(|| {
            let path = std::env::var_os("READSIDE_STATE_TRACE")?;
            match File::options().append(true).create(true).open(&path) {
                Ok(file) => Some(Mutex::new(BufWriter::with_capacity(1 << 20, file))),
                Err(error) => {
                    tracing::error!(
                        error = &error as &dyn std::error::Error,
                        "cannot record to `{}`",
                        path.display()
                    );
                    None
                }
            }
        })
        .as_ref()
    }

    /// One event on its way to the file.
    struct Event(Vec<u8>);

    impl Event {
        fn new(tag: u8) -> Self {
            Event(vec![tag])
        }

        /// Sizes and counts beyond 4 GiB make a trace that cannot be read, which the replay says.
        fn number(mut self, number: impl TryInto<u32>) -> Self {
            let number = number.try_into().unwrap_or(u32::MAX);
            self.0.extend_from_slice(&number.to_le_bytes());
            self
        }

        fn bytes(self, bytes: &[u8]) -> Self {
            let mut event = self.number(bytes.len());
            event.0.extend_from_slice(bytes);
            event
        }

        fn flag(mut self, flag: bool) -> Self {
            self.0.push(u8::from(flag));
            self
        }

        fn reader(self, reader: Reader) -> Self {
            match reader {
                Reader::Live => self.number(0_u32),
                Reader::Snapshot(number) => self.number(number + 1),
            }
        }

        fn record(self, is_last: bool) {
            let Some(file) = file() else { return };
            let mut file = lock(file);
            let written = file
                .write_all(&self.0)
                .and_then(|()| if is_last { file.flush() } else { Ok(()) });
            if let Err(error) = written {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "the record of the state has a gap"
                );
            }
        }
    }

    pub(crate) fn open() {
        Event::new(1).record(false);
    }

    pub(crate) fn get(reader: Reader, key: &[u8], found: bool) {
        Event::new(2)
            .reader(reader)
            .bytes(key)
            .flag(found)
            .record(false);
    }

    pub(crate) fn set(key: &[u8], value: Option<&[u8]>) {
        match value {
            Some(value) => Event::new(4).bytes(key).bytes(value).record(false),
            None => Event::new(5).bytes(key).record(false),
        }
    }

    /// So often that nothing need be done at the end.
    pub(crate) fn commit() {
        Event::new(6).record(true);
    }

    pub(crate) fn rollback() {
        Event::new(7).record(false);
    }

    pub(crate) fn snapshot(number: u64) {
        Event::new(8).number(number).record(false);
    }

    pub(crate) fn snapshot_dropped(number: u64) {
        Event::new(9).number(number).record(false);
    }

    /// A batch of a loader, recorded when it is whole.
    pub(crate) struct Load {
        entries: u32,
        event: Event,
    }

    impl Load {
        pub(crate) fn new() -> Self {
            Load {
                entries: 0,
                event: Event(Vec::new()),
            }
        }

        pub(crate) fn entry(&mut self, key: &[u8], value: Option<&[u8]>) {
            let event = std::mem::replace(&mut self.event, Event(Vec::new()));
            self.event = event
                .bytes(key)
                .flag(value.is_some())
                .bytes(value.unwrap_or_default());
            self.entries += 1;
        }

        pub(crate) fn record(self) {
            let mut event = Event::new(10).number(self.entries);
            event.0.extend_from_slice(&self.event.0);
            event.record(false);
        }
    }

    pub(crate) fn adopt() {
        Event::new(11).record(false);
    }

    /// A scan, recorded with what was taken from it when it ends.
    pub(crate) struct Pass {
        event: Option<Event>,
        taken: u32,
        ended: bool,
    }

    impl Pass {
        pub(crate) fn new(reader: Reader, back: bool, prefix: &[u8], from: Option<&[u8]>) -> Self {
            let event = || {
                Event::new(3)
                    .reader(reader)
                    .flag(back)
                    .bytes(prefix)
                    .flag(from.is_some())
                    .bytes(from.unwrap_or_default())
            };
            Pass {
                event: file().map(|_| event()),
                taken: 0,
                ended: false,
            }
        }

        pub(crate) fn step(&mut self) {
            self.taken += 1;
        }

        pub(crate) fn end(&mut self) {
            self.ended = true;
        }
    }

    impl Drop for Pass {
        fn drop(&mut self) {
            if let Some(event) = self.event.take() {
                event.number(self.taken).flag(self.ended).record(false);
            }
        }
    }
}

#[cfg(not(feature = "trace"))]
mod recorder {
    use super::Reader;

    pub(crate) fn open() {}
    pub(crate) fn get(_: Reader, _: &[u8], _: bool) {}
    pub(crate) fn set(_: &[u8], _: Option<&[u8]>) {}
    pub(crate) fn commit() {}
    pub(crate) fn rollback() {}
    pub(crate) fn snapshot(_: u64) {}
    pub(crate) fn snapshot_dropped(_: u64) {}
    pub(crate) fn adopt() {}

    pub(crate) struct Load;

    impl Load {
        pub(crate) fn new() -> Self {
            Load
        }
        #[allow(clippy::unused_self, reason = "as the recorder's")]
        pub(crate) fn entry(&mut self, _: &[u8], _: Option<&[u8]>) {}
        pub(crate) fn record(self) {}
    }

    pub(crate) struct Pass;

    impl Pass {
        pub(crate) fn new(_: Reader, _: bool, _: &[u8], _: Option<&[u8]>) -> Self {
            Pass
        }
        #[allow(clippy::unused_self, reason = "as the recorder's")]
        pub(crate) fn step(&mut self) {}
        #[allow(clippy::unused_self, reason = "as the recorder's")]
        pub(crate) fn end(&mut self) {}
    }
}

pub(crate) use recorder::{
    Load, Pass, adopt, commit, get, open, rollback, set, snapshot, snapshot_dropped,
};
