//! Everything that a client is told in words, in every language there is (RFC 6856 section 3). A text without its translation
//! does not compile: each has one entry for each [`Language`].

use std::fmt;

use mail_types::Octets;
use sasl::SaslError;

use crate::command::SyntaxError;
use crate::faults::Fault;
use crate::maildrop::NoMessage;
use crate::response::{Failure, LoginRefusal, Refused, SessionLimit};

/// A language of the texts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Language {
    /// Until the client chooses another one: English in ASCII, for whom no language was agreed on (RFC 2277 section 4.5).
    #[default]
    Default,
    English,
    German,
}

impl Language {
    pub(crate) const ALL: [Self; 3] = [Self::Default, Self::English, Self::German];

    /// The tag (RFC 5646).
    pub(crate) const fn tag(self) -> &'static str {
        match self {
            Self::Default => "i-default",
            Self::English => "en",
            Self::German => "de",
        }
    }

    /// How the language calls itself.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Default => "English, the default",
            Self::English => "English",
            Self::German => "Deutsch",
        }
    }

    /// The language for a basic language range: that of the range, or of what is left of it without its last subtags (lookup,
    /// RFC 4647 section 3.4). For `*` the server chooses.
    pub(crate) fn for_range(range: &[u8]) -> Option<Self> {
        if range == b"*" {
            return Some(Self::English);
        }
        let tagged = |tag: &[u8]| Self::ALL.into_iter().find(|one| one.tag().as_bytes().eq_ignore_ascii_case(tag));
        let primary = range.split(|&octet| octet == b'-').next()?;
        tagged(range).or_else(|| tagged(primary))
    }
}

/// A text, with the numbers that are in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Text {
    Capabilities,
    NowPass,
    BeginTls,
    Bye,
    Updated,
    Nothing,
    Maildrop(u32, Octets),
    UniqueIds,
    Marked,
    Message(Octets),
    Top,
    Utf8On,
    Languages,
    LanguageChanged,
    Refused(Refused),
}

impl Text {
    /// Writes it in a language.
    pub(crate) fn write(self, language: Language, out: &mut impl fmt::Write) -> fmt::Result {
        let [english, german] = self.texts();
        let text = match language {
            Language::German if !Fault::LangUntranslated.is_on() => german,
            _ => english,
        };
        let mut numbers = self.numbers().into_iter();
        for (at, part) in text.split("{}").enumerate() {
            if at > 0
                && let Some(number) = numbers.next()
            {
                write!(out, "{number}")?;
            }
            out.write_str(part)?;
        }
        Ok(())
    }

    /// What stands in place of each `{}`, in every language in the same order.
    fn numbers(self) -> [u64; 2] {
        match self {
            Self::Maildrop(messages, octets) => [messages.into(), octets.0],
            Self::Message(octets) => [octets.0, 0],
            Self::Refused(Refused::Login(LoginRefusal::LoginDelay(seconds))) => [seconds.into(), 0],
            Self::Refused(Refused::Login(LoginRefusal::TooManySessions(
                SessionLimit::Account(most)
                | SessionLimit::Domain(most)
                | SessionLimit::Tenant(most)
                | SessionLimit::Address(most),
            ))) => [most.into(), 0],
            _ => [0, 0],
        }
    }

    /// In English and in German.
    const fn texts(self) -> [&'static str; 2] {
        match self {
            Self::Capabilities => ["capabilities follow", "Fähigkeiten folgen"],
            Self::NowPass => ["now PASS", "jetzt PASS"],
            Self::BeginTls => ["begin TLS", "TLS beginnen"],
            Self::Bye => ["bye", "auf Wiedersehen"],
            Self::Updated => {
                ["bye, the marked messages are deleted", "auf Wiedersehen, die markierten Nachrichten sind gelöscht"]
            }
            Self::Nothing => ["nothing done", "nichts getan"],
            Self::Maildrop(..) => ["{} messages ({} octets)", "{} Nachrichten ({} Oktette)"],
            Self::UniqueIds => ["unique-ids follow", "eindeutige Kennungen folgen"],
            Self::Marked => ["marked as deleted", "zum Löschen markiert"],
            Self::Message(_) => ["{} octets", "{} Oktette"],
            Self::Top => ["the top of the message follows", "der Anfang der Nachricht folgt"],
            Self::Utf8On => ["UTF-8 is accepted and sent", "UTF-8 wird angenommen und gesendet"],
            Self::Languages => ["languages follow", "Sprachen folgen"],
            Self::LanguageChanged => ["the language is English now", "die Sprache ist jetzt Deutsch"],
            Self::Refused(refused) => refused.texts(),
        }
    }
}

