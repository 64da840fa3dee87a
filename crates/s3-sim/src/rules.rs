//! What the emulator can, and the only key that it accepts.

/// The id of the only key.
pub const KEY: &str = "SIMKEY";
/// The secret of the only key.
pub const SECRET: &str = "SIMSECRET";

/// What the emulator can and what it cannot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// It computes and compares CRC-64/NVME. Else it ignores what it is told of it, as older services do.
    pub crc64: bool,
    /// The most keys that one answer lists.
    pub page: usize,
}

impl Default for Rules {
    fn default() -> Rules {
        Rules { crc64: true, page: 1000 }
    }
}
