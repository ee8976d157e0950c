(** What the types of parents say of [in].

    Models [Analysed::is_flat] and [apart] in jit/src/emit/known.rs with what they rely on, the types of
    parents in runtime/src/facts.rs: where no entity of the left side's type can be in one of the right
    side's, [in] is equality, or [contains], and false between different types. *)

From Coq Require Import NArith List Bool.
From Proofs Require Import Values Syntax Eval.
Import ListNotations.

Section Flat.
Variable w : world.

(** The parents that ancestors were found from. *)
Variable parents : entity -> list entity.

Inductive above : entity -> entity -> Prop :=
| above_parent : forall e p, In p (parents e) -> above e p
| above_further : forall e p a, In p (parents e) -> above p a -> above e a.

Hypothesis closed : forall e a, In a (ancestors_of w e) -> above e a.

(** The types of the parents that entities of a type have: [StoreFacts::parents]. *)
Variable parent_types : N -> list N.
Hypothesis observed : forall e p, In p (parents e) -> In (etype p) (parent_types (etype e)).

(** [StoreFacts::may_be_in] *)
Inductive may_be_in : N -> N -> Prop :=
| in_parent : forall t p, In p (parent_types t) -> may_be_in t p
| in_further : forall t p a, In p (parent_types t) -> may_be_in p a -> may_be_in t a.

Theorem types_of_ancestors : forall e a,
  In a (ancestors_of w e) -> may_be_in (etype e) (etype a).
Proof.
  intros e a H. apply closed in H. induction H as [e p P|e p a P _ IH].
  - apply in_parent, observed, P.
  - eapply in_further; [apply observed, P|exact IH].
Qed.

(** The right side's elements are entities of this type. *)
Definition of_type (t : N) (l : list value) : Prop :=
  forall v, In v l -> exists o, v = VEntity o /\ etype o = t.

Lemma flat_in_entity : forall e o, ~ may_be_in (etype e) (etype o) -> in_entity w e o = entity_eqb e o.
Proof.
  intros e o H. unfold in_entity. destruct (existsb (entity_eqb o) (ancestors_of w e)) eqn:E.
  - apply existsb_exists in E as (a & A & S). apply entity_eqb_eq in S as ->.
    destruct (H (types_of_ancestors _ _ A)).
  - apply orb_false_r.
Qed.

Theorem flat_is_equality : forall e o, ~ may_be_in (etype e) (etype o) ->
  is_in w e (VEntity o) = Ok (VBool (value_eqb (VEntity e) (VEntity o))).
Proof.
  intros e o H. simpl is_in. rewrite (flat_in_entity _ _ H). do 2 f_equal.
  apply eq_true_iff_eq. rewrite entity_eqb_eq, value_eqb_eq. split; congruence.
Qed.

Lemma of_type_entities : forall t l, of_type t l -> forallb is_entity l = true.
Proof.
  intros t l H. apply forallb_forall. intros v V. destruct (H v V) as (o & -> & _). reflexivity.
Qed.

Theorem flat_is_contains : forall e t l, of_type t l -> ~ may_be_in (etype e) t ->
  is_in w e (VSet l) = Ok (VBool (mem (VEntity e) l)).
Proof.
  intros e t l L H. simpl is_in. rewrite (of_type_entities _ _ L). do 2 f_equal.
  unfold mem. apply eq_true_iff_eq. rewrite !existsb_exists.
  split; intros (v & V & E); exists v; (split; [exact V|]); destruct (L v V) as (o & -> & <-).
  - rewrite (flat_in_entity _ _ H), entity_eqb_eq in E. apply value_eqb_eq. congruence.
  - rewrite (flat_in_entity _ _ H), entity_eqb_eq. apply value_eqb_eq in E. congruence.
Qed.

Theorem flat_between_types : forall e t l, of_type t l -> ~ may_be_in (etype e) t -> etype e <> t ->
  is_in w e (VSet l) = Ok (VBool false).
Proof.
  intros e t l L H D. rewrite (flat_is_contains _ _ _ L H). do 2 f_equal.
  unfold mem. apply not_true_iff_false. rewrite existsb_exists.
  intros (v & V & E). destruct (L v V) as (o & -> & O). apply value_eqb_eq in E. congruence.
Qed.

End Flat.

(** Parents' types alone are not enough: an entity may be in one of a type that none of its parents has. *)
Theorem parents_alone_do_not_tell : exists w e o,
  let parents e := if entity_eqb e (Entity 0 0) then [Entity 1 0] else
                   if entity_eqb e (Entity 1 0) then [Entity 2 0] else [] in
  (forall e a, In a (ancestors_of w e) -> above parents e a) /\
  Forall (fun p => etype p <> etype o) (parents e) /\ in_entity w e o = true.
Proof.
  pose (store := fun e : entity =>
    if entity_eqb e (Entity 0 0) then Some (Stored [] [] [Entity 1 0; Entity 2 0]) else None).
  exists (World (Entity 0 0) (Entity 0 0) (Entity 0 0) (VRecord []) store), (Entity 0 0), (Entity 2 0).
  intro parents. split; [|split].
  - intros e a H. unfold ancestors_of, store in H. simpl in H.
    destruct (entity_eqb e (Entity 0 0)) eqn:E; [|destruct H].
    apply entity_eqb_eq in E as ->. simpl in H. destruct H as [<-|[<-|[]]].
    + apply above_parent. simpl. auto.
    + eapply above_further; [simpl; auto|]. apply above_parent. simpl. auto.
  - repeat constructor. discriminate.
  - reflexivity.
Qed.
