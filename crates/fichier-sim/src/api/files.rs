//! The calls about single files.

use serde_json::{Value, json};

use super::{Answer, Context, Refusal, find, find_own};
use crate::arguments::Arguments;
use crate::fault::Effect;
use crate::names;
use crate::store::{FileRecord, Tables};

/// `file/info`: everything about one file; no `status` when good.
pub(super) fn info(context: &Context<'_>) -> Answer {
    context.refuse_other_users()?;
    let (file, path) = context.world.store.read(|tables| {
        let file = context.file(tables)?;
        let path = file.folder.map(|folder| tables.path(folder));
        Ok::<_, Refusal>((file, path))
    })?;
    context.check_password(&file)?;
    let mut answer = json!({
        "url": file.link(),
        "filename": file.name,
        "size": file.size,
        "date": context.world.clock.french(file.uploaded),
        "checksum": file.whirlpool,
        "content-type": names::content_type(&file.name),
        "description": file.description,
        "pass": u8::from(file.password.is_some()),
        "no_ssl": u8::from(file.no_ssl),
        "inline": u8::from(file.inline),
        "cdn": u8::from(file.cdn),
    });
    if let (Some(folder), Some(path)) = (file.folder, path) {
        answer["folder_id"] = folder.into();
        answer["path"] = path.into();
    }
    if let Some(acl) = file.acl {
        answer["acl"] = acl;
    }
    Ok(answer)
}

/// `file/scan`: nothing is ever infected.
pub(super) fn scan(context: &Context<'_>) -> Answer {
    let world = context.world;
    world.store.read(|tables| context.file(tables))?;
    let date = world.clock.french(world.clock.seconds());
    Ok(json!({"status": "OK", "message": "No threat detected", "date": date}))
}

/// `file/rm`: removes what it finds; refused when that is nothing.
pub(super) fn remove(context: &Context<'_>) -> Answer {
    let wanted = context.arguments.objects("files");
    if wanted.is_empty() {
        return Err(Refusal::missing("files"));
    }
    let store = &context.world.store;
    let mut refusal = Refusal::not_found();
    let mut ids = Vec::new();
    store.read(|tables| {
        for one in &wanted {
            match removable(tables, one) {
                Ok(id) => ids.push(id),
                Err(reason) => refusal = reason,
            }
        }
    });
    let removed = store.remove_files(&ids)?;
    if removed.is_empty() {
        return Err(refusal);
    }
    let linger = context.strikes.find(|effect| match effect {
        Effect::Linger(listings) => Some(*listings),
        _ => None,
    });
    let linger_for = context.strikes.find(|effect| match effect {
        Effect::LingerFor(time) => Some(*time),
        _ => None,
    });
    let links: Vec<String> = removed.iter().map(FileRecord::link).collect();
    if let Some(time) = linger_for {
        let until = tokio::time::Instant::now() + time;
        for file in removed.clone() {
            context.world.lag.linger_until(file, until);
        }
    }
    if let Some(listings) = linger {
        for file in removed {
            context.world.lag.linger(file, listings);
        }
    }
    Ok(json!({"status": "OK", "removed": links.len(), "urls": links}))
}

fn removable(tables: &Tables, one: &Arguments) -> Result<String, Refusal> {
    let file = find(tables, one.text("url").unwrap_or_default())?;
    match &file.remove_code {
        Some(code) if one.text("code") != Some(code) => {
            Err(Refusal::new(403, "Resource not allowed #631"))
        }
        Some(_) | None => Ok(file.id.clone()),
    }
}

/// `file/mv`: refused when the folder or the name would not change.
pub(super) fn move_to(context: &Context<'_>) -> Answer {
    context.refuse_other_users()?;
    let links = context.arguments.texts("urls");
    let rename = context.arguments.text("rename").filter(|name| !name.is_empty());
    if links.is_empty() {
        return Err(Refusal::missing("urls"));
    }
    if context.arguments.integer("destination_folder_id").is_none() {
        return Err(Refusal::missing("destination_folder_id"));
    }
    if rename.is_some() && links.len() > 1 {
        return Err(Refusal::new(400, "Only one file can be renamed #310"));
    }
    let name = rename.map(|name| context.file_name(name));
    let moved = context.world.store.edit_files(|tables| {
        let decide = || {
            let folder = context.folder("destination_folder_id", tables)?;
            let mut moved = Vec::new();
            for link in &links {
                let file = find_own(tables, link)?;
                if name.as_ref() == Some(&file.name) {
                    return Err(Refusal::new(403, "No file has been renamed #312"));
                }
                if file.folder == Some(folder) {
                    continue;
                }
                let name = name.clone().unwrap_or_else(|| file.name.clone());
                moved.push(FileRecord { folder: Some(folder), name, ..file.clone() });
            }
            if moved.is_empty() {
                return Err(Refusal::new(403, "No file has been moved #313"));
            }
            Ok(moved)
        };
        split(decide())
    })??;
    let links: Vec<String> = moved.iter().map(FileRecord::link).collect();
    let mut answer = json!({"status": "OK", "moved": links.len(), "urls": links});
    if let Some(name) = name {
        answer["filename"] = name.into();
    }
    Ok(answer)
}

/// The changed records both for the store and for the caller.
fn split(
    decided: Result<Vec<FileRecord>, Refusal>,
) -> (Vec<FileRecord>, Result<Vec<FileRecord>, Refusal>) {
    match decided {
        Ok(files) => (files.clone(), Ok(files)),
        Err(refusal) => (Vec::new(), Err(refusal)),
    }
}

