//! The table of rules. A rule looks at the facts and answers with evidence, once for each finding; what it means and what to do is in the
//! table, from which the documentation is made.

use std::fmt::Write as _;

use chrono::Duration;
use serde_json::{Map, Value, json};

use super::facts::{CredentialFacts, DomainFacts, Facts, Place, object};
use super::{Finding, Severity};
use crate::desk::{ActivityKind, RefusalReason as R};
use crate::policy::{Dele, Expire, Utf8, View};

mod table;

pub(super) use table::RULES;

/// One rule.
pub(super) struct Rule {
    pub(super) code: &'static str,
    pub(super) severity: Severity,
    pub(super) summary: &'static str,
    pub(super) what_to_do: &'static str,
    pub(super) find: fn(&Facts) -> Vec<Evidence>,
}

pub(super) type Evidence = Map<String, Value>;

/// Findings from facts, the worst first; that nothing was found is one.
pub(super) fn apply(facts: &Facts) -> Vec<Finding> {
    let mut findings: Vec<Finding> = RULES.iter().flat_map(|rule| rule.findings((rule.find)(facts))).collect();
    findings.sort_by_key(|finding| finding.severity);
    if findings.iter().all(|finding| finding.severity == Severity::Info) {
        findings.extend(NOTHING_FOUND.findings((NOTHING_FOUND.find)(facts)));
    }
    findings
}

impl Rule {
    fn findings(&self, evidence: Vec<Evidence>) -> impl Iterator<Item = Finding> {
        let &Self { code, severity, summary, what_to_do, .. } = self;
        evidence.into_iter().map(move |evidence| Finding { code, severity, summary, evidence, what_to_do })
    }
}

/// When none of [`RULES`] found more than what is good to know.
const NOTHING_FOUND: Rule = Rule {
    code: "nothing_found",
    severity: Severity::Info,
    summary: "Nothing is wrong that this service can see.",
    what_to_do: "Ask which error the client shows and when, and look into the activity. If the client never gets here, check its server \
                 name, port and TLS setting, and its network; switch on a transcript and have them try again.",
    find: |facts| vec![object(json!({"address": facts.address}))],
};

/// The rules as a table of Markdown, for the documentation.
pub fn rules_as_markdown() -> String {
    let mut text = "| code | severity | what it means | what to do |\n| --- | --- | --- | --- |\n".to_owned();
    for rule in RULES.iter().chain([&NOTHING_FOUND]) {
        // Writing to memory cannot fail.
        let _ =
            writeln!(text, "| `{}` | {} | {} | {} |", rule.code, rule.severity.as_str(), rule.summary, rule.what_to_do);
    }
    text
}

fn none() -> Vec<Evidence> {
    Vec::new()
}

fn if_so(is_so: bool, evidence: Value) -> Vec<Evidence> {
    if is_so { vec![object(evidence)] } else { none() }
}

/// Logins refused for one reason.
fn refused_for(facts: &Facts, reason: R) -> Vec<Evidence> {
    facts.refused_for(reason).map(|refused| refused.evidence()).into_iter().collect()
}

/// The same, with what is known of the credential that it would have been.
fn refused_credential(facts: &Facts, reason: R, more: impl Fn(&CredentialFacts) -> Value) -> Vec<Evidence> {
    let Some(refused) = facts.refused_for(reason) else { return none() };
    let Some(account) = facts.account() else { return none() };
    let mut evidence = refused.evidence();
    if let Some(credential) = refused.credentials.iter().find_map(|&id| account.credential(id)) {
        evidence.extend(credential.evidence());
        evidence.extend(object(more(credential)));
    }
    vec![evidence]
}

fn domain_unknown(facts: &Facts) -> Vec<Evidence> {
    if_so(facts.domain == DomainFacts::Unknown, json!({"address": facts.address}))
}

fn domain_unverified(facts: &Facts) -> Vec<Evidence> {
    if_so(facts.domain == DomainFacts::Unverified, json!({"address": facts.address}))
}

fn account_missing(facts: &Facts) -> Vec<Evidence> {
    let Place::Nothing { catch_all } = facts.place else { return none() };
    if_so(facts.domain != DomainFacts::Unknown, json!({"address": facts.address, "catch_all": catch_all}))
}

