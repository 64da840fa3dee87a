//! Streaming digests, one way to name and show them, and several at once in one pass.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use sha2::Digest as _;

mod parts;

pub use parts::{PART_ALGOS, PART_ALIGNMENT, PartDigest, PartHasher, Parts};

/// A digest that ketch can compute and remotes report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum HashAlgo {
    /// BLAKE3, 32 bytes: ketch's own.
    Blake3,
    /// SHA-256.
    Sha256,
    /// Whirlpool (ISO/IEC 10118-3:2004), 64 bytes: 1fichier's.
    Whirlpool,
    /// SHA-1.
    Sha1,
    /// MD5.
    Md5,
    /// CRC-64/NVME, 8 bytes: a checksum of object stores.
    Crc64Nvme,
    /// CRC-32C, 4 bytes: a checksum of object stores.
    Crc32c,
}

impl HashAlgo {
    /// All, the one to prefer first. Whirlpool is as strong as the two before it and many times slower.
    pub const BY_STRENGTH: [HashAlgo; 7] = [
        HashAlgo::Blake3,
        HashAlgo::Sha256,
        HashAlgo::Whirlpool,
        HashAlgo::Sha1,
        HashAlgo::Md5,
        HashAlgo::Crc64Nvme,
        HashAlgo::Crc32c,
    ];

    /// Is it a checksum? A checksum finds damage, but does not prove that two files are equal: nothing is removed because
    /// two checksums are equal.
    pub fn is_checksum(self) -> bool {
        match self {
            HashAlgo::Crc64Nvme | HashAlgo::Crc32c => true,
            HashAlgo::Blake3
            | HashAlgo::Sha256
            | HashAlgo::Whirlpool
            | HashAlgo::Sha1
            | HashAlgo::Md5 => false,
        }
    }

    /// The name in options, reports and JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            HashAlgo::Blake3 => "blake3",
            HashAlgo::Sha256 => "sha256",
            HashAlgo::Whirlpool => "whirlpool",
            HashAlgo::Sha1 => "sha1",
            HashAlgo::Md5 => "md5",
            HashAlgo::Crc64Nvme => "crc64nvme",
            HashAlgo::Crc32c => "crc32c",
        }
    }

    /// Length of the digest in bytes.
    pub fn bytes(self) -> usize {
        match self {
            HashAlgo::Blake3 | HashAlgo::Sha256 => 32,
            HashAlgo::Whirlpool => 64,
            HashAlgo::Sha1 => 20,
            HashAlgo::Md5 => 16,
            HashAlgo::Crc64Nvme => 8,
            HashAlgo::Crc32c => 4,
        }
    }
}

impl fmt::Display for HashAlgo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One digest.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Digest {
    algo: HashAlgo,
    bytes: Box<[u8]>,
}

impl Digest {
    /// A digest from its bytes; `None` when the length is not that of `algo`.
    pub fn new(algo: HashAlgo, bytes: &[u8]) -> Option<Self> {
        (bytes.len() == algo.bytes()).then(|| Digest { algo, bytes: bytes.into() })
    }

    /// Reads hexadecimal digits of either case; `None` when they are not a digest of `algo`.
    pub fn from_hex(algo: HashAlgo, text: &str) -> Option<Self> {
        let digits = text.as_bytes();
        if digits.len() != algo.bytes() * 2 {
            return None;
        }
        let nibble = |digit: u8| char::from(digit).to_digit(16).map(|value| value as u8);
        let bytes: Option<Box<[u8]>> =
            digits.chunks(2).map(|pair| Some(nibble(pair[0])? << 4 | nibble(pair[1])?)).collect();
        bytes.map(|bytes| Digest { algo, bytes })
    }

    /// Which digest it is.
    pub fn algo(&self) -> HashAlgo {
        self.algo
    }

    /// Its bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }
}

/// Lower-case hexadecimal digits.
impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{self}", self.algo)
    }
}

/// Digests of one content, at most one of each kind.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Hashes(Vec<Digest>);

impl Hashes {
    /// A set with one digest.
    pub fn of(digest: Digest) -> Self {
        Hashes(vec![digest])
    }

    /// Adds a digest, in place of an older one of the same kind.
    pub fn insert(&mut self, digest: Digest) {
        self.0.retain(|known| known.algo != digest.algo);
        self.0.push(digest);
    }

