//! A remote POP3 server: unique-ids and order are kept, and the mail stays where it is.

use std::collections::HashMap;

use anyhow::{Context as _, bail, ensure};
use bytes::{Bytes, BytesMut};
use mail_types::UniqueId;
use mailstore::{Incoming, SourceKey};
use wire::unstuffing::{Progress, Unstuffer};

use super::{
    remote::{Access, Connection, Server, shown},
    {Listed, Read, refused},
};

/// RETRs that are on their way at the same time where the server allows it (RFC 2449 section 6.8).
const PIPELINED: usize = 32;
/// Messages of a maildrop at most.
const MOST: usize = 10_000_000;

/// A connection that is logged in.
pub struct Pop3 {
    connection: Connection,
    server: Server,
    pipelining: bool,
    /// How many of the wanted messages have been asked for.
    asked: usize,
}

impl Pop3 {
    /// Logs in.
    ///
    /// # Errors
    /// Why not, in the server's words where it has some.
    pub async fn open(server: &Server, access: &Access) -> anyhow::Result<Self> {
        let mut connection = Connection::open(server, access).await?;
        status(&mut connection).await?.context("the greeting")?;
        let mut capabilities = capabilities(&mut connection).await?;
        let offers = |capabilities: &[String], name: &str| capabilities.iter().any(|c| c.eq_ignore_ascii_case(name));
        if !server.tls && access.begin_tls && offers(&capabilities, "STLS") {
            command(&mut connection, "STLS").await?.context("STLS")?;
            connection = connection.secure(server, &access.tls).await?;
            // RFC 2595 section 4: what was said before TLS does not count.
            capabilities = self::capabilities(&mut connection).await?;
        }
        connection.may_log_in(access)?;
        command(&mut connection, &format!("USER {}", server.user)).await?.context("USER")?;
        let password = access.password.expose();
        ensure!(!password.iter().any(|octet| b"\r\n\0".contains(octet)), "the password has a line end in it");
        connection.send(&[b"PASS ", password, b"\r\n"].concat()).await?;
        status(&mut connection).await?.context("the login failed")?;
        let pipelining = offers(&capabilities, "PIPELINING");
        Ok(Self { connection, server: server.clone(), pipelining, asked: 0 })
    }

    /// Its messages, in the order of the server.
    ///
    /// # Errors
    /// The connection's, or the server's refusal.
    pub async fn list(&mut self) -> anyhow::Result<Vec<Listed>> {
        let octets = self.numbered("LIST").await?.context("LIST")?;
        let octets: HashMap<u64, u64> =
            octets.into_iter().filter_map(|(number, octets)| Some((number, octets.parse().ok()?))).collect();
        let unique_ids = self.numbered("UIDL").await?;
        let unique_ids = unique_ids.context("without UIDL nobody knows what was imported already")?;
        let account = self.server.account();
        let mut occurrences: HashMap<String, u64> = HashMap::new();
        let listed = unique_ids.into_iter().map(|(number, unique_id)| {
            // A server may break the rule that they differ: the second of a kind is another message all the same.
            let occurrence = occurrences.entry(unique_id.clone()).or_default();
            *occurrence += 1;
            let nth = occurrence.to_le_bytes();
            let mut parts = vec![account.as_bytes(), unique_id.as_bytes()];
            if *occurrence > 1 {
                parts.push(&nth);
            }
            Listed {
                key: SourceKey::new("pop3", &parts),
                unique_id: UniqueId::parse(&unique_id).ok().filter(|_| *occurrence == 1),
                name: format!("message {number} ({})", shown(unique_id.as_bytes())),
                received: None,
                place: number,
                octets: octets.get(&number).copied().unwrap_or(0),
            }
        });
        Ok(listed.collect())
    }

    /// The lines of a listing: number, and what stands after it.
    async fn numbered(&mut self, name: &str) -> anyhow::Result<anyhow::Result<Vec<(u64, String)>>> {
        if let Err(refusal) = command(&mut self.connection, name).await? {
            return Ok(Err(refusal));
        }
        let mut lines = Vec::new();
        for line in multi_line(&mut self.connection).await? {
            let line = String::from_utf8_lossy(&line).into_owned();
            let (number, rest) = line.trim_end().split_once(' ').with_context(|| format!("{name}: {line:?}"))?;
            lines.push((number.parse().with_context(|| format!("{name}: {line:?}"))?, rest.trim_start().to_owned()));
        }
        Ok(Ok(lines))
    }

    /// Reads a message of `wanted`, which are asked for one after the other: the next ones are asked for already.
    ///
    /// # Errors
    /// The connection's: nothing more can be read.
    pub async fn read(&mut self, wanted: &[Listed], at: usize, into: &mut Incoming) -> Read {
        let window = if self.pipelining { PIPELINED } else { 1 };
        // In one write as soon as half of the window is free.
        if self.asked <= at + window / 2 {
            let next = wanted.get(self.asked..wanted.len().min(at + window)).unwrap_or_default();
            let commands: String = next.iter().map(|message| format!("RETR {}\r\n", message.place)).collect();
            self.asked += next.len();
            self.connection.send(commands.as_bytes()).await?;
        }
        if let Err(refusal) = status(&mut self.connection).await? {
            return Ok(Err(refusal.to_string()));
        }
        let mut unstuffer = Unstuffer::new();
        let mut piece = BytesMut::new();
        let mut taken = Ok(());
        loop {
            let progress = unstuffer.feed(&mut self.connection.buffer, &mut |octets| piece.extend_from_slice(octets));
            // One that is not taken is read to its end all the same: the next answer comes after it.
            if taken.is_ok() {
                taken = into.write(&piece).await.map_err(refused);
            }
            piece.clear();
            if progress == Progress::Done {
                return Ok(taken);
            }
            self.connection.more().await?;
        }
    }

    /// Takes leave; nothing was changed there.
    pub async fn close(mut self) {
        // Whether it answers does not matter: nothing was changed there.
        let _ = self.connection.send(b"QUIT\r\n").await;
    }
}

/// The first line of an answer. The inner error is a refusal, in the server's words.
async fn status(connection: &mut Connection) -> anyhow::Result<anyhow::Result<()>> {
    let line = connection.line().await?;
    if line.starts_with(b"+OK") {
        return Ok(Ok(()));
    }
    ensure!(line.starts_with(b"-ERR"), "this is no POP3 server: {}", shown(&line));
    Ok(Err(anyhow::anyhow!("the server says {}", shown(&line))))
}

async fn command(connection: &mut Connection, line: &str) -> anyhow::Result<anyhow::Result<()>> {
    connection.send(format!("{line}\r\n").as_bytes()).await?;
    status(connection).await
}

async fn capabilities(connection: &mut Connection) -> anyhow::Result<Vec<String>> {
    if command(connection, "CAPA").await?.is_err() {
        // RFC 2449 came later than the first servers.
        return Ok(Vec::new());
    }
    let lines = multi_line(connection).await?;
    Ok(lines.iter().map(|line| String::from_utf8_lossy(line).trim().to_owned()).collect())
}

/// The lines of an answer up to the lone dot. None of those asked for here begins with a dot itself.
async fn multi_line(connection: &mut Connection) -> anyhow::Result<Vec<Bytes>> {
    let mut lines = Vec::new();
    loop {
        let line = connection.line().await?;
        if line.as_ref() == b"." {
            return Ok(lines);
        }
        if lines.len() == MOST {
            bail!("the server's answer does not end");
        }
        lines.push(line);
    }
}
