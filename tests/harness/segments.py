"""A reader of the bucket that shares nothing with Restante: it was written from the published layouts, not from the program.

With a bucket's octets and the master keys alone it yields every message. It is strict: what the layout does not allow is
`Damaged`, also where a reader could have guessed what was meant.
"""

from __future__ import annotations

import base64
import datetime
import hashlib
import io
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cbor2
import zstandard
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

CHUNK = 65_536
TAG = 16
HEADER, FRAME_HEADER, ENTRY, TRAILER = 64, 96, 64, 32
# A frame's octets 0..64 are bound to every part of it and never change.
FIXED = 64


class Damaged(ValueError):
    """The octets are not what the layout says."""


def need(condition: object, what: str) -> None:
    if not condition:
        raise Damaged(what)


# --- CRC-32C (Castagnoli), reflected, as in RFC 3720 appendix B.4


def _table() -> tuple[int, ...]:
    rows = []
    for octet in range(256):
        for _ in range(8):
            octet = octet >> 1 ^ (0x82F6_3B78 if octet & 1 else 0)
        rows.append(octet)
    return tuple(rows)


_CRC = _table()


def crc32c(octets: bytes) -> int:
    table, crc = _CRC, 0xFFFF_FFFF
    for octet in octets:
        crc = table[(crc ^ octet) & 0xFF] ^ crc >> 8
    return crc ^ 0xFFFF_FFFF


# --- keys


def master_keys(text: str) -> dict[str, bytes]:
    """`ID:BASE64,ID:BASE64…` as the configuration has it."""
    entries = (entry.strip().partition(":") for entry in text.split(","))
    return {name: base64.b64decode(key, validate=True) for name, _, key in entries}


def unwrap(octets: bytes, masters: Mapping[str, bytes], tenant: int, version: int) -> bytes:
    """The data key in a wrapped key object."""
    need(octets[:4] == b"RKEY" and len(octets) >= 8, "no wrapped key")
    release, length = struct.unpack_from("<HH", octets, 4)
    need(release == 1, f"a wrapped key of version {release}")
    name, nonce, sealed = octets[8 : 8 + length], octets[8 + length : 20 + length], octets[20 + length :]
    need(len(sealed) == 32 + TAG, "a wrapped key of another length")
    master = masters.get(name.decode())
    need(master is not None, f"master key {name!r} is not known")
    try:
        return AESGCM(master).decrypt(nonce, sealed, struct.pack("<iI", tenant, version))
    except InvalidTag:
        raise Damaged(f"the key of tenant {tenant} does not open") from None


