//! Building a realm: its RAM, what is in it, its vCPUs.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use cca_abi::GRANULE_SIZE;
use realm_host::realm::{Active, New, Partial};
use realm_host::{Host, Ipa, IpaRange, PageSupply, Realm, RealmConfig, SmcTransport, VcpuConfig};

use crate::config::Config;
use crate::gic::MAX_VCPUS;

/// A realm that is being built, piece by piece. One that is dropped is destroyed.
#[derive(Debug)]
pub struct Assembly<'a, T: SmcTransport, M: PageSupply> {
    realm: Realm<'a, T, M, New>,
    ram: IpaRange,
    /// The first address at which contents may still be put.
    free: u64,
    vcpus: usize,
    first: VcpuConfig,
}

impl<'a, T: SmcTransport, M: PageSupply> Assembly<'a, T, M> {
    /// Creates the realm and its RAM. The configuration's segments are only looked at.
    ///
    /// # Errors
    ///
    /// A line that says what is wrong with the configuration, or what could not be done. Nothing is left behind.
    pub fn begin(host: &'a Host<T, M>, config: &Config<'_>) -> Result<Self, String> {
        check_vcpus(config.vcpus)?;
        let ram = ram(config.memory)
            .ok_or_else(|| format!("{} bytes are no size for a realm's memory", config.memory))?;
        let mut realm = host
            .create_realm(realm_config(config)?)
            .map_err(|error| format!("cannot create the realm: {error}"))?;
        if !config.overcommit {
            realm.reserve(ram, config.vcpus).map_err(|error| {
                format!(
                    "the machine cannot promise the realm its memory, tables and vCPUs included: {error} (a realm that may wait for \
                     memory is created with overcommitment)"
                )
            })?;
        }
        realm
            .init_ripas(ram)
            .map_err(|partial| at("make RAM", &partial))?;
        Ok(Self {
            realm,
            ram,
            free: ram.base().get(),
            vcpus: config.vcpus,
            first: first_vcpu(config),
        })
    }

    /// Puts bytes into the realm's memory, padded with zeros to whole pages, and measures them.
    ///
    /// # Errors
    ///
    /// A line that says that there is no such memory, that the place is below what is there already, or what could not be done.
    pub fn populate(&mut self, ipa: u64, bytes: &[u8]) -> Result<(), String> {
        self.free = after(ipa, bytes.len(), self.free, self.ram)?;
        self.realm
            .populate(Ipa::new(ipa), bytes, true)
            .map_err(|partial| at("load the image", &partial))
    }

    /// Adds the vCPUs and activates the realm.
    ///
    /// # Errors
    ///
    /// A line that says what could not be done. The realm is gone then.
    pub fn finish(mut self) -> Result<Realm<'a, T, M, Active>, String> {
        // In an order that has nothing to do with their indices: `realm-host` creates their RECs in the right one.
        for index in shuffled(self.vcpus as u64) {
            let vcpu = if index == 0 {
                self.first
            } else {
                VcpuConfig::secondary(index)
            };
            self.realm
                .add_vcpu(vcpu)
                .map_err(|error| format!("cannot add vCPUs: {error}"))?;
        }
        self.realm
            .activate()
            .map_err(|failed| format!("cannot activate the realm: {}", failed.error))
    }
}

fn at(what: &str, partial: &Partial) -> String {
    format!("cannot {what} at {:?}: {}", partial.reached, partial.error)
}

/// Builds the whole realm that the configuration describes.
///
/// # Errors
///
/// A line that says why not.
pub(crate) fn build<'a, T: SmcTransport, M: PageSupply>(
    host: &'a Host<T, M>,
    config: &Config<'_>,
) -> Result<Realm<'a, T, M, Active>, String> {
    check(config)?;
    let mut assembly = Assembly::begin(host, config)?;
    for segment in config.segments {
        assembly.populate(segment.ipa, segment.bytes)?;
    }
    assembly.finish()
}

/// The properties of the realm.
///
/// # Errors
///
/// What is wrong with its vector length.
pub(crate) fn realm_config(config: &Config<'_>) -> Result<RealmConfig, String> {
    let sve_vl = match config.sve_bits {
        0 => None,
        bits if bits.is_multiple_of(128) && bits <= 2048 => Some((bits / 128 - 1) as u8),
        bits => {
            return Err(format!(
                "{bits} bits are no vector length: SVE has multiples of 128 up to 2048"
            ));
        }
    };
    Ok(RealmConfig {
        ipa_bits: Config::IPA_BITS as u8,
        sve_vl,
        ..RealmConfig::default()
    })
}

/// The realm's RAM.
///
/// # Errors
///
/// What is wrong with the configuration.
pub(crate) fn check(config: &Config<'_>) -> Result<IpaRange, String> {
    check_vcpus(config.vcpus)?;
    let ram = ram(config.memory)
        .ok_or_else(|| format!("{} bytes are no size for a realm's memory", config.memory))?;
    if config
        .segments
        .iter()
        .all(|segment| segment.bytes.is_empty())
    {
        return Err("the realm's image is empty".to_string());
    }
    let mut free = ram.base().get();
    for segment in config.segments {
        free = after(segment.ipa, segment.bytes.len(), free, ram)?;
    }
    Ok(ram)
}

/// The first address after `size` bytes at `ipa`, if they can be there.
fn after(ipa: u64, size: usize, free: u64, ram: IpaRange) -> Result<u64, String> {
    if !ipa.is_multiple_of(GRANULE_SIZE) || ipa < free {
        return Err(format!(
            "an image of {size} bytes cannot be at {ipa:#x}: it is no page, or not free"
        ));
    }
    (size as u64)
        .checked_next_multiple_of(GRANULE_SIZE)
        .and_then(|size| ipa.checked_add(size))
        .filter(|&end| end <= ram.top().get())
        .ok_or_else(|| {
            format!(
                "an image of {size} bytes at {ipa:#x} does not fit into {} bytes of RAM",
                ram.top().get() - ram.base().get()
            )
        })
}

fn check_vcpus(vcpus: usize) -> Result<(), String> {
    match vcpus {
        0 => Err("a realm needs at least one vCPU".to_string()),
        1..=MAX_VCPUS => Ok(()),
        _ => Err(format!(
            "{vcpus} vCPUs are too many: there is room for the interrupt controllers of {MAX_VCPUS}"
        )),
    }
}

fn ram(memory: u64) -> Option<IpaRange> {
    let top = Config::RAM_BASE
        .checked_add(memory)
        .filter(|&top| top <= 1 << (Config::IPA_BITS - 1))?;
    IpaRange::new(Ipa::new(Config::RAM_BASE), Ipa::new(top))
}

/// The vCPU that runs from the start.
pub(crate) fn first_vcpu(config: &Config<'_>) -> VcpuConfig {
    VcpuConfig {
        index: 0,
        gprs: config.arguments,
        pc: config.entry,
        runnable: true,
    }
}

/// The numbers below `count`, shuffled, the same way each time.
fn shuffled(count: u64) -> Vec<u64> {
    let mut order: Vec<u64> = (0..count).rev().collect();
    let mut state = count;
    for last in (1..order.len()).rev() {
        // The multiplier of Knuth's MMIX; its upper bits are good enough for this.
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        order.swap(last, (state >> 33) as usize % (last + 1));
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vcpus_are_added_out_of_order_and_none_is_forgotten() {
        for count in [2, 4, 8, 64] {
            let mut order = shuffled(count);
            assert!(!order.is_sorted(), "{count} vCPUs: {order:?}");
            order.sort_unstable();
            assert!(order.into_iter().eq(0..count));
        }
    }
}
