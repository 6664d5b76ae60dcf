//! The engine: what a set says of a record, how it says why, and what is wrong with a set.

use fdr_policy::{MAX_FILE_BYTES, PolicySet, SetError, SetFile, Source};
use fdr_record::{
    Action, ActionBody, Agent, Body, ContentRef, Count, Env, Facts, Hazard, InScope, IntentCheck, Kind, Mode,
    Normalised, PolicyDecision, Principal, Record, RecordId, Resource, Taint, Timestamp, Verb, Verdict,
};
use proptest::prelude::*;
use std::path::Path;

/// A record of actions in the workspace `/w` of the user `/home/dev`.
fn record(actions: Vec<Action>) -> Record {
    let found = Normalised { actions, ..Normalised::default() };
    let mut body =
        ActionBody::new("Bash", "a call".to_owned(), found, PolicyDecision::undecided(Mode::Enforce));
    body.facts =
        Some(Facts { workspace: vec!["/w".to_owned()], home: "/home/dev".to_owned(), ..Facts::default() });
    Record {
        v: 1,
        id: "01890000-0000-7000-8000-000000000000".parse::<RecordId>().unwrap(),
        kind: Kind::Action,
        // Tuesday, 2026-11-24, 13:34 UTC.
        ts: Timestamp(1_795_527_262_737_000_000),
        mono: 0,
        seq: 0,
        session: Some("s1".to_owned()),
        agent: Some(Agent {
            id: "s1".to_owned(),
            name: "claude-code".to_owned(),
            runtime: "claude-code".to_owned(),
            version: None,
            model: Some("m".to_owned()),
            parent: None,
        }),
        principal: Some(Principal { kind: "user".to_owned(), id: "uid:1000".to_owned(), name: None }),
        trace: None,
        links: Vec::new(),
        claimed: None,
        observed: None,
        env: Some(Env {
            branch: Some("main".to_owned()),
            repo: Some("/w".to_owned()),
            host: Some("box".to_owned()),
            permission_mode: Some("default".to_owned()),
            ..Env::default()
        }),
        body: Body::Action(body),
        sealed: None,
        content: Vec::new(),
    }
}

fn body(record: &mut Record) -> &mut ActionBody {
    match &mut record.body {
        Body::Action(body) => body,
        _ => unreachable!("the record is one of an action"),
    }
}

fn act(verb: Verb, resource: &str) -> Action {
    let (kind, name) = resource.split_once(':').unwrap();
    Action::new(verb, Resource::new(kind, name))
}

fn policy(id: &str, text: &str) -> String {
    let (decision, text) = match text.strip_prefix("ask") {
        Some(text) => ("@decision(\"ask\")", format!("forbid{text}")),
        None => ("", text.to_owned()),
    };
    format!("@id(\"t/{id}\") @reason(\"{id} is not wanted\") @control(\"none\") {decision}\n{text};\n")
}

fn files(policies: &[String], lists: &str) -> Vec<SetFile> {
    let file = |name: &str, text: String| SetFile { name: name.to_owned(), text };
    vec![file("t/t.cedar", policies.concat()), file("t/lists.toml", lists.to_owned())]
}

fn set(policies: &[String], lists: &str) -> PolicySet {
    PolicySet::from_files(files(policies, lists)).unwrap_or_else(|error| panic!("{error}"))
}

fn all() -> String {
    policy("all", "permit (principal, action, resource)")
}

/// Whether a set that forbids `condition` and nothing else denies.
fn holds(condition: &str, record: &Record) -> bool {
    let forbid = policy("c", &format!("forbid (principal, action, resource) when {{ {condition} }}"));
    set(&[all(), forbid], "secrets = [\"**/.env\"]").decide(record).verdict == Verdict::Deny
}

#[test]
fn every_starter_set_loads_and_is_its_files() {
    for starter in PolicySet::STARTERS {
        let set =
            PolicySet::load(&[Source::Starter((*starter).to_owned())]).unwrap_or_else(|e| panic!("{e}"));
        assert!(set.policies().any(|policy| policy.id == "fdr/tamper"));
        let again = PolicySet::from_files(set.files().to_vec()).unwrap();
        assert_eq!(again.hash(), set.hash());
    }
    let all: Vec<Source> =
        PolicySet::STARTERS.iter().map(|name| Source::Starter((*name).to_owned())).collect();
    PolicySet::load(&all).unwrap_or_else(|e| panic!("{e}"));
}

