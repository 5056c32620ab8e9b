//! What consoles print, on its way to a terminal.

use std::io::{self, IsTerminal, Write};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::{escape, is_obeyed};

/// The longest sequence of a terminal that is passed on.
const LONGEST: usize = 32;
/// Gives a terminal back as it was: its colours, its cursor, all of its lines.
const RESET: &[u8] = b"\x1b[m\x1b(B\x1b[r\x1b[?7h\x1b[?25h\x1b[?1l\x1b[?2004l\x1b[?1049l";

/// Whether the terminal at standard output is other than it was.
static CHANGED: AtomicBool = AtomicBool::new(false);

/// Says whether the terminal at standard output is other than it was.
pub(crate) fn set_changed(changed: bool) {
    CHANGED.store(changed, Ordering::SeqCst);
}

/// Gives the terminal at standard output back as it was, for a process that ends at once. Waits for nobody: whoever holds standard output
/// may be waiting for the terminal.
pub(crate) fn reset() {
    let to = super::stdout();
    let mut ends = [PollFd::new(&to, PollFlags::OUT)];
    if CHANGED.load(Ordering::SeqCst) && poll(&mut ends, Some(&Timespec::default())) == Ok(1) {
        let _ = rustix::io::write(to.as_fd(), RESET);
    }
}

/// What a terminal gets to see of control characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Lines: nothing but ends of lines and tabulators.
    Lines,
    /// A console at which a person sits, whose shell moves the cursor: also what concerns the screen alone. What makes a terminal
    /// answer, write files, set its title or the clipboard, or take keys for something else stays out.
    Console,
}

/// Writes what a console prints as it comes: to a file or a pipe as it is, to a terminal so that it does nothing but show it.
pub(crate) struct Printer {
    to: Box<dyn Write + Send>,
    filter: Option<Filter>,
    /// Whether it is standard output, of which [`reset`] takes care.
    is_stdout: bool,
}

impl Printer {
    /// To standard output.
    pub(crate) fn stdout(mode: Mode) -> Self {
        let to = super::stdout();
        let filter = to.is_terminal().then(|| Filter::new(mode));
        Self {
            to: Box::new(to),
            filter,
            is_stdout: true,
        }
    }

    /// To standard error.
    pub(crate) fn stderr(mode: Mode) -> Self {
        let to = super::stderr();
        let filter = to.is_terminal().then(|| Filter::new(mode));
        Self {
            to: Box::new(to),
            filter,
            is_stdout: false,
        }
    }

    /// Writes bytes at once.
    ///
    /// # Errors
    ///
    /// When nobody reads them any more.
    pub(crate) fn print(&mut self, bytes: &[u8]) -> io::Result<()> {
        match &mut self.filter {
            Some(filter) => {
                let text = filter.pass(bytes);
                if filter.used && self.is_stdout {
                    set_changed(true);
                }
                self.to.write_all(text.as_bytes())?;
            }
            None => self.to.write_all(bytes)?,
        }
        self.to.flush()
    }
}

impl Drop for Printer {
    fn drop(&mut self) {
        if self.filter.as_ref().is_some_and(|filter| filter.used) {
            let _ = self.to.write_all(RESET);
            let _ = self.to.flush();
            if self.is_stdout {
                set_changed(false);
            }
        }
    }
}

/// Decides what of a stream of bytes reaches a terminal.
#[derive(Debug)]
pub struct Filter {
    mode: Mode,
    /// The beginning of a character in UTF-8.
    bytes: Vec<u8>,
    /// The beginning of a sequence.
    sequence: String,
    /// A carriage return that a line feed may follow.
    returned: bool,
    /// Whether a sequence has been passed on.
    used: bool,
}

impl Filter {
    /// For the beginning of a stream.
    pub fn new(mode: Mode) -> Self {
        Self {
            mode,
            bytes: Vec::new(),
            sequence: String::new(),
            returned: false,
            used: false,
        }
    }

    /// What of these bytes it is.
    pub fn pass(&mut self, bytes: &[u8]) -> String {
        self.bytes.extend_from_slice(bytes);
        let bytes = std::mem::take(&mut self.bytes);
        let mut shown = String::with_capacity(bytes.len());
        let mut rest = bytes.as_slice();
        loop {
            let error = match str::from_utf8(rest) {
                Ok(text) => {
                    text.chars().for_each(|c| self.take(c, &mut shown));
                    return shown;
                }
                Err(error) => error,
            };
            let (text, after) = rest.split_at(error.valid_up_to());
            let text = str::from_utf8(text).unwrap_or_default();
            text.chars().for_each(|c| self.take(c, &mut shown));
            let Some(length) = error.error_len() else {
                // The rest of the character is still to come.
                self.bytes = after.to_vec();
                return shown;
            };
            self.take(char::REPLACEMENT_CHARACTER, &mut shown);
            rest = &after[length..];
        }
    }

    fn take(&mut self, c: char, shown: &mut String) {
        if std::mem::take(&mut self.returned) {
            match c {
                '\n' => shown.push('\r'),
                _ => shown.extend(escape('\r')),
            }
        }
        if !self.sequence.is_empty() {
            self.sequence.push(c);
            return self.go_on(shown);
        }
        match (self.mode, c) {
            (_, '\n' | '\t') => shown.push(c),
            (Mode::Lines, '\r') => self.returned = true,
            (Mode::Console, '\r' | '\x08' | '\x07') => shown.push(c),
            (Mode::Console, '\x1b') => self.sequence.push(c),
            _ if is_obeyed(c) => shown.extend(escape(c)),
            _ => shown.push(c),
        }
    }

