//! Licences and advisories of all dependencies, by `cargo-deny` and `deny.toml`.
//!
//! Always: a licence that is not allowed fails; advisories that can't be reached are said to be unchecked, and don't.

use std::path::PathBuf;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail};

/// Known to read this `deny.toml`.
const VERSION: &str = "0.20.2";

pub(crate) fn check() -> Result<ExitCode> {
    let program = program()?;
    let deny = |what: &[&str]| {
        Command::new(&program)
            .args(["--workspace", "check", "--hide-inclusion-graph"])
            .args(what)
            .output()
            .context("run `cargo-deny`")
    };
    let rules = deny(&["licenses", "bans", "sources"])?;
    eprint!("{}", String::from_utf8_lossy(&rules.stderr));
    if !rules.status.success() {
        println!("licences: FAILED");
        return Ok(ExitCode::FAILURE);
    }
    println!("licences: every dependency's licence is allowed");
    let advisories = deny(&["advisories"])?;
    let said = String::from_utf8_lossy(&advisories.stderr);
    if advisories.status.success() {
        println!("advisories: none against any dependency");
    } else if said.contains("failed to fetch advisory database") {
        println!("advisories: NOT CHECKED, the advisory database can't be reached from here");
    } else {
        eprint!("{said}");
        println!("advisories: FAILED");
        return Ok(ExitCode::FAILURE);
    }
    Ok(ExitCode::SUCCESS)
}

/// `cargo-deny` from the path; else one in the cache, built on the first call (some minutes).
fn program() -> Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path)
        .map(|dir| dir.join("cargo-deny"))
        .find(|program| program.is_file());
    if let Some(found) = found {
        return Ok(found);
    }
    let root = readside_tests::cache_dir().join("tools");
    let program = root.join("bin/cargo-deny");
    if !program.is_file() {
        eprintln!("building cargo-deny {VERSION}, once; this takes some minutes");
        let status = Command::new(std::env::var_os("CARGO").unwrap_or("cargo".into()))
            .args([
                "install",
                "cargo-deny",
                "--locked",
                "--quiet",
                "--version",
                VERSION,
            ])
            .arg("--root")
            .arg(&root)
            // It runs for a second; what counts is how fast it is built.
            .env("CARGO_PROFILE_RELEASE_LTO", "off")
            .env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "1")
            .env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "16")
            .env("CARGO_TARGET_DIR", root.join("target"))
            .status()
            .context("run `cargo install`")?;
        if !status.success() {
            bail!("cargo-deny can't be installed\n  hint: cargo install cargo-deny --locked");
        }
        // Best effort: only takes up space.
        let _ = std::fs::remove_dir_all(root.join("target"));
    }
    Ok(program)
}
