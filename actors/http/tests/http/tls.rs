//! HT9: TLS is verified, and there is no way around it.

use std::{net::SocketAddr, sync::Arc};

use backstop_core::{
    backend::Backend,
    error::{Executed, Failure, FailureKind, Phase},
    outcome::Outcome,
};
use backstop_http::{Get, Post};
use rustls::{
    ServerConfig,
    pki_types::{PrivateKeyDer, pem::PemObject},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};
use tokio_rustls::TlsAcceptor;

use crate::support::{ask, assert_failure, backend_for, run};

/// A certificate authority and one certificate of it.
struct Certificates {
    ca: String,
    chain: String,
    key: String,
}

fn certificates(name: &str, expired: bool) -> Certificates {
    let ca_key = rcgen::KeyPair::generate().unwrap();
    let mut ca = rcgen::CertificateParams::new(Vec::new()).unwrap();
    ca.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let ca_pem = ca.self_signed(&ca_key).unwrap().pem();
    let issuer = rcgen::Issuer::new(ca, ca_key);
    let key = rcgen::KeyPair::generate().unwrap();
    let mut leaf = rcgen::CertificateParams::new(vec![name.to_owned()]).unwrap();
    if expired {
        leaf.not_before = rcgen::date_time_ymd(2019, 1, 1);
        leaf.not_after = rcgen::date_time_ymd(2020, 1, 1);
    }
    let chain = leaf.signed_by(&key, &issuer).unwrap().pem();
    Certificates { ca: ca_pem, chain, key: key.serialize_pem() }
}

/// Serves `reply` over TLS; without `goodbye` the connection ends without close_notify.
async fn serve(certificates: &Certificates, reply: &'static str, goodbye: bool) -> SocketAddr {
    let chain = rustls::pki_types::CertificateDer::pem_slice_iter(certificates.chain.as_bytes());
    let chain = chain.collect::<Result<Vec<_>, _>>().unwrap();
    let key = PrivateKeyDer::from_pem_slice(certificates.key.as_bytes()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::task::spawn_local(async move {
        while let Ok((tcp, _)) = listener.accept().await {
            let Ok(mut tls) = acceptor.accept(tcp).await else { continue };
            assert_eq!(tls.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]), "never HTTP/2");
            let mut chunk = [0; 4096];
            while !matches!(tls.read(&mut chunk).await, Ok(0) | Err(_)) {
                let _ = tls.write_all(reply.as_bytes()).await;
                let _ = tls.flush().await;
                if !reply.contains("content-length") {
                    if goodbye {
                        let _ = tls.shutdown().await;
                    }
                    break;
                }
            }
        }
    });
    address
}

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello";

async fn refused(certificates: &Certificates, trusted: Option<&str>) -> Failure {
    let address = serve(certificates, OK, true).await;
    let base = format!("https://localhost:{}", address.port());
    let backend = backend_for(&base, |options| options.extra_ca_pem = trusted.map(str::to_owned)).await;
    ask(&backend, &Post::new("x").build().unwrap()).await.unwrap_err().failure()
}

#[test]
fn a_trusted_certificate_serves_and_the_connection_is_reused() {
    run(async {
        let certificates = certificates("localhost", false);
        let address = serve(&certificates, OK, true).await;
        let base = format!("https://localhost:{}", address.port());
        let backend = backend_for(&base, |options| options.extra_ca_pem = Some(certificates.ca)).await;
        for _ in 0..3 {
            let request = Get::new("x").header("authorization", "Bearer x").build().unwrap();
            assert_eq!(ask(&backend, &request).await.unwrap().body(), "hello");
        }
        assert_eq!(backend.pool().created_total, 1);
    });
}

#[test]
fn expired_untrusted_and_foreign_certificates_are_refused_without_fallback() {
    run(async {
        let good = certificates("localhost", false);
        let other = certificates("localhost", false);
        let expired = certificates("localhost", true);
        let foreign = certificates("other.example", false);
        for (case, certificates, trusted) in [
            ("untrusted", &good, None),
            ("signed by another", &good, Some(&other.ca)),
            ("expired", &expired, Some(&expired.ca)),
            ("another host", &foreign, Some(&foreign.ca)),
        ] {
            let failure = refused(certificates, trusted.map(String::as_str)).await;
            assert_failure(&failure, FailureKind::Unavailable, "tls", Phase::Connect, Executed::No);
            assert_eq!((failure.is_transient(), failure.outcome()), (false, Outcome::Failure), "{case}");
        }
    });
}

#[test]
fn a_plain_server_behind_https_is_a_tls_failure() {
    run(async {
        let server = crate::support::Server::start(|mut peer, _| async move {
            peer.send("HTTP/1.1 400 Bad Request\r\n\r\n").await;
            peer.closed_by_client().await;
        })
        .await;
        let backend = backend_for(&format!("https://{}", server.address), |_| {}).await;
        let failure = ask(&backend, &Post::new("x").build().unwrap()).await.unwrap_err().failure();
        assert_failure(&failure, FailureKind::Unavailable, "tls", Phase::Connect, Executed::No);
        assert_eq!(server.connections.get(), 1, "no second try in plain text");
    });
}

#[test]
fn a_body_that_ends_with_the_connection_needs_the_goodbye_of_tls() {
    run(async {
        for goodbye in [true, false] {
            let certificates = certificates("localhost", false);
            let address = serve(&certificates, "HTTP/1.1 200 OK\r\n\r\nhello", goodbye).await;
            let base = format!("https://localhost:{}", address.port());
            let backend = backend_for(&base, |options| options.extra_ca_pem = Some(certificates.ca)).await;
            match ask(&backend, &Get::new("x").build().unwrap()).await {
                Ok(reply) => assert!(goodbye && reply.is_close_delimited() && reply.body() == "hello"),
                Err(ended) => assert!(!goodbye && ended.failure().code() == Some("truncated")),
            }
        }
    });
}
