//! A whole realm life on the in-process machine, through a transport and an allocator that fail when they are told to.
#![allow(
    dead_code,
    unreachable_pub,
    reason = "shared by several tests, each of which uses a part"
)]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use cca_abi::rmi::{Command, FailureKind, ReturnCode, Status};
use cca_abi::smccc::{self, Registers};
use machine::cpu::{GuestCpu, Instruction};
use machine::{Config, Machine, Snapshot, Supply, Time, Transport};
use realm_host::realm::Access;
use realm_host::rec::{Decision, EnterError, Entry, Exit, PsciRequest};
use realm_host::{
    Error, GranuleAddress, GranuleWords, Host, Ipa, IpaRange, PageAddress, PageCount, PageSize,
    PageSupply, Realm, RealmConfig, SmcTransport, VcpuConfig,
};

pub const RAM: u64 = 0x4000_0000;
/// Two blocks and two pages, so that tables of both levels are needed.
pub const RAM_BYTES: u64 = (4 << 20) + 0x2000;
const ALIAS: u64 = 1 << 39;
const SYSTEM_OFF: u64 = 0x8400_0008;
const CPU_OFF: u64 = 0x8400_0002;
const CPU_ON: u64 = 0xC400_0003;
const IPA_STATE_SET: u64 = 0xC400_0197;

/// What the transport does to the calls that go through it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nothing.
    None,
    /// The n-th call is not made and answers with this X0.
    Nth(u64, u64),
    /// No call of that command is made; all answer with this X0.
    Every(Command, u64),
    /// Calls of that command are not made from the n-th call on, so many of them, and answer with this X0.
    Window(Command, u64, u64, u64),
    /// Calls of that command are made, and answer SUCCESS with this X1.
    Output(Command, u64),
}

/// A transport that fails.
pub struct Faulty<'m> {
    inner: Transport,
    supply: &'m Supply,
    fault: &'m spin::Mutex<Fault>,
    calls: &'m AtomicU64,
    log: &'m spin::Mutex<Vec<Command>>,
    refused: &'m AtomicU64,
}

impl SmcTransport for Faulty<'_> {
    fn smc(&self, registers: &mut Registers) {
        let number = self.calls.fetch_add(1, Ordering::Relaxed);
        let command =
            Command::from_function_id(smccc::function_id(registers.0[0])).expect("an RMI command");
        self.log.lock().push(command);
        if command == Command::GranuleDelegate {
            let granule = GranuleAddress::new(registers.0[1]).expect("a granule");
            let words = self.supply.words(granule).iter();
            let is_zero = |word: &AtomicU64| word.load(Ordering::Relaxed) == 0;
            assert!(
                words.into_iter().all(is_zero),
                "the monitor gets what the host had in {granule:?}"
            );
        }
        let fault = *self.fault.lock();
        let refuse = |registers: &mut Registers, x0| {
            self.refused.fetch_add(1, Ordering::Relaxed);
            registers.0[0] = x0;
            registers.0[1..4].fill(0);
        };
        match fault {
            Fault::Nth(nth, x0) if nth == number => refuse(registers, x0),
            Fault::Window(of, from, count, x0)
                if of == command
                    && number >= from
                    && self.refused.load(Ordering::Relaxed) < count =>
            {
                refuse(registers, x0)
            }
            Fault::Every(every, x0) if every == command => refuse(registers, x0),
            Fault::Output(of, x1) if of == command => {
                self.inner.smc(registers);
                registers.0[1] = x1;
            }
            _ => self.inner.smc(registers),
        }
    }
}

/// An allocator that runs dry.
pub struct Dry<'m> {
    inner: &'m Supply,
    /// How many allocations succeed.
    left: &'m AtomicU64,
    /// The most pages that are contiguous.
    contiguous: &'m AtomicU64,
}

impl PageSupply for Dry<'_> {
    fn page_size(&self) -> PageSize {
        self.inner.page_size()
    }

    fn allocate(&self, pages: PageCount, align: u64) -> Option<PageAddress> {
        if pages.get() > self.contiguous.load(Ordering::Relaxed) {
            return None;
        }
        self.left
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
                left.checked_sub(1)
            })
            .ok()?;
        let first = self.inner.allocate(pages, align)?;
        // Somebody has used it before.
        let size = self.page_size();
        let end = first.get() + pages.bytes(size);
        for granule in (first.get()..end).step_by(0x1000) {
            let granule = GranuleAddress::new(granule).expect("a granule");
            for word in self.words(granule) {
                word.store(0xD1D1_D1D1, Ordering::Relaxed);
            }
        }
        Some(first)
    }

    fn free(&self, first: PageAddress, pages: PageCount) {
        self.inner.free(first, pages);
    }

    fn free_pages(&self) -> PageCount {
        self.inner.free_pages()
    }

    fn words(&self, granule: GranuleAddress) -> &GranuleWords {
        self.inner.words(granule)
    }
}

pub type TestHost<'m> = Host<Faulty<'m>, Dry<'m>>;

