//! Several servers on one database, of which any may die.

use crate::support::{Answer, Folder, Http, PATIENCE, eventually, payment, system_of};
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use tenon_backends::testing;
use tenon_sdk::remote::RemoteOptions;
use tenon_sdk::{Subscriber, SubscriberOptions};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Child;

/// `tenon server` on a database, with a data folder of its own.
struct Server {
    process: Child,
    url: String,
    token: String,
    folder: Folder,
    http: Http,
}

impl Server {
    /// With the keys of another server on the log, if there is one.
    async fn start(database: &str, keys_of: Option<&Self>) -> Self {
        let folder = Folder::with("");
        if let Some(other) = keys_of {
            let keys = folder.data().join("keys");
            std::fs::create_dir_all(&keys).unwrap();
            for key in std::fs::read_dir(other.folder.data().join("keys")).unwrap() {
                let key = key.unwrap();
                if key.file_type().unwrap().is_dir() {
                    continue;
                }
                std::fs::copy(key.path(), keys.join(key.file_name())).unwrap();
            }
        }
        let mut command = folder.tenon().command(&["server", "--listen", "127.0.0.1:0"]);
        command.env("TENON_LOG_URL", database).stderr(Stdio::piped()).kill_on_drop(true);
        let mut process = command.spawn().unwrap();
        let mut lines = BufReader::new(process.stderr.take().unwrap()).lines();
        let said = async {
            while let Some(line) = lines.next_line().await.unwrap() {
                if let Some((_, address)) = line.split_once("address=") {
                    return address.split(' ').next().unwrap().to_owned();
                }
            }
            panic!("the server ended")
        };
        let address = tokio::time::timeout(PATIENCE, said).await.expect("the server does not start");
        // Nobody reads what it says from here on, and it must not wait for that.
        tokio::spawn(async move {
            while let Ok(Some(line)) = lines.next_line().await {
                eprintln!("{line}");
            }
        });
        let token = std::fs::read_to_string(folder.data().join("keys/api-token")).unwrap().trim().to_owned();
        let http = Http::new();
        Self { process, url: format!("http://{address}"), token, folder, http }
    }

    async fn call(&self, method: Method, path: &str, body: Value) -> Answer {
        let request = self.http.request(method, &format!("{}{path}", self.url));
        self.send(if body.is_null() { request } else { request.json(&body) }).await
    }

    /// The answer, as soon as the server has its log: a database may be slow, and another server just gone.
    async fn send(&self, request: RequestBuilder) -> Answer {
        let request = request.bearer_auth(&self.token);
        let answered = async || {
            let answer = self.http.send(request.try_clone().unwrap()).await;
            (answer.json()["code"] != "log.unavailable").then_some(answer)
        };
        eventually("the server has its log", answered).await
    }

    async fn get(&self, path: &str) -> Value {
        self.call(Method::GET, path, Value::Null).await.expect(200).json()
    }

    async fn set(&self, key: &str, value: u32) -> Answer {
        self.call(Method::PUT, &format!("/v1/config/payment/{key}"), json!({"value": value})).await
    }

    async fn beat(&self) -> Answer {
        self.call(Method::PUT, "/v1/services/payment/instances/p1/heartbeat", Value::Null).await
    }

    /// The status of the instance that registered itself.
    async fn status(&self) -> String {
        let instances = self.get("/v1/services/payment/instances").await;
        instances["instances"][0]["status"].as_str().unwrap_or("none").to_owned()
    }

    /// Publishes numbers under keys in turn.
    async fn publish(&self, numbers: std::ops::Range<u32>) {
        let event = |number: u32| {
            json!({"specversion": "1.0", "id": format!("n-{number}"), "source": "/test", "type": "number.counted",
                "partitionkey": format!("k{}", number % KEYS), "data": number})
        };
        let events = Value::Array(numbers.map(event).collect());
        let request = self.http.request(Method::POST, &format!("{}/v1/events", self.url));
        let request = request.header("content-type", "application/cloudevents-batch+json");
        let answer = self.send(request.body(events.to_string())).await;
        assert!(matches!(answer.status, 200..300), "{}: {}", answer.status, answer.text);
    }

    async fn kill(mut self) {
        self.process.kill().await.unwrap();
    }
}

/// Until a server that takes heartbeats is found, and which it is.
async fn on_duty(servers: &[Server]) -> usize {
    eventually("one server takes heartbeats", async || {
        for (index, server) in servers.iter().enumerate() {
            let answer = server.beat().await;
            match answer.status {
                204 | 200 => return Some(index),
                _ => assert_eq!(answer.problem(503), "server.off-duty"),
            }
        }
        None
    })
    .await
}

