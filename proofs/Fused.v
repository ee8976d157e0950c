(** Fused evaluation.

    Models jit/src/emit/fuse.rs ([Emitter::fused], which gives each policy a bit of two words),
    [Fused::restrict] in runtime/src/fused.rs, which masks the policies of other actions, and
    [Outcomes::set_fused] and the iterator [Policies] in runtime/src/outcomes.rs. *)

From Coq Require Import NArith List Bool Lia.
From Proofs Require Import Values Syntax Eval Authorizer.
Import ListNotations.
Local Open Scope N_scope.

Section Bits.
Context {A : Type}.

(** The word that has the bits, from [bit] on, of those that [f] chooses. *)
Fixpoint mask_from (f : A -> bool) (bit : N) (l : list A) (word : N) : N :=
  match l with
  | [] => word
  | x :: rest =>
      mask_from f (bit + 1) rest (if f x then N.lor word (N.shiftl 1 bit) else word)
  end.

Definition mask (f : A -> bool) (l : list A) : N := mask_from f 0 l 0.

(** A flag that was computed without a branch is shifted to its place. *)
Theorem shifted_flag : forall (flag : bool) word bit,
  N.lor word (N.shiftl (N.b2n flag) bit) = if flag then N.lor word (N.shiftl 1 bit) else word.
Proof.
  intros [] word bit; [reflexivity|].
  change (N.b2n false) with 0. rewrite N.shiftl_0_l. apply N.lor_0_r.
Qed.

Definition chosen (f : A -> bool) (l : list A) (i : nat) : bool :=
  match nth_error l i with Some x => f x | None => false end.

Lemma mask_from_testbit : forall f l bit word i,
  N.testbit (mask_from f bit l word) i =
  N.testbit word i || ((bit <=? i) && chosen f l (N.to_nat (i - bit))).
Proof.
  induction l as [|x l IH]; intros bit word i; cbn [mask_from].
  - unfold chosen. destruct (N.to_nat (i - bit)); simpl; rewrite andb_false_r, orb_false_r; reflexivity.
  - rewrite IH. clear IH.
    assert (W : N.testbit (if f x then N.lor word (N.shiftl 1 bit) else word) i =
                N.testbit word i || ((i =? bit) && f x)).
    { destruct (f x).
      - rewrite N.lor_spec, andb_true_r, N.shiftl_1_l, N.pow2_bits_eqb, N.eqb_sym. reflexivity.
      - rewrite andb_false_r, orb_false_r. reflexivity. }
    rewrite W, <- orb_assoc. f_equal.
    destruct (N.lt_trichotomy i bit) as [H|[->|H]].
    + replace (i =? bit) with false by (symmetry; apply N.eqb_neq; lia).
      replace (bit + 1 <=? i) with false by (symmetry; apply N.leb_gt; lia).
      replace (bit <=? i) with false by (symmetry; apply N.leb_gt; lia). reflexivity.
    + rewrite N.eqb_refl, N.leb_refl, N.sub_diag.
      replace (bit + 1 <=? bit) with false by (symmetry; apply N.leb_gt; lia).
      simpl. rewrite orb_false_r. reflexivity.
    + replace (i =? bit) with false by (symmetry; apply N.eqb_neq; lia).
      replace (bit + 1 <=? i) with true by (symmetry; apply N.leb_le; lia).
      replace (bit <=? i) with true by (symmetry; apply N.leb_le; lia). simpl.
      replace (N.to_nat (i - bit)) with (S (N.to_nat (i - (bit + 1)))) by lia. reflexivity.
Qed.

Lemma mask_testbit : forall f l i, N.testbit (mask f l) i = chosen f l (N.to_nat i).
Proof.
  intros. unfold mask. rewrite mask_from_testbit, N.bits_0, N.sub_0_r. simpl.
  replace (0 <=? i) with true by (symmetry; apply N.leb_le; lia). reflexivity.
Qed.

(** ** The iterator *)

Fixpoint trailing_zeros (p : positive) : nat :=
  match p with
  | xO q => S (trailing_zeros q)
  | _ => O
  end.

(** [Policies::next] until the bits are used up; [fuel] bounds how often. *)
Fixpoint drain (fuel : nat) (bits : N) (fused : list A) : list A :=
  match fuel, bits with
  | O, _ | _, 0 => []
  | S fuel, N.pos p =>
      match nth_error fused (trailing_zeros p) with
      | Some x => x :: drain fuel (N.land bits (bits - 1)) fused
      | None => []
      end
  end.

