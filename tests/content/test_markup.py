"""HTML of a mail: what goes out of it, how it reads as plain text, and that neither takes long."""

from __future__ import annotations

import time

import pytest

from content import markup

NEWSLETTER = """<!DOCTYPE html><html><head><title>Autumn</title>
<style>@media (max-width: 600px) { .col { width: 100% } }</style></head>
<body style="background: #eee"><table width="600" cellpadding="0" role="presentation" bgcolor="#fff"><tr>
<td align="center" style="padding: 8px; font-family: Arial"><img src="https://cdn.example.org/a.png" alt="Hamlet"></td>
<td class="col"><h1>Autumn</h1><p>See <a href="https://example.org/p?a=1&amp;b=2" target="_blank">the programme</a>,
or write to <a href="mailto:box@example.org">box@example.org</a>.</p>
<ul><li>Hamlet<li>Medea</ul></td></tr></table></body></html>"""


def test_a_newsletter_goes_out_as_it_is() -> None:
    cleaned = markup.clean(NEWSLETTER)
    for kept in (
        '<div style="background: #eee">', '<table width="600" cellpadding="0" role="presentation" bgcolor="#fff">',
        'style="padding: 8px; font-family: Arial"', 'src="https://cdn.example.org/a.png"', 'class="col"',
        'href="https://example.org/p?a=1&amp;b=2" target="_blank"', 'href="mailto:box@example.org"',
    ):  # fmt: skip
        assert kept in cleaned.body, kept
    assert cleaned.styles == "@media (max-width: 600px) { .col { width: 100% } }"
    assert markup.taken_out(NEWSLETTER) == ()


@pytest.mark.parametrize(
    ("html", "left", "told"),
    [
        ("<p>a<script>x()</script>b</p>", "<p>ab</p>", "<script> and what is in it"),
        ('<p onclick="x()">a</p>', "<p>a</p>", "onclick"),
        ('<p/onclick="x()">a</p>', "<p>a</p>", "onclick"),
        ('<a href="javascript:x()">a</a>', "<a>a</a>", "href that does not begin with a known scheme"),
        ('<a href=" JaVaScRiPt:x()">a</a>', "<a>a</a>", "href that does not begin with a known scheme"),
        ('<a href="/programme">a</a>', "<a>a</a>", "href that does not begin with a known scheme"),
        ('<img src="http://x/a.png" alt="A">', '<img alt="A">', "src that does not begin with https://"),
        ('<img src="data:image/png;base64,AA==">', "<img>", "src that does not begin with https://"),
        ('<img src="a.png">', "<img>", "src that does not begin with https://"),
        ('<table background="http://x"></table>', "<table></table>", "background that does not begin with https://"),
        ('<form action="https://x"><input name="a">in</form>', "in", "<form>"),
        ('<iframe src="https://x">in</iframe>a', "a", "<iframe> and what is in it"),
        ("<svg><script>x()</script></svg>a", "a", "<svg> and what is in it"),
        ('<object data="x">in</object>a', "a", "<object> and what is in it"),
        ('<meta http-equiv="refresh" content="0;https://x"><base href="https://x">a', "a", "<base>"),
        ("<!--[if mso]><v:rect></v:rect><![endif]-->a", "a", "comments for Outlook"),
        ("<style>@import url(https://x)</style>a", "a", "a style sheet that imports, runs or fetches something"),
        ("<style>a{background:url(http://x)}</style>a", "a", "a style sheet that imports, runs or fetches something"),
        ("<math><style><img src=x onerror=x()></style></math>a", "<img>a", "<math> and what is in it"),
    ],
)  # fmt: skip
def test_what_mail_should_not_hold_is_taken_out_and_told(html: str, left: str, told: str) -> None:
    assert markup.clean(html).body == left
    assert markup.clean(html).styles == ""
    assert any(what.startswith(told) for what in markup.taken_out(html)), markup.taken_out(html)


