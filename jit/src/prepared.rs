//! Frames that own what they point to, so that a request is prepared once and run often.
//!
//! A fence around one kind of unsafe code: a frame points into memory that it shares or owns.

#![allow(unsafe_code)]

use crate::emit::answer;
use crate::session::FusedOutcomes;
use crate::unit::{BatchFunction, FrameFunction, FusedFunction};
use cedarjit_ir::abi::{EntityHeader, Frame, FrameRest, ValuePair};
use cedarjit_ir::ancestors::Ancestors;
use cedarjit_ir::expr::Var;
use cedarjit_ir::headers::HeaderTable;
use cedarjit_ir::heap::{Heap, HeapRef, SPACES, Space};
use cedarjit_ir::ids::EntityId;
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// How many entities' headers are read at the same time, before code decides about them.
const ABREAST: usize = 32;

/// What compiled code reads of the entities of one snapshot.
///
/// While a [`PreparedFrame`] shares it, nobody can change what code reads of it. Clones of the
/// heap and of the ancestors share their blocks and may append to them, beyond all words that these
/// have.
#[derive(Clone, Debug)]
pub struct StoreMemory {
    /// The engine's heap.
    pub heap: Heap,
    /// The headers of all interned entities.
    pub headers: HeaderTable,
    /// The ancestors of all entities, which headers refer to.
    pub ancestors: Ancestors,
    /// The attribute table, of `attr_stride` columns.
    pub attr_table: Arc<[u32]>,
    /// How many columns the attribute table has.
    pub attr_stride: usize,
    /// Whether every attribute of every covered shape has its entry.
    pub attr_complete: bool,
}

impl StoreMemory {
    /// Memory without entities.
    pub fn new() -> Self {
        Self {
            heap: Heap::new(Space::Global),
            headers: HeaderTable::new(),
            ancestors: Ancestors::default(),
            attr_table: Arc::default(),
            attr_stride: 0,
            attr_complete: true,
        }
    }

    /// How many shapes the attribute table covers.
    pub fn attr_shapes(&self) -> usize {
        self.attr_table
            .len()
            .checked_div(self.attr_stride)
            .unwrap_or(0)
    }
}

impl Default for StoreMemory {
    fn default() -> Self {
        Self::new()
    }
}

/// What code says of one entity.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(transparent)]
pub struct Answer(u8);

impl Answer {
    /// The entity is of another kind than the code decides about.
    pub const OTHER_KIND: Answer = Answer(answer::OTHER_KIND);

    /// A policy that permits is satisfied.
    #[inline]
    pub fn is_permitted(self) -> bool {
        self.0 & answer::PERMITTED != 0
    }

    /// A policy that forbids is satisfied.
    #[inline]
    pub fn is_forbidden(self) -> bool {
        self.0 & answer::FORBIDDEN != 0
    }

    /// The code evaluated all policies for this entity.
    #[inline]
    pub fn is_complete(self) -> bool {
        self.0 & (answer::GAVE_UP | answer::OTHER_KIND) == 0
    }

    /// The entity is of another kind than the code decides about.
    #[inline]
    pub fn is_other_kind(self) -> bool {
        self.0 & answer::OTHER_KIND != 0
    }
}

/// Sets of entities that code for many looks into.
#[derive(Clone, Copy, Debug)]
pub struct BitSets<'a> {
    /// A bit for each entity by id: the one that stays, if the store has an id for it, and its
    /// ancestors.
    pub members: &'a [u64],
    /// For each 64 entities by id one word of each [`Lookup`](crate::Lookup) of the code, in their
    /// order: a bit says whether the answer is yes. Empty for code that looks nothing up.
    pub lookups: &'a [u64],
}

/// A request's part of a frame.
#[derive(Clone, Copy, Debug)]
pub struct RequestParts<'a> {
    /// The principal.
    pub principal: EntityId,
    /// The action.
    pub action: EntityId,
    /// The resource.
    pub resource: EntityId,
    /// The context record.
    pub context: HeapRef,
    /// What the request brings along that the store does not have.
    pub local: Option<LocalParts<'a>>,
}

/// What a request brings along.
#[derive(Clone, Copy, Debug)]
pub struct LocalParts<'a> {
    /// The headers of its local entities.
    pub headers: &'a HeaderTable,
    /// Its heap.
    pub heap: &'a Heap,
}

