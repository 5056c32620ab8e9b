//! The terminal of somebody who sits at a realm's console.

use std::io::{self, IsTerminal, Read};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;

use crossterm::terminal;

use crate::foreign;

/// Ctrl-].
const ESCAPE: u8 = 0x1d;
/// Ctrl-D, which says that there is no more input.
const END: u8 = 0x04;

/// A terminal whose keys go to the realm as they are pressed. Dropping it gives it back as it was.
#[derive(Debug)]
pub(crate) struct Raw(());

impl Raw {
    /// Takes the terminal on standard input, if there is one.
    pub(crate) fn take() -> Option<Self> {
        let taken = io::stdin().is_terminal() && terminal::enable_raw_mode().is_ok();
        taken.then_some(Self(()))
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        restore();
    }
}

/// Gives the terminal back as it was, if it was taken.
fn restore() {
    // There is nothing else to try.
    let _ = terminal::disable_raw_mode();
}

/// As [`restore`], for a process that ends at once, with what is on the screen.
pub(crate) fn restore_all() {
    foreign::reset();
    restore();
}

/// How many columns a table may have.
pub(crate) fn columns() -> Option<usize> {
    if !foreign::stdout().is_terminal() {
        return None;
    }
    terminal::size().ok().map(|(columns, _)| columns.into())
}

/// What somebody types.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Typed {
    /// For the realm.
    Bytes(Vec<u8>),
    /// The person wants to leave.
    Leave,
}

/// Reads standard input until it ends. At a terminal the escape key leaves: followed by `q` if `twice`, at once otherwise.
pub(crate) fn typed(twice: bool) -> Receiver<Typed> {
    let (sender, receiver) = mpsc::channel();
    let keys = io::stdin().is_terminal().then_some(Keys {
        twice,
        pressed: false,
    });
    // It ends with the process: nothing interrupts a read of a terminal.
    thread::spawn(move || listen(io::stdin().lock(), keys, &sender));
    receiver
}

fn listen(mut from: impl Read, mut keys: Option<Keys>, to: &Sender<Typed>) {
    let mut bytes = [0; 1024];
    loop {
        let read = match from.read(&mut bytes) {
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(_) => 0,
        };
        if read == 0 {
            let _ = to.send(Typed::Bytes(vec![END]));
            return;
        }
        let (bytes, leave) = match &mut keys {
            Some(keys) => keys.sift(&bytes[..read]),
            None => (bytes[..read].to_vec(), false),
        };
        let sent = bytes.is_empty() || to.send(Typed::Bytes(bytes)).is_ok();
        if leave {
            let _ = to.send(Typed::Leave);
        }
        if !sent {
            return;
        }
    }
}

/// Finds the escape key among others.
#[derive(Debug)]
struct Keys {
    twice: bool,
    pressed: bool,
}

impl Keys {
    /// What is for the realm, and whether the person wants to leave.
    fn sift(&mut self, bytes: &[u8]) -> (Vec<u8>, bool) {
        let mut through = Vec::with_capacity(bytes.len());
        for &byte in bytes {
            if self.pressed {
                self.pressed = false;
                match byte {
                    b'q' | b'Q' => return (through, true),
                    // Pressed twice, it is for the realm.
                    ESCAPE => through.push(ESCAPE),
                    other => through.extend([ESCAPE, other]),
                }
            } else if byte == ESCAPE && self.twice {
                self.pressed = true;
            } else if byte == ESCAPE {
                return (through, true);
            } else {
                through.push(byte);
            }
        }
        (through, false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(twice: bool, pieces: &[&[u8]]) -> Vec<Typed> {
        let keys = Keys {
            twice,
            pressed: false,
        };
        let (sender, receiver) = mpsc::channel();
        let mut input: Box<dyn Read> = Box::new(io::empty());
        for piece in pieces.iter().rev() {
            // Each piece is a read of its own.
            input = Box::new(piece.to_vec().leak().chain(input));
        }
        listen(input, Some(keys), &sender);
        drop(sender);
        receiver.iter().collect()
    }

    fn bytes(bytes: &[u8]) -> Typed {
        Typed::Bytes(bytes.to_vec())
    }

    #[test]
    fn the_escape_key_leaves_and_everything_else_goes_through() {
        assert_eq!(
            all(false, &[b"ls\r\x03", b"x\x1dy"]),
            [bytes(b"ls\r\x03"), bytes(b"x"), Typed::Leave, bytes(&[END])]
        );
        assert_eq!(
            all(true, &[b"a\x1d", b"q"]),
            [bytes(b"a"), Typed::Leave, bytes(&[END])]
        );
        assert_eq!(
            all(true, &[b"a\x1d\x1db\x1dc"]),
            [bytes(b"a\x1db\x1dc"), bytes(&[END])]
        );
    }
}
