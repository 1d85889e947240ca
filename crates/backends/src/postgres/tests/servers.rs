//! Several servers on one database.

use super::*;
use tenon_core::ServerId;
use tenon_store::Leases;

#[tokio::test]
async fn a_lease_has_one_holder_until_it_is_given_back_or_runs_out() {
    let url = testing::shared().database();
    let (one, two) = (open(&url).await, open(&url).await);
    let [first, second] = [1, 2].map(|number| ServerId::from_bytes([number; 16]));
    let long = Duration::from_secs(3_600);
    assert!(one.hold("health", first, long).await.unwrap());
    assert!(!two.hold("health", second, long).await.unwrap());
    assert!(two.hold("runtime", second, long).await.unwrap());
    assert!(one.hold("health", first, long).await.unwrap());
    two.release("health", second).await.unwrap();
    assert!(!two.hold("health", second, long).await.unwrap(), "only its holder gives it back");
    one.release("health", first).await.unwrap();
    assert!(two.hold("health", second, Duration::from_millis(1)).await.unwrap());
    while !one.hold("health", first, long).await.unwrap() {}
}

#[tokio::test]
async fn each_server_sees_who_has_leases_of_a_kind_and_for_how_long() {
    let url = testing::shared().database();
    let (one, two) = (open(&url).await, open(&url).await);
    let [first, second] = [1, 2].map(|number| ServerId::from_bytes([number; 16]));
    let long = Duration::from_secs(3_600);
    for (name, holder, span) in
        [("b.1", second, long * 2), ("b.0", first, long), ("a", first, long), ("b_", first, long)]
    {
        assert!(one.hold(name, holder, span).await.unwrap());
    }
    assert!(one.hold("b.2", first, Duration::ZERO).await.unwrap());
    let held = two.held("b.").await.unwrap();
    let names: Vec<(&str, ServerId)> = held.iter().map(|held| (held.name.as_str(), held.holder)).collect();
    assert_eq!(names, [("b.0", first), ("b.1", second)]);
    assert!(held[0].left <= long && held[1].left > long && held[1].left <= long * 2, "{held:?}");
}

#[tokio::test]
async fn each_server_is_woken_by_what_the_other_appends() {
    let url = testing::shared().database();
    // Asked so seldom that only being told can wake it.
    let options = PostgresOptions { poll: Duration::from_secs(3_600), ..patient() };
    let (one, two) = (open_with(&url, options.clone()).await, open_with(&url, options).await);
    assert_eq!(one.id(), two.id());
    for (from, to) in [(&one, &two), (&two, &one), (&one, &two)] {
        let mut heads = to.heads();
        let appended = from.append(vec![event("a")], None).await.unwrap();
        let head = *heads.wait_for(|head| *head >= appended.last()).await.unwrap();
        assert_eq!(head, appended.last());
        assert_eq!(read_all(to).await.last().unwrap().position, head);
    }
}

#[tokio::test]
async fn a_server_that_is_told_nothing_asks() {
    let url = testing::shared().database();
    let asking = PostgresOptions { poll: Duration::from_millis(20), ..patient() };
    let one = open_with(&url, asking).await;
    let mut heads = one.heads();
    // As another server's append would, but without a word.
    testing::shared().sql(&url, "UPDATE tenon.log_head SET last = 5, first = 3");
    heads.wait_for(|head| *head == Position(5)).await.unwrap();
    assert_eq!(one.first(), Position(3));
}

#[tokio::test]
async fn a_listener_that_was_cut_off_listens_again() {
    let server = testing::shared();
    let url = server.database();
    let options = PostgresOptions { poll: Duration::from_secs(3_600), ..patient() };
    let (one, two) = (open_with(&url, options.clone()).await, open_with(&url, options).await);
    for round in 1..=3 {
        let mut heads = two.heads();
        server.sql(
            &url,
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
             WHERE datname = current_database() AND query LIKE 'LISTEN%'",
        );
        one.append(vec![event("a")], None).await.unwrap();
        heads.wait_for(|head| *head == Position(round)).await.unwrap();
    }
}

#[tokio::test]
async fn one_of_the_racing_appends_of_two_servers_wins_each_version() {
    const VERSIONS: usize = 8;
    let url = testing::shared().database();
    let servers = [open(&url).await, open(&url).await];
    let race = |log: PostgresLog| async move {
        let (mut after, mut won) = (Position::START, 0);
        for _ in 0..VERSIONS {
            let condition = Condition::stream_unchanged(Namespace::default(), name("a"), after);
            match log.append(vec![event("a")], Some(condition)).await {
                Ok(_) => won += 1,
                Err(AppendError::Conflict { .. }) => {}
                Err(error) => panic!("{error}"),
            }
            let stream = Query::stream(Namespace::default(), name("a"));
            let next = log.read(stream, after, Direction::Forward, 1).await.unwrap();
            after = next.events.first().unwrap().position;
        }
        won
    };
    let writers: Vec<_> = (0..64).map(|n| tokio::spawn(race(servers[n % 2].clone()))).collect();
    let mut won = 0;
    for writer in writers {
        won += writer.await.unwrap();
    }
    assert_eq!(won, VERSIONS);
    assert_eq!(read_all(&servers[0]).await.len(), VERSIONS);
}

#[tokio::test]
async fn a_mark_that_one_server_sets_binds_the_other_at_once() {
    let url = testing::shared().database();
    let options = PostgresOptions { poll: Duration::from_secs(3_600), ..patient() };
    let (one, two) = (open_with(&url, options.clone()).await, open_with(&url, options).await);
    for _ in 0..5 {
        one.append(vec![event("a"), event("$tenon/b")], None).await.unwrap();
    }
    one.truncate_before(Position(7)).await.unwrap();
    let early = two.read(Query::user(), Position::START, Direction::Forward, 9).await;
    assert!(matches!(early, Err(ReadError::Truncated { first: Position(7) })), "{early:?}");
    let condition = Condition::stream_is_new(Namespace::default(), name("a"));
    let refused = two.append(vec![event("a")], Some(condition)).await;
    assert!(matches!(refused, Err(AppendError::Truncated { first: Position(7) })), "{refused:?}");
    let left = testing::shared().sql(&url, "SELECT count(*) FROM tenon.events WHERE NOT reserved");
    assert_eq!(left, "2", "the room was given back");
}
