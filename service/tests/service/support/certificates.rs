//! A certificate authority and a server certificate for `localhost`.

use std::path::Path;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};

pub const AUTHORITY: &str = "ca.crt";
pub const CERTIFICATE: &str = "server.crt";
pub const KEY: &str = "server.key";

/// Writes the three files into `folder`.
pub fn write(folder: &Path) {
    let mut authority = CertificateParams::new(Vec::new()).unwrap();
    authority.distinguished_name.push(DnType::CommonName, "authority of these tests");
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority_key = KeyPair::generate().unwrap();
    let certificate = authority.self_signed(&authority_key).unwrap();
    std::fs::write(folder.join(AUTHORITY), certificate.pem()).unwrap();

    let mut server = CertificateParams::new(["localhost".to_owned()]).unwrap();
    server.distinguished_name.push(DnType::CommonName, "localhost");
    let key = KeyPair::generate().unwrap();
    let certificate = server.signed_by(&key, &Issuer::new(authority, authority_key)).unwrap();
    std::fs::write(folder.join(CERTIFICATE), certificate.pem()).unwrap();
    std::fs::write(folder.join(KEY), key.serialize_pem()).unwrap();
}
