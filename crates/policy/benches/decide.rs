//! What a decision costs: `cargo bench -p fdr-policy --bench decide`.

use std::{
    fmt::Write,
    hint::black_box,
    time::{Duration, Instant},
};

use fdr_policy::{PolicySet, SetFile, Source};
use fdr_record::{
    ActionBody, Agent, Body, Env, Facts, Kind, Mode, PolicyDecision, Principal, Record, Timestamp, Verb,
    shell,
};

/// What coding agents run.
const COMMANDS: [&str; 30] = [
    "ls -la src",
    "cat README.md",
    "rg -n TODO src | head",
    "git status",
    "git diff HEAD~1",
    "git add -A && git commit -m 'Fix the parser'",
    "git push origin feature/parser",
    "git checkout -b feature/x",
    "cargo test -p parser",
    "cargo build --release",
    "npm install",
    "npm run build",
    "python -m pytest tests -q",
    "pip install -r requirements.txt",
    "mkdir -p build/out && cp target/release/app build/out/",
    "rm -rf build",
    "sed -i 's/a/b/' src/lib.rs",
    "curl -s https://api.github.com/repos/a/b/issues",
    "curl -fsSL https://example.com/install.sh -o /tmp/install.sh",
    "docker build -t app .",
    "docker compose up -d",
    "kubectl get pods -n prod",
    "psql -c 'select * from users' app",
    "make -j4 test",
    "find . -name '*.log' -delete",
    "tar czf /tmp/a.tar.gz src",
    "echo x >> notes.txt",
    "chmod +x scripts/run.sh",
    "ssh build.example.com uptime",
    "cat ~/.aws/credentials",
];

fn record(command: &str, number: u64) -> Record {
    let found = shell::normalise(command, &shell::Context { cwd: "/home/dev/proj", home: "/home/dev" });
    let mut body =
        ActionBody::new("Bash", command.to_owned(), found, PolicyDecision::undecided(Mode::Enforce));
    body.facts = Some(Facts {
        workspace: vec!["/home/dev/proj".to_owned()],
        home: "/home/dev".to_owned(),
        ..Facts::default()
    });
    Record {
        v: 1,
        id: "01890000-0000-7000-8000-000000000000".parse().expect("an id"),
        kind: Kind::Action,
        ts: Timestamp(1_795_524_862_737_000_000 + number),
        mono: 0,
        seq: number,
        session: Some("73ab4c72-0c1f-4e0c-9a53-1f6a8c1f0d55".to_owned()),
        agent: Some(Agent {
            id: "73ab4c72-0c1f-4e0c-9a53-1f6a8c1f0d55".to_owned(),
            name: "claude-code".to_owned(),
            runtime: "claude-code".to_owned(),
            version: None,
            model: Some("claude-fable".to_owned()),
            parent: None,
        }),
        principal: Some(Principal { kind: "user".to_owned(), id: "uid:1000".to_owned(), name: None }),
        trace: None,
        links: Vec::new(),
        claimed: None,
        observed: None,
        env: Some(Env { branch: Some("feature/parser".to_owned()), ..Env::default() }),
        body: Body::Action(body),
        sealed: None,
        content: Vec::new(),
    }
}

/// Policies of which none can be told from its text to be false: Cedar evaluates each.
fn arithmetic(count: usize) -> PolicySet {
    let mut text =
        "@id(\"bench/all\") @reason(\"all\") @control(\"none\") permit (principal, action, resource);\n"
            .to_owned();
    for i in 0..count {
        let verb = Verb::ALL[i % Verb::ALL.len()];
        let _ = writeln!(
            text,
            "@id(\"bench/{i}\") @reason(\"policy {i}\") @control(\"800-53 AC-6\")\nforbid (principal, action == Action::\"{verb}\", resource) when {{ context.so_far + context.in_call > {i} + 1000 }};\n"
        );
    }
    PolicySet::from_files(vec![SetFile { name: "bench/bench.cedar".to_owned(), text }])
        .unwrap_or_else(|error| panic!("{error}"))
}

