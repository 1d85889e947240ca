//! One group of appends as one transaction: lock, look up, judge, write, commit.
//!
//! The lock on `log_head`'s only row is held until the commit is durable and visible, so groups of all servers come
//! one after the other, and whoever sees a position sees all before it. What the rules need of the past is looked up
//! after the lock was had; the rules themselves are those of every engine ([`Admission`]).

use super::failure::Failure;
use super::rows;
use super::schema::Head;
use super::sql::{Walk, number};
use sqlx::postgres::PgConnection;
use sqlx::{QueryBuilder, Row, raw_sql};
use tenon_core::{EventId, Position, Tag, Timestamp};
use tenon_store::admission::{Admission, Past, Verdict};
use tenon_store::queue::Request;
use tenon_store::{
    AppendError, Appended, Condition, Direction, Event, NewEvent, Query, ReadError, STREAM_DELETED, Scope,
};
use uuid::Uuid;

/// What the rules made of a group.
pub(super) struct Judged {
    /// The events to write, of all appends that were admitted.
    pub(super) events: Vec<Event>,
    /// The answer to each append, if the events can be written.
    pub(super) answers: Vec<Result<Appended, AppendError>>,
}

/// Begins the transaction and waits for the lock.
pub(super) async fn lock(connection: &mut PgConnection) -> Result<Head, Failure> {
    // One message for both; without parameters, so that it may be.
    let row = raw_sql("BEGIN; SELECT log, last, time_micros, first FROM tenon.log_head WHERE one FOR UPDATE")
        .fetch_one(connection)
        .await?;
    Ok(Head::from_row(&row)?)
}

/// Judges each append of the group, one after the other.
pub(super) async fn judge(
    connection: &mut PgConnection,
    head: Head,
    group: &[Request],
    now: Timestamp,
) -> Result<Judged, Failure> {
    let known = look_up(connection, group).await?;
    let last = Position(head.last);
    let time = Timestamp::from_micros(head.time_micros);
    // All that is remembered are the ids of this group: those that are stored have an index.
    let mut admission = Admission::new(last, time, Position(head.first), usize::MAX);
    for (position, id) in &known.ids {
        admission.remember(*id, *position);
    }
    let mut judged = Judged { events: Vec::new(), answers: Vec::with_capacity(group.len()) };
    for (request, stored) in group.iter().zip(known.matches) {
        let past = Earlier { stored, known: &known.ids, group: &judged.events };
        let verdict = admission.admit(&past, request.events.clone(), request.condition.as_ref(), now);
        judged.answers.push(match verdict {
            Err(error) => Err(error),
            Ok(Verdict::Repeated(appended)) => Ok(appended),
            Ok(Verdict::Admitted(events)) => {
                let first = events.first().map_or(Position::START, |event| event.position);
                let appended = Appended::run(first, events.len(), false);
                judged.events.extend(events);
                Ok(appended)
            }
        });
    }
    Ok(judged)
}

/// What the database has that the group's rules ask for.
struct Known {
    /// Which ids of the group are there, by position.
    ids: Vec<(Position, EventId)>,
    /// For each append the first stored event that matches its condition.
    matches: Vec<Option<(Position, EventId)>>,
}

/// The past of one append: what is stored, then the group so far.
struct Earlier<'a> {
    stored: Option<(Position, EventId)>,
    known: &'a [(Position, EventId)],
    group: &'a [Event],
}

impl Past for Earlier<'_> {
    fn first_match(&self, condition: &Condition) -> Result<Option<(Position, EventId)>, ReadError> {
        let contradicts = |event: &&Event| condition.contradicted_by(event);
        let in_group = || self.group.iter().find(contradicts).map(|event| (event.position, event.id));
        Ok(self.stored.or_else(in_group))
    }

    /// Of what is stored only the ids that the group has as well: whoever compares finds the others missing.
    fn ids_from(&self, first: Position, count: usize) -> Result<Vec<EventId>, ReadError> {
        let end = first.0.saturating_add(count as u64);
        let group = self.group.iter().map(|event| (event.position, event.id));
        let all = self.known.iter().copied().chain(group);
        Ok(all.filter(|(at, _)| (first.0..end).contains(&at.0)).map(|(_, id)| id).collect())
    }
}

