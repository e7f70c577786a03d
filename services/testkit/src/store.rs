use std::{
    collections::HashMap,
    fmt,
    ops::Range,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{StreamExt as _, stream::BoxStream};
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result, path::Path,
};
use tokio::sync::watch;

/// What a fault is told by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Operation {
    /// Writing an object (whole; a multipart upload counts when it is begun).
    Put,
    /// Reading an object, a part of it or what is known of it.
    Get,
    /// Deleting an object.
    Delete,
    /// Listing.
    List,
}

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Nothing is done, and an error is the answer.
    Fail,
    /// It is done, but an error is the answer.
    LoseAnswer,
    /// Nothing is done and no answer comes until [`FaultyStore::release`]; then it is done as usual.
    Hang,
}

/// An object store in front of another one that fails on command. Clones are the same store.
#[derive(Debug, Clone)]
pub struct FaultyStore {
    inner: Arc<dyn ObjectStore>,
    plan: Arc<Mutex<Plan>>,
    released: Arc<watch::Sender<u64>>,
}

#[derive(Debug, Default)]
struct Plan {
    /// How often each operation was called.
    calls: HashMap<Operation, u64>,
    /// For the call of that number, counted from 1.
    once: HashMap<(Operation, u64), Fault>,
    /// For every call.
    always: HashMap<Operation, Fault>,
    /// Before every call.
    delay: HashMap<Operation, Duration>,
}

impl FaultyStore {
    /// No faults yet.
    pub fn new(inner: Arc<dyn ObjectStore>) -> Self {
        Self { inner, plan: Arc::default(), released: Arc::new(watch::Sender::new(0)) }
    }

    /// The `n`-th call from now on (1 is the next one) has this fault.
    pub fn nth(&self, operation: Operation, n: u64, fault: Fault) {
        let mut plan = self.plan();
        let number = plan.calls.get(&operation).copied().unwrap_or(0) + n;
        plan.once.insert((operation, number), fault);
    }

    /// Every call has this fault, or none of them any more. Faults of single calls come first.
    pub fn always(&self, operation: Operation, fault: Option<Fault>) {
        let mut plan = self.plan();
        match fault {
            Some(fault) => plan.always.insert(operation, fault),
            None => plan.always.remove(&operation),
        };
    }

    /// Every call takes that much longer (by tokio's clock).
    pub fn delay(&self, operation: Operation, by: Duration) {
        self.plan().delay.insert(operation, by);
    }

    /// Lets all calls that hang now go on.
    pub fn release(&self) {
        self.released.send_modify(|times| *times += 1);
    }

    /// How often it was called, the calls with a fault included.
    pub fn calls(&self, operation: Operation) -> u64 {
        self.plan().calls.get(&operation).copied().unwrap_or(0)
    }

    fn plan(&self) -> std::sync::MutexGuard<'_, Plan> {
        self.plan.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a call and waits as planned. An error is the answer; `Ok(true)`: do it and answer with [`lost`].
    async fn before(&self, operation: Operation) -> Result<bool> {
        let mut released = self.released.subscribe();
        let (fault, delay) = {
            let mut plan = self.plan();
            let calls = plan.calls.entry(operation).or_default();
            *calls += 1;
            let number = *calls;
            let fault = plan.once.remove(&(operation, number)).or_else(|| plan.always.get(&operation).copied());
            (fault, plan.delay.get(&operation).copied())
        };
        if let Some(delay) = delay {
            tokio::time::sleep(delay).await;
        }
        match fault {
            None => Ok(false),
            Some(Fault::LoseAnswer) => Ok(true),
            Some(Fault::Fail) => Err(error("failed as planned")),
            Some(Fault::Hang) => released.changed().await.map(|()| false).map_err(|_| error("nobody can release it")),
        }
    }
}

/// What the caller sees of a call that was done.
fn answer<T>(lose: bool, result: Result<T>) -> Result<T> {
    result.and_then(|value| if lose { Err(error("the answer is lost as planned")) } else { Ok(value) })
}

