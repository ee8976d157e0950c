//! IR to CLIF.
//!
//! A node becomes SSA values: its word, and its tag where the type is not known. Boolean structure
//! becomes control flow. A node that several others use is computed once where one computation
//! reaches all of them: values computed in a branch are forgotten when the branch ends.
//!
//! Only operations that every Cranelift target has are used: overflow is detected without the
//! overflow-checking instructions, and vectors are used where the processor has them.

mod attr;
mod batch;
mod call;
mod fuse;
mod header;
mod known;
mod logic;
mod lookup;
mod ops;
mod sets;

pub use batch::BatchSource;
pub use fuse::{FusedPolicy, MAX_FUSED};
pub use known::{Attribute, Elements, Facts, Subject, Values};
pub use lookup::{AttrOf, Lookup, Origin, Path, Trail};

use crate::unit::CompileError;
use attr::Guard;
use batch::Subjects;
pub(crate) use batch::{answer, batch_signature, emit_batch};
use cedarjit_ir::abi::{Builtin, Frame, Outcome};
use cedarjit_ir::expr::{BinaryOp, Body, Op, Type as IrType, Var};
use cedarjit_ir::heap::OFFSET_BITS;
use cedarjit_ir::ids::{AttrId, ConstId, NodeId, ShapeId, StrId};
use cedarjit_ir::value::Tag;
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::types::{I32, I64};
use cranelift_codegen::ir::{
    AbiParam, Block, BlockArg, Function as ClifFunction, InstBuilder, MemFlagsData, SigRef,
    Signature, Type, Value,
};
use cranelift_codegen::isa::TargetIsa;
use cranelift_frontend::{FunctionBuilder, FunctionBuilderContext};
pub(crate) use fuse::{FusedCode, MAX_PACKED, emit_fused, fused_signature};
use known::{Known, analyse};
use lookup::LookupTable;
use std::mem::offset_of;

/// The most nodes that a body may have to be compiled; larger ones are interpreted.
pub const MAX_NODES: usize = 20_000;

/// The most stack that a body's set and record literals may take, in bytes.
pub const MAX_STACK_BYTES: usize = 32 * 1024;

/// How the engine numbers what bodies name.
pub trait Symbols {
    /// The interned name of an attribute.
    fn attr_name(&self, attr: &str) -> StrId;
    /// The column of an attribute in the attribute table; `None` if it has none, which makes the
    /// code search the record instead.
    fn attr_column(&self, attr: &str) -> Option<AttrId>;
    /// The position of a context attribute in the frame's context slots, if it has one.
    fn context_slot(&self, attr: &str) -> Option<usize>;
    /// The shape of a record literal with these attributes.
    fn record(&self, attrs: &[&str]) -> RecordSymbol;
}

/// The shape of a record literal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordSymbol {
    /// The shape.
    pub shape: ShapeId,
    /// For each attribute of the literal, in order, its position in the shape.
    pub positions: Vec<usize>,
}

/// What code is generated for.
#[derive(Clone, Copy)]
pub(crate) struct Target<'a> {
    pub(crate) isa: &'a dyn TargetIsa,
    /// Whether to use vectors of four 32-bit integers.
    pub(crate) vectors: bool,
}

/// Whether a processor has vectors of four 32-bit integers: all do that Cranelift knows but for those
/// of RISC-V without the extension.
pub(crate) fn has_vectors(isa: &dyn TargetIsa) -> bool {
    let mut flags = isa.isa_flags().into_iter();
    let extension = flags.find(|flag| flag.name == "has_v");
    extension.is_none_or(|flag| flag.as_bool() == Some(true))
}

/// The signature of a compiled body: `(frame, constants) -> outcome`.
pub(crate) fn signature(isa: &dyn TargetIsa) -> Signature {
    let mut signature = Signature::new(isa.default_call_conv());
    signature.params.push(AbiParam::new(isa.pointer_type()));
    signature.params.push(AbiParam::new(isa.pointer_type()));
    signature.returns.push(AbiParam::new(I32));
    signature
}

