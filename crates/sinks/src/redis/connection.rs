//! The one connection of a Redis sink, and the fence around it.
//!
//! In: commands. Out: replies, within a time limit.
//!
//! Always: at most one connection is in use. Before a new one is used, every other connection to this database under our name
//! has been killed, so nothing that was sent earlier can still take effect; on one connection commands take effect in the
//! order they were sent. So a fence is a round trip on the connection in use, or a new connection. A process whose marker
//! another owner has taken over gets no new connection, and kills nobody's.

use std::time::Duration;

use readside_sink::{MarkerClaim, SinkError};
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, Cmd, ErrorKind, Pipeline, RedisError, Value, cmd};
use tokio::sync::Mutex;
use tokio::time::timeout;

pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
pub(super) const RESPONSE_TIMEOUT: Duration = Duration::from_secs(15);
/// `proto-max-bulk-len` by default: a longer value makes the server close the connection.
const DOCUMENT_BYTES_MAX: usize = 512 * 1024 * 1024;

/// Makes connections and holds the one in use.
pub(super) struct Connections {
    client: Client,
    db: i64,
    name: String,
    pub(super) marker_key: String,
    pub(super) claim: MarkerClaim,
    current: Mutex<Current>,
}

#[derive(Default)]
struct Current {
    live: Option<Live>,
    serial: u64,
}

/// A connection in use.
#[derive(Clone)]
pub(super) struct Live {
    connection: MultiplexedConnection,
    serial: u64,
    /// The server process, for what does not outlive it.
    pub(super) run_id: String,
    /// A longer value is refused by the server.
    pub(super) document_bytes_max: usize,
}

impl Connections {
    pub(super) fn new(client: Client, db: i64, instance: &str, owner_epoch: &str) -> Connections {
        Connections {
            client,
            db,
            name: format!("readside/{instance}"),
            marker_key: format!("readside:{instance}:marker"),
            claim: MarkerClaim::new(owner_epoch),
            current: Mutex::new(Current::default()),
        }
    }

    /// The connection in use, or a new one behind a fence.
    pub(super) async fn live(&self) -> Result<Live, SinkError> {
        let mut current = self.current.lock().await;
        if let Some(live) = &current.live {
            return Ok(live.clone());
        }
        let serial = current.serial + 1;
        let limit = CONNECT_TIMEOUT + RESPONSE_TIMEOUT;
        let live = timeout(limit, self.open(serial))
            .await
            .map_err(|_| SinkError::Unavailable("connecting took too long".to_owned()))??;
        current.serial = serial;
        current.live = Some(live.clone());
        Ok(live)
    }

    /// This connection failed in a way that leaves requests without an answer: the next use makes another.
    async fn discard(&self, serial: u64) {
        let mut current = self.current.lock().await;
        if current
            .live
            .as_ref()
            .is_some_and(|live| live.serial == serial)
        {
            current.live = None;
        }
    }

    /// Waits until everything that was sent before has taken effect or never can.
    pub(super) async fn fence(&self) -> Result<(), SinkError> {
        let live = self.live().await?;
        if self.query(&live, &cmd("PING")).await.is_ok() {
            return Ok(());
        }
        self.discard(live.serial).await;
        let live = self.live().await?;
        self.query(&live, &cmd("PING")).await.map(|_| ())
    }

    /// One command.
    pub(super) async fn query(&self, live: &Live, command: &Cmd) -> Result<Value, SinkError> {
        let mut connection = live.connection.clone();
        let reply = timeout(RESPONSE_TIMEOUT, connection.send_packed_command(command)).await;
        match reply {
            Ok(Ok(Value::ServerError(error))) => Err(self.failed(live, error.into()).await),
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => Err(self.failed(live, error).await),
            Err(_) => {
                self.discard(live.serial).await;
                Err(SinkError::Unavailable("no answer in time".to_owned()))
            }
        }
    }

    /// Several commands; a reply for each, errors of the server among them.
    pub(super) async fn pipeline(
        &self,
        live: &Live,
        pipeline: &Pipeline,
    ) -> Result<Vec<Value>, SinkError> {
        let mut connection = live.connection.clone();
        let count = pipeline.len();
        let replies = timeout(
            RESPONSE_TIMEOUT,
            connection.send_packed_commands(pipeline, 0, count),
        )
        .await;
        match replies {
            Ok(Ok(values)) if values.len() == count => Ok(values),
            Ok(Ok(values)) => {
                self.discard(live.serial).await;
                Err(SinkError::Unavailable(format!(
                    "{} replies to {count} commands",
                    values.len()
                )))
            }
            Ok(Err(error)) => Err(self.failed(live, error).await),
            Err(_) => {
                self.discard(live.serial).await;
                Err(SinkError::Unavailable("no answer in time".to_owned()))
            }
        }
    }

    /// An error on this connection; unless it is a plain answer of the server, the connection is not used again.
    pub(super) async fn failed(&self, live: &Live, error: RedisError) -> SinkError {
        let code = error.code().unwrap_or_default();
        if !matches!(error.kind(), ErrorKind::Server(_) | ErrorKind::Extension)
            || code == "READONLY"
        {
            self.discard(live.serial).await;
        }
        sink_error(&error)
    }