fn catch_all_takes_mail(facts: &Facts) -> Vec<Evidence> {
    if_so(matches!(facts.place, Place::Nothing { catch_all: true }), json!({"address": facts.address}))
}

fn address_is_alias(facts: &Facts) -> Vec<Evidence> {
    let Place::Alias { targets } = &facts.place else { return none() };
    if_so(true, json!({"address": facts.address, "targets": targets}))
}

fn tenant_suspended(facts: &Facts) -> Vec<Evidence> {
    if_so(facts.account().is_some_and(|account| account.tenant_suspended), json!({}))
}

fn account_suspended(facts: &Facts) -> Vec<Evidence> {
    if !facts.account().is_some_and(|account| account.suspended) {
        return none();
    }
    vec![facts.refused_for(R::Suspended).map(|refused| refused.evidence()).unwrap_or_default()]
}

fn no_credential(facts: &Facts) -> Vec<Evidence> {
    let Some(account) = facts.account() else { return none() };
    let holds = account.credentials.iter().any(|credential| credential.holds(facts.now) && credential.reads);
    // A tenant's tokens and certificates need none.
    let accepted = account.accepted_at().is_some();
    let had: Vec<&str> = account.credentials.iter().map(|credential| credential.name.as_str()).collect();
    if_so(!holds && !accepted, json!({"had": had}))
}

fn no_password(facts: &Facts) -> Vec<Evidence> {
    refused_for(facts, R::NoPassword)
}

fn app_password_expired(facts: &Facts) -> Vec<Evidence> {
    refused_credential(facts, R::AppPasswordExpired, |one| json!({"expired_at": one.expires_at}))
}

fn app_password_revoked(facts: &Facts) -> Vec<Evidence> {
    let (Some(refused), Some(account)) = (facts.refused_for(R::UnknownAppPassword), facts.account()) else {
        return none();
    };
    let revoked: Vec<Value> = account
        .credentials
        .iter()
        .filter(|credential| !credential.is_password)
        .filter_map(|credential| {
            let at = credential.revoked_at?;
            Some(json!({"credential": format!("cred_{}", credential.id), "name": credential.name, "revoked_at": at}))
        })
        .collect();
    let mut evidence = refused.evidence();
    evidence.insert("revoked".to_owned(), revoked.into());
    vec![evidence]
}

fn app_password_network(facts: &Facts) -> Vec<Evidence> {
    refused_credential(facts, R::AppPasswordNetwork, |one| json!({"allowed_networks": one.networks}))
}

fn app_password_scope(facts: &Facts) -> Vec<Evidence> {
    refused_credential(facts, R::AppPasswordScope, |_| json!({}))
}

/// Wrong secrets, and whether they are mostly the same one while another login succeeds.
fn wrong_secrets(facts: &Facts) -> Option<(Evidence, bool)> {
    let refused = facts.refused(R::is_wrong_secret)?;
    let accepted = facts.account()?.accepted_at();
    let repeats = refused.attempts >= 3 && refused.secrets * 2 <= refused.attempts;
    // Somebody mistyped it and then had it right.
    if !repeats && accepted > refused.last_at {
        return None;
    }
    let mut evidence = refused.evidence();
    evidence.insert("different_secrets".to_owned(), refused.secrets.into());
    evidence.insert("accepted_at".to_owned(), json!(accepted));
    Some((evidence, repeats && accepted.is_some()))
}

fn wrong_password(facts: &Facts) -> Vec<Evidence> {
    match wrong_secrets(facts) {
        Some((evidence, false)) => vec![evidence],
        _ => none(),
    }
}

fn old_password_on_a_device(facts: &Facts) -> Vec<Evidence> {
    match wrong_secrets(facts) {
        Some((evidence, true)) => vec![evidence],
        _ => none(),
    }
}

fn slowed_down(facts: &Facts) -> Vec<Evidence> {
    refused_for(facts, R::SlowedDown)
}

