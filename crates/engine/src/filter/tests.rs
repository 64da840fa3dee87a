//! The grammar as tables, checked against `rclone lsf -R --files-only` 1.75.2 where not marked as a difference, and
//! the properties that no table can hold.

use std::time::{Duration, SystemTime};

use proptest::prelude::*;

use super::{Condition, Filter, FilterError, FilterSpec, RuleSource};

fn strings(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|&text| text.to_owned()).collect()
}

fn filter(rules: &[&str]) -> Filter {
    Filter::new(&FilterSpec { filter: strings(rules), ..FilterSpec::default() }).expect("valid")
}

/// Whether `--filter` rules take the file.
fn check(rules: &[&str], path: &str, expected: bool) {
    assert_eq!(filter(rules).admits_file(path, None, None), expected, "{rules:?} on {path:?}");
}

/// Whether a pattern matches the file: seen as an exclude rule and as an include rule.
fn check_pattern(pattern: &str, path: &str, expected: bool) {
    check(&[&format!("- {pattern}")], path, !expected);
    check(&[&format!("+ {pattern}"), "- **"], path, expected);
}

/// Whether the folder is listed.
fn check_folder(rules: &[&str], path: &str, expected: bool) {
    assert_eq!(filter(rules).admits_dir(path), expected, "{rules:?} on folder {path:?}");
}

fn check_error(rules: &[&str], expected: &str) {
    let spec = FilterSpec { filter: strings(rules), ..FilterSpec::default() };
    let found = Filter::new(&spec).expect_err(expected).to_string();
    assert!(found.contains(expected), "{found} does not contain {expected}");
    assert!(!found.contains('\n'), "{found}");
}

#[test]
fn patterns_match_as_in_rclone() {
    let table: &[(&str, &[&str], &[&str])] = &[
        ("file.jpg", &["file.jpg", "d/file.jpg"], &["afile.jpg", "d/afile.jpg", "file.jpg/x"]),
        ("/file.jpg", &["file.jpg"], &["d/file.jpg", "afile.jpg"]),
        (
            "*.jpg",
            &["a.jpg", ".jpg", "d/a.jpg", "a\n.jpg"],
            &["a.png", "a.jpgx", "a.jpg/x", "axjpg"],
        ),
        ("/*.jpg", &["a.jpg"], &["d/a.jpg"]),
        ("d/*", &["d/a", "x/d/a"], &["d/e/a", "xd/a", "d"]),
        ("d/**", &["d/a", "d/e/a", "x/d/e/a"], &["xd/a", "d"]),
        ("a**b", &["ab", "axb", "a/x/b", "d/a/b", "a\n/b"], &["ba", "a/b/c"]),
        ("**", &["a", "a/b"], &[]),
        ("**/a", &["x/a", "x/y/a"], &["a", "b"]),
        ("/**/a", &["x/a", "x/y/a"], &["a"]),
        ("a?c", &["abc", "aéc", "a\nc"], &["ac", "a/c", "abbc"]),
        ("[abc]", &["a", "d/c"], &["d", "ab"]),
        ("[a-c]x", &["bx"], &["dx", "-x"]),
        ("[^a]", &["b", "!"], &["a"]),
        ("x[^a]y", &["xby", "x/y"], &["xay"]),
        ("[[:alpha:]]", &["a", "Z"], &["1", "é"]),
        (r"[\d]", &["1"], &["a", "٣"]),
        ("a{b,c}d", &["abd", "acd"], &["ad", "abcd", "ab,cd"]),
        ("a{,b}c", &["ac", "abc"], &["a,bc"]),
        ("{a,b/c}", &["a", "b/c", "d/a", "d/b/c"], &["c", "b"]),
        ("a{b,c{d,e}}", &["ab", "acd", "ace"], &["ac", "abd"]),
        ("a,b", &["a,b"], &["a", "b"]),
        ("*.{{jpe?g}}", &["a.jpg", "d/a.jpeg"], &["a.jpeeg"]),
        ("/{{.*\\.jpe?g}}", &["a.jpg", "d/a.jpeg"], &["a.png"]),
        ("{{a{2}}}", &["aa"], &["a", "a{2}"]),
        ("{{a|b}}c", &["ac", "bc"], &["a", "abc"]),
        ("*.{{(?i)jpg}}", &["a.JPG"], &["a.png"]),
        (r"*.\?\?\?", &["a.???"], &["a.abc"]),
        (r"*.\d\d\d", &["a.012"], &["a.abc", "a.٣٣٣"]),
        (r"a\*b", &["a*b"], &["axb"]),
        (r"\[a\]", &["[a]"], &["a"]),
        (r"\{a,b\}", &["{a,b}"], &["a"]),
        (r"a\\b", &["a\\b"], &["ab"]),
        (r"\x61", &["a"], &["x61"]),
        (r"\pLx", &["éx"], &["1x"]),
        ("a.b+(c)|^$", &["a.b+(c)|^$"], &["axb+(c)|^$", "a.b"]),
        ("a b # c", &["a b # c"], &["a b"]),
        (" a", &[" a"], &["a"]),
        ("ÄÖ", &["ÄÖ"], &["äö"]),
        ("d//a", &[], &["d/a"]),
        // Differences from rclone 1.75, each named in the module header.
        ("[!a].txt", &["b.txt"], &["a.txt"]),
        (r"[\]]", &["]"], &["a"]),
        ("/[^/]*", &["a"], &["a/b"]),
        ("[a[b]", &["[", "a"], &["]"]),
        ("[a&&b]", &["&", "a"], &["c"]),
        (r"\x{41}\p{Greek}", &["Aα"], &["Aa"]),
    ];
    for (pattern, yes, no) in table {
        for path in *yes {
            check_pattern(pattern, path, true);
        }
        for path in *no {
            check_pattern(pattern, path, false);
        }
    }
}

