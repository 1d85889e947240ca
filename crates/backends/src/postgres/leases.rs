//! Leases as rows, by the clock of the database.

use super::PostgresLog;
use super::failure::Failure;
use std::sync::Arc;
use std::time::Duration;
use tenon_core::ServerId;
use tenon_store::BoxFuture;
use tenon_store::lease::{LeaseError, Leases};
use uuid::Uuid;

impl Leases for PostgresLog {
    fn hold(
        &self,
        name: &'static str,
        holder: ServerId,
        span: Duration,
    ) -> BoxFuture<'_, Result<bool, LeaseError>> {
        Box::pin(async move {
            let held: Option<bool> = sqlx::query_scalar(
                "INSERT INTO tenon.leases AS l (name, holder, until)
                 VALUES ($1, $2, clock_timestamp() + make_interval(secs => $3))
                 ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, until = excluded.until
                 WHERE l.holder = excluded.holder OR l.until <= clock_timestamp()
                 RETURNING true",
            )
            .bind(name)
            .bind(Uuid::from_bytes(*holder.as_bytes()))
            .bind(span.as_secs_f64())
            .fetch_optional(&self.inner.pool)
            .await
            .map_err(unknown)?;
            Ok(held.is_some())
        })
    }

    fn release(&self, name: &'static str, holder: ServerId) -> BoxFuture<'_, Result<(), LeaseError>> {
        Box::pin(async move {
            sqlx::query("DELETE FROM tenon.leases WHERE name = $1 AND holder = $2")
                .bind(name)
                .bind(Uuid::from_bytes(*holder.as_bytes()))
                .execute(&self.inner.pool)
                .await
                .map_err(unknown)?;
            Ok(())
        })
    }
}

fn unknown(error: sqlx::Error) -> LeaseError {
    match Failure::from(error) {
        Failure::Full => LeaseError(Arc::new(std::io::ErrorKind::StorageFull.into())),
        Failure::Passing(error) | Failure::Lasting(error) => LeaseError(error),
    }
}
