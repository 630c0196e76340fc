//! What the tests share: a database with two tables, and ways to look at a stream.

use std::time::Duration;

use anyhow::Result;
use readside_model::Lsn;
use readside_pgoutput::{Column, Decoder, Message, TupleData};
use readside_source::{
    Event, ReplicationClient, ReplicationStream, SlotKind, SourceConfig, SqlClient, StreamOptions,
    connect_sql, ensure_publication,
};
use readside_tests::postgres::Postgres;

pub(crate) const WAIT: Duration = Duration::from_secs(10);

/// The major version under test: `READSIDE_TEST_POSTGRES`, or 15.
pub(crate) fn version() -> u32 {
    std::env::var("READSIDE_TEST_POSTGRES")
        .ok()
        .and_then(|version| version.parse().ok())
        .unwrap_or(15)
}

/// A server with `logical_decoding` on, a superuser connection of ours to it, and its configuration.
pub(crate) async fn server(
    settings: &[(&str, &str)],
) -> Result<(Postgres, SourceConfig, SqlClient)> {
    let postgres = Postgres::start(version(), settings).await?;
    let config = SourceConfig::parse(&postgres.url())?;
    let client = connect_sql(&config).await?;
    Ok((postgres, config, client))
}

pub(crate) async fn oid(client: &SqlClient, table: &str) -> Result<u32> {
    Ok(client
        .query_one("SELECT $1::text::regclass::oid", &[&table])
        .await?
        .get(0))
}

/// Publishes tables, makes a slot, and starts reading it.
pub(crate) async fn follow(
    config: &SourceConfig,
    client: &SqlClient,
    tables: &[&str],
    options: &StreamOptions,
) -> Result<ReplicationStream> {
    let mut oids = Vec::new();
    for table in tables {
        oids.push(oid(client, table).await?);
    }
    ensure_publication(client, "readside", &oids).await?;
    let mut replication = ReplicationClient::connect(config).await?;
    let slot = replication
        .create_slot("readside", SlotKind::Permanent { failover: true }, WAIT)
        .await?;
    let stream = replication
        .start("readside", Lsn::ZERO, "readside", options)
        .await?;
    assert!(slot.consistent_point >= stream.received());
    Ok(stream)
}

/// Messages up to and with the `count`-th Commit or StreamCommit. Keepalives are answered with what was received.
pub(crate) async fn transactions(
    stream: &mut ReplicationStream,
    decoder: &mut Decoder,
    count: usize,
) -> Result<Vec<Message>> {
    let mut messages = Vec::new();
    let mut commits = 0;
    while commits < count {
        match tokio::time::timeout(WAIT, stream.next()).await?? {
            Event::XLogData { data, .. } => {
                let message = decoder.decode(&data)?;
                commits += usize::from(matches!(
                    message,
                    Message::Commit(_) | Message::StreamCommit(_)
                ));
                messages.push(message);
            }
            Event::Keepalive { .. } => {}
        }
    }
    Ok(messages)
}

/// A row in short: `NULL`, `…` for an unchanged TOAST value, else the text.
pub(crate) fn show(tuple: &TupleData) -> String {
    let columns: Vec<String> = tuple
        .shared()
        .map(|column| match column {
            Column::Null => "NULL".to_owned(),
            Column::Unchanged => "…".to_owned(),
            Column::Text(text) => String::from_utf8_lossy(&text).into_owned(),
            Column::Binary(_) => "binary".to_owned(),
        })
        .collect();
    columns.join(",")
}

/// Changes in short, without the frame.
pub(crate) fn changes(messages: &[Message]) -> Vec<String> {
    messages
        .iter()
        .filter_map(|message| match message {
            Message::Insert(insert) => Some(format!("I {}", show(&insert.new))),
            Message::Update(update) => Some(match &update.old {
                Some(old) => format!(
                    "U {:?} {} -> {}",
                    old.kind,
                    show(&old.tuple),
                    show(&update.new)
                ),
                None => format!("U {}", show(&update.new)),
            }),
            Message::Delete(delete) => Some(format!(
                "D {:?} {}",
                delete.old.kind,
                show(&delete.old.tuple)
            )),
            Message::Truncate(truncate) => Some(format!("T {}", truncate.relations.len())),
            _ => None,
        })
        .collect()
}
