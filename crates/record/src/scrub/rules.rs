//! The rules, from the specific to the general: of two that match the same bytes the earlier
//! one names the secret.
//!
//! A rule is a literal that has to be there and a shape that is then looked for at that place,
//! so a new rule costs nothing where its literal does not occur. Each follows what the issuer
//! documents of its format, lengths taken with some room, since issuers lengthen them.
//! To add one: a line here, a positive and a near miss in `tests.rs` (a test insists on it).

use std::ops::Range;

use super::assignment::{is_placeholder, looks_random};

/// One kind of secret.
pub(super) struct Rule {
    /// Lower-case letters, digits and dashes; part of every replacement.
    pub name: &'static str,
    /// One of them has to be there, in any case.
    pub literals: &'static [&'static str],
    /// How many bytes before the literal the shape starts; tried in turn.
    pub back: &'static [usize],
    /// What a match looks like.
    pub shape: Shape,
    /// Whether a match may be longer than `SHORT_WINDOW`. Only of whole words, lest a run of
    /// dashes and prefixes be read again from each of them.
    pub is_long: bool,
    /// Whether a token may not start after a dash or an underscore.
    pub is_whole: bool,
    /// The last word, with the payload and the match.
    pub check: fn(&[u8], &Range<usize>) -> bool,
}

