//! Certificates that are mounted and rotated while reviews come in.

use std::fs;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use tempfile::TempDir;

use crate::load::Load;
use crate::review;
use crate::support::eventually;
use crate::support::process::{Launch, Process};
use crate::support::secret::MountedSecret;

/// Connects until the server presents `leaf`.
async fn presents(server: &Process, leaf: &str) {
    let leaf = CertificateDer::from_pem_slice(leaf.as_bytes()).unwrap();
    eventually("the leaf is presented", || async {
        (server.client().await.leaf == leaf).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn three_rotations_are_served_and_a_broken_pair_is_not() {
    let folder = TempDir::new().unwrap();
    let mut secret = MountedSecret::new(folder.path());
    let server = Launch::new().certs(secret.directory()).start().await;
    assert!(
        !server.folder().join("certs").exists(),
        "no development CA is made"
    );
    let load = Load::start(&server, &review("create"), || crate::assert_plainly_allowed).await;
    let mut last = String::new();
    for rotation in 0..3 {
        let leaf = secret.rotate();
        assert_ne!(leaf, last, "rotation {rotation} is another leaf");
        presents(&server, &leaf).await;
        last = leaf;
    }
    secret.publish_spoilt(|data| {
        let other = rcgen::KeyPair::generate().unwrap().serialize_pem();
        fs::write(data.join("tls.key"), other).unwrap();
    });
    let text = eventually("the broken pair is noticed", || async {
        let text = server.readyz().await;
        text.contains("does not belong to").then_some(text)
    })
    .await;
    assert!(
        text.contains("[+]certificate ok: the last good one is served"),
        "{text}"
    );
    presents(&server, &last).await;
    let leaf = secret.rotate();
    presents(&server, &leaf).await;
    load.stop().await;
    server.stop().await;
}
