//! What the commands go by that look at a whole catalog and its bucket.

use std::sync::Arc;

use mail_types::Random;
use object_store::ObjectStore;
use runtime::database::{DbRole, Pool};
use runtime::keys::MasterKeys;

use crate::StoreSettings;
use crate::bodies::Bodies;
use crate::bodies::keys::Keys;

/// A catalog, its bucket, and the keys to what is in it.
#[derive(Debug, Clone)]
pub struct Access {
    pub(crate) pool: Pool,
    pub(crate) bodies: Bodies,
    pub(crate) keys: Keys,
    pub(crate) master: MasterKeys,
    pub(crate) random: Arc<dyn Random>,
}

impl Access {
    /// Over connections that act as `role`.
    pub fn new(
        pool: Pool,
        role: DbRole,
        store: Arc<dyn ObjectStore>,
        store_settings: &StoreSettings,
        master: MasterKeys,
        random: Arc<dyn Random>,
    ) -> Self {
        let bodies = Bodies::new(store, store_settings);
        let keys = Keys::new(pool.clone(), role, bodies.clone(), master.clone(), random.clone());
        Self { pool, bodies, keys, master, random }
    }
}
