//! Order history, popularity and the dashboard from the reporting Postgres.
//!
//! Always: read-only, and JSON as Postgres itself writes it.

use crate::pool::Pool;
use crate::problem::Problem;
use crate::session::Options;
use tokio_postgres::types::ToSql;

const OPTIONS: Options = Options {
    application: "shop-query",
    settings: "-c search_path=readside -c default_transaction_read_only=on -c statement_timeout=5s",
};

pub(super) struct Reporting {
    pool: Pool,
}

impl Reporting {
    pub(super) fn new(url: &str, connections: usize) -> Self {
        Self {
            pool: Pool::new(url, OPTIONS, connections),
        }
    }

    /// The latest orders of a customer.
    pub(super) async fn order_history(&self, customer: i64) -> Result<String, Problem> {
        self.json(
            "SELECT jsonb_build_object('orders', coalesce(jsonb_agg(to_jsonb(h) - 'customer_id' \
             ORDER BY h.placed_at DESC, h.order_id DESC), '[]'))::text \
             FROM order_history h WHERE h.customer_id = $1",
            &[&customer],
        )
        .await
    }

    /// What sells most, or how one product does.
    pub(super) async fn product_popularity(
        &self,
        product: Option<i64>,
        limit: i64,
    ) -> Result<String, Problem> {
        match product {
            Some(product) => {
                self.json(
                    "SELECT jsonb_build_object('products', coalesce(jsonb_agg(to_jsonb(p)), '[]'))::text \
                     FROM product_popularity p WHERE p.product_id = $1",
                    &[&product],
                )
                .await
            }
            None => {
                self.json(
                    "SELECT jsonb_build_object('products', coalesce(jsonb_agg(to_jsonb(p) \
                     ORDER BY p.units DESC, p.product_id), '[]'))::text \
                     FROM (SELECT * FROM product_popularity ORDER BY units DESC, product_id LIMIT $1) p",
                    &[&limit],
                )
                .await
            }
        }
    }

    /// The latest days.
    pub(super) async fn dashboard_metrics(&self, days: i64) -> Result<String, Problem> {
        self.json(
            "SELECT jsonb_build_object('days', coalesce(jsonb_agg(to_jsonb(d) ORDER BY d.day DESC), '[]'))::text \
             FROM (SELECT * FROM dashboard_metrics ORDER BY day DESC LIMIT $1) d",
            &[&days],
        )
        .await
    }

    async fn json(
        &self,
        sql: &'static str,
        parameters: &[&(dyn ToSql + Sync)],
    ) -> Result<String, Problem> {
        let mut reason = String::new();
        // A connection that broke while it was idle shows at its next use; a read may be repeated.
        for _ in 0..2 {
            let lease = self.pool.lease().await;
            let mut lease = match lease {
                Ok(lease) => lease,
                Err(error) => {
                    reason = format!("{error:#}");
                    continue;
                }
            };
            match lease.session.one(sql, parameters).await {
                Ok(json) => {
                    lease.give_back();
                    return Ok(json);
                }
                Err(error) => {
                    reason = error
                        .as_db_error()
                        .map_or_else(|| error.to_string(), |error| error.message().to_owned());
                }
            }
        }
        Err(Problem::unavailable(format!(
            "the reporting database does not answer: {reason}"
        )))
    }
}
