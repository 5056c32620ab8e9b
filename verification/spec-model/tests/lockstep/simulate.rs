//! Steps on the model alone, to know what they would come to.

use cca_abi::rmi::{self, Command};
use spec_model::{Model, RecEntry};

use crate::driver::Step;

/// Carries out steps on the model alone; whether all succeed.
fn simulate(model: &mut Model, steps: &[Step]) -> bool {
    let mut written = (0, Vec::new());
    let mut fine = true;
    for step in steps {
        match step {
            Step::Write { pa, words } => written = (*pa, words.clone()),
            Step::Enter { .. } => {}
            Step::Call(call) | Step::Quick(call) => {
                let read = |pa: u64| {
                    let mut page = Box::new([0; 512]);
                    if pa == written.0 {
                        written.1.iter().for_each(|&(n, word)| page[n] = word);
                    }
                    page
                };
                let Some(command) = Command::from_function_id(call.0[0] as u32) else {
                    return false;
                };
                fine &= model.judge(command, call, &read).succeeds();
                if fine {
                    model.apply(command, call, &read);
                    let count = model
                        .realms
                        .values()
                        .find_map(|realm| realm.aux_count)
                        .unwrap_or(0);
                    for realm in model.realms.values_mut() {
                        realm.aux_count.get_or_insert(count);
                    }
                }
            }
        }
    }
    fine
}

pub(crate) fn succeeds(model: &Model, steps: &[Step]) -> bool {
    let mut scratch = model.clone();
    if let [
        Step::Enter {
            rec,
            run,
            record,
            next,
        },
    ] = steps
    {
        let mut page = Box::new([0; 512]);
        let half = page.first_chunk_mut().expect("the enter half");
        record.write(half);
        let call = rmi::rec_enter::Input {
            rec: *rec,
            run_ptr: *run,
        };
        let read = |_| page.clone();
        let next = *next;
        return scratch
            .judge(Command::RecEnter, &call.encode(), &read)
            .succeeds()
            && scratch.enter(*rec, RecEntry { record, next }).is_ok();
    }
    simulate(&mut scratch, steps)
}

pub(crate) fn play(scratch: &mut Model, steps: &mut Vec<Step>, more: Vec<Step>) {
    let mut after = scratch.clone();
    if simulate(&mut after, &more) {
        *scratch = after;
    }
    steps.extend(more);
}
