//! Stores compared on a recorded trace: `cargo bench -p readside-state --bench stores -- TRACE`.
//!
//! A trace is recorded by a build with the feature `trace` of this crate, with `READSIDE_STATE_TRACE=FILE` in its
//! environment. Start it with an empty data directory, stop it when the views are filled, start it again under load: what
//! comes after the last start is measured. The same trace is given to each store, in a process of its own, in turns;
//! every answer is compared with the recorded one, and the contents in the end with each other.
#![allow(clippy::print_stdout, reason = "the result")]

mod direct_fjall;
mod direct_lmdb;
mod fjall_base;
mod meter;
mod overlay;
mod replay;
mod store;
mod trace;

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use crate::direct_fjall::DirectFjall;
use crate::direct_lmdb::DirectLmdb;
use crate::fjall_base::FjallBase;
use crate::overlay::Overlay;
use crate::replay::{Figures, replay};
use crate::store::{Nothing, Store};

type Outcome<T> = Result<T, Box<dyn Error>>;

const USAGE: &str = "usage: cargo bench -p readside-state --bench stores -- TRACE [--rounds N] [--flush-ms N] [--commits N] [--only NAME]";

/// What a trace is replayed against.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Variant {
    Nothing,
    OverlayLmdb,
    OverlayFjall,
    DirectFjall,
    DirectLmdb,
}

impl Variant {
    const ALL: [Variant; 5] = [
        Variant::Nothing,
        Variant::OverlayLmdb,
        Variant::OverlayFjall,
        Variant::DirectFjall,
        Variant::DirectLmdb,
    ];

    fn name(self) -> &'static str {
        match self {
            Variant::Nothing => "trace-alone",
            Variant::OverlayLmdb => "overlay-lmdb",
            Variant::OverlayFjall => "overlay-fjall",
            Variant::DirectFjall => "direct-fjall",
            Variant::DirectLmdb => "direct-lmdb",
        }
    }

    fn of_name(name: &str) -> Outcome<Self> {
        Self::ALL
            .into_iter()
            .find(|variant| variant.name() == name)
            .ok_or_else(|| format!("no store is called `{name}`").into())
    }

    fn open(self, dir: &Path, interval: Duration) -> Outcome<Box<dyn Store>> {
        Ok(match self {
            Variant::Nothing => Box::new(Nothing),
            Variant::OverlayLmdb => Box::new(Overlay::on_lmdb(dir, interval)?),
            Variant::OverlayFjall => {
                Box::new(Overlay::on(Arc::new(FjallBase::open(dir)?), interval)?)
            }
            Variant::DirectFjall => Box::new(DirectFjall::open(dir, interval)?),
            Variant::DirectLmdb => Box::new(DirectLmdb::open(dir, interval)?),
        })
    }
}

struct Arguments {
    trace: PathBuf,
    rounds: usize,
    flush_ms: u64,
    /// How much of the trace.
    commits_max: u64,
    /// Replay here, once, and print a line of figures.
    only: Option<Variant>,
}

impl Arguments {
    fn parse() -> Outcome<Option<Self>> {
        let mut trace = None;
        let (mut rounds, mut flush_ms, mut commits_max, mut only) = (3, 3000, u64::MAX, None);
        let mut words = std::env::args().skip(1);
        while let Some(word) = words.next() {
            let mut value = || words.next().ok_or(USAGE);
            match word.as_str() {
                // Cargo's own.
                "--bench" => {}
                "--rounds" => rounds = value()?.parse()?,
                "--flush-ms" => flush_ms = value()?.parse()?,
                "--commits" => commits_max = value()?.parse()?,
                "--only" => only = Some(Variant::of_name(&value()?)?),
                path if !path.starts_with('-') => trace = Some(PathBuf::from(path)),
                _ => return Err(USAGE.into()),
            }
        }
        Ok(trace.map(|trace| Arguments {
            trace,
            rounds,
            flush_ms,
            commits_max,
            only,
        }))
    }
}

fn main() -> Outcome<()> {
    let Some(arguments) = Arguments::parse()? else {
        println!("{USAGE}");
        return Ok(());
    };
    match arguments.only {
        Some(variant) => {
            println!("{}", once(&arguments, variant)?.line());
            Ok(())
        }
        None => compare(&arguments),
    }
}

fn once(arguments: &Arguments, variant: Variant) -> Outcome<Figures> {
    let dir = tempfile::tempdir()?;
    let interval = Duration::from_millis(arguments.flush_ms);
    let mut store = variant.open(dir.path(), interval)?;
    replay(
        &arguments.trace,
        dir.path(),
        variant,
        arguments.commits_max,
        store.as_mut(),
    )
}

/// All variants in turns, each in a process of its own.
fn compare(arguments: &Arguments) -> Outcome<()> {
    let mut figures: Vec<(Variant, Vec<Figures>)> = Variant::ALL.map(|v| (v, Vec::new())).into();
    for _ in 0..arguments.rounds {
        for (variant, runs) in &mut figures {
            let output = Command::new(std::env::current_exe()?)
                .arg(&arguments.trace)
                .args(["--flush-ms", &arguments.flush_ms.to_string()])
                .args(["--commits", &arguments.commits_max.to_string()])
                .args(["--only", variant.name()])
                .stderr(Stdio::inherit())
                .output()?;
            if !output.status.success() {
                return Err(format!("`{}` failed: {}", variant.name(), output.status).into());
            }
            runs.push(Figures::of_line(std::str::from_utf8(&output.stdout)?)?);
        }
    }
    let real: Vec<&Figures> = figures
        .iter()
        .filter(|(variant, _)| *variant != Variant::Nothing)
        .flat_map(|(_, runs)| runs)
        .collect();
    let first = real.first().ok_or("no rounds")?;
    if real
        .iter()
        .any(|f| f.hash != first.hash || f.asked != first.asked)
    {
        return Err("the stores end with different contents".into());
    }
    let asked = first.asked;
    println!(
        "{} commits, {} writes of {:.1} MB, {} gets, {} scans of {} entries, {} snapshots; a flush every {} ms; \
         medians of {}\n",
        asked.commits,
        asked.writes,
        asked.written_bytes as f64 / 1e6,
        asked.gets,
        asked.scans,
        asked.taken,
        asked.snapshots,
        arguments.flush_ms,
        arguments.rounds,
    );
    println!(
        "| store | wall s | CPU s | get µs | scan µs | commit p99 µs | worst ms | anonymous MB | disk MB | written MB | amplification |"
    );
    println!("| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |");
    for (variant, runs) in &figures {
        let of = |figure: fn(&Figures) -> f64| median(runs.iter().map(figure).collect());
        println!(
            "| {} | {:.2} | {:.2} | {:.2} | {:.1} | {:.0} | {:.1} | {:.0} | {:.0} | {:.0} | {:.1} |",
            variant.name(),
            of(|f| f.wall_s),
            of(|f| f.cpu_s),
            of(|f| f.get_us),
            of(|f| f.scan_us),
            of(|f| f.commit_p99_us),
            of(|f| f.commit_max_ms),
            of(|f| f.memory_mb),
            of(|f| f.disk_mb),
            of(|f| f.written_mb),
            of(|f| f.written_mb) * 1e6 / asked.written_bytes as f64,
        );
    }
    Ok(())
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(0.0)
}
