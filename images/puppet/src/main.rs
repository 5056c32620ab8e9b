//! The realm of the scenarios: `realm_guest::puppet` on bare metal.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(target_os = "none")]
mod program {
    use hardware::guest::{Arguments, Vcpu};
    use realm_guest::demo::PROGRAM_SIZE;
    use realm_guest::puppet;

    /// The page for host calls lies right behind the program.
    fn primary(vcpu: &Vcpu, arguments: Arguments) {
        puppet::run(vcpu, arguments.memory_base + PROGRAM_SIZE);
    }

    /// The page for host calls is the context argument of CPU_ON.
    fn secondary(vcpu: &Vcpu, page: u64) {
        puppet::run(vcpu, page);
    }

    hardware::realm_program!(primary, secondary);
}

#[cfg(not(target_os = "none"))]
fn main() {}
