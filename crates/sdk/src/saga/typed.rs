//! Sagas written in Rust, whose shape the compiler checks. See [`Saga`].

mod draft;
mod step;
mod undoing;
mod value;

pub use draft::{Draft, Finished, Forward, Undoable};
pub use step::{Child, Compensatable, Pivot, Retriable, Signal, Target, delete, get, grpc, http, post, put};
pub use undoing::{Undo, Undoing};
pub use value::{Any, Expressions, Sent, Shape, Slot, Value};

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;
use tenon_api::saga::protos::cut;
use tenon_api::system::SagaDoc;
use tenon_core::priority::Priority;
use tenon_core::saga::{self, Definition, Expr, InputOf, Protos, StepSet, Version};
use tenon_core::{Code, Namespace, Refusal, ServiceRef};

/// A saga with the types of what it is given and what it answers.
///
/// Steps are constants, which the services that take part share ([`Participant::step`](super::Participant::step)). What a step answers is a value;
/// giving it to another step is depending on the first. Wrong shapes do not compile: a step that can be undone without what undoes it, a second
/// pivot, a retriable step before the pivot, one that would be undone behind it, a value of another type or of another saga.
///
/// ```
/// use std::time::Duration;
/// use tenon_sdk::saga::{Compensatable, Pivot, Retriable, Saga, delete, post, record};
///
/// record! {
///     struct Order as OrderOf { customer: String, items: Vec<String>, card: String }
///     struct NewOrder as NewOrderOf { customer: String, items: Vec<String> }
///     struct Created as CreatedOf { id: String, total: u64 }
///     struct Stock as StockOf { order: String, items: Vec<String> }
///     struct Payment as PaymentOf { order: String, amount: u64, card: String }
///     struct Paid as PaidOf { receipt: String }
///     struct Mail as MailOf { to: String, receipt: String }
///     struct Placed as PlacedOf { order: String, receipt: String }
/// }
///
/// const CREATE: Compensatable<NewOrder, Created> =
///     Compensatable::new("create_order", post("order", "/orders"), post("order", "/orders/{id}/cancel"));
/// const RESERVE: Compensatable<Stock, ()> = Compensatable::new(
///     "reserve_stock",
///     post("inventory", "/reservations"),
///     delete("inventory", "/reservations/{order}"),
/// );
/// const PAY: Pivot<Payment, Paid> =
///     Pivot::new("take_payment", post("payment", "/payments")).timeout(Duration::from_secs(5));
/// const TELL: Retriable<Mail, ()> = Retriable::new("tell_customer", post("notification", "/mails"));
/// const PACK: Retriable<Stock, ()> = Retriable::new("pack", post("warehouse", "/parcels"));
///
/// let place_order = Saga::<Order, Placed>::define("place-order").serialize_by(|order| order.customer).steps(
///     |mut saga, input| {
///         let order = saga.step(CREATE, NewOrderOf { customer: input.customer, items: input.items });
///         saga.step(RESERVE, StockOf { order: order.id, items: input.items });
///         let payment = PaymentOf { order: order.id, amount: order.total, card: input.card };
///         let (mut saga, paid) = saga.pivot(PAY, payment);
///         saga.step(TELL, MailOf { to: input.customer, receipt: paid.receipt });
///         saga.step(PACK, StockOf { order: order.id, items: input.items });
///         saga.done(PlacedOf { order: order.id, receipt: paid.receipt })
///     },
/// )?;
///
/// assert_eq!(place_order.definition().steps.len(), 5);
/// println!("{}", serde_json::to_string_pretty(&place_order.document())?);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Saga<I, O> {
    saga: saga::Saga,
    of: PhantomData<fn(I) -> O>,
}

/// A saga that is to be defined: what it is beside its steps.
#[derive(Debug)]
pub struct Head<I, O> {
    name: String,
    namespace: Namespace,
    deadline: Option<Duration>,
    priority: Priority,
    serialize_by: Option<String>,
    protos: Vec<(String, Protos)>,
    of: PhantomData<fn(I) -> O>,
}

impl<I: Shape, O: Shape> Saga<I, O> {
    /// Begins a definition, of a saga of this name.
    pub fn define(name: &str) -> Head<I, O> {
        Head {
            name: name.to_owned(),
            namespace: Namespace::default(),
            deadline: None,
            priority: Priority::Default,
            serialize_by: None,
            protos: Vec::new(),
            of: PhantomData,
        }
    }
}