#[test]
fn the_strictest_answer_counts_and_its_policies_are_named() {
    let set = set(
        &[
            all(),
            policy(
                "delete",
                "forbid (principal, action == Action::\"delete\", resource is File) unless { resource.inside }",
            ),
            policy("out", "ask (principal, action in Action::\"outward\", resource)"),
        ],
        "",
    );
    let send = || act(Verb::Send, "git:origin#x");
    for (actions, verdict, reason, policies) in [
        (vec![act(Verb::Delete, "file:/w/a")], Verdict::Permit, "all is not wanted (t/all)", "t/all"),
        (
            vec![act(Verb::Delete, "file:/w/a"), send()],
            Verdict::Ask,
            "out is not wanted: git:origin#x (t/out)",
            "t/out",
        ),
        (
            vec![send(), act(Verb::Delete, "file:/w/a"), act(Verb::Delete, "file:/etc/hosts")],
            Verdict::Deny,
            "delete is not wanted: file:/etc/hosts (t/delete)",
            "t/delete",
        ),
    ] {
        let decision = set.decide(&record(actions));
        assert_eq!((decision.verdict, decision.reason.as_str()), (verdict, reason));
        assert_eq!(decision.policies.join(" "), policies);
    }
}

#[test]
fn what_no_policy_permits_is_denied_even_if_one_would_ask() {
    let set = set(&[policy("ask", "ask (principal, action, resource)")], "");
    let decision = set.decide(&record(vec![act(Verb::Read, "file:/w/a")]));
    assert_eq!(decision.verdict, Verdict::Deny);
    assert_eq!(decision.reason, "no policy permits reading: file:/w/a");
    assert!(decision.policies.is_empty());
}

#[test]
fn a_policy_that_cannot_be_evaluated_denies() {
    for effect in ["permit", "forbid", "ask"] {
        let overflow = format!(
            "{effect} (principal, action, resource) when {{ context.size + 9223372036854775807 > 0 }}"
        );
        let set = set(&[all(), policy("sum", &overflow)], "");
        let mut record = record(vec![act(Verb::Read, "file:/w/a")]);
        record.content.push(ContentRef {
            role: "args".to_owned(),
            digest: String::new(),
            len: 1,
            media: String::new(),
            redacted: 0,
            kid: None,
            sealed: None,
        });
        let decision = set.decide(&record);
        assert_eq!(
            (decision.verdict, &decision.policies[..]),
            (Verdict::Deny, &["t/sum".to_owned()][..]),
            "{effect}"
        );
        assert!(decision.reason.contains("t/sum can't be evaluated on file:/w/a"), "{}", decision.reason);
    }
}

#[test]
fn four_eyes_is_said_of_a_policy_that_asks_for_them() {
    let text = policy("push", "ask (principal, action, resource)")
        .replace("@decision", "@four_eyes(\"true\") @decision");
    let set = set(&[all(), text], "");
    assert!(set.decide(&record(vec![act(Verb::Send, "git:origin#main")])).four_eyes);
}

#[test]
fn a_call_without_actions_is_the_execution_of_its_tool() {
    let record = record(Vec::new());
    assert!(holds("action == Action::\"execute\" && resource == Other::\"tool:Bash\"", &record));
}

#[test]
fn tampering_is_denied_whatever_else_is_permitted_and_looking_is_not() {
    let set = set(&[all()], "");
    for (verb, want) in
        [(Verb::Write, Verdict::Deny), (Verb::Execute, Verdict::Deny), (Verb::Read, Verdict::Permit)]
    {
        let action = Action { tamper: true, ..act(verb, "file:/w/a") };
        let decision = set.decide(&record(vec![action]));
        assert_eq!(decision.verdict, want, "{verb}");
    }
}

