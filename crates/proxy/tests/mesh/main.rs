//! The data plane end to end: real sockets, small applications in this process.

#![allow(clippy::unwrap_used, clippy::panic)]

mod admin;
mod balancing;
mod breakers;
mod calls;
mod changes;
mod clients;
mod gateway;
mod gateway_tls;
mod grpc;
mod handover;
mod hedging;
mod holding;
mod hops;
mod identity;
mod load;
mod malformed;
mod outliers;
mod policies;
mod raw_http1;
mod raw_http2;
mod retries;
mod spans;
mod streams;
mod subscribe;
mod support;
mod transparency;
mod tunnels;
