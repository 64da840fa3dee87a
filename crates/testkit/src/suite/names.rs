//! Names of files and folders survive exactly, however nasty.

use std::sync::Arc;

use futures::StreamExt;
use ketch_core::names::{bytes_from_core, core_from_bytes};
use ketch_core::{Backend, Entry, ErrorKind, PutOptions};

use super::case::{Case, case, longest_name};
use super::context::{Context, contents, expect_error, path, try_list, try_read};

pub(super) const CASES: &[Case] = &[
    case!(control_characters),
    case!(ascii_punctuation),
    case!(spaces_and_dots_at_the_ends),
    case!(bytes_that_are_not_utf8),
    case!(percent_and_markup_look_alikes),
    case!(full_width_and_symbol_twins),
    case!(all_scripts),
    case!(names_that_mean_something_elsewhere),
    case!(names_at_random),
    case!(a_deep_path_of_odd_names),
    case!(names_that_differ_in_case_only_are_two),
    case!(names_that_differ_in_normalisation_only_are_two),
    case!(names_that_one_could_take_for_each_other_are_two),
    case!(a_name_like_a_temporary_one_is_stored_or_refused),
    case!(a_name_that_is_refused_leaves_nothing),
    case!(a_name_as_long_as_claimed, longest_name),
    case!(a_name_longer_than_claimed_is_refused, longest_name),
];

/// Stores, finds, reads and deletes a file of each name, and a folder of each name with a file in it. All failures are
/// told at once.
async fn round_trip(context: &Context, raw: impl IntoIterator<Item = impl AsRef<[u8]>>) {
    let mut names: Vec<String> =
        raw.into_iter().map(|name| core_from_bytes(name.as_ref())).collect();
    names.sort();
    names.dedup();
    let mut failures = Vec::new();
    for (top, is_folder) in [("files", false), ("folders", true)] {
        let checks = names.iter().map(|name| async move {
            let checked = round_trip_one(context, top, name, is_folder).await;
            checked.err().map(|why| format!("{top}/{name:?}: {why}"))
        });
        let checks: Vec<_> = futures::stream::iter(checks).buffered(4).collect().await;
        failures.extend(checks.into_iter().flatten());
        if failures.is_empty() {
            assert_eq!(context.names(top).await, names);
            assert_eq!(super::context::names_of(&listed_afresh(context, top).await), names);
        }
    }
    assert!(failures.is_empty(), "{} names failed:\n  {}", failures.len(), failures.join("\n  "));
}

async fn listed_afresh(context: &Context, dir: &str) -> Vec<Entry> {
    try_list(&*context.afresh(), dir).await.expect("listed")
}

async fn round_trip_one(
    context: &Context,
    top: &str,
    name: &str,
    is_folder: bool,
) -> Result<(), String> {
    let at = path(top).join(name).map_err(|error| error.to_string())?;
    let file = if is_folder { at.join("inside").expect("legal") } else { at.clone() };
    let content = format!("content of {name}");
    let backend: &Arc<dyn Backend> = context.backend();
    // Twice, so that what was deleted can be there again; at the end it stays.
    for is_last in [false, true] {
        let body = ketch_core::source::BytesSource::body(content.clone());
        let stored = backend.put(&file, body, PutOptions::default()).await;
        let stored = stored.map_err(|error| format!("put: {error:?}"))?;
        let seen = backend.stat(&at).await.map_err(|error| format!("stat: {error:?}"))?;
        if seen.path != at || seen.is_dir() != is_folder || stored.path != file {
            return Err(format!("shown as {seen:?}, returned as {stored:?}"));
        }
        let listed = try_list(&**backend, top).await.map_err(|error| format!("list: {error:?}"))?;
        let listed: Vec<_> = listed.into_iter().filter(|entry| entry.path == at).collect();
        if listed.len() != 1 || listed[0].is_dir() != is_folder {
            return Err(format!("listed {} times", listed.len()));
        }
        let entry = if is_folder { &stored } else { &listed[0] };
        let read = try_read(&**backend, entry, None).await;
        let read = read.map_err(|error| format!("read: {error:?}"))?;
        if read != content {
            return Err(format!("reads as {read:?}"));
        }
        if !is_last {
            backend.delete_one(entry).await.map_err(|error| format!("delete: {error:?}"))?;
            if !contents(&**backend, file.as_str()).await.is_empty() {
                return Err("still there after delete".to_owned());
            }
        }
    }
    Ok(())
}

