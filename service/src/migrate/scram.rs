//! Computes a password's SCRAM-SHA-256 verifier, so that the password itself is in no statement: servers log
//! statements.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};

/// PostgreSQL's default and the minimum of RFC 7677.
const ITERATIONS: u32 = 4096;

#[derive(Debug, thiserror::Error)]
#[error("the password of `{username}` must be printable ASCII, because SASLprep changes other characters")]
pub struct PasswordError {
    username: String,
}

/// The verifier, which `ALTER ROLE … PASSWORD` accepts in place of the password.
pub fn verifier(username: &str, password: &SecretString) -> Result<String, PasswordError> {
    let password = password.expose_secret();
    if !password.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic()) {
        return Err(PasswordError { username: username.to_owned() });
    }
    Ok(verifier_with_salt(password.as_bytes(), rand::random()))
}

fn verifier_with_salt(password: &[u8], salt: [u8; 16]) -> String {
    let salted: [u8; 32] = pbkdf2::pbkdf2_hmac_array::<Sha256, 32>(password, &salt, ITERATIONS);
    let stored_key = Sha256::digest(sign(&salted, b"Client Key"));
    let server_key = sign(&salted, b"Server Key");
    let encode = |bytes: &[u8]| STANDARD.encode(bytes);
    format!("SCRAM-SHA-256${ITERATIONS}:{}${}:{}", encode(&salt), encode(&stored_key), encode(&server_key))
}

fn sign(key: &[u8; 32], text: &[u8]) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes a key of any length");
    mac.update(text);
    mac.finalize().into_bytes().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_verifier_matches_the_example_of_rfc_7677() {
        let salt = STANDARD.decode("W22ZaJ0SNY7soEsUEjb6gQ==").unwrap().try_into().unwrap();
        assert_eq!(
            verifier_with_salt(b"pencil", salt),
            "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==\
             $WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="
        );
    }

    #[test]
    fn a_password_that_saslprep_would_change_is_rejected() {
        assert!(verifier("app", &"pass\u{a0}word".into()).unwrap_err().to_string().contains("`app`"));
    }
}
