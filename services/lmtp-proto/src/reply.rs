//! Every reply of LMTP, and the only code that writes octets to the peer.

use std::{borrow::Cow, io::Write as _};

use bytes::{BufMut as _, BytesMut};

/// What a peer is told in place of a greeting when there are too many connections (RFC 5321 section 3.8).
pub const TOO_MANY_CONNECTIONS: &[u8] = b"421 4.3.2 Too many connections, come again\r\n";
/// What a peer is told in place of a greeting when it comes from where no mail is accepted from. Temporary: it is a fault of
/// somebody's configuration, and no mail should be returned for it.
pub const NOT_A_PEER: &[u8] = b"421 4.7.0 No mail is accepted from your address\r\n";

/// Why a recipient or a delivery is refused: what the driver may answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// No account, alias or catch-all has the address: 550 5.1.1.
    Unknown,
    /// Over quota, for good: 552 5.2.2.
    OverQuota,
    /// Over quota, where the policy lets the sender try again later: 452 4.2.2.
    OverQuotaDeferred,
    /// The account or its tenant is suspended, and may be resumed: 450 4.2.1.
    Suspended,
    /// It received as many messages in this hour as it may.
    TooFast,
    /// The maildrop is busy with something else: 450 4.2.1.
    Busy,
    /// Something that we depend on does not answer: 451 4.3.0.
    Unavailable,
    /// No memory for the body at the moment: 452 4.3.1.
    OutOfMemory,
    /// No space for the message where messages are kept: 452 4.3.1.
    StoreFull,
    /// The message has more octets than are accepted: 552 5.3.4.
    TooLarge,
}

/// A reply. Its code, enhanced code (RFC 3463) and text are in [`Reply::parts`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Reply {
    SenderOk,
    RecipientOk,
    Reset,
    Noop,
    Help,
    CannotVerify,
    StartBody,
    ChunkReceived,
    /// With the id under which the log knows the transaction.
    Delivered(String),
    StartTls,
    Bye,
    Refused(Refusal),
    TooManyRecipients,
    NoRecipients,
    UnknownCommand,
    WantsLhlo,
    NotImplemented,
    LineTooLong,
    /// With the syntax of the command.
    BadArguments(&'static str),
    BadReversePath,
    BadForwardPath,
    NeedsSmtpUtf8,
    BadParameter,
    UnknownParameter,
    LhloFirst,
    MailFirst,
    NestedMail,
    BodyUnderWay,
    TlsNotOffered,
    TlsActive,
    TlsInTransaction,
    /// The length of a chunk cannot be read, so nobody knows where the next command begins.
    BadChunkLength,
    Http,
    TooManyBadCommands,
    IdleTooLong,
    ShuttingDown,
}

