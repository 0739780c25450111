//! What others try with the pages, and what they get.

use super::http::{cookie, form, queue, text as page_of};
use crate::common::{Request, Server};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flate2::Compression;
use flate2::write::ZlibEncoder;
use serde_json::{Value, json};
use std::io::Write;

/// Somebody else's page sends the forms in a visitor's name: nothing happens.
#[test]
fn forms_from_elsewhere_do_nothing() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(&data.path().join("data"), &[]);
    let organizer = server.organizer();
    let queue = queue(&server, &organizer, json!({}));
    let mine = cookie(&server.send(form(&format!("/q/{queue}/join"), "")).expect(303));
    let mine_is = |says: &str| {
        let page = page_of(&server.send(Request::new("GET", &format!("/q/{queue}/mine")).header("Cookie", &mine)));
        assert!(page.contains(says), "{page}");
    };
    let sent: &[&[(&str, &str)]] = &[
        &[("Sec-Fetch-Site", "cross-site"), ("Origin", "https://evil.example")],
        &[("Sec-Fetch-Site", "same-site"), ("Origin", "https://shop.test")],
        &[("Sec-Fetch-Site", "none")],
        &[("Origin", "https://evil.example")],
        &[("Origin", "null")],
        &[("Origin", "https://evil.example"), ("X-Forwarded-Host", "evil.example")],
        &[("Origin", "https://test.evil.example")],
        &[("Referer", "http://test/q/x")],
        &[],
    ];
    for headers in sent {
        for action in ["join", "leave", "go"] {
            let request = Request::new("POST", &format!("/q/{queue}/{action}")).header("Cookie", &mine);
            let request = headers.iter().fold(request, |request, (name, value)| request.header(name, value));
            let answer = server.send(request).expect(403);
            assert_eq!(answer.header("set-cookie"), None, "{action} {headers:?}");
        }
        mine_is("It is almost your turn");
    }
    // A link, an image or a prefetch is a GET.
    for action in ["join", "leave", "go"] {
        server.send(Request::new("GET", &format!("/q/{queue}/{action}"))).expect_problem(405, "method-not-allowed");
    }
    // The browsers that only say the origin, over plain HTTP.
    let old =
        Request::new("POST", &format!("/q/{queue}/leave")).header("Cookie", &mine).header("Origin", "http://test");
    server.send(old).expect(303);
    mine_is("You left the line");
    server.stop();
}

/// The cookie speaks for its entry, on the pages of its queue, and nowhere else.
#[test]
fn a_cookie_is_of_one_queue_and_no_credential_of_the_api() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(&data.path().join("data"), &[]);
    let organizer = server.organizer();
    let [one, other] = [0, 1].map(|_| queue(&server, &organizer, json!({})));
    let mine = cookie(&server.send(form(&format!("/q/{one}/join"), "")).expect(303));
    let token = mine.split_once('=').unwrap().1;
    let answer = server.send(Request::new("GET", &format!("/q/{other}/mine")).header("Cookie", &mine)).expect(303);
    assert_eq!(answer.header("location"), Some(format!("/q/{other}").as_str()));
    server.post(&format!("/v1/queues/{other}/admissions"), &organizer, json!({"count": 1})).expect(200);
    for action in ["leave", "go"] {
        let answer = server.send(form(&format!("/q/{other}/{action}"), &mine)).expect(303);
        assert_eq!(answer.header("location"), Some(format!("/q/{other}/mine").as_str()), "{action}");
    }
    // A place of one's own there, with the cookie of the other queue sent along.
    let both = cookie(&server.send(form(&format!("/q/{other}/join"), &mine)).expect(303));
    assert_ne!(both, mine);
    for bad in
        ["onsale_place=wqt_", "onsale_place=", &format!("onsale_place={token}A"), "onsale_place=x; onsale_place=y"]
    {
        server.send(Request::new("GET", &format!("/q/{one}/mine")).header("Cookie", bad)).expect(303);
    }
    let entries = format!("/v1/queues/{one}/entries");
    let entry = server.post(&entries, token, json!({})).expect(200).text("/entry_id");
    server
        .send(Request::new("GET", &format!("{entries}/{entry}")).header("Cookie", &mine))
        .expect_problem(401, "unauthenticated");
    server.stop();
}

