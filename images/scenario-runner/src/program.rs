//! From the machine to the summary.

use core::sync::atomic::Ordering;

use hardware::host::{Dram, Gic, Masters, Pe, start_pe};
use hardware::println;
use scenarios::{Host as _, Needs, run_some};

use crate::host::{HEAP, MEMORY, SETTINGS, ScenarioHost};
use crate::{elsewhere, reset};

hardware::hypervisor_program!(primary, secondary);

/// Where QEMU's `virt` machine has the distributor and the redistributors of its GICv3.
const DISTRIBUTOR: u64 = 0x0800_0000;
const REDISTRIBUTORS: (u64, u64) = (0x080A_0000, 0xF6_0000);

/// MPIDR affinity of the second PE.
const SECOND: u64 = 1;

/// In the word at [`SETTINGS`]: only look for bus masters.
const MASTERS: u64 = 1 << 4;

fn primary(device_tree: Option<&'static [u8]>) {
    let Some(mut dram) = Dram::claim() else {
        return println!("scenarios: the memory is taken");
    };
    dram.add(HEAP);
    dram.heap(HEAP);
    dram.add(MEMORY);
    dram.add(SETTINGS);
    for range in reset::unused() {
        dram.add(range);
    }
    let Some(gic) = gic() else {
        return println!("scenarios: there is no GIC");
    };
    gic.enable();
    if dram.granule(SETTINGS.start)[0].load(Ordering::Relaxed) & MASTERS != 0 {
        let found = device_tree.map(|tree| Masters::find(&gic, tree));
        return println!("bus masters: {found:?}");
    }
    let Some(pe) = Pe::start(&gic, 0) else {
        return println!("scenarios: the GIC does not know this PE");
    };
    let host = ScenarioHost::new(dram, gic, pe);
    if let Some(by_itself) = host.reset() {
        return reset::run(&host, by_itself);
    }
    // Scenarios that need a second PE show nothing without one.
    if start_pe(SECOND, 1).is_err() || !elsewhere::wait_until_ready() {
        println!("scenarios: there is no second PE");
    }
    let chosen = host.chosen();
    let summary = run_some(
        &host,
        // Without a key the others show what they show with one.
        |scenario| {
            (host.attests() || scenario.needs() == Needs::NoKey)
                && chosen.as_ref().is_none_or(|name| *name == scenario.name())
        },
        |scenario, result| match result {
            Ok(()) => println!("scenario {}: ok", scenario.name()),
            Err(failure) => println!("scenario {}: FAILED: {}", scenario.name(), failure.0),
        },
    );
    println!(
        "scenarios: {} passed, {} failed",
        summary.passed, summary.failed
    );
}

fn gic() -> Option<Gic> {
    let (base, size) = REDISTRIBUTORS;
    Gic::new(DISTRIBUTOR, base, size)
}

/// The second PE makes calls for the first.
fn secondary(index: usize) {
    if let Some(pe) = gic().and_then(|gic| Pe::start(&gic, index)) {
        elsewhere::serve(pe);
    }
}
