//! One spelling for each path (RFC 3986, 6.2.2): escapes of unreserved characters are written out, the others in upper
//! case, and `.` and `..` are resolved. Slashes are left alone, escaped ones included: they mean what they are.

/// A path holds a `%` that is not followed by two hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the path holds a % that is not followed by two hexadecimal digits")]
pub struct MalformedEscape;

/// The path in its one spelling; `None` if it is that already.
///
/// # Errors
/// [`MalformedEscape`].
pub fn normalise(path: &str) -> Result<Option<String>, MalformedEscape> {
    if !path.contains('%') && !path.contains("/.") {
        return Ok(None);
    }
    let spelled = resolve_dots(&unescape(path)?);
    Ok((spelled != path).then_some(spelled))
}

fn unescape(path: &str) -> Result<String, MalformedEscape> {
    let mut spelled = String::with_capacity(path.len());
    let mut rest = path;
    while let Some((before, after)) = rest.split_once('%') {
        spelled.push_str(before);
        let digits = after.get(..2).filter(|it| it.bytes().all(|byte| byte.is_ascii_hexdigit()));
        let digits = digits.ok_or(MalformedEscape)?;
        let byte = u8::from_str_radix(digits, 16).map_err(|_| MalformedEscape)?;
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            spelled.push(char::from(byte));
        } else {
            spelled.push('%');
            spelled.push_str(&digits.to_ascii_uppercase());
        }
        rest = after.get(2..).unwrap_or_default();
    }
    spelled.push_str(rest);
    Ok(spelled)
}

/// RFC 3986, 5.2.4, for a path that begins with a slash.
fn resolve_dots(path: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    let mut segments = path.split('/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        let last = segments.peek().is_none();
        match segment {
            "." => {}
            ".." => drop(kept.pop()),
            other => kept.push(other),
        }
        // What ends in a dot segment is a folder.
        if last && matches!(segment, "." | "..") {
            kept.push("");
        }
    }
    kept.iter().flat_map(|segment| ["/", segment]).collect()
}

#[cfg(test)]
mod tests;
