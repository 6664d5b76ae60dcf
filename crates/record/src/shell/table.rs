//! The table of commands: which operands they read, write, create or delete, which options take
//! values, and which of those values are files. Commands with a grammar of their own name a
//! function instead.

use super::expand::Arg;
use super::invoke::Call;
use super::options::Parsed;
use super::run::Shell;
use super::{archive, cloud, database, files, git, interpreter, network, package, system, wrapper};
use crate::Verb;
use std::collections::HashMap;
use std::sync::OnceLock;

/// What a command does to a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    Read,
    Search,
    Write,
    /// Written over so that what was there is gone.
    Overwrite,
    Create,
    Delete,
    /// Removed without losing anything (an empty folder, a copy).
    Remove,
    Configure,
    Execute,
}

impl Effect {
    pub fn verb(self) -> Option<Verb> {
        Some(match self {
            Effect::Read => Verb::Read,
            Effect::Search => Verb::Search,
            Effect::Write | Effect::Overwrite => Verb::Write,
            Effect::Create => Verb::Create,
            Effect::Delete | Effect::Remove => Verb::Delete,
            Effect::Configure => Verb::Configure,
            Effect::Execute => Verb::Execute,
        })
    }

    /// Whether it ends the thing itself, be it a link.
    pub fn is_removal(self) -> bool {
        matches!(self, Effect::Delete | Effect::Remove)
    }

    pub fn is_destructive(self) -> bool {
        matches!(self, Effect::Delete | Effect::Overwrite)
    }

    fn from_letter(letter: u8) -> Option<Effect> {
        Some(match letter {
            b'r' => Effect::Read,
            b'w' => Effect::Write,
            b'c' => Effect::Create,
            b'd' => Effect::Delete,
            b'x' => Effect::Execute,
            b'k' => Effect::Configure,
            _ => return None,
        })
    }
}

/// What a command does.
#[derive(Clone, Copy)]
pub(super) enum Act {
    /// Runs, with no effect beyond that.
    Runs,
    /// Has this effect on every operand.
    All(Effect),
    /// The same, and on the working directory if there is no operand.
    Here(Effect),
    /// The same after so many operands that name no file.
    After(usize, Effect),
    /// Reads the first operand and writes the second, if there is one.
    Filter,
    /// A shell builtin that changes nothing outside of the shell.
    Silent,
    /// A grammar of its own.
    Own(fn(&mut Shell<'_>, &Call<'_>)),
}

/// One line of the table.
pub(super) struct Row {
    /// The names, separated by blanks.
    pub names: &'static str,
    /// The options, see [`super::options`].
    pub options: &'static str,
    pub act: Act,
}

const fn row(names: &'static str, options: &'static str, act: Act) -> Row {
    Row { names, options, act }
}

use Act::{After, All, Filter, Here, Own, Runs, Silent};
use Effect::{Configure, Create, Delete, Read, Remove, Write};

/// A group of the table, as the documentation shows it.
pub(super) struct Family {
    pub title: &'static str,
    pub rows: &'static [Row],
}

