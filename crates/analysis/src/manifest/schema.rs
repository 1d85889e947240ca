//! The JSON Schema (2020-12) of manifests, for editors; made from the tables of the format.
//!
//! It is as strict as JSON Schema can be: what it refuses, the reader refuses too. The reader also knows what
//! no schema can say, such as ranges of durations and references between services.

use super::format::{
    DURATION_PATTERN, Field, Presence, Quantity, Record, Rule, SYSTEM, Shape, TextForm, records,
};
use serde_json::{Map, Value, json};

/// The schema, as `tenon schema` prints it.
pub fn schema() -> Value {
    let definitions: Map<String, Value> = records()
        .into_iter()
        .filter(|record| record.anchor != SYSTEM.anchor)
        .map(|record| (record.anchor.to_owned(), of_record(record)))
        .collect();
    let mut schema = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "urn:tenon:schema:manifest:v1",
        "$defs": definitions,
    });
    merge(&mut schema, of_record(&SYSTEM));
    merge(&mut schema, json!({"title": "tenon.yaml"}));
    schema
}

fn of_record(record: &Record) -> Value {
    let properties: Map<String, Value> =
        record.fields.iter().map(|field| (field.key.to_owned(), of_field(field))).collect();
    let required = record.fields.iter().filter(|field| matches!(field.presence, Presence::Required));
    let required: Vec<&str> = required.map(|field| field.key).collect();
    let mut schema = json!({
        "title": record.title,
        "description": record.doc,
        "type": "object",
        "properties": properties,
        "additionalProperties": false,
    });
    if !required.is_empty() {
        merge(&mut schema, json!({"required": required}));
    }
    let rules: Vec<Value> = record.rules.iter().map(|rule| of_rule(*rule)).collect();
    if !rules.is_empty() {
        merge(&mut schema, json!({"allOf": rules}));
    }
    schema
}

fn of_rule(rule: Rule) -> Value {
    let having = |keys: &[&str]| keys.iter().map(|key| json!({"required": [key]})).collect::<Vec<_>>();
    match rule {
        Rule::ExactlyOne(keys) => json!({"oneOf": having(keys)}),
        Rule::AtMostOne(keys) => {
            let none = json!({"not": {"anyOf": having(keys)}});
            json!({"oneOf": having(keys).into_iter().chain([none]).collect::<Vec<_>>()})
        }
        Rule::Needs(key, other) => json!({"dependentRequired": {key: [other]}}),
    }
}

fn of_field(field: &Field) -> Value {
    let mut schema = of_shape(&field.shape);
    merge(&mut schema, json!({"description": field.doc}));
    if let Presence::Default(default) = field.presence {
        merge(&mut schema, json!({"default": super::reference::value_of(default)}));
    }
    schema
}

fn of_shape(shape: &Shape) -> Value {
    match shape {
        Shape::Text(form) => of_text(form),
        Shape::Choice(words) => json!({"enum": words.iter().map(|word| word.word).collect::<Vec<_>>()}),
        Shape::Boolean => json!({"type": "boolean"}),
        Shape::Integer { least, most } => json!({"type": "integer", "minimum": least, "maximum": most}),
        Shape::Share => json!({"type": "number", "minimum": 0, "maximum": 1}),
        Shape::Duration { .. } => {
            json!({"type": "string", "pattern": DURATION_PATTERN, "examples": ["500ms", "30s"]})
        }
        Shape::Quantity(quantity) => of_quantity(quantity),
        Shape::Written => json!({"type": ["string", "number", "boolean"]}),
        Shape::Json => json!({}),
        Shape::JsonButObject => json!({"type": ["string", "number", "boolean", "null", "array"]}),
        Shape::List { item, least, most } => {
            json!({"type": "array", "items": of_shape(item), "minItems": least, "maxItems": most})
        }
        Shape::Map { key, value, least, most } => json!({
            "type": "object",
            "propertyNames": of_text(key),
            "additionalProperties": of_shape(value),
            "minProperties": least,
            "maxProperties": most,
        }),
        Shape::Record(record) => json!({"$ref": format!("#/$defs/{}", record.anchor)}),
        Shape::Either(first, second) => json!({"anyOf": [of_shape(first), of_shape(second)]}),
    }
}

fn of_text(form: &TextForm) -> Value {
    let mut schema = json!({
        "type": "string",
        "minLength": form.characters.start(),
        "maxLength": form.characters.end(),
    });
    if let Some(pattern) = form.pattern {
        merge(&mut schema, json!({"pattern": pattern}));
    }
    schema
}

fn of_quantity(quantity: &Quantity) -> Value {
    let number = if quantity.fraction { "number" } else { "integer" };
    json!({"anyOf": [
        {"type": number, "exclusiveMinimum": 0},
        {"type": "string", "pattern": quantity.pattern},
    ]})
}

fn merge(schema: &mut Value, more: Value) {
    if let (Value::Object(schema), Value::Object(more)) = (schema, more) {
        schema.extend(more);
    }
}

#[cfg(test)]
mod tests;
