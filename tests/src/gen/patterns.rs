//! Patterns, most of which nearly match or just about.

use super::expr::Writer;
use super::model::STR;
use super::names::ODD_STRINGS;
use super::text::cedar_char;
use super::value::Val;
use std::sync::Arc;

impl Writer<'_> {
    /// Writes `string like pattern`.
    pub(super) fn like(&mut self, depth: usize, want: Option<bool>) -> Option<bool> {
        self.push("(");
        let start = self.out.len();
        let (text, is_known) = match self.operand(STR, depth) {
            Some(Val::Str(text)) => (text, true),
            _ => {
                let odd = self.rng.pick(ODD_STRINGS).copied().unwrap_or_default();
                (Arc::from(odd), false)
            }
        };
        let operand = start..self.out.len();
        let letters: Vec<char> = text.chars().collect();
        let fits = match self.rng.below(6) {
            0 if !letters.is_empty() => self.overlapping(&letters),
            1 if letters.len() > 1 => self.segment_again(&letters),
            2 if letters.len() > 1 => {
                // The text again, with a pattern of the same letters.
                let operand = self.out.get(operand).unwrap_or_default().to_owned();
                self.star_elsewhere(&letters, &operand)
            }
            _ => {
                self.near_pattern(&letters, want);
                None
            }
        };
        self.push(")");
        fits.filter(|_| is_known)
    }

    /// The text with stars in it or in place of some of it, or with mistakes.
    fn near_pattern(&mut self, letters: &[char], want: Option<bool>) {
        self.push(" like \"");
        let ascii = self.rng.one_in(3);
        let matching = want != Some(false) || self.rng.one_in(3);
        for &c in letters {
            match self.rng.below(8) {
                // A star may stand for nothing, for this character, or for more.
                0 => self.push("*"),
                1 => {
                    self.push("*");
                    self.pattern_char(c, ascii);
                }
                2 if !matching => self.pattern_char('x', ascii),
                _ => self.pattern_char(c, ascii),
            }
        }
        if self.rng.one_in(3) {
            self.push("*");
        }
        if !matching && self.rng.one_in(2) {
            self.pattern_char('*', ascii);
        }
        self.push("\"");
    }

    /// A start and an end of the text, which may share letters. Says whether the pattern matches,
    /// as the next two do.
    fn overlapping(&mut self, letters: &[char]) -> Option<bool> {
        let last = self.rng.between(1, letters.len());
        let first = self.rng.below(letters.len());
        self.pattern_of(&[letters.get(..last)?, letters.get(first..)?], "");
        Some(last <= first)
    }

    /// A part of the text, and then an end of that part, which may not occur once more.
    fn segment_again(&mut self, letters: &[char]) -> Option<bool> {
        let first = self.rng.below(letters.len() - 1);
        let end = self.rng.between(first + 2, letters.len());
        let part = letters.get(first..end)?;
        let again = part.get(self.rng.between(1, part.len() - 1)..)?;
        self.pattern_of(&[part, again], "*");
        let found = letters.windows(part.len()).position(|w| w == part)?;
        let rest = letters.get(found + part.len()..)?;
        Some(rest.windows(again.len()).any(|w| w == again))
    }

    /// Two patterns that differ only in where their star is: mostly one matches, the other does not.
    fn star_elsewhere(&mut self, letters: &[char], operand: &str) -> Option<bool> {
        let kept = letters.get(..self.rng.between(1, letters.len() - 1))?;
        let (before, after) = kept.split_at(self.rng.below(kept.len()));
        let mut patterns = [[kept, &[]], [before, after]];
        // Both patterns match the start of the text.
        let mut ends = [true, letters.ends_with(after)];
        if self.rng.one_in(2) {
            patterns.reverse();
            ends.reverse();
        }
        let negated = self.rng.one_in(2);
        let [first, second] = patterns;
        self.pattern_of(&first, "");
        self.push(if negated { " && !(" } else { " && (" });
        self.push(operand);
        self.pattern_of(&second, "");
        self.push(")");
        let [first, second] = ends;
        Some(first && second != negated)
    }

    /// Writes a pattern of two texts with a star between, and `around` before and after them.
    fn pattern_of(&mut self, parts: &[&[char]; 2], around: &str) {
        let [first, second] = parts;
        self.push(" like \"");
        self.push(around);
        self.letters(first);
        self.push("*");
        self.letters(second);
        self.push(around);
        self.push("\"");
    }

    fn letters(&mut self, letters: &[char]) {
        for &c in letters {
            self.pattern_char(c, false);
        }
    }

    fn pattern_char(&mut self, c: char, ascii: bool) {
        match c {
            '*' => self.push("\\*"),
            c => cedar_char(self.out, c, ascii),
        }
    }
}
