//! docker/kubernetes: validation like the API server's strict mode.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::{assert_readable, assert_understood, assert_valid, schema, words, yaml};

const FILES: [&str; 3] = ["docker/kubernetes/hub.yaml", "docker/kubernetes/report.yaml", "docker/kubernetes/scenarios.yaml"];

fn resources() -> Vec<Value> {
    FILES.into_iter().flat_map(yaml).collect()
}

/// Returns the published definitions as `kubectl --validate=strict` applies them: no unknown fields; only whole numbers where text
/// or a number is allowed.
fn strict() -> Value {
    fn tighten(schema: &mut Value) {
        if schema["format"] == "int-or-string" {
            *schema = json!({"type": ["string", "integer"]});
        }
        if schema["properties"].is_object() && schema["additionalProperties"].is_null() {
            schema["additionalProperties"] = Value::Bool(false);
        }
        match schema {
            Value::Object(fields) => fields.values_mut().filter(|value| value.is_object() || value.is_array()).for_each(tighten),
            Value::Array(items) => items.iter_mut().filter(|item| item.is_object()).for_each(tighten),
            _ => {}
        }
    }
    let mut schema = schema("kubernetes-1.34.4.json");
    for definition in schema["definitions"].as_object_mut().unwrap().values_mut() {
        tighten(definition);
    }
    schema
}

/// Returns the definition of this group, version and kind.
fn schema_of(resource: &Value, all: &Value) -> Value {
    let (version, kind) = (resource["apiVersion"].as_str().unwrap(), resource["kind"].as_str().unwrap());
    let (group, version) = version.rsplit_once('/').unwrap_or(("", version));
    let is = |definition: &Value| {
        let kinds = definition["x-kubernetes-group-version-kind"].as_array();
        kinds.is_some_and(|kinds| kinds.iter().any(|of| of["group"] == group && of["version"] == version && of["kind"] == kind))
    };
    let definitions = all["definitions"].as_object().unwrap();
    let (name, _) = definitions.iter().find(|(_, definition)| is(definition)).unwrap_or_else(|| panic!("no schema of {kind}"));
    json!({"$ref": format!("#/definitions/{name}"), "definitions": definitions})
}

#[test]
fn the_resources_are_valid_by_kubernetes_definitions() {
    let all = strict();
    for resource in resources() {
        let what = format!("{} {}", resource["kind"], resource["metadata"]["name"]);
        assert_valid(&what, &resource, &schema_of(&resource, &all));
    }
}

#[test]
fn the_validation_finds_a_typing_mistake() {
    let all = strict();
    let mut deployment = resources().into_iter().find(|resource| resource["kind"] == "Deployment").unwrap();
    deployment["spec"]["template"]["spec"]["initContainers"][0]["restartPolcy"] = json!("Always");
    let validator = jsonschema::validator_for(&schema_of(&deployment, &all)).unwrap();
    assert!(!validator.is_valid(&deployment));
}

/// Returns the pods of all resources with their labels.
fn pods(resources: &[Value]) -> Vec<(&Value, &Value)> {
    let template = |resource: &'static str| match resource {
        "CronJob" => "/spec/jobTemplate/spec/template",
        _ => "/spec/template",
    };
    let of = |resource: &'_ Value| if resource["kind"] == "CronJob" { template("CronJob") } else { template("Job") };
    let templates = resources.iter().filter_map(|resource| resource.pointer(of(resource)));
    templates.map(|template| (&template["spec"], &template["metadata"]["labels"])).collect()
}

fn containers(pod: &Value) -> Vec<&Value> {
    ["initContainers", "containers"].into_iter().filter_map(|key| pod[key].as_array()).flatten().collect()
}

fn ours(resources: &[Value]) -> Vec<&Value> {
    let all = pods(resources).into_iter().flat_map(|(pod, _)| containers(pod));
    all.filter(|container| container["image"] == "hubwatch:local").collect()
}

#[test]
fn hubwatch_understands_its_arguments_and_variables() {
    let resources = resources();
    assert_eq!(ours(&resources).len(), 6);
    for container in ours(&resources) {
        let name = container["name"].as_str().unwrap();
        for variable in container["env"].as_array().into_iter().flatten() {
            assert_readable(name, variable["name"].as_str().unwrap(), variable["value"].as_str().unwrap());
        }
        assert_understood(name, &words(&container["args"]));
    }
    let configuration = resources.iter().find_map(|resource| resource["data"]["hubwatch.toml"].as_str()).unwrap();
    hubwatch::config::file::parse(configuration).unwrap();
}

