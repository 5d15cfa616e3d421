//! Files that are replaced as a whole: whoever reads one finds the old or the new one, never half of one.

use std::io::Write as _;
use std::path::Path;

use serde::Serialize;

/// Writes a file of JSON, and its folder where there is none.
pub fn write_json(path: &Path, what: &impl Serialize) -> std::io::Result<()> {
    let mut json = serde_json::to_vec_pretty(what)?;
    json.push(b'\n');
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let new = path.with_file_name(name);
    let mut file = std::fs::File::create(&new)?;
    file.write_all(&json)?;
    file.sync_all()?;
    std::fs::rename(&new, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_and_nothing_is_left_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/file.json");
        write_json(&path, &[1, 2, 3]).unwrap();
        write_json(&path, &"new").unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "\"new\"\n");
        assert_eq!(std::fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
    }
}
