//! Deliberate faults, for the conformance suite to prove that it sees each of them. They are compiled in only with the feature
//! `faults`, which no build but the tests' has; then the environment variable `RESTANTE_FAULT` names the one that is on.
//! Without the feature [`Fault::is_on`] is constantly false, and nothing of them is left in the program.

/// A mistake that a POP3 server can make. Each is switched at the line that it concerns, here or in `pop3d`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Number 0 is message 1.
    NumberZero,
    /// Keywords are taken in upper case only.
    CaseSensitive,
    /// A line that is too long is answered twice.
    LongLineTwice,
    /// An AUTH line may not be longer than any other.
    ShortAuthLine,
    /// `TOP n` is `TOP n 0`.
    TopWithoutLines,
    /// TOP n 0 sends the whole message.
    TopZeroIsWhole,
    /// TOP counts the header's lines, too.
    TopCountsHeader,
    /// TOP sends a line too many.
    TopLineTooMany,
    /// A dot at the beginning of a line is sent as it is.
    Unstuffed,
    /// RETR and TOP have no termination octet.
    MessageUnterminated,
    /// Listings have no termination octet.
    ListingUnterminated,
    /// RETR sends a message that is marked as deleted.
    RetrieveMarked,
    /// DELE marks a message again.
    DeleteTwice,
    /// STAT counts the messages that are marked.
    StatCountsMarked,
    /// LIST and UIDL show the messages that are marked.
    ListShowsMarked,
    /// LIST and UIDL number what is left anew.
    Renumber,
    /// LIST tells an octet too many.
    WrongOctets,
    /// The unique-id of a message is its number.
    UniqueIdIsNumber,
    /// RSET keeps the marks.
    ResetKeepsMarks,
    /// STAT is answered before login.
    StatBeforeLogin,
    /// A message-number beyond the last is not refused.
    UnknownMessage,
    /// PASS needs no USER.
    PassWithoutUser,
    /// Responses have no response codes.
    NoResponseCodes,
    /// A wrong password is a fault of the system.
    WrongCode,
    /// CAPA tells STLS under TLS, too.
    StlsStaysAnnounced,
    /// CAPA is not known after login.
    CapaBeforeLoginOnly,
    /// CAPA does not tell the mechanisms.
    CapaWithoutSasl,
    /// After login CAPA still tells what holds before it.
    PolicyUntold,
    /// UTF8 is accepted after login.
    Utf8AfterLogin,
    /// LANG changes nothing.
    LangUntranslated,
    /// What follows a command in the same packet is dropped.
    NoPipelining,
    /// Every greeting has the same timestamp.
    TimestampRepeats,
    /// QUIT is answered `+OK` although nothing could be removed.
    OkOnFailure,
    /// QUIT is answered `+OK` before anything is removed.
    OkBeforeCommit,
    /// QUIT removes nothing.
    NothingExpunged,
    /// A lost connection is taken for QUIT.
    LostIsQuit,
    /// What came in clear with STLS is executed under TLS.
    ClearSurvivesStls,
    /// An exchange that proved nothing is a login.
    NoProof,
    /// Two sessions may have exclusive access.
    LeaseUnchecked,
    /// A maildrop is not freed by QUIT.
    LeaseKept,
    /// What a device fetched is forgotten.
    DeviceForgets,
    /// Where DELE hides or does nothing, it expunges.
    PolicyIgnored,
    /// A failed login is answered as soon as it is known.
    PromptRefusal,
    /// A session may last for ever without a command.
    NeverIdle,
}

impl Fault {
    /// Whether this fault was asked for.
    #[cfg(not(feature = "faults"))]
    pub const fn is_on(self) -> bool {
        false
    }

    /// Whether this fault was asked for.
    #[cfg(feature = "faults")]
    pub fn is_on(self) -> bool {
        static CHOSEN: std::sync::LazyLock<Option<String>> =
            std::sync::LazyLock::new(|| std::env::var("RESTANTE_FAULT").ok());
        CHOSEN.as_deref().is_some_and(|chosen| chosen == format!("{self:?}"))
    }
}
