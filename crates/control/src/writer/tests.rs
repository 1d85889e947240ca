use super::*;
use crate::testing::{
    Fixture, actor, apply, external, id, managed, record_health, register, service_ref, system,
};
use tenon_core::health::Status;
use tenon_core::{config, registry};
use tenon_store::MemoryLog;
use tenon_store::memory::AppendFault;

fn shop() -> tenon_core::manifest::System {
    system([external("payment", &["127.0.0.1:9".parse().unwrap()]), managed("order", 2)])
}

fn set(value: &str) -> Command {
    Command::Config(config::Command::Set {
        service: service_ref("payment"),
        key: crate::testing::key("limit"),
        value: crate::testing::json(value),
        expected: None,
    })
}

fn limit(view: &View) -> Option<String> {
    let entry = view.state.config.get(&service_ref("payment"), &crate::testing::key("limit"))?;
    Some(entry.value.as_json().to_owned())
}

#[tokio::test]
async fn a_change_that_was_answered_is_in_the_log_and_in_the_state() {
    let fixture = Fixture::with(shop()).await;
    let done = fixture.run(set("5")).await;
    assert_eq!(fixture.writer.read(limit), Some("5".into()));
    assert_eq!(done.revision.position, fixture.log.head());
    assert_eq!(done.revision.log, fixture.log.id());
    assert_eq!(fixture.writer.read(|view| view.state.revision), done.revision);
}

#[tokio::test]
async fn a_change_records_who_made_it() {
    let fixture = Fixture::with(shop()).await;
    fixture.writer.command(actor("cli:ada"), set("5")).await.unwrap();
    let by = fixture.writer.read(|view| {
        let entry = view.state.config.get(&service_ref("payment"), &crate::testing::key("limit")).unwrap();
        entry.set_by.clone()
    });
    assert_eq!(by, actor("cli:ada"));
}

#[tokio::test]
async fn what_is_so_already_is_not_recorded_again() {
    let fixture = Fixture::with(shop()).await;
    let first = fixture.run(set("5")).await;
    let head = fixture.log.head();
    let again = fixture.run(set("5")).await;
    assert!(again.events.is_empty());
    assert_eq!((again.revision, fixture.log.head()), (first.revision, head));
}

#[tokio::test]
async fn a_refusal_changes_nothing() {
    let fixture = Fixture::with(shop()).await;
    fixture.run(register("payment", "payment-a")).await;
    let head = fixture.log.head();
    let refusal = fixture.try_run(register("payment", "payment-a")).await.unwrap_err();
    assert_eq!(refusal.code, Code::RegistryDuplicateInstance);
    assert_eq!(fixture.log.head(), head);
}

#[tokio::test]
async fn a_restarted_server_has_the_same_state_and_history() {
    let before = Fixture::with(shop()).await;
    before.run(set("5")).await;
    before.run(register("payment", "payment-a")).await;
    before.run(record_health("payment", "payment-a", Status::Healthy)).await;
    let after = Fixture::on(before.log.clone()).await;
    let state = before.writer.read(|view| view.state.clone());
    assert_eq!(after.writer.read(|view| view.state.clone()), state);
    let events = |fixture: &Fixture| {
        fixture.writer.read(|view| view.history.after(Position::START).unwrap().cloned().collect::<Vec<_>>())
    };
    assert_eq!(events(&after), events(&before));
}

#[tokio::test]
async fn a_long_log_is_replayed_in_pages() {
    let before = Fixture::with(shop()).await;
    for number in 0..PAGE * 2 + 10 {
        before.run(set(&number.to_string())).await;
    }
    let after = Fixture::on(before.log.clone()).await;
    assert_eq!(after.writer.read(limit), Some((PAGE * 2 + 9).to_string()));
}

#[tokio::test]
async fn users_events_are_passed_over() {
    let fixture = Fixture::with(shop()).await;
    let stream = tenon_core::StreamName::new("orders-1").unwrap();
    let kind = tenon_core::EventType::new("order.Created.v1").unwrap();
    let event = NewEvent::new(tenon_core::Namespace::default(), stream, kind, vec![0xff].into());
    Log::append(&fixture.log, vec![event], None).await.unwrap();
    fixture.run(set("5")).await;
    assert_eq!(fixture.writer.read(limit), Some("5".into()));
}

