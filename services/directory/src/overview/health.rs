//! How the service is: for its operator in figures, for everybody else whether it is.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use serde::Deserialize;
use sqlx::PgConnection;

use crate::Result;

/// An answer of the database that takes longer is slow.
const SLOW: Duration = Duration::from_millis(250);
/// What waits longer for a worker waits too long.
const LATE: TimeDelta = TimeDelta::minutes(10);
/// A certificate that ends sooner should have been renewed.
const RENEWED: TimeDelta = TimeDelta::days(14);
/// How long nobody need think of one.
const AGES: TimeDelta = TimeDelta::days(1000);
/// What is counted is counted up to this.
const MOST: i64 = 1000;

/// A part of the service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// PostgreSQL.
    Database,
    /// The object store.
    Store,
    /// What mail clients and mail servers speak to.
    Frontends,
    /// What does the rest.
    Workers,
    /// What waits for workers, and what they keep an eye on.
    Queues,
    /// What frontends show in TLS.
    Certificates,
}

/// How a part is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum HealthState {
    /// As it should be.
    Ok,
    /// It works; somebody should look.
    Warn,
    /// It does not work.
    Down,
}

/// How a part of the service is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Health {
    /// Which.
    pub part: Part,
    /// How.
    pub state: HealthState,
    /// A sentence for people.
    pub text: String,
    /// Since when, where that is known.
    pub since: Option<DateTime<Utc>>,
}

impl Health {
    /// Of what answered, or did not, within a time.
    pub fn answered(part: Part, took: Option<Duration>, with_figures: bool) -> Self {
        let state = match took {
            None => HealthState::Down,
            Some(took) if took > SLOW => HealthState::Warn,
            Some(_) => HealthState::Ok,
        };
        let text = match (took, state) {
            (None, _) => "Does not answer".to_owned(),
            (Some(took), _) if with_figures => format!("Answers in {} ms", took.as_millis().max(1)),
            (Some(_), HealthState::Ok) => "Answers".to_owned(),
            (Some(_), _) => "Answers slowly".to_owned(),
        };
        Self { part, state, text, since: None }
    }

    fn new(part: Part, state: HealthState, text: impl Into<String>) -> Self {
        Self { part, state, text: text.into(), since: None }
    }
}

#[derive(sqlx::FromRow)]
struct Row {
    due_jobs: i64,
    oldest_job: Option<DateTime<Utc>>,
    due_webhooks: i64,
    oldest_webhook: Option<DateTime<Utc>>,
    to_delete: i64,
    oldest_to_delete: Option<DateTime<Utc>>,
    oldest_verified: Option<DateTime<Utc>>,
    damaged: i64,
    purge_is_late: bool,
    stopped_why: Option<String>,
    processes: sqlx::types::Json<Vec<Processes>>,
}

/// The processes of a role.
#[derive(Debug, Clone, Deserialize)]
struct Processes {
    role: String,
    alive: i64,
    last_beat: DateTime<Utc>,
    certificate: Option<DateTime<Utc>>,
}

/// How it is, but for what the database does not know.
pub(super) async fn of(
    tx: &mut PgConnection,
    now: DateTime<Utc>,
    database: Duration,
    with_figures: bool,
) -> Result<Vec<Health>> {
    let row: Row = sqlx::query_as("SELECT * FROM restante.admin_health_1()").fetch_one(tx).await?;
    let mut all = vec![Health::answered(Part::Database, Some(database), with_figures), row.frontends(with_figures)];
    if with_figures {
        all.extend([row.workers(), row.queues(now)]);
        all.extend(row.certificates(now));
    }
    Ok(all)
}

impl Row {
    fn processes(&self, role: &str) -> Option<&Processes> {
        self.processes.iter().find(|processes| processes.role == role)
    }

