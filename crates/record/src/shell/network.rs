//! Commands that talk to other machines.
//!
//! Fetching is `network`; a request that carries local data out is `send`, with a `read` of each
//! file sent.

use super::expand::Arg;
use super::invoke::{Call, Elsewhere};
use super::run::{Shell, Stdin};
use super::syntax::excerpt;
use super::table::Effect;
use super::wrapper::code;
use crate::{Action, Hazard, Resource, Verb};

/// A URL without what is private (`user:password@`) and without its fragment.
pub(super) fn public_url(text: &str) -> String {
    let text = text.split('#').next().unwrap_or(text);
    let (scheme, rest) = match text.split_once("://") {
        Some((scheme, rest)) => (scheme, rest),
        None => ("http", text),
    };
    let (authority, path) = match rest.find(['/', '?']) {
        Some(i) => rest.split_at(i),
        None => (rest, ""),
    };
    // Readers differ in what the host is here: it is left as it was written.
    if authority.contains('\\')
        || authority.contains(char::is_whitespace)
        || authority.matches('@').count() > 1
    {
        return text.to_owned();
    }
    let host = authority.rsplit('@').next().unwrap_or(authority);
    format!("{}://{}{path}", scheme.to_ascii_lowercase(), host.to_ascii_lowercase())
}

impl Shell<'_> {
    /// Talks to a URL.
    pub fn url(&mut self, verb: Verb, url: &Arg) {
        self.url_with(verb, url, false);
    }

    pub fn url_with(&mut self, verb: Verb, url: &Arg, destructive: bool) {
        if let Some(path) = url.text.strip_prefix("file://") {
            return self.touch(Effect::Read, &url.with_text(path));
        }
        if !url.is_known() {
            self.unknown(url);
            // The host may be certain even if the path is not.
            let known = url.known();
            let after = known.find("://").map_or(0, |i| i + 3);
            if !known.get(after..).is_some_and(|rest| rest.contains('/')) {
                return;
            }
        }
        if url.text.is_empty() {
            return;
        }
        let mut action = Action::new(verb, Resource::new("url", public_url(&url.text)));
        action.destructive = destructive;
        self.push(action);
    }

    /// A machine, perhaps `user@` it, perhaps with a port.
    pub fn host(&mut self, verb: Verb, host: &Arg, port: Option<&Arg>) {
        if !host.is_known() {
            return self.unknown(host);
        }
        let name = host.text.rsplit('@').next().unwrap_or(&host.text).to_ascii_lowercase();
        match port {
            Some(port) => self.act(verb, "host", &format!("{name}:{}", port.text)),
            None => self.act(verb, "host", &name),
        }
    }

    /// Whether standard input brings something that the command did not make up.
    fn is_fed(&self) -> bool {
        !matches!(self.stdin, Stdin::Inherited)
    }
}

/// The file name that a URL ends in.
fn url_file(url: &Arg) -> Option<String> {
    let path = url.text.split(['?', '#']).next()?;
    let path = path.split_once("://").map_or(path, |(_, rest)| rest);
    let name = path.split_once('/').map_or("", |(_, p)| p).rsplit('/').next()?;
    (!name.is_empty()).then(|| name.to_owned())
}

fn in_folder(folder: Option<&Arg>, name: &str) -> Arg {
    match folder {
        Some(folder) => folder.with_text(format!("{}/{name}", folder.text)),
        None => Arg::new(name),
    }
}

