//! How a server's settings are read, and what is said of slips.

use std::path::Path;

use expect_test::{Expect, expect};
use serde_json::json;

use super::keys::KEYS;
use super::read::{Origin, Settings};
use super::{Config, schema};

fn read(text: &str) -> Result<Settings, Vec<model::Diagnostic>> {
    let folder = Path::new("/srv/tripline");
    let mut settings = Settings::defaults(folder);
    settings.read(syntax::parse("tripline.yaml", text)?.root(), folder)?;
    Ok(settings)
}

#[test]
fn what_a_file_says_wins_over_the_defaults_and_paths_start_from_its_folder() {
    let settings = read(
        "listen: 0.0.0.0:80\nwebhooks: { listen: '[::]:81' }\nstate: /var/lib/tripline\n\
         packs: [mine, /opt/packs]\nenvironment: environments/dev.yaml\nlimits: { programs: 2 }\n\
         git: { allow_local: true, max_export: 1MiB }\ngrace: 1m30s\n",
    );
    let config = Config::of(&settings.unwrap());
    assert_eq!(config.listen, "0.0.0.0:80");
    assert_eq!(config.webhooks_listen, "[::]:81");
    assert_eq!(config.state, Path::new("/var/lib/tripline"));
    assert_eq!(config.packs, [Path::new("/srv/tripline/mine"), Path::new("/opt/packs")]);
    assert_eq!(config.environment.unwrap(), Path::new("/srv/tripline/environments/dev.yaml"));
    assert_eq!((config.steps, config.programs), (256, 2));
    assert_eq!(config.git.allow_local, host::git::Local::Anywhere);
    assert_eq!((config.git.max_export_bytes, config.git.max_mirror_bytes), (1 << 20, 4 << 30));
    assert_eq!(config.grace, model::Duration::from_secs(90));
}

#[test]
fn every_default_reads_as_its_kind_and_is_what_git_does_by_itself() {
    let settings = Settings::defaults(Path::new(""));
    for (key, found) in settings.all() {
        assert_eq!(found.is_some(), key.default.is_some(), "{}", key.path);
    }
    let (git, own) = (Config::of(&settings).git, host::git::Options::default());
    assert_eq!(format!("{git:?}"), format!("{own:?}"));
}

