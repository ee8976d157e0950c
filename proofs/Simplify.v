(** Simplification while a body is built.

    Models [BodyBuilder::simplify] and what follows from it in ir/src/builder.rs, and [infer]'s claim of
    what may fail in ir/src/expr.rs. An operand is dropped only if it is never evaluated or cannot fail;
    a Boolean operator is replaced by its operand only if that is a Boolean.

    [same] stands for the identity of nodes, which implies that the expressions are the same. *)

From Coq Require Import NArith List Bool.
From Proofs Require Import Values Syntax Eval Fold Shapes Known.
Import ListNotations.

Definition is_type (t : tag) (e : expr constant) : bool :=
  match infer e with Some u => tag_eqb u t | None => false end.

(** What two operands have to be for an operator not to fail on them: [infer_binary]. *)
Definition binary_may_fail (op : binary_op) (a b : expr constant) : bool :=
  match op with
  | Eq => false
  | Less | LessEq => negb (is_type TLong a && is_type TLong b)
  | Add | Sub | Mul | GetTag => true
  | InOp => negb (is_type TEntity a && is_type TEntity b)
  | Contains => negb (is_type TSet a)
  | ContainsAll | ContainsAny => negb (is_type TSet a && is_type TSet b)
  | HasTag => negb (is_type TEntity a && is_type TString b)
  end.

