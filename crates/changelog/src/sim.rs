//! A disk in memory that crashes as real ones do, for tests that explore schedules.
//!
//! In: file operations, and a seed for each crash. Out: after a power cut, what was synced, and of the rest whatever the
//! seed says: each touched sector of a file may be old or new, its length anything in between, and of the names any
//! first part of the changes since the directory was synced.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::disk::{Disk, DiskFile};

const SECTOR_BYTES: usize = 512;

/// How the machine goes down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Crash {
    /// The process dies; the page cache survives.
    Process,
    /// The power goes; what was not synced survives in part, as the seed says.
    Power {
        /// Decides what survives.
        seed: u64,
    },
}

#[derive(Debug, Clone, Default)]
struct Inode {
    durable: Vec<u8>,
    current: Vec<u8>,
}

#[derive(Debug, Clone)]
enum NameChange {
    Set(String, u64),
    Remove(String),
    Rename(String, String),
}

#[derive(Debug, Default)]
struct Machine {
    inodes: BTreeMap<u64, Inode>,
    next_inode: u64,
    durable_names: BTreeMap<String, u64>,
    names: BTreeMap<String, u64>,
    /// Since the directory was last synced.
    name_changes: Vec<NameChange>,
    /// Handles of an earlier life are dead.
    life: u64,
    /// After this many more changing operations everything fails until the crash.
    operations_left: Option<u64>,
    /// Writes fail for want of space above this many bytes.
    bytes_max: Option<u64>,
    operations: u64,
}

/// The simulated disk; clones share it.
#[derive(Debug, Clone, Default)]
pub struct SimDisk {
    machine: Arc<Mutex<Machine>>,
}

impl SimDisk {
    /// An empty disk.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Lets `operations` more writes, syncs and name changes succeed; then all fail until [`SimDisk::crash`].
    pub fn fail_after(&self, operations: u64) {
        self.machine().operations_left = Some(operations);
    }

    /// Sets or lifts a limit on the bytes of all files.
    pub fn limit_bytes(&self, bytes_max: Option<u64>) {
        self.machine().bytes_max = bytes_max;
    }

    /// How many writes, syncs and name changes there were, ever.
    #[must_use]
    pub fn operations(&self) -> u64 {
        self.machine().operations
    }

    /// Goes down and comes up again. Files opened before are dead.
    pub fn crash(&self, crash: Crash) {
        let mut machine = self.machine();
        let machine = &mut *machine;
        machine.life += 1;
        machine.operations_left = None;
        if let Crash::Power { seed } = crash {
            let mut dice = Dice(seed);
            for inode in machine.inodes.values_mut() {
                inode.current = torn(inode, &mut dice);
            }
            let survive = dice.below(machine.name_changes.len() + 1);
            let mut names = machine.durable_names.clone();
            for change in machine.name_changes.iter().take(survive) {
                apply(&mut names, change);
            }
            machine.names = names;
        }
        for inode in machine.inodes.values_mut() {
            inode.durable = inode.current.clone();
        }
        machine.durable_names = machine.names.clone();
        machine.name_changes.clear();
        let names = &machine.names;
        machine
            .inodes
            .retain(|number, _| names.values().any(|n| n == number));
    }

    /// Changes one byte of a file on the platter.
    pub fn corrupt(&self, name: &str, offset: usize) -> io::Result<()> {
        let mut machine = self.machine();
        let number = *machine.names.get(name).ok_or(io::ErrorKind::NotFound)?;
        let inode = machine.inodes.get_mut(&number);
        let byte = inode
            .and_then(|inode| inode.current.get_mut(offset))
            .ok_or(io::ErrorKind::UnexpectedEof)?;
        *byte ^= 0x55;
        Ok(())
    }