    /// A role that nobody ever ran is not missing, but for POP3, without which there is no service.
    fn frontends(&self, with_figures: bool) -> Health {
        let mut figures = Vec::new();
        let mut missing: Option<(&str, Option<DateTime<Utc>>)> = None;
        for (role, name, is_needed) in [("pop3", "POP3", true), ("lmtp", "LMTP", false)] {
            match self.processes(role) {
                Some(Processes { alive, .. }) if *alive > 0 => figures.push(format!("{alive} for {name}")),
                Some(Processes { last_beat, .. }) => missing = missing.or(Some((name, Some(*last_beat)))),
                None if is_needed => missing = missing.or(Some((name, None))),
                None => {}
            }
        }
        match missing {
            Some((name, since)) => {
                let text = format!("Nothing that speaks {name} is alive");
                Health { since, ..Health::new(Part::Frontends, HealthState::Down, text) }
            }
            None if with_figures => Health::new(Part::Frontends, HealthState::Ok, figures.join(", ")),
            None => Health::new(Part::Frontends, HealthState::Ok, "Take mail in and hand it out"),
        }
    }

    fn workers(&self) -> Health {
        match self.processes("worker") {
            Some(Processes { alive, .. }) if *alive > 0 => {
                Health::new(Part::Workers, HealthState::Ok, format!("{alive} alive"))
            }
            gone => {
                let since = gone.map(|processes| processes.last_beat);
                Health { since, ..Health::new(Part::Workers, HealthState::Down, "No worker is alive") }
            }
        }
    }

    fn queues(&self, now: DateTime<Utc>) -> Health {
        let mut wrong = Vec::new();
        let mut since = None;
        for (what, oldest) in [("jobs", self.oldest_job), ("webhook deliveries", self.oldest_webhook)] {
            if let Some(oldest) = oldest.filter(|oldest| now - *oldest > LATE) {
                wrong.push(format!("{what} wait for {}", age(now - oldest)));
                since = since.min(Some(oldest)).or(Some(oldest));
            }
        }
        if self.purge_is_late {
            wrong.push("the purge is behind".to_owned());
        }
        if self.damaged > 0 {
            wrong.push(format!("{} stored objects are damaged", counted(self.damaged)));
        }
        if let Some(why) = &self.stopped_why {
            wrong.push(format!("nothing is deleted until `restante recover` ran: {why}"));
        }
        let mut text = wrong.join("; ");
        if wrong.is_empty() {
            text = format!(
                "{} jobs and {} webhook deliveries are due, {} objects wait for their deletion",
                counted(self.due_jobs),
                counted(self.due_webhooks),
                counted(self.to_delete)
            );
            if let Some(oldest) = self.oldest_to_delete {
                text.push_str(&format!(", the first for {}", age(now - oldest)));
            }
            if let Some(verified) = self.oldest_verified {
                text.push_str(&format!("; all that is stored was verified within {}", age(now - verified)));
            }
        }
        let state = if wrong.is_empty() { HealthState::Ok } else { HealthState::Warn };
        Health { since, ..Health::new(Part::Queues, state, text) }
    }

    fn certificates(&self, now: DateTime<Utc>) -> Option<Health> {
        let ends = self.processes.iter().filter_map(|processes| processes.certificate).min()?;
        let (state, text) = match ends - now {
            left if left <= TimeDelta::zero() => (HealthState::Down, format!("Expired for {}", age(-left))),
            left if left <= RENEWED => (HealthState::Warn, format!("Expires in {}", age(left))),
            left if left > AGES => (HealthState::Ok, "Good for years".to_owned()),
            left => (HealthState::Ok, format!("Good for {}", age(left))),
        };
        Some(Health::new(Part::Certificates, state, text))
    }
}

fn counted(count: i64) -> String {
    if count >= MOST { format!("{MOST} or more") } else { count.to_string() }
}