#[test]
fn a_move_asks_about_both_places_and_a_link_is_in_both() {
    let set = set(
        &[
            all(),
            policy(
                "out",
                "forbid (principal, action in Action::\"change\", resource is File) unless { resource.inside }",
            ),
        ],
        "",
    );
    let to = |action: Action, path: &str| Action { to: Some(Resource::new("file", path)), ..action };
    for (action, want) in [
        (to(act(Verb::Move, "file:/w/a"), "/w/b"), Verdict::Permit),
        (to(act(Verb::Move, "file:/w/a"), "/etc/b"), Verdict::Deny),
        (to(act(Verb::Move, "file:/etc/a"), "/w/b"), Verdict::Deny),
        (to(act(Verb::Create, "file:/w/a"), "/w/b"), Verdict::Permit),
        (to(act(Verb::Create, "file:/w/a"), "/etc/b"), Verdict::Deny),
        (Action { resolves_to: Some("/etc/b".to_owned()), ..act(Verb::Write, "file:/w/a") }, Verdict::Deny),
        (Action { resolves_to: Some("/w/b".to_owned()), ..act(Verb::Write, "file:/w/a") }, Verdict::Permit),
    ] {
        let decision = set.decide(&record(vec![action.clone()]));
        assert_eq!(decision.verdict, want, "{action:?}: {}", decision.reason);
    }
}

#[test]
fn the_circumstances_are_those_of_the_record() {
    let mut record = record(vec![
        act(Verb::Delete, "file:/w/a").destructive().recursive(),
        act(Verb::Read, "file:/w/.env"),
        act(Verb::Read, "file:/etc/hosts"),
    ]);
    let body = body(&mut record);
    body.actions_left_out = 2;
    body.hazards = vec![Hazard::Code];
    body.named = vec![Resource::new("file", "/etc/x"), Resource::new("env", "API_KEY")];
    body.intent = Some(IntentCheck {
        scope: InScope::OutOfScope,
        by: "01890000-0000-7000-8000-000000000001".parse().unwrap(),
        reason: String::new(),
    });
    let facts = body.facts.as_mut().unwrap();
    facts.taint = vec![Taint::Web];
    facts.so_far = vec![Count { action: Verb::Read, count: 7 }];
    for (condition, want) in [
        ("context.tool == \"Bash\" && context.runtime == \"claude-code\" && context.session == \"s1\"", true),
        ("context.host == \"box\" && context.repo == \"/w\" && context.branch == \"main\"", true),
        ("context.permission_mode == \"default\" && context.hour == 13 && context.weekday == 2", true),
        ("context.destructive && context.recursive && !context.reversible", true),
        ("context.reversible && context.recursive", false),
        (
            "context.opaque && context.hazards == [\"code\", \"code_outside\", \"code_secret\", \"left_out\"]",
            true,
        ),
        ("context.scope == \"out_of_scope\"", true),
        ("context.taint == [\"outside\", \"secret\", \"web\"]", true),
        ("action == Action::\"read\" && context.so_far == 7 && context.in_call == 4", true),
        ("action == Action::\"delete\" && context.so_far == 0 && context.in_call == 3", true),
        ("context.verbs == [\"delete\", \"read\"] && context.size == 0", true),
        ("principal is Agent && principal in Human::\"uid:1000\" && principal.model == \"m\"", true),
        ("principal in Human::\"uid:0\"", false),
        ("action in Action::\"change\" && action != Action::\"delete\"", false),
        (
            "resource == File::\"file:/etc/hosts\" && resource.name == \"/etc/hosts\" && resource.kind == \"file\"",
            true,
        ),
        (
            "resource is File && resource.file == \".env\" && resource.extension == \"\" && resource.folder == \"/w\"",
            true,
        ),
    ] {
        assert_eq!(holds(condition, &record), want, "{condition}");
    }
    record.agent.as_mut().unwrap().parent = Some("s0".to_owned());
    assert!(holds(
        "principal is SubAgent && principal in Agent::\"s0\" && principal in Human::\"uid:1000\"",
        &record
    ));
    record.agent = None;
    assert!(holds("principal == Human::\"uid:1000\"", &record));
}

#[test]
fn a_record_from_before_there_was_policy_has_its_repository_as_workspace() {
    let mut record = record(vec![act(Verb::Write, "file:/w/a")]);
    body(&mut record).facts = None;
    assert!(holds("resource.inside", &record));
}

#[test]
fn the_same_record_gets_the_same_decision_in_every_process() {
    let policies: Vec<String> =
        (0..20).map(|at| policy(&format!("p{at}"), "forbid (principal, action, resource)")).collect();
    let decision = set(&policies, "").decide(&record(vec![act(Verb::Read, "file:/w/a")]));
    assert!(decision.policies.is_sorted() && decision.policies.len() == 20);
    for _ in 0..5 {
        let again = set(&policies, "").decide(&record(vec![act(Verb::Read, "file:/w/a")]));
        assert_eq!(again, decision);
    }
    assert!(decision.reason.ends_with("; and 17 more"), "{}", decision.reason);
}

