//! Exclusive access by leases, the heartbeat that keeps them, and what a device has seen.
//!
//! A frontend process beats, not each of its sessions. By the database's clock alone a frontend is alive for 15 seconds after a
//! beat; a lease of a frontend that is not is free to take. Its old holder cannot expunge any more: the fence is compared in the
//! transaction of the expunge.

use mail_types::{AccountId, CredentialId, SessionUuid, TenantId};
use runtime::database::Pool;
use sqlx::Row as _;
use uuid::Uuid;

use super::named;
use crate::Error;

/// Proof of a lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fence(pub(crate) i64);

/// A frontend process, for its heartbeat.
#[derive(Debug, Clone)]
pub struct Frontend {
    /// New at each start.
    pub uuid: SessionUuid,
    /// `pop3`, `lmtp`, `admin` or `worker`.
    pub role: &'static str,
    /// Where it runs; for people.
    pub address: String,
}

/// Beats; answers how many frontends of the role are alive, this one included.
pub(crate) async fn beat(pool: &Pool, frontend: &Frontend) -> Result<u32, Error> {
    let alive: i32 = named(
        "frontend_beat_1",
        sqlx::query_scalar("SELECT restante.frontend_beat_1($1, $2, $3)")
            .bind(Uuid::from_u128(frontend.uuid.as_u128()))
            .bind(frontend.role)
            .bind(&frontend.address)
            .fetch_one(pool),
    )
    .await?;
    Ok(u32::try_from(alive).unwrap_or(1).max(1))
}

/// A lease of the maildrop, or `None` while another session holds it.
pub(crate) async fn lease(
    pool: &Pool,
    tenant: TenantId,
    account: AccountId,
    frontend: &Frontend,
    session: SessionUuid,
) -> Result<Option<Fence>, Error> {
    let fence: Option<i64> = named(
        "pop3_lease_1",
        sqlx::query_scalar("SELECT restante.pop3_lease_1($1, $2, $3, $4)")
            .bind(tenant.0)
            .bind(account.0)
            .bind(Uuid::from_u128(frontend.uuid.as_u128()))
            .bind(Uuid::from_u128(session.as_u128()))
            .fetch_one(pool),
    )
    .await?;
    Ok(fence.map(Fence))
}

/// Frees the maildrop, if the lease still holds.
pub(crate) async fn unlease(pool: &Pool, tenant: TenantId, account: AccountId, fence: Fence) -> Result<(), Error> {
    named(
        "pop3_unlease_1",
        sqlx::query("SELECT restante.pop3_unlease_1($1, $2, $3)")
            .bind(tenant.0)
            .bind(account.0)
            .bind(fence.0)
            .execute(pool),
    )
    .await
    .map(drop)
}

/// What a device has fetched and hidden, as ranges of uids.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DeviceView {
    seen: Vec<(i64, i64)>,
    hidden: Vec<(i64, i64)>,
}

impl DeviceView {
    /// Whether the device fetched the message in a session that ended with QUIT.
    pub fn has_seen(&self, uid: i64) -> bool {
        within(&self.seen, uid)
    }

    /// Whether the device deleted it where DELE hides.
    pub fn has_hidden(&self, uid: i64) -> bool {
        within(&self.hidden, uid)
    }
}

/// Ranges are half-open, in order and apart.
fn within(ranges: &[(i64, i64)], uid: i64) -> bool {
    let after = ranges.partition_point(|(first, _)| *first <= uid);
    after.checked_sub(1).and_then(|at| ranges.get(at)).is_some_and(|(_, end)| uid < *end)
}

/// The view of a device; nothing where it has none yet.
pub(crate) async fn device_view(
    pool: &Pool,
    tenant: TenantId,
    account: AccountId,
    credential: CredentialId,
) -> Result<DeviceView, Error> {
    let row = named(
        "pop3_view_1",
        sqlx::query("SELECT seen, hidden FROM restante.pop3_view_1($1, $2, $3)")
            .bind(tenant.0)
            .bind(account.0)
            .bind(credential.0)
            .fetch_optional(pool),
    )
    .await?;
    let Some(row) = row else { return Ok(DeviceView::default()) };
    let ranges = |column: &str, what| -> Result<Vec<(i64, i64)>, Error> {
        parse_multirange(row.try_get(column)?).ok_or(Error::Inconsistent { table: "device_views", what })
    };
    Ok(DeviceView { seen: ranges("seen", "seen")?, hidden: ranges("hidden", "hidden")? })
}

/// PostgreSQL's text of a multirange of these uids: `{[1,2],[5,5]}`.
pub(crate) fn multirange(uids: &[i64]) -> String {
    let ranges: Vec<String> = uids.iter().map(|uid| format!("[{uid},{uid}]")).collect();
    format!("{{{}}}", ranges.join(","))
}

/// The canonical text of an int8multirange: `{[1,3),[5,6)}`.
fn parse_multirange(text: &str) -> Option<Vec<(i64, i64)>> {
    let inner = text.strip_prefix('{')?.strip_suffix('}')?;
    if inner.is_empty() {
        return Some(Vec::new());
    }
    inner
        .strip_suffix(')')?
        .split("),")
        .map(|range| {
            let (first, end) = range.strip_prefix('[')?.split_once(',')?;
            Some((first.parse().ok()?, end.parse().ok()?))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn multiranges_are_read_as_postgresql_writes_them() {
        assert_eq!(parse_multirange("{}"), Some(vec![]));
        assert_eq!(parse_multirange("{[1,3),[5,6)}"), Some(vec![(1, 3), (5, 6)]));
        assert_eq!(parse_multirange("{(,5)}"), None);
        assert_eq!(multirange(&[1, 7]), "{[1,1],[7,7]}");
    }

    #[test]
    fn a_view_knows_its_uids() {
        let view = DeviceView { seen: vec![(1, 3), (5, 6)], hidden: vec![] };
        let seen: Vec<i64> = (0..8).filter(|&uid| view.has_seen(uid)).collect();
        assert_eq!(seen, [1, 2, 5]);
        assert!(!view.has_hidden(1));
    }
}
