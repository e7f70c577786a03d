//! How a part of a frame is encrypted: AES-256-GCM in chunks of 64 KiB (the STREAM construction), under a key of its own.
//!
//! The key of a part is `HKDF-SHA256(ikm = data key, salt = salt, info = "restante/frame/1/" and the part's letter)`. The nonce is
//! seven zero octets, the chunk's number (u32, big-endian) and 1 for the last chunk; the additional data is the frame's header
//! 0..64 and the letter. So chunks cannot be cut, repeated or reordered, nor parts, frames or tenants swapped, without notice. An
//! empty part is one empty last chunk.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::hkdf::{HKDF_SHA256, Salt};
use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use zeroize::Zeroizing;

/// Plain octets of a chunk.
pub(crate) const CHUNK: usize = 1 << 16;
/// What a chunk is longer by when it is stored.
pub(crate) const TAG: usize = 16;

/// A tenant's data key.
pub(crate) type DataKey = Zeroizing<[u8; 32]>;

/// Which part of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PartName {
    Meta,
    Head,
    Body,
}

impl PartName {
    const fn letter(self) -> u8 {
        match self {
            Self::Meta => b'M',
            Self::Head => b'H',
            Self::Body => b'B',
        }
    }
}

/// A chunk is not what was written, or not here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Forged;

/// The key of one part, counting its chunks.
pub(crate) struct PartCipher {
    key: LessSafeKey,
    aad: [u8; 65],
    number: u32,
}

impl PartCipher {
    /// `header` is the frame's header 0..64.
    pub(crate) fn new(data_key: &DataKey, salt: &[u8; 16], header: &[u8; 64], part: PartName) -> Result<Self, Forged> {
        let info = [b"restante/frame/1/".as_slice(), &[part.letter()]];
        let derived = Salt::new(HKDF_SHA256, salt).extract(data_key.as_slice());
        let okm = derived.expand(&info, &AES_256_GCM).map_err(|_| Forged)?;
        let key = LessSafeKey::new(UnboundKey::from(okm));
        let mut aad = [0; 65];
        let (head, letter) = aad.split_at_mut(64);
        head.copy_from_slice(header);
        letter.fill(part.letter());
        Ok(Self { key, aad, number: 0 })
    }

    fn nonce(&mut self, last: bool) -> Nonce {
        let mut nonce = [0; 12];
        let mut fields = nonce.as_mut_slice();
        fields.put_bytes(0, 7);
        fields.put_u32(self.number);
        fields.put_u8(last.into());
        self.number = self.number.wrapping_add(1);
        Nonce::assume_unique_for_key(nonce)
    }

    /// Encrypts a whole part.
    pub(crate) fn seal(mut self, plain: &[Bytes]) -> Result<Vec<Bytes>, Forged> {
        let mut left: usize = plain.iter().map(Bytes::len).sum();
        let mut pieces = plain.iter();
        let mut piece: &[u8] = &[];
        let mut chunks = Vec::with_capacity(left / CHUNK + 1);
        loop {
            let size = left.min(CHUNK);
            let mut chunk = BytesMut::with_capacity(size + TAG);
            while chunk.len() < size {
                if piece.is_empty() {
                    let Some(next) = pieces.next() else { return Err(Forged) };
                    piece = next;
                    continue;
                }
                let here = piece.len().min(size - chunk.len());
                chunk.put_slice(piece.get(..here).unwrap_or_default());
                piece.advance(here);
            }
            left -= size;
            let nonce = self.nonce(left == 0);
            self.key
                .seal_in_place_append_tag(nonce, Aad::from(self.aad), &mut ChunkBuffer(&mut chunk))
                .map_err(|_| Forged)?;
            chunks.push(chunk.freeze());
            if left == 0 {
                return Ok(chunks);
            }
        }
    }

    /// Decrypts the next chunk.
    pub(crate) fn open(&mut self, mut chunk: BytesMut, last: bool) -> Result<Bytes, Forged> {
        let nonce = self.nonce(last);
        let plain = self.key.open_in_place(nonce, Aad::from(self.aad), &mut chunk).map_err(|_| Forged)?.len();
        chunk.truncate(plain);
        Ok(chunk.freeze())
    }
}

/// What `seal_in_place_append_tag` wants: something to extend.
struct ChunkBuffer<'a>(&'a mut BytesMut);

impl AsMut<[u8]> for ChunkBuffer<'_> {
    fn as_mut(&mut self) -> &mut [u8] {
        self.0
    }
}

impl<'b> Extend<&'b u8> for ChunkBuffer<'_> {
    fn extend<I: IntoIterator<Item = &'b u8>>(&mut self, octets: I) {
        self.0.extend(octets);
    }
}

