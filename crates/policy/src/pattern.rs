//! Patterns of resource names: `*` is anything within a segment, `**` is anything.
//!
//! `a/**` is `a` itself and all below it, `a/**/b` is also `a/b`: who names a folder means both.

/// Whether `name` is one of those that `pattern` stands for. `name` is taken as it is written:
/// a `*` in it stands for itself, so it is covered only by something at least as wide.
pub(crate) fn covers(pattern: &str, name: &str) -> bool {
    meets(&parts(pattern), &name.chars().map(Part::Char).collect::<Vec<_>>(), false)
}

/// Whether there is a name that both stand for.
pub(crate) fn overlap(one: &str, other: &str) -> bool {
    one == other || meets(&parts(one), &parts(other), true)
}

/// Whether `path` is `folder` or below it, by whole segments.
pub(crate) fn is_below(path: &str, folder: &str) -> bool {
    let folder = folder.trim_end_matches('/');
    path.strip_prefix(folder).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// A glob of a shell as a pattern: what else than a star stands for several names becomes one.
pub(crate) fn of_glob(glob: &str) -> String {
    glob.chars().map(|c| if matches!(c, '?' | '[' | ']' | '{' | '}') { '*' } else { c }).collect()
}

/// Above this many steps, two patterns are taken to overlap, and not to cover each other.
const MAX_STEPS: usize = 1 << 22;

#[derive(Clone, Copy, PartialEq)]
enum Part {
    Char(char),
    Within,
    Any,
    /// The slash before `**`, which may be missing together with the `**`.
    Slash,
}

impl Part {
    fn is_wild(self) -> bool {
        matches!(self, Part::Within | Part::Any)
    }

    fn char(self) -> Option<char> {
        match self {
            Part::Char(c) => Some(c),
            Part::Slash => Some('/'),
            Part::Within | Part::Any => None,
        }
    }

    fn takes(self, c: char) -> bool {
        self == Part::Any || self == Part::Within && c != '/'
    }
}

fn parts(text: &str) -> Vec<Part> {
    let chars: Vec<char> = text.chars().collect();
    let mut parts = Vec::with_capacity(chars.len());
    let mut at = 0;
    while let Some(c) = chars.get(at) {
        let stars = chars[at..].iter().take_while(|c| **c == '*').count();
        let next = |n: usize| chars.get(at + n).copied();
        match stars {
            0 if *c == '/'
                && next(1) == Some('*')
                && next(2) == Some('*')
                && matches!(next(3), None | Some('/')) =>
            {
                parts.extend([Part::Slash, Part::Any]);
                at += 3;
            }
            0 => {
                parts.push(Part::Char(*c));
                at += 1;
            }
            1 => {
                parts.push(Part::Within);
                at += 1;
            }
            _ => {
                parts.push(Part::Any);
                at += stars;
            }
        }
    }
    parts
}

/// Walks both at once: a state is how much of each has been used up.
fn meets(one: &[Part], other: &[Part], when_too_long: bool) -> bool {
    if one.len().saturating_mul(other.len()) > MAX_STEPS {
        return when_too_long;
    }
    let width = other.len() + 1;
    let mut reached = vec![false; (one.len() + 1) * width];
    reached[0] = true;
    for i in 0..=one.len() {
        for j in 0..=other.len() {
            if !reached[i * width + j] {
                continue;
            }
            let (a, b) = (one.get(i).copied(), other.get(j).copied());
            let mut go = |i: usize, j: usize| reached[i * width + j] = true;
            // What may stand for nothing is skipped …
            match a {
                Some(Part::Slash) => go(i + 2, j),
                Some(part) if part.is_wild() => go(i + 1, j),
                _ => {}
            }
            match b {
                Some(Part::Slash) => go(i, j + 2),
                Some(part) if part.is_wild() => go(i, j + 1),
                _ => {}
            }
            // … or a character is used up on both sides.
            let (Some(a), Some(b)) = (a, b) else { continue };
            match (a.char(), b.char()) {
                (Some(x), Some(y)) if x == y => go(i + 1, j + 1),
                (None, Some(c)) if a.takes(c) => go(i, j + 1),
                (Some(c), None) if b.takes(c) => go(i + 1, j),
                _ => {}
            }
        }
    }
    reached[one.len() * width + other.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_pattern_is_the_folder_and_all_below() {
        for (pattern, name, want) in [
            ("file:/w/**", "file:/w", true),
            ("file:/w/**", "file:/w/a/b", true),
            ("file:/w/**", "file:/web", false),
            ("file:/w/*", "file:/w/a/b", false),
            ("file:/w/**/a.rs", "file:/w/a.rs", true),
            ("file:/w/**/a.rs", "file:/w/x/y/a.rs", true),
            ("file:/w/**/a.rs", "file:/w/xa.rs", false),
            ("git:*#main", "git:origin#main", true),
            ("git:*#main", "git:origin#mainline", false),
            ("git:**", "git:@{push}", true),
            ("**", "file:/", true),
            ("file:/w/*.log", "file:/w/*", false),
            ("file:/w/*", "file:/w/*.log", true),
        ] {
            assert_eq!(covers(pattern, name), want, "{pattern} {name}");
        }
        assert!(overlap("file:/w/*.log", "file:/w/a*") && overlap("file:/w/src/**", "file:/w/**/legacy/**"));
        assert!(!overlap("file:/w/src/*", "file:/w/doc/**"));
    }
}
