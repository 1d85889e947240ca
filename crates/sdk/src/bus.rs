//! A bus for commands and queries: whoever sends a message need not know who handles it.
//!
//! A [`Message`] is a type with the type of its answer. The bus is built once with one handler for each type of
//! message, and then shared. Commands change something and have the outcome as their answer; queries read a
//! model. Nothing else tells them apart here: what makes a command safe to repeat is its
//! [`Call`](crate::command::Call), and what makes a query's model current enough is its projection.
//!
//! Left out on purpose: queues. A message is handled by the caller's own task, so that nothing waits where it
//! cannot be seen.

use std::any::{Any, TypeId, type_name};
use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::sync::Arc;
use tenon_store::BoxFuture;

/// Something that can be sent.
pub trait Message: Send + 'static {
    /// What comes back.
    type Answer: Send + 'static;
    /// Why nothing came back.
    type Error: std::error::Error + Send + Sync + 'static;
}

/// Why a message was not answered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BusError<E: std::error::Error> {
    /// Nobody handles such messages.
    #[error("nobody handles {0}; give the bus a handler for it")]
    NoHandler(&'static str),
    /// The handler's own error.
    #[error(transparent)]
    Failed(E),
}

/// Handlers by type of message. Cheap to clone.
#[derive(Clone, Default)]
pub struct Bus {
    handlers: Arc<HashMap<TypeId, Handler>>,
}

/// Makes a bus.
#[derive(Default)]
pub struct Builder {
    handlers: HashMap<TypeId, Handler>,
}

/// A [`Typed`] handler, and the name of its message.
struct Handler {
    message: &'static str,
    call: Box<dyn Any + Send + Sync>,
}

type Typed<M> =
    Box<dyn Fn(M) -> BoxFuture<'static, Result<<M as Message>::Answer, <M as Message>::Error>> + Send + Sync>;

impl Bus {
    /// A bus without handlers yet.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// Sends a message to its handler and waits for the answer.
    ///
    /// # Errors
    /// [`BusError::NoHandler`], or what the handler says.
    pub async fn send<M: Message>(&self, message: M) -> Result<M::Answer, BusError<M::Error>> {
        let none = || BusError::NoHandler(type_name::<M>());
        let handler = self.handlers.get(&TypeId::of::<M>()).ok_or_else(none)?;
        let handler = handler.call.downcast_ref::<Typed<M>>().ok_or_else(none)?;
        handler(message).await.map_err(BusError::Failed)
    }
}

impl Builder {
    /// The same with a handler for one type of message; it takes the place of a former one.
    #[must_use]
    pub fn on<M: Message, F>(mut self, handler: impl Fn(M) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<M::Answer, M::Error>> + Send + 'static,
    {
        let typed: Typed<M> = Box::new(move |message| Box::pin(handler(message)));
        self.handlers.insert(TypeId::of::<M>(), Handler { message: type_name::<M>(), call: Box::new(typed) });
        self
    }

    /// The bus.
    pub fn build(self) -> Bus {
        Bus { handlers: Arc::new(self.handlers) }
    }
}

impl fmt::Debug for Bus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut messages: Vec<_> = self.handlers.values().map(|handler| handler.message).collect();
        messages.sort_unstable();
        f.debug_tuple("Bus").field(&messages).finish()
    }
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder").field("handlers", &self.handlers.len()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Refusal;

    struct Double(u32);

    impl Message for Double {
        type Answer = u32;
        type Error = Refusal;
    }

    struct Unknown;

    impl Message for Unknown {
        type Answer = ();
        type Error = Refusal;
    }

    #[tokio::test]
    async fn a_message_finds_its_handler() {
        let handler = async |Double(number)| if number == 0 { Err(Refusal::NotOpen) } else { Ok(number * 2) };
        let bus = Bus::builder().on(handler).build();
        assert_eq!(bus.send(Double(2)).await, Ok(4));
        assert_eq!(bus.send(Double(0)).await, Err(BusError::Failed(Refusal::NotOpen)));
    }

    #[tokio::test]
    async fn a_message_without_a_handler_is_an_error_that_names_it() {
        let nobody = Bus::default().send(Unknown).await.unwrap_err();
        assert!(nobody.to_string().contains("bus::tests::Unknown"), "{nobody}");
    }
}
