//! What the machine's realm will measure, before it is launched.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use cca_abi::rmi::HashAlgorithm;
use realm_host::plan::{image_pages, measure, ram_entries};
use realm_host::realm::LEAF;

pub use realm_host::measure::Rim;
pub use realm_host::plan::Step;

use crate::build::{check, first_vcpu, realm_config};
use crate::config::Config;

/// The steps that make up the measurement of the realm that the configuration describes, in order: the realm, its RAM
/// in entries as large as they can be, the pages of its image, its first vCPU. The others start switched off, and
/// what starts switched off is not measured; so their number does not matter.
///
/// # Errors
///
/// A line that says why there can be no such realm.
pub fn plan<'a>(config: &Config<'a>) -> Result<Vec<Step<'a>>, String> {
    Plan::usual(config)?.steps(config)
}

/// Why a realm of this configuration could measure `found` and not what [`plan`] gives: the first of the usual
/// differences that explains it exactly. `None` if none does; then, most likely, its image was another one.
#[must_use]
pub fn explain(config: &Config<'_>, found: &[u8]) -> Option<String> {
    let steps = plan(config).ok()?;
    let mut rim = None;
    for (index, step) in steps.iter().enumerate() {
        rim = step.apply(rim);
        if rim.is_some_and(|rim| rim.digest() == found) {
            return Some(match steps.get(index + 1) {
                None => String::from("it is the same"),
                Some(next) => format!(
                    "it is that of step {} of {}: {} and what comes after it was not done",
                    index + 1,
                    steps.len(),
                    next.command().name()
                ),
            });
        }
    }
    variants(config, Plan::usual(config).ok()?)
        .find(|(variant, plan, _)| {
            let rim = plan.steps(variant).ok().and_then(measure);
            rim.is_some_and(|rim| rim.digest() == found)
        })
        .map(|(_, _, why)| why)
}

/// A way to build a realm.
#[derive(Clone, Copy)]
struct Plan {
    hash: HashAlgorithm,
    /// The level of the largest table entries.
    coarsest: i64,
    image_first: bool,
    measured_image: bool,
    vcpu: bool,
}

impl Plan {
    fn usual(config: &Config<'_>) -> Result<Self, String> {
        let realm = realm_config(config)?;
        Ok(Self {
            hash: realm.hash,
            coarsest: realm.geometry().start_level(),
            image_first: false,
            measured_image: true,
            vcpu: true,
        })
    }

    fn steps<'a>(self, config: &Config<'a>) -> Result<Vec<Step<'a>>, String> {
        let ram = check(config)?;
        let mut realm = realm_config(config)?;
        realm.hash = self.hash;
        let pages = || {
            let segments = config.segments.iter();
            let pages = segments.flat_map(|segment| image_pages(segment.ipa, segment.bytes));
            pages.map(|page| match page {
                Step::Data { ipa, .. } if !self.measured_image => Step::Data { ipa, content: None },
                page => page,
            })
        };
        let mut steps = Vec::from([Step::Create(realm.measured())]);
        if self.image_first {
            steps.extend(pages());
        }
        steps.extend(ram_entries(ram, self.coarsest));
        if !self.image_first {
            steps.extend(pages());
        }
        if self.vcpu {
            steps.push(Step::Rec(first_vcpu(config).measured()));
        }
        Ok(steps)
    }
}

/// What hosts do differently, each with a line that says so.
fn variants<'a>(
    config: &Config<'a>,
    usual: Plan,
) -> impl Iterator<Item = (Config<'a>, Plan, String)> {
    let config = *config;
    let plans = [
        (
            Plan {
                hash: match usual.hash {
                    HashAlgorithm::Sha256 => HashAlgorithm::Sha512,
                    HashAlgorithm::Sha512 => HashAlgorithm::Sha256,
                },
                ..usual
            },
            "the realm was measured with the other hash algorithm",
        ),
        (
            Plan {
                coarsest: LEAF - 1,
                ..usual
            },
            "its RAM was made in table entries of at most 2M (RMI_RTT_INIT_RIPAS)",
        ),
        (
            Plan {
                coarsest: LEAF,
                ..usual
            },
            "its RAM was made in table entries of 4K (RMI_RTT_INIT_RIPAS)",
        ),
        (
            Plan {
                image_first: true,
                ..usual
            },
            "its image was loaded before its RAM was made (RMI_DATA_CREATE before RMI_RTT_INIT_RIPAS)",
        ),
        (
            Plan {
                measured_image: false,
                ..usual
            },
            "its image was loaded without being measured (flags of RMI_DATA_CREATE)",
        ),
    ];
    let plans = plans
        .into_iter()
        .map(move |(plan, why)| (config, plan, String::from(why)));
    let sizes = (21..36).flat_map(|shift| [2u64 << shift, 3 << shift]);
    let sizes = sizes.map(move |memory| {
        let why = format!(
            "the realm has {}M of memory, not {}",
            memory >> 20,
            amount(config.memory)
        );
        (resized(config, memory), usual, why)
    });
    plans.chain(sizes)
}

