//! The example shop: six services in three languages.

use crate::support::process::{Signal, Stopped, is_alive, send};
use crate::support::{Folder, System, eventually};
use serde_json::{Value, json};

fn order(card: &str, sku: &str) -> Value {
    json!({"customer": "ada", "card": card, "items": [{"sku": sku, "quantity": 2, "price": "19.99"}]})
}

#[tokio::test]
async fn the_shop_comes_up_and_an_order_goes_through_all_of_it_or_is_undone() {
    let shop = System::start_in(Folder::of_the_shop()).await;
    let orders = format!("{}/orders", shop.urls.gateway);

    let created = shop.http.post(&orders, &order("card-ada", "saw"), "first").await.expect(201).json();
    assert_eq!((&created["state"], &created["total"]), (&json!("Confirmed"), &json!("39.98")));
    let again = shop.http.post(&orders, &order("card-ada", "saw"), "first").await.expect(201).json();
    assert_eq!(again, created, "a request that is sent again has its effect once");
    let id = created["id"].as_str().unwrap();
    assert_eq!(shop.get(&format!("/orders/{id}")).await.expect(200).json()["state"], "Confirmed");
    assert_eq!(payment_state(&shop, id).await, "Charged");

    // What happened to it is kept, and so is what it was.
    let history = shop.get(&format!("/orders/{id}/history")).await.expect(200).json();
    let facts: Vec<_> =
        history["events"].as_array().unwrap().iter().map(|event| event["event"].clone()).collect();
    assert_eq!(facts, ["PlacedBy", "Created", "Paid", "Confirmed"]);
    let then = format!("/orders/{id}?at={}", history["events"][2]["position"]);
    assert_eq!(shop.get(&then).await.expect(200).json()["state"], "Paid");

    // The payment succeeds, the reservation does not: the payment is given back.
    let refused = shop.http.post(&orders, &order("card-ada", "anvil"), "second").await;
    let undone = refused.json()["order"].as_str().unwrap_or_default().to_owned();
    assert_eq!(refused.problem(422), "inventory.unknown-product");
    assert_eq!(shop.get(&format!("/orders/{undone}")).await.expect(200).json()["state"], "Cancelled");
    assert_eq!(payment_state(&shop, &undone).await, "Refunded");

    let poor = shop.http.post(&orders, &order("card-eve", "saw"), "third").await;
    assert_eq!(poor.problem(402), "payment.insufficient-funds");

    let found = shop.get("/recommendations?sku=saw").await.expect(200).json();
    assert_eq!((&found["limit"], found["items"].as_array().unwrap().len()), (&json!(3), 3));

    // Customers are told in the background; what they were told comes with the payment, from another service.
    let told = async || {
        let answer = shop.get(&format!("/notifications/{id}")).await;
        (answer.status == 200).then(|| answer.json())
    };
    let told = eventually("the customer is told", told).await;
    assert_eq!(told["payment"]["id"], json!(id));

    shop.tenon().run(&["config", "set", "recommendation", "limit", "5"]).await.succeeded();
    let heeded = async || {
        let found = shop.get("/recommendations?sku=saw").await.json();
        (found["limit"] == 5 && found["items"].as_array()?.len() == 5).then_some(())
    };
    eventually("the recommendation service heeds its new limit", heeded).await;
}

#[tokio::test]
async fn a_customer_is_forgotten_and_the_orders_and_what_was_sold_stay() {
    let shop = System::start_in(Folder::of_the_shop()).await;
    let orders = format!("{}/orders", shop.urls.gateway);
    let created = shop.http.post(&orders, &order("card-ada", "saw"), "first").await.expect(201).json();
    let path = format!("/orders/{}", created["id"].as_str().unwrap());
    shop.tenon().run(&["events", "forget", "ada"]).await.succeeded();

    let shown = shop.get(&path).await.expect(200).json();
    assert_eq!((&shown["customer"], &shown["forgotten"]), (&Value::Null, &json!(true)));
    assert_eq!((&shown["state"], &shown["total"]), (&json!("Confirmed"), &json!("39.98")));
    let nobodys = async || {
        let ada = shop.get("/orders?customer=ada").await.expect(200).json();
        let all = shop.get("/orders").await.expect(200).json();
        (ada["orders"] == json!([]) && all["orders"][0]["forgotten"] == true).then_some(())
    };
    eventually("both replicas list the order as nobody's", nobodys).await;
    let history = shop.get(&format!("{path}/history")).await.expect(200).json();
    let facts: Vec<_> =
        history["events"].as_array().unwrap().iter().map(|event| event["event"].clone()).collect();
    assert_eq!(facts, ["Created", "Paid", "Confirmed"]);
    let sold = json!([{"sku": "saw", "quantity": 2, "revenue": "39.98"}]);
    let shown = async || (shop.get("/sales").await.expect(200).json()["sales"] == sold).then_some(());
    eventually("what was sold is shown", shown).await;

    // The order goes on, and is not taken for another one; nothing more is kept of the customer.
    let ship = format!("{}{path}/ship", shop.urls.gateway);
    let shipped = shop.http.post(&ship, &json!({"tracking": "T1"}), "ship").await;
    assert_eq!(shipped.expect(200).json()["state"], "Shipped");
    for key in ["first", "second"] {
        let refused = shop.http.post(&orders, &order("card-ada", "saw"), key).await;
        assert_eq!(refused.problem(410), "order.forgotten", "{key}");
    }
}

