(** The authorizer.

    Models [Outcomes] in runtime/src/outcomes.rs, which collects what each policy came to, and
    [Outcomes::decision], [Outcomes::reasons] and [Outcomes::failed]. *)

From Coq Require Import List Bool Permutation.
From Proofs Require Import Values Syntax Eval.
Import ListNotations.

(** What one policy came to: [cedarjit_ir::abi::Outcome]. *)
Inductive outcome := Satisfied | Unsatisfied | Failed.

Definition outcome_of (r : result bool) : outcome :=
  match r with
  | Ok true => Satisfied
  | Ok false => Unsatisfied
  | Fail _ => Failed
  end.

(** ** One policy after the other *)

Section Authorizer.
(** [I] are the policies' numbers. *)
Context {I : Type}.

Record outcomes := Outcomes {
  permits : list I;
  forbids : list I;
  failed : list I;
}.

Definition none : outcomes := Outcomes [] [] [].

(** A policy that was evaluated. *)
Record evaluated := Evaluated { number : I; its_effect : effect; its_outcome : outcome }.

(** [Outcomes::add] *)
Definition add (o : outcomes) (p : evaluated) : outcomes :=
  match its_outcome p, its_effect p with
  | Unsatisfied, _ => o
  | Satisfied, Permit => Outcomes (permits o ++ [number p]) (forbids o) (failed o)
  | Satisfied, Forbid => Outcomes (permits o) (forbids o ++ [number p]) (failed o)
  | Failed, _ => Outcomes (permits o) (forbids o) (failed o ++ [number p])
  end.

Definition collect (l : list evaluated) : outcomes := fold_left add l none.

Inductive decision := Allow | Deny.

(** [Outcomes::decision] *)
Definition decide (o : outcomes) : decision :=
  match forbids o, permits o with
  | [], _ :: _ => Allow
  | _, _ => Deny
  end.

(** [Outcomes::reasons] *)
Definition reasons (o : outcomes) : list I :=
  match forbids o with
  | [] => permits o
  | _ => forbids o
  end.

(** ** What that means *)

Definition is_satisfied (e : effect) (p : evaluated) : bool :=
  match its_outcome p, its_effect p, e with
  | Satisfied, Permit, Permit | Satisfied, Forbid, Forbid => true
  | _, _, _ => false
  end.

Definition is_failed (p : evaluated) : bool :=
  match its_outcome p with Failed => true | _ => false end.

Definition numbers (f : evaluated -> bool) (l : list evaluated) : list I := map number (filter f l).

Lemma collect_from : forall l o,
  fold_left add l o =
  Outcomes (permits o ++ numbers (is_satisfied Permit) l)
           (forbids o ++ numbers (is_satisfied Forbid) l)
           (failed o ++ numbers is_failed l).
Proof.
  unfold numbers. induction l as [|[n e r] l IH]; intros [p f d]; simpl.
  - rewrite !app_nil_r. reflexivity.
  - rewrite IH. destruct r, e; simpl; rewrite <- ?app_assoc; reflexivity.
Qed.

Theorem collect_is : forall l,
  collect l =
  Outcomes (numbers (is_satisfied Permit) l) (numbers (is_satisfied Forbid) l) (numbers is_failed l).
Proof. intro l. unfold collect. rewrite collect_from. reflexivity. Qed.

Definition satisfied (e : effect) (l : list evaluated) : Prop :=
  exists p, In p l /\ its_effect p = e /\ its_outcome p = Satisfied.

Lemma is_satisfied_iff : forall e p,
  is_satisfied e p = true <-> its_effect p = e /\ its_outcome p = Satisfied.
Proof.
  intros e [n f o]. unfold is_satisfied; simpl.
  destruct o, f, e; split; intuition congruence.
Qed.

Lemma numbers_nil : forall f l, numbers f l = [] <-> ~ exists p, In p l /\ f p = true.
Proof.
  unfold numbers. intros f l. split.
  - intros H (p & Hp & Hf). apply map_eq_nil in H.
    assert (In p (filter f l)) as K by (apply filter_In; auto). rewrite H in K. destruct K.
  - intro H. destruct (filter f l) as [|p r] eqn:E; [reflexivity|].
    exfalso. apply H. exists p. apply filter_In. rewrite E. left; reflexivity.
Qed.

Lemma satisfied_iff : forall e l, satisfied e l <-> numbers (is_satisfied e) l <> [].
Proof.
  intros e l. rewrite numbers_nil. split.
  - intros (p & Hp & He) H. apply H. exists p. split; [exact Hp|]. apply is_satisfied_iff, He.
  - destruct (existsb (is_satisfied e) l) eqn:E.
    + intros _. apply existsb_exists in E as (p & Hp & E). exists p.
      split; [exact Hp|]. apply is_satisfied_iff, E.
    + intro H. exfalso. apply H. intros (p & Hp & K).
      assert (existsb (is_satisfied e) l = true) by (apply existsb_exists; eauto). congruence.
Qed.

(** Allow if and only if a permit is satisfied and no forbid is. *)
Theorem allow_iff : forall l,
  decide (collect l) = Allow <-> satisfied Permit l /\ ~ satisfied Forbid l.
Proof.
  intro l. rewrite !satisfied_iff, collect_is. unfold decide; simpl.
  destruct (numbers (is_satisfied Forbid) l), (numbers (is_satisfied Permit) l);
    split; intuition congruence.
Qed.

Theorem explicit_permit : forall l, decide (collect l) = Allow -> satisfied Permit l.
Proof. intros l H. apply allow_iff, H. Qed.

Theorem forbid_overrides : forall l, satisfied Forbid l -> decide (collect l) = Deny.
Proof.
  intros l H. destruct (decide (collect l)) eqn:E; [|reflexivity].
  apply allow_iff in E. tauto.
Qed.

Theorem default_deny : forall l, ~ satisfied Permit l -> decide (collect l) = Deny.
Proof.
  intros l H. destruct (decide (collect l)) eqn:E; [|reflexivity].
  apply allow_iff in E. tauto.
Qed.

Theorem no_policies_deny : decide (collect []) = Deny.
Proof. reflexivity. Qed.

(** Determining policies: the satisfied forbids if there are any, else the satisfied permits. *)
Theorem reasons_are : forall l n,
  In n (reasons (collect l)) <->
  exists p, In p l /\ number p = n /\ its_outcome p = Satisfied /\
            (satisfied Forbid l -> its_effect p = Forbid).
Proof.
  assert (members : forall f l n, In n (numbers f l) <-> exists p, In p l /\ f p = true /\ number p = n).
  { intros f l n. unfold numbers. rewrite in_map_iff. split.
    - intros (p & E & H). apply filter_In in H. exists p. tauto.
    - intros (p & H1 & H2 & H3). exists p. rewrite filter_In. tauto. }
  intros l n. rewrite collect_is. unfold reasons; simpl.
  destruct (numbers (is_satisfied Forbid) l) as [|f r] eqn:E.
  - rewrite members. split.
    + intros (p & Hp & S & N). apply is_satisfied_iff in S as [S1 S2].
      exists p. repeat split; auto. intro K. apply satisfied_iff in K. contradiction.
    + intros (p & Hp & N & S & _). exists p. repeat split; auto.
      apply is_satisfied_iff. split; [|exact S]. destruct (its_effect p) eqn:F; [reflexivity|].
      exfalso. apply numbers_nil in E. apply E. exists p. split; [exact Hp|].
      apply is_satisfied_iff. auto.
  - rewrite <- E, members. split.
    + intros (p & Hp & S & N). apply is_satisfied_iff in S as [S1 S2]. exists p. auto.
    + intros (p & Hp & N & S & K). exists p. repeat split; auto. apply is_satisfied_iff.
      split; [|exact S]. apply K, satisfied_iff. congruence.
Qed.

Theorem errors_are : forall l n,
  In n (failed (collect l)) <-> exists p, In p l /\ number p = n /\ its_outcome p = Failed.
Proof.
  intros l n. rewrite collect_is. simpl. unfold numbers. rewrite in_map_iff. split.
  - intros (p & E & H). apply filter_In in H as [H F]. exists p. unfold is_failed in F.
    destruct (its_outcome p); try discriminate. auto.
  - intros (p & H & E & F). exists p. rewrite filter_In. unfold is_failed. rewrite F. auto.
Qed.

(** ** Order *)

Lemma numbers_permutation : forall f l m,
  Permutation l m -> Permutation (numbers f l) (numbers f m).
Proof.
  intros f l m H. unfold numbers. apply Permutation_map.
  induction H; simpl; auto.
  - destruct (f x); auto.
  - destruct (f x), (f y); auto. constructor.
  - eapply perm_trans; eauto.
Qed.

(** The same up to order. *)
Definition same (a b : outcomes) : Prop :=
  decide a = decide b /\
  Permutation (reasons a) (reasons b) /\
  Permutation (failed a) (failed b).

Lemma same_of_permutations : forall a b,
  Permutation (permits a) (permits b) -> Permutation (forbids a) (forbids b) ->
  Permutation (failed a) (failed b) -> same a b.
Proof.
  intros [p f d] [q g e] Hp Hf Hd; simpl in *. unfold same, decide, reasons; simpl.
  destruct f, g;
    try (apply Permutation_nil in Hf; discriminate);
    try (apply Permutation_sym, Permutation_nil in Hf; discriminate); auto.
  destruct p, q;
    try (apply Permutation_nil in Hp; discriminate);
    try (apply Permutation_sym, Permutation_nil in Hp; discriminate); auto.
Qed.

(** The order of policies does not matter: the same decision, reasons and errors. *)
Theorem order_independent : forall l m, Permutation l m -> same (collect l) (collect m).
Proof.
  intros l m H. rewrite !collect_is.
  apply same_of_permutations; apply numbers_permutation; exact H.
Qed.

(** ** Errors *)

(** Without the policies that fail, the decision and the reasons are the same: no failure grants, and
    none denies what other policies grant. *)
Theorem errors_do_not_decide : forall l,
  let sound := filter (fun p => negb (is_failed p)) l in
  decide (collect l) = decide (collect sound) /\ reasons (collect l) = reasons (collect sound).
Proof.
  intro l. simpl. rewrite !collect_is.
  assert (forall e, numbers (is_satisfied e) l =
                    numbers (is_satisfied e) (filter (fun p => negb (is_failed p)) l)) as H.
  { intro e. unfold numbers. f_equal. induction l as [|[n f o] l IH]; simpl; auto.
    rewrite IH. destruct o; simpl; destruct e, f; reflexivity. }
  unfold decide, reasons; simpl. rewrite <- !H. auto.
Qed.

(** With all of them failed, the request is denied. *)
Theorem errors_do_not_grant : forall l,
  Forall (fun p => its_outcome p <> Satisfied) l -> decide (collect l) = Deny.
Proof.
  intros l H. apply default_deny. intros (p & Hp & _ & S).
  rewrite Forall_forall in H. exact (H p Hp S).
Qed.

(** Further forbids never grant. *)
Theorem more_forbids_do_not_grant : forall l m,
  Forall (fun p => its_effect p = Forbid) m ->
  decide (collect (l ++ m)) = Allow -> decide (collect l) = Allow.
Proof.
  intros l m F H. apply allow_iff in H as [(p & Hp & E & S) N]. apply allow_iff. split.
  - apply in_app_or in Hp as [Hp|Hp]; [exists p; auto|].
    rewrite Forall_forall in F. rewrite (F p Hp) in E. discriminate.
  - intros (q & Hq & Q). apply N. exists q. split; [apply in_or_app; auto|exact Q].
Qed.

End Authorizer.

Arguments outcomes : clear implicits.
Arguments evaluated : clear implicits.