#[test]
fn a_variable_wins_over_the_file_and_each_value_knows_where_it_came_from() {
    let mut settings = read("limits: { steps: 10, programs: 2 }\npacks: [a]\n").unwrap();
    let variables = [
        ("TRIPLINE_LIMITS_STEPS", "20"),
        ("TRIPLINE_PACKS", "x, /opt/y"),
        ("TRIPLINE_GIT_ALLOW_LOCAL", "true"),
        ("TRIPLINE_GRACE", ""),
    ];
    let variable =
        |name: &str| variables.iter().find(|(n, _)| *n == name).map(|(_, v)| (*v).to_owned());
    settings.read_variables(variable).unwrap();
    settings.flag("state", "--state", json!("elsewhere"));
    let shown: Vec<String> = settings
        .all()
        .filter_map(|(key, found)| {
            let (value, origin) = found.filter(|(_, origin)| *origin != Origin::Default)?;
            Some(format!("{} = {value} from {origin}", key.path))
        })
        .collect();
    expect![[r#"
        state = "elsewhere" from --state
        packs = ["x","/opt/y"] from $TRIPLINE_PACKS
        limits.steps = 20 from $TRIPLINE_LIMITS_STEPS
        limits.programs = 2 from tripline.yaml:1:32
        git.allow_local = true from $TRIPLINE_GIT_ALLOW_LOCAL"#]]
    .assert_eq(&shown.join("\n"));
}

#[test]
fn a_variable_that_means_nothing_is_refused_by_name() {
    for (name, text, told) in [
        ("TRIPLINE_LIMITS_STEPS", "0", "expected a whole number from 1 to 100000, found `0`"),
        (
            "TRIPLINE_GIT_ALLOW_LOCAL",
            "yes",
            "expected true, false or folders such as /srv/git, found `yes`",
        ),
        ("TRIPLINE_LISTEN", "7410", "`7410` is not an address"),
        ("TRIPLINE_GRACE", "30", "`30` is not a duration"),
        ("TRIPLINE_GIT_MAX_MIRROR", "1GB", "`1GB` is not a size"),
        ("TRIPLINE_LOG_FORMAT", "jsn", "did you mean `json`?"),
        ("TRIPLINE_PACKS", "builtin:deplyo", "there are `builtin:deploy`"),
    ] {
        let mut settings = Settings::defaults(Path::new(""));
        let variable = |asked: &str| (asked == name).then(|| text.to_owned());
        let error = settings.read_variables(variable).unwrap_err();
        assert!(error.starts_with(&format!("the variable {name}: ")), "{error}");
        assert!(error.contains(told), "{error}");
    }
}

fn check_refused(text: &str, expected: &Expect) {
    let findings = read(text).unwrap_err();
    let told: Vec<String> = findings.iter().map(ToString::to_string).collect();
    expected.assert_eq(&told.join("\n"));
}

#[test]
fn slips_are_told_with_their_place() {
    check_refused(
        "lisen: 127.0.0.1:1\nlimits: { steps: 0, programms: 1 }\ngrace: 30\ngit: { max_export: 1GB }\n",
        &expect![[r#"
            error: unknown field `lisen`
              at tripline.yaml:1:1
              1 | lisen: 127.0.0.1:1
                  ^
              hint: did you mean `listen`?
            error: `steps`: 0 is out of range: expected at least 1, at most 100000
              at tripline.yaml:2:18
              2 | limits: { steps: 0, programms: 1 }
                                   ^
            error: unknown field `programms`
              at tripline.yaml:2:21
              2 | limits: { steps: 0, programms: 1 }
                                      ^
              hint: did you mean `programs`?
            error: `grace`: expected a duration, found a whole number
              at tripline.yaml:3:8
              3 | grace: 30
                         ^
              hint: say its unit: 30s
            error: `1GB` is not a size: expected a number with a unit B, KiB, MiB, GiB or TiB, such as `256KiB` or `4MiB`
              at tripline.yaml:4:20
              4 | git: { max_export: 1GB }
                                     ^"#]],
    );
    check_refused(
        "kubernetes: { protected_namespaces: [kube-system, 123] }\n",
        &expect![[r#"
            error: expected a name, found a whole number
              at tripline.yaml:1:51
              1 | kubernetes: { protected_namespaces: [kube-system, 123] }
                                                                    ^"#]],
    );
    check_refused(
        "listen: localhost\npacks: ['builtin:x', 3]\nlog_format: jsn\n",
        &expect![[r#"
            error: `localhost` is not an address: expected host:port, such as 127.0.0.1:7410
              at tripline.yaml:1:9
              1 | listen: localhost
                          ^
            error: `builtin:x`: no such pack ships with Tripline; there are `builtin:deploy`
              at tripline.yaml:2:9
              2 | packs: ['builtin:x', 3]
                          ^
            error: expected a folder, found a whole number
              at tripline.yaml:2:22
              2 | packs: ['builtin:x', 3]
                                       ^
            error: `log_format`: unknown value `jsn`
              at tripline.yaml:3:13
              3 | log_format: jsn
                              ^
              hint: did you mean `json`?"#]],
    );
}

#[test]
fn the_schema_knows_every_key_and_its_default_fits() {
    let schema = schema();
    assert_eq!(schema["additionalProperties"], false);
    for key in KEYS {
        let (group, name) = key.place();
        let property = match group {
            Some(group) => &schema["properties"][group]["properties"][name],
            None => &schema["properties"][name],
        };
        assert!(property["description"].as_str().unwrap().contains(&key.variable()), "{name}");
        assert_eq!(property.get("default").is_some(), key.default.is_some(), "{name}");
    }
}

#[test]
fn the_reference_names_every_key_with_its_variable() {
    let reference = include_str!("../../../docs/reference/configuration.md");
    for key in KEYS {
        for told in [format!("| `{}` |", key.path), format!("`{}`", key.variable())] {
            assert!(reference.contains(&told), "{told} is not in configuration.md");
        }
    }
}

#[test]
fn what_ended_is_kept_as_file_and_variables_say_for_each_pack() {
    let days = |days: u64| model::Duration::from_secs(days * 24 * 60 * 60);
    let mut settings = read(
        "retention: { events: 1d, packs: { web: { executions: 90d }, api: { events: 3d } } }\n",
    )
    .unwrap();
    let keep = Config::of(&settings).retention;
    assert_eq!((keep.default.events, keep.default.executions), (days(1), days(30)));
    let ages = |pack: &str, keep: &store::Retention| {
        let ages = keep.packs[&pack.parse().unwrap()];
        (ages.events, ages.executions)
    };
    assert_eq!(ages("web", &keep), (days(1), days(90)));
    assert_eq!(ages("api", &keep), (days(3), days(30)));
    let variable = |name: &str| {
        (name == "TRIPLINE_RETENTION_PACKS").then(|| "web.events=2d, web.executions=5d".to_owned())
    };
    settings.read_variables(variable).unwrap();
    let keep = Config::of(&settings).retention;
    assert_eq!(ages("web", &keep), (days(2), days(5)));
    assert_eq!(keep.packs.len(), 1, "a variable stands for the whole");
    let bad = |text: &str| {
        let text = text.to_owned();
        settings
            .clone()
            .read_variables(|name| (name == "TRIPLINE_RETENTION_PACKS").then(|| text.clone()))
    };
    let told = bad("web=5d").unwrap_err();
    assert!(told.contains("expected such as web.executions=90d, found `web=5d`"), "{told}");
    let slips = read("retention: { packs: { Web: {}, web: { event: 1d, executions: soon } } }\n");
    assert_eq!(slips.unwrap_err().len(), 3);
}

#[test]
fn local_repositories_may_be_allowed_below_some_folders() {
    use host::git::Local;
    let local = |text: &str| Config::of(&read(text).unwrap()).git.allow_local;
    assert_eq!(local("git: { allow_local: false }\n"), Local::None);
    let below = Local::Below(vec!["/srv/tripline/git".into(), "/srv/git".into()]);
    assert_eq!(local("git: { allow_local: [git, /srv/git] }\n"), below);
    let mut settings = read("listen: 127.0.0.1:0\n").unwrap();
    let variable =
        |name: &str| (name == "TRIPLINE_GIT_ALLOW_LOCAL").then(|| "/srv/git, /data".to_owned());
    settings.read_variables(variable).unwrap();
    let below = Local::Below(vec!["/srv/git".into(), "/data".into()]);
    assert_eq!(Config::of(&settings).git.allow_local, below);
    assert_eq!(read("git: { allow_local: maybe }\n").unwrap_err().len(), 1);
}
