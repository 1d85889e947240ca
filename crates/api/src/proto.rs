//! What is generated from the files in `proto/`. The rest of the crate turns it into the types of `core`, checking
//! everything; nothing else should look inside these.

#![allow(
    missing_docs,
    unreachable_pub,
    unused_qualifications,
    clippy::all,
    clippy::pedantic,
    clippy::nursery
)]

/// What a data plane is told.
pub mod snapshot {
    /// Version 1.
    pub mod v1 {
        tonic::include_proto!("tenon.snapshot.v1");
    }
}

/// How certificates are got.
pub mod identity {
    /// Version 1.
    pub mod v1 {
        tonic::include_proto!("tenon.identity.v1");
    }
}

/// The event store.
pub mod eventstore {
    /// Version 1.
    pub mod v1 {
        tonic::include_proto!("tenon.eventstore.v1");
    }
}

/// CloudEvents in the protobuf format.
pub mod cloudevents {
    /// Version 1.
    pub mod v1 {
        tonic::include_proto!("io.cloudevents.v1");
    }
}

/// Subscriptions.
pub mod bus {
    /// Version 1.
    pub mod v1 {
        tonic::include_proto!("tenon.bus.v1");
    }
}

/// What a service offers that is given events over gRPC.
pub mod consumer {
    /// Version 1.
    pub mod v1 {
        include!(concat!(env!("OUT_DIR"), "/consumer/tenon.bus.v1.rs"));
    }
}

/// Sagas.
pub mod saga {
    /// Version 1.
    pub mod v1 {
        tonic::include_proto!("tenon.saga.v1");
    }
}

/// The payloads of Tenon's own events.
pub mod event {
    /// Version 1.
    pub mod v1 {
        tonic::include_proto!("tenon.event.v1");
    }
}
