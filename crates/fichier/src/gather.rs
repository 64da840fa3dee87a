//! Changes of one kind that are asked for at the same time, in one call.
//!
//! Nothing is documented of a call that can be carried out for some of its files only. So an answer counts for the files it
//! names, a refusal of many is taken apart until it is clear which file it is about, and a copy, which must not be made twice, is
//! looked for before it is asked for again.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use ketch_core::{Error, ErrorKind, Result};

use crate::account::Account;
use crate::api::FilesChange;
use crate::batch::{Member, Turn};
use crate::batched::Copied;
use crate::bounds::CHANGED_MAX;
use crate::error::{Refusal, Said};
use crate::evidence::{self, Seen};
use crate::links::without_tail;
use crate::removal::Removal;

/// For how long removals wait for others where calls are paced: less than the distance of two calls.
const REMOVALS_WAIT: Duration = Duration::from_millis(200);

/// Removes a file, if it is where it is meant to be (`evidence`). One that is gone is success.
///
/// Errors: `Changed` when it has been moved or renamed, or when nothing shows that it is the one.
pub(crate) async fn remove(account: &Arc<Account>, removal: Removal) -> Result<()> {
    let all = &account.changes.removals;
    let owner = Arc::clone(account);
    let fits = |item: &Removal, others: &mut dyn Iterator<Item = &Removal>| {
        fits(&item.url, &mut others.map(|other| &other.url))
    };
    all.join((), removal, fits, |turn| removals(owner, turn)).await?
}

/// Renames a file where it is. A name that it has already is success.
pub(crate) async fn rename(account: &Arc<Account>, url: &str, name: &str) -> Result<()> {
    let all = &account.changes.renames;
    let owner = Arc::clone(account);
    let fits = |item: &(String, String), others: &mut dyn Iterator<Item = &(String, String)>| {
        fits(&item.0, &mut others.map(|other| &other.0))
    };
    let item = (url.to_owned(), name.to_owned());
    all.join((), item, fits, |turn| renames(owner, turn)).await?
}

/// Moves a file to another folder under its name, and returns its address there if that is another one.
pub(crate) async fn move_to(
    account: &Arc<Account>,
    url: &str,
    folder: u64,
) -> Result<Option<String>> {
    let all = &account.changes.moves;
    let owner = Arc::clone(account);
    all.join(folder, url.to_owned(), fits, |turn| moves(owner, turn, folder)).await?
}

/// Copies a file to a folder under its name.
pub(crate) async fn copy(account: &Arc<Account>, url: &str, folder: u64) -> Result<Copied> {
    let all = &account.changes.copies;
    let owner = Arc::clone(account);
    all.join(folder, url.to_owned(), fits, |turn| copies(owner, turn, folder)).await
}

fn fits(url: &String, mut others: &mut dyn Iterator<Item = &String>) -> bool {
    let mut count = 0;
    let is_new = (&mut others).all(|other| {
        count += 1;
        other != url
    });
    is_new && count < CHANGED_MAX
}

/// A file that is to be changed.
trait Item: Clone + Send + Sync + 'static {
    /// Is a file that is not there as good as one that was changed?
    const MAY_BE_GONE: bool;

    fn url(&self) -> &str;

    /// The change of these files.
    fn change(items: &[Self]) -> FilesChange;
}

impl Item for Removal {
    const MAY_BE_GONE: bool = true;

    fn url(&self) -> &str {
        &self.url
    }

    fn change(items: &[Self]) -> FilesChange {
        FilesChange::remove(items.iter().map(|item| item.url.as_str()))
    }
}

impl Item for (String, String) {
    const MAY_BE_GONE: bool = false;

    fn url(&self) -> &str {
        &self.0
    }

    fn change(items: &[Self]) -> FilesChange {
        FilesChange::rename(items.iter().map(|(url, name)| (url.as_str(), name.as_str())))
    }
}

type Rename = (String, String);

