//! The subscriptions' part of the client.

use super::transport::Call;
use super::{Client, Error, Events};
use crate::http::{
    DefinedSubscription, DeletedSubscription, DeliveredEvent, ParkedList, SeekSubscription, SettleDeliveries,
    SettledDeliveries, SoughtSubscription, SubscriptionList, SubscriptionView, Unparked, WhichParked,
};
use crate::system::SubscriptionDoc;
use http::Method;
use tenon_core::SubscriptionName;
use tenon_core::group::GroupName;

#[allow(missing_docs, clippy::missing_errors_doc, reason = "the endpoints are documented in `openapi::BUS`")]
impl Client {
    /// Those of a namespace, or of all.
    pub async fn subscriptions(&self, namespace: Option<&str>) -> Result<SubscriptionList, Error> {
        let call = Call::get("/v1/subscriptions").query_if("namespace", namespace);
        self.transport.json(call).await
    }

    pub async fn subscription(&self, name: &GroupName) -> Result<SubscriptionView, Error> {
        self.transport.json(call(Method::GET, name, "")).await
    }

    pub async fn define_subscription(
        &self,
        name: &GroupName,
        definition: &SubscriptionDoc,
    ) -> Result<DefinedSubscription, Error> {
        self.transport.json(call(Method::PUT, name, "").body(definition)?).await
    }

    pub async fn delete_subscription(&self, name: &GroupName) -> Result<DeletedSubscription, Error> {
        self.transport.json(call(Method::DELETE, name, "")).await
    }

    pub async fn seek_subscription(&self, name: &GroupName, to: &str) -> Result<SoughtSubscription, Error> {
        let seek = SeekSubscription { to: to.to_owned() };
        self.transport.json(call(Method::POST, name, "/seek").body(&seek)?).await
    }

    /// Takes part for as long as the stream is open.
    pub async fn pull(&self, name: &GroupName, most: u32) -> Result<Events<DeliveredEvent>, Error> {
        self.transport.events(call(Method::GET, name, "/pull").query("most", most)).await
    }

    pub async fn settle(
        &self,
        name: &GroupName,
        settled: &SettleDeliveries,
    ) -> Result<SettledDeliveries, Error> {
        self.transport.json(call(Method::POST, name, "/acks").body(settled)?).await
    }

    /// After a position, or from the first on.
    pub async fn parked(
        &self,
        name: &GroupName,
        after: Option<u64>,
        limit: u64,
    ) -> Result<ParkedList, Error> {
        let call = call(Method::GET, name, "/parked").query_if("after", after).query("limit", limit);
        self.transport.json(call).await
    }

    pub async fn retry_parked(&self, name: &GroupName, which: &WhichParked) -> Result<Unparked, Error> {
        self.transport.json(call(Method::POST, name, "/parked/retry").body(which)?).await
    }

    pub async fn drop_parked(&self, name: &GroupName, which: &WhichParked) -> Result<Unparked, Error> {
        self.transport.json(call(Method::POST, name, "/parked/drop").body(which)?).await
    }
}

/// A call about a subscription, whose name needs no escape.
fn call(method: Method, name: &GroupName, rest: &str) -> Call {
    let of: &SubscriptionName = &name.name;
    Call::new(method, format!("/v1/subscriptions/{of}{rest}")).query("namespace", &name.namespace)
}
