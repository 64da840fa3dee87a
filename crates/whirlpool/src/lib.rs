//! Whirlpool (ISO/IEC 10118-3:2004), in plain Rust and as fast as tables allow. Knows nothing of files and transfers.
//!
//! It is the digest of 1fichier and the cost of every large transfer with it: a block needs the one before it, so one file
//! keeps one core busy and no more. It is a crate of its own so that debug builds can optimise it. All its numbers are made
//! by the compiler from the two small boxes, the polynomial and the row of the standard; the tests compare it with the
//! vectors of the standard and with the `whirlpool` crate, which the emulator uses.

/// Bytes of a digest.
pub const DIGEST_BYTES: usize = 64;

const BLOCK_BYTES: usize = 64;
/// Bytes of the length, in bits, at the end of the last block.
const LENGTH_BYTES: usize = 32;
const ROUNDS: usize = 10;
/// The first row of the circulant matrix that mixes the bytes of a row.
const MIX: [u8; 8] = [1, 1, 4, 1, 8, 5, 2, 9];
/// x^8 + x^4 + x^3 + x^2 + 1.
const POLYNOMIAL: u16 = 0x11d;
/// The small box E; the other side of the substitution uses its inverse.
const BOX_E: [u8; 16] = [1, 11, 9, 12, 13, 6, 15, 3, 14, 8, 7, 4, 10, 2, 5, 0];
/// The small box R.
const BOX_R: [u8; 16] = [7, 12, 11, 13, 14, 4, 9, 15, 6, 3, 8, 10, 2, 5, 1, 0];

/// The substitution of a byte: two halves through the small boxes.
const SUBSTITUTE: [u8; 256] = {
    let mut inverse = [0; 16];
    let mut at = 0;
    while at < 16 {
        inverse[BOX_E[at] as usize] = at as u8;
        at += 1;
    }
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let high = BOX_E[byte >> 4];
        let low = inverse[byte & 15];
        let middle = BOX_R[(high ^ low) as usize];
        table[byte] = BOX_E[(high ^ middle) as usize] << 4 | inverse[(low ^ middle) as usize];
        byte += 1;
    }
    table
};

/// Substitution and mixing of one byte at each of the eight places of a row.
static TABLES: [[u64; 256]; 8] = {
    let mut tables = [[0; 256]; 8];
    let mut byte = 0;
    while byte < 256 {
        let mut row = [0; 8];
        let mut place = 0;
        while place < 8 {
            row[place] = product(SUBSTITUTE[byte], MIX[place]);
            place += 1;
        }
        let row = u64::from_le_bytes(row);
        let mut place = 0;
        while place < 8 {
            tables[place][byte] = row.rotate_left(8 * place as u32);
            place += 1;
        }
        byte += 1;
    }
    tables
};

const ROUND_KEYS: [u64; ROUNDS] = {
    let mut keys = [0; ROUNDS];
    let mut round = 0;
    while round < ROUNDS {
        let mut place = 0;
        while place < 8 {
            keys[round] |= (SUBSTITUTE[8 * round + place] as u64) << (8 * place);
            place += 1;
        }
        round += 1;
    }
    keys
};

/// The product of two bytes in the field of the standard.
const fn product(left: u8, right: u8) -> u8 {
    let (mut left, mut right, mut sum) = (left as u16, right, 0);
    while right != 0 {
        if right & 1 == 1 {
            sum ^= left;
        }
        left <<= 1;
        if left & 0x100 != 0 {
            left ^= POLYNOMIAL;
        }
        right >>= 1;
    }
    sum as u8
}

/// A digest on its way.
#[derive(Clone)]
pub struct Whirlpool {
    state: [u64; 8],
    /// What does not fill a block yet.
    rest: [u8; BLOCK_BYTES],
    rest_bytes: usize,
    all_bytes: u128,
}

impl Default for Whirlpool {
    fn default() -> Self {
        Whirlpool { state: [0; 8], rest: [0; BLOCK_BYTES], rest_bytes: 0, all_bytes: 0 }
    }
}

impl std::fmt::Debug for Whirlpool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Whirlpool").field("all_bytes", &self.all_bytes).finish_non_exhaustive()
    }
}

impl Whirlpool {
    /// Of nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds the next bytes.
    pub fn update(&mut self, mut bytes: &[u8]) {
        self.all_bytes += bytes.len() as u128;
        if self.rest_bytes > 0 {
            let room = (BLOCK_BYTES - self.rest_bytes).min(bytes.len());
            let (first, others) = bytes.split_at(room);
            self.rest[self.rest_bytes..self.rest_bytes + room].copy_from_slice(first);
            self.rest_bytes += room;
            bytes = others;
            if self.rest_bytes < BLOCK_BYTES {
                return;
            }
            compress(&mut self.state, &self.rest);
            self.rest_bytes = 0;
        }
        let (blocks, rest) = bytes.as_chunks::<BLOCK_BYTES>();
        for block in blocks {
            compress(&mut self.state, block);
        }
        self.rest[..rest.len()].copy_from_slice(rest);
        self.rest_bytes = rest.len();
    }

