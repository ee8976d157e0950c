(** Shape abstraction: bodies and constants tables.

    Models what [Lowering::constant] and [Lowering::node] in frontend/src/lower/mod.rs do with
    constants: each gets a place in a table, and the body has the place and what kind of constant is
    there; Booleans stay in the body. Policies alike but for constants share a body, and so its code
    (runtime/src/policies.rs). Places are numbered from left to right here; the numbers that Rust
    gives may differ, consistently for all policies of a shape. *)

From Coq Require Import NArith List Bool Lia.
From Proofs Require Import Values Syntax Eval Fold.
Import ListNotations.

(** [ConstKind] *)
Inductive kind := KindValue (t : tag) | KindType.

Definition kind_of (c : constant) : kind :=
  match c with
  | CValue v => KindValue (tag_of v)
  | CSlot _ => KindValue TEntity
  | CType _ => KindType
  end.

(** An expression's shape: each constant is forgotten but for its kind. *)
Definition shape : expr constant -> expr kind :=
  replace (fun c => match c with CValue (VBool b) => EBool b | _ => Const (kind_of c) end) kind_of.

(** The constants that the shape forgot. *)
Fixpoint constants (e : expr constant) : list constant :=
  match e with
  | Const c => match c with CValue (VBool _) => [] | _ => [c] end
  | EBool _ | Var _ => []
  | Unary _ a => constants a
  | Binary _ a b => constants a ++ constants b
  | And l | Or l | SetOf l => flat_map constants l
  | If c t e => constants c ++ constants t ++ constants e
  | GetAttr e _ | Has e _ => constants e
  | Is e t => constants e ++ [t]
  | IsIn e t o => constants e ++ [t] ++ constants o
  | RecordOf l => flat_map (fun kv => let '(_, x) := kv in constants x) l
  end.

(** A place in the table, with the kind of what is there. *)
Definition place := (kind * nat)%type.

Definition total (l : list nat) : nat := fold_right Nat.add 0 l.

(** How many places a shape has. *)
Fixpoint places (e : expr kind) : nat :=
  match e with
  | Const _ => 1
  | EBool _ | Var _ => 0
  | Unary _ a => places a
  | Binary _ a b => places a + places b
  | And l | Or l | SetOf l => total (map places l)
  | If c t e => places c + (places t + places e)
  | GetAttr e _ | Has e _ => places e
  | Is e t => places e + 1
  | IsIn e t o => places e + (1 + places o)
  | RecordOf l => total (map (fun kv => let '(_, x) := kv in places x) l)
  end.

(** Numbers a list, each from where the one before ends. *)
Definition number_all {A B} (size : A -> nat) (f : nat -> A -> B) : nat -> list A -> list B :=
  fix go n l :=
    match l with
    | [] => []
    | x :: r => f n x :: go (n + size x) r
    end.

(** Gives the places of a shape their numbers, from [n] on. *)
Fixpoint numbered (n : nat) (e : expr kind) {struct e} : expr place :=
  match e with
  | Const k => Const (k, n)
  | EBool b => EBool b
  | Var v => Var v
  | Unary op a => Unary op (numbered n a)
  | Binary op a b => Binary op (numbered n a) (numbered (n + places a) b)
  | And l => And (number_all places numbered n l)
  | Or l => Or (number_all places numbered n l)
  | If c t e =>
      If (numbered n c) (numbered (n + places c) t) (numbered (n + places c + places t) e)
  | GetAttr e k => GetAttr (numbered n e) k
  | Has e p => Has (numbered n e) p
  | Is e k => Is (numbered n e) (k, n + places e)
  | IsIn e k o => IsIn (numbered n e) (k, n + places e) (numbered (n + places e + 1) o)
  | SetOf l => SetOf (number_all places numbered n l)
  | RecordOf l =>
      RecordOf (number_all (fun kv => let '(_, x) := kv in places x)
                           (fun n kv => let '(k, x) := kv in (k, numbered n x)) n l)
  end.

(** [Lowered::body] and [Lowered::consts] *)
Definition body_of (e : expr constant) : expr place := numbered 0 (shape e).

(** What a body's places mean with a policy's table. *)
Definition table (b : bindings) (t : list constant) : meaning place :=
  Meaning
    (fun p => match nth_error t (snd p) with
              | Some c => value_of (linked b) c
              | None => Fail TypeError
              end)
    (fun p => match nth_error t (snd p) with
              | Some c => type_of (linked b) c
              | None => 0%N
              end).

(** The table has these constants from [n] on. *)
Definition holds (t : list constant) (n : nat) (l : list constant) : Prop :=
  forall i c, nth_error l i = Some c -> nth_error t (n + i) = Some c.

Lemma holds_app : forall t n l m, holds t n (l ++ m) -> holds t n l /\ holds t (n + length l) m.
Proof.
  unfold holds. intros t n l m H. split; intros i c E.
  - apply H. rewrite nth_error_app1; [exact E|]. apply nth_error_Some. congruence.
  - rewrite <- PeanoNat.Nat.add_assoc. apply H. rewrite nth_error_app2 by lia.
    rewrite <- E. f_equal. lia.
Qed.

Lemma places_shape : forall e, places (shape e) = length (constants e).
Proof.
  assert (sum : forall A (f : A -> nat) (g : A -> list constant) l,
    Forall (fun x => f x = length (g x)) l -> total (map f l) = length (flat_map g l)).
  { induction 1 as [|x l H _ IH]; simpl; [reflexivity|].
    rewrite app_length. unfold total in IH |- *. simpl. lia. }
  unfold shape.
  induction e using expr_induction; cbn [replace places constants]; auto;
    rewrite ?app_length; simpl; rewrite ?map_map; try lia.
  - destruct c as [[]| |]; reflexivity.
  - apply sum, H.
  - apply sum, H.
  - apply sum, H.
  - apply sum. eapply Forall_impl; [|exact H]. intros [k x] Hx. exact Hx.
Qed.

Section Correct.
Variable w : world.
Variable b : bindings.
Variable t : list constant.

Definition right (e : expr constant) : Prop := forall n, holds t n (constants e) ->
  eval w (table b t) (numbered n (shape e)) = eval w (linked b) e.

Lemma list_correct : forall l, Forall right l -> forall n, holds t n (flat_map constants l) ->
  Forall2 (fun x y => eval w (table b t) x = eval w (linked b) y)
          (number_all places numbered n (map shape l)) l.
Proof.
  induction 1 as [|x l Hx _ IH]; intros n H; [constructor|].
  simpl in H. apply holds_app in H as [H1 H2].
  cbn [map number_all]. constructor; [apply Hx, H1|].
  apply IH. rewrite places_shape. exact H2.
Qed.

Lemma holds_here : forall n c, holds t n [c] -> nth_error t n = Some c.
Proof. intros n c H. rewrite <- (PeanoNat.Nat.add_0_r n). apply H. reflexivity. Qed.

(** A body with its policy's table comes to what the expression comes to, failures included. *)
Theorem body_correct_at : forall e, right e.
Proof.
  unfold right, shape. induction e using expr_induction; intros n H0;
    cbn [replace constants] in *; fold shape in *.
  - destruct c as [[]|s|ty]; try reflexivity;
      cbn [numbered eval table value_of snd]; rewrite (holds_here _ _ H0); reflexivity.
  - reflexivity.
  - reflexivity.
  - cbn [numbered eval]. rewrite IHe by assumption. reflexivity.
  - apply holds_app in H0 as [H1 H2]. cbn [numbered eval].
    rewrite IHe1 by assumption. fold shape. rewrite places_shape, IHe2 by assumption. reflexivity.
  - cbn [numbered eval]. apply chain_ext, list_correct; assumption.
  - cbn [numbered eval]. apply chain_ext, list_correct; assumption.
  - apply holds_app in H0 as [H1 H2]. apply holds_app in H2 as [H2 H3]. cbn [numbered eval].
    fold shape. rewrite !places_shape, IHe1, IHe2, IHe3 by assumption. reflexivity.
  - cbn [numbered eval]. rewrite IHe by assumption. reflexivity.
  - cbn [numbered eval]. rewrite IHe by assumption. reflexivity.
  - apply holds_app in H0 as [H1 H2]. cbn [numbered eval]. rewrite IHe by assumption.
    cbn [table type_of snd]. fold shape. rewrite places_shape, (holds_here _ _ H2). reflexivity.
  - apply holds_app in H0 as [H1 H2]. apply holds_app in H2 as [H2 H3]. cbn [numbered eval].
    fold shape. rewrite !places_shape, IHe1, IHe2 by assumption.
    cbn [table type_of snd]. rewrite (holds_here _ _ H2). reflexivity.
  - cbn [numbered eval]. f_equal. apply all_ext, list_correct; assumption.
  - cbn [numbered eval]. f_equal. apply all_ext. revert n H0.
    induction H as [|[k x] l Hx _ IH]; intros n H0; [constructor|].
    cbn [flat_map] in H0. apply holds_app in H0 as [H1 H2].
    cbn [map number_all]. constructor.
    + simpl in Hx. fold shape. rewrite Hx by assumption. reflexivity.
    + apply IH. fold shape. rewrite places_shape. exact H2.
Qed.

End Correct.

Theorem body_correct : forall w b e,
  eval w (table b (constants e)) (body_of e) = eval w (linked b) e.
Proof. intros. apply body_correct_at. intros i c H. exact H. Qed.

(** ** Sharing *)

(** The shape that was numbered. *)
Definition unnumbered : expr place -> expr kind := replace (fun p => Const (fst p)) fst.

Lemma unnumbered_numbered : forall e n, unnumbered (numbered n e) = e.
Proof.
  unfold unnumbered.
  induction e using expr_induction; intro n; cbn [numbered replace fst]; f_equal; auto.
  - revert n. induction H as [|x l Hx _ IH]; intro n; cbn [number_all map]; f_equal; auto.
  - revert n. induction H as [|x l Hx _ IH]; intro n; cbn [number_all map]; f_equal; auto.
  - revert n. induction H as [|x l Hx _ IH]; intro n; cbn [number_all map]; f_equal; auto.
  - revert n. induction H as [|[k x] l Hx _ IH]; intro n; cbn [number_all map]; f_equal; auto.
    f_equal. apply Hx.
Qed.

(** Two expressions share a body exactly if they are alike but for constants. *)
Theorem bodies_shared_iff : forall e f, body_of e = body_of f <-> shape e = shape f.
Proof.
  intros e f. unfold body_of. split; intro H; [|congruence].
  rewrite <- (unnumbered_numbered (shape e) 0), H. apply unnumbered_numbered.
Qed.

(** Code of a shared body gives each policy its own answer, with its own table. *)
Theorem shared_body_correct : forall w b e f, shape e = shape f ->
  eval w (table b (constants f)) (body_of e) = eval w (linked b) f.
Proof. intros w b e f H. apply bodies_shared_iff in H. rewrite H. apply body_correct. Qed.

(** ** Whole policies *)

(** From the policy's text to its body and table: [frontend::lower::lower]. *)
Theorem compiled_policy_correct : forall w b p,
  let lowered := lower_policy p in
  eval w (table b (constants lowered)) (body_of lowered) =
  let* h := evaluate w b (without_action p) in Ok (VBool h).
Proof. intros. unfold lowered. rewrite body_correct. apply lower_policy_correct. Qed.
