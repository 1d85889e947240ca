
const FORGETFUL: Compensatable<u64, ()> =
    Compensatable::new("forgetful", post("till", "/put")); //~ E0061 argument #3
