//! Bootable image: the Realm Management Monitor.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(target_os = "none")]
mod image {
    use cca_abi::smccc::Registers;
    use core::panic::PanicInfo;
    use hardware::rmm::boot::{ColdBoot, Image};
    use hardware::rmm::machine::Machine;
    use hardware::rmm::pe::Pe;
    use realm_monitor::Monitor;
    use spin::Once;

    const NAME: &str = "realm-monitor";

    static MONITOR: Once<Monitor<Machine>> = Once::new();

    struct RealmMonitor;

    impl Image for RealmMonitor {
        fn start(boot: &ColdBoot) -> Result<(), i64> {
            monitor_image::start(NAME, boot, &MONITOR, |machine| machine)
        }

        fn call(pe: &mut Pe, registers: &mut Registers) {
            match MONITOR.get() {
                Some(monitor) => {
                    monitor.handle_rmi(pe, registers);
                }
                None => unreachable!("a call before the monitor was started"),
            }
        }
    }

    hardware::rmm_image!(RealmMonitor);

    #[panic_handler]
    fn panic(info: &PanicInfo<'_>) -> ! {
        monitor_image::stop(NAME, info)
    }
}

#[cfg(not(target_os = "none"))]
fn main() {}
