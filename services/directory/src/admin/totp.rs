//! One-time codes by time (RFC 6238): HMAC-SHA-1, six digits, steps of thirty seconds, one step early or late. A step counts once. Who
//! has lost what shows the codes has ten recovery codes, each for once.

use hmac::{Hmac, KeyInit as _, Mac as _};
use mail_types::{Random, Secret};
use serde_json::json;
use sha1::Sha1;
use sha2::{Digest as _, Sha256};
use sqlx::PgConnection;
use subtle::ConstantTimeEq as _;

use super::session::{become_caller, end_all};
use super::sign_in::{Person, SignInFrom};
use super::{Admin, SignIn, SignInMethod, find, find_locked, record};
use crate::audit::{self, Event, SERVICE};
use crate::seal::{self, Purpose};
use crate::{Caller, Directory, Error, Precondition, Reach, Result, Role, token};

const STEP_SECONDS: u64 = 30;
const DIGITS: usize = 6;
/// Octets of a secret (RFC 4226 section 4, R6).
const SECRET: usize = 20;
/// Recovery codes of one person.
const RECOVERY_CODES: usize = 10;
/// Digits of a recovery code, of five bits each.
const RECOVERY_DIGITS: usize = 16;
/// Whose codes an authenticator says they are.
const ISSUER: &str = "Restante";

/// A secret for an authenticator, shown this once.
#[derive(Debug)]
pub struct TotpOffer {
    /// In base32 (RFC 4648), for typing.
    pub secret: Secret,
    /// As `otpauth://totp/…`, for a QR code.
    pub uri: Secret,
}

/// The code of a step (RFC 4226 section 5.3).
fn code(secret: &[u8], step: u64) -> Result<String> {
    let mut mac = Hmac::<Sha1>::new_from_slice(secret).map_err(|_| Error::Internal("hmac key"))?;
    mac.update(&step.to_be_bytes());
    let digest = mac.finalize().into_bytes();
    let offset = digest.last().map_or(0, |octet| usize::from(octet & 15));
    let chosen = digest.get(offset..).and_then(|rest| rest.first_chunk::<4>()).copied().unwrap_or_default();
    let number = (u32::from_be_bytes(chosen) & 0x7fff_ffff) % 1_000_000;
    Ok(format!("{number:06}"))
}

/// The step that a code is of, of those around now.
fn step_of(secret: &[u8], given: &Secret, now_seconds: u64) -> Result<Option<i64>> {
    // People type it in groups.
    let digits: Vec<u8> = given.expose().iter().copied().filter(|octet| !octet.is_ascii_whitespace()).collect();
    if digits.len() != DIGITS {
        return Ok(None);
    }
    let (now, mut found) = (now_seconds / STEP_SECONDS, None);
    for step in now.saturating_sub(1)..=now + 1 {
        if bool::from(code(secret, step)?.as_bytes().ct_eq(&digits)) {
            found = i64::try_from(step).ok();
        }
    }
    Ok(found)
}

/// RFC 4648 section 6, without padding.
fn base32(octets: &[u8]) -> String {
    const ALPHABET: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    let mut text = String::new();
    let (mut bits, mut held) = (0_u32, 0_u32);
    let mut push = |five: u32| {
        let digit = usize::try_from(five & 31).unwrap_or_default();
        text.extend(ALPHABET.get(digit).copied().map(char::from));
    };
    for octet in octets {
        (held, bits) = (held << 8 | u32::from(*octet), bits + 8);
        while bits >= 5 {
            bits -= 5;
            push(held >> bits);
        }
    }
    // What is left, filled up with zeros.
    if bits > 0 {
        push(held << (5 - bits));
    }
    text
}

/// `xxxx-xxxx-xxxx-xxxx`.
fn new_recovery_code(random: &dyn Random) -> String {
    let digits = token::digits(RECOVERY_DIGITS, random);
    let grouped = digits.chars().enumerate().flat_map(|(at, digit)| {
        let hyphen = (at > 0 && at % 4 == 0).then_some('-');
        hyphen.into_iter().chain([digit])
    });
    grouped.collect()
}

/// What is kept of a recovery code, however it is written: 80 random bits need no slow hash.
fn recovery_hash(admin: i64, code: &Secret) -> Vec<u8> {
    let mut hash = Sha256::new_with_prefix(admin.to_be_bytes());
    for octet in code.expose() {
        match octet.to_ascii_lowercase() {
            b'-' | b' ' => {}
            // As they are read aloud (Crockford's base32).
            b'o' => hash.update(b"0"),
            b'i' | b'l' => hash.update(b"1"),
            octet => hash.update([octet]),
        }
    }
    hash.finalize().to_vec()
}

