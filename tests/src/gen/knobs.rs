//! How often the generator makes each thing that can go wrong.

use super::rng::Rng;

macro_rules! knobs {
    ($($(#[doc = $doc:literal])+ $name:ident = $default:literal,)+) => {
        /// One knob per hazard, each a percentage from 0 (never) to 100.
        ///
        /// What a percentage counts (worlds, types, names, conditions, operands …) is written at
        /// each knob. Knobs of expression forms are relative weights.
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub struct Knobs {
            /// Limits on the numbers of things.
            pub sizes: Sizes,
            $($(#[doc = $doc])+ pub $name: u8,)+
        }

        impl Default for Knobs {
            /// A mix in which every hazard occurs and each outcome is frequent.
            fn default() -> Self {
                Self { sizes: Sizes::default(), $($name: $default,)+ }
            }
        }

        impl Knobs {
            /// The names of all knobs.
            pub const NAMES: &'static [&'static str] = &[$(stringify!($name)),+];

            /// The knob of that name, to set it.
            pub fn by_name(&mut self, name: &str) -> Option<&mut u8> {
                match name {
                    $(stringify!($name) => Some(&mut self.$name),)+
                    _ => None,
                }
            }

            fn all(&mut self) -> impl Iterator<Item = &mut u8> {
                [$(&mut self.$name),+].into_iter()
            }
        }
    };
}

knobs! {
    /// Worlds with a schema.
    schema = 60,
    /// Worlds with a schema whose requests are all validated; in the others about half are.
    validated = 50,
    /// Names (types, actions, attributes, ids, tag keys) that are unusual: keywords, spaces,
    /// escapes, Unicode, empty or long.
    odd_names = 15,
    /// Strings that are unusual in the same ways.
    odd_strings = 30,
    /// Types and actions in a namespace.
    namespaces = 30,
    /// Types whose entities are enumerated.
    enumerated = 15,
    /// Entity, record and context types with more than eight attributes.
    many_attributes = 4,
    /// Types whose entities have tags.
    tags = 30,
    /// Actions that are in a group.
    action_groups = 40,
    /// Entities dropped after everything has been made to speak of them.
    missing_entities = 8,
    /// Optional attributes and tags that are read without asking for them first.
    missing_attributes = 10,
    /// Worlds with a deep hierarchy.
    deep = 10,
    /// Worlds with a wide hierarchy.
    wide = 10,
    /// Worlds with sets of dozens to hundreds of elements.
    large_sets = 10,
    /// Integers at the edges of 64 bits.
    overflow = 15,
    /// Attribute, tag and context values of another type than declared, without a schema.
    spoiled_values = 4,
    /// Requests that do not fit the schema, with or without validation.
    spoiled_requests = 4,
    /// Values of extension types.
    extensions = 40,
    /// Extension strings that do not parse, or just about.
    bad_extensions = 12,
    /// Calls of extension functions on values that are no constants.
    computed_calls = 12,
    /// Such calls that have a wrong number of arguments.
    wrong_arity = 20,
    /// Policies that are templates.
    templates = 20,
    /// Policies with annotations.
    annotations = 15,
    /// Clauses that are `unless`.
    unless = 30,
    /// Worlds where many policies apply at once and decide together.
    together = 25,
    /// Worlds with many policies.
    many_policies = 3,
    /// Worlds whose policies are many links of one or two templates.
    link_farms = 2,
    /// Worlds whose policies differ in a constant only.
    constant_farms = 2,
    /// Worlds with an entity in hundreds of groups.
    hubs = 3,
    /// Worlds with a deep hierarchy of action groups.
    deep_actions = 5,
    /// Worlds whose schema engines get in Cedar's syntax.
    cedar_schema = 30,
    /// Worlds whose policies are read from their JSON form.
    json_policies = 20,
    /// Conditions in which any operator meets any value.
    dynamic = 15,
    /// Operands of another type than their operator takes, in otherwise well-typed conditions.
    ill_typed = 2,
    /// Conditions that read an attribute of Boolean type or an equal one.
    reads = 40,
    /// `&&` and `||`.
    logic = 50,
    /// `&&` and `||` over dozens to hundreds of operands.
    long_chains = 2,
    /// `!` beyond what makes a condition hold.
    negation = 10,
    /// `if`.
    conditional = 12,
    /// Operands that fail but are not reached, or should be reached and fail.
    short_circuit = 8,
    /// `==` and `!=`.
    equality = 40,
    /// `<` and kin.
    ordering = 30,
    /// `+`, `-` and `*` in place of a plain integer.
    arithmetic = 50,
    /// `in`.
    membership = 30,
    /// `is` and `is … in`.
    type_tests = 20,
    /// `has`, with one name or a path.
    has = 20,
    /// Conditions on values that are easily taken for one another.
    twins = 25,
    /// `.contains()`, `.containsAll()`, `.containsAny()`, `.isEmpty()`.
    set_operators = 30,
    /// `like`.
    like = 20,
    /// Record and set literals in place of a plain value.
    literals = 15,
    /// `context` or a record in it as a whole value.
    whole_records = 20,
    /// Worlds whose policies ask who has what to do with whom, by attributes that all entities of a
    /// type have.
    relations = 5,
}

/// How many knobs are turned by the sequence that makes the world; those after them were added later.
const FIRST: usize = Knobs::NAMES.len() - 1;

/// Limits on the numbers of things in a world.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sizes {
    /// At most this many policies in most worlds.
    pub policies: usize,
    /// At most this many in worlds with many policies.
    pub many_policies: usize,
    /// At most about this many entities in most worlds.
    pub entities: usize,
    /// At least this many requests.
    pub min_requests: usize,
    /// At most this many requests.
    pub max_requests: usize,
    /// At most about this many requests times policies, a quarter of the least number of requests
    /// aside.
    pub visits: usize,
    /// How deep a condition's expression nests, roughly.
    pub depth: usize,
    /// How many nodes a condition has, roughly.
    pub nodes: usize,
}

impl Default for Sizes {
    fn default() -> Self {
        Self {
            policies: 10,
            many_policies: 200,
            entities: 24,
            min_requests: 200,
            max_requests: 1200,
            visits: 10_000,
            depth: 4,
            nodes: 24,
        }
    }
}

impl Knobs {
    /// No hazards: well-typed conditions over well-formed worlds, always with a schema.
    pub fn calm() -> Self {
        Self {
            odd_names: 0,
            odd_strings: 0,
            missing_entities: 0,
            missing_attributes: 0,
            overflow: 0,
            spoiled_values: 0,
            spoiled_requests: 0,
            bad_extensions: 0,
            computed_calls: 0,
            wrong_arity: 0,
            dynamic: 0,
            ill_typed: 0,
            short_circuit: 0,
            schema: 100,
            validated: 100,
            ..Self::default()
        }
    }

    /// Worlds for long runs: more requests to each, since a world takes as long to load as hundreds of
    /// requests take to compare.
    pub fn campaign() -> Self {
        let sizes = Sizes::default();
        Self {
            sizes: Sizes {
                min_requests: 2 * sizes.min_requests,
                max_requests: 2 * sizes.max_requests,
                visits: 2 * sizes.visits,
                ..sizes
            },
            ..Self::default()
        }
    }

    /// These knobs with each one, by chance, turned off, left or turned up; those at 0 and 100 stay.
    ///
    /// Worlds that lack a few things altogether reach states that an average world does not.
    #[must_use]
    pub fn swarm(&self, rng: &mut Rng) -> Self {
        let mut knobs = self.clone();
        let mut aside = rng.aside();
        for (place, knob) in knobs.all().enumerate() {
            let turn = match place < FIRST {
                true => rng.below(8),
                false => aside.below(8),
            };
            *knob = match (*knob, turn) {
                (0 | 100, _) => continue,
                (_, 0) => 0,
                (_, 1) => knob.saturating_mul(3).min(100),
                _ => continue,
            };
        }
        knobs
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_finds_its_knob() {
        let mut knobs = Knobs::default();
        for name in Knobs::NAMES {
            *knobs.by_name(name).expect("listed") = 100;
        }
        assert!(knobs.all().all(|knob| *knob == 100));
        assert!(knobs.by_name("none").is_none());
    }
}