/// What organizers write is text, wherever it comes to stand.
#[test]
fn names_are_text_and_people_are_sent_to_listed_urls_only() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(&data.path().join("data"), &[]);
    let organizer = server.organizer();
    let name = "</title><script src=//evil.example></script><svg onload=alert(1)>\"'{js}&amp;";
    let queue = queue(&server, &organizer, json!({"name": name, "opens_at": "2099-01-01T10:00:00Z"}));
    let mine = cookie(&server.send(form(&format!("/q/{queue}/join"), "")).expect(303));
    for path in [format!("/q/{queue}"), format!("/q/{queue}/mine")] {
        let page = page_of(&server.send(Request::new("GET", &path).header("Cookie", &mine)).expect(200));
        assert!(page.contains(
            "&lt;script src=//evil.example&gt;&lt;/script&gt;&lt;svg onload=alert(1)&gt;&quot;&#39;{js}&amp;amp;"
        ));
        assert!(!page.contains("<script src=//") && !page.contains("<svg"), "{page}");
    }
    let calendar = server.send(Request::new("GET", &format!("/q/{queue}/opening.ics"))).expect(200);
    assert_eq!(calendar.header("content-type"), Some("text/calendar; charset=utf-8"));
    assert!(page_of(&calendar).contains("DTSTART:20990101T100000Z\r\n"), "{}", page_of(&calendar));
    // Nothing in a request says where to go.
    for query in ["?redirect=//evil.example", "?to=https://evil.example", "?next=%2F%2Fevil.example"] {
        for action in ["join", "leave", "go"] {
            let answer = server.send(form(&format!("/q/{queue}/{action}{query}"), &mine)).expect(303);
            assert_eq!(answer.header("location"), Some(format!("/q/{queue}/mine").as_str()), "{action}{query}");
        }
    }
    for url in [
        "javascript:alert(1)",
        "https://tickets.example.com@evil.example",
        "//evil.example",
        "https://a.example;script-src *",
    ] {
        let body = json!({"name": "Tour", "redirect_urls": [url], "policy": {"manual": true}});
        server.post("/v1/queues", &organizer, body).expect_problem(400, "invalid-request");
    }
    server.stop();
}