#[tokio::test]
async fn what_was_paid_reserved_and_told_outlives_the_death_of_everything() {
    let shop = System::start_in(Folder::of_the_shop()).await;
    let orders = format!("{}/orders", shop.urls.gateway);
    let created = shop.http.post(&orders, &order("card-ada", "plane"), "first").await.expect(201).json();
    let id = created["id"].as_str().unwrap();
    for service in ["payment", "inventory"] {
        for instance in shop.instances(service).await {
            send(instance.pid.unwrap(), Signal::KILL);
        }
    }
    send(shop.role("server").await, Signal::KILL);
    let stands = async || {
        let payment = shop.get(&format!("/payments/{id}")).await;
        let stock = shop.get("/stock/plane").await;
        let is_so = payment.status == 200 && stock.status == 200;
        (is_so && payment.json()["state"] == "Charged" && stock.json()["available"] == 3).then_some(())
    };
    eventually("both know what they did", stands).await;
    let told = async |topic: &str| {
        let url = format!("{}/v1/topics/{topic}/events", shop.urls.api);
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let answer = client.get(&url).bearer_auth(&shop.token).send().await.unwrap();
        let events: Vec<Value> = answer.json().await.unwrap();
        events
            .into_iter()
            .map(|event| (event["subject"].clone(), event["tenontags"].clone()))
            .collect::<Vec<_>>()
    };
    for topic in ["payment.completed", "inventory.reserved"] {
        assert_eq!(told(topic).await, [(json!(id), json!(format!("order:{id}")))], "{topic}");
    }
}

#[tokio::test]
async fn an_order_is_a_saga_that_outlives_its_server_and_shows_how_it_went() {
    let shop = System::start_in(Folder::of_the_shop()).await;
    let orders = format!("{}/orders", shop.urls.gateway);
    let turn = async |knob: &str, body: Value| {
        for instance in shop.instances("payment").await {
            let url = format!("http://{}/admin/{knob}", instance.address);
            assert!((200..300).contains(&shop.http.post(&url, &body, "knob").await.status));
        }
    };
    // The answer that comes after the work is lost; what is lost is asked for again, and done once.
    turn("lose-replies", json!({"count": 1})).await;
    let created = shop.http.post(&orders, &order("card-ada", "plane"), "first").await.expect(201).json();
    turn("lose-replies", json!({})).await;

    // No payment comes to its end while the server lives.
    let stopped = shop.instances("payment").await;
    let stopped: Vec<_> = stopped.iter().map(|instance| Stopped::stop(instance.pid.unwrap())).collect();
    let ordering = shop.http.clone();
    let (url, body) = (orders.clone(), order("card-ada", "plane"));
    let ordering = tokio::spawn(async move { ordering.post(&url, &body, "second").await });
    let saga = async || {
        let sagas = shop.tenon().json(&["saga", "list", "--name", "place-order"]).await;
        let newest = &sagas["sagas"][0];
        (newest["at"].as_array()?.iter().any(|step| step == "take_payment")).then(|| newest["id"].clone())
    };
    let saga = eventually("the payment is under way", saga).await;
    let server = shop.role("server").await;
    send(server, Signal::KILL);
    eventually("the server is dead", async || (!is_alive(server)).then_some(())).await;
    drop(stopped);
    assert_eq!(ordering.await.unwrap().expect(201).json()["saga"], saga);
    let shown = shop.tenon().run(&["saga", "show", saga.as_str().unwrap()]).await.succeeded();
    assert!(shown.out.contains("completed") && shown.out.contains("called again"), "{}", shown.out);

    let poor = shop.http.post(&orders, &order("card-eve", "saw"), "third").await;
    let undone = poor.json()["order"].as_str().unwrap_or_default().to_owned();
    assert_eq!(poor.problem(402), "payment.insufficient-funds");
    let undone = shop.get(&format!("/orders/{undone}")).await.expect(200).json();
    let shown = shop.tenon().run(&["saga", "show", undone["saga"].as_str().unwrap()]).await.succeeded();
    let told = ["compensated", "payment.insufficient-funds", "undo give_points", "undo reserve_stock"];
    assert!(told.iter().all(|text| shown.out.contains(text)), "{}", shown.out);

    // One is cancelled after the fact, by a saga of its own.
    let cancel = format!("{orders}/{}/cancel", created["id"].as_str().unwrap());
    let cancelled = shop.http.post(&cancel, &json!({"reason": "no"}), "cancel").await.expect(200).json();
    assert_eq!(cancelled["state"], "Cancelled");

    let ada = shop.instances("payment").await[0].address.clone();
    let balance = shop.http.get(&format!("http://{ada}/accounts/card-ada")).await.json();
    assert_eq!(balance["balance"], "39999960.02");
    assert_eq!(shop.get("/stock/plane").await.json()["available"], 3);
    let points = json!([{"card": "card-ada", "points": 3}]);
    assert_eq!(shop.get("/points").await.json(), points);
}

