//! The document, made from the table.

use super::{ADMIN, Access, Answer, Endpoint, Parameter, Place, Socket, served};
use crate::problem::{self, Problem};
use http::StatusCode;
use schemars::SchemaGenerator;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use tenon_core::Code;

/// The OpenAPI 3.1 document of the server's API.
pub fn openapi() -> Value {
    document("Tenon API", "http://127.0.0.1:7420", served())
}

/// The OpenAPI 3.1 document of a data plane's admin address.
pub fn admin_openapi() -> Value {
    document("Tenon data plane", "http://127.0.0.1:7421", ADMIN.iter())
}

fn document<'a>(title: &str, server: &str, endpoints: impl Iterator<Item = &'a Endpoint>) -> Value {
    let settings =
        SchemaSettings::draft2020_12().with(|it| it.definitions_path = "/components/schemas".into());
    let mut schemas = settings.into_generator();
    let mut paths = Map::new();
    for endpoint in endpoints {
        let operation = operation(endpoint, &mut schemas);
        let path = paths.entry(endpoint.path).or_insert_with(|| json!({}));
        path[endpoint.method.as_str().to_ascii_lowercase()] = operation;
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": title,
            "version": env!("CARGO_PKG_VERSION"),
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": server}],
        "paths": paths,
        "components": {
            "schemas": schemas.take_definitions(true),
            "securitySchemes": {"token": {
                "type": "http",
                "scheme": "bearer",
                "description": "The API token, or an instance's secret where the operation says so.",
            }},
        },
    })
}

fn operation(endpoint: &Endpoint, schemas: &mut SchemaGenerator) -> Value {
    let mut operation = json!({
        "operationId": endpoint.operation,
        "summary": endpoint.summary,
        "responses": responses(endpoint, schemas),
        "security": if endpoint.access == Access::Public { json!([]) } else { json!([{"token": []}]) },
    });
    if endpoint.access == Access::Instance {
        operation["description"] =
            "An instance may call this for itself with its own secret (look up any service; events of its own namespace)."
                .into();
    }
    if !endpoint.parameters.is_empty() {
        let parameters = endpoint.parameters.iter().map(|it| parameter(it, schemas));
        operation["parameters"] = parameters.collect();
    }
    if let Some(schema) = endpoint.request {
        let content = json!({"application/json": {"schema": schema(schemas)}});
        operation["requestBody"] = json!({"required": true, "content": content});
    }
    operation
}

fn parameter(parameter: &Parameter, schemas: &mut SchemaGenerator) -> Value {
    let place = match parameter.place {
        Place::Path => "path",
        Place::Query => "query",
        Place::Header => "header",
    };
    json!({
        "name": parameter.name,
        "in": place,
        "required": parameter.place == Place::Path,
        "description": parameter.description,
        "schema": (parameter.schema)(schemas),
    })
}

fn responses(endpoint: &Endpoint, schemas: &mut SchemaGenerator) -> Map<String, Value> {
    let mut responses = Map::new();
    let mut content = Map::new();
    for answer in endpoint.answers {
        match answer {
            Answer::WebSocket(it) => _ = responses.insert("101".to_owned(), socket(it, schemas)),
            of_body => content.extend(self::answer(of_body, schemas)),
        }
    }
    responses.insert(
        endpoint.status.to_string(),
        json!({"description": reason(endpoint.status), "content": content}),
    );
    let problem = schemas.subschema_for::<Problem>();
    for (status, codes) in errors(endpoint) {
        let codes: Vec<String> = codes.into_iter().map(|code| format!("`{code}`")).collect();
        let description = format!("{}: {}", reason(status), codes.join(", "));
        let content = json!({problem::CONTENT_TYPE: {"schema": problem}});
        responses.insert(status.to_string(), json!({"description": description, "content": content}));
    }
    responses
}

fn answer(answer: &Answer, schemas: &mut SchemaGenerator) -> Option<(String, Value)> {
    Some(match answer {
        Answer::Json(schema) => ("application/json".into(), json!({"schema": schema(schemas)})),
        // OpenAPI 3.1 has no word for streams of events; the schema is that of one event's data.
        Answer::Events(schema) => ("text/event-stream".into(), json!({"schema": schema(schemas)})),
        Answer::Text(media_type) => ((*media_type).into(), json!({"schema": {"type": "string"}})),
        Answer::WebSocket(_) => return None,
    })
}

/// OpenAPI 3.1 has no word for WebSockets either: an extension has the schemas of the messages.
fn socket(socket: &Socket, schemas: &mut SchemaGenerator) -> Value {
    let Socket { protocol, sends, takes } = socket;
    json!({
        "description": format!("A WebSocket with the subprotocol `{protocol}`, if the request asks for it (`Upgrade: websocket`)."),
        "x-websocket": {"protocol": protocol, "sends": sends(schemas), "takes": takes(schemas)},
    })
}

/// The codes that an endpoint may answer, by status.
fn errors(endpoint: &Endpoint) -> BTreeMap<u16, Vec<Code>> {
    let access: &[Code] = match endpoint.access {
        Access::Public => &[],
        Access::Instance | Access::Operator => {
            &[Code::AccessUnauthenticated, Code::AccessForbidden, Code::AccessOrigin]
        }
    };
    let mut errors: BTreeMap<u16, Vec<Code>> = BTreeMap::new();
    for code in access.iter().chain(endpoint.errors).chain(&[Code::Internal]) {
        errors.entry(code.http_status()).or_default().push(*code);
    }
    errors
}

fn reason(status: u16) -> &'static str {
    StatusCode::from_u16(status).ok().and_then(|it| it.canonical_reason()).unwrap_or("Error")
}
