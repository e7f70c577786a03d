//! "Why can't this person get their mail?": facts are gathered in a few queries, and a table of small rules makes findings of them.

mod facts;
mod gather;
mod rules;
#[cfg(test)]
mod tests;

use chrono::{DateTime, Utc};
use mail_types::Address;
use serde::Serialize;
use serde_json::{Map, Value};

use crate::{Caller, Directory, Result};

pub use facts::DnsFacts;
pub use rules::rules_as_markdown;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Somebody does not get their mail, or mail does not get to them.
    Error,
    /// It will come to that, or part of the mail is missing.
    Warning,
    /// Good to know.
    Info,
}

impl Severity {
    /// The API's word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Info => "info",
        }
    }
}

/// What is the matter.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Finding {
    /// Stable.
    pub code: &'static str,
    /// How bad it is.
    pub severity: Severity,
    /// For people.
    pub summary: &'static str,
    /// What it was concluded from.
    pub evidence: Map<String, Value>,
    /// What an administrator does about it.
    pub what_to_do: &'static str,
}

/// What was found.
#[derive(Debug, Clone)]
pub struct Diagnosis {
    /// When, by the database's clock.
    pub at: DateTime<Utc>,
    /// The worst first; never empty: that nothing was found is a finding.
    pub findings: Vec<Finding>,
}

impl Directory {
    /// Looks for what keeps the person behind an address from their mail. `dns`: what a look at the domain's records found, where one was
    /// taken.
    ///
    /// # Errors
    /// [`crate::Error::NotFound`] where the caller reaches no such domain. An address of a domain that it reaches is never missing: that is a
    /// finding.
    pub async fn diagnose(&self, caller: &Caller, address: &Address, dns: Option<DnsFacts>) -> Result<Diagnosis> {
        let mut tx = self.begin(caller).await?;
        let mut facts = gather::gather(&mut tx, caller, address).await?;
        facts.dns = dns;
        Ok(Diagnosis { at: facts.now, findings: rules::apply(&facts) })
    }
}