async fn renames(account: Arc<Account>, turn: Turn<(), Rename, Result<()>>) {
    let mut members = Vec::new();
    let result = account
        .api
        .change_late("file/rename.cgi", || {
            members = turn.take();
            let items: Vec<Rename> = members.iter().map(|member| member.item.clone()).collect();
            (!items.is_empty()).then(|| Rename::change(&items))
        })
        .await;
    if members.is_empty() {
        members = turn.take();
    }
    let items: Vec<Rename> = members.iter().map(|member| member.item.clone()).collect();
    let results = settle(&account, &items, result).await;
    answer(members, results);
}

/// Looks where the files are, and removes those that are where they are meant to be.
async fn removals(account: Arc<Account>, turn: Turn<(), Removal, Result<()>>) {
    // ORDER: one after the other, so that a look never falls between a removal of our own and its being entered.
    let _one = account.changes.removing.lock().await;
    let settings = &account.api.settings;
    if settings.paced {
        // The turn is that of the first look; what comes until then should share it.
        tokio::time::sleep(settings.scaled(REMOVALS_WAIT)).await;
    }
    let members = turn.take();
    let all: Vec<Removal> = members.iter().map(|member| member.item.clone()).collect();
    let missing = || Err(Error::new(ErrorKind::Io, "a removal has no result; this is a bug"));
    let mut results: Vec<Result<()>> = all.iter().map(|_| missing()).collect();
    for part in parts(&account, &all) {
        let removals: Vec<Removal> =
            part.iter().filter_map(|index| all.get(*index)).cloned().collect();
        for (index, result) in part.into_iter().zip(remove_now(&account, removals).await) {
            results[index] = result;
        }
    }
    answer(members, results);
}

/// The numbers of the removals that are looked at and carried out together. Where calls are paced, the look into each folder
/// takes seconds, and what was seen in the first must still be so when the last has been looked into. So the folders whose
/// listings are young enough come first and together, and no more of the others than can be listed in that time.
fn parts(account: &Account, all: &[Removal]) -> Vec<Vec<usize>> {
    if !account.api.settings.paced {
        // No wait, so what was seen in one folder is removed before the next one is looked into.
        return divided(all, |_| false, 1);
    }
    let life = evidence::look_life(account);
    let is_young = |folder: u64| account.tree.cache.get(folder, life).is_some();
    divided(all, is_young, crate::bounds::LOOKED_INTO_MAX)
}

fn divided(all: &[Removal], is_young: impl Fn(u64) -> bool, most: usize) -> Vec<Vec<usize>> {
    let (mut young, mut old): (Vec<usize>, Vec<(u64, Vec<usize>)>) = Default::default();
    for (index, removal) in all.iter().enumerate() {
        if is_young(removal.folder) {
            young.push(index);
            continue;
        }
        match old.iter_mut().find(|(folder, _)| *folder == removal.folder) {
            Some((_, part)) => part.push(index),
            None => old.push((removal.folder, vec![index])),
        }
    }
    let together = old.chunks(most);
    let parts = together.map(|part| part.iter().flat_map(|(_, part)| part.clone()).collect());
    std::iter::once(young).chain(parts).filter(|part: &Vec<usize>| !part.is_empty()).collect()
}

async fn remove_now(account: &Arc<Account>, all: Vec<Removal>) -> Vec<Result<()>> {
    let seen = evidence::look(account, &all).await;
    let mut results: Vec<Option<Result<()>>> = Vec::with_capacity(all.len());
    let mut there = Vec::new();
    for (removal, seen) in all.iter().zip(seen) {
        results.push(match seen {
            Seen::There => {
                there.push(removal.clone());
                None
            }
            Seen::Gone => {
                evidence::enter_gone(account, removal);
                Some(Ok(()))
            }
            Seen::Other(error) => Some(Err(error)),
        });
    }
    let mut removed = Vec::new();
    if !there.is_empty() {
        // ORDER: nothing waits between the look and the call but the call's own turn.
        let result = account.api.change_files(Removal::change(&there)).await;
        removed = settle(account, &there, result).await;
        for (removal, _) in there.iter().zip(&removed).filter(|(_, result)| result.is_ok()) {
            evidence::enter_gone(account, removal);
        }
    }
    let mut removed = removed.into_iter();
    let missing = || Err(Error::new(ErrorKind::Io, "a removal has no result; this is a bug"));
    results
        .into_iter()
        .map(|result| result.unwrap_or_else(|| removed.next().unwrap_or_else(missing)))
        .collect()
}