impl Refused {
    const fn texts(self) -> [&'static str; 2] {
        match self {
            Self::Syntax(error) => error.texts(),
            Self::LineTooLong => ["the line is too long", "die Zeile ist zu lang"],
            Self::TooManyBadCommands => {
                ["too many bad commands, closing", "zu viele ungültige Befehle, die Verbindung wird beendet"]
            }
            Self::WrongState => {
                ["this command is not valid in this state", "dieser Befehl ist in diesem Zustand nicht gültig"]
            }
            Self::NoMessage(NoMessage::Unknown) => ["no such message", "keine solche Nachricht"],
            Self::NoMessage(NoMessage::Marked) => {
                ["the message is marked as deleted", "die Nachricht ist zum Löschen markiert"]
            }
            Self::NeedsUtf8 => [
                "the message has a header in UTF-8, which needs the command UTF8",
                "die Nachricht hat einen Kopf in UTF-8, der den Befehl UTF8 voraussetzt",
            ],
            Self::ReadOnly => {
                ["this credential may not delete messages", "diese Zugangsdaten dürfen keine Nachrichten löschen"]
            }
            Self::ClearConnection => [
                "passwords are refused on a connection without TLS",
                "Passwörter werden auf einer Verbindung ohne TLS nicht angenommen",
            ],
            Self::UserFirst => ["USER comes before PASS", "USER kommt vor PASS"],
            Self::UnknownMechanism => ["unknown authentication mechanism", "unbekanntes Verfahren für die Anmeldung"],
            Self::NoApop => ["APOP is not available here", "APOP ist hier nicht verfügbar"],
            Self::Sasl(error) => sasl_texts(error),
            Self::Login(refusal) => refusal.texts(),
            Self::TlsAlready => ["TLS is already active", "TLS ist schon aktiv"],
            Self::NoTls => ["TLS is not available", "TLS ist nicht verfügbar"],
            Self::TlsAfterUtf8 => ["STLS comes before UTF8", "STLS kommt vor UTF8"],
            Self::UnknownLanguage => ["this language is not available", "diese Sprache ist nicht verfügbar"],
            Self::Retrieve(Failure::Temporary) => [
                "the message cannot be read at the moment, try again later",
                "die Nachricht kann im Augenblick nicht gelesen werden, bitte später wieder versuchen",
            ],
            Self::Retrieve(Failure::Permanent) => [
                "the message cannot be read, tell your administrator",
                "die Nachricht kann nicht gelesen werden, bitte dem Administrator melden",
            ],
            Self::Update(Failure::Temporary) => [
                "the marked messages could not be deleted, try again later",
                "die markierten Nachrichten konnten nicht gelöscht werden, bitte später wieder versuchen",
            ],
            Self::Update(Failure::Permanent) => [
                "the marked messages could not be deleted, tell your administrator",
                "die markierten Nachrichten konnten nicht gelöscht werden, bitte dem Administrator melden",
            ],
            Self::Draining => [
                "the server is going down for maintenance, try again at once",
                "der Server wird gerade gewartet, bitte sofort wieder versuchen",
            ],
            Self::SessionTooLong => [
                "the session has lasted too long, log in again",
                "die Sitzung dauert schon zu lange, bitte neu anmelden",
            ],
            Self::Ended => [
                "the session was ended by an administrator, nothing is deleted",
                "die Sitzung wurde von einem Administrator beendet, nichts wird gelöscht",
            ],
        }
    }
}

