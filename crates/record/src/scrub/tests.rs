//! Every rule with what it must find and what it must leave alone.
//!
//! No secret stands in this file as such, so that nobody's scanner takes alarm: `{A36}` in a
//! sample stands for 36 characters of the alphabet `A`. `«…»` marks what is to be replaced,
//! all of the sample if there is no such mark.

use proptest::prelude::*;

use super::*;

fn key() -> ContentKey {
    ContentKey::new([7; 32])
}

fn alphabet(name: char) -> &'static [u8] {
    match name {
        'A' => b"k7Qz2mXw9LpR4vTn8YcB3hJd6FsG5aKe1uWoZ0iMxNqPtVrC",
        'L' => b"kQzmXwLpRvTnYcBhJdFsGaKeuWoZiMxNqPtVrC",
        'x' => b"3fa94c7e1b0d852694ebf7a1c06d38e5",
        'U' => b"Q7XK2MZW9LPR4VTN8YCB3HJD6FSG5A",
        'l' => b"k7qz2mxw9lpr4vtn8ycb3hjd6fsg5a",
        'w' => b"k7Qz2-mXw9Lp_R4vTn8YcB3hJd6FsG5aKe1uWoZ0iMxNqPtVrC",
        'b' => b"k7Qz2/mXw9Lp+R4vTn8YcB3hJd6FsG5aKe1uWoZ0iMxNqPtVrC",
        'd' => b"739184620517",
        _ => panic!("unknown alphabet {name}"),
    }
}

/// The sample with its `{A36}` filled in.
fn fill(sample: &str) -> String {
    let mut text = String::new();
    let mut rest = sample;
    while let Some(open) = rest.find('{') {
        text.push_str(&rest[..open]);
        rest = &rest[open..];
        let slot = rest[1..].split('}').next().unwrap_or_default();
        let mut letters = slot.chars();
        match (letters.next(), letters.as_str().parse::<usize>()) {
            (Some(name), Ok(len)) => {
                text.extend(alphabet(name).iter().cycle().take(len).map(|byte| char::from(*byte)));
                rest = &rest[slot.len() + 2..];
            }
            _ => {
                text.push('{');
                rest = &rest[1..];
            }
        }
    }
    text + rest
}

/// The text of a sample and where its secret stands.
fn marked(sample: &str) -> (String, Range<usize>) {
    let text = fill(sample);
    match (text.find('«'), text.find('»')) {
        (Some(open), Some(close)) => (text.replace(['«', '»'], ""), open..close - '«'.len_utf8()),
        _ => (text.clone(), 0..text.len()),
    }
}

fn scrub(text: &str) -> (String, Vec<Secret>) {
    static SCRUBBER: OnceLock<Scrubber> = OnceLock::new();
    let scrubbed = SCRUBBER.get_or_init(Scrubber::new).scrub(text.as_bytes(), &key());
    (String::from_utf8(scrubbed.bytes.into_owned()).expect("UTF-8 stays UTF-8"), scrubbed.found)
}