    /// The digest of one kind, if it is known.
    pub fn get(&self, algo: HashAlgo) -> Option<&Digest> {
        self.0.iter().find(|digest| digest.algo == algo)
    }

    /// The strongest digest.
    pub fn strongest(&self) -> Option<&Digest> {
        HashAlgo::BY_STRENGTH.into_iter().find_map(|algo| self.get(algo))
    }

    /// All digests.
    pub fn iter(&self) -> impl Iterator<Item = &Digest> {
        self.0.iter()
    }
}

/// How many bytes this process has hashed with each kind of digest, in the order of [`HashAlgo`].
static HASHED_BYTES: [AtomicU64; HashAlgo::BY_STRENGTH.len()] =
    [const { AtomicU64::new(0) }; HashAlgo::BY_STRENGTH.len()];

/// How many bytes this process has hashed with this kind of digest. Bytes that are hashed twice count twice.
pub fn hashed_bytes(algo: HashAlgo) -> u64 {
    HASHED_BYTES[algo as usize].load(Ordering::Relaxed)
}

/// Computes several digests in one pass.
#[derive(Debug, Default)]
pub struct MultiHasher(Vec<Hasher>);

enum Hasher {
    Blake3(Box<blake3::Hasher>),
    Sha256(sha2::Sha256),
    Whirlpool(Box<ketch_whirlpool::Whirlpool>),
    Sha1(sha1::Sha1),
    Md5(md5::Md5),
    Crc64Nvme(crc_fast::Digest),
    Crc32c(crc_fast::Digest),
}

/// A CRC as a digest: the bytes of its number, the highest first.
fn crc_digest(algo: HashAlgo, sum: u64) -> Digest {
    let bytes = sum.to_be_bytes();
    Digest { algo, bytes: bytes[bytes.len() - algo.bytes()..].into() }
}

impl Hasher {
    fn algo(&self) -> HashAlgo {
        match self {
            Hasher::Blake3(_) => HashAlgo::Blake3,
            Hasher::Sha256(_) => HashAlgo::Sha256,
            Hasher::Whirlpool(_) => HashAlgo::Whirlpool,
            Hasher::Sha1(_) => HashAlgo::Sha1,
            Hasher::Md5(_) => HashAlgo::Md5,
            Hasher::Crc64Nvme(_) => HashAlgo::Crc64Nvme,
            Hasher::Crc32c(_) => HashAlgo::Crc32c,
        }
    }
}

impl fmt::Debug for Hasher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hasher")
    }
}

impl MultiHasher {
    /// A hasher for each of `algos`, each once.
    pub fn new(algos: &[HashAlgo]) -> Self {
        let wanted = HashAlgo::BY_STRENGTH.into_iter().filter(|algo| algos.contains(algo));
        let hashers = wanted.map(|algo| match algo {
            HashAlgo::Blake3 => Hasher::Blake3(Box::default()),
            HashAlgo::Sha256 => Hasher::Sha256(sha2::Sha256::new()),
            HashAlgo::Whirlpool => Hasher::Whirlpool(Box::default()),
            HashAlgo::Sha1 => Hasher::Sha1(sha1::Sha1::new()),
            HashAlgo::Md5 => Hasher::Md5(md5::Md5::new()),
            HashAlgo::Crc64Nvme => {
                Hasher::Crc64Nvme(crc_fast::Digest::new(crc_fast::CrcAlgorithm::Crc64Nvme))
            }
            HashAlgo::Crc32c => {
                Hasher::Crc32c(crc_fast::Digest::new(crc_fast::CrcAlgorithm::Crc32Iscsi))
            }
        });
        MultiHasher(hashers.collect())
    }

