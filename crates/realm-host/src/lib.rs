//! What a hypervisor needs to host realms: granules, realms, RECs and the run loop.
//!
//! The embedder brings two things: a way to issue SMCs ([`SmcTransport`]) and a page allocator ([`PageSupply`]). A
//! [`Host`] made of them finds the Realm Management Monitor and keeps the ledger of every granule that it was given. A
//! [`Realm`] is created from a [`RealmConfig`], filled, given vCPUs, activated, run through its RECs, and destroyed; which of
//! that is possible when is a matter of types.
//!
//! Everything is done through RMI 1.0 (RMM specification DEN0137 1.0-rel0) and assumes no more than that promises. The typed
//! client of its commands ([`client::Client`]), the units and the computation of the initial measurement ([`measure`]) work
//! alone and without `alloc`.
//!
//! # A realm's life
//!
//! The in-process machine stands for the hardware here: it is a transport and an allocator like any other, and what the
//! realm executes is a closure.
//!
//! ```
//! use std::sync::Arc;
//!
//! use cca_abi::{psci, smccc::Registers};
//! use realm_host::rec::{Decision, Entry, Exit, PsciRequest};
//! use realm_host::{Host, Ipa, IpaRange, RealmConfig, VcpuConfig};
//!
//! const RAM: u64 = 0x4000_0000;
//!
//! let machine = machine::Machine::new(machine::Config::default());
//! machine.install(RAM, Arc::new(|guest: &machine::cpu::GuestCpu| {
//!     guest.store(RAM + 0x10_0000, 8, 42).expect("memory, when it is touched");
//!     guest.call(&mut Registers::call(psci::Function::SystemOff.function_id(), &[]));
//! }));
//!
//! machine.host_pe(0).run(|| -> Result<(), Box<dyn std::error::Error>> {
//!     // One host for all realms.
//!     let host = Host::new(machine.transport(), machine.supply())?;
//!
//!     // Build: the order of these steps is what is measured.
//!     let mut realm = host.create_realm(RealmConfig::default())?;
//!     let ram = IpaRange::new(Ipa::new(RAM), Ipa::new(RAM + (16 << 20))).ok_or("a range")?;
//!     realm.init_ripas(ram).map_err(|partial| partial.error)?;
//!     realm.populate(Ipa::new(RAM), b"the image", true).map_err(|partial| partial.error)?;
//!     realm.add_vcpu(VcpuConfig { runnable: true, pc: RAM, ..VcpuConfig::secondary(0) })?;
//!     println!("the owner will see {}", realm.rim());
//!     let realm = realm.activate().map_err(|failed| failed.error)?;
//!
//!     // Run: each exit is answered in one of the ways that it offers, or simply entered again.
//!     let mut rec = realm.rec(0)?;
//!     loop {
//!         let left = rec.enter(&Entry::default())?;
//!         match left.exit {
//!             Exit::Abort(abort) => {
//!                 abort.back()?;
//!             }
//!             Exit::Psci(call) if call.request() == PsciRequest::SystemOff => break,
//!             Exit::Psci(call) => {
//!                 call.complete(Decision::Accept)?;
//!             }
//!             Exit::Mmio(mmio) => mmio.abort(),
//!             _ => {}
//!         }
//!     }
//!     drop(rec);
//!
//!     // Take apart: everything comes back.
//!     realm.destroy().map_err(|failed| failed.error)?;
//!     assert_eq!(host.account().delegated, host.account().returned);
//!     Ok(())
//! }).expect("a life without faults");
//! ```
//!
//! A second embedder, in full, is `examples/embedder.rs`; the guide to it is `docs/adding-realms-to-your-hypervisor.md`. What
//! review of other hosts asked for, point by point, is in [`requirements`].
//!
//! # What holds whatever fails
//!
//! - An operation ends done, or exactly as it began, or it says how far it came.
//! - Destroying never allocates, goes on after a failure where it stopped, and does not let one stubborn object keep the rest.
//! - A granule is freed only after the monitor has given it back. One that it does not give back is in quarantine, where it can
//!   be seen and tried again; the page that it lies in is not freed.
//! - What the monitor answers is checked before it is believed.
//! - No lock is held while a REC runs.
//!
//! # What does not compile
//!
//! Counts and addresses of pages and of granules do not mix:
//!
//! ```compile_fail,E0308
//! use realm_host::{GranuleCount, PageCount};
//! let granules: GranuleCount = PageCount::new(4);
//! ```
//!
//! A granule that is delegated cannot be touched:
//!
//! ```compile_fail,E0382
//! # use realm_host::{PageSupply, SmcTransport, ledger::OwnGranule};
//! fn touch<T: SmcTransport, M: PageSupply>(granule: OwnGranule<'_, T, M>) {
//!     let delegated = granule.delegate();
//!     let _ = granule.words();
//!     drop(delegated);
//! }
//! ```
//!
//! ```compile_fail,E0599
//! # use realm_host::{PageSupply, SmcTransport, ledger::DelegatedGranule};
//! fn touch<T: SmcTransport, M: PageSupply>(granule: DelegatedGranule<'_, T, M>) {
//!     let _ = granule.words();
//! }
//! ```
//!
//! A realm that is not active has no RECs to enter:
//!
//! ```compile_fail,E0599
//! # use realm_host::{PageSupply, Realm, SmcTransport, realm::New};
//! fn run<T: SmcTransport, M: PageSupply>(realm: &Realm<'_, T, M, New>) {
//!     let _ = realm.rec(0);
//! }
//! ```
//!
//! An active realm takes no more content:
//!
//! ```compile_fail,E0599
//! # use realm_host::{Ipa, PageSupply, Realm, SmcTransport, realm::Active};
//! fn fill<T: SmcTransport, M: PageSupply>(realm: &mut Realm<'_, T, M, Active>) {
//!     let _ = realm.populate(Ipa::new(0), &[], true);
//! }
//! ```
//!
//! A realm that is destroyed cannot be used, and not destroyed twice:
//!
//! ```compile_fail,E0382
//! # use realm_host::{PageSupply, Realm, SmcTransport, realm::Active};
//! fn end<T: SmcTransport, M: PageSupply>(realm: Realm<'_, T, M, Active>) {
//!     let _ = realm.destroy();
//!     let _ = realm.destroy();
//! }
//! ```
//!
//! A realm cannot be destroyed while somebody holds one of its RECs:
//!
//! ```compile_fail,E0505
//! # use realm_host::{PageSupply, Realm, SmcTransport, realm::Active};
//! fn end<T: SmcTransport, M: PageSupply>(realm: Realm<'_, T, M, Active>) {
//!     let rec = realm.rec(0);
//!     let _ = realm.destroy();
//!     drop(rec);
//! }
//! ```
//!
//! An exit cannot be kept beyond the next entry:
//!
//! ```compile_fail,E0499
//! # use realm_host::{PageSupply, SmcTransport, rec::{Entry, RecSession}};
//! fn run<T: SmcTransport, M: PageSupply>(rec: &mut RecSession<'_, T, M>) {
//!     let first = rec.enter(&Entry::default());
//!     let second = rec.enter(&Entry::default());
//!     drop((first, second));
//! }
//! ```
//!
//! An exit is answered once:
//!
//! ```compile_fail,E0382
//! # use realm_host::{PageSupply, SmcTransport, rec::Mmio};
//! fn answer<T: SmcTransport, M: PageSupply>(mmio: Mmio<'_, T, M>) {
//!     mmio.complete(1);
//!     mmio.abort();
//! }
//! ```
#![no_std]
#![forbid(unsafe_code)]

#[cfg(feature = "alloc")]
extern crate alloc;

pub mod client;
pub mod error;
pub mod measure;
#[doc = include_str!("requirements.md")]
pub mod requirements {}
pub mod supply;
pub mod transport;
pub mod units;

#[cfg(feature = "alloc")]
mod host;
#[cfg(feature = "alloc")]
pub mod ledger;
#[cfg(feature = "alloc")]
pub mod plan;
#[cfg(feature = "alloc")]
pub mod realm;
#[cfg(feature = "alloc")]
pub mod rec;

pub use error::Error;
pub use supply::{GranuleWords, PageSupply};
pub use transport::SmcTransport;
pub use units::{GranuleAddress, GranuleCount, Ipa, IpaRange, PageAddress, PageCount, PageSize};

#[cfg(feature = "alloc")]
pub use host::Host;
#[cfg(feature = "alloc")]
pub use realm::{Realm, RealmConfig};
#[cfg(feature = "alloc")]
pub use rec::VcpuConfig;
