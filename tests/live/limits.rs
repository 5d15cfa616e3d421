//! Control groups with limits, as container runtimes set them: version 2 where the machine has it, else version 1.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// One period of a processor's quota, in microseconds: what runtimes take.
const PERIOD_US: u64 = 100_000;

/// A group's folders, one for each controller that has a hierarchy of its own; removed when dropped.
pub(crate) struct Limits {
    folders: Vec<PathBuf>,
    unified: bool,
}

impl Limits {
    /// Makes a group of these limits; `None` where this machine lets nobody.
    pub(crate) fn new(name: &str, memory: u64, cpus: Option<f64>) -> Option<Self> {
        let name = format!("hubwatch-live-{}-{name}", std::process::id());
        let root = Path::new("/sys/fs/cgroup");
        let unified = root.join("cgroup.controllers").exists();
        let limits = if unified { Self::unified(&root.join(name), memory, cpus) } else { Self::apart(root, &name, memory, cpus) };
        limits.ok()
    }

    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a small positive number")]
    fn quota(cpus: f64) -> u64 {
        (cpus * PERIOD_US as f64) as u64
    }

    fn unified(folder: &Path, memory: u64, cpus: Option<f64>) -> io::Result<Self> {
        // An error means that the controllers are there already, or shows at the next line.
        let _ = fs::write(folder.with_file_name("cgroup.subtree_control"), "+memory +cpu");
        fs::create_dir(folder)?;
        let limits = Self { folders: vec![folder.to_owned()], unified: true };
        fs::write(folder.join("memory.max"), memory.to_string())?;
        if let Some(cpus) = cpus {
            fs::write(folder.join("cpu.max"), format!("{} {PERIOD_US}", Self::quota(cpus)))?;
        }
        Ok(limits)
    }

    fn apart(root: &Path, name: &str, memory: u64, cpus: Option<f64>) -> io::Result<Self> {
        let mut limits = Self { folders: Vec::new(), unified: false };
        for controller in ["memory", "cpu"] {
            let folder = root.join(controller).join(name);
            fs::create_dir(&folder)?;
            limits.folders.push(folder);
        }
        fs::write(limits.folders[0].join("memory.limit_in_bytes"), memory.to_string())?;
        if let Some(cpus) = cpus {
            fs::write(limits.folders[1].join("cpu.cfs_period_us"), PERIOD_US.to_string())?;
            fs::write(limits.folders[1].join("cpu.cfs_quota_us"), Self::quota(cpus).to_string())?;
        }
        Ok(limits)
    }

    /// What a shell says to join it.
    pub(crate) fn join(&self) -> String {
        self.folders.iter().map(|folder| format!("echo $$ > {}/cgroup.procs\n", folder.display())).collect()
    }

    fn text(&self, of: usize, name: &str) -> String {
        fs::read_to_string(self.folders[of.min(self.folders.len() - 1)].join(name)).unwrap_or_default()
    }

    fn value(text: &str, key: &str) -> u64 {
        text.lines().find_map(|line| line.strip_prefix(key)?.trim().parse().ok()).unwrap_or(0)
    }

    /// How many processes were killed since there was no memory left.
    pub(crate) fn killed(&self) -> u64 {
        let file = if self.unified { "memory.events" } else { "memory.oom_control" };
        Self::value(&self.text(0, file), "oom_kill ")
    }

    /// What was used, for people. The peak counts pages of files that nobody else had read before, too: the kernel takes them back
    /// where it needs them.
    pub(crate) fn used(&self) -> String {
        let (peak, pressed) = if self.unified {
            (self.text(0, "memory.peak"), Self::value(&self.text(0, "memory.events"), "max "))
        } else {
            (self.text(0, "memory.max_usage_in_bytes"), self.text(0, "memory.failcnt").trim().parse().unwrap_or(0))
        };
        let peak: u64 = peak.trim().parse().unwrap_or(0);
        let cpu = self.text(1, "cpu.stat");
        let throttled = (Self::value(&cpu, "nr_throttled "), Self::value(&cpu, "nr_periods "));
        format!(
            "peak {:.1} MiB with file pages, limit met {pressed} times, {} of {} periods throttled",
            peak as f64 / f64::from(1 << 20),
            throttled.0,
            throttled.1
        )
    }
}

impl Drop for Limits {
    fn drop(&mut self) {
        for folder in &self.folders {
            // Whatever is still in it is about to end; an empty group that stays does no harm.
            let _ = fs::remove_dir(folder);
        }
    }
}
