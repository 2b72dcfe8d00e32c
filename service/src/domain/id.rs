//! Ids: a prefix that says what they name, and a version 7 UUID, so that they are ordered by time.

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use uuid::Uuid;

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an id that starts with `{prefix}` is expected")]
pub struct IdError {
    prefix: &'static str,
}

macro_rules! id {
    ($name:ident, $prefix:literal, $subject:literal) => {
        #[doc = concat!("The id of ", $subject, ": `", $prefix, "` and 32 hexadecimal digits.")]
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub Uuid);

        impl $name {
            /// A new id, greater than those that this process made before.
            pub fn new() -> Self {
                Self(Uuid::now_v7())
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, text: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(text, concat!($prefix, "{}"), self.0.simple())
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                // Only the form that this service writes: each payment has one address.
                let digits = text.strip_prefix($prefix).filter(|digits| {
                    digits.len() == 32 && digits.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
                });
                let id = digits.and_then(|digits| Uuid::try_parse(digits).ok());
                id.map(Self).ok_or(IdError { prefix: $prefix })
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }
    };
}

id!(AccountId, "acct_", "an account");
id!(ApiKeyId, "key_", "an API key");
id!(PaymentId, "pay_", "a payment");
id!(OperationId, "op_", "one request to the provider");

impl OperationId {
    /// When it was made, to the millisecond.
    pub fn created_at(self) -> Timestamp {
        let (seconds, nanoseconds) = self.0.get_timestamp().map_or((0, 0), |time| time.to_unix());
        let parts = (i64::try_from(seconds), i32::try_from(nanoseconds));
        let (Ok(seconds), Ok(nanoseconds)) = parts else { return Timestamp::UNIX_EPOCH };
        Timestamp::new(seconds, nanoseconds).unwrap_or(Timestamp::UNIX_EPOCH)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_read_as_it_is_written_and_in_no_other_form() {
        let id = PaymentId::new();
        assert_eq!(id.to_string().parse(), Ok(id));
        let hyphenated = format!("pay_{}", id.0.hyphenated());
        for text in
            ["", "pay_", "pay_zz", &id.to_string().to_uppercase(), &id.0.simple().to_string(), &hyphenated]
        {
            assert!(text.parse::<PaymentId>().is_err(), "{text}");
        }
        assert!(id.to_string().replace("pay_", "acct_").parse::<PaymentId>().is_err());
    }
}
