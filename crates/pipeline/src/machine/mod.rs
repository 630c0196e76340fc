//! Everything but the network and the clock as one machine: a simulated source, disk and sinks, the production parts between them, and
//! a seed that decides what happens next. After every step it checks what must hold at every instant.
//!
//! `READSIDE_MACHINE_SEED=7` replays one case; `READSIDE_MACHINE_CASES=5000` runs more of them, from
//! `READSIDE_MACHINE_FROM` on.

mod check;
mod dice;
mod directed;
mod life;
mod sink;
mod source;
mod views;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, OnceLock};

use readside_changelog::sim::{Crash, SimDisk};
use readside_model::{Catalog, Lsn};
use readside_plan::{Plan, Relation};
use readside_state::sim::{Fault, SimBase};

use self::dice::Dice;
use self::life::Life;
use self::sink::{Kind, SimServer};
use self::source::Server;
use self::views::{Fresh, VIEWS};
use crate::PipelineError;

/// A view as it is configured at the moment.
struct View {
    index: usize,
    variant: usize,
    plan: Arc<Plan>,
    /// Indices into the world's sinks.
    sinks: Vec<usize>,
    keep_failed: bool,
}

/// What outlives the lives of the pipeline.
struct World {
    dice: Dice,
    server: Server,
    disk: SimDisk,
    base: SimBase,
    sinks: Vec<(String, SimServer)>,
    catalog: Catalog,
    views: Vec<View>,
    /// Views that are not configured at the moment.
    parked: Vec<View>,
    /// The run is told to end.
    stop: tokio::sync::watch::Sender<bool>,
    spool_bytes: usize,
    /// Sinks may refuse documents.
    refuses: bool,
    /// A fault of the disks is armed: whatever fails may.
    faulty: bool,
    /// The slot was made, and the log has not begun anew yet.
    slot_is_new: bool,
    /// Counts lives.
    epoch: u64,
    /// The views from scratch, by the image that they are computed from.
    fresh: BTreeMap<u64, Fresh>,
    /// What watermarks were before the last step.
    watermarks: BTreeMap<u32, (Lsn, Lsn)>,
}

fn plan(index: usize, variant: usize) -> Arc<Plan> {
    type Plans = Mutex<BTreeMap<(usize, usize), Arc<Plan>>>;
    static PLANS: OnceLock<Plans> = OnceLock::new();
    let mut plans = PLANS
        .get_or_init(Mutex::default)
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    let (name, variants) = VIEWS[index];
    Arc::clone(
        plans
            .entry((index, variant))
            .or_insert_with(|| views::compile(name, variants[variant], &views::catalog())),
    )
}

impl World {
    fn new(seed: u64) -> World {
        let mut dice = Dice::new(seed);
        let refuses = dice.once_in(3);
        let mut sinks = Vec::new();
        for (name, kind) in [
            ("plain", Kind::Plain),
            ("versioned", Kind::Versioned),
            ("moments", Kind::Moments),
        ] {
            sinks.push((name.to_owned(), SimServer::new(kind, dice.next(), refuses)));
        }
        let mut views = Vec::new();
        let mut indices: BTreeSet<usize> = BTreeSet::new();
        while indices.len() < 3 {
            indices.insert(dice.below(VIEWS.len()));
        }
        for index in indices {
            let mut into: BTreeSet<usize> = BTreeSet::new();
            for _ in 0..2 {
                into.insert(dice.below(3));
            }
            let sinks = into.into_iter().collect();
            views.push(View {
                index,
                variant: 0,
                plan: plan(index, 0),
                sinks,
                keep_failed: dice.once_in(3),
            });
        }
        let mut server = Server::new();
        for _ in 0..dice.below(8) {
            server.commit(&mut dice);
        }
        World {
            stop: tokio::sync::watch::channel(false).0,
            spool_bytes: if dice.once_in(3) { 200 } else { 1 << 20 },
            server,
            disk: SimDisk::new(),
            base: SimBase::new(),
            sinks,
            catalog: views::catalog(),
            views,
            parked: Vec::new(),
            refuses,
            faulty: false,
            slot_is_new: false,
            epoch: 0,
            fresh: BTreeMap::new(),
            watermarks: BTreeMap::new(),
            dice,
        }
    }

    /// The tables that the views read.
    fn tables(&self) -> BTreeSet<u32> {
        let mut out = BTreeSet::new();
        for view in &self.views {
            for stage in &view.plan.stages {
                for occurrence in &stage.block.occurrences {
                    if let Relation::Table(oid) = occurrence.relation {
                        out.insert(oid);
                    }
                }
            }
        }
        out
    }

