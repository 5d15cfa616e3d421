//! The image: really built by buildah from docker/Dockerfile, with the program under test in the place of its first stage, and really
//! run beside a real hub and a real Jaeger. Needs root, as `tests/live/run` says where it is missing.

use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::hub::{Hub, free_port, signal};
use crate::limits::Limits;
use crate::servers::{Jaeger, configuration, get};
use crate::sidecar::binary;
use crate::sound::sound;
use crate::wait::until;

/// The image's limit: 20 MB.
const MAX_IMAGE_BYTES: u64 = 20_000_000;

/// A container runtime kills after this long.
const GRACE: Duration = Duration::from_secs(10);

/// The user that the image names.
const USER: u32 = 65_532;

const MIB: u64 = 1 << 20;

/// An image in a storage of its own, and a working container of it; gone when dropped.
struct Image {
    program: PathBuf,
    folder: tempfile::TempDir,
}

impl Image {
    /// Builds it; `None` where buildah can't be had, which `tests/live/run` has told.
    fn build() -> Option<Self> {
        let program = PathBuf::from(std::env::var_os("HUBWATCH_LIVE_BUILDAH").filter(|path| !path.is_empty())?);
        let image = Self { program, folder: tempfile::tempdir().unwrap() };
        let first_stage = image.folder.path().join("stage");
        let out = first_stage.join("out");
        std::fs::create_dir_all(out.join("state")).unwrap();
        std::fs::copy(binary(), out.join("hubwatch")).unwrap();
        std::fs::copy("/etc/ssl/certs/ca-certificates.crt", out.join("ca-certificates.crt")).unwrap();
        let context = image.folder.path().join("context");
        std::fs::create_dir(&context).unwrap();
        let mut build = image.buildah(&["bud", "--format", "docker", "--isolation", "chroot", "--tag", "hubwatch:live", "--file"]);
        build.arg(configuration("docker/Dockerfile")).arg("--build-context");
        done(build.arg(format!("build={}", first_stage.display())).arg(context));
        done(&mut image.buildah(&["from", "--name", "live", "hubwatch:live"]));
        Some(image)
    }

    fn buildah(&self, args: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.args(["--storage-driver", "vfs", "--root"]).arg(self.folder.path().join("storage"));
        command.arg("--runroot").arg(self.folder.path().join("run")).args(args);
        command
    }

    /// What the image says of itself, in Docker's form.
    fn configuration(&self) -> Value {
        let told = done(&mut self.buildah(&["inspect", "--type", "image", "hubwatch:live"]));
        serde_json::from_slice::<Value>(&told.stdout).unwrap()["Docker"].clone()
    }

    fn size(&self) -> u64 {
        let told = done(&mut self.buildah(&["images", "--json", "hubwatch:live"]));
        let listed: Value = serde_json::from_slice(&told.stdout).unwrap();
        bytes(listed[0]["size"].as_str().unwrap())
    }

    /// In buildah's own container: as the image's user; with the host's network and processes, as with shared namespaces.
    fn run(&self, options: &[String], words: &[&str]) -> Command {
        let mut command = self.buildah(&["run", "--isolation", "chroot"]);
        command.args(options).args(["live", "--", "/hubwatch"]).args(words);
        command
    }

    /// Its root file system, with the folders that a runtime makes for its mounts.
    fn root(&self) -> PathBuf {
        let told = done(&mut self.buildah(&["mount", "live"]));
        let root = PathBuf::from(String::from_utf8(told.stdout).unwrap().trim());
        for folder in ["proc", "hub", "etc/hubwatch"] {
            std::fs::create_dir_all(root.join(folder)).unwrap();
        }
        root
    }
}

/// `16.2 MB`, as buildah writes it.
fn bytes(text: &str) -> u64 {
    let (number, unit) = text.split_once(' ').unwrap();
    let unit = match unit {
        "KB" => 1e3,
        "MB" => 1e6,
        "GB" => 1e9,
        other => panic!("{other}"),
    };
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a size with one digit behind the point")]
    let bytes = (number.parse::<f64>().unwrap() * unit) as u64;
    bytes
}

