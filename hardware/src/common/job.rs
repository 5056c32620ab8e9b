//! Jobs: long work on a stack of its own, with interrupts open, that an interrupt suspends.
//!
//! A job is begun and resumed by [`Stack::start`] and [`Stack::resume`], which come back when it is done or when the PE has taken
//! an IRQ or FIQ, which stays pending for whoever is to handle it. A job that is suspended is its stack: any PE can resume it.
//! So a job must not keep what belongs to a PE, nor wait for one.
//!
//! The lowest page of a stack is not mapped. Before a job ends, all of the stack below it is cleared, interrupts still open: what
//! it calculated with does not stay. The two words at the top are the stack pointer of a suspended job and that of its PE.

/// Bytes at the top of a stack that the switch has for itself.
const HEADER: usize = 64;

/// Defines the [`Switch`] of an exception level, `SWITCH`, from routines with these names, for stacks of so many bytes. The third
/// routine is for its vectors of IRQ and FIQ taken from the level itself. Outside of jobs both are masked.
macro_rules! job_switch {
    ($start:ident, $resume:ident, $interrupted:ident, $level:literal, $stack:expr) => {
        $crate::common::assembly::routines! {
            fn $start(top: usize, argument: *mut (), run: extern "C" fn(*mut ())) -> u64;
            fn $resume(top: usize) -> u64;
        }

        const SWITCH: $crate::common::job::Switch = {
            unsafe fn start(top: usize, argument: *mut (), run: extern "C" fn(*mut ())) -> u64 {
                // SAFETY: the caller's promise.
                unsafe { $start(top, argument, run) }
            }
            unsafe fn resume(top: usize) -> u64 {
                // SAFETY: the caller's promise.
                unsafe { $resume(top) }
            }
            $crate::common::job::Switch { start, resume }
        };

        $crate::common::assembly::assembly!(
            concat!(
                "
    .pushsection .text.job, \"ax\"
    // X0: top of the stack, X1: what is at the job's stack pointer, its argument, X2: its first instruction. X0 is 0 if it is done,
    // 1 if it is suspended.
    .global ", stringify!($start), "
", stringify!($start), ":
    stp     x19, x20, [sp, #-96]!
    stp     x21, x22, [sp, #16]
    stp     x23, x24, [sp, #32]
    stp     x25, x26, [sp, #48]
    stp     x27, x28, [sp, #64]
    stp     x29, x30, [sp, #80]
    mov     x9, sp
    stur    x9, [x0, #-16]
    mov     sp, x1
    mov     x0, x1
    mov     x29, xzr
    msr     daifclr, #3
    blr     x2
    mov     x9, sp
    and     x10, x9, #~({stack} - 1)
    add     x10, x10, #4096
1:  stp     xzr, xzr, [x10], #16
    cmp     x10, x9
    b.lo    1b
    msr     daifset, #3
    mov     x0, #0

    // Back to the PE's own stack. X9: somewhere in the job's.
2:  orr     x9, x9, #({stack} - 1)
    ldur    x9, [x9, #-15]
    mov     sp, x9
    ldp     x21, x22, [sp, #16]
    ldp     x23, x24, [sp, #32]
    ldp     x25, x26, [sp, #48]
    ldp     x27, x28, [sp, #64]
    ldp     x29, x30, [sp, #80]
    ldp     x19, x20, [sp], #96
    ret

    // X0: top of the stack of a suspended job. As above.
    .global ", stringify!($resume), "
", stringify!($resume), ":
    stp     x19, x20, [sp, #-96]!
    stp     x21, x22, [sp, #16]
    stp     x23, x24, [sp, #32]
    stp     x25, x26, [sp, #48]
    stp     x27, x28, [sp, #64]
    stp     x29, x30, [sp, #80]
    mov     x9, sp
    stur    x9, [x0, #-16]
    ldur    x9, [x0, #-8]
    mov     sp, x9
    ldp     x10, x11, [sp, #248]
    msr     elr_", $level, ", x10
    msr     spsr_", $level, ", x11
    ldp     x0, x1, [sp]
    ldp     x2, x3, [sp, #16]
    ldp     x4, x5, [sp, #32]
    ldp     x6, x7, [sp, #48]
    ldp     x8, x9, [sp, #64]
    ldp     x10, x11, [sp, #80]
    ldp     x12, x13, [sp, #96]
    ldp     x14, x15, [sp, #112]
    ldp     x16, x17, [sp, #128]
    ldp     x18, x19, [sp, #144]
    ldp     x20, x21, [sp, #160]
    ldp     x22, x23, [sp, #176]
    ldp     x24, x25, [sp, #192]
    ldp     x26, x27, [sp, #208]
    ldp     x28, x29, [sp, #224]
    ldr     x30, [sp, #240]
    add     sp, sp, #272
    eret
    dsb     nsh
    isb

    // From the vectors, on the stack of a job.
    .global ", stringify!($interrupted), "
", stringify!($interrupted), ":
    sub     sp, sp, #272
    stp     x0, x1, [sp]
    stp     x2, x3, [sp, #16]
    stp     x4, x5, [sp, #32]
    stp     x6, x7, [sp, #48]
    stp     x8, x9, [sp, #64]
    stp     x10, x11, [sp, #80]
    stp     x12, x13, [sp, #96]
    stp     x14, x15, [sp, #112]
    stp     x16, x17, [sp, #128]
    stp     x18, x19, [sp, #144]
    stp     x20, x21, [sp, #160]
    stp     x22, x23, [sp, #176]
    stp     x24, x25, [sp, #192]
    stp     x26, x27, [sp, #208]
    stp     x28, x29, [sp, #224]
    mrs     x10, elr_", $level, "
    mrs     x11, spsr_", $level, "
    str     x30, [sp, #240]
    stp     x10, x11, [sp, #248]
    mov     x9, sp
    orr     x10, x9, #({stack} - 1)
    stur    x9, [x10, #-7]
    mov     x0, #1
    b       2b
    .popsection
"
            ),
            stack = const $stack,
        );
    };
}
pub(crate) use job_switch;

/// The switch of an exception level.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Switch {
    /// Begins at a function with an argument, which is the stack pointer, too, on the stack with this top. 0 if it is done, 1 if it is
    /// suspended.
    pub(crate) start: unsafe fn(usize, *mut (), extern "C" fn(*mut ())) -> u64,
    /// Goes on on the stack with this top.
    pub(crate) resume: unsafe fn(usize) -> u64,
}

/// A stack for one job at a time: as many bytes as the [`job_switch`] was defined for, aligned to their number.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stack {
    /// The first address behind it.
    pub(crate) top: usize,
    /// What changes to it and back.
    pub(crate) switch: Switch,
}

/// What is at the top of the stack of a job.
struct Record<J, R> {
    job: J,
    work: fn(&J) -> R,
    result: Option<R>,
}

impl<J, R> Record<J, R> {
    extern "C" fn run(record: *mut ()) {
        // SAFETY: `Stack::start` put a record there, and nobody else uses it before the job is done.
        let record = unsafe { &mut *record.cast::<Self>() };
        record.result = Some((record.work)(&record.job));
    }
}

impl Stack {
    fn record<J, R>(self) -> *mut Record<J, R> {
        const { assert!(align_of::<Record<J, R>>() <= 16) };
        ((self.top - HEADER - size_of::<Record<J, R>>()) & !15) as *mut Record<J, R>
    }

    /// Begins `work` on `job`: its result, or `None` if it is suspended.
    ///
    /// # Safety
    ///
    /// The stack is mapped but for its lowest page, big enough for the work, and used by nobody else until this returns. IRQ and FIQ
    /// are masked, and are taken to the vectors of this exception level if they are not.
    pub(crate) unsafe fn start<J, R>(self, job: J, work: fn(&J) -> R) -> Option<R> {
        let record = self.record::<J, R>();
        // SAFETY: the caller's promise; the record lies in the stack, aligned, and the switch calls `run` with its address as the
        // stack pointer, so that the job's frames lie below it.
        unsafe {
            record.write(Record {
                job,
                work,
                result: None,
            });
            let suspended = (self.switch.start)(self.top, record.cast(), Record::<J, R>::run);
            self.left::<J, R>(suspended)
        }
    }

    /// Goes on with the job that is suspended there.
    ///
    /// # Safety
    ///
    /// As for [`Stack::start`]; and the last call for this stack was a `start` or `resume` with the same types that gave `None`.
    pub(crate) unsafe fn resume<J, R>(self) -> Option<R> {
        // SAFETY: the caller's promise.
        unsafe {
            let suspended = (self.switch.resume)(self.top);
            self.left::<J, R>(suspended)
        }
    }

    /// # Safety
    ///
    /// The switch has come back with `suspended` from a job with these types.
    unsafe fn left<J, R>(self, suspended: u64) -> Option<R> {
        if suspended != 0 {
            return None;
        }
        let place = self.record::<J, R>();
        // SAFETY: the job is done, so the record is whole and nobody's; it is moved out once, and nothing of it stays behind.
        let record = unsafe {
            let record = place.read();
            place.cast::<u8>().write_bytes(0, size_of::<Record<J, R>>());
            record
        };
        record.result
    }
}
