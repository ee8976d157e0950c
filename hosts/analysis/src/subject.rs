//! What is asked about: policies that stand for themselves.

use cedar_policy::{Policy, PolicySet};

/// A policy set whose links have been replaced by the static policies that they stand for, which is
/// what cedar-policy-symcc reads. Templates without a link decide nothing and are left out.
#[derive(Clone, Debug)]
pub struct Subject {
    pub(crate) set: PolicySet,
    pub(crate) policies: Vec<Policy>,
}

/// A policy could not be written as one that stands for itself.
#[derive(Debug, thiserror::Error)]
#[error("policy `{policy}` cannot be analysed")]
pub struct NotAnalysable {
    /// Its id.
    pub policy: String,
    /// What cedar-policy has against it.
    #[source]
    pub cause: Box<dyn std::error::Error + Send + Sync>,
}

impl Subject {
    /// Makes a subject of a policy set. Ids stay as they are; policies are sorted by them.
    ///
    /// # Errors
    ///
    /// If a link cannot be written as a static policy.
    pub fn new(set: &PolicySet) -> Result<Self, NotAnalysable> {
        let mut policies = set
            .policies()
            .map(|policy| stand_alone(policy).map_err(|cause| not_analysable(policy, cause)))
            .collect::<Result<Vec<_>, _>>()?;
        policies.sort_by(|a, b| a.id().cmp(b.id()));
        let mut set = PolicySet::new();
        for policy in &policies {
            set.add(policy.clone())
                .map_err(|cause| not_analysable(policy, cause.into()))?;
        }
        Ok(Self { set, policies })
    }
}

fn not_analysable(
    policy: &Policy,
    cause: Box<dyn std::error::Error + Send + Sync>,
) -> NotAnalysable {
    NotAnalysable {
        policy: policy.id().to_string(),
        cause,
    }
}

/// The policy itself, or the static policy that a link stands for: Cedar's JSON form of a link has
/// its values in place of the slots.
fn stand_alone(policy: &Policy) -> Result<Policy, Box<dyn std::error::Error + Send + Sync>> {
    if policy.is_static() {
        return Ok(policy.clone());
    }
    let json = policy.to_json()?;
    Ok(Policy::from_json(Some(policy.id().clone()), json)?)
}
