//! What realms print: kept, as much as is useful, and given to who wants it as it comes.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

use super::lock;
use crate::foreign::printable;

/// Bytes that are kept of each console; the oldest go first.
pub const KEPT: usize = 1 << 20;

/// Takes bytes of a console as they come. It may block: then the host, and in the end the realm, waits.
pub(crate) type Sink = Box<dyn FnMut(&[u8]) + Send>;

/// The consoles of all realms, by realm and stream.
#[derive(Default)]
pub struct Consoles {
    kept: Mutex<Kept>,
    changed: Condvar,
    // Apart from what is kept: a sink that blocks does not keep others from reading.
    sinks: Mutex<HashMap<(u32, u8), Sink>>,
}

#[derive(Default)]
struct Kept {
    consoles: HashMap<(u32, u8), Console>,
    /// Realms that print nothing any more.
    closed: HashSet<u32>,
    all_closed: bool,
}

#[derive(Default)]
struct Console {
    bytes: VecDeque<u8>,
    /// How many bytes there were in all.
    end: u64,
}

impl Consoles {
    /// Gives everything that comes from now on to `sink`, too. Before the realm starts, so that nothing is missed.
    pub(crate) fn set_sink(&self, realm: u32, stream: u8, sink: Sink) {
        lock(&self.sinks).insert((realm, stream), sink);
    }

    /// Bytes have come.
    pub(super) fn push(&self, realm: u32, stream: u8, bytes: &[u8]) {
        if let Some(sink) = lock(&self.sinks).get_mut(&(realm, stream)) {
            sink(bytes);
        }
        let mut kept = lock(&self.kept);
        let console = kept.consoles.entry((realm, stream)).or_default();
        console.end += bytes.len() as u64;
        let useful = &bytes[bytes.len().saturating_sub(KEPT)..];
        let surplus = (console.bytes.len() + useful.len()).saturating_sub(KEPT);
        console.bytes.drain(..surplus);
        console.bytes.extend(useful);
        self.changed.notify_all();
    }

    /// A realm prints nothing any more.
    pub(super) fn close(&self, realm: u32) {
        lock(&self.kept).closed.insert(realm);
        self.changed.notify_all();
    }

    /// No realm prints anything any more.
    pub(super) fn close_all(&self) {
        lock(&self.kept).all_closed = true;
        self.changed.notify_all();
    }

    /// A realm is gone.
    pub(super) fn forget(&self, realm: u32) {
        let mut kept = lock(&self.kept);
        kept.consoles.retain(|(of, _), _| *of != realm);
        // Who still reads is to stop.
        kept.closed.insert(realm);
        lock(&self.sinks).retain(|(of, _), _| *of != realm);
        self.changed.notify_all();
    }

    /// What is kept of a console after its first `from` bytes, and where to go on. Waits up to `wait` if there is nothing;
    /// `None` if nothing will come any more.
    pub(crate) fn read(
        &self,
        realm: u32,
        stream: u8,
        from: u64,
        wait: Duration,
    ) -> Option<(Vec<u8>, u64)> {
        let kept = lock(&self.kept);
        let nothing = |kept: &mut Kept| {
            let end = kept.consoles.get(&(realm, stream)).map_or(0, |c| c.end);
            end <= from && !kept.all_closed && !kept.closed.contains(&realm)
        };
        let (kept, _) = self
            .changed
            .wait_timeout_while(kept, wait, nothing)
            .unwrap_or_else(PoisonError::into_inner);
        let closed = kept.all_closed || kept.closed.contains(&realm);
        match kept.consoles.get(&(realm, stream)) {
            Some(console) if console.end > from => {
                let first = console.end - console.bytes.len() as u64;
                let skip = from.saturating_sub(first) as usize;
                let bytes = console.bytes.iter().skip(skip).copied().collect();
                Some((bytes, console.end))
            }
            _ => (!closed).then_some((Vec::new(), from)),
        }
    }