/// What a request is about, for whoever looks for its policies.
#[derive(Clone, Copy, Debug)]
pub struct About<'a> {
    /// The principal's header.
    pub principal: &'a EntityHeader,
    /// The action.
    pub action: EntityId,
    /// The resource's header.
    pub resource: &'a EntityHeader,
}

/// A request's frame: code that calls no builtin runs on it as it is, any other in a
/// [`Session`](crate::Session) that starts from it.
#[derive(Debug)]
#[repr(C)]
pub struct PreparedFrame {
    /// First, where whoever holds the whole has it in the same cache line. Its pointers are valid
    /// unless that to the principal's header is null: they lead into the tables of `memory`.
    frame: Frame,
    memory: Box<FrameMemory>,
}

/// What a prepared frame leads to.
#[derive(Debug)]
struct FrameMemory {
    store: Arc<StoreMemory>,
    /// Belongs to the request, which keeps no other copy.
    context_slots: Vec<ValuePair>,
    local_headers: HeaderTable,
    /// The words of the request's heap.
    heap: Vec<u64>,
    /// What the frame points to and no session writes to: it follows from the store, and so a clone
    /// shares it. Many requests then find it in the cache.
    rest: Arc<SharedRest>,
}

/// The part of a frame that is the same for all requests to one store.
#[derive(Debug)]
#[repr(transparent)]
struct SharedRest(FrameRest);

// SAFETY: nobody writes to it, and its pointers, which lead into the store's memory, are followed only
// by code that runs on a frame that shares that memory.
unsafe impl Send for SharedRest {}
// SAFETY: as above.
unsafe impl Sync for SharedRest {}

impl FrameMemory {
    /// Takes over what the request brings along. False if its heap is none of a request.
    #[inline(never)]
    fn copy(&mut self, local: LocalParts<'_>) -> bool {
        self.local_headers.clear();
        self.local_headers.extend(local.headers.iter().copied());
        self.heap.clear();
        // Nothing refers to the first word of an empty heap.
        if !local.heap.is_empty() {
            let words = local.heap.words().iter();
            let words = words.map(|word| word.load(Ordering::Relaxed));
            self.heap.extend(words);
        }
        local.heap.space() == Space::Request
    }
}

// SAFETY: the pointers lead into memory that the frame owns or shares through an `Arc`, all of it
// `Send` and `Sync`; what the frame owns changes only through `&mut self`, and code that runs on `&self`
// only reads.
unsafe impl Send for PreparedFrame {}
// SAFETY: as above.
unsafe impl Sync for PreparedFrame {}

impl Clone for PreparedFrame {
    /// A frame for the same request, which points into vectors of its own.
    fn clone(&self) -> Self {
        let FrameMemory { store, rest, .. } = &*self.memory;
        let mut clone = Self::with(Arc::clone(store), Arc::clone(rest));
        let (memory, own) = (&mut clone.memory, &self.memory);
        memory.context_slots.clone_from(&own.context_slots);
        memory.local_headers = own.local_headers.clone();
        memory.heap.clone_from(&own.heap);
        if !self.frame.principal_header.is_null() {
            let Frame {
                principal,
                action,
                resource,
                context,
                ..
            } = self.frame;
            let ids = [principal, action, resource].map(EntityId);
            // What was possible for the original is for its clone.
            let _ = clone.point(ids, HeapRef(context));
        }
        clone
    }
}

impl PreparedFrame {
    /// A frame that is not prepared for any request.
    pub fn new(store: Arc<StoreMemory>) -> Self {
        let rest = FrameRest {
            attr_table: store.attr_table.as_ptr(),
            attr_stride: store.attr_stride as u64,
            attr_shapes: store.attr_shapes() as u64,
            attr_complete: u32::from(store.attr_complete),
            broken: 0,
            builtins: ptr::null(),
            host: ptr::null_mut(),
            result_tag: 0,
            result_word: 0,
        };
        Self::with(store, Arc::new(SharedRest(rest)))
    }

    /// As [`new`](Self::new), where `rest` is what follows from the store.
    fn with(store: Arc<StoreMemory>, rest: Arc<SharedRest>) -> Self {
        Self {
            frame: Frame {
                principal: 0,
                resource: 0,
                principal_header: ptr::null(),
                resource_header: ptr::null(),
                ancestors: store.ancestors.base(),
                // Code that calls no builtin builds no value.
                heaps: [store.heap.base(); SPACES],
                context_slots: ptr::null(),
                headers: [store.headers.address(), ptr::null()],
                action: 0,
                context: 0,
                rest: ptr::null_mut(),
            },
            memory: Box::new(FrameMemory {
                store,
                context_slots: Vec::new(),
                local_headers: HeaderTable::new(),
                heap: Vec::new(),
                rest,
            }),
        }
    }

