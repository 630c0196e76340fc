//! The shop at scale 1, its read models, and both services.

use readside_shop::SCHEMA;
use readside_tests::readside::Process;
use readside_tests::scene::{ARRIVAL_LIMIT, Scene};
use readside_tests::shop::{Answer, Service, Stores, add_views};
use serde_json::Value;
use tokio_postgres::Client;

/// What is open.
pub(crate) struct Shop {
    pub(crate) commands: Service,
    pub(crate) queries: Service,
    pub(crate) readside: Process,
    pub(crate) database: Client,
    pub(crate) scene: Scene,
}

impl Shop {
    pub(crate) async fn open() -> Self {
        let mut scene = Scene::new(15, SCHEMA).await.unwrap();
        let database = scene.app().await.unwrap();
        readside_shop::fill(&database, 1).await.unwrap();
        let prefix = scene.search.prefix().to_owned();
        add_views(&mut scene.project, &prefix).unwrap();
        let readside = scene.project.run().await.unwrap();
        scene.project.wait_caught_up(ARRIVAL_LIMIT).await.unwrap();
        let stores = Stores {
            cache: &scene.redis.url(),
            search: scene.search.url(),
            prefix: &prefix,
            reporting: &scene.reporting.url_of("reports"),
            readside: &scene.project.admin_url(),
        };
        Self {
            commands: Service::commands(&scene.app_url()).await.unwrap(),
            queries: Service::queries(&stores).await.unwrap(),
            readside,
            database,
            scene,
        }
    }

    /// Sends a command that is done.
    pub(crate) async fn done(&self, name: &str, body: Value) -> Done {
        let answer = self.commands.command(name, &body).await.unwrap();
        assert!(
            matches!(answer.status, 200 | 201),
            "{name} {body}: {answer:?}"
        );
        let fields: Vec<&String> = answer.body.as_object().unwrap().keys().collect();
        assert_eq!(fields, ["id", "lsn"], "a command answers with nothing else");
        Done {
            id: answer.body["id"].as_i64().unwrap(),
            lsn: answer.body["lsn"].as_str().unwrap().to_owned(),
        }
    }

    /// Sends a command that is refused.
    pub(crate) async fn refused(&self, name: &str, body: &Value) -> Answer {
        let answer = self.commands.command(name, body).await.unwrap();
        assert!(answer.status >= 400, "{name} {body}: {answer:?}");
        assert_eq!(
            answer.content_type.as_deref(),
            Some("application/problem+json")
        );
        assert!(answer.body["title"].is_string() && answer.body["detail"].is_string());
        answer
    }

    /// Asks for at least what a command has done.
    pub(crate) async fn read(&self, path: impl AsRef<str>, done: &Done) -> Answer {
        let path = path.as_ref();
        let joint = if path.contains('?') { '&' } else { '?' };
        let path = format!("{path}{joint}min_lsn={}&wait_ms=15000", done.lsn);
        let answer = self.queries.query(&path).await.unwrap();
        if answer.status != 503 {
            let position = answer.position.as_ref();
            let position = position.unwrap_or_else(|| panic!("{path}: {answer:?}"));
            assert!(at(position) >= at(&done.lsn), "{position} for {}", done.lsn);
        }
        answer
    }

    pub(crate) async fn found(&self, path: impl AsRef<str>, done: &Done) -> Value {
        let path = path.as_ref();
        let answer = self.read(path, done).await;
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
        answer.body
    }

    /// A product that can be bought.
    pub(crate) async fn on_sale(&self) -> i64 {
        let sql = "SELECT min(id) FROM products WHERE active";
        self.database.query_one(sql, &[]).await.unwrap().get(0)
    }

    pub(crate) async fn close(self) {
        self.scene.check_converged().await.unwrap();
        assert_eq!(self.commands.stop().await.unwrap(), Some(0));
        assert_eq!(self.queries.stop().await.unwrap(), Some(0));
        assert_eq!(self.readside.stop().await.unwrap(), Some(0));
        self.scene.clear().await.unwrap();
    }
}

/// What a command answered.
pub(crate) struct Done {
    pub(crate) id: i64,
    pub(crate) lsn: String,
}

/// A position's LSN as a number.
pub(crate) fn at(position: &str) -> u64 {
    let (timeline, lsn) = position.split_once(':').unwrap();
    assert_eq!(timeline, "1");
    let (high, low) = lsn.split_once('/').unwrap();
    u64::from_str_radix(high, 16).unwrap() << 32 | u64::from_str_radix(low, 16).unwrap()
}
