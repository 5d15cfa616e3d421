//! The pages about a running watch: the status page's data, `dashboard.json`, `/metrics`; and their agreement with the later
//! report.

mod watched;

use std::collections::BTreeSet;

use serde_json::Value;
use watched::{Hub, read_json, until};

fn keys(value: &Value) -> BTreeSet<&str> {
    value.as_object().unwrap().keys().map(String::as_str).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_dashboard_has_the_strategys_fields_and_their_values() {
    let hub = Hub::start().await;
    let sidecar = hub.watch(&[]);
    let path = hub.state_dir().join("dashboard.json");
    let dashboard = until("the dashboard shows a server", async || {
        let all_is_well = |state: &Value| state["status"] == "ok" && state["servers"][0]["status"] == "connected";
        read_json(&path).filter(|dashboard| all_is_well(&dashboard["currentState"]))
    })
    .await;
    assert_eq!(keys(&dashboard), ["currentState", "deploymentInfo", "incidents", "metrics"].into());
    assert_eq!(keys(&dashboard["deploymentInfo"]), ["configFile", "pid", "port", "startTime"].into());
    let state = ["activeClients", "cpu", "memory", "servers", "status", "timestamp", "uptime"];
    assert_eq!(keys(&dashboard["currentState"]), state.into());
    assert_eq!(keys(&dashboard["currentState"]["servers"][0]), ["name", "status", "tools", "uptime"].into());
    let metrics = ["avgResponseTime", "errorCount", "peakCpuUsage", "peakMemoryUsage", "successRate", "totalHealthChecks"];
    assert_eq!(keys(&dashboard["metrics"]), metrics.into());

    assert_eq!(dashboard["deploymentInfo"]["configFile"], "/srv/staging/mcp-servers.json");
    assert!(hub.url.ends_with(&dashboard["deploymentInfo"]["port"].to_string()), "{dashboard:#}");
    assert_eq!(dashboard["currentState"]["status"], "ok");
    assert_eq!(dashboard["currentState"]["servers"][0]["tools"], 14);
    assert_eq!(keys(&serde_json::from_str(&sidecar.get("/dashboard.json").await.1).unwrap()), keys(&dashboard));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_is_on_every_page_and_in_the_report() {
    let hub = Hub::start().await;
    hub.configure("[servers.github]\nexpected = ['disconnected', 'connecting']\n");
    let sidecar = hub.watch(&["--dashboard", "elsewhere/dashboard.json"]);
    let is_up = |name: &str, up: u8| {
        format!(
            "mcphub_server_up_ratio{{job=\"mcp-hub\",instance=\"simulated\",deployment_environment_name=\"staging\",mcphub_server_name=\"{name}\"}} {up}\n"
        )
    };
    sidecar.until("/metrics", |page| page.contains(&is_up("filesystem", 1))).await;
    hub.kills("filesystem");
    let is_down = |server: &Value| server["name"] == "filesystem" && server["claims"] == "connected" && server["judged"] == "down";
    let shows = |status: &Value| status["watched"]["servers"].as_array().is_some_and(|servers| servers.iter().any(is_down));
    let status = sidecar.until_json("/status.json", shows).await;
    assert_eq!(status["watched"]["verdict"], "fail");
    let is_crash =
        |incident: &Value| incident["title"].as_str().unwrap().contains("filesystem") && incident["severity"] == "critical";
    assert!(status["watched"]["incidents"].as_array().unwrap().iter().any(is_crash), "{:#}", status["watched"]["incidents"]);
    let page = sidecar.until("/metrics", |page| page.contains(&is_up("filesystem", 0))).await;
    assert!(
        page.contains(
            "hubwatch_verdict{job=\"mcp-hub\",instance=\"simulated\",deployment_environment_name=\"staging\",verdict=\"fail\"} 1\n"
        ),
        "{page}"
    );
    assert!(
        page.contains(
            "hubwatch_incidents_open{job=\"mcp-hub\",instance=\"simulated\",deployment_environment_name=\"staging\",severity=\"critical\"} 1\n"
        ),
        "{page}"
    );
    let dashboard = hub.folder.path().join("elsewhere/dashboard.json");
    let crashed = |dashboard: &Value| dashboard["currentState"]["servers"][0]["status"] == "down";
    until("the dashboard says so", async || read_json(&dashboard).filter(crashed)).await;

    let ids =
        |report: &Value| report["incidents"].as_array().unwrap().iter().map(|incident| incident["id"].clone()).collect::<Vec<_>>();
    let live = sidecar.until_json("/report.json", |report| !ids(report).is_empty()).await;
    sidecar.stop();
    let report = hub.report();
    assert_eq!(ids(&live), ids(&report));
    assert_eq!(live["overall"]["verdict"], report["overall"]["verdict"]);
    assert!(crashed(&read_json(&dashboard).unwrap()));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_dashboard_is_written_at_its_interval_and_once_more_at_the_end() {
    let hub = Hub::start().await;
    hub.configure("[dashboard]\ninterval = '1h'\n");
    let sidecar = hub.watch(&[]);
    let path = hub.state_dir().join("dashboard.json");
    let checks = |dashboard: &Value| dashboard["metrics"]["totalHealthChecks"].as_u64().unwrap();
    let first = until("the dashboard is written", async || read_json(&path)).await;
    let served = sidecar.until_json("/dashboard.json", |served| checks(served) >= checks(&first) + 5).await;
    assert_eq!(read_json(&path).unwrap(), first, "what is served is up to date, and the file is left alone");
    sidecar.stop();
    assert!(checks(&read_json(&path).unwrap()) >= checks(&served));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_served_report_has_the_same_signatures_and_trace_links_as_the_later_report() {
    let hub = Hub::start().await;
    hub.configure(
        "[report]\nlead = 'A. Lead'\nescalation = ['B. Boss']\nsignatures = ['QA']\ntrace_url = 'http://grafana/{trace_id}'\n\
         [report.contacts]\nhub = 'C. Contact'\n",
    );
    let sidecar = hub.watch(&[]);
    let started = |report: &Value| report["servers"].as_array().is_some_and(|servers| !servers.is_empty());
    sidecar.until_json("/report.json", started).await;
    hub.kills("filesystem");
    let served = sidecar.until_json("/report.json", |report| report["trace_urls"].is_object()).await;
    sidecar.stop();
    let report = hub.report();
    assert_eq!(served["sign_off"]["lead"], "A. Lead");
    assert_eq!(served["sign_off"], report["sign_off"]);
    let links = served["trace_urls"].as_object().unwrap();
    assert!(!links.is_empty() && links.iter().all(|(id, link)| report["trace_urls"][id] == *link), "{links:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_status_page_is_one_file_and_loads_nothing_from_other_servers() {
    let hub = Hub::start().await;
    let sidecar = hub.watch(&[]);
    hubwatch::base::tls::choose_provider();
    let response = reqwest::get(sidecar.url("/")).await.unwrap();
    let policy = response.headers()["content-security-policy"].to_str().unwrap().to_owned();
    assert!(policy.contains("default-src 'none'") && policy.contains("connect-src 'self'"), "{policy}");
    let page = response.text().await.unwrap();
    let outside = page.match_indices("http").filter(|(at, _)| !page[*at..].starts_with("http://www.w3.org/2000/svg"));
    assert_eq!(outside.count(), 0, "only the name of SVG looks like an address");
    assert!(page.contains("<noscript>") && page.contains("prefers-color-scheme: dark"));
    assert_eq!(sidecar.get("/status.json?hub=other").await.0, 404);
    let by_name = reqwest::Client::new().get(sidecar.url("/status.json")).header("host", "attacker.example").send().await.unwrap();
    assert_eq!(by_name.status().as_u16(), 403, "a page of the internet can't have a browser read it");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_figure_that_appears_twice_is_the_same_wherever_it_appears() {
    let hub = Hub::start().await;
    let sidecar = hub.watch(&["--interval", "1s"]);
    let polls = |report: &Value| report["coverage"]["polls"].as_u64().unwrap();
    let served = async |path: &str| serde_json::from_str::<Value>(&sidecar.get(path).await.1).ok();
    // All of one moment: between two reports that are the same no Watch came.
    let (report, status, dashboard, metrics) = until("no Watch comes between two looks", async || {
        let before = served("/report.json").await.filter(|report| polls(report) > 3)?;
        let (status, dashboard) = (served("/status.json").await?, served("/dashboard.json").await?);
        let metrics = sidecar.get("/metrics").await.1;
        let after = served("/report.json").await?;
        (polls(&before) == polls(&after)).then_some((before, status, dashboard, metrics))
    })
    .await;
    let measures = report["measures"].as_array().unwrap();
    let shown = |name: &str| measures.iter().find(|measure| measure["measure"] == name).unwrap()["shown"].clone();
    let fact = |name: &str| {
        let facts = status["watched"]["facts"].as_array().unwrap();
        facts.iter().find(|fact| fact[0] == name).unwrap_or_else(|| panic!("{facts:?}"))[1].clone()
    };
    assert_eq!([fact("API response time, average"), fact("Memory, peak")], [shown("api.mean"), shown("memory.peak")]);
    let figures = &dashboard["metrics"];
    assert_eq!([&figures["avgResponseTime"], &figures["peakMemoryUsage"]], [&shown("api.mean"), &shown("memory.peak")]);
    assert_eq!(figures["totalHealthChecks"], report["coverage"]["polls"]);
    let verdict = format!("verdict=\"{}\"}} 1\n", report["overall"]["verdict"].as_str().unwrap());
    assert!(
        metrics.lines().any(|line| line.starts_with("hubwatch_verdict{") && format!("{line}\n").ends_with(&verdict)),
        "{metrics}"
    );

    sidecar.stop();
    let figure = |report: &Value, name: &str| {
        let measures = report["measures"].as_array().unwrap();
        measures.iter().find(|measure| measure["measure"] == name).unwrap()["shown"].as_str().unwrap_or("–").to_owned()
    };
    let files = ["report.json", "report.md", "report.html"].map(|name| hub.folder.path().join(name));
    let outputs = files.iter().flat_map(|file| ["--out".as_ref(), file.as_os_str()]);
    hub.command("report", &["--name", "simulated", "--since", "1h"]).args(outputs).output().unwrap();
    let [json, markdown, page] =
        files.map(|file| std::fs::read_to_string(&file).unwrap_or_else(|_| panic!("no {}", file.display())));
    let (report, dashboard) = (serde_json::from_str(&json).unwrap(), read_json(&hub.state_dir().join("dashboard.json")).unwrap());
    for name in ["api.mean", "api.p95", "memory.peak", "errors.share"] {
        let shown = figure(&report, name);
        assert!(markdown.contains(&shown) && page.contains(&shown), "{name} is {shown}");
        for row in report["criteria"].as_array().unwrap().iter().flat_map(|row| row["limits"].as_array().unwrap()) {
            assert!(row["measure"] != name || row["shown"] == shown.as_str(), "{name} is {shown}: {row:#}");
        }
    }
    assert_eq!(dashboard["metrics"]["avgResponseTime"], figure(&report, "api.mean").as_str());
    assert_eq!(dashboard["metrics"]["peakMemoryUsage"], figure(&report, "memory.peak").as_str());
}

/// The samples of a metric of the hub: labels and value.
fn samples<'a>(page: &'a str, name: &str) -> Vec<(&'a str, f64)> {
    let of_hub = |labels: &&str| labels.contains("job=\"mcp-hub\"");
    let sample = |line: &'a str| {
        let (labels, value) = line.strip_prefix(name)?.strip_prefix('{')?.rsplit_once("} ")?;
        Some((labels, value)).filter(|(labels, _)| of_hub(labels))
    };
    page.lines().filter_map(sample).map(|(labels, value)| (labels, value.parse().unwrap())).collect()
}

fn sum(page: &str, name: &str) -> f64 {
    samples(page, name).iter().map(|(_, value)| value).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_metrics_and_report_both_show_has_the_same_value() {
    let hub = Hub::start().await;
    // Long enough for the report of a poll to be made before the next one.
    let sidecar = hub.watch(&["--interval", "3s"]);
    sidecar.until_json("/report.json", |report| report["servers"].as_array().is_some_and(|servers| !servers.is_empty())).await;
    hub.kills("filesystem");
    let is_down = |report: &Value| report["incidents"].as_array().unwrap().iter().any(|incident| incident["kind"] == "server_down");
    // What was refused before the hub was there is no request of the report's.
    let answered = |page: &str| {
        let all = samples(page, "http_client_request_duration_seconds_count").into_iter();
        all.filter(|(labels, _)| labels.contains("mcphub_api_outcome=\"ok\"")).map(|(_, value)| value).sum::<f64>()
    };
    // Of one moment: both have the same answers, and no Watch came meanwhile.
    let (report, page) = until("metrics and report are of the same Watches", async || {
        let before = sidecar.get("/metrics").await.1;
        let report: Value = serde_json::from_str(&sidecar.get("/report.json").await.1).ok()?;
        let page = sidecar.get("/metrics").await.1;
        let polled = (report["api"]["requests"].as_u64()? - report["api"]["failed"].as_u64()?) as f64;
        let same = [&before, &page].iter().all(|page| answered(page) == polled);
        (same && is_down(&report)).then_some((report, page))
    })
    .await;
    let figure = |pointer: &str| report.pointer(pointer).and_then(Value::as_f64).unwrap_or_else(|| panic!("no {pointer}"));
    for (name, pointer) in [
        ("mcphub_log_lines_total", "/log/lines"),
        ("mcphub_log_bytes_total", "/log/bytes"),
        ("mcphub_log_size_bytes", "/log/last_size_bytes"),
        ("mcp_server_operation_duration_seconds_count", "/calls/total"),
    ] {
        assert_eq!(sum(&page, name), figure(pointer), "{name}");
    }
    assert!(figure("/log/lines") > 0.0, "{:#}", report["log"]);
    let memory = sum(&page, "process_memory_usage_bytes");
    assert!(0.0 < memory && memory <= figure("/process/rss_peak_bytes"), "{memory}");
    assert_eq!(sum(&page, "mcphub_up_ratio"), 1.0);
    assert_eq!(report.pointer("/hub/timeline/stretches").and_then(Value::as_array).unwrap().last().unwrap()["counts_as"], "up");
    // Each server, by its name.
    let of_server = |name: &str, server: &Value| {
        let label = format!("mcphub_server_name={}", server["name"]);
        samples(&page, name).into_iter().find(|(labels, _)| labels.contains(&label)).unwrap_or_else(|| panic!("{label}: {page}")).1
    };
    let servers = report["servers"].as_array().unwrap();
    assert_eq!(samples(&page, "mcphub_server_up_ratio").len(), servers.len());
    for server in servers {
        let up = server["last_liveness"] == "up";
        assert_eq!(of_server("mcphub_server_up_ratio", server), f64::from(u8::from(up)), "{server:#}");
        assert_eq!(Some(of_server("mcphub_server_tools", server)), server["tools_last"].as_f64(), "{server:#}");
    }
    // Each criterion's verdict, and how many incidents go on.
    let verdicts = samples(&page, "hubwatch_criterion");
    let criteria = report["criteria"].as_array().unwrap();
    assert_eq!(verdicts.len(), criteria.len());
    for row in criteria {
        let shown = [format!("criterion={}", row["id"]), format!("verdict={}", row["verdict"])];
        assert!(
            verdicts.iter().any(|(labels, value)| *value == 1.0 && shown.iter().all(|label| labels.contains(label))),
            "{row:#}"
        );
    }
    for (labels, open) in samples(&page, "hubwatch_incidents_open") {
        let goes_on =
            |incident: &&Value| incident["end"].is_null() && labels.contains(&format!("severity={}", incident["severity"]));
        let count = report["incidents"].as_array().unwrap().iter().filter(goes_on).count();
        assert_eq!(open, count as f64, "{labels}");
    }
}
