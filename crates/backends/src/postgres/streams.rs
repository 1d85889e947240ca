//! Lists of streams: from one name to the next in the index, with the last event of each.

use super::connect::ask;
use super::read::NotRead;
use sqlx::postgres::{PgPool, PgRow};
use sqlx::{QueryBuilder, Row};
use tenon_core::{Namespace, Position, StreamName};
use tenon_store::log::Damage;
use tenon_store::{ListedStream, STREAM_DELETED, StreamPage, StreamRef, StreamsQuery};

/// A page. So many names are looked at, whether or not they are listed.
pub(super) async fn page(pool: &PgPool, query: &StreamsQuery, limit: usize) -> Result<StreamPage, NotRead> {
    let mut sql = statement(query, limit);
    let rows = ask(pool, sql.build()).await?;
    let mut page = StreamPage::default();
    for row in &rows {
        let name = name(row)?;
        if let Some(last) = listed(row, query, &name)? {
            page.streams.push(ListedStream { name: name.clone(), last });
        }
        page.next = Some(name);
    }
    if rows.len() < limit {
        page.next = None;
    }
    Ok(page)
}

fn statement(query: &StreamsQuery, limit: usize) -> QueryBuilder<sqlx::Postgres> {
    let mut sql = QueryBuilder::new(
        "WITH RECURSIVE names AS ((SELECT e.namespace, e.stream FROM tenon.events e WHERE true",
    );
    if let Some(StreamRef { namespace, stream }) = &query.after {
        sql.push(" AND (e.namespace, e.stream) > (").push_bind(namespace.as_str().to_owned());
        sql.push(", ").push_bind(stream.as_str().to_owned()).push(")");
    }
    push_bounds(&mut sql, query);
    sql.push(
        " ORDER BY e.namespace, e.stream LIMIT 1) UNION ALL SELECT n.namespace, n.stream FROM names p \
         CROSS JOIN LATERAL (SELECT e.namespace, e.stream FROM tenon.events e \
         WHERE (e.namespace, e.stream) > (p.namespace, p.stream)",
    );
    push_bounds(&mut sql, query);
    sql.push(
        " ORDER BY e.namespace, e.stream LIMIT 1) n) \
         SELECT n.namespace, n.stream, l.position, l.reserved, l.event_type, h.first FROM names n \
         CROSS JOIN LATERAL (SELECT e.position, e.reserved, e.event_type FROM tenon.events e \
         WHERE e.namespace = n.namespace AND e.stream = n.stream ORDER BY e.position DESC LIMIT 1) l \
         CROSS JOIN tenon.log_head h WHERE h.one LIMIT ",
    );
    sql.push_bind(limit as i64);
    sql
}

/// What the index can tell apart.
fn push_bounds(sql: &mut QueryBuilder<sqlx::Postgres>, query: &StreamsQuery) {
    let Some(namespace) = &query.namespace else { return };
    sql.push(" AND e.namespace = ").push_bind(namespace.as_str().to_owned());
    let Some(prefix) = query.prefix.as_ref().map(StreamName::as_str) else { return };
    sql.push(" AND e.stream >= ").push_bind(prefix.to_owned());
    // Names are printable ASCII, so there is a character behind each.
    let mut end = prefix.to_owned();
    if let Some(last) = end.pop() {
        end.push(char::from((last as u8).saturating_add(1)));
        sql.push(" AND e.stream < ").push_bind(end);
    }
}

fn name(row: &PgRow) -> Result<StreamRef, NotRead> {
    let unreadable = |problem| {
        let file = "tenon.events".to_owned();
        NotRead::Refused(Damage { file, offset: 0, after: Position::START, problem }.into())
    };
    let namespace = Namespace::new(row.try_get("namespace")?);
    let stream = StreamName::new(row.try_get("stream")?);
    Ok(StreamRef {
        namespace: namespace.map_err(|_| unreadable("the namespace is not one"))?,
        stream: stream.map_err(|_| unreadable("the stream is not one"))?,
    })
}

/// Its last position, if it is to be listed.
fn listed(row: &PgRow, query: &StreamsQuery, name: &StreamRef) -> Result<Option<Position>, sqlx::Error> {
    let number = |column| row.try_get::<i64, _>(column).map(i64::cast_unsigned);
    let (last, first) = (number("position")?, number("first")?);
    let served = row.try_get("reserved")? || last >= first;
    let deleted = row.try_get::<&str, _>("event_type")? == STREAM_DELETED;
    let wanted = query.covers(name.namespace.as_str(), &name.stream);
    Ok((served && wanted && !deleted).then_some(Position(last)))
}
