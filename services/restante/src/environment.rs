//! What comes from the environment and never from a file of configuration: where the database and the store are, and secrets.

use std::{collections::HashMap, fmt};

use anyhow::{Context as _, bail};
use mail_types::Secret;
use runtime::{config::secret_env, database::DbRole, keys::MasterKeys};

use crate::cli::Role;

impl Role {
    /// What the role is to the database.
    pub(crate) const fn database(self) -> DbRole {
        match self {
            Self::Pop3 => DbRole::Pop3,
            Self::Lmtp => DbRole::Lmtp,
            Self::Admin => DbRole::Admin,
            Self::Worker => DbRole::Worker,
        }
    }
}

/// Where a process finds its database and store, and the keys to them.
#[derive(Clone)]
pub(crate) struct Environment {
    pub(crate) databases: HashMap<DbRole, Secret>,
    pub(crate) store: StoreAddress,
    pub(crate) keys: MasterKeys,
}

/// The object store's URL with its access key.
#[derive(Clone)]
pub(crate) struct StoreAddress {
    pub(crate) url: String,
    pub(crate) access_key: Option<(String, Secret)>,
}

impl Environment {
    /// All that these roles need; what is missing is named.
    pub(crate) fn read(roles: &[Role]) -> anyhow::Result<Self> {
        let mut databases = HashMap::new();
        for role in roles.iter().map(|role| role.database()) {
            databases.insert(role, database(role)?);
        }
        let (store, keys) = store_and_keys()?;
        Ok(Self { databases, store, keys })
    }
}

/// The store and the master keys, without which nothing runs.
pub(crate) fn store_and_keys() -> anyhow::Result<(StoreAddress, MasterKeys)> {
    let store = StoreAddress::read()?
        .context("RESTANTE_OBJECT_STORE_URL is not set: s3://BUCKET?endpoint=URL&region=NAME or file:///DIRECTORY")?;
    let keys = master_keys()?.context(
        "RESTANTE_MASTER_KEY is not set: ID:BASE64 of 32 random octets (`openssl rand -base64 32` makes them); keep it safe, \
         nothing can be read without it",
    )?;
    Ok((store, keys))
}

/// The database's URL for a role.
pub(crate) fn database(role: DbRole) -> anyhow::Result<Secret> {
    role.url_from_env()?.with_context(|| {
        let name = role.name().to_uppercase();
        format!("neither RESTANTE_DATABASE_URL_{name} nor RESTANTE_DATABASE_URL is set: postgres://USER:PASSWORD@HOST/DATABASE")
    })
}

/// The master keys, if there are any.
pub(crate) fn master_keys() -> anyhow::Result<Option<MasterKeys>> {
    let text = secret_env("RESTANTE_MASTER_KEY")?;
    text.map(|text| MasterKeys::parse(&text)).transpose().context("RESTANTE_MASTER_KEY")
}

impl StoreAddress {
    /// From the environment, if it is there.
    pub(crate) fn read() -> anyhow::Result<Option<Self>> {
        let Some(url) = secret_env("RESTANTE_OBJECT_STORE_URL")? else { return Ok(None) };
        let url = url.expose_str().context("RESTANTE_OBJECT_STORE_URL is not text")?.to_owned();
        let access_key = match (secret_env("AWS_ACCESS_KEY_ID")?, secret_env("AWS_SECRET_ACCESS_KEY")?) {
            (Some(id), Some(secret)) => {
                Some((id.expose_str().context("AWS_ACCESS_KEY_ID is not text")?.to_owned(), secret))
            }
            (None, None) => None,
            _ => bail!("AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY go together: one of them is not set"),
        };
        Ok(Some(Self { url, access_key }))
    }

    /// The key as the mailstore takes it.
    pub(crate) fn key(&self) -> Option<(&str, &Secret)> {
        self.access_key.as_ref().map(|(id, secret)| (id.as_str(), secret))
    }
}

/// Where, never with what key.
impl fmt::Debug for StoreAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("StoreAddress").field(&self.url).finish()
    }
}
