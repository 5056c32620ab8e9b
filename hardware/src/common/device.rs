//! Registers of devices, by their address.
//!
//! Each access is one instruction with one register and a plain address, so that a host can emulate it for a realm (RMM
//! specification 1.0-rel0, A6.1: ESR_EL2.ISV).

macro_rules! load {
    ($(#[$doc:meta])* $name:ident, $type:ty, $instruction:literal, $register:literal) => {
        $(#[$doc])*
        ///
        /// # Safety
        ///
        /// The address is mapped, and a load from there does no harm.
        #[inline]
        pub unsafe fn $name(address: usize) -> $type {
            #[cfg(target_os = "none")]
            {
                let value: u64;
                // SAFETY: the caller's promise.
                unsafe {
                    core::arch::asm!(
                        concat!($instruction, " {value:", $register, "}, [{address}]"),
                        value = out(reg) value,
                        address = in(reg) address,
                        options(nostack, preserves_flags)
                    );
                }
                value as $type
            }
            #[cfg(not(target_os = "none"))]
            {
                crate::common::fake::load($instruction, address) as $type
            }
        }
    };
}

macro_rules! store {
    ($(#[$doc:meta])* $name:ident, $type:ty, $instruction:literal, $register:literal) => {
        $(#[$doc])*
        ///
        /// # Safety
        ///
        /// The address is mapped, no Rust object is there, and what the device does then does not concern this program's memory.
        #[inline]
        pub unsafe fn $name(address: usize, value: $type) {
            #[cfg(target_os = "none")]
            // SAFETY: the caller's promise.
            unsafe {
                core::arch::asm!(
                    concat!($instruction, " {value:", $register, "}, [{address}]"),
                    value = in(reg) u64::from(value),
                    address = in(reg) address,
                    options(nostack, preserves_flags)
                );
            }
            #[cfg(not(target_os = "none"))]
            crate::common::fake::store($instruction, address, u64::from(value));
        }
    };
}

load!(
    /// Loads a byte.
    load_8, u8, "ldrb", "w"
);
load!(
    /// Loads 16 bits.
    load_16, u16, "ldrh", "w"
);
load!(
    /// Loads 32 bits.
    load_32, u32, "ldr", "w"
);
load!(
    /// Loads 64 bits.
    load_64, u64, "ldr", "x"
);
store!(
    /// Stores a byte.
    store_8, u8, "strb", "w"
);
store!(
    /// Stores 16 bits.
    store_16, u16, "strh", "w"
);
store!(
    /// Stores 32 bits.
    store_32, u32, "str", "w"
);
store!(
    /// Stores 64 bits.
    store_64, u64, "str", "x"
);
store!(
    /// Adds to 64 bits, which is no access that a host can emulate.
    add_64, u64, ".arch_extension lse\nstadd", "x"
);
