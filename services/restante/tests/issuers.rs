//! Tokens of an issuer that is asked over the network: by `restante dev`, with what the operator allows and without it.
#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a failed step is a failed test")]

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use mail_types::{Clock as _, SystemClock};
use net::{Endpoint, Limits, Listener, Stream, tls};
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256};
use runtime::shutdown::Shutdown;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

/// An issuer on a port of 127.0.0.1, with a certificate that nobody vouches for but the file that it is in.
struct Issuer {
    url: String,
    certificate: PathBuf,
    key: KeyPair,
    connections: Arc<AtomicUsize>,
}

impl Issuer {
    async fn start(directory: &Path) -> Self {
        let files = tls::self_signed(directory).unwrap();
        let server_tls = tls::ServerTls::from_directory(&files).unwrap();
        let listener = Listener::bind(&"127.0.0.1:0".parse().unwrap(), "issuer").await.unwrap();
        let Endpoint::Tcp(address) = listener.bound().unwrap() else { panic!("it is TCP") };
        let url = format!("https://{address}");
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
        let point = key.public_key_raw();
        let (x, y) = (URL_SAFE_NO_PAD.encode(&point[1..33]), URL_SAFE_NO_PAD.encode(&point[33..]));
        let keys = json!({"keys": [{"kty": "EC", "crv": "P-256", "kid": "one", "use": "sig", "x": x, "y": y}]});
        let of_another = json!({"issuer": "https://id.acme.test", "jwks_uri": format!("{url}/keys")});
        let pages: Arc<[(String, String)]> = Arc::new([
            ("/keys".to_owned(), keys.to_string()),
            (
                "/.well-known/openid-configuration".to_owned(),
                json!({"issuer": url, "jwks_uri": format!("{url}/keys")}).to_string(),
            ),
            ("/other/.well-known/openid-configuration".to_owned(), of_another.to_string()),
        ]);
        let connections = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&connections);
        tokio::spawn(async move {
            let shutdown = Shutdown::new();
            let serve = move |stream: Stream, _| {
                count.fetch_add(1, Ordering::SeqCst);
                let (server_tls, pages) = (server_tls.clone(), Arc::clone(&pages));
                async move { answer(stream.into_tls(&server_tls).await.unwrap(), &pages).await }
            };
            listener.serve(Limits::default(), b"", &shutdown, serve).await;
        });
        Self { url, certificate: files.join("cert.pem"), key, connections }
    }

    /// A token for alice.
    fn token(&self) -> String {
        let expires = SystemClock.now().unix_seconds() + 600;
        let claims = json!({"iss": self.url, "aud": "mail", "exp": expires, "email": "alice@acme.test"});
        let header = Header { kid: Some("one".to_owned()), ..Header::new(Algorithm::ES256) };
        encode(&header, &claims, &EncodingKey::from_ec_der(&self.key.serialize_der())).unwrap()
    }

    fn policy(&self, jwks_path: &str) -> Value {
        let jwks_uri = format!("{}{jwks_path}", self.url);
        json!({"policy": {"oauth": {"issuer": self.url, "audience": "mail", "jwks_uri": jwks_uri}}})
    }
}

async fn answer(mut stream: Stream, pages: &[(String, String)]) {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        request.push(stream.read_u8().await.unwrap());
    }
    let request = String::from_utf8(request).unwrap();
    let asked = request.split(' ').nth(1).unwrap();
    let page = pages.iter().find(|(path, _)| path == asked).map(|(_, page)| page.as_str());
    let (status, page) = page.map_or(("404 Not Found", ""), |page| ("200 OK", page));
    let answer = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{page}", page.len());
    stream.write_all(answer.as_bytes()).await.unwrap();
    stream.shutdown().await.ok();
}

/// A running `restante dev` without sample mail, killed in the end.
struct Dev {
    child: Child,
    ready: Value,
}

