//! The words that prompts are read by, English and German.

use std::collections::{HashMap, HashSet};
use std::sync::OnceLock;

/// A set of words, written with bars between.
pub(super) struct List {
    words: &'static str,
    set: OnceLock<HashSet<&'static str>>,
}

impl List {
    const fn new(words: &'static str) -> List {
        List { words, set: OnceLock::new() }
    }

    /// Whether `word`, in small letters, is one of them.
    pub(super) fn has(&self, word: &str) -> bool {
        self.set.get_or_init(|| self.words.split('|').collect()).contains(word)
    }
}

/// The asks of a table by the words for them.
fn by_word(table: &'static [(Ask, &'static str)], map: &'static OnceLock<Asks>) -> &'static Asks {
    map.get_or_init(|| {
        table.iter().flat_map(|(ask, words)| words.split('|').map(move |w| (w, *ask))).collect()
    })
}

type Asks = HashMap<&'static str, Ask>;

/// What a verb of one to four words asks for.
pub(super) fn verb(words: &str) -> Option<Ask> {
    static MAP: OnceLock<Asks> = OnceLock::new();
    by_word(VERBS, &MAP).get(words).copied()
}

/// What a noun behind "no" excludes.
pub(super) fn doing(word: &str) -> Option<Ask> {
    static MAP: OnceLock<Asks> = OnceLock::new();
    by_word(DOINGS, &MAP).get(word).copied()
}

/// What a verb asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Ask {
    /// Look at something, and say something about it.
    Look,
    /// Change files.
    Change,
    /// Give files another name or place.
    Move,
    Delete,
    /// Throw away changes.
    Revert,
    Run,
    Test,
    Build,
    Lint,
    Commit,
    /// Branches, tags and merges of this repository.
    Branch,
    Merge,
    Rebase,
    Pull,
    Push,
    PullRequest,
    Deploy,
    Publish,
    Release,
    /// Carry something out of the machine: post, upload, mail.
    Send,
    /// Get something from the network.
    Fetch,
    Install,
    Uninstall,
    Configure,
    /// Start and stop services.
    Restart,
    Migrate,
    Backup,
    Delegate,
    /// Any change at all: "don't touch".
    Touch,
}

