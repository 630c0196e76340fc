//! TLS as libpq's `sslmode` means it, by rustls with ring.
//!
//! In: a [`SourceConfig`] and a connected stream. Out: the stream inside a TLS session, and its channel binding.
//!
//! Always: certificates are checked exactly as far as the mode says; names are those of the certificate's subject
//! alternative names (a common name alone does not count, unlike in libpq).

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use sha2::Digest;
use tokio_rustls::TlsConnector;

use crate::config::{RootCertificates, SourceConfig, SslMode};

/// Why there is no TLS session.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// The server was built or configured without it.
    #[error("the server does not offer TLS\n  hint: set ssl = on there, or sslmode = prefer here")]
    NotOffered,
    /// A certificate or key file.
    #[error("cannot read certificates from `{}`: {reason}", .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
    /// A host that certificates cannot name.
    #[error("`{0}` is not a host name that a certificate can be checked against")]
    Name(String),
    /// The library refuses the configuration.
    #[error("the TLS configuration is not usable: {0}")]
    Configuration(#[from] rustls::Error),
    /// The handshake failed: most often the certificate is not trusted.
    #[error(
        "the handshake failed: {0}\n  hint: if the certificate's authority is not a public one, name its file with sslrootcert"
    )]
    Handshake(#[source] io::Error),
}

/// A connector for `config`; `None` when TLS is never used.
///
/// # Errors
/// When certificate files cannot be read.
pub fn connector(config: &SourceConfig) -> Result<Option<TlsConnector>, TlsError> {
    if config.ssl_mode == SslMode::Disable {
        return Ok(None);
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier: Arc<dyn ServerCertVerifier> = match trust(config) {
        Trust::Anyone => Arc::new(AnyCertificate {
            provider: provider.clone(),
        }),
        Trust::Authority => Arc::new(AnyName {
            roots: roots(config)?,
            provider: provider.clone(),
        }),
        Trust::AuthorityAndName => {
            WebPkiServerVerifier::builder_with_provider(Arc::new(roots(config)?), provider.clone())
                .build()
                .map_err(|error| {
                    TlsError::Configuration(rustls::Error::General(error.to_string()))
                })?
        }
    };
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(verifier);
    let client = match &config.ssl_client {
        Some((cert, key)) => {
            builder.with_client_auth_cert(certificates(cert)?, private_key(key)?)?
        }
        None => builder.with_no_client_auth(),
    };
    Ok(Some(TlsConnector::from(Arc::new(client))))
}

/// The name that is sent to the server and that `verify-full` checks.
pub(crate) fn server_name(host: &str) -> Result<ServerName<'static>, TlsError> {
    ServerName::try_from(host.to_owned()).map_err(|_| TlsError::Name(host.to_owned()))
}

enum Trust {
    Anyone,
    Authority,
    AuthorityAndName,
}

fn trust(config: &SourceConfig) -> Trust {
    match config.ssl_mode {
        SslMode::VerifyFull => Trust::AuthorityAndName,
        SslMode::VerifyCa => Trust::Authority,
        // As in libpq: a root certificate makes `require` check it.
        SslMode::Require => match config.ssl_root {
            Some(RootCertificates::File(_)) => Trust::Authority,
            Some(RootCertificates::System) => Trust::AuthorityAndName,
            None => Trust::Anyone,
        },
        SslMode::Disable | SslMode::Allow | SslMode::Prefer => Trust::Anyone,
    }
}

fn file_error(path: &Path, reason: impl ToString) -> TlsError {
    TlsError::File {
        path: path.to_owned(),
        reason: reason.to_string(),
    }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let found = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| file_error(path, error))?;
    if found.is_empty() {
        return Err(file_error(path, "it holds no PEM certificate"));
    }
    Ok(found)
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    PrivateKeyDer::from_pem_file(path).map_err(|error| file_error(path, error))
}

