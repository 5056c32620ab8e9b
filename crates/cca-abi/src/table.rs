//! The form of a command table, shared by RMI, RSI, PSCI and the RMM-EL3 interface.

use core::fmt::Debug;

/// A failure condition of a command: a trigger with the name that the specification gives it.
///
/// `Kind` is what the interface reports for it (a status, a status with an index, an error code).
pub trait Condition: Copy + Debug + PartialEq + 'static {
    /// What the interface reports when a condition holds.
    type Kind;
    /// All conditions of the command, in the order in which they are to be evaluated.
    const ALL: &'static [Self];
    /// The specification's short name, for example `rd_state`.
    fn name(self) -> &'static str;
    /// What is reported to the caller.
    fn kind(self) -> Self::Kind;
}

/// Operands or results of a command, as consecutive registers from X1 on.
pub trait Fields: Sized + Default {
    /// Number of registers used.
    const REGISTERS: usize;
    /// Takes the fields from the registers that follow X0.
    fn take(registers: &[u64]) -> Self;
    /// Puts the fields into the registers that follow X0 and leaves all others as they are.
    fn put(&self, registers: &mut [u64]);
}

/// How a command was refused: the condition, and what accompanies it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failed<C, O> {
    /// The condition that held.
    pub condition: C,
    /// Level of the translation table named in the status; meaningful for conditions about tables only.
    pub level: i8,
    /// Results that are defined on failure too (`top` values); zero otherwise.
    pub output: O,
}

impl<C, O: Default> Failed<C, O> {
    /// A refusal without results.
    pub fn new(condition: C) -> Self {
        Self {
            condition,
            level: 0,
            output: O::default(),
        }
    }

    /// A refusal that names the level at which a table walk ended.
    pub fn at_level(condition: C, level: i8) -> Self {
        Self {
            condition,
            level,
            output: O::default(),
        }
    }

    /// The same refusal with results.
    #[must_use]
    pub fn with_output(self, output: O) -> Self {
        Self { output, ..self }
    }
}

impl<C: Condition, O: Default> From<C> for Failed<C, O> {
    fn from(condition: C) -> Self {
        Self::new(condition)
    }
}

/// Result of a command: its outputs, or how it was refused.
pub type Outcome<O, C> = Result<O, Failed<C, O>>;

/// One field of a command: a register, or several.
pub(crate) trait Field: Sized {
    const REGISTERS: usize;
    fn take(registers: &[u64], at: usize) -> Self;
    fn put(&self, registers: &mut [u64], at: usize);
}

impl Field for u64 {
    const REGISTERS: usize = 1;
    #[inline]
    fn take(registers: &[u64], at: usize) -> Self {
        registers[at]
    }
    #[inline]
    fn put(&self, registers: &mut [u64], at: usize) {
        registers[at] = *self;
    }
}

impl Field for i64 {
    const REGISTERS: usize = 1;
    #[inline]
    fn take(registers: &[u64], at: usize) -> Self {
        registers[at].cast_signed()
    }
    #[inline]
    fn put(&self, registers: &mut [u64], at: usize) {
        registers[at] = self.cast_unsigned();
    }
}

impl<const N: usize> Field for [u64; N] {
    const REGISTERS: usize = N;
    #[inline]
    fn take(registers: &[u64], at: usize) -> Self {
        core::array::from_fn(|i| registers[at + i])
    }
    #[inline]
    fn put(&self, registers: &mut [u64], at: usize) {
        registers[at..at + N].copy_from_slice(self);
    }
}

