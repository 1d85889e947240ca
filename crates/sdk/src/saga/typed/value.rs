//! Values that a saga will have, written down as expressions.

use std::cell::RefCell;
use std::fmt;
use std::marker::PhantomData;
use tenon_core::saga::{Expr, InputOf, StepSet};

/// A value that a saga will have when it runs: its input, an output, or what is made of them. Using one is depending on the
/// steps that it comes from.
///
/// `'s` is the saga that it belongs to; in another one it is of another type.
pub struct Value<'s, T> {
    made: usize,
    of: PhantomData<(Brand<'s>, fn() -> T)>,
}

/// Whatever type a value has; see [`Value::any`].
#[derive(Debug, Clone, Copy)]
pub enum Any {}

/// Neither longer nor shorter will do, so that each saga's is its own.
pub(super) type Brand<'s> = PhantomData<fn(&'s ()) -> &'s ()>;

/// A type of inputs and outputs: how it looks while a saga is written down.
///
/// [`record!`](crate::saga::record) makes a type whose fields are known one by one; [`plain!`](crate::saga::plain) says of
/// one that it is known as a whole, as numbers, texts and lists are.
pub trait Shape: Sized {
    /// What stands for it in a saga: a struct with a [`Value`] for each field, or a [`Value`].
    type Of<'s>;
    /// The names of its fields.
    const FIELDS: &'static [&'static str];

    /// Takes a value apart.
    fn open<'s>(whole: Value<'s, Self>, expressions: &Expressions) -> Self::Of<'s>;

    /// What is sent if this is the input.
    fn sent(of: Self::Of<'_>) -> Sent;
}

/// What is sent: numbers of expressions.
#[derive(Debug)]
pub enum Sent {
    /// One value.
    Whole(Slot),
    /// An object.
    Fields(Vec<(&'static str, Slot)>),
}

/// Where an expression is.
#[derive(Debug, Clone, Copy)]
pub struct Slot(usize);

/// The expressions of a saga that is being written down.
#[derive(Debug, Default)]
pub struct Expressions {
    made: RefCell<Vec<Made>>,
}

#[derive(Debug, Clone)]
struct Made {
    text: String,
    steps: StepSet,
    /// Whether something may follow it as it is.
    closed: bool,
}

impl<'s, T> Value<'s, T> {
    /// The same where any type will do.
    pub fn any(self) -> Value<'s, Any> {
        self.as_any()
    }

    /// The same where there may be none.
    pub fn some(self) -> Value<'s, Option<T>> {
        self.as_any()
    }

    /// Where it is.
    pub fn slot(self) -> Slot {
        Slot(self.made)
    }

    fn as_any<U>(self) -> Value<'s, U> {
        Value { made: self.made, of: PhantomData }
    }
}

impl Expressions {
    /// A field of a value.
    pub fn field<'s, T, F>(&self, of: Value<'s, T>, name: &'static str) -> Value<'s, F> {
        let Made { text, steps, closed } = self.get(of.slot());
        let of = if closed { text } else { format!("({text})") };
        self.add(format!("{of}{}", select(name)), steps, true)
    }

    pub(super) fn closed<'s, T>(&self, text: String, steps: StepSet) -> Value<'s, T> {
        self.add(text, steps, true)
    }

