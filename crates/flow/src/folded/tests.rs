use super::*;
use crate::testing::Fixture;

/// Texts of a stream.
#[derive(Default)]
struct Texts(Vec<String>);

impl Fold for Texts {
    type Record = String;
    const STREAM: &'static str = "$tenon/texts";
    const ABOUT: &'static str = "texts";

    fn decode(event_type: &str, payload: &[u8]) -> Result<String, impl Display> {
        let text = String::from_utf8_lossy(payload).into_owned();
        Some(text).filter(|_| event_type == "test.Text.v1").ok_or("it is no text")
    }

    fn encode(record: &String) -> (&'static str, Bytes) {
        ("test.Text.v1", record.clone().into())
    }

    fn take(&mut self, record: String, _: Position) -> Result<(), Refusal> {
        self.0.push(record);
        Ok(())
    }
}

#[tokio::test]
async fn nobody_waits_for_what_is_followed_no_further() {
    let fixture = Fixture::new();
    let texts: Folded<Texts> = Folded::start(fixture.store.clone(), CancellationToken::new()).await.unwrap();
    let add = |text: &str| {
        let text = text.to_owned();
        texts.change(None, move |_| Ok(Some(text.clone())))
    };
    assert!(add("a").await.unwrap());
    fixture.append(&[Texts::STREAM]).await;
    assert_eq!(add("b").await.unwrap_err().code, Code::DataNewerVersion);
    assert_eq!(texts.catch_up().await.unwrap_err().code, Code::DataNewerVersion);
    assert_eq!((*texts.state()).0, ["a"]);
    let late = Folded::<Texts>::start(fixture.store.clone(), CancellationToken::new()).await;
    assert_eq!(late.err().unwrap().code, Code::DataNewerVersion);
}
