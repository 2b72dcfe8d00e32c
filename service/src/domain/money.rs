//! Amounts in minor units, such as cents, of an ISO 4217 currency. Never a floating-point number.

use std::fmt;

/// The largest amount of one payment, in minor units. A thousand million payments of it still add up in 64 bits.
const MAX_AMOUNT: i64 = 999_999_999_999;

/// A currency of ISO 4217 in which people pay: not a fund's unit of account, not gold, not a testing code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Currency(iso_currency::Currency);

/// A positive amount.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Money {
    minor: i64,
    currency: Currency,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AmountError {
    #[error("must be a whole number of minor units between 1 and {MAX_AMOUNT}")]
    Amount,
    #[error("must be a currency of ISO 4217 in capital letters, such as `EUR`")]
    Currency,
}

impl Currency {
    /// # Errors
    /// If `code` is not one of ISO 4217's alphabetic codes in capital letters, or nobody pays in it.
    pub fn of_code(code: &str) -> Result<Self, AmountError> {
        let is_capital = code.bytes().all(|byte| byte.is_ascii_uppercase());
        let known = iso_currency::Currency::from_code(code).filter(|currency| {
            let is_money =
                !currency.is_fund() && !currency.is_special() && currency.is_superseded().is_none();
            is_capital && is_money && currency.exponent().is_some()
        });
        known.map(Self).ok_or(AmountError::Currency)
    }

    /// The currency of a stored payment. ISO 4217 may have withdrawn it since.
    pub fn stored(code: &str) -> Option<Self> {
        iso_currency::Currency::from_code(code).map(Self)
    }

    pub fn code(self) -> &'static str {
        self.0.code()
    }

    /// How many decimal digits the minor unit has: 2 for EUR and MXN, 0 for CLP, 3 for KWD.
    fn exponent(self) -> usize {
        self.0.exponent().map_or(0, usize::from)
    }
}

impl Money {
    /// # Errors
    /// If `minor` is not between 1 and [`MAX_AMOUNT`].
    pub fn new(minor: i64, currency: Currency) -> Result<Self, AmountError> {
        if (1..=MAX_AMOUNT).contains(&minor) {
            Ok(Self { minor, currency })
        } else {
            Err(AmountError::Amount)
        }
    }

    /// An amount that was checked before it was stored.
    pub fn stored(minor: i64, currency: Currency) -> Self {
        Self { minor, currency }
    }

    /// Another amount of the same currency, which has been checked before.
    pub fn with_minor(self, minor: i64) -> Self {
        Self { minor, ..self }
    }

    pub fn minor(self) -> i64 {
        self.minor
    }

    pub fn currency(self) -> Currency {
        self.currency
    }
}

/// In major units, with all digits of the currency: `10.50 EUR`, `1050 CLP`, `1.050 KWD`.
impl fmt::Display for Money {
    fn fmt(&self, text: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = self.currency.exponent();
        let scale = 10_i64.pow(u32::try_from(digits).unwrap_or(0));
        let (major, minor) = (self.minor / scale, self.minor % scale);
        match digits {
            0 => write!(text, "{major} {}", self.currency.code()),
            _ => write!(text, "{major}.{minor:0digits$} {}", self.currency.code()),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_minor_unit_of_each_currency_is_that_of_iso_4217() {
        for (code, text) in [
            ("EUR", "10.50 EUR"),
            ("MXN", "10.50 MXN"),
            ("CLP", "1050 CLP"),
            ("JPY", "1050 JPY"),
            ("KWD", "1.050 KWD"),
        ] {
            let money = Money::new(1050, Currency::of_code(code).unwrap()).unwrap();
            assert_eq!(money.to_string(), text);
        }
    }

    #[test]
    fn only_currencies_with_minor_units_are_accepted() {
        for code in ["", "eur", "Eur", "EU", "EURO", "ZZZ", "XAU", "XXX", "XTS", "CLF", "€"] {
            assert_eq!(Currency::of_code(code), Err(AmountError::Currency), "{code}");
        }
    }

    #[test]
    fn an_amount_is_positive_and_bounded() {
        let currency = Currency::of_code("EUR").unwrap();
        for minor in [i64::MIN, -1, 0, MAX_AMOUNT + 1, i64::MAX] {
            assert_eq!(Money::new(minor, currency), Err(AmountError::Amount));
        }
    }

    proptest! {
        #[test]
        fn the_decimal_form_has_the_same_digits_as_the_amount(
            minor in 1..=MAX_AMOUNT,
            code in prop::sample::select(vec!["EUR", "MXN", "CLP", "KWD"]),
        ) {
            let text = Money::new(minor, Currency::of_code(code).unwrap()).unwrap().to_string();
            let digits: String = text.chars().filter(char::is_ascii_digit).collect();
            prop_assert_eq!(digits.parse::<i64>().unwrap(), minor);
        }
    }
}