#[test]
fn the_first_rule_that_matches_decides() {
    check(&[], "a", true);
    check(&["+ a"], "b", true);
    check(&["+ a.txt", "- *.txt"], "a.txt", true);
    check(&["- *.txt", "+ a.txt"], "a.txt", false);
    check(&["- /dir1/", "+ *.pdf", "- **"], "dir1/a.pdf", false);
    check(&["- /dir1/", "+ *.pdf", "- **"], "x/dir1/a.pdf", true);
    check(&["- /dir1/", "+ *.pdf", "- **"], "a.txt", false);
    check(&["- a", "!", "+ b", "- *"], "a", false);
    check(&["- a", "!"], "a", true);
}

#[test]
fn folder_rules_reach_files_only_when_they_exclude() {
    check(&["- d/"], "d/a", false);
    check(&["- d/"], "x/d/e/a", false);
    check(&["- d/"], "d", true);
    check(&["- /d/"], "x/d/a", true);
    check(&["- /"], "a/b", false);
    check(&["+ d/", "- *"], "d/a", false);
    check(&["- {{a|b}}/"], "x/b/c", false);
    check(&["-  d/"], "d/a", true);
}

#[test]
fn case_is_ignored_on_request() {
    for (rules, path, plain) in
        [(["- *.JPG"], "a.jpg", true), (["- ÄÖ"], "äö", true), (["- [A-C]"], "b", true)]
    {
        check(&rules, path, plain);
        let spec =
            FilterSpec { filter: strings(&rules), ignore_case: true, ..FilterSpec::default() };
        assert!(!Filter::new(&spec).expect("valid").admits_file(path, None, None), "{rules:?}");
    }
}

