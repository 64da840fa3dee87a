//! Compression of manifests: written when the name asks for it, read by what the first bytes say.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::Path;

use flate2::read::MultiGzDecoder;
use flate2::write::GzEncoder;

/// How much of what went before a zstd decoder keeps: more than any ordinary level needs, and a bound for hostile files.
const WINDOW_LOG: u32 = 25;
/// zstd's own default.
const ZSTD_LEVEL: i32 = 3;

const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];
const ZSTD_MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// A file that is being written, compressed or not.
pub enum Compressor<W: Write> {
    /// As it is.
    Plain(W),
    /// gzip.
    Gzip(GzEncoder<W>),
    /// zstd.
    Zstd(zstd::Encoder<'static, W>),
}

impl<W: Write> std::fmt::Debug for Compressor<W> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Compressor::Plain(_) => "Plain",
            Compressor::Gzip(_) => "Gzip",
            Compressor::Zstd(_) => "Zstd",
        })
    }
}

impl<W: Write> Compressor<W> {
    /// Compresses as the name asks for: `.gz`, `.zst`, or not at all.
    pub fn by_name(name: &Path, writer: W) -> io::Result<Self> {
        let extension = name.extension().and_then(|extension| extension.to_str());
        Ok(match extension.map(str::to_ascii_lowercase).as_deref() {
            Some("gz") => Compressor::Gzip(GzEncoder::new(writer, flate2::Compression::default())),
            Some("zst" | "zstd") => {
                let mut encoder = zstd::Encoder::new(writer, ZSTD_LEVEL)?;
                encoder.include_checksum(true)?;
                Compressor::Zstd(encoder)
            }
            _ => Compressor::Plain(writer),
        })
    }

    /// Writes the end and gives back what is written to.
    pub fn finish(self) -> io::Result<W> {
        match self {
            Compressor::Plain(mut writer) => writer.flush().map(|()| writer),
            Compressor::Gzip(encoder) => encoder.finish(),
            Compressor::Zstd(encoder) => encoder.finish(),
        }
    }
}

impl<W: Write> Write for Compressor<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Compressor::Plain(writer) => writer.write(bytes),
            Compressor::Gzip(encoder) => encoder.write(bytes),
            Compressor::Zstd(encoder) => encoder.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Compressor::Plain(writer) => writer.flush(),
            Compressor::Gzip(encoder) => encoder.flush(),
            Compressor::Zstd(encoder) => encoder.flush(),
        }
    }
}

/// The content of a file that may be compressed.
pub fn decompress<'a>(reader: impl Read + Send + 'a) -> io::Result<Box<dyn BufRead + Send + 'a>> {
    let mut reader = BufReader::new(reader);
    let first = peek(&mut reader)?;
    if first.starts_with(&GZIP_MAGIC) {
        return Ok(Box::new(BufReader::new(MultiGzDecoder::new(reader))));
    }
    if first.starts_with(&ZSTD_MAGIC) {
        let mut decoder = zstd::Decoder::with_buffer(reader)?;
        decoder.window_log_max(WINDOW_LOG)?;
        return Ok(Box::new(BufReader::new(decoder)));
    }
    Ok(Box::new(reader))
}

/// The first bytes. A file gives at least four at once, if it has them; what gives fewer is not compressed.
fn peek(reader: &mut impl BufRead) -> io::Result<Vec<u8>> {
    Ok(reader.fill_buf()?.iter().copied().take(ZSTD_MAGIC.len()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_compressed_is_read_whatever_it_is_called() {
        let content = "a line\n".repeat(1000);
        for name in ["m", "m.gz", "m.zst", "m.ZST", "gz"] {
            let mut writer = Compressor::by_name(Path::new(name), Vec::new()).expect("made");
            writer.write_all(content.as_bytes()).expect("written");
            let bytes = writer.finish().expect("finished");
            let is_small = bytes.len() < content.len() / 10;
            assert_eq!(is_small, name.contains('.'), "{name}: {} bytes", bytes.len());
            let mut read = String::new();
            decompress(&bytes[..]).expect("begun").read_to_string(&mut read).expect("read");
            assert!(read == content, "{name}");
            if is_small {
                let cut = &bytes[..bytes.len() - 1];
                let read = decompress(cut).and_then(|mut reader| reader.read_to_string(&mut read));
                assert!(read.is_err(), "{name} without its last byte");
            }
        }
    }
}
