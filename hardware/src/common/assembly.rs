//! The ways to instructions and symbols that Rust has no words for. Elsewhere than on bare metal all of them lead to
//! [`fake`](super::fake): there is no other place that asks what this crate is built for but the leaves beside this one.

/// Assembly code of the image, with constants and symbols of Rust for what it has in braces.
macro_rules! assembly {
    ($text:expr $(, $name:ident = $kind:ident $value:expr)* $(,)?) => {
        #[cfg(target_os = "none")]
        core::arch::global_asm!($text $(, $name = $kind $value)*);
        #[cfg(not(target_os = "none"))]
        const _: () = { $( let _ = $value; )* };
    };
}
pub(crate) use assembly;

/// Declares routines in assembly code. Each is unsafe to call; their names are those of their symbols, or said by `as`.
macro_rules! routines {
    () => {};
    (
        $(#[$meta:meta])* $vis:vis fn $name:ident $(as $symbol:literal)? ($($argument:ident: $type:ty),* $(,)?) -> !;
        $($rest:tt)*
    ) => {
        $crate::common::assembly::routines! {
            @declare leave [$(#[$meta])*] [$vis] $name [$($symbol)?] [$($argument: $type),*] [-> !] []
        }
        $crate::common::assembly::routines! { $($rest)* }
    };
    (
        $(#[$meta:meta])* $vis:vis fn $name:ident $(as $symbol:literal)? ($($argument:ident: $type:ty),* $(,)?) -> u64;
        $($rest:tt)*
    ) => {
        $crate::common::assembly::routines! {
            @declare call [$(#[$meta])*] [$vis] $name [$($symbol)?] [$($argument: $type),*] [-> u64] []
        }
        $crate::common::assembly::routines! { $($rest)* }
    };
    (
        $(#[$meta:meta])* $vis:vis fn $name:ident $(as $symbol:literal)? ($($argument:ident: $type:ty),* $(,)?);
        $($rest:tt)*
    ) => {
        $crate::common::assembly::routines! {
            @declare call [$(#[$meta])*] [$vis] $name [$($symbol)?] [$($argument: $type),*] [] [;]
        }
        $crate::common::assembly::routines! { $($rest)* }
    };
    (
        @declare $fake:ident [$(#[$meta:meta])*] [$vis:vis] $name:ident [$($symbol:literal)?]
        [$($argument:ident: $type:ty),*] [$($result:tt)*] [$($end:tt)?]
    ) => {
        #[cfg(target_os = "none")]
        unsafe extern "C" {
            $(#[$meta])*
            $(#[link_name = $symbol])?
            $vis fn $name($($argument: $type),*) $($result)*;
        }
        #[cfg(not(target_os = "none"))]
        $(#[$meta])*
        ///
        /// # Safety
        ///
        /// None is needed of a fake.
        $vis unsafe fn $name($($argument: $type),*) $($result)* {
            $crate::common::fake::$fake(stringify!($name), &[$($argument as usize as u64),*]) $($end)?
        }
    };
}
pub(crate) use routines;

/// The address of a symbol of the linker script or of assembly code, as a `u64`.
macro_rules! symbol {
    ($name:ident) => {{
        #[cfg(target_os = "none")]
        let address = {
            unsafe extern "C" {
                static $name: u8;
            }
            &raw const $name as u64
        };
        #[cfg(not(target_os = "none"))]
        let address = $crate::common::fake::symbol(stringify!($name));
        address
    }};
}
pub(crate) use symbol;

/// An instruction that maintains a TLB or a cache or changes the state of the PE, with an operand (`{}` in its text) or
/// without. It leaves registers and flags alone. Unsafe: the place of use says why it is sound.
macro_rules! operation {
    ($text:literal) => {{
        #[cfg(target_os = "none")]
        core::arch::asm!($text, options(nostack, preserves_flags));
        #[cfg(not(target_os = "none"))]
        $crate::common::fake::maintain($text, None, (file!(), line!()));
    }};
    ($text:literal, $operand:expr) => {{
        #[cfg(target_os = "none")]
        core::arch::asm!(concat!($text, ", {}"), in(reg) $operand, options(nostack, preserves_flags));
        #[cfg(not(target_os = "none"))]
        $crate::common::fake::maintain($text, Some($operand as u64), (file!(), line!()));
    }};
}
pub(crate) use operation;
