//! Policies: what is done with which calls.

use super::{Field, Record, Rule, Shape, Word, texts};
use std::time::Duration;

const INSTANT: Duration = Duration::from_millis(1);
const DAY: Duration = Duration::from_secs(86_400);

/// The most policies that one list can attach.
pub(crate) const MOST_ATTACHED: usize = tenon_core::policy::MAX_ATTACHED / 2;

/// A list of policies that are attached.
pub(crate) const ATTACHED: Shape =
    Shape::List { item: &Shape::Text(&texts::POLICY_NAME), least: 0, most: MOST_ATTACHED };

pub(crate) static POLICY: Record = Record {
    anchor: "policy",
    title: "Policy",
    doc: "What is done with which calls. A policy holds where it is attached: to a service by the `policies` of its \
          `traffic`, to a route of the gateway by the route's. The order makes no difference: one `deny` that \
          applies refuses the call; if any `allow` is attached, one of them must apply; all others that apply take \
          effect together.",
    fields: &[
        Field::optional(
            "rules",
            Shape::List { item: &Shape::Record(&CONDITION), least: 1, most: 16 },
            "What must all hold for the action to apply; it applies to every call if not stated.",
        )
        .elsewhere(&["conditions", "match", "matches", "when", "if"]),
        Field::optional(
            "unless",
            Shape::List { item: &Shape::Record(&CONDITION), least: 1, most: 16 },
            "None of which may hold for the action to apply.",
        )
        .elsewhere(&["except", "not"]),
        Field::required(
            "action",
            Shape::Either(
                &Shape::Choice(&[
                    Word {
                        word: "allow",
                        doc: "the call may pass, and whatever no `allow` applies to may not",
                    },
                    Word { word: "deny", doc: "the call is refused with 403" },
                ]),
                &Shape::Record(&ACTION),
            ),
            "What is done then.",
        )
        .elsewhere(&["effect", "then"]),
    ],
    rules: &[],
    example: "\
rules:
  - {field: path, operator: prefix, value: /payments}
unless:
  - {field: source, value: [order, refund]}
action: deny
",
};

static CONDITION: Record = Record {
    anchor: "policy-condition",
    title: "Condition",
    doc: "Something that holds for a call or does not. Where a header or query parameter comes several times, each of \
          its values is looked at, and one that fits is enough. What can't be seen of a call counts against it: a `deny` \
          and a `rate_limit` apply as if the condition held, an `allow` as if it did not.",
    fields: &[
        Field::required(
            "field",
            Shape::Choice(&[
                Word { word: "method", doc: "the method" },
                Word { word: "path", doc: "the path, with escapes and dots resolved" },
                Word { word: "host", doc: "the host that the caller named, without a port, in lower case" },
                Word { word: "source", doc: "the service that calls; `@gateway` for calls from outside" },
                Word { word: "destination", doc: "the service that is called" },
                Word { word: "client", doc: "the address that the connection comes from" },
                Word { word: "header", doc: "the header of that `name`" },
                Word { word: "query", doc: "the query parameter of that `name`, decoded" },
            ]),
            "What is looked at.",
        ),
        Field::optional(
            "name",
            Shape::Text(&texts::QUERY_TEXT),
            "Which header or query parameter; for these two only.",
        ),
        Field::with_default(
            "operator",
            Shape::Choice(&[
                Word { word: "equals", doc: "it is one of the values" },
                Word { word: "not-equals", doc: "it is none of the values" },
                Word { word: "one-of", doc: "the same as `equals`" },
                Word { word: "prefix", doc: "it begins with one; a path with whole segments" },
                Word { word: "suffix", doc: "it ends with one" },
                Word { word: "contains", doc: "it holds one" },
                Word { word: "matches", doc: "a path is of a form such as `/orders/{id}`" },
                Word { word: "exists", doc: "it is there" },
                Word { word: "absent", doc: "it is not there" },
                Word { word: "in-cidr", doc: "an address lies in a range such as `10.0.0.0/8`" },
            ]),
            "equals",
            "How it is compared.",
        )
        .elsewhere(&["op"]),
        Field::optional(
            "value",
            Shape::Either(
                &Shape::Text(&texts::CONDITION_VALUE),
                &Shape::List { item: &Shape::Text(&texts::CONDITION_VALUE), least: 1, most: 64 },
            ),
            "With what, one or several; nothing for `exists` and `absent`.",
        )
        .elsewhere(&["values"]),
    ],
    rules: &[],
    example: "field: header\nname: x-tenant\noperator: one-of\nvalue: [blue, green]\n",
};

static ACTION: Record = Record {
    anchor: "policy-action",
    title: "Action",
    doc: "What a policy does, if it does not just allow or deny: one of these.",
    fields: &[
        Field::optional(
            "rate_limit",
            Shape::Record(&RATE_LIMIT),
            "Refuse calls, if there are too many, with 429.",
        )
        .elsewhere(&["ratelimit", "throttle"]),
        Field::optional(
            "retry",
            Shape::Record(&RETRY),
            "How often the call is tried, whatever `traffic` says.",
        ),
        Field::optional(
            "timeout",
            Shape::Duration { least: INSTANT, most: DAY },
            "How long the call may take, whatever the route or `traffic` says. The shortest that applies holds; \
             a caller's shorter deadline wins.",
        ),
        Field::optional("mirror", Shape::Record(&MIRROR), "Send a copy to another service.")
            .elsewhere(&["shadow"]),
        Field::optional(
            "fault",
            Shape::Record(&FAULT),
            "Spoil the call, to see what its caller does about it.",
        ),
        Field::optional(
            "headers",
            Shape::Record(&HEADERS),
            "Change headers of the request and the response.",
        ),
    ],
    rules: &[Rule::ExactlyOne(&["rate_limit", "retry", "timeout", "mirror", "fault", "headers"])],
    example: "rate_limit: {requests: 100, per: 1s, burst: 20, by: source}\n",
};

