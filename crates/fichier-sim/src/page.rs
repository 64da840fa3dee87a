//! The French HTML pages of the nodes.

/// A page with one message where the nodes put theirs.
pub(crate) fn notice(text: &str) -> String {
    format!(
        "<!DOCTYPE html>\n<html lang=\"fr\"><head><meta charset=\"utf-8\"><title>1fichier.com</title>\
         </head>\n<body><div class=\"bloc2\">{}</div></body></html>\n",
        escape(text)
    )
}

/// The report of an upload as a browser sees it.
pub(crate) fn report(rows: &[(String, String, String)]) -> String {
    let row = |(name, download, remove): &(String, String, String)| {
        let (name, download, remove) = (escape(name), escape(download), escape(remove));
        // The class and the link are what a client on PyPI looks for.
        format!(
            "<tr><td>{name}</td><td class=\"normal\"><a href=\"{download}\">{download}</a></td><td>{remove}</td></tr>\n"
        )
    };
    let rows: String = rows.iter().map(row).collect();
    format!(
        "<!DOCTYPE html>\n<html lang=\"fr\"><head><meta charset=\"utf-8\"><title>1fichier.com</title>\
         </head>\n<body><table class=\"premium\">\n{rows}</table></body></html>\n"
    )
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