fn done(command: &mut Command) -> Output {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}{}", text(&output.stdout), text(&output.stderr));
    output
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A container that runs; ended when dropped.
struct Running {
    process: Child,
}

impl Running {
    /// The program in it: below whoever started it.
    async fn program(&self) -> u32 {
        until("the program runs", async || named("hubwatch", self.process.id())).await
    }

    /// Asks it to stop as a runtime does; says how long it took.
    async fn stop(&mut self) -> Duration {
        let asked = Instant::now();
        signal("-TERM", self.program().await);
        let ended = until("it ends", async || self.process.try_wait().unwrap()).await;
        assert_eq!(ended.code(), Some(0));
        asked.elapsed()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(program) = named("hubwatch", self.process.id()) {
            let _ = Command::new("kill").args(["-KILL", &program.to_string()]).status();
        }
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The process of this name below another.
fn named(name: &str, below: u32) -> Option<u32> {
    let tasks = std::fs::read_dir(format!("/proc/{below}/task")).ok()?;
    let children = tasks.filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("children")).ok());
    let children: Vec<u32> =
        children.flat_map(|list| list.split_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<_>>()).collect();
    let is = |pid: &u32| std::fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|comm| comm.trim() == name);
    children.iter().copied().find(is).or_else(|| children.into_iter().find_map(|child| named(name, child)))
}

fn status(pid: u32, key: &str) -> String {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    status.lines().find_map(|line| line.strip_prefix(key)).unwrap().trim().to_owned()
}

/// A volume that is the image's user's, as a runtime makes one of `/state`.
fn volume() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    chown(folder.path(), Some(USER), Some(USER)).unwrap();
    folder
}

fn logs(hub: &Hub) -> PathBuf {
    hub.log().parent().unwrap().to_owned()
}

/// The report that was written to stdout, and how the command ended.
fn report(output: &Output) -> (Value, Option<i32>) {
    let report = serde_json::from_slice(&output.stdout);
    (sound(report.unwrap_or_else(|_| panic!("{}", text(&output.stderr)))), output.status.code())
}

#[test]
fn the_image_is_small_and_says_how_it_wants_to_be_run() {
    let Some(image) = Image::build() else { return };
    let size = image.size();
    println!("image: {size} bytes");
    // buildah tells it to three digits.
    assert!(size <= MAX_IMAGE_BYTES, "{size}");
    let told = image.configuration();
    assert_eq!((told["architecture"].as_str(), told["os"].as_str()), (Some(docker_architecture()), Some("linux")));
    let config = &told["config"];
    assert_eq!((&config["User"], &config["WorkingDir"]), (&Value::from("65532:65532"), &Value::from("/state")));
    assert_eq!((&config["Entrypoint"], &config["Cmd"]), (&serde_json::json!(["/hubwatch"]), &serde_json::json!(["run"])));
    assert_eq!(config["Healthcheck"]["Test"], serde_json::json!(["CMD", "/hubwatch", "health"]));
    assert!(config["Volumes"]["/state"].is_object());
    assert_eq!(config["Labels"]["org.opencontainers.image.version"], env!("CARGO_PKG_VERSION"));
    let root = image.root();
    assert!(root.join("etc/ssl/certs/ca-certificates.crt").metadata().unwrap().len() > 100_000);
    let state = root.join("state").metadata().unwrap();
    assert_eq!((std::os::unix::fs::MetadataExt::uid(&state), state.permissions().mode() & 0o777), (USER, 0o755));
}

