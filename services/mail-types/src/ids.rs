//! Identifiers. Internal ones are integers that never leave the service; what the outside world sees are natural keys
//! ([`TenantSlug`], addresses) and the unique-id made from a [`Guid`].

use std::fmt;

use crate::{Invalid, Random, Timestamp, UniqueId};

macro_rules! integer_id {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

integer_id!(
    /// A tenant, inside the service.
    TenantId(i32)
);
integer_id!(
    /// A domain, inside the service.
    DomainId(i64)
);
integer_id!(
    /// An account, inside the service; unique in the whole database.
    AccountId(i64)
);
integer_id!(
    /// A credential, inside the service; the API shows it as `cred_N`.
    CredentialId(i64)
);

/// A tenant's natural key: 1 to 63 of `a-z`, `0-9` and `-`, not beginning with `-`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TenantSlug(Box<str>);

impl TenantSlug {
    /// Parses a slug.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let what = "tenant slug";
        if text.is_empty() || text.len() > 63 {
            return Err(Invalid { what, rule: "must have 1 to 63 characters" });
        }
        if text.starts_with('-') || !text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-') {
            return Err(Invalid { what, rule: "must consist of a-z, 0-9 and -, and must not begin with -" });
        }
        Ok(Self(text.into()))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TenantSlug {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The bits of a UUIDv7 that number the copies inside a segment: a segment's own uuid has them 0.
const ORDINAL_BITS: u32 = 20;

/// One segment: a UUIDv7 (RFC 9562 section 5.7) whose low 20 bits are 0.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SegmentUuid(u128);

impl SegmentUuid {
    /// A new one: 48 bits of time, 54 of chance.
    pub fn new(now: Timestamp, random: &dyn Random) -> Self {
        let chance = u128::from_be_bytes(random.octets16());
        let time = u128::from(now.unix_ms() & 0xffff_ffff_ffff) << 80;
        let rand_a = (chance >> 64) & 0x0fff;
        let rand_b = chance & 0x3fff_ffff_ffff_ffff;
        let uuid = time | (0x7 << 76) | (rand_a << 64) | (0x2 << 62) | rand_b;
        Self(uuid & !((1 << ORDINAL_BITS) - 1))
    }

    /// From the database or an object's name; `None` if the ordinal's bits are not 0.
    pub fn from_u128(uuid: u128) -> Option<Self> {
        (uuid & ((1 << ORDINAL_BITS) - 1) == 0).then_some(Self(uuid))
    }

    /// The 128 bits.
    pub const fn as_u128(self) -> u128 {
        self.0
    }

    /// When it was made, by its writer's clock.
    pub const fn made_at(self) -> Timestamp {
        Timestamp::from_unix_ms((self.0 >> 80) as u64)
    }

    /// The guid of the copy with this ordinal; `None` past 2^20.
    pub fn guid(self, ordinal: u32) -> Option<Guid> {
        (ordinal < 1 << ORDINAL_BITS).then_some(Guid(self.0 | u128::from(ordinal)))
    }
}

impl fmt::Display for SegmentUuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for SegmentUuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SegmentUuid({:032x})", self.0)
    }
}

/// One delivered copy, for ever: the uuid of the segment it was first written in plus the copy's ordinal there.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Guid(u128);

impl Guid {
    /// From the database.
    pub const fn from_u128(guid: u128) -> Self {
        Self(guid)
    }

    /// The 128 bits.
    pub const fn as_u128(self) -> u128 {
        self.0
    }

    /// When it was received: the time of its first segment's uuid.
    pub const fn received_at(self) -> Timestamp {
        Timestamp::from_unix_ms((self.0 >> 80) as u64)
    }

    /// The unique-id: 26 characters of Crockford's base32, lower-case, most significant first.
    pub fn unique_id(self) -> UniqueId {
        const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
        let text: String = (0..26)
            .rev()
            .filter_map(|place| ALPHABET.get((self.0 >> (place * 5)) as usize & 31).copied().map(char::from))
            .collect();
        #[expect(clippy::expect_used, reason = "26 characters of the alphabet above are a unique-id")]
        UniqueId::parse(&text).expect("base32 is printable")
    }

