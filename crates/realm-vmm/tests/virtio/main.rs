//! Virtio devices, with somebody else's drivers and with none that any driver is like.

mod block;
mod driven;
mod hal;
mod hand;
mod hostile;
mod memory;
mod realm;
mod wire;
