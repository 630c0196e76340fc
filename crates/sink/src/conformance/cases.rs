//! The promises, one by one.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use readside_model::{Body, KeyPart};

use super::fixture::{Fixture, body, by_id, by_pair, global};
use super::{Probe, Violation};
use crate::{Batch, Outcome, Sink, SinkError, Visibility, Write};

type Case = Result<(), Violation>;

pub(super) async fn check_and_prepare_are_repeatable(probe: &dyn Probe) -> Case {
    let f = Fixture::new(probe, "prepare", by_id(probe, "c_prepare")).await?;
    f.sink.check().await?;
    f.sink.prepare(std::slice::from_ref(&f.target)).await?;
    let writes = vec![f.put(1, "one")];
    f.apply(writes.clone()).await?;
    // Another life of the process finds what the former left.
    let again = probe.open(&f.instance, "second")?;
    again.fence().await?;
    again.prepare(std::slice::from_ref(&f.target)).await?;
    f.expect(&writes).await?;
    if let Some(location) = probe.occupy("c_occupied").await? {
        let mut target = by_id(probe, "c_occupied");
        target.location = location;
        let result = again.prepare(&[target]).await;
        f.ensure(matches!(result, Err(SinkError::Operator { .. })), || {
            format!("somebody else's place was taken: {result:?}")
        })?;
    }
    Ok(())
}

pub(super) async fn redelivery_changes_nothing(probe: &dyn Probe) -> Case {
    let f = Fixture::new(probe, "redelivery", by_id(probe, "c_redelivery")).await?;
    let rows = vec![f.put(1, "one"), f.put(2, "two")];
    let first = f.apply(rows.clone()).await?;
    f.apply_batch(&first).await?;
    f.expect(&rows).await?;
    let second = f.apply(vec![f.put(1, "eins"), f.delete(2)]).await?;
    f.apply_batch(&second).await?;
    f.expect(&[f.put(1, "eins")]).await
}

pub(super) async fn deletes_of_absent_keys_succeed(probe: &dyn Probe) -> Case {
    let f = Fixture::new(probe, "delete of absent", by_id(probe, "c_absent")).await?;
    f.apply(vec![f.delete(1), f.put(2, "two"), f.delete(3)])
        .await?;
    f.expect(&[f.put(2, "two")]).await?;
    f.apply(vec![f.put(1, "one")]).await?;
    f.expect(&[f.put(1, "one"), f.put(2, "two")]).await
}

pub(super) async fn the_last_version_wins(probe: &dyn Probe) -> Case {
    let f = Fixture::new(probe, "versions", by_id(probe, "c_versions")).await?;
    let stale = f.batch(f.next_version(), vec![f.put(1, "stale"), f.put(2, "stale")]);
    f.apply(vec![f.put(1, "a"), f.put(2, "a")]).await?;
    f.apply(vec![f.delete(1), f.put(2, "b")]).await?;
    f.apply(vec![f.put(1, "c"), f.delete(2)]).await?;
    f.expect(&[f.put(1, "c")]).await?;
    if probe.keeps_versions() {
        let mut late = stale.clone();
        if let Some(view) = late.views.first_mut() {
            view.writes.truncate(1);
        }
        f.apply_batch(&late).await?;
        f.expect(&[f.put(1, "c")]).await?;
        // A version that we never issued: somebody else wrote, or the source was replaced.
        let other = probe.open(&f.instance, "second")?;
        other.prepare(std::slice::from_ref(&f.target)).await?;
        let outcomes = other.write(&late).await?;
        f.ensure(
            matches!(outcomes.concat().as_slice(), [Outcome::Newer(_)]),
            || format!("a version above all that were issued went unnoticed: {outcomes:?}"),
        )?;
    }
    Ok(())
}

