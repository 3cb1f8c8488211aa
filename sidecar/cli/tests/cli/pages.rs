//! The blocks of a Markdown page: fenced ones and indented ones, each with the comment before it that says how it is
//! proven. Not whether it is.

/// One block of code.
pub(crate) struct Block {
    /// Line of the page it begins in, from 1.
    pub(crate) line: usize,
    /// Everything after the fence, such as `rust`; empty for an indented one.
    pub(crate) language: String,
    /// What `<!-- block: .. -->` before it says; empty if there is none.
    pub(crate) marker: String,
    pub(crate) text: String,
}

impl Block {
    /// The scenario of its page that it belongs to.
    pub(crate) fn scenario(&self) -> Option<&str> {
        let mut words = self.marker.split_whitespace();
        let kind = words.next()?;
        ["run", "file", "prints", "setup"].contains(&kind).then(|| words.next()).flatten()
    }
}

const MARKER: &str = "<!-- block:";

/// The blocks of a page in their order; or the line and what is wrong about it.
pub(crate) fn blocks(page: &str) -> Result<Vec<Block>, String> {
    let mut blocks = Vec::new();
    let mut marker: Option<String> = None;
    let (mut blank_before, mut in_list) = (true, false);
    let mut lines = page.lines().enumerate().map(|(at, line)| (at + 1, line)).peekable();
    while let Some((at, line)) = lines.next() {
        let bare = line.trim();
        let fence: String = bare.chars().take_while(|mark| *mark == '`').collect();
        if fence.len() >= 3 {
            let mut text = String::new();
            loop {
                let (_, inner) =
                    lines.next().ok_or_else(|| format!("{at}: a block without an end"))?;
                if inner.trim() == fence {
                    break;
                }
                text.push_str(inner);
                text.push('\n');
            }
            let language = bare[fence.len()..].trim().to_owned();
            let marker = marker.take().unwrap_or_default();
            blocks.push(Block { line: at, language, marker, text });
        } else if bare.starts_with("~~~") {
            return Err(format!("{at}: expected ``` for a block, came ~~~"));
        } else if let Some(said) = bare.strip_prefix(MARKER) {
            let mut said = said.to_owned();
            while !said.contains("-->") {
                let (_, more) =
                    lines.next().ok_or_else(|| format!("{at}: a comment without an end"))?;
                said = format!("{said}\n{more}");
            }
            let said = said.split("-->").next().unwrap_or_default().trim();
            let (first, rest) = said.split_once('\n').unwrap_or((said, ""));
            if first.starts_with("setup ") {
                let (language, text) = ("sh".to_owned(), format!("{rest}\n"));
                blocks.push(Block { line: at, language, marker: first.to_owned(), text });
            } else if let Some(other) = marker.replace(said.to_owned()) {
                return Err(format!("{at}: `{other}` stands before no block"));
            }
        } else if line.starts_with("    ") && blank_before && !in_list {
            let mut text = format!("{}\n", &line[4..]);
            while let Some((_, inner)) = lines.next_if(|(_, next)| next.starts_with("    ")) {
                text.push_str(&inner[4..]);
                text.push('\n');
            }
            let marker = marker.take().unwrap_or_default();
            blocks.push(Block { line: at, language: String::new(), marker, text });
        } else if !bare.is_empty() {
            if let Some(other) = &marker {
                return Err(format!("{at}: expected a block after `{other}`, came `{bare}`"));
            }
            if !line.starts_with(' ') {
                let numbered = bare.trim_start_matches(|mark: char| mark.is_ascii_digit());
                let numbered = numbered.len() < bare.len() && numbered.starts_with(". ");
                in_list = bare.starts_with("- ") || bare.starts_with("* ") || numbered;
            }
        }
        blank_before = bare.is_empty();
    }
    match marker {
        Some(other) => Err(format!("the end: expected a block after `{other}`")),
        None => Ok(blocks),
    }
}

#[test]
fn blocks_are_found_with_what_is_said_of_them() {
    let page = "\
Text.

<!-- block: run a -->

```sh
ls
```

- an item

    that goes on

Text.

    indented
    more

<!-- block: setup a
cd b
-->

````text
```
````
";
    let found = blocks(page).unwrap();
    let shown: Vec<_> = found
        .iter()
        .map(|block| (block.line, &*block.language, &*block.marker, &*block.text))
        .collect();
    let expected = [
        (5, "sh", "run a", "ls\n"),
        (15, "", "", "indented\nmore\n"),
        (18, "sh", "setup a", "cd b\n"),
        (22, "text", "", "```\n"),
    ];
    assert_eq!(shown, expected);
    assert_eq!(found[0].scenario(), Some("a"));
    assert_eq!(found[1].scenario(), None);
}

#[test]
fn a_comment_that_belongs_to_no_block_is_a_mistake() {
    for page in ["<!-- block: run a -->\nText.\n", "<!-- block: run a -->\n", "```sh\nls\n"] {
        assert!(blocks(page).is_err(), "{page}");
    }
}
