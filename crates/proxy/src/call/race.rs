//! Tries beside each other: a slow one gets company, the first good answer counts, and whoever is let go gives back its
//! place; it says nothing of its instance.

use super::{Call, outcome_of};
use crate::attempt::{Answer, Failure, Terms, attempt};
use crate::balance::{self, Chosen};
use crate::view::{Destination, Target};
use crate::worker::LocalView;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;
use tenon_api::explain;
use tenon_core::hedge::{After, Command, Input, Policy, Race, step};
use tenon_core::{InstanceId, Timestamp};
use tokio::time::{Instant, Sleep};

/// A try that has ended.
pub(super) struct Ended {
    pub(super) chosen: Chosen,
    pub(super) began: Timestamp,
    pub(super) result: Result<Answer, Failure>,
}

/// A try that runs.
struct Runner<'a> {
    target: &'a Target,
    chosen: Chosen,
    began: Timestamp,
    is_hedge: bool,
    answer: Pin<Box<dyn Future<Output = Result<Answer, Failure>> + 'a>>,
}

impl<'a> Call<'a> {
    /// Tries the chosen instance and, while it is slow, others beside it. The try that counts.
    pub(super) async fn race(
        &mut self,
        policy: &Policy,
        view: &LocalView,
        index: usize,
        destination: &Destination,
        target: &Target,
        chosen: Chosen,
    ) -> Ended {
        let began = self.worker.now();
        let patience = patience(policy, destination);
        let mut race = Race::new();
        let mut running = vec![self.run(destination, target, chosen, false)];
        let mut timer = patience.map(|after| Box::pin(tokio::time::sleep(after)));
        loop {
            let ended = next(&mut running, &mut timer).await;
            let good = ended.as_ref().map(|(_, result)| self.is_good(destination, result.as_ref()));
            let (state, command) = step(race, policy, good.map_or(Input::Slow, |good| Input::Ended { good }));
            race = state;
            match (command, ended) {
                (Command::Take, Some((runner, result))) => {
                    self.end_race(destination, policy, began, &runner, &running);
                    let Runner { chosen, began, .. } = runner;
                    return Ended { chosen, began, result };
                }
                (Command::Send, _) => match self.hedge(view, index, destination, &running) {
                    Some(runner) => {
                        running.push(runner);
                        if let Some((timer, after)) = timer.as_mut().zip(patience) {
                            timer.as_mut().reset(Instant::now() + after);
                        }
                    }
                    None => {
                        self.worker.metrics.hedge(&destination.service, "refused");
                        race = step(race, policy, Input::Unsent).0;
                        timer = None;
                    }
                },
                (_, Some((runner, result))) => self.dropped_out(runner, result),
                (Command::Take | Command::Wait | Command::WaitOnly, None) => timer = None,
            }
        }
    }

    /// Sends another try beside those that run: to somebody else, if there is anybody and the budget pays for it.
    fn hedge<'r>(
        &mut self,
        view: &LocalView,
        index: usize,
        destination: &'r Destination,
        running: &[Runner<'r>],
    ) -> Option<Runner<'r>>
    where
        'a: 'r,
    {
        if !self.outgoing.body.is_complete() {
            return None;
        }
        let asked = running.iter().map(|it| &it.target.instance);
        let asked: Vec<InstanceId> = self.tried.iter().chain(asked).cloned().collect();
        let chosen = balance::choose(self.worker, view, index, self.wish(), &asked, false).ok()?;
        let target = destination.targets.get(chosen.index)?;
        let now = self.worker.now();
        let is_new = !asked.contains(&target.instance);
        if !(is_new && destination.cells.budget.withdraw(&destination.traffic.budget, now)) {
            return None;
        }
        self.worker.metrics.hedge(&destination.service, "sent");
        Some(self.run(destination, target, chosen, true))
    }