static RATE_LIMIT: Record = Record {
    anchor: "policy-rate-limit",
    title: "Rate limit",
    doc: "Over any time *t* at most `burst` + *t* · `requests` / `per` calls pass at each data plane, for each \
          service or route that the policy is attached to.",
    fields: &[
        Field::required(
            "requests",
            Shape::Integer { least: 1, most: 1_000_000_000 },
            "How many calls in each `per`.",
        )
        .elsewhere(&["requests_per_second", "rate", "limit"]),
        Field::with_default("per", Shape::Duration { least: INSTANT, most: DAY }, "1s", "In how long.")
            .elsewhere(&["window", "period", "interval"]),
        Field::optional(
            "burst",
            Shape::Integer { least: 1, most: 1_000_000_000 },
            "How many may come at once after a pause; as many as `requests` if not stated.",
        ),
        Field::with_default(
            "by",
            Shape::Choice(&[
                Word { word: "all", doc: "all calls are counted together" },
                Word { word: "source", doc: "those of each service that calls are counted apart" },
                Word { word: "client", doc: "those from each address are counted apart" },
                Word { word: "header", doc: "those with each value of `header` are counted apart" },
            ]),
            "all",
            "What is counted apart.",
        )
        .elsewhere(&["key"]),
        Field::optional("header", Shape::Text(&texts::HEADER_NAME), "Which header, for `by: header`."),
        Field::with_default(
            "shared",
            Shape::Boolean,
            "false",
            "Whether all data planes share it, each with an equal part: together they admit at most the larger of \
             `burst` and their number at once. Otherwise each admits all of it.",
        )
        .elsewhere(&["scope", "global"]),
    ],
    rules: &[],
    example: "requests: 600\nper: 1m\nburst: 20\nby: header\nheader: x-tenant\n",
};

static RETRY: Record = Record {
    anchor: "policy-retry",
    title: "Attempts",
    doc: "How often a call is tried. The smallest number that applies holds. When and after how long is what `traffic` \
          says.",
    fields: &[Field::required(
        "max_attempts",
        Shape::Integer { least: 1, most: 101 },
        "The first try included; 1 for no retries.",
    )
    .elsewhere(&["attempts", "max_retries"])],
    rules: &[],
    example: "max_attempts: 2\n",
};

static MIRROR: Record = Record {
    anchor: "policy-mirror",
    title: "Mirror",
    doc: "A copy of the call goes to another service when the call has been answered, with the header \
          `tenon-mirrored`. Its answer is thrown away, it is not tried again, and no breaker counts it. Calls whose body \
          is no longer remembered are not copied, nor those beyond 100 copies in flight.",
    fields: &[
        Field::required("service", Shape::Text(&texts::SERVICE_NAME), "Where the copy goes.")
            .elsewhere(&["to"]),
        PERCENT,
    ],
    rules: &[],
    example: "service: payment-next\npercent: 10\n",
};

static FAULT: Record = Record {
    anchor: "policy-fault",
    title: "Fault",
    doc: "A call is held up, answered with an error instead of being sent, or both.",
    fields: &[
        Field::optional("delay", Shape::Duration { least: INSTANT, most: DAY }, "How long it waits first."),
        Field::optional(
            "abort",
            Shape::Integer { least: 200, most: 599 },
            "The status that it is answered with instead of being sent.",
        ),
        PERCENT,
    ],
    rules: &[],
    example: "delay: 2s\nabort: 503\npercent: 5\n",
};

const PERCENT: Field = Field::with_default(
    "percent",
    Shape::Integer { least: 0, most: 100 },
    "100",
    "How many calls of 100 it happens to.",
);

static HEADERS: Record = Record {
    anchor: "policy-headers",
    title: "Header edits",
    doc: "Changes to headers. Those that belong to the connection, the message's framing, the trace or Tenon itself \
          cannot be changed. Several policies change headers in the order of their names.",
    fields: &[
        Field::optional("request", Shape::Record(&EDITS), "Of the request, before it is sent on."),
        Field::optional("response", Shape::Record(&EDITS), "Of the response, before it is passed back."),
    ],
    rules: &[],
    example: "request: {set: {x-tier: gold}}\nresponse: {remove: [server]}\n",
};

static EDITS: Record = Record {
    anchor: "policy-edits",
    title: "Edits of one message",
    doc: "Made in this order: `remove`, `set`, `add`.",
    fields: &[
        Field::optional(
            "remove",
            Shape::List { item: &Shape::Text(&texts::EDITABLE_HEADER), least: 1, most: 32 },
            "Headers that are taken out.",
        ),
        Field::optional("set", PAIRS, "Headers that are put in place of what was there."),
        Field::optional("add", PAIRS, "Headers that are put beside what was there."),
    ],
    rules: &[],
    example: "remove: [x-debug]\nset: {x-tier: gold}\n",
};

const PAIRS: Shape = Shape::Map {
    key: &texts::EDITABLE_HEADER,
    value: &Shape::Text(&texts::HEADER_VALUE),
    least: 1,
    most: 32,
};