    /// Adds the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        for hasher in &mut self.0 {
            HASHED_BYTES[hasher.algo() as usize].fetch_add(bytes.len() as u64, Ordering::Relaxed);
            match hasher {
                Hasher::Blake3(state) => {
                    state.update(bytes);
                }
                Hasher::Sha256(state) => state.update(bytes),
                Hasher::Whirlpool(state) => state.update(bytes),
                Hasher::Sha1(state) => state.update(bytes),
                Hasher::Md5(state) => state.update(bytes),
                Hasher::Crc64Nvme(state) | Hasher::Crc32c(state) => state.update(bytes),
            }
        }
    }

    /// The digests of all bytes so far.
    pub fn finish(self) -> Hashes {
        let digests = self.0.into_iter().map(|hasher| match hasher {
            Hasher::Blake3(state) => {
                Digest { algo: HashAlgo::Blake3, bytes: state.finalize().as_bytes()[..].into() }
            }
            Hasher::Sha256(state) => {
                Digest { algo: HashAlgo::Sha256, bytes: state.finalize()[..].into() }
            }
            Hasher::Whirlpool(state) => {
                Digest { algo: HashAlgo::Whirlpool, bytes: state.finish()[..].into() }
            }
            Hasher::Sha1(state) => {
                Digest { algo: HashAlgo::Sha1, bytes: state.finalize()[..].into() }
            }
            Hasher::Md5(state) => {
                Digest { algo: HashAlgo::Md5, bytes: state.finalize()[..].into() }
            }
            Hasher::Crc64Nvme(state) => crc_digest(HashAlgo::Crc64Nvme, state.finalize()),
            Hasher::Crc32c(state) => crc_digest(HashAlgo::Crc32c, state.finalize()),
        });
        Hashes(digests.collect())
    }
}

/// All digests of `bytes` at once.
pub fn hash_bytes(algos: &[HashAlgo], bytes: &[u8]) -> Hashes {
    let mut hasher = MultiHasher::new(algos);
    hasher.update(bytes);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Published vectors: RFC 1321, FIPS 180, the BLAKE3 paper, and section 9.4 of the 1fichier API reference.
    #[test]
    fn digests_agree_with_published_vectors() {
        let check = |algo: HashAlgo, input: &str, expected: &str| {
            let hashes = hash_bytes(&[algo], input.as_bytes());
            assert_eq!(hashes.get(algo).expect("computed").to_string(), expected);
        };
        check(HashAlgo::Md5, "abc", "900150983cd24fb0d6963f7d28e17f72");
        check(HashAlgo::Sha1, "abc", "a9993e364706816aba3e25717850c26c9cd0d89d");
        check(
            HashAlgo::Sha256,
            "abc",
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
        );
        check(
            HashAlgo::Blake3,
            "abc",
            "6437b3ac38465133ffb63b75273a8db548c558465d79db03fd359c6cd5bd9d85",
        );
        // The check values of the catalogue of CRCs.
        check(HashAlgo::Crc64Nvme, "123456789", "ae8b14860a799888");
        check(HashAlgo::Crc32c, "123456789", "e3069283");
        check(
            HashAlgo::Whirlpool,
            "",
            "19fa61d75522a4669b44e39c1d2e1726c530232130d407f89afee0964997f7a73e83be698b288febcf88e3e03c4f0757ea8964e59b63d93708b138cc42a66eb3",
        );
        check(
            HashAlgo::Whirlpool,
            "Hello world\n",
            "0a894ff039da399d5a72116b3665cd952abc8a9ffe37bfae4eae4d5381c5102b237c27e88b03f71c516e08ffa1cc9de9eac55d7d3abd38ea56220018f006a2c5",
        );
    }

    #[test]
    fn one_pass_gives_the_same_as_one_pass_each() {
        let all = hash_bytes(&HashAlgo::BY_STRENGTH, b"some content");
        for algo in HashAlgo::BY_STRENGTH {
            assert_eq!(all.get(algo), hash_bytes(&[algo], b"some content").get(algo));
        }
    }

    #[test]
    fn hexadecimal_digits_of_either_case_are_read_and_others_refused() {
        let digest = Digest::from_hex(HashAlgo::Md5, "900150983CD24FB0D6963F7D28E17F72");
        assert_eq!(digest.expect("legal").to_string(), "900150983cd24fb0d6963f7d28e17f72");
        assert!(Digest::from_hex(HashAlgo::Md5, "900150983cd24fb0d6963f7d28e17f7").is_none());
        assert!(Digest::from_hex(HashAlgo::Md5, "z00150983cd24fb0d6963f7d28e17f72").is_none());
        assert!(Digest::from_hex(HashAlgo::Md5, "é00150983cd24fb0d6963f7d28e17f7").is_none());
    }
}