/// What a call for all of `items` means for each.
fn settle<'a, I: Item>(
    account: &'a Account,
    items: &'a [I],
    result: Result<Option<Vec<String>>, Refusal>,
) -> BoxFuture<'a, Vec<Result<()>>> {
    async move {
        let refusal = match result {
            Ok(None) => return items.iter().map(|_| Ok(())).collect(),
            Ok(Some(done)) => {
                let done: Vec<String> = done.into_iter().map(without_tail).collect();
                let mut results = Vec::with_capacity(items.len());
                for item in items {
                    // An answer about one file is about this one.
                    let is_done = items.len() == 1 || done.iter().any(|url| url == item.url());
                    let result = if is_done {
                        Ok(())
                    } else {
                        let change = I::change(std::slice::from_ref(item));
                        is_fine(account, item, account.api.change_files(change).await.map(drop))
                            .await
                    };
                    results.push(result);
                }
                return results;
            }
            Err(refusal) => refusal,
        };
        if items.len() < 2 {
            let Some(item) = items.first() else { return Vec::new() };
            return vec![is_fine(account, item, Err(refusal)).await];
        }
        if !is_about_files(&refusal) {
            return spread(refusal.into(), items.len());
        }
        let (left, right) = items.split_at(items.len() / 2);
        let mut results = Vec::with_capacity(items.len());
        for half in [left, right] {
            let result = account.api.change_files(I::change(half)).await;
            results.extend(settle(account, half, result).await);
        }
        results
    }
    .boxed()
}

/// A refusal because everything is as it should be is none.
async fn is_fine<I: Item>(account: &Account, item: &I, result: Result<(), Refusal>) -> Result<()> {
    match result {
        Err(refusal) if refusal.said == Said::NoChange => Ok(()),
        Err(refusal) if refusal.said == Said::NotFound && I::MAY_BE_GONE => {
            evidence::is_gone(account, item.url()).await
        }
        other => Ok(other?),
    }
}

/// May a refusal be about one file of several?
fn is_about_files(refusal: &Refusal) -> bool {
    let is_clear = matches!(
        refusal.error.kind(),
        ErrorKind::Denied | ErrorKind::NotFound | ErrorKind::InvalidInput
    );
    is_clear && !matches!(refusal.said, Said::OwnerLocked | Said::Customer | Said::Network)
}

fn spread<T>(error: Error, count: usize) -> Vec<Result<T>> {
    let mut results: Vec<Result<T>> = (1..count).map(|_| Err(error.twin())).collect();
    results.push(Err(error));
    results
}

fn answer<T, R>(members: Vec<Member<T, R>>, results: Vec<R>) {
    for (member, result) in members.into_iter().zip(results) {
        // A caller that does not wait any more has nothing to do about it either.
        drop(member.answer(result));
    }
}

async fn moves(
    account: Arc<Account>,
    turn: Turn<u64, String, Result<Option<String>>>,
    folder: u64,
) {
    let mut members = Vec::new();
    let result = account
        .api
        .files_mv_late(folder, || {
            members = turn.take();
            members.iter().map(|member| member.item.clone()).collect()
        })
        .await;
    if members.is_empty() {
        members = turn.take();
    }
    let urls: Vec<String> = members.iter().map(|member| member.item.clone()).collect();
    let results = settle_moves(&account, folder, &urls, result).await;
    answer(members, results);
}

