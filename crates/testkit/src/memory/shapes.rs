//! Shapes of remotes: what real ones can do and cannot, as backends in memory.

use std::time::Duration;

use ketch_core::{Capabilities, HashAlgo, MetadataCost, Order, PartRules};

use super::MemoryBackend;

/// Makes an empty place of a shape.
pub type MakeShape = fn() -> MemoryBackend;

/// Each with its name. A test that holds for all of them holds for a remote that is still to be written.
pub const SHAPES: [(&str, MakeShape); 12] = [
    ("everything", everything),
    ("like-fichier", like_fichier),
    ("bare", bare),
    ("object-store", object_store),
    ("object-store-one-by-one", object_store_one_by_one),
    ("file-server", file_server),
    ("old-file-server", old_file_server),
    ("drive", drive),
    ("parts-and-all", parts_and_all),
    ("flat-with-folders", flat_with_folders),
    ("old-store", old_store),
    ("checksums", checksums),
];

impl MemoryBackend {
    /// The capabilities of [`MemoryBackend::new`], to be changed field by field.
    pub fn everything() -> Capabilities {
        Capabilities {
            list_order: Order::Key,
            list_recursive: false,
            read_range: true,
            read_local: true,
            put_unsized: true,
            put_empty: true,
            links: false,
            put_max: None,
            copy: true,
            rename: true,
            rename_dir: true,
            dirs: true,
            duplicates: false,
            mtime: Some(Duration::from_nanos(1)),
            mtime_by_inspect: false,
            deletes_at_once: 0,
            set_mtime: true,
            dir_times: false,
            set_mode: false,
            narrow_mode: false,
            metadata_cost: MetadataCost::Call,
            hashes: &HashAlgo::BY_STRENGTH,
            claimed_hashes: &[],
            name_max_bytes: Some(255),
            put_parts: None,
            put_resume: true,
            at_once: None,
            gather: None,
        }
    }

    /// Capabilities with the shape of 1fichier: ids, duplicates, no modification times, no empty files, one digest.
    pub fn like_fichier() -> Capabilities {
        Capabilities {
            read_range: true,
            copy: true,
            rename: true,
            rename_dir: true,
            dirs: true,
            duplicates: true,
            hashes: &[HashAlgo::Whirlpool],
            ..Capabilities::default()
        }
    }
}

/// The rules of those that take parts.
const PARTS: PartRules =
    PartRules { from: 64 * 1024, part_bytes: 32 * 1024, parts_max: 100, at_once: 3 };

fn everything() -> MemoryBackend {
    let backend = MemoryBackend::new("memory");
    backend.set_scope("account");
    backend
}

fn like_fichier() -> MemoryBackend {
    MemoryBackend::with("memory", MemoryBackend::like_fichier()).without_versions()
}

/// With nothing that is optional.
fn bare() -> MemoryBackend {
    let capabilities = Capabilities { put_max: Some(4 << 20), ..Capabilities::default() };
    MemoryBackend::with("memory", capabilities)
}

/// A place with these capabilities, as some remote may have them.
fn shape(capabilities: Capabilities) -> MemoryBackend {
    let backend = MemoryBackend::with("memory", capabilities);
    backend.set_scope("account");
    backend
}

/// An object store: parts, no folders of their own, key order, a checksum.
fn object_store() -> MemoryBackend {
    shape(Capabilities {
        list_recursive: true,
        put_parts: Some(PARTS),
        put_resume: false,
        dirs: false,
        put_unsized: false,
        rename: false,
        rename_dir: false,
        read_local: false,
        mtime: None,
        set_mtime: false,
        hashes: &[HashAlgo::Crc64Nvme],
        ..MemoryBackend::everything()
    })
}

/// The same where parts are sent one by one, and MD5 is all that is shown.
fn object_store_one_by_one() -> MemoryBackend {
    shape(Capabilities {
        put_parts: Some(PartRules { at_once: 1, parts_max: 2, ..PARTS }),
        put_resume: false,
        dirs: false,
        list_order: Order::Unspecified,
        hashes: &[HashAlgo::Md5],
        claimed_hashes: &[HashAlgo::Sha1],
        ..MemoryBackend::everything()
    })
}

/// A file server that keeps times to the second and shows no digest.
fn file_server() -> MemoryBackend {
    shape(Capabilities {
        list_order: Order::Unspecified,
        read_local: false,
        copy: false,
        mtime: Some(Duration::from_secs(1)),
        hashes: &[],
        ..MemoryBackend::everything()
    })
}

/// One that can neither give a range nor take a time.
fn old_file_server() -> MemoryBackend {
    shape(Capabilities {
        list_order: Order::Unspecified,
        read_range: false,
        read_local: false,
        copy: false,
        rename_dir: false,
        put_resume: false,
        mtime: None,
        set_mtime: false,
        hashes: &[],
        ..MemoryBackend::everything()
    })
}

/// Times and SHA-1, folders that cannot be moved, sizes that must be known.
fn drive() -> MemoryBackend {
    shape(Capabilities {
        put_unsized: false,
        rename_dir: false,
        put_resume: false,
        duplicates: true,
        mtime: Some(Duration::from_millis(1)),
        hashes: &[HashAlgo::Sha1],
        ..MemoryBackend::everything()
    })
}

/// Parts and folders, times and every digest.
fn parts_and_all() -> MemoryBackend {
    shape(Capabilities { put_parts: Some(PARTS), put_resume: false, ..MemoryBackend::everything() })
}

/// Everything at once in key order, with folders of their own and SHA-256.
fn flat_with_folders() -> MemoryBackend {
    shape(Capabilities {
        list_recursive: true,
        read_local: false,
        hashes: &[HashAlgo::Sha256],
        ..MemoryBackend::everything()
    })
}

/// A bucket of old: no ranges, no parts, MD5, no order.
fn old_store() -> MemoryBackend {
    shape(Capabilities {
        list_order: Order::Unspecified,
        read_range: false,
        read_local: false,
        dirs: false,
        rename: false,
        rename_dir: false,
        put_resume: false,
        put_empty: false,
        mtime: None,
        set_mtime: false,
        hashes: &[HashAlgo::Md5],
        claimed_hashes: &[HashAlgo::Sha1],
        ..MemoryBackend::everything()
    })
}

/// A store that shows both checksums and takes one part at a time beside folders.
fn checksums() -> MemoryBackend {
    shape(Capabilities {
        list_recursive: true,
        put_parts: Some(PartRules { at_once: 2, ..PARTS }),
        put_resume: false,
        mtime_by_inspect: true,
        deletes_at_once: 3,
        mtime: Some(Duration::from_secs(2)),
        hashes: &[HashAlgo::Crc32c, HashAlgo::Crc64Nvme],
        ..MemoryBackend::everything()
    })
}
