//! The data directory: locked by one process, and with a name by which sinks recognise it.
//!
//! | file | holds |
//! | --- | --- |
//! | `lock` | nothing; an exclusive lock on it is held while `run` or `drop` works here |
//! | `instance` | 16 hex digits, drawn when the directory was made: the instance in every marker |
//!
//! The rest belongs to changelog and state.

use std::fs::{File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

/// A locked data directory.
#[derive(Debug)]
pub struct DataDir {
    /// The directory.
    pub path: PathBuf,
    /// The instance in markers.
    pub instance: String,
    /// Drawn at each opening, so that a cloned directory is recognised.
    pub owner_epoch: String,
    _lock: File,
}

/// Why a data directory can't be used.
#[derive(Debug, thiserror::Error)]
pub enum DataDirError {
    /// Somebody works in it.
    #[error("data directory `{}` is in use by another readside\n  hint: stop it first, or set `data.dir` to another directory", .0.display())]
    Busy(PathBuf),
    /// It is not there, though it should be.
    #[error("data directory `{}` is not there, so what this instance wrote can't be told from what others did\n  hint: `data.dir` has to be the directory that `readside run` used", .0.display())]
    Missing(PathBuf),
    /// Its name can't be read.
    #[error("`{}` is damaged\n  hint: restore it, or start with an empty data directory; everything is then loaded again", .0.display())]
    Damaged(PathBuf),
    /// The file system says no.
    #[error("data directory `{}`: {source}", path.display())]
    Io {
        /// The directory.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl DataDir {
    /// Opens and locks a directory; makes it if it is not there.
    ///
    /// # Errors
    /// It is in use, damaged, or the file system says no.
    pub fn open(path: &Path) -> Result<DataDir, DataDirError> {
        let io = |source| DataDirError::Io {
            path: path.to_owned(),
            source,
        };
        std::fs::create_dir_all(path).map_err(io)?;
        let lock = lock(path)?;
        let file = path.join("instance");
        let instance = match std::fs::read_to_string(&file) {
            Ok(text) => parse_instance(&text).ok_or_else(|| DataDirError::Damaged(file.clone()))?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let instance = format!("{:016x}", rand::random::<u64>());
                write_durably(path, &file, &instance).map_err(io)?;
                instance
            }
            Err(error) => return Err(io(error)),
        };
        Ok(DataDir {
            path: path.to_owned(),
            instance,
            owner_epoch: format!("{:016x}", rand::random::<u64>()),
            _lock: lock,
        })
    }

    /// Opens and locks a directory that a `run` has made.
    ///
    /// # Errors
    /// As [`DataDir::open`], or it is not there.
    pub fn open_existing(path: &Path) -> Result<DataDir, DataDirError> {
        if path.join("instance").is_file() {
            DataDir::open(path)
        } else {
            Err(DataDirError::Missing(path.to_owned()))
        }
    }
}

fn lock(path: &Path) -> Result<File, DataDirError> {
    let io = |source| DataDirError::Io {
        path: path.to_owned(),
        source,
    };
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(path.join("lock"))
        .map_err(io)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(DataDirError::Busy(path.to_owned())),
        Err(TryLockError::Error(error)) => Err(io(error)),
    }
}

fn parse_instance(text: &str) -> Option<String> {
    let text = text.trim();
    let hex = |c: char| c.is_ascii_digit() || ('a'..='f').contains(&c);
    (text.len() == 16 && text.chars().all(hex)).then(|| text.to_owned())
}

/// Whole or not at all, whatever happens.
fn write_durably(dir: &Path, file: &Path, text: &str) -> io::Result<()> {
    use std::io::Write;

    let draft = file.with_extension("new");
    let mut out = File::create(&draft)?;
    writeln!(out, "{text}")?;
    out.sync_all()?;
    std::fs::rename(&draft, file)?;
    File::open(dir)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instance_keeps_its_name_and_changes_its_epoch() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("deep/data");
        assert!(matches!(
            DataDir::open_existing(&path),
            Err(DataDirError::Missing(_))
        ));
        let first = DataDir::open(&path).unwrap();
        assert!(matches!(DataDir::open(&path), Err(DataDirError::Busy(_))));
        let (instance, epoch) = (first.instance.clone(), first.owner_epoch.clone());
        drop(first);
        let second = DataDir::open_existing(&path).unwrap();
        assert_eq!(second.instance, instance);
        assert_ne!(second.owner_epoch, epoch);
        drop(second);
        std::fs::write(path.join("instance"), "").unwrap();
        assert!(matches!(
            DataDir::open(&path),
            Err(DataDirError::Damaged(_))
        ));
    }
}
