//! The pages in a real browser: nothing overlaps, nothing is cut off, nothing is asked of a network. Needs Chromium; without it the
//! test says so and passes, since the other live tests don't need it.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::hub::Hub;
use crate::serving::Serving;
use crate::wait::until;

/// What runs inside the page: it measures what people would see, and leaves the result where `--dump-dom` shows it.
const MEASURE: &str = r#"
<script>
addEventListener("load", () => {
  const problems = [];
  const cross = (a, b) => Math.min(a.right, b.right) - Math.max(a.left, b.left) > 1 && Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top) > 1;
  const said = (element) => element.textContent.trim().slice(0, 40);
  let texts = 0;
  for (const chart of document.querySelectorAll("svg.chart")) {
    const frame = chart.getBoundingClientRect();
    const boxes = [...chart.querySelectorAll("text")].map((text) => [text, text.getBoundingClientRect()]);
    texts += boxes.length;
    boxes.forEach(([one, box], index) => {
      if (box.left < frame.left - 1 || box.right > frame.right + 1 || box.top < frame.top - 1 || box.bottom > frame.bottom + 1)
        problems.push(`cut off in ${chart.parentElement.parentElement.id}: ${said(one)}`);
      for (const [other, its] of boxes.slice(index + 1))
        if (cross(box, its)) problems.push(`overlap in ${chart.parentElement.parentElement.id}: ${said(one)} / ${said(other)}`);
    });
  }
  const blocks = [...document.querySelectorAll("h1, h2, h3, p, table, figure, .verdict, dl.facts > div, .badge, .keys li")];
  const boxes = blocks.map((block) => [block, block.getBoundingClientRect()]).filter(([, box]) => box.width > 0);
  boxes.forEach(([one, box], index) => {
    for (const [other, its] of boxes.slice(index + 1))
      if (!one.contains(other) && cross(box, its) && one.closest("table") === other.closest("table"))
        problems.push(`overlap: ${said(one)} / ${said(other)}`);
  });
  if (document.documentElement.scrollWidth > innerWidth + 1) problems.push(`the page is ${document.documentElement.scrollWidth} wide in ${innerWidth}`);
  const unnamed = [...document.querySelectorAll("svg.chart")].filter((chart) => !chart.querySelector("title")?.textContent || !chart.querySelector("desc")?.textContent);
  if (unnamed.length) problems.push(`${unnamed.length} charts say nothing to those who can't see them`);
  const unreachable = [...document.querySelectorAll(".scroll")].filter((area) => area.scrollWidth > area.clientWidth && area.tabIndex < 0);
  if (unreachable.length) problems.push(`${unreachable.length} areas can't be scrolled by keyboard`);
  const dark = matchMedia("(prefers-color-scheme: dark)").matches;
  const result = document.createElement("pre");
  result.id = "measured";
  result.textContent = JSON.stringify({ problems, texts, charts: document.querySelectorAll("svg.chart").length, dark,
    background: getComputedStyle(document.body).backgroundColor, requests: performance.getEntriesByType("resource").map((entry) => entry.name) });
  document.body.append(result);
});
</script>
"#;

/// Where Chromium is, if it is.
fn chromium() -> Option<PathBuf> {
    let names = ["chromium", "chromium-browser", "google-chrome"];
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).flat_map(|folder| names.map(|name| folder.join(name))).find(|program| program.is_file())
}

/// The report's page without its own policy, which would not let the measuring script run.
fn report_page() -> String {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/STAGING_INTEGRATION_HEALTH_REPORT.html");
    let html = std::fs::read_to_string(page).unwrap();
    let policy = html.lines().find(|line| line.contains("Content-Security-Policy")).expect("the page forbids all requests");
    assert!(policy.contains("default-src 'none'"));
    html.replace(policy, "")
}

/// The page as it stands in the browser after its scripts ran for a while.
fn dom(chromium: &Path, url: &str, more: &[String]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new(chromium);
    command.args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--dump-dom"]);
    command.arg(format!("--user-data-dir={}", folder.path().display())).args(more).arg(url);
    let output = command.output().unwrap();
    let dom = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(dom.contains("</html>"), "{}", String::from_utf8_lossy(&output.stderr));
    dom
}