pub(super) fn curl(shell: &mut Shell<'_>, call: &Call<'_>) {
    const SPEC: &str = "-X,--request= -d,--data,--data-ascii= --data-raw= --data-binary= --data-urlencode= --json= -F,--form= --form-string= -T,--upload-file= -G,--get -o,--output= -O,--remote-name,--remote-name-all --output-dir= -J,--remote-header-name -K,--config=r -H,--header= --proxy-header= -b,--cookie= -c,--cookie-jar=w -D,--dump-header=w -u,--user= -U,--proxy-user= -A,--user-agent= -e,--referer= -x,--proxy= --preproxy= --socks5= --socks5-hostname= --socks4= -E,--cert=r --key=r --cacert=r --capath=r --proxy-cert=r --proxy-key=r --pass= --cert-type= --key-type= --ciphers= -m,--max-time= --connect-timeout= --retry= --retry-delay= --retry-max-time= --max-redirs= --limit-rate= -r,--range= -C,--continue-at= -w,--write-out= --url= --url-query= --resolve= --connect-to= --unix-socket= --abstract-unix-socket= --interface= --local-port= --dns-servers= --netrc-file=r -Q,--quote= -t,--telnet-option= -y,--speed-time= -Y,--speed-limit= -z,--time-cond= --trace=w --trace-ascii=w --stderr=w --libcurl=w --etag-save=w --etag-compare=r --keepalive-time= --oauth2-bearer= --aws-sigv4= --proto= --proto-default= --tls-max= --variable= --expand-data= --expand-url= --hsts=w --alt-svc=w -P,--ftp-port= --parallel-max= --rate= -I,--head -n,--netrc";
    let parsed = shell.options(SPEC, call.args);
    let mut sends = false;
    for option in ["-d", "--data-binary", "--json", "--data-urlencode"] {
        for value in parsed.values(option) {
            sends = true;
            let file = if option == "--data-urlencode" {
                value.text.find('@').filter(|i| !value.text[..*i].contains('=')).map(|i| value.tail(i + 1))
            } else {
                value.text.starts_with('@').then(|| value.tail(1))
            };
            match file {
                Some(file) if file.text == "-" => {}
                Some(file) => shell.touch(Effect::Read, &file),
                // A text that is not known may begin with `@`.
                None if value.known_bytes == 0 => shell.unknown(value),
                None => {}
            }
        }
    }
    for value in parsed.values("-F") {
        sends = true;
        let content = value.text.find('=').map(|i| value.tail(i + 1));
        match content {
            Some(content) if content.text.starts_with(['@', '<']) => {
                for file in content.text[1..].split(',') {
                    let file = file.split(';').next().unwrap_or("").trim_matches('"');
                    if file != "-" {
                        shell.touch(Effect::Read, &content.with_text(file));
                    }
                }
            }
            Some(content) if content.is_known() || content.known_bytes > 0 => {}
            _ => shell.unknown(value),
        }
    }
    sends |= parsed.has("--data-raw") || parsed.has("--form-string") || parsed.has("--expand-data");
    for file in parsed.values("-T") {
        sends = true;
        if !matches!(file.text.as_str(), "-" | ".") {
            shell.touch(Effect::Read, file);
        }
    }
    for header in parsed.values("-H").chain(parsed.values("--proxy-header")) {
        if header.text.starts_with('@') {
            sends = true;
            shell.touch(Effect::Read, &header.tail(1));
        }
    }
    for cookie in parsed.values("-b").filter(|c| c.is_known() && !c.text.contains('=') && !c.text.is_empty())
    {
        sends = true;
        shell.touch(Effect::Read, cookie);
    }
    for part in parsed.values("--url-query") {
        if let Some(at) = part.text.find('@').filter(|at| !part.text[..*at].contains('=')) {
            sends = true;
            shell.touch(Effect::Read, &part.tail(at + 1));
        }
    }
    // These go out as well: what is not known of them may be anything.
    for option in ["-H", "--proxy-header", "-b", "-A", "-e", "-u", "--url-query", "--oauth2-bearer"] {
        for value in parsed.values(option).filter(|value| !value.is_environment()) {
            shell.unknown(value);
        }
    }
    if parsed.has("-Q") || parsed.has("-t") {
        shell.opaque_as(Hazard::CommandWord, "curl sends commands to the other side");
    }
    if parsed.has("-K") {
        shell.opaque_as(Hazard::Arguments, "curl takes options from a file");
        shell.execute(call.name);
    }
    if parsed.has("--resolve")
        || parsed.has("--connect-to")
        || parsed.has("--unix-socket")
        || parsed.has("--abstract-unix-socket")
    {
        shell.opaque_as(Hazard::Arguments, "curl connects to another machine than the URL names");
    }
    for proxy in
        parsed.values("-x").chain(parsed.values("--socks5")).chain(parsed.values("--socks5-hostname"))
    {
        shell.url(Verb::Network, proxy);
    }
    shell.option_files(&parsed);
    let method = parsed.value("-X").map_or_else(String::new, |m| m.text.to_ascii_uppercase());
    let verb =
        if sends || matches!(method.as_str(), "POST" | "PUT" | "PATCH") { Verb::Send } else { Verb::Network };
    let urls: Vec<Arg> = parsed.operands.iter().chain(parsed.values("--url")).cloned().collect();
    for url in &urls {
        shell.url_with(verb, url, method == "DELETE");
    }
    if parsed.has("--expand-url") {
        shell.opaque_as(Hazard::Arguments, "curl builds the URL from variables");
    }
    let folder = parsed.value("--output-dir").cloned();
    for file in parsed.values("-o").filter(|f| f.text != "-") {
        let file = match &folder {
            Some(folder) if !file.text.starts_with('/') && file.is_known() => {
                in_folder(Some(folder), &file.text)
            }
            _ => file.clone(),
        };
        shell.touch(Effect::Write, &file);
    }
    if parsed.has("-O") {
        for url in &urls {
            match url_file(url) {
                Some(name) if url.is_known() && !parsed.has("-J") => {
                    shell.touch(Effect::Write, &in_folder(folder.as_ref(), &name))
                }
                _ => shell.opaque_as(Hazard::Arguments, "the name of the downloaded file is not known"),
            }
        }
    }
}

