use super::*;
use crate::testing::{
    Fixture, LONG, actor, apply, bare, id, record_health, register, registration, service_ref, system,
};
use tenon_core::health::Status;
use tenon_core::manifest::System;
use tenon_core::platform::Command;
use tenon_core::rate;
use tenon_core::registry;
use tenon_core::snapshot::Endpoints;

fn shop() -> System {
    system([bare("payment"), bare("order")])
}

fn service(fixture: &Fixture) -> (Snapshots, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let keys = Keys::open(folder.path()).unwrap();
    (
        Snapshots::new(fixture.writer.clone(), keys, fixture.clock.clone(), Vec::new(), fixture.stop.clone()),
        folder,
    )
}

fn nothing_known() -> Watch {
    Watch {
        node: "test".into(),
        routes: None,
        endpoints: None,
        sidecars: None,
        instances: Default::default(),
    }
}

fn all_known(revision: Revision) -> Watch {
    let known = Some(revision);
    Watch {
        node: "test".into(),
        routes: known,
        endpoints: known,
        sidecars: known,
        instances: Default::default(),
    }
}

async fn next(feed: &mut Feed) -> Part {
    tokio::time::timeout(LONG, feed.next()).await.expect("nothing came").expect("the feed ended")
}

/// Whether nothing is to be told.
fn is_quiet(feed: &mut Feed) -> bool {
    let mut next = Box::pin(feed.next());
    let waker = std::task::Waker::noop();
    Future::poll(next.as_mut(), &mut std::task::Context::from_waker(waker)).is_pending()
}

async fn register_healthy(fixture: &Fixture, service: &str, name: &str) {
    fixture.run(register(service, name)).await;
    fixture.run(record_health(service, name, Status::Healthy)).await;
}

fn revision(fixture: &Fixture) -> Revision {
    fixture.writer.read(|view| view.state.revision)
}

#[tokio::test]
async fn a_data_plane_that_knows_nothing_is_told_everything_listeners_first() {
    let fixture = Fixture::with(shop()).await;
    register_healthy(&fixture, "payment", "payment-a").await;
    let (snapshots, _folder) = service(&fixture);
    let mut feed = Feed::new(snapshots, &nothing_known());
    assert!(matches!(next(&mut feed).await, Part::Sidecars(_)));
    let Part::Routes(routes) = next(&mut feed).await else { panic!("no routes") };
    assert_eq!(routes.services.len(), 2);
    let Part::Endpoints(endpoints) = next(&mut feed).await else { panic!("no endpoints") };
    assert_eq!(endpoints.services[&service_ref("payment")][0].instance, id("payment-a"));
    assert!(is_quiet(&mut feed));
}

#[tokio::test]
async fn the_servers_own_sidecar_is_told_even_to_a_data_plane_that_knew_another() {
    let fixture = Fixture::with(shop()).await;
    let (mut snapshots, folder) = service(&fixture);
    let keys = Keys::open(folder.path()).unwrap();
    let [own, other] = [platform::pusher(), platform::orchestrator()]
        .map(|service| OwnSidecar::new(&keys, &BTreeSet::new(), service).unwrap());
    snapshots.own = vec![own.clone(), other.clone()];
    let mut feed = Feed::new(snapshots, &all_known(revision(&fixture)));
    let Part::Sidecars(sidecars) = next(&mut feed).await else { panic!("no sidecars") };
    let sidecar = &sidecars.sidecars[&own.instance];
    assert_eq!((sidecar.outbound, &sidecar.service), (own.outbound, &platform::pusher()));
    assert!(sidecar.depends_on.contains(&service_ref("order")));
    assert_eq!(sidecars.sidecars[&other.instance].service, platform::orchestrator());
    assert!(is_quiet(&mut feed));
}

#[tokio::test]
async fn afterwards_only_what_changed_is_told() {
    let fixture = Fixture::with(shop()).await;
    let (snapshots, _folder) = service(&fixture);
    let mut feed = Feed::new(snapshots, &all_known(revision(&fixture)));
    assert!(is_quiet(&mut feed));
    fixture.run(register("payment", "payment-a")).await;
    assert!(is_quiet(&mut feed), "not healthy yet");
    fixture.run(record_health("payment", "payment-a", Status::Healthy)).await;
    let Part::ServiceEndpoints(change) = next(&mut feed).await else { panic!("no change") };
    assert_eq!((change.service, change.endpoints.len()), (service_ref("payment"), 1));
    assert_eq!(change.revision, revision(&fixture));
    fixture.run(record_health("payment", "payment-a", Status::Unhealthy)).await;
    let Part::ServiceEndpoints(change) = next(&mut feed).await else { panic!("no change") };
    assert_eq!(change.service, service_ref("payment"));
    assert_eq!(change.endpoints.iter().map(|it| it.healthy).collect::<Vec<_>>(), [false], "told, and marked");
    assert!(is_quiet(&mut feed));
}

