//! TLS by rustls with the ring provider; the server's certificate is always verified.

use std::{
    fmt, fs,
    future::Future,
    io,
    path::Path,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use backstop_core::error::ConfigError;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error as TlsError, RootCertStore, SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::CryptoProvider,
    pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject},
};
use serde::Deserialize;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_postgres::tls::{ChannelBinding, TlsConnect, TlsStream};

use crate::{framing::Framing, socket::read_framed};

/// How connections are encrypted; as data in kebab case.
///
/// There is no mode that encrypts without verifying, and none that falls back to plain text: both would leave
/// the choice to whoever sits between.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TlsMode {
    /// Plain text; with a password only to loopback or a socket, unless allowed.
    Disable,
    /// Encrypted, and the certificate is signed by a trusted authority; its name is not compared.
    VerifyCa,
    /// Encrypted, and the certificate is signed by a trusted authority for the host that was asked for.
    VerifyFull,
}

/// Builds what all connections share.
pub(crate) fn config(mode: TlsMode, roots: Option<&Path>) -> Result<Arc<ClientConfig>, ConfigError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let roots = Arc::new(match roots {
        Some(file) => from_file(file)?,
        None => RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() },
    });
    let wrong = |error: &dyn fmt::Display| ConfigError::new("tls", error.to_string());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| wrong(&error))?;
    let builder = if mode == TlsMode::VerifyCa {
        let inner = WebPkiServerVerifier::builder_with_provider(roots, Arc::clone(&provider))
            .build()
            .map_err(|error| wrong(&error))?;
        builder.dangerous().with_custom_certificate_verifier(Arc::new(AnyName { inner, provider }))
    } else {
        builder.with_root_certificates(roots)
    };
    Ok(Arc::new(builder.with_no_client_auth()))
}

fn from_file(file: &Path) -> Result<RootCertStore, ConfigError> {
    let wrong = |what: &str| ConfigError::new("root_certificates", format!("{}: {what}", file.display()));
    let pem = fs::read(file).map_err(|error| wrong(&error.to_string()))?;
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let certificate = certificate.map_err(|error| wrong(&format!("is damaged: {error}")))?;
        roots.add(certificate).map_err(|error| wrong(&error.to_string()))?;
    }
    if roots.is_empty() { Err(wrong("holds no certificate in PEM form")) } else { Ok(roots) }
}

/// Verifies everything but the name.
#[derive(Debug)]
struct AnyName {
    inner: Arc<WebPkiServerVerifier>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for AnyName {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, TlsError> {
        match self.inner.verify_server_cert(end_entity, intermediates, server_name, ocsp, now) {
            // the name is compared last, so everything else has passed
            Err(TlsError::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) => Ok(ServerCertVerified::assertion()),
            other => other,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// Encrypts one connection; never asked where TLS is off.
pub(crate) struct Connector {
    pub(crate) config: Option<Arc<ClientConfig>>,
    pub(crate) host: String,
    /// What may come through, decrypted.
    pub(crate) framing: Framing,
}

impl<S: AsyncRead + AsyncWrite + Unpin> TlsConnect<S> for Connector {
    type Stream = Encrypted<S>;
    type Error = io::Error;
    type Future = Handshake<S>;

    fn connect(self, stream: S) -> Handshake<S> {
        let Some(config) = self.config else { return Handshake::Refused(Some("TLS is off".into())) };
        match ServerName::try_from(self.host) {
            Ok(name) => {
                let handshake = tokio_rustls::TlsConnector::from(config).connect(name, stream);
                Handshake::UnderWay(Box::new(handshake), Some(self.framing))
            }
            Err(error) => Handshake::Refused(Some(format!("the host is no name for TLS: {error}"))),
        }
    }
}

/// A handshake under way, or why there is none.
pub(crate) enum Handshake<S> {
    UnderWay(Box<tokio_rustls::Connect<S>>, Option<Framing>),
    Refused(Option<String>),
}

impl<S: AsyncRead + AsyncWrite + Unpin> Future for Handshake<S> {
    type Output = io::Result<Encrypted<S>>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut *self {
            Self::UnderWay(handshake, framing) => {
                let stream = ready!(Pin::new(handshake).poll(context));
                Poll::Ready(stream.map(|stream| Encrypted { stream, framing: framing.take() }))
            }
            Self::Refused(error) => Poll::Ready(Err(io::Error::other(error.take().unwrap_or_default()))),
        }
    }
}

/// An encrypted stream.
pub(crate) struct Encrypted<S> {
    stream: tokio_rustls::client::TlsStream<S>,
    framing: Option<Framing>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> TlsStream for Encrypted<S> {
    // The certificate was verified, which is what channel binding would add to a password.
    fn channel_binding(&self) -> ChannelBinding {
        ChannelBinding::none()
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Encrypted<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let Self { stream, framing } = self.get_mut();
        read_framed(Pin::new(stream), framing.as_mut(), context, buffer)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Encrypted<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
