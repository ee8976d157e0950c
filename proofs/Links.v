(** Links of templates.

    Models [BoundPolicy] and [SlotBindings] in frontend/src/hir.rs, and [Constant::value] in
    frontend/src/lower/mod.rs: a link evaluates its template's text with the slots bound, and runs its
    template's body with a table of its own. Either is the same as the policy that one gets by writing
    the entities into the text. *)

From Coq Require Import NArith List Bool.
From Proofs Require Import Values Syntax Eval Fold Shapes.
Import ListNotations.

(** ** Writing the entities into the text *)

(** A slot without a binding stays. *)
Definition fill (b : bindings) (c : constant) : constant :=
  match c with
  | CSlot s => match b s with Some e => CValue (VEntity e) | None => c end
  | _ => c
  end.

Definition substitute (b : bindings) : expr constant -> expr constant :=
  replace (fun c => Const (fill b c)) (fill b).

Definition substitute_ref (b : bindings) (r : entity_ref) : entity_ref :=
  match r with
  | Named e => r
  | Linked s => match b s with Some e => Named e | None => r end
  end.

Definition substitute_scope (b : bindings) (s : scope) : scope :=
  match s with
  | ScopeAny => ScopeAny
  | ScopeEq r => ScopeEq (substitute_ref b r)
  | ScopeIn r => ScopeIn (substitute_ref b r)
  | ScopeIs t => ScopeIs t
  | ScopeIsIn t r => ScopeIsIn t (substitute_ref b r)
  end.

Definition substitute_policy (b : bindings) (p : policy) : policy :=
  Policy (p_effect p) (substitute_scope b (p_principal p)) (p_action p)
         (substitute_scope b (p_resource p))
         (map (fun c => (fst c, substitute b (snd c))) (p_conditions p)).

Theorem substitute_correct : forall w b e,
  eval w (linked b) e = eval w (linked unlinked) (substitute b e).
Proof.
  intros. unfold substitute. rewrite replace_correct. apply same_meaning; intros [v|s|t];
    cbn [value_of type_of eval fill linked]; try reflexivity.
  - unfold resolve. destruct (b s); reflexivity.
  - destruct (b s); reflexivity.
Qed.

Lemma substitute_ref_correct : forall b r, resolve b r = resolve unlinked (substitute_ref b r).
Proof. intros b [e|s]; simpl; [reflexivity|]. destruct (b s); reflexivity. Qed.

Lemma substitute_scope_correct : forall w b e s,
  matches w b e s = matches w unlinked e (substitute_scope b s).
Proof. intros w b e [|r|r|t|t r]; simpl; rewrite ?(substitute_ref_correct b); reflexivity. Qed.

(** A link comes to what the substituted policy comes to, failures included. *)
Theorem link_is_substitution : forall w b p,
  evaluate w b p = evaluate w unlinked (substitute_policy b p).
Proof.
  intros. unfold evaluate, in_scope; simpl. rewrite <- !substitute_scope_correct.
  assert (conditions w (linked b) (p_conditions p) =
          conditions w (linked unlinked) (map (fun c => (fst c, substitute b (snd c))) (p_conditions p))) as H.
  { induction (p_conditions p) as [|[u body] l IH]; simpl; [reflexivity|].
    rewrite <- substitute_correct, IH. reflexivity. }
  rewrite H. reflexivity.
Qed.

