//! The realm that `suzerain run` shows: `realm_guest::demo` on bare metal.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(target_os = "none")]
mod program {
    use hardware::guest::{Arguments, Vcpu};
    use realm_guest::demo::{self, Board};

    fn primary(vcpu: &Vcpu, arguments: Arguments) {
        let Arguments {
            memory_base,
            memory_size,
            uart,
            distributor,
            redistributors,
        } = arguments;
        demo::run(
            vcpu,
            Board {
                memory_base,
                memory_size,
                uart,
                distributor,
                redistributors,
            },
        );
    }

    hardware::realm_program!(primary, demo::run_secondary);
}

#[cfg(not(target_os = "none"))]
fn main() {}
