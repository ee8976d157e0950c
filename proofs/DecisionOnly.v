(** Stopping early.

    Models [BoundRequest::decide] in runtime/src/evaluate.rs and [Outcomes::settle] in
    runtime/src/outcomes.rs: once a forbid is satisfied no further policy is evaluated, and once a
    permit is, no further permit. Policies without code wait for the interpreter, which evaluates
    all of those. *)

From Coq Require Import List Bool.
From Proofs Require Import Values Syntax Eval Authorizer.
Import ListNotations.

Section DecisionOnly.
Context {I : Type}.
Notation evaluated := (evaluated I).
Notation outcomes := (outcomes I).

Definition some {A} (l : list A) : bool := match l with [] => false | _ => true end.

(** [Outcomes::settle]: whether a policy of this effect cannot change the decision any more. *)
Definition settled (o : outcomes) (e : effect) : bool :=
  match e with
  | Forbid => some (forbids o)
  | Permit => some (forbids o) || some (permits o)
  end.

(** The loop of [run_native], with those that wait for the interpreter. [has_code] says which policies
    have code that does not give up. *)
Fixpoint run (has_code : I -> bool) (l : list evaluated) (o : outcomes) (pending : list evaluated)
  : outcomes * list evaluated :=
  match l with
  | [] => (o, pending)
  | p :: rest =>
      if settled o (its_effect p) then run has_code rest o pending
      else if has_code (number p) then run has_code rest (add o p) pending
      else run has_code rest o (pending ++ [p])
  end.

Definition decide_only (has_code : I -> bool) (l : list evaluated) : decision :=
  let (o, pending) := run has_code l none [] in
  decide (fold_left add pending o).

(** What matters to a decision. *)
Definition permitted (o : outcomes) : bool := some (permits o).
Definition forbidden (o : outcomes) : bool := some (forbids o).

Lemma decide_by : forall o,
  decide o = if forbidden o then Deny else if permitted o then Allow else Deny.
Proof. intros [[] [] d]; reflexivity. Qed.

Lemma some_app : forall A (l m : list A), some (l ++ m) = some l || some m.
Proof. intros A [|x l] [|y m]; simpl; auto. Qed.

Lemma forbidden_fold : forall l o,
  forbidden (fold_left add l o) = forbidden o || existsb (is_satisfied Forbid) l.
Proof.
  induction l as [|[n e r] l IH]; intro o; simpl.
  - rewrite orb_false_r. reflexivity.
  - rewrite IH. unfold forbidden, add, is_satisfied; simpl.
    destruct r, e; simpl; rewrite ?some_app; simpl; rewrite ?orb_true_r; auto.
Qed.

Lemma permitted_fold : forall l o,
  permitted (fold_left add l o) = permitted o || existsb (is_satisfied Permit) l.
Proof.
  induction l as [|[n e r] l IH]; intro o; simpl.
  - rewrite orb_false_r. reflexivity.
  - rewrite IH. unfold permitted, add, is_satisfied; simpl.
    destruct r, e; simpl; rewrite ?some_app; simpl; rewrite ?orb_true_r; auto.
Qed.

Lemma decide_fold : forall l o,
  decide (fold_left add l o) =
  if forbidden o || existsb (is_satisfied Forbid) l then Deny
  else if permitted o || existsb (is_satisfied Permit) l then Allow else Deny.
Proof. intros. rewrite decide_by, forbidden_fold, permitted_fold. reflexivity. Qed.

Lemma run_decides : forall has_code l o pending,
  (let (o', pending') := run has_code l o pending in decide (fold_left add pending' o')) =
  decide (fold_left add (pending ++ l) o).
Proof.
  induction l as [|p l IH]; intros o pending; simpl.
  - rewrite app_nil_r. reflexivity.
  - destruct (settled o (its_effect p)) eqn:E.
    + rewrite IH, !decide_fold, !existsb_app. simpl.
      destruct p as [n e r]; unfold settled in E; simpl in E.
      fold (forbidden o) in E. fold (permitted o) in E.
      destruct e, r; unfold is_satisfied; simpl; try reflexivity.
      * apply orb_true_iff in E as [-> | ->]; simpl; [reflexivity|].
        destruct (forbidden o || _); reflexivity.
      * rewrite E. reflexivity.
    + destruct (has_code (number p)).
      * rewrite IH, !decide_fold, !existsb_app. simpl.
        pose proof (forbidden_fold [p] o) as F. pose proof (permitted_fold [p] o) as G.
        simpl in F, G. rewrite F, G.
        repeat match goal with |- context [existsb ?f ?x] => destruct (existsb f x) end;
        destruct (forbidden o), (permitted o), (is_satisfied Forbid p), (is_satisfied Permit p);
        reflexivity.
      * rewrite IH, <- app_assoc. reflexivity.
Qed.

(** The decision is that of evaluating everything. *)
Theorem decide_only_correct : forall has_code l, decide_only has_code l = decide (collect l).
Proof. intros. unfold decide_only. rewrite run_decides. reflexivity. Qed.

(** With fused code, which evaluates some of the policies first: a satisfied forbid among them decides;
    if there are no others, they decide; otherwise everything starts again. *)
Definition decide_fused (has_code : I -> bool) (fused others : list evaluated) : decision :=
  let o := collect fused in
  if forbidden o || negb (some others) then
    if permitted o && negb (forbidden o) then Allow else Deny
  else decide_only has_code (fused ++ others).

Theorem decide_fused_correct : forall has_code fused others,
  decide_fused has_code fused others = decide (collect (fused ++ others)).
Proof.
  intros. unfold decide_fused. rewrite decide_only_correct. unfold collect.
  rewrite decide_fold, forbidden_fold, permitted_fold, !existsb_app. simpl.
  destruct (existsb (is_satisfied Forbid) fused); simpl.
  - rewrite andb_false_r. reflexivity.
  - destruct others; simpl; [|reflexivity].
    rewrite !orb_false_r, andb_true_r. reflexivity.
Qed.

End DecisionOnly.