/// The character alone (if that is a name), first, in the middle, last and doubled.
fn everywhere(part: &str) -> impl Iterator<Item = String> + use<> {
    let names = [
        part.to_owned(),
        format!("{part}b"),
        format!("a{part}b"),
        format!("a{part}"),
        format!("a{part}{part}b"),
    ];
    names.into_iter().filter(|name| !matches!(name.as_str(), "." | ".."))
}

async fn control_characters(context: &Context) {
    let controls = (1..0x20).chain([0x7f]).map(|code| char::from(code).to_string());
    let controls: Vec<String> = controls.collect();
    let middle = controls.iter().map(|control| format!("a{control}b"));
    let ends = ["\n", "\r", "\t", "\u{b}", "\u{7f}", "\u{1}"].iter().flat_map(|c| everywhere(c));
    let all = [format!("all{}controls", controls.concat())];
    round_trip(context, middle.chain(ends).chain(all)).await;
}

async fn ascii_punctuation(context: &Context) {
    let marks = (b'!'..=b'~').filter(|byte| byte.is_ascii_punctuation() && *byte != b'/');
    let marks: Vec<String> = marks.map(|byte| char::from(byte).to_string()).collect();
    let middle = marks.iter().map(|mark| format!("a{mark}b"));
    let ends = marks.iter().flat_map(|mark| [format!("{mark}b"), format!("a{mark}")]);
    let alone = marks.iter().filter(|mark| *mark != ".").cloned();
    let all = [marks.concat(), format!("a {} b", marks.concat())];
    round_trip(context, middle.chain(ends).chain(alone).chain(all)).await;
}

async fn spaces_and_dots_at_the_ends(context: &Context) {
    let names = [
        " ",
        "  ",
        " a",
        "  a",
        "a ",
        "a  ",
        " a ",
        "a b",
        "a  b",
        "...",
        "....",
        ".a",
        "..a",
        "a.",
        "a..",
        ". ",
        " .",
        "a .",
        "~",
        "~a",
        "a~",
        "-",
        "--",
        "-rf",
        "--help",
        "a\u{a0}",
        "\u{a0}a",
        "\u{3000}a\u{3000}",
    ];
    round_trip(context, names).await;
}

async fn bytes_that_are_not_utf8(context: &Context) {
    let names: [&[u8]; 10] = [
        b"a\xfeb",
        b"\xfe",
        b"\xff\xfe",
        b"a\x80",
        b"\xc3",
        b"a\xc3\x28b",
        b"caf\xe9",
        b"\xed\xa0\x80",
        b"\xf0\x9f\x98",
        b"\xbf\xc3\xa9\xbf",
    ];
    round_trip(context, names).await;
}

async fn percent_and_markup_look_alikes(context: &Context) {
    let names = [
        "test%46.txt",
        "%",
        "%%",
        "%2F",
        "%2f",
        "%00",
        "%0A",
        "a%20b",
        "100%",
        "%zz",
        "a+b",
        "a b+c",
        "&amp;",
        "&lt;b&gt;",
        "<b>bold<b>",
        "a&b=c",
        "a?b#c",
        "a;b",
        "a:b",
        "?",
        "#",
        "'",
        "\"",
        "\"quoted\"",
        "`id`",
        "$HOME",
        "${HOME}",
        "\\",
        "a\\b",
        "\\n",
        "C:\\Windows",
        "*",
        "[a-z]",
        "{a,b}",
        "a|b",
        "null",
        "true",
        "0",
        "\u{feff}bom",
        "filename=\"x\"; name=\"y\"",
        "a\r\nContent-Type: text",
    ];
    round_trip(context, names).await;
}