impl Directory {
    /// What the second proof of a person whose password was right makes of the sign-in; nothing if it is not right.
    pub(super) async fn prove_second(
        &self,
        person: &Person,
        attempt: &SignIn,
        from: &SignInFrom,
    ) -> Result<Option<SignInMethod>> {
        let Some(sealed) = &person.totp else { return Ok(Some(SignInMethod::Password)) };
        if attempt.totp.is_none() && attempt.recovery_code.is_none() {
            return Ok(None);
        }
        if !self.may_try_code(person.admin_id).await? {
            return Ok(None);
        }
        if let Some(code) = &attempt.totp
            && self.take_totp(person.admin_id, sealed, code).await?
        {
            return Ok(Some(SignInMethod::PasswordAndTotp));
        }
        if let Some(code) = &attempt.recovery_code
            && self.take_recovery_code(person.admin_id, code).await?
        {
            return Ok(Some(SignInMethod::PasswordAndRecoveryCode));
        }
        self.note_refused_code(person, from).await?;
        Ok(None)
    }

    /// Whether not too many were wrong; counts this one as wrong until it is found right.
    async fn may_try_code(&self, admin: i64) -> Result<bool> {
        let settings = self.logins.slow_down.settings();
        let bound = |seconds: u64| i32::try_from(seconds).unwrap_or(i32::MAX);
        let may = sqlx::query_scalar("SELECT restante.admin_totp_try_1($1, $2, $3, $4)")
            .bind(admin)
            .bind(bound(settings.account_failures.into()))
            .bind(bound(settings.first_wait_seconds))
            .bind(bound(settings.longest_wait_seconds))
            .fetch_one(&self.pool)
            .await?;
        Ok(may)
    }

    async fn take_totp(&self, admin: i64, sealed: &[u8], code: &Secret) -> Result<bool> {
        let Some(secret) = seal::open_for(&self.keys, Purpose::Totp, &admin.to_be_bytes(), sealed) else {
            tracing::warn!(admin, "a TOTP secret is sealed under a master key that is not configured");
            return Ok(false);
        };
        let Some(step) = step_of(secret.expose(), code, self.clock.now().unix_seconds())? else { return Ok(false) };
        let taken = sqlx::query_scalar("SELECT restante.admin_totp_step_1($1, $2)")
            .bind(admin)
            .bind(step)
            .fetch_one(&self.pool)
            .await?;
        Ok(taken)
    }

    async fn take_recovery_code(&self, admin: i64, code: &Secret) -> Result<bool> {
        let taken = sqlx::query_scalar("SELECT restante.admin_recovery_code_1($1, $2)")
            .bind(admin)
            .bind(recovery_hash(admin, code))
            .fetch_one(&self.pool)
            .await?;
        Ok(taken)
    }

    /// A wrong code with the right password: somebody has the password.
    async fn note_refused_code(&self, person: &Person, from: &SignInFrom) -> Result<()> {
        let reach = person.tenant_id.map_or(Reach::Platform, |tenant| Reach::Tenant(mail_types::TenantId(tenant)));
        let role = Role::from_code(person.role).unwrap_or(Role::Auditor);
        let caller = Caller::new(reach, role, "sign-in".to_owned(), from.peer, from.request);
        let mut tx = self.pool.begin().await?;
        become_caller(&mut tx, &caller).await?;
        let (tenant, target) = (caller.tenant().unwrap_or(SERVICE), person.name.as_str());
        let after = Some(json!({"client": from.client}));
        let event = Event { tenant, action: "sign-in.code-refused", target, before: None, after };
        audit::record(&mut tx, &caller, event).await?;
        tx.commit().await?;
        Ok(())
    }

