//! The three messages of NTLM (MS-NLMP section 2.2.1): how they lie in octets. Integers are little-endian; what has no fixed
//! length lies in a payload, and a field of the header says where.

use mail_types::{DomainName, Timestamp};

use crate::SaslError;

const SIGNATURE: &[u8; 8] = b"NTLMSSP\0";

/// Flags (section 2.2.2.5).
pub(super) mod flag {
    pub(crate) const UNICODE: u32 = 0x0000_0001;
    pub(crate) const OEM: u32 = 0x0000_0002;
    pub(crate) const REQUEST_TARGET: u32 = 0x0000_0004;
    pub(crate) const NTLM: u32 = 0x0000_0200;
    pub(crate) const ALWAYS_SIGN: u32 = 0x0000_8000;
    pub(crate) const TARGET_TYPE_SERVER: u32 = 0x0002_0000;
    pub(crate) const EXTENDED_SESSION_SECURITY: u32 = 0x0008_0000;
    pub(crate) const TARGET_INFO: u32 = 0x0080_0000;
    pub(crate) const KEY_EXCHANGE: u32 = 0x4000_0000;
}

/// Attributes of the target (section 2.2.2.1).
mod attribute {
    pub(super) const END: u16 = 0;
    pub(super) const NETBIOS_COMPUTER: u16 = 1;
    pub(super) const NETBIOS_DOMAIN: u16 = 2;
    pub(super) const DNS_COMPUTER: u16 = 3;
    pub(super) const DNS_DOMAIN: u16 = 4;
    pub(super) const FLAGS: u16 = 6;
    pub(super) const TIMESTAMP: u16 = 7;
}

/// In the client's [`attribute::FLAGS`]: it sent a message integrity code.
const MIC_PRESENT: u32 = 0x0000_0002;

/// Where the fixed part of a CHALLENGE_MESSAGE ends, its version included.
const CHALLENGE_HEADER: u32 = 56;
/// Where the message integrity code lies in an AUTHENTICATE_MESSAGE.
const MIC: std::ops::Range<usize> = 72..88;
/// The shortest header of an AUTHENTICATE_MESSAGE: old clients end it after the workstation.
const SHORTEST_AUTHENTICATE: usize = 52;

/// The flags of a NEGOTIATE_MESSAGE. Nothing else in it matters: names in it are of the client's machine.
pub(super) fn negotiate_flags(message: &[u8]) -> Result<u32, SaslError> {
    is_of_type(message, 1).then(|| u32_at(message, 12)).flatten().ok_or(SaslError::Malformed)
}

/// A CHALLENGE_MESSAGE.
pub(super) fn challenge(flags: u32, server_challenge: [u8; 8], host: &DomainName, now: Timestamp) -> Vec<u8> {
    let target = if flags & flag::UNICODE == 0 { netbios_name(host).into_bytes() } else { utf16(&netbios_name(host)) };
    let information = target_information(host, now);
    let mut message = Vec::new();
    message.extend_from_slice(SIGNATURE);
    message.extend_from_slice(&2u32.to_le_bytes());
    put_field(&mut message, &target, CHALLENGE_HEADER);
    message.extend_from_slice(&flags.to_le_bytes());
    message.extend_from_slice(&server_challenge);
    message.extend_from_slice(&[0; 8]);
    put_field(&mut message, &information, CHALLENGE_HEADER + u32::from(length(&target)));
    // The version is only for people who debug.
    message.extend_from_slice(&[0; 8]);
    message.extend_from_slice(&target);
    message.extend_from_slice(&information);
    message
}

/// What the client signs with its proof: who we are, and when.
fn target_information(host: &DomainName, now: Timestamp) -> Vec<u8> {
    /// 100 ns ticks from 1601 to 1970.
    const EPOCH: u64 = 116_444_736_000_000_000;
    let ticks = now.unix_ms().saturating_mul(10_000).saturating_add(EPOCH);
    let netbios = utf16(&netbios_name(host));
    let dns = utf16(host.as_str());
    let mut information = Vec::new();
    put_attribute(&mut information, attribute::NETBIOS_DOMAIN, &netbios);
    put_attribute(&mut information, attribute::NETBIOS_COMPUTER, &netbios);
    put_attribute(&mut information, attribute::DNS_DOMAIN, &dns);
    put_attribute(&mut information, attribute::DNS_COMPUTER, &dns);
    put_attribute(&mut information, attribute::TIMESTAMP, &ticks.to_le_bytes());
    put_attribute(&mut information, attribute::END, &[]);
    information
}

/// A name as NetBIOS would have it: the first label in capitals, at most 15 octets.
fn netbios_name(host: &DomainName) -> String {
    let label = host.as_str().split('.').next().unwrap_or_default();
    label.chars().take(15).map(|c| c.to_ascii_uppercase()).collect()
}

/// An AUTHENTICATE_MESSAGE, as far as NTLMv2 needs it.
#[derive(Debug)]
pub(super) struct Authenticate<'a> {
    pub(super) user: String,
    pub(super) domain: String,
    /// NTProofStr.
    pub(super) proof: [u8; 16],
    /// What the proof is over beside our challenge: time, the client's challenge, our target information.
    pub(super) blob: &'a [u8],
    /// The message integrity code, if the blob says that there is one.
    pub(super) mic: Option<[u8; 16]>,
}