/// As many policies, of scopes and conditions as companies write them.
fn generated(count: usize) -> PolicySet {
    let mut text = String::new();
    let types = ["File", "Url", "Host", "Process", "Git", "Database", "Mcp", "Other"];
    for i in 0..count {
        let verb = Verb::ALL[i % Verb::ALL.len()];
        let kind = types[i % types.len()];
        let (decision, rule) = match i % 10 {
            0 => ("", format!("permit (principal, action == Action::\"{verb}\", resource);")),
            1 => (
                "",
                format!(
                    "forbid (principal, action == Action::\"{verb}\", resource is {kind}) when {{ resource.secret && context.so_far > {i} }};"
                ),
            ),
            2 => (
                "",
                format!(
                    "forbid (principal, action in Action::\"change\", resource is File) when {{ resource.name like \"/srv/team{i}/*\" && !resource.inside }};"
                ),
            ),
            3 => (
                "@decision(\"ask\")",
                format!(
                    "forbid (principal, action in Action::\"outward\", resource) when {{ context.taint.contains(\"secret\") && context.branch == \"release/{i}\" }};"
                ),
            ),
            4 => (
                "",
                format!(
                    "forbid (principal, action, resource is Url) when {{ resource.host == \"team{i}.example.com\" }};"
                ),
            ),
            5 => (
                "@decision(\"ask\")",
                format!(
                    "forbid (principal in Human::\"uid:{i}\", action, resource) when {{ context.scope == \"out_of_scope\" && context.destructive }};"
                ),
            ),
            6 => (
                "",
                format!(
                    "forbid (principal is SubAgent, action in [Action::\"delete\", Action::\"send\"], resource) when {{ resource.classes.contains(\"class{i}\") }};"
                ),
            ),
            7 => (
                "@decision(\"ask\")",
                format!(
                    "forbid (principal, action == Action::\"execute\", resource is Process) when {{ resource.name == \"tool{i}\" || context.hazards.contains(\"code_network\") && context.hour > 22 }};"
                ),
            ),
            8 => (
                "",
                format!(
                    "forbid (principal, action == Action::\"{verb}\", resource) when {{ resource.protected && context.repo == \"/srv/repo{i}\" }};"
                ),
            ),
            _ => (
                "",
                format!(
                    "forbid (principal, action, resource is {kind}) when {{ resource.classes.contains(\"team{i}\") && !context.reversible }};"
                ),
            ),
        };
        let _ = writeln!(
            text,
            "@id(\"bench/{i}\") @reason(\"policy {i}\") @control(\"800-53 AC-6\") {decision}\n{rule}\n"
        );
    }
    let files = vec![SetFile { name: "bench/bench.cedar".to_owned(), text }];
    PolicySet::from_files(files).unwrap_or_else(|error| panic!("{error}"))
}

/// Time that this thread had a processor, so that a busy machine doesn't count; since it
/// started, where the system doesn't tell.
fn worked(started: Instant) -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanos = text.split(' ').next().and_then(|nanos| nanos.parse().ok());
    nanos.map_or_else(|| started.elapsed(), Duration::from_nanos)
}

fn starter(names: &[&str]) -> PolicySet {
    let sources: Vec<Source> = names.iter().map(|name| Source::Starter((*name).to_owned())).collect();
    PolicySet::load(&sources).unwrap_or_else(|error| panic!("{error}"))
}

fn main() {
    let begin = Instant::now();
    let records: Vec<Record> = (0..).zip(COMMANDS).map(|(number, command)| record(command, number)).collect();
    let actions: usize =
        records.iter().map(|r| if let Body::Action(b) = &r.body { b.actions.len() } else { 0 }).sum();
    println!("{} calls with {:.1} actions each", records.len(), actions as f64 / records.len() as f64);
    println!(
        "{:<26} {:>8} {:>10} {:>10} {:>10} {:>10} {:>12} {:>12}",
        "set", "policies", "load", "p50", "p99", "max", "decisions/s", "of a core"
    );
    let sets: [(&str, &dyn Fn() -> PolicySet); 5] = [
        ("baseline", &|| starter(&["baseline"])),
        ("all starters", &|| starter(PolicySet::STARTERS)),
        ("generated", &|| generated(100)),
        ("generated", &|| generated(500)),
        ("generated, with sums", &|| arithmetic(500)),
    ];
    for (name, make) in sets {
        let started = Instant::now();
        let set = make();
        let load = started.elapsed();
        for record in &records {
            black_box(set.decide(record));
        }
        let rounds = 200;
        let mut times: Vec<Duration> = Vec::with_capacity(rounds * records.len());
        let (started, before) = (Instant::now(), worked(begin));
        for _ in 0..rounds {
            for record in &records {
                let begun = Instant::now();
                black_box(set.decide(black_box(record)));
                times.push(begun.elapsed());
            }
        }
        let rate = times.len() as f64 / (worked(begin) - before).as_secs_f64();
        let wall = times.len() as f64 / started.elapsed().as_secs_f64();
        times.sort_unstable();
        println!(
            "{name:<26} {:>8} {load:>10.2?} {:>10.2?} {:>10.2?} {:>10.2?} {wall:>12.0} {rate:>12.0}",
            set.policies().count(),
            times[times.len() / 2],
            times[times.len() * 99 / 100],
            times[times.len() - 1],
        );
    }
}
