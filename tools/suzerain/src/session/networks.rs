//! The networks of realms: who gets the frames that come over the channel.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use super::lock;
use crate::network::Mailbox;

/// The networks of all realms.
#[derive(Default)]
pub(super) struct Networks(Mutex<HashMap<u32, Network>>);

struct Network {
    mailbox: Arc<Mailbox>,
    thread: Option<JoinHandle<()>>,
}

impl Networks {
    /// A realm's network, and the thread that empties the mailbox, where one does.
    pub(super) fn add(&self, realm: u32, mailbox: Arc<Mailbox>, thread: Option<JoinHandle<()>>) {
        lock(&self.0).insert(realm, Network { mailbox, thread });
    }

    /// Passes a frame on, if there is a network for it that has room. Never waits.
    pub(super) fn push(&self, realm: u32, frame: Vec<u8>) {
        if let Some(network) = lock(&self.0).get(&realm) {
            network.mailbox.push(frame);
        }
    }

    /// Bytes of frames that wait.
    pub(super) fn waiting(&self) -> usize {
        let networks = lock(&self.0);
        networks.values().map(|one| one.mailbox.waiting()).sum()
    }

    /// Whether a realm has ever sent a frame.
    pub(super) fn is_used(&self, realm: u32) -> bool {
        let networks = lock(&self.0);
        networks
            .get(&realm)
            .is_some_and(|network| network.mailbox.is_used())
    }

    /// Has a realm's network end, some time soon.
    pub(super) fn close(&self, realm: u32) {
        if let Some(network) = lock(&self.0).get(&realm) {
            network.mailbox.close();
        }
    }

    /// Has all networks end.
    pub(super) fn close_all(&self) {
        for network in lock(&self.0).values() {
            network.mailbox.close();
        }
    }

    /// Ends a realm's network, and waits until its ports are free.
    pub(super) fn forget(&self, realm: u32) {
        let network = lock(&self.0).remove(&realm);
        if let Some(Network { mailbox, thread }) = network {
            mailbox.close();
            // A thread that has panicked has no ports either.
            let _ = thread.map(JoinHandle::join);
        }
    }
}