#[test]
fn the_smallest_change_is_found_and_said_in_words() {
    let set = set(
        &[
            all(),
            policy(
                "outside",
                "forbid (principal, action in Action::\"change\", resource is File) unless { resource.inside }",
            ),
            policy(
                "taint",
                "forbid (principal, action in Action::\"outward\", resource) when { context.taint.contains(\"secret\") && !resource.allowed }",
            ),
            policy(
                "two",
                "forbid (principal, action, resource is Process) when { context.opaque || context.branch == \"main\" }",
            ),
            policy(
                "late",
                "ask (principal, action == Action::\"memory\", resource) when { context.so_far >= 3 }",
            ),
        ],
        "",
    );
    let changes = |record: &Record| {
        let explanation = set.explain(record);
        assert_eq!(explanation, set.explain(record));
        let words = explanation.requests[0].changes.iter().map(|change| change.words.clone());
        words.collect::<Vec<String>>()
    };
    let words = changes(&record(vec![act(Verb::Delete, "file:/etc/hosts")]));
    assert_eq!(words[0], "if the path were inside the workspace (/w): PERMIT");

    let mut tainted = record(vec![act(Verb::Send, "url:https://evil.com/")]);
    body(&mut tainted).facts.as_mut().unwrap().taint = vec![Taint::Secret];
    let words = changes(&tainted);
    assert_eq!(words[0], "if the host were in allowed_hosts: PERMIT");
    assert_eq!(words[1], "if the agent had not taken in anything of kind \"secret\": PERMIT");

    let mut opaque = record(vec![act(Verb::Execute, "proc:make")]);
    body(&mut opaque).opaque = vec!["x".to_owned()];
    let words = changes(&opaque);
    assert_eq!(
        words[0],
        "if the call were known in full and context.branch were other than \"main\": PERMIT"
    );

    let mut late = record(vec![act(Verb::Memory, "memory:a")]);
    body(&mut late).facts.as_mut().unwrap().so_far = vec![Count { action: Verb::Memory, count: 9 }];
    assert_eq!(changes(&late)[0], "if context.so_far were 2: PERMIT");

    let words = changes(&record(vec![act(Verb::Delete, "file:/w/a")]));
    assert_eq!(words[0], "if the path were outside the workspace (/w): DENY");

    let explanation = set.explain(&record(vec![act(Verb::Delete, "file:/etc/hosts")]));
    let request = &explanation.requests[0];
    assert_eq!((request.policies[0].id.as_str(), request.policies[0].line), ("t/outside", 3));
    assert_eq!(request.attributes[0].name, "resource.inside");
    assert!(serde_json::to_string(&explanation).unwrap().contains("\"resource.inside\""));
}

#[test]
fn what_nothing_permits_is_explained_by_what_would_permit_it() {
    let set = set(
        &[policy(
            "in",
            "permit (principal, action, resource is File) when { resource.inside && !resource.secret }",
        )],
        "",
    );
    let explanation = set.explain(&record(vec![act(Verb::Read, "file:/etc/hosts")]));
    assert_eq!(
        explanation.requests[0].changes[0].words,
        "if the path were inside the workspace (/w): PERMIT"
    );
}

fn refused(result: Result<PolicySet, SetError>) -> String {
    result.expect_err("the set has a mistake in it").to_string()
}

