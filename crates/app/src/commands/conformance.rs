//! `tenon saga conformance`: whether a service keeps what is asked of those that take part in sagas.
//!
//! It is sent what a saga may send it at worst: repeats, repeats at the same time, an undo before the do, a do that comes after
//! its undo; and, if an input is known that it refuses, what comes after a refusal. The rules are those of `core::saga::barrier`; the
//! service's answers are judged as a saga's are.

use super::check;
use super::text::json_or_word;
use crate::bus::grpc_answer;
use crate::cli::Conformance;
use crate::failure::{Failure, Outcome, chain};
use crate::render::{Screen, Tone, plain, toned};
use http::HeaderMap;
use reqwest::{Client, Method, Response};
use serde::Serialize;
use serde_json::Value;
use std::time::Duration;
use tenon_api::headers;
use tenon_core::saga::answer::{Answer, judge};
use tenon_core::saga::{Direction, Outcome as CallOutcome, Protos};
use tenon_core::{Code, SagaId};
use tenon_flow::saga::participants::{GrpcMethod, MOST_GRPC};
use tenon_store::new_event_id;

/// How many repeats are sent at the same time.
const AT_ONCE: usize = 8;
/// How often a call is repeated of which nobody knows what became of it.
const TRIES: u32 = 5;
const WITHIN: Duration = Duration::from_secs(10);
/// The options that say what is sent.
const INPUT: &str = "--input";
const REFUSED_INPUT: &str = "--refused-input";
const UNDO_INPUT: &str = "--undo-input";
/// How a URL of a gRPC method begins.
const GRPC: &str = "grpc://";

/// What was found out.
#[derive(Debug, Serialize)]
struct Finding {
    /// What a service must do.
    rule: &'static str,
    /// Whether it does.
    kept: bool,
    /// Whether the service's answers tell that at all.
    seen: bool,
    /// What it did instead.
    #[serde(skip_serializing_if = "Option::is_none")]
    found: Option<String>,
}

/// Carries the command out.
pub(crate) async fn conformance(screen: Screen, options: &Conformance) -> Outcome {
    let sent = [&options.input, &options.refused_input, &options.undo_input];
    for (option, text) in [INPUT, REFUSED_INPUT, UNDO_INPUT].into_iter().zip(sent) {
        // Before anything is sent.
        body(option, text.as_deref(), new_saga())?;
    }
    for (option, url) in [("URL", Some(&options.url)), ("--undo-url", options.undo_url.as_ref())] {
        let is_known =
            |url: &String| url.starts_with("http://") || url.starts_with("https://") || url.starts_with(GRPC);
        if let Some(url) = url.filter(|url| !is_known(url)) {
            return Err(invalid(format!("{option}: {url:?} does not begin with http:// or {GRPC}")));
        }
    }
    for (option, method) in [("--method", &options.method), ("--undo-method", &options.undo_method)] {
        if Method::from_bytes(method.as_bytes()).is_err() {
            return Err(invalid(format!("{option}: {method:?} is no method of HTTP, such as POST")));
        }
    }
    let http =
        Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).timeout(WITHIN).build();
    let http = http.map_err(|error| Failure::new(Code::Internal, error.to_string()))?;
    let grpc = Client::builder().no_proxy().http2_prior_knowledge().timeout(WITHIN).build();
    let grpc = grpc.map_err(|error| Failure::new(Code::Internal, error.to_string()))?;
    let protos = match options.proto.as_slice() {
        [] => None,
        named => Some(check::described(&options.proto_root, named)?),
    };
    let tested = Tested { http, grpc, protos, options, findings: Vec::new() };
    let findings = tested.run().await?;
    let row = |finding: &Finding| {
        let (word, tone) = match (finding.kept, finding.seen) {
            (true, _) => ("kept", Tone::Good),
            (false, true) => ("broken", Tone::Bad),
            (false, false) => ("not tested", Tone::Warning),
        };
        vec![toned(word, tone), plain(finding.rule), plain(finding.found.clone().unwrap_or_default())]
    };
    screen.result(&findings, |all| (vec!["", "RULE", "FOUND"], all.iter().map(row).collect()))?;
    if options.refused_input.is_none() {
        screen.remark(
            "what comes after a refusal was not tested: state what the service refuses by --refused-input",
        );
    }
    if findings.iter().all(|finding| finding.kept) {
        screen.remark("the service keeps what is asked of those that take part in sagas");
        return Ok(());
    }
    Err(Failure::printed(Code::SagaInvalid))
}

struct Tested<'a> {
    http: Client,
    grpc: Client,
    /// What the methods are given and answer, over gRPC.
    protos: Option<Protos>,
    options: &'a Conformance,
    findings: Vec<Finding>,
}

/// An answer: its body if the call succeeded, or how it failed.
type Told = Result<String, CallOutcome>;