    /// The digest of all bytes so far.
    pub fn finish(mut self) -> [u8; DIGEST_BYTES] {
        self.rest[self.rest_bytes] = 0x80;
        self.rest[self.rest_bytes + 1..].fill(0);
        if self.rest_bytes + 1 > BLOCK_BYTES - LENGTH_BYTES {
            compress(&mut self.state, &self.rest);
            self.rest = [0; BLOCK_BYTES];
        }
        // The length has 256 bits, of which the first half stays zero for anything that fits a machine.
        let bits = (self.all_bytes * 8).to_be_bytes();
        self.rest[BLOCK_BYTES - bits.len()..].copy_from_slice(&bits);
        compress(&mut self.state, &self.rest);
        let mut digest = [0; DIGEST_BYTES];
        for (row, word) in digest.as_chunks_mut::<8>().0.iter_mut().zip(self.state) {
            *row = word.to_le_bytes();
        }
        digest
    }
}

/// Takes in one block: the cipher under the old state as its key, whose own rounds go along.
fn compress(state: &mut [u64; 8], block: &[u8; BLOCK_BYTES]) {
    let rows = block.as_chunks::<8>().0;
    let message: [u64; 8] = std::array::from_fn(|row| u64::from_le_bytes(rows[row]));
    let mut key = *state;
    let mut text: [u64; 8] = std::array::from_fn(|row| message[row] ^ key[row]);
    for constant in ROUND_KEYS {
        key = round(key, [constant, 0, 0, 0, 0, 0, 0, 0]);
        text = round(text, key);
    }
    for row in 0..8 {
        state[row] ^= text[row] ^ message[row];
    }
}

/// Substitution, shift of the columns and mixing of the rows as eight look-ups a row, and the addition of a key.
// Written out, and not as loops or closures: the compiler schedules those worse, by a fifth of the time.
#[inline(always)]
fn round(rows: [u64; 8], key: [u64; 8]) -> [u64; 8] {
    macro_rules! mixed {
        ($row:expr) => {
            key[$row]
                ^ TABLES[0][rows[$row] as u8 as usize]
                ^ TABLES[1][(rows[($row + 7) % 8] >> 8) as u8 as usize]
                ^ TABLES[2][(rows[($row + 6) % 8] >> 16) as u8 as usize]
                ^ TABLES[3][(rows[($row + 5) % 8] >> 24) as u8 as usize]
                ^ TABLES[4][(rows[($row + 4) % 8] >> 32) as u8 as usize]
                ^ TABLES[5][(rows[($row + 3) % 8] >> 40) as u8 as usize]
                ^ TABLES[6][(rows[($row + 2) % 8] >> 48) as u8 as usize]
                ^ TABLES[7][(rows[($row + 1) % 8] >> 56) as usize]
        };
    }
    [mixed!(0), mixed!(1), mixed!(2), mixed!(3), mixed!(4), mixed!(5), mixed!(6), mixed!(7)]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use whirlpool::Digest as _;

    use super::*;

    fn digest(pieces: &[&[u8]]) -> String {
        let mut hasher = Whirlpool::new();
        pieces.iter().for_each(|piece| hasher.update(piece));
        hasher.finish().iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// The vectors of the standard's own test set.
    #[test]
    fn digests_agree_with_the_vectors_of_the_standard() {
        let check = |input: &[u8], expected: &str| {
            assert_eq!(digest(&[input]), expected.replace(' ', ""), "of {} bytes", input.len());
        };
        check(
            b"",
            "19fa61d75522a4669b44e39c1d2e1726c530232130d407f89afee0964997f7a7 \
             3e83be698b288febcf88e3e03c4f0757ea8964e59b63d93708b138cc42a66eb3",
        );
        check(
            b"abc",
            "4e2448a4c6f486bb16b6562c73b4020bf3043e3a731bce721ae1b303d97e6d4c \
             7181eebdb6c57e277d0e34957114cbd6c797fc9d95d8b582d225292076d4eef5",
        );
        check(
            &[b'a'; 1_000_000],
            "0c99005beb57eff50a7cf005560ddf5d29057fd86b20bfd62deca0f1ccea4af5 \
             1fc15490eddc47af32bb2b66c34ff9ad8c6008ad677f77126953b226e4ed8b01",
        );
    }

    #[test]
    fn every_length_around_the_blocks_has_the_digest_of_the_other_implementation() {
        let bytes: Vec<u8> = (0..300_u32).map(|number| (number * 7) as u8).collect();
        for length in 0..bytes.len() {
            let expected = whirlpool::Whirlpool::digest(&bytes[..length]);
            let mut hasher = Whirlpool::new();
            hasher.update(&bytes[..length]);
            assert_eq!(hasher.finish()[..], expected[..], "of {length} bytes");
        }
    }

    proptest! {
        #[test]
        fn pieces_of_any_length_have_the_digest_of_the_whole(
            pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 0..12)
        ) {
            let slices: Vec<&[u8]> = pieces.iter().map(Vec::as_slice).collect();
            let expected = whirlpool::Whirlpool::digest(pieces.concat());
            let shown: String = expected.iter().map(|byte| format!("{byte:02x}")).collect();
            prop_assert_eq!(digest(&slices), shown);
        }
    }
}
