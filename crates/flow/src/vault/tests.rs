mod served;

use super::*;
use crate::testing::event;
use std::fs;
use std::path::PathBuf;
use tempfile::TempDir;
use tenon_store::MemoryLog;

/// A log and a folder of keys, which outlive the vault in front of them.
struct Fixture {
    log: MemoryLog,
    folder: TempDir,
}

impl Fixture {
    fn new() -> Self {
        Self { log: MemoryLog::default(), folder: tempfile::tempdir().unwrap() }
    }

    fn keys(&self) -> PathBuf {
        self.folder.path().join("subjects")
    }

    async fn open(&self) -> Vault {
        let ring = KeyRing::open(&self.keys(), &self.folder.path().join("master.key")).unwrap();
        Vault::open(self.log.clone().into_log(), ring).await.unwrap()
    }

    /// Replaces the keys by a copy of them.
    fn copy_keys(&self, to: &str, from: &str) {
        let (to, from) = (self.folder.path().join(to), self.folder.path().join(from));
        let _ = fs::remove_dir_all(&to);
        for folder in fs::read_dir(&from).unwrap().map(|entry| entry.unwrap().path()) {
            let copy = to.join(folder.file_name().unwrap());
            fs::create_dir_all(&copy).unwrap();
            for file in fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()) {
                fs::copy(&file, copy.join(file.file_name().unwrap())).unwrap();
            }
        }
    }
}

fn subject(name: &str) -> Subject {
    Subject::new(name).unwrap()
}

fn about(name: &str) -> NewEvent {
    let mut event = event("customer/7");
    event.data = bytes::Bytes::from_static(b"{\"name\":\"Ada\"}");
    event.metadata.other.insert(SUBJECT.into(), name.into());
    event
}

async fn events(log: &dyn Log) -> Vec<Event> {
    log.read(Query::user(), Position::START, Direction::Forward, 100).await.unwrap().events
}

async fn forget(vault: &Vault, name: &str) -> Position {
    vault.forget(Namespace::default(), subject(name), None).await.unwrap()
}

fn withheld(event: &Event) -> Option<&str> {
    event.metadata.other.get(WITHHELD).map(String::as_str)
}

#[tokio::test]
async fn a_payload_about_a_subject_is_encrypted_in_the_log_and_decrypted_when_read() {
    let fixture = Fixture::new();
    let vault = fixture.open().await;
    vault.append(vec![about("c-7"), event("other")], None).await.unwrap();
    let stored = events(&fixture.log).await;
    assert!(!stored[0].data.windows(3).any(|part| part == b"Ada"));
    assert_eq!(stored[1].data, event("other").data);
    for _ in 0..2 {
        let read = events(&fixture.open().await).await;
        assert_eq!((&read[0].data[..], withheld(&read[0])), (&b"{\"name\":\"Ada\"}"[..], None));
    }
}

#[tokio::test]
async fn what_was_forgotten_is_told_as_such_and_refused_from_then_on() {
    let fixture = Fixture::new();
    let vault = fixture.open().await;
    vault.append(vec![about("c-7"), about("c-8")], None).await.unwrap();
    let told = forget(&vault, "c-7").await;
    let check = async |vault: &Vault| {
        let read = events(vault).await;
        assert_eq!((read[0].data.len(), withheld(&read[0])), (0, Some(FORGOTTEN)));
        assert_eq!((&read[1].data[..], withheld(&read[1])), (&b"{\"name\":\"Ada\"}"[..], None));
        assert_eq!((read[2].position, read[2].stream.as_str()), (told, "$subject/c-7"));
        assert_eq!(read[2].event_type.as_str(), FORGOTTEN_TYPE);
        let refused = vault.append(vec![about("c-7")], None).await.unwrap_err();
        assert!(matches!(&refused, AppendError::Invalid(InvalidInput::Forgotten(_))), "{refused}");
        assert_eq!(refused.changed(), tenon_store::log::Changed::No);
    };
    check(&vault).await;
    assert_eq!(forget(&vault, "c-7").await, told, "forgetting again changes nothing");
    check(&fixture.open().await).await;
    vault.append(vec![about("c-8")], None).await.unwrap();
}

