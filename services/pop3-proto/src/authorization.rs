//! What is legal in the AUTHORIZATION state (RFC 1939 section 4): naming oneself, proving it, turning on TLS, leaving.

use mail_types::Secret;
use sasl::{Exchange, Mechanism, PlainCredentials, Step};

use crate::command::Command;
use crate::response::{Refused, Responses};
use crate::session::{
    Effect, LoginAttempt, LoginMethod, MAX_AUTH_LINE, MAX_COMMAND_LINE, Ready, Security, State, Waiting,
};
use crate::{Settings, capabilities};

/// The state before anybody is known.
#[derive(Debug, Default)]
pub(crate) struct Authorization {
    /// What USER named.
    login: Option<String>,
}

impl Authorization {
    pub(crate) fn execute(
        mut self,
        command: Command,
        settings: &Settings,
        security: Security,
        responses: &mut Responses,
    ) -> (State, Option<Effect>) {
        match command {
            Command::Capa => capabilities::write(settings, security, responses),
            Command::User(_) | Command::Pass(_) | Command::Auth { .. } if !security.passwords_allowed() => {
                responses.err(Refused::ClearConnection);
            }
            Command::User(login) => {
                self.login = Some(login);
                responses.ok(format_args!("now PASS"));
            }
            Command::Pass(secret) => match self.login.take() {
                Some(login) => return authenticate(login, secret, LoginMethod::UserPass),
                None => responses.err(Refused::UserFirst),
            },
            Command::Auth { mechanism: None, .. } => responses.err(Refused::UnknownMechanism),
            Command::Auth { mechanism: Some(mechanism), initial } => {
                return follow(Exchange::begin(mechanism, initial.as_deref()), mechanism, responses);
            }
            Command::Stls => match security {
                Security::Tls => responses.err(Refused::TlsAlready),
                Security::Clear { stls: false, .. } => responses.err(Refused::NoTls),
                Security::Clear { stls: true, .. } => {
                    responses.ok(format_args!("begin TLS"));
                    // Nothing that follows in clear is ever executed: the driver goes on with a new session.
                    return (State::StartingTls, None);
                }
            },
            Command::Quit => {
                responses.ok(format_args!("bye"));
                return (State::Closed, None);
            }
            Command::Stat
            | Command::List(_)
            | Command::Retrieve(..)
            | Command::Dele(_)
            | Command::Noop
            | Command::Rset
            | Command::Uidl(_) => responses.err(Refused::WrongState),
        }
        (self.into(), None)
    }
}

/// The client's response in an exchange. It is never read as a command.
pub(crate) fn respond(
    exchange: Exchange,
    mechanism: Mechanism,
    line: &[u8],
    responses: &mut Responses,
) -> (State, Option<Effect>) {
    follow(exchange.respond(line), mechanism, responses)
}

fn follow(
    step: Result<Step, sasl::SaslError>,
    mechanism: Mechanism,
    responses: &mut Responses,
) -> (State, Option<Effect>) {
    let refused = match step {
        Ok(Step::Challenge(exchange, challenge)) => {
            responses.challenge(&challenge);
            return (State::Ready(Ready::Exchanging(exchange, mechanism)), None);
        }
        Ok(Step::Credentials(credentials)) if credentials.acts_for_another() => Refused::ActsForAnother,
        Ok(Step::Credentials(PlainCredentials { authcid, password, .. })) => {
            return authenticate(authcid, password, LoginMethod::Sasl(mechanism));
        }
        Err(error) => Refused::Sasl(error),
    };
    responses.err(refused);
    (Authorization::default().into(), None)
}

fn authenticate(login: String, secret: Secret, method: LoginMethod) -> (State, Option<Effect>) {
    (State::Waiting(Waiting::Authentication), Some(Effect::Authenticate(LoginAttempt { login, secret, method })))
}

/// How long a line may be, its CRLF counted: an AUTH command with its initial response is as long as a response.
pub(crate) fn max_line(line: &[u8]) -> usize {
    let is_auth = line.get(..5).is_some_and(|keyword| keyword.eq_ignore_ascii_case(b"AUTH "));
    if is_auth { MAX_AUTH_LINE } else { MAX_COMMAND_LINE }
}
