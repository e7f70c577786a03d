//! CAPA (RFC 2449): what this connection can do, and nothing that it cannot.

use crate::Settings;
use crate::response::Responses;
use crate::session::Security;

/// Writes the whole response. It is the same in AUTHORIZATION and in TRANSACTION: RFC 2449 section 6 and RFC 2595 section 4
/// say for each of these that its announcement does not depend on the state.
///
/// Not announced: EXPIRE and LOGIN-DELAY, because neither NEVER nor a number could be promised.
pub(crate) fn write(settings: &Settings, security: Security, responses: &mut Responses) {
    responses.ok(format_args!("capabilities follow"));
    responses.line(format_args!("TOP"));
    responses.line(format_args!("UIDL"));
    if security.passwords_allowed() {
        responses.line(format_args!("USER"));
        responses.line(format_args!("SASL {}", sasl::Mechanism::ALL.map(sasl::Mechanism::name).join(" ")));
    }
    if let Security::Clear { stls: true, .. } = security {
        responses.line(format_args!("STLS"));
    }
    responses.line(format_args!("RESP-CODES"));
    responses.line(format_args!("AUTH-RESP-CODE"));
    responses.line(format_args!("PIPELINING"));
    responses.line(format_args!("IMPLEMENTATION {}", settings.implementation));
    responses.end();
}
