//! The end of a program that found a bug in itself.

use core::fmt::Write;
use core::panic::PanicInfo;
use core::sync::atomic::{AtomicU64, Ordering};

use cca_abi::host_calls;
use realm_guest::{Psci, Rsi};

use super::vcpu::Conduit;
use crate::common::barrier;
use crate::common::uart::Uart;

/// The console's address in the shared half, 0 while unknown.
static CONSOLE: AtomicU64 = AtomicU64::new(0);

/// A host call structure for the last call.
#[repr(C, align(256))]
struct LastCall([AtomicU64; 32]);

static LAST_CALL: LastCall = LastCall([const { AtomicU64::new(0) }; 32]);

/// Remembers the console's address.
pub(super) fn set_console(address: u64) {
    CONSOLE.store(address, Ordering::Relaxed);
}

/// Prints where the program panicked, tells the host, and ends the realm.
pub fn stop(info: &PanicInfo<'_>) -> ! {
    let address = CONSOLE.load(Ordering::Relaxed);
    if address != 0 {
        // SAFETY: the address of the PL011 that the host emulates, mapped as device memory with the MMU on, as it is
        // with the MMU off.
        let mut uart = unsafe { Uart::new(address as usize) };
        // A UART never reports an error.
        let _ = match info.location() {
            Some(place) => writeln!(uart, "realm: FAILED {}, {place}", info.message()),
            None => writeln!(uart, "realm: FAILED {}", info.message()),
        };
    }
    LAST_CALL.0[0].store(u64::from(host_calls::FAILED), Ordering::Relaxed);
    // The realm ends in either case: there is nobody else left to tell.
    let _ = Rsi::new(&Conduit).host_call(LAST_CALL.0.as_ptr() as u64);
    Psci::new(&Conduit).system_off();
    barrier::halt()
}
