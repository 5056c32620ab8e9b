//! The program on a small world of its own: memory as a map, an RMM and a host that do just what it asks for.

use core::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::string::{String, ToString};
use std::vec::Vec;

use cca_abi::host_calls;
use cca_abi::mpidr::{architectural_from_index, index_from_architectural};
use cca_abi::psci::{Function, code};
use cca_abi::rsi::{self, Command};
use cca_abi::smccc::{NOT_SUPPORTED, Registers};

use super::{Board, GuestPe, MINIMUM_MEMORY, run, run_secondary};
use crate::Conduit;

const BOARD: Board = Board {
    memory_base: 0x4000_0000,
    memory_size: 64 << 20,
    uart: 0x0900_0000,
    distributor: 0x0800_0000,
    redistributors: 0x080A_0000,
};
const SHARED_BIT: u64 = 1 << 39;
const RIM: [u64; 8] = [0x0807_0605_0403_0201, 2, 3, 4, 0, 0, 0, 0];
const ENTRY: u64 = 0x4000_1000;

/// One thing that goes wrong.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fault {
    None,
    Sum,
    Measurement,
    HostReadsElsewhere,
    HostDoesNotWrite,
    OtherInterrupt,
    EarlyInterrupt,
    CpuOnDenied,
    LazyVcpu,
    RejectedRam,
    WrongMpidr,
    Forgetful,
    NoAttestation,
    LongToken,
    TokenRefused,
}

const CHALLENGE: [u64; 8] = [11, 12, 13, 14, 15, 16, 17, 18];
/// More than a page, and no multiple of a word.
const TOKEN_SIZE: u64 = 5003;

fn token_byte(n: u64) -> u8 {
    (n % 251) as u8
}

struct World {
    memory: RefCell<HashMap<u64, u64>>,
    empty: RefCell<Vec<u64>>,
    console: RefCell<String>,
    off: RefCell<Vec<u64>>,
    vcpus: u64,
    now: Cell<u64>,
    fault: Fault,
    failure_reported: Cell<bool>,
    ended: Cell<bool>,
    /// Whether the distributor forwards group 1.
    forwarded: Cell<bool>,
    /// Bytes of the token that the realm has got; none before it was begun.
    token: Cell<Option<u64>>,
    /// What the host has got.
    handed: RefCell<Vec<u8>>,
}

impl World {
    fn run(vcpus: u64, board: Board, fault: Fault) -> Self {
        let world = Self {
            memory: RefCell::default(),
            empty: RefCell::default(),
            console: RefCell::default(),
            off: RefCell::default(),
            vcpus,
            now: Cell::new(1_000_000),
            fault,
            failure_reported: Cell::new(false),
            ended: Cell::new(false),
            forwarded: Cell::new(false),
            token: Cell::default(),
            handed: RefCell::default(),
        };
        run(&Pe::new(&world, 0), board);
        world
    }

    fn lines(&self) -> Vec<String> {
        self.console
            .borrow()
            .lines()
            .map(ToString::to_string)
            .collect()
    }

    fn word(&self, address: u64) -> u64 {
        self.memory.borrow().get(&address).copied().unwrap_or(0)
    }

    fn set_word(&self, address: u64, value: u64) {
        self.memory.borrow_mut().insert(address, value);
    }

    fn host_call(&self, structure: u64) {
        let gpr = |i: u64| structure + 8 + 8 * i;
        match self.word(structure) as u16 {
            host_calls::ADD => {
                let error = u64::from(self.fault == Fault::Sum);
                self.set_word(gpr(0), self.word(gpr(1)) + self.word(gpr(2)) + error);
            }
            host_calls::SHARED_PAGE => {
                let page = self.word(gpr(0));
                let error = u64::from(self.fault == Fault::HostReadsElsewhere);
                self.set_word(gpr(0), self.word(page) ^ error);
                if self.fault != Fault::HostDoesNotWrite {
                    self.set_word(page + 8, 0xB0B);
                }
            }
            host_calls::MEASUREMENT => {
                let error = u64::from(self.fault == Fault::Measurement);
                let same = core::array::from_fn::<_, 8, _>(|i| self.word(gpr(i as u64))) == RIM;
                self.set_word(gpr(0), u64::from(!same) | error);
            }
            host_calls::CHALLENGE => {
                for (n, word) in (0..).zip(CHALLENGE) {
                    self.set_word(gpr(n), word);
                }
            }
            host_calls::TOKEN => {
                let (page, length) = (self.word(gpr(0)), self.word(gpr(1)));
                assert!(page & SHARED_BIT != 0 && length <= 4096);
                for n in 0..length {
                    let word = self.word(page + n / 8 * 8).to_le_bytes();
                    self.handed.borrow_mut().push(word[n as usize % 8]);
                }
                self.set_word(gpr(0), u64::from(self.fault == Fault::TokenRefused));
            }
            host_calls::FAILED => self.failure_reported.set(true),
            other => panic!("host call {other}"),
        }
    }

