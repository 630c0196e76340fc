//! The shop's write side: commands over HTTP, each one transaction on Postgres.
//!
//! In: `POST /commands/<name>` with a JSON object. Out: the id of what was made or changed, and the position of the commit:
//! `{"id": 1042, "lsn": "1:0/1A2B3C4"}`; else a [`Problem`]. No command returns data.
//!
//! Always: a command has been done completely when its position is answered, and not at all when a problem is (but for the one that
//! says that it isn't known). Nothing here knows who reads the database's log.

mod catalogue;
mod customers;
mod database;
mod orders;

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Result;
use axum::extract::rejection::JsonRejection;
use axum::extract::{Json, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Router, extract::DefaultBodyLimit};
use serde::de::DeserializeOwned;
use serde_json::json;

use crate::problem::{Checks, Problem};
use crate::session::Session;
use database::{Database, Failure};

/// The largest request.
const BODY_BYTES_MAX: usize = 64 * 1024;

/// What somebody wants done.
trait Command: DeserializeOwned + Send + Sync + 'static {
    /// Its name in the URL.
    const NAME: &'static str;
    /// Whether it makes something.
    const CREATES: bool = false;

    /// What is wrong with it whatever the database holds.
    fn check(&self, checks: &mut Checks);

    /// Does it in an open transaction, and answers with an id. May be called again after a deadlock.
    fn run(
        &self,
        session: &mut Session,
    ) -> impl Future<Output = Result<serde_json::Value, Failure>> + Send;
}

/// The command service.
#[derive(Debug, Clone)]
pub struct CommandService {
    /// The shop's database.
    pub url: String,
    /// Where to listen.
    pub listen: SocketAddr,
    /// Connections to the database, at most.
    pub connections: usize,
}

impl CommandService {
    /// Serves until SIGINT or SIGTERM.
    pub async fn serve(self) -> Result<()> {
        let database = Arc::new(Database::new(&self.url, self.connections));
        // So that a wrong URL is an error here.
        database.check().await?;
        let routes = Router::new();
        let routes = orders::routes(routes);
        let routes = customers::routes(routes);
        let routes = catalogue::routes(routes)
            .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
            .with_state(database);
        crate::server::serve(self.listen, routes).await
    }
}

type Routes = Router<Arc<Database>>;

fn add<C: Command>(routes: Routes) -> Routes {
    routes.route(&format!("/commands/{}", C::NAME), post(handle::<C>))
}

async fn handle<C: Command>(
    State(database): State<Arc<Database>>,
    body: Result<Json<C>, JsonRejection>,
) -> Result<Response, Problem> {
    let Json(command) = body?;
    let mut checks = Checks::default();
    command.check(&mut checks);
    checks.done()?;
    // In a task of its own: a client that hangs up doesn't stop it half-way.
    let done = tokio::spawn(async move { database.run(&command).await });
    let done = done
        .await
        .map_err(|_| Problem::internal("the command has failed"))??;
    let status = if C::CREATES {
        StatusCode::CREATED
    } else {
        StatusCode::OK
    };
    let body = json!({"id": done.id, "lsn": done.position});
    Ok((status, Json(body)).into_response())
}
