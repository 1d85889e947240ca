//! The gateway and its routes, in the words of the Gateway API.

use super::policy::ATTACHED;
use super::security::GATEWAY_TLS;
use super::{Field, Record, Shape, Word, texts};
use std::time::Duration;

pub(crate) static GATEWAY: Record = Record {
    anchor: "gateway",
    title: "Gateway",
    doc: "The single entry from outside. Its words are those of the Gateway API (`HTTPRoute`), in \
          `snake_case`.",
    fields: &[
        Field::with_default(
            "listen",
            Shape::Text(&texts::LISTEN),
            "127.0.0.1:8080",
            "Where it listens. `0.0.0.0:8080` makes it reachable from other machines; port 0 takes any free \
             port.",
        )
        .elsewhere(&["address", "bind", "port"]),
        Field::with_default(
            "proxy_protocol",
            Shape::Boolean,
            "false",
            "Whether every connection begins with the PROXY protocol, version 2, by which a balancer in front says whom \
             it comes from. Then only such a balancer may be able to reach the gateway: anybody could say anything.",
        )
        .elsewhere(&["accept_proxy", "proxyProtocol"]),
        Field::required(
            "routes",
            Shape::List { item: &Shape::Record(&ROUTE), least: 1, most: 1_000 },
            "Which requests go where. What no route matches is answered with 404.",
        ),
        Field::optional(
            "tls",
            Shape::Record(&GATEWAY_TLS),
            "How it speaks TLS at `listen`. Without it, it speaks plain HTTP there.",
        )
        .elsewhere(&["https", "certificates"]),
    ],
    rules: &[],
    example: "\
listen: 127.0.0.1:8080
routes:
  - name: orders
    matches:
      - path: {type: PathPrefix, value: /orders}
    backends:
      - service: order
",
};

static ROUTE: Record = Record {
    anchor: "gateway-route",
    title: "Route",
    doc: "A request falls under the route with the most specific match: by hostname, then an exact path, \
          the longest prefix, a method, the most headers, the most query parameters; then the route that \
          stands first.",
    fields: &[
        Field::required(
            "name",
            Shape::Text(&texts::ROUTE_NAME),
            "Its name, unique in the gateway; metrics \
                                                                  show it.",
        ),
        Field::optional(
            "hostnames",
            Shape::List { item: &Shape::Text(&texts::HOSTNAME), least: 1, most: 16 },
            "Which hosts it is for; every host if not stated. `*.example.com` is for everything below \
             `example.com`.",
        )
        .elsewhere(&["hosts", "host", "hostname"]),
        Field::optional(
            "matches",
            Shape::List { item: &Shape::Record(&MATCH), least: 1, most: 64 },
            "Which requests: those that one of these holds for; every one if not stated.",
        )
        .elsewhere(&["match", "rules"]),
        Field::required(
            "backends",
            Shape::List { item: &Shape::Record(&BACKEND), least: 1, most: 16 },
            "Where they go, in proportion to the weights.",
        )
        .elsewhere(&["backendRefs", "backend", "to", "service"]),
        Field::optional(
            "timeout",
            Shape::Duration { least: Duration::from_millis(1), most: Duration::from_secs(86_400) },
            "How long a request may take in all; what `traffic` says of the service if not stated.",
        )
        .elsewhere(&["timeouts"]),
        Field::optional(
            "policies",
            ATTACHED,
            "Policies that hold for requests by this route, by their names; besides those of the service.",
        )
        .elsewhere(&["filters"]),
    ],
    rules: &[],
    example: "\
name: checkout
hostnames: [shop.example.com]
matches:
  - path: {type: Exact, value: /checkout}
    method: POST
backends:
  - {service: order, weight: 9}
  - {service: order-next, weight: 1}
timeout: 10s
",
};

static MATCH: Record = Record {
    anchor: "gateway-match",
    title: "Match",
    doc: "A condition on a request: all its parts must hold.",
    fields: &[
        Field::optional("path", Shape::Record(&PATH_MATCH), "Its path; any if not stated."),
        Field::optional(
            "headers",
            Shape::List { item: &Shape::Record(&HEADER_MATCH), least: 1, most: 16 },
            "Headers that it must have.",
        ),
        Field::optional(
            "query_params",
            Shape::List { item: &Shape::Record(&QUERY_MATCH), least: 1, most: 16 },
            "Query parameters that it must have.",
        )
        .elsewhere(&["query", "params"]),
        Field::optional("method", Shape::Text(&texts::METHOD), "Its method; any if not stated."),
    ],
    rules: &[],
    example: "\
path: {type: PathPrefix, value: /orders}
method: GET
headers:
  - {name: x-tenant, value: blue}
query_params:
  - {name: preview, value: \"1\"}
",
};

static PATH_MATCH: Record = Record {
    anchor: "gateway-path",
    title: "Path match",
    doc: "A condition on the path of a request.",
    fields: &[
        Field::with_default(
            "type",
            Shape::Choice(&[
                Word {
                    word: "PathPrefix",
                    doc: "it begins with these segments: `/a` holds for `/a` and `/a/b`, not for `/ab`",
                },
                Word { word: "Exact", doc: "it is this, character by character" },
            ]),
            "PathPrefix",
            "How the path is compared.",
        ),
        Field::required("value", Shape::Text(&texts::ROUTE_PATH), "What it is compared with."),
    ],
    rules: &[],
    example: "type: Exact\nvalue: /orders\n",
};

static HEADER_MATCH: Record = Record {
    anchor: "gateway-header",
    title: "Header match",
    doc: "A header that a request must have, with exactly this value.",
    fields: &[
        Field::required("name", Shape::Text(&texts::HEADER_NAME), "The header, in any case."),
        Field::required("value", Shape::Text(&texts::HEADER_VALUE), "Its value."),
    ],
    rules: &[],
    example: "name: x-tenant\nvalue: blue\n",
};

static QUERY_MATCH: Record = Record {
    anchor: "gateway-query",
    title: "Query parameter match",
    doc: "A query parameter that a request must have, with exactly this value once decoded.",
    fields: &[
        Field::required("name", Shape::Text(&texts::QUERY_TEXT), "The parameter."),
        Field::required("value", Shape::Text(&texts::QUERY_TEXT), "Its value."),
    ],
    rules: &[],
    example: "name: preview\nvalue: \"1\"\n",
};

static BACKEND: Record = Record {
    anchor: "gateway-backend",
    title: "Backend",
    doc: "A service that requests go to.",
    fields: &[
        Field::required("service", Shape::Text(&texts::SERVICE_NAME), "The service.").elsewhere(&["name"]),
        Field::with_default(
            "weight",
            Shape::Integer { least: 0, most: 1_000_000 },
            "1",
            "Its share of the requests against the others'; 0 for none.",
        ),
        Field::optional(
            "subset",
            super::balance::SUBSET,
            "Which of its instances: those with this metadata, where `version` is their version. A canary is a \
             backend with a subset and a weight.",
        ),
    ],
    rules: &[],
    example: "service: order\nweight: 9\n",
};
