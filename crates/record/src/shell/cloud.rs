//! Containers, clusters and clouds.
//!
//! Resources: an image a `pkg:docker/…`, a bucket a `url:s3://…`; everything else is
//! `tool:COMMAND/KIND/NAME`, a container that one enters as well. On another machine it is a
//! `host:`.

use super::expand::Arg;
use super::invoke::{Call, Elsewhere};
use super::run::Shell;
use super::syntax::excerpt;
use super::table::Effect;
use crate::{Action, Hazard, Resource, Verb};

fn rest(operands: &[Arg]) -> &[Arg] {
    operands.get(1..).unwrap_or(&[])
}

fn tool(shell: &mut Shell<'_>, verb: Verb, name: &str, destructive: bool) {
    let action = Action::new(verb, Resource::new("tool", name));
    shell.push(if destructive { action.destructive() } else { action });
}

/// The same for every name; for `*` if there is none.
fn tools(shell: &mut Shell<'_>, verb: Verb, kind: &str, names: &[Arg], destructive: bool) {
    if names.is_empty() {
        tool(shell, verb, &format!("{kind}/*"), destructive);
    }
    for name in names {
        if name.is_known() {
            tool(shell, verb, &format!("{kind}/{}", name.text), destructive);
        } else {
            shell.unknown(name);
            tool(shell, verb, &format!("{kind}/*"), destructive);
        }
    }
}

const DOCKER_RUN: &str = "+ -v,--volume= --mount= -e,--env= --env-file=r -p,--publish= --name= -w,--workdir= -u,--user= --entrypoint= --network,--net= -h,--hostname= --add-host= -l,--label= --label-file=r -m,--memory= --cpus= --gpus= --device= --cap-add= --cap-drop= --security-opt= --restart= --platform= --pull= --tmpfs= --ulimit= --log-driver= --log-opt= --volumes-from= --dns= --ip= --shm-size= --pid= --ipc= --userns= --cidfile=w --health-cmd= --link= --runtime= --memory-swap= --cpu-shares= --expose= --group-add= --stop-signal= --cgroupns= --privileged -P -d -i -t --rm --init --read-only -q";

/// Folders of this machine that a container sees.
fn mounts(shell: &mut Shell<'_>, parsed: &super::options::Parsed<'_>) {
    for mount in parsed.values("-v") {
        let mut parts = mount.text.split(':');
        let (Some(source), Some(_)) = (parts.next(), parts.next()) else {
            continue;
        };
        if !source.starts_with(['/', '.', '~']) && mount.is_known() {
            continue;
        }
        let read_only = parts.next().is_some_and(|o| o.split(',').any(|o| o == "ro"));
        let source = Arg { text: source.to_owned(), ..mount.clone() };
        shell.touch_with(if read_only { Effect::Read } else { Effect::Write }, &source, true);
    }
    for mount in parsed.values("--mount") {
        let field = |names: &[&str]| {
            mount
                .text
                .split(',')
                .find_map(|f| f.split_once('=').filter(|(k, _)| names.contains(k)).map(|(_, v)| v.to_owned()))
        };
        let read_only = mount.text.split(',').any(|f| f == "readonly" || f == "ro" || f == "readonly=true");
        if let (Some(source), true) = (field(&["source", "src"]), field(&["type"]).as_deref() == Some("bind"))
        {
            let source = Arg { text: source, ..mount.clone() };
            shell.touch_with(if read_only { Effect::Read } else { Effect::Write }, &source, true);
        }
    }
    if parsed.has("--privileged")
        || parsed.has("--device")
        || parsed.values("--pid").any(|p| p.text == "host")
    {
        shell.opaque_as(Hazard::CommandWord, "the container can reach the machine it runs on");
    }
}

