//! A remote IMAP server's INBOX (RFC 3501), in the order of UIDs. It is opened with EXAMINE and read with BODY.PEEK: nothing changes
//! there, no flag either.

use std::collections::HashMap;

use anyhow::{Context as _, bail, ensure};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::{Buf as _, Bytes};
use imap_proto::{AttributeValue, Capability, Response, ResponseCode, Status, parser::parse_response};
use mail_types::Timestamp;
use mailstore::{Incoming, SourceKey};

use super::{
    remote::{Access, Connection, Server, shown},
    unique_id::{Format, Known},
    {Listed, Read, refused},
};

/// Octets of a message that are asked for at once. A larger one comes in several pieces, so that an answer stays bounded.
const PIECE: usize = 1024 * 1024;
/// The longest answer that is waited for.
const ANSWER: usize = 2 * PIECE;
/// Messages that are asked for at once.
const BATCH: usize = 50;

/// A connection that is logged in.
pub struct Imap {
    connection: Connection,
    server: Server,
    commands: u64,
    /// UIDs that the command under way will still answer for.
    outstanding: Vec<u32>,
    /// Answers that came before their turn.
    early: HashMap<u32, Bytes>,
}

/// What an answer tells, as far as it is of use.
enum Event {
    Fetch { uid: Option<u32>, octets: Option<u32>, date: Option<String>, body: Option<Bytes> },
    Capabilities(Vec<String>),
    UidValidity(u32),
    Continue,
    Done { ok: bool, text: String },
    Bye(String),
    Other,
}

impl Imap {
    /// Logs in.
    ///
    /// # Errors
    /// Why not, in the server's words where it has some.
    pub async fn open(server: &Server, access: &Access) -> anyhow::Result<Self> {
        let connection = Connection::open(server, access).await?;
        let (outstanding, early) = (Vec::new(), HashMap::new());
        let mut imap = Self { connection, server: server.clone(), commands: 0, outstanding, early };
        if let Event::Bye(text) = imap.event().await.context("the greeting")? {
            bail!("the server says {text}");
        }
        let mut capabilities = imap.capabilities().await?;
        let offers = |capabilities: &[String], name: &str| capabilities.iter().any(|c| c.eq_ignore_ascii_case(name));
        if !server.tls && access.begin_tls && offers(&capabilities, "STARTTLS") {
            imap.command("STARTTLS").await?;
            imap.connection = imap.connection.secure(server, &access.tls).await?;
            capabilities = imap.capabilities().await?;
        }
        imap.connection.may_log_in(access)?;
        if offers(&capabilities, "AUTH=PLAIN") {
            imap.authenticate(access).await.context("the login failed")?;
        } else {
            ensure!(!offers(&capabilities, "LOGINDISABLED"), "the server allows no login with a password");
            imap.login(access).await.context("the login failed")?;
        }
        Ok(imap)
    }

    /// AUTHENTICATE PLAIN (RFC 4616).
    async fn authenticate(&mut self, access: &Access) -> anyhow::Result<()> {
        let tag = self.send("AUTHENTICATE PLAIN").await?;
        loop {
            match self.event().await? {
                Event::Continue => break,
                Event::Done { text, .. } | Event::Bye(text) => bail!("the server says {text}"),
                _ => {}
            }
        }
        let response = [b"\0", self.server.user.as_bytes(), b"\0", access.password.expose()].concat();
        self.connection.send(format!("{}\r\n", STANDARD.encode(response)).as_bytes()).await?;
        self.done(&tag).await
    }

    async fn login(&mut self, access: &Access) -> anyhow::Result<()> {
        let password = access.password.expose_str().context("the password is not text")?;
        let (user, password) = (quoted(&self.server.user)?, quoted(password)?);
        self.command(&format!("LOGIN {user} {password}")).await.map(drop)
    }

    async fn capabilities(&mut self) -> anyhow::Result<Vec<String>> {
        let events = self.command("CAPABILITY").await?;
        Ok(events
            .into_iter()
            .flat_map(|event| if let Event::Capabilities(all) = event { all } else { vec![] })
            .collect())
    }

    /// Its messages, in the order of UIDs. `format`: how the server made POP3's unique-ids of them.
    ///
    /// # Errors
    /// The connection's, or the server's refusal.
    pub async fn list(&mut self, format: Option<&Format>) -> anyhow::Result<Vec<Listed>> {
        let opened = self.command("EXAMINE INBOX").await.context("INBOX")?;
        let uid_validity = opened.iter().find_map(|e| if let Event::UidValidity(n) = e { Some(*n) } else { None });
        let uid_validity = uid_validity.context("the server has no UIDVALIDITY for INBOX")?;
        let account = self.server.account();
        let mut listed = Vec::new();
        for event in self.command("UID FETCH 1:* (UID RFC822.SIZE INTERNALDATE)").await? {
            let Event::Fetch { uid: Some(uid), octets, date, .. } = event else { continue };
            let known = Known { uid, uid_validity, file: None, guid: None };
            listed.push(Listed {
                name: format!("UID {uid}"),
                key: SourceKey::new("imap", &[account.as_bytes(), &uid_validity.to_le_bytes(), &uid.to_le_bytes()]),
                unique_id: format.and_then(|format| format.of(known)),
                received: date.as_deref().and_then(timestamp),
                place: uid.into(),
                octets: octets.unwrap_or(0).into(),
            });
        }
        listed.sort_by_key(|message| message.place);
        listed.dedup_by_key(|message| message.place);
        Ok(listed)
    }

