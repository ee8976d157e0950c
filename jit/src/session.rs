//! Calling compiled code, and receiving its calls.
//!
//! The fence around two kinds of unsafe code: the call into generated code, and the shims that
//! turn the raw arguments of generated code's calls back into a [`Host`] and values.

#![allow(unsafe_code)]

use crate::emit::MAX_PACKED;
use crate::host::Host;
use crate::prepared::PreparedFrame;
use crate::unit::{Function, FusedFunction};
use cedarjit_ir::abi::{Builtin, Frame, FrameRest, Outcome, ValuePair};
use cedarjit_ir::ext::ExtFn;
use cedarjit_ir::heap::{HeapRef, Space};
use cedarjit_ir::ids::{EntityId, PatternId, ShapeId, StrId};
use cedarjit_ir::value::{Tag, Value};
use std::ffi::c_void;
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// One evaluation's frame: runs any number of compiled bodies against one bound request.
///
/// The session borrows everything that compiled code can reach, so nothing of it can move, change
/// or be freed while code runs.
pub struct Session<'a, H: Host> {
    frame: Frame,
    /// Where the frame's `rest` leads while code runs.
    rest: FrameRest,
    lives: PhantomData<(&'a PreparedFrame, &'a mut H)>,
}

const BUILTIN_COUNT: usize = Builtin::ALL.len();

impl<'a, H: Host> Session<'a, H> {
    /// Prepares to evaluate policies for the request that `prepared` was prepared for.
    ///
    /// `None` if it is not prepared; such a request cannot be evaluated.
    #[inline]
    pub fn new(host: &'a mut H, prepared: &'a PreparedFrame) -> Option<Self> {
        let (frame, rest) = prepared.parts()?;
        let mut heaps = frame.heaps;
        heaps[Space::Scratch as usize] = host.scratch().base();
        Some(Session {
            frame: Frame {
                heaps,
                rest: std::ptr::null_mut(),
                ..*frame
            },
            rest: FrameRest {
                builtins: const { &Shims::<H>::TABLE }.as_ptr(),
                host: std::ptr::from_mut(host).cast::<c_void>(),
                ..*rest
            },
            lives: PhantomData,
        })
    }

    /// Evaluates one body with one policy's constants.
    ///
    /// `None` if the code could not do its work: the constants table is too short for the body, or
    /// a builtin panicked. The interpreter must answer then.
    #[inline]
    pub fn run(&mut self, function: &Function, consts: &[u64]) -> Option<Outcome> {
        if consts.len() < function.const_count() {
            return None;
        }
        let code = function.entry();
        self.frame.rest = &raw mut self.rest;
        // SAFETY: `code` is the entry of a body that this crate compiled with exactly this
        // signature, and its memory lives as long as `function`. The frame's pointers are those of
        // a prepared frame, which is borrowed as long as `self` lives, except the scratch base,
        // which every shim renews; they are valid for what generated code reads: words of heap
        // objects at offsets that the heaps gave out, headers of ids that the interners gave out,
        // and table entries that are checked against the table's size. The constants table has at
        // least as many words as the body reads, checked above.
        let outcome = unsafe { code(&raw mut self.frame, consts.as_ptr()) };
        if self.rest.broken != 0 {
            self.rest.broken = 0;
            return None;
        }
        Some(match outcome {
            0 => Outcome::Unsatisfied,
            1 => Outcome::Satisfied,
            _ => Outcome::Failed,
        })
    }

    /// Evaluates fused policies.
    ///
    /// What the code relies on must hold for this session's parts. `None` if the code gave up
    /// or a builtin panicked: the policies must be evaluated one by one then.
    #[inline]
    pub fn run_fused(&mut self, function: &FusedFunction) -> Option<FusedOutcomes> {
        self.frame.rest = &raw mut self.rest;
        // SAFETY: as in `run`, but for constants: `Compiler::fuse` made sure that the policies had
        // theirs when they became part of the code. Attributes at fixed places are where the
        // caller's facts say.
        let outcomes = unsafe { function.call(&raw mut self.frame) };
        if self.rest.broken != 0 {
            self.rest.broken = 0;
            return None;
        }
        outcomes
    }
}

/// What fused policies came to, a bit each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FusedOutcomes {
    /// The policies that are satisfied.
    pub satisfied: u64,
    /// The policies that failed.
    pub failed: u64,
}

impl FusedOutcomes {
    /// What fused code returned; `None` if it gave up.
    #[inline]
    pub(crate) fn new(satisfied: u64, failed: u64) -> Option<Self> {
        (satisfied & failed == 0).then_some(Self { satisfied, failed })
    }

    /// What fused code of few policies returned, of those whose bits are in both halves of `some`;
    /// `None` if it gave up.
    #[inline]
    pub(crate) fn unpack(outcomes: u64, some: u64) -> Option<Self> {
        let counted = outcomes & some;
        (outcomes != u64::MAX).then_some(Self {
            satisfied: counted & u64::from(u32::MAX),
            failed: counted >> MAX_PACKED,
        })
    }

    /// Bits of policies, in both halves of a word.
    pub(crate) fn pack(bits: u64) -> u64 {
        let half = bits & u64::from(u32::MAX);
        half | half << MAX_PACKED
    }
}

/// What a shim returns when the evaluation fails, by what it returns otherwise.
const FAILED_VALUE: u64 = 0;
const FAILED_BOOL: u64 = 2;

