//! The backend in memory keeps its own contract: with everything, in the shape of 1fichier, with nothing optional, and behind the layers.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use ketch_core::layer::{LimitSettings, RetrySettings, Stack, TimeoutSettings};
use ketch_core::{Backend, Capabilities, Error, ErrorKind, HashAlgo, Order, PartRules, Retry};
use ketch_testkit::suite::{Exception, Fixture, Harm, Interrupting, SuiteConfig, run_all};
use ketch_testkit::{Faulty, KEPT_BYTES, MemoryBackend};

fn fixture(backend: MemoryBackend) -> BoxFuture<'static, Fixture> {
    let backend = Arc::new(backend);
    let (reopened, duplicated) = (Arc::clone(&backend), Arc::clone(&backend));
    let damaged = Arc::clone(&backend);
    let damage = move |path: &str, harm| {
        match harm {
            Harm::Content => damaged.damage_part(path),
            Harm::Record => damaged.damage_part_record(path),
        }
        std::future::ready(()).boxed()
    };
    let duplicate = move |path: &str, content: &[u8]| {
        duplicated.insert_duplicate(path, content);
        std::future::ready(()).boxed()
    };
    let fixture = Fixture {
        backend,
        reopen: Box::new(move |folder| Arc::new(reopened.reopen(folder)) as Arc<dyn Backend>),
        afresh: None,
        duplicate: Some(Box::new(duplicate)),
        interrupting: Some(Interrupting { bytes: 3 * KEPT_BYTES, damage: Box::new(damage) }),
        keep: Box::new(()),
    };
    std::future::ready(fixture).boxed()
}

fn everything() -> BoxFuture<'static, Fixture> {
    let backend = MemoryBackend::new("memory");
    backend.set_scope("account");
    fixture(backend)
}

fn like_fichier() -> BoxFuture<'static, Fixture> {
    fixture(MemoryBackend::with("memory", MemoryBackend::like_fichier()).without_versions())
}

fn bare() -> BoxFuture<'static, Fixture> {
    let capabilities = Capabilities { put_max: Some(4 << 20), ..Capabilities::default() };
    fixture(MemoryBackend::with("memory", capabilities))
}

const PARTS: PartRules =
    PartRules { from: 64 * 1024, part_bytes: 32 * 1024, parts_max: 100, at_once: 3 };

/// A place with these capabilities, as some remote may have them.
fn shape(capabilities: Capabilities) -> BoxFuture<'static, Fixture> {
    let backend = MemoryBackend::with("memory", capabilities);
    backend.set_scope("account");
    fixture(backend)
}

/// An object store: parts, no folders of their own, key order, a checksum.
fn object_store() -> BoxFuture<'static, Fixture> {
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
fn object_store_one_by_one() -> BoxFuture<'static, Fixture> {
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
fn file_server() -> BoxFuture<'static, Fixture> {
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
fn old_file_server() -> BoxFuture<'static, Fixture> {
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
fn drive() -> BoxFuture<'static, Fixture> {
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
fn parts_and_all() -> BoxFuture<'static, Fixture> {
    shape(Capabilities { put_parts: Some(PARTS), put_resume: false, ..MemoryBackend::everything() })
}

/// Everything at once in key order, with folders of their own and SHA-256.
fn flat_with_folders() -> BoxFuture<'static, Fixture> {
    shape(Capabilities {
        list_recursive: true,
        read_local: false,
        hashes: &[HashAlgo::Sha256],
        ..MemoryBackend::everything()
    })
}

/// A bucket of old: no ranges, no parts, MD5, no order.
fn old_store() -> BoxFuture<'static, Fixture> {
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
fn checksums() -> BoxFuture<'static, Fixture> {
    shape(Capabilities {
        list_recursive: true,
        put_parts: Some(PartRules { at_once: 2, ..PARTS }),
        put_resume: false,
        mtime: Some(Duration::from_secs(2)),
        hashes: &[HashAlgo::Crc32c, HashAlgo::Crc64Nvme],
        ..MemoryBackend::everything()
    })
}

/// All layers, with waits that take no time.
fn stack(raw: Arc<dyn Backend>) -> Arc<dyn Backend> {
    let retry = RetrySettings {
        attempts: 100,
        first_wait: Duration::ZERO,
        longest_wait: Duration::ZERO,
        ..RetrySettings::default()
    };
    Stack::new(raw)
        .timeout(TimeoutSettings::default())
        .limit(LimitSettings { concurrent: Some(4), ..LimitSettings::default() })
        .retry(retry)
        .build()
}

/// Every fifth call or so fails and is worth another attempt; behind the layers nobody sees it.
fn stack_over_faults(raw: Arc<dyn Backend>) -> Arc<dyn Backend> {
    let passing = Error::new(ErrorKind::Unavailable, "reset on purpose").with_retry(Retry::Backoff);
    stack(Arc::new(Faulty::new(raw).fail_randomly(7, 0.2, passing)))
}

const BEHIND_FAULTS: &[Exception] = &[Exception {
    case: "rename::a_folder_replaces_nothing",
    reason: "something is at the target, so after a failed attempt it cannot be told whose it is",
}];

fn main() -> ExitCode {
    let config = |backend, make| SuiteConfig { backend, make, exceptions: &[] };
    run_all(&[
        config("everything", everything),
        config("like-fichier", like_fichier),
        config("bare", bare),
        config("object-store", object_store),
        config("object-store-one-by-one", object_store_one_by_one),
        config("file-server", file_server),
        config("old-file-server", old_file_server),
        config("drive", drive),
        config("parts-and-all", parts_and_all),
        config("flat-with-folders", flat_with_folders),
        config("old-store", old_store),
        config("checksums", checksums),
        config("object-store-in-layers", || {
            object_store().map(|fixture| fixture.behind(stack)).boxed()
        }),
        config("everything-in-layers", || {
            everything().map(|fixture| fixture.behind(stack)).boxed()
        }),
        config("like-fichier-in-layers", || {
            like_fichier().map(|fixture| fixture.behind(stack)).boxed()
        }),
        SuiteConfig {
            exceptions: BEHIND_FAULTS,
            ..config("faults-in-layers", || {
                everything().map(|fixture| fixture.behind(stack_over_faults)).boxed()
            })
        },
    ])
}
