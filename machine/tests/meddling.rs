//! A host that changes its memory right after the realm monitor has read it.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use cca_abi::smccc::Registers;
use machine::cpu::GuestCpu;
use machine::{Config, Machine, Time};
use realm_host::rec::{Decision, Entry, Exit};
use realm_host::{Host, Ipa, IpaRange, RealmConfig, VcpuConfig};

const RAM: u64 = 0x4000_0000;
const RSI_MEASUREMENT_READ: u64 = 0xC400_0192;
const RSI_HOST_CALL: u64 = 0xC400_0199;
const SYSTEM_OFF: u64 = 0x8400_0008;

fn machine() -> Machine {
    Machine::new(Config {
        pes: 1,
        dram_bytes: 128 << 20,
        time: Time::Counted { ticks: 100 },
        ..Config::default()
    })
}

/// What a realm was, as it saw itself: its initial measurement, its first word, what a host call answered. And what its host
/// thinks that its measurement is.
#[derive(Debug, PartialEq, Eq)]
struct Seen {
    rim: [u8; 32],
    first: u64,
    answer: u64,
    expected_rim: [u8; 32],
}

/// Builds a realm whose pages begin with this word, and runs it.
fn run(machine: &Machine, first: u64) -> Seen {
    let seen = Arc::new(Mutex::new(([0; 32], 0, 0)));
    let tell = Arc::clone(&seen);
    let program = move |guest: &GuestCpu| {
        let call = |arguments: &[u64]| {
            let mut registers = Registers::default();
            registers.0[..arguments.len()].copy_from_slice(arguments);
            guest.call(&mut registers);
            registers.0
        };
        let measured = call(&[RSI_MEASUREMENT_READ, 0]);
        let mut rim = [0; 32];
        for (bytes, word) in rim.as_chunks_mut().0.iter_mut().zip(&measured[1..5]) {
            *bytes = word.to_le_bytes();
        }
        let first = guest.load(RAM, 8).expect("its own memory");
        let page = RAM + 0x1000;
        guest.store(page + 8, 8, 5).expect("its own memory");
        assert_eq!(call(&[RSI_HOST_CALL, page])[0], 0);
        let answer = guest.load(page + 8, 8).expect("its own memory");
        *tell.lock().expect("no panic") = (rim, first, answer);
        call(&[SYSTEM_OFF]);
    };
    machine.install(RAM, Arc::new(program));
    let pe = machine.host_pe(0);
    let expected_rim = pe.run(|| {
        let host = Host::new(machine.transport(), machine.supply()).expect("a monitor");
        let mut realm = host.create_realm(RealmConfig::default()).expect("a realm");
        let ram = IpaRange::new(Ipa::new(RAM), Ipa::new(RAM + (4 << 20))).expect("a range");
        realm.init_ripas(ram).expect("RAM");
        let mut content = vec![0x5A; 3 * 4096];
        for page in content.chunks_mut(4096) {
            page[..8].copy_from_slice(&first.to_le_bytes());
        }
        realm
            .populate(Ipa::new(RAM), &content, true)
            .expect("an image");
        let vcpu = VcpuConfig {
            index: 0,
            gprs: [7; 8],
            pc: RAM,
            runnable: true,
        };
        realm.add_vcpu(vcpu).expect("a vCPU");
        realm.create_recs().expect("RECs");
        let rim = realm.rim();
        let realm = realm.activate().expect("active");
        while !realm.is_off() {
            let mut session = realm.rec(0).expect("a REC");
            match session.enter(&Entry::default()).expect("an exit").exit {
                Exit::HostCall(host_call) => {
                    let mut gprs = host_call.gprs();
                    gprs[0] += 1;
                    host_call.complete(gprs);
                }
                Exit::Psci(psci) => {
                    psci.complete(Decision::Accept).expect("completed");
                }
                other => panic!("{}", other.name()),
            }
        }
        realm.destroy().expect("destroyed");
        let mut expected = [0; 32];
        expected.copy_from_slice(rim.digest());
        expected
    });
    assert_eq!(machine.failure(), None);
    assert_eq!(machine.guest_failures(), [""; 0]);
    let (rim, first, answer) = *seen.lock().expect("no panic");
    Seen {
        rim,
        first,
        answer,
        expected_rim,
    }
}

/// Parameters of realms and RECs, records of entries, content: whatever was read becomes something else at once. Nobody notices,
/// since nobody looks again, but for the one word at which the monitor looks before it copies a source: what is copied is measured.
#[test]
fn what_changes_after_it_was_read_counts_for_nothing() {
    const FIRST: u64 = 0x1234_5678_9ABC_DEF0;
    const CHANGE: u64 = 0x8000_0000_0000_0101;
    let undisturbed = run(&machine(), FIRST | CHANGE);
    assert_eq!(undisturbed.rim, undisturbed.expected_rim);
    assert_eq!((undisturbed.first, undisturbed.answer), (FIRST | CHANGE, 6));

    let machine = machine();
    let reads = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&reads);
    machine.meddle(move |words| {
        count.fetch_add(1, Ordering::Relaxed);
        words.change(|word| word | CHANGE);
    });
    let meddled = run(&machine, FIRST);
    assert!(reads.load(Ordering::Relaxed) > 20, "{reads:?}");
    assert_eq!((meddled.first, meddled.answer), (FIRST | CHANGE, 6));
    assert_eq!(meddled.rim, undisturbed.rim);
    assert_ne!(
        meddled.rim, meddled.expected_rim,
        "what was measured is not what the host put there at first"
    );
}

/// The same for the source of a page alone.
#[test]
fn what_is_measured_is_what_the_realm_gets() {
    const FIRST: u64 = 0x0F0F;
    let undisturbed = run(&machine(), !FIRST);
    let machine = machine();
    machine.meddle(|words| {
        // The look before the copy: the first word of a page that holds the content.
        if words.offset == 0 && words.len() == 1 {
            words.change(|word| if word == FIRST { !word } else { word });
        }
    });
    let meddled = run(&machine, FIRST);
    assert_eq!(meddled.rim, undisturbed.rim);
    assert_eq!(meddled.first, undisturbed.first);
}
