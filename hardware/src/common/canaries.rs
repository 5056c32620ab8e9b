//! Contents of system registers that can be told from all others: what tests fill them with, and compare them to.
//!
//! A world lists the registers that the architecture gives it and that its own program does not need. A register may keep
//! less than is written to it, so what counts is what it gave back when it was filled.

/// What register `n` gets, in a set that `seed` tells from others.
pub(crate) fn mixed(seed: u64, n: usize) -> u64 {
    let product = (seed << 16 | 0x8000 | n as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    product ^ product >> 31
}

/// Defines `fill` and `differences` for registers: their name for people, at this exception level, and the bits that may have
/// any value while the program runs.
macro_rules! canaries {
    ($($name:literal $register:literal $mask:literal,)*) => {
        const NAMES: [&str; [$($name),*].len()] = [$($name),*];
        static HELD: [::core::sync::atomic::AtomicU64; NAMES.len()] =
            [const { ::core::sync::atomic::AtomicU64::new(0) }; NAMES.len()];

        /// Fills the registers with what `seed` says. Returns how many hold all of it.
        fn fill(seed: u64) -> u64 {
            let mut told = 0;
            let values = (0..).zip([$($mask),*]).map(|(n, mask): (usize, u64)| {
                (&HELD[n], mask, $crate::common::canaries::mixed(seed, n) & mask)
            });
            let mut values = values;
            $(
                if let Some((held, mask, value)) = values.next() {
                    let kept = $crate::read_sysreg!($register) & !mask;
                    // SAFETY: nothing that the program does depends on these bits.
                    unsafe { $crate::write_sysreg!($register, kept | value) };
                    $crate::common::barrier::isb();
                    let holds = $crate::read_sysreg!($register);
                    held.store(holds, ::core::sync::atomic::Ordering::Relaxed);
                    told += u64::from(holds & mask == value);
                }
            )*
            told
        }

        /// Numbers of the registers that are not what [`fill`] left in them last.
        fn differences() -> impl Iterator<Item = usize> {
            let now = [$($crate::read_sysreg!($register)),*];
            now.into_iter().enumerate().filter_map(|(n, value)| {
                let held = HELD[n].load(::core::sync::atomic::Ordering::Relaxed);
                (value != held).then_some(n)
            })
        }
    };
}
pub(crate) use canaries;
