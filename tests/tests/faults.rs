//! Sinks and sources that die, hang, answer in part or slowly.
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "tests")]

use std::time::Duration;

use readside_tests::proxy::{Fault, Proxy};
use readside_tests::readside::Process;
use readside_tests::scene::{ARRIVAL_LIMIT, Scene};
use readside_tests::schemas::LIBRARY;
use readside_tests::until;
use readside_tests::workload::{Workload, seed};

async fn work(scene: &Scene, seed: u64) {
    Workload::new(&scene.app_url(), seed)
        .transactions(60)
        .truncate(0.0)
        .run()
        .await
        .unwrap();
}

/// Waits until all views have arrived in these sinks alone.
async fn arrived_in(scene: &Scene, sinks: &[&str]) {
    let mut args = vec!["wait"];
    for sink in sinks {
        args.extend(["--sink", sink]);
    }
    let output = scene.project.command(&args, ARRIVAL_LIMIT).await.unwrap();
    assert_eq!(output.code, Some(0), "{output:?}");
    for compared in scene.project.compare_in(sinks).await.unwrap() {
        compared
            .difference
            .check(&format!("`{}` in `{}`", compared.view, compared.sink))
            .unwrap();
    }
}

async fn sink_up(process: &Process, sink: &str) -> f64 {
    process
        .metric("readside_sink_up", &[&format!("sink=\"{sink}\"")])
        .await
        .unwrap()
        .unwrap_or(-1.0)
}

#[tokio::test]
async fn a_dead_redis_disturbs_no_other_sink_and_gets_what_it_missed() {
    let seed = seed();
    let mut scene = Scene::of(15, &LIBRARY).await.unwrap();
    Workload::new(&scene.app_url(), seed)
        .fill(20)
        .await
        .unwrap();
    let mut process = scene.project.run().await.unwrap();
    scene.check_converged().await.unwrap();
    scene.redis.crash().await.unwrap();
    work(&scene, seed + 1).await;
    arrived_in(&scene, &["search", "reporting"]).await;
    until(
        "the sink to be shown as down",
        Duration::from_secs(30),
        || async {
            let up = sink_up(&process, "cache").await;
            anyhow::ensure!(up < 0.5, "readside_sink_up is {up}");
            Ok(())
        },
    )
    .await
    .unwrap();
    process.check_running().unwrap();
    scene.redis.restart().await.unwrap();
    scene.check_converged().await.unwrap();
    scene.clear().await.unwrap();
}

#[tokio::test]
async fn a_redis_that_lost_everything_is_filled_again() {
    let seed = seed();
    let scene = Scene::of(15, &LIBRARY).await.unwrap();
    Workload::new(&scene.app_url(), seed)
        .fill(20)
        .await
        .unwrap();
    let _process = scene.project.run().await.unwrap();
    scene.check_converged().await.unwrap();
    let mut connection = scene.redis.connection().await.unwrap();
    redis::cmd("FLUSHALL")
        .query_async::<()>(&mut connection)
        .await
        .unwrap();
    until("the cache to be filled again", ARRIVAL_LIMIT, || async {
        scene.project.check_equal().await
    })
    .await
    .unwrap();
    scene.clear().await.unwrap();
}

#[tokio::test]
async fn a_killed_search_node_gets_what_it_missed() {
    let seed = seed();
    let mut scene = Scene::with_own_search(15, LIBRARY.sql).await.unwrap();
    scene.views(&LIBRARY).unwrap();
    Workload::new(&scene.app_url(), seed)
        .fill(20)
        .await
        .unwrap();
    let mut process = scene.project.run().await.unwrap();
    scene.check_converged().await.unwrap();
    scene.search.crash().await.unwrap();
    work(&scene, seed + 1).await;
    arrived_in(&scene, &["cache", "reporting"]).await;
    process.check_running().unwrap();
    scene.search.restart().await.unwrap();
    scene.check_converged().await.unwrap();
}

