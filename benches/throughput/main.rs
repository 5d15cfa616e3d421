//! Whole-process figures of the way from a log line to a receiver. `cargo bench --bench throughput` measures throughput against the
//! yardstick, pair by pair; an argument after `--` chooses another measurement: `pairs [LINES] [ROUNDS]`, `spool [LINES]`,
//! `idle [SECONDS]`, `follow [LINES_A_SECOND] [SECONDS]`.

mod lines;
mod receiver;
mod sidecar;
mod yardstick;

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use receiver::Counts;
use sidecar::Sidecar;

type Failure = Box<dyn std::error::Error>;

/// A measurement that takes longer has failed.
const TOO_LONG: Duration = Duration::from_secs(300);

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let number = |index: usize, default: u64| arguments.get(index).map_or(Ok(default), |text| text.replace('_', "").parse());
    let what = arguments.first().map_or("pairs", String::as_str);
    if what == "yardstick" {
        let (records, bytes) = yardstick::run(Path::new(arguments.get(1).ok_or("which file?")?))?;
        println!("{} {records} {bytes}", sidecar::on_cpu(Path::new("/proc/self/schedstat")));
        return Ok(());
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        match what {
            "pairs" => pairs(number(1, 1_000_000)?, number(2, 5)?).await,
            "spool" => spool(number(1, 1_000_000)?).await,
            "idle" => idle(number(1, 120)?).await,
            "follow" => follow(number(1, 50_000)?, number(2, 20)?).await,
            "generate" => Ok(lines::write(std::io::stdout().lock(), number(1, 1_000_000)?)?),
            other => Err(format!("`{other}` is none of pairs, spool, idle, follow, generate").into()),
        }
    })
}

/// A folder for the files, under the build's own.
fn folder() -> Result<tempfile::TempDir, Failure> {
    Ok(tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?)
}

fn file_of(lines: u64, folder: &Path) -> Result<PathBuf, Failure> {
    let path = folder.join("mcp-hub.log");
    lines::write(File::create(&path)?, lines)?;
    Ok(path)
}

fn yardstick_cpu(file: &Path) -> Result<f64, Failure> {
    let output = Command::new(std::env::current_exe()?).arg("yardstick").arg(file).output()?;
    let text = String::from_utf8(output.stdout)?;
    Ok(text.split_whitespace().next().ok_or("the yardstick says nothing")?.parse()?)
}

