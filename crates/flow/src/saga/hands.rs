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
    fn under_way(&self) -> MutexGuard<'_, HashMap<SagaId, bool>> {
        // Whoever panicked has changed a single entry at most.
        self.under_way.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Somebody hands a saga on, and nobody else does: until this is gone.
struct UnderWay {
    shared: Arc<Shared>,
    id: SagaId,
    /// Whether that is so no longer.
    is_over: bool,
}

impl UnderWay {
    /// None if somebody hands it on already, who then does so again.
    fn begin(shared: &Arc<Shared>, id: SagaId) -> Option<Self> {
        match shared.hands.under_way().entry(id) {
            Entry::Occupied(mut again) => {
                again.insert(true);
                None
            }
            Entry::Vacant(free) => {
                free.insert(false);
                Some(Self { shared: Arc::clone(shared), id, is_over: false })
            }
        }
    }

    /// Whether it is to be handed on again. If not, nobody does so any more.
    fn again(&mut self) -> bool {
        let mut all = self.shared.hands.under_way();
        let again = all.get_mut(&self.id).is_some_and(std::mem::take);
        if !again {
            all.remove(&self.id);
            self.is_over = true;
        }
        again
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        if !self.is_over {
            self.shared.hands.under_way().remove(&self.id);
        }
    }
}

/// Something was heard of a saga; what began, if that was.
pub(super) async fn hear(shared: &Arc<Shared>, id: SagaId, of: Option<Arc<Beginning>>) {
    let runs = shared.handle(id);
    if runs.is_some_and(|it| it.asks.try_send(Ask::Reload).is_ok()) {
        return;
    }
    // Whoever is about to take it up has read it before.
    shared.later.changes(id);
    let Some(under_way) = UnderWay::begin(shared, id) else { return };
    let place = Arc::clone(&shared.hands.places).acquire_owned();
    let Ok(Ok(place)) = tokio::time::timeout(PLACE_WITHIN, place).await else {
        let many = Refusal::new(Code::ServerOverloaded, "many others are handed on before it");
        return shared.later.put_off(id, of, &many);
    };
    tokio::spawn(owner::until_stop(shared, async move {
        let _place = place;
        hand_on(under_way, of).await;
    }));
}

/// Takes up one that could not be taken up before.
pub(super) async fn try_again(shared: &Arc<Shared>, id: SagaId) {
    if let Some(under_way) = UnderWay::begin(shared, id) {
        hand_on(under_way, None).await;
    }
}

async fn hand_on(mut under_way: UnderWay, of: Option<Arc<Beginning>>) {
    loop {
        owner::try_once(&under_way.shared, under_way.id, of.clone()).await;
        if !under_way.again() {
            return;
        }
    }
}
