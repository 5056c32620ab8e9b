//! A realm's virtio devices and PL011, and the frames of the channel that are for them or come from them.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::string::String;
use alloc::vec::Vec;

use realm_host::{PageSupply, SmcTransport};

use super::block::{self, Answer, Transfer};
use super::frame::{Frame, Kind};
use super::message::Device;
use super::outbox::Outbox;
use crate::console::Console;
use crate::machine::RealmMachine;
use crate::pe::HostPe;
use crate::virtio::{
    ConsolePort, Disk, DiskError, DiskPort, NetworkPort, Operation, Overflow, Seeded,
    block as disk, console, entropy, network,
};

/// Input that a realm does not take is dropped beyond this many bytes for each console.
const MOST_INPUT: usize = 64 << 10;
/// Output is taken from a device in pieces of at most so many bytes.
const PIECE: usize = 32 << 10;
/// Frames are taken from a network in batches of at most so many, so that a realm that floods it takes no more than its share.
const FRAMES: usize = 32;

/// The ports of a realm's devices.
#[derive(Default)]
pub(super) struct Ports {
    /// Input for console 0, the PL011.
    uart: VecDeque<u8>,
    /// Virtio consoles: console 1 is the first.
    consoles: Vec<ConsoleEnd>,
    disks: Vec<DiskEnd>,
    networks: Vec<(usize, NetworkPort)>,
}

struct ConsoleEnd {
    slot: usize,
    port: ConsolePort,
    input: VecDeque<u8>,
}

struct DiskEnd {
    slot: usize,
    port: DiskPort,
    /// How many bytes each read that is on its way wants, by tag: no more than transfers are outside at once.
    reads: BTreeMap<u64, usize>,
}

impl Ports {
    /// Gives a realm that does not run yet its devices.
    ///
    /// # Errors
    ///
    /// If there are more than it has room for.
    pub(super) fn attach<T: SmcTransport, M: PageSupply, C: Console>(
        machine: &mut RealmMachine<'_, T, M, C>,
        devices: &[Device],
        now: u64,
    ) -> Result<Self, String> {
        let mut ports = Self::default();
        for device in devices {
            let slot = match device {
                Device::Console => {
                    let (device, port) = console(Overflow::Wait);
                    let slot = machine.attach(device);
                    ports.consoles.extend(slot.map(|slot| ConsoleEnd {
                        slot,
                        port,
                        input: VecDeque::new(),
                    }));
                    slot
                }
                &Device::Disk { sectors, read_only } => {
                    let mut id = [0; 20];
                    id[..8].copy_from_slice(b"suzerain");
                    let (device, port) = disk(Disk {
                        sectors,
                        read_only,
                        id,
                    });
                    let slot = machine.attach(device);
                    ports.disks.extend(slot.map(|slot| DiskEnd {
                        slot,
                        port,
                        reads: BTreeMap::new(),
                    }));
                    slot
                }
                Device::Network { mac } => {
                    let (device, port) = network(*mac);
                    let slot = machine.attach(device);
                    ports.networks.extend(slot.map(|slot| (slot, port)));
                    slot
                }
                Device::Entropy { seed } => {
                    let mut bytes = [0; 32];
                    let words = seed.iter().zip([now, 0, 0, 0]);
                    for (to, (word, time)) in bytes.chunks_exact_mut(8).zip(words) {
                        to.copy_from_slice(&(word ^ time).to_le_bytes());
                    }
                    machine.attach(entropy(Seeded::new(bytes)))
                }
            };
            if slot.is_none() {
                let most = crate::board::VIRTIO_SLOTS;
                return Err(alloc::format!("a realm has at most {most} virtio devices"));
            }
        }
        Ok(ports)
    }

