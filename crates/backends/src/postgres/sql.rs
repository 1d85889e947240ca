//! Queries of the port as SQL.
//!
//! Each item of a query becomes one branch that walks one index in the order of positions and stops at the limit:
//! that of its streams, else of its first tag, else of its types, else of all positions. What the index does not know
//! is checked row by row. Branches are joined by `UNION`, which drops what several of them find.

use super::deleted::NOT_DELETED;
use sqlx::{Postgres, QueryBuilder};
use tenon_core::{EventType, Position, StreamName, Tag};
use tenon_store::{Direction, Query, QueryItem, STREAM_DELETED, Scope};

/// A walk over the log.
pub(super) struct Walk<'a> {
    pub(super) query: &'a Query,
    pub(super) from: Position,
    pub(super) direction: Direction,
    pub(super) limit: usize,
    /// Passes over deletions of streams, too.
    pub(super) skip_deletions: bool,
}

type Sql = QueryBuilder<Postgres>;

/// The columns of a branch.
const FOUND: &str = "e.position, e.size, e.id";

impl Walk<'_> {
    /// Adds a sub-query with the columns `position`, `size` and `id` of the first `limit` events that match. Reading
    /// backward, `h.first` must name the scavenge mark.
    pub(super) fn push(&self, sql: &mut Sql) {
        match self.query.items.as_slice() {
            [] => self.push_branch(sql, &QueryItem::default()),
            [item] => self.push_branch(sql, item),
            items => self.push_union(sql, items),
        }
    }

    fn push_union(&self, sql: &mut Sql, items: &[QueryItem]) {
        for (index, item) in items.iter().enumerate() {
            sql.push(if index == 0 { "(" } else { " UNION (" });
            self.push_branch(sql, item);
            sql.push(")");
        }
        sql.push(format_args!(" ORDER BY position {}", order(self.direction)));
        self.push_limit(sql);
    }

    fn push_branch(&self, sql: &mut Sql, item: &QueryItem) {
        let names = |names: Vec<&str>| names.into_iter().map(str::to_owned).collect::<Vec<_>>();
        let streams = names(item.streams.iter().map(StreamName::as_str).collect());
        let types = names(item.types.iter().map(EventType::as_str).collect());
        let tags = names(item.tags.iter().map(Tag::as_str).collect());
        let prefix = item.prefix.as_ref().map(StreamName::as_str);
        match (streams.is_empty(), tags.split_first()) {
            (false, _) => self.push_walks(sql, "stream", streams, prefix, &types, &tags),
            (true, Some((tag, others))) => self.push_tagged(sql, tag, others, prefix, &types),
            (true, None) if types.is_empty() => {
                sql.push(format_args!("SELECT {FOUND} FROM tenon.events e WHERE true"));
                self.push_end(sql, "e", prefix, &[], &[]);
            }
            (true, None) => self.push_walks(sql, "event_type", types, prefix, &[], &[]),
        }
    }

    /// A walk over each of the names that a column may have.
    fn push_walks(
        &self,
        sql: &mut Sql,
        column: &str,
        mut names: Vec<String>,
        prefix: Option<&str>,
        types: &[String],
        tags: &[String],
    ) {
        if names.len() == 1 {
            sql.push(format_args!("SELECT {FOUND} FROM tenon.events e WHERE e.{column} = "));
            sql.push_bind(names.pop());
            self.push_end(sql, "e", prefix, types, tags);
            return;
        }
        sql.push("SELECT f.position, f.size, f.id FROM unnest(").push_bind(names);
        sql.push(format_args!(
            "::text[]) AS n(name) CROSS JOIN LATERAL (SELECT {FOUND} FROM tenon.events e WHERE e.{column} = n.name"
        ));
        self.push_end(sql, "e", prefix, types, tags);
        sql.push(format_args!(") f ORDER BY f.position {}", order(self.direction)));
        self.push_limit(sql);
    }

    fn push_tagged(
        &self,
        sql: &mut Sql,
        tag: &str,
        others: &[String],
        prefix: Option<&str>,
        types: &[String],
    ) {
        sql.push(format_args!(
            "SELECT {FOUND} FROM tenon.tags t JOIN tenon.events e ON e.position = t.position WHERE t.tag = "
        ));
        sql.push_bind(tag.to_owned());
        self.push_end(sql, "t", prefix, types, others);
    }

    /// What all branches have in common: range, scope and namespace by the table that is walked, what else is asked
    /// for, order and limit.
    fn push_end(&self, sql: &mut Sql, walked: &str, prefix: Option<&str>, types: &[String], tags: &[String]) {
        self.push_range(sql, walked);
        match self.query.scope {
            Scope::User => _ = sql.push(format_args!(" AND NOT {walked}.reserved")),
            Scope::Reserved => _ = sql.push(format_args!(" AND {walked}.reserved")),
            Scope::All => {}
        }
        if let Some(namespace) = &self.query.namespace {
            sql.push(format_args!(" AND {walked}.namespace = ")).push_bind(namespace.as_str().to_owned());
        }
        if let Some(prefix) = prefix {
            sql.push(" AND starts_with(e.stream, ").push_bind(prefix.to_owned()).push(")");
        }
        if !types.is_empty() {
            sql.push(" AND e.event_type = ANY(").push_bind(types.to_vec()).push(")");
        }
        if !tags.is_empty() {
            sql.push(" AND e.tags @> ").push_bind(tags.to_vec());
        }
        if self.query.scope != Scope::Reserved {
            sql.push(" AND ").push(NOT_DELETED);
        }
        if self.skip_deletions {
            sql.push(" AND e.event_type <> ").push_bind(STREAM_DELETED);
        }
        sql.push(format_args!(" ORDER BY {walked}.position {}", order(self.direction)));
        self.push_limit(sql);
    }

    fn push_range(&self, sql: &mut Sql, walked: &str) {
        match self.direction {
            Direction::Forward => {
                sql.push(format_args!(" AND {walked}.position > ")).push_bind(number(self.from));
            }
            Direction::Backward => {
                sql.push(format_args!(" AND {walked}.position < ")).push_bind(number(self.from));
                if !self.query.is_reserved_only() {
                    sql.push(format_args!(" AND {walked}.position >= h.first"));
                }
            }
        }
    }

    fn push_limit(&self, sql: &mut Sql) {
        sql.push(" LIMIT ").push_bind(self.limit as i64);
    }
}

/// A position as the database has it; what is beyond its numbers is the largest of them.
pub(super) fn number(position: Position) -> i64 {
    i64::try_from(position.0).unwrap_or(i64::MAX)
}

/// The word for a direction.
pub(super) fn order(direction: Direction) -> &'static str {
    match direction {
        Direction::Forward => "ASC",
        Direction::Backward => "DESC",
    }
}