/// What a match looks like. Regular expressions are anchored at the literal and work on
/// bytes; their first group, if there is one, is the secret, else all of the match.
pub(super) enum Shape {
    /// A word that is known by its own form.
    Token(&'static str),
    /// Something known by what is around it.
    Context(&'static str),
    /// A value of one form after a name, in any case, with any of the usual separators.
    Named { names: &'static str, value: &'static str },
    /// Any value after a name that has the literal in it.
    Assignment(Family),
    /// Lines of base64 after a header; with the header and the end line or without.
    Block { begin: &'static str, to_end_line: bool },
}

/// What a value has to be like.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Family {
    /// Chosen by a person.
    Password,
    /// Generated.
    Token,
}

/// Between a name and its value for `Shape::Named`.
pub(super) const SEPARATOR: &str = r#"(?:\\*["'`])?\]?(?:[ \t]|\\+[nrt]|\r?\n){0,8}(?:=>|:=|=|:|%3[dD]|\\+u003[dD]|,(?:[ \t]|\\+[nrt]|\r?\n){0,8}(?:\\*["'`])?[vV]alue(?:\\*["'`])?[ \t]{0,4}:|,|[ ]|[\n\r \t]{0,8}value:)(?:[ \t]|\\+[nrt]|\r?\n){0,8}(?:\\*["'`])?"#;

const fn rule(name: &'static str, literals: &'static [&'static str], shape: Shape) -> Rule {
    Rule { name, literals, back: &[0], shape, is_long: false, is_whole: false, check: always }
}

const fn token(name: &'static str, literals: &'static [&'static str], shape: &'static str) -> Rule {
    rule(name, literals, Shape::Token(shape))
}

const fn context(name: &'static str, literals: &'static [&'static str], shape: &'static str) -> Rule {
    rule(name, literals, Shape::Context(shape)).check(not_placeholder)
}

const fn named(
    name: &'static str,
    literals: &'static [&'static str],
    names: &'static str,
    value: &'static str,
) -> Rule {
    rule(name, literals, Shape::Named { names, value }).check(varied)
}

const fn password(name: &'static str, literals: &'static [&'static str]) -> Rule {
    rule(name, literals, Shape::Assignment(Family::Password))
}

const fn random(name: &'static str, literals: &'static [&'static str]) -> Rule {
    rule(name, literals, Shape::Assignment(Family::Token))
}

const fn block(name: &'static str, begin: &'static str) -> Rule {
    rule(name, &["-----BEGIN ", "---- BEGIN "], Shape::Block { begin, to_end_line: true })
}

impl Rule {
    const fn back(mut self, back: &'static [usize]) -> Rule {
        self.back = back;
        self
    }

    const fn long(mut self) -> Rule {
        self.is_long = true;
        self.whole()
    }

    const fn whole(mut self) -> Rule {
        self.is_whole = true;
        self
    }

    const fn check(mut self, check: fn(&[u8], &Range<usize>) -> bool) -> Rule {
        self.check = check;
        self
    }
}

/// All rules.
#[rustfmt::skip]
pub(super) static RULES: &[Rule] = &[
    // Keys as text.
    block("openssh-private-key", r"-----BEGIN OPENSSH PRIVATE KEY-----"),
    block("pgp-private-key", r"-----BEGIN PGP PRIVATE KEY BLOCK-----"),
    block("private-key", r"-----? ?BEGIN (?:[A-Z0-9]+ ){0,4}PRIVATE KEY ?-----?"),
    rule("putty-private-key", &["Private-Lines: "], Shape::Block { begin: r"Private-Lines: \d{1,4}", to_end_line: false }),
    token("encoded-private-key", &["LS0tLS1CRUdJTi"], r"LS0tLS1CRUdJTi[A-Za-z0-9+/=]{24,}").long().check(encodes_private_key),
    token("age-secret-key", &["AGE-SECRET-KEY-"], r"AGE-SECRET-KEY-(?:PQ-)?1[A-Z0-9]{58,}"),

    // Clouds.
    token("aws-access-key-id", &["AKIA", "ASIA", "ABIA", "ACCA"], r"(?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{16}"),
    named("aws-secret-access-key", &["secret_access_key", "secretaccesskey", "aws_secret", "secret access key", "secret-access-key"],
        r"(?:secret[_ -]?access[_ -]?key|aws_secret(?:_key)?)", r"[A-Za-z0-9/+]{40}"),
    named("aws-session-token", &["session_token", "sessiontoken", "session-token", "security_token", "security-token"],
        r"(?:session|security)[_-]?token", r"[A-Za-z0-9/+=]{100,}").long(),
    token("aws-bedrock-api-key", &["ABSK", "bedrock-api-key-"], r"(?:ABSK[A-Za-z0-9+/]{109,269}={0,2}|bedrock-api-key-[A-Za-z0-9+/=]{40,})"),
    token("aws-mws-token", &["amzn.mws."], r"amzn\.mws\.[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"),
    token("gcp-api-key", &["AIza"], r"AIza[A-Za-z0-9_-]{35}"),
    token("google-oauth-client-secret", &["GOCSPX-"], r"GOCSPX-[A-Za-z0-9_-]{24,40}"),
    token("google-oauth-access-token", &["ya29."], r"ya29\.[A-Za-z0-9_-]{20,}"),
    token("google-oauth-refresh-token", &["1//0"], r"1//0[A-Za-z0-9_-]{38,}"),
    context("azure-storage-key", &["AccountKey="], r"(?i-u:AccountKey)=([A-Za-z0-9+/]{80,}={0,2})"),
    context("azure-shared-access-key", &["SharedAccessKey=", "SharedSecretKey="], r"(?i-u:Shared(?:Access|Secret)Key)=([A-Za-z0-9+/]{40,}={0,2})"),
    context("azure-sas-signature", &["sig="], r"(?i-u:sig)=([A-Za-z0-9+/%]{40,}(?:%3[dD]|=))"),
    token("azure-client-secret", &["Q~"], r"[A-Za-z0-9_~.-]{3}[0-9]Q~[A-Za-z0-9_~.-]{31,34}").back(&[4]),
    token("azure-service-key", &["JQQJ9"], r"[A-Za-z0-9]{52}JQQJ9[9DH][A-Za-z0-9]{20,28}={0,2}").back(&[52]),
    token("azure-devops-token", &["AZDO"], r"[A-Za-z0-9]{76}AZDO[A-Za-z0-9]{4}").back(&[76]),
    token("alibaba-access-key", &["LTAI"], r"LTAI[A-Za-z0-9]{12,26}").check(has_digit_and_both_cases),
    token("digitalocean-token", &["dop_v1_", "doo_v1_", "dor_v1_"], r"do[opr]_v1_[0-9a-f]{64}"),
    token("heroku-api-key", &["HRKU-"], r"HRKU-[A-Za-z0-9_-]{36,80}"),
    named("heroku-key", &["heroku"], r"heroku[\w.-]{0,24}(?:key|token)", r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"),
    token("fly-token", &["fm1r_", "fm2_", "fo1_"], r"(?:fm1r_|fm2_|fo1_)[A-Za-z0-9+/=_-]{40,}").long(),
    token("vercel-token", &["vcp_", "vci_", "vca_", "vcr_", "vck_"], r"vc[piark]_[A-Za-z0-9_-]{24,80}"),
    token("vercel-blob-token", &["vercel_blob_rw_"], r"vercel_blob_rw_[A-Za-z0-9_]{24,}"),
    named("vercel-key", &["vercel"], r"vercel[\w.-]{0,24}(?:key|token)", r"[A-Za-z0-9]{24}"),
    token("netlify-token", &["nfp_", "nfc_", "nfo_"], r"nf[pco]_[A-Za-z0-9]{36,64}"),
    token("render-api-key", &["rnd_"], r"rnd_[A-Za-z0-9]{28,40}"),
    token("cloudflare-token", &["cfk_", "cfut_", "cfat_"], r"cf(?:k|ut|at)_[A-Za-z0-9_-]{40,80}"),
    token("cloudflare-origin-ca-key", &["v1.0-"], r"v1\.0-[0-9a-f]{24}-[0-9a-f]{100,160}"),
    named("cloudflare-key", &["cloudflare", "cf_api", "x-auth-key"], r"(?:cloudflare[\w.-]{0,24}(?:key|token)|cf_api_(?:key|token)|x-auth-key)", r"(?:[0-9a-f]{37}|[A-Za-z0-9_-]{40})"),
    named("fastly-token", &["fastly"], r"fastly[\w.-]{0,24}(?:key|token)", r"[A-Za-z0-9_-]{32}"),
    token("tailscale-key", &["tskey-"], r"tskey-[a-z]{2,12}-[A-Za-z0-9_-]{16,80}"),
    token("planetscale-token", &["pscale_tkn_", "pscale_pw_", "pscale_oauth_"], r"pscale_(?:tkn|pw|oauth)_[A-Za-z0-9_.-]{32,64}"),
    token("supabase-token", &["sbp_", "sb_secret_"], r"(?:sbp_(?:oauth_|v0_)?[0-9a-f]{40}|sb_secret_[A-Za-z0-9_-]{22,64})"),
    token("databricks-token", &["dapi", "dose"], r"(?:dapi|dose)[0-9a-f]{32}(?:-\d)?"),
    token("openshift-token", &["sha256~"], r"sha256~[A-Za-z0-9_-]{43}"),
    context("kubeconfig-client-key", &["client-key-data"], r#"client-key-data(?:\\*["'])?:[ ]{0,4}(?:\\*["'])?([A-Za-z0-9+/=]{24,})"#).long(),
    context("kubeadm-token", &["kubeadm"], r#"kubeadm join [^\n"\\]{0,120}--token[ =]([a-z0-9]{6}\.[a-z0-9]{16})"#),

    // Code hosting, packages, builds.
    token("github-pat", &["ghp_"], r"ghp_[A-Za-z0-9]{36,255}"),
    token("github-fine-grained-pat", &["github_pat_"], r"github_pat_[A-Za-z0-9_]{36,255}"),
    token("github-oauth-token", &["gho_"], r"gho_[A-Za-z0-9]{36,255}"),
    token("github-user-token", &["ghu_"], r"ghu_[A-Za-z0-9]{36,255}"),
    token("github-app-token", &["ghs_"], r"ghs_[A-Za-z0-9_.-]{35,}[A-Za-z0-9]").long(),
    token("github-refresh-token", &["ghr_"], r"ghr_[A-Za-z0-9]{36,255}"),
    token("gitlab-pat", &["glpat-"], r"glpat-[A-Za-z0-9_-]{20,}(?:\.[0-9a-z]{2}\.[0-9a-z]{8,9})?"),
    token("gitlab-runner-token", &["glrt-", "glrtr-", "GR1348941"], r"(?:glrtr?-(?:t\d_)?[A-Za-z0-9_.-]{20,}|GR1348941[A-Za-z0-9_-]{20})"),
    token("gitlab-token", &["gldt-", "glptt-", "glcbt-", "glft-", "glimt-", "glagent-", "gloas-", "glsoat-", "glffct-"],
        r"gl(?:dt|ptt|cbt|ft|imt|agent|oas|soat|ffct)-[A-Za-z0-9_.-]{20,}"),
    token("bitbucket-app-password", &["ATBB"], r"ATBB[A-Za-z0-9]{32}"),
    token("atlassian-token", &["ATATT3", "ATCTT3"], r"AT[AC]TT3[A-Za-z0-9_=-]{50,400}"),
    token("npm-token", &["npm_"], r"npm_[A-Za-z0-9]{36}"),
    context("npmrc-auth", &["_authToken", "_auth=", "_auth ="], r#"_auth(?:Token)?[ ]?=[ ]?([A-Za-z0-9+/=_.-]{8,})"#).check(in_npmrc),
    token("pypi-token", &["pypi-"], r"pypi-[A-Za-z0-9_-]{50,}"),
    token("rubygems-key", &["rubygems_"], r"rubygems_[0-9a-f]{48}"),
    token("crates-token", &["cio"], r"cio[A-Za-z0-9]{32}").check(has_digit_and_both_cases),
    token("nuget-key", &["oy2"], r"oy2[a-z0-9]{43}"),
    token("clojars-token", &["CLOJARS_"], r"CLOJARS_[0-9a-f]{60}"),
    token("docker-token", &["dckr_pat_", "dckr_oat_"], r"dckr_[po]at_[A-Za-z0-9_-]{27,}"),
    context("docker-config-auth", &[r#"auth""#, r"auth\"], r#"auth\\*"[ ]{0,4}:[ ]{0,4}\\*"([A-Za-z0-9+/]{8,}={0,2})\\*""#).check(encodes_user_and_password),
    token("jfrog-key", &["AKCp"], r"AKCp[A-Za-z0-9]{69}"),
    token("buildkite-token", &["bkua_", "bkct_"], r"bk(?:ua|ct)_[0-9a-zA-Z]{40,}"),
    token("circleci-token", &["CCIPAT_", "CCIPRJ_"], r"CCIP(?:AT|RJ)_[A-Za-z0-9]{22}_[0-9a-f]{40}"),
    token("sonarqube-token", &["sqp_", "squ_", "sqa_"], r"sq[pua]_[0-9a-f]{40}"),
    token("sourcegraph-token", &["sgp_"], r"sgp_(?:[0-9A-Za-z]{16}_|local_)?[0-9a-f]{40}"),
    token("terraform-token", &[".atlasv1."], r"[A-Za-z0-9]{14}\.atlasv1\.[A-Za-z0-9_=-]{60,80}").back(&[14]),
    token("pulumi-token", &["pul-"], r"pul-[0-9a-f]{40}"),
    token("vault-token", &["hvs.", "hvb.", "hvr."], r"hv[sbr]\.[A-Za-z0-9_-]{24,300}"),
    token("doppler-token", &["dp.pt.", "dp.st.", "dp.ct.", "dp.sa.", "dp.scim.", "dp.audit."], r"dp\.(?:pt|st|ct|sa|scim|audit)\.(?:[a-z0-9_-]{2,40}\.)?[A-Za-z0-9]{40,44}"),
    token("infisical-token", &["st."], r"st\.[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\.[0-9a-f]{32}\.[0-9a-f]{32}"),
    token("onepassword-service-token", &["ops_eyJ"], r"ops_eyJ[A-Za-z0-9+/=_-]{60,}").long(),
    token("onepassword-secret-key", &["A3-"], r"A3-[A-Z0-9]{6}-(?:[A-Z0-9]{11}|[A-Z0-9]{6}-[A-Z0-9]{5})(?:-[A-Z0-9]{5}){3}"),

    // Models.
    token("anthropic-key", &["sk-ant-"], r"sk-ant-[a-z]{3,10}[0-9]{0,2}-[A-Za-z0-9_-]{20,300}"),
    token("openai-key", &["sk-proj-", "sk-svcacct-", "sk-admin-", "sk-None-"], r"sk-(?:proj|svcacct|admin|None)-[A-Za-z0-9_-]{20,300}"),
    token("openrouter-key", &["sk-or-"], r"sk-or-v\d-[0-9a-f]{64}"),
    token("langfuse-key", &["sk-lf-"], r"sk-lf-[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"),
    token("sk-key", &["sk-"], r"sk-[A-Za-z0-9]{20,100}").check(has_digit_and_letter),
    token("huggingface-token", &["hf_", "api_org_"], r"(?:hf|api_org)_[A-Za-z]{34,40}"),
    token("groq-key", &["gsk_"], r"gsk_[A-Za-z0-9]{40,60}"),
    token("xai-key", &["xai-"], r"xai-[A-Za-z0-9]{70,90}"),
    token("perplexity-key", &["pplx-"], r"pplx-[A-Za-z0-9]{40,60}"),
    token("replicate-token", &["r8_"], r"r8_[A-Za-z0-9]{37,40}"),
    token("nvidia-key", &["nvapi-"], r"nvapi-[A-Za-z0-9_-]{60,80}"),
    token("langsmith-key", &["lsv2_pt_", "lsv2_sk_"], r"lsv2_(?:pt|sk)_[0-9a-f]{32}_[0-9a-f]{8,12}"),
    token("tavily-key", &["tvly-"], r"tvly-(?:dev-|prod-)?[A-Za-z0-9]{20,64}"),
    token("pinecone-key", &["pcsk_"], r"pcsk_[A-Za-z0-9_]{40,90}"),
    token("together-key", &["tgp_v1_"], r"tgp_v1_[A-Za-z0-9_-]{40,60}"),

    // Chat, mail, telephone.
    token("slack-token", &["xoxb-", "xoxp-", "xoxa-", "xoxr-", "xoxs-", "xoxo-", "xoxc-", "xoxd-", "xapp-", "xoxe"],
        r"(?:xox[abprsocd]-(?:\d-)?[A-Za-z0-9%/+-]{10,250}|xapp-\d-[A-Za-z0-9-]{20,160}|xoxe(?:\.xox[bp])?-\d-[A-Za-z0-9-]{40,250})").check(has_digit_and_letter),
    context("slack-webhook", &["hooks.slack.com/"], r"hooks\.slack\.com/(?:services|workflows|triggers)/([A-Za-z0-9/+_-]{30,})"),
    context("discord-webhook", &["/api/webhooks/"], r"/api/webhooks/\d{16,20}/([A-Za-z0-9_-]{60,80})"),
    token("discord-bot-token", &["MT", "Mj", "Mz", "ND", "NT", "Nj", "Nz", "OD", "OT"], r"[MNO][A-Za-z0-9]{22,26}\.[A-Za-z0-9_-]{6}\.[A-Za-z0-9_-]{27,40}"),
    context("teams-webhook", &[".webhook.office.com/"], r"\.webhook\.office\.com/webhookb2/([0-9a-f-]{36}@[0-9a-f-]{36}/IncomingWebhook/[0-9a-f]{32}/[0-9a-f-]{36})"),
    token("telegram-bot-token", &[":AA"], r"\d{8,10}:AA[A-Za-z0-9_-]{32,36}").back(&[10, 9, 8]),
    context("telegram-bot-url", &["/bot"], r"/bot(\d{8,10}:AA[A-Za-z0-9_-]{32,36})"),
    token("twilio-api-key", &["SK"], r"SK[0-9a-f]{32}"),
    named("twilio-auth-token", &["twilio"], r"twilio[\w.-]{0,24}(?:token|secret|auth)", r"[A-Za-z0-9]{32}"),
    token("sendgrid-key", &["SG."], r"SG\.[A-Za-z0-9_-]{16,32}\.[A-Za-z0-9_-]{32,64}"),
    token("mailgun-key", &["key-"], r"key-[0-9a-f]{32}").whole(),
    named("mailgun-api-key", &["mailgun"], r"mailgun[\w.-]{0,24}key", r"[0-9a-f]{32}-[0-9a-f]{8}-[0-9a-f]{8}"),
    token("mailchimp-key", &["-us"], r"[0-9a-f]{32}-us\d{1,2}").back(&[32]),
    token("brevo-key", &["xkeysib-", "xsmtpsib-"], r"x(?:key|smtp)sib-[0-9a-f]{64}-[A-Za-z0-9]{16}"),
    token("resend-key", &["re_"], r"re_[A-Za-z0-9]{8}_[A-Za-z0-9]{24}"),

    // Money and shops.
    token("stripe-key", &["sk_live_", "sk_test_", "rk_live_", "rk_test_"], r"[rs]k_(?:live|test)_[A-Za-z0-9]{16,250}"),
    token("stripe-webhook-secret", &["whsec_"], r"whsec_[A-Za-z0-9+/=]{32,}"),
    token("shopify-token", &["shpat_", "shpca_", "shppa_", "shpss_", "shpua_"], r"shp(?:at|ca|pa|ss|ua)_[0-9a-fA-F]{32}"),
    token("square-token", &["sq0atp-", "sq0csp-", "EAAA"], r"(?:sq0atp-[A-Za-z0-9_-]{22}|sq0csp-[A-Za-z0-9_-]{43}|EAAA[A-Za-z0-9_-]{60})"),
    context("braintree-token", &["access_token$"], r"(access_token\$(?:production|sandbox)\$[a-z0-9]{16}\$[0-9a-f]{32})"),
    token("facebook-token", &["EAA"], r"EAA[A-Za-z0-9]{100,400}").check(has_digit_and_both_cases),

    // Watching, and other services.
    named("datadog-key", &["datadog", "dd_api", "dd_app", "dd-api", "dd-application"], r"(?:datadog[\w.-]{0,24}key|dd[_-]ap(?:i|p|plication)[_-]key)", r"(?:[0-9a-f]{40}|[0-9a-f]{32})"),
    token("newrelic-key", &["NRAK-", "NRII-", "NRJS-"], r"NR(?:AK-[A-Z0-9]{27}|II-[A-Za-z0-9_-]{32}|JS-[0-9a-f]{19})"),
    token("newrelic-license-key", &["NRAL"], r"[0-9a-fA-Z]{36}NRAL").back(&[36]),
    token("sentry-token", &["sntrys_", "sntryu_"], r"sntry(?:s_[A-Za-z0-9+/=_]{60,}|u_[0-9a-f]{64})").long(),
    token("grafana-token", &["glc_", "glsa_"], r"(?:glc_[A-Za-z0-9+/]{32,400}={0,3}|glsa_[A-Za-z0-9]{32}_[0-9a-fA-F]{8})"),
    token("dynatrace-token", &["dt0"], r"dt0[a-z]\d\d\.[A-Z0-9]{24}\.[A-Z0-9]{64}"),
    token("linear-key", &["lin_api_", "lin_oauth_"], r"lin_(?:api|oauth)_[A-Za-z0-9]{32,64}"),
    token("notion-token", &["ntn_", "secret_"], r"(?:ntn_[A-Za-z0-9]{40,50}|secret_[A-Za-z0-9]{43})"),
    token("airtable-token", &["pat"], r"pat[A-Za-z0-9]{14}\.[0-9a-f]{64}"),
    token("figma-token", &["figd_", "figdr_"], r"figdr?_[A-Za-z0-9_-]{36,64}"),
    token("postman-key", &["PMAK-"], r"PMAK-[0-9a-f]{24}-[0-9a-f]{34}"),
    token("okta-token", &["SSWS "], r"SSWS (00[A-Za-z0-9_-]{40})"),
    token("mapbox-token", &["sk.eyJ"], r"sk\.eyJ[A-Za-z0-9_-]{40,}\.[A-Za-z0-9_-]{20,}"),
    token("typeform-token", &["tfp_"], r"tfp_[A-Za-z0-9_.-]{59,80}"),
    token("prefect-key", &["pnu_", "pnb_"], r"pn[ub]_[A-Za-z0-9]{36}"),
    token("octopus-key", &["API-"], r"API-[A-Z0-9]{26,32}").check(has_digit_and_letter),
    token("contentful-token", &["CFPAT-"], r"CFPAT-[A-Za-z0-9_-]{43}"),
    token("hubspot-token", &["pat-na1-", "pat-eu1-"], r"pat-(?:na|eu)1-[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"),

    // Any issuer's.
    token("jwt", &["eyJ"], r"eyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*").long(),
    token("jwe", &["eyJ"], r"eyJ[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]*\.[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{16,}").long(),

    // Known by what is around it.
    context("url-password", &["://"], r#"://[^\s/?#"'\\<>@:`]{0,128}:([^\s/?#"'\\<>@`]{2,256})@[A-Za-z0-9\[$._%]"#),
    context("url-token", &["://"], r"://([A-Za-z0-9_-]{32,255})@[A-Za-z0-9]").check(is_random),
    context("bearer", &["bearer"], r"(?i-u:bearer)(?:[ ]|%20|\+){1,4}([A-Za-z0-9._~+/=-]{12,4096})").check(is_random).long(),
    context("basic-auth", &["basic "], r"(?i-u:basic) {1,4}([A-Za-z0-9+/]{6,}={0,2})").check(encodes_user_and_password),
    context("auth-scheme-token", &["authorization"], r#"(?i-u:authorization)(?:\\*["'])?[ ]{0,4}[:=][ ]{0,4}(?:\\*["'])?(?i-u:token|bot|apikey|api-key|key|splunk|genie-?key|sso-key|aws4-hmac-sha256|digest|negotiate)[ ]{1,4}(?:token=)?(?:\\*["'])?([A-Za-z0-9._~+/=:-]{12,2048})"#).check(is_random).long(),
    context("session-cookie", &["sessionid=", "session=", "jsessionid=", "phpsessid=", "connect.sid=", "sid=", "auth_session=", "remember_token="],
        r"(?i-u:(?:j|php)?sess(?:ion)?(?:id)?|connect\.sid|sid|auth_session|remember_token)=([A-Za-z0-9%._+/:-]{20,1024})").check(is_random).long(),
    context("netrc-password", &["machine "], r"machine[ \t]{1,4}\S{1,128}(?:\s|\\+[nrt]){1,8}login[ \t]{1,4}\S{1,128}?(?:\s|\\+[nrt]){1,8}password[ \t]{1,4}([^\s\x22\\]{2,256})"),
    context("pgpass-password", &[":5432:", ":5433:", ":6432:"], r#":\d{4}:[^:\s"\\]{1,64}:[^:\s"\\]{1,64}:([^:\s"\\]{3,256})"#),
    token("password-hash", &["$apr1$", "$2a$", "$2b$", "$2y$", "$1$", "$5$", "$6$", "$y$", "$argon2"],
        r"\$(?:apr1\$[./A-Za-z0-9]{1,8}\$[./A-Za-z0-9]{22}|2[aby]\$\d\d\$[./A-Za-z0-9]{53}|1\$[./A-Za-z0-9]{1,8}\$[./A-Za-z0-9]{22}|[56]\$(?:rounds=\d{1,9}\$)?[./A-Za-z0-9]{1,16}\$[./A-Za-z0-9]{43,86}|y\$[./A-Za-z0-9]{1,8}\$[./A-Za-z0-9]{1,86}\$[./A-Za-z0-9]{43}|argon2(?:id|i|d)\$v=\d{1,3}\$m=\d{1,9},t=\d{1,6},p=\d{1,4}\$[A-Za-z0-9+/]{8,}\$[A-Za-z0-9+/]{20,})"),
    context("curl-user-password", &["-u", "--user"], r#"(?:-u|--user)[ =]{0,2}(?:\\*["'])?[^\s:"'\\]{1,64}:([^\s"'\\]{2,256})"#).check(after_http_client),
    context("mysql-password", &["mysql", "mariadb"], r#"(?:mysql|mariadb)(?:dump|admin|import|-dump|-admin)?(?:[ ][^ \n|;&"\\]{1,80}){0,8}?[ ]-p([^\s"'\\-][^\s"'\\;|&]{2,128})"#),
    context("sshpass-password", &["sshpass"], r#"sshpass[ ]{1,4}-p[ ]{0,4}(?:\\*["'])?([^\s"'\\]{2,256})"#),
    context("login-password", &["docker login", "podman login", "helm registry login", "az login", "oc login", "vault login"],
        r#"[a-z]+(?: registry)? login [^\n|;&\\]{0,200}?-p[ =](?:\\*["'])?([^\s"'\\-][^\s"'\\]{2,256})"#),
    context("redis-password", &["redis-cli"], r#"redis-cli [^\n|;&"\\]{0,160}?-a[ ](?:\\*["'])?([^\s"'\\]{2,256})"#),
    context("openssl-password", &["pass:"], r#"pass:([^\s"'\\:;,)]{3,256})"#).check(after_pass_option),
    context("htpasswd-password", &["htpasswd -"], r#"htpasswd -[A-Za-z]{0,6}b[A-Za-z]{0,6}[ ][^\s"'\\]{1,256}[ ][^\s"'\\]{1,128}[ ](?:\\*["'])?([^\s"'\\]{2,256})"#),
    context("smb-password", &["smbclient", "rpcclient", "smbmap"], r#"(?:smbclient|rpcclient|smbmap)[ ][^\n|;&"\\]{0,200}?-U[ ]?(?:\\*["'])?[^\s"'\\%]{1,64}%([^\s"'\\]{3,128})"#),

    // Known only by the name beside it.
    password("password", &["password", "passwd", "pwd", "_pass", "-pass", "smtppass", "dbpass"]),
    password("passphrase", &["passphrase", "pass_phrase", "pass-phrase"]),
    random("api-key", &["api_key", "api-key", "apikey", "apitoken", "license_key"]),
    random("access-key", &["access_key", "access-key", "accesskey", "master_key", "masterkey", "auth_key", "authkey", "session_key", "service_key", "service-key", "deploy_key"]),
    random("signing-key", &["signing_key", "signingkey", "encryption_key", "encryptionkey", "encrypt_key", "private_key", "privatekey", "private-token", "hmac_key"]),
    random("credential", &["credential", "credentials", "authorization", "x-auth"]),
    random("client-secret", &["client_secret", "client-secret", "clientsecret", "app_secret", "appsecret", "webhook_secret", "secret_key", "secret-key", "secretkey"]),
    random("secret", &["secret"]),
    random("token", &["token", "_jwt", "_pat"]),
];

fn always(_: &[u8], _: &Range<usize>) -> bool {
    true
}

fn not_placeholder(input: &[u8], span: &Range<usize>) -> bool {
    !is_placeholder(&input[span.clone()])
}

fn is_random(input: &[u8], span: &Range<usize>) -> bool {
    !is_placeholder(&input[span.clone()]) && looks_random(&input[span.clone()])
}

/// Not a row of the same few characters.
fn varied(input: &[u8], span: &Range<usize>) -> bool {
    has_digit_and_letter(input, span) && !is_placeholder(&input[span.clone()])
}

fn has_digit_and_letter(input: &[u8], span: &Range<usize>) -> bool {
    let token = &input[span.clone()];
    token.iter().any(u8::is_ascii_digit) && token.iter().any(u8::is_ascii_alphabetic)
}

fn has_digit_and_both_cases(input: &[u8], span: &Range<usize>) -> bool {
    let token = &input[span.start + 4..span.end];
    token.iter().any(u8::is_ascii_digit)
        && token.iter().any(u8::is_ascii_uppercase)
        && token.iter().any(u8::is_ascii_lowercase)
}

/// `user:password`, which is what tells the Basic scheme from the word in a sentence.
fn encodes_user_and_password(input: &[u8], span: &Range<usize>) -> bool {
    let text = decode_base64(&input[span.clone()]);
    text.contains(&b':') && text.iter().all(|byte| *byte >= b' ' && *byte != 0x7f)
}

fn encodes_private_key(input: &[u8], span: &Range<usize>) -> bool {
    let head = &input[span.start..span.end.min(span.start + 80)];
    decode_base64(head).windows(12).any(|window| window == b"PRIVATE KEY-")
}

/// The bytes that `text` encodes, as far as it is base64.
fn decode_base64(text: &[u8]) -> Vec<u8> {
    let digits = text.iter().map_while(|byte| match byte {
        b'A'..=b'Z' => Some(byte - b'A'),
        b'a'..=b'z' => Some(byte - b'a' + 26),
        b'0'..=b'9' => Some(byte - b'0' + 52),
        b'+' | b'-' => Some(62),
        b'/' | b'_' => Some(63),
        _ => None,
    });
    let mut bytes = Vec::with_capacity(text.len() * 3 / 4);
    let (mut bits, mut count) = (0_u32, 0);
    for digit in digits {
        bits = bits << 6 | u32::from(digit);
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count) as u8);
        }
    }
    bytes
}

/// The rest of the line before `at`, at most 256 bytes of it.
fn line_before(input: &[u8], at: usize) -> &[u8] {
    let before = &input[at.saturating_sub(256)..at];
    let start = before.iter().rposition(|byte| *byte == b'\n').map_or(0, |newline| newline + 1);
    &before[start..]
}

fn contains(text: &[u8], needle: &[u8]) -> bool {
    text.windows(needle.len()).any(|window| window == needle)
}

/// `//registry.example/:_authToken=x` or a line of its own, not a variable such as `pre_auth`.
fn in_npmrc(input: &[u8], span: &Range<usize>) -> bool {
    let line = line_before(input, span.start);
    let start = line.windows(5).rposition(|window| window == b"_auth").unwrap_or(0);
    let starts = start == 0 || !line[start - 1].is_ascii_alphanumeric() || line[..start].ends_with(b"\\n");
    starts && !is_placeholder(&input[span.clone()])
}

/// `curl -u user:password`, not `docker run -u 1000:1000`.
fn after_http_client(input: &[u8], span: &Range<usize>) -> bool {
    let value = &input[span.clone()];
    let line = line_before(input, span.start);
    let has_client = [b"curl".as_slice(), b"http ", b"https ", b"wget", b"xh "]
        .iter()
        .any(|client| contains(line, client));
    has_client && !value.starts_with(b"//") && !is_placeholder(value)
}

/// `openssl … -passin pass:x`.
fn after_pass_option(input: &[u8], span: &Range<usize>) -> bool {
    let line = line_before(input, span.start);
    contains(line, b"-pass") && !is_placeholder(&input[span.clone()])
}