fn too_many_sessions(facts: &Facts) -> Vec<Evidence> {
    let is_it = |reason| {
        matches!(reason, R::SessionsOfAccount | R::SessionsOfDomain | R::SessionsOfTenant | R::SessionsOfAddress)
    };
    let Some(refused) = facts.refused(is_it) else { return none() };
    let mut evidence = refused.evidence();
    let live = facts.account().map_or(0, |account| account.live.len());
    evidence.insert("sessions_now".to_owned(), live.into());
    // What is not decided is the configuration's, which only the frontends know.
    let limits = facts.account().map(|account| account.policy.sessions).unwrap_or_default();
    evidence.insert("policy".to_owned(), json!(limits));
    vec![evidence]
}

fn maildrop_in_use(facts: &Facts) -> Vec<Evidence> {
    let (Some(refused), Some(account)) = (facts.refused_for(R::InUse), facts.account()) else { return none() };
    let mut evidence = refused.evidence();
    let by = account.lease.as_ref();
    let by = by.map(|lease| json!({"session": lease.session, "address": lease.address, "since": lease.since}));
    evidence.insert("by".to_owned(), by.unwrap_or_default());
    vec![evidence]
}

fn login_delay(facts: &Facts) -> Vec<Evidence> {
    let Some(refused) = facts.refused_for(R::LoginDelay) else { return none() };
    let mut evidence = refused.evidence();
    let seconds = facts.account().map_or(0, |account| account.policy.login_delay_seconds);
    evidence.insert("login_delay_seconds".to_owned(), seconds.into());
    vec![evidence]
}

fn clear_connection(facts: &Facts) -> Vec<Evidence> {
    refused_for(facts, R::ClearConnection)
}

fn scram_unavailable(facts: &Facts) -> Vec<Evidence> {
    refused_for(facts, R::ScramUnavailable)
}

fn legacy_unavailable(facts: &Facts) -> Vec<Evidence> {
    let is_it = |reason| matches!(reason, R::LegacyUnavailable | R::ApopNotOffered | R::AppPasswordLegacy);
    facts.refused(is_it).map(|refused| refused.evidence()).into_iter().collect()
}

fn token_refused(facts: &Facts) -> Vec<Evidence> {
    refused_for(facts, R::TokenRefused)
}

fn certificate_refused(facts: &Facts) -> Vec<Evidence> {
    refused_for(facts, R::CertificateRefused)
}

fn service_busy(facts: &Facts) -> Vec<Evidence> {
    facts
        .refused(|reason| matches!(reason, R::Busy | R::Unavailable))
        .map(|refused| refused.evidence())
        .into_iter()
        .collect()
}

fn share((used, most): (i64, Option<i64>)) -> Option<f64> {
    // Exact enough for a share.
    #[expect(clippy::cast_precision_loss, reason = "a share for people")]
    most.map(|most| used as f64 / most.max(1) as f64)
}

fn quota(of: (i64, Option<i64>), from: f64, below: f64) -> Vec<Evidence> {
    if_so(share(of).is_some_and(|share| share >= from && share < below), json!({"used": of.0, "limit": of.1}))
}

/// From this share on it is as good as full: most messages do not fit any more.
const FULL: f64 = 0.995;
const NEARLY_FULL: f64 = 0.8;

fn quota_octets(facts: &Facts) -> Vec<Evidence> {
    facts.account().map_or_else(none, |account| quota(account.octets, FULL, f64::INFINITY))
}

fn quota_messages(facts: &Facts) -> Vec<Evidence> {
    facts.account().map_or_else(none, |account| quota(account.messages, 1.0, f64::INFINITY))
}

fn tenant_quota(facts: &Facts) -> Vec<Evidence> {
    facts.account().map_or_else(none, |account| quota(account.tenant_octets, FULL, f64::INFINITY))
}

fn quota_nearly_full(facts: &Facts) -> Vec<Evidence> {
    let Some(account) = facts.account() else { return none() };
    let mut found = quota(account.octets, NEARLY_FULL, FULL);
    found.extend(quota(account.messages, NEARLY_FULL, 1.0));
    found
}

