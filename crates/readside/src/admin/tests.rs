//! The shape of HTTP: paths, methods, codes, tokens. What the answers mean is the pipeline's.

use async_trait::async_trait;
use readside_model::Lsn;
use readside_pipeline::{
    ChangelogStatus, DeadLetters, Phase, ProjectionStatus, Readiness, RebuildAnswer, RebuildPhase,
    RebuildProgress, SinkStatus, SourceStatus, Status, VerifiedView, VerifyReport, ViewState,
    ViewStatus, WaitAnswer,
};

use super::*;
use crate::client::{Client, Patience};

/// Answers what it was told to.
struct Canned {
    healthy: bool,
    ready: bool,
}

#[async_trait]
impl Control for Canned {
    fn status(&self) -> Status {
        Status {
            version: "1.2.3".to_owned(),
            instance: "a<b".to_owned(),
            uptime_seconds: 5.0,
            phase: Phase::Running,
            error: None,
            source: SourceStatus {
                connected: true,
                disconnected_seconds: None,
                error: None,
                database: "shop".to_owned(),
                system_id: None,
                timeline: Some(1),
                publication: "readside".to_owned(),
                slot: "readside".to_owned(),
                slot_state: Some("reserved".to_owned()),
                slot_retained_bytes: Some(56),
                slot_safe_bytes: None,
                lsn: Some(Lsn(0x16_B374_D848)),
                confirmed_lsn: None,
                lag_bytes: Some(0),
                lag_seconds: Some(0.0),
                transactions_per_second: 1.0,
                changes_per_second: 2.0,
            },
            changelog: ChangelogStatus {
                durable_lsn: Lsn(7),
                bytes: 1,
                bytes_max: None,
            },
            projection: ProjectionStatus {
                published_lsn: Lsn(7),
                lag_bytes: 0,
                lag_seconds: 0.0,
                state_bytes: 1,
                state_bytes_max: Some(9),
            },
            loads: Vec::new(),
            sinks: vec![SinkStatus {
                sink: "cache".to_owned(),
                kind: "redis".to_owned(),
                up: true,
                down_seconds: None,
                error: None,
                consistent: true,
            }],
            views: vec![ViewStatus {
                view: "orders".to_owned(),
                sink: "cache".to_owned(),
                location: "order:{id}".to_owned(),
                state: ViewState::Live,
                generation: 1,
                watermark: Some(Lsn(7)),
                pending_keys: 3,
                pending_seconds: 0.2,
                lag_seconds: Some(0.2),
                lag_bytes: Some(10),
                lag_max_seconds: 60.0,
                writes_per_second: 5.0,
                writes_total: 50,
                dead_letters: 0,
                rebuild_progress: None,
                error: None,
            }],
        }
    }

    fn healthy(&self) -> bool {
        self.healthy
    }

    fn readiness(&self) -> Readiness {
        Readiness {
            ready: self.ready,
            reasons: if self.ready {
                Vec::new()
            } else {
                vec!["view `orders` is late".to_owned()]
            },
        }
    }

    async fn wait(&self, request: WaitRequest) -> Result<WaitAnswer, ControlError> {
        if let Some(view) = request.views.iter().find(|v| *v != "orders") {
            return Err(ControlError::Unknown {
                what: "view",
                name: view.clone(),
                known: "`orders`".to_owned(),
            });
        }
        Ok(WaitAnswer {
            reached: request.timeout_ms <= Some(WAIT_SLICE_MAX),
            lsn: request.lsn.unwrap_or(Lsn(7)),
            timeline: 1,
            views: Vec::new(),
        })
    }

    async fn verify(&self, request: VerifyRequest) -> Result<VerifyReport, ControlError> {
        if request.repair {
            return Err(ControlError::Failed("stopping".to_owned()));
        }
        Ok(VerifyReport {
            views: vec![VerifiedView {
                view: "orders".to_owned(),
                sink: "cache".to_owned(),
                missing: vec!["1".to_owned()],
                ..VerifiedView::default()
            }],
        })
    }