#[test]
fn hubwatch_runs_hardened_and_within_its_limits() {
    for container in ours(&resources()) {
        let security = &container["securityContext"];
        assert_eq!((&security["readOnlyRootFilesystem"], &security["allowPrivilegeEscalation"]), (&json!(true), &json!(false)));
        assert_eq!((&security["runAsUser"], words(&security["capabilities"]["drop"])), (&json!(65532), vec!["ALL"]));
        assert_eq!(container["resources"]["limits"]["memory"], "64Mi");
    }
}

#[test]
fn the_sidecar_is_a_native_one_that_sees_the_hubs_processes_and_never_makes_the_pod_unready() {
    let resources = resources();
    let pods = pods(&resources);
    let (pod, _) = pods.iter().find(|(pod, _)| pod["initContainers"].is_array()).unwrap();
    let begins = pod["initContainers"].as_array().unwrap();
    let sidecar = begins.iter().find(|container| container["name"] == "hubwatch").unwrap();
    assert_eq!((&pod["shareProcessNamespace"], &sidecar["restartPolicy"]), (&json!(true), &json!("Always")));
    assert_eq!(sidecar["startupProbe"]["httpGet"]["path"], "/readyz");
    assert_eq!(sidecar["livenessProbe"]["httpGet"]["path"], "/healthz");
    assert!(sidecar["readinessProbe"].is_null());
}

#[test]
fn everything_they_refer_to_exists() {
    let resources = resources();
    let names = |kind: &str| -> BTreeSet<&str> {
        let of_kind = resources.iter().filter(|resource| resource["kind"] == kind);
        of_kind.map(|resource| resource["metadata"]["name"].as_str().unwrap()).collect()
    };
    for (pod, _) in pods(&resources) {
        let volumes: Vec<&Value> = pod["volumes"].as_array().into_iter().flatten().collect();
        let known: BTreeSet<&str> = volumes.iter().map(|volume| volume["name"].as_str().unwrap()).collect();
        let mounted = |container: &Value| -> Vec<String> {
            let mounts = container["volumeMounts"].as_array().into_iter().flatten();
            mounts.map(|mount| mount["name"].as_str().unwrap().to_owned()).collect()
        };
        let used: BTreeSet<String> = containers(pod).into_iter().flat_map(mounted).collect();
        assert_eq!(used.iter().map(String::as_str).collect::<BTreeSet<_>>(), known);
        for volume in volumes {
            if let Some(name) = volume["configMap"]["name"].as_str() {
                assert!(names("ConfigMap").contains(name), "{name}");
            }
            if let Some(name) = volume["persistentVolumeClaim"]["claimName"].as_str() {
                assert!(names("PersistentVolumeClaim").contains(name), "{name}");
            }
        }
    }
    let labels: Vec<&Value> = pods(&resources).into_iter().map(|(_, labels)| labels).collect();
    let selectors =
        ["/spec/selector/matchLabels", "/spec/podSelector/matchLabels", "/spec/ingress/1/from/0/podSelector/matchLabels"];
    for resource in &resources {
        let service = resource.pointer("/spec/selector").filter(|_| resource["kind"] == "Service");
        for selector in selectors.iter().filter_map(|path| resource.pointer(path)).chain(service) {
            assert!(labels.contains(&selector), "{selector} finds no pod");
        }
    }
    let backends = ours(&resources).into_iter().flat_map(|container| container["env"].as_array().into_iter().flatten());
    for backend in backends.filter(|variable| variable["name"] == "HUBWATCH_BACKEND") {
        let host = backend["value"].as_str().unwrap().split("//").nth(1).unwrap().split(':').next().unwrap();
        assert!(names("Service").contains(host), "{host}");
    }
}

#[test]
fn a_verdict_is_not_retried() {
    use hubwatch::cli::Exit;
    let resources = resources();
    let specs = ["/spec", "/spec/jobTemplate/spec"];
    let jobs = resources.iter().flat_map(|resource| specs.iter().filter_map(|path| resource.pointer(path)));
    let policies: Vec<&Value> = jobs.filter_map(|job| job.pointer("/podFailurePolicy/rules/0")).collect();
    assert_eq!(policies.len(), 4);
    for rule in policies {
        let final_codes = [Exit::Failed, Exit::Usage, Exit::NoVerdict, Exit::Config].map(|exit| json!(exit.code()));
        assert_eq!((&rule["action"], &rule["onExitCodes"]["values"]), (&json!("FailJob"), &json!(final_codes)));
    }
}
