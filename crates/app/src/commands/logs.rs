//! `tenon logs`.

use super::connect;
use super::streaming::{Ended, Patience};
use crate::cli;
use crate::failure::Outcome;
use crate::render::{Screen, Tone};
use tenon_api::client::Client;
use tenon_api::http::{LogLine, LogStream};
use tenon_core::{ServiceRef, Timestamp};

/// After a restart of the server so many lines of each instance are looked at for those not yet printed.
const CATCH_UP: u32 = 1_000;

/// Prints what the instances of a service print. While following, a server that is restarted is waited for.
pub(crate) async fn logs(screen: Screen, client: &Client, options: &cli::Logs) -> Outcome {
    let service = connect::service(&options.service)?;
    let mut last = None;
    let mut patience = Patience::default();
    loop {
        let tail = if last.is_none() { options.tail } else { CATCH_UP };
        let ended = print(screen, client, &service, (tail, options.follow), &mut last, &mut patience).await;
        if ended.is_ok() && !options.follow {
            return Ok(());
        }
        patience.after(ended).await?;
    }
}

/// Prints lines that are later than the last one printed.
async fn print(
    screen: Screen,
    client: &Client,
    service: &ServiceRef,
    (tail, follow): (u32, bool),
    last: &mut Option<Timestamp>,
    patience: &mut Patience,
) -> Result<(), Ended> {
    let mut lines = client.logs(service, Some(tail), follow).await?;
    patience.renew();
    let printed = *last;
    while let Some(event) = lines.next().await? {
        let line = event.data;
        if printed.is_some_and(|printed| line.at <= printed) {
            continue;
        }
        *last = (*last).max(Some(line.at));
        if screen.is_json() {
            screen.line(&serde_json::to_string(&line).map_err(std::io::Error::other)?)?;
        } else {
            screen.line(&shown(screen, &line))?;
        }
    }
    Ok(())
}

fn shown(screen: Screen, line: &LogLine) -> String {
    let tone = match line.stream {
        LogStream::Out => Tone::Plain,
        LogStream::Err => Tone::Warning,
    };
    let time = line.at.to_string();
    let of_day = time.get(11..23).unwrap_or(&time);
    format!(
        "{} {} {}",
        screen.tone_out(of_day, Tone::Faint),
        screen.tone_out(line.instance.as_str(), Tone::Good),
        screen.tone_out(&line.text, tone)
    )
}