fn roots(config: &SourceConfig) -> Result<RootCertStore, TlsError> {
    let mut store = RootCertStore::empty();
    match &config.ssl_root {
        Some(RootCertificates::File(path)) => {
            for certificate in certificates(path)? {
                store
                    .add(certificate)
                    .map_err(|error| file_error(path, error))?;
            }
        }
        Some(RootCertificates::System) | None => {
            store.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
        }
    }
    Ok(store)
}

/// `sslmode=require`: encrypted, with whoever it is. The handshake's signature is still checked.
#[derive(Debug)]
struct AnyCertificate {
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(
            message,
            cert,
            dss,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(
            message,
            cert,
            dss,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}

/// `sslmode=verify-ca`: signed by one of these, for whatever name.
#[derive(Debug)]
struct AnyName {
    roots: RootCertStore,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for AnyName {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        rustls::client::verify_server_cert_signed_by_trust_anchor(
            &ParsedCertificate::try_from(end_entity)?,
            &self.roots,
            intermediates,
            now,
            self.provider.signature_verification_algorithms.all,
        )?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(
            message,
            cert,
            dss,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(
            message,
            cert,
            dss,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}

/// `tls-server-end-point` (RFC 5929): the server's certificate, hashed by the hash of its own signature, or SHA-256 where
/// that is MD5 or SHA-1. `None` where the signature names no hash: then there is no channel binding.
pub(crate) fn server_end_point(certificate: &[u8]) -> Option<Vec<u8>> {
    const SHA256_RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01];
    const ECDSA: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04];
    let (0x30, body, _) = der(certificate)? else {
        return None;
    };
    let (0x30, _, after_tbs) = der(body)? else {
        return None;
    };
    let (0x30, algorithm, _) = der(after_tbs)? else {
        return None;
    };
    let (0x06, oid, _) = der(algorithm)? else {
        return None;
    };
    let sha256 = || Some(sha2::Sha256::digest(certificate).to_vec());
    let sha384 = || Some(sha2::Sha384::digest(certificate).to_vec());
    let sha512 = || Some(sha2::Sha512::digest(certificate).to_vec());
    if let Some(rest) = oid.strip_prefix(SHA256_RSA) {
        return match rest {
            // md5WithRSA, sha1WithRSA, sha256WithRSA
            [4] | [5] | [11] => sha256(),
            [12] => sha384(),
            [13] => sha512(),
            _ => None,
        };
    }
    match oid.strip_prefix(ECDSA)? {
        // ecdsa-with-SHA1, then SHA256 and up
        [1] | [3, 2] => sha256(),
        [3, 3] => sha384(),
        [3, 4] => sha512(),
        _ => None,
    }
}

/// One DER element off the front: tag, content, the rest.
fn der(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, bytes) = bytes.split_first()?;
    let (&first, mut bytes) = bytes.split_first()?;
    let length = if first < 0x80 {
        usize::from(first)
    } else {
        let (digits, rest) = bytes.split_at_checked(usize::from(first & 0x7f))?;
        bytes = rest;
        if digits.is_empty() || digits.len() > 4 {
            return None;
        }
        digits
            .iter()
            .fold(0_usize, |length, &digit| length << 8 | usize::from(digit))
    };
    let (content, rest) = bytes.split_at_checked(length)?;
    Some((tag, content, rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_bytes_are_a_certificate_or_not_but_never_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            let _ = server_end_point(&bytes);
        }
    }

    #[test]
    fn a_long_length_is_read_and_a_lying_one_is_not() {
        assert_eq!(
            der(&[0x04, 0x81, 0x02, 7, 8, 9]),
            Some((4, &[7, 8][..], &[9][..]))
        );
        assert_eq!(der(&[0x04, 0x05, 1]), None);
        assert_eq!(der(&[0x04, 0x80]), None);
        assert_eq!(der(&[0x04, 0x85, 1, 1, 1, 1, 1]), None);
    }
}
