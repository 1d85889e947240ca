use super::*;
use crate::testing::{Fixture, actor, external, json, key, service_ref, system};
use tenon_core::platform::{self, Command};

async fn fixture() -> (Fixture, PastConfig) {
    let fixture = Fixture::with(system([external("payment", &["127.0.0.1:9".parse().unwrap()])])).await;
    let past = PastConfig::new(fixture.log.clone().into_log());
    (fixture, past)
}

async fn set(fixture: &Fixture, name: &str, value: &str) -> Revision {
    let (service, key, value) = (service_ref("payment"), key(name), json(value));
    let command = Command::Config(config::Command::Set { service, key, value, expected: None });
    fixture.writer.command(actor("cli:ada"), command).await.unwrap().revision
}

fn values(past: &Past) -> Vec<(String, String)> {
    let values = past.state.values(&service_ref("payment"));
    values.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect()
}

#[test]
fn the_stream_is_where_the_platform_records() {
    for text in ["payment", "payment.shop"] {
        let service = service_ref(text);
        let event = Event::Config(config::Event::ValueRemoved {
            service: service.clone(),
            key: key("a"),
            origin: Origin::Hand,
        });
        assert_eq!(stream_of(&service), platform::stream(&event));
        assert_eq!(service.namespace, platform::namespace(&event));
    }
}

#[tokio::test]
async fn every_revision_can_be_read_again() {
    let (fixture, past) = fixture().await;
    let first = set(&fixture, "limit", "1").await;
    let second = set(&fixture, "currency", "\"EUR\"").await;
    set(&fixture, "limit", "2").await;
    let at = async |revision| values(&past.at(&service_ref("payment"), revision).await.unwrap());
    let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    assert_eq!(at(Revision { position: Position::START, ..first }).await, []);
    assert_eq!(at(first).await, [pair("limit", "1")]);
    assert_eq!(at(second).await, [pair("currency", "\"EUR\""), pair("limit", "1")]);
}

#[tokio::test]
async fn a_revision_that_there_is_not_is_refused() {
    let (fixture, past) = fixture().await;
    let last = set(&fixture, "limit", "1").await;
    let elsewhere = Revision { log: tenon_store::new_log_id(), ..last };
    let later = Revision { position: Position(last.position.0 + 1), ..last };
    for revision in [elsewhere, later] {
        let refusal = past.at(&service_ref("payment"), revision).await.unwrap_err();
        assert_eq!(refusal.code, Code::ConfigUnknownRevision);
    }
}

#[tokio::test]
async fn records_tell_old_and_new_and_who() {
    let (fixture, past) = fixture().await;
    set(&fixture, "limit", "1").await;
    set(&fixture, "other", "0").await;
    let last = set(&fixture, "limit", "2").await;
    let of_limit = |record: &Record| record.change.key == key("limit");
    let records = past.records(&service_ref("payment"), 10, of_limit).await.unwrap();
    let told: Vec<_> = records.iter().map(|it| (it.change.old.clone(), it.change.new.clone())).collect();
    assert_eq!(told, [(None, Some(json("1"))), (Some(json("1")), Some(json("2")))]);
    assert_eq!(records[1].stamp.actor, actor("cli:ada"));
    assert_eq!(records[1].stamp.position, last.position);
    assert_eq!(past.records(&service_ref("payment"), 1, |_| true).await.unwrap(), [records[1].clone()]);
}

#[tokio::test]
async fn a_long_history_is_read_in_pages() {
    let (fixture, past) = fixture().await;
    for number in 0..PAGE + 3 {
        set(&fixture, "limit", &number.to_string()).await;
    }
    let records = past.records(&service_ref("payment"), 2 * PAGE, |_| true).await.unwrap();
    assert_eq!(records.len(), PAGE + 3);
}
