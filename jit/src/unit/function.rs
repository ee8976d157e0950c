//! What is compiled, to be called.

use super::CodeUnit;
use crate::emit::{FusedCode, Lookup};
use crate::session::FusedOutcomes;
use cedarjit_ir::abi::Frame;
use cedarjit_ir::expr::Var;
use std::sync::Arc;

/// The type of a compiled body: `(frame, constants) -> outcome`.
pub(crate) type Entry = unsafe extern "C" fn(*mut Frame, *const u64) -> u32;

/// The type of fused code of many policies: `(frame, failed) -> satisfied`.
pub(super) type WideEntry = unsafe extern "C" fn(*mut Frame, *mut u64) -> u64;

/// The type of fused code of few policies: `(frame) -> outcomes`.
pub(super) type PackedEntry = unsafe extern "C" fn(*mut Frame) -> u64;

/// The type of code for many entities: `(frame, ids, answers, count, members, lookups) -> all
/// answers`.
pub(crate) type BatchEntry =
    unsafe extern "C" fn(*mut Frame, *const u32, *mut u8, u64, *const u64, *const u64) -> u64;

/// A compiled body.
#[derive(Clone, Debug)]
pub struct Function {
    pub(super) entry: Entry,
    pub(super) const_count: usize,
    pub(super) code_size: usize,
    /// Keeps the code's memory.
    pub(super) _unit: Arc<CodeUnit>,
}

impl Function {
    /// The code, to be called only while `self` is borrowed.
    #[inline]
    pub(crate) fn entry(&self) -> Entry {
        self.entry
    }

    /// Where the code is, for looking it up in the process's mappings.
    pub fn address(&self) -> usize {
        self.entry as usize
    }

    /// How many words of constants the body reads.
    #[inline]
    pub fn const_count(&self) -> usize {
        self.const_count
    }

    /// The size of the machine code, in bytes.
    pub fn code_size(&self) -> usize {
        self.code_size
    }
}

/// Where fused code starts, by its signature.
#[derive(Clone, Copy, Debug)]
pub(super) enum FusedEntry {
    Packed(PackedEntry),
    Wide(WideEntry),
}

/// The compiled conditions of several policies.
#[derive(Clone, Debug)]
pub struct FusedFunction {
    pub(super) entry: FusedEntry,
    pub(super) kind: FusedCode,
    pub(super) code_size: usize,
    /// Keeps the code's memory.
    pub(super) _unit: Arc<CodeUnit>,
}

impl FusedFunction {
    /// Runs the code; `None` if it gave up.
    ///
    /// # Safety
    /// What the code reads through the frame must be there, as `Session::run` says; the frame must be
    /// a session's if the code [calls builtins](Self::calls_builtins). It writes to the frame only
    /// then.
    #[inline]
    pub(crate) unsafe fn call(&self, frame: *mut Frame) -> Option<FusedOutcomes> {
        match self.entry {
            // SAFETY: this crate compiled the code with this signature, and its memory lives as long
            // as `self`; the caller vouches for the frame.
            FusedEntry::Packed(code) => FusedOutcomes::unpack(unsafe { code(frame) }, u64::MAX),
            FusedEntry::Wide(code) => {
                let mut failed = 0;
                // SAFETY: as above. The code writes one word to `failed`.
                let satisfied = unsafe { code(frame, &raw mut failed) };
                FusedOutcomes::new(satisfied, failed)
            }
        }
    }

    /// The code by itself, if it is of few policies and calls no builtin. What it finds out about
    /// policies whose bits `applicable` lacks is left out.
    pub fn on_frame(&self, applicable: u64) -> Option<FrameFunction> {
        match self.entry {
            FusedEntry::Packed(entry) if !self.kind.calls_builtins => Some(FrameFunction {
                entry,
                applicable: FusedOutcomes::pack(applicable),
                _unit: Arc::clone(&self._unit),
            }),
            _ => None,
        }
    }

    /// Where the code is, to tell functions apart.
    pub fn address(&self) -> usize {
        match self.entry {
            FusedEntry::Packed(entry) => entry as usize,
            FusedEntry::Wide(entry) => entry as usize,
        }
    }

    /// Whether the code calls builtins.
    #[inline]
    pub fn calls_builtins(&self) -> bool {
        self.kind.calls_builtins
    }

    /// Whether the code has no branches: running it takes as long whatever comes out.
    pub fn is_straight(&self) -> bool {
        self.kind.straight
    }

    /// The size of the machine code, in bytes.
    pub fn code_size(&self) -> usize {
        self.code_size
    }
}

/// The code of a [`FusedFunction`] that runs on a frame without more ado.
#[derive(Clone, Debug)]
pub struct FrameFunction {
    entry: PackedEntry,
    /// The bits of the policies whose outcomes count, in both halves.
    applicable: u64,
    /// Keeps the code's memory.
    _unit: Arc<CodeUnit>,
}

impl FrameFunction {
    /// Runs the code; `None` if it gave up.
    ///
    /// # Safety
    /// What the code reads through the frame must be there. It writes nothing.
    #[inline]
    pub(crate) unsafe fn call(&self, frame: *mut Frame) -> Option<FusedOutcomes> {
        // SAFETY: as in `FusedFunction::call`.
        let outcomes = unsafe { (self.entry)(frame) };
        FusedOutcomes::unpack(outcomes, self.applicable)
    }
}

/// The compiled conditions of several policies, for many entities.
#[derive(Clone, Debug)]
pub struct BatchFunction {
    pub(super) entry: BatchEntry,
    pub(super) varied: Var,
    pub(super) looks_up: bool,
    pub(super) lookups: Vec<Lookup>,
    pub(super) code_size: usize,
    /// Keeps the code's memory.
    pub(super) _unit: Arc<CodeUnit>,
}

impl BatchFunction {
    /// The code, to be called only while `self` is borrowed.
    #[inline]
    pub(crate) fn entry(&self) -> BatchEntry {
        self.entry
    }

    /// Whether the principal varies or the resource.
    pub fn varied(&self) -> Var {
        self.varied
    }

    /// The questions whose answers the code looks up, or could if it were compiled so.
    pub fn lookups(&self) -> &[Lookup] {
        &self.lookups
    }

    /// How many answers the code looks up for each entity.
    pub(crate) fn looked_up(&self) -> usize {
        match self.looks_up {
            true => self.lookups.len(),
            false => 0,
        }
    }

    /// The size of the machine code, in bytes.
    pub fn code_size(&self) -> usize {
        self.code_size
    }
}