impl<I, O> Saga<I, O> {
    /// What it is, as data.
    pub fn definition(&self) -> &Definition {
        self.saga.definition()
    }

    /// The definition as it is sent (`PUT /v1/saga-definitions/{name}`, `tenon saga define`).
    pub fn document(&self) -> SagaDoc {
        self.definition().into()
    }

    /// The version of the definition: the hash by which running sagas stay with theirs.
    pub fn version(&self) -> Version {
        tenon_api::saga::version_of(self.definition())
    }

    /// The saga as the machine runs it.
    pub fn machine(&self) -> &saga::Saga {
        &self.saga
    }
}

impl<I: Shape, O: Shape> Head<I, O> {
    /// Where it is; in the namespace `default` unless stated.
    #[must_use]
    pub fn namespace(mut self, namespace: Namespace) -> Self {
        self.namespace = namespace;
        self
    }

    /// How long the whole may take until it is turned back.
    #[must_use]
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = Some(deadline);
        self
    }

    /// How much its calls matter.
    #[must_use]
    pub fn priority(mut self, priority: Priority) -> Self {
        self.priority = priority;
        self
    }

    /// Of the input: sagas with the same value run one after the other.
    #[must_use]
    pub fn serialize_by<T>(mut self, by: impl FnOnce(I::Of<'static>) -> Value<'static, T>) -> Self {
        let expressions = Expressions::default();
        let value = by(input::<I>(&expressions));
        self.serialize_by = Some(expressions.text(value.slot()));
        self
    }

    /// What a service's gRPC methods are given and answer: an encoded `google.protobuf.FileDescriptorSet` with its imports, as
    /// `tonic-prost-build` writes it (`file_descriptor_set_path`). Of it only what the steps need becomes part of the definition. A step is
    /// given what its message looks like as JSON, with the fields' names as they are in the `.proto` file; what undoes it is a message of
    /// `input` and `output`.
    #[must_use]
    pub fn protos(mut self, service: &str, descriptors: &[u8]) -> Self {
        self.protos.push((service.to_owned(), Protos::new(descriptors)));
        self
    }

    /// The steps, and the end of the definition.
    ///
    /// # Errors
    /// `saga.invalid`, for what no type says: names, paths and texts that are not well formed, names that come twice, more
    /// than 64 steps or none, spans of time out of range, gRPC methods of which [`protos`](Self::protos) do not know.
    pub fn steps<F>(self, steps: F) -> Result<Saga<I, O>, Refusal>
    where
        F: for<'s> FnOnce(Draft<'s>, I::Of<'s>) -> Finished<'s, O>,
    {
        let draft = Draft::begin();
        let input = input::<I>(&draft.written.expressions);
        let Finished { mut written, output, .. } = steps(draft, input);
        let output = written.expressions.input(&output).map(|(output, _)| output).unwrap_or_else(|| {
            written.note("its output has an expression of more than 4,096 bytes".to_owned());
            InputOf::Nothing
        });
        if let Some(problem) = written.problem {
            return Err(problem);
        }
        let invalid = |error: tenon_core::InvalidName| Refusal::new(Code::SagaInvalid, error.to_string());
        let read =
            |(service, of): (String, Protos)| Ok::<_, Refusal>((service.parse().map_err(invalid)?, of));
        let protos = self.protos.into_iter().map(read).collect::<Result<BTreeMap<ServiceRef, _>, _>>()?;
        let mut definition = Definition {
            namespace: self.namespace,
            name: self.name.parse().map_err(invalid)?,
            steps: written.steps,
            input: None,
            deadline: self.deadline,
            priority: self.priority,
            serialize_by: self.serialize_by.as_deref().map(Expr::new).transpose().map_err(invalid)?,
            output,
            protos,
        };
        cut(&mut definition)?;
        let saga = saga::Saga::new(definition)?;
        Ok(Saga { saga, of: PhantomData })
    }
}

/// The saga's input.
fn input<'s, I: Shape>(expressions: &Expressions) -> I::Of<'s> {
    I::open(expressions.closed("input".to_owned(), StepSet::NONE), expressions)
}

impl<I, O> Clone for Saga<I, O> {
    fn clone(&self) -> Self {
        Self { saga: self.saga.clone(), of: PhantomData }
    }
}

impl<I, O> fmt::Debug for Saga<I, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Saga").field(self.definition()).finish()
    }
}

#[cfg(test)]
mod tests;
