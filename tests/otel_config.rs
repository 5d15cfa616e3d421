//! The configurations of servers that can't be run here, in otel-config: they name options that their servers document, with what
//! hubwatch needs, and fit together.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use hubwatch::watch::MAX_TEXT_BYTES;
use serde_json::Value;

/// The options that Tempo 3 documents ("Manifest"), as far as the file may use them.
const TEMPO: &[&str] = &[
    "server.http_listen_address",
    "server.http_listen_port",
    "server.grpc_listen_address",
    "server.grpc_listen_port",
    "distributor.receivers.otlp.protocols.grpc.endpoint",
    "distributor.receivers.otlp.protocols.grpc.max_recv_msg_size_mib",
    "distributor.receivers.otlp.protocols.http.endpoint",
    "distributor.max_attribute_bytes",
    "storage.trace.backend",
    "storage.trace.wal.path",
    "storage.trace.local.path",
    "backend_worker.compaction.block_retention",
    "overrides.defaults.global.max_bytes_per_trace",
    "usage_report.reporting_enabled",
];

/// The options that Loki 3 documents ("Configuration parameters").
const LOKI: &[&str] = &[
    "auth_enabled",
    "server.http_listen_address",
    "server.http_listen_port",
    "server.grpc_listen_address",
    "server.grpc_listen_port",
    "common.instance_addr",
    "common.path_prefix",
    "common.replication_factor",
    "common.ring.kvstore.store",
    "common.storage.filesystem.chunks_directory",
    "common.storage.filesystem.rules_directory",
    "schema_config.configs.from",
    "schema_config.configs.store",
    "schema_config.configs.object_store",
    "schema_config.configs.schema",
    "schema_config.configs.index.prefix",
    "schema_config.configs.index.period",
    "limits_config.allow_structured_metadata",
    "limits_config.unordered_writes",
    "limits_config.reject_old_samples_max_age",
    "limits_config.retention_period",
    "compactor.working_directory",
    "compactor.retention_enabled",
    "compactor.delete_request_store",
    "analytics.reporting_enabled",
];

/// What Grafana documents of a data source and of a provider of dashboards ("Provision Grafana"), and of the data sources' own settings.
const DATA_SOURCES: &[&str] = &[
    "apiVersion",
    "datasources.name",
    "datasources.uid",
    "datasources.type",
    "datasources.access",
    "datasources.url",
    "datasources.isDefault",
    "datasources.jsonData.timeInterval",
    "datasources.jsonData.tracesToLogsV2.datasourceUid",
    "datasources.jsonData.tracesToLogsV2.filterByTraceID",
];
const PROVIDERS: &[&str] =
    &["apiVersion", "providers.name", "providers.folder", "providers.type", "providers.allowUiUpdates", "providers.options.path"];

/// The strategy's period, in hours.
const PERIOD: u64 = 48;

