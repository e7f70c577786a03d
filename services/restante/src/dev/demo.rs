//! The demonstration: a tenant, a domain, two accounts and a little mail of our own, made once in a fresh directory.

use anyhow::Context as _;
use directory::{AdminName, Caller, Directory, Error, NewAccount, NewAdmin, NewDomain, NewTenant, Policy, Quota, Role};
use mail_types::{Address, Clock, DomainName, Random, ReversePath, Secret, TenantSlug, rfc5322_date};
use mailstore::{Delivery, DeliveryVerdict, Mailstore, Recipient, Target, received_line};
use uuid::Uuid;

use super::data_dir::DataDir;

const TENANT: &str = "demo";
const DOMAIN: &str = "demo.test";
/// The file that says that all of it was made: what an administrator removes later stays removed.
const MADE: &str = "demo-made";
/// The person who administers everything.
const ADMIN: &str = "admin@demo.test";
const ADMIN_MADE: &str = "demo-admin-made";

/// An account of the demonstration.
#[derive(Debug)]
pub(crate) struct DemoAccount {
    pub(crate) login: String,
    pub(crate) password: Secret,
}

/// A sample message: who sends it, its subject and its lines.
struct Sample {
    from: &'static str,
    subject: &'static str,
    lines: &'static [&'static str],
}

const ALICE: [Sample; 4] = [
    Sample {
        from: "Postmaster <postmaster@demo.test>",
        subject: "Welcome, Alice",
        lines: &[
            "Hello Alice,",
            "",
            "this is your maildrop. What you see here came in over the same road as all mail does:",
            "it lies in object storage, PostgreSQL knows where, and your client fetched it over POP3.",
            "",
            "Delete this message in your client and it is kept for seven more days; an administrator",
            "can bring it back.",
        ],
    },
    Sample {
        from: "Bob <bob@demo.test>",
        subject: "Lunch on Thursday?",
        lines: &["Hi Alice,", "", "the place at the corner has opened again. Half past twelve?", "", "Bob"],
    },
    Sample {
        from: "Bob <bob@demo.test>",
        subject: "A line with a single dot",
        lines: &[
            "The next line has one dot and nothing else:",
            ".",
            "and this one begins with two:",
            "..two",
            "Both arrive as they are.",
        ],
    },
    Sample {
        from: "Carla <carla@partner.example>",
        subject: "Grüße aus Köln",
        lines: &["Liebe Alice,", "", "schöne Grüße – acht Bits sind hier kein Problem.", "", "Carla"],
    },
];

const BOB: [Sample; 3] = [
    Sample {
        from: "Postmaster <postmaster@demo.test>",
        subject: "Welcome, Bob",
        lines: &["Hello Bob,", "", "your maildrop is ready. Send mail to bob@demo.test over LMTP to see it here."],
    },
    Sample {
        from: "Alice <alice@demo.test>",
        subject: "Re: Lunch on Thursday?",
        lines: &[
            "> the place at the corner has opened again. Half past twelve?",
            "",
            "Gladly. I bring the drawings.",
            "",
            "Alice",
        ],
    },
    Sample {
        from: "Build <build@demo.test>",
        subject: "Nightly build: passed",
        lines: &["412 tests, no failure, 6 minutes and 3 seconds."],
    },
];

/// Makes the demonstration if this directory does not have it yet; the answer is who can log in.
pub(crate) async fn provision(
    data_dir: &DataDir,
    directory: &Directory,
    mailstore: &Mailstore,
    clock: &dyn Clock,
    random: &dyn Random,
) -> anyhow::Result<Vec<DemoAccount>> {
    let mut accounts = Vec::new();
    for (name, mail) in [("alice", ALICE.as_slice()), ("bob", BOB.as_slice())] {
        // Kept, to be printed at each start.
        let password = data_dir.kept_secret(&format!("demo-password-{name}"), || password(random))?;
        accounts.push((DemoAccount { login: format!("{name}@{DOMAIN}"), password }, mail));
    }
    if data_dir.read(MADE)?.is_none() {
        let caller = Caller::service("service:demo", Uuid::from_bytes(random.octets16()));
        make_tenant(directory, &caller).await.context("the demonstration's tenant")?;
        for (account, mail) in &accounts {
            make_account(directory, mailstore, &caller, account, mail, clock, random)
                .await
                .with_context(|| account.login.clone())?;
        }
        data_dir.keep(MADE, &Secret::from("yes"))?;
    }
    Ok(accounts.into_iter().map(|(account, _)| account).collect())
}

