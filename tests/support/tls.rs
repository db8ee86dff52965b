//! A certificate authority made for one test, with a server certificate.

use std::path::PathBuf;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};

use super::folder;

/// An authority and one certificate of it, for `localhost` and 127.0.0.1, as PEM
/// files. A daemon trusts it when it runs with `SSL_CERT_FILE` set to `ca_file`.
pub struct Authority {
    /// The authority's own certificate.
    pub ca_file: PathBuf,
    /// The server's certificate.
    pub cert_file: PathBuf,
    /// The server's key.
    pub key_file: PathBuf,
}

impl Authority {
    /// Makes a new one.
    pub fn new() -> Self {
        let folder = folder("tls");
        let key = || KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(Vec::new()).expect("parameters");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, key()).expect("an authority");
        let server_key = key();
        let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
        let server = CertificateParams::new(names)
            .expect("parameters")
            .signed_by(&server_key, &issuer)
            .expect("a certificate");
        let write = |name: &str, pem: String| {
            let file = folder.join(name);
            std::fs::write(&file, pem).expect("a PEM file");
            file
        };
        Self {
            ca_file: write("ca.pem", issuer.pem()),
            cert_file: write("server.pem", server.pem()),
            key_file: write("server.key", server_key.serialize_pem()),
        }
    }
}