async fn until(what: &str, mut done: impl FnMut() -> bool) -> Result<(), Failure> {
    let begun = Instant::now();
    while !done() {
        if begun.elapsed() > TOO_LONG {
            return Err(format!("{what} took longer than {TOO_LONG:?}").into());
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    Ok(())
}

struct Run {
    cpu: f64,
    wall: f64,
    peak_kib: u64,
    spooled: u64,
}

/// One whole run over the file: until the receiver has each line and the last commit is made.
async fn one_run(file: &Path, lines: u64, folder: &Path) -> Result<Run, Failure> {
    let counts = Arc::new(Counts::default());
    let otlp = receiver::listen(counts.clone()).await?;
    let state = folder.join("state");
    let begun = Instant::now();
    let sidecar = Sidecar::start(file, &state, Some(&otlp))?;
    until("sending", || counts.records.load(Ordering::Relaxed) >= lines).await?;
    let wall = begun.elapsed().as_secs_f64();
    tokio::time::sleep(Duration::from_secs(1)).await;
    let run = Run { cpu: sidecar.cpu(), wall, peak_kib: sidecar.memory("VmHWM"), spooled: spooled(&state) };
    sidecar.stop().await;
    let records = counts.records.load(Ordering::Relaxed);
    if records != lines {
        return Err(format!("{records} records of {lines} lines").into());
    }
    std::fs::remove_dir_all(&state)?;
    Ok(run)
}

/// How many bytes the journal takes.
fn spooled(state: &Path) -> u64 {
    ["journal.db", "journal.db-wal"].iter().filter_map(|name| std::fs::metadata(state.join(name)).ok()).map(|file| file.len()).sum()
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

async fn pairs(lines: u64, rounds: u64) -> Result<(), Failure> {
    let folder = folder()?;
    let file = file_of(lines, folder.path())?;
    yardstick_cpu(&file)?;
    println!("{lines} lines, {} bytes", std::fs::metadata(&file)?.len());
    println!("round  yardstick CPU s  hubwatch CPU s  ratio  wall s  lines/s  peak KiB  journal bytes");
    let (mut ratios, mut peaks) = (Vec::new(), Vec::new());
    for round in 1..=rounds {
        let before = yardstick_cpu(&file)?;
        let run = one_run(&file, lines, folder.path()).await?;
        let yardstick = f64::midpoint(before, yardstick_cpu(&file)?);
        let ratio = run.cpu / yardstick;
        ratios.push(ratio);
        peaks.push(run.peak_kib as f64);
        let speed = lines as f64 / run.wall;
        let Run { cpu, wall, peak_kib, spooled } = run;
        println!("{round:5}  {yardstick:15.3}  {cpu:14.3}  {ratio:5.2}  {wall:6.2}  {speed:7.0}  {peak_kib:8}  {spooled}");
    }
    println!("median ratio {:.2}, median peak {:.0} KiB", median(&mut ratios), median(&mut peaks));
    Ok(())
}

/// The receiver is away: everything is kept.
async fn spool(lines: u64) -> Result<(), Failure> {
    let folder = folder()?;
    let file = file_of(lines, folder.path())?;
    let yardstick = yardstick_cpu(&file)?;
    let counts = Arc::new(Counts::default());
    counts.down.store(true, Ordering::Relaxed);
    let otlp = receiver::listen(counts.clone()).await?;
    let state = folder.path().join("state");
    let sidecar = Sidecar::start(&file, &state, Some(&otlp))?;
    let journal = state.join("journal.db");
    let kept = || {
        let connection = rusqlite::Connection::open_with_flags(&journal, rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY).ok()?;
        let sql = "SELECT coalesce(sum(records), 0) FROM spool WHERE signal = 'logs'";
        connection.query_row(sql, [], |row| row.get::<_, i64>(0)).ok()
    };
    until("spooling", || kept().is_some_and(|kept| kept.cast_unsigned() >= lines)).await?;
    let (cpu, peak) = (sidecar.cpu(), sidecar.memory("VmHWM"));
    sidecar.stop().await;
    let bytes = spooled(&state);
    println!(
        "{lines} lines kept: {bytes} bytes of journal, {:.1} a record; CPU {cpu:.2} s, {:.2} x the yardstick; peak {peak} KiB",
        bytes as f64 / lines as f64,
        cpu / yardstick
    );
    counts.down.store(false, Ordering::Relaxed);
    let sidecar = Sidecar::start(&file, &state, Some(&otlp))?;
    let begun = Instant::now();
    until("sending what was kept", || counts.records.load(Ordering::Relaxed) >= lines).await?;
    println!("sent in {:.2} s by the next run; peak {} KiB", begun.elapsed().as_secs_f64(), sidecar.memory("VmHWM"));
    sidecar.stop().await;
    Ok(())
}

/// Nothing happens but the polls.
async fn idle(seconds: u64) -> Result<(), Failure> {
    let folder = folder()?;
    let file = file_of(1_000, folder.path())?;
    let counts = Arc::new(Counts::default());
    let otlp = receiver::listen(counts.clone()).await?;
    let sidecar = Sidecar::start(&file, &folder.path().join("state"), Some(&otlp))?;
    until("sending", || counts.records.load(Ordering::Relaxed) >= 1_000).await?;
    tokio::time::sleep(Duration::from_secs(5)).await;
    let before = sidecar.cpu();
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    let millis = (sidecar.cpu() - before) * 1_000.0 / seconds as f64;
    println!(
        "idle for {seconds} s: {millis:.3} ms CPU a second, RSS {} KiB, peak {} KiB",
        sidecar.memory("VmRSS"),
        sidecar.memory("VmHWM")
    );
    sidecar.stop().await;
    Ok(())
}

/// A writer at a steady speed; how long each line takes to the receiver.
async fn follow(speed: u64, seconds: u64) -> Result<(), Failure> {
    let folder = folder()?;
    let path = folder.path().join("mcp-hub.log");
    let mut file = File::create(&path)?;
    let counts = Arc::new(Counts::default());
    let otlp = receiver::listen(counts.clone()).await?;
    let sidecar = Sidecar::start(&path, &folder.path().join("state"), Some(&otlp))?;
    tokio::time::sleep(Duration::from_secs(2)).await;
    *counts.delays.lock().await = Some(Vec::new());
    let before = sidecar.cpu();
    let (mut random, mut written, mut chunk) = (fastrand::Rng::with_seed(7), 0, Vec::new());
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(seconds) {
        let due = (begun.elapsed().as_secs_f64() * speed as f64) as u64;
        let now = hubwatch::watch::Timestamp::now().to_string();
        chunk.clear();
        while written < due {
            lines::line(&mut chunk, written, &now, &mut random)?;
            written += 1;
        }
        file.write_all(&chunk)?;
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    until("sending", || counts.records.load(Ordering::Relaxed) >= written).await?;
    let mut delays = counts.delays.lock().await.take().unwrap_or_default();
    delays.sort_unstable();
    let at = |permille: usize| delays.get(delays.len() * permille / 1_000).map_or(0.0, |micros| *micros as f64 / 1e3);
    let cpu = (sidecar.cpu() - before) / seconds as f64;
    println!(
        "{written} lines at {speed} a second: delay p50 {:.0} ms, p99 {:.0} ms, worst {:.0} ms; CPU {:.3} s a second; peak {} KiB",
        at(500),
        at(990),
        at(999),
        cpu,
        sidecar.memory("VmHWM")
    );
    sidecar.stop().await;
    Ok(())
}
