//! Realms at the request of a tool: the control channel.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;

use hardware::host::{Channel, Gic, MAX_PES, Pe, Transport, heap_use};
use hardware::println;
use realm_host::{Host, PageSize};
use realm_vmm::control::{About, Link, Outbox, Port, Server};
use realm_vmm::fleet::{Fleet, NoService};
use spin::Once;

use crate::board::Board;
use crate::memory::Memory;
use crate::program::start_others;
use crate::supply::Supply;

/// What the other PEs need.
struct Shared {
    gic: Gic,
    fleet: Fleet<'static, Transport, Supply, Port<'static>>,
}

static SHARED: Once<Shared> = Once::new();
static OUTBOX: Once<Outbox> = Once::new();

/// The channel's bytes.
struct Wire(Channel);

impl Link for Wire {
    fn receive(&mut self, to: &mut [u8]) -> usize {
        self.0.receive(to)
    }

    fn send(&mut self, bytes: &[u8]) -> usize {
        self.0.send(bytes)
    }

    fn has_room(&self) -> bool {
        self.0.has_room()
    }

    fn has_arrivals(&self) -> bool {
        self.0.has_arrivals()
    }

    fn is_closed(&self) -> bool {
        self.0.is_broken()
    }
}

/// Serves the channel until the tool has the machine switched off.
///
/// # Errors
///
/// A line that says what is missing.
pub(crate) fn serve(
    board: &Board,
    gic: Gic,
    mut memory: Memory,
    pe: &mut Pe,
) -> Result<(), String> {
    let bytes = memory.launch.page_size;
    let page_size = PageSize::from_bytes(bytes)
        .ok_or_else(|| format!("pages of {bytes} bytes are none of 4K, 16K and 64K"))?;
    let place = board.channel.as_ref();
    let place = place.ok_or("the firmware knows no control channel")?;
    let channel = Channel::open(place, &mut memory.dram, &gic);
    let channel = channel.ok_or("nobody is at the other end of the control channel")?;
    let pes = board.pes.len().min(MAX_PES);
    println!(
        "hypervisor: {pes} PEs, {} MiB free, control channel",
        memory.free.size() >> 20
    );

    let supply = Supply::new(memory.dram, page_size, memory.free);
    let host = Host::new(Transport, supply).map_err(|error| format!("{error}"))?;
    let host: &'static Host<_, _> = Box::leak(Box::new(host));
    let outbox = OUTBOX.call_once(Outbox::default);
    let shared = SHARED.call_once(|| Shared {
        gic,
        fleet: Fleet::default(),
    });
    let about = About {
        pes: pes as u32,
        free: Box::new(|| host.supply().free_bytes()),
        heap: Box::new(|| Some(heap_use())),
        keep: memory.keep,
    };
    let mut server = Server::new(host, &shared.fleet, outbox, Wire(channel), about);
    start_others(board);
    shared.fleet.run_pe(pe, &mut server);
    Ok(())
}

/// What every other PE does.
pub(crate) fn run_secondary(index: usize) {
    let Some(shared) = SHARED.get() else { return };
    match Pe::start(&shared.gic, index) {
        Some(mut pe) => shared.fleet.run_pe(&mut pe, &mut NoService),
        None => println!("hypervisor: the GIC does not know PE {index}"),
    }
}
