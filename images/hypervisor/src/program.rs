//! From the machine as it is found to the realm that runs on it.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use cca_abi::launch::Launch;
use hardware::host::{Dram, Gic, MAX_PES, Pe, Transport, start_pe};
use hardware::{print, println};
use realm_host::{Host, PageSize};
use realm_vmm::report::{Event, GranuleReport, Outcome, Report, write_record};
use realm_vmm::{Config, Console, RealmMachine, Segment};
use spin::Once;

use crate::board::Board;
use crate::control;
use crate::memory;
use crate::supply::Supply;
use crate::table::Table;

hardware::hypervisor_program!(primary, secondary);

/// Events go to the UART, a record for each.
#[derive(Debug)]
struct Uart;

impl Console for Uart {
    fn event(&self, event: &Event<'_>) {
        let mut record = String::new();
        // A string takes everything, and an event has nothing that JSON cannot say.
        if write_record(&mut record, event).is_ok() {
            print!("{record}");
        }
    }
}

type Machine = RealmMachine<'static, Transport, Supply, &'static Uart>;

/// What the other PEs need.
struct Shared {
    gic: Gic,
    machine: Machine,
}

static SHARED: Once<Shared> = Once::new();

fn primary(device_tree: Option<&'static [u8]>) {
    let report = host(device_tree).unwrap_or_else(|report| Some(*report));
    if let Some(report) = report {
        print!("{}", Table(&report));
    }
}

/// Runs the realm on all PEs; how it went, or why there was none. The report has been told on the UART too. With a control channel
/// it serves that, and there is nothing to report.
fn host(device_tree: Option<&'static [u8]>) -> Result<Option<Report>, Box<Report>> {
    let mut dram = Dram::claim().ok_or_else(|| failed("the machine's memory is taken".into()))?;
    memory::start_heap(&mut dram);
    let device_tree =
        device_tree.ok_or_else(|| failed("the firmware left no device tree".into()))?;
    let board = Board::read(device_tree)
        .map_err(|why| failed(format!("the device tree is of no use: {why}")))?;

    let (base, size) = board.redistributors;
    let gic = Gic::new(board.distributor, base, size);
    let gic = gic.ok_or_else(|| failed("the GIC is not where devices are".into()))?;
    gic.enable();
    let mut pe =
        Pe::start(&gic, 0).ok_or_else(|| failed("the GIC does not know this PE".into()))?;

    let memory = memory::survey(dram, &board).map_err(failed)?;
    if memory.launch.is_control() {
        control::serve(&board, gic, memory, &mut pe).map_err(failed)?;
        return Ok(None);
    }
    let Launch {
        vcpus,
        memory: size,
        page_size,
        time_limit_ms,
        sve_bits,
        challenge,
        ..
    } = memory.launch;
    let page_size = PageSize::from_bytes(page_size).ok_or_else(|| {
        failed(format!(
            "pages of {page_size} bytes are none of 4K, 16K and 64K"
        ))
    })?;
    let free = memory.free.size();
    if size > free {
        let message = format!(
            "{} MiB for the realm are more than the {} MiB that are free",
            size >> 20,
            free >> 20
        );
        return Err(failed(message));
    }
    let segments = [Segment {
        ipa: Config::RAM_BASE,
        bytes: memory.image,
    }];
    let config = Config {
        vcpus: usize::try_from(vcpus).unwrap_or(usize::MAX),
        sve_bits: u32::try_from(sve_bits).unwrap_or(u32::MAX),
        time_limit_ms,
        challenge,
        ..Config::raw(size, &segments)
    };
    let pes = board.pes.len().min(MAX_PES);
    println!("hypervisor: {pes} PEs, {} MiB free", free >> 20);

    let supply = Supply::new(memory.dram, page_size, memory.free);
    let host = Host::new(Transport, supply).map_err(|error| failed(format!("{error}")))?;
    let host: &'static _ = Box::leak(Box::new(host));
    let machine = RealmMachine::new(host, &Uart, &config, &mut pe)?;
    let shared = SHARED.call_once(|| Shared { gic, machine });
    start_others(&board);
    shared.machine.run_pe(&mut pe);
    Ok(Some(shared.machine.teardown(&mut pe)))
}

/// Turns on every PE but this one. The realm runs without those that the firmware does not give.
pub(crate) fn start_others(board: &Board) {
    let here = hardware::host::affinity();
    let others = board.pes.iter().filter(|&&mpidr| mpidr != here);
    for (index, &mpidr) in (1..MAX_PES).zip(others) {
        if let Err(code) = start_pe(mpidr, index) {
            println!("hypervisor: PE {mpidr:#x} stays off, PSCI code {code}");
        }
    }
}

fn secondary(index: usize) {
    let Some(shared) = SHARED.get() else {
        return control::run_secondary(index);
    };
    match Pe::start(&shared.gic, index) {
        Some(mut pe) => shared.machine.run_pe(&mut pe),
        None => println!("hypervisor: the GIC does not know PE {index}"),
    }
}

/// Reports a run that did not come to a realm.
fn failed(why: String) -> Box<Report> {
    let report = Report {
        outcome: Outcome::Error,
        error: Some(why),
        rim: String::new(),
        token: None,
        recs: Vec::new(),
        granules: GranuleReport::default(),
    };
    Uart.event(&Event::Report(report.clone()));
    Box::new(report)
}
