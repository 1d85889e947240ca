//! How an error looks over gRPC.

use crate::events::error::Error;
use tenon_api::eventstore::{POSITION_HEADER, v1};
use tenon_api::headers;
use tonic::Status;
use tonic::metadata::{MetadataMap, MetadataValue};

impl From<Error> for Status {
    fn from(error: Error) -> Self {
        let code = error.code();
        let mut metadata = MetadataMap::new();
        metadata.insert(headers::ERROR, MetadataValue::from_static(code.as_str()));
        if let Some(position) = error.position() {
            metadata.insert(POSITION_HEADER, position.0.into());
        }
        let status = tonic::Code::from_i32(code.grpc_status().into());
        Self::with_metadata(status, error.detail(), metadata)
    }
}

/// The error as one of many answers.
pub(super) fn failure(error: &Error) -> v1::AppendFailure {
    v1::AppendFailure {
        code: error.code().as_str().to_owned(),
        detail: error.detail(),
        unknown: error.is_unknown(),
        position: error.position().unwrap_or_default().0,
        id: error.id().map(|id| id.as_bytes().to_vec()).unwrap_or_default().into(),
    }
}
