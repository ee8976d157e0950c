(** The scope index.

    Models runtime/src/index.rs, runtime/src/index/build.rs and runtime/src/index/posting.rs: policies
    are posted under an entity or type that their scope names on one side, or under their actions
    alone; there they are grouped by action constraint and, in some groups, by the entity that they
    name on the other side. A request is looked up through the names among principal and resource and
    their ancestors.

    Which key a policy gets ([keys]) and which groups are split ([FEW]) are heuristics; here they are
    arbitrary functions, so the theorems hold for any. Tables and binary search are modelled as the
    lists and membership that they stand for. *)

From Coq Require Import NArith List Bool Permutation Lia.
From Proofs Require Import Values Syntax Eval Authorizer.
Import ListNotations.

(** ** Any candidates

    Visiting only some of the policies preserves the answer, if every policy whose scope holds is
    among them, and each once. *)

Lemma numbers_of_map : forall I (ev : I -> evaluated I) f l,
  (forall i, number (ev i) = i) ->
  numbers f (map ev l) = filter (fun i => f (ev i)) l.
Proof.
  intros I ev f l H. unfold numbers. induction l as [|i l IH]; simpl; auto.
  destruct (f (ev i)); simpl; rewrite ?IH, ?H; reflexivity.
Qed.

Theorem candidates_suffice : forall I (ev : I -> evaluated I) (scope : I -> bool) policies candidates,
  (forall i, number (ev i) = i) ->
  (forall i, In i policies -> scope i = false -> its_outcome (ev i) = Unsatisfied) ->
  NoDup policies -> NoDup candidates -> incl candidates policies ->
  (forall i, In i policies -> scope i = true -> In i candidates) ->
  same (collect (map ev candidates)) (collect (map ev policies)).
Proof.
  intros I ev scope policies candidates Hn Hout Np Nc Hincl Hall.
  assert (filters : forall f, (forall p, f p = true -> its_outcome p <> Unsatisfied) ->
    Permutation (numbers f (map ev candidates)) (numbers f (map ev policies))).
  { intros f Hf. rewrite !numbers_of_map by assumption.
    apply NoDup_Permutation; try (apply NoDup_filter; assumption).
    intro i. rewrite !filter_In. split; intros [H E]; split; auto.
    apply Hall; auto. destruct (scope i) eqn:S; auto.
    exfalso. apply (Hf _ E), Hout; auto. }
  rewrite !collect_is.
  apply same_of_permutations; simpl; apply filters; intros p H K.
  - apply is_satisfied_iff in H as [_ H]. congruence.
  - apply is_satisfied_iff in H as [_ H]. congruence.
  - unfold is_failed in H. rewrite K in H. discriminate.
Qed.

(** ** The index *)

Inductive side := OfPrincipal | OfResource.

Definition other_side (s : side) : side :=
  match s with OfPrincipal => OfResource | OfResource => OfPrincipal end.

Definition constraint (s : side) (p : policy) : scope :=
  match s with OfPrincipal => p_principal p | OfResource => p_resource p end.

(** What a policy is posted under. *)
Inductive key :=
| ByActions
| ByEntity (s : side) (e : entity)
| ByType (s : side) (t : N).

Definition entity_dec : forall a b : entity, {a = b} + {a <> b}.
Proof. decide equality; apply N.eq_dec. Defined.

Definition side_dec : forall a b : side, {a = b} + {a <> b}.
Proof. decide equality. Defined.

Definition key_dec : forall a b : key, {a = b} + {a <> b}.
Proof. decide equality; first [apply side_dec | apply entity_dec | apply N.eq_dec]. Defined.

(** A group's action constraint, by number, and the entity that its policies name on the other side;
    [None] if that is not asked ([ANY_NAME]). *)
Definition group := (nat * option entity)%type.

Definition group_dec : forall a b : group, {a = b} + {a <> b}.
Proof. repeat decide equality. Defined.

Definition option_dec : forall a b : option entity, {a = b} + {a <> b}.
Proof. decide equality; apply entity_dec. Defined.