    /// Forgets the request.
    pub fn clear(&mut self) {
        self.frame.principal_header = ptr::null();
    }

    /// The context attributes that policies read, by slot.
    pub fn context_slots(&self) -> &[ValuePair] {
        &self.memory.context_slots
    }

    /// The context attributes that policies read, to be changed before the frame is prepared
    /// (again): from here on it is not.
    pub fn context_slots_mut(&mut self) -> &mut Vec<ValuePair> {
        self.clear();
        &mut self.memory.context_slots
    }

    /// Prepares for a request whose context slots are there already. Allocates only while the
    /// frame's own memory grows to size.
    ///
    /// The headers of principal, action and resource. `None` for a request that names entities which
    /// neither it nor the store has: that cannot be prepared, and is interpreted.
    #[inline]
    pub fn prepare(&mut self, parts: RequestParts<'_>) -> Option<[&EntityHeader; 3]> {
        self.clear();
        match parts.local {
            Some(local) => self.memory.copy(local).then_some(())?,
            None => {
                self.memory.local_headers.clear();
                self.memory.heap.clear();
            }
        }
        self.point(
            [parts.principal, parts.action, parts.resource],
            parts.context,
        )
    }

    /// Points the frame into the vectors, if everything that it starts from leads somewhere.
    #[inline]
    fn point(&mut self, ids: [EntityId; 3], context: HeapRef) -> Option<[&EntityHeader; 3]> {
        let FrameMemory {
            store,
            context_slots,
            local_headers,
            heap: own,
            rest,
        } = &mut *self.memory;
        let header = |id: EntityId| match id.is_local() {
            true => local_headers.get(id.local_index()),
            false => store.headers.get(id.index()),
        };
        let [principal, action, resource] = ids;
        let headers = [header(principal)?, header(action)?, header(resource)?];
        let words = match context.space() {
            0 => store.heap.word_count(),
            2 => own.len(),
            _ => return None,
        };
        if context.offset() >= words || !context.is_some() {
            return None;
        }
        let frame = &mut self.frame;
        (frame.principal_header, frame.resource_header) = (headers[0], headers[2]);
        frame.principal = principal.0;
        frame.action = action.0;
        frame.resource = resource.0;
        frame.context = context.0;
        frame.context_slots = context_slots.as_ptr();
        frame.heaps[Space::Request as usize] = own.as_ptr();
        frame.headers[1] = local_headers.address();
        frame.rest = Arc::as_ptr(rest).cast::<FrameRest>().cast_mut();
        Some(headers)
    }

    /// Exchanges the principal, or else the resource, of a prepared frame for an entity of the
    /// store; whether that could be done. Cheaper than preparing the whole.
    #[inline]
    pub fn exchange(&mut self, varied: Var, entity: EntityId) -> bool {
        let Some(header) = self.memory.store.headers.get(entity.index()) else {
            return false;
        };
        let frame = &mut self.frame;
        if frame.principal_header.is_null() {
            return false;
        }
        if varied == Var::Principal {
            (frame.principal, frame.principal_header) = (entity.0, header);
        } else {
            (frame.resource, frame.resource_header) = (entity.0, header);
        }
        true
    }

    /// What a session's frame starts from; `None` if the frame is not prepared.
    #[inline]
    pub(crate) fn parts(&self) -> Option<(&Frame, &FrameRest)> {
        if self.frame.principal_header.is_null() {
            return None;
        }
        // SAFETY: a prepared frame leads to `memory.rest`, which is borrowed with `self` and which
        // nothing writes to: sessions write to copies.
        Some((&self.frame, unsafe { &*self.frame.rest }))
    }

