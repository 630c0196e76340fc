//! One customer at a time: looks around, and now and then does something.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::future::join_all;
use rand::Rng;
use rand::rngs::StdRng;
use serde::Deserialize;
use serde_json::{Value, json};

use super::Traffic;
use super::seen::{Counters, Model, Outcome};

/// How long a customer waits for what it has written itself.
const WAIT_MS: u32 = 5000;
/// How long after a failure the next request is made.
const PAUSE: Duration = Duration::from_millis(200);
/// The seed has so many categories; the first six are departments.
const CATEGORIES: i64 = 36;
const WORDS: [&str; 12] = [
    "oak", "steel", "linen", "ceramic", "folding", "chair", "lamp", "kettle", "notebook", "guitar",
    "tent", "bowl",
];
const DEPARTMENTS: [&str; 6] = ["Kitchen", "Garden", "Books", "Music", "Sports", "Möbel"];

/// An order that this customer has placed.
#[derive(Debug, Clone, Copy)]
struct Order {
    id: i64,
    customer: i64,
    status: &'static str,
}

pub(super) struct Customer {
    http: reqwest::Client,
    commands: String,
    queries: String,
    reads_per_write: i64,
    skew: f64,
    customers: i64,
    products: i64,
    seeded_orders: i64,
    rng: StdRng,
    counters: Arc<Counters>,
    /// Queries until the next command.
    reads_left: i64,
    /// Orders that may be paid, shipped or cancelled yet.
    open: Vec<Order>,
    /// Whose cart this customer has put something into.
    filled: Option<i64>,
}

/// What a command answers with.
#[derive(Debug, Deserialize)]
struct Done {
    id: i64,
    lsn: Option<String>,
}

/// A query, and a text that its answer must hold if it shows a certain command.
struct Query {
    model: Model,
    path: String,
    shows: Option<String>,
}

impl Query {
    fn new(model: Model, path: impl fmt::Display) -> Self {
        Self {
            model,
            path: format!("/queries/{path}"),
            shows: None,
        }
    }

    fn order(id: i64) -> Self {
        Self::new(Model::OrderDetails, format_args!("order-details/{id}"))
    }

    fn order_is(order: Order) -> Self {
        Self {
            shows: Some(format!("\"status\": \"{}\"", order.status)),
            ..Self::order(order.id)
        }
    }

    fn cart(customer: i64) -> Self {
        Self::new(Model::UserCart, format_args!("user-cart/{customer}"))
    }

    fn history(customer: i64) -> Self {
        Self::new(
            Model::OrderHistory,
            format_args!("order-history/{customer}"),
        )
    }

    fn words(words: &str) -> Self {
        Self::new(
            Model::ProductList,
            format_args!("product-list?text={words}"),
        )
    }

    fn popularity() -> Self {
        Self::new(Model::ProductPopularity, "product-popularity?limit=10")
    }

    fn dashboard() -> Self {
        Self::new(Model::DashboardMetrics, "dashboard-metrics?days=14")
    }

    fn at_least(&mut self, position: &str) {
        let joint = if self.path.contains('?') { '&' } else { '?' };
        self.path = format!("{}{joint}min_lsn={position}&wait_ms={WAIT_MS}", self.path);
    }
}

impl Customer {
    pub(super) fn new(
        traffic: &Traffic,
        http: reqwest::Client,
        rng: StdRng,
        counters: Arc<Counters>,
    ) -> Self {
        let scale = i64::from(traffic.scale);
        let bare = |url: &str| url.trim_end_matches('/').to_owned();
        let mut customer = Self {
            http,
            commands: bare(&traffic.commands),
            queries: bare(&traffic.queries),
            reads_per_write: traffic.reads_per_write.into(),
            skew: traffic.skew,
            customers: 400 * scale,
            products: 200 * scale,
            seeded_orders: 1000 * scale,
            rng,
            counters,
            reads_left: 0,
            open: Vec::new(),
            filled: None,
        };
        customer.reads_left = customer.reads();
        customer
    }

    /// How many queries to the next command.
    fn reads(&mut self) -> i64 {
        self.rng.random_range(0..=2 * self.reads_per_write)
    }

    pub(super) fn first_pause(&mut self) -> u32 {
        self.rng.random_range(0..4)
    }

