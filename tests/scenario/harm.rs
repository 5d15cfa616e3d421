//! Scenarios that take something away: a server, Gemini, the room on the disk; and what the log costs.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use hubwatch::scenario::{Options, Scenario};
use hubwatch::simulator::{Behaviour, FileSink, Gemini, LogSink, Profile, ServerPlan};
use hubwatch::watch::Micros;

use super::hub::{Hub, answers, fork, fork_that, npm, until, without_hints};
use super::play::{case, options, plays, plays_as, signs, step, target};

fn at_most(clients: usize) -> Behaviour {
    Behaviour { most_clients: Some(clients), ..Behaviour::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_killed_is_put_back_and_what_the_hub_makes_of_it_is_judged() {
    let possible = "1+-? 2+-? 3+-? 4+-? 5+-? 6+-? after+-";
    let notices = || Behaviour { notices_crashes: true, ..Behaviour::default() };
    let recovers = Profile { reconnects_after: Some(Micros::new(300_000)), ..fork_that(notices()) };
    let once = ServerPlan { starts_again: false, ..ServerPlan::working("filesystem") };
    let for_good = Profile { servers: vec![once], ..fork() };
    let longer = |options: &mut Options| options.patience.reconnected = Duration::from_secs(5);
    let cases = vec![
        case("the recorded fork", fork(), "1+ 2- 3- 4+ 5- 6+ after+").with_processes(),
        case("npm", npm(), "1+ 2- 3- 4+ 5- 6+ after+").with_processes(),
        case("notices and reconnects", recovers, "1+ 2+ 3+ 4+ 5+ 6+ after+").with_processes().option(longer),
        case("notices", fork_that(notices()), "1+ 2+ 3- 4- 5+ 6+ after+").with_processes(),
        case("the server never starts again", for_good, "1+ 2- 3- 4+ 5- 6- after-").with_processes(),
        case("no harmless tool", without_hints(), "1+ 2- 3- 4+ 5- 6+ after+").with_processes(),
        case("a server that is named", fork(), "1+ 2- 3- 4+ 5- 6+ after+")
            .with_processes()
            .option(|options| options.server = Some("memory".to_owned())),
        case("a server that is not there", fork(), "1? 2? 3? 4? 5? 6? after+")
            .with_processes()
            .option(|options| options.server = Some("weather".to_owned())),
        case("takes no client", fork_that(at_most(0)), "1+ 2- 3- 4+ 5? 6+ after+").with_processes(),
        case("no process", fork(), "1? 2? 3? 4? 5? 6? after+").with(|_, target, _| target.process = None),
        case(
            "dies at the handshake",
            fork_that(Behaviour { dies_at_request: Some(2), ..Behaviour::default() }),
            "1- 2? 3? 4? 5? 6? after-",
        ),
    ];
    let played = plays_as(Scenario::ServerCrash, possible, cases).await;
    assert!(step(&played[6].1, "1").detail.starts_with("memory: process "), "{:?}", step(&played[6].1, "1"));
    for (hub, played) in played.iter().take(4) {
        assert!(hub.usable().await.contains(&"filesystem".to_owned()), "{:?}", played.notes);
        assert!(!hub.state_dir().join("put-back.json").exists());
    }
}

#[tokio::test]
async fn without_gemini_the_fallback_the_silence_and_the_recovery_are_judged() {
    let possible = "1+-?0 2+-?0 3+-?0 4+-?0 5+-?0 6+-?0 after+-";
    let faulty = |hub: &Hub, _: &mut _, options: &mut Options| {
        let file = hub.folder.path().join("faults");
        hub.inside(|live| live.set_fault_file(Some(file.clone())));
        options.fault_file = Some(file);
    };
    let unread = |hub: &Hub, _: &mut _, options: &mut Options| options.fault_file = Some(hub.folder.path().join("faults"));
    let refuses = fork_that(Behaviour { has_no_fallback: true, ..Behaviour::default() });
    let tells = fork_that(Behaviour { tells_of_fallback: true, ..Behaviour::default() });
    let no_llm = fork_that(Behaviour { has_no_llm: true, ..Behaviour::default() });
    // 3 requests to connect, a call with Gemini, one without, one with it again.
    let dies_at = |request: u64| fork_that(Behaviour { dies_at_request: Some(request), ..Behaviour::default() });
    let cases = vec![
        case("the recorded fork", fork(), "1+ 2+ 3- 4- 5+ 6+ after+").with(faulty),
        case("keywords choose more", fork(), "1+ 2+ 3- 4- 5+ 6+ after+").gemini(answers(&["filesystem"])).with(faulty),
        case("tells of it", tells, "1+ 2+ 3- 4+ 5+ 6+ after+").with(faulty),
        case("answers an error", refuses, "1+ 2- 3+ 4- 5+ 6+ after+").with(faulty),
        case("without a meta-tool", npm(), "10 20 30 40 50 60 after+").with(faulty),
        case("no file", fork(), "1? 2? 3? 4? 5? 6? after+"),
        case("nobody reads the file", fork(), "1+ 2? 3? 4? 5? 6? after+").with(unread),
        case("no model", no_llm, "1? 2? 3? 4? 5? 6? after+").with(faulty),
        case("falls back all the time", fork(), "1? 2? 3? 4? 5? 6? after+").gemini(Gemini::RateLimited).with(faulty),
        case("takes no client", fork_that(at_most(0)), "1- 2? 3? 4? 5? 6? after+").with(faulty),
        case("dies without Gemini", dies_at(5), "1+ 2- 3- 4- 5- 6- after-").with(faulty),
        case("dies afterwards", dies_at(6), "1+ 2+ 3- 4- 5+ 6- after-").with(faulty),
    ];
    for (hub, played) in plays_as(Scenario::GeminiFailure, possible, cases).await {
        let file = hub.folder.path().join("faults");
        assert!(!file.exists() && !hub.state_dir().join("put-back.json").exists(), "{:?}", played.notes);
    }
}

/// A log that goes on when its disk is full, as with the legacy logger.
struct Patient(FileSink);

impl LogSink for Patient {
    fn truncate(&mut self) -> std::io::Result<()> {
        self.0.truncate()
    }

    fn line(&mut self, line: &str) -> std::io::Result<()> {
        self.0.line(line).or(Ok(()))
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.0.flush().or(Ok(()))
    }
}

/// A small disk in a namespace of its own, which exists as long as this value.
struct SmallDisk {
    holder: Child,
    inside: PathBuf,
}

impl SmallDisk {
    async fn mount(folder: &Path) -> Self {
        // More than a scenario wants to find free.
        let script = "mount -t tmpfs -o size=220m,mode=700 tmpfs \"$0\" && touch \"$0/mounted\" && exec sleep 1000";
        for namespaces in [&["--user", "--map-root-user", "--mount"][..], &["--mount"]] {
            let mut holder = Command::new("unshare");
            let holder = holder.args(namespaces).args(["sh", "-c", script]).arg(folder).stderr(Stdio::null()).spawn();
            let Ok(mut holder) = holder else { continue };
            let inside = PathBuf::from(format!("/proc/{}/root{}", holder.id(), folder.display()));
            let is_mounted = async || match holder.try_wait().unwrap() {
                Some(_) => Some(false),
                None => inside.join("mounted").exists().then_some(true),
            };
            if until("the disk is mounted", is_mounted).await {
                return Self { holder, inside };
            }
        }
        panic!("can't mount a file system: this test needs util-linux and namespaces; set HUBWATCH_NO_NAMESPACES=1 to skip it");
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        self.holder.kill().unwrap();
        self.holder.wait().unwrap();
    }
}

#[tokio::test]
async fn a_full_disk_stops_a_hub_whose_log_must_be_written_and_is_freed_again() {
    hubwatch::base::tls::choose_provider();
    if std::env::var_os("HUBWATCH_NO_NAMESPACES").is_some() {
        println!("skipped because of HUBWATCH_NO_NAMESPACES");
        return;
    }
    for (goes_on, wanted) in [(false, "1+ 2- 3- after-"), (true, "1+ 2+ 3+ after+")] {
        let folder = tempfile::tempdir().unwrap();
        let disk = SmallDisk::mount(&folder.path().canonicalize().unwrap()).await;
        let log = disk.inside.join("mcp-hub.log");
        let sink = FileSink::open(&log).unwrap();
        let sink: Box<dyn LogSink + Send> = if goes_on { Box::new(Patient(sink)) } else { Box::new(sink) };
        let hub = Hub::logging(fork(), tempfile::tempdir().unwrap(), sink).await;
        let mut target = target(&hub);
        target.log = Some(log.clone());
        let played = plays(Scenario::LogDiskFull, &target, &options()).await.unwrap();
        assert_eq!(signs(&played), wanted, "{:#?}", played.steps);
        assert!(!disk.inside.join("hubwatch-ballast").exists() && !hub.state_dir().join("put-back.json").exists());
    }
}

#[tokio::test]
async fn a_disk_that_is_large_or_not_visible_is_not_filled() {
    hubwatch::base::tls::choose_provider();
    let hub = Hub::start(fork()).await;
    let mut target = target(&hub);
    target.log = None;
    let played = plays(Scenario::LogDiskFull, &target, &options()).await.unwrap();
    assert_eq!(signs(&played), "1? 2? 3? after+");
    assert!(step(&played, "1").detail.contains("--log"), "{:?}", step(&played, "1"));
    target.log = Some(hub.folder.path().join("nowhere").join("mcp-hub.log"));
    let played = plays(Scenario::LogDiskFull, &target, &options()).await.unwrap();
    assert_eq!(signs(&played), "1? 2? 3? after+");
    target.log = Some(hub.log());
    if hubwatch::process::free_space(&hub.log()).unwrap().get() > 2_000_000_000 {
        let played = plays(Scenario::LogDiskFull, &target, &options()).await.unwrap();
        assert_eq!(signs(&played), "1? 2? 3? after+");
        assert!(step(&played, "1").detail.contains("small disk"), "{:?}", step(&played, "1"));
    }
}