impl<'a> Authenticate<'a> {
    /// `flags` are those of our challenge: what holds where the client's message has none.
    pub(super) fn parse(message: &'a [u8], flags: u32) -> Result<Self, SaslError> {
        if !is_of_type(message, 3) || message.len() < SHORTEST_AUTHENTICATE {
            return Err(SaslError::Malformed);
        }
        let flags = u32_at(message, 60).filter(|_| payload_begins(message) >= 64).unwrap_or(flags);
        let (proof, blob) = ntlmv2_response(field(message, 20)?)?;
        let mic = if avpair_flags(blob) & MIC_PRESENT == 0 {
            None
        } else if flags & flag::KEY_EXCHANGE != 0 {
            // It would be keyed by a key of the client's choice, which we did not ask for.
            return Err(SaslError::Malformed);
        } else {
            let mic = message.get(MIC).and_then(|mic| mic.try_into().ok());
            Some(mic.filter(|_| payload_begins(message) >= MIC.end).ok_or(SaslError::Malformed)?)
        };
        let user = text(field(message, 36)?, flags)?;
        Ok(Self { user, domain: text(field(message, 28)?, flags)?, proof, blob, mic })
    }
}

/// The message with its message integrity code set to zero: what that code is over.
pub(super) fn without_mic(message: &[u8]) -> Vec<u8> {
    let mut message = message.to_vec();
    if let Some(mic) = message.get_mut(MIC) {
        mic.fill(0);
    }
    message
}

/// Where the first of the fields that have a content lies.
fn payload_begins(message: &[u8]) -> usize {
    let offsets = [12, 20, 28, 36, 44].into_iter().filter(|&at| u16_at(message, at) != Some(0));
    let offsets = offsets.filter_map(|at| u32_at(message, at + 4));
    offsets.min().and_then(|offset| usize::try_from(offset).ok()).unwrap_or(message.len())
}

/// NTProofStr and the blob (section 2.2.2.8).
fn ntlmv2_response(response: &[u8]) -> Result<([u8; 16], &[u8]), SaslError> {
    /// Type and highest type known, six zero octets, time, the client's challenge, four zero octets.
    const SHORTEST_BLOB: usize = 28;
    // Every older response has just this length (section 2.2.2.6).
    if response.len() == 24 {
        return Err(SaslError::NtlmTooOld);
    }
    match response.split_first_chunk::<16>() {
        Some((proof, blob)) if blob.len() >= SHORTEST_BLOB && blob.starts_with(&[1, 1]) => Ok((*proof, blob)),
        _ => Err(SaslError::Malformed),
    }
}

/// The client's flags among the attributes at the end of a blob; 0 where there are none.
fn avpair_flags(blob: &[u8]) -> u32 {
    let mut rest = blob.get(28..).unwrap_or_default();
    while let (Some(id), Some(length)) = (u16_at(rest, 0), u16_at(rest, 2)) {
        let Some((value, after)) = rest.get(4..).and_then(|rest| rest.split_at_checked(usize::from(length))) else {
            break;
        };
        match id {
            attribute::END => break,
            attribute::FLAGS => return u32_at(value, 0).unwrap_or_default(),
            _ => rest = after,
        }
    }
    0
}

fn is_of_type(message: &[u8], number: u32) -> bool {
    message.starts_with(SIGNATURE) && u32_at(message, 8) == Some(number)
}

/// The content that a field of the header points at.
fn field(message: &[u8], at: usize) -> Result<&[u8], SaslError> {
    let length = u16_at(message, at).map(usize::from).ok_or(SaslError::Malformed)?;
    if length == 0 {
        return Ok(&[]);
    }
    let offset = u32_at(message, at + 4).and_then(|offset| usize::try_from(offset).ok()).ok_or(SaslError::Malformed)?;
    message.get(offset..).and_then(|rest| rest.get(..length)).ok_or(SaslError::Malformed)
}

fn u16_at(message: &[u8], at: usize) -> Option<u16> {
    message.get(at..)?.first_chunk().map(|octets| u16::from_le_bytes(*octets))
}

fn u32_at(message: &[u8], at: usize) -> Option<u32> {
    message.get(at..)?.first_chunk().map(|octets| u32::from_le_bytes(*octets))
}

/// A name: UTF-16, or in the client's own character set, of which we know ASCII and UTF-8.
fn text(octets: &[u8], flags: u32) -> Result<String, SaslError> {
    if flags & flag::UNICODE == 0 {
        return std::str::from_utf8(octets).map(str::to_owned).map_err(|_| SaslError::Malformed);
    }
    let (units, rest) = octets.as_chunks::<2>();
    let text: Result<String, _> = char::decode_utf16(units.iter().map(|unit| u16::from_le_bytes(*unit))).collect();
    text.ok().filter(|_| rest.is_empty()).ok_or(SaslError::Malformed)
}

/// UTF-16, little-endian.
pub(super) fn utf16(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_le_bytes).collect()
}

/// Length, length again, offset.
fn put_field(message: &mut Vec<u8>, content: &[u8], offset: u32) {
    let length = length(content).to_le_bytes();
    message.extend_from_slice(&length);
    message.extend_from_slice(&length);
    message.extend_from_slice(&offset.to_le_bytes());
}

fn put_attribute(information: &mut Vec<u8>, id: u16, value: &[u8]) {
    information.extend_from_slice(&id.to_le_bytes());
    information.extend_from_slice(&length(value).to_le_bytes());
    information.extend_from_slice(value);
}

/// Of what we make ourselves: names of at most 253 characters.
fn length(content: &[u8]) -> u16 {
    u16::try_from(content.len()).unwrap_or(u16::MAX)
}