#[test]
fn what_is_wrong_with_a_policy_is_said_with_its_place_and_remedy() {
    let annotated = "@id(\"t/a\") @reason(\"r\") @control(\"c\")";
    for (text, want) in [
        ("permit (principal, action, resource);", "t/t.cedar:1:1: the policy has no @id; write @id("),
        (
            "@id(\"a\") @control(\"c\") permit (principal, action, resource);",
            "1:1: the policy has no @reason",
        ),
        (
            "@id(\"a\") @reason(\"c\") permit (principal, action, resource);",
            "1:1: the policy has no @control",
        ),
        ("@id(\"\") @reason(\"c\") @control(\"c\") permit (principal, action, resource);", "has no @id"),
        (
            "@id(\"a b\") @reason(\"c\") @control(\"c\") permit (principal, action, resource);",
            "has blanks in it",
        ),
        ("// x;\n\nA permit (principal);", "t/t.cedar:3:"),
        ("A permit (principal);\nA permit (principal, action, resource) when { 1 + };", "t/t.cedar:2:"),
        ("A permit (principal, action, resource)", "t/t.cedar:1:"),
        (
            "A @decision(\"maybe\") forbid (principal, action, resource);",
            "@decision(\"maybe\") is not known on a forbid",
        ),
        (
            "A @decision(\"ask\") permit (principal, action, resource);",
            "@decision(\"ask\") is not known on a permit",
        ),
        ("A @four_eyes(\"true\") forbid (principal, action, resource);", "@four_eyes is out of place"),
        ("A @severity(\"x\") forbid (principal, action, resource);", "the annotation @severity is not known"),
        ("A permit (principal == ?principal, action, resource);", "template"),
        (
            "A permit (principal, action, resource);\nA permit (principal, action, resource);",
            "t/t.cedar:2:1: the @id \"t/a\" is taken: t/t.cedar:1",
        ),
        (
            "A\nforbid (principal, action, resource) when {\n  resource.scratch };",
            "t/t.cedar:3:3: attribute `scratch`",
        ),
        ("A forbid (principal, action, resource) when { resource.secrt };", "did you mean"),
        ("A forbid (principal, action == Action::\"frobnicate\", resource);", "frobnicate"),
        ("A forbid (principal is Robot, action, resource);", "Robot"),
        ("A forbid (principal, action, resource) when { context.hour == \"x\" };", "t/t.cedar:1:"),
        ("A forbid (principal, action, resource) when { context.weekend };", "weekend"),
        (
            "A forbid (principal, action == Action::\"read\", resource is Url) when { resource.folder == \"x\" };",
            "folder",
        ),
    ] {
        let text = text.replace('A', annotated).replace(&format!("{annotated}ction"), "Action");
        let file = SetFile { name: "t/t.cedar".to_owned(), text: text.clone() };
        let error = refused(PolicySet::from_files(vec![file]));
        assert!(error.contains(want), "{text}\n  gives: {error}\n  wants: {want}");
    }
}

#[test]
fn what_is_wrong_with_a_list_is_said_with_its_place() {
    for (lists, want) in [
        ("secrets = []\nsecret = []", "t/lists.toml:2:1: unknown field `secret`"),
        ("secrets = \"x\"", "t/lists.toml:1:11:"),
        ("secrets = [", "t/lists.toml:1:"),
        ("[classes]\na = [1]", "t/lists.toml:2:"),
    ] {
        let error = refused(PolicySet::from_files(files(&[all()], lists)));
        assert!(error.contains(want), "{lists}: {error}");
    }
}

#[test]
fn all_mistakes_of_all_files_are_told_at_once_and_the_texts_are_kept() {
    let mut files = files(&["permit (principal);".to_owned(), "permit (action);".to_owned()], "x = 1");
    files.push(SetFile { name: "u/u.cedar".to_owned(), text: "garbage".to_owned() });
    let error = PolicySet::from_files(files).expect_err("it is wrong");
    assert!(error.problems().len() >= 4, "{error}");
    assert_eq!(error.files().len(), 4);
}

fn write(folder: &Path, name: &str, bytes: impl AsRef<[u8]>) {
    let path = folder.join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, bytes).unwrap();
}

fn load(folder: &Path) -> Result<PolicySet, SetError> {
    PolicySet::load(&[Source::Folder(folder.to_owned())])
}

#[test]
fn a_folder_has_the_same_hash_wherever_it_is_copied_to() {
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    for place in [&one, &two] {
        let folder = place.path().join("ours");
        write(&folder, "a.cedar", all());
        write(&folder, "sub/b.cedar", policy("b", "forbid (principal, action, resource)"));
        write(&folder, "lists.toml", "secrets = [\"x\"]");
        write(&folder, "README.md", "not ours");
        write(&folder, ".a.cedar.swp", [0xff]);
    }
    let sets = [one.path(), two.path()].map(|place| load(&place.join("ours")).unwrap());
    let names: Vec<&str> = sets[0].files().iter().map(|file| file.name.as_str()).collect();
    assert_eq!(names, ["fdr/guard.cedar", "ours/a.cedar", "ours/lists.toml", "ours/sub/b.cedar"]);
    assert_eq!(sets[0].hash(), sets[1].hash());
    assert!(sets[0].hash().starts_with("sha256:") && sets[0].hash().len() == 71);
    write(&two.path().join("ours"), "lists.toml", "secrets = [\"y\"]");
    assert_ne!(load(&two.path().join("ours")).unwrap().hash(), sets[0].hash());
}

