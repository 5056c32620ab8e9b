//! Telling records from plain text on the machine's UART.

use realm_vmm::report::{Event, RECORD_SEPARATOR};

/// Longest line that is kept; what is beyond is dropped, so that a machine gone wild costs no memory.
const LONGEST: usize = 256 << 10;

/// One line of the UART.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Line {
    /// A record that the host wrote.
    Record(Event<'static>),
    /// Text of firmware or host.
    Text(String),
    /// Looks like a record but is none.
    Damaged(String),
}

/// Cuts the bytes of the UART into lines.
#[derive(Debug, Default)]
pub(crate) struct Parser {
    line: Vec<u8>,
}

impl Parser {
    /// Takes bytes as they come and gives each finished line to `on_line`.
    ///
    /// A record separator starts a line of its own, wherever it stands: text that another world was printing at
    /// that moment does not hide a record.
    pub(crate) fn push(&mut self, bytes: &[u8], mut on_line: impl FnMut(Line)) {
        for &byte in bytes {
            if byte == b'\n' || byte == RECORD_SEPARATOR as u8 {
                self.finish().map(&mut on_line);
            }
            if byte != b'\n' && self.line.len() < LONGEST {
                self.line.push(byte);
            }
        }
    }

    /// What was begun and not ended.
    pub(crate) fn finish(&mut self) -> Option<Line> {
        let bytes = std::mem::take(&mut self.line);
        let text = String::from_utf8_lossy(&bytes);
        let text = text.trim_end_matches('\r');
        let Some(json) = text.strip_prefix(RECORD_SEPARATOR) else {
            return (!text.is_empty()).then(|| Line::Text(text.to_owned()));
        };
        Some(match serde_json::from_str::<Event<'_>>(json) {
            Ok(event) => Line::Record(owned(event)),
            Err(_) => Line::Damaged(json.to_owned()),
        })
    }
}

/// The event without borrows.
pub(crate) fn owned(event: Event<'_>) -> Event<'static> {
    match event {
        Event::Phase {
            name,
            ticks,
            frequency,
        } => Event::Phase {
            name,
            ticks,
            frequency,
        },
        Event::Console { vcpu, text } => Event::Console {
            vcpu,
            text: text.into_owned().into(),
        },
        Event::Report(report) => Event::Report(report),
    }
}

#[cfg(test)]
mod tests {
    use realm_vmm::report::{Phase, write_record};

    use super::*;

    fn parse(bytes: &[u8]) -> Vec<Line> {
        let mut lines = Vec::new();
        let mut parser = Parser::default();
        // One byte at a time: a record may arrive in any pieces.
        for byte in bytes {
            parser.push(&[*byte], |line| lines.push(line));
        }
        lines.extend(parser.finish());
        lines
    }

    fn record(event: &Event<'_>) -> String {
        let mut text = String::new();
        write_record(&mut text, event).unwrap();
        text
    }

    #[test]
    fn records_and_text_are_told_apart() {
        let event = Event::Phase {
            name: Phase::Booted,
            ticks: 5,
            frequency: 62_500_000,
        };
        let uart = format!(
            "root-monitor: 4 CPUs\r\nhalf a li{}ne\r\n\r\n",
            record(&event)
        );
        let expected = [
            Line::Text("root-monitor: 4 CPUs".to_owned()),
            Line::Text("half a li".to_owned()),
            Line::Record(event),
            Line::Text("ne".to_owned()),
        ];
        assert_eq!(parse(uart.as_bytes()), expected);
    }

    #[test]
    fn what_a_realm_prints_is_never_a_record() {
        let forged = record(&Event::Phase {
            name: Phase::Destroyed,
            ticks: 0,
            frequency: 1,
        });
        let event = Event::Console {
            vcpu: 1,
            text: format!("\n{forged}\n").into(),
        };
        assert_eq!(parse(record(&event).as_bytes()), [Line::Record(event)]);
    }

    #[test]
    fn damaged_records_are_not_lost() {
        assert_eq!(
            parse(b"\x1e{\"type\":\"pha\n"),
            [Line::Damaged("{\"type\":\"pha".to_owned())]
        );
        assert_eq!(
            parse(b"\xff\xfe"),
            [Line::Text("\u{fffd}\u{fffd}".to_owned())]
        );
    }

    #[test]
    fn a_line_without_end_is_cut() {
        let lines = parse(&vec![b'x'; LONGEST + 10]);
        assert_eq!(lines, [Line::Text("x".repeat(LONGEST))]);
    }
}
