//! One line of an import of accounts, read as the API reads its bodies: every fault is named, with a JSON pointer into the line.

use mail_types::{Address, Secret};
use serde_json::{Map, Value};

use crate::account::check_new_local_part;
use crate::{AccountStatus, AliasAddress, Error, FieldError, Quota, password, verifier};

/// The most aliases of one line.
const MAX_ALIASES: usize = 100;

/// An account that a line asks for.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) address: Address,
    pub(super) password: Option<LinePassword>,
    pub(super) quota: Quota,
    pub(super) status: AccountStatus,
    pub(super) aliases: Vec<AliasAddress>,
}

/// Its password: one that was hashed elsewhere is a verifier already.
#[derive(Debug)]
pub(super) enum LinePassword {
    Clear(Secret),
    Verifier(String),
}

/// A maildrop that a line of a migration asks for.
#[derive(Debug, Clone)]
pub struct MigrationLine {
    /// The account here.
    pub address: Address,
    /// What the other server knows its owner as.
    pub login: String,
    /// What proves them there.
    pub password: Secret,
}

/// Reads a line of an import.
///
/// # Errors
/// All that is wrong with it.
pub(super) fn read(text: &[u8]) -> Result<Line, Vec<FieldError>> {
    read_as(text, Fields::line)
}

/// Reads a line of a migration.
///
/// # Errors
/// All that is wrong with it.
pub fn read_migration_line(text: &[u8]) -> Result<MigrationLine, Vec<FieldError>> {
    read_as(text, Fields::migration)
}

fn read_as<T>(text: &[u8], read: impl FnOnce(&mut Fields) -> Option<T>) -> Result<T, Vec<FieldError>> {
    let object = object(text)?;
    let mut fields = Fields { object, errors: Vec::new() };
    let line = read(&mut fields);
    for name in std::mem::take(&mut fields.object).keys() {
        let pointer = format!("/{}", escaped(name));
        fields.errors.push(FieldError::new(pointer, "unknown_field", "there is no such field"));
    }
    match line {
        Some(line) if fields.errors.is_empty() => Ok(line),
        _ => Err(fields.errors),
    }
}

/// The object that a line is.
pub(super) fn object(text: &[u8]) -> Result<Map<String, Value>, Vec<FieldError>> {
    match serde_json::from_slice(text) {
        Ok(Value::Object(object)) => Ok(object),
        Ok(_) => Err(vec![FieldError::new("", "invalid_type", "must be an object")]),
        // Where in the line, not what stands there: it may be a password.
        Err(error) => {
            let detail = format!("the line is not JSON: column {}", error.column());
            Err(vec![FieldError::new("", "not_json", detail)])
        }
    }
}

