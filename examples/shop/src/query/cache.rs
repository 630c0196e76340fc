//! Orders and carts from Redis.

use std::time::Duration;

use anyhow::{Context, Result};
use redis::aio::MultiplexedConnection;
use tokio::sync::Mutex;

use crate::problem::Problem;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

pub(super) struct Cache {
    client: redis::Client,
    connection: Mutex<Option<MultiplexedConnection>>,
}

impl Cache {
    pub(super) fn new(url: &str) -> Result<Self> {
        Ok(Self {
            client: redis::Client::open(url).context("the URL of Redis")?,
            connection: Mutex::new(None),
        })
    }

    async fn connection(&self) -> redis::RedisResult<MultiplexedConnection> {
        let mut connection = self.connection.lock().await;
        if let Some(open) = &*connection {
            return Ok(open.clone());
        }
        let config = redis::AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT_TIMEOUT))
            .set_response_timeout(Some(ANSWER_TIMEOUT));
        let open = self
            .client
            .get_multiplexed_async_connection_with_config(&config)
            .await?;
        Ok(connection.insert(open).clone())
    }

    /// The JSON under a key.
    pub(super) async fn get(&self, key: &str) -> Result<Option<String>, Problem> {
        let mut last = None;
        // One that broke while it was idle shows at its next use.
        for _ in 0..2 {
            let got = async {
                let mut connection = self.connection().await?;
                redis::cmd("GET")
                    .arg(key)
                    .query_async(&mut connection)
                    .await
            };
            match got.await {
                Ok(value) => return Ok(value),
                Err(error) => {
                    *self.connection.lock().await = None;
                    last = Some(error);
                }
            }
        }
        let reason = last.map_or_else(String::new, |error: redis::RedisError| error.to_string());
        Err(Problem::unavailable(format!(
            "Redis does not answer: {reason}"
        )))
    }
}
