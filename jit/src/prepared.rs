//! Frames that own what they point to, so that a request is prepared once and run often.
//!
//! A fence around one kind of unsafe code: a frame points into memory that it shares or owns.

#![allow(unsafe_code)]

use crate::session::FusedOutcomes;
use crate::unit::FusedFunction;
use cedarjit_ir::abi::{AncestorBucket, EntityHeader, Frame, FrameRest, ValuePair};
use cedarjit_ir::heap::{Heap, HeapRef, SPACES, Space};
use cedarjit_ir::ids::EntityId;
use std::ptr;
use std::sync::Arc;

/// What compiled code reads of the entities of one snapshot.
///
/// While a [`PreparedFrame`] shares it, nobody can change it: it has no interior mutability.
#[derive(Clone, Debug)]
pub struct StoreMemory {
    /// The engine's heap.
    pub heap: Heap,
    /// The headers of all interned entities.
    pub headers: Vec<EntityHeader>,
    /// The ancestors of all entities, which headers refer to.
    pub ancestors: Vec<AncestorBucket>,
    /// The attribute table, of `attr_stride` columns.
    pub attr_table: Vec<u32>,
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
            headers: Vec::new(),
            ancestors: vec![AncestorBucket::EMPTY],
            attr_table: Vec::new(),
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
    /// The context attributes that policies read.
    pub context_slots: &'a [ValuePair],
    /// The headers of the request's local entities.
    pub local_headers: &'a [EntityHeader],
    /// The request's heap.
    pub heap: &'a Heap,
}

/// A frame for code that calls no builtin.
#[derive(Debug)]
#[repr(C)]
pub struct PreparedFrame {
    /// First, where whoever holds the whole has it in the same cache line. Its pointers are valid
    /// unless that to the principal's header is null: they lead into the vectors of `memory`.
    frame: Frame,
    memory: Box<FrameMemory>,
}

/// What a prepared frame leads to.
#[derive(Debug)]
struct FrameMemory {
    store: Arc<StoreMemory>,
    context_slots: Vec<ValuePair>,
    local_headers: Vec<EntityHeader>,
    /// The words of the request's heap.
    heap: Vec<u64>,
    /// One element. The frame points to it, and a vector, unlike a box, does not claim to be the
    /// only way to what it owns.
    rest: Vec<FrameRest>,
}

// SAFETY: the pointers lead into memory that the frame owns or shares through an `Arc`, all of it
// `Send` and `Sync`; it changes only through `&mut self`, and code that runs on `&self` only reads.
unsafe impl Send for PreparedFrame {}
// SAFETY: as above.
unsafe impl Sync for PreparedFrame {}

impl Clone for PreparedFrame {
    /// A frame for the same request, which points into vectors of its own.
    fn clone(&self) -> Self {
        let mut clone = Self::new(Arc::clone(&self.memory.store));
        let (memory, own) = (&mut clone.memory, &self.memory);
        memory.context_slots.clone_from(&own.context_slots);
        memory.local_headers.clone_from(&own.local_headers);
        memory.heap.clone_from(&own.heap);
        if !self.frame.principal_header.is_null() {
            let Frame {
                principal,
                action,
                resource,
                context,
                ..
            } = self.frame;
            let ids = [principal, action, resource].map(|id| EntityId(id as u32));
            // What was possible for the original is for its clone.
            let _ = clone.point(ids, HeapRef(context as u32));
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
            attr_complete: u64::from(store.attr_complete),
            builtins: ptr::null(),
            host: ptr::null_mut(),
            result_tag: 0,
            result_word: 0,
            broken: 0,
        };
        Self {
            frame: Frame {
                principal: 0,
                resource: 0,
                principal_header: ptr::null(),
                resource_header: ptr::null(),
                ancestors: store.ancestors.as_ptr(),
                // Code that calls no builtin builds no value.
                heaps: [store.heap.words().as_ptr(); SPACES],
                context_slots: ptr::null(),
                headers: [store.headers.as_ptr(), ptr::null()],
                action: 0,
                context: 0,
                rest: ptr::null_mut(),
            },
            memory: Box::new(FrameMemory {
                store,
                context_slots: Vec::new(),
                local_headers: Vec::new(),
                heap: Vec::new(),
                rest: vec![rest],
            }),
        }
    }

    /// Forgets the request.
    pub fn clear(&mut self) {
        self.frame.principal_header = ptr::null();
    }

    /// Prepares for a request. Allocates only while the frame's own memory grows to size.
    ///
    /// A request that names entities which neither it nor the store has cannot be prepared.
    pub fn prepare(&mut self, parts: RequestParts<'_>) {
        self.clear();
        let memory = &mut *self.memory;
        memory.context_slots.clear();
        memory.context_slots.extend_from_slice(parts.context_slots);
        memory.local_headers.clear();
        memory.local_headers.extend_from_slice(parts.local_headers);
        memory.heap.clear();
        // Nothing refers to the first word of an empty heap.
        if !parts.heap.is_empty() {
            memory.heap.extend_from_slice(parts.heap.words());
        }
        if parts.heap.space() == Space::Request {
            let ids = [parts.principal, parts.action, parts.resource];
            // Where that cannot be, the request is evaluated in a session.
            let _ = self.point(ids, parts.context);
        }
    }

    /// Points the frame into the vectors, if everything that it starts from leads somewhere.
    fn point(&mut self, ids: [EntityId; 3], context: HeapRef) -> Option<()> {
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
        header(action)?;
        store.ancestors.first()?;
        let heap = match context.space() {
            0 => store.heap.words(),
            2 => own.as_slice(),
            _ => return None,
        };
        heap.get(context.offset()).filter(|_| context.is_some())?;
        let headers = (header(principal)?, header(resource)?);
        let frame = &mut self.frame;
        (frame.principal_header, frame.resource_header) = headers;
        frame.principal = u64::from(principal.0);
        frame.action = u64::from(action.0);
        frame.resource = u64::from(resource.0);
        frame.context = u64::from(context.0);
        frame.context_slots = context_slots.as_ptr();
        frame.heaps[Space::Request as usize] = own.as_ptr();
        frame.headers[1] = local_headers.as_ptr();
        frame.rest = rest.as_mut_ptr();
        Some(())
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
        let code = function.entry();
        let mut failed = 0;
        // SAFETY: `code` is the entry of a function that this crate compiled with exactly this
        // signature, and its memory lives as long as `function`. Code that calls no builtin writes
        // to `failed` alone, so a frame behind a shared borrow may be passed. The frame's pointers
        // are valid, as `prepare` made them from memory that `self` owns or shares and that has not
        // changed since; what the code reads through them is as in `Session::run`.
        let satisfied = unsafe { code((&raw const self.frame).cast_mut(), &raw mut failed) };
        FusedOutcomes::new(satisfied, failed)
    }
}