    /// An expression in which `$1` to `$9` stand for others; nothing if there is none of some number.
    pub(super) fn template<'s, T>(&self, text: &str, values: &[Value<'s, Any>]) -> Option<Value<'s, T>> {
        let mut parts = text.split('$');
        let mut made = parts.next().unwrap_or_default().to_owned();
        let mut steps = StepSet::NONE;
        for part in parts {
            let number = part.bytes().next().filter(u8::is_ascii_digit)?;
            let value = values.get(usize::from(number - b'0').checked_sub(1)?)?;
            let Made { text, steps: of, closed } = self.get(value.slot());
            made.push_str(&if closed { text } else { format!("({text})") });
            made.push_str(part.get(1..).unwrap_or_default());
            steps = steps.and(of);
        }
        Some(self.add(made, steps, false))
    }

    /// The steps that a value comes from.
    pub(super) fn steps(&self, of: Slot) -> StepSet {
        self.get(of).steps
    }

    pub(super) fn text(&self, of: Slot) -> String {
        self.get(of).text
    }

    /// What is sent, and the steps that it comes from; nothing if an expression is too long.
    pub(super) fn input(&self, sent: &Sent) -> Option<(InputOf, StepSet)> {
        match sent {
            Sent::Whole(slot) => Some((InputOf::Whole(self.expr(*slot)?), self.steps(*slot))),
            Sent::Fields(fields) => {
                let steps = fields.iter().map(|(_, slot)| self.steps(*slot));
                let steps = steps.fold(StepSet::NONE, StepSet::and);
                let fields = fields.iter().map(|(name, slot)| Some((plain_name(name), self.expr(*slot)?)));
                Some((InputOf::Fields(fields.collect::<Option<_>>()?), steps))
            }
        }
    }

    /// What is sent, as one expression.
    pub(super) fn whole(&self, sent: &Sent) -> String {
        match sent {
            Sent::Whole(slot) => self.text(*slot),
            Sent::Fields(fields) => {
                let field = |(name, slot): &(&str, Slot)| {
                    format!("{}: {}", quoted(&plain_name(name)), self.text(*slot))
                };
                format!("{{{}}}", fields.iter().map(field).collect::<Vec<_>>().join(", "))
            }
        }
    }

    fn expr(&self, slot: Slot) -> Option<Expr> {
        Expr::new(&self.text(slot)).ok()
    }

    fn get(&self, slot: Slot) -> Made {
        let nothing = || Made { text: "null".to_owned(), steps: StepSet::NONE, closed: true };
        self.made.borrow().get(slot.0).cloned().unwrap_or_else(nothing)
    }

    fn add<'s, T>(&self, text: String, steps: StepSet, closed: bool) -> Value<'s, T> {
        let mut all = self.made.borrow_mut();
        all.push(Made { text, steps, closed });
        Value { made: all.len() - 1, of: PhantomData }
    }
}

/// Words of CEL, which cannot stand behind a dot everywhere.
const WORDS: [&str; 21] = [
    "as",
    "break",
    "const",
    "continue",
    "else",
    "false",
    "for",
    "function",
    "if",
    "import",
    "in",
    "let",
    "loop",
    "namespace",
    "null",
    "package",
    "return",
    "true",
    "var",
    "void",
    "while",
];

/// What selects a field.
pub(super) fn select(name: &str) -> String {
    let name = plain_name(name);
    if WORDS.contains(&name.as_str()) { format!("[{}]", quoted(&name)) } else { format!(".{name}") }
}

/// As serde has it: without the mark of a raw identifier.
pub(super) fn plain_name(name: &str) -> String {
    name.strip_prefix("r#").unwrap_or(name).to_owned()
}

/// A JSON value as it is written in CEL.
pub(super) fn literal(value: &serde_json::Value) -> String {
    use serde_json::Value as Json;
    match value {
        Json::Null | Json::Bool(_) => value.to_string(),
        // The least number has no positive counterpart that could be negated.
        Json::Number(number) if number.as_i64() == Some(i64::MIN) => "(-9223372036854775807 - 1)".to_owned(),
        Json::Number(number) if number.as_i64().is_none() && number.is_u64() => format!("{number}u"),
        Json::Number(number) => number.to_string(),
        Json::String(text) => quoted(text),
        Json::Array(items) => format!("[{}]", items.iter().map(literal).collect::<Vec<_>>().join(", ")),
        Json::Object(fields) => {
            let field = |(name, value): (&String, &Json)| format!("{}: {}", quoted(name), literal(value));
            format!("{{{}}}", fields.iter().map(field).collect::<Vec<_>>().join(", "))
        }
    }
}

/// JSON's escapes are CEL's too.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

