//! Why an exchange cannot go on.

/// Why an exchange ended before anything could be proved. It never depends on an account, so it may be answered at once. The
/// text is fit for the client; it never repeats what the client sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SaslError {
    /// The client sent `*`.
    #[error("authentication cancelled")]
    Cancelled,
    /// Not base64.
    #[error("the response is not valid base64")]
    NotBase64,
    /// Over [`MAX_RESPONSE`](crate::MAX_RESPONSE).
    #[error("the response is too long")]
    TooLong,
    /// Base64 of something that the mechanism does not know.
    #[error("the response does not have the form of the mechanism")]
    Malformed,
    /// Not among the mechanisms of this connection.
    #[error("the mechanism is not offered here")]
    NotOffered,
    /// The server speaks first in this mechanism (RFC 5034 section 4).
    #[error("the mechanism takes no initial response")]
    NoInitialResponse,
    /// A login name that is empty or too long, or that SASLprep prohibits (RFC 4013 section 2).
    #[error("the login name is empty, too long or has characters that are not allowed")]
    LoginName,
    /// The client wants to act as somebody else than it authenticates as.
    #[error("acting for another account is not possible")]
    ActsForAnother,
    /// SCRAM: the client says that the server offered no channel binding, but it did (RFC 5802 section 6). Somebody in
    /// between may have taken it out.
    #[error("channel binding was offered here, but the client did not see it")]
    BindingHidden,
    /// SCRAM: a type of channel binding that the connection does not have.
    #[error("the type of channel binding is not supported here")]
    BindingUnknown,
    /// SCRAM: the client is bound to another connection than this one.
    #[error("the channel binding is not that of this connection")]
    BindingMismatch,
    /// SCRAM: an extension that the client will not do without (`m=`, RFC 5802 section 5.1).
    #[error("the extension that the client requires is not supported")]
    ExtensionUnknown,
    /// EXTERNAL: the certificate has several addresses and the client chose none.
    #[error("the certificate names several accounts and the client chose none")]
    ChoiceMissing,
    /// NTLM: a response of an older version.
    #[error("only NTLMv2 responses are accepted")]
    NtlmTooOld,
}
