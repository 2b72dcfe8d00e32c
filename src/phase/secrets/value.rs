//! The value of a new secret.

use std::fmt;

use rand::TryRng;
use secrecy::{SecretString, zeroize::Zeroize};

/// The kinds of secrets. Each has its own shape of value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The key that the API's clients send.
    ApiKey,
    /// The login of the database role with this name.
    Login(&'static str),
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ApiKey => f.write_str("API key"),
            Self::Login(role) => write!(f, "login of database role `{role}`"),
        }
    }
}

impl Kind {
    /// A new value with 32 bytes from the operating system's generator.
    pub fn fresh(self) -> SecretString {
        let mut bytes = [0; 32];
        rand::rngs::SysRng.try_fill_bytes(&mut bytes).expect("the operating system has random numbers");
        let mut random = hex::encode(bytes);
        bytes.zeroize();
        // Formatted by hand: a serde_json tree would leave copies of the value in memory.
        let value = match self {
            Self::ApiKey => format!(r#"{{"API_SECRET_KEY":"{random}"}}"#),
            Self::Login(role) => format!(r#"{{"username":"{role}","password":"{random}"}}"#),
        };
        random.zeroize();
        value.into()
    }
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::Kind;

    #[test]
    fn a_fresh_value_has_the_shape_its_readers_expect_and_is_random() {
        let value: serde_json::Value =
            serde_json::from_str(Kind::Login("app").fresh().expose_secret()).unwrap();
        assert_eq!(value["username"], "app");
        assert_eq!(value["password"].as_str().unwrap().len(), 64);
        let value: serde_json::Value = serde_json::from_str(Kind::ApiKey.fresh().expose_secret()).unwrap();
        assert!(value["API_SECRET_KEY"].as_str().unwrap().chars().all(|c| c.is_ascii_hexdigit()));
        assert_ne!(Kind::ApiKey.fresh().expose_secret(), Kind::ApiKey.fresh().expose_secret());
    }

    #[test]
    fn a_value_is_not_shown_by_debug() {
        assert!(!format!("{:?}", Kind::ApiKey.fresh()).contains("API_SECRET_KEY"));
    }
}