pub(super) fn docker(shell: &mut Shell<'_>, call: &Call<'_>) {
    let parsed = shell.options(
        "+ -H,--host= -c,--context= --config=r -l,--log-level= --tlscacert=r --tlscert=r --tlskey=r",
        call.args,
    );
    if let Some(host) = parsed.value("-H").cloned() {
        shell.opaque_as(
            Hazard::Arguments,
            format!("docker works on another machine: `{}`", excerpt(&host.text)),
        );
    }
    let name = call.name;
    let mut sub = parsed.operand(0).to_owned();
    let mut args = rest(&parsed.operands);
    let mut kind = "container".to_owned();
    // `docker container rm`, `docker image ls` and the like.
    if matches!(
        sub.as_str(),
        "container"
            | "image"
            | "volume"
            | "network"
            | "system"
            | "builder"
            | "context"
            | "buildx"
            | "secret"
            | "config"
            | "service"
            | "stack"
            | "swarm"
            | "node"
            | "manifest"
            | "plugin"
            | "pod"
            | "machine"
    ) {
        kind = sub;
        sub = args.first().map_or_else(String::new, |a| a.text.clone());
        args = rest(args);
        if kind == "image" && sub == "rm" {
            sub = "rmi".to_owned();
        }
    }
    match sub.as_str() {
        "run" | "create" if kind == "container" => {
            let inner = shell.options(DOCKER_RUN, args);
            shell.option_files(&inner);
            mounts(shell, &inner);
            for variable in inner.values("-e").filter(|e| !e.text.contains('=') && e.is_known()) {
                shell.act(Verb::Read, "env", &variable.text);
            }
            let image = inner.operand(0).to_owned();
            if let Some(image) = inner.operands.first().filter(|i| !i.is_known()) {
                shell.unknown(image);
            }
            let mut command: Vec<Arg> = inner.value("--entrypoint").cloned().into_iter().collect();
            command.extend(rest(&inner.operands).iter().cloned());
            let resource = Resource::new("pkg", format!("docker/{image}"));
            if command.is_empty() {
                shell.push(Action::new(Verb::Execute, resource));
            } else {
                shell.in_container(Elsewhere::Args(&command), resource);
            }
        }
        "exec" => {
            let inner = shell.options(
                "+ -e,--env= --env-file=r -u,--user= -w,--workdir= -d -i -t --privileged --detach-keys=",
                args,
            );
            shell.option_files(&inner);
            let Some((target, command)) = inner.operands.split_first() else {
                return shell.execute(name);
            };
            shell.unknown(target);
            for arg in command.iter().filter(|a| a.splits) {
                shell.unknown(arg);
            }
            // A name that is not known is any.
            let target = if target.is_known() { target.text.as_str() } else { "*" };
            let resource = match parsed.has("-H") || parsed.has("-c") {
                true => Resource::new("host", target),
                false => Resource::new("tool", format!("{name}/container/{target}")),
            };
            shell.in_container(Elsewhere::Args(command), resource);
        }
        "build" | "bake" => {
            let inner = shell.options("-t,--tag= -f,--file=r --build-arg= --target= --platform= -o,--output= --secret= --ssh= --cache-from= --cache-to= --network= --label= --progress= --iidfile=w --add-host= --push --load --pull --no-cache -q", args);
            shell.option_files(&inner);
            match inner.operands.last().filter(|c| c.text != "-") {
                Some(context) if context.text.contains("://") => shell.url(Verb::Network, context),
                Some(context) => shell.touch_with(Effect::Read, context, true),
                None => {}
            }
            let tags: Vec<Arg> = inner.values("-t").cloned().collect();
            image(shell, Verb::Create, &tags, false);
            shell.execute(name);
            if inner.has("--push") {
                image(shell, Verb::Send, &tags, false);
            }
        }
        "push" | "pull" | "search" | "rmi" | "tag" | "commit" => {
            let inner = shell.options(
                "-f,--force -a,--all-tags -q --platform= -m,--message= --author= -c= --filter= --limit=",
                args,
            );
            match sub.as_str() {
                "push" => image(shell, Verb::Send, &inner.operands, false),
                "rmi" => image(shell, Verb::Delete, &inner.operands, true),
                "tag" | "commit" => image(shell, Verb::Create, rest(&inner.operands), false),
                _ => image(shell, Verb::Network, &inner.operands, false),
            }
        }
        "rm" | "remove" => {
            let inner = shell.options("-f,--force -v,--volumes -l", args);
            tools(shell, Verb::Delete, &format!("{name}/{kind}"), &inner.operands, true);
        }
        "prune" => tool(shell, Verb::Delete, &format!("{name}/{kind}/*"), true),
        "kill" | "stop" | "start" | "restart" | "pause" | "unpause" | "rename" | "update" | "scale"
        | "deploy" | "connect" | "disconnect" | "init" | "join" | "leave" | "rollback" | "use" | "set" => {
            let inner = shell.options("-s,--signal= -t,--time= -m= --cpus= --restart= -c=r", args);
            shell.option_files(&inner);
            tools(shell, Verb::Configure, &format!("{name}/{kind}"), &inner.operands, sub == "kill");
        }
        "create" => {
            let inner = shell.options("-d,--driver= -o,--opt= --label= --subnet=", args);
            tools(shell, Verb::Create, &format!("{name}/{kind}"), &inner.operands, false);
        }
        "cp" => {
            let inner = shell.options("-a -L -q", args);
            if let [from, to] = &inner.operands[..] {
                let inside = |a: &Arg| {
                    a.text.split_once(':').filter(|(h, _)| !h.contains('/')).map(|(h, _)| h.to_owned())
                };
                copy_over(shell, from, to, inside, &format!("{name}/container"), name);
            }
        }
        "save" | "export" | "load" | "import" => {
            let inner = shell.options("-o,--output=w -i,--input=r -c= -m=", args);
            shell.option_files(&inner);
            if sub == "import" {
                for file in inner.operands.iter().take(1).filter(|f| f.text != "-") {
                    if file.text.contains("://") {
                        shell.url(Verb::Network, file);
                    } else {
                        shell.touch(Effect::Read, file);
                    }
                }
            }
            shell.execute(name);
        }
        "login" | "logout" => {
            let inner = shell.options("-u,--username= -p,--password= --password-stdin", args);
            let host = inner.operands.first().map_or("docker.io", |a| a.text.as_str()).to_owned();
            shell.act(Verb::Configure, "secret", &format!("docker/{host}"));
        }
        "compose" => compose(shell, &Call { name, args }),
        _ => {
            if let Some(first) = parsed.operands.first() {
                shell.unknown(first);
            }
            shell.execute(name);
        }
    }
}

