#![allow(unused)]
use tenon_sdk::saga::{Compensatable, Participant, Pivot, Retriable, Saga, SagaCall, Value, post, record};
use tenon_sdk::sqlx::{Sqlite, SqliteConnection};
record! {
    pub struct Order as OrderOf { pub id: String, pub pieces: u64 }
    pub struct Stock as StockOf { pub pieces: u64 }
}
pub const PUT: Compensatable<u64, u64> = Compensatable::new("put", post("till", "/put"), post("till", "/take"));
pub const RESERVE: Compensatable<Stock, ()> = Compensatable::new("reserve", post("stock", "/r"), post("stock", "/f"));
pub const PAY: Pivot<u64, u64> = Pivot::new("pay", post("bank", "/pay"));
pub const PAY_AGAIN: Pivot<u64, u64> = Pivot::new("pay_again", post("bank", "/pay"));
pub const TELL: Retriable<u64, ()> = Retriable::new("tell", post("mail", "/mails"));