/// `file/rename`: the folder stays; a name that stays is refused.
pub(super) fn rename(context: &Context<'_>) -> Answer {
    let wanted = context.arguments.objects("urls");
    if wanted.is_empty() {
        return Err(Refusal::missing("urls"));
    }
    let renamed = context.world.store.edit_files(|tables| {
        let decide = || {
            let mut renamed = Vec::new();
            for one in &wanted {
                let file = find_own(tables, one.text("url").unwrap_or_default())?;
                let name = one.text("filename").filter(|name| !name.is_empty());
                let name = context.file_name(name.ok_or_else(|| Refusal::missing("filename"))?);
                if name != file.name {
                    renamed.push((file.name.clone(), FileRecord { name, ..file.clone() }));
                }
            }
            Ok::<_, Refusal>(renamed)
        };
        match decide() {
            Ok(renamed) => (renamed.iter().map(|(_, file)| file.clone()).collect(), Ok(renamed)),
            Err(refusal) => (Vec::new(), Err(refusal)),
        }
    })??;
    if renamed.is_empty() {
        return Err(Refusal::new(403, "No file has been renamed #312"));
    }
    let entry = |(old, file): &(String, FileRecord)| json!({"url": file.link(), "old_filename": old, "new_filename": file.name});
    let entries: Vec<Value> = renamed.iter().map(entry).collect();
    Ok(json!({"status": "OK", "renamed": entries.len(), "urls": entries}))
}

/// `file/cp`: any link may be copied into the account; the copy has its own link and date.
pub(super) fn copy(context: &Context<'_>) -> Answer {
    context.refuse_other_users()?;
    let links = context.arguments.texts("urls");
    let rename = context.arguments.text("rename").filter(|name| !name.is_empty());
    if links.is_empty() {
        return Err(Refusal::missing("urls"));
    }
    if rename.is_some() && links.len() > 1 {
        return Err(Refusal::new(400, "Only one file can be renamed #310"));
    }
    let world = context.world;
    let name = rename.map(|name| context.file_name(name));
    let copies = world.store.read(|tables| {
        let folder = context.folder("folder_id", tables)?;
        let mut copies = Vec::new();
        for link in &links {
            let source = find(tables, link)?;
            context.check_password(source)?;
            copies.push((
                source.id.clone(),
                FileRecord {
                    id: names::new_file_id(),
                    name: name.clone().unwrap_or_else(|| source.name.clone()),
                    uploaded: world.clock.seconds(),
                    folder: Some(folder),
                    domain: context.rules.default_domain,
                    remove_code: None,
                    password: None,
                    acl: None,
                    ..source.clone()
                },
            ));
        }
        Ok::<_, Refusal>(copies)
    })?;
    for (source, copy) in &copies {
        let (from, to) = (world.store.blob_path(source), world.store.blob_path(&copy.id));
        // Contents never change, so two names for one content are as good as a copy.
        std::fs::hard_link(&from, &to)
            .or_else(|_| std::fs::copy(&from, &to).map(drop))
            .map_err(|_| Refusal::not_found())?;
    }
    let entry = |(link, (_, copy)): (&String, &(String, FileRecord))| json!({"from_url": link, "to_url": copy.link()});
    let entries: Vec<Value> = links.iter().zip(&copies).map(entry).collect();
    let records: Vec<_> = copies.into_iter().map(|(_, copy)| copy).collect();
    world.store.edit_files(|_| (records, ()))?;
    let mut answer = json!({"status": "OK", "copied": entries.len(), "urls": entries});
    if let Some(name) = name {
        answer["filename"] = name.into();
    }
    Ok(answer)
}

/// `file/chattr`: refused when nothing would change.
pub(super) fn change_attributes(context: &Context<'_>) -> Answer {
    let arguments = &context.arguments;
    let links = arguments.texts("urls");
    if links.is_empty() {
        return Err(Refusal::missing("urls"));
    }
    if arguments.text("filename").is_some() && links.len() > 1 {
        return Err(Refusal::new(400, "Only one file can be renamed #310"));
    }
    if arguments.text("pass").is_some_and(|pass| (1..6).contains(&pass.chars().count())) {
        return Err(Refusal::new(400, "Password too short #320"));
    }
    let changed = context.world.store.edit_files(|tables| {
        let decide = || {
            let mut changed = Vec::new();
            for link in &links {
                let file = find_own(tables, link)?;
                let new = with_attributes(context, file.clone());
                if new != *file {
                    changed.push(new);
                }
            }
            if changed.is_empty() {
                return Err(Refusal::new(403, "No changes requested #330"));
            }
            Ok(changed)
        };
        split(decide())
    })??;
    let links: Vec<String> = changed.iter().map(FileRecord::link).collect();
    Ok(json!({"status": "OK", "updated": links.len(), "urls": links}))
}

fn with_attributes(context: &Context<'_>, mut file: FileRecord) -> FileRecord {
    let arguments = &context.arguments;
    if let Some(name) = arguments.text("filename") {
        file.name = context.file_name(name);
    }
    if let Some(description) = arguments.text("description") {
        file.description = description.to_owned();
    }
    if let Some(pass) = arguments.text("pass") {
        file.password = (!pass.is_empty()).then(|| pass.to_owned());
    }
    if let Some(acl) = arguments.value("acl").and_then(Value::as_object) {
        file.acl = (!acl.is_empty()).then(|| Value::Object(acl.clone()));
    }
    for (name, flag) in
        [("no_ssl", &mut file.no_ssl), ("inline", &mut file.inline), ("cdn", &mut file.cdn)]
    {
        if let Some(value) = arguments.integer(name) {
            *flag = value != 0;
        }
    }
    file
}
