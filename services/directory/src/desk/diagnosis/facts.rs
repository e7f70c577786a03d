//! What is known, as the rules see it. Plain data: the rules are functions of it and of nothing else.

use std::collections::BTreeSet;
use std::net::IpAddr;

use chrono::{DateTime, Duration, Utc};
use serde_json::{Map, Value, json};

use super::super::{Activity, ActivityKind, RefusalReason, RefusedLogins};
use crate::EffectivePolicy;

/// How far back the rules look.
pub(super) const LOOK_BACK: Duration = Duration::hours(24);

/// Everything.
#[derive(Debug, Clone)]
pub(super) struct Facts {
    pub(super) now: DateTime<Utc>,
    /// As it was asked for.
    pub(super) address: String,
    pub(super) domain: DomainFacts,
    pub(super) place: Place,
    /// What the frontends that are alive show in TLS.
    pub(super) certificates: Vec<CertificateFacts>,
    pub(super) dns: Option<DnsFacts>,
}

/// The address's domain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum DomainFacts {
    /// Nobody has claimed it.
    Unknown,
    /// Claimed, and not proved yet.
    Unverified,
    Verified,
}

/// What the address leads to.
#[derive(Debug, Clone)]
pub(super) enum Place {
    Nothing { catch_all: bool },
    Alias { targets: Vec<String> },
    Account(Box<AccountFacts>),
}

/// A certificate of a frontend.
#[derive(Debug, Clone)]
pub(super) struct CertificateFacts {
    pub(super) host: String,
    pub(super) names: Vec<String>,
    pub(super) expires_at: DateTime<Utc>,
}

/// What a look at the domain's DNS records found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DnsFacts {
    /// Whether the MX records lead here; `None`: not known.
    pub mx_is_here: Option<bool>,
    /// Records that would let mail clients find the service by themselves, and that are missing or lead elsewhere.
    pub missing_discovery: Vec<String>,
}

/// An account.
#[derive(Debug, Clone, Default)]
pub(super) struct AccountFacts {
    pub(super) suspended: bool,
    pub(super) tenant_suspended: bool,
    pub(super) policy: EffectivePolicy,
    /// Octets and messages: what there is, and what there may be.
    pub(super) octets: (i64, Option<i64>),
    pub(super) messages: (i64, Option<i64>),
    pub(super) tenant_octets: (i64, Option<i64>),
    pub(super) credentials: Vec<CredentialFacts>,
    pub(super) lease: Option<LeaseFacts>,
    pub(super) live: Vec<LiveFacts>,
    /// Of the last [`LOOK_BACK`].
    pub(super) activity: Vec<Activity>,
    pub(super) oldest_message: Option<DateTime<Utc>>,
    /// Messages that a view of days does not show.
    pub(super) hidden_by_days: i64,
}

/// Something that an account can prove itself with, or could.
#[derive(Debug, Clone, Default)]
pub(super) struct CredentialFacts {
    pub(super) id: i64,
    pub(super) name: String,
    pub(super) is_password: bool,
    pub(super) reads: bool,
    pub(super) deletes: bool,
    pub(super) networks: Vec<String>,
    pub(super) expires_at: Option<DateTime<Utc>>,
    pub(super) revoked_at: Option<DateTime<Utc>>,
    pub(super) last_used_at: Option<DateTime<Utc>>,
    pub(super) last_address: Option<IpAddr>,
    /// What holds for the device.
    pub(super) policy: EffectivePolicy,
    /// Where the device sees what it has not fetched: how many messages that are.
    pub(super) unseen: Option<i64>,
}

/// Exclusive access.
#[derive(Debug, Clone)]
pub(super) struct LeaseFacts {
    pub(super) session: String,
    pub(super) address: Option<IpAddr>,
    pub(super) since: Option<DateTime<Utc>>,
}

/// A session under way.
#[derive(Debug, Clone)]
pub(super) struct LiveFacts {
    pub(super) started_at: DateTime<Utc>,
    pub(super) server_name: Option<String>,
}