    /// Reads a message of `wanted`, which are asked for one after the other: the next ones are asked for already.
    ///
    /// # Errors
    /// The connection's: nothing more can be read.
    pub async fn read(&mut self, wanted: &[Listed], at: usize, into: &mut Incoming) -> Read {
        let rest = wanted.get(at..).unwrap_or_default();
        let Some(uid) = rest.first().map(uid_of) else { bail!("there is no message {at}") };
        if let Some(body) = self.early.remove(&uid) {
            // Where its command has ended already, nothing more is to come.
            if !self.outstanding.is_empty() {
                self.outstanding.retain(|other| *other != uid);
                self.settle().await?;
            }
            return Ok(into.write(&body).await.map_err(refused));
        }
        if self.outstanding.is_empty() {
            let small = rest.iter().take(BATCH).take_while(|message| message.octets < PIECE as u64);
            self.outstanding = small.map(uid_of).collect();
            self.early.clear();
            if self.outstanding.is_empty() {
                return self.in_pieces(uid, into).await;
            }
            let uids: Vec<String> = self.outstanding.iter().map(u32::to_string).collect();
            self.send(&format!("UID FETCH {} (UID BODY.PEEK[]<0.{PIECE}>)", uids.join(","))).await?;
        }
        loop {
            match self.event().await? {
                Event::Fetch { uid: Some(other), body: Some(body), .. } if other != uid => {
                    self.early.insert(other, body);
                }
                Event::Fetch { uid: Some(_), body: Some(body), .. } => {
                    if body.len() >= PIECE {
                        // It is larger than the server said. The others of this command are asked for again.
                        self.give_up().await?;
                        return self.in_pieces(uid, into).await;
                    }
                    self.outstanding.retain(|other| *other != uid);
                    self.settle().await?;
                    return Ok(into.write(&body).await.map_err(refused));
                }
                // Without an answer for this one: it is gone, or one that cannot be read spoilt the whole command.
                Event::Done { .. } => {
                    self.outstanding.clear();
                    return self.in_pieces(uid, into).await;
                }
                Event::Bye(text) => bail!("the server says {text}"),
                _ => {}
            }
        }
    }

    /// Reads to the end of a command that has answered for everything.
    async fn settle(&mut self) -> anyhow::Result<()> {
        if self.outstanding.is_empty() { self.give_up().await } else { Ok(()) }
    }

    /// Reads to the end of the command under way.
    async fn give_up(&mut self) -> anyhow::Result<()> {
        self.outstanding.clear();
        loop {
            match self.event().await? {
                Event::Done { .. } => return Ok(()),
                Event::Bye(text) => bail!("the server says {text}"),
                _ => {}
            }
        }
    }

    /// One message by itself.
    async fn in_pieces(&mut self, uid: u32, into: &mut Incoming) -> Read {
        let mut offset = 0;
        loop {
            self.send(&format!("UID FETCH {uid} (UID BODY.PEEK[]<{offset}.{PIECE}>)")).await?;
            let mut piece = None;
            let refusal = loop {
                match self.event().await? {
                    Event::Fetch { uid: Some(of), body: Some(body), .. } if of == uid => piece = Some(body),
                    Event::Done { ok: true, .. } => break "it is not there any more".to_owned(),
                    Event::Done { text, .. } => break format!("the server says {text}"),
                    Event::Bye(text) => bail!("the server says {text}"),
                    _ => {}
                }
            };
            let Some(piece) = piece else { return Ok(Err(refusal)) };
            if let Err(error) = into.write(&piece).await {
                return Ok(Err(refused(error)));
            }
            if piece.len() < PIECE {
                return Ok(Ok(()));
            }
            offset += piece.len();
        }
    }

    /// Takes leave; nothing was changed there.
    pub async fn close(mut self) {
        let _ = self.send("LOGOUT").await;
    }

    async fn send(&mut self, command: &str) -> anyhow::Result<String> {
        self.commands += 1;
        let tag = format!("r{}", self.commands);
        self.connection.send(format!("{tag} {command}\r\n").as_bytes()).await?;
        Ok(tag)
    }

    /// A command and all that it answers.
    async fn command(&mut self, command: &str) -> anyhow::Result<Vec<Event>> {
        self.send(command).await?;
        let mut events = Vec::new();
        loop {
            match self.event().await? {
                Event::Done { ok: true, .. } => return Ok(events),
                Event::Done { text, .. } | Event::Bye(text) => bail!("the server says {text}"),
                Event::Other | Event::Continue => {}
                event => events.push(event),
            }
        }
    }

    async fn done(&mut self, tag: &str) -> anyhow::Result<()> {
        loop {
            match self.event().await? {
                Event::Done { ok: true, .. } => return Ok(()),
                Event::Done { text, .. } | Event::Bye(text) => bail!("the server says {text} to {tag}"),
                _ => {}
            }
        }
    }