/// Verbs in the form in which they ask: imperative and infinitive, and the -ing form that goes
/// with "without" and "start by". Phrases of up to three words.
const VERBS: &[(Ask, &str)] = &[
    (
        Ask::Look,
        "explain|explaining|review|reviewing|summarise|summarize|summarizing|find|finding|look at|look into|look|looking|read|reading|\
         show|list|describe|tell|analyse|analyze|analysing|analyzing|investigate|investigating|check|checking|inspect|search|searching|grep|compare|understand|\
         count|audit|verify|see|examine|explore|identify|diagnose|figure out|determine|outline|propose|suggest|think|research|\
         study|trace|evaluate|assess|estimate|query|print|open|view|double check|double-check|walk|give|answer|report|recommend|\
         erkläre|erklär|erklären|prüfe|prüf|prüfen|überprüfe|überprüfen|lies|lesen|suche|suchen|such|finde|finden|zeige|zeig|zeigen|\
         beschreibe|beschreiben|analysiere|analysieren|fasse|zusammenfassen|untersuche|untersuchen|vergleiche|vergleichen|liste|auflisten|schau|schaue|anschauen|ansehen|sieh|sag|sage|sagen|verraten|erläutern|erläutere",
    ),
    (
        Ask::Change,
        "fix|fixing|include|including|refactor|refactoring|add|adding|implement|implementing|write|writing|create|creating|change|changing|edit|editing|update|updating|\
         modify|modifying|improve|replace|replacing|extract|simplify|optimise|optimize|convert|port|rewrite|rewriting|support|handle|make|\
         document|format|formatting|bump|adjust|adapt|tweak|correct|resolve|resolving|solve|debug|debugging|generate|generating|set up|setup|wire|split|\
         inline|introduce|extend|address|finish|complete|apply|use|using|switch|enable|disable|put|insert|append|wrap|expose|patch|\
         clean|clean up|cleanup|tidy|tidy up|repair|integrate|build out|scaffold|prototype|polish|rework|restructure|reorganise|reorganize|\
         unify|deduplicate|cache|log|parse|validate|translate|increase|decrease|reduce|allow|prevent|return|throw|raise|mock|cover|draft|\
         develop|work|working|get|combine|move over|turn|align|sort|centre|center|hide|display|save|store|set|fill|populate|annotate|type|\
         eliminate|speed up|hook up|connect|register|export|import|define|declare|mark|ignore|skip|pin|deprecate|modernise|modernize|migrate code|design|style|keep going on|\
         behebe|beheb|beheben|füge|füg|hinzufügen|einfügen|ergänze|ergänzen|implementiere|implementieren|schreibe|schreib|schreiben|ändere|änder|ändern|\
         erstelle|erstell|erstellen|baue|bau|einbauen|umbauen|ersetze|ersetzen|verbessere|verbessern|korrigiere|korrigieren|aktualisiere|aktualisieren|bearbeite|bearbeiten|\
         repariere|reparieren|löse|lösen|passe|anpassen|refaktoriere|refaktorieren|dokumentiere|dokumentieren|übersetze|übersetzen|vereinfache|vereinfachen|mach|mache|arbeite|arbeiten|erweitere|erweitern|lege|leg|anlegen|formatiere|formatieren|räume|aufräumen|fixe",
    ),
    (
        Ask::Move,
        "rename|renaming|move|moving|relocate|verschiebe|verschieb|verschieben|benenne|umbenennen|bewege",
    ),
    (
        Ask::Delete,
        "delete|deleting|remove|removing|drop|dropping|erase|purge|wipe|wiping|get rid of|prune|truncate|clear|clearing|clear out|destroy|rm|unlink|nuke|kill off|clean out|\
         lösche|lösch|löschen|entferne|entfern|entfernen|wirf|wegwerfen|leere|leeren",
    ),
    (
        Ask::Revert,
        "revert|reverting|undo|roll back|rollback|reset|discard|restore|back out|throw away|verwirf|verwerfen|zurücksetzen|rückgängig",
    ),
    (
        Ask::Run,
        "run|running|execute|executing|ssh|log into|log in|launch|call|invoke|benchmark|profile|rerun|re-run|try|try out|reproduce|start the app|\
         führe|ausführen|starte|starten|laufen lassen|probiere",
    ),
    (Ask::Test, "test|testing|retest|teste|testen"),
    (Ask::Build, "build|building|compile|compiling|rebuild|baue das projekt|kompiliere|kompilieren|bauen"),
    (Ask::Lint, "lint|linting|typecheck|type-check"),
    (Ask::Commit, "commit|committing|amend|squash|stage|committe|commite|committen|commiten|einchecken"),
    (
        Ask::Branch,
        "checkout|check out|branch off|branch|stash|tag|tagging|cherry-pick|cherry pick|bisect|auschecken",
    ),
    (Ask::Merge, "merge|merging|merge in|merge back|merge together|mergen|zusammenführen"),
    (Ask::Rebase, "rebase|rebasing|rebasen"),
    (Ask::Pull, "pull|pulling|pulle|pullen"),
    (Ask::Push, "push|pushing|force push|force-push|force pushing|force-pushing|pushe|pushen|hochpushen"),
    (
        Ask::PullRequest,
        "open a pr|open a pull request|create a pr|create a pull request|make a pr|make a pull request|raise a pr|raise a pull request|submit a pr|submit a pull request|\
         open pr|create pr|open the pr|create the pr|open a draft|open an mr|open a merge request|create a merge request|create an mr|submit pr|send a pr|put up a pr|file a pr|pr erstellen",
    ),
    (
        Ask::Deploy,
        "deploy|deploying|redeploy|roll out|rollout|ship|ship it|provision|deploye|deployen|ausrollen|rolle",
    ),
    (Ask::Publish, "publish|publishing|veröffentliche|veröffentlichen|publiziere|publizieren|publishen"),
    (Ask::Release, "release|releasing|cut a release|make a release|do a release|create a release"),
    (
        Ask::Send,
        "send|sending|post|posting|upload|uploading|email|e-mail|mail|submit|submitting|notify|share|sharing|comment on|reply|tweet|copy over|scp|\
         sende|senden|schicke|schick|schicken|lade hoch|hochladen|maile|verschicke|verschicken|poste",
    ),
    (
        Ask::Fetch,
        "download|downloading|fetch|fetching|curl|wget|scrape|crawl|clone|cloning|ping|lade|herunterladen|runterladen|hole|abrufen|klone|klonen",
    ),
    (
        Ask::Install,
        "install|installing|upgrade|upgrading|reinstall|installiere|installieren|installier|nachinstallieren",
    ),
    (Ask::Uninstall, "uninstall|uninstalling|deinstalliere|deinstallieren"),
    (Ask::Configure, "configure|configuring|chmod|chown|konfiguriere|konfigurieren|rotate|rotating|rotiere"),
    (
        Ask::Restart,
        "restart|restarting|reboot|start|starting|stop|stopping|reload|reloading|kill|shut down|shutdown|bring up|spin up|spin down|tear down|starte neu|neustarten|neu starten|stoppe|stoppen|beende|beenden|fahre",
    ),
    (Ask::Migrate, "migrate|migrating|migriere|migrieren"),
    (Ask::Backup, "backup|back up|dump|archive|sichere|sichern|archiviere"),
    (Ask::Delegate, "delegate|spawn|delegiere"),
    (
        Ask::Touch,
        "touch|touching|alter|altering|mess|mess with|anfassen|berühren|anrühren|fass|fasse an|rühr",
    ),
];