/// Headers, cookies and queries that poison caches elsewhere: what caches may keep is the same bytes and headers with each.
#[test]
fn what_caches_keep_is_the_same_whatever_is_sent() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(&data.path().join("data"), &[]);
    let organizer = server.organizer();
    let queue = queue(&server, &organizer, json!({"opens_at": "2099-01-01T10:00:00Z"}));
    let page = format!("/q/{queue}");
    let look = json!({"logo": {"data": STANDARD.encode(png())}});
    let told = server.send(Request::new("PUT", &format!("/v1/queues/{queue}/page")).token(&organizer).json(look));
    let logo = told.expect(200).json()["logo"]["url"].as_str().unwrap().to_owned();
    let shell = page_of(&server.send(Request::new("GET", &page)).expect(200));
    let script =
        shell.split('"').find(|part| part.starts_with("/q/assets/") && part.ends_with(".js")).unwrap().to_owned();
    let poison = [
        ("X-Forwarded-Host", "evil.example"),
        ("X-Forwarded-Proto", "javascript"),
        ("X-Forwarded-Prefix", "/evil"),
        ("X-Host", "evil.example"),
        ("Forwarded", "host=evil.example;proto=http"),
        ("X-Original-URL", "/v1/organizers"),
        ("X-Rewrite-URL", "/v1/organizers"),
        ("X-HTTP-Method-Override", "POST"),
        ("Range", "bytes=0-3"),
        ("Cookie", "onsale_place=wqt_1; onsale_language=<script>"),
        ("Accept-Language", "<script>, ko;q=9"),
        ("Accept", "application/xml"),
        ("Origin", "https://evil.example"),
        ("Authorization", "Bearer wqt_1"),
    ];
    // The document of a second is another one in the next.
    let varies = |path: &str| path.ends_with("/line");
    for path in [page.clone(), script, logo, format!("{page}/opening.ics"), format!("/v1/queues/{queue}/line")] {
        let plain = server.send(Request::new("GET", &path)).expect(200);
        assert!(plain.header("cache-control").unwrap().starts_with("public"), "{path}");
        let queried = Request::new("GET", &format!("{path}?utm_source=%3Cscript%3E"));
        let queried = (!varies(&path)).then_some(("a query", queried));
        let headed = poison.iter().map(|header| (header.0, Request::new("GET", &path).header(header.0, header.1)));
        for (what, request) in headed.chain(queried) {
            let answer = server.send(request).expect(200);
            assert!(varies(&path) || answer.body == plain.body, "{path} with {what}");
            assert!(!String::from_utf8_lossy(&answer.body).contains("evil"), "{path} with {what}");
            assert!(answer.header("set-cookie").is_none(), "{path} with {what}");
            for name in ["cache-control", "content-type", "content-security-policy", "vary", "location"] {
                assert_eq!(answer.header(name), plain.header(name), "{name} of {path} with {what}");
            }
        }
    }
    // What is one person's is kept by nobody.
    let joined = server.send(form(&format!("{page}/join"), "")).expect(303);
    let mine = cookie(&joined);
    assert_eq!(joined.header("cache-control"), Some("no-store"));
    let shown = server.send(Request::new("GET", &format!("{page}/mine")).header("Cookie", &mine)).expect(200);
    assert_eq!(shown.header("cache-control"), Some("no-store"));
    server.stop();
}

/// A PNG of one pixel.
fn png() -> Vec<u8> {
    let chunk = |name: &[u8], data: &[u8]| {
        let checked = [name, data].concat();
        [&(data.len() as u32).to_be_bytes()[..], &checked, &crc32fast::hash(&checked).to_be_bytes()].concat()
    };
    let head = chunk(b"IHDR", &[0, 0, 0, 1, 0, 0, 0, 1, 8, 0, 0, 0, 0]);
    let mut zlib = ZlibEncoder::new(Vec::new(), Compression::fast());
    zlib.write_all(&[0, 0]).unwrap();
    let image = chunk(b"IDAT", &zlib.finish().unwrap());
    [&b"\x89PNG\r\n\x1a\n"[..], &head, &image, &chunk(b"IEND", b"")].concat()
}

