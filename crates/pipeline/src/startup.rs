//! From configuration to a running pipeline's parts: what is on disk, what the source says, what the views need.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use readside_changelog::{Changelog, Options as ChangelogOptions, RealDisk};
use readside_model::{Catalog, Lsn, Position, SourceIdentity, Timestamp};
use readside_plan::{Plan, Relation};
use readside_projection::{
    Engine, GeneratedColumns, Needs, Registry, ViewExec, ViewSpec, facts as state_facts, pending,
};
use readside_sink::{TargetColumn, ViewTarget};
use readside_source::{
    ReplicationClient, SlotKind, SqlClient, TableChange, TableFingerprint, column_difference,
    connect_sql, ensure_publication, load_catalog, publication, slot_status, table_fingerprints,
};
use readside_state::{Committed, FlushMode, Options as StateOptions, State};
use tracing::{info, warn};

use crate::PipelineError;
use crate::config::{IntoConfig, RunConfig};
use crate::interrupt::Interrupt;
use crate::opening::raise_all;
use crate::projector::replay;

/// The fact that all tables have to be loaded before the changelog can be applied to them.
pub(crate) const OWED: &str = "load owed";
/// What it says while the changelog is still the one from before.
const OWED_AND_LOG: &[u8] = b"log";

const SLOT_WAIT_MAX: Duration = Duration::from_secs(30);

/// What a start has opened.
pub(crate) struct Opened {
    pub(crate) state: State,
    pub(crate) engine: Engine,
    pub(crate) needs: Needs,
    pub(crate) changelog: Changelog,
    pub(crate) instance: String,
    /// The tables as they are now.
    pub(crate) fingerprints: BTreeMap<u32, TableFingerprint>,
    /// `pg_publication.oid`
    pub(crate) publication: Option<u32>,
    /// What is in state, if anything, does not lead up to the changelog: all tables are loaded first.
    pub(crate) fresh: bool,
}

/// A random name.
pub(crate) fn random_name() -> String {
    format!("{:016x}", rand::random::<u64>())
}

/// The views as plans; every refusal at once.
pub(crate) fn compile_views(
    config: &RunConfig,
    catalog: &Catalog,
) -> Result<Vec<Arc<Plan>>, PipelineError> {
    let mut plans = Vec::new();
    let mut refused = Vec::new();
    for view in &config.views {
        match readside_sql::compile(&view.name, &view.sql, catalog) {
            Ok(plan) => plans.push(Arc::new(plan)),
            Err(refusal) => refused.push(refusal),
        }
    }
    if refused.is_empty() {
        Ok(plans)
    } else {
        Err(PipelineError::Views(refused))
    }
}

/// The tables that plans read.
pub(crate) fn tables_of(plans: &[Arc<Plan>]) -> Vec<u32> {
    let mut out = BTreeSet::new();
    for plan in plans {
        for stage in &plan.stages {
            for occurrence in &stage.block.occurrences {
                if let Relation::Table(oid) = occurrence.relation {
                    out.insert(oid);
                }
            }
        }
    }
    out.into_iter().collect()
}

fn generated_columns(catalog: &Catalog, tables: &[u32]) -> Result<GeneratedColumns, PipelineError> {
    let mut out = GeneratedColumns::new();
    for oid in tables {
        let Some(table) = catalog.tables.get(oid) else {
            continue;
        };
        for (i, column) in table.columns.iter().enumerate() {
            if column.generated.as_ref().is_some_and(|g| g.stored) {
                // One that cannot be computed is refused only if a view reads it: the compiler sees to that.
                if let Ok(expr) = readside_sql::compile_generated(table, i, catalog) {
                    out.entry(*oid).or_default().insert(i, expr);
                }
            }
        }
    }
    Ok(out)
}

/// A name for a target in the registry: sink and place.
pub(crate) fn target_name(into: &IntoConfig) -> String {
    format!("{}|{}", into.sink, into.location)
}

/// How a view is laid out in a sink.
pub(crate) fn layout(view: &ViewExec, into: &IntoConfig) -> ViewTarget {
    layout_of(&view.plan, into)
}

/// How a plan's rows are laid out in a sink.
#[must_use]
pub fn layout_of(plan: &Plan, into: &IntoConfig) -> ViewTarget {
    ViewTarget {
        view: plan.view.clone(),
        location: into.location.clone(),
        columns: plan
            .columns
            .iter()
            .map(|c| TargetColumn {
                name: c.name.clone(),
                ty: c.ty.clone(),
                typmod: c.typmod,
                not_null: c.not_null,
            })
            .collect(),
        key: plan.key.pieces.iter().map(|p| p.column).collect(),
        key_nullable: plan.key.pieces.is_empty()
            || plan
                .key
                .pieces
                .iter()
                .any(|p| p.nullable || p.column.is_none()),
        mapping: into.mapping.clone(),
        generation: 1,
    }
}

