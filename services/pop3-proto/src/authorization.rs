//! What is legal in the AUTHORIZATION state (RFC 1939 section 4): naming oneself, proving it, turning on TLS, leaving.

use sasl::{Context, Exchange, Lookup, SaslError, Step, TokenCheck};

use crate::capabilities;
use crate::catalogue::Text;
use crate::command::Command;
use crate::effect::{Effect, Evidence, LoginAttempt, LoginMethod};
use crate::faults::Fault;
use crate::response::{LoginRefusal, Refused, Responses};
use crate::said::Denied;
use crate::session::{Ready, State, Waiting};
use crate::terms::{Security, Terms};

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
        terms: &mut Terms,
        responses: &mut Responses,
    ) -> (State, Option<Effect>) {
        match command {
            Command::Capa => capabilities::write(terms, None, responses),
            Command::Lang(range) => responses.language(range.as_deref()),
            Command::Utf8 => {
                terms.utf8 = true;
                responses.ok(Text::Utf8On);
            }
            Command::Apop { name, .. } if terms.timestamp.is_none() => {
                terms.denied = std::str::from_utf8(&name).ok().and_then(|name| denied(name, LoginMethod::Apop, false));
                responses.err(Refused::NoApop);
            }
            Command::User(login) if !terms.security.logins_allowed() => {
                terms.denied = denied(&login, LoginMethod::UserPass, true);
                responses.err(Refused::ClearConnection);
            }
            Command::Pass(_) | Command::Auth { .. } | Command::Apop { .. } if !terms.security.logins_allowed() => {
                responses.err(Refused::ClearConnection);
            }
            Command::User(login) => match sasl::prep::login(&login) {
                Ok(login) => {
                    self.login = Some(login);
                    responses.ok(Text::NowPass);
                }
                Err(error) => responses.err(Refused::Sasl(error)),
            },
            Command::Pass(secret) => match self.login.take() {
                Some(login) => return authenticate(login, Evidence::Password(secret), LoginMethod::UserPass, None),
                None if Fault::PassWithoutUser.is_on() => responses.ok(Text::NowPass),
                None => responses.err(Refused::UserFirst),
            },
            Command::Apop { name, digest } => {
                let timestamp = terms.timestamp.as_deref().unwrap_or_default();
                match sasl::apop(timestamp, &name, &digest) {
                    Ok(lookup) => return look_up(lookup, LoginMethod::Apop),
                    Err(error) => responses.err(Refused::Sasl(error)),
                }
            }
            Command::Auth { mechanism, initial } => match terms.offered.parse(&mechanism) {
                None => responses.err(Refused::UnknownMechanism),
                Some(mechanism) => {
                    let context = Context {
                        offered: terms.offered,
                        bindings: &terms.connection.bindings,
                        certificate: &terms.connection.certificate,
                        challenges: &terms.connection.challenges,
                    };
                    let step = Exchange::begin(mechanism, initial.as_deref(), &context);
                    return follow(step, LoginMethod::Sasl(mechanism), responses);
                }
            },
            Command::Stls => match terms.security {
                Security::Tls => responses.err(Refused::TlsAlready),
                Security::Clear { stls: false, .. } => responses.err(Refused::NoTls),
                // RFC 6856 section 2: a client must not do that.
                Security::Clear { .. } if terms.utf8 => responses.err(Refused::TlsAfterUtf8),
                Security::Clear { stls: true, .. } => {
                    responses.ok(Text::BeginTls);
                    // Nothing that follows in clear is ever executed: the driver goes on with a new session.
                    return (State::StartingTls, None);
                }
            },
            Command::Quit => {
                responses.ok(Text::Bye);
                return (State::Closed, None);
            }
            Command::Stat if Fault::StatBeforeLogin.is_on() => responses.ok(Text::Nothing),
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

/// An exchange that waits for the client's response.
#[derive(Debug)]
pub(crate) struct Exchanging {
    exchange: Exchange,
    method: LoginMethod,
    /// The client's token was refused, and it was told so: what it says now changes nothing.
    refused: bool,
}

impl Exchanging {
    /// The client's response. It is never read as a command.
    pub(crate) fn respond(self, line: &[u8], responses: &mut Responses) -> (State, Option<Effect>) {
        let step = self.exchange.respond(line);
        if self.refused {
            responses.err(Refused::Login(LoginRefusal::WrongCredentials));
            return (Authorization::default().into(), None);
        }
        follow(step, self.method, responses)
    }
}

/// Does what an exchange wants.
pub(crate) fn follow(
    step: Result<Step, SaslError>,
    method: LoginMethod,
    responses: &mut Responses,
) -> (State, Option<Effect>) {
    match step {
        Ok(Step::Challenge(exchange, challenge)) => {
            responses.challenge(&challenge);
            (State::Ready(Ready::Exchanging(Exchanging { exchange, method, refused: false })), None)
        }
        Ok(Step::Lookup(lookup)) => look_up(lookup, method),
        Ok(Step::Password { login, secret }) => authenticate(login, Evidence::Password(secret), method, None),
        Ok(Step::Token { login, token, check }) => {
            authenticate(login.unwrap_or_default(), Evidence::Token(token), method, Some(check))
        }
        Ok(Step::Certificate { login }) => authenticate(login, Evidence::Certificate, method, None),
        Ok(Step::Proved(proof)) => authenticate(proof.login, Evidence::Proof(proof.candidate), method, None),
        Ok(Step::Refused) => authenticate(String::new(), Evidence::Disproved, method, None),
        Err(error) => {
            responses.err(Refused::Sasl(error));
            (Authorization::default().into(), None)
        }
    }
}

/// A token was refused: goes on to tell the client, in the mechanism's own way.
pub(crate) fn token_refused(
    check: TokenCheck,
    refusal: &sasl::TokenRefusal,
    method: LoginMethod,
    responses: &mut Responses,
) -> State {
    match check.refused(refusal) {
        Step::Challenge(exchange, challenge) => {
            responses.challenge(&challenge);
            State::Ready(Ready::Exchanging(Exchanging { exchange, method, refused: true }))
        }
        _ => {
            responses.err(Refused::Login(LoginRefusal::WrongCredentials));
            Authorization::default().into()
        }
    }
}

fn denied(login: &str, method: LoginMethod, in_clear: bool) -> Option<Denied> {
    let login = sasl::prep::login(login).ok()?;
    Some(Denied { login, method, in_clear })
}

fn look_up(lookup: Lookup, method: LoginMethod) -> (State, Option<Effect>) {
    let effect = Effect::LookUp { login: lookup.login().to_owned(), material: lookup.material(), method };
    (State::Waiting(Waiting::Lookup(lookup, method)), Some(effect))
}

fn authenticate(
    login: String,
    evidence: Evidence,
    method: LoginMethod,
    token: Option<TokenCheck>,
) -> (State, Option<Effect>) {
    let attempt = LoginAttempt { login, evidence, method };
    (State::Waiting(Waiting::Authentication(token, method)), Some(Effect::Authenticate(attempt)))
}