/// An organizer's look is colors, plain texts, listed links and a real image.
#[test]
fn a_look_is_no_way_to_run_anything() {
    let data = tempfile::tempdir().unwrap();
    let folder = data.path().join("data");
    let server = Server::start(&folder, &[]);
    let (organizer, rival) = (server.organizer(), server.organizer());
    let queue = queue(&server, &organizer, json!({}));
    let path = format!("/v1/queues/{queue}/page");
    let set = |token: &str, look: Value| server.send(Request::new("PUT", &path).token(token).json(look));
    let mut empty = json!({"logo": null, "colors": {"light": null, "dark": null}, "texts": {}, "links": []});
    empty["show_seats_left"] = json!(false);
    empty["frame_ancestors"] = json!([]);
    assert_eq!(server.get(&path, "").expect(200).json(), empty);

    let logo = |bytes: &[u8]| json!({"logo": {"data": STANDARD.encode(bytes)}});
    let colors = |name: &str, color: &str| {
        let mut colors = json!({"ground": "#fff4e0", "card": "#ffffff", "text": "#222222", "accent": "#a02020", "on_accent": "#ffffff"});
        colors[name] = json!(color);
        json!({"colors": {"light": colors}})
    };
    let text = |language: &str, name: &str, text: &str| json!({"texts": {language: {name: text}}});
    let link = |url: &str| json!({"links": [{"label": "Help", "url": url}]});
    let svg = b"<svg xmlns=\"http://www.w3.org/2000/svg\" onload=\"alert(1)\"/>";
    let bad = [
        (logo(svg), "logo.data"),
        (logo(b"<html><script>alert(1)</script>"), "logo.data"),
        (logo(&[&png()[..], b"<script>alert(1)</script>"].concat()), "logo.data"),
        (logo(&png()[..30]), "logo.data"),
        (logo(b"GIF89a"), "logo.data"),
        (logo(&[0; 65_537]), "logo.data"),
        (json!({"logo": {"data": "no base64!"}}), "logo.data"),
        (json!({"logo": {"url": "https://evil.example/x.png"}}), "logo.url"),
        (json!({"logo": {}}), "logo"),
        (colors("text", "#999999"), "colors.light.text"),
        (colors("on_accent", "#a02121"), "colors.light.on_accent"),
        (colors("ground", "red;}body{background:url(//evil.example)"), "colors.light.ground"),
        (text("fr", "waiting_lead", "Bonjour"), "texts.fr"),
        (text("en", "leave", "Stay"), "texts.en.leave"),
        (text("en", "waiting_lead", &"x".repeat(301)), "texts.en.waiting_lead"),
        (text("en", "waiting_lead", "a\u{202e}b"), "texts.en.waiting_lead"),
        (link("javascript:alert(1)"), "links[0].url"),
        (link("http://plain.example/"), "links[0].url"),
        (link("https://x\" onclick=\"alert(1)"), "links[0].url"),
        (json!({"links": vec![json!({"label": "Help", "url": "https://a.example"}); 6]}), "links"),
    ];
    for (look, field) in bad {
        assert_eq!(set(&organizer, look).expect_problem(400, "invalid-request").text("/field"), field);
    }
    set(&rival, json!({})).expect_problem(404, "not-found");
    set("", json!({})).expect_problem(401, "unauthenticated");
    assert_eq!(server.get(&path, "").expect(200).json(), empty, "nothing of it happened");

    let mut look = colors("text", "#222222");
    look["logo"] = logo(&png())["logo"].clone();
    look["texts"] = text("en", "near_lead", "<b>Soon</b> {time} & \"now\"")["texts"].clone();
    look["links"] = link("https://help.example/?a=b&c=d")["links"].clone();
    let told = set(&organizer, look).expect(200).json();
    let image = told["logo"]["url"].as_str().unwrap();
    let answer = server.send(Request::new("GET", image)).expect(200);
    assert_eq!(answer.body, png());
    assert_eq!(answer.header("content-type"), Some("image/png"));
    assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
    assert_eq!(answer.header("content-security-policy"), Some("default-src 'none'; frame-ancestors 'none'"));
    let mine = cookie(&server.send(form(&format!("/q/{queue}/join"), "")).expect(303));
    let page = |path: &str| page_of(&server.send(Request::new("GET", path).header("Cookie", &mine)).expect(200));
    for page in [page(&format!("/q/{queue}")), page(&format!("/q/{queue}/mine"))] {
        assert!(page.contains(image) && page.contains("https://help.example/?a=b&amp;c=d"), "{page}");
        assert!(page.contains("&lt;b&gt;Soon&lt;/b&gt; ") && !page.contains("<b>"), "{page}");
        let style = page.split("href=\"").find(|part| part.contains("/look/")).unwrap().split('"').next().unwrap();
        let style = page_of(&server.send(Request::new("GET", style)).expect(200));
        assert!(style.starts_with("@media (prefers-color-scheme:light){:root{--ground:#fff4e0;"), "{style}");
    }
    // What it gave is taken again, and a restart keeps it.
    set(&organizer, told.clone()).expect(200);
    server.kill();
    let server = Server::start(&folder, &[]);
    assert_eq!(server.get(&path, "").expect(200).json(), told);
    server.send(Request::new("GET", &format!("/q/{queue}/look/0123456789abcdef.png"))).expect_problem(404, "not-found");
    server.stop();
}
