//! The binary: the command line, the configuration, which roles run, and for `restante dev` the embedded PostgreSQL.

mod admin;
mod check;
mod cli;
mod config;
mod dev;
mod environment;
mod export;
mod fsck;
mod heartbeat;
mod import;
mod issuers;
mod keys;
mod recover;
mod roles;
mod serve;
mod tool;

use std::process::ExitCode;

use clap::Parser as _;
use runtime::database::{self, DbRole};

use crate::cli::{AdminCommand, Cli, Command, ConfigCommand};

/// Everything that starts a process which shall end with this one is called from here, on the main thread.
#[tokio::main]
async fn main() -> ExitCode {
    let success = |()| ExitCode::SUCCESS;
    let ended = match Cli::parse().command {
        Command::Serve(arguments) => serve::run(&arguments).await.map(success),
        Command::Dev(arguments) => dev::run(&arguments).await.map(success),
        Command::Migrate => migrate().await.map(success),
        Command::Config(ConfigCommand::Check(arguments)) => check::run(&arguments).await.map(success),
        Command::Fsck(arguments) => return fsck::run(&arguments).await,
        Command::Recover(arguments) => recover::run(&arguments).await.map(success),
        Command::Keys(command) => keys::run(&command).await.map(success),
        Command::Admin(AdminCommand::Token(arguments)) => admin::token(&arguments).await.map(success),
        Command::Admin(AdminCommand::Create(arguments)) => admin::create(&arguments).await.map(success),
        Command::Openapi => {
            println!("{:#}", admin_api::openapi());
            Ok(ExitCode::SUCCESS)
        }
        Command::Import(arguments) => import::run(&arguments).await,
        Command::Export(arguments) => export::run(&arguments).await,
    };
    match ended {
        Ok(code) => code,
        Err(error) => {
            eprintln!("restante: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn migrate() -> anyhow::Result<()> {
    let applied = database::migrate(&environment::database(DbRole::Owner)?).await?;
    println!("{applied} migrations applied");
    Ok(())
}
