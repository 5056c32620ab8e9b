//! RMI_GRANULE_DELEGATE and RMI_GRANULE_UNDELEGATE.

use cca_abi::rmi::{granule_delegate, granule_undelegate};

use crate::judgement::Judgement;
use crate::state::{Granule, Model, Read};

const ROWS: [&str; 3] = ["gran_align", "gran_bound", "gran_state"];

pub(super) fn judge_delegate(
    model: &Model,
    input: &granule_delegate::Input,
    _: Read<'_>,
) -> Judgement {
    let mut judgement = Judgement::default();
    model.judge_granule(&mut judgement, ROWS, input.addr, None);
    judgement
}

pub(super) fn delegate(
    model: &mut Model,
    input: &granule_delegate::Input,
    _: Read<'_>,
) -> [u64; 4] {
    model.set(input.addr, Granule::Delegated);
    [0; 4]
}

pub(super) fn judge_undelegate(
    model: &Model,
    input: &granule_undelegate::Input,
    _: Read<'_>,
) -> Judgement {
    let mut judgement = Judgement::default();
    model.judge_granule(&mut judgement, ROWS, input.addr, Some(Granule::Delegated));
    judgement
}

pub(super) fn undelegate(
    model: &mut Model,
    input: &granule_undelegate::Input,
    _: Read<'_>,
) -> [u64; 4] {
    model.granules.remove(&input.addr);
    [0; 4]
}
