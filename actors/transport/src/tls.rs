//! TLS by rustls with the ring provider: verification is always on.

use std::{fmt, sync::Arc};

use backstop_core::error::ConfigError;
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, pem::PemObject},
};

/// Which certificates are trusted beside Mozilla's roots.
#[derive(Clone, Default)]
pub struct TlsOptions {
    /// More roots, as PEM; none by default.
    pub extra_ca_pem: Option<String>,
}

/// A checked TLS configuration; cloning it copies a pointer.
///
/// TLS 1.2 and 1.3; certificates and host names are verified, and there is no switch to turn that off.
#[derive(Clone)]
pub struct Tls(pub(crate) Arc<ClientConfig>);

impl Tls {
    /// Checks the options and builds the configuration that all connections share.
    ///
    /// # Errors
    /// [`ConfigError`] for `extra_ca_pem` when it holds no certificate or a damaged one.
    pub fn new(options: &TlsOptions) -> Result<Self, ConfigError> {
        let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
        if let Some(pem) = &options.extra_ca_pem {
            add_pem(&mut roots, pem)?;
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| ConfigError::new("tls", error.to_string()))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self(Arc::new(config)))
    }
}

fn add_pem(roots: &mut RootCertStore, pem: &str) -> Result<(), ConfigError> {
    let setting = "tls.extra_ca_pem";
    let mut found = false;
    for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
        let certificate =
            certificate.map_err(|error| ConfigError::new(setting, format!("is damaged: {error}")))?;
        roots.add(certificate).map_err(|error| ConfigError::new(setting, error.to_string()))?;
        found = true;
    }
    if found { Ok(()) } else { Err(ConfigError::new(setting, "holds no certificate in PEM form")) }
}

impl fmt::Debug for TlsOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsOptions").field("extra_ca_pem", &self.extra_ca_pem.is_some()).finish()
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tls(verified)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ca_that_is_none_is_named() {
        for pem in ["", "hello", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
            let error = Tls::new(&TlsOptions { extra_ca_pem: Some(pem.into()) }).unwrap_err();
            assert_eq!(error.setting(), "tls.extra_ca_pem", "{pem}");
        }
        Tls::new(&TlsOptions::default()).unwrap();
    }
}
