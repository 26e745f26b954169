use std::sync::Mutex;

use axum::routing::get;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::ClientConfig;
use tokio_rustls::rustls::pki_types::ServerName;

use super::*;

fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/tls").join(name)
}

fn tls(client_ca: bool) -> Tls {
    let client_ca = client_ca.then(|| file("ca.crt"));
    Tls { cert: file("server.crt"), key: file("server.key"), client_ca }
}

/// A server that says "hello", and what it refused.
async fn serve(tls: Option<Tls>) -> (SocketAddr, Arc<Mutex<Vec<String>>>, CancellationToken) {
    let refused = Arc::new(Mutex::new(Vec::new()));
    let noting = Arc::clone(&refused);
    let note: Refused = Arc::new(move |what| noting.lock().unwrap().push(what));
    let listener = Listener::bind("127.0.0.1:0".parse().unwrap(), tls.as_ref(), note);
    let listener = listener.await.unwrap();
    let (address, cancel) = (listener.address().unwrap(), CancellationToken::new());
    let router = Router::new().route("/", get(|| async { "hello" }));
    tokio::spawn(listener.serve(router, cancel.clone()));
    (address, refused, cancel)
}

/// Asks over TLS, with a certificate or without one.
async fn ask(address: SocketAddr, identity: Option<&str>) -> io::Result<String> {
    let provider = Arc::new(crypto::aws_lc_rs::default_provider());
    let mut roots = RootCertStore::empty();
    for certificate in certificates(&file("ca.crt")).unwrap() {
        roots.add(certificate).unwrap();
    }
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots);
    let config = match identity {
        None => builder.with_no_client_auth(),
        Some(name) => {
            let chain = certificates(&file(&format!("{name}.crt"))).unwrap();
            let key = PrivateKeyDer::from_pem_file(file(&format!("{name}.key"))).unwrap();
            builder.with_client_auth_cert(chain, key).unwrap()
        }
    };
    let stream = TcpStream::connect(address).await?;
    let server = ServerName::try_from("127.0.0.1").unwrap();
    let mut stream = TlsConnector::from(Arc::new(config)).connect(server, stream).await?;
    stream.write_all(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await?;
    let mut answer = Vec::new();
    // A server that is done may close without saying so in TLS.
    match stream.read_to_end(&mut answer).await {
        Err(error) if answer.is_empty() => return Err(error),
        _ => {}
    }
    Ok(String::from_utf8(answer).unwrap())
}

#[tokio::test]
async fn a_client_of_the_authority_is_served_and_others_are_refused() {
    let (address, refused, _) = serve(Some(tls(true))).await;
    let answer = ask(address, Some("client")).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("hello"), "{answer}");
    assert!(refused.lock().unwrap().is_empty());
    ask(address, Some("stranger")).await.unwrap_err();
    ask(address, None).await.unwrap_err();
    let refused = refused.lock().unwrap().clone();
    assert_eq!(refused.len(), 2, "{refused:?}");
    assert!(refused.iter().all(|what| what.starts_with("no TLS connection")), "{refused:?}");
}

#[tokio::test]
async fn without_an_authority_anybody_is_served_over_tls_only() {
    let (address, refused, _) = serve(Some(tls(false))).await;
    assert!(ask(address, None).await.unwrap().ends_with("hello"));
    let mut plain = TcpStream::connect(address).await.unwrap();
    plain.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    let _ = plain.read_to_end(&mut answer).await;
    assert!(!answer.starts_with(b"HTTP"), "{answer:?}");
    assert_eq!(refused.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn a_connection_too_many_is_closed() {
    let (address, refused, _) = serve(None).await;
    let mut open = Vec::new();
    // Each answers once, and so has been accepted.
    for _ in 0..CONNECTIONS_MAX {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
        let mut answer = [0; 15];
        stream.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"HTTP/1.1 200 OK");
        open.push(stream);
    }
    let mut further = TcpStream::connect(address).await.unwrap();
    let mut answer = Vec::new();
    let _ = further.read_to_end(&mut answer).await;
    assert!(answer.is_empty());
    assert_eq!(refused.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn files_that_are_no_identity_are_named() {
    let address: SocketAddr = "127.0.0.1:0".parse().unwrap();
    let nobody: Refused = Arc::new(|_| {});
    for (tls, wanted) in [
        (Tls { cert: file("none.crt"), ..tls(false) }, "none.crt: not a usable certificate"),
        (Tls { cert: file("server.key"), ..tls(false) }, "there is none in it"),
        (Tls { key: file("server.crt"), ..tls(false) }, "server.crt: not a usable private key"),
        (Tls { key: file("client.key"), ..tls(false) }, "are no identity of a server"),
    ] {
        let error = Listener::bind(address, Some(&tls), Arc::clone(&nobody)).await.err().unwrap();
        assert!(error.to_string().contains(wanted), "{error}");
    }
    let (taken, ..) = serve(None).await;
    let error = Listener::bind(taken, None, nobody).await.err().unwrap().to_string();
    assert_eq!(error, format!("cannot listen on {taken}"));
}