/// Rule, what it finds, what it leaves alone.
#[rustfmt::skip]
const SAMPLES: &[(&str, &[&str], &[&str])] = &[
    ("openssh-private-key",
        &["-----BEGIN OPENSSH PRIVATE KEY-----\n{b70}\n{b70}\n{b20}==\n-----END OPENSSH PRIVATE KEY-----"],
        &["-----BEGIN OPENSSH PUBLIC KEY-----\n{b70}\n-----END OPENSSH PUBLIC KEY-----"]),
    ("pgp-private-key",
        &["-----BEGIN PGP PRIVATE KEY BLOCK-----\nVersion: x\n\n{b64}\n=abcd\n-----END PGP PRIVATE KEY BLOCK-----"],
        &["-----BEGIN PGP PUBLIC KEY BLOCK-----\n\n{b64}\n-----END PGP PUBLIC KEY BLOCK-----"]),
    ("private-key",
        &["-----BEGIN RSA PRIVATE KEY-----\n{b64}\n{b64}\n{b10}\n-----END RSA PRIVATE KEY-----",
          "-----BEGIN PRIVATE KEY-----\\n{b64}\\n{b10}\\n-----END PRIVATE KEY-----",
          "-----BEGIN EC PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,{x32}\n\n{b64}\n-----END EC PRIVATE KEY-----",
          "cut: «-----BEGIN RSA PRIVATE KEY-----\n{b64}\n{b64}\n{b30}»",
          "cut, then prose: «-----BEGIN RSA PRIVATE KEY-----\\n{b64}\\n{b30}»\\n\\nand so on, he said",
          "     1→«-----BEGIN RSA PRIVATE KEY-----\n     2→{b64}\n     3→{b64}\n     4→-----END RSA PRIVATE KEY-----»",
          "     1→«-----BEGIN RSA PRIVATE KEY-----\n     2→{b64}\n     3→{b64}»",
          "---- BEGIN SSH2 ENCRYPTED PRIVATE KEY ----\n{b70}"],
        &["-----BEGIN CERTIFICATE-----\n{b64}\n-----END CERTIFICATE-----",
          "grep -r -- '-----BEGIN RSA PRIVATE KEY-----' . and then look",
          "a file with \"-----BEGIN PRIVATE KEY-----\" and \"-----END PRIVATE KEY-----\" around it"]),
    ("putty-private-key",
        &["PuTTY-User-Key-File-2: ssh-rsa\nPrivate-Lines: 8«\n{b64}\n{b64}\nPrivate-MAC: {x40}»"],
        &["PuTTY-User-Key-File-2: ssh-rsa\nPublic-Lines: 4\n{b64}\n{b64}"]),
    ("encoded-private-key",
        &["key: «LS0tLS1CRUdJTiBSU0EgUFJJVkFURSBLRVktLS0tLQ{b60}==»"],
        &["ca: LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0tCk{b60}=="]),
    ("age-secret-key", &["AGE-SECRET-KEY-1{U58}"], &["age1{l58}", "AGE-SECRET-KEY-1{U20}"]),
    ("aws-access-key-id", &["AKIA{U16}", "ASIA{U16}", "AKIAIOSFODNN7EXAMPLE"], &["AKIA{U12}", "xAKIA{U16}", "AKIA{U18}", "AKIA{l16}"]),
    ("aws-secret-access-key",
        &["aws_secret_access_key = «{b40}»", "\"SecretAccessKey\": \"«{b40}»\"", "AWS_SECRET_ACCESS_KEY=«{b40}»", "aws configure set aws_secret_access_key «{b40}»"],
        &["aws_secret_access_key = ${AWS_SECRET}", "sha1 {x40}", "\"SecretAccessKey\": \"\""]),
    ("aws-session-token", &["aws_session_token=«{b180}==»", "\"SessionToken\": \"«{b300}»\""], &["aws_session_token=", "\"SessionToken\": null"]),
    ("aws-bedrock-api-key", &["ABSK{b120}=="], &["ABSK{b20}"]),
    ("aws-mws-token", &["amzn.mws.{x8}-{x4}-{x4}-{x4}-{x12}"], &["amzn.mws.{x8}"]),
    ("gcp-api-key", &["AIza{w35}", "https://x.example/?key=«AIza{A35}»&q=1"], &["AIza{A20}", "AIza{A50}"]),
    ("google-oauth-client-secret", &["GOCSPX-{w28}"], &["GOCSPX-short"]),
    ("google-oauth-access-token", &["ya29.{w60}"], &["ya29.x"]),
    ("google-oauth-refresh-token", &["1//0{w50}"], &["11//0/{d10}", "a//0{w10}"]),
    ("azure-storage-key", &["DefaultEndpointsProtocol=https;AccountName=a;AccountKey=«{b86}==»;EndpointSuffix=core.windows.net"], &["AccountKey=<key>", "AccountKey={A10}"]),
    ("azure-shared-access-key", &["Endpoint=sb://x.example/;SharedAccessKeyName=Root;SharedAccessKey=«{b43}=»"], &["SharedAccessKeyName=RootManageSharedAccessKey"]),
    ("azure-sas-signature", &["https://a.blob.core.windows.net/c?sv=2022&sp=r&sig=«{A40}%2B{A2}%3D»&se=1"], &["sig=abc", "sig={x32}"]),
    ("azure-client-secret", &["Qz28Q~{w34}"], &["QzaaQ~{A34}", "a ~Q~ b"]),
    ("azure-service-key", &["{A52}JQQJ99{A26}"], &["JQQJ99{A26}"]),
    ("azure-devops-token", &["{A76}AZDO{A4}"], &["AZDO{A4}"]),
    ("alibaba-access-key", &["LTAI{A20}"], &["LTAI{U6}", "LTAIRETRYCOUNTERS"]),
    ("digitalocean-token", &["dop_v1_{x64}", "dor_v1_{x64}"], &["dop_v1_{x20}"]),
    ("heroku-api-key", &["HRKU-AA{w58}"], &["HRKU-"]),
    ("heroku-key", &["HEROKU_API_KEY=«{x8}-{x4}-{x4}-{x4}-{x12}»"], &["heroku app {x8}-{x4}-{x4}-{x4}-{x12}"]),
    ("fly-token", &["fm2_{b80}"], &["fm2_radio"]),
    ("vercel-token", &["vcp_{A56}", "vck_{A56}"], &["vcp_x", "vcb_{A56}"]),
    ("vercel-blob-token", &["vercel_blob_rw_{A16}_{A24}"], &["vercel_blob_rw_"]),
    ("vercel-key", &["VERCEL_TOKEN=«{A24}»"], &["VERCEL_TOKEN=$TOKEN", "VERCEL_ORG_ID={A24}"]),
    ("netlify-token", &["nfp_{A36}"], &["nfp_{A10}"]),
    ("render-api-key", &["rnd_{A32}"], &["rnd_seed"]),
    ("cloudflare-token", &["cfut_{A48}", "cfk_{A48}", "cfat_{A48}"], &["cfut_x"]),
    ("cloudflare-origin-ca-key", &["v1.0-{x24}-{x146}"], &["v1.0-{x8}"]),
    ("cloudflare-key", &["CLOUDFLARE_API_KEY=«{x37}»", "CF_API_TOKEN: «{w40}»", "X-Auth-Key: «{x37}»"], &["CLOUDFLARE_ZONE={x32}", "cf_api_token: ${CF}"]),
    ("fastly-token", &["FASTLY_API_TOKEN=«{A32}»"], &["FASTLY_SERVICE={A22}"]),
    ("tailscale-key", &["tskey-auth-{A16}-{A32}"], &["tskey-auth"]),
    ("planetscale-token", &["pscale_tkn_{w43}", "pscale_pw_{A43}"], &["pscale_tkn_"]),
    ("supabase-token", &["sbp_{x40}", "sb_secret_{A31}"], &["sbp_{x10}", "sb_publishable_{A31}"]),
    ("databricks-token", &["dapi{x32}", "dapi{x32}-2"], &["dapi{x20}", "dapi{x40}"]),
    ("openshift-token", &["sha256~{A43}"], &["sha256:{x64}"]),
    ("kubeconfig-client-key", &["    client-key-data: «{b200}=»\n"], &["    client-certificate-data: {b200}=", "client-key-data: x"]),
    ("kubeadm-token", &["kubeadm join 10.0.0.1:6443 --token «{l6}.{l16}» --x"], &["kubeadm join 10.0.0.1:6443 --token $T"]),
    ("github-pat", &["ghp_{A36}", "https://«ghp_{A36}»@github.com/x/y", "https://x:«ghp_{A36}»@github.com/x/y", "GITHUB_TOKEN=«ghp_{A36}»", "Authorization: Bearer «ghp_{A36}»", "\\n«ghp_{A36}»\\n", "\u{1b}[31m«ghp_{A36}»\u{1b}[0m"],
        &["ghp_{A20}", "ghp_your_token_here", "xghp_{A36}"]),
    ("github-fine-grained-pat", &["github_pat_{A22}_{A59}"], &["github_pat_x"]),
    ("github-oauth-token", &["gho_{A36}"], &["gho_{A8}"]),
    ("github-user-token", &["ghu_{A36}"], &["ghu_{A8}"]),
    ("github-app-token", &["ghs_{A36}", "ghs_{d6}_eyJ{A40}.eyJ{A80}.{A86}"], &["ghs_{A8}"]),
    ("github-refresh-token", &["ghr_{A76}"], &["ghr_{A8}"]),
    ("gitlab-pat", &["glpat-{w20}", "glpat-{A27}.01.{l9}"], &["glpat-x"]),
    ("gitlab-runner-token", &["glrt-{A20}", "glrt-t1_{A20}", "GR1348941{A20}"], &["glrt-x"]),
    ("gitlab-token", &["gldt-{A20}", "glcbt-64_{A20}", "glptt-{x40}"], &["gldt-x"]),
    ("bitbucket-app-password", &["ATBB{A32}"], &["ATBB{A8}", "ATBB{A40}"]),
    ("atlassian-token", &["ATATT3xFfGF0{w180}={U8}"], &["ATATT3x"]),
    ("npm-token", &["npm_{A36}"], &["npm_config_registry", "\\npm_{A35}"]),
    ("npmrc-auth", &["//registry.example/:_authToken=«{x8}-{x4}-{x4}-{x4}-{x12}»", "_auth = «{b24}»"], &["//registry.example/:_authToken=${NPM_TOKEN}", "self.pre_auth = pre_auth"]),
    ("pypi-token", &["pypi-AgEIcHlwaS5vcmc{w80}"], &["pypi-publish", "gh-action-pypi-publish"]),
    ("rubygems-key", &["rubygems_{x48}"], &["rubygems_x"]),
    ("crates-token", &["cio{A32}"], &["ciopfs", "cio{A31}", "cioabcdefghijklmnopqrstuvwxyzabcdefg"]),
    ("nuget-key", &["oy2{l43}"], &["oy2{l10}"]),
    ("clojars-token", &["CLOJARS_{x60}"], &["CLOJARS_USERNAME"]),
    ("docker-token", &["dckr_pat_{w27}"], &["dckr_pat_x"]),
    ("docker-config-auth", &["{\"auths\":{\"x\":{\"auth\":\"«dXNlcjpodW50ZXIy»\"}}}", "{\\\"auth\\\": \\\"«dXNlcjpodW50ZXIy»\\\"}"], &["{\"auth\":\"required\"}", "{\"auth\":\"{A16}\"}"]),
    ("jfrog-key", &["AKCp{A69}"], &["AKCp8"]),
    ("buildkite-token", &["bkua_{x40}"], &["bkua_x"]),
    ("circleci-token", &["CCIPAT_{A22}_{x40}"], &["CCIPAT_x"]),
    ("sonarqube-token", &["squ_{x40}"], &["squ_{x8}"]),
    ("sourcegraph-token", &["sgp_{x16}_{x40}", "sgp_{x40}"], &["sgp_{x8}"]),
    ("terraform-token", &["{A14}.atlasv1.{A67}"], &["x.atlasv1.y"]),
    ("pulumi-token", &["pul-{x40}"], &["pul-x"]),
    ("vault-token", &["hvs.{w90}", "hvb.{w120}"], &["hvs.x"]),
    ("doppler-token", &["dp.pt.{A43}", "dp.st.dev.{A43}"], &["dp.pt.x"]),
    ("infisical-token", &["st.{x8}-{x4}-{x4}-{x4}-{x12}.{x32}.{x32}"], &["st.{x8}-{x4}-{x4}-{x4}-{x12}"]),
    ("onepassword-service-token", &["ops_eyJ{A200}"], &["ops_eyJ"]),
    ("onepassword-secret-key", &["A3-{U6}-{U6}-{U5}-{U5}-{U5}-{U5}"], &["A3-{U6}"]),
    ("anthropic-key", &["sk-ant-api03-{w93}AA", "sk-ant-oat01-{w80}", "sk-ant-admin01-{w80}"], &["sk-ant-api03-...", "sk-ant-xxx"]),
    ("openai-key", &["sk-proj-{w120}", "sk-svcacct-{w60}"], &["sk-proj-x"]),
    ("openrouter-key", &["sk-or-v1-{x64}"], &["sk-or-v1-x"]),
    ("langfuse-key", &["sk-lf-{x8}-{x4}-{x4}-{x4}-{x12}"], &["pk-lf-{x8}-{x4}-{x4}-{x4}-{x12}"]),
    ("sk-key", &["sk-{A20}T3BlbkFJ{A20}", "sk-{x32}"], &["sk-learnsklearnsklearnsklearn", "task-{A32}", "sk-x"]),
    ("huggingface-token", &["hf_{L34}"], &["hf_hub_download", "hf_{x34}"]),
    ("groq-key", &["gsk_{A52}"], &["gsk_x"]),
    ("xai-key", &["xai-{A80}"], &["xai-grok"]),
    ("perplexity-key", &["pplx-{A48}"], &["pplx-7b-online"]),
    ("replicate-token", &["r8_{A37}"], &["r8_unorm"]),
    ("nvidia-key", &["nvapi-{w64}"], &["nvapi-x"]),
    ("langsmith-key", &["lsv2_pt_{x32}_{x10}"], &["lsv2_pt_x"]),
    ("tavily-key", &["tvly-{A32}", "tvly-dev-{A32}"], &["tvly-x"]),
    ("pinecone-key", &["pcsk_{A6}_{A63}"], &["pcsk_x"]),
    ("together-key", &["tgp_v1_{w43}"], &["tgp_v1_x"]),
    ("slack-token", &["xoxb-{d12}-{d12}-{A24}", "xapp-1-A{U10}-{d12}-{x64}"], &["xoxb-token", "xoxb-your-bot-token"]),
    ("slack-webhook", &["https://hooks.slack.com/services/«T{U8}/B{U8}/{A24}»"], &["https://hooks.slack.com/services/T000/B000/xxx", "https://hooks.slack.com/"]),
    ("discord-webhook", &["https://discord.com/api/webhooks/{d18}/«{w68}»"], &["https://discord.com/api/webhooks/{d18}"]),
    ("discord-bot-token", &["MTk4NjIyNDgzNDcxOTI1MjQ4.Cl2FMQ.{w27}"], &["MTk4NjIyNDgzNDcxOTI1MjQ4", "NT.AUTHORITY"]),
    ("teams-webhook", &["https://x.webhook.office.com/webhookb2/«{x8}-{x4}-{x4}-{x4}-{x12}@{x8}-{x4}-{x4}-{x4}-{x12}/IncomingWebhook/{x32}/{x8}-{x4}-{x4}-{x4}-{x12}»"], &["https://x.webhook.office.com/webhookb2/"]),
    ("telegram-bot-token", &["{d9}:AA{w33}"], &["12:AA{w33}", "{d9}:AAx"]),
    ("telegram-bot-url", &["https://api.telegram.org/bot«{d10}:AA{A33}»/getMe"], &["https://x.example/bot1234"]),
    ("twilio-api-key", &["SK{x32}"], &["SK{x20}", "AC{x32}"]),
    ("twilio-auth-token", &["TWILIO_AUTH_TOKEN=«{x32}»"], &["TWILIO_ACCOUNT=AC{x32}"]),
    ("sendgrid-key", &["SG.{w22}.{w43}"], &["SG.x.y"]),
    ("mailgun-key", &["key-{x32}"], &["key-{x8}", "primary-key-{x32}"]),
    ("mailgun-api-key", &["MAILGUN_API_KEY=«{x32}-{x8}-{x8}»"], &["MAILGUN_DOMAIN={x32}"]),
    ("mailchimp-key", &["{x32}-us14"], &["{x31}-us14", "the-us14"]),
    ("brevo-key", &["xkeysib-{x64}-{A16}"], &["xkeysib-x"]),
    ("resend-key", &["re_{A8}_{A24}"], &["re_match_all"]),
    ("stripe-key", &["sk_live_{A24}", "rk_test_{A99}"], &["sk_live_x", "pk_live_{A24}"]),
    ("stripe-webhook-secret", &["whsec_{A32}"], &["whsec_x"]),
    ("shopify-token", &["shpat_{x32}"], &["shpat_x"]),
    ("square-token", &["sq0atp-{w22}", "sq0csp-{w43}"], &["sq0idp-{w22}"]),
    ("braintree-token", &["access_token$production${l16}${x32}"], &["access_token$x"]),
    ("facebook-token", &["EAA{A150}"], &["EAA{A20}"]),
    ("datadog-key", &["DD_API_KEY=«{x32}»", "DATADOG_APP_KEY: «{x40}»", "DD-API-KEY: «{x32}»", "{\"name\":\"DD_API_KEY\",\"value\":\"«{x32}»\"}"], &["DD_TRACE_ID={x32}", "DD_API_KEY=$KEY"]),
    ("newrelic-key", &["NRAK-{U27}"], &["NRAK-x"]),
    ("newrelic-license-key", &["{x36}NRAL"], &["{x20}NRAL"]),
    ("sentry-token", &["sntrys_eyJ{A80}=_{A43}", "sntryu_{x64}"], &["sntrys_x"]),
    ("grafana-token", &["glsa_{A32}_{x8}", "glc_{b60}="], &["glsa_x"]),
    ("dynatrace-token", &["dt0c01.{U24}.{U64}"], &["dt0c01.{U24}"]),
    ("linear-key", &["lin_api_{A40}"], &["lin_api_x"]),
    ("notion-token", &["ntn_{A46}", "secret_{A43}"], &["ntn_x", "secret_key_base"]),
    ("airtable-token", &["pat{A14}.{x64}"], &["pat{A14}", "pattern.matching"]),
    ("figma-token", &["figd_{w40}"], &["figd_x"]),
    ("postman-key", &["PMAK-{x24}-{x34}"], &["PMAK-x"]),
    ("okta-token", &["Authorization: SSWS «00{w40}»"], &["SSWS token"]),
    ("mapbox-token", &["sk.eyJ{A60}.{A22}"], &["pk.eyJ{A60}.{A22}"]),
    ("typeform-token", &["tfp_{A44}_{A14}"], &["tfp_x"]),
    ("prefect-key", &["pnu_{A36}"], &["pnu_x"]),
    ("octopus-key", &["API-{U26}"], &["API-REFERENCE", "REST-API-{U26}x"]),
    ("contentful-token", &["CFPAT-{w43}"], &["CFPAT-x"]),
    ("hubspot-token", &["pat-na1-{x8}-{x4}-{x4}-{x4}-{x12}"], &["pat-na1-x"]),
    ("jwt", &["eyJ{A33}.eyJ{A80}.{w43}", "Authorization: Bearer «eyJ{A33}.eyJ{A80}.{w43}»", "\"token\": \"«eyJ{A33}.eyJ{A80}.{w43}»\"", "eyJ{A33}.eyJ{A9000}.{w43}"], &["eyJ{A33}", "eyJ.eyJ.x"]),
    ("jwe", &["eyJ{A40}.{w40}.{w20}.{w80}.{w22}", "eyJ{A40}..{w20}.{w80}.{w22}"], &["eyJ{A40}.{A40}"]),
    ("url-password",
        &["postgres://svc:«PLANTEDpw»@db.internal:5432/prod", "redis://:«{A12}»@cache:6379/0", "mongodb+srv://bob:«{A8}%40{A3}»@c.example/?x=1", "https://bob:«hunter2»@example.com/x"],
        &["https://example.com:8080/@scope/x", "postgres://user:password@localhost/db", "postgres://u:${DB_PW}@h/db", "http://user:<pw>@h", "ssh://git@github.com:22/x", "file:///a:b@c"]),
    ("url-token", &["https://«{A40}»@gitlab.example/x.git"], &["https://alice@example.com/"]),
    ("bearer", &["Authorization: Bearer «{A40}»", "-H \\\"authorization: bearer «{A32}»\\\""], &["Authorization: Bearer $TOKEN", "Bearer <token>", "a bearer authentication scheme", "Bearer YOUR_API_KEY_HERE"]),
    ("basic-auth", &["Authorization: Basic «dXNlcjpodW50ZXIy»"], &["a basic understanding of", "Basic information", "Basic realm=x"]),
    ("auth-scheme-token", &["Authorization: token «{x40}»", "'Authorization': 'Bot {A16}«»'"], &["Authorization: token $T"]),
    ("session-cookie", &["Cookie: JSESSIONID=«{U32}»; a=b", "sessionid=«{l32}»"], &["sid=12", "session=true"]),
    ("netrc-password", &["machine api.example\n  login bob\n  password «hunter2»\n", "machine a.example login bob password «{A12}»"], &["the machine did login", "machine a login b password $PW"]),
    ("pgpass-password", &["db.example:5432:prod:svc:«hunter2»"], &["db.example:5432:5432", "0.0.0.0:5432:x"]),
    ("password-hash", &["bob:«$apr1$abcdefgh${A22}»", "root:«$6$abcdefgh${A86}»:19000:0", "«$2b$12${A53}»", "«$argon2id$v=19$m=65536,t=3,p=4${b22}${b43}»"], &["echo $1$2", "$2a$x", "cost $5$6"]),
    ("curl-user-password", &["curl -u bob:«hunter2» https://x.example", "curl --user \\\"bob:«{A12}»\\\" https://x"], &["docker run -u 1000:1000 x", "curl -u bob https://x", "curl -u \\\"$USER:$PW\\\" https://x"]),
    ("mysql-password", &["mysql -h db -u root -p«hunter2» prod", "mysqldump -uroot -p«{A10}» x"], &["mysql -u root -p prod", "mysql --port 3306", "mysql -p$PW"]),
    ("sshpass-password", &["sshpass -p «hunter2» ssh bob@h", "sshpass -p '«{A9}»' scp a b"], &["sshpass -e ssh h", "sshpass -p $PW ssh h"]),
    ("login-password", &["docker login -u bob -p «hunter2» r.example"], &["docker login -u bob --password-stdin", "docker login -p $PW"]),
    ("redis-password", &["redis-cli -h r -a «hunter2» ping"], &["redis-cli -h r ping", "redis-cli -a $PW"]),
    ("openssl-password", &["openssl rsa -in k -passin pass:«hunter2» -out o"], &["tests pass: all of them", "openssl rsa -passin env:PW"]),
    ("htpasswd-password", &["htpasswd -bc .htpasswd bob «hunter2»"], &["htpasswd -c .htpasswd bob"]),
    ("smb-password", &["smbclient //h/s -U bob%«hunter2»"], &["smbclient //h/s -U bob", "100%done"]),
    ("password",
        &["password=«PLANTED-hunter2-7f3a»", "\"password\": \"«hunter2»\"", "\\\"password\\\": \\\"«hunter2»\\\"", "PGPASSWORD=«swordfish» psql", "--password «hunter2»", "--password=«hunter2»",
          "\"password\": \"«a\\\"b\\\\c d»\"", "DB_PASS: «s3cr3t-w0rd»", "password: «hunter2»\n", "{\"name\":\"DB_PASSWORD\",\"value\":\"«hunter2»\"}", "<password>«hunter2»</password>",
          "- name: DB_PASSWORD\n  value: «hunter2»\n", "[\"--password\",\"«hunter2»\"]", "export MYSQL_PWD='«it is {A6}»'", "?user=a&password=«{A9}»&x=1", "Server=h;Password=«{A9}»;Encrypt=1", "password%3D«{A9}»", "dbPassword = \"«hunter2»\"", "\\npassword=«hunter2»\\n"],
        &["password=${PW}", "\"password\": \"\"", "password = get_password()", "password: string;", "password=$PW", "password=<password>", "PASSWORD=xxxxxxxx", "password: str = None",
          "login(user, password=password)", "\"password\": {\"type\": \"string\"}", "PWD=/home/dev/proj", "\"password\":\"********\"", "--password-stdin", "--password-file /run/x1", "\"password\":null", "password == other1",
          "Enter your password: ", "if password != 'x'", "password_hash = hash(p)", "password=os.environ['PW']", "PASSWORD=$(cat f1)", "PASSWORD=`cat f1`", "password::Hasher2", "the password is required", "\"password\": \"your-password-here\"", "resetPasswordUrl=\"/reset/1\"", "--password --verbose1", "TYPE_PASS = 0x100,", "const BUF_PASSWD: usize = 1024;", "getpass('Password: ', stream=None1)", "FLAGS_PASS = sys::FLAGS_PASS1;", "https://<user>:<password>@host1"]),
    ("passphrase", &["GPG_PASSPHRASE=«hunter2x»", "passphrase: \"«correct horse battery staple»\""], &["passphrase: string", "--passphrase-fd 0"]),
    ("api-key", &["api_key=«{A32}»", "\"apiKey\": \"«{x32}»\"", "X-Api-Key: «{A24}»", "--api-key «{A32}»"], &["api_key=YOUR_API_KEY", "apiKey: string", "api_key_id={x20}", "\"apiKey\": \"\"", "apiKeyHelper: \"/bin/x1\"", "api_key = config.get('x')"]),
    ("access-key", &["secret_access_key_prod: x, access_key=«{A24}»", "MASTER_KEY=«{A32}»"], &["access_key=$AK", "access_key_id={A20}"]),
    ("signing-key", &["ENCRYPTION_KEY=«{x64}»", "private_key: \"«{x64}»\"", "PRIVATE-TOKEN: «{A20}»"], &["signing_key=path/to/key", "private_key_id: {x40}", "private_key_path=/a/b1"]),
    ("credential", &["CREDENTIAL=«{A24}»", "Authorization: «{x40}»"], &["credential=default", "credentials: {}", "Authorization: Bearer"]),
    ("client-secret", &["client_secret=«{A24}»", "SECRET_KEY = '«{A50}»'"], &["client_secret=", "SECRET_KEY=changeme", "client_secret_name=abc123abc123abc123"]),
    ("secret", &["JWT_SECRET=«{A32}»", "\"secret\": \"«{x32}»\""], &["secret=none", "secretary=abc123abc123abc1", "secrets: 5", "secret: my-secret-name", "secret_name: app-db-1", "secretKeyRef: {name: x}", "secret:github-pat:0123456789abcdef"]),
    ("token", &["TOKEN=«{A20}»", "\"token\": \"«{x40}»\"", "--token «{A32}»", "token=«{A32}»", "\"refresh_token\":\"«{A64}»\""],
        &["max_tokens=4096", "\"next_page_token\": \"{A32}\"", "tokenizer=cl100k_base_v2_xx", "token: <token>", "token_count: 123456789012", "\"token\": \"${TOKEN}\"", "--token TOKEN", "token::Kind1", "\"eos_token\": \"{A20}\"", "let token = self.next_token();", "\"token_type\": \"Bearer\"", "type Token = TokenStream2;", "token: __IncompleteArrayField<u8>,"]),
];

