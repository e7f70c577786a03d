//! The test vectors in `tests/vectors`: a small bucket, its master key, and what is in it. They are made here, from fixed
//! randomness, and a second decoder reads them that shares nothing with this one (`tests/harness/segments.py`).
//!
//! `RESTANTE_WRITE_VECTORS=1` makes them anew. That is right only where the new form is read beside the old one: what lies in
//! buckets stays. A new release of zstd may compress otherwise; then only `they_are_made_again` fails.

use std::fmt::Write as _;
use std::path::PathBuf;

use bytes::{Bytes, BytesMut};
use mail_types::{AccountId, Random as _, ReversePath, SegmentUuid, TenantId, Timestamp};
use sha2::{Digest as _, Sha256};
use testkit::SeededRandom;
use zeroize::Zeroizing;

use super::part::{PartReader, Wants};
use crate::bodies::Bodies;
use crate::bodies::cipher::{DataKey, PartName, WrappedKey, wrap_key};
use crate::bodies::encode::{Encoded, Packed, Plain, encode};
use crate::bodies::frame::{Codec, FrameHeader, HEADER_LEN};
use crate::bodies::meta::{Meta, MetaCopy};
use crate::bodies::segment::{SEGMENT_HEADER_LEN, SegmentBuilder};
use crate::incoming::{Incoming, MemoryBudget};
use crate::trace;

const MASTER: (&str, &[u8; 32]) = ("vector", b"restante's published vector key!");
const RECEIVED: &str =
    "Received: from mx.test ([192.0.2.1]) by mail.test with LMTP id vector; Tue, 24 Nov 2026 06:35:16 +0000";
/// 2026-11-24T06:35:16Z.
const MADE: Timestamp = Timestamp::from_unix_ms(1_795_502_116_000);
const INCARNATION: u128 = 0x1111_2222_3333_4444_5555_6666_7777_8888;

/// A message and who gets it, of one tenant.
struct Sent {
    tenant: i32,
    key_version: u32,
    sender: &'static str,
    source: &'static str,
    copies: &'static [(i64, &'static str)],
    text: Vec<u8>,
}

impl Sent {
    fn new(tenant: i32, copies: &'static [(i64, &'static str)], text: impl Into<Vec<u8>>) -> Self {
        Self { tenant, key_version: 1, sender: "ada@sender.test", source: "LMTP", copies, text: text.into() }
    }
}

/// A file of the vectors by its path in `tests/vectors`.
type File = (String, Vec<u8>);

/// What a frame has to yield.
struct Holds {
    head: Vec<u8>,
    body: Vec<u8>,
    key: DataKey,
}

const ALICE: &[(i64, &str)] = &[(11, "alice@a.test")];

fn one() -> Vec<Sent> {
    vec![Sent::new(7, ALICE, "From: ada@sender.test\r\nSubject: one\r\n\r\nHello Alice,\r\n\r\nall is well.\r\n")]
}

fn mixed() -> Vec<Sent> {
    let folded = "X-Folded: a line that compresses because it says the same\r\n".repeat(20);
    vec![
        Sent::new(7, ALICE, "Subject: first\r\n\r\nof several\r\n"),
        Sent {
            sender: "",
            ..Sent::new(
                8,
                &[(21, "carol@b.test"), (22, "dave+x@b.test"), (21, "d\u{f6}rte@b.test")],
                "Subject: shared\r\n\r\n.a dot\r\n..two\r\n",
            )
        },
        Sent::new(7, ALICE, "Subject: no body\r\n\r\n"),
        Sent::new(7, &[(12, "bob@a.test")], ""),
        Sent {
            key_version: 2,
            source: "HTTP",
            ..Sent::new(7, ALICE, format!("Subject: long header\r\n{folded}\r\n.\r\n"))
        },
        Sent::new(
            8,
            &[(21, "carol@b.test")],
            b"Subject: gr\xc3\xbc\xc3\x9fe\r\n\r\nna\xefve 8-bit\nbare \0 octets\r".to_vec(),
        ),
    ]
}

/// Bodies about a chunk's size, incompressible and not, and one that is compressed to more than a chunk.
fn boundaries() -> Vec<Sent> {
    let random = SeededRandom::new(3);
    let body = |octets: usize, compressible: bool| {
        let mut noise = vec![0; octets];
        random.fill(&mut noise);
        let letter = |octet: &u8| match *octet {
            _ if compressible => b'a',
            0 | b'\r' | b'\n' => b'x',
            other => other,
        };
        let mut body: Vec<u8> = noise.iter().map(letter).collect();
        body.splice(octets - 2.., *b"\r\n");
        [b"Subject: boundary\r\n\r\n", body.as_slice()].concat()
    };
    let mut all: Vec<Sent> = [65_535, 65_536, 65_537]
        .into_iter()
        .flat_map(|octets| [body(octets, false), body(octets, true)])
        .map(|text| Sent::new(7, ALICE, text))
        .collect();
    let mut letters = vec![0; 100_000];
    random.fill(&mut letters);
    let mut text = b"Subject: two chunks\r\n\r\n".to_vec();
    for line in letters.chunks(76) {
        text.extend(line.iter().map(|octet| b'0' + octet % 64));
        text.extend(b"\r\n");
    }
    all.push(Sent::new(7, ALICE, text));
    all
}