/// Nouns that stand for doing something, behind "no", "kein", "without": a negation only.
const DOINGS: &[(Ask, &str)] = &[
    (Ask::Push, "push|pushes|pushing|pushs"),
    (Ask::Commit, "commit|commits|committing"),
    (Ask::Deploy, "deploy|deploys|deployment|deployments|deploying|rollout"),
    (Ask::Publish, "publish|publishing|publication"),
    (Ask::Release, "release|releases"),
    (Ask::Merge, "merge|merges|merging"),
    (Ask::Rebase, "rebase|rebases|rebasing"),
    (Ask::Migrate, "migration|migrations|migrationen|migrating"),
    (Ask::Delete, "rm|deletion|deletions|deleting|deletes|löschung|löschungen"),
    (Ask::Touch, "changes|change|edits|edit|modifications|modification|änderungen|änderung|writes|editing"),
    (
        Ask::Install,
        "installs|install|installing|installation|dependencies|dependency|packages|package|deps|libraries|library|abhängigkeiten|pakete",
    ),
    (Ask::Fetch, "network|internet|downloads|download|netzwerk|netz|online|web"),
    (Ask::Send, "uploads|upload|emails|email|mails|uploading"),
    (Ask::Restart, "restarts|restart|restarting"),
    (Ask::PullRequest, "pr|prs"),
];

/// Words after which the verbs of a clause tell of something rather than ask for it.
pub(super) static SUBORDINATE: List = List::new(
    "how|why|whether|what|which|where|when|whenever|who|whose|because|since|if|that|while|until|unless|although|though|once|\
    as|so that|in case|before|before you|warum|wieso|weshalb|weil|dass|daß|ob|wenn|wie|wo|welche|welcher|welches|damit|falls|bis|bevor|sobald",
);

/// Words after which a verb asks for something, beside the beginning of a clause.
pub(super) static STARTERS: List = List::new(
    "please|pls|plz|just|now|then|also|first|firstly|next|finally|afterwards|lastly|again|simply|quickly|carefully|only|\
    you|let's|lets|git|go|and|or|instead|ahead|actually|immediately|directly|me|sie|du|bitte|jetzt|dann|noch|mal|auch|nur|danach|zuerst|anschließend|\
    ok|okay|yes|no|ja|nein|hey|hi|hello|claude|well|so|but|thanks|great|good|perfect|cool|nice|alright|right|sure|still|both|either|neither|even|ever|thoroughly|briefly|kindly|maybe|safely|properly|bitte|gern|kurz|alles|by|already|should|must|\
    correctly|cleanly|manually|locally|everything|nor|oder|und|aber|sondern|not",
);

/// Words before "to" that make what follows a request.
pub(super) static TO_HEADS: List = List::new(
    "ok|okay|fine|want|need|needs|have|has|like|love|try|trying|going|us|you|sure|ahead|time|got|ought|supposed|remember|forget|task|goal|job|is|proceed|start|begin|help|asked|prefer|ready|continue|feel|free|able|wish|required|plan|planning|attempt|used|allowed|todo",
);

/// What follows a word that is a noun here: "the build fails".
pub(super) static AFTER_NOUN: List = List::new(
    "fails|failed|failing|is|are|was|were|has|breaks|broke|does|doesn't|should|seems|looks|takes|hangs|crashes|runs|works|keeps|still|isn't|aren't|didn't|schlägt|ist|sind",
);

/// What makes one word with a noun before it: "commit message".
pub(super) static COMPOUND: List = List::new(
    "notes|message|messages|coverage|suite|suites|case|cases|notification|notifications|pipeline|step|system|error|errors|process|button|job|jobs|key|keys|log|logs|output|hash|history|candidate|time|data|result|results|conflict|conflicts|strategy|failure|failures|number|warnings|id|count|handler|endpoint",
);

