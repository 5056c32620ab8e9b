//! Reads and writes of system registers by their encodings, for tests that leave none out.
//!
//! The instruction is made at run time. It is executed with stage 1 off, so that no page is writable and executable, and under
//! a vector table of its own, which makes an exception an answer. The exception registers get their values back after one:
//! they too keep what they hold.

/// MRS to X0 with op0 2 and zeros for the rest of the encoding.
pub(crate) const READ: u64 = 0xD530_0000;
/// MSR from X0, likewise.
#[cfg(feature = "guest")]
pub(crate) const WRITE: u64 = 0xD510_0000;

/// Defines the routine `$name` for an exception level with its own stack pointer: its arguments are an instruction, the first
/// encoding, the first that is no more meant, and where the value is. It returns the first encoding whose instruction makes no
/// exception, or the end; X0 of the instruction comes from the value and goes to it.
macro_rules! encodings {
    ($level:literal $name:ident) => {
        $crate::common::assembly::assembly!(concat!(
            ".pushsection .bss.",
            stringify!($name),
            ", \"aw\", %nobits\n",
            ".balign 4096\n",
            stringify!($name),
            "_slot: .skip 4096\n",
            ".popsection\n",
            ".pushsection .text.",
            stringify!($name),
            ", \"ax\"\n",
            ".balign 0x800\n",
            stringify!($name),
            "_table:\n",
            // Nothing is expected but an exception from here.
            ".rept 4\n .balign 0x80\n b .\n .endr\n",
            ".balign 0x80\n",
            "mov x17, #1\n",
            "mrs x16, elr_",
            $level,
            "\n",
            "add x16, x16, #4\n",
            "msr elr_",
            $level,
            ", x16\n",
            "eret\n",
            ".rept 11\n .balign 0x80\n b .\n .endr\n",
            stringify!($name),
            ":\n",
            "mov x4, x30\n",
            "ldr x5, [x3]\n",
            "mrs x9, elr_",
            $level,
            "\n",
            "mrs x10, spsr_",
            $level,
            "\n",
            "mrs x11, esr_",
            $level,
            "\n",
            "mrs x12, far_",
            $level,
            "\n",
            "mrs x13, vbar_",
            $level,
            "\n",
            "mrs x14, sctlr_",
            $level,
            "\n",
            "adrp x6, ",
            stringify!($name),
            "_slot\n",
            "add x6, x6, :lo12:",
            stringify!($name),
            "_slot\n",
            // RET behind the instruction; then the line is in no cache.
            "movz w7, #0x03c0\n",
            "movk w7, #0xd65f, lsl #16\n",
            "str w7, [x6, #4]\n",
            "dc civac, x6\n",
            "dsb sy\n",
            "adr x7, ",
            stringify!($name),
            "_table\n",
            "msr vbar_",
            $level,
            ", x7\n",
            "bic x7, x14, #1\n",
            "msr sctlr_",
            $level,
            ", x7\n",
            "isb\n",
            "1: cmp x1, x2\n",
            "b.hs 2f\n",
            "orr x7, x0, x1, lsl #5\n",
            "str w7, [x6]\n",
            "dsb sy\n",
            "ic iallu\n",
            "dsb sy\n",
            "isb\n",
            "mov x8, x0\n",
            "mov x0, x5\n",
            "mov x17, #0\n",
            "blr x6\n",
            "mov x7, x0\n",
            "mov x0, x8\n",
            "cbz x17, 3f\n",
            "msr elr_",
            $level,
            ", x9\n",
            "msr spsr_",
            $level,
            ", x10\n",
            "msr esr_",
            $level,
            ", x11\n",
            "msr far_",
            $level,
            ", x12\n",
            "add x1, x1, #1\n",
            "b 1b\n",
            "3: mov x5, x7\n",
            "2: isb\n",
            "msr sctlr_",
            $level,
            ", x14\n",
            "msr vbar_",
            $level,
            ", x13\n",
            "isb\n",
            "str x5, [x3]\n",
            "mov x0, x1\n",
            "mov x30, x4\n",
            "ret\n",
            ".popsection\n",
        ));

        $crate::common::assembly::routines! {
            fn $name(instruction: u64, from: u64, end: u64, value: *mut u64) -> u64;
        }

        /// The first encoding from `from` on and before `end` that can be read here, and what is read.
        fn first_readable(from: u64, end: u64) -> Option<(u64, u64)> {
            // Beyond that the instruction would be another one.
            let end = end.min(1 << 15);
            if from >= end {
                return None;
            }
            let mut value = 0;
            // SAFETY: a read of a system register, or an exception; the caller leaves out registers whose reads change something. The stack is not
            // used with stage 1 off, and the map is the identity.
            let at = unsafe { $name($crate::common::encodings::READ, from, end, &raw mut value) };
            (at < end).then_some((at, value))
        }
    };
}
pub(crate) use encodings;
