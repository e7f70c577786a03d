//! Examples, made from the schemas: what a field has as its own example, or what its name stands for in one small world (the tenant
//! `acme`, its domain `acme.test`, Alice's account). So they cannot go out of date, and what has no example is found by a test.

use serde_json::{Map, Value, json};

/// What fields and parameters of these names show, unless their schema says it.
const WORDS: &[(&str, &str)] = &[
    ("slug", "acme"),
    ("tenant", "acme"),
    ("domain", "acme.test"),
    ("domains", "acme.test"),
    ("allowed_domains", "acme.test"),
    ("address", "alice@acme.test"),
    ("account", "alice@acme.test"),
    ("name", "Acme"),
    ("email", "carol@acme.test"),
    ("password", "correct horse battery staple"),
    ("targets", "alice@acme.test"),
    ("allowed_networks", "192.0.2.0/24"),
    ("networks", "192.0.2.0/24"),
    ("unique_id", "06f1k3q8v2m4x7z9c5b1n0d2ae"),
    ("unique_ids", "06f1k3q8v2m4x7z9c5b1n0d2ae"),
    ("next_cursor", "WyJhY21lLnRlc3QiLCJhbGljZSJd"),
    ("cursor", "WyJhY21lLnRlc3QiLCJhbGljZSJd"),
    ("challenge", "restante-verify=q3k8v2m4x7z9c5b1n0d2"),
    ("client", "Thunderbird 140"),
    ("user_agent", "curl/8.5.0"),
    ("url", "https://hooks.acme.test/restante"),
    ("request_id", "4f0a7c8e-1b2d-4f60-a1b2-c3d4e5f60718"),
    ("sender", "news@shop.test"),
    ("session", "sess_0a4f7c8e1b2d4f60a1b2c3d4e5f60718"),
    ("If-Match", "\"3\""),
    ("Idempotency-Key", "0a4f7c8e-1b2d-4f60-a1b2-c3d4e5f60718"),
    ("ETag", "\"3\""),
];

/// The same for numbers.
const NUMBERS: &[(&str, i64)] = &[
    ("octets", 1_000_000_000),
    ("messages", 100_000),
    ("accounts", 500),
    ("domains", 5),
    ("fetched", 3),
    ("expunged", 2),
    ("limit", 100),
];

/// The media types that are not JSON.
const MEDIA: &[(&str, &str)] = &[
    (
        "message/rfc822",
        "From: Shop <news@shop.test>\r\nTo: alice@acme.test\r\nSubject: Your order\r\n\r\nIt is on its way.\r\n",
    ),
    ("application/x-tar", "tenant.json\u{0}…"),
];

/// Makes examples of the schemas of one document.
pub(crate) struct Examples<'a> {
    /// `components.schemas`.
    pub(crate) schemas: &'a Value,
    /// Of what is sent: what may be left out is, where there is nothing to say.
    pub(crate) sent: bool,
}

/// A field that has no example: its name.
pub(crate) type Missing = String;

impl Examples<'_> {
    /// An example of a body.
    pub(crate) fn body(&self, media_type: &str, schema: &Value) -> Result<Value, Missing> {
        if let Some((_, text)) = MEDIA.iter().find(|(of, _)| *of == media_type) {
            return Ok((*text).into());
        }
        Ok(self.value("", schema)?.unwrap_or(Value::Null))
    }

    /// An example of a parameter or header.
    pub(crate) fn named(&self, name: &str, schema: &Value) -> Result<Value, Missing> {
        self.value(name, schema)?.ok_or_else(|| name.to_owned())
    }

    /// `None`: there is nothing to say, and it may be null or left out.
    fn value(&self, name: &str, schema: &Value) -> Result<Option<Value>, Missing> {
        let list = schema["type"] == "array";
        if let Some(own) = own(schema) {
            return Ok(Some(own));
        }
        if let Some(reference) = schema["$ref"].as_str() {
            let of = reference.rsplit('/').next().unwrap_or_default();
            return self.value(name, &self.schemas[of]);
        }
        if let Some(word) = word(name, schema)
            && !list
        {
            return Ok(Some(word));
        }
        if let Some(any) = schema["oneOf"].as_array().or_else(|| schema["anyOf"].as_array()) {
            let nullable = any.iter().any(|one| one["type"] == "null");
            let Some(first) = any.iter().find(|one| one["type"] != "null") else { return Ok(None) };
            // A word that may be null says nothing where it is not decided.
            let first = self.value(name, first)?;
            return Ok(if nullable && !first.as_ref().is_some_and(Value::is_object) { None } else { first });
        }
        if let Some(all) = schema["allOf"].as_array() {
            let mut whole = Map::new();
            for part in all {
                if let Some(Value::Object(part)) = self.value(name, part)? {
                    whole.extend(part);
                }
            }
            return Ok(Some(whole.into()));
        }
        if let Some(items) = schema.get("items").filter(|_| types(schema).any(|kind| kind == "array")) {
            let nullable = types(schema).any(|kind| kind == "null");
            return Ok(if nullable && self.sent && word(name, items).is_none() {
                None
            } else {
                self.value(name, items)?.map(|item| vec![item].into())
            });
        }
        if types(schema).any(|kind| kind == "null") {
            return Ok(None);
        }
        match types(schema).next() {
            Some("object") => self.object(schema).map(Some),
            Some("string") => formatted(schema).map(Some).ok_or_else(|| name.to_owned()),
            Some("integer" | "number") => Ok(Some(schema.get("minimum").cloned().unwrap_or_else(|| 1.into()))),
            Some("boolean") => Ok(Some(false.into())),
            // Whatever it is: a schema without a type takes null.
            _ => Ok(None),
        }
    }

    fn object(&self, schema: &Value) -> Result<Value, Missing> {
        let mut whole = Map::new();
        let required: Vec<&str> =
            schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        for (name, property) in schema["properties"].as_object().into_iter().flatten() {
            let value = self.value(name, property).map_err(|missing| {
                if missing.starts_with(name.as_str()) { missing } else { format!("{name}.{missing}") }
            })?;
            let says_nothing = value.as_ref().is_none_or(|value| value.as_object().is_some_and(Map::is_empty));
            if says_nothing && self.sent && !required.contains(&name.as_str()) {
                continue;
            }
            whole.insert(name.clone(), value.unwrap_or(Value::Null));
        }
        Ok(whole.into())
    }
}