    fn rsi(&self, command: Command, x: &mut [u64; 18]) {
        let [_, base, top, ripas, ..] = *x;
        x[0] = rsi::SUCCESS;
        match command {
            Command::Version => x[1..3].copy_from_slice(&[0x1_0000, 0x1_0000]),
            Command::RealmConfig => {
                self.set_word(base, 40);
                self.set_word(base + 8, 0);
            }
            Command::MeasurementRead => x[1..9].copy_from_slice(&RIM),
            Command::AttestationTokenInit if self.fault == Fault::NoAttestation => {
                x[0] = rsi::ERROR_UNKNOWN;
            }
            Command::AttestationTokenInit => {
                assert_eq!(x[1..9], CHALLENGE);
                self.token.set(Some(0));
                x[1] = TOKEN_SIZE - u64::from(self.fault == Fault::LongToken);
            }
            Command::AttestationTokenContinue => {
                let (page, offset, size) = (x[1], x[2], x[3]);
                assert!(offset + size <= 4096 && page & SHARED_BIT == 0);
                let done = self.token.get().unwrap();
                // An interrupt before the first part, then parts of an odd size.
                let length = if done == 0 && self.now.replace(self.now.get() + 1).is_multiple_of(2)
                {
                    0
                } else {
                    size.min(TOKEN_SIZE - done).min(999)
                };
                for n in 0..length {
                    let at = page + offset + n;
                    let mut word = self.word(at / 8 * 8).to_le_bytes();
                    word[at as usize % 8] = token_byte(done + n);
                    self.set_word(at / 8 * 8, u64::from_le_bytes(word));
                }
                self.token.set(Some(done + length));
                x[1] = length;
                if done + length < TOKEN_SIZE {
                    x[0] = rsi::INCOMPLETE;
                }
            }
            Command::IpaStateSet => {
                let rejected = self.fault == Fault::RejectedRam && ripas == 1;
                let empty = &mut *self.empty.borrow_mut();
                if ripas == 0 {
                    empty.push(base);
                } else {
                    empty.retain(|&page| page != base);
                }
                x[1] = if rejected { base } else { top };
                x[2] = u64::from(rejected);
            }
            Command::IpaStateGet => {
                x[1] = top;
                x[2] = u64::from(!self.empty.borrow().contains(&base));
            }
            Command::HostCall => self.host_call(base),
            other => panic!("{other:?}"),
        }
    }
}

/// One vCPU. Another one runs to its end inside the `CPU_ON` that starts it.
struct Pe<'w> {
    world: &'w World,
    index: u64,
    deadline: Cell<Option<u64>>,
    active: Cell<Option<u32>>,
    /// Whether its redistributor is awake, and lets the timer's interrupt through.
    awake: Cell<bool>,
    enabled: Cell<bool>,
}

impl<'w> Pe<'w> {
    fn new(world: &'w World, index: u64) -> Self {
        Self {
            world,
            index,
            deadline: Cell::default(),
            active: Cell::default(),
            awake: Cell::default(),
            enabled: Cell::default(),
        }
    }

    fn psci(&self, function: Function, x: &[u64; 18]) -> i64 {
        let world = self.world;
        let target = index_from_architectural(x[1]);
        match function {
            Function::CpuOn if target >= world.vcpus => code::INVALID_PARAMETERS,
            Function::CpuOn if world.fault == Fault::CpuOnDenied => code::DENIED,
            Function::CpuOn => {
                assert_eq!((x[1] >> 31, x[2]), (0, ENTRY));
                if world.fault == Fault::LazyVcpu {
                    world.off.borrow_mut().push(target);
                } else {
                    run_secondary(&Pe::new(world, target), x[3]);
                }
                code::SUCCESS
            }
            Function::CpuOff => {
                world.off.borrow_mut().push(self.index);
                code::SUCCESS
            }
            Function::AffinityInfo => i64::from(world.off.borrow().contains(&target)),
            Function::SystemOff => {
                world.ended.set(true);
                code::SUCCESS
            }
            other => panic!("{other:?}"),
        }
    }
}

impl Conduit for Pe<'_> {
    fn smc(&self, registers: &mut Registers) {
        let x = &mut registers.0;
        let function_id = x[0] as u32;
        if let Some(command) = Command::from_function_id(function_id) {
            self.world.rsi(command, x);
        } else if let Some(function) = Function::from_function_id(function_id) {
            x[0] = self.psci(function, x) as u64;
        } else {
            x[0] = NOT_SUPPORTED;
        }
    }
}