    /// The views from scratch on what had been committed at `lsn`.
    fn fresh_at(&mut self, lsn: Lsn) -> &Fresh {
        let image = self.server.image_at(lsn);
        if !self.fresh.contains_key(&image) {
            let plans: Vec<Arc<Plan>> = self.views.iter().map(|v| Arc::clone(&v.plan)).collect();
            let fresh = views::fresh(&self.catalog, &plans, self.server.tables_at(lsn));
            self.fresh.insert(image, fresh);
        }
        &self.fresh[&image]
    }

    /// What happens only between two lives.
    fn between_lives(&mut self) {
        self.watermarks.clear();
        if self.dice.once_in(4) {
            let i = self.dice.below(self.views.len());
            let view = &mut self.views[i];
            view.variant = self.dice.below(VIEWS[view.index].1.len());
            view.plan = plan(view.index, view.variant);
            self.fresh.clear();
            self.settle_late();
        }
        if self.dice.once_in(6) {
            // A place is taken out of the configuration, or comes (back) into it.
            let (i, s) = (self.dice.below(self.views.len()), self.dice.below(3));
            let sinks = &mut self.views[i].sinks;
            match sinks.iter().position(|known| *known == s) {
                Some(at) if sinks.len() > 1 => drop(sinks.remove(at)),
                Some(_) => {}
                None => {
                    sinks.push(s);
                    sinks.sort_unstable();
                }
            }
            self.settle_late();
        }
        if self.dice.once_in(8) {
            // So is a whole view.
            if let Some(view) = self.parked.pop() {
                self.views.push(view);
                self.views.sort_by_key(|view| view.index);
            } else {
                let i = self.dice.below(self.views.len());
                self.parked.push(self.views.remove(i));
            }
            self.fresh.clear();
            self.settle_late();
        }
        if self.dice.once_in(12) {
            // Somebody dropped the slot.
            self.server.slot = None;
        }
        if self.dice.once_in(12) {
            // A copy of the source is promoted that had not got everything.
            self.server.fall_back(&mut self.dice);
            self.fresh.clear();
            for (_, sink) in &self.sinks {
                sink.begins_anew();
            }
        }
        for _ in 0..self.dice.below(4) {
            self.server.commit(&mut self.dice);
        }
        self.arm(6, 12);
    }

    /// Requests of earlier lives arrive now or never: one that creates a row after the sink has been read through, for a key that
    /// nothing tells of any more, would stay.
    fn settle_late(&mut self) {
        for (_, sink) in &self.sinks {
            sink.settle_late(&mut self.dice);
        }
    }

    /// Maybe lets the disks fail soon.
    fn arm(&mut self, once_in: usize, operations: usize) {
        if self.dice.once_in(once_in) {
            self.faulty = true;
            if self.dice.once_in(2) {
                self.disk
                    .fail_after(u64::try_from(self.dice.below(operations)).unwrap());
            } else {
                self.base.arm(*self.dice.pick(&[
                    Fault::BeforeApply,
                    Fault::BeforeSync,
                    Fault::AfterSync,
                ]));
            }
        }
    }

    /// The machine goes down and comes up again. Nothing of the life may be left.
    fn crash(&mut self) {
        if self.dice.once_in(2) {
            let seed = self.dice.next();
            self.disk.crash(Crash::Power { seed });
            self.base.crash();
        } else {
            self.disk.crash(Crash::Process);
            if self.faulty {
                self.base.crash();
            }
        }
        self.faulty = false;
    }

    fn start(&mut self) -> Life {
        loop {
            match Life::start(self) {
                Ok(life) => return life,
                Err(error) if self.faulty => {
                    let _ = error;
                    self.crash();
                }
                Err(error) => panic!("a start failed: {error:?}"),
            }
        }
    }

    /// One step of a life; false if it is over.
    fn step(&mut self, life: &mut Life) -> bool {
        let result = self.random_step(life);
        match result {
            Ok(()) => true,
            Err(error) => {
                assert!(self.faulty, "{error:?}");
                false
            }
        }
    }

