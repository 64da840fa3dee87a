//! One account: its calls, its folders and its download addresses, shared by all remotes of the process that use it.
//!
//! Two remotes of one account (`work:a` and `work:b`) must see each other's changes and keep one set of limits, so what is
//! known belongs to the account and not to the remote.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, LazyLock, Mutex, PoisonError, Weak};

use ketch_core::Result;
use ketch_core::factory::ConnectRequest;
use tokio::sync::Semaphore;

use crate::api::Api;
use crate::asked::Asked;
use crate::batched::Changes;
use crate::board::Board;
use crate::cache::Cache;
use crate::given_up::GivenUp;
use crate::index::Index;
use crate::known::Known;
use crate::looks::Looks;
use crate::lost::Lost;
use crate::moving::Moving;
use crate::owed::Owed;
use crate::pace::Watch;
use crate::pending::Uploads;
use crate::placement::Placement;
use crate::recent::Recent;
use crate::report::Reports;
use crate::sending::Sending;
use crate::settings::Settings;
use crate::tokens::Tokens;
use crate::tree::Tree;

/// What makes two requests be about the same account, dealt with in the same way.
type Key = (String, Option<PathBuf>, String, bool);

/// One account.
#[derive(Debug)]
pub(crate) struct Account {
    pub(crate) api: Api,
    pub(crate) tree: Tree,
    pub(crate) tokens: Tokens,
    pub(crate) lost: Lost,
    pub(crate) reports: Reports,
    pub(crate) placement: Placement,
    pub(crate) uploads: Uploads,
    pub(crate) changes: Changes,
    pub(crate) asked: Asked,
    pub(crate) owed: Owed,
    pub(crate) given_up: GivenUp,
    pub(crate) moving: Moving,
    /// Held while the whole account is looked at. Was that done?
    pub(crate) look: tokio::sync::Mutex<bool>,
    /// Held while a folder is being removed.
    pub(crate) folder_removals: tokio::sync::Mutex<()>,
    /// Places for uploads on their way.
    pub(crate) places: Semaphore,
    /// Places for downloads on their way: not the same ones, for an upload may wait for what it is read from.
    pub(crate) reads: Arc<Semaphore>,
}

impl Drop for Account {
    fn drop(&mut self) {
        self.tree.remember();
    }
}

impl Account {
    /// An account that shares nothing in memory.
    pub(crate) fn alone(request: &ConnectRequest) -> Result<Arc<Self>> {
        Account::beside(request, None)
    }

    /// One that takes what the same account has listed for `other` commands of this process.
    fn beside(request: &ConnectRequest, other: Option<&Account>) -> Result<Arc<Self>> {
        let settings = Settings::new(&request.options)?;
        let file = request.state_folder.as_deref().map(|folder| folder.join(settings.tree_name()));
        let known = request.state_folder.as_deref().filter(|_| settings.account_view);
        let known = Known::new(known.map(|folder| folder.join(settings.known_name())));
        let owed = request.state_folder.as_deref();
        let owed = Owed::new(owed.map(|folder| folder.join(settings.owed_name())));
        let moving = request.state_folder.as_deref();
        let moving = Moving::new(moving.map(|folder| folder.join(settings.moving_name())));
        let recent = request.state_folder.as_deref();
        let recent = Recent::new(recent.map(|folder| folder.join(settings.recent_name())));
        // Without distances there is nothing to wait for, and nothing to share.
        let board = request.state_folder.as_deref().filter(|_| settings.paced);
        let board = Board::new(board.map(|folder| folder.join(settings.board_name())));
        let looks = Looks::new(request.accepts_recent && settings.paced);
        let cache = Cache::new(known, recent, board);
        let cache = cache.beside(other.map(|other| &other.tree.cache), looks.is_on());
        let sending = request.state_folder.as_deref();
        let sending = Sending::new(sending.map(|folder| folder.join(settings.sending_name())));
        let tree = Tree::new(Index::new(file), cache, looks, sending);
        let watch = request.observer.clone().map(|observer| {
            // All remotes of the account wait together, so it is the remote that is named and not a folder of it.
            let remote = request.name.split_once(':').map_or(&*request.name, |(remote, _)| remote);
            Watch { observer, remote: format!("{remote}:") }
        });
        let connections = settings.connections;
        let api = Api::new(settings, request.state_folder.as_deref(), watch)?;
        Ok(Arc::new(Account {
            api,
            tree,
            tokens: Tokens::default(),
            lost: Lost::default(),
            reports: Reports::default(),
            placement: Placement::default(),
            uploads: Uploads::default(),
            changes: Changes::default(),
            asked: Asked::default(),
            owed,
            given_up: GivenUp::default(),
            moving,
            look: tokio::sync::Mutex::default(),
            folder_removals: tokio::sync::Mutex::default(),
            places: Semaphore::new(connections),
            reads: Arc::new(Semaphore::new(connections)),
        }))
    }

    /// The account of this process for these options.
    pub(crate) fn shared(request: &ConnectRequest) -> Result<Arc<Self>> {
        static ACCOUNTS: LazyLock<Mutex<HashMap<Key, Weak<Account>>>> =
            LazyLock::new(Mutex::default);
        let settings = Settings::new(&request.options)?;
        let manner = settings.manner();
        let folder = request.state_folder.clone();
        let key = (settings.state_name(), folder, manner, request.accepts_recent);
        let mut accounts = ACCOUNTS.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(account) = accounts.get(&key).and_then(Weak::upgrade) {
            return Ok(account);
        }
        let other = (key.0.clone(), key.1.clone(), key.2.clone(), !key.3);
        let other = accounts.get(&other).and_then(Weak::upgrade);
        let account = Account::beside(request, other.as_deref())?;
        accounts.retain(|_, account| account.strong_count() > 0);
        accounts.insert(key, Arc::downgrade(&account));
        Ok(account)
    }

    /// What two remotes of this account have in common in their locations.
    pub(crate) fn scope(&self) -> String {
        let settings = &self.api.settings;
        format!("fichier:{}:{}", one_name(settings.origin.authority()), settings.account)
    }
}

/// A host by one of its names: this machine has several, and an account on it is one account.
pub(crate) fn one_name(authority: &str) -> String {
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (authority, None),
    };
    let host = match host {
        "127.0.0.1" | "[::1]" => "localhost",
        host => host,
    };
    port.map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_names_of_this_machine_are_one() {
        for (authority, expected) in [
            ("127.0.0.1:80", "localhost:80"),
            ("[::1]:80", "localhost:80"),
            ("localhost:81", "localhost:81"),
            ("[::1]", "localhost"),
            ("api.1fichier.com", "api.1fichier.com"),
            ("api.1fichier.com:444", "api.1fichier.com:444"),
        ] {
            assert_eq!(one_name(authority), expected);
        }
    }
}