pub(super) async fn every_key_has_its_own_row(probe: &dyn Probe) -> Case {
    let f = Fixture::new(probe, "keys", by_pair(probe, "c_keys")).await?;
    let text = |s: &str| KeyPart::Text(s.to_owned());
    let long = "ż".repeat(300);
    let quoted = "tab\t nl\n cr\r bs\\ \"q\" 'a' \\N {} * ? [x]";
    let texts = [
        KeyPart::Null,
        KeyPart::Absent,
        text(""),
        text(" "),
        text("a"),
        text("a:b"),
        text("a%3Ab"),
        text("%N"),
        text("%"),
        text("ünïcødé 🦀 \u{200b}"),
        text("A"),
        text(quoted),
        text(&long),
        text(&format!("{long}x")),
    ];
    let numbers = [KeyPart::Null, KeyPart::Absent, text("0"), text("-1")];
    let mut rows = Vec::new();
    for a in &texts {
        for b in &numbers {
            rows.push(f.put_pair(a, b, &format!("row {}", rows.len())));
        }
    }
    f.apply(rows.clone()).await?;
    f.expect(&rows).await?;
    let keys: Vec<Arc<str>> = rows.iter().map(|w| Arc::clone(&w.key)).collect();
    let found = f.sink.read_keys(0, &keys).await?;
    f.ensure(found.len() == rows.len(), || {
        format!("{} of {} keys were read", found.len(), rows.len())
    })?;
    pages_hold(&f, &rows, 7).await?;
    let deletes = rows
        .iter()
        .step_by(2)
        .map(|w| Write {
            body: None,
            ..w.clone()
        })
        .collect();
    f.apply(deletes).await?;
    let kept: Vec<Write> = rows.into_iter().skip(1).step_by(2).collect();
    f.expect(&kept).await
}

pub(super) async fn a_global_aggregate_has_one_row(probe: &dyn Probe) -> Case {
    let f = Fixture::new(probe, "global", global(probe, "c_global")).await?;
    let row = |total: &str| Write {
        key: Arc::from("%G"),
        key_parts: Vec::new(),
        body: Some(body(f.sink.form(), &[("total", Some(total), false)])),
    };
    f.apply(vec![row("1")]).await?;
    f.apply(vec![row("2")]).await?;
    f.expect(&[row("2")]).await?;
    pages_hold(&f, &[row("2")], 10).await?;
    f.apply(vec![Write {
        body: None,
        ..row("2")
    }])
    .await?;
    f.expect(&[]).await
}

pub(super) async fn a_refused_row_does_not_stop_the_rest(probe: &dyn Probe) -> Case {
    let f = Fixture::new(probe, "refused", by_id(probe, "c_refused")).await?;
    let refused = [3_i64, 57, 58];
    let mut rows = Vec::new();
    let mut good = Vec::new();
    for id in 0..100 {
        let mut row = f.put(id, "fine");
        if refused.contains(&id) {
            let Some(body) = probe.refused_body(id) else {
                return Ok(());
            };
            row.body = Some(body);
        } else {
            good.push(row.clone());
        }
        rows.push(row);
    }
    let batch = f.batch(f.next_version(), rows);
    for _ in 0..2 {
        let outcomes = f.write(&batch).await?;
        for (id, outcome) in (0..).zip(&outcomes) {
            let holds = match outcome {
                Outcome::Refused(reason) => refused.contains(&id) && !reason.0.is_empty(),
                Outcome::Applied => !refused.contains(&id),
                Outcome::Newer(_) | Outcome::Retry(_) => false,
            };
            f.ensure(holds, || format!("row {id}: {outcome:?}"))?;
        }
        f.expect(&good).await?;
    }
    let mended = f.put(57, "mended");
    f.apply(vec![mended.clone()]).await?;
    good.push(mended);
    f.expect(&good).await
}

