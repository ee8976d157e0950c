//! What the policies of one evaluation came to, and what follows from it.

use cedar_policy::Decision;
use cedarjit_frontend::hir::Effect;
use cedarjit_ir::abi::Outcome;
use cedarjit_ir::fault::{Fault, planted};
use cedarjit_ir::ids::PolicyIndex;
use cedarjit_jit::FusedOutcomes;
use std::slice;

/// The policies that matter to a response.
#[derive(Clone, Debug, Default)]
pub(crate) struct Outcomes {
    fused: FusedBits,
    permits: Vec<PolicyIndex>,
    forbids: Vec<PolicyIndex>,
    failed: Vec<PolicyIndex>,
}

/// Policies of fused code, a bit each.
#[derive(Clone, Copy, Debug, Default)]
struct FusedBits {
    permits: u64,
    forbids: u64,
    failed: u64,
}

impl Outcomes {
    /// What fused code found, and nothing else; `permits` are the bits of its policies that permit.
    #[inline]
    pub(crate) fn of_fused(outcomes: FusedOutcomes, permits: u64) -> Self {
        let mut all = Self::default();
        all.set_fused(outcomes, permits);
        all
    }

    #[inline]
    pub(crate) fn clear(&mut self) {
        self.fused = FusedBits::default();
        self.permits.clear();
        self.forbids.clear();
        if !planted(Fault::StaleFailures) {
            self.failed.clear();
        }
    }

    #[inline]
    pub(crate) fn add(&mut self, policy: PolicyIndex, effect: Effect, outcome: Outcome) {
        match (outcome, effect) {
            (Outcome::Unsatisfied, _) => {}
            (Outcome::Satisfied, Effect::Permit) => self.permits.push(policy),
            (Outcome::Satisfied, Effect::Forbid)
                if self.forbids.len() == 1 && planted(Fault::SecondForbidLost) => {}
            (Outcome::Satisfied, Effect::Forbid) => self.forbids.push(policy),
            (Outcome::Failed, _)
                if !self.forbids.is_empty() && planted(Fault::FailureDroppedAfterForbid) => {}
            (Outcome::Failed, _) => self.failed.push(policy),
        }
    }

    /// Takes over what fused code found; `permits` are the bits of its policies that permit.
    #[inline]
    pub(crate) fn set_fused(&mut self, outcomes: FusedOutcomes, permits: u64) {
        let failed = match planted(Fault::FusedFailuresOfPermitsOnly) {
            true => outcomes.failed & permits,
            false => outcomes.failed,
        };
        self.fused = FusedBits {
            permits: outcomes.satisfied & permits,
            forbids: outcomes.satisfied & !permits,
            failed,
        };
    }

    #[inline]
    fn is_forbidden(&self) -> bool {
        self.fused.forbids != 0 || !self.forbids.is_empty()
    }

    /// Whether a policy of this effect cannot change the decision any more.
    #[inline]
    pub(crate) fn settle(&self, effect: Effect) -> bool {
        let forbidden = self.is_forbidden();
        let permitted = self.fused.permits != 0 || !self.permits.is_empty();
        match effect {
            Effect::Forbid if planted(Fault::PermitSettlesForbids) => forbidden || permitted,
            Effect::Forbid => forbidden,
            Effect::Permit => forbidden || permitted,
        }
    }

    /// Allow if and only if a permit is satisfied and no forbid is.
    #[inline]
    pub(crate) fn decision(&self) -> Decision {
        let ignored = planted(Fault::ForbidIgnoredAfterError) && self.has_failures();
        let permitted = self.fused.permits != 0 || !self.permits.is_empty();
        if (!self.is_forbidden() || ignored) && permitted {
            Decision::Allow
        } else {
            Decision::Deny
        }
    }

    /// The satisfied forbids if there are any, else the satisfied permits. `fused` are the policies
    /// of the fused code that ran.
    pub(crate) fn reasons<'a>(&'a self, fused: &'a [PolicyIndex]) -> Policies<'a> {
        let (bits, others) = if self.is_forbidden() {
            (self.fused.forbids, &self.forbids)
        } else {
            (self.fused.permits, &self.permits)
        };
        Policies {
            bits,
            fused,
            others: others.iter(),
        }
    }

    /// The policies whose evaluation failed.
    pub(crate) fn failed<'a>(&'a self, fused: &'a [PolicyIndex]) -> Policies<'a> {
        Policies {
            bits: self.fused.failed,
            fused,
            others: self.failed.iter(),
        }
    }

