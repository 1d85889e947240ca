//! What is recorded of requests.

use super::{duration, set, text};
use crate::manifest::tree::{Meaning, Node};
use tenon_core::manifest::{AccessLog, Ratio, Telemetry};

pub(super) fn telemetry(node: Option<&Node>) -> Telemetry {
    let mut telemetry = Telemetry::default();
    let Some(node) = node else { return telemetry };
    set(&mut telemetry.sampling, share(node.get("sampling")));
    set(&mut telemetry.slow, duration(node.get("slow")));
    set(&mut telemetry.access_log, node.get("access_log").and_then(access_log));
    telemetry.otlp = text(node.get("otlp")).map(|address| address.trim_end_matches('/').into());
    telemetry
}

fn access_log(node: &Node) -> Option<AccessLog> {
    match node.text()? {
        "off" => Some(AccessLog::Off),
        "errors" => Some(AccessLog::Errors),
        "all" => Some(AccessLog::All),
        _ => None,
    }
}

fn share(node: Option<&Node>) -> Option<Ratio> {
    let millionths = match node?.scalar()?.meaning() {
        Meaning::Integer(whole) => whole.checked_mul(1_000_000).and_then(|it| u32::try_from(it).ok())?,
        // The form has it that this is between 0 and 1; a cast saturates otherwise.
        Meaning::Float(share) => (share * 1e6).round() as u32,
        _ => return None,
    };
    Ratio::of_millionths(millionths)
}
