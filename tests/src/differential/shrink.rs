//! Makes a mismatch small.

mod data;

use super::{Difference, Mismatch, run_case};
use crate::engines::TestEngine;
use crate::generator::{Case, Pieces};
use cedar_policy::{Policy, PolicyId, Template};
use serde_json::{Value, json};

/// What shrinking did.
#[derive(Debug)]
pub struct Reduction {
    /// The smaller mismatch, of the same engine.
    pub mismatch: Mismatch,
    /// How many cases were tried.
    pub tried: usize,
}

/// Reduces a mismatch greedily: fewer requests, policies, links and entities, no schema, wider
/// scopes, fewer clauses and smaller conditions, fewer attributes and parents, as long as the engine
/// still differs from cedar-policy in some way.
///
/// `engines` must hold the mismatch's engine; only that one is asked. At most `tries` cases are
/// tried. If the mismatch does not show again, it comes back as it was.
pub fn shrink(
    mismatch: &Mismatch,
    judge: &dyn TestEngine,
    engines: &[Box<dyn TestEngine>],
    tries: usize,
) -> Reduction {
    let mut search = Search {
        judge,
        engines,
        best: mismatch.clone(),
        tried: 0,
        tries,
    };
    search.keep_one_request();
    loop {
        let before = search.tried;
        let progress = search.drop_policies()
            | search.drop_links()
            | search.drop_entities()
            | search.drop_schema()
            | search.shrink_conditions()
            | search.shrink_entities()
            | search.shrink_context();
        if !progress || search.tried >= tries || search.tried == before {
            break;
        }
    }
    search.best.case = without_unused_parts(search.best.case);
    search.confirm();
    Reduction {
        mismatch: search.best,
        tried: search.tried,
    }
}

struct Search<'a> {
    judge: &'a dyn TestEngine,
    engines: &'a [Box<dyn TestEngine>],
    best: Mismatch,
    tried: usize,
    tries: usize,
}

impl Search<'_> {
    /// The same engine's mismatch over `case`, if there is one.
    fn mismatch_of(&mut self, case: &Case) -> Option<Mismatch> {
        self.tried += 1;
        let outcome = run_case(case, self.judge, self.engines);
        let mut found = outcome.mismatches.into_iter();
        let found = found.find(|mismatch| mismatch.engine == self.best.engine)?;
        // Something that the engine merely refuses is another matter than a wrong answer.
        let same_kind = std::mem::discriminant(&found.difference)
            == std::mem::discriminant(&self.best.difference);
        same_kind.then(|| Mismatch {
            seed: self.best.seed,
            ..found
        })
    }

    /// Takes `case` if it shows the mismatch too.
    fn take(&mut self, case: Case) -> bool {
        if self.tried >= self.tries {
            return false;
        }
        let found = self.mismatch_of(&case);
        let taken = found.is_some();
        self.best = found.unwrap_or_else(|| self.best.clone());
        taken
    }

    /// After a change that cannot matter, makes the difference refer to the case as it is now.
    fn confirm(&mut self) {
        let case = self.best.case.clone();
        if let Some(found) = self.mismatch_of(&case) {
            self.best = found;
        }
    }

    fn keep_one_request(&mut self) {
        let Difference::Answer { request, .. } = self.best.difference else {
            return;
        };
        let mut case = self.best.case.clone();
        case.requests = case.requests.get(request).copied().into_iter().collect();
        self.take(case);
    }

    /// Leaves out ever smaller runs of `count` things, as long as that goes well.
    fn drop_runs(
        &mut self,
        count: impl Fn(&Case) -> usize,
        keep: impl Fn(&Case, &[bool]) -> Case,
    ) -> bool {
        let mut progress = false;
        let mut run = count(&self.best.case).div_ceil(2);
        while run > 0 {
            let mut start = 0;
            while start < count(&self.best.case) {
                let kept: Vec<bool> = (0..count(&self.best.case))
                    .map(|n| !(start..start + run).contains(&n))
                    .collect();
                let smaller = keep(&self.best.case, &kept);
                if self.take(smaller) {
                    progress = true;
                } else {
                    start += run;
                }
            }
            run /= 2;
        }
        progress
    }

    fn drop_policies(&mut self) -> bool {
        self.drop_runs(|case| case.policies.len(), keep_policies)
    }

    fn drop_links(&mut self) -> bool {
        let keep = |case: &Case, kept: &[bool]| {
            let mut case = case.clone();
            let mut kept = kept.iter();
            case.links.retain(|_| kept.next().copied().unwrap_or(true));
            case
        };
        self.drop_runs(|case| case.links.len(), keep)
    }

    fn drop_entities(&mut self) -> bool {
        let keep = |case: &Case, kept: &[bool]| {
            let all = case.entities.iter().zip(kept);
            let some = all.filter(|(_, kept)| **kept).map(|(entity, _)| entity);
            Case {
                entities: some.collect(),
                ..case.clone()
            }
        };
        self.drop_runs(|case| case.entities.len(), keep)
    }

    fn drop_schema(&mut self) -> bool {
        if self.best.case.schema.is_none() {
            return false;
        }
        let mut case = self.best.case.clone();
        case.schema = None;
        self.take(case)
    }

    /// Widens scopes, drops clauses and puts parts of expressions in the place of the whole.
    fn shrink_conditions(&mut self) -> bool {
        self.shrink_each(|case, position| {
            let smaller = smaller_policies(case.policies.iter().nth(position)?);
            let with = smaller.into_iter();
            Some(
                with.map(|text| with_policy(case, position, &text))
                    .collect(),
            )
        })
    }

    /// Makes one part after the other smaller. `smaller` gives the cases with a smaller part at a
    /// position, the smallest first, and nothing behind the last part.
    fn shrink_each(&mut self, smaller: impl Fn(&Case, usize) -> Option<Vec<Case>>) -> bool {
        let mut progress = false;
        let mut position = 0;
        while self.tried < self.tries
            && let Some(cases) = smaller(&self.best.case, position)
        {
            let found = cases.into_iter().any(|case| self.take(case));
            progress |= found;
            // After a success the same part may shrink further.
            position += usize::from(!found);
        }
        progress
    }
}

