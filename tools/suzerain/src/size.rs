//! Amounts of memory as people write them.

/// Reads `64M`, `1G`, `512K`, `1GiB` or a plain number of bytes.
///
/// # Errors
///
/// One line that says what is accepted.
pub(crate) fn parse(text: &str) -> Result<u64, String> {
    let bad = || format!("`{text}` is not a size such as 64M or 1G");
    let digits = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let shift = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => 0,
        "k" | "kb" | "kib" => 10,
        "m" | "mb" | "mib" => 20,
        "g" | "gb" | "gib" => 30,
        _ => return Err(bad()),
    };
    let number: u64 = number.parse().map_err(|_| bad())?;
    number.checked_mul(1 << shift).ok_or_else(bad)
}

/// Shows a size in the largest unit that divides it.
pub(crate) fn show(bytes: u64) -> String {
    [(30, "G"), (20, "M"), (10, "K")]
        .into_iter()
        .find(|(shift, _)| bytes != 0 && bytes.is_multiple_of(1 << shift))
        .map_or_else(
            || format!("{bytes} bytes"),
            |(shift, unit)| format!("{}{unit}", bytes >> shift),
        )
}

/// Shows a size as people say it, such as 3.4G.
pub(crate) fn about(bytes: u64) -> String {
    let (shift, unit) = match bytes {
        0x4000_0000.. => (30, "G"),
        0x10_0000.. => (20, "M"),
        _ => (10, "K"),
    };
    format!("{:.1}{unit}", bytes as f64 / f64::from(1u32 << shift))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_and_shown() {
        for (text, bytes) in [
            ("64M", 64 << 20),
            ("1GiB", 1 << 30),
            ("4096", 4096),
            ("12k", 12 << 10),
            ("0", 0),
        ] {
            assert_eq!(parse(text), Ok(bytes));
        }
        for text in [
            "",
            "M",
            "1T",
            "-1M",
            "1.5G",
            "99999999999999999999",
            "99999999999G",
        ] {
            assert!(parse(text).unwrap_err().contains("64M"));
        }
        assert_eq!(
            (show(64 << 20), show(1536 << 20), show(7)),
            ("64M".into(), "1536M".into(), "7 bytes".into())
        );
    }
}