    fn machine(&self) -> MutexGuard<'_, Machine> {
        self.machine.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a power cut leaves of a file.
fn torn(inode: &Inode, dice: &mut Dice) -> Vec<u8> {
    let (old, new) = (&inode.durable, &inode.current);
    if old == new {
        return new.clone();
    }
    let shortest = old.len().min(new.len());
    let longest = old.len().max(new.len());
    // Mostly one of the ends, sometimes anything in between.
    let bytes = match dice.below(4) {
        0 => old.len(),
        1 => new.len(),
        _ => shortest + dice.below(longest - shortest + 1),
    };
    let mut out = vec![0; bytes];
    for (i, sector) in out.chunks_mut(SECTOR_BYTES).enumerate() {
        let from = i * SECTOR_BYTES;
        let source = if dice.below(2) == 0 { old } else { new };
        if let Some(rest) = source.get(from..) {
            let n = rest.len().min(sector.len());
            sector[..n].copy_from_slice(&rest[..n]);
        }
    }
    out
}

fn apply(names: &mut BTreeMap<String, u64>, change: &NameChange) {
    match change {
        NameChange::Set(name, inode) => {
            names.insert(name.clone(), *inode);
        }
        NameChange::Remove(name) => {
            names.remove(name);
        }
        NameChange::Rename(from, to) => {
            if let Some(inode) = names.remove(from) {
                names.insert(to.clone(), inode);
            }
        }
    }
}

impl Machine {
    /// Counts an operation that changes something, and fails it if its time has come.
    fn step(&mut self) -> io::Result<()> {
        self.operations += 1;
        match &mut self.operations_left {
            Some(0) => Err(io::Error::other("simulated failure")),
            Some(left) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn change_name(&mut self, change: NameChange) {
        apply(&mut self.names, &change);
        self.name_changes.push(change);
    }

    fn bytes(&self) -> usize {
        self.names
            .values()
            .filter_map(|number| self.inodes.get(number))
            .map(|inode| inode.current.len())
            .sum()
    }
}

impl Disk for SimDisk {
    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let mut machine = self.machine();
        machine.step()?;
        let number = machine.next_inode;
        machine.next_inode += 1;
        machine.inodes.insert(number, Inode::default());
        machine.change_name(NameChange::Set(name.to_owned(), number));
        Ok(Arc::new(SimFile {
            disk: self.clone(),
            number,
            life: machine.life,
        }))
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let machine = self.machine();
        let number = *machine.names.get(name).ok_or(io::ErrorKind::NotFound)?;
        Ok(Arc::new(SimFile {
            disk: self.clone(),
            number,
            life: machine.life,
        }))
    }

    fn list(&self) -> io::Result<Vec<(String, u64)>> {
        let machine = self.machine();
        Ok(machine
            .names
            .iter()
            .filter_map(|(name, number)| {
                let bytes = machine.inodes.get(number)?.current.len();
                Some((name.clone(), crate::frames::widen(bytes)))
            })
            .collect())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut machine = self.machine();
        machine.step()?;
        if !machine.names.contains_key(name) {
            return Err(io::ErrorKind::NotFound.into());
        }
        machine.change_name(NameChange::Remove(name.to_owned()));
        Ok(())
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut machine = self.machine();
        machine.step()?;
        if !machine.names.contains_key(from) {
            return Err(io::ErrorKind::NotFound.into());
        }
        machine.change_name(NameChange::Rename(from.to_owned(), to.to_owned()));
        Ok(())
    }

    fn sync_dir(&self) -> io::Result<()> {
        let mut machine = self.machine();
        machine.step()?;
        machine.durable_names = machine.names.clone();
        machine.name_changes.clear();
        Ok(())
    }
}

#[derive(Debug)]
struct SimFile {
    disk: SimDisk,
    number: u64,
    life: u64,
}

impl SimFile {
    /// The machine and this file in it, if both are still alive.
    fn with<T>(&self, changes: bool, work: impl FnOnce(&mut Inode) -> T) -> io::Result<T> {
        let mut machine = self.disk.machine();
        if machine.life != self.life {
            return Err(io::Error::other("opened before the crash"));
        }
        if changes {
            machine.step()?;
        }
        machine
            .inodes
            .get_mut(&self.number)
            .map(work)
            .ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

impl DiskFile for SimFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.with(false, |inode| {
            let offset = usize::try_from(offset).unwrap_or(usize::MAX);
            let rest = inode.current.get(offset..).unwrap_or_default();
            let n = rest.len().min(buffer.len());
            buffer[..n].copy_from_slice(&rest[..n]);
            n
        })
    }

    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let offset = usize::try_from(offset).map_err(io::Error::other)?;
        let mut fits = bytes.len();
        {
            let machine = self.disk.machine();
            if let Some(bytes_max) = machine.bytes_max {
                let used = crate::frames::widen(machine.bytes());
                let left = bytes_max.saturating_sub(used);
                fits = fits.min(usize::try_from(left).unwrap_or(usize::MAX));
            }
        }
        self.with(true, |inode| {
            // A full disk takes what it can of a write.
            let end = offset + fits;
            if inode.current.len() < end {
                inode.current.resize(end, 0);
            }
            inode.current[offset..end].copy_from_slice(&bytes[..fits]);
        })?;
        if fits < bytes.len() {
            return Err(io::ErrorKind::StorageFull.into());
        }
        Ok(())
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        let bytes = usize::try_from(bytes).map_err(io::Error::other)?;
        self.with(true, |inode| inode.current.resize(bytes, 0))
    }

    fn sync(&self) -> io::Result<()> {
        self.with(true, |inode| inode.durable.clone_from(&inode.current))
    }

    fn len(&self) -> io::Result<u64> {
        self.with(false, |inode| crate::frames::widen(inode.current.len()))
    }
}

/// A small generator of our own, so that a seed means the same for ever.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: usize) -> usize {
        let n = u64::try_from(n.max(1)).unwrap_or(u64::MAX);
        usize::try_from(self.next() % n).unwrap_or(0)
    }
}