/// Opens everything. `resynchronise` says why all tables have to be copied anew, if they have.
pub(crate) async fn open(
    config: &RunConfig,
    resynchronise: Option<&str>,
    interrupt: &Interrupt,
) -> Result<Opened, PipelineError> {
    let client = connect_sql(&config.source).await?;
    let catalog = load_catalog(&client).await?;
    let plans = compile_views(config, &catalog)?;
    check_columns(&client, &catalog, config, &plans).await?;
    let tables = tables_of(&plans);
    let generated = generated_columns(&catalog, &tables)?;
    std::fs::create_dir_all(&config.data_dir)
        .map_err(|e| data_directory(&config.data_dir, &e.to_string()))?;
    let state_options = StateOptions {
        flush_bytes: config.limits.state_flush_bytes,
        flush_interval: config.limits.state_flush_interval,
        flush_mode: FlushMode::Background,
        ..StateOptions::default()
    };
    let mut state = State::open(&config.data_dir.join("state"), state_options)?;
    let instance = instance(&config.data_dir)?;

    // Publication first, slot second: a slot made before it would be stuck, or silently skip rows.
    let publication_before = publication(&client, &config.publication).await?;
    // Tables whose changes should have come through it all along.
    let followed: BTreeMap<u32, String> = Registry::load(&state)?
        .tables
        .iter()
        .filter(|(_, record)| record.valid_from.is_some())
        .filter_map(|(oid, _)| catalog.tables.get(oid))
        .flat_map(|table| {
            let relations = if table.leaves.is_empty() {
                vec![table.oid]
            } else {
                table.leaves.clone()
            };
            relations.into_iter().map(|oid| (oid, table.display_name()))
        })
        .collect();
    let unsent = publication_before
        .as_ref()
        .map(|p| p.faults(&followed))
        .unwrap_or_default();
    let publication_before = publication_before.map(|p| p.oid);
    ensure_publication(&client, &config.publication, &tables).await?;
    let publication_now = publication(&client, &config.publication)
        .await?
        .map(|p| p.oid);
    let mut replication = ReplicationClient::connect(&config.source).await?;
    let system = replication.identify_system().await?;
    let identity = SourceIdentity {
        system_id: system.system_id,
        database_oid: system.database_oid,
        database: system.database,
        slot: config.slot.clone(),
        timeline: system.timeline,
    };
    let stored = stored_identity(&state)?;
    if let Some(stored) = &stored
        && resynchronise.is_none()
        && (stored.system_id != identity.system_id || stored.database_oid != identity.database_oid)
    {
        return Err(PipelineError::OtherSource {
            path: config.data_dir.display().to_string(),
            reason: format!(
                "it was filled from database `{}` of system {}, and this is `{}` of system {}",
                stored.database, stored.system_id, identity.database, identity.system_id
            ),
        });
    }
    let slot = slot_status(&client, &config.slot).await?;
    let confirmed = match &slot {
        Some(slot) if slot.wal_status != Some(readside_source::WalStatus::Lost) => {
            slot.confirmed_flush.unwrap_or(Lsn::ZERO)
        }
        Some(_) => {
            warn!(
                slot = config.slot,
                "the slot is lost: it is made anew, and all tables are copied and compared"
            );
            replication.drop_slot(&config.slot).await?;
            new_slot(&mut replication, config).await?
        }
        None => new_slot(&mut replication, config).await?,
    };
    let had_slot = slot
        .as_ref()
        .is_some_and(|s| s.wal_status != Some(readside_source::WalStatus::Lost));
    drop(replication);

    let disk = Arc::new(RealDisk::open(&config.data_dir.join("changelog"))?);
    let options = log_options(config.limits.changelog_bytes_max);
    // A load that does not join what is in state, and was interrupted, is still owed.
    let owes = state_facts::get(&state, OWED)?.unwrap_or_default();
    let owed = !owes.is_empty();
    let relied_on = if owed {
        Lsn::ZERO
    } else {
        state.committed().published
    };
    let log_identity = stored.clone().unwrap_or_else(|| identity.clone());
    let mut changelog = Changelog::open(disk, &log_identity, relied_on, options)?;
    let fresh = stored.is_none();
    let mut stale: BTreeSet<u32> = BTreeSet::new();
    // While there was no publication, or another one, changes passed unsent.
    let published_by: Option<u32> = state_facts::get(&state, "publication")?
        .and_then(|bytes| serde_json::from_slice(&bytes).ok());
    let unpublished = published_by.is_some_and(|oid| publication_before != Some(oid));
    let gap = !fresh
        && (!had_slot
            || unpublished
            || !unsent.is_empty()
            || resynchronise.is_some()
            || owes == OWED_AND_LOG
            || confirmed > changelog.durable().end());
    if owed || gap {
        stale.extend(&tables);
    }
    if gap {
        warn!(
            reason =
                resynchronise.unwrap_or("slot or publication do not reach back to what is on disk"),
            "resynchronising: all tables are copied anew and compared with what is here"
        );
    }
    if let Some(oid) = publication_now {
        state_facts::put(&mut state, "publication", oid.to_string().as_bytes())?;
    }
    let relations: Vec<u32> = tables
        .iter()
        .filter_map(|oid| catalog.tables.get(oid))
        .flat_map(|table| std::iter::once(table.oid).chain(table.leaves.iter().copied()))
        .collect();
    let fingerprints = table_fingerprints(&client, &relations).await?;
    // The fingerprints must be of the tables that the views were compiled against.
    let again = load_catalog(&client).await?;
    for oid in &tables {
        let differs = match (catalog.tables.get(oid), again.tables.get(oid)) {
            (Some(before), Some(now)) => {
                before.columns != now.columns
                    || before.identity != now.identity
                    || before.unique != now.unique
                    || before.leaves != now.leaves
            }
            _ => true,
        };
        if differs {
            return Err(PipelineError::SourceChanged(format!(
                "table {oid} was altered while readside was starting"
            )));
        }
    }
    stale.extend(changed_tables(&fingerprints, &state, &catalog)?);
    let specs: Vec<ViewSpec> = plans
        .iter()
        .zip(&config.views)
        .map(|(plan, view)| ViewSpec {
            plan: Arc::clone(plan),
            targets: view.into.iter().map(target_name).collect(),
        })
        .collect();
    let (mut engine, needs) = tokio::task::block_in_place(|| {
        Engine::open(&mut state, &catalog, &generated, &specs, &stale)
    })?;
    for (view, targets) in &engine.registry().retired {
        for target in targets.keys() {
            let (sink, place) = target.split_once('|').unwrap_or((target, ""));
            warn!(
                view,
                sink,
                place,
                "not configured any more: what was written there stays as it is, and is taken up again if it comes back"
            );
        }
    }
    if fresh || gap {
        tokio::task::block_in_place(|| {
            begin_anew(
                &mut state,
                &mut engine,
                &mut changelog,
                &identity,
                confirmed,
                interrupt,
            )
        })?;
    }
    info!(
        views = plans.len(),
        tables = tables.len(),
        to_load = needs.tables.len(),
        to_fill = needs.views.len(),
        position = %state.committed().published,
        "opened"
    );
    Ok(Opened {
        state,
        engine,
        needs,
        changelog,
        instance,
        fingerprints,
        publication: publication_now,
        fresh: fresh || gap || owed,
    })
}

