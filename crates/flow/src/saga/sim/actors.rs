//! Who acts in the world: servers that live and die, clients, and an operator.

use super::super::journal::{Found, load};
use super::super::names::version_of;
use super::super::{Begin, MAX_RUNNING, Sagas};
use super::ports::{Reached, Services};
use super::shapes;
use super::world::{Life, World};
use crate::{EventStore, EventStoreOptions};
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;
use tenon_api::saga::STARTED;
use tenon_core::saga::{
    At, Cause, Data, Definition, Input, Instance, Operator, Saga, SagaName, StepIx, Why, Work,
};
use tenon_core::{Actor, Code, Namespace, Position, SagaId};
use tenon_store::{Direction, Log, Query, QueryItem};
use tokio::task::JoinSet;

/// How long it may take until all have ended when nothing fails any more; in the world's own time.
const LONGEST: Duration = Duration::from_secs(1_800);

/// Lets it all happen, until every saga has ended and every call has arrived.
pub(super) async fn live(world: &Arc<World>) -> Result<(), String> {
    let definitions = define(world).await?;
    let servers = if world.shared { world.rng(|rng| rng.u8(2..4)) } else { 1 };
    (1..=servers).for_each(|number| _ = tokio::spawn(serve(Arc::clone(world), number)));
    world.chaos(true);
    let mut clients = JoinSet::new();
    for number in 0..world.rng(|rng| rng.u32(1..9)) {
        let definition = world.rng(|rng| definitions[rng.usize(..definitions.len())].clone());
        clients.spawn(use_one(Arc::clone(world), definition, format!("key-{number}")));
    }
    let operator = tokio::spawn(operate(Arc::clone(world)));
    let redefines = tokio::spawn(redefine(Arc::clone(world)));
    wait(world, 5_000..40_000).await;
    world.chaos(false);
    let all = async {
        while let Some(client) = clients.join_next().await {
            client.map_err(|error| error.to_string())?;
        }
        while !(world.is_quiet() && open(world).await.is_empty()) {
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        Ok(())
    };
    let ended = tokio::time::timeout(LONGEST, all).await;
    operator.abort();
    redefines.abort();
    match ended {
        Ok(ended) => ended,
        Err(_) => Err(format!("these come to no end: {:#?}", open(world).await)),
    }
}

async fn wait(world: &World, millis: std::ops::Range<u64>) {
    let millis = world.rng(|rng| rng.u64(millis));
    tokio::time::sleep(Duration::from_millis(millis)).await;
}

/// Makes definitions, by a server of which nothing is heard later.
async fn define(world: &Arc<World>) -> Result<Vec<Definition>, String> {
    // Where few run, those that wait for their turn, or for a saga that they run, may leave no room for the one they wait for.
    let few = world.rng(|rng| rng.u8(..4) == 0);
    let mut definitions: Vec<Definition> = (0..world.rng(|rng| rng.u8(1..4)))
        .map(|number| world.rng(|rng| shapes::any(rng, &format!("saga{number}"), !few)))
        .collect();
    definitions.push(world.rng(shapes::child));
    let life = Life::new(world, 9);
    let sagas = start(world, &life).await.ok_or("no server starts")?;
    for definition in &definitions {
        let defined = sagas.define(definition.clone(), false, None).await;
        defined.map_err(|refusal| refusal.to_string())?;
        let saga = Saga::new(definition.clone()).map_err(|refusal| refusal.to_string())?;
        world.define(version_of(definition), saga);
    }
    sagas.stop().await;
    life.dead.cancel();
    if few {
        _ = world.most.set(world.rng(|rng| rng.usize(1..3)));
    }
    definitions.pop();
    Ok(definitions)
}

/// Changes the saga that others run as a step, while they run.
async fn redefine(world: Arc<World>) {
    loop {
        wait(&world, 2_000..15_000).await;
        let definition = world.rng(shapes::child);
        let Ok(saga) = Saga::new(definition.clone()) else { return };
        world.define(version_of(&definition), saga);
        let Some(sagas) = world.server() else { continue };
        let defined =
            tokio::time::timeout(Duration::from_secs(8), sagas.define(definition, false, None)).await;
        if matches!(defined, Ok(Ok(_))) {
            world.note("redefined", &shapes::CHILD);
        }
    }
}

async fn start(world: &Arc<World>, life: &Arc<Life>) -> Option<Sagas> {
    let store = EventStore::new(Arc::new(Reached(Arc::clone(life))), EventStoreOptions::default());
    let services = Arc::new(Services(Arc::clone(life)));
    let starting =
        Sagas::start_most(&store, services, world.options(life), *world.most.get().unwrap_or(&MAX_RUNNING));
    life.dead.run_until_cancelled(starting).await?.ok()
}

/// A server, which lives until it dies, and is started again.
async fn serve(world: Arc<World>, number: u8) {
    loop {
        let life = Life::new(&world, number);
        if let Some(sagas) = start(&world, &life).await {
            world.note("started", &number);
            world.serves(number, Some(sagas.clone()));
            live_one(&world, &life, &sagas).await;
            world.serves(number, None);
            sagas.shared.stop.cancel();
        }
        life.dead.cancel();
        wait(&world, 0..4_000).await;
    }
}

async fn live_one(world: &World, life: &Life, sagas: &Sagas) {
    let fate = async {
        loop {
            wait(world, 500..12_000).await;
            if sagas.shared.later.len() > 0 {
                world.note("put off", &life.number);
            }
            match world.rng(|rng| rng.u8(..6)) {
                0 if world.crashes(1_000) => return,
                1 if world.fails(1_000) => {
                    sagas.stop().await;
                    world.note("stopped", &life.number);
                    return;
                }
                2 if world.fails(1_000) => {
                    life.stand_still(true);
                    wait(world, 200..9_000).await;
                    life.stand_still(false);
                }
                3 if world.fails(1_000) => {
                    life.believe(true);
                    wait(world, 1_000..9_000).await;
                    life.believe(false);
                }
                _ => {}
            }
        }
    };
    _ = life.dead.run_until_cancelled(fate).await;
}

/// A client: starts a saga until it is known to be started, and then may signal, cancel, or start it again.
async fn use_one(world: Arc<World>, definition: Definition, key: String) {
    wait(&world, 0..9_000).await;
    let id = begin(&world, &definition.name, &key).await;
    for step in &definition.steps {
        if let Work::Signal { name, timeout, .. } = &step.work
            && (timeout.is_none() || world.rng(fastrand::Rng::bool))
        {
            let signal = Input::Signal { name: name.clone(), data: Data::new("{\"id\": 1}") };
            wait(&world, 0..4_000).await;
            tell(&world, id, signal).await;
        }
    }
    if world.rng(|rng| rng.u8(..4)) == 0 {
        wait(&world, 0..6_000).await;
        tell(&world, id, Input::Cancel { cause: Cause::Cancelled }).await;
    }
    if world.rng(|rng| rng.u8(..4)) == 0 {
        wait(&world, 0..6_000).await;
        assert_eq!(begin(&world, &definition.name, &key).await, id, "one key is one saga");
    }
}

async fn begin(world: &World, name: &SagaName, key: &str) -> SagaId {
    loop {
        if let Some(sagas) = world.server() {
            let customer = ["ada", "bob"][usize::from(key.ends_with(['1', '3', '5']))];
            let begin = Begin {
                namespace: Namespace::default(),
                name: name.clone(),
                input: json!({"customer": customer}),
                key: Some(key.to_owned()),
                trace: None,
                kept: None,
                actor: None,
            };
            if let Ok(Ok(begun)) = tokio::time::timeout(Duration::from_secs(8), sagas.begin(begin)).await {
                world.note("begun", &format_args!("{key} {} {}", begun.view.id, begun.existed));
                if !begun.existed {
                    world.began_anew(key);
                }
                return begun.view.id;
            }
        }
        wait(world, 10..500).await;
    }
}

/// Says something to a saga until it is known to be said, or not to fit.
async fn tell(world: &World, id: SagaId, input: Input) {
    loop {
        if let Some(sagas) = world.server() {
            let actor = Actor::new("cli:ada").ok();
            let telling = sagas.tell(id, input.clone(), actor);
            match tokio::time::timeout(Duration::from_secs(8), telling).await {
                Ok(Ok(_)) => return world.note("told", &format_args!("{id} {input:?}")),
                Ok(Err(refusal)) if refusal.code == Code::SagaIllegal => return,
                Ok(Err(_)) | Err(_) => {}
            }
        }
        wait(world, 10..500).await;
    }
}

/// Decides about what waits for somebody.
async fn operate(world: Arc<World>) {
    loop {
        wait(&world, 500..5_000).await;
        for (id, saga, instance) in open(&world).await {
            let parked = instance.those(At::is_parked);
            for step in parked.iter() {
                if world.rng(|rng| rng.u8(..3)) > 0 {
                    let decision = decide(&world, id, &saga, &instance, step);
                    tell(&world, id, Input::Operator(decision)).await;
                }
            }
        }
    }
}

/// What somebody decides who has asked the service.
fn decide(world: &World, id: SagaId, saga: &Saga, instance: &Instance, step: StepIx) -> Operator {
    let name = saga.get(step).map(|step| step.name.to_string()).unwrap_or_default();
    let is_quiet = !world.is_on_the_way(id, &name);
    let is_done = world.is_done(id, &name);
    let is_call = saga.get(step).is_some_and(|step| matches!(step.work, Work::Call { .. }));
    match (instance.at(step), world.rng(|rng| rng.u8(..8))) {
        (At::DoParked(Why::PivotUnknown), 0..3) if is_quiet && !is_done => Operator::Compensate,
        (At::DoParked(_), 0..3) if is_done => Operator::MarkDone(step, Some(Data::new("{\"id\": 1}"))),
        (At::DoParked(Why::Spent), 3) => Operator::Skip(step),
        (At::DoParked(Why::Spent), 4) => Operator::Edit(step, Data::new("{\"customer\": \"eve\"}")),
        (At::UndoParked, 0) => Operator::Skip(step),
        (At::UndoParked, 1) if is_call && is_quiet && !is_done => Operator::MarkDone(step, None),
        _ => Operator::Retry(step),
    }
}

/// The sagas that have begun.
pub(super) async fn begun(world: &World) -> Vec<SagaId> {
    let types = [super::super::names::event_type(STARTED)].into();
    let query =
        Query::reserved().within(Namespace::default()).or(QueryItem { types, ..QueryItem::default() });
    let mut ids = Vec::new();
    let mut from = Position::START;
    loop {
        let page = world.log.read(query.clone(), from, Direction::Forward, usize::MAX).await.unwrap();
        ids.extend(page.events.iter().filter_map(|event| super::super::names::id_of(&event.stream)));
        from = page.next;
        if page.at_end {
            return ids;
        }
    }
}

/// The sagas that have begun and not ended.
async fn open(world: &World) -> Vec<(SagaId, Saga, Instance)> {
    let log: Arc<dyn Log> = Arc::new(world.log.clone());
    let mut open = Vec::new();
    for id in begun(world).await {
        if let Ok(Found::Saga(loaded)) = load(&log, id).await
            && loaded.instance.ended().is_none()
            && let Some(saga) = world.defined(loaded.instance.version())
        {
            open.push((id, saga, loaded.instance));
        }
    }
    open
}
