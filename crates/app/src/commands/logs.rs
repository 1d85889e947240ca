//! `tenon logs`.

use super::connect;
use crate::cli;
use crate::failure::Outcome;
use crate::render::{Screen, Tone};
use tenon_api::client::Client;
use tenon_api::http::{LogLine, LogStream};

/// Prints what the instances of a service print.
pub(crate) async fn logs(screen: Screen, client: &Client, options: &cli::Logs) -> Outcome {
    let service = connect::service(&options.service)?;
    let mut lines = client.logs(&service, Some(options.tail), options.follow).await?;
    while let Some(line) = lines.next().await? {
        if screen.is_json() {
            screen.line(&serde_json::to_string(&line.data).map_err(std::io::Error::other)?)?;
        } else {
            screen.line(&shown(screen, &line.data))?;
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