pub(super) fn wget(shell: &mut Shell<'_>, call: &Call<'_>) {
    let parsed = shell.options(
        "-O,--output-document= -P,--directory-prefix= -i,--input-file=r -o,--output-file=w -a,--append-output=w --post-data= --post-file=r --body-data= --body-file=r --method= --header= -U,--user-agent= --user= --password= --http-user= --http-password= --ftp-user= --ftp-password= -e,--execute= --use-askpass= -t,--tries= -T,--timeout= -w,--wait= -l,--level= -A,--accept= -R,--reject= -D,--domains= -I,--include-directories= -X,--exclude-directories= -Q,--quota= --limit-rate= --load-cookies=r --save-cookies=w --certificate=r --private-key=r --ca-certificate=r --referer= --spider -B,--base= --warc-file=w --config=r --cut-dirs= -r,--recursive -m,--mirror -p,--page-requisites --rejected-log=w --restrict-file-names= --connect-timeout= --read-timeout= --progress=",
        call.args,
    );
    shell.option_files(&parsed);
    if parsed.has("-e") || parsed.has("--config") {
        shell.opaque_as(Hazard::CommandWord, "wget takes settings that may change what it does");
    }
    if let Some(program) = parsed.value("--use-askpass").cloned() {
        shell.invoke(&[program]);
    }
    if parsed.has("-i") {
        shell.opaque_as(Hazard::Arguments, "wget takes URLs from a file");
        shell.execute(call.name);
    }
    for option in ["--header", "-U", "--referer", "--user", "--password"] {
        for value in parsed.values(option).filter(|value| !value.is_environment()) {
            shell.unknown(value);
        }
    }
    let method = parsed.value("--method").map_or_else(String::new, |m| m.text.to_ascii_uppercase());
    let sends = ["--post-data", "--post-file", "--body-data", "--body-file"].iter().any(|o| parsed.has(o))
        || matches!(method.as_str(), "POST" | "PUT" | "PATCH");
    for url in &parsed.operands {
        shell.url_with(if sends { Verb::Send } else { Verb::Network }, url, method == "DELETE");
    }
    if parsed.has("--spider") || parsed.operands.is_empty() && !parsed.has("-i") {
        return;
    }
    match parsed.value("-O").cloned() {
        Some(file) if file.text == "-" => {}
        Some(file) => shell.touch(Effect::Write, &file),
        None => {
            let folder = parsed.value("-P").cloned();
            if parsed.has("-r") || parsed.has("-m") || parsed.has("-p") || parsed.has("-i") {
                let folder = folder.unwrap_or_else(|| Arg::new("."));
                return shell.touch_with(Effect::Write, &folder, true);
            }
            for url in &parsed.operands {
                if url.is_known() {
                    let name = url_file(url).unwrap_or_else(|| "index.html".to_owned());
                    shell.touch(Effect::Write, &in_folder(folder.as_ref(), &name));
                }
            }
        }
    }
}

pub(super) fn httpie(shell: &mut Shell<'_>, call: &Call<'_>) {
    let parsed = shell.options(
        "-a,--auth= -A,--auth-type= -o,--output=w -s,--style= -p,--print= --session= --timeout= --proxy= --verify= --cert=r --cert-key=r -d,--download --raw= --boundary= --format-options= --pretty=",
        call.args,
    );
    let mut operands = parsed.operands.iter().peekable();
    let mut method = String::new();
    if let Some(first) = operands.peek()
        && first.text.len() > 2
        && first.text.bytes().all(|b| b.is_ascii_uppercase())
    {
        method = first.text.clone();
        operands.next();
    }
    let Some(url) = operands.next() else {
        return shell.execute(call.name);
    };
    let mut sends =
        parsed.has("--raw") || matches!(method.as_str(), "POST" | "PUT" | "PATCH") || shell.is_fed();
    for item in operands {
        let text = item.text.as_str();
        if let Some(i) = text.find('@') {
            let before = &text[..i];
            if !before.contains([' ', '/']) {
                shell.touch(Effect::Read, &item.tail(i + 1));
                sends = true;
                continue;
            }
        }
        if text.contains("==") {
            continue;
        }
        sends |= text.contains('=');
    }
    let local = if url.text.starts_with(':') && url.is_known() {
        Arg::new(format!("http://localhost{}", url.text))
    } else if call.name == "https" && !url.text.contains("://") {
        Arg { text: format!("https://{}", url.text), known_bytes: url.known_bytes + 8, ..url.clone() }
    } else {
        url.clone()
    };
    shell.url_with(if sends { Verb::Send } else { Verb::Network }, &local, method == "DELETE");
    shell.option_files(&parsed);
    if parsed.has("-d")
        && !parsed.has("-o")
        && let Some(name) = url_file(url)
    {
        shell.touch(Effect::Write, &Arg::new(name));
    }
}

