//! Other clients of the account, who change things in the middle of somebody's job.

use crate::fault::Effect;
use crate::faults::Strikes;
use crate::store::{FileRecord, FolderRecord, StoreError, Tables};
use crate::world::World;

/// Does what others do before a request is carried out. What is not there is left alone.
pub(crate) fn act(world: &World, strikes: &Strikes) -> Result<(), StoreError> {
    for effect in strikes.iter() {
        match effect {
            Effect::Move { from, to } => move_to(world, from, to)?,
            Effect::Take(path) => {
                let id =
                    world.store.read(|tables| tables.file_at(path).map(|file| file.id.clone()));
                world.store.remove_files(&id.into_iter().collect::<Vec<_>>())?;
            }
            _ => {}
        }
    }
    Ok(())
}

fn move_to(world: &World, from: &str, to: &str) -> Result<(), StoreError> {
    let (above, name) = to.rsplit_once('/').unwrap_or(("", to));
    let file = |tables: &Tables| {
        let folder = tables.folder_at(above)?;
        let file = tables.file_at(from)?.clone();
        Some(FileRecord { folder: Some(folder), name: name.to_owned(), ..file })
    };
    let folder = |tables: &Tables| {
        let parent = tables.folder_at(above)?;
        let folder = tables.folder(tables.folder_at(from)?)?.clone();
        Some(FolderRecord { parent, name: name.to_owned(), ..folder })
    };
    let is_file = world.store.edit_files(|tables| {
        let moved: Vec<FileRecord> = file(tables).into_iter().collect();
        let is_file = !moved.is_empty();
        (moved, is_file)
    })?;
    if !is_file {
        world.store.edit_folder(|tables| (folder(tables), ()))?;
    }
    Ok(())
}