/// Writes the CLIF of a verified body into `func`, whose signature is already set.
pub(crate) fn emit(
    body: &Body,
    symbols: &dyn Symbols,
    target: Target<'_>,
    func: &mut ClifFunction,
    context: &mut FunctionBuilderContext,
) -> Result<(), CompileError> {
    check_size(body)?;
    let mut builder = FunctionBuilder::new(func, context);
    let entry = builder.create_block();
    builder.append_block_params_for_function_params(entry);
    builder.switch_to_block(entry);
    let (frame, consts) = (
        builder.block_params(entry)[0],
        builder.block_params(entry)[1],
    );
    let mut emitter = Emitter::new(builder, target, symbols, frame);
    emitter.start(body, Consts::Table(consts), analyse(body, None, None));
    let fail = emitter.fail;
    let satisfied = emitter.b.create_block();
    let unsatisfied = emitter.b.create_block();
    emitter.branch(body.root, satisfied, unsatisfied);
    emitter.finish(satisfied, Outcome::Satisfied);
    emitter.finish(unsatisfied, Outcome::Unsatisfied);
    emitter.finish(fail, Outcome::Failed);
    let mut builder = emitter.b;
    builder.seal_all_blocks();
    builder.finalize(target.isa.frontend_config());
    Ok(())
}

pub(crate) fn check_size(body: &Body) -> Result<(), CompileError> {
    if body.nodes.len() > MAX_NODES {
        return Err(CompileError::TooLarge {
            what: "number of nodes",
            size: body.nodes.len(),
            limit: MAX_NODES,
        });
    }
    let stack: usize = body
        .nodes
        .iter()
        .map(|node| match &node.op {
            Op::Set(items) => items.len() * PAIR_SIZE,
            Op::Record(fields) => fields.len() * PAIR_SIZE,
            _ => 0,
        })
        .sum();
    if stack > MAX_STACK_BYTES {
        return Err(CompileError::TooLarge {
            what: "stack for set and record literals, in bytes:",
            size: stack,
            limit: MAX_STACK_BYTES,
        });
    }
    Ok(())
}

/// The size of a tag and word pair.
const PAIR_SIZE: usize = 16;

/// The most words that a builtin takes after the frame.
const MAX_ARITY: usize = 3;

/// A value's tag: known while compiling, or computed.
#[derive(Clone, Copy, Debug)]
enum TagOf {
    Known(Tag),
    Computed(Value),
}

/// A node's SSA values.
#[derive(Clone, Copy, Debug)]
struct Operand {
    tag: TagOf,
    word: Value,
}

impl Operand {
    fn known(tag: Tag, word: Value) -> Self {
        Self {
            tag: TagOf::Known(tag),
            word,
        }
    }
}

/// A record object and its shape, wherever it was found.
#[derive(Clone, Copy, Debug)]
struct RecordPlace {
    shape: Value,
    object: Value,
}

/// Where a body's constants are.
#[derive(Clone, Copy, Debug)]
enum Consts<'a> {
    /// At this address.
    Table(Value),
    /// Here: they become part of the code.
    Words(&'a [u64]),
}

struct Emitter<'a, 'f> {
    b: FunctionBuilder<'f>,
    symbols: &'a dyn Symbols,
    frame: Value,
    /// The body being emitted; what follows belongs to it.
    body: &'a Body,
    consts: Consts<'a>,
    /// What is known of each node, and what that follows from, in fused code.
    known: Vec<Known>,
    facts: Option<&'a dyn Facts>,
    /// Where a failed evaluation goes.
    fail: Block,
    /// Where fused code goes that gives up.
    give_up: Option<Block>,
    /// The values of nodes computed so far that reach the current block.
    memo: Vec<Option<Operand>>,
    /// The entities whose headers have a field in the frame.
    headers: Vec<(Value, usize)>,
    /// Principal and resource, in code for many entities.
    subjects: Option<Subjects>,
    /// Where the answers are that are looked up, in code for many entities.
    lookups: Option<LookupTable>,
    /// Which nodes depend on the one of them that varies.
    varies: Vec<bool>,
    /// The nodes in `memo`, in the order they were added.
    trail: Vec<NodeId>,
    /// The attributes that are known to be there in the current block.
    guards: Vec<Guard>,
    builtin_signatures: [Option<SigRef>; MAX_ARITY + 1],
    pointer: Type,
    target: Target<'a>,
}