/// A body of several blocks, the first of which is short.
fn blocks() -> Vec<Sent> {
    let lines = (0..6_000).map(|n| format!("Line {n} of a long message\r\n"));
    vec![Sent::new(7, ALICE, format!("Subject: blocks\r\n\r\n{}", lines.collect::<String>()))]
}

fn data_key(tenant: i32, version: u32) -> DataKey {
    let mut key = Zeroizing::new([0; 32]);
    SeededRandom::new(0xda7a_0000 + (tenant as u64) * 16 + u64::from(version)).fill(key.as_mut_slice());
    key
}

fn hex(octets: &[u8]) -> String {
    octets.iter().fold(String::new(), |mut text, octet| {
        write!(text, "{octet:02x}").unwrap();
        text
    })
}

fn sha256(octets: &[u8]) -> String {
    hex(&Sha256::digest(octets))
}

/// Every file, and what the frames of each segment hold.
async fn make() -> (Vec<File>, Vec<(String, Vec<Holds>)>) {
    let random = SeededRandom::new(1);
    let mut files = vec![("master-keys".to_owned(), b"vector:cmVzdGFudGUncyBwdWJsaXNoZWQgdmVjdG9yIGtleSE=\n".to_vec())];
    for (tenant, version) in [(7, 1), (7, 2), (8, 1)] {
        let mut nonce = [0; 12];
        random.fill(&mut nonce);
        let wrapped = wrap_key(&data_key(tenant, version), MASTER, nonce, tenant, version).unwrap();
        files.push((format!("bucket/v1/key/{tenant}/{version}"), wrapped));
    }
    let (mut described, mut held) = (Vec::new(), Vec::new());
    for (name, sent) in [("one", one()), ("mixed", mixed()), ("boundaries", boundaries()), ("blocks", blocks())] {
        let uuid = SegmentUuid::new(MADE, &random);
        let mut builder = SegmentBuilder::new(uuid, MADE, INCARNATION);
        let (mut frames, mut holds) = (Vec::new(), Vec::new());
        for each in sent {
            let (text, hold) = add(&mut builder, uuid, &random, &each).await;
            frames.push(text);
            holds.push(hold);
        }
        let path = format!("bucket/{}", Bodies::key(uuid));
        let octets = builder.finish().concat();
        described.push(format!(
            "  {{\n   \"name\": {name:?},\n   \"path\": {path:?},\n   \"sha256\": \"{}\",\n   \"uuid\": \"{uuid}\",\n   \"unix_ms\": {},\n   \"incarnation\": \"{INCARNATION:032x}\",\n   \"frames\": [\n{}\n   ]\n  }}",
            sha256(&octets),
            MADE.unix_ms(),
            frames.join(",\n")
        ));
        files.push((path.clone(), octets));
        held.push((path, holds));
    }
    files.push(("contents.json".to_owned(), format!("[\n{}\n]\n", described.join(",\n")).into_bytes()));
    (files, held)
}

