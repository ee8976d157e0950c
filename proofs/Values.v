(** Values, entities, requests.

    Models [cedarjit_ir::value::Value] with the heap behind it, and what an evaluation can ask of
    request and store ([ValueContext] in runtime/src/values.rs). Interned names are numbers, as in
    Rust. Values are canonical: a set is strictly ascending in one total order, so that equality of
    sets is equality of lists; [mk_set_canonical] is invariant 7 of docs/architecture.md. *)

From Coq Require Import ZArith NArith List Bool Lia Sorted.
Import ListNotations.

(** An interned string: an attribute's name, a tag's key, or a string's text. *)
Definition name := N.

(** An entity's uid: its type and its id, both interned. *)
Record entity := Entity { etype : N; eid : N }.

Inductive value :=
| VBool (b : bool)
| VLong (z : Z)
| VString (s : name)
| VEntity (e : entity)
| VSet (elements : list value)
| VRecord (fields : list (name * value)).

(** [cedarjit_ir::value::Tag], without extension types. *)
Inductive tag := TBool | TLong | TString | TEntity | TSet | TRecord.

Definition tag_of (v : value) : tag :=
  match v with
  | VBool _ => TBool
  | VLong _ => TLong
  | VString _ => TString
  | VEntity _ => TEntity
  | VSet _ => TSet
  | VRecord _ => TRecord
  end.

Definition tag_eqb (a b : tag) : bool :=
  match a, b with
  | TBool, TBool | TLong, TLong | TString, TString
  | TEntity, TEntity | TSet, TSet | TRecord, TRecord => true
  | _, _ => false
  end.

Lemma tag_eqb_eq : forall a b, tag_eqb a b = true <-> a = b.
Proof. intros [] []; split; intro H; try discriminate; reflexivity. Qed.

Definition entity_eqb (a b : entity) : bool :=
  N.eqb (etype a) (etype b) && N.eqb (eid a) (eid b).

Lemma entity_eqb_eq : forall a b, entity_eqb a b = true <-> a = b.
Proof.
  intros [t i] [u j]. unfold entity_eqb; simpl.
  rewrite andb_true_iff, !N.eqb_eq. split.
  - intros [-> ->]; reflexivity.
  - intro H; inversion H; auto.
Qed.

(** Induction that reaches the elements of sets and the fields of records. *)
Definition value_induction (P : value -> Prop)
  (hb : forall b, P (VBool b)) (hl : forall z, P (VLong z))
  (hs : forall s, P (VString s)) (he : forall e, P (VEntity e))
  (hset : forall l, Forall P l -> P (VSet l))
  (hrec : forall l, Forall (fun kv => P (snd kv)) l -> P (VRecord l)) :
  forall v, P v :=
  fix go v :=
    match v with
    | VBool b => hb b
    | VLong z => hl z
    | VString s => hs s
    | VEntity e => he e
    | VSet l =>
        hset l ((fix all l : Forall P l :=
          match l with
          | [] => Forall_nil _
          | x :: r => Forall_cons x (go x) (all r)
          end) l)
    | VRecord l =>
        hrec l ((fix all l : Forall (fun kv => P (snd kv)) l :=
          match l with
          | [] => Forall_nil _
          | (k, x) :: r =>
              @Forall_cons _ (fun kv => P (snd kv)) (k, x) r (go x) (all r)
          end) l)
    end.

(** ** Equality and order

    Both go through an encoding as a list of numbers, which no two values share. *)

Fixpoint encode (v : value) : list Z :=
  match v with
  | VBool b => [0; Z.b2z b]
  | VLong z => [1; z]
  | VString s => [2; Z.of_N s]
  | VEntity e => [3; Z.of_N (etype e); Z.of_N (eid e)]
  | VSet l => 4 :: Z.of_nat (length l) :: flat_map encode l
  | VRecord l =>
      5 :: Z.of_nat (length l) ::
      flat_map (fun kv => let '(k, x) := kv in Z.of_N k :: encode x) l
  end%Z.

Definition reads_back (a : value) : Prop :=
  forall b r s, encode a ++ r = encode b ++ s -> a = b /\ r = s.

Lemma encode_elements : forall l, Forall reads_back l ->
  forall m r s, length l = length m ->
  flat_map encode l ++ r = flat_map encode m ++ s -> l = m /\ r = s.
Proof.
  induction 1 as [|x l Hx _ IH]; intros [|y m] r s Hlen H; try discriminate; [auto|].
  simpl in H. rewrite <- !app_assoc in H.
  apply Hx in H as [-> H].
  apply IH in H as [-> ->]; auto.
Qed.

Lemma encode_fields : forall l, Forall (fun kv => reads_back (snd kv)) l ->
  forall (m : list (name * value)) r s, length l = length m ->
  flat_map (fun kv : name * value => let '(k, x) := kv in Z.of_N k :: encode x) l ++ r =
  flat_map (fun kv : name * value => let '(k, x) := kv in Z.of_N k :: encode x) m ++ s ->
  l = m /\ r = s.
Proof.
  induction 1 as [|[k x] l Hx _ IH]; intros [|[j y] m] r s Hlen H; try discriminate; [auto|].
  simpl in H. injection H as Hk H.
  rewrite <- !app_assoc in H. simpl in Hx.
  apply Hx in H as [-> H]. apply N2Z.inj in Hk as ->.
  apply IH in H as [-> ->]; auto.
Qed.

Lemma encode_reads_back : forall a, reads_back a.
Proof.
  induction a using value_induction; intros c r tail H0; destruct c; simpl in H0;
    try discriminate.
  - injection H0 as Hb ->. destruct b, b0; try discriminate; auto.
  - injection H0 as -> ->; auto.
  - injection H0 as Hs ->. apply N2Z.inj in Hs as ->; auto.
  - destruct e as [t i], e0 as [u j]; simpl in H0. injection H0 as Ht Hi ->.
    apply N2Z.inj in Ht as ->. apply N2Z.inj in Hi as ->. auto.
  - injection H0 as Hn H0. apply Nat2Z.inj in Hn.
    apply encode_elements in H0 as [-> ->]; auto.
  - injection H0 as Hn H0. apply Nat2Z.inj in Hn.
    apply encode_fields in H0 as [-> ->]; auto.
Qed.

Lemma encode_injective : forall a b, encode a = encode b -> a = b.
Proof.
  intros a b H. apply (encode_reads_back a b [] []). rewrite H; reflexivity.
Qed.

Fixpoint eqb_numbers (a b : list Z) : bool :=
  match a, b with
  | [], [] => true
  | x :: a, y :: b => Z.eqb x y && eqb_numbers a b
  | _, _ => false
  end.

(** Lexicographic. *)
Fixpoint ltb_numbers (a b : list Z) : bool :=
  match a, b with
  | _, [] => false
  | [], _ => true
  | x :: a, y :: b => Z.ltb x y || (Z.eqb x y && ltb_numbers a b)
  end.

Lemma eqb_numbers_eq : forall a b, eqb_numbers a b = true <-> a = b.
Proof.
  induction a as [|x a IH]; intros [|y b]; simpl; split; intro H; try discriminate; auto.
  - apply andb_true_iff in H as [Hx H]. apply Z.eqb_eq in Hx as ->.
    apply IH in H as ->. reflexivity.
  - injection H as -> ->. rewrite Z.eqb_refl. apply IH. reflexivity.
Qed.

Lemma ltb_numbers_irreflexive : forall a, ltb_numbers a a = false.
Proof.
  induction a as [|x a IH]; simpl; auto.
  rewrite Z.ltb_irrefl, Z.eqb_refl, IH. reflexivity.
Qed.

Lemma ltb_numbers_transitive : forall a b c,
  ltb_numbers a b = true -> ltb_numbers b c = true -> ltb_numbers a c = true.
Proof.
  induction a as [|x a IH]; intros [|y b] [|z c]; simpl; intros H K; try discriminate; auto.
  apply orb_true_iff in H as [H|H]; apply orb_true_iff in K as [K|K]; apply orb_true_iff.
  - left. apply Z.ltb_lt in H, K. apply Z.ltb_lt. lia.
  - left. apply andb_true_iff in K as [K _]. apply Z.eqb_eq in K as <-. exact H.
  - left. apply andb_true_iff in H as [H _]. apply Z.eqb_eq in H as ->. exact K.
  - right. apply andb_true_iff in H as [H1 H2], K as [K1 K2].
    apply Z.eqb_eq in H1 as ->. rewrite K1. simpl. eapply IH; eauto.
Qed.

Lemma ltb_numbers_total : forall a b,
  ltb_numbers a b = false -> ltb_numbers b a = false -> a = b.
Proof.
  induction a as [|x a IH]; intros [|y b]; simpl; intros H K; try discriminate; auto.
  apply orb_false_iff in H as [H1 H2], K as [K1 K2].
  apply Z.ltb_ge in H1, K1. assert (x = y) as -> by lia.
  rewrite Z.eqb_refl in H2, K2. simpl in H2, K2. f_equal. auto.
Qed.

(** [==] on values: never fails, false across types. *)
Definition value_eqb (a b : value) : bool := eqb_numbers (encode a) (encode b).
Definition value_ltb (a b : value) : bool := ltb_numbers (encode a) (encode b).
Definition value_lt (a b : value) : Prop := value_ltb a b = true.

Lemma value_eqb_eq : forall a b, value_eqb a b = true <-> a = b.
Proof.
  intros. unfold value_eqb. rewrite eqb_numbers_eq. split; [apply encode_injective|congruence].
Qed.

Lemma value_eqb_refl : forall a, value_eqb a a = true.
Proof. intro. apply value_eqb_eq. reflexivity. Qed.

Lemma value_eqb_neq : forall a b, value_eqb a b = false <-> a <> b.
Proof.
  intros. destruct (value_eqb a b) eqn:E; split; intro H; try discriminate; auto.
  - apply value_eqb_eq in E. contradiction.
  - intros ->. rewrite value_eqb_refl in E. discriminate.
Qed.

Definition mem (v : value) (l : list value) : bool := existsb (value_eqb v) l.

Lemma mem_In : forall v l, mem v l = true <-> In v l.
Proof.
  intros. unfold mem. rewrite existsb_exists. split.
  - intros (x & Hx & E). apply value_eqb_eq in E as ->. exact Hx.
  - intro H. exists v. split; [exact H|apply value_eqb_refl].
Qed.

(** ** Sets *)

Fixpoint insert (v : value) (l : list value) : list value :=
  match l with
  | [] => [v]
  | x :: r =>
      if value_eqb v x then x :: r
      else if value_ltb v x then v :: x :: r
      else x :: insert v r
  end.

(** The elements of the set of these values ([ConstValue::set], [ValueContext::make_set]). *)
Definition mk_set (l : list value) : list value := fold_right insert [] l.

Lemma In_insert : forall v l x, In x (insert v l) <-> x = v \/ In x l.
Proof.
  induction l as [|y l IH]; simpl; intro x.
  - intuition.
  - destruct (value_eqb v y) eqn:E; [apply value_eqb_eq in E as ->|destruct (value_ltb v y)];
      simpl; rewrite ?IH; intuition.
Qed.

Lemma In_mk_set : forall l x, In x (mk_set l) <-> In x l.
Proof.
  induction l as [|y l IH]; simpl; intro x; [tauto|].
  rewrite In_insert, IH. intuition.
Qed.

Lemma insert_sorted : forall v l, StronglySorted value_lt l -> StronglySorted value_lt (insert v l).
Proof.
  induction 1 as [|x l Hl IH Hx]; simpl.
  - repeat constructor.
  - destruct (value_eqb v x) eqn:E; [constructor; auto|].
    destruct (value_ltb v x) eqn:L.
    + constructor; [constructor; auto|]. constructor; [exact L|].
      rewrite Forall_forall in Hx |- *. intros y Hy.
      eapply ltb_numbers_transitive; [exact L|]. apply Hx, Hy.
    + constructor; [exact IH|].
      rewrite Forall_forall in Hx |- *. intros y Hy.
      apply In_insert in Hy as [->|Hy]; [|apply Hx, Hy].
      unfold value_lt. destruct (value_ltb x v) eqn:M; auto.
      exfalso. apply value_eqb_neq in E. apply E.
      apply encode_injective, ltb_numbers_total; assumption.
Qed.

Lemma mk_set_sorted : forall l, StronglySorted value_lt (mk_set l).
Proof. induction l; simpl; [constructor|apply insert_sorted; assumption]. Qed.

Lemma sorted_unique : forall l m,
  StronglySorted value_lt l -> StronglySorted value_lt m ->
  (forall x, In x l <-> In x m) -> l = m.
Proof.
  assert (irreflexive : forall x, ~ value_lt x x).
  { intros x H. unfold value_lt, value_ltb in H. rewrite ltb_numbers_irreflexive in H. discriminate. }
  induction l as [|x l IH]; intros [|y m] Hl Hm H.
  - reflexivity.
  - exfalso. apply (proj2 (H y)). left; reflexivity.
  - exfalso. apply (proj1 (H x)). left; reflexivity.
  - inversion Hl as [|? ? Hl' Fx]; inversion Hm as [|? ? Hm' Fy]; subst.
    rewrite Forall_forall in Fx, Fy.
    assert (x = y) as ->.
    { destruct (proj1 (H x) (or_introl eq_refl)) as [E|E]; [auto|].
      destruct (proj2 (H y) (or_introl eq_refl)) as [F|F]; [auto|].
      exfalso. apply (irreflexive x). eapply ltb_numbers_transitive; [apply Fx, F|apply Fy, E]. }
    f_equal. apply IH; auto. intro z. split; intro Hz.
    + destruct (proj1 (H z) (or_intror Hz)) as [E|E]; auto. subst z.
      exfalso. apply (irreflexive y), Fx, Hz.
    + destruct (proj2 (H z) (or_intror Hz)) as [E|E]; auto. subst z.
      exfalso. apply (irreflexive y), Fy, Hz.
Qed.

(** Sets with the same members are equal values, whatever order and repetitions they were made of. *)
Theorem mk_set_canonical : forall l m,
  (forall x, In x l <-> In x m) <-> VSet (mk_set l) = VSet (mk_set m).
Proof.
  intros l m. split; intro H.
  - f_equal. apply sorted_unique; try apply mk_set_sorted.
    intro x. rewrite !In_mk_set. apply H.
  - injection H as H. intro x. pose proof (In_mk_set l x). pose proof (In_mk_set m x).
    rewrite H in *. tauto.
Qed.

(** ** Records *)

Fixpoint lookup {A} (k : name) (l : list (name * A)) : option A :=
  match l with
  | [] => None
  | (j, v) :: r => if N.eqb k j then Some v else lookup k r
  end.

Fixpoint insert_field (k : name) (v : value) (l : list (name * value)) : list (name * value) :=
  match l with
  | [] => [(k, v)]
  | (j, x) :: r => if N.leb k j then (k, v) :: (j, x) :: r else (j, x) :: insert_field k v r
  end.

(** The fields of a record, ascending by name ([ConstValue::record], [ValueContext::make_record]).
    Cedar refuses literals that repeat a key. *)
Definition mk_record (l : list (name * value)) : list (name * value) :=
  fold_right (fun kv r => insert_field (fst kv) (snd kv) r) [] l.

(** ** Results *)

(** Why an evaluation failed: [ErrorKind] in runtime/src/error.rs, as far as the core can fail. *)
Inductive failure :=
| TypeError
| NoEntity
| NoAttribute
| NoTag
| Overflow
| UnlinkedSlot.

Inductive result (A : Type) :=
| Ok (a : A)
| Fail (f : failure).
Arguments Ok {A}.
Arguments Fail {A}.

Definition bind {A B} (a : result A) (f : A -> result B) : result B :=
  match a with
  | Ok x => f x
  | Fail e => Fail e
  end.

Notation "'let*' x := a 'in' b" := (bind a (fun x => b))
  (at level 200, x pattern, a at level 100, b at level 200).

(** ** Entities and requests *)

(** What the store has of one entity. Ancestors are transitive already, as in
    runtime/src/store/ancestors.rs; the entity itself is not among them. *)
Record stored := Stored {
  attributes : list (name * value);
  tags : list (name * value);
  ancestors : list entity;
}.

(** A request and the entities. *)
Record world := World {
  principal : entity;
  action : entity;
  resource : entity;
  context : value;
  store : entity -> option stored;
}.

Definition exists_in (w : world) (e : entity) : bool :=
  match store w e with Some _ => true | None => false end.

Definition ancestors_of (w : world) (e : entity) : list entity :=
  match store w e with Some s => ancestors s | None => [] end.

(** [ValueContext::in_entity]: a missing entity is in itself only. *)
Definition in_entity (w : world) (e other : entity) : bool :=
  entity_eqb e other || existsb (entity_eqb other) (ancestors_of w e).

Lemma in_entity_iff : forall w e other,
  in_entity w e other = true <-> e = other \/ In other (ancestors_of w e).
Proof.
  intros. unfold in_entity. rewrite orb_true_iff, entity_eqb_eq, existsb_exists.
  split; intros [H|H]; auto.
  - destruct H as (x & Hx & E). apply entity_eqb_eq in E as ->. auto.
  - right. exists other. split; [exact H|]. apply entity_eqb_eq. reflexivity.
Qed.