pub(super) async fn a_write_may_be_larger_than_one_request(probe: &dyn Probe) -> Case {
    let f = Fixture::new(probe, "large", by_id(probe, "c_large")).await?;
    let filler = "x".repeat(f.sink.batch_bytes_max() / 3000 + 1);
    let rows: Vec<Write> = (0..4000)
        .map(|id| f.put(id, &format!("{filler}{id}")))
        .collect();
    f.apply(rows.clone()).await?;
    f.expect(&rows).await?;
    let big = f.put(4001, &"y".repeat(f.sink.batch_bytes_max() + 1));
    f.apply(vec![big.clone()]).await?;
    let deletes = (0..4000).map(|id| f.delete(id)).collect();
    f.apply(deletes).await?;
    f.expect(&[big]).await
}

pub(super) async fn an_empty_batch_is_applied(probe: &dyn Probe) -> Case {
    let f = Fixture::new(probe, "empty", by_id(probe, "c_empty")).await?;
    let row = f.put(1, "one");
    f.apply(vec![row.clone()]).await?;
    f.apply(Vec::new()).await?;
    let none = Batch {
        views: Vec::new(),
        ..f.batch(f.next_version(), Vec::new())
    };
    f.apply_batch(&none).await?;
    f.expect(&[row]).await
}

/// Reads everything page by page and compares.
async fn pages_hold(f: &Fixture<'_>, rows: &[Write], limit: usize) -> Case {
    if f.sink.visibility() == Visibility::AfterRefresh {
        f.sink.refresh(0).await?;
    }
    let mut found: BTreeMap<String, Body> = BTreeMap::new();
    let mut after = None;
    loop {
        let page = f.sink.read_page(0, after, limit).await?;
        found.extend(
            page.rows
                .into_iter()
                .map(|row| (row.key.to_string(), row.body)),
        );
        match page.next {
            Some(next) => after = Some(next),
            None => break,
        }
    }
    let expected: BTreeMap<String, Body> = rows
        .iter()
        .filter_map(|w| Some((w.key.to_string(), w.body.clone()?)))
        .collect();
    let missing: Vec<&String> = expected
        .iter()
        .filter(|(key, body)| found.get(*key) != Some(*body))
        .map(|(key, _)| key)
        .take(5)
        .collect();
    f.ensure(missing.is_empty() && found.len() == expected.len(), || {
        format!(
            "pages of {limit} gave {} rows of {}; wrong or missing: {missing:?}",
            found.len(),
            expected.len()
        )
    })
}

pub(super) async fn reading_finds_every_row_and_ghosts(probe: &dyn Probe) -> Case {
    let f = Fixture::new(probe, "reading", by_id(probe, "c_reading")).await?;
    pages_hold(&f, &[], 10).await?;
    let mut rows: Vec<Write> = (0..1234)
        .map(|id| f.put(id, &format!("row {id}")))
        .collect();
    f.apply(rows.clone()).await?;
    pages_hold(&f, &rows, 100).await?;
    pages_hold(&f, &rows, 1234).await?;
    pages_hold(&f, &rows, 5000).await?;

    let ghost = f.put(77_777, "ghost");
    if let Some(body) = &ghost.body {
        probe.plant_ghost(&f.target, &ghost.key, body).await?;
    }
    rows.push(ghost.clone());
    pages_hold(&f, &rows, 100).await?;
    let keys = [Arc::clone(&ghost.key), Arc::from("5"), Arc::from("999999")];
    let found = f.sink.read_keys(0, &keys).await?;
    let mut found: Vec<&str> = found.iter().map(|row| &*row.key).collect();
    found.sort_unstable();
    f.ensure(found == ["5", &*ghost.key], || {
        format!("these keys were read: {found:?}")
    })?;
    f.apply(vec![Write {
        body: None,
        ..ghost
    }])
    .await?;
    rows.pop();
    pages_hold(&f, &rows, 500).await
}

