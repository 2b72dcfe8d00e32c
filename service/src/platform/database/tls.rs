//! Which authorities may issue the database's certificate.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::{self, PemObject};
use rustls::{ClientConfig, RootCertStore};

use super::error::DatabaseError;
use crate::platform::secret::Version;

/// The authorities of a file, if there is one, and the public ones. The file is read again when it has changed, so that a
/// renewed bundle needs no restart. All connections share what was read, and with it the sessions that TLS resumes.
#[derive(Debug)]
pub struct Authorities {
    file: Option<PathBuf>,
    read: Mutex<Option<(Option<Version>, ClientConfig)>>,
}

impl Authorities {
    pub fn new(file: Option<PathBuf>) -> Self {
        Self { file, read: Mutex::new(None) }
    }

    /// # Errors
    /// If the file cannot be read.
    pub fn config(&self) -> Result<ClientConfig, DatabaseError> {
        // Before the file is read: one that changes meanwhile is read again.
        let version = self.file.as_deref().and_then(Version::of);
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        match &*read {
            Some((known, config)) if *known == version => Ok(config.clone()),
            _ => {
                let config = config(self.file.as_deref())?;
                *read = Some((version, config.clone()));
                Ok(config)
            }
        }
    }
}

fn config(file: Option<&Path>) -> Result<ClientConfig, DatabaseError> {
    let mut roots: RootCertStore = webpki_roots::TLS_SERVER_ROOTS.iter().cloned().collect();
    if let Some(path) = file {
        let certificates =
            certificates(path).map_err(|cause| DatabaseError::Authorities { path: path.into(), cause })?;
        // Certificates that cannot be trust anchors are skipped, as other TLS stacks do.
        roots.add_parsable_certificates(certificates);
    }
    let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("aws-lc-rs supports the default protocol versions");
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, pem::Error> {
    CertificateDer::pem_file_iter(path)?.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_renewed_bundle_is_read_again_and_an_unchanged_one_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("ca.pem");
        let authority = |name: &str| {
            let key = rcgen::KeyPair::generate().unwrap();
            rcgen::CertificateParams::new([name.to_owned()]).unwrap().self_signed(&key).unwrap().pem()
        };
        let replace = |text: String| {
            std::fs::write(folder.path().join("next"), text).unwrap();
            std::fs::rename(folder.path().join("next"), &file).unwrap();
        };
        let authorities = Authorities::new(Some(file.clone()));
        let version_that_was_read = || {
            authorities.config().unwrap();
            authorities.read.lock().unwrap().as_ref().unwrap().0
        };
        replace(authority("one"));
        let first = version_that_was_read();
        assert_eq!(version_that_was_read(), first);
        replace(authority("two"));
        assert_ne!(version_that_was_read(), first);
        std::fs::remove_file(&file).unwrap();
        assert!(authorities.config().is_err());
    }
}
