//! Several servers on one database, of which any may die.

use crate::support::{Answer, Folder, Http, PATIENCE, eventually, payment, system_of};
use reqwest::Method;
use serde_json::{Value, json};
use std::process::Stdio;
use tenon_backends::testing;
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
        let request = self.http.request(method, &format!("{}{path}", self.url)).bearer_auth(&self.token);
        self.http.send(if body.is_null() { request } else { request.json(&body) }).await
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
    let registration = json!({"id": "p1", "address": "127.0.0.1:9", "ttl_ms": 2_000});
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
    on_duty(&servers).await;
    assert_same(&servers[0], &servers[1]).await;
    assert_eq!(servers[1].get("/v1/config/payment/a").await["value"], 77);
    eventually("the instance is healthy still, or again", async || {
        on_duty(&servers).await;
        (servers[0].status().await == "healthy").then_some(())
    })
    .await;
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
