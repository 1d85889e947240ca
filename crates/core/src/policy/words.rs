//! Conditions as they are written, in manifests, logs and snapshots alike: a field (with the name of a header or query
//! parameter), an operator and values.

use super::{Cidr, Condition, Field, Test};
use crate::id::InvalidName;
use crate::manifest::PathPattern;
use crate::rate::By;

/// The words for fields.
pub const FIELDS: [&str; 8] =
    ["method", "path", "host", "source", "destination", "client", "header", "query"];

/// The words for operators; `one-of` is another word for `equals`.
pub const OPERATORS: [&str; 10] = [
    "equals",
    "not-equals",
    "one-of",
    "prefix",
    "suffix",
    "contains",
    "matches",
    "exists",
    "absent",
    "in-cidr",
];

/// A condition as it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Words {
    /// One of [`FIELDS`].
    pub field: String,
    /// Of which header or query parameter; for those fields only.
    pub name: Option<String>,
    /// One of [`OPERATORS`].
    pub operator: String,
    /// What it is compared with.
    pub values: Vec<String>,
}

impl Words {
    /// The condition that they state.
    ///
    /// # Errors
    /// [`InvalidName`] says which word is not what it must be.
    pub fn read(&self) -> Result<Condition, InvalidName> {
        let field = self.read_field()?;
        let test = self.read_test(&field)?;
        Ok(Condition { field, test })
    }

    fn read_field(&self) -> Result<Field, InvalidName> {
        let name = self.name.as_deref();
        let named = || name.ok_or_else(|| InvalidName::new("field", &self.field, "needs a `name`"));
        let field = match self.field.as_str() {
            "header" => return Ok(Field::Header(named()?.parse()?)),
            "query" => return Ok(Field::Query(named()?.to_owned())),
            "method" => Field::Method,
            "path" => Field::Path,
            "host" => Field::Host,
            "source" => Field::Source,
            "destination" => Field::Destination,
            "client" => Field::Client,
            _ => return Err(InvalidName::new("field", &self.field, "is not one that is known")),
        };
        if let Some(name) = name {
            return Err(InvalidName::new("name", name, "has no place beside this field"));
        }
        Ok(field)
    }

    fn read_test(&self, field: &Field) -> Result<Test, InvalidName> {
        let operator = |problem| Err(InvalidName::new("operator", &self.operator, problem));
        let bare = matches!(self.operator.as_str(), "exists" | "absent");
        if bare != self.values.is_empty() {
            return operator(if bare { "takes no value" } else { "needs a value" });
        }
        let values = || self.values.clone();
        let test = match self.operator.as_str() {
            "equals" | "one-of" => Test::Equals(values()),
            "not-equals" => Test::NotEquals(values()),
            "prefix" => Test::Prefix(values()),
            "suffix" => Test::Suffix(values()),
            "contains" => Test::Contains(values()),
            "exists" => Test::Exists,
            "absent" => Test::Absent,
            "matches" if *field != Field::Path => return operator("is for the field `path` only"),
            "matches" => Test::Matches(self.each(PathPattern::new)?),
            "in-cidr" if *field != Field::Client => return operator("is for the field `client` only"),
            "in-cidr" => Test::InCidr(self.each(Cidr::new)?),
            _ => return operator("is not one that is known"),
        };
        match (field, &test) {
            (Field::Client, Test::Equals(_) | Test::NotEquals(_)) => self.each(Cidr::new).map(|_| test),
            (Field::Client, Test::Prefix(_) | Test::Suffix(_) | Test::Contains(_)) => {
                operator("does not fit an address; `in-cidr` does")
            }
            _ => Ok(test),
        }
    }

    fn each<T>(&self, read: impl Fn(&str) -> Result<T, InvalidName>) -> Result<Vec<T>, InvalidName> {
        self.values.iter().map(|value| read(value)).collect()
    }
}

impl From<&Condition> for Words {
    fn from(condition: &Condition) -> Self {
        let (field, name) = match &condition.field {
            Field::Method => ("method", None),
            Field::Path => ("path", None),
            Field::Host => ("host", None),
            Field::Source => ("source", None),
            Field::Destination => ("destination", None),
            Field::Client => ("client", None),
            Field::Header(name) => ("header", Some(name.to_string())),
            Field::Query(name) => ("query", Some(name.clone())),
        };
        let (operator, values) = match &condition.test {
            Test::Equals(values) => ("equals", values.clone()),
            Test::NotEquals(values) => ("not-equals", values.clone()),
            Test::Prefix(values) => ("prefix", values.clone()),
            Test::Suffix(values) => ("suffix", values.clone()),
            Test::Contains(values) => ("contains", values.clone()),
            Test::Matches(values) => ("matches", values.iter().map(ToString::to_string).collect()),
            Test::Exists => ("exists", Vec::new()),
            Test::Absent => ("absent", Vec::new()),
            Test::InCidr(values) => ("in-cidr", values.iter().map(ToString::to_string).collect()),
        };
        Self { field: field.into(), name, operator: operator.into(), values }
    }
}

impl By {
    /// Reads the words for what is counted apart: `all`, `source`, `client`, or `header` with its name.
    ///
    /// # Errors
    /// [`InvalidName`] says which word is not what it must be.
    pub fn read(word: &str, header: Option<&str>) -> Result<Self, InvalidName> {
        match (word, header) {
            ("header", Some(name)) => Ok(Self::Header(name.parse()?)),
            ("header", None) => Err(InvalidName::new("by", word, "needs a `header`")),
            (_, Some(name)) => {
                Err(InvalidName::new("header", name, "has no place unless it is `by: header`"))
            }
            ("all", None) => Ok(Self::All),
            ("source", None) => Ok(Self::Source),
            ("client", None) => Ok(Self::Client),
            _ => Err(InvalidName::new("by", word, "must be `all`, `source`, `client` or `header`")),
        }
    }

    /// The words for it.
    pub fn words(&self) -> (&'static str, Option<&str>) {
        match self {
            Self::All => ("all", None),
            Self::Source => ("source", None),
            Self::Client => ("client", None),
            Self::Header(name) => ("header", Some(name.as_str())),
        }
    }
}
