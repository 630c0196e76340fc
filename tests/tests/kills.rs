//! `kill -9` at every durability edge and at random moments, also during the first load with writes going on: afterwards every
//! sink equals the source.
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "tests")]

use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use readside_tests::scene::Scene;
use readside_tests::schemas::TEAMS;
use readside_tests::workload::{Workload, seed};

/// Where a test can kill the process, in the order in which a change gets there.
const FAILPOINTS: [&str; 12] = [
    "changelog.appended",
    "changelog.synced",
    "load.copied",
    "load.adopted",
    "fill.done",
    "projection.applied",
    "projection.committed",
    "state.flushed",
    "writer.rendered",
    "writer.acknowledged",
    "writer.cleared",
    "marker.written",
];

fn workload(scene: &Scene, seed: u64, transactions: u32) -> Workload {
    Workload::new(&scene.app_url(), seed)
        .transactions(transactions)
        .truncate(0.01)
}

#[tokio::test]
async fn a_kill_at_any_edge_loses_and_invents_nothing() {
    let seed = seed();
    let mut rng = StdRng::seed_from_u64(seed);
    let scene = Scene::of(15, &TEAMS).await.unwrap();
    workload(&scene, seed, 0).fill(20).await.unwrap();
    let mut reached = Vec::new();
    for round in 0..2 {
        for failpoint in FAILPOINTS {
            let nth = rng.random_range(1..=3);
            let process = scene
                .project
                .run_to_failpoint(failpoint, nth)
                .await
                .unwrap();
            let load = workload(&scene, rng.random(), 25);
            load.run().await.unwrap();
            // Some edges are only passed in the first life, or every few seconds.
            match process.ended(Duration::from_secs(6)).await {
                Ok(status) => {
                    assert!(!status.success(), "{failpoint}: ended by itself");
                    reached.push((round, failpoint));
                }
                Err(_) => eprintln!("{failpoint}:{nth} was not reached"),
            }
            let process = scene.project.run().await.unwrap();
            scene
                .check_converged()
                .await
                .unwrap_or_else(|error| panic!("after {failpoint}:{nth}: {error:#}"));
            process.kill9().await.unwrap();
        }
    }
    assert!(
        reached.len() > FAILPOINTS.len(),
        "only {reached:?} were reached"
    );
    scene.clear().await.unwrap();
}

#[tokio::test]
async fn kills_at_random_moments_lose_and_invent_nothing() {
    let seed = seed();
    let mut rng = StdRng::seed_from_u64(seed);
    let scene = Scene::of(15, &TEAMS).await.unwrap();
    workload(&scene, seed, 0).fill(20).await.unwrap();
    for round in 0..12 {
        let process = scene.project.start(&[]).await.unwrap();
        let load = workload(&scene, rng.random(), 60);
        let moment = Duration::from_millis(rng.random_range(0..2500));
        let (loaded, ()) = tokio::join!(load.run(), tokio::time::sleep(moment));
        loaded.unwrap();
        process.kill9().await.unwrap();
        if round % 4 == 3 {
            let process = scene.project.run().await.unwrap();
            scene.check_converged().await.unwrap();
            process.kill9().await.unwrap();
        }
    }
    scene.clear().await.unwrap();
}

#[tokio::test]
async fn kills_during_the_first_load_lose_and_invent_nothing() {
    let seed = seed();
    let mut rng = StdRng::seed_from_u64(seed);
    let scene = Scene::of(15, &TEAMS).await.unwrap();
    workload(&scene, seed, 0).fill(200).await.unwrap();
    scene
        .execute(
            "INSERT INTO task SELECT t.id, 100000 + n, NULL, 'filler', 1, false, repeat('note ', 20) \
             FROM (SELECT id FROM team ORDER BY id LIMIT 20) t, generate_series(1, 2000) n",
        )
        .await
        .unwrap();
    for _ in 0..6 {
        let process = scene.project.start(&[]).await.unwrap();
        let load = workload(&scene, rng.random(), 15);
        let moment = Duration::from_millis(rng.random_range(50..900));
        let (loaded, ()) = tokio::join!(load.run(), tokio::time::sleep(moment));
        loaded.unwrap();
        process.kill9().await.unwrap();
    }
    let process = scene.project.run().await.unwrap();
    scene.check_converged().await.unwrap();
    process.stop().await.unwrap();
    scene.clear().await.unwrap();
}