#[test]
fn folders_are_pruned_when_nothing_below_can_match() {
    for (rules, folder, expected) in [
        (&["- d/"][..], "d", false),
        (&["- d/"], "x/d", false),
        (&["- d/"], "x/d/e", false),
        (&["- d/"], "dd", true),
        (&["- /d/"], "x/d", true),
        (&["- d/**"], "d", false),
        (&["- d/*"], "d", true),
        (&["- d*/"], "dx", false),
        (&["- d**"], "dx", false),
        (&["- *"], "d", false),
        (&["- /*"], "d", true),
        (&["- *.jpg"], "d.jpg", true),
        (&["- {{a|b}}/"], "x/a", false),
        (&["- {a,b}/"], "b", false),
        (&["- {a,b/c}/**"], "b", true),
        (&["- {a,b/c}/**"], "b/c", false),
        (&["+ /a/b/*.jpg", "- *"], "a", true),
        (&["+ /a/b/*.jpg", "- *"], "a/b", true),
        (&["+ /a/b/*.jpg", "- *"], "a/c", false),
        (&["+ /a/b/*.jpg", "- *"], "a/b/c", false),
        (&["+ /a/b/*.jpg", "- *"], "b", false),
        (&["+ /a/**", "- **"], "a/b/c", true),
        (&["+ /a/**", "- **"], "b", false),
        (&["+ /a**z", "- **"], "ab/c", true),
        (&["+ /a**z", "- **"], "b", false),
        (&["+ *.jpg", "- *"], "any/folder", true),
        (&["- /big/", "+ *.jpg", "- *"], "big", false),
        (&["+ *.jpg", "- /big/", "- *"], "big", true),
        (&["+ /d/", "- *"], "d", true),
        (&["+ /d/", "- *"], "e", false),
        (&["+ /{a,b/c}/*", "- *"], "e", true),
        (&["+ /{{a}}/*", "- *"], "e", true),
        (&["+ /{a,{b,c}}/*", "- *"], "e", true),
        (&["+ /{a,b}/*", "- *"], "e", false),
        (&["+ /a", "!", "- /b/"], "c", true),
        // Differences from rclone 1.75: it prunes all four and so loses files that the rules take.
        (&["+ a/c.txt", "- *"], "p", true),
        (&["+ a/**", "- *"], "p", true),
        (&["- **[^x]"], "p", true),
        (&["+ /a[^x]c", "- *"], "a", true),
    ] {
        check_folder(rules, folder, expected);
        check_folder(rules, &format!("/{folder}/"), expected);
        check_folder(rules, "", true);
    }
}

#[test]
fn options_are_assembled_by_kind() {
    let spec = FilterSpec {
        include: strings(&["a*"]),
        include_from: strings(&["# comment", "  b*  ", "", "; comment"]),
        exclude: strings(&["ab", "b1"]),
        exclude_from: strings(&["c"]),
        filter: strings(&["+ d"]),
        filter_from: strings(&["", "#", " - d ", "+ e"]),
        ..FilterSpec::default()
    };
    let filter = Filter::new(&spec).expect("valid");
    for (path, expected) in
        [("ab", true), ("b1", true), ("c", false), ("d", true), ("e", true), ("f", false)]
    {
        assert_eq!(filter.admits_file(path, None, None), expected, "{path}");
    }
    assert_eq!(
        filter.describe(),
        r##"rules + "a*" + "b*" - "ab" - "b1" - "c" + "d" - "d" + "e" - "/**""##
    );
}

#[test]
fn an_include_option_excludes_the_rest_even_when_it_asks_for_nothing() {
    let cases = [
        FilterSpec { include_from: strings(&[""]), ..FilterSpec::default() },
        FilterSpec { include_from: strings(&["# nothing"]), ..FilterSpec::default() },
        FilterSpec { include: strings(&["b"]), filter: strings(&["!"]), ..FilterSpec::default() },
    ];
    for spec in cases {
        let filter = Filter::new(&spec).expect("valid");
        assert!(!filter.admits_file("a", None, None), "{spec:?}");
        assert!(!filter.admits_dir("d"), "{spec:?}");
        assert!(!filter.admits_everything(), "{spec:?}");
    }
}

