//! Copies of calls, sent to another service when the call itself has been answered. Nobody waits for them; they take no
//! part in breakers, retries or budgets.

use crate::balance::{self, Wish};
use crate::outgoing::Outgoing;
use crate::worker::Worker;
use http::HeaderValue;
use http_body::Body as _;
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::Context;
use tenon_core::balance::Subset;
use tenon_core::identity::Workload;
use tenon_core::limit::Held;
use tenon_core::{PolicyName, ServiceRef};

/// The most copies in flight for each thread; further ones are not made.
const MOST: u32 = 100;

/// Sends a copy, if there is room and the request's body is still remembered.
pub(super) fn send(
    worker: &Rc<Worker>,
    name: &PolicyName,
    service: &ServiceRef,
    outgoing: &Outgoing,
    caller: &Workload,
) {
    let began = worker.mirrored.get() < MOST && begin(worker, name, service, outgoing, caller).is_some();
    worker.metrics.policy(name, if began { "mirrored" } else { "not-mirrored" });
}

fn begin(
    worker: &Rc<Worker>,
    name: &PolicyName,
    service: &ServiceRef,
    outgoing: &Outgoing,
    caller: &Workload,
) -> Option<()> {
    let view = worker.view();
    let index = view.find(service)?;
    let everybody = Subset::default();
    let wish = Wish { subset: &everybody, key: None };
    let chosen = balance::choose(worker, &view, index, wish, &[], false).ok()?;
    let destination = view.destinations().get(index)?;
    let target = destination.targets.get(chosen.index)?;
    let most = destination.traffic.timeout;
    let request = outgoing.copy(most, HeaderValue::try_from(name.as_str()).ok()?)?;
    let way = target.way(service, || caller.clone()).into_owned();
    let (protocol, held) = (outgoing.protocol(), chosen.held);
    worker.mirrored.set(worker.mirrored.get() + 1);
    let worker = Rc::clone(worker);
    tokio::task::spawn_local(async move {
        let sent = async {
            let (response, mut lease) = worker.pool.send(&way, protocol, request).await.ok()?;
            let mut body = response.into_body();
            let mut frame = |cx: &mut Context<'_>| {
                lease.iter_mut().for_each(|lease| lease.drive(cx));
                Pin::new(&mut body).poll_frame(cx)
            };
            while let Some(frame) = poll_fn(&mut frame).await {
                frame.ok()?;
            }
            lease.into_iter().for_each(crate::pool::Lease::give_back);
            Some(())
        };
        // What becomes of it is nobody's concern.
        let _ = tokio::time::timeout(most, sent).await;
        worker.mirrored.set(worker.mirrored.get().saturating_sub(1));
        drop::<Held>(held);
    });
    Some(())
}
