//! Reading a JSON object field by field, so that a refusal names every fault at once: unknown fields, wrong types, values out
//! of their bounds, each with its JSON pointer.

use chrono::{DateTime, Utc};
use directory::FieldError;
use serde::de::DeserializeOwned;
use serde_json::{Map, Number, Value};

use crate::problem::Problem;

/// Why a value is refused.
pub(crate) struct Refused {
    code: &'static str,
    detail: String,
}

/// What a reader makes of a value.
pub(crate) type Read<T> = Result<T, Refused>;

fn refused<T>(code: &'static str, detail: impl Into<String>) -> Read<T> {
    Err(Refused { code, detail: detail.into() })
}

/// The fields of an object that nobody has read yet, and the faults so far.
pub(crate) struct Fields {
    pointer: String,
    object: Map<String, Value>,
    errors: Vec<FieldError>,
}

impl Fields {
    /// The fields of a body, which must be an object.
    pub(crate) fn of(value: Value) -> Result<Self, Problem> {
        match value {
            Value::Object(object) => Ok(Self { pointer: String::new(), object, errors: Vec::new() }),
            _ => Err(Problem::field("", "invalid_type", "must be an object")),
        }
    }

    /// Whether a field is there that was not read yet.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.object.contains_key(name)
    }

    /// A field that must be there; null is not.
    pub(crate) fn required<T>(&mut self, name: &str, read: impl FnOnce(&Value) -> Read<T>) -> Option<T> {
        match self.object.remove(name) {
            None | Some(Value::Null) => {
                self.refuse(name, Refused { code: "required", detail: "is required".to_owned() });
                None
            }
            Some(value) => self.read(name, &value, read),
        }
    }

    /// A field that may be left out, or null.
    pub(crate) fn optional<T>(&mut self, name: &str, read: impl FnOnce(&Value) -> Read<T>) -> Option<T> {
        self.change(name, read).flatten()
    }

    /// A field of a merge patch (RFC 7396): left out is `None`, null is `Some(None)`.
    pub(crate) fn change<T>(&mut self, name: &str, read: impl FnOnce(&Value) -> Read<T>) -> Option<Option<T>> {
        match self.object.remove(name)? {
            Value::Null => Some(None),
            value => self.read(name, &value, read).map(Some),
        }
    }

    /// A field of a merge patch that cannot be removed.
    pub(crate) fn replace<T>(&mut self, name: &str, read: impl FnOnce(&Value) -> Read<T>) -> Option<T> {
        let value = self.object.remove(name)?;
        if value.is_null() {
            self.refuse(name, Refused { code: "invalid_type", detail: "must not be null".to_owned() });
            return None;
        }
        self.read(name, &value, read)
    }

    /// An object inside: left out is the default, null is `null`.
    pub(crate) fn nested<T: Default>(&mut self, name: &str, null: T, read: impl FnOnce(&mut Self) -> T) -> T {
        match self.object.remove(name) {
            None => T::default(),
            Some(Value::Null) => null,
            Some(Value::Object(object)) => {
                let mut inner = Self { pointer: self.pointer(name), object, errors: Vec::new() };
                let value = read(&mut inner);
                self.errors.append(&mut inner.faults());
                value
            }
            Some(_) => {
                self.refuse(name, Refused { code: "invalid_type", detail: "must be an object".to_owned() });
                T::default()
            }
        }
    }

    /// A list that must be there, its items read one by one.
    pub(crate) fn list<T>(&mut self, name: &str, read: impl Fn(&Value) -> Read<T>) -> Option<Vec<T>> {
        match self.object.remove(name) {
            None | Some(Value::Null) => {
                self.refuse(name, Refused { code: "required", detail: "is required".to_owned() });
                None
            }
            Some(value) => self.items(name, value, read),
        }
    }

    /// A list that may be left out.
    pub(crate) fn optional_list<T>(&mut self, name: &str, read: impl Fn(&Value) -> Read<T>) -> Option<Vec<T>> {
        match self.object.remove(name) {
            None | Some(Value::Null) => None,
            Some(value) => self.items(name, value, read),
        }
    }

    /// A list of a merge patch: left out is `None`, null is `Some(None)`.
    pub(crate) fn change_list<T>(&mut self, name: &str, read: impl Fn(&Value) -> Read<T>) -> Option<Option<Vec<T>>> {
        match self.object.remove(name)? {
            Value::Null => Some(None),
            value => self.items(name, value, read).map(Some),
        }
    }

    /// The end: what was made of the fields, or all that is wrong with them.
    pub(crate) fn done<T>(self, value: Option<T>) -> Result<T, Problem> {
        let errors = self.faults();
        match value {
            Some(value) if errors.is_empty() => Ok(value),
            _ => Err(Problem::invalid(errors)),
        }
    }

    fn faults(self) -> Vec<FieldError> {
        let Self { pointer, object, mut errors } = self;
        let unknown = |name: &String| {
            FieldError::new(format!("{pointer}/{}", escaped(name)), "unknown_field", "there is no such field")
        };
        errors.extend(object.keys().map(unknown));
        errors
    }

    fn items<T>(&mut self, name: &str, value: Value, read: impl Fn(&Value) -> Read<T>) -> Option<Vec<T>> {
        let Value::Array(items) = value else {
            self.refuse(name, Refused { code: "invalid_type", detail: "must be a list".to_owned() });
            return None;
        };
        let before = self.errors.len();
        let mut list = Vec::with_capacity(items.len());
        for (index, item) in items.iter().enumerate() {
            match read(item) {
                Ok(item) => list.push(item),
                Err(refused) => {
                    let pointer = format!("{}/{index}", self.pointer(name));
                    self.errors.push(FieldError::new(pointer, refused.code, refused.detail));
                }
            }
        }
        (self.errors.len() == before).then_some(list)
    }

    fn read<T>(&mut self, name: &str, value: &Value, read: impl FnOnce(&Value) -> Read<T>) -> Option<T> {
        read(value).map_err(|refused| self.refuse(name, refused)).ok()
    }

    fn refuse(&mut self, name: &str, refused: Refused) {
        let pointer = self.pointer(name);
        self.errors.push(FieldError::new(pointer, refused.code, refused.detail));
    }

    fn pointer(&self, name: &str) -> String {
        format!("{}/{}", self.pointer, escaped(name))
    }
}

