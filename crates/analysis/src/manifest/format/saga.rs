//! Work over several services that is done wholly or undone wholly.

use super::subscription::SERVICE_REF;
use super::traffic::{DELAY, JITTER};
use super::{Field, Record, Rule, Shape, TextForm, Word, texts};
use std::time::Duration;
use tenon_core::saga::{Fields, MAX_STEPS, MAX_TRIES, SagaName, SignalName, StepName};

const YEAR: Duration = Duration::from_secs(366 * 24 * 60 * 60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const MOMENT: Duration = Duration::from_millis(1);

pub(crate) static SAGA: Record = Record {
    anchor: "saga",
    title: "Saga",
    doc: "Steps over several services that are done wholly or undone wholly ([docs/sagas.md](sagas.md)). A step begins when all that \
          it depends on is done: what `after` names, and every step whose output its input uses. `tenon saga verify` \
          explores what can become of it.",
    fields: &[
        Field::required(
            "steps",
            Shape::Map { key: &STEP_NAME, value: &Shape::Record(&STEP), least: 1, most: MAX_STEPS },
            "The steps, by the names that expressions use: `steps.NAME` is what a step answered.",
        ),
        Field::optional(
            "input",
            FIELDS,
            "The fields of the saga's input, and no others; `name?` may be absent. If they are stated, expressions that use others are \
             errors, and a saga that is started with others, or without one of them, is refused.",
        ),
        Field::optional(
            "output",
            EXPRESSIONS,
            "What the saga answers with: an expression, or one for each field.",
        )
        .elsewhere(&["result", "returns"]),
        Field::optional(
            "deadline",
            Shape::Duration { least: MOMENT, most: YEAR },
            "How long the whole may take; then it is turned back, unless it is past its pivot.",
        )
        .elsewhere(&["timeout"]),
        Field::with_default(
            "priority",
            Shape::Choice(&[
                Word { word: "sheddable", doc: "its calls can be left out" },
                Word { word: "default", doc: "as most calls" },
                Word { word: "critical", doc: "its calls are refused last" },
            ]),
            "default",
            "How much its calls matter.",
        ),
        Field::optional(
            "serialize_by",
            Shape::Written,
            "An expression over the input: sagas with the same value run one after the other.",
        )
        .elsewhere(&["lock", "key"]),
    ],
    rules: &[],
    example: "\
input: [customer, amount]
steps:
  create_order:
    call: {service: order, method: POST, path: /orders}
    input: {customer: input.customer}
    output: [id]
    undo:
      call: {service: order, method: POST, path: \"/orders/{id}/cancel\"}
      input: {id: \"output.id\"}
  take_payment:
    call: {service: payment, method: POST, path: /payments}
    kind: pivot
    input: {order: steps.create_order.id, amount: input.amount}
",
};

static STEP: Record = Record {
    anchor: "saga-step",
    title: "Step",
    doc: "What a step does, and what undoes it. Expressions are written in the [Common Expression Language](https://cel.dev) over \
          `input` (the saga's), `steps.NAME` (what a step answered), `saga.id`, `saga.key` and, where a step is undone, `saga.problem`: what the \
          service said whose failure turned the saga back, or null.",
    fields: &[
        Field::optional("call", Shape::Record(&CALL), "A service is called."),
        Field::optional("signal", Shape::Record(&SIGNAL), "An event from outside is waited for.")
            .elsewhere(&["wait_for", "event"]),
        Field::optional("timer", Shape::Duration { least: MOMENT, most: YEAR }, "Time passes.")
            .elsewhere(&["sleep", "delay"]),
        Field::optional(
            "saga",
            Shape::Text(&SAGA_NAME),
            "Another saga of this manifest is run. It is reverted where this step is undone, so it must have no pivot.",
        )
        .elsewhere(&["child"]),
        Field::with_default(
            "kind",
            Shape::Choice(&[
                Word { word: "compensatable", doc: "it can be undone; before the pivot" },
                Word {
                    word: "pivot",
                    doc: "the point of no return: at most one in a saga; it waits for every step that is compensatable",
                },
                Word { word: "retriable", doc: "it is tried until it is done; behind the pivot" },
            ]),
            "compensatable",
            "Whether it can be undone.",
        ),
        Field::optional(
            "after",
            Shape::List { item: &Shape::Text(&STEP_NAME), least: 0, most: MAX_STEPS },
            "The steps that it depends on, besides those whose output it uses.",
        )
        .elsewhere(&["depends_on", "needs"]),
        Field::optional(
            "input",
            EXPRESSIONS,
            "What is sent: an expression, or one for each field. Variables of the path are taken from its fields.",
        )
        .elsewhere(&["body", "request"]),
        Field::optional(
            "output",
            FIELDS,
            "The fields of what is answered; `name?` may be absent. If they are stated, expressions that use others are errors.",
        )
        .elsewhere(&["response"]),
        Field::with_default(
            "timeout",
            Shape::Duration { least: MOMENT, most: DAY },
            "10s",
            "How long to wait for an answer to one call. If there is none, nobody knows whether it was done.",
        ),
        Field::optional("retry", Shape::Record(&RETRY), "How often and how soon it is tried."),
        Field::optional(
            "undo",
            Shape::Either(
                &Shape::Choice(&[Word { word: "nothing", doc: "it leaves nothing behind, for it only reads" }]),
                &Shape::Record(&UNDO),
            ),
            "What undoes it. A call that is compensatable must state it.",
        )
        .elsewhere(&["compensation", "compensate"]),
    ],
    rules: &[Rule::ExactlyOne(&["call", "signal", "timer", "saga"])],
    example: "\
call: {service: order, method: POST, path: /orders}
input: {customer: input.customer}
undo:
  call: {service: order, method: POST, path: /orders/cancel}
",
};

static CALL: Record = Record {
    anchor: "saga-call",
    title: "Call of a saga",
    doc: "Called by the way of every call: balanced, with its breaker and policies. The caller is `saga.tenon`. Any 2xx is a success. 425, \
          429, and 503 with `Retry-After` say that nothing was done yet. 408, 409 and every other 5xx say nothing about it, like a \
          time-out. Every other 4xx is a refusal. What gRPC's statuses mean is in [docs/sagas.md](sagas.md#over-grpc).",
    fields: &[
        Field::required("service", Shape::Text(&SERVICE_REF), "The service: its name, or `name.namespace`."),
        Field::optional("method", Shape::Text(&texts::METHOD), "The HTTP method."),
        Field::optional(
            "path",
            Shape::Text(&texts::ENDPOINT_PATH),
            "The path. `{name}` is the field `name` of the input.",
        ),
        Field::optional(
            "grpc",
            Shape::Text(&GRPC_METHOD),
            "The gRPC method, instead of `method` and `path`. An interface of the service has to name its `.proto` files (`protos`).",
        ),
    ],
    rules: &[
        Rule::ExactlyOne(&["path", "grpc"]),
        Rule::Needs("method", "path"),
        Rule::Needs("path", "method"),
    ],
    example: "service: payment\nmethod: POST\npath: /payments\n",
};

static SIGNAL: Record = Record {
    anchor: "saga-signal",
    title: "Signal",
    doc: "An event from outside that a step waits for, such as an approval. It may come before the step begins.",
    fields: &[
        Field::required("name", Shape::Text(&SIGNAL_NAME), "Its name."),
        Field::optional(
            "timeout",
            Shape::Duration { least: MOMENT, most: YEAR },
            "How long it is waited for; for ever if not stated.",
        ),
        Field::with_default(
            "late",
            Shape::Choice(&[
                Word { word: "fail", doc: "the step fails" },
                Word { word: "continue", doc: "the step is done, with no output" },
            ]),
            "fail",
            "What happens when it does not come in time.",
        ),
    ],
    rules: &[],
    example: "name: approved\ntimeout: 24h\n",
};

static UNDO: Record = Record {
    anchor: "saga-undo",
    title: "Undo",
    doc: "What undoes a step. Its input may use `output`, what the step itself answered, which is null if nobody knows whether the step \
          was done. The service must take care of repeats, and of undoing what never came ([docs/sagas.md](sagas.md#what-a-service-that-takes-part-does)).",
    fields: &[
        Field::required("call", Shape::Record(&CALL), "What is called."),
        Field::optional("input", EXPRESSIONS, "What is sent: an expression, or one for each field."),
        Field::with_default(
            "timeout",
            Shape::Duration { least: MOMENT, most: DAY },
            "10s",
            "How long to wait for an answer to one call.",
        ),
        Field::optional(
            "retry",
            Shape::Record(&RETRY),
            "How often and how soon it is tried: a budget of its own.",
        ),
        Field::with_default(
            "on_failure",
            Shape::Choice(&[
                Word { word: "park", doc: "it waits for somebody, while the others are undone" },
                Word { word: "skip", doc: "it is left as it is, and the saga ends as failed" },
                Word { word: "escalate", doc: "it waits for somebody, and so do the others" },
            ]),
            "park",
            "What happens when its tries are spent.",
        ),
    ],
    rules: &[],
    example: "\
call: {service: payment, method: POST, path: \"/payments/{id}/refund\"}
input: {id: steps.create_order.id}
on_failure: escalate
",
};

static RETRY: Record = Record {
    anchor: "saga-retry",
    title: "Retry of a step",
    doc: "How often and how soon a step is tried, always under the same idempotency key.",
    fields: &[
        Field::with_default(
            "tries",
            Shape::Integer { least: 1, most: MAX_TRIES as u64 },
            "5",
            "The tries, the first included.",
        )
        .elsewhere(&["max_attempts", "attempts"]),
        Field::optional(
            "delay",
            Shape::Record(&DELAY),
            "How long to wait; exponential from 500 ms with factor 2 if not stated.",
        ),
        Field::with_default("jitter", JITTER, "full", "How the wait varies."),
        Field::with_default(
            "max_delay",
            Shape::Duration { least: Duration::ZERO, most: DAY },
            "30s",
            "The longest wait, whatever `delay` says.",
        ),
    ],
    rules: &[],
    example: "tries: 10\nmax_delay: 1m\n",
};

const EXPRESSIONS: Shape = Shape::Either(
    &Shape::Written,
    &Shape::Map { key: &FIELD, value: &Shape::Written, least: 0, most: 1_000 },
);

/// Fields that something is said to have.
const FIELDS: Shape = Shape::List { item: &Shape::Text(&STATED), least: 0, most: Fields::MOST };

pub(crate) static SAGA_NAME: TextForm = TextForm {
    noun: "saga name",
    form: "1 to 63 characters of a-z, 0-9 and '-'",
    characters: 1..=63,
    pattern: Some("^[a-z0-9]([a-z0-9-]*[a-z0-9])?$"),
    check: |text| SagaName::new(text).map(drop).map_err(texts::problem),
};

static STEP_NAME: TextForm = TextForm {
    noun: "step name",
    form: "1 to 63 characters of a-z, 0-9 and '_', the first a letter",
    characters: 1..=63,
    pattern: Some("^[a-z][a-z0-9_]*$"),
    check: |text| StepName::new(text).map(drop).map_err(texts::problem),
};

static SIGNAL_NAME: TextForm = TextForm {
    noun: "signal name",
    form: "1 to 63 characters of a-z, 0-9 and '_', the first a letter",
    characters: 1..=63,
    pattern: Some("^[a-z][a-z0-9_]*$"),
    check: |text| SignalName::new(text).map(drop).map_err(texts::problem),
};

static FIELD: TextForm = TextForm {
    noun: "field",
    form: "a field's name: letters, digits and '_', the first no digit",
    characters: 1..=128,
    pattern: Some("^[A-Za-z_][A-Za-z0-9_]*$"),
    check: |text| {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        if text.starts_with(|it: char| it.is_ascii_digit()) || !text.bytes().all(allowed) {
            return Err("may hold only letters, digits and '_', the first no digit".to_owned());
        }
        Ok(())
    },
};

static STATED: TextForm = TextForm {
    noun: "field",
    form: "a field's name: letters, digits and '_', the first no digit; with '?' behind it if it may be absent",
    characters: 1..=128,
    pattern: Some("^[A-Za-z_][A-Za-z0-9_]*[?]?$"),
    check: |text| Fields::new([text]).map(drop).map_err(texts::problem),
};

static GRPC_METHOD: TextForm = TextForm {
    noun: "gRPC method",
    form: "a gRPC method such as shop.v1.Orders/Create",
    characters: 3..=255,
    pattern: Some("^[A-Za-z_][A-Za-z0-9_.]*/[A-Za-z_][A-Za-z0-9_]*$"),
    check: |text| match text.split_once('/') {
        Some((service, method)) if !service.is_empty() && !method.is_empty() && !method.contains('/') => {
            let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'/');
            if text.bytes().all(allowed) {
                Ok(())
            } else {
                Err("may hold only letters, digits, '_' and '.'".to_owned())
            }
        }
        _ => Err("is not of the form package.Service/Method".to_owned()),
    },
};
