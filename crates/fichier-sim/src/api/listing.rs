//! `file/ls` and `folder/ls`.

use serde_json::{Value, json};

use super::{Answer, Context, Refusal};
use crate::fault::Effect;
use crate::store::{FileRecord, FolderRecord, Tables};

/// The files of a folder, or with -1 of the account.
pub(super) fn list_files(context: &Context<'_>) -> Answer {
    context.refuse_other_users()?;
    let store = &context.world.store;
    let whole_account = context.arguments.integer("folder_id") == Some(-1);
    let (folder, files) = store.read(|tables| {
        if whole_account {
            return Ok((None, tables.account_files().cloned().collect()));
        }
        let folder = context.folder("folder_id", tables)?;
        Ok::<_, Refusal>((Some(folder), shown(context, tables, folder).0))
    })?;
    let items = items(context, folder, files);
    Ok(json!({"status": "OK", "count": items.len(), "items": items}))
}

fn items(context: &Context<'_>, folder: Option<u64>, mut files: Vec<FileRecord>) -> Vec<Value> {
    context.world.lag.apply(folder, &mut files);
    if context.strikes.has(&Effect::EmptyListing) {
        files.clear();
    }
    let hostile = context.strikes.iter().filter_map(|effect| match effect {
        Effect::HostileName(name) => Some(hostile_file(context, name)),
        _ => None,
    });
    files.extend(hostile);
    if context.strikes.has(&Effect::LoneSurrogate) {
        let name = format!("half{}a pair", crate::json::HALF_A_PAIR);
        files.push(hostile_file(context, &name));
    }
    let clock = &context.world.clock;
    // The form of a date sorts like the moment it means, except in the repeated hour of autumn,
    // where the service has no better answer either.
    let are_honoured = !context.strikes.has(&Effect::WindowsIgnored);
    let bound = |name| context.arguments.text(name).filter(|_| are_honoured);
    let (after, before) = (bound("sent_after"), bound("sent_before"));
    let is_sent_between = |date: &str| {
        after.is_none_or(|after| date >= after) && before.is_none_or(|before| date <= before)
    };
    files
        .iter()
        .map(|file| (file, clock.french(file.uploaded)))
        .filter(|(_, date)| is_sent_between(date))
        .take(context.rules.listing_entries)
        .map(|(file, date)| item(file, date))
        .collect()
}

fn item(file: &FileRecord, date: String) -> Value {
    json!({
        "url": file.link(),
        "filename": file.name,
        "size": file.size,
        "date": date,
        "checksum": file.whirlpool,
        "content-type": crate::names::content_type(&file.name),
        "pass": u8::from(file.password.is_some()),
        "acl": u8::from(file.acl.is_some()),
        "cdn": u8::from(file.cdn),
    })
}

fn hostile_file(context: &Context<'_>, name: &str) -> FileRecord {
    let (id, now) = (crate::names::new_file_id(), context.world.clock.seconds());
    let domain = context.rules.default_domain;
    FileRecord { size: 12, domain, ..FileRecord::new(id, name.to_owned(), "0".repeat(128), now) }
}

/// What a listing shows of a folder: what is there, or was there a while ago.
fn shown(
    context: &Context<'_>,
    tables: &Tables,
    folder: u64,
) -> (Vec<FileRecord>, Vec<FolderRecord>) {
    tables.as_of(context.world.lag.behind(), folder)
}

/// Folders that are shown in `folder` and are not in it.
fn others(context: &Context<'_>, tables: &Tables, folder: u64) -> Vec<Value> {
    let date = context.world.clock.french(context.world.clock.seconds());
    let other = |effect: &Effect| match effect {
        Effect::Loop(name) => Some((folder, name.clone())),
        Effect::Alias(path) => {
            let name = path.rsplit('/').next().unwrap_or(path);
            // Not where it is.
            let id = tables.folder_at(path)?;
            let is_elsewhere = tables.folder(id).is_some_and(|record| record.parent != folder);
            is_elsewhere.then(|| (id, name.to_owned()))
        }
        _ => None,
    };
    let others = context.strikes.iter().filter_map(other);
    others
        .map(|(id, name)| json!({"id": id, "name": name, "create_date": date, "pass": 0}))
        .collect()
}

/// One folder with its folders, and with `files:1` its files.
pub(super) fn list_folder(context: &Context<'_>) -> Answer {
    context.refuse_other_users()?;
    let clock = &context.world.clock;
    let (folder, record, files, mut sub_folders) = context.world.store.read(|tables| {
        let folder = context.folder("folder_id", tables)?;
        let (files, sub_folders) = shown(context, tables, folder);
        let sub_folders: Vec<Value> = sub_folders
            .iter()
            .take(context.rules.listing_entries)
            .map(|sub| {
                json!({"id": sub.id, "name": sub.name, "create_date": clock.french(sub.created),
                       "pass": 0})
            })
            .chain(others(context, tables, folder))
            .collect();
        Ok::<_, Refusal>((folder, tables.folder(folder).cloned(), files, sub_folders))
    })?;
    let is_listed = context.rules.folder_lists_files && !context.strikes.has(&Effect::FilesIgnored);
    let size: u64 = files.iter().map(|file| file.size).sum();
    let mut count = files.len();
    if context.strikes.has(&Effect::CountCut) {
        count = count.min(context.rules.listing_entries);
    }
    let mut answer = json!({
        "status": "OK",
        "folder_id": folder,
        "name": record.as_ref().map_or("Root", |record| record.name.as_str()),
        "files": count,
        "size": if files.is_empty() { Value::Null } else { json!(size) },
    });
    if let Some(record) = record {
        answer["create_date"] = clock.french(record.created).into();
        answer["pass"] = 0.into();
        if let Some(code) = record.shared {
            let domain = crate::names::domain_name(context.rules.default_domain);
            answer["shared"] = format!("https://{domain}/dir/{code}").into();
        }
        if !record.shares.is_empty() {
            answer["shares"] = record.shares.into();
        }
    }
    if context.arguments.flag("files") && is_listed {
        answer["items"] = items(context, Some(folder), files).into();
    } else {
        let hostile = context.strikes.find(|effect| match effect {
            Effect::HostileName(name) => Some(name.clone()),
            _ => None,
        });
        if let Some(name) = hostile {
            let date = clock.french(clock.seconds());
            sub_folders
                .push(json!({"id": 9_999_999, "name": name, "create_date": date, "pass": 0}));
        }
    }
    if context.strikes.has(&Effect::EmptyListing) {
        sub_folders.clear();
    }
    answer["sub_folders"] = sub_folders.into();
    Ok(answer)
}
