//! Finds card numbers in text, because clients put them where they do not belong. Payment methods are tokens, and this
//! service must never store or log a card number.
//!
//! A card number is a group of digits, or several with one or two characters between them that are neither letters nor
//! digits, whose first digits and length are those of a card network and whose check digit is right (ISO/IEC 7812-1, annex B). One in ten numbers of that
//! form has the right check digit by chance. They are refused as well: the client can write such a number differently, and a
//! stored card number cannot be taken back.

use std::ops::RangeInclusive;

/// The first digits of a network's numbers, as a range of numbers with that many digits, and the lengths.
struct Network {
    prefix: RangeInclusive<u32>,
    lengths: RangeInclusive<usize>,
}

const fn network(prefix: RangeInclusive<u32>, lengths: RangeInclusive<usize>) -> Network {
    Network { prefix, lengths }
}

/// From the networks' published ranges of issuer identification numbers.
const NETWORKS: &[Network] = &[
    // Visa has numbers with 13, 16, and 19 digits.
    network(4..=4, 13..=13),
    network(4..=4, 16..=16),
    network(4..=4, 19..=19),
    // Mastercard.
    network(51..=55, 16..=16),
    network(2221..=2720, 16..=16),
    // American Express.
    network(34..=34, 15..=15),
    network(37..=37, 15..=15),
    // Discover.
    network(6011..=6011, 16..=19),
    network(644..=659, 16..=19),
    // Diners Club.
    network(300..=305, 14..=19),
    network(309..=309, 14..=19),
    network(36..=36, 14..=19),
    network(38..=39, 14..=19),
    // JCB.
    network(3528..=3589, 16..=19),
    // UnionPay and RuPay.
    network(60..=60, 16..=16),
    network(62..=62, 16..=19),
    network(81..=82, 16..=19),
    // Maestro.
    network(50..=50, 12..=19),
    network(56..=58, 12..=19),
    network(6304..=6304, 12..=19),
    network(6759..=6763, 12..=19),
    // Mir.
    network(2200..=2204, 16..=19),
];
const SHORTEST: usize = 12;
const LONGEST: usize = 19;

/// Whether `text` contains a card number.
pub fn contains_card_number(text: &str) -> bool {
    // Digits of other scripts are folded; most texts are ASCII, and none of those is copied.
    if text.is_ascii() {
        return contains_in(text.as_bytes());
    }
    let folded: Vec<u8> = text.chars().map(fold).collect();
    contains_in(&folded)
}

/// A character as one byte that means the same here: a digit, a letter, or something between groups.
fn fold(character: char) -> u8 {
    match u8::try_from(character) {
        Ok(byte) if byte.is_ascii() => byte,
        // Full-width digits, as keyboards for Chinese and Japanese write them.
        _ if ('\u{ff10}'..='\u{ff19}').contains(&character) => {
            b'0' + u8::try_from(u32::from(character) - 0xff10).unwrap_or(0)
        }
        _ if character.is_alphanumeric() => b'x',
        _ => b' ',
    }
}

fn contains_in(bytes: &[u8]) -> bool {
    let mut at = 0;
    while let Some(start) = bytes[at..].iter().position(u8::is_ascii_digit).map(|offset| at + offset) {
        if starts_with_card_number(&bytes[start..]) {
            return true;
        }
        // The next group: a card number does not start inside of one.
        at = start + bytes[start..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    }
    false
}

/// Whether `text`, which starts with a group of digits, starts with whole groups that together are a card number.
fn starts_with_card_number(text: &[u8]) -> bool {
    let mut digits = Vec::with_capacity(LONGEST);
    let mut at = 0;
    loop {
        let group = text[at..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        digits.extend(text[at..at + group].iter().map(|byte| byte - b'0'));
        at += group;
        if group == 0 || digits.len() > LONGEST {
            return false;
        }
        if digits.len() >= SHORTEST && is_card_number(&digits) {
            return true;
        }
        let between = text[at..].iter().take_while(|byte| !byte.is_ascii_alphanumeric()).count();
        if !(1..=2).contains(&between) {
            return false;
        }
        at += between;
    }
}

fn is_card_number(digits: &[u8]) -> bool {
    NETWORKS.iter().any(|network| is_of(network, digits)) && has_check_digit(digits)
}

fn is_of(network: &Network, digits: &[u8]) -> bool {
    let length = network.prefix.start().ilog10() as usize + 1;
    let prefix = digits.iter().take(length).fold(0, |number, digit| number * 10 + u32::from(*digit));
    network.prefix.contains(&prefix) && network.lengths.contains(&digits.len())
}

/// The algorithm of Luhn.
fn has_check_digit(digits: &[u8]) -> bool {
    let sum: u32 = digits.iter().rev().enumerate().map(|(at, digit)| weighted(at, u32::from(*digit))).sum();
    sum.is_multiple_of(10)
}

fn weighted(at: usize, digit: u32) -> u32 {
    match (at % 2, digit * 2) {
        (0, _) => digit,
        (_, doubled) if doubled > 9 => doubled - 9,
        (_, doubled) => doubled,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Numbers that the networks publish for tests.
    const NUMBERS: &[&str] = &[
        "4111111111111111",
        "4222222222222",
        "5555555555554444",
        "2223003122003222",
        "378282246310005",
        "371449635398431",
        "6011111111111117",
        "30569309025904",
        "38520000023237",
        "3530111333300000",
        "6200000000000005",
        "6759649826438453",
        "2200770212727079",
    ];

    #[test]
    fn the_networks_test_numbers_are_found_wherever_they_are_and_however_they_are_written() {
        for number in NUMBERS {
            let (first, rest) = number.split_at(4);
            let (second, third) = rest.split_at(4);
            for text in [
                (*number).to_owned(),
                format!("card {number}, exp 12/29"),
                format!("{first} {second} {third}"),
                format!("{first}-{second}-{third}"),
                format!("7 {number} 12 29"),
                format!("n°{number}é"),
                format!("{first}  {second} / {third}").replace(" / ", "/ "),
                format!("{first}\u{a0}{second}\u{2013}{third}"),
                number.chars().map(|digit| char::from_u32(u32::from(digit) - 48 + 0xff10).unwrap()).collect(),
            ] {
                assert!(contains_card_number(&text), "{text}");
            }
        }
    }

    #[test]
    fn other_numbers_are_not_card_numbers() {
        for text in [
            "",
            "order 1234567890123456",
            "4111111111111112",
            "41111111111111",
            "41111111111111110000000",
            "4111 - 1111 - 1111 - 1111",
            "4111a1111a1111a1111",
            "2026-11-30T22:43:00Z",
            "019e1f4e-5c3a-7b6e-9d35-0a4f3c1d2e5b",
        ] {
            assert!(!contains_card_number(text), "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_changed_digit_is_never_a_card_number(at in 1_usize..16, by in 1_u8..10) {
            let mut digits = *b"4111111111111111";
            digits[at] = b'0' + (digits[at] - b'0' + by) % 10;
            let text = String::from_utf8(digits.to_vec()).unwrap();
            prop_assert!(!contains_card_number(&text), "{}", text);
        }

        #[test]
        fn any_text_can_be_searched(text in ".*") {
            contains_card_number(&text);
        }
    }
}