/// Declares a struct of register fields with its [`Fields`] implementation.
macro_rules! define_fields {
    ($(#[$meta:meta])* $name:ident { $($field:ident: $type:ty = $doc:literal,)* }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct $name {
            $(#[doc = $doc] pub $field: $type,)*
        }

        impl $crate::Fields for $name {
            const REGISTERS: usize = 0 $(+ <$type as $crate::table::Field>::REGISTERS)*;

            #[inline]
            #[allow(unused_assignments, unused_mut, unused_variables, reason = "a command without fields")]
            fn take(registers: &[u64]) -> Self {
                let mut at = 0;
                $(
                    let $field = <$type as $crate::table::Field>::take(registers, at);
                    at += <$type as $crate::table::Field>::REGISTERS;
                )*
                Self { $($field,)* }
            }

            #[inline]
            #[allow(unused_assignments, unused_mut, unused_variables, reason = "a command without fields")]
            fn put(&self, registers: &mut [u64]) {
                let mut at = 0;
                $(
                    $crate::table::Field::put(&self.$field, registers, at);
                    at += <$type as $crate::table::Field>::REGISTERS;
                )*
            }
        }
    };
}

/// Declares an interface from its rows: the `Command` enumeration and, for each command, a module with `Input`,
/// `Output` and `Condition`. The interface's own `FailureKind` must be in scope where the macro is used.
macro_rules! define_commands {
    ($(
        $(#[doc = $doc:literal])*
        $command:ident $module:ident $fid:literal $name:literal {
            input { $($in:ident: $in_type:ty = $in_doc:literal,)* }
            output { $($out:ident: $out_type:ty = $out_doc:literal,)* }
            conditions { $($condition:ident $tag:literal [$($kind:tt)*],)* }
        }
    )*) => {
        /// A command of this interface.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Command {
            $($(#[doc = $doc])* $command,)*
        }

        impl Command {
            /// Every command of the interface.
            pub const ALL: &'static [Command] = &[$(Command::$command,)*];

            /// The function identifier that a caller puts into W0.
            #[must_use]
            pub const fn function_id(self) -> u32 {
                match self { $(Command::$command => $fid,)* }
            }

            /// The command with this function identifier, if the interface has one.
            #[must_use]
            #[inline]
            pub const fn from_function_id(function_id: u32) -> Option<Command> {
                match function_id {
                    $($fid => Some(Command::$command),)*
                    _ => None,
                }
            }

            /// The specification's name.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Command::$command => $name,)* }
            }

            /// The failure conditions, in evaluation order.
            #[must_use]
            pub const fn conditions(self) -> &'static [ConditionInfo] {
                match self {
                    $(Command::$command => {
                        const CONDITIONS: &[ConditionInfo] = &[
                            $(ConditionInfo { name: $tag, kind: FailureKind::$($kind)* },)*
                        ];
                        CONDITIONS
                    })*
                }
            }

            /// The names of the operands, from X1 on.
            #[must_use]
            pub const fn operands(self) -> &'static [&'static str] {
                match self { $(Command::$command => &[$(stringify!($in),)*],)* }
            }

            /// The names of the results, from X1 on.
            #[must_use]
            pub const fn results(self) -> &'static [&'static str] {
                match self { $(Command::$command => &[$(stringify!($out),)*],)* }
            }
        }

        /// A failure condition of a command, by name.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub struct ConditionInfo {
            /// The specification's short name.
            pub name: &'static str,
            /// What the caller is told.
            pub kind: FailureKind,
        }

        $(
            $(#[doc = $doc])*
            pub mod $module {
                use super::FailureKind;
                use $crate::smccc::Registers;

                /// The command of this module.
                pub const COMMAND: super::Command = super::Command::$command;

                define_fields! {
                    #[doc = concat!("Operands of ", $name, ".")]
                    Input { $($in: $in_type = $in_doc,)* }
                }

                define_fields! {
                    #[doc = concat!("Results of ", $name, " beside X0.")]
                    Output { $($out: $out_type = $out_doc,)* }
                }

                impl Input {
                    /// Takes the operands from the registers of a call.
                    #[must_use]
                    #[inline]
                    pub fn decode(registers: &Registers) -> Self {
                        <Self as $crate::Fields>::take(&registers.0[1..])
                    }

                    /// The registers of a call with these operands; all others are zero.
                    #[must_use]
                    #[inline]
                    pub fn encode(&self) -> Registers {
                        let mut registers = Registers::default();
                        registers.0[0] = $fid;
                        <Self as $crate::Fields>::put(self, &mut registers.0[1..]);
                        registers
                    }
                }

                impl Output {
                    /// Takes the results from the registers after a call.
                    #[must_use]
                    #[inline]
                    pub fn decode(registers: &Registers) -> Self {
                        <Self as $crate::Fields>::take(&registers.0[1..])
                    }
                }

                #[doc = concat!("Failure conditions of ", $name, ", in evaluation order.")]
                #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
                pub enum Condition {
                    $(#[doc = concat!("The specification's `", $tag, "`.")] $condition,)*
                }

                impl $crate::Condition for Condition {
                    type Kind = FailureKind;
                    const ALL: &'static [Self] = &[$(Self::$condition,)*];

                    fn name(self) -> &'static str {
                        match self { $(Self::$condition => $tag,)* }
                    }

                    #[inline]
                    fn kind(self) -> FailureKind {
                        match self { $(Self::$condition => FailureKind::$($kind)*,)* }
                    }
                }
            }
        )*
    };
}
