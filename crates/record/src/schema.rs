//! The JSON Schema of a record, made from the types.

use crate::{Body, Envelope, VERSION};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::Value;
use std::borrow::Cow;

/// Stands for the body, whose form depends on `kind`.
struct AnyBody;

impl JsonSchema for AnyBody {
    fn schema_name() -> Cow<'static, str> {
        "Body".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "object", "description": "Its form depends on the kind; see allOf at the top." })
    }
}

/// The schema (JSON Schema 2020-12) of one line of the log.
pub fn schema() -> Value {
    let mut generator = SchemaGenerator::default();
    let bodies = Body::schemas(&mut generator);
    let mut root = generator.into_root_schema_for::<Envelope<AnyBody>>().to_value();
    root["title"] = Value::from(format!("fdr record, version {VERSION}"));
    root["allOf"] = bodies
        .into_iter()
        .map(|(kind, body)| {
            serde_json::json!({
                "if": { "properties": { "kind": { "const": kind.as_str() } } },
                "then": { "properties": { "body": body } },
            })
        })
        .collect();
    // The same text whatever else is built with: another crate may make JSON keep its order.
    root.sort_all_objects();
    root
}