    async fn rebuild(&self, request: RebuildRequest) -> Result<RebuildAnswer, ControlError> {
        let rebuilds = request.views.into_iter().map(|view| RebuildProgress {
            view,
            phase: RebuildPhase::Filling,
            progress: 0.25,
            rows: 1,
            rows_total: 2,
            rows_per_second: 1.0,
            eta_seconds: None,
            error: None,
        });
        Ok(RebuildAnswer {
            rebuilds: rebuilds.collect(),
        })
    }

    async fn dead_letters(&self, request: DeadLettersRequest) -> Result<DeadLetters, ControlError> {
        Ok(DeadLetters {
            dead_letters: Vec::new(),
            total: u64::try_from(request.limit.unwrap_or(0)).unwrap(),
        })
    }
}

struct Server {
    address: SocketAddr,
    http: reqwest::Client,
    token: Option<Secret>,
}

async fn start(canned: Canned, token: Option<&str>) -> Server {
    crate::install_crypto();
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let token = token.map(Secret::new);
    let admin = Admin {
        control: Arc::new(canned),
        metrics: Metrics::new("1.2.3"),
        token: token.clone(),
    };
    tokio::spawn(serve(listener, admin, std::future::pending()));
    Server {
        address,
        http: reqwest::Client::builder().no_proxy().build().unwrap(),
        token,
    }
}

impl Server {
    async fn get(&self, path: &str) -> (u16, String) {
        let url = format!("http://{}{path}", self.address);
        let response = self.http.get(url).send().await.unwrap();
        (response.status().as_u16(), response.text().await.unwrap())
    }

    fn client(&self) -> Client {
        Client::new(AdminConfig {
            listen: self.address,
            token: self.token.clone(),
        })
        .unwrap()
    }
}

const GOOD: Canned = Canned {
    healthy: true,
    ready: true,
};

#[tokio::test]
async fn health_and_readiness_are_told_by_the_status_code() {
    let server = start(GOOD, None).await;
    assert_eq!(server.get("/healthz").await, (200, "ok\n".to_owned()));
    assert_eq!(server.get("/readyz").await, (200, "ready\n".to_owned()));
    let bad = Canned {
        healthy: false,
        ready: false,
    };
    let server = start(bad, None).await;
    assert_eq!(server.get("/healthz").await.0, 503);
    assert_eq!(
        server.get("/readyz").await,
        (503, "not ready\nview `orders` is late\n".to_owned())
    );
}

#[tokio::test]
async fn metrics_and_page_and_status_show_facts() {
    let server = start(GOOD, None).await;
    let (code, text) = server.get("/metrics").await;
    assert_eq!(code, 200);
    for line in [
        r#"readside_build_info{version="1.2.3"} 1"#,
        "readside_source_connected 1",
        "readside_slot_retained_bytes 56",
        "readside_slot_safe_bytes +Inf",
        "readside_changelog_bytes 1",
        r#"readside_sink_up{sink="cache"} 1"#,
        r#"readside_view_lag_seconds{sink="cache",view="orders"} 0.2"#,
        r#"readside_view_lag_bytes{sink="cache",view="orders"} 10"#,
        r#"readside_view_pending_keys{sink="cache",view="orders"} 3"#,
        r#"readside_dead_letters{sink="cache",view="orders"} 0"#,
    ] {
        assert!(text.lines().any(|l| l == line), "{line}\n{text}");
    }
    let (code, html) = server.get("/").await;
    assert_eq!(code, 200);
    for fact in ["orders", "order:{id}", "200 ms", "shop connected", "a&lt;b"] {
        assert!(html.contains(fact), "{fact}\n{html}");
    }
    let (code, json) = server.get("/api/status").await;
    assert_eq!(code, 200);
    let status: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(status["source"]["lsn"], "16/B374D848");
    assert_eq!(status["views"][0]["state"], "live");
    assert_eq!(server.get("/nowhere").await.0, 404);
}

#[tokio::test]
async fn with_a_token_only_health_is_open() {
    let server = start(GOOD, Some("hunter2")).await;
    assert_eq!(server.get("/healthz").await.0, 200);
    for path in ["/", "/metrics", "/api/status", "/nowhere"] {
        assert_eq!(server.get(path).await.0, 401, "{path}");
    }
    let url = format!("http://{}/api/status", server.address);
    for (request, code) in [
        (server.http.get(&url).bearer_auth("hunter2"), 200),
        (server.http.get(&url).bearer_auth("hunter3"), 401),
        (server.http.get(&url).bearer_auth("hunter"), 401),
        (server.http.get(&url).basic_auth("me", Some("hunter2")), 200),
        (server.http.get(&url).basic_auth("hunter2", Some("")), 401),
    ] {
        assert_eq!(request.send().await.unwrap().status().as_u16(), code);
    }
    let _: Status = server.client().get("/api/status", &()).await.unwrap();
}

