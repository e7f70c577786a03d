//! The tenants' data keys: wrapped by the master key, in PostgreSQL and, first, in the bucket, so that bucket and master key
//! alone can open every message. Opened keys are held for ten minutes at most, so that an erasure bites.

use std::sync::Arc;
use std::time::Duration;

use mail_types::{Random, TenantId};
use moka::sync::Cache;
use runtime::database::{DbRole, Pool};
use runtime::keys::MasterKeys;
use tokio::sync::Mutex;
use zeroize::Zeroizing;

use super::Bodies;
use super::cipher::{DataKey, WrappedKey, wrap_key};
use crate::Error;
use crate::catalog::keys::{self, KeyRow};

const HELD: Duration = Duration::from_secs(600);

/// A tenant's key and its version.
#[derive(Clone)]
pub(crate) struct TenantKey {
    pub(crate) version: u32,
    pub(crate) key: Arc<DataKey>,
}

/// The keys that this process has opened, and the way to others.
#[derive(Clone)]
pub(crate) struct Keys {
    pool: Pool,
    role: DbRole,
    bodies: Bodies,
    master: MasterKeys,
    random: Arc<dyn Random>,
    /// By version; version 0 stands for the current one.
    held: Cache<(TenantId, u32), TenantKey>,
    /// Who asks for a tenant's current key first: the others wait for what he finds.
    asking: Cache<TenantId, Arc<Mutex<()>>>,
}

/// Nothing of the keys.
impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keys").field("role", &self.role).finish_non_exhaustive()
    }
}

impl Keys {
    pub(crate) fn new(pool: Pool, role: DbRole, bodies: Bodies, master: MasterKeys, random: Arc<dyn Random>) -> Self {
        let held = Cache::builder().time_to_live(HELD).max_capacity(100_000).build();
        let asking = Cache::builder().time_to_idle(HELD).max_capacity(100_000).build();
        Self { pool, role, bodies, master, random, held, asking }
    }

    /// The connections and the role that keys are asked for by.
    pub(crate) fn asked_by(&self) -> (&Pool, DbRole) {
        (&self.pool, self.role)
    }

    /// The key that new frames are made under; made itself where the tenant has none yet.
    pub(crate) async fn current(&self, tenant: TenantId) -> Result<TenantKey, Error> {
        if let Some(held) = self.held.get(&(tenant, 0)) {
            return Ok(held);
        }
        let asking = self.asking.get_with(tenant, Arc::default);
        let _first = asking.lock().await;
        if let Some(held) = self.held.get(&(tenant, 0)) {
            return Ok(held);
        }
        let row = match keys::current(&self.pool, self.role, tenant).await? {
            Some(row) => row,
            None => match keys::version(&self.pool, self.role, tenant, 1).await? {
                // Erased: a delivery makes no new one, not even in the bucket.
                Some(row) if row.wrapped.is_none() => return Err(Error::KeyErased { tenant, version: 1 }),
                // Another process made it between the two questions.
                Some(row) => row,
                None => self.make(tenant, 1).await?,
            },
        };
        let key = self.open(tenant, &row)?;
        self.held.insert((tenant, 0), key.clone());
        Ok(key)
    }

    /// The key of a version, for reading.
    pub(crate) async fn get(&self, tenant: TenantId, version: u32) -> Result<TenantKey, Error> {
        if let Some(held) = self.held.get(&(tenant, version)) {
            return Ok(held);
        }
        let row =
            keys::version(&self.pool, self.role, tenant, version).await?.ok_or(Error::NoKey { tenant, version })?;
        let key = self.open(tenant, &row)?;
        self.held.insert((tenant, version), key.clone());
        Ok(key)
    }

    /// Makes a key: its object first, read back, then its row. Of two processes at the same moment one's object stays, and
    /// both go on with that.
    async fn make(&self, tenant: TenantId, version: u32) -> Result<KeyRow, Error> {
        let mut key = Zeroizing::new([0; 32]);
        self.random.fill(key.as_mut_slice());
        let mut nonce = [0; 12];
        self.random.fill(&mut nonce);
        let no_key = Error::NoKey { tenant, version };
        let wrapped = wrap_key(&key, self.master.current(), nonce, tenant.0, version)
            .map_err(|_| Error::NoKey { tenant, version })?;
        let stays = self.bodies.put_key(tenant, version, wrapped).await?;
        let master_key_id = WrappedKey::parse(&stays).ok_or(no_key)?.master_key_id.to_owned();
        keys::insert(&self.pool, self.role, tenant, &KeyRow { version, master_key_id, wrapped: Some(stays.to_vec()) })
            .await
    }

    fn open(&self, tenant: TenantId, row: &KeyRow) -> Result<TenantKey, Error> {
        let version = row.version;
        let wrapped = row.wrapped.as_deref().ok_or(Error::KeyErased { tenant, version })?;
        let wrapped = WrappedKey::parse(wrapped).ok_or(Error::NoKey { tenant, version })?;
        let master = self
            .master
            .get(wrapped.master_key_id)
            .ok_or(Error::NoMasterKey { id: wrapped.master_key_id.to_owned() })?;
        let key = wrapped.open(master, tenant.0, version).map_err(|_| Error::NoKey { tenant, version })?;
        Ok(TenantKey { version, key: Arc::new(key) })
    }
}
