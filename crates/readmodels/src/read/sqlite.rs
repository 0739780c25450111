//! SQLite's readers: a few threads, because a question may have to wait for the disk.

use super::usage::Usage;
use crate::store::sqlite::{inode, query, read_only};
use crate::{Error, Kind, Row, Value};
use rusqlite::Connection;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// Questions that wait for a thread.
const QUESTIONS_MAX: usize = 1_024;
/// How often it is looked whether the file is still the one that is open.
const LOOK_EVERY: Duration = Duration::from_secs(1);

struct Question {
    sql: String,
    parameters: Vec<Value>,
    reply: oneshot::Sender<Result<Vec<Row>, Error>>,
}

/// The way to the threads. They end when this is dropped.
pub struct Threads {
    questions: SyncSender<Question>,
    threads: usize,
    /// Questions that were asked and not answered yet.
    open: Arc<AtomicUsize>,
}

impl Threads {
    pub fn start(path: &Path, threads: usize) -> Result<Threads, Error> {
        let (questions, asked) = sync_channel(QUESTIONS_MAX);
        let asked = Arc::new(Mutex::new(asked));
        let (threads, open) = (threads.max(1), Arc::new(AtomicUsize::new(0)));
        for _ in 0..threads {
            let (asked, path, open) = (asked.clone(), path.to_owned(), open.clone());
            let thread = std::thread::Builder::new().name("read-model".into());
            thread
                .spawn(move || answer(&asked, &path, &open))
                .map_err(|error| Error::new(Kind::Away, format!("cannot start a thread: {error}")))?;
        }
        Ok(Threads { questions, threads, open })
    }

    /// A thread has a connection of its own, which it opens with its first question.
    pub fn usage(&self) -> Usage {
        let open = self.open.load(Ordering::Relaxed);
        let in_use = open.min(self.threads);
        Usage { connections_max: self.threads, in_use, idle: self.threads - in_use, waiting: open - in_use }
    }

    pub async fn query(&self, sql: &str, parameters: Vec<Value>) -> Result<Vec<Row>, Error> {
        let (reply, answer) = oneshot::channel();
        let question = Question { sql: sql.to_owned(), parameters, reply };
        self.open.fetch_add(1, Ordering::Relaxed);
        self.questions.try_send(question).map_err(|refused| {
            self.open.fetch_sub(1, Ordering::Relaxed);
            match refused {
                TrySendError::Full(_) => Error::new(Kind::Away, "too many read at a time"),
                TrySendError::Disconnected(_) => Error::new(Kind::Away, "the threads that read have ended"),
            }
        })?;
        answer.await.unwrap_or_else(|_| Err(Error::new(Kind::Away, "the thread that read has ended")))
    }
}

fn answer(asked: &Mutex<Receiver<Question>>, path: &Path, unanswered: &AtomicUsize) {
    let mut open: Option<Open> = None;
    loop {
        let next = asked.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(question) = next else { return };
        if open.as_mut().is_some_and(|open| !open.is_current()) {
            open = None;
        }
        let found = match &open {
            Some(open) => query(&open.connection, &question.sql, &question.parameters),
            None => Open::at(path).and_then(|new| {
                let found = query(&new.connection, &question.sql, &question.parameters);
                open = Some(new);
                found
            }),
        };
        unanswered.fetch_sub(1, Ordering::Relaxed);
        // Who asked may have gone.
        let _ = question.reply.send(found);
    }
}

struct Open {
    connection: Connection,
    path: PathBuf,
    inode: u64,
    looked: Instant,
}

impl Open {
    fn at(path: &Path) -> Result<Open, Error> {
        let connection = read_only(path)?;
        Ok(Open { connection, inode: inode(path), path: path.into(), looked: Instant::now() })
    }

    /// Whether the file is still there under its name.
    fn is_current(&mut self) -> bool {
        if self.looked.elapsed() < LOOK_EVERY {
            return true;
        }
        self.looked = Instant::now();
        inode(&self.path) == self.inode
    }
}
