//! Which bytes may stand where (RFC 9110, 5.6.2; RFC 3986).

/// Of a token: methods and field names.
pub(super) const TOKEN: u8 = 1;
/// Of a path, up to the question mark, or an absolute URI.
pub(super) const PATH: u8 = 2;
/// Of a query.
pub(super) const QUERY: u8 = 4;
/// Of a host with its port.
pub(super) const HOST: u8 = 8;

const CLASSES: [u8; 256] = classes();

const fn classes() -> [u8; 256] {
    let mut table = [0; 256];
    let mut byte: u8 = 0x21;
    while byte < 0x7f {
        let alphanumeric = byte.is_ascii_alphanumeric();
        let mut class = 0;
        if alphanumeric
            || matches!(
                byte,
                b'!' | b'#'
                    | b'$'
                    | b'%'
                    | b'&'
                    | b'\''
                    | b'*'
                    | b'+'
                    | b'-'
                    | b'.'
                    | b'^'
                    | b'_'
                    | b'`'
                    | b'|'
                    | b'~'
            )
        {
            class |= TOKEN;
        }
        // As lenient as browsers need it, but never a fragment and nothing that markup or quoting could be cut by.
        if !matches!(byte, b'#' | b'<' | b'>' | b'?' | b'`') {
            class |= PATH;
        }
        if !matches!(byte, b'#' | b'<' | b'>' | b'"') {
            class |= QUERY;
        }
        if alphanumeric || matches!(byte, b'!' | b'$'..=b'.' | b':' | b';' | b'=' | b'[' | b']' | b'_' | b'~')
        {
            class |= HOST;
        }
        // In bounds: a byte is less than 256.
        table[byte as usize] = class;
        byte += 1;
    }
    table
}

/// Whether all bytes are of a class.
pub(super) fn all_are(class: u8, bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| CLASSES.get(usize::from(*byte)).is_some_and(|it| it & class != 0))
}

/// Whether a byte is none that a field's value may hold: a control character other than the tab.
pub(super) fn is_control(byte: u8) -> bool {
    (byte < 0x20 && byte != b'\t') || byte == 0x7f
}

/// Whether there is a control character other than the tab, eight bytes at a time.
pub(super) fn has_control(bytes: &[u8]) -> bool {
    let (words, rest) = bytes.as_chunks::<8>();
    words
        .iter()
        .any(|word| may_hold_control(u64::from_le_bytes(*word)) && word.iter().any(|it| is_control(*it)))
        || rest.iter().any(|byte| is_control(*byte))
}

/// Whether one of eight bytes is below 0x20 or is 0x7f. May err on the safe side.
fn may_hold_control(word: u64) -> bool {
    const ONES: u64 = u64::MAX / 255;
    const HIGH: u64 = ONES << 7;
    let below_space = word.wrapping_sub(ONES * 0x20) & !word;
    let delete = word ^ (ONES * 0x7f);
    let is_delete = delete.wrapping_sub(ONES) & !delete;
    (below_space | is_delete) & HIGH != 0
}
