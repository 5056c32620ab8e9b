//! Access to system registers by their assembler name.
//!
//! A name is a string literal, either architectural (`"sctlr_el2"`) or generic (`"s3_6_c2_c1_6"`), so that a register
//! unknown to the assembler's baseline can be named too.

/// Reads a system register: `read_sysreg!("mpidr_el1")` gives its value as a `u64`.
///
/// The read is never removed, merged or moved across another volatile access, because some registers (for example
/// `ICC_IAR1_EL1`) change when they are read. The register must exist at the current exception level: reading one that
/// does not is an exception, not undefined behaviour.
#[cfg(target_os = "none")]
#[macro_export]
macro_rules! read_sysreg {
    ($name:literal) => {{
        let value: u64;
        // SAFETY: MRS changes no memory and no general register besides its destination.
        unsafe {
            ::core::arch::asm!(
                concat!("mrs {value}, ", $name),
                value = out(reg) value,
                options(nostack, preserves_flags)
            );
        }
        value
    }};
}

/// Reads a system register of the recorder.
#[cfg(not(target_os = "none"))]
#[macro_export]
macro_rules! read_sysreg {
    ($name:literal) => {
        $crate::common::fake::read($name)
    };
}

/// Writes a `u64` to a system register: `write_sysreg!("tpidr_el3", value)`.
///
/// Expands to inline assembly without an `unsafe` block: what a write does to the program depends on the register, so
/// the place of use states why it is sound. It is a compiler barrier; it is not an ISB.
#[cfg(target_os = "none")]
#[macro_export]
macro_rules! write_sysreg {
    ($name:literal, $value:expr) => {
        ::core::arch::asm!(
            concat!("msr ", $name, ", {value}"),
            value = in(reg) ($value as u64),
            options(nostack, preserves_flags)
        )
    };
}

/// Writes a `u64` to a system register of the recorder; unsafe as it is on hardware.
#[cfg(not(target_os = "none"))]
#[macro_export]
macro_rules! write_sysreg {
    ($name:literal, $value:expr) => {
        $crate::common::fake::write($name, $value as u64)
    };
}
