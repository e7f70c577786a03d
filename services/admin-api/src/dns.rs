//! What a domain's DNS should say, and what it says. Nothing is enforced: mail must not stop because somebody's DNS does.

use std::collections::BTreeSet;

use directory::{DnsFacts, Domain};
use futures_util::future::join_all;
use mail_types::DomainName;
use net::egress::{Egress, Record, RecordKind, Unanswered};
use serde::Serialize;
use utoipa::ToSchema;

use crate::publish::{Publish, Served};

/// Where the challenge is looked for before the domain itself: there it is in the way of nothing.
const CHALLENGE: &str = "_restante-challenge";
/// The most found values that are shown of one name, and the most characters of each.
const MOST_SHOWN: usize = 20;
const MOST_CHARACTERS: usize = 255;

/// How a record stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum DnsState {
    /// It is as it should be.
    Ok,
    /// There is none.
    Missing,
    /// It says something else.
    Wrong,
    /// The DNS did not answer.
    Unreachable,
}

/// What a record is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum DnsPurpose {
    /// To prove the claim.
    Verification,
    /// That mail comes here.
    Mail,
    /// That mail clients find where to fetch it.
    Pop3,
    /// That mail clients find where to submit it.
    Submission,
    /// The settings of Thunderbird and its like.
    Autoconfig,
    /// The settings of Outlook and its like.
    Autodiscover,
}

/// The records of one name and type.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DnsRecord {
    /// What for.
    purpose: DnsPurpose,
    /// Whether nothing works without it; the others save people from typing names of servers.
    required: bool,
    /// `TXT`, `MX`, `SRV` or `CNAME`.
    #[schema(examples("SRV"))]
    r#type: &'static str,
    /// Of what name.
    #[schema(examples("_pop3s._tcp.acme.test"))]
    name: String,
    /// Values to publish, as a zone file has them.
    #[schema(examples("0 1 995 pop.example.net"))]
    expected: Vec<String>,
    /// Values that are there now, the first 20; where an address does as well as a CNAME, addresses.
    #[schema(examples("0 1 995 pop.example.net"))]
    found: Vec<String>,
    /// How they compare.
    state: DnsState,
}

/// What a domain's DNS should say, and what it says now.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DomainDns {
    /// The domain.
    domain: String,
    /// Whether it has its name.
    verified: bool,
    /// The records.
    records: Vec<DnsRecord>,
    /// Keys of the service's configuration that are not set, so that there is nothing to publish for them.
    #[schema(examples("publish.submission_host"))]
    unset: Vec<&'static str>,
}

