(** Expressions, policies and links.

    Models frontend/src/hir.rs, and with another kind of constants the IR of ir/src/expr.rs: both
    have the operators of one syntax, so one tree with a parameter for the constants serves both.
    In HIR a constant is a value, a template's slot or an entity type; in a body of the IR it is a
    place in the constants table. The IR of Rust is a graph; here it is the tree that it stands for.

    Left out: [like], extension functions and values of extension types. *)

From Coq Require Import ZArith NArith List Bool.
From Proofs Require Import Values.
Import ListNotations.

Inductive var := Principal | Action | Resource | Context.

Inductive unary_op := Not | Neg | IsEmpty.

Inductive binary_op :=
| Eq | Less | LessEq | Add | Sub | Mul | InOp
| Contains | ContainsAll | ContainsAny | GetTag | HasTag.

Inductive expr (C : Type) :=
| Const (c : C)
| EBool (b : bool)                      (** A Boolean that is part of a body: [Op::Bool]. *)
| Var (v : var)
| Unary (op : unary_op) (a : expr C)
| Binary (op : binary_op) (a b : expr C)
| And (l : list (expr C))               (** [Expr::And]: chains of [&&] are flat. *)
| Or (l : list (expr C))
| If (c t e : expr C)
| GetAttr (e : expr C) (k : name)
| Has (e : expr C) (path : list name)   (** [e has a.b.c]; of one name in the IR. *)
| Is (e : expr C) (t : C)
| IsIn (e : expr C) (t : C) (within : expr C)
| SetOf (l : list (expr C))
| RecordOf (l : list (name * expr C)).

Arguments Const {C}.
Arguments EBool {C}.
Arguments Var {C}.
Arguments Unary {C}.
Arguments Binary {C}.
Arguments And {C}.
Arguments Or {C}.
Arguments If {C}.
Arguments GetAttr {C}.
Arguments Has {C}.
Arguments Is {C}.
Arguments IsIn {C}.
Arguments SetOf {C}.
Arguments RecordOf {C}.

(** Induction that reaches into the lists. *)
Section Induction.
Context {C : Type} (P : expr C -> Prop).
Hypothesis hconst : forall c, P (Const c).
Hypothesis hbool : forall b, P (EBool b).
Hypothesis hvar : forall v, P (Var v).
Hypothesis hunary : forall op a, P a -> P (Unary op a).
Hypothesis hbinary : forall op a b, P a -> P b -> P (Binary op a b).
Hypothesis hand : forall l, Forall P l -> P (And l).
Hypothesis hor : forall l, Forall P l -> P (Or l).
Hypothesis hif : forall c t e, P c -> P t -> P e -> P (If c t e).
Hypothesis hgetattr : forall e k, P e -> P (GetAttr e k).
Hypothesis hhas : forall e path, P e -> P (Has e path).
Hypothesis his : forall e t, P e -> P (Is e t).
Hypothesis hisin : forall e t o, P e -> P o -> P (IsIn e t o).
Hypothesis hset : forall l, Forall P l -> P (SetOf l).
Hypothesis hrecord : forall l, Forall (fun kv => P (snd kv)) l -> P (RecordOf l).

Fixpoint expr_induction (e : expr C) : P e :=
  let all := fix all l : Forall P l :=
    match l with
    | [] => Forall_nil _
    | x :: r => Forall_cons x (expr_induction x) (all r)
    end in
  let fields := fix fields l : Forall (fun kv => P (snd kv)) l :=
    match l with
    | [] => Forall_nil _
    | (k, x) :: r =>
        @Forall_cons _ (fun kv => P (snd kv)) (k, x) r (expr_induction x) (fields r)
    end in
  match e with
  | Const c => hconst c
  | EBool b => hbool b
  | Var v => hvar v
  | Unary op a => hunary op a (expr_induction a)
  | Binary op a b => hbinary op a b (expr_induction a) (expr_induction b)
  | And l => hand l (all l)
  | Or l => hor l (all l)
  | If c t e => hif c t e (expr_induction c) (expr_induction t) (expr_induction e)
  | GetAttr e k => hgetattr e k (expr_induction e)
  | Has e p => hhas e p (expr_induction e)
  | Is e t => his e t (expr_induction e)
  | IsIn e t o => hisin e t o (expr_induction e) (expr_induction o)
  | SetOf l => hset l (all l)
  | RecordOf l => hrecord l (fields l)
  end.
End Induction.

(** Replaces every constant by an expression, and every entity type by another constant. *)
Fixpoint replace {C D} (f : C -> expr D) (g : C -> D) (e : expr C) : expr D :=
  match e with
  | Const c => f c
  | EBool b => EBool b
  | Var v => Var v
  | Unary op a => Unary op (replace f g a)
  | Binary op a b => Binary op (replace f g a) (replace f g b)
  | And l => And (map (replace f g) l)
  | Or l => Or (map (replace f g) l)
  | If c t e => If (replace f g c) (replace f g t) (replace f g e)
  | GetAttr e k => GetAttr (replace f g e) k
  | Has e p => Has (replace f g e) p
  | Is e t => Is (replace f g e) (g t)
  | IsIn e t o => IsIn (replace f g e) (g t) (replace f g o)
  | SetOf l => SetOf (map (replace f g) l)
  | RecordOf l => RecordOf (map (fun kv => let '(k, x) := kv in (k, replace f g x)) l)
  end.

(** ** Policies *)

Inductive effect := Permit | Forbid.

Inductive slot := PrincipalSlot | ResourceSlot.

(** What the slots of a template stand for in one link ([SlotBindings]). *)
Definition bindings := slot -> option entity.

Definition unlinked : bindings := fun _ => None.

(** A constant of HIR, and of a constants table ([frontend::lower::Constant]). *)
Inductive constant :=
| CValue (v : value)
| CSlot (s : slot)
| CType (t : N).

Inductive entity_ref :=
| Named (e : entity)
| Linked (s : slot).

(** [ScopeConstraint] *)
Inductive scope :=
| ScopeAny
| ScopeEq (r : entity_ref)
| ScopeIn (r : entity_ref)
| ScopeIs (t : N)
| ScopeIsIn (t : N) (r : entity_ref).

(** [ActionConstraint] *)
Inductive action_scope :=
| ActionAny
| ActionEq (a : entity)
| ActionIn (l : list entity).

Record policy := Policy {
  p_effect : effect;
  p_principal : scope;
  p_action : action_scope;
  p_resource : scope;
  (** The clauses: whether it is [unless], and the body. *)
  p_conditions : list (bool * expr constant);
}.
