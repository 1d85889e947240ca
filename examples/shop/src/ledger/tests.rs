use super::*;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::io::ErrorKind;

/// How often each key was taken: more than once would be a double charge.
#[derive(Default)]
struct Counts(BTreeMap<u32, u32>);

#[derive(Serialize, Deserialize)]
struct Taken {
    key: u32,
}

impl Fold for Counts {
    type Entry = Taken;
    fn apply(&mut self, entry: Taken) {
        *self.0.entry(entry.key).or_default() += 1;
    }
}

fn open(folder: &Path) -> Ledger<Counts> {
    Ledger::open(Some(folder), "test").unwrap()
}

async fn take(ledger: &Ledger<Counts>, key: u32) -> Result<u32, Problem> {
    ledger
        .decide(
            move |counts| Ok((!counts.0.contains_key(&key)).then_some(Taken { key })),
            move |counts| counts.0.get(&key).copied().unwrap_or(0),
        )
        .await
}

async fn all(ledger: &Ledger<Counts>) -> BTreeMap<u32, u32> {
    ledger.read(|counts| counts.0.clone()).await.unwrap()
}

#[tokio::test]
async fn what_was_recorded_is_there_after_opening_again() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = open(folder.path());
    take(&ledger, 1).await.unwrap();
    take(&ledger, 2).await.unwrap();
    assert_eq!(all(&open(folder.path())).await, BTreeMap::from([(1, 1), (2, 1)]));
}

#[tokio::test]
async fn without_a_folder_the_state_is_the_processs_own() {
    let (ledger, other) =
        (Ledger::<Counts>::open(None, "test").unwrap(), Ledger::open(None, "test").unwrap());
    take(&ledger, 1).await.unwrap();
    assert_eq!(all(&ledger).await.len(), 1);
    assert_eq!(all(&other).await.len(), 0);
}

#[tokio::test]
async fn a_refusal_records_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = open(folder.path());
    let refused = ledger.decide(|_| Err(Problem::new(409, "no", "no")), |_| ()).await;
    assert_eq!(refused.unwrap_err().code, "no");
    assert_eq!(std::fs::read(folder.path().join("test.jsonl")).unwrap(), b"");
}

#[tokio::test]
async fn a_replica_sees_what_another_recorded_before() {
    let folder = tempfile::tempdir().unwrap();
    let (one, two) = (open(folder.path()), open(folder.path()));
    take(&one, 7).await.unwrap();
    assert_eq!(all(&two).await, BTreeMap::from([(7, 1)]));
    take(&two, 8).await.unwrap();
    assert_eq!(all(&one).await, BTreeMap::from([(7, 1), (8, 1)]));
}

/// Each replica is a thread with its own opened file, between which flock excludes as between processes.
#[test]
fn racing_replicas_take_each_key_once() {
    const KEYS: u32 = 40;
    let folder = tempfile::tempdir().unwrap();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
                let ledger = open(folder.path());
                for key in 0..KEYS {
                    assert_eq!(runtime.block_on(take(&ledger, key)).unwrap(), 1);
                }
            });
        }
    });
    let text = std::fs::read_to_string(folder.path().join("test.jsonl")).unwrap();
    assert_eq!(text.lines().count(), KEYS as usize);
}

#[tokio::test]
async fn a_half_line_is_passed_over_by_readers_and_cut_by_the_next_writer() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("test.jsonl");
    std::fs::write(&path, "{\"key\":1}\n{\"ke").unwrap();
    let ledger = open(folder.path());
    assert_eq!(all(&ledger).await, BTreeMap::from([(1, 1)]));
    take(&ledger, 2).await.unwrap();
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "{\"key\":1}\n{\"key\":2}\n");
}

#[test]
fn a_line_that_is_no_entry_is_reported_with_its_place() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("test.jsonl"), "{\"key\":1}\nnonsense\n").unwrap();
    let Err(problem) = Ledger::<Counts>::open(Some(folder.path()), "test") else { panic!("opened") };
    assert!(problem.detail.contains("at byte 10"), "{problem}");
}

/// Two handles of one file, as two replicas have them.
fn two_handles(folder: &Path) -> [Arc<File>; 2] {
    let path = folder.join("test.jsonl");
    [File::create(&path), File::open(&path)].map(|file| Arc::new(file.unwrap()))
}

#[test]
fn a_lock_that_another_holds_is_waited_for_and_ends_with_its_holder() {
    let folder = tempfile::tempdir().unwrap();
    let [holder, file] = two_handles(folder.path());
    holder.lock().unwrap();
    assert!(matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)));
    std::thread::scope(|scope| {
        let waiter = scope.spawn(|| Lock::shared(&file, Duration::from_secs(60)).map(drop));
        drop(holder);
        waiter.join().unwrap().unwrap();
    });
}

#[test]
fn a_lock_that_is_never_released_is_given_up() {
    let folder = tempfile::tempdir().unwrap();
    let [holder, file] = two_handles(folder.path());
    holder.lock().unwrap();
    let given_up = Lock::exclusive(&file, Duration::from_millis(5)).map(drop).unwrap_err();
    assert_eq!(given_up.kind(), ErrorKind::TimedOut);
}
