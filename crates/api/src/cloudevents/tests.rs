use super::http::{Form, batch, read, write};
use super::*;
use ::http::{HeaderMap, HeaderName, HeaderValue, header};
use proptest::prelude::*;
use serde_json::{Value, json};

/// What any attribute may be: any character that may stand there at all.
fn text() -> impl Strategy<Value = String> {
    "[^\\p{C}]{1,20}"
}

fn content_and_data() -> impl Strategy<Value = (Option<String>, Bytes)> {
    let json = ("application/(json|vnd\\.shop\\+json; charset=utf-8)", any::<(i64, bool)>(), text());
    let json = json.prop_map(|(media_type, (number, flag), text)| {
        (Some(media_type), Bytes::from(json!({"a": [number, flag], "b": text}).to_string()))
    });
    let plain = text().prop_map(|text| (Some("text/plain".to_owned()), Bytes::from(text)));
    let bytes = proptest::collection::vec(any::<u8>(), 0..30);
    let bytes = (proptest::option::of(Just("image/png".to_owned())), bytes);
    prop_oneof![json, plain, bytes.prop_map(|(media_type, bytes)| (media_type, Bytes::from(bytes)))]
}

fn extensions(texts_only: bool) -> impl Strategy<Value = BTreeMap<String, Attribute>> {
    let value = match texts_only {
        true => text().prop_map(Attribute::Text).boxed(),
        false => prop_oneof![
            text().prop_map(Attribute::Text),
            any::<bool>().prop_map(Attribute::Boolean),
            any::<i32>().prop_map(Attribute::Integer),
        ]
        .boxed(),
    };
    // No name of the specification's own has an `x`.
    proptest::collection::btree_map("x[a-z0-9]{0,9}", value, 0..4)
}

prop_compose! {
    fn event(texts_only: bool)(
        id in text(),
        source in "/[a-zA-Z0-9/._~%20-]{0,3}",
        event_type in text(),
        subject in proptest::option::of(text()),
        time in proptest::option::of(0..253_402_300_800_000_000_u64),
        schema in proptest::option::of(Just("https://schemas.example/order#1".to_owned())),
        (content_type, data) in content_and_data(),
        extensions in extensions(texts_only),
    ) -> CloudEvent {
        let source = source.replace('%', "%25");
        let time = time.map(Timestamp::from_micros);
        CloudEvent { id, source, event_type, subject, time, content_type, schema, extensions, data }
    }
}

proptest! {
    #[test]
    fn the_json_format_keeps_everything(event in event(false)) {
        let json = event.to_json().to_string();
        prop_assert_eq!(CloudEvent::from_json(json.as_bytes()).unwrap(), event);
    }

    #[test]
    fn the_protobuf_format_keeps_everything(event in event(false)) {
        let read = CloudEvent::from_protobuf(event.to_protobuf().into()).unwrap();
        prop_assert_eq!(read, event);
    }

    #[test]
    fn batches_keep_every_event_in_its_place(events in proptest::collection::vec(event(false), 0..4)) {
        let protobuf = CloudEvent::batch_to_protobuf(&events).into();
        prop_assert_eq!(&CloudEvent::batch_from_protobuf(protobuf).unwrap(), &events);
        prop_assert_eq!(&CloudEvent::batch_from_json(&batch(&events)).unwrap(), &events);
    }

    #[test]
    fn headers_keep_everything_but_that_numbers_are_numbers(event in event(true)) {
        let mut headers = HeaderMap::new();
        let body = write(&event, Form::Binary, &mut headers).unwrap();
        prop_assert_eq!(read(&headers, body).unwrap(), vec![event]);
    }

    #[test]
    fn no_bytes_are_too_much_for_a_reader(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = CloudEvent::from_json(&bytes);
        let _ = CloudEvent::batch_from_json(&bytes);
        let _ = CloudEvent::batch_from_protobuf(bytes.clone().into());
        let _ = CloudEvent::from_protobuf(bytes.into());
    }
}

fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
    let pairs =
        pairs.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
    pairs.collect()
}

/// The example of the specification, JSON format 3.2.
fn example() -> Value {
    json!({
        "specversion": "1.0",
        "type": "com.example.someevent",
        "source": "/mycontext",
        "id": "A234-1234-1234",
        "time": "2018-04-05T17:31:00Z",
        "comexampleextension1": "value",
        "comexampleothervalue": 5,
        "unsetextension": null,
        "datacontenttype": "application/vnd.apache.thrift.binary",
        "data_base64": "AAEC"
    })
}

#[test]
fn the_specifications_own_example_is_read() {
    let event = CloudEvent::from_json(example().to_string().as_bytes()).unwrap();
    assert_eq!(event.extensions["comexampleothervalue"], Attribute::Integer(5));
    assert_eq!(event.extensions.len(), 2);
    assert_eq!(event.data.as_ref(), [0, 1, 2]);
    assert_eq!(event.time.unwrap().to_string(), "2018-04-05T17:31:00.000000Z");
}

#[test]
fn data_without_a_media_type_is_json_in_the_json_format() {
    let json = json!({"specversion": "1.0", "type": "t", "source": "/s", "id": "1", "data": {"a": 1}});
    let event = CloudEvent::from_json(json.to_string().as_bytes()).unwrap();
    assert_eq!(
        (event.content_type.as_deref(), event.data.as_ref()),
        (Some("application/json"), &b"{\"a\":1}"[..])
    );
}

