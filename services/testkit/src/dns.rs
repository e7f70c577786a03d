//! A name server on loopback that says what a test wants it to, over UDP and TCP.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, UdpSocket};

/// The longest answer by UDP; of a longer one only the head is sent, and it is asked for again by TCP.
const MOST_UDP: usize = 512;

/// What stands in a record.
#[derive(Debug, Clone)]
pub enum Data {
    /// An address.
    A(Ipv4Addr),
    /// A text, in strings of 255 octets.
    Txt(String),
    /// Who takes mail.
    Mx(u16, &'static str),
    /// Priority, weight, port and host of a service.
    Srv(u16, u16, u16, &'static str),
    /// Another name.
    Cname(&'static str),
}

/// How questions about a name fail.
#[derive(Debug, Clone, Copy)]
pub enum Failure {
    /// SERVFAIL.
    ServerFailure,
    /// No answer at all.
    Silence,
    /// The answer comes late.
    Late(Duration),
}

#[derive(Debug, Default)]
struct Zone {
    /// The next question takes the first answer; the last one stays.
    answers: HashMap<String, VecDeque<Vec<Data>>>,
    failures: HashMap<String, Failure>,
    asked: Vec<String>,
}

/// The server; it ends with the test's run time.
#[derive(Debug, Clone)]
pub struct NameServer {
    address: SocketAddr,
    zone: Arc<Mutex<Zone>>,
}

impl NameServer {
    /// Starts one that knows no name.
    pub async fn start() -> io::Result<Self> {
        let (udp, tcp) = bind().await?;
        let server = Self { address: udp.local_addr()?, zone: Arc::default() };
        tokio::spawn(server.clone().by_udp(Arc::new(udp)));
        tokio::spawn(server.clone().by_tcp(tcp));
        Ok(server)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Says of a name what these records say, and nothing else.
    pub fn publish(&self, name: &str, records: &[Data]) {
        self.publish_in_turn(name, &[records]);
    }

    /// Says something else of a name with each question, and stays with the last.
    pub fn publish_in_turn(&self, name: &str, turns: &[&[Data]]) {
        let mut zone = self.zone();
        zone.failures.remove(name);
        zone.answers.insert(name.to_owned(), turns.iter().map(|turn| turn.to_vec()).collect());
    }

    /// Fails for a name.
    pub fn fail(&self, name: &str, failure: Failure) {
        self.zone().failures.insert(name.to_owned(), failure);
    }

    /// The names that were asked for, in turn.
    pub fn asked(&self) -> Vec<String> {
        self.zone().asked.clone()
    }

    fn zone(&self) -> std::sync::MutexGuard<'_, Zone> {
        self.zone.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn by_udp(self, socket: Arc<UdpSocket>) {
        let mut octets = [0; 4096];
        while let Ok((length, from)) = socket.recv_from(&mut octets).await {
            let Some(question) = octets.get(..length).map(<[u8]>::to_vec) else { continue };
            let (server, socket) = (self.clone(), Arc::clone(&socket));
            tokio::spawn(async move {
                let Some(mut answer) = server.answer(&question).await else { return };
                if answer.len() > MOST_UDP {
                    let end = 12 + question_length(&question);
                    answer.truncate(end);
                    answer.splice(2..8, [0x83, 0x80, 0, 1, 0, 0]); // truncated: ask by TCP
                }
                socket.send_to(&answer, from).await.ok();
            });
        }
    }

    async fn by_tcp(self, listener: TcpListener) {
        while let Ok((mut stream, _)) = listener.accept().await {
            let server = self.clone();
            tokio::spawn(async move {
                while let Ok(length) = stream.read_u16().await {
                    let mut question = vec![0; length.into()];
                    stream.read_exact(&mut question).await?;
                    let Some(answer) = server.answer(&question).await else { continue };
                    stream.write_u16(u16::try_from(answer.len()).unwrap_or(u16::MAX)).await?;
                    stream.write_all(&answer).await?;
                }
                io::Result::Ok(())
            });
        }
    }

    /// RFC 1035 section 4.1: a header of 12 octets, the question, and answers whose names point at it.
    async fn answer(&self, question: &[u8]) -> Option<Vec<u8>> {
        let name = question_name(question)?;
        let end = 12 + question_length(question);
        let of_type = u16::from_be_bytes([*question.get(end - 4)?, *question.get(end - 3)?]);
        let failure = {
            let mut zone = self.zone();
            zone.asked.push(name.clone());
            zone.failures.get(&name).copied()
        };
        let mut code = 0;
        match failure {
            Some(Failure::Silence) => return None,
            Some(Failure::ServerFailure) => code = 2,
            Some(Failure::Late(by)) => tokio::time::sleep(by).await,
            None => {}
        }
        let (found, known) = if code == 0 { self.take(&name, of_type) } else { (Vec::new(), true) };
        if !known {
            code = 3;
        }
        let mut answer = question.get(..2)?.to_vec();
        answer.extend([0x81, 0x80 | code, 0, 1]);
        answer.extend(u16::try_from(found.len()).ok()?.to_be_bytes());
        answer.extend([0; 4]);
        answer.extend(question.get(12..end)?);
        for (owner, data) in found {
            if owner == name {
                answer.extend([0xc0, 12])
            } else {
                answer.extend(labels(&owner))
            }
            let (of_type, octets) = data.encoded();
            answer.extend(of_type.to_be_bytes());
            answer.extend([0, 1, 0, 0, 0, 60]); // class IN, kept for a minute
            answer.extend(u16::try_from(octets.len()).ok()?.to_be_bytes());
            answer.extend(octets);
        }
        Some(answer)
    }

    /// What a recursive name server answers: records of the type, after CNAMEs; and whether there is such a name.
    fn take(&self, name: &str, of_type: u16) -> (Vec<(String, Data)>, bool) {
        let mut zone = self.zone();
        let (mut found, mut name, mut known) = (Vec::new(), name.to_owned(), false);
        for _ in 0..4 {
            let Some(turns) = zone.answers.get_mut(&name) else { break };
            known = true;
            let asked_of = turns.iter().any(|turn| turn.iter().any(|data| data.encoded().0 == of_type));
            let now = if asked_of && turns.len() > 1 { turns.pop_front() } else { turns.front().cloned() };
            let now = now.unwrap_or_default();
            found
                .extend(now.iter().filter(|data| data.encoded().0 == of_type).map(|data| (name.clone(), data.clone())));
            let other = now.iter().find_map(|data| if let Data::Cname(other) = data { Some(*other) } else { None });
            let Some(other) = other.filter(|_| of_type != 5 && found.iter().all(|(_, data)| data.encoded().0 == 5))
            else {
                break;
            };
            found.push((name, Data::Cname(other)));
            name = other.to_owned();
        }
        (found, known)
    }
}

/// The same port of both; somebody may have it of the other kind.
async fn bind() -> io::Result<(UdpSocket, TcpListener)> {
    let mut failed = None;
    for _ in 0..20 {
        let udp = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        match TcpListener::bind(udp.local_addr()?).await {
            Ok(tcp) => return Ok((udp, tcp)),
            Err(error) => failed = Some(error),
        }
    }
    Err(failed.unwrap_or_else(|| io::ErrorKind::AddrInUse.into()))
}

impl Data {
    /// The type and the octets of the record.
    fn encoded(&self) -> (u16, Vec<u8>) {
        match self {
            Self::A(address) => (1, address.octets().to_vec()),
            Self::Cname(name) => (5, labels(name)),
            Self::Mx(preference, host) => (15, [&preference.to_be_bytes()[..], &labels(host)].concat()),
            Self::Txt(text) => {
                let strings = text.as_bytes().chunks(255);
                let with_length = |part: &[u8]| [&[u8::try_from(part.len()).unwrap_or(255)], part].concat();
                (16, strings.flat_map(with_length).collect())
            }
            Self::Srv(priority, weight, port, host) => {
                let numbers = [priority, weight, port].map(|number| number.to_be_bytes()).concat();
                (33, [numbers, labels(host)].concat())
            }
        }
    }
}

fn labels(name: &str) -> Vec<u8> {
    let mut octets = Vec::new();
    for label in name.split('.').filter(|label| !label.is_empty()) {
        octets.push(u8::try_from(label.len()).unwrap_or(63));
        octets.extend(label.as_bytes());
    }
    octets.push(0);
    octets
}

/// Octets of the question: labels up to an empty one, type and class.
fn question_length(message: &[u8]) -> usize {
    message.iter().skip(12).position(|octet| *octet == 0).map_or(0, |end| end + 5)
}

fn question_name(message: &[u8]) -> Option<String> {
    let (mut labels, mut at) = (Vec::new(), 12);
    loop {
        let length = usize::from(*message.get(at)?);
        if length == 0 {
            return Some(labels.join("."));
        }
        let label = message.get(at + 1..at + 1 + length)?;
        labels.push(String::from_utf8_lossy(label).to_ascii_lowercase());
        at += 1 + length;
    }
}
