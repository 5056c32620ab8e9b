//! How much a host says and keeps at most: every message fits into a frame, whatever a tool asks for and whatever a realm does.
//!
//! The test in here builds the largest message of each kind.

use crate::board::VIRTIO_SLOTS;

/// Realms at once, those included that are being filled or taken apart.
pub const REALMS: usize = 128;
/// Bytes of a realm's name as JSON.
pub const NAME: usize = 128;
/// Devices of a realm.
pub const DEVICES: usize = VIRTIO_SLOTS;
/// Regions of a realm's memory that one answer shows.
pub const REGIONS: usize = 256;
/// Table entries of a realm that are looked at for one answer: each takes a call of the monitor, while no request is answered.
pub const ENTRIES: usize = 4096;
/// Bytes of JSON of the reason why a request was refused.
pub const REFUSAL: usize = 1 << 10;
/// Bytes of JSON of a realm's error in a list; all of it is in the answer about that realm.
pub const LISTED_ERROR: usize = 512;

#[cfg(test)]
mod tests {
    use alloc::boxed::Box;
    use alloc::collections::BTreeMap;
    use alloc::string::{String, ToString};
    use alloc::vec;
    use alloc::vec::Vec;

    use cca_abi::host_calls::TOKEN_MAX;
    use realm_host::ledger::Purpose;
    use realm_host::rec::EXIT_NAMES;

    use super::*;
    use crate::control::frame::MAX_PAYLOAD;
    use crate::control::message::{
        Answer, Details, Device, DeviceFault, Event, HeapUse, Outcome, Region, Reply, Spec, State,
        Status,
    };
    use crate::control::status;
    use crate::gic::MAX_VCPUS;
    use crate::report::{self, GranuleReport, LONGEST_ERROR, RecReport, Report};

    fn text(bytes: usize) -> String {
        "x".repeat(bytes)
    }

    fn exits() -> BTreeMap<String, u64> {
        let names = EXIT_NAMES.iter();
        names.map(|name| (name.to_string(), u64::MAX)).collect()
    }

    fn status(error: usize) -> Status {
        let purposes = Purpose::ALL.iter();
        Status {
            realm: u32::MAX,
            name: text(NAME),
            state: State::Removing,
            vcpus: u32::MAX,
            memory: u64::MAX,
            age_us: u64::MAX,
            run_us: u64::MAX,
            entries: u64::MAX,
            exits: exits(),
            granules: purposes
                .map(|&purpose| (status::name(purpose).to_string(), u64::MAX))
                .collect(),
            outcome: Some(report::Outcome::GuestFailed),
            error: Some(text(error)),
        }
    }

    fn recs() -> Vec<RecReport> {
        let rec = RecReport {
            index: usize::MAX,
            mpidr: u64::MAX,
            state: "waiting".to_string(),
            aux_granules: u64::MAX,
            entries: u64::MAX,
            exits: exits(),
        };
        vec![rec; MAX_VCPUS]
    }

    fn granules() -> GranuleReport {
        GranuleReport {
            delegated: u64::MAX,
            returned: u64::MAX,
            quarantined: u64::MAX,
        }
    }

    fn details() -> Details {
        let entropy = Device::Entropy {
            seed: [u64::MAX; 4],
        };
        let region = Region {
            base: u64::MAX,
            top: u64::MAX,
            ripas: "destroyed".to_string(),
            present: u64::MAX,
        };
        let fault = DeviceFault {
            device: u32::MAX,
            fault: text(100),
            stopped: false,
        };
        Details {
            status: status(LONGEST_ERROR),
            spec: Spec {
                vcpus: u32::MAX,
                memory: u64::MAX,
                sve_bits: u32::MAX,
                entry: u64::MAX,
                arguments: [u64::MAX; 8],
                lines: false,
                overcommit: false,
                challenge: [u64::MAX; 8],
                time_limit_ms: u64::MAX,
                devices: vec![entropy; DEVICES],
            },
            rim: text(128),
            recs: recs(),
            map: vec![region; REGIONS],
            rest: Some(u64::MAX),
            faults: vec![fault; DEVICES],
            token: Some(text(2 * TOKEN_MAX)),
        }
    }

    fn report() -> Report {
        Report {
            outcome: report::Outcome::GuestFailed,
            error: Some(text(LONGEST_ERROR)),
            rim: text(128),
            token: Some(text(2 * TOKEN_MAX)),
            recs: recs(),
            granules: granules(),
        }
    }

    #[test]
    fn the_largest_message_of_each_kind_fits_into_a_frame() {
        let answers = [
            Answer::Done,
            Answer::Created { realm: u32::MAX },
            Answer::Activated {
                rim: text(128),
                aux_granules: u64::MAX,
            },
            Answer::Removed {
                report: Box::new(report()),
            },
            Answer::Realms {
                realms: vec![status(LISTED_ERROR); REALMS],
                granules: granules(),
                pes: u32::MAX,
                free: u64::MAX,
                heap: Some(HeapUse {
                    size: u64::MAX,
                    used: u64::MAX,
                    peak: u64::MAX,
                }),
            },
            Answer::Realm {
                details: Box::new(details()),
            },
        ];
        let results = answers
            .into_iter()
            .map(Outcome::Ok)
            .chain([Outcome::Error(text(REFUSAL))]);
        for result in results {
            let reply = Reply {
                id: u64::MAX,
                result,
            };
            let bytes = serde_json::to_vec(&reply).unwrap().len();
            assert!(bytes <= MAX_PAYLOAD, "{bytes} bytes: {reply:.80?}");
        }
        let stopped = Event::Stopped {
            realm: u32::MAX,
            outcome: report::Outcome::GuestFailed,
            error: Some(text(LONGEST_ERROR)),
        };
        assert!(serde_json::to_vec(&stopped).unwrap().len() <= MAX_PAYLOAD);
    }
}