#[tokio::test]
async fn the_shops_sagas_are_verified_and_its_services_keep_the_contract() {
    let shop = System::start_in(Folder::of_the_shop()).await;
    let manifest = shop.folder.manifest();
    let begin = std::time::Instant::now();
    let verified = shop.tenon().run(&["saga", "verify", manifest.to_str().unwrap()]).await.succeeded();
    // A time is no test here, beside others; the bench of sagas has the goal.
    eprintln!("verifying the shop's sagas took {:?}:\n{}", begin.elapsed(), verified.out);
    for saga in ["place-order: verified", "cancel-order: verified"] {
        assert!(verified.out.contains(saga), "{}", verified.out);
    }
    let address = async |service: &str| format!("http://{}", shop.instances(service).await[0].address);
    let (inventory, payment, loyalty) =
        (address("inventory").await, address("payment").await, address("loyalty").await);
    let tested = [
        (
            format!("{inventory}/reservations"),
            format!("{inventory}/reservations/{{saga}}"),
            "DELETE",
            json!({"order": "{saga}", "items": [{"sku": "plane", "quantity": 1}]}),
            format!("{inventory}/stock"),
        ),
        (
            format!("{payment}/payments"),
            format!("{payment}/payments/{{saga}}/refund"),
            "POST",
            json!({"order": "{saga}", "amount": "1.00", "card": "card-bob"}),
            format!("{payment}/accounts/card-bob"),
        ),
        (
            format!("{loyalty}/points"),
            format!("{loyalty}/points/{{saga}}"),
            "DELETE",
            json!({"order": "{saga}", "amount": "100.00", "card": "card-bob"}),
            format!("{loyalty}/points/card-bob"),
        ),
    ];
    for (url, undo, undo_method, input, probe) in tested {
        let (input, undo_input) = (input.to_string(), r#"{"card": "card-bob"}"#);
        // Refused for what the account holds, not for its form.
        let too_much = json!({"order": "{saga}", "amount": "5000.00", "card": "card-bob"}).to_string();
        let mut arguments =
            vec!["saga", "conformance", url.as_str(), "--input", input.as_str(), "--undo-url", undo.as_str()];
        arguments.extend([
            "--undo-method",
            undo_method,
            "--undo-input",
            undo_input,
            "--probe",
            probe.as_str(),
        ]);
        if probe == format!("{payment}/accounts/card-bob") {
            arguments.extend(["--refused-input", too_much.as_str()]);
        }
        let tested = shop.tenon().run(&arguments).await.succeeded();
        assert!(!tested.out.contains("broken"), "{}", tested.out);
    }
}

async fn payment_state(shop: &System, order: &str) -> String {
    let payment = shop.get(&format!("/payments/{order}")).await.expect(200).json();
    payment["state"].as_str().unwrap().to_owned()
}
