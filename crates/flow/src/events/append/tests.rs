use super::*;
use crate::testing::{Fixture, admin, event, instance, name};
use tenon_store::Log;

fn expected(stream: &str, version: Version) -> Expected {
    Expected { namespace: Namespace::default(), stream: name(stream), version }
}

fn unchanged(stream: &str, after: u64) -> Expected {
    expected(stream, Version::Unchanged(Position(after)))
}

async fn append(
    fixture: &Fixture,
    events: Vec<NewEvent>,
    expected: Vec<Expected>,
    condition: Option<Condition>,
) -> Result<Appended, Error> {
    let rights = Rights::of(Some(&admin()), false).unwrap();
    let admitted = fixture.store.admit(&rights, events, expected, condition)?;
    fixture.store.append(admitted).await
}

#[tokio::test]
async fn each_of_several_streams_has_an_expected_version_of_its_own() {
    let fixture = Fixture::new();
    let a = fixture.append(&["a"]).await.0;
    fixture.append(&["other"]).await;
    let b = fixture.append(&["b"]).await.0;
    let both = || vec![event("a"), event("b")];
    let stale = append(&fixture, both(), vec![unchanged("a", a), unchanged("b", a)], None).await;
    assert!(matches!(stale, Err(Error::Append(AppendError::Conflict { at })) if at.0 == b));
    let appended = append(&fixture, both(), vec![unchanged("a", a), unchanged("b", b)], None).await.unwrap();
    assert!(!appended.duplicate);
    let late = append(&fixture, both(), vec![unchanged("a", a), unchanged("b", b)], None).await;
    assert!(matches!(late, Err(Error::Append(AppendError::Conflict { .. }))));
}

#[tokio::test]
async fn an_append_that_is_repeated_with_its_expectations_is_recognised() {
    let fixture = Fixture::new();
    let a = fixture.append(&["a"]).await.0;
    let events = vec![event("a"), event("b")];
    let expectations = || vec![unchanged("a", a), unchanged("b", 0)];
    let first = append(&fixture, events.clone(), expectations(), None).await.unwrap();
    fixture.append(&["a", "b"]).await;
    let again = append(&fixture, events, expectations(), None).await.unwrap();
    assert!(again.duplicate);
    assert_eq!(again.positions, first.positions);
}

#[tokio::test]
async fn a_stream_that_must_exist_must_have_an_event() {
    let fixture = Fixture::new();
    let must = || vec![expected("a", Version::Exists)];
    let error = append(&fixture, vec![event("a")], must(), None).await.unwrap_err();
    assert_eq!(error.code(), Code::LogConflict);
    fixture.append(&["a"]).await;
    append(&fixture, vec![event("a")], must(), None).await.unwrap();
}

#[tokio::test]
async fn an_expectation_goes_with_a_general_condition() {
    let fixture = Fixture::new();
    let tag: tenon_core::Tag = "seat:7".parse().unwrap();
    let taken = Condition { query: Query::tag(Namespace::default(), tag.clone()), after: Position::START };
    let booking = || vec![NewEvent { tags: [tag.clone()].into(), ..event("a") }];
    let first = append(&fixture, booking(), vec![unchanged("a", 0)], Some(taken.clone())).await.unwrap();
    let expectations = vec![unchanged("a", first.last().0)];
    let error = append(&fixture, booking(), expectations, Some(taken)).await.unwrap_err();
    assert_eq!(error.position(), Some(first.last()));
}

#[tokio::test]
async fn a_stream_of_the_same_name_elsewhere_does_not_concern_an_append() {
    let fixture = Fixture::new();
    let other: Namespace = "other".parse().unwrap();
    let there = |stream: &str| NewEvent { namespace: other.clone(), ..event(stream) };
    fixture.log.append(vec![there("a")], None).await.unwrap();
    let in_other = Expected { namespace: other.clone(), ..unchanged("b", 0) };
    let events = vec![event("a"), there("b")];
    append(&fixture, events, vec![unchanged("a", 0), in_other], None).await.unwrap();
}

#[tokio::test]
async fn users_do_not_write_where_tenon_writes() {
    let fixture = Fixture::new();
    for stream in ["$tenon/registry", "$subject/7"] {
        let error = append(&fixture, vec![event(stream)], vec![], None).await.unwrap_err();
        assert_eq!(error.code(), Code::AccessForbidden);
    }
    let rights = Rights::of(Some(&admin()), false).unwrap();
    assert_eq!(rights.narrow(Query::everything()).unwrap_err().code(), Code::AccessForbidden);
    assert_eq!(Rights::of(None, true).unwrap_err().code(), Code::AccessUnauthenticated);
}

#[tokio::test]
async fn an_instance_keeps_to_its_namespace_and_signs_what_it_appends() {
    let fixture = Fixture::new();
    let rights = Rights::of(Some(&instance("order.sales")), true).unwrap();
    let error = fixture.store.admit(&rights, vec![event("a")], vec![], None).unwrap_err();
    assert_eq!(error.code(), Code::AccessForbidden);
    let own: Namespace = "sales".parse().unwrap();
    let mut event = NewEvent { namespace: own.clone(), ..event("a") };
    event.metadata.actor = Some("cli:ada".parse().unwrap());
    let admitted = fixture.store.admit(&rights, vec![event], vec![], None).unwrap();
    fixture.store.append(admitted).await.unwrap();
    assert_eq!(rights.narrow(Query::user()).unwrap().namespace, Some(own));
    assert!(rights.narrow(Query::user().within(Namespace::default())).is_err());
    assert!(rights.check_operator("this").is_err());
    let page = fixture.log.read(Query::user(), Position::START, Direction::Forward, 1).await.unwrap();
    assert_eq!(page.events[0].metadata.actor.as_ref().unwrap().as_str(), "instance:order-1");
}