/// A question and what its answer is compared with.
enum Expected<'a> {
    Challenge(&'a str),
    Mx(&'a [DomainName]),
    Srv { host: &'a DomainName, port: u16 },
    Cname(&'a DomainName),
}

/// What the records of a domain tell of somebody who does not get their mail; `None`: nothing is published, so nothing is expected.
pub(crate) async fn facts(egress: &Egress, publish: &Publish, domain: &Domain) -> Option<DnsFacts> {
    let DomainDns { records, .. } = look(egress, publish, domain).await;
    if records.is_empty() {
        return None;
    }
    let is_off = |record: &&DnsRecord| matches!(record.state, DnsState::Missing | DnsState::Wrong);
    let mail = records.iter().find(|record| record.purpose == DnsPurpose::Mail);
    let discovery = [DnsPurpose::Pop3, DnsPurpose::Autoconfig, DnsPurpose::Autodiscover];
    let missing = records.iter().filter(|record| discovery.contains(&record.purpose)).filter(is_off);
    Some(DnsFacts {
        mx_is_here: mail.and_then(|record| match record.state {
            DnsState::Ok => Some(true),
            DnsState::Missing | DnsState::Wrong => Some(false),
            DnsState::Unreachable => None,
        }),
        missing_discovery: missing.map(|record| format!("{} {}", record.name, record.r#type)).collect(),
    })
}

/// Looks at all records of a domain, at once.
pub(crate) async fn look(egress: &Egress, publish: &Publish, domain: &Domain) -> DomainDns {
    let name = domain.name.as_str();
    let mut wanted = Vec::new();
    let mut want = |purpose, name: String, expected| wanted.push((purpose, name, expected));
    if domain.verified_at.is_none() {
        want(DnsPurpose::Verification, format!("{CHALLENGE}.{name}"), Expected::Challenge(&domain.challenge));
    }
    if !publish.mx.is_empty() {
        want(DnsPurpose::Mail, name.to_owned(), Expected::Mx(&publish.mx));
    }
    for (purpose, served) in [(DnsPurpose::Pop3, publish.pop3()), (DnsPurpose::Submission, publish.submission())] {
        for Served { service, host, port, .. } in served {
            want(purpose, format!("{service}._tcp.{name}"), Expected::Srv { host, port });
        }
    }
    if let Some(host) = &publish.autoconfig_host {
        want(DnsPurpose::Autoconfig, format!("autoconfig.{name}"), Expected::Cname(host));
        want(DnsPurpose::Autodiscover, format!("autodiscover.{name}"), Expected::Cname(host));
        want(DnsPurpose::Autodiscover, format!("_autodiscover._tcp.{name}"), Expected::Srv { host, port: 443 });
    }
    let records = wanted.into_iter().map(|(purpose, name, expected)| async move {
        let (found, state) = expected.compare(egress, &name, domain).await;
        DnsRecord {
            purpose,
            required: matches!(purpose, DnsPurpose::Verification | DnsPurpose::Mail),
            r#type: expected.kind(),
            name,
            expected: expected.values(),
            found: shown(found),
            state,
        }
    });
    DomainDns {
        domain: name.to_owned(),
        verified: domain.verified_at.is_some(),
        records: join_all(records).await,
        unset: publish.unset(),
    }
}

impl Expected<'_> {
    const fn kind(&self) -> &'static str {
        match self {
            Self::Challenge(_) => "TXT",
            Self::Mx(_) => "MX",
            Self::Srv { .. } => "SRV",
            Self::Cname(_) => "CNAME",
        }
    }

    fn values(&self) -> Vec<String> {
        match self {
            Self::Challenge(text) => vec![(*text).to_owned()],
            Self::Mx(hosts) => hosts.iter().zip(1..).map(|(host, place)| format!("{} {host}", place * 10)).collect(),
            Self::Srv { host, port } => vec![format!("0 1 {port} {host}")],
            Self::Cname(host) => vec![host.to_string()],
        }
    }

    async fn compare(&self, egress: &Egress, name: &str, domain: &Domain) -> (Vec<String>, DnsState) {
        match self {
            Self::Challenge(_) => challenge(egress, domain).await,
            Self::Mx(hosts) => mx(egress, name, hosts).await,
            Self::Srv { host, port } => srv(egress, name, host, *port).await,
            Self::Cname(host) => cname(egress, name, host).await,
        }
    }
}

/// Whether the DNS shows a claim's challenge, of its own name or of the domain itself.
pub(crate) async fn challenge(egress: &Egress, domain: &Domain) -> (Vec<String>, DnsState) {
    let name = domain.name.as_str();
    let own = format!("{CHALLENGE}.{name}");
    let (own, apex) = tokio::join!(egress.records(&own, RecordKind::Txt), egress.records(name, RecordKind::Txt));
    let texts = |records: &Result<Vec<Record>, Unanswered>| -> Vec<String> {
        let text = |record: &Record| if let Record::Txt(text) = record { Some(text.clone()) } else { None };
        records.as_ref().map_or_else(|_| Vec::new(), |records| records.iter().filter_map(text).collect())
    };
    let mut found = texts(&own);
    // Of the domain itself only what is meant for us: other texts there are nothing wrong.
    found.extend(texts(&apex).into_iter().filter(|text| is_challenge(text, &domain.challenge)));
    let state = if found.iter().any(|text| is_challenge(text, &domain.challenge)) {
        DnsState::Ok
    } else if own.is_err() || apex.is_err() {
        DnsState::Unreachable
    } else if found.is_empty() {
        DnsState::Missing
    } else {
        DnsState::Wrong
    };
    (found, state)
}

/// Forms of DNS providers leave quotes and spaces around what people paste into them.
fn is_challenge(text: &str, challenge: &str) -> bool {
    text.trim().trim_matches('"') == challenge
}

/// Right when all of ours are there and one of them is the most preferred: mail goes there first.
async fn mx(egress: &Egress, name: &str, hosts: &[DomainName]) -> (Vec<String>, DnsState) {
    let Ok(records) = egress.records(name, RecordKind::Mx).await else { return (Vec::new(), DnsState::Unreachable) };
    let mut found: Vec<(u16, String)> = records
        .into_iter()
        .filter_map(
            |record| if let Record::Mx { preference, exchange } = record { Some((preference, exchange)) } else { None },
        )
        .collect();
    found.sort();
    let is_ours = |exchange: &str| hosts.iter().any(|host| host.as_str() == exchange);
    let best = found.first().map(|(preference, _)| *preference);
    let all = hosts.iter().all(|host| found.iter().any(|(_, exchange)| exchange == host.as_str()));
    let ours_first =
        found.iter().filter(|(preference, _)| Some(*preference) == best).all(|(_, exchange)| is_ours(exchange));
    let state = match (best, all && ours_first) {
        (None, _) => DnsState::Missing,
        (_, true) => DnsState::Ok,
        _ => DnsState::Wrong,
    };
    (found.into_iter().map(|(preference, exchange)| format!("{preference} {exchange}")).collect(), state)
}

/// Right when one leads there; priority and weight are the domain's own matter.
async fn srv(egress: &Egress, name: &str, host: &DomainName, port: u16) -> (Vec<String>, DnsState) {
    let Ok(records) = egress.records(name, RecordKind::Srv).await else { return (Vec::new(), DnsState::Unreachable) };
    let leads = |record: &Record| matches!(record, Record::Srv { port: p, target, .. } if *p == port && target == host.as_str());
    let state = match (records.is_empty(), records.iter().any(leads)) {
        (true, _) => DnsState::Missing,
        (_, true) => DnsState::Ok,
        _ => DnsState::Wrong,
    };
    let text = |record: Record| {
        let Record::Srv { priority, weight, port, target } = record else { return None };
        Some(format!("{priority} {weight} {port} {target}"))
    };
    (records.into_iter().filter_map(text).collect(), state)
}

/// Right when it is another name of the host, or has none but the host's addresses.
async fn cname(egress: &Egress, name: &str, host: &DomainName) -> (Vec<String>, DnsState) {
    let Ok(records) = egress.records(name, RecordKind::Cname).await else {
        return (Vec::new(), DnsState::Unreachable);
    };
    if let Some(Record::Cname(other)) = records.into_iter().next() {
        let state = if other == host.as_str() { DnsState::Ok } else { DnsState::Wrong };
        return (vec![other], state);
    }
    let (own, hosts) = tokio::join!(egress.addresses(name), egress.addresses(host.as_str()));
    let (Ok(own), Ok(hosts)) = (own, hosts) else { return (Vec::new(), DnsState::Unreachable) };
    let hosts: BTreeSet<_> = hosts.into_iter().collect();
    let state = match (own.is_empty(), own.iter().all(|address| hosts.contains(address))) {
        (true, _) => DnsState::Missing,
        (_, true) => DnsState::Ok,
        _ => DnsState::Wrong,
    };
    (own.iter().map(ToString::to_string).collect(), state)
}

/// What somebody's DNS says, cut to what an answer may hold.
fn shown(found: Vec<String>) -> Vec<String> {
    found.into_iter().take(MOST_SHOWN).map(|text| text.chars().take(MOST_CHARACTERS).collect()).collect()
}
