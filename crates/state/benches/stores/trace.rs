//! A recorded trace, event by event. `src/trace.rs` of the crate has the format.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use crate::Outcome;

/// One event. Keys and values are borrowed from the reader's buffer.
#[derive(Debug)]
pub(crate) enum Event<'a> {
    Open,
    Get {
        reader: u32,
        key: &'a [u8],
        found: bool,
    },
    Scan {
        reader: u32,
        pass: Pass<'a>,
        taken: u32,
    },
    Put {
        key: &'a [u8],
        value: &'a [u8],
    },
    Delete {
        key: &'a [u8],
    },
    Commit,
    Rollback,
    Snapshot {
        number: u32,
    },
    SnapshotDropped {
        number: u32,
    },
    Load {
        entries: Vec<LoadEntry>,
    },
    Adopt,
}

/// An entry of a bulk load; `None` deletes.
pub(crate) type LoadEntry = (Vec<u8>, Option<Vec<u8>>);

/// What a scan is of, and how far it went.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pass<'a> {
    pub(crate) back: bool,
    pub(crate) prefix: &'a [u8],
    pub(crate) from: Option<&'a [u8]>,
    /// How often the next entry was asked for.
    pub(crate) asked: u32,
}

impl Pass<'_> {
    /// `lower <= key < upper`
    pub(crate) fn range(&self) -> (Vec<u8>, Vec<u8>) {
        let mut lower = self.prefix.to_vec();
        let mut upper = lower.clone();
        while upper.last() == Some(&0xFF) {
            upper.pop();
        }
        match upper.last_mut() {
            Some(last) => *last += 1,
            None => upper.push(0xFF),
        }
        match self.from {
            Some(from) if self.back && from < upper.as_slice() => {
                upper = [from, &[0]].concat();
            }
            Some(from) if !self.back && from > lower.as_slice() => lower = from.to_vec(),
            _ => {}
        }
        (lower, upper)
    }
}

/// Reads a trace from its beginning.
pub(crate) struct Trace {
    file: BufReader<File>,
    buffer: Vec<u8>,
}

impl Trace {
    pub(crate) fn open(path: &Path) -> Outcome<Self> {
        let file =
            File::open(path).map_err(|e| format!("cannot open `{}`: {e}", path.display()))?;
        Ok(Trace {
            file: BufReader::with_capacity(1 << 20, file),
            buffer: Vec::new(),
        })
    }

    /// How many times the state was opened.
    pub(crate) fn openings(path: &Path) -> Outcome<usize> {
        let mut trace = Trace::open(path)?;
        let mut openings = 0;
        while let Some(event) = trace.next()? {
            openings += usize::from(matches!(event, Event::Open));
        }
        Ok(openings)
    }

    /// The next event; `None` at the end.
    pub(crate) fn next(&mut self) -> Outcome<Option<Event<'_>>> {
        if self.file.fill_buf()?.is_empty() {
            return Ok(None);
        }
        self.buffer.clear();
        let event = match self.byte()? {
            1 => Event::Open,
            2 => {
                let reader = self.number()?;
                let key = self.bytes()?;
                let found = self.flag()?;
                Event::Get {
                    reader,
                    key: &self.buffer[..key],
                    found,
                }
            }
            3 => {
                let reader = self.number()?;
                let back = self.flag()?;
                let prefix = self.bytes()?;
                let has_from = self.flag()?;
                self.bytes()?;
                let taken = self.number()?;
                let ended = self.flag()?;
                let (prefix, from) = self.buffer.split_at(prefix);
                let pass = Pass {
                    back,
                    prefix,
                    from: has_from.then_some(from),
                    asked: taken + u32::from(ended),
                };
                Event::Scan {
                    reader,
                    pass,
                    taken,
                }
            }
            4 => {
                let key = self.bytes()?;
                self.bytes()?;
                let (key, value) = self.buffer.split_at(key);
                Event::Put { key, value }
            }
            5 => {
                self.bytes()?;
                Event::Delete { key: &self.buffer }
            }
            6 => Event::Commit,
            7 => Event::Rollback,
            8 => Event::Snapshot {
                number: self.number()?,
            },
            9 => Event::SnapshotDropped {
                number: self.number()?,
            },
            10 => {
                let count = self.number()?;
                let mut entries = Vec::new();
                for _ in 0..count {
                    entries.push(self.load_entry()?);
                }
                Event::Load { entries }
            }
            11 => Event::Adopt,
            tag => return Err(format!("the trace has an event {tag}, which is none").into()),
        };
        Ok(Some(event))
    }

    fn load_entry(&mut self) -> Outcome<LoadEntry> {
        self.buffer.clear();
        let key = self.bytes()?;
        let has_value = self.flag()?;
        self.bytes()?;
        let (key, value) = self.buffer.split_at(key);
        Ok((key.to_vec(), has_value.then(|| value.to_vec())))
    }

    fn byte(&mut self) -> Outcome<u8> {
        let mut byte = [0];
        self.file.read_exact(&mut byte)?;
        Ok(byte[0])
    }

    fn flag(&mut self) -> Outcome<bool> {
        Ok(self.byte()? != 0)
    }

    fn number(&mut self) -> Outcome<u32> {
        let mut bytes = [0; 4];
        self.file.read_exact(&mut bytes)?;
        Ok(u32::from_le_bytes(bytes))
    }

    /// Appends to the buffer; gives how many.
    fn bytes(&mut self) -> Outcome<usize> {
        let length = usize::try_from(self.number()?)?;
        let from = self.buffer.len();
        self.buffer.resize(from + length, 0);
        self.file.read_exact(&mut self.buffer[from..])?;
        Ok(length)
    }
}
