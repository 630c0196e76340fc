//! Single courses of events, each of which once went wrong.

use std::collections::BTreeSet;

use readside_model::DocumentForm;
use readside_projection::{Engine, ProjectionError, pending};
use tokio::sync::oneshot;

use super::life::Life;
use super::sink::{Kind, SimServer};
use super::source::ORDERS;
use super::{View, World, plan};
use crate::PipelineError;
use crate::projector::{AcknowledgedItem, Acknowledgement, Command};
use crate::rendering::render;

/// A world with one view in one sink, some rows, and nothing that fails.
fn world(kind: Kind, view: usize) -> World {
    let mut world = World::new(3);
    let sink = world
        .sinks
        .iter()
        .position(|(_, s)| s.kind == kind)
        .unwrap();
    world.refuses = false;
    world.views = vec![View {
        index: view,
        variant: 0,
        plan: plan(view, 0),
        sinks: vec![sink],
        keep_failed: false,
    }];
    for (_, sink) in &mut world.sinks {
        *sink = SimServer::new(sink.kind, 1, false);
        sink.calm();
    }
    let open = |row: &super::source::Row| row[2].as_deref().is_some_and(|s| s != "cancelled");
    while world.server.tables[&ORDERS]
        .values()
        .filter(|row| open(row))
        .count()
        < 4
    {
        world.server.commit(&mut world.dice);
    }
    world
}

/// Lets the sink's worker and the projector go on until nothing is under way.
fn settle(world: &mut World, life: &mut Life) {
    world.drain(life).unwrap();
}

#[test]
fn a_read_through_sees_what_was_written_and_not_refreshed() {
    let mut world = world(Kind::Versioned, 0);
    let mut life = world.start();
    settle(&mut world, &mut life);
    let sink = world.views[0].sinks[0];
    let rows = world.sinks[sink].1.rows("plain", false);
    assert!(!rows.is_empty());
    drop(life);
    world.sinks[sink].1.hide();
    // Another query: what is in the sink has to be found by reading it.
    world.views[0].variant = 1;
    world.views[0].plan = plan(0, 1);
    world.fresh.clear();
    let mut life = world.start();
    settle(&mut world, &mut life);
    world.check_all(&mut life);
}

#[test]
fn a_run_that_is_to_end_gives_up_its_fill_and_its_replay() {
    let mut world = world(Kind::Plain, 3);
    world.stop.send_replace(true);
    let error = Life::start(&mut world).err().unwrap();
    assert!(
        matches!(
            error,
            PipelineError::Interrupted | PipelineError::Projection(ProjectionError::Interrupted)
        ),
        "{error:?}"
    );
    world.crash();
    world.stop.send_replace(false);
    let mut life = world.start();
    life.capture_all(&mut world).unwrap();
    drop(life);
    // There is a log to be replayed now.
    world.stop.send_replace(true);
    let error = Life::start(&mut world).err().unwrap();
    assert!(matches!(error, PipelineError::Interrupted), "{error:?}");
    world.crash();
    world.stop.send_replace(false);
    let mut life = world.start();
    settle(&mut world, &mut life);
    world.check_all(&mut life);
}

#[test]
fn a_key_that_returns_before_its_orphan_was_deleted_counts_once() {
    let mut world = world(Kind::Plain, 0);
    let mut life = world.start();
    settle(&mut world, &mut life);
    drop(life);
    world.views[0].variant = 1;
    world.views[0].plan = plan(0, 1);
    world.fresh.clear();
    let mut life = world.start();
    let exec = std::sync::Arc::clone(&life.projector.engine.views()[0]);
    // Until a row that the former query had and the new one had not is one of the new one's.
    for _ in 0..200 {
        let state = &life.projector.state;
        let queued = pending::queued(state, exec.targets[0], None, usize::MAX).unwrap();
        let texts: BTreeSet<_> = queued
            .iter()
            .map(|q| exec.sink_key(state, &q.key).unwrap().text)
            .collect();
        if texts.len() < queued.len() {
            settle(&mut world, &mut life);
            world.check_all(&mut life);
            return;
        }
        world.server.commit(&mut world.dice);
        life.capture_all(&mut world).unwrap();
        while life.projector.step().unwrap() {}
    }
    panic!("no key returned");
}

#[test]
fn a_loss_of_the_last_writes_alone_is_noticed_running_and_at_a_start() {
    for kind in [Kind::Plain, Kind::Versioned, Kind::Moments] {
        for restarted in [false, true] {
            let mut world = world(kind, 0);
            let sink = world.views[0].sinks[0];
            let mut life = world.start();
            settle(&mut world, &mut life);
            let before = world.sinks[sink].1.rows("plain", false);
            while world.sinks[sink].1.rows("plain", false) == before {
                world.server.commit(&mut world.dice);
                settle(&mut world, &mut life);
            }
            if restarted {
                let Life { projector, .. } = life;
                projector.state.close().unwrap();
                assert!(world.sinks[sink].1.lose_last_writes());
                life = world.start();
            } else {
                assert!(world.sinks[sink].1.lose_last_writes());
            }
            settle(&mut world, &mut life);
            world.check_all(&mut life);
        }
    }
}