    /// Offers the caller a secret for an authenticator; in force when a code of it is confirmed.
    pub async fn offer_totp(&self, caller: &Caller, password: &Secret) -> Result<TotpOffer> {
        self.require_own_password(caller, "/password", password).await?;
        let mut octets = vec![0; SECRET];
        self.random.fill(&mut octets);
        let text = base32(&octets);
        let (mut tx, admin) = self.begin_own(caller).await?;
        let of = admin.id.to_be_bytes();
        let sealed = seal::seal_for(&self.keys, &*self.random, Purpose::Totp, &of, &Secret::new(octets))?;
        sqlx::query("UPDATE restante.admins SET totp_offered = $2 WHERE admin_id = $1")
            .bind(admin.id)
            .bind(sealed)
            .execute(&mut *tx)
            .await?;
        record(&mut tx, caller, "admin.offer-totp", &admin, None, None).await?;
        self.finish(tx, caller).await?;
        let name = admin.name.replace('%', "%25").replace('@', "%40").replace('?', "%3F").replace('#', "%23");
        let uri =
            format!("otpauth://totp/{ISSUER}:{name}?secret={text}&issuer={ISSUER}&algorithm=SHA1&digits=6&period=30");
        Ok(TotpOffer { secret: Secret::from(text), uri: Secret::from(uri) })
    }

    /// Puts the secret that was offered into force, by a code of it; answers new recovery codes, shown this once. The caller's other
    /// sign-ins end.
    pub async fn confirm_totp(&self, caller: &Caller, code: &Secret) -> Result<Vec<String>> {
        let signed_in = caller.signed_in().ok_or(Error::Forbidden)?;
        let name = self.admin(caller, signed_in.admin).await?.name;
        let person = self.person(&name).await?.filter(|person| person.admin_id == signed_in.admin);
        let Some(sealed) = person.ok_or(Error::NotFound)?.totp_offered else {
            return Err(Error::InUse("no secret waits for its code: ask for one first"));
        };
        let secret = seal::open_for(&self.keys, Purpose::Totp, &signed_in.admin.to_be_bytes(), &sealed);
        let secret = secret.ok_or(Error::Internal("a TOTP secret cannot be opened"))?;
        let step = step_of(secret.expose(), code, self.clock.now().unix_seconds())?;
        let step =
            step.ok_or_else(|| Error::invalid("/code", "wrong", "is not the code that the authenticator shows"))?;
        let (mut tx, admin) = self.begin_own(caller).await?;
        sqlx::query(
            "UPDATE restante.admins SET totp = $2, totp_offered = NULL, totp_step = $3, totp_failures = 0, row_version = row_version + 1
              WHERE admin_id = $1",
        )
        .bind(admin.id)
        .bind(&sealed)
        .bind(step)
        .execute(&mut *tx)
        .await?;
        let codes = self.renew_recovery_codes(&mut tx, &admin).await?;
        end_all(&mut tx, admin.id, Some(signed_in.session)).await?;
        record(&mut tx, caller, "admin.set-up-totp", &admin, None, None).await?;
        self.finish(tx, caller).await?;
        Ok(codes)
    }

    /// New recovery codes for the caller, in place of those before.
    pub async fn new_recovery_codes(&self, caller: &Caller, password: &Secret) -> Result<Vec<String>> {
        self.require_own_password(caller, "/password", password).await?;
        let (mut tx, admin) = self.begin_own(caller).await?;
        if !admin.has_totp {
            return Err(Error::InUse("recovery codes go with one-time codes, which are not set up"));
        }
        let codes = self.renew_recovery_codes(&mut tx, &admin).await?;
        record(&mut tx, caller, "admin.new-recovery-codes", &admin, None, None).await?;
        self.finish(tx, caller).await?;
        Ok(codes)
    }

    /// The caller does without one-time codes from now on.
    pub async fn remove_own_totp(&self, caller: &Caller, password: &Secret) -> Result<()> {
        self.require_own_password(caller, "/password", password).await?;
        let (mut tx, admin) = self.begin_own(caller).await?;
        forget(&mut tx, admin.id).await?;
        record(&mut tx, caller, "admin.remove-own-totp", &admin, None, None).await?;
        self.finish(tx, caller).await
    }

    /// Takes the one-time codes of somebody else away, who has lost what shows them and the recovery codes.
    pub async fn reset_admin_totp(&self, caller: &Caller, id: i64, precondition: &Precondition) -> Result<()> {
        let mut tx = self.begin(caller).await?;
        let admin = find_locked(&mut tx, caller, id, precondition).await?;
        if caller.signed_in().is_some_and(|signed_in| signed_in.admin == id) {
            return Err(Error::InUse("one's own codes are removed with the password: POST /v1/me/totp/remove"));
        }
        forget(&mut tx, id).await?;
        record(&mut tx, caller, "admin.reset-totp", &admin, None, None).await?;
        self.finish(tx, caller).await
    }

