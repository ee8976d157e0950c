//! Uids that a binder looked up before, found by their texts alone.
//!
//! Requests name the same actions over and over, and often the same principals and resources. To look
//! a text up among all uids takes six loads that wait for each other; here it takes two.

use cedarjit_ir::fault::{Fault, planted};
use cedarjit_ir::ids::{EntityId, TypeId};
use cedarjit_ir::interner::{Interner, InternerIdentity, same_bytes};

/// How many places there are, each for two texts: 128 KiB.
const PLACES: usize = 1_024;

/// The bytes of a text that its [`words`] have: the first half of them, and the last.
const WORDS_BYTES: usize = 32;

/// The longest text that is remembered: with it a slot is a cache line.
const MOST_BYTES: usize = WORDS_BYTES + 20;

/// Of so many texts that are looked up one is remembered: what comes often soon is, and what comes
/// once costs little.
const EVERY: u32 = 4;

/// How many texts are looked up before one is remembered: a binder for a few requests needs no memory
/// for that.
const FEW: u32 = 32;

/// Uids of one interner, by their texts.
#[derive(Clone, Debug, Default)]
pub(crate) struct RememberedUids {
    /// Whose ids these are.
    identity: Option<InternerIdentity>,
    /// For each of [`PLACES`], the [tag](Key) of its second text; none yet before the first. Which of
    /// two slots to read is told without reading either.
    second: Vec<u16>,
    /// For each of [`PLACES`], its texts.
    slots: Vec<[Slot; 2]>,
    /// How many texts were looked up.
    looked_up: u32,
}

#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
struct Slot {
    words: [u64; 4],
    /// What a long text has between the bytes that the words have.
    middle: [u8; MOST_BYTES - WORDS_BYTES],
    /// More than [`MOST_BYTES`] if the slot is empty.
    len: u32,
    id: EntityId,
    ty: TypeId,
}

const _: () = assert!(size_of::<Slot>() == 64);

const _: () = assert!(PLACES.is_power_of_two());

impl Slot {
    const EMPTY: Self = Self {
        words: [0; 4],
        middle: [0; MOST_BYTES - WORDS_BYTES],
        len: u32::MAX,
        id: EntityId(0),
        ty: TypeId(0),
    };

    /// Whether this is the text of which these are the words.
    ///
    /// No branch depends on how long a text of up to 32 bytes is, which cannot be predicted.
    #[inline(always)]
    fn is(&self, [a, b, c, d]: [u64; 4], text: &str) -> bool {
        let own = self.words;
        let mut differ = (own[0] ^ a) | (own[1] ^ b) | (own[2] ^ c) | (own[3] ^ d);
        if planted(Fault::RememberedByLength) {
            differ = 0;
        }
        let same = (differ | (text.len() as u64 ^ u64::from(self.len))) == 0;
        same && (text.len() <= WORDS_BYTES || self.middle_is(text))
    }

    /// Whether the middle is that of a text of the same length.
    fn middle_is(&self, text: &str) -> bool {
        let middle = middle(text.as_bytes());
        let own = self.middle.get(..middle.len());
        own.is_some_and(|own| same_bytes(own, middle) || planted(Fault::RememberedByLength))
    }
}

impl RememberedUids {
    /// To be called before uids are looked up in an interner: forgets those of another.
    #[inline]
    pub(crate) fn turn_to(&mut self, interner: &Interner) {
        if self.identity != Some(interner.identity()) {
            self.forget(interner);
        }
    }

    #[cold]
    fn forget(&mut self, interner: &Interner) {
        self.identity = Some(interner.identity());
        if !planted(Fault::RememberedOfOtherInterner) {
            self.slots.fill([Slot::EMPTY; 2]);
        }
    }