/// RFC 6901 section 3.
fn escaped(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

/// Any text.
pub(crate) fn text(value: &Value) -> Read<String> {
    match value {
        Value::String(text) => Ok(text.clone()),
        _ => refused("invalid_type", "must be a string"),
    }
}

/// True or false.
pub(crate) fn boolean(value: &Value) -> Read<bool> {
    value.as_bool().map_or_else(|| refused("invalid_type", "must be true or false"), Ok)
}

/// Any object; who takes it looks into it.
pub(crate) fn object(value: &Value) -> Read<Map<String, Value>> {
    match value {
        Value::Object(object) => Ok(object.clone()),
        _ => refused("invalid_type", "must be an object"),
    }
}

/// A text that is parsed.
pub(crate) fn parsed<T, E: std::fmt::Display>(parse: impl Fn(&str) -> Result<T, E>) -> impl Fn(&Value) -> Read<T> {
    move |value| {
        let text = text(value)?;
        parse(&text).or_else(|error| refused("invalid", error.to_string()))
    }
}

/// Whatever its type reads; `rule` says what that is.
pub(crate) fn typed<T: DeserializeOwned>(rule: &'static str) -> impl Fn(&Value) -> Read<T> {
    move |value| serde_json::from_value(whole(value)).or_else(|_| refused("invalid", rule))
}

/// The value with its numbers that are integers spelt as such: 3.0 is one (JSON Schema says so, and many languages write it).
fn whole(value: &Value) -> Value {
    match value {
        Value::Array(items) => items.iter().map(whole).collect(),
        Value::Object(object) => object.iter().map(|(name, value)| (name.clone(), whole(value))).collect(),
        Value::Number(number) => exact(number).map_or_else(|| value.clone(), Value::from),
        other => other.clone(),
    }
}

/// An integer, if the number is one that doubles hold exactly.
fn exact(number: &Number) -> Option<i64> {
    const MOST: f64 = 9_007_199_254_740_991.0; // 2^53 - 1
    let float = number.as_f64().filter(|float| number.is_f64() && float.fract() == 0.0 && float.abs() <= MOST)?;
    format!("{float}").parse().ok()
}

/// One of some words.
pub(crate) fn word<T: Copy>(words: &'static [(&'static str, T)]) -> impl Fn(&Value) -> Read<T> {
    move |value| {
        let text = text(value)?;
        match words.iter().find(|(word, _)| *word == text) {
            Some((_, meaning)) => Ok(*meaning),
            None => {
                let all: Vec<_> = words.iter().map(|(word, _)| *word).collect();
                refused("invalid", format!("must be one of {}", all.join(", ")))
            }
        }
    }
}