    /// Passes on what the tool has sent. What is for no device, or for a device that has not asked for it, is dropped.
    pub(super) fn deliver<T: SmcTransport, M: PageSupply, C: Console>(
        &mut self,
        machine: &RealmMachine<'_, T, M, C>,
        frame: &Frame,
        pe: &mut impl HostPe,
    ) {
        let stream = usize::from(frame.stream);
        match frame.kind {
            Kind::Console => {
                let input = match stream.checked_sub(1) {
                    None => Some(&mut self.uart),
                    Some(index) => self.consoles.get_mut(index).map(|end| &mut end.input),
                };
                if let Some(input) = input {
                    let room = MOST_INPUT.saturating_sub(input.len());
                    input.extend(frame.payload.iter().take(room));
                }
                self.give_input(machine, pe);
            }
            Kind::Block => {
                let answer = Answer::decode(&frame.payload);
                if let (Some(answer), Some(end)) = (answer, self.disks.get_mut(stream)) {
                    end.complete(answer);
                    machine.poll(end.slot, pe);
                }
            }
            Kind::Network => {
                if let Some((slot, port)) = self.networks.get(stream) {
                    port.send_frame(&frame.payload);
                    machine.poll(*slot, pe);
                }
            }
            Kind::Request | Kind::Reply | Kind::Event | Kind::Contents => {}
        }
    }

    /// Takes what the devices have for the tool, as long as the outbox has room, and gives them input that there was no room for before.
    /// Says whether anything is left.
    pub(super) fn collect<T: SmcTransport, M: PageSupply, C: Console>(
        &mut self,
        realm: u32,
        machine: &RealmMachine<'_, T, M, C>,
        outbox: &Outbox,
        pe: &mut impl HostPe,
    ) -> bool {
        self.give_input(machine, pe);
        for (stream, end) in (1..).zip(&self.consoles) {
            while end.port.has_output() && outbox.has_room() {
                outbox.console(realm, stream, &end.port.take_output(PIECE));
                machine.poll(end.slot, pe);
            }
        }
        for (stream, end) in (0..).zip(&mut self.disks) {
            while outbox.has_room()
                && let Some(transfer) = end.take()
            {
                // A transfer is shorter than a frame ([`disk::LONGEST`]).
                let _ = outbox.frame(Kind::Block, realm, stream, &transfer.encode());
            }
        }
        for (stream, (slot, port)) in (0..).zip(&self.networks) {
            // The device goes on when some of its frames have been taken, perhaps as fast as they are.
            let take = || outbox.has_room().then(|| port.take_frame()).flatten();
            let mut any = false;
            for frame in core::iter::from_fn(take).take(FRAMES) {
                // A frame of a network is shorter than one of the channel ([`network::LONGEST_FRAME`]).
                let _ = outbox.frame(Kind::Network, realm, stream, &frame);
                any = true;
            }
            if any {
                machine.poll(*slot, pe);
            }
        }
        self.networks.iter().any(|(_, port)| port.has_frames())
            || self.disks.iter().any(|end| end.port.has_requests())
            || self.consoles.iter().any(|end| end.port.has_output())
    }

    fn give_input<T: SmcTransport, M: PageSupply, C: Console>(
        &mut self,
        machine: &RealmMachine<'_, T, M, C>,
        pe: &mut impl HostPe,
    ) {
        if !self.uart.is_empty() {
            let taken = machine.input(self.uart.make_contiguous(), pe);
            self.uart.drain(..taken);
        }
        for end in &mut self.consoles {
            if !end.input.is_empty() {
                let taken = end.port.send_input(end.input.make_contiguous());
                end.input.drain(..taken);
                machine.poll(end.slot, pe);
            }
        }
    }
}

impl DiskEnd {
    fn take(&mut self) -> Option<Transfer> {
        let request = self.port.take_request()?;
        let (operation, data) = match request.operation {
            Operation::Read { length } => {
                self.reads.insert(request.tag, length);
                (block::Operation::Read(length as u32), Vec::new())
            }
            Operation::Write { data } => (block::Operation::Write, data),
            Operation::Flush => (block::Operation::Flush, Vec::new()),
        };
        Some(Transfer {
            tag: request.tag,
            operation,
            sector: request.sector,
            data,
        })
    }

    fn complete(&mut self, answer: Answer) {
        let length = self.reads.remove(&answer.tag).unwrap_or(0);
        let fits = answer.done && answer.data.len() == length;
        let result = if fits {
            Ok(answer.data)
        } else {
            Err(DiskError)
        };
        // An answer that nobody waits for is of a device that the realm has reset.
        self.port.complete(answer.tag, result);
    }
}