#[tokio::test]
async fn a_data_plane_that_comes_back_is_told_what_it_missed() {
    let fixture = Fixture::with(shop()).await;
    let before = revision(&fixture);
    register_healthy(&fixture, "payment", "payment-a").await;
    let (snapshots, _folder) = service(&fixture);
    let mut feed = Feed::new(snapshots, &all_known(before));
    assert!(matches!(next(&mut feed).await, Part::ServiceEndpoints(_)));
    assert!(is_quiet(&mut feed));
}

#[tokio::test]
async fn what_a_data_plane_has_of_another_log_or_of_the_future_does_not_count() {
    let fixture = Fixture::with(shop()).await;
    let (snapshots, _folder) = service(&fixture);
    let present = revision(&fixture);
    let elsewhere = Revision { log: tenon_store::new_log_id(), ..present };
    let future = Revision { position: Position(present.position.0 + 9), ..present };
    for unknown in [elsewhere, future] {
        let mut feed = Feed::new(snapshots.clone(), &all_known(unknown));
        assert!(matches!(next(&mut feed).await, Part::Sidecars(_)));
        assert!(matches!(next(&mut feed).await, Part::Routes(_)));
        assert!(matches!(next(&mut feed).await, Part::Endpoints(_)));
    }
}

#[tokio::test]
async fn a_slow_data_plane_gets_the_newest_state_and_no_backlog() {
    let fixture = Fixture::with(shop()).await;
    let (snapshots, _folder) = service(&fixture);
    let mut feed = Feed::new(snapshots, &all_known(revision(&fixture)));
    for number in 0..50 {
        register_healthy(&fixture, "payment", &format!("p-{number}")).await;
    }
    let Part::ServiceEndpoints(change) = next(&mut feed).await else { panic!("no change") };
    assert_eq!((change.endpoints.len(), change.revision), (50, revision(&fixture)));
    assert!(is_quiet(&mut feed));
}

#[tokio::test]
async fn another_manifest_changes_the_routes() {
    let fixture = Fixture::with(shop()).await;
    let (snapshots, _folder) = service(&fixture);
    let mut feed = Feed::new(snapshots, &all_known(revision(&fixture)));
    fixture.run(apply(system([bare("payment")]))).await;
    assert!(matches!(next(&mut feed).await, Part::Sidecars(_)));
    let Part::Routes(routes) = next(&mut feed).await else { panic!("no routes") };
    assert_eq!(routes.services.len(), 1);
}

#[tokio::test]
async fn of_routes_that_were_told_only_what_changes_is_told() {
    let fixture = Fixture::with(shop()).await;
    let (snapshots, _folder) = service(&fixture);
    let mut feed = Feed::new(snapshots, &nothing_known());
    let mut known = None;
    for (services, told) in
        [(vec!["payment", "order"], true), (vec!["order"], false), (vec!["payment", "order"], false)]
    {
        if known.is_some() {
            fixture.run(apply(system(services.iter().map(|name| bare(name))))).await;
        }
        let whole = loop {
            match next(&mut feed).await {
                Part::Routes(routes) => {
                    known = Some(routes);
                    break true;
                }
                Part::RouteChanges(changes) => {
                    assert!(changes.apply_to(known.as_mut().unwrap()));
                    break false;
                }
                _ => {}
            }
        };
        assert_eq!(whole, told);
        if !whole {
            assert_eq!(known.as_ref().unwrap().services.len(), services.len());
        }
    }
}