/// What is asked.
#[derive(Debug, Clone, Copy)]
enum Asked {
    /// To do the step, under the key of this round.
    Do(u32),
    /// The same with what the service refuses.
    DoRefused(u32),
    /// To undo it.
    Undo,
}

/// To do a step for the first time.
const DO: Asked = Asked::Do(0);

impl Tested<'_> {
    async fn run(mut self) -> Result<Vec<Finding>, Failure> {
        let before = self.probe().await?;
        let saga = new_saga();
        let first = self.ask(saga, DO).await?;
        self.see("a step is done", first.is_ok(), &first);
        let again = self.ask(saga, DO).await?;
        self.see("a repeat is answered as before", again == first, &again);
        let many: Vec<_> = (0..AT_ONCE).map(|_| self.ask(saga, DO)).collect();
        let many = futures_util::future::try_join_all(many).await?;
        let odd = many.into_iter().find(|told| *told != first);
        self.see("so are repeats at the same time", odd.is_none(), &odd.unwrap_or_else(|| first.clone()));
        let undone = self.ask(saga, Asked::Undo).await?;
        self.see("the step is undone", undone.is_ok(), &undone);
        let undone = self.ask(saga, Asked::Undo).await?;
        self.see("undoing it again succeeds", undone.is_ok(), &undone);
        let late = self.ask(saga, DO).await?;
        self.see("a call that comes after it was undone is refused", is_refused(&late), &late);

        let saga = new_saga();
        let nothing = self.ask(saga, Asked::Undo).await?;
        self.see("undoing what never came succeeds", nothing.is_ok(), &nothing);
        let hanging = self.ask(saga, DO).await?;
        self.see("and what comes after that is refused", is_refused(&hanging), &hanging);

        let saga = new_saga();
        let many: Vec<_> = (0..AT_ONCE).map(|_| self.ask(saga, DO)).collect();
        let many = futures_util::future::try_join_all(many).await?;
        let first = many.first().cloned().unwrap_or(Err(CallOutcome::Unknown));
        let same = first.is_ok() && many.iter().all(|told| *told == first);
        self.see("many that come at once are one", same, &first);
        let undone = self.ask(saga, Asked::Undo).await?;
        self.see("and are undone as one", undone.is_ok(), &undone);
        if self.options.refused_input.is_some() {
            self.after_refusals().await?;
        }
        let after = self.probe().await?;
        if before.is_some() {
            let found = Ok(format!(
                "{} and then {}",
                before.as_deref().unwrap_or(""),
                after.as_deref().unwrap_or("")
            ));
            self.see("in the end everything is as before", before == after, &found);
        }
        Ok(self.findings)
    }

    /// What comes after a refusal.
    async fn after_refusals(&mut self) -> Result<(), Failure> {
        let saga = new_saga();
        let refused = self.ask(saga, Asked::DoRefused(0)).await?;
        self.see("what is to be refused is", is_refused(&refused), &refused);
        // The same key is the same call: what is sent with it makes no difference.
        let again = self.ask(saga, Asked::Do(0)).await?;
        self.see("a call that was refused is refused again under its key", is_refused(&again), &again);
        let later = self.ask(saga, Asked::Do(1)).await?;
        self.see("under the key of a later round it is done", later.is_ok(), &later);
        let repeat = self.ask(saga, Asked::Do(1)).await?;
        self.see("and a repeat of that is answered as before", repeat == later, &repeat);
        let undone = self.ask(saga, Asked::Undo).await?;
        self.see("and it is undone", undone.is_ok(), &undone);

        let saga = new_saga();
        let refused = self.ask(saga, Asked::DoRefused(0)).await?;
        let undone = self.ask(saga, Asked::Undo).await?;
        self.see("undoing what was refused succeeds", is_refused(&refused) && undone.is_ok(), &undone);
        let late = self.ask(saga, Asked::Do(1)).await?;
        self.see("and a later round that comes after that is refused", is_refused(&late), &late);
        Ok(())
    }

    fn see(&mut self, rule: &'static str, kept: bool, told: &Told) {
        let found = match told {
            Ok(body) => format!("a success: {}", body.chars().take(80).collect::<String>()),
            Err(CallOutcome::Refused) => "a refusal".to_owned(),
            Err(_) => "nothing that tells whether it was done".to_owned(),
        };
        // Where nobody knows what became of a call, nothing is known of the rule.
        let seen = !matches!(told, Err(CallOutcome::Unknown | CallOutcome::Unsent));
        let kept = kept && seen;
        self.findings.push(Finding { rule, kept, seen, found: (!kept).then_some(found) });
    }

    /// What the service's state is, as it shows itself.
    async fn probe(&self) -> Result<Option<String>, Failure> {
        let Some(url) = &self.options.probe else { return Ok(None) };
        let read = async { self.http.get(url).send().await?.text().await };
        let unread = |error: reqwest::Error| {
            Failure::new(Code::ServerUnavailable, format!("--probe: {url} cannot be read: {}", chain(&error)))
        };
        read.await.map(Some).map_err(unread)
    }

    /// Asks until it is known what became of it, as a saga does.
    async fn ask(&self, saga: SagaId, asked: Asked) -> Result<Told, Failure> {
        let mut attempt = 1;
        loop {
            let told = self.ask_once(saga, asked, attempt).await?;
            let unsure = matches!(told, Err(CallOutcome::Unknown | CallOutcome::Unsent));
            if !unsure || attempt >= TRIES {
                return Ok(told);
            }
            attempt += 1;
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    async fn ask_once(&self, saga: SagaId, asked: Asked, attempt: u32) -> Result<Told, Failure> {
        let options = self.options;
        let (url, method, (option, input)) = match asked {
            Asked::Do(_) => (&options.url, &options.method, (INPUT, &options.input)),
            Asked::DoRefused(_) => (&options.url, &options.method, (REFUSED_INPUT, &options.refused_input)),
            Asked::Undo => {
                let url = options.undo_url.as_ref().unwrap_or(&options.url);
                (url, &options.undo_method, (UNDO_INPUT, &options.undo_input))
            }
        };
        let (direction, round) = match asked {
            Asked::Do(round) | Asked::DoRefused(round) => (Direction::Do, round),
            Asked::Undo => (Direction::Undo, 0),
        };
        let url = &about(url, saga);
        let body = body(option, input.as_deref(), saga)?;
        let method_of_grpc = self.method(url)?;
        let request = match (&method_of_grpc, url.strip_prefix(GRPC)) {
            (Some(method), Some(rest)) => {
                let mut headers = HeaderMap::new();
                let sent = method.request(Some(&body), WITHIN, &mut headers).map_err(invalid)?;
                self.grpc.post(format!("http://{rest}")).headers(headers).body(sent)
            }
            _ => {
                let method = Method::from_bytes(method.as_bytes());
                let method = method.map_err(|error| invalid(error.to_string()))?;
                self.http.request(method, url).json(&body)
            }
        };
        let request = request
            .header(headers::IDEMPOTENCY_KEY, format!("{saga}/conformance/{direction}/{round}"))
            .header(headers::SAGA, saga.to_string())
            .header(headers::SAGA_STEP, "conformance")
            .header(headers::SAGA_DIRECTION, direction.to_string())
            .header(headers::SAGA_ROUND, round)
            .header(headers::SAGA_ATTEMPT, attempt.to_string());
        match (request.send().await, method_of_grpc) {
            (Ok(response), Some(method)) => {
                let told = method.told(grpc_answer(response, MOST_GRPC).await);
                Ok(told
                    .map(|output| output.map_or_else(String::new, |it| it.as_str().to_owned()))
                    .map_err(|it| it.outcome))
            }
            (Ok(response), None) => Ok(told(response).await),
            (Err(error), _) if error.is_connect() || error.is_builder() => Err(Failure::new(
                Code::ServerUnavailable,
                format!("{url} cannot be called: {}", chain(&error)),
            )),
            (Err(_), _) => Ok(Err(CallOutcome::Unknown)),
        }
    }

    /// The method that a URL names, if it is one of gRPC.
    fn method(&self, url: &str) -> Result<Option<GrpcMethod>, Failure> {
        let Some(rest) = url.strip_prefix(GRPC) else { return Ok(None) };
        let named = rest.split_once('/').map(|(_, method)| method);
        let named = named.ok_or_else(|| {
            invalid(format!("{url} names no method, as grpc://HOST:PORT/package.Service/Method does"))
        })?;
        let protos = self.protos.as_ref();
        let protos =
            protos.ok_or_else(|| invalid("name the .proto files of the service by --proto".to_owned()))?;
        let method = GrpcMethod::of(protos, named);
        method.map(Some).map_err(|problem| invalid(format!("{named}: {problem}")))
    }
}

/// What is sent, of an option.
fn body(option: &str, text: Option<&str>, saga: SagaId) -> Result<Value, Failure> {
    text.map_or(Ok(Value::Null), |text| json_or_word(option, &about(text, saga)))
}

/// Where a service names what it does by what it is sent, each saga is about another.
fn about(text: &str, saga: SagaId) -> String {
    text.replace("{saga}", &saga.to_string())
}

fn invalid(problem: String) -> Failure {
    Failure::new(Code::RequestInvalid, problem)
}

async fn told(response: Response) -> Told {
    let retry_after = response.headers().contains_key("retry-after");
    judge(Answer { status: response.status().as_u16(), retry_after, of_mesh: None })?;
    response.text().await.map_err(|_| CallOutcome::Unknown)
}

fn is_refused(told: &Told) -> bool {
    *told == Err(CallOutcome::Refused)
}

fn new_saga() -> SagaId {
    SagaId::from_bytes(*new_event_id().as_bytes())
}
