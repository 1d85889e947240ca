
async fn wrong(participant: &Participant<Sqlite>, call: &SagaCall, body: &[u8]) {
    let pay = async |_: &mut SqliteConnection, _: u64| Ok("paid".to_owned());
    let _ = participant.only_forward(&PAY, call, body, pay).await; //~ E0271 expected
}