#[tokio::test]
async fn a_foreign_host_name_is_not_answered_without_a_token() {
    let server = start(GOOD, None).await;
    let url = format!("http://{}/api/status", server.address);
    for (host, code) in [
        ("evil.example", 403),
        ("evil.example:7377", 403),
        ("localhost:7377", 200),
        ("[::1]:7377", 200),
        ("[::1]", 200),
        ("10.0.0.1", 200),
    ] {
        let response = server
            .http
            .get(&url)
            .header("host", host)
            .send()
            .await
            .unwrap();
        assert_eq!(response.status().as_u16(), code, "{host}");
    }
}

#[tokio::test]
async fn commands_get_their_answers_and_exit_codes() {
    let server = start(GOOD, None).await;
    let client = server.client();
    let request = WaitRequest {
        lsn: Some(Lsn(9)),
        timeout_ms: Some(Duration::from_secs(3600)),
        ..WaitRequest::default()
    };
    let answer: WaitAnswer = client
        .post("/api/wait", &request, Patience::Quick)
        .await
        .unwrap();
    assert!(answer.reached, "a long wait is cut into slices");
    assert_eq!(answer.lsn, Lsn(9));

    let request = WaitRequest {
        views: vec!["nope".to_owned()],
        ..WaitRequest::default()
    };
    let failure = client
        .post::<_, WaitAnswer>("/api/wait", &request, Patience::Quick)
        .await
        .unwrap_err();
    assert_eq!(failure.code, crate::exit::REFUSED);
    assert!(
        failure
            .message
            .contains("view `nope` is not configured\n  hint: there is `orders`")
    );

    let report: VerifyReport = client
        .post("/api/verify", &VerifyRequest::default(), Patience::Endless)
        .await
        .unwrap();
    assert!(!report.clean());
    let repair = VerifyRequest {
        repair: true,
        ..VerifyRequest::default()
    };
    let failure = client
        .post::<_, VerifyReport>("/api/verify", &repair, Patience::Endless)
        .await
        .unwrap_err();
    assert_eq!(failure.code, crate::exit::STOPPED);

    let request = DeadLettersRequest {
        limit: Some(7),
        ..DeadLettersRequest::default()
    };
    let letters: DeadLetters = client.get("/api/dead-letters", &request).await.unwrap();
    assert_eq!(letters.total, 7);
}

#[tokio::test]
async fn what_is_not_understood_is_a_bad_request() {
    let server = start(GOOD, None).await;
    for (path, body) in [
        ("/api/wait", r#"{"lsn": "nonsense"}"#),
        ("/api/wait", "not json"),
        ("/api/verify", r#"{"veiws": []}"#),
    ] {
        let url = format!("http://{}{path}", server.address);
        let response = server
            .http
            .post(url)
            .header("content-type", "application/json")
            .body(body)
            .send()
            .await
            .unwrap();
        assert_eq!(response.status().as_u16(), 400, "{path} {body}");
        let error: ErrorBody = response.json().await.unwrap();
        assert!(!error.error.is_empty());
    }
    assert_eq!(server.get("/api/dead-letters?limit=x").await.0, 400);
    assert_eq!(server.get("/api/wait").await.0, 405);
}

#[tokio::test]
async fn nobody_there_is_exit_code_3_with_the_address() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let listen = listener.local_addr().unwrap();
    drop(listener);
    let client = Client::new(AdminConfig {
        listen,
        token: None,
    })
    .unwrap();
    let failure = client
        .get::<_, Status>("/api/status", &())
        .await
        .unwrap_err();
    assert_eq!(failure.code, crate::exit::UNREACHABLE);
    assert!(
        failure
            .message
            .starts_with(&format!("no readside at `{listen}`")),
        "{failure}"
    );
}
