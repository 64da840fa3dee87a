//! What the providers lack or do otherwise, as data.

/// The quirks of one provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Quirks {
    /// Its name, as rclone writes it.
    pub(crate) name: &'static str,
    /// Its address, with `{region}`; `None`: the option `endpoint` must say it.
    pub(crate) endpoint: Option<&'static str>,
    /// The bucket is in the path, and not in the name of the host.
    pub(crate) path_style: bool,
    /// The most parts of one object.
    pub(crate) parts_max: u32,
    /// The shortest part that is worth sending.
    pub(crate) part_bytes: u64,
    /// Listings of a folder are in the order of the bytes of the keys.
    pub(crate) is_ordered: bool,
    /// It is worth asking for everything below a folder at once: in the order of the keys, as far as is known. The engine checks
    /// that.
    pub(crate) lists_flat: bool,
    /// It computes CRC-64/NVME of whole objects, also of those that came in parts, and tells it.
    pub(crate) has_crc64: bool,
    /// It is asked to honour `If-Match` and `If-None-Match` when it stores, until it says that it cannot.
    pub(crate) has_conditions: bool,
    /// It deletes an object only if it is the version that was listed, if it is asked to.
    pub(crate) deletes_by_version: bool,
    /// A bucket may encrypt what is stored with keys of its key service, whatever the request says.
    pub(crate) may_encrypt: bool,
    /// It copies parts of objects.
    pub(crate) copies_parts: bool,
}

const MIB: u64 = 1024 * 1024;

const AWS: Quirks = Quirks {
    name: "AWS",
    endpoint: Some("https://s3.{region}.amazonaws.com"),
    path_style: false,
    parts_max: 10_000,
    part_bytes: 16 * MIB,
    is_ordered: true,
    lists_flat: true,
    has_crc64: true,
    has_conditions: true,
    deletes_by_version: true,
    may_encrypt: true,
    copies_parts: true,
};

/// What is assumed of a provider that is not known: nothing that it might lack.
const OTHER: Quirks = Quirks {
    name: "Other",
    endpoint: None,
    path_style: true,
    is_ordered: false,
    has_crc64: false,
    deletes_by_version: false,
    may_encrypt: false,
    ..AWS
};

const fn like_other(name: &'static str) -> Quirks {
    Quirks { name, ..OTHER }
}

/// Providers with the address of their regions.
const fn at(name: &'static str, endpoint: &'static str) -> Quirks {
    Quirks { name, endpoint: Some(endpoint), is_ordered: true, ..OTHER }
}

/// Every provider that ketch knows by name.
pub(crate) const ALL: &[Quirks] = &[
    AWS,
    Quirks { is_ordered: true, ..like_other("Cloudflare") },
    Quirks { is_ordered: true, has_crc64: true, may_encrypt: true, ..like_other("Minio") },
    Quirks { is_ordered: true, may_encrypt: true, ..like_other("Ceph") },
    // It does not list in the order of bytes: `d/x` comes before `d-a`.
    Quirks { lists_flat: false, has_crc64: true, ..like_other("SeaweedFS") },
    Quirks { is_ordered: true, ..like_other("Garage") },
    at("Wasabi", "https://s3.{region}.wasabisys.com"),
    Quirks { parts_max: 1_000, ..at("Scaleway", "https://s3.{region}.scw.cloud") },
    at("OVHcloud", "https://s3.{region}.io.cloud.ovh.net"),
    at("Hetzner", "https://{region}.your-objectstorage.com"),
    at("DigitalOcean", "https://{region}.digitaloceanspaces.com"),
    Quirks {
        part_bytes: 64 * MIB,
        copies_parts: false,
        ..at("Storj", "https://gateway.storjshare.io")
    },
    at("Backblaze", "https://s3.{region}.backblazeb2.com"),
    Quirks { copies_parts: false, ..at("GCS", "https://storage.googleapis.com") },
    Quirks { path_style: false, ..at("Alibaba", "https://oss-{region}.aliyuncs.com") },
    Quirks { path_style: false, ..at("TencentCOS", "https://cos.{region}.myqcloud.com") },
    Quirks { path_style: false, ..at("HuaweiOBS", "https://obs.{region}.myhuaweicloud.com") },
    at("Linode", "https://{region}.linodeobjects.com"),
    at("Exoscale", "https://sos-{region}.exo.io"),
    Quirks { copies_parts: false, ..at("Mega", "https://s3.{region}.s4.mega.io") },
    like_other("IDrive"),
    like_other("Synology"),
    like_other("IBMCOS"),
    like_other("Qiniu"),
    like_other("StackPath"),
    // It takes conditions and does not look at them.
    Quirks { copies_parts: false, has_conditions: false, ..like_other("Rclone") },
    OTHER,
];

/// The provider of that name; case does not matter.
pub(crate) fn find(name: &str) -> Option<Quirks> {
    ALL.iter().find(|quirks| quirks.name.eq_ignore_ascii_case(name)).copied()
}

/// Any provider, for an endpoint of which no name is given.
pub(crate) fn other() -> Quirks {
    OTHER
}
