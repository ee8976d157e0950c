//! Fused policies on a host of their own, without the runtime.

mod host;

use cedarjit_ir::abi::ValuePair;
use cedarjit_ir::expr::{Body, Var};
use cedarjit_ir::heap::{Heap, Space};
use cedarjit_ir::ids::{EntityId, TypeId};
use cedarjit_ir::text::parse;
use cedarjit_ir::value::Value;
use cedarjit_jit::{
    Attribute, CompileError, Compiler, Facts, FusedFunction, FusedOutcomes, FusedPolicy, MAX_FUSED,
    PreparedFrame, Session, Subject,
};
use host::{Broken, OneAttr, prepared, request, store};
use std::sync::Arc;

/// Knows nothing.
struct NoFacts;

impl Facts for NoFacts {
    fn subject(&self, _: Var) -> Option<Subject> {
        None
    }
    fn named(&self, _: EntityId) -> Option<Subject> {
        None
    }
    fn attribute(&self, _: TypeId, _: &str) -> Option<Attribute> {
        None
    }
    fn constant_set(&self, _: u64) -> Option<Vec<Value>> {
        None
    }
    fn may_be_in(&self, _: TypeId, _: TypeId) -> bool {
        true
    }
}

const SATISFIED: &str = "v0: bool = true\nreturn v0";
const UNSATISFIED: &str = "v0: bool = false\nreturn v0";
/// Reads an attribute that the principal lacks.
const FAILS: &str = "v0: entity = principal\nv1: any! = get_attr v0, \"a\"\nreturn v1";
const HAS: &str = "v0: entity = principal\nv1: bool = has_attr v0, \"a\"\nreturn v1";
const FROM_CONTEXT: &str = "v0: record = context\nv1: any! = get_attr v0, \"a\"\nreturn v1";
const FROM_CONSTANT: &str = "consts c0: bool\nv0: bool = const c0\nreturn v0";
const BUILDS_A_SET: &str =
    "v0: entity = principal\nv1: set = set v0\nv2: bool = is_empty v1\nreturn v2";

/// A condition and its constants.
type Policy = (&'static str, &'static [u64]);

const fn plain(text: &'static str) -> Policy {
    (text, &[])
}

fn fuse(policies: &[Policy]) -> Result<FusedFunction, CompileError> {
    let bodies = policies.iter().map(|(text, _)| parse(text).unwrap());
    let bodies: Vec<Body> = bodies.collect();
    let fused = bodies.iter().zip(policies);
    let fused = fused.map(|(body, (_, consts))| FusedPolicy { body, consts });
    let fused: Vec<FusedPolicy<'_>> = fused.collect();
    let compiler = Compiler::new().unwrap();
    compiler.fuse(&fused, &OneAttr, &NoFacts)
}

/// What a session makes of the function; if that calls no builtin, the frame agrees, and so does
/// the code by itself.
fn run(function: &FusedFunction, frame: &PreparedFrame) -> Option<FusedOutcomes> {
    let mut host = Broken::new();
    let outcomes = Session::new(&mut host, frame).unwrap().run_fused(function);
    if !function.calls_builtins() {
        assert_eq!(frame.run(function), outcomes);
    }
    if let Some(alone) = function.on_frame(u64::MAX) {
        assert!(!function.calls_builtins());
        assert_eq!(frame.run_alone(&alone), outcomes);
    }
    outcomes
}

fn answers(policies: &[Policy], slot: ValuePair) -> Option<FusedOutcomes> {
    run(&fuse(policies).unwrap(), &prepared(slot, |_| {}))
}

fn outcomes(satisfied: u64, failed: u64) -> Option<FusedOutcomes> {
    Some(FusedOutcomes { satisfied, failed })
}

#[test]
fn each_policy_has_a_bit_for_satisfied_and_one_for_failed() {
    let policies: [Policy; 7] = [
        plain(SATISFIED),
        plain(UNSATISFIED),
        plain(FAILS),
        (FROM_CONSTANT, &[1]),
        (FROM_CONSTANT, &[0]),
        plain(FROM_CONTEXT),
        plain(HAS),
    ];
    for (slot, expected) in [
        (ValuePair::ABSENT, outcomes(0b000_1001, 0b010_0100)),
        (Value::bool(true).into(), outcomes(0b010_1001, 0b000_0100)),
        (Value::bool(false).into(), outcomes(0b000_1001, 0b000_0100)),
        (Value::long(1).into(), outcomes(0b000_1001, 0b010_0100)),
    ] {
        assert_eq!(answers(&policies, slot), expected, "{slot:?}");
    }
    assert_eq!(answers(&[], ValuePair::ABSENT), outcomes(0, 0));
}

