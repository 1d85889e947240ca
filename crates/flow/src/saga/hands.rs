//! Sagas of this server to which others did something: they are handed on beside each other, so that one that takes long holds up no
//! other.
//!
//! Bounded: so many at once, and each once at a time. One for which there is no place is put off ([`super::later`]).

use super::runner::Ask;
use super::{Shared, owner};
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tenon_api::saga::Beginning;
use tenon_core::{Code, Refusal, SagaId};
use tokio::sync::Semaphore;

/// How many are handed on at once, and how long one waits for a place at most.
const PLACES: usize = 64;
const PLACE_WITHIN: Duration = Duration::from_millis(100);

/// Those that are handed on.
pub(super) struct Hands {
    places: Arc<Semaphore>,
    /// Whether more was heard of each meanwhile.
    under_way: Mutex<HashMap<SagaId, bool>>,
}

impl Default for Hands {
    fn default() -> Self {
        Self { places: Arc::new(Semaphore::new(PLACES)), under_way: Mutex::default() }
    }
}

impl Hands {
    /// Whether nobody hands it on already; whoever does so does it again.
    fn begin(&self, id: SagaId) -> bool {
        match self.under_way().entry(id) {
            Entry::Occupied(mut again) => {
                again.insert(true);
                false
            }
            Entry::Vacant(free) => {
                free.insert(false);
                true
            }
        }
    }

    /// Whether it is to be handed on again. If not, nobody does so any more.
    fn again(&self, id: SagaId) -> bool {
        let mut all = self.under_way();
        let again = all.get_mut(&id).is_some_and(std::mem::take);
        if !again {
            all.remove(&id);
        }
        again
    }

    fn under_way(&self) -> MutexGuard<'_, HashMap<SagaId, bool>> {
        // Whoever panicked has changed a single entry at most.
        self.under_way.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Something was heard of a saga; what began, if that was.
pub(super) async fn hear(shared: &Arc<Shared>, id: SagaId, of: Option<Arc<Beginning>>) {
    let runs = shared.handle(id);
    if runs.is_some_and(|it| it.asks.try_send(Ask::Reload).is_ok()) || !shared.hands.begin(id) {
        return;
    }
    let place = Arc::clone(&shared.hands.places).acquire_owned();
    let Ok(Ok(place)) = tokio::time::timeout(PLACE_WITHIN, place).await else {
        shared.hands.under_way().remove(&id);
        let many = Refusal::new(Code::ServerOverloaded, "many others are handed on before it");
        return shared.later.put_off(id, of, &many);
    };
    let own = Arc::clone(shared);
    tokio::spawn(owner::until_stop(shared, async move {
        let _place = place;
        hand_on(&own, id, of).await;
    }));
}

/// Takes up one that could not be taken up before.
pub(super) async fn try_again(shared: &Arc<Shared>, id: SagaId) {
    if shared.hands.begin(id) {
        hand_on(shared, id, None).await;
    }
}

async fn hand_on(shared: &Arc<Shared>, id: SagaId, of: Option<Arc<Beginning>>) {
    loop {
        owner::try_once(shared, id, of.clone()).await;
        if !shared.hands.again(id) {
            return;
        }
    }
}
