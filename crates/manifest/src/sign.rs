//! Signatures of manifests, as the minisign tool makes and checks them: ed25519 over BLAKE2b of the file as it is on the disk.

use std::io::{Cursor, Read, Seek};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use minisign::{PublicKey, PublicKeyBox, SecretKey, SecretKeyBox, SignatureBox};

/// Why there is no signature, or why it proves nothing.
#[derive(Debug, thiserror::Error)]
pub enum SignError {
    /// The key file is not one, or the password is wrong.
    #[error("the secret key cannot be used: {0}")]
    SecretKey(String),
    /// Not a public key of minisign.
    #[error("the public key cannot be used: {0}")]
    PublicKey(String),
    /// Not a signature of minisign.
    #[error("the signature cannot be read: {0}")]
    Signature(String),
    /// The signature is not one of this file by this key.
    #[error("the signature is not one of this file by this key ({0})")]
    Wrong(String),
    /// The file could not be read or the signature not be made.
    #[error("{0}")]
    Failed(String),
}

/// Is the secret key in this text kept with a password?
pub fn needs_password(key: &str) -> Result<bool, SignError> {
    let bytes = key_bytes(key)?;
    // The third and fourth byte name the function that makes a key of a password; two zeros name none.
    match bytes.get(2..4) {
        Some(function) => Ok(function != [0, 0]),
        None => Err(SignError::SecretKey("it is too short".to_owned())),
    }
}

/// The signature of what `content` gives, to be put beside the file as `.minisig`.
pub fn sign(
    content: impl Read,
    key: &str,
    password: Option<String>,
    comment: &str,
) -> Result<String, SignError> {
    let key = secret_key(key, password)?;
    let signature =
        minisign::sign(None, &key, content, Some(comment), Some("signature from ketch"));
    Ok(signature.map_err(|error| SignError::Failed(error.to_string()))?.into_string())
}

/// Is this a secret key that makes signatures its own public key accepts, and is this its password?
pub fn check_key(key: &str, password: Option<String>) -> Result<(), SignError> {
    let key = secret_key(key, password)?;
    let signed = minisign::sign(None, &key, Cursor::new(b"ketch"), None, None);
    let signature = signed.map_err(|error| secret(&error))?;
    let public = PublicKey::from_secret_key(&key).map_err(|error| secret(&error))?;
    minisign::verify(&public, &signature, Cursor::new(b"ketch"), true, false, false)
        .map_err(|_| SignError::SecretKey("it is damaged".to_owned()))
}

fn secret_key(text: &str, password: Option<String>) -> Result<SecretKey, SignError> {
    if let Some(password) = password {
        let key = SecretKeyBox::from_string(text).map_err(|error| secret(&error))?;
        return key.into_secret_key(Some(password)).map_err(|error| secret(&error));
    }
    // Not `into_unencrypted_secret_key`: it asks for a checksum, and the minisign tool writes none into such a key.
    let bytes = key_bytes(text)?;
    if !bytes.starts_with(b"Ed") {
        return Err(SignError::SecretKey("it is not one of ed25519".to_owned()));
    }
    SecretKey::from_bytes(&bytes).map_err(|error| secret(&error))
}

fn key_bytes(text: &str) -> Result<Vec<u8>, SignError> {
    let line = text.lines().nth(1).unwrap_or_default();
    STANDARD.decode(line.trim()).map_err(|error| SignError::SecretKey(error.to_string()))
}

/// Checks that `signature` is one of what `content` gives, by the key whose file, or whose line of Base64, `key` is. Gives
/// the comment that was signed too.
pub fn verify(content: impl Read + Seek, key: &str, signature: &str) -> Result<String, SignError> {
    let key = public_key(key)?;
    let signature = SignatureBox::from_string(signature)
        .map_err(|error| SignError::Signature(error.to_string()))?;
    // The older form would need all of the file in memory, and no minisign of today writes it.
    if !signature.is_prehashed() {
        return Err(SignError::Signature("it has the old form (sign it again)".to_owned()));
    }
    minisign::verify(&key, &signature, content, true, false, false)
        .map_err(|error| SignError::Wrong(error.to_string()))?;
    signature.trusted_comment().map_err(|error| SignError::Signature(error.to_string()))
}

