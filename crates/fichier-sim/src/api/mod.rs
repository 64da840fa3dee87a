//! The calls of the API host, each a function from arguments to a JSON value or a refusal.

mod files;
mod folders;
mod listing;
mod node;
pub(crate) mod remote;
mod user;

use std::sync::Arc;

use serde_json::Value;

use crate::arguments::Arguments;
use crate::faults::Strikes;
use crate::limiter::Cost;
use crate::store::{FileRecord, StoreError, Tables};
use crate::world::World;
use crate::{Rules, names};

/// What a call works with.
pub(crate) struct Context<'a> {
    pub(crate) world: &'a Arc<World>,
    pub(crate) rules: Rules,
    pub(crate) arguments: Arguments,
    pub(crate) strikes: &'a Strikes,
}

/// A KO answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) status: u16,
    pub(crate) message: String,
}

impl Refusal {
    /// Any refusal.
    pub(crate) fn new(status: u16, message: impl Into<String>) -> Self {
        Self { status, message: message.into() }
    }

    /// The answer for dead links.
    fn not_found() -> Self {
        Self::new(404, "Resource not found #469")
    }

    /// The real text for a missing folder is unknown.
    fn no_folder() -> Self {
        Self::new(404, "Folder not found #511")
    }

    /// The real text for a request that lacks something is unknown.
    fn missing(field: &str) -> Self {
        Self::new(400, format!("Missing parameter {field} #25"))
    }
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        tracing::error!(%error, "emulator state");
        Self::new(500, "Internal error #1")
    }
}

/// The result of a call.
pub(crate) type Answer = Result<Value, Refusal>;

/// Whether a call works without a key.
pub(crate) fn is_keyless(call: &str) -> bool {
    call == "upload/get_upload_server"
}

/// What the rate limits count a call as.
pub(crate) fn cost(call: &str, arguments: &Arguments) -> Cost {
    match call {
        "file/ls" | "folder/ls" => match arguments.integer("folder_id").unwrap_or(0) {
            -1 => Cost::Account,
            // Wrong ids are counted like the root; which counter they hit does not matter.
            id => Cost::Folder(u64::try_from(id).unwrap_or(0)),
        },
        "user/info" => Cost::User,
        _ => Cost::Plain,
    }
}

/// Carries out a call; `None` when there is no such call.
pub(crate) fn dispatch(call: &str, context: &Context<'_>) -> Option<Answer> {
    Some(match call {
        "upload/get_upload_server" => node::get_upload_server(context),
        "download/get_token" => node::get_token(context),
        "file/ls" => listing::list_files(context),
        "folder/ls" => listing::list_folder(context),
        "file/info" => files::info(context),
        "file/scan" => files::scan(context),
        "file/rm" => files::remove(context),
        "file/mv" => files::move_to(context),
        "file/rename" => files::rename(context),
        "file/cp" => files::copy(context),
        "file/chattr" => files::change_attributes(context),
        "folder/mkdir" => folders::make(context),
        "folder/mv" => folders::move_to(context),
        "folder/share" => folders::share(context),
        "folder/rm" => folders::remove(context),
        "user/info" => user::info(context),
        "remote/request" => remote::request(context),
        "remote/ls" => remote::list(context),
        "remote/info" => remote::info(context),
        _ => return None,
    })
}

/// The calls there are; for telling a wrong path from a wrong request.
pub(crate) const CALLS: [&str; 19] = [
    "upload/get_upload_server",
    "download/get_token",
    "file/ls",
    "folder/ls",
    "file/info",
    "file/scan",
    "file/rm",
    "file/mv",
    "file/rename",
    "file/cp",
    "file/chattr",
    "folder/mkdir",
    "folder/mv",
    "folder/share",
    "folder/rm",
    "user/info",
    "remote/request",
    "remote/ls",
    "remote/info",
];

impl Context<'_> {
    /// A folder argument: absent means the root, anything that does not exist is refused.
    fn folder(&self, name: &str, tables: &Tables) -> Result<u64, Refusal> {
        let id = match self.arguments.value(name) {
            None | Some(Value::Null) => 0,
            Some(_) => self.arguments.integer(name).ok_or_else(|| Refusal::missing(name))?,
        };
        let id = u64::try_from(id).map_err(|_| Refusal::no_folder())?;
        if tables.has_folder(id) { Ok(id) } else { Err(Refusal::no_folder()) }
    }

    /// Groupware shares of other people do not exist here.
    fn refuse_other_users(&self) -> Result<(), Refusal> {
        for name in ["sharing_user", "destination_user"] {
            if self.arguments.text(name).is_some_and(|user| !user.is_empty()) {
                return Err(Refusal::new(403, "Resource not allowed #631"));
            }
        }
        Ok(())
    }

    /// The file the call is about: by `url`, or by `folder_id` and exact `filename`.
    fn file(&self, tables: &Tables) -> Result<FileRecord, Refusal> {
        if let Some(link) = self.arguments.text("url") {
            return find(tables, link).cloned();
        }
        let name = self.arguments.text("filename").ok_or_else(|| Refusal::missing("url"))?;
        let folder = self.folder("folder_id", tables)?;
        let found = tables.files_in(folder).find(|file| file.name == name);
        found.cloned().ok_or_else(Refusal::not_found)
    }

    /// Checks the password of a protected file.
    fn check_password(&self, file: &FileRecord) -> Result<(), Refusal> {
        match (&file.password, self.arguments.text("pass")) {
            (None, _) => Ok(()),
            (Some(needed), Some(given)) if needed == given => Ok(()),
            (Some(_), Some(_)) => {
                Err(Refusal::new(403, "Invalid password. Resource not allowed #634"))
            }
            (Some(_), None) => {
                Err(Refusal::new(403, "Password not provided. Resource not allowed #633"))
            }
        }
    }

    /// A file name as it will be stored.
    fn file_name(&self, name: &str) -> String {
        self.rules.stored_name(name)
    }
}

/// The file of a link; a link on another domain than the file's own is dead.
fn find<'a>(tables: &'a Tables, link: &str) -> Result<&'a FileRecord, Refusal> {
    let (domain, id) = names::parse_file_link(link).ok_or_else(Refusal::not_found)?;
    let file = tables.file(id).filter(|file| file.domain == domain);
    file.ok_or_else(Refusal::not_found)
}

/// The same for a file of the account.
fn find_own<'a>(tables: &'a Tables, link: &str) -> Result<&'a FileRecord, Refusal> {
    let file = find(tables, link)?;
    match file.folder {
        Some(_) => Ok(file),
        None => Err(Refusal::new(403, "Resource not allowed #631")),
    }
}
