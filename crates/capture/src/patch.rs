//! Which files a patch changes: the envelope of `apply_patch` (`*** Begin Patch`), and unified
//! diffs. Pure, total, and linear in the text.

/// What happens to one file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change<'t> {
    Create(&'t str),
    Write(&'t str),
    Delete(&'t str),
    Move { from: &'t str, to: &'t str },
}

/// The changes that a patch makes, in its order. None: it is no patch that can be read, and what
/// it does is not known.
pub(crate) fn changes(text: &str) -> Vec<Change<'_>> {
    let found = envelope(text);
    if found.is_empty() { diff(text) } else { found }
}

/// The envelope. Its headers may be indented, but for those after an update: there a line that
/// begins with a blank is the file's own text.
fn envelope(text: &str) -> Vec<Change<'_>> {
    let mut found = Vec::new();
    let mut updated = None;
    for line in text.lines() {
        let line = if updated.is_some() { line } else { line.trim_start() };
        let Some(header) = line.strip_prefix("*** ") else { continue };
        let Some((word, rest)) = header.split_once(": ") else { continue };
        let path = rest.trim();
        if word == "Move to" {
            if let Some(from) = updated {
                found.push(Change::Move { from, to: path });
            }
            continue;
        }
        let change = match word {
            "Add File" => Change::Create(path),
            "Delete File" => Change::Delete(path),
            "Update File" => Change::Write(path),
            "Move File" => match path.split_once(" -> ") {
                Some((from, to)) => Change::Move { from: from.trim(), to: to.trim() },
                None => continue,
            },
            _ => continue,
        };
        updated = (word == "Update File").then_some(path);
        found.push(change);
    }
    found
}

/// A unified diff, with or without the lines that git adds.
fn diff(text: &str) -> Vec<Change<'_>> {
    let mut found = Vec::new();
    // The rest of a hunk is text of the files, whatever it looks like.
    let (mut old_lines, mut new_lines) = (0u64, 0u64);
    let (mut old, mut from) = (None, None);
    for line in text.lines() {
        if old_lines > 0 || new_lines > 0 {
            match line.as_bytes().first() {
                Some(b'-') => old_lines = old_lines.saturating_sub(1),
                Some(b'+') => new_lines = new_lines.saturating_sub(1),
                Some(b'\\') => {}
                _ => (old_lines, new_lines) = (old_lines.saturating_sub(1), new_lines.saturating_sub(1)),
            }
        } else if let Some(hunk) = line.strip_prefix("@@ -") {
            (old_lines, new_lines) = lengths(hunk).unwrap_or_default();
        } else if let Some(path) = line.strip_prefix("--- ") {
            old = Some(name(path));
        } else if let Some(path) = line.strip_prefix("+++ ") {
            let new = name(path);
            let change = match (old.take(), new) {
                (Some(old), "/dev/null") => Change::Delete(old),
                (Some("/dev/null"), new) => Change::Create(new),
                (_, new) => Change::Write(new),
            };
            // A file that was given another name and changed: one action each.
            if !found.contains(&change) {
                found.push(change);
            }
        } else if let Some(path) = line.strip_prefix("rename from ") {
            from = Some(path.trim());
        } else if let Some(path) = line.strip_prefix("rename to ")
            && let Some(from) = from.take()
        {
            found.push(Change::Move { from, to: path.trim() });
        } else if let Some(path) = line.strip_prefix("copy to ") {
            found.push(Change::Create(path.trim()));
        }
    }
    found
}

/// `1,2 +3,4 @@`: how many lines of the old and of the new file follow.
fn lengths(hunk: &str) -> Option<(u64, u64)> {
    let (old, rest) = hunk.split_once(" +")?;
    let new = rest.split(' ').next()?;
    let count = |range: &str| match range.split_once(',') {
        Some((_, count)) => count.parse().ok(),
        None => Some(1),
    };
    Some((count(old)?, count(new)?))
}

/// The path of a header, without the time behind it and without git's `a/` and `b/`.
fn name(path: &str) -> &str {
    let path = path.split('\t').next().unwrap_or_default().trim();
    path.strip_prefix("a/").or(path.strip_prefix("b/")).unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(text: &str) -> String {
        let one = |change: &Change<'_>| match change {
            Change::Create(path) => format!("create {path}"),
            Change::Write(path) => format!("write {path}"),
            Change::Delete(path) => format!("delete {path}"),
            Change::Move { from, to } => format!("move {from} {to}"),
        };
        changes(text).iter().map(one).collect::<Vec<_>>().join("; ")
    }

    #[test]
    fn an_envelope_names_each_file_once_and_its_text_is_not_read_as_headers() {
        for (text, want) in [
            (
                "*** Begin Patch\n*** Add File: a b.txt\n+*** Delete File: x\n*** End Patch\n",
                "create a b.txt",
            ),
            (
                "*** Begin Patch\n*** Update File: a\n*** Move to: b/c\n@@ fn x\n-1\n+2\n*** Delete File: d\n*** End Patch",
                "write a; move a b/c; delete d",
            ),
            ("*** Update File: a\n@@\n *** Delete File: x\n+*** Delete File: y\n", "write a"),
            ("  *** Add File: a\n+x\n  *** Delete File: /etc/b  \n", "create a; delete /etc/b"),
            ("*** Move File: a -> b\n", "move a b"),
            ("*** Move to: b\n*** Add File:\n", ""),
            ("*** Begin Patch\r\n*** Add File: a\r\n+x\r\n*** End Patch\r\n", "create a"),
        ] {
            assert_eq!(told(text), want, "{text}");
        }
    }

    #[test]
    fn a_diff_is_read_with_and_without_the_lines_of_git() {
        for (text, want) in [
            ("--- a/x.rs\n+++ b/x.rs\n@@ -1 +1 @@\n-a\n+b\n", "write x.rs"),
            ("--- x.orig\t2024-01-01\n+++ x\t2024-01-02\n@@ -1,2 +1,2 @@\n--- y\n+++ z\n c\n", "write x"),
            ("--- /dev/null\n+++ b/new\n@@ -0,0 +1 @@\n+a\n", "create new"),
            ("--- a/gone\n+++ /dev/null\n@@ -1 +0,0 @@\n-a\n--- a/x\n+++ b/x\n", "delete gone; write x"),
            (
                "diff --git a/p b/q\nsimilarity index 90%\nrename from p\nrename to q\n--- a/p\n+++ b/q\n@@ -1 +1 @@\n-a\n+b\n",
                "move p q; write q",
            ),
            ("+++ b/x\n", "write x"),
            ("nothing", ""),
            ("", ""),
        ] {
            assert_eq!(told(text), want, "{text}");
        }
    }
}
