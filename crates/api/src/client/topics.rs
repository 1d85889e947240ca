//! The topics' part of the client.

use super::store::segment;
use super::transport::Call;
use super::{Client, Error, Events};
use crate::cloudevents::{self, CloudEvent};
use crate::http::{Published, ToldOfTopic, TopicList};
use http::Method;
use tenon_core::{EventType, Revision};

#[allow(missing_docs, clippy::missing_errors_doc, reason = "the endpoints are documented in `openapi::BUS`")]
impl Client {
    /// Publishes events, which are CloudEvents, as one batch.
    pub async fn publish(&self, events: &[CloudEvent], namespace: Option<&str>) -> Result<Published, Error> {
        let call = Call::new(Method::POST, "/v1/events").query_if("namespace", namespace);
        self.transport.json(call.raw(cloudevents::JSON_BATCH, cloudevents::http::batch(events).into())).await
    }

    pub async fn topics(&self, prefix: Option<&str>, namespace: Option<&str>) -> Result<TopicList, Error> {
        let call = Call::get("/v1/topics").query_if("prefix", prefix).query_if("namespace", namespace);
        self.transport.json(call).await
    }

    /// The events of a topic as they come, after `from`, or after a revision.
    pub async fn watch_topic(
        &self,
        topic: &EventType,
        namespace: Option<&str>,
        from: Option<&str>,
        after: Option<Revision>,
    ) -> Result<Events<ToldOfTopic>, Error> {
        let call = Call::get(format!("/v1/topics/{}/events", segment(topic.as_str())));
        let call = call.query_if("namespace", namespace).query_if("from", from).query("follow", true);
        self.transport.events(call.after(after)).await
    }
}
