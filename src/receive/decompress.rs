//! Decompresses bodies, and stops at the limit.

use std::io::Read;

use prost::bytes::Bytes;

use super::limits::{MAX_REQUEST_BYTES, ZSTD_WINDOW_LOG};
use super::refused::Refused;

/// The compression of a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Compression {
    None,
    Gzip,
    Zstd,
}

impl Compression {
    /// Returns the compression that a header names; `None` if it is not supported.
    pub(super) fn of(name: &str) -> Option<Self> {
        match name.trim() {
            "" | "identity" => Some(Self::None),
            "gzip" | "x-gzip" => Some(Self::Gzip),
            "zstd" => Some(Self::Zstd),
            _ => None,
        }
    }
}

/// Decompresses a body of at most [`MAX_REQUEST_BYTES`].
pub(super) fn decompress(body: Bytes, compression: Compression) -> Result<Bytes, Refused> {
    match compression {
        Compression::None => Ok(body),
        Compression::Gzip => read(flate2::read::MultiGzDecoder::new(&*body), "gzip"),
        Compression::Zstd => {
            let mut decoder = zstd::stream::read::Decoder::with_buffer(&*body).map_err(|error| damaged("zstd", &error))?;
            decoder.window_log_max(ZSTD_WINDOW_LOG).map_err(|error| damaged("zstd", &error))?;
            read(decoder, "zstd")
        }
    }
}

fn read(from: impl Read, name: &str) -> Result<Bytes, Refused> {
    let mut plain = Vec::new();
    from.take(MAX_REQUEST_BYTES as u64 + 1).read_to_end(&mut plain).map_err(|error| damaged(name, &error))?;
    if plain.len() > MAX_REQUEST_BYTES { Err(Refused::too_large()) } else { Ok(plain.into()) }
}

fn damaged(name: &str, error: &std::io::Error) -> Refused {
    Refused::malformed(format!("the body is not valid {name}: {error}"))
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;
    use crate::watch::Refusal;

    fn gzip(plain: &[u8]) -> Bytes {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(plain).unwrap();
        encoder.finish().unwrap().into()
    }

    #[test]
    fn compressed_bodies_are_restored() {
        let plain = b"spans ".repeat(1_000);
        assert_eq!(decompress(gzip(&plain), Compression::Gzip).unwrap(), plain);
        let zstd = zstd::bulk::compress(&plain, 3).unwrap();
        assert_eq!(decompress(zstd.into(), Compression::Zstd).unwrap(), plain);
    }

    #[test]
    fn a_small_body_that_decompresses_beyond_the_limit_is_refused() {
        let bomb = vec![0; 10 * MAX_REQUEST_BYTES];
        for (body, compression) in
            [(gzip(&bomb), Compression::Gzip), (zstd::bulk::compress(&bomb, 1).unwrap().into(), Compression::Zstd)]
        {
            assert!(body.len() < MAX_REQUEST_BYTES / 10);
            assert_eq!(decompress(body, compression).unwrap_err().reason, Refusal::TooLarge);
        }
    }

    #[test]
    fn a_damaged_body_is_malformed() {
        let mut cut = gzip(b"spans").to_vec();
        cut.truncate(12);
        assert_eq!(decompress(cut.into(), Compression::Gzip).unwrap_err().reason, Refusal::Malformed);
    }
}
