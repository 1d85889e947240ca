//! A saga in Rust, run: its expressions evaluated, its steps handled by the same constants.

use super::*;
use crate::remote::RemoteOptions;
use crate::saga::{Answer, Ended, Participant, SagaCall, SagaClient, Trouble};
use axum::Extension;
use sqlx::sqlite::SqlitePoolOptions;
use sqlx::{Executor, Sqlite, SqliteConnection};
use std::sync::Arc;
use tenon_api::caller::Caller;
use tenon_core::saga::{Data, Outcome};
use tenon_core::{Actor, ServerId};
use tenon_flow::saga::participants::{Called, Participants, Request};
use tenon_flow::{EventStore, EventStoreOptions, SagaOptions, Sagas};
use tenon_store::log::BoxFuture;
use tenon_store::{MemoryLog, system_clock};
use tokio::net::TcpListener;

/// All services in one, with what they did in one table.
struct Services {
    participant: Participant<Sqlite>,
    pool: sqlx::SqlitePool,
    broke: bool,
}

type Conn = SqliteConnection;

async fn note(connection: &mut Conn, what: String) -> Result<(), Trouble> {
    sqlx::query("INSERT INTO ledger VALUES ($1)").bind(what).execute(connection).await?;
    Ok(())
}

impl Services {
    async fn new(broke: bool) -> Arc<Self> {
        let pool = SqlitePoolOptions::new().max_connections(1).connect("sqlite::memory:").await.unwrap();
        pool.execute("CREATE TABLE ledger (entry TEXT NOT NULL)").await.unwrap();
        let participant = Participant::new(pool.clone()).await.unwrap();
        Arc::new(Self { participant, pool, broke })
    }

    async fn ledger(&self) -> Vec<String> {
        sqlx::query_scalar("SELECT entry FROM ledger ORDER BY rowid").fetch_all(&self.pool).await.unwrap()
    }

    async fn answer(&self, call: &SagaCall, body: &[u8]) -> Result<Answer, Trouble> {
        match call.step.as_str() {
            "create_order" => {
                let create = async |connection: &mut Conn, order: Order| {
                    note(connection, format!("order of {}", order.customer)).await?;
                    Ok(Created { id: "o-1".to_owned(), total: order.pieces * 3 })
                };
                let cancel = async |connection: &mut Conn, _: Order, undo: Undo<Created>| {
                    let order = undo.output().map_or_else(|| "an order".to_owned(), |order| order.id);
                    note(connection, format!("cancel {order}")).await
                };
                self.participant.step(&CREATE, call, body, create, cancel).await
            }
            "reserve_stock" => {
                let reserve = async |connection: &mut Conn, stock: Stock| {
                    note(connection, format!("reserve {} for {}", stock.pieces, stock.order)).await
                };
                let release = async |connection: &mut Conn, stock: Stock, _: Undo<()>| {
                    note(connection, format!("release {} of {}", stock.pieces, stock.order)).await
                };
                self.participant.step(&RESERVE, call, body, reserve, release).await
            }
            "take_payment" => {
                let pay = async |connection: &mut Conn, payment: Payment| {
                    if self.broke {
                        return Err(Trouble::refused("insufficient funds"));
                    }
                    note(connection, format!("take {} {}", payment.amount, payment.currency)).await?;
                    Ok(Paid { receipt: format!("r-{}", payment.order) })
                };
                self.participant.only_forward(&PAY, call, body, pay).await
            }
            _ => {
                let pack = async |connection: &mut Conn, stock: Stock| {
                    note(connection, format!("pack {}", stock.pieces)).await
                };
                self.participant.only_forward(&PACK, call, body, pack).await
            }
        }
    }
}

impl Participants for Services {
    fn call(&self, request: Request) -> BoxFuture<'_, Called> {
        Box::pin(async move {
            let Request { saga, step, direction, round, attempt, input, .. } = request;
            let body = input.unwrap_or_default().to_string();
            match self.answer(&SagaCall { saga, step, direction, round, attempt }, body.as_bytes()).await {
                Ok(Answer::Done(output)) => Ok(Some(Data::new(&output.to_string()))),
                Ok(Answer::Refused(_)) => Err(Outcome::Refused.into()),
                Err(_) => Err(Outcome::Unknown.into()),
            }
        })
    }
}

