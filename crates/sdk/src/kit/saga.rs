//! The checker of sagas, in a unit test.

use crate::saga::Saga;
use std::fmt;

pub use tenon_analysis::saga::{Lapse, Report, Scope, Story, Verdict};

/// What the checker found about a saga. It shows itself as a text.
#[derive(Debug, Clone)]
#[must_use = "a check that nobody looks at finds nothing"]
pub struct Checked {
    saga: String,
    scope: Scope,
    /// All of it.
    pub report: Report,
}

impl<I, O> Saga<I, O> {
    /// Explores what can become of the saga under every order of calls and answers, with at most two faults and four million states.
    ///
    /// ```
    /// # use tenon_sdk::saga::{Compensatable, Saga, post};
    /// # const PUT: Compensatable<u64, ()> = Compensatable::new("put", post("till", "/put"), post("till", "/take"));
    /// # fn place_order() -> Saga<u64, ()> {
    /// #     let steps = Saga::define("place-order").steps(|mut saga, input| {
    /// #         let end = saga.step(PUT, input);
    /// #         saga.done(end)
    /// #     });
    /// #     steps.unwrap()
    /// # }
    /// // In a test:
    /// place_order().verify().assert_verified();
    /// ```
    pub fn verify(&self) -> Checked {
        self.verify_within(Scope::default())
    }

    /// The same as far as a scope says: faults, states, and services that do not keep what participants must.
    pub fn verify_within(&self, scope: Scope) -> Checked {
        let report = tenon_analysis::saga::verify(self.machine(), &scope, &mut |_| {});
        Checked { saga: self.definition().name.to_string(), scope, report }
    }
}

impl Checked {
    /// Nothing is broken in any state that can be reached.
    ///
    /// # Panics
    /// If something is, with the shortest schedule that breaks it; or if there are more states than the scope allows to
    /// look at.
    #[track_caller]
    pub fn assert_verified(&self) {
        match self.report.verdict {
            Verdict::Verified => {}
            Verdict::Bounded => {
                panic!("{self}; allow more `states`, or fewer `faults`, or settle for `assert_not_broken`")
            }
            Verdict::Broken(_) => panic!("{self}"),
        }
    }

    /// Nothing is broken in any state that was looked at.
    ///
    /// # Panics
    /// If something is, with the shortest schedule that breaks it.
    #[track_caller]
    pub fn assert_not_broken(&self) {
        if let Verdict::Broken(_) = self.report.verdict {
            panic!("{self}");
        }
    }

    /// The schedule that breaks something, if there is one.
    pub fn story(&self) -> Option<&Story> {
        match &self.report.verdict {
            Verdict::Broken(story) => Some(story),
            Verdict::Verified | Verdict::Bounded => None,
        }
    }
}

impl fmt::Display for Checked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { saga, scope, report } = self;
        let looked =
            format!("{} states in {:.1?} with at most {} faults", report.states, report.took, scope.faults);
        match &report.verdict {
            Verdict::Verified => write!(f, "saga {saga} is verified: {looked}"),
            Verdict::Bounded => write!(f, "saga {saga} is bounded: {looked}, and there are more states"),
            Verdict::Broken(story) => {
                let which = if story.shortest { "the shortest schedule" } else { "a schedule" };
                write!(
                    f,
                    "saga {saga} is broken: {} ({looked}); {which} that breaks it:\n{story}",
                    story.broken
                )
            }
        }
    }
}
