//! `restante keys`: all tenants' data keys at once. Each is in the catalog and in the bucket; whatever is changed is changed in the
//! bucket first, and both always open with one of the configured master keys, wherever a command is broken off. Each may be run
//! again. (Role owner.)

use mail_types::TenantId;
use runtime::keys::MasterKeys;
use zeroize::Zeroizing;

use crate::bodies::cipher::{DataKey, WrappedKey, wrap_key};
use crate::catalog::key_ring::{self, RingRow};
use crate::{Access, Error};

/// Keys looked at in one go.
const PAGE: u32 = 500;

/// The keys of all tenants.
#[derive(Debug, Clone)]
pub struct KeyRing {
    access: Access,
}

/// What a key is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyState {
    /// New mail is encrypted under it.
    Current,
    /// Mail that was encrypted under it is read.
    DecryptOnly,
    /// It is gone, and what was encrypted under it cannot be read any more.
    Erased,
}

impl KeyState {
    fn from_code(code: i16) -> Result<Self, Error> {
        match code {
            1 => Ok(Self::Current),
            2 => Ok(Self::DecryptOnly),
            3 => Ok(Self::Erased),
            _ => Err(Error::Inconsistent { table: "tenant_keys", what: "state" }),
        }
    }
}

/// A tenant's key, as `keys list` shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedKey {
    /// Whose.
    pub tenant: TenantId,
    /// The tenant's slug.
    pub slug: String,
    /// Which of the tenant's keys.
    pub version: u32,
    /// What it is for.
    pub state: KeyState,
    /// The master key that opens it in the catalog.
    pub master_key_id: String,
    /// Whether that one is configured and opens it. An erased key needs none.
    pub opens: bool,
}

/// What a rotation of the master key did.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Rotated {
    /// Keys that are under the current master key now.
    pub rewrapped: u64,
    /// Keys that were before.
    pub current: u64,
    /// Keys that no configured master key opens: they stay as they are.
    pub unopened: Vec<(String, u32, String)>,
}

/// Why a tenant's keys were not erased.
#[derive(Debug, thiserror::Error)]
pub enum EraseRefused {
    /// There is none of that slug.
    #[error("there is no tenant {0}")]
    NoSuchTenant(String),
    /// It is in use.
    #[error(
        "tenant {0} is active: suspend or delete it first, so that no mail is accepted that nobody could ever read"
    )]
    Active(String),
    /// It failed.
    #[error(transparent)]
    Failed(#[from] Error),
}

impl KeyRing {
    /// Over connections that act as the owner.
    pub const fn new(access: Access) -> Self {
        Self { access }
    }

    /// A page of keys after a tenant's version ([`KeyRing::FIRST`] begins), in order.
    pub async fn list(&self, after: (TenantId, u32)) -> Result<Vec<ListedKey>, Error> {
        let rows = key_ring::page(&self.access.pool, None, after, PAGE).await?;
        rows.into_iter()
            .map(|row| {
                let opens = row.wrapped.as_deref().is_none_or(|wrapped| self.open(&row, wrapped).is_ok());
                Ok(ListedKey {
                    tenant: row.tenant,
                    slug: row.slug,
                    version: row.version,
                    state: KeyState::from_code(row.state)?,
                    master_key_id: row.master_key_id,
                    opens,
                })
            })
            .collect()
    }

    /// Before every key.
    pub const FIRST: (TenantId, u32) = (TenantId(i32::MIN), 0);

    /// Wraps every data key under the current master key: in the bucket, then in the catalog.
    pub async fn rotate_master(&self) -> Result<Rotated, Error> {
        let (mut rotated, mut after) = (Rotated::default(), Self::FIRST);
        loop {
            let rows = key_ring::page(&self.access.pool, None, after, PAGE).await?;
            for row in &rows {
                after = (row.tenant, row.version);
                let Some(wrapped) = row.wrapped.as_deref() else { continue };
                match self.rewrap(row, wrapped).await {
                    Ok(true) => rotated.rewrapped += 1,
                    Ok(false) => rotated.current += 1,
                    Err(Error::NoMasterKey { id }) => rotated.unopened.push((row.slug.clone(), row.version, id)),
                    Err(error) => return Err(error),
                }
            }
            if rows.len() < PAGE as usize {
                return Ok(rotated);
            }
        }
    }

    /// False: nothing had to be done.
    async fn rewrap(&self, row: &RingRow, wrapped: &[u8]) -> Result<bool, Error> {
        let current = self.access.master.current().0;
        let object = self.access.bodies.key_object(row.tenant, row.version).await?;
        let object_is_current =
            object.as_deref().and_then(WrappedKey::parse).is_some_and(|object| object.master_key_id == current);
        if row.master_key_id == current && object_is_current {
            return Ok(false);
        }
        let key = self.open(row, wrapped)?;
        let new =
            if row.master_key_id == current { wrapped.to_vec() } else { self.wrap(row.tenant, row.version, &key)? };
        let stays = self.access.bodies.replace_key(row.tenant, row.version, new).await?;
        // What was read back has to open to the same key before the old wrapping is given up.
        if *self.open(row, &stays)? != *key {
            return Err(Error::NoKey { tenant: row.tenant, version: row.version });
        }
        if row.master_key_id != current {
            key_ring::rewrapped(&self.access.pool, row, current, &stays).await?;
        }
        Ok(true)
    }