pub(super) fn download(shell: &mut Shell<'_>, call: &Call<'_>) {
    let parsed = shell.options("-o,--out,--output= -d,--dir= -i,--input-file=r -s,--split= -x,--max-connection-per-server= -j= -n= --header=", call.args);
    shell.option_files(&parsed);
    if parsed.has("-i") {
        shell.opaque_as(Hazard::Arguments, "the URLs come from a file");
        shell.execute(call.name);
    }
    for url in &parsed.operands {
        shell.url(Verb::Network, url);
        let folder = parsed.value("-d").cloned();
        let name = parsed.value("-o").map(|o| o.text.clone()).or_else(|| url_file(url));
        if let Some(name) = name {
            shell.touch(Effect::Write, &in_folder(folder.as_ref(), &name));
        }
    }
}

pub(super) fn netcat(shell: &mut Shell<'_>, call: &Call<'_>) {
    let parsed = shell.options(
        "-e,--exec= -c,--sh-exec= -l,--listen -p,--source-port= -w= -s,--source= -x,--proxy= -X= -i= -q= -g= -G= -I= -O= -T= -o,--output=w -m= --lua-exec=x -k -z -u",
        call.args,
    );
    shell.option_files(&parsed);
    for option in ["-e", "-c"] {
        if let Some(text) = parsed.value(option).cloned() {
            code(shell, call.name, &text, Some(Vec::new()));
            shell.opaque_as(
                Hazard::CommandWord,
                format!(
                    "{} gives the other side of the connection a command: `{}`",
                    call.name,
                    excerpt(&text.text)
                ),
            );
        }
    }
    if parsed.has("-l") {
        let port = parsed.value("-p").or(parsed.operands.last()).cloned().unwrap_or_default();
        shell.host(Verb::Network, &Arg::new("localhost"), Some(&port));
    } else if let Some(host) = parsed.operands.first().cloned() {
        let port = parsed.operands.get(1).cloned();
        let verb = if shell.is_fed() && !parsed.has("-z") { Verb::Send } else { Verb::Network };
        if let Some(port) = &port {
            shell.unknown(port);
        }
        shell.host(verb, &host, port.as_ref());
    }
}

pub(super) fn socat(shell: &mut Shell<'_>, call: &Call<'_>) {
    let parsed = shell.options("-lf=w -b= -t= -T= -r=w -R=w -L=w -W=w", call.args);
    shell.option_files(&parsed);
    for address in &parsed.operands {
        if !address.is_known() {
            shell.unknown(address);
        }
        let Some((kind, rest)) = address.text.split_once(':') else {
            continue;
        };
        let kind = kind.to_ascii_uppercase();
        let first = rest.split(',').next().unwrap_or("");
        match kind.as_str() {
            "EXEC" | "SYSTEM" | "SHELL" => {
                let text = address.with_text(first);
                code(shell, call.name, &text, None);
                shell.opaque_as(
                    Hazard::CommandWord,
                    format!("socat gives the other side a command: `{}`", excerpt(first)),
                );
            }
            "OPEN" | "FILE" | "GOPEN" | "CREATE" | "PIPE" => {
                let file = address.with_text(first);
                shell.touch(Effect::Read, &file);
                shell.touch(Effect::Write, &file);
            }
            kind if kind.contains("LISTEN") || kind.contains("RECV") => {
                shell.act(Verb::Network, "host", &format!("localhost:{first}"));
            }
            kind if kind.starts_with("TCP")
                || kind.starts_with("UDP")
                || kind.starts_with("OPENSSL")
                || kind.starts_with("SSL")
                || kind.starts_with("SOCKS")
                || kind.starts_with("PROXY") =>
            {
                shell.act(Verb::Send, "host", first);
            }
            _ => {}
        }
    }
}

pub(super) fn host_client(shell: &mut Shell<'_>, call: &Call<'_>) {
    let parsed = shell.options("-e,-c= -u= -p= -f=r -l= -n -i -v -P=", call.args);
    shell.option_files(&parsed);
    if parsed.has("-e") || parsed.has("-f") || shell.is_fed() {
        shell.opaque_as(Hazard::CommandWord, format!("{} runs commands of its own language", call.name));
    }
    if let Some(host) = parsed.operands.first().cloned() {
        let port = parsed
            .operands
            .get(1)
            .cloned()
            .filter(|p| call.name != "lftp" && p.text.bytes().all(|b| b.is_ascii_digit()));
        if host.text.contains("://") {
            shell.url(Verb::Network, &host);
        } else {
            shell.host(if shell.is_fed() { Verb::Send } else { Verb::Network }, &host, port.as_ref());
        }
    }
}

const SSH_OPTIONS: &str = "+ -B= -b= -c= -D= -E=w -e= -F=r -I= -i=r -J= -L= -l= -m= -O= -o= -p= -Q= -R= -S= -W= -w= -N -f -n -T -t -q -v -A -X -Y -C -4 -6 -g -K -k -M -s -V -x --ssh=";