    /// How many bytes a console has printed.
    pub(crate) fn end(&self, realm: u32, stream: u8) -> u64 {
        let kept = lock(&self.kept);
        kept.consoles.get(&(realm, stream)).map_or(0, |c| c.end)
    }

    /// How many bytes are kept of all consoles.
    pub(super) fn kept(&self) -> usize {
        let kept = lock(&self.kept);
        kept.consoles
            .values()
            .map(|console| console.bytes.len())
            .sum()
    }

    /// All that is kept of a console.
    pub fn all(&self, realm: u32, stream: u8) -> Vec<u8> {
        let kept = lock(&self.kept);
        let console = kept.consoles.get(&(realm, stream));
        console.map_or_else(Vec::new, |console| console.bytes.iter().copied().collect())
    }

    /// The last lines of a console that have something in them, for people.
    pub fn tail(&self, realm: u32, stream: u8, lines: usize) -> Vec<String> {
        let bytes = self.all(realm, stream);
        let text = String::from_utf8_lossy(&bytes);
        let mut last: Vec<_> = text
            .lines()
            .rev()
            .map(|line| printable(line.trim_end()))
            .filter(|line| !line.is_empty())
            .take(lines)
            .collect();
        last.reverse();
        last
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    const NOW: Duration = Duration::ZERO;

    #[test]
    fn who_comes_late_reads_what_is_kept() {
        let consoles = Consoles::default();
        assert_eq!(consoles.read(1, 0, 0, NOW), Some((vec![], 0)));
        consoles.push(1, 0, b"one\n");
        consoles.push(1, 1, b"error");
        consoles.push(1, 0, b"\r\n\x1b[2Jtwo\r\n");
        let (bytes, next) = consoles.read(1, 0, 0, NOW).unwrap();
        assert_eq!(bytes, b"one\n\r\n\x1b[2Jtwo\r\n");
        assert_eq!(consoles.read(1, 0, next, NOW), Some((vec![], next)));
        assert_eq!(consoles.tail(1, 0, 9), ["one", "\\u{1b}[2Jtwo"]);
        consoles.push(1, 0, b"three");
        assert_eq!(consoles.read(1, 0, next, NOW).unwrap().0, b"three");
        consoles.close(1);
        assert_eq!(consoles.read(1, 0, next, NOW).unwrap().0, b"three");
        assert_eq!(consoles.read(1, 0, next + 5, NOW), None);
        consoles.forget(1);
        assert_eq!(consoles.read(1, 0, 0, NOW), None);
        assert_eq!(consoles.all(1, 1), b"");
    }

    #[test]
    fn no_more_is_kept_than_is_useful() {
        let consoles = Consoles::default();
        let much = vec![b'x'; KEPT - 1];
        consoles.push(7, 0, b"old");
        consoles.push(7, 0, &much);
        assert_eq!(consoles.all(7, 0).len(), KEPT);
        assert_eq!(consoles.all(7, 0)[..2], *b"dx");
        let (bytes, next) = consoles.read(7, 0, 0, NOW).unwrap();
        assert_eq!((bytes.len(), next), (KEPT, KEPT as u64 + 2));
        consoles.push(7, 0, &vec![b'y'; 3 * KEPT]);
        assert_eq!(consoles.all(7, 0), vec![b'y'; KEPT]);
    }

    #[test]
    fn a_sink_misses_nothing() {
        let consoles = Consoles::default();
        let taken = Arc::new(Mutex::new(Vec::<u8>::new()));
        let sink = taken.clone();
        consoles.set_sink(1, 2, Box::new(move |bytes| lock(&sink).extend(bytes)));
        for _ in 0..3 {
            consoles.push(1, 2, &[b'z'; KEPT]);
            consoles.push(1, 1, b"of another stream");
        }
        assert_eq!(lock(&taken).len(), 3 * KEPT);
    }
}
