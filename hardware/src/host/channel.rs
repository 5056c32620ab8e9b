//! A virtio console of the machine as a stream of bytes: how somebody outside of it talks to the hypervisor.

use super::alloc::boxed::Box;
use super::alloc::vec;
use super::alloc::vec::Vec;
use core::ops::Range;
use core::ptr::NonNull;

use virtio_drivers::queue::VirtQueue;
use virtio_drivers::transport::mmio::{MmioTransport, VirtIOHeader};
use virtio_drivers::transport::{DeviceStatus, DeviceType, Transport};
use virtio_drivers::{BufferDirection, Hal, PAGE_SIZE, PhysAddr};

use super::gic::Gic;
use super::{pe, translation};

/// Virtqueues of a console without ports.
const RECEIVE: u16 = 0;
const TRANSMIT: u16 = 1;
/// Buffers that the device may fill.
const BUFFERS: usize = 16;
const BUFFER_SIZE: usize = 4096;
/// The device complies with version 1 of the specification.
const VERSION_1: u64 = 1 << 32;

/// The console, with its interrupt. For PE 0.
pub struct Channel {
    transport: MmioTransport<'static>,
    receive: VirtQueue<Memory, BUFFERS>,
    transmit: VirtQueue<Memory, 2>,
    /// Each with the token under which the device has it.
    buffers: Vec<(u16, Box<[u8; BUFFER_SIZE]>)>,
    /// Which buffer is being read, and what of it is left.
    reading: Option<(usize, Range<usize>)>,
    gic: Gic,
    interrupt: u32,
}

impl Channel {
    /// The console at `base`, if that is a virtio device of this kind, with its interrupt enabled for this PE.
    ///
    /// `gic` and `interrupt` (INTID) say which line it has.
    pub fn find(base: u64, size: u64, gic: &Gic, interrupt: u32) -> Option<Self> {
        let end = base.checked_add(size)?;
        let inside = translation::DEVICES.contains(&base) && end <= translation::DEVICES.end;
        if !inside || !base.is_multiple_of(16) || size < 0x200 {
            return None;
        }
        let header = NonNull::new(base as *mut VirtIOHeader)?;
        // SAFETY: the registers are mapped as a device for as long as the program runs (checked above), and aligned. That the
        // device tree names a virtio device there, of which nobody else in this program has a transport, is what the caller has
        // looked up; a device of another kind shows by its magic number.
        let mut transport = unsafe { MmioTransport::new(header, size as usize) }.ok()?;
        if transport.device_type() != DeviceType::Console {
            return None;
        }
        transport.set_status(DeviceStatus::empty());
        transport.set_status(DeviceStatus::ACKNOWLEDGE | DeviceStatus::DRIVER);
        let features = transport.read_device_features() & VERSION_1;
        transport.write_driver_features(features);
        transport.set_status(
            DeviceStatus::ACKNOWLEDGE | DeviceStatus::DRIVER | DeviceStatus::FEATURES_OK,
        );
        transport.set_guest_page_size(PAGE_SIZE as u32);
        let receive = VirtQueue::new(&mut transport, RECEIVE, false, false).ok()?;
        let mut transmit = VirtQueue::new(&mut transport, TRANSMIT, false, false).ok()?;
        transmit.set_dev_notify(false);
        transport.finish_init();
        let mut channel = Self {
            transport,
            receive,
            transmit,
            buffers: Vec::with_capacity(BUFFERS),
            reading: None,
            gic: gic.clone(),
            interrupt,
        };
        for _ in 0..BUFFERS {
            let mut buffer = Box::new([0; BUFFER_SIZE]);
            let token = channel.offer(&mut buffer)?;
            channel.buffers.push((token, buffer));
        }
        channel.transport.notify(RECEIVE);
        channel.gic.enable_shared(interrupt);
        Some(channel)
    }

    /// Moves bytes that have arrived to the start of `to`, and says how many. After a 0 the next arrival is an interrupt.
    pub fn receive(&mut self, to: &mut [u8]) -> usize {
        if self.reading.is_none() && !self.next_buffer() {
            // Nothing there: from now on the device says when there is. What came meanwhile is looked for once more.
            pe::device_interrupt_taken();
            self.transport.ack_interrupt();
            self.gic.enable_shared(self.interrupt);
            if !self.next_buffer() {
                return 0;
            }
        }
        let Some((index, range)) = &mut self.reading else {
            return 0;
        };
        let count = range.len().min(to.len());
        let bytes = &self.buffers[*index].1[range.start..range.start + count];
        to[..count].copy_from_slice(bytes);
        range.start += count;
        if range.start == range.end {
            let index = *index;
            self.reading = None;
            self.give_back(index);
        }
        count
    }

