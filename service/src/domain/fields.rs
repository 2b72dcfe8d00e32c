//! The texts that a client may store with a payment. They may hold personal data, so they are never part of an event, and
//! `payment-api erase` blanks them. None may contain a card number.

use std::collections::BTreeMap;

use super::contains_card_number;

/// In characters.
const MAX_CUSTOMER: usize = 255;
const MAX_DESCRIPTION: usize = 500;
/// As for other payment APIs: entries, characters of a key, characters of a value.
const MAX_ENTRIES: usize = 50;
const MAX_KEY: usize = 40;
const MAX_VALUE: usize = 500;

/// The error does not quote the text, which may be a card number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FieldError {
    #[error("must have 1 to {0} characters, without control characters")]
    Length(usize),
    #[error("contains a card number; send a token of the payment provider instead")]
    CardNumber,
    #[error("must have at most {MAX_ENTRIES} entries")]
    Entries,
    #[error("has a key without 1 to {MAX_KEY} characters")]
    MetadataKey,
    #[error("has a value with more than {MAX_VALUE} characters, or with control characters")]
    MetadataValue,
}

fn check(text: &str, most: usize) -> Result<(), FieldError> {
    if text.is_empty() || text.chars().count() > most || text.contains(char::is_control) {
        return Err(FieldError::Length(most));
    }
    if contains_card_number(text) { Err(FieldError::CardNumber) } else { Ok(()) }
}

/// The client's own name for the payer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Customer(String);

impl Customer {
    pub fn new(text: String) -> Result<Self, FieldError> {
        check(&text, MAX_CUSTOMER).map(|()| Self(text))
    }

    /// Of a stored payment. It was checked by the rules of its time.
    pub fn stored(text: String) -> Self {
        Self(text)
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What the payment is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Description(String);

impl Description {
    pub fn new(text: String) -> Result<Self, FieldError> {
        check(&text, MAX_DESCRIPTION).map(|()| Self(text))
    }

    /// As [`Customer::stored`].
    pub fn stored(text: String) -> Self {
        Self(text)
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The client's own data.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Metadata(BTreeMap<String, String>);

impl Metadata {
    pub fn new(entries: BTreeMap<String, String>) -> Result<Self, FieldError> {
        if entries.len() > MAX_ENTRIES {
            return Err(FieldError::Entries);
        }
        for (key, value) in &entries {
            check(key, MAX_KEY).map_err(|error| match error {
                FieldError::Length(_) => FieldError::MetadataKey,
                other => other,
            })?;
            // An empty value is allowed.
            if !value.is_empty() {
                check(value, MAX_VALUE).map_err(|error| match error {
                    FieldError::Length(_) => FieldError::MetadataValue,
                    other => other,
                })?;
            }
        }
        Ok(Self(entries))
    }

    /// As [`Customer::stored`].
    pub fn stored(entries: BTreeMap<String, String>) -> Self {
        Self(entries)
    }

    pub fn entries(&self) -> &BTreeMap<String, String> {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CARD: &str = "4111 1111 1111 1111";

    fn metadata(entries: &[(&str, &str)]) -> Result<Metadata, FieldError> {
        let entries = entries.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        Metadata::new(entries.collect())
    }

    #[test]
    fn texts_are_bounded_in_characters_and_not_in_bytes() {
        assert!(Customer::new("é".repeat(255)).is_ok());
        for text in [String::new(), "é".repeat(256), "a\nb".to_owned(), "a\0b".to_owned()] {
            assert_eq!(Customer::new(text), Err(FieldError::Length(255)));
        }
        assert!(Description::new("d".repeat(500)).is_ok());
        assert_eq!(Description::new("d".repeat(501)), Err(FieldError::Length(500)));
    }

    #[test]
    fn metadata_have_limits() {
        let many: Vec<String> = (0..51).map(|number| number.to_string()).collect();
        let entries = |count: usize| many[..count].iter().map(|key| (key.clone(), String::new())).collect();
        assert!(Metadata::new(entries(50)).is_ok());
        assert_eq!(Metadata::new(entries(51)), Err(FieldError::Entries));
        assert_eq!(metadata(&[("", "value")]), Err(FieldError::MetadataKey));
        assert_eq!(metadata(&[(&"k".repeat(41), "value")]), Err(FieldError::MetadataKey));
        assert_eq!(metadata(&[("key", &"v".repeat(501))]), Err(FieldError::MetadataValue));
        assert!(metadata(&[(&"k".repeat(40), &"v".repeat(500))]).is_ok());
    }

    #[test]
    fn no_text_may_contain_a_card_number_and_the_error_does_not_quote_it() {
        let errors = [
            Customer::new(CARD.to_owned()).unwrap_err(),
            Description::new(format!("paid with {CARD}")).unwrap_err(),
            metadata(&[("card", CARD)]).unwrap_err(),
            metadata(&[(CARD, "card")]).unwrap_err(),
        ];
        for error in errors {
            assert_eq!(error, FieldError::CardNumber);
            assert!(!error.to_string().contains("4111"));
        }
    }
}
