//! What stands in for the processor and its devices where this crate is not built for them: a recorder.
//!
//! Every leaf of [`common`](crate::common) that is an instruction on AArch64 (a system register, a barrier, maintenance of
//! TLBs and caches, a device's register, a routine in assembly code, an SMC) comes here instead, is noted, and changes
//! nothing but what this module keeps. So the order of what a function does to the machine can be looked at on any machine:
//!
//! ```
//! use hardware::common::{barrier, fake};
//!
//! fake::reset();
//! barrier::dsb_ish();
//! // SAFETY: a fake.
//! unsafe { hardware::write_sysreg!("vttbr_el2", 0x70) };
//! barrier::isb();
//! assert_eq!(fake::log(), ["dsb ish", "msr vttbr_el2, 0x70", "isb"]);
//! ```
//!
//! A register or a device's register has the value that was last stored to it, 0 at first, unless the test has a say:
//! [`set`], [`script`], [`answer`]. Each thread has a recorder of its own.

use std::borrow::ToOwned;
use std::boxed::Box;
use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::format;
use std::string::String;
use std::sync::OnceLock;
use std::vec::Vec;

use cca_abi::smccc::Registers;

/// More events than any function of this crate has: a loop waits for something that a fake does not do.
const TOO_MANY: usize = 20_000;

type Routine = Box<dyn FnMut(&[u64]) -> u64>;
type Call = Box<dyn FnMut(&mut Registers)>;
type Watcher = Box<dyn FnMut(&str)>;

#[derive(Default)]
struct Recorder {
    log: Vec<String>,
    count: usize,
    registers: BTreeMap<String, u64>,
    devices: BTreeMap<usize, u64>,
    scripts: BTreeMap<String, VecDeque<u64>>,
    routines: BTreeMap<String, Routine>,
    calls: Option<Call>,
    watcher: Option<Watcher>,
}

std::thread_local! {
    static RECORDER: RefCell<Recorder> = RefCell::default();
}

fn with<R>(action: impl FnOnce(&mut Recorder) -> R) -> R {
    RECORDER.with(|recorder| action(&mut recorder.borrow_mut()))
}

/// Forgets everything: a test begins with it.
pub fn reset() {
    with(|recorder| *recorder = Recorder::default());
}

/// What has happened since the last call, in order and as an assembler would write it.
pub fn log() -> Vec<String> {
    with(|recorder| core::mem::take(&mut recorder.log))
}

/// As [`log`], without reads of registers.
pub fn effects() -> Vec<String> {
    let mut events = log();
    events.retain(|event| !event.starts_with("mrs ") && !event.starts_with("ldr"));
    events
}

/// As [`effects`], each without the value.
pub fn outline() -> Vec<String> {
    let mut events = effects();
    for event in &mut events {
        event.truncate(event.find(", 0x").unwrap_or(event.len()));
    }
    events
}

/// Gives a system register a value.
pub fn set(register: &str, value: u64) {
    with(|recorder| recorder.registers.insert(register.to_owned(), value));
}

/// The value of a system register.
pub fn get(register: &str) -> u64 {
    with(|recorder| recorder.registers.get(register).copied().unwrap_or(0))
}

/// Gives a device's register a value.
pub fn set_device(address: usize, value: u64) {
    with(|recorder| recorder.devices.insert(address, value));
}

/// The next reads of a system register give these values, one after the other.
pub fn script(register: &str, values: impl IntoIterator<Item = u64>) {
    let values = values.into_iter().collect();
    with(|recorder| recorder.scripts.insert(register.to_owned(), values));
}

/// The next loads of a device's register give these values, one after the other.
pub fn script_device(address: usize, values: impl IntoIterator<Item = u64>) {
    script(&device_name(address), values);
}

/// What a routine in assembly code does: it gets the arguments, and gives X0.
pub fn answer(routine: &str, action: impl FnMut(&[u64]) -> u64 + 'static) {
    with(|recorder| {
        recorder
            .routines
            .insert(routine.to_owned(), Box::new(action))
    });
}

/// What the other side of an SMC does.
pub fn answer_calls(action: impl FnMut(&mut Registers) + 'static) {
    with(|recorder| recorder.calls = Some(Box::new(action)));
}

/// Calls `action` with each event, right before it takes effect: what memory holds at a barrier can be looked at there.
pub fn watch(action: impl FnMut(&str) + 'static) {
    with(|recorder| recorder.watcher = Some(Box::new(action)));
}

