//! A profile for Apple's mail programs, unsigned: the device says so and installs it all the same.

use mail_types::Address;
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use super::xml::escaped;
use crate::publish::{Publish, Served};

/// The profile; nothing where no server is published. The same address always gets the same identifiers, so that a profile that is
/// installed again takes the place of the one before.
pub(super) fn profile(publish: &Publish, address: &Address) -> Option<String> {
    let incoming = publish.pop3().into_iter().next()?;
    let mut entries = server("Incoming", &incoming, address);
    if let Some(outgoing) = publish.submission().first() {
        entries.push_str(&server("Outgoing", outgoing, address));
        entries.push_str("      <key>OutgoingPasswordSameAsIncomingPassword</key><true/>\n");
    }
    let (name, shown) = (escaped(&publish.display_name), escaped(&address.to_string()));
    let (profile, account) = (identifier(address, "profile"), identifier(address, "account"));
    Some(format!(
        r#"<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">
<plist version="1.0">
<dict>
  <key>PayloadType</key><string>Configuration</string>
  <key>PayloadVersion</key><integer>1</integer>
  <key>PayloadIdentifier</key><string>restante.mail.{profile}</string>
  <key>PayloadUUID</key><string>{profile}</string>
  <key>PayloadDisplayName</key><string>{name}: {shown}</string>
  <key>PayloadContent</key>
  <array>
    <dict>
      <key>PayloadType</key><string>com.apple.mail.managed</string>
      <key>PayloadVersion</key><integer>1</integer>
      <key>PayloadIdentifier</key><string>restante.mail.{account}</string>
      <key>PayloadUUID</key><string>{account}</string>
      <key>EmailAccountType</key><string>EmailTypePOP</string>
      <key>EmailAccountDescription</key><string>{name}</string>
      <key>EmailAddress</key><string>{shown}</string>
{entries}    </dict>
  </array>
</dict>
</plist>
"#
    ))
}

fn server(way: &str, served: &Served<'_>, address: &Address) -> String {
    let Served { host, port, .. } = served;
    let login = escaped(&address.to_string());
    format!(
        r#"      <key>{way}MailServerHostName</key><string>{host}</string>
      <key>{way}MailServerPortNumber</key><integer>{port}</integer>
      <key>{way}MailServerUseSSL</key><true/>
      <key>{way}MailServerUsername</key><string>{login}</string>
      <key>{way}MailServerAuthentication</key><string>EmailAuthPassword</string>
"#
    )
}

/// A name-based UUID (RFC 9562 section 5.8).
fn identifier(address: &Address, of: &str) -> Uuid {
    let hash = Sha256::digest(format!("{of} {address}"));
    let mut octets = [0; 16];
    octets.iter_mut().zip(hash).for_each(|(to, from)| *to = from);
    uuid::Builder::from_custom_bytes(octets).into_uuid()
}
