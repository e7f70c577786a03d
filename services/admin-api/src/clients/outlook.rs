//! Outlook's autodiscover: version 1 in XML (MS-OXDSCLI), and version 2, which says where version 1 is.

use mail_types::{Address, DomainName};
use quick_xml::Reader;
use quick_xml::escape::resolve_predefined_entity;
use quick_xml::events::Event;

use super::xml::escaped;
use crate::publish::{Publish, Served};

/// The one form of answer that is given; those that other protocols (ActiveSync) ask for are not.
pub(super) const SCHEMA: &str = "http://schemas.microsoft.com/exchange/autodiscover/outlook/responseschema/2006a";

/// What a request asks for.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Asked {
    pub(super) address: Option<String>,
    pub(super) schema: Option<String>,
}

/// Reads a request; namespaces and order do not matter. Entities of a document type are not expanded.
pub(super) fn read(octets: &[u8]) -> Result<Asked, &'static str> {
    const NOT_XML: &str = "the body is not XML in UTF-8";
    let text = std::str::from_utf8(octets).map_err(|_| NOT_XML)?;
    let mut reader = Reader::from_str(text);
    let mut asked = Asked::default();
    let mut inside = String::new();
    let (mut elements, mut depth) = (0_usize, 0_usize);
    loop {
        match reader.read_event().map_err(|_| NOT_XML)? {
            Event::Start(_) => {
                inside.clear();
                (elements, depth) = (elements + 1, depth + 1);
            }
            Event::Text(text) => inside.push_str(&text.decode().map_err(|_| NOT_XML)?),
            Event::CData(text) => inside.push_str(&text.decode().map_err(|_| NOT_XML)?),
            Event::GeneralRef(reference) => match reference.resolve_char_ref().map_err(|_| NOT_XML)? {
                Some(c) => inside.push(c),
                None => {
                    let name = reference.decode().map_err(|_| NOT_XML)?;
                    inside.push_str(resolve_predefined_entity(&name).ok_or(NOT_XML)?);
                }
            },
            Event::End(end) => {
                match end.local_name().as_ref() {
                    b"EMailAddress" => asked.address = Some(inside.trim().to_owned()),
                    b"AcceptableResponseSchema" => asked.schema = Some(inside.trim().to_owned()),
                    _ => {}
                }
                inside.clear();
                depth = depth.saturating_sub(1);
            }
            Event::Eof if elements > 0 && depth == 0 => return Ok(asked),
            Event::Eof => return Err(NOT_XML),
            _ => {}
        }
    }
}

/// The settings; nothing where no server is published. Without an address Outlook asks for the login name.
pub(super) fn settings(publish: &Publish, address: Option<&Address>) -> Option<String> {
    let login = address.map(|address| format!("        <LoginName>{}</LoginName>\n", escaped(&address.to_string())));
    let login = login.unwrap_or_default();
    let pop3: String = publish.pop3().iter().map(|one| protocol("POP3", one, &login)).collect();
    if pop3.is_empty() {
        return None;
    }
    let smtp: String = publish.submission().iter().map(|one| protocol("SMTP", one, &login)).collect();
    Some(format!(
        r#"<?xml version="1.0" encoding="utf-8"?>
<Autodiscover xmlns="http://schemas.microsoft.com/exchange/autodiscover/responseschema/2006">
  <Response xmlns="{SCHEMA}">
    <Account>
      <AccountType>email</AccountType>
      <Action>settings</Action>
{pop3}{smtp}    </Account>
  </Response>
</Autodiscover>
"#
    ))
}

/// `Encryption` is `SSL` for TLS from the first octet; `TLS` would be STARTTLS on that port.
fn protocol(kind: &str, served: &Served<'_>, login: &str) -> String {
    let Served { host, port, tls_at_once, .. } = served;
    let encryption = if *tls_at_once { "SSL" } else { "TLS" };
    let smtp =
        if kind == "SMTP" { "        <UsePOPAuth>on</UsePOPAuth>\n        <SMTPLast>off</SMTPLast>\n" } else { "" };
    format!(
        r#"      <Protocol>
        <Type>{kind}</Type>
        <Server>{host}</Server>
        <Port>{port}</Port>
        <DomainRequired>off</DomainRequired>
{login}        <SPA>off</SPA>
        <SSL>on</SSL>
        <Encryption>{encryption}</Encryption>
        <AuthRequired>on</AuthRequired>
{smtp}      </Protocol>
"#
    )
}

/// Version 2's answer.
pub(super) fn where_v1_is(host: &DomainName) -> String {
    let url = format!("https://{host}/autodiscover/autodiscover.xml");
    serde_json::json!({"Protocol": "AutodiscoverV1", "Url": url}).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_read_whatever_its_prefixes_and_nothing_is_expanded() {
        let asked = |text: &str| read(text.as_bytes());
        let of = |address: &str, schema: Option<&str>| {
            Ok(Asked { address: Some(address.to_owned()), schema: schema.map(str::to_owned) })
        };
        let outlook = format!(
            "\u{feff}<?xml version=\"1.0\" encoding=\"utf-8\"?><Autodiscover xmlns=\"x\"><Request><EMailAddress>\n a&amp;b@acme.test \n\
             </EMailAddress><AcceptableResponseSchema>{SCHEMA}</AcceptableResponseSchema></Request></Autodiscover>"
        );
        assert_eq!(asked(&outlook), of("a&b@acme.test", Some(SCHEMA)));
        let prefixed = "<a:Autodiscover xmlns:a='x'><a:Request><a:EMailAddress><![CDATA[b@c.test]]></a:EMailAddress></a:Request></a:Autodiscover>";
        assert_eq!(asked(prefixed), of("b@c.test", None));
        assert_eq!(asked("<Autodiscover/>"), Err("the body is not XML in UTF-8"));
        let entity = "<!DOCTYPE a [<!ENTITY x \"y\">]><a><EMailAddress>&x;</EMailAddress></a>";
        for wrong in ["", "{}", "<a>", "<a><b></a>", entity] {
            assert!(asked(wrong).is_err(), "{wrong}");
        }
        assert_eq!(asked("<a></a>"), Ok(Asked::default()));
        assert!(read(b"\xff<a></a>").is_err());
    }
}
