//! Many files at once that no client has sent, so that a test of a folder with thousands of them takes no thousands of
//! uploads. They must not know who asked: to every call they are files like all others.

use crate::SimError;
use crate::store::{FileRecord, FolderRecord};
use crate::world::World;

/// Plants so many empty folders, `d000000` and so on, in a folder of the top.
pub(crate) fn plant_folders(world: &World, count: u64, name: &str) -> Result<(), SimError> {
    let failed = |error: crate::store::StoreError| {
        SimError::io("plant folders".to_owned())(std::io::Error::other(error.to_string()))
    };
    let now = world.clock.seconds();
    let parent = folder(world, name, now).map_err(failed)?;
    for number in 0..count {
        let made = world.store.make_folder(
            |_| None::<()>,
            |id| FolderRecord::new(id, &format!("d{number:06}"), parent, now),
        );
        // No folder is in the way, as the first closure says: the second of two equal names is planted, too.
        let _made: Result<FolderRecord, ()> = made.map_err(failed)?;
    }
    Ok(())
}

/// What is planted.
#[derive(Clone, Debug)]
pub struct Plant {
    /// The name of a folder of the top, made when it is missing; empty is the top itself.
    pub folder: String,
    /// How many files: `f000000` and so on, each with the one byte `x`.
    pub count: usize,
    /// How many seconds lie between one file and the next younger one; the last is as old as that.
    pub spacing: u64,
}

impl std::str::FromStr for Plant {
    type Err = String;

    /// `COUNT SPACING FOLDER`, with spaces between them.
    fn from_str(text: &str) -> Result<Self, String> {
        let mut words = text.trim().splitn(3, ' ');
        let mut number = |what: &str| -> Result<u64, String> {
            let word = words.next().unwrap_or_default();
            word.parse().map_err(|_| format!("plant: {what} must be a whole number"))
        };
        let (count, spacing) = (number("COUNT")?, number("SPACING")?);
        let folder = words.next().unwrap_or_default().trim().to_owned();
        let count = usize::try_from(count).ok().filter(|count| *count <= 1_000_000);
        let count = count.ok_or("plant: at most a million files at once")?;
        Ok(Plant { folder, count, spacing })
    }
}

/// Plants them, all in one change of the store.
pub(crate) fn plant(world: &World, plant: &Plant) -> Result<(), SimError> {
    let failed = |error: crate::store::StoreError| {
        let error = std::io::Error::other(error.to_string());
        SimError::io("plant files".to_owned())(error)
    };
    let store = &world.store;
    let (now, domain) = (world.clock.seconds(), world.rules().default_domain);
    let folder = if plant.folder.is_empty() {
        0
    } else {
        folder(world, &plant.folder, now).map_err(failed)?
    };
    let mut files = Vec::with_capacity(plant.count);
    for number in 0..plant.count {
        let id = crate::names::new_file_id();
        let whirlpool = store.write_blob(&id, b"x").map_err(failed)?;
        let age = (plant.count - number) as u64 * plant.spacing;
        let uploaded = now.saturating_sub_unsigned(age);
        files.push(FileRecord {
            size: 1,
            folder: Some(folder),
            domain,
            ..FileRecord::new(id, format!("f{number:06}"), whirlpool, uploaded)
        });
    }
    store.edit_files(|_| (files, ())).map_err(failed)
}

fn folder(world: &World, name: &str, now: i64) -> Result<u64, crate::store::StoreError> {
    let made = world.store.make_folder(
        |tables| tables.folders_in(0).find(|folder| folder.name == name).map(|folder| folder.id),
        |id| FolderRecord::new(id, name, 0, now),
    )?;
    Ok(made.map_or_else(|id| id, |folder| folder.id))
}
