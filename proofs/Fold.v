(** Lowering and constant folding.

    Models frontend/src/lower/fold.rs rule by rule, and from frontend/src/lower/mod.rs what lowering
    makes of each construct: [Operand::Const] is a [Const] with a value, [Operand::Node] any other
    expression. The results are equal, failures with their kinds included; what would fail is not
    folded. Constants are still in place; Shapes.v moves them to the table. *)

From Coq Require Import ZArith NArith List Bool.
From Proofs Require Import Values Syntax Eval.
Import ListNotations.

(** ** The rules: frontend/src/lower/fold.rs *)

(** [i64::checked_add] and the like. *)
Definition in_long (z : Z) : option value := if in_range z then Some (VLong z) else None.

(** [fold::unary] *)
Definition fold_unary (op : unary_op) (a : value) : option value :=
  match op, a with
  | Not, VBool b => Some (VBool (negb b))
  | Neg, VLong i => in_long (- i)
  | IsEmpty, VSet l => Some (VBool (match l with [] => true | _ => false end))
  | _, _ => None
  end.

(** [fold::binary] *)
Definition fold_binary (op : binary_op) (a b : value) : option value :=
  match op, a, b with
  | Eq, _, _ => Some (VBool (value_eqb a b))
  | Less, VLong x, VLong y => Some (VBool (Z.ltb x y))
  | LessEq, VLong x, VLong y => Some (VBool (Z.ltb x y || Z.eqb x y))
  | Add, VLong x, VLong y => in_long (x + y)
  | Sub, VLong x, VLong y => in_long (x - y)
  | Mul, VLong x, VLong y => in_long (x * y)
  | Contains, VSet l, _ => Some (VBool (mem b l))
  | ContainsAll, VSet l, VSet m => Some (VBool (forallb (fun v => mem v l) m))
  | ContainsAny, VSet l, VSet m => Some (VBool (existsb (fun v => mem v l) m))
  | _, _, _ => None
  end.

Lemma in_long_checked : forall z x, in_long z = Some x -> checked z = Ok x.
Proof.
  unfold in_long, checked. intros z x. destruct (in_range z); intro H; [|discriminate].
  injection H as ->. reflexivity.
Qed.

Lemma less_or_equal : forall x y, (Z.ltb x y || Z.eqb x y)%bool = Z.leb x y.
Proof.
  intros. destruct (Z.leb x y) eqn:E.
  - apply orb_true_iff. rewrite Z.ltb_lt, Z.eqb_eq. apply Z.leb_le in E.
    destruct (proj1 (Z.lt_eq_cases x y) E); auto.
  - apply orb_false_iff. rewrite Z.ltb_ge, Z.eqb_neq. apply Z.leb_gt in E. split.
    + apply Z.lt_le_incl, E.
    + intros ->. exact (Z.lt_irrefl _ E).
Qed.

(** What is folded is what evaluation comes to, for any request and entities. *)
Theorem fold_unary_correct : forall op a x, fold_unary op a = Some x -> unary op a = Ok x.
Proof.
  intros [] [] x H; simpl in H; try discriminate; simpl.
  - injection H as <-. reflexivity.
  - apply in_long_checked, H.
  - injection H as <-. reflexivity.
Qed.

Theorem fold_binary_correct : forall op a b x, fold_binary op a b = Some x ->
  forall w, binary w op a b = Ok x.
Proof.
  intros op a b x H w. destruct op; simpl in H.
  - injection H as <-. reflexivity.
  - destruct a, b; try discriminate. injection H as <-. reflexivity.
  - destruct a, b; try discriminate. injection H as <-. rewrite less_or_equal. reflexivity.
  - destruct a, b; try discriminate. apply in_long_checked, H.
  - destruct a, b; try discriminate. apply in_long_checked, H.
  - destruct a, b; try discriminate. apply in_long_checked, H.
  - destruct a, b; discriminate.
  - destruct a; try discriminate. injection H as <-. reflexivity.
  - destruct a, b; try discriminate. injection H as <-. reflexivity.
  - destruct a, b; try discriminate. injection H as <-. reflexivity.
  - destruct a, b; discriminate.
  - destruct a, b; discriminate.
