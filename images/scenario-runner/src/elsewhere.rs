//! Calls on the second PE.
//!
//! The first PE leaves a call in a mailbox and wakes the second, which makes it and leaves the results there.

use core::hint::spin_loop;
use core::sync::atomic::{AtomicU64, Ordering};

use cca_abi::smccc::Registers;
use hardware::host::{Pe, Transport};
use realm_host::SmcTransport;
use realm_vmm::HostPe;
use scenarios::NoOtherPe;

/// There is no second PE yet.
const ABSENT: u64 = 0;
/// The second PE waits for a call.
const IDLE: u64 = 1;
/// A call is in the mailbox.
const CALL: u64 = 2;
/// The second PE has seen that there is one.
const AWAKE: u64 = 3;
/// No interrupt will come from here before the call has begun.
const GO: u64 = 4;
/// The results are in the mailbox.
const DONE: u64 = 5;

/// Not a call: the second PE reads a word of the host's memory. X1: its address; the results: X0 = 1 and the word in X1, or 0.
const PROBE: u64 = u64::MAX;

static STATE: AtomicU64 = AtomicU64::new(ABSENT);
static MAILBOX: [AtomicU64; 18] = [const { AtomicU64::new(0) }; 18];

/// How often to look for the second PE before there is none.
const PATIENCE: u64 = 100_000_000;

fn put(registers: &Registers) {
    for (slot, &value) in MAILBOX.iter().zip(&registers.0) {
        slot.store(value, Ordering::Relaxed);
    }
}

fn take() -> Registers {
    Registers(core::array::from_fn(|i| MAILBOX[i].load(Ordering::Relaxed)))
}

/// Waits until the second PE is there; `false` if it does not come.
pub(crate) fn wait_until_ready() -> bool {
    for _ in 0..PATIENCE {
        if STATE.load(Ordering::Acquire) != ABSENT {
            return true;
        }
        spin_loop();
    }
    false
}

/// Has the second PE make a call; `kick` interrupts it.
pub(crate) fn start(registers: Registers, kick: impl FnOnce()) -> Result<(), NoOtherPe> {
    if STATE.load(Ordering::Acquire) != IDLE {
        return Err(NoOtherPe);
    }
    put(&registers);
    STATE.store(CALL, Ordering::Release);
    kick();
    wait_for(AWAKE);
    STATE.store(GO, Ordering::Release);
    Ok(())
}

/// The results, if the second PE has ended its call.
pub(crate) fn poll() -> Option<Registers> {
    if STATE.load(Ordering::Acquire) != DONE {
        return None;
    }
    let registers = take();
    STATE.store(IDLE, Ordering::Release);
    Some(registers)
}

/// What the second PE reads at an address; `None` inside if it may not, outside if there is no such PE. `kick` interrupts it.
pub(crate) fn probe(pa: u64, kick: impl FnOnce()) -> Option<Option<u64>> {
    let mut registers = Registers::default();
    registers.0[..2].copy_from_slice(&[PROBE, pa]);
    start(registers, kick).ok()?;
    loop {
        if let Some(results) = poll() {
            return Some((results.0[0] == 1).then_some(results.0[1]));
        }
        spin_loop();
    }
}

/// Interrupts the second PE with `kick` until its call has ended.
pub(crate) fn finish(kick: impl Fn()) -> Registers {
    while STATE.load(Ordering::Acquire) != DONE {
        kick();
        (0..1000).for_each(|_| spin_loop());
    }
    let registers = take();
    STATE.store(IDLE, Ordering::Release);
    registers
}

fn wait_for(state: u64) {
    while STATE.load(Ordering::Acquire) != state {
        spin_loop();
    }
}

/// What the second PE does, for ever. It sleeps until it is interrupted for a call.
pub(crate) fn serve(mut pe: Pe) -> ! {
    STATE.store(IDLE, Ordering::Release);
    loop {
        if STATE.load(Ordering::Acquire) == CALL {
            STATE.store(AWAKE, Ordering::Release);
            wait_for(GO);
            pe.acknowledge_interrupts();
            let mut registers = take();
            if registers.0[0] == PROBE {
                let value = hardware::host::probe(registers.0[1]);
                registers.0[..2].copy_from_slice(&[u64::from(value.is_some()), value.unwrap_or(0)]);
            } else {
                Transport.smc(&mut registers);
            }
            put(&registers);
            STATE.store(DONE, Ordering::Release);
        } else {
            pe.wait(None);
            pe.acknowledge_interrupts();
        }
    }
}