/// Takes the stream up anew at `confirmed`, which what is on disk does not lead up to.
///
/// What the log still has is applied first: sinks may have been shown any of it, and a row that is in the copy as it was in a state
/// from before would not be a difference. Then whatever refers to positions is brought below `confirmed`, which may be an earlier one.
pub(crate) fn begin_anew(
    state: &mut State,
    engine: &mut Engine,
    changelog: &mut Changelog,
    identity: &SourceIdentity,
    confirmed: Lsn,
    interrupt: &Interrupt,
) -> Result<(), PipelineError> {
    let before = state.committed().published;
    if before > Lsn::ZERO {
        // Unless it has begun anew already, and nothing came after that.
        if changelog.durable().start() <= before {
            let reader = changelog.durable().reader("the end", before)?;
            replay(state, engine, reader, interrupt)?;
        }
        let reached = state.committed().published;
        rebase(state, engine, confirmed)?;
        raise_all(state, reached.0.saturating_sub(confirmed.0) + 1)?;
    }
    state_facts::put(state, OWED, OWED_AND_LOG)?;
    // Once the log begins anew, nothing but this says that state does not lead up to it.
    state.flush_now()?;
    changelog.restart(identity, confirmed)?;
    changelog.append_keepalive(confirmed, Timestamp::default())?;
    changelog.sync()?;
    state_facts::put(state, OWED, b"1")?;
    let bytes =
        serde_json::to_vec(identity).map_err(|e| PipelineError::SourceChanged(e.to_string()))?;
    state_facts::put(state, "source", &bytes)?;
    // Before anything is appended: what is in the log from here on is not to be applied before the copy.
    state.flush_now()?;
    Ok(())
}

/// Makes positions of another course of history than the one that goes on at `at` those of `at`.
fn rebase(state: &mut State, engine: &Engine, at: Lsn) -> Result<(), PipelineError> {
    if state.committed().published <= at {
        return Ok(());
    }
    warn!(
        from = %state.committed().published,
        to = %at,
        "the source is behind what was read from it: what it does not have any more never happened"
    );
    let targets = engine.views().iter().flat_map(|view| &view.targets);
    for target in targets {
        pending::rebase(state, *target, at)?;
    }
    state.commit(Committed {
        applied: Position {
            commit: at,
            ordinal: 0,
        },
        published: at,
    });
    Ok(())
}

