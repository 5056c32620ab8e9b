//! What a run leaves behind: events while it lasts, and the report at its end.
//!
//! All of them are JSON objects with a `type`. On a UART shared with plain text, each is one line that starts with
//! the ASCII record separator (0x1E), as RFC 7464 has it. JSON escapes all control characters, so no text that a
//! realm prints can pass for a record.

use alloc::borrow::Cow;
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use serde::{Deserialize, Serialize};

/// Bytes of a report's or realm's error as JSON, at most.
pub const LONGEST_ERROR: usize = 8 << 10;

/// The character that starts a record.
pub const RECORD_SEPARATOR: char = '\u{1e}';

/// Something that happened during a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum Event<'a> {
    /// The run reached a phase.
    Phase {
        /// Which.
        name: Phase,
        /// The counter at that moment, in ticks.
        ticks: u64,
        /// Ticks in a second.
        frequency: u64,
    },
    /// A vCPU of the realm printed a line.
    Console {
        /// The index of its REC.
        vcpu: usize,
        /// The line, without its line feed.
        #[serde(borrow)]
        text: Cow<'a, str>,
    },
    /// The end of the run.
    Report(Report),
}

/// The phases of a run, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// The host runs and has found the monitor.
    Booted,
    /// The realm is built and active.
    Created,
    /// The first entry.
    Running,
    /// The realm is gone.
    Destroyed,
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// The realm switched itself off and reported no failure, and the host got all of its memory back.
    Ok,
    /// The realm said that it failed, or did something that nobody can serve.
    GuestFailed,
    /// The time limit passed.
    Timeout,
    /// Somebody had the host stop it.
    Stopped,
    /// The host failed, or the monitor refused what it has to do.
    Error,
}

/// What one REC did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecReport {
    /// Its index.
    pub index: usize,
    /// Its MPIDR as the realm sees it (affinity fields only).
    pub mpidr: u64,
    /// What it was doing at the end: `on`, `waiting`, `off`.
    pub state: String,
    /// Auxiliary granules that the monitor asked for.
    pub aux_granules: u64,
    /// Successful entries.
    pub entries: u64,
    /// Exits by reason.
    pub exits: BTreeMap<String, u64>,
}

/// Where the granules went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GranuleReport {
    /// Granules that the monitor took.
    pub delegated: u64,
    /// Granules that it gave back.
    pub returned: u64,
    /// Granules that the host could not take back; their pages are never used again.
    pub quarantined: u64,
}

/// The report at the end of a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// How the run ended.
    pub outcome: Outcome,
    /// Why, if it is not [`Outcome::Ok`].
    #[serde(default)]
    pub error: Option<String>,
    /// The realm initial measurement as the host computed it from what it built, in lower-case hexadecimal. Empty if
    /// there was no realm.
    pub rim: String,
    /// The CCA attestation token that the realm handed to the host, in hexadecimal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    /// The RECs by index.
    pub recs: Vec<RecReport>,
    /// The granule account.
    pub granules: GranuleReport,
}

/// Writes an event as one record: the separator, the JSON object, a line feed.
///
/// # Errors
///
/// Those of the writer.
pub fn write_record(to: &mut impl fmt::Write, event: &Event<'_>) -> fmt::Result {
    let json = serde_json::to_string(event).map_err(|_| fmt::Error)?;
    to.write_char(RECORD_SEPARATOR)?;
    to.write_str(&json)?;
    to.write_char('\n')
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::*;

    #[test]
    fn a_record_is_one_line_whatever_a_realm_prints() {
        let text = "\u{1e}{\"type\":\"report\"}\n\u{1b}[2J\"";
        let mut written = String::new();
        write_record(
            &mut written,
            &Event::Console {
                vcpu: 3,
                text: text.into(),
            },
        )
        .unwrap();
        assert_eq!(written.find(RECORD_SEPARATOR), Some(0));
        assert_eq!(written.rfind(RECORD_SEPARATOR), Some(0));
        assert_eq!(written.find('\n'), Some(written.len() - 1));
        assert!(!written.contains('\u{1b}'));
        let read: Event<'_> = serde_json::from_str(&written[1..]).unwrap();
        assert_eq!(
            read,
            Event::Console {
                vcpu: 3,
                text: text.into()
            }
        );
    }

    #[test]
    fn the_report_has_the_fields_that_the_tool_reads() {
        let report = Report {
            outcome: Outcome::GuestFailed,
            error: Some("why".to_string()),
            rim: "ab".to_string(),
            token: None,
            recs: alloc::vec![RecReport {
                index: 1,
                mpidr: 1,
                state: "off".to_string(),
                aux_granules: 2,
                entries: 3,
                exits: BTreeMap::from([("psci".to_string(), 4)]),
            }],
            granules: GranuleReport {
                delegated: 5,
                returned: 5,
                quarantined: 0,
            },
        };
        let json = serde_json::to_string(&Event::Report(report.clone())).unwrap();
        assert_eq!(
            json,
            "{\"type\":\"report\",\"outcome\":\"guest-failed\",\"error\":\"why\",\"rim\":\"ab\",\"recs\":[{\"index\":1,\"mpidr\":1,\
             \"state\":\"off\",\"aux_granules\":2,\"entries\":3,\"exits\":{\"psci\":4}}],\
             \"granules\":{\"delegated\":5,\"returned\":5,\"quarantined\":0}}"
        );
        assert_eq!(
            serde_json::from_str::<Event<'_>>(&json).unwrap(),
            Event::Report(report)
        );
        let phase = Event::Phase {
            name: Phase::Running,
            ticks: 7,
            frequency: 9,
        };
        assert_eq!(
            serde_json::to_string(&phase).unwrap(),
            "{\"type\":\"phase\",\"name\":\"running\",\"ticks\":7,\"frequency\":9}"
        );
    }
}
