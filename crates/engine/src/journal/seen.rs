//! Which items of a plan have an outcome: one bit for each item.

/// A set of sequence numbers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Seen {
    words: Vec<u64>,
}

/// No plan has this many items; a larger number comes from a damaged record.
const LIMIT: u64 = 1 << 34;

impl Seen {
    /// Adds a number. A number that no plan can have is ignored.
    pub(crate) fn insert(&mut self, number: u64) {
        if number >= LIMIT {
            return;
        }
        let (word, bit) = ((number / 64) as usize, 1 << (number % 64));
        if self.words.len() <= word {
            self.words.resize(word + 1, 0);
        }
        self.words[word] |= bit;
    }

    /// Takes a number out.
    pub(crate) fn remove(&mut self, number: u64) {
        let (word, bit) = ((number / 64) as usize, 1 << (number % 64));
        if let Some(word) = self.words.get_mut(word) {
            *word &= !bit;
        }
    }

    /// Takes out every number from `first` on.
    pub(crate) fn cut(&mut self, first: u64) {
        let whole = (first / 64) as usize;
        self.words.truncate(whole + 1);
        if let Some(last) = self.words.get_mut(whole) {
            *last &= (1 << (first % 64)) - 1;
        }
    }

    /// Is the number in the set?
    pub(crate) fn contains(&self, number: u64) -> bool {
        let word = self.words.get((number / 64) as usize);
        word.is_some_and(|word| word & 1 << (number % 64) != 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn it_is_a_set() {
        let mut random = fastrand::Rng::with_seed(7);
        let (mut seen, mut model) = (Seen::default(), BTreeSet::new());
        for _ in 0..2_000 {
            let number = random.u64(..400);
            match random.u8(..10) {
                0 => {
                    seen.remove(number);
                    model.remove(&number);
                }
                1 if random.u8(..10) == 0 => {
                    seen.cut(number);
                    model.split_off(&number);
                }
                _ => {
                    seen.insert(number);
                    model.insert(number);
                }
            }
            assert!((0..500).all(|number| seen.contains(number) == model.contains(&number)));
        }
        seen.insert(u64::MAX);
        assert!(!seen.contains(u64::MAX));
    }
}