impl GuestPe for Pe<'_> {
    fn read(&self, ipa: u64) -> u64 {
        self.check_state(ipa);
        self.world.word(ipa)
    }

    fn write(&self, ipa: u64, value: u64) {
        self.check_state(ipa);
        let last = BOARD.memory_base + BOARD.memory_size - 0x1000;
        if !(self.world.fault == Fault::Forgetful && ipa == last) {
            self.world.set_word(ipa, value);
        }
    }

    fn load_device(&self, ipa: u64) -> u32 {
        if ipa == self.redistributor() + 0x14 {
            return if self.awake.get() { 0 } else { 0b110 };
        }
        assert_eq!(ipa, (BOARD.uart + 0x18) | SHARED_BIT);
        0x90
    }

    fn store_device(&self, ipa: u64, value: u32) {
        let redistributor = self.redistributor();
        if ipa == BOARD.distributor | SHARED_BIT {
            assert_eq!(value, 0b10010);
            return self.world.forwarded.set(true);
        }
        match ipa.wrapping_sub(redistributor) {
            0x14 => return self.awake.set(value == 0),
            0x1_0080 => return assert_eq!(value, 1 << 27),
            0x1_0418 => return assert_eq!(value, 0xA0 << 24),
            0x1_0100 => return self.enabled.set(self.awake.get() && value == 1 << 27),
            _ => {}
        }
        assert_eq!(ipa, BOARD.uart | SHARED_BIT);
        self.world
            .console
            .borrow_mut()
            .push(char::from(value as u8));
    }

    fn mpidr(&self) -> u64 {
        architectural_from_index(if self.world.fault == Fault::WrongMpidr {
            9
        } else {
            self.index
        })
    }

    fn counter(&self) -> u64 {
        self.world.now.get()
    }

    fn frequency(&self) -> u64 {
        1_000_000
    }

    fn arm_timer(&self, deadline: u64) {
        self.deadline.set(Some(deadline));
    }

    fn disarm_timer(&self) {
        self.deadline.set(None);
    }

    fn wait_for_interrupt(&self) {
        let step = if self.world.fault == Fault::EarlyInterrupt {
            1
        } else {
            400
        };
        self.world.now.set(self.world.now.get() + step);
    }

    fn acknowledge_interrupt(&self) -> Option<u32> {
        assert_eq!(self.active.get(), None, "acknowledged twice");
        let due = self
            .deadline
            .get()
            .is_some_and(|deadline| self.counter() >= deadline);
        assert!(
            self.world.forwarded.get() && self.enabled.get(),
            "nobody listens to the timer"
        );
        if due || self.world.fault == Fault::EarlyInterrupt {
            let intid = if self.world.fault == Fault::OtherInterrupt {
                30
            } else {
                27
            };
            self.active.set(Some(intid));
        }
        self.active.get()
    }

    fn end_of_interrupt(&self, intid: u32) {
        assert_eq!(self.active.take(), Some(intid));
    }

    fn secondary_entry(&self) -> u64 {
        ENTRY
    }
}

impl Pe<'_> {
    /// The shared address of this vCPU's redistributor.
    fn redistributor(&self) -> u64 {
        (BOARD.redistributors + self.index * 0x2_0000) | SHARED_BIT
    }

    fn check_state(&self, ipa: u64) {
        let page = ipa & !0xFFF & !SHARED_BIT;
        let shared = self.world.empty.borrow().contains(&page);
        assert_eq!(
            ipa & SHARED_BIT != 0,
            shared,
            "access at {ipa:#x} to the wrong half"
        );
    }
}

#[test]
fn the_program_says_what_it_shows_and_ends() {
    let world = World::run(3, BOARD, Fault::None);
    let expected = [
        "demo: a realm, RSI 1.0, 40 address bits, SHA-256",
        "demo: initial measurement 0102030405060708020000000000000003000000000000000400000000000000",
        "demo: vCPU 1 is up, MPIDR 0x80000001",
        "demo: vCPU 1 asked the host: 2000 + 42 = 2042",
        "demo: vCPU 1 took its timer interrupt, INTID 27",
        "demo: vCPU 2 is up, MPIDR 0x80000002",
        "demo: vCPU 2 asked the host: 3000 + 42 = 3042",
        "demo: vCPU 2 took its timer interrupt, INTID 27",
        "demo: vCPU 0 is up, MPIDR 0x80000000",
        "demo: vCPU 0 asked the host: 1000 + 42 = 1042",
        "demo: vCPU 0 took its timer interrupt, INTID 27",
        "demo: shared page 0x40202000: the host read 0x53555a455241494e and wrote 0xb0b",
        "demo: shared page 0x40202000: taken back",
        "demo: touched 0x43fff000, which nobody had populated",
        "demo: the host has an attestation token of 5003 bytes",
        "demo: vCPUs that are off again: 2",
        "demo: done",
    ];
    assert_eq!(world.lines(), expected);
    assert!(world.ended.get() && !world.failure_reported.get());
    assert!(world.empty.borrow().is_empty());
    let token: Vec<u8> = (0..TOKEN_SIZE).map(token_byte).collect();
    assert_eq!(*world.handed.borrow(), token);
}

