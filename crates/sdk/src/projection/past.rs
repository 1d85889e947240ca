//! A read model as it was: the projection is run into a model of its own, up to a position or a time.

use super::follower::{Context, apply};
use super::generation::{ReadModels, Room};
use super::projector::Projector;
use super::{Projection, ProjectionError};
use crate::aggregates::At;
use sqlx::Transaction;
use std::collections::BTreeMap;
use std::fmt;
use tenon_core::Position;
use tenon_store::{Direction, Event};

/// How many events go into one transaction.
const PAGE: usize = 1_024;

/// A read model of the past. It lasts until [`Past::close`]; one that is only dropped is removed at the next
/// start.
pub struct Past<M: ReadModels> {
    room: M::Room,
    /// The last event that is in it.
    pub position: Position,
    /// Events that could not be applied, and those of the same keys after them.
    pub left_out: Vec<Position>,
}

impl<M: ReadModels> fmt::Debug for Past<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Past").field("position", &self.position).finish_non_exhaustive()
    }
}

impl<M: ReadModels> Past<M> {
    /// A transaction to read it in.
    ///
    /// # Errors
    /// The database's.
    pub async fn read(&self) -> Result<Transaction<'static, M::Database>, ProjectionError> {
        Ok(self.room.read().await?)
    }

    /// Removes it.
    ///
    /// # Errors
    /// The database's.
    pub async fn close(self) -> Result<(), ProjectionError> {
        Ok(self.room.remove().await?)
    }
}

impl<P: Projection<M::Database>, M: ReadModels> Projector<P, M> {
    /// The read model as this version of the projection would have had it at a position or time. Reads the log
    /// from its beginning.
    ///
    /// # Errors
    /// [`ProjectionError`]; with `log.truncated` if events were scavenged.
    pub async fn past(&self, at: At) -> Result<Past<M>, ProjectionError> {
        let shared = self.shared();
        let context = &shared.context;
        let (room, mut transaction) = shared.models.scratch(P::NAME).await?;
        let created = context.projection.create(&mut transaction).await;
        created.map_err(|source| ProjectionError::Create { projection: P::NAME, source })?;
        transaction.commit().await?;
        let mut past = Past { room, position: Position::START, left_out: Vec::new() };
        match fill(&mut past, context, at).await {
            Ok(()) => Ok(past),
            Err(error) => {
                past.room.remove().await?;
                Err(error)
            }
        }
    }
}

async fn fill<P: Projection<M::Database>, M: ReadModels>(
    past: &mut Past<M>,
    context: &Context<P>,
    at: At,
) -> Result<(), ProjectionError> {
    let head = context.log.head();
    let mut failed = BTreeMap::new();
    let mut from = Position::START;
    loop {
        let page = context.log.read(context.query.clone(), from, Direction::Forward, PAGE).await?;
        let wanted = |event: &&Event| event.position <= head && at.covers(event);
        let count = page.events.iter().take_while(wanted).count();
        let (wanted, rest) = page.events.split_at(count);
        apply_all(past, context, wanted, &mut failed).await?;
        if page.at_end || !rest.is_empty() {
            return Ok(());
        }
        from = page.next;
    }
}

/// Applies events in one transaction, but for those that fail and those of their keys after them. When one
/// fails, it is begun again without it.
async fn apply_all<P: Projection<M::Database>, M: ReadModels>(
    past: &mut Past<M>,
    context: &Context<P>,
    events: &[Event],
    failed: &mut BTreeMap<String, Position>,
) -> Result<(), ProjectionError> {
    let is_left_out = |event: &Event, failed: &BTreeMap<String, Position>| {
        failed.get(&context.projection.key(event)).is_some_and(|first| *first <= event.position)
    };
    'again: loop {
        let mut transaction = past.room.write().await?;
        for event in events {
            if !is_left_out(event, failed) && apply(context, &mut transaction, event).await.is_err() {
                transaction.rollback().await?;
                failed.insert(context.projection.key(event), event.position);
                continue 'again;
            }
        }
        transaction.commit().await?;
        break;
    }
    past.left_out
        .extend(events.iter().filter(|event| is_left_out(event, failed)).map(|event| event.position));
    past.position = events.last().map_or(past.position, |event| event.position);
    Ok(())
}
