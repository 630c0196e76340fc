//! The shop's two sides, and a witness that the write database sees nothing of the reads.

use anyhow::{Result, bail};
use readside_shop::Seen;
use readside_tests::readside::Project;
use readside_tests::shop::{Service, Stores};
use tokio_postgres::Client;

use crate::stage::Stage;

/// The running services.
pub(crate) struct Sides {
    pub(crate) commands: Service,
    pub(crate) queries: Service,
    pub(crate) front: Service,
    source_port: u16,
    /// In another database of the write database's server, so that it isn't counted itself.
    witness: Client,
    first: i64,
}

/// What the write database's own statistics say.
pub(crate) struct Witness {
    /// Transactions since the services were started.
    transactions: i64,
    /// Connections by application.
    connections: Vec<(String, i64)>,
    /// TCP connections of the query service's process to it.
    of_queries: usize,
}

impl Sides {
    pub(crate) async fn start(stage: &Stage, project: &Project, shop: &str) -> Result<Self> {
        let stores = Stores {
            cache: &stage.redis.url(),
            search: stage.search.url(),
            prefix: "",
            reporting: &stage.reporting.url_of("reports"),
            readside: &project.admin_url(),
        };
        let commands = Service::commands(shop).await?;
        let queries = Service::queries(&stores).await?;
        let front = Service::front(&commands, &queries).await?;
        let witness = stage.source.admin_client().await?;
        let first = transactions(&witness).await?;
        Ok(Self {
            commands,
            queries,
            front,
            source_port: stage.source.port(),
            witness,
            first,
        })
    }

    pub(crate) async fn witness(&mut self) -> Result<Witness> {
        for service in [&mut self.commands, &mut self.queries, &mut self.front] {
            service.check_running()?;
        }
        let rows = self
            .witness
            .query(
                "SELECT application_name, count(*) FROM pg_stat_activity \
                 WHERE datname = 'shop' AND backend_type IN ('client backend', 'walsender') GROUP BY 1 ORDER BY 1",
                &[],
            )
            .await?;
        let peers = self.queries.peer_ports()?;
        Ok(Witness {
            transactions: transactions(&self.witness).await? - self.first,
            connections: rows.iter().map(|row| (row.get(0), row.get(1))).collect(),
            of_queries: peers
                .iter()
                .filter(|port| **port == self.source_port)
                .count(),
        })
    }

    pub(crate) async fn stop(self) -> Result<()> {
        for service in [self.front, self.queries, self.commands] {
            let exit = service.stop().await?;
            if exit != Some(0) {
                bail!("a service of the shop ended with exit code {exit:?}");
            }
        }
        Ok(())
    }
}

async fn transactions(client: &Client) -> Result<i64> {
    let row = client
        .query_one(
            "SELECT xact_commit + xact_rollback FROM pg_stat_database WHERE datname = 'shop'",
            &[],
        )
        .await?;
    Ok(row.get(0))
}

impl Witness {
    pub(crate) fn saw_no_query(&self) -> bool {
        let named = self
            .connections
            .iter()
            .any(|(name, _)| name == "shop-query");
        self.of_queries == 0 && !named
    }

    pub(crate) fn line(&self, seen: &Seen) -> String {
        let connections: Vec<String> = self
            .connections
            .iter()
            .map(|(name, count)| format!("{name} {count}"))
            .collect();
        format!(
            "write database: {} transactions while {} commands (two each: its own, and one for its position) and {} queries \
             were answered; connections: {}; of the query service: {}",
            self.transactions,
            seen.commands.count(),
            seen.queries(),
            connections.join(", "),
            if self.saw_no_query() {
                "none".to_owned()
            } else {
                format!("{}!", self.of_queries)
            },
        )
    }
}
