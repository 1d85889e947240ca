//! The text exposition format of Prometheus, version 0.0.4
//! (<https://prometheus.io/docs/instrumenting/exposition_formats/>).

use crate::metrics::{Descriptor, Family, Reading, Series};
use std::fmt::{self, Write};
use std::time::Duration;

/// The media type of what [`render`] writes.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// All metrics as text, by name and then by label values.
pub fn render(families: &[Family]) -> String {
    let mut text = String::new();
    for family in families {
        // Writing to a string does not fail.
        let _ = write_family(&mut text, family);
    }
    text
}

fn write_family(to: &mut String, family: &Family) -> fmt::Result {
    let Some(first) = family.series.first() else { return Ok(()) };
    let Descriptor { name, help, .. } = family.descriptor;
    writeln!(to, "# HELP {name} {}", Escaped(help, false))?;
    writeln!(to, "# TYPE {name} {}", kind(&first.reading))?;
    family.series.iter().try_for_each(|series| write_series(to, family.descriptor, series))
}

const fn kind(reading: &Reading) -> &'static str {
    match reading {
        Reading::Counter(_) => "counter",
        Reading::Gauge(_) => "gauge",
        Reading::Histogram { .. } => "histogram",
    }
}

fn write_series(to: &mut String, descriptor: &Descriptor, series: &Series) -> fmt::Result {
    let name = descriptor.name;
    let labels = |limit| Labels { names: descriptor.labels, values: &series.labels, limit };
    match &series.reading {
        Reading::Counter(value) => writeln!(to, "{name}{} {value}", labels(None)),
        Reading::Gauge(value) => writeln!(to, "{name}{} {value}", labels(None)),
        Reading::Histogram { bounds, buckets, sum } => {
            let mut count = 0;
            for (index, bucket) in buckets.iter().enumerate() {
                count += bucket;
                writeln!(to, "{name}_bucket{} {count}", labels(Some(Limit(bounds.get(index).copied()))))?;
            }
            writeln!(to, "{name}_sum{} {}", labels(None), Seconds(*sum))?;
            writeln!(to, "{name}_count{} {count}", labels(None))
        }
    }
}

/// `{name="value",…}`, with `le` last if there is a limit; nothing if there are none.
struct Labels<'a> {
    names: &'a [&'a str],
    values: &'a [Box<str>],
    limit: Option<Limit>,
}

/// The upper bound of a bucket; `None` is `+Inf`.
struct Limit(Option<Duration>);

/// A span in seconds, as few digits as say it exactly to the microsecond.
struct Seconds(Duration);

/// A text with `\`, line feeds and (in label values) `"` escaped.
struct Escaped<'a>(&'a str, bool);

impl fmt::Display for Labels<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = '{';
        for (name, value) in self.names.iter().zip(self.values) {
            write!(f, "{separator}{name}=\"{}\"", Escaped(value, true))?;
            separator = ',';
        }
        if let Some(limit) = &self.limit {
            write!(f, "{separator}le=\"{limit}\"")?;
            separator = ',';
        }
        if separator == ',' { f.write_char('}') } else { Ok(()) }
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(bound) => Seconds(bound).fmt(f),
            None => f.write_str("+Inf"),
        }
    }
}

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (seconds, micros) = (self.0.as_secs(), self.0.subsec_micros());
        if micros == 0 {
            return seconds.fmt(f);
        }
        let digits = format!("{micros:06}");
        write!(f, "{seconds}.{}", digits.trim_end_matches('0'))
    }
}

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(text, in_quotes) = self;
        text.chars().try_for_each(|character| match character {
            '\\' => f.write_str("\\\\"),
            '\n' => f.write_str("\\n"),
            '"' if *in_quotes => f.write_str("\\\""),
            other => f.write_char(other),
        })
    }
}

#[cfg(test)]
mod tests;
