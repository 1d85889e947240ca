//! The HTTP API as one table, and the OpenAPI 3.1 document made from it.
//!
//! Purpose: what is routed, what is documented and what is called are held together by [`API`]: tests of `control`
//! check that every entry is answered, and [`openapi`] is served at `/openapi.json`. [`ADMIN`] is the same for the
//! data plane's admin address. Schemas come from the types of [`crate::http`].

mod bus;
mod document;
mod events;
mod sagas;
mod table;

pub use bus::BUS;
pub use document::{admin_openapi, openapi};
pub use events::EVENTS;
pub use sagas::SAGAS;
pub use table::{ADMIN, API};

use http::Method;
use schemars::{Schema, SchemaGenerator};
use tenon_core::Code;

/// Every endpoint that a server has: [`API`], [`EVENTS`], [`BUS`] and [`SAGAS`].
pub fn served() -> impl Iterator<Item = &'static Endpoint> {
    API.iter().chain(EVENTS).chain(BUS).chain(SAGAS)
}

/// One path and method.
#[derive(Debug, Clone)]
pub struct Endpoint {
    /// The method.
    pub method: Method,
    /// The path, with `{name}` for each parameter in it.
    pub path: &'static str,
    /// A name for it, unique in the document.
    pub operation: &'static str,
    /// What it does, in a line.
    pub summary: &'static str,
    /// Who may call it.
    pub access: Access,
    /// What the path, the query and headers say.
    pub parameters: &'static [Parameter],
    /// What the body is, if there is one: JSON.
    pub request: Option<SchemaOf>,
    /// The status of success.
    pub status: u16,
    /// What success answers: one of these, chosen by the parameters.
    pub answers: &'static [Answer],
    /// The codes that it is refused with, besides those that every call may be (access, and `internal.fault`).
    pub errors: &'static [Code],
}

/// Makes the schema of a type, adding what it refers to.
pub type SchemaOf = fn(&mut SchemaGenerator) -> Schema;

/// Who may call an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Anybody who reaches the port.
    Public,
    /// Whoever has the API token, and an instance for its own service.
    Instance,
    /// Whoever has the API token.
    Operator,
}

/// What a request says outside its body.
#[derive(Debug, Clone, Copy)]
pub struct Parameter {
    /// Its name.
    pub name: &'static str,
    /// Where it stands.
    pub place: Place,
    /// What it means.
    pub description: &'static str,
    /// What it may be.
    pub schema: SchemaOf,
}

/// Where a [`Parameter`] stands. Those in the path are required, all others may be left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// In the path.
    Path,
    /// In the query.
    Query,
    /// In a header.
    Header,
}

/// What a response holds.
#[derive(Debug, Clone, Copy)]
pub enum Answer {
    /// A JSON document.
    Json(SchemaOf),
    /// A stream of server-sent events with such documents as their data.
    Events(SchemaOf),
    /// Text of this media type.
    Text(&'static str),
    /// A WebSocket, if the caller asks for one.
    WebSocket(Socket),
}

/// What goes over a WebSocket, as texts.
#[derive(Debug, Clone, Copy)]
pub struct Socket {
    /// The subprotocol.
    pub protocol: &'static str,
    /// What the server sends.
    pub sends: SchemaOf,
    /// What the caller sends.
    pub takes: SchemaOf,
}

#[cfg(test)]
mod tests;
