//! The whole file, and the configuration in it.

use super::gateway::GATEWAY;
use super::policy::POLICY;
use super::saga::{SAGA, SAGA_NAME};
use super::security::MESH;
use super::service::SERVICE;
use super::subscription::{SUBSCRIPTION, SUBSCRIPTION_NAME};
use super::telemetry::TELEMETRY;
use super::traffic::TRAFFIC;
use super::{Field, Record, Shape, Word, texts};

pub(crate) static SYSTEM: Record = Record {
    anchor: "system",
    title: "System",
    doc: "The whole file: one system. Keys are in `snake_case`; every name is unique among its kind.",
    fields: &[
        Field::required("name", Shape::Text(&texts::SYSTEM_NAME), "What the system is called."),
        Field::with_default(
            "namespace",
            Shape::Text(&texts::NAMESPACE),
            "default",
            "The namespace that its services live in. Outside of it they are called `service.namespace`.",
        ),
        Field::required(
            "services",
            Shape::Map { key: &texts::SERVICE_NAME, value: &Shape::Record(&SERVICE), least: 1, most: 1_000 },
            "The services by name. Others call a service by this name: `http://payment/…`.",
        ),
        Field::optional(
            "traffic",
            Shape::Map {
                key: &texts::SERVICE_OR_ALL,
                value: &Shape::Record(&TRAFFIC),
                least: 0,
                most: 1_001,
            },
            "How calls to a service are treated, by the service that is called. What `\"*\"` states holds \
             for all; an entry for a service overrides it key by key.",
        ),
        Field::optional(
            "policies",
            Shape::Map { key: &texts::POLICY_NAME, value: &Shape::Record(&POLICY), least: 0, most: 1_000 },
            "What is done with which calls, by names under which `traffic` and routes of the gateway attach them.",
        )
        .elsewhere(&["policy"]),
        Field::optional(
            "gateway",
            Shape::Record(&GATEWAY),
            "The entry from outside. Without it there is none.",
        ),
        Field::optional(
            "subscriptions",
            Shape::Map {
                key: &SUBSCRIPTION_NAME,
                value: &Shape::Record(&SUBSCRIPTION),
                least: 0,
                most: 1_000,
            },
            "Who is given which events, by name. One that is taken out of the manifest is deleted, with its progress.",
        )
        .elsewhere(&["consumers", "consumer_groups", "topics"]),
        Field::optional(
            "sagas",
            Shape::Map { key: &SAGA_NAME, value: &Shape::Record(&SAGA), least: 0, most: 1_000 },
            "Work over several services that is done wholly or undone wholly, by name.",
        )
        .elsewhere(&["workflows", "transactions"]),
        Field::optional(
            "config",
            Shape::Map {
                key: &texts::SERVICE_NAME,
                value: &Shape::Map {
                    key: &texts::CONFIG_KEY,
                    value: &Shape::Either(&Shape::JsonButObject, &Shape::Record(&CONFIG_ENTRY)),
                    least: 0,
                    most: 1_000,
                },
                least: 0,
                most: 1_000,
            },
            "First values of configuration, by service and key. A manifest that is applied again changes \
             only the keys whose values in it have changed; what `tenon config set` wrote to the others \
             stays. A plain value or a list stands for itself; an object is written under `value` (see \
             [Configuration entry](#config-entry)).",
        ),
        Field::with_default(
            "egress",
            Shape::Choice(&[
                Word { word: "deny", doc: "calls to names outside the mesh are refused" },
                Word { word: "allow", doc: "calls to names outside the mesh are passed on as they are" },
            ]),
            "deny",
            "Whether services may call names that are not services of the mesh.",
        ),
        Field::optional(
            "telemetry",
            Shape::Record(&TELEMETRY),
            "What is recorded of requests besides metrics and explanations.",
        )
        .elsewhere(&["tracing", "observability"]),
        Field::optional("mesh", Shape::Record(&MESH), "What holds for all workloads of the mesh."),
    ],
    rules: &[],
    example: "\
name: shop
services:
  order:
    command: [./order]
    interfaces:
      - name: api
        endpoints:
          - path: /orders
            method: POST
",
};

static CONFIG_ENTRY: Record = Record {
    anchor: "config-entry",
    title: "Configuration entry",
    doc: "The long form of a configuration key's first value, needed for objects and for keys with a schema.",
    fields: &[
        Field::required("value", Shape::Json, "The value, of any type; at most 256 KiB as JSON."),
        Field::optional(
            "schema",
            Shape::Json,
            "A JSON Schema (2020-12) which this value and every later one must satisfy. It can refer only \
             to itself.",
        ),
    ],
    rules: &[],
    example: "\
value: {max_items: 50}
schema:
  type: object
  properties:
    max_items: {type: integer, minimum: 1}
",
};
