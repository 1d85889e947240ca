//! Conditions on a call, and what is known of it.

use super::Cidr;
use crate::id::ServiceRef;
use crate::manifest::PathPattern;
use crate::route::{self, HeaderName};
use std::net::IpAddr;

/// Something that holds for a call or does not.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Condition {
    /// What is looked at.
    pub field: Field,
    /// What must be so.
    pub test: Test,
}

/// What a condition looks at.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Field {
    /// The method.
    Method,
    /// The path, in its one spelling.
    Path,
    /// The host that the caller named, without a port, in lower case.
    Host,
    /// The service that calls, `service[.namespace]`; `@gateway` for calls from outside.
    Source,
    /// The service that is called, `service[.namespace]`.
    Destination,
    /// The address that the call comes from, as this hop sees it.
    Client,
    /// The values of a header. Every one of several is looked at.
    Header(HeaderName),
    /// The values of a query parameter, decoded. Every one of several is looked at.
    Query(String),
}

/// What must be so. Of several values it is enough that one fits; where a field has several, that one of them does.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Test {
    /// It is one of these.
    Equals(Vec<String>),
    /// It is none of these.
    NotEquals(Vec<String>),
    /// It begins with one of these. A path begins with whole segments: `/a` with `/a` and `/a/b`, not `/ab`.
    Prefix(Vec<String>),
    /// It ends with one of these.
    Suffix(Vec<String>),
    /// It holds one of these.
    Contains(Vec<String>),
    /// A path is of one of these forms.
    Matches(Vec<PathPattern>),
    /// It is there.
    Exists,
    /// It is not there.
    Absent,
    /// An address lies in one of these ranges.
    InCidr(Vec<Cidr>),
}

/// What is known of a call.
#[derive(Debug)]
pub struct Facts<'a, H: ?Sized> {
    /// Who calls.
    pub source: Source<'a>,
    /// Who is called.
    pub destination: &'a ServiceRef,
    /// Where it comes from.
    pub client: IpAddr,
    /// What it says; `None` for bytes that are carried as they are.
    pub http: Option<Http<'a, H>>,
}

/// Who calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source<'a> {
    /// A service that has shown who it is.
    Service(&'a ServiceRef),
    /// Somebody outside, through the gateway.
    Gateway,
    /// Nobody has shown anything.
    Unknown,
}

/// The head of a request.
#[derive(Debug)]
pub struct Http<'a, H: ?Sized> {
    /// Its method.
    pub method: &'a str,
    /// Its path in its one spelling, without the query.
    pub path: &'a str,
    /// Its query, without the `?`, as it was sent.
    pub query: Option<&'a str>,
    /// The host that it names, without a port.
    pub host: &'a str,
    /// Its headers.
    pub headers: &'a H,
}

/// The headers of a request.
pub trait Fields {
    /// Whether some value of the header with this name, which is in lower case, passes.
    fn any(&self, name: &str, test: &mut dyn FnMut(&[u8]) -> bool) -> bool;
}

/// How calls from outside are named as a source.
pub(crate) const GATEWAY: &str = "@gateway";

impl Condition {
    /// Whether it holds; `None` if what it looks at is not known.
    pub fn holds<H: Fields + ?Sized>(&self, facts: &Facts<'_, H>) -> Option<bool> {
        match &self.test {
            Test::Absent => Some(!self.any(facts, &Test::Exists)?),
            // Negated as a whole, so that it holds only if no value of several is one of these.
            Test::NotEquals(values) => Some(!self.any_of(facts, values)?),
            test => self.any(facts, test),
        }
    }

    fn any_of<H: Fields + ?Sized>(&self, facts: &Facts<'_, H>, values: &[String]) -> Option<bool> {
        self.any_value(
            facts,
            |value| values.iter().any(|own| value.clone().eq(own.bytes())),
            |name| values.iter().any(|own| name.is(own)),
        )
    }

    fn any<H: Fields + ?Sized>(&self, facts: &Facts<'_, H>, test: &Test) -> Option<bool> {
        match test {
            Test::Equals(values) => self.any_of(facts, values),
            Test::Prefix(values) if self.field == Field::Path => {
                let path = facts.http.as_ref()?.path;
                Some(values.iter().any(|own| has_segments(path, own)))
            }
            Test::Prefix(values) => self.any_bytes(facts, values, begins),
            Test::Suffix(values) => self.any_bytes(facts, values, ends),
            Test::Contains(values) => self.any_bytes(facts, values, holds),
            Test::Matches(patterns) => {
                let path = facts.http.as_ref()?.path;
                Some(self.field == Field::Path && patterns.iter().any(|own| own.matches(path)))
            }
            Test::InCidr(ranges) => {
                let inside = ranges.iter().any(|own| own.contains(facts.client));
                Some(self.field == Field::Client && inside)
            }
            Test::Exists => self.any_value(facts, |_| true, |_| true),
            // Those negate what stands above.
            Test::NotEquals(_) | Test::Absent => Some(false),
        }
    }

