//! Products from OpenSearch: by words and category, sorted, in pages.

use std::fmt;
use std::str::FromStr;

use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::parameters::Parameters;
use crate::problem::{Checks, Problem};

/// A search node serves no deeper pages than this many products.
const WINDOW: i64 = 10_000;
const TEXT_CHARACTERS_MAX: usize = 200;

/// The order of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sort {
    Relevance,
    Rating,
    PriceUp,
    PriceDown,
    Newest,
}

impl FromStr for Sort {
    type Err = SortError;

    fn from_str(text: &str) -> Result<Self, SortError> {
        Ok(match text {
            "relevance" => Self::Relevance,
            "rating" => Self::Rating,
            "price" => Self::PriceUp,
            "-price" => Self::PriceDown,
            "newest" => Self::Newest,
            _ => return Err(SortError),
        })
    }
}

#[derive(Debug)]
struct SortError;

impl fmt::Display for SortError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("is one of relevance, rating, price, -price, newest")
    }
}

impl Sort {
    /// Ties by id, so that pages neither repeat nor miss a product.
    fn json(self) -> Value {
        match self {
            Self::Relevance => json!(["_score", {"id": "asc"}]),
            Self::Rating => json!([
                {"rating": {"order": "desc", "missing": "_last"}},
                {"review_count": "desc"},
                {"id": "asc"}
            ]),
            Self::PriceUp => json!([{"price": "asc"}, {"id": "asc"}]),
            Self::PriceDown => json!([{"price": "desc"}, {"id": "asc"}]),
            Self::Newest => json!([{"updated_at": "desc"}, {"id": "desc"}]),
        }
    }
}

/// What a customer looks for.
#[derive(Debug)]
pub(super) struct Wanted {
    text: Option<String>,
    category: Option<String>,
    sort: Sort,
    page: i64,
    size: i64,
}

impl Wanted {
    pub(super) fn take(parameters: &mut Parameters) -> Result<Self, Problem> {
        let wanted = Self {
            text: parameters.take("text")?,
            category: parameters.take("category")?,
            sort: parameters.take("sort")?.unwrap_or(Sort::Relevance),
            page: parameters.take_between("page", 1, WINDOW)?.unwrap_or(1),
            size: parameters.take_between("size", 1, 100)?.unwrap_or(20),
        };
        let mut checks = Checks::default();
        checks.optional_text("text", wanted.text.as_deref(), TEXT_CHARACTERS_MAX);
        checks.require(
            "page",
            wanted.page * wanted.size <= WINDOW,
            format!("`page` times `size` must be at most {WINDOW}"),
        );
        checks.done()?;
        Ok(wanted)
    }

    fn query(&self) -> Value {
        let words = self.text.as_ref().map(|text| {
            json!({"multi_match": {
                "query": text,
                "fields": ["name^3", "category^2", "department", "tags", "sku", "description"],
                "type": "cross_fields",
                "operator": "and",
            }})
        });
        let category = self.category.as_ref().map(|name| {
            json!({"multi_match": {
                "query": name,
                "fields": ["category.keyword", "department.keyword"],
            }})
        });
        json!({"bool": {
            "must": words.into_iter().collect::<Vec<_>>(),
            "filter": category.into_iter().collect::<Vec<_>>(),
        }})
    }
}

#[derive(Debug, Deserialize)]
struct Found {
    timed_out: bool,
    hits: Hits,
}

#[derive(Debug, Deserialize)]
struct Hits {
    total: Total,
    hits: Vec<Hit>,
}

#[derive(Debug, Deserialize)]
struct Total {
    value: u64,
}

#[derive(Debug, Deserialize)]
struct Hit {
    /// As readside wrote it, so that a price keeps its digits.
    _source: Box<RawValue>,
}

pub(super) struct Search {
    http: reqwest::Client,
    url: String,
}

impl Search {
    pub(super) fn new(http: reqwest::Client, url: &str, index: &str) -> Self {
        Self {
            http,
            url: format!("{}/{index}/_search", url.trim_end_matches('/')),
        }
    }

    /// One page of products.
    pub(super) async fn products(&self, wanted: &Wanted) -> Result<String, Problem> {
        let down = |what: &dyn fmt::Display| {
            Problem::unavailable(format!("the search node does not answer: {what}"))
        };
        let request = self.http.post(&self.url).json(&json!({
            "from": (wanted.page - 1) * wanted.size,
            "size": wanted.size,
            "track_total_hits": true,
            "query": wanted.query(),
            "sort": wanted.sort.json(),
        }));
        let response = request.send().await.map_err(|error| down(&error))?;
        if !response.status().is_success() {
            return Err(down(&response.status()));
        }
        let text = response.text().await.map_err(|error| down(&error))?;
        let found: Found = serde_json::from_str(&text).map_err(|error| down(&error))?;
        if found.timed_out {
            return Err(down(&"it took too long"));
        }
        let products: Vec<&str> = found
            .hits
            .hits
            .iter()
            .map(|hit| hit._source.get())
            .collect();
        Ok(format!(
            "{{\"total\": {}, \"page\": {}, \"size\": {}, \"products\": [{}]}}",
            found.hits.total.value,
            wanted.page,
            wanted.size,
            products.join(", ")
        ))
    }
}
