//! The shop's read side: queries over HTTP, answered from the read models alone.
//!
//! | `GET /queries/…` | from |
//! | --- | --- |
//! | `order-details/{order_id}` | Redis |
//! | `user-cart/{customer_id}` | Redis |
//! | `product-list?text=&category=&sort=&page=&size=` | OpenSearch |
//! | `order-history/{customer_id}` | the reporting Postgres |
//! | `product-popularity?product_id=&limit=` | the reporting Postgres |
//! | `dashboard-metrics?days=` | the reporting Postgres |
//!
//! Each takes `min_lsn=` (what a command answered) and `wait_ms=`: the answer then holds everything up to there, or is a 503 with
//! `Retry-After`, never an older state. See [`freshness`].
//!
//! Always: no connection to the write database; it isn't even told where that is.

mod cache;
mod freshness;
mod parameters;
mod reporting;
mod search;

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Result;
use axum::Router;
use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderName, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use crate::problem::Problem;
use cache::Cache;
use freshness::{Freshness, Reached};
use parameters::Parameters;
use reporting::Reporting;
use search::Search;

/// Where the read model stood that an answer comes from, if the reader asked for a minimum.
pub(crate) const POSITION_HEADER: HeaderName = HeaderName::from_static("shop-position");
/// How long the reader had to wait for that, in milliseconds.
pub(crate) const WAITED_HEADER: HeaderName = HeaderName::from_static("shop-waited-ms");

/// The query service.
#[derive(Debug, Clone)]
pub struct QueryService {
    /// Redis.
    pub cache: String,
    /// OpenSearch.
    pub search: String,
    /// The index of the products there.
    pub products: String,
    /// The reporting Postgres.
    pub reporting: String,
    /// The admin server of `readside run`.
    pub readside: String,
    /// Its token.
    pub token: Option<String>,
    /// Where to listen.
    pub listen: SocketAddr,
    /// Connections to the reporting database, at most.
    pub connections: usize,
}

struct Sources {
    cache: Cache,
    search: Search,
    reporting: Reporting,
    freshness: Freshness,
}

/// A read model in a store: its names in `readside.toml`.
#[derive(Debug, Clone, Copy)]
struct Model {
    view: &'static str,
    sink: &'static str,
}

const ORDER_DETAILS: Model = Model {
    view: "order_details",
    sink: "cache",
};
const USER_CART: Model = Model {
    view: "user_cart",
    sink: "cache",
};
const PRODUCT_LIST: Model = Model {
    view: "product_search",
    sink: "search",
};
const ORDER_HISTORY: Model = Model {
    view: "order_history",
    sink: "reporting",
};
const PRODUCT_POPULARITY: Model = Model {
    view: "product_popularity",
    sink: "reporting",
};
const DASHBOARD_METRICS: Model = Model {
    view: "dashboard_metrics",
    sink: "reporting",
};

impl QueryService {
    /// Serves until SIGINT or SIGTERM.
    pub async fn serve(self) -> Result<()> {
        let http = crate::server::http_client()?;
        let sources = Arc::new(Sources {
            cache: Cache::new(&self.cache)?,
            search: Search::new(http.clone(), &self.search, &self.products),
            reporting: Reporting::new(&self.reporting, self.connections),
            freshness: Freshness::new(http, &self.readside, self.token),
        });
        let routes = Router::new()
            .route("/queries/order-details/{id}", get(order_details))
            .route("/queries/user-cart/{id}", get(user_cart))
            .route("/queries/product-list", get(product_list))
            .route("/queries/order-history/{id}", get(order_history))
            .route("/queries/product-popularity", get(product_popularity))
            .route("/queries/dashboard-metrics", get(dashboard_metrics))
            .with_state(sources);
        crate::server::serve(self.listen, routes).await
    }
}

type Shared = State<Arc<Sources>>;
type Answer = Result<Response, Problem>;

async fn order_details(State(from): Shared, Path(id): Path<String>, raw: RawQuery) -> Answer {
    let id: i64 = parameters::number("the order's id", &id)?;
    let reached = only_freshness(&from, ORDER_DETAILS, raw).await?;
    let order = from.cache.get(&format!("order:{id}")).await?;
    answer(order, reached, || format!("there is no order {id}"))
}

async fn user_cart(State(from): Shared, Path(id): Path<String>, raw: RawQuery) -> Answer {
    let id: i64 = parameters::number("the customer's id", &id)?;
    let reached = only_freshness(&from, USER_CART, raw).await?;
    let cart = from.cache.get(&format!("cart:{id}")).await?;
    answer(cart, reached, || format!("customer {id} has no cart"))
}

async fn product_list(State(from): Shared, raw: RawQuery) -> Answer {
    let mut parameters = Parameters::of(raw)?;
    let wanted = search::Wanted::take(&mut parameters)?;
    let minimum = parameters.take_minimum()?;
    parameters.none_left()?;
    let reached = from.freshness.reach(PRODUCT_LIST, minimum).await?;
    found(from.search.products(&wanted).await?, reached)
}

async fn order_history(State(from): Shared, Path(id): Path<String>, raw: RawQuery) -> Answer {
    let id: i64 = parameters::number("the customer's id", &id)?;
    let reached = only_freshness(&from, ORDER_HISTORY, raw).await?;
    found(from.reporting.order_history(id).await?, reached)
}

async fn product_popularity(State(from): Shared, raw: RawQuery) -> Answer {
    let mut parameters = Parameters::of(raw)?;
    let product = parameters.take("product_id")?;
    let limit = parameters.take_between("limit", 1, 100)?.unwrap_or(10);
    let minimum = parameters.take_minimum()?;
    parameters.none_left()?;
    let reached = from.freshness.reach(PRODUCT_POPULARITY, minimum).await?;
    found(
        from.reporting.product_popularity(product, limit).await?,
        reached,
    )
}

async fn dashboard_metrics(State(from): Shared, raw: RawQuery) -> Answer {
    let mut parameters = Parameters::of(raw)?;
    let days = parameters.take_between("days", 1, 366)?.unwrap_or(30);
    let minimum = parameters.take_minimum()?;
    parameters.none_left()?;
    let reached = from.freshness.reach(DASHBOARD_METRICS, minimum).await?;
    found(from.reporting.dashboard_metrics(days).await?, reached)
}

/// For queries that have no parameters but the minimum.
async fn only_freshness(
    from: &Sources,
    model: Model,
    raw: RawQuery,
) -> Result<Option<Reached>, Problem> {
    let mut parameters = Parameters::of(raw)?;
    let minimum = parameters.take_minimum()?;
    parameters.none_left()?;
    from.freshness.reach(model, minimum).await
}

fn found(json: String, reached: Option<Reached>) -> Answer {
    answer(Some(json), reached, String::new)
}

/// The document as the store has it, or a 404; with how fresh that is.
fn answer(
    document: Option<String>,
    reached: Option<Reached>,
    missing: impl FnOnce() -> String,
) -> Answer {
    let kind = HeaderValue::from_static("application/json");
    let mut response = match document {
        Some(json) => ([(header::CONTENT_TYPE, kind)], json).into_response(),
        None => Problem::not_found(missing()).into_response(),
    };
    if let Some(reached) = reached {
        let headers = response.headers_mut();
        if let Ok(position) = HeaderValue::try_from(reached.position) {
            headers.insert(POSITION_HEADER, position);
        }
        let waited = u64::try_from(reached.waited.as_millis()).unwrap_or(u64::MAX);
        headers.insert(WAITED_HEADER, HeaderValue::from(waited));
    }
    Ok(response)
}