/// Options of ssh that run a command on this side.
fn ssh_settings(shell: &mut Shell<'_>, name: &str, setting: &Arg) {
    let lower = setting.text.to_ascii_lowercase();
    if lower.starts_with("proxycommand")
        || lower.starts_with("localcommand")
        || lower.starts_with("knownhostscommand")
    {
        let at = setting.text.find(['=', ' ']).map_or(setting.text.len(), |i| i + 1);
        let command = setting.tail(at);
        if command.text.trim() != "none" {
            code(shell, name, &command, None);
        }
    } else {
        shell.unknown(setting);
    }
}

/// `user@host`, `host` or `ssh://host:port`, as a resource.
fn ssh_target(shell: &mut Shell<'_>, target: &Arg, port: Option<&Arg>) -> Option<Resource> {
    if !target.is_known() {
        shell.unknown(target);
        return None;
    }
    let text = target.text.strip_prefix("ssh://").unwrap_or(&target.text);
    let name = text.rsplit('@').next().unwrap_or(text).trim_end_matches('/').to_ascii_lowercase();
    Some(match port {
        Some(port) if !port.text.is_empty() => Resource::new("host", format!("{name}:{}", port.text)),
        _ => Resource::new("host", name),
    })
}

pub(super) fn ssh(shell: &mut Shell<'_>, call: &Call<'_>) {
    let first = shell.options(SSH_OPTIONS, call.args);
    let Some((target, rest)) = first.operands.split_first() else {
        return shell.execute(call.name);
    };
    // ssh takes options after the host as well.
    let second = if rest.first().is_some_and(|a| a.text.starts_with('-')) {
        Some(shell.options(SSH_OPTIONS, rest))
    } else {
        None
    };
    let command = second.as_ref().map_or(rest, |s| &s.operands[..]);
    let all = || first.options.iter().chain(second.iter().flat_map(|s| s.options.iter()));
    shell.option_files(&first);
    if let Some(second) = &second {
        shell.option_files(second);
    }
    if all().any(|(entry, _)| entry.has("-F")) {
        shell.opaque_as(Hazard::CommandWord, "ssh takes settings from a file, which may run commands");
    }
    let of = |name: &str| -> Vec<Arg> {
        first.values(name).cloned().chain(second.iter().flat_map(|s| s.values(name).cloned())).collect()
    };
    for setting in of("-o") {
        ssh_settings(shell, call.name, &setting);
    }
    for jump in of("-J") {
        for host in jump.text.split(',') {
            shell.host(Verb::Network, &jump.with_text(host), None);
        }
    }
    let port = of("-p").pop();
    let Some(resource) = ssh_target(shell, target, port.as_ref()) else {
        return shell.execute(call.name);
    };
    for forward in of("-L").iter().chain(&of("-R")).chain(&of("-D")) {
        shell.opaque_as(Hazard::Arguments, format!("ssh forwards a port: `{}`", excerpt(&forward.text)));
    }
    let tunnel = all().count() > 0 && (first.has("-N") || second.as_ref().is_some_and(|s| s.has("-N")));
    if tunnel && command.is_empty() {
        return shell.push(Action::new(Verb::Network, resource));
    }
    if shell.is_fed() && !matches!(&shell.stdin, Stdin::Text(t) if t.is_empty()) {
        shell.push(Action::new(Verb::Send, resource.clone()));
    }
    if command.is_empty() {
        return match shell.stdin.clone() {
            Stdin::Text(text) => {
                shell.elsewhere(Elsewhere::Text(&text), resource.clone());
                here_after_all(shell, &resource, &text);
            }
            Stdin::Inherited => shell.push(Action::new(Verb::Execute, resource)),
            _ => {
                shell.push(Action::new(Verb::Execute, resource));
                shell.opaque_as(Hazard::CommandWord, "the commands for the other machine are not known");
            }
        };
    }
    let mut text = String::new();
    for arg in command {
        if arg.unknown.is_some() {
            shell.unknown(arg);
        }
        text.push_str(&arg.text);
        text.push(' ');
    }
    shell.elsewhere(Elsewhere::Text(&text), resource.clone());
    here_after_all(shell, &resource, &text);
}

/// A host that is this machine: its commands act here, in the home folder.
fn here_after_all(shell: &mut Shell<'_>, host: &Resource, text: &str) {
    let name = host.name();
    let name = name.rsplit_once('@').map_or(name, |(_, name)| name);
    let name = name.trim_start_matches('[');
    if !(name.split(':').next() == Some("localhost") || name.starts_with("127.") || name.starts_with("::1")) {
        return;
    }
    let home = shell.home();
    let there = if home.is_known() { Ok(home.text) } else { Err("the home folder is not known".to_owned()) };
    let cwd = std::mem::replace(&mut shell.state.cwd, there);
    shell.nested(text, None);
    shell.state.cwd = cwd;
}

