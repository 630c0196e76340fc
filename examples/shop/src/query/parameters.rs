//! The query part of a URL.
//!
//! Always: a parameter that nobody takes is an error, so that a misspelt `min_lsn` doesn't go unnoticed.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::str::FromStr;
use std::time::Duration;

use axum::extract::{Query, RawQuery};
use axum::http::Uri;

use super::freshness::{Minimum, WAIT_MAX};
use crate::problem::{Checks, Problem};

pub(super) struct Parameters(BTreeMap<String, String>);

/// A number in a path.
pub(super) fn number<T: FromStr>(what: &str, text: &str) -> Result<T, Problem> {
    text.parse()
        .map_err(|_| Problem::unreadable(format!("{what} is a number, and `{text}` is none")))
}

impl Parameters {
    pub(super) fn of(RawQuery(raw): RawQuery) -> Result<Self, Problem> {
        let uri: Uri = format!("/?{}", raw.unwrap_or_default())
            .parse()
            .map_err(|_| Problem::unreadable("the query is not of a URL"))?;
        let Query(pairs) = Query::<Vec<(String, String)>>::try_from_uri(&uri)
            .map_err(|error| Problem::unreadable(error.body_text()))?;
        let mut all = BTreeMap::new();
        for (name, value) in pairs {
            if let Some((name, _)) = all.insert(name.clone(), value).map(|old| (name, old)) {
                return Err(Problem::unreadable(format!("`{name}` is given twice")));
            }
        }
        Ok(Self(all))
    }

    /// A parameter's value, if it is given and not empty.
    pub(super) fn take<T>(&mut self, name: &str) -> Result<Option<T>, Problem>
    where
        T: FromStr<Err: Display>,
    {
        let Some(text) = self.0.remove(name).filter(|text| !text.is_empty()) else {
            return Ok(None);
        };
        let value = text.parse();
        value
            .map(Some)
            .map_err(|error| Problem::unreadable(format!("`{name}`: {error}")))
    }

    pub(super) fn take_between(
        &mut self,
        name: &'static str,
        least: i64,
        most: i64,
    ) -> Result<Option<i64>, Problem> {
        let value = self.take(name)?;
        if let Some(value) = value {
            let mut checks = Checks::default();
            checks.between(name, value, least, most);
            checks.done()?;
        }
        Ok(value)
    }

    /// `min_lsn` and `wait_ms`.
    pub(super) fn take_minimum(&mut self) -> Result<Option<Minimum>, Problem> {
        let most = i64::try_from(WAIT_MAX.as_millis()).unwrap_or(i64::MAX);
        let wait = self.take_between("wait_ms", 0, most)?;
        let wait = wait.and_then(|ms| u64::try_from(ms).ok());
        let position = self.take("min_lsn")?;
        Ok(position.map(|position| Minimum {
            position,
            wait: wait.map(Duration::from_millis),
        }))
    }

    pub(super) fn none_left(self) -> Result<(), Problem> {
        match self.0.keys().next() {
            None => Ok(()),
            Some(name) => Err(Problem::unreadable(format!(
                "`{name}` is no parameter of this query"
            ))),
        }
    }
}
