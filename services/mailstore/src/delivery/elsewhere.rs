//! The messages that are on their way beside the queue and the store: their octets arrive, they are compressed, or committed. Those will
//! be in the queue soon, or their senders' next ones will.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Notify;

/// How many they are.
#[derive(Debug, Default)]
pub(crate) struct Elsewhere {
    messages: AtomicUsize,
    /// Told when there are fewer.
    pub(super) fewer: Notify,
}

/// Some messages are on their way until this is dropped.
#[derive(Debug)]
pub(crate) struct Stay {
    elsewhere: Arc<Elsewhere>,
    messages: usize,
}

impl Elsewhere {
    pub(crate) fn stay(self: &Arc<Self>, messages: usize) -> Stay {
        self.messages.fetch_add(messages, Ordering::Relaxed);
        Stay { elsewhere: self.clone(), messages }
    }

    pub(crate) fn messages(&self) -> usize {
        self.messages.load(Ordering::Relaxed)
    }
}

impl Drop for Stay {
    fn drop(&mut self) {
        self.elsewhere.messages.fetch_sub(self.messages, Ordering::Relaxed);
        self.elsewhere.fewer.notify_one();
    }
}
