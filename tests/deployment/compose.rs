//! docker/compose.yaml, and docker/compose.grafana.yaml on top of it.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use crate::{assert_known, assert_readable, assert_understood, assert_valid, beside_docker, schema, words, yaml};

const FILES: [&str; 2] = ["docker/compose.yaml", "docker/compose.grafana.yaml"];

/// Merges the second into the first, like `docker compose -f … -f …`: maps are merged, everything else is replaced.
fn merged() -> Value {
    fn over(below: &mut Value, above: Value) {
        match (below, above) {
            (Value::Object(below), Value::Object(above)) => {
                for (key, value) in above {
                    over(below.entry(key).or_insert(Value::Null), value);
                }
            }
            (below, above) => *below = above,
        }
    }
    let mut merged = Value::Object(Map::new());
    for file in FILES {
        over(&mut merged, yaml(file).remove(0));
    }
    merged
}

fn services(document: &Value) -> &Map<String, Value> {
    document["services"].as_object().unwrap()
}

#[test]
fn the_files_are_valid_by_the_compose_specification() {
    for file in FILES {
        let documents = yaml(file);
        assert_eq!(documents.len(), 1);
        assert_valid(file, &documents[0], &schema("compose-spec.json"));
    }
    assert_valid("both", &merged(), &schema("compose-spec.json"));
}

#[test]
fn everything_they_refer_to_exists() {
    let both = merged();
    let volumes: BTreeSet<&str> = both["volumes"].as_object().unwrap().keys().map(String::as_str).collect();
    let mut used = BTreeSet::new();
    for (name, service) in services(&both) {
        for mount in words(&service["volumes"]) {
            let from = mount.split(':').next().unwrap();
            if from.starts_with('.') {
                assert!(beside_docker(from).exists(), "{name}: {from}");
            } else {
                assert!(volumes.contains(from), "{name}: {from}");
                used.insert(from);
            }
        }
        let shares = ["pid", "network_mode"].into_iter().filter_map(|key| service[key].as_str()?.strip_prefix("service:"));
        for other in shares.chain(words(&service["depends_on"])) {
            assert!(services(&both).contains_key(other), "{name}: {other}");
        }
        assert!(service["image"].as_str().is_some_and(|image| image.contains(':') && !image.ends_with(":latest")), "{name}");
    }
    assert_eq!(used, volumes, "no volume is made for nothing");
}

#[test]
fn hubwatch_understands_its_arguments_and_variables() {
    let both = merged();
    for name in ["hubwatch", "report", "scenarios"] {
        let service = &services(&both)[name];
        for (variable, value) in service["environment"].as_object().unwrap() {
            assert_readable(name, variable, value.as_str().unwrap());
        }
        let command = words(&service["command"]);
        assert_understood(name, if command.is_empty() { &["run"] } else { &command });
    }
}

#[test]
fn hubwatch_runs_hardened_and_within_its_limits() {
    let both = merged();
    for (name, memory) in [("hubwatch", "64m"), ("report", "64m"), ("scenarios", "64m")] {
        let service = &services(&both)[name];
        assert_eq!((&service["read_only"], &service["mem_limit"]), (&Value::Bool(true), &Value::from(memory)), "{name}");
        assert_eq!((words(&service["cap_drop"]), words(&service["security_opt"])), (vec!["ALL"], vec!["no-new-privileges:true"]));
    }
    assert_eq!(services(&both)["hubwatch"]["cpus"], 0.1);
    // The PID namespace must outlive both containers.
    assert_eq!(services(&both)["hubwatch"]["pid"], services(&both)["hub"]["pid"]);
    assert_known("compose", "HUBWATCH_SHARED_PIDS");
}

#[test]
fn the_collector_and_jaeger_read_their_variables() {
    let both = merged();
    let of = [("collector", "otel-config/collector/collector.yaml"), ("jaeger", "otel-config/jaeger/jaeger.yaml")];
    for (name, configuration) in of {
        let read = crate::text(configuration);
        for variable in services(&both)[name]["environment"].as_object().unwrap().keys() {
            assert!(read.contains(&format!("${{env:{variable}:-")), "{name}: {variable}");
        }
    }
}
