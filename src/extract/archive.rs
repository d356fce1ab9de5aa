//! Archives: the zip files that office formats and books are, read within limits.

use std::io::{Cursor, Read};

use zip::ZipArchive;

use super::Skip;

/// An opened archive that unpacks only so much.
pub(super) struct Archive<'a> {
    zip: ZipArchive<Cursor<&'a [u8]>>,
    left: u64,
}

/// First bytes of an OLE container: old office formats, and encrypted new ones.
pub(super) const OLE: &[u8] = &[0xd0, 0xcf, 0x11, 0xe0, 0xa1, 0xb1, 0x1a, 0xe1];

const BOMB: &str = "it unpacks to far more than it should: a zip bomb";

impl<'a> Archive<'a> {
    /// Opens an archive of which at most `limit` bytes will be unpacked.
    ///
    /// # Errors
    /// [`Skip`] for what is no archive, or an encrypted one.
    pub(super) fn open(bytes: &'a [u8], limit: u64) -> Result<Self, Skip> {
        if bytes.starts_with(OLE) {
            return Err(Skip(
                "encrypted, or of an old office format: it cannot be read".into(),
            ));
        }
        let zip = ZipArchive::new(Cursor::new(bytes))
            .map_err(|error| Skip(format!("broken: it is no zip archive ({error})")))?;
        Ok(Self { zip, left: limit })
    }

    /// Names of all entries.
    pub(super) fn names(&self) -> Vec<String> {
        let names = self.zip.file_names().flatten();
        names.map(|name| name.into_owned()).collect()
    }

    /// Refuses an archive that says of itself that it unpacks to more than the limit; for readers
    /// that unpack by themselves. One that lies is stopped by the worker's memory limit.
    ///
    /// # Errors
    /// [`Skip`].
    pub(super) fn check_size(&mut self) -> Result<(), Skip> {
        let size = self.zip.decompressed_size().unwrap_or(u128::MAX);
        if size > u128::from(self.left) {
            return Err(Skip(BOMB.into()));
        }
        Ok(())
    }

    /// One entry, or `None` where there is none of this name.
    ///
    /// # Errors
    /// [`Skip`] for encrypted and broken entries, and once the limit is reached.
    pub(super) fn read(&mut self, name: &str) -> Result<Option<Vec<u8>>, Skip> {
        let entry = match self.zip.by_name(name) {
            Ok(entry) => entry,
            Err(zip::result::ZipError::FileNotFound) => return Ok(None),
            Err(zip::result::ZipError::UnsupportedArchive(reason))
                if reason == zip::result::ZipError::PASSWORD_REQUIRED =>
            {
                return Err(Skip::encrypted());
            }
            Err(error) => {
                return Err(Skip(format!(
                    "broken: {name} in it cannot be read ({error})"
                )));
            }
        };
        let mut bytes = Vec::new();
        entry
            .take(self.left + 1)
            .read_to_end(&mut bytes)
            .map_err(|error| Skip(format!("broken: {name} in it cannot be unpacked ({error})")))?;
        let length = bytes.len() as u64;
        if length > self.left {
            self.left = 0;
            return Err(Skip(BOMB.into()));
        }
        self.left -= length;
        Ok(Some(bytes))
    }

    /// The text of one entry.
    ///
    /// # Errors
    /// As [`Archive::read`], and for what is not text.
    pub(super) fn text(&mut self, name: &str) -> Result<Option<String>, Skip> {
        self.read(name)?
            .map(|bytes| super::text::decode(&bytes))
            .transpose()
    }
}

/// `target` as written in the file `from`: relative to its folder, `..` resolved.
pub(super) fn resolve(from: &str, target: &str) -> String {
    let mut parts: Vec<&str> = match target.strip_prefix('/') {
        Some(_) => Vec::new(),
        None => from
            .rsplit_once('/')
            .map_or(Vec::new(), |(folder, _)| folder.split('/').collect()),
    };
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    parts.join("/")
}