/// Verbs that begin such words.
pub(super) static COMPOUNDING: List = List::new("test|build|release|deploy|commit|push|backup|merge|run");

/// Verbs that are as often nouns.
pub(super) static NOUNY: List = List::new(
    "test|build|release|deploy|commit|push|backup|merge|run|log|cache|type|review|report|check|search|fix|update|change|branch|tag|export|import|stage|archive|format|style|mail|email|post|install|release|start|set|return|cover|call|view|open|store|support|query|print",
);

/// Sentences that begin so ask a question, unless they are polite requests.
pub(super) static QUESTION: List = List::new(
    "how|why|what|which|where|when|who|whose|is|are|was|were|does|do|did|has|have|can|could|should|would|will|warum|wieso|weshalb|was|wie|wo|wer|welche|welcher|welches|wann|ist|sind|hat|haben|kann|können|soll|sollte|gibt|isn't|aren't|doesn't|won't|what's|where's|how's|any",
);

/// Words that say "go on", and nothing else; a prompt of these alone asks for nothing new.
pub(super) static GO_ON: List = List::new(
    "go|on|ahead|yes|yep|yeah|yup|y|ok|okay|k|continue|proceed|resume|thanks|thank|thx|ty|you|please|try|again|retry|good|great|perfect|nice|cool|fine|sure|right|correct|exactly|do|it|that|this|so|now|keep|going|weiter|mach|mache|ja|jo|gut|danke|super|prima|nochmal|noch|einmal|mal|bitte|genau|passt|los|fahre|fort|weitermachen|sounds|looks|lgtm|awesome|excellent|well|done|then|carry|alright|the|next|one|step|ok.|agreed|approved|got|i|see|hello|hi|hey|all|as|planned|with|plan|und|und dann|versuch|versuche|es|nein|no|nope|hmm|wow|amazing|love|your|work|just|really|very|much|so far|far|for|me|to|let's|lets|already|more|same|too|also|second|first|third|option|a|b|c|1|2|3|4|n",
);

/// The states in which something is reported to be wrong: a fix is what is asked for.
pub(super) static WRONG: List = List::new(
    "broken|fails|failing|failed|crashes|crashing|crashed|doesn't work|does not work|not working|throws|hangs|isn't working|wrong|incorrect|incorrectly|breaks|leaks|panics|errors out|stopped working|times out|kaputt|schlägt fehl|schlagen fehl|funktioniert nicht|geht nicht|stürzt ab|fehlerhaft",
);

/// Words before a path that only refer to it.
pub(super) static REFERENCE: List = List::new(
    "like|as in|described in|based on|following|follow|per|see|according to|similar to|from|against|compare|reference|example|documented in|defined in|specified in|outlined in|using|mirror|copy|wie|siehe|laut|gemäß|aus|analog|read|instructions in|spec in|plan in|with",
);

/// Words that are no name of anything.
pub(super) static PLAIN: List = List::new(
    "nicht|nichts|nie|niemals|the|a|an|this|that|these|those|it|its|them|all|any|every|everything|anything|our|my|your|their|his|her|some|each|other|others|another|new|old|unused|existing|current|whole|entire|same|only|latest|last|first|following|temporary|temp|stale|obsolete|failing|broken|\
    der|die|das|den|dem|des|ein|eine|einen|einem|alle|alles|diese|dieser|dieses|diesen|unser|unsere|mein|meine|neue|neuen|alte|alten|and|or|und|oder|to|from|in|into|on|of|for|with|at|by|as|via|through|auf|von|in|im|nach|zu|zum|zur|aus|mit|für|no|not|nothing|more|be|is|are|please|now|then|also|again|so|if|up|back|out|off|down|over|properly|correctly|me|us|you|i|we|mir|uns|version|versions|user|users'|which|who|after|before|when|there|here",
);

/// Endings that make a bare word a file.
pub(super) static EXTENSIONS: List = List::new(
    "rs|py|js|ts|tsx|jsx|mjs|cjs|go|java|kt|kts|c|h|cc|cpp|hpp|cxx|cs|rb|php|swift|scala|sh|bash|zsh|fish|ps1|sql|html|htm|css|scss|sass|less|vue|svelte|json|jsonc|yaml|yml|toml|ini|cfg|conf|config|env|md|mdx|rst|txt|csv|tsv|xml|lock|log|proto|graphql|tf|tfvars|hcl|ex|exs|erl|hs|ml|lua|r|jl|dart|zig|nim|pl|pm|ipynb|pdf|png|jpg|jpeg|svg|gif|ico|wasm|db|sqlite|sqlite3|bak|tmp|old|orig|patch|diff|gradle|properties|pem|key|crt|zip|tar|gz|tgz|cedar|snap|pyc|o|so|dll|exe|out|service|dockerfile|mk|cmake|bat|plist|xlsx|docx|parquet|jsonl|ndjson|map|d|feature|tpl|tmpl|j2|erb|ejs|hbs|gz|dump|bin|lst|rtf|adoc",
);

