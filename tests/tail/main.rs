//! Rotates, truncates and deletes logs, and kills the reader: each line must be read once, complete, and under one identity, and
//! bytes that could not be read must be counted.

mod reader;
mod stage;

use std::fs::OpenOptions;
use std::io::{BufReader, Write as _};
use std::os::unix::fs::{FileExt as _, MetadataExt as _, symlink};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use hubwatch::tail::MAX_LINE_BYTES;
use reader::Pace;
use stage::{Life, Stage, append, in_every_life, in_lives};

/// Returns lines that a hub writes at every start: identical each time, and longer than the fingerprint of a file's beginning.
fn preamble(stage: &mut Stage) -> String {
    let lines: Vec<String> =
        (0..60).map(|line| format!("starting: step {line} of the same sixty, as at every start of a hub")).collect();
    for line in &lines {
        stage.expect(line.as_bytes(), false);
    }
    lines.join("\n") + "\n"
}

fn rename(stage: &Stage, to: &str) {
    std::fs::rename(&stage.log, stage.beside(to)).unwrap();
}

/// Shifts `hub.log.1` to `hub.log.2` and so on, as rotation does.
fn shift(stage: &Stage, generations: usize) {
    for generation in (1..generations).rev() {
        let from = stage.beside(&format!("hub.log.{generation}"));
        if from.exists() {
            std::fs::rename(from, stage.beside(&format!("hub.log.{}", generation + 1))).unwrap();
        }
    }
    rename(stage, "hub.log.1");
}

fn truncate(path: &Path) {
    std::fs::write(path, "").unwrap();
}

fn gzip(path: &Path) {
    let modified = std::fs::metadata(path).unwrap().modified().unwrap();
    let compressed = path.with_file_name(format!("{}.gz", path.file_name().unwrap().to_str().unwrap()));
    let file = std::fs::File::create(compressed).unwrap();
    let mut encoder = flate2::write::GzEncoder::new(file, flate2::Compression::fast());
    std::io::copy(&mut BufReader::new(std::fs::File::open(path).unwrap()), &mut encoder).unwrap();
    encoder.finish().unwrap().set_modified(modified).unwrap();
    std::fs::remove_file(path).unwrap();
}

#[test]
fn steadily_written_lines_are_read_once() {
    in_every_life("hub.log", |stage| {
        stage.write(300);
        stage.meanwhile(|stage| stage.write(300));
        stage.write(300);
    });
}

#[test]
fn bursts_of_thousands_of_lines_are_read_once() {
    in_every_life("hub.log", |stage| {
        for _ in 0..4 {
            stage.burst(3000);
            stage.meanwhile(|stage| stage.burst(3000));
        }
    });
}

#[test]
fn a_partial_line_is_never_read() {
    in_every_life("hub.log", |stage| {
        for _ in 0..5 {
            let line = stage.lines(1);
            let (begin, end) = line.split_at(5);
            append(&stage.log, begin.as_bytes());
            stage.look();
            stage.meanwhile(|stage| append(&stage.log, end.as_bytes()));
        }
    });
}

#[test]
fn a_file_or_folder_created_later_is_read() {
    in_every_life("hub.log", |stage| {
        stage.look();
        stage.meanwhile(|stage| stage.write(50));
    });
    in_every_life("later/deep/hub.log", |stage| {
        stage.look();
        stage.log = stage.beside("later/deep/hub.log");
        stage.meanwhile(|stage| {
            std::fs::create_dir_all(stage.log.parent().unwrap()).unwrap();
            stage.write(50);
        });
        stage.write(50);
    });
}

#[test]
fn lines_of_ten_megabytes_are_cut_and_the_next_are_complete() {
    in_every_life("hub.log", |stage| {
        let long = vec![b'y'; 10_000_000];
        for size in [300_000, MAX_LINE_BYTES, MAX_LINE_BYTES + 1, 10_000_000] {
            stage.expect(&long[..size.min(MAX_LINE_BYTES)], size > MAX_LINE_BYTES);
            append(&stage.log, &long[..size / 2]);
            stage.look();
            stage.meanwhile(|stage| append(&stage.log, &[&long[size / 2..size], b"\n"].concat()));
            stage.write(3);
        }
    });
}