    async fn open(&self, serial: u64) -> Result<Live, SinkError> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT_TIMEOUT))
            .set_response_timeout(Some(RESPONSE_TIMEOUT));
        let mut connection = self
            .client
            .get_multiplexed_async_connection_with_config(&config)
            .await
            .map_err(|error| sink_error(&error))?;
        let marker: Option<String> =
            call(&mut connection, cmd("GET").arg(&self.marker_key)).await?;
        // Whether it is gone or went back is for whoever reads it.
        if let Err(SinkError::Fenced(reason)) = self.claim.judge(marker.as_deref()) {
            return Err(SinkError::Fenced(reason));
        }
        let id: i64 = call(&mut connection, cmd("CLIENT").arg("ID")).await?;
        let _: Value = call(
            &mut connection,
            cmd("CLIENT").arg("SETNAME").arg(&self.name),
        )
        .await?;
        self.kill_others(&mut connection, id).await?;
        let info: String = call(&mut connection, cmd("INFO").arg("server")).await?;
        let run_id = info_field(&info, "run_id").unwrap_or_default().to_owned();
        // Many hosts forbid CONFIG; the default holds there.
        let limit: Result<Vec<String>, _> = cmd("CONFIG")
            .arg("GET")
            .arg("proto-max-bulk-len")
            .query_async(&mut connection)
            .await;
        let document_bytes_max = limit
            .ok()
            .and_then(|pair| pair.get(1)?.parse().ok())
            .unwrap_or(DOCUMENT_BYTES_MAX);
        Ok(Live {
            connection,
            serial,
            run_id,
            document_bytes_max,
        })
    }

    /// Kills every other connection to this database that has our name, by the ids that the server lists now.
    async fn kill_others(
        &self,
        connection: &mut MultiplexedConnection,
        own: i64,
    ) -> Result<(), SinkError> {
        let list: String = call(connection, cmd("CLIENT").arg("LIST")).await?;
        for id in named_clients(&list, &self.name, self.db) {
            if id != own {
                let _: i64 = call(connection, cmd("CLIENT").arg("KILL").arg("ID").arg(id)).await?;
            }
        }
        Ok(())
    }
}

async fn call<T: redis::FromRedisValue>(
    connection: &mut MultiplexedConnection,
    command: &mut Cmd,
) -> Result<T, SinkError> {
    command
        .query_async(connection)
        .await
        .map_err(|error| sink_error(&error))
}

/// The ids of connections of this name and database in a `CLIENT LIST`.
fn named_clients(list: &str, name: &str, db: i64) -> Vec<i64> {
    list.lines()
        .filter_map(|line| {
            let field = |key: &str| {
                line.split(' ')
                    .find_map(|pair| pair.strip_prefix(key)?.strip_prefix('='))
            };
            let ours = field("name")? == name && field("db")?.parse() == Ok(db);
            if ours {
                field("id")?.parse().ok()
            } else {
                None
            }
        })
        .collect()
}

/// A field of an `INFO` text.
pub(super) fn info_field<'a>(info: &'a str, name: &str) -> Option<&'a str> {
    info.lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
        .map(str::trim)
}

/// What an error of the client library means to the pipeline.
pub(super) fn sink_error(error: &RedisError) -> SinkError {
    let operator = |hint: &str| SinkError::Operator {
        message: error.to_string(),
        hint: hint.to_owned(),
    };
    match error.kind() {
        ErrorKind::AuthenticationFailed => operator("check the sink's `username` and `password`"),
        ErrorKind::InvalidClientConfig => operator("check the sink's `url` and `ca`"),
        _ => match error.code().unwrap_or_default() {
            "NOAUTH" | "WRONGPASS" => operator("check the sink's `username` and `password`"),
            "NOPERM" => operator(
                "the user needs `+@read +@write +@scripting +@connection +client +info` on the views' keys and `readside:*`",
            ),
            "MOVED" | "ASK" | "CROSSSLOT" => {
                operator("this is a node of a Redis Cluster; name a Redis that is not one")
            }
            _ => SinkError::Unavailable(error.to_string()),
        },
    }
}

/// Whether the server refused this one command for what is in it, not for the state that it is in.
pub(super) fn is_refusal(error: &RedisError) -> bool {
    let code = error.code().unwrap_or_default();
    let text = error.to_string();
    code == "WRONGTYPE" || code == "ERR" && text.contains("string exceeds maximum allowed size")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_connections_of_our_name_and_database_are_found() {
        let list = "id=3 addr=1:1 laddr=2:2 fd=8 name=readside/a age=1 db=0 cmd=set user=default\n\
                    id=4 addr=1:1 name=readside/ab db=0 cmd=x\n\
                    id=5 addr=1:1 name=readside/a db=1 cmd=x\n\
                    id=6 addr=1:1 name= db=0 cmd=x\n";
        assert_eq!(named_clients(list, "readside/a", 0), vec![3]);
    }
}
