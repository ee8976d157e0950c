(** What fused code leaves out: checks and branches.

    Models jit/src/emit/known.rs, the analysis of what is known of a body's values before it runs
    ([analyse]), and what jit/src/emit/logic.rs and jit/src/emit/fuse.rs make of it: an expression that
    cannot fail is computed without a branch ([Emitter::flags]), one whose value is known is not
    computed at all. [Facts] are what runtime/src/facts.rs observes in the store.

    Left out: places of attributes, what is in sets, types that a schema gives, and the cost in
    instructions: [sure] stands for a cost that is [Some]. What types say of [in] is in Flat.v. *)

From Coq Require Import ZArith NArith List Bool Permutation.
From Proofs Require Import Values Syntax Eval.
Import ListNotations.

(** ** Facts *)

(** An entity's type, and whether it exists. *)
Record subject := Subject { its_type : N; it_exists : bool }.

(** What a number of values have in common: [Values] *)
Record values := CommonValues {
  v_tag : option tag;
  v_entity : option N;
  v_exists : option bool;
}.

Inductive attribute :=
| Missing
| Present (v : values).

Record facts := Facts {
  about : var -> option subject;
  about_named : entity -> option subject;
  about_attribute : N -> name -> option attribute;
}.

Definition fits (w : world) (k : values) (v : value) : Prop :=
  (forall t, v_tag k = Some t -> tag_of v = t) /\
  (forall t, v_entity k = Some t -> exists e, v = VEntity e /\ etype e = t) /\
  (forall x, v_exists k = Some x -> exists e, v = VEntity e /\ exists_in w e = x).

Definition is_subject (w : world) (s : subject) (e : entity) : Prop :=
  etype e = its_type s /\ exists_in w e = it_exists s.

(** Whoever runs fused code vouches for this. *)
Record facts_hold (w : world) (f : facts) : Prop := FactsHold {
  context_is_record : tag_of (context w) = TRecord;
  about_right : forall v s, about f v = Some s ->
    exists e, variable w v = VEntity e /\ is_subject w s e;
  about_named_right : forall e s, about_named f e = Some s -> is_subject w s e;
  about_attribute_right : forall e s k, store w e = Some s ->
    match about_attribute f (etype e) k with
    | None => True
    | Some Missing => lookup k (attributes s) = None
    | Some (Present vs) => exists v, lookup k (attributes s) = Some v /\ fits w vs v
    end;
}.

(** ** The analysis *)

Record known := Known {
  common : values;
  (** The value, where it is a constant; then the expression cannot fail. *)
  word : option value;
  (** Whether it can be computed without a branch, because it cannot fail. *)
  sure : bool;
}.

Definition of_tag (t : option tag) : values := CommonValues t None None.

(** Nothing but the tag is known. *)
Definition only (t : option tag) : known := Known (of_tag t) None false.

Definition is_tag (t : tag) (k : known) : bool :=
  match v_tag (common k) with Some u => tag_eqb u t | None => false end.

(** [Known::truth] *)
Definition truth (k : known) : option bool :=
  match word k with Some (VBool b) => if is_tag TBool k then Some b else None | _ => None end.

(** [Known::set_truth] *)
Definition known_truth (b : bool) : known := Known (of_tag (Some TBool)) (Some (VBool b)) true.

Definition sure_bool (s : bool) : known := Known (of_tag (Some TBool)) None s.

(** What [infer] says of a node's type. *)
Fixpoint infer (e : expr constant) : option tag :=
  match e with
  | Const (CValue v) => Some (tag_of v)
  | Const (CSlot _) => Some TEntity
  | Const (CType _) => None
  | Var Context => Some TRecord
  | Var _ => Some TEntity
  | Unary Neg _ => Some TLong
  | Binary (Add | Sub | Mul) _ _ => Some TLong
  | Binary GetTag _ _ => None
  | EBool _ | Unary _ _ | Binary _ _ _ | And _ | Or _ | Has _ _ | Is _ _ | IsIn _ _ _ => Some TBool
  | If _ t e =>
      match infer t, infer e with
      | Some a, Some b => if tag_eqb a b then Some a else None
      | _, _ => None
      end
  | GetAttr _ _ => None
  | SetOf _ => Some TSet
  | RecordOf _ => Some TRecord
  end.

Definition with_subject (t : option tag) (s : option subject) : values :=
  match s with
  | Some s => CommonValues t (Some (its_type s)) (Some (it_exists s))
  | None => of_tag t
  end.

(** [differ]: whether two values cannot be equal. *)
Definition differ (a b : known) : bool :=
  match v_tag (common a), v_tag (common b) with
  | Some TEntity, Some TEntity =>
      match v_entity (common a), v_entity (common b) with
      | Some t, Some u => negb (N.eqb t u)
      | _, _ => false
      end
  | Some t, Some u => negb (tag_eqb t u)
  | _, _ => false
  end.

Definition same_tag (a b : known) : bool :=
  match v_tag (common a), v_tag (common b) with Some t, Some u => tag_eqb t u | _, _ => false end.

(** [Analysis::binary] *)
Definition known_binary (op : binary_op) (t : option tag) (a b : known) : known :=
  let both := sure a && sure b in
  match op with
  | Eq =>
      if both then
        if differ a b then known_truth false
        else
          match word a, word b with
          | Some x, Some y => if same_tag a b then known_truth (value_eqb x y) else sure_bool true
          | _, _ => sure_bool true
          end
      else sure_bool false
  | Less | LessEq => sure_bool (is_tag TLong a && is_tag TLong b && both)
  | InOp => sure_bool (is_tag TEntity a && is_tag TEntity b && both)
  | _ => only t
  end.

(** [Analysis::chain] *)
Fixpoint known_chain (stop : bool) (cost constant : bool) (l : list known) : known :=
  match l with
  | [] => if constant then known_truth (negb stop) else sure_bool cost
  | k :: rest =>
      match truth k with
      | Some t =>
          if Bool.eqb t stop && cost then known_truth stop else known_chain stop cost constant rest
      | None => known_chain stop (cost && sure k && is_tag TBool k) false rest
      end
  end.

Section Analysis.
Variable f : facts.
Variable b : bindings.

(** [Analysis::attribute] *)
Definition attribute_of (k : known) (a : name) : option attribute :=
  if is_tag TEntity k then
    match v_entity (common k) with Some t => about_attribute f t a | None => None end
  else None.

(** [Analysis::read] *)
Definition known_read (k : known) (a : name) : known :=
  match attribute_of k a, v_exists (common k) with
  | Some (Present vs), Some true => Known vs None (sure k)
  | _, _ => only None
  end.

(** [Analysis::has] *)
Definition known_has (k : known) (a : name) : known :=
  if sure k then
    match v_exists (common k), attribute_of k a with
    | Some false, _ => if is_tag TEntity k then known_truth false else sure_bool false
    | Some true, Some Missing => known_truth false
    | Some true, Some (Present _) => known_truth true
    | _, _ => sure_bool false
    end
  else sure_bool false.

Definition known_is (k : known) (t : N) : known :=
  match v_entity (common k) with
  | Some u => if sure k then known_truth (N.eqb u t) else sure_bool false
  | None => sure_bool false
  end.

(** [analyse] *)
Fixpoint analyse (e : expr constant) : known :=
  match e with
  | Const c =>
      match value_of (linked b) c with
      | Ok v =>
          Known (with_subject (Some (tag_of v))
                   (match v with VEntity i => about_named f i | _ => None end)) (Some v) true
      | Fail _ => only (infer e)
      end
  | EBool x => known_truth x
  | Var v => Known (with_subject (infer e) (about f v)) None true
  | Unary Not a =>
      let k := analyse a in
      match truth k with
      | Some t => known_truth (negb t)
      | None => sure_bool (is_tag TBool k && sure k)
      end
  | Binary op x y => known_binary op (infer e) (analyse x) (analyse y)
  | And l => known_chain false true true (map analyse l)
  | Or l => known_chain true true true (map analyse l)
  | GetAttr x k => known_read (analyse x) k
  | Has x [k] => known_has (analyse x) k
  | Is x t => known_is (analyse x) (type_of (linked b) t)
  | _ => only (infer e)
  end.

(** ** Soundness *)

Variable w : world.
Hypothesis vouched : facts_hold w f.
Notation result_of e := (eval w (linked b) e).

Definition sound (r : result value) (k : known) : Prop :=
  (forall v, r = Ok v -> fits w (common k) v) /\
  (forall x, word k = Some x -> r = Ok x) /\
  (sure k = true -> exists v, r = Ok v).

Lemma fits_tag : forall t v, tag_of v = t -> fits w (of_tag (Some t)) v.
Proof.
  intros t v H. repeat split; simpl; intros x E; try discriminate. injection E as <-. exact H.
Qed.

Lemma fits_nothing : forall v, fits w (of_tag None) v.
Proof. intro v. repeat split; simpl; intros x E; discriminate. Qed.

Definition boolean (r : result value) : Prop := forall v, r = Ok v -> exists h, v = VBool h.

Lemma sound_truth : forall h, sound (Ok (VBool h)) (known_truth h).
Proof.
  intro h. repeat split; simpl; try (intros x E; try discriminate).
  - injection H as <-. injection E as <-. reflexivity.
  - injection E as <-. reflexivity.
  - eauto.
Qed.

Lemma sound_bool : forall r s, boolean r -> (s = true -> exists v, r = Ok v) ->
  sound r (sure_bool s).
Proof.
  intros r s B S. split; [|split].
  - intros v E. destruct (B v E) as [h ->]. apply fits_tag. reflexivity.
  - simpl. discriminate.
  - exact S.
Qed.

Lemma sound_only : forall r t, (forall v u, r = Ok v -> t = Some u -> tag_of v = u) ->
  sound r (only t).
Proof.
  intros r t H. split; [|split]; simpl; try discriminate.
  intros v E. destruct t as [t|]; [apply fits_tag; auto|apply fits_nothing].
Qed.

Lemma truth_sound : forall r k t, sound r k -> truth k = Some t -> r = Ok (VBool t).
Proof.
  intros r k t (_ & W & _) H. unfold truth in H.
  destruct (word k) as [[x| | | | |]|] eqn:E; try discriminate.
  destruct (is_tag TBool k); [|discriminate]. injection H as <-. apply W. reflexivity.
Qed.

Lemma tag_sound : forall r k t v, sound r k -> is_tag t k = true -> r = Ok v -> tag_of v = t.
Proof.
  intros r k t v (F & _) H E. unfold is_tag in H. destruct (v_tag (common k)) as [u|] eqn:T; [|discriminate].
  apply tag_eqb_eq in H as ->. destruct (F v E) as (G & _). apply G, T.
Qed.

Lemma boolean_ok : forall h, boolean (Ok (VBool h)).
Proof. intros h v E. injection E as <-. eauto. Qed.

Lemma boolean_fail : forall x, boolean (Fail x).
Proof. intros x v E. discriminate. Qed.

Lemma boolean_compare : forall g x y, boolean (compare g x y).
Proof.
  intros g x y. unfold compare. destruct (as_long x); simpl; [|apply boolean_fail].
  destruct (as_long y); simpl; [apply boolean_ok|apply boolean_fail].
Qed.

Lemma boolean_is_in : forall i o, boolean (is_in w i o).
Proof.
  intros i []; simpl; try apply boolean_fail; try apply boolean_ok.
  destruct (forallb is_entity elements); [apply boolean_ok|apply boolean_fail].
Qed.

Lemma boolean_bind : forall A (r : result A) g, (forall x, boolean (g x)) -> boolean (bind r g).
Proof. intros A [x|] g H; simpl; [apply H|apply boolean_fail]. Qed.

Lemma boolean_chain : forall (g : expr constant -> result value) stop l, boolean (chain g stop l).
Proof.
  induction l as [|x l IH]; cbn [chain]; [apply boolean_ok|].
  apply boolean_bind. intro v. apply boolean_bind. intro h.
  destruct (Bool.eqb h stop); [apply boolean_ok|exact IH].
Qed.

Lemma boolean_has_path : forall path v, boolean (has_path w v path).
Proof.
  induction path as [|k path IH]; intro v; simpl; [apply boolean_ok|].
  apply boolean_bind. intro l. destruct (lookup k l); [apply IH|apply boolean_ok].
Qed.

Ltac booleans :=
  repeat first
    [ apply boolean_ok | apply boolean_fail | apply boolean_compare | apply boolean_is_in
    | apply boolean_chain | apply boolean_has_path | apply boolean_bind; intro
    | match goal with |- boolean (if ?c then _ else _) => destruct c end ].

Lemma long_arithmetic : forall g x y v, arithmetic g x y = Ok v -> tag_of v = TLong.
Proof.
  intros g x y v H. unfold arithmetic in H. destruct (as_long x); simpl in H; [|discriminate].
  destruct (as_long y); simpl in H; [|discriminate]. unfold checked in H.
  destruct (in_range _); [|discriminate]. injection H as <-. reflexivity.
Qed.

Lemma binary_tag : forall op x y v, binary w op x y = Ok v ->
  match op with
  | Add | Sub | Mul => tag_of v = TLong
  | GetTag => True
  | _ => tag_of v = TBool
  end.
Proof.
  intros op x y v H.
  assert (B : boolean (binary w op x y) -> tag_of v = TBool).
  { intro B. destruct (B v H) as [h ->]. reflexivity. }
  destruct op; try exact I; try (apply B; simpl; unfold has_tag; booleans; fail);
    simpl in H; eapply long_arithmetic, H.
Qed.

Theorem infer_sound : forall e t v, infer e = Some t -> result_of e = Ok v -> tag_of v = t.
Proof.
  assert (B : forall r t v, boolean r -> Some TBool = Some t -> r = Ok v -> tag_of v = t).
  { intros r t v B T E. injection T as <-. destruct (B v E) as [h ->]. reflexivity. }
  induction e using expr_induction; intros ty u T E; cbn [infer] in T.
  - destruct c as [v|s|]; try discriminate; cbn [eval value_of linked] in E.
    + congruence.
    + destruct (resolve b (Linked s)); simpl in E; [|discriminate]. injection T as <-.
      injection E as <-. reflexivity.
  - eapply B; eauto. apply boolean_ok.
  - pose proof (context_is_record _ _ vouched) as K.
    destruct v; injection T as <-; injection E as <-; auto.
  - cbn [eval] in E. destruct (result_of e); simpl in E; [|discriminate].
    destruct op; injection T as <-; simpl in E.
    + destruct (as_bool a); [|discriminate]. injection E as <-. reflexivity.
    + destruct (as_long a); [|discriminate]. simpl in E. unfold checked in E.
      destruct (in_range _); [|discriminate]. injection E as <-. reflexivity.
    + destruct (as_set a); [|discriminate]. injection E as <-. reflexivity.
  - cbn [eval] in E. destruct (result_of e1); simpl in E; [|discriminate].
    destruct (result_of e2); simpl in E; [|discriminate]. apply binary_tag in E.
    destruct op; try discriminate; congruence.
  - eapply B; eauto. cbn [eval]. booleans.
  - eapply B; eauto. cbn [eval]. booleans.
  - cbn [eval] in E. destruct (infer e2) as [x|]; [|discriminate].
    destruct (infer e3) as [y|]; [|discriminate].
    destruct (tag_eqb x y) eqn:XY; [|discriminate]. apply tag_eqb_eq in XY as ->.
    injection T as ->.
    destruct (result_of e1) as [c|]; simpl in E; [|discriminate].
    destruct (as_bool c) as [[]|]; simpl in E; [eapply IHe2; eauto|eapply IHe3; eauto|discriminate].
  - discriminate.
  - eapply B; eauto. cbn [eval]. booleans.
  - eapply B; eauto. cbn [eval]. booleans.
  - eapply B; eauto. cbn [eval]. booleans.
  - cbn [eval] in E. destruct (all _ l); simpl in E; [|discriminate]. injection T as <-.
    injection E as <-. reflexivity.
  - cbn [eval] in E. destruct (all _ l); simpl in E; [|discriminate]. injection T as <-.
    injection E as <-. reflexivity.
Qed.

Lemma differ_sound : forall x y a c,
  sound (Ok x) a -> sound (Ok y) c -> differ a c = true -> value_eqb x y = false.
Proof.
  intros x y a c (Fa & _) (Fc & _) D. apply value_eqb_neq. intros ->.
  destruct (Fa y eq_refl) as (Ta & Ea & _), (Fc y eq_refl) as (Tc & Ec & _). unfold differ in D.
  destruct (v_tag (common a)) as [s|]; [|discriminate].
  destruct (v_tag (common c)) as [t|]; [|destruct s; discriminate].
  specialize (Ta s eq_refl). specialize (Tc t eq_refl). subst s t.
  destruct (tag_of y); try discriminate.
  destruct (v_entity (common a)) as [s|]; [|discriminate].
  destruct (v_entity (common c)) as [t|]; [|discriminate].
  destruct (Ea s eq_refl) as (i & -> & Ei), (Ec t eq_refl) as (j & J & Ej).
  injection J as ->. subst s t. rewrite N.eqb_refl in D. discriminate.
Qed.

Lemma both_sound : forall x y a c, sound x a -> sound y c -> sure a && sure c = true ->
  exists v u, x = Ok v /\ y = Ok u.
Proof.
  intros x y a c (_ & _ & Sa) (_ & _ & Sc) H. apply andb_true_iff in H as [H K].
  destruct (Sa H) as [v ->], (Sc K) as [u ->]. eauto.
Qed.

Lemma known_binary_sound : forall op t x y a c,
  let r := let* v := x in let* u := y in binary w op v u in
  (forall v u, r = Ok v -> t = Some u -> tag_of v = u) ->
  sound x a -> sound y c -> sound r (known_binary op t a c).
Proof.
  intros op t x y a c r T Sx Sy.
  destruct op; cbn [known_binary]; try (apply sound_only; exact T).
  - destruct (sure a && sure c) eqn:S.
    + destruct (both_sound _ _ _ _ Sx Sy S) as (v & u & -> & ->). subst r. simpl.
      destruct (differ a c) eqn:D.
      * rewrite (differ_sound _ _ _ _ Sx Sy D). apply sound_truth.
      * assert (plain : sound (Ok (VBool (value_eqb v u))) (sure_bool true)).
        { apply sound_bool; [apply boolean_ok|eauto]. }
        destruct (word a) as [xa|] eqn:Wa; [|exact plain].
        destruct (word c) as [xc|] eqn:Wc; [|exact plain].
        destruct (same_tag a c); [|exact plain].
        destruct Sx as (_ & Ka & _), Sy as (_ & Kc & _).
        specialize (Ka xa Wa). specialize (Kc xc Wc). injection Ka as ->. injection Kc as ->.
        apply sound_truth.
    + apply sound_bool; [|discriminate]. subst r. simpl. booleans.
  - apply sound_bool; [subst r; simpl; booleans|].
    intro H. apply andb_true_iff in H as [H S]. apply andb_true_iff in H as [H K].
    destruct (both_sound _ _ _ _ Sx Sy S) as (v & u & -> & ->). subst r. simpl.
    apply (tag_sound _ _ _ v Sx) in H; [|reflexivity].
    apply (tag_sound _ _ _ u Sy) in K; [|reflexivity].
    destruct v, u; try discriminate. eexists. reflexivity.
  - apply sound_bool; [subst r; simpl; booleans|].
    intro H. apply andb_true_iff in H as [H S]. apply andb_true_iff in H as [H K].
    destruct (both_sound _ _ _ _ Sx Sy S) as (v & u & -> & ->). subst r. simpl.
    apply (tag_sound _ _ _ v Sx) in H; [|reflexivity].
    apply (tag_sound _ _ _ u Sy) in K; [|reflexivity].
    destruct v, u; try discriminate. eexists. reflexivity.
  - apply sound_bool; [subst r; simpl; booleans|].
    intro H. apply andb_true_iff in H as [H S]. apply andb_true_iff in H as [H K].
    destruct (both_sound _ _ _ _ Sx Sy S) as (v & u & -> & ->). subst r. simpl.
    apply (tag_sound _ _ _ v Sx) in H; [|reflexivity].
    apply (tag_sound _ _ _ u Sy) in K; [|reflexivity].
    destruct v, u; try discriminate. eexists. reflexivity.
Qed.

Definition known_right (e : expr constant) : Prop := sound (result_of e) (analyse e).

(** [before] are the operands seen so far. *)
Lemma known_chain_sound : forall stop l, Forall known_right l -> forall before cost constant,
  let so_far := chain (eval w (linked b)) stop before in
  (cost = true -> so_far = Ok (VBool stop) \/ so_far = Ok (VBool (negb stop))) ->
  (constant = true -> cost = true /\ so_far = Ok (VBool (negb stop))) ->
  sound (chain (eval w (linked b)) stop (before ++ l)) (known_chain stop cost constant (map analyse l)).
Proof.
  intros stop l H. induction H as [|x l Hx _ IH]; intros before cost constant so_far C K; subst so_far;
    cbn [map known_chain].
  - rewrite app_nil_r. destruct constant.
    + destruct (K eq_refl) as [_ ->]. apply sound_truth.
    + apply sound_bool; [apply boolean_chain|]. intro S. destruct (C S) as [-> | ->]; eauto.
  - assert (not_stop : Bool.eqb (negb stop) stop = false) by (destruct stop; reflexivity).
    replace (before ++ x :: l) with ((before ++ [x]) ++ l) by (rewrite <- app_assoc; reflexivity).
    destruct (truth (analyse x)) as [t|] eqn:T.
    + apply (truth_sound _ _ _ Hx) in T.
      destruct (Bool.eqb t stop && cost) eqn:E.
      * apply andb_true_iff in E as [E S]. apply Bool.eqb_prop in E as ->.
        rewrite <- app_assoc, chain_app.
        destruct (C S) as [-> | ->]; simpl; rewrite ?Bool.eqb_reflx, ?not_stop;
          cbn [chain]; rewrite ?T; simpl; rewrite ?Bool.eqb_reflx; apply sound_truth.
      * apply IH.
        -- intro S. rewrite chain_app. destruct (C S) as [-> | ->]; simpl;
             rewrite ?Bool.eqb_reflx, ?not_stop; auto.
           cbn [chain]. rewrite T. simpl. destruct (Bool.eqb t stop); auto.
        -- intro S. destruct (K S) as [S' Q]. split; [exact S'|].
           rewrite chain_app, Q. simpl. rewrite not_stop. cbn [chain]. rewrite T. simpl.
           rewrite S', andb_true_r in E. rewrite E. reflexivity.
    + apply IH; [|discriminate].
      intro S. apply andb_true_iff in S as [S B]. apply andb_true_iff in S as [S Y].
      destruct Hx as (F & W & Z). destruct (Z Y) as [v V].
      pose proof (tag_sound _ _ _ v (conj F (conj W Z)) B V) as G.
      destruct v as [h| | | | |]; try discriminate.
      rewrite chain_app. destruct (C S) as [-> | ->]; simpl;
        rewrite ?Bool.eqb_reflx, ?not_stop; auto.
      cbn [chain]. rewrite V. simpl. destruct (Bool.eqb h stop); auto.
Qed.

Lemma subject_fits : forall v i s t, v = VEntity i -> is_subject w s i -> t = Some TEntity ->
  fits w (with_subject t (Some s)) v.
Proof.
  intros v i s t -> [T X] ->. repeat split; simpl; intros x E; injection E as <-; eauto.
Qed.

(** The attribute that a fact speaks of. *)
Lemma attribute_sound : forall r k a x v, sound r k -> attribute_of k a = Some x -> r = Ok v ->
  exists i, v = VEntity i /\
    (forall s, store w i = Some s ->
       match x with
       | Missing => lookup a (attributes s) = None
       | Present vs => exists u, lookup a (attributes s) = Some u /\ fits w vs u
       end).
Proof.
  intros r k a x v (F & _) A E. destruct (F v E) as (_ & Ent & _). unfold attribute_of in A.
  destruct (is_tag TEntity k); [|discriminate].
  destruct (v_entity (common k)) as [t|]; [|discriminate].
  destruct (Ent t eq_refl) as (i & -> & <-). exists i. split; [reflexivity|]. intros s S.
  pose proof (about_attribute_right _ _ vouched i s a S) as R. rewrite A in R. exact R.
Qed.

Lemma exists_sound : forall r k x i, sound r k -> v_exists (common k) = Some x ->
  r = Ok (VEntity i) -> exists_in w i = x.
Proof.
  intros r k x i (F & _) X E. destruct (F _ E) as (_ & _ & G).
  destruct (G x X) as (j & J & H). injection J as ->. exact H.
Qed.

Lemma known_read_sound : forall e k a, sound (result_of e) k ->
  sound (result_of (GetAttr e a)) (known_read k a).
Proof.
  intros e k a S.
  assert (nothing : sound (result_of (GetAttr e a)) (only None)).
  { apply sound_only. intros v u _ H. discriminate. }
  unfold known_read. destruct (attribute_of k a) as [[|vs]|] eqn:A; auto.
  destruct (v_exists (common k)) as [[]|] eqn:X; auto.
  assert (value : forall v, result_of e = Ok v ->
            exists u, result_of (GetAttr e a) = Ok u /\ fits w vs u).
  { intros v E. destruct (attribute_sound _ _ _ _ _ S A E) as (i & -> & R).
    pose proof (exists_sound _ _ _ _ S X E) as P. unfold exists_in in P.
    destruct (store w i) as [s|] eqn:D; [|discriminate].
    destruct (R s eq_refl) as (u & L & U). exists u. split; [|exact U].
    cbn [eval]. rewrite E. simpl. unfold get_attr. simpl. rewrite D, L. reflexivity. }
  split; [|split].
  - intros u E. cbn [eval] in E. destruct (result_of e) as [v|] eqn:V; simpl in E; [|discriminate].
    destruct (value v eq_refl) as (u' & E' & U). cbn [eval] in E'. rewrite V in E'. simpl in E'.
    rewrite E in E'. injection E' as ->. exact U.
  - simpl. discriminate.
  - simpl. intro Y. destruct S as (_ & _ & Z). destruct (Z Y) as [v V].
    destruct (value v V) as (u & E & _). eauto.
Qed.

Lemma known_has_sound : forall e k a, sound (result_of e) k ->
  sound (result_of (Has e [a])) (known_has k a).
Proof.
  intros e k a S.
  assert (nothing : sound (result_of (Has e [a])) (sure_bool false)).
  { apply sound_bool; [cbn [eval]; booleans|discriminate]. }
  unfold known_has. destruct (sure k) eqn:Y; auto.
  destruct S as (F & W & Z). destruct (Z Y) as [v V]. pose proof (conj F (conj W Z)) as S.
  fold (sound (result_of e) k) in S.
  destruct (v_exists (common k)) as [[]|] eqn:X; auto.
  - destruct (attribute_of k a) as [[|vs]|] eqn:A; auto;
      destruct (attribute_sound _ _ _ _ _ S A V) as (i & -> & R);
      pose proof (exists_sound _ _ _ _ S X V) as P; unfold exists_in in P;
      destruct (store w i) as [s|] eqn:D; try discriminate;
      cbn [eval]; rewrite V; simpl; rewrite D.
    + rewrite (R s eq_refl). apply sound_truth.
    + destruct (R s eq_refl) as (u & -> & _). apply sound_truth.
  - destruct (is_tag TEntity k) eqn:T; auto.
    pose proof (tag_sound _ _ _ v S T V) as G. destruct v; try discriminate.
    pose proof (exists_sound _ _ _ _ S X V) as P. unfold exists_in in P.
    cbn [eval]. rewrite V. simpl. destruct (store w e0); [discriminate|]. apply sound_truth.
Qed.

Lemma known_is_sound : forall e k t, sound (result_of e) k ->
  sound (result_of (Is e t)) (known_is k (type_of (linked b) t)).
Proof.
  intros e k t S.
  assert (nothing : sound (result_of (Is e t)) (sure_bool false)).
  { apply sound_bool; [cbn [eval]; booleans|discriminate]. }
  unfold known_is. destruct (v_entity (common k)) as [u|] eqn:U; auto.
  destruct (sure k) eqn:Y; auto. destruct S as (F & _ & Z). destruct (Z Y) as [v V].
  destruct (F v V) as (_ & Ent & _). destruct (Ent u U) as (i & -> & <-).
  cbn [eval]. rewrite V. apply sound_truth.
Qed.

(** Where the facts hold, what the analysis says of an expression is so: the value has the tag, type and
    existence; a known value is the result; and what is called sure does not fail. *)
Theorem analysis_sound : forall e, known_right e.
Proof.
  unfold known_right. induction e using expr_induction;
    try (apply sound_only; intros; eapply infer_sound; eauto; fail).
  - cbn [analyse]. destruct (value_of (linked b) c) as [v|] eqn:V.
    + cbn [eval]. rewrite V. split; [|split]; simpl.
      * intros u E. injection E as <-.
        destruct v as [| | |i| |]; try (apply fits_tag; reflexivity).
        destruct (about_named f i) as [s|] eqn:N; [|apply fits_tag; reflexivity].
        eapply subject_fits; eauto. apply (about_named_right _ _ vouched), N.
      * intros x E. injection E as <-. reflexivity.
      * eauto.
    + apply sound_only. intros v t E. cbn [eval] in E. congruence.
  - apply sound_truth.
  - cbn [analyse eval]. split; [|split]; simpl; eauto; try discriminate.
    intros u E. injection E as <-. destruct (about f v) as [s|] eqn:A.
    + destruct (about_right _ _ vouched v s A) as (i & I & S).
      eapply subject_fits; eauto. destruct v; try reflexivity.
      simpl in I. pose proof (context_is_record _ _ vouched) as K. rewrite I in K. discriminate.
    + destruct v; apply fits_tag; try reflexivity. apply (context_is_record _ _ vouched).
  - destruct op; try (apply sound_only; intros; eapply infer_sound; eauto; fail).
    cbn [analyse]. destruct (truth (analyse e)) as [t|] eqn:T.
    + apply (truth_sound _ _ _ IHe) in T. cbn [eval]. rewrite T. apply sound_truth.
    + apply sound_bool.
      * cbn [eval]. apply boolean_bind. intro x. simpl. booleans.
      * intro S. apply andb_true_iff in S as [S Y]. pose proof IHe as (_ & _ & Z).
        destruct (Z Y) as [v V]. pose proof (tag_sound _ _ _ v IHe S V) as G.
        cbn [eval]. rewrite V. destruct v; try discriminate. eexists. reflexivity.
  - cbn [analyse eval]. apply known_binary_sound; try assumption.
    intros v t E T. eapply (infer_sound (Binary op e1 e2)); eauto.
  - cbn [analyse eval]. apply (known_chain_sound false l H []); simpl; auto.
  - cbn [analyse eval]. apply (known_chain_sound true l H []); simpl; auto.
  - apply known_read_sound, IHe.
  - destruct path as [|k [|]]; try (apply sound_only; intros; eapply infer_sound; eauto; fail).
    apply known_has_sound, IHe.
  - apply known_is_sound, IHe.
Qed.

(** ** Without branches *)

(** The operand's word, where there is one. *)
Definition flag (e : expr constant) : bool :=
  match result_of e with Ok (VBool h) => h | _ => false end.

Definition certain (e : expr constant) : Prop := exists h, result_of e = Ok (VBool h).

Theorem sure_is_certain : forall e,
  is_tag TBool (analyse e) = true -> sure (analyse e) = true -> certain e.
Proof.
  intros e T S. pose proof (analysis_sound e) as R. pose proof R as (_ & _ & Z).
  destruct (Z S) as [v V]. pose proof (tag_sound _ _ _ v R T V) as G.
  destruct v; try discriminate. unfold certain. eauto.
Qed.

(** [Emitter::flags]: if no operand can fail, all may be computed, and and-ed or or-ed. *)
Theorem flags_and : forall l, Forall certain l -> result_of (And l) = Ok (VBool (forallb flag l)).
Proof.
  cbn [eval]. induction 1 as [|x l [h H] _ IH]; [reflexivity|].
  cbn [chain forallb]. unfold flag at 1. rewrite H. simpl. destruct h; simpl; auto.
Qed.

Theorem flags_or : forall l, Forall certain l -> result_of (Or l) = Ok (VBool (existsb flag l)).
Proof.
  cbn [eval]. induction 1 as [|x l [h H] _ IH]; [reflexivity|].
  cbn [chain existsb]. unfold flag at 1. rewrite H. simpl. destruct h; simpl; auto.
Qed.

(** And in any order. *)
Theorem certain_operands_commute : forall l k, Permutation l k -> Forall certain l ->
  result_of (And l) = result_of (And k) /\ result_of (Or l) = result_of (Or k).
Proof.
  intros l k P H. assert (Forall certain k) as K by (eapply Permutation_Forall; eauto).
  rewrite !flags_and, !flags_or by assumption. clear H K. split; do 2 f_equal.
  - induction P; simpl; try congruence. rewrite !andb_assoc, (andb_comm (flag y)). reflexivity.
  - induction P; simpl; try congruence. rewrite !orb_assoc, (orb_comm (flag y)). reflexivity.
Qed.

End Analysis.

(** The condition is needed: behind a false operand there may be one that fails. *)
Theorem failing_operands_do_not_commute : exists w b (x y : expr constant),
  eval w (linked b) (And [x; y]) <> eval w (linked b) (And [y; x]).
Proof.
  exists (World (Entity 0 0) (Entity 0 0) (Entity 0 0) (VRecord []) (fun _ => None)), unlinked,
    (EBool false), (GetAttr (Var Principal) 0%N).
  discriminate.
Qed.