    /// An id up to `highest`, the low ones more often.
    fn skewed(&mut self, highest: i64) -> i64 {
        let at = self.rng.random::<f64>().powf(self.skew);
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_precision_loss,
            reason = "a number between 0 and a few millions"
        )]
        let id = (at * highest as f64) as i64;
        (id + 1).min(highest)
    }

    fn customer(&mut self) -> i64 {
        self.skewed(self.customers)
    }

    fn product(&mut self) -> i64 {
        self.skewed(self.products)
    }

    fn word(&mut self) -> &'static str {
        WORDS[self.rng.random_range(0..WORDS.len())]
    }

    /// One query, or a command with the queries that follow it; answers how many these were.
    pub(super) async fn request(&mut self) -> u32 {
        if self.reads_left > 0 {
            self.reads_left -= 1;
            let query = self.some_query();
            self.read(&query).await;
            return 0;
        }
        let followed = self.command().await;
        self.reads_left += self.reads() - i64::from(followed);
        followed
    }

    fn some_query(&mut self) -> Query {
        match self.rng.random_range(0..100) {
            0..20 => {
                let order = match self.open.last() {
                    Some(order) if self.rng.random_bool(0.3) => order.id,
                    _ => self.rng.random_range(1..=self.seeded_orders),
                };
                Query::order(order)
            }
            20..38 => Query::cart(self.customer()),
            38..50 => Query::history(self.customer()),
            50..56 => Query::popularity(),
            56..60 => Query::dashboard(),
            60..80 => {
                let (one, other) = (self.word(), self.word());
                let page = self.rng.random_range(1..=3);
                let path = format!("product-list?text={one}%20{other}&page={page}");
                Query::new(Model::ProductList, path)
            }
            _ => {
                let department = DEPARTMENTS[self.rng.random_range(0..DEPARTMENTS.len())];
                let sort = ["rating", "price", "-price", "newest"][self.rng.random_range(0..4)];
                let path = format!("product-list?text={department}&sort={sort}");
                Query::new(Model::ProductList, path)
            }
        }
    }

    async fn command(&mut self) -> u32 {
        match self.rng.random_range(0..100) {
            0..34 => self.fill_cart().await,
            34..62 => self.place_order().await,
            62..90 => self.go_on_with_an_order().await,
            90..95 => {
                let product = self.product();
                let body = json!({
                    "product_id": product,
                    "customer_id": self.customer(),
                    "rating": self.rng.random_range(1..=5),
                    "title": "As described",
                });
                let word = self.word();
                self.write("add-review", body, |_| vec![Query::words(word)])
                    .await
            }
            95..98 => {
                let cents = self.rng.random_range(100..20_000);
                let price = format!("{}.{:02}", cents / 100, cents % 100);
                let body = json!({"product_id": self.product(), "price": price});
                let word = self.word();
                self.write("change-price", body, |_| vec![Query::words(word)])
                    .await
            }
            98 => {
                let edition = self.rng.random_range(1..1000);
                let category = self.rng.random_range(7..=CATEGORIES);
                let name = format!("Edition{edition}");
                let body = json!({"category_id": category, "name": format!("Selected {name}")});
                self.write("rename-category", body, |_| vec![Query::words(&name)])
                    .await
            }
            _ => {
                let number: u64 = self.rng.random();
                let body = json!({
                    "email": format!("{number:x}@example.com"),
                    "name": "New Customer",
                    "country": "DE",
                });
                self.write("sign-up", body, |_| Vec::new()).await
            }
        }
    }

    async fn fill_cart(&mut self) -> u32 {
        let customer = self.customer();
        let body = json!({
            "customer_id": customer,
            "product_id": self.product(),
            "quantity": self.rng.random_range(1..=3),
        });
        self.filled = Some(customer);
        self.write("add-item-to-cart", body, |_| vec![Query::cart(customer)])
            .await
    }

    async fn place_order(&mut self) -> u32 {
        let from_cart = self.filled.take().filter(|_| self.rng.random_bool(0.5));
        let (customer, body) = match from_cart {
            Some(customer) => (customer, json!({"customer_id": customer})),
            None => {
                let customer = self.customer();
                let mut products: Vec<i64> = (0..self.rng.random_range(1..=4))
                    .map(|_| self.product())
                    .collect();
                products.sort_unstable();
                products.dedup();
                let items: Vec<Value> = products
                    .iter()
                    .map(|id| json!({"product_id": id, "quantity": self.rng.random_range(1..=3)}))
                    .collect();
                (customer, json!({"customer_id": customer, "items": items}))
            }
        };
        let order = |done: &Done| Order {
            id: done.id,
            customer,
            status: "placed",
        };
        let mut placed = None;
        let followed = self
            .write("place-order", body, |done| {
                let order = order(done);
                placed = Some(order);
                let mut history = Query::history(customer);
                history.shows = Some(format!("\"order_id\": {}", order.id));
                let mut queries = vec![
                    Query::order_is(order),
                    history,
                    Query::popularity(),
                    Query::dashboard(),
                ];
                if from_cart.is_some() {
                    queries.push(Query::cart(customer));
                }
                queries
            })
            .await;
        if let Some(order) = placed {
            if self.open.len() >= 20 {
                self.open.remove(0);
            }
            self.open.push(order);
        }
        followed
    }

    /// Pays, ships or cancels an order that this customer has placed.
    async fn go_on_with_an_order(&mut self) -> u32 {
        if self.open.is_empty() {
            return self.place_order().await;
        }
        let at = self.rng.random_range(0..self.open.len());
        let mut order = self.open.swap_remove(at);
        let cancel = self.rng.random_bool(0.1);
        let (name, body) = if cancel {
            order.status = "cancelled";
            let reason = "Found it elsewhere.";
            (
                "cancel-order",
                json!({"order_id": order.id, "reason": reason}),
            )
        } else {
            order.status = if order.status == "placed" {
                "paid"
            } else {
                "shipped"
            };
            let body = json!({"order_id": order.id, "status": order.status});
            ("update-order-status", body)
        };
        let mut done = false;
        let followed = self
            .write(name, body, |_| {
                done = true;
                vec![Query::order_is(order), Query::history(order.customer)]
            })
            .await;
        if done && order.status == "paid" {
            self.open.push(order);
        }
        followed
    }

    /// Sends a command, and then at once the queries that show its effect; answers how many these were.
    async fn write(
        &mut self,
        name: &str,
        body: Value,
        next: impl FnOnce(&Done) -> Vec<Query>,
    ) -> u32 {
        let start = Instant::now();
        let request = self.http.post(format!("{}/commands/{name}", self.commands));
        let response = match request.json(&body).send().await {
            Ok(response) => response,
            Err(_) => return self.failed_command().await,
        };
        if response.status().is_client_error() {
            self.counters.refused_command(start.elapsed());
            return 0;
        }
        let done = match response.error_for_status() {
            Ok(response) => response.json::<Done>().await,
            Err(error) => Err(error),
        };
        let Ok(done) = done else {
            return self.failed_command().await;
        };
        self.counters.done_command(start.elapsed());
        let mut queries = next(&done);
        let Some(position) = &done.lsn else {
            return 0;
        };
        let answered = Instant::now();
        let count = u32::try_from(queries.len()).unwrap_or(0);
        // One that doesn't ask for its own write, beside those that do.
        let careless = queries.first().filter(|query| query.shows.is_some());
        let careless = careless.map(|query| Query {
            model: query.model,
            path: query.path.clone(),
            shows: query.shows.clone(),
        });
        for query in &mut queries {
            query.at_least(position);
        }
        let this = &*self;
        let careful = join_all(queries.iter().map(|query| this.read_own(query, answered)));
        let careless = async {
            let Some(query) = &careless else {
                return 0;
            };
            let body = this.read(query).await;
            let shows = query.shows.as_deref().unwrap_or_default();
            if let Some(body) = body {
                this.counters.careless(body.contains(shows));
            }
            1
        };
        let (_, one) = tokio::join!(careful, careless);
        count + one
    }

    async fn failed_command(&self) -> u32 {
        self.counters.failed_command();
        tokio::time::sleep(PAUSE).await;
        0
    }

    /// Asks for what a command has done.
    async fn read_own(&self, query: &Query, answered: Instant) {
        let Some(body) = self.read(query).await else {
            return;
        };
        let shown = query.shows.as_ref().is_none_or(|text| body.contains(text));
        self.counters.own(query.model, answered.elapsed(), shown);
    }

    /// Asks; `None` if there was no answer. An answer that nothing is there is empty.
    async fn read(&self, query: &Query) -> Option<String> {
        let start = Instant::now();
        let response = self
            .http
            .get(format!("{}{}", self.queries, query.path))
            .send();
        let answer = async {
            let response = response.await?;
            let status = response.status();
            let body = response.text().await?;
            Ok::<_, reqwest::Error>((status, body))
        };
        let (outcome, body) = match answer.await {
            Ok((status, body)) if status.is_success() => (Outcome::Found, Some(body)),
            Ok((status, _)) if status == 404 => (Outcome::Missing, Some(String::new())),
            Ok((status, _)) if status == 503 => (Outcome::NotNow, None),
            _ => (Outcome::Failed, None),
        };
        self.counters.query(query.model, start.elapsed(), outcome);
        if body.is_none() {
            tokio::time::sleep(PAUSE).await;
        }
        body
    }
}
