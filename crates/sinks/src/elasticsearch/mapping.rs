//! The mapping of an index.
//!
//! In: a view's columns and what the operator wants otherwise. Out: the body that creates the index.
//!
//! | column | field |
//! | --- | --- |
//! | text, varchar, char, name | `text` with a `keyword` beside it (`name.keyword`) |
//! | enum, uuid, interval, time, types that are only carried | `keyword` |
//! | smallint, integer, bigint, oid | `short`, `integer`, `long` |
//! | numeric | `long` if it has no fraction and at most 18 digits, else `double` |
//! | real, double precision | `float`, `double` |
//! | boolean | `boolean` |
//! | date, timestamp, timestamptz | `date` |
//! | bytea | `keyword` that is not indexed |
//! | array | as its element |
//! | composite | an object of its fields |
//! | json, jsonb | left to the server, as an object where it is one: text as above, every number `double`, no dates guessed |
//!
//! Always: what a field can't take (`infinity`, `NaN`, the year 10000) stays in `_source` and is named in `_ignored`; it does
//! not make the document a dead letter. In json, a value of another kind than the first one does.

use readside_pgtype::Type;
use readside_sink::{SinkError, ViewTarget};
use serde_json::{Map, Value, json};

/// Longer values are not in a `keyword`: a term has at most 32,766 bytes.
const KEYWORD_CHARACTERS_MAX: u64 = 8191;
/// The digits of a numeric that surely fit a `long`.
const LONG_DIGITS_MAX: i32 = 18;

/// Fields that a document may not have.
const METADATA_FIELDS: &[&str] = &[
    "_id",
    "_index",
    "_source",
    "_type",
    "_routing",
    "_version",
    "_seq_no",
    "_primary_term",
    "_field_names",
    "_ignored",
    "_ignored_source",
    "_nested_path",
    "_doc_count",
    "_tier",
    "_data_stream_timestamp",
    "_size",
    "_tsid",
    "_feature",
    "_parent",
    "_all",
    "_uid",
];

/// The body of the request that creates the index of this view's generation.
///
/// # Errors
/// [`SinkError::Operator`] for columns that no document can have and for an override that cannot be used.
pub(super) fn index_body(target: &ViewTarget, instance: &str) -> Result<Value, SinkError> {
    if let Some(column) = target.columns.iter().find(|c| {
        METADATA_FIELDS.contains(&c.name.as_str()) || c.name.split('.').any(str::is_empty)
    }) {
        return Err(SinkError::Operator {
            message: format!(
                "view `{}`: a search document cannot have a field `{}`",
                target.view, column.name
            ),
            hint: format!(
                "give the column another name: `… AS {}`",
                column.name.trim_matches(['_', '.'])
            ),
        });
    }
    let mut mappings = json!({
        "date_detection": false,
        "numeric_detection": false,
        "dynamic_templates": [
            {"readside_text": {"match_mapping_type": "string", "mapping": text_field()}},
            // JSON may hold numbers and other scalars in one place; what is no number stays in the document, unindexed.
            {"readside_long": {"match_mapping_type": "long", "mapping": {"type": "double", "ignore_malformed": true}}},
            {"readside_double": {"match_mapping_type": "double", "mapping": {"type": "double", "ignore_malformed": true}}},
        ],
        "properties": properties(target.columns.iter().map(|c| (c.name.as_str(), &c.ty, c.typmod))),
    });
    let mut settings = json!({
        // How long a delete is remembered against a late write.
        "index.gc_deletes": "1h",
        // A pipeline of an index template would write other documents than the view's.
        "index.default_pipeline": "_none",
        "index.final_pipeline": "_none",
    });
    if let Some(text) = &target.mapping {
        override_with(text, &target.view, &mut mappings, &mut settings)?;
    }
    mappings["_meta"] = json!({
        "readside": {
            "instance": instance,
            "view": target.view,
            "generation": target.generation,
        }
    });
    Ok(json!({"settings": settings, "mappings": mappings}))
}

fn override_with(
    text: &str,
    view: &str,
    mappings: &mut Value,
    settings: &mut Value,
) -> Result<(), SinkError> {
    let refusal = |what: String| {
        SinkError::Operator {
        message: format!("view `{view}`: the mapping {what}"),
        hint: "it is JSON as for creating an index: `{\"settings\": …, \"mappings\": …}`, or the mappings alone".to_owned(),
    }
    };
    let given: Map<String, Value> = serde_json::from_str(text)
        .map_err(|error| refusal(format!("is not a JSON object: {error}")))?;
    let whole = given.contains_key("mappings") || given.contains_key("settings");
    let (given_mappings, given_settings) = if whole {
        if let Some(other) = given.keys().find(|k| *k != "mappings" && *k != "settings") {
            return Err(refusal(format!(
                "has `{other}` beside `mappings` and `settings`"
            )));
        }
        let part = |name: &str| match given.get(name) {
            None => Ok(Map::new()),
            Some(Value::Object(map)) => Ok(map.clone()),
            Some(_) => Err(refusal(format!("has `{name}` that is no object"))),
        };
        (part("mappings")?, part("settings")?)
    } else {
        (given, Map::new())
    };
    for (name, value) in given_mappings {
        match name.as_str() {
            "_source" => {
                return Err(refusal(
                    "changes `_source`, which has to stay what the view returns".to_owned(),
                ));
            }
            "_routing" => {
                return Err(refusal(
                    "wants routing, which documents don't have".to_owned(),
                ));
            }
            "properties" => {
                let Value::Object(fields) = value else {
                    return Err(refusal("has `properties` that is no object".to_owned()));
                };
                for (field, definition) in fields {
                    mappings["properties"][field] = definition;
                }
            }
            "_meta" => {}
            _ => mappings[name] = value,
        }
    }
    for (name, value) in given_settings {
        settings[name] = value;
    }
    Ok(())
}

