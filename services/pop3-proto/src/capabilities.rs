//! CAPA (RFC 2449): what this connection can do, and nothing that it cannot.

use crate::catalogue::Text;
use crate::faults::Fault;
use crate::maildrop::MaildropPolicy;
use crate::response::Responses;
use crate::terms::{Security, Terms};

/// Writes the whole response. `policy` is that of who logged in, without it nobody has.
///
/// Between the states only these differ (RFC 2449 section 6 and RFC 2595 section 4 say which may): STLS is there while it can
/// be used, and LOGIN-DELAY and EXPIRE are after login the account's own, before it the least favourable that any account
/// may have.
pub(crate) fn write(terms: &Terms, policy: Option<&MaildropPolicy>, responses: &mut Responses) {
    let settings = &terms.settings;
    responses.ok(Text::Capabilities);
    responses.line(format_args!("TOP"));
    responses.line(format_args!("UIDL"));
    if terms.security.logins_allowed() {
        responses.line(format_args!("USER"));
    }
    if !terms.offered.is_empty() && !Fault::CapaWithoutSasl.is_on() {
        responses.line(format_args!("SASL {}", terms.offered));
    }
    let offers_tls = matches!(terms.security, Security::Clear { stls: true, .. }) && policy.is_none();
    if offers_tls || Fault::StlsStaysAnnounced.is_on() {
        responses.line(format_args!("STLS"));
    }
    match policy {
        Some(policy) if !Fault::PolicyUntold.is_on() => {
            responses.line(format_args!("LOGIN-DELAY {}", policy.login_delay));
            responses.line(format_args!("EXPIRE {}", policy.expire));
        }
        _ => {
            responses.line(format_args!("LOGIN-DELAY {} USER", settings.login_delay));
            match settings.expire {
                // Whatever the account, mail is kept.
                crate::Expire::Never => responses.line(format_args!("EXPIRE NEVER")),
                days => responses.line(format_args!("EXPIRE {days} USER")),
            }
        }
    }
    responses.line(format_args!("RESP-CODES"));
    responses.line(format_args!("AUTH-RESP-CODE"));
    responses.line(format_args!("PIPELINING"));
    responses.line(format_args!("UTF8 USER"));
    responses.line(format_args!("LANG"));
    responses.line(format_args!("IMPLEMENTATION {}", settings.implementation));
    responses.end();
}
