//! W3C trace context (<https://www.w3.org/TR/trace-context-2/>): what of it is believed, to the letter.
//!
//! A `traceparent` that is malformed in any way, or given twice, is none: the trace is begun anew and its `tracestate`
//! goes. A `tracestate` that is malformed goes alone.

/// The flags that are known: sampled, and that the trace id is random.
const KNOWN_FLAGS: u8 = 0b11;
/// How many bytes version 00 has.
const LENGTH: usize = 55;
/// The most members of a `tracestate`.
const MEMBERS: usize = 32;

/// What is handed on of a `traceparent`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Parent {
    /// The trace, not 0.
    pub trace: u128,
    /// The caller's span, not 0.
    pub span: u64,
    /// Flags that are known.
    pub flags: u8,
}

impl Parent {
    /// Reads version 00, and of later versions what version 00 has.
    pub fn parse(text: &[u8]) -> Option<Self> {
        let (known, rest) = text.split_at_checked(LENGTH)?;
        let (version, known) = field(known, 2)?;
        let (trace, known) = field(known, 32)?;
        let (span, flags) = field(known, 16)?;
        let flags = hex(flags)?;
        let version_fits = match version {
            0 => rest.is_empty(),
            0xff => false,
            _ => rest.first().is_none_or(|next| *next == b'-'),
        };
        if !version_fits || trace == 0 || span == 0 {
            return None;
        }
        Some(Self { trace, span: u64::try_from(span).ok()?, flags: u8::try_from(flags).ok()? & KNOWN_FLAGS })
    }

    /// Whether the caller records the trace.
    pub fn is_sampled(self) -> bool {
        self.flags & 1 != 0
    }

    /// As version 00 has it.
    pub fn to_bytes(self) -> [u8; LENGTH] {
        let mut text = *b"00-00000000000000000000000000000000-0000000000000000-00";
        for (digits, value) in
            [(3..35, self.trace), (36..52, u128::from(self.span)), (53..55, u128::from(self.flags))]
        {
            let mut left = value;
            for digit in text.get_mut(digits).unwrap_or_default().iter_mut().rev() {
                *digit = b"0123456789abcdef".get((left & 0xf) as usize).copied().unwrap_or_default();
                left >>= 4;
            }
        }
        text
    }
}

/// Whether the values of all `tracestate` fields together are a list as it must be. An empty one is.
pub fn is_state<'a>(values: impl IntoIterator<Item = &'a [u8]>) -> bool {
    let mut members = 0;
    values.into_iter().flat_map(|value| value.split(|byte| *byte == b',')).map(trim).all(|member| {
        members += usize::from(!member.is_empty());
        members <= MEMBERS && (member.is_empty() || is_member(member))
    })
}

fn is_member(member: &[u8]) -> bool {
    let Some(place) = member.iter().position(|byte| *byte == b'=') else { return false };
    let (key, value) = (member.get(..place).unwrap_or_default(), member.get(place + 1..).unwrap_or_default());
    is_key(key) && is_value(value)
}

fn is_key(key: &[u8]) -> bool {
    match key.iter().position(|byte| *byte == b'@') {
        None => is_name(key, 256, u8::is_ascii_lowercase),
        Some(place) => {
            let (tenant, system) =
                (key.get(..place).unwrap_or_default(), key.get(place + 1..).unwrap_or_default());
            is_name(tenant, 241, |byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
                && is_name(system, 14, u8::is_ascii_lowercase)
        }
    }
}

fn is_name(name: &[u8], most: usize, begins: impl Fn(&u8) -> bool) -> bool {
    let may = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-*/".contains(byte);
    name.first().is_some_and(begins) && name.len() <= most && name.iter().all(may)
}

/// Spaces at its end do not belong to it, so only those within are seen here.
fn is_value(value: &[u8]) -> bool {
    let may = |byte: &u8| matches!(byte, 0x20..=0x7e) && *byte != b'=';
    (1..=256).contains(&value.len()) && value.iter().all(may)
}

/// So many hexadecimal digits before a dash, and what follows it.
fn field(text: &[u8], digits: usize) -> Option<(u128, &[u8])> {
    let (value, rest) = text.split_at_checked(digits)?;
    Some((hex(value)?, rest.strip_prefix(b"-")?))
}

/// Hexadecimal digits in lower case.
fn hex(digits: &[u8]) -> Option<u128> {
    digits.iter().try_fold(0, |number: u128, digit| {
        let value = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            _ => return None,
        };
        Some(number << 4 | u128::from(value))
    })
}

fn trim(mut text: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = text {
        text = rest;
    }
    text
}

#[cfg(test)]
mod tests;