/// Runs a builtin's body on the host behind `frame`, and renews the scratch base.
///
/// A panic must not unwind into generated code, which has no unwind tables: it marks the frame as
/// broken, and the interpreter answers instead.
///
/// # Safety
/// `frame` must be the frame of a running [`Session<H>`].
#[inline]
unsafe fn with_host<H: Host>(
    frame: *mut Frame,
    body: impl FnOnce(&mut H, &mut FrameRest) -> u64,
) -> u64 {
    // SAFETY: the frame is the running session's, alive for the whole call, and generated code
    // does not touch it while it waits for the shim.
    let frame = unsafe { &mut *frame };
    // SAFETY: as above; `run` and `run_fused` lead the frame to the session's own other part.
    let rest = unsafe { &mut *frame.rest };
    // SAFETY: the session holds the only borrow of the host, as long as it lives, and lends it
    // to one shim at a time: shims do not call generated code.
    let host = unsafe { &mut *rest.host.cast::<H>() };
    let result = catch_unwind(AssertUnwindSafe(|| body(host, rest)));
    frame.heaps[Space::Scratch as usize] = host.scratch().base();
    result.unwrap_or_else(|_| {
        rest.broken = 1;
        0
    })
}

#[inline]
fn give(frame: &mut FrameRest, value: Option<Value>) -> u64 {
    match value {
        Some(value) => {
            frame.result_tag = value.tag as u64;
            frame.result_word = value.word;
            1
        }
        None => FAILED_VALUE,
    }
}

fn fallible(answer: Option<bool>) -> u64 {
    answer.map_or(FAILED_BOOL, u64::from)
}

fn entity(word: u64) -> EntityId {
    EntityId(word as u32)
}

fn string(word: u64) -> StrId {
    StrId(word as u32)
}

fn heap(word: u64) -> HeapRef {
    HeapRef(word as u32)
}

/// The values that generated code put on its stack.
///
/// # Safety
/// `address` must point to `count` pairs, alive and unchanged for `'a`.
unsafe fn pairs<'a>(address: u64, count: u64) -> &'a [ValuePair] {
    if count == 0 {
        return &[];
    }
    // SAFETY: the caller promises `count` pairs; generated code has just stored them in a slot of
    // its own stack frame, aligned to 16 bytes, and waits for the shim.
    unsafe { std::slice::from_raw_parts(address as usize as *const ValuePair, count as usize) }
}

macro_rules! shims {
    ($($name:ident($($arg:ident),*) = |$host:ident, $frame:ident| $body:expr;)*) => {$(
        unsafe extern "C" fn $name<H: Host>(frame: *mut Frame, $($arg: u64),*) -> u64 {
            let body = |$host: &mut H, $frame: &mut FrameRest| -> u64 { $body };
            // SAFETY: generated code passes on the frame that its session called it with.
            unsafe { with_host::<H>(frame, body) }
        }
    )*};
}

shims! {
    get_attr(tag, word, attr) = |host, frame| {
        give(frame, host.get_attr(ValuePair { tag, word }.value(), string(attr)))
    };
    has_attr(tag, word, attr) = |host, _frame| {
        fallible(host.has_attr(ValuePair { tag, word }.value(), string(attr)))
    };
    get_tag(e, key) = |host, frame| give(frame, host.get_tag(entity(e), string(key)));
    has_tag(e, key) = |host, _frame| u64::from(host.has_tag(entity(e), string(key)));
    contains(set, tag, word) = |host, _frame| {
        u64::from(host.contains(heap(set), ValuePair { tag, word }.value()))
    };
    contains_all(a, b) = |host, _frame| u64::from(host.contains_all(heap(a), heap(b)));
    contains_any(a, b) = |host, _frame| u64::from(host.contains_any(heap(a), heap(b)));
    make_set(address, count) = |host, frame| {
        // SAFETY: generated code passes the address and number of the pairs that it stored.
        let elements = unsafe { pairs(address, count) };
        give(frame, host.make_set(elements).map(|r| r.value(Tag::Set)))
    };
    make_record(shape, address, count) = |host, frame| {
        // SAFETY: generated code passes the address and number of the pairs that it stored.
        let values = unsafe { pairs(address, count) };
        let made = host.make_record(ShapeId(shape as u32), values);
        give(frame, made.map(|r| r.value(Tag::Record)))
    };
    like(text, pattern) = |host, _frame| {
        u64::from(host.like(string(text), PatternId(pattern as u32)))
    };
    call_ext(func, a, b) = |host, frame| {
        let result = ExtFn::ALL
            .get(func as usize)
            .and_then(|func| host.call_ext(*func, a, b));
        give(frame, result)
    };
}

/// The shim for a builtin. Its parameters are the frame and [`Builtin::arity`] words.
const fn shim<H: Host>(builtin: Builtin) -> *const c_void {
    match builtin {
        Builtin::GetAttr => get_attr::<H> as *const c_void,
        Builtin::HasAttr => has_attr::<H> as *const c_void,
        Builtin::GetTag => get_tag::<H> as *const c_void,
        Builtin::HasTag => has_tag::<H> as *const c_void,
        Builtin::Contains => contains::<H> as *const c_void,
        Builtin::ContainsAll => contains_all::<H> as *const c_void,
        Builtin::ContainsAny => contains_any::<H> as *const c_void,
        Builtin::MakeSet => make_set::<H> as *const c_void,
        Builtin::MakeRecord => make_record::<H> as *const c_void,
        Builtin::Like => like::<H> as *const c_void,
        Builtin::CallExt => call_ext::<H> as *const c_void,
    }
}

/// Holds the table of shims for one host type.
struct Shims<H>(PhantomData<H>);

impl<H: Host> Shims<H> {
    /// In the order of [`Builtin::ALL`].
    const TABLE: [*const c_void; BUILTIN_COUNT] = {
        let mut table = [std::ptr::null(); BUILTIN_COUNT];
        let mut i = 0;
        while i < BUILTIN_COUNT {
            table[i] = shim::<H>(Builtin::ALL[i]);
            i += 1;
        }
        table
    };
}