pub(super) async fn the_marker_comes_back_and_fences(probe: &dyn Probe) -> Case {
    let f = Fixture::new(probe, "marker", by_id(probe, "c_marker")).await?;
    let found = f.sink.read_marker().await?;
    f.ensure(found.is_none(), || {
        format!("a marker that nobody wrote: {found:?}")
    })?;
    let first = f.marker(f.next_version());
    f.sink.write_marker(&first).await?;
    let found = f.sink.read_marker().await?;
    f.ensure(found.as_ref() == Some(&first), || {
        format!("another marker came back: {found:?}")
    })?;

    // A restart takes the marker over; what the former life still sends is refused.
    let second = probe.open(&f.instance, "second")?;
    second.fence().await?;
    second.prepare(std::slice::from_ref(&f.target)).await?;
    let mut taken = f.marker(f.next_version());
    taken.owner_epoch = "second".to_owned();
    second.write_marker(&taken).await?;
    let late = f.marker(f.next_version());
    let result = write_marker_settled(f.sink.as_ref(), &late).await;
    f.ensure(matches!(result, Err(SinkError::Fenced(_))), || {
        format!("the former owner was not fenced: {result:?}")
    })?;
    let found = second.read_marker().await?;
    f.ensure(found.as_ref() == Some(&taken), || {
        format!("the former owner wrote: {found:?}")
    })?;

    // A marker that vanished means that the sink lost data: it must not be papered over.
    probe.remove_marker(&f.instance).await?;
    let result = write_marker_settled(second.as_ref(), &taken).await;
    f.ensure(matches!(result, Err(SinkError::Lost(_))), || {
        format!("a vanished marker was written over: {result:?}")
    })?;
    let found = second.read_marker().await?;
    f.ensure(found.is_none(), || {
        format!("the vanished marker is back: {found:?}")
    })?;
    second.write_marker(&taken).await?;

    // Another instance does not see it.
    let other = probe.open("c_other_instance", "first")?;
    other.fence().await?;
    other.prepare(&[by_id(probe, "c_marker_other")]).await?;
    let found = other.read_marker().await?;
    f.ensure(found.is_none(), || {
        format!("another instance's marker: {found:?}")
    })
}

/// Else the view would stay empty, with a marker that says it is complete.
pub(super) async fn a_place_that_was_lost_is_not_in_the_marker(probe: &dyn Probe) -> Case {
    let f = Fixture::new(probe, "lost place", by_id(probe, "c_lost")).await?;
    f.apply(vec![f.put(1, "one")]).await?;
    f.sink.read_marker().await?;
    f.sink.write_marker(&f.marker(f.next_version())).await?;
    if !probe.remove_place(&f.target).await? {
        return Ok(());
    }
    // Though nobody writes.
    let result = f.sink.audit().await;
    f.ensure(matches!(result, Err(SinkError::Lost(_))), || {
        format!("a place that is gone went unnoticed: {result:?}")
    })?;
    let batch = f.batch(f.next_version(), vec![f.put(2, "two")]);
    let result = f.sink.write(&batch).await;
    f.ensure(matches!(result, Err(SinkError::Lost(_))), || {
        format!("a write to a place that is gone: {result:?}")
    })?;
    f.sink.prepare(std::slice::from_ref(&f.target)).await?;
    for round in 0..2 {
        let found = f.sink.read_marker().await?;
        let gone = found.as_ref().is_some_and(|marker| marker.views.is_empty());
        f.ensure(gone, || {
            format!("the marker of round {round} still speaks of the view: {found:?}")
        })?;
        f.sink.prepare(std::slice::from_ref(&f.target)).await?;
    }
    f.sink.write_marker(&f.marker(f.next_version())).await?;
    let rows = vec![f.put(2, "two")];
    f.apply(rows.clone()).await?;
    f.expect(&rows).await?;

    // While nobody looked.
    probe.remove_place(&f.target).await?;
    let again = probe.open(&f.instance, "second")?;
    again.prepare(std::slice::from_ref(&f.target)).await?;
    again.fence().await?;
    let found = again.read_marker().await?;
    let gone = found.as_ref().is_some_and(|marker| marker.views.is_empty());
    f.ensure(gone, || {
        format!("the marker still speaks of the view: {found:?}")
    })
}