/// Memory that does not change while a body runs.
fn constant_memory() -> MemFlagsData {
    MemFlagsData::trusted().with_readonly().with_can_move()
}

/// Memory that does not change while a body runs, at an address that is valid only where the code
/// has checked it.
fn checked_memory() -> MemFlagsData {
    MemFlagsData::trusted().with_readonly()
}

/// As [`checked_memory`], of words that are read as a vector.
fn unaligned_memory() -> MemFlagsData {
    MemFlagsData::new().with_notrap().with_readonly()
}

impl<'a, 'f> Emitter<'a, 'f> {
    fn new(
        mut b: FunctionBuilder<'f>,
        target: Target<'a>,
        symbols: &'a dyn Symbols,
        frame: Value,
    ) -> Self {
        const NOTHING: &Body = &Body {
            consts: Vec::new(),
            nodes: Vec::new(),
            root: NodeId(0),
        };
        let fail = b.create_block();
        Self {
            b,
            symbols,
            frame,
            body: NOTHING,
            consts: Consts::Words(&[]),
            known: Vec::new(),
            facts: None,
            fail,
            give_up: None,
            memo: Vec::new(),
            headers: Vec::new(),
            subjects: None,
            lookups: None,
            varies: Vec::new(),
            trail: Vec::new(),
            guards: Vec::new(),
            builtin_signatures: [None; MAX_ARITY + 1],
            pointer: target.isa.pointer_type(),
            target,
        }
    }

    /// Turns to a body; what was computed for another is forgotten.
    fn start(&mut self, body: &'a Body, consts: Consts<'a>, known: Vec<Known>) {
        self.body = body;
        self.consts = consts;
        self.known = known;
        self.fail = self.b.create_block();
        self.b.set_cold_block(self.fail);
        self.memo = vec![None; body.nodes.len()];
        self.trail.clear();
        self.headers.clear();
    }

    /// Ends the current block by giving up, in fused code: where something rare would take a
    /// builtin, each policy is better run by itself than all of them in a session.
    fn gave_up(&mut self) -> bool {
        if let Some(give_up) = self.give_up {
            self.b.ins().jump(give_up, &[]);
        }
        self.give_up.is_some()
    }

    fn calls_builtins(&self) -> bool {
        self.builtin_signatures.iter().any(Option::is_some)
    }

    fn known(&self, id: NodeId) -> Known {
        self.known.get(id.index()).copied().unwrap_or_default()
    }
}

impl Emitter<'_, '_> {
    fn finish(&mut self, block: Block, outcome: Outcome) {
        self.b.switch_to_block(block);
        let code = self.b.ins().iconst(I32, outcome as i64);
        self.b.ins().return_(&[code]);
    }

    fn iconst(&mut self, n: i64) -> Value {
        self.b.ins().iconst(I64, n)
    }

    /// A 64-bit 0 or 1 from a comparison's 8-bit result.
    fn widen(&mut self, flag: Value) -> Value {
        self.b.ins().uextend(I64, flag)
    }

    fn compare_const(&mut self, cc: IntCC, x: Value, n: i64) -> Value {
        let n = self.iconst(n);
        self.b.ins().icmp(cc, x, n)
    }

    fn add_const(&mut self, x: Value, n: i64) -> Value {
        let n = self.iconst(n);
        self.b.ins().iadd(x, n)
    }

    fn shift_left(&mut self, x: Value, by: i64) -> Value {
        let by = self.iconst(by);
        self.b.ins().ishl(x, by)
    }

    fn shift_right(&mut self, x: Value, by: i64) -> Value {
        let by = self.iconst(by);
        self.b.ins().ushr(x, by)
    }

    fn and_const(&mut self, x: Value, mask: i64) -> Value {
        let mask = self.iconst(mask);
        self.b.ins().band(x, mask)
    }

    /// Loads a frame field that builtins do not change.
    fn frame_field(&mut self, ty: Type, offset: usize) -> Value {
        let frame = self.frame;
        self.b
            .ins()
            .load(ty, constant_memory(), frame, offset as i32)
    }

    /// Loads an id or a reference, as a word.
    fn frame_id(&mut self, offset: usize) -> Value {
        let id = self.frame_field(I32, offset);
        self.b.ins().uextend(I64, id)
    }