/// Splits `host:path`, if the argument names a file on another machine.
fn remote(arg: &Arg) -> Option<(Arg, Arg)> {
    let text = &arg.text;
    for scheme in ["scp://", "rsync://", "sftp://"] {
        if let Some(rest) = text.strip_prefix(scheme) {
            let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
            return Some((arg.with_text(host), arg.with_text(path)));
        }
    }
    let colon = text.find(':')?;
    if text[..colon].contains('/') || colon == 0 {
        return None;
    }
    let host =
        Arg { unknown: arg.unknown.clone().filter(|_| arg.known_bytes < colon), ..Arg::new(&text[..colon]) };
    Some((host, arg.tail(colon + 1)))
}

/// A copy between machines.
fn transfer(shell: &mut Shell<'_>, operands: &[Arg], port: Option<&Arg>, recursive: bool, mirror: bool) {
    let Some((target, sources)) = operands.split_last() else {
        return;
    };
    let to = remote(target);
    for source in sources {
        match (remote(source), &to) {
            (None, Some((host, _))) => {
                shell.touch_with(Effect::Read, source, recursive);
                match ssh_target(shell, host, port) {
                    Some(resource) => {
                        let mut action = Action::new(Verb::Send, resource);
                        action.destructive = mirror;
                        shell.push(action);
                    }
                    None => continue,
                }
            }
            (Some((host, path)), None) => {
                if let Some(resource) = ssh_target(shell, &host, port) {
                    shell.push(Action::new(Verb::Network, resource));
                }
                let into = target.text.ends_with('/') || matches!(target.text.as_str(), "." | "..");
                let name = path.text.trim_end_matches('/').rsplit('/').next().unwrap_or("").to_owned();
                let target = if into && path.is_known() && !name.is_empty() && !recursive {
                    target.with_text(format!("{}/{name}", target.text.trim_end_matches('/')))
                } else {
                    target.clone()
                };
                shell.touch_with(if mirror { Effect::Overwrite } else { Effect::Write }, &target, recursive);
            }
            (Some((from, _)), Some((host, _))) => {
                shell.host(Verb::Network, &from, None);
                if let Some(resource) = ssh_target(shell, host, port) {
                    shell.push(Action::new(Verb::Send, resource));
                }
            }
            (None, None) => {
                shell.touch_with(Effect::Read, source, recursive);
                shell.touch_with(if mirror { Effect::Overwrite } else { Effect::Write }, target, recursive);
            }
        }
    }
}

pub(super) fn scp(shell: &mut Shell<'_>, call: &Call<'_>) {
    let parsed = shell.options("-P= -i=r -o= -F=r -J= -l= -c= -S=x -D= -X= -r -p -q -C -3", call.args);
    shell.option_files(&parsed);
    for setting in parsed.values("-o") {
        ssh_settings(shell, call.name, setting);
    }
    if parsed.has("-F") {
        shell.opaque_as(Hazard::CommandWord, "ssh takes settings from a file, which may run commands");
    }
    transfer(shell, &parsed.operands, parsed.value("-P"), parsed.has("-r"), false);
}

pub(super) fn rsync(shell: &mut Shell<'_>, call: &Call<'_>) {
    let parsed = shell.options(
        "-e,--rsh= --rsync-path= --exclude= --include= --files-from=r --exclude-from=r --include-from=r --log-file=w --password-file=r --bwlimit= --backup-dir= --suffix= --partial-dir= -T,--temp-dir= -f,--filter= --port= --chmod= --chown= --info= --out-format= -B,--block-size= -M,--remote-option= --compare-dest= --copy-dest= --link-dest= --max-size= --min-size= --timeout= --modify-window= --delete,--del,--delete-before,--delete-during,--delete-delay,--delete-after,--delete-excluded --delete-missing-args --remove-source-files -n,--dry-run --debug= --iconv= --usermap= --groupmap= --write-batch=w --read-batch=r",
        call.args,
    );
    shell.option_files(&parsed);
    if let Some(command) = parsed.value("-e").cloned() {
        let plain = command.is_known() && command.text.split(' ').next() == Some("ssh");
        if plain && !command.text.to_ascii_lowercase().contains("command") {
        } else {
            code(shell, call.name, &command, None);
        }
    }
    if parsed.has("--files-from") {
        shell.opaque_as(Hazard::Arguments, "rsync takes the names of its files from a file");
    }
    if parsed.operands.len() == 1 {
        return shell.touch(Effect::Read, &parsed.operands[0]);
    }
    let dry = parsed.has("-n");
    if dry {
        for source in &parsed.operands {
            match remote(source) {
                Some((host, _)) => shell.host(Verb::Network, &host, None),
                None => shell.touch_with(Effect::Read, source, true),
            }
        }
        return;
    }
    transfer(shell, &parsed.operands, None, true, parsed.has("--delete"));
    if parsed.has("--remove-source-files") {
        for source in parsed.operands.iter().rev().skip(1).filter(|s| remote(s).is_none()) {
            shell.touch_with(Effect::Delete, source, true);
        }
    }
}

