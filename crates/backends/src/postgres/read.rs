//! Reading a page: one statement, thus one snapshot of the database, says what there is and how far the log goes.

use super::connect::ask;
use super::rows::{self, Unreadable};
use super::sql::{Walk, order};
use sqlx::postgres::{PgPool, PgRow};
use sqlx::{QueryBuilder, Row};
use tenon_core::Position;
use tenon_store::log::{Damage, MAX_PAGE_BYTES};
use tenon_store::{Direction, Event, Page, ReadError};

/// A page, and the ends of the log at that moment.
pub(super) struct Found {
    pub(super) page: Page,
    pub(super) last: u64,
    pub(super) first: u64,
}

/// Why a page could not be read.
pub(super) enum NotRead {
    Database(sqlx::Error),
    Refused(ReadError),
}

impl From<sqlx::Error> for NotRead {
    fn from(error: sqlx::Error) -> Self {
        Self::Database(error)
    }
}

/// Reads a page.
pub(super) async fn page(pool: &PgPool, walk: &Walk<'_>) -> Result<Found, NotRead> {
    let mut sql = statement(walk);
    // The text of a query with several items varies without bound, so it is not kept prepared.
    let query = sql.build().persistent(walk.query.items.len() <= 1);
    let rows = ask(pool, query).await?;
    let ends = rows.first().ok_or(sqlx::Error::RowNotFound)?;
    let number = |column| ends.try_get::<i64, _>(column).map(i64::cast_unsigned);
    let (last, first) = (number("last")?, number("first")?);
    walk.query.check_mark(walk.from, walk.direction, Position(first)).map_err(NotRead::Refused)?;
    let events = events(&rows, walk.from)?;
    Ok(Found { page: joined(walk, events, Position(last)), last, first })
}

/// Finds the positions first, and fetches only those events that a page has room for.
fn statement(walk: &Walk<'_>) -> QueryBuilder<sqlx::Postgres> {
    let order = order(walk.direction);
    let mut sql = QueryBuilder::new(format!(
        "SELECT h.last, h.first, {} FROM tenon.log_head h LEFT JOIN LATERAL (SELECT w.position FROM (SELECT p.position, \
         sum(p.size) OVER (ORDER BY p.position {order}) - p.size AS before FROM (",
        rows::COLUMNS
    ));
    walk.push(&mut sql);
    sql.push(") p) w WHERE w.before < ").push_bind(MAX_PAGE_BYTES as i64);
    sql.push(format_args!(
        ") f ON true LEFT JOIN tenon.events e ON e.position = f.position WHERE h.one ORDER BY e.position {order}"
    ));
    sql
}

fn events(rows: &[PgRow], from: Position) -> Result<Vec<Event>, NotRead> {
    let mut events: Vec<Event> = Vec::with_capacity(rows.len());
    for row in rows {
        match rows::read(row) {
            Ok(event) => events.extend(event),
            Err(Unreadable::Row(error)) => return Err(error.into()),
            Err(Unreadable::Content(problem)) => {
                let after = events.last().map_or(from, |event| event.position);
                let damage = Damage { file: "tenon.events".to_owned(), offset: 0, after, problem };
                return Err(NotRead::Refused(damage.into()));
            }
        }
    }
    Ok(events)
}

/// The page with how far it looked: to the end, unless it was filled by number or by bytes.
fn joined(walk: &Walk<'_>, events: Vec<Event>, last: Position) -> Page {
    let bytes: usize = events.iter().map(Event::size).sum();
    let at_end = events.len() < walk.limit && bytes < MAX_PAGE_BYTES;
    let next = match (at_end, events.last(), walk.direction) {
        (false, Some(event), _) => event.position,
        (_, _, Direction::Forward) => walk.from.max(last),
        (_, _, Direction::Backward) => Position::START,
    };
    Page { events, next, at_end }
}