#[tokio::test]
async fn a_crashed_reporting_database_gets_what_it_missed() {
    let seed = seed();
    let mut scene = Scene::of(15, &LIBRARY).await.unwrap();
    Workload::new(&scene.app_url(), seed)
        .fill(20)
        .await
        .unwrap();
    let mut process = scene.project.run().await.unwrap();
    scene.check_converged().await.unwrap();
    scene.reporting.crash().await.unwrap();
    work(&scene, seed + 1).await;
    arrived_in(&scene, &["cache", "search"]).await;
    process.check_running().unwrap();
    scene.reporting.restart().await.unwrap();
    scene.check_converged().await.unwrap();
    scene.clear().await.unwrap();
}

#[tokio::test]
async fn sinks_that_are_slow_hang_or_lose_answers_end_up_right() {
    let seed = seed();
    let mut scene = Scene::of(15, &LIBRARY).await.unwrap();
    let redis = Proxy::start(scene.redis.port()).await.unwrap();
    let search = Proxy::start(scene.search.port()).await.unwrap();
    let reporting = Proxy::start(scene.reporting.port()).await.unwrap();
    let url = redis.url(&scene.redis.url(), scene.redis.port());
    scene.project.sink_by("cache", &url).unwrap();
    let url = search.url(scene.search.url(), scene.search.port());
    scene.project.sink_by("search", &url).unwrap();
    let url = reporting.url(&scene.reporting.url_of("reports"), scene.reporting.port());
    scene.project.sink_by("reporting", &url).unwrap();
    Workload::new(&scene.app_url(), seed)
        .fill(20)
        .await
        .unwrap();
    let mut process = scene.project.run().await.unwrap();
    scene.check_converged().await.unwrap();
    let faults = [
        Fault::Delay(Duration::from_millis(30)),
        Fault::CutAfter(700),
        Fault::Reset,
        Fault::Throttle(40_000),
        Fault::BlackHole,
        Fault::CutAfter(5000),
    ];
    for (round, fault) in (1..).zip(faults) {
        for proxy in [&redis, &search, &reporting] {
            proxy.set(fault);
        }
        work(&scene, seed + round).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
        for proxy in [&redis, &search, &reporting] {
            proxy.set(Fault::Pass);
        }
        process.check_running().unwrap();
        scene
            .check_converged()
            .await
            .unwrap_or_else(|error| panic!("after {fault:?}: {error:#}"));
    }
    scene.clear().await.unwrap();
}

#[tokio::test]
async fn a_source_that_crashes_and_restarts_is_followed_again() {
    let seed = seed();
    let mut scene = Scene::of(15, &LIBRARY).await.unwrap();
    Workload::new(&scene.app_url(), seed)
        .fill(20)
        .await
        .unwrap();
    let mut process = scene.project.run().await.unwrap();
    scene.check_converged().await.unwrap();
    work(&scene, seed + 1).await;
    scene.source.crash().await.unwrap();
    scene.source.restart().await.unwrap();
    work(&scene, seed + 2).await;
    scene.check_converged().await.unwrap();
    // A fast shutdown waits for us to take what is left.
    work(&scene, seed + 3).await;
    scene.source.stop_fast().await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    scene.source.restart().await.unwrap();
    work(&scene, seed + 4).await;
    scene.check_converged().await.unwrap();
    process.check_running().unwrap();
    scene.clear().await.unwrap();
}

#[tokio::test]
async fn a_source_behind_a_broken_network_is_followed_again() {
    let seed = seed();
    let mut scene = Scene::of(15, &LIBRARY).await.unwrap();
    let proxy = Proxy::start(scene.source.port()).await.unwrap();
    let url = proxy.url(&scene.app_url(), scene.source.port());
    scene.project.source_by(&url).unwrap();
    Workload::new(&scene.app_url(), seed)
        .fill(20)
        .await
        .unwrap();
    let mut process = scene.project.run().await.unwrap();
    scene.check_converged().await.unwrap();
    for (round, fault) in (1..).zip([
        Fault::Reset,
        Fault::Throttle(100_000),
        Fault::BlackHole,
        Fault::Delay(Duration::from_millis(20)),
    ]) {
        proxy.set(fault);
        work(&scene, seed + round).await;
        tokio::time::sleep(Duration::from_secs(2)).await;
        proxy.set(Fault::Pass);
        process.check_running().unwrap();
        scene
            .check_converged()
            .await
            .unwrap_or_else(|error| panic!("after {fault:?}: {error:#}"));
    }
    scene.clear().await.unwrap();
}