fn settle_moves<'a>(
    account: &'a Account,
    folder: u64,
    urls: &'a [String],
    result: Result<Vec<String>, Refusal>,
) -> BoxFuture<'a, Vec<Result<Option<String>>>> {
    async move {
        match result {
            Ok(told) => {
                let told: Vec<String> = told.into_iter().map(without_tail).collect();
                let same_order = told.len() == urls.len();
                let mut results = Vec::with_capacity(urls.len());
                for (index, url) in urls.iter().enumerate() {
                    let result = if told.contains(url) || (told.is_empty() && urls.len() == 1) {
                        Ok(None)
                    } else if same_order {
                        Ok(told.get(index).cloned())
                    } else {
                        let alone = [url.as_str()];
                        let told = account.api.files_mv(&alone, folder).await;
                        told.map(|told| told.into_iter().next()).map_err(Error::from)
                    };
                    results.push(result);
                }
                results
            }
            Err(refusal) if urls.len() > 1 && is_about_files(&refusal) => {
                let (left, right) = urls.split_at(urls.len() / 2);
                let mut results = Vec::with_capacity(urls.len());
                for half in [left, right] {
                    let texts: Vec<&str> = half.iter().map(String::as_str).collect();
                    let result = account.api.files_mv(&texts, folder).await;
                    results.extend(settle_moves(account, folder, half, result).await);
                }
                results
            }
            Err(refusal) => spread(refusal.into(), urls.len()),
        }
    }
    .boxed()
}

async fn copies(account: Arc<Account>, turn: Turn<u64, String, Copied>, folder: u64) {
    let mut members = Vec::new();
    let result = account
        .api
        .files_cp_late(folder, || {
            members = turn.take();
            members.iter().map(|member| member.item.clone()).collect()
        })
        .await;
    if members.is_empty() {
        members = turn.take();
    }
    let count = members.len();
    let results: Vec<Copied> = match result {
        Ok(copies) => {
            let mut by_source: HashMap<String, String> = HashMap::new();
            for copy in &copies {
                if let Some(from) = &copy.from_url {
                    by_source.insert(without_tail(from.clone()), copy.to_url.clone());
                }
            }
            // Without the sources the order must be that of the request.
            let in_order = by_source.is_empty() && copies.len() == count;
            let to = |(index, member): (usize, &Member<String, Copied>)| {
                let by_order = copies.get(index).filter(|_| in_order);
                let told = by_source.get(&member.item).or(by_order.map(|copy| &copy.to_url));
                told.cloned().map_or(Copied::Unclear, Copied::To)
            };
            members.iter().enumerate().map(to).collect()
        }
        Err(refusal) if count > 1 && is_about_files(&refusal) => {
            members.iter().map(|_| Copied::Unclear).collect()
        }
        Err(refusal) => {
            let said = refusal.said;
            let errors = spread::<()>(refusal.error, count).into_iter().filter_map(Result::err);
            errors.map(|error| Copied::Refused(Refusal { said, error })).collect()
        }
    };
    answer(members, results);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn young_folders_go_together_and_no_more_of_the_others_than_stay_young() {
        let removal = |folder| Removal {
            url: String::new(),
            folder,
            name: String::new(),
            at: None,
            ground: crate::removal::Ground::Listed,
        };
        let all: Vec<Removal> = [1, 7, 2, 8, 1, 9, 2].into_iter().map(removal).collect();
        let parts = divided(&all, |folder| folder > 6, 1);
        assert_eq!(parts, [vec![1, 3, 5], vec![0, 4], vec![2, 6]]);
        let parts = divided(&all, |_| false, 4);
        assert_eq!(parts, [vec![0, 4, 1, 2, 6, 3], vec![5]]);
        assert_eq!(divided(&[], |_| true, 1), Vec::<Vec<usize>>::new());
    }
}
