//! What a manifest says of one service.

use super::{Field, Record, Rule, Shape, Word, texts};
use std::time::Duration;
use tenon_core::manifest::MAX_REPLICAS;

pub(crate) static SERVICE: Record = Record {
    anchor: "service",
    title: "Service",
    doc: "One service: either `command` (Tenon starts it) or `addresses` (it runs already).",
    fields: &[
        Field::with_default("version", Shape::Text(&texts::VERSION), "1.0.0", "Its version, as text."),
        Field::optional(
            "command",
            Shape::List { item: &Shape::Text(&texts::ARGUMENT), least: 1, most: 1_000 },
            "The program and its arguments, without a shell. A program with a `/` in its name is looked up \
             from the working directory. It must listen on the port in the environment variable `PORT`.",
        )
        .elsewhere(&["cmd", "run", "exec", "entrypoint"]),
        Field::optional(
            "addresses",
            Shape::List { item: &Shape::Text(&texts::ADDRESS), least: 1, most: 1_000 },
            "Where it runs already. Tenon finds, checks and calls it, but does not start it.",
        )
        .elsewhere(&["hosts", "endpoints"]),
        Field::with_default(
            "replicas",
            Shape::Integer { least: 0, most: MAX_REPLICAS as u64 },
            "1",
            "How many processes run at first; `tenon scale` changes it.",
        )
        .elsewhere(&["instances", "scale"]),
        Field::optional(
            "env",
            Shape::Map { key: &texts::VARIABLE, value: &Shape::Written, least: 0, most: 1_000 },
            "Additional environment variables. Those that Tenon sets itself win over these. Write no \
             secrets here: the manifest is kept in the log.",
        )
        .elsewhere(&["environment", "variables"]),
        Field::optional(
            "working_directory",
            Shape::Text(&texts::FOLDER),
            "The folder where it starts, relative to the manifest's; the manifest's own if not stated.",
        )
        .elsewhere(&["working_dir", "workdir", "cwd"]),
        Field::optional("context", Shape::Text(&texts::LINE), "The bounded context that it belongs to."),
        Field::optional("team", Shape::Text(&texts::LINE), "The team that owns it.").elsewhere(&["owner"]),
        Field::required(
            "interfaces",
            Shape::List { item: &Shape::Record(&INTERFACE), least: 1, most: 100 },
            "What it offers, and what it uses or emits.",
        ),
        Field::optional(
            "depends_on",
            Shape::List { item: &Shape::Text(&texts::SERVICE_NAME), least: 0, most: 1_000 },
            "The services that it calls.",
        )
        .elsewhere(&["dependencies", "needs", "requires"]),
        Field::optional(
            "data",
            Shape::List { item: &Shape::Record(&DATA_STORE), least: 0, most: 100 },
            "The data stores that it owns.",
        )
        .elsewhere(&["databases", "stores"]),
        Field::optional("resources", Shape::Record(&RESOURCES), "What each replica needs."),
        Field::optional("health", Shape::Record(&HEALTH), "How its instances are checked.").elsewhere(&[
            "healthcheck",
            "health_check",
            "livenessProbe",
            "readinessProbe",
        ]),
    ],
    rules: &[
        Rule::ExactlyOne(&["command", "addresses"]),
        Rule::Needs("replicas", "command"),
        Rule::Needs("env", "command"),
        Rule::Needs("working_directory", "command"),
    ],
    example: "\
version: \"1.4.0\"
command: [python3, recommendation.py]
working_directory: recommendation
replicas: 2
env:
  LOG_LEVEL: info
context: catalogue
team: growth
interfaces:
  - name: api
    endpoints:
      - path: /recommendations/{customer}
        method: GET
depends_on: [inventory]
resources: {cpu: 100m, memory: 64Mi}
health:
  http: {path: /health}
  interval: 10s
",
};

