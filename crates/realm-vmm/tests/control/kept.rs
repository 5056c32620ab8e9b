//! What realms may make their host keep is promised, or they are refused; what a tool may make it keep has its end.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use machine::{Config, Machine};
use realm_vmm::control::Link;
use realm_vmm::control::frame::{self, Kind};
use realm_vmm::control::message::{Call, Device, Request, Spec};

use crate::tool::{spec, with_host};

#[test]
fn a_realm_whose_devices_nobody_can_promise_is_refused_with_the_figures() {
    with_host(
        |_| {},
        |tool| {
            let disk = Device::Disk {
                sectors: 8,
                read_only: false,
            };
            let wants = || Spec {
                memory: 4 << 20,
                devices: vec![disk.clone(); 8],
                ..spec(1)
            };
            let mut realms = Vec::new();
            let error = loop {
                let name = format!("disks-{}", realms.len());
                match tool.call(Call::Create {
                    name,
                    spec: wants(),
                }) {
                    Ok(_) => realms.push(realms.len() as u32 + 1),
                    Err(error) => break error,
                }
                assert!(realms.len() < 20, "nobody is refused");
            };
            assert!(
                error.contains("bytes of the hypervisor's heap") && error.contains("are left"),
                "{error}"
            );
            assert!(!realms.is_empty());
            // Who asks for less is welcome, and what is given back is there again.
            tool.create(
                "small",
                Spec {
                    devices: Vec::new(),
                    ..wants()
                },
            );
            tool.done(Call::Remove { realm: realms[0] });
            tool.create("again", wants());
            tool.done(Call::Shutdown);
        },
    );
}

/// A tool that asks for a great deal, and takes nothing until it has asked for all of it.
struct Greedy {
    requests: Vec<u8>,
    asked: usize,
    /// The host has tried so often to send it something.
    tries: usize,
    /// The most that waited for it at once.
    most: Arc<AtomicUsize>,
    said: Arc<Mutex<Vec<u8>>>,
}

impl Link for Greedy {
    fn receive(&mut self, to: &mut [u8]) -> usize {
        let rest = &self.requests[self.asked..];
        let count = rest.len().min(to.len());
        to[..count].copy_from_slice(&rest[..count]);
        self.asked += count;
        count
    }

    fn send(&mut self, bytes: &[u8]) -> usize {
        self.most.fetch_max(bytes.len(), Ordering::Relaxed);
        self.tries += 1;
        if self.tries < 5 {
            return 0;
        }
        self.said
            .lock()
            .expect("nobody panics")
            .extend_from_slice(bytes);
        bytes.len()
    }

    fn has_room(&self) -> bool {
        true
    }

    fn has_arrivals(&self) -> bool {
        false
    }

    fn is_closed(&self) -> bool {
        self.tries >= 5
    }
}

#[test]
fn a_tool_that_takes_no_answers_gets_no_more_of_them() {
    let mut requests = Vec::new();
    let mut ask = |call| {
        let json = serde_json::to_vec(&Request { id: 7, call }).expect("a request");
        frame::write(Kind::Request, 0, 0, &json, &mut requests).expect("it is short");
    };
    for n in 0..60 {
        let spec = Spec {
            memory: 4 << 20,
            ..spec(1)
        };
        let name = format!("{n:0100}");
        ask(Call::Create { name, spec });
    }
    // Each answer has more than 10,000 bytes.
    (0..1200).for_each(|_| ask(Call::List));
    assert!(requests.len() < 128 << 10, "all of it is read at once");
    let (most, said) = (Arc::default(), Arc::default());
    let link = Greedy {
        requests,
        asked: 0,
        tries: 0,
        most: Arc::clone(&most),
        said: Arc::clone(&said),
    };
    let machine = Machine::new(Config {
        pes: 1,
        dram_bytes: 1 << 30,
        ..Config::default()
    });
    assert!(machine.serve_link(link), "all realms are taken apart");
    let most = most.load(Ordering::Relaxed);
    let bound = (8 << 20) + frame::MAX_PAYLOAD + 4096;
    assert!(most > 8 << 20 && most <= bound, "{most} bytes waited");
    let said = said.lock().expect("nobody panics");
    let why = b"the tool does not take the answers";
    assert!(
        said.windows(why.len()).any(|part| part == why),
        "it is told why"
    );
}