    /// The entity whose uid is written like this, and its type, if that is remembered.
    ///
    /// The interner must be the one that was [turned to](Self::turn_to), in whatever state.
    #[inline(always)]
    pub(crate) fn get(&self, interner: &Interner, text: &str) -> Option<(EntityId, TypeId)> {
        let words = words(text.as_bytes())?;
        let key = Key::of(words);
        let way = usize::from(*self.second.get(key.place)? == key.tag);
        let slot = &self.slots.get(key.place)?[way];
        if !slot.is(words, text) {
            return None;
        }
        // The state may be an earlier one than that in which the uid was found.
        (slot.id.index() < interner.entity_count()).then_some((slot.id, slot.ty))
    }

    /// Takes note of what was found in the interner.
    pub(crate) fn note(&mut self, text: &str, found: (EntityId, TypeId)) {
        self.looked_up = self.looked_up.wrapping_add(1);
        let due = self.looked_up.is_multiple_of(EVERY) && self.looked_up >= FEW;
        if due && text.len() <= MOST_BYTES {
            self.remember(text, found);
        }
    }

    fn remember(&mut self, text: &str, (id, ty): (EntityId, TypeId)) {
        let Some(words) = words(text.as_bytes()) else {
            return;
        };
        if self.slots.is_empty() {
            self.second = vec![0; PLACES];
            self.slots = vec![[Slot::EMPTY; 2]; PLACES];
        }
        let key = Key::of(words);
        let (Some(second), Some(slots)) = (
            self.second.get_mut(key.place),
            self.slots.get_mut(key.place),
        ) else {
            return;
        };
        let [first, last] = slots;
        // What came before is the second, unless both have the same tag: then it is forgotten.
        if first.len != u32::MAX {
            *last = *first;
            *second = Key::of(first.words).tag;
        }
        let slot = match *second == key.tag {
            true => last,
            false => first,
        };
        let text = text.as_bytes();
        for (own, byte) in slot.middle.iter_mut().zip(middle(text)) {
            *own = *byte;
        }
        (slot.words, slot.len) = (words, text.len() as u32);
        (slot.id, slot.ty) = (id, ty);
    }
}

/// The first sixteen and the last sixteen bytes of a text, or the first eight and the last eight
/// twice: all bytes of a text of up to [`WORDS_BYTES`]. `None` if it is too short, as `A::"b"` is.
#[inline(always)]
fn words(text: &[u8]) -> Option<[u64; 4]> {
    const WORD: usize = size_of::<u64>();
    let last = text.len().checked_sub(WORD)?;
    let word = |start: usize| {
        let bytes = text.get(start..)?.first_chunk()?;
        Some(u64::from_le_bytes(*bytes))
    };
    Some([
        word(0)?,
        word(last.min(WORD))?,
        word(last.saturating_sub(WORD))?,
        word(last)?,
    ])
}

/// The bytes of a text that its [`words`] do not have.
fn middle(text: &[u8]) -> &[u8] {
    let half = WORDS_BYTES / 2;
    let end = text.len().saturating_sub(half);
    text.get(half..end).unwrap_or_default()
}

/// Where a text is looked for.
///
/// Without a key that nobody knows: texts that somebody chooses for one place are looked up, and that
/// is all.
#[derive(Clone, Copy, Debug)]
struct Key {
    place: usize,
    tag: u16,
}

impl Key {
    #[inline(always)]
    fn of([a, b, c, d]: [u64; 4]) -> Self {
        let mixed = (a.wrapping_mul(0x9e37_79b9_7f4a_7c15))
            .wrapping_add(b.wrapping_mul(0xd6e8_feb8_6659_fd93))
            .wrapping_add(c.wrapping_mul(0xe703_7ed1_a0b4_28db))
            .wrapping_add(d.wrapping_mul(0x8ebc_6af0_9c88_c6e3));
        // A product's high bits depend on all bits of its factors.
        let high = mixed >> (u64::BITS - u16::BITS - PLACES.trailing_zeros());
        Self {
            place: (high >> u16::BITS) as usize,
            tag: high as u16,
        }
    }
}

#[cfg(test)]
mod tests;