/// A copy between here and a container or pod: `host_of` tells which side is there. Between two
/// places on one side it is only a run of `program`.
fn copy_over(
    shell: &mut Shell<'_>,
    from: &Arg,
    to: &Arg,
    host_of: impl Fn(&Arg) -> Option<String>,
    kind: &str,
    program: &str,
) {
    match (host_of(from), host_of(to)) {
        (Some(host), None) => {
            shell.act(Verb::Read, "tool", &format!("{kind}/{host}"));
            shell.touch_with(Effect::Write, to, true);
        }
        (None, Some(host)) => {
            shell.touch_with(Effect::Read, from, true);
            shell.act(Verb::Send, "tool", &format!("{kind}/{host}"));
        }
        _ => shell.execute(program),
    }
}

fn image(shell: &mut Shell<'_>, verb: Verb, names: &[Arg], destructive: bool) {
    for name in names {
        if !name.is_known() {
            shell.unknown(name);
            continue;
        }
        let action = Action::new(verb, Resource::new("pkg", format!("docker/{}", name.text)));
        shell.push(if destructive { action.destructive() } else { action });
    }
}

pub(super) fn compose(shell: &mut Shell<'_>, call: &Call<'_>) {
    let parsed = shell.options(
        "+ -f,--file=r -p,--project-name= --env-file=r --project-directory= --profile= --progress=",
        call.args,
    );
    shell.option_files(&parsed);
    let args = rest(&parsed.operands);
    match parsed.operand(0) {
        "exec" | "run" => {
            let inner = shell.options("+ -e,--env= -u,--user= -w,--workdir= --entrypoint= -v,--volume= --name= -p= -T -d --rm --index= --no-deps", args);
            mounts(shell, &inner);
            if let Some((service, command)) = inner.operands.split_first() {
                shell.unknown(service);
                let service = if service.is_known() { service.text.as_str() } else { "*" };
                let resource = Resource::new("tool", format!("docker/compose/{service}"));
                shell.in_container(Elsewhere::Args(command), resource);
            }
        }
        "down" | "rm" | "kill" => {
            let inner = shell.options("-v,--volumes --rmi= -t= -f -s,--stop --remove-orphans", args);
            let lasting = inner.has("-v") || inner.has("--rmi") || parsed.operand(0) == "rm";
            tools(shell, Verb::Delete, "docker/compose", &inner.operands, lasting);
        }
        "push" => tool(shell, Verb::Send, "docker/compose/*", false),
        "pull" => tool(shell, Verb::Network, "docker/compose/*", false),
        "up" | "start" | "restart" | "stop" | "create" | "build" | "scale" | "pause" | "unpause"
        | "watch" => {
            tool(shell, Verb::Configure, "docker/compose/*", false);
            shell.execute(call.name);
        }
        _ => shell.execute(call.name),
    }
}

