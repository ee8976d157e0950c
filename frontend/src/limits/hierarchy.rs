//! Chains of parents.

use super::LimitError;
use std::collections::HashMap;
use std::hash::Hash;

/// Bounds the chains in which each member is a parent of the one before. Cycles are cut, and
/// parents that are no keys have no parents.
///
/// O(n) for n nodes and edges; recurses at most `limit` deep.
///
/// # Errors
/// When a chain has more than `limit` members.
pub fn check_hierarchy<N: Eq + Hash>(
    parents: &HashMap<N, Vec<N>>,
    limit: usize,
) -> Result<(), LimitError> {
    let mut heights = HashMap::with_capacity(parents.len());
    for node in parents.keys() {
        height(node, parents, &mut heights, 1, limit)?;
    }
    Ok(())
}

/// How many members the longest chain from `node` upwards has; `node` is member number `depth` of
/// the chain being followed.
fn height<'a, N: Eq + Hash>(
    node: &'a N,
    parents: &'a HashMap<N, Vec<N>>,
    heights: &mut HashMap<&'a N, usize>,
    depth: usize,
    limit: usize,
) -> Result<usize, LimitError> {
    let known = heights.get(node).copied();
    if depth > limit || known.is_some_and(|height| depth - 1 + height > limit) {
        return Err(LimitError::Hierarchy { limit });
    }
    if let Some(known) = known {
        return Ok(known);
    }
    // A node that is met again before it is finished closes a cycle.
    heights.insert(node, 0);
    let mut tallest = 0;
    for parent in parents.get(node).into_iter().flatten() {
        tallest = tallest.max(height(parent, parents, heights, depth + 1, limit)?);
    }
    heights.insert(node, tallest + 1);
    Ok(tallest + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chain(n: u32) -> HashMap<u32, Vec<u32>> {
        (1..n).map(|i| (i, vec![i - 1])).collect()
    }

    #[test]
    fn chains_up_to_the_limit_are_fine() {
        assert_eq!(check_hierarchy(&chain(100), 100), Ok(()));
        let limit = 99;
        let excess = Err(LimitError::Hierarchy { limit });
        assert_eq!(check_hierarchy(&chain(100), limit), excess);
        assert_eq!(check_hierarchy(&chain(1_000_000), limit), excess);
    }

    #[test]
    fn wide_hierarchies_and_cycles_are_fine() {
        let mut wide: HashMap<u32, Vec<u32>> = (1..10_000).map(|i| (i, vec![0])).collect();
        wide.insert(0, vec![1, 2, 3]);
        assert_eq!(check_hierarchy(&wide, 5), Ok(()));
    }
}
