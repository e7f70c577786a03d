//! Bodies: segments in object storage. Everything here is about octets and places; what a message is and whose, the catalog
//! knows. Objects are immutable and never written twice, so nothing read here can be stale.

pub(crate) mod cipher;
pub(crate) mod encode;
pub mod frame;
pub(crate) mod keys;
pub(crate) mod meta;
pub(crate) mod objects;
pub mod segment;

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, StreamExt as _, TryStreamExt as _};
use mail_types::{SegmentUuid, TenantId};
use object_store::path::Path;
use object_store::{GetOptions, GetRange, ObjectStore, ObjectStoreExt as _, PutMode, PutPayload};
use prometheus::{HistogramVec, register_histogram_vec};

use self::segment::{Entry, TRAILER_LEN, Trailer};
use crate::Error;
use crate::config::StoreSettings;

/// The first request for a footer: a segment of deliveries has 256 frames at most, so that one request is enough.
const FOOTER_GUESS: u64 = 256 * segment::ENTRY_LEN as u64 + TRAILER_LEN as u64;

static REQUESTS: LazyLock<HistogramVec> = LazyLock::new(|| {
    #[expect(clippy::expect_used, reason = "the name and labels are constants")]
    register_histogram_vec!(
        "restante_store_request_seconds",
        "Requests to the object store until their answer, by kind and result",
        &["kind", "result"],
        vec![0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0]
    )
    .expect("a well-formed metric")
});

/// The object store, with deadlines.
#[derive(Debug, Clone)]
pub struct Bodies {
    store: Arc<dyn ObjectStore>,
    deadline: Duration,
}

impl Bodies {
    /// Over any store; `settings` give the deadline of a request.
    pub fn new(store: Arc<dyn ObjectStore>, settings: &StoreSettings) -> Self {
        Self { store, deadline: Duration::from_millis(settings.request_deadline_ms) }
    }

    /// The object's name, a function of the uuid: `v1/seg/YYYYMMDDHH/UUID`, the hour being that of the uuid (UTC).
    pub fn key(segment: SegmentUuid) -> Path {
        Path::from(format!("v1/seg/{}/{segment}", hour(segment)))
    }

    /// Writes a segment; returns when it is durable.
    pub async fn put(&self, segment: SegmentUuid, pieces: Vec<Bytes>) -> Result<(), Error> {
        let payload = PutPayload::from_iter(pieces);
        self.timed("put", self.store.put(&Self::key(segment), payload)).await.map(drop)
    }

    /// Writes a tenant's wrapped key, once; answers what lies there, which may be another process's.
    pub async fn put_key(&self, tenant: TenantId, version: u32, wrapped: Vec<u8>) -> Result<Bytes, Error> {
        let key = Path::from(format!("v1/key/{tenant}/{version}"));
        match self.timed("put", self.store.put_opts(&key, wrapped.into(), PutMode::Create.into())).await {
            Ok(_) | Err(Error::Store(object_store::Error::AlreadyExists { .. })) => {}
            Err(error) => return Err(error),
        }
        // Read back before its first use: a key that cannot be read again would lose every message under it.
        let read = async { self.store.get(&key).await?.bytes().await };
        self.timed("get", read).await
    }

    /// Some octets of a segment, all at once.
    pub async fn get_whole(&self, segment: SegmentUuid, offset: u64, len: u64) -> Result<Bytes, Error> {
        let key = Self::key(segment);
        let octets = self.timed("get", self.store.get_range(&key, offset..offset + len)).await?;
        if octets.len() as u64 == len {
            return Ok(octets);
        }
        Err(Error::Damaged { segment, offset, what: "the object ends inside the frame" })
    }

    /// Opens some octets of a segment; the first answer has come when this returns.
    pub async fn get(
        &self,
        segment: SegmentUuid,
        offset: u64,
        len: u64,
    ) -> Result<impl Stream<Item = Result<Bytes, Error>> + Send + Unpin + use<>, Error> {
        let options = GetOptions { range: Some(GetRange::Bounded(offset..offset + len)), ..GetOptions::default() };
        let key = Self::key(segment);
        let result = self.timed("get", self.store.get_opts(&key, options)).await?;
        let deadline = self.deadline;
        let chunks = result.into_stream().map_err(Error::from);
        Ok(Box::pin(futures_util::stream::unfold(chunks, move |mut chunks| async move {
            // Each chunk has the deadline of a request: a store that stalls in mid-body must not hold a session for ever.
            match tokio::time::timeout(deadline, chunks.next()).await {
                Ok(chunk) => chunk.map(|chunk| (chunk, chunks)),
                Err(_) => Some((Err(Error::StoreDeadline(deadline)), chunks)),
            }
        })))
    }