#[tokio::test]
async fn two_servers_hold_the_same_state_and_either_may_die() {
    let database = testing::shared().database();
    let one = Server::start(&database, None).await;
    let two = Server::start(&database, Some(&one)).await;
    let manifest = system_of(&[payment(0)], "config: {payment: {fee: 1}}");
    one.call(Method::PUT, "/v1/system", json!({"manifest": manifest})).await.expect(200);
    let registration = json!({"id": "p1", "address": "127.0.0.1:9", "ttl_ms": 20_000});
    eventually("the other server knows the service", async || {
        let answer = two.call(Method::POST, "/v1/services/payment/instances", registration.clone()).await;
        matches!(answer.status, 200 | 201).then_some(())
    })
    .await;

    // Both change things at the same time, and see each other's changes.
    let mut servers = vec![one, two];
    for round in 0..10 {
        let (a, b) = tokio::join!(servers[0].set("a", round), servers[1].set("b", round));
        a.expect(200);
        b.expect(200);
    }
    assert_same(&servers[0], &servers[1]).await;

    // One of them takes heartbeats; when it is killed the other one does, and everything is there.
    let dying = on_duty(&servers).await;
    assert_eq!(holds_health(&servers[dying]).await, Some(true));
    eventually("the other knows who does", async || {
        (holds_health(&servers[1 - dying]).await == Some(false)).then_some(())
    })
    .await;
    eventually("the instance is healthy on both", async || {
        servers[dying].beat().await;
        (servers[0].status().await == "healthy" && servers[1].status().await == "healthy").then_some(())
    })
    .await;
    let dead = servers.remove(dying);
    let another = Server::start(&database, Some(&dead)).await;
    dead.kill().await;
    servers[0].set("a", 77).await.expect(200);
    servers.push(another);
    let successor = on_duty(&servers).await;
    assert_eq!(holds_health(&servers[successor]).await, Some(true), "the status tells the new holder");
    assert_same(&servers[0], &servers[1]).await;
    assert_eq!(servers[1].get("/v1/config/payment/a").await["value"], 77);
    eventually("the instance is healthy still, or again", async || {
        on_duty(&servers).await;
        (servers[0].status().await == "healthy").then_some(())
    })
    .await;
}

/// Whether a server says of itself that it checks health, if it knows of any that does.
async fn holds_health(server: &Server) -> Option<bool> {
    let status = server.get("/v1/status").await;
    let duty = status["duties"].as_array()?.iter().find(|duty| duty["duty"] == "health")?;
    duty["own"].as_bool()
}

/// Both have folded the same, as soon as nothing changes.
async fn assert_same(one: &Server, two: &Server) {
    eventually("both servers say the same", async || {
        (said_by(one).await == said_by(two).await).then_some(())
    })
    .await;
}

async fn said_by(server: &Server) -> [Value; 3] {
    let config = server.get("/v1/config/payment").await;
    let history = server.get("/v1/config/payment/history").await;
    [config, history, server.get("/v1/system").await]
}

const KEYS: u32 = 4;

/// What the consumers were given, in order: who, and which number.
type Given = Arc<Mutex<Vec<(usize, u32)>>>;

/// Consumes of a server for as long as the test lives.
fn consume(server: &Server, who: usize, given: &Given) {
    let options = RemoteOptions { address: server.url.clone(), token: server.token.clone() };
    let given = Arc::clone(given);
    let most = SubscriberOptions { most: 8, ..SubscriberOptions::default() };
    let mut subscriber = Subscriber::new(&options, "numbers", most).unwrap();
    tokio::spawn(async move {
        loop {
            let event = subscriber.recv().await.unwrap().into_acked();
            let number = std::str::from_utf8(&event.data).unwrap().parse().unwrap();
            given.lock().unwrap().push((who, number));
        }
    });
}

/// Waits until every number up to `count` was given: which consumer was given the last ones.
async fn all_given(given: &Given, count: u32) -> usize {
    eventually("all are given", async || {
        let given = given.lock().unwrap();
        let numbers: BTreeSet<u32> = given.iter().map(|(_, number)| *number).collect();
        (numbers.len() == count as usize).then(|| given.last().unwrap().0)
    })
    .await
}