impl CredentialFacts {
    pub(super) fn holds(&self, now: DateTime<Utc>) -> bool {
        self.revoked_at.is_none() && self.expires_at.is_none_or(|at| at > now)
    }

    pub(super) fn evidence(&self) -> Map<String, Value> {
        object(json!({
            "credential": format!("cred_{}", self.id), "name": self.name, "last_used_at": self.last_used_at,
            "last_address": self.last_address,
        }))
    }
}

impl Facts {
    pub(super) fn account(&self) -> Option<&AccountFacts> {
        match &self.place {
            Place::Account(account) => Some(account),
            Place::Alias { .. } | Place::Nothing { .. } => None,
        }
    }

    /// What was refused for such reasons, if anything was.
    pub(super) fn refused(&self, is_it: impl Fn(RefusalReason) -> bool) -> Option<Refused> {
        let mut sum: Option<Refused> = None;
        for (activity, refused) in self.account()?.refusals() {
            if is_it(refused.reason) {
                sum.get_or_insert_default().add(activity, refused);
            }
        }
        sum
    }

    pub(super) fn refused_for(&self, reason: RefusalReason) -> Option<Refused> {
        self.refused(|one| one == reason)
    }
}

impl AccountFacts {
    fn refusals(&self) -> impl Iterator<Item = (&Activity, &RefusedLogins)> {
        self.activity.iter().filter_map(|activity| match &activity.kind {
            ActivityKind::Refused(refused) => Some((activity, refused)),
            _ => None,
        })
    }

    /// Sessions that ended, the last first.
    pub(super) fn sessions(&self) -> impl Iterator<Item = &Activity> {
        self.activity.iter().filter(|activity| matches!(activity.kind, ActivityKind::Session { .. }))
    }

    /// The last login that was accepted.
    pub(super) fn accepted_at(&self) -> Option<DateTime<Utc>> {
        let ended = self
            .activity
            .iter()
            .filter(|one| matches!(one.kind, ActivityKind::Session { .. } | ActivityKind::Use { .. }));
        ended.map(|one| one.at).chain(self.live.iter().map(|live| live.started_at)).max()
    }

    /// The names that clients asked for in TLS.
    pub(super) fn server_names(&self) -> BTreeSet<&str> {
        let past = self.activity.iter().filter_map(|one| one.server_name.as_deref());
        past.chain(self.live.iter().filter_map(|live| live.server_name.as_deref())).collect()
    }

    pub(super) fn credential(&self, id: i64) -> Option<&CredentialFacts> {
        self.credentials.iter().find(|credential| credential.id == id)
    }
}

/// Refusals of some reasons, summed.
#[derive(Debug, Clone, Default)]
pub(super) struct Refused {
    pub(super) attempts: u64,
    pub(super) secrets: u64,
    pub(super) credentials: BTreeSet<i64>,
    first_at: Option<DateTime<Utc>>,
    pub(super) last_at: Option<DateTime<Utc>>,
    networks: BTreeSet<String>,
    client: Option<String>,
    told: String,
}

impl Refused {
    fn add(&mut self, activity: &Activity, refused: &RefusedLogins) {
        self.attempts += refused.attempts;
        self.secrets += refused.secrets;
        self.credentials.extend(activity.credential.as_ref().map(|(id, _)| id.0));
        self.first_at = self.first_at.into_iter().chain([refused.first_at]).min();
        if self.last_at.is_none_or(|last| last <= refused.last_at) {
            self.last_at = Some(refused.last_at);
            self.told.clone_from(&refused.told);
            self.client.clone_from(&activity.client);
        }
        // Enough to see where it comes from.
        if self.networks.len() < 10 {
            self.networks.insert(refused.network.to_string());
        }
    }

    pub(super) fn evidence(&self) -> Map<String, Value> {
        object(json!({
            "attempts": self.attempts, "since": self.first_at, "last": self.last_at, "networks": self.networks,
            "told": self.told, "client": self.client,
        }))
    }
}

/// The fields of an object.
pub(super) fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}