/// Leaves out policies with their links, and numbers the rest anew.
fn keep_policies(case: &Case, kept: &[bool]) -> Case {
    let is_kept = |position: usize| kept.get(position).copied().unwrap_or(false);
    let all = case.policies.iter().enumerate();
    let mut links = case.links.clone();
    links.retain(|link| is_kept(link.template));
    for link in &mut links {
        link.template = (0..link.template).filter(|&n| is_kept(n)).count();
    }
    Case {
        policies: all.filter(|(n, _)| is_kept(*n)).map(|(_, p)| p).collect(),
        links,
        ..case.clone()
    }
}

fn with_policy(case: &Case, position: usize, text: &str) -> Case {
    let mut policies = Pieces::default();
    for (n, policy) in case.policies.iter().enumerate() {
        policies.push(if n == position { text } else { policy });
    }
    Case {
        policies,
        ..case.clone()
    }
}

/// Drops what no request refers to.
fn without_unused_parts(mut case: Case) -> Case {
    let (mut uids, mut contexts) = (Vec::new(), Vec::new());
    for request in &mut case.requests {
        for position in [
            &mut request.principal,
            &mut request.action,
            &mut request.resource,
        ] {
            uids.extend(case.uids.get(*position).cloned());
            *position = uids.len().saturating_sub(1);
        }
        contexts.extend(case.contexts.get(request.context).cloned());
        request.context = contexts.len().saturating_sub(1);
    }
    (case.uids, case.contexts) = (uids, contexts);
    case
}

/// Sources of policies that have a little less than `source`, the smallest first.
fn smaller_policies(source: &str) -> Vec<String> {
    let id = PolicyId::new("p");
    let json = match Policy::parse(Some(id.clone()), source) {
        Ok(policy) => policy.to_json(),
        Err(_) => match Template::parse(Some(id), source) {
            Ok(template) => template.to_json(),
            Err(_) => return Vec::new(),
        },
    };
    let Ok(json) = json else {
        return Vec::new();
    };
    let mut variants = Vec::new();
    for scope in ["principal", "action", "resource"] {
        let mut wider = json.clone();
        wider[scope] = json!({"op": "All"});
        variants.push(wider);
    }
    let clauses = json.get("conditions").and_then(Value::as_array);
    let clauses = clauses.map(Vec::as_slice).unwrap_or_default();
    for (position, clause) in clauses.iter().enumerate() {
        let mut fewer = clauses.to_vec();
        fewer.remove(position);
        variants.push(with_clauses(&json, fewer));
        for body in smaller_expressions(clause.get("body").unwrap_or(&Value::Null)) {
            let mut changed = clauses.to_vec();
            if let Some(clause) = changed.get_mut(position) {
                clause["body"] = body;
            }
            variants.push(with_clauses(&json, changed));
        }
    }
    let mut texts: Vec<String> = variants.iter().filter_map(policy_text).collect();
    texts.retain(|text| {
        text.len() < source.len() || text.matches(' ').count() < source.matches(' ').count()
    });
    texts.sort_by_key(String::len);
    texts
}