#[test]
fn repeated_rules_are_dropped() {
    assert_eq!(filter(&["- a", "- a", "+ a", "- a"]).describe(), r#"rules - "a" + "a""#);
}

#[test]
fn listed_files_are_taken_exactly() {
    let spec = FilterSpec {
        files_from: Some(strings(&["# x", "", " /a/b/c.txt ", "d//e", "./f/", "[x]*"])),
        files_from_raw: Some(strings(&[" g", "#h", ""])),
        ..FilterSpec::default()
    };
    let filter = Filter::new(&spec).expect("valid");
    let names: Vec<&str> = filter.listed_files().collect();
    assert_eq!(names, [" g", "#h", "[x]*", "a/b/c.txt", "d/e", "f"]);
    for name in names {
        assert!(filter.admits_file(name, None, None), "{name}");
    }
    for (folder, expected) in
        [("", true), ("a", true), ("a/b", true), ("d", true), ("a/b/c.txt", false), ("x", false)]
    {
        assert_eq!(filter.admits_dir(folder), expected, "{folder}");
    }
    assert!(!filter.admits_file("a/b/C.txt", None, None));
    assert!(!filter.admits_file("x/f", None, None));
    assert!(!filter.admits_everything());
    assert!(filter.describe().starts_with("files 6 with digest "), "{}", filter.describe());

    let empty = FilterSpec { files_from: Some(Vec::new()), ..FilterSpec::default() };
    assert!(!Filter::new(&empty).expect("valid").admits_file("a", None, None));
}

#[test]
fn listed_files_cannot_be_combined_with_other_filters() {
    let list = FilterSpec { files_from: Some(strings(&["a"])), ..FilterSpec::default() };
    let rule = || strings(&["- a"]);
    let now = Some(SystemTime::UNIX_EPOCH);
    let cases = [
        (Condition::Rules(RuleSource::Include), FilterSpec { include: rule(), ..list.clone() }),
        (
            Condition::Rules(RuleSource::IncludeFrom),
            FilterSpec { include_from: rule(), ..list.clone() },
        ),
        (Condition::Rules(RuleSource::Exclude), FilterSpec { exclude: rule(), ..list.clone() }),
        (
            Condition::Rules(RuleSource::ExcludeFrom),
            FilterSpec { exclude_from: rule(), ..list.clone() },
        ),
        (Condition::Rules(RuleSource::Filter), FilterSpec { filter: rule(), ..list.clone() }),
        (
            Condition::Rules(RuleSource::FilterFrom),
            FilterSpec { filter_from: rule(), ..list.clone() },
        ),
        (Condition::MinSize, FilterSpec { min_size: Some(1), ..list.clone() }),
        (Condition::MaxSize, FilterSpec { max_size: Some(1), ..list.clone() }),
        (Condition::ModifiedAfter, FilterSpec { modified_after: now, ..list.clone() }),
        (Condition::ModifiedBefore, FilterSpec { modified_before: now, ..list.clone() }),
    ];
    for (other, spec) in cases {
        let found = Filter::new(&spec).expect_err("refused");
        assert_eq!(found, FilterError::FilesFromCombined { other });
    }
    let depth = FilterSpec { max_depth: Some(1), ignore_case: true, ..list };
    assert!(Filter::new(&depth).expect("valid").admits_file("a", None, None));
}

#[test]
fn sizes_and_ages_are_inclusive_and_pass_the_unknown() {
    let at = |seconds| Some(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds));
    let spec = FilterSpec {
        min_size: Some(10),
        max_size: Some(20),
        modified_after: at(100),
        modified_before: at(200),
        ..FilterSpec::default()
    };
    let filter = Filter::new(&spec).expect("valid");
    for (size, modified, expected) in [
        (Some(10), at(100), true),
        (Some(20), at(200), true),
        (Some(9), at(150), false),
        (Some(21), at(150), false),
        (Some(15), at(99), false),
        (Some(15), at(201), false),
        (None, at(150), true),
        (Some(15), None, true),
        (None, None, true),
    ] {
        assert_eq!(filter.admits_file("a", size, modified), expected, "{size:?} {modified:?}");
    }
    assert!(filter.admits_dir("any/folder"));
    assert_eq!(
        filter.describe(),
        "size >= 10; size <= 20; modified >= 100.000000000; modified <= 200.000000000"
    );
    let swapped = FilterSpec { min_size: Some(2), max_size: Some(1), ..FilterSpec::default() };
    assert_eq!(
        Filter::new(&swapped).expect_err("sizes"),
        FilterError::SizesExcludeAll { min: 2, max: 1 }
    );
    let swapped =
        FilterSpec { modified_after: at(2), modified_before: at(1), ..FilterSpec::default() };
    assert_eq!(Filter::new(&swapped).expect_err("ages"), FilterError::AgesExcludeAll);
}

