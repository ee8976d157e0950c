//! Uids that a binder looked up before, found by their texts alone.
//!
//! Requests name the same actions over and over, and often the same principals and resources. To look
//! a text up among all uids takes six loads that wait for each other; here it takes one.

use cedarjit_ir::fault::{Fault, planted};
use cedarjit_ir::ids::{EntityId, TypeId};
use cedarjit_ir::interner::{Interner, InternerIdentity, same_bytes};

/// How many places there are, each for two texts: 64 KiB.
const PLACES: usize = 512;

/// The longest text that is remembered: with it a slot is a cache line.
const MOST_BYTES: usize = 52;

/// Of so many texts that are looked up one is remembered: what comes often soon is, and what comes
/// once costs little. A binder for a single request remembers nothing.
const EVERY: u32 = 4;

/// Uids of one interner, by their texts.
#[derive(Clone, Debug, Default)]
pub(crate) struct RememberedUids {
    /// Whose ids these are.
    identity: Option<InternerIdentity>,
    /// [`PLACES`], or none yet; the later text of two comes first.
    places: Vec<[Slot; 2]>,
    /// How many texts were looked up.
    looked_up: u32,
}

#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
struct Slot {
    text: [u8; MOST_BYTES],
    /// More than [`MOST_BYTES`] if the slot is empty.
    len: u32,
    id: EntityId,
    ty: TypeId,
}

const _: () = assert!(size_of::<Slot>() == 64);

const _: () = assert!(PLACES.is_power_of_two());

impl Slot {
    const EMPTY: Self = Self {
        text: [0; MOST_BYTES],
        len: u32::MAX,
        id: EntityId(0),
        ty: TypeId(0),
    };

    #[inline]
    fn is(&self, text: &str) -> bool {
        let own = self.text.get(..self.len as usize);
        own.is_some_and(|own| {
            same_bytes(own, text.as_bytes())
                || (planted(Fault::RememberedByLength) && own.len() == text.len())
        })
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
            self.places.fill([Slot::EMPTY; 2]);
        }
    }

    /// The entity whose uid is written like this, and its type, if that is remembered.
    ///
    /// The interner must be the one that was [turned to](Self::turn_to), in whatever state.
    #[inline(always)]
    pub(crate) fn get(&self, interner: &Interner, text: &str) -> Option<(EntityId, TypeId)> {
        let slots = self.places.get(place(text.as_bytes()))?;
        let slot = slots.iter().find(|slot| slot.is(text))?;
        // The state may be an earlier one than that in which the uid was found.
        (slot.id.index() < interner.entity_count()).then_some((slot.id, slot.ty))
    }

    /// Takes note of what was found in the interner.
    pub(crate) fn note(&mut self, text: &str, found: (EntityId, TypeId)) {
        self.looked_up = self.looked_up.wrapping_add(1);
        if self.looked_up.is_multiple_of(EVERY) && text.len() <= MOST_BYTES {
            self.remember(text, found);
        }
    }

    fn remember(&mut self, text: &str, (id, ty): (EntityId, TypeId)) {
        if self.places.is_empty() {
            self.places = vec![[Slot::EMPTY; 2]; PLACES];
        }
        let Some([later, earlier]) = self.places.get_mut(place(text.as_bytes())) else {
            return;
        };
        *earlier = *later;
        if let Some(own) = later.text.get_mut(..text.len()) {
            own.copy_from_slice(text.as_bytes());
            (later.len, later.id, later.ty) = (text.len() as u32, id, ty);
        }
    }
}

/// Where a text is, by its first and its last bytes.
///
/// Without a key: texts that somebody chooses for one place are looked up, and that is all.
#[inline]
fn place(text: &[u8]) -> usize {
    let (first, last) = match (text.first_chunk(), text.last_chunk()) {
        (Some(first), Some(last)) => (u128::from_le_bytes(*first), u128::from_le_bytes(*last)),
        _ => match (text.first_chunk(), text.last_chunk()) {
            (Some(first), Some(last)) => (
                u64::from_le_bytes(*first).into(),
                u64::from_le_bytes(*last).into(),
            ),
            // `A::"b"`; these share a place.
            _ => (0, 0),
        },
    };
    let low = |word: u128| word as u64;
    let high = |word: u128| (word >> u64::BITS) as u64;
    let [a, b, c, d] = [low(first), high(first), low(last), high(last)];
    let mixed = (a.wrapping_mul(0x9e37_79b9_7f4a_7c15))
        .wrapping_add(b.wrapping_mul(0xd6e8_feb8_6659_fd93))
        .wrapping_add(c.wrapping_mul(0xe703_7ed1_a0b4_28db))
        .wrapping_add(d.wrapping_mul(0x8ebc_6af0_9c88_c6e3));
    // A product's high bits depend on all bits of its factors.
    (mixed >> (u64::BITS - PLACES.trailing_zeros())) as usize
}

#[cfg(test)]
mod tests;
