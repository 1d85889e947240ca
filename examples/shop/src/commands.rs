//! Aggregates as a small service wants them: on the log that the settings name, opened when they are first asked for, and
//! with problems as their errors.

use crate::place::{self, Place, when_back};
use crate::problem::Problem;
use crate::saga;
use crate::service::Settings;
use axum::response::Response;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fmt::Display;
use std::sync::Arc;
use tenon_sdk::saga::SagaCall;
use tenon_sdk::store::{Direction, Log, Namespace, Position, Query, Tag};
use tenon_sdk::{Aggregates, At, Call, CommandError, Decider, Snapshots};
use tokio::sync::OnceCell;

/// After how many events of a stream its state is kept.
const SNAPSHOT_EVERY: usize = 1_000;

/// The aggregates of one kind. Clones share them.
pub struct Commands<D: Decider>(Arc<Kind<D>>);

struct Kind<D: Decider> {
    settings: Settings,
    category: &'static str,
    schema: &'static str,
    opened: OnceCell<Opened<D>>,
}

struct Opened<D: Decider> {
    aggregates: Aggregates<D>,
    /// A folder that is only this process's is removed with it.
    _place: Option<Place>,
}

impl<D: Decider> Clone for Commands<D> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<D> Commands<D>
where
    D: Decider<State: Serialize + DeserializeOwned, Error: Into<Problem>>,
{
    /// Aggregates whose streams are called `CATEGORY-ID`, on the log that the settings name; `schema` names the form of
    /// their state.
    pub fn new(settings: &Settings, category: &'static str, schema: &'static str) -> Self {
        Self(Arc::new(Kind { settings: settings.clone(), category, schema, opened: OnceCell::new() }))
    }

    /// The same on this log.
    ///
    /// # Errors
    /// A problem if the category is no name.
    pub fn on(self, log: Arc<dyn Log>) -> Result<Self, Problem> {
        let Kind { settings, category, schema, .. } = &*self.0;
        let opened = OnceCell::new_with(Some(self.0.open(log, None)?));
        Ok(Self(Arc::new(Kind { settings: settings.clone(), category, schema, opened })))
    }

    /// Gives a command to an aggregate, and answers its state.
    ///
    /// # Errors
    /// The refusal, or a problem (503) if the log cannot be used: what became of the command is then not known.
    pub async fn execute(&self, id: &str, command: &D::Command) -> Result<D::State, Problem> {
        let aggregates = self.aggregates().await?;
        when_back!({
            let outcome = aggregates.execute(id, command, &Call::default()).await;
            outcome.map(|outcome| outcome.state).map_err(problem)
        })
    }

    /// Answers a call of a saga with what is shown of the state after a command.
    ///
    /// # Errors
    /// The refusal, or a problem (503) if nobody knows what became of the command.
    pub async fn take_part<T: Serialize>(
        &self,
        call: &SagaCall,
        id: &str,
        command: &D::Command,
        shown: impl Fn(&D::State) -> T,
    ) -> Result<Response, Problem> {
        let faults = &self.0.settings.faults;
        let told = |decided: Result<&D::State, D::Error>| saga::told(call, faults, decided.map(&shown));
        let aggregates = self.aggregates().await?;
        when_back!(saga::answered(aggregates.take_part(call, id, command, &told).await))
    }

    /// The state of an aggregate.
    ///
    /// # Errors
    /// A problem (503) if the log cannot be used.
    pub async fn load(&self, id: &str) -> Result<D::State, Problem> {
        let aggregates = self.aggregates().await?;
        when_back!({
            let loaded = aggregates.load(id, At::Now).await;
            loaded.map(|loaded| loaded.state).map_err(problem)
        })
    }

    /// The id of the aggregate that has an event with this tag, if one has.
    ///
    /// # Errors
    /// A problem (503) if the log cannot be used.
    pub async fn found_by(&self, tag: Tag) -> Result<Option<String>, Problem> {
        let log = self.aggregates().await?.log();
        let query = Query::tag(Namespace::default(), tag);
        let before_first = Position(log.first().0.saturating_sub(1));
        let page = log.read(query, before_first, Direction::Forward, 1).await.map_err(unavailable)?;
        let id = |stream: &str| Some(stream.strip_prefix(self.0.category)?.strip_prefix('-')?.to_owned());
        Ok(page.events.first().and_then(|event| id(event.stream.as_str())))
    }

    async fn aggregates(&self) -> Result<&Aggregates<D>, Problem> {
        let opened = self.0.opened.get_or_try_init(|| async {
            let place = place::open(&self.0.settings).await?;
            self.0.open(Arc::clone(&place.log), Some(place))
        });
        opened.await.map(|opened| &opened.aggregates)
    }
}

impl<D: Decider<State: Serialize + DeserializeOwned>> Kind<D> {
    fn open(&self, log: Arc<dyn Log>, place: Option<Place>) -> Result<Opened<D>, Problem> {
        let aggregates = Aggregates::new(log, Namespace::default(), self.category).map_err(unavailable)?;
        let aggregates = aggregates.with_snapshots(Snapshots { every: SNAPSHOT_EVERY, schema: self.schema });
        Ok(Opened { aggregates, _place: place })
    }
}

fn problem<R: std::error::Error + Into<Problem>>(error: CommandError<R>) -> Problem {
    match error {
        CommandError::Refused(refusal) => refusal.into(),
        other => place::problem(&other),
    }
}

fn unavailable(error: impl Display) -> Problem {
    Problem::new(503, "storage.unavailable", format!("the service's data cannot be used now: {error}"))
}
