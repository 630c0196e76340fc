//! Random transactions over several schemas: at a quiet moment every view in every sink equals what its SQL returns.
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "tests")]

use readside_tests::scene::Scene;
use readside_tests::schemas::{LIBRARY, READINGS, Schema, TEAMS};
use readside_tests::workload::{Workload, seed};

/// Loads what is there at first, then follows three rounds of transactions, with a restart between the last two.
async fn follows(version: u32, schema: Schema) {
    let seed = seed();
    let scene = Scene::of(version, &schema).await.unwrap();
    let workload = |round: u64| {
        Workload::new(&scene.app_url(), seed.wrapping_mul(10) + round)
            .transactions(120)
            .truncate(0.01)
            .toast(0.05)
    };
    workload(0).fill(25).await.unwrap();
    let process = scene.project.run().await.unwrap();
    // The first load runs meanwhile.
    eprintln!("{}", workload(1).run().await.unwrap());
    scene.check_converged().await.unwrap();
    eprintln!("{}", workload(2).run().await.unwrap());
    scene.check_converged().await.unwrap();
    assert_eq!(process.stop().await.unwrap(), Some(0));
    // What happens while it is down is not lost.
    eprintln!("{}", workload(3).run().await.unwrap());
    let process = scene.project.run().await.unwrap();
    scene.check_converged().await.unwrap();
    assert_eq!(process.stop().await.unwrap(), Some(0));
    scene.clear().await.unwrap();
}

#[tokio::test]
async fn documents_follow_random_transactions() {
    follows(15, LIBRARY).await;
}

#[tokio::test]
async fn groups_follow_random_transactions() {
    follows(15, READINGS).await;
}

#[tokio::test]
async fn trees_follow_random_transactions() {
    follows(15, TEAMS).await;
}

#[tokio::test]
async fn documents_follow_random_transactions_of_postgres_18() {
    follows(18, LIBRARY).await;
}

#[tokio::test]
async fn groups_follow_random_transactions_of_postgres_18() {
    follows(18, READINGS).await;
}