fn view_hides_old_mail(facts: &Facts) -> Vec<Evidence> {
    let Some(account) = facts.account() else { return none() };
    let View::LastDays(days) = account.policy.view else { return none() };
    let evidence = json!({"last_days": days, "hidden": account.hidden_by_days, "messages": account.messages.0});
    if_so(account.hidden_by_days > 0, evidence)
}

fn view_hides_fetched_mail(facts: &Facts) -> Vec<Evidence> {
    let Some(account) = facts.account() else { return none() };
    let hides = |one: &&CredentialFacts| {
        one.policy.view == View::NewForDevice && one.holds(facts.now) && account.messages.0 > 0 && one.unseen == Some(0)
    };
    let evidence = |one: &CredentialFacts| {
        let mut evidence = one.evidence();
        evidence.insert("messages".to_owned(), account.messages.0.into());
        evidence
    };
    account.credentials.iter().filter(hides).map(evidence).collect()
}

fn dele_does_not_delete(facts: &Facts) -> Vec<Evidence> {
    let Some(account) = facts.account() else { return none() };
    let word = match account.policy.dele {
        Dele::Expunge => return none(),
        Dele::Hide => "hide",
        Dele::Ignore => "ignore",
    };
    if_so(true, json!({"dele": word}))
}

fn device_may_not_delete(facts: &Facts) -> Vec<Evidence> {
    let Some(account) = facts.account() else { return none() };
    let may_not =
        |one: &&CredentialFacts| one.holds(facts.now) && one.reads && !one.deletes && one.last_used_at.is_some();
    account.credentials.iter().filter(may_not).map(CredentialFacts::evidence).collect()
}

fn mail_expires_soon(facts: &Facts) -> Vec<Evidence> {
    let Some(account) = facts.account() else { return none() };
    let (Expire::Days(days), Some(oldest)) = (account.policy.expire, account.oldest_message) else { return none() };
    let at = oldest + Duration::days(days.into());
    if_so(at <= facts.now + Duration::days(1), json!({"expire_days": days, "oldest_message": oldest, "expires_at": at}))
}

fn mail_has_expired(facts: &Facts) -> Vec<Evidence> {
    let Some(account) = facts.account() else { return none() };
    let expired = account.activity.iter().filter_map(|one| match &one.kind {
        ActivityKind::Expiry { session, expunged } => {
            Some(object(json!({"at": one.at, "messages": expunged, "session": format!("sess_{session}")})))
        }
        _ => None,
    });
    expired.take(1).collect()
}

/// Sessions that ended, and what the client was told last, where it is of a kind.
fn told_in_session(facts: &Facts, is_it: impl Fn(&str, Option<&str>) -> bool) -> Vec<Evidence> {
    let Some(account) = facts.account() else { return none() };
    let found = account.sessions().find_map(|one| match &one.kind {
        ActivityKind::Session { session, ended, last_error, .. }
            if is_it(last_error.as_deref().unwrap_or_default(), ended.as_deref()) =>
        {
            Some(object(json!({
                "session": format!("sess_{session}"), "at": one.at, "told": last_error, "ended": ended, "client": one.client,
            })))
        }
        _ => None,
    });
    found.into_iter().collect()
}

fn message_unreadable(facts: &Facts) -> Vec<Evidence> {
    told_in_session(facts, |told, ended| {
        ended == Some("unreadable")
            || told.starts_with("-ERR [SYS/PERM] the message")
            || told.starts_with("-ERR [SYS/TEMP] the message")
    })
}

fn deletion_failed(facts: &Facts) -> Vec<Evidence> {
    told_in_session(facts, |told, _| told.contains("the marked messages could not be deleted"))
}

fn utf8_refused(facts: &Facts) -> Vec<Evidence> {
    let refuses = facts.account().is_some_and(|account| account.policy.utf8 == Utf8::Refuse);
    if refuses { told_in_session(facts, |told, _| told.starts_with("-ERR [UTF8]")) } else { none() }
}

fn session_cut_short(facts: &Facts) -> Vec<Evidence> {
    told_in_session(facts, |_, ended| {
        ended.is_some_and(|ended| ["not_reading", "bad_commands", "session_time", "asked"].contains(&ended))
    })
}