#[test]
fn every_rule_is_named_once_and_has_samples() {
    let mut names: Vec<_> = Scrubber::rules().collect();
    let sampled: Vec<_> = SAMPLES.iter().map(|(rule, ..)| *rule).collect();
    assert_eq!(names, sampled, "rules and samples go together, in one order");
    assert!(names.len() >= 60);
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), sampled.len());
    for name in names {
        assert!(
            name.len() < 40 && name.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-')),
            "{name}"
        );
    }
    for rule in RULES.iter().filter(|rule| !matches!(rule.shape, Shape::Assignment(_))) {
        compile(rule);
    }
}

#[test]
fn every_rule_finds_what_it_is_for() {
    let mut wrong = Vec::new();
    for (rule, finds, _) in SAMPLES {
        for sample in finds.iter().filter(|sample| !sample.contains("«»")) {
            let (text, secret) = marked(sample);
            let (scrubbed, found) = scrub(&text);
            let expected = match found.as_slice() {
                [one] => format!(
                    "{}{PREFIX}{rule}:{}{}",
                    &text[..secret.start],
                    one.fingerprint,
                    &text[secret.end..]
                ),
                _ => "exactly one secret".to_owned(),
            };
            if scrubbed != expected {
                wrong.push(format!("{rule}: {text:?}\n   gave {scrubbed:?}\n   not  {expected:?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_rule_leaves_near_misses_alone() {
    let mut wrong = Vec::new();
    for (rule, _, leaves) in SAMPLES {
        for sample in *leaves {
            let text = fill(sample);
            let (scrubbed, found) = scrub(&text);
            // Another rule may be right to take it (`pk-` keys beside names), this one not.
            if found.iter().any(|secret| secret.rule == *rule) {
                wrong.push(format!("{rule}: {text:?}\n   gave {scrubbed:?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_secret_is_found_within_json_and_within_json_in_json() {
    let mut wrong = Vec::new();
    for (rule, finds, _) in SAMPLES {
        for sample in finds.iter().filter(|sample| !sample.contains("«»") && !sample.contains('\\')) {
            let (text, secret) = marked(sample);
            let once = serde_json::json!({ "tool_input": { "command": text } }).to_string();
            let twice = serde_json::json!({ "text": once }).to_string();
            for json in [once, twice] {
                let (scrubbed, found) = scrub(&json);
                let valid = serde_json::from_str::<serde_json::Value>(&scrubbed).is_ok();
                let kept = scrubbed.contains(&text[secret.clone()]);
                if !valid || kept || !found.iter().any(|secret| secret.rule == *rule) {
                    wrong.push(format!("{rule}: {json}\n   gave {scrubbed}\n   {found:?}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_secret_has_one_fingerprint_wherever_it_stands() {
    let fingerprints = |texts: &[&str]| {
        let mut all: Vec<_> =
            texts.iter().flat_map(|text| scrub(&fill(text)).1).map(|s| s.fingerprint).collect();
        assert_eq!(all.len(), texts.len());
        all.dedup();
        all.len()
    };
    assert_eq!(
        fingerprints(&["ghp_{A36}", "https://x:ghp_{A36}@github.com/", "{\"TOKEN\":\"ghp_{A36}\"}"]),
        1
    );
    assert_eq!(fingerprints(&["\"password\": \"a/b1c\"", "\"password\": \"a\\/b1c\""]), 1);
    assert_eq!(
        fingerprints(&[
            "-----BEGIN RSA PRIVATE KEY-----\n{b64}\n{b30}\n-----END RSA PRIVATE KEY-----",
            "-----BEGIN RSA PRIVATE KEY-----\\n{b64}\\n{b30}\\n-----END RSA PRIVATE KEY-----\\n",
            "1\t-----BEGIN RSA PRIVATE KEY-----\n2\t{b64}\n3\t{b30}\n4\t-----END RSA PRIVATE KEY-----",
        ]),
        1
    );
    assert_eq!(fingerprints(&["password=hunter2", "password=hunter3"]), 2);
}

/// The fake secrets of the synthetic workload that the recorder is measured with.
#[test]
fn every_planted_secret_of_the_workload_is_taken_out() {
    let planted = [
        ["AKIAIOSFODNN7", "EXAMPLE"].concat(),
        ["ghp_", "PLANTED0123456789abcdefghijABCDEFGHIJ"].concat(),
        ["sk-ant-", "api03-PLANTED-0123456789abcdefghijklmnopqrstuv"].concat(),
        ["password=", "PLANTED-hunter2-7f3a"].concat(),
        ["-----BEGIN RSA PRIVATE ", "KEY-----PLANTEDMIIE"].concat(),
        ["postgres://svc:", "PLANTEDpw@db.internal:5432/prod"].concat(),
    ];
    for secret in planted {
        let event = serde_json::json!({ "args": { "command": "make", "env": { "TOKEN": secret } }, "result": secret });
        let (scrubbed, found) = scrub(&event.to_string());
        assert!(
            !found.is_empty() && !scrubbed.contains("PLANTED") && !scrubbed.contains("AKIA"),
            "{secret}: {scrubbed}"
        );
        assert!(serde_json::from_str::<serde_json::Value>(&scrubbed).is_ok(), "{scrubbed}");
    }
}

/// What payloads are full of.
#[test]
fn ordinary_strings_are_left_alone() {
    #[rustfmt::skip]
    let ordinary = [
        "01a20d9f-22d1-7b71-b838-2fef18b808d6", "550e8400-e29b-41d4-a716-446655440000", "9c1e{x36}", "toolu_01{A22}", "msg_01{A22}",
        "req_011C{A20}", "call_{A24}", "chatcmpl-{A29}", "sha256:{x64}", "hmac-sha256:{x64}", "sha512-{b86}==", "W/\"{x40}\"",
        "/home/dev/proj/node_modules/.pnpm/@types+node@20.1.0/index.d.ts", "C:\\\\Users\\\\dev\\\\proj", "data:image/png;base64,iVBORw0KGgo{b4000}=",
        "{\"session_id\":\"{x8}-{x4}-{x4}-{x4}-{x12}\",\"transcript_path\":\"/home/dev/.claude/projects/-home-dev/{x8}.jsonl\",\"prompt_id\":\"{x32}\"}",
        "\"usage\":{\"input_tokens\":1200,\"output_tokens\":33,\"cache_read_input_tokens\":0,\"max_tokens\":32000}",
        "\"signature\":\"{b400}\"", "\"thinking\":\"the password is asked for next, then a token is made\"", "commit {x40}\\nAuthor: A <a@example.com>",
        "checksum = \"{x64}\"", "integrity sha512-{b86}==", "index 1234567..89abcde 100644", "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAA{b40} dev@box",
        "fn token(&self) -> Token { self.tokens[self.at] }", "const password = await prompt('Password: ');", "git:origin#main", "secret:AWS_KEY",
        "Use the API key from the dashboard; a secret must never be logged.", "https://example.com/a?page=2&token_limit=5", "user@example.com:22",
        "-----BEGIN CERTIFICATE-----\\n{b64}\\n-----END CERTIFICATE-----", "if (token.type === 'secret') { return password; }", "Authorization: Bearer $(gcloud auth print-access-token)",
        "docker run -e PASSWORD -u 1000:1000 img@sha256:{x64}", "kubectl get secret db -o jsonpath='{.data.password}'", "trace_id={x32} span_id={x16}",
        "export OPENAI_API_KEY=sk-...", "password: ''", "PASSWORD=\\\"$1\\\"", "token: null", "\"tokens\":[1,2,3]", "openssl rand -hex 32 > secret.txt",
    ];
    for sample in ordinary {
        let text = fill(sample);
        let (scrubbed, found) = scrub(&text);
        assert!(found.is_empty(), "{text}\n  gave {scrubbed}");
    }
}

#[test]
fn a_number_in_json_becomes_a_string() {
    let (scrubbed, found) = scrub("{\"password\": 12345678, \"n\": 1}");
    let fingerprint = &found[0].fingerprint;
    assert_eq!(scrubbed, format!("{{\"password\": \"secret:password:{fingerprint}\", \"n\": 1}}"));
    let (scrubbed, _) = scrub("{\"t\":\"{\\\"password\\\":12345678}\"}");
    let inner: serde_json::Value = serde_json::from_str(&scrubbed).unwrap();
    assert!(serde_json::from_str::<serde_json::Value>(inner["t"].as_str().unwrap()).is_ok(), "{scrubbed}");
}

#[test]
fn only_the_replacement_of_a_known_rule_is_left_alone() {
    let (same, found) = scrub("token=secret:github-pat:0123456789abcdef");
    assert_eq!((same.as_str(), found.len()), ("token=secret:github-pat:0123456789abcdef", 0));
    let (_, found) = scrub(&fill("token=secret:nothing:{x16}{A10}"));
    assert_eq!(found.len(), 1);
}

#[test]
fn what_is_replaced_is_inert() {
    for (_, finds, _) in SAMPLES {
        for sample in *finds {
            for secret in scrub(&marked(sample).0).1 {
                assert!(secret.fingerprint.len() == FINGERPRINT_HEX);
                assert!(secret.fingerprint.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')));
            }
        }
    }
}

/// Inputs made to be slow: what one candidate costs is bounded, and long runs are read once.
#[test]
fn hostile_payloads_take_linear_time() {
    let repeated = |unit: &str| unit.repeat((4 << 20) / unit.len());
    for unit in [
        "eyJ-",
        "eyJ",
        "password=$",
        "sk-",
        "token=",
        "-----BEGIN PRIVATE KEY-----",
        "://a:",
        "\\",
        "secret:",
        "LS0tLS1CRUdJTi",
        "bearer ",
        "machine a login ",
        ":AA0123456789",
        "mysql ",
    ] {
        let text = repeated(unit);
        let started = std::time::Instant::now();
        scrub(&text);
        // Quadratic time would be minutes. Generous, for a debug build on a busy machine.
        assert!(started.elapsed().as_secs() < 30, "{unit}: {:?}", started.elapsed());
    }
}

/// Pieces that hostile and ordinary payloads are made of.
fn piece() -> impl Strategy<Value = String> {
    let samples: Vec<String> = SAMPLES
        .iter()
        .flat_map(|(_, finds, leaves)| finds.iter().chain(leaves.iter()))
        .map(|sample| marked(sample).0)
        .filter(|sample| sample.len() < 400)
        .collect();
    prop_oneof![
        4 => proptest::sample::select(samples),
        1 => proptest::sample::select(vec!["\"", "\\", "\n", "'", "password", "token", "secret", "=", ": ", "@", "://", "u00", "\\u00e9", "é", " ", "--", "value", ",", "{", "}", "secret:jwt:0123456789abcdef", "\u{1}", "$", "%"]).prop_map(str::to_owned),
        1 => "[ -~]{0,12}",
        1 => "\\PC{0,4}",
    ]
}

fn text() -> impl Strategy<Value = String> {
    proptest::collection::vec(piece(), 0..8).prop_map(|pieces| pieces.concat())
}

fn json() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        text().prop_map(serde_json::Value::from),
        // JSON as text within JSON, as tools return it.
        (text(), text())
            .prop_map(|(k, v)| serde_json::json!({ k: v, "password": 123456 }).to_string().into()),
        any::<i64>().prop_map(serde_json::Value::from),
        Just(serde_json::Value::Null),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(serde_json::Value::from),
            proptest::collection::btree_map(text(), inner.clone(), 0..4)
                .prop_map(|map| map.into_iter().collect()),
            (proptest::sample::select(vec!["password", "api_key", "token", "name", "value", "auth"]), inner)
                .prop_map(|(name, value)| serde_json::json!({ name: value })),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn valid_json_stays_valid_json(value in json(), pretty: bool) {
        let payload = if pretty { serde_json::to_string_pretty(&value) } else { serde_json::to_string(&value) }.unwrap();
        let (scrubbed, _) = scrub(&payload);
        prop_assert!(serde_json::from_str::<serde_json::Value>(&scrubbed).is_ok(), "{payload}\n{scrubbed}");
    }

    #[test]
    fn scrubbing_twice_is_scrubbing_once(text in text()) {
        let (once, _) = scrub(&text);
        let (twice, found) = scrub(&once);
        prop_assert_eq!(&once, &twice, "{} {:?}", text, found);
    }

    #[test]
    fn any_bytes_can_be_scrubbed(bytes: Vec<u8>, text in text()) {
        let scrubber = Scrubber::new();
        scrubber.scrub(&bytes, &key());
        scrubber.scrub(&[bytes.as_slice(), text.as_bytes(), &bytes].concat(), &key());
    }
}
