//! What server-side request forgery tries, one by one.

use super::*;

fn refused(entries: &[&str], url: &str) -> Option<Blocked> {
    let entries: Vec<HostPattern> = entries.iter().map(|entry| entry.parse().unwrap()).collect();
    permit(&entries, &Url::parse(url).unwrap()).err()
}

/// Every one of these is an address in disguise, or a name that is not what it seems, and is
/// refused to a pack that may reach the whole public internet and a company's domain.
#[test]
fn no_spelling_of_a_forbidden_address_gets_past_the_check_of_the_url() {
    for url in [
        // This machine.
        "http://127.0.0.1/",
        "http://127.0.0.1:7410/api/v1/executions",
        "http://127.1/",
        "http://127.0.1/",
        "http://2130706433/",
        "http://0x7f000001/",
        "http://0x7f.0.0.1/",
        "http://0177.0.0.1/",
        "http://017700000001/",
        "http://127.0.0.1./",
        "http://%31%32%37.0.0.1/",
        "http://１２７.０.０.１/",
        "http://①②⑦.⓪.⓪.①/",
        "http://127。0。0。1/",
        "http://0/",
        "http://0.0.0.0/",
        "http://[::]/",
        "http://[::1]/",
        "http://[0:0:0:0:0:0:0:1]/",
        "http://[::ffff:127.0.0.1]/",
        "http://[::ffff:7f00:1]/",
        "http://[::127.0.0.1]/",
        "http://[64:ff9b::127.0.0.1]/",
        "http://[64:ff9b::7f00:1]/",
        "http://[2002:7f00:1::]/",
        // Metadata services.
        "http://169.254.169.254/latest/meta-data/",
        "http://2852039166/latest/meta-data/",
        "http://0xa9fea9fe/",
        "http://0251.0376.0251.0376/",
        "http://[::ffff:169.254.169.254]/",
        "http://[::ffff:a9fe:a9fe]/",
        "http://[fd00:ec2::254]/",
        "http://100.100.100.200/",
        "http://168.63.129.16/",
        // Networks of one's own.
        "http://10.0.0.1/",
        "http://10.1/",
        "http://172.16.0.1/",
        "http://192.168.1.1/",
        "http://3232235777/",
        "http://100.64.0.1/",
        "http://[fc00::1]/",
        "http://[fe80::1]/",
        "http://[ff02::1]/",
        "http://[::ffff:10.0.0.1]/",
        "http://224.0.0.1/",
        "http://255.255.255.255/",
        // What stands before an `@` is no host.
        "http://api.example.com@127.0.0.1/",
        "http://api.example.com:443@169.254.169.254/",
        "http://api.example.com%2f@10.0.0.1/",
        // A backslash is a slash: the host ends there.
        "http://127.0.0.1\\@api.example.com/",
        "http://10.0.0.1#@api.example.com/",
        "http://10.0.0.1?@api.example.com/",
    ] {
        let error = refused(&["*", "*.corp.example.com"], url);
        assert!(matches!(error, Some(Blocked::TooFar { .. })), "{url}: {error:?}");
    }
}

#[test]
fn hosts_that_are_not_listed_are_refused_however_near_their_names_are() {
    for url in [
        "https://api.example.com.evil.test/",
        "https://evil.test/api.example.com",
        "https://api.example.com@evil.test/",
        "https://evil.test#api.example.com",
        "https://evil.test\\.api.example.com/",
        "https://xapi.example.com/",
        "https://api-example.com/",
        "https://аpi.example.com/", // a Cyrillic а
        "https://example.com/",
        "http://api.example.com:8443/",
    ] {
        let error = refused(&["api.example.com:443", "*.internal.example.com"], url);
        assert!(matches!(error, Some(Blocked::NotListed { .. })), "{url}: {error:?}");
    }
}

#[test]
fn what_is_listed_by_name_is_reached_where_it_is() {
    for (entries, url, reach) in [
        (&["127.0.0.1:*"][..], "http://2130706433:8080/", Reach::Local),
        (&["[::1]:80"], "http://[::1]/", Reach::Local),
        (&["169.254.169.254"], "http://169.254.169.254/latest", Reach::Local),
        (&["10.0.0.1:443"], "https://10.0.0.1/", Reach::Local),
        (&["localhost"], "http://LOCALHOST.:1/", Reach::Local),
        (&["api.example.com"], "https://api.example.com/", Reach::Private),
        (&["metadata.google.internal"], "http://metadata.google.internal/", Reach::Private),
        (&["*.corp.example.com"], "https://a.corp.example.com/", Reach::Private),
        (&["*", "*.corp.example.com"], "https://a.corp.example.com/", Reach::Private),
        (&["*"], "https://8.8.8.8/", Reach::Public),
    ] {
        let parsed: Vec<HostPattern> = entries.iter().map(|e| e.parse().unwrap()).collect();
        assert_eq!(permit(&parsed, &Url::parse(url).unwrap()), Ok(reach), "{entries:?} {url}");
    }
}