pub(super) fn kubectl(shell: &mut Shell<'_>, call: &Call<'_>) {
    const SPEC: &str = "+ -n,--namespace= --context= --kubeconfig=r --cluster= --user= -s,--server= --token= --as= --request-timeout= -f,--filename= -k,--kustomize= -l,--selector= -o,--output= -c,--container= --field-selector= -p,--patch= --type= --replicas= --image= --timeout= --grace-period= --overrides= --env= --dry-run? --from-file= --from-literal= --from-env-file=r --tail= --since= --all -A --force --patch-file=r --port= --cascade? --sort-by= -L= --template= -i -t --to-revision= -h -w";
    // kubectl takes its options anywhere before `--`.
    let cut = call.args.iter().position(|a| a.text == "--");
    let spec = SPEC.trim_start_matches("+ ");
    let parsed = shell.options(spec, &call.args[..cut.unwrap_or(call.args.len())]);
    shell.option_files(&parsed);
    for file in parsed.values("-f").chain(parsed.values("-k")).filter(|f| f.text != "-") {
        if matches!(parsed.operand(0), "logs") {
            break;
        }
        if file.text.contains("://") {
            shell.url(Verb::Network, file);
        } else {
            shell.touch(Effect::Read, file);
        }
    }
    for file in parsed.values("--from-file") {
        let file = file.text.split_once('=').map_or_else(|| file.clone(), |(_, path)| file.with_text(path));
        shell.touch(Effect::Read, &file);
    }
    let dry = parsed.value("--dry-run").is_some_and(|d| d.text != "none");
    let sub = parsed.operand(0).to_owned();
    let mut args = rest(&parsed.operands);
    if matches!(sub.as_str(), "rollout" | "set" | "top" | "certificate" | "auth") {
        args = rest(args);
    }
    // `pods/web`, `pod web`, or what a file says.
    let kind = args.first().map_or("*", |a| a.text.as_str()).to_owned();
    let names: Vec<Arg> = if kind.contains('/') {
        args.to_vec()
    } else {
        args.iter().skip(1).map(|a| Arg { text: format!("{kind}/{}", a.text), ..a.clone() }).collect()
    };
    let base = call.name;
    let apply = |shell: &mut Shell<'_>, verb, destructive| {
        if names.is_empty() {
            tool(shell, verb, &format!("{base}/{kind}"), destructive);
        } else {
            tools(shell, verb, base, &names, destructive);
        }
    };
    match sub.as_str() {
        "get" | "describe" if kind.starts_with("secret") => {
            let name = names.first().map_or("*", |n| n.text.rsplit('/').next().unwrap_or("*")).to_owned();
            shell.act(Verb::Read, "secret", &format!("{base}/{name}"));
        }
        "get" | "describe" | "logs" | "top" | "explain" | "events" | "diff" | "api-resources"
        | "api-versions" | "version" | "cluster-info" | "auth" | "wait" => {
            apply(shell, Verb::Read, false);
        }
        "create" if kind == "secret" => {
            let name = args.get(2).map_or("*", |a| a.text.as_str()).to_owned();
            shell.act(Verb::Configure, "secret", &format!("{base}/{name}"));
        }
        _ if dry => apply(shell, Verb::Read, false),
        "delete" => apply(shell, Verb::Delete, true),
        "drain" | "replace" => apply(shell, Verb::Configure, parsed.has("--force") || sub == "drain"),
        "apply" | "create" | "patch" | "edit" | "label" | "annotate" | "scale" | "autoscale" | "rollout"
        | "set" | "expose" | "cordon" | "uncordon" | "taint" | "certificate" => {
            let stdin = parsed.values("-f").any(|f| f.text == "-");
            if stdin {
                tool(shell, Verb::Configure, &format!("{base}/*"), false);
            } else {
                apply(shell, if sub == "create" { Verb::Create } else { Verb::Configure }, false);
            }
        }
        "exec" | "debug" | "attach" => {
            let command = match cut {
                Some(cut) => call.args[cut + 1..].to_vec(),
                None => args.iter().skip(1).cloned().collect(),
            };
            if let Some(pod) = args.first() {
                shell.unknown(pod);
            }
            let pod = if args.first().is_some_and(Arg::is_known) { kind.as_str() } else { "*" };
            let resource = match pod.contains('/') {
                true => Resource::new("tool", format!("{base}/{pod}")),
                false => Resource::new("tool", format!("{base}/pod/{pod}")),
            };
            if command.is_empty() {
                shell.push(Action::new(Verb::Execute, resource));
            } else {
                shell.in_container(Elsewhere::Args(&command), resource);
            }
        }
        "run" => {
            let image = parsed.value("--image").map_or("*", |i| i.text.as_str()).to_owned();
            tools(shell, Verb::Create, &format!("{base}/pod"), args.get(..1).unwrap_or(&[]), false);
            let resource = Resource::new("pkg", format!("docker/{image}"));
            match cut.map(|cut| &call.args[cut + 1..]).filter(|command| !command.is_empty()) {
                Some(command) => shell.in_container(Elsewhere::Args(command), resource),
                None => shell.push(Action::new(Verb::Execute, resource)),
            }
        }
        "cp" => {
            if let [from, to] = args {
                let inside = |a: &Arg| {
                    a.text.split_once(':').map(|(h, _)| h.rsplit('/').next().unwrap_or(h).to_owned())
                };
                copy_over(shell, from, to, inside, &format!("{base}/pod"), base);
            }
        }
        "port-forward" | "proxy" => apply(shell, Verb::Network, false),
        "config" => {
            let reads = matches!(kind.as_str(), "view" | "get-contexts" | "current-context" | "get-clusters");
            shell.act(if reads { Verb::Read } else { Verb::Configure }, "tool", &format!("{base}/config"));
        }
        "kustomize" => {
            for folder in args {
                shell.touch_with(Effect::Read, folder, true);
            }
        }
        _ => shell.execute(base),
    }
}