#[test]
fn depth_counts_the_names_of_a_path() {
    for (depth, path, file, folder) in [
        (1, "a", true, false),
        (1, "a/b", false, false),
        (2, "a", true, true),
        (2, "a/b", true, false),
        (0, "a/b/c", true, true),
    ] {
        let spec = FilterSpec { max_depth: Some(depth), ..FilterSpec::default() };
        let filter = Filter::new(&spec).expect("valid");
        assert_eq!(filter.admits_file(path, None, None), file, "{depth} {path}");
        assert_eq!(filter.admits_dir(path), folder, "{depth} {path}");
        assert!(filter.admits_dir(""));
        assert_eq!(filter.admits_everything(), depth == 0);
    }
}

#[test]
fn everything_is_everything() {
    for filter in [Filter::everything(), filter(&[]), filter(&["- a", "!"])] {
        assert!(filter.admits_everything());
        assert!(filter.admits_dir("a/b"));
        assert!(filter.admits_file("a/b", Some(0), None));
        assert_eq!(filter.describe(), "everything");
        assert_eq!(filter.listed_files().count(), 0);
    }
    assert!(!filter(&["- a"]).admits_everything());
}

#[test]
fn errors_name_the_rule_and_the_place() {
    check_error(&["- a", "- a/***"], "rules, number 2: at character 3: too many stars");
    check_error(&["- ab]c"], "at character 3: mismatched ']'");
    check_error(&["- ab[c"], "at character 3: mismatched '['");
    check_error(&["- ab}c"], "at character 3: mismatched '}'");
    check_error(&["- ab{}}cd"], "at character 5: mismatched '}'");
    check_error(&["- ab{c"], "at character 3: mismatched '{'");
    check_error(&["- a{b,{c}"], "at character 2: mismatched '{'");
    check_error(&["- ab{{cd"], "at character 3: mismatched '{{'");
    check_error(&["- ab{{cd}"], "at character 3: mismatched '{{'");
    check_error(&["- {a,{{b}}}"], "at character 1: mismatched '{'");
    check_error(&["- []a]"], "at character 2: the class is empty");
    check_error(&["- [a--b]"], "at character 2: the range runs backwards");
    check_error(&["- top\\"], "at character 4: nothing follows the backslash");
    check_error(&[r"- \Qa\E"], "at character 1: unknown escape");
    check_error(&["- {{(}}"], "at character 3: invalid regular expression: unclosed group");
    check_error(&["- /{{a)/(c}}"], "at character 4: invalid regular expression");
    check_error(&[r"- {{(\w{999}){999}}}"], "size limit");
    check_error(&["- "], "the pattern is empty");
    for malformed in ["a", "-a", " - a", "# a", "", "! ", "*"] {
        check_error(&[malformed], "at character 1: a rule is");
    }
    let deep = format!("- {}a{}", "{x,".repeat(33), "}".repeat(33));
    check_error(&[&deep], "32 levels are allowed");
    let long = format!("- {}", "a".repeat(70_000));
    check_error(&[&long], "70000 characters");
    let spec = FilterSpec { exclude_from: strings(&["# x", " a] "]), ..FilterSpec::default() };
    let found = Filter::new(&spec).expect_err("unopened").to_string();
    assert!(found.starts_with("exclude rules of files, line 2: at character 2: "), "{found}");
    assert!(found.ends_with(": \"a]\""), "{found}");
}