static INTERFACE: Record = Record {
    anchor: "interface",
    title: "Interface",
    doc: "A named group of endpoints. A request is accepted if some endpoint of an input interface matches \
          it.",
    fields: &[
        Field::required("name", Shape::Text(&texts::LABEL), "Its name, unique within the service."),
        Field::with_default(
            "direction",
            Shape::Choice(&[
                Word { word: "input", doc: "others call it" },
                Word { word: "output", doc: "the service calls or emits here" },
            ]),
            "input",
            "Which way it faces.",
        ),
        Field::with_default(
            "protocol",
            Shape::Choice(&[
                Word { word: "http", doc: "HTTP with any payload" },
                Word { word: "grpc", doc: "gRPC over HTTP/2 without TLS" },
                Word { word: "message-queue", doc: "messages of a queue" },
                Word { word: "event-stream", doc: "events of a stream" },
            ]),
            "http",
            "What is spoken.",
        ),
        Field::required(
            "endpoints",
            Shape::List { item: &Shape::Record(&ENDPOINT), least: 1, most: 1_000 },
            "What can be called or sent here.",
        ),
        Field::optional(
            "protos",
            Shape::List { item: &Shape::Text(&texts::PROTO), least: 1, most: 100 },
            "The `.proto` files that describe a gRPC interface. Sagas need them of the methods that their steps call \
             ([docs/sagas.md](sagas.md#over-grpc)). They are read when the manifest is.",
        ),
        Field::optional(
            "proto_root",
            Shape::Text(&texts::FOLDER),
            "The folder below which these files and their imports are, relative to the manifest's; the manifest's own if not stated.",
        )
        .elsewhere(&["proto_path", "import_path"]),
    ],
    rules: &[Rule::Needs("proto_root", "protos")],
    example: "\
name: payments
protocol: grpc
endpoints:
  - path: /shop.v1.Payments/Take
  - path: /shop.v1.Payments/Refund
",
};

static ENDPOINT: Record = Record {
    anchor: "endpoint",
    title: "Endpoint",
    doc: "One thing that can be called or sent.",
    fields: &[
        Field::required(
            "path",
            Shape::Text(&texts::ENDPOINT_PATH),
            "The path. `{name}` stands for one segment, a last `{name...}` for all the rest. A gRPC \
             endpoint is `/package.Service/Method`; a queue or an event is written as a path too: \
             `/order.created`. Inside of `{ … }` a path with braces needs quotes.",
        ),
        Field::optional("method", Shape::Text(&texts::METHOD), "The HTTP method; any if not stated."),
        Field::optional(
            "schema",
            Shape::Text(&texts::REFERENCE),
            "Where the JSON Schema of the payload is, as a file or URL. Tenon keeps and shows it.",
        ),
    ],
    rules: &[],
    example: "\
path: /orders/{id}
method: GET
schema: schemas/order.json
",
};

static DATA_STORE: Record = Record {
    anchor: "data-store",
    title: "Data store",
    doc: "A store that the service owns. If two services name the same store, or take its connection from \
          the same variable, that is [a finding](#manifest-shared-store).",
    fields: &[
        Field::required("name", Shape::Text(&texts::LABEL), "Its name, unique in the system."),
        Field::required(
            "type",
            Shape::Text(&texts::STORE_TYPE),
            "`postgresql`, `mongodb`, `redis`, `elasticsearch`, `sqlite`, `file` or any other name.",
        )
        .elsewhere(&["kind", "engine", "driver"]),
        Field::optional(
            "connection",
            Shape::Record(&CONNECTION),
            "Where its connection string is to be had. The string itself is a secret and does not stand in \
             a manifest.",
        )
        .elsewhere(&["url", "dsn"]),
        Field::optional(
            "entities",
            Shape::List { item: &Shape::Text(&texts::LABEL), least: 0, most: 1_000 },
            "The entities that it holds.",
        )
        .elsewhere(&["tables", "collections"]),
    ],
    rules: &[],
    example: "\
name: orders
type: postgresql
connection: {env: ORDERS_DATABASE_URL}
entities: [Order, OrderLine]
",
};

static CONNECTION: Record = Record {
    anchor: "connection",
    title: "Connection",
    doc: "A reference to a secret.",
    fields: &[Field::required(
        "env",
        Shape::Text(&texts::VARIABLE),
        "The environment variable of `tenon up` that holds the connection string.",
    )],
    rules: &[],
    example: "env: ORDERS_DATABASE_URL\n",
};

static RESOURCES: Record = Record {
    anchor: "resources",
    title: "Resources",
    doc: "What each replica needs, in the units of Kubernetes.",
    fields: &[
        Field::with_default(
            "cpu",
            Shape::Quantity(&texts::CPU),
            "100m",
            "Cores: `0.5`, `2` or `250m`; above 0.",
        ),
        Field::with_default(
            "memory",
            Shape::Quantity(&texts::MEMORY),
            "128Mi",
            "Bytes, or a number with `Ki`, `Mi`, `Gi`, `Ti`, `k`, `M`, `G` or `T`; above 0.",
        ),
    ],
    rules: &[],
    example: "cpu: 0.25\nmemory: 64Mi\n",
};