#[test]
fn an_rmm_that_does_not_attest_is_no_failure() {
    let world = World::run(1, BOARD, Fault::NoAttestation);
    let lines = world.lines();
    let said = "demo: the RMM makes no attestation tokens".to_string();
    assert!(lines.contains(&said), "{lines:?}");
    assert_eq!(lines.last().map(String::as_str), Some("demo: done"));
    assert!(world.handed.borrow().is_empty() && !world.failure_reported.get());
}

#[test]
fn one_vcpu_and_many_vcpus_work() {
    for vcpus in [1, 2, 17, 40] {
        let world = World::run(vcpus, BOARD, Fault::None);
        assert_eq!(world.lines().last().map(String::as_str), Some("demo: done"));
        assert_eq!(world.off.borrow().len() as u64, vcpus - 1);
        assert!(world.ended.get());
    }
}

#[test]
fn everything_that_goes_wrong_is_said_and_told_to_the_host() {
    let faults = [
        (
            Fault::Measurement,
            "demo: FAILED vCPU 0: the host did not build what the RMM measured",
        ),
        (
            Fault::Sum,
            "demo: FAILED vCPU 0: the host's sum is 1043, not 1042",
        ),
        (
            Fault::HostReadsElsewhere,
            "demo: FAILED vCPU 0: the host read 0x53555a455241494f from the shared page, not 0x53555a455241494e",
        ),
        (
            Fault::HostDoesNotWrite,
            "demo: FAILED vCPU 0: the host's word did not arrive in the shared page",
        ),
        (
            Fault::OtherInterrupt,
            "demo: FAILED vCPU 0: took interrupt 30, not the virtual timer's",
        ),
        (
            Fault::EarlyInterrupt,
            "demo: FAILED vCPU 0: the timer's interrupt came at 1000000, before its time 1001000",
        ),
        (
            Fault::RejectedRam,
            "demo: FAILED vCPU 0: RSI_IPA_STATE_SET: the host rejected the change at 0x40202000",
        ),
        (
            Fault::WrongMpidr,
            "demo: FAILED vCPU 0: running under an unexpected MPIDR 0x80000009",
        ),
        (
            Fault::LongToken,
            "demo: FAILED vCPU 0: the attestation token has 5003 bytes or more, not 5002 at most",
        ),
        (
            Fault::TokenRefused,
            "demo: FAILED vCPU 0: the host did not take the attestation token",
        ),
        (
            Fault::Forgetful,
            "demo: FAILED vCPU 0: memory at 0x43fff000 holds 0x0, not 0xffffffffbc000fff",
        ),
    ];
    for (fault, line) in faults {
        let world = World::run(1, BOARD, fault);
        assert_eq!(world.lines().last().map(String::as_str), Some(line));
        assert!(world.failure_reported.get() && world.ended.get(), "{line}");
    }
    let faults = [
        (
            Fault::CpuOnDenied,
            "demo: FAILED vCPU 0: CPU_ON returned -3",
        ),
        (
            Fault::LazyVcpu,
            "demo: FAILED vCPU 0: vCPU 1 is off and has not done its part",
        ),
    ];
    for (fault, line) in faults {
        let world = World::run(2, BOARD, fault);
        assert_eq!(world.lines().last().map(String::as_str), Some(line));
        assert!(world.failure_reported.get() && world.ended.get(), "{line}");
    }
}

#[test]
fn a_board_that_cannot_be_used_is_said_and_told_to_the_host() {
    let boards = [
        Board {
            memory_size: MINIMUM_MEMORY - 0x1000,
            ..BOARD
        },
        Board {
            memory_size: (64 << 20) + 1,
            ..BOARD
        },
        Board {
            memory_base: 0x4000_0001,
            ..BOARD
        },
        Board {
            memory_base: u64::MAX - 0xFFF,
            ..BOARD
        },
    ];
    for board in boards {
        let world = World::run(1, board, Fault::None);
        assert!(
            world.lines()[0].starts_with("demo: FAILED vCPU 0: memory of"),
            "{board:?}"
        );
        assert!(
            world.failure_reported.get() && world.ended.get(),
            "{board:?}"
        );
    }
}

#[test]
fn a_vcpu_that_finds_no_board_tells_the_host() {
    let world = World::run(1, BOARD, Fault::None);
    world.ended.set(false);
    run_secondary(&Pe::new(&world, 1), 0x4100_0000);
    assert!(world.failure_reported.get() && world.ended.get());
}
