//! The calls that change folders.

use serde_json::{Value, json};

use super::{Answer, Context, Refusal};
use crate::ExistingFolder;
use crate::names;
use crate::store::FolderRecord;

/// The real texts of these refusals are unknown.
fn invalid_name() -> Refusal {
    Refusal::new(403, "Invalid name #512")
}

fn name_taken() -> Refusal {
    Refusal::new(403, "A folder with this name already exists #513")
}

/// `folder/mkdir`; a taken name is handled by [`ExistingFolder`].
pub(super) fn make(context: &Context<'_>) -> Answer {
    context.refuse_other_users()?;
    let name = context.arguments.text("name").unwrap_or_default();
    if !names::is_folder_name(name) {
        return Err(invalid_name());
    }
    let store = &context.world.store;
    let parent = store.read(|tables| context.folder("folder_id", tables))?;
    // Decided under the store's lock: of two calls at once, one finds the other's folder.
    let made = store.make_folder(
        |tables| {
            if !tables.has_folder(parent) {
                return Some(Err(Refusal::no_folder()));
            }
            let existing = tables.folders_in(parent).find(|folder| folder.name == name)?;
            match context.rules.existing_folder {
                ExistingFolder::Refuse => Some(Err(name_taken())),
                ExistingFolder::Duplicate => None,
                ExistingFolder::SameId => Some(Ok(existing.clone())),
            }
        },
        |id| FolderRecord::new(id, name, parent, context.world.clock.seconds()),
    )?;
    let folder = match made {
        Ok(folder) => folder,
        Err(other) => other?,
    };
    Ok(json!({"status": "OK", "folder_id": folder.id, "name": folder.name}))
}

/// `folder/mv`; with `rename` the destination is ignored, as documented.
pub(super) fn move_to(context: &Context<'_>) -> Answer {
    context.refuse_other_users()?;
    let rename = context.arguments.text("rename").filter(|name| !name.is_empty());
    let (old, new) = context.world.store.edit_folder(|tables| {
        let decide = || {
            let id = context.folder("folder_id", tables)?;
            let folder = tables.folder(id).ok_or_else(Refusal::no_folder)?;
            let new = match rename {
                Some(name) => {
                    if !names::is_folder_name(name) {
                        return Err(invalid_name());
                    }
                    FolderRecord { name: name.to_owned(), ..folder.clone() }
                }
                None => {
                    if context.arguments.integer("destination_folder_id").is_none() {
                        return Err(Refusal::missing("destination_folder_id"));
                    }
                    let parent = context.folder("destination_folder_id", tables)?;
                    if tables.is_inside(parent, id) {
                        return Err(Refusal::new(403, "Bad destination #514"));
                    }
                    FolderRecord { parent, ..folder.clone() }
                }
            };
            if new == *folder {
                return Err(Refusal::new(403, "No changes requested #330"));
            }
            let is_taken = tables
                .folders_in(new.parent)
                .any(|other| other.id != new.id && other.name == new.name);
            if is_taken && context.rules.existing_folder != ExistingFolder::Duplicate {
                return Err(name_taken());
            }
            Ok((folder.name.clone(), new))
        };
        match decide() {
            Ok((old, new)) => (Some(new.clone()), Ok((old, new.name))),
            Err(refusal) => (None, Err(refusal)),
        }
    })??;
    Ok(json!({"status": "OK", "message": "Folder updated", "old_name": old, "new_name": new}))
}

/// `folder/share`: the public link, and the people.
pub(super) fn share(context: &Context<'_>) -> Answer {
    let arguments = &context.arguments;
    let shared = context.world.store.edit_folder(|tables| {
        let decide = || {
            let id = context.folder("folder_id", tables)?;
            let mut folder = tables.folder(id).cloned().ok_or_else(Refusal::no_folder)?;
            match arguments.integer("share") {
                Some(0) => folder.shared = None,
                Some(_) => drop(folder.shared.get_or_insert_with(names::new_code)),
                None => {}
            }
            if let Some(password) = arguments.text("pass") {
                folder.share_password = Some(password.to_owned()).filter(|text| !text.is_empty());
            }
            if let Some(shares) = arguments.value("shares").and_then(Value::as_array) {
                folder.shares = shares.clone();
            }
            Ok::<_, Refusal>(folder)
        };
        match decide() {
            Ok(folder) => (Some(folder.clone()), Ok(folder.shared)),
            Err(refusal) => (None, Err(refusal)),
        }
    })??;
    let mut answer = json!({"status": "OK", "message": "Folder updated"});
    if let Some(code) = shared {
        let domain = names::domain_name(context.rules.default_domain);
        answer["url"] = format!("https://{domain}/dir/{code}").into();
    }
    Ok(answer)
}

/// `folder/rm`: only empty folders, never the root.
pub(super) fn remove(context: &Context<'_>) -> Answer {
    let store = &context.world.store;
    let id = store.read(|tables| context.folder("folder_id", tables))?;
    if !context.world.lag.counts(id) && store.remove_empty_folder(id)? {
        Ok(json!({"status": "OK", "message": "Folder removed"}))
    } else {
        Err(Refusal::new(403, "Folder is not empty #515"))
    }
}
