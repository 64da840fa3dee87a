//! With a TLS provider installed by the program, an API far away can be set up; nothing is sent.

mod common;

use ketch_core::Backend;

#[test]
fn a_provider_that_the_program_installed_is_used() {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let request = common::request("a/b", &[("api_url", "https://api.1fichier.com/v1")], None);
    let backend = ketch_fichier::Fichier::alone(&request).expect("opens without a network");
    let about = backend.about();
    let location = &about.location;
    assert!(location.starts_with("fichier:api.1fichier.com:"), "{location}");
    assert!(location.ends_with("/a/b"), "{location}");
    assert!(location.starts_with(about.scope.as_deref().expect("one account")));
}
