//! What the document says of every operation alike, whoever wrote it: its id, its parameters' bounds, the problems that it may answer,
//! and examples. It works on the document as JSON, where all of that is plain.
#![expect(
    clippy::indexing_slicing,
    reason = "a JSON value answers null for what it does not have, and is written to only where it is an object"
)]

use std::collections::BTreeSet;

use axum::http::StatusCode;
use serde_json::{Map, Value, json};

use super::examples::Examples;
use crate::problem::Problem;

const METHODS: [&str; 5] = ["get", "post", "put", "patch", "delete"];
const PROBLEM: &str = "application/problem+json";

/// Parameters by name: what they are, and what is added to their schema.
fn parameter(name: &str) -> Option<(&'static str, Value)> {
    Some(match name {
        "slug" => ("The tenant's slug", json!({"pattern": "^[a-z0-9][a-z0-9-]{0,62}$"})),
        "tenant" => ("The tenant's slug", json!({"minLength": 1, "maxLength": 63})),
        "name" => ("The domain's name, in A-labels or U-labels", json!({"minLength": 1, "maxLength": 253})),
        "domain" => ("The domain's name", json!({"minLength": 1, "maxLength": 253})),
        "address" => ("The address, in any spelling that means it", json!({"minLength": 3, "maxLength": 320})),
        "unique_id" => ("The message's unique-id, as UIDL shows it", json!({"pattern": "^[!-~]{1,70}$"})),
        "id" | "delivery" | "admin" => {
            ("The opaque id, as `id` shows it", json!({"pattern": "^[a-z]+_[0-9a-z]{1,64}$"}))
        }
        "session" => ("The session's id", json!({"pattern": "^sess_[0-9a-f]{32}$"})),
        "account" => ("The account's address", json!({"minLength": 3, "maxLength": 320})),
        "prefix" => ("What it begins with", json!({"minLength": 1, "maxLength": 255})),
        // Of the four of them, however they are spelt, a request line holds so much.
        "state" | "code" | "error" | "iss" => ("As RFC 6749 has it", json!({"pattern": "^[ -~]{0,4000}$"})),
        "limit" => ("Items of a page", json!({})),
        "cursor" => ("The last page's `next_cursor`", json!({"minLength": 1, "maxLength": 2000})),
        "sender" => ("The reverse-path", json!({"maxLength": 254})),
        "If-Match" => (
            "Only if it still is of this version: its `ETag`. Another one is refused (412); without the header the change is made to \
             whatever there is",
            json!({"pattern": r#"^(\*|(W/)?"[!#-~]*"( *, *(W/)?"[!#-~]*")*)$"#}),
        ),
        "Idempotency-Key" => (
            "Makes the request safe to repeat: the same request with the same key is answered as the first was, for 24 hours",
            json!({"minLength": 1, "maxLength": 255}),
        ),
        _ => return None,
    })
}

/// The longest text of a parameter that nobody bounded: however it is spelt, a request line holds it.
const LONGEST: u32 = 2000;

/// Finishes the document. What has no example is answered too, as `METHOD PATH: what`.
pub(crate) fn finish(document: &mut Value) -> Vec<String> {
    document["servers"] = json!([{"url": "/", "description": "Where this document came from"}]);
    secrets_are_shown_once(document);
    let schemas = document["components"]["schemas"].clone();
    let responses = problem_responses();
    document["components"]["responses"] = responses;
    let mut missing = Vec::new();
    let Some(paths) = document["paths"].as_object_mut() else { return missing };
    let ids = ids(paths, &schemas);
    for (path, item) in paths {
        for method in METHODS {
            let Some(operation) = item.get_mut(method) else { continue };
            operation["operationId"] = id(path, operation["operationId"].as_str().unwrap_or(method)).into();
            let mut without = parameters(path, operation, &schemas, &ids);
            problems(method, path, operation);
            without.extend(bodies(operation, &schemas));
            missing.extend(without.into_iter().map(|what| format!("{} {path}: {what}", method.to_uppercase())));
        }
    }
    missing
}

/// What a POST shows once, under these names.
const SHOWN_ONCE: [&str; 3] = ["secret", "otpauth_uri", "recovery_codes"];

/// A secret that a POST answers is not in the answer to a repeat of it: see `once.rs`.
fn secrets_are_shown_once(document: &mut Value) {
    let posts = document["paths"].as_object().into_iter().flatten().map(|(_, item)| &item["post"]["responses"]);
    let bodies =
        posts.flat_map(|all| ["200", "201"].map(|status| &all[status]["content"]["application/json"]["schema"]));
    let names: BTreeSet<String> =
        bodies.filter_map(|schema| schema["$ref"].as_str()?.rsplit('/').next().map(ToOwned::to_owned)).collect();
    for name in names {
        let Some(schema) = document["components"]["schemas"].get_mut(&name) else { continue };
        let parts: Vec<&mut Value> = match schema.get_mut("allOf").and_then(Value::as_array_mut) {
            Some(parts) => parts.iter_mut().collect(),
            None => vec![schema],
        };
        for part in parts {
            for shown in SHOWN_ONCE {
                if part["properties"].get(shown).is_none() {
                    continue;
                }
                if let Some(required) = part.get_mut("required").and_then(Value::as_array_mut) {
                    required.retain(|field| field != shown);
                }
                let property = &mut part["properties"][shown];
                let text = property["description"].as_str().unwrap_or("Shown this once.").to_owned();
                property["description"] =
                    format!("{text} Left out where an answer is given again for its Idempotency-Key.").into();
            }
        }
    }
}

/// `accounts_app_passwords_create`: the nouns of the path and the verb. Stable as long as both are.
fn id(path: &str, verb: &str) -> String {
    let nouns = path.trim_start_matches("/v1").split('/').filter(|part| !part.is_empty() && !part.starts_with('{'));
    let mut words: Vec<String> = nouns.map(|noun| noun.replace(['-', '.'], "_")).collect();
    if words.last().is_none_or(|last| last != verb) {
        words.push(verb.to_owned());
    }
    words.join("_")
}

/// The example of each path's last id: what the thing that is read there, or an item of the list above, has as its own.
fn ids(paths: &Map<String, Value>, schemas: &Value) -> Vec<(String, Value)> {
    let examples = Examples { schemas, sent: false };
    let shown = |path: &str| {
        let response = &paths.get(path)?["get"]["responses"]["200"]["content"]["application/json"]["schema"];
        let body = examples.body("application/json", response).ok()?;
        let of = |thing: &Value| thing.get("id").cloned();
        of(&body).or_else(|| of(body.get("items")?.get(0)?))
    };
    let known = |path: &String| {
        let at = path.find("/{id}")?;
        let (thing, _) = path.split_at(at + "/{id}".len());
        let (list, _) = path.split_at(at);
        shown(thing).or_else(|| shown(list)).map(|id| (path.clone(), id))
    };
    paths.keys().filter_map(known).collect()
}

fn parameters(path: &str, operation: &mut Value, schemas: &Value, ids: &[(String, Value)]) -> Vec<String> {
    let examples = Examples { schemas, sent: true };
    let mut missing = Vec::new();
    for one in operation.get_mut("parameters").and_then(Value::as_array_mut).into_iter().flatten() {
        let name = one["name"].as_str().unwrap_or_default().to_owned();
        let known = parameter(&name);
        if let Some((description, _)) = &known
            && one.get("description").and_then(Value::as_str).is_none_or(str::is_empty)
        {
            one["description"] = (*description).into();
        }
        if one.get("description").is_none() {
            missing.push(format!("parameter {name}: a description"));
        }
        // A parameter is there or not: there is no null in a path, query or header.
        if one["schema"]["type"].is_array() {
            let kind =
                one["schema"]["type"].as_array().and_then(|all| all.iter().find(|kind| **kind != "null")).cloned();
            one["schema"]["type"] = kind.unwrap_or_else(|| "string".into());
        }
        let bounded = ["enum", "format", "pattern", "minLength", "maxLength", "const", "$ref"];
        if one["schema"]["type"] == "string" && bounded.iter().all(|bound| one["schema"].get(bound).is_none()) {
            let bounds = known.map(|(_, bounds)| bounds).unwrap_or_else(|| json!({"maxLength": LONGEST}));
            for (bound, value) in bounds.as_object().into_iter().flatten() {
                one["schema"][bound] = value.clone();
            }
        }
        if one.get("example").is_some() || one.get("examples").is_some() {
            continue;
        }
        let id = ids.iter().find(|(of, _)| *of == path && name == "id").map(|(_, id)| id.clone());
        let alias = (name == "address" && path.starts_with("/v1/aliases")).then(|| json!("info@acme.test"));
        let domain = (name == "name" && path.starts_with("/v1/domains")).then(|| json!("acme.test"));
        match id.or(alias).or(domain).map_or_else(|| examples.named(&name, &one["schema"]), Ok) {
            Ok(example) => one["example"] = example,
            Err(_) => missing.push(format!("parameter {name}: an example")),
        }
    }
    missing
}

/// The problems of an operation, by reference: those that it can have.
fn problems(method: &str, path: &str, operation: &mut Value) {
    let changes = method != "get";
    let has_body = operation.get("requestBody").is_some();
    let conditional = operation["parameters"].as_array().into_iter().flatten().any(|one| one["name"] == "If-Match");
    let Some(responses) = operation["responses"].as_object_mut() else { return };
    for status in Problem::statuses() {
        let can = match status {
            // An issuer is there or not; so is the tenant that is looked at.
            StatusCode::NOT_FOUND => changes || path.contains('{') || path.contains("/oidc") || path == "/v1/overview",
            StatusCode::CONFLICT | StatusCode::PAYLOAD_TOO_LARGE => changes,
            StatusCode::PRECONDITION_FAILED => conditional,
            StatusCode::UNSUPPORTED_MEDIA_TYPE => has_body,
            StatusCode::METHOD_NOT_ALLOWED => false,
            _ => true,
        };
        let status = status.as_str().to_owned();
        if can {
            let reference = format!("#/components/responses/Problem{status}");
            responses.insert(status, json!({"$ref": reference}));
        } else {
            responses.remove(&status);
        }
    }
    for (status, response) in responses {
        let told = response.get("description").and_then(Value::as_str).is_some_and(|text| !text.is_empty());
        let silent = response.get("$ref").is_none() && !told;
        if silent {
            response["description"] = if status == "201" { "Made" } else { "Done" }.into();
        }
    }
}

/// Every problem, by its status, with an example of each kind.
fn problem_responses() -> Value {
    let mut all = Map::new();
    // What the document has is all that there is: no operation of it answers that there is no such method.
    for status in Problem::statuses().into_iter().filter(|status| *status != StatusCode::METHOD_NOT_ALLOWED) {
        let mut examples = Map::new();
        let mut titles = Vec::new();
        for problem in Problem::of(status) {
            titles.push(format!("`{}`: {}", problem.code(), problem.title()));
            let problem = if problem.code() == "invalid" {
                Problem::field("/quota/octets", "out_of_range", "must be between 0 and 9223372036854775807")
            } else {
                problem
            };
            let body = problem.body("4f0a7c8e-1b2d-4f60-a1b2-c3d4e5f60718".to_owned());
            examples.insert(problem.code().to_owned(), json!({"summary": problem.title(), "value": body}));
        }
        let mut response = json!({
            "description": titles.join("; "),
            "content": {PROBLEM: {"schema": {"$ref": "#/components/schemas/Problem"}, "examples": examples}},
        });
        if [StatusCode::TOO_MANY_REQUESTS, StatusCode::SERVICE_UNAVAILABLE].contains(&status) {
            response["headers"] = json!({"Retry-After": {
                "description": "Seconds to wait", "schema": {"type": "integer", "minimum": 1}, "example": 2,
            }});
        }
        all.insert(format!("Problem{}", status.as_str()), response);
    }
    all.into()
}

/// Examples of what is sent and of what succeeds; the trial's shows the change's.
fn bodies(operation: &mut Value, schemas: &Value) -> Vec<String> {
    let mut missing = Vec::new();
    for (media_type, content) in operation.get_mut("requestBody").into_iter().flat_map(|body| members(body, "content"))
    {
        may_be_left_out(&mut content["schema"]);
        exemplify(content, "request", media_type, &Examples { schemas, sent: true }, &mut missing);
    }
    let Some(responses) = operation.get_mut("responses").and_then(Value::as_object_mut) else { return missing };
    let shown = Examples { schemas, sent: false };
    let mut success = (204, Value::Null);
    for (status, response) in &mut *responses {
        for (name, header) in members(response, "headers") {
            if header.get("description").is_none() {
                header["description"] = if name == "ETag" { "Its version, for If-Match" } else { name.as_str() }.into();
            }
        }
        if !status.starts_with('2') {
            continue;
        }
        for (media_type, content) in members(response, "content") {
            if media_type == crate::guard::DRY_RUN_TYPE {
                continue;
            }
            exemplify(content, status, media_type, &shown, &mut missing);
            success = (status.parse().unwrap_or(200), content["example"].clone());
        }
    }
    let (status, mut result) = success;
    if let Value::Object(result) = &mut result {
        result.remove("secret");
    }
    let ok = responses.get_mut("200").and_then(|ok| ok.get_mut("content"));
    if let Some(content) = ok.and_then(|content| content.get_mut(crate::guard::DRY_RUN_TYPE)) {
        let effects = shown.body("application/json", &schemas["Effect"]).map(|effect| vec![effect]).unwrap_or_default();
        content["example"] = json!({"status": status, "result": result, "effects": effects});
    }
    missing
}

/// The members of an object in an object, to be changed; none where there is none. (Indexing would put a null there.)
fn members<'a>(of: &'a mut Value, name: &str) -> impl Iterator<Item = (&'a String, &'a mut Value)> {
    of.get_mut(name).and_then(Value::as_object_mut).into_iter().flatten()
}

/// A body that may be left out is `Option<…>` to the macro, which takes that for null.
fn may_be_left_out(schema: &mut Value) {
    if let Some([body, null]) = schema["oneOf"].as_array().map(Vec::as_slice)
        && null["type"] == "null"
    {
        *schema = body.clone();
    }
}

fn exemplify(content: &mut Value, what: &str, media_type: &str, examples: &Examples<'_>, missing: &mut Vec<String>) {
    if content.get("example").is_some() || content.get("examples").is_some() {
        return;
    }
    match examples.body(media_type, &content["schema"]) {
        Ok(example) => content["example"] = example,
        Err(field) => missing.push(format!("{what} {media_type}: an example of {field:?}")),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    /// Who adds an operation reads here what its document lacks: `examples(…)` at a field, a description at a parameter.
    #[test]
    fn every_operation_is_described_with_examples() {
        let mut document = serde_json::to_value(crate::openapi::typed()).unwrap();
        let missing = finish(&mut document);
        assert!(missing.is_empty(), "{}", missing.join("\n"));
        let mut seen = HashSet::new();
        for (path, item) in document["paths"].as_object().unwrap() {
            for method in METHODS {
                let Some(operation) = item.get(method) else { continue };
                let at = format!("{method} {path}");
                assert!(operation["summary"].as_str().is_some_and(|text| text.ends_with('.')), "{at}: a summary");
                assert!(operation["tags"][0].is_string(), "{at}: a tag");
                assert!(seen.insert(operation["operationId"].clone()), "{at}: {} twice", operation["operationId"]);
                for status in ["400", "422", "429", "500", "503"] {
                    assert!(operation["responses"][status]["$ref"].is_string(), "{at}: {status}");
                }
                let bodies = operation["requestBody"]["content"].as_object().into_iter().flatten();
                let answers = operation["responses"].as_object().unwrap();
                // Browsers are sent on.
                let succeeds = |status: &String| status.starts_with('2') || status == "303";
                assert!(answers.keys().any(succeeds), "{at}: an answer that succeeds");
                let answers = answers.values().flat_map(|one| one["content"].as_object().into_iter().flatten());
                for (media_type, content) in bodies.chain(answers) {
                    let has = content.get("example").or_else(|| content.get("examples")).is_some();
                    assert!(has, "{at}: an example of {media_type}");
                }
            }
        }
    }

    #[test]
    fn ids_are_nouns_and_a_verb() {
        for (path, verb, expected) in [
            ("/v1/tenants", "create", "tenants_create"),
            ("/v1/accounts/{address}/app-passwords/{id}", "revoke", "accounts_app_passwords_revoke"),
            ("/v1/tenants/{slug}/usage", "usage", "tenants_usage"),
        ] {
            assert_eq!(id(path, verb), expected);
        }
    }
}
