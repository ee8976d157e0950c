//! Code for processors other than the one that this runs on, to be looked at.

use crate::bind::BoundRequest;
use crate::fused::UNKNOWN_ACTION;
use crate::index::Side;
use crate::query::varied;
use crate::snapshot::Snapshot;
use cedarjit_ir::ids::PolicyIndex;
use cedarjit_jit::{BatchSource, CompileError, Listing, MAX_FUSED, OtherTarget};

impl Snapshot {
    /// The code of each shape that is not too large to be compiled.
    pub fn listings_on(&self, target: &OtherTarget) -> Vec<Result<Listing, CompileError>> {
        let bodies = self.table.bodies.iter().map(|shared| &shared.body);
        let listed = bodies.map(|body| target.listing(body, &self.symbols()));
        let fits = |listed: &Result<_, _>| !matches!(listed, Err(CompileError::TooLarge { .. }));
        listed.filter(fits).collect()
    }
}

impl BoundRequest {
    /// The fused code for requests like this one, and the code that decides about many principals and
    /// about many resources, each if policies apply.
    pub fn listings_on(
        &self,
        target: &OtherTarget,
    ) -> Vec<(&'static str, Result<Listing, CompileError>)> {
        self.listed(target).unwrap_or_default()
    }

    fn listed(
        &self,
        target: &OtherTarget,
    ) -> Option<Vec<(&'static str, Result<Listing, CompileError>)>> {
        let snapshot = &self.snapshot;
        let key = snapshot.buckets.get(self.bucket?)?.key;
        let action = key.action.map_or(UNKNOWN_ACTION, |action| action.id);
        let policies: Vec<PolicyIndex> = snapshot.index.as_ref()?.unscoped(action).collect();
        if policies.is_empty() || policies.len() > MAX_FUSED {
            return None;
        }
        let policies = snapshot.to_fuse(&policies)?;
        let (symbols, facts) = (snapshot.symbols(), snapshot.request_facts(key));
        let batch = |side: Side, lookups: bool| {
            let source = BatchSource {
                policies: &policies,
                permits: 0,
                varied: varied(side),
                kind: match side {
                    Side::Principal => key.principal,
                    Side::Resource => key.resource,
                },
                facts: &facts,
                lookups,
            };
            target.batch_listing(&source, &symbols)
        };
        let fused = target.fused_listing(&policies, &symbols, &facts);
        let listed = [
            ("fused", fused),
            ("principals", batch(Side::Principal, false)),
            ("resources", batch(Side::Resource, false)),
            ("principals, looked up", batch(Side::Principal, true)),
            ("resources, looked up", batch(Side::Resource, true)),
        ];
        let fits =
            |(_, listed): &(_, Result<_, _>)| !matches!(listed, Err(CompileError::TooLarge { .. }));
        Some(listed.into_iter().filter(fits).collect())
    }
}