impl Reply {
    /// Code, enhanced code, text.
    fn parts(&self) -> (u16, Option<&'static str>, Cow<'static, str>) {
        let (code, enhanced, text) = match self {
            Self::SenderOk => (250, "2.1.0", "Sender ok"),
            Self::RecipientOk => (250, "2.1.5", "Recipient ok"),
            Self::Reset | Self::Noop => (250, "2.0.0", "Ok"),
            Self::Help => (214, "2.0.0", "Commands: LHLO MAIL RCPT DATA BDAT RSET NOOP VRFY STARTTLS HELP QUIT"),
            Self::CannotVerify => (252, "2.0.0", "Cannot verify, but a recipient is checked when it is named"),
            // RFC 2034 section 4: a code of the 3xx class has no enhanced one.
            Self::StartBody => return (354, None, "Send the message, end it with <CRLF>.<CRLF>".into()),
            Self::ChunkReceived => (250, "2.0.0", "Chunk received"),
            Self::Delivered(id) => return (250, Some("2.0.0"), format!("Delivered, id {id}").into()),
            Self::StartTls => (220, "2.0.0", "Begin the TLS handshake"),
            Self::Bye => (221, "2.0.0", "Bye"),
            Self::Refused(refusal) => refusal.parts(),
            Self::TooManyRecipients => (452, "4.5.3", "Too many recipients, send the rest in another transaction"),
            Self::NoRecipients => (503, "5.5.1", "No recipient was accepted"),
            Self::UnknownCommand => (500, "5.5.1", "Unknown command"),
            Self::WantsLhlo => (500, "5.5.1", "This is LMTP: say LHLO"),
            Self::NotImplemented => (502, "5.5.1", "Not implemented"),
            Self::LineTooLong => (500, "5.5.2", "The line is too long"),
            Self::BadArguments(syntax) => return (501, Some("5.5.4"), format!("Syntax: {syntax}").into()),
            Self::BadReversePath => (501, "5.1.7", "Bad syntax of the sender's address"),
            Self::BadForwardPath => (501, "5.1.3", "Bad syntax of the recipient's address"),
            Self::NeedsSmtpUtf8 => (553, "5.6.7", "Addresses beyond ASCII need SMTPUTF8"),
            Self::BadParameter => (501, "5.5.4", "Bad value of a parameter"),
            Self::UnknownParameter => (555, "5.5.4", "Parameter not supported"),
            Self::LhloFirst => (503, "5.5.1", "Say LHLO first"),
            Self::MailFirst => (503, "5.5.1", "Say MAIL first"),
            Self::NestedMail => (503, "5.5.1", "A transaction is under way, say RSET to leave it"),
            Self::BodyUnderWay => (503, "5.5.1", "The message is being sent with BDAT: go on, or say RSET"),
            Self::TlsNotOffered => (502, "5.5.1", "TLS is not offered here"),
            Self::TlsActive => (503, "5.5.1", "TLS is active already"),
            Self::TlsInTransaction => (503, "5.5.1", "Not inside a transaction"),
            Self::BadChunkLength => {
                (501, "5.5.4", "Syntax: BDAT octets [LAST]; closing, as the next command cannot be found")
            }
            Self::Http => (421, "4.7.0", "This is LMTP, not HTTP"),
            Self::TooManyBadCommands => (421, "4.7.0", "Too many bad commands"),
            Self::IdleTooLong => (421, "4.4.2", "Idle for too long"),
            Self::ShuttingDown => (421, "4.3.2", "Shutting down, come again"),
        };
        (code, Some(enhanced), text.into())
    }

    /// Whether the session ends with it.
    pub(crate) fn closes(&self) -> bool {
        matches!(
            self,
            Self::Bye
                | Self::BadChunkLength
                | Self::Http
                | Self::TooManyBadCommands
                | Self::IdleTooLong
                | Self::ShuttingDown
        )
    }

    /// Appends the reply line.
    pub(crate) fn encode(&self, output: &mut BytesMut) {
        let (code, enhanced, text) = self.parts();
        let enhanced = enhanced.map(|enhanced| format!("{enhanced} ")).unwrap_or_default();
        line(output, format_args!("{code} {enhanced}{text}"));
    }
}

impl Refusal {
    fn parts(self) -> (u16, &'static str, &'static str) {
        match self {
            Self::Unknown => (550, "5.1.1", "No such recipient here"),
            Self::OverQuota => (552, "5.2.2", "The maildrop is over quota"),
            Self::OverQuotaDeferred => (452, "4.2.2", "The maildrop is over quota, try again later"),
            Self::Suspended => (450, "4.2.1", "The maildrop is suspended"),
            Self::TooFast => (450, "4.2.1", "The maildrop gets more mail than it may, try again later"),
            Self::Busy => (450, "4.2.1", "The maildrop is busy, try again later"),
            Self::Unavailable => (451, "4.3.0", "Temporary failure, try again later"),
            Self::OutOfMemory => (452, "4.3.1", "No memory for the message at the moment, try again later"),
            Self::StoreFull => (452, "4.3.1", "Mail system full, try again later"),
            Self::TooLarge => (552, "5.3.4", "The message has too many octets"),
        }
    }
}

/// Appends the greeting (RFC 5321 section 4.3.1).
pub(crate) fn greeting(output: &mut BytesMut, host: &str) {
    line(output, format_args!("220 {host} LMTP Restante"));
}

