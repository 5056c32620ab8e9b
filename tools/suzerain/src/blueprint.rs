//! Everything that makes up a realm, before there is one: the same for measuring it, for running it, and for a machine
//! that stays up.

use realm_vmm::control::message::{Device, Spec};
use realm_vmm::measure;
use realm_vmm::{Config, Segment};

use crate::failure::Failure;
use crate::random::{self, CHALLENGE};
use crate::session::{Disk, PIECE};

/// Bytes that are in a realm's memory from the start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Contents {
    /// Where, a multiple of 4K.
    pub(crate) ipa: u64,
    /// What.
    pub(crate) bytes: Vec<u8>,
}

impl Contents {
    /// The contents in pieces of the size that goes over at once, with the address of each.
    pub(crate) fn pieces(&self) -> impl Iterator<Item = (u64, &[u8])> {
        let starts = (self.ipa..).step_by(PIECE);
        starts.zip(self.bytes.chunks(PIECE))
    }
}

/// What a realm is made of.
#[derive(Debug)]
pub(crate) struct Blueprint {
    /// vCPUs.
    pub(crate) vcpus: u64,
    /// Bytes of memory.
    pub(crate) memory: u64,
    /// The SVE vector length in bits; 0 for none.
    pub(crate) sve_bits: u32,
    /// What is in memory, by ascending address.
    pub(crate) contents: Vec<Contents>,
    /// Where vCPU 0 starts.
    pub(crate) entry: u64,
    /// X0 to X7 of vCPU 0.
    pub(crate) arguments: [u64; 8],
    /// Whether lines of console 0 say which vCPU printed them.
    pub(crate) lines: bool,
    /// Its devices besides those that every realm has.
    pub(crate) devices: Vec<Device>,
    /// The files of its disks.
    pub(crate) disks: Vec<Disk>,
}

impl Blueprint {
    /// A raw image at the start of memory, as [`Config::raw`] has it.
    pub(crate) fn raw(vcpus: u64, memory: u64, sve_bits: u32, image: Vec<u8>) -> Self {
        let raw = Config::raw(memory, &[]);
        Self {
            vcpus,
            memory,
            sve_bits,
            contents: vec![Contents {
                ipa: Config::RAM_BASE,
                bytes: image,
            }],
            entry: raw.entry,
            arguments: raw.arguments,
            lines: raw.lines,
            devices: Vec::new(),
            disks: Vec::new(),
        }
    }

    /// Bytes that go over to the host.
    pub(crate) fn length(&self) -> u64 {
        let lengths = self.contents.iter().map(|contents| contents.bytes.len());
        lengths.sum::<usize>() as u64
    }

    /// What the host is told of it.
    pub(crate) fn spec(&self, time_limit_ms: u64, challenge: [u8; CHALLENGE]) -> Spec {
        Spec {
            vcpus: u32::try_from(self.vcpus).unwrap_or(u32::MAX),
            memory: self.memory,
            sve_bits: self.sve_bits,
            entry: self.entry,
            arguments: self.arguments,
            lines: self.lines,
            overcommit: false,
            time_limit_ms,
            challenge: random::words(&challenge),
            devices: self.devices.clone(),
        }
    }

    /// What [`measure`] is told of it.
    pub(crate) fn with_config<T>(&self, use_it: impl FnOnce(&Config<'_>) -> T) -> T {
        let segments: Vec<_> = self
            .contents
            .iter()
            .map(|contents| Segment {
                ipa: contents.ipa,
                bytes: &contents.bytes,
            })
            .collect();
        use_it(&Config {
            vcpus: usize::try_from(self.vcpus).unwrap_or(usize::MAX),
            sve_bits: self.sve_bits,
            entry: self.entry,
            arguments: self.arguments,
            lines: self.lines,
            ..Config::raw(self.memory, &segments)
        })
    }

    /// The initial measurement that it will have, in hexadecimal.
    ///
    /// # Errors
    ///
    /// When there can be no such realm.
    pub(crate) fn rim(&self) -> Result<String, Failure> {
        self.with_config(|config| {
            let steps = measure::plan(config).map_err(Failure::input)?;
            let rim = steps.iter().fold(None, |rim, step| step.apply(rim));
            rim.map(|rim| rim.to_string())
                .ok_or_else(|| Failure::input("there is nothing to measure"))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contents_go_over_in_ascending_pieces() {
        let contents = Contents {
            ipa: 0x4020_0000,
            bytes: vec![1; PIECE + 5],
        };
        let pieces: Vec<_> = contents
            .pieces()
            .map(|(ipa, bytes)| (ipa, bytes.len()))
            .collect();
        assert_eq!(
            pieces,
            [(0x4020_0000, PIECE), (0x4020_0000 + PIECE as u64, 5)]
        );
    }

    #[test]
    fn the_measurement_is_that_of_the_plan() {
        let blueprint = Blueprint::raw(2, 64 << 20, 0, vec![1; 5000]);
        let segments = [Segment {
            ipa: Config::RAM_BASE,
            bytes: &[1; 5000],
        }];
        let steps = measure::plan(&Config::raw(64 << 20, &segments)).unwrap();
        let rim = steps.iter().fold(None, |rim, step| step.apply(rim));
        assert_eq!(blueprint.rim().unwrap(), rim.unwrap().to_string());
    }
}
