//! A read in pages that the server sends ahead.

use super::{error, wire};
use tenon_api::eventstore::v1;
use tenon_store::{Page, ReadError};
use tonic::Streaming;

/// A read that is under way. Dropping it ends it.
#[derive(Debug)]
pub struct Pages {
    pages: Streaming<v1::ReadResponse>,
}

impl Pages {
    pub(super) fn new(pages: Streaming<v1::ReadResponse>) -> Self {
        Self { pages }
    }

    /// The next page; none after the last. Cancel safe.
    ///
    /// # Errors
    /// [`ReadError`]. The read is of no further use then; begin another from the last page's `next`.
    pub async fn next(&mut self) -> Result<Option<Page>, ReadError> {
        let page = self.pages.message().await.map_err(|status| error::read(&status))?;
        page.map(wire::page).transpose()
    }
}