fn device_name(address: usize) -> String {
    format!("[{address:#x}]")
}

/// Notes an event. What a watcher itself does is noted before it.
fn note(event: String) {
    let watcher = with(|recorder| recorder.watcher.take());
    if let Some(mut watcher) = watcher {
        watcher(&event);
        with(|recorder| recorder.watcher = Some(watcher));
    }
    let endless = with(|recorder| {
        recorder.log.push(event);
        recorder.count += 1;
        recorder.count > TOO_MANY
    });
    if endless {
        end("the program waits for ever");
    }
}

fn scripted(name: &str) -> Option<u64> {
    with(|recorder| recorder.scripts.get_mut(name)?.pop_front())
}

/// Reads a system register.
pub fn read(register: &str) -> u64 {
    note(format!("mrs {register}"));
    scripted(register).unwrap_or_else(|| get(register))
}

/// Writes a system register.
///
/// # Safety
///
/// None is needed; on hardware the place of use has to say why it is sound.
pub unsafe fn write(register: &str, value: u64) {
    note(format!("msr {register}, {value:#x}"));
    set(register, value);
}

/// Where an instruction is: file and line.
type Place = (&'static str, u32);

/// Names the place, as `file:line`, whose instruction is left out: a flaw, which a test has to notice.
pub const LEFT_OUT: &str = "HARDWARE_LEFT_OUT";

/// Whether the instruction at this place is left out.
fn is_left_out(place: Place) -> bool {
    static FLAW: OnceLock<Option<String>> = OnceLock::new();
    let flaw = FLAW.get_or_init(|| std::env::var(LEFT_OUT).ok());
    flaw.as_ref()
        .is_some_and(|flaw| *flaw == format!("{}:{}", place.0, place.1))
}

/// A barrier or a hint.
pub fn instruction(text: &str, place: Place) {
    if !is_left_out(place) {
        note(text.to_owned());
    }
}

/// An instruction that maintains a TLB or a cache or changes the state of the PE.
///
/// # Safety
///
/// As for [`write()`].
pub unsafe fn maintain(text: &str, operand: Option<u64>, place: Place) {
    if !is_left_out(place) {
        note(match operand {
            Some(operand) => format!("{text}, {operand:#x}"),
            None => text.to_owned(),
        });
    }
}

/// A load from a device's register.
pub fn load(instruction: &str, address: usize) -> u64 {
    let name = device_name(address);
    note(format!("{instruction} {name}"));
    scripted(&name)
        .unwrap_or_else(|| with(|recorder| recorder.devices.get(&address).copied().unwrap_or(0)))
}

/// A store to a device's register.
pub fn store(instruction: &str, address: usize, value: u64) {
    note(format!(
        "{instruction} {value:#x}, {}",
        device_name(address)
    ));
    set_device(address, value);
}

/// A call of a routine in assembly code.
pub fn call(routine: &str, arguments: &[u64]) -> u64 {
    note(format!("bl {routine}"));
    let action = with(|recorder| recorder.routines.remove(routine));
    action.map_or(0, |mut action| {
        let result = action(arguments);
        with(|recorder| {
            recorder
                .routines
                .entry(routine.to_owned())
                .or_insert(action);
        });
        result
    })
}

/// A call of a routine in assembly code that does not come back.
///
/// # Panics
///
/// Always: a test sees by that where the program went.
pub fn leave(routine: &str, arguments: &[u64]) -> ! {
    call(routine, arguments);
    end(routine)
}

/// Unwinds out of what would not come back on hardware. No panic in the sense of the hook: nothing is wrong.
fn end(reason: &str) -> ! {
    std::eprintln!("ended: {reason}");
    std::panic::resume_unwind(Box::new(reason.to_owned()))
}

/// An SMC.
pub fn smc(registers: &mut Registers) {
    note(format!("smc {:#x}", registers.0[0]));
    let action = with(|recorder| recorder.calls.take());
    if let Some(mut action) = action {
        action(registers);
        with(|recorder| {
            recorder.calls.get_or_insert(action);
        });
    }
}

/// The address of a symbol of the linker or of assembly code: what [`set_symbol`] says, else 0.
pub fn symbol(name: &str) -> u64 {
    get(name)
}

/// Gives a symbol its address.
pub fn set_symbol(name: &str, address: u64) {
    set(name, address);
}