pub(super) fn helm(shell: &mut Shell<'_>, call: &Call<'_>) {
    let parsed = shell.options(
        "-n,--namespace= --kube-context= --kubeconfig=r -f,--values=r --set= --set-string= --set-file= --set-json= --version= --timeout= --repo= --post-renderer=x -o= --dry-run? --username= --password= --ca-file=r -d,--destination=w --description=",
        call.args,
    );
    shell.option_files(&parsed);
    let args = rest(&parsed.operands);
    let dry = parsed.has("--dry-run");
    let local = |shell: &mut Shell<'_>, chart: Option<&Arg>| {
        if let Some(chart) = chart {
            if chart.text.starts_with(['.', '/', '~']) || chart.text.ends_with(".tgz") {
                shell.touch_with(Effect::Read, chart, true);
            } else if chart.text.contains("://") {
                shell.url(Verb::Network, chart);
            } else {
                shell.act(Verb::Network, "pkg", &format!("helm/{}", chart.text));
            }
        }
    };
    match parsed.operand(0) {
        "install" | "upgrade" => {
            local(shell, args.get(1).or(args.first()));
            tools(
                shell,
                if dry { Verb::Read } else { Verb::Configure },
                "helm",
                args.get(..1).unwrap_or(&[]),
                false,
            );
        }
        "uninstall" | "delete" | "del" | "un" => tools(shell, Verb::Delete, "helm", args, true),
        "rollback" => tools(shell, Verb::Configure, "helm", args.get(..1).unwrap_or(&[]), true),
        "repo" | "registry" | "plugin" => {
            shell.act(Verb::Configure, "tool", "helm/repo");
            for url in args.iter().filter(|a| a.text.contains("://")) {
                shell.url(Verb::Network, url);
            }
            if parsed.operand(0) == "plugin" {
                shell.execute(call.name);
            }
        }
        "push" => {
            if let Some(chart) = args.first() {
                shell.touch(Effect::Read, chart);
            }
            tool(shell, Verb::Send, "helm/*", false);
        }
        "pull" | "fetch" | "search" | "dependency" | "dep" => tool(shell, Verb::Network, "helm/*", false),
        "template" | "lint" | "package" => {
            local(shell, args.last());
            shell.execute(call.name);
        }
        "list" | "ls" | "get" | "status" | "history" | "show" => {
            tools(shell, Verb::Read, "helm", rest(args), false)
        }
        "create" => {
            if let Some(folder) = args.first() {
                shell.touch_with(Effect::Create, folder, true);
            }
        }
        _ => shell.execute(call.name),
    }
}

