//! Configuration: a TOML file, then the environment over it (`RESTANTE_SECTION__KEY`, so `RESTANTE_POP3__LISTEN` is
//! `listen` in `[pop3]`), into structs that refuse unknown keys. Secrets are never in the file: [`secret_env`].

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use config::{Config, File, FileFormat, Map, Source, Value};
use mail_types::Secret;
use serde::de::DeserializeOwned;

/// The prefix of every environment variable that the service reads.
const PREFIX: &str = "RESTANTE_";

/// Why a configuration is not usable. The text names the key and where it came from, and holds no secret.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read or is not TOML.
    #[error("configuration file {path}: {reason}")]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A value is missing, unknown or of the wrong kind.
    #[error("configuration ({sources}): {reason}")]
    Value {
        /// Where the values came from.
        sources: String,
        /// Which key, and what is wrong with it.
        reason: String,
    },
    /// A secret's file cannot be read, or a secret is given twice.
    #[error("{name}: {reason}")]
    Secret {
        /// The environment variable.
        name: String,
        /// What is wrong with it.
        reason: String,
    },
}

/// Reads a configuration from the file (if any) and the environment of this process.
pub fn load<T: DeserializeOwned>(file: Option<&Path>) -> Result<T, ConfigError> {
    load_from(file, std::env::vars())
}

/// [`load`] with the environment passed in.
fn load_from<T: DeserializeOwned>(
    file: Option<&Path>,
    environment: impl Iterator<Item = (String, String)>,
) -> Result<T, ConfigError> {
    let mut sources = Vec::new();
    let mut builder = Config::builder();
    if let Some(path) = file {
        let text = std::fs::read_to_string(path)
            .map_err(|error| ConfigError::File { path: path.to_owned(), reason: error.to_string() })?;
        File::from_str(&text, FileFormat::Toml)
            .collect()
            .map_err(|error| ConfigError::File { path: path.to_owned(), reason: error.to_string() })?;
        builder = builder.add_source(File::from_str(&text, FileFormat::Toml));
        sources.push(path.display().to_string());
    }
    // Sorted, so that the same environment always gives the same error.
    let variables: BTreeMap<String, String> = environment.filter(|(name, _)| is_key(name)).collect();
    for (name, text) in &variables {
        let key = name.trim_start_matches(PREFIX).to_lowercase().replace("__", ".");
        builder = builder
            .set_override(&key, environment_value(text))
            .map_err(|error| ConfigError::Value { sources: name.clone(), reason: error.to_string() })?;
        sources.push(name.clone());
    }
    if sources.is_empty() {
        sources.push("no file, no environment".to_owned());
    }
    builder
        .build()
        .and_then(Config::try_deserialize)
        .map_err(|error| ConfigError::Value { sources: sources.join(", "), reason: error.to_string() })
}

/// Whether a variable is a configuration key: the fixed names (`RESTANTE_DATABASE_URL`) have no double underscore.
fn is_key(name: &str) -> bool {
    name.strip_prefix(PREFIX).is_some_and(|rest| rest.contains("__"))
}

/// A variable's value: a TOML list, table, quoted string, number or boolean where it reads as one, else the text itself.
fn environment_value(text: &str) -> Value {
    let as_toml = || -> Option<Value> {
        let mut map: Map<String, Value> =
            File::from_str(&format!("value = {text}"), FileFormat::Toml).collect().ok()?;
        (map.len() == 1).then(|| map.remove("value"))?
    };
    as_toml().unwrap_or_else(|| Value::from(text))
}

/// The secret in the environment variable NAME, or in the file that NAME_FILE names (without its last line end); `None`
/// where neither is set or the value is empty.
pub fn secret_env(name: &str) -> Result<Option<Secret>, ConfigError> {
    secret_from(name, |variable| std::env::var(variable).ok())
}