async fn full_width_and_symbol_twins(context: &Context) {
    let names = [
        "＼",
        "a＼b",
        "＜＞",
        "＂",
        "＇",
        "＄",
        "｀",
        "／",
        "a／b",
        "：＊？｜",
        "．",
        "．．",
        "～",
        "！",
        "␀",
        "␊",
        "a␊b",
        "␟",
        "␡",
        "␠",
        "␠a",
        "a␠",
        "a␠b",
        " ␠",
        "␠ ",
        "‛",
        "‛‛",
        "a‛b",
        "‛a",
        "a‛",
        "‛＼",
        "a‛＼b",
        "‛␠",
        "‛␊",
        "‛FE",
        "‛‛FE",
        "‛2F",
        "‛2E‛2E",
        "‛00",
        "％",
        "＃",
    ];
    round_trip(context, names).await;
}

async fn all_scripts(context: &Context) {
    let names = [
        "été",
        "ÉTÉ",
        "straße",
        "Ελληνικά",
        "кириллица",
        "עברית",
        "العربية",
        "हिन्दी",
        "ไทย",
        "日本語",
        "中文",
        "한국어",
        "😀",
        "👩‍👩‍👧‍👦",
        "🇫🇷",
        "a😀b",
        "𝒳",
        "\u{10ffff}",
        "\u{200b}",
        "a\u{200d}b",
        "\u{202e}rtl",
        "a\u{2028}b",
        "İi",
        "ǅ",
        "ﬁ",
        "ẞß",
        "Ω\u{2126}",
        "K\u{212a}",
        "\u{fffd}",
        "\u{e000}",
    ];
    round_trip(context, names).await;
}

async fn names_that_mean_something_elsewhere(context: &Context) {
    let names = [
        "CON",
        "con",
        "NUL",
        "nul.txt",
        "AUX",
        "COM1",
        "LPT1.txt",
        "desktop.ini",
        "Thumbs.db",
        ".DS_Store",
        ".git",
        ".ketch",
        "a.part",
        ".part",
        "a.partial",
        "a.tmp",
        "a.lock",
        "lost+found",
        "Root",
        "root",
        "index.html",
        "robots.txt",
        "a.rclonelink",
        "$RECYCLE.BIN",
        "a::$DATA",
        "a:b:c",
        "..data",
        "..2024",
    ];
    round_trip(context, names).await;
}

async fn names_at_random(context: &Context) {
    let mut random = fastrand::Rng::with_seed(context.seed);
    let alphabet: Vec<&[u8]> = [
        "a", "b", "Z", "0", " ", ".", "-", "\\", "＼", "\n", "␊", "‛", "␠", "\"", "%", "F", "E",
        "é", "e\u{301}", "😀", "\t", "'", "$",
    ]
    .iter()
    .map(|part| part.as_bytes())
    .chain([&b"\xfe"[..], &b"\x80"[..]])
    .collect();
    let names = (0..40).map(|_| {
        let parts = random.usize(1..12);
        let name: Vec<&[u8]> =
            (0..parts).map(|_| alphabet[random.usize(..alphabet.len())]).collect();
        name.concat()
    });
    let names: Vec<_> = names.filter(|name| name != b"." && name != b"..").collect();
    round_trip(context, names).await;
}

async fn a_deep_path_of_odd_names(context: &Context) {
    let name = "你好 & co/こんにちは  世界+/a ? b#/\"quoted\" 'é'/😀 %41.txt";
    context.put(name, "content").await;
    context.expect_file(name, b"content").await;
    let below = context.reopen("你好 & co/こんにちは  世界+/a ? b#");
    assert_eq!(contents(&*below, "\"quoted\" 'é'/😀 %41.txt").await, ["content"]);
    let deep = ["deep folder"; 12].join("/");
    context.put(&format!("{deep}/f"), "below").await;
    context.expect_file(&format!("{deep}/f"), b"below").await;
}

/// Each of `names` is a file with a content of its own, and a folder with one.
async fn all_are_different(context: &Context, names: &[&str]) {
    for name in names {
        context.put(&format!("files/{name}"), format!("file {name}")).await;
        context.put(&format!("folders/{name}/f"), format!("in {name}")).await;
    }
    let mut sorted: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    sorted.sort();
    for dir in ["files", "folders"] {
        assert_eq!(context.names(dir).await, sorted);
    }
    for name in names {
        context.expect_file(&format!("files/{name}"), format!("file {name}").as_bytes()).await;
        context.expect_file(&format!("folders/{name}/f"), format!("in {name}").as_bytes()).await;
    }
    let entry = context.stat(&format!("files/{}", names[0])).await;
    context.backend().delete_one(&entry).await.expect("deleted");
    context
        .expect_file(&format!("files/{}", names[1]), format!("file {}", names[1]).as_bytes())
        .await;
}