/// Text that is often a valid pattern: few letters, so that random paths match random patterns.
fn pattern() -> impl Strategy<Value = String> {
    let part = prop_oneof![
        6 => "[ab]",
        3 => Just("/".to_owned()),
        3 => Just("*".to_owned()),
        3 => Just("**".to_owned()),
        1 => Just("?".to_owned()),
        1 => Just("[^a]".to_owned()),
        1 => Just("[!b/]".to_owned()),
        1 => Just(r"\D".to_owned()),
        1 => Just(r"\/".to_owned()),
        1 => "[{][ab/*]{0,3},[ab]?[}]",
        1 => Just("{a,{b,/}}".to_owned()),
        1 => Just("{{a|/b|$}}".to_owned()),
        1 => Just("{{/$|[^b]}}".to_owned()),
        1 => Just(r"{{\b|a.*}}".to_owned()),
    ];
    prop::collection::vec(part, 1..6).prop_map(|parts| parts.concat())
}

fn rule() -> impl Strategy<Value = String> {
    prop_oneof![
        12 => ("[+-] ", pattern()).prop_map(|(sign, pattern)| sign + &pattern),
        2 => Just("- *".to_owned()),
        1 => Just("- **".to_owned()),
        1 => Just("!".to_owned()),
    ]
}

fn path() -> impl Strategy<Value = String> {
    prop::collection::vec("[abA\n]{1,2}", 1..5).prop_map(|names| names.join("/"))
}

proptest! {
    // The cases that break pruning are rare: a wrong rule shows after some hundred.
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn a_pruned_folder_never_holds_an_admitted_file(
        rules in prop::collection::vec(rule(), 1..5),
        include in prop::option::of(pattern()),
        ignore_case: bool,
        max_depth in prop::option::of(0usize..4),
        paths in prop::collection::vec(path(), 1..20),
    ) {
        let include = include.into_iter().collect();
        let spec = FilterSpec { include, filter: rules, ignore_case, max_depth, ..FilterSpec::default() };
        let Ok(filter) = Filter::new(&spec) else { return Ok(()) };
        for path in paths {
            if filter.admits_file(&path, None, None) {
                for (end, _) in path.match_indices('/') {
                    prop_assert!(filter.admits_dir(&path[..end]), "{:?} in {:?}", path, &path[..end]);
                }
            }
        }
    }
}

proptest! {
    #[test]
    fn listed_files_are_reachable(lines in prop::collection::vec("[ab/. ]{0,8}", 0..8)) {
        let spec = FilterSpec { files_from: Some(lines), ..FilterSpec::default() };
        let filter = Filter::new(&spec).expect("lists are always valid");
        for name in filter.listed_files() {
            prop_assert!(filter.admits_file(name, None, None));
            for (end, _) in name.match_indices('/') {
                prop_assert!(filter.admits_dir(&name[..end]));
            }
        }
    }

    #[test]
    fn a_literal_name_matches_itself_when_escaped(name in "[^/]{1,8}") {
        let escaped: String = name
            .chars()
            .flat_map(|character| {
                character.is_ascii_punctuation().then_some('\\').into_iter().chain([character])
            })
            .collect();
        check_pattern(&escaped, &name, true);
        check_pattern(&escaped, &format!("{name}x"), false);
        check_pattern(&format!("/{escaped}"), &format!("d/{name}"), false);
    }

    #[test]
    fn hostile_rules_are_refused_or_compiled(
        text in prop_oneof!["(?s).{0,24}", r"[-+! *?/{}\[\]\\,^$.|()a-c:0-9dDQEpPx]{0,24}"],
        path in path(),
    ) {
        for pattern in [text.clone(), format!("{{{{{text}}}}}"), format!("[{text}]")] {
            let spec = FilterSpec {
                include: vec![pattern.clone()],
                filter: vec![format!("- {pattern}")],
                filter_from: vec![text.clone()],
                ..FilterSpec::default()
            };
            if let Ok(filter) = Filter::new(&spec) {
                filter.admits_file(&path, None, None);
                filter.admits_dir(&path);
                prop_assert!(!filter.describe().contains('\n'));
            }
        }
    }
}
