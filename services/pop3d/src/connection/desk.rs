//! What a connection leaves for the support desk.

use directory::{NewTranscript, RefusalReason, RefusedAttempt, Whose};
use pop3_proto::{LoginMethod, Replied, Session, Status};

use super::Connection;
use crate::{
    login::{self, Applicant},
    metrics,
    recorder::{Recorded, last_line},
    refusal,
};

impl Connection {
    pub(super) fn refused(
        &self,
        whose: Whose,
        method: LoginMethod,
        reason: RefusalReason,
        told: String,
    ) -> RefusedAttempt {
        RefusedAttempt {
            whose,
            reason,
            at: self.shared.clock.now(),
            address: self.address(),
            mechanism: login::number(method),
            tls: self.tls as i16,
            credential: None,
            new_secret: false,
            client: self.hint.text(),
            server_name: self.hint.server_name(),
            told,
        }
    }

    /// What a command and its answer tell: of the client, of what went wrong, and for who wants the session written down.
    pub(super) fn note(&mut self, applicant: &Applicant, session: &mut Session, replied: Replied, sent: u64) {
        let (said, failed) = (session.said(), replied.status == Status::Err);
        self.hint.used(said, session.has_input());
        let denied = session.take_denied();
        let written = sent + session.output().len() as u64;
        let wanted = failed || self.recorder.wants_line(said, replied.status);
        let line = if wanted { last_line(session.output()) } else { None };
        if let Some(denied) = denied
            && let Some(address) = applicant.address(&denied.login)
        {
            let reason = if denied.in_clear { RefusalReason::ClearConnection } else { RefusalReason::ApopNotOffered };
            let whose = Whose::Address(address);
            self.shared.desk.refused(self.refused(whose, denied.method, reason, refusal::told(line)));
        }
        let milliseconds = u64::try_from(self.connected.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.recorder.replied(milliseconds, said, replied.status, written, line);
        if failed && self.logged_in.is_some() {
            self.last_error = line.map(Into::into);
        }
    }

    /// Keeps what was said, where it is wanted.
    pub(super) async fn keep(&self, recorded: Option<Recorded>, ended: &'static str) {
        let Some(Recorded { of: (tenant, account), truncated, entries }) = recorded else { return };
        let transcript = NewTranscript {
            session: self.id,
            started: self.started,
            address: self.address(),
            tls: self.tls as i16,
            client: self.hint.text(),
            ended,
            truncated,
            entries,
        };
        let most = self.shared.config.desk.max_transcript_octets;
        let result = match self.shared.directory.keep_transcript(tenant, account, &transcript, most).await {
            Ok(true) => "kept",
            Ok(false) => "refused",
            Err(error) => {
                tracing::warn!(session = %self.id, kind = error.kind(), %error, "the session's transcript is lost");
                "lost"
            }
        };
        metrics::TRANSCRIPTS.with_label_values(&[result]).inc();
    }
}