fn public_key(text: &str) -> Result<PublicKey, SignError> {
    let text = text.trim();
    let key = match text.contains('\n') {
        true => PublicKeyBox::from_string(text).and_then(PublicKey::from_box),
        false => PublicKey::from_base64(text),
    };
    key.map_err(|error| SignError::PublicKey(error.to_string()))
}

fn secret(error: &minisign::PError) -> SignError {
    SignError::SecretKey(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use minisign::KeyPair;

    #[test]
    fn a_signature_is_one_of_this_file_by_this_key() {
        let pair = KeyPair::generate_unencrypted_keypair().expect("made");
        let secret = pair.sk.to_box(None).expect("a box").into_string();
        let public = pair.pk.to_box().expect("a box").into_string();
        assert!(!needs_password(&secret).expect("readable"));
        check_key(&secret, None).expect("it is one");
        let signature = sign(&b"content"[..], &secret, None, "root 123").expect("signed");
        for key in [&public, &pair.pk.to_base64()] {
            let comment =
                verify(std::io::Cursor::new(b"content"), key, &signature).expect("it is one");
            assert_eq!(comment, "root 123");
            let error = verify(std::io::Cursor::new(b"contenT"), key, &signature)
                .expect_err("another file");
            assert!(matches!(error, SignError::Wrong(_)), "{error}");
        }
        let other = KeyPair::generate_unencrypted_keypair().expect("made").pk.to_base64();
        verify(std::io::Cursor::new(b"content"), &other, &signature).expect_err("another key");
        let forged = signature.replace("root 123", "root 124");
        verify(std::io::Cursor::new(b"content"), &public, &forged).expect_err("another comment");
        verify(std::io::Cursor::new(b"content"), &public, "nonsense").expect_err("no signature");
        verify(std::io::Cursor::new(b"content"), "nonsense", &signature).expect_err("no key");
        sign(&b""[..], "nonsense", None, "").expect_err("no key");
    }

    /// Made by `minisign -G -W`, which writes no checksum into it.
    #[test]
    fn a_key_of_the_minisign_tool_is_one_and_a_damaged_one_is_not() {
        let key = "untrusted comment: minisign encrypted secret key\n\
            RWQAAEIyAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAASkpGt+LRiKAdmjZ5mDgJwXcG\
            s3fQ9oZOaPOtYok6Dv91tSuN9E4/LpE9mlwylJbzh8kP41qkkSryIp/bAoW8kgoVntgKKIArAAAAAAAAAAAAAAAAAAAAAAAA\
            AAAAAAAAAAAAAAAAAAA=\n";
        check_key(key, None).expect("it is one");
        check_key(&key.replace("AdmjZ5", "AdmjZ6"), None).expect_err("it is damaged");
        check_key("one line", None).expect_err("it is none");
    }

    #[test]
    fn a_key_with_a_password_says_so() {
        // Made by `minisign -G`; its password is not needed to see that there is one.
        let text = "untrusted comment: minisign encrypted secret key\n\
            RWRTY0IyB9Ho2dP+rmQgfoF6D7A2H6KA6V5uji6L5lP8+/97AoAAAAACAAAAAAAAAEAAAAAAHJDLdnneyMyhA/V2\
            DXintSN9Oo/FSfLQStOG2fF4r0k1+lNRe1YQo4tP30tu11rtKWuKngxO27C36WyBS/ivSIGkRZe5oIBYSSG9G6XM\
            YoXIR4FXPpxhAIj5vZaGNv8BoueXC5D4W3o=\n";
        assert!(needs_password(text).expect("readable"));
    }
}