impl SyntaxError {
    const fn texts(self) -> [&'static str; 2] {
        match self {
            Self::UnknownCommand => ["unknown command", "unbekannter Befehl"],
            Self::Http => {
                ["this is a POP3 server, not an HTTP server", "dies ist ein POP3-Server und kein HTTP-Server"]
            }
            Self::MissingArgument => ["an argument is missing", "ein Argument fehlt"],
            Self::UnexpectedArgument => ["too many arguments", "zu viele Argumente"],
            Self::BadMessageNumber => [
                "a message number is a number from 1 to 4294967295",
                "eine Nachrichtennummer ist eine Zahl von 1 bis 4294967295",
            ],
            Self::BadLineCount => [
                "a count of lines is a number from 0 to 4294967295",
                "eine Zeilenzahl ist eine Zahl von 0 bis 4294967295",
            ],
            Self::NotText => ["a login name must be UTF-8", "ein Anmeldename muss UTF-8 sein"],
        }
    }
}

impl LoginRefusal {
    const fn texts(self) -> [&'static str; 2] {
        match self {
            Self::WrongCredentials => ["wrong login name or password", "falscher Anmeldename oder falsches Passwort"],
            Self::Suspended => ["the account is suspended", "das Konto ist gesperrt"],
            Self::InUse => [
                "another session has exclusive access to the maildrop",
                "eine andere Sitzung hat alleinigen Zugriff auf das Postfach",
            ],
            Self::TooManySessions(SessionLimit::Account(_)) => [
                "too many sessions of this account on this server (at most {})",
                "zu viele Sitzungen dieses Kontos auf diesem Server (höchstens {})",
            ],
            Self::TooManySessions(SessionLimit::Domain(_)) => [
                "too many sessions of this account's domain on this server (at most {})",
                "zu viele Sitzungen der Domain dieses Kontos auf diesem Server (höchstens {})",
            ],
            Self::TooManySessions(SessionLimit::Tenant(_)) => [
                "too many sessions of this account's organisation on this server (at most {})",
                "zu viele Sitzungen der Organisation dieses Kontos auf diesem Server (höchstens {})",
            ],
            Self::TooManySessions(SessionLimit::Address(_)) => [
                "too many sessions from this network address on this server (at most {})",
                "zu viele Sitzungen von dieser Netzadresse auf diesem Server (höchstens {})",
            ],
            Self::LoginDelay(_) => {
                ["the last login was less than {} seconds ago", "die letzte Anmeldung ist noch keine {} Sekunden her"]
            }
            Self::SlowedDown => [
                "too many failed logins, try again later",
                "zu viele fehlgeschlagene Anmeldungen, bitte später wieder versuchen",
            ],
            Self::Busy => [
                "too many logins at the moment, try again later",
                "im Augenblick zu viele Anmeldungen, bitte später wieder versuchen",
            ],
            Self::Unavailable => [
                "no login is possible at the moment, try again later",
                "im Augenblick ist keine Anmeldung möglich, bitte später wieder versuchen",
            ],
        }
    }
}