/// The whole table.
pub(super) const FAMILIES: &[Family] = &[
    Family {
        title: "Reading files",
        rows: &[
            row("cat", "", Own(files::cat)),
            row("tac nl rev", "", All(Read)),
            row("head", "-n,--lines= -c,--bytes=", All(Read)),
            row(
                "tail",
                "-n,--lines= -c,--bytes= -s,--sleep-interval= --pid= --max-unchanged-stats=",
                All(Read),
            ),
            row("less more most zless zmore", "", Own(files::pager)),
            row("bat batcat", "--language,-l= --style= -r,--line-range= --pager=x", All(Read)),
            row("wc", "--files0-from=r", All(Read)),
            row(
                "cksum sum md5sum sha1sum sha224sum sha256sum sha384sum sha512sum b2sum md5 shasum crc32 b3sum",
                "-a,--algorithm= -l,--length=",
                All(Read),
            ),
            row("od hexdump hd", "-A= -j= -N= -t= -w= -e= -f=r -n= -s=", All(Read)),
            row("xxd", "-c= -g= -l= -o= -s=", Filter),
            row("strings", "-n,--bytes= -t,--radix= -e=", All(Read)),
            row(
                "fold fmt expand unexpand pr column",
                "-w,--width= -t,--tabs= -s= -c= -l= -o= -h= -N=",
                All(Read),
            ),
            row(
                "cut",
                "-b,--bytes= -c,--characters= -d,--delimiter= -f,--fields= --output-delimiter=",
                All(Read),
            ),
            row("paste", "-d,--delimiters=", All(Read)),
            row("join", "-1= -2= -a= -e= -j= -o= -t= -v=", All(Read)),
            row("comm cmp diff3 sdiff", "-o,--output=w --label= -n,--bytes= -i,--ignore-initial=", All(Read)),
            row(
                "diff colordiff",
                "-r,--recursive+ -U,--unified= -C,--context= --label= -x,--exclude= -X,--exclude-from=r -I= --color= -W,--width= --from-file=r --to-file=r",
                All(Read),
            ),
            row("file", "-f,--files-from=r -m,--magic-file=r -F,--separator= -P= -e,--exclude=", All(Read)),
            row("stat", "-c,--format= --printf= -f", All(Read)),
            row(
                "readlink realpath namei getfacl lsattr getfattr",
                "--relative-to= --relative-base= -n,--name=",
                All(Read),
            ),
            row(
                "du ncdu",
                "-d,--max-depth= --exclude= -X,--exclude-from=r -t,--threshold= -B,--block-size= --files0-from=r -o=w -f=r",
                Here(Read),
            ),
            row(
                "ls dir vdir exa eza lsd",
                "-R,--recursive+ -I,--ignore= -w,--width= -T,--tabsize= --color= --sort= --time= --level,-L=",
                Here(Read),
            ),
            row("tree", "-o=w -L= -P= -I= --filelimit= --fromfile --gitfile=r", Own(files::tree)),
            row("jq gojq jaq", "", Own(files::jq)),
            row("yq", "", Own(files::yq)),
            row("xmllint xmlstarlet", "-o,--output=w --xpath= --schema=r --dtdvalid=r --encode=", All(Read)),
            row(
                "shuf tsort numfmt factor",
                "-o,--output=w -n,--head-count= -i,--input-range= --random-source=r",
                All(Read),
            ),
            row("fzf", "", Own(files::fzf)),
            row("iconv", "-o,--output=w -f,--from-code= -t,--to-code=", All(Read)),
            row("ldd nm objdump readelf size otool addr2line", "-j,--section= -M= -e,--exe=r", All(Read)),
            row("zcat bzcat xzcat lzcat zstdcat gzcat lz4cat brotlicat", "", All(Read)),
            row(
                "ptx cloc tokei scc pygmentize glow mdcat hexyl",
                "--exclude-dir= --out=w -l= -o=w",
                All(Read),
            ),
            row(
                "base64 base32 basenc",
                "-w,--wrap= -i,--input=r -o,--output=w -b,--break=",
                Own(files::base64),
            ),
            row("exiftool identify ffprobe mediainfo pdfinfo pdftotext", "", Own(files::media_info)),
        ],
    },
    Family {
        title: "Searching",
        rows: &[
            row("grep egrep fgrep zgrep zegrep", "", Own(files::grep)),
            row("rg ripgrep ag ack ugrep", "", Own(files::ripgrep)),
            row("find gfind", "", Own(files::find)),
            row("fd fdfind", "", Own(files::fd)),
            row("locate plocate mlocate updatedb", "-d,--database=r -n,--limit= -l= -o,--output=w", Runs),
            row("which whereis type whatis apropos info tldr", "", Runs),
            row("man", "", Own(files::man)),
        ],
    },
    Family {
        title: "Changing files",
        rows: &[
            row("cp gcp", "", Own(files::cp)),
            row("mv gmv", "", Own(files::mv)),
            row("install ginstall", "", Own(files::install)),
            row("ln link gln", "", Own(files::ln)),
            row("rm grm trash trash-put rimraf del", "-r,-R,--recursive+ --interactive=", Own(files::rm)),
            row("gio", "", Own(files::gio)),
            row("unlink srm wipe", "-r+", All(Delete)),
            row("shred", "-n,--iterations= -s,--size= --random-source=r", All(Delete)),
            row("rmdir", "", All(Remove)),
            row("mkdir gmkdir", "-m,--mode= -Z,--context?", All(Create)),
            row("touch gtouch", "-d,--date= -r,--reference=r -t= -m", All(Create)),
            row("mkfifo", "-m,--mode=", All(Create)),
            row("mknod", "-m,--mode=", Own(files::mknod)),
            row("mktemp tempfile", "", Own(files::mktemp)),
            row("tee", "-a,--append --output-error=", Own(files::tee)),
            row("sponge", "", All(Write)),
            row("truncate", "-s,--size= -r,--reference=r", All(Effect::Overwrite)),
            row("fallocate", "-l,--length= -o,--offset=", All(Write)),
            row(
                "split csplit",
                "-l,--lines= -b,--bytes= -C= -n,--number= -a,--suffix-length= --additional-suffix= --filter= -f,--prefix=",
                Own(files::split),
            ),
            row(
                "sort gsort",
                "-o,--output=w -k,--key= -t,--field-separator= -T,--temporary-directory= -S,--buffer-size= --parallel= --files0-from=r --compress-program=x",
                All(Read),
            ),
            row("uniq", "-f,--skip-fields= -s,--skip-chars= -w,--check-chars=", Filter),
            row("sed gsed ssed", "", Own(files::sed)),
            row("awk gawk mawk nawk", "", Own(files::awk)),
            row("perl", "", Own(interpreter::perl)),
            row("tr", "", Runs),
            row("patch", "", Own(files::patch)),
            row("apply_patch", "", Own(files::apply_patch)),
            row("dos2unix unix2dos", "-o,--oldfile -n,--newfile", All(Write)),
            row("rename prename", "", Own(files::rename)),
            row("dd gdd", "", Own(files::dd)),
            row("sd", "-f,--flags= -n,--max-replacements=", After(2, Write)),
            row(
                "vi vim nvim nano emacs micro hx code subl pico joe gedit kate mcedit vimdiff view ed ex",
                "",
                Own(files::editor),
            ),
            row("ffmpeg", "", Own(files::ffmpeg)),
            row("convert magick mogrify", "", Own(files::convert)),
            row(
                "pandoc",
                "-o,--output=w -f,--from= -t,--to= --template=r -H=r -B=r -A=r --css= --filter=x --lua-filter=x --pdf-engine= -V= -M= --metadata=",
                All(Read),
            ),
            row("rsync", "", Own(network::rsync)),
            row("basename dirname pathchk", "", Runs),
        ],
    },
    Family {
        title: "Archives",
        rows: &[
            row("tar gtar bsdtar", "", Own(archive::tar)),
            row("zip", "", Own(archive::zip)),
            row("unzip", "", Own(archive::unzip)),
            row(
                "gzip gunzip bzip2 bunzip2 xz unxz lzma unlzma lzip compress uncompress pigz pbzip2 lz4 unlz4 zstd unzstd brotli",
                "",
                Own(archive::compressor),
            ),
            row("7z 7za 7zr 7zz", "", Own(archive::seven_zip)),
            row("rar unrar", "", Own(archive::rar)),
            row("cpio", "", Own(archive::cpio)),
            row("ar", "", Own(archive::ar)),
        ],
    },
    Family {
        title: "Permissions and ownership",
        rows: &[
            row("chmod gchmod", "-R,--recursive+ --reference=r^", Own(system::chmod)),
            row("chown chgrp gchown", "-R,--recursive+ --reference=r^ --from=", After(1, Configure)),
            row("chattr", "-R+ -v= -p=", Own(system::chattr)),
            row(
                "setfacl",
                "-R,--recursive+ -m,--modify= -x,--remove= -M,--modify-file=r -X,--remove-file=r --restore=r",
                All(Configure),
            ),
            row("setfattr xattr", "-n,--name= -v,--value= -x,--remove= -d=", All(Configure)),
            row("setcap", "", Own(system::setcap)),
            row(
                "chcon restorecon",
                "-R,--recursive+ -t,--type= -u,--user= -r,--role= -l,--range= --reference=r",
                All(Configure),
            ),
            row("umask ulimit", "", Silent),
        ],
    },
    Family {
        title: "Network",
        rows: &[
            row("curl", "", Own(network::curl)),
            row("wget wget2", "", Own(network::wget)),
            row("http https xh xhs", "", Own(network::httpie)),
            row(
                "aria2c axel",
                "-o,--out,--output=w -d,--dir= -i,--input-file=r -s= -x= -j= -n=",
                Own(network::download),
            ),
            row("nc ncat netcat nc.traditional nc.openbsd", "", Own(network::netcat)),
            row("socat", "", Own(network::socat)),
            row("telnet ftp tftp lftp", "-e,-c= -u= -p= -f=r -l=", Own(network::host_client)),
            row("ssh autossh mosh", "", Own(network::ssh)),
            row("scp", "", Own(network::scp)),
            row("sftp", "", Own(network::sftp)),
            row("ssh-keygen", "", Own(network::ssh_keygen)),
            row("ssh-copy-id", "-i=r -p= -o=", Own(network::ssh_copy_id)),
            row("ssh-add ssh-agent", "-t= -d=r -a= -k", Own(network::ssh_add)),
            row(
                "ping ping6 traceroute tracepath mtr nmap dig nslookup host whois arping",
                "-c= -i= -W= -w= -p= -s= -t= -m= -q= -oN=w -oX=w -oA=w -oG=w -iL=r -f=r",
                Own(network::probe),
            ),
            row("openssl", "", Own(network::openssl)),
            row("rclone", "", Own(network::rclone)),
            row(
                "mail mailx sendmail mutt msmtp swaks",
                "-s= -a=r -A=r -r= -c= -b= -f= -t= --to= --from= --attach=r --server=",
                Own(network::mail),
            ),
            row("ngrok cloudflared localtunnel lt", "", Own(network::tunnel)),
            row("tcpdump tshark", "-w=w -r=r -i= -c= -s= -F=r", Own(network::capture)),
            row("ip ifconfig route nmcli iwconfig ethtool brctl tc", "", Own(system::network_settings)),
            row("ss netstat lsof arp", "", Runs),
        ],
    },
    Family {
        title: "Version control",
        rows: &[
            row("git", "", Own(git::git)),
            row("gh", "", Own(git::gh)),
            row("glab hub", "", Own(git::glab)),
            row("hg svn bzr jj", "", Own(git::other)),
            row("git-lfs git-filter-repo bfg", "", Own(git::rewrite)),
        ],
    },
    Family {
        title: "Packages and builds",
        rows: &[
            row("npm pnpm yarn bun cnpm", "", Own(package::node)),
            row("npx bunx pnpx uvx pipx dlx", "", Own(package::runner)),
            row("pip pip3", "", Own(package::pip)),
            row("uv", "", Own(package::uv)),
            row("poetry pdm hatch rye conda mamba micromamba", "", Own(package::python_project)),
            row("twine", "", Own(package::twine)),
            row("cargo", "", Own(package::cargo)),
            row("rustup", "", Own(package::rustup)),
            row("go", "", Own(package::go)),
            row("gem bundle bundler", "", Own(package::ruby)),
            row("composer", "", Own(package::composer)),
            row(
                "apt apt-get aptitude yum dnf microdnf apk zypper pacman yay brew port snap flatpak nix nix-env choco winget scoop emerge pkg",
                "",
                Own(package::system),
            ),
            row("dpkg rpm dpkg-reconfigure add-apt-repository apt-key", "", Own(package::dpkg)),
            row("make gmake ninja just task rake ant bazel buck2 meson scons", "", Own(package::make)),
            row("cmake ctest", "", Own(package::cmake)),
            row("gradle mvn sbt lein mix dotnet swift stack cabal", "", Own(package::build_tool)),
            row(
                "gcc g++ cc c++ clang clang++ rustc javac tsc ghc ld as",
                "-o=w -I= -L= -l= -D= --out-dir=w -d=w --outDir=w -x= -MF=w -include=r -T=r --edition= --crate-type= -W= -f= -m= -target=",
                Own(package::compiler),
            ),
            row(
                "prettier eslint black ruff isort autopep8 yapf gofmt rustfmt clang-format shfmt biome stylua standard",
                "",
                Own(package::formatter),
            ),
            row("pytest py.test jest vitest mocha tox nox phpunit rspec playwright cypress", "", Runs),
            row("mypy pyright flake8 pylint shellcheck hadolint golangci-lint", "", Runs),
            row("nvm pyenv rbenv asdf volta mise fnm sdk", "", Own(package::version_manager)),
        ],
    },
    Family {
        title: "Containers, clusters and clouds",
        rows: &[
            row("docker podman nerdctl", "", Own(cloud::docker)),
            row("docker-compose podman-compose", "", Own(cloud::compose)),
            row("kubectl oc k3s", "", Own(cloud::kubectl)),
            row("helm", "", Own(cloud::helm)),
            row("terraform tofu terragrunt", "", Own(cloud::terraform)),
            row("pulumi cdk sam serverless", "", Own(cloud::pulumi)),
            row("aws", "", Own(cloud::aws)),
            row("gsutil", "", Own(cloud::gsutil)),
            row(
                "gcloud az doctl heroku fly flyctl vercel netlify wrangler firebase railway render supabase",
                "",
                Own(cloud::generic),
            ),
            row("ansible ansible-playbook", "", Own(cloud::ansible)),
            row("vagrant virsh qemu-img lxc", "", Own(cloud::generic)),
        ],
    },
    Family {
        title: "Databases",
        rows: &[
            row("psql", "", Own(database::psql)),
            row("mysql mariadb", "", Own(database::mysql)),
            row("sqlite3 sqlite duckdb", "", Own(database::sqlite)),
            row("redis-cli valkey-cli", "", Own(database::redis)),
            row("mongosh mongo", "", Own(database::mongo)),
            row(
                "clickhouse-client cqlsh sqlcmd",
                "-q,--query,-e,-Q= -d,--database= -h,--host,-S= -u,--user,-U= -p,--password,-P= -i,-f=r",
                Own(database::other_sql),
            ),
            row("pg_dump pg_dumpall mysqldump mongodump", "", Own(database::dump)),
            row("pg_restore mongorestore mysqlimport", "", Own(database::restore)),
            row("createdb dropdb createuser dropuser", "", Own(database::postgres_admin)),
        ],
    },
    Family {
        title: "Interpreters",
        rows: &[
            row("sh bash dash zsh ksh ash fish rbash", "", Own(interpreter::shell)),
            row("python python2 python3 pypy pypy3 ipython", "", Own(interpreter::python)),
            row("node nodejs deno tsx ts-node", "", Own(interpreter::node)),
            row("ruby irb jruby", "", Own(interpreter::ruby)),
            row("php", "", Own(interpreter::php)),
            row(
                "lua luajit Rscript R julia osascript tclsh expect groovy elixir escript jshell ghci scala clojure racket sbcl guile pwsh powershell gnuplot octave m4",
                "",
                Own(interpreter::other),
            ),
            row("java", "", Own(interpreter::java)),
            row("bc dc", "", Own(interpreter::calculator)),
            row("expr units", "", Runs),
        ],
    },
    Family {
        title: "Commands that run commands",
        rows: &[
            row("sudo doas sudoedit dzdo gsudo", "", Own(wrapper::sudo)),
            row("su runuser", "", Own(wrapper::su)),
            row("env genv", "", Own(wrapper::env)),
            row("nice", "", Own(wrapper::nice)),
            row("ionice chrt taskset numactl setarch prlimit", "", Own(wrapper::scheduling)),
            row(
                "nohup setsid unbuffer catchsegv fakeroot dbus-run-session xvfb-run caffeinate proxychains proxychains4 torsocks rlwrap faketime winpty noglob nocorrect",
                "",
                Own(wrapper::plain),
            ),
            row("repeat", "", Own(wrapper::repeat)),
            row("run-parts", "", Own(wrapper::run_parts)),
            row("nix-shell", "", Own(package::nix_shell)),
            row("hash", "", Own(wrapper::hash)),
            row("time", "", Own(wrapper::time)),
            row("timeout gtimeout", "", Own(wrapper::timeout)),
            row("stdbuf", "", Own(wrapper::stdbuf)),
            row("command", "", Own(wrapper::command)),
            row("builtin", "", Own(wrapper::builtin)),
            row("exec", "", Own(wrapper::exec)),
            row("xargs gxargs", "", Own(wrapper::xargs)),
            row("parallel", "", Own(wrapper::parallel)),
            row("watch", "", Own(wrapper::watch)),
            row("chroot", "", Own(wrapper::chroot)),
            row("flock", "", Own(wrapper::flock)),
            row("script", "", Own(wrapper::script)),
            row("strace ltrace perf valgrind gdb", "", Own(wrapper::tracer)),
            row("unshare nsenter bwrap firejail capsh pkexec run0", "", Own(wrapper::sandbox)),
            row("systemd-run", "", Own(wrapper::systemd_run)),
            row("busybox toybox", "", Own(wrapper::busybox)),
            row("entr", "", Own(wrapper::entr)),
            row("tmux screen", "", Own(wrapper::multiplexer)),
            row("xdotool ydotool wtype dotool", "", Own(wrapper::typist)),
            row("runcon", "", Own(wrapper::runcon)),
            row("start-stop-daemon", "", Own(wrapper::opaque_runner)),
            row("direnv dotenv dotenvx envdir chpst", "", Own(wrapper::opaque_runner)),
        ],
    },
    Family {
        title: "The shell itself",
        rows: &[
            row("cd chdir", "", Own(wrapper::cd)),
            row("pushd", "", Own(wrapper::pushd)),
            row("popd", "", Own(wrapper::popd)),
            row("pwd dirs", "", Own(wrapper::pwd)),
            row("echo", "", Own(wrapper::echo)),
            row("printf", "", Own(wrapper::printf)),
            row(
                ": true false wait sleep jobs fg bg disown times suspend logout getopts bind complete compgen compopt shopt setopt unsetopt autoload zmodload emulate rehash caller help enable",
                "",
                Own(wrapper::inert),
            ),
            row("test [", "", Own(wrapper::test)),
            row("exit return break continue", "", Own(wrapper::leave)),
            row("shift", "", Own(wrapper::shift)),
            row("export declare typeset readonly local", "", Own(wrapper::declare)),
            row("unset unsetenv", "", Own(wrapper::unset)),
            row("set", "", Own(wrapper::set)),
            row("let", "", Own(wrapper::let_)),
            row("read mapfile readarray", "", Own(wrapper::read)),
            row("eval", "", Own(wrapper::eval)),
            row("source .", "", Own(wrapper::source)),
            row("alias", "", Own(wrapper::alias)),
            row("unalias", "", Silent),
            row("trap", "", Own(wrapper::trap)),
            row("printenv", "", Own(wrapper::printenv)),
            row("history fc", "", Own(wrapper::history)),
        ],
    },
    Family {
        title: "The system",
        rows: &[
            row("systemctl", "", Own(system::systemctl)),
            row("fdr", "", Own(system::recorder)),
            row("service rc-service", "", Own(system::service)),
            row(
                "launchctl supervisorctl pm2 chkconfig update-rc.d loginctl hostnamectl timedatectl localectl",
                "",
                Own(system::manager),
            ),
            row(
                "journalctl dmesg last lastlog who w users",
                "-f,--follow -u,--unit= -n,--lines= -S,--since= -U,--until= -p= -o= -t= -g= --vacuum-time=! --vacuum-size=!",
                Own(system::logs),
            ),
            row("crontab", "", Own(system::crontab)),
            row("at batch", "", Own(system::at)),
            row(
                "mount umount swapon swapoff losetup",
                "-t,--types= -o,--options= -L= -U=",
                Own(system::mount),
            ),
            row(
                "mkfs mke2fs mkfs.ext2 mkfs.ext3 mkfs.ext4 mkfs.xfs mkfs.btrfs mkfs.vfat mkfs.fat mkswap wipefs blkdiscard",
                "-t,--type= -L= -U= -b= -m= -n= -o= -F=? -O=",
                Own(system::format),
            ),
            row(
                "fdisk sfdisk cfdisk gdisk sgdisk parted cryptsetup mdadm zpool zfs pvcreate vgcreate lvcreate lvremove vgremove pvremove resize2fs tune2fs fsck e2fsck hdparm debugfs dmsetup badblocks nvme",
                "",
                Own(system::disk),
            ),
            row("iptables ip6tables nft ufw firewall-cmd iptables-restore ipset", "", Own(system::firewall)),
            row(
                "useradd adduser userdel deluser usermod groupadd groupdel groupmod addgroup delgroup gpasswd visudo vipw chsh chfn",
                "",
                Own(system::users),
            ),
            row("passwd chpasswd", "", Own(system::passwd)),
            row("kill", "", Own(system::kill)),
            row("pkill killall xkill", "", Own(system::kill_by_name)),
            row("skill snice", "", Own(system::kill_any)),
            row("killall5", "", Own(system::kill_all)),
            row("fuser", "", Own(system::fuser)),
            row("renice gcore reptyr", "", Own(system::on_processes)),
            row("reboot shutdown halt poweroff init telinit", "", Own(system::power)),
            row("sysctl", "", Own(system::sysctl)),
            row("modprobe insmod rmmod kexec", "", Own(system::module)),
            row(
                "lsmod modinfo lsblk blkid lspci lsusb lscpu free vmstat iostat top htop ps pgrep pstree uptime uname arch hostid nproc df findmnt sensors",
                "",
                Runs,
            ),
            row("date", "", Own(system::date)),
            row("getent", "", Own(system::getent)),
            row("hostname domainname", "", Own(system::hostname)),
            row(
                "whoami id groups logname tty stty clear reset tput cal seq yes sync dircolors locale getconf pinky uuidgen ldconfig sw_vers",
                "",
                Runs,
            ),
            row(
                "setenforce aa-complain aa-enforce update-alternatives alternatives setsebool defaults dconf gsettings busctl dbus-send gdbus logrotate debconf-set-selections",
                "",
                Own(system::manager),
            ),
            row("gpg gpg2", "", Own(system::gpg)),
            row("age", "-o,--output=w -i,--identity=r -R,--recipients-file=r -r,--recipient=", All(Read)),
            row("pass security secret-tool op vault bw keyring", "", Own(system::secrets)),
            row("open xdg-open start", "-a= -b=", Own(system::open)),
            row("pbcopy xclip xsel wl-copy pbpaste wl-paste clip", "", Runs),
            row("logger wall write", "-f,--file=r -t,--tag= -p,--priority= -s", Runs),
            row(
                "mkinitcpio update-initramfs grub-install update-grub grub-mkconfig",
                "-o=w",
                Own(system::manager),
            ),
            row("claude codex gemini aider opencode cursor-agent goose", "", Own(system::agent)),
        ],
    },
];

