//! Signs a certificate with an authority of its own.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};

use super::{Certificate, Files};
use crate::{ServerError, account::Account};

/// Makes a certificate of this kind in `directory`, in place of one that is there.
///
/// The authority stays the same, so that clients who trust it can meet another certificate.
pub(super) fn files(wanted: Certificate, directory: &Path, account: Account) -> Result<Files, ServerError> {
    let made = |error: rcgen::Error| ServerError::Machine {
        doing: "make a certificate".to_owned(),
        reason: error.to_string(),
    };
    let write = |name: &str, text: String| -> Result<PathBuf, ServerError> {
        let path = directory.join(name);
        account.write(&path, &text)?;
        Ok(path)
    };
    let authority_key = match fs::read_to_string(directory.join(AUTHORITY_KEY)) {
        Ok(pem) => KeyPair::from_pem(&pem),
        Err(error) if error.kind() == io::ErrorKind::NotFound => KeyPair::generate(),
        Err(error) => return Err(ServerError::machine("read the key of an authority")(error)),
    };
    let authority_key = authority_key.map_err(made)?;
    write(AUTHORITY_KEY, authority_key.serialize_pem())?;
    let (authority, chain, key) = sign(wanted, authority_key).map_err(made)?;
    Ok(Files {
        authority: write("authority.pem", authority)?,
        chain: write("server.pem", chain)?,
        key: write("server.key", key)?,
    })
}

/// The key of the authority, for the next certificate.
const AUTHORITY_KEY: &str = "authority.key";

/// Authority, certificate and key as PEM.
fn sign(wanted: Certificate, authority_key: KeyPair) -> Result<(String, String, String), rcgen::Error> {
    let mut authority = CertificateParams::new(Vec::new())?;
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    authority.distinguished_name.push(DnType::CommonName, "authority of a test");
    let trusted = authority.self_signed(&authority_key)?.pem();
    let names: &[&str] = match wanted {
        Certificate::OtherName => &["elsewhere.invalid"],
        _ => &["localhost", "127.0.0.1"],
    };
    let mut leaf = CertificateParams::new(names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>())?;
    leaf.distinguished_name.push(DnType::CommonName, names[0]);
    if wanted == Certificate::Expired {
        leaf.not_before = rcgen::date_time_ymd(2019, 1, 1);
        leaf.not_after = rcgen::date_time_ymd(2020, 1, 1);
    }
    let key = KeyPair::generate()?;
    let chain = leaf.signed_by(&key, &Issuer::new(authority, authority_key))?.pem();
    Ok((trusted, chain, key.serialize_pem()))
}