impl<T> Copy for Value<'_, T> {}

impl<T> Clone for Value<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> fmt::Debug for Value<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Value").field(&self.made).finish()
    }
}

/// Makes types whose fields a saga can use one by one.
///
/// For each it makes the struct itself, which is serialised by serde as it stands, and under the second name what stands
/// for it while a saga is written down: the same fields, each a [`Value`](crate::saga::Value).
///
/// ```
/// tenon_sdk::saga::record! {
///     /// What a payment needs.
///     pub struct Payment as PaymentOf {
///         /// For what.
///         pub order: String,
///         /// How much.
///         pub amount: u64,
///     }
/// }
///
/// assert_eq!(serde_json::to_string(&Payment { order: "a".to_owned(), amount: 5 })?, r#"{"order":"a","amount":5}"#);
/// # Ok::<(), serde_json::Error>(())
/// ```
///
/// Every field has to be there when it is used: a service in another language sends null rather than nothing.
#[doc(hidden)]
#[macro_export]
macro_rules! __saga_record {
    ($(
        $(#[doc = $doc:expr])*
        $(#[derive($($derive:path),* $(,)?)])?
        $vis:vis struct $name:ident as $of:ident {
            $($(#[doc = $field_doc:expr])* $field_vis:vis $field:ident: $type:ty),+ $(,)?
        }
    )*) => {$(
        $(#[doc = $doc])*
        #[derive(Debug, Clone, PartialEq, $crate::saga::serde::Serialize, $crate::saga::serde::Deserialize)]
        $(#[derive($($derive),*)])?
        #[serde(crate = "tenon_sdk::saga::serde")]
        $vis struct $name {
            $($(#[doc = $field_doc])* $field_vis $field: $type,)*
        }

        #[doc = concat!("What stands for a [`", stringify!($name), "`] while a saga is written down.")]
        #[derive(Debug, Clone, Copy)]
        $vis struct $of<'s> {
            $($(#[doc = $field_doc])* $field_vis $field: $crate::saga::Value<'s, $type>,)*
        }

        impl $crate::saga::Shape for $name {
            type Of<'s> = $of<'s>;
            const FIELDS: &'static [&'static str] = &[$(stringify!($field)),*];

            fn open<'s>(
                whole: $crate::saga::Value<'s, Self>,
                expressions: &$crate::saga::Expressions,
            ) -> $of<'s> {
                $of { $($field: expressions.field(whole, stringify!($field)),)* }
            }

            fn sent(of: $of<'_>) -> $crate::saga::Sent {
                $crate::saga::Sent::Fields(vec![$((stringify!($field), of.$field.slot())),*])
            }
        }
    )*};
}

/// Says of types that a saga knows their values as a whole.
///
/// ```
/// #[derive(serde::Serialize, serde::Deserialize)]
/// enum Colour { Red, Green }
///
/// tenon_sdk::saga::plain!(Colour);
/// ```
#[doc(hidden)]
#[macro_export]
macro_rules! __saga_plain {
    (@of [$($of:ident),*] $type:ty) => {
        impl<$($of),*> $crate::saga::Shape for $type {
            type Of<'s> = $crate::saga::Value<'s, Self>;
            const FIELDS: &'static [&'static str] = &[];

            fn open<'s>(
                whole: $crate::saga::Value<'s, Self>,
                _: &$crate::saga::Expressions,
            ) -> $crate::saga::Value<'s, Self> {
                whole
            }

            fn sent(of: $crate::saga::Value<'_, Self>) -> $crate::saga::Sent {
                $crate::saga::Sent::Whole(of.slot())
            }
        }
    };
    ($($type:ty),* $(,)?) => {$($crate::__saga_plain!(@of [] $type);)*};
}

__saga_plain!((), bool, i8, i16, i32, i64, u8, u16, u32, u64, f32, f64, String, serde_json::Value);
__saga_plain!(@of [T] Vec<T>);
__saga_plain!(@of [T] Option<T>);

#[cfg(test)]
mod tests;
