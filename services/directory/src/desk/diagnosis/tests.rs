use mail_types::CredentialId;
use serde_json::json;
use sqlx::types::ipnet::IpNet;

use super::facts::*;
use super::rules::{RULES, apply};
use super::*;
use crate::desk::{Activity, ActivityKind, RefusalReason as R, RefusedLogins};
use crate::policy::{Dele, Expire, Utf8, View};
use mail_types::SessionUuid;

fn at(minute: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_700_000_000 + 60 * minute, 0).unwrap()
}

/// An account where nothing is wrong, seen in minute 1000.
fn account() -> AccountFacts {
    AccountFacts {
        messages: (3, None),
        credentials: vec![CredentialFacts {
            id: 1,
            name: "password".to_owned(),
            is_password: true,
            reads: true,
            deletes: true,
            last_used_at: Some(at(900)),
            ..CredentialFacts::default()
        }],
        activity: vec![happened(900, ActivityKind::Use { logins: 3 })],
        ..AccountFacts::default()
    }
}

fn facts(account: AccountFacts) -> Facts {
    Facts {
        now: at(1000),
        address: "alice@acme.test".to_owned(),
        domain: DomainFacts::Verified,
        place: Place::Account(Box::new(account)),
        certificates: vec![CertificateFacts {
            host: "pop".to_owned(),
            names: vec!["pop.acme.test".to_owned(), "*.example.test".to_owned()],
            expires_at: at(1000 + 60 * 24 * 60),
        }],
        dns: None,
    }
}

fn happened(minute: i64, kind: ActivityKind) -> Activity {
    Activity {
        at: at(minute),
        address: [192, 0, 2, 1].into(),
        credential: None,
        mechanism: Some(1),
        tls: Some(2),
        client: Some("TLSv1.3".to_owned()),
        server_name: None,
        kind,
    }
}

fn refused(minute: i64, reason: R, attempts: u64, secrets: u64) -> Activity {
    let network: IpNet = "192.0.2.0/24".parse().unwrap();
    let (first_at, last_at, told) = (at(minute), at(minute), "-ERR [AUTH] no".to_owned());
    happened(
        minute,
        ActivityKind::Refused(RefusedLogins { reason, network, attempts, secrets, first_at, last_at, told }),
    )
}

fn session(minute: i64, ended: &str, fetched: u64, last_error: Option<&str>) -> Activity {
    happened(
        minute,
        ActivityKind::Session {
            session: SessionUuid::from_u128(7),
            ended_at: at(minute + 1),
            ended: Some(ended.to_owned()),
            fetched,
            fetched_octets: 10 * fetched,
            expunged: 0,
            last_error: last_error.map(str::to_owned),
        },
    )
}

fn codes(facts: &Facts) -> Vec<&'static str> {
    apply(facts).into_iter().map(|finding| finding.code).collect()
}

/// What an account makes of it that is changed so; without what is good to know.
#[track_caller]
fn check(expected: &[&str], change: impl FnOnce(&mut AccountFacts)) -> Vec<Finding> {
    let mut account = account();
    change(&mut account);
    let findings = apply(&facts(account));
    let found: Vec<_> = findings.iter().filter(|one| one.severity != Severity::Info).map(|one| one.code).collect();
    assert_eq!(found, expected);
    findings
}

#[test]
fn nothing_is_found_where_nothing_is_wrong() {
    assert_eq!(codes(&facts(account())), ["logged_in_lately", "nothing_found"]);
    let unseen = AccountFacts { activity: Vec::new(), ..account() };
    assert_eq!(codes(&facts(unseen)), ["nothing_found"]);
    let mut never = AccountFacts { activity: Vec::new(), messages: (0, None), ..account() };
    never.credentials[0].last_used_at = None;
    assert_eq!(codes(&facts(never)), ["maildrop_empty", "never_seen", "nothing_found"]);
}

