(** Evaluation.

    Models runtime/src/interpreter.rs and runtime/src/interpreter/operators.rs, function by function.
    A result is a value or why the evaluation failed. *)

From Coq Require Import ZArith NArith List Bool Lia.
From Proofs Require Import Values Syntax.
Import ListNotations.
Local Open Scope Z_scope.

Definition as_bool (v : value) : result bool :=
  match v with VBool b => Ok b | _ => Fail TypeError end.

Definition as_long (v : value) : result Z :=
  match v with VLong z => Ok z | _ => Fail TypeError end.

Definition as_string (v : value) : result name :=
  match v with VString s => Ok s | _ => Fail TypeError end.

Definition as_entity (v : value) : result entity :=
  match v with VEntity e => Ok e | _ => Fail TypeError end.

Definition as_set (v : value) : result (list value) :=
  match v with VSet l => Ok l | _ => Fail TypeError end.

(** ** Operators on values *)

Definition in_range (z : Z) : bool := (-9223372036854775808 <=? z) && (z <=? 9223372036854775807).

(** 64-bit arithmetic fails where its result does not fit. *)
Definition checked (z : Z) : result value :=
  if in_range z then Ok (VLong z) else Fail Overflow.

Definition unary (op : unary_op) (a : value) : result value :=
  match op with
  | Not => let* b := as_bool a in Ok (VBool (negb b))
  | Neg => let* z := as_long a in checked (- z)
  | IsEmpty => let* l := as_set a in Ok (VBool (match l with [] => true | _ => false end))
  end.

Definition arithmetic (f : Z -> Z -> Z) (a b : value) : result value :=
  let* x := as_long a in let* y := as_long b in checked (f x y).

Definition compare (f : Z -> Z -> bool) (a b : value) : result value :=
  let* x := as_long a in let* y := as_long b in Ok (VBool (f x y)).

Definition is_entity (v : value) : bool := match v with VEntity _ => true | _ => false end.

(** [entity in other]: a set is checked as a whole before anything is searched in it. *)
Definition is_in (w : world) (e : entity) (other : value) : result value :=
  match other with
  | VEntity o => Ok (VBool (in_entity w e o))
  | VSet l =>
      if forallb is_entity l then
        Ok (VBool (existsb (fun v => match v with VEntity o => in_entity w e o | _ => false end) l))
      else Fail TypeError
  | _ => Fail TypeError
  end.

Definition tags_of (w : world) (e : entity) : list (name * value) :=
  match store w e with Some s => tags s | None => [] end.

Definition get_tag (w : world) (a b : value) : result value :=
  let* e := as_entity a in
  let* k := as_string b in
  match lookup k (tags_of w e) with
  | Some v => Ok v
  | None => Fail (if exists_in w e then NoTag else NoEntity)
  end.

Definition has_tag (w : world) (a b : value) : result value :=
  let* e := as_entity a in
  let* k := as_string b in
  Ok (VBool (match lookup k (tags_of w e) with Some _ => true | None => false end)).

Definition binary (w : world) (op : binary_op) (a b : value) : result value :=
  match op with
  | Eq => Ok (VBool (value_eqb a b))
  | Less => compare Z.ltb a b
  | LessEq => compare Z.leb a b
  | Add => arithmetic Z.add a b
  | Sub => arithmetic Z.sub a b
  | Mul => arithmetic Z.mul a b
  | InOp => let* e := as_entity a in is_in w e b
  | Contains => let* l := as_set a in Ok (VBool (mem b l))
  | ContainsAll =>
      let* l := as_set a in let* m := as_set b in Ok (VBool (forallb (fun v => mem v l) m))
  | ContainsAny =>
      let* l := as_set a in let* m := as_set b in Ok (VBool (existsb (fun v => mem v l) m))
  | GetTag => get_tag w a b
  | HasTag => has_tag w a b
  end.