Qed.

(** What fails is not folded. *)
Theorem failures_are_not_folded : forall w op a b f,
  binary w op a b = Fail f -> fold_binary op a b = None.
Proof.
  intros w op a b f H. destruct (fold_binary op a b) as [x|] eqn:E; [|reflexivity].
  rewrite (fold_binary_correct _ _ _ _ E w) in H. discriminate.
Qed.

(** ** Constructs: [Lowering] in frontend/src/lower/mod.rs *)

Definition as_const (e : expr constant) : option value :=
  match e with Const (CValue v) => Some v | _ => None end.

(** [Lowering::unary] *)
Definition lower_unary (op : unary_op) (a : expr constant) : expr constant :=
  match as_const a with
  | Some v => match fold_unary op v with Some x => Const (CValue x) | None => Unary op a end
  | None => Unary op a
  end.

(** [Lowering::binary] *)
Definition lower_binary (op : binary_op) (a b : expr constant) : expr constant :=
  match as_const a, as_const b with
  | Some v, Some u =>
      match fold_binary op v u with Some x => Const (CValue x) | None => Binary op a b end
  | _, _ => Binary op a b
  end.

(** [Lowering::get_attr] *)
Definition lower_get_attr (e : expr constant) (k : name) : expr constant :=
  match as_const e with
  | Some (VRecord l) =>
      match lookup k l with Some v => Const (CValue v) | None => GetAttr e k end
  | _ => GetAttr e k
  end.

(** [Lowering::has]: [e has a.b] is [e has a && e.a has b]. *)
Fixpoint has_tests (e : expr constant) (path : list name) : list (expr constant) :=
  match path with
  | [] => []
  | k :: rest => Has e [k] :: has_tests (GetAttr e k) rest
  end.

