//! META: what it takes to rebuild the catalog from the bucket. CBOR (RFC 8949) with integer keys, in one encrypted part behind a
//! salt of its own (16 octets, in clear): compaction writes META anew while the frame's salt stays, and one key must never see two
//! texts.
//!
//! ```text
//! 1 SHA-256 of HEAD and BODY     4 how it came: LMTP, LMTPS, HTTP, IMPORT
//! 2 when it was received, ms     5 the copies: [ordinal, account, address, prefix, legacy id, uid]; the last three may be null
//! 3 the envelope's sender        6 SHA-256 of the message as it came, mended, before our headers
//! ```

use std::borrow::Cow;

use bytes::{BufMut as _, Bytes, BytesMut};
use ciborium::Value;
use mail_types::AccountId;

use super::cipher::{CHUNK, DataKey, Forged, PartCipher, PartName, TAG};
use super::frame::{FrameHeader, HEADER_LEN};

/// Octets of META's own salt.
const SALT: usize = 16;

/// What META says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Meta<'a> {
    /// 1: SHA-256 of HEAD and BODY.
    pub(crate) sha256: [u8; 32],
    /// 2: when it was received, milliseconds.
    pub(crate) received_ms: u64,
    /// 3: the envelope's sender.
    pub(crate) sender: Cow<'a, str>,
    /// 4: how it came.
    pub(crate) source: Cow<'a, str>,
    /// 5: the copies.
    pub(crate) copies: Vec<MetaCopy<'a>>,
    /// 6: SHA-256 of the message as it came: a redelivered message is known by it.
    pub(crate) sha256_received: [u8; 32],
}

/// One copy in META.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MetaCopy<'a> {
    /// Its ordinal in the segment that the frame was first written in: with that segment's uuid, its guid.
    pub(crate) ordinal: u32,
    /// Whose maildrop.
    pub(crate) account: AccountId,
    /// The RCPT address as given.
    pub(crate) address: Cow<'a, str>,
    /// The copy's own first lines, where the frame is shared.
    pub(crate) prefix: Option<Cow<'a, str>>,
    /// Another server's unique-id.
    pub(crate) legacy_id: Option<Cow<'a, str>>,
    /// Its place in the maildrop's order: known only to who writes a frame after its commit.
    pub(crate) uid: Option<i64>,
}

impl Meta<'_> {
    /// As CBOR.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let text = |text: &str| Value::Text(text.to_owned());
        let optional = |value: Option<&str>| value.map_or(Value::Null, text);
        let copies = self.copies.iter().map(|copy| {
            Value::Array(vec![
                Value::from(copy.ordinal),
                Value::from(copy.account.0),
                text(&copy.address),
                optional(copy.prefix.as_deref()),
                optional(copy.legacy_id.as_deref()),
                copy.uid.map_or(Value::Null, Value::from),
            ])
        });
        let map = Value::Map(vec![
            (1.into(), Value::Bytes(self.sha256.to_vec())),
            (2.into(), self.received_ms.into()),
            (3.into(), text(&self.sender)),
            (4.into(), text(&self.source)),
            (5.into(), Value::Array(copies.collect())),
            (6.into(), Value::Bytes(self.sha256_received.to_vec())),
        ]);
        let mut out = Vec::with_capacity(256);
        #[expect(clippy::expect_used, reason = "writing to a Vec cannot fail, and every value above has a CBOR form")]
        ciborium::into_writer(&map, &mut out).expect("CBOR into memory");
        out
    }

    /// From CBOR; keys that this release does not know are passed over.
    pub(crate) fn decode(octets: &[u8]) -> Option<Meta<'static>> {
        let map = ciborium::from_reader::<Value, _>(octets).ok()?.into_map().ok()?;
        let field = |key: i64| map.iter().find(|(k, _)| *k == Value::from(key)).map(|(_, value)| value);
        let digest = |key| <[u8; 32]>::try_from(field(key)?.as_bytes()?.as_slice()).ok();
        let text = |key| Some(Cow::Owned(field(key)?.as_text()?.to_owned()));
        Some(Meta {
            sha256: digest(1)?,
            received_ms: u64::try_from(field(2)?.as_integer()?).ok()?,
            sender: text(3)?,
            source: text(4)?,
            copies: field(5)?.as_array()?.iter().map(MetaCopy::decode).collect::<Option<_>>()?,
            sha256_received: digest(6)?,
        })
    }

    /// As the part of a frame: salt, then the encrypted CBOR. `fixed` are the frame's octets 0..64.
    pub(crate) fn seal(&self, key: &DataKey, salt: [u8; SALT], fixed: &[u8; 64]) -> Result<Vec<Bytes>, Forged> {
        let mut parts = vec![Bytes::copy_from_slice(&salt)];
        parts.extend(PartCipher::new(key, &salt, fixed, PartName::Meta)?.seal(&[self.encode().into()])?);
        Ok(parts)
    }

    /// Reads META out of the first octets of a frame, which must reach to its end. `key` is the one that the frame's header names;
    /// `None` where it is not encrypted. The error says what does not fit.
    pub(crate) fn open(
        header: &FrameHeader,
        frame: &[u8],
        key: Option<&DataKey>,
    ) -> Result<Meta<'static>, &'static str> {
        let stored =
            frame.get(HEADER_LEN..HEADER_LEN + header.meta.len as usize).ok_or("the frame ends inside META")?;
        if crc32c::crc32c(stored) != header.meta.crc {
            return Err("META is not what its checksum says");
        }
        let (salt, sealed) = stored.split_first_chunk::<SALT>().ok_or("META is cut off")?;
        let Some(key) = key else { return Meta::decode(sealed).ok_or("META cannot be read") };
        let mut cipher =
            PartCipher::new(key, salt, &header.fixed(), PartName::Meta).map_err(|_| "META's key cannot be derived")?;
        let mut plain = BytesMut::with_capacity(sealed.len());
        let mut chunks = sealed.chunks(CHUNK + TAG).peekable();
        while let Some(chunk) = chunks.next() {
            let last = chunks.peek().is_none();
            plain.put_slice(&cipher.open(chunk.into(), last).map_err(|_| "META does not open")?);
        }
        Meta::decode(&plain).ok_or("META cannot be read")
    }
}