/// A machine and everything that can go wrong in it.
pub struct Bench {
    pub machine: Machine,
    pub fault: spin::Mutex<Fault>,
    pub calls: AtomicU64,
    pub log: spin::Mutex<Vec<Command>>,
    pub pages: AtomicU64,
    pub contiguous: AtomicU64,
    /// Calls that were not made in the last life.
    pub refused: AtomicU64,
    before: Snapshot,
}

impl Bench {
    pub fn new(page_size: PageSize) -> Self {
        Self::boot(page_size, Machine::new)
    }

    /// With the realm monitor that asks for sixteen auxiliary granules and answers as strictly as it may.
    pub fn strict(page_size: PageSize) -> Self {
        Self::boot(page_size, Machine::strict)
    }

    fn boot(page_size: PageSize, boot: fn(Config) -> Machine) -> Self {
        let machine = boot(Config {
            pes: 1,
            dram_bytes: 64 << 20,
            page_size,
            time: Time::Counted { ticks: 100 },
        });
        machine.install(RAM, Arc::new(first_vcpu));
        machine.install(RAM + 0x40, Arc::new(second_vcpu));
        let before = machine.snapshot();
        Self {
            machine,
            fault: spin::Mutex::new(Fault::None),
            calls: AtomicU64::new(0),
            log: spin::Mutex::new(Vec::new()),
            pages: AtomicU64::new(u64::MAX),
            contiguous: AtomicU64::new(u64::MAX),
            refused: AtomicU64::new(0),
            before,
        }
    }

    /// Runs code as the host, with a fault in place from the first call after the discovery.
    pub fn host<R>(&self, fault: Fault, pages: u64, code: impl FnOnce(&TestHost<'_>) -> R) -> R {
        let pe = self.machine.host_pe(0);
        pe.run(|| {
            let transport = Faulty {
                inner: self.machine.transport(),
                supply: self.machine.supply(),
                fault: &self.fault,
                calls: &self.calls,
                log: &self.log,
                refused: &self.refused,
            };
            let supply = Dry {
                inner: self.machine.supply(),
                left: &self.pages,
                contiguous: &self.contiguous,
            };
            let host = Host::new(transport, supply).expect("a monitor");
            self.calls.store(0, Ordering::Relaxed);
            self.refused.store(0, Ordering::Relaxed);
            self.log.lock().clear();
            self.pages.store(pages, Ordering::Relaxed);
            *self.fault.lock() = fault;
            let result = code(&host);
            *self.fault.lock() = Fault::None;
            self.pages.store(u64::MAX, Ordering::Relaxed);
            result
        })
    }

    /// Checks that everybody has back what is theirs.
    pub fn check_empty(&self, host: &TestHost<'_>, what: &str) {
        let account = host.account();
        assert_eq!(account.quarantined, 0, "{what}: {account:?}");
        assert_eq!(account.delegated, account.returned, "{what}");
        assert_eq!(host.pages_held(), 0, "{what}");
        assert_eq!(self.machine.supply().in_use(), 0, "{what}");
        assert_eq!(
            self.machine.snapshot().differences(&self.before),
            [],
            "{what}"
        );
    }
}

/// Builds a realm with two vCPUs, added in the wrong order.
pub fn build<'h, 'm>(
    host: &'h TestHost<'m>,
) -> Result<Realm<'h, Faulty<'m>, Dry<'m>, realm_host::realm::Active>, Error> {
    let mut realm = host.create_realm(RealmConfig::default())?;
    let ram = IpaRange::new(Ipa::new(RAM), Ipa::new(RAM + RAM_BYTES)).expect("a range");
    realm.init_ripas(ram).map_err(|partial| partial.error)?;
    realm
        .populate(Ipa::new(RAM), &[7; 0x1800], true)
        .map_err(|partial| partial.error)?;
    realm
        .populate(Ipa::new(RAM + (2 << 20)), &[8; 0x1000], false)
        .map_err(|partial| partial.error)?;
    realm.add_vcpu(VcpuConfig::secondary(1))?;
    realm.add_vcpu(VcpuConfig {
        index: 0,
        gprs: [1; 8],
        pc: RAM,
        runnable: true,
    })?;
    realm.activate().map_err(|failed| failed.error)
}

/// Why a life ended early.
#[derive(Debug)]
pub enum Died {
    Host(Error),
    Enter(EnterError),
}

/// A page that the embedder has for itself.
pub struct OwnPage<'h, 'm> {
    host: &'h TestHost<'m>,
    pub page: PageAddress,
}

impl<'h, 'm> OwnPage<'h, 'm> {
    pub fn new(host: &'h TestHost<'m>) -> Result<Self, Error> {
        let size = host.supply().page_size();
        let page = host.supply().allocate(PageCount::ONE, size.bytes());
        let page = page.ok_or(Error::OutOfMemory {
            pages: PageCount::ONE,
        })?;
        Ok(Self { host, page })
    }
}

impl Drop for OwnPage<'_, '_> {
    fn drop(&mut self) {
        self.host.supply().free(self.page, PageCount::ONE);
    }
}

