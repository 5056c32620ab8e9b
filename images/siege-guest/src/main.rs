//! The realms of a siege: `realm_guest::siege` on bare metal.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(target_os = "none")]
mod program {
    use core::sync::atomic::{AtomicU8, Ordering};

    use hardware::guest::{Arguments, Vcpu};
    use realm_guest::siege::{self, Ground, MARK, ORDER, Order};

    /// The order, behind its mark. The tester writes it into the image; what is here is none.
    static PLACE: [AtomicU8; MARK.len() + ORDER] = {
        let mut place = [const { AtomicU8::new(0xFF) }; MARK.len() + ORDER];
        let mut at = 0;
        while at < MARK.len() {
            place[at] = AtomicU8::new(MARK[at]);
            at += 1;
        }
        place
    };

    fn primary(vcpu: &Vcpu, arguments: Arguments) {
        // The compiler must not take what is there now for a constant.
        let place = core::hint::black_box(&PLACE);
        let order = core::array::from_fn(|at| place[MARK.len() + at].load(Ordering::Relaxed));
        let Arguments {
            memory_base,
            memory_size,
            uart,
            distributor,
            redistributors,
        } = arguments;
        siege::run(
            vcpu,
            Ground {
                base: memory_base,
                size: memory_size,
                uart,
                distributor,
                redistributors,
            },
            Order::decode(&order),
        );
    }

    hardware::realm_program!(primary, siege::run_secondary);
}

#[cfg(not(target_os = "none"))]
fn main() {}
