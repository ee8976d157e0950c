(** Every theorem, and what it rests on: each must be closed under the global context.

    `make -C proofs` fails if one is not, or if a theorem is not listed here. *)

From Proofs Require Import Values Syntax Eval Authorizer DecisionOnly Index Fold Shapes Links Guards Known Flat Simplify Fused Engine.

(** ** Values.v *)

Print Assumptions Values.mk_set_canonical.

(** ** Eval.v *)

Print Assumptions Eval.out_of_scope_is_false.
Print Assumptions Eval.scope_cannot_fail.
Print Assumptions Eval.body_needs_no_action.
Print Assumptions Eval.equality_never_fails.
Print Assumptions Eval.left_failure_first.
Print Assumptions Eval.right_failure_before_types.
Print Assumptions Eval.left_type_before_right.
Print Assumptions Eval.right_type_checked.
Print Assumptions Eval.and_stops.
Print Assumptions Eval.or_stops.
Print Assumptions Eval.missing_entity_in_itself_only.
Print Assumptions Eval.nested_and_is_flat.
Print Assumptions Eval.nested_or_is_flat.
Print Assumptions Eval.replace_correct.
Print Assumptions Eval.same_meaning.

(** ** Authorizer.v *)

Print Assumptions Authorizer.collect_is.
Print Assumptions Authorizer.allow_iff.
Print Assumptions Authorizer.explicit_permit.
Print Assumptions Authorizer.forbid_overrides.
Print Assumptions Authorizer.default_deny.
Print Assumptions Authorizer.no_policies_deny.
Print Assumptions Authorizer.reasons_are.
Print Assumptions Authorizer.errors_are.
Print Assumptions Authorizer.order_independent.
Print Assumptions Authorizer.errors_do_not_decide.
Print Assumptions Authorizer.errors_do_not_grant.
Print Assumptions Authorizer.more_forbids_do_not_grant.

(** ** DecisionOnly.v *)

Print Assumptions DecisionOnly.decide_only_correct.
Print Assumptions DecisionOnly.decide_fused_correct.

(** ** Index.v *)

Print Assumptions Index.candidates_suffice.
Print Assumptions Index.index_complete.
Print Assumptions Index.index_actions_hold.
Print Assumptions Index.index_once.
Print Assumptions Index.index_sound.

(** ** Fold.v *)

Print Assumptions Fold.fold_unary_correct.
Print Assumptions Fold.fold_binary_correct.
Print Assumptions Fold.failures_are_not_folded.
Print Assumptions Fold.lower_unary_correct.
Print Assumptions Fold.lower_binary_correct.
Print Assumptions Fold.lower_get_attr_correct.
Print Assumptions Fold.has_tests_correct.
Print Assumptions Fold.lower_has_correct.
Print Assumptions Fold.is_in_split.
Print Assumptions Fold.lower_set_correct.
Print Assumptions Fold.lower_record_correct.
Print Assumptions Fold.lower_correct.
Print Assumptions Fold.lower_policy_correct.

(** ** Shapes.v *)

Print Assumptions Shapes.body_correct_at.
Print Assumptions Shapes.body_correct.
Print Assumptions Shapes.bodies_shared_iff.
Print Assumptions Shapes.shared_body_correct.
Print Assumptions Shapes.compiled_policy_correct.

(** ** Links.v *)

Print Assumptions Links.substitute_correct.
Print Assumptions Links.link_is_substitution.
Print Assumptions Links.links_share_body.
Print Assumptions Links.link_table.
Print Assumptions Links.link_body_correct.

(** ** Guards.v *)

Print Assumptions Guards.guarded_access_succeeds.
Print Assumptions Guards.guard_removal.

(** ** Known.v *)

Print Assumptions Known.infer_sound.
Print Assumptions Known.analysis_sound.
Print Assumptions Known.sure_is_certain.
Print Assumptions Known.flags_and.
Print Assumptions Known.flags_or.
Print Assumptions Known.certain_operands_commute.
Print Assumptions Known.failing_operands_do_not_commute.

(** ** Flat.v *)

Print Assumptions Flat.types_of_ancestors.
Print Assumptions Flat.flat_is_equality.
Print Assumptions Flat.flat_is_contains.
Print Assumptions Flat.flat_between_types.
Print Assumptions Flat.parents_alone_do_not_tell.

(** ** Simplify.v *)

Print Assumptions Simplify.may_fail_sound.
Print Assumptions Simplify.simplify_not_correct.
Print Assumptions Simplify.simplify_chain_correct.
Print Assumptions Simplify.simplify_if_correct.
Print Assumptions Simplify.simplify_eq_correct.
Print Assumptions Simplify.simplified_correct.
Print Assumptions Simplify.simplified_policy_correct.

(** ** Fused.v *)

Print Assumptions Fused.shifted_flag.
Print Assumptions Fused.drain_selects.
Print Assumptions Fused.fused_correct.
Print Assumptions Fused.unpacked.
Print Assumptions Fused.never_both.

(** ** Engine.v *)

Print Assumptions Engine.run_body_correct.
Print Assumptions Engine.engine_correct.
Print Assumptions Engine.engine_decides.
Print Assumptions Engine.engine_fused.
