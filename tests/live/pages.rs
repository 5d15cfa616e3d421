//! The pages in a real browser: nothing overlaps, nothing is cut off, nothing is asked of a network. Needs Chromium; without it the
//! test says so and passes, since the other live tests don't need it.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

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

/// The page with the measuring script, which the page's own policy would not let run.
fn instrumented(page: &Path, folder: &Path) -> PathBuf {
    let html = std::fs::read_to_string(page).unwrap();
    let policy = html.lines().find(|line| line.contains("Content-Security-Policy")).expect("the page forbids all requests");
    assert!(policy.contains("default-src 'none'"));
    let path = folder.join("measured.html");
    std::fs::write(&path, html.replace(policy, "").replace("</body>", &format!("{MEASURE}</body>"))).unwrap();
    path
}

fn measure(chromium: &Path, page: &Path, width: u32, dark: bool) -> Value {
    let folder = tempfile::tempdir().unwrap();
    let page = instrumented(page, folder.path());
    let mut command = Command::new(chromium);
    command.args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--dump-dom"]);
    command.arg(format!("--window-size={width},2000")).arg(format!("--user-data-dir={}", folder.path().join("profile").display()));
    // 0 is dark, 1 is light.
    command.arg(format!("--blink-settings=preferredColorScheme={}", if dark { 0 } else { 1 }));
    let output = command.arg(format!("file://{}", page.display())).output().unwrap();
    let dom = String::from_utf8_lossy(&output.stdout);
    let (_, rest) =
        dom.split_once("<pre id=\"measured\">").unwrap_or_else(|| panic!("{}", String::from_utf8_lossy(&output.stderr)));
    let json = rest.split_once("</pre>").unwrap().0;
    serde_json::from_str(&json.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")).unwrap()
}

#[test]
fn pages_show_everything_wide_and_narrow_light_and_dark() {
    let Some(chromium) = chromium() else {
        eprintln!("no Chromium here: the pages are not looked at");
        return;
    };
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/STAGING_INTEGRATION_HEALTH_REPORT.html");
    let mut backgrounds = std::collections::BTreeSet::new();
    for (width, dark) in [(1200, false), (1200, true), (500, false)] {
        let measured = measure(&chromium, &page, width, dark);
        assert_eq!(measured["problems"], serde_json::json!([]), "{width} wide, dark: {dark}");
        assert_eq!(measured["requests"], serde_json::json!([]));
        assert_eq!(measured["dark"], dark);
        assert!(measured["charts"].as_u64().unwrap() >= 8 && measured["texts"].as_u64().unwrap() > 100, "{measured}");
        backgrounds.insert(measured["background"].as_str().unwrap().to_owned());
    }
    assert_eq!(backgrounds.len(), 2, "dark and light look alike");
}