/// Wraps a data key under a master key: `RKEY`, version, the master key's id, nonce, AES-256-GCM of the 32 octets. The additional
/// data is tenant and version, so that a wrapped key cannot serve another.
pub(crate) fn wrap_key(
    data_key: &DataKey,
    master: (&str, &[u8; 32]),
    nonce: [u8; 12],
    tenant: i32,
    version: u32,
) -> Result<Vec<u8>, Forged> {
    let (id, master) = master;
    let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, master).map_err(|_| Forged)?);
    let mut sealed = data_key.to_vec();
    key.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::from(key_aad(tenant, version)), &mut sealed)
        .map_err(|_| Forged)?;
    let mut out = Vec::with_capacity(20 + id.len() + sealed.len());
    out.put_slice(b"RKEY");
    out.put_u16_le(1);
    out.put_u16_le(u16::try_from(id.len()).map_err(|_| Forged)?);
    out.put_slice(id.as_bytes());
    out.put_slice(&nonce);
    out.put_slice(&sealed);
    Ok(out)
}

/// A wrapped key, read but not opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct WrappedKey<'a> {
    pub(crate) master_key_id: &'a str,
    nonce: [u8; 12],
    sealed: &'a [u8],
}

impl<'a> WrappedKey<'a> {
    pub(crate) fn parse(octets: &'a [u8]) -> Option<Self> {
        let rest = octets.strip_prefix(b"RKEY\x01\x00")?;
        let (length, rest) = rest.split_first_chunk::<2>()?;
        let (id, rest) = rest.split_at_checked(u16::from_le_bytes(*length).into())?;
        let (nonce, sealed) = rest.split_first_chunk::<12>()?;
        Some(Self { master_key_id: std::str::from_utf8(id).ok()?, nonce: *nonce, sealed })
    }

    pub(crate) fn open(&self, master: &[u8; 32], tenant: i32, version: u32) -> Result<DataKey, Forged> {
        let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, master).map_err(|_| Forged)?);
        let mut octets = Zeroizing::new(self.sealed.to_vec());
        let plain = key
            .open_in_place(Nonce::assume_unique_for_key(self.nonce), Aad::from(key_aad(tenant, version)), &mut octets)
            .map_err(|_| Forged)?;
        <[u8; 32]>::try_from(&*plain).map(Zeroizing::new).map_err(|_| Forged)
    }
}

fn key_aad(tenant: i32, version: u32) -> [u8; 8] {
    let mut aad = [0; 8];
    let mut fields = aad.as_mut_slice();
    fields.put_i32_le(tenant);
    fields.put_u32_le(version);
    aad
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cipher(part: PartName, header: u8) -> PartCipher {
        PartCipher::new(&Zeroizing::new([7; 32]), &[1; 16], &[header; 64], part).unwrap()
    }

    fn seal(plain: &[u8]) -> Vec<Bytes> {
        let pieces: Vec<Bytes> = plain.chunks(1000).map(Bytes::copy_from_slice).collect();
        cipher(PartName::Body, 3).seal(&pieces).unwrap()
    }

    fn open(mut cipher: PartCipher, chunks: &[Bytes]) -> Result<Vec<u8>, Forged> {
        let mut plain = Vec::new();
        for (n, chunk) in chunks.iter().enumerate() {
            plain.extend_from_slice(&cipher.open(BytesMut::from(chunk.as_ref()), n + 1 == chunks.len())?);
        }
        Ok(plain)
    }

    fn sealed_len(plain: usize) -> usize {
        plain + plain.div_ceil(CHUNK).max(1) * TAG
    }

    #[test]
    fn what_is_sealed_opens() {
        for len in [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK] {
            let plain: Vec<u8> = (0..len).map(|n| n as u8).collect();
            let chunks = seal(&plain);
            assert_eq!(chunks.iter().map(Bytes::len).sum::<usize>(), sealed_len(len));
            assert_eq!(open(cipher(PartName::Body, 3), &chunks).unwrap(), plain);
        }
    }

    #[test]
    fn cutting_reordering_and_swapping_are_noticed() {
        let chunks = seal(&vec![5; 3 * CHUNK]);
        assert!(open(cipher(PartName::Body, 3), &chunks[..2]).is_err(), "cut");
        assert!(
            open(cipher(PartName::Body, 3), &[chunks[1].clone(), chunks[0].clone(), chunks[2].clone()]).is_err(),
            "reordered"
        );
        assert!(open(cipher(PartName::Head, 3), &chunks).is_err(), "another part");
        assert!(open(cipher(PartName::Body, 4), &chunks).is_err(), "another frame");
        let mut changed = BytesMut::from(chunks[0].as_ref());
        changed[10] ^= 1;
        assert!(open(cipher(PartName::Body, 3), &[changed.freeze(), chunks[1].clone(), chunks[2].clone()]).is_err());
    }

    #[test]
    fn a_wrapped_key_serves_its_tenant_and_version_only() {
        let key = Zeroizing::new([9; 32]);
        let octets = wrap_key(&key, ("k1", &[1; 32]), [2; 12], 7, 1).unwrap();
        let wrapped = WrappedKey::parse(&octets).unwrap();
        assert_eq!(wrapped.master_key_id, "k1");
        assert_eq!(*wrapped.open(&[1; 32], 7, 1).unwrap(), *key);
        assert!(wrapped.open(&[1; 32], 8, 1).is_err());
        assert!(wrapped.open(&[1; 32], 7, 2).is_err());
        assert!(wrapped.open(&[2; 32], 7, 1).is_err());
        assert!(WrappedKey::parse(&octets[..10]).is_none());
        assert!(WrappedKey::parse(b"hunter2").is_none());
    }
}
