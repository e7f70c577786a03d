//! What can be set about the mailstore, and the object store's URL.

use std::sync::Arc;
use std::time::Duration;

use mail_types::Secret;
use object_store::aws::AmazonS3Builder;
use object_store::local::LocalFileSystem;
use object_store::{BackoffConfig, ClientOptions, ObjectStore, RetryConfig};
use serde::Deserialize;

use crate::Error;

/// `[object_store]`: how patiently the store is asked.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StoreSettings {
    /// How long a request may take with all its retries, milliseconds; after that the store counts as unavailable.
    pub request_deadline_ms: u64,
    /// How long to wait for a connection, milliseconds.
    pub connect_timeout_ms: u64,
    /// Retries of a request that failed on the way or with 5xx.
    pub retries: usize,
}

impl Default for StoreSettings {
    fn default() -> Self {
        Self { request_deadline_ms: 15_000, connect_timeout_ms: 2_000, retries: 4 }
    }
}

/// `[mailstore]`: bounds of delivery.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Memory for bodies in flight, octets, in this process. A body that finds none within `memory_wait_ms` is refused for now.
    pub memory_octets: u64,
    /// How long a body waits for memory, milliseconds.
    pub memory_wait_ms: u64,
    /// Groups of messages on their way to the store at the same time, where one is slow.
    pub puts_in_flight: usize,
    /// A PUT that takes three times as long as usual no longer holds the next one back, but never before this, milliseconds.
    pub slow_put_ms: u64,
    /// A segment is closed at this many octets.
    pub segment_octets: u64,
    /// A segment is closed at this many copies.
    pub segment_copies: usize,
    /// A message over this many octets is a segment of its own.
    pub large_octets: u64,
    /// Large messages on their way to the store at the same time.
    pub large_in_flight: usize,
    /// How long a recipient whose maildrop is busy is tried again, milliseconds.
    pub busy_deadline_ms: u64,
    /// How long a commit is tried again while the database is away, milliseconds.
    pub commit_deadline_ms: u64,
    /// Memory for lists of maildrops held between sessions, octets.
    pub lists_octets: u64,
    /// Memory for frames held between sessions, octets.
    pub frames_octets: u64,
    /// Reading ahead of sessions that fetch in sequence.
    pub read_ahead: ReadAheadSettings,
}

/// `[mailstore.read_ahead]`: bounds of what is read before it is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ReadAheadSettings {
    /// Messages of one session on the way.
    pub session_messages: usize,
    /// Octets of one session on the way.
    pub session_octets: u64,
    /// Octets of all sessions of the process on the way.
    pub process_octets: u64,
}

impl Default for ReadAheadSettings {
    fn default() -> Self {
        Self { session_messages: 64, session_octets: 4 * 1024 * 1024, process_octets: 128 * 1024 * 1024 }
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            memory_octets: 256 * 1024 * 1024,
            memory_wait_ms: 10_000,
            puts_in_flight: 4,
            slow_put_ms: 50,
            segment_octets: 4 * 1024 * 1024,
            segment_copies: 256,
            large_octets: 1024 * 1024,
            large_in_flight: 4,
            busy_deadline_ms: 5_000,
            commit_deadline_ms: 30_000,
            lists_octets: 64 * 1024 * 1024,
            frames_octets: 64 * 1024 * 1024,
            read_ahead: ReadAheadSettings::default(),
        }
    }
}

/// Opens the store of a URL: `s3://BUCKET?endpoint=URL&region=NAME` (keys are passed beside it, never in it), or
/// `file:///DIRECTORY`, which is made if need be and fsyncs what it writes.
pub fn open_store(
    url: &str,
    access_key: Option<(&str, &Secret)>,
    settings: &StoreSettings,
) -> Result<Arc<dyn ObjectStore>, Error> {
    let wrong = |what: &str| Error::Url(what.to_owned());
    let parsed = url::Url::parse(url).map_err(|_| wrong("not a URL"))?;
    match parsed.scheme() {
        "file" => {
            let directory = parsed.to_file_path().map_err(|()| wrong("file:///DIRECTORY needs an absolute path"))?;
            std::fs::create_dir_all(&directory)
                .map_err(|error| Error::Url(format!("{}: {error}", directory.display())))?;
            Ok(Arc::new(LocalFileSystem::new_with_prefix(directory)?.with_fsync(true).with_automatic_cleanup(true)))
        }
        "s3" => {
            let bucket =
                parsed.host_str().filter(|b| !b.is_empty()).ok_or_else(|| wrong("s3://BUCKET needs a bucket"))?;
            if !parsed.username().is_empty() || parsed.password().is_some() {
                return Err(wrong("keys belong in AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, not in the URL"));
            }
            let mut builder = AmazonS3Builder::new()
                .with_bucket_name(bucket)
                .with_region("us-east-1")
                .with_retry(RetryConfig {
                    backoff: BackoffConfig {
                        init_backoff: Duration::from_millis(50),
                        max_backoff: Duration::from_secs(2),
                        base: 2.0,
                    },
                    max_retries: settings.retries,
                    retry_timeout: Duration::from_millis(settings.request_deadline_ms),
                })
                .with_client_options(
                    ClientOptions::new()
                        .with_allow_http(true)
                        .with_connect_timeout(Duration::from_millis(settings.connect_timeout_ms))
                        .with_timeout(Duration::from_millis(settings.request_deadline_ms)),
                );
            for (key, value) in parsed.query_pairs() {
                builder = match key.as_ref() {
                    "endpoint" => builder.with_endpoint(value),
                    "region" => builder.with_region(value),
                    "virtual_hosted" => builder.with_virtual_hosted_style_request(value == "true"),
                    other => {
                        return Err(Error::Url(format!(
                            "{other} is not known; there are endpoint, region and virtual_hosted"
                        )));
                    }
                };
            }
            if let Some((id, secret)) = access_key {
                let secret = secret.expose_str().ok_or_else(|| wrong("AWS_SECRET_ACCESS_KEY is not text"))?;
                builder = builder.with_access_key_id(id).with_secret_access_key(secret);
            }
            Ok(Arc::new(builder.build()?))
        }
        _ => Err(wrong("the scheme must be s3 or file")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn refused(url: &str) -> String {
        open_store(url, None, &StoreSettings::default()).err().map(|e| e.to_string()).unwrap_or_default()
    }

    #[test]
    fn urls_are_proved_when_the_process_starts() {
        assert!(refused("bucket").contains("not a URL"));
        assert!(refused("http://a").contains("s3 or file"));
        assert!(refused("s3://").contains("bucket"));
        assert!(refused("s3://b?colour=red").contains("colour"));
        assert!(refused("s3://key:secret@b").contains("AWS_ACCESS_KEY_ID"));
        let key = Secret::from("s");
        assert!(
            open_store("s3://b?endpoint=http://127.0.0.1:1&region=x", Some(("k", &key)), &StoreSettings::default())
                .is_ok()
        );
    }
}