#[tokio::test]
async fn an_old_copy_of_the_keys_brings_none_back() {
    let fixture = Fixture::new();
    let vault = fixture.open().await;
    vault.append(vec![about("c-7")], None).await.unwrap();
    fixture.copy_keys("copy", "subjects");
    forget(&vault, "c-7").await;
    fixture.copy_keys("subjects", "copy");
    let who = Who { namespace: Namespace::default(), subject: subject("c-7") };
    let vault = fixture.open().await;
    assert_eq!(withheld(&events(&vault).await[0]), Some(FORGOTTEN));
    let found = vault.ring.found(&who).unwrap();
    assert!(found.tombstone && !found.key, "the key that came back was destroyed: {found:?}");
}

#[tokio::test]
async fn an_old_copy_of_the_log_brings_none_back_and_is_told_again() {
    let fixture = Fixture::new();
    let vault = fixture.open().await;
    vault.append(vec![about("c-7")], None).await.unwrap();
    let old = events(&fixture.log).await;
    forget(&vault, "c-7").await;
    // Another log with the same events, but for what tells.
    let restored = Fixture { log: MemoryLog::default(), folder: fixture.folder };
    let Event { id, namespace, stream, event_type, tags, data, metadata, .. } = old[0].clone();
    let again = NewEvent { id, namespace, stream, event_type, tags, data, metadata };
    restored.log.append(vec![again], None).await.unwrap();
    let read = events(&restored.open().await).await;
    assert_eq!(withheld(&read[0]), Some(FORGOTTEN));
    assert_eq!(read[1].event_type.as_str(), FORGOTTEN_TYPE);
}

#[tokio::test]
async fn a_lost_key_makes_payloads_unreadable_and_stops_no_reader() {
    let fixture = Fixture::new();
    let vault = fixture.open().await;
    vault.append(vec![about("c-7"), event("other")], None).await.unwrap();
    fs::remove_dir_all(fixture.keys()).unwrap();
    let vault = fixture.open().await;
    let read = events(&vault).await;
    assert_eq!((read.len(), withheld(&read[0])), (2, Some(UNREADABLE)));
    // A new key reads what it encrypted, and nothing of before.
    vault.append(vec![about("c-7")], None).await.unwrap();
    let read = events(&vault).await;
    assert_eq!((withheld(&read[0]), withheld(&read[2])), (Some(UNREADABLE), None));
}

#[tokio::test]
async fn a_payload_in_another_events_place_cannot_be_read() {
    let fixture = Fixture::new();
    let vault = fixture.open().await;
    vault.append(vec![about("c-7")], None).await.unwrap();
    let moved = NewEvent { data: events(&fixture.log).await[0].data.clone(), ..about("c-7") };
    fixture.log.append(vec![moved], None).await.unwrap();
    let read = events(&vault).await;
    assert_eq!((withheld(&read[0]), withheld(&read[1])), (None, Some(UNREADABLE)));
}

#[tokio::test]
async fn subjects_of_two_namespaces_are_two() {
    let fixture = Fixture::new();
    let vault = fixture.open().await;
    let there = NewEvent { namespace: "sales".parse().unwrap(), ..about("c-7") };
    vault.append(vec![about("c-7"), there], None).await.unwrap();
    forget(&vault, "c-7").await;
    let read = events(&vault).await;
    assert_eq!((withheld(&read[0]), withheld(&read[1])), (Some(FORGOTTEN), None));
}

#[tokio::test]
async fn metadata_under_tenons_names_are_refused() {
    let fixture = Fixture::new();
    let vault = fixture.open().await;
    let mut forged = about("c-7");
    forged.metadata.other.insert(WITHHELD.into(), FORGOTTEN.into());
    assert!(matches!(vault.append(vec![forged], None).await, Err(AppendError::Invalid(_))));
    assert!(matches!(vault.append(vec![about("a b")], None).await, Err(AppendError::Invalid(_))));
}

#[tokio::test]
async fn another_master_key_is_told_and_a_malformed_one_refused() {
    let fixture = Fixture::new();
    fixture.open().await.append(vec![about("c-7")], None).await.unwrap();
    let master = fixture.folder.path().join("master.key");
    fs::write(&master, "0".repeat(64)).unwrap();
    let vault = fixture.open().await;
    assert_eq!(withheld(&events(&vault).await[0]), Some(UNREADABLE), "which is no forgetting");
    assert!(matches!(vault.append(vec![about("c-7")], None).await, Err(AppendError::Io(_))));
    fs::write(&master, "short").unwrap();
    assert!(matches!(KeyRing::open(&fixture.keys(), &master), Err(VaultError::Malformed { .. })));
}