    #[inline]
    pub(crate) fn has_failures(&self) -> bool {
        self.fused.failed != 0 || !self.failed.is_empty()
    }
}

/// What policies came to, however they were evaluated: satisfied permits, satisfied forbids and those
/// that failed, each ascending.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Settled {
    pub(crate) permits: Vec<PolicyIndex>,
    pub(crate) forbids: Vec<PolicyIndex>,
    pub(crate) failed: Vec<PolicyIndex>,
}

impl Outcomes {
    /// What each policy came to. `fused` are the policies of the fused code that ran.
    pub(crate) fn settled(&self, fused: &[PolicyIndex]) -> Settled {
        let sorted = |bits, others: &[PolicyIndex]| {
            let others = others.iter();
            let mut all: Vec<PolicyIndex> = Policies {
                bits,
                fused,
                others,
            }
            .collect();
            all.sort_unstable();
            all
        };
        Settled {
            permits: sorted(self.fused.permits, &self.permits),
            forbids: sorted(self.fused.forbids, &self.forbids),
            failed: sorted(self.fused.failed, &self.failed),
        }
    }
}

impl Settled {
    pub(crate) fn decision(&self) -> Decision {
        match self.forbids.is_empty() && !self.permits.is_empty() {
            true => Decision::Allow,
            false => Decision::Deny,
        }
    }

    /// The policies that determine the decision.
    pub(crate) fn reasons(&self) -> &[PolicyIndex] {
        match self.forbids.is_empty() {
            true => &self.permits,
            false => &self.forbids,
        }
    }

    /// The policies that came to something else in `other`, ascending.
    pub(crate) fn difference(&self, other: &Self) -> Vec<PolicyIndex> {
        let pairs = [
            (&self.permits, &other.permits),
            (&self.forbids, &other.forbids),
            (&self.failed, &other.failed),
        ];
        let mut all: Vec<PolicyIndex> = Vec::new();
        for (a, b) in pairs {
            all.extend(a.iter().filter(|policy| b.binary_search(policy).is_err()));
            all.extend(b.iter().filter(|policy| a.binary_search(policy).is_err()));
        }
        all.sort_unstable();
        all.dedup();
        all
    }
}

/// Some policies, in no particular order.
#[derive(Clone, Debug)]
pub(crate) struct Policies<'a> {
    /// Which of `fused`.
    bits: u64,
    fused: &'a [PolicyIndex],
    others: slice::Iter<'a, PolicyIndex>,
}

impl Iterator for Policies<'_> {
    type Item = PolicyIndex;

    #[inline]
    fn next(&mut self) -> Option<PolicyIndex> {
        if self.bits == 0 {
            return self.others.next().copied();
        }
        let bit = self.bits.trailing_zeros() as usize;
        self.bits &= self.bits - 1;
        self.fused.get(bit).copied()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let len = self.bits.count_ones() as usize + self.others.len();
        (len, Some(len))
    }
}

impl ExactSizeIterator for Policies<'_> {}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(policies: Policies<'_>) -> Vec<u32> {
        assert_eq!(policies.len(), policies.clone().count());
        policies.map(|policy| policy.0).collect()
    }

    #[test]
    fn fused_and_other_policies_count_alike() {
        let fused = [10, 11, 12, 13].map(PolicyIndex);
        let mut outcomes = Outcomes::default();
        outcomes.set_fused(
            FusedOutcomes {
                satisfied: 0b0101,
                failed: 0b1000,
            },
            0b0111,
        );
        outcomes.add(PolicyIndex(5), Effect::Permit, Outcome::Satisfied);
        outcomes.add(PolicyIndex(6), Effect::Permit, Outcome::Failed);
        assert_eq!(outcomes.decision(), Decision::Allow);
        assert_eq!(ids(outcomes.reasons(&fused)), [10, 12, 5]);
        assert_eq!(ids(outcomes.failed(&fused)), [13, 6]);

        let forbids = FusedOutcomes {
            satisfied: 0b1101,
            failed: 0,
        };
        outcomes.set_fused(forbids, 0b0111);
        assert_eq!(outcomes.decision(), Decision::Deny);
        assert_eq!(ids(outcomes.reasons(&fused)), [13]);

        outcomes.clear();
        assert_eq!(outcomes.decision(), Decision::Deny);
        assert!(!outcomes.has_failures());
        assert!(ids(outcomes.reasons(&fused)).is_empty());
    }
}