#[test]
fn a_name_is_connected_to_only_at_addresses_within_reach() {
    let at = |text: &str| SocketAddr::new(text.parse().unwrap(), 0);
    let mixed = ["10.0.0.1", "93.184.215.14", "127.0.0.1", "::ffff:169.254.169.254"].map(at);
    let within = |reach| within("rebinding.test", mixed.to_vec(), reach).unwrap();
    assert_eq!(within(Reach::Public), [at("93.184.215.14")]);
    assert_eq!(within(Reach::Private), [at("10.0.0.1"), at("93.184.215.14")]);
    assert_eq!(within(Reach::Local).len(), 4);
    // Who connects for us takes any of them.
    let by_another = |reach| all_within("rebinding.test", &mut mixed.into_iter(), reach);
    assert!(matches!(by_another(Reach::Public), Err(Blocked::TooFar { .. })));
    assert!(matches!(by_another(Reach::Private), Err(Blocked::TooFar { .. })));
    assert!(by_another(Reach::Local).is_ok());
    let only = vec![at("127.0.0.1")];
    let error = super::within("rebinding.test", only, Reach::Private).unwrap_err();
    assert_eq!(
        error.to_string(),
        "`rebinding.test` is 127.0.0.1, an address of this machine or of its metadata service"
    );
}

#[tokio::test]
async fn this_machines_name_is_refused_by_the_resolver() {
    for reach in [Reach::Public, Reach::Private] {
        let error = resolve("localhost", reach).await.unwrap_err();
        assert!(error.downcast_ref::<Blocked>().is_some(), "{error}");
    }
    assert!(!resolve("localhost", Reach::Local).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_listed_name_that_leads_to_this_machine_is_refused_whatever_it_led_to_before() {
    let entries: [HostPattern; 1] = ["api.example.com".parse().unwrap()];
    let url = Url::parse("http://api.example.com/").unwrap();
    let reach = permit(&entries, &url).unwrap();
    let at = |text: &str| SocketAddr::new(text.parse().unwrap(), 0);
    let told =
        |found: &[&str]| within("api.example.com", found.iter().map(|a| at(a)).collect(), reach);
    assert_eq!(told(&["93.184.215.14"]).unwrap().len(), 1);
    assert_eq!(told(&["10.0.0.1"]).unwrap().len(), 1);
    for address in ["127.0.0.1", "169.254.169.254", "::1", "fd00:ec2::254", "::ffff:127.0.0.1"] {
        assert!(matches!(told(&[address]), Err(Blocked::TooFar { .. })), "{address}");
        assert_eq!(told(&[address, "10.0.0.1"]).unwrap(), [at("10.0.0.1")], "{address}");
    }
}

#[test]
fn a_name_that_every_public_host_grants_leads_into_no_private_network() {
    let asked = ["api.example.com", "*.corp.example.com", "db.corp.example.com:443"];
    let parsed =
        |entries: &[&str]| entries.iter().map(|e| e.parse().unwrap()).collect::<Vec<HostPattern>>();
    let granted = |by: &[&str]| granted(&parsed(&asked), &parsed(by));
    let at = |text: &str| SocketAddr::new(text.parse().unwrap(), 0);
    let (everywhere, named) = (granted(&["*"]), granted(&["*", "*.corp.example.com"]));
    for url in [
        "https://api.example.com/",
        "https://db.corp.example.com/",
        "http://a.corp.example.com:8080/",
    ] {
        let url = Url::parse(url).unwrap();
        let name = url.host_str().unwrap();
        let reach = permit(&everywhere, &url).unwrap();
        for address in [
            "10.0.0.1",
            "172.16.0.1",
            "192.168.1.1",
            "100.64.0.1",
            "127.0.0.1",
            "169.254.169.254",
            "100.100.100.200",
            "0.0.0.0",
            "::1",
            "fc00::1",
            "fe80::1",
            "fd00:ec2::254",
            "::ffff:10.0.0.1",
            "64:ff9b::10.0.0.1",
            "2002:a00:1::",
        ] {
            let told = within(name, vec![at(address)], reach);
            assert!(matches!(told, Err(Blocked::TooFar { .. })), "{url} {address}");
            let both = within(name, vec![at(address), at("93.184.215.14")], reach);
            assert_eq!(both.unwrap(), [at("93.184.215.14")], "{url} {address}");
        }
        let far = if name.ends_with("corp.example.com") { Reach::Private } else { Reach::Public };
        assert_eq!(permit(&named, &url), Ok(far), "what the environment names too: {url}");
    }
}

#[test]
fn nobody_is_told_to_list_what_gives_away_the_machines_credentials() {
    let not_listed = |host: &str| Blocked::NotListed { host: host.to_owned() };
    let too_far = |host: &str, address: &str| Blocked::too_far(host, address.parse().unwrap());
    for (blocked, entry) in [
        (not_listed("api.example.com:8080"), Ok("api.example.com:8080")),
        (not_listed("127.0.0.1:80"), Ok("127.0.0.1:80")),
        (not_listed("[::1]:80"), Ok("[::1]:80")),
        (not_listed("localhost"), Ok("localhost")),
        (not_listed("169.254.169.254"), Err(GIVES_AWAY)),
        (not_listed("[fd00:ec2::254]:80"), Err(GIVES_AWAY)),
        (too_far("api.example.com", "10.0.0.1"), Ok("api.example.com")),
        (too_far("localhost", "127.0.0.1"), Ok("localhost")),
        (too_far("rebinding.test", "127.0.0.1"), Err(IS_A_NAME)),
        (too_far("rebinding.test", "100.100.100.200"), Err(GIVES_AWAY)),
        (too_far("169.254.169.254", "169.254.169.254"), Err(GIVES_AWAY)),
        (too_far("224.0.0.1", "224.0.0.1"), Err(NOWHERE)),
    ] {
        assert_eq!(blocked.entry(), entry, "{blocked}");
    }
}
