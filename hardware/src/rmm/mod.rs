//! The machine under the Realm Management Monitor: Realm EL2 of an Armv9-A processor with RME.
//!
//! * [`entry`]: the first instructions of an image, cold and warm boot.
//! * [`boot`]: the checks of the RMM-EL3 boot interface, the manifest, and the service loop of a PE.
//! * [`mmu`]: stage 1 of the RMM, one window per physical address space, mapped once.
//! * [`vectors`], [`fault`]: exceptions, from a realm and of the RMM itself.
//! * `memory`: memcpy and memset. `job`: signatures, which an interrupt suspends.
//! * [`machine`], [`non_secure`], [`tlb`], [`cpu`], [`smc`], [`hash`]: what [`realm_monitor::platform::Platform`] asks for.
//! * [`pe`], [`el1`], [`gic`], [`simd`], [`pmu`], [`debug`]: what [`realm_monitor::platform::ProcessingElement`] asks for: the switch into
//!   a realm and back.
//!
//! Concurrency: a PE touches only its own [`per_pe::PeArea`]; what is shared is either constant after cold boot (tables,
//! [`machine::Machine`]) or atomic (granule states, memory of realms).

pub mod boot;
pub mod cpu;
pub mod debug;
pub mod el1;
pub mod entry;
pub mod fault;
pub mod gic;
pub mod hash;
mod job;
pub mod machine;
#[cfg(target_os = "none")]
mod memory;
pub mod mmu;
pub mod non_secure;
pub mod pe;
pub mod per_pe;
pub mod pmu;
#[cfg(test)]
mod sequences;
pub mod simd;
pub mod smc;
pub mod tlb;
pub mod vectors;

/// Most PEs that an image has stacks for.
pub const MAX_PES: usize = 32;
/// Stacks of an image: one for each PE, then one for each signature that is under way.
const STACKS: usize = MAX_PES + realm_monitor::attestation::PLACES;

const _: () = assert!(MAX_PES <= realm_monitor::attestation::PLACES);
