//! Bootable image, for tests of hosts: a monitor that is as strict as the specification allows.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(target_os = "none")]
mod image {
    use cca_abi::smccc::Registers;
    use core::panic::PanicInfo;
    use hardware::rmm::boot::{ColdBoot, Image};
    use hardware::rmm::machine::Machine;
    use hardware::rmm::pe::Pe;
    use realm_monitor::Monitor;
    use realm_monitor::strict::{Strict, Strictness};
    use spin::Once;

    const NAME: &str = "strict-monitor";

    static MONITOR: Once<Monitor<Strict<Machine>>> = Once::new();

    static STRICTNESS: Strictness = Strictness::new();

    struct StrictMonitor;

    impl Image for StrictMonitor {
        fn start(boot: &ColdBoot) -> Result<(), i64> {
            monitor_image::start(NAME, boot, &MONITOR, Strict::new)
        }

        fn call(pe: &mut Pe, registers: &mut Registers) {
            match MONITOR.get() {
                Some(monitor) => {
                    STRICTNESS.handle_rmi(monitor, pe, registers);
                }
                None => unreachable!("a call before the monitor was started"),
            }
        }
    }

    hardware::rmm_image!(StrictMonitor);

    #[panic_handler]
    fn panic(info: &PanicInfo<'_>) -> ! {
        monitor_image::stop(NAME, info)
    }
}

#[cfg(not(target_os = "none"))]
fn main() {}
