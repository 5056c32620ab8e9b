//! Foreign text in messages, no longer than there is room for.

use alloc::format;
use alloc::string::{String, ToString};

/// Bytes of JSON that say what was left out, at most.
const REST: usize = 48;

/// How many bytes a text takes as JSON, without the quotes. A control character takes six times as many as in the text.
#[must_use]
pub fn json_bytes(text: &str) -> usize {
    text.chars().map(json_bytes_of).sum()
}

/// The text, cut so that it takes at most `most` bytes as JSON (without the quotes, at least 48); what was cut off is counted at its end.
#[must_use]
pub fn bounded(text: &str, most: usize) -> String {
    if json_bytes(text) <= most {
        return text.to_string();
    }
    let mut room = most.saturating_sub(REST);
    let cut = text.char_indices().find_map(|(at, c)| {
        let left = room.checked_sub(json_bytes_of(c));
        room = left.unwrap_or_default();
        left.is_none().then_some(at)
    });
    let (kept, rest) = text.split_at(cut.unwrap_or(text.len()));
    format!("{kept}... and {} bytes more", rest.len())
}

fn json_bytes_of(c: char) -> usize {
    match c {
        '"' | '\\' | '\n' | '\r' | '\t' | '\u{8}' | '\u{c}' => 2,
        '\0'..='\u{1f}' => 6,
        c => c.len_utf8(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(text: &str) -> usize {
        serde_json::to_string(text).map_or(0, |json| json.len() - 2)
    }

    #[test]
    fn what_json_makes_of_a_text_is_known_beforehand() {
        for c in (0..0x250)
            .filter_map(char::from_u32)
            .chain(['\u{FFFD}', '\u{1F600}'])
        {
            assert_eq!(
                json_bytes(c.encode_utf8(&mut [0; 4])),
                encoded(c.encode_utf8(&mut [0; 4])),
                "{c:?}"
            );
        }
    }

    #[test]
    fn a_text_is_cut_where_its_json_would_be_too_long() {
        assert_eq!(bounded("short", 5), "short");
        for (text, most) in [
            ("x".repeat(101), 100),
            ("\u{1}".repeat(1000), 100),
            ("\u{1F600}\\\"\n".repeat(500), 333),
            ("\u{FFFD}".repeat(1 << 20), 48),
        ] {
            let cut = bounded(&text, most);
            assert!(encoded(&cut) <= most, "{} bytes of {most}", encoded(&cut));
            let (kept, rest) = cut.split_once("... and ").unwrap();
            assert!(text.starts_with(kept));
            assert_eq!(rest, format!("{} bytes more", text.len() - kept.len()));
        }
    }
}
