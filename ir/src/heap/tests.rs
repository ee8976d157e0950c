//! Tests of heaps and their clones.

use super::*;
use crate::arena::tests::Random;
use std::collections::HashMap;
use std::ops::Range;
use std::thread;

#[test]
fn equal_sets_share_one_reference() {
    let mut heap = Heap::new(Space::Global);
    let a = heap
        .set(
            &[],
            &mut vec![Value::long(2), Value::long(1), Value::long(2)],
        )
        .unwrap();
    let b = heap
        .set(&[], &mut vec![Value::long(1), Value::long(2)])
        .unwrap();
    let c = heap.set(&[], &mut vec![Value::long(1)]).unwrap();
    assert_eq!(a, b);
    assert_ne!(a, c);
}

#[test]
fn a_younger_heap_finds_what_an_older_one_holds() {
    let mut global = Heap::new(Space::Global);
    let mut request = Heap::new(Space::Request);
    let a = global.set(&[], &mut vec![Value::long(1)]).unwrap();
    let b = request.set(&[&global], &mut vec![Value::long(1)]).unwrap();
    let c = request.set(&[&global], &mut vec![Value::long(3)]).unwrap();
    assert_eq!(a, b);
    assert_eq!(c.space(), Space::Request as usize);
    let scratch = Heap::new(Space::Scratch);
    let heaps = Heaps {
        global: &global,
        request: &request,
        scratch: &scratch,
    };
    assert!(heaps.object(c).unwrap().contains(Value::long(3)));
    assert!(!heaps.object(c).unwrap().contains(Value::long(1)));
}

#[test]
fn many_objects_survive_rehashing() {
    let mut heap = Heap::new(Space::Global);
    let refs: Vec<_> = (0..1000)
        .map(|i| {
            heap.set(&[], &mut vec![Value::long(i), Value::bool(true)])
                .unwrap()
        })
        .collect();
    for (i, r) in refs.iter().enumerate() {
        let again = heap
            .set(&[], &mut vec![Value::bool(true), Value::long(i as i64)])
            .unwrap();
        assert_eq!(*r, again);
    }
}

#[test]
fn records_of_different_shapes_differ() {
    let mut heap = Heap::new(Space::Global);
    let v = [Value::long(1)];
    let a = heap.record(&[], ShapeId(1), &v).unwrap();
    let b = heap.record(&[], ShapeId(2), &v).unwrap();
    assert_ne!(a, b);
    assert_eq!(a, heap.record(&[], ShapeId(1), &v).unwrap());
}

#[test]
fn nine_values_need_two_tag_words() {
    let mut heap = Heap::new(Space::Global);
    let values: Vec<_> = (0..9).map(Value::long).collect();
    let r = heap.record(&[], ShapeId(7), &values).unwrap();
    let object = heap.object(r.offset()).unwrap();
    assert_eq!(object.values().collect::<Vec<_>>(), values);
    assert_eq!(object.shape(), ShapeId(7));
    assert_eq!(object.get(9), Value::ABSENT);
}

/// What is built from a number: one of few distinct objects of all kinds.
fn build(heap: &mut Heap, older: &[&Heap], number: usize) -> HeapRef {
    let long = |i: usize| Value::long(i as i64);
    match number % 3 {
        0 => heap.set(older, &mut (0..number / 3).map(long).collect()),
        1 => heap.record(older, ShapeId(number as u32), &[long(number)]),
        _ => heap.ip(
            older,
            IpWords {
                high: 0,
                low: number as u64,
                meta: 32,
            },
        ),
    }
    .unwrap()
}

fn build_all(heap: &mut Heap, numbers: Range<usize>) {
    for number in numbers {
        build(heap, &[], number);
    }
}

/// Whether the object is what is built from the number.
fn is_built_from(heap: &Heap, r: HeapRef, number: usize) -> bool {
    let mut fresh = Heap::new(Space::Global);
    let fresh_ref = build(&mut fresh, &[], number);
    let words = |heap: &Heap, r: HeapRef| -> Option<Vec<u64>> {
        Some(heap.object(r.offset())?.words.iter().map(load).collect())
    };
    words(heap, r) == words(&fresh, fresh_ref)
}

#[test]
fn every_clone_has_its_own_objects_and_no_others() {
    for seed in 0..20 {
        let mut random = Random::new(seed);
        let mut clones: Vec<(Heap, HashMap<usize, HeapRef>)> =
            vec![(Heap::new(Space::Global), HashMap::new())];
        for _ in 0..200 {
            let at = random.below(clones.len());
            match random.below(6) {
                0 | 1 if clones.len() < 8 => clones.push(clones[at].clone()),
                2 if clones.len() > 1 => drop(clones.swap_remove(at)),
                _ => {
                    let (heap, model) = &mut clones[at];
                    for _ in 0..random.below(12) {
                        let number = random.below(200);
                        let words = heap.words().len();
                        let built = build(heap, &[], number);
                        let known = model.insert(number, built);
                        assert!(known.is_none_or(|known| known == built));
                        assert_eq!(known.is_none(), built.offset() == words);
                    }
                }
            }
        }
        for (heap, model) in &clones {
            for (number, r) in model {
                assert!(is_built_from(heap, *r, *number), "{number}");
            }
            for number in 0..200 {
                let mut younger = Heap::new(Space::Request);
                let found = build(&mut younger, &[heap], number);
                let known = found.space() == Space::Global as usize;
                assert_eq!(known.then_some(found), model.get(&number).copied());
            }
        }
    }
}

#[test]
fn a_cleared_heap_uses_its_memory_again() {
    let mut heap = Heap::new(Space::Request);
    build_all(&mut heap, 0..100);
    let (words, memory) = (heap.words().as_ptr(), heap.memory().reserved);
    heap.clear();
    assert!(heap.is_empty());
    build_all(&mut heap, 50..100);
    assert_eq!(heap.words().as_ptr(), words);
    let clone = heap.clone();
    heap.clear();
    let r = build(&mut heap, &[], 4);
    assert!(is_built_from(&heap, r, 4));
    assert!(heap.words().as_ptr() != clone.words().as_ptr());
    assert!(heap.memory().reserved < memory);
    assert_eq!(clone.words().as_ptr(), words);
}

#[test]
fn readers_of_older_heaps_are_not_disturbed() {
    let mut heap = Heap::new(Space::Global);
    let mut refs = Vec::new();
    thread::scope(|scope| {
        for round in 0..60 {
            let mut next = heap.clone();
            for n in 0..10 {
                refs.push((round * 10 + n, build(&mut next, &[], round * 10 + n)));
            }
            heap = next;
            // What is built and dropped again is overwritten by the next round.
            let mut failed = heap.clone();
            build_all(&mut failed, 10_000..10_010);
            let (older, refs) = (heap.clone(), refs.clone());
            scope.spawn(move || {
                for (number, r) in refs {
                    assert!(is_built_from(&older, r, number));
                    let mut younger = Heap::new(Space::Request);
                    assert_eq!(build(&mut younger, &[&older], number), r);
                }
            });
        }
    });
}