/// A time for people: in the greatest unit of which it has two.
fn age(time: TimeDelta) -> String {
    let minutes = time.num_minutes().max(0);
    match minutes {
        0..120 => format!("{minutes} min"),
        120..2880 => format!("{} h", minutes / 60),
        _ => format!("{} days", minutes / 1440),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(now: DateTime<Utc>) -> Row {
        let processes = |role: &str, alive, days| Processes {
            role: role.to_owned(),
            alive,
            last_beat: now - TimeDelta::seconds(3),
            certificate: Some(now + TimeDelta::days(days)),
        };
        Row {
            due_jobs: 2,
            oldest_job: Some(now - TimeDelta::minutes(1)),
            due_webhooks: 1000,
            oldest_webhook: Some(now),
            to_delete: 3,
            oldest_to_delete: Some(now - TimeDelta::hours(30)),
            oldest_verified: Some(now - TimeDelta::days(5)),
            damaged: 0,
            purge_is_late: false,
            stopped_why: None,
            processes: sqlx::types::Json(vec![
                processes("pop3", 2, 60),
                processes("lmtp", 1, 61),
                processes("worker", 1, 90),
            ]),
        }
    }

    fn shown(health: &Health) -> (HealthState, &str) {
        (health.state, &health.text)
    }

    #[test]
    fn what_is_well_says_so_in_figures_to_its_operator() {
        let now = DateTime::from_timestamp(1_700_000_000, 0).unwrap();
        let row = row(now);
        assert_eq!(shown(&row.frontends(true)), (HealthState::Ok, "2 for POP3, 1 for LMTP"));
        assert_eq!(shown(&row.frontends(false)), (HealthState::Ok, "Take mail in and hand it out"));
        assert_eq!(shown(&row.workers()), (HealthState::Ok, "1 alive"));
        let text = "2 jobs and 1000 or more webhook deliveries are due, 3 objects wait for their deletion, the first for 30 h; \
                    all that is stored was verified within 5 days";
        assert_eq!(shown(&row.queues(now)), (HealthState::Ok, text));
        assert_eq!(shown(&row.certificates(now).unwrap()), (HealthState::Ok, "Good for 60 days"));
        assert_eq!(shown(&row.certificates(now - TimeDelta::days(2000)).unwrap()).1, "Good for years");
        let answers = |took, figures| Health::answered(Part::Store, took, figures).text;
        assert_eq!(answers(Some(Duration::from_micros(10)), true), "Answers in 1 ms");
        assert_eq!([answers(Some(SLOW), false), answers(None, false)], ["Answers", "Does not answer"]);
        assert_eq!(Health::answered(Part::Store, Some(SLOW * 2), false).state, HealthState::Warn);
    }

    #[test]
    fn what_is_not_says_what_and_since_when() {
        let now = DateTime::from_timestamp(1_700_000_000, 0).unwrap();
        let long_ago = now - TimeDelta::hours(3);
        let mut row = row(now);
        row.oldest_webhook = Some(long_ago);
        (row.damaged, row.purge_is_late, row.stopped_why) = (1, true, Some("restored".to_owned()));
        let queues = row.queues(now);
        let text = "webhook deliveries wait for 3 h; the purge is behind; 1 stored objects are damaged; nothing is deleted until \
                    `restante recover` ran: restored";
        assert_eq!((shown(&queues), queues.since), ((HealthState::Warn, text), Some(long_ago)));
        for processes in &mut row.processes.0 {
            processes.alive = 0;
            processes.last_beat = long_ago;
            processes.certificate = Some(now + TimeDelta::days(14));
        }
        let frontends = row.frontends(true);
        assert_eq!(
            (shown(&frontends), frontends.since),
            ((HealthState::Down, "Nothing that speaks POP3 is alive"), Some(long_ago))
        );
        assert_eq!(row.workers().since, Some(long_ago));
        assert_eq!(shown(&row.certificates(now).unwrap()), (HealthState::Warn, "Expires in 14 days"));
        assert_eq!(
            shown(&row.certificates(now + TimeDelta::days(15)).unwrap()),
            (HealthState::Down, "Expired for 24 h")
        );
        row.processes.0.clear();
        assert_eq!((row.frontends(true).since, row.workers().state), (None, HealthState::Down));
        assert_eq!(row.certificates(now), None);
    }
}