pub(super) fn terraform(shell: &mut Shell<'_>, call: &Call<'_>) {
    let parsed = shell.options("+ -chdir=", call.args);
    let cwd = shell.state.cwd.clone();
    if let Some(folder) = parsed.value("-chdir").cloned() {
        shell.state.cwd =
            shell.path(&folder).ok_or_else(|| "the folder of terraform is not known".to_owned());
    }
    let (verb_at, args) = match parsed.operand(0) {
        "run-all" | "run" => (1, parsed.operands.get(2..).unwrap_or(&[])),
        _ => (0, rest(&parsed.operands)),
    };
    let inner = shell.options("-var= -var-file=r -target= -out=w -state=w -backend-config= -destroy -auto-approve -replace= -lock= -check -recursive", args);
    shell.option_files(&inner);
    match parsed.operand(verb_at) {
        "destroy" => tool(shell, Verb::Delete, "terraform/*", true),
        "apply" if inner.has("-destroy") => tool(shell, Verb::Delete, "terraform/*", true),
        "apply" => {
            if let Some(plan) = inner.operands.first() {
                shell.touch(Effect::Read, plan);
            } else {
                shell.touch_with(Effect::Read, &Arg::new("."), true);
            }
            tool(shell, Verb::Configure, "terraform/*", inner.has("-replace"));
        }
        "state" | "workspace" | "taint" | "untaint" | "import" | "force-unlock" => {
            let removes =
                matches!(inner.operand(0), "rm" | "delete") || parsed.operand(verb_at) == "force-unlock";
            let reads = matches!(inner.operand(0), "list" | "show" | "pull");
            let verb = if removes {
                Verb::Delete
            } else if reads {
                Verb::Read
            } else {
                Verb::Configure
            };
            tool(shell, verb, "terraform/state", removes);
        }
        "init" | "get" | "providers" => {
            tool(shell, Verb::Network, "terraform/providers", false);
            shell.touch_with(Effect::Write, &Arg::new(".terraform"), true);
            shell.execute(call.name);
        }
        "plan" | "refresh" => {
            shell.touch_with(Effect::Read, &Arg::new("."), true);
            tool(shell, Verb::Read, "terraform/*", false);
        }
        "fmt" if !inner.has("-check") => shell.touch_with(Effect::Write, &Arg::new("."), true),
        "output" | "show" => tool(shell, Verb::Read, "terraform/state", false),
        "login" | "logout" => shell.act(Verb::Configure, "secret", "terraform"),
        "console" => {
            shell.execute(call.name);
            shell.opaque_as(Hazard::Arguments, "terraform console reads expressions");
        }
        _ => shell.execute(call.name),
    }
    shell.state.cwd = cwd;
}

pub(super) fn pulumi(shell: &mut Shell<'_>, call: &Call<'_>) {
    let parsed = shell.options("+ -s,--stack= -C,--cwd= --profile= -c,--config=", call.args);
    shell.execute(call.name);
    match parsed.operand(0) {
        "destroy" | "remove" | "delete" => tool(shell, Verb::Delete, &format!("{}/*", call.name), true),
        "up" | "update" | "deploy" | "import" | "refresh" | "sync" => {
            tool(shell, Verb::Configure, &format!("{}/*", call.name), false)
        }
        "stack" | "state" if matches!(parsed.operand(1), "rm" | "delete") => {
            tool(shell, Verb::Delete, &format!("{}/state", call.name), true)
        }
        _ => {}
    }
}

fn bucket(place: &Arg) -> bool {
    place.text.starts_with("s3://") || place.text.starts_with("gs://")
}

/// Copies between this machine and a bucket.
fn bucket_copy(shell: &mut Shell<'_>, from: &Arg, to: &Arg, recursive: bool, moves: bool, mirror: bool) {
    let (there, here) = (bucket(from), bucket(to));
    if there {
        shell.url_with(if moves { Verb::Delete } else { Verb::Network }, from, moves);
    } else if from.text != "-" {
        shell.touch_with(if moves { Effect::Delete } else { Effect::Read }, from, recursive);
    }
    if here {
        shell.url_with(Verb::Send, to, mirror);
    } else if to.text != "-" {
        shell.touch_with(if mirror { Effect::Overwrite } else { Effect::Write }, to, recursive);
    }
}