#[test]
fn as_many_policies_as_a_word_has_bits() {
    let kinds = [SATISFIED, FAILS, UNSATISFIED, FROM_CONTEXT];
    let kind_of = |bit: usize| bit * 7 % 11 % kinds.len();
    for count in [32, 33, MAX_FUSED] {
        let policies: Vec<Policy> = (0..count).map(|bit| plain(kinds[kind_of(bit)])).collect();
        let bits = |wanted: &[usize]| {
            let bits = (0..count).filter(|bit| wanted.contains(&kind_of(*bit)));
            bits.fold(0, |all, bit| all | 1_u64 << bit)
        };
        let slot = Value::bool(true).into();
        assert_eq!(
            answers(&policies, slot),
            outcomes(bits(&[0, 3]), bits(&[1]))
        );
        let slot = ValuePair::ABSENT;
        assert_eq!(
            answers(&policies, slot),
            outcomes(bits(&[0]), bits(&[1, 3]))
        );
    }
    for (count, all) in [(32, u64::from(u32::MAX)), (MAX_FUSED, u64::MAX)] {
        for (text, expected) in [(SATISFIED, outcomes(all, 0)), (FAILS, outcomes(0, all))] {
            let policies = vec![plain(text); count];
            assert_eq!(answers(&policies, ValuePair::ABSENT), expected);
        }
    }
}

#[test]
fn code_runs_by_itself_if_it_is_of_few_policies() {
    let frame = prepared(ValuePair::ABSENT, |_| {});
    let few = fuse(&[
        plain(SATISFIED),
        plain(FAILS),
        plain(SATISFIED),
        plain(FAILS),
    ])
    .unwrap();
    for (applicable, expected) in [
        (0b1111, outcomes(0b0101, 0b1010)),
        (0b0011, outcomes(0b0001, 0b0010)),
        (0, outcomes(0, 0)),
    ] {
        let alone = few.on_frame(applicable).unwrap();
        assert_eq!(frame.run_alone(&alone), expected);
    }
    let alone = few.on_frame(u64::MAX).unwrap();
    let mut cleared = frame.clone();
    cleared.clear();
    assert_eq!(cleared.run_alone(&alone), None);
    assert!(fuse(&[plain(SATISFIED); 33]).unwrap().on_frame(1).is_none());
    assert!(fuse(&[plain(BUILDS_A_SET)]).unwrap().on_frame(1).is_none());
}

#[test]
fn what_cannot_be_fused_is_refused() {
    let too_many = fuse(&[plain(SATISFIED); MAX_FUSED + 1]);
    assert!(matches!(
        too_many,
        Err(CompileError::TooLarge { size, limit: MAX_FUSED, .. }) if size == MAX_FUSED + 1
    ));
    let missing = fuse(&[plain(SATISFIED), (FROM_CONSTANT, &[])]);
    assert!(matches!(missing, Err(CompileError::MissingConstants)));
    assert!(fuse(&[plain(SATISFIED), (FROM_CONSTANT, &[1])]).is_ok());
}

#[test]
fn code_gives_up_where_the_attribute_table_does_not_know() {
    let function = fuse(&[plain(SATISFIED), plain(HAS)]).unwrap();
    assert!(!function.calls_builtins());
    for (attr_complete, expected) in [(true, outcomes(0b01, 0)), (false, None)] {
        let (mut memory, context) = store();
        memory.attr_complete = attr_complete;
        let mut frame = PreparedFrame::new(Arc::new(memory));
        frame.prepare(request(context, &Heap::new(Space::Request)));
        assert_eq!(run(&function, &frame), expected, "{attr_complete}");
    }
}

#[test]
fn code_that_calls_builtins_runs_in_a_session_only() {
    let function = fuse(&[plain(SATISFIED), plain(BUILDS_A_SET)]).unwrap();
    assert!(function.calls_builtins());
    let frame = prepared(ValuePair::ABSENT, |_| {});
    assert_eq!(frame.run(&function), None);
    let mut host = Broken::new();
    let mut session = Session::new(&mut host, &frame).unwrap();
    // The builtin panics; what runs next is not concerned.
    assert_eq!(session.run_fused(&function), None);
    let other = fuse(&[plain(SATISFIED)]).unwrap();
    assert_eq!(session.run_fused(&other), outcomes(1, 0));
}

#[test]
fn a_clone_of_a_frame_is_a_frame_of_its_own() {
    let function = fuse(&[plain(FROM_CONTEXT), plain(FAILS)]).unwrap();
    let (memory, context) = store();
    let heap = Heap::new(Space::Request);
    let mut frame = PreparedFrame::new(Arc::new(memory));
    assert_eq!(frame.run(&function), None);
    frame.context_slots_mut().push(Value::bool(true).into());
    frame.prepare(request(context, &heap));
    assert_eq!(run(&function, &frame), outcomes(0b01, 0b10));
    let clone = frame.clone();

    frame.context_slots_mut()[0] = Value::bool(false).into();
    assert_eq!(frame.run(&function), None);
    assert_eq!(frame.clone().run(&function), None);
    frame.prepare(request(context, &heap));
    assert_eq!(run(&function, &frame), outcomes(0, 0b10));
    frame.clear();
    assert_eq!(frame.run(&function), None);

    assert_eq!(run(&function, &clone), outcomes(0b01, 0b10));
    drop(frame);
    assert_eq!(run(&function, &clone), outcomes(0b01, 0b10));
}
