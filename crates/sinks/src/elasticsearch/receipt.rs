//! How many operations an index has taken, as its shards count them.
//!
//! In: an index. Out: a history, which another index of the name, a restored snapshot or a stale copy does not have; and the number
//! of operations in it, which never falls but when some are lost.
//!
//! Always: read from the primaries; an index of which a shard is missing gives no receipt but an error.

use elasticsearch::http::Method;
use readside_sink::{Receipt, SinkError};
use serde::Deserialize;
use std::collections::BTreeMap;

use super::connection::Connection;
use super::place::{Place, encode};

#[derive(Deserialize)]
struct Stats {
    #[serde(default)]
    indices: BTreeMap<String, Index>,
}

#[derive(Deserialize)]
struct Index {
    #[serde(default)]
    uuid: String,
    #[serde(default)]
    shards: BTreeMap<String, Vec<Copy>>,
}

#[derive(Deserialize)]
struct Copy {
    routing: Routing,
    #[serde(default)]
    commit: Option<Commit>,
    #[serde(default)]
    seq_no: Option<SeqNo>,
}

#[derive(Deserialize)]
struct Routing {
    primary: bool,
}

#[derive(Deserialize)]
struct Commit {
    user_data: UserData,
}

#[derive(Deserialize)]
struct UserData {
    history_uuid: String,
}

#[derive(Deserialize)]
struct SeqNo {
    max_seq_no: i64,
}

const FIELDS: &str = "indices.*.uuid,indices.*.shards.*.routing.primary,\
    indices.*.shards.*.commit.user_data.history_uuid,indices.*.shards.*.seq_no.max_seq_no";

/// The receipt of an index; `None` if there is no such index.
pub(super) async fn read(
    connection: &Connection,
    place: &Place,
) -> Result<Option<Receipt>, SinkError> {
    let path = format!(
        "/{}/_stats/indexing?level=shards&filter_path={FIELDS}",
        encode(&place.index)
    );
    let Some(answer) = connection.json(Method::Get, &path, None).await? else {
        return Ok(None);
    };
    let stats: Stats = answer.parse()?;
    let index = stats.indices.get(&place.index);
    let primaries: Vec<(&str, i64)> = index
        .into_iter()
        .flat_map(|index| index.shards.values().flatten())
        .filter(|copy| copy.routing.primary)
        .filter_map(|copy| {
            let history = &copy.commit.as_ref()?.user_data.history_uuid;
            Some((history.as_str(), copy.seq_no.as_ref()?.max_seq_no))
        })
        .collect();
    if u64::try_from(primaries.len()).ok() != Some(place.shards) {
        return Err(SinkError::Unavailable(format!(
            "{} of {} shards of index `{}` answer",
            primaries.len(),
            place.shards,
            place.index
        )));
    }
    let mut history = index.map(|index| index.uuid.clone()).unwrap_or_default();
    let mut count = 0;
    for (uuid, max_seq_no) in primaries {
        history.push('/');
        history.push_str(uuid);
        // Operations are numbered from 0; -1 is none.
        count += u64::try_from(max_seq_no.saturating_add(1)).unwrap_or(0);
    }
    Ok(Some(Receipt { history, count }))
}