fn measure(chromium: &Path, html: &str, width: u32, dark: bool) -> Value {
    let folder = tempfile::tempdir().unwrap();
    let page = folder.path().join("measured.html");
    std::fs::write(&page, html.replace("</body>", &format!("{MEASURE}</body>"))).unwrap();
    // 0 is dark, 1 is light.
    let scheme = format!("--blink-settings=preferredColorScheme={}", if dark { 0 } else { 1 });
    let dom = dom(chromium, &format!("file://{}", page.display()), &[format!("--window-size={width},2000"), scheme]);
    let (_, rest) = dom.split_once("<pre id=\"measured\">").expect("the script ran");
    let json = rest.split_once("</pre>").unwrap().0;
    serde_json::from_str(&json.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")).unwrap()
}

/// Everything fits, wide and narrow, light and dark; so many charts.
fn looks_well(chromium: &Path, html: &str, charts: u64) {
    let mut backgrounds = std::collections::BTreeSet::new();
    for (width, dark) in [(1200, false), (1200, true), (500, false)] {
        let measured = measure(chromium, html, width, dark);
        assert_eq!(measured["problems"], serde_json::json!([]), "{width} wide, dark: {dark}");
        assert_eq!(measured["requests"], serde_json::json!([]));
        assert_eq!(measured["dark"], dark);
        // A chart of few polls has few marks on its axes, but some on each.
        assert!(measured["charts"].as_u64().unwrap() >= charts && measured["texts"].as_u64().unwrap() >= 4 * charts, "{measured}");
        backgrounds.insert(measured["background"].as_str().unwrap().to_owned());
    }
    assert_eq!(backgrounds.len(), 2, "dark and light look alike");
}

/// Long enough for the page to have asked more than once.
const AFTER_A_WHILE: &str = "--virtual-time-budget=8000";

/// Waits until the status has charts of a few polls.
async fn has_charts(json: &str) {
    hubwatch::base::tls::choose_provider();
    until("charts of a few polls", async || {
        let status: Value = serde_json::from_str(&reqwest::get(json).await.ok()?.text().await.ok()?).ok()?;
        (status["watched"]["charts"].as_array()?.len() >= 5).then_some(())
    })
    .await;
}

/// The page as it stands, which asks no more.
fn without_script(page: &str) -> String {
    let (before, script) = page.split_once("<script>").unwrap();
    let (_, after) = script.split_once("</script>").unwrap();
    format!("{before}{after}")
}

#[test]
fn pages_show_everything_wide_and_narrow_light_and_dark() {
    let Some(chromium) = chromium() else {
        eprintln!("no Chromium here: the pages are not looked at");
        return;
    };
    looks_well(&chromium, &report_page(), 8);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_status_page_of_a_real_hub_fills_itself_and_shows_everything() {
    let Some(chromium) = chromium() else {
        eprintln!("no Chromium here: the status page is not looked at");
        return;
    };
    let hub = Hub::start().await;
    let serving = Serving::start(&hub);
    has_charts(&format!("{}/status.json", serving.url)).await;
    let page = dom(&chromium, &serving.url, &[AFTER_A_WHILE.to_owned()]);
    drop(serving);
    // A hub without faults fails nothing, and a few seconds of it are not enough for a verdict.
    for shown in [
        "live <span class=\"soft\">(staging)</span>",
        ">filesystem <",
        "? inconclusive</strong> – no verdict: not enough data",
        "<figure id=\"chart-overview\"",
    ] {
        assert!(page.contains(shown), "{shown} is not on the page:\n{page}");
    }
    looks_well(&chromium, &without_script(&page), 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_several_hubs_the_status_page_shows_the_one_that_was_chosen_and_offers_the_others() {
    let Some(chromium) = chromium() else {
        eprintln!("no Chromium here: the status page of several hubs is not looked at");
        return;
    };
    let (one, other) = (Hub::start().await, Hub::start().await);
    let names = ["first hub", "another hub whose name is rather long & not plain"];
    let serving = Serving::of_several(&[(names[0], &one), (names[1], &other)]);
    let chosen = format!("hub={}", names[1].replace(' ', "%20").replace('&', "%26"));
    has_charts(&format!("{}/status.json?{chosen}", serving.url)).await;
    let shown = |query: &str| dom(&chromium, &format!("{}/?{query}", serving.url), &[AFTER_A_WHILE.to_owned()]);
    let (first, second) = (shown(""), shown(&chosen));
    drop(serving);
    let escaped = names.map(|name| name.replace('&', "&amp;"));
    for (page, name) in [(&first, &escaped[0]), (&second, &escaped[1])] {
        assert!(page.contains(&format!("<h1 id=\"hub\">{name} <span class=\"soft\">(staging)</span>")), "{name}: {page}");
        let choice = page.split("<select id=\"hubs\">").nth(1).unwrap().split("</select>").next().unwrap();
        assert!(escaped.iter().all(|name| choice.contains(&format!("<option>{name}</option>"))), "{choice}");
        assert!(page.contains("<label id=\"choice\">"), "the choice is shown: {page}");
        looks_well(&chromium, &without_script(page), 5);
    }
    assert!(second.contains(&format!("/report.json?{chosen}\"")), "the links below are this hub's: {second}");
}