    /// Loads a field of the frame's other part that builtins do not change.
    fn rest_field(&mut self, ty: Type, offset: usize) -> Value {
        let rest = self.frame_field(self.pointer, offset_of!(Frame, rest));
        self.b
            .ins()
            .load(ty, constant_memory(), rest, offset as i32)
    }

    /// The address of the `index`-th of an array of 8-byte words.
    fn word_address(&mut self, base: Value, index: Value) -> Value {
        let offset = self.shift_left(index, 3);
        self.b.ins().iadd(base, offset)
    }

    /// Goes on in a new block if `flag` is true, fails otherwise.
    fn require(&mut self, flag: Value) {
        let next = self.b.create_block();
        let fail = self.fail;
        self.b.ins().brif(flag, next, &[], fail, &[]);
        self.b.switch_to_block(next);
    }

    /// Fails always; what is emitted next is never reached.
    fn fail_always(&mut self) {
        let fail = self.fail;
        self.b.ins().jump(fail, &[]);
        let unreachable = self.b.create_block();
        self.b.switch_to_block(unreachable);
    }

    /// Goes on if the operand has this tag, fails otherwise.
    fn require_tag(&mut self, operand: Operand, tag: Tag) {
        match operand.tag {
            TagOf::Known(known) if known == tag => {}
            TagOf::Known(_) => self.fail_always(),
            TagOf::Computed(value) => {
                let same = self.compare_const(IntCC::Equal, value, tag as i64);
                self.require(same);
            }
        }
    }

    /// Ends the current block by the tag: fails unless it is an entity's or `other`. Returns the
    /// blocks for an entity and for `other`.
    fn entity_or(&mut self, tag: Value, other: Tag) -> (Block, Block) {
        let (entity, rest, matching) = (
            self.b.create_block(),
            self.b.create_block(),
            self.b.create_block(),
        );
        let is_entity = self.compare_const(IntCC::Equal, tag, Tag::Entity as i64);
        self.b.ins().brif(is_entity, entity, &[], rest, &[]);
        self.b.switch_to_block(rest);
        let is_other = self.compare_const(IntCC::Equal, tag, other as i64);
        let fail = self.fail;
        self.b.ins().brif(is_other, matching, &[], fail, &[]);
        (entity, matching)
    }

    fn tag_value(&mut self, tag: TagOf) -> Value {
        match tag {
            TagOf::Known(tag) => self.iconst(tag as i64),
            TagOf::Computed(value) => value,
        }
    }

    /// The word of an operand that must have this tag.
    fn word_of(&mut self, id: NodeId, tag: Tag) -> Value {
        let operand = self.operand(id);
        self.require_tag(operand, tag);
        operand.word
    }

    fn mark(&self) -> usize {
        self.trail.len()
    }

    /// Forgets the values computed since `mark`, which do not reach what comes next.
    fn forget_since(&mut self, mark: usize) {
        for id in self.trail.drain(mark..) {
            self.memo[id.index()] = None;
        }
    }

    fn remember(&mut self, id: NodeId, operand: Operand) {
        self.memo[id.index()] = Some(operand);
        self.trail.push(id);
    }

