//! META, read by other code than the service's: from a frame's octets to what it says.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::hkdf::{HKDF_SHA256, Salt};
use ciborium::Value;

use crate::world::World;

/// A copy as META names it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Copy {
    pub(crate) guid: u128,
    pub(crate) account: i64,
    pub(crate) uid: Option<i64>,
    pub(crate) legacy_id: Option<String>,
}

/// The key of a tenant, out of its row, under the master key of the tests (all zero).
async fn tenant_key(world: &World, tenant: i32) -> [u8; 32] {
    let wrapped: Vec<u8> =
        sqlx::query_scalar("SELECT wrapped FROM restante.tenant_keys WHERE tenant_id = $1 AND key_version = 1")
            .bind(tenant)
            .fetch_one(&world.superuser)
            .await
            .unwrap();
    let id_len = usize::from(wrapped[6]);
    let (nonce, sealed) = wrapped[8 + id_len..].split_at(12);
    let mut sealed = sealed.to_vec();
    let aad = [tenant.to_le_bytes(), 1_u32.to_le_bytes()].concat();
    let master = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &[0; 32]).unwrap());
    let nonce = Nonce::try_assume_unique_for_key(nonce).unwrap();
    master.open_in_place(nonce, Aad::from(aad), &mut sealed).unwrap()[..32].try_into().unwrap()
}

/// The copies that the META of a frame names.
pub(crate) async fn copies(world: &World, frame: &[u8]) -> Vec<Copy> {
    let u32_at = |at: usize| u32::from_le_bytes(frame[at..at + 4].try_into().unwrap());
    let tenant = u32_at(8).cast_signed();
    let meta = &frame[96..96 + u32_at(64) as usize];
    assert_eq!(crc32c::crc32c(meta), u32_at(76), "META's checksum");
    let (salt, sealed) = meta.split_at(16);
    assert_ne!(salt, &frame[48..64], "META has a salt of its own");
    let key = tenant_key(world, tenant).await;
    let extracted = Salt::new(HKDF_SHA256, salt).extract(&key);
    let okm = extracted.expand(&[b"restante/frame/1/M"], &AES_256_GCM).unwrap();
    let cipher = LessSafeKey::new(UnboundKey::from(okm));
    let aad = [&frame[..64], b"M"].concat();
    let mut nonce = [0; 12];
    nonce[11] = 1;
    let mut plain = sealed.to_vec();
    let plain = cipher.open_in_place(Nonce::assume_unique_for_key(nonce), Aad::from(aad), &mut plain).unwrap();
    let map: Value = ciborium::from_reader(&*plain).unwrap();
    let map = map.into_map().unwrap();
    let copies = &map.iter().find(|(key, _)| *key == Value::from(5)).unwrap().1;
    let first = u128::from_be_bytes(frame[32..48].try_into().unwrap());
    let integer = |value: &Value| i64::try_from(value.as_integer().unwrap()).unwrap();
    copies
        .as_array()
        .unwrap()
        .iter()
        .map(|copy| {
            let copy = copy.as_array().unwrap();
            let ordinal = u128::try_from(integer(&copy[0])).unwrap();
            Copy {
                guid: (first >> 20 << 20) | ordinal,
                account: integer(&copy[1]),
                uid: (!copy[5].is_null()).then(|| integer(&copy[5])),
                legacy_id: copy[4].as_text().map(str::to_owned),
            }
        })
        .collect()
}