    fn run<'r>(
        &self,
        destination: &Destination,
        target: &'r Target,
        chosen: Chosen,
        is_hedge: bool,
    ) -> Runner<'r>
    where
        'a: 'r,
    {
        let (worker, outgoing, began) = (self.worker, self.outgoing, self.worker.now());
        let terms = Terms {
            // A hedge is not the request's first try, and the hops below are to know it.
            number: self.attempts.ended().saturating_add(if is_hedge { 2 } else { 1 }),
            most: self.deadline.for_try(destination.traffic.retry.per_try_timeout, began),
        };
        let way = target.way(&destination.service, || self.story.caller()).into_owned();
        let answer = Box::pin(async move { attempt(worker, &way, outgoing, terms).await });
        Runner { target, chosen, began, is_hedge, answer }
    }

    fn is_good(&self, destination: &Destination, result: Result<&Answer, &Failure>) -> bool {
        self.outgoing.body.caller_failed().is_some()
            || !destination.traffic.retry.retry_on.includes(outcome_of(result))
    }

    /// A try has failed while others run.
    fn dropped_out(&mut self, runner: Runner<'_>, result: Result<Answer, Failure>) {
        let (status, outcome) = match &result {
            Ok(answer) => (Some(answer.head.status.as_u16()), answer.head.status.to_string()),
            Err(failure) => (None, failure.why.clone()),
        };
        self.tell(&runner, status, outcome, "another try runs beside it");
        self.tried.push(runner.target.instance.clone());
        let ejected = match result {
            Ok(answer) => answer.judge(runner.chosen.trial),
            Err(failure) if failure.ours => None,
            Err(failure) => {
                failure.contact.into_iter().for_each(|contact| runner.target.cells.found(contact));
                runner.chosen.trial.failed(failure.contact)
            }
        };
        self.story.ejected(ejected);
    }

    /// One try counts; those that still run are let go.
    fn end_race(
        &mut self,
        destination: &Destination,
        policy: &Policy,
        began: Timestamp,
        taken: &Runner<'_>,
        running: &[Runner<'_>],
    ) {
        if let After::Percentile(percent) = policy.after {
            // Of the first try; one that is let go has taken so long at least.
            destination.cells.latency.record(percent, self.worker.now().since(began));
        }
        for runner in running {
            let decision =
                if taken.is_hedge { "let go: a hedge answered" } else { "let go: the first answered" };
            self.tell(runner, None, "no answer yet".into(), decision);
        }
        if taken.is_hedge {
            self.worker.metrics.hedge(&destination.service, "won");
        }
    }

    fn tell(&mut self, runner: &Runner<'_>, status: Option<u16>, outcome: String, decision: &str) {
        self.story.attempts.push(explain::Attempt {
            instance: Some(runner.target.instance.clone()),
            choice: None,
            address: Some(runner.target.address.clone()),
            after: runner.began.since(self.story.at),
            duration: self.worker.now().since(runner.began),
            status,
            outcome,
            decision: decision.into(),
        });
    }
}

/// How long a try may take before another goes out beside it; `None` if that is not known yet.
fn patience(policy: &Policy, destination: &Destination) -> Option<Duration> {
    match policy.after {
        After::Fixed(after) => Some(after),
        After::Percentile(_) => destination.cells.latency.estimate(),
    }
}

/// The next try that ends, taken out of those that run; `None` if the time passes first.
async fn next<'a>(
    running: &mut Vec<Runner<'a>>,
    timer: &mut Option<Pin<Box<Sleep>>>,
) -> Option<(Runner<'a>, Result<Answer, Failure>)> {
    std::future::poll_fn(|cx| {
        for at in 0..running.len() {
            let Some(runner) = running.get_mut(at) else { break };
            if let Poll::Ready(result) = runner.answer.as_mut().poll(cx) {
                return Poll::Ready(Some((running.swap_remove(at), result)));
            }
        }
        match timer {
            Some(timer) => timer.as_mut().poll(cx).map(|()| None),
            None => Poll::Pending,
        }
    })
    .await
}
