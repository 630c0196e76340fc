//! The schemas of the randomised tests are what they claim to be.
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "tests")]

use readside_tests::oracle::{self, Rules};
use readside_tests::postgres::Postgres;
use readside_tests::schemas::{LIBRARY, READINGS, TEAMS};
use readside_tests::workload::Workload;

#[tokio::test]
async fn every_view_has_rows_that_its_key_tells_apart() {
    let server = Postgres::start(15, &[]).await.unwrap();
    for schema in [LIBRARY, READINGS, TEAMS] {
        let url = server.create_database(schema.name).await.unwrap();
        let client = server.client(schema.name).await.unwrap();
        client.batch_execute(schema.sql).await.unwrap();
        let workload = Workload::new(&url, 1).transactions(60).truncate(0.0);
        workload.fill(25).await.unwrap();
        workload.run().await.unwrap();
        for (name, sql, key) in schema.views {
            let rows = oracle::source(&url, sql).await.unwrap();
            assert!(!rows.is_empty(), "view `{name}` of {}", schema.name);
            let keys: Vec<String> = key.iter().map(|c| format!("\"{c}\"")).collect();
            let keys = if keys.is_empty() {
                "1".to_owned()
            } else {
                keys.join(", ")
            };
            let distinct = oracle::source(&url, &format!("SELECT DISTINCT {keys} FROM ({sql}) v"))
                .await
                .unwrap();
            assert_eq!(
                rows.len(),
                distinct.len(),
                "view `{name}` of {}",
                schema.name
            );
            let rules = Rules {
                key,
                unordered_arrays: false,
            };
            oracle::compare(&rows, &rows, rules)
                .unwrap()
                .check(name)
                .unwrap();
        }
    }
}