#[tokio::test]
async fn two_servers_on_one_log_hold_the_same_state() {
    let one = Fixture::with(shop()).await;
    let two = Fixture::on(one.log.clone()).await;
    one.run(set("1")).await;
    // The other one's state may be behind: then its append conflicts, and it decides anew.
    two.run(register("payment", "payment-a")).await;
    one.run(record_health("payment", "payment-a", Status::Healthy)).await;
    let last = one.writer.read(|view| view.state.revision.position);
    two.until(|view| view.state.revision.position >= last).await;
    assert_eq!(one.writer.read(|view| view.state.clone()), two.writer.read(|view| view.state.clone()));
}

#[tokio::test]
async fn of_racing_registrations_of_one_id_exactly_one_wins() {
    let one = Fixture::with(shop()).await;
    let two = Fixture::on(one.log.clone()).await;
    for round in 0..20 {
        let name = format!("payment-{round}");
        let (left, right) =
            tokio::join!(one.try_run(register("payment", &name)), two.try_run(register("payment", &name)));
        let lost = left.err().xor(right.err()).expect("exactly one is refused");
        assert_eq!(lost.code, Code::RegistryDuplicateInstance);
    }
}

#[tokio::test]
async fn concurrent_changes_are_all_recorded_once_and_in_one_order() {
    let fixture = Fixture::with(shop()).await;
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..100 {
        let writer = fixture.writer.clone();
        tasks.spawn(async move {
            writer.command(actor("test"), register("payment", &format!("p-{number}"))).await.unwrap()
        });
    }
    let mut positions: Vec<Position> =
        tasks.join_all().await.iter().map(|done| done.revision.position).collect();
    positions.sort_unstable();
    positions.dedup();
    assert_eq!(positions.len(), 100);
    let registered =
        fixture.writer.read(|view| view.state.registry.instances(&service_ref("payment")).count());
    assert_eq!(registered, 101, "and the one that the manifest names");
}

#[tokio::test]
async fn an_append_whose_answer_is_lost_is_settled_and_recorded_once() {
    let fixture = Fixture::with(shop()).await;
    fixture.log.faults().order(AppendFault::LostAfter);
    let done = fixture.run(register("payment", "payment-a")).await;
    assert_eq!(done.revision.position, fixture.log.head());
    assert_eq!(fixture.status("payment-a"), Some(Status::Unknown));
}

#[tokio::test]
async fn a_full_log_refuses_changes_until_there_is_room() {
    let fixture = Fixture::with(shop()).await;
    fixture.log.faults().order(AppendFault::Full);
    assert_eq!(fixture.try_run(set("5")).await.unwrap_err().code, Code::LogFull);
    assert_eq!(fixture.writer.read(limit), None);
    fixture.run(set("6")).await;
    assert_eq!(fixture.writer.read(limit), Some("6".into()));
}

#[tokio::test]
async fn a_closed_log_refuses_changes_while_reads_go_on() {
    let fixture = Fixture::with(shop()).await;
    fixture.run(set("5")).await;
    fixture.log.close();
    assert_eq!(fixture.try_run(set("6")).await.unwrap_err().code, Code::LogClosed);
    assert_eq!(fixture.try_run(set("7")).await.unwrap_err().code, Code::LogClosed);
    assert_eq!(fixture.writer.read(limit), Some("5".into()));
}

#[tokio::test]
async fn a_change_that_cannot_be_read_back_is_not_lost() {
    let fixture = Fixture::with(shop()).await;
    fixture.log.faults().fail_reads(1);
    let refusal = fixture.try_run(set("5")).await.unwrap_err();
    assert!(refusal.detail.contains("was recorded"), "{refusal}");
    fixture.run(register("payment", "payment-a")).await;
    assert_eq!(fixture.writer.read(limit), Some("5".into()));
}

