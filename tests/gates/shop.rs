//! Somebody's shop, which knows nothing of queues: it answers every request with what came to it.

use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

pub struct Shop {
    pub address: String,
    /// The request lines and headers of all that came.
    pub seen: Arc<Mutex<Vec<String>>>,
}

impl Shop {
    pub fn open() -> Shop {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let shop = Shop { address: listener.local_addr().unwrap().to_string(), seen: Arc::default() };
        let seen = shop.seen.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let seen = seen.clone();
                std::thread::spawn(move || answer(stream, &seen));
            }
        });
        shop
    }

    /// Everything that ever came to it.
    pub fn all(&self) -> String {
        self.seen.lock().unwrap().join("\n")
    }
}

fn answer(stream: TcpStream, seen: &Mutex<Vec<String>>) -> Option<()> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let path = line.split(' ').nth(1)?.to_owned();
    let mut headers = serde_json::Map::new();
    seen.lock().unwrap().push(line.clone());
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        seen.lock().unwrap().push(line.clone());
        // All that came by this name: a shop takes the first, or the last.
        let values = headers.entry(name.to_lowercase()).or_insert_with(|| json!([]));
        values.as_array_mut()?.push(Value::from(value.trim()));
    }
    // Whoever closes on what is still to be read resets the connection, and some proxies say 502 then.
    let length = headers.get("content-length").and_then(|lengths| lengths[0].as_str()?.parse().ok()).unwrap_or(0);
    reader.read_exact(&mut vec![0; length]).ok()?;
    let body = json!({"shop": true, "path": path, "headers": headers}).to_string();
    let head =
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nSet-Cookie: basket=7; Path=/\r\nConnection: close\r\n";
    write!(&stream, "{head}Content-Length: {}\r\n\r\n{body}", body.len()).ok()
}
