//! The realm monitor and the model in lock step, on the in-process machine.
//!
//! `SPEC_MODEL_SECONDS` makes the random sequences go on for so long; `SPEC_MODEL_SEED` runs one of them.

mod compare;
mod driver;
mod generator;
mod parameters;
mod plans;
mod random;
mod simulate;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use cca_abi::rmi::Command;
use driver::{Driver, Seen, Step};
use generator::Generator;
use random::Random;

/// Steps of a sequence.
const STEPS: usize = 250;
/// Sequences of an ordinary run.
const COUNT: u64 = if cfg!(debug_assertions) { 3 } else { ENOUGH };
/// So many of a polite host's sequences let every command succeed at least once.
const ENOUGH: u64 = 40;
/// How often a sequence that fails is run again to make it shorter.
const ATTEMPTS: usize = 400;

fn guarded(act: impl FnOnce() -> Result<(), String>) -> Result<(), String> {
    catch_unwind(AssertUnwindSafe(act)).unwrap_or_else(|cause| {
        let text = cause
            .downcast_ref::<String>()
            .cloned()
            .or_else(|| cause.downcast_ref::<&str>().map(ToString::to_string));
        Err(format!("a panic: {}", text.unwrap_or_default()))
    })
}

/// Runs steps on a new machine: where and how they fail.
fn replay(steps: &[Step]) -> Option<(usize, String)> {
    let mut driver = Driver::new();
    for (n, step) in steps.iter().enumerate() {
        if let Err(why) = guarded(|| driver.step(step)) {
            return Some((n, why));
        }
    }
    guarded(|| driver.finish())
        .err()
        .map(|why| (steps.len(), why))
}

/// Leaves out whatever the failure does not need.
fn shrink(mut steps: Vec<Step>) -> Vec<Step> {
    let mut size = steps.len() / 2;
    let mut attempts = 0;
    while size > 0 {
        let mut at = 0;
        while at < steps.len() && attempts < ATTEMPTS {
            attempts += 1;
            let end = (at + size).min(steps.len());
            let mut fewer = steps.clone();
            fewer.drain(at..end);
            match replay(&fewer) {
                Some((n, _)) => {
                    fewer.truncate(n + 1);
                    steps = fewer;
                }
                None => at += size,
            }
        }
        size /= 2;
    }
    steps
}

/// One random sequence; adds to what has been seen.
fn sequence(seed: u64, polite: bool, steps: usize, seen: &mut Seen) {
    let mut driver = Driver::new();
    let (pool, block) = (driver.pool.clone(), driver.block);
    let mut generator = Generator {
        random: Random::new(seed),
        polite,
        pool: &pool,
        block,
    };
    let mut done = Vec::new();
    let mut failure = None;
    'sequence: while done.len() < steps {
        for step in generator.next(&driver.model) {
            done.push(step.clone());
            if let Err(why) = guarded(|| driver.step(&step)) {
                failure = Some(why);
                break 'sequence;
            }
        }
    }
    let failure = failure.or_else(|| guarded(|| driver.finish()).err());
    for (what, count) in std::mem::take(&mut driver.seen) {
        *seen.entry(what).or_default() += count;
    }
    drop(driver);
    if let Some(why) = failure {
        let steps = shrink(done);
        let shorter = replay(&steps).map_or_else(|| why.clone(), |(_, why)| why);
        let list: Vec<_> = steps.iter().map(|step| format!("  {step:x?}")).collect();
        panic!(
            "seed {seed}, polite {polite}: {why}\nafter {} steps:\n{}\n{shorter}",
            steps.len(),
            list.join("\n")
        );
    }
}

fn sequences(polite: bool) {
    let mut seen = Seen::new();
    if let Ok(seed) = std::env::var("SPEC_MODEL_SEED") {
        sequence(seed.parse().expect("a number"), polite, STEPS, &mut seen);
        return;
    }
    let seconds = std::env::var("SPEC_MODEL_SECONDS")
        .ok()
        .map(|seconds| Duration::from_secs(seconds.parse().expect("a number of seconds")));
    let begin = Instant::now();
    let mut seed = 0;
    while seed < COUNT || seconds.is_some_and(|seconds| begin.elapsed() < seconds) {
        sequence(seed, polite, STEPS, &mut seen);
        seed += 1;
    }
    println!("{seed} sequences of {STEPS} steps");
    for ((what, outcome), count) in &seen {
        println!("{count:8} {what}: {outcome}");
    }
    let never: Vec<_> = Command::ALL
        .iter()
        .map(|command| command.name())
        .filter(|name| !seen.contains_key(&((*name).to_owned(), "success".to_owned())))
        .collect();
    assert!(
        !polite || seed < ENOUGH || never.is_empty(),
        "{never:?} never succeeded"
    );
}

#[test]
fn a_polite_host_sees_what_the_model_says() {
    sequences(true);
}

#[test]
fn a_hostile_host_sees_what_the_model_says() {
    sequences(false);
}