(** [infer]: whether evaluating an expression may fail. What is no IR may. *)
Fixpoint may_fail (e : expr constant) : bool :=
  match e with
  | Const (CType _) => true
  | Const _ | EBool _ | Var _ => false
  | Unary Not a => may_fail a || negb (is_type TBool a)
  | Unary Neg _ => true
  | Unary IsEmpty a => may_fail a || negb (is_type TSet a)
  | Binary op a b => may_fail a || may_fail b || binary_may_fail op a b
  | And l | Or l => existsb (fun x => may_fail x || negb (is_type TBool x)) l
  | If c t e => may_fail c || may_fail t || may_fail e || negb (is_type TBool c)
  | GetAttr _ _ => true
  | Has e [_] => may_fail e || negb (is_type TEntity e || is_type TRecord e)
  | Has _ _ => true
  | Is e _ => may_fail e || negb (is_type TEntity e)
  | IsIn _ _ _ => true
  | SetOf l => existsb may_fail l
  | RecordOf l => existsb (fun kv => let '(_, x) := kv in may_fail x) l
  end.

Section Rules.
Variable same : expr constant -> expr constant -> bool.

Definition bool_of (e : expr constant) : option bool :=
  match e with
  | EBool b | Const (CValue (VBool b)) => Some b
  | _ => None
  end.

Definition simplify_not (a : expr constant) : expr constant :=
  match bool_of a, a with
  | Some b, _ => EBool (negb b)
  | None, Unary Not x => if is_type TBool x then x else Unary Not a
  | None, _ => Unary Not a
  end.

(** The operands that [simplify_chain] keeps. *)
Fixpoint keep (stop : bool) (seen l : list (expr constant)) : list (expr constant) :=
  match l with
  | [] => []
  | x :: rest =>
      match bool_of x with
      | Some b => if Bool.eqb b stop then [x] else keep stop seen rest
      | None =>
          if existsb (same x) seen && is_type TBool x then keep stop seen rest
          else x :: keep stop (x :: seen) rest
      end
  end.

Definition harmless (e : expr constant) : bool := is_type TBool e && negb (may_fail e).

Definition is_stop (stop : bool) (e : expr constant) : bool :=
  match bool_of e with Some b => Bool.eqb b stop | None => false end.

(** [BodyBuilder::simplify_chain] *)
Definition simplify_chain (stop : bool) (l : list (expr constant)) : expr constant :=
  let kept := keep stop [] l in
  match kept with
  | [] => EBool (negb stop)
  | first :: rest =>
      let final := last kept first in
      if (is_stop stop final && forallb harmless (removelast kept)) ||
         (match rest with [] => is_type TBool final | _ => false end)
      then final
      else if stop then Or kept else And kept
  end.

Definition simplify_if (c t e : expr constant) : expr constant :=
  match bool_of c with
  | Some true => t
  | Some false => e
  | None => if same t e && harmless c then t else If c t e
  end.

(** [BodyBuilder::simplify_eq] *)
Definition simplify_eq (a b : expr constant) : expr constant :=
  if may_fail a || may_fail b then Binary Eq a b
  else if same a b then EBool true
  else
    match infer a, infer b with
    | Some t, Some u => if tag_eqb t u then Binary Eq a b else EBool false
    | _, _ => Binary Eq a b
    end.

(** Every construct is simplified as it is built, its operands before it. *)
Fixpoint simplified (e : expr constant) : expr constant :=
  match e with
  | Const c => Const c
  | EBool h => EBool h
  | Var v => Var v
  | Unary Not a => simplify_not (simplified a)
  | Unary op a => Unary op (simplified a)
  | Binary Eq x y => simplify_eq (simplified x) (simplified y)
  | Binary op x y => Binary op (simplified x) (simplified y)
  | And l => simplify_chain false (map simplified l)
  | Or l => simplify_chain true (map simplified l)
  | If c t e => simplify_if (simplified c) (simplified t) (simplified e)
  | GetAttr e k => GetAttr (simplified e) k
  | Has e path => Has (simplified e) path
  | Is e t => Is (simplified e) t
  | IsIn e t o => IsIn (simplified e) t (simplified o)
  | SetOf l => SetOf (map simplified l)
  | RecordOf l => RecordOf (map (fun kv => let '(k, x) := kv in (k, simplified x)) l)
  end.

(** ** Soundness *)

Hypothesis same_sound : forall a b, same a b = true -> a = b.
Variable f : facts.
Variable b : bindings.
Hypothesis all_linked : forall s, exists e, b s = Some e.
Variable w : world.
Hypothesis vouched : facts_hold w f.
Notation result_of e := (eval w (linked b) e).

Lemma is_type_sound : forall t e v, is_type t e = true -> result_of e = Ok v -> tag_of v = t.
Proof.
  intros t e v H E. unfold is_type in H. destruct (infer e) as [u|] eqn:I; [|discriminate].
  apply tag_eqb_eq in H as ->. eapply (infer_sound f b w vouched); eauto.
Qed.

Ltac known_operand IH H v V :=
  destruct (IH H) as [v V]; cbn [eval]; rewrite V.

Lemma chain_certain : forall stop l, Forall (fun x => exists h, result_of x = Ok (VBool h)) l ->
  exists h, chain (eval w (linked b)) stop l = Ok (VBool h).
Proof.
  induction 1 as [|x l [h H] _ IH]; cbn [chain]; [eauto|].
  rewrite H. simpl. destruct (Bool.eqb h stop); eauto.
Qed.

Lemma harmless_certain : forall x, (may_fail x = false -> exists v, result_of x = Ok v) ->
  may_fail x = false -> is_type TBool x = true -> exists h, result_of x = Ok (VBool h).
Proof.
  intros x S M T. destruct (S M) as [v V]. pose proof (is_type_sound _ _ _ T V) as G.
  destruct v; try discriminate. eauto.
Qed.

Lemma certain_operands : forall l,
  Forall (fun x => may_fail x = false -> exists v, result_of x = Ok v) l ->
  existsb (fun x => may_fail x || negb (is_type TBool x)) l = false ->
  Forall (fun x => exists h, result_of x = Ok (VBool h)) l.
Proof.
  induction 1 as [|x l Hx _ IH]; intro E; constructor; simpl in E;
    apply orb_false_iff in E as [E1 E2]; auto.
  apply orb_false_iff in E1 as [M T]. apply negb_false_iff in T.
  apply harmless_certain; assumption.
Qed.

(** What is said not to fail does not. *)
Theorem may_fail_sound : forall e, may_fail e = false -> exists v, result_of e = Ok v.
Proof.
  induction e using expr_induction; intro M; cbn [may_fail] in M; try discriminate.
  - destruct c as [v|s|t]; try discriminate; cbn [eval value_of linked]; eauto.
    destruct (all_linked s) as [e E]. simpl. rewrite E. simpl. eauto.
  - eexists; reflexivity.
  - eexists; reflexivity.
  - destruct op; try discriminate; apply orb_false_iff in M as [M T]; apply negb_false_iff in T;
      destruct (IHe M) as [v V]; pose proof (is_type_sound _ _ _ T V);
      destruct v; try discriminate; cbn [eval]; rewrite V; eexists; reflexivity.
  - apply orb_false_iff in M as [M T]. apply orb_false_iff in M as [M1 M2].
    destruct (IHe1 M1) as [v V], (IHe2 M2) as [u U]. cbn [eval]. rewrite V, U. cbn [bind].
    destruct op; simpl in T; try discriminate; try apply negb_false_iff in T;
      try (apply andb_true_iff in T as [T1 T2];
           pose proof (is_type_sound _ _ _ T1 V); pose proof (is_type_sound _ _ _ T2 U);
           destruct v; try discriminate; destruct u; try discriminate; eexists; reflexivity).
    + eexists; reflexivity.
    + pose proof (is_type_sound _ _ _ T V). destruct v; try discriminate. eexists; reflexivity.
  - destruct (chain_certain false l (certain_operands l H M)) as [h E]. exists (VBool h). exact E.
  - destruct (chain_certain true l (certain_operands l H M)) as [h E]. exists (VBool h). exact E.
  - apply orb_false_iff in M as [M T]. apply orb_false_iff in M as [M M3].
    apply orb_false_iff in M as [M1 M2]. apply negb_false_iff in T.
    destruct (harmless_certain _ IHe1 M1 T) as [h V]. cbn [eval]. rewrite V. simpl.
    destruct h; auto.
  - destruct path as [|k [|]]; try discriminate. apply orb_false_iff in M as [M T].
    apply negb_false_iff, orb_true_iff in T. destruct (IHe M) as [v V]. cbn [eval]. rewrite V. simpl.
    destruct T as [T|T]; pose proof (is_type_sound _ _ _ T V); destruct v; try discriminate; simpl;
      match goal with |- context [lookup k ?l] => destruct (lookup k l) end; eauto.
  - apply orb_false_iff in M as [M T]. apply negb_false_iff in T. destruct (IHe M) as [v V].
    pose proof (is_type_sound _ _ _ T V). destruct v; try discriminate.
    cbn [eval]. rewrite V. eexists; reflexivity.
  - cbn [eval]. assert (exists vs, all (eval w (linked b)) l = Ok vs) as [vs E].
    { induction H as [|x l Hx _ IH]; cbn [all]; [eauto|]. simpl in M. apply orb_false_iff in M as [M1 M2].
      destruct (Hx M1) as [v ->], (IH M2) as [vs ->]. simpl. eauto. }
    rewrite E. eexists; reflexivity.
  - cbn [eval]. match goal with |- exists v, (let* vs := ?r in _) = Ok v => assert (exists vs, r = Ok vs) as [vs E] end.
    { induction H as [|[k x] l Hx _ IH]; cbn [all]; [eauto|]. simpl in M. apply orb_false_iff in M as [M1 M2].
      destruct (Hx M1) as [v V], (IH M2) as [vs ->]. simpl in V. rewrite V. simpl. eauto. }
    rewrite E. eexists; reflexivity.
Qed.

Lemma bool_of_sound : forall e h, bool_of e = Some h -> result_of e = Ok (VBool h).
Proof.
  intros e h H. destruct e; try discriminate.
  - destruct c as [[]| |]; try discriminate. injection H as ->. reflexivity.
  - injection H as ->. reflexivity.
Qed.

Theorem simplify_not_correct : forall a, result_of (simplify_not a) = result_of (Unary Not a).
Proof.
  intro a. unfold simplify_not. destruct (bool_of a) as [h|] eqn:B.
  - cbn [eval]. rewrite (bool_of_sound _ _ B). reflexivity.
  - destruct a; try reflexivity. destruct op; try reflexivity.
    destruct (is_type TBool a) eqn:T; [|reflexivity]. cbn [eval].
    destruct (result_of a) as [v|] eqn:V; [|reflexivity].
    pose proof (is_type_sound _ _ _ T V). destruct v; try discriminate. simpl.
    rewrite negb_involutive. reflexivity.
Qed.

Lemma keep_correct : forall stop l seen,
  (forall s, In s seen -> result_of s = Ok (VBool (negb stop))) ->
  chain (eval w (linked b)) stop (keep stop seen l) = chain (eval w (linked b)) stop l.
Proof.
  intros stop. assert (N : Bool.eqb (negb stop) stop = false) by (destruct stop; reflexivity).
  induction l as [|x l IH]; intros seen S; [reflexivity|]. cbn [keep].
  destruct (bool_of x) as [h|] eqn:B.
  - pose proof (bool_of_sound _ _ B) as V. destruct (Bool.eqb h stop) eqn:E.
    + cbn [chain]. rewrite V. simpl. rewrite E. reflexivity.
    + rewrite IH by assumption. cbn [chain]. rewrite V. simpl. rewrite E. reflexivity.
  - destruct (existsb (same x) seen && is_type TBool x) eqn:E.
    + apply andb_true_iff in E as [E _]. apply existsb_exists in E as (s & Hs & E).
      apply same_sound in E as <-. rewrite IH by assumption. cbn [chain]. rewrite (S x Hs). simpl.
      rewrite N. reflexivity.
    + cbn [chain]. destruct (result_of x) as [v|] eqn:V; simpl; [|reflexivity].
      destruct (as_bool v) as [h|] eqn:A; simpl; [|reflexivity].
      destruct (Bool.eqb h stop) eqn:D; [reflexivity|]. apply IH.
      intros s [<-|Hs]; [|apply S, Hs]. rewrite V. destruct v; try discriminate. injection A as ->.
      destruct h, stop; try discriminate; reflexivity.
Qed.

Definition chain_of (stop : bool) (l : list (expr constant)) : expr constant :=
  if stop then Or l else And l.

Lemma chain_of_eval : forall stop l, result_of (chain_of stop l) = chain (eval w (linked b)) stop l.
Proof. intros []; reflexivity. Qed.

Theorem simplify_chain_correct : forall stop l,
  result_of (simplify_chain stop l) = result_of (chain_of stop l).
Proof.
  intros stop l. rewrite chain_of_eval, <- (keep_correct stop l []) by (intros s []).
  unfold simplify_chain. destruct (keep stop [] l) as [|x rest] eqn:K; [destruct stop; reflexivity|].
  destruct (is_stop stop (last (x :: rest) x) && forallb harmless (removelast (x :: rest))) eqn:D;
    cbn [orb].
  - apply andb_true_iff in D as [D H].
    rewrite (app_removelast_last x (l := x :: rest)) at 2 by discriminate.
    rewrite chain_app. unfold is_stop in D.
    destruct (bool_of (last (x :: rest) x)) as [h|] eqn:B; [|discriminate].
    apply Bool.eqb_prop in D as ->. pose proof (bool_of_sound _ _ B) as V.
    rewrite forallb_forall in H.
    destruct (chain_certain stop (removelast (x :: rest))) as [h ->].
    { apply Forall_forall. intros y Hy. specialize (H y Hy). unfold harmless in H.
      apply andb_true_iff in H as [T M]. apply negb_true_iff in M.
      apply harmless_certain; auto. apply may_fail_sound. }
    rewrite V. cbn [bind as_bool]. destruct (Bool.eqb h stop) eqn:E; [reflexivity|].
    cbn [chain]. rewrite V. cbn [bind as_bool]. rewrite Bool.eqb_reflx. reflexivity.
  - destruct rest as [|y rest]; [|destruct stop; reflexivity].
    cbn [last]. destruct (is_type TBool x) eqn:T; [|destruct stop; reflexivity].
    cbn [chain]. destruct (result_of x) as [v|] eqn:V; [|reflexivity].
    pose proof (is_type_sound _ _ _ T V). destruct v; try discriminate. simpl.
    destruct b0, stop; reflexivity.
Qed.

Theorem simplify_if_correct : forall c t e, result_of (simplify_if c t e) = result_of (If c t e).
Proof.
  intros. unfold simplify_if. destruct (bool_of c) as [h|] eqn:B.
  - cbn [eval]. rewrite (bool_of_sound _ _ B). destruct h; reflexivity.
  - destruct (same t e && harmless c) eqn:S; [|reflexivity].
    apply andb_true_iff in S as [S H]. apply same_sound in S as <-. unfold harmless in H.
    apply andb_true_iff in H as [T M]. apply negb_true_iff in M.
    destruct (harmless_certain c (may_fail_sound c) M T) as [h V].
    cbn [eval]. rewrite V. destruct h; reflexivity.
Qed.

Theorem simplify_eq_correct : forall x y, result_of (simplify_eq x y) = result_of (Binary Eq x y).
Proof.
  intros. unfold simplify_eq. destruct (may_fail x || may_fail y) eqn:M; [reflexivity|].
  apply orb_false_iff in M as [Mx My].
  destruct (may_fail_sound x Mx) as [v V], (may_fail_sound y My) as [u U].
  destruct (same x y) eqn:S.
  - apply same_sound in S as <-. cbn [eval]. rewrite V. simpl. rewrite value_eqb_refl. reflexivity.
  - destruct (infer x) as [t|] eqn:Tx; [|reflexivity]. destruct (infer y) as [s|] eqn:Ty; [|reflexivity].
    destruct (tag_eqb t s) eqn:E; [reflexivity|]. cbn [eval]. rewrite V, U. simpl.
    replace (value_eqb v u) with false; [reflexivity|]. symmetry. apply value_eqb_neq. intros ->.
    pose proof (infer_sound f b w vouched _ _ _ Tx V).
    pose proof (infer_sound f b w vouched _ _ _ Ty U).
    assert (t = s) by congruence. apply tag_eqb_eq in H1. congruence.
Qed.

(** Simplifying preserves every result, failures included. *)
Theorem simplified_correct : forall e, result_of (simplified e) = result_of e.
Proof.
  induction e using expr_induction; cbn [simplified]; try reflexivity.
  - destruct op; rewrite ?simplify_not_correct; cbn [eval]; rewrite IHe; reflexivity.
  - destruct op; rewrite ?simplify_eq_correct; cbn [eval]; rewrite IHe1, IHe2; reflexivity.
  - rewrite simplify_chain_correct, chain_of_eval. cbn [eval]. apply chain_ext, Forall2_map_left, H.
  - rewrite simplify_chain_correct, chain_of_eval. cbn [eval]. apply chain_ext, Forall2_map_left, H.
  - rewrite simplify_if_correct. cbn [eval]. rewrite IHe1, IHe2, IHe3. reflexivity.
  - cbn [eval]. rewrite IHe. reflexivity.
  - cbn [eval]. rewrite IHe. reflexivity.
  - cbn [eval]. rewrite IHe. reflexivity.
  - cbn [eval]. rewrite IHe1, IHe2. reflexivity.
  - cbn [eval]. f_equal. apply all_ext, Forall2_map_left, H.
  - cbn [eval]. f_equal. apply all_ext, Forall2_map_left.
    eapply Forall_impl; [|exact H]. intros [k x] Hx. simpl in *. rewrite Hx. reflexivity.
Qed.

(** From a policy's text to its simplified body and table. *)
Theorem simplified_policy_correct : forall p,
  let built := simplified (lower_policy p) in
  eval w (table b (constants built)) (body_of built) =
  let* h := evaluate w b (without_action p) in Ok (VBool h).
Proof. intros. unfold built. rewrite body_correct, simplified_correct. apply lower_policy_correct. Qed.

End Rules.