/// What a schema itself says.
fn own(schema: &Value) -> Option<Value> {
    let first = |list: &Value| list.as_array().and_then(|list| list.first()).cloned();
    let of_items =
        |value: Value| if schema["type"] == "array" && !value.is_array() { vec![value].into() } else { value };
    first(&schema["examples"])
        .or_else(|| schema.get("example").cloned())
        .or_else(|| schema.get("const").cloned())
        .map(of_items)
        .or_else(|| first(&schema["enum"]).filter(|_| !types(schema).any(|kind| kind == "null")))
        .or_else(|| schema.get("default").filter(|default| !default.is_null()).cloned())
}

/// What a name stands for, where it fits the schema.
fn word(name: &str, schema: &Value) -> Option<Value> {
    let is = |kind: &str| types(schema).any(|one| one == kind);
    if is("string") && schema["format"].is_null() {
        return WORDS.iter().find(|(of, _)| *of == name).map(|(_, word)| (*word).into());
    }
    if is("integer") {
        let number = NUMBERS.iter().find(|(of, _)| *of == name).map(|(_, number)| *number)?;
        let least = schema["minimum"].as_i64().unwrap_or(i64::MIN);
        let most = schema["maximum"].as_i64().unwrap_or(i64::MAX);
        return (least..=most).contains(&number).then(|| number.into());
    }
    None
}

/// A text whose format says what it looks like.
fn formatted(schema: &Value) -> Option<Value> {
    Some(match schema["format"].as_str()? {
        "date-time" => json!("2026-11-24T06:35:16Z"),
        "date" => json!("2026-12-01"),
        "uuid" => json!("0a4f7c8e-1b2d-4f60-a1b2-c3d4e5f60718"),
        "ipv4" | "ip" => json!("192.0.2.1"),
        "ipv6" => json!("2001:db8::1"),
        "uri" | "url" => json!("https://acme.test/"),
        "email" => json!("alice@acme.test"),
        "hostname" => json!("acme.test"),
        _ => return None,
    })
}

/// The types of a schema: one, or a list with null in it.
fn types(schema: &Value) -> impl Iterator<Item = &str> {
    let one = schema["type"].as_str();
    let several = schema["type"].as_array().into_iter().flatten().filter_map(Value::as_str);
    one.into_iter().chain(several)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_known_of_a_field_becomes_its_example() {
        let schemas = json!({"Quota": {"type": "object", "properties": {"octets": {"type": ["integer", "null"]}}}});
        let schema = json!({"type": "object", "required": ["address", "at"], "properties": {
            "address": {"type": "string"}, "at": {"type": "string", "format": "date-time"},
            "quota": {"oneOf": [{"$ref": "#/components/schemas/Quota"}, {"type": "null"}]},
            "expires_at": {"type": ["string", "null"], "format": "date-time"},
            "role": {"type": "string", "enum": ["auditor", "helpdesk"]},
        }});
        let sent = Examples { schemas: &schemas, sent: true }.body("application/json", &schema).unwrap();
        let mut whole = json!({"address": "alice@acme.test", "at": "2026-11-24T06:35:16Z", "role": "auditor",
            "quota": {"octets": 1_000_000_000}});
        assert_eq!(sent, whole);
        whole["expires_at"] = Value::Null;
        let shown = Examples { schemas: &schemas, sent: false }.body("application/json", &schema).unwrap();
        assert_eq!(shown, whole);
        let unknown = json!({"type": "object", "properties": {"colour": {"type": "string"}}});
        assert_eq!(Examples { schemas: &schemas, sent: true }.body("application/json", &unknown), Err("colour".into()));
    }
}