(** What has attributes: a record, or an entity, which has none if it does not exist. *)
Definition attributes_of (w : world) (v : value) : result (list (name * value)) :=
  match v with
  | VRecord l => Ok l
  | VEntity e => Ok (match store w e with Some s => attributes s | None => [] end)
  | _ => Fail TypeError
  end.

Definition missing (w : world) (v : value) : failure :=
  match v with
  | VEntity e => if exists_in w e then NoAttribute else NoEntity
  | _ => NoAttribute
  end.

Definition get_attr (w : world) (v : value) (k : name) : result value :=
  let* l := attributes_of w v in
  match lookup k l with
  | Some x => Ok x
  | None => Fail (missing w v)
  end.

(** [v has a.b.c]: stops at the first attribute that is not there. *)
Fixpoint has_path (w : world) (v : value) (path : list name) : result value :=
  match path with
  | [] => Ok (VBool true)
  | k :: rest =>
      let* l := attributes_of w v in
      match lookup k l with
      | Some x => has_path w x rest
      | None => Ok (VBool false)
      end
  end.

(** ** Lists of operands *)

(** [&&] and [||]: the first operand that is [stop] decides; each operand's type is checked before the
    next is evaluated. *)
Definition chain {A} (f : A -> result value) (stop : bool) : list A -> result value :=
  fix go l :=
    match l with
    | [] => Ok (VBool (negb stop))
    | x :: rest =>
        let* v := f x in
        let* b := as_bool v in
        if Bool.eqb b stop then Ok (VBool stop) else go rest
    end.

