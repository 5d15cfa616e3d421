//! Lists child processes from a few files (Linux): reading the whole process table at each poll would cost more than the rest of an
//! idle watch.

/// Returns the children of a process from the kernel's lists, one for each thread; `None` if the kernel has no such lists.
pub(super) fn children_of(pid: u32) -> Option<Vec<u32>> {
    let mut children = Vec::new();
    for task in std::fs::read_dir(format!("/proc/{pid}/task")).ok()? {
        let Ok(task) = task else { continue };
        match std::fs::read_to_string(task.path().join("children")) {
            Ok(listed) => children.extend(listed.split_whitespace().filter_map(|pid| pid.parse::<u32>().ok())),
            // A thread that has just ended has no folder; on a kernel without the lists, the folder has no `children` file.
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
        // Kernels without the lists return `None`.
        assert!(children.is_none_or(|children| children.contains(&child.id())));
    }
}