(** ** Running the template's body *)

Lemma constants_unary : forall op a, op = Not -> constants (lower_unary op a) = constants a.
Proof.
  intros op a ->. unfold lower_unary.
  destruct (as_const a) as [v|] eqn:E; [|reflexivity].
  destruct a; try discriminate. destruct c; try discriminate. injection E as ->.
  destruct v; reflexivity.
Qed.

(** Cedar has slots in scopes only. *)
Definition no_slots (p : policy) : Prop :=
  forall u body s, In (u, body) (p_conditions p) -> ~ In (CSlot s) (constants (lower body)).

(** The text with the slots of the scope filled. *)
Definition link_text (b : bindings) (p : policy) : policy :=
  Policy (p_effect p) (substitute_scope b (p_principal p)) (p_action p)
         (substitute_scope b (p_resource p)) (p_conditions p).

Lemma conjuncts_app : forall p, conjuncts p =
  (scope_conjuncts Principal (p_principal p) ++ scope_conjuncts Resource (p_resource p)) ++
  map condition_conjunct (p_conditions p).
Proof. intro. unfold conjuncts. rewrite app_assoc. reflexivity. Qed.

Lemma scope_shapes : forall b v s,
  map shape (scope_conjuncts v (substitute_scope b s)) = map shape (scope_conjuncts v s).
Proof.
  intros b v s. destruct s as [|r|r|t|t r]; simpl; try reflexivity;
    destruct r as [e|s]; simpl; try reflexivity; destruct (b s); reflexivity.
Qed.

Lemma scope_constants : forall b v s,
  flat_map constants (scope_conjuncts v (substitute_scope b s)) =
  map (fill b) (flat_map constants (scope_conjuncts v s)).
Proof.
  intros b v s. destruct s as [|r|r|t|t r]; simpl; try reflexivity;
    destruct r as [e|s]; simpl; try reflexivity; destruct (b s); reflexivity.
Qed.

Lemma shape_lowered : forall p, shape (lower_policy p) =
  match map shape (conjuncts p) with [] => EBool true | l => And l end.
Proof. intro p. unfold lower_policy. destruct (conjuncts p); reflexivity. Qed.

Lemma constants_lowered : forall p, constants (lower_policy p) = flat_map constants (conjuncts p).
Proof. intro p. unfold lower_policy. destruct (conjuncts p); reflexivity. Qed.

(** All links of a template, and the template, share one body. *)
Theorem links_share_body : forall b p,
  body_of (lower_policy (link_text b p)) = body_of (lower_policy p).
Proof.
  intros. apply bodies_shared_iff. rewrite !shape_lowered. unfold conjuncts; simpl.
  rewrite !map_app, !scope_shapes. reflexivity.
Qed.

(** A link's table is its template's with the slots filled. *)
Theorem link_table : forall b p, no_slots p ->
  constants (lower_policy (link_text b p)) = map (fill b) (constants (lower_policy p)).
Proof.
  intros b p H. rewrite !constants_lowered. unfold conjuncts; simpl.
  rewrite !flat_map_app, !map_app, !scope_constants. do 2 f_equal.
  unfold no_slots in H. induction (p_conditions p) as [|[u body] l IH]; simpl; [reflexivity|].
  rewrite map_app, <- IH; [|intros v x s K; eapply H; right; exact K]. f_equal.
  assert (constants (condition_conjunct (u, body)) = constants (lower body)) as E.
  { destruct u; simpl; [apply constants_unary; reflexivity|reflexivity]. }
  simpl in E. rewrite E. clear E.
  assert (K : forall s, ~ In (CSlot s) (constants (lower body))).
  { intros s. eapply H. left. reflexivity. }
  induction (constants (lower body)) as [|c cs IHc]; simpl; [reflexivity|].
  f_equal.
  - destruct c as [| s |]; simpl; try reflexivity. exfalso. apply (K s). left; reflexivity.
  - apply IHc. intros s Hs. apply (K s). right; exact Hs.
Qed.

(** The template's body with the link's table comes to what the link's text comes to. *)
Theorem link_body_correct : forall w b p, no_slots p ->
  eval w (table unlinked (map (fill b) (constants (lower_policy p)))) (body_of (lower_policy p)) =
  let* h := evaluate w unlinked (without_action (link_text b p)) in Ok (VBool h).
Proof.
  intros w b p H. rewrite <- link_table by assumption. rewrite <- (links_share_body b p).
  apply compiled_policy_correct.
Qed.
