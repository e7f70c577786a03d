//! What a frontend hands in every few seconds (role pop3): one call of `pop3_report_2`.

use std::net::IpAddr;
use std::time::Instant;

use mail_types::{AccountId, CredentialId, SessionUuid, TenantId, Timestamp};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{DomainCounts, Tally};
use crate::{Directory, Result};

/// A session under way.
#[derive(Debug, Clone)]
pub struct LiveReport {
    /// Which.
    pub session: SessionUuid,
    /// Whose.
    pub tenant: TenantId,
    /// Whose.
    pub account: AccountId,
    /// What it logged in with; 0 for a token or a certificate.
    pub credential: CredentialId,
    /// The client.
    pub address: IpAddr,
    /// When it connected.
    pub started: Timestamp,
    /// How it proved itself, by the driver's number.
    pub mechanism: i16,
    /// 0 clear, 1 STLS, 2 implicit TLS.
    pub tls: i16,
    /// What is known of the client's program.
    pub client: String,
    /// The name it asked for in TLS.
    pub server_name: Option<String>,
    /// Messages fetched whole.
    pub fetched: u32,
    /// Their octets.
    pub fetched_octets: u64,
}

/// The certificate that a frontend shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    /// The names that it is for.
    pub names: Vec<String>,
    /// Until when.
    pub expires: Timestamp,
}

/// What is new since the last report.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// Sessions that are some seconds old and were not reported yet, or whose counts have changed.
    pub live: Vec<LiveReport>,
    /// Sessions that were reported and are over.
    pub gone: Vec<SessionUuid>,
    /// What is shown in TLS, where that was not told yet.
    pub certificate: Option<Certificate>,
    /// The most rows of refusals that an account may have of a day; what comes then counts in one row.
    pub refusal_rows: u32,
    /// The process ends: everything is told.
    pub last: bool,
}

/// What the database answers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reported {
    /// Live sessions of the frontend that it knows.
    pub held: u64,
    /// Those that are to end.
    pub ending: Vec<SessionUuid>,
}

impl Directory {
    /// Reports, with what was counted since the last time (role pop3). What could not be reported is counted still.
    pub async fn report(
        &self,
        frontend: SessionUuid,
        report: &Report,
        tally: &Tally,
        now: Instant,
    ) -> Result<Reported> {
        let (refusals, uses) = tally.take(now, report.last);
        let logins = tally.logins.take();
        let mut body = json!({
            "live": report.live.iter().map(LiveReport::json).collect::<Vec<_>>(),
            "gone": report.gone.iter().map(|&session| uuid(session)).collect::<Vec<_>>(),
            "refusals": refusals, "uses": uses, "logins": logins, "refusal_rows": report.refusal_rows.max(1),
        });
        if let (Some(certificate), Some(body)) = (&report.certificate, body.as_object_mut()) {
            let told = json!({"names": certificate.names, "expires": certificate.expires.unix_ms()});
            body.insert("certificate".to_owned(), told);
        }
        let answer = sqlx::query_as("SELECT held, ending FROM restante.pop3_report_2($1, $2)")
            .bind(uuid(frontend))
            .bind(body)
            .fetch_one(&self.pool)
            .await;
        let (held, ending): (i32, Vec<Uuid>) = match answer {
            Ok(answer) => answer,
            Err(error) => {
                tally.give_back(refusals, uses);
                tally.logins.give_back(logins);
                return Err(error.into());
            }
        };
        let ending = ending.into_iter().map(|session| SessionUuid::from_u128(session.as_u128())).collect();
        Ok(Reported { held: u64::try_from(held).unwrap_or(0), ending })
    }
}

impl Directory {
    /// Reports the recipients that LMTP refused (role lmtp). What could not be reported is counted still.
    pub async fn report_refused(&self, refused: &DomainCounts) -> Result<()> {
        let counts = refused.take();
        if counts.is_empty() {
            return Ok(());
        }
        let told = sqlx::query("SELECT restante.lmtp_report_1($1)").bind(json!(counts)).execute(&self.pool).await;
        if let Err(error) = told {
            refused.give_back(counts);
            return Err(error.into());
        }
        Ok(())
    }
}

fn uuid(session: SessionUuid) -> Uuid {
    Uuid::from_u128(session.as_u128())
}

impl LiveReport {
    fn json(&self) -> Value {
        json!({
            "session": uuid(self.session), "tenant": self.tenant.0, "account": self.account.0, "credential": self.credential.0,
            "address": self.address.to_canonical(), "started": self.started.unix_ms(), "mechanism": self.mechanism, "tls": self.tls,
            "client": self.client, "server_name": self.server_name, "fetched": self.fetched,
            "fetched_octets": self.fetched_octets,
        })
    }
}
