//! RMI_RTT_SET_RIPAS: a RIPAS change that a realm asked for is applied, as far as one table goes
//! (RMM specification 1.0-rel0, chapter B4).

use aarch64_formats::stage2;
use cca_abi::rmi::Ripas;
use cca_abi::rmi::rtt_set_ripas::{Condition, Input, Output};
use cca_abi::{Failed, Outcome};

use crate::granule::{Locked, Rd, Rec, is_aligned};
use crate::monitor::Monitor;
use crate::platform::{Platform, RecContext, TlbScope};
use crate::rec::layout;
use crate::rtt::Walk;

struct Plan<'m> {
    rec: Locked<'m, Rec>,
    walk: Walk<'m>,
    ripas: Ripas,
    /// End of the range to process: the rest of one table at most.
    end: u64,
}

#[inline]
pub(super) fn handle<P: Platform>(
    monitor: &Monitor<P>,
    input: &Input,
) -> Outcome<Output, Condition> {
    let plan = check(monitor, input)?;
    Ok(commit(monitor, input, plan))
}

fn check<'m, P: Platform>(
    monitor: &'m Monitor<P>,
    input: &Input,
) -> Result<Plan<'m>, Failed<Condition, Output>> {
    let platform = monitor.platform();
    if input.top <= input.base {
        return Err(Condition::SizeValid.into());
    }
    if !is_aligned(input.top) {
        return Err(Condition::TopGranAlign.into());
    }
    let (rd, rec) = monitor.lock_pair::<Rd, Rec>(input.rd, input.rec);
    let rd = rd.map_err(|refused| {
        refused.condition(Condition::RdAlign, Condition::RdBound, Condition::RdState)
    })?;
    let rec = rec.map_err(|refused| {
        refused.condition(
            Condition::RecAlign,
            Condition::RecBound,
            Condition::RecGranState,
        )
    })?;
    if rec.count() != 0 {
        return Err(Condition::RecState.into());
    }
    let context = RecContext(rec.words(platform));
    if context.get(layout::OWNER) != input.rd {
        return Err(Condition::RecOwner.into());
    }
    if context.get(layout::RIPAS_ADDR) != input.base {
        return Err(Condition::BaseBound.into());
    }
    if input.top > context.get(layout::RIPAS_TOP) {
        return Err(Condition::TopBound.into());
    }
    let ripas = if context.get(layout::RIPAS_VALUE) == Ripas::Ram as u64 {
        Ripas::Ram
    } else {
        Ripas::Empty
    };
    let change_destroyed = context.get(layout::RIPAS_DESTROYED) != 0;

    let space = rd.realm(platform).address_space();
    let walk = Walk::new(monitor, &space, input.base, 3);
    let same = !walk.entry.is_table(walk.level) && walk.entry.ripas(walk.level) == ripas;
    if !stage2::is_aligned(input.base, walk.level.into()) && !same {
        return Err(Failed::at_level(Condition::BaseAlign, walk.level));
    }
    // Success without progress, which the specification has for an entry that is as requested already, would make
    // the host call again and again; so no progress is always an error.
    let top = walk.at_most(input.base, input.top, platform.most_ripas_entries());
    let end = walk.skip_ripas(platform, input.base, top, change_destroyed);
    if end <= input.base {
        return Err(Failed::at_level(Condition::NoProgress, walk.level));
    }
    Ok(Plan {
        rec,
        walk,
        ripas,
        end,
    })
}

fn commit<P: Platform>(monitor: &Monitor<P>, input: &Input, plan: Plan<'_>) -> Output {
    let Plan {
        rec,
        walk,
        ripas,
        end,
    } = plan;
    let platform = monitor.platform();
    let space = walk.space();
    let size = stage2::entry_size(walk.level);
    let start = input.base & !(size - 1);
    let (mut became_valid, mut became_invalid) = (false, false);
    for index in walk.index()..walk.index() + ((end - start) / size) as usize {
        let old = walk.entry_at(platform, index);
        let new = old.with_ripas(ripas, walk.level, space.lpa2);
        if new != old {
            walk.set_at(platform, index, new);
            became_valid |= new.is_valid();
            became_invalid |= old.is_valid();
        }
    }
    if became_invalid {
        platform.invalidate(TlbScope::Range {
            vmid: space.vmid,
            ipa: start,
            size: end - start,
        });
    }
    if became_valid {
        platform.publish_tables();
    }
    RecContext(rec.words(platform)).set(layout::RIPAS_ADDR, end);
    Output { out_top: end }
}
