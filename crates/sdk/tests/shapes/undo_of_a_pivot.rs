
const RELUCTANT: Pivot<u64, ()> =
    Pivot::new("reluctant", post("bank", "/pay"), post("bank", "/refund")); //~ E0061 unexpected argument #3