    /// The values of a node, computed here unless an earlier computation reaches this block.
    fn operand(&mut self, id: NodeId) -> Operand {
        if let Some(known) = self.memo[id.index()] {
            return known;
        }
        let body = self.body;
        let node = body.node(id);
        let known = self.known(id);
        let operand = match &node.op {
            _ if known.values.tag == Some(Tag::Bool) && known.word.is_some() => {
                let word = self.iconst(i64::from(known.word != Some(0)));
                Operand::known(Tag::Bool, word)
            }
            _ if let (Some(table), Some(place)) = (self.lookups, known.lookup) => {
                self.look_up(table, place)
            }
            Op::And(items) if known.cost.is_some() => self.flags(items, true),
            Op::Or(items) if known.cost.is_some() => self.flags(items, false),
            Op::Binary(BinaryOp::In, a, b) if known.cost.is_some() => {
                self.is_in(*a, *b, known.flat)
            }
            Op::Binary(BinaryOp::Contains, a, b) if known.cost.is_some() => {
                self.contains_few(*a, *b)
            }
            Op::GetAttr(a, _) if known.place.is_some() => self.read_place(*a, known),
            Op::Const(c) => self.constant(*c, node.ty),
            Op::Bool(b) => {
                let word = self.iconst(i64::from(*b));
                Operand::known(Tag::Bool, word)
            }
            Op::Var(var) => self.variable(*var),
            Op::Unary(op, a) => self.unary(*op, *a),
            Op::And(_) | Op::Or(_) => self.materialise(id),
            Op::Binary(op, a, b) => self.binary(id, *op, *a, *b),
            Op::If(c, t, e) => self.conditional(*c, *t, *e, node.ty),
            Op::GetAttr(a, attr) => self.get_attr(*a, attr, node.ty.tag()),
            Op::HasAttr(a, attr) => self.has_attr(*a, attr),
            Op::Like(a, c) => {
                let text = self.word_of(*a, Tag::String);
                let pattern = self.constant_word(*c);
                self.call_bool(Builtin::Like, &[text, pattern])
            }
            Op::Is(a, c) => self.is_type(*a, *c),
            Op::Set(items) => self.set(items),
            Op::Record(fields) => self.record(fields),
            Op::Call(func, args) => self.call_function(*func, args),
        };
        self.remember(id, operand);
        operand
    }

    fn constant_word(&mut self, c: ConstId) -> Value {
        match self.consts {
            Consts::Table(consts) => {
                let offset = (c.index() * 8) as i32;
                self.b.ins().load(I64, constant_memory(), consts, offset)
            }
            // Whoever gives the words gives as many as the body has constants.
            Consts::Words(words) => {
                let word = words.get(c.index()).copied().unwrap_or(0);
                self.iconst(word.cast_signed())
            }
        }
    }

    fn constant(&mut self, c: ConstId, ty: IrType) -> Operand {
        let word = self.constant_word(c);
        // The verifier admits constants of exact types only.
        Operand::known(ty.tag().unwrap_or(Tag::Absent), word)
    }

    fn variable(&mut self, var: Var) -> Operand {
        if let Some((id, _)) = self.subjects.and_then(|subjects| subjects.get(var)) {
            return Operand::known(Tag::Entity, id);
        }
        let (tag, offset) = match var {
            Var::Principal => (Tag::Entity, offset_of!(Frame, principal)),
            Var::Action => (Tag::Entity, offset_of!(Frame, action)),
            Var::Resource => (Tag::Entity, offset_of!(Frame, resource)),
            Var::Context => (Tag::Record, offset_of!(Frame, context)),
        };
        let word = self.frame_id(offset);
        match var {
            Var::Principal => (self.headers).push((word, offset_of!(Frame, principal_header))),
            Var::Resource => (self.headers).push((word, offset_of!(Frame, resource_header))),
            Var::Action | Var::Context => {}
        }
        Operand::known(tag, word)
    }

    /// The address of an object on the global heap.
    fn global_object(&mut self, reference: Value) -> Value {
        let global = self.frame_field(self.pointer, offset_of!(Frame, heaps));
        self.word_address(global, reference)
    }

    /// The address of an object from a reference to it.
    fn heap_object(&mut self, reference: Value) -> Value {
        // A builtin that grows the scratch heap renews its base, so this load must not move; where
        // many entities are decided about, there are no builtins.
        let memory = match self.subjects {
            Some(_) => checked_memory(),
            None => MemFlagsData::trusted(),
        };
        self.object_through(reference, memory)
    }

    /// The address of an object, where the heap's base is read as `memory` allows.
    fn object_through(&mut self, reference: Value, memory: MemFlagsData) -> Value {
        let space = self.shift_right(reference, i64::from(OFFSET_BITS));
        let scale = i64::from(self.pointer.bytes().trailing_zeros());
        let slot = self.shift_left(space, scale);
        let frame = self.frame;
        let slot = self.b.ins().iadd(frame, slot);
        let base = self
            .b
            .ins()
            .load(self.pointer, memory, slot, offset_of!(Frame, heaps) as i32);
        let offset = self.and_const(reference, (1 << OFFSET_BITS) - 1);
        self.word_address(base, offset)
    }
}

/// A block argument.
fn arg(value: Value) -> BlockArg {
    BlockArg::Value(value)
}
