//! Certificates of servers, made for one server and gone with it.

use std::path::{Path, PathBuf};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};

use super::{ServerError, account::Account};

/// Whether the server offers TLS, and how good its certificate is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Certificate {
    /// No TLS.
    #[default]
    None,
    /// Names `localhost` and 127.0.0.1 and is valid.
    Valid,
    /// Was valid in 2019.
    Expired,
    /// Names `elsewhere.invalid`.
    OtherName,
}

/// The files of a certificate.
#[derive(Clone, Debug)]
pub(super) struct Files {
    /// The authority that signed it, which clients are to trust.
    pub(super) authority: PathBuf,
    /// The certificate.
    pub(super) chain: PathBuf,
    /// Its key.
    pub(super) key: PathBuf,
}

impl Certificate {
    /// Makes the files in `directory`, if TLS is wanted at all.
    pub(super) fn make(self, directory: &Path, account: Account) -> Result<Option<Files>, ServerError> {
        if self == Self::None {
            return Ok(None);
        }
        let (authority, chain, key) = self.sign().map_err(|error| ServerError::Machine {
            doing: "make a certificate".to_owned(),
            reason: error.to_string(),
        })?;
        let write = |name: &str, text: String| -> Result<PathBuf, ServerError> {
            let path = directory.join(name);
            account.write(&path, &text)?;
            Ok(path)
        };
        Ok(Some(Files {
            authority: write("authority.pem", authority)?,
            chain: write("server.pem", chain)?,
            key: write("server.key", key)?,
        }))
    }

    /// Authority, certificate and key as PEM.
    fn sign(self) -> Result<(String, String, String), rcgen::Error> {
        let authority_key = KeyPair::generate()?;
        let mut authority = CertificateParams::new(Vec::new())?;
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        authority.distinguished_name.push(DnType::CommonName, "authority of a test");
        let trusted = authority.self_signed(&authority_key)?.pem();
        let names: &[&str] =
            if self == Self::OtherName { &["elsewhere.invalid"] } else { &["localhost", "127.0.0.1"] };
        let mut leaf = CertificateParams::new(names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>())?;
        leaf.distinguished_name.push(DnType::CommonName, names[0]);
        if self == Self::Expired {
            leaf.not_before = rcgen::date_time_ymd(2019, 1, 1);
            leaf.not_after = rcgen::date_time_ymd(2020, 1, 1);
        }
        let key = KeyPair::generate()?;
        let chain = leaf.signed_by(&key, &Issuer::new(authority, authority_key))?.pem();
        Ok((trusted, chain, key.serialize_pem()))
    }
}