    /// A change of the caller's own: the transaction and who they are, locked.
    async fn begin_own(&self, caller: &Caller) -> Result<(sqlx::Transaction<'static, sqlx::Postgres>, Admin)> {
        let signed_in = caller.signed_in().ok_or(Error::Forbidden)?;
        let mut tx = self.begin(caller).await?;
        sqlx::query("SELECT FROM restante.admins WHERE admin_id = $1 FOR UPDATE")
            .bind(signed_in.admin)
            .execute(&mut *tx)
            .await?;
        let admin = find(&mut tx, caller, signed_in.admin).await?.ok_or(Error::NotFound)?;
        Ok((tx, admin))
    }

    async fn renew_recovery_codes(&self, tx: &mut PgConnection, admin: &Admin) -> Result<Vec<String>> {
        sqlx::query("DELETE FROM restante.admin_recovery_codes WHERE admin_id = $1")
            .bind(admin.id)
            .execute(&mut *tx)
            .await?;
        let codes: Vec<String> = (0..RECOVERY_CODES).map(|_| new_recovery_code(&*self.random)).collect();
        let hashes: Vec<Vec<u8>> =
            codes.iter().map(|code| recovery_hash(admin.id, &Secret::from(code.as_str()))).collect();
        sqlx::query(
            "INSERT INTO restante.admin_recovery_codes (tenant_id, admin_id, code_hash) SELECT $1, $2, unnest($3::bytea[])",
        )
        .bind(admin.tenant_id.map(|tenant| tenant.0))
        .bind(admin.id)
        .bind(hashes)
        .execute(&mut *tx)
        .await?;
        Ok(codes)
    }
}

/// No secret, no codes.
async fn forget(tx: &mut PgConnection, admin: i64) -> Result<()> {
    sqlx::query(
        "UPDATE restante.admins SET totp = NULL, totp_offered = NULL, totp_failures = 0, totp_failed_at = NULL, row_version = row_version + 1
          WHERE admin_id = $1",
    )
    .bind(admin)
    .execute(&mut *tx)
    .await?;
    sqlx::query("DELETE FROM restante.admin_recovery_codes WHERE admin_id = $1").bind(admin).execute(tx).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use mail_types::SystemRandom;

    use super::*;

    /// RFC 6238 appendix B, the last six of its eight digits.
    #[test]
    fn codes_are_those_of_the_standard() {
        let secret = b"12345678901234567890";
        for (seconds, expected) in [
            (59, "287082"),
            (1_111_111_109, "081804"),
            (1_111_111_111, "050471"),
            (1_234_567_890, "005924"),
            (2_000_000_000, "279037"),
            (20_000_000_000, "353130"),
        ] {
            assert_eq!(code(secret, seconds / STEP_SECONDS).unwrap(), expected);
            let step = |now: u64| step_of(secret, &Secret::from(expected), now).unwrap();
            let its = i64::try_from(seconds / STEP_SECONDS).ok();
            assert_eq!([step(seconds), step(seconds + 30), step(seconds - 30)], [its; 3], "a step early or late");
            assert_eq!([step(seconds + 60), step(seconds.saturating_sub(60) + 120)], [None; 2]);
        }
        let given = |text: &str| step_of(secret, &Secret::from(text), 59).unwrap();
        assert_eq!(given("287 082"), Some(1));
        assert_eq!([given(""), given("2870820"), given("28708"), given("\u{662}87082")], [None; 4]);
    }

    /// RFC 4648 section 10.
    #[test]
    fn secrets_are_written_in_base32() {
        for (octets, expected) in [("", ""), ("f", "MY"), ("fo", "MZXQ"), ("foo", "MZXW6"), ("foobar", "MZXW6YTBOI")] {
            assert_eq!(base32(octets.as_bytes()), expected);
        }
    }

    #[test]
    fn a_recovery_code_is_one_however_it_is_written() {
        let code = new_recovery_code(&SystemRandom);
        assert_eq!((code.len(), code.matches('-').count()), (19, 3), "{code}");
        let hash = |admin, text: &str| recovery_hash(admin, &Secret::from(text));
        assert_eq!(hash(1, &code), hash(1, &code.replace('-', " ").to_uppercase()));
        assert_eq!(hash(1, "0101-0000-0000-0000"), hash(1, "oIoL0000oooo0000"));
        assert_ne!(hash(1, &code), hash(2, &code));
        assert_ne!(new_recovery_code(&SystemRandom), code);
    }
}