#[test]
fn lines_with_control_characters_or_invalid_utf8_are_read() {
    in_every_life("hub.log", |stage| {
        for _ in 0..3 {
            stage.meanwhile(|stage| {
                append(&stage.log, b"carriage return\r\n\nnul \0 byte\nbad \xff\xfe utf-8\n\r\n");
                for line in [&b"carriage return"[..], b"", b"nul \0 byte", b"bad \xff\xfe utf-8", b""] {
                    stage.expect(line, false);
                }
            });
            stage.write(3);
        }
    });
}

#[test]
fn a_pattern_follows_hundreds_of_files() {
    in_every_life("hub.*.log", |stage| {
        for file in 0..150 {
            stage.log = stage.beside(&format!("hub.{file}.log"));
            stage.burst(3);
        }
        stage.look();
        stage.meanwhile(|stage| {
            for file in 100..200 {
                stage.log = stage.beside(&format!("hub.{file}.log"));
                stage.burst(3);
            }
        });
    });
}

#[test]
fn a_log_is_read_without_an_inotify_instance() {
    let mut stage = Stage::new("hub.log", Life::Undisturbed, Pace::WakeWithoutEvents);
    stage.start();
    stage.write(100);
    stage.look();
    rename(&stage, "hub.log.1");
    stage.write(100);
    stage.end();
}

#[test]
fn a_log_that_is_rotated_repeatedly_is_read_once() {
    in_every_life("hub.log", |stage| {
        for _ in 0..6 {
            stage.write(200);
            stage.meanwhile(|stage| {
                stage.write(20);
                shift(stage, 9);
                stage.write(20);
            });
        }
    });
}

#[test]
fn lines_are_returned_in_the_order_of_their_generations() {
    in_lives(&[Life::Undisturbed, Life::Away], "hub.log", |stage| {
        stage.write(20);
        stage.meanwhile(|stage| {
            for _ in 0..4 {
                stage.write(20);
                shift(stage, 9);
            }
            stage.write(20);
        });
        stage.caught_up();
        assert!(stage.order().is_sorted(), "{:?}", stage.life);
    });
}

#[test]
fn lines_of_a_writer_that_holds_the_renamed_file_are_read() {
    in_every_life("hub.log", |stage| {
        for _ in 0..3 {
            stage.write(100);
            stage.look();
            let mut held = OpenOptions::new().append(true).open(&stage.log).unwrap();
            shift(stage, 9);
            stage.write(100);
            stage.look();
            stage.meanwhile(|stage| held.write_all(stage.lines(100).as_bytes()).unwrap());
            stage.write(10);
        }
    });
}

#[test]
fn a_log_renamed_long_before_the_new_file_is_created_is_read() {
    in_every_life("hub.log", |stage| {
        for _ in 0..3 {
            stage.write(100);
            stage.meanwhile(|stage| {
                stage.write(10);
                shift(stage, 9);
            });
            stage.look();
            stage.write(200);
        }
    });
}

#[test]
fn several_rotations_between_two_looks_lose_no_line() {
    in_every_life("hub.log", |stage| {
        for _ in 0..3 {
            stage.write(50);
            stage.look();
            stage.meanwhile(|stage| {
                for _ in 0..4 {
                    stage.write(50);
                    shift(stage, 30);
                }
            });
            stage.write(50);
        }
    });
}

#[test]
fn a_new_file_larger_than_the_rotated_one_is_read() {
    in_every_life("hub.log", |stage| {
        stage.write(100);
        stage.look();
        stage.meanwhile(|stage| {
            shift(stage, 9);
            stage.burst(2000);
        });
    });
}

#[test]
fn generations_with_dates_in_their_names_are_read() {
    in_every_life("hub.log", |stage| {
        for name in ["hub.log-20261101", "hub.log-20261102", "hub-2026-11-03.log", "hub.2026-11-04.1.log"] {
            stage.write(50);
            stage.look();
            stage.meanwhile(|stage| {
                stage.write(50);
                rename(stage, name);
            });
            stage.write(5);
        }
    });
}

#[test]
fn copying_and_truncating_a_quiet_log_loses_no_line() {
    in_every_life("hub.log", |stage| {
        for round in 0..4 {
            stage.write(100);
            stage.caught_up();
            stage.meanwhile(|stage| {
                std::fs::copy(&stage.log, stage.beside(&format!("hub.log.{round}"))).unwrap();
                truncate(&stage.log);
            });
            stage.write(50 + round * 100);
        }
    });
}

