//! Whose turn it is on a PE: that of the realm that has run least.

use core::cell::Cell;
use core::sync::atomic::{AtomicU64, Ordering};

/// How a realm stands.
pub(crate) struct Standing<'a> {
    /// What it has run, in ticks.
    pub(crate) used: &'a AtomicU64,
    /// The ticks of its slice.
    pub(crate) slice: u64,
    /// Whether a vCPU of it waits for a PE.
    pub(crate) is_ready: bool,
    /// Whether a vCPU of it is on a PE.
    pub(crate) is_running: bool,
}

impl Standing<'_> {
    fn has_used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    /// Whether it runs or wants to.
    const fn is_awake(&self) -> bool {
        self.is_ready || self.is_running
    }
}

/// The realm whose turn it is, of those that are ready.
///
/// `floor` is what the realm had used that had run least of all that run or want to. Nobody may lag far behind it, so that a realm that has
/// slept, or is new, does not keep the machine for itself to catch up. One that runs counts for it although it is not to be chosen: else who
/// is on several PEs would raise the floor above one that is on one, which then lost what it is behind, again and again.
pub(crate) fn choose<'a>(
    floor: &AtomicU64,
    standings: impl Iterator<Item = Standing<'a>>,
) -> Option<usize> {
    let mut chosen: Option<(usize, u64, Standing<'a>)> = None;
    // What the one has used that has run least of the others.
    let mut others = u64::MAX;
    for (n, one) in standings.enumerate() {
        let used = one.has_used();
        let is_first = chosen.as_ref().is_none_or(|&(_, least, _)| used < least);
        if one.is_ready && is_first {
            let passed_over = chosen.replace((n, used, one));
            others = passed_over.map_or(others, |(_, used, _)| others.min(used));
        } else if one.is_awake() {
            others = others.min(used);
        }
    }
    let (chosen, _, standing) = chosen?;
    let lag = floor.load(Ordering::Relaxed).saturating_sub(standing.slice);
    let used = standing.used.fetch_max(lag, Ordering::Relaxed).max(lag);
    floor.fetch_max(used.min(others), Ordering::Relaxed);
    Some(chosen)
}

/// Raises the floor to what the realm has used that has run least of all that run or want to.
pub(crate) fn raise<'a>(floor: &AtomicU64, standings: impl Iterator<Item = Standing<'a>>) {
    let awake = standings.filter(Standing::is_awake);
    if let Some(least) = awake.map(|one| one.has_used()).min() {
        floor.fetch_max(least, Ordering::Relaxed);
    }
}

/// A realm's time on a PE. It counts as it passes and not only when the realm leaves, which may be never: what is not counted would be
/// there to be caught up with by whoever comes later.
pub(crate) struct Stay<'a> {
    used: &'a AtomicU64,
    counted: Cell<u64>,
}

impl<'a> Stay<'a> {
    /// One that begins now.
    pub(crate) const fn new(used: &'a AtomicU64, now: u64) -> Self {
        Self {
            used,
            counted: Cell::new(now),
        }
    }

    /// Counts what has passed.
    pub(crate) fn count(&self, now: u64) {
        let passed = now.saturating_sub(self.counted.replace(now));
        self.used.fetch_add(passed, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;

    const SLICE: u64 = 10;

    /// Two PEs for so many ticks: one vCPU that runs for slices, and others, enough for all PEs, that are away for `away` ticks at a time.
    /// What the one vCPU has run.
    fn beside(away: u64, ticks: u64) -> u64 {
        let floor = AtomicU64::new(0);
        let used = [AtomicU64::new(0), AtomicU64::new(0)];
        let mut pes: [Option<(usize, u64, u64)>; 2] = [None; 2];
        let mut ran = 0;
        for now in 0..ticks {
            for pe in 0..2 {
                if let Some((realm, since, end)) = pes[pe] {
                    ran += u64::from(realm == 0);
                    if now < end {
                        continue;
                    }
                    used[realm].fetch_add(now - since, Ordering::Relaxed);
                    pes[pe] = None;
                }
                let runs = |realm| pes.iter().flatten().any(|&(one, ..)| one == realm);
                let standing = |realm: usize| Standing {
                    used: &used[realm],
                    slice: SLICE,
                    is_ready: realm == 1 || !runs(0),
                    is_running: runs(realm),
                };
                let realm =
                    choose(&floor, [standing(0), standing(1)].into_iter()).expect("one is ready");
                let length = if realm == 0 { SLICE } else { away };
                pes[pe] = Some((realm, now, now + length));
            }
        }
        ran
    }

    #[test]
    fn a_realm_that_is_long_away_on_all_pes_takes_no_more_than_its_share() {
        // One PE of two is the fair share of either, however long the other one keeps a PE at a time.
        for away in [1, 7, 10, 25, 40, 1000] {
            let ran = beside(away, 100_000);
            assert!(ran > 90_000, "{ran} of 100000 ticks beside {away}");
        }
    }

    #[test]
    fn who_comes_late_does_not_catch_up_with_one_that_never_left() {
        let floor = AtomicU64::new(0);
        let used = [AtomicU64::new(0), AtomicU64::new(0)];
        let standing = |realm: usize, is_ready, is_running| Standing {
            used: &used[realm],
            slice: SLICE,
            is_ready,
            is_running,
        };
        // One realm on a PE for ever, which looks around at the end of each slice.
        let stay = Stay::new(&used[0], 0);
        for now in (SLICE..=100_000).step_by(SLICE as usize) {
            stay.count(now);
            raise(
                &floor,
                [standing(0, false, true), standing(1, false, false)].into_iter(),
            );
        }
        assert_eq!(used[0].load(Ordering::Relaxed), 100_000);
        // The other one wakes: it has one slice more at most, and then they take turns.
        let mut turns = [0, 0];
        for _ in 0..100 {
            let realm = choose(
                &floor,
                [standing(0, true, false), standing(1, true, false)].into_iter(),
            );
            let realm = realm.expect("both are ready");
            used[realm].fetch_add(SLICE, Ordering::Relaxed);
            turns[realm] += 1;
        }
        assert!(turns[0] >= 49, "{turns:?}");
    }

    #[test]
    fn who_has_slept_does_not_catch_up() {
        let floor = AtomicU64::new(0);
        let (slept, busy) = (AtomicU64::new(0), AtomicU64::new(5000));
        let standing = |used, is_ready| Standing {
            used,
            slice: SLICE,
            is_ready,
            is_running: false,
        };
        assert_eq!(
            choose(
                &floor,
                [standing(&slept, false), standing(&busy, true)].into_iter()
            ),
            Some(1)
        );
        assert_eq!(
            choose(
                &floor,
                [standing(&slept, true), standing(&busy, true)].into_iter()
            ),
            Some(0)
        );
        assert_eq!(slept.load(Ordering::Relaxed), 5000 - SLICE);
        assert_eq!(choose(&floor, [standing(&slept, false)].into_iter()), None);
    }
}