(** Operands in order; the first failure is the whole's. *)
Definition all {A B} (f : A -> result B) : list A -> result (list B) :=
  fix go l :=
    match l with
    | [] => Ok []
    | x :: rest => let* v := f x in let* r := go rest in Ok (v :: r)
    end.

(** ** Expressions *)

(** What constants mean: as operands, and as entity types. *)
Record meaning (C : Type) := Meaning {
  value_of : C -> result value;
  type_of : C -> N;
}.
Arguments Meaning {C}.
Arguments value_of {C}.
Arguments type_of {C}.

Definition variable (w : world) (v : var) : value :=
  match v with
  | Principal => VEntity (principal w)
  | Action => VEntity (action w)
  | Resource => VEntity (resource w)
  | Context => context w
  end.

Fixpoint eval {C} (w : world) (m : meaning C) (e : expr C) : result value :=
  match e with
  | Const c => value_of m c
  | EBool b => Ok (VBool b)
  | Var v => Ok (variable w v)
  | Unary op a => let* x := eval w m a in unary op x
  | Binary op a b =>
      let* x := eval w m a in let* y := eval w m b in binary w op x y
  | And l => chain (eval w m) false l
  | Or l => chain (eval w m) true l
  | If c t e =>
      let* x := eval w m c in
      let* b := as_bool x in
      if b then eval w m t else eval w m e
  | GetAttr e k => let* x := eval w m e in get_attr w x k
  | Has e path => let* x := eval w m e in has_path w x path
  | Is e t =>
      let* x := eval w m e in
      let* i := as_entity x in
      Ok (VBool (N.eqb (etype i) (type_of m t)))
  | IsIn e t within =>
      let* x := eval w m e in
      let* i := as_entity x in
      if N.eqb (etype i) (type_of m t) then
        let* o := eval w m within in is_in w i o
      else Ok (VBool false)
  | SetOf l => let* vs := all (eval w m) l in Ok (VSet (mk_set vs))
  | RecordOf l =>
      let* vs := all (fun kv => let '(k, x) := kv in let* v := eval w m x in Ok (k, v)) l in
      Ok (VRecord (mk_record vs))
  end.

(** ** Policies *)

Definition resolve (b : bindings) (r : entity_ref) : result entity :=
  match r with
  | Named e => Ok e
  | Linked s => match b s with Some e => Ok e | None => Fail UnlinkedSlot end
  end.

(** What HIR's constants mean in a link. A type is no operand: loading makes none. *)
Definition linked (b : bindings) : meaning constant :=
  Meaning
    (fun c =>
       match c with
       | CValue v => Ok v
       | CSlot s => let* e := resolve b (Linked s) in Ok (VEntity e)
       | CType _ => Fail TypeError
       end)
    (fun c => match c with CType t => t | _ => 0%N end).

(** [Interpreter::matches] *)
Definition matches (w : world) (b : bindings) (e : entity) (s : scope) : result bool :=
  match s with
  | ScopeAny => Ok true
  | ScopeEq r => let* o := resolve b r in Ok (entity_eqb e o)
  | ScopeIn r => let* o := resolve b r in Ok (in_entity w e o)
  | ScopeIs t => Ok (N.eqb (etype e) t)
  | ScopeIsIn t r =>
      if N.eqb (etype e) t then let* o := resolve b r in Ok (in_entity w e o) else Ok false
  end.

(** [Interpreter::matches_action], and [action_matches] in runtime/src/index/posting.rs. *)
Definition matches_action (w : world) (s : action_scope) : bool :=
  match s with
  | ActionAny => true
  | ActionEq a => entity_eqb (action w) a
  | ActionIn l => existsb (in_entity w (action w)) l
  end.

(** [Interpreter::in_scope] *)
Definition in_scope (w : world) (b : bindings) (p : policy) : result bool :=
  let* h := matches w b (principal w) (p_principal p) in
  if h then
    if matches_action w (p_action p) then matches w b (resource w) (p_resource p)
    else Ok false
  else Ok false.

(** [Interpreter::conditions] *)
Fixpoint conditions (w : world) (m : meaning constant) (l : list (bool * expr constant))
  : result bool :=
  match l with
  | [] => Ok true
  | (unless, body) :: rest =>
      let* v := eval w m body in
      let* h := as_bool v in
      if Bool.eqb h unless then Ok false else conditions w m rest
  end.

(** [Interpreter::evaluate] *)
Definition evaluate (w : world) (b : bindings) (p : policy) : result bool :=
  let* h := in_scope w b p in
  if h then conditions w (linked b) (p_conditions p) else Ok false.

(** ** What follows *)

(** A policy whose scope is false comes to false and does not fail: scope and conditions are one
    short-circuit. *)
Theorem out_of_scope_is_false : forall w b p,
  in_scope w b p = Ok false -> evaluate w b p = Ok false.
Proof. intros w b p H. unfold evaluate. rewrite H. reflexivity. Qed.

(** What a link binds. *)
Definition binds (b : bindings) (r : entity_ref) : Prop := exists e, resolve b r = Ok e.

Definition scope_ref (s : scope) : option entity_ref :=
  match s with
  | ScopeAny | ScopeIs _ => None
  | ScopeEq r | ScopeIn r | ScopeIsIn _ r => Some r
  end.

Definition scope_bound (b : bindings) (s : scope) : Prop :=
  match scope_ref s with Some r => binds b r | None => True end.

(** Every slot of the policy is bound; loading checks it. *)
Definition bound (b : bindings) (p : policy) : Prop :=
  scope_bound b (p_principal p) /\ scope_bound b (p_resource p).

Lemma matches_total : forall w b e s, scope_bound b s -> exists h, matches w b e s = Ok h.
Proof.
  intros w b e [| r | r | t | t r] H; simpl; eauto; destruct H as [o H]; rewrite H; simpl; eauto.
  destruct (N.eqb (etype e) t); eauto.
Qed.

(** A scope cannot fail, given that the slots are bound. *)
Theorem scope_cannot_fail : forall w b p, bound b p -> exists h, in_scope w b p = Ok h.
Proof.
  intros w b p [Hp Hr]. unfold in_scope.
  destruct (matches_total w b (principal w) _ Hp) as [[] ->]; simpl; eauto.
  destruct (matches_action w (p_action p)); eauto.
  apply matches_total, Hr.
Qed.

(** A policy as bodies have it: without the action's scope. *)
Definition without_action (p : policy) : policy :=
  Policy (p_effect p) (p_principal p) ActionAny (p_resource p) (p_conditions p).

Theorem body_needs_no_action : forall w b p, matches_action w (p_action p) = true ->
  evaluate w b (without_action p) = evaluate w b p.
Proof. intros w b p H. unfold evaluate, in_scope. simpl. rewrite H. reflexivity. Qed.

(** [==] fails only if an operand does. *)
Theorem equality_never_fails : forall C w (m : meaning C) a b x y,
  eval w m a = Ok x -> eval w m b = Ok y ->
  eval w m (Binary Eq a b) = Ok (VBool (value_eqb x y)).
Proof. intros C w m a b x y H K. simpl. rewrite H, K. reflexivity. Qed.

(** A failing left operand is the result of any operator, whatever the right one is. *)
Theorem left_failure_first : forall C w (m : meaning C) op a b f,
  eval w m a = Fail f ->
  eval w m (Binary op a b) = Fail f /\ eval w m (And [a; b]) = Fail f /\ eval w m (Or [a; b]) = Fail f.
Proof. intros C w m op a b f H. simpl. rewrite H. auto. Qed.

(** A failing right operand is found before the left one's type is: ["a" + missing.attribute]. *)
Theorem right_failure_before_types : forall C w (m : meaning C) op a b x f,
  eval w m a = Ok x -> eval w m b = Fail f -> eval w m (Binary op a b) = Fail f.
Proof. intros C w m op a b x f H K. simpl. rewrite H, K. reflexivity. Qed.

(** [&&] and [||] check the left operand's type before they touch the right one. *)
Theorem left_type_before_right : forall C w (m : meaning C) a b x,
  eval w m a = Ok x -> tag_of x <> TBool ->
  eval w m (And [a; b]) = Fail TypeError /\ eval w m (Or [a; b]) = Fail TypeError.
Proof. intros C w m a b x H T. simpl. rewrite H. destruct x; simpl; auto. now elim T. Qed.

(** And they check the right one's. *)
Theorem right_type_checked : forall C w (m : meaning C) a b y,
  eval w m a = Ok (VBool true) -> eval w m b = Ok y -> tag_of y <> TBool ->
  eval w m (And [a; b]) = Fail TypeError.
Proof. intros C w m a b y H K T. simpl. rewrite H, K. destruct y; simpl; auto. now elim T. Qed.

Theorem and_stops : forall C w (m : meaning C) a rest,
  eval w m a = Ok (VBool false) -> eval w m (And (a :: rest)) = Ok (VBool false).
Proof. intros C w m a rest H. simpl. rewrite H. reflexivity. Qed.

Theorem or_stops : forall C w (m : meaning C) a rest,
  eval w m a = Ok (VBool true) -> eval w m (Or (a :: rest)) = Ok (VBool true).
Proof. intros C w m a rest H. simpl. rewrite H. reflexivity. Qed.

(** A missing entity is in itself only, and that is no failure. *)
Theorem missing_entity_in_itself_only : forall w e o,
  store w e = None -> in_entity w e o = entity_eqb e o.
Proof. intros w e o H. unfold in_entity, ancestors_of. rewrite H. simpl. apply orb_false_r. Qed.

(** ** Lists of operands *)

Lemma chain_app : forall A (f : A -> result value) stop l m,
  chain f stop (l ++ m) =
  let* v := chain f stop l in
  let* b := as_bool v in
  if Bool.eqb b stop then Ok (VBool stop) else chain f stop m.
Proof.
  induction l as [|x l IH]; intro m.
  - simpl. destruct stop; reflexivity.
  - cbn [app chain]. destruct (f x) as [v|]; simpl; auto. destruct (as_bool v) as [b|]; simpl; auto.
    destruct (Bool.eqb b stop) eqn:E; simpl; [|apply IH].
    rewrite Bool.eqb_reflx. reflexivity.
Qed.

(** Chains are flat in HIR: a nested chain checks and stops in the same order as its operands in its
    place. *)
Theorem nested_and_is_flat : forall C w (m : meaning C) before inner after,
  eval w m (And (before ++ And inner :: after)) = eval w m (And (before ++ inner ++ after)).
Proof.
  intros. cbn [eval]. rewrite !chain_app. reflexivity.
Qed.

Theorem nested_or_is_flat : forall C w (m : meaning C) before inner after,
  eval w m (Or (before ++ Or inner :: after)) = eval w m (Or (before ++ inner ++ after)).
Proof.
  intros. cbn [eval]. rewrite !chain_app. reflexivity.
Qed.

Lemma chain_ext : forall A B (f : A -> result value) (g : B -> result value) stop l m,
  Forall2 (fun x y => f x = g y) l m -> chain f stop l = chain g stop m.
Proof.
  induction 1 as [|x y l m H _ IH]; [reflexivity|].
  cbn [chain]. rewrite H. destruct (g y) as [v|]; simpl; auto.
  destruct (as_bool v) as [b|]; simpl; auto. destruct (Bool.eqb b stop); auto.
Qed.

Lemma all_ext : forall A B R (f : A -> result R) (g : B -> result R) l m,
  Forall2 (fun x y => f x = g y) l m -> all f l = all g m.
Proof.
  induction 1 as [|x y l m H _ IH]; [reflexivity|].
  cbn [all]. rewrite H, IH. reflexivity.
Qed.

Lemma Forall2_map_left : forall A B (R : B -> A -> Prop) (f : A -> B) l,
  Forall (fun x => R (f x) x) l -> Forall2 R (map f l) l.
Proof. induction 1; constructor; auto. Qed.

(** A result is a function of what the constants mean, and of nothing else about them: replacing a
    constant by an expression that comes to the same changes nothing. *)
Theorem replace_correct : forall C D w (f : C -> expr D) (g : C -> D) (m : meaning D) (e : expr C),
  eval w m (replace f g e) =
  eval w (Meaning (fun c => eval w m (f c)) (fun c => type_of m (g c))) e.
Proof.
  intros. induction e using expr_induction; cbn [replace eval value_of type_of];
    try reflexivity.
  - rewrite IHe. reflexivity.
  - rewrite IHe1, IHe2. reflexivity.
  - apply chain_ext, Forall2_map_left, H.
  - apply chain_ext, Forall2_map_left, H.
  - rewrite IHe1, IHe2, IHe3. reflexivity.
  - rewrite IHe. reflexivity.
  - rewrite IHe. reflexivity.
  - rewrite IHe. reflexivity.
  - rewrite IHe1, IHe2. reflexivity.
  - f_equal. apply all_ext, Forall2_map_left, H.
  - f_equal. apply all_ext, Forall2_map_left.
    eapply Forall_impl; [|exact H]. intros [k x] Hx. simpl in *. rewrite Hx. reflexivity.
Qed.

Lemma Forall2_same : forall A (R : A -> A -> Prop) l, Forall (fun x => R x x) l -> Forall2 R l l.
Proof. induction 1; constructor; auto. Qed.

Theorem same_meaning : forall C w (m n : meaning C) (e : expr C),
  (forall c, value_of m c = value_of n c) -> (forall c, type_of m c = type_of n c) ->
  eval w m e = eval w n e.
Proof.
  intros C w m n e V T. induction e using expr_induction; cbn [eval]; auto.
  - rewrite IHe. reflexivity.
  - rewrite IHe1, IHe2. reflexivity.
  - apply chain_ext, Forall2_same, H.
  - apply chain_ext, Forall2_same, H.
  - rewrite IHe1, IHe2, IHe3. reflexivity.
  - rewrite IHe. reflexivity.
  - rewrite IHe. reflexivity.
  - rewrite IHe, T. reflexivity.
  - rewrite IHe1, IHe2, T. reflexivity.
  - f_equal. apply all_ext, Forall2_same, H.
  - f_equal. apply all_ext, Forall2_same.
    eapply Forall_impl; [|exact H]. intros [k x] Hx. simpl in *. rewrite Hx. reflexivity.
Qed.
