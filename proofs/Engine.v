(** All of it together.

    Models [BoundRequest::evaluate] and [BoundRequest::decide] in runtime/src/evaluate.rs: the bodies
    of the candidates, run with their policies' tables, one by one or fused, give the answer of
    evaluating the text of every policy. *)

From Coq Require Import NArith List Bool Permutation.
From Proofs Require Import Values Syntax Eval Authorizer DecisionOnly Index Fold Shapes Fused.
Import ListNotations.

(** [cedarjit_ir::abi::Outcome] of a body's code: anything but a Boolean is a failure. *)
Definition outcome_of_value (r : result value) : outcome :=
  match r with
  | Ok (VBool true) => Satisfied
  | Ok (VBool false) => Unsatisfied
  | _ => Failed
  end.

Definition run_body (w : world) (p : bound_policy) : outcome :=
  let lowered := lower_policy (text p) in
  outcome_of_value (eval w (table (slots p) (constants lowered)) (body_of lowered)).

Theorem run_body_correct : forall w p,
  run_body w p = outcome_of (evaluate w (slots p) (without_action (text p))).
Proof.
  intros. unfold run_body. cbv zeta. rewrite compiled_policy_correct.
  destruct (evaluate w (slots p) (without_action (text p))) as [[]|]; reflexivity.
Qed.

Section Engine.
Variable w : world.
Variable policies : nat -> bound_policy.
Variable count : nat.
Hypothesis all_bound : forall i, In i (every count) -> bound (slots (policies i)) (text (policies i)).

(** What Index.v asks of the store and of the index. *)
Variable known : list entity.
Hypothesis known_all : forall e, ancestors_of w e <> [] -> In e known.
Hypothesis hierarchy : forall e, NoDup (e :: ancestors_of w e).
Variable constraints : nat -> action_scope.
Variable class_count : nat.
Variable class_of : nat -> nat.
Hypothesis class_in_range : forall i, In i (every count) -> class_of i < class_count.
Hypothesis class_right : forall i, In i (every count) ->
  constraints (class_of i) = p_action (text (policies i)).
Variable key_of : nat -> key.
Hypothesis chosen : forall i, In i (every count) ->
  key_of i = ByActions \/ In (key_of i) (possible policies i).
Variable split : key -> nat -> bool.

Notation candidates := (candidates w policies count known constraints class_count class_of key_of split).
Notation unscoped := (unscoped w count known constraints class_count class_of key_of).
Notation scoped := (scoped w policies count known constraints class_count class_of key_of split).

Definition run (i : nat) : evaluated nat :=
  Evaluated i (p_effect (text (policies i))) (run_body w (policies i)).

(** The judge: the text of every policy, as the interpreter evaluates it. *)
Definition judged : outcomes nat := collect (map (evaluate_policy w policies) (every count)).

Lemma run_is_body : forall l, map run l = map (evaluate_body w policies) l.
Proof.
  intro l. apply map_ext. intro i. unfold run, evaluate_body. rewrite run_body_correct. reflexivity.
Qed.

(** The decision, the determining policies and the failing policies are the judge's. *)
Theorem engine_correct : same (collect (map run candidates)) judged.
Proof. rewrite run_is_body. apply index_sound; assumption. Qed.

(** Deciding alone comes to the judge's decision, whichever policies have code. *)
Theorem engine_decides : forall has_code, decide_only has_code (map run candidates) = decide judged.
Proof. intro. rewrite decide_only_correct. apply engine_correct. Qed.

(** With fused code for the policies that are posted under actions alone, perhaps those of all actions. *)
Theorem engine_fused : forall wide,
  NoDup wide -> incl unscoped wide -> (length wide <= 64)%nat ->
  let applies p := existsb (Nat.eqb (number p)) unscoped in
  same (fused_outcomes applies (map run wide) (map run (scoped OfPrincipal ++ scoped OfResource)))
       judged.
Proof.
  intros wide N Incl L applies. rewrite fused_correct by (rewrite map_length; exact L).
  assert (P : Permutation (filter applies (map run wide)) (map run unscoped)).
  { assert (filter applies (map run wide) =
            map run (filter (fun i => existsb (Nat.eqb i) unscoped) wide)) as ->.
    { clear. induction wide as [|i l IH]; simpl; [reflexivity|].
      unfold applies at 1; simpl. destruct (existsb (Nat.eqb i) unscoped); simpl; rewrite IH; reflexivity. }
    apply Permutation_map, NoDup_Permutation.
    - apply NoDup_filter, N.
    - apply NoDup_filter, NoDup_posted.
    - intro i. rewrite filter_In, existsb_exists. split.
      + intros (_ & j & J & E). apply PeanoNat.Nat.eqb_eq in E as ->. exact J.
      + intro H. split; [apply Incl, H|]. exists i. split; [exact H|apply PeanoNat.Nat.eqb_refl]. }
  pose proof (order_independent _ _ (Permutation_app_tail (map run (scoped OfPrincipal ++ scoped OfResource)) P))
    as (D & R & F).
  rewrite <- map_app in D, R, F.
  change (unscoped ++ scoped OfPrincipal ++ scoped OfResource) with candidates in D, R, F.
  destruct engine_correct as (D' & R' & F'). unfold same. rewrite D, D'. split; [reflexivity|].
  split; eapply perm_trans; eauto.
Qed.

End Engine.
