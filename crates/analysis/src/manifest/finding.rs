//! Every kind of problem that a manifest can have, each with its stable code, its severity and how to mend
//! it.

use super::report::Severity;

macro_rules! findings {
    ($($variant:ident = $code:literal, $severity:ident, $title:literal, $text:literal;)*) => {
        /// A kind of problem. Its code is stable: programs may depend on it.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Finding { $(#[doc = $title] $variant,)* }

        impl Finding {
            /// Every kind there is.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The stable code, `manifest.reason`.
            pub const fn code(self) -> &'static str {
                match self { $(Self::$variant => $code,)* }
            }

            /// Errors keep a system from being applied; warnings do so only where that is asked for.
            pub const fn severity(self) -> Severity {
                match self { $(Self::$variant => Severity::$severity,)* }
            }

            /// What it is, in a few words.
            pub const fn title(self) -> &'static str {
                match self { $(Self::$variant => $title,)* }
            }

            /// What it means, why it matters and how to mend it, as Markdown.
            pub const fn explanation(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }
        }
    };
}

findings! {
    Syntax = "manifest.syntax", Error, "The text is not one YAML document",
        "The file is not YAML 1.2, has more than one document, or uses a `!tag`. What follows such a place \
         cannot be read, so other problems may show only once it is mended. A frequent cause is a path such \
         as `/orders/{id}` without quotes inside of `{ … }`.";
    TooLarge = "manifest.too-large", Error, "The manifest is too large",
        "A manifest has at most 1 MiB, 100,000 values and 64 levels. Aliases count as often as they are \
         used, so that a small file cannot stand for a huge one. What its sagas take along of `.proto` files is at most 384 KiB.";
    DuplicateKey = "manifest.duplicate-key", Error, "A key stands twice in one map",
        "YAML readers usually keep the last one silently. Tenon refuses both.";
    UnknownKey = "manifest.unknown-key", Error, "A key is not known here",
        "Every key is listed on this page. An unknown one is an error, because a setting that is silently \
         ignored is worse than one that is refused.";
    MissingKey = "manifest.missing-key", Error, "A required key is missing",
        "The section that the message names lists which keys are required.";
    WrongType = "manifest.wrong-type", Error, "A value has the wrong type",
        "For example text where a number is expected. Text that looks like a number needs quotes: `version: \
         \"1.10\"`.";
    InvalidValue = "manifest.invalid-value", Error, "A value has the wrong form",
        "The value has the right type but not the right form or range, for example `30 seconds` where a \
         duration such as `30s` is expected.";
    WrongCount = "manifest.wrong-count", Error, "A list or map has too few or too many entries",
        "A system is well-formed only if it has at least one service, each service at least one interface \
         and each interface at least one endpoint. The upper bounds keep the time that checking takes \
         within bounds.";
    ConflictingKeys = "manifest.conflicting-keys", Error, "Keys exclude each other",
        "For example `command` (Tenon starts the service) and `addresses` (it runs already).";
    MisplacedKey = "manifest.misplaced-key", Error, "A key has no effect without another",
        "For example `replicas` for a service that Tenon does not start.";
    ResourceConstraint = "manifest.resource-constraint", Error, "A resource requirement is zero",
        "`cpu` and `memory` must be above 0; leave them out to get the default.";
    DuplicateName = "manifest.duplicate-name", Error, "A name is taken",
        "The interfaces and data stores of a service, the routes of the gateway, the hosts of its certificates and the items of some lists \
         must differ from each other.";
    InterfaceInconsistent = "manifest.interface-inconsistent", Error, "An interface contradicts itself",
        "An endpoint is listed twice; or an endpoint of a gRPC interface is not of the form \
         `/package.Service/Method`, or has a method other than `POST` (gRPC always uses POST).";
    UnknownService = "manifest.unknown-service", Error, "There is no such service",
        "`depends_on`, `traffic`, `gateway`, `config`, `subscriptions` and `sagas` speak of services by the names under `services`.";
    UnknownPolicy = "manifest.unknown-policy", Error, "There is no such policy",
        "`traffic` and routes of the gateway attach policies by the names under `policies`.";
    PolicyContradiction = "manifest.policy-contradiction", Error, "A policy's words do not fit together",
        "A condition's field, operator and value do not go together: for example `in-cidr` for a path, `exists` with \
         a value, a `header` without its `name`; or a rate limit is `by: header` without a `header`.";
    PolicyWithoutEffect = "manifest.policy-without-effect", Warning, "A policy has no effect where it is attached",
        "A `deny` without conditions refuses every call, whatever else is attached, so an `allow` beside it changes \
         nothing; and a policy that is attached to nothing does nothing.";
    SagaUnknown = "manifest.saga-unknown", Error, "There is no such step or saga",
        "`after` names steps of the same saga, and `saga` one of the sagas of the manifest.";
    SagaShape = "manifest.saga-shape", Error, "A saga's steps do not fit together",
        "A saga is a graph without circles. Steps that can be undone are before the pivot, of which there is at most one, and \
         retriable ones behind it. What undoes a call must be stated, even if it is `nothing`. A saga that is run by \
         another has no pivot, and does not run that one. [docs/sagas.md](sagas.md) tells why.";
    SagaExpression = "manifest.saga-expression", Error, "An expression cannot be read, or uses what is not there",
        "Expressions use `input`, `steps.NAME` of steps that are done before, `saga.id`, `saga.key`, and, in what undoes a step, \
         `output` and `saga.problem`. They call the functions that CEL itself has. Fields are checked where they are declared: a saga's `input` and a step's `output`.";
    SagaMethod = "manifest.saga-method", Error, "A step calls a gRPC method that is not known or that no step can call, or a service without HTTP over HTTP",
        "What a method is given and answers is read from the `.proto` files that a gRPC interface of its service names under \
         `protos`. It has to take one message and answer one, and to hold no `google.protobuf.Any`.";
    SagaNotAccepted = "manifest.saga-not-accepted", Warning, "A service does not accept what a step calls",
        "No endpoint of the service's input interfaces is what the step calls, a method and path or a gRPC method, so every call will be refused there. \
         Add the endpoint to the service's `interfaces`.";
    ProtoInvalid = "manifest.proto-invalid", Error, "A `.proto` file cannot be used",
        "It is not there, cannot be read, or does not fit together with what it imports. Files and their imports are looked up below \
         `proto_root`, and below the manifest's folder if that is not stated; those of `google/protobuf` are always there.";
    ConfigMismatch = "manifest.config-mismatch", Error, "An initial value does not satisfy its schema",
        "The JSON Schema (2020-12) of a configuration key holds for its first value too. A schema can refer \
         only to itself: nothing is fetched.";
    PortClash = "manifest.port-clash", Error, "Two things want the same port",
        "The gateway listens twice at one address, or where an `addresses` entry or Tenon itself listens (7420 for API and console, \
         7421 for the data plane's metrics).";
    PortRange = "manifest.port-range", Warning, "A port lies in the range that Tenon gives out",
        "Tenon gives ports from 20000 to 29999 to the applications and sidecars that it starts. A listener \
         of your own there may find its port taken, depending on what starts first.";
    DependencyCycle = "manifest.dependency-cycle", Warning, "Services depend on each other in a circle",
        "Services in a circle cannot be deployed, tested or understood one without the other, and one slow \
         member slows all. Break the circle: let one of them publish an event, or move what both need into \
         a third.";
    SharedStore = "manifest.shared-store", Warning, "A data store is shared by services",
        "A service that owns its data can change and move alone. Data stores are shared if they have the \
         same name or the same connection. Give the store to one service and let the others ask it; or, if \
         the stores differ, give them different names.";
    UnknownStoreType = "manifest.unknown-store-type", Warning, "A data store's type is nearly a known one",
        "Any type is accepted, but only known ones are checked for reachability; this one looks like a slip.";
    RouteShadowed = "manifest.route-shadowed", Warning, "A match of a route can never be reached",
        "Another match, which comes first, takes all of its requests. By the Gateway API's precedence the \
         more specific match comes first wherever it stands, so this happens only to matches that demand \
         the same.";
    RouteNowhere = "manifest.route-nowhere", Warning, "A route leads nowhere",
        "All backends of the route have weight 0: every request is answered with 503.";
    RouteNotAccepted = "manifest.route-not-accepted", Warning, "A backend accepts nothing of what a route \
                                                                sends it",
        "No endpoint of the service's input interfaces matches the path and method, so every request will \
         meet a 404 or 405 there. Correct the route, or add the endpoint to the service's `interfaces`.";
    PushNotAccepted = "manifest.push-not-accepted", Warning, "A service does not accept the events that it is sent",
        "No endpoint of the service's input interfaces is what the subscription calls, so every event will be refused there \
         and parked. Correct the path, or add the endpoint (`POST`, or the gRPC method) to the service's `interfaces`.";
    TimeoutInversion = "manifest.timeout-inversion", Warning, "A callee may take longer than its caller has",
        "Calls to the caller end before calls that it makes may end: the work goes on when nobody waits for \
         it, and the caller cannot answer with its own error. Make time-outs shorter from hop to hop. \
         (Deadlines travel with requests, but only as far as applications pass on Tenon's headers.)";
    RetryAmplification = "manifest.retry-amplification", Warning, "Retries multiply along a chain of calls",
        "Each hop of a chain may try a call once more than it has retries. If the last service fails, one \
         request from outside becomes the product of all tries there: 3 retries at each of 3 hops make 4 × \
         4 × 4 = 64. A chain is reported from more than 16 tries on, which is two hops with the default of \
         3 retries. Retry at one hop only, preferably the one next to what fails: set `max_retries: 0` for \
         the services above. Where services pass on `x-request-id` and `tenon-attempt` (as tracing \
         libraries do with the first), only the hop next to the failure retries; the static product is \
         what those cost that don't.";
    HedgeWithoutEffect = "manifest.hedge-without-effect", Warning, "A hedge is never sent",
        "`hedge.after` is not below `timeout`, so the call ends before another try goes out beside it.";
    ConcurrencyFixed = "manifest.concurrency-fixed", Warning, "An adaptive limit cannot adapt",
        "`concurrency.min` is not below `concurrency.max`, or not below `max_in_flight`, so the limit is always \
         the same.";
    RetryWithoutEffect = "manifest.retry-without-effect", Warning, "A time-out for one try is never reached",
        "`per_try_timeout` is not below `timeout`, so the call as a whole ends first, and a try that hangs \
         is never tried again.";
    BalanceWithoutEffect = "manifest.balance-without-effect", Warning, "A key has no effect with this strategy",
        "`choices` is for `least-requests` and `peak-ewma`, `hash_on` for `ring-hash` and `maglev`, `virtual_nodes` for \
         `ring-hash`, `max_load_percent` for both that hash, and `slow_start` for all others.";
    BreakerNeverOpens = "manifest.breaker-never-opens", Warning, "A breaker will hardly ever open",
        "A breaker counts failures that follow each other; one success starts the count again. From a \
         threshold above 100 on, even a service that fails nine calls in ten will hardly ever open it.";
    BreakerRateWithoutWindow = "manifest.breaker-rate-without-window", Warning, "A rate of failures has no window",
        "Rates are of the calls of a window, and by default a breaker looks at failures in a row only: what the entry says \
         of rates, slow calls or a minimum of calls has no effect. State a `window`.";
    BreakerWaitTooShort = "manifest.breaker-wait-too-short", Warning, "A half-open breaker does not wait \
                                                                       for its calls",
        "`half_open_max_wait` is shorter than calls to the service may take, so the breaker takes a slow \
         trial call for lost and admits more calls than are permitted.";
    PermissiveWithoutEffect = "manifest.permissive-without-effect", Warning, "Plain text is permitted to nobody",
        "With `authorization: declared` only callers are let in that show who they are, which plain text \
         cannot. State `mtls: strict`, or let everybody in with `authorization: open`.";
    HealthOverlap = "manifest.health-overlap", Warning, "A health check may take longer than the interval",
        "A check that takes as long as `timeout` is not finished when the next one is due. Checks do not \
         overlap, so they come at longer intervals than stated, and failures are noticed later.";
    ReservedVariable = "manifest.reserved-variable", Warning, "Tenon sets this environment variable itself",
        "`PORT`, the proxy variables and everything that begins with `TENON_` are set by Tenon, and its \
         value wins.";
}

impl Finding {
    /// The anchor of its paragraph in `docs/manifest.md`.
    pub(super) fn anchor(self) -> String {
        self.code().replace('.', "-")
    }
}
