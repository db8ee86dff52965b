//! A certificate authority made for one test, with a server certificate.

use std::path::{Path, PathBuf};
use std::process::Command;

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
    /// Makes a new one, valid for a day.
    pub fn new() -> Self {
        let folder = folder("tls");
        let request = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -noenc -days 1";
        let authority = "-subj /CN=test-authority -keyout ca.key -out ca.pem \
                         -addext keyUsage=critical,keyCertSign";
        let server = "-subj /CN=localhost -keyout server.key -out server.pem -CA ca.pem -CAkey ca.key \
                      -addext subjectAltName=DNS:localhost,IP:127.0.0.1 \
                      -addext basicConstraints=critical,CA:FALSE";
        openssl(&folder, &format!("{request} {authority}"));
        openssl(&folder, &format!("{request} {server}"));
        Self { ca_file: folder.join("ca.pem"), cert_file: folder.join("server.pem"), key_file: folder.join("server.key") }
    }
}

fn openssl(folder: &Path, arguments: &str) {
    let output = Command::new("openssl").args(arguments.split_whitespace()).current_dir(folder).output().expect("the openssl command");
    assert!(output.status.success(), "openssl: {output:?}");
}