fn error(text: &'static str) -> Error {
    Error::Generic { store: "faulty", source: text.into() }
}

impl fmt::Display for FaultyStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FaultyStore({})", self.inner)
    }
}

#[async_trait]
impl ObjectStore for FaultyStore {
    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        let lose = self.before(Operation::Put).await?;
        answer(lose, self.inner.put_opts(location, payload, options).await)
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        let lose = self.before(Operation::Put).await?;
        answer(lose, self.inner.put_multipart_opts(location, options).await)
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let lose = self.before(Operation::Get).await?;
        answer(lose, self.inner.get_opts(location, options).await)
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        let lose = self.before(Operation::Get).await?;
        answer(lose, self.inner.get_ranges(location, ranges).await)
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        // One at a time, so that a fault meets one object.
        let store = self.clone();
        locations
            .then(move |location| {
                let store = store.clone();
                async move {
                    let location = location?;
                    let lose = store.before(Operation::Delete).await?;
                    let one = futures_util::stream::once(std::future::ready(Ok(location))).boxed();
                    match store.inner.delete_stream(one).next().await {
                        Some(deleted) => answer(lose, deleted),
                        None => Err(error("the store deleted nothing")),
                    }
                }
            })
            .boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let (store, listed) = (self.clone(), self.inner.list(prefix));
        futures_util::stream::once(async move {
            match answer(store.before(Operation::List).await?, Ok(())) {
                Ok(()) => Ok(listed),
                Err(error) => Err(error),
            }
        })
        .flat_map(|listed| match listed {
            Ok(listed) => listed,
            Err(error) => futures_util::stream::once(std::future::ready(Err(error))).boxed(),
        })
        .boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        let lose = self.before(Operation::List).await?;
        answer(lose, self.inner.list_with_delimiter(prefix).await)
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        let lose = self.before(Operation::Put).await?;
        answer(lose, self.inner.copy_opts(from, to, options).await)
    }
}

#[cfg(test)]
mod tests {
    use futures_util::TryStreamExt as _;
    use object_store::{ObjectStoreExt as _, memory::InMemory};

    use super::*;

    #[tokio::test]
    async fn faults_come_as_planned() {
        let inner = Arc::new(InMemory::new());
        let store = FaultyStore::new(Arc::clone(&inner) as Arc<dyn ObjectStore>);
        let path = |name: &str| Path::from(name);
        store.nth(Operation::Put, 2, Fault::Fail);
        store.nth(Operation::Put, 3, Fault::LoseAnswer);
        store.put(&path("1"), "x".into()).await.unwrap();
        store.put(&path("2"), "x".into()).await.unwrap_err();
        store.put(&path("3"), "x".into()).await.unwrap_err();
        assert!(inner.head(&path("2")).await.is_err());
        assert!(inner.head(&path("3")).await.is_ok());

        store.nth(Operation::Put, 1, Fault::Hang);
        let hanging = tokio::spawn({
            let store = store.clone();
            async move { store.put(&Path::from("4"), "x".into()).await }
        });
        while store.calls(Operation::Put) < 4 {
            tokio::task::yield_now().await;
        }
        assert!(inner.head(&path("4")).await.is_err());
        store.release();
        hanging.await.unwrap().unwrap();
        assert!(inner.head(&path("4")).await.is_ok());

        store.always(Operation::Get, Some(Fault::Fail));
        store.get(&path("1")).await.unwrap_err();
        store.always(Operation::Get, None);
        store.get(&path("1")).await.unwrap();
        store.nth(Operation::Delete, 1, Fault::LoseAnswer);
        store.delete(&path("1")).await.unwrap_err();
        store.nth(Operation::List, 1, Fault::Fail);
        store.list(None).try_collect::<Vec<_>>().await.unwrap_err();
        let left: Vec<ObjectMeta> = store.list(None).try_collect().await.unwrap();
        assert_eq!(left.len(), 2, "3 and 4");
        assert_eq!((store.calls(Operation::Put), store.calls(Operation::Get), store.calls(Operation::List)), (4, 2, 2));
    }
}
