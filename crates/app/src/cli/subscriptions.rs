//! What can be typed after `tenon subscriptions` and `tenon parked`.

use clap::{Args, Subcommand};

const CREATE: &str = "\
Examples:
  tenon subscriptions create mail --type payment.completed
  tenon subscriptions create audit --start beginning --order-by none
  tenon subscriptions create orders --type payment.completed --push order/events/payments

Subscriptions that belong to a system stand in its tenon.yaml, under `subscriptions`.";

const PULL: &str = "\
Examples:
  tenon subscriptions pull mail -n 1               take one event, and acknowledge it
  tenon subscriptions pull mail --no-ack           only look: whatever is shown is given again
  tenon subscriptions pull mail -o json | jq .event.data";

/// The commands of subscriptions.
#[derive(Debug, Subcommand)]
pub(crate) enum SubscriptionsCommand {
    /// The subscriptions
    List(ListSubscriptions),
    /// A subscription and how it fares
    Show(NamedSubscription),
    /// Make a subscription, or change how one that is there behaves
    #[command(after_help = CREATE)]
    Create(Box<CreateSubscription>),
    /// Delete a subscription with its progress
    Delete(NamedSubscription),
    /// Give everything from somewhere on again, or leave out what comes before
    Seek(SeekTo),
    /// Take events and print them
    #[command(after_help = PULL)]
    Pull(Pull),
}

/// The commands of parked events.
#[derive(Debug, Subcommand)]
pub(crate) enum ParkedCommand {
    /// The events of a subscription that were given as often as they may be, and wait for somebody
    List(ListParked),
    /// One of them in full
    Show(OneParked),
    /// Give them again, as often as at first
    Retry(SomeParked),
    /// Leave them out, for good
    Drop(SomeParked),
}

/// `tenon subscriptions list`
#[derive(Debug, Args)]
pub(crate) struct ListSubscriptions {
    /// Only those of this namespace
    #[arg(long, value_name = "NAME")]
    pub(crate) namespace: Option<String>,
}

/// A subscription.
#[derive(Debug, Args)]
pub(crate) struct NamedSubscription {
    /// The subscription
    #[arg(value_name = "SUBSCRIPTION")]
    pub(crate) name: String,
    /// Its namespace
    #[arg(long, value_name = "NAME")]
    pub(crate) namespace: Option<String>,
}

/// `tenon subscriptions create`
#[derive(Debug, Args)]
pub(crate) struct CreateSubscription {
    #[command(flatten)]
    pub(crate) of: NamedSubscription,
    /// Only events of this type, a topic; may be repeated
    #[arg(long = "type", value_name = "TYPE")]
    pub(crate) types: Vec<String>,
    /// Only events with this tag; may be repeated, and all must be there
    #[arg(long = "tag", value_name = "TAG")]
    pub(crate) tags: Vec<String>,
    /// Only streams that begin so
    #[arg(long, value_name = "TEXT")]
    pub(crate) prefix: Option<String>,
    /// Where it begins: `beginning`, `end`, after a position, or a time
    #[arg(long, value_name = "WHERE")]
    pub(crate) start: Option<String>,
    /// What is given one at a time: the events of a `stream`, those with a tag (`tag:TEXT`), or `none`
    #[arg(long, value_name = "KEY")]
    pub(crate) order_by: Option<String>,
    /// Call a service with each event, rather than wait to be asked
    #[arg(long, value_name = "SERVICE/PATH")]
    pub(crate) push: Option<String>,
    /// Everything else, as JSON in the form that `show -o json` prints
    #[arg(long, value_name = "JSON")]
    pub(crate) with: Option<String>,
}

/// `tenon subscriptions seek`
#[derive(Debug, Args)]
pub(crate) struct SeekTo {
    #[command(flatten)]
    pub(crate) of: NamedSubscription,
    /// `beginning`, `end`, after a position, or a time
    #[arg(value_name = "WHERE")]
    pub(crate) to: String,
}

/// `tenon subscriptions pull`
#[derive(Debug, Args)]
pub(crate) struct Pull {
    #[command(flatten)]
    pub(crate) of: NamedSubscription,
    /// End after so many events
    #[arg(short = 'n', long, value_name = "N")]
    pub(crate) limit: Option<u64>,
    /// Acknowledge nothing
    #[arg(long)]
    pub(crate) no_ack: bool,
}

/// `tenon parked list`
#[derive(Debug, Args)]
pub(crate) struct ListParked {
    #[command(flatten)]
    pub(crate) of: NamedSubscription,
    /// The most events
    #[arg(short = 'n', long, default_value_t = 100, value_name = "N")]
    pub(crate) limit: u64,
}

/// `tenon parked show`
#[derive(Debug, Args)]
pub(crate) struct OneParked {
    #[command(flatten)]
    pub(crate) of: NamedSubscription,
    /// Where it is in the log
    pub(crate) position: u64,
}

/// `tenon parked retry` and `drop`
#[derive(Debug, Args)]
pub(crate) struct SomeParked {
    #[command(flatten)]
    pub(crate) of: NamedSubscription,
    /// Where they are in the log
    #[arg(required_unless_present = "all")]
    pub(crate) positions: Vec<u64>,
    /// All of them
    #[arg(long, conflicts_with = "positions")]
    pub(crate) all: bool,
}