/// Endings of names of hosts.
pub(super) static TOP_LEVEL: List = List::new(
    "com|org|net|io|dev|de|eu|uk|ai|app|co|edu|gov|info|ch|at|fr|nl|us|cloud|internal|local|localhost|xyz|me|tech|corp|lan|test|example|invalid|site|online|run|rs.org|gg|so|page|biz|int",
);

/// Folders that are called by their bare name: "in src".
pub(super) static FOLDERS: List = List::new(
    "src|lib|docs|tests|test|infra|packages|scripts|vendor|config|bin|examples|internal|cmd|pkg|public|assets|build|dist|target|migrations|frontend|backend|tools|crates|app|apps|services|components|node_modules|terraform|k8s|charts|deploy|spec|fixtures",
);

/// Files that are known by name.
pub(super) static FILES: List = List::new(
    "makefile|dockerfile|justfile|rakefile|gemfile|procfile|vagrantfile|jenkinsfile|license|codeowners|containerfile|readme|changelog|authors|contributing|brewfile|taskfile",
);

/// Tools of development: running them goes with changing code.
pub(super) static TOOLS: List = List::new(
    "cargo|rustc|rustfmt|rustup|clippy-driver|npm|pnpm|yarn|bun|npx|bunx|node|nodejs|deno|tsx|ts-node|tsc|go|gofmt|goimports|golangci-lint|python|python2|python3|pip|pip3|uv|poetry|pdm|hatch|rye|pytest|py.test|tox|nox|jest|vitest|mocha|playwright|cypress|phpunit|php|composer|rspec|ruby|bundle|bundler|rake|gem|rails|mix|elixir|make|gmake|ninja|just|task|cmake|ctest|gradle|gradlew|mvn|mvnw|ant|sbt|lein|bazel|buck2|meson|scons|dotnet|swift|xcodebuild|stack|cabal|ghc|gcc|g++|cc|c++|clang|clang++|ld|ar|java|javac|kotlinc|scala|prettier|eslint|black|ruff|isort|autopep8|yapf|clang-format|shfmt|shellcheck|hadolint|biome|stylua|standard|mypy|pyright|flake8|pylint|webpack|vite|rollup|esbuild|swc|babel|turbo|nx|lerna|next|nuxt|astro|ng|vue-cli-service|storybook|sass|tailwindcss|postcss|protoc|buf|sqlc|prisma|typeorm|alembic|diesel|sqlx|django-admin|flask|uvicorn|gunicorn|celery|nvm|pyenv|rbenv|asdf|volta|mise|pre-commit|husky|lint-staged|commitlint|changeset|nyc|c8|coverage|cargo-nextest|wasm-pack|trunk|mdbook|sphinx-build|mkdocs|hugo|jekyll|zig|nim|julia|rscript|lua|perl|bats|knip|depcheck|ansible-lint|terraform-docs|tflint|yamllint|markdownlint|codespell|typos|sed|awk|gawk|patch|tar|unzip|zip|openssl|sqlite3|git|sh|bash|zsh|timeout|time",
);

/// Programs that only look, or do nothing.
pub(super) static LOOKERS: List = List::new(
    "ps|date|uname|pwd|echo|true|false|which|type|whereis|wc|head|tail|sort|uniq|cut|tr|grep|egrep|rg|ag|ls|tree|cat|less|more|column|jq|yq|whoami|hostname|id|df|du|free|lsof|uptime|test|[|sleep|printf|seq|nproc|arch|file|stat|basename|dirname|realpath|diff|cmp|md5sum|sha256sum|sha1sum|locale|tput|clear|history|man|help|env|printenv|top|pgrep|netstat|ss|dig|nslookup|expr|bc|xxd|od|strings|nl|tac|rev|paste|join|comm|fold|fmt|cal|cd|set|export|:|exit|wait|command|awk|less|bat|fd|find|journalctl|dmesg|tee|xargs|lscpu|lsblk|getconf|pstree|background",
);
