//! The directory of `restante dev`: one process at a time, and what it keeps there besides mail.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{Read as _, Seek as _, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail};
use base64::Engine as _;
use mail_types::{Random, Secret};

/// A data directory that this process has for itself until it ends.
#[derive(Debug)]
pub(crate) struct DataDir {
    path: PathBuf,
    /// Locked: the lock goes with the process, however it ends.
    _lock: File,
}

impl DataDir {
    /// Makes the directory if need be and locks it.
    pub(crate) fn open(path: &Path) -> anyhow::Result<Self> {
        // Others may pass through it (the database server has a user of its own), not look into it.
        fs::DirBuilder::new().recursive(true).mode(0o711).create(path).with_context(|| path.display().to_string())?;
        let path = path.canonicalize().with_context(|| path.display().to_string())?;
        let lock_path = path.join("lock");
        let opened =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(&lock_path);
        let mut lock = opened.with_context(|| lock_path.display().to_string())?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                lock.read_to_string(&mut holder).unwrap_or_default();
                bail!(
                    "{} is in use by another `restante dev` (process {}); stop that one or choose another --data-dir",
                    path.display(),
                    holder.trim()
                );
            }
            Err(TryLockError::Error(error)) => return Err(error).with_context(|| lock_path.display().to_string()),
        }
        lock.set_len(0).and_then(|()| lock.rewind()).and_then(|()| writeln!(lock, "{}", std::process::id()))?;
        Ok(Self { path, _lock: lock })
    }

    /// Where it is; absolute.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// A directory inside that nobody else can look into, made if need be.
    pub(crate) fn private_directory(&self, name: &str) -> anyhow::Result<PathBuf> {
        let path = self.path.join(name);
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&path).with_context(|| path.display().to_string())?;
        Ok(path)
    }

    /// The master key in `master-key`, made at the first start.
    pub(crate) fn master_key(&self, random: &dyn Random) -> anyhow::Result<Secret> {
        self.kept_secret("master-key", || {
            let mut octets = [0; 32];
            random.fill(&mut octets);
            let encoded = base64::engine::general_purpose::STANDARD.encode(octets);
            Secret::from(format!("dev:{encoded}"))
        })
    }

    /// The secret in a file of this directory (mode 0600), made at the first start and the same ever after.
    pub(crate) fn kept_secret(&self, name: &str, make: impl FnOnce() -> Secret) -> anyhow::Result<Secret> {
        if let Some(kept) = self.read(name)? {
            return Ok(kept);
        }
        let made = make();
        self.keep(name, &made)?;
        Ok(made)
    }

    /// What a file of this directory holds, without its last line end; `None` where there is none.
    pub(crate) fn read(&self, name: &str) -> anyhow::Result<Option<Secret>> {
        let path = self.path.join(name);
        match fs::read_to_string(&path) {
            Ok(text) => Ok(Some(Secret::from(text.trim_end())).filter(|secret| !secret.is_empty())),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).with_context(|| path.display().to_string()),
        }
    }

    /// Writes a file of this directory, mode 0600: whole and durable, or not at all.
    pub(crate) fn keep(&self, name: &str, secret: &Secret) -> anyhow::Result<()> {
        let (path, new) = (self.path.join(name), self.path.join(format!("{name}.new")));
        let write = || {
            let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
            file.write_all(secret.expose())?;
            file.write_all(b"\n")?;
            file.sync_all()?;
            fs::rename(&new, &path)?;
            File::open(&self.path)?.sync_all()
        };
        write().with_context(|| path.display().to_string())
    }
}