    fn any_bytes<H: Fields + ?Sized>(
        &self,
        facts: &Facts<'_, H>,
        values: &[String],
        test: fn(&mut dyn Bytes, &str) -> bool,
    ) -> Option<bool> {
        self.any_value(
            facts,
            |value| values.iter().any(|own| test(&mut value.clone(), own)),
            |name| match name {
                Name::Service(service) => {
                    values.iter().any(|own| test(&mut service.name.as_str().bytes(), own))
                }
                Name::Gateway => values.iter().any(|own| test(&mut GATEWAY.bytes(), own)),
                Name::Address(_) => false,
            },
        )
    }

    /// Whether one of the field's values passes: texts by `text`, names and addresses by `name`.
    fn any_value<H: Fields + ?Sized>(
        &self,
        facts: &Facts<'_, H>,
        text: impl Fn(Text<'_>) -> bool,
        name: impl Fn(Name<'_>) -> bool,
    ) -> Option<bool> {
        let http = facts.http.as_ref();
        match &self.field {
            Field::Method => http.map(|it| text(Text::plain(it.method.as_bytes()))),
            Field::Path => http.map(|it| text(Text::plain(it.path.as_bytes()))),
            Field::Host => http.map(|it| text(Text { lower: true, ..Text::plain(it.host.as_bytes()) })),
            Field::Header(own) => {
                http.map(|it| it.headers.any(own.as_str(), &mut |value| text(Text::plain(value))))
            }
            Field::Query(own) => http.map(|it| {
                let pairs = it.query.into_iter().flat_map(|query| query.split('&'));
                pairs
                    .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
                    .filter(|(key, _)| Text::encoded(key).eq(own.bytes()))
                    .any(|(_, value)| text(Text::encoded(value)))
            }),
            Field::Source => match facts.source {
                Source::Service(service) => Some(name(Name::Service(service))),
                Source::Gateway => Some(name(Name::Gateway)),
                Source::Unknown => None,
            },
            Field::Destination => Some(name(Name::Service(facts.destination))),
            Field::Client => Some(name(Name::Address(facts.client))),
        }
    }
}

/// A value that is not text.
#[derive(Debug, Clone, Copy)]
enum Name<'a> {
    Service(&'a ServiceRef),
    Gateway,
    Address(IpAddr),
}

impl Name<'_> {
    fn is(self, text: &str) -> bool {
        match self {
            Self::Gateway => text == GATEWAY,
            Self::Address(address) => text.parse::<Cidr>().is_ok_and(|own| own.contains(address)),
            Self::Service(service) => {
                let (name, namespace) = text.split_once('.').unwrap_or((text, "default"));
                service.name.as_str() == name && service.namespace.as_str() == namespace
            }
        }
    }
}

/// The bytes of a value, as they are compared.
#[derive(Debug, Clone)]
struct Text<'a> {
    rest: &'a [u8],
    encoded: bool,
    lower: bool,
}

impl<'a> Text<'a> {
    const fn plain(text: &'a [u8]) -> Self {
        Self { rest: text, encoded: false, lower: false }
    }

    const fn encoded(text: &'a str) -> Self {
        Self { rest: text.as_bytes(), encoded: true, lower: false }
    }
}

impl Iterator for Text<'_> {
    type Item = u8;

    fn next(&mut self) -> Option<u8> {
        let (byte, rest) = if self.encoded {
            route::decode_first(self.rest)?
        } else {
            self.rest.split_first().map(|(byte, rest)| (*byte, rest))?
        };
        self.rest = rest;
        Some(if self.lower { byte.to_ascii_lowercase() } else { byte })
    }
}

/// What can be looked through from any of its bytes on.
trait Bytes: Iterator<Item = u8> {
    fn is_followed_by(&self, text: &str) -> bool;
    fn is_followed_only_by(&self, text: &str) -> bool;
}

impl<I: Iterator<Item = u8> + Clone> Bytes for I {
    fn is_followed_by(&self, text: &str) -> bool {
        let mut rest = self.clone();
        text.bytes().all(|byte| rest.next() == Some(byte))
    }

    fn is_followed_only_by(&self, text: &str) -> bool {
        self.clone().eq(text.bytes())
    }
}

fn begins(value: &mut dyn Bytes, text: &str) -> bool {
    value.is_followed_by(text)
}

fn ends(value: &mut dyn Bytes, text: &str) -> bool {
    loop {
        if value.is_followed_only_by(text) {
            return true;
        }
        if value.next().is_none() {
            return false;
        }
    }
}

fn holds(value: &mut dyn Bytes, text: &str) -> bool {
    loop {
        if value.is_followed_by(text) {
            return true;
        }
        if value.next().is_none() {
            return false;
        }
    }
}

/// Whether a path begins with these segments.
fn has_segments(path: &str, prefix: &str) -> bool {
    let prefix = prefix.strip_suffix('/').unwrap_or(prefix);
    path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}