#[test]
fn an_address_that_is_no_account() {
    let none = |domain, place| codes(&Facts { domain, place, certificates: Vec::new(), ..facts(account()) });
    let nothing = |catch_all| Place::Nothing { catch_all };
    assert_eq!(none(DomainFacts::Unknown, nothing(false)), ["domain_unknown"]);
    assert_eq!(none(DomainFacts::Unverified, nothing(false)), ["domain_unverified", "account_missing"]);
    assert_eq!(none(DomainFacts::Verified, nothing(true)), ["account_missing", "catch_all_takes_mail"]);
    let alias = Place::Alias { targets: vec!["bob@acme.test".to_owned()] };
    assert_eq!(none(DomainFacts::Verified, alias), ["address_is_alias"]);
}

#[test]
fn who_may_not_log_in() {
    check(&["tenant_suspended"], |a| a.tenant_suspended = true);
    check(&["account_suspended"], |a| a.suspended = true);
    check(&["no_credential"], |a| (a.credentials, a.activity) = (Vec::new(), Vec::new()));
    check(&[], |a| a.credentials.clear());
    check(&["no_credential"], |a| {
        a.activity.clear();
        a.credentials[0].expires_at = Some(at(999));
    });
}

#[test]
fn every_reason_of_a_refusal_is_named() {
    let expected = |reason| match reason {
        R::WrongPassword | R::WrongProof => "wrong_password",
        R::NoPassword => "no_password",
        R::UnknownAppPassword => "app_password_revoked",
        R::AppPasswordExpired => "app_password_expired",
        R::AppPasswordNetwork => "app_password_network",
        R::AppPasswordScope => "app_password_scope",
        R::AppPasswordLegacy | R::LegacyUnavailable | R::ApopNotOffered => "legacy_unavailable",
        R::ScramUnavailable => "scram_unavailable",
        R::TokenRefused => "token_refused",
        R::CertificateRefused => "certificate_refused",
        R::Suspended => "account_suspended",
        R::LoginDelay => "login_delay",
        R::SlowedDown => "slowed_down",
        R::Busy | R::Unavailable => "service_busy",
        R::InUse => "maildrop_in_use",
        R::SessionsOfAccount | R::SessionsOfDomain | R::SessionsOfTenant | R::SessionsOfAddress => "too_many_sessions",
        R::ClearConnection => "clear_connection",
    };
    for &reason in R::ALL {
        let mut account = AccountFacts { activity: vec![refused(950, reason, 2, 2)], ..account() };
        account.suspended = reason == R::Suspended;
        let findings = apply(&facts(account));
        let code = expected(reason);
        let finding =
            findings.iter().find(|one| one.code == code).unwrap_or_else(|| panic!("{reason:?}: {findings:?}"));
        assert_eq!((&finding.evidence["attempts"], &finding.evidence["told"]), (&json!(2), &json!("-ERR [AUTH] no")));
        assert!(findings.iter().any(|one| one.code == "last_error"), "{reason:?}");
    }
}

#[test]
fn an_old_password_is_told_from_a_wrong_one() {
    check(&["wrong_password"], |a| a.activity = vec![refused(950, R::WrongPassword, 10, 10)]);
    // Once mistyped, then right.
    check(&[], |a| a.activity.push(refused(890, R::WrongPassword, 1, 1)));
    check(&["old_password_on_a_device"], |a| {
        a.activity.push(refused(890, R::WrongPassword, 5, 1));
        a.activity.push(refused(950, R::WrongPassword, 5, 0));
    });
    let findings = check(&["wrong_password"], |a| a.activity = vec![refused(950, R::WrongPassword, 10, 1)]);
    assert_eq!(findings[0].evidence["different_secrets"], json!(1));
}

#[test]
fn a_refused_credential_is_named() {
    let findings = check(&["app_password_network"], |a| {
        let mut one = refused(950, R::AppPasswordNetwork, 1, 0);
        one.credential = Some((CredentialId(1), "phone".to_owned()));
        a.credentials[0].networks = vec!["198.51.100.0/24".to_owned()];
        a.activity.push(one);
    });
    assert_eq!(findings[0].evidence["allowed_networks"], json!(["198.51.100.0/24"]));
    assert_eq!(findings[0].evidence["credential"], json!("cred_1"));
}

#[test]
fn quotas() {
    check(&["quota_octets_full"], |a| a.octets = (100, Some(100)));
    check(&["quota_nearly_full"], |a| a.octets = (80, Some(100)));
    check(&[], |a| a.octets = (79, Some(100)));
    check(&["quota_messages_full"], |a| a.messages = (3, Some(3)));
    check(&["tenant_quota_full"], |a| a.tenant_octets = (3, Some(3)));
}

