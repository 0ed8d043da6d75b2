//! Certificates of servers, made for one server and gone with it.

#[cfg(feature = "certificates")]
mod sign;

use std::path::{Path, PathBuf};

use crate::{ServerError, account::Account};

/// Whether the server offers TLS, and how good its certificate is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Certificate {
    /// No TLS.
    #[default]
    None,
    /// Names `localhost` and 127.0.0.1 and is valid.
    #[cfg(feature = "certificates")]
    Valid,
    /// Was valid in 2019.
    #[cfg(feature = "certificates")]
    Expired,
    /// Names `elsewhere.invalid`.
    #[cfg(feature = "certificates")]
    OtherName,
}

/// The files of a certificate.
#[derive(Clone, Debug)]
pub(crate) struct Files {
    /// The authority that signed it, which clients are to trust.
    pub(crate) authority: PathBuf,
    /// The certificate.
    pub(crate) chain: PathBuf,
    /// Its key.
    pub(crate) key: PathBuf,
}

impl Certificate {
    /// Makes the files in `directory`, if TLS is wanted at all.
    #[cfg_attr(not(feature = "certificates"), allow(unused_variables, clippy::unnecessary_wraps))]
    pub(crate) fn make(self, directory: &Path, account: Account) -> Result<Option<Files>, ServerError> {
        match self {
            Self::None => Ok(None),
            #[cfg(feature = "certificates")]
            wanted => sign::files(wanted, directory, account).map(Some),
        }
    }
}
