(** Running the model on generated cases.

    tests/tests/model.rs writes policies, entities and requests of the core as terms of this file, with
    what cedarjit's interpreter said of them, and has Coq compute whether the model agrees. *)

From Coq Require Import ZArith NArith List Bool.
From Proofs Require Import Values Syntax Eval Authorizer Fold Shapes Simplify.
Import ListNotations.

(** ** Short names for what is written often *)

Definition long (z : Z) : expr constant := Const (CValue (VLong z)).
Definition text (s : N) : expr constant := Const (CValue (VString s)).
Definition bool (b : Datatypes.bool) : expr constant := Const (CValue (VBool b)).
Definition uid (t i : N) : expr constant := Const (CValue (VEntity (Entity t i))).
Definition get (e : expr constant) (k : N) : expr constant := GetAttr e k.
Definition has (e : expr constant) (path : list N) : expr constant := Has e path.
Definition is (e : expr constant) (t : N) : expr constant := Is e (CType t).
Definition is_within (e : expr constant) (t : N) (o : expr constant) : expr constant :=
  IsIn e (CType t) o.

Definition set (l : list value) : value := VSet (mk_set l).
Definition record (l : list (N * value)) : value := VRecord (mk_record l).

(** ** Cases *)

Definition find (l : list (entity * stored)) (e : entity) : option stored :=
  match List.find (fun kv => entity_eqb e (fst kv)) l with
  | Some kv => Some (snd kv)
  | None => None
  end.

Definition bind_slots (p r : option entity) : bindings :=
  fun s => match s with PrincipalSlot => p | ResourceSlot => r end.

Record case := Case {
  request : world;
  policies : list (policy * bindings);
  (** What each policy came to, by itself. *)
  expected : list (result Datatypes.bool);
  expected_decision : decision;
  (** Numbers of policies, ascending. *)
  expected_reasons : list nat;
  expected_failed : list nat;
}.

Definition failure_eqb (a b : failure) : Datatypes.bool :=
  match a, b with
  | TypeError, TypeError | NoEntity, NoEntity | NoAttribute, NoAttribute
  | NoTag, NoTag | Overflow, Overflow | UnlinkedSlot, UnlinkedSlot => true
  | _, _ => false
  end.

Definition result_eqb (a b : result Datatypes.bool) : Datatypes.bool :=
  match a, b with
  | Ok x, Ok y => Bool.eqb x y
  | Fail x, Fail y => failure_eqb x y
  | _, _ => false
  end.

Fixpoint list_eqb {A} (eqb : A -> A -> Datatypes.bool) (l m : list A) : Datatypes.bool :=
  match l, m with
  | [], [] => true
  | x :: l, y :: m => eqb x y && list_eqb eqb l m
  | _, _ => false
  end.

Definition decision_eqb (a b : decision) : Datatypes.bool :=
  match a, b with Allow, Allow | Deny, Deny => true | _, _ => false end.

(** A policy evaluated as the interpreter does. *)
Definition interpreted (w : world) (p : policy * bindings) : result Datatypes.bool :=
  evaluate w (snd p) (fst p).

(** A policy lowered and simplified, and its body run with its table; the action's scope apart. *)
Definition compiled (w : world) (p : policy * bindings) : result Datatypes.bool :=
  if matches_action w (p_action (fst p)) then
    let lowered := simplified (fun _ _ => false) (lower_policy (fst p)) in
    let* v := eval w (table (snd p) (constants lowered)) (body_of lowered) in as_bool v
  else Ok false.

Definition evaluated_all (w : world) (l : list (policy * bindings)) : list (evaluated nat) :=
  map (fun np => Evaluated (fst np) (p_effect (fst (snd np)))
                   (outcome_of (interpreted w (snd np))))
      (combine (seq 0 (length l)) l).

Definition agrees (c : case) : Datatypes.bool :=
  let w := request c in
  let o := collect (evaluated_all w (policies c)) in
  list_eqb result_eqb (map (interpreted w) (policies c)) (expected c) &&
  list_eqb result_eqb (map (compiled w) (policies c)) (expected c) &&
  decision_eqb (decide o) (expected_decision c) &&
  list_eqb Nat.eqb (reasons o) (expected_reasons c) &&
  list_eqb Nat.eqb (failed o) (expected_failed c).

(** The numbers of the cases in which the model disagrees. *)
Definition mismatches (l : list case) : list nat :=
  map fst (filter (fun nc => negb (agrees (snd nc))) (combine (seq 0 (length l)) l)).
