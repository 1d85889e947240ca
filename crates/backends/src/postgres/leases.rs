//! Leases as rows, by the clock of the database.

use super::PostgresLog;
use super::failure::Failure;
use std::sync::Arc;
use std::time::Duration;
use tenon_core::ServerId;
use tenon_store::BoxFuture;
use tenon_store::lease::{Held, LeaseError, Leases};
use uuid::Uuid;

impl Leases for PostgresLog {
    fn hold<'a>(
        &'a self,
        name: &'a str,
        holder: ServerId,
        span: Duration,
    ) -> BoxFuture<'a, Result<bool, LeaseError>> {
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

    fn held<'a>(&'a self, prefix: &'a str) -> BoxFuture<'a, Result<Vec<Held>, LeaseError>> {
        Box::pin(async move {
            let held: Vec<(String, Uuid, f64)> = sqlx::query_as(
                "SELECT name, holder, extract(epoch FROM until - clock_timestamp())::float8 FROM tenon.leases
                 WHERE starts_with(name, $1) AND until > clock_timestamp() ORDER BY name",
            )
            .bind(prefix)
            .fetch_all(&self.inner.pool)
            .await
            .map_err(unknown)?;
            let told = |(name, holder, left): (String, Uuid, f64)| Held {
                name,
                holder: ServerId::from_bytes(holder.into_bytes()),
                left: Duration::try_from_secs_f64(left).unwrap_or_default(),
            };
            Ok(held.into_iter().map(told).collect())
        })
    }

    fn release<'a>(&'a self, name: &'a str, holder: ServerId) -> BoxFuture<'a, Result<(), LeaseError>> {
        Box::pin(async move {
            // And those of servers that have long been gone.
            sqlx::query(
                "DELETE FROM tenon.leases
                 WHERE (name = $1 AND holder = $2) OR until < clock_timestamp() - interval '1 day'",
            )
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
