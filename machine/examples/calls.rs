//! How long calls take on the in-process machine: `cargo run --release -p machine --example calls`, which is also what
//! `cargo xtask bench` starts. Prints a line `calls NAME THREADS PICOSECONDS` for each figure: the time of one call, and
//! for several threads, which have granules of their own, the time divided by the calls of all of them. `WIPE` is no call: it is
//! what the computer takes to clear a granule, with which a monitor cannot do better. Where two threads gain nothing in
//! it, as on a computer whose processors share their stores, they gain nothing in undelegating memory that was written.

use std::cell::RefCell;
use std::sync::Barrier;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use cca_abi::rmi::Command;
use cca_abi::smccc::Registers;
use machine::{Config, HostPe, Machine};
use realm_host::SmcTransport;

/// Where each thread has its granules: a level 1 table of the protection table has nothing of two of them.
const GRANULES: u64 = 0x5000_0000;
const APART: u64 = 64 << 20;
/// Granules of a thread: more than fit into the nearest cache.
const COUNT: u64 = 256;
/// How often a figure is taken; the best one counts, since others use the computer too.
const ATTEMPTS: usize = 300;
/// How long one attempt takes, about.
const ATTEMPT: Duration = Duration::from_millis(2);

/// A number of calls, and what they are.
type Work = fn(&HostPe, u64) -> u64;

fn main() {
    let works: [(&str, Work); 4] = [
        ("VERSION", version),
        ("DELEGATE_UNDELEGATE", move_granules),
        ("DELEGATE_UNDELEGATE_WRITTEN", move_written_granules),
        ("WIPE", wipe),
    ];
    for (name, work) in works {
        for threads in [1, 2] {
            let best = (0..ATTEMPTS).map(|_| time(threads, work)).min();
            println!("calls {name} {threads} {}", best.unwrap_or(0));
        }
    }
}

/// Picoseconds for each call, with so many threads at once.
fn time(threads: u64, work: Work) -> u64 {
    let machine = Machine::new(Config {
        pes: threads as usize,
        ..Config::default()
    });
    let begin = Barrier::new(threads as usize);
    let times: Vec<_> = std::thread::scope(|scope| {
        let run = |n: u64| {
            let pe = machine.host_pe(n as usize);
            let base = GRANULES + n * APART;
            pe.run(|| {
                work(&pe, base);
                begin.wait();
                let started = Instant::now();
                let mut calls = 0;
                while started.elapsed() < ATTEMPT {
                    calls += work(&pe, base);
                }
                (calls, started, Instant::now())
            })
        };
        let threads: Vec<_> = (0..threads).map(|n| scope.spawn(move || run(n))).collect();
        let join = threads.into_iter().map(|thread| thread.join());
        join.map(|times| times.expect("nobody panics")).collect()
    });
    let calls: u64 = times.iter().map(|(calls, ..)| calls).sum();
    let begin = times.iter().map(|(_, begin, _)| *begin).min();
    let end = times.iter().map(|(.., end)| *end).max();
    let time = end
        .zip(begin)
        .map_or(Duration::ZERO, |(end, begin)| end - begin);
    (time.as_nanos() * 1000 / u128::from(calls)) as u64
}

fn call(pe: &HostPe, command: Command, operand: u64) {
    let mut registers = Registers::call(command.function_id(), &[operand]);
    pe.smc(&mut registers);
    assert_eq!(registers.0[0], 0, "{} {operand:#x}", command.name());
}

fn version(pe: &HostPe, _: u64) -> u64 {
    for _ in 0..1000 {
        call(pe, Command::Version, 1 << 16);
    }
    1000
}

/// Every granule to the Realm world and back: memory that nobody has written to.
fn move_granules(pe: &HostPe, base: u64) -> u64 {
    for command in [Command::GranuleDelegate, Command::GranuleUndelegate] {
        for n in 0..COUNT {
            call(pe, command, base + (n << 12));
        }
    }
    2 * COUNT
}

/// The same with memory that was written to before, and so has to be wiped.
fn move_written_granules(pe: &HostPe, base: u64) -> u64 {
    for n in 0..COUNT {
        let written = pe.write(base + (n << 12), n);
        written.expect("the host's own memory");
    }
    move_granules(pe, base)
}

thread_local! {
    static PAGES: RefCell<Vec<AtomicU64>> = RefCell::new((0..COUNT * 512).map(AtomicU64::new).collect());
}

/// The stores of wiping that many granules, and nothing else.
fn wipe(_: &HostPe, _: u64) -> u64 {
    PAGES.with_borrow_mut(|words| {
        for word in &*words {
            word.store(0, Ordering::Relaxed);
        }
        std::hint::black_box(words);
    });
    COUNT
}