    /// The guid whose unique-id this is, if it is one of ours.
    pub fn from_unique_id(text: &str) -> Option<Self> {
        if text.len() != 26 {
            return None;
        }
        let mut bits: u128 = 0;
        for (place, c) in text.bytes().enumerate() {
            let digit = b"0123456789abcdefghjkmnpqrstvwxyz".iter().position(|&d| d == c)?;
            if place == 0 && digit > 7 {
                return None;
            }
            bits = bits << 5 | u128::try_from(digit).ok()?;
        }
        Some(Self(bits))
    }
}

impl fmt::Debug for Guid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Guid({:032x})", self.0)
    }
}

/// One session of a client, for logs, "undo this session" and repeated QUITs: 128 random bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SessionUuid(u128);

impl SessionUuid {
    /// A new one, as a UUIDv4.
    pub fn new(random: &dyn Random) -> Self {
        let chance = u128::from_be_bytes(random.octets16());
        Self(chance & !(0xf << 76) & !(0x3 << 62) | (0x4 << 76) | (0x2 << 62))
    }

    /// From the database.
    pub const fn from_u128(uuid: u128) -> Self {
        Self(uuid)
    }

    /// From its 32 hexadecimal digits, lower-case.
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.len() == 32 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        if digits { u128::from_str_radix(text, 16).ok().map(Self) } else { None }
    }

    /// The 128 bits.
    pub const fn as_u128(self) -> u128 {
        self.0
    }
}

impl fmt::Display for SessionUuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Ones;
    impl Random for Ones {
        fn fill(&self, buffer: &mut [u8]) {
            buffer.fill(0xff);
        }
    }

    #[test]
    fn a_segment_uuid_is_version_7_with_room_for_ordinals() {
        let segment = SegmentUuid::new(Timestamp::from_unix_ms(0x0123_4567_89ab), &Ones);
        assert_eq!(segment.to_string(), "0123456789ab7fffbffffffffff00000");
        assert_eq!(segment.made_at(), Timestamp::from_unix_ms(0x0123_4567_89ab));
        assert_eq!(segment.guid(5).map(Guid::as_u128), Some(segment.as_u128() | 5));
        assert_eq!(segment.guid(1 << 20), None);
        assert_eq!(SegmentUuid::from_u128(segment.as_u128() | 1), None);
    }

    #[test]
    fn a_unique_id_leads_back_to_its_guid() {
        for bits in [0, 1, u128::MAX, 0x0123_4567_89ab_7fff_bfff_ffff_fff0_0005] {
            let unique_id = Guid::from_u128(bits).unique_id();
            assert_eq!(unique_id.as_str().len(), 26);
            assert_eq!(Guid::from_unique_id(unique_id.as_str()), Some(Guid::from_u128(bits)));
        }
        assert_eq!(Guid::from_unique_id("zzzzzzzzzzzzzzzzzzzzzzzzzz"), None, "over 128 bits");
        assert_eq!(Guid::from_unique_id("00000000000000000000000oil"), None, "letters outside the alphabet");
    }

    #[test]
    fn slugs_are_url_safe() {
        for good in ["a", "acme", "0-1", &"a".repeat(63)] {
            assert!(TenantSlug::parse(good).is_ok(), "{good}");
        }
        for bad in ["", "-a", "A", "a_b", "a b", &"a".repeat(64)] {
            assert!(TenantSlug::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn session_uuids_are_version_4() {
        let session = SessionUuid::new(&Ones);
        assert_eq!(session.to_string(), "ffffffffffff4fffbfffffffffffffff");
        assert_eq!(SessionUuid::parse(&session.to_string()), Some(session));
        for bad in ["", "f", "FFFFFFFFFFFF4FFFBFFFFFFFFFFFFFFF", "+fffffffffff4fffbfffffffffffffff"] {
            assert_eq!(SessionUuid::parse(bad), None, "{bad}");
        }
    }
}
