//! The status page: the facts of `/api/status` for people, in one document without outside parts.
//!
//! In: a status. Out: HTML that also works without scripts; with them it renews itself every two seconds.

use std::fmt::Write;

use readside_pipeline::{Readiness, Status};

use crate::command::status::{Cell, lag, phase_name, sink_cells, source_lines, view_cells};
use crate::output::Tone;

const STYLE: &str = "\
:root{color-scheme:light dark;--line:#8884;--good:#187a3c;--warn:#a15c00;--bad:#c02020;--dim:#777}
@media(prefers-color-scheme:dark){:root{--good:#4cc27a;--warn:#e0a040;--bad:#ff6b6b;--dim:#999}}
body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:76rem;padding:0 1rem}
h1{font-size:1.3rem;margin:0}h2{font-size:1rem;margin:1.6rem 0 .4rem}
table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}
th{text-align:left;font-weight:500;color:var(--dim)}
th,td{padding:.25rem .8rem .25rem 0;border-bottom:1px solid var(--line);vertical-align:top}
dl{display:grid;grid-template-columns:max-content 1fr;gap:.1rem 1.2rem;margin:.4rem 0}
dt{color:var(--dim)}dd{margin:0}
.good{color:var(--good)}.warn{color:var(--warn)}.bad{color:var(--bad)}.dim{color:var(--dim)}
pre{white-space:pre-wrap;margin:.2rem 0}";

const SCRIPT: &str = "\
setInterval(async()=>{try{const r=await fetch(location.href);if(!r.ok)throw 0;\
const d=new DOMParser().parseFromString(await r.text(),'text/html');\
document.querySelector('main').replaceWith(d.querySelector('main'));document.title=d.title}\
catch(e){document.title='readside: not reachable';\
document.getElementById('state').className='bad';document.getElementById('state').textContent='not reachable'}},2000)";

/// The page.
pub(crate) fn render(status: &Status, readiness: &Readiness) -> String {
    let mut out = String::new();
    let phase = phase_name(status.phase);
    let (word, class) = if status.error.is_some() {
        (phase, "bad")
    } else if readiness.ready {
        ("ready", "good")
    } else {
        (phase, "warn")
    };
    let _ = write!(
        out,
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width\"><title>readside: {word}</title>\
         <noscript><meta http-equiv=\"refresh\" content=\"5\"></noscript><style>{STYLE}</style></head><body><main>\
         <h1>readside <span id=\"state\" class=\"{class}\">{word}</span></h1>\
         <div class=\"dim\">version {}, instance {}, up {}</div>",
        escape(&status.version),
        escape(&status.instance),
        lag(Some(status.uptime_seconds)),
    );
    if let Some(error) = &status.error {
        let _ = write!(out, "<pre class=\"bad\">{}</pre>", escape(error));
    }
    for reason in &readiness.reasons {
        let _ = write!(out, "<div class=\"warn\">{}</div>", escape(reason));
    }
    out.push_str("<h2>Views</h2>");
    table(
        &mut out,
        crate::command::status::VIEW_HEADINGS,
        status.views.iter().map(view_cells),
    );
    for view in &status.views {
        if let Some(error) = &view.error {
            let _ = write!(
                out,
                "<div class=\"bad\">{} → {}: {}</div>",
                escape(&view.view),
                escape(&view.sink),
                escape(error)
            );
        }
    }
    out.push_str("<h2>Sinks</h2>");
    table(
        &mut out,
        crate::command::status::SINK_HEADINGS,
        status.sinks.iter().map(sink_cells),
    );
    if !status.loads.is_empty() {
        out.push_str("<h2>Loads</h2>");
        table(
            &mut out,
            crate::command::status::LOAD_HEADINGS,
            status.loads.iter().map(crate::command::status::load_cells),
        );
    }
    out.push_str("<h2>Source</h2><dl>");
    for (name, (text, tone)) in source_lines(status) {
        let _ = write!(
            out,
            "<dt>{name}</dt><dd{}>{}</dd>",
            class_of(tone),
            escape(&text)
        );
    }
    let _ = writeln!(
        out,
        "</dl><p class=\"dim\"><a href=\"/api/status\">status as JSON</a> · <a href=\"/metrics\">metrics</a></p>\
         </main><script>{SCRIPT}</script></body></html>"
    );
    out
}

fn table(out: &mut String, headings: &[&str], rows: impl Iterator<Item = Vec<Cell>>) {
    out.push_str("<table><tr>");
    for heading in headings {
        let _ = write!(out, "<th>{heading}</th>");
    }
    out.push_str("</tr>");
    for row in rows {
        out.push_str("<tr>");
        for (text, tone) in row {
            let _ = write!(out, "<td{}>{}</td>", class_of(tone), escape(&text));
        }
        out.push_str("</tr>");
    }
    out.push_str("</table>");
}

fn class_of(tone: Option<Tone>) -> &'static str {
    match tone {
        None => "",
        Some(Tone::Good) => " class=\"good\"",
        Some(Tone::Warn) => " class=\"warn\"",
        Some(Tone::Bad) => " class=\"bad\"",
        Some(Tone::Dim) => " class=\"dim\"",
    }
}

fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}