    /// Ends the sequence if it is whole, or can be none that is passed on.
    fn go_on(&mut self, shown: &mut String) {
        let sequence = self.sequence.as_str();
        let Some(end) = judge(sequence) else {
            if sequence.chars().count() < LONGEST {
                return;
            }
            return self.end(End::Shown, shown);
        };
        self.end(end, shown);
    }

    fn end(&mut self, end: End, shown: &mut String) {
        let sequence = std::mem::take(&mut self.sequence);
        match end {
            End::Passed => {
                self.used = true;
                *shown += &sequence;
            }
            End::Dropped => {}
            End::Shown => {
                let mut characters = sequence.chars();
                shown.extend(characters.next().into_iter().flat_map(escape));
                // What follows may begin a sequence of its own.
                characters.for_each(|c| self.take(c, shown));
            }
        }
    }
}

/// What becomes of a sequence.
enum End {
    /// It is obeyed.
    Passed,
    /// It is a question, to which the terminal would type the answer.
    Dropped,
    /// Its characters are shown.
    Shown,
}

/// Judges a sequence of ECMA-48; `None` if more of it has to come.
fn judge(sequence: &str) -> Option<End> {
    let rest = sequence.strip_prefix('\x1b')?;
    let Some(rest) = rest.strip_prefix('[') else {
        return match rest {
            "" | "(" => None,
            // Saves and restores the cursor, moves it by a line, selects the keypad or a usual set of characters.
            "7" | "8" | "M" | "D" | "E" | "=" | ">" | "(B" | "(0" => Some(End::Passed),
            _ => Some(End::Shown),
        };
    };
    let end = rest.find(|c: char| !(c.is_ascii_digit() || matches!(c, ';' | '?')))?;
    let (parameters, end) = rest.split_at(end);
    let modes = ["?1", "?7", "?12", "?25", "?1049", "?2004", "4"];
    Some(match end {
        // Moves the cursor, clears, inserts and deletes, scrolls, colours.
        "A" | "B" | "C" | "D" | "E" | "F" | "G" | "H" | "J" | "K" | "L" | "M" | "P" | "S" | "T"
        | "X" | "@" | "d" | "f" | "m" | "r"
            if !parameters.contains('?') =>
        {
            End::Passed
        }
        "h" | "l" if modes.contains(&parameters) => End::Passed,
        "n" | "c" => End::Dropped,
        _ => End::Shown,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a terminal sees of it, however it is cut.
    fn passed(mode: Mode, bytes: &[u8]) -> String {
        let whole = Filter::new(mode).pass(bytes);
        let mut filter = Filter::new(mode);
        let cut: String = bytes.chunks(1).map(|byte| filter.pass(byte)).collect();
        assert_eq!(cut, whole);
        whole
    }

    #[test]
    fn lines_are_only_shown() {
        for (bytes, shown) in [
            (&b"a\tb\r\nc\n"[..], "a\tb\r\nc\n"),
            (b"real\rfake\n", "real\\rfake\n"),
            (b"\x1b[2J\x1b[1;1H", "\\u{1b}[2J\\u{1b}[1;1H"),
            (b"\x1b[31mred\x1b[m", "\\u{1b}[31mred\\u{1b}[m"),
            (b"\x07\x08\x7f", "\\u{7}\\u{8}\\u{7f}"),
            (
                "\u{9b}2J\u{202e}\u{e9}".as_bytes(),
                "\\u{9b}2J\\u{202e}\u{e9}",
            ),
            (b"\xff\xc3(", "\u{fffd}\u{fffd}("),
        ] {
            assert_eq!(passed(Mode::Lines, bytes), shown);
        }
    }

    #[test]
    fn a_console_changes_the_screen_and_nothing_else() {
        for same in [
            "prompt# \x1b[K\x08 \x08\r\n",
            "\x1b[01;32mgreen\x1b[0m",
            "\x1b[2J\x1b[H\x1b[?25l\x1b[?2004h\x1b7\x1b8\x1b(B",
        ] {
            assert_eq!(passed(Mode::Console, same.as_bytes()), same);
        }
        for (bytes, shown) in [
            // Questions, which a terminal answers as if somebody typed that.
            ("\x1b[6n\x1b[c\x1b[>0c?", "\\u{1b}[>0c?"),
            // The clipboard, the title, a question about a setting, the size of the window, a reset.
            ("\x1b]52;c;ZWNobw==\x07", "\\u{1b}]52;c;ZWNobw==\x07"),
            ("\x1b]0;title\x1b\\", "\\u{1b}]0;title\\u{1b}\\"),
            ("\x1bP$qm\x1b\\", "\\u{1b}P$qm\\u{1b}\\"),
            ("\x1b[8;1;1t", "\\u{1b}[8;1;1t"),
            ("\x1bc", "\\u{1b}c"),
            // The mouse.
            ("\x1b[?1000h", "\\u{1b}[?1000h"),
            ("\u{9d}52;c;\u{9c}", "\\u{9d}52;c;\\u{9c}"),
            // A sequence within another, and one without end.
            ("\x1b[\x1b[2J", "\\u{1b}[\x1b[2J"),
            ("\x1b[1\u{1b}]0;", "\\u{1b}[1\\u{1b}]0;"),
        ] {
            assert_eq!(passed(Mode::Console, bytes.as_bytes()), shown, "{bytes:?}");
        }
        let endless = format!("\x1b[{}", "1".repeat(100));
        let shown = passed(Mode::Console, endless.as_bytes());
        assert_eq!(shown, format!("\\u{{1b}}[{}", "1".repeat(100)));
    }
}
