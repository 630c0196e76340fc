//! How far each view's writes have come, kept beside them in the server.
//!
//! A number per view is replaced at the end of the pipeline that carries a batch. Commands take effect in the order in which they
//! were sent, in the server, in its files and in its replicas; so whoever finds the number finds everything before it. A number is
//! never replaced where another than the last one stands: it is what shows that the server was set back.
//!
//! | key | value |
//! | --- | --- |
//! | `readside:<instance>:receipt:<view>` | the number of the last batch |

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use readside_sink::{Receipt, SinkError};
use redis::{Cmd, Value, cmd};

/// Replaces the number if it is the last acknowledged one, or one of an attempt whose outcome is unknown.
const SCRIPT: &str = "local now = tonumber(redis.call('GET', KEYS[1]) or '0') or 0 \
    if now >= tonumber(ARGV[1]) and now < tonumber(ARGV[2]) then \
    redis.call('SET', KEYS[1], ARGV[2]) return 1 end return 0";

/// What this process knows of the numbers.
pub(super) struct Receipts {
    prefix: String,
    by_view: Mutex<BTreeMap<String, Known>>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Known {
    acknowledged: u64,
    /// The highest number that was sent.
    sent: u64,
}

impl Receipts {
    pub(super) fn new(instance: &str) -> Receipts {
        Receipts {
            prefix: format!("readside:{instance}:receipt:"),
            by_view: Mutex::new(BTreeMap::new()),
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Known>> {
        self.by_view.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn key(&self, view: &str) -> String {
        format!("{}{view}", self.prefix)
    }

    /// The server says this of a view; it is counted on from there.
    pub(super) fn accept(&self, view: &str, found: Option<u64>) -> Option<Receipt> {
        let count = found.unwrap_or(0);
        let known = Known {
            acknowledged: count,
            sent: count,
        };
        self.lock().insert(view.to_owned(), known);
        found.map(receipt)
    }

    pub(super) fn is_known(&self, view: &str) -> bool {
        self.lock().contains_key(view)
    }

    /// What stands for everything acknowledged.
    pub(super) fn acknowledged(&self, view: &str) -> Option<u64> {
        self.lock().get(view).map(|known| known.acknowledged)
    }

    /// The command that ends a batch's last pipeline, and the number that it leaves.
    pub(super) fn attempt(&self, view: &str) -> (Cmd, u64) {
        let mut by_view = self.lock();
        let known = by_view.entry(view.to_owned()).or_default();
        known.sent += 1;
        let mut command = cmd("EVAL");
        command
            .arg(SCRIPT)
            .arg(1)
            .arg(self.key(view))
            .arg(known.acknowledged)
            .arg(known.sent);
        (command, known.sent)
    }

    /// The server's answer to that command.
    pub(super) fn answered(&self, view: &str, count: u64, answer: &Value) -> Result<(), SinkError> {
        match answer {
            Value::Int(1) => {
                if let Some(known) = self.lock().get_mut(view) {
                    known.acknowledged = count;
                }
                Ok(())
            }
            Value::Int(_) => Err(set_back(view)),
            other => Err(SinkError::Unavailable(format!(
                "an unexpected reply: {other:?}"
            ))),
        }
    }
}

pub(super) fn receipt(count: u64) -> Receipt {
    Receipt {
        history: String::new(),
        count,
    }
}

/// The server has less than it acknowledged.
pub(super) fn set_back(view: &str) -> SinkError {
    SinkError::Lost(format!(
        "the server lost writes that it had acknowledged for view `{view}`"
    ))
}
