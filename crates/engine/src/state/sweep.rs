//! Looks up many keys of one table, most of them in ascending order: it skips the records between two keys, which costs a
//! fraction of a search for each key. It does not know what the records mean.

use redb::{AccessGuard, Range, ReadOnlyTable, Value};

/// Records that are skipped before the table is searched instead.
const NEAR_RECORDS: usize = 8;

/// A table as it was when the sweep began, and the place in it.
pub(crate) struct Sweep<V: Value + 'static> {
    table: ReadOnlyTable<&'static str, V>,
    /// Behind the last key that was asked for.
    rest: Option<Range<'static, &'static str, V>>,
    /// The first record that is not before that key; `None` = there is none.
    next: Option<(AccessGuard<'static, &'static str>, AccessGuard<'static, V>)>,
    asked: String,
}

impl<V: Value + 'static> Sweep<V> {
    pub(crate) fn new(table: ReadOnlyTable<&'static str, V>) -> Self {
        Sweep { table, rest: None, next: None, asked: String::new() }
    }

    /// The record of `key`. Blocks for microseconds, or for a disk access.
    ///
    /// Errors: those of the database; the next look-up searches the table.
    pub(crate) fn get(&mut self, key: &str) -> Result<Option<V::SelfType<'_>>, redb::Error> {
        if !self.go_on_to(key)? {
            self.search(key)?;
        }
        self.asked.clear();
        self.asked.push_str(key);
        let found = self.next.as_ref().filter(|(found, _)| found.value() == key);
        Ok(found.map(|(_, record)| record.value()))
    }

    /// Skips the records before `key`, if they are few.
    fn go_on_to(&mut self, key: &str) -> Result<bool, redb::Error> {
        let Some(mut rest) = self.rest.take().filter(|_| *self.asked <= *key) else {
            return Ok(false);
        };
        for _ in 0..NEAR_RECORDS {
            match &self.next {
                Some((found, _)) if found.value() < key => self.next = rest.next().transpose()?,
                Some(_) | None => {
                    self.rest = Some(rest);
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    fn search(&mut self, key: &str) -> Result<(), redb::Error> {
        self.next = None;
        let mut rest = self.table.range(key..)?;
        self.next = rest.next().transpose()?;
        self.rest = Some(rest);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use redb::{Database, ReadableDatabase, TableDefinition};

    const TABLE: TableDefinition<'_, &str, &str> = TableDefinition::new("table");

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn a_sweep_finds_what_single_look_ups_find_in_any_order(
            records in proptest::collection::btree_set(0_u16..200, 0..80),
            wanted in proptest::collection::vec(0_u16..200, 1..60),
            is_sorted in any::<bool>(),
        ) {
            let folder = tempfile::tempdir().expect("scratch");
            let database = Database::create(folder.path().join("d")).expect("made");
            let transaction = database.begin_write().expect("begun");
            {
                let mut table = transaction.open_table(TABLE).expect("made");
                for record in &records {
                    table.insert(&*format!("{record:03}"), &*format!("v{record}")).expect("kept");
                }
            }
            transaction.commit().expect("kept");
            let table = database.begin_read().expect("begun").open_table(TABLE).expect("there");
            let mut sweep = Sweep::new(table);
            let mut wanted = wanted;
            if is_sorted {
                wanted.sort_unstable();
            }
            for key in wanted {
                let expected = records.contains(&key).then(|| format!("v{key}"));
                let found = sweep.get(&format!("{key:03}")).expect("readable");
                prop_assert_eq!(found, expected.as_deref(), "{}", key);
            }
        }
    }
}
