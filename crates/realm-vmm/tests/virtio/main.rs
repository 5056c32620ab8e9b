//! Virtio devices, with drivers that no driver is like. Those that are like one are in `hardware/virtio-peer`.

mod block;
mod hand;
mod hostile;
mod memory;
mod realm;
