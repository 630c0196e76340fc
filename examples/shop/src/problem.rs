//! What an answer other than success says: a JSON document of RFC 9457, `application/problem+json`.
//!
//! | status | means |
//! | --- | --- |
//! | 400 | the request can't be read |
//! | 404 | what it names is not there |
//! | 409 | it can't be done as things are |
//! | 422 | it can be read, and asks for something that is never right; `errors` names each field |
//! | 503 | not now; `Retry-After` says when to ask again |

use axum::extract::rejection::JsonRejection;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

/// A refusal.
#[derive(Debug, Serialize)]
pub(crate) struct Problem {
    #[serde(skip)]
    status: StatusCode,
    title: &'static str,
    detail: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<Invalid>,
    /// How far what was asked for has come.
    #[serde(skip_serializing_if = "Option::is_none")]
    position: Option<String>,
    #[serde(skip)]
    retry: bool,
}

/// A field that has a value which is never right.
#[derive(Debug, Serialize)]
struct Invalid {
    field: &'static str,
    problem: String,
}

impl Problem {
    fn new(status: StatusCode, title: &'static str, detail: impl Into<String>) -> Self {
        Self {
            status,
            title,
            detail: detail.into(),
            errors: Vec::new(),
            position: None,
            retry: false,
        }
    }

    pub(crate) fn unreadable(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "the request can't be read", detail)
    }

    pub(crate) fn not_found(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not found", detail)
    }

    pub(crate) fn conflict(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, "not as things are", detail)
    }

    /// Nothing was done and the same request may be sent again.
    pub(crate) fn unavailable(detail: impl Into<String>) -> Self {
        Self {
            retry: true,
            ..Self::new(StatusCode::SERVICE_UNAVAILABLE, "not now", detail)
        }
    }

    /// A read model is not as far as the reader wants.
    pub(crate) fn behind(detail: impl Into<String>, position: Option<String>) -> Self {
        Self {
            position,
            ..Self::unavailable(detail)
        }
    }

    pub(crate) fn internal(detail: impl Into<String>) -> Self {
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "a fault of the service",
            detail,
        )
    }

    /// Whether it may have been done is not known, so repeating it is for the caller to decide.
    pub(crate) fn in_doubt(detail: impl Into<String>) -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "it is not known whether this has been done",
            detail,
        )
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let body = serde_json::to_string(&self).unwrap_or_default();
        let kind = HeaderValue::from_static("application/problem+json");
        let mut response = (self.status, [(header::CONTENT_TYPE, kind)], body).into_response();
        if self.retry {
            let soon = HeaderValue::from_static("1");
            response.headers_mut().insert(header::RETRY_AFTER, soon);
        }
        response
    }
}

impl From<JsonRejection> for Problem {
    fn from(rejection: JsonRejection) -> Self {
        let status = match &rejection {
            // A field too much or of another type can't be read any more than broken JSON can.
            JsonRejection::JsonDataError(_) => StatusCode::BAD_REQUEST,
            other => other.status(),
        };
        Self::new(status, "the request can't be read", rejection.body_text())
    }
}

/// Collects everything that is wrong with a request.
#[derive(Debug, Default)]
pub(crate) struct Checks(Vec<Invalid>);

impl Checks {
    /// `field` is wrong unless `good`.
    pub(crate) fn require(&mut self, field: &'static str, good: bool, problem: impl Into<String>) {
        if !good {
            self.0.push(Invalid {
                field,
                problem: problem.into(),
            });
        }
    }

    /// A text that people will read: not blank, not longer than `characters`, without control characters but line breaks and tabs.
    pub(crate) fn text(&mut self, field: &'static str, text: &str, characters: usize) {
        self.require(field, !text.trim().is_empty(), "must not be blank");
        self.require(
            field,
            text.chars().count() <= characters,
            format!("must have at most {characters} characters"),
        );
        let plain = |c: char| !c.is_control() || c == '\n' || c == '\t';
        self.require(
            field,
            text.chars().all(plain),
            "must not have control characters",
        );
    }

    /// As [`text`](Self::text), where it is given.
    pub(crate) fn optional_text(
        &mut self,
        field: &'static str,
        text: Option<&str>,
        characters: usize,
    ) {
        if let Some(text) = text {
            self.text(field, text, characters);
        }
    }

    /// A number between these.
    pub(crate) fn between(&mut self, field: &'static str, number: i64, least: i64, most: i64) {
        self.require(
            field,
            (least..=most).contains(&number),
            format!("must be between {least} and {most}"),
        );
    }

    /// An amount of money: decimal digits, and two more after a point if any.
    pub(crate) fn money(&mut self, field: &'static str, text: &str) {
        let (whole, cents) = text.split_once('.').unwrap_or((text, "00"));
        let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
        let good = (1..=10).contains(&whole.len())
            && (1..=2).contains(&cents.len())
            && digits(whole)
            && digits(cents);
        self.require(field, good, "must be an amount such as \"19.90\"");
    }

    /// Nothing was wrong, or a problem that says it all.
    pub(crate) fn done(self) -> Result<(), Problem> {
        if self.0.is_empty() {
            return Ok(());
        }
        Err(Problem {
            errors: self.0,
            ..Problem::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                "not a valid request",
                "see `errors` for each field",
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(check: impl FnOnce(&mut Checks)) -> usize {
        let mut checks = Checks::default();
        check(&mut checks);
        checks.0.len()
    }

    #[test]
    fn money_has_digits_and_at_most_two_after_the_point() {
        for good in ["0", "19.90", "19.9", "9999999999.99"] {
            assert_eq!(problems(|c| c.money("price", good)), 0, "{good}");
        }
        for bad in [
            "",
            ".",
            "1.",
            ".5",
            "-1",
            "1.999",
            "1e3",
            "NaN",
            "10000000000",
            "1,50",
            " 1",
            "1.2.3",
        ] {
            assert_eq!(problems(|c| c.money("price", bad)), 1, "{bad}");
        }
    }

    #[test]
    fn a_text_is_visible_and_short_enough() {
        assert_eq!(problems(|c| c.text("name", "Möbel\nNew", 20)), 0);
        for bad in ["", "  ", "a\0b", "too long for ten"] {
            assert_eq!(problems(|c| c.text("name", bad, 10)), 1, "{bad}");
        }
    }
}