    fn random_step(&mut self, life: &mut Life) -> Result<(), PipelineError> {
        match self.dice.below(40) {
            0..=2 => self.server.commit(&mut self.dice),
            3 => self.server.noise(&mut self.dice),
            4..=6 => {
                life.connect(self)?;
                if let Some(connection) = &mut life.connection {
                    if connection.waiting() > 0 {
                    } else if self.dice.once_in(4) || !connection.send(&self.server, &mut self.dice)
                    {
                        connection.keepalive(&self.server, self.dice.once_in(2));
                    }
                }
            }
            7..=10 => {
                let frames = 1 + self.dice.below(8);
                life.read(frames)?;
            }
            11..=12 => {
                let arrives = !self.dice.once_in(4);
                life.settle(self, arrives)?;
            }
            13 => {
                if self.dice.once_in(3) {
                    life.disconnect();
                }
            }
            14 => life.capture.trim()?,
            15..=21 => {
                life.command()?;
            }
            22..=24 => {
                life.projector.step()?;
            }
            25 => life.projector.flush()?,
            26..=34 => {
                let (w, choice) = (self.dice.below(life.workers.len()), self.dice.below(64));
                let working = &mut life.workers[w];
                let was_open = working.is_open();
                working.step(choice).unwrap_or_else(|error| {
                    panic!("sink `{}`: {error}", self.sinks[working.sink].0)
                });
                if !was_open && working.is_open() {
                    self.sinks[working.sink].1.opened();
                }
            }
            35..=38 => {
                let (s, mut dice) = (
                    self.dice.below(self.sinks.len()),
                    Dice::new(self.dice.next()),
                );
                self.sinks[s].1.step(&mut dice);
            }
            _ => self.arm(12, 40),
        }
        Ok(())
    }

    /// Nothing fails any more: everything arrives.
    fn drain(&mut self, life: &mut Life) -> Result<(), PipelineError> {
        for (_, sink) in &self.sinks {
            sink.calm();
        }
        let mut quiet = 0;
        for round in 0..400 {
            if round % 4 == 0 {
                self.server.noise(&mut self.dice);
                life.capture_all(self)?;
            }
            while life.projector.step()? {}
            for w in 0..life.workers.len() {
                for choice in 0..8 {
                    let working = &mut life.workers[w];
                    let was_open = working.is_open();
                    working.step(choice).unwrap_or_else(|error| {
                        panic!("sink `{}`: {error}", self.sinks[working.sink].0)
                    });
                    if !was_open && working.is_open() {
                        self.sinks[working.sink].1.opened();
                    }
                    while life.command()? {}
                    let mut dice = Dice::new(self.dice.next());
                    self.sinks[life.workers[w].sink].1.step(&mut dice);
                }
            }
            life.projector.flush()?;
            self.check(life, false);
            // Long enough for every sink to have been looked after.
            quiet = if self.is_quiet(life) { quiet + 1 } else { 0 };
            if quiet == 12 {
                // A loss that was not noticed by now must have been of nothing.
                for (_, sink) in &self.sinks {
                    sink.found_out();
                }
                return Ok(());
            }
        }
        panic!("it does not come to rest: {}", self.unrest(life));
    }
}

fn case(seed: u64) {
    let mut world = World::new(seed);
    let lives = 1 + world.dice.below(4);
    let mut remaining = lives;
    let mut life = world.start();
    loop {
        let steps = 20 + world.dice.below(260);
        let mut alive = true;
        for i in 0..steps {
            alive = world.step(&mut life);
            if !alive {
                break;
            }
            let full = i % 16 == 0;
            world.check(&mut life, full);
        }
        remaining -= 1;
        if remaining == 0 && alive && !world.faulty {
            break;
        }
        remaining = remaining.max(1);
        if alive && !world.faulty && world.dice.once_in(4) {
            // It is told to stop.
            let Life { projector, .. } = life;
            projector.state.close().unwrap();
        } else {
            drop(life);
        }
        world.crash();
        world.between_lives();
        life = world.start();
    }
    world.drain(&mut life).unwrap();
    world.check_all(&mut life);
}

fn run(seed: u64) {
    if let Err(panic) = std::panic::catch_unwind(|| case(seed)) {
        eprintln!("the machine failed with READSIDE_MACHINE_SEED={seed}");
        std::panic::resume_unwind(panic);
    }
}

#[test]
fn whatever_happens_nothing_is_lost_invented_or_goes_back() {
    let number = |name: &str| {
        std::env::var(name)
            .ok()
            .and_then(|text| text.parse::<u64>().ok())
    };
    if let Some(seed) = number("READSIDE_MACHINE_SEED") {
        return run(seed);
    }
    let first = number("READSIDE_MACHINE_FROM").unwrap_or(1);
    for seed in first..first + number("READSIDE_MACHINE_CASES").unwrap_or(150) {
        run(seed);
    }
}

/// Seeds that once found something, beyond those that are always run.
const REGRESSIONS: [u64; 3] = [
    // A read-through did not see what had been written and not been refreshed.
    218, 797, // State forgets in a crash that a loss was noticed.
    781,
];

#[test]
fn what_was_found_once_is_not_found_again() {
    for seed in REGRESSIONS {
        run(seed);
    }
}