/// Appends the reply to LHLO (RFC 2033 section 4.1): the extensions, each with its RFC in the crate's documentation.
pub(crate) fn extensions(output: &mut BytesMut, host: &str, max_message_octets: u64, starttls: bool) {
    line(output, format_args!("250-{host}"));
    for extension in ["PIPELINING", "8BITMIME", "SMTPUTF8", "CHUNKING", "ENHANCEDSTATUSCODES"] {
        line(output, format_args!("250-{extension}"));
    }
    if starttls {
        line(output, format_args!("250-STARTTLS"));
    }
    line(output, format_args!("250 SIZE {max_message_octets}"));
}

fn line(output: &mut BytesMut, text: std::fmt::Arguments<'_>) {
    // Writing to memory cannot fail.
    let _ = output.writer().write_fmt(format_args!("{text}\r\n"));
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Reply; 44] = [
        Reply::SenderOk,
        Reply::RecipientOk,
        Reply::Reset,
        Reply::Noop,
        Reply::Help,
        Reply::CannotVerify,
        Reply::StartBody,
        Reply::ChunkReceived,
        Reply::Delivered(String::new()),
        Reply::StartTls,
        Reply::Bye,
        Reply::Refused(Refusal::Unknown),
        Reply::Refused(Refusal::OverQuota),
        Reply::Refused(Refusal::OverQuotaDeferred),
        Reply::Refused(Refusal::Suspended),
        Reply::Refused(Refusal::TooFast),
        Reply::Refused(Refusal::Busy),
        Reply::Refused(Refusal::Unavailable),
        Reply::Refused(Refusal::OutOfMemory),
        Reply::Refused(Refusal::StoreFull),
        Reply::Refused(Refusal::TooLarge),
        Reply::TooManyRecipients,
        Reply::NoRecipients,
        Reply::UnknownCommand,
        Reply::WantsLhlo,
        Reply::NotImplemented,
        Reply::LineTooLong,
        Reply::BadArguments(""),
        Reply::BadReversePath,
        Reply::BadForwardPath,
        Reply::NeedsSmtpUtf8,
        Reply::BadParameter,
        Reply::UnknownParameter,
        Reply::LhloFirst,
        Reply::MailFirst,
        Reply::NestedMail,
        Reply::BodyUnderWay,
        Reply::TlsNotOffered,
        Reply::TlsActive,
        Reply::TlsInTransaction,
        Reply::BadChunkLength,
        Reply::Http,
        Reply::TooManyBadCommands,
        Reply::IdleTooLong,
    ];

    #[test]
    fn codes_agree_and_lines_are_short() {
        for reply in ALL {
            let (code, enhanced, text) = reply.parts();
            if let Some(enhanced) = enhanced {
                // RFC 2034 section 4: the first digits must agree.
                assert_eq!(enhanced.split('.').next(), code.to_string().get(..1), "{reply:?}");
            }
            // RFC 5321 section 4.5.3.1.5: 512 octets with everything.
            assert!(text.is_ascii() && text.len() < 400 && !text.contains(['\r', '\n']), "{reply:?}");
            let mut output = BytesMut::new();
            reply.encode(&mut output);
            assert!(output.ends_with(b"\r\n"), "{reply:?}");
        }
    }

    #[test]
    fn refusals_have_the_codes_that_senders_act_on() {
        let encoded = |refusal| {
            let mut output = BytesMut::new();
            Reply::Refused(refusal).encode(&mut output);
            String::from_utf8_lossy(&output[..9]).into_owned()
        };
        assert_eq!(encoded(Refusal::Unknown), "550 5.1.1");
        assert_eq!(encoded(Refusal::OverQuota), "552 5.2.2");
        assert_eq!(encoded(Refusal::OverQuotaDeferred), "452 4.2.2");
        assert_eq!(encoded(Refusal::Suspended), "450 4.2.1");
        assert_eq!(encoded(Refusal::Busy), "450 4.2.1");
        assert_eq!(encoded(Refusal::Unavailable), "451 4.3.0");
        assert_eq!(encoded(Refusal::OutOfMemory), "452 4.3.1");
        assert_eq!(encoded(Refusal::StoreFull), "452 4.3.1");
        assert_eq!(encoded(Refusal::TooLarge), "552 5.3.4");
    }
}
