//! What a scalar means: the core schema of YAML 1.2 (yaml.org/spec/1.2.2, 10.3.2). `yes`, `no`, `on` and
//! `off` are text there.

/// A scalar as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Scalar {
    /// The text, without quotes.
    pub(crate) text: String,
    /// Whether it stood without quotes, so that it may mean something other than text.
    pub(crate) plain: bool,
}

/// What a scalar means.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Meaning<'a> {
    Null,
    Boolean(bool),
    Integer(i128),
    /// A number that is not whole or too large to count; may be infinite or not a number.
    Float(f64),
    Text(&'a str),
}

impl Scalar {
    pub(crate) fn meaning(&self) -> Meaning<'_> {
        if !self.plain {
            return Meaning::Text(&self.text);
        }
        match self.text.as_str() {
            "" | "~" | "null" | "Null" | "NULL" => Meaning::Null,
            "true" | "True" | "TRUE" => Meaning::Boolean(true),
            "false" | "False" | "FALSE" => Meaning::Boolean(false),
            text => number(text).unwrap_or(Meaning::Text(text)),
        }
    }
}

fn number(text: &str) -> Option<Meaning<'_>> {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    let sign = if text.starts_with('-') { -1.0 } else { 1.0 };
    if matches!(unsigned, ".inf" | ".Inf" | ".INF") {
        return Some(Meaning::Float(sign * f64::INFINITY));
    }
    if matches!(text, ".nan" | ".NaN" | ".NAN") {
        return Some(Meaning::Float(f64::NAN));
    }
    if let Some(meaning) = based(text, "0x", 16).or_else(|| based(text, "0o", 8)) {
        return Some(meaning);
    }
    if !is_decimal(unsigned) {
        return None;
    }
    let whole = unsigned.bytes().all(|byte| byte.is_ascii_digit());
    match text.parse() {
        Ok(integer) if whole => Some(Meaning::Integer(integer)),
        _ => text.parse().ok().map(Meaning::Float),
    }
}

fn based<'a>(text: &str, prefix: &str, radix: u32) -> Option<Meaning<'a>> {
    let digits = text.strip_prefix(prefix)?;
    let valid = !digits.is_empty() && digits.chars().all(|digit| digit.is_digit(radix));
    if !valid {
        return None;
    }
    i128::from_str_radix(digits, radix).ok().map(Meaning::Integer)
}

/// `12`, `1.5`, `.5`, `1.`, each with an exponent or not.
fn is_decimal(text: &str) -> bool {
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        None => (text, None),
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
    };
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let exponent_fits = exponent.is_none_or(|exponent| {
        let unsigned = exponent.strip_prefix(['-', '+']).unwrap_or(exponent);
        !unsigned.is_empty() && digits(unsigned)
    });
    digits(whole) && digits(fraction) && !(whole.is_empty() && fraction.is_empty()) && exponent_fits
}