    /// The frames that a segment's footer lists, and the octets of the whole object.
    pub async fn footer(&self, segment: SegmentUuid) -> Result<(Vec<Entry>, u64), Error> {
        let key = Self::key(segment);
        let damaged = |what| Error::Damaged { segment, offset: 0, what };
        let options = GetOptions { range: Some(GetRange::Suffix(FOOTER_GUESS)), ..GetOptions::default() };
        let (size, tail) = self
            .timed("get", async {
                let result = self.store.get_opts(&key, options).await?;
                Ok((result.meta.size, result.bytes().await?))
            })
            .await?;
        let trailer = Trailer::decode(&tail).map_err(damaged)?;
        let (len, before) = (u64::from(trailer.footer_len), size.saturating_sub(TRAILER_LEN as u64));
        if trailer.footer_offset.checked_add(len) != Some(before) {
            return Err(damaged("the footer is not where the trailer says"));
        }
        let read = (tail.len() as u64).checked_sub(len + TRAILER_LEN as u64);
        let footer = match read.and_then(|at| usize::try_from(at).ok()) {
            Some(at) => tail.slice(at..tail.len() - TRAILER_LEN),
            None => self.get_whole(segment, trailer.footer_offset, len).await?,
        };
        Ok((trailer.entries(&footer).map_err(damaged)?, size))
    }

    /// Deletes a segment; one that is not there counts as deleted.
    pub async fn delete(&self, segment: SegmentUuid) -> Result<(), Error> {
        let key = Self::key(segment);
        match self.timed("delete", self.store.delete(&key)).await {
            Err(Error::Store(object_store::Error::NotFound { .. })) => Ok(()),
            other => other,
        }
    }

    /// The hours (`YYYYMMDDHH`) that have segments, in order.
    pub async fn hours(&self) -> Result<Vec<String>, Error> {
        let listed = self.timed("list", self.store.list_with_delimiter(Some(&Path::from("v1/seg")))).await?;
        let mut hours: Vec<String> =
            listed.common_prefixes.iter().filter_map(|p| p.filename().map(str::to_owned)).collect();
        hours.sort_unstable();
        Ok(hours)
    }

    /// The segments of an hour.
    pub async fn segments(&self, hour: &str) -> Result<Vec<SegmentUuid>, Error> {
        let prefix = Path::from(format!("v1/seg/{hour}"));
        let listed: Vec<_> = self.timed("list", self.store.list(Some(&prefix)).try_collect()).await?;
        let uuid = |name: &str| u128::from_str_radix(name, 16).ok().and_then(SegmentUuid::from_u128);
        Ok(listed.iter().filter_map(|object| object.location.filename().and_then(uuid)).collect())
    }

    /// Whether the store answers: a listing of one name.
    pub async fn ping(&self) -> Result<(), Error> {
        let first = async { self.store.list(Some(&Path::from("v1/cat"))).try_next().await };
        self.timed("ping", first).await.map(drop)
    }

    async fn timed<T>(
        &self,
        kind: &str,
        request: impl Future<Output = Result<T, object_store::Error>>,
    ) -> Result<T, Error> {
        let start = tokio::time::Instant::now();
        let result = match tokio::time::timeout(self.deadline, request).await {
            Ok(result) => result.map_err(Error::from),
            Err(_) => Err(Error::StoreDeadline(self.deadline)),
        };
        let label = result.as_ref().err().map_or("ok", Error::kind);
        REQUESTS.with_label_values(&[kind, label]).observe(start.elapsed().as_secs_f64());
        result
    }
}

/// The hour of the uuid's time, UTC: `YYYYMMDDHH`.
fn hour(segment: SegmentUuid) -> String {
    let ms = i64::try_from(segment.made_at().unix_ms()).unwrap_or(i64::MAX);
    chrono::DateTime::from_timestamp_millis(ms).unwrap_or_default().format("%Y%m%d%H").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_a_function_of_the_uuid() {
        let segment = SegmentUuid::from_u128(0x0192_4567_89ab_7fff_bfff_ffff_fff0_0000).unwrap();
        assert_eq!(Bodies::key(segment).as_ref(), "v1/seg/2024100100/0192456789ab7fffbffffffffff00000");
    }
}