fn text(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("otel-config").join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn yaml(path: &str) -> Value {
    serde_saphyr::from_str(&text(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The path of each value, without the places in lists.
fn options(value: &Value, path: &str, all: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => {
            for (key, value) in fields {
                let dot = if path.is_empty() { "" } else { "." };
                options(value, &format!("{path}{dot}{key}"), all);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| options(item, path, all)),
        _ => drop(all.insert(path.to_owned())),
    }
}

fn assert_documented(file: &str, known: &[&str]) {
    let mut used = BTreeSet::new();
    options(&yaml(file), "", &mut used);
    let unknown: Vec<_> = used.iter().filter(|option| !known.contains(&option.as_str())).collect();
    assert!(!used.is_empty() && unknown.is_empty(), "{file}: {unknown:?}");
}

fn hours(value: &Value) -> u64 {
    value.as_str().and_then(|text| text.strip_suffix('h')?.parse().ok()).unwrap_or_else(|| panic!("no hours: {value}"))
}

#[test]
fn each_option_is_one_that_its_server_documents() {
    assert_documented("tempo/tempo.yaml", TEMPO);
    assert_documented("loki/loki.yaml", LOKI);
    assert_documented("grafana/provisioning/datasources/hubwatch.yaml", DATA_SOURCES);
    assert_documented("grafana/provisioning/dashboards/hubwatch.yaml", PROVIDERS);
}

#[test]
fn tempo_and_loki_keep_what_hubwatch_sends_for_longer_than_the_period() {
    let tempo = yaml("tempo/tempo.yaml");
    let at = |path: &str| tempo.pointer(path).unwrap_or_else(|| panic!("{path}"));
    assert!(at("/distributor/max_attribute_bytes").as_u64().unwrap() >= MAX_TEXT_BYTES as u64);
    // Two megabytes of Watches, and as much again for what stands around them.
    assert!(at("/overrides/defaults/global/max_bytes_per_trace").as_u64().unwrap() >= 4_000_000);
    assert!(at("/distributor/receivers/otlp/protocols/grpc/max_recv_msg_size_mib").as_u64().unwrap() >= 16);
    assert!(hours(at("/backend_worker/compaction/block_retention")) > PERIOD);

    let loki = yaml("loki/loki.yaml");
    let limits = &loki["limits_config"];
    assert_eq!((&limits["allow_structured_metadata"], &limits["unordered_writes"]), (&true.into(), &true.into()));
    assert!(hours(&limits["reject_old_samples_max_age"]) > PERIOD && hours(&limits["retention_period"]) > PERIOD);
    // Structured metadata needs this index and at least this schema; retention needs the compactor to know where requests are.
    let schema = &loki["schema_config"]["configs"][0];
    assert_eq!((&schema["store"], &schema["schema"], &schema["index"]["period"]), (&"tsdb".into(), &"v13".into(), &"24h".into()));
    assert_eq!(loki["compactor"]["delete_request_store"], schema["object_store"]);
}

/// The address that a Collector's `${env:NAME:-ADDRESS}` means by default.
fn by_default(text: &Value) -> String {
    let text = text.as_str().unwrap();
    let address = text.split_once(":-").map_or(text, |(_, default)| default.trim_end_matches('}'));
    address.trim_start_matches("http://").split('/').next().unwrap().to_owned()
}

#[test]
fn what_one_sends_another_listens_for_and_no_two_listen_at_the_same_place() {
    let (tempo, loki, collector) = (yaml("tempo/tempo.yaml"), yaml("loki/loki.yaml"), yaml("collector/collector.yaml"));
    let served = |server: &Value, protocol: &str| {
        let (address, port) = (&server[format!("{protocol}_listen_address")], &server[format!("{protocol}_listen_port")]);
        format!("{}:{port}", address.as_str().unwrap())
    };
    let otlp = &tempo["distributor"]["receivers"]["otlp"]["protocols"];
    let exporter = |name: &str| by_default(&collector["exporters"][name]["endpoint"]);
    assert_eq!(exporter("otlp_http/tempo"), by_default(&otlp["http"]["endpoint"]));
    assert_eq!(exporter("otlp_http/loki"), served(&loki["server"], "http"));

    let received = &collector["receivers"]["otlp"]["protocols"];
    let listening = [
        ("Collector, gRPC", by_default(&received["grpc"]["endpoint"])),
        ("Collector, HTTP", by_default(&received["http"]["endpoint"])),
        ("Collector, health", by_default(&collector["extensions"]["health_check"]["endpoint"])),
        ("Jaeger behind the Collector", exporter("otlp_grpc/jaeger")),
        ("Prometheus", exporter("otlp_http/prometheus")),
        ("Tempo", served(&tempo["server"], "http")),
        ("Tempo's parts", served(&tempo["server"], "grpc")),
        ("Tempo, OTLP by gRPC", by_default(&otlp["grpc"]["endpoint"])),
        ("Tempo, OTLP by HTTP", by_default(&otlp["http"]["endpoint"])),
        ("Loki", served(&loki["server"], "http")),
        ("Loki's parts", served(&loki["server"], "grpc")),
        (
            "hubwatch",
            yaml("prometheus/scrape.yml")["scrape_configs"][0]["static_configs"][0]["targets"][0].as_str().unwrap().to_owned(),
        ),
    ];
    let mut places: BTreeMap<&str, &str> = BTreeMap::new();
    for (who, place) in &listening {
        assert!(place.starts_with("127.0.0.1:"), "{who}: {place}");
        if let Some(other) = places.insert(place, who) {
            panic!("{who} and {other} both listen at {place}");
        }
    }
}

/// The panels, those in rows too.
fn panels(dashboard: &Value) -> Vec<&Value> {
    let all = dashboard["panels"].as_array().unwrap();
    all.iter().flat_map(|panel| std::iter::once(panel).chain(panel["panels"].as_array().into_iter().flatten())).collect()
}

#[test]
fn each_dashboard_is_whole_and_asks_only_data_sources_that_are_provisioned() {
    let sources = yaml("grafana/provisioning/datasources/hubwatch.yaml");
    let sources = sources["datasources"].as_array().unwrap();
    let known: BTreeMap<&str, &str> =
        sources.iter().map(|source| (source["uid"].as_str().unwrap(), source["type"].as_str().unwrap())).collect();
    assert_eq!(known.len(), sources.len(), "each has an id of its own");
    assert_eq!(sources.iter().filter(|source| source["isDefault"] == true).count(), 1);
    let linked = sources.iter().filter_map(|source| source["jsonData"]["tracesToLogsV2"]["datasourceUid"].as_str());
    assert!(linked.into_iter().all(|uid| known.get(uid) == Some(&"loki")));
    let mut uids = BTreeSet::new();
    for file in ["hub.json", "fleet.json"] {
        let dashboard: Value = serde_json::from_str(&text(&format!("grafana/dashboards/{file}"))).unwrap();
        assert!(
            uids.insert(dashboard["uid"].as_str().unwrap().to_owned()) && dashboard["schemaVersion"].as_u64() >= Some(39),
            "{file}"
        );
        let variables: BTreeSet<&str> =
            dashboard["templating"]["list"].as_array().unwrap().iter().map(|variable| variable["name"].as_str().unwrap()).collect();
        let panels = panels(&dashboard);
        let ids: BTreeSet<u64> = panels.iter().map(|panel| panel["id"].as_u64().unwrap()).collect();
        assert_eq!(ids.len(), panels.len(), "{file}: each panel has an id of its own");
        for panel in &panels {
            let title = panel["title"].as_str().unwrap();
            for target in panel["targets"].as_array().unwrap() {
                let source = &target["datasource"];
                let kind = known.get(source["uid"].as_str().unwrap());
                assert_eq!(kind, source["type"].as_str().as_ref(), "{file}, {title}: {source}");
                let unknown: Vec<&str> = variables_of(target["expr"].as_str().unwrap())
                    .into_iter()
                    .filter(|name| !variables.contains(name) && !name.starts_with("__"))
                    .collect();
                assert!(unknown.is_empty(), "{file}, {title}: {unknown:?}");
            }
        }
        assert_apart(file, &panels);
    }
}

/// The variables that a query names.
fn variables_of(query: &str) -> Vec<&str> {
    let name = |rest: &str| rest.find(|letter: char| !letter.is_alphanumeric() && letter != '_').unwrap_or(rest.len());
    query.split('$').skip(1).map(|rest| &rest[..name(rest)]).collect()
}

/// No panel covers another, and none is wider than the page of 24 columns.
fn assert_apart(file: &str, panels: &[&Value]) {
    let side = |panel: &Value, side: &str| panel["gridPos"][side].as_u64().unwrap();
    let place = |panel: &Value| ["x", "y", "w", "h"].map(|name| side(panel, name));
    let mut taken: BTreeMap<(u64, u64), &str> = BTreeMap::new();
    for panel in panels {
        let [x, y, width, height] = place(panel);
        assert!(x + width <= 24 && width > 0 && height > 0, "{file}: {}", panel["title"]);
        for cell in (x..x + width).flat_map(|column| (y..y + height).map(move |row| (column, row))) {
            let other = taken.insert(cell, panel["title"].as_str().unwrap());
            assert!(other.is_none(), "{file}: {} covers {other:?}", panel["title"]);
        }
    }
}

/// The queries of the rules, with the names of those who ask them, and of the dashboards.
fn queries() -> Vec<(String, String)> {
    let rules = yaml("prometheus/hubwatch-rules.yml");
    let rules = rules["groups"].as_array().unwrap().iter().flat_map(|group| group["rules"].as_array().unwrap());
    let rule = |rule: &Value| {
        let name = rule["alert"].as_str().or(rule["record"].as_str()).unwrap();
        (name.to_owned(), rule["expr"].as_str().unwrap().to_owned())
    };
    let mut all: Vec<_> = rules.map(rule).collect();
    for file in ["hub.json", "fleet.json"] {
        let dashboard: Value = serde_json::from_str(&text(&format!("grafana/dashboards/{file}"))).unwrap();
        for panel in panels(&dashboard) {
            let targets = panel["targets"].as_array().unwrap();
            all.extend(targets.iter().map(|target| (panel["title"].to_string(), target["expr"].as_str().unwrap().to_owned())));
        }
    }
    all
}

#[test]
fn what_the_hub_and_the_sidecar_both_have_is_asked_of_exactly_one_of_them() {
    let mut asked = 0;
    for (who, query) in queries() {
        for (at, name) in query.match_indices("process_").filter(|(at, _)| !query[..*at].ends_with([':', '_'])) {
            let rest = &query[at + name.len()..];
            let selector = rest.split_once('{').map_or("", |(_, selector)| selector.split('}').next().unwrap());
            assert!(selector.contains("job=\"mcp-hub\""), "{who}: {query}");
            asked += 1;
        }
    }
    assert!(asked > 8, "{asked}");
}

#[test]
fn no_alert_is_about_what_is_planned_and_none_about_a_server_that_need_not_work() {
    let rules = yaml("prometheus/hubwatch-rules.yml");
    let rules: Vec<&Value> =
        rules["groups"].as_array().unwrap().iter().flat_map(|group| group["rules"].as_array().unwrap()).collect();
    let recorded = |name: &str| rules.iter().find(|rule| rule["record"] == name).map(|rule| rule["expr"].as_str().unwrap());
    let heeds_plans =
        |expr: &str| expr.contains("unless on") && (expr.contains("mcphub_planned_ratio") || expr.contains("hubwatch:planned:"));
    let mut alerts = 0;
    for rule in rules.iter().filter(|rule| rule["alert"].is_string()) {
        let (name, expr) = (rule["alert"].as_str().unwrap(), rule["expr"].as_str().unwrap());
        alerts += 1;
        // That nobody watches is never planned.
        let over = expr.split_once("max_over_time(").and_then(|(_, rest)| recorded(rest.split('[').next().unwrap()));
        assert!(name == "HubNotWatched" || heeds_plans(expr) || over.is_some_and(heeds_plans), "{name}: {expr}");
        assert!(!expr.contains("mcphub_server_up_ratio") || expr.contains("mcphub_server_expected_ratio == 0"), "{name}: {expr}");
    }
    assert!(alerts > 8, "{alerts}");
}