#[test]
fn lines_that_are_only_in_the_copy_of_a_truncated_log_are_read() {
    in_every_life("hub.log", |stage| {
        for round in 0..4 {
            stage.write(60);
            stage.look();
            stage.meanwhile(|stage| {
                stage.write(60);
                std::fs::copy(&stage.log, stage.beside(&format!("hub.log.{round}"))).unwrap();
                truncate(&stage.log);
                stage.write(60 * (round % 3));
            });
            stage.look();
        }
    });
}

#[test]
fn copying_and_truncating_a_log_that_is_written_meanwhile_doubles_no_line() {
    in_every_life("hub.log", |stage| {
        for round in 0..4 {
            stage.write(60);
            std::fs::copy(&stage.log, stage.beside(&format!("hub.log.{round}"))).unwrap();
            stage.write(5);
            // These lines can be read only until the file is truncated.
            stage.caught_up();
            stage.meanwhile(|stage| {
                truncate(&stage.log);
                stage.write(3);
            });
            stage.write(20);
            // A generation is renamed later: the copies must not count as new generations.
            stage.look();
            stage.meanwhile(|stage| rename(stage, &format!("hub.log.1{round}")));
        }
    });
}

#[test]
fn a_truncated_log_that_at_once_grows_past_its_old_size_is_read() {
    in_every_life("hub.log", |stage| {
        for round in 1..5 {
            stage.write(20 * round);
            stage.caught_up();
            stage.meanwhile(|stage| {
                truncate(&stage.log);
                stage.burst(100 * round);
            });
            stage.caught_up();
        }
    });
}

#[test]
fn a_log_truncated_by_a_hub_that_writes_the_same_first_lines_is_read() {
    in_every_life("hub.log", |stage| {
        for round in 0..4 {
            let lines = preamble(stage);
            stage.meanwhile(|stage| {
                truncate(&stage.log);
                append(&stage.log, lines.as_bytes());
                stage.burst(50 + round * 40);
            });
            stage.write(20);
            stage.caught_up();
        }
    });
}

#[test]
fn a_hole_that_a_writer_leaves_after_truncation_is_skipped() {
    in_every_life("hub.log", |stage| {
        let mut offset = 0;
        let file = OpenOptions::new().write(true).create(true).truncate(false).open(&stage.log).unwrap();
        for _ in 0..4 {
            let lines = stage.lines(100);
            file.write_all_at(lines.as_bytes(), offset).unwrap();
            offset += lines.len() as u64;
            stage.caught_up();
            stage.meanwhile(|stage| {
                file.set_len(0).unwrap();
                let lines = stage.lines(10);
                file.write_all_at(lines.as_bytes(), offset).unwrap();
                offset += lines.len() as u64;
            });
            stage.caught_up();
        }
    });
}

#[test]
fn a_deleted_log_is_read_when_it_is_created_again() {
    in_every_life("hub.log", |stage| {
        for _ in 0..5 {
            stage.write(50);
            stage.caught_up();
            stage.meanwhile(|stage| {
                std::fs::remove_file(&stage.log).unwrap();
                stage.write(30);
            });
        }
    });
}

#[test]
fn a_log_deleted_before_it_was_read_to_its_end_is_still_read() {
    in_lives(&[Life::Undisturbed, Life::ByClock], "hub.log", |stage| {
        for _ in 0..5 {
            stage.write(50);
            stage.look();
            stage.burst(500);
            std::fs::remove_file(&stage.log).unwrap();
            stage.write(30);
        }
    });
}

#[test]
fn a_new_file_with_a_reused_inode_is_read_from_its_beginning() {
    let reused = AtomicUsize::new(0);
    in_lives(&[Life::Away], "hub.log", |stage| {
        let lines = preamble(stage);
        append(&stage.log, lines.as_bytes());
        stage.write(100);
        stage.caught_up();
        stage.meanwhile(|stage| {
            let before = std::fs::metadata(&stage.log).unwrap().ino();
            std::fs::remove_file(&stage.log).unwrap();
            let lines = preamble(stage);
            append(&stage.log, lines.as_bytes());
            reused.fetch_add(usize::from(std::fs::metadata(&stage.log).unwrap().ino() == before), Ordering::Relaxed);
            stage.write(200);
        });
    });
    eprintln!("the inode was reused {} times", reused.load(Ordering::Relaxed));
}

