//! A headless Chromium, driven by WebDriver.
//!
//! In: a machine where Debian's `chromium` and `chromium-driver` are or can be installed. Out: a page, what it shows, and clicks on it.
//!
//! Always: no process of the browser outlives the handle.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use crate::child::{self, Child, Spec};
use crate::{Port, Scratch, http_client, setup, until};

/// The browser. Its profile is gone with it.
#[derive(Debug)]
pub struct Browser {
    driver: Child,
    url: String,
    session: String,
    _port: Port,
    scratch: Scratch,
}

impl Browser {
    /// Starts one with a window of this size.
    pub async fn start(width: u32, height: u32) -> Result<Self> {
        let (scratch, port) = (Scratch::new("browser")?, Port::take()?);
        let driver = Child::spawn(Spec {
            name: "chromedriver".to_owned(),
            program: setup::CHROMEDRIVER.program.into(),
            args: vec![format!("--port={}", port.number()).into()],
            env: vec![("HOME".to_owned(), scratch.path().into())],
            cwd: scratch.path().to_path_buf(),
            log: scratch.path().join("log"),
            as_server: false,
            last_signal: libc::SIGKILL,
            detached: false,
        })?;
        let mut browser = Self {
            driver,
            url: format!("http://127.0.0.1:{}", port.number()),
            session: String::new(),
            _port: port,
            scratch,
        };
        until("chromedriver to answer", Duration::from_secs(30), || {
            let request = http_client().get(format!("{}/status", browser.url));
            async move { request.send().await?.error_for_status().map(drop) }
        })
        .await?;
        browser.driver.check_running()?;
        let profile = browser.scratch.path().join("profile");
        let capabilities = json!({"capabilities": {"alwaysMatch": {
            "browserName": "chrome",
            "goog:loggingPrefs": {"browser": "ALL"},
            "goog:chromeOptions": {"args": [
                "--headless=new",
                // We may be root, and the pages are our own.
                "--no-sandbox",
                "--disable-gpu",
                "--disable-dev-shm-usage",
                "--no-first-run",
                format!("--window-size={width},{height}"),
                format!("--user-data-dir={}", profile.display()),
            ]},
        }}});
        let answer = browser.post("/session", &capabilities).await?;
        let session = answer["sessionId"].as_str().context("no session")?;
        browser.session = format!("/session/{session}");
        Ok(browser)
    }

    async fn post(&self, path: &str, body: &Value) -> Result<Value> {
        let request = http_client().post(format!("{}{path}", self.url)).json(body);
        // A browser's first start on a busy machine takes its time.
        let request = request.timeout(Duration::from_secs(120));
        value(request).await.with_context(|| format!("POST {path}"))
    }

    /// Opens a page.
    pub async fn open(&self, url: &str) -> Result<()> {
        let path = format!("{}/url", self.session);
        self.post(&path, &json!({"url": url})).await?;
        Ok(())
    }

    /// Runs the body of a function in the page; answers with what it returns.
    pub async fn run(&self, script: &str, args: Value) -> Result<Value> {
        let path = format!("{}/execute/sync", self.session);
        self.post(&path, &json!({"script": script, "args": args}))
            .await
    }

    async fn element(&self, selector: &str) -> Result<String> {
        let by = json!({"using": "css selector", "value": selector});
        let answer = self.post(&format!("{}/element", self.session), &by).await?;
        let id = answer
            .as_object()
            .and_then(|object| object.values().next()?.as_str());
        let id = id.with_context(|| format!("no `{selector}`"))?;
        Ok(format!("{}/element/{id}", self.session))
    }

    /// Clicks, as a mouse does: what is hidden or covered can't be clicked. Waits for an element that is being replaced.
    pub async fn click(&self, selector: &str) -> Result<()> {
        let what = format!("`{selector}` to be clicked");
        until(&what, Duration::from_secs(20), || async {
            let path = format!("{}/click", self.element(selector).await?);
            self.post(&path, &json!({})).await
        })
        .await?;
        Ok(())
    }

    /// Types into a field, in place of what is there.
    pub async fn fill(&self, selector: &str, text: &str) -> Result<()> {
        let element = self.element(selector).await?;
        self.post(&format!("{element}/clear"), &json!({})).await?;
        self.post(&format!("{element}/value"), &json!({"text": text}))
            .await?;
        Ok(())
    }

    /// The visible text of an element.
    pub async fn text(&self, selector: &str) -> Result<String> {
        let url = format!("{}{}/text", self.url, self.element(selector).await?);
        let text = value(http_client().get(url)).await?;
        Ok(text.as_str().unwrap_or_default().to_owned())
    }

    /// Waits until a script returns `true`; fails with what another one returns.
    pub async fn wait_for(&self, what: &str, script: &str, else_show: &str) -> Result<()> {
        until(what, Duration::from_secs(60), || async {
            if self.run(script, json!([])).await? == Value::Bool(true) {
                return Ok(());
            }
            bail!("the page shows {}", self.run(else_show, json!([])).await?)
        })
        .await
    }

    /// What scripts and the page's security policy complained of since the last call.
    pub async fn complaints(&self) -> Result<Vec<String>> {
        let path = format!("{}/se/log", self.session);
        let log = self.post(&path, &json!({"type": "browser"})).await?;
        let entries = log.as_array().context("a log")?.iter();
        Ok(entries
            .filter(|entry| entry["source"] != "network")
            .map(Value::to_string)
            .collect())
    }

    /// Writes what the window shows as PNG.
    pub async fn screenshot(&self, path: &Path) -> Result<()> {
        use base64::Engine;

        let url = format!("{}{}/screenshot", self.url, self.session);
        let answer = value(http_client().get(url)).await?;
        let text = answer.as_str().context("no picture")?;
        let png = base64::engine::general_purpose::STANDARD.decode(text)?;
        fs::write(path, png).with_context(|| format!("write `{}`", path.display()))
    }
}

async fn value(request: reqwest::RequestBuilder) -> Result<Value> {
    let response = request.send().await?;
    let status = response.status();
    let mut body: Value = response.json().await?;
    if !status.is_success() {
        bail!("the browser says: {}", body["value"]["message"]);
    }
    Ok(body["value"].take())
}

impl Drop for Browser {
    fn drop(&mut self) {
        // The driver puts the browser into a process group of its own; all its processes but those that are told apart by the
        // profile's path end with the first one.
        let profile = self.scratch.path().as_os_str().to_owned();
        let profile = profile.as_encoded_bytes();
        let Ok(processes) = fs::read_dir("/proc") else {
            return;
        };
        for entry in processes.flatten() {
            let name = entry.file_name();
            let Some(pid) = name.to_str().and_then(|name| name.parse::<u32>().ok()) else {
                continue;
            };
            let command = fs::read(entry.path().join("cmdline")).unwrap_or_default();
            let ours = command
                .windows(profile.len())
                .any(|window| window == profile);
            if ours && pid != std::process::id() {
                // It may have ended since.
                let _ = child::signal(pid, libc::SIGKILL);
            }
        }
    }
}