/// The same realm with another amount of memory; a raw image is told of it.
fn resized(config: Config<'_>, memory: u64) -> Config<'_> {
    let mut arguments = config.arguments;
    if arguments == Config::raw(config.memory, &[]).arguments {
        arguments = Config::raw(memory, &[]).arguments;
    }
    Config {
        memory,
        arguments,
        ..config
    }
}

fn amount(bytes: u64) -> String {
    if bytes.is_multiple_of(1 << 20) {
        format!("{}M", bytes >> 20)
    } else {
        format!("{}K", bytes >> 10)
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use std::string::ToString;

    use super::*;
    use crate::config::Segment;

    const MIB: u64 = 1 << 20;

    fn image(bytes: &[u8]) -> [Segment<'_>; 1] {
        [Segment {
            ipa: Config::RAM_BASE,
            bytes,
        }]
    }

    fn ram(memory: u64) -> Vec<(u64, u64)> {
        let image = image(&[1]);
        let steps = plan(&Config::raw(memory, &image)).unwrap();
        let ram = steps.iter().filter_map(|step| match step {
            Step::Ram { base, top } => Some((*base, top - base)),
            _ => None,
        });
        ram.collect()
    }

    #[test]
    fn ram_is_made_in_the_largest_entries() {
        assert_eq!(ram(4096), [(0x4000_0000, 4096)]);
        assert_eq!(ram(2 * MIB + 8192).len(), 3);
        assert_eq!(ram(1024 * MIB), [(0x4000_0000, 1024 * MIB)]);
        assert_eq!(
            ram(1026 * MIB + 4096),
            [
                (0x4000_0000, 1024 * MIB),
                (0x8000_0000, 2 * MIB),
                (0x8020_0000, 4096)
            ]
        );
    }

    #[test]
    fn the_number_of_vcpus_does_not_matter_and_everything_else_does() {
        let bytes = [7; 5000];
        let image = image(&bytes);
        let rim = |config: &Config<'_>| measure(plan(config).unwrap()).unwrap().to_string();
        let usual = Config::raw(64 * MIB, &image);
        assert_eq!(rim(&usual), rim(&Config { vcpus: 9, ..usual }));
        assert_ne!(rim(&usual), rim(&Config::raw(66 * MIB, &image)));
        assert_ne!(
            rim(&usual),
            rim(&Config::raw(64 * MIB, &self::image(&bytes[..4999])))
        );
        // Zeros after the image are what is there anyway.
        let mut padded = bytes.to_vec();
        padded.resize(8192, 0);
        assert_eq!(
            rim(&usual),
            rim(&Config::raw(64 * MIB, &self::image(&padded)))
        );
    }

    #[test]
    fn what_was_done_differently_is_found() {
        let bytes = [7; 5000];
        let image = image(&bytes);
        let config = Config::raw(64 * MIB, &image);
        let usual = Plan::usual(&config).unwrap();
        let explained = |rim: Rim| explain(&config, rim.digest());
        for (variant, plan, why) in variants(&config, usual) {
            let Some(rim) = plan.steps(&variant).ok().and_then(measure) else {
                continue;
            };
            let explained = explained(rim).unwrap();
            let same = measure(usual.steps(&config).unwrap()).unwrap() == rim;
            if same {
                assert_eq!(explained, "it is the same");
            } else {
                assert_eq!(explained, why);
            }
        }
        let steps = plan(&config).unwrap();
        let early = measure(steps[..steps.len() - 1].iter().copied()).unwrap();
        assert_eq!(
            explained(early).unwrap(),
            "it is that of step 35 of 36: RMI_REC_CREATE and what comes after it was not done"
        );
        assert_eq!(explain(&config, &[0; 32]), None);
    }
}