impl MetaCopy<'_> {
    fn decode(value: &Value) -> Option<MetaCopy<'static>> {
        let [ordinal, account, address, prefix, legacy_id, uid, ..] = value.as_array()?.as_slice() else { return None };
        let optional = |value: &Value| match value {
            Value::Null => Some(None),
            Value::Text(text) => Some(Some(Cow::Owned(text.clone()))),
            _ => None,
        };
        Some(MetaCopy {
            ordinal: u32::try_from(ordinal.as_integer()?).ok()?,
            account: AccountId(i64::try_from(account.as_integer()?).ok()?),
            address: Cow::Owned(address.as_text()?.to_owned()),
            prefix: optional(prefix)?,
            legacy_id: optional(legacy_id)?,
            uid: match uid {
                Value::Null => None,
                uid => Some(i64::try_from(uid.as_integer()?).ok()?),
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use mail_types::{Guid, TenantId};
    use zeroize::Zeroizing;

    use super::*;
    use crate::bodies::frame::{Codec, Stored, stored};

    fn meta(copies: u32) -> Meta<'static> {
        Meta {
            sha256: [1; 32],
            received_ms: 1_700_000_000_000,
            sender: "".into(),
            source: "LMTP".into(),
            copies: (0..copies)
                .map(|ordinal| MetaCopy {
                    ordinal,
                    account: AccountId(9),
                    address: "a@b.test".into(),
                    prefix: (ordinal > 0).then(|| "Return-Path: <>\r\n".into()),
                    legacy_id: (ordinal > 1).then(|| "old-7".into()),
                    uid: (ordinal > 2).then_some(-1),
                })
                .collect(),
            sha256_received: [2; 32],
        }
    }

    fn header(meta: &[Bytes]) -> FrameHeader {
        FrameHeader {
            traits: 0,
            tenant: TenantId(7),
            key_version: 1,
            head_codec: Codec::None,
            body_codec: Codec::None,
            head_octets: 0,
            body_octets: 0,
            body_lines: 0,
            guid: Guid::from_u128(5),
            salt: [3; 16],
            meta: stored(meta),
            head: Stored::default(),
            body: Stored::default(),
        }
    }

    #[test]
    fn meta_reads_as_it_was_written() {
        // The last one takes more than a chunk.
        for copies in [0, 1, 4, 5_000] {
            let (meta, key) = (meta(copies), Zeroizing::new([4; 32]));
            let parts = meta.seal(&key, [6; SALT], &header(&[]).fixed()).unwrap();
            let header = header(&parts);
            let frame = [header.encode().to_vec(), parts.concat()].concat();
            assert_eq!(Meta::open(&header, &frame, Some(&key)), Ok(meta.clone()));
            assert!(Meta::open(&header, &frame[..frame.len() - 1], Some(&key)).is_err(), "cut off");
            assert!(Meta::open(&header, &frame, Some(&Zeroizing::new([5; 32]))).is_err(), "another key");
            let mut changed = frame.clone();
            changed[HEADER_LEN + SALT] ^= 1;
            assert!(Meta::open(&header, &changed, Some(&key)).is_err(), "changed");
        }
        assert_eq!(Meta::decode(b"hunter2"), None);
    }
}