/// Makes the platform's administrator if this directory does not have one yet; the answer is what they sign in with.
pub(crate) async fn administrator(
    data_dir: &DataDir,
    directory: &Directory,
    random: &dyn Random,
) -> anyhow::Result<DemoAccount> {
    let password = data_dir.kept_secret("demo-password-admin", || password(random))?;
    if data_dir.read(ADMIN_MADE)?.is_none() {
        let new = NewAdmin {
            name: AdminName::parse(ADMIN).map_err(anyhow::Error::msg)?,
            display_name: Some("Administrator".to_owned()),
            tenant: None,
            role: Role::PlatformAdmin,
            domains: Vec::new(),
            password: Some(password.clone()),
        };
        let caller = Caller::service("service:demo", Uuid::from_bytes(random.octets16()));
        made_before(directory.create_admin(&caller, new).await).context(ADMIN)?;
        data_dir.keep(ADMIN_MADE, &Secret::from("yes"))?;
    }
    Ok(DemoAccount { login: ADMIN.to_owned(), password })
}

/// Tenant and domain; those of an interrupted first start are taken as they are.
async fn make_tenant(directory: &Directory, caller: &Caller) -> anyhow::Result<()> {
    let slug = TenantSlug::parse(TENANT)?;
    let tenant = NewTenant {
        slug: slug.clone(),
        name: "Demonstration".to_owned(),
        quota: Quota::default(),
        policy: Policy::default(),
    };
    made_before(directory.create_tenant(caller, tenant).await)?;
    let domain = NewDomain {
        name: DomainName::parse(DOMAIN)?,
        tenant: Some(slug),
        policy: directory::Policy::default(),
        quota: directory::Quota::default(),
    };
    made_before(directory.create_domain(caller, domain).await)?;
    Ok(())
}

async fn make_account(
    directory: &Directory,
    mailstore: &Mailstore,
    caller: &Caller,
    account: &DemoAccount,
    mail: &[Sample],
    clock: &dyn Clock,
    random: &dyn Random,
) -> anyhow::Result<()> {
    let address = Address::parse(&account.login)?;
    let new =
        NewAccount { address: address.clone(), password: Some(account.password.clone()), quota: Quota::default() };
    made_before(directory.create_account(caller, new).await)?;
    let made = directory.account(caller, &address).await?;
    let target = Target { tenant: made.tenant_id, account: made.id };
    // How many are there already: an interrupted first start is taken up where it ended.
    let there = mailstore.page(target.tenant, target.account, 0, 100).await?.len();
    for sample in mail.iter().skip(there) {
        let mut incoming = mailstore.incoming(target.tenant, 1 << 20);
        let text = sample.text(&account.login, clock, random);
        incoming.write(text.as_bytes()).await.map_err(|error| anyhow::anyhow!("{error:?}"))?;
        let id: String = random.octets16().iter().take(8).map(|octet| format!("{octet:02x}")).collect();
        let delivery = Delivery {
            reverse_path: ReversePath::parse(&format!("postmaster@{DOMAIN}"))?,
            received: received_line("localhost", None, "localhost", "HTTP", &id, clock.now()),
            source: "HTTP",
            recipients: vec![Recipient { given: account.login.clone(), targets: vec![target] }],
            body: incoming.finish(),
        };
        for verdict in mailstore.deliver(delivery).await {
            let DeliveryVerdict::Stored { .. } = verdict else {
                anyhow::bail!("sample mail was not stored: {verdict:?}")
            };
        }
    }
    Ok(())
}

impl Sample {
    fn text(&self, to: &str, clock: &dyn Clock, random: &dyn Random) -> String {
        let id: String = random.octets16().iter().map(|octet| format!("{octet:02x}")).collect();
        let subject = if self.subject.is_ascii() {
            self.subject.to_owned()
        } else {
            use base64::Engine as _;
            format!("=?utf-8?B?{}?=", base64::engine::general_purpose::STANDARD.encode(self.subject))
        };
        format!(
            "From: {}\r\nTo: {to}\r\nSubject: {subject}\r\nDate: {}\r\nMessage-ID: <{id}@{DOMAIN}>\r\nMIME-Version: 1.0\r\n\
             Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n{}\r\n",
            self.from,
            rfc5322_date(clock.now()),
            self.lines.join("\r\n")
        )
    }
}

/// Sixteen characters without those that look alike.
fn password(random: &dyn Random) -> Secret {
    const ALPHABET: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
    let octets = random.octets16().into_iter().filter_map(|octet| ALPHABET.get(usize::from(octet & 31)).copied());
    Secret::new(octets.collect())
}

fn made_before<T>(made: Result<T, Error>) -> anyhow::Result<()> {
    match made {
        Ok(_) | Err(Error::Duplicate(_)) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
