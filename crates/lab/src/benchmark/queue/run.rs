//! What the figures of the queue have in common.

use crate::benchmark::Progress;
use crate::benchmark::load::{Failure, Worker};
use crate::client::write_request;
use anyhow::{Context, anyhow};
use base::id::UserId;
use security::secrets::Secrets;
use serde_json::Value;
use std::cell::RefCell;
use std::path::PathBuf;
use std::time::Duration;

pub struct Run<'a> {
    pub data: PathBuf,
    pub scratch: PathBuf,
    pub secrets: Secrets,
    pub connections: usize,
    pub round: Duration,
    /// How many wait so far.
    pub waiting: u32,
    pub newcomers: RefCell<Box<dyn Iterator<Item = UserId>>>,
    pub progress: &'a Progress,
}

pub fn write(worker: &mut Worker, method: &str, path: &str, token: &str, body: Option<&[u8]>) {
    let mut request = std::mem::take(&mut worker.request);
    request.clear();
    write_request(&mut request, method, path, worker.host(), Some(token), &[], body);
    worker.request = request;
}

pub async fn read(worker: &mut Worker, status: u16) -> anyhow::Result<Value> {
    match worker.expect(status).await {
        Ok(reply) => serde_json::from_slice(reply.body).context("an answer that is no JSON"),
        Err(Failure::Unexpected(what)) => Err(anyhow!(what)),
        Err(Failure::Exhausted) => Err(anyhow!("nothing to ask for")),
    }
}
