//! Which sagas have begun and not ended is noted now and then, so that a start need not read the whole log; and those of which sight was
//! lost are found: a server that shares its log sees by it which there are, and looks for those that have no place here.

use super::names::shard;
use super::{Shared, hands, open};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use tenon_core::SagaId;

/// How often.
const EVERY: Duration = Duration::from_secs(30);

pub(super) async fn now_and_then(shared: Arc<Shared>) {
    let (mut noted, mut missing) = (None, BTreeSet::new());
    loop {
        tokio::time::sleep(EVERY).await;
        let turnover = shared.meters.turnover();
        if noted != Some(turnover) {
            all(&shared).await;
            noted = Some(turnover);
        }
        missing = find(&shared, &missing).await;
    }
}

/// Notes which sagas have begun and not ended.
pub(super) async fn all(shared: &Shared) {
    let own: Vec<u8> = shared.shards.own().into_iter().collect();
    note(shared, &own).await;
}

/// The same of some shards. One that has ended meanwhile does no harm there.
async fn note(shared: &Shared, numbers: &[u8]) {
    let log = shared.store.log();
    for number in numbers {
        let of = BTreeSet::from([*number]);
        let followed = shared.shards.open().as_ref().map(|open| open.within(&of));
        let (ids, position) = match followed {
            Some(open) => (open.of(&of).collect(), open.at),
            None => {
                // Before the sagas are looked at: those that begin after it are read again.
                let position = log.head();
                let ids = shared.open().into_iter().filter(|id| shard(*id) == *number).collect();
                if shared.stop.is_cancelled() {
                    // They are about to be let go, in whatever state.
                    return;
                }
                (ids, position)
            }
        };
        open::note(log, *number, ids, position).await;
    }
}

/// Looks for sagas that have begun and not ended, by the log, and have no place here, as it was the last time. One that was just begun
/// or has just ended is heard of before the next time; one remains of which nobody waited for what was appended, if that took long.
async fn find(shared: &Arc<Shared>, missing: &BTreeSet<SagaId>) -> BTreeSet<SagaId> {
    let own = shared.shards.own();
    let mut lost: BTreeSet<SagaId> = match &*shared.shards.open() {
        Some(open) => open.of(&own).collect(),
        None => return BTreeSet::new(),
    };
    for id in shared.open() {
        lost.remove(&id);
    }
    for id in lost.intersection(missing) {
        hands::hear(shared, *id, None).await;
    }
    lost
}