Definition lower_has (e : expr constant) (path : list name) : expr constant :=
  match path with
  | [] => Has e []                      (* HIR's paths are not empty. *)
  | _ => And (has_tests e path)
  end.

Fixpoint as_consts (l : list (expr constant)) : option (list value) :=
  match l with
  | [] => Some []
  | x :: r =>
      match as_const x, as_consts r with Some v, Some vs => Some (v :: vs) | _, _ => None end
  end.

(** [Lowering::set] *)
Definition lower_set (l : list (expr constant)) : expr constant :=
  match as_consts l with Some vs => Const (CValue (VSet (mk_set vs))) | None => SetOf l end.

Fixpoint as_const_fields (l : list (name * expr constant)) : option (list (name * value)) :=
  match l with
  | [] => Some []
  | (k, x) :: r =>
      match as_const x, as_const_fields r with Some v, Some vs => Some ((k, v) :: vs) | _, _ => None end
  end.

(** [Lowering::record] *)
Definition lower_record (l : list (name * expr constant)) : expr constant :=
  match as_const_fields l with
  | Some vs => Const (CValue (VRecord (mk_record vs)))
  | None => RecordOf l
  end.

(** [Lowering::expr] *)
Fixpoint lower (e : expr constant) : expr constant :=
  match e with
  | Const c => Const c
  | EBool b => EBool b
  | Var v => Var v
  | Unary op a => lower_unary op (lower a)
  | Binary op a b => lower_binary op (lower a) (lower b)
  | And l => And (map lower l)
  | Or l => Or (map lower l)
  | If c t e => If (lower c) (lower t) (lower e)
  | GetAttr e k => lower_get_attr (lower e) k
  | Has e path => lower_has (lower e) path
  | Is e t => Is (lower e) t
  | IsIn e t o => let e := lower e in And [Is e t; Binary InOp e (lower o)]
  | SetOf l => lower_set (map lower l)
  | RecordOf l => lower_record (map (fun kv => let '(k, x) := kv in (k, lower x)) l)
  end.

Section Correct.
Variable w : world.
Variable b : bindings.
Notation value_in e := (eval w (linked b) e).

Lemma as_const_value : forall e v, as_const e = Some v -> value_in e = Ok v.
Proof.
  intros e v H. destruct e; try discriminate. destruct c; try discriminate.
  injection H as ->. reflexivity.
Qed.

Theorem lower_unary_correct : forall op a, value_in (lower_unary op a) = value_in (Unary op a).
Proof.
  intros. unfold lower_unary. destruct (as_const a) as [v|] eqn:A; [|reflexivity].
  destruct (fold_unary op v) as [x|] eqn:F; [|reflexivity].
  cbn [eval]. rewrite (as_const_value _ _ A). simpl. rewrite (fold_unary_correct _ _ _ F). reflexivity.
Qed.

Theorem lower_binary_correct : forall op a c,
  value_in (lower_binary op a c) = value_in (Binary op a c).
Proof.
  intros. unfold lower_binary. destruct (as_const a) as [v|] eqn:A; [|reflexivity].
  destruct (as_const c) as [u|] eqn:C; [|reflexivity].
  destruct (fold_binary op v u) as [x|] eqn:F; [|reflexivity].
  cbn [eval]. rewrite (as_const_value _ _ A), (as_const_value _ _ C). simpl.
  rewrite (fold_binary_correct _ _ _ _ F). reflexivity.
Qed.

Theorem lower_get_attr_correct : forall e k,
  value_in (lower_get_attr e k) = value_in (GetAttr e k).
Proof.
  intros. unfold lower_get_attr. destruct (as_const e) as [v|] eqn:E; [|reflexivity].
  destruct v as [| | | | |l]; try reflexivity. destruct (lookup k l) as [x|] eqn:L; [|reflexivity].
  cbn [eval]. rewrite (as_const_value _ _ E). simpl. unfold get_attr. simpl. rewrite L. reflexivity.
Qed.

(** [e has a.b.c] is [e has a && e.a has b && e.a.b has c]: with what [e] comes to, the tests of the
    path stop and fail where the chain does. *)
Theorem has_tests_correct : forall path e v, value_in e = Ok v ->
  chain (eval w (linked b)) false (has_tests e path) = has_path w v path.
Proof.
  induction path as [|k path IH]; intros e v H; [reflexivity|].
  cbn [has_tests chain eval has_path]. rewrite H. simpl.
  destruct (attributes_of w v) as [l|] eqn:A; simpl; [|reflexivity].
  destruct (lookup k l) as [x|] eqn:L; simpl; [|reflexivity].
  apply IH. cbn [eval]. rewrite H. simpl. unfold get_attr. rewrite A. simpl. rewrite L. reflexivity.
Qed.

Theorem lower_has_correct : forall e path, value_in (lower_has e path) = value_in (Has e path).
Proof.
  intros e [|k path]; [reflexivity|]. unfold lower_has.
  destruct (value_in e) as [v|f] eqn:E.
  - change (chain (eval w (linked b)) false (has_tests e (k :: path)) = value_in (Has e (k :: path))).
    rewrite (has_tests_correct _ _ _ E). cbn [eval]. rewrite E. reflexivity.
  - cbn [eval has_tests chain]. rewrite E. reflexivity.
Qed.

(** [e is T in o] is [e is T && e in o]. *)
Theorem is_in_split : forall e t o,
  value_in (And [Is e t; Binary InOp e o]) = value_in (IsIn e t o).
Proof.
  intros. cbn [eval chain]. destruct (value_in e) as [v|]; simpl; [|reflexivity].
  destruct (as_entity v) as [i|]; simpl; [|reflexivity].
  destruct (N.eqb (etype i) (type_of (linked b) t)) eqn:T;
    cbn [type_of linked] in T; rewrite T; simpl; [|reflexivity].
  destruct (value_in o) as [u|]; simpl; [|reflexivity].
  destruct u; simpl; try reflexivity.
  - destruct (in_entity w i e0); reflexivity.
  - destruct (forallb is_entity elements); [|reflexivity]. simpl.
    destruct (existsb _ elements); reflexivity.
Qed.

Lemma as_consts_values : forall l vs, as_consts l = Some vs -> all (eval w (linked b)) l = Ok vs.
Proof.
  induction l as [|x l IH]; intros vs H; simpl in H.
  - injection H as <-. reflexivity.
  - destruct (as_const x) as [v|] eqn:X; [|discriminate].
    destruct (as_consts l) as [us|]; [|discriminate]. injection H as <-.
    cbn [all]. rewrite (as_const_value _ _ X). simpl. rewrite (IH us eq_refl). reflexivity.
Qed.

Theorem lower_set_correct : forall l, value_in (lower_set l) = value_in (SetOf l).
Proof.
  intro l. unfold lower_set. destruct (as_consts l) as [vs|] eqn:E; [|reflexivity].
  cbn [eval]. rewrite (as_consts_values _ _ E). reflexivity.
Qed.

Lemma as_const_fields_values : forall l vs, as_const_fields l = Some vs ->
  all (fun kv : name * expr constant => let '(k, x) := kv in let* v := value_in x in Ok (k, v)) l = Ok vs.
Proof.
  induction l as [|[k x] l IH]; intros vs H; simpl in H.
  - injection H as <-. reflexivity.
  - destruct (as_const x) as [v|] eqn:X; [|discriminate].
    destruct (as_const_fields l) as [us|]; [|discriminate]. injection H as <-.
    cbn [all]. rewrite (as_const_value _ _ X). simpl. rewrite (IH us eq_refl). reflexivity.
Qed.

Theorem lower_record_correct : forall l, value_in (lower_record l) = value_in (RecordOf l).
Proof.
  intro l. unfold lower_record. destruct (as_const_fields l) as [vs|] eqn:E; [|reflexivity].
  cbn [eval]. rewrite (as_const_fields_values _ _ E). reflexivity.
Qed.

(** Lowering preserves every result, failures included. *)
Theorem lower_correct : forall e, value_in (lower e) = value_in e.
Proof.
  induction e using expr_induction; cbn [lower]; try reflexivity.
  - rewrite lower_unary_correct. cbn [eval]. rewrite IHe. reflexivity.
  - rewrite lower_binary_correct. cbn [eval]. rewrite IHe1, IHe2. reflexivity.
  - cbn [eval]. apply chain_ext, Forall2_map_left, H.
  - cbn [eval]. apply chain_ext, Forall2_map_left, H.
  - cbn [eval]. rewrite IHe1, IHe2, IHe3. reflexivity.
  - rewrite lower_get_attr_correct. cbn [eval]. rewrite IHe. reflexivity.
  - rewrite lower_has_correct. cbn [eval]. rewrite IHe. reflexivity.
  - cbn [eval]. rewrite IHe. reflexivity.
  - cbv zeta. rewrite is_in_split. cbn [eval]. rewrite IHe1, IHe2. reflexivity.
  - rewrite lower_set_correct. cbn [eval]. f_equal. apply all_ext, Forall2_map_left, H.
  - rewrite lower_record_correct. cbn [eval]. f_equal. apply all_ext, Forall2_map_left.
    eapply Forall_impl; [|exact H]. intros [k x] Hx. simpl in *. rewrite Hx. reflexivity.
Qed.

End Correct.

(** ** Policies: [frontend::lower::lower] *)

(** [Lowering::entity_ref] *)
Definition entity_constant (r : entity_ref) : constant :=
  match r with Named e => CValue (VEntity e) | Linked s => CSlot s end.

(** [Lowering::scope] *)
Definition scope_conjuncts (v : var) (s : scope) : list (expr constant) :=
  match s with
  | ScopeAny => []
  | ScopeEq r => [Binary Eq (Var v) (Const (entity_constant r))]
  | ScopeIn r => [Binary InOp (Var v) (Const (entity_constant r))]
  | ScopeIs t => [Is (Var v) (CType t)]
  | ScopeIsIn t r => [Is (Var v) (CType t); Binary InOp (Var v) (Const (entity_constant r))]
  end.

Definition condition_conjunct (c : bool * expr constant) : expr constant :=
  let '(unless, body) := c in
  if unless then lower_unary Not (lower body) else lower body.

Definition conjuncts (p : policy) : list (expr constant) :=
  scope_conjuncts Principal (p_principal p) ++
  scope_conjuncts Resource (p_resource p) ++
  map condition_conjunct (p_conditions p).

(** The body, without the action's scope. *)
Definition lower_policy (p : policy) : expr constant :=
  match conjuncts p with [] => EBool true | l => And l end.

Lemma entity_constant_value : forall b r,
  value_of (linked b) (entity_constant r) = let* e := resolve b r in Ok (VEntity e).
Proof. intros b [e|s]; reflexivity. Qed.

Lemma vbool_chain : forall A (f : A -> result value) x h,
  f x = Ok (VBool h) -> chain f false [x] = Ok (VBool h).
Proof. intros A f x h H. cbn [chain]. rewrite H. destruct h; reflexivity. Qed.

Lemma value_eqb_entities : forall e o, value_eqb (VEntity e) (VEntity o) = entity_eqb e o.
Proof.
  intros e o. destruct (entity_eqb e o) eqn:E.
  - apply entity_eqb_eq in E as ->. apply value_eqb_refl.
  - apply value_eqb_neq. intro H. injection H as ->.
    assert (entity_eqb o o = true) by (apply entity_eqb_eq; reflexivity). congruence.
Qed.

Lemma scope_conjuncts_correct : forall w b v e s, variable w v = VEntity e ->
  chain (eval w (linked b)) false (scope_conjuncts v s) =
  let* h := matches w b e s in Ok (VBool h).
Proof.
  intros w b v e s V.
  destruct s as [|r|r|t|t r]; cbn [scope_conjuncts matches]; [reflexivity| | | | ];
    cbn [chain eval]; rewrite ?V, ?entity_constant_value; cbn [bind as_entity as_bool type_of linked].
  - destruct (resolve b r) as [o|]; simpl; [|reflexivity]. rewrite value_eqb_entities.
    destruct (entity_eqb e o); reflexivity.
  - destruct (resolve b r) as [o|]; simpl; [|reflexivity].
    destruct (in_entity w e o); reflexivity.
  - destruct (N.eqb (etype e) t); reflexivity.
  - destruct (N.eqb (etype e) t); simpl; [|reflexivity].
    destruct (resolve b r) as [o|]; simpl; [|reflexivity].
    destruct (in_entity w e o); reflexivity.
Qed.

Lemma conditions_correct : forall w b l,
  chain (eval w (linked b)) false (map condition_conjunct l) =
  let* h := conditions w (linked b) l in Ok (VBool h).
Proof.
  intros w b l. induction l as [|[unless body] l IH]; [reflexivity|].
  cbn [map chain condition_conjunct conditions]. destruct unless.
  - rewrite lower_unary_correct. cbn [eval]. rewrite lower_correct.
    destruct (eval w (linked b) body) as [v|]; simpl; [|reflexivity].
    destruct (as_bool v) as [[]|]; simpl; auto.
  - rewrite lower_correct.
    destruct (eval w (linked b) body) as [v|]; simpl; [|reflexivity].
    destruct (as_bool v) as [[]|]; simpl; auto.
Qed.

(** A lowered policy comes to what the interpreter says of it, failures included; that of the action's
    scope apart, which the index has asked. *)
Theorem lower_policy_correct : forall w b p,
  eval w (linked b) (lower_policy p) = let* h := evaluate w b (without_action p) in Ok (VBool h).
Proof.
  intros w b p.
  assert (chain (eval w (linked b)) false (conjuncts p) =
          let* h := evaluate w b (without_action p) in Ok (VBool h)) as H.
  { unfold conjuncts. rewrite !chain_app, conditions_correct.
    rewrite (scope_conjuncts_correct w b Principal (principal w)) by reflexivity.
    rewrite (scope_conjuncts_correct w b Resource (resource w)) by reflexivity.
    unfold evaluate, in_scope; simpl.
    destruct (matches w b (principal w) (p_principal p)) as [[]|]; simpl; try reflexivity.
    destruct (matches w b (resource w) (p_resource p)) as [[]|]; simpl; try reflexivity. }
  unfold lower_policy. destruct (conjuncts p); exact H.
Qed.
