//! The rules, in the order in which findings of one severity are shown.

use super::*;

macro_rules! rules {
    ($($severity:ident $find:ident $code:literal $summary:literal $what_to_do:literal;)+) => {
        &[$(Rule { code: $code, severity: Severity::$severity, summary: $summary, what_to_do: $what_to_do, find: $find },)+]
    };
}

#[rustfmt::skip]
pub(crate) const RULES: &[Rule] = rules! {
    Error domain_unknown "domain_unknown"
        "Nobody has claimed the address's domain here."
        "Check the spelling. If it is to be hosted here, its tenant claims the domain and proves it.";
    Error domain_unverified "domain_unverified"
        "The domain is claimed but not proved: it takes no mail, and nobody can log in."
        "Publish the TXT record that the domain shows and verify it, or have a platform administrator vouch for it.";
    Error account_missing "account_missing"
        "There is no account with this address, so nobody can log in with it."
        "Check the spelling and the domain; make the account, or restore it if it was deleted.";
    Warning catch_all_takes_mail "catch_all_takes_mail"
        "The address is nobody's own: the domain's catch-all takes its mail."
        "Look into the accounts that the catch-all leads to; make an account or an alias for the address if it is to have its own.";
    Error address_is_alias "address_is_alias"
        "The address is an alias: it has no maildrop and no login of its own. (An alias leads to accounts only, so it cannot lead in a circle.)"
        "Log in with the address of one of its targets; mail for the alias is in their maildrops.";
    Error tenant_suspended "tenant_suspended"
        "The tenant is suspended: nobody of it can log in, and mail for it is deferred."
        "Settle why it was suspended; a platform administrator sets it active again.";
    Error account_suspended "account_suspended"
        "The account is suspended: it cannot log in. Mail still comes in."
        "Set its status to active if that is over.";
    Error no_credential "no_credential"
        "The account has nothing in force to log in with: no password and no app password."
        "Set a password, or make an app password for the device.";
    Error no_password "no_password"
        "The client sends a password, and the account has none: only app passwords work."
        "Make an app password for this device and enter it in the client in place of the password.";
    Error app_password_expired "app_password_expired"
        "A device uses an app password whose time is over."
        "Make a new app password and enter it in the device; delete the old one.";
    Error app_password_revoked "app_password_revoked"
        "A device uses an app password that is none of the account's: most likely one that was revoked, or another account's."
        "Make a new app password and enter it in the device.";
    Error app_password_network "app_password_network"
        "An app password is right, but is used from outside the networks that it is bound to."
        "If the place is known, make an app password that allows it; else somebody has stolen it: revoke it.";
    Error app_password_scope "app_password_scope"
        "An app password is right, but does not allow reading mail."
        "Make one with the scope read.";
    Error wrong_password "wrong_password"
        "The client sends a wrong password."
        "Have it entered anew in the client. If many different ones came from networks that the person does not know, somebody is guessing: set a new password, or use app passwords only.";
    Warning old_password_on_a_device "old_password_on_a_device"
        "A client sends the same wrong password again and again while another one logs in: a device still has an old password."
        "Find the device by its network and client, and enter the present password or an app password of its own there.";
    Error slowed_down "slowed_down"
        "After many failures logins with a password have to wait, and this one was not even tried."
        "Stop the client that fails, wait for what is at most a quarter of an hour, and log in once with the right password. App passwords never wait.";
    Error too_many_sessions "too_many_sessions"
        "There were as many sessions at once as there may be, of the account, its domain, its tenant or its network address."
        "Close clients that stay connected, or end sessions here; raise the limit in the policy if it is too low.";
    Error maildrop_in_use "maildrop_in_use"
        "The policy allows one session at a time, and another one had the maildrop."
        "Wait until it is over, end it here if it hangs, or switch `exclusive` off if several devices are to fetch at once.";
    Warning login_delay "login_delay"
        "The client logs in more often than the policy allows."
        "Let the client look for mail less often, or lower `login_delay_seconds`.";
    Error clear_connection "clear_connection"
        "The client tries to log in without TLS, which is refused."
        "Set the client to TLS (port 995) or to STARTTLS (port 110).";
    Error scram_unavailable "scram_unavailable"
        "The client logs in with SCRAM, for which nothing is kept of the account's password."
        "Use an app password, set the client to plain password over TLS, or switch `scram_passwords` on and have the person log in once with the password.";
    Error legacy_unavailable "legacy_unavailable"
        "The client logs in with APOP, CRAM-MD5 or NTLM, which is not offered, not allowed by the domain's policy, or for which the account has no app password."
        "Set the client to plain password over TLS; for a client that cannot do that allow `legacy_mechanisms` and make an app password with `legacy`.";
    Error token_refused "token_refused"
        "The client's OAuth token is refused: of another issuer, audience or address, without the scope, or expired."
        "Have the person sign in again in the client; compare the tenant's `oauth` policy with what the issuer puts into its tokens.";
    Error certificate_refused "certificate_refused"
        "The client's certificate is not of an authority that the tenant trusts, or not for this address."
        "Compare it with the tenant's `client_ca`; issue a new one for the address.";
    Warning service_busy "service_busy"
        "Logins were answered with a temporary error because part of the service was busy or away."
        "Nothing in the client: it succeeds when it tries again. If it goes on, tell the operator, who finds the cause in the metrics and the log.";
    Error quota_octets "quota_octets_full"
        "The maildrop is full: new mail is refused or deferred."
        "Have mail deleted (with QUIT, so that it counts), or raise the account's quota of octets.";
    Error quota_messages "quota_messages_full"
        "The maildrop has as many messages as it may have: new mail is refused or deferred."
        "Have mail deleted, or raise the account's quota of messages.";
    Error tenant_quota "tenant_quota_full"
        "The tenant's quota is used up: new mail for any of its accounts is refused or deferred."
        "Raise the tenant's quota, or have its largest accounts cleared.";
    Warning quota_nearly_full "quota_nearly_full"
        "The maildrop is more than four fifths full: large messages may be refused already."
        "Have mail deleted, or raise the quota in time.";
    Warning view_hides_old_mail "view_hides_old_mail"
        "The policy shows messages of the last days only: older ones are there, but no client sees them."
        "Change the policy's `view` if they are to be seen.";
    Warning view_hides_fetched_mail "view_hides_fetched_mail"
        "The device sees only what it has not fetched yet, and it has fetched everything."
        "If the device lost its copy, make a new app password for it: that one sees everything again.";
    Info dele_does_not_delete "dele_does_not_delete"
        "The policy's `dele` keeps mail that a client deletes: it is hidden from that device, or nothing is done."
        "Change `dele` to `expunge` if deleting is to delete.";
    Info device_may_not_delete "device_may_not_delete"
        "A device logs in with an app password without the scope delete: its DELE is refused."
        "Make an app password with the scope delete if the device is to delete.";
    Warning mail_expires_soon "mail_expires_soon"
        "The oldest mail is over its days, or will be within a day: the policy then expunges it."
        "Fetch it in time, or raise `expire_days`.";
    Warning mail_has_expired "mail_has_expired"
        "The policy has just expunged mail that was over its days."
        "Undo the session that is named to get it back within the retention, and raise `expire_days` if that was not meant.";
    Error message_unreadable "message_unreadable"
        "A message could not be read, so the client could not fetch it and what comes after it."
        "If it was temporary, trying again is enough; else tell the operator, who runs `restante fsck`.";
    Warning deletion_failed "deletion_failed"
        "The client's QUIT could not delete what was marked: it will see those messages again."
        "Let the client fetch again. If it goes on, tell the operator.";
    Warning utf8_refused "utf8_refused"
        "A message with UTF-8 in its header is refused to a client that does not speak UTF8, as the policy says."
        "Use a client that speaks UTF8, or set the policy's `utf8` to `as_stored`.";
    Warning session_cut_short "session_cut_short"
        "A session was closed by the service: the client did not read, sent nonsense, lasted too long, or an administrator or a change of its account ended it."
        "Look at how it ended; a client or a network device in between that does so again and again is to be replaced or reconfigured.";
    Warning sessions_without_quit "sessions_without_quit"
        "The client fetches and then goes away without QUIT: nothing that it deletes is deleted, and some clients fetch everything again."
        "Look for what cuts the connection (a time limit, a virus scanner, a firewall), or let the client fetch less at a time.";
    Warning server_name_mismatch "server_name_mismatch"
        "The client connects under a name that the certificate is not for: strict clients refuse that."
        "Enter one of the certificate's names as the server in the client, or get a certificate for the name.";
    Error certificate_expired "certificate_expired"
        "A frontend shows a certificate whose time is over: clients refuse it."
        "The operator replaces the certificate.";
    Warning certificate_expires_soon "certificate_expires_soon"
        "A frontend's certificate has less than two weeks left."
        "The operator replaces the certificate in time.";
    Error mx_elsewhere "mx_elsewhere"
        "The domain's MX records do not lead here: new mail goes elsewhere."
        "Publish the MX records that the domain shows.";
    Info discovery_missing "discovery_missing"
        "Records by which clients find the service are missing: people have to enter the server by hand."
        "Publish the SRV and autoconfig records that the domain shows.";
    Info maildrop_empty "maildrop_empty"
        "There is no mail in the maildrop."
        "If mail is expected: look for it among what was expunged lately (activity, restore), and for refused deliveries at the sender.";
    Info never_seen "never_seen"
        "No login with this account has been seen, good or bad: the client does not get here, or it uses another name."
        "Check the client's server name, port and login name.";
    Info logged_in_lately "logged_in_lately"
        "Logins succeed: the account, its credential and the way here are in order."
        "If the person sees nothing, look at the views and at what the client itself shows.";
    Info last_error "last_error"
        "The last error that a client of this account was told, word for word."
        "Compare it with what the person sees.";
};