/// [`secret_env`] with the environment passed in.
fn secret_from(name: &str, variable: impl Fn(&str) -> Option<String>) -> Result<Option<Secret>, ConfigError> {
    let file_name = format!("{name}_FILE");
    let value = variable(name).filter(|value| !value.is_empty());
    let file = variable(&file_name).filter(|path| !path.is_empty());
    match (value, file) {
        (Some(_), Some(_)) => Err(ConfigError::Secret {
            name: name.to_owned(),
            reason: format!("set either this or {file_name}, not both"),
        }),
        (Some(value), None) => Ok(Some(Secret::from(value))),
        (None, Some(path)) => {
            let text = std::fs::read_to_string(&path)
                .map_err(|error| ConfigError::Secret { name: file_name, reason: format!("{path}: {error}") })?;
            let text = text.trim_end_matches(['\r', '\n']);
            Ok((!text.is_empty()).then(|| Secret::from(text)))
        }
        (None, None) => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Default, PartialEq, Deserialize)]
    #[serde(deny_unknown_fields, default)]
    struct Example {
        pop3: Pop3,
        name: String,
    }

    #[derive(Debug, Default, PartialEq, Deserialize)]
    #[serde(deny_unknown_fields, default)]
    struct Pop3 {
        listen: Vec<String>,
        idle_seconds: u32,
        password: String,
        plain: bool,
    }

    fn file(text: &str) -> tempfile::NamedTempFile {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        file
    }

    fn load_with(text: &str, environment: &[(&str, &str)]) -> Result<Example, ConfigError> {
        let file = file(text);
        load_from(Some(file.path()), environment.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())))
    }

    #[test]
    fn the_environment_is_over_the_file() {
        let text = "name = 'a'\n[pop3]\nlisten = ['127.0.0.1:110']\nidle_seconds = 5";
        let example = load_with(
            text,
            &[
                ("RESTANTE_POP3__LISTEN", r#"["[::1]:110", "unix:/run/pop3"]"#),
                ("RESTANTE_POP3__IDLE_SECONDS", "600"),
                ("RESTANTE_POP3__PASSWORD", "127.0.0.1"),
                ("RESTANTE_POP3__PLAIN", "true"),
                ("RESTANTE_DATABASE_URL", "postgres:///x"),
                ("OTHER__X", "1"),
            ],
        )
        .unwrap();
        assert_eq!(
            example,
            Example {
                name: "a".to_owned(),
                pop3: Pop3 {
                    listen: vec!["[::1]:110".to_owned(), "unix:/run/pop3".to_owned()],
                    idle_seconds: 600,
                    password: "127.0.0.1".to_owned(),
                    plain: true
                }
            }
        );
    }

    #[test]
    fn an_error_names_the_key_and_the_file() {
        for (text, environment, expected) in [
            ("[pop3]\nlisten = 5", &[][..], "pop3.listen"),
            ("[pop3]\nidle_seconds = 'x'", &[], "pop3.idle_seconds"),
            ("[pop3]\nlissten = []", &[], "lissten"),
            ("[popp3]\n", &[], "popp3"),
            ("", &[("RESTANTE_POP3__LISSTEN", "x")], "RESTANTE_POP3__LISSTEN"),
        ] {
            let error = load_with(text, environment).unwrap_err().to_string();
            eprintln!("{error}");
            assert!(error.contains(expected), "{error}");
            assert!(error.contains("/tmp"), "the file is named: {error}");
        }
        let error = load_with("x = = 1", &[]).unwrap_err();
        assert!(matches!(error, ConfigError::File { .. }), "{error}");
        let error = load_from::<Example>(Some(Path::new("/nowhere/x.toml")), std::iter::empty()).unwrap_err();
        assert!(error.to_string().contains("/nowhere/x.toml"), "{error}");
    }

    #[test]
    fn a_secret_comes_from_its_variable_or_its_file() {
        let file = file("from the file\n");
        let path = file.path().display().to_string();
        let secret = |name: &str, value: &str| {
            let (name, value) = (name.to_owned(), value.to_owned());
            secret_from("KEY", move |variable| (variable == name).then(|| value.clone()))
        };
        assert_eq!(secret("KEY", "x").unwrap(), Some(Secret::from("x")));
        assert_eq!(secret("KEY", "").unwrap(), None);
        assert_eq!(secret("KEY_FILE", &path).unwrap(), Some(Secret::from("from the file")));
        assert_eq!(secret("OTHER", "x").unwrap(), None);
        let error = secret("KEY_FILE", "/nowhere").unwrap_err().to_string();
        assert!(error.contains("KEY_FILE") && error.contains("/nowhere"), "{error}");
        let error = secret_from("KEY", |_| Some("hunter2".to_owned())).unwrap_err().to_string();
        assert!(error.contains("not both") && !error.contains("hunter2"), "{error}");
    }
}
