//! News: what happened here, published as CloudEvents for whoever subscribes to it.
//!
//! A step tells its news before it is answered, under an id of its own. Whoever asked for the step and got no answer asks
//! again, the step is not repeated, and its news are told again, under the same id: so they are told, and count once,
//! with no table of what is still to be told.

use crate::id::OrderId;
use crate::problem::Problem;
use crate::service::Settings;
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE};
use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;
use tenon_api::InvalidMessage;
use tenon_api::cloudevents::{Attribute, CloudEvent, JSON};

/// How long the platform may take to acknowledge news.
const PATIENCE: Duration = Duration::from_secs(2);

/// Where news go; nowhere without a platform. Clones share it.
#[derive(Clone)]
pub struct News(Option<Arc<Desk>>);

struct Desk {
    client: reqwest::Client,
    url: String,
    authorization: String,
    source: String,
}

/// One piece of news.
pub struct Item<'a> {
    /// What happened: the topic.
    pub topic: &'a str,
    /// Names it among the news of this service.
    pub id: &'a str,
    /// The order that it is about.
    pub order: &'a OrderId,
    /// What is to be known of it.
    pub data: Value,
}

impl News {
    /// To the platform that the settings name.
    ///
    /// # Errors
    /// A problem if no HTTP client can be made.
    pub fn of(settings: &Settings) -> Result<Self, Problem> {
        let Some(events) = &settings.events else { return Ok(Self(None)) };
        // Straight to the platform: it is no service of the mesh.
        let client = reqwest::Client::builder().no_proxy().timeout(PATIENCE).build();
        Ok(Self(Some(Arc::new(Desk {
            client: client.map_err(|error| unavailable(&error))?,
            url: format!("{}/v1/events", events.address.trim_end_matches('/')),
            authorization: format!("Bearer {}", events.token),
            source: format!("/services/{}", settings.service),
        }))))
    }

    /// Tells news. They are durable when this returns.
    ///
    /// # Errors
    /// A problem (503) if the platform did not acknowledge them: it may have them all the same.
    pub async fn tell(&self, item: &Item<'_>) -> Result<(), Problem> {
        let Some(desk) = &self.0 else { return Ok(()) };
        let event = desk.event(item).map_err(|error| unavailable(&error))?;
        let request = desk.client.post(&desk.url).header(AUTHORIZATION, &desk.authorization);
        let request = request.header(CONTENT_TYPE, JSON).body(event.to_json().to_string());
        let answer = request.send().await.and_then(reqwest::Response::error_for_status);
        answer.map(drop).map_err(|error| unavailable(&error))
    }
}

impl Desk {
    fn event(&self, item: &Item<'_>) -> Result<CloudEvent, InvalidMessage> {
        let order = item.order.as_str();
        let attributes = [
            ("id", item.id),
            ("source", &self.source),
            ("type", item.topic),
            ("subject", order),
            ("datacontenttype", "application/json"),
            // The steps of one order are told in their order.
            ("tenontags", &format!("order:{order}")),
        ];
        let attributes = attributes.map(|(name, value)| (name.to_owned(), Attribute::from(value)));
        CloudEvent::from_attributes(attributes, item.data.to_string().into())
    }
}

fn unavailable(error: &dyn std::error::Error) -> Problem {
    Problem::new(503, "news.unavailable", format!("what was done could not be told: {error}; ask again"))
}