const fn sasl_texts(error: SaslError) -> [&'static str; 2] {
    match error {
        SaslError::Cancelled => ["authentication cancelled", "Anmeldung abgebrochen"],
        SaslError::NotBase64 => ["the response is not valid base64", "die Antwort ist kein gültiges Base64"],
        SaslError::TooLong => ["the response is too long", "die Antwort ist zu lang"],
        SaslError::Malformed => [
            "the response does not have the form of the mechanism",
            "die Antwort hat nicht die Form, die das Verfahren verlangt",
        ],
        SaslError::NotOffered => ["the mechanism is not offered here", "das Verfahren wird hier nicht angeboten"],
        SaslError::NoInitialResponse => {
            ["the mechanism takes no initial response", "das Verfahren erlaubt keine Antwort gleich mit dem Befehl"]
        }
        SaslError::LoginName => [
            "the login name is empty, too long or has characters that are not allowed",
            "der Anmeldename ist leer, zu lang oder enthält unerlaubte Zeichen",
        ],
        SaslError::ActsForAnother => {
            ["acting for another account is not possible", "für ein anderes Konto zu handeln ist nicht möglich"]
        }
        SaslError::BindingHidden => [
            "channel binding was offered here, but the client did not see it",
            "Kanalbindung wurde angeboten, aber das Programm hat sie nicht gesehen",
        ],
        SaslError::BindingUnknown => [
            "the type of channel binding is not supported here",
            "diese Art von Kanalbindung wird hier nicht unterstützt",
        ],
        SaslError::BindingMismatch => {
            ["the channel binding is not that of this connection", "die Kanalbindung gehört nicht zu dieser Verbindung"]
        }
        SaslError::ExtensionUnknown => [
            "the extension that the client requires is not supported",
            "die vom Programm verlangte Erweiterung wird nicht unterstützt",
        ],
        SaslError::ChoiceMissing => [
            "the certificate names several accounts and the client chose none",
            "das Zertifikat nennt mehrere Konten, und das Programm hat keines gewählt",
        ],
        SaslError::NtlmTooOld => ["only NTLMv2 responses are accepted", "nur NTLMv2-Antworten werden angenommen"],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::response::tests::every_refusal;

    fn every_text() -> Vec<Text> {
        let mut texts = vec![
            Text::Capabilities,
            Text::NowPass,
            Text::BeginTls,
            Text::Bye,
            Text::Updated,
            Text::Nothing,
            Text::Maildrop(2, Octets(320)),
            Text::UniqueIds,
            Text::Marked,
            Text::Message(Octets(7)),
            Text::Top,
            Text::Utf8On,
            Text::Languages,
            Text::LanguageChanged,
        ];
        texts.extend(every_refusal().into_iter().map(Text::Refused));
        texts
    }

    #[test]
    fn every_text_is_translated() {
        for text in every_text() {
            let [english, german] = text.texts();
            assert!(english.is_ascii(), "{english}: until LANG is given a client may know ASCII only");
            assert_ne!(english, german);
            assert_eq!(english.matches("{}").count(), german.matches("{}").count(), "{english}");
            for text in [english, german] {
                // With "-ERR ", a response code and two numbers still a response of 512 octets (RFC 2449 section 4).
                assert!((3..400).contains(&text.len()), "{text}");
                assert!(!text.contains(['\r', '\n', '[', '<']), "{text}");
            }
        }
    }

    #[test]
    fn what_sasl_says_is_said_in_its_words() {
        for refused in every_refusal() {
            if let Refused::Sasl(error) = refused {
                assert_eq!(Text::Refused(refused).texts()[0], error.to_string());
            }
        }
    }

    #[test]
    fn numbers_are_put_in() {
        let written = |text: Text, language| {
            let mut out = String::new();
            text.write(language, &mut out).unwrap();
            out
        };
        assert_eq!(written(Text::Maildrop(2, Octets(320)), Language::English), "2 messages (320 octets)");
        assert_eq!(written(Text::Maildrop(2, Octets(320)), Language::German), "2 Nachrichten (320 Oktette)");
        assert_eq!(written(Text::Message(Octets(7)), Language::German), "7 Oktette");
    }

    #[test]
    fn ranges_find_their_language() {
        for (range, expected) in [
            ("en", Some(Language::English)),
            ("DE", Some(Language::German)),
            ("de-AT", Some(Language::German)),
            ("de-Latn-DE", Some(Language::German)),
            ("*", Some(Language::English)),
            ("I-default", Some(Language::Default)),
            ("i", None),
            ("fr", None),
            ("den", None),
            ("", None),
        ] {
            assert_eq!(Language::for_range(range.as_bytes()), expected, "{range}");
        }
    }
}