(** A static policy or a link ([BoundPolicy]). *)
Record bound_policy := BoundPolicy { text : policy; slots : bindings }.

Section Index.
Variable w : world.

(** The policies, by number, and how many there are. *)
Variable policies : nat -> bound_policy.
Variable count : nat.
Definition every : list nat := seq 0 count.

(** Entities that the store knows. *)
Variable known : list entity.
Hypothesis known_all : forall e, ancestors_of w e <> [] -> In e known.

(** Ancestors are listed once, and no entity is its own ancestor. *)
Hypothesis hierarchy : forall e, NoDup (e :: ancestors_of w e).

(** [classes]: the distinct action constraints, and the number of each policy's. *)
Variable constraints : nat -> action_scope.
Variable class_count : nat.
Variable class_of : nat -> nat.
Hypothesis class_in_range : forall i, In i every -> class_of i < class_count.
Hypothesis class_right : forall i, In i every -> constraints (class_of i) = p_action (text (policies i)).

(** [scope_entity] *)
Definition scope_entity (s : side) (i : nat) : option entity :=
  match scope_ref (constraint s (text (policies i))) with
  | Some r => match resolve (slots (policies i)) r with Ok e => Some e | Fail _ => None end
  | None => None
  end.

(** [possible]: the entities and types that a policy's scope names. *)
Definition possible_on (i : nat) (s : side) : list key :=
  match constraint s (text (policies i)) with
  | ScopeAny => []
  | ScopeIs t => [ByType s t]
  | _ => match scope_entity s i with Some e => [ByEntity s e] | None => [] end
  end.

Definition possible (i : nat) : list key := possible_on i OfPrincipal ++ possible_on i OfResource.

(** [keys]: any choice. *)
Variable key_of : nat -> key.
Hypothesis chosen : forall i, In i every -> key_of i = ByActions \/ In (key_of i) (possible i).

(** [SideIndex::group]: any choice of groups to split. *)
Variable split : key -> nat -> bool.

(** [Record::other] *)
Definition other_of (i : nat) : option entity :=
  match key_of i with
  | ByActions => None
  | ByEntity s _ | ByType s _ => scope_entity (other_side s) i
  end.

Definition group_of (k : key) (i : nat) : group :=
  (class_of i, if split k (class_of i) then other_of i else None).

Definition posted (k : key) : list nat :=
  filter (fun i => if key_dec (key_of i) k then true else false) every.

(** The groups under a key, each once, and their policies. *)
Definition groups (k : key) : list group := nodup group_dec (map (group_of k) (posted k)).

Definition members (k : key) (g : group) : list nat :=
  filter (fun i => if group_dec (group_of k i) g then true else false) (posted k).

(** [ActionGroups::actions]: the actions for which a constraint holds; [None] for any. *)
Definition actions (s : action_scope) : option (list entity) :=
  match s with
  | ActionAny => None
  | ActionEq a => Some [a]
  | ActionIn l =>
      Some (flat_map (fun g =>
        g :: filter (fun e => existsb (entity_eqb g) (ancestors_of w e)) known) l)
  end.

(** The constraints for any action, and those that name the request's. *)
Definition any_classes : list nat :=
  filter (fun c => match actions (constraints c) with None => true | Some _ => false end)
         (seq 0 class_count).

Definition named_classes : list nat :=
  filter (fun c => match actions (constraints c) with
                   | Some l => existsb (entity_eqb (action w)) l
                   | None => false
                   end)
         (seq 0 class_count).

Definition classes : list nat := any_classes ++ named_classes.

(** [Names]: the entities that some policy names on a side. *)
Definition is_name (s : side) (e : entity) : bool :=
  existsb (fun i => if option_dec (scope_entity s i) (Some e) then true else false) every.

Definition subject (s : side) : entity :=
  match s with OfPrincipal => principal w | OfResource => resource w end.

(** [SideIndex::names]: of an entity and its ancestors those that some policy names. *)
Definition names (s : side) : list entity :=
  filter (is_name s) (subject s :: ancestors_of w (subject s)).

Definition has (c : nat) (l : list nat) : bool := existsb (Nat.eqb c) l.

(** [ScopeIndex::visit_if] *)
Definition visits (others : list entity) (g : group) : bool :=
  has (fst g) classes &&
  match snd g with
  | None => true
  | Some e => existsb (entity_eqb e) others
  end.

(** [ScopeIndex::matching] *)
Definition matching (others : list entity) (k : key) : list nat :=
  flat_map (fun g => if visits others g then members k g else []) (groups k).

(** [ScopeIndex::unscoped] *)
Definition unscoped : list nat := filter (fun i => has (class_of i) classes) (posted ByActions).

(** [ScopeIndex::scoped], one side *)
Definition scoped (s : side) : list nat :=
  flat_map (fun e => matching (names (other_side s)) (ByEntity s e)) (names s) ++
  matching (names (other_side s)) (ByType s (etype (subject s))).

(** [ScopeIndex::candidates] *)
Definition candidates : list nat := unscoped ++ scoped OfPrincipal ++ scoped OfResource.

(** *** What is visited *)

Lemma In_posted : forall k i, In i (posted k) <-> In i every /\ key_of i = k.
Proof.
  intros. unfold posted. rewrite filter_In. destruct (key_dec (key_of i) k); intuition congruence.
Qed.

Lemma In_has : forall c l, has c l = true <-> In c l.
Proof.
  intros. unfold has. rewrite existsb_exists. split.
  - intros (x & H & E). apply PeanoNat.Nat.eqb_eq in E as ->. exact H.
  - intro H. exists c. split; [exact H|apply PeanoNat.Nat.eqb_refl].
Qed.

Lemma In_entities : forall e l, existsb (entity_eqb e) l = true <-> In e l.
Proof.
  intros. rewrite existsb_exists. split.
  - intros (x & H & E). apply entity_eqb_eq in E as ->. exact H.
  - intro H. exists e. split; [exact H|]. apply entity_eqb_eq. reflexivity.
Qed.

Lemma In_matching : forall others k i,
  In i (matching others k) <->
  In i every /\ key_of i = k /\ visits others (group_of k i) = true.
Proof.
  intros. unfold matching. rewrite in_flat_map. split.
  - intros (g & _ & H). destruct (visits others g) eqn:V; [|destruct H].
    unfold members in H. apply filter_In in H as [H E].
    destruct (group_dec (group_of k i) g) as [<-|]; [|discriminate].
    apply In_posted in H. tauto.
  - intros (H & K & V). exists (group_of k i).
    assert (P : In i (posted k)) by (apply In_posted; auto). split.
    + unfold groups. apply nodup_In, in_map, P.
    + rewrite V. unfold members. apply filter_In. split; [exact P|].
      destruct (group_dec (group_of k i) (group_of k i)); congruence.
Qed.

Lemma has_ancestor_known : forall e g, In g (ancestors_of w e) -> In e known.
Proof. intros e g H. apply known_all. intro E. rewrite E in H. destruct H. Qed.

Lemma actions_right : forall s,
  matches_action w s = true <->
  match actions s with None => True | Some l => In (action w) l end.
Proof.
  intros [|a|l]; simpl.
  - intuition.
  - rewrite entity_eqb_eq. intuition.
  - rewrite existsb_exists, in_flat_map. split; intros (g & G & H); exists g; split; auto.
    + apply in_entity_iff in H as [H|H]; [left; auto|right].
      apply filter_In. split; [eapply has_ancestor_known; eauto|]. apply In_entities, H.
    + apply in_entity_iff. destruct H as [H|H]; [auto|right].
      apply filter_In in H as [_ H]. apply In_entities, H.
Qed.

Lemma In_classes : forall c,
  In c classes <-> c < class_count /\ matches_action w (constraints c) = true.
Proof.
  intro c. unfold classes, any_classes, named_classes. rewrite in_app_iff, !filter_In, !in_seq.
  rewrite actions_right. destruct (actions (constraints c)) as [l|].
  - rewrite In_entities. split; [intros [[? ?]|[? ?]]|]; intuition (try discriminate; try lia).
  - split; [intros [[? ?]|[? ?]]|]; intuition (try discriminate; try lia).
Qed.

Lemma In_names : forall s e i,
  In i every -> scope_entity s i = Some e -> in_entity w (subject s) e = true -> In e (names s).
Proof.
  intros s e i Hi He H. unfold names. apply filter_In. split.
  - apply in_entity_iff in H as [->|H]; simpl; auto.
  - unfold is_name. apply existsb_exists. exists i. split; [exact Hi|].
    rewrite He. destruct (option_dec (Some e) (Some e)); congruence.
Qed.

Lemma scope_holds_entity : forall s i e,
  matches w (slots (policies i)) (subject s) (constraint s (text (policies i))) = Ok true ->
  scope_entity s i = Some e -> in_entity w (subject s) e = true.
Proof.
  intros s i e H E. unfold scope_entity in E.
  destruct (constraint s (text (policies i))) as [|r|r|t|t r]; simpl in E; try discriminate;
    simpl in H; destruct (resolve (slots (policies i)) r) as [o|]; try discriminate;
    injection E as ->; simpl in H.
  - injection H as H. unfold in_entity. rewrite H. reflexivity.
  - injection H as H. exact H.
  - destruct (N.eqb _ t); [injection H as H; exact H|discriminate].
Qed.

Definition scope_holds (i : nat) : bool :=
  match in_scope w (slots (policies i)) (text (policies i)) with Ok true => true | _ => false end.

Lemma scope_holds_sides : forall i, scope_holds i = true ->
  matches_action w (p_action (text (policies i))) = true /\
  forall s, matches w (slots (policies i)) (subject s) (constraint s (text (policies i))) = Ok true.
Proof.
  unfold scope_holds, in_scope. intros i H.
  destruct (matches w _ (principal w) _) as [[]|] eqn:P; try discriminate. simpl in H.
  destruct (matches_action _ _); try discriminate.
  destruct (matches w _ (resource w) _) as [[]|] eqn:R; try discriminate.
  split; [reflexivity|]. intros []; assumption.
Qed.

Lemma chosen_on : forall i, In i every ->
  match key_of i with
  | ByActions => True
  | ByEntity s e => scope_entity s i = Some e
  | ByType s t => constraint s (text (policies i)) = ScopeIs t
  end.
Proof.
  intros i Hi. destruct (chosen i Hi) as [->|H]; [exact I|].
  assert (on : forall s, In (key_of i) (possible_on i s) ->
    match key_of i with
    | ByActions => True
    | ByEntity s e => scope_entity s i = Some e
    | ByType s t => constraint s (text (policies i)) = ScopeIs t
    end).
  { intros s K. unfold possible_on in K.
    destruct (constraint s (text (policies i))) eqn:C;
      [destruct K| | |destruct K as [<-|[]]; exact C|];
      (destruct (scope_entity s i) eqn:E; [destruct K as [<-|[]]; exact E|destruct K]). }
  unfold possible in H. apply in_app_or in H as [H|H]; eapply on, H.
Qed.

(** Every policy whose scope holds is a candidate. *)
Theorem index_complete : forall i, In i every -> scope_holds i = true -> In i candidates.
Proof.
  intros i Hi H. apply scope_holds_sides in H as [A S].
  assert (C : In (class_of i) classes).
  { apply In_classes. split; [auto|]. rewrite class_right; auto. }
  assert (V : forall s k, other_of i = scope_entity (other_side s) i ->
              visits (names (other_side s)) (group_of k i) = true).
  { intros s k O. unfold visits, group_of. simpl. apply andb_true_iff. split; [apply In_has, C|].
    destruct (split k (class_of i)); [|reflexivity]. rewrite O.
    destruct (scope_entity (other_side s) i) as [o|] eqn:E; [|reflexivity].
    apply In_entities. eapply In_names; eauto. eapply scope_holds_entity; eauto. }
  pose proof (chosen_on i Hi) as K. unfold candidates. rewrite !in_app_iff.
  destruct (key_of i) as [|s e|s t] eqn:E.
  - left. unfold unscoped. apply filter_In. split; [apply In_posted; auto|apply In_has, C].
  - right. assert (In i (scoped s)) as D; [|destruct s; auto].
    unfold scoped. apply in_app_iff. left. apply in_flat_map. exists e. split.
    + eapply In_names; eauto. eapply scope_holds_entity; eauto.
    + apply In_matching. repeat split; auto. apply V. unfold other_of. rewrite E. reflexivity.
  - right. assert (In i (scoped s)) as D; [|destruct s; auto].
    unfold scoped. apply in_app_iff. right. apply In_matching.
    specialize (S s). rewrite K in S. simpl in S. injection S as S. apply N.eqb_eq in S.
    rewrite S. repeat split; auto. apply V. unfold other_of. rewrite E. reflexivity.
Qed.

(** Every candidate is a policy whose action constraint holds, so bodies need not ask. *)
Theorem index_actions_hold : forall i, In i candidates ->
  In i every /\ matches_action w (p_action (text (policies i))) = true.
Proof.
  assert (holds : forall i, In i every -> has (class_of i) classes = true ->
    In i every /\ matches_action w (p_action (text (policies i))) = true).
  { intros i Hi H. split; [exact Hi|]. apply In_has, In_classes in H as [_ H].
    rewrite class_right in H; auto. }
  assert (matched : forall others k i, In i (matching others k) ->
    In i every /\ matches_action w (p_action (text (policies i))) = true).
  { intros others k i H. apply In_matching in H as (Hi & _ & V). apply holds; auto.
    unfold visits in V. apply andb_true_iff in V. apply V. }
  intros i H. unfold candidates, scoped in H. rewrite !in_app_iff, !in_flat_map in H.
  destruct H as [H|[[(e & _ & H)|H]|[(e & _ & H)|H]]]; try (eapply matched, H).
  unfold unscoped in H. apply filter_In in H as [H V]. apply In_posted in H. apply holds; tauto.
Qed.

(** *** Each once *)

Lemma NoDup_flat_map : forall A B (f : A -> list B) l,
  NoDup l -> (forall x, In x l -> NoDup (f x)) ->
  (forall x y b, In x l -> In y l -> In b (f x) -> In b (f y) -> x = y) ->
  NoDup (flat_map f l).
Proof.
  intros A B f l H. induction H as [|x l Hx _ IH]; intros Hn Hd; simpl; [constructor|].
  assert (app : forall p q : list B, NoDup p -> NoDup q -> (forall b, In b p -> ~ In b q) -> NoDup (p ++ q)).
  { induction p as [|b p IHp]; simpl; intros q Np Nq D; auto.
    inversion Np; subst. constructor.
    - rewrite in_app_iff. intros [K|K]; [contradiction|]. eapply D; eauto.
    - apply IHp; auto. }
  apply app.
  - apply Hn. left; reflexivity.
  - apply IH.
    + intros y Hy. apply Hn. right; exact Hy.
    + intros y z b Hy Hz. apply Hd; right; assumption.
  - intros b Hb K. apply in_flat_map in K as (y & Hy & K).
    assert (x = y) as -> by (eapply Hd; eauto; simpl; auto). contradiction.
Qed.

Lemma NoDup_posted : forall k, NoDup (posted k).
Proof. intro. apply NoDup_filter, seq_NoDup. Qed.

Lemma NoDup_matching : forall others k, NoDup (matching others k).
Proof.
  intros. unfold matching. apply NoDup_flat_map.
  - apply NoDup_nodup.
  - intros g _. destruct (visits others g); [|constructor]. apply NoDup_filter, NoDup_posted.
  - intros g h i _ _ Hg Hh.
    destruct (visits others g); [|destruct Hg]. destruct (visits others h); [|destruct Hh].
    unfold members in *. apply filter_In in Hg as [_ Hg], Hh as [_ Hh].
    destruct (group_dec (group_of k i) g) as [<-|]; [|discriminate].
    destruct (group_dec (group_of k i) h) as [<-|]; [|discriminate]. reflexivity.
Qed.

Lemma scoped_key : forall s i, In i (scoped s) ->
  (exists e, key_of i = ByEntity s e) \/ key_of i = ByType s (etype (subject s)).
Proof.
  intros s i H. unfold scoped in H. rewrite in_app_iff, in_flat_map in H.
  destruct H as [(e & _ & H)|H]; apply In_matching in H as (_ & H & _); eauto.
Qed.

Lemma NoDup_app_disjoint : forall A (l m : list A),
  NoDup l -> NoDup m -> (forall x, In x l -> ~ In x m) -> NoDup (l ++ m).
Proof.
  intros A l m Hl Hm H. induction Hl as [|x l Hx _ IH]; simpl; auto.
  constructor.
  - rewrite in_app_iff. intros [K|K]; [contradiction|]. eapply H; eauto. left; reflexivity.
  - apply IH. intros y Hy. apply H. right; exact Hy.
Qed.

Lemma NoDup_scoped : forall s, NoDup (scoped s).
Proof.
  intro s. unfold scoped. apply NoDup_app_disjoint.
  - apply NoDup_flat_map.
    + apply NoDup_filter, hierarchy.
    + intros. apply NoDup_matching.
    + intros e f i _ _ He Hf. apply In_matching in He as (_ & He & _), Hf as (_ & Hf & _). congruence.
  - apply NoDup_matching.
  - intros i H K. apply in_flat_map in H as (e & _ & H).
    apply In_matching in H as (_ & H & _), K as (_ & K & _). congruence.
Qed.

(** No policy is visited twice. *)
Theorem index_once : NoDup candidates.
Proof.
  unfold candidates. apply NoDup_app_disjoint; [|apply NoDup_app_disjoint|]; try apply NoDup_scoped.
  - apply NoDup_filter, NoDup_posted.
  - intros i H K. apply scoped_key in H as [[e H]|H]; apply scoped_key in K as [[f K]|K]; congruence.
  - intros i H K. unfold unscoped in H. apply filter_In in H as [H _]. apply In_posted in H as [_ H].
    apply in_app_iff in K as [K|K]; apply scoped_key in K as [[f K]|K]; congruence.
Qed.

(** *** The answer *)

Definition evaluate_policy (i : nat) : evaluated nat :=
  Evaluated i (p_effect (text (policies i)))
    (outcome_of (evaluate w (slots (policies i)) (text (policies i)))).

Definition evaluate_body (i : nat) : evaluated nat :=
  Evaluated i (p_effect (text (policies i)))
    (outcome_of (evaluate w (slots (policies i)) (without_action (text (policies i))))).

(** Evaluating the candidates' bodies gives the decision, the determining policies and the failing
    policies of evaluating every policy, if every slot is bound. *)
Theorem index_sound :
  (forall i, In i every -> bound (slots (policies i)) (text (policies i))) ->
  same (collect (map evaluate_body candidates)) (collect (map evaluate_policy every)).
Proof.
  intro B.
  assert (map evaluate_body candidates = map evaluate_policy candidates) as ->.
  { apply map_ext_in. intros i H. unfold evaluate_body, evaluate_policy.
    rewrite body_needs_no_action; [reflexivity|]. apply index_actions_hold, H. }
  apply candidates_suffice with (scope := scope_holds).
  - reflexivity.
  - intros i Hi H. unfold evaluate_policy; simpl.
    destruct (scope_cannot_fail w _ _ (B i Hi)) as [h E].
    unfold scope_holds in H. rewrite E in H. destruct h; [discriminate|].
    rewrite out_of_scope_is_false; auto.
  - apply seq_NoDup.
  - apply index_once.
  - intros i H. apply index_actions_hold, H.
  - apply index_complete.
Qed.

End Index.