(** The items whose bits are set, in order. *)
Fixpoint select (bits : N) (l : list A) : list A :=
  match l with
  | [] => []
  | x :: rest =>
      if N.testbit bits 0 then x :: select (N.div2 bits) rest else select (N.div2 bits) rest
  end.

Lemma lowest_cleared_double : forall b, b <> 0 ->
  N.land (2 * b) (2 * b - 1) = 2 * N.land b (b - 1).
Proof.
  intros b H. replace (2 * b - 1) with (2 * (b - 1) + 1) by lia.
  apply N.bits_inj. intro i. rewrite N.land_spec.
  destruct (N.eq_dec i 0) as [->|Hi].
  - rewrite !N.testbit_even_0. reflexivity.
  - replace i with (N.succ (N.pred i)) by lia.
    rewrite !N.testbit_even_succ, N.testbit_odd_succ, N.land_spec by lia. reflexivity.
Qed.

Lemma lowest_cleared_odd : forall b, N.land (2 * b + 1) (2 * b + 1 - 1) = 2 * b.
Proof.
  intro b. replace (2 * b + 1 - 1) with (2 * b) by lia.
  apply N.bits_inj. intro i. rewrite N.land_spec.
  destruct (N.eq_dec i 0) as [->|Hi].
  - rewrite N.testbit_even_0. apply andb_false_r.
  - replace i with (N.succ (N.pred i)) by lia.
    rewrite N.testbit_even_succ, N.testbit_odd_succ by lia. apply andb_diag.
Qed.

Lemma drain_empty : forall fuel l, drain fuel 0 l = [].
Proof. intros []; reflexivity. Qed.

Lemma drain_double : forall fuel b x l, drain fuel (2 * b) (x :: l) = drain fuel b l.
Proof.
  induction fuel as [|fuel IH]; intros b x l; [reflexivity|].
  destruct b as [|p]; [reflexivity|].
  change (2 * N.pos p) with (N.pos p~0). cbn [drain trailing_zeros nth_error].
  destruct (nth_error l (trailing_zeros p)) as [y|]; [|reflexivity]. f_equal.
  change (N.pos p~0) with (2 * N.pos p). rewrite lowest_cleared_double by discriminate. apply IH.
Qed.

(** The iterator gives the items whose bits are set, each once, in order. *)
Theorem drain_selects : forall l fuel b, (length l <= fuel)%nat -> drain fuel b l = select b l.
Proof.
  induction l as [|x l IH]; intros fuel b H.
  - destruct fuel, b; simpl; auto. destruct (trailing_zeros p); reflexivity.
  - simpl in H. destruct fuel as [|fuel]; [lia|]. cbn [select].
    destruct (N.testbit b 0) eqn:O.
    + assert (b = 2 * N.div2 b + 1) as E.
      { rewrite N.bit0_odd in O. pose proof (N.div2_odd b) as D. rewrite O in D. exact D. }
      rewrite E at 1. clear E O. set (c := N.div2 b).
      replace (drain (S fuel) (2 * c + 1) (x :: l)) with (x :: drain fuel (2 * c) (x :: l)).
      * rewrite drain_double. f_equal. apply IH. lia.
      * destruct c as [|p]; [simpl; destruct fuel; reflexivity|].
        change (2 * N.pos p + 1) with (N.pos p~1). cbn [drain trailing_zeros nth_error]. f_equal.
        change (N.pos p~1) with (2 * N.pos p + 1). rewrite lowest_cleared_odd. reflexivity.
    + assert (b = 2 * N.div2 b) as E.
      { rewrite N.bit0_odd in O. pose proof (N.div2_odd b) as D. rewrite O in D.
        rewrite D at 1. simpl. lia. }
      rewrite E at 1. rewrite drain_double. apply IH. lia.
Qed.

Lemma select_filter : forall h l b,
  (forall i x, nth_error l i = Some x -> N.testbit b (N.of_nat i) = h x) -> select b l = filter h l.
Proof.
  induction l as [|x l IH]; intros b H; [reflexivity|]. cbn [select filter].
  pose proof (H 0%nat x eq_refl) as Z. change (N.of_nat 0) with 0 in Z. rewrite Z, (IH (N.div2 b)); [reflexivity|].
  intros i y E. rewrite N.div2_spec, N.shiftr_spec by lia.
  rewrite <- (H (S i) y E). f_equal. lia.
Qed.

End Bits.

(** ** One function for many policies *)

Section Fused.
Context {I : Type}.
Notation evaluated := (evaluated I).
Notation outcomes := (outcomes I).

Definition is_satisfied_any (p : evaluated) : bool :=
  match its_outcome p with Satisfied => true | _ => false end.

