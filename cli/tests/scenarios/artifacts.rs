//! Texts and files that a chain makes on its way: templates, downloads.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};

use crate::files::{chain, pack, start, world};

const RELEASE: &str = r#"
    let name = run("template.render", #{
        template: #{ file: "app-${values.version}.tar", count: "${values.hosts.len() + 1}" },
        values: #{ version: "1.2", hosts: ["a", "b"] },
    }).value;
    let app = run("http.request", #{
        url: "http://ADDRESS/app.tar",
        download: #{ to: "releases/" + name.file, temporary: true },
    });
    let slip = "";
    try {
        run("template.render", #{ template: "${values.nmae}", values: #{} });
    } catch (error) {
        slip = error.kind;
    }
    #{ file: app.path, size: app.size, count: name.count, slip: slip }
"#;

/// Answers every request with `body`, for as long as the test lives.
fn serving(body: &'static str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        while let Ok((mut stream, _)) = listener.accept() {
            let _ = stream.read(&mut [0; 4096]);
            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len());
            let _ = stream.write_all(format!("{head}{body}").as_bytes());
        }
    });
    address
}

#[test]
fn a_chain_fills_a_template_and_downloads_a_file_and_goes_on_with_both() {
    let world = world();
    let address = serving("the release");
    let permissions = "{ actions: [template.*, http.request], hosts: ['127.0.0.1:*'] }";
    let manifest = format!("name: p\nversion: 1.0.0\npermissions: {permissions}\n");
    pack(&world, "pack.yaml", &manifest);
    let text = RELEASE.replace("ADDRESS", &address.to_string());
    chain(&world, "release", &text);
    let _server = world.serve();
    let id = start(&world, "p.release");
    let ended = world.reaches(&id, &["succeeded", "failed"]);
    let result = &ended["outcome"]["result"];
    assert_eq!(result["count"], 3, "a text that is one expression keeps its kind: {ended:#}");
    assert_eq!(result["slip"], "invalid_parameters", "{ended:#}");
    assert_eq!(world.read("state/exports/releases/app-1.2.tar"), "the release");
    let path = world.path("state/exports/releases/app-1.2.tar");
    assert!(path.ends_with(result["file"].as_str().unwrap().trim_start_matches("./")), "{ended:#}");
    let owner = world.path("state/exports/.owners").join(&id);
    assert!(owner.exists(), "the file is held by the execution, and goes with it");
}