@pytest.mark.parametrize(
    "style",
    ["width:expression(x())", "background:url(javascript:x)", "behavior:url(https://x)", "a\\:b", "url(http://x)"],
)
def test_a_style_with_a_trick_goes_whole(style: str) -> None:
    assert markup.clean(f'<p style="{style}">a</p>').body == "<p>a</p>"
    kept = "background:url(https://x/a.png);color:red"
    assert kept in markup.clean(f'<p style="{kept}">a</p>').body


def test_a_style_sheet_cannot_end_the_head_it_is_put_into() -> None:
    for html in ("<style></sty<style>le><b>x</style>a", "<style><!--</style><script>x()</script>-->", "<style>a{}"):
        assert "<" not in markup.clean(html).styles
        assert "script" not in markup.clean(html).body


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ("<p>One</p><p>Two<br>three</p>", "One\n\nTwo\nthree"),
        ("One&nbsp;&amp;  two\n three &lt;b&gt; &euro;", "One & two three <b> €"),
        ('<a href="https://x.org/a?b=1&amp;c=2">Book</a>', "Book (https://x.org/a?b=1&c=2)"),
        ('<a href="https://x.org">https://x.org</a>', "https://x.org"),
        ('<a href="https://x.org"><img src="https://x.org/a.png" alt="Hamlet"></a>', "Hamlet (https://x.org)"),
        ('<a href="https://x.org"><img src="https://x.org/a.png"></a>', "https://x.org"),
        ('<a href="mailto:a@x.org">a@x.org</a> <a href="#top">up</a>', "a@x.org up"),
        ("<ul><li>one</li><li>two</li></ul><ol start=3><li>x<li>y</ol>", "- one\n- two\n\n3. x\n4. y"),
        ("<table><tr><td>a</td><td>b</td></tr><tr><td>c</td></tr></table>", "a b\nc"),
        ("<h1>Title</h1>text<hr>end", "Title\n\ntext\n\n---\n\nend"),
        ("<pre>a\n  b</pre>c", "a\n  b\n\nc"),
        ("<pre>a<b>b</b>\n <i>c</i>\x00&#0;</pre>", "ab\n c\ufffd"),
        ("<div>a</div><div><div>b</div></div>", "a\nb"),
        ("Preheader" + "&#8203;&zwnj;&nbsp;" * 50 + "<p>x</p>", "Preheader\n\nx"),
        ('<p title="a > b">x</p>', "x"),
        ("<style>a{}</style><title>t</title>x", "x"),
        ("&amp;lt;script&amp;gt;", "&lt;script&gt;"),
        ("نعم‌و <b>न्</b>‍ष", "نعم‌و न्‍ष"),
    ],
)
def test_html_reads_as_plain_text(html: str, text: str) -> None:
    assert markup.clean(html).text == text


@pytest.mark.parametrize(
    "repeated",
    ["<", "&", "<a ", '<a "', "<!--", "<b>", "<b><p>", "<table>", "<style>", "<style>x</style>", "on", '" onaaa=',
     " href=", "<body ", "<html ", "<html lang ", "\u200b", "\u200c", "&#8203;", " ",
     "<p>", "<br>", "<td>", "<li>", "<pre>\n", "<select>"],
)  # fmt: skip
def test_nothing_takes_long(repeated: str) -> None:
    html = (repeated * (150_000 // len(repeated) + 1))[:150_000]
    began = time.thread_time()
    markup.taken_out(html)
    if markup.depth(html) <= markup.MOST_DEPTH:
        markup.clean(html).text  # noqa: B018 - it is made when it is asked for
    assert time.thread_time() - began < 2.0


def test_how_deep_elements_stand_in_one_another() -> None:
    assert markup.depth("<div>" * 40_000) == 40_000, "with which cleaning would take seconds"
    assert markup.depth("<p>a" * 500 + "<br>" * 500 + "<li>x" * 500) == 0
    assert markup.depth("<div></div>" * 500) == 1
    assert markup.depth("</div>" * 500 + "<div>") == 1