/// Looks up all ids, and the expected versions of single streams, with one statement; other conditions one by one.
async fn look_up(connection: &mut PgConnection, group: &[Request]) -> Result<Known, Failure> {
    let id = |event: &NewEvent| Uuid::from_bytes(*event.id.as_bytes());
    let ids: Vec<Uuid> = group.iter().flat_map(|request| &request.events).map(id).collect();
    let mut versions = Versions::default();
    let mut others = Vec::new();
    for (index, condition) in (0..).zip(group.iter().map(|request| request.condition.as_ref())) {
        match condition {
            Some(condition) if versions.take(index, condition) => {}
            Some(condition) => others.push((index, condition)),
            None => {}
        }
    }
    let rows = sqlx::query(
        "SELECT -1 AS append, e.position, e.id FROM tenon.events e WHERE e.id = ANY($1)
         UNION ALL
         SELECT v.append, e.position, e.id
         FROM unnest($2::int4[], $3::text[], $4::text[], $5::int8[]) AS v(append, namespace, stream, after)
         CROSS JOIN LATERAL (
             SELECT e.position, e.id FROM tenon.events e
             WHERE e.stream = v.stream AND e.namespace = v.namespace AND e.position > v.after
                 AND (v.after > 0 OR e.event_type <> $6)
                 AND NOT EXISTS (
                     SELECT 1 FROM tenon.deleted d
                     WHERE d.stream = e.stream AND d.namespace = e.namespace AND d.position > e.position
                 )
             ORDER BY e.position LIMIT 1
         ) e",
    )
    .bind(ids)
    .bind(versions.appends)
    .bind(versions.namespaces)
    .bind(versions.streams)
    .bind(versions.after)
    .bind(STREAM_DELETED)
    .fetch_all(&mut *connection)
    .await?;
    let mut known = Known { ids: Vec::new(), matches: vec![None; group.len()] };
    for row in &rows {
        let append: i32 = row.try_get("append")?;
        let found = found(row)?;
        match usize::try_from(append).ok().and_then(|append| known.matches.get_mut(append)) {
            Some(matched) => *matched = Some(found),
            None => known.ids.push(found),
        }
    }
    known.ids.sort_unstable();
    for (index, condition) in others {
        let found = first_match(connection, condition).await?;
        if let Some(matched) = known.matches.get_mut(index as usize) {
            *matched = found;
        }
    }
    Ok(known)
}

/// Expected versions of single streams, as columns.
#[derive(Default)]
struct Versions {
    appends: Vec<i32>,
    namespaces: Vec<String>,
    streams: Vec<String>,
    after: Vec<i64>,
}

impl Versions {
    /// Takes a condition if it is of this kind.
    fn take(&mut self, append: i32, condition: &Condition) -> bool {
        let Query { scope, namespace: Some(namespace), items } = &condition.query else { return false };
        let [item] = items.as_slice() else { return false };
        let (Some(stream), 1) = (item.streams.first(), item.streams.len()) else { return false };
        let more = item.prefix.is_some() || !item.tags.is_empty() || !item.types.is_empty();
        if more || !Scope::covers(*scope, stream) {
            return false;
        }
        self.appends.push(append);
        self.namespaces.push(namespace.as_str().to_owned());
        self.streams.push(stream.as_str().to_owned());
        self.after.push(number(condition.after));
        true
    }
}

async fn first_match(
    connection: &mut PgConnection,
    condition: &Condition,
) -> Result<Option<(Position, EventId)>, Failure> {
    let Condition { query, after } = condition;
    let skip_deletions = *after == Position::START;
    let walk = Walk { query, from: *after, direction: Direction::Forward, limit: 1, skip_deletions };
    let mut sql = QueryBuilder::new("");
    walk.push(&mut sql);
    let persistent = query.items.len() <= 1;
    let row = sql.build().persistent(persistent).fetch_optional(connection).await?;
    Ok(row.as_ref().map(found).transpose()?)
}

