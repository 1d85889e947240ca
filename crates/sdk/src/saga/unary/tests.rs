use super::*;
use crate::saga::Direction;
use sqlx::sqlite::SqlitePoolOptions;
use sqlx::{Sqlite, SqliteConnection};
use tenon_core::SagaId;
use tonic::Code;

#[derive(Clone, PartialEq, Message)]
struct Paid {
    #[prost(string, tag = "1")]
    receipt: String,
}

async fn participant() -> Participant<Sqlite> {
    let pool = SqlitePoolOptions::new().max_connections(1).connect("sqlite::memory:").await.unwrap();
    sqlx::query("CREATE TABLE payments (cents INTEGER)").execute(&pool).await.unwrap();
    Participant::new(pool).await.unwrap()
}

fn call(direction: &str) -> SagaCall {
    let mut request = Request::new(());
    for (name, value) in [
        ("tenon-saga", SagaId::from_bytes([7; 16]).to_string().as_str()),
        ("tenon-saga-step", "pay"),
        ("tenon-saga-direction", direction),
        ("tenon-saga-round", "0"),
        ("tenon-saga-attempt", "1"),
    ] {
        request.metadata_mut().insert(name, value.parse().unwrap());
    }
    SagaCall::of(&request).unwrap().unwrap()
}

async fn pay(connection: &mut SqliteConnection, receipt: &str) -> Result<Paid, Trouble> {
    sqlx::query("INSERT INTO payments VALUES (1)").execute(connection).await?;
    Ok(Paid { receipt: receipt.to_owned() })
}

#[tokio::test]
async fn over_grpc_a_repeat_is_answered_with_the_same_message() {
    let participant = participant().await;
    let paid = async |receipt: &str| {
        let answered =
            participant.unary(&call("do"), async |connection| pay(connection, receipt).await).await;
        answered.map(Response::into_inner)
    };
    assert_eq!(paid("r1").await.unwrap().receipt, "r1");
    assert_eq!(paid("r2").await.unwrap().receipt, "r1");
    let undone = participant.unary(&call("undo"), async |_| Ok(Paid::default())).await;
    assert_eq!(undone.unwrap().into_inner(), Paid::default());
    let again = participant
        .unary(&call("undo"), async |_| Err::<Paid, _>(Trouble::refused("it is undone already")))
        .await;
    assert_eq!(again.unwrap().into_inner(), Paid::default());
    let late = paid("r3").await.unwrap_err();
    assert_eq!(late.code(), Code::FailedPrecondition);
}

#[tokio::test]
async fn over_grpc_a_refusal_has_its_reason_and_trouble_tells_nothing() {
    let participant = participant().await;
    let failed =
        participant.unary(&call("do"), async |_| Err::<Paid, _>(Trouble::failed("the disk is full"))).await;
    let failed = failed.unwrap_err();
    assert_eq!(failed.code(), Code::Internal);
    assert!(!failed.message().contains("disk"));
    for _ in 0..2 {
        let refused =
            participant.unary(&call("do"), async |_| Err::<Paid, _>(Trouble::refused("no money"))).await;
        let refused = refused.unwrap_err();
        assert_eq!((refused.code(), refused.message()), (Code::FailedPrecondition, "no money"));
    }
}

#[test]
fn what_claims_to_be_a_sagas_call_and_is_none_is_invalid() {
    assert_eq!(SagaCall::of(&Request::new(())).unwrap(), None);
    let mut request = Request::new(());
    request.metadata_mut().insert("tenon-saga", "7".parse().unwrap());
    assert_eq!(SagaCall::of(&request).unwrap_err().code(), Code::InvalidArgument);
    assert_eq!(call("undo").direction, Direction::Undo);
}