/// Where the fence of another life cut the connection, the first answer is that the outcome is unknown.
async fn write_marker_settled(sink: &dyn Sink, marker: &crate::Marker) -> Result<(), SinkError> {
    for _ in 0..50 {
        match sink.write_marker(marker).await {
            Err(SinkError::Unavailable(_)) => tokio::time::sleep(Duration::from_millis(50)).await,
            settled => return settled,
        }
    }
    sink.write_marker(marker).await
}

pub(super) async fn a_cancelled_write_cannot_take_effect_after_a_fence(probe: &dyn Probe) -> Case {
    let f = Fixture::new(probe, "cancellation", by_id(probe, "c_cancelled")).await?;
    f.apply(vec![f.put(0, "first")]).await?;
    let filler = "z".repeat(1000);
    for round in 0..8_u64 {
        let rows = (0..1000)
            .map(|id| f.put(id, &format!("late {filler}")))
            .collect();
        let batch = f.batch(f.next_version(), rows);
        let limit = Duration::from_micros(300 << round);
        // Whether it was in time is not known here, as it is not in life.
        let _ = tokio::time::timeout(limit, f.sink.write(&batch)).await;
        f.sink.fence().await?;
        let rows: Vec<Write> = (0..1000).map(|id| f.put(id, "newest")).collect();
        f.apply(rows.clone()).await?;
        f.expect(&rows).await?;
        tokio::time::sleep(Duration::from_millis(100)).await;
        f.expect(&rows).await?;
    }
    Ok(())
}

pub(super) async fn writing_goes_on_after_a_restart_of_the_server(probe: &dyn Probe) -> Case {
    let f = Fixture::new(probe, "restart", by_id(probe, "c_restart")).await?;
    let marker = f.marker(f.next_version());
    f.apply(vec![f.put(1, "one"), f.put(2, "two")]).await?;
    f.sink.read_marker().await?;
    f.sink.write_marker(&marker).await?;
    probe.restart_server().await?;
    f.apply_when_back(vec![f.put(2, "zwei"), f.put(3, "three"), f.delete(1)])
        .await?;
    let rows = [f.put(2, "zwei"), f.put(3, "three")];
    f.expect(&rows).await?;
    pages_hold(&f, &rows, 1).await
}

pub(super) async fn dropping_leaves_what_others_own(probe: &dyn Probe) -> Case {
    let f = Fixture::new(probe, "drop", by_id(probe, "c_drop")).await?;
    let neighbour = Fixture::new(probe, "drop", by_id(probe, "c_drop_neighbour")).await?;
    let kept = neighbour.put(1, "kept");
    neighbour.apply(vec![kept.clone()]).await?;
    let rows: Vec<Write> = (0..50).map(|id| f.put(id, "goes")).collect();
    f.apply(rows).await?;
    f.sink.read_marker().await?;
    f.sink.write_marker(&f.marker(f.next_version())).await?;
    probe.plant_foreign(&f.target).await?;
    f.sink.drop_all(std::slice::from_ref(&f.target)).await?;
    let left = probe.content(&f.target).await?;
    f.ensure(left.is_empty(), || format!("{} rows are left", left.len()))?;
    let intact = probe.foreign_is_intact(&f.target).await?;
    f.ensure(intact, || "something of another owner is gone".to_owned())?;
    neighbour.expect(&[kept]).await?;
    let again = probe.open(&f.instance, "second")?;
    again.fence().await?;
    let marker = again.read_marker().await?;
    f.ensure(marker.is_none(), || {
        format!("the marker is left: {marker:?}")
    })?;
    again.drop_all(std::slice::from_ref(&f.target)).await?;
    Ok(())
}
