//! `user/info`, read only.

use serde_json::json;

use super::{Answer, Context};

/// What a Premium account is allowed to keep.
const ALLOWED_BYTES: u64 = 2_000_000_000_000;

/// The account's facts, with many 0/1 flags as strings, as a real account showed them.
pub(super) fn info(context: &Context<'_>) -> Answer {
    let world = context.world;
    let used: u64 = world.store.read(|tables| tables.account_files().map(|file| file.size).sum());
    let now = world.clock.seconds();
    Ok(json!({
        "status": "OK",
        "email": context.rules.email,
        "offer": if context.rules.is_customer { "1" } else { "0" },
        "2fa": "0",
        "subscription_end": world.clock.french(now + 365 * 86_400),
        "cdn": "2",
        "use_cdn": "0",
        "mail_rm": "1",
        "ftp_mode": "0",
        "ftp_report": "0",
        "ru_report": "0",
        "default_port": "0",
        "default_port_files": "0",
        "download_menu": "0",
        "upload_forbidden": "0",
        "ftp_did": 0,
        "default_domain": context.rules.default_domain,
        "page_limit": 100,
        "hot_storage": used,
        "cold_storage": 0,
        "default_quota": ALLOWED_BYTES,
        "default_cold_storage_quota": ALLOWED_BYTES,
        "allowed_cold_storage": ALLOWED_BYTES,
        "available_storage": ALLOWED_BYTES,
        "available_cold_storage": ALLOWED_BYTES,
        "overquota": 0,
        "extended_quota": 0,
        "extended_quota_end": "",
        "stats_date": world.clock.french(now - 3600),
    }))
}
