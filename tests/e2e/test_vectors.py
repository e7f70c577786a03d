"""The stored form of mail, read by a decoder that was written from the layouts alone: test vectors, and a real bucket."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

import corpus
from harness import segments
from harness.segments import Bucket, Damaged, Frame, Message, Meta
from harness.service import Embedded
from harness.tenants import new_tenant

VECTORS = Path(__file__).parents[1] / "vectors"
CONTENTS: list[dict[str, Any]] = json.loads((VECTORS / "contents.json").read_text())
MASTERS = segments.master_keys((VECTORS / "master-keys").read_text())


def bucket() -> Bucket:
    return Bucket(VECTORS / "bucket", MASTERS)


def octets_of(name: str) -> bytes:
    return (VECTORS / next(each["path"] for each in CONTENTS if each["name"] == name)).read_bytes()


def digest(octets: bytes) -> str:
    return hashlib.sha256(octets).hexdigest()


def described(frame: Frame, key: bytes) -> dict[str, Any]:
    """A frame in the words of contents.json."""
    names = ("offset", "length", "head_len", "tenant", "key_version", "traits", "head_codec", "body_codec", "head_octets", "body_octets", "body_lines")  # fmt: skip
    meta: Meta = frame.meta(key)
    return {
        **{name: getattr(frame, name) for name in names},
        "guid": f"{frame.guid:032x}",
        "head_sha256": digest(frame.head(key)),
        "body_sha256": digest(frame.body(key)),
        "meta": {
            "sha256": meta.sha256.hex(),
            "received_ms": meta.received_ms,
            "sender": meta.sender,
            "source": meta.source,
            "copies": [[c.ordinal, c.account, c.address, c.prefix, c.legacy_id, c.uid] for c in meta.copies],
            "sha256_received": meta.sha256_received.hex(),
        },
    }


@pytest.mark.parametrize("expected", CONTENTS, ids=lambda each: each["name"])
def test_vectors_hold_what_they_are_said_to(expected: dict[str, Any]) -> None:
    octets = (VECTORS / expected["path"]).read_bytes()
    assert digest(octets) == expected["sha256"]
    segment = segments.parse(octets)
    assert f"bucket/{segment.name}" == expected["path"]
    assert (f"{segment.uuid:032x}", segment.unix_ms) == (expected["uuid"], expected["unix_ms"])
    assert (f"{segment.incarnation:032x}", segment.compacted) == (expected["incarnation"], False)
    opened = bucket()
    assert [described(frame, opened.data_key(frame)) for frame in segment.frames] == expected["frames"]


def test_vectors_cover_what_the_form_can_say() -> None:
    frames = [frame for segment in CONTENTS for frame in segment["frames"]]
    assert {frame["tenant"] for frame in frames} == {7, 8} and {frame["key_version"] for frame in frames} == {1, 2}
    assert {frame["head_codec"] for frame in frames} == {frame["body_codec"] for frame in frames} == {0, 1}
    assert max(len(frame["meta"]["copies"]) for frame in frames) == 3
    for octets in (65_535, 65_536, 65_537):
        assert {frame["body_codec"] for frame in frames if frame["body_octets"] == octets} == {0, 1}
    two_chunks = segments.parse(octets_of("boundaries")).frames[-1]
    assert two_chunks.body_codec == 1 and len(two_chunks.stored_body) > segments.CHUNK + 2 * segments.TAG
    traits = 0
    for frame in frames:
        traits |= frame["traits"]
    assert traits == 0b11101, "every trait but the rare dot at the beginning of a header line"
    assert 0 in {frame["body_octets"] for frame in frames}


def readable(octets: bytes) -> list[Message]:
    opened = bucket()
    segment = segments.parse(octets)
    return [message for frame in segment.frames for message in opened.copies(segment, frame)]


def test_any_changed_or_missing_octet_is_noticed() -> None:
    octets = octets_of("one")
    assert len(readable(octets)) == 1
    for at in range(len(octets)):
        with pytest.raises(Damaged):
            readable(octets[:at] + bytes([octets[at] ^ 0x20]) + octets[at + 1 :])
    for at in range(0, len(octets), 7):
        with pytest.raises(Damaged):
            readable(octets[:at])


def test_chunks_frames_and_tenants_cannot_be_swapped() -> None:
    opened = bucket()
    frames = segments.parse(octets_of("boundaries")).frames
    frame = next(each for each in frames if each.body_octets == 65_537 and each.body_codec == 0)
    key, step = opened.data_key(frame), segments.CHUNK + segments.TAG
    first, second = frame.stored_body[:step], frame.stored_body[step:]

    def opens(stored: bytes, fixed: bytes = frame.fixed, salt: bytes = frame.salt, letter: bytes = b"B") -> bytes:
        return segments._open_part(stored, key, salt, fixed, letter)

    assert opens(first + second) == frame.body(key)
    for stored in (first, second + first, first + first, first + second + second):
        with pytest.raises(Damaged):
            opens(stored)
    with pytest.raises(Damaged):
        opens(first + second, letter=b"H")
    with pytest.raises(Damaged):
        opens(first + second, fixed=frames[0].fixed)
    with pytest.raises(Damaged):
        opens(first + second, salt=frames[0].salt)
    wrapped = (VECTORS / "bucket/v1/key/7/1").read_bytes()
    assert segments.unwrap(wrapped, MASTERS, 7, 1) == key
    for tenant, version in ((8, 1), (7, 2)):
        with pytest.raises(Damaged):
            segments.unwrap(wrapped, MASTERS, tenant, version)


def test_a_bucket_and_the_master_key_alone_yield_what_retr_sends(embedded: Embedded) -> None:
    stored = embedded.directory / "segments"
    before = set((stored / "v1/seg").glob("*/*"))
    one, two = new_tenant(embedded), new_tenant(embedded)
    alice, bob, carol = one.add("alice"), one.add("bob"), two.add("carol")
    mail = [message for message in corpus.messages() if len(message.octets) <= 70_000]
    assert len(mail) > 30
    for number, message in enumerate(mail):
        # By turns: one copy, a frame shared by two, and two tenants at once.
        recipients = ([alice], [alice, bob], [bob, carol, alice])[number % 3]
        embedded.deliver(recipients, message.octets, f"m{number}@sender.test")

    bucket = Bucket(stored, segments.master_keys((embedded.directory / "master-key").read_text()))
    found: dict[str, dict[str, bytes]] = {}
    for path in set((stored / "v1/seg").glob("*/*")) - before:
        segment = segments.parse(path.read_bytes())
        assert segment.name == str(path.relative_to(stored))
        for message in (message for frame in segment.frames for message in bucket.copies(segment, frame)):
            found.setdefault(message.copy.address, {})[message.unique_id] = message.octets
    for address in (alice, bob, carol):
        with embedded.open(address, one.password) as session:
            unique_ids = session.uidl()
            assert len(unique_ids) >= len(mail) // 3
            assert found[address] == dict(zip(unique_ids.values(), session.retr_all(), strict=True))
            session.quit()