#[test]
fn a_binary_message_has_its_attributes_in_headers() {
    let headers = headers(&[
        ("ce-specversion", "1.0"),
        ("ce-id", "1"),
        ("ce-source", "/payments"),
        ("ce-type", "payment.completed"),
        ("ce-subject", "Euro%20%E2%82%AC%20%F0%9F%98%80"),
        ("ce-partitionkey", "order-7"),
        ("content-type", "application/json"),
        ("user-agent", "test"),
    ]);
    let events = read(&headers, Bytes::from_static(b"{}")).unwrap();
    let [event] = events.as_slice() else { panic!("{events:?}") };
    assert_eq!(event.subject.as_deref(), Some("Euro € 😀"));
    assert_eq!(event.extension("partitionkey").as_deref(), Some("order-7"));
    assert_eq!(event.extensions.len(), 1);
    let mut sent = HeaderMap::new();
    write(event, Form::Binary, &mut sent).unwrap();
    assert_eq!(sent["ce-subject"], headers["ce-subject"]);
    assert_eq!(sent[header::CONTENT_TYPE], "application/json");
    let body = write(event, Form::Structured, &mut sent).unwrap();
    assert_eq!(read(&sent, body).unwrap(), events);
}

#[test]
fn a_protobuf_message_as_data_tells_its_type() {
    use crate::proto::cloudevents::v1 as proto;
    use prost::Message as _;
    let any =
        proto::Any { type_url: "https://types.example/shop.Order".to_owned(), value: vec![8, 1].into() };
    let event = proto::CloudEvent {
        id: "1".to_owned(),
        source: "/s".to_owned(),
        spec_version: "1.0".to_owned(),
        r#type: "t".to_owned(),
        attributes: [].into(),
        data: Some(proto::cloud_event::Data::ProtoData(any)),
    };
    let event = CloudEvent::from_protobuf(event.encode_to_vec().into()).unwrap();
    assert_eq!(event.content_type.as_deref(), Some("application/protobuf"));
    assert_eq!(event.schema.as_deref(), Some("https://types.example/shop.Order"));
    assert_eq!(event.data.as_ref(), [8, 1]);
}

#[test]
fn what_is_wrong_is_named() {
    let problem = |name: &str, value: Value| {
        let mut json = example();
        json[name] = value;
        CloudEvent::from_json(json.to_string().as_bytes()).unwrap_err().to_string()
    };
    for (name, value, expected) in [
        (
            "specversion",
            json!("0.3"),
            "specversion: \"0.3\" is not a version that is known here; send \"1.0\"",
        ),
        ("id", json!(null), "id: is missing"),
        ("id", json!(""), "id: must not be empty"),
        ("source", json!("a b"), "source: \"a b\" is not a URI reference (RFC 3986): write ' ' as %XX"),
        ("source", json!("%2"), "source: \"%2\" is not a URI reference (RFC 3986): write '%' as %XX"),
        ("dataschema", json!("order"), "dataschema: \"order\" is not a URI: it has no scheme"),
        ("datacontenttype", json!("json"), "datacontenttype: \"json\" is not a media type"),
        ("subject", json!(""), "subject: must not be empty; leave it out"),
        ("type", json!("a\nb"), "type: has the character '\\n'"),
        ("comExample", json!("x"), "comExample: an attribute's name has lower-case letters and digits only"),
        ("ratio", json!(0.5), "ratio: 0.5 is not an integer of 32 bits; send a text"),
        ("list", json!([]), "list: is no text, integer or boolean, which is what attributes are"),
        ("data", json!("x"), "data: stands beside data_base64; send one"),
        ("data_base64", json!("?"), "data_base64: is not Base64: Invalid symbol 63, offset 0."),
    ] {
        assert_eq!(problem(name, value), expected);
    }
    assert!(problem("time", json!("yesterday")).starts_with("time: \"yesterday\" is not a time"));
    assert!(problem("long", json!("x".repeat(MAX_VALUE_BYTES + 1))).starts_with("long: 2049 bytes"));
    let twice = br#"{"specversion":"1.0","id":"1","id":"2","source":"/s","type":"t"}"#;
    assert_eq!(CloudEvent::from_json(twice).unwrap_err().to_string(), "id: is given twice");
    let second = json!([example(), {"specversion": "1.0"}]).to_string();
    assert_eq!(
        CloudEvent::batch_from_json(second.as_bytes()).unwrap_err().to_string(),
        "[1].source: is missing"
    );
    let not_text = json!({"specversion": "1.0", "type": "t", "source": "/s", "id": "1",
        "datacontenttype": "text/plain", "data": 1});
    let problem = CloudEvent::from_json(not_text.to_string().as_bytes()).unwrap_err();
    assert_eq!(problem.field, "data");
}

#[test]
fn what_is_no_event_over_http_is_refused() {
    let problem =
        |pairs: &[(&'static str, &'static str)]| read(&headers(pairs), Bytes::new()).unwrap_err().field;
    assert_eq!(problem(&[("content-type", "application/json")]), "ce-specversion");
    assert_eq!(problem(&[("content-type", "application/cloudevents+avro")]), "content-type");
    assert_eq!(problem(&[("ce-specversion", "1.0"), ("ce-id", "1"), ("ce-id", "2")]), "ce-id");
    assert_eq!(problem(&[("ce-specversion", "1.0"), ("ce-id", "%ff")]), "ce-id");
    assert_eq!(problem(&[("ce-specversion", "1.0"), ("ce-datacontenttype", "a/b")]), "ce-datacontenttype");
    let many = vec![example(); MAX_BATCH + 1];
    let batched = read(&headers(&[("content-type", JSON_BATCH)]), json!(many).to_string().into());
    assert_eq!(batched.unwrap_err().field, "batch");
}
