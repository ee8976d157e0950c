//! Tables as bytes: what writes them, and what reads them again.
//!
//! Numbers are little-endian. A table is what its entries are; where they are found by hash is written
//! apart, since it depends on a seed, and can be made anew. Whoever reads believes nothing: a length
//! is compared with the bytes that there are before anything is allocated for it, and every reference
//! with what it refers to.

/// Bytes are not what they should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Invalid(pub &'static str);

/// Bytes that are written.
#[derive(Clone, Debug, Default)]
pub struct Output(Vec<u8>);

impl Output {
    /// Writes a 32-bit number.
    pub fn number(&mut self, number: u32) {
        self.0.extend_from_slice(&number.to_le_bytes());
    }

    /// Writes a 64-bit number.
    pub fn word(&mut self, word: u64) {
        self.0.extend_from_slice(&word.to_le_bytes());
    }

    /// Writes 64-bit numbers, in memory that is taken for all of them at once.
    pub fn words(&mut self, words: impl ExactSizeIterator<Item = u64>) {
        self.0.reserve(words.len().saturating_mul(8));
        words.for_each(|word| self.word(word));
    }

    /// Writes how many entries follow.
    pub fn count(&mut self, count: usize) {
        self.word(count as u64);
    }

    /// Writes a text with its length.
    pub fn text(&mut self, text: &str) {
        self.count(text.len());
        self.bytes(text.as_bytes());
    }

    /// Writes bytes as they are.
    pub fn bytes(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    /// What was written.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// Bytes that are read from their beginning to their end.
#[derive(Clone, Copy, Debug)]
pub struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    /// Reads these bytes.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// The next bytes.
    ///
    /// # Errors
    /// When there are not so many.
    pub fn bytes(&mut self, len: usize) -> Result<&'a [u8], Invalid> {
        let (bytes, rest) = self.0.split_at_checked(len).ok_or(CUT)?;
        self.0 = rest;
        Ok(bytes)
    }

    /// A 32-bit number.
    ///
    /// # Errors
    /// When the bytes end before.
    pub fn number(&mut self) -> Result<u32, Invalid> {
        let (bytes, rest) = self.0.split_first_chunk().ok_or(CUT)?;
        self.0 = rest;
        Ok(u32::from_le_bytes(*bytes))
    }

    /// A 64-bit number.
    ///
    /// # Errors
    /// When the bytes end before.
    pub fn word(&mut self) -> Result<u64, Invalid> {
        let (bytes, rest) = self.0.split_first_chunk().ok_or(CUT)?;
        self.0 = rest;
        Ok(u64::from_le_bytes(*bytes))
    }

    /// How many entries follow, each of at least so many bytes.
    ///
    /// # Errors
    /// When what follows is shorter than that.
    pub fn count(&mut self, least: usize) -> Result<usize, Invalid> {
        let count = usize::try_from(self.word()?).map_err(|_| CUT)?;
        match count.checked_mul(least) {
            Some(bytes) if bytes <= self.0.len() => Ok(count),
            _ => Err(CUT),
        }
    }

    /// The next 32-bit numbers, as bytes.
    ///
    /// # Errors
    /// When there are not so many.
    pub fn numbers(&mut self, count: usize) -> Result<&'a [[u8; 4]], Invalid> {
        Ok(self.bytes(count.checked_mul(4).ok_or(CUT)?)?.as_chunks().0)
    }

    /// The next 64-bit numbers, as bytes.
    ///
    /// # Errors
    /// When there are not so many.
    pub fn words(&mut self, count: usize) -> Result<&'a [[u8; 8]], Invalid> {
        Ok(self.bytes(count.checked_mul(8).ok_or(CUT)?)?.as_chunks().0)
    }

    /// A text with its length.
    ///
    /// # Errors
    /// When the bytes end before, or are not UTF-8.
    pub fn text(&mut self) -> Result<&'a str, Invalid> {
        let len = self.count(1)?;
        std::str::from_utf8(self.bytes(len)?).map_err(|_| NOT_UTF8)
    }

    /// How many bytes follow.
    pub fn remaining(&self) -> usize {
        self.0.len()
    }

    /// Whether everything was read.
    ///
    /// # Errors
    /// When it was not.
    pub fn end(self) -> Result<(), Invalid> {
        match self.0 {
            [] => Ok(()),
            _ => Err(Invalid("more follows than belongs there")),
        }
    }
}

const CUT: Invalid = Invalid("it ends too soon");

pub(crate) const NOT_UTF8: Invalid = Invalid("a text is not UTF-8");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let mut out = Output::default();
        out.number(7);
        out.word(u64::MAX - 1);
        out.text("é");
        out.count(1);
        out.number(9);
        let mut input = Input::new(out.as_bytes());
        assert_eq!(input.number(), Ok(7));
        assert_eq!(input.word(), Ok(u64::MAX - 1));
        assert_eq!(input.text(), Ok("é"));
        assert!(input.end().is_err());
        assert_eq!(input.count(4), Ok(1));
        assert_eq!(input.numbers(1), Ok(&[[9, 0, 0, 0]][..]));
        assert_eq!(input.end(), Ok(()));
    }

    #[test]
    fn counts_are_compared_with_what_there_is() {
        let mut out = Output::default();
        out.count(usize::MAX);
        out.number(0);
        for least in [1, 4, 8, usize::MAX] {
            assert_eq!(Input::new(out.as_bytes()).count(least), Err(CUT));
        }
        assert_eq!(Input::new(out.as_bytes()).words(usize::MAX), Err(CUT));
        assert_eq!(Input::new(&[1, 0, 0]).number(), Err(CUT));
    }
}