fn with_clauses(policy: &Value, clauses: Vec<Value>) -> Value {
    let mut policy = policy.clone();
    policy["conditions"] = Value::Array(clauses);
    policy
}

fn policy_text(json: &Value) -> Option<String> {
    let id = || Some(PolicyId::new("p"));
    match Policy::from_json(id(), json.clone()) {
        Ok(policy) => policy.to_cedar(),
        Err(_) => Some(Template::from_json(id(), json.clone()).ok()?.to_cedar()),
    }
}

/// Expressions (as JSON) in which one node is replaced by one of its own operands.
fn smaller_expressions(expr: &Value) -> Vec<Value> {
    let mut smaller = Vec::new();
    let operands = operands(expr, String::new());
    smaller.extend(operands.iter().map(|(_, operand)| (*operand).clone()));
    for (pointer, operand) in &operands {
        for replacement in smaller_expressions(operand) {
            let mut whole = expr.clone();
            if let Some(place) = whole.pointer_mut(pointer) {
                *place = replacement;
                smaller.push(whole);
            }
        }
    }
    smaller
}

/// The operands of a JSON expression with their places: objects with one key, an operator's name.
fn operands(expr: &Value, pointer: String) -> Vec<(String, &Value)> {
    let Some((operator, arguments)) = expr.as_object().and_then(|object| object.iter().next())
    else {
        return Vec::new();
    };
    let literal = ["Value", "Var", "Slot", "Unknown"].contains(&operator.as_str());
    if literal {
        return Vec::new();
    }
    let children: Vec<(String, &Value)> = match arguments {
        Value::Array(list) => {
            let list = list.iter().enumerate();
            list.map(|(n, child)| (n.to_string(), child)).collect()
        }
        Value::Object(map) => map
            .iter()
            .map(|(key, child)| (escaped(key), child))
            .collect(),
        _ => Vec::new(),
    };
    let operator = escaped(operator);
    let is_expr = |child: &Value| {
        let object = child.as_object();
        object.is_some_and(|object| object.len() == 1)
    };
    let kept = children.into_iter().filter(|(_, child)| is_expr(child));
    kept.map(|(key, child)| (format!("{pointer}/{operator}/{key}"), child))
        .collect()
}

/// A key as JSON pointers have it.
fn escaped(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::str::FromStr;

    fn parses(text: &str) -> bool {
        Policy::from_str(text).is_ok() || Template::from_str(text).is_ok()
    }

    #[test]
    fn smaller_policies_are_policies() {
        let source = "permit(principal == ?principal, action, resource) when { context.a + 1 == 2 \
                      && [\"x/~y\"].contains({\"x/~y\": context.b}[\"x/~y\"]) } unless { false };";
        let smaller = smaller_policies(source);
        assert!(smaller.len() > 8, "{smaller:?}");
        assert!(smaller.iter().all(|text| parses(text)));
        assert!(smaller.iter().any(|text| !text.contains("unless")));
        assert!(smaller.iter().any(|text| !text.contains("== 2")));
        assert!(smaller.iter().any(|text| !text.contains("?principal")));
    }

    #[test]
    fn links_follow_their_templates() {
        use crate::generator::{Knobs, generate};
        let knobs = Knobs {
            templates: 60,
            ..Knobs::default()
        };
        let case = (0..)
            .map(|seed| generate(seed, &knobs))
            .find(|case| case.policies.len() > 3 && case.links.len() > 3)
            .expect("some case has links");
        for dropped in 0..case.policies.len() {
            let kept: Vec<bool> = (0..case.policies.len()).map(|n| n != dropped).collect();
            let smaller = keep_policies(&case, &kept);
            smaller.load().expect("still loads");
        }
    }
}
