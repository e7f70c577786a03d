//! A secret that was sent in clear, against the credentials of an account.

use super::{
    APP_PASSWORD, Candidate, Error, LEGACY_APP_PASSWORD, LookedUp, PASSWORD, RefusalReason, Result, Secret, prep, token,
};
use crate::hash_pool::Lane;
use crate::{MAX_PASSWORD_OCTETS, verifier};

impl LookedUp {
    /// The credential that the secret is the one of. App passwords first: they cost next to nothing, and nobody can guess them.
    pub(super) async fn prove(&self, secret: &Secret) -> Result<Option<Candidate>> {
        if token::is_app_password(secret) {
            for (_, candidate) in self.candidates() {
                let is_app_password = candidate.kind == APP_PASSWORD || candidate.kind == LEGACY_APP_PASSWORD;
                if is_app_password && token::verify_app_password(&self.directory.keys, &candidate.verifier, secret)? {
                    self.renew_app_password(candidate, secret).await;
                    return Ok(Some(candidate.clone()));
                }
            }
        }
        if self.wait.is_some() {
            return Ok(None);
        }
        // None that long was ever set; some hashes of other servers take the square of the length.
        if secret.expose().len() > MAX_PASSWORD_OCTETS {
            return Ok(None);
        }
        let passwords: Vec<_> =
            self.candidates().map(|(_, candidate)| candidate).filter(|candidate| candidate.kind == PASSWORD).collect();
        if passwords.is_empty() {
            self.try_nothing(secret).await?;
        }
        for candidate in passwords {
            for spelling in prep::spellings(secret) {
                if self.is_password(candidate, &spelling).await? {
                    self.renew(candidate, &spelling).await;
                    return Ok(Some(candidate.clone()));
                }
            }
        }
        Ok(None)
    }

    /// Notes why the secret proved nothing, for the account's administrators: an app password that does not hold here and now is known by
    /// its fast hash; of passwords nothing more is tried.
    pub(super) fn note_why(&self, secret: &Secret) -> Result<()> {
        let Some(account) = &self.account else { return Ok(()) };
        if !token::is_app_password(secret) {
            // Nothing was tried.
            if self.wait.is_some() {
                return Ok(());
            }
            let has_password = account.candidates.iter().any(|candidate| candidate.kind == PASSWORD);
            self.witness.note(if has_password { RefusalReason::WrongPassword } else { RefusalReason::NoPassword });
            return Ok(());
        }
        let now = self.directory.now();
        for candidate in account.candidates.iter().filter(|candidate| candidate.kind != PASSWORD) {
            if let Some(why) = candidate.why_not(now, self.peer, &self.policy)
                && token::verify_app_password(&self.directory.keys, &candidate.verifier, secret)?
            {
                self.witness.proved(candidate.id);
                self.witness.note(why);
                return Ok(());
            }
        }
        if self.wait.is_none() {
            self.witness.note(RefusalReason::UnknownAppPassword);
        }
        Ok(())
    }

    /// Moves an app password to the current master key's pepper, so that an older master key can be given up one day. If that
    /// fails, the next login tries again.
    async fn renew_app_password(&self, candidate: &Candidate, secret: &Secret) {
        let keys = &self.directory.keys;
        let Some(account) = &self.account else { return };
        if token::is_under(&candidate.verifier, keys.current().0) {
            return;
        }
        let renewed = async {
            let new = token::app_password_verifier(keys, secret)?;
            sqlx::query("SELECT restante.pop3_renew_app_password_1($1, $2, $3, $4, $5)")
                .bind(account.tenant.0)
                .bind(account.id.0)
                .bind(candidate.id.0)
                .bind(&candidate.verifier)
                .bind(&new)
                .execute(&self.directory.pool)
                .await?;
            Ok::<_, Error>(())
        };
        if let Err(error) = renewed.await {
            tracing::warn!(kind = error.kind(), %error, "an app password could not be renewed: its next login tries again");
        }
    }

    /// There is no such account, or it has no password: nothing is hashed, but it is told to come again when others are, and
    /// the same secret again is known to be wrong, as theirs.
    async fn try_nothing(&self, secret: &Secret) -> Result<()> {
        let logins = &self.directory.logins;
        let fingerprint = logins.proved.fingerprint(&[b"nobody", &self.key.unwrap_or_default(), secret.expose()])?;
        if logins.proved.is_right(&fingerprint, self.directory.clock.monotonic()).is_none() {
            logins.hashes.pass(self.lane(), logins.patience).await?;
            logins.proved.learn(fingerprint, false, self.directory.clock.monotonic());
        }
        Ok(())
    }

    /// Whether it is the password: known since lately, or computed now.
    async fn is_password(&self, candidate: &Candidate, secret: &Secret) -> Result<bool> {
        let proved = &self.directory.logins.proved;
        let fingerprint = proved.of_credential(candidate.id, &candidate.verifier, secret)?;
        if let Some(known) = proved.is_right(&fingerprint, self.directory.clock.monotonic()) {
            return Ok(known);
        }
        let (verifier, secret) = (candidate.verifier.clone(), secret.clone());
        let right = self.run(move || Ok(verifier::verify(&verifier, &secret))).await?;
        proved.learn(fingerprint, right, self.directory.clock.monotonic());
        Ok(right)
    }

    /// Keeps the password as this release would: hashed with its parameters, and with SCRAM's keys where the policy wants them.
    /// If that fails, the next login tries again.
    async fn renew(&self, candidate: &Candidate, secret: &Secret) {
        let is_outdated = verifier::is_outdated(&candidate.verifier);
        let lacks_keys = self.policy.scram_passwords && (candidate.scram256.is_none() || candidate.scram1.is_none());
        if !is_outdated && !lacks_keys {
            return;
        }
        if let Err(error) = self.try_renew(candidate, secret, is_outdated).await {
            tracing::warn!(kind = error.kind(), %error, "a password could not be rehashed: its next login tries again");
        }
    }

    async fn try_renew(&self, candidate: &Candidate, secret: &Secret, is_outdated: bool) -> Result<()> {
        let Some(account) = &self.account else { return Ok(()) };
        let (old, secret, salt) = (candidate.verifier.clone(), secret.clone(), self.salt.clone());
        let with_keys = self.policy.scram_passwords;
        let password = secret.clone();
        let (new, keys) = self
            .run(move || {
                let new = if is_outdated { verifier::argon2id_of(&password)? } else { old };
                Ok((new, with_keys.then(|| salt.keys(&password))))
            })
            .await?;
        let (sha256, sha1) = keys.map(|keys| (keys.sha256, keys.sha1)).unzip();
        let renewed: bool = sqlx::query_scalar("SELECT restante.pop3_rehash_1($1, $2, $3, $4, $5, $6, $7)")
            .bind(account.tenant.0)
            .bind(account.id.0)
            .bind(candidate.id.0)
            .bind(&candidate.verifier)
            .bind(&new)
            .bind(sha256)
            .bind(sha1)
            .fetch_one(&self.directory.pool)
            .await?;
        if renewed {
            let proved = &self.directory.logins.proved;
            proved.learn(proved.of_credential(candidate.id, &new, &secret)?, true, self.directory.clock.monotonic());
        }
        Ok(())
    }

    /// Runs what is too much for the reactor, in the lane of this client.
    async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> Result<T, Error> + Send + 'static) -> Result<T> {
        let logins = &self.directory.logins;
        logins.hashes.run(self.lane(), logins.patience, work).await
    }

    fn lane(&self) -> Lane {
        (self.network, self.account.as_ref().map(|account| account.tenant))
    }
}