pub(super) fn aws(shell: &mut Shell<'_>, call: &Call<'_>) {
    let parsed = shell.options(
        "--profile= --region= --output= --query= --endpoint-url= --recursive --delete --force --exclude= --include= --acl= --bucket= --key= --body=r --cli-input-json= --dryrun --sse= --content-type= --storage-class= --expires-in=",
        call.args,
    );
    if let Some(url) = parsed.value("--endpoint-url").cloned() {
        shell.url(Verb::Network, &url);
    }
    for arg in call.args {
        for scheme in ["file://", "fileb://"] {
            if let Some(at) = arg.text.find(scheme) {
                shell.touch(Effect::Read, &arg.tail(at + scheme.len()));
            }
        }
    }
    shell.option_files(&parsed);
    let service = parsed.operand(0).to_owned();
    let operation = parsed.operand(1).to_owned();
    let recursive = parsed.has("--recursive") || operation == "sync";
    let places = parsed.operands.get(2..).unwrap_or(&[]);
    if service == "s3" {
        match (operation.as_str(), places) {
            ("cp" | "sync", [from, to, ..]) => {
                bucket_copy(shell, from, to, recursive, false, parsed.has("--delete"))
            }
            ("mv", [from, to, ..]) => bucket_copy(shell, from, to, recursive, true, false),
            ("rm" | "rb", places) if !places.is_empty() => {
                for place in places {
                    shell.url_with(Verb::Delete, place, true);
                }
            }
            ("mb", places) => {
                for place in places {
                    shell.url(Verb::Create, place);
                }
            }
            (_, places) if !places.is_empty() => {
                for place in places {
                    shell.url(Verb::Network, place);
                }
            }
            _ => tool(shell, Verb::Network, "aws/s3", false),
        }
        return;
    }
    if service == "configure" || service == "sso" {
        return shell.act(Verb::Configure, "secret", "aws");
    }
    if matches!(
        operation.as_str(),
        "get-secret-value"
            | "get-parameter"
            | "get-parameters"
            | "get-login-password"
            | "get-session-token"
            | "assume-role"
            | "decrypt"
            | "batch-get-secret-value"
    ) {
        return shell.act(Verb::Read, "secret", &format!("aws/{service}"));
    }
    operation_of(shell, call.name, &format!("{}/{service}/{operation}", call.name), &operation);
}

/// Sorts an operation of a cloud by the word it begins with.
fn operation_of(shell: &mut Shell<'_>, command: &str, name: &str, operation: &str) {
    let word = operation.split('-').next().unwrap_or("");
    match word {
        "" | "help" | "version" | "completion" => shell.execute(command),
        "list" | "ls" | "describe" | "get" | "show" | "head" | "search" | "view" | "status" | "ps"
        | "logs" | "info" | "lookup" | "scan" | "query" | "filter" | "validate" | "wait" | "batchget"
        | "tail" | "read" => {
            tool(shell, Verb::Network, name, false);
        }
        "delete" | "destroy" | "remove" | "rm" | "terminate" | "purge" | "rollback" | "reset"
        | "deregister" | "release" | "wipe" | "undeploy" | "drop" | "detach" | "revoke" | "undefine" => {
            tool(shell, Verb::Delete, name, true);
        }
        "deploy" | "upload" | "publish" | "push" | "put" | "send" | "import" | "up" | "submit" => {
            tool(shell, Verb::Send, name, false)
        }
        "create" | "mb" | "new" | "init" => tool(shell, Verb::Create, name, false),
        "ssh" | "exec" | "run" | "invoke" | "start" | "stop" | "reboot" | "restart" | "console" => {
            tool(shell, Verb::Execute, name, false)
        }
        _ => tool(shell, Verb::Configure, name, false),
    }
}

pub(super) fn gsutil(shell: &mut Shell<'_>, call: &Call<'_>) {
    let parsed = shell.options("-m -q -r,-R -d -h= -o= -u=", call.args);
    let places = rest(&parsed.operands);
    let recursive = parsed.has("-r") || parsed.operand(0) == "rsync";
    match (parsed.operand(0), places) {
        ("cp" | "rsync", [sources @ .., to]) => {
            for from in sources {
                bucket_copy(shell, from, to, recursive, false, parsed.has("-d"));
            }
        }
        ("mv", [from, to]) => bucket_copy(shell, from, to, recursive, true, false),
        ("rm" | "rb", places) => {
            for place in places {
                shell.url_with(Verb::Delete, place, true);
            }
        }
        ("ls" | "cat" | "du" | "stat" | "hash", places) => {
            for place in places {
                shell.url(Verb::Network, place);
            }
        }
        (_, places) => {
            for place in places.iter().filter(|p| bucket(p)) {
                let name = place.text.clone();
                shell.act(Verb::Configure, "url", &name);
            }
        }
    }
}

