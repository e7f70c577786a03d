//! `restante admin`: lets the first administrator in.

use std::sync::Arc;

use anyhow::{Context as _, bail};
use directory::{AdminName, Directory, NewAdmin, Role};
use mail_types::{DomainName, Random, Secret, SystemClock, SystemRandom, TenantSlug};
use runtime::database::{self, DbRole, Pool, PoolSettings};

use crate::cli::{AdminCreateArguments, TokenArguments};
use crate::{environment, tool};

/// Makes an API key. It is printed when it is in the database, and nowhere else ever again.
pub(crate) async fn token(arguments: &TokenArguments) -> anyhow::Result<()> {
    let token = directory::new_api_token(&SystemRandom);
    directory::bootstrap_admin_token(&connect().await?, &arguments.name, &token).await?;
    println!("{}", token.expose_str().unwrap_or_default());
    Ok(())
}

/// Makes a person.
pub(crate) async fn create(arguments: &AdminCreateArguments) -> anyhow::Result<()> {
    let name = AdminName::parse(&arguments.name).map_err(|why| anyhow::anyhow!("--name {why}"))?;
    let role =
        Role::parse(&arguments.role).with_context(|| format!("--role {} is none of the roles", arguments.role))?;
    let tenant = arguments.tenant.as_deref().map(TenantSlug::parse).transpose().context("--tenant")?;
    let domains = arguments.domains.iter().map(|name| DomainName::parse(name)).collect::<Result<_, _>>();
    let domains = domains.context("--domain")?;
    let password = if arguments.password_stdin { read_password()? } else { new_password(&SystemRandom) };
    let keys = environment::master_keys()?.context("RESTANTE_MASTER_KEY is not set: the same as the service's")?;
    let settings = directory::Settings::default();
    let directory = Directory::new(connect().await?, keys, Arc::new(SystemClock), Arc::new(SystemRandom), settings);
    let display_name = arguments.display_name.clone();
    let new = NewAdmin { name, display_name, tenant, role, domains, password: Some(password.clone()) };
    let made = match directory.create_admin(&tool::caller("admin"), new).await {
        Ok(made) => made,
        Err(directory::Error::Invalid(errors)) => {
            let faults: Vec<String> = errors.iter().map(ToString::to_string).collect();
            bail!("{}", faults.join("; "));
        }
        Err(error) => return Err(error.into()),
    };
    eprintln!(
        "{} {} ({}) was made",
        made.role.as_str(),
        made.name,
        made.tenant.map_or("the platform's".to_owned(), |of| of.to_string())
    );
    if !arguments.password_stdin {
        println!("{}", password.expose_str().unwrap_or_default());
    }
    Ok(())
}

async fn connect() -> anyhow::Result<Pool> {
    let url = environment::database(DbRole::Admin)?;
    Ok(database::connect(&url, DbRole::Admin, &PoolSettings::default()).await?)
}

/// The first line of standard input.
fn read_password() -> anyhow::Result<Secret> {
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).context("standard input")?;
    Ok(Secret::from(line.trim_end_matches(['\r', '\n'])))
}

/// Twenty characters, a hundred bits, without those that look alike.
pub(crate) fn new_password(random: &dyn Random) -> Secret {
    const ALPHABET: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
    let mut octets = [0; 20];
    random.fill(&mut octets);
    let characters = octets.into_iter().filter_map(|octet| ALPHABET.get(usize::from(octet & 31)).copied());
    Secret::new(characters.collect())
}
