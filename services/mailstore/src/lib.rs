//! The mailstore: deliver, list, open, expunge, restore. The catalog (PostgreSQL) says whose frame is where, the bodies (object storage)
//! hold the frames, and this crate holds the order between them:
//!
//! - **Delivery**: the segment is durable first, then the catalog commits its copies, then the sender hears of it.
//! - **Reading**: only what the catalog names is read; what is read is checked against its checksum and its tenant.
//! - **Expunge**: rows move to `expunged` in one transaction with the counters and the session's row; no object is touched.
//! - **Restore**: rows move back the same way, until they are purged.
//! - **Purge, reclaim**: rows first, then the object after the grace; an orphan is condemned in the catalog before it is
//!   deleted. Each step may be the last before a crash and may run twice.

mod access;
mod ahead;
pub mod bodies;
mod cache;
mod catalog;
mod check;
mod compact;
mod config;
mod delivery;
mod error;
mod export;
mod import;
mod incoming;
mod inventory;
mod key_ring;
mod mark;
mod mend;
mod pace;
mod read;
mod rebuild;
mod reconcile;
mod recover;
mod snapshot;
mod sweep;
mod trace;
mod undelete;

use std::sync::Arc;
use std::time::Duration;

use mail_types::{AccountId, Clock, CredentialId, MaildropState, Random, SessionUuid, TenantId, UniqueId};
use object_store::ObjectStore;
use runtime::database::{DbRole, Pool};
use runtime::fail_point;
use runtime::keys::MasterKeys;
use sqlx::Row as _;

use bodies::keys::Keys;

pub use access::Access;
pub use ahead::SessionReader;
pub use cache::FrameCache;
pub use catalog::lease::{DeviceView, Fence, Frontend};
pub use catalog::maildrop::Listed;
pub use catalog::quit::{DeviceChange, SessionNotes, SessionOutcome, SessionRecord, Update};
pub use catalog::restore::{Expunged, ExpungedFilter, Restored, RestoredBy, Selection};
pub use catalog::session::{PastSession, mechanism_name};
pub use check::{Check, CheckSettings, Checked, Finding, FindingKind};
pub use compact::{CompactReport, CompactSettings, Compactor};
pub use config::{ReadAheadSettings, Settings, StoreSettings, open_store};
pub use delivery::{Delivery, DeliveryVerdict, Recipient, Target};
pub use error::Error;
pub use export::Exported;
pub use import::{ImportError, ImportMessage, ImportReport, ImportSettings, Importer, SourceKey};
pub use incoming::{Body, Incoming, IncomingError, MemoryBudget};
pub use key_ring::{EraseRefused, KeyRing, KeyState, ListedKey, Rotated};
pub use mark::{Following, Marker};
pub use object_store::ObjectStore as Store;
pub use read::{BodyReader, Part};
pub use rebuild::{Rebuild, RebuildError, Rebuilt};
pub use reconcile::ReconcileReport;
pub use recover::{Recovered, Recovery, Situation};
pub use snapshot::{Message, Snapshot};
pub use sweep::{Backlog, ExpiryReport, SweepReport, SweepSettings, Sweeper};
pub use trace::received_line;

/// The version of the schema's contract that this program speaks; a catalog that demands a newer one is refused.
const SCHEMA_VERSION: i32 = 1;

/// The mailstore of one role; cheap to clone.
#[derive(Clone)]
pub struct Mailstore {
    pool: Pool,
    bodies: bodies::Bodies,
    reads: ahead::Shared,
    lists: snapshot::Lists,
    memory: MemoryBudget,
    deliverer: delivery::Deliverer,
    writer: import::Writer,
}

impl std::fmt::Debug for Mailstore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Mailstore").finish_non_exhaustive()
    }
}

/// What is passed in when a mailstore is opened.
#[derive(Debug, Clone)]
pub struct Parts {
    /// Connections that act as `role`.
    pub pool: Pool,
    /// Pop3, Lmtp, Admin, or Worker for import and export: which of the catalog's functions may be called.
    pub role: DbRole,
    /// The object store.
    pub store: Arc<dyn ObjectStore>,
    /// How patiently it is asked.
    pub store_settings: StoreSettings,
    /// Bounds.
    pub settings: Settings,
    /// The memory for bodies in flight: one for the whole process.
    pub memory: MemoryBudget,
    /// Frames held between sessions: one for the whole process.
    pub frames: FrameCache,
    /// What the tenants' keys are wrapped by.
    pub master: MasterKeys,
    /// The time of day, for new uuids.
    pub clock: Arc<dyn Clock>,
    /// Randomness, for new uuids and salts.
    pub random: Arc<dyn Random>,
}

impl Settings {
    /// The process's budget for bodies in flight, to be shared by all mailstores of the process.
    pub fn memory_budget(&self) -> MemoryBudget {
        MemoryBudget::new(self.memory_octets, Duration::from_millis(self.memory_wait_ms))
    }

    /// The process's cache of frames, to be shared by all mailstores of the process. `fill`: what is delivered goes into it, which
    /// pays where the process also runs the role `pop3`.
    pub fn frame_cache(&self, fill: bool) -> FrameCache {
        FrameCache::new(self.frames_octets, fill)
    }
}