#[tokio::test]
async fn a_change_that_could_never_be_read_back_is_refused() {
    let fixture = Fixture::with(shop()).await;
    let head = fixture.log.head();
    let refusal = fixture.try_run(apply(system([external("payment", &[])]))).await.unwrap_err();
    assert_eq!(
        refusal.code,
        Code::Internal,
        "a service that runs nowhere is not one that a manifest can state"
    );
    assert_eq!(fixture.log.head(), head);
    fixture.run(set("5")).await;
}

#[tokio::test]
async fn an_event_of_a_later_version_stops_the_fold_and_further_changes() {
    let fixture = Fixture::with(shop()).await;
    fixture.run(set("5")).await;
    append_unknown(&fixture.log).await;
    let refusal = fixture.try_run(set("6")).await.unwrap_err();
    assert_eq!(refusal.code, Code::DataNewerVersion);
    assert_eq!(fixture.writer.read(limit), Some("5".into()));
    let port: Arc<dyn Log> = fixture.log.clone().into_log();
    let restarted = start(port, fixture.clock.clone(), CancellationToken::new()).await;
    assert_eq!(restarted.err().unwrap().code(), Code::DataNewerVersion);
}

async fn append_unknown(log: &MemoryLog) {
    let stream = tenon_core::StreamName::new("$tenon/system").unwrap();
    let kind = tenon_core::EventType::new("tenon.catalog.Rewritten.v9").unwrap();
    let mut event = NewEvent::new(tenon_core::Namespace::default(), stream, kind, Default::default());
    event.tags.insert(Tag::new(platform::CONTROL_TAG).unwrap());
    Log::append(log, vec![event], None).await.unwrap();
}

#[tokio::test]
async fn whoever_remembers_a_position_misses_nothing() {
    let fixture = Fixture::with(shop()).await;
    let start = fixture.writer.read(|view| view.state.revision.position);
    let (writer, mut folded) = (fixture.writer.clone(), fixture.writer.folded());
    let watcher = tokio::spawn(async move {
        let (mut seen, mut position) = (Vec::new(), start);
        while seen.len() < 200 {
            let new = writer.read(|view| view.history.after(position).unwrap().cloned().collect::<Vec<_>>());
            position = new.last().map_or(position, |recorded| recorded.stamp.position);
            seen.extend(new);
            if seen.len() < 200 {
                folded.changed().await.unwrap();
            }
        }
        seen
    });
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..200 {
        let writer = fixture.writer.clone();
        tasks.spawn(async move {
            writer.command(actor("test"), register("payment", &format!("p-{number}"))).await.unwrap()
        });
    }
    tasks.join_all().await;
    let seen = watcher.await.unwrap();
    assert!(seen.windows(2).all(|pair| pair[0].stamp.position < pair[1].stamp.position));
    let names: BTreeSet<String> = seen
        .iter()
        .map(|recorded| match &recorded.event {
            Event::Registry(registry::Event::InstanceRegistered(it)) => it.id.to_string(),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(names.len(), 200);
    assert!(names.contains(id("p-199").as_str()));
}

#[tokio::test]
async fn it_is_known_where_the_manifest_was_applied() {
    let fixture = Fixture::with(shop()).await;
    let applied_at = |fixture: &Fixture| fixture.writer.read(|view| view.applied_at);
    let first = applied_at(&fixture);
    fixture.run(set("5")).await;
    let head = fixture.log.head();
    assert_eq!((applied_at(&fixture), head > first), (first, true));
    fixture.run(apply(system([managed("order", 1)]))).await;
    assert!(applied_at(&fixture) > head);
}

#[tokio::test]
async fn a_dropped_request_still_leaves_the_writer_working() {
    let fixture = Fixture::with(shop()).await;
    let request = fixture.writer.command(actor("test"), set("5"));
    drop(tokio::time::timeout(Duration::ZERO, request).await);
    fixture.run(apply(shop())).await;
    fixture.run(set("6")).await;
    assert_eq!(fixture.writer.read(limit), Some("6".into()));
}