/// A whole life: a realm is built, shares a page of the embedder's own, runs, and is destroyed.
pub fn live(host: &TestHost<'_>) -> Result<(), Died> {
    let own = OwnPage::new(host).map_err(Died::Host)?;
    let realm = build(host).map_err(Died::Host)?;
    let window = Ipa::new(ALIAS | 0x1000_0000);
    realm
        .map_shared(window, own.page, PageCount::ONE, Access::ReadOnly)
        .map_err(Died::Host)?;
    run(&realm)?;
    let bytes = host.supply().page_size().bytes();
    let range = IpaRange::new(window, Ipa::new(window.get() + bytes)).expect("a range");
    realm.unmap_shared(range).map_err(Died::Host)?;
    realm.destroy().map_err(|failed| Died::Host(failed.error))
}

/// Runs a realm until it is off.
pub fn run(realm: &Realm<'_, Faulty<'_>, Dry<'_>, realm_host::realm::Active>) -> Result<(), Died> {
    let mut on = vec![0];
    let mut entries = 0;
    while !realm.is_off() {
        entries += 1;
        assert!(entries < 200, "the realm makes no progress");
        let index = on.remove(0);
        let mut session = realm.rec(index).map_err(Died::Host)?;
        let left = session
            .enter(&Entry {
                trap_wfi: true,
                ..Entry::default()
            })
            .map_err(Died::Enter)?;
        on.push(index);
        match left.exit {
            Exit::Abort(abort) => {
                let _ = abort.back().map_err(Died::Host)?;
            }
            Exit::Mmio(mmio) => {
                let _ = mmio.share().map_err(Died::Host)?;
            }
            Exit::RipasChange(change) => {
                let _ = change.apply().map_err(|(_, error)| Died::Host(error))?;
            }
            Exit::Psci(psci) => {
                if matches!(psci.request(), PsciRequest::CpuOff) {
                    on.pop();
                }
                if let Some(done) = psci.complete(Decision::Accept).map_err(Died::Host)?
                    && done.may_run
                {
                    on.push(done.target as usize);
                }
            }
            Exit::Interrupt | Exit::Wait(_) => {}
            other => panic!("{}", other.name()),
        }
    }
    Ok(())
}

fn call(guest: &GuestCpu, arguments: &[u64]) -> u64 {
    let mut registers = Registers::default();
    registers.0[..arguments.len()].copy_from_slice(arguments);
    guest.call(&mut registers);
    registers.0[0]
}

fn store(guest: &GuestCpu, ipa: u64, value: u64) {
    guest.store(ipa, 8, value).expect("memory");
}

/// Touches memory, shares a page, takes it back, starts another vCPU, switches off.
fn first_vcpu(guest: &GuestCpu) {
    let page = RAM + (2 << 20) + 0x3000;
    store(guest, page, 5);
    set_ripas(guest, page, 0);
    store(guest, page | ALIAS, 6);
    set_ripas(guest, page, 1);
    store(guest, page, 7);
    assert_eq!(guest.load(page, 8), Ok(7));
    call(guest, &[CPU_ON, 1, RAM + 0x40, 0]);
    for _ in 0..4 {
        guest
            .execute(Instruction::WaitForInterrupt)
            .expect("a wait");
    }
    call(guest, &[SYSTEM_OFF]);
}

/// Touches the last page and turns itself off.
fn second_vcpu(guest: &GuestCpu) {
    store(guest, RAM + RAM_BYTES - 0x1000, 1);
    call(guest, &[CPU_OFF]);
}

/// RSI_IPA_STATE_SET for a page, repeated until the whole page is done.
fn set_ripas(guest: &GuestCpu, page: u64, ripas: u64) {
    for _ in 0..8 {
        let mut registers = Registers::call(IPA_STATE_SET as u32, &[page, page + 0x1000, ripas, 0]);
        guest.call(&mut registers);
        if registers.0[1] == page + 0x1000 {
            return;
        }
    }
}

/// What a command may answer instead of SUCCESS, by its failure conditions.
pub fn legal_failures(command: Command) -> Vec<u64> {
    let mut answers = Vec::new();
    for condition in command.conditions() {
        let codes: &[(Status, u8)] = match condition.kind {
            FailureKind::Input => &[(Status::ErrorInput, 0)],
            FailureKind::Realm(0) => &[(Status::ErrorRealm, 0)],
            FailureKind::Realm(_) => &[(Status::ErrorRealm, 1)],
            FailureKind::Rec => &[(Status::ErrorRec, 0)],
            FailureKind::Rtt => &[
                (Status::ErrorRtt, 0),
                (Status::ErrorRtt, 1),
                (Status::ErrorRtt, 2),
                (Status::ErrorRtt, 3),
            ],
        };
        for &(status, index) in codes {
            let x0 = ReturnCode { status, index }.encode();
            if !answers.contains(&x0) {
                answers.push(x0);
            }
        }
    }
    answers
}

/// Says something whether the test passes or not: what a run covered belongs to its result.
pub fn tell(text: &str) {
    use std::io::Write as _;
    // Nobody reads it: no harm.
    let _ = writeln!(std::io::stderr(), "{text}");
}