fn docker_architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn in_a_container_a_real_hub_is_watched_by_variables_alone_and_reported_on_from_a_real_jaeger() {
    let Some(image) = Image::build() else { return };
    let hub = Hub::start().await;
    let folder = tempfile::tempdir().unwrap();
    let jaeger = Jaeger::memory(folder.path()).await;
    let (state, listen) = (volume(), format!("127.0.0.1:{}", free_port()));
    let variables = [
        format!("HUBWATCH_HUB={}", hub.url),
        "HUBWATCH_NAME=live".to_owned(),
        "HUBWATCH_LOG=/hub/mcp-hub.log".to_owned(),
        "HUBWATCH_INTERVAL=1s".to_owned(),
        format!("HUBWATCH_LISTEN={listen}"),
        format!("OTEL_EXPORTER_OTLP_ENDPOINT=http://{}", jaeger.otlp_grpc),
        "OTEL_EXPORTER_OTLP_PROTOCOL=grpc".to_owned(),
        "HUBWATCH_OTLP_SIGNALS=traces".to_owned(),
    ];
    let variables = |more: &[String]| -> Vec<String> {
        variables.iter().chain(more).flat_map(|variable| ["--env".to_owned(), variable.clone()]).collect()
    };
    let mounts = [format!("--volume={}:/hub:ro", logs(&hub).display()), format!("--volume={}:/state", state.path().display())];
    let said = folder.path().join("said");
    let mut command = image.run(&[variables(&[]), mounts.to_vec()].concat(), &["run"]);
    let process = command.stderr(std::fs::File::create(&said).unwrap()).spawn().unwrap();
    let mut running = Running { process };
    let health = || image.run(&variables(&[]), &["health"]).output().unwrap();
    until("the container is healthy", async || Some(health()).filter(|health| health.status.success())).await;
    assert_eq!(text(&health().stdout), "ready: live: the hub answers ok\n");
    let program = running.program().await;
    assert!(status(program, "Uid:").starts_with(&USER.to_string()), "{}", status(program, "Uid:"));
    hub.connect_client().leave();
    signal("-KILL", hub.child("server-filesystem").expect("the filesystem server runs"));
    let down = async || {
        let (_, page) = get(&format!("http://{listen}/dashboard.json")).await?;
        let dashboard: Value = serde_json::from_str(&page).ok()?;
        let is = |server: &&Value| server["name"] == "filesystem" && server["status"] != "connected";
        dashboard["currentState"]["servers"].as_array()?.iter().find(is).map(|_| ())
    };
    until("the crash is seen", down).await;
    let from = |backend: String| {
        let more = [format!("HUBWATCH_BACKEND={backend}")];
        let made = image.run(&variables(&more), &["report", "--since", "1h", "--format", "json"]).output().unwrap();
        report(&made)
    };
    let (of_sidecar, code) = from(format!("jaeger=http://{listen}"));
    assert_eq!((code, &of_sidecar["provenance"]["provisional"]), (Some(1), &Value::Bool(true)));
    assert!(running.stop().await < GRACE);
    let (of_jaeger, code) = from(format!("jaeger={}", jaeger.query));
    assert_eq!((code, &of_jaeger["coverage"]["missing_watches"]), (Some(1), &Value::from(0)));
    for report in [&of_sidecar, &of_jaeger] {
        assert_eq!(report["clients"]["connected"], 1);
        let servers = report["servers"].as_array().unwrap();
        let filesystem = servers.iter().find(|server| server["name"] == "filesystem").unwrap();
        assert_eq!(filesystem["down"].as_array().unwrap().len(), 1, "{filesystem:#}");
    }
    // The host's processes are the container's here: the hub's is seen, though it is another user's.
    assert!(of_jaeger["process"]["rss_peak_bytes"].as_u64() > Some(10_000_000), "{:#}", of_jaeger["process"]);
    let said = std::fs::read_to_string(said).unwrap();
    assert!(said.contains("hub.log=/hub/mcp-hub.log (HUBWATCH_LOG)") && !said.contains("ERROR"), "{said}");
}