pub(super) fn generic(shell: &mut Shell<'_>, call: &Call<'_>) {
    let parsed = shell.options(
        "--project= --zone= --region= --format= --filter= -g,--resource-group= -n,--name= --account= -a,--app= -t,--token= --subscription= -o,--output= --query= --context= -e,--env= --source=r --image= --config=r -c= --command= -f,--file=r --prod --force -y,--yes,--quiet --data-file=r",
        call.args,
    );
    shell.option_files(&parsed);
    let words: Vec<&str> = parsed.operands.iter().filter(|a| a.is_known()).map(|a| a.text.as_str()).collect();
    // The operation is the last word that is one.
    let is_operation = |w: &&&str| {
        let word = w.split([':', '-']).next_back().unwrap_or(w);
        let first = w.split([':', '-']).next().unwrap_or(w);
        OPERATIONS.contains(&word) || OPERATIONS.contains(&first)
    };
    let operation = words.iter().find(is_operation).copied();
    let Some(operation) = operation else {
        if call.name == "vercel" || call.name == "netlify" || call.name == "wrangler" {
            shell.touch_with(Effect::Read, &Arg::new("."), true);
            return tool(shell, Verb::Send, call.name, false);
        }
        if call.name == "qemu-img" || words.is_empty() {
            return shell.execute(call.name);
        }
        return tool(shell, Verb::Configure, &format!("{}/{}", call.name, words.join("/")), false);
    };
    let end = words.iter().position(|w| *w == operation).unwrap_or(0);
    let name = format!("{}/{}", call.name, words[..=end].join("/"));
    let key = operation.split([':', '-']).find(|w| OPERATIONS.contains(w)).unwrap_or(operation);
    if name.contains("secret") && matches!(key, "access" | "show" | "get" | "view" | "read" | "download") {
        return shell.act(Verb::Read, "secret", &name);
    }
    if name.contains("print") || name.contains("get-access-token") {
        return shell.act(Verb::Read, "secret", call.name);
    }
    if matches!(key, "deploy" | "upload" | "publish" | "push" | "submit") {
        shell.touch_with(Effect::Read, &Arg::new("."), true);
    }
    if let Some(text) = parsed.value("--command").cloned() {
        if text.is_known() {
            return shell.elsewhere(Elsewhere::Text(&text.text), Resource::new("tool", name));
        }
        shell.unknown(&text);
    }
    operation_of(shell, call.name, &name, key);
}

const OPERATIONS: [&str; 62] = [
    "list",
    "ls",
    "describe",
    "get",
    "show",
    "view",
    "status",
    "ps",
    "logs",
    "info",
    "search",
    "delete",
    "destroy",
    "remove",
    "rm",
    "terminate",
    "purge",
    "rollback",
    "reset",
    "wipe",
    "deploy",
    "upload",
    "publish",
    "push",
    "import",
    "submit",
    "create",
    "new",
    "init",
    "ssh",
    "exec",
    "run",
    "invoke",
    "start",
    "stop",
    "reboot",
    "restart",
    "console",
    "set",
    "unset",
    "update",
    "add",
    "edit",
    "scale",
    "enable",
    "disable",
    "login",
    "logout",
    "access",
    "print",
    "read",
    "write",
    "download",
    "link",
    "unlink",
    "undefine",
    "up",
    "down",
    "halt",
    "suspend",
    "promote",
    "drop",
];

pub(super) fn ansible(shell: &mut Shell<'_>, call: &Call<'_>) {
    let parsed = shell.options("-i,--inventory=r -m,--module-name= -a,--args= -e,--extra-vars= -u= -l,--limit= -t,--tags= --private-key=r --vault-password-file=r -f= -C,--check", call.args);
    for inventory in parsed.values("-i").filter(|i| !i.text.contains(',')) {
        shell.touch(Effect::Read, inventory);
    }
    if call.name == "ansible-playbook" {
        for playbook in &parsed.operands {
            shell.touch(Effect::Execute, playbook);
        }
        return tool(shell, Verb::Execute, "ansible/*", false);
    }
    let hosts = parsed.operand(0).to_owned();
    let module = parsed.value("-m").map_or("command", |m| m.text.as_str()).to_owned();
    match parsed
        .value("-a")
        .filter(|a| a.is_known() && matches!(module.as_str(), "command" | "shell" | "raw"))
        .cloned()
    {
        Some(text) => shell.elsewhere(Elsewhere::Text(&text.text), Resource::new("host", hosts)),
        None => shell.push(Action::new(Verb::Execute, Resource::new("host", hosts))),
    }
}