#[test]
fn policies_that_hide_mail() {
    check(&["view_hides_old_mail"], |a| (a.policy.view, a.hidden_by_days) = (View::LastDays(3), 2));
    check(&[], |a| a.policy.view = View::LastDays(3));
    check(&["view_hides_fetched_mail"], |a| {
        a.credentials[0].policy.view = View::NewForDevice;
        a.credentials[0].unseen = Some(0);
    });
    check(&[], |a| {
        a.credentials[0].policy.view = View::NewForDevice;
        a.credentials[0].unseen = Some(1);
    });
    let info = |change: fn(&mut AccountFacts)| {
        let mut account = account();
        change(&mut account);
        codes(&facts(account))
    };
    assert!(info(|a| a.policy.dele = Dele::Ignore).contains(&"dele_does_not_delete"));
    assert!(info(|a| a.credentials[0].deletes = false).contains(&"device_may_not_delete"));
    check(&["mail_expires_soon"], |a| {
        (a.policy.expire, a.oldest_message) = (Expire::Days(1), Some(at(100)));
    });
    check(&[], |a| (a.policy.expire, a.oldest_message) = (Expire::Days(3), Some(at(100))));
    check(&["mail_has_expired"], |a| {
        let (session, expunged) = (SessionUuid::from_u128(1), 3);
        a.activity.push(happened(500, ActivityKind::Expiry { session, expunged }));
    });
}

#[test]
fn what_sessions_came_to() {
    let with = |one: Activity| move |a: &mut AccountFacts| a.activity.insert(0, one);
    check(&["message_unreadable"], with(session(950, "unreadable", 1, None)));
    check(&["message_unreadable"], with(session(950, "quit", 0, Some("-ERR [SYS/PERM] the message cannot be read"))));
    check(
        &["deletion_failed"],
        with(session(950, "closed", 0, Some("-ERR [SYS/TEMP] the marked messages could not be deleted, try"))),
    );
    check(&["session_cut_short"], with(session(950, "asked", 0, None)));
    check(&[], with(session(950, "lost", 1, None)));
    check(&["sessions_without_quit"], |a| a.activity = (0..3).map(|n| session(950 - n, "lost", 1, None)).collect());
    check(&["utf8_refused"], |a| {
        a.policy.utf8 = Utf8::Refuse;
        a.activity.push(session(950, "quit", 1, Some("-ERR [UTF8] the message")));
    });
}

#[test]
fn names_and_certificates() {
    let named = |name: &'static str| move |a: &mut AccountFacts| a.activity[0].server_name = Some(name.to_owned());
    check(&["server_name_mismatch"], named("mail.acme.test"));
    check(&[], named("pop.acme.test"));
    check(&[], named("pop.example.test"));
    check(&["server_name_mismatch"], named("example.test"));
    let expires = |minute| {
        let mut facts = facts(account());
        facts.certificates[0].expires_at = at(minute);
        codes(&facts)
    };
    assert_eq!(expires(999)[0], "certificate_expired");
    assert_eq!(expires(1001)[0], "certificate_expires_soon");
}

#[test]
fn a_look_at_the_dns_is_taken_in() {
    let dns = DnsFacts { mx_is_here: Some(false), missing_discovery: vec!["_pop3s._tcp".to_owned()] };
    let codes = codes(&Facts { dns: Some(dns), ..facts(account()) });
    assert!(codes.starts_with(&["mx_elsewhere"]) && codes.contains(&"discovery_missing"), "{codes:?}");
}

#[test]
fn the_table_is_whole_and_documented() {
    let mut codes: Vec<_> = RULES.iter().map(|rule| rule.code).collect();
    codes.sort_unstable();
    codes.dedup();
    assert_eq!(codes.len(), RULES.len());
    let documented = include_str!("../../../../../docs/support-desk.md");
    let (_, table) = documented.split_once("<!-- rules -->\n").unwrap();
    let (table, _) = table.split_once("<!-- end of rules -->").unwrap();
    assert_eq!(table, rules_as_markdown(), "docs/support-desk.md: put the table there that is on the right");
}
