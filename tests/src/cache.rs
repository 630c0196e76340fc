//! Where fetched and unpacked servers are kept between runs.
//!
//! In: a name and a recipe. Out: a directory that holds the recipe's result.
//!
//! Always: a directory is there completely or not at all, and is made once however many processes ask at the same time.

use std::fs::{self, File};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::place;

/// The cache: `READSIDE_SERVICES`, else `.services` in the workspace.
///
/// Servers run as another user when we are root, so a workspace below a private home directory won't do; then the cache
/// is in `/var/tmp`.
pub fn cache_dir() -> PathBuf {
    if let Some(dir) = std::env::var_os("READSIDE_SERVICES") {
        return PathBuf::from(dir);
    }
    let workspace = workspace();
    if place::server_user().is_some() && !reachable_by_all(&workspace) {
        let mark = workspace.metadata().map_or(0, |m| m.ino());
        return PathBuf::from(format!("/var/tmp/readside-services-{mark:x}"));
    }
    workspace.join(".services")
}

/// The root of the workspace.
pub fn workspace() -> PathBuf {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests.parent().unwrap_or(tests).to_path_buf()
}

fn reachable_by_all(path: &Path) -> bool {
    path.ancestors().all(|dir| {
        dir.metadata()
            .is_ok_and(|m| m.permissions().mode() & 0o001 != 0)
    })
}

/// Holds `<name>.lock` in the cache until it is dropped. Blocks.
pub(crate) fn lock(name: &str) -> Result<File> {
    let dir = cache_dir();
    fs::create_dir_all(&dir).with_context(|| format!("create `{}`", dir.display()))?;
    let path = dir.join(format!("{name}.lock"));
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .with_context(|| format!("open `{}`", path.display()))?;
    file.lock()
        .with_context(|| format!("lock `{}`", path.display()))?;
    Ok(file)
}

/// The directory `name` in the cache, made by `recipe` (which fills the directory that it is given) if it isn't there.
pub(crate) fn installed(name: &str, recipe: impl FnOnce(&Path) -> Result<()>) -> Result<PathBuf> {
    let dir = cache_dir().join(name);
    if dir.is_dir() {
        return Ok(dir);
    }
    let _lock = lock(name)?;
    if dir.is_dir() {
        return Ok(dir);
    }
    let unfinished = cache_dir().join(format!("{name}.unfinished"));
    if unfinished.exists() {
        fs::remove_dir_all(&unfinished)
            .with_context(|| format!("remove `{}`", unfinished.display()))?;
    }
    fs::create_dir_all(&unfinished)
        .with_context(|| format!("create `{}`", unfinished.display()))?;
    recipe(&unfinished).with_context(|| format!("install `{name}`"))?;
    fs::rename(&unfinished, &dir).with_context(|| format!("rename to `{}`", dir.display()))?;
    Ok(dir)
}
