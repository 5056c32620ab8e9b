//! Source files with their comments and literals blanked, so that what is found in them is code.

use std::fs;
use std::path::{Path, PathBuf};

use toolbox::Error;

/// Every folder with sources of the workspace.
pub(crate) const FOLDERS: [&str; 6] = [
    "crates",
    "hardware",
    "images",
    "machine",
    "tools",
    "verification",
];

/// Every Rust file below `place`, which is a folder or a file, with its [`code`], in the order of their paths.
///
/// # Errors
///
/// When a folder or a file cannot be read.
pub(crate) fn files(place: &Path) -> Result<Vec<(PathBuf, String)>, Error> {
    let texts = texts(place)?.into_iter();
    Ok(texts.map(|(path, text)| (path, code(&text))).collect())
}

/// Every Rust file below `place` as it is, in the order of their paths.
///
/// # Errors
///
/// As [`files`].
pub(crate) fn texts(place: &Path) -> Result<Vec<(PathBuf, String)>, Error> {
    let mut found = Vec::new();
    let mut places = vec![place.to_path_buf()];
    while let Some(place) = places.pop() {
        let unread = |error| Error::io("read", &place, &error);
        if place.is_dir() {
            for entry in fs::read_dir(&place).map_err(unread)? {
                places.push(entry.map_err(unread)?.path());
            }
        } else if place.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&place).map_err(unread)?;
            found.push((place, text));
        }
    }
    found.sort();
    Ok(found)
}

/// `text` with comments and the content of strings and characters replaced by spaces; lines stay where they are.
pub(crate) fn code(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    let mut previous = ' ';
    while let Some(first) = rest.chars().next() {
        let skipped = skipped(rest, previous);
        if skipped == 0 {
            code.push(first);
            previous = first;
            rest = &rest[first.len_utf8()..];
        } else {
            code.extend(
                rest[..skipped]
                    .chars()
                    .map(|c| if c == '\n' { '\n' } else { ' ' }),
            );
            previous = ' ';
            rest = &rest[skipped..];
        }
    }
    code
}

/// The identifiers and keywords of `code`.
pub(crate) fn words(code: &str) -> impl Iterator<Item = &str> {
    code.split(|c: char| !c.is_alphanumeric() && c != '_')
        .filter(|word| !word.is_empty())
}

/// How many bytes at the start of `rest` are a comment or a literal; 0 if it starts with code.
fn skipped(rest: &str, previous: char) -> usize {
    let bytes = rest.as_bytes();
    if rest.starts_with("//") {
        return rest.find('\n').unwrap_or(rest.len());
    }
    if rest.starts_with("/*") {
        return block_comment(bytes);
    }
    let starts_word = !(previous.is_alphanumeric() || previous == '_');
    let prefix = bytes
        .iter()
        .take_while(|byte| matches!(byte, b'b' | b'c' | b'r'))
        .count();
    let prefix = if starts_word && prefix <= 2 {
        prefix
    } else {
        0
    };
    let hashes = bytes[prefix..]
        .iter()
        .take_while(|byte| **byte == b'#')
        .count();
    let is_raw = bytes[..prefix].contains(&b'r');
    if bytes.get(prefix + hashes) == Some(&b'"') && (hashes == 0 || is_raw) {
        let start = prefix + hashes + 1;
        if is_raw {
            let end = format!("\"{}", "#".repeat(hashes));
            return rest[start..]
                .find(&end)
                .map_or(rest.len(), |at| start + at + end.len());
        }
        return quoted(bytes, start, b'"');
    }
    if bytes[0] == b'\'' {
        // A lifetime has no second quote right after its first character.
        let mut chars = rest[1..].chars();
        let (first, second) = (chars.next(), chars.next());
        if first == Some('\\') || second == Some('\'') {
            return quoted(bytes, 1, b'\'');
        }
    }
    0
}

fn quoted(bytes: &[u8], start: usize, end: u8) -> usize {
    let mut at = start;
    while at < bytes.len() {
        match bytes[at] {
            b'\\' => at += 2,
            byte if byte == end => return at + 1,
            _ => at += 1,
        }
    }
    bytes.len()
}

fn block_comment(bytes: &[u8]) -> usize {
    let mut depth = 0;
    let mut at = 0;
    while at < bytes.len() {
        match &bytes[at..bytes.len().min(at + 2)] {
            b"/*" => (depth, at) = (depth + 1, at + 2),
            b"*/" => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            return at;
        }
    }
    bytes.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_code_is_left() {
        for (text, left) in [
            ("a // unsafe\nb", "a \nb"),
            ("/* x /* unsafe */ y */ b", "b"),
            (r#"f("unsafe \" unsafe", 'u')"#, "f(,)"),
            (r##"r#"unsafe " "# + br"unsafe" x"##, "+ x"),
            ("fn f<'a>(x: &'a str) { '\\'' }", "fn f<'a>(x: &'a str) { }"),
            ("var\"s\" rust bar#", "var rust bar#"),
        ] {
            let squeeze = |text: &str| text.split_whitespace().collect::<String>();
            assert_eq!(squeeze(&code(text)), squeeze(left), "{text}");
            assert_eq!(code(text).lines().count(), text.lines().count());
        }
    }

    #[test]
    fn words_are_whole() {
        assert_eq!(
            words("forbid(unsafe_code) unsafe{}").collect::<Vec<_>>(),
            ["forbid", "unsafe_code", "unsafe"]
        );
    }
}