#[tokio::test]
async fn all_parts_together_always_lead_to_the_state_itself() {
    let fixture = Fixture::with(shop()).await;
    let (snapshots, _folder) = service(&fixture);
    let mut feed = Feed::new(snapshots, &nothing_known());
    let mut known: Option<Endpoints> = None;
    let mut apply = |part: Part| match part {
        Part::Endpoints(endpoints) => known.insert(endpoints).services.clone(),
        Part::ServiceEndpoints(change) => {
            let known = known.as_mut().unwrap();
            assert!(change.apply_to(known));
            known.services.clone()
        }
        Part::Routes(_) | Part::RouteChanges(_) | Part::Sidecars(_) => Default::default(),
    };
    let mut changes = tokio::task::JoinSet::new();
    for number in 0..60 {
        let writer = fixture.writer.clone();
        let (service, name) = (if number % 2 == 0 { "payment" } else { "order" }, format!("i-{number}"));
        changes.spawn(async move {
            writer.command(actor("test"), register(service, &name)).await.unwrap();
            for to in [Status::Healthy, Status::Unhealthy, Status::Healthy] {
                writer.command(actor("test"), record_health(service, &name, to)).await.unwrap();
            }
        });
    }
    // While they are made, and then until all have been told.
    let mut told = BTreeMap::new();
    while told.values().map(Vec::len).sum::<usize>() < 60 {
        told = apply(next(&mut feed).await);
    }
    changes.join_all().await;
    let derived = fixture.writer.read(|view| platform::endpoints(&view.state)).services;
    while told != derived {
        told = apply(next(&mut feed).await);
    }
}

#[tokio::test]
async fn who_is_connected_is_known_and_ends_with_the_server() {
    let fixture = Fixture::with(shop()).await;
    let (snapshots, _folder) = service(&fixture);
    let mut feed = Feed::new(snapshots.clone(), &nothing_known());
    assert_eq!(snapshots.connected()[0].sent, None);
    next(&mut feed).await;
    assert_eq!(snapshots.connected()[0].node, "test");
    assert_eq!(snapshots.connected()[0].sent, Some(revision(&fixture)));
    for _ in 0..2 {
        next(&mut feed).await;
    }
    fixture.stop.cancel();
    assert!(tokio::time::timeout(LONG, feed.next()).await.unwrap().is_none());
    drop(feed);
    assert_eq!(snapshots.connected(), []);
}

#[tokio::test(start_paused = true)]
async fn data_planes_that_share_a_limit_are_told_how_many_they_are() {
    let limit =
        rate::Limit { requests: 1, per: Duration::from_secs(1), burst: 1, by: rate::By::All, shared: true };
    let mut shop = shop();
    let policy = Policy { rules: Vec::new(), unless: Vec::new(), action: Action::RateLimit(limit) };
    shop.policies.named.insert("slow".parse().unwrap(), Arc::new(policy));
    let fixture = Fixture::with(shop).await;
    let (snapshots, _folder) = service(&fixture);
    let planes = |part| match part {
        Part::Routes(routes) => routes.planes,
        Part::RouteChanges(changes) => changes.settings.planes,
        other => panic!("no routes: {other:?}"),
    };
    let mut first = Feed::new(snapshots.clone(), &all_known(revision(&fixture)));
    assert_eq!(planes(next(&mut first).await), 1);
    let mut second = Feed::new(snapshots, &all_known(revision(&fixture)));
    assert_eq!(planes(next(&mut second).await), 2);
    assert_eq!(planes(next(&mut first).await), 2);
    drop(second);
    assert!(is_quiet(&mut first), "it may come back");
    assert_eq!(planes(next(&mut first).await), 1);
}

#[tokio::test]
async fn a_sidecar_of_its_own_is_told_of_itself_only() {
    let fixture = Fixture::with(shop()).await;
    let (snapshots, _folder) = service(&fixture);
    let watch = Watch { instances: [id("payment-1")].into(), ..nothing_known() };
    let mut feed = Feed::new(snapshots, &watch);
    let told = |part: Part| match part {
        Part::Sidecars(part) => part.sidecars.into_keys().collect::<Vec<_>>(),
        other => panic!("{other:?}"),
    };
    assert_eq!(told(next(&mut feed).await), []);
    assert!(matches!(next(&mut feed).await, Part::Routes(routes) if routes.gateway.is_none()));
    assert!(matches!(next(&mut feed).await, Part::Endpoints(_)));
    let mut instance = registration("payment", "payment-1", "127.0.0.1:1", None);
    let listener = std::net::SocketAddr::from(([127, 0, 0, 1], 2));
    instance.sidecar = Some(registry::Sidecar { inbound: listener, outbound: listener });
    fixture.run(Command::Registry(registry::Command::Register(instance))).await;
    assert_eq!(told(next(&mut feed).await), [id("payment-1")]);
}
