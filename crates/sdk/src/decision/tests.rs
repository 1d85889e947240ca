use super::*;
use crate::command::Key;
use crate::decider::Fold;
use crate::events::{Fact, Json};
use crate::testing::{memory, namespace};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

const PLACES: usize = 3;
const COURSES: usize = 2;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
enum Happened {
    Subscribed { course: String, student: String },
    Left { course: String, student: String },
}

impl Events for Happened {
    type Codec = Json;
    const AREA: &'static str = "test.school";
    const FACTS: &'static [Fact] = &[Fact::v1("Subscribed"), Fact::v1("Left")];

    fn tags(&self) -> BTreeSet<Tag> {
        let (Self::Subscribed { course, student } | Self::Left { course, student }) = self;
        [tag("course", course), tag("student", student)].into()
    }
}

fn tag(kind: &str, name: &str) -> Tag {
    Tag::new(&format!("{kind}:{name}")).unwrap()
}

/// Who is subscribed to what, among the events that it is folded from.
struct Pairs;

impl Fold for Pairs {
    type Event = Happened;
    type State = BTreeSet<(String, String)>;

    fn initial() -> Self::State {
        BTreeSet::new()
    }

    fn evolve(mut state: Self::State, event: &Happened) -> Self::State {
        match event.clone() {
            Happened::Subscribed { course, student } => state.insert((course, student)),
            Happened::Left { course, student } => state.remove(&(course, student)),
        };
        state
    }
}

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
enum Refusal {
    #[error("the course is full")]
    Full,
    #[error("the student has enough to do")]
    Busy,
}

struct Subscribe<'a>(&'a str, &'a str);

impl Decision for Subscribe<'_> {
    const NAME: &'static str = "school.Subscribe";
    type Reads = (Part<Pairs>, Part<Pairs>);
    type Event = Happened;
    type Error = Refusal;

    fn reads(&self) -> Result<Self::Reads, InvalidName> {
        Ok((Part::tagged(tag("course", self.0)), Part::tagged(tag("student", self.1))))
    }

    fn stream(&self, _: &Happened) -> Result<StreamName, InvalidName> {
        StreamName::new(&format!("course-{}", self.0))
    }

    fn decide(&self, (course, student): &State<Self>) -> Result<Vec<Happened>, Refusal> {
        let pair = (self.0.to_owned(), self.1.to_owned());
        match () {
            () if course.contains(&pair) => Ok(vec![]),
            () if course.len() >= PLACES => Err(Refusal::Full),
            () if student.len() >= COURSES => Err(Refusal::Busy),
            () => Ok(vec![Happened::Subscribed { course: pair.0, student: pair.1 }]),
        }
    }
}

fn decisions(log: &Arc<dyn Log>) -> Decisions {
    Decisions::new(Arc::clone(log), namespace())
}

async fn give(decisions: &Decisions, course: &str, student: &str) -> Answer<Subscribe<'static>> {
    let (course, student): (&'static str, &'static str) =
        (course.to_owned().leak(), student.to_owned().leak());
    decisions.execute(&Subscribe(course, student), &Call::default()).await
}

#[tokio::test]
async fn a_rule_over_two_states_holds_for_both() {
    let school = decisions(&memory());
    for course in ["1", "2"] {
        give(&school, course, "ada").await.unwrap();
    }
    assert!(matches!(give(&school, "3", "ada").await, Err(CommandError::Refused(Refusal::Busy))));
    for student in ["bob", "eve"] {
        give(&school, "1", student).await.unwrap();
    }
    assert!(matches!(give(&school, "1", "tom").await, Err(CommandError::Refused(Refusal::Full))));
    let nothing = give(&school, "1", "bob").await.unwrap();
    assert_eq!((nothing.events, nothing.version), (vec![], Position(4)));
}

#[tokio::test]
async fn the_outcome_holds_the_states_after_the_command() {
    let school = decisions(&memory());
    give(&school, "1", "ada").await.unwrap();
    let outcome = give(&school, "1", "bob").await.unwrap();
    assert_eq!((outcome.state.0.len(), outcome.state.1.len(), outcome.version), (2, 1, Position(2)));
    let part = Part::<Pairs>::tagged(tag("course", "1"));
    let loaded = school.load::<_, Refusal>(&part, Position(u64::MAX)).await.unwrap();
    assert_eq!(loaded, (outcome.state.0, Position(2)));
    let before = school.load::<_, Refusal>(&part, Position(1)).await.unwrap();
    assert_eq!((before.0.len(), before.1), (1, Position(1)));
}

#[tokio::test]
async fn decisions_compete_only_over_what_they_read() {
    let log = memory();
    let school = decisions(&log);
    let students: Vec<String> = (0..24).map(|i| format!("s{i}")).collect();
    let given = students.iter().enumerate().map(|(i, student)| give(&school, ["1", "2"][i % 2], student));
    let answers = futures_util::future::join_all(given).await;
    assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 2 * PLACES);
    assert_eq!(log.head(), Position(2 * PLACES as u64));
}

#[tokio::test]
async fn a_repeated_decision_has_the_outcome_of_the_first() {
    let log = memory();
    let call = Call::once(Key::new("k").unwrap());
    let first = decisions(&log).execute(&Subscribe("1", "ada"), &call).await.unwrap();
    for student in ["bob", "eve"] {
        give(&decisions(&log), "1", student).await.unwrap();
    }
    let again = decisions(&log).execute(&Subscribe("1", "ada"), &call).await.unwrap();
    assert_eq!(again, Outcome { repeated: true, ..first });
    assert_eq!(log.head(), Position(3));
}

#[tokio::test]
async fn the_same_decision_given_twice_at_a_time_has_its_effect_once() {
    let log = memory();
    let all: Vec<_> = (0..8).map(|_| decisions(&log)).collect();
    let call = Call::once(Key::new("k").unwrap());
    let subscribe = Subscribe("1", "ada");
    let given = all.iter().map(|school| school.execute(&subscribe, &call));
    let answers = futures_util::future::join_all(given).await;
    assert_eq!(answers.iter().filter(|answer| !answer.as_ref().unwrap().repeated).count(), 1);
    assert_eq!(log.head(), Position(1));
}

#[tokio::test]
async fn a_decision_for_another_version_is_refused() {
    let school = decisions(&memory());
    let new = Call::default().expecting(Position::START);
    school.execute(&Subscribe("1", "ada"), &new).await.unwrap();
    let stale = school.execute(&Subscribe("1", "bob"), &new).await.unwrap_err();
    assert!(matches!(stale, CommandError::Stale { found: Position(1), .. }));
    // Nothing of what this one reads has happened.
    school.execute(&Subscribe("2", "bob"), &new).await.unwrap();
}
