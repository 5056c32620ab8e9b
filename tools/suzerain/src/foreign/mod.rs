//! Text of somebody else, on its way to people.
//!
//! What a realm prints, what a hypervisor says, what is in a token or a file: all of it is written by who may be hostile, and a
//! terminal obeys what it is sent. So there are few ways out, and each of them goes through here:
//!
//! * [`Screen`](crate::screen::Screen) writes lines, and escapes whatever else is in them ([`lines`]);
//! * [`Failure`](crate::failure::Failure) shows itself as one line ([`printable`]), whatever its words came from;
//! * [`json`] is one line of JSON in which nothing is left that a terminal obeys;
//! * [`Printer`] is for what consoles print.
//!
//! That nothing goes past them, clippy sees to: `clippy.toml` of this package forbids the others.

mod printer;

use std::io;

use serde::Serialize;

pub use self::printer::{Filter, Mode};
pub(crate) use self::printer::{Printer, reset, set_changed};

/// Text in one line, with everything escaped that a terminal would obey or that changes the order of what one reads: a realm, or
/// a hostile host, must not get to drive the terminal of the person who watches, nor to make lines of its own.
pub(crate) fn printable(text: &str) -> String {
    escaped(text, |c| c == '\t')
}

/// The same for text that has lines.
pub(crate) fn lines(text: &str) -> String {
    escaped(text, |c| matches!(c, '\t' | '\n'))
}

fn escaped(text: &str, keep: impl Fn(char) -> bool) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if keep(c) || !is_obeyed(c) {
            shown.push(c);
        } else {
            shown.extend(escape(c));
        }
    }
    shown
}

/// A character in letters that nobody obeys.
fn escape(c: char) -> impl Iterator<Item = char> {
    match c {
        '\n' | '\r' | '\t' => c.escape_default().collect::<Vec<_>>(),
        _ => c.escape_unicode().collect(),
    }
    .into_iter()
}

/// Whether a terminal does something for this character but to show it: controls, and what sets the direction of writing or ends a
/// line in Unicode.
fn is_obeyed(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// A value as one line of JSON.
///
/// # Errors
///
/// When JSON cannot say it.
pub(crate) fn json(value: &impl Serialize) -> Result<String, serde_json::Error> {
    let plain = serde_json::to_string(value)?;
    let mut text = String::with_capacity(plain.len());
    for c in plain.chars() {
        // Such characters are in strings only, and none of them is beyond 16 bits.
        if is_obeyed(c) {
            text += &format!("\\u{:04x}", u32::from(c));
        } else {
            text.push(c);
        }
    }
    Ok(text)
}

/// A value as one line of JSON in which nothing is left that a terminal obeys; an object that says so, if JSON cannot say it.
pub fn json_or_error(value: &impl Serialize) -> String {
    json(value).unwrap_or_else(|error| {
        let error = printable(&error.to_string()).replace(['"', '\\'], "'");
        format!("{{\"outcome\":\"error\",\"verified\":false,\"error\":\"{error}\"}}")
    })
}

/// Standard output, for text that has come through here.
#[expect(clippy::disallowed_methods, reason = "this is the way out")]
pub(crate) fn stdout() -> io::Stdout {
    io::stdout()
}

/// Standard error, for text that has come through here.
#[expect(clippy::disallowed_methods, reason = "this is the way out")]
pub(crate) fn stderr() -> io::Stderr {
    io::stderr()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_else_drives_the_terminal() {
        assert_eq!(printable("a\tb\u{e9}"), "a\tb\u{e9}");
        assert_eq!(
            printable("\x1b[2J\r\n\u{9b}x\u{202e}\u{2028}\x7f"),
            "\\u{1b}[2J\\r\\n\\u{9b}x\\u{202e}\\u{2028}\\u{7f}"
        );
        assert_eq!(lines("a\n\x1b[2J\r\n"), "a\n\\u{1b}[2J\\r\n");
        // Who escapes twice says the same.
        let once = printable("\x1b\\u{1b}");
        assert_eq!(printable(&once), once);
    }

    #[test]
    fn json_has_nothing_to_obey_and_says_the_same() {
        let hostile = "\x1b[2J\u{9b}\u{7f}\u{202e}\u{2028}\"\\\u{e9}";
        let text = json(&hostile).unwrap();
        assert!(text.chars().all(|c| !is_obeyed(c)), "{text}");
        assert_eq!(serde_json::from_str::<String>(&text).unwrap(), hostile);
    }
}