/// An integer from `least` up to what its type holds.
pub(crate) fn integer<T: TryFrom<i64>>(least: i64, most: i64) -> impl Fn(&Value) -> Read<T> {
    move |value| {
        let Value::Number(number) = value else { return refused("invalid_type", "must be an integer") };
        let whole = exact(number);
        if number.is_f64() && whole.is_none() {
            return refused("invalid_type", "must be an integer");
        }
        let fits = whole
            .or_else(|| number.as_i64())
            .filter(|number| (least..=most).contains(number))
            .and_then(|n| T::try_from(n).ok());
        match fits {
            Some(number) => Ok(number),
            None => refused("out_of_range", format!("must be between {least} and {most}")),
        }
    }
}

/// Octets.
pub(crate) fn octets(value: &Value) -> Read<i64> {
    integer(0, i64::MAX)(value)
}

/// A count of things.
pub(crate) fn count(value: &Value) -> Read<i32> {
    integer(0, i32::MAX.into())(value)
}

/// A time (RFC 3339).
pub(crate) fn time(value: &Value) -> Read<DateTime<Utc>> {
    moment(&text(value)?).or_else(|detail| refused("invalid", detail))
}

/// A time as text, in a body or in a query; the error says what it must be.
pub(crate) fn moment(text: &str) -> Result<DateTime<Utc>, &'static str> {
    let time = DateTime::parse_from_rfc3339(text).map_err(|_| "must be a time as in RFC 3339: 2026-11-24T06:35:16Z")?;
    Ok(time.with_timezone(&Utc))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_fault_is_named_at_once() {
        let body = json!({"slug": 1, "quota": {"octets": -1, "a/b": 0}, "targets": ["x", 2], "extra": true});
        let mut fields = Fields::of(body).ok().unwrap();
        let slug = fields.required("slug", text);
        let name = fields.required("name", text);
        let quota = fields.nested("quota", None, |quota| quota.optional("octets", octets));
        let targets = fields.list("targets", text);
        assert_eq!((slug, name, quota, targets), (None, None, None, None));
        let mut faults: Vec<_> = fields.faults().into_iter().map(|fault| (fault.pointer, fault.code)).collect();
        faults.sort();
        let expected = [
            ("/extra", "unknown_field"),
            ("/name", "required"),
            ("/quota/a~1b", "unknown_field"),
            ("/quota/octets", "out_of_range"),
            ("/slug", "invalid_type"),
            ("/targets/1", "invalid_type"),
        ];
        assert_eq!(faults, expected.map(|(pointer, code)| (pointer.to_owned(), code)));
    }

    #[test]
    fn a_patch_tells_absent_from_null() {
        let mut fields = Fields::of(json!({"octets": null, "messages": 3})).ok().unwrap();
        assert_eq!(fields.change("octets", octets), Some(None));
        assert_eq!(fields.change("messages", count), Some(Some(3)));
        assert_eq!(fields.change("other", count), None);
        assert!(fields.done(Some(())).is_ok());
    }

    #[test]
    fn integers_are_integers() {
        let code = |value: Value| octets(&value).err().map(|refused| refused.code);
        assert_eq!(code(json!(0)), None);
        assert_eq!(code(json!(9_223_372_036_854_775_807_i64)), None);
        assert_eq!(code(json!(9_223_372_036_854_775_808_u64)), Some("out_of_range"));
        assert_eq!(code(json!(1.5)), Some("invalid_type"));
        assert_eq!(
            (code(json!(3.0)), code(json!(-3.0)), code(json!(1e300))),
            (None, Some("out_of_range"), Some("invalid_type"))
        );
        assert_eq!(code(json!("1")), Some("invalid_type"));
    }
}