/// Adds a frame as a delivery does; its description in JSON, and what it holds.
async fn add(builder: &mut SegmentBuilder, uuid: SegmentUuid, random: &SeededRandom, sent: &Sent) -> (String, Holds) {
    let mut incoming = Incoming::new(
        MemoryBudget::new(1 << 24, std::time::Duration::from_secs(1)),
        TenantId(sent.tenant),
        1 << 24,
        None,
    );
    incoming.write(&sent.text).await.unwrap();
    let body = incoming.finish();
    let sender = ReversePath::parse(sent.sender).unwrap();
    let shared = sent.copies.len() > 1;
    let prefixes: Vec<String> = sent.copies.iter().map(|(_, address)| trace::prefix(&sender, address)).collect();
    let own = if shared { String::new() } else { prefixes.concat() };
    let (mut head, rest) = body.cut();
    head.insert(0, Bytes::from(format!("{own}{RECEIVED}\r\n")));
    let (head_octets, body_octets) = (head.concat(), rest.concat());
    let first = builder.copies();
    let copies = sent.copies.iter().zip(&prefixes).enumerate().map(|(at, ((account, address), prefix))| MetaCopy {
        ordinal: first + at as u32,
        account: AccountId(*account),
        address: (*address).into(),
        prefix: shared.then(|| prefix.as_str().into()),
        legacy_id: None,
        uid: None,
    });
    let meta = Meta {
        sha256: Sha256::digest([head_octets.as_slice(), &body_octets].concat()).into(),
        received_ms: MADE.unix_ms() + u64::from(first),
        sender: sender.as_str().into(),
        source: sent.source.into(),
        copies: copies.collect(),
        sha256_received: body.sha256,
    };
    let described_copies: Vec<String> = meta
        .copies
        .iter()
        .map(|copy| {
            let prefix = copy.prefix.as_ref().map_or("null".to_owned(), |prefix| format!("{prefix:?}"));
            format!("[{}, {}, {:?}, {prefix}, null, null]", copy.ordinal, copy.account, copy.address)
        })
        .collect();
    let plain = Plain {
        traits: body.shape.traits,
        tenant: TenantId(sent.tenant),
        guid: uuid.guid(first).unwrap(),
        body_lines: body.shape.body_lines.try_into().unwrap(),
        head: Packed::new(head),
        body: Packed::new(rest),
        meta: meta.clone(),
        salt: random.octets16(),
        meta_salt: random.octets16(),
    };
    let key = data_key(sent.tenant, sent.key_version);
    let Encoded { header, parts } = encode(plain, sent.key_version, &key).unwrap();
    let place = builder.push(&header, sent.copies.len() as u16, first, parts).unwrap();
    let described = format!(
        "    {{\"offset\": {}, \"length\": {}, \"head_len\": {}, \"tenant\": {}, \"key_version\": {}, \"guid\": \"{:032x}\", \"traits\": {},\n     \
         \"head_codec\": {}, \"body_codec\": {}, \"head_octets\": {}, \"body_octets\": {}, \"body_lines\": {},\n     \
         \"head_sha256\": \"{}\",\n     \"body_sha256\": \"{}\",\n     \
         \"meta\": {{\"sha256\": \"{}\", \"received_ms\": {}, \"sender\": {:?}, \"source\": {:?},\n      \
         \"copies\": [{}],\n      \"sha256_received\": \"{}\"}}}}",
        place.offset,
        place.len,
        place.head_len,
        header.tenant,
        header.key_version,
        header.guid.as_u128(),
        header.traits,
        header.head_codec as u8,
        header.body_codec as u8,
        header.head_octets,
        header.body_octets,
        header.body_lines,
        sha256(&head_octets),
        sha256(&body_octets),
        hex(&meta.sha256),
        meta.received_ms,
        meta.sender,
        meta.source,
        described_copies.join(", "),
        hex(&meta.sha256_received),
    );
    (described, Holds { head: head_octets, body: body_octets, key })
}

fn directory() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/vectors")
}

#[tokio::test]
async fn they_are_made_again() {
    let (files, _) = make().await;
    for (path, octets) in files {
        let path = directory().join(path);
        if std::env::var_os("RESTANTE_WRITE_VECTORS").is_some() {
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, &octets).unwrap();
        }
        assert!(std::fs::read(&path).unwrap() == octets, "{} is not what would be made now", path.display());
    }
}

#[tokio::test]
async fn they_read_as_what_they_were_made_of() {
    let (_, held) = make().await;
    let mut codecs = Vec::new();
    for (path, holds) in held {
        let object = std::fs::read(directory().join(path)).unwrap();
        let mut at = SEGMENT_HEADER_LEN;
        for hold in holds {
            let header = FrameHeader::decode(&object[at..]).unwrap();
            at += HEADER_LEN + header.meta.len as usize;
            codecs.push((header.head_codec, header.body_codec));
            for (name, stored, plain) in
                [(PartName::Head, header.head, hold.head), (PartName::Body, header.body, hold.body)]
            {
                let octets = &object[at..at + stored.len as usize];
                assert!(read(&header, name, &hold.key, octets) == plain, "{name:?} at {at}");
                at += octets.len();
            }
        }
    }
    for codec in [Codec::None, Codec::Zstd] {
        assert!(codecs.iter().any(|(head, _)| *head == codec) && codecs.iter().any(|(_, body)| *body == codec));
    }
}

#[test]
fn their_keys_open() {
    for (tenant, version) in [(7, 1), (7, 2), (8, 1)] {
        let octets = std::fs::read(directory().join(format!("bucket/v1/key/{tenant}/{version}"))).unwrap();
        let key = WrappedKey::parse(&octets).unwrap().open(MASTER.1, tenant, version).unwrap();
        assert_eq!(key, data_key(tenant, version));
    }
}

/// A part as a session reads it, fed in pieces that fit no chunk.
fn read(header: &FrameHeader, name: PartName, key: &DataKey, stored: &[u8]) -> Vec<u8> {
    let mut reader = PartReader::new(header, name, Some(key)).unwrap();
    let (mut buffer, mut pieces, mut plain) = (BytesMut::new(), stored.chunks(1000), Vec::new());
    loop {
        match reader.take(&mut buffer).unwrap() {
            Wants::Piece(piece) => plain.extend_from_slice(&piece),
            Wants::More(_) => buffer.extend_from_slice(pieces.next().unwrap()),
            Wants::Nothing => return plain,
        }
    }
}