async fn names_that_differ_in_case_only_are_two(context: &Context) {
    all_are_different(context, &["name", "Name", "NAME", "éa", "Éa"]).await;
}

async fn names_that_differ_in_normalisation_only_are_two(context: &Context) {
    all_are_different(context, &["caf\u{e9}", "cafe\u{301}", "\u{212b}", "\u{c5}", "A\u{30a}"])
        .await;
}

async fn names_that_one_could_take_for_each_other_are_two(context: &Context) {
    let names = ["a\\b", "a＼b", "a b", "a b ", "a␠", "a\n", "a␊", "a%20b", "a+b", "a_b"];
    all_are_different(context, &names).await;
}

async fn a_name_like_a_temporary_one_is_stored_or_refused(context: &Context) {
    for name in
        [".f.ketch-0123abcd.part", ".f.ketch-12345678.part", "f.ketch-0123abcd.part", ".ketch-tmp"]
    {
        let name = format!("d/{name}");
        match context.try_put(&name, "content".into(), PutOptions::default()).await {
            Ok(_) => context.expect_file(&name, b"content").await,
            stored => {
                expect_error(stored, &[ErrorKind::InvalidInput]);
                context.expect_nothing(&name).await;
            }
        }
    }
}

/// Characters that some services refuse without saying so. They are stored exactly or not at all, never as something else.
async fn a_name_that_is_refused_leaves_nothing(context: &Context) {
    let mut kept = Vec::new();
    for name in ["´", "a´b", "a\u{80}b", "a\u{85}b", "\u{9f}", "a\u{ad}b", "\u{fdd0}", "a\u{2029}"]
    {
        for at in [format!("files/{name}"), format!("folders/{name}/inside")] {
            match context.try_put(&at, "content".into(), PutOptions::default()).await {
                Ok(_) => {
                    context.expect_file(&at, b"content").await;
                    kept.push(at);
                }
                stored => {
                    expect_error(stored, &[ErrorKind::InvalidInput, ErrorKind::Denied]);
                    context.expect_nothing(&at).await;
                }
            }
        }
    }
    for top in ["files", "folders"] {
        let names = context.names(top).await;
        let below = |name: &String| kept.iter().any(|at| at.starts_with(&format!("{top}/{name}")));
        assert!(names.iter().all(below), "{names:?} holds what was refused; kept are {kept:?}");
    }
}

async fn a_name_as_long_as_claimed(context: &Context) {
    let max = context.claimed().name_max_bytes.expect("claimed");
    let wide = |letter: &str| {
        let times = max / letter.len();
        format!("{}{}", letter.repeat(times), "x".repeat(max - times * letter.len()))
    };
    let names =
        [wide("a"), wide("é"), wide("語"), wide("😀"), format!("{}.txt", "b".repeat(max - 4))];
    assert!(names.iter().all(|name| bytes_from_core(name).len() == max));
    round_trip(context, names).await;
    let moved = context.put("short", "content").await;
    if context.claimed().rename {
        let target = path(&"m".repeat(max));
        context.backend().rename(&moved, &target).await.expect("moved");
        context.expect_file(target.as_str(), b"content").await;
    }
}

async fn a_name_longer_than_claimed_is_refused(context: &Context) {
    let max = context.claimed().name_max_bytes.expect("claimed");
    let long = "a".repeat(max + 1);
    for name in [long.clone(), format!("d/{long}"), format!("{long}/f")] {
        let stored = context.try_put(&name, "content".into(), PutOptions::default()).await;
        expect_error(stored, &[ErrorKind::InvalidInput]);
    }
    if context.claimed().dirs {
        let made = context.backend().make_dir(&path(&long), None).await;
        expect_error(made, &[ErrorKind::InvalidInput]);
    }
    assert!(context.list("").await.iter().all(|entry| entry.path.as_str() == "d"));
}