#[tokio::test]
async fn a_subscription_goes_on_at_another_server_whichever_dies() {
    let database = testing::shared().database();
    let one = Server::start(&database, None).await;
    let two = Server::start(&database, Some(&one)).await;
    let subscription = json!({"types": ["number.counted"]});
    one.call(Method::PUT, "/v1/subscriptions/numbers", subscription).await.expect(200);
    one.publish(0..100).await;
    let given = Given::default();
    consume(&one, 0, &given);
    consume(&two, 1, &given);
    two.publish(100..200).await;
    let mut servers = BTreeMap::from([(0, one), (1, two)]);

    // Whoever gives is killed, in the middle of giving, and a new one comes; twice.
    for round in 0..2_u32 {
        let count = 200 + 200 * round;
        let giving = all_given(&given, count).await;
        let dying = servers.remove(&giving).unwrap();
        dying.publish(count..count + 100).await;
        let (id, another) = (2 + round as usize, Server::start(&database, Some(&dying)).await);
        dying.kill().await;
        consume(&another, id, &given);
        another.publish(count + 100..count + 200).await;
        servers.insert(id, another);
    }
    all_given(&given, 600).await;

    // Each key's numbers came in order; some came again after a server had died, none else did.
    let mut seen: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    for (_, number) in given.lock().unwrap().iter() {
        let of_key = seen.entry(number % KEYS).or_default();
        if !of_key.contains(number) {
            of_key.push(*number);
        }
    }
    assert!(seen.values().all(|numbers| numbers.is_sorted()), "{seen:?}");
}

/// How many shares of the sagas a server has, and how many sagas run there.
async fn sagas_of(server: &Server) -> [usize; 2] {
    let shown = server.call(Method::GET, "/metrics", Value::Null).await.expect(200).text;
    let sum = |metric: &str| {
        let values = shown.lines().filter(|line| line.starts_with(metric));
        values.filter_map(|line| line.rsplit_once(' ')?.1.parse::<usize>().ok()).sum()
    };
    [sum("tenon_sagas_shard{"), sum("tenon_sagas_running{")]
}

#[tokio::test]
async fn sagas_are_divided_among_servers_and_go_on_whichever_dies() {
    const SAGAS: usize = 24;
    let database = testing::shared().database();
    let one = Server::start(&database, None).await;
    let two = Server::start(&database, Some(&one)).await;
    let waiting = json!({"steps": [{"name": "approval", "work": {"signal": {"name": "approved"}}}]});
    one.call(Method::PUT, "/v1/saga-definitions/wait", waiting).await.expect(200);
    eventually("both have as many shares", async || {
        let [[of_one, _], [of_two, _]] = [sagas_of(&one).await, sagas_of(&two).await];
        ((of_one, of_two) == (2, 2)).then_some(())
    })
    .await;
    let mut ids = Vec::new();
    for number in 0..SAGAS {
        let server = [&one, &two][number % 2];
        let start = json!({"input": {}, "key": number.to_string()});
        let started = eventually("a saga is started", async || {
            let answer = server.call(Method::POST, "/v1/sagas/wait", start.clone()).await;
            matches!(answer.status, 200..300).then(|| answer.json())
        });
        ids.push(started.await["id"].as_str().unwrap().to_owned());
    }
    eventually("both have sagas", async || {
        let [[_, of_one], [_, of_two]] = [sagas_of(&one).await, sagas_of(&two).await];
        (of_one > 0 && of_two > 0 && of_one + of_two == SAGAS).then_some(())
    })
    .await;
    one.kill().await;
    eventually("the other one has all", async || (sagas_of(&two).await == [4, SAGAS]).then_some(())).await;
    for id in ids {
        let signal = format!("/v1/sagas/{id}/signals/approved");
        two.call(Method::POST, &signal, json!({"data": "yes"})).await.expect(200);
        let ended = two.get(&format!("/v1/sagas/{id}?wait_ms=25000")).await;
        assert_eq!(ended["state"], "completed", "{ended}");
    }
}

#[tokio::test]
async fn a_password_is_neither_shown_nor_taken_from_the_command_line() {
    let folder = Folder::with("");
    let said = folder.tenon().run(&["server", "--log", "postgres://ada:secret@127.0.0.1:1/shop"]).await;
    assert!(!said.err.contains("secret"), "{}", said.err);
    let said = said.exited(3);
    assert!(said.err.contains("TENON_LOG_URL"), "{}", said.err);
    let file = folder.path().join("log-url");
    std::fs::write(&file, "postgres://ada:secret@127.0.0.1:1/shop").unwrap();
    let said = folder.tenon().run(&["server", "--log-file", file.to_str().unwrap()]).await.exited(6);
    assert!(said.err.contains("database shop at 127.0.0.1:1"), "{}", said.err);
    assert!(!said.err.contains("secret"), "{}", said.err);
}
