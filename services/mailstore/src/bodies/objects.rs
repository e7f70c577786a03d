//! The few objects beside the segments: wrapped keys, the tenants' slugs, and the marks of catalogs.
//!
//! ```text
//! v1/key/TENANT/VERSION    a wrapped data key: see `cipher`
//! v1/tenant/TENANT         the tenant's slug, for `fsck --rebuild`
//! v1/cat/INCARNATION       the last mark of a catalog: see `crate::mark`
//! ```

use bytes::Bytes;
use futures_util::TryStreamExt as _;
use mail_types::TenantId;
use object_store::path::Path;
use object_store::{ObjectStoreExt as _, PutMode};

use super::Bodies;
use crate::Error;

fn key_path(tenant: TenantId, version: u32) -> Path {
    Path::from(format!("v1/key/{tenant}/{version}"))
}

fn mark_path(incarnation: u128) -> Path {
    Path::from(format!("v1/cat/{incarnation:032x}"))
}

fn tenant_path(tenant: TenantId) -> Path {
    Path::from(format!("v1/tenant/{tenant}"))
}

impl Bodies {
    /// A tenant's wrapped key, if it is there.
    pub(crate) async fn key_object(&self, tenant: TenantId, version: u32) -> Result<Option<Bytes>, Error> {
        self.small(&key_path(tenant, version)).await
    }

    /// Writes a tenant's wrapped key over what lies there, and reads it back.
    pub(crate) async fn replace_key(&self, tenant: TenantId, version: u32, wrapped: Vec<u8>) -> Result<Bytes, Error> {
        let path = key_path(tenant, version);
        self.timed("put", self.store.put(&path, wrapped.into())).await?;
        let read = async { self.store.get(&path).await?.bytes().await };
        self.timed("get", read).await
    }

    /// The tenants and versions of which there is a wrapped key, in order.
    pub(crate) async fn key_objects(&self) -> Result<Vec<(TenantId, u32)>, Error> {
        let listed = self.timed("list", async {
            let listed = self.store.list(Some(&Path::from("v1/key")));
            listed.try_filter_map(async |object| Ok(key_of(&object.location))).try_collect::<Vec<_>>().await
        });
        let mut keys = listed.await?;
        keys.sort_unstable();
        Ok(keys)
    }

    /// Deletes all wrapped keys of a tenant; answers how many there were.
    pub(crate) async fn delete_keys(&self, tenant: TenantId) -> Result<u64, Error> {
        let prefix = Path::from(format!("v1/key/{tenant}"));
        let listed: Vec<_> = self.timed("list", self.store.list(Some(&prefix)).try_collect()).await?;
        for object in &listed {
            match self.timed("delete", self.store.delete(&object.location)).await {
                Ok(()) | Err(Error::Store(object_store::Error::NotFound { .. })) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(listed.len() as u64)
    }

    /// The tenants whose slug is kept.
    pub(crate) async fn kept_tenants(&self) -> Result<Vec<TenantId>, Error> {
        let listed = self.timed("list", async {
            let listed = self.store.list(Some(&Path::from("v1/tenant")));
            let tenant = |path: &Path| path.filename().and_then(|name| name.parse().ok()).map(TenantId);
            listed.try_filter_map(async |object| Ok(tenant(&object.location))).try_collect::<Vec<_>>().await
        });
        listed.await
    }

    /// Keeps a tenant's slug.
    pub(crate) async fn keep_tenant(&self, tenant: TenantId, slug: &str) -> Result<(), Error> {
        let slug = Bytes::copy_from_slice(slug.as_bytes());
        match self.timed("put", self.store.put_opts(&tenant_path(tenant), slug.into(), PutMode::Create.into())).await {
            Ok(_) | Err(Error::Store(object_store::Error::AlreadyExists { .. })) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// A tenant's slug, if it is kept.
    pub(crate) async fn kept_slug(&self, tenant: TenantId) -> Result<Option<String>, Error> {
        let slug = self.small(&tenant_path(tenant)).await?;
        Ok(slug.and_then(|slug| String::from_utf8(slug.to_vec()).ok()))
    }

    /// The mark of a catalog.
    pub(crate) async fn mark(&self, incarnation: u128) -> Result<Option<Bytes>, Error> {
        self.small(&mark_path(incarnation)).await
    }

    /// Whether there is a mark of any catalog.
    pub(crate) async fn has_marks(&self) -> Result<bool, Error> {
        let first = async { self.store.list(Some(&Path::from("v1/cat"))).try_next().await };
        Ok(self.timed("list", first).await?.is_some())
    }

    /// Writes the mark of a catalog over the last one.
    pub(crate) async fn put_mark(&self, incarnation: u128, mark: String) -> Result<(), Error> {
        self.timed("put", self.store.put(&mark_path(incarnation), mark.into())).await.map(drop)
    }

    async fn small(&self, path: &Path) -> Result<Option<Bytes>, Error> {
        let read = async { self.store.get(path).await?.bytes().await };
        match self.timed("get", read).await {
            Ok(octets) => Ok(Some(octets)),
            Err(Error::Store(object_store::Error::NotFound { .. })) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// Of a path under `v1/key`.
fn key_of(path: &Path) -> Option<(TenantId, u32)> {
    let mut parts = path.as_ref().rsplit('/');
    let (version, tenant) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
    Some((TenantId(tenant), version))
}