#[test]
fn a_folder_that_cannot_be_used_says_why() {
    let place = tempfile::tempdir().unwrap();
    let root = place.path();
    std::fs::create_dir(root.join("empty")).unwrap();
    write(root, "lists/lists.toml", "");
    write(root, "latin/a.cedar", b"// gr\xfcn");
    write(root, "huge/a.cedar", " ".repeat(MAX_FILE_BYTES as usize + 1));
    write(root, "loop/a.cedar", all());
    std::os::unix::fs::symlink(root.join("loop"), root.join("loop/again")).unwrap();
    write(root, "self/a.cedar", all());
    std::os::unix::fs::symlink("b.cedar", root.join("self/b.cedar")).unwrap();
    write(root, "dangling/a.cedar", all());
    std::os::unix::fs::symlink("nowhere", root.join("dangling/b.cedar")).unwrap();
    write(root, "file", "");
    for (name, want) in [
        ("missing", "can't be opened"),
        ("file", "is not a folder"),
        ("empty", "there is no .cedar file in it"),
        ("lists", "there is no .cedar file in it"),
        ("latin", "latin/a.cedar:1:1: is not UTF-8"),
        ("huge", "huge/a.cedar: is larger than"),
        ("loop", "loop/again: is a link to a folder that it is in"),
        ("self", "self/b.cedar: can't be opened"),
        ("dangling", "dangling/b.cedar: can't be opened"),
    ] {
        let error = refused(load(&root.join(name)));
        assert!(error.contains(want), "{name}: {error}");
    }
    write(root, "x/ours/a.cedar", all());
    write(root, "y/ours/a.cedar", all());
    let both = ["x/ours", "y/ours"].map(|name| Source::Folder(root.join(name)));
    assert!(refused(PolicySet::load(&both)).contains("two files have this name"));
}

#[test]
fn a_source_is_a_path_if_it_has_a_slash() {
    let base = Path::new("/etc/fdr");
    assert_eq!(Source::parse("baseline", base), Source::Starter("baseline".to_owned()));
    assert_eq!(Source::parse("./own", base), Source::Folder("/etc/fdr/./own".into()));
    assert_eq!(Source::parse("/p", base), Source::Folder("/p".into()));
    let error = refused(PolicySet::load(&[Source::parse("basline", base)]));
    assert!(error.contains("the starter sets are baseline, read-only"), "{error}");
    assert!(refused(PolicySet::load(&[])).contains("no source is named"));
}

proptest! {
    #[test]
    fn any_resource_gets_a_decision_and_an_explanation(
        kind in prop::sample::select(vec!["file", "url", "host", "git", "db", "mcp", "proc", "env", "x", ""]),
        name in prop_oneof!["\\PC{0,40}", "[a-z0-9/:@.#*?$\\[\\]{}%\\\\-]{0,40}", "[\\x00-\\x7f]{0,20}"],
        leads in prop::option::of("\\PC{0,20}"),
        verb in 0..Verb::ALL.len(),
    ) {
        static SET: std::sync::OnceLock<PolicySet> = std::sync::OnceLock::new();
        let set = SET.get_or_init(|| {
            let forbid = policy("f", "forbid (principal, action, resource) unless { resource.inside || resource.allowed }");
            set(&[all(), forbid], "secrets = [\"**/.env\", \"~/a*b/**\"]\nallowed_hosts = [\"*.x.y\", \"a*\"]\nprotected_branches = [\"r/*\"]\n[classes]\nc = [\"**/p*/**\", \"*:**\"]")
        });
        let mut action = Action::new(Verb::ALL[verb], Resource::new(kind, name));
        action.resolves_to = leads;
        let record = record(vec![action]);
        let decision = set.decide(&record);
        prop_assert_eq!(set.explain(&record).decision, decision);
    }

    #[test]
    fn any_text_as_a_set_is_refused_or_taken(text in "\\PC{0,80}", lists in "\\PC{0,40}") {
        let _ = PolicySet::from_files(files(&[text], &lists));
    }
}