/// As a hardened runtime runs it: a read-only root, the first process of its own PID namespace, no capability, within limits.
fn hardened(root: &Path, mounts: &[(&Path, &str)], limits: Option<&Limits>, variables: &[(&str, &str)], words: &[&str]) -> Command {
    const SCRIPT: &str = r#"
        mount --bind "$ROOT" "$ROOT" && mount -o remount,bind,ro "$ROOT"
        mount -t proc proc "$ROOT/proc"
        for mount in $MOUNTS; do mount --bind "${mount%%:*}" "$ROOT${mount#*:}"; done
        exec env -u ROOT -u MOUNTS chroot --userspec=65532:65532 --groups=65532 "$ROOT" /hubwatch "$@"
    "#;
    let mut command = Command::new("sh");
    let join = limits.map(Limits::join).unwrap_or_default();
    let enter = "exec unshare --mount --propagation private --pid --fork --kill-child sh -ec \"$SCRIPT\" hubwatch \"$@\"";
    command.args(["-ec", &format!("{join}\n{enter}"), "enter"]).args(words).env_clear();
    command.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("SCRIPT", SCRIPT).env("ROOT", root);
    let mounts: Vec<String> = mounts.iter().map(|(from, to)| format!("{}:{to}", from.display())).collect();
    command.env("MOUNTS", mounts.join(" ")).env("HUBWATCH_STATE_DIR", "/state").envs(variables.iter().copied());
    command
}

#[tokio::test(flavor = "multi_thread")]
async fn hardened_and_within_32_mib_and_a_tenth_of_a_processor_a_real_hub_is_watched() {
    let Some(image) = Image::build() else { return };
    let hub = Hub::start().await;
    let folder = tempfile::tempdir().unwrap();
    let jaeger = Jaeger::memory(folder.path()).await;
    let (root, logs, state) = (image.root(), logs(&hub), volume());
    let limits = Limits::new("run", 32 * MIB, Some(0.1));
    let (listen, otlp) = (format!("127.0.0.1:{}", free_port()), format!("http://{}", jaeger.otlp_grpc));
    // A mounted file says what the variables don't.
    let configured = volume();
    std::fs::write(configured.path().join("hubwatch.toml"), "[hub]\nname = 'live'\nlog = '/hub/mcp-hub.log'\n").unwrap();
    let variables = [
        ("HUBWATCH_HUB", hub.url.as_str()),
        ("HUBWATCH_INTERVAL", "1s"),
        ("HUBWATCH_LISTEN", &listen),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", &otlp),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
        ("HUBWATCH_OTLP_SIGNALS", "traces"),
    ];
    let begun = Instant::now();
    let mounts = [(logs.as_path(), "/hub"), (state.path(), "/state"), (configured.path(), "/etc/hubwatch")];
    let mut running = Running { process: hardened(&root, &mounts, limits.as_ref(), &variables, &["run"]).spawn().unwrap() };
    let ready = format!("http://{listen}/readyz");
    until("it is ready", async || get(&ready).await.filter(|(status, _)| *status == 200)).await;
    println!("hardened, within limits: ready after {:.2?}, the namespaces included", begun.elapsed());
    let program = running.program().await;
    assert_eq!((status(program, "CapEff:"), status(program, "NSpid:")), ("0000000000000000".to_owned(), format!("{program}\t1")));
    for _ in 0..3 {
        hub.connect_client().leave();
    }
    let polls = async |more: u64| {
        let answer = get(&format!("http://{listen}/report.json")).await?;
        let report: Value = serde_json::from_str(&answer.1).ok()?;
        (report["coverage"]["polls"].as_u64() > Some(more) && report["clients"]["disconnected"] == 3).then_some(())
    };
    until("it has seen three storms and 20 polls", async || polls(20).await).await;
    let within = Limits::new("report", 64 * MIB, None);
    let from = [("HUBWATCH_NAME", "live"), ("HUBWATCH_BACKEND", &format!("jaeger=http://{listen}"))];
    // A report needs no state of its own.
    let made = hardened(&root, &[], within.as_ref(), &from, &["report", "--since", "1h", "--format", "json"]).output().unwrap();
    let (report, code) = report(&made);
    assert!(matches!(code, Some(0 | 1 | 3)), "{}", text(&made.stderr));
    // The PID namespace is its own: what can't be seen is said to be so, with the way to see it.
    assert!(report["process"]["rss_peak_bytes"].is_null(), "{:#}", report["process"]);
    assert!(report.to_string().contains("HUBWATCH_SHARED_PIDS"), "the report says how to make it visible");
    println!("run, within its limits: at most {} resident", status(program, "VmHWM:"));
    let took = running.stop().await;
    assert!(took < GRACE, "{took:?}");
    for (limits, what) in [(limits, "run, 32 MiB and 0.1 CPU"), (within, "report, 64 MiB")] {
        match limits {
            Some(limits) => {
                println!("{what}: {}", limits.used());
                assert_eq!(limits.killed(), 0, "{what}");
            }
            None => println!("LEFT OUT: the limits of {what}, since this machine lets nobody make control groups"),
        }
    }
}