Definition is_permit (p : evaluated) : bool :=
  match its_effect p with Permit => true | Forbid => false end.

(** What the function returns: bits of those that are satisfied, and of those that failed. *)
Definition fused_satisfied (l : list evaluated) : N := mask is_satisfied_any l.
Definition fused_failed (l : list evaluated) : N := mask is_failed l.

(** [Fused::restrict], [Outcomes::set_fused], and what [Policies] makes of the bits; [others] are the
    policies that run by themselves. *)
Definition fused_outcomes (applicable : evaluated -> bool) (l others : list evaluated) : outcomes :=
  let applies := mask applicable l in
  let satisfied := N.land (fused_satisfied l) applies in
  let failing := N.land (fused_failed l) applies in
  let permit := mask is_permit l in
  let o := collect others in
  let policies bits := map number (drain 64 bits l) in
  Outcomes (policies (N.land satisfied permit) ++ permits o)
           (policies (N.ldiff satisfied permit) ++ forbids o)
           (policies failing ++ failed o).

Lemma chosen_at : forall (f : evaluated -> bool) l i x,
  nth_error l i = Some x -> chosen f l (N.to_nat (N.of_nat i)) = f x.
Proof. intros f l i x H. unfold chosen. rewrite Nnat.Nat2N.id, H. reflexivity. Qed.

Lemma filter_filter : forall A (f g : A -> bool) l,
  filter f (filter g l) = filter (fun x => f x && g x) l.
Proof.
  induction l as [|x l IH]; simpl; [reflexivity|].
  destruct (g x); simpl; rewrite IH; destruct (f x); reflexivity.
Qed.

(** Fused evaluation, restricted to the policies that apply, is evaluating those one by one. *)
Theorem fused_correct : forall applicable l others, (length l <= 64)%nat ->
  fused_outcomes applicable l others = collect (filter applicable l ++ others).
Proof.
  intros applicable l others H. unfold fused_outcomes. cbv zeta. rewrite !collect_is.
  unfold numbers. rewrite !filter_app, !map_app, !filter_filter. cbn [permits forbids failed].
  rewrite !drain_selects by assumption.
  f_equal; do 2 f_equal; apply select_filter; intros i x E;
    rewrite ?N.land_spec, ?N.ldiff_spec, ?N.land_spec; unfold fused_satisfied, fused_failed;
    rewrite !mask_testbit, !(chosen_at _ _ _ _ E); unfold is_satisfied_any, is_permit, is_satisfied, is_failed;
    destruct (its_outcome x), (its_effect x), (applicable x); reflexivity.
Qed.

(** [FusedOutcomes::unpack]: both in one word, where the policies are few. *)
Definition packed (l : list evaluated) : N :=
  N.lor (fused_satisfied l) (N.shiftl (fused_failed l) 32).

Lemma beyond : forall (f : evaluated -> bool) l i, (length l <= 32)%nat -> 32 <= i ->
  N.testbit (mask f l) i = false.
Proof.
  intros f l i H I32. rewrite mask_testbit. unfold chosen.
  rewrite (proj2 (nth_error_None l (N.to_nat i))); [reflexivity|lia].
Qed.

Theorem unpacked : forall l, (length l <= 32)%nat ->
  N.land (packed l) (N.ones 32) = fused_satisfied l /\ N.shiftr (packed l) 32 = fused_failed l.
Proof.
  intros l H. unfold packed, fused_satisfied, fused_failed. split; apply N.bits_inj; intro i.
  - rewrite N.land_spec, N.lor_spec. destruct (N.lt_ge_cases i 32) as [L|L].
    + rewrite N.ones_spec_low, N.shiftl_spec_low by exact L. rewrite orb_false_r, andb_true_r.
      reflexivity.
    + rewrite N.ones_spec_high by exact L. rewrite andb_false_r. symmetry. apply beyond; assumption.
  - rewrite N.shiftr_spec, N.lor_spec by lia. rewrite beyond by (try assumption; lia).
    rewrite N.shiftl_spec_high by lia. rewrite N.add_sub. reflexivity.
Qed.

(** All bits of both mean that the code gave up: no outcome has a bit in both. *)
Theorem never_both : forall l, N.land (fused_satisfied l) (fused_failed l) = 0.
Proof.
  intro l. apply N.bits_inj. intro i. rewrite N.land_spec, N.bits_0.
  unfold fused_satisfied, fused_failed. rewrite !mask_testbit. unfold chosen.
  destruct (nth_error l (N.to_nat i)) as [p|]; [|reflexivity].
  unfold is_satisfied_any, is_failed. destruct (its_outcome p); reflexivity.
Qed.

End Fused.
