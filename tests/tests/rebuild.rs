//! `readside rebuild`: views are filled anew and written again under load, current all along, and whatever happens meanwhile.
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "tests")]

use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use readside_tests::scene::Scene;
use readside_tests::schemas::TEAMS;
use readside_tests::workload::{Workload, seed};

const LIMIT: Duration = Duration::from_secs(120);

/// Where a rebuild can be killed, in order.
const FAILPOINTS: [&str; 4] = [
    "rebuild.begun",
    "rebuild.filled",
    "rebuild.switched",
    "rebuild.marked",
];

/// Several pieces of rows in each view.
async fn teams() -> Scene {
    let scene = Scene::of(15, &TEAMS).await.unwrap();
    Workload::new(&scene.app_url(), 7)
        .transactions(0)
        .fill(20)
        .await
        .unwrap();
    scene
        .execute(
            "INSERT INTO task SELECT t.id, 100000 + n, NULL, 'filler', 1, false, repeat('note ', 20) \
             FROM (SELECT id FROM team ORDER BY id LIMIT 10) t, generate_series(1, 2000) n",
        )
        .await
        .unwrap();
    scene
}

fn names() -> Vec<&'static str> {
    TEAMS.views.iter().map(|(name, _, _)| *name).collect()
}

async fn rebuild(scene: &Scene, more: &[&str]) -> readside_tests::readside::Output {
    let args = [&["rebuild"], names().as_slice(), more].concat();
    scene.project.command(&args, LIMIT).await.unwrap()
}

#[tokio::test]
async fn a_rebuild_under_load_writes_every_row_again_and_no_reader_waits_for_it() {
    let seed = seed();
    let scene = teams().await;
    let process = scene.project.run().await.unwrap();
    scene.check_converged().await.unwrap();
    // What went wrong in the stores, behind readside's back.
    scene.reporting.client("reports").await.unwrap()
        .batch_execute("DELETE FROM readside.workload; UPDATE readside.tasks SET title = 'wrong' WHERE no > 100500")
        .await
        .unwrap();
    let load = Workload::new(&scene.app_url(), seed).transactions(120);
    let (rebuilt, loaded, waited) = tokio::join!(
        rebuild(&scene, &["--json"]),
        load.run(),
        // Nothing that a client waits for is behind the rows that are only written again.
        scene.project.command(&["wait", "--timeout", "60s"], LIMIT)
    );
    loaded.unwrap();
    assert_eq!(waited.unwrap().code, Some(0));
    assert_eq!(rebuilt.code, Some(0), "{}", rebuilt.stderr);
    let answer: serde_json::Value = serde_json::from_str(&rebuilt.stdout).unwrap();
    for rebuild in answer["rebuilds"].as_array().unwrap() {
        assert_eq!(rebuild["phase"], "done", "{answer}");
        assert!(rebuild["rows_total"].as_u64().unwrap() > 0, "{answer}");
    }
    scene.check_converged().await.unwrap();
    process.stop().await.unwrap();
    scene.clear().await.unwrap();
}

#[tokio::test]
async fn a_rebuild_that_is_killed_goes_on_at_the_next_start() {
    let seed = seed();
    let mut rng = StdRng::seed_from_u64(seed);
    let scene = teams().await;
    let process = scene.project.run().await.unwrap();
    scene.check_converged().await.unwrap();
    process.stop().await.unwrap();
    let mut reached = 0;
    for failpoint in FAILPOINTS {
        let nth = rng.random_range(1..=2);
        let mut process = scene
            .project
            .run_to_failpoint(failpoint, nth)
            .await
            .unwrap();
        process.wait_healthy().await.unwrap();
        // The end of the last rebuild may not have become durable: then one goes on by itself, and is killed as it should be.
        let _ = scene.project.wait_caught_up(LIMIT).await;
        let load = Workload::new(&scene.app_url(), rng.random()).transactions(30);
        let (_, loaded) = tokio::join!(rebuild(&scene, &[]), load.run());
        loaded.unwrap();
        // What went on from the last rebuild may be past this point already.
        match process.ended(Duration::from_secs(3)).await {
            Ok(status) => {
                assert!(!status.success(), "{failpoint}:{nth} ended by itself");
                reached += 1;
            }
            Err(_) => eprintln!("{failpoint}:{nth} was not reached"),
        }
        let process = scene.project.run().await.unwrap();
        scene.project.wait_caught_up(LIMIT).await.unwrap();
        // The same command watches what went on by itself, or begins what had not become durable.
        let rebuilt = rebuild(&scene, &[]).await;
        assert_eq!(
            rebuilt.code,
            Some(0),
            "{failpoint}:{nth}: {}",
            rebuilt.stderr
        );
        scene
            .check_converged()
            .await
            .unwrap_or_else(|error| panic!("after {failpoint}:{nth}: {error:#}"));
        process.kill9().await.unwrap();
    }
    assert!(
        reached >= 2,
        "only {reached} of the failpoints were reached"
    );
    scene.clear().await.unwrap();
}