/// A server with the saga defined, and a client of it.
async fn served(services: &Arc<Services>) -> (Sagas, SagaClient) {
    let store = EventStore::new(MemoryLog::default().into_log(), EventStoreOptions::default());
    let options = SagaOptions { leases: None, server: ServerId::from_bytes([1; 16]), clock: system_clock() };
    let sagas = Sagas::start(&store, Arc::clone(services) as _, options).await.unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let router = sagas.router().layer(Extension(Caller::Admin(Actor::new("test").unwrap())));
    tokio::spawn(async move { axum::serve(listener, router).await });
    let client = SagaClient::new(&RemoteOptions { address, token: "t".into() }).unwrap();
    assert!(client.define(&place_order()).await.unwrap());
    assert!(!client.define(&place_order()).await.unwrap());
    assert_eq!(sagas.definitions()[0].version, place_order().version());
    (sagas, client)
}

fn order() -> Order {
    Order { customer: "ada".to_owned(), pieces: 4, card: "c".to_owned() }
}

fn approval() -> Approval {
    Approval { by: "bob".to_owned() }
}

const LONG: Duration = Duration::from_secs(30);

#[tokio::test]
async fn it_is_done_from_end_to_end_with_its_types() {
    let services = Services::new(false).await;
    let (_sagas, client) = served(&services).await;
    let run = client.start(&place_order(), &order(), Some("cart-1")).await.unwrap();
    let again = client.start(&place_order(), &order(), Some("cart-1")).await.unwrap();
    assert_eq!((run.existed(), again.existed(), again.id()), (false, true, run.id()));
    run.signal(&APPROVED, &approval()).await.unwrap();
    let placed =
        Placed { order: "o-1".to_owned(), receipt: "r-o-1".to_owned(), approved_by: Some("bob".to_owned()) };
    assert_eq!(run.ended(LONG).await.unwrap(), Some(Ended::Completed(placed)));
    assert_eq!(services.ledger().await, ["order of ada", "reserve 4 for o-1", "take 12 EUR", "pack 4"]);
}

#[tokio::test]
async fn what_was_done_is_undone_with_what_it_answered() {
    let services = Services::new(true).await;
    let (_sagas, client) = served(&services).await;
    let run = client.start(&place_order(), &order(), None).await.unwrap();
    run.signal(&APPROVED, &approval()).await.unwrap();
    let ended = run.ended(LONG).await.unwrap();
    assert!(matches!(&ended, Some(Ended::Compensated(why)) if why.contains("take_payment")), "{ended:?}");
    let ledger = services.ledger().await;
    assert_eq!(ledger, ["order of ada", "reserve 4 for o-1", "release 4 of o-1", "cancel o-1"]);
}

#[tokio::test]
async fn it_is_turned_back_when_it_is_cancelled() {
    let services = Services::new(false).await;
    let (_sagas, client) = served(&services).await;
    let run = client.start(&place_order(), &order(), None).await.unwrap();
    assert_eq!(run.ended(Duration::ZERO).await.unwrap(), None);
    run.cancel().await.unwrap();
    assert!(matches!(run.ended(LONG).await.unwrap(), Some(Ended::Compensated(_))));
    assert!(!services.ledger().await.iter().any(|entry| entry.starts_with("take")));
}

#[tokio::test]
async fn what_the_server_refuses_has_its_code() {
    let (_sagas, client) = served(&Services::new(false).await).await;
    let other = Saga::<u64, ()>::define("other").steps(|mut saga, input| {
        let end = saga.step(RESERVE_ONE, input);
        saga.done(end)
    });
    let error = client.start(&other.unwrap(), &5, None).await.unwrap_err();
    assert_eq!(error.code(), Code::SagaUnknown);
}