fn found(row: &sqlx::postgres::PgRow) -> Result<(Position, EventId), sqlx::Error> {
    let position: i64 = row.try_get("position")?;
    let id: Uuid = row.try_get("id")?;
    Ok((Position(position.cast_unsigned()), EventId::from_bytes(id.into_bytes())))
}

/// Writes the events, moves the head, and tells all servers when it is committed.
pub(super) async fn write(connection: &mut PgConnection, events: &[Event]) -> Result<(), Failure> {
    let Some(last) = events.last() else { return Ok(()) };
    let columns = Columns::of(events)?;
    sqlx::query(
        "WITH written AS (
             INSERT INTO tenon.events
                 (position, time_micros, id, reserved, size, namespace, stream, event_type, tags, metadata, data)
             SELECT n.position, n.time_micros, n.id, n.reserved, n.size, n.namespace, n.stream, n.event_type,
                 string_to_array(n.tags, ' '), n.metadata::json, n.data
             FROM unnest($1::int8[], $2::int8[], $3::uuid[], $4::bool[], $5::int4[], $6::text[], $7::text[],
                     $8::text[], $9::text[], $10::text[], $11::bytea[])
                 AS n(position, time_micros, id, reserved, size, namespace, stream, event_type, tags, metadata, data)
             RETURNING position, namespace, reserved, tags, stream, event_type
         ), deleted AS (
             INSERT INTO tenon.deleted (stream, namespace, position)
             SELECT w.stream, w.namespace, max(w.position) FROM written w WHERE w.event_type = $14
             GROUP BY w.stream, w.namespace
             ON CONFLICT (stream, namespace) DO UPDATE SET position = excluded.position
         ), tagged AS (
             INSERT INTO tenon.tags (tag, namespace, position, reserved)
             SELECT t.tag, w.namespace, w.position, w.reserved FROM written w, unnest(w.tags) AS t(tag)
         ), moved AS (
             UPDATE tenon.log_head SET last = $12, time_micros = $13 WHERE one RETURNING last, first
         )
         SELECT pg_notify('tenon_log', last || ' ' || first) FROM moved",
    )
    .bind(columns.positions)
    .bind(columns.times)
    .bind(columns.ids)
    .bind(columns.reserved)
    .bind(columns.sizes)
    .bind(columns.namespaces)
    .bind(columns.streams)
    .bind(columns.types)
    .bind(columns.tags)
    .bind(columns.metadata)
    .bind(columns.data)
    .bind(number(last.position))
    .bind(last.time.as_micros().cast_signed())
    .bind(STREAM_DELETED)
    .execute(connection)
    .await?;
    Ok(())
}

/// Events as columns.
#[derive(Default)]
struct Columns<'a> {
    positions: Vec<i64>,
    times: Vec<i64>,
    ids: Vec<Uuid>,
    reserved: Vec<bool>,
    sizes: Vec<i32>,
    namespaces: Vec<&'a str>,
    streams: Vec<&'a str>,
    types: Vec<&'a str>,
    /// Separated by a space, which no tag holds.
    tags: Vec<String>,
    metadata: Vec<Option<String>>,
    data: Vec<&'a [u8]>,
}

impl<'a> Columns<'a> {
    fn of(events: &'a [Event]) -> Result<Self, Failure> {
        let mut columns = Self::default();
        for event in events {
            columns.positions.push(number(event.position));
            columns.times.push(event.time.as_micros().cast_signed());
            columns.ids.push(Uuid::from_bytes(*event.id.as_bytes()));
            columns.reserved.push(event.stream.is_reserved());
            columns.sizes.push(i32::try_from(event.size()).unwrap_or(i32::MAX));
            columns.namespaces.push(event.namespace.as_str());
            columns.streams.push(event.stream.as_str());
            columns.types.push(event.event_type.as_str());
            columns.tags.push(event.tags.iter().map(Tag::as_str).collect::<Vec<_>>().join(" "));
            let metadata = rows::metadata(&event.metadata);
            columns.metadata.push(metadata.map_err(|error| sqlx::Error::Encode(error.into()))?);
            columns.data.push(&event.data);
        }
        Ok(columns)
    }
}