    /// What the request is about; `None` if the frame is not prepared.
    #[inline]
    pub fn about(&self) -> Option<About<'_>> {
        let Frame {
            principal_header,
            resource_header,
            action,
            ..
        } = self.frame;
        if principal_header.is_null() {
            return None;
        }
        // SAFETY: the headers of a prepared frame are in tables that it owns or shares, borrowed
        // with `self` and unchanged since.
        let (principal, resource) = unsafe { (&*principal_header, &*resource_header) };
        Some(About {
            principal,
            action: EntityId(action),
            resource,
        })
    }

    /// Evaluates fused policies.
    ///
    /// What the code relies on must hold for the store and the request. `None` if the frame is not
    /// prepared, if the code gave up, or if it calls builtins: that needs a
    /// [`Session`](crate::Session).
    #[inline]
    pub fn run(&self, function: &FusedFunction) -> Option<FusedOutcomes> {
        if self.frame.principal_header.is_null() || function.calls_builtins() {
            return None;
        }
        // SAFETY: code that calls no builtin writes nothing to the frame, so that one behind a shared
        // borrow may be passed. Its pointers are valid, as `prepare` made them from memory that
        // `self` owns or shares and that has not changed since; what the code reads through them is
        // as in `Session::run`.
        unsafe { function.call((&raw const self.frame).cast_mut()) }
    }

    /// As [`run`](Self::run), for code that asks for no more than a frame.
    #[inline]
    pub fn run_alone(&self, function: &FrameFunction) -> Option<FusedOutcomes> {
        if self.frame.principal_header.is_null() {
            return None;
        }
        // SAFETY: as in `run`.
        unsafe { function.call((&raw const self.frame).cast_mut()) }
    }

    /// Evaluates policies for many entities in place of the principal or the resource.
    ///
    /// What the code relies on must hold for the store, for the other one of the two and for the
    /// action. `sets` must be right for them. `answers` gets an answer for each id. All answers
    /// together; `None` if the frame is not prepared, or an id or a bit set does not fit the store:
    /// then nothing is evaluated. O(n).
    pub fn run_batch(
        &self,
        function: &BatchFunction,
        ids: &[EntityId],
        sets: BitSets<'_>,
        answers: &mut [Answer],
    ) -> Option<Answer> {
        let headers = self.memory.store.headers.len();
        let words = headers.div_ceil(u64::BITS as usize);
        // Without a branch, so that several are compared at a time.
        let highest = ids.iter().fold(0, |highest, id| id.0.max(highest));
        if self.frame.principal_header.is_null()
            || EntityId(highest).index() >= headers
            || sets.members.len() < words
            || sets.lookups.len() < words * function.looked_up()
            || answers.len() != ids.len()
        {
            return None;
        }
        let code = function.entry();
        let mut all = 0;
        let mut next = ids.chunks(ABREAST);
        next.by_ref().take(1).for_each(|ids| self.read_ahead(ids));
        for (ids, answers) in ids.chunks(ABREAST).zip(answers.chunks_mut(ABREAST)) {
            next.by_ref().take(1).for_each(|ids| self.read_ahead(ids));
            // SAFETY: `code` is the entry of a function that this crate compiled with exactly this
            // signature, and its memory lives as long as `function`. It calls no builtin and writes
            // nothing but one byte of `answers` for each id, so a frame behind a shared borrow may
            // be passed. `ids` and `answers` have `ids.len()` elements, at least one; both types
            // are transparent over what the code takes them for. Each id has a header in the
            // store's table, and the code reads the entity's attributes only after it has seen in
            // the header that the entity is of the kind that its facts are about. The bit set has a
            // bit for every header, hence for every entity that a stored attribute names, and only
            // those are looked up in it; so have the other bit sets, and only `ids` are looked up in
            // them. The frame's pointers are valid as in `run`.
            all |= unsafe {
                code(
                    (&raw const self.frame).cast_mut(),
                    ids.as_ptr().cast::<u32>(),
                    answers.as_mut_ptr().cast::<u8>(),
                    ids.len() as u64,
                    sets.members.as_ptr(),
                    sets.lookups.as_ptr(),
                )
            };
        }
        Some(Answer(all as u8))
    }

    /// Asks for the headers of entities that code will soon be run for, so that it does not wait for
    /// each. Those that are next to one another the processor reads ahead itself.
    fn read_ahead(&self, ids: &[EntityId]) {
        let near = |(first, last): (&EntityId, &EntityId)| {
            first.0.abs_diff(last.0) as usize <= 2 * ABREAST
        };
        if ids.first().zip(ids.last()).is_some_and(near) {
            return;
        }
        let headers = &self.memory.store.headers;
        let headers = ids.iter().filter_map(|id| headers.get(id.index()));
        headers.for_each(prefetch);
    }
}

/// Asks for the cache line in which a header starts, without waiting for it.
#[inline]
fn prefetch(header: &EntityHeader) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: nothing is read that the program could see, and no address is wrong.
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T0>(ptr::from_ref(header).cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    std::hint::black_box(header.attrs);
}