    /// Whether bytes are there, or the device has interrupted since `receive` last returned 0.
    pub fn has_arrivals(&self) -> bool {
        self.reading.is_some() || self.receive.can_pop() || pe::device_interrupt()
    }

    /// Sends all bytes, and waits until the device has taken them.
    pub fn send(&mut self, bytes: &[u8]) {
        for bytes in bytes.chunks(64 << 10) {
            let sent = self
                .transmit
                .add_notify_wait_pop(&[bytes], &mut [], &mut self.transport);
            // The queue has room for the one buffer that is ever in it.
            debug_assert!(sent.is_ok());
        }
    }

    /// Takes the next buffer that the device has filled.
    fn next_buffer(&mut self) -> bool {
        let Some(token) = self.receive.peek_used() else {
            return false;
        };
        let Some(index) = self.buffers.iter().position(|(own, _)| *own == token) else {
            return false;
        };
        let buffer: &mut [u8] = self.buffers[index].1.as_mut_slice();
        // SAFETY: this is the buffer that was added when the queue gave out this token.
        let used = unsafe { self.receive.pop_used(token, &[], &mut [buffer]) };
        let length = used.map_or(0, |length| (length as usize).min(BUFFER_SIZE));
        if length == 0 {
            self.give_back(index);
            return false;
        }
        self.reading = Some((index, 0..length));
        true
    }

    /// Lets the device fill a buffer again.
    fn give_back(&mut self, index: usize) {
        let (_, mut buffer) = self.buffers.swap_remove(index);
        if let Some(token) = self.offer(&mut buffer) {
            self.buffers.push((token, buffer));
            if self.receive.should_notify() {
                self.transport.notify(RECEIVE);
            }
        }
    }

    fn offer(&mut self, buffer: &mut Box<[u8; BUFFER_SIZE]>) -> Option<u16> {
        // SAFETY: the buffer is on the heap, where it stays until its token is popped: `buffers` keeps it, and only `next_buffer`
        // looks into it, after popping. The channel is never dropped while the device may write: the program keeps it.
        unsafe { self.receive.add(&[], &mut [buffer.as_mut_slice()]) }.ok()
    }
}

impl Drop for Channel {
    fn drop(&mut self) {
        // The device forgets all buffers before they go.
        self.transport.set_status(DeviceStatus::empty());
    }
}

/// The hypervisor's memory as virtio devices see it: the same addresses, coherent.
struct Memory;

// SAFETY: addresses are physical addresses (identity map), what `dma_alloc` returns is page-aligned memory of the heap that nobody else
// has, zeroed, until `dma_dealloc`; devices of the machine see stores in order (the queue has its barriers).
unsafe impl Hal for Memory {
    fn dma_alloc(pages: usize, _direction: BufferDirection) -> (PhysAddr, NonNull<u8>) {
        #[repr(C, align(4096))]
        #[derive(Clone)]
        struct Page([u8; PAGE_SIZE]);
        let memory = vec![Page([0; PAGE_SIZE]); pages].into_boxed_slice();
        let pointer = NonNull::from(Box::leak(memory)).cast::<u8>();
        (pointer.as_ptr() as PhysAddr, pointer)
    }

    unsafe fn dma_dealloc(_paddr: PhysAddr, _vaddr: NonNull<u8>, _pages: usize) -> i32 {
        // There is one channel, for as long as the program runs: its queues are not worth a second life.
        0
    }

    unsafe fn mmio_phys_to_virt(paddr: PhysAddr, _size: usize) -> NonNull<u8> {
        NonNull::new(paddr as *mut u8).unwrap_or(NonNull::dangling())
    }

    unsafe fn share(buffer: NonNull<[u8]>, _direction: BufferDirection) -> PhysAddr {
        buffer.cast::<u8>().as_ptr() as PhysAddr
    }

    unsafe fn unshare(_paddr: PhysAddr, _buffer: NonNull<[u8]>, _direction: BufferDirection) {}
}
