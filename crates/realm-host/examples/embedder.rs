//! A second embedder: the least that a hypervisor needs to host realms.
//!
//! Read it with the guide "Adding realms to your hypervisor" (`docs/adding-realms-to-your-hypervisor.md`). The in-process
//! machine stands for the hardware: replace `Smc` with an `SMC #0` instruction and `Pages` with your allocator, and the
//! rest is your hypervisor's.
//!
//! `cargo run -p realm-host --example embedder` runs it.

use std::error::Error;
use std::sync::Arc;

use cca_abi::{psci::Function, smccc::Registers};
use machine::{Config, Machine, Transport, cpu::GuestCpu};
use realm_host::rec::{Decision, Entry, Exit, PsciRequest, RecSession};
use realm_host::{
    GranuleAddress, GranuleWords, Host, Ipa, IpaRange, PageAddress, PageCount, PageSize,
    PageSupply, RealmConfig, SmcTransport, VcpuConfig,
};
use spin::Mutex;

/// Where the realm has its memory, and how much.
const RAM: u64 = 0x4000_0000;
const RAM_BYTES: u64 = 16 << 20;

/// Step 1: how a call reaches the monitor. On hardware, X0 to X17 and `SMC #0`.
struct Smc(Transport);

impl SmcTransport for Smc {
    fn smc(&self, registers: &mut Registers) {
        self.0.smc(registers);
    }
}

/// Step 2: where pages come from. Here a plain free list over an arena of the machine's memory.
struct Pages<'m> {
    memory: &'m machine::Supply,
    free: Mutex<Vec<PageAddress>>,
}

impl<'m> Pages<'m> {
    const SIZE: PageSize = PageSize::Size4K;

    fn new(memory: &'m machine::Supply, count: u64) -> Option<Self> {
        let first = memory.allocate(PageCount::new(count), Self::SIZE.bytes())?;
        let free = Mutex::new((0..count).rev().map(|n| page(first, n)).collect());
        Some(Self { memory, free })
    }
}

impl PageSupply for Pages<'_> {
    fn page_size(&self) -> PageSize {
        Self::SIZE
    }

    /// Mostly single pages. Contiguous ones are for the starting-level tables, and for blocks if you want those.
    fn allocate(&self, pages: PageCount, align: u64) -> Option<PageAddress> {
        let mut free = self.free.lock();
        let run = |first| (0..pages.get()).map(move |n| page(first, n));
        let fits = |first: &&PageAddress| {
            first.get().is_multiple_of(align) && run(**first).all(|page| free.contains(&page))
        };
        let first = *free.iter().rev().find(fits)?;
        free.retain(|&other| !run(first).any(|page| page == other));
        Some(first)
    }

    /// Called only for pages that are the host's again.
    fn free(&self, first: PageAddress, pages: PageCount) {
        let pages = (0..pages.get()).map(|n| page(first, n));
        self.free.lock().extend(pages);
    }

    /// What realms can be promised.
    fn free_pages(&self) -> PageCount {
        PageCount::new(self.free.lock().len() as u64)
    }

    /// Your own mapping of your own memory. It is never asked for a granule that is delegated.
    fn words(&self, granule: GranuleAddress) -> &GranuleWords {
        self.memory.words(granule)
    }
}

/// The n-th page behind one.
fn page(first: PageAddress, n: u64) -> PageAddress {
    first.plus(PageCount::new(n), Pages::SIZE)
}

/// Step 5: the run loop of a vCPU thread. Each exit offers what may be answered; what is not answered, changes nothing.
fn run(mut rec: RecSession<'_, Smc, Pages<'_>>) -> Result<(), Box<dyn Error>> {
    loop {
        let left = rec.enter(&Entry::default())?;
        match left.exit {
            // Private memory is added when it is touched.
            Exit::Abort(abort) => println!("touched {:?}: {:?}", abort.ipa(), abort.back()?),
            // The realm shares memory, or takes it back.
            Exit::RipasChange(change) => drop(change.apply().map_err(|(_, error)| error)?),
            // Your device model goes here.
            Exit::Mmio(mmio) => mmio.abort(),
            Exit::UnprotectedAbort(abort) => abort.abort(),
            Exit::HostCall(call) => println!("the realm calls with {:#x}", call.gprs()[0]),
            // CPU_ON: with several vCPUs, wake the thread of the target if `may_run`.
            Exit::Psci(call) => match call.request() {
                PsciRequest::SystemOff | PsciRequest::SystemReset | PsciRequest::CpuOff => {
                    return Ok(());
                }
                _ => drop(call.complete(Decision::Accept)?),
            },
            _ => {}
        }
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let machine = Machine::new(Config::default());
    // What the realm executes, where its image would be machine code.
    machine.install(
        RAM,
        Arc::new(|guest: &GuestCpu| {
            guest
                .store(RAM + RAM_BYTES - 8, 8, 42)
                .expect("memory, when it is touched");
            guest.call(&mut Registers::call(Function::SystemOff.function_id(), &[]));
        }),
    );
    machine.host_pe(0).run(|| {
        // Step 3: one host for all realms. It finds the monitor and asks what it supports.
        let pages = Pages::new(machine.supply(), 256).ok_or("memory")?;
        let host = Host::new(Smc(machine.transport()), pages)?;

        // Step 4: a realm. The order of init_ripas and populate is measured; that of add_vcpu is not.
        let mut realm = host.create_realm(RealmConfig::default())?;
        let ram = IpaRange::new(Ipa::new(RAM), Ipa::new(RAM + RAM_BYTES)).ok_or("a range")?;
        realm.init_ripas(ram).map_err(|partial| partial.error)?;
        realm
            .populate(Ipa::new(RAM), b"your image", true)
            .map_err(|partial| partial.error)?;
        realm.add_vcpu(VcpuConfig {
            pc: RAM,
            runnable: true,
            ..VcpuConfig::secondary(0)
        })?;
        println!("the owner will see {}", realm.rim());
        let realm = realm.activate().map_err(|failed| failed.error)?;
        run(realm.rec(0)?)?;

        // Step 6: everything comes back, or is in quarantine with a reason.
        realm.destroy().map_err(|failed| failed.error)?;
        let account = host.account();
        println!("{account:?}");
        assert_eq!(account.delegated, account.returned);
        Ok(())
    })
}
