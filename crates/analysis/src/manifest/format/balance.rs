//! How an instance is chosen.

use super::{Field, Record, Rule, Shape, Word, texts};
use std::time::Duration;
use tenon_core::balance::{Config, Subset};

const DAY: Duration = Duration::from_secs(86_400);

pub(super) const STRATEGIES: &[Word] = &[
    Word { word: "round-robin", doc: "each in turn" },
    Word { word: "weighted-round-robin", doc: "in proportion to the instances' weights, spread evenly" },
    Word {
        word: "least-requests",
        doc: "of two drawn by weight, the one with the fewest requests in flight for its weight",
    },
    Word { word: "least-connections", doc: "the same among all, not just two" },
    Word {
        word: "peak-ewma",
        doc: "of two drawn by weight, the one with the least latency times requests in flight",
    },
    Word { word: "random", doc: "any, with equal chances" },
    Word {
        word: "ring-hash",
        doc: "the same for the same key; whoever comes or goes moves only the keys that it must",
    },
    Word { word: "maglev", doc: "the same for the same key, spread more evenly; a few other keys move too" },
];

pub(super) static BALANCE: Record = Record {
    anchor: "traffic-balance",
    title: "Balance",
    doc: "How an instance is chosen, with all that can be said of it.",
    fields: &[
        Field::with_default("strategy", Shape::Choice(STRATEGIES), "round-robin", "How one is chosen.")
            .elsewhere(&["policy", "algorithm"]),
        Field::with_default(
            "choices",
            Shape::Integer { least: *Config::CHOICES.start() as u64, most: *Config::CHOICES.end() as u64 },
            "2",
            "How many `least-requests` and `peak-ewma` draw before they take the best of them.",
        )
        .elsewhere(&["choice_count"]),
        Field::with_default(
            "hash_on",
            Shape::Either(&Shape::Choice(KEYS), &Shape::Record(&HASH_ON)),
            "client",
            "What of a request decides for `ring-hash` and `maglev`. A request that lacks it goes to any instance.",
        )
        .elsewhere(&["hash_policy", "key", "hash_key"]),
        Field::with_default(
            "virtual_nodes",
            Shape::Integer {
                least: *Config::VIRTUAL_NODES.start() as u64,
                most: *Config::VIRTUAL_NODES.end() as u64,
            },
            "100",
            "How many places on the ring an instance has for each unit of its weight, 10,000 at most.",
        )
        .elsewhere(&["replicas", "ring_size"]),
        Field::optional(
            "max_load_percent",
            Shape::Integer {
                least: *Config::MAX_LOAD_PERCENT.start() as u64,
                most: *Config::MAX_LOAD_PERCENT.end() as u64,
            },
            "The most requests in flight of an instance, in percent of its share of all; what is more goes to the next \
             one of the order. No bound if not stated.",
        )
        .elsewhere(&["hash_balance_factor"]),
        Field::with_default(
            "slow_start",
            Shape::Duration { least: Duration::ZERO, most: DAY },
            "0s",
            "How long an instance that has become healthy takes to get its whole share, from a tenth of it. Hashing \
             knows no slow start.",
        )
        .elsewhere(&["slow_start_window", "warmup"]),
        Field::with_default(
            "panic_threshold",
            Shape::Integer { least: 0, most: 100 },
            "50",
            "If fewer than this share of the instances, in percent, can be used, all of them are, healthy or not. 0 \
             switches that off.",
        )
        .elsewhere(&["healthy_panic_threshold"]),
        Field::with_default(
            "prefer_near",
            Shape::Boolean,
            "true",
            "Whether instances of the data plane's zone, then of its region, are preferred, as far as they can carry \
             the load. They say where they are by the metadata `region` and `zone`.",
        )
        .elsewhere(&["locality", "zone_aware"]),
        Field::optional("subset", SUBSET, "The instances that may be chosen: those with this metadata."),
    ],
    rules: &[],
    example: "\
strategy: ring-hash
hash_on: {header: x-user}
virtual_nodes: 200
panic_threshold: 40
",
};

/// Metadata of instances.
pub(super) const SUBSET: Shape = Shape::Map {
    key: &texts::METADATA_KEY,
    value: &Shape::Text(&texts::METADATA_VALUE),
    least: 1,
    most: Subset::MAX_PAIRS,
};

const KEYS: &[Word] = &[
    Word { word: "client", doc: "the client's address" },
    Word { word: "path", doc: "the path, without its query" },
];

static HASH_ON: Record = Record {
    anchor: "traffic-balance-hash",
    title: "Hash key",
    doc: "What of a request decides where it goes.",
    fields: &[
        Field::optional("header", Shape::Text(&texts::HEADER_NAME), "A header's first value."),
        Field::optional("cookie", Shape::Record(&COOKIE), "A cookie's value."),
    ],
    rules: &[Rule::ExactlyOne(&["header", "cookie"])],
    example: "header: x-user\n",
};

static COOKIE: Record = Record {
    anchor: "traffic-balance-cookie",
    title: "Cookie",
    doc: "A cookie that keeps a client with its instance. A client that has none is given one.",
    fields: &[
        Field::required("name", Shape::Text(&texts::COOKIE_NAME), "Its name."),
        Field::optional(
            "ttl",
            Shape::Duration { least: Duration::from_secs(1), most: Duration::from_secs(366 * 86_400) },
            "How long the client is to keep it, in whole seconds; as long as it runs if not stated.",
        ),
    ],
    rules: &[],
    example: "name: session\nttl: 1h\n",
};
