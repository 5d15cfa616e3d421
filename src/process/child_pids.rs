//! Who belongs to whom, by the few files that tell it (Linux): walking the process table at each poll would cost more than all the rest
//! of an idle watch.

/// The children of a process as the kernel lists them, each under the thread that started it; `None` where it keeps no such lists.
pub(super) fn children_of(pid: u32) -> Option<Vec<u32>> {
    let mut children = Vec::new();
    for task in std::fs::read_dir(format!("/proc/{pid}/task")).ok()? {
        let Ok(task) = task else { continue };
        match std::fs::read_to_string(task.path().join("children")) {
            Ok(listed) => children.extend(listed.split_whitespace().filter_map(|pid| pid.parse::<u32>().ok())),
            // A thread that has just ended has none; a kernel without the lists has the folder, but not the file.
            Err(_) if task.path().exists() => return None,
            Err(_) => {}
        }
    }
    Some(children)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_os = "linux")]
    #[test]
    fn a_child_is_listed_under_its_parent() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let children = children_of(std::process::id());
        child.kill().unwrap();
        child.wait().unwrap();
        // Only kernels with the lists show it.
        assert!(children.is_none_or(|children| children.contains(&child.id())));
    }
}