fn properties<'a>(columns: impl Iterator<Item = (&'a str, &'a Type, i32)>) -> Value {
    let fields: Map<String, Value> = columns
        .filter_map(|(name, ty, typmod)| Some((name.to_owned(), field(ty, typmod)?)))
        .collect();
    Value::Object(fields)
}

fn text_field() -> Value {
    json!({
        "type": "text",
        "fields": {"keyword": {"type": "keyword", "ignore_above": KEYWORD_CHARACTERS_MAX}},
    })
}

/// The field for a column, or `None` where the server has to see the values first.
fn field(ty: &Type, typmod: i32) -> Option<Value> {
    let number = |kind: &str| Some(json!({"type": kind, "ignore_malformed": true}));
    match ty {
        Type::Bool => Some(json!({"type": "boolean"})),
        Type::Int2 => number("short"),
        Type::Int4 => number("integer"),
        Type::Int8 | Type::Oid => number("long"),
        Type::Float4 => number("float"),
        Type::Float8 => number("double"),
        Type::Numeric => number(if fits_long(typmod) { "long" } else { "double" }),
        Type::Text | Type::Varchar | Type::Bpchar | Type::Name => Some(text_field()),
        Type::Bytea => Some(json!({"type": "keyword", "index": false, "doc_values": false})),
        Type::Date | Type::Timestamp | Type::TimestampTz => Some(json!({
            "type": "date",
            "format": "strict_date_optional_time",
            "ignore_malformed": true,
        })),
        Type::Json | Type::Jsonb | Type::Unknown => None,
        Type::Domain(domain) => {
            let typmod = if typmod < 0 { domain.typmod } else { typmod };
            field(&domain.base, typmod)
        }
        Type::Array(element) => field(element, typmod),
        Type::Record(record) if record.fields.is_empty() => None,
        Type::Record(record) => Some(json!({
            "properties": properties(record.fields.iter().map(|(name, ty)| (&**name, ty, -1))),
        })),
        _ => Some(json!({"type": "keyword", "ignore_above": KEYWORD_CHARACTERS_MAX})),
    }
}

/// `numeric(p, s)` packs `(p << 16 | s) + 4` into its modifier; the scale has 11 bits and may be negative.
fn fits_long(typmod: i32) -> bool {
    if typmod < 4 {
        return false;
    }
    let packed = typmod - 4;
    let precision = (packed >> 16) & 0xFFFF;
    let scale = ((packed & 0x7FF) ^ 1024) - 1024;
    scale == 0 && precision <= LONG_DIGITS_MAX
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use std::sync::Arc;

    use readside_sink::TargetColumn;

    use super::*;

    fn column(name: &str, ty: Type) -> TargetColumn {
        TargetColumn {
            name: name.to_owned(),
            ty,
            typmod: -1,
            not_null: false,
        }
    }

    fn target(columns: Vec<TargetColumn>, mapping: Option<&str>) -> ViewTarget {
        ViewTarget {
            view: "v".to_owned(),
            location: String::new(),
            columns,
            key: Vec::new(),
            key_nullable: true,
            mapping: mapping.map(str::to_owned),
            generation: 1,
        }
    }

    #[test]
    fn numeric_without_fraction_is_long_and_the_rest_double() {
        for (typmod, expected) in [
            (-1, "double"),
            ((10 << 16) + 4, "long"),
            (((10 << 16) | 2) + 4, "double"),
            ((19 << 16) + 4, "double"),
            (((3 << 16) | 0x7FF) + 4, "double"),
        ] {
            assert_eq!(
                field(&Type::Numeric, typmod).unwrap()["type"],
                expected,
                "{typmod}"
            );
        }
    }

    #[test]
    fn an_override_replaces_a_field_and_keeps_the_others() {
        let columns = vec![
            column("a", Type::Text),
            column("b", Type::Array(Arc::new(Type::Int4))),
        ];
        let given = r#"{"settings": {"index.number_of_replicas": 0}, "mappings": {"properties": {"a": {"type": "keyword"}}}}"#;
        let body = index_body(&target(columns.clone(), Some(given)), "i").unwrap();
        assert_eq!(
            body["mappings"]["properties"]["a"],
            json!({"type": "keyword"})
        );
        assert_eq!(body["mappings"]["properties"]["b"]["type"], "integer");
        assert_eq!(body["settings"]["index.number_of_replicas"], 0);
        assert_eq!(body["settings"]["index.gc_deletes"], "1h");
        assert_eq!(body["mappings"]["_meta"]["readside"]["instance"], "i");
        for (bad, expected) in [
            ("[]", "not a JSON object"),
            (r#"{"_source": {"enabled": false}}"#, "_source"),
            (r#"{"mappings": {}, "aliases": {}}"#, "aliases"),
        ] {
            let error = index_body(&target(columns.clone(), Some(bad)), "i").unwrap_err();
            assert!(error.to_string().contains(expected), "{error}");
        }
    }

    #[test]
    fn a_column_that_no_document_can_have_is_refused_with_a_remedy() {
        let error = index_body(&target(vec![column("_id", Type::Int8)], None), "i").unwrap_err();
        assert!(error.to_string().contains("AS id"), "{error}");
    }
}
