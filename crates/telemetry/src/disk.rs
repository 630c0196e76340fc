//! How full a file system is.
//!
//! In: a path on it. Out: a [`Room`], or `None` where it can't be told.

use std::path::Path;

/// A reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Room {
    pub(crate) bytes: u64,
    /// What a process without privileges may still use.
    pub(crate) free_bytes: u64,
}

pub(crate) fn read(path: &Path) -> Option<Room> {
    let found = rustix::fs::statvfs(path).ok()?;
    Some(Room {
        bytes: found.f_blocks.checked_mul(found.f_frsize)?,
        free_bytes: found.f_bavail.checked_mul(found.f_frsize)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_says_what_df_says() {
        let dir = std::env::temp_dir();
        let output = std::process::Command::new("df")
            .args(["--output=size", "-B1"])
            .arg(&dir)
            .output()
            .expect("df");
        let text = String::from_utf8_lossy(&output.stdout);
        let size: u64 = text
            .lines()
            .nth(1)
            .and_then(|line| line.trim().parse().ok())
            .expect("a size");
        let room = read(&dir).expect("a reading");
        assert_eq!(room.bytes, size);
        assert!(
            room.free_bytes > 0 && room.free_bytes <= room.bytes,
            "{room:?}"
        );
        assert_eq!(read(Path::new("/nowhere/at/all")), None);
    }
}
