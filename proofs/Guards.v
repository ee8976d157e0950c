(** Guarded accesses.

    [e has k && … e.k …]: behind the guard the access cannot fail. No code relies on this yet; it is what
    an emitter would need that leaves out the check (jit/src/emit/attr.rs). *)

From Coq Require Import List Bool.
From Proofs Require Import Values Syntax Eval.
Import ListNotations.

(** Behind [e has k], [e.k] cannot fail. *)
Theorem guarded_access_succeeds : forall C w (m : meaning C) e k,
  eval w m (Has e [k]) = Ok (VBool true) -> exists v, eval w m (GetAttr e k) = Ok v.
Proof.
  intros C w m e k H. cbn [eval] in *. destruct (eval w m e) as [v|]; simpl in *; [|discriminate].
  unfold get_attr. destruct (attributes_of w v) as [l|]; simpl in *; [|discriminate].
  destruct (lookup k l) as [x|]; [eauto|discriminate].
Qed.

(** Behind a guard, an access may be replaced, anywhere, by one that comes to the attribute where it is
    there and to anything at all where it is not. [hole] says which constants stand for the access. *)
Theorem guard_removal : forall C w (m : meaning C) (hole : C -> bool) e k unchecked rest,
  (forall v, eval w m (GetAttr e k) = Ok v -> eval w m unchecked = Ok v) ->
  let put access := replace (fun c => if hole c then access else Const c) (fun t => t) in
  eval w m (And (Has e [k] :: map (put (GetAttr e k)) rest)) =
  eval w m (And (Has e [k] :: map (put unchecked) rest)).
Proof.
  intros C w m hole e k unchecked rest H put. cbn [eval chain].
  destruct (eval w m (Has e [k])) as [v|] eqn:G; cbn [eval] in G; rewrite G; simpl; [|reflexivity].
  destruct (as_bool v) as [[]|] eqn:B; simpl; try reflexivity.
  destruct v; try discriminate. injection B as ->.
  destruct (guarded_access_succeeds C w m e k G) as [v V].
  apply chain_ext. induction rest as [|x rest IH]; simpl; constructor; auto.
  unfold put. rewrite !replace_correct. apply same_meaning; [|reflexivity].
  intro c. cbn [value_of]. destruct (hole c); [|reflexivity]. rewrite V. symmetry. apply H, V.
Qed.