/// Whole segments are removed, so a log that may hold little is cut small: else a full one would never have room again.
fn log_options(bytes_max: u64) -> ChangelogOptions {
    let defaults = ChangelogOptions::default();
    ChangelogOptions {
        bytes_max,
        segment_bytes: defaults.segment_bytes.min(bytes_max / 8),
        ..defaults
    }
}

async fn new_slot(
    replication: &mut ReplicationClient,
    config: &RunConfig,
) -> Result<Lsn, PipelineError> {
    let created = replication
        .create_slot(
            &config.slot,
            SlotKind::Permanent { failover: true },
            SLOT_WAIT_MAX,
        )
        .await?;
    info!(slot = config.slot, at = %created.consistent_point, "made the replication slot");
    Ok(created.consistent_point)
}

/// Postgres' own description of each query against ours: a view whose types we see otherwise is never kept.
async fn check_columns(
    client: &SqlClient,
    catalog: &Catalog,
    config: &RunConfig,
    plans: &[Arc<Plan>],
) -> Result<(), PipelineError> {
    for (plan, view) in plans.iter().zip(&config.views) {
        let described = client
            .prepare(&plan.sql)
            .await
            .map_err(readside_source::SourceError::from)?;
        let ours = plan.columns.iter().map(|c| (c.name.as_str(), &c.ty));
        if let Some(difference) = column_difference(described.columns(), ours, catalog) {
            return Err(PipelineError::Target {
                view: view.name.clone(),
                sink: view
                    .into
                    .first()
                    .map(|i| i.sink.clone())
                    .unwrap_or_default(),
                reason: format!(
                    "{difference}\n  hint: cast the column explicitly, and please report this query"
                ),
            });
        }
    }
    Ok(())
}

/// Tables whose rows may have been rewritten while nobody looked.
fn changed_tables(
    now: &BTreeMap<u32, TableFingerprint>,
    state: &State,
    catalog: &Catalog,
) -> Result<BTreeSet<u32>, PipelineError> {
    let mut out = BTreeSet::new();
    for (oid, now) in now {
        if let Some(was) = stored_fingerprint(state, *oid)?
            && (was.change(now) == TableChange::Rewritten
                || was.change(now) == TableChange::Partitions)
        {
            warn!(
                table = format!("{}.{}", now.schema, now.name),
                "the table was altered: it is copied anew and compared"
            );
            let root = catalog
                .tables
                .values()
                .find(|table| table.leaves.contains(oid))
                .map_or(*oid, |table| table.oid);
            out.insert(root);
        }
    }
    Ok(out)
}

/// The table as it was when it was last copied or looked at.
pub(crate) fn stored_fingerprint(
    state: &State,
    oid: u32,
) -> Result<Option<TableFingerprint>, PipelineError> {
    let bytes = state_facts::get(state, &format!("table/{oid}"))?;
    Ok(bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok()))
}

/// Takes note of tables as they are now.
pub(crate) fn store_fingerprints(
    state: &mut State,
    now: &BTreeMap<u32, TableFingerprint>,
) -> Result<(), PipelineError> {
    for (oid, fingerprint) in now {
        let bytes = serde_json::to_vec(fingerprint)
            .map_err(|e| PipelineError::SourceChanged(e.to_string()))?;
        state_facts::put(state, &format!("table/{oid}"), &bytes)?;
    }
    Ok(())
}

fn stored_identity(state: &State) -> Result<Option<SourceIdentity>, PipelineError> {
    let bytes = state_facts::get(state, "source")?;
    Ok(bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok()))
}

/// The data directory's name in markers: made once.
fn instance(dir: &Path) -> Result<String, PipelineError> {
    let path: PathBuf = dir.join("instance");
    match std::fs::read_to_string(&path) {
        Ok(text) if !text.trim().is_empty() => Ok(text.trim().to_owned()),
        _ => {
            let name = random_name();
            let write = || -> std::io::Result<()> {
                let new = dir.join("instance.new");
                std::fs::write(&new, &name)?;
                std::fs::File::open(&new)?.sync_all()?;
                std::fs::rename(&new, &path)?;
                std::fs::File::open(dir)?.sync_all()
            };
            write().map_err(|e| data_directory(dir, &e.to_string()))?;
            Ok(name)
        }
    }
}

fn data_directory(path: &Path, reason: &str) -> PipelineError {
    PipelineError::DataDirectory {
        path: path.display().to_string(),
        reason: reason.to_owned(),
    }
}
