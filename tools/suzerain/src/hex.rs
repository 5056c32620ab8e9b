//! Bytes as hexadecimal digits.

/// Reads an even number of digits, with or without `0x` before them.
///
/// # Errors
///
/// One line that says what is accepted.
pub fn parse(text: &str) -> Result<Vec<u8>, String> {
    let digits = text.strip_prefix("0x").unwrap_or(text).as_bytes();
    let digit = |digit: u8| char::from(digit).to_digit(16).map(|digit| digit as u8);
    let pairs = digits
        .chunks(2)
        .map(|pair| Some(digit(pair[0])? << 4 | digit(*pair.get(1)?)?));
    pairs
        .collect::<Option<Vec<_>>>()
        .filter(|bytes| !bytes.is_empty())
        .ok_or_else(|| "not an even number of hexadecimal digits".to_owned())
}

/// Lower-case digits.
pub(crate) fn show(bytes: &[u8]) -> String {
    use std::fmt::Write;
    let mut text = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        let _ = write!(text, "{byte:02x}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_come_in_pairs() {
        assert_eq!(parse("00aBff").unwrap(), [0, 0xab, 0xff]);
        assert_eq!(parse("0x12").unwrap(), [0x12]);
        assert_eq!(show(&[0, 0xab, 0xff]), "00abff");
        for wrong in ["", "0x", "1", "123", "1g", "1 ", "ü"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
