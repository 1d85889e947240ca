//! Where read models live: a seam between the projector and a database.

use super::Bookkeeping;
use sqlx::Transaction;
use tenon_store::BoxFuture;

/// A database that holds read models, each generation apart from the others.
pub trait ReadModels: Send + Sync + 'static {
    /// The database.
    type Database: Bookkeeping;
    /// Where one generation lives.
    type Room: Room<Database = Self::Database>;

    /// The numbers of a projection's generations that are whole, lowest first. What was begun and never
    /// committed is taken away.
    fn find<'a>(&'a self, name: &'a str) -> BoxFuture<'a, sqlx::Result<Vec<u32>>>;

    /// A generation that was found.
    fn open<'a>(&'a self, name: &'a str, number: u32) -> BoxFuture<'a, sqlx::Result<Self::Room>>;

    /// A new generation, and the transaction that its tables are to be made in. Fails if there is one with this
    /// number.
    fn make<'a>(&'a self, name: &'a str, number: u32) -> BoxFuture<'a, sqlx::Result<Made<Self::Room>>>;

    /// A place that is nobody else's and is not found, for looking back. Whoever asked removes it.
    fn scratch<'a>(&'a self, name: &'a str) -> BoxFuture<'a, sqlx::Result<Made<Self::Room>>>;
}

/// A new place, and the transaction that its tables are to be made in.
pub type Made<R> = (R, Transaction<'static, <R as Room>::Database>);

/// Where one generation lives: its tables have their plain names here, whichever number it has.
pub trait Room: Send + Sync + 'static {
    /// The database.
    type Database: Bookkeeping;

    /// A transaction to change the tables in; one at a time.
    fn write(&self) -> BoxFuture<'_, sqlx::Result<Transaction<'static, Self::Database>>>;

    /// A transaction to read in, which sees the tables as of one moment.
    fn read(&self) -> BoxFuture<'_, sqlx::Result<Transaction<'static, Self::Database>>>;

    /// Removes everything of it, when transactions in it have ended.
    fn remove(&self) -> BoxFuture<'_, sqlx::Result<()>>;
}
