//! The proof that a file which an older listing shows is still there.

use std::sync::Arc;

use ketch_core::Result;

use crate::account::Account;
use crate::dates;
use crate::error::Said;
use crate::items::FileItem;
use crate::links;

/// What the address of a file says.
pub(crate) enum Proof {
    /// It is where it was listed, with these facts.
    There(Box<FileItem>),
    /// It is somewhere else, or nowhere.
    Gone,
    /// A password is in the way of the answer.
    Unknown,
}

/// Asks whether a file that was listed some time ago is still in its folder under its name.
pub(crate) async fn prove(account: &Arc<Account>, folder: u64, file: &FileItem) -> Result<Proof> {
    let known = account.tree.looks.lock().proven.get(&file.url).cloned();
    if let Some(known) = known.filter(|known| known.name == file.name) {
        return Ok(Proof::There(Box::new(known)));
    }
    let info = match account.api.file_info(&file.url).await {
        Ok(info) => info,
        Err(refusal) if refusal.said == Said::NotFound => return Ok(Proof::Gone),
        Err(refusal) if refusal.said == Said::Forbidden => return Ok(Proof::Unknown),
        Err(refusal) => return Err(refusal.into()),
    };
    if info.is_file(folder, &file.name) != Some(true) {
        return Ok(Proof::Gone);
    }
    let item = FileItem {
        name: file.name.clone(),
        url: file.url.clone(),
        size: info.size.or(file.size),
        date: info.date.as_deref().and_then(dates::parse).or(file.date),
        hash: info.checksum.as_deref().and_then(links::digest).or_else(|| file.hash.clone()),
    };
    let mut state = account.tree.looks.lock();
    state.infos.insert(file.url.clone(), info);
    state.proven.insert(file.url.clone(), item.clone());
    drop(state);
    Ok(Proof::There(Box::new(item)))
}
