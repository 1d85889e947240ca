//! The services that take part, in a process of their own: they keep the barrier, and a ledger in a file. What was written
//! there outlives the process, which is all that is tested.

use crate::{Result, say};
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse;
use axum::routing::post;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tenon_api::headers;
use tenon_core::saga::barrier::{Ask, Record, Verdict, arrive, settle};
use tokio::net::TcpListener;

/// What is known of a step of a saga.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Known {
    pub(crate) record: Record,
    /// How much money, or how many things.
    pub(crate) amount: u64,
}

/// Of each saga and step, what the ledger says last.
pub(crate) type Ledger = HashMap<(String, String), Known>;

struct Bank {
    ledger: Ledger,
    file: File,
}

/// Serves until it is killed.
pub(crate) async fn serve(file: PathBuf, port: u16) -> Result<()> {
    // A last line that was cut off is that of a call which was not answered.
    let text = std::fs::read_to_string(&file).unwrap_or_default();
    let whole = text.rfind('\n').map_or(0, |end| end + 1);
    let opened = OpenOptions::new().create(true).append(true).open(&file)?;
    opened.set_len(whole as u64)?;
    let bank = Arc::new(Mutex::new(Bank { ledger: read(&file)?, file: opened }));
    let router = Router::new().route("/{step}", post(called)).with_state(bank);
    let listener = listen(port).await?;
    say(&listener.local_addr()?.port().to_string())?;
    axum::serve(listener, router).await?;
    Ok(())
}

/// Listens where the bank did before; a connection that somebody has made from there is waited for.
async fn listen(port: u16) -> std::io::Result<TcpListener> {
    let begun = Instant::now();
    loop {
        match TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await {
            Err(error)
                if error.kind() == ErrorKind::AddrInUse && begun.elapsed() < Duration::from_secs(120) =>
            {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            bound => return bound,
        }
    }
}

/// What a ledger's file says.
pub(crate) fn read(file: &Path) -> Result<Ledger> {
    let mut ledger = Ledger::new();
    for line in std::fs::read_to_string(file)?.lines() {
        let mut words = line.split(' ');
        let mut word = || words.next().ok_or("a line of the ledger is too short");
        let of = (word()?.to_owned(), word()?.to_owned());
        let record = match word()? {
            "done" => Record::Done,
            "undone" => Record::Undone,
            round => Record::Refused(round.parse()?),
        };
        ledger.insert(of, Known { record, amount: word()?.parse()? });
    }
    Ok(ledger)
}

async fn called(State(bank): State<Arc<Mutex<Bank>>>, sent: HeaderMap, body: Bytes) -> impl IntoResponse {
    let text = |name| sent.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
    let number = |name| text(name).parse::<u32>().unwrap_or_default();
    let (step, is_do) = (text(headers::SAGA_STEP), text(headers::SAGA_DIRECTION) == "do");
    let input: Value = serde_json::from_slice(&body).unwrap_or_default();
    let asks = |what: &str| input[what] == json!(step);
    let ask = if is_do { Ask::Do(number(headers::SAGA_ROUND)) } else { Ask::Undo };
    let amount = input["amount"].as_u64().unwrap_or_default();
    let done = bank.lock().unwrap_or_else(PoisonError::into_inner).takes_part(
        (text(headers::SAGA), step.clone()),
        ask,
        amount,
        !(is_do && asks("refuse")),
    );
    match done {
        Ok(_) if is_do && asks("lose") && number(headers::SAGA_ATTEMPT) == 1 => {
            (StatusCode::INTERNAL_SERVER_ERROR, String::new())
        }
        Ok(true) => (StatusCode::OK, json!({"id": format!("{step}-1")}).to_string()),
        Ok(false) => (StatusCode::UNPROCESSABLE_ENTITY, String::new()),
        Err(_) => (StatusCode::INTERNAL_SERVER_ERROR, String::new()),
    }
}

impl Bank {
    fn takes_part(
        &mut self,
        of: (String, String),
        ask: Ask,
        amount: u64,
        willing: bool,
    ) -> std::io::Result<bool> {
        let known = self.ledger.get(&of).copied();
        let before = known.map_or(Record::Nothing, |known| known.record);
        let ok = match arrive(before, ask) {
            Verdict::Run => willing,
            Verdict::Repeat | Verdict::NothingToUndo => true,
            Verdict::RepeatRefusal | Verdict::Hanging => false,
        };
        let record = settle(before, ask, ok);
        let amount = known.map_or(amount, |known| known.amount.max(amount));
        if record != before {
            let state = match record {
                Record::Done => "done".to_owned(),
                Record::Undone => "undone".to_owned(),
                Record::Refused(round) => round.to_string(),
                Record::Nothing => return Ok(ok),
            };
            self.file.write_all(format!("{} {} {state} {amount}\n", of.0, of.1).as_bytes())?;
            self.ledger.insert(of, Known { record, amount });
        }
        Ok(ok)
    }
}