impl Mailstore {
    /// Opens the mailstore: asks the catalog who it is and whether this program may run on its schema.
    pub async fn open(parts: Parts) -> Result<Self, Error> {
        let Parts { pool, role, store, store_settings, settings, memory, frames, master, clock, random } = parts;
        let row = catalog::named(
            "catalog_1",
            sqlx::query("SELECT incarnation, schema_min FROM restante.catalog_1()").fetch_one(&pool),
        )
        .await?;
        if row.try_get::<i32, _>("schema_min")? > SCHEMA_VERSION {
            return Err(Error::Inconsistent { table: "catalog", what: "the schema is newer than this program" });
        }
        let incarnation = row.try_get::<uuid::Uuid, _>("incarnation")?.as_u128();
        let bodies = bodies::Bodies::new(store, &store_settings);
        let keys = Keys::new(pool.clone(), role, bodies.clone(), master, random.clone());
        let lists = snapshot::Lists::new(settings.lists_octets);
        let reads = ahead::Shared {
            bodies: bodies.clone(),
            keys: keys.clone(),
            frames: frames.clone(),
            budget: ahead::Shared::budget(&settings.read_ahead),
            settings: settings.read_ahead.clone(),
        };
        let writer = import::Writer {
            pool: pool.clone(),
            bodies: bodies.clone(),
            keys: keys.clone(),
            clock: clock.clone(),
            random: random.clone(),
            incarnation,
            patience: Duration::from_millis(settings.commit_deadline_ms),
        };
        let engine = delivery::Engine {
            pool: pool.clone(),
            role,
            bodies: bodies.clone(),
            settings,
            clock,
            random,
            incarnation,
            keys,
            frames,
        };
        Ok(Self { pool, bodies, reads, lists, memory, deliverer: delivery::Deliverer::start(engine), writer })
    }

    /// A body on its way in to a tenant, of at most so many octets as sent. (A message to several tenants counts for the first.)
    pub fn incoming(&self, tenant: TenantId, max_octets: u64) -> Incoming {
        Incoming::new(self.memory.clone(), tenant, max_octets, Some(self.deliverer.stay()))
    }

    /// Delivers; one verdict per recipient, in order. Runs to its end even if the caller goes away.
    pub async fn deliver(&self, delivery: Delivery) -> Vec<DeliveryVerdict> {
        self.deliverer.deliver(delivery).await
    }

    /// The snapshot of a maildrop that stood at `state` when its owner logged in.
    pub async fn snapshot(
        &self,
        tenant: TenantId,
        account: AccountId,
        state: MaildropState,
    ) -> Result<Arc<Snapshot>, Error> {
        self.lists.open(&self.pool, tenant, account, state).await
    }

    /// A reader of a snapshot's messages, for one session: it reads ahead while they are asked for in sequence. `places` says
    /// which of them the session sees, in order; all of them where there is none.
    pub fn reader(&self, tenant: TenantId, snapshot: Arc<Snapshot>, places: Option<Arc<[u32]>>) -> SessionReader {
        SessionReader::new(self.reads.clone(), tenant, snapshot, places)
    }

    /// Ends a session in the UPDATE state: expunges what it marked, notes what its device saw, and writes its row, in one
    /// transaction. Answers how many messages this session expunged; those that another session expunged first are not counted. A
    /// repeat is done once.
    pub async fn quit(
        &self,
        tenant: TenantId,
        account: AccountId,
        record: &SessionRecord,
        update: &Update,
    ) -> Result<u32, Error> {
        fail_point::reach("quit.before_commit").await;
        let first = catalog::quit::quit(&self.pool, tenant, account, record, update).await;
        fail_point::reach("quit.after_commit").await;
        match first {
            // The connection broke, perhaps after the commit: the same session asked again gets the same answer.
            Err(error) if error.is_temporary() => {
                catalog::quit::quit(&self.pool, tenant, account, record, update).await
            }
            other => other,
        }
    }

    /// What a device has fetched and hidden.
    pub async fn device_view(
        &self,
        tenant: TenantId,
        account: AccountId,
        credential: CredentialId,
    ) -> Result<DeviceView, Error> {
        catalog::lease::device_view(&self.pool, tenant, account, credential).await
    }

    /// Exclusive access to a maildrop, or `None` while another session has it.
    pub async fn lease(
        &self,
        tenant: TenantId,
        account: AccountId,
        frontend: &Frontend,
        session: SessionUuid,
    ) -> Result<Option<Fence>, Error> {
        catalog::lease::lease(&self.pool, tenant, account, frontend, session).await
    }

    /// Gives exclusive access up.
    pub async fn unlease(&self, tenant: TenantId, account: AccountId, fence: Fence) -> Result<(), Error> {
        catalog::lease::unlease(&self.pool, tenant, account, fence).await
    }

    /// Keeps a frontend's leases alive for 15 seconds more; answers how many frontends of its role are alive.
    pub async fn beat(&self, frontend: &Frontend) -> Result<u32, Error> {
        catalog::lease::beat(&self.pool, frontend).await
    }

    /// A page of a maildrop's messages for the API (role admin), after a uid, in order.
    pub async fn page(
        &self,
        tenant: TenantId,
        account: AccountId,
        after_uid: i64,
        limit: u32,
    ) -> Result<Vec<Listed>, Error> {
        catalog::maildrop::page(&self.pool, tenant, account, after_uid, limit).await
    }

    /// One live message for the API (role admin), by its unique-id.
    pub async fn message(
        &self,
        tenant: TenantId,
        account: AccountId,
        unique_id: &UniqueId,
    ) -> Result<Option<Listed>, Error> {
        catalog::maildrop::by_unique_id(&self.pool, tenant, account, unique_id).await
    }

    /// Whether the object store answers.
    pub async fn ping(&self) -> Result<(), Error> {
        self.bodies.ping().await
    }
}