    /// The next answer.
    async fn event(&mut self) -> anyhow::Result<Event> {
        loop {
            if !self.connection.buffer.is_empty() {
                let parsed = match parse_response(&self.connection.buffer) {
                    Ok((rest, response)) => Some((self.connection.buffer.len() - rest.len(), event(response))),
                    Err(error) if error.is_incomplete() => None,
                    Err(_) => {
                        let line = self.connection.line().await?;
                        bail!("the server's answer cannot be understood: {}", shown(&line));
                    }
                };
                if let Some((used, event)) = parsed {
                    self.connection.buffer.advance(used);
                    return Ok(event);
                }
            }
            ensure!(self.connection.buffer.len() < ANSWER, "the server's answer is too long");
            self.connection.more().await?;
        }
    }
}

fn uid_of(message: &Listed) -> u32 {
    u32::try_from(message.place).unwrap_or(0)
}

/// What of an answer is of use, on its own.
fn event(response: Response<'_>) -> Event {
    let all = |capabilities: Vec<Capability<'_>>| {
        let name = |capability| match capability {
            Capability::Imap4rev1 => "IMAP4rev1".to_owned(),
            Capability::Auth(name) => format!("AUTH={name}"),
            Capability::Atom(name) => name.into_owned(),
        };
        Event::Capabilities(capabilities.into_iter().map(name).collect())
    };
    let text = |information: Option<_>| {
        information.map_or("no".to_owned(), |text: std::borrow::Cow<'_, str>| shown(text.as_bytes()))
    };
    match response {
        Response::Capabilities(capabilities) => all(capabilities),
        Response::Continue { .. } => Event::Continue,
        Response::Done { status, information, .. } => Event::Done { ok: status == Status::Ok, text: text(information) },
        Response::Data { status: Status::Bye, information, .. } => Event::Bye(text(information)),
        Response::Data { code: Some(ResponseCode::UidValidity(n)), .. } => Event::UidValidity(n),
        Response::Fetch(_, attributes) => {
            let (mut uid, mut octets, mut date, mut body) = (None, None, None, None);
            for attribute in attributes {
                match attribute {
                    AttributeValue::Uid(n) => uid = Some(n),
                    AttributeValue::Rfc822Size(n) => octets = Some(n),
                    AttributeValue::InternalDate(text) => date = Some(text.into_owned()),
                    AttributeValue::BodySection { section: None, data, .. } => {
                        // NIL: past the end of the message.
                        body = Some(data.map_or_else(Bytes::new, |data| Bytes::copy_from_slice(&data)));
                    }
                    _ => {}
                }
            }
            Event::Fetch { uid, octets, date, body }
        }
        _ => Event::Other,
    }
}

/// A quoted string (RFC 3501 section 4.3), which has no octets beyond ASCII and no line ends.
fn quoted(text: &str) -> anyhow::Result<String> {
    ensure!(
        text.bytes().all(|octet| octet.is_ascii() && !octet.is_ascii_control()),
        "the server has no AUTH=PLAIN, and LOGIN cannot say this name or password"
    );
    Ok(format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"")))
}

/// `date-time` of RFC 3501 section 9.
fn timestamp(text: &str) -> Option<Timestamp> {
    let at = chrono::DateTime::parse_from_str(text.trim(), "%d-%b-%Y %H:%M:%S %z").ok()?;
    u64::try_from(at.timestamp_millis()).ok().map(Timestamp::from_unix_ms)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_and_strings_are_those_of_the_protocol() {
        assert_eq!(timestamp(" 1-Jan-1970 01:00:01 +0100"), Some(Timestamp::from_unix_ms(1000)));
        assert_eq!(timestamp("17-Jul-1996 02:44:25 -0700").map(Timestamp::unix_seconds), Some(837_596_665));
        assert_eq!(timestamp("yesterday"), None);
        assert_eq!(quoted("a\"b\\c").unwrap(), r#""a\"b\\c""#);
        assert!(quoted("a\r\nb").is_err() && quoted("ü").is_err());
    }

    #[test]
    fn answers_tell_what_is_asked() {
        let (_, response) =
            parse_response(b"* 3 FETCH (UID 7 RFC822.SIZE 12 INTERNALDATE \"17-Jul-1996 02:44:25 -0700\" BODY[]<0> {5}\r\na\r\nb\n)\r\n").unwrap();
        let Event::Fetch { uid, octets, date, body } = event(response) else { panic!("a FETCH") };
        assert_eq!((uid, octets, date.is_some()), (Some(7), Some(12), true));
        assert_eq!(body.as_deref(), Some(&b"a\r\nb\n"[..]));
        let (_, response) = parse_response(b"* 3 FETCH (UID 7 BODY[]<1048576> NIL)\r\n").unwrap();
        assert!(matches!(event(response), Event::Fetch { body: Some(body), .. } if body.is_empty()));
        let (_, response) = parse_response(b"* OK [UIDVALIDITY 38] UIDs valid\r\n").unwrap();
        assert!(matches!(event(response), Event::UidValidity(38)));
    }
}
