//! Deciding about many entities.

use super::Batch;
use super::kind::{Fit, Scoped};
use crate::check::{Checker, Given};
use crate::request::EntityHandle;
use cedar_policy::Decision;
use cedarjit_ir::fault::{Fault, planted};
use cedarjit_ir::ids::EntityId;
use cedarjit_jit::{Answer, BitSets};
use std::mem;
use std::sync::Arc;

/// How many entities are decided about before the next are looked at.
const CHUNK: usize = 1024;

/// How many kinds of entities in a chunk are decided each at once; others go one by one.
const MAX_KINDS: usize = 8;

/// What became of one entity.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
enum Verdict {
    /// The request with it is refused.
    #[default]
    Refused,
    Denied,
    Allowed,
}

impl From<bool> for Verdict {
    #[inline]
    fn from(allowed: bool) -> Self {
        match allowed {
            true => Self::Allowed,
            false => Self::Denied,
        }
    }
}

/// The decisions about the entities of a batch, in their order.
#[derive(Clone, Copy, Debug)]
pub struct Decisions<'a>(&'a [Verdict]);

impl<'a> Decisions<'a> {
    /// How many entities were asked about.
    pub fn len(self) -> usize {
        self.0.len()
    }

    /// Whether there were none.
    pub fn is_empty(self) -> bool {
        self.0.is_empty()
    }

    /// The decision about the entity at this position; `None` if there is no such entity, or if the
    /// request with it is refused.
    pub fn get(self, position: usize) -> Option<Decision> {
        self.0.get(position).and_then(|verdict| verdict.decision())
    }

    /// The decision about each; `None` where the request with it is refused.
    pub fn iter(self) -> impl ExactSizeIterator<Item = Option<Decision>> + 'a {
        self.0.iter().map(|verdict| verdict.decision())
    }

    /// The positions of the entities for which the request is allowed, ascending.
    pub fn allowed(self) -> impl Iterator<Item = usize> + 'a {
        let all = self.0.iter().enumerate();
        let allowed = all.filter(|(_, verdict)| **verdict == Verdict::Allowed);
        allowed.map(|(position, _)| position)
    }
}

impl Verdict {
    #[inline]
    fn decision(self) -> Option<Decision> {
        match self {
            Verdict::Refused => None,
            Verdict::Denied => Some(Decision::Deny),
            Verdict::Allowed => Some(Decision::Allow),
        }
    }
}

/// Memory that is used again.
#[derive(Clone, Debug, Default)]
pub(super) struct Work {
    /// What is asked about.
    ids: Vec<EntityId>,
    verdicts: Vec<Verdict>,
    answers: Vec<Answer>,
    /// Of one part, what is still to be decided about, and where each is in the part.
    left: Left,
}

/// Entities that are not yet decided about.
#[derive(Clone, Debug, Default)]
struct Left {
    ids: Vec<EntityId>,
    positions: Vec<u32>,
}

impl Left {
    fn clear(&mut self) {
        self.ids.clear();
        self.positions.clear();
    }

    fn push(&mut self, id: EntityId, position: u32) {
        self.ids.push(id);
        self.positions.push(position);
    }

    fn iter(&self) -> impl Iterator<Item = (EntityId, u32)> {
        let ids = self.ids.iter().copied();
        ids.zip(self.positions.iter().copied())
    }
}

/// Stands for an entity of which the snapshot has no id.
const ELSEWHERE: EntityId = EntityId(u32::MAX);

impl Work {
    /// Takes what is asked about; handles that belong elsewhere are `None`.
    pub(super) fn start(&mut self, entities: impl Iterator<Item = Option<EntityId>>) {
        self.ids.clear();
        self.ids
            .extend(entities.map(|entity| entity.unwrap_or(ELSEWHERE)));
        self.verdicts.clear();
        self.verdicts.resize(self.ids.len(), Verdict::Refused);
    }
}

