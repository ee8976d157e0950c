//! Calls of extension functions with a wrong number of arguments.
//!
//! cedar-policy parses them, and evaluating one fails after its arguments were evaluated; but its
//! public syntax tree has no place for them, and refuses a policy that holds one. Such a policy is
//! read through its JSON form instead, in which each of these calls is first rewritten to a record
//! with one attribute, whose name is a marker that occurs nowhere in the policy followed by the
//! function's name, and whose value is the set of the arguments. The converter turns that back.

use cedar_policy::pst;
use cedarjit_ir::ext::ExtFn;
use serde_json::{Map, Value, json};

/// A policy's or template's syntax tree.
pub(super) struct Tree {
    pub(super) body: pst::Template,
    /// What the attribute of a rewritten call starts with, if any call was rewritten.
    pub(super) marker: Option<String>,
}

/// The tree of a static policy.
pub(super) fn of_policy(policy: &cedar_policy::Policy) -> Result<Tree, pst::PstConstructionError> {
    let refused = match policy.to_pst() {
        Ok(tree) => return Ok(Tree::plain(tree.body().clone())),
        Err(refused) => refused,
    };
    let rewritten = policy.to_json().ok().and_then(|mut json| {
        let marker = rewrite_policy(&mut json)?;
        let policy = cedar_policy::Policy::from_json(Some(policy.id().clone()), json).ok()?;
        Some((policy.to_pst().ok()?.body().clone(), marker))
    });
    Tree::rewritten(rewritten).ok_or(refused)
}

/// The tree of a template.
pub(super) fn of_template(
    template: &cedar_policy::Template,
) -> Result<Tree, pst::PstConstructionError> {
    let refused = match template.to_pst() {
        Ok(tree) => return Ok(Tree::plain(tree)),
        Err(refused) => refused,
    };
    let rewritten = template.to_json().ok().and_then(|mut json| {
        let marker = rewrite_policy(&mut json)?;
        let id = template.id().clone();
        let template = cedar_policy::Template::from_json(Some(id), json).ok()?;
        Some((template.to_pst().ok()?, marker))
    });
    Tree::rewritten(rewritten).ok_or(refused)
}

impl Tree {
    fn plain(body: pst::Template) -> Self {
        Self { body, marker: None }
    }

    fn rewritten(tree: Option<(pst::Template, String)>) -> Option<Self> {
        tree.map(|(body, marker)| Self {
            body,
            marker: Some(marker),
        })
    }
}

/// The function and arguments of a rewritten call, if `record` is one.
pub(super) fn rewritten_call<'a>(
    marker: Option<&str>,
    record: &'a std::collections::BTreeMap<String, std::sync::Arc<pst::Expr>>,
) -> Option<(ExtFn, &'a [std::sync::Arc<pst::Expr>])> {
    let (key, value) = record.first_key_value()?;
    let func = ExtFn::from_name(key.strip_prefix(marker?)?)?;
    match &**value {
        pst::Expr::Set(args) => Some((func, args)),
        _ => None,
    }
}

/// Rewrites the calls in the conditions of a policy's JSON form; gives the marker.
fn rewrite_policy(policy: &mut Value) -> Option<String> {
    let text = policy.to_string();
    let marker = (0_u64..)
        .map(|n| format!("call {n} of "))
        .find(|marker| !text.contains(marker.as_str()))?;
    for condition in policy.get_mut("conditions")?.as_array_mut()? {
        rewrite(condition.get_mut("body")?, &marker);
    }
    Some(marker)
}

/// Rewrites the calls in an expression: an object with the operator's name as its only key, and
/// the operands, by position or by name, as its value.
fn rewrite(expr: &mut Value, marker: &str) {
    let Value::Object(node) = expr else {
        return;
    };
    for (operator, operands) in node.iter_mut() {
        match operands {
            // A literal, in which a record may look like a call.
            _ if operator == "Value" => {}
            Value::Array(items) => items.iter_mut().for_each(|item| rewrite(item, marker)),
            Value::Object(named) => named.values_mut().for_each(|item| rewrite(item, marker)),
            _ => {}
        }
    }
    if let Some((name, args)) = wrong_call(node) {
        let key = format!("{marker}{name}");
        *expr = json!({ "Record": { key: { "Set": args } } });
    }
}

/// The name and arguments of a call with a wrong number of arguments, if `expr` is one.
fn wrong_call(expr: &mut Map<String, Value>) -> Option<(String, Value)> {
    if expr.len() != 1 {
        return None;
    }
    let (name, args) = expr.iter_mut().next()?;
    let func = ExtFn::from_name(name)?;
    if args.as_array()?.len() == func.arity() {
        return None;
    }
    Some((name.clone(), args.take()))
}