/// Rebuilds the view up to the switch, with no batch in between.
fn switch(life: &mut Life, view: &str) {
    let (state, engine) = (&mut life.projector.state, &mut life.projector.engine);
    let mut rebuild = engine.begin_rebuild(state, view).unwrap().unwrap();
    let target = rebuild.target();
    for stage in 0..rebuild.stages() {
        let mut rows = Vec::new();
        let snapshot = state.snapshot().unwrap();
        let take = &mut |piece| {
            rows.push(piece);
            Ok(())
        };
        rebuild.each(stage, snapshot, take).unwrap();
        for rows in &rows {
            engine.take_rows(state, &target, rows).unwrap();
        }
    }
    engine.switch(state, rebuild).unwrap();
}

#[test]
fn what_was_computed_from_stages_that_were_replaced_clears_nothing() {
    let mut world = world(Kind::Plain, 0);
    let mut life = world.start();
    settle(&mut world, &mut life);
    let of_old = life.projector.engine.generation();
    switch(&mut life, "plain");
    let of_new = life.projector.engine.generation();
    let exec = std::sync::Arc::clone(&life.projector.engine.views()[0]);
    let target = exec.targets[0];
    let mut keys = Vec::new();
    let snapshot = life.projector.state.snapshot().unwrap();
    exec.keys(&snapshot, &mut |key| {
        keys.push(key);
        Ok(())
    })
    .unwrap();
    assert!(!keys.is_empty());
    let (state, engine): (_, &mut Engine) = (&mut life.projector.state, &mut life.projector.engine);
    engine.mark_again(state, &[target], &keys).unwrap();
    for (generation, is_left) in [(of_old, true), (of_new, false)] {
        let items = keys.iter().map(|key| AcknowledgedItem {
            key: key.clone(),
            sink_key: exec.sink_key(&snapshot, key).unwrap(),
            present: true,
            dead: None,
        });
        let acknowledgement = Acknowledgement {
            target,
            computed_at: snapshot.committed().published,
            generation,
            items: items.collect(),
            receipt: None,
            done: oneshot::channel().0,
        };
        let command = Command::Acknowledge(acknowledgement);
        assert!(life.projector.command(command).unwrap());
        let left = pending::is_any_again(&life.projector.state, target).unwrap();
        assert_eq!(left, is_left, "generation {generation}");
    }
}

#[test]
fn a_rebuild_that_never_comes_to_its_switch_is_given_up() {
    let mut world = world(Kind::Plain, 0);
    let mut begun = 0;
    loop {
        let mut life = world.start();
        let (state, engine) = (&mut life.projector.state, &mut life.projector.engine);
        if begun == 0 || engine.registry().views["plain"].rebuild.is_some() {
            assert!(begun < 10, "it is begun again for ever");
            drop(engine.begin_rebuild(state, "plain").unwrap().unwrap());
            state.flush_now().unwrap();
            begun += 1;
        } else {
            break;
        }
    }
    assert_eq!(begun, 3);
    let mut life = world.start();
    settle(&mut world, &mut life);
    world.check_all(&mut life);
}

#[test]
fn what_is_only_written_again_comes_last_and_takes_no_room_from_what_is_due() {
    let mut world = world(Kind::Plain, 0);
    let mut life = world.start();
    settle(&mut world, &mut life);
    let exec = std::sync::Arc::clone(&life.projector.engine.views()[0]);
    let id = exec.targets[0];
    // Rows that are up to date, and at least one that is not.
    let (snapshot, due, keys) = loop {
        world.server.commit(&mut world.dice);
        life.capture_all(&mut world).unwrap();
        while life.projector.step().unwrap() {}
        let snapshot = life.projector.state.snapshot().unwrap();
        let due = usize::try_from(pending::count(&snapshot, id).unwrap()).unwrap();
        let mut keys = Vec::new();
        exec.keys(&snapshot, &mut |key| {
            keys.push(key);
            Ok(())
        })
        .unwrap();
        if due > 0 && keys.len() > due + 2 {
            break (snapshot, due, keys);
        }
        settle(&mut world, &mut life);
    };
    let published = snapshot.committed().published;
    let before = pending::watermark(&snapshot, id, published).unwrap();
    let (state, engine): (_, &mut Engine) = (&mut life.projector.state, &mut life.projector.engine);
    let marked = engine.mark_again(state, &[id], &keys).unwrap()[0];
    assert!(marked >= 2, "{marked} of {} keys", keys.len());
    assert_eq!(pending::watermark(state, id, published).unwrap(), before);
    let (answer, mut answered) = oneshot::channel();
    assert!(life.projector.command(Command::Sight(answer)).unwrap());
    let sight = answered.try_recv().unwrap().unwrap();
    let (_, _, target) = life
        .workers
        .iter()
        .flat_map(|w| w.targets())
        .next()
        .unwrap();
    let rendered = |keys_max, again_max| {
        let form = DocumentForm::Json;
        let batch = render(&sight, target, form, keys_max, usize::MAX, again_max).unwrap();
        (batch.sent.len(), batch.again.0, batch.complete)
    };
    assert_eq!(rendered(usize::MAX, 1), (due + 1, 1, true));
    assert_eq!(rendered(due, usize::MAX), (due, 0, true));
    assert_eq!(rendered(due - 1, usize::MAX), (due - 1, 0, false));
}