#[tokio::test]
async fn a_rebuild_that_is_cancelled_leaves_what_was_live() {
    let scene = teams().await;
    let process = scene.project.run().await.unwrap();
    scene.check_converged().await.unwrap();
    // Slow enough to be caught in either phase.
    for moment in [50, 1500] {
        let (begun, cancelled) = tokio::join!(rebuild(&scene, &["--rate", "4000"]), async {
            tokio::time::sleep(Duration::from_millis(moment)).await;
            rebuild(&scene, &["--cancel"]).await
        });
        assert_eq!(begun.code, Some(1), "{}{}", begun.stdout, begun.stderr);
        assert_eq!(cancelled.code, Some(0), "{}", cancelled.stderr);
        let load = Workload::new(&scene.app_url(), moment).transactions(30);
        load.run().await.unwrap();
        scene.check_converged().await.unwrap();
        let again = process
            .metric("readside_rebuild_progress_ratio", &[])
            .await
            .unwrap();
        assert_eq!(again, None, "a rebuild that has ended is shown as going on");
    }
    process.stop().await.unwrap();
    scene.clear().await.unwrap();
}

#[tokio::test]
async fn a_repair_mends_exactly_what_differs() {
    let scene = teams().await;
    let process = scene.project.run().await.unwrap();
    scene.check_converged().await.unwrap();
    let client = redis::Client::open(scene.redis.url()).unwrap();
    let mut cache = client.get_multiplexed_async_connection().await.unwrap();
    let keys: Vec<String> = redis::cmd("KEYS")
        .arg("teams:*")
        .query_async(&mut cache)
        .await
        .unwrap();
    let ghost = "teams:999999";
    redis::pipe()
        .del(&keys[0])
        .set(&keys[1], "{}")
        .set(ghost, "{}")
        .exec_async(&mut cache)
        .await
        .unwrap();
    scene
        .reporting
        .client("reports")
        .await
        .unwrap()
        .batch_execute(
            "DELETE FROM readside.teams WHERE id = (SELECT min(id) FROM readside.teams);
             UPDATE readside.teams SET name = 'wrong' WHERE id = (SELECT max(id) FROM readside.teams);
             INSERT INTO readside.teams (id, name) VALUES (999999, 'ghost')",
        )
        .await
        .unwrap();
    let writes = async || {
        let name = "readside_sink_writes_total";
        process
            .metric(name, &["view=\"teams\""])
            .await
            .unwrap()
            .unwrap_or_default()
    };
    let before = writes().await;
    let verify = async |args: &[&str]| {
        let args = [&["verify", "teams", "--json"], args].concat();
        let output = scene.project.command(&args, LIMIT).await.unwrap();
        let report: serde_json::Value = serde_json::from_str(&output.stdout).unwrap();
        (output.code, report)
    };
    let (code, report) = verify(&["--repair"]).await;
    assert_eq!(code, Some(1));
    for view in report["views"].as_array().unwrap() {
        let wanted = usize::from(view["sink"] != "search");
        for kind in ["missing", "stale", "ghost"] {
            assert_eq!(
                view[kind].as_array().unwrap().len(),
                wanted,
                "{kind}: {view}"
            );
        }
    }
    let (code, report) = verify(&[]).await;
    assert_eq!(code, Some(0), "{report}");
    assert_eq!(
        writes().await - before,
        6.0,
        "only what differs is written again"
    );
    scene.check_converged().await.unwrap();
    process.stop().await.unwrap();
    scene.clear().await.unwrap();
}
