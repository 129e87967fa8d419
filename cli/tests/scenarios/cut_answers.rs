//! What is asked of a server whose answer is lost on the way: it is asked again, and starts once.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use serde_json::{Value, json};

use crate::files::{chain, executions_of, pack, text, world};
use crate::support::{Server, World};

/// Passes everything on, but for the answers to so many of the next requests that start something:
/// there it hangs up.
struct Proxy {
    address: String,
    cuts: Arc<AtomicUsize>,
}

impl Proxy {
    fn before(server: &Server) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let cuts = Arc::new(AtomicUsize::new(0));
        let (to, left) = (server.api().trim_start_matches("http://").to_owned(), cuts.clone());
        thread::spawn(move || {
            for client in listener.incoming() {
                let (client, server) = (client.unwrap(), TcpStream::connect(&to).unwrap());
                let left = left.clone();
                thread::spawn(move || pass(&client, &server, &left));
            }
        });
        Self { address, cuts }
    }
}

/// One request after the other, until one side has enough.
fn pass(mut client: &TcpStream, mut server: &TcpStream, cuts: &AtomicUsize) -> Option<()> {
    let answers = server.try_clone().ok()?;
    let back = client.try_clone().ok()?;
    let cutting = Arc::new(AtomicUsize::new(0));
    let cut = cutting.clone();
    thread::spawn(move || {
        let (mut answers, mut back) = (answers, back);
        let mut piece = vec![0; 65_536];
        while let Some(read) = answers.read(&mut piece).ok().filter(|read| *read > 0) {
            if cut.load(Ordering::SeqCst) > 0 || back.write_all(&piece[..read]).is_err() {
                break;
            }
        }
        let _ = back.shutdown(Shutdown::Both);
    });
    let mut piece = vec![0; 65_536];
    while let Some(read) = client.read(&mut piece).ok().filter(|read| *read > 0) {
        let less = |left: usize| left.checked_sub(1);
        let order = (Ordering::SeqCst, Ordering::SeqCst);
        if piece[..read].starts_with(b"POST ") && cuts.fetch_update(order.0, order.1, less).is_ok()
        {
            cutting.store(1, Ordering::SeqCst);
        }
        server.write_all(&piece[..read]).ok()?;
    }
    Some(())
}

/// A world whose chain `p.go` is run by hand and by a rule for each `p.happened`.
fn going() -> World {
    let world = world();
    chain(&world, "go", "1");
    pack(&world, "triggers/happened.yaml", "payload: {}\n");
    pack(&world, "rules/go.yaml", "trigger: { type: p.happened }\naction: { ref: p.go }\n");
    world
}

#[test]
fn a_command_whose_answer_is_lost_asks_again_and_starts_one_thing_that_runs() {
    let world = going();
    let server = world.serve();
    let proxy = Proxy::before(&server);
    let known = text(&world.json(&["event", "emit", "p.happened"])["event"]);
    let first = executions_of(&world, "p.go").remove(0);
    for command in [
        &["run", "p.go", "--detach"][..],
        &["run", "p.go"],
        &["event", "emit", "p.happened"],
        &["event", "emit", "p.happened", "--id", "1"],
        &["event", "reemit", &known],
        &["execution", "rerun", &first],
        &["execution", "rerun", "--action", "p.go", "--limit", "1", "--yes"],
    ] {
        let before = executions_of(&world, "p.go").len();
        proxy.cuts.store(1, Ordering::SeqCst);
        let done = world
            .run(&[command, &["--state", "state", "--server", &proxy.address]].concat())
            .succeeded();
        assert!(done.stderr.contains("asking again"), "{done:?}");
        assert_eq!(proxy.cuts.load(Ordering::SeqCst), 0, "{done:?}");
        let after = executions_of(&world, "p.go");
        assert_eq!(after.len(), before + 1, "{done:?}");
        world.reaches(&after[0], &["succeeded"]);
    }
}

#[test]
fn what_an_event_set_off_is_told_though_the_first_answer_is_lost() {
    let world = going();
    let server = world.serve();
    let proxy = Proxy::before(&server);
    proxy.cuts.store(1, Ordering::SeqCst);
    let emit = [
        "event",
        "emit",
        "p.happened",
        "--state",
        "state",
        "--server",
        &proxy.address,
        "-o",
        "json",
    ];
    let emitted: Value = serde_json::from_str(&world.run(&emit).succeeded().stdout).unwrap();
    let started = executions_of(&world, "p.go");
    assert_eq!(emitted["executions"], json!(started));
}

#[test]
fn a_connection_that_breaks_again_is_told_of_and_what_may_have_begun() {
    let world = going();
    let server = world.serve();
    let proxy = Proxy::before(&server);
    proxy.cuts.store(2, Ordering::SeqCst);
    let done = world
        .run(&["run", "p.go", "--detach", "--state", "state", "--server", &proxy.address])
        .ended(4);
    assert!(done.stderr.contains("it may have begun"), "{done:?}");
    assert_eq!(executions_of(&world, "p.go").len(), 1);
}