pub(super) fn sftp(shell: &mut Shell<'_>, call: &Call<'_>) {
    let parsed = shell.options("+ -P= -i=r -o= -F=r -J= -l= -c= -S=x -b=r -B= -R= -D= -s=", call.args);
    shell.option_files(&parsed);
    for setting in parsed.values("-o") {
        ssh_settings(shell, call.name, setting);
    }
    let Some(target) = parsed.operands.first().cloned() else {
        return shell.execute(call.name);
    };
    let host = remote(&target).map_or_else(|| target.clone(), |(host, _)| host);
    let Some(resource) = ssh_target(shell, &host, parsed.value("-P")) else {
        return;
    };
    match shell.stdin.clone() {
        Stdin::Text(text) => {
            for line in text.lines() {
                let mut words = line.split_whitespace().filter(|w| !w.starts_with('-'));
                match (words.next(), words.next(), words.next()) {
                    (Some("put" | "mput"), Some(file), _) => {
                        shell.touch(Effect::Read, &Arg::new(file));
                        shell.push(Action::new(Verb::Send, resource.clone()));
                    }
                    (Some("get" | "mget"), Some(file), local) => {
                        shell.push(Action::new(Verb::Network, resource.clone()));
                        let name = local.unwrap_or_else(|| file.rsplit('/').next().unwrap_or(file));
                        shell.touch(Effect::Write, &Arg::new(name));
                    }
                    (Some("rm" | "rmdir"), ..) => {
                        shell.push(Action::new(Verb::Execute, resource.clone()).destructive());
                    }
                    (Some(command), ..) if command.starts_with('!') => {
                        shell.nested(line.trim_start_matches('!'), None);
                    }
                    _ => shell.push(Action::new(Verb::Network, resource.clone())),
                }
            }
        }
        Stdin::Inherited if !parsed.has("-b") => shell.push(Action::new(Verb::Network, resource)),
        _ => {
            shell.push(Action::new(Verb::Send, resource));
            shell.opaque_as(Hazard::CommandWord, "the commands for sftp are not known");
        }
    }
}

pub(super) fn ssh_keygen(shell: &mut Shell<'_>, call: &Call<'_>) {
    let parsed = shell.options(
        "-f= -t= -b= -C= -N= -P= -R= -F= -y -l -p -e -i -H -q -m= -O= -I= -s=r -V= -z= -Y= -n=",
        call.args,
    );
    shell.option_files(&parsed);
    let home = shell.home();
    let in_home = |name: &str| home.with_text(format!("{}/.ssh/{name}", home.text));
    if parsed.has("-R") || parsed.has("-H") {
        let file = parsed.value("-f").cloned().unwrap_or_else(|| in_home("known_hosts"));
        return shell.touch(Effect::Write, &file);
    }
    if parsed.has("-F") {
        return shell.touch(Effect::Read, &in_home("known_hosts"));
    }
    let kind = parsed.value("-t").map_or("ed25519", |t| t.text.as_str()).to_owned();
    let file = parsed.value("-f").cloned().unwrap_or_else(|| in_home(&format!("id_{kind}")));
    if parsed.has("-y") || parsed.has("-l") || parsed.has("-e") || parsed.has("-i") || parsed.has("-Y") {
        shell.touch(Effect::Read, &file);
    } else if parsed.has("-p") {
        shell.touch(Effect::Write, &file);
    } else {
        shell.touch(Effect::Create, &file);
        shell.touch(Effect::Create, &file.with_text(format!("{}.pub", file.text)));
    }
}

pub(super) fn ssh_copy_id(shell: &mut Shell<'_>, call: &Call<'_>) {
    let parsed = shell.options("-i=r -p= -o= -F=r -t= -f -n -s", call.args);
    shell.option_files(&parsed);
    if let Some(host) = parsed.operands.first().cloned()
        && let Some(resource) = ssh_target(shell, &host, parsed.value("-p"))
    {
        shell.push(Action::new(Verb::Send, resource.clone()));
        shell.push(Action::new(Verb::Configure, resource));
    }
}

pub(super) fn ssh_add(shell: &mut Shell<'_>, call: &Call<'_>) {
    let parsed = shell.options("+ -t= -d -D -l -L -k -a= -E= -S= -P=", call.args);
    if call.name == "ssh-agent" {
        if parsed.operands.is_empty() {
            return shell.execute(call.name);
        }
        shell.invoke(&parsed.operands);
        return;
    }
    for key in &parsed.operands {
        shell.touch(Effect::Read, key);
    }
}

pub(super) fn probe(shell: &mut Shell<'_>, call: &Call<'_>) {
    let parsed = shell.options(
        "-c= -i= -I= -W= -w= -p= -s= -t= -m= -q= -x= -k= -oN=w -oX=w -oA=w -oG=w -iL=r -f=r --script= --top-ports= -T=",
        call.args,
    );
    shell.option_files(&parsed);
    for operand in &parsed.operands {
        let text = operand.text.trim_start_matches('@').to_owned();
        // A record type or a query option, not a name.
        if text.starts_with('+') || (text.len() <= 6 && text.bytes().all(|b| b.is_ascii_uppercase())) {
            continue;
        }
        let name = Arg { text, ..operand.clone() };
        shell.host(Verb::Network, &name, None);
    }
}

