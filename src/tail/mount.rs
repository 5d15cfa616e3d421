//! Detects a log file that is a mount point itself.

use std::path::Path;

/// Returns whether this path itself is a mount point, as when a single file is mounted into a container. A container never sees
/// a rename of such a file: its folder must be mounted instead. Returns `false` where mounts can't be read.
pub fn is_mount_point(path: &Path) -> bool {
    let Ok(path) = std::fs::canonicalize(path) else { return false };
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    is_among(&mounts, &path.to_string_lossy())
}

/// The fifth field of each line is a mount point, with blanks escaped as octal numbers.
fn is_among(mounts: &str, path: &str) -> bool {
    let escaped = path.replace('\\', r"\134").replace(' ', r"\040").replace('\t', r"\011").replace('\n', r"\012");
    mounts.lines().any(|line| line.split(' ').nth(4) == Some(&escaped))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mounted_file_differs_from_one_in_a_mounted_folder() {
        let mounts = "36 35 98:0 /mnt1 /var/log/hub rw,noatime master:1 - ext3 /dev/root rw\n\
                      37 35 98:0 /mnt1 /logs/my\\040hub.log rw - ext3 /dev/root rw\n";
        assert!(is_among(mounts, "/logs/my hub.log"));
        assert!(!is_among(mounts, "/var/log/hub/mcp-hub.log"));
        assert!(is_mount_point(Path::new("/proc")));
        assert!(!is_mount_point(Path::new("/nowhere/at/all")));
    }
}
