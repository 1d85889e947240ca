//! Durations and quantities as text.

use std::time::Duration;

/// A duration in the Gateway API's form (GEP-2257): one to four numbers of at most five digits, each with a
/// unit `h`, `m`, `s` or `ms`.
pub fn duration(text: &str) -> Option<Duration> {
    let mut rest = text;
    let mut total = Duration::ZERO;
    for _ in 0..4 {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (number, after) =
            rest.split_at_checked(digits).filter(|(number, _)| (1..=5).contains(&number.len()))?;
        let (unit, after) = unit(after)?;
        total += unit * number.parse::<u32>().ok()?;
        rest = after;
        if rest.is_empty() {
            return Some(total);
        }
    }
    None
}

/// GEP-2257's form as a regular expression.
pub(crate) const DURATION_PATTERN: &str = "^([0-9]{1,5}(h|m|s|ms)){1,4}$";

fn unit(text: &str) -> Option<(Duration, &str)> {
    const UNITS: [(&str, Duration); 4] = [
        ("ms", Duration::from_millis(1)),
        ("h", Duration::from_secs(3_600)),
        ("m", Duration::from_secs(60)),
        ("s", Duration::from_secs(1)),
    ];
    UNITS.iter().find_map(|(name, unit)| Some((*unit, text.strip_prefix(name)?)))
}

/// A duration of whole milliseconds as one writes it: `1m30s`.
pub fn shortest(duration: Duration) -> String {
    let millis = duration.as_millis();
    let parts = [
        (millis / 3_600_000, "h"),
        (millis / 60_000 % 60, "m"),
        (millis / 1_000 % 60, "s"),
        (millis % 1_000, "ms"),
    ];
    let text: String = parts
        .iter()
        .filter(|(number, _)| *number > 0)
        .map(|(number, unit)| format!("{number}{unit}"))
        .collect();
    if text.is_empty() { "0s".to_owned() } else { text }
}

/// Thousandths of a core: `0.5`, `2` or `250m` (as Kubernetes has it).
pub(crate) fn cpu_millis(text: &str) -> Option<u64> {
    match text.strip_suffix('m') {
        Some(millis) => whole(millis),
        None => decimal(text, 1_000),
    }
}

/// Bytes: a whole number, or one with a unit `Ki`, `Mi`, `Gi`, `Ti`, `k`, `M`, `G` or `T` (as Kubernetes has
/// it).
pub fn memory_bytes(text: &str) -> Option<u64> {
    const UNITS: [(&str, u64); 8] = [
        ("Ki", 1 << 10),
        ("Mi", 1 << 20),
        ("Gi", 1 << 30),
        ("Ti", 1 << 40),
        ("k", 1_000),
        ("M", 1_000_000),
        ("G", 1_000_000_000),
        ("T", 1_000_000_000_000),
    ];
    match UNITS.iter().find_map(|(name, unit)| Some((text.strip_suffix(name)?, *unit))) {
        Some((number, unit)) => decimal(number, unit),
        None => whole(text),
    }
}

fn whole(text: &str) -> Option<u64> {
    let digits = (1..=18).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    if digits { text.parse().ok() } else { None }
}

/// A number with at most three decimals, times a factor; rounded down.
fn decimal(text: &str, factor: u64) -> Option<u64> {
    let (before, after) = text.split_once('.').unwrap_or((text, "0"));
    if text.is_empty() || after.len() > 3 {
        return None;
    }
    let thousandths = whole(after)? * 10_u64.pow(3 - u32::try_from(after.len()).ok()?);
    let factor = u128::from(factor);
    let before = if before.is_empty() { "0" } else { before };
    let total = u128::from(whole(before)?) * factor + u128::from(thousandths) * factor / 1_000;
    u64::try_from(total).ok()
}