fn sessions_without_quit(facts: &Facts) -> Vec<Evidence> {
    let Some(account) = facts.account() else { return none() };
    let is_lost = |one: &crate::Activity| match &one.kind {
        ActivityKind::Session { ended, fetched, .. } => {
            *fetched > 0 && ended.as_deref().is_some_and(|ended| ended == "lost" || ended == "idle")
        }
        _ => false,
    };
    let last: Vec<bool> = account.sessions().take(5).map(is_lost).collect();
    let lost = last.iter().filter(|lost| **lost).count();
    if_so(lost >= 2 && lost * 2 > last.len(), json!({"without_quit": lost, "of_the_last": last.len()}))
}

/// Whether a name of a certificate, perhaps with a star, is for a server name.
fn is_for(name: &str, server_name: &str) -> bool {
    match name.strip_prefix("*.") {
        Some(parent) => server_name.split_once('.').is_some_and(|(_, rest)| rest.eq_ignore_ascii_case(parent)),
        None => name.eq_ignore_ascii_case(server_name),
    }
}

fn server_name_mismatch(facts: &Facts) -> Vec<Evidence> {
    let Some(account) = facts.account() else { return none() };
    let known: Vec<&str> = facts.certificates.iter().flat_map(|one| &one.names).map(String::as_str).collect();
    if known.is_empty() {
        return none();
    }
    let names = account.server_names();
    let strange: Vec<&str> = names.into_iter().filter(|asked| !known.iter().any(|name| is_for(name, asked))).collect();
    if_so(!strange.is_empty(), json!({"asked_for": strange, "certificate_names": known}))
}

fn certificate_expired(facts: &Facts) -> Vec<Evidence> {
    certificates(facts, |left| left <= Duration::zero())
}

fn certificate_expires_soon(facts: &Facts) -> Vec<Evidence> {
    certificates(facts, |left| left > Duration::zero() && left < Duration::days(14))
}

fn certificates(facts: &Facts, is_it: impl Fn(Duration) -> bool) -> Vec<Evidence> {
    let due = facts.certificates.iter().filter(|one| is_it(one.expires_at - facts.now));
    due.map(|one| object(json!({"frontend": one.host, "names": one.names, "expires_at": one.expires_at})))
        .take(1)
        .collect()
}

fn mx_elsewhere(facts: &Facts) -> Vec<Evidence> {
    if_so(facts.dns.as_ref().is_some_and(|dns| dns.mx_is_here == Some(false)), json!({"address": facts.address}))
}

fn discovery_missing(facts: &Facts) -> Vec<Evidence> {
    let missing = facts.dns.as_ref().map(|dns| &dns.missing_discovery).filter(|missing| !missing.is_empty());
    missing.map(|missing| object(json!({"missing": missing}))).into_iter().collect()
}

fn maildrop_empty(facts: &Facts) -> Vec<Evidence> {
    let Some(account) = facts.account() else { return none() };
    if_so(account.messages.0 == 0, json!({"messages": 0}))
}

fn never_seen(facts: &Facts) -> Vec<Evidence> {
    let Some(account) = facts.account() else { return none() };
    let used = account.credentials.iter().any(|one| one.last_used_at.is_some());
    if_so(!used && account.activity.is_empty() && account.live.is_empty(), json!({}))
}

fn last_error(facts: &Facts) -> Vec<Evidence> {
    let Some(account) = facts.account() else { return none() };
    let told = account.activity.iter().filter_map(|one| match &one.kind {
        ActivityKind::Session { last_error: Some(told), ended_at, .. } => Some((*ended_at, told, one)),
        ActivityKind::Refused(refused) => Some((refused.last_at, &refused.told, one)),
        _ => None,
    });
    let last = told.max_by_key(|(at, ..)| *at);
    let evidence =
        last.map(|(at, told, one)| json!({"at": at, "told": told, "address": one.address, "client": one.client}));
    evidence.map(object).into_iter().collect()
}

fn logged_in_lately(facts: &Facts) -> Vec<Evidence> {
    let Some(account) = facts.account() else { return none() };
    let at = account.accepted_at();
    if_so(at.is_some(), json!({"accepted_at": at, "sessions_now": account.live.len()}))
}
