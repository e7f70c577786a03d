//! One part of a frame, from stored octets to plain ones: decrypted chunk by chunk, decompressed as it comes, in bounded memory.

use bytes::{Bytes, BytesMut};
use zstd::stream::raw::{Decoder, InBuffer, Operation as _, OutBuffer};

use crate::bodies::cipher::{CHUNK, DataKey, PartCipher, PartName, TAG};
use crate::bodies::frame::{Codec, FrameHeader};

/// Plain octets handed out at a time where a part is compressed.
const PIECE: usize = 64 * 1024;

/// What a part does with what was read.
pub(crate) enum Wants {
    /// Plain octets.
    Piece(Bytes),
    /// At least so many stored octets in the buffer before it can go on.
    More(usize),
    /// It is complete and was found whole.
    Nothing,
}

pub(crate) struct PartReader {
    cipher: Option<PartCipher>,
    decoder: Option<Unzstd>,
    /// Stored octets that have not been taken yet.
    stored_left: usize,
    crc: u32,
    expected_crc: u32,
    /// Plain octets that have not been handed out yet: no part may grow past what its header says.
    plain_left: usize,
    begun: bool,
}

impl PartReader {
    pub(crate) fn new(header: &FrameHeader, name: PartName, key: Option<&DataKey>) -> Result<Self, &'static str> {
        let (stored, codec, plain) = match name {
            PartName::Body => (header.body, header.body_codec, header.body_octets),
            _ => (header.head, header.head_codec, header.head_octets),
        };
        let cipher = key
            .map(|key| PartCipher::new(key, &header.salt, &header.fixed(), name))
            .transpose()
            .map_err(|_| "the part's key cannot be derived")?;
        let decoder = match codec {
            Codec::None => None,
            Codec::Zstd => Some(Unzstd::new().map_err(|_| "no memory for the decompressor")?),
        };
        Ok(Self {
            cipher,
            decoder,
            stored_left: stored.len as usize,
            crc: 0,
            expected_crc: stored.crc,
            plain_left: plain as usize,
            begun: false,
        })
    }

    /// Takes stored octets from the buffer. An error says what does not fit.
    pub(crate) fn take(&mut self, buffer: &mut BytesMut) -> Result<Wants, &'static str> {
        loop {
            if let Some(decoder) = &mut self.decoder
                && let Some(piece) = decoder.pull(self.plain_left)?
            {
                return self.hand_out(piece);
            }
            // An encrypted part has a chunk even where it is empty.
            if self.stored_left == 0 && (self.begun || self.cipher.is_none()) {
                return if self.plain_left == 0 {
                    Ok(Wants::Nothing)
                } else {
                    Err("a part is shorter than its header says")
                };
            }
            let size = match &self.cipher {
                Some(_) => self.stored_left.min(CHUNK + TAG),
                None => self.stored_left.min(buffer.len().max(1)),
            };
            if buffer.len() < size {
                return Ok(Wants::More(size));
            }
            let chunk = buffer.split_to(size);
            self.begun = true;
            self.stored_left -= size;
            self.crc = crc32c::crc32c_append(self.crc, &chunk);
            if self.stored_left == 0 && self.crc != self.expected_crc {
                return Err("a part is not what its checksum says");
            }
            let plain = match &mut self.cipher {
                Some(cipher) => cipher.open(chunk, self.stored_left == 0).map_err(|_| "a chunk does not open")?,
                None => chunk.freeze(),
            };
            match &mut self.decoder {
                Some(decoder) => decoder.push(plain),
                None if plain.is_empty() => {}
                None => return self.hand_out(plain),
            }
        }
    }

    fn hand_out(&mut self, piece: Bytes) -> Result<Wants, &'static str> {
        self.plain_left = self.plain_left.checked_sub(piece.len()).ok_or("a part is longer than its header says")?;
        Ok(Wants::Piece(piece))
    }
}

/// A decompressor that is fed and asked.
struct Unzstd {
    decoder: Decoder<'static>,
    input: Bytes,
}

impl Unzstd {
    fn new() -> std::io::Result<Self> {
        Ok(Self { decoder: Decoder::new()?, input: Bytes::new() })
    }

    /// Called only when all earlier input is used.
    fn push(&mut self, input: Bytes) {
        self.input = input;
    }

    /// Plain octets, or `None` when more input is needed. `left` bounds them.
    fn pull(&mut self, left: usize) -> Result<Option<Bytes>, &'static str> {
        // One octet more than may come, so that too many are noticed.
        let mut out = vec![0; PIECE.min(left + 1)];
        loop {
            let mut output = OutBuffer::around(out.as_mut_slice());
            let mut input = InBuffer::around(&self.input);
            self.decoder.run(&mut input, &mut output).map_err(|_| "a part does not decompress")?;
            let (used, written) = (input.pos(), output.pos());
            self.input = self.input.slice(used..);
            if written > 0 {
                out.truncate(written);
                return Ok(Some(out.into()));
            }
            if self.input.is_empty() {
                return Ok(None);
            }
            if used == 0 {
                return Err("a part does not decompress");
            }
        }
    }
}