/// RFC 6901 section 3.
pub(super) fn escaped(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

/// The fields that nobody has read yet, and the faults so far.
struct Fields {
    object: Map<String, Value>,
    errors: Vec<FieldError>,
}

impl Fields {
    fn line(&mut self) -> Option<Line> {
        let address = self.address();
        let password = self.password();
        let quota = self.quota();
        let status = match self.text("status").as_deref() {
            None | Some("active") => AccountStatus::Active,
            Some("suspended") => AccountStatus::Suspended,
            Some(_) => {
                self.refuse("/status", "invalid", "must be one of active, suspended");
                AccountStatus::Active
            }
        };
        let aliases = self.aliases(address.as_ref());
        Some(Line { address: address?, password, quota, status, aliases })
    }

    fn migration(&mut self) -> Option<MigrationLine> {
        let address = self.address();
        let login = self.text("login").or_else(|| address.as_ref().map(ToString::to_string));
        if login.as_ref().is_some_and(|login| login.is_empty() || login.contains(char::is_control)) {
            self.refuse("/login", "invalid", "must not be empty and have no control characters");
        }
        if !self.object.contains_key("password") {
            self.refuse("/password", "required", "is required");
        }
        let password = self.text("password").map(Secret::from);
        Some(MigrationLine { address: address?, login: login?, password: password? })
    }

    fn address(&mut self) -> Option<Address> {
        if !self.object.contains_key("address") {
            self.refuse("/address", "required", "is required");
            return None;
        }
        let text = self.text("address")?;
        match Address::parse(&text) {
            Err(error) => {
                self.refuse("/address", "invalid", error.to_string());
                None
            }
            Ok(address) => match check_new_local_part(&address) {
                Err(Error::Invalid(errors)) => {
                    self.errors.extend(errors);
                    None
                }
                _ => Some(address),
            },
        }
    }

    /// In clear or hashed, not both.
    fn password(&mut self) -> Option<LinePassword> {
        let (clear, hash) = (self.text("password"), self.text("password_hash"));
        match (clear.map(Secret::from), hash.map(Secret::from)) {
            (Some(_), Some(_)) => {
                self.refuse("/password_hash", "invalid", "a line has a password or a password_hash");
                None
            }
            (Some(clear), None) => match password::check_policy(&clear) {
                Ok(()) => Some(LinePassword::Clear(clear)),
                Err(error) => {
                    self.errors.push(error);
                    None
                }
            },
            (None, Some(hash)) => match verifier::import(&hash) {
                Ok(verifier) => Some(LinePassword::Verifier(verifier)),
                Err(error) => {
                    self.refuse("/password_hash", error.code, error.detail);
                    None
                }
            },
            (None, None) => None,
        }
    }

    fn quota(&mut self) -> Quota {
        let mut inner = match self.object.remove("quota") {
            None | Some(Value::Null) => return Quota::default(),
            Some(Value::Object(inner)) => inner,
            Some(_) => {
                self.refuse("/quota", "invalid_type", "must be an object");
                return Quota::default();
            }
        };
        let octets = self.integer("/quota/octets", inner.remove("octets"), i64::MAX);
        let messages = self.integer("/quota/messages", inner.remove("messages"), i32::MAX.into());
        let hourly = self.integer("/quota/deliveries_per_hour", inner.remove("deliveries_per_hour"), i32::MAX.into());
        for name in inner.keys() {
            let pointer = format!("/quota/{}", escaped(name));
            self.refuse(pointer, "unknown_field", "there is no such field");
        }
        let deliveries_per_hour = hourly.and_then(|count| i32::try_from(count).ok());
        Quota { octets, messages, deliveries_per_hour, ..Quota::default() }
    }

    fn aliases(&mut self, address: Option<&Address>) -> Vec<AliasAddress> {
        let items = match self.object.remove("aliases") {
            None | Some(Value::Null) => return Vec::new(),
            Some(Value::Array(items)) => items,
            Some(_) => {
                self.refuse("/aliases", "invalid_type", "must be a list");
                return Vec::new();
            }
        };
        if items.len() > MAX_ALIASES {
            self.refuse("/aliases", "too_long", format!("must have at most {MAX_ALIASES} items"));
            return Vec::new();
        }
        let mut aliases: Vec<AliasAddress> = Vec::with_capacity(items.len());
        for (index, item) in items.iter().enumerate() {
            let pointer = format!("/aliases/{index}");
            let Value::String(text) = item else {
                self.refuse(pointer, "invalid_type", "must be a string");
                continue;
            };
            match AliasAddress::parse(text) {
                Err(error) => self.refuse(pointer, "invalid", error.to_string()),
                Ok(alias) if alias.has_subaddress() => {
                    self.refuse(pointer, "invalid", "the local part must not have a subaddress (+)");
                }
                Ok(alias) => {
                    let own =
                        |address: &Address| (&address.domain, address.local.key()) == (alias.domain(), alias.key());
                    if address.is_some_and(own) || aliases.iter().any(|other| other.is(&alias)) {
                        self.refuse(pointer, "duplicate", "the line has this address already");
                    } else {
                        aliases.push(alias);
                    }
                }
            }
        }
        aliases
    }

    /// A text that may be left out, or null.
    fn text(&mut self, name: &str) -> Option<String> {
        match self.object.remove(name) {
            None | Some(Value::Null) if name != "address" => None,
            Some(Value::String(text)) => Some(text),
            _ => {
                self.refuse(format!("/{name}"), "invalid_type", "must be a string");
                None
            }
        }
    }

    fn integer(&mut self, pointer: &str, value: Option<Value>, most: i64) -> Option<i64> {
        match value {
            None | Some(Value::Null) => None,
            Some(Value::Number(number)) if !number.is_f64() => {
                let fits = number.as_i64().filter(|number| (0..=most).contains(number));
                if fits.is_none() {
                    self.refuse(pointer, "out_of_range", format!("must be between 0 and {most}"));
                }
                fits
            }
            Some(_) => {
                self.refuse(pointer, "invalid_type", "must be an integer");
                None
            }
        }
    }

    fn refuse(&mut self, pointer: impl Into<String>, code: &'static str, detail: impl Into<String>) {
        self.errors.push(FieldError::new(pointer, code, detail));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(line: &str) -> Vec<(String, &'static str)> {
        let mut faults: Vec<_> =
            read(line.as_bytes()).unwrap_err().into_iter().map(|fault| (fault.pointer, fault.code)).collect();
        faults.sort();
        faults
    }

    #[test]
    fn every_fault_of_a_line_is_named() {
        let line = r#"{"address": "a+b@x.test", "password": "short", "quota": {"octets": -1, "messages": 1.5, "deliveries_per_hour": 2147483648, "x": 1},
            "status": "gone", "aliases": ["c@x.test", 7, "C@X.test", "a+c@x.test", "no"], "a/b": 1}"#;
        let expected = [
            ("/address", "invalid"),
            ("/aliases/1", "invalid_type"),
            ("/aliases/2", "duplicate"),
            ("/aliases/3", "invalid"),
            ("/aliases/4", "invalid"),
            ("/a~1b", "unknown_field"),
            ("/password", "too_short"),
            ("/quota/deliveries_per_hour", "out_of_range"),
            ("/quota/messages", "invalid_type"),
            ("/quota/octets", "out_of_range"),
            ("/quota/x", "unknown_field"),
            ("/status", "invalid"),
        ];
        let mut expected = expected.map(|(pointer, code)| (pointer.to_owned(), code));
        expected.sort();
        assert_eq!(faults(line), expected);
    }

    #[test]
    fn a_line_without_an_address_or_that_is_none_is_refused_without_being_told() {
        assert_eq!(faults("{}"), [("/address".to_owned(), "required")]);
        assert_eq!(faults("[]"), [(String::new(), "invalid_type")]);
        assert_eq!(faults(r#"{"address": null}"#), [("/address".to_owned(), "invalid_type")]);
        let errors = read(br#"{"address": "a@x.test", "password": hunter2}"#).unwrap_err();
        assert_eq!(errors[0].code, "not_json");
        assert!(!errors[0].detail.contains("hunter"), "{}", errors[0].detail);
        let both = r#"{"address": "a@x.test", "password": "correct horse", "password_hash": "{SSHA}x"}"#;
        assert_eq!(faults(both), [("/password_hash".to_owned(), "invalid")]);
        let hash = r#"{"address": "a@x.test", "password_hash": "{MD5}x"}"#;
        assert_eq!(faults(hash), [("/password_hash".to_owned(), "invalid")]);
    }

    #[test]
    fn a_line_says_all_that_an_account_has() {
        let line = br#"{"address": "Alice@x.test", "password": "correct horse", "quota": {"octets": 5, "messages": 2, "deliveries_per_hour": 3},
            "status": "suspended", "aliases": ["info@x.test", "*@y.test"]}"#;
        let line = read(line).unwrap();
        assert_eq!(line.address.to_string(), "Alice@x.test");
        assert!(matches!(line.password, Some(LinePassword::Clear(_))));
        assert_eq!(
            line.quota,
            Quota { octets: Some(5), messages: Some(2), deliveries_per_hour: Some(3), ..Quota::default() }
        );
        assert_eq!(line.status, AccountStatus::Suspended);
        assert_eq!(line.aliases.iter().map(ToString::to_string).collect::<Vec<_>>(), ["info@x.test", "*@y.test"]);
    }
}