impl Batch {
    pub(super) fn decide_started(&mut self) -> Decisions<'_> {
        let mut work = mem::take(&mut self.work);
        let Work {
            ids,
            verdicts,
            answers,
            left,
        } = &mut work;
        self.asked += ids.len();
        answers.resize(CHUNK, Answer::default());
        for (ids, verdicts) in ids.chunks(CHUNK).zip(verdicts.chunks_mut(CHUNK)) {
            self.part(ids, verdicts, answers, left);
        }
        self.work = work;
        Decisions(&self.work.verdicts)
    }

    /// Decides about a part of the entities.
    fn part(
        &mut self,
        ids: &[EntityId],
        verdicts: &mut [Verdict],
        answers: &mut [Answer],
        left: &mut Left,
    ) {
        if self.all_alike(ids, verdicts, answers).is_some() {
            return;
        }
        left.clear();
        for (position, id) in (0..).zip(ids) {
            if *id != ELSEWHERE {
                left.push(*id, position);
            }
        }
        for _ in 0..MAX_KINDS {
            let Some(first) = left.ids.first() else {
                return;
            };
            let kind = self.kind_of(*first);
            match self.run(&left.ids, answers, kind) {
                Some(_) => self.take_answers(left, verdicts, answers, kind),
                None => self.one_by_one(left, verdicts, Some(kind)),
            }
        }
        self.one_by_one(left, verdicts, None);
    }

    /// Decides about entities that are all of one kind, and about which code decides alone: the
    /// usual case. `None` if it is another.
    fn all_alike(
        &mut self,
        ids: &[EntityId],
        verdicts: &mut [Verdict],
        answers: &mut [Answer],
    ) -> Option<()> {
        let first = ids.first().filter(|first| **first != ELSEWHERE)?;
        let number = self.kind_of(*first);
        if self.kinds.get(number)?.scoped != Scoped::Never {
            return None;
        }
        let all = self.run(ids, answers, number)?;
        if !all.is_complete() {
            return None;
        }
        self.kinds.get_mut(number)?.run += ids.len();
        for (verdict, answer) in verdicts.iter_mut().zip(&*answers) {
            *verdict = is_allowed(*answer).into();
        }
        if let Some(check) = &self.request.snapshot.check {
            self.check_some(&Arc::clone(check), ids, answers);
        }
        Some(())
    }

    /// Has some of what code decided checked.
    #[cold]
    fn check_some(&mut self, check: &Checker, ids: &[EntityId], answers: &[Answer]) {
        let mut sampler = mem::take(&mut self.scratch.sampler);
        let mut decided = ids.iter().zip(answers);
        let mut left = u32::try_from(ids.len()).unwrap_or(u32::MAX);
        while let Some(before) = sampler.skip(&mut left, check.every())
            && let Some((id, answer)) = decided.nth(before as usize)
        {
            self.check_one(check, *id, is_allowed(*answer));
        }
        self.scratch.sampler = sampler;
    }

    /// Has what code decided about an entity checked.
    fn check_one(&self, check: &Checker, id: EntityId, allowed: bool) {
        let decision = match allowed {
            true => Decision::Allow,
            false => Decision::Deny,
        };
        check.submit(&self.request_about(id), Given::Decision(decision));
    }

    /// Runs the code for entities of a kind. All answers together; `None` if there is no code.
    fn run(&mut self, ids: &[EntityId], answers: &mut [Answer], number: usize) -> Option<Answer> {
        let snapshot = &self.request.snapshot;
        if (snapshot.check.as_ref()).is_some_and(|check| check.doubts().any()) {
            return None;
        }
        let kind = self.kinds.get(number)?;
        let alike = kind.fit == Fit::All && kind.scoped != Scoped::Always;
        if !alike || kind.is_mostly_open() {
            return None;
        }
        let place = kind.place?;
        let cell = snapshot.buckets.get(place)?.batch(self.side);
        let Some(function) = cell.get() else {
            if cell.count(ids.len()) {
                snapshot.submit_batch(place, self.side);
            }
            return None;
        };
        let answers = answers.get_mut(..ids.len())?;
        if !function.lookups().is_empty() {
            self.prepare_lookups(number, place, ids.len());
        }
        let (function, lookups) = self.looking(number, place)?;
        let sets = BitSets {
            members: &self.members,
            lookups,
        };
        self.request.frame.run_batch(function, ids, sets, answers)
    }

    /// Turns the code's answers into verdicts, or decides where it gave none. Entities of other kinds
    /// are left.
    fn take_answers(
        &mut self,
        left: &mut Left,
        verdicts: &mut [Verdict],
        answers: &[Answer],
        number: usize,
    ) {
        let scoped = self.kinds.get(number).map(|kind| kind.scoped);
        let named = scoped == Some(Scoped::Named) && !planted(Fault::BatchSkipsNamed);
        let all = mem::take(left);
        let mut open = 0;
        for ((id, position), answer) in all.iter().zip(answers) {
            if answer.is_other_kind() {
                left.push(id, position);
                continue;
            }
            let settled = answer.is_forbidden() || !named || !self.is_named(id);
            let verdict = if answer.is_complete() && settled {
                if let Some(check) = &self.request.snapshot.check
                    && self.scratch.sampler.due(check.every())
                {
                    self.check_one(check, id, is_allowed(*answer));
                }
                is_allowed(*answer).into()
            } else {
                open += 1;
                self.decide_one(id, number)
            };
            if let Some(place) = verdicts.get_mut(position as usize) {
                *place = verdict;
            }
        }
        if let Some(kind) = self.kinds.get_mut(number) {
            kind.run += all.ids.len() - left.ids.len();
            kind.open += open;
        }
    }

    /// Whether a policy names the entity, or an ancestor of it, on the side that varies.
    fn is_named(&self, id: EntityId) -> bool {
        let store = &self.request.snapshot.store;
        !store.named(store.header(id), self.side).is_empty()
    }

    /// Decides about the entities of one kind, or all, by themselves. Others are left.
    fn one_by_one(&mut self, left: &mut Left, verdicts: &mut [Verdict], kind: Option<usize>) {
        let all = mem::take(left);
        for (id, position) in all.iter() {
            let own = self.kind_of(id);
            if kind.is_some_and(|kind| kind != own) {
                left.push(id, position);
            } else if let Some(place) = verdicts.get_mut(position as usize) {
                *place = self.decide_one(id, own);
            }
        }
    }

    fn decide_one(&mut self, id: EntityId, kind: usize) -> Verdict {
        let kind = self.kinds.get(kind);
        let fit = kind.map_or(Fit::Each, |kind| kind.fit);
        let place = kind.and_then(|kind| kind.place);
        let fits = match fit {
            Fit::All => true,
            Fit::None => false,
            Fit::Each => {
                let handle = EntityHandle::new(id, &self.request.snapshot.interner);
                self.request.exchange(self.request_part(), handle).is_ok()
            }
        };
        if !fits {
            return Verdict::Refused;
        }
        self.exchange(id, place);
        let decision = self.request.decide(&mut self.scratch);
        (decision == Decision::Allow).into()
    }
}

#[inline]
fn is_allowed(answer: Answer) -> bool {
    answer.is_permitted() && (!answer.is_forbidden() || planted(Fault::BatchIgnoresForbids))
}