    /// Makes a new data key for a tenant, or for every one that has a current key, and answers how many were made. What was
    /// encrypted before stays readable under the keys before it; running processes take the new one within ten minutes.
    pub async fn rotate_data(&self, only: Option<TenantId>) -> Result<u64, Error> {
        let (mut made, mut after) = (0, Self::FIRST);
        let mut last: Option<(RingRow, bool)> = None;
        loop {
            let rows = key_ring::page(&self.access.pool, only, after, PAGE).await?;
            let end = rows.len() < PAGE as usize;
            for row in rows {
                after = (row.tenant, row.version);
                let (tenant, current) = (row.tenant, row.state == 1);
                let had_current = match last.take() {
                    Some((before, had)) if before.tenant == tenant => had,
                    Some((before, had)) => {
                        made += self.next_version(&before, had || only.is_some()).await?;
                        false
                    }
                    None => false,
                };
                last = Some((row, had_current || current));
            }
            if end {
                break;
            }
        }
        if let Some((row, had_current)) = last {
            // A tenant that was named may have erased keys only: it gets a new one, since that is what was asked for.
            made += self.next_version(&row, had_current || only.is_some()).await?;
        }
        Ok(made)
    }

    /// `last` is the tenant's highest version.
    async fn next_version(&self, last: &RingRow, wanted: bool) -> Result<u64, Error> {
        if !wanted {
            return Ok(0);
        }
        let (tenant, version) = (last.tenant, last.version + 1);
        let mut key = Zeroizing::new([0; 32]);
        self.access.random.fill(key.as_mut_slice());
        let wrapped = self.wrap(tenant, version, &key)?;
        // What a broken-off rotation left there is taken up.
        let stays = self.access.bodies.put_key(tenant, version, wrapped).await?;
        let master = WrappedKey::parse(&stays).ok_or(Error::NoKey { tenant, version })?.master_key_id.to_owned();
        self.open_under(tenant, version, &stays)?;
        Ok(key_ring::make_current(&self.access.pool, tenant, version, &master, &stays).await?.into())
    }

    /// Erases all keys of a tenant that is not active, and its mail with them: first in the catalog, so that nobody opens them any
    /// more, then in the bucket. Answers how many keys and objects went.
    pub async fn erase(&self, slug: &str) -> Result<(u64, u64), EraseRefused> {
        let (tenant, _) = self.tenant(slug).await?;
        let erased =
            key_ring::erase(&self.access.pool, tenant).await?.ok_or_else(|| EraseRefused::Active(slug.to_owned()))?;
        let objects = self.access.bodies.delete_keys(tenant).await?;
        Ok((erased, objects))
    }

    /// The tenant of a slug, and whether its keys may be erased.
    pub async fn tenant(&self, slug: &str) -> Result<(TenantId, bool), EraseRefused> {
        let found = key_ring::tenant(&self.access.pool, slug).await?;
        let (tenant, status) = found.ok_or_else(|| EraseRefused::NoSuchTenant(slug.to_owned()))?;
        Ok((tenant, status != 1))
    }

    fn wrap(&self, tenant: TenantId, version: u32, key: &DataKey) -> Result<Vec<u8>, Error> {
        let mut nonce = [0; 12];
        self.access.random.fill(&mut nonce);
        wrap_key(key, self.access.master.current(), nonce, tenant.0, version)
            .map_err(|_| Error::NoKey { tenant, version })
    }

    fn open(&self, row: &RingRow, wrapped: &[u8]) -> Result<DataKey, Error> {
        self.open_under(row.tenant, row.version, wrapped)
    }

    fn open_under(&self, tenant: TenantId, version: u32, wrapped: &[u8]) -> Result<DataKey, Error> {
        open_wrapped(&self.access.master, tenant, version, wrapped)
    }
}

/// Opens a wrapped key with whichever master key it names.
pub(crate) fn open_wrapped(
    master: &MasterKeys,
    tenant: TenantId,
    version: u32,
    wrapped: &[u8],
) -> Result<DataKey, Error> {
    let no_key = Error::NoKey { tenant, version };
    let Some(wrapped) = WrappedKey::parse(wrapped) else { return Err(no_key) };
    let id = wrapped.master_key_id;
    let master = master.get(id).ok_or_else(|| Error::NoMasterKey { id: id.to_owned() })?;
    wrapped.open(master, tenant.0, version).map_err(|_| no_key)
}