def _open_part(stored: bytes, data_key: bytes, salt: bytes, fixed: bytes, letter: bytes) -> bytes:
    """The plain octets of a part: chunks of 65 536, each with a tag, numbered, the last one marked."""
    key = HKDF(algorithm=SHA256(), length=32, salt=salt, info=b"restante/frame/1/" + letter).derive(data_key)
    cipher, plain = AESGCM(key), []
    step = CHUNK + TAG
    # An empty part is one empty last chunk; so there is always one.
    count = max(1, -(-len(stored) // step))
    for number in range(count):
        chunk = stored[number * step : (number + 1) * step]
        nonce = bytes(7) + struct.pack(">IB", number, number == count - 1)
        try:
            plain.append(cipher.decrypt(nonce, chunk, fixed + letter))
        except InvalidTag:
            raise Damaged(f"chunk {number} of part {letter.decode()} does not open") from None
    need(len(plain) == 1 or plain[-1], "a part ends with an empty chunk")
    return b"".join(plain)


def _unpack(octets: bytes, codec: int, plain: int) -> bytes:
    if codec == 1:
        with zstandard.ZstdDecompressor().stream_reader(io.BytesIO(octets), read_across_frames=True) as reader:
            octets = reader.read(plain + 1)
    need(len(octets) == plain, "a part is not as long as its header says")
    return octets


# --- what a segment holds


@dataclass(frozen=True)
class Copy:
    """One delivered copy of a frame, as META has it."""

    ordinal: int
    account: int
    address: str
    prefix: str | None
    legacy_id: str | None
    uid: int | None


@dataclass(frozen=True)
class Meta:
    sha256: bytes
    received_ms: int
    sender: str
    source: str
    copies: tuple[Copy, ...]
    sha256_received: bytes


@dataclass(frozen=True)
class Frame:
    """A frame, still as stored; `head`, `body` and `meta` open it."""

    offset: int
    length: int
    traits: int
    tenant: int
    key_version: int
    cipher: int
    head_codec: int
    body_codec: int
    head_octets: int
    body_octets: int
    body_lines: int
    guid: int
    salt: bytes = field(repr=False)
    fixed: bytes = field(repr=False)
    stored_meta: bytes = field(repr=False)
    stored_head: bytes = field(repr=False)
    stored_body: bytes = field(repr=False)

    @property
    def head_len(self) -> int:
        """Octets from the frame's beginning that TOP n 0 needs."""
        return FRAME_HEADER + len(self.stored_meta) + len(self.stored_head)

    def _part(self, stored: bytes, data_key: bytes, salt: bytes, letter: bytes) -> bytes:
        return _open_part(stored, data_key, salt, self.fixed, letter) if self.cipher else stored

    def head(self, data_key: bytes) -> bytes:
        plain = self._part(self.stored_head, data_key, self.salt, b"H")
        return _unpack(plain, self.head_codec, self.head_octets)

    def body(self, data_key: bytes) -> bytes:
        plain = self._part(self.stored_body, data_key, self.salt, b"B")
        return _unpack(plain, self.body_codec, self.body_octets)

    def meta(self, data_key: bytes) -> Meta:
        """META has a salt of its own before it, because it may be written anew."""
        salt, stored = (self.stored_meta[:16], self.stored_meta[16:]) if self.cipher else (b"", self.stored_meta)
        plain = self._part(stored, data_key, salt, b"M")
        fields: dict[int, Any] = cbor2.loads(plain)
        need(list(fields) == [1, 2, 3, 4, 5, 6], f"META has the keys {list(fields)}")
        copies = tuple(Copy(*each) for each in fields[5])
        meta = Meta(fields[1], fields[2], fields[3], fields[4], copies, fields[6])
        need(len(meta.sha256) == len(meta.sha256_received) == 32, "a digest of another length")
        return meta


def _frame(octets: bytes, offset: int) -> Frame:
    header = octets[offset : offset + FRAME_HEADER]
    need(len(header) == FRAME_HEADER and header[:4] == b"RFR1", f"no frame begins at {offset}")
    need(crc32c(header[:92]) == struct.unpack_from("<I", header, 92)[0], "a frame's header is damaged")
    length, traits, tenant, key_version = struct.unpack_from("<HHiI", header, 4)
    cipher, head_codec, body_codec, chunk = header[16:20]
    need(length == FRAME_HEADER and chunk == 16 and header[88:92] == bytes(4), "a frame's header of another form")
    need(cipher in (0, 1) and head_codec in (0, 1) and body_codec in (0, 1), "an unknown cipher or codec")
    head_octets, body_octets, body_lines = struct.unpack_from("<III", header, 20)
    lengths, sums = struct.unpack_from("<III", header, 64), struct.unpack_from("<III", header, 76)
    parts, at = [], offset + FRAME_HEADER
    for size, expected in zip(lengths, sums, strict=True):
        part = octets[at : at + size]
        need(len(part) == size and crc32c(part) == expected, f"a part of the frame at {offset} is damaged")
        parts.append(part)
        at += size
    return Frame(
        offset, at - offset, traits, tenant, key_version, cipher, head_codec, body_codec, head_octets, body_octets,
        body_lines, int.from_bytes(header[32:48], "big"), header[48:64], header[:FIXED], *parts,
    )  # fmt: skip


@dataclass(frozen=True)
class Segment:
    uuid: int
    compacted: bool
    unix_ms: int
    incarnation: int
    frames: tuple[Frame, ...]

    @property
    def name(self) -> str:
        """Its key in the bucket: the hour is that of the UUIDv7's time."""
        made = datetime.datetime.fromtimestamp((self.uuid >> 80) / 1000, tz=datetime.UTC)
        return f"v1/seg/{made:%Y%m%d%H}/{self.uuid:032x}"


def _check_entry(entry: bytes, frame: Frame, uuid: int, compacted: bool) -> None:
    need(crc32c(entry[:60]) == struct.unpack_from("<I", entry, 60)[0], "an entry of the footer is damaged")
    offset, length, head_len, tenant, key_version, traits, copies = struct.unpack_from("<IIIiIHH", entry)
    guid, (octets, ordinal) = int.from_bytes(entry[24:40], "big"), struct.unpack_from("<II", entry, 40)
    said = (offset, length, head_len, tenant, key_version, traits, guid, octets)
    found = (
        frame.offset, frame.length, frame.head_len, frame.tenant, frame.key_version, frame.traits, frame.guid,
        frame.head_octets + frame.body_octets,
    )  # fmt: skip
    need(said == found, f"the footer says {said}, the frame {found}")
    need(copies > 0 and entry[48:60] == bytes(12), "an entry of another form")
    need(compacted or guid == uuid + ordinal, "a guid that is not segment and ordinal")


def parse(octets: bytes) -> Segment:
    """Reads a whole object and checks everything that needs no key."""
    header = octets[:HEADER]
    need(len(header) == HEADER and header[:8] == b"RESTSEG1", "no segment")
    need(crc32c(header[:60]) == struct.unpack_from("<I", header, 60)[0], "the segment's header is damaged")
    version, length, flags = struct.unpack_from("<HHI", header, 8)
    need((version, length) == (1, HEADER) and flags in (0, 1) and header[56:60] == bytes(4), "another form of header")
    uuid, (unix_ms,) = int.from_bytes(header[16:32], "big"), struct.unpack_from("<Q", header, 32)
    need(uuid >> 76 & 0xF == 7 and uuid >> 62 & 3 == 2 and uuid & 0xFFFFF == 0, "no UUIDv7 with 20 zero bits")

    trailer = octets[-TRAILER:]
    at, entries, size, crc, version = struct.unpack_from("<QIIII", trailer)
    need(trailer[24:] == b"RESTEND1" and version == 1, "no trailer")
    footer = octets[at : len(octets) - TRAILER]
    need(len(footer) == size == entries * ENTRY and crc32c(footer) == crc, "the footer is damaged")

    frames, offset = [], HEADER
    while offset < at:
        frames.append(_frame(octets, offset))
        offset += frames[-1].length
    need(offset == at and len(frames) == entries, "the frames do not fill the segment")
    for number, frame in enumerate(frames):
        _check_entry(footer[number * ENTRY : (number + 1) * ENTRY], frame, uuid, bool(flags))
    return Segment(uuid, bool(flags), unix_ms, int.from_bytes(header[40:56], "big"), tuple(frames))


# --- a whole bucket


@dataclass(frozen=True)
class Message:
    """One copy as its owner's RETR sends it."""

    segment: Segment
    frame: Frame
    meta: Meta
    copy: Copy
    octets: bytes

    @property
    def unique_id(self) -> str:
        """The guid of this copy in Crockford's base32, or the one it brought along."""
        if self.copy.legacy_id is not None:
            return self.copy.legacy_id
        first = min(copy.ordinal for copy in self.meta.copies)
        guid = self.frame.guid + self.copy.ordinal - first
        return "".join("0123456789abcdefghjkmnpqrstvwxyz"[guid >> 5 * place & 31] for place in reversed(range(26)))


class Bucket:
    """A bucket in a directory, and the master keys."""

    def __init__(self, directory: Path, masters: Mapping[str, bytes]) -> None:
        self.directory = directory
        self.masters = masters
        self.keys: dict[tuple[int, int], bytes] = {}

    def data_key(self, frame: Frame) -> bytes:
        if not frame.cipher:
            return b""
        tenant, version = frame.tenant, frame.key_version
        if (tenant, version) not in self.keys:
            octets = (self.directory / f"v1/key/{tenant}/{version}").read_bytes()
            self.keys[tenant, version] = unwrap(octets, self.masters, tenant, version)
        return self.keys[tenant, version]

    def segments(self) -> Iterator[Segment]:
        """Every segment, oldest first; each has to lie where its uuid says."""
        for path in sorted((self.directory / "v1/seg").glob("*/*")):
            segment = parse(path.read_bytes())
            need(segment.name == str(path.relative_to(self.directory)), f"{path} holds {segment.name}")
            yield segment

    def messages(self) -> Iterator[Message]:
        for segment in self.segments():
            for frame in segment.frames:
                yield from self.copies(segment, frame)

    def copies(self, segment: Segment, frame: Frame) -> Iterator[Message]:
        key = self.data_key(frame)
        head, body, meta = frame.head(key), frame.body(key), frame.meta(key)
        need(hashlib.sha256(head + body).digest() == meta.sha256, "the message is not what META's digest says")
        need(head.endswith(b"\r\n") and body.count(b"\n") == frame.body_lines, "HEAD and BODY are cut elsewhere")
        for copy in meta.copies:
            yield Message(segment, frame, meta, copy, (copy.prefix or "").encode() + head + body)