#[test]
fn a_link_that_moves_from_file_to_file_is_followed() {
    in_every_life("hub.log", |stage| {
        let link = stage.log.clone();
        for file in 0..12 {
            stage.log = stage.beside(&format!("mcp-hub.{file}.log"));
            stage.write(30);
            let _ = std::fs::remove_file(&link);
            symlink(&stage.log, &link).unwrap();
            if file % 4 == 0 {
                stage.look();
            }
            let log = stage.log.clone();
            stage.meanwhile(|stage| {
                stage.log = log;
                stage.write(30);
            });
        }
    });
}

#[test]
fn a_pattern_for_numbered_files_beside_a_link_to_the_latest_doubles_no_line() {
    in_every_life("hub.[0-9]*.log", |stage| {
        let link = stage.beside("current.log");
        for file in 1..9 {
            stage.log = stage.beside(&format!("hub.{file}.log"));
            stage.meanwhile(|stage| {
                stage.write(40);
                let _ = std::fs::remove_file(&link);
                symlink(&stage.log, &link).unwrap();
            });
            stage.write(40);
            if file > 4 {
                stage.caught_up();
                std::fs::remove_file(stage.beside(&format!("hub.{}.log", file - 4))).unwrap();
            }
        }
    });
}

#[test]
fn a_generation_compressed_before_it_was_read_to_its_end_is_read() {
    in_lives(&[Life::Away], "hub.log", |stage| {
        stage.write(100);
        stage.caught_up();
        stage.meanwhile(|stage| {
            stage.write(100);
            shift(stage, 9);
            gzip(&stage.beside("hub.log.1"));
            stage.write(100);
        });
        stage.caught_up();
        // And whole generations that the reader has not seen.
        stage.meanwhile(|stage| {
            stage.write(100);
            rename(stage, "hub.log.2");
            gzip(&stage.beside("hub.log.2"));
            stage.write(100);
            rename(stage, "hub.log.3");
            gzip(&stage.beside("hub.log.3"));
            stage.write(100);
        });
    });
}

#[test]
fn a_reader_killed_repeatedly_in_a_compressed_generation_reads_each_line_once() {
    let mut stage = Stage::new("hub.log", Life::Away, Pace::Clock);
    stage.start();
    stage.write(10);
    stage.caught_up();
    stage.kill();
    stage.burst(100_000);
    shift(&stage, 9);
    gzip(&stage.beside("hub.log.1"));
    stage.write(10);
    stage.life = Life::Killed;
    stage.start();
    stage.end();
}

#[test]
fn a_renamed_file_keeps_its_generation_and_a_truncated_one_gets_another() {
    in_every_life("hub.log", |stage| {
        stage.write(10);
        stage.caught_up();
        stage.meanwhile(|stage| {
            stage.write(10);
            shift(stage, 9);
            stage.write(10);
        });
        stage.caught_up();
        stage.meanwhile(|stage| {
            truncate(&stage.log);
            stage.write(10);
        });
        stage.caught_up();
        let generations = stage.generations();
        assert_eq!(generations, [vec![0; 20], vec![1; 10], vec![2; 10]].concat(), "{:?}", stage.life);
    });
}

#[test]
fn unread_bytes_of_a_truncated_log_are_counted() {
    in_lives(&[Life::Undisturbed, Life::ByClock], "hub.log", |stage| {
        stage.write(10);
        append(&stage.log, b"half a line");
        stage.look();
        truncate(&stage.log);
        stage.write(10);
        stage.caught_up();
        assert_eq!(stage.unread, 11);
    });
}

#[test]
fn random_rotations_and_kills_lose_and_double_no_line() {
    in_lives(&[Life::Killed, Life::ByClock], "hub.log", at_random);
}

#[test]
fn random_rotations_and_kills_lose_and_double_no_line_of_a_pattern() {
    in_lives(&[Life::Killed, Life::ByClock], "hub.log*", at_random);
}

fn at_random(stage: &mut Stage) {
    for generation in 1..40 {
        stage.burst(fastrand::usize(1..400));
        stage.write(fastrand::usize(0..20));
        match fastrand::u8(0..5) {
            0 => shift(stage, 60),
            1 => {
                shift(stage, 60);
                stage.look();
            }
            2 => {
                stage.caught_up();
                std::fs::copy(&stage.log, stage.beside(&format!("hub.log.{}", 60 + generation))).unwrap();
                truncate(&stage.log);
            }
            _ => {}
        }
    }
    stage.write(1);
}