impl Dev {
    fn start(data_dir: &Path, certificate: &Path, allow: &str) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_restante"));
        command.arg("dev").arg("--data-dir").arg(data_dir);
        for listener in ["pop3", "pop3s", "lmtp", "admin", "ops"] {
            command.arg(format!("--{listener}-listen")).arg("127.0.0.1:0");
        }
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("RESTANTE_")) {
            command.env_remove(name);
        }
        command.env("RESTANTE_EGRESS__ALLOW", allow).env("SSL_CERT_FILE", certificate);
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        Self { child, ready: serde_json::from_str(&line).unwrap() }
    }

    fn address(&self, listener: &str) -> &str {
        self.ready[listener].as_str().unwrap().trim_start_matches("http://")
    }

    fn call(&self, method: &str, path: &str, body: &Value) {
        let (mut stream, body) = (TcpStream::connect(self.address("admin")).unwrap(), body.to_string());
        let (token, length) = (self.ready["admin_token"].as_str().unwrap(), body.len());
        let kind = if method == "PATCH" { "application/merge-patch+json" } else { "application/json" };
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nAuthorization: Bearer {token}\r\n\
             Content-Type: {kind}\r\nContent-Length: {length}\r\n\r\n{body}"
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 20"), "{method} {path}: {answer}");
    }

    /// What alice is answered, with a token.
    fn log_in(&self, token: &str) -> String {
        let mut pop3 = BufReader::new(TcpStream::connect(self.address("pop3")).unwrap());
        let response = STANDARD.encode(format!("n,a=alice@acme.test,\u{1}auth=Bearer {token}\u{1}\u{1}"));
        let mut lines = [String::new(), String::new()];
        pop3.read_line(&mut lines[0]).unwrap();
        write!(pop3.get_mut(), "AUTH OAUTHBEARER {response}\r\n").unwrap();
        pop3.read_line(&mut lines[1]).unwrap();
        let [_, answer] = lines;
        answer
    }
}

impl Drop for Dev {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_is_checked_with_keys_that_its_issuer_serves() {
    let scratch = tempfile::tempdir().unwrap();
    let (data_dir, issuer) = (scratch.path().join("data"), Issuer::start(scratch.path()).await);
    let fetched = || issuer.connections.load(Ordering::SeqCst);
    tokio::task::block_in_place(|| {
        let dev = Dev::start(&data_dir, &issuer.certificate, r#"["127.0.0.1/32"]"#);
        let mut acme = issuer.policy("/keys");
        acme["slug"] = "acme".into();
        acme["name"] = "Acme".into();
        dev.call("POST", "/v1/tenants", &acme);
        dev.call("POST", "/v1/domains", &json!({"name": "acme.test", "tenant": "acme"}));
        dev.call("POST", "/v1/accounts", &json!({"address": "alice@acme.test"}));
        let token = issuer.token();
        for _ in 0..2 {
            let answer = dev.log_in(&token);
            assert!(answer.starts_with("+OK"), "{answer}");
        }
        assert_eq!(fetched(), 1, "the keys are kept");
        let (signed, signature) = token.rsplit_once('.').unwrap();
        let forged = format!("{signed}.AAAA{}", &signature[4..]);
        let answer = dev.log_in(&forged);
        assert!(!answer.starts_with("+OK"), "{answer}");

        dev.call("PATCH", "/v1/tenants/acme", &issuer.policy("/.well-known/openid-configuration"));
        let answer = dev.log_in(&token);
        assert!(answer.starts_with("+OK"), "{answer}");
        assert_eq!(fetched(), 3, "the description, and the keys");
        dev.call("PATCH", "/v1/tenants/acme", &issuer.policy("/other/.well-known/openid-configuration"));
        let answer = dev.log_in(&token);
        assert!(answer.starts_with("-ERR [SYS/TEMP]"), "described as another: {answer}");
        assert_eq!(fetched(), 4);
        dev.call("PATCH", "/v1/tenants/acme", &issuer.policy("/keys"));
        drop(dev);

        let dev = Dev::start(&data_dir, &issuer.certificate, "[]");
        let answer = dev.log_in(&token);
        assert!(answer.starts_with("-ERR [SYS/TEMP]"), "it is on loopback: {answer}");
        assert_eq!(fetched(), 4);
    });
}