pub(super) fn openssl(shell: &mut Shell<'_>, call: &Call<'_>) {
    let mut args = call.args.iter();
    let sub = args.next().map_or("", |a| a.text.as_str());
    while let Some(arg) = args.next() {
        match arg.text.as_str() {
            "-in" | "-key" | "-inkey" | "-CA" | "-CAkey" | "-signkey" | "-CAfile" | "-cert" | "-certfile"
            | "-config" | "-extfile" | "-sign" | "-verify" | "-signature" | "-recip" | "-kfile" | "-data"
            | "-content" => {
                if let Some(file) = args.next() {
                    shell.touch(Effect::Read, file);
                }
            }
            "-out" | "-keyout" | "-writerand" | "-CAserial" => {
                if let Some(file) = args.next() {
                    shell.touch(Effect::Write, file);
                }
            }
            "-connect" => {
                if let Some(host) = args.next().cloned() {
                    let verb = if shell.is_fed() { Verb::Send } else { Verb::Network };
                    shell.host(verb, &host, None);
                }
            }
            "-accept" => {
                if let Some(port) = args.next().cloned() {
                    shell.host(Verb::Network, &Arg::new("localhost"), Some(&port));
                }
            }
            "-engine" | "-provider-path" | "-provider" => {
                shell.execute(call.name);
                shell.opaque_as(Hazard::CommandWord, "openssl loads a library that is not known");
            }
            text if matches!(sub, "dgst" | "rsa" | "passwd") && !text.starts_with('-') => {
                shell.touch(Effect::Read, arg)
            }
            _ => {
                if !arg.is_known() && arg.splits {
                    shell.unknown(arg);
                }
            }
        }
    }
}

pub(super) fn rclone(shell: &mut Shell<'_>, call: &Call<'_>) {
    let parsed = shell.options(
        "--config=r --include= --exclude= --transfers= --filter= --log-file=w -P -n,--dry-run",
        call.args,
    );
    shell.option_files(&parsed);
    let sub = parsed.operand(0).to_owned();
    let places = parsed.operands.get(1..).unwrap_or(&[]);
    match sub.as_str() {
        "copy" | "copyto" | "sync" | "move" | "moveto" | "bisync" => {
            transfer(shell, places, None, true, matches!(sub.as_str(), "sync" | "bisync"));
            if sub.starts_with("move") {
                for source in places.iter().rev().skip(1).filter(|s| remote(s).is_none()) {
                    shell.touch_with(Effect::Delete, source, true);
                }
            }
        }
        "delete" | "purge" | "deletefile" | "rmdir" | "rmdirs" | "cleanup" => {
            for place in places {
                match remote(place) {
                    Some((host, _)) => {
                        let action = Action::new(Verb::Delete, Resource::new("host", &host.text));
                        shell.push(action.destructive());
                    }
                    None => shell.touch_with(Effect::Delete, place, true),
                }
            }
        }
        "config" => shell.act(Verb::Configure, "proc", call.name),
        _ => {
            for place in places {
                match remote(place) {
                    Some((host, _)) => shell.host(Verb::Network, &host, None),
                    None => shell.touch_with(Effect::Read, place, true),
                }
            }
        }
    }
}

pub(super) fn mail(shell: &mut Shell<'_>, call: &Call<'_>) {
    let parsed =
        shell.options("-s= -a,-A,--attach=r -r= -c= -b= -f= -t,--to= --from= --server= -S= -e -i", call.args);
    shell.option_files(&parsed);
    let to: Vec<Arg> = parsed
        .operands
        .iter()
        .chain(parsed.values("-t"))
        .chain(parsed.values("-c"))
        .chain(parsed.values("-b"))
        .cloned()
        .collect();
    for recipient in &to {
        if recipient.is_known() {
            shell.act(Verb::Send, "url", &format!("mailto:{}", recipient.text));
        } else {
            shell.unknown(recipient);
        }
    }
    if to.is_empty() {
        shell.execute(call.name);
    }
}

pub(super) fn tunnel(shell: &mut Shell<'_>, call: &Call<'_>) {
    shell.execute(call.name);
    shell.opaque_as(Hazard::Arguments, format!("{} opens this machine to the outside", call.name));
}

pub(super) fn capture(shell: &mut Shell<'_>, call: &Call<'_>) {
    let parsed = shell.options("-w=w -r=r -i= -c= -s= -F=r -z= -G= -C= -W= -f= -Y= -T= -e=", call.args);
    shell.option_files(&parsed);
    if let Some(program) = parsed.value("-z").cloned().filter(|_| call.name == "tcpdump") {
        code(shell, call.name, &program, None);
    }
    if !parsed.has("-r") {
        shell.execute(call.name);
    }
}
