
const RELUCTANT: Retriable<u64, ()> =
    Retriable::new("reluctant", post("mail", "/mails"), post("mail", "/sorry")); //~ E0061 unexpected argument #3