#[test]
fn without_a_writable_state_or_with_a_wrong_variable_it_says_so_and_ends_with_the_right_code() {
    let Some(image) = Image::build() else { return };
    let root = image.root();
    let hub = ("HUBWATCH_HUB", "http://127.0.0.1:9");
    let run = |variables: &[(&str, &str)]| {
        let ended = hardened(&root, &[], None, variables, &["run", "--for", "1s"]).output().unwrap();
        (ended.status.code(), text(&ended.stderr))
    };
    let (code, said) = run(&[hub]);
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("/state") && said.contains("HUBWATCH_STATE_DIR") && said.contains("Read-only file system"), "{said}");
    let (code, said) = run(&[hub, ("HUBWATCH_INTERVAL", "often")]);
    assert!(code == Some(78) && said.contains("HUBWATCH_INTERVAL: `often`"), "{code:?} {said}");
    let (code, said) = run(&[("HUBWATCH_HUB_URL", "http://127.0.0.1:9")]);
    assert!(code == Some(78) && said.contains("`hub.url` is HUBWATCH_HUB"), "{code:?} {said}");
    // A volume that is another user's.
    let foreign = tempfile::tempdir().unwrap();
    let ended = hardened(&root, &[(foreign.path(), "/state")], None, &[hub], &["run", "--for", "1s"]).output().unwrap();
    assert_eq!(ended.status.code(), Some(2));
    assert!(text(&ended.stderr).contains("Permission denied"), "{}", text(&ended.stderr));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_is_ready_at_once() {
    /// From the start to the readiness that systemd or a probe waits for.
    const READY: Duration = Duration::from_millis(200);
    let hub = Hub::start().await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notify");
    let socket = std::os::unix::net::UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let mut took: Vec<Duration> = (0..7)
        .map(|run| {
            let mut command = Command::new(binary());
            command.args(["run", "--hub", &hub.url, "--name", "live", "--quiet", "--log"]).arg(hub.log());
            command.arg("--state-dir").arg(folder.path().join(run.to_string())).env("NOTIFY_SOCKET", &path);
            let begun = Instant::now();
            let mut process = command.stdin(Stdio::null()).spawn().unwrap();
            let mut told = [0; 64];
            socket.recv(&mut told).unwrap();
            let took = begun.elapsed();
            assert!(told.starts_with(b"READY=1\n"));
            process.kill().unwrap();
            process.wait().unwrap();
            took
        })
        .collect();
    took.sort();
    println!("ready after {:.0?} at best, {:.0?} as the median of {}", took[0], took[took.len() / 2], took.len());
    assert!(took[0] <= READY, "{took:?}");
}