fn index() -> &'static HashMap<&'static str, &'static Row> {
    static INDEX: OnceLock<HashMap<&'static str, &'static Row>> = OnceLock::new();
    INDEX.get_or_init(|| {
        let rows = FAMILIES.iter().flat_map(|f| f.rows);
        rows.flat_map(|row| row.names.split(' ').map(move |name| (name, row))).collect()
    })
}

/// The line of the table for a command.
pub(super) fn find(name: &str) -> Option<&'static Row> {
    index().get(name).copied()
}

impl Shell<'_> {
    /// Does what a line of the table says.
    pub fn run_row(&mut self, row: &'static Row, call: &Call<'_>) {
        match row.act {
            Own(function) => function(self, call),
            Runs => {
                let parsed = self.options(row.options, call.args);
                self.option_files(&parsed);
            }
            Silent => self.stay_silent(call.name),
            All(effect) => self.operands(row.options, call.args, 0, effect, false, false),
            Here(effect) => self.operands(row.options, call.args, 0, effect, true, false),
            After(skip, effect) => self.operands(row.options, call.args, skip, effect, false, false),
            Filter => self.operands(row.options, call.args, 0, Read, false, true),
        }
    }

    pub fn stay_silent(&mut self, name: &str) {
        self.quiet = true;
        self.silent.get_or_insert_with(|| name.to_owned());
    }

    /// Applies the effects that option values have by the specification.
    pub fn option_files(&mut self, parsed: &Parsed<'_>) {
        for (entry, value) in &parsed.options {
            let Some(value) = value else {
                continue;
            };
            let letter = entry.tail.as_bytes().get(1).copied();
            if let Some(effect) = letter.filter(|_| entry.tail.starts_with('=')).and_then(Effect::from_letter)
                && value.text != "-"
            {
                self.touch(effect, value);
            }
        }
    }

    /// Parses by `spec` and applies `effect` to the operands after the first `skip`.
    pub fn operands(
        &mut self,
        spec: &str,
        args: &[Arg],
        skip: usize,
        effect: Effect,
        here: bool,
        filter: bool,
    ) {
        let parsed = self.options(spec, args);
        self.option_files(&parsed);
        let mut skip = skip;
        let mut effect = effect;
        let mut recursive = false;
        for (entry, _) in &parsed.options {
            recursive |= entry.tail.contains('+');
            if entry.tail.contains('^') {
                skip = 0;
            }
            if let Some(letter) = entry.tail.split_once('!').and_then(|(_, l)| l.bytes().next()) {
                effect = Effect::from_letter(letter).unwrap_or(effect);
            }
        }
        for (i, operand) in parsed.operands.iter().enumerate().skip(skip) {
            if operand.text == "-" && operand.is_known() {
                continue;
            }
            let effect = if filter && i > 0 { Effect::Write } else { effect };
            self.touch_with(effect, operand, recursive);
        }
        if here && parsed.operands.is_empty() {
            self.touch_with(effect, &Arg::new("."), recursive);
        }
    }
}
