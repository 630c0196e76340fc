//! One HTTP client for the harness.

use std::sync::OnceLock;
use std::time::Duration;

/// A client with time-outs. The cryptography provider of the process is installed on the first call.
pub fn client() -> reqwest::Client {
    static PROVIDER: OnceLock<()> = OnceLock::new();
    PROVIDER.get_or_init(|| {
        // Somebody else in this process may have been first, with the same provider.
        let _ = rustls::crypto::ring::default_provider().install_default();
    });
    reqwest::Client::builder()
        .no_proxy()
        .connect_timeout(Duration::from_secs(5))
        .timeout(Duration::from_secs(30))
        .build()
        .expect("a client without files or certificates of its own can always be built")
}