const SECOND: Duration = Duration::from_secs(1);
const DAY: Duration = Duration::from_secs(86_400);

static HEALTH: Record = Record {
    anchor: "health",
    title: "Health",
    doc: "How instances are checked, by one of `http`, `grpc`, `tcp` and `heartbeat`; `http` on `/health` \
          if none is stated. Until an instance has been healthy for the first time it is checked every 50 \
          ms and one success suffices.",
    fields: &[
        Field::optional("http", Shape::Record(&HTTP_CHECK), "Asks by HTTP; any 2xx status is healthy.")
            .elsewhere(&["httpGet", "path"]),
        Field::optional(
            "grpc",
            Shape::Record(&GRPC_CHECK),
            "Asks by `grpc.health.v1.Health/Check`; `SERVING` is healthy.",
        ),
        Field::optional(
            "tcp",
            Shape::Record(&TCP_CHECK),
            "Opens a TCP connection; being accepted is healthy. Write `tcp: {}`.",
        )
        .elsewhere(&["tcpSocket"]),
        Field::optional(
            "heartbeat",
            Shape::Record(&HEARTBEAT),
            "Asks nothing: the instance sends heartbeats to Tenon's API.",
        )
        .elsewhere(&["ttl"]),
        Field::with_default(
            "interval",
            Shape::Duration { least: Duration::from_millis(10), most: DAY },
            "30s",
            "How long from one check to the next, with some jitter.",
        )
        .elsewhere(&["period", "periodSeconds"]),
        Field::with_default(
            "timeout",
            Shape::Duration { least: Duration::from_millis(1), most: DAY },
            "5s",
            "How long an answer may take.",
        )
        .elsewhere(&["timeoutSeconds"]),
        Field::with_default(
            "unhealthy_threshold",
            Shape::Integer { least: 1, most: 1_000 },
            "3",
            "Failures in a row that make a healthy instance unhealthy.",
        )
        .elsewhere(&["failureThreshold", "retries"]),
        Field::with_default(
            "healthy_threshold",
            Shape::Integer { least: 1, most: 1_000 },
            "2",
            "Successes in a row that make an unhealthy instance healthy.",
        )
        .elsewhere(&["successThreshold"]),
        Field::optional(
            "deregister_after",
            Shape::Duration { least: SECOND, most: DAY },
            "How long an instance may stay unhealthy before it is deregistered; never if not stated.",
        ),
        Field::with_default(
            "damping",
            Shape::Duration { least: Duration::ZERO, most: DAY },
            "1m",
            "How long until a turn for the worse counts half. An instance that turned unhealthy about four times in as long \
             is held back, healthy or not, for twice as long at most. `0s` switches that off.",
        )
        .elsewhere(&["flap_detection"]),
    ],
    rules: &[Rule::AtMostOne(&["http", "grpc", "tcp", "heartbeat"])],
    example: "\
grpc: {service: shop.v1.Payments}
interval: 10s
timeout: 1s
unhealthy_threshold: 2
",
};

static HTTP_CHECK: Record = Record {
    anchor: "health-http",
    title: "HTTP check",
    doc: "`GET` with this path.",
    fields: &[Field::with_default(
        "path",
        Shape::Text(&texts::CHECK_PATH),
        "/health",
        "The path, with its query if any.",
    )],
    rules: &[],
    example: "path: /ready\n",
};

static GRPC_CHECK: Record = Record {
    anchor: "health-grpc",
    title: "gRPC check",
    doc: "The standard health service of gRPC.",
    fields: &[Field::with_default(
        "service",
        Shape::Text(&texts::GRPC_SERVICE),
        "\"\"",
        "The service that is asked about; the whole server if empty.",
    )],
    rules: &[],
    example: "service: shop.v1.Payments\n",
};

static TCP_CHECK: Record = Record {
    anchor: "health-tcp",
    title: "TCP check",
    doc: "A connection, without anything to set.",
    fields: &[],
    rules: &[],
    example: "{}\n",
};

static HEARTBEAT: Record = Record {
    anchor: "health-heartbeat",
    title: "Heartbeat",
    doc: "The instance says itself that it is well: `PUT /v1/services/SERVICE/instances/ID/heartbeat`. \
          `interval` and `timeout` do not matter then.",
    fields: &[Field::required(
        "ttl",
        Shape::Duration { least: Duration::from_millis(100), most: DAY },
        "How long a heartbeat holds; silence for longer is a failure.",
    )],
    rules: &[],
    example: "ttl: 15s\n",
};
